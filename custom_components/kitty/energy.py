"""What electricity costs and what printers use of it: told to the brain from the sensors that people named.

A price sensor often shows the next hours, too: in its attributes, or by an action of its integration. The shapes
that are understood are in the tables below; of any other sensor the present price is told, hour by hour.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
import math
import re
from typing import TYPE_CHECKING, Any, Final

from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    CONF_DEVICE_ID,
    STATE_UNAVAILABLE,
    UnitOfEnergy,
)
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event, async_track_time_change
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter

from .client import BrainClient
from .const import (
    CONF_CHEAP_HOURS,
    CONF_ENERGY_PRICE,
    CONF_OPTIONS,
    CONF_PRICE_ENTITY,
    LOGGER,
    SUBENTRY_DEVICE,
)
from .coordinator import LINK_UP, KittyCoordinator
from .errors import MISHAPS, BrainError, BrainUnavailable
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

OPTION_METER: Final = "energy_entity"
# Meters tremble: what they show is told after a moment of calm.
CALM_S: Final = 5.0
# What a brain that is busy could not take is told again, after twice as long each time, up to this.
MOST_PAUSE_S: Final = 300.0
HOUR: Final = timedelta(hours=1)
MOST_SLOTS: Final = 1000
MOST_PRICE: Final = 100.0
MOST_WH: Final = 1e12

# In the order in which they are looked at; a sensor has one of them, or the one for each day.
FORECASTS: Final = (
    ("raw_today", "raw_tomorrow"),
    ("prices_today", "prices_tomorrow"),
    ("today", "tomorrow"),
    ("rates",),
    ("forecasts",),
    ("forecast",),
    ("prices",),
)
STARTS: Final = ("start", "start_time", "starts_at", "startsAt", "from", "time", "hour")
ENDS: Final = ("end", "end_time", "ends_at", "till", "to")
PRICES: Final = ("value_inc_vat", "value", "price", "total", "per_kwh")

_UNIT: Final = re.compile(r"(?P<money>[^/]+)/\s*(?P<energy>[kKMG]?Wh)")
_KWH: Final = {"Wh": 1000.0, "kWh": 1.0, "KWh": 1.0, "MWh": 0.001, "GWh": 0.000001}
# A hundredth of a currency.
_SMALL: Final = frozenset({"c", "ct", "¢", "cent", "cents", "p", "pence", "øre", "öre", "ore"})

type Row = Mapping[str, Any]
type Asked = Callable[[HomeAssistant, er.RegistryEntry], Awaitable[list[Row]]]


class Energy:
    """Keeps the brain's prices and meters true."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: KittyConfigEntry,
        client: BrainClient,
        coordinator: KittyCoordinator,
    ) -> None:
        """Take the collaborators; nothing is told before :meth:`start`."""
        self._hass = hass
        self._entry = entry
        self._client = client
        self._coordinator = coordinator
        self._news = asyncio.Event()
        self._price_is_due = True
        self._meters: dict[str, list[str]] = {}
        self._due: set[str] = set()

    @callback
    def start(self) -> None:
        """Tell everything now, and from now on whatever changes."""
        for item in self._entry.get_subentries_of_type(SUBENTRY_DEVICE):
            if meter := item.data.get(CONF_OPTIONS, {}).get(OPTION_METER):
                self._meters.setdefault(meter, []).append(item.data[CONF_DEVICE_ID])
        on_unload = self._entry.async_on_unload
        on_unload(self._coordinator.async_listen(LINK_UP, self._on_link_up))
        on_unload(async_track_time_change(self._hass, self._on_hour, minute=0, second=0))
        if price := self._entry.options.get(CONF_PRICE_ENTITY):
            on_unload(async_track_state_change_event(self._hass, [price], self._on_price))
        if self._meters:
            on_unload(async_track_state_change_event(self._hass, self._meters, self._on_meter))
        self._due.update(self._meters)
        self._news.set()
        self._entry.async_create_background_task(self._hass, self._run(), "kitty energy")

    @callback
    def _on_link_up(self, _data: Json) -> None:
        """Tell everything: the brain may have restarted."""
        self._price_is_due = True
        self._due.update(self._meters)
        self._news.set()

    @callback
    def _on_hour(self, _now: datetime) -> None:
        self._price_is_due = True
        self._news.set()

    @callback
    def _on_price(self, _event: Event[EventStateChangedData]) -> None:
        self._price_is_due = True
        self._news.set()

    @callback
    def _on_meter(self, event: Event[EventStateChangedData]) -> None:
        self._due.add(event.data["entity_id"])
        self._news.set()

    async def _run(self) -> None:
        pause = CALM_S
        while True:
            await self._news.wait()
            await asyncio.sleep(pause)
            self._news.clear()
            if self._coordinator.data.connected:
                pause = CALM_S if await self._tell_due() else min(2 * pause, MOST_PAUSE_S)

    async def _tell_due(self) -> bool:
        """Tell what is due; False where the brain cannot take all of it now, which stays due."""
        prices, self._price_is_due = self._price_is_due, False
        meters, self._due = self._due, set()
        left = False
        if prices and not await self._tell_prices():
            left = self._price_is_due = True
        for entity_id in sorted(meters):
            if not await self._tell_meter(entity_id):
                left = True
                self._due.add(entity_id)
        if left:
            self._news.set()
        return not left

    async def _tell_prices(self) -> bool:
        options = self._entry.options
        return await self._command(
            "energy.prices",
            {
                "slots": await self._slots(options.get(CONF_PRICE_ENTITY)),
                "price": options.get(CONF_ENERGY_PRICE),
                "cheap_hours": options.get(CONF_CHEAP_HOURS) or None,
            },
        )

    async def _slots(self, entity_id: str | None) -> list[Json]:
        """Return the prices that are known from a sensor; nothing where it shows nothing."""
        state = self._hass.states.get(entity_id) if entity_id else None
        if state is None or state.state == STATE_UNAVAILABLE:
            return []
        now = dt_util.utcnow()
        found = slots_of(forecast_in(state), unit_factor(_unit(state)))
        return upcoming(found or await self._asked(state) or _present(state, now), now)

    async def _asked(self, state: State) -> list[Json]:
        """Return what the integration of a sensor says of the next hours, if it has an action for it."""
        item = er.async_get(self._hass).async_get(state.entity_id)
        if item is None or item.platform not in ACTIONS:
            return []
        ask, unit = ACTIONS[item.platform]
        try:
            rows = await ask(self._hass, item)
        except MISHAPS as err:
            why = str(err) or type(err).__name__
            LOGGER.warning("%s does not tell its prices: %s", item.platform, why)
            return []
        return slots_of(rows, unit_factor(unit or _unit(state)))

    async def _tell_meter(self, entity_id: str) -> bool:
        state = self._hass.states.get(entity_id)
        if state is None or (shown := watt_hours(state)) is None:
            return True
        told = [
            await self._command("energy.observe", {"device_id": device_id, "wh": shown})
            for device_id in self._meters[entity_id]
            if device_id in self._coordinator.data.devices
        ]
        return all(told)

    async def _command(self, action: str, params: Json) -> bool:
        """Tell the brain something; False where it cannot be told now."""
        try:
            await self._client.command(action, params)
        except BrainUnavailable:
            LOGGER.debug("The brain cannot be told %s now", action)
            return False
        except BrainError as err:
            LOGGER.error("The brain refused %s: %s", action, err)
        return True


