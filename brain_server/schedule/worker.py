"""Who does the work: takes what is due, holds it while it goes on, and says how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
import logging
import time
from typing import Any, Final

from sqlalchemy import Connection

from brain_server.bus import Bus
from brain_server.errors import Conflict, KittyError
from brain_server.observability import Tasks, checkpoint, request_id
from brain_server.outbox import tell
from brain_server.protocol import Json
from brain_server.retry import backoff
from brain_server.schedule.queue import LATER, Held, Outcome, Rows

_LOGGER = logging.getLogger(__name__)

AT_ONCE: Final = 16
# How long at most it is waited for a database that does not answer.
MOST_PAUSE: Final = 5.0
IDLE: Final = 1.0
# How often what is in hand is renewed: five times before it would be lost.
RENEW: Final = 2.0
# How long work that is told to stop has for it.
STOP: Final = 5.0
_BAD_REQUEST: Final = range(400, 500)
# Of the client errors those that time may cure.
_CURABLE: Final = frozenset({408, 409, 423, 425, 429})

type Handler = Callable[[Run], Awaitable[Json | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of work: what does it, how much of it at once in the whole house, and how often it is tried."""

    name: str
    run: Handler
    concurrency: int = 1
    timeout: float = 300.0
    tries: int = 3
    first_wait: float = 10.0
    most_wait: float = 3600.0
    # Others are told when it begins and how it ended.
    told: bool = False
    # Tells why it may not run now, or None.
    blocked: Callable[[], str | None] = lambda: None


class Later(Exception):
    """Raised by work that cannot go on yet; it comes back after so many seconds, and no try is counted."""

    def __init__(self, seconds: float) -> None:
        """Come back then."""
        super().__init__(f"in {seconds:g} s")
        self.seconds = seconds


class Run:
    """A piece of work as its handler sees it. What it does may be tried again, unless it is a step."""

    def __init__(self, held: Held, rows: Rows, publish: Callable[[Json], None]) -> None:
        """Take the piece and where it lies."""
        self.id = held.id
        self.kind = held.kind
        self.payload = held.payload
        self.tries = held.tries
        self.requested_by = held.requested_by
        self._held = held
        self._rows = rows
        self._publish = publish

    async def step(self, name: str, do: Callable[[], Awaitable[Json]]) -> Json:
        """Do something whose result is kept: a later try gets it back and does not do it again.

        A process that dies between the deed and the note of it does it twice; what must not be is
        either a transaction of this database (:meth:`once`) or carries an idempotency key.
        """
        known = await self._rows.step(self._held, name)
        if known is not None:
            return known
        result = await do()
        checkpoint("step_done")
        return await self._rows.once(self._held, name, lambda _connection: result)

    async def once(self, name: str, do: Callable[[Connection], Json]) -> Json:
        """Write something exactly once, however often this work is tried; returns what ``do`` returned then."""
        return await self._rows.once(self._held, name, do)

    async def write[T](self, do: Callable[[Connection], T]) -> T:
        """Write in a transaction that Conflict ``lease_lost`` refuses when somebody else has this work now."""
        return await self._rows.write(self._held, do)

    async def progress(self, share: float | None, note: str = "") -> None:
        """Show how far it is: a share from 0 to 1, and in words."""
        self._publish(await self._rows.note(self._held, share, note))


