"""What may be remembered: visible words, not too many, and never a secret."""

import hashlib
from itertools import pairwise
import re
from typing import Final
import unicodedata

from brain_server.errors import InvalidRequest
from brain_server.observability import redact

LONGEST: Final = 2_000

# Invisible characters and those that turn the reading direction; line breaks become spaces.
_HIDDEN: Final = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_ENDING: Final = re.compile(r"[\s.,;:!?…]+$")
# "the alarm code is 4821", "PIN 4821", "Passwort: hunter2": the word, a few others, then what looks like one.
_NAMED: Final = re.compile(
    r"(?i)\b(?:pins?|pin[ -]?codes?|(?:door|gate|alarm|access|entry|safe|lock|security|garage)[ -]?codes?|"
    r"codes?|pass(?:words?|codes?|phrases?)|combinations?|passw(?:or|ö)ter|passwort|kennw(?:o|ö)rte?r?|"
    r"geheimzahl|mot de passe|contraseña|wachtwoord|password)\b"
    r"(?P<between>(?:\W+[^\W\d_]+){0,6}?\W+)"
    r"(?P<value>[^\W_]*\d[^\W_]*(?:[ -]?\d+)*)"
)
_PASSWORD: Final = re.compile(
    r"(?i)\b(?:pass(?:words?|codes?|phrases?)|passwort|kennwort|mot de passe|contraseña|wachtwoord)\b"
    r"(?:\W+(?:for|of|to|für|zu|von|de|del|van)\b(?:\W+[^\W\d_]+){1,4})?"
    r"\W+(?:is|=|ist|lautet|est|es)\W+\S+"
)
# A PIN is three digits or more; "code 7" is not one.
_DIGITS: Final = re.compile(r"\d(?:[ -]?\d){2,}")
_WELL_KNOWN: Final = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|github_pat|glpat|xox[abpr]|AKIA|AIza|hf|eyJ[A-Za-z0-9_-]+\.eyJ)[-_A-Za-z0-9]{12,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_LONG_WORD: Final = re.compile(r"[A-Za-z0-9+/=_-]{24,}")
_CARD: Final = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")


def cleaned(text: str) -> str:
    """Return a text as it is remembered: composed, in one line, without what people cannot see.

    Raises InvalidRequest ``not_memorable`` when it is empty, longer than 2,000 characters or holds a secret.
    """
    seen = _HIDDEN.sub("", unicodedata.normalize("NFC", text))
    seen = _CONTROL.sub(" ", seen).strip()
    seen = "".join(one for one in seen if unicodedata.category(one) not in {"Cs", "Co", "Cn"})
    if not seen:
        raise InvalidRequest("not_memorable", "There is nothing to remember", reason="empty")
    if len(seen) > LONGEST:
        raise InvalidRequest("not_memorable", "That is too long to remember", reason="too_long")
    if is_secret(seen):
        raise InvalidRequest(
            "not_memorable", "That looks like a secret; it is not remembered", reason="secret"
        )
    return seen


def is_secret(text: str) -> bool:
    """Tell whether a text seems to hold a PIN, a password, a token, a key or the number of a card."""
    if redact(text) != text or _PASSWORD.search(text) or _WELL_KNOWN.search(text):
        return True
    if any(_DIGITS.search(found["value"]) for found in _NAMED.finditer(text)):
        return True
    if any(_is_random(found[0]) for found in _LONG_WORD.finditer(text)):
        return True
    return any(_is_card(found[0]) for found in _CARD.finditer(text))


def squeezed(text: str) -> str:
    """Return a text with one kind of each letter and single spaces: what a model of meanings reads."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def normal(text: str) -> str:
    """Return a text as it is compared: also without capitals and final marks."""
    return _ENDING.sub("", squeezed(text).casefold()).strip()


def hash_of(text: str) -> str:
    """Return the SHA-256 of some text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_random(word: str) -> bool:
    """Tell a key from a long word: letters and digits that take turns."""
    turns = sum(one.isdigit() != other.isdigit() for one, other in pairwise(word))
    return turns >= 5


def _is_card(number: str) -> bool:
    """Tell whether the digits have the check digit of a card."""
    digits = [int(one) for one in number if one.isdigit()][::-1]
    doubled = (2 * one - 9 * (one > 4) for one in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
