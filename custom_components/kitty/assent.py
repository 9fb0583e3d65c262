"""What counts as yes and as no to a question of ours, in every language that we ask in.

Only the whole of what is said, and nothing else: the brain cannot widen it. The language of the house
makes no difference, so no word stands here that is anything else in another one.
"""

from collections.abc import Mapping
from typing import Final

from .turns import plain

AGREED: Final[Mapping[str, tuple[str, ...]]] = {
    "de": (
        "ja",
        "ja bitte",
        "jawohl",
        "bestätigen",
        "bestätige",
        "bestätigt",
        "einverstanden",
        "genehmigt",
        "in ordnung",
        "mach das",
        "mach es",
    ),
    "en": (
        "yes",
        "yes please",
        "confirm",
        "confirmed",
        "approve",
        "do it",
        "go ahead",
        "ok",
        "okay",
        "sure",
        "please do",
    ),
    "fr": (
        "oui",
        "oui s'il te plaît",
        "oui s'il vous plaît",
        "confirmer",
        "confirme",
        "je confirme",
        "j'approuve",
        "d'accord",
        "bien sûr",
        "vas-y",
        "allez-y",
    ),
}
DECLINED: Final[Mapping[str, tuple[str, ...]]] = {
    "de": ("nein", "nein danke", "nicht", "abbrechen", "jetzt nicht", "lass es", "vergiss es"),
    "en": ("no", "no thanks", "cancel", "stop", "not now", "never mind", "forget it"),
    "fr": ("non", "non merci", "annuler", "annule", "arrête", "pas maintenant", "laisse tomber"),
}

# What may stand between and after words that are meant. A question mark doubts them, a picture may deny them.
_SIGNS: Final = frozenset(" .,;!…-'\u2019")


def sentences(words: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the words of all languages, as satellites take them."""
    return sorted({one for said in words.values() for one in said})


_YES: Final = frozenset(map(plain, sentences(AGREED)))
_NO: Final = frozenset(map(plain, sentences(DECLINED)))


def agrees(text: str) -> bool:
    """Tell whether somebody said a plain yes."""
    return plain(text) in _YES and all(char.isalnum() or char in _SIGNS for char in text)


def declines(text: str) -> bool:
    """Tell whether somebody said no; a no is taken for one however it is written."""
    return plain(text) in _NO
