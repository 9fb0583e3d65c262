"""Devices are stored, followed, changed and removed; what is shown of them is what was seen."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from brain_server.app import Brain
from brain_server.observability import counters
from brain_server.protocol import MAX_TELEMETRY_BYTES
from brain_server.storage.tables import devices
from tests.brain.home import Home, Later, at_home, on_stage, running, until

LAMP = {"external_id": "lamp", "kind": "light"}
INFO = {"external_id": "absent", "name": "Absent", "kind": "light", "capabilities": ["light_on"]}


async def device(home: Home, device_id: str) -> Any:
    """Return a device as it goes over the wire."""
    return await home.command("devices.get", {"device_id": device_id})


async def test_a_device_shows_what_it_is_and_what_it_can_do(home: Home) -> None:
    """What the driver found, what the person chose, and nothing of its options."""
    options = LAMP | {"secret": "an-api-key"}
    params = {"driver": "puppet", "options": options, "zone_id": "shop", "name": "Bench lamp"}
    made = await home.command("devices.put", params)
    assert made | {"id": "", "last_seen": None} == {
        "id": "",
        "driver": "puppet",
        "external_id": "lamp",
        "name": "Bench lamp",
        "kind": "light",
        "zone_id": "shop",
        "capabilities": ["light_off", "light_on"],
        "online": "offline",
        "reason": None,
        "last_seen": None,
        "state": {},
        "manufacturer": None,
        "model": None,
        "sw_version": None,
        "has_camera": False,
        "feeds": None,
        "power_off_when_cool": False,
    }
    assert "an-api-key" not in json.dumps((await home.command("devices.list"))["items"])


async def test_devices_are_there_again_after_a_restart(tmp_path: Path) -> None:
    """With their drivers running."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        lamp = await home.puppet("lamp", "light", name="Bench lamp")
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        again = await on_stage("lamp")
        found = await device(home, lamp.context.device_id)
        assert (found["name"], again is lamp) == ("Bench lamp", False)


async def test_one_thing_is_one_device(home: Home) -> None:
    """The same external id of the same driver is refused; of another driver it is another thing."""
    await home.puppet("lamp", "light")
    params = {"driver": "puppet", "options": LAMP}
    assert await home.refusal("devices.put", params) == "already_configured"
    info = INFO | {"external_id": "lamp"}
    other = {"driver": "demo", "options": {"kind": "light", "name": "x"}, "info": info}
    assert (await home.command("devices.put", other))["external_id"] == "lamp"


async def test_putting_the_same_again_changes_nothing(home: Home) -> None:
    """It can be repeated without harm."""
    lamp = await home.puppet("lamp", "light")
    lamp.show(on=True)
    device_id = lamp.context.device_id
    await home.event("device.updated", lambda one: one["online"] == "online")
    seen = len(home.events)
    params = {"driver": "puppet", "options": LAMP, "zone_id": "shop", "device_id": device_id}
    again = await home.command("devices.put", params)
    assert (again["id"], again["state"]) == (device_id, {"on": True})
    assert (await on_stage("lamp")) is lamp
    assert [one for one in home.events[seen:] if one["event"] == "device.updated"] == []


async def test_a_new_name_or_zone_does_not_disturb_the_device(home: Home) -> None:
    """It stays online, what it shows and when it was seen stays, and so does what waits for it."""
    lamp = await home.puppet("lamp", "light")
    lamp.reaction, lamp.shows = asyncio.Event(), {"on": True}
    device_id = lamp.context.device_id
    lamp.show(on=False)
    asked = await home.request(device_id, "light_on")
    await until(lambda: lamp.orders.get("lamp"), "the order")
    before = await device(home, device_id)
    params = {"driver": "puppet", "options": LAMP, "device_id": device_id}
    after = await home.command("devices.put", params | {"name": "Other", "zone_id": "hall"})
    lamp.reaction.set()
    assert after == before | {"name": "Other", "zone_id": "hall"}
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"
    assert (await on_stage("lamp")) is lamp


