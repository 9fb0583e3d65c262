"""Two houses whose things are called as people call them: with several floors, and with many of a kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from homeassistant.components.calendar import CalendarEvent
from homeassistant.util import dt as dt_util

from .furniture import Piece, piece


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A house of these tests; a floor has its level and its other names."""

    pieces: Callable[[], list[Piece]]
    areas: Mapping[str, str | None]
    aliases: Mapping[str, tuple[str, ...]]
    floors: Mapping[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


def _soon() -> datetime:
    """Return tomorrow at two."""
    return (dt_util.now() + timedelta(days=1)).replace(hour=14, minute=0, second=0, microsecond=0)


def _villa() -> list[Piece]:
    """Return what stands in a house of three floors."""
    soon = _soon()
    return [
        piece("light", "Kitchen Ceiling Light", "Kitchen", on=True),
        piece("light", "Island Pendants", "Kitchen"),
        piece("light", "Chandelier", "Dining Room", on=True),
        piece("light", "Sofa Lamp", "Living Room", mode="hs", on=True),
        piece("light", "TV Backlight", "Living Room", mode="hs"),
        piece("light", "Hallway Spots", "Hallway"),
        piece("light", "Left Bedside Lamp", "Master Bedroom"),
        piece("light", "Right Bedside Lamp", "Master Bedroom"),
        piece("light", "Night Light", "Emma's Room", mode="hs", on=True),
        piece("light", "Leo's Desk Lamp", "Leo's Room"),
        piece("light", "Mirror Light", "Bathroom"),
        piece("light", "Office Ceiling", "Home Office", mode="color_temp"),
        piece("light", "String Lights", "Garden", aliases=("Fairy lights",)),
        piece("light", "Work Light", "Garage"),
        piece("light", "Cellar Light", "Wine Cellar"),
        piece("switch", "Espresso Machine", "Kitchen", device_class="outlet"),
        piece("switch", "Dishwasher", "Kitchen", on=True),
        piece("switch", "Christmas Tree", "Living Room", on=True),
        piece("switch", "Dryer", "Laundry Room"),
        piece("switch", "Pond Pump", "Garden", on=True),
        piece("switch", "Electric Blanket", "Master Bedroom"),
        piece("switch", "Towel Warmer", "Bathroom"),
        piece("fan", "Extractor", "Bathroom"),
        piece("fan", "Ceiling Fan", "Master Bedroom", percentage=50),
        piece("cover", "Curtains", "Living Room", device_class="curtain", position=100),
        piece("cover", "Office Blind", "Home Office", device_class="blind", position=100),
        piece("cover", "Roller Shutter", "Kitchen", device_class="shutter", position=0),
        piece("cover", "Bedroom Shade", "Master Bedroom", device_class="shade", position=100),
        piece("cover", "Garage Door", "Garage", device_class="garage", position=0),
        piece("cover", "Driveway Gate", "Garden", device_class="gate", position=0),
        piece("cover", "Awning", "Garden", device_class="awning", position=0),
        piece("lock", "Front Door", "Hallway", locked=True),
        piece("lock", "Patio Door", "Living Room", locked=False),
        piece("lock", "Side Door", "Garage", locked=True),
        piece("climate", "Downstairs Thermostat", "Living Room", now=20.5),
        piece("climate", "Emma's Radiator", "Emma's Room", now=18.0),
        piece("climate", "Office AC", "Home Office", now=25.0),
        piece("media_player", "Living Room TV", "Living Room", device_class="tv", state="playing",
              title="Planet Earth"),
        piece("media_player", "Kitchen Radio", "Kitchen", device_class="speaker", state="off"),
        piece("media_player", "Office Speaker", "Home Office", device_class="speaker", state="paused"),
        piece("media_player", "Bedroom Echo", "Master Bedroom", device_class="speaker", state="idle"),
        piece("vacuum", "Rosie", "Hallway", device="Robot cleaner", maker="iRobot"),
        piece("valve", "Vegetable Patch Valve", "Garden", device_class="water"),
        piece("todo", "Shopping List", items=("Bananas", "Toilet paper")),
        piece("todo", "DIY Projects", items=("Fix the fence", "Paint the shed")),
        piece("calendar", "Family Calendar", events=(
            CalendarEvent(summary="Emma piano lesson", start=soon, end=soon + timedelta(hours=1),
                          location="Music School"),
        )),
        piece("weather", "Home Weather", state="cloudy", forecast=(
            {"datetime": soon.isoformat(), "condition": "rainy", "native_temperature": 12.0,
             "native_templow": 5.0, "precipitation_probability": 80},
        )),
        piece("sensor", "Living Room Temperature", "Living Room", device_class="temperature", state="20.5", unit="°C"),
        piece("sensor", "Living Room Humidity", "Living Room", device_class="humidity", state="48", unit="%"),
        piece("sensor", "Wine Cellar Temperature", "Wine Cellar", device_class="temperature", state="12.5", unit="°C"),
        piece("sensor", "Garden Temperature", "Garden", device_class="temperature", state="9.3", unit="°C"),
        piece("sensor", "Bedroom CO2", "Master Bedroom", device_class="carbon_dioxide", state="812", unit="ppm"),
        piece("sensor", "House Power", device_class="power", state="640", unit="W"),
        piece("sensor", "Energy Today", device_class="energy", state="7.4", unit="kWh"),
        piece("sensor", "Dryer Power", "Laundry Room", device_class="power", state="1850", unit="W"),
        piece("sensor", "Front Door Battery", "Hallway", device_class="battery", state="15", unit="%"),
        piece("sensor", "Emma Window Battery", "Emma's Room", device_class="battery", state="88", unit="%"),
        piece("sensor", "Kitchen Temperature", "Kitchen", device_class="temperature", state="22.1", unit="°C"),
        piece("binary_sensor", "Emma Window", "Emma's Room", device_class="window", state="on"),
        piece("binary_sensor", "Bathroom Window", "Bathroom", device_class="window", state="off"),
        piece("binary_sensor", "Kitchen Window", "Kitchen", device_class="window", state="on"),
        piece("binary_sensor", "Cellar Leak", "Wine Cellar", device_class="moisture", state="off"),
        piece("binary_sensor", "Hallway Motion", "Hallway", device_class="motion", state="on"),
        piece("binary_sensor", "Fridge Door", "Kitchen", device_class="door", state="off"),
        piece("binary_sensor", "Kitchen Smoke", "Kitchen", device_class="smoke", state="off"),
        piece("scene", "Movie Time", "Living Room"),
        piece("scene", "Good Night"),
        piece("scene", "Dinner Party", "Dining Room"),
    ]  # fmt: skip


def _farm() -> list[Piece]:
    """Return what stands on a farm, much of it several times."""
    return [*_farm_works(), *_farm_tells()]


def _farm_works() -> list[Piece]:
    return [
        piece("light", "Barn North Light", "Barn", on=True),
        piece("light", "Barn South Light", "Barn"),
        piece("light", "Stable Light", "Stable"),
        piece("light", "Hayloft Light", "Hayloft"),
        piece("light", "Porch Light", "Porch", on=True),
        piece("light", "Farmhouse Kitchen Light", "Farmhouse Kitchen"),
        piece("light", "Pantry Light", "Pantry", on=True),
        piece("light", "Library Lamp", "Library"),
        piece("light", "Blue Room Lamp", "Blue Room"),
        piece("light", "Green Room Lamp", "Green Room"),
        piece("light", "Upstairs Landing Light", "Landing", on=True),
        piece("light", "Greenhouse Grow Light", "Greenhouse", on=True),
        piece("light", "Workshop Light 1", "Workshop", on=True),
        piece("light", "Workshop Light 2", "Workshop"),
        piece("light", "Desk Light", "Library", on=True),
        piece("switch", "Water Pump", "Barn"),
        piece("switch", "Heat Lamp", "Stable", on=True),
        piece("switch", "Table Saw", "Workshop"),
        piece("switch", "Dust Collector", "Workshop"),
        piece("switch", "Electric Fence", "Paddock", on=True),
        piece("switch", "Incubator", "Barn", on=True),
        piece("switch", "Chest Freezer", "Pantry", on=True),
        piece("fan", "Barn Fan", "Barn"),
        piece("fan", "Greenhouse Fan", "Greenhouse", percentage=75),
        piece("fan", "Stable Fan", "Stable"),
        piece("cover", "Barn Door", "Barn", device_class="door", position=0),
        piece("cover", "Tractor Shed", "Yard", device_class="garage", position=0),
        piece("cover", "Main Gate", "Yard", device_class="gate", position=0),
        piece("cover", "Paddock Gate", "Paddock", device_class="gate", position=100),
        piece("cover", "East Shutters", "Library", device_class="shutter", position=100),
        piece("cover", "West Shutters", "Library", device_class="shutter", position=100),
        piece("cover", "Roof Vent", "Greenhouse", device_class="window", position=0),
        piece("cover", "Kitchen Blinds", "Farmhouse Kitchen", device_class="blind", position=100),
        piece("lock", "Farmhouse Door", "Porch", locked=True),
        piece("lock", "Tack Room", "Stable", locked=True),
        piece("lock", "Gun Safe", "Library", locked=True),
        piece("lock", "Feed Store", "Barn", locked=False),
        piece("climate", "Farmhouse Heating", "Farmhouse Kitchen", now=18.5),
        piece("climate", "Greenhouse Heater", "Greenhouse", now=14.0),
        piece("climate", "Blue Room Heater", "Blue Room", now=17.0),
        piece("media_player", "Barn Speaker", "Barn", device_class="speaker", state="playing", title="Jolene"),
        piece("media_player", "Workshop Radio", "Workshop", device_class="speaker", state="playing", title="News"),
        piece("media_player", "Library Stereo", "Library", device_class="receiver", state="off"),
        piece("vacuum", "Upstairs Robot", "Landing"),
        piece("vacuum", "Downstairs Robot", "Farmhouse Kitchen"),
        piece("valve", "Trough Valve", "Paddock", device_class="water"),
        piece("valve", "Orchard Irrigation", "Orchard", device_class="water"),
        piece("valve", "Greenhouse Misting", "Greenhouse", device_class="water", open=True),
    ]  # fmt: skip


def _farm_tells() -> list[Piece]:
    soon = _soon()
    return [
        piece("todo", "Chores", items=("Muck out the stable", "Collect eggs")),
        piece("todo", "Feed Order", items=("Layer pellets",)),
        piece("todo", "Grocery List", items=("Flour",)),
        piece("calendar", "Farm Diary", events=(
            CalendarEvent(summary="Vet visit", start=soon, end=soon + timedelta(hours=1)),
        )),
        piece("weather", "Met Office", state="windy", forecast=(
            {"datetime": soon.isoformat(), "condition": "snowy", "native_temperature": 1.0,
             "native_templow": -4.0, "precipitation_probability": 60},
        )),
        piece("sensor", "Greenhouse Temperature", "Greenhouse", device_class="temperature", state="14.2", unit="°C"),
        piece("sensor", "Greenhouse Humidity", "Greenhouse", device_class="humidity", state="72", unit="%"),
        piece("sensor", "Incubator Temperature", "Barn", device_class="temperature", state="37.6", unit="°C"),
        piece("sensor", "Soil Moisture", "Orchard", device_class="moisture", state="31", unit="%"),
        piece("sensor", "Water Tank Level", "Yard", state="64", unit="%"),
        piece("sensor", "Solar Power", "Yard", device_class="power", state="3200", unit="W"),
        piece("sensor", "Yard Temperature", "Yard", device_class="temperature", state="4.0", unit="°C"),
        piece("sensor", "Freezer Temperature", "Pantry", device_class="temperature", state="-18.4", unit="°C"),
        piece("sensor", "Tack Room Battery", "Stable", device_class="battery", state="9", unit="%"),
        piece("binary_sensor", "Stable Door", "Stable", device_class="door", state="on"),
        piece("binary_sensor", "Hen House Door", "Yard", device_class="door", state="off"),
        piece("binary_sensor", "Library Window", "Library", device_class="window", state="off"),
        piece("binary_sensor", "Landing Window", "Landing", device_class="window", state="on"),
        piece("binary_sensor", "Yard Motion", "Yard", device_class="motion", state="on"),
        piece("binary_sensor", "Barn Smoke", "Barn", device_class="smoke", state="off"),
        piece("binary_sensor", "Pantry Leak", "Pantry", device_class="moisture", state="on"),
        piece("scene", "Milking Time", "Barn"),
        piece("scene", "Cosy Evening"),
    ]  # fmt: skip


VILLA: Final = House(
    pieces=_villa,
    areas={
        **dict.fromkeys(
            ("Kitchen", "Living Room", "Dining Room", "Hallway", "Garage"), "Ground Floor"
        ),
        **dict.fromkeys(("Laundry Room", "Wine Cellar"), "Basement"),
        **dict.fromkeys(
            ("Master Bedroom", "Emma's Room", "Leo's Room", "Bathroom", "Home Office"),
            "First Floor",
        ),
        "Garden": None,
    },
    aliases={"Living Room": ("Lounge",), "Home Office": ("Study",)},
    floors={
        "Basement": (-1, frozenset()),
        "Ground Floor": (0, frozenset({"downstairs"})),
        "First Floor": (1, frozenset({"upstairs"})),
    },
)
FARM: Final = House(
    pieces=_farm,
    areas={
        **dict.fromkeys(("Farmhouse Kitchen", "Pantry", "Library", "Porch"), "Ground Floor"),
        **dict.fromkeys(("Blue Room", "Green Room", "Landing"), "Upper Floor"),
        **dict.fromkeys(
            ("Barn", "Stable", "Hayloft", "Greenhouse", "Workshop", "Paddock", "Orchard", "Yard")
        ),
    },
    aliases={"Workshop": ("Shop",), "Yard": ("Courtyard",)},
    floors={"Ground Floor": (0, frozenset()), "Upper Floor": (1, frozenset())},
)
HOUSES: Final = {"villa": VILLA, "farm": FARM}
