"""The devices that there are: stored, started, observed, removed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
import logging
import time
from typing import Any, Final

from aiohttp import ClientSession
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.bus import Bus
from brain_server.devices.live import Live, Record
from brain_server.drivers import (
    DeviceInfo,
    Driver,
    DriverContext,
    HomeAssistantLink,
    Observation,
    OptionType,
    discover,
)
from brain_server.errors import Conflict, InvalidRequest, NotFound
from brain_server.observability import Tasks
from brain_server.protocol import INTENTS, Kind, OnlineState
from brain_server.storage import Database
from brain_server.storage.tables import devices, new_id

_LOGGER = logging.getLogger(__name__)

PROBE_TIMEOUT: Final = 10.0


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
        self.drivers: dict[str, type[Driver]] = {}
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._session = session
        self.link = link
        self._clock = clock
        self._live: dict[str, Live] = {}
        self._running: dict[str, Any] = {}
        self.listeners: list[Callable[[Live], None]] = []

    async def start(self) -> None:
        """Find the drivers and start that of every stored device."""
        self.drivers = await asyncio.to_thread(discover)
        rows = await self._db.read(
            lambda connection: connection.execute(select(devices)).mappings().all()
        )
        for row in rows:
            self._begin(_record(row))

    def all(self) -> list[Live]:
        """Return every device."""
        return list(self._live.values())

    def get(self, device_id: str) -> Live:
        """Return one device; NotFound ``device_not_found``."""
        try:
            return self._live[device_id]
        except KeyError as err:
            raise NotFound("device_not_found", "There is no such device") from err

    async def probe(self, driver: str, options: Mapping[str, Any]) -> DeviceInfo:
        """Reach a device that is not stored yet; raises what the driver says."""
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
        if old is not None and _same(old.record, record):
            return old
        await self._store(record)
        self._end(record.id)
        return self._begin(record)

    async def remove(self, device_id: str) -> None:
        """Stop and forget a device; NotFound when there is none."""
        self.get(device_id)
        self._end(device_id)
        del self._live[device_id]
        await self._db.write(
            lambda connection: connection.execute(delete(devices).where(devices.c.id == device_id))
        )
        self._bus.publish("device.removed", {"id": device_id})

    def checked(self, driver: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options with defaults filled in; InvalidRequest ``invalid_option`` names the field."""
        kind = self.drivers.get(driver)
        if kind is None:
            raise InvalidRequest("unknown_driver", f"There is no driver {driver}", driver=driver)
        known = {option.name: option for option in kind.options}
        for name in options:
            if name not in known:
                raise InvalidRequest("invalid_option", f"Unknown option {name}", field=name)
        found: dict[str, Any] = {}
        for name, option in known.items():
            value = options.get(name)
            if value in (None, ""):
                if option.required and option.default is None:
                    raise InvalidRequest("invalid_option", f"{option.label} is needed", field=name)
                found[name] = option.default
                continue
            wrong = (
                (option.choices and value not in option.choices)
                or (option.type is OptionType.NUMBER and not isinstance(value, int | float))
                or (option.type is OptionType.BOOLEAN and not isinstance(value, bool))
            )
            if wrong:
                raise InvalidRequest(
                    "invalid_option", f"{option.label} cannot be {value!r}", field=name
                )
            found[name] = value
        return found

    def observe(self, device_id: str, seen: Observation) -> None:
        """Take what Home Assistant saw of an entity that it owns."""
        live = self.get(device_id)
        if not live.driver.executes_in_home_assistant:
            raise Conflict("not_bound", "This device is not an entity of Home Assistant")
        live.publish(seen, self._clock())

    async def stop(self) -> None:
        """Stop every driver."""
        for device_id in list(self._live):
            self._end(device_id)

    def _make(
        self,
        driver: str,
        options: Mapping[str, Any],
        device_id: str,
        publish: Callable[[Observation], None],
    ) -> Driver:
        return self.drivers[driver](
            DriverContext(
                device_id=device_id,
                options=options,
                publish=publish,
                session=self._session,
                home_assistant=self.link,
                now=lambda: datetime.fromtimestamp(self._clock(), UTC),
            )
        )

    def _begin(self, record: Record) -> Live:
        def publish(seen: Observation) -> None:
            live.publish(seen, self._clock())

        driver = self._make(record.driver, record.options, record.id, publish)
        live = Live(record=record, driver=driver, changed=self._changed)
        self._live[record.id] = live
        self._running[record.id] = self._tasks.start(f"device {record.id}", driver.run())
        self._changed(live)
        return live

    def _end(self, device_id: str) -> None:
        if task := self._running.pop(device_id, None):
            task.cancel()

    def _changed(self, live: Live) -> None:
        self._bus.publish("device.updated", live.view())
        for listener in self.listeners:
            listener(live)

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

    async def remember(self, live: Live) -> None:
        """Store whether a device answers and when it last did."""
        values = {"online": live.observed.online.value, "last_seen": live.record.last_seen}
        await self._db.write(
            lambda connection: connection.execute(
                update(devices).where(devices.c.id == live.record.id).values(values)
            )
        )


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


def _same(old: Record, new: Record) -> bool:
    changing = {"online", "last_seen"}
    return {k: v for k, v in asdict(old).items() if k not in changing} == {
        k: v for k, v in asdict(new).items() if k not in changing
    }
