"""The verbs with which devices are added, looked at and removed; what is done to them goes another road."""

import asyncio
import base64
from dataclasses import asdict
from typing import Annotated, Any

import msgspec

from brain_server.commands import Caller, Page, Params, Scope, command, paged
from brain_server.devices.evidence import Evidence, image_type, picture
from brain_server.devices.registry import PROBE_TIMEOUT, Registry
from brain_server.drivers import DeviceInfo, Observation
from brain_server.errors import DeviceError
from brain_server.plugins import described, said
from brain_server.protocol import Json, Kind, OnlineState
from brain_server.safety.commands import EventId
from brain_server.safety.gate import Gate


class Drivers(Page):
    """In which language the forms are wanted."""

    language: str = "en"


class DeviceId(Params):
    """One device."""

    device_id: str


class Probe(Params):
    """A driver and the options to try."""

    driver: str
    options: dict[str, Any]


class Info(Params):
    """What a probe found, so that a device can be put while it is switched off."""

    external_id: str
    name: str
    kind: Kind
    capabilities: list[str]
    manufacturer: str | None = None
    model: str | None = None
    sw_version: str | None = None
    has_camera: bool = False


class Put(Probe):
    """A device to store."""

    device_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")] | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    zone_id: str | None = None
    info: Info | None = None


class Observe(Params):
    """What Home Assistant saw of a device that it owns."""

    device_id: str
    online: OnlineState
    state: dict[str, Any] = {}
    reason: str | None = None


class DeviceCommands:
    """Answers what clients ask about devices."""

    def __init__(self, registry: Registry, gate: Gate, evidence: Evidence) -> None:
        """Take the registry, the gate, and who keeps pictures."""
        self._registry = registry
        self._gate = gate
        self._evidence = evidence

    @command("drivers.list", Scope.READ, read_only=True)
    async def drivers(self, _caller: Caller, params: Drivers) -> Json:
        """List the drivers and the options with which a device is added."""
        found = await asyncio.to_thread(_described, self._registry, params.language)
        return paged(found, params, key="name")

    @command(
        "devices.list",
        Scope.READ,
        read_only=True,
        tool="List the devices of the workshop with their ids, zones, capabilities and what they show now.",
    )
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List the devices with their state."""
        return paged([live.view() for live in self._registry.all()], params)

    @command(
        "devices.get",
        Scope.READ,
        read_only=True,
        tool="Tell what one device shows now, for example whether a door is locked or how far a print is.",
    )
    async def get(self, _caller: Caller, params: DeviceId) -> Json:
        """Return one device."""
        return self._registry.get(params.device_id).view()

    @command("devices.probe", Scope.INTEGRATION)
    async def probe(self, _caller: Caller, params: Probe) -> Json:
        """Reach a device once, to check its options before it is added."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                found = await self._registry.probe(params.driver, params.options)
        except TimeoutError as err:
            raise DeviceError("cannot_connect", "The device does not answer") from err
        return asdict(found) | {"capabilities": sorted(found.capabilities)}

    @command("devices.put", Scope.INTEGRATION)
    async def put(self, _caller: Caller, params: Put) -> Json:
        """Add or change a device."""
        info = None
        if params.info is not None:
            known = {name: getattr(params.info, name) for name in params.info.__struct_fields__}
            info = DeviceInfo(**known | {"capabilities": frozenset(params.info.capabilities)})
        before = self._registry.find(params.device_id)
        live = await self._registry.put(
            params.driver,
            params.options,
            device_id=params.device_id,
            name=params.name,
            zone_id=params.zone_id,
            info=info,
        )
        if before is not None and before.bound_to != live.record.bound_to:
            await self._gate.void_all("device_changed", live.record.id)
        return live.view()

    @command("devices.remove", Scope.INTEGRATION)
    async def remove(self, _caller: Caller, params: DeviceId) -> Json:
        """Remove a device."""
        await self._registry.remove(params.device_id)
        return {}

    @command("devices.observe", Scope.INTEGRATION)
    async def observe(self, _caller: Caller, params: Observe) -> Json:
        """Take what Home Assistant saw of an entity that it owns."""
        self._registry.observe(
            params.device_id,
            Observation(online=params.online, state=params.state, reason=params.reason),
        )
        return {}

    @command("devices.snapshot", Scope.READ)
    async def snapshot(self, _caller: Caller, params: DeviceId) -> Json:
        """Return one picture of a device, base64."""
        image = await picture(self._registry.get(params.device_id))
        return {"content_type": image_type(image), "image": base64.b64encode(image).decode()}

    @command("safety.evidence", Scope.READ)
    async def evidence(self, _caller: Caller, params: EventId) -> Json:
        """Return the picture that was taken when an approved command was carried out, base64."""
        image = await self._evidence.read(params.event_id)
        return {"content_type": image_type(image), "image": base64.b64encode(image).decode()}

    @command("devices.files", Scope.READ)
    async def files(self, _caller: Caller, params: DeviceId) -> Json:
        """List the print files that a device holds."""
        names = await self._registry.get(params.device_id).driver.files()
        return {"items": names, "cursor": None}


def _described(registry: Registry, language: str) -> list[Json]:
    """Return every driver with its forms; that blocks."""
    return [
        {
            "name": driver.name,
            "title": said(driver.title, language),
            "executes_in_home_assistant": driver.executes_in_home_assistant,
            "options": described(driver.options, language),
            "profile": described(driver.profile, language),
        }
        for driver in registry.all_drivers()
    ]
