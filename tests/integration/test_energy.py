"""What is told of electricity: prices of all the shapes that sensors have, and meters in watt-hours."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.kitty import energy
from custom_components.kitty.protocol import Json

from .conftest import kitty_entry, set_up, until
from .fake_brain import FakeBrain, FakeError, add_devices
from .test_subentry_flow import refuse
from .workshop import PRINTER, device, subentry

PRICE: Final = "sensor.price"
METER: Final = "sensor.meter"
NOON: Final = datetime(2026, 11, 20, 12, 20, tzinfo=UTC)
ROW: Final = {"start": "2026-11-20T12:00:00+00:00", "end": "2026-11-20T13:00:00+00:00"}


def at(hour: int, minute: int = 0, day: int = 20) -> float:
    """Return a time of that day as the brain counts."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp()


def slot(start: float, end: float, price: float) -> Json:
    """Return what a kilowatt-hour costs for a time."""
    return {"start": start, "end": end, "price": price}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no calm."""
    monkeypatch.setattr(energy, "CALM_S", 0)


@pytest.fixture
def stands_still() -> bool:
    """Let the clock stand still; then nobody can wait for anything."""
    return True


@pytest.fixture(autouse=True)
def noon(request: pytest.FixtureRequest, *, stands_still: bool) -> None:
    """Live at twenty past twelve."""
    if stands_still:
        request.getfixturevalue("freezer").move_to(NOON)


@pytest.fixture
def options() -> Json:
    """Name the sensor of the price; a test module may want others."""
    return {"price_entity": PRICE}


@pytest.fixture
def meters() -> Json:
    """Return the options of the printer: its meter."""
    return {"energy_entity": METER}


@pytest.fixture
async def house(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, options: Json, meters: Json
) -> AsyncIterator[MockConfigEntry]:
    """Return the entry of a brain with one printer, not yet set up."""
    await hass.config.async_set_time_zone("UTC")
    printer = device(PRINTER, "printer", "Printer")
    add_devices(brain, [printer])
    added = subentry(printer)
    added["data"] = {**added["data"], "options": meters}
    entry = kitty_entry(brain, options, (added,))
    yield entry
    await hass.config_entries.async_unload(entry.entry_id)


async def told(hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry) -> Json:
    """Return what is told of prices first."""
    await set_up(hass, house)
    return await brain.received_command("energy.prices")


SHAPES: Final[dict[str, tuple[Json, str]]] = {
    "Nord Pool, custom": (
        {
            "raw_today": [
                {
                    "start": datetime(2026, 11, 20, 12, tzinfo=UTC),
                    "end": datetime(2026, 11, 20, 13, tzinfo=UTC),
                    "value": 31.5,
                }
            ],
            "raw_tomorrow": [],
            "today": [1.0, 2.0],
        },
        "c/kWh",
    ),
    "ENTSO-e": ({"prices_today": [{"time": "2026-11-20 12:00:00", "price": 0.315}]}, "EUR/kWh"),
    "Tibber, custom": (
        {"today": [{"startsAt": "2026-11-20T12:00:00+00:00", "total": 0.315}], "tomorrow": None},
        "EUR/kWh",
    ),
    "Octopus Energy": ({"rates": [ROW | {"value_inc_vat": 0.315}]}, ""),
    "Amber": (
        {
            "forecasts": [
                {
                    "start_time": "2026-11-20T12:00:00+00:00",
                    "end_time": "2026-11-20T13:00:00+00:00",
                    "per_kwh": 0.315,
                }
            ]
        },
        "$/kWh",
    ),
    "by the megawatt-hour": ({"prices": [ROW | {"price": 315}]}, "EUR/MWh"),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_a_forecast_is_understood_in_every_shape(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry, name: str
) -> None:
    """As money for a kilowatt-hour."""
    attributes, unit = SHAPES[name]
    hass.states.async_set(PRICE, "99", attributes | {"unit_of_measurement": unit})
    sent = await told(hass, brain, house)
    assert sent["slots"] == [slot(at(12), at(13), 0.315)]


async def test_a_row_without_an_end_ends_where_the_next_begins(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """The last one is as long as the one before; the order does not matter."""
    rows = [
        {"start": "2026-11-20T12:30:00+00:00", "price": 0.2},
        {"start": "2026-11-20T12:15:00+00:00", "price": 0.1},
    ]
    hass.states.async_set(PRICE, "0.1", {"prices": rows})
    assert (await told(hass, brain, house))["slots"] == [
        slot(at(12, 15), at(12, 30), 0.1),
        slot(at(12, 30), at(12, 45), 0.2),
    ]


async def test_what_makes_no_sense_of_a_forecast_is_left_out(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """And two rows never overlap."""
    rows = [
        {"start": "never", "price": 0.1},
        {"start": "2026-11-20T10:00:00+00:00", "price": "dear"},
        {"start": "2026-11-20T11:00:00+00:00", "price": float("nan")},
        {"start": "2026-11-20T11:30:00+00:00", "price": 4000},
        {
            "start": "2026-11-20T12:00:00+00:00",
            "end": "2026-11-20T14:00:00+00:00",
            "price": 0.3,
        },
        {"start": "2026-11-20T13:00:00+00:00", "end": "2026-11-20T12:00:00+00:00", "price": 0.2},
        {"start": "2026-11-18T13:00:00+00:00", "end": "2026-11-18T14:00:00+00:00", "price": 0.2},
    ]
    hass.states.async_set(PRICE, "0.1", {"prices": rows})
    assert (await told(hass, brain, house))["slots"] == [slot(at(12), at(13), 0.3)]


async def test_of_a_sensor_without_a_forecast_the_present_hour_is_told(
    hass: HomeAssistant,
    brain: FakeBrain,
    house: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    """From when it changed on, and anew when the hour is over."""
    hass.states.async_set(PRICE, "30", {"unit_of_measurement": "ct/kWh"})
    assert (await told(hass, brain, house))["slots"] == [slot(at(12, 20), at(13), 0.3)]
    freezer.move_to(at_time := datetime(2026, 11, 20, 13, 0, 0, tzinfo=UTC))
    async_fire_time_changed(hass, at_time + timedelta(seconds=1))
    sent = await brain.received_command("energy.prices", 2)
    assert sent["slots"] == [slot(at(13), at(14), 0.3)]


async def test_a_new_price_is_told_at_once(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """Without waiting for the hour."""
    hass.states.async_set(PRICE, "0.3")
    await told(hass, brain, house)
    hass.states.async_set(PRICE, "0.2")
    sent = await brain.received_command("energy.prices", 2)
    assert sent["slots"][0]["price"] == 0.2


@pytest.mark.parametrize("state", ["unavailable", "unknown", None])
async def test_of_a_sensor_that_shows_nothing_no_price_is_told(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry, state: str | None
) -> None:
    """What is not known is not zero."""
    attributes = {"rates": [ROW | {"value_inc_vat": 0.3}]} if state == "unavailable" else {}
    if state is not None:
        hass.states.async_set(PRICE, state, attributes)
    assert (await told(hass, brain, house))["slots"] == []


@pytest.mark.parametrize("options", [{"energy_price": 0.31, "cheap_hours": "22:00-06:00"}])
async def test_a_fixed_price_and_cheap_hours_are_told(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """For when no sensor tells."""
    sent = await told(hass, brain, house)
    assert sent == {"slots": [], "price": 0.31, "cheap_hours": "22:00-06:00"}


@pytest.mark.parametrize("options", [{"cheap_hours": ""}])
async def test_what_nobody_said_is_taken_back(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """Then the settings of the brain hold again."""
    assert await told(hass, brain, house) == {"slots": [], "price": None, "cheap_hours": None}


# -- integrations that are asked ----------------------------------------------------------------------


def offer(hass: HomeAssistant, domain: str, service: str, answer: Any) -> list[ServiceCall]:
    """Let an integration answer, and return what it is asked."""
    calls: list[ServiceCall] = []

    async def serve(call: ServiceCall) -> ServiceResponse:
        calls.append(call)
        if isinstance(answer, Exception):
            raise answer
        found: Json = answer(call.data)
        return found

    hass.services.async_register(domain, service, serve, supports_response=SupportsResponse.ONLY)
    return calls


def price_of(hass: HomeAssistant, platform: str, unique_id: str) -> None:
    """Register the sensor of an integration."""
    entry = MockConfigEntry(domain=platform)
    entry.add_to_hass(hass)
    er.async_get(hass).async_get_or_create(
        "sensor", platform, unique_id, config_entry=entry, suggested_object_id="price"
    )
    hass.states.async_set(PRICE, "0.3", {"unit_of_measurement": "EUR/kWh"})


async def test_nord_pool_is_asked_for_today_and_tomorrow(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """Its sensors show no forecast; its prices are those of a megawatt-hour."""
    price_of(hass, "nordpool", "SE3-current_price")
    days = {"2026-11-20": {"SE3": [ROW | {"price": 315.0}]}, "2026-11-21": {"SE3": []}}
    calls = offer(hass, "nordpool", "get_prices_for_date", lambda data: days[data["date"]])
    sent = await told(hass, brain, house)
    assert sent["slots"] == [slot(at(12), at(13), 0.315)]
    assert [call.data["areas"] for call in calls] == [["SE3"], ["SE3"]]


TIBBER: Final = [{"start_time": "2026-11-20T12:00:00+00:00", "price": 0.315}]


@pytest.mark.parametrize(
    ("homes", "price"),
    [({"Home": TIBBER}, 0.315), ({"Home": TIBBER, "Cabin": TIBBER}, 0.3), ({}, 0.3)],
)
async def test_tibber_is_asked_where_there_is_one_home(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry, homes: Json, price: float
) -> None:
    """Of several, nobody knows which is meant: then the present price is told."""
    price_of(hass, "tibber", "home-price")
    offer(hass, "tibber", "get_prices", lambda _data: {"prices": homes})
    sent = await told(hass, brain, house)
    assert [one["price"] for one in sent["slots"]] == [price]


async def test_an_integration_that_cannot_be_asked_leaves_the_present_price(
    hass: HomeAssistant,
    brain: FakeBrain,
    house: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the log says why."""
    price_of(hass, "tibber", "home-price")
    offer(hass, "tibber", "get_prices", HomeAssistantError("No"))
    sent = await told(hass, brain, house)
    assert [one["price"] for one in sent["slots"]] == [0.3]
    assert "tibber does not tell its prices: No" in caplog.text


