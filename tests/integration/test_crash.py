"""Home Assistant dies in the middle of a grant: afterwards the door was opened once, or not at all."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
import json
from os import fsync
from pathlib import Path
import signal
import sys
import time
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.util.file import write_utf8_file_atomic
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import SUBJECT_FIELDS, Json

from .conftest import ADA, BOB, DOOR, ZONE, Door, decide, kitty_entry, request, set_up
from .fake_brain import TOKEN, FakeBrain

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hass_storage() -> Json:
    """Let the stores of these tests reach the disk."""
    return {}


@pytest.fixture
async def houses() -> AsyncIterator[list[Process]]:
    """End every house that a test has started."""
    started: list[Process] = []
    yield started
    for house in started:
        if house.returncode is None:
            house.kill()
            await house.wait()


async def start(houses: list[Process], brain: FakeBrain, disk: Path, step: str) -> Process:
    """Start a house on this disk, and wait until the brain knows it."""
    about = {
        "url": brain.url,
        "token": TOKEN,
        "instance_id": brain.instance_id,
        "public_key": brain.public_key,
    }
    known = len(brain.sent("devices.observe"))
    house = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.crash_house",
        str(disk),
        json.dumps(about),
        step,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    houses.append(house)
    async with asyncio.timeout(100):
        while len(brain.sent("devices.observe")) == known:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return house


def write_ledger(disk: Path, brain: FakeBrain, event: Json) -> None:
    """Put a ledger on the disk in which Bob has approved an event."""
    approval = {"decision": "approve", "channel": "mobile", "ppe": False, "status": "accepted"}
    known = {name: event[name] for name in (*SUBJECT_FIELDS, "subject")} | {
        "requester": None,
        "channel": None,
        "context_id": None,
        "opened_at": time.time(),
        "closed": None,
        "decisions": {BOB: approval | {"at": time.time(), "code": None}},
    }
    key = f"kitty.{brain.instance_id}"
    (disk / ".storage").mkdir()
    (disk / ".storage" / key).write_text(
        json.dumps(
            {"version": 1, "minor_version": 1, "key": key, "data": {"events": {event["id"]: known}}}
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("step", "opened", "outcome"),
    [
        ("received", 0, {"spent": False, "status": None}),
        ("stored", 0, {"spent": True, "status": "unknown"}),
        ("called", 1, {"spent": True, "status": "unknown"}),
        ("answered", 1, {"spent": True, "status": "unknown"}),
        ("kept", 1, {"spent": True, "status": "acked"}),
    ],
)
async def test_a_kill_at_each_step_of_a_grant(
    brain: FakeBrain,
    tmp_path: Path,
    houses: list[Process],
    step: str,
    opened: int,
    outcome: Json,
) -> None:
    """After kill -9 the grant is never used again, and the outcome is what can be known."""
    event = brain.event(DOOR, zone_id=ZONE, people=[BOB], expires_at=time.time() + 600)
    write_ledger(tmp_path, brain, event)
    house = await start(houses, brain, tmp_path, step)
    names = ("device_id", "intent", "subject", "level")
    values = {name: event[name] for name in names} | {"event_id": event["id"], "people": [BOB]}
    grant = brain.grant(**values)
    question = brain.question("ha.execute", grant)
    assert await asyncio.wait_for(house.wait(), 60) == -signal.SIGKILL
    question.close()
    await start(houses, brain, tmp_path, "none")
    about = {"command_id": grant["grant"]["command_id"], "device_id": DOOR}
    assert (await brain.ask("ha.outcome", about))["data"] == outcome
    assert (await brain.ask("ha.execute", grant))["error"]["code"] == "grant_spent"
    effects = tmp_path / "effects"
    assert (effects.read_text().count("unlock") if effects.exists() else 0) == opened


async def test_the_ledger_is_a_private_file_on_disk(
    kitty: MockConfigEntry, brain: FakeBrain, tmp_path: Path
) -> None:
    """The key of this house is readable by its owner only."""
    file = tmp_path / ".storage" / f"kitty.{brain.instance_id}"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_every_write_is_synced_and_atomic(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The nonce is on the disk before the service, by a line that is synced; then all of the ledger."""
    order: list[str] = []

    def write(*args: Any, **kwargs: Any) -> None:
        order.append("write")
        write_utf8_file_atomic(*args, **kwargs)

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        order.append("line")

    door.before = lambda: order.append("service")
    with (
        patch("homeassistant.helpers.storage.write_utf8_file_atomic", write),
        patch("custom_components.kitty.journal.os.fsync", sync),
    ):
        await brain.ask("ha.execute", brain.grant(device_id=DOOR, intent="lock"))
        await kitty.runtime_data.executor.drain()
    assert order[:3] == ["line", "service", "write"]


