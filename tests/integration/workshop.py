"""A workshop with one device of each kind, set up with the entities that a test is about."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final, Self
from unittest.mock import patch

from aiohttp import web
from homeassistant.components.lock import LockEntity
from homeassistant.components.switch import SwitchEntity
from homeassistant.config_entries import ConfigSubentryData
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant, State
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_fire_time_changed,
    setup_test_component_platform,
)
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR, ZONE, fed, kitty_entry, set_up
from .fake_brain import FakeBrain

POWER: Final = "50" * 16
PRINTER: Final = "b1" * 16
LIGHT: Final = "11" * 16
SENSOR: Final = "5e" * 16
CAMERA: Final = "ca" * 16

NOW: Final = 1_795_000_000.0
REAL_LOCK: Final = "lock.real"
REAL_PLUG: Final = "switch.real"
# What Home Assistant itself owns; the brain drives the rest.
BEHIND: Final = {DOOR: REAL_LOCK, POWER: REAL_PLUG}


def device(device_id: str, kind: str, name: str, **changes: Any) -> Json:
    """Return a device of the workshop that is online."""
    return {
        "id": device_id,
        "driver": "home_assistant" if device_id in BEHIND else "demo",
        "name": name,
        "kind": kind,
        "zone_id": ZONE,
        "capabilities": [],
        "online": "online",
        "reason": None,
        "last_seen": NOW,
        "state": {},
        "manufacturer": "Demo",
        "model": f"Demo {kind}",
        "sw_version": "1.0",
        "has_camera": False,
        "external_id": f"{kind}-1",
        "feeds": None,
        "power_off_when_cool": False,
    } | changes


def printing(**changes: Any) -> Json:
    """Return the state of a printer half through a job."""
    return {
        "status": "printing",
        "job": {
            "file": "cat.gcode",
            "progress": 50.0,
            "elapsed_s": 600,
            "remaining_s": 1200,
            "started_at": NOW - 600,
            "error": None,
        },
        "nozzle": {"actual": 209.6, "target": 210.0},
        "bed": {"actual": 60.1, "target": 60.0},
    } | changes


DEVICES: Final = (
    device(
        DOOR,
        "door",
        "Door",
        capabilities=["lock", "unlock", "open"],
        state={"locked": True, "open": False, "jammed": False},
    ),
    device(
        POWER,
        "power",
        "Printer power",
        capabilities=["power_on", "power_off", "power_cut"],
        state={"on": False},
        feeds=PRINTER,
        power_off_when_cool=True,
    ),
    device(
        PRINTER,
        "printer",
        "Printer",
        capabilities=["print_start", "print_pause", "print_resume", "print_cancel", "heat"],
        state=printing(),
        has_camera=True,
    ),
    device(LIGHT, "light", "Bench", capabilities=["light_on", "light_off"], state={"on": True}),
    device(SENSOR, "sensor", "Air", state={"value": 21.5, "unit": "°C"}),
    device(CAMERA, "camera", "Eye", has_camera=True),
)


def subentry(found: Json) -> ConfigSubentryData:
    """Return a device as a person added it."""
    behind = BEHIND.get(found["id"])
    names = ("external_id", "name", "kind", "capabilities")
    return ConfigSubentryData(
        data={
            "device_id": found["id"],
            "driver": found["driver"],
            "zone_id": found["zone_id"],
            "options": {"entity_id": behind, "feeds": found["feeds"]} if behind else {},
            "info": {name: found[name] for name in names},
        },
        subentry_type="device",
        title=found["name"],
        unique_id=f"{found['driver']}:{found['external_id']}",
    )


class RealLock(LockEntity):
    """A lock of another integration."""

    _attr_name = "Real"
    _attr_should_poll = False
    _attr_is_locked = True
    calls = 0

    async def async_lock(self, **kwargs: Any) -> None:
        """Lock."""
        self.calls += 1
        self._attr_is_locked = True
        self.async_write_ha_state()

    def show(self, *, locked: bool) -> None:
        """Be turned by hand."""
        self._attr_is_locked = locked
        self.async_write_ha_state()


class RealPlug(SwitchEntity):
    """A plug of another integration."""

    _attr_name = "Real"
    _attr_should_poll = False
    _attr_is_on = True

    async def async_turn_off(self, **kwargs: Any) -> None:
        """Switch off."""
        self._attr_is_on = False
        self.async_write_ha_state()


class Storeroom(FakeBrain):
    """A brain that also takes files."""

    def __init__(self) -> None:
        """Start with nothing stored."""
        super().__init__()
        self.stored: dict[tuple[str, str], bytes] = {}
        self.refuses: Json | None = None

    async def start(self) -> Self:
        """Open a port for the socket and for files."""
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        app.router.add_put("/api/v1/devices/{device}/files/{name}", self._store)
        app.router.add_post("/api/v1/files", self._take_in)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def _take_in(self, request: web.Request) -> web.Response:
        """Keep a file that goes to no printer yet."""
        if request.headers["Authorization"] != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        name = request.query["name"]
        self.stored["", name] = await request.read()
        data = {"id": f"artifact-{name}", "name": name}
        return web.json_response({"status": "success", "data": data}, status=201)

    async def _store(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        if self.refuses is not None:
            return web.json_response({"status": "error", "error": self.refuses}, status=502)
        device, name = request.match_info["device"], request.match_info["name"]
        self.stored[device, name] = await request.read()
        return web.json_response(
            {"status": "success", "data": {"file": f"local/{name}"}}, status=201
        )


@pytest.fixture(name="snapshot")
def snapshot_fixture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Return snapshots that leave out what Home Assistant makes up anew each time."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture(name="real_lock")
async def real_lock_fixture(hass: HomeAssistant) -> RealLock:
    """Return the lock behind the door."""
    lock = RealLock()
    await _offer(hass, "lock", lock)
    return lock


@pytest.fixture(name="real_plug")
async def real_plug_fixture(hass: HomeAssistant) -> RealPlug:
    """Return the plug behind the printer power."""
    plug = RealPlug()
    await _offer(hass, "switch", plug)
    return plug


@pytest.fixture(name="workshop")
async def workshop_fixture(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    brain: FakeBrain,
    people: dict[str, MockUser],
    platforms: tuple[Platform, ...],
    options: dict[str, Any],
) -> AsyncIterator[MockConfigEntry]:
    """Return the entry of a brain that has all the devices, set up."""
    ar.async_get(hass).async_create("Workshop")
    for user in people.values():
        user.mock_policy({"entities": True})
    brain.instance_id = "1d" * 16
    brain.eligible = [ADA, BOB]
    brain.audit = {"seq": 7, "hash": "ha5h", "at": NOW}
    brain.devices = {found["id"]: dict(found) for found in DEVICES}
    entry = kitty_entry(brain, options, tuple(subentry(found) for found in DEVICES))
    enabled = "homeassistant.helpers.entity.Entity.entity_registry_enabled_default"
    with patch("custom_components.kitty.PLATFORMS", platforms), patch(enabled, True):
        await set_up(hass, entry)
        await brain.received_command("devices.observe", len(BEHIND))
        await fed(entry)
        await settled(hass, brain)
        yield entry
        await hass.config_entries.async_unload(entry.entry_id)


async def settled(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Wait until everything that the brain has said is taken in: frames are taken in order."""
    await brain.ask("anything", {})
    await hass.async_block_till_done()