class Worker:
    """Takes work and does it, until it is stopped; what is then under way is put back."""

    def __init__(
        self,
        rows: Rows,
        bus: Bus,
        tasks: Tasks,
        clock: Callable[[], float],
        *,
        at_once: int = AT_ONCE,
        idle: float = IDLE,
    ) -> None:
        """Start with no kinds."""
        self._rows = rows
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._at_once = at_once
        self._idle = idle
        self._kinds: dict[str, Kind] = {}
        self._wake = asyncio.Event()
        self._under_way: dict[str, tuple[Held, asyncio.Task[Outcome]]] = {}
        # Why what is in hand is stopped, as soon as it is.
        self._reasons: dict[Held, asyncio.Future[str]] = {}
        self._settling: set[asyncio.Task[None]] = set()
        # Held while work is taken, until it is begun.
        self._taking = asyncio.Lock()
        self._stopping = False

    @property
    def known(self) -> frozenset[str]:
        """Return the kinds that this process knows."""
        return frozenset(self._kinds)

    def register(self, kind: Kind) -> None:
        """Know one more kind of work."""
        if kind.name in self._kinds:
            message = f"Two kinds of work are called {kind.name}"
            raise ValueError(message)
        self._kinds[kind.name] = kind

    def wake(self) -> None:
        """Look for work now, because there is some."""
        self._wake.set()

    def interrupt(self, identity: str) -> None:
        """Stop a piece that this process has in hand."""
        if identity in self._under_way:
            self._stop(identity, "cancelled")

    async def run(self) -> None:
        """Take work whenever there is some; lasts until it is cancelled."""
        waits = backoff(self._idle, MOST_PAUSE)
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._take()
            except KittyError as err:
                _LOGGER.warning("No work can be taken: %s", err.message)
                await asyncio.sleep(next(waits))
            else:
                waits = backoff(self._idle, MOST_PAUSE)

    async def hold(self) -> None:
        """Renew what is in hand, and stop what is lost or cancelled; lasts until it is cancelled."""
        while True:
            await asyncio.sleep(RENEW)
            if not self._under_way:
                continue
            try:
                await self._renew()
            except KittyError as err:
                _LOGGER.warning("Work in hand is not renewed: %s", err.message)

    async def stop(self) -> None:
        """Take no more, and put back what is under way, at no cost of a try."""
        self._stopping = True
        async with self._taking:
            pass
        for identity in list(self._under_way):
            self._stop(identity, "stopped")
        await asyncio.gather(*self._settling, return_exceptions=True)

    async def _renew(self) -> None:
        mine = dict(self._under_way)
        fences = {identity: held.fence for identity, (held, _) in mine.items()}
        kept = await self._rows.renew(fences)
        for identity, one in mine.items():
            # Of a later try, which was begun meanwhile, the answer says nothing.
            if self._under_way.get(identity) is one and kept.get(identity, True):
                self._stop(identity, "cancelled" if identity in kept else "lost")

    async def _take(self) -> None:
        free = self._free()
        while free and await self._rows.is_any(free):
            # Seen through: what is taken while this process begins to end is in its hand, to be put back.
            if not await self._tasks.see_through("taking work", self._take_of(free)):
                return
            free = self._free()

    async def _take_of(self, free: dict[str, int]) -> bool:
        """Take and begin what there is of these kinds; tells whether it was anything."""
        async with self._taking:
            if self._stopping:
                return False
            most = self._at_once - len(self._under_way)
            taken = await self._rows.take(free, most, self._tell_begun)
            checkpoint("work_taken")
            for held in taken:
                self._begin(held)
            return bool(taken)

    def _free(self) -> dict[str, int]:
        """Return how many of each kind may be taken; which of them run elsewhere is known to the rows."""
        if len(self._under_way) >= self._at_once:
            return {}
        return {
            kind.name: kind.concurrency for kind in self._kinds.values() if kind.blocked() is None
        }

    def _begin(self, held: Held) -> None:
        kind = self._kinds[held.kind]
        if held.id in self._under_way:  # taken from ourselves: it was not renewed in time
            self._stop(held.id, "lost")
        self._reasons[held] = asyncio.get_running_loop().create_future()
        task = self._tasks.start(f"work {held.kind}", self._do(kind, held))
        self._under_way[held.id] = held, task
        settling = self._tasks.start(f"end of work {held.kind}", self._settle(kind, held, task))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)

    async def _do(self, kind: Kind, held: Held) -> Outcome:
        """Do it; what a handler may raise becomes an outcome, anything else breaks this task and is logged."""
        request_id.set(held.request_id or held.id)
        try:
            result = await kind.run(Run(held, self._rows, self._publish))
        except Later as later:
            return Outcome(status="pending", outcome=LATER, wait=later.seconds, counts=False)
        except KittyError as err:
            error = {"code": err.code, "message": err.message}
            final = err.status in _BAD_REQUEST and err.status not in _CURABLE
            return self._again(kind, held, "failed", error, final=final)
        return Outcome(status="completed", outcome="completed", result=result)

    async def _settle(self, kind: Kind, held: Held, task: asyncio.Task[Outcome]) -> None:
        started = time.monotonic()
        ends: set[asyncio.Future[Any]] = {task, self._reasons[held]}
        await asyncio.wait(ends, timeout=kind.timeout, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            self._stop_this(held, task, "timed_out")
            await asyncio.wait({task}, timeout=STOP)
        if not task.done():
            _LOGGER.error("Work %s of kind %s does not stop", held.id, kind.name)
        outcome = self._judge(kind, held, task)
        checkpoint("work_done")
        elapsed = round((time.monotonic() - started) * 1000)
        try:
            if outcome.outcome != "lost":
                await self._record(kind, held, outcome, elapsed)
        finally:
            del self._reasons[held]
            if self._under_way.get(held.id, (None,))[0] is held:
                del self._under_way[held.id]
            self._wake.set()

    def _stop(self, identity: str, reason: str) -> None:
        """Stop a piece in hand; the first reason is the one that counts."""
        self._stop_this(*self._under_way[identity], reason)

    def _stop_this(self, held: Held, task: asyncio.Task[Outcome], reason: str) -> None:
        if not self._reasons[held].done():
            self._reasons[held].set_result(reason)
            # Once: a second time would break off what a handler does at its end, such as booking what was spent.
            task.cancel()

    def _judge(self, kind: Kind, held: Held, task: asyncio.Task[Outcome]) -> Outcome:
        """Return what became of a try."""
        if task.done() and not task.cancelled():
            if task.exception() is None:
                return task.result()
            error = {"code": "internal_error", "message": type(task.exception()).__name__}
            return self._again(kind, held, "failed", error)
        reason = self._reasons[held]
        match reason.result() if reason.done() else None:
            case "timed_out":
                message = f"It took longer than {kind.timeout:g} s"
                error = {"code": "work_timeout", "message": message}
                return self._again(kind, held, "timed_out", error)
            case "cancelled":
                return Outcome(status="cancelled", outcome="cancelled")
            case "lost":
                return Outcome(status="pending", outcome="lost")
            case _:  # this process ends
                return Outcome(status="pending", outcome="cancelled", counts=False)

    def _again(
        self, kind: Kind, held: Held, outcome: str, error: Json, *, final: bool = False
    ) -> Outcome:
        if final or held.tries >= kind.tries:
            return Outcome(status="dead", outcome=outcome, error=error)
        wait = min(kind.first_wait * 2 ** (held.tries - 1), kind.most_wait)
        return Outcome(status="pending", outcome=outcome, error=error, wait=wait)

    async def _record(self, kind: Kind, held: Held, outcome: Outcome, elapsed: int) -> None:
        """Write how it ended, however long the database takes; unless somebody else has the work by then."""

        def told(connection: Connection, held: Held, outcome: Outcome) -> None:
            if kind.told and outcome.status != "pending":
                self._tell_ended(connection, held, outcome, elapsed)

        for wait in backoff(0.5, 30):
            try:
                self._publish(await self._rows.end(held, outcome, told))
            except Conflict:
                _LOGGER.info("Work %s went to somebody else", held.id)
            except KittyError as err:
                _LOGGER.warning("The end of work %s is not recorded yet: %s", held.id, err.message)
                if not self._stopping:
                    await asyncio.sleep(wait)
                    continue
            return

    def _publish(self, row: Json) -> None:
        self._bus.publish("work.updated", row)

    def _tell_begun(self, connection: Connection, held: Held) -> None:
        if self._kinds[held.kind].told:
            data: Json = {
                "id": held.id,
                "type": held.kind,
                "payload": held.payload,
                "timestamp": self._clock(),
                "correlation_id": held.request_id,
                "retry_count": held.tries - 1,
            }
            tell(connection, self._clock(), "task", held.id, held.kind, data)

    def _tell_ended(
        self, connection: Connection, held: Held, outcome: Outcome, elapsed: int
    ) -> None:
        good = outcome.status == "completed"
        data: Json = {
            "task_id": held.id,
            "status": "SUCCESS" if good else "FAILURE",
            "result": outcome.result,
            "error": None if good else (outcome.error or {"code": outcome.status}),
            "processing_time_ms": elapsed,
        }
        tell(connection, self._clock(), "result", held.id, held.kind, data)
