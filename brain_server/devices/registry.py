"""The devices that there are: stored, started, observed, removed."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
import json
import logging
import time
from typing import Any, Final

from aiohttp import ClientSession
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.bus import Bus
from brain_server.devices.limits import Limits
from brain_server.devices.live import Live, Record
from brain_server.devices.packing import as_stored, text_of
from brain_server.drivers import (
    DeviceInfo,
    Driver,
    DriverContext,
    HomeAssistantLink,
    Observation,
    Order,
    Outcome,
    discover,
)
from brain_server.errors import Conflict, DeviceError, InvalidRequest, NotFound
from brain_server.observability import Tasks
from brain_server.plugins import checked
from brain_server.protocol import INTENTS, Json, Kind, OnlineState
from brain_server.storage import Database
from brain_server.storage.tables import devices, new_id, telemetry

_LOGGER = logging.getLogger(__name__)

PROBE_TIMEOUT: Final = 10.0
STATE: Final = "state"  # the topic under which telemetry holds what a device showed
_CHANGING: Final = frozenset({"online", "last_seen"})


class Registry:
    """Keeps one running driver for each stored device."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        session: ClientSession,
        link: HomeAssistantLink,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the database, the bus, the task keeper, an HTTP session and the road to Home Assistant."""
        self.drivers: Mapping[str, type[Driver]] = {}
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._session = session
        self.link = link
        self._clock = clock
        self._live: dict[str, Live] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._remembered: dict[str, tuple[Any, ...]] = {}
        self.listeners: list[Callable[[Live], None]] = []

    async def start(self) -> None:
        """Find the drivers and start that of every stored device."""
        self.drivers = await asyncio.to_thread(discover)
        rows = await self._db.read(
            lambda connection: connection.execute(select(devices)).mappings().all()
        )
        await asyncio.to_thread(lambda: [self.drivers.get(row["driver"]) for row in rows])
        for row in rows:
            last = await self._db.read(partial(_last_state, device_id=row["id"]))
            self._begin(_record(row), last_state=last)

    def all_drivers(self) -> list[type[Driver]]:
        """Import and return every driver; blocks."""
        return list(self.drivers.values())

    def all(self) -> list[Live]:
        """Return every device."""
        return list(self._live.values())

    def find(self, device_id: str | None) -> Record | None:
        """Return what is stored of a device, None when there is none."""
        live = self._live.get(device_id or "")
        return live.record if live else None

    def get(self, device_id: str) -> Live:
        """Return one device; NotFound ``device_not_found``."""
        try:
            return self._live[device_id]
        except KeyError as err:
            raise NotFound("device_not_found", "There is no such device") from err

    async def probe(self, driver: str, options: Mapping[str, Any]) -> DeviceInfo:
        """Reach a device that is not stored yet; raises what the driver says."""
        await asyncio.to_thread(self.drivers.get, driver)  # its modules are read from the disk now
        made = self._make(driver, self.checked(driver, options), "probe", lambda _seen: None)
        return await made.probe()

    async def put(
        self,
        driver: str,
        options: Mapping[str, Any],
        *,
        device_id: str | None = None,
        name: str | None = None,
        zone_id: str | None = None,
        info: DeviceInfo | None = None,
    ) -> Live:
        """Store a device and run it; the same device again changes it. Conflict ``already_configured``."""
        await asyncio.to_thread(self.drivers.get, driver)
        options = self.checked(driver, options)
        info = info or await self.probe(driver, options)
        if unknown := sorted(info.capabilities - set(INTENTS)):
            raise InvalidRequest(
                "unknown_intent", f"No such intent: {unknown[0]}", intent=unknown[0]
            )
        record = Record(
            id=device_id or new_id(),
            driver=driver,
            external_id=info.external_id,
            name=name or info.name,
            kind=info.kind,
            zone_id=zone_id,
            capabilities=frozenset(
                one for one in info.capabilities if INTENTS[one].kind is info.kind
            ),
            options=options,
            manufacturer=info.manufacturer,
            model=info.model,
            sw_version=info.sw_version,
            has_camera=info.has_camera,
        )
        old = self._live.get(record.id)
        if old is not None and _same(old.record, record, _CHANGING):
            return old
        if old is not None:
            record = replace(record, last_seen=old.record.last_seen)
        await self._store(record)
        there = old is not None and self._live.get(record.id) is old
        if old is not None and there and _same(old.record, record, {*_CHANGING, "name", "zone_id"}):
            # What only people see has changed: its driver goes on, and so does what waits for it.
            seen = {name: getattr(old.record, name) for name in _CHANGING}
            old.record = replace(record, **seen)
            self._changed(old)
            return old
        self._end(record.id)
        return self._begin(
            record,
            off_when_cool=old is not None and old.off_when_cool,
            last_state=old.last_state if old is not None else None,
        )

    async def remove(self, device_id: str) -> None:
        """Stop and forget a device; NotFound when there is none."""
        self.get(device_id)
        await self._db.write(
            lambda connection: connection.execute(delete(devices).where(devices.c.id == device_id))
        )
        self._end(device_id)
        self._live.pop(device_id, None)
        self._remembered.pop(device_id, None)
        self._bus.publish("device.removed", {"id": device_id})

    def checked(self, driver: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options with defaults filled in; InvalidRequest names the driver or the field."""
        if (kind := self.drivers.get(driver)) is None:
            raise InvalidRequest("unknown_driver", "There is no such driver", driver=driver)
        known = {option.name for option in kind.profile}
        told = checked(
            kind.profile, {name: value for name, value in options.items() if name in known}
        )
        Limits.of(told)
        needed = {name: value for name, value in options.items() if name not in known}
        # What nobody told of a device is left out, so that a new question changes no device.
        return checked(kind.options, needed) | {
            name: value for name, value in told.items() if value is not None and name in options
        }

    def observe(self, device_id: str, seen: Observation) -> None:
        """Take what Home Assistant saw of an entity that it owns."""
        live = self.get(device_id)
        if not live.driver.executes_in_home_assistant:
            raise Conflict("not_bound", "This device is not an entity of Home Assistant")
        live.publish(live.driver.understand(seen), self._clock())

    async def stop(self) -> None:
        """Stop every driver."""
        for device_id in list(self._live):
            self._end(device_id)
        await self.remember(self.all())

    def _make(
        self,
        driver: str,
        options: Mapping[str, Any],
        device_id: str,
        publish: Callable[[Observation], None],
        last_state: Json | None = None,
    ) -> Driver:
        return self.drivers.get(driver, Missing)(
            DriverContext(
                device_id=device_id,
                options=options,
                publish=publish,
                session=self._session,
                home_assistant=self.link,
                now=lambda: datetime.fromtimestamp(self._clock(), UTC),
                last_state=last_state or {},
            )
        )

    def _begin(
        self, record: Record, *, off_when_cool: bool = False, last_state: Json | None = None
    ) -> Live:
        def publish(seen: Observation) -> None:
            live.publish(seen, self._clock())

        async def follow() -> None:
            called_off = False
            try:
                await driver.run()
            except asyncio.CancelledError:
                called_off = True
                raise
            finally:
                # What nobody follows for now must not look as if somebody did.
                if not called_off:
                    publish(Observation(online=OnlineState.FAULT, reason="driver_failed"))

        driver = self._make(record.driver, record.options, record.id, publish, last_state)
        live = Live(
            record=record,
            driver=driver,
            changed=self._changed,
            last_state=last_state or {},
            off_when_cool=off_when_cool,
        )
        self._live[record.id] = live
        self._remembered[record.id] = _gist(live)
        self._running[record.id] = self._tasks.keep_up(f"device {record.id}", follow)
        self._changed(live)
        return live

    def _end(self, device_id: str) -> None:
        if task := self._running.pop(device_id, None):
            task.cancel()
            self._tasks.forget(f"device {device_id}")

    def _changed(self, live: Live) -> None:
        if self._live.get(live.record.id) is not live:
            return  # removed or replaced, while its driver was still at something
        self._bus.publish("device.updated", live.view())
        for listener in self.listeners:
            listener(live)
        if self._remembered.get(live.record.id) != _gist(live):
            self._remembered[live.record.id] = _gist(live)
            self._tasks.start(f"remember {live.record.id}", self.remember([live]))

    async def _store(self, record: Record) -> None:
        values = asdict(record) | {
            "capabilities": sorted(record.capabilities),
            "kind": record.kind.value,
            "online": OnlineState.OFFLINE.value,
            "options": dict(record.options),
        }

        def work(connection: Connection) -> None:
            same = devices.c.id == record.id
            if not connection.execute(update(devices).where(same).values(values)).rowcount:
                connection.execute(insert(devices).values(values | {"created_at": self._clock()}))

        try:
            await self._db.write(work)
        except IntegrityError as err:
            raise Conflict("already_configured", "This device is already set up") from err

    async def remember(self, lives: Sequence[Live]) -> None:
        """Store whether devices answer, when they last did, and what they showed then."""
        now = self._clock()
        said = [
            {
                "id": new_id(),
                "device_id": live.record.id,
                "topic": STATE,
                "recorded_at": now,
            }
            | as_stored(json.dumps(live.observed.state))
            for live in lives
            if live.observed.state
        ]
        rows = [
            {"key": live.record.id, "is": live.observed.online.value, "at": live.record.last_seen}
            for live in lives
        ]
        query = (
            update(devices)
            .where(devices.c.id == bindparam("key"))
            .values(online=bindparam("is"), last_seen=bindparam("at"))
        )

        def work(connection: Connection) -> None:
            if rows:
                connection.execute(query, rows)
            there = set(connection.execute(select(devices.c.id)).scalars())
            if kept := [row for row in said if row["device_id"] in there]:
                connection.execute(insert(telemetry), kept)

        await self._db.write(work)