async def test_the_answer_does_not_wait_for_the_outcome_to_be_on_disk(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Only the nonce has to be there before; who asks for the outcome, and who unloads, waits for it."""
    real, free = Store._async_write_data, asyncio.Event()

    async def write(store: Store[Json], data: Json) -> None:
        await free.wait()
        await real(store, data)

    grant = brain.grant(device_id=DOOR, intent="lock")
    with patch.object(Store, "_async_write_data", write):
        assert (await brain.ask("ha.execute", grant))["data"]["status"] == "acked"
        about = {"command_id": grant["grant"]["command_id"], "device_id": DOOR}
        loop = asyncio.get_running_loop()
        question = loop.create_task(brain.question("ha.outcome", about))
        unload = loop.create_task(kitty.runtime_data.executor.drain())
        await brain.ask("ha.observe", {"device_id": DOOR})
        assert (question.done(), unload.done()) == (False, False)
        free.set()
        assert (await question)["data"] == {"spent": True, "status": "acked"}
        await unload


async def test_those_who_wait_for_the_disk_together_share_one_write(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Each has what it changed on the disk when it goes on; ten at once are two writes, not ten."""
    ledger, writes = kitty.runtime_data.ledger, 0

    def write(path: str, *args: Any, **kwargs: Any) -> None:
        nonlocal writes
        writes += path == ledger._store.path
        write_utf8_file_atomic(path, *args, **kwargs)

    with patch("homeassistant.helpers.storage.write_utf8_file_atomic", write):
        await asyncio.gather(*(ledger.enqueue("audit.note", {"n": n}) for n in range(10)))
    assert writes == 2
    stored = await Store[Json](hass, 1, ledger._store.key).async_load()
    assert [one["params"] for one in stored["outbox"]] == [{"n": n} for n in range(10)]


async def test_a_real_disk_that_is_full_stops_the_service_call(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A line that is not synced counts as not written."""
    # Only the syncing fails: Home Assistant itself could not start on a disk that is really full.
    with patch("custom_components.kitty.journal.os.fsync", side_effect=OSError("full")):
        answer = await brain.ask("ha.execute", brain.grant(device_id=DOOR, intent="lock"))
    assert answer["error"]["code"] == "ledger_unwritable"
    assert door.calls == []


async def test_a_line_that_was_cut_off_stops_the_service_call(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The disk took some of it, and said so."""
    # No real disk cuts a write of one line off when it is asked to.
    with patch("custom_components.kitty.journal.os.write", lambda _file, line: len(line) - 1):
        answer = await brain.ask("ha.execute", brain.grant(device_id=DOOR, intent="lock"))
    assert answer["error"]["code"] == "ledger_unwritable"
    assert door.calls == []


async def test_a_house_whose_disk_keeps_no_line_is_not_set_up(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """A grant that is used could be used again after a restart."""
    # Only the syncing fails: Home Assistant itself could not start on a disk that is really full.
    with patch("custom_components.kitty.journal.os.fsync", side_effect=OSError("full")):
        entry = await set_up(hass, kitty_entry(brain))
    assert entry.state is ConfigEntryState.SETUP_RETRY


async def test_a_ledger_that_is_damaged_forgets_every_approval(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, tmp_path: Path, door: Door
) -> None:
    """Without its memory the gate opens nothing; it does not open everything."""
    event = brain.event(DOOR, zone_id=ZONE, people=[BOB])
    write_ledger(tmp_path, brain, event)
    (tmp_path / ".storage" / f"kitty.{brain.instance_id}").write_text("{")
    await set_up(hass, kitty_entry(brain))
    names = ("device_id", "intent", "subject", "level")
    values = {name: event[name] for name in names} | {"event_id": event["id"], "people": [BOB]}
    answer = await brain.ask("ha.execute", brain.grant(**values))
    assert answer["error"]["code"] == "grant_event_unknown"


async def test_approvals_survive_a_restart(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """What people decided before a reload is still known after it, under the same key."""
    brain.eligible = [BOB]
    event = await decide(kitty, (await request(kitty, "unlock", ADA))["event"], "approve", BOB)
    key = brain.integration_key
    assert await hass.config_entries.async_reload(kitty.entry_id)
    assert kitty.runtime_data.ledger.public_key == key
    names = ("device_id", "intent", "params", "subject", "level", "people")
    values = {name: event[name] for name in names} | {"event_id": event["id"]}
    answer = await brain.ask("ha.execute", brain.grant(**values))
    assert answer["data"]["status"] == "acked"