@pytest.mark.parametrize("trouble", [vol.Invalid("extra keys not allowed"), TimeoutError()])
async def test_an_integration_that_does_not_take_the_question_ends_nothing(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry, trouble: Exception
) -> None:
    """Another release of it may want to be asked otherwise; prices and meters are told all the same."""
    price_of(hass, "tibber", "home-price")
    offer(hass, "tibber", "get_prices", trouble)
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    sent = await told(hass, brain, house)
    assert [one["price"] for one in sent["slots"]] == [0.3]
    assert (await brain.received_command("energy.observe"))["wh"] == 5


# -- meters -------------------------------------------------------------------------------------------

UNITS: Final = [("12.5", "kWh", 12_500.0), ("250", "Wh", 250.0), ("0.001", "MWh", 1000.0)]


@pytest.mark.parametrize(("shown", "unit", "counted"), UNITS)
async def test_a_meter_is_told_in_watt_hours(
    hass: HomeAssistant,
    brain: FakeBrain,
    house: MockConfigEntry,
    shown: str,
    unit: str,
    counted: float,
) -> None:
    """Whatever its unit."""
    hass.states.async_set(METER, shown, {"unit_of_measurement": unit})
    await set_up(hass, house)
    sent = await brain.received_command("energy.observe")
    assert sent == {"device_id": PRINTER, "wh": pytest.approx(counted)}


