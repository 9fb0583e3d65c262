"""Databases: one writer thread with group commit, a pool of readers, migrations forward and back."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
import logging
import os
from pathlib import Path
import queue
import sqlite3
import threading
import time
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Select,
    Table,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from brain_server import metrics, tracing
from brain_server.errors import Unavailable
from brain_server.retry import DATABASE, retrying

_LOGGER = logging.getLogger(__name__)

BATCH: Final = 256
BUSY_SECONDS: Final = 1.0
# So long a connection to PostgreSQL may hang in the middle of something.
LOST_SECONDS: Final = 5.0
BALLAST_BYTES: Final = 1024 * 1024
BALLAST_STEP: Final = 64 * 1024
# How long one asks what became of a commit that was cut off, while the server starts again.
VERDICT_SECONDS: Final = 15.0
VERDICT_PAUSE: Final = 0.1
POSTGRES_POOL: Final = 20
POSTGRES_OVERFLOW: Final = 40

# The number of a transaction that has written something, and what became of one.
_NUMBER: Final = text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
_BECAME: Final = text("SELECT pg_xact_status(CAST(:number AS xid8))")


# Any number: under it tables are made.
_MAKING: Final = 0x6B697401
# On PostgreSQL, too, one process writes at a time: two that each hold what the other wants would both fail, and ids
# would not come in the order of the commits, so that whoever reads on from the last would pass over some.
_TURN: Final = text("SELECT pg_advisory_xact_lock(:ours, hashtext(:name))").bindparams(
    ours=0x6B697402
)


class _Work(NamedTuple):
    run: Callable[[Connection], Any]
    done: Future[Any]
    context: Context  # of the caller, so that what is written knows its request


class Database:
    """One database. ``write`` returns after the commit is on the disk; ``read`` never blocks the loop."""

    def __init__(
        self, url: str, metadata: MetaData, *, name: str, durable: bool, slow_ms: float = 250.0
    ) -> None:
        """Describe the database; ``durable`` makes each commit survive a power loss (SQLite FULL)."""
        self.name = name
        self.metadata = metadata
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.broken: str | None = None
        # Refuses a transaction, before anything is written, with what it raises.
        self.fence: Callable[[Connection], None] | None = None
        self._durable = durable
        self._slow = slow_ms / 1000
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._engine: Engine
        self._reader: Engine
        self._readers: ThreadPoolExecutor
        self._writer: threading.Thread

    async def open(self) -> None:
        """Create or migrate the tables and start the writer; Unavailable when that fails."""
        # Of the connections to PostgreSQL one is the writer's.
        workers = 4 if self.is_sqlite else POSTGRES_POOL + POSTGRES_OVERFLOW - 1
        self._readers = ThreadPoolExecutor(workers, thread_name_prefix=f"{self.name}-read")
        loop = asyncio.get_running_loop()
        try:
            await self._answer(lambda: loop.run_in_executor(self._readers, self._open))
        except (SQLAlchemyError, Unavailable) as err:
            self._readers.shutdown(wait=False)
            if isinstance(err, Unavailable):
                raise
            raise Unavailable(
                "storage_failed", "The database cannot be used", reason=str(err)
            ) from err
        self._writer = threading.Thread(
            target=self._write_loop, name=f"{self.name}-write", daemon=True
        )
        self._writer.start()

    async def migrate(self, revision: str) -> None:
        """Move the tables of a closed database to a revision, forward or back."""
        await asyncio.to_thread(self._open, revision)
        await asyncio.to_thread(self._dispose)

    async def close(self) -> None:
        """Finish what was accepted, then release the files."""
        self._queue.put(None)
        await asyncio.to_thread(self._close)

    async def write[T](self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction of its own kind and return when it is committed; nobody else writes meanwhile.

        What ``work`` raises is raised here, and nothing of it is kept. A database that is locked or out
        of space raises Unavailable (``database_busy``, ``storage_full``) after three tries.
        """

        async def once() -> T:
            done: Future[T] = Future()
            self._queue.put(_Work(work, done, copy_context()))
            return await asyncio.wrap_future(done)

        with tracing.span("db.write", kind="client", database=self.name):
            return await self._answer(once)

    async def read[T](self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on a connection that cannot write."""

        def run() -> T:
            started = time.perf_counter()
            with self._reader.connect() as connection:
                try:
                    return work(connection)
                finally:
                    self._note_slow(time.perf_counter() - started, work)

        async def once() -> T:
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)

        with tracing.span("db.read", kind="client", database=self.name):
            return await self._answer(once)

    async def read_in_turn[T](self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` behind every ``write`` that came before, and answer in their order.

        For what is told: of two that read at the same time, the one that read the older state may be heard last.
        """
        return await self.write(work)

    def reading(self) -> AbstractContextManager[Connection]:
        """Return a connection that cannot write, for a thread that may block."""
        return self._reader.connect()

    async def check(self) -> str | None:
        """Say what is wrong with this database, or None."""
        there = await self.read(lambda connection: set(inspect(connection).get_table_names()))
        if gone := sorted(set(self.metadata.tables) - there):
            return f"Tables are missing: {', '.join(gone)}. Restore a backup"
        return self.broken

    async def _answer[T](self, once: Callable[[], Any]) -> T:
        async def attempt() -> T:
            try:
                result: T = await once()
            except DBAPIError as err:
                if not _is_passing(err):
                    raise
                raise _sorted(err) from err
            return result

        try:
            return await retrying(DATABASE, attempt)
        except Unavailable as err:
            if err.code not in DATABASE.codes:
                raise
            raise Unavailable(
                "database_busy", "The database is busy; try again", retry_after=1
            ) from err

    def _close(self) -> None:
        self._writer.join()
        self._readers.shutdown()  # a read whose caller has gone still holds its connection
        self._dispose()

    def _dispose(self) -> None:
        self._engine.dispose()
        self._reader.dispose()

    def _open(self, revision: str = "head") -> None:
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        url = self.url.render_as_string(hide_password=False)
        self._engine = self._reader = (
            _postgres(url)
            if not self.is_sqlite
            else _sqlite(url, synchronous="FULL" if self._durable else "NORMAL")
        )
        self._prepare_ballast()
        try:
            self._migrate(revision)
        except BaseException:
            self._engine.dispose()
            raise
        if self.is_sqlite:
            self._reader = _sqlite(url, synchronous="NORMAL", read_only=True)
        else:
            self._reader = self._engine.execution_options(postgresql_readonly=True)

    def _migrate(self, revision: str) -> None:
        """Create a new database at once; bring an old one forward with Alembic, imported only then."""
        from brain_server.storage import migrations  # noqa: PLC0415 - 40 ms that a normal start saves

        with self._engine.begin() as connection:
            if not self.is_sqlite:  # of brains that find nothing here, one makes it
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MAKING})"))
            names = inspect(connection).get_table_names()
            current = migrations.current(connection, self.name, names)
            if current is None:
                self.metadata.create_all(connection)
                migrations.stamp(connection, self.name)
        wanted = migrations.HEADS[self.name] if revision == "head" else revision
        if current is not None and current != wanted:
            migrations.upgrade(self._engine, self.name, revision)

    def _write_loop(self) -> None:
        while True:
            batch: list[_Work] = []
            item = self._queue.get()
            while item is not None:
                # From here on a waiter that is cancelled no longer takes its write back.
                if item.done.set_running_or_notify_cancel():
                    batch.append(item)
                if len(batch) == BATCH or self._queue.empty():
                    break
                item = self._queue.get()
            if batch:
                self._commit(batch)
            if item is None:
                return

    def _commit(self, batch: list[_Work]) -> None:
        results: list[tuple[_Work, Any, BaseException | None]] = []
        started = time.perf_counter()
        number: str | None = None
        try:
            with self._engine.begin() as connection:
                if self.fence is not None:
                    self.fence(connection)
                if not self.is_sqlite:
                    connection.execute(_TURN, {"name": self.name})
                alone = len(batch) == 1
                results.extend((work, *_run_one(connection, work, alone=alone)) for work in batch)
                number = None if self.is_sqlite else connection.execute(_NUMBER).scalar()
        except (SQLAlchemyError, Unavailable, _Rollback) as err:
            # Cut off during its commit it may have been kept, and must not be done again.
            verdict = err if number is None else self._verdict(number, err)
            if verdict is not None:
                self._fail(batch, verdict)
                return
        if self.broken is not None:
            self.broken = None
            self._prepare_ballast()
        self._note_slow(time.perf_counter() - started, batch[0].run)
        for work, value, error in results:
            if error is None:
                work.done.set_result(value)
            else:
                work.done.set_exception(error)

    def _verdict[E: Exception](self, number: str, err: E) -> E | Unavailable | None:
        """Return what to say of a transaction that broke during its commit; None when it was kept all the same."""
        deadline = time.monotonic() + VERDICT_SECONDS
        while time.monotonic() < deadline:
            try:
                with self._engine.connect() as connection:
                    found = connection.execute(_BECAME, {"number": number}).scalar()
            except OperationalError:
                found = None
            match found:
                case "committed":
                    return None
                case "aborted":
                    return err
            time.sleep(VERDICT_PAUSE)  # in the thread that writes
        return Unavailable("storage_failed", "Nobody knows whether this was recorded")

    def _fail(self, batch: list[_Work], err: SQLAlchemyError | Unavailable | _Rollback) -> None:
        """Nothing of the batch was kept: say so to each that waits."""
        reason = err.reason if isinstance(err, _Rollback) else err
        if _is_full(reason):
            self.broken = "The disk is full"
            self._drop_ballast()
            reason = Unavailable("storage_full", "There is no space left to record this safely")
        for work in batch:
            work.done.set_exception(reason)

    def _note_slow(self, seconds: float, work: Callable[..., Any]) -> None:
        if seconds > self._slow:
            metrics.count_slow_query(self.name)
            name = getattr(work, "__qualname__", "?")
            _LOGGER.warning("Slow query on %s: %s took %.0f ms", self.name, name, seconds * 1000)

    # A refusal must still be recorded when the disk is full: this file is given up for it.
    @property
    def _ballast(self) -> Path | None:
        database = self.url.database
        return (
            Path(f"{database}.ballast") if self._durable and self.is_sqlite and database else None
        )

    def _prepare_ballast(self) -> None:
        """Take the reserve, or as much of it as there is; chance bytes, that no file system packs."""
        if self._ballast is None or self._ballast.exists():
            return
        try:
            with self._ballast.open("wb", buffering=0) as file:
                for _ in range(BALLAST_BYTES // BALLAST_STEP):
                    file.write(os.urandom(BALLAST_STEP))
        except OSError:
            _LOGGER.warning("Too little space for the reserve of %s", self.name)

    def _drop_ballast(self) -> None:
        if self._ballast is not None:
            self._ballast.unlink(missing_ok=True)


def insert_new(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless there is one of its key, whoever made it meanwhile; returns whether it was inserted."""
    made: Any
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - 2 MB for the dialect that is not used

        made = sqlite.insert(table)
    else:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

        made = postgresql.insert(table)
    made = made.values(values).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(made).first() is not None


class Part(Protocol):
    """How much of a list is wanted: so many rows behind a cursor."""

    @property
    def cursor(self) -> str | None: ...  # noqa: D102 - the class says what these are

    @property
    def limit(self) -> int: ...  # noqa: D102 - see above


def page_of(
    query: Select[Any], key: ColumnElement[Any], page: Part, *, newest_first: bool = False
) -> Select[Any]:
    """Return the query of a part of a list and one row more, from the oldest or from the newest on."""
    if page.cursor is not None:
        query = query.where(key < page.cursor if newest_first else key > page.cursor)
    order = key.desc() if newest_first else key
    return query.order_by(None).order_by(order).limit(page.limit + 1)


class _Rollback(Exception):
    """The transaction of a single piece of work was rolled back because it raised."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _run_one(
    connection: Connection, work: _Work, *, alone: bool
) -> tuple[Any, BaseException | None]:
    """Run one piece; among others in a savepoint, so that its failure takes only itself back."""
    try:
        if alone:
            return work.context.run(work.run, connection), None
        with connection.begin_nested():
            return work.context.run(work.run, connection), None
    except Exception as err:  # the caller waits for it in another thread; it is re-raised there
        if alone:
            raise _Rollback(err) from err
        if _is_passing(err):
            raise
        return None, err


def _postgres(url: str) -> Engine:
    engine = create_engine(
        url,
        pool_size=POSTGRES_POOL,
        max_overflow=POSTGRES_OVERFLOW,
        pool_pre_ping=True,
        connect_args={"tcp_user_timeout": round(LOST_SECONDS * 1000)},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # Another process that stopped in the middle of a transaction must not stop this one, too.
        connection.execute(f"SET lock_timeout = {round(BUSY_SECONDS * 1000)}")
        # And what it holds is given back, should it never go on.
        lost = round(LOST_SECONDS * 1000)
        connection.execute(f"SET idle_in_transaction_session_timeout = {lost}")
        connection.commit()

    return engine


def _sqlite(url: str, *, synchronous: str, read_only: bool = False) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "trusted_schema=OFF",
            f"query_only={int(read_only)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _is_full(err: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error; SQLite then also ends the savepoints that are left."""
    while err is not None:
        words = str(err.orig) if isinstance(err, OperationalError) else ""
        if "disk is full" in words or "No space left" in words:
            return True
        err = err.__cause__ or err.__context__
    return False


def _is_passing(err: Exception) -> bool:
    """Tell whether the database failed, or a connection to it, and not what was asked of it."""
    # PostgreSQL does not call it operational when it ends a session that stood still for too long.
    lost = isinstance(err, DBAPIError) and err.connection_invalidated
    return lost or isinstance(err, OperationalError)


def _sorted(err: DBAPIError) -> Unavailable:
    """Sort an operational error: worth another try, or final."""
    words = str(err.orig).lower()
    if "deadlock" in words:
        return Unavailable("deadlock_detected", "Two transactions waited for each other")
    if "locked" in words or "timeout" in words or "connection" in words:
        return Unavailable("connection_timeout", "The database did not answer in time")
    return Unavailable("storage_failed", "The database cannot be used", reason=str(err.orig))
