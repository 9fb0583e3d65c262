"""What people are told, as text and nothing else: it may have come from a device, a page or a model."""

from collections.abc import Mapping
import json
import re
from typing import Any, Final

from brain_server.fetch import plain
from brain_server.protocol import Json

MOST_TITLE: Final = 200
MOST_MESSAGE: Final = 4000
MOST_DATA: Final = 8192
_MOST_TEXT: Final = 1000
_MOST_DEPTH: Final = 8
# Looks the same, and begins no tag in mail, on Android, in a page, nor a mention in a chat.
_BRACKETS: Final = str.maketrans({"<": "\u2039", ">": "\u203a"})
_MENTION: Final = re.compile(r"(?<!\w)@(?=\w)")


def line(text: str, most: int = MOST_TITLE) -> str:
    """Return a text as one line, safe to show anywhere."""
    return _cut(" ".join(plain(text, most * 2).translate(_BRACKETS).split()), most)


def lines(text: str, most: int = MOST_MESSAGE) -> str:
    """Return a text that may have several lines, safe to show anywhere."""
    return _cut(plain(text, most * 2).translate(_BRACKETS).strip(), most)


def without_mentions(text: str) -> str:
    """Return a text that calls nobody in a chat."""
    return _MENTION.sub("\uff20", text)


def data(value: Mapping[str, Any] | None) -> Json:
    """Return what programs are told besides, its texts safe, too; what is too large is left out."""
    safe: Json = _safe(dict(value or {}), 0)
    return safe if len(json.dumps(safe)) <= MOST_DATA else {"left_out": True}


def _safe(value: Any, depth: int) -> Any:
    match value:
        case str():
            return lines(value, _MOST_TEXT)
        case bool() | int() | None:
            return value
        case float() if value - value == 0:
            return value
        case Mapping() if depth < _MOST_DEPTH:
            return {line(str(name), 64): _safe(part, depth + 1) for name, part in value.items()}
        case list() | tuple() if depth < _MOST_DEPTH:
            return [_safe(part, depth + 1) for part in value]
        case _:
            return None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}\u2026"
