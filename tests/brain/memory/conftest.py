"""A memory with its database, a model of meanings that the test sets, and people."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from brain_server.bus import Bus
from brain_server.commands import Caller, Scope
from brain_server.memory import Embedder, Meaning, Memory, VectorStore
from brain_server.memory.rows import Rows
from brain_server.observability import Tasks
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.memory.models import Hashing


def person(name: str | None, scope: Scope = Scope.INTEGRATION) -> Caller:
    """Return somebody for whom the integration speaks."""
    return Caller(token="home", scope=scope, user_id=name)


@dataclass
class Place:
    """Everything around a memory."""

    database: Database
    clock: Clock
    model: Hashing | None = field(default_factory=Hashing)
    store: VectorStore | None = None
    bus: Bus = field(default_factory=Bus)
    tasks: Tasks = field(default_factory=Tasks)
    heard: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = Rows(self.database)
        self.bus.listen("memory.rebuilt", lambda event: self.heard.append(event.data))
        self.again()

    def again(self) -> Memory:
        """Make the memory anew, as after a restart."""
        self.embedder = Embedder(
            self.database, lambda: self.model and self.model.source(), self.tasks, self.clock
        )
        self.memory = Memory(
            self.database, self.embedder, self.bus, self.tasks, self.clock, self.store
        )
        return self.memory

    def meaning(self, text: str) -> Meaning:
        """Return what somebody says."""
        return Meaning(text, self.embedder)

    async def recall(self, text: str, *namespaces: str, **more: Any) -> list[str]:
        """Return the texts that are recalled."""
        found = await self.memory.recall(namespaces or ("ada",), self.meaning(text), **more)
        return [one.text for one in found]

    async def settle(self) -> None:
        """Let the background do what it can do now."""
        await self.memory._keeper.once()


@pytest.fixture
async def brain_database(database_url: str) -> AsyncIterator[Database]:
    """Give an open database with the brain's tables, of each kind in turn."""
    made = Database(database_url, tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def light_database(tmp_path: Any) -> AsyncIterator[Database]:
    """Give an open database in a file, for what does not depend on its kind."""
    made = Database(f"sqlite:///{tmp_path / 'light.db'}", tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def place(light_database: Database, clock: Clock) -> AsyncIterator[Place]:
    """Give a memory that has just started."""
    made = Place(light_database, clock)
    await made.memory.start()
    yield made
    await made.memory.stop()
    await made.tasks.stop()


@pytest.fixture
async def both(brain_database: Database, clock: Clock) -> AsyncIterator[Place]:
    """Give a memory on each kind of database in turn."""
    made = Place(brain_database, clock)
    await made.memory.start()
    yield made
    await made.memory.stop()
    await made.tasks.stop()