class Missing(Driver):
    """Stands for a driver that is not there any more, so that its devices can still be seen."""

    name = "missing"
    title = "Missing driver"
    options = ()

    async def probe(self) -> DeviceInfo:
        """Refuse."""
        raise DeviceError("driver_missing", "The driver of this device is not installed")

    async def run(self) -> None:
        """Say so."""
        self.context.publish(Observation(online=OnlineState.FAULT, reason="driver_missing"))
        await asyncio.Event().wait()

    async def execute(self, order: Order) -> Outcome | None:
        """Refuse."""
        del order
        raise DeviceError("driver_missing", "The driver of this device is not installed")


def _gist(live: Live) -> tuple[Any, ...]:
    """Return what must be remembered at once when it changes: the rest is figures."""
    state = live.observed.state
    return live.observed.online, state.get("status"), (state.get("job") or {}).get("started_at")


def _last_state(connection: Connection, device_id: str) -> Json:
    """Return what a device showed when it last answered."""
    mine = (telemetry.c.device_id == device_id, telemetry.c.topic == STATE)
    query = select(telemetry).where(*mine).order_by(telemetry.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    try:
        found = {} if row is None else json.loads(text_of(row))
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _record(row: Mapping[Any, Any]) -> Record:
    values = {key: value for key, value in row.items() if key != "created_at"}
    return Record(
        **values
        | {
            "kind": Kind(row["kind"]),
            "capabilities": frozenset(row["capabilities"]),
            "online": OnlineState(row["online"]),
        }
    )


def _same(old: Record, new: Record, but: Collection[str]) -> bool:
    return {k: v for k, v in asdict(old).items() if k not in but} == {
        k: v for k, v in asdict(new).items() if k not in but
    }
