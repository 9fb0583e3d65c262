"""Reading again what the house's researches cite: what a page no longer says is no longer remembered."""

import asyncio
from collections.abc import Collection
from functools import partial
from http import HTTPStatus
from typing import Final

import msgspec
from sqlalchemy import Connection, select, update

from brain_server.autonomy import research_words as words
from brain_server.autonomy.research_pages import Pages
from brain_server.autonomy.research_parts import CAPABILITY, SOURCE, UPDATED, Parts
from brain_server.autonomy.research_rows import view
from brain_server.autonomy.research_text import Quote, Source, quotes_of
from brain_server.conversation.trust import Trust, visible
from brain_server.errors import KittyError
from brain_server.fetch import MOST_TEXT
from brain_server.memory import HOUSE
from brain_server.memory.content import LONGEST
from brain_server.protocol import Json
from brain_server.schedule import Run
from brain_server.storage import Database
from brain_server.storage.tables import memories, research_notes, researches

DAY: Final = 86_400.0
# So many pages a week, those first that were not tried for longest.
MOST: Final = 20
# A little less than a week: the next look may be a few seconds earlier than this one.
AGAIN: Final = 6.5 * DAY
CHANGED: Final = "pages_changed"
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Rereading:
    """Looks whether pages still say what was taken from them."""

    def __init__(self, database: Database, parts: Parts) -> None:
        """Take what research works with."""
        self._db = database
        self._parts = parts

    async def run(self, run: Run, since: float) -> Json:
        """Read pages of what was researched after ``since``; returns ``{"read", "changed", "could_not"}``."""
        found: Json = {"read": 0, "changed": 0, "could_not": []}
        pages = Pages(fetcher=self._parts.fetcher, privacy=self._parts.privacy)
        before = self._parts.clock() - AGAIN
        cited = await self._db.read(lambda connection: _cited(connection, since, before))
        for note in cited:
            # At each: it takes its time, and somebody may switch it off meanwhile.
            if not self._parts.switches.is_on(CAPABILITY):
                break
            look = partial(self._look, pages, note)
            try:
                # Kept as a step: a second try reads no page again.
                stands = (await run.step(f"page {note['id']}", look))["stands"]
            except KittyError as err:
                told = {"what": "page", "url": note["url"], "code": err.code}
                found["could_not"].append(told)
                await self._note(run, note, ("tried_at",))
                continue
            found["read"] += 1
            found["changed"] += not stands
            if not stands:
                # Before it is written down: whoever dies in between does it again, and nothing is left out.
                await self._remember(note)
            await self._note(run, note, ("read_at",) if stands else ("read_at", "changed_at"))
        return found

    async def _look(self, pages: Pages, note: Json) -> Json:
        try:
            page = await pages.read(note["url"])
        except KittyError as err:
            if err.fields.get("http_status") in _GONE:
                return {"stands": False}
            raise
        text = visible(page.text, MOST_TEXT)
        _, missing = await asyncio.to_thread(quotes_of, note["quotes"], text)
        return {"stands": missing == 0}

    async def _note(self, run: Run, note: Json, names: Collection[str]) -> None:
        """Write down when a page was read, or was only tried."""
        mark = dict.fromkeys(names, self._parts.clock())

        def work(connection: Connection) -> Json | None:
            row = _row(connection, note)
            if row is None:  # forgotten meanwhile
                return None
            values = _marked(row, note["position"], mark)
            same = researches.c.id == row["id"]
            connection.execute(update(researches).where(same).values(values))
            return row | values

        if (noted := await run.write(work)) is not None:
            self._parts.bus.publish(UPDATED, view(noted))

    async def _remember(self, note: Json) -> None:
        """Forget what is remembered of a research, and remember what its other pages say."""
        found = await self._db.read(lambda connection: _left(connection, note))
        if found is None:
            return
        row, left, old = found
        if not old:
            return
        kept = ""
        if left:
            text = words.remembered(row["question"], (), left, LONGEST)
            kept = await self._parts.memory.remember(HOUSE, text, SOURCE, Trust.OUTSIDE)
        await self._parts.memory.drop(HOUSE, [one for one in old if one != kept])


def _cited(connection: Connection, since: float, before: float) -> list[Json]:
    """Return the notes of the house whose pages are to be read again, those first that were not tried for longest."""
    this = (
        researches.c.requested_by.is_(None),
        researches.c.status == "completed",
        researches.c.finished_at > since,
    )
    rows = connection.execute(select(researches).where(*this)).mappings().all()
    wanted = {
        (row["id"], one["number"]): (
            one.get("read_at", row["finished_at"]),
            one.get("tried_at", 0.0),
        )
        for row in rows
        for one in row["sources"]
        if "changed_at" not in one
    }
    query = select(research_notes).where(
        research_notes.c.research_id.in_([row["id"] for row in rows])
    )
    notes = [
        # What never answers must not take the turn of all others.
        dict(note) | {"looked_at": max(wanted[place])}
        for note in connection.execute(query).mappings()
        if (place := (note["research_id"], note["position"])) in wanted
        and wanted[place][0] < before
    ]
    return sorted(notes, key=lambda note: (note["looked_at"], note["id"]))[:MOST]


def _row(connection: Connection, note: Json) -> Json | None:
    query = select(researches).where(researches.c.id == note["research_id"])
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def _marked(row: Json, number: int, mark: Json) -> Json:
    """Return the sources and limits of a research, one of its pages having been looked for."""
    sources = [one | mark if one["number"] == number else one for one in row["sources"]]
    changed = sum("changed_at" in one for one in sources)
    limits = [one for one in row["limits"] if one["code"] != CHANGED]
    if changed:
        limits.append(words.limit(CHANGED, count=changed))
    return {"sources": sources, "limits": limits}


def _left(connection: Connection, note: Json) -> tuple[Json, list[Source], list[str]] | None:
    """Return a research, what its other pages still say, and what the house remembers of it; None if it is gone."""
    row = _row(connection, note)
    if row is None:
        return None
    stand = {one["number"] for one in row["sources"] if "changed_at" not in one}
    this = (
        research_notes.c.research_id == row["id"],
        research_notes.c.position.in_(stand - {note["position"]}),
    )
    query = select(research_notes).where(*this).order_by(research_notes.c.position)
    left = [
        Source(
            number=one["position"],
            url=one["url"],
            title=one["title"],
            quotes=tuple(msgspec.convert(quote, Quote) for quote in one["quotes"]),
        )
        for one in connection.execute(query).mappings()
    ]
    begins = memories.c.text.startswith(words.begin(row["question"]), autoescape=True)
    old = (memories.c.namespace == HOUSE, memories.c.source == SOURCE, begins)
    ids = connection.execute(select(memories.c.id).where(*old)).scalars()
    return row, left, list(ids)
