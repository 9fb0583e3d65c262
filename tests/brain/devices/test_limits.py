"""What a printer can take: told by its people, and refused before anybody is asked."""

from typing import Any

import pytest

from brain_server.devices.limits import MOST_LINES, Limits
from brain_server.drivers import OptionType
from brain_server.errors import InvalidRequest
from tests.brain.home import Home, Refused

BOX = [10, 10, 0.2, 110, 60, 40]


def refused(limits: Limits, script: str) -> InvalidRequest:
    """Return the error with which a script is refused."""
    with pytest.raises(InvalidRequest) as caught:
        limits.check_gcode(script)
    return caught.value


def what(limits: Limits, **facts: Any) -> list[str]:
    """Return why a file does not fit."""
    return [one["what"] for one in limits.misfits(facts)]


@pytest.mark.parametrize("text", ["220x220x250", "220 X 220 X 250", "220.0*220*250"])
def test_a_volume_is_three_sides(text: str) -> None:
    """In the spellings that people use."""
    assert Limits.of({"volume": text}).volume == (220, 220, 250)


@pytest.mark.parametrize("text", ["large", "220x220", "0x10x10", "1x2x3x4", "-1x2x3"])
def test_what_is_no_volume_is_refused(text: str) -> None:
    """With the name of the field."""
    with pytest.raises(InvalidRequest) as caught:
        Limits.of({"volume": text})
    assert (caught.value.code, caught.value.fields["field"]) == ("invalid_option", "volume")


def test_where_nobody_told_anything_everything_fits() -> None:
    """A limit that is not there refuses nothing."""
    limits = Limits.of({})
    limits.check_heat({"nozzle": 350, "bed": 150})
    limits.check_gcode("M104 S350")
    facts = {"box": [0, 0, 0, 9999, 9999, 9999], "nozzle_mm": 2, "materials": ["PEEK"]}
    assert what(limits, **facts, max_nozzle=500) == []


def test_what_is_not_known_of_a_file_refuses_nothing() -> None:
    """A file without comments can be printed everywhere."""
    limits = Limits(
        volume=(1, 1, 1), nozzle_mm=0.4, materials=frozenset({"PLA"}), max_nozzle=1, max_bed=1
    )
    assert what(limits) == []
    assert what(limits, box=None, nozzle_mm=None, materials=[], max_nozzle=None) == []


@pytest.mark.parametrize(
    ("volume", "fits"),
    [
        ((110, 60, 40), True),
        ((220, 220, 250), True),
        ((109.5, 60, 40), True),  # a millimetre is nothing
        ((105, 60, 40), False),
        ((110, 55, 40), False),
        ((110, 60, 38), False),
    ],
)
def test_a_print_has_to_lie_on_the_bed(volume: tuple[float, float, float], fits: bool) -> None:
    """Where the slicer put it, not only by its size."""
    assert (what(Limits(volume=volume), box=BOX) == []) is fits


def test_the_origin_may_be_in_the_middle() -> None:
    """As on printers with three arms."""
    limits = Limits(volume=(200, 200, 200))
    assert what(limits, box=[-90, -90, 0, 90, 90, 10]) == []
    assert what(limits, box=[-120, -20, 0, 20, 20, 10]) == ["volume"]


def test_a_nozzle_has_one_diameter() -> None:
    """0.4 is 0.40, and not 0.6."""
    limits = Limits(nozzle_mm=0.4)
    assert what(limits, nozzle_mm=0.4) == []
    assert what(limits, nozzle_mm=0.6) == ["nozzle"]


def test_materials_are_compared_without_what_makers_add() -> None:
    """But carbon in nylon is another material."""
    limits = Limits.of({"materials": "pla, PETG; PA-CF"})
    assert what(limits, materials=["PLA+", "pa_cf", "PETG"]) == []
    assert limits.misfits({"materials": ["PA", "PLA"]}) == [
        {"what": "material", "needs": ["PA"], "has": ["PACF", "PETG", "PLA"]}
    ]


