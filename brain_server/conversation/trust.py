"""Where words come from, and what is done to those that nobody in the house has said.

Text from names, cameras, the web, files, memory and tools is data. A model is told so, but nothing here
relies on a model's obedience: whatever it wants done after it has read such text needs a person.
"""

from enum import StrEnum
import html
import re
import secrets
from typing import Final

from brain_server.observability import redact

LONGEST_NAME: Final = 48
LONGEST_TEXT: Final = 16_000
LONGEST_HELD: Final = 2_000

# Words that tell somebody what to do have no place in the name of a thing. A name that has one is not
# shown to a model; people still see it everywhere else.
_ORDERS: Final = re.compile(
    r"(?i)\b(?:ignore|disregard|forget|overr(?:ide|ule)|obey|instructions?|prompt|unlock|disarm|approve|"
    r"confirm|authori[sz]e|grant|execute|invoke|reveal|passwords?|tokens?|secrets?|turn|activate|"
    r"(?:en|dis)able|delete|erase|fetch|visit|e?mail|you|your|must|https?|www)\b"
)
_PLAIN: Final = re.compile(r"[\w\s.'\u2019()&+/#-]+")
# Invisible characters and those that turn the reading direction hide words from people, not from models.
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_PICTURE: Final = re.compile(r"!\[([^\]]{0,200})\]\s*(?:\([^)]{0,2000}\)|\[[^\]]{0,200}\])")
_LINK: Final = re.compile(r"\[([^\]]{1,200})\]\(\s*<?([^)\s>]{1,2000})>?[^)]{0,200}\)")
_DEFINITION: Final = re.compile(r"(?m)^\s{0,3}\[[^\]]{1,200}\]:\s*\S+.*$")
_TAG: Final = re.compile(r"</?[A-Za-z!][^>]{0,2000}>?")
_MARKS: Final = re.compile(r"\A<outside [^\n]*>\n|\n</outside [^\n]*>\Z")
_URL: Final = re.compile(r"(?i)\b(?:https?|ftp|data|javascript|file):[^\s<>\"')\]]+")


class Trust(StrEnum):
    """Who stands behind some words."""

    PERSON = "person"
    SYSTEM = "system"
    OUTSIDE = "outside"


def plain_name(name: str) -> str | None:
    """Return a name as a model may see it, or None when it looks like anything but a name."""
    seen = " ".join(_HIDDEN.sub("", name).split())
    if not 0 < len(seen) <= LONGEST_NAME or not _PLAIN.fullmatch(seen) or _ORDERS.search(seen):
        return None
    return seen


def visible(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return text without what people cannot see and without secrets, cut where it is too long."""
    seen = redact(_HIDDEN.sub("", text))
    return seen if len(seen) <= longest else f"{seen[:longest]} [cut]"


def quoted(text: str, source: str) -> str:
    """Return text from outside between marks that the text itself cannot know."""
    mark = secrets.token_hex(6)
    return f"<outside source={source!r} mark={mark}>\n{visible(text)}\n</outside mark={mark}>"


def unquoted(text: str) -> str:
    """Return what :func:`quoted` was given, for people to read."""
    return _MARKS.sub("", text)


def shown(text: str) -> str:
    """Return an answer as it may be shown: nothing in it loads, links or runs by itself.

    A link keeps its words and tells its host, so that people see where it would lead.
    """
    seen = _HIDDEN.sub("", text)
    seen = _PICTURE.sub(r"\1", seen)
    seen = _LINK.sub(lambda found: f"{found[1]} ({_host(found[2])})", seen)
    seen = _DEFINITION.sub("", seen)
    seen = _TAG.sub("", html.unescape(seen))
    return redact(_URL.sub(lambda found: _host(found[0]), seen))


def _host(address: str) -> str:
    scheme, colon, rest = address.partition(":")
    if not colon or scheme.casefold() not in ("http", "https"):
        return "link removed"
    return rest.lstrip("/").split("/")[0].split("?")[0].rpartition("@")[2] or "link removed"


class Cleaner:
    """:func:`shown` for words that come one by one: what may be half of a link waits for the rest."""

    def __init__(self) -> None:
        """Start with nothing held back."""
        self._held = ""

    def feed(self, text: str) -> str:
        """Take some words and return what may be shown now."""
        self._held += text
        cut = len(self._held) if self._held[-1:].isspace() else self._held.rfind(" ") + 1
        for opening in ("![", "[", "<"):
            at = self._held.rfind(opening, 0, cut)
            if at != -1 and not _closed(self._held[at:cut]):
                cut = at
        if len(self._held) - cut > LONGEST_HELD:
            cut = len(self._held)
        now, self._held = self._held[:cut], self._held[cut:]
        return shown(now)

    def end(self) -> str:
        """Return what was held back."""
        now, self._held = self._held, ""
        return shown(now)


def _closed(text: str) -> bool:
    """Tell whether a link or tag that begins here has come to its end."""
    if text.startswith("<"):
        return ">" in text
    label, bracket, rest = text.partition("]")
    del label
    return bool(bracket) and (not rest.startswith("(") or ")" in rest) and rest != ""
