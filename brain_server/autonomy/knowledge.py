"""The weekly look at what is known: the week put into words, what is stale or has changed forgotten."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, select

from brain_server.autonomy.metrics import WEEK
from brain_server.autonomy.research_parts import SOURCE as RESEARCH
from brain_server.errors import KittyError
from brain_server.fabrication.outcomes import Outcome, Outcomes
from brain_server.memory import HOUSE, Memory
from brain_server.protocol import Json
from brain_server.schedule import Run
from brain_server.storage import Database
from brain_server.storage.tables import memories

SOURCE: Final = "autonomy"
# What the web said half a year ago is looked up anew when somebody asks.
STALE: Final = 180 * 86_400.0
# A quarter of a year of weeks is remembered; what is older is in the rows of prints anyway.
KEPT: Final = 13

# Reads pages of what was researched after a moment again; returns ``{"read", "changed", "could_not"}``.
type ReadAgain = Callable[[Run, float], Awaitable[Json]]


class KnowledgeUpdate:
    """Keeps what the house knows true and whole."""

    def __init__(
        self,
        database: Database,
        memory: Memory,
        outcomes: Outcomes,
        name_of: Callable[[str], str | None],
        clock: Callable[[], float],
        *,
        read_again: ReadAgain | None = None,
    ) -> None:
        """Take the memory, how prints turned out, what printers are called, and what reads pages again."""
        self._db = database
        self._memory = memory
        self._outcomes = outcomes
        self._name_of = name_of
        self._clock = clock
        self._read_again = read_again

    async def run(self, run: Run) -> Json:
        """Return what was remembered and how much was forgotten, and what could not be done."""
        could_not: list[Json] = []
        text = await run.step("week", self._week)
        remembered = []
        if text["text"]:
            try:
                remembered = [await self._memory.remember(HOUSE, text["text"], SOURCE, "system")]
            except KittyError as err:
                could_not.append({"what": "remember", "code": err.code})
        forgotten = await self._forget()
        pages: Json = {"read": 0, "changed": 0, "could_not": []}
        if self._read_again is not None:
            pages = await self._read_again(run, self._clock() - STALE)
        # Memories whose meaning no model has worked out yet are worked out now.
        self._memory.wake()
        return {
            "remembered": remembered,
            "forgotten": forgotten,
            "pages_read": pages["read"],
            "pages_changed": pages["changed"],
            "could_not": [*could_not, *pages["could_not"]],
        }

    async def _week(self) -> Json:
        """Put the prints of the last week into words, kept as a step: a second try says the same."""
        now = self._clock()
        seen = [one for one in await self._outcomes.all() if now - WEEK <= one.ended_at < now]
        return {"text": in_words(seen, self._name_of, now)}

    async def _forget(self) -> int:
        """Forget the weeks that are long past, and what the web said so long ago that it may have changed."""
        before = self._clock() - STALE
        old = await self._db.read(lambda connection: _old(connection, before))
        return await self._memory.drop(HOUSE, old) if old else 0


def in_words(seen: Sequence[Outcome], name_of: Callable[[str], str | None], now: float) -> str:
    """Return the week as a sentence or two; nothing where nothing was printed."""
    if not seen:
        return ""
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    good = sum(one.good for one in seen)
    parts = [f"In the week before {day} {len(seen)} prints ended, {good} of them well."]
    by_printer = Counter(one.device_id for one in seen)
    names = [
        f"{name} {count}"
        for device_id, count in by_printer.most_common()
        if (name := name_of(device_id)) is not None
    ]
    if names:
        parts.append(f"By printer: {', '.join(names)}.")
    reasons = Counter(reason for one in seen if not one.good for reason in one.reasons)
    if reasons:
        told = ", ".join(
            f"{name.replace('_', ' ')} {count}" for name, count in reasons.most_common(3)
        )
        parts.append(f"What went wrong: {told}.")
    return " ".join(parts)


def _old(connection: Connection, before: float) -> list[str]:
    """Return what the house need not remember any more; what belongs to a person stays theirs."""
    query = select(memories.c.id).where(memories.c.namespace == HOUSE)
    weeks = query.where(memories.c.source == SOURCE).order_by(memories.c.id.desc())
    stale = query.where(memories.c.source == RESEARCH, memories.c.created_at < before)
    past = connection.execute(weeks).scalars().all()[KEPT:]
    return [*past, *connection.execute(stale).scalars()]