def test_a_file_may_not_heat_more_than_the_printer_may() -> None:
    """Nozzle and bed, each by itself."""
    limits = Limits(max_nozzle=250, max_bed=80)
    assert what(limits, max_nozzle=250, max_bed=80) == []
    assert what(limits, max_nozzle=251, max_bed=81) == ["max_nozzle", "max_bed"]


def test_all_reasons_are_told_at_once() -> None:
    """People change them in one go."""
    limits = Limits.of({"volume": "9x9x9", "nozzle_mm": 0.6, "materials": "PLA", "max_bed": 50})
    facts = {"box": BOX, "nozzle_mm": 0.4, "materials": ["ABS"], "max_bed": 100}
    assert what(limits, **facts) == ["volume", "nozzle", "material", "max_bed"]


@pytest.mark.parametrize(
    "script",
    [
        "M104 S261",
        "G28\nM109 R300",
        "m190 s101",
        "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=300",
    ],
)
def test_raw_gcode_may_not_heat_more_than_the_printer_may(script: str) -> None:
    """In whichever line and spelling."""
    assert refused(Limits(max_nozzle=260, max_bed=100), script).code == "over_limit"


def test_raw_gcode_within_the_limits_is_taken() -> None:
    """Up to the last degree."""
    Limits(max_nozzle=260, max_bed=100).check_gcode("M104 S260\nM140 S100\nG1 X300")


def test_raw_gcode_is_short() -> None:
    """What is long is a print, and has a file."""
    Limits().check_gcode("G28\n" * MOST_LINES)
    assert refused(Limits(), "G28\n" * (MOST_LINES + 1)).fields["part"] == "lines"


def test_raw_gcode_can_be_forbidden() -> None:
    """By the people of the printer."""
    assert refused(Limits.of({"gcode": False}), "M105").code == "gcode_forbidden"


# -- in the house -------------------------------------------------------------------------------------


async def test_every_printer_can_be_described(home: Home) -> None:
    """The form says how; one of another integration, too."""
    items = (await home.command("drivers.list"))["items"]
    profiles = {one["name"]: [option["name"] for option in one["profile"]] for one in items}
    told = ["volume", "nozzle_mm", "materials", "max_nozzle", "max_bed", "gcode", "watts"]
    for driver in ("demo", "octoprint", "home_assistant"):
        assert profiles[driver] == [*told, "energy_entity"]
    energy = next(one for one in items if one["name"] == "demo")["profile"][-1]
    assert (energy["type"], energy["filter"]) == (OptionType.ENTITY, ["sensor"])


async def test_a_limit_holds_before_anybody_is_asked(home: Home) -> None:
    """Nothing is recorded of what can never be done."""
    device = await home.add("demo", kind="printer", max_nozzle=260, gcode=False)
    for intent, params, code in (
        ("heat", {"nozzle": 261}, "over_limit"),
        ("gcode", {"script": "M105"}, "gcode_forbidden"),
    ):
        with pytest.raises(Refused) as caught:
            await home.request(device, intent, params=params)
        assert caught.value.code == code
    assert (await home.command("commands.list"))["items"] == []
    asked = await home.request(device, "heat", params={"nozzle": 260})
    assert asked["command"]["status"] == "pending"


async def test_a_description_that_is_none_is_refused(home: Home) -> None:
    """With its field, and the device is not added."""
    options = {"kind": "printer", "volume": "large"}
    with pytest.raises(Refused) as caught:
        await home.command(
            "devices.put", {"driver": "demo", "name": "x", "zone_id": None, "options": options}
        )
    assert caught.value.error["details"] == {"field": "volume"}
    for name, value in (("watts", -1), ("max_bed", "hot"), ("nonsense", 1)):
        params = {"driver": "demo", "name": "x", "zone_id": None, "options": {name: value}}
        assert await home.refusal("devices.put", params) == "invalid_option"


async def test_a_new_question_changes_no_device(home: Home) -> None:
    """What nobody answered is not stored, so that what people approved stays approved."""
    device = await home.add("demo", kind="printer", name="a")
    record = home.brain.registry.find(device)
    assert record is not None
    assert "volume" not in record.options
    assert record.limits == Limits()
