"""After a restart: what may have been sent is read back, and never sent again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
import time
from typing import Any

import pytest

from brain_server.drivers import Outcome
from brain_server.errors import DeviceError
from brain_server.protocol import CommandStatus
from tests.brain.home import Home, at_home, on_stage, puppets, running, until

STATE = puppets().printer


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a brain go down without waiting for what is on its way."""
    monkeypatch.setattr("brain_server.app.DRAIN", 0.05)


async def cut_off(
    folder: Path, kind: str = "light", intent: str = "light_on", *, sent: bool = False, **more: Any
) -> str:
    """Live once, and end while an order is on its way; returns the id of the command."""
    async with running(folder) as brain, at_home(brain) as home:
        thing = await home.puppet("thing", kind, zone="hall")
        thing.show(**more.pop("before", {"on": False}))
        thing.reaction = None if sent else asyncio.Event()
        asked = await home.request(thing.context.device_id, intent, **more)
        if asked["event"] is not None:
            await home.decide(asked["event"], "bob")
        status = "sent" if sent else "claimed"
        await home.event("command.updated", lambda one: one["status"] == status)
        await until(lambda: thing.orders.get("thing"), "the order")
        return str(asked["command"]["id"])


@asynccontextmanager
async def next_life(folder: Path) -> AsyncIterator[tuple[Home, Any]]:
    """Live again; gives Home Assistant and the thing."""
    async with running(folder, life=2) as brain, at_home(brain) as home:
        yield home, await on_stage("thing")


@pytest.mark.parametrize("sent", [False, True])
async def test_what_the_device_shows_settles_an_order_of_the_last_life(
    tmp_path: Path, sent: bool
) -> None:
    """Whether it had been accepted or only claimed; and it is not sent again."""
    command_id = await cut_off(tmp_path, sent=sent)
    async with next_life(tmp_path) as (home, thing):
        thing.show(on=True)
        done = await home.ended(command_id)
        assert (done["status"], done["detail"]) == ("acked", "read_back")
        assert len(thing.orders["thing"]) == 1


async def test_a_state_that_proves_nothing_leaves_it_unknown(tmp_path: Path) -> None:
    """The lamp is off: perhaps it never heard, perhaps somebody switched it off since."""
    command_id = await cut_off(tmp_path)
    async with next_life(tmp_path) as (home, thing):
        thing.show(on=False)
        done = await home.ended(command_id)
        assert (done["status"], done["detail"]) == ("unknown", "read_back")
        assert len(thing.orders["thing"]) == 1


async def test_a_device_that_says_nothing_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while nobody waits for it any more."""
    monkeypatch.setattr("brain_server.devices.RECOVERY_WAIT", 0.1)
    command_id = await cut_off(tmp_path)
    async with next_life(tmp_path) as (home, thing):
        await until(lambda: not _reading_back(home), "the end")
        done = await home.command("commands.get", {"command_id": command_id})
        assert (done["status"], len(thing.orders["thing"])) == ("unknown", 1)


def _reading_back(home: Home) -> set[Any]:
    return {task for task in home.brain.tasks._tasks if task.get_name().startswith("read back")}


async def test_a_driver_that_remembers_is_asked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some devices keep a record of what they were told."""
    outcome = Outcome(status=CommandStatus.FAILED, detail="never_sent")

    async def recall(_self: object, _order: object, _limit: float) -> Outcome:
        return outcome

    monkeypatch.setattr(puppets().Puppet, "recall", recall)
    command_id = await cut_off(tmp_path)
    async with next_life(tmp_path) as (home, thing):
        done = await settled(home, command_id)
        assert (done["status"], done["detail"]) == ("failed", "never_sent")
        assert len(thing.orders["thing"]) == 1


async def test_a_driver_that_cannot_be_asked_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason."""

    async def recall(_self: object, _order: object, _limit: float) -> Outcome:
        raise DeviceError("cannot_connect", "The device does not answer")

    monkeypatch.setattr(puppets().Puppet, "recall", recall)
    command_id = await cut_off(tmp_path)
    async with next_life(tmp_path) as (home, _):
        done = await settled(home, command_id)
        assert (done["status"], done["detail"]) == ("unknown", "cannot_connect")


async def settled(home: Home, command_id: str) -> Any:
    """Return a command when it is over, also when that was before anybody listened."""
    await until(lambda: not _reading_back(home), "the end of reading back")
    return await home.command("commands.get", {"command_id": command_id})


async def test_a_device_that_is_gone_leaves_it_unknown(tmp_path: Path) -> None:
    """Nobody can look any more."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        thing = await home.puppet("thing", "light", zone="hall")
        thing.reaction = asyncio.Event()
        asked = await home.request(thing.context.device_id, "light_on")
        await until(lambda: thing.orders.get("thing"), "the order")
        await home.command("devices.remove", {"device_id": thing.context.device_id})
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        done = await settled(home, asked["command"]["id"])
    assert (done["status"], done["detail"]) == ("unknown", "device_not_found")


