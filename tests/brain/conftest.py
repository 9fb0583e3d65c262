"""What all tests of the brain share: no blocked loop, a clock, databases, and a gate with its people."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
import gc
import logging
from pathlib import Path
import time

from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import given, settings, strategies as st
import pytest

from brain_server.safety.gate import Gate
from brain_server.storage import Database
from tests.brain.gatehouse import Clock, Gatehouse
from tests.standins.postgres import Postgres

SLOW_MS = 600_000.0
# The same cases each time, on every machine: a new one is looked for with --hypothesis-profile=default.
settings.load_profile("ci")

ENGINES = ("sqlite", pytest.param("postgres", marks=pytest.mark.service))


@pytest.fixture(autouse=True, scope="session")
def hypothesis_begun() -> None:
    """Let Hypothesis register its random numbers: among frozen objects it would not find who holds them, and warn."""
    given(st.none())(lambda nothing: None)()


@pytest.fixture(autouse=True, scope="module")
def swept(hypothesis_begun: None) -> Iterator[None]:
    """Collect what the tests of a file leave behind, and pass over what stays: else one collection takes seconds."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Take back what a command does to the logs of its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def no_query_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no log tell that this machine was busy, but where a test says what is slow."""
    monkeypatch.setitem(Database.__init__.__kwdefaults__ or {}, "slow_ms", SLOW_MS)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Live in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test in which the brain blocks the event loop."""
    with blockbuster_ctx("brain_server") as guard:
        yield guard


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL for all tests that need one."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def sqlite_file(folder: Path, _request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of a database in a file, and remove its reserve of a megabyte afterwards."""
    yield f"sqlite:///{folder / 'safety.db'}"
    (folder / "safety.db.ballast").unlink(missing_ok=True)


@contextmanager
def postgres_database(_folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of an empty database on a server."""
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.give_back(url)


MAKERS = {"sqlite": sqlite_file, "postgres": postgres_database}


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of an empty database, of each kind in turn."""
    with MAKERS[request.param](tmp_path, request) as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    """Give a clock that the test sets."""
    return Clock()


@pytest.fixture
async def house(database_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Gatehouse]:
    """Give a gate with people, zones and a paired Home Assistant."""
    made = Gatehouse(database_url, tmp_path, clock)
    await made.open()
    await made.furnish()
    yield made
    await made.close()


@pytest.fixture
def gate(house: Gatehouse) -> Gate:
    """Give the gate of the house."""
    return house.gate
