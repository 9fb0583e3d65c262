"""Migrations: the same tables by either road, forward and back, and all of a step or nothing of it."""

import asyncio
from collections.abc import Iterator
import json
from pathlib import Path
import sys
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
import pytest
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, select, text

from brain_server.errors import Unavailable
from brain_server.storage import Database, migrations, tables

NAMES = ("safety", "brain")
METADATA = {"safety": tables.safety, "brain": tables.brain}
TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Give the name of each database in turn."""
    return str(request.param)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Give a plain engine for looking at what was made."""
    made = create_engine(database_url)
    yield made
    made.dispose()


def described(engine: Engine) -> dict[str, Any]:
    """Return all that a database says about its tables, but for the version."""
    look = inspect(engine)
    found: dict[str, Any] = {}
    for table in look.get_table_names():
        found[table] = {
            "columns": [
                (one["name"], str(one["type"]), one["nullable"]) for one in look.get_columns(table)
            ],
            "key": look.get_pk_constraint(table),
            "foreign": sorted(look.get_foreign_keys(table), key=str),
            "unique": sorted(look.get_unique_constraints(table), key=str),
            "checks": sorted(look.get_check_constraints(table), key=str),
            "indexes": sorted(look.get_indexes(table), key=str),
        }
    found.pop("alembic_version_safety", None)
    found.pop("alembic_version_brain", None)
    with engine.connect() as connection:
        rows = connection.execute(text(TRIGGERS[engine.dialect.name]))
        return found | {"triggers": [tuple(row) for row in rows]}


def emptied(engine: Engine, metadata: MetaData) -> None:
    """Remove the tables again."""
    metadata.drop_all(engine)
    with engine.begin() as connection:
        for table in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE {table}"))


def test_the_migrations_make_what_the_tables_say(engine: Engine, name: str) -> None:
    """Columns, types, keys, checks, indexes and triggers: nothing differs."""
    migrations.upgrade(engine, name)
    migrated = described(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours})
        assert compare_metadata(context, METADATA[name]) == []
    emptied(engine, METADATA[name])
    METADATA[name].create_all(engine)
    assert migrated == described(engine)


def ours(name: str | None, _kind: str, _parents: object) -> bool:
    """Leave out the table that Alembic keeps for itself."""
    return not str(name).startswith("alembic_version")


def test_the_way_back_ends_at_nothing_and_leads_forward_again(engine: Engine, name: str) -> None:
    """Down to the ground and up again is the same."""
    migrations.upgrade(engine, name)
    before = described(engine)
    migrations.upgrade(engine, name, "base")
    assert described(engine) == {"triggers": []}
    migrations.upgrade(engine, name)
    assert described(engine) == before


async def test_a_new_database_is_made_at_its_head(database_url: str, name: str) -> None:
    """And nothing is left to migrate."""
    database = Database(database_url, METADATA[name], name=name, durable=True)
    await database.open()
    assert await database.read(_version(name)) == migrations.HEADS[name]
    await database.close()


async def test_a_database_goes_back_and_is_brought_forward_when_it_is_opened(
    database_url: str, name: str
) -> None:
    """Emptied by hand, it opens as a new one does."""
    database = Database(database_url, METADATA[name], name=name, durable=True)
    await database.open()
    await database.close()
    await database.migrate("base")
    await database.open()
    assert await database.read(_version(name)) == migrations.HEADS[name]
    table = min(METADATA[name].sorted_tables, key=str)
    assert await database.read(lambda connection: connection.execute(select(table)).all()) == []
    await database.close()


def _version(name: str) -> Any:
    def work(connection: Connection) -> str | None:
        return migrations.current(connection, name, inspect(connection).get_table_names())

    return work


def test_the_heads_are_those_of_the_scripts(name: str) -> None:
    """A new revision without its number here would be applied twice or never."""
    config = Config()
    place = Path(migrations.__file__).parent / name
    config.set_main_option("script_location", str(place))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [migrations.HEADS[name]]


async def test_both_databases_may_share_one_place(database_url: str) -> None:
    """With PostgreSQL they do: their tables and versions do not meet."""
    opened = [Database(database_url, METADATA[name], name=name, durable=True) for name in NAMES]
    for database in opened:
        await database.open()
    for database in opened:
        await database.close()
    assert not set(tables.safety.tables) & set(tables.brain.tables)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_migration_that_is_killed_is_done_or_not_begun(
    database_url: str, name: str, way: str
) -> None:
    """Killed before each of its statements in turn: the tables are all there, or none is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.brain.storage.interrupted", database_url, name, way),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    output, _ = await process.communicate()
    found = [set(names) - {migrations.version_table(name)} for names in json.loads(output)]
    everything: set[str] = set(METADATA[name].tables)
    old, new = {"up": (set(), everything), "down": (everything, set())}[way]
    assert found[0] == old
    assert found[-1] == new
    assert len(found) > 10
    assert all(names in (old, new) for names in found)


async def test_a_database_of_a_newer_kitty_is_not_touched(database_url: str) -> None:
    """Its version is not known here."""
    database = Database(database_url, tables.safety, name="safety", durable=True)
    await database.open()
    change = text("UPDATE alembic_version_safety SET version_num = '9999'")
    await database.write(lambda connection: connection.execute(change))
    await database.close()
    with pytest.raises(Unavailable) as refused:
        await database.open()
    assert refused.value.code == "storage_failed"