def watt_hours(state: State) -> float | None:
    """Return what a meter shows, in watt-hours; None where that is not known."""
    shown, unit = _figure(state.state), _unit(state)
    if shown is None or unit not in EnergyConverter.VALID_UNITS:
        return None
    counted = EnergyConverter.convert(shown, unit, UnitOfEnergy.WATT_HOUR)
    return counted if 0 <= counted <= MOST_WH else None


def unit_factor(unit: str | None) -> float:
    """Return by what a price is multiplied to be one of a kilowatt-hour, in whole currency."""
    found = _UNIT.fullmatch((unit or "").strip())
    if found is None:
        return 1.0
    small = found["money"].strip().lower() in _SMALL
    return _KWH[found["energy"]] * (0.01 if small else 1.0)


def forecast_in(state: State) -> list[Row]:
    """Return the rows of a forecast that a sensor has in its attributes."""
    for names in FORECASTS:
        parts = [state.attributes.get(name) for name in names]
        rows = [row for part in parts if isinstance(part, list | tuple) for row in part]
        if rows and all(isinstance(row, Mapping) for row in rows):
            return rows
    return []


def slots_of(rows: Iterable[Row], factor: float) -> list[Json]:
    """Return rows of a forecast as slots in their order; what makes no sense is left out.

    A row without an end ends where the next begins, and the last one is as long as the one before it.
    """
    known: dict[float, tuple[float | None, float]] = {}
    for row in rows:
        start = _moment(_first(row, STARTS))
        price = _figure(_first(row, PRICES))
        if start is not None and price is not None and abs(price * factor) <= MOST_PRICE:
            known[start] = _moment(_first(row, ENDS)), price * factor
    starts = sorted(known)
    slots: list[Json] = []
    length = HOUR.total_seconds()
    for number, start in enumerate(starts):
        told, price = known[start]
        following = starts[number + 1] if number + 1 < len(starts) else None
        end = told or following or start + length
        end = min(end, following or end, start + 24 * HOUR.total_seconds())
        if end > start:
            length = end - start
            slots.append({"start": start, "end": end, "price": round(price, 6)})
    return slots


