"""What a whole brain tells others of: prints and conversations, in the transaction that makes them so."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from brain_server.app import Brain
from brain_server.errors import Conflict
from brain_server.protocol import Json
from brain_server.storage.tables import jobs, new_id, outbox
from tests.brain.home import Home, at_home, running


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[Brain]:
    """Give a brain."""
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def home(brain: Brain) -> AsyncIterator[Home]:
    """Give its Home Assistant."""
    async with at_home(brain) as made:
        yield made


async def told(brain: Brain, topic: str) -> list[Json]:
    """Return what others were told of a topic."""
    query = select(outbox).where(outbox.c.topic == topic).order_by(outbox.c.id)
    return await brain.brain_db.read(
        lambda connection: [dict(row) for row in connection.execute(query).mappings()]
    )


async def printing(brain: Brain) -> str:
    """Put a print that runs, and return its id."""
    row = {
        "id": new_id(),
        "device_id": "d" * 32,
        "file": "cat.gcode",
        "status": "printing",
        "created_at": 1.0,
    }
    await brain.brain_db.write(lambda connection: connection.execute(insert(jobs).values(row)))
    return str(row["id"])


async def test_others_are_told_what_becomes_of_a_print(brain: Brain) -> None:
    job_id = await printing(brain)
    await brain.jobs.move(job_id, "failed", error="no filament")
    (row,) = await told(brain, "job")
    assert (row["key"], row["name"]) == (job_id, "failed")
    assert row["data"] == {
        "id": job_id,
        "device_id": "d" * 32,
        "file": "cat.gcode",
        "status": "failed",
        "progress": None,
        "error": "no filament",
        "queue_id": None,
        "command_id": None,
    }


async def test_nobody_is_told_of_what_could_not_be(brain: Brain) -> None:
    job_id = await printing(brain)
    with pytest.raises(Conflict):
        await brain.jobs.move(job_id, "preparing")
    assert await told(brain, "job") == []


async def test_others_are_told_of_a_turn_without_its_words(brain: Brain, home: Home) -> None:
    said = await home.say("what is the state of the workshop")
    (row,) = await told(brain, "conversation")
    assert (row["key"], row["name"]) == (said["conversation_id"], "answered")
    assert row["data"] == {
        "tier": said["tier"],
        "confidence": said["confidence"],
        "pending": False,
    }


async def test_others_are_told_its_words_where_a_person_wants_that(
    brain: Brain, home: Home
) -> None:
    brain.conversations.tells_words = True
    said = await home.say("what is the state of the workshop, my password=hunter2 and all")
    (row,) = await told(brain, "conversation")
    assert row["data"]["reply"] == said["text"]
    assert row["data"]["text"].endswith("my password=*** and all")
