"""Who is awake: a lock that ends with its session, and rows that outlive it.

The lock is free at once when the process that held it is gone. Row ``brain`` says who is awake; its fence grows
with every owner. Each transaction of the one awake holds that row (:meth:`Lease.check`), so that a new owner waits
for what is being committed, and what comes later is refused. Row ``brain pulse`` is what the owner renews; no
transaction keeps it from that. A pulse that stands still though the lock is held is that of a brain which is paused
or cut off: its sessions are ended from here, and then it is as one that died. No wall clock is asked.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
import json
import logging
import os
import platform
import time
from typing import Any, Final, NamedTuple
import uuid

import psycopg
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url

from brain_server.cluster import statements
from brain_server.errors import Conflict, Unavailable
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage.tables import leases

_LOGGER = logging.getLogger(__name__)

NAME: Final = "brain"
POLL: Final = 0.05
LOOK_EVERY: Final = 0.25
# Whoever was awake when the database went away comes first when it is back.
HEAD_START: Final = 0.5
BEATS: Final = 4
AGAIN: Final = 0.1


class Holder(NamedTuple):
    """What the rows say of the brain that is, or was, awake."""

    owner: str
    fence: int
    info: Json
    until: float | None
    # The session that has the lock.
    session: int | None


class Lease:
    """One brain's part in the question who is awake: :meth:`win`, :meth:`settle`, :meth:`release`."""

    def __init__(
        self, url: str, *, ttl: float, identity: Callable[[], str | None], stop: asyncio.Event
    ) -> None:
        """Take the address of the database, how long a pulse may stand still, and what is set at the end.

        ``identity`` returns the fingerprint of this brain's keys, None as long as there are none; it may block.
        ``stop`` ends :meth:`win`, and is set when another brain is awake.
        """
        self.owner = uuid.uuid4().hex
        self.name = _named(self.owner)
        self.lost = False
        self.fence: int | None = None
        self._url = make_url(url)
        self._ttl = ttl
        self._identity = identity
        self._stop = stop
        self._tasks = Tasks()
        self._loop = asyncio.get_running_loop()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._renewed_at = 0.0
        self._session = 0
        # The keys of the others, once they were found to be ours.
        self._ours: str | None = None
        self._seen: tuple[Holder | None, float] = (None, 0.0)
        self._looked_at = 0.0
        self._held = False
        self._one_at_a_time = asyncio.Lock()

    @property
    def url(self) -> str:
        """Return the address under which the other databases of this brain are opened: its sessions are known by it."""
        named = self._url.update_query_dict({"application_name": self.name})
        return named.render_as_string(hide_password=False)

    @property
    def fresh(self) -> bool:
        """Whether this brain is awake, as far as it can tell without asking."""
        lapsed = time.monotonic() - self._renewed_at > self._ttl
        return self._held and not self.lost and not lapsed

    async def health(self) -> str | None:
        """Say that the lease was not renewed in time, None when it was."""
        return None if self.fresh else "Another brain may be awake"

    # -- standing by ----------------------------------------------------------------------------------

    async def try_to_win(self) -> bool:
        """Be the one awake if no other is; Unavailable ``storage_failed``, Conflict ``other_keys``."""
        try:
            return await self._try()
        except psycopg.Error as err:
            raise Unavailable(
                "storage_failed", "The database cannot be used", reason=str(err)
            ) from err

    async def win(self) -> bool:
        """Wait until no other brain is awake, and be the one; False when told to stop. Conflict ``other_keys``."""
        away = False
        while not self._stop.is_set():
            try:
                if away:
                    await self._connected()
                    away = False
                    await asyncio.sleep(self._ttl * HEAD_START)
                if await self._try():
                    return True
                await asyncio.sleep(POLL)
            except psycopg.Error as err:
                if not away:
                    _LOGGER.warning("Standing by without a database: %s", err)
                away = True
                await self._hang_up()
                await asyncio.sleep(LOOK_EVERY)
        return False

    async def _try(self) -> bool:
        connection = await self._connected()
        if time.monotonic() - self._looked_at > LOOK_EVERY:
            await self._watch(connection)
        row = await connection.execute(statements.TRY)
        if await row.fetchone() != (True,):
            return False
        holder = await self._look(connection)
        await self._must_be_ours(holder)
        with suppress(psycopg.errors.UndefinedTable):  # a new database: see ``settle``
            await self._take(connection, holder)
        self._held, self._renewed_at = True, time.monotonic()
        self._tasks.start("lease", self._keep())
        _LOGGER.info("Awake", extra={"owner": self.owner, "fence": self.fence})
        return True

    async def _watch(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Look at the one that is awake, and end its sessions where its pulse stands still."""
        asked_at = time.monotonic()
        holder = await self._look(connection)
        await self._must_be_ours(holder)
        seen, since = self._seen
        if holder != seen:
            self._seen = (holder, time.monotonic())
        elif holder is not None and holder.session and asked_at - since > self._ttl:
            # By when it was asked: an answer that was read late, after a pause of ours, proves nothing.
            _LOGGER.warning("The brain that is awake does not move; it is put to sleep")
            about = {"session": holder.session, "until": holder.until}
            await connection.execute(statements.END_HOLDER, about)
        self._looked_at = time.monotonic()

    async def _look(self, connection: psycopg.AsyncConnection[Any]) -> Holder | None:
        """Return who is, or was, awake; None on a database that no brain has used."""
        try:
            found = await (await connection.execute(statements.LOOK)).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return None if found is None else Holder(*found)

    async def _must_be_ours(self, holder: Holder | None) -> None:
        """Refuse to be awake for a brain with other keys: what it signed and chained could not be checked."""
        theirs = None if holder is None else holder.info.get("keys")
        if theirs in {None, self._ours}:
            return
        if theirs != await asyncio.to_thread(self._identity):
            raise Conflict("other_keys", "The brains of one database need the same keys.json")
        self._ours = theirs

    async def _take(self, connection: psycopg.AsyncConnection[Any], before: Holder | None) -> None:
        """Become the owner. What the one before still has open would only keep us waiting: it is ended."""
        if before is not None:
            await connection.execute(statements.END, {"name": _named(before.owner)})
        info = {
            "session": self._session,
            "host": platform.node(),
            "process": os.getpid(),
            "keys": await asyncio.to_thread(self._identity),
        }
        about = {"owner": self.owner, "info": json.dumps(info)}
        async with connection.transaction():
            row = await connection.execute(statements.TAKE, about)
            (self.fence,) = await row.fetchone() or (None,)
            await connection.execute(statements.FORGET)
            await self._beat(connection)

    # -- awake ----------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Become the owner on a database that was new, now that it has its tables."""
        async with self._one_at_a_time:
            if self.fence is None:
                await self._take(await self._connected(), None)

    def check(self, connection: Connection) -> None:
        """Refuse a transaction of a brain that is no longer awake; else nobody takes over before its commit."""
        self._compare(connection, select(leases.c.fence).with_for_update(read=True))

    def confirm(self, connection: Connection) -> None:
        """Refuse, before something is done that no transaction can take back, if another brain is awake."""
        self._compare(connection, select(leases.c.fence))

    def _compare(self, connection: Connection, query: Any) -> None:
        fence = connection.execute(query.where(leases.c.name == NAME)).scalar()
        if fence != self.fence or self.lost:
            self._loop.call_soon_threadsafe(self._lose)
            raise Unavailable("not_awake", "Another brain is awake now", retry_after=1)

    def _lose(self) -> None:
        if not self.lost:
            _LOGGER.warning("Another brain is awake now", extra={"fence": self.fence})
            self.lost = True
            self._stop.set()

    async def _keep(self) -> None:
        """Renew the lease until it is lost."""
        pause = self._ttl / BEATS
        while not self.lost:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(self._ttl / 2), self._one_at_a_time:
                    pause = self._ttl / BEATS if await self._renew() else AGAIN
            except (psycopg.Error, TimeoutError) as err:
                if pause != AGAIN:  # once, and not at each further try
                    _LOGGER.warning("The lease could not be renewed: %s", err)
                await self._hang_up()
                pause = AGAIN

    async def _renew(self) -> bool:
        """Renew the lease; False when the lock is not ours, which need not be the end of it."""
        before = self._session
        anew = self._connection is None
        connection = await self._connected()
        started = time.monotonic()
        if self.fence is not None:
            await self._beat(connection)
        if anew:
            row = await connection.execute(statements.TRY)
            if await row.fetchone() != (True,):
                # It may be a session of our own, which the server does not yet know to be dead.
                await connection.execute(
                    statements.END_MINE, {"session": before, "name": self.name}
                )
                await self._hang_up()
                self._session = before
                return False
        elif self.fence is None:
            await connection.execute("SELECT 1")
        self._renewed_at = started
        return True

    async def _beat(self, connection: psycopg.AsyncConnection[Any]) -> None:
        given = {"owner": self.owner, "fence": self.fence, "ttl": self._ttl}
        row = await connection.execute(statements.BEAT, given)
        if await row.fetchone() is None:
            self._lose()

    async def release(self) -> None:
        """Let another brain be awake."""
        self._held = False
        await self._tasks.stop()
        await self._hang_up()

    # -- the session ----------------------------------------------------------------------------------

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            address = self._url.set(drivername="postgresql")
            self._connection = await psycopg.AsyncConnection.connect(
                address.render_as_string(hide_password=False),
                autocommit=True,
                application_name=self.name,
                connect_timeout=2,
                tcp_user_timeout=round(self._ttl * 1000),
            )
            self._session = self._connection.info.backend_pid
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()


def _named(owner: str) -> str:
    """Return the name by which the sessions of a brain are known."""
    return f"kitty-brain {owner}"
