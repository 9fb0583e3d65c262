"""A grant is carried out at most once, and its outcome is what was seen."""

import asyncio
from pathlib import Path
import time
from typing import Any
from unittest.mock import patch

from homeassistant.components.camera import Image
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.storage import Store
from homeassistant.util.file import WriteError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.errors import BUSY, BrainUnavailable, LedgerUnwritable, Refused
from custom_components.kitty.journal import Journal
from custom_components.kitty.protocol import Json

from .conftest import (
    ADA,
    BOB,
    DOOR,
    DOOR_ENTITY,
    Door,
    decide,
    door_subentry,
    eventually,
    heard,
    kitty_entry,
    of,
    request,
    set_up,
    until,
)
from .fake_brain import FakeBrain, FakeError
from .grants import approved, code_of, grant_for
from .press import full_disk

POWER = "50" * 16
PRINTER = "b1" * 16


pytestmark = pytest.mark.usefixtures("short_deadlines")


async def test_the_nonce_is_on_disk_before_the_service_is_called(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, tmp_path: Path
) -> None:
    """At the moment of the call the journal already holds the spent grant."""
    stored: list[str] = []
    journal = tmp_path / ".storage" / f"kitty.{brain.instance_id}.spent"
    door.before = lambda: stored.append(journal.read_text())
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    await brain.ask("ha.execute", grant)
    assert grant["grant"]["nonce"] in stored[0]