def upcoming(slots: list[Json], now: datetime) -> list[Json]:
    """Return the slots that are not long over, at most as many as the brain takes."""
    since = (now - 24 * HOUR).timestamp()
    return [slot for slot in slots if slot["end"] > since][:MOST_SLOTS]


def _present(state: State, now: datetime) -> list[Json]:
    """Return the price of now, from when it was shown on, until the hour is over."""
    price = _figure(state.state)
    if price is None:
        return []
    hour = now.replace(minute=0, second=0, microsecond=0)
    row = {"start": max(hour, state.last_changed), "end": hour + HOUR, "price": price}
    return slots_of([row], unit_factor(_unit(state)))


async def _ask_nordpool(hass: HomeAssistant, item: er.RegistryEntry) -> list[Row]:
    """Ask Nord Pool for today and tomorrow, which is empty until the afternoon."""
    area = item.unique_id.partition("-")[0]
    rows: list[Row] = []
    today = dt_util.now().date()
    for day in (today, today + timedelta(days=1)):
        asked = {"config_entry": item.config_entry_id, "date": day.isoformat(), "areas": [area]}
        rows += _rows_at(await _call(hass, "nordpool", "get_prices_for_date", asked), area)
    return rows


async def _ask_tibber(hass: HomeAssistant, item: er.RegistryEntry) -> list[Row]:
    """Ask Tibber for today and tomorrow; of several homes nobody knows which one is meant."""
    today = dt_util.start_of_local_day()
    asked = {"start": today.isoformat(), "end": (today + timedelta(days=2)).isoformat()}
    told = (await _call(hass, "tibber", "get_prices", asked)).get("prices") or {}
    return _rows_at(told, next(iter(told))) if len(told) == 1 else []


# What has no forecast in its attributes and an action instead; with the unit where it is not the sensor's.
ACTIONS: Final[Mapping[str, tuple[Asked, str | None]]] = {
    "nordpool": (_ask_nordpool, "EUR/MWh"),
    "tibber": (_ask_tibber, None),
}


async def _call(hass: HomeAssistant, domain: str, service: str, asked: Json) -> Json:
    told = await hass.services.async_call(
        domain, service, asked, blocking=True, return_response=True
    )
    return dict(told or {})


def _rows_at(told: Any, key: str) -> list[Row]:
    return [row for row in told.get(key) or () if isinstance(row, Mapping)]


def _first(row: Row, names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _moment(value: Any) -> float | None:
    """Return a time in POSIX seconds; one without a zone is of this house."""
    found = value if isinstance(value, datetime) else dt_util.parse_datetime(str(value))
    return None if found is None else dt_util.as_utc(found).timestamp()


def _figure(value: Any) -> float | None:
    try:
        found = float(value)
    except TypeError, ValueError:
        return None
    return found if math.isfinite(found) else None


def _unit(state: State) -> str | None:
    unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
    return None if unit is None else str(unit)
