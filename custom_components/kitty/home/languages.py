"""The languages in which the home can be spoken to."""

from typing import Final

from homeassistant.util import language as language_util

from .english import ENGLISH
from .lexicon import Lexicon

LEXICONS: Final = {one.language: one for one in (ENGLISH,)}


def lexicon_for(language: str) -> Lexicon | None:
    """Return the lexicon of a language or of its nearest relative; None where there is none."""
    matches = language_util.matches(language, LEXICONS)
    return LEXICONS[matches[0]] if matches else None
