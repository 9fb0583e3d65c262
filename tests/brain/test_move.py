"""All rows move to PostgreSQL when SQLite is outgrown, and back; nothing is lost, changed or doubled."""

import asyncio
from collections.abc import Iterator
import json
from pathlib import Path
import sqlite3
from typing import Any

import pytest
from sqlalchemy import create_engine, func, insert, inspect, select

from brain_server.__main__ import main
from brain_server.cluster.alone import alone
from brain_server.cluster.lease import Lease
from brain_server.protocol import Json
from brain_server.storage import tables
from tests.brain.home import Home, running
from tests.standins.postgres import Postgres

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    """Give the address of an empty database."""
    made = postgres.new_database()
    yield made
    postgres.give_back(made)


async def live(folder: Path) -> Json:
    """Let a house have something of most kinds; returns what it shows."""
    async with running(folder) as brain, Home(brain) as home:
        await home.furnish()
        lamp = await home.puppet("lamp", "light", name="Bench lamp")
        lamp.shows = {"on": True}
        await home.say("switch on the bench lamp", conversation_id="talk")
        await home.say("remember that the key hangs behind the door")
        door = await home.puppet("door", "door", "lab", name="Lab door")
        asked = await home.request(door.context.device_id, "unlock")
        await home.see("bob", "lab")
        await home.decide(asked["event"], "bob", "deny")
        return await shown(home)


async def shown(home: Home) -> Json:
    """Return what a house shows of its past."""
    caller = {"user_id": "ada", "channel": "assist"}
    talk = await home.command("conversation.messages", {"conversation_id": "talk"}, caller=caller)
    return {
        "devices": [one["name"] for one in (await home.command("devices.list"))["items"]],
        "events": (await home.command("safety.events", {"status": "denied"}))["items"],
        "said": talk["items"],
        "commands": (await home.command("commands.list"))["items"],
    }


async def again(folder: Path, **settings: Any) -> tuple[Json, bool]:
    """Return what a house shows in its next life, and whether its trail is whole."""
    async with running(folder, life=2, **settings) as brain, Home(brain) as home:
        await home.command("audit.anchor", {"seq": 0, "hash": "0" * 64})
        await home.sync()
        return await shown(home), (await home.command("audit.verify"))["ok"]


def moved(folder: Path, to: str, *words: str) -> int:
    """Move, and return the status."""
    return main(["move", "--to", to, "--data-dir", str(folder), *words])


def counts(address: str) -> dict[str, int]:
    """Return how many rows each table has."""
    engine = create_engine(address)
    with engine.connect() as connection:
        names = [one for one in inspect(connection).get_table_names() if "alembic" not in one]
        found = {
            name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() or 0  # noqa: S608 - our names
            for name in names
            if name != "leases"
        }
    engine.dispose()
    return found


def files(folder: Path) -> dict[str, int]:
    """Return how many rows the tables of the two files have."""
    return counts(f"sqlite:///{folder}/brain.db") | counts(f"sqlite:///{folder}/safety.db")


def test_a_house_is_the_same_after_its_move(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many rows in each table, the trail whole, and life goes on."""
    before = asyncio.run(live(tmp_path))
    assert moved(tmp_path, url) == 0
    told = json.loads(capsys.readouterr().out)
    listed = {name: one["rows"] for part in told.values() for name, one in part.items()}
    assert listed == counts(url) == files(tmp_path)
    assert asyncio.run(again(tmp_path, database_url=url)) == (before, True)


def test_a_house_moves_back(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same checksums."""
    before = asyncio.run(live(tmp_path))
    assert moved(tmp_path, url) == 0
    for name in ("safety.db", "brain.db"):
        (tmp_path / name).rename(tmp_path / f"old-{name}")
        (tmp_path / f"{name}-wal").unlink(missing_ok=True)
        (tmp_path / f"{name}-shm").unlink(missing_ok=True)
    assert moved(tmp_path, "files", "--database-url", url) == 0
    there, back = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert there == back
    assert asyncio.run(again(tmp_path)) == (before, True)


def test_new_rows_are_numbered_behind_those_that_came(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL counts by itself, and knows nothing of rows that bring their number."""
    asyncio.run(live(tmp_path))
    row = {"topic": "job", "key": "k", "name": "n", "data": {}, "created_at": 0.0}
    with sqlite3.connect(tmp_path / "brain.db") as file:
        file.execute("INSERT INTO outbox VALUES (41, 'job', 'k', 'n', '{}', NULL, NULL, 0)")
    file.close()
    assert moved(tmp_path, url) == 0
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(tables.outbox), row)
        last = connection.execute(select(func.max(tables.outbox.c.id))).scalar()
    engine.dispose()
    assert last == 42


def test_a_null_stays_the_null_that_it_was(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON has one of its own, which no search for nothing finds."""
    asyncio.run(live(tmp_path))
    with sqlite3.connect(tmp_path / "brain.db") as file:
        file.execute("UPDATE conversation_messages SET calls = 'null' WHERE role = 'user'")
        file.execute("UPDATE conversation_messages SET calls = NULL WHERE role = 'assistant'")
    file.close()
    assert moved(tmp_path, url) == 0
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT DISTINCT role, calls::text FROM conversation_messages ORDER BY role"
        ).all()
    engine.dispose()
    assert [tuple(one) for one in found] == [("assistant", None), ("user", "null")]


# -- what is refused ----------------------------------------------------------------------------------


def test_nothing_is_mixed_with_other_rows(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also not when one moves twice."""
    asyncio.run(live(tmp_path))
    assert moved(tmp_path, url) == 0
    assert moved(tmp_path, url) == 2
    assert "[target_not_empty]" in capsys.readouterr().err


def test_a_row_that_does_not_fit_moves_nothing(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite took a text that is longer than its column; it is named."""
    asyncio.run(live(tmp_path))
    with sqlite3.connect(tmp_path / "brain.db") as file:
        file.execute("UPDATE devices SET name = ?", ("x" * 300,))
    file.close()
    assert moved(tmp_path, url) == 2
    said = capsys.readouterr().err
    assert "devices cannot be moved: value too long" in said
    assert "[move_failed]" in said
    assert sum(counts(url).values()) == 0


def test_a_house_that_is_lived_in_does_not_move(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written meanwhile would be lost."""
    asyncio.run(live(tmp_path))
    with alone(tmp_path):
        assert moved(tmp_path, url) == 2
    assert "[data_in_use]" in capsys.readouterr().err


async def test_a_database_whose_brain_is_awake_is_not_moved_to(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes there."""
    async with running(tmp_path):
        pass
    awake = Lease(url, ttl=4.0, identity=lambda: None, stop=asyncio.Event())
    await awake.try_to_win()
    assert await asyncio.to_thread(moved, tmp_path, url) == 2
    assert "[data_in_use]" in capsys.readouterr().err
    await awake.release()


def test_a_move_goes_somewhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And not to where the rows are."""
    asyncio.run(live(tmp_path))
    assert moved(tmp_path, "files") == 2
    assert "[invalid_setting]" in capsys.readouterr().err
