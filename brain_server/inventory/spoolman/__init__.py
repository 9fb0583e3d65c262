"""Spools as Spoolman has them: what changed there comes here, what was used here goes there.

Both sides take grams from a spool. ``synced_g`` is what both agreed on last; what is missing from it there was
used there, what is missing here was used here, and both count. In all else Spoolman wins. What is told to
Spoolman is written down before, with its own count of that moment: whoever finds it later, after a crash or a lost
answer, sees by that count whether it arrived, so that nothing is counted twice.
"""

import asyncio
from contextlib import suppress
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import ClientSession
from sqlalchemy import Connection

from brain_server.bus import Bus
from brain_server.capabilities import ALL_ON, Switches
from brain_server.commands import PROCESSING_TIMEOUT, Caller, NoParams, Scope, command
from brain_server.errors import Conflict, KittyError, Unavailable
from brain_server.inventory import rows
from brain_server.inventory.books import Books
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage.tables import spools

if TYPE_CHECKING:
    from brain_server.inventory.spoolman.wire import Wire

_LOGGER = logging.getLogger(__name__)

# What happens together is told together.
TOGETHER: Final = 2.0


class Spoolman:
    """Keeps this inventory and Spoolman's alike; without an address it does nothing."""

    def __init__(
        self,
        books: Books,
        bus: Bus,
        tasks: Tasks,
        session: ClientSession,
        url: str,
        *,
        every: float = 60.0,
        together: float = TOGETHER,
        switches: Switches = ALL_ON,
    ) -> None:
        """Take the books, the bus, where Spoolman is, how often to look, and what is switched on.

        Raises InvalidRequest ``invalid_setting``.
        """
        self._switches = switches
        self._books = books
        self._tasks = tasks
        self._wire = _wire(session, url) if url else None
        self._every = every
        self._together = together
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._trouble: str | None = None
        self._failed: list[Json] = []
        if url:
            bus.listen("spool.updated", lambda _event: self._news.set())

    @property
    def is_wanted(self) -> bool:
        """Tell whether there is a Spoolman at all."""
        return self._wire is not None

    def start(self) -> None:
        """Look now, after each change here, and every now and then."""
        if self._wire is not None:
            self._tasks.keep_up("spoolman", self._run)

    async def health(self) -> str | None:
        """Say what is wrong with Spoolman, or None."""
        return self._trouble

    @command("spoolman.sync", Scope.CONTROL, timeout=PROCESSING_TIMEOUT)
    async def sync(self, _caller: Caller, _params: NoParams) -> Json:
        """Look at Spoolman now; returns what was done on either side."""
        return await self.once()

    async def once(self) -> Json:
        """Make both sides alike, as far as Spoolman lets us; what fails is left for the next time."""
        if self._wire is None:
            raise Conflict("spoolman_off", "Spoolman is not set up")
        self._switches.require("inventory")
        async with self._lock:
            try:
                done = await self._both_ways(self._wire)
            except Unavailable as err:
                self._note(err.message)
                raise
            self._note(None)
        if done["failed"] and done["failed"] != self._failed:
            _LOGGER.warning("Spoolman refused %d changes: %s", len(done["failed"]), done["failed"])
        self._failed = done["failed"]
        return done

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                await self.once()
            except KittyError as err:
                _LOGGER.debug("Spoolman waits: %s", err.message)
                await asyncio.sleep(self._every)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._news.wait()
                await asyncio.sleep(self._together)

    def _note(self, trouble: str | None) -> None:
        """Remember how Spoolman is, and log it when it changes."""
        if trouble is not None and self._trouble is None:
            _LOGGER.warning("%s; what changes here waits for it", trouble)
        elif trouble is None and self._trouble is not None:
            _LOGGER.info("Spoolman answers again")
        self._trouble = trouble

    async def _both_ways(self, wire: Wire) -> Json:
        from brain_server.inventory.spoolman import agreement, telling  # noqa: PLC0415 - only with a Spoolman

        there = await wire.spools()
        now = self._books.clock
        done = await self._books.write(
            lambda connection, touched: agreement.pull(connection, touched, there, now())
        )
        here = await self._books.read(_linked_or_new)
        numbers = {one.id for one in there}
        done["gone"] = await self._forget(
            wire, [row for row in here if row["spoolman_id"] not in {None, *numbers}]
        )
        teller = telling.Teller(books=self._books, wire=wire)
        for row in here:
            if row["archived"]:
                continue
            if row["spoolman_id"] is None:
                await teller.create(row)
            elif row["spoolman_id"] in numbers:
                await teller.tell_use(row)
        return done | {
            "told": teller.told,
            "created": teller.created,
            "failed": teller.failed,
        }

    async def _forget(self, wire: Wire, missing: list[Json]) -> int:
        """Put away what Spoolman no longer has; asked for one by one, since a list may change while it is read."""
        from brain_server.inventory.spoolman import agreement  # noqa: PLC0415 - see above

        gone = [row for row in missing if await wire.spool(row["spoolman_id"]) is None]
        for row in gone:
            await self._books.write(agreement.forgetting(row))
        return len(gone)


def _wire(session: ClientSession, url: str) -> Wire:
    from brain_server.inventory.spoolman.wire import Wire, address  # noqa: PLC0415 - only with a Spoolman

    return Wire(session, address(url))


def _linked_or_new(connection: Connection) -> list[Json]:
    linked = spools.c.spoolman_id.is_not(None)
    return rows.raw_spools(connection, linked | spools.c.archived.is_(False))