async def test_other_options_start_the_driver_anew(home: Home) -> None:
    """The old one is gone; when the device was seen is kept."""
    lamp = await home.puppet("lamp", "light")
    device_id = lamp.context.device_id
    lamp.show(on=True)
    before = await device(home, device_id)
    params = {"driver": "puppet", "options": LAMP | {"level": 3}, "device_id": device_id}
    after = await home.command("devices.put", params)
    await until(lambda: lamp.on_stage.get("lamp") not in {None, lamp}, "the new driver")
    assert (after["online"], after["last_seen"]) == ("offline", before["last_seen"])
    assert lamp.on_stage["lamp"].context.last_state == {"on": True}


async def test_what_a_device_showed_last_outlives_a_change_while_it_is_away(home: Home) -> None:
    """However often it is changed before it is back."""
    lamp = await home.puppet("lamp", "light")
    lamp.show(on=True)
    lamp.vanish()
    for level in (3, 4):
        options = LAMP | {"level": level}
        params = {"driver": "puppet", "options": options, "device_id": lamp.context.device_id}
        await home.command("devices.put", params)
    driver = home.brain.registry.get(lamp.context.device_id).driver
    assert (driver.context.options["level"], driver.context.last_state) == (4, {"on": True})


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"kind": "light"}, "external_id"),
        ({"external_id": "", "kind": "light"}, "external_id"),
        ({"external_id": None, "kind": "light"}, "external_id"),
        ({"external_id": 7, "kind": "light"}, "external_id"),
        ({"external_id": ["lamp"], "kind": "light"}, "external_id"),
        (LAMP | {"kind": "spaceship"}, "kind"),
        (LAMP | {"kind": ["light"]}, "kind"),
        (LAMP | {"nonsense": 1}, "nonsense"),
        (LAMP | {"level": "3"}, "level"),
        (LAMP | {"level": True}, "level"),
        (LAMP | {"level": 0.9}, "level"),
        (LAMP | {"level": 10.1}, "level"),
        (LAMP | {"level": {}}, "level"),
        (LAMP | {"flag": "yes"}, "flag"),
        (LAMP | {"flag": 1}, "flag"),
        (LAMP | {"secret": 4711}, "secret"),
        (LAMP | {"feeds": {}}, "feeds"),
    ],
)
async def test_an_option_that_does_not_fit_is_refused_by_its_name(
    home: Home, options: Any, field: str
) -> None:
    """Before the driver sees it, for a probe as for a device."""
    for action in ("devices.probe", "devices.put"):
        number = await home.send(
            type="command", action=action, params={"driver": "puppet", "options": options}
        )
        error = (await home.answer(number))["error"]
        assert (error["code"], error["details"]["field"]) == ("invalid_option", field)


@pytest.mark.parametrize("more", [{"level": 1}, {"level": 10}, {"level": 2.5}, {"flag": False}])
async def test_an_option_within_its_bounds_is_taken(home: Home, more: Any) -> None:
    """The bounds themselves are allowed."""
    found = await home.command("devices.probe", {"driver": "puppet", "options": LAMP | more})
    assert found["external_id"] == "lamp"


async def test_a_driver_that_there_is_not_is_refused(home: Home) -> None:
    """With its name."""
    params = {"driver": "nonsense", "options": {}}
    assert await home.refusal("devices.put", params) == "unknown_driver"


async def test_a_probe_describes_and_stores_nothing(home: Home) -> None:
    """It only reaches the device once."""
    found = await home.command("devices.probe", {"driver": "puppet", "options": LAMP})
    assert (found["name"], found["capabilities"]) == ("Lamp", ["light_off", "light_on"])
    assert (await home.command("devices.list"))["items"] == []


