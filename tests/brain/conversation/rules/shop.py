"""A workshop that the sentences of these tests are said in."""

from typing import Final

from brain_server.conversation.rules import Area, Here, Home, Named, Person, compile_home
from brain_server.protocol import INTENTS, Kind

LOCK: Final = frozenset({"lock", "unlock"})
PRINT: Final = frozenset(name for name, spec in INTENTS.items() if spec.kind is Kind.PRINTER)
POWER: Final = frozenset({"power_on", "power_off", "power_cut"})
LIGHT: Final = frozenset({"light_on", "light_off"})
MK3_FILES: Final = (
    "bracket.gcode",
    "bracket_v2.gcode",
    "phone-stand_0.2mm_PLA.gcode",
    "Benchy.gcode",
    "gear 20T.gcode",
    "parts/hinge_left.gcode",
    "parts/hinge_right.gcode",
)

HOME: Final = Home(
    devices=(
        Named(id="front_door", name="Front door", kind=Kind.DOOR, capabilities=LOCK),
        Named(
            id="workshop_door",
            name="Workshop door",
            kind=Kind.DOOR,
            area_id="workshop",
            capabilities=LOCK,
        ),
        Named(
            id="garage_door",
            name="Garage door",
            kind=Kind.DOOR,
            area_id="garage",
            capabilities=LOCK | {"open"},
        ),
        Named(
            id="cabinet",
            name="Tool cabinet",
            aliases=("cabinet",),
            kind=Kind.DOOR,
            area_id="workshop",
            capabilities=LOCK,
        ),
        Named(
            id="laser",
            name="Laser cutter",
            aliases=("laser",),
            kind=Kind.POWER,
            area_id="laser_room",
            capabilities=POWER,
        ),
        Named(
            id="saw",
            name="Table saw",
            aliases=("saw",),
            kind=Kind.POWER,
            area_id="workshop",
            capabilities=POWER,
        ),
        Named(
            id="compressor",
            name="Compressor",
            kind=Kind.POWER,
            area_id="garage",
            capabilities=POWER,
        ),
        Named(
            id="solder",
            name="Soldering station",
            kind=Kind.POWER,
            area_id="workshop",
            capabilities=POWER,
        ),
        Named(
            id="shop_lights",
            name="Workshop lights",
            kind=Kind.LIGHT,
            area_id="workshop",
            capabilities=LIGHT,
        ),
        Named(
            id="bench_light",
            name="Bench light",
            kind=Kind.LIGHT,
            area_id="workshop",
            capabilities=LIGHT,
        ),
        Named(
            id="garage_light",
            name="Garage light",
            kind=Kind.LIGHT,
            area_id="garage",
            capabilities=LIGHT,
        ),
        Named(
            id="office_lamp",
            name="Office lamp",
            kind=Kind.LIGHT,
            area_id="office",
            capabilities=LIGHT,
        ),
        Named(
            id="mk3",
            name="Prusa MK3",
            aliases=("MK3",),
            kind=Kind.PRINTER,
            area_id="workshop",
            capabilities=PRINT,
            files=MK3_FILES,
        ),
        Named(
            id="voron",
            name="Voron 2.4",
            aliases=("voron",),
            kind=Kind.PRINTER,
            area_id="office",
            capabilities=PRINT,
        ),
        Named(id="cam", name="Workshop camera", kind=Kind.CAMERA, area_id="workshop"),
        Named(id="air", name="Air sensor", kind=Kind.SENSOR, area_id="workshop"),
    ),
    areas=(
        Area(id="workshop", name="Workshop", aliases=("shop",)),
        Area(id="garage", name="Garage"),
        Area(id="office", name="Office"),
        Area(id="laser_room", name="Laser room"),
    ),
    people=(
        Person(id="anna", name="Anna Larsen"),
        Person(id="ben", name="Ben"),
        Person(id="priya", name="Priya Shah"),
    ),
)

SHOP: Final = compile_home(HOME)
ANYWHERE: Final = Here()
WORKSHOP: Final = Here(area_id="workshop", second_of_day=36_000)
ASKED: Final = Here(area_id="workshop", pending=True)