NOTHING: Final = [
    ("unavailable", "kWh"),
    ("unknown", "kWh"),
    ("-1", "kWh"),
    ("1e12", "kWh"),
    ("5", "W"),
    ("5", None),
]


@pytest.mark.parametrize(("shown", "unit"), NOTHING)
async def test_a_meter_that_shows_nothing_of_use_is_not_told(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry, shown: str, unit: str | None
) -> None:
    """Power is no energy, and what has no unit could be anything."""
    hass.states.async_set(METER, shown, {"unit_of_measurement": unit} if unit else {})
    await told(hass, brain, house)
    await house.runtime_data.client.command("devices.list")
    hass.states.async_set(METER, "7", {"unit_of_measurement": "Wh"})
    await brain.received_command("energy.observe")
    assert brain.sent("energy.observe") == [{"device_id": PRINTER, "wh": 7.0}]


async def test_what_a_meter_counts_is_told_as_it_counts(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """Also backwards: what a reset means is the brain's business."""
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    await set_up(hass, house)
    await brain.received_command("energy.observe")
    hass.states.async_set(METER, "0", {"unit_of_measurement": "Wh"})
    assert (await brain.received_command("energy.observe", 2))["wh"] == 0


async def test_a_printer_that_the_brain_does_not_have_yet_is_not_told(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """It would only refuse."""
    brain.devices.clear()
    brain.answers["devices.put"] = refuse("invalid_option")
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    await told(hass, brain, house)
    await house.runtime_data.client.command("devices.list")
    assert brain.sent("energy.observe") == []


@pytest.mark.parametrize("meters", [{}])
async def test_a_printer_without_a_meter_is_no_trouble(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """There is nothing to tell."""
    await told(hass, brain, house)
    assert brain.sent("energy.observe") == []


# -- the brain ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stands_still", [False])
async def test_everything_is_told_again_when_the_brain_is_back(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """It may have restarted, and what changed meanwhile was not lost."""
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    await told(hass, brain, house)
    await brain.received_command("energy.observe")
    await brain.stop()
    await until(house, lambda data: not data.connected)
    hass.states.async_set(METER, "6", {"unit_of_measurement": "Wh"})
    await hass.async_block_till_done()
    await brain.start()
    await brain.received_command("energy.prices", 2)
    assert (await brain.received_command("energy.observe", 2))["wh"] == 6


async def test_a_brain_that_refuses_is_logged_and_told_the_next_time(
    hass: HomeAssistant,
    brain: FakeBrain,
    house: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The rest goes on."""
    brain.answers["energy.prices"] = refuse("invalid_params")
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    await told(hass, brain, house)
    await brain.received_command("energy.observe")
    assert "The brain refused energy.prices" in caplog.text


async def test_a_brain_that_is_too_busy_is_told_the_next_time(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry
) -> None:
    """Nothing breaks."""
    brain.answers["energy.observe"] = refuse("overloaded")
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    await set_up(hass, house)
    await brain.received_command("energy.observe")
    hass.states.async_set(METER, "6", {"unit_of_measurement": "Wh"})
    await brain.received_command("energy.observe", 2)


@pytest.mark.parametrize("action", ["energy.prices", "energy.observe"])
async def test_what_a_busy_brain_did_not_take_is_told_again(
    hass: HomeAssistant, brain: FakeBrain, house: MockConfigEntry, action: str
) -> None:
    """Though nothing changes any more: a print that is over needs no more electricity."""
    answers: list[Json | FakeError] = [{}, FakeError("database_busy")]

    def answer(_params: Json, _caller: Json | None) -> Json:
        found = answers.pop()
        if isinstance(found, FakeError):
            raise found
        return found

    brain.answers[action] = answer
    hass.states.async_set(METER, "5", {"unit_of_measurement": "Wh"})
    await set_up(hass, house)
    first, again = [await brain.received_command(action, number) for number in (1, 2)]
    assert again == first