@pytest.mark.parametrize("name", ["absent", "asleep"])
async def test_a_device_that_does_not_answer_is_told(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it refuses or is silent."""
    monkeypatch.setattr("brain_server.devices.commands.PROBE_TIMEOUT", 0.05)
    params = {"driver": "puppet", "options": {"external_id": name, "kind": "light"}}
    assert await home.refusal("devices.probe", params) == "cannot_connect"


async def test_a_device_that_is_switched_off_can_be_put_with_what_is_known(home: Home) -> None:
    """A printer that is off is not an error."""
    options = {"external_id": "absent", "kind": "light"}
    params = {"driver": "puppet", "options": options}
    assert await home.refusal("devices.put", params) == "cannot_connect"
    made = await home.command("devices.put", params | {"info": INFO})
    assert (made["name"], made["capabilities"]) == ("Absent", ["light_on"])


async def test_a_device_can_only_do_what_its_kind_can(home: Home) -> None:
    """A lamp that says it unlocks is a lamp; a word that nobody knows is refused."""
    options = {"external_id": "absent", "kind": "light"}
    params = {"driver": "puppet", "options": options}
    info = INFO | {"capabilities": ["light_on", "unlock", "power_cut"]}
    made = await home.command("devices.put", params | {"info": info})
    assert made["capabilities"] == ["light_on"]
    info = INFO | {"capabilities": ["explode"]}
    assert await home.refusal("devices.put", params | {"info": info}) == "unknown_intent"


async def test_a_removed_device_is_gone(home: Home) -> None:
    """From the list, from the stage, and for everybody who listens."""
    lamp = await home.puppet("lamp", "light")
    params = {"device_id": lamp.context.device_id}
    await home.command("devices.remove", params)
    assert await home.event("device.removed") == {"id": lamp.context.device_id}
    assert (await home.command("devices.list"))["items"] == []
    assert await home.refusal("devices.remove", params) == "device_not_found"
    await until(lambda: "lamp" not in lamp.on_stage, "the end of its driver")


# -- being there --------------------------------------------------------------------------------------


async def test_a_device_that_goes_away_keeps_when_it_was_seen(home: Home, clock: Later) -> None:
    """Offline with the reason; the time of the last word stands still."""
    lamp = await home.puppet("lamp", "light")
    lamp.show(on=True)
    seen = (await device(home, lamp.context.device_id))["last_seen"]
    clock.ahead = 500
    lamp.vanish("unplugged")
    gone = await device(home, lamp.context.device_id)
    assert (gone["online"], gone["reason"], gone["state"]) == ("offline", "unplugged", {})
    assert gone["last_seen"] == seen
    lamp.show(on=True)
    assert (await device(home, lamp.context.device_id))["last_seen"] > seen + 400


async def test_when_a_device_was_seen_outlives_a_restart(tmp_path: Path) -> None:
    """Nobody has heard of it since."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        lamp = await home.puppet("lamp", "light")
        lamp.show(on=True)
        before = await device(home, lamp.context.device_id)
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        after = await device(home, lamp.context.device_id)
        again = await on_stage("lamp")
    assert (after["online"], after["last_seen"]) == ("offline", before["last_seen"])
    assert again.context.last_state == {"on": True}


async def test_a_driver_that_breaks_leaves_no_device_that_looks_well(home: Home) -> None:
    """What nobody follows any more is a fault, and shows no state."""
    lamp = await home.puppet("lamp", "light")
    lamp.show(on=True)
    lamp.error = RuntimeError("a wire is loose")
    lamp.cut.set()
    found = await home.event("device.updated", lambda one: one["online"] == "fault")
    assert (found["reason"], found["state"]) == ("driver_failed", {})


async def test_a_driver_that_broke_follows_its_device_again(home: Home) -> None:
    """Nobody has to add the device anew."""
    lamp = await home.puppet("lamp", "light")
    home.brain.tasks._pause_s = 0.2
    lamp.error = RuntimeError("a wire is loose")
    lamp.cut.set()
    await home.event("device.updated", lambda one: one["online"] == "fault")
    lamp.cut.clear()
    again = await on_stage("lamp")
    again.show(on=True)
    found = await home.event("device.updated", lambda one: one["online"] == "online")
    assert found["state"] == {"on": True}


async def test_a_device_whose_driver_is_gone_is_shown_and_does_nothing(tmp_path: Path) -> None:
    """The brain starts, the others work."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        lamp = await home.puppet("lamp", "light")
        await home.puppet("other", "light")
        this = devices.c.id == lamp.context.device_id
        await brain.brain_db.write(
            lambda connection: connection.execute(
                update(devices).where(this).values(driver="of_old")
            )
        )
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        await on_stage("other")
        found = await device(home, lamp.context.device_id)
        done = await home.request(lamp.context.device_id, "light_on", wait=5)
    assert (found["online"], found["reason"]) == ("fault", "driver_missing")
    assert (done["command"]["status"], done["command"]["detail"]) == ("failed", "driver_missing")


async def test_a_state_of_sixty_four_kibibytes_is_kept(home: Home) -> None:
    """One byte more is refused and counted, and the last good one stays."""
    lamp = await home.puppet("lamp", "light")
    room = MAX_TELEMETRY_BYTES - len(json.dumps({"text": ""}))
    before = counters["states_refused"]
    lamp.show(text="x" * room)
    lamp.show(text="x" * (room + 1))
    kept = await device(home, lamp.context.device_id)
    assert len(kept["state"]["text"]) == room
    assert counters["states_refused"] == before + 1


def nested(levels: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1, 2}, nested(100_000)], ids=type
)
async def test_a_state_that_is_no_json_is_refused(home: Home, value: object) -> None:
    """A driver that goes mad breaks nothing."""
    lamp = await home.puppet("lamp", "light")
    before = counters["states_refused"]
    lamp.show(on=True)
    lamp.show(on=value)
    assert (await device(home, lamp.context.device_id))["state"] == {"on": True}
    assert counters["states_refused"] == before + 1


# -- entities of Home Assistant -----------------------------------------------------------------------


async def test_home_assistant_tells_what_its_entities_show(home: Home) -> None:
    """Each word is an event."""
    lamp = await home.add("home_assistant", entity_id="light.bench")
    seen = {"device_id": lamp, "online": "online", "state": {"on": True}}
    await home.command("devices.observe", seen)
    found = await home.event("device.updated", lambda one: one["state"] == {"on": True})
    assert (found["id"], found["online"]) == (lamp, "online")


async def test_a_print_that_home_assistant_tells_of_is_a_run_with_an_end(home: Home) -> None:
    """Its integrations name no run, and say the same before and after it."""
    info = {"external_id": "1", "name": "Old", "kind": "printer", "capabilities": ["print_pause"]}
    options = {"entity_id": "sensor.status", "kind": "printer"}
    printer: dict[str, Any] = await home.command(
        "devices.put",
        {"driver": "home_assistant", "options": options, "zone_id": "shop", "info": info},
    )
    seen: dict[str, Any] = {"device_id": printer["id"], "online": "online"}
    for status, progress in (("printing", 42.0), ("idle", 100.0)):
        state = {"status": status, "job": {"file": "cat.gcode", "progress": progress}}
        await home.command("devices.observe", seen | {"state": state})
    found = await home.event(
        "device.updated", lambda one: one["state"].get("status") == "completed"
    )
    assert found["state"]["job"]["started_at"] is not None


async def test_home_assistant_does_not_speak_for_other_devices(home: Home, brain: Brain) -> None:
    """A printer tells by itself what it does."""
    lamp = await home.puppet("lamp", "light")
    seen = {"device_id": lamp.context.device_id, "online": "online", "state": {"on": True}}
    assert await home.refusal("devices.observe", seen) == "not_bound"
    assert brain.registry.get(lamp.context.device_id).observed.state == {}


async def test_drivers_tell_their_options(home: Home) -> None:
    """Enough for Home Assistant to draw the form."""
    items = {item["name"]: item for item in (await home.command("drivers.list"))["items"]}
    assert items.keys() >= {"demo", "home_assistant", "octoprint"}
    level = next(one for one in items["puppet"]["options"] if one["name"] == "level")
    assert level == {
        "name": "level",
        "label": "Level",
        "help": "",
        "type": "number",
        "required": False,
        "default": None,
        "choices": [],
        "filter": [],
        "minimum": 1,
        "maximum": 10,
        "unit": None,
    }


async def test_drivers_tell_their_options_in_the_language_of_the_house(home: Home) -> None:
    """Title, label and help; what decides stays as it is."""
    told = await home.command("drivers.list", {"language": "de"})
    camera = next(item for item in told["items"] if item["name"] == "camera")
    assert camera["title"] == "Netzwerkkamera"
    assert [option["label"] for option in camera["options"]] == [
        "Adresse",
        "Benutzer",
        "Passwort",
        "Zertifikat prüfen",
    ]


async def test_going_away_and_coming_back_is_one_line_each(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """A printer that is switched off is news, and no error, however often it is not there."""
    lamp = await home.puppet("lamp", "light", name="Bench lamp")
    caplog.set_level(logging.INFO, "brain_server.devices")
    lamp.show(on=True)
    for _ in range(5):
        lamp.vanish()
    for number in range(5):
        lamp.show(on=True, number=number)
    told = [one for one in caplog.records if one.getMessage().startswith("Device Bench lamp")]
    assert [one.getMessage() for one in told] == [
        "Device Bench lamp is online",
        "Device Bench lamp is offline: unplugged",
        "Device Bench lamp is online",
    ]
    assert {one.levelname for one in told} == {"INFO"}


async def test_no_driver_adds_a_line_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where a driver knows why: the one line says it."""
    caplog.set_level(logging.INFO, "brain_server")
    async with running(tmp_path) as brain:
        async with at_home(brain) as home:
            device_id = await home.add("home_assistant", entity_id="lock.bench", name="Bench lock")
            live = brain.registry.get(device_id)
            await until(lambda: live.observed.online == "online", "the lock")
            caplog.clear()
        await live.driver.refresh()
        told = [one.getMessage() for one in caplog.records]
    assert [one for one in told if "Bench lock" in one or device_id in one] == [
        "Device Bench lock is offline: home_assistant_offline"
    ]


# -- at the same moment -------------------------------------------------------------------------------


async def test_what_a_removed_device_still_sees_is_told_to_nobody(home: Home) -> None:
    """Its driver may be in the middle of something; nobody has such a device any more."""
    lamp = await home.puppet("lamp", "light")
    lamp.show(on=True)
    device_id = lamp.context.device_id
    await home.command("devices.remove", {"device_id": device_id})
    await home.event("device.removed")
    lamp.show(on=False)
    other = await home.puppet("other", "light")
    other.show(on=True)
    await home.event("device.updated", lambda one: one["id"] != device_id and one["state"])
    removed = [one["event"] for one in home.events].index("device.removed")
    after = [one for one in home.events[removed:] if one["event"] == "device.updated"]
    assert device_id not in [one["data"]["id"] for one in after]


async def test_what_the_driver_of_old_options_still_sees_is_not_shown(home: Home) -> None:
    """The device has others now, and a driver that knows them."""
    lamp = await home.puppet("lamp", "light", name="Lamp")
    device_id = lamp.context.device_id
    params = {"driver": "puppet", "options": LAMP | {"level": 5}, "zone_id": "shop"}
    await home.command("devices.put", params | {"device_id": device_id, "name": "New"})
    await until(lambda: lamp.on_stage.get("lamp") not in {lamp, None}, "its new driver")
    lamp.on_stage["lamp"].show(on=True)
    await home.event("device.updated", lambda one: one["state"] == {"on": True})
    lamp.vanish("unplugged")
    other = await home.puppet("other", "light")
    other.show(on=True)
    await home.event("device.updated", lambda one: one["id"] != device_id and one["state"])
    told = [one["data"] for one in home.events if one["event"] == "device.updated"]
    last = [one for one in told if one["id"] == device_id][-1]
    assert (last["name"], last["online"]) == ("New", "online")


async def test_a_device_that_is_renamed_while_it_is_removed_is_there_as_it_is_stored(
    tmp_path: Path,
) -> None:
    """It is not one that nobody sees until the next start."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        lamp = await home.puppet("lamp", "light")
        device_id, registry = lamp.context.device_id, brain.registry
        store = registry._store

        async def late(record: Any) -> None:
            await registry.remove(device_id)
            await store(record)

        registry._store = late  # type: ignore[method-assign]  # comes between the two
        params = {"driver": "puppet", "options": LAMP, "zone_id": "shop", "name": "Renamed"}
        await home.command("devices.put", params | {"device_id": device_id})
        assert (await device(home, device_id))["name"] == "Renamed"
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        assert (await device(home, device_id))["name"] == "Renamed"
