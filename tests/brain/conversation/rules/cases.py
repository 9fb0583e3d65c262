"""Tables of sentences, and a short way to write down what one means."""

from pathlib import Path
from typing import Final, NamedTuple

from brain_server.conversation.rules import (
    Act,
    Ambiguous,
    AskAudit,
    Here,
    NeedsModel,
    Status,
    Understood,
    understand,
)
from tests.brain.conversation.rules.shop import ASKED, SHOP

_FOLDER: Final = Path(__file__).parent


class Case(NamedTuple):
    """A sentence, where it is said, and what it means in short."""

    here: Here
    sentence: str
    meaning: str


def lines(name: str) -> list[str]:
    """Return the lines of a table that are no comments."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def cases(name: str) -> list[Case]:
    """Return the rows of a table."""
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines(name)]
    return [Case(_here(where), sentence, _sorted(meaning)) for where, sentence, meaning in rows]


def meaning(sentence: str, here: Here) -> str:
    """Return in short what a sentence means in the shop."""
    return describe(understand(sentence, SHOP, here))


def describe(found: Understood) -> str:
    """Return in short what was understood."""
    match found:
        case Act(intent=intent, device_ids=ids, params=params):
            values = [
                f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                for name, value in sorted(params.items())
            ]
            return " ".join(["act", intent, *sorted(ids), *values])
        case Status(device_ids=ids):
            return " ".join(["status", *sorted(ids)])
        case AskAudit():
            about = (
                found.intent,
                found.device_id or found.area_id,
                found.person_id,
                found.decision,
            )
            return " ".join(["audit", found.question, *(part for part in about if part)])
        case Ambiguous():
            return "ambiguous"
        case NeedsModel():
            return "model"
        case _:
            return type(found).__name__.lower()


def _here(where: str) -> Here:
    places = {"-": Here(), "asked": ASKED, "pending": ASKED}
    return places.get(where) or Here(area_id=where, second_of_day=36_000)


def _sorted(meaning: str) -> str:
    """Return a meaning with its device ids in order."""
    head, *rest = meaning.split(" ")
    fixed = {"act": 1, "status": 0}.get(head, len(rest))
    text = " ".join(rest[fixed:])
    ids, equals, _ = text.partition("=")
    if equals:
        return meaning
    return " ".join([head, *rest[:fixed], *sorted(ids.split())])