async def push(hass: HomeAssistant, brain: FakeBrain, name: str, data: Json) -> None:
    """Tell Home Assistant one change and wait until it shows."""
    await brain.push(name, data)
    await settled(hass, brain)


async def change(hass: HomeAssistant, brain: FakeBrain, device_id: str, **changes: Any) -> None:
    """Change a device."""
    await push(hass, brain, "device.updated", brain.devices[device_id] | changes)


async def gone(hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry) -> None:
    """Take the brain away and wait until Home Assistant has noticed."""
    away: list[Json] = []
    stop = entry.runtime_data.coordinator.async_listen("link.down", away.append)
    await brain.stop()
    while not away:
        await _tick(hass)
    stop()
    await hass.async_block_till_done()


async def shown_for_a_second(hass: HomeAssistant) -> None:
    """Let the time pass in which nobody may decide what has just appeared."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=1.5))
    await hass.async_block_till_done()


def at(hass: HomeAssistant, entry: MockConfigEntry, device_id: str) -> str:
    """Return Home Assistant's id of a device."""
    found = dr.async_get(hass).async_get_device_by_identifier(("kitty", device_id), entry.entry_id)
    assert found is not None
    return found.id


async def act(
    hass: HomeAssistant,
    action: str,
    user_id: str | None = ADA,
    /,
    *,
    silent: bool = False,
    **data: Any,
) -> Any:
    """Call an action and return its answer."""
    return await hass.services.async_call(
        "kitty",
        action,
        data,
        blocking=True,
        return_response=not silent,
        context=Context(user_id=user_id),
    )


def state(hass: HomeAssistant, entity_id: str) -> State:
    """Return a state that must be there."""
    found = hass.states.get(entity_id)
    assert found is not None, entity_id
    return found


def entity(hass: HomeAssistant, entity_id: str) -> er.RegistryEntry:
    """Return the registered entity."""
    found = er.async_get(hass).async_get(entity_id)
    assert found is not None, entity_id
    return found


async def _offer(hass: HomeAssistant, domain: str, thing: Entity) -> None:
    setup_test_component_platform(hass, domain, [thing])
    assert await async_setup_component(hass, domain, {domain: {"platform": "test"}})
    await hass.async_block_till_done()


async def _tick(hass: HomeAssistant) -> None:
    done = hass.loop.create_future()
    hass.loop.call_later(0.01, done.set_result, None)
    await done