async def test_a_disk_that_keeps_nothing_stops_the_service_call(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Without the nonce on disk nothing happens, now and when the disk works again."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    with full_disk():
        assert await code_of(brain, grant) == "ledger_unwritable"
    assert await code_of(brain, grant) == "grant_spent"
    assert door.calls == []


async def test_a_house_that_is_stopping_does_nothing(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """While Home Assistant stops, stores write later: too late for a grant."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    hass.set_state(CoreState.stopping)
    assert await code_of(brain, grant) == "ledger_unwritable"
    hass.set_state(CoreState.running)
    assert door.calls == []


async def test_an_outcome_that_cannot_be_kept_is_told_all_the_same(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done was done, whatever the disk says afterwards."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    full = patch.object(Store, "_async_write_data", side_effect=WriteError("full"))

    def fill() -> None:
        full.start()

    door.before = fill
    door.becomes = {"unlock": "unlocked"}
    answer = await brain.ask("ha.execute", grant)
    await kitty.runtime_data.executor.drain()
    full.stop()
    assert answer["data"]["status"] == "acked"
    assert "ledger cannot be written" in caplog.text


async def test_what_is_not_seen_is_unknown(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A service that returns proves nothing: the door still shows locked."""
    door.becomes["unlock"] = "locked"
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"] == {"status": "unknown", "detail": "not_observed"}


async def test_a_state_that_comes_within_the_deadline_counts(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The bolt takes a moment; only then is it done."""
    door.becomes["unlock"] = "unlocking"

    def soon() -> None:
        hass.loop.call_later(0.05, door.show, "unlocked")

    door.before = soon
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"]["status"] == "acked"


async def test_a_call_that_was_broken_off_proves_nothing(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The lock's own integration ended its work under way: that the door was open before says nothing."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    ended: asyncio.Future[None] = hass.loop.create_future()
    ended.cancel()
    door.before = lambda: ended
    door.show("unlocked")
    assert (await brain.ask("ha.execute", grant))["data"]["status"] == "unknown"


async def test_whoever_asks_while_a_grant_is_being_spent_hears_its_end(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A disk may be slow; that a grant is spent already does not make its end unknown."""
    real, entered, go = Journal.append, asyncio.Event(), asyncio.Event()

    async def slow(journal: Journal, line: Json) -> None:
        entered.set()
        await go.wait()
        await real(journal, line)

    grant = grant_for(brain, await approved(brain, kitty, BOB))
    with patch.object(Journal, "append", slow):
        done = brain.question("ha.execute", grant)
        await entered.wait()
        told = brain.question("ha.outcome", {"command_id": grant["grant"]["command_id"]})
        await heard(kitty)
        go.set()
        assert (await done)["data"]["status"] == "acked"
        assert (await told)["data"] == {"spent": True, "status": "acked"}


async def test_a_door_that_jams_has_failed(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A jam is seen, so it is a failure and not a riddle."""
    door.becomes["unlock"] = "jammed"
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"] == {"status": "failed", "detail": "jammed"}


async def test_a_door_that_vanishes_is_unknown(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A lock that goes offline under way has told nothing."""
    door.becomes["unlock"] = "unavailable"
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"] == {"status": "unknown", "detail": "entity_unavailable"}


def _raise(error: Exception) -> Any:
    def do() -> None:
        raise error

    return do


async def test_a_service_that_refuses_has_failed(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A service that rejects its data never reached the device."""
    door.before = _raise(ServiceValidationError("wrong code"))
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"] == {"status": "failed", "detail": "wrong code"}


async def test_a_service_that_is_not_there_has_failed(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Without the service nothing was done."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    hass.services.async_remove("lock", "unlock")
    assert (await brain.ask("ha.execute", grant))["data"]["status"] == "failed"


@pytest.mark.parametrize("error", [HomeAssistantError("no radio"), RuntimeError("no radio")])
async def test_a_service_that_breaks_is_unknown(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, error: Exception
) -> None:
    """An error on the way back does not mean that nothing happened."""
    door.before = _raise(error)
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"]["status"] == "unknown"
    assert "no radio" in answer["data"]["detail"]


async def test_a_service_that_breaks_after_it_worked_has_worked(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """What was seen counts, not what the service says."""

    async def work_then_break() -> None:
        door.show("unlocked")
        raise HomeAssistantError("no radio")

    door.before = work_then_break
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"]["status"] == "acked"


async def test_an_old_state_does_not_prove_a_call_that_broke(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A door that showed unlocked before says nothing about a call that failed."""
    door.show("unlocked")
    door.before = _raise(HomeAssistantError("no radio"))
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"]["status"] == "unknown"


async def test_an_optimistic_lock_is_never_confirmed(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A lock that only assumes its state cannot prove anything."""
    door.show("locked", assumed_state=True)
    door.becomes.clear()
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    door.before = lambda: door.show("unlocked", assumed_state=True)
    answer = await brain.ask("ha.execute", grant)
    assert answer["data"] == {"status": "unknown", "detail": "assumed_state"}


async def test_a_device_that_breaks_our_own_reading_is_unknown(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Once the nonce is spent, no error may say that nothing was done."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    with patch("custom_components.kitty.gate.proves", side_effect=KeyError("odd")):
        answer = await brain.ask("ha.execute", grant)
    assert answer["data"]["status"] == "unknown"


async def test_the_outcome_of_a_used_grant_is_kept(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A brain that crashed can ask what became of its order."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    await brain.ask("ha.execute", grant)
    about = {"command_id": grant["grant"]["command_id"], "device_id": DOOR}
    answer = await brain.ask("ha.outcome", about)
    assert answer["data"] == {"spent": True, "status": "acked"}


async def test_the_outcome_of_a_grant_that_never_came_bars_it(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Whoever was told that a grant is unused can rely on it: it stays unused."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    about = {"command_id": grant["grant"]["command_id"], "device_id": DOOR}
    for _ in range(2):
        answer = await brain.ask("ha.outcome", about)
        assert answer["data"] == {"spent": False, "status": None}
    assert await code_of(brain, grant) == "grant_spent"
    assert door.calls == []


async def test_the_outcome_of_a_grant_under_way_is_waited_for(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A brain that reconnects in the middle gets the end of it."""
    entered, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        entered.set()
        await go.wait()

    door.before = slow
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    first = brain.question("ha.execute", grant)
    await entered.wait()
    about = {"command_id": grant["grant"]["command_id"], "device_id": DOOR}
    second = brain.question("ha.outcome", about)
    await brain.ask("ha.observe", {"device_id": DOOR})
    go.set()
    assert (await second)["data"] == {"spent": True, "status": "acked"}
    await first


async def test_the_brain_can_look(kitty: MockConfigEntry, brain: FakeBrain, door: Door) -> None:
    """What an entity shows is told in the words of the protocol."""
    answer = await brain.ask("ha.observe", {"device_id": DOOR})
    assert answer["data"]["state"] == {"locked": True, "open": False, "jammed": False}


async def test_the_brain_can_have_an_entity_described(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The form for a new device learns what the entity can do."""
    answer = await brain.ask("ha.describe", {"options": {"entity_id": DOOR_ENTITY}})
    assert answer["data"]["capabilities"] == ["lock", "unlock", "open"]


async def test_a_door_without_a_camera_has_no_picture(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A device without a camera says so."""
    answer = await brain.ask("ha.snapshot", {"device_id": DOOR})
    assert answer["error"]["code"] == "no_camera"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([10], 10), ([2_000_000, 20], 20), ([2_000_000, 2_000_000], None)],
    ids=["small", "shrunk", "too large"],
)
async def test_a_picture_fits_into_a_frame(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    sizes: list[int],
    expected: int | None,
) -> None:
    """A picture that is too large is asked for once more, smaller."""
    subentry = door_subentry(camera_entity="camera.eye")
    await set_up(hass, kitty_entry(brain, subentries=(subentry,)))
    pictures = [Image(content_type="image/jpeg", content=b"x" * size) for size in sizes]
    with patch("custom_components.kitty.gate.async_get_image", side_effect=pictures):
        answer = await brain.ask("ha.snapshot", {"device_id": DOOR})
    size = len(answer["data"]["image"]) * 3 // 4 // 10 * 10 if "data" in answer else None
    assert size == expected


async def _leave(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    await heard(kitty)
    await brain.stop()
    await until(kitty, lambda data: not data.connected)


async def test_a_door_locks_without_the_brain(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The safe direction works alone, and the brain hears of it when it is back."""
    await _leave(kitty, brain)
    answer = await request(kitty, "lock", ADA)
    assert (answer["command"]["status"], answer["event"]) == ("acked", None)
    await brain.start()
    note = await brain.received_command("audit.note")
    assert (note["kind"], note["user_id"], note["device_id"]) == ("safe_direction", ADA, DOOR)
    assert note["data"].pop("at") == pytest.approx(time.time(), abs=30)
    assert note["data"] == {"intent": "lock", "channel": "dashboard", "outcome": "acked"}


async def test_an_unload_waits_for_what_is_done_without_the_brain(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Else the door would be left half way, and the report written over what the next life keeps."""
    await _leave(kitty, brain)
    free = asyncio.Event()
    door.before = free.wait
    door.show("unlocked")
    lock = hass.async_create_task(request(kitty, "lock", ADA))
    await eventually(lambda: door.calls)
    unload = hass.async_create_task(hass.config_entries.async_unload(kitty.entry_id))
    for _ in range(10):
        await asyncio.sleep(0)  # it comes as far as it can, and nothing tells where that is
    assert not unload.done()
    free.set()
    assert (await lock)["command"]["status"] == "acked"
    assert await unload


async def test_a_ledger_that_was_let_go_is_written_no_more(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door, hass_storage: Json
) -> None:
    """What comes late would take away what the next life has kept."""
    old = kitty.runtime_data.ledger
    assert await hass.config_entries.async_reload(kitty.entry_id)
    event = (await request(kitty, "unlock", ADA))["event"]
    with pytest.raises(LedgerUnwritable):
        await old.keep_audit_head({"seq": 1, "hash": "h"})
    with pytest.raises(LedgerUnwritable):
        await old.spend(brain.grant(device_id=DOOR, intent="lock")["grant"])
    assert event["id"] in hass_storage[f"kitty.{brain.instance_id}"]["data"]["events"]


async def test_an_unload_waits_for_what_is_being_written(
    hass: HomeAssistant, kitty: MockConfigEntry
) -> None:
    """It would come after the first that the next life writes."""
    real, begun, free = Store._async_write_data, asyncio.Event(), asyncio.Event()

    async def write(store: Store[Json], data: Json) -> None:
        begun.set()
        await free.wait()
        await real(store, data)

    with patch.object(Store, "_async_write_data", write):
        keep = kitty.runtime_data.ledger.keep_audit_head({"seq": 1, "hash": "h"})
        keeping = hass.async_create_task(keep)
        await begun.wait()
        unload = hass.async_create_task(hass.config_entries.async_unload(kitty.entry_id))
        for _ in range(10):
            await asyncio.sleep(0)  # it comes as far as it can, and nothing tells where that is
        assert not unload.done()
        free.set()
        await keeping
        assert await unload


async def test_a_report_that_a_kill_cut_short_is_sent_after_the_restart(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, door: Door, hass_storage: Json
) -> None:
    """A house that died while it locked alone says so later, with an outcome that nobody knows."""
    await _leave(kitty, brain)
    reports: list[Json] = []
    stored = hass_storage[f"kitty.{brain.instance_id}"]
    door.before = lambda: reports.append(
        hass_storage[f"kitty.{brain.instance_id}"]["data"]["outbox"]
    )
    await request(kitty, "lock", ADA)
    assert await hass.config_entries.async_unload(kitty.entry_id)
    stored["data"]["outbox"] = reports[0]
    hass_storage[f"kitty.{brain.instance_id}"] = stored
    await brain.start()
    await set_up(hass, kitty)
    assert (await brain.received_command("audit.note"))["data"]["outcome"] == "unknown"


async def test_a_door_does_not_open_without_the_brain(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Everything that is not safe is refused while the brain is away."""
    await _leave(kitty, brain)
    with pytest.raises(BrainUnavailable):
        await request(kitty, "unlock", ADA)
    with pytest.raises(Refused):
        await kitty.runtime_data.executor.run_safe(DOOR, "unlock", of(ADA))
    assert door.calls == []


async def test_a_printer_of_the_brain_cannot_be_paused_here(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What only the brain can reach is not promised."""
    await _leave(kitty, brain)
    with pytest.raises(Refused) as caught:
        await kitty.runtime_data.executor.run_safe(PRINTER, "print_pause", of(ADA))
    assert caught.value.code == "device_unknown"


async def test_a_door_locks_with_a_full_disk(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A safe direction does not wait for paperwork."""
    await _leave(kitty, brain)
    with patch.object(Store, "_async_write_data", side_effect=WriteError("full")):
        answer = await request(kitty, "lock", ADA)
    assert answer["command"]["status"] == "acked"


@pytest.mark.parametrize(
    ("printer", "allowed"),
    [
        ({"status": "idle", "nozzle": {"actual": 25.0}, "bed": {"actual": 24.0}}, True),
        ({"status": "idle", "nozzle": {"actual": 180.0}, "bed": {"actual": 24.0}}, False),
        ({"status": "printing", "nozzle": {"actual": 25.0}, "bed": {"actual": 24.0}}, False),
        ({"status": "idle", "nozzle": None, "bed": None}, False),
        ({}, False),
    ],
    ids=["cool", "hot", "busy", "not known", "never seen"],
)
async def test_power_goes_off_without_the_brain_only_when_the_load_was_cool(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    printer: Json,
    allowed: bool,
) -> None:
    """Off is safe for people; for a hot printer it waits for somebody who can see it."""
    hass.states.async_set("switch.power", "on")

    async def turn_off(_call: object) -> None:
        hass.states.async_set("switch.power", "off")

    hass.services.async_register("switch", "turn_off", turn_off)
    subentry = door_subentry(entity_id="switch.power", feeds=PRINTER)
    brain.answers["devices.remove"] = lambda _params, _caller: {}
    brain.devices[PRINTER] = {
        "id": PRINTER,
        "kind": "printer",
        "driver": "demo",
        "feeds": None,
        "last_seen": None,
        "name": "Printer",
        "state": printer,
        "online": "online",
    }
    entry = await set_up(hass, kitty_entry(brain, subentries=(subentry,)))
    await brain.received_command("devices.observe")
    await _leave(entry, brain)
    answer = await asyncio.gather(
        entry.runtime_data.executor.run_safe(DOOR, "power_off", of(None)), return_exceptions=True
    )
    assert isinstance(answer[0], dict) is allowed
    assert hass.states.is_state("switch.power", "off") is allowed


async def test_power_that_feeds_nothing_goes_off_without_the_brain(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """There is nothing that could be hot."""
    hass.states.async_set("switch.power", "on")

    async def turn_off(_call: object) -> None:
        hass.states.async_set("switch.power", "off")

    hass.services.async_register("switch", "turn_off", turn_off)
    subentry = door_subentry(entity_id="switch.power")
    entry = await set_up(hass, kitty_entry(brain, subentries=(subentry,)))
    await brain.received_command("devices.observe")
    await _leave(entry, brain)
    answer = await entry.runtime_data.executor.run_safe(DOOR, "power_off", of(None))
    assert answer["command"]["status"] == "acked"


@pytest.mark.parametrize(
    ("online", "seconds"), [("offline", 1.0), ("online", 121.0)], ids=["off the net", "long ago"]
)
async def test_what_was_cool_once_may_be_hot_now(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
    online: str,
    seconds: float,
) -> None:
    """A printer that was not heard lately may have been started by hand."""
    hass.states.async_set("switch.power", "on")
    hass.services.async_register("switch", "turn_off", lambda _call: None)
    subentry = door_subentry(entity_id="switch.power", feeds=PRINTER)
    brain.answers["devices.remove"] = lambda _params, _caller: {}
    cool = {"status": "idle", "nozzle": {"actual": 25.0}, "bed": {"actual": 24.0}}
    brain.devices[PRINTER] = {
        "id": PRINTER,
        "kind": "printer",
        "driver": "demo",
        "feeds": None,
        "last_seen": None,
        "name": "Printer",
        "state": cool,
        "online": online,
    }
    entry = await set_up(hass, kitty_entry(brain, subentries=(subentry,)))
    await brain.received_command("devices.observe")
    await _leave(entry, brain)
    lost = time.monotonic()
    monkeypatch.setattr("custom_components.kitty.coordinator.monotonic", lambda: lost + seconds)
    with pytest.raises(Refused, match="hot"):
        await entry.runtime_data.executor.run_safe(DOOR, "power_off", of(None))


@pytest.mark.parametrize("code", sorted(BUSY))
async def test_a_door_locks_although_the_brain_is_sick(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, code: str
) -> None:
    """A safe direction is held up by nothing; a dangerous one is asked for once."""

    def sick(_params: Json, _caller: Json | None) -> Json:
        raise FakeError(code)

    brain.answers["devices.request"] = sick
    assert (await request(kitty, "lock", ADA))["command"]["status"] == "acked"
    with pytest.raises(BrainUnavailable) as caught:
        await request(kitty, "unlock", ADA)
    assert caught.value.translation_key == code
    wishes = [wish["intent"] for wish in brain.sent("devices.request")]
    assert wishes == ["lock", "unlock"]
    assert [call.service for call in door.calls] == ["lock"]


async def test_a_report_outlives_a_sick_brain(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """It is sent again, and attempts in number push nothing but attempts out."""

    def busy(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("database_busy")

    brain.answers["audit.note"] = busy
    ledger = kitty.runtime_data.ledger
    await ledger.enqueue("audit.note", {"kind": "safe_direction"})
    await ledger.flush(kitty.runtime_data.client.command)
    with patch("custom_components.kitty.ledger.OUTBOX_MAX", 2):
        for number in range(3):
            await ledger.enqueue("safety.attempt", {"number": number})
    del brain.answers["audit.note"]
    await ledger.flush(kitty.runtime_data.client.command)
    assert brain.sent("audit.note")[-1] == {"kind": "safe_direction"}
    assert brain.sent("safety.attempt") == [{"number": 2}]


async def test_a_requester_that_is_not_on_disk_does_not_count(
    kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """A request that could not be recorded has nobody behind it."""
    with (
        patch.object(Store, "_async_write_data", side_effect=WriteError("full")),
        pytest.raises(LedgerUnwritable),
    ):
        await request(kitty, "unlock", ADA)
    event = next(iter(brain.events.values())) | {"eligible": [BOB]}
    event = await decide(kitty, event, "approve", BOB)
    grant = grant_for(brain, event, people=[ADA, BOB])
    assert await code_of(brain, grant) == "grant_people_unknown"


async def test_an_approval_that_is_not_on_disk_does_not_count(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An approval that could not be recorded was not given."""
    brain.eligible = [BOB]
    event = (await request(kitty, "unlock", ADA))["event"]
    with (
        patch.object(Store, "_async_write_data", side_effect=WriteError("full")),
        pytest.raises(LedgerUnwritable),
    ):
        await decide(kitty, event, "approve", BOB)
    assert brain.sent("safety.decide") == []
    assert await code_of(brain, grant_for(brain, event, people=[BOB])) == "grant_people_unknown"