def at(when: float) -> str:
    """Return a time as printers name their runs."""
    return datetime.fromtimestamp(when, UTC).isoformat()


@pytest.mark.parametrize(
    ("status", "hours", "end"),
    [
        ("printing", +1, "acked"),
        ("completed", +1, "acked"),
        ("completed", -1, "unknown"),
        ("printing", -1, "unknown"),
        ("idle", -1, "unknown"),
    ],
)
async def test_only_a_run_that_began_since_proves_a_print(
    tmp_path: Path, status: str, hours: int, end: str
) -> None:
    """The same file may have been printed before."""
    command_id = await cut_off(
        tmp_path, "printer", "print_start", params={"file": "a.gcode"}, before=STATE()
    )
    async with next_life(tmp_path) as (home, thing):
        thing.show(**STATE(status, "a.gcode", at(time.time() + hours * 3600)))
        assert (await home.ended(command_id))["status"] == end
        assert len(thing.orders["thing"]) == 1


@pytest.mark.parametrize(
    ("spent", "status", "detail"),
    [(True, "acked", None), (False, "failed", "never_sent")],
)
async def test_home_assistant_tells_what_became_of_a_grant(
    tmp_path: Path, spent: bool, status: str, detail: str | None
) -> None:
    """As soon as it is there again."""

    async def never(_params: Any) -> Any:
        await asyncio.Event().wait()

    async def outcome(params: Any) -> Any:
        asked.append(params["command_id"])
        return {"spent": spent, "status": "acked" if spent else None}

    asked: list[str] = []
    async with running(tmp_path) as brain, at_home(brain) as home:
        device = await home.add("home_assistant", entity_id="lock.front", zone="hall")
        home.answers["ha.execute"] = never
        command = (await home.request(device, "lock"))["command"]
        await until(lambda: home.asked[-1]["method"] == "ha.execute", "the order")
        await brain.stop()
    async with running(tmp_path, life=2) as brain, Home(brain) as home:
        home.answers["ha.outcome"] = outcome
        await home.furnish()
        done = await home.ended(command["id"])
    assert (done["status"], done["detail"], asked) == (status, detail, [command["id"]])
    assert home.grants == []


async def approved_and_cut_off(folder: Path) -> str:
    """Live once, and end between an approval and its execution; returns the id of the command."""
    async with running(folder) as brain, at_home(brain) as home:
        thing = await home.puppet("thing", "door")
        asked = await home.request(thing.context.device_id, "unlock")
        brain.bus._listeners["safety.event"].clear()
        await home.decide(asked["event"], "bob")
        assert thing.orders == {}
        return str(asked["command"]["id"])


async def test_what_was_approved_and_not_yet_taken_is_carried_out_once(tmp_path: Path) -> None:
    """People decided; the end of a process does not undo it."""
    command_id = await approved_and_cut_off(tmp_path)
    async with next_life(tmp_path) as (home, thing):
        await until(lambda: thing.orders.get("thing"), "the order")
        thing.show(locked=False)
        assert (await home.ended(command_id))["status"] == "acked"
        assert len(thing.orders["thing"]) == 1


async def test_what_was_approved_waits_for_home_assistants_own_record(tmp_path: Path) -> None:
    """A copy that knows less than Home Assistant may have done it already: all of it is void."""
    command_id = await approved_and_cut_off(tmp_path)
    async with running(tmp_path, life=2) as brain, Home(brain) as home:
        thing = await on_stage("thing")
        await home.subscribe()
        await home.command("audit.anchor", {"seq": 10_000, "hash": "0" * 64})
        done = await home.ended(command_id)
        await home.command("audit.anchor", {"seq": 0, "hash": "0" * 64})
        await until(lambda: not brain.devices._running, "the end of all orders")
        assert (done["status"], thing.orders) == ("expired", {})
