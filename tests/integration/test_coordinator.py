"""What the coordinator knows, and how it says that it knows nothing any more."""

from datetime import timedelta
from functools import partial
import logging
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_fire_time_changed,
)

from custom_components.kitty import coordinator as coordinator_module
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.coordinator import (
    KEEP,
    LINK_DOWN,
    LINK_UP,
    NO_DEVICE,
    SNAPSHOT,
    Snapshot,
)
from custom_components.kitty.protocol import Json

from .conftest import DOOR, eventually, heard, kitty_entry, set_up, until
from .fake_brain import FakeBrain
from .shop import incident, item

CABINET = "ca" * 16


def _coordinator(entry: MockConfigEntry) -> Any:
    return entry.runtime_data.coordinator


def _state(entry: MockConfigEntry) -> ConfigEntryState:
    state: ConfigEntryState = entry.state
    return state


async def test_a_snapshot_is_all_there_is(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """What the brain had before is known by its id."""
    assert _coordinator(kitty).data.devices[DOOR]["name"] == "Workshop door"
    assert _coordinator(kitty).data.connected


async def test_each_event_changes_its_part(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """Devices, safety events, commands, jobs, health and audit are kept apart."""
    event, command = brain.event(DOOR), brain.command(DOOR, "unlock")
    await brain.push("safety.event", event)
    await brain.push("command.updated", command)
    await brain.push("job.updated", {"id": "j", "status": "printing"})
    await brain.push("health.updated", {"status": "degraded", "parts": {}})
    await brain.push("audit.head", {"seq": 9, "hash": "h9", "at": 1.0})
    await heard(kitty)
    data: Snapshot = _coordinator(kitty).data
    assert data.events[event["id"]] == event
    assert data.commands[command["id"]] == command
    assert data.jobs["j"]["status"] == "printing"
    assert (data.health["status"], data.audit["seq"]) == ("degraded", 9)


@pytest.mark.parametrize(
    ("topic", "part", "told"),
    [
        ("audit.head", "audit", {"seq": 9, "hash": "h9", "at": 1.0}),
        ("mind.updated", "mind", {"last": {"tier": "local"}, "memories": 9}),
    ],
)
async def test_what_comes_with_each_step_or_answer_wakes_no_entity(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, topic: str, part: str, told: Json
) -> None:
    """Whoever shows it listens for it."""
    woken: list[None] = []
    stop = _coordinator(kitty).async_add_listener(lambda: woken.append(None))
    await brain.push(topic, told)
    await heard(kitty)
    await hass.async_block_till_done()
    stop()
    assert woken == []
    assert getattr(_coordinator(kitty).data, part) == told


def _listeners(entry: MockConfigEntry, brain: FakeBrain) -> list[str]:
    """Return where those note that they were woken who show all, the door, the cabinet, and no device."""
    woken: list[str] = []
    for name, context in (("all", None), ("door", DOOR), ("cabinet", CABINET), ("none", NO_DEVICE)):
        _coordinator(entry).async_add_listener(partial(woken.append, name), context)
    return woken


async def test_what_a_device_does_wakes_nobody_who_shows_another(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its state, what is asked of it, and what became of that."""
    woken = _listeners(kitty, brain)
    door = _coordinator(kitty).data.devices[DOOR]
    await brain.push("device.updated", door | {"state": {"bolt": "unlocked"}, "last_seen": 9.0})
    await brain.push("safety.event", brain.event(DOOR))
    await brain.push("command.updated", brain.command(DOOR, "unlock"))
    await heard(kitty)
    assert woken == ["all", "door"] * 3


@pytest.mark.parametrize("change", [{"name": "Front door"}, {"id": "new"}])
async def test_what_a_device_is_may_show_anywhere(
    kitty: MockConfigEntry, brain: FakeBrain, change: Json
) -> None:
    """As its name does, in the words about the work of others; and so does a device that is new."""
    woken = _listeners(kitty, brain)
    await brain.push("device.updated", _coordinator(kitty).data.devices[DOOR] | change)
    await heard(kitty)
    assert woken == ["all", "door", "cabinet", "none"]


async def test_that_the_brain_is_away_shows_everywhere(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Also where the last thing that it told was of one device."""
    await brain.push("safety.event", brain.event(DOOR))
    await heard(kitty)
    woken = _listeners(kitty, brain)
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    assert woken == ["all", "door", "cabinet", "none"]


@pytest.mark.parametrize(
    ("topic", "part", "row", "over"),
    [
        ("queue.updated", "queue", item(id="x", status="held"), {"status": "completed"}),
        ("bed.updated", "beds", {"device_id": "x", "clear": True}, {"archived": True}),
        ("spool.updated", "spools", {"id": "x", "archived": False}, {"archived": True}),
        ("stock.updated", "stock", {"material": "x"}, {"archived": True}),
        ("procurement.updated", "procurements", {"id": "x", "status": "proposed"}, {"status": "done"}),
        ("incident.updated", "incidents", incident(id="x"), {"status": "over"}),
        ("vision.updated", "vision", {"device_id": "x"}, {"archived": True}),
        ("review.updated", "reviews", {"job_id": "x", "status": "waiting"}, {"status": "done"}),
    ],
)  # fmt: skip
async def test_the_workshop_holds_what_is_open(
    kitty: MockConfigEntry, brain: FakeBrain, topic: str, part: str, row: Json, over: Json
) -> None:
    """A row comes, and goes when it is over."""
    await brain.push(topic, row)
    await heard(kitty)
    assert getattr(_coordinator(kitty).data, part) == {"x": row}
    await brain.push(topic, row | over)
    await heard(kitty)
    assert getattr(_coordinator(kitty).data, part) == {}


async def test_a_snapshot_brings_what_is_open_in_the_workshop(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What was over already is left out."""
    rows = [item(id="a"), item(id="b", status="cancelled")]
    brain.workshop["queue"] = rows
    brain.restarted()
    await brain.drop()
    await eventually(lambda: _coordinator(kitty).data.queue)
    assert set(_coordinator(kitty).data.queue) == {"a"}


async def test_a_removed_device_is_gone(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A device that the brain has forgotten is not shown."""
    await brain.push("device.removed", {"id": DOOR})
    await heard(kitty)
    assert DOOR not in _coordinator(kitty).data.devices


async def test_what_did_not_change_is_not_told(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """The same state again wakes nobody."""
    told: list[int] = []
    _coordinator(kitty).async_add_listener(lambda: told.append(1))
    await brain.push("device.updated", dict(_coordinator(kitty).data.devices[DOOR]))
    await heard(kitty)
    assert told == []


@pytest.mark.parametrize("status", ["acked", "denied", "expired"])
async def test_old_commands_are_forgotten(
    kitty: MockConfigEntry, brain: FakeBrain, status: str
) -> None:
    """Of what is over, only the newest are kept."""
    for number in range(KEEP + 5):
        changes = {"id": str(number), "status": status}
        await brain.push("command.updated", brain.command(DOOR, "lock", **changes))
    await heard(kitty)
    assert len(_coordinator(kitty).data.commands) == KEEP


async def test_an_unknown_outcome_is_never_forgotten(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What waits for a person stays, however much happens after it."""
    await brain.push("command.updated", brain.command(DOOR, "unlock", id="u", status="unknown"))
    for number in range(KEEP + 5):
        changes = {"id": str(number), "status": "acked"}
        await brain.push("command.updated", brain.command(DOOR, "lock", **changes))
    await heard(kitty)
    assert "u" in _coordinator(kitty).data.commands


async def test_a_listener_hears_its_event_until_it_stops(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An event goes to those who asked for its name."""
    got: list[Json] = []
    stop = _coordinator(kitty).async_listen("safety.duress", got.append)
    await brain.push("safety.duress", {"user_id": "x"})
    await brain.push("safety.lockout", {"user_id": "x"})
    await heard(kitty)
    stop()
    await brain.push("safety.duress", {"user_id": "y"})
    await heard(kitty)
    assert got == [{"user_id": "x"}]


async def test_what_breaks_while_it_listens_keeps_nothing_from_the_others(
    kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """Not what comes with a new life of the brain either; and it is said in the log."""
    told: list[str] = []

    def breaks(*_: object) -> None:
        raise ValueError("no number")

    coordinator = _coordinator(kitty)
    for name in (SNAPSHOT, LINK_UP, LINK_DOWN):
        coordinator.async_listen(name, breaks)
        coordinator.async_listen(name, lambda _, name=name: told.append(name))
    coordinator.async_add_listener(breaks)
    coordinator.async_add_listener(lambda: told.append("changed"))
    brain.restarted()
    await brain.drop()
    await eventually(lambda: LINK_UP in told)
    assert told == ["changed", LINK_DOWN, "changed", SNAPSHOT, LINK_UP]
    assert caplog.text.count("ValueError: no number") == len(told)


async def test_away_and_back_are_each_logged_once(
    kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """However often a connection fails, the log says it once."""
    caplog.set_level(logging.INFO)
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    attempts = brain.connections
    kitty.runtime_data.coordinator.client.on_link(kitty.runtime_data.coordinator.last_exception)
    await brain.start()
    await until(kitty, lambda data: data.connected)
    assert brain.connections > attempts
    assert caplog.text.count("The brain is away") == 1
    assert caplog.text.count("The brain is back") == 1


async def test_away_means_unavailable_with_the_last_state_kept(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """While the brain is away, nothing counts as current, but it is not forgotten."""
    heard_names: list[str] = []
    for name in (LINK_DOWN, LINK_UP, SNAPSHOT):
        _coordinator(kitty).async_listen(name, lambda _data, name=name: heard_names.append(name))
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    assert not _coordinator(kitty).last_update_success
    assert DOOR in _coordinator(kitty).data.devices
    brain.restarted()
    await brain.start()
    await until(kitty, lambda data: data.connected)
    await heard(kitty)
    assert heard_names == [LINK_DOWN, SNAPSHOT, LINK_UP]


async def test_a_brain_that_stays_away_is_a_repair_issue(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """After a minute a person is told; when the brain is back, the issue goes."""
    issue = (DOMAIN, f"brain_unreachable.{kitty.entry_id}")
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    assert issue not in issue_registry.issues
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=61))
    await hass.async_block_till_done()
    assert issue in issue_registry.issues
    await brain.start()
    await until(kitty, lambda data: data.connected)
    assert issue not in issue_registry.issues


async def test_a_token_that_no_longer_works_asks_for_a_new_one(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A revoked token starts the form for another, and is not tried again and again."""
    brain.token = "another"
    await brain.drop()
    progress = hass.config_entries.flow.async_progress_by_handler
    await eventually(lambda: progress(DOMAIN))
    assert [flow["context"]["source"] for flow in progress(DOMAIN)] == ["reauth"]


async def test_a_brain_that_refuses_the_token_is_not_said_to_be_away(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """It answers, so only the new token is asked for, and what was said before is taken back."""
    issue = (DOMAIN, f"brain_unreachable.{kitty.entry_id}")
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=61))
    await hass.async_block_till_done()
    assert issue in issue_registry.issues
    brain.token = "another"
    await brain.start()
    await eventually(lambda: hass.config_entries.flow.async_progress_by_handler(DOMAIN))
    await eventually(lambda: issue not in issue_registry.issues)


async def test_a_refused_token_never_becomes_a_brain_that_is_away(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """Not after a minute either."""
    brain.token = "another"
    await brain.drop()
    await eventually(lambda: hass.config_entries.flow.async_progress_by_handler(DOMAIN))
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=61))
    await hass.async_block_till_done()
    assert (DOMAIN, f"brain_unreachable.{kitty.entry_id}") not in issue_registry.issues


async def test_another_brain_at_the_address_is_not_used(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A brain with another key after a break is not spoken to, and a person is told why."""
    brain.hello_extra = {"public_key": "another"}
    await brain.drop()
    await eventually(lambda: kitty.state is ConfigEntryState.SETUP_ERROR)
    assert kitty.error_reason_translation_key == "wrong_brain"


async def test_a_slow_start_of_the_brain_is_waited_for(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """A brain that accepts the socket and needs time for its first snapshot is not given up."""
    brain.snapshot_gate.clear()
    entry = kitty_entry(brain)
    entry.add_to_hass(hass)
    setup = hass.async_create_task(set_up(hass, entry))
    await brain.until(lambda: brain.subscriptions)
    assert _state(entry) is ConfigEntryState.SETUP_IN_PROGRESS
    brain.snapshot_gate.set()
    await setup
    assert _state(entry) is ConfigEntryState.LOADED


async def test_a_brain_that_never_sends_its_state_is_tried_again_later(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Setup does not hang on a brain that accepts and says nothing."""
    monkeypatch.setattr(coordinator_module, "FIRST_SNAPSHOT_TIMEOUT", 0.05)
    brain.snapshot_gate.clear()
    entry = await set_up(hass, kitty_entry(brain))
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "brain_timeout"
    brain.snapshot_gate.set()
