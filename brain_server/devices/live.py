"""One device as it is now: its driver at work, its last observation, and who waits for the next."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
import json
import logging
from typing import Any, Final

from brain_server.devices.limits import Limits
from brain_server.drivers import Driver, Observation
from brain_server.observability import counters
from brain_server.protocol import MAX_TELEMETRY_BYTES, Json, Kind, OnlineState, is_cool

_LOGGER = logging.getLogger(__name__)

RESTING: Final = frozenset({"idle", "completed", "failed", "aborted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A device as it is stored."""

    id: str
    driver: str
    external_id: str
    name: str
    kind: Kind
    zone_id: str | None
    capabilities: frozenset[str]
    options: Mapping[str, Any]
    manufacturer: str | None = None
    model: str | None = None
    sw_version: str | None = None
    has_camera: bool = False
    online: OnlineState = OnlineState.OFFLINE
    last_seen: float | None = None

    @property
    def bound_to(self) -> tuple[object, ...]:
        """Return what makes this the thing that people approved something for."""
        return self.driver, self.external_id, dict(self.options)

    @property
    def limits(self) -> Limits:
        """Return what this printer can take."""
        return Limits.of(self.options)

    @property
    def plate(self) -> int:
        """Return which plate of a project is printed where a start names none."""
        return int(self.options.get("plate") or 1)

    @property
    def feeds(self) -> str | None:
        """Return the id of the device that this one gives power to."""
        return self.options.get("feeds") or None


@dataclass(slots=True)
class Live:
    """A device at run time."""

    record: Record
    driver: Driver
    changed: Callable[[Live], None]
    observed: Observation = field(default_factory=lambda: Observation(online=OnlineState.OFFLINE))
    # What it showed when it last answered; an observation of being away shows nothing.
    last_state: Json = field(default_factory=dict)
    # Counts observations, so that a waiter can tell a new one from an old one.
    version: int = 0
    off_when_cool: bool = False
    _waiters: set[asyncio.Event] = field(default_factory=set)

    def publish(self, seen: Observation, now: float) -> None:
        """Take an observation; anything that is not JSON of at most 64 KiB is refused and logged."""
        try:
            size = len(json.dumps(seen.state, allow_nan=False))
        except TypeError, ValueError, RecursionError:
            size = MAX_TELEMETRY_BYTES + 1
        if size > MAX_TELEMETRY_BYTES:
            counters["states_refused"] += 1
            _LOGGER.warning("Device %s sent a state that cannot be kept", self.record.id)
            return
        before = self.observed
        self.observed = seen
        self.last_state = seen.state or self.last_state
        self.version += 1
        if seen.online is OnlineState.ONLINE:
            self.record = replace(self.record, last_seen=now, online=seen.online)
        else:
            self.record = replace(self.record, online=seen.online)
        if before.online != seen.online:
            # The only line about it: no driver writes one of its own.
            why = f": {seen.reason}" if seen.reason else ""
            _LOGGER.info("Device %s is %s%s", self.record.name, seen.online.value, why)
        for waiter in self._waiters:
            waiter.set()
        if before != seen:
            self.changed(self)

    async def wait_for(self, proven: Callable[[Json], bool | None], limit: float) -> bool | None:
        """Wait until an observation made from now on proves something.

        Returns True when it did, False when the last such observation says the opposite, None when
        nothing was observed that tells.
        """
        verdict: bool | None = None
        waiter = asyncio.Event()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(limit):
                while verdict is not True:
                    await waiter.wait()
                    waiter.clear()
                    if self.observed.online is OnlineState.ONLINE:
                        verdict = proven(self.observed.state)
        except TimeoutError:
            return verdict
        finally:
            self._waiters.discard(waiter)
        return verdict

    def is_cool(self) -> bool:
        """Tell whether this printer is certainly at rest and cool; what is not known is not."""
        return self.observed.online is OnlineState.ONLINE and is_cool(self.observed.state)

    def is_in(self, condition: str) -> bool:
        """Tell whether the device is certainly cool, online, on, off, locked, idle or printing now."""
        online, state = self.observed.online is OnlineState.ONLINE, self.observed.state
        match condition:
            case "cool":
                return self.is_cool()
            case "online":
                return online
            case "on" | "off":
                return online and state.get("on") is (condition == "on")
            case "locked":
                return online and state.get("locked") is True
            case "idle":
                return online and state.get("status") in RESTING
            case _:
                return online and state.get("status") == condition

    def view(self) -> Json:
        """Return the device as it goes over the wire."""
        record = self.record
        names = [
            "id",
            "driver",
            "external_id",
            "name",
            "kind",
            "zone_id",
            "manufacturer",
            "model",
            "sw_version",
            "has_camera",
            "last_seen",
            "feeds",
        ]
        return {name: getattr(record, name) for name in names} | {
            "capabilities": sorted(record.capabilities),
            "online": self.observed.online.value,
            "reason": self.observed.reason,
            "state": self.observed.state,
            "power_off_when_cool": self.off_when_cool,
        }


def began_since(job: Json, then: float) -> bool:
    """Tell whether the job that a printer shows surely began after that time."""
    try:
        return datetime.fromisoformat(job["started_at"]).timestamp() >= then
    except KeyError, TypeError, ValueError:
        return False
