"""The rows of the work queue. Each change of state is one statement that only the holder's fence can make.

Work is held by a *lease*: for so long, renewed while it goes on, and void when it is not. Who takes work gets
a new *fence*, one higher than the last; whoever comes back late, after a pause that was longer than the lease,
still has the old one, and nothing that he writes is kept. So each piece of work takes effect once, however
often it is tried: at least once in the world outside, exactly once in this database.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
import time
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from brain_server.errors import Conflict, InvalidRequest, NotFound
from brain_server.observability import request_id
from brain_server.protocol import Json
from brain_server.storage import Database, insert_new
from brain_server.storage.tables import new_id, work, work_steps, work_tries

LEASE: Final = 10.0
MOST_PRIORITY: Final = 10
# How long a piece waits until it is as urgent as a new one of the next higher priority.
AGING: Final = 600.0
# So many holders may vanish with a piece in hand before it counts as the one that kills them.
MOST_LOST: Final = 10
# What was begun so much later than now was begun by a clock that was ahead, and so was told when to go on.
AHEAD: Final = 300.0
# How a try ends that was none: it only looked whether it may go on.
LATER: Final = "later"
OPEN: Final = ("pending", "running")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """A piece of work in somebody's hand."""

    id: str
    kind: str
    payload: Json
    fence: int
    tries: int
    priority: int
    requested_by: str | None
    request_id: str | None
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a try ended, and what becomes of the piece: ``completed``, ``dead``, ``cancelled`` or ``pending`` again."""

    status: str
    outcome: str
    result: Json | None = None
    error: Json | None = None
    wait: float = 0.0
    counts: bool = True


def put(
    connection: Connection,
    now: float,
    kind: str,
    payload: Json,
    *,
    key: str | None = None,
    priority: int = 5,
    due_at: float | None = None,
    requested_by: str | None = None,
) -> str:
    """Add a piece of work in the caller's transaction and return its id.

    ``priority`` is 1 to 10, 10 first; InvalidRequest ``invalid_priority`` for any other. With the ``key`` of an
    earlier piece nothing is added: it is that piece.
    """
    if not 1 <= priority <= MOST_PRIORITY:
        raise InvalidRequest(
            "invalid_priority", f"A priority is 1 to {MOST_PRIORITY}", priority=priority
        )
    due = now if due_at is None else due_at
    identity = new_id()
    values: Json = {
        "id": identity,
        "kind": kind,
        "key": key,
        "payload": payload,
        "priority": priority,
        "status": "pending",
        "due_at": due,
        "rank": _rank(due, priority),
        "requested_by": requested_by,
        "request_id": request_id.get(),
        "created_at": now,
    }
    if insert_new(connection, work, values):
        return identity
    return str(connection.execute(select(work.c.id).where(work.c.key == key)).scalar_one())


class Rows:
    """What may happen to work; every method is one transaction."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        owner: str,
        *,
        lease: float = LEASE,
        ticks: Callable[[], float] | None = None,
    ) -> None:
        """``owner`` is this process; ``ticks`` counts seconds that no change of the clock moves."""
        self._db = database
        self._clock = clock
        self._owner = owner
        self._lease = lease
        self._ticks = ticks or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))

    async def is_any(self, kinds: Iterable[str]) -> bool:
        """Tell, without a write, whether there is something of these kinds to take, or something lost."""
        due = and_(self._due(), work.c.kind.in_(tuple(kinds)))
        query = select(literal(1)).where(or_(due, self._lost())).limit(1)
        found = await self._db.read(lambda connection: connection.execute(query).scalar())
        return found is not None

    async def take(self, free: Mapping[str, int], most: int, told: Tell) -> list[Held]:
        """Take what is due of these kinds, so many of each at once in all processes, the most urgent first."""

        def run(connection: Connection) -> list[Held]:
            self._give_back(connection, self._lost())
            running = dict(
                connection.execute(
                    select(work.c.kind, func.count())
                    .where(work.c.status == "running")
                    .group_by(work.c.kind)
                )
                .tuples()
                .all()
            )
            room = {kind: most - running.get(kind, 0) for kind, most in free.items()}
            taken: list[Held] = []
            while len(taken) < most and (
                kinds := [kind for kind, left in room.items() if left > 0]
            ):
                rows = connection.execute(
                    select(work)
                    .where(self._due(), work.c.kind.in_(kinds))
                    .order_by(work.c.rank, work.c.id)
                    .limit(min(most - len(taken), *(room[kind] for kind in kinds)))
                )
                found = [self._take(connection, dict(row)) for row in rows.mappings().all()]
                if not found:
                    break
                for held in found:
                    room[held.kind] -= 1
                    told(connection, held)
                taken += found
            return taken

        return await self._db.write(run)

    async def renew(self, held: Mapping[str, int]) -> dict[str, bool]:
        """Hold on to the work of this process; returns what it still has, and whether that is to be cancelled."""
        mine = and_(work.c.owner == self._owner, work.c.status == "running", work.c.id.in_(held))

        def run(connection: Connection) -> dict[str, bool]:
            rows = connection.execute(
                update(work)
                .where(mine)
                .values(lease_until=self._now() + self._lease)
                .returning(work.c.id, work.c.fence, work.c.cancelling)
            )
            return {row.id: row.cancelling for row in rows if held.get(row.id) == row.fence}

        return await self._db.write(run)

    async def end(self, held: Held, outcome: Outcome, told: Told) -> Json:
        """Record how a try ended; Conflict ``lease_lost`` when it is no longer ours."""
        now = self._clock()

        def run(connection: Connection) -> Json:
            self.check(connection, held)
            ended = outcome
            if outcome.status == "pending" and self._row(connection, held.id)["cancelling"]:
                # A person cancelled it when its try was ending already: there is no other.
                ended = replace(outcome, status="cancelled")
            again = ended.status == "pending"
            due = now + outcome.wait
            values: dict[str, Any] = {
                "status": ended.status,
                "owner": None,
                "lease_until": None,
                "result": outcome.result,
                "error": outcome.error,
                "finished_at": None if again else now,
            }
            if again:
                # Its place in the line stays, or what failed once would wait behind everything that came since.
                values |= {"due_at": due, "progress": None}
                values |= {"tries": work.c.tries - (0 if outcome.counts else 1)}
            connection.execute(update(work).where(work.c.id == held.id).values(values))
            if outcome.outcome == LATER:
                # Or what looks every few seconds for days would leave thousands of rows.
                this = and_(work_tries.c.work_id == held.id, work_tries.c.fence == held.fence)
                connection.execute(delete(work_tries).where(this))
            else:
                self._end_try(connection, held.id, held.fence, outcome.outcome, outcome.error)
            row = self._row(connection, held.id)
            told(connection, held, ended)
            return row

        return await self._db.write(run)

    async def write[T](self, held: Held, do: Callable[[Connection], T]) -> T:
        """Do something in a transaction that fails with Conflict ``lease_lost`` when the work is no longer ours."""

        def run(connection: Connection) -> T:
            self.check(connection, held)
            return do(connection)

        return await self._db.write(run)

    async def once(self, held: Held, name: str, do: Callable[[Connection], Json]) -> Json:
        """Do something and note its result in the same transaction; a later try gets the result only."""

        def run(connection: Connection) -> Json:
            self.check(connection, held)
            known = self._step(connection, held.id, name)
            if known is not None:
                return known
            result = do(connection)
            connection.execute(
                insert(work_steps).values(
                    work_id=held.id, name=name, result=result, at=self._clock()
                )
            )
            return result

        return await self._db.write(run)

    async def step(self, held: Held, name: str) -> Json | None:
        """Return what a step of this work gave in an earlier try."""
        return await self._db.read(lambda connection: self._step(connection, held.id, name))

    async def note(self, held: Held, progress: float | None, note: str) -> Json:
        """Say how far the work is."""

        def run(connection: Connection) -> Json:
            self.check(connection, held)
            values = {"progress": progress, "note": note[:255]}
            connection.execute(update(work).where(work.c.id == held.id).values(values))
            return self._row(connection, held.id)

        return await self._db.write(run)

    async def cancel(self, identity: str) -> Json:
        """Cancel what waits at once, and ask whoever holds it to stop; Conflict ``work_over`` when it is over."""
        now = self._clock()

        def run(connection: Connection) -> Json:
            row = self._row(connection, identity)
            if row["status"] not in OPEN:
                raise Conflict("work_over", "It is over")
            waits = and_(work.c.id == identity, work.c.status == "pending")
            gone = update(work).where(waits).values(status="cancelled", finished_at=now)
            if connection.execute(gone).rowcount == 0:
                connection.execute(
                    update(work).where(work.c.id == identity).values(cancelling=True)
                )
            return self._row(connection, identity)

        return await self._db.write(run)

    async def retry(self, identity: str) -> Json:
        """Let dead work be tried again, with all its tries; Conflict ``work_not_dead`` for any other."""
        now = self._clock()

        def run(connection: Connection) -> Json:
            row = self._row(connection, identity)
            revived = (
                update(work)
                .where(work.c.id == identity, work.c.status == "dead")
                .values(
                    status="pending",
                    tries=0,
                    error=None,
                    finished_at=None,
                    cancelling=False,
                    due_at=now,
                    rank=_rank(now, row["priority"]),
                )
            )
            if connection.execute(revived).rowcount == 0:
                raise Conflict("work_not_dead", "Only work that was given up can be tried again")
            return self._row(connection, identity)

        return await self._db.write(run)

    async def free_all(self) -> None:
        """Take back all work at once, because nobody else is alive who could hold it."""

        def run(connection: Connection) -> None:
            self._give_back(connection, work.c.status == "running")

        await self._db.write(run)

    async def tidy(
        self, known: frozenset[str], *, over: float, dead: float, strange: float
    ) -> None:
        """Forget what was over before ``over`` or dead before ``dead``; give up what no one knows since ``strange``."""
        now = self._clock()

        def run(connection: Connection) -> None:
            ended = work.c.status.in_(("completed", "cancelled"))
            old = or_(
                and_(ended, work.c.finished_at < over),
                and_(work.c.status == "dead", work.c.finished_at < dead),
            )
            connection.execute(delete(work).where(old))
            unknown = and_(
                work.c.status == "pending", work.c.kind.not_in(known), work.c.due_at < strange
            )
            error = {"code": "unknown_kind", "message": "This version does not know such work"}
            connection.execute(
                update(work).where(unknown).values(status="dead", error=error, finished_at=now)
            )

        await self._db.write(run)

    # -- inside a transaction ---------------------------------------------------------------------------

    def check(self, connection: Connection, held: Held) -> None:
        """Raise Conflict ``lease_lost`` unless this fence holds the work, which then stays so until the commit."""
        ours = and_(work.c.id == held.id, work.c.fence == held.fence, work.c.status == "running")
        row = connection.execute(select(work.c.id).where(ours)).scalar()
        if row is None:
            raise Conflict("lease_lost", "Somebody else has taken over this work", work_id=held.id)

    def _take(self, connection: Connection, row: Json) -> Held:
        fence = row["fence"] + 1
        now = self._clock()
        connection.execute(
            update(work)
            .where(work.c.id == row["id"])
            .values(
                status="running",
                owner=self._owner,
                fence=fence,
                lease_until=self._now() + self._lease,
                tries=row["tries"] + 1,
                started_at=now,
            )
        )
        connection.execute(
            insert(work_tries).values(
                work_id=row["id"], fence=fence, owner=self._owner, started_at=now
            )
        )
        return Held(
            id=row["id"],
            kind=row["kind"],
            payload=row["payload"],
            fence=fence,
            tries=row["tries"] + 1,
            priority=row["priority"],
            requested_by=row["requested_by"],
            request_id=row["request_id"],
            created_at=row["created_at"],
        )

    def _give_back(self, connection: Connection, which: ColumnElement[bool]) -> None:
        """Let be taken again what its holder let go of without a word; what kills its holders is given up."""
        now = self._clock()
        for row in connection.execute(select(work).where(which)).mappings().all():
            self._end_try(connection, row["id"], row["fence"], "lost", None)
            lost = connection.execute(
                select(func.count()).where(
                    work_tries.c.work_id == row["id"], work_tries.c.outcome == "lost"
                )
            ).scalar_one()
            values: dict[str, Any] = {"owner": None, "lease_until": None}
            if row["cancelling"]:
                values |= {"status": "cancelled", "finished_at": now}
            elif lost > MOST_LOST:
                error = {"code": "work_lost", "message": "Whoever had this work vanished with it"}
                values |= {"status": "dead", "error": error, "finished_at": now}
            else:
                # Its place in the line stays; a try that nobody saw the end of is not the work's fault.
                values |= {"status": "pending", "tries": row["tries"] - 1}
            connection.execute(update(work).where(work.c.id == row["id"]).values(values))

    def _end_try(
        self, connection: Connection, identity: str, fence: int, outcome: str, error: Json | None
    ) -> None:
        this = and_(work_tries.c.work_id == identity, work_tries.c.fence == fence)
        values = {"finished_at": self._clock(), "outcome": outcome, "error": error}
        connection.execute(update(work_tries).where(this).values(values))

    @staticmethod
    def _step(connection: Connection, identity: str, name: str) -> Json | None:
        this = and_(work_steps.c.work_id == identity, work_steps.c.name == name)
        found: Json | None = connection.execute(select(work_steps.c.result).where(this)).scalar()
        return found

    @staticmethod
    def _row(connection: Connection, identity: str) -> Json:
        row = connection.execute(select(work).where(work.c.id == identity)).mappings().first()
        if row is None:
            raise NotFound("work_not_found", "There is no such work")
        return view(dict(row))

    def _due(self) -> ColumnElement[bool]:
        now = self._clock()
        begun = func.coalesce(work.c.started_at, work.c.created_at)
        astray = and_(work.c.due_at > now + AHEAD, begun > now + AHEAD)
        return and_(work.c.status == "pending", or_(work.c.due_at <= now, astray))

    def _lost(self) -> ColumnElement[bool]:
        # A lease that ends later than a new one would is of another life of this clock: void, too.
        now = self._now()
        held = and_(work.c.lease_until > now, work.c.lease_until <= now + self._lease)
        return and_(work.c.status == "running", ~held)

    def _now(self) -> ColumnElement[float]:
        """Return the time by which leases are measured: the server's, or that of this machine since it was started."""
        if self._db.is_sqlite:
            return literal(self._ticks())
        return func.date_part("epoch", func.clock_timestamp())


type Tell = Callable[[Connection, Held], None]
type Told = Callable[[Connection, Held, Outcome], None]


def view(row: Json) -> Json:
    """Return a row as clients see it."""
    hidden = {"key", "rank", "owner", "fence", "lease_until", "payload"}
    return {name: value for name, value in row.items() if name not in hidden}


def _rank(due: float, priority: int) -> float:
    """Return the place in the line: with each priority as if it had waited ten minutes longer."""
    return due - priority * AGING
