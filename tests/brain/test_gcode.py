"""The words of G-code: every spelling in which a line asks for heat."""

import time

import pytest

from brain_server.gcode import targets

SPELLINGS = {
    "M104 S215": [("nozzle", 215)],
    "m109 r180.5": [("nozzle", 180.5)],
    "M140 S60": [("bed", 60)],
    "M190 R70 ; wait": [("bed", 70)],
    "N12 M104 T1 S240*97": [("nozzle", 240)],
    "M 0104S300": [("nozzle", 300)],
    "M104 (hot) S300": [("nozzle", 300)],
    "G28 M104 S300 M140 S90": [("nozzle", 300), ("bed", 90)],
    "G10 P0 S250 R200": [("nozzle", 250), ("nozzle", 200)],
    "M568 P0 S250": [("nozzle", 250)],
    "M303 E0 S250 C8": [("nozzle", 250)],
    "M303 E-1 S100": [("bed", 100)],
    "SET_HEATER_TEMPERATURE HEATER=extruder1 TARGET=300": [("nozzle", 300)],
    'set_heater_temperature heater="heater_bed" target=120': [("bed", 120)],
    "SET_HEATER_TEMPERATURE HEATER=chamber TARGET=60": [],
    "SET_HEATER_TEMPERATURE HEATER=extruder": [],
    "PRINT_START BED_TEMP=60 EXTRUDER_TEMP=215": [("bed", 60), ("nozzle", 215)],
    "START BED=hot": [],
    "; M104 S300": [],
    "G1 X10 E5 S300": [],
    "M1040 S300": [],
    "M104": [],
    "M117 ready": [],
    "G1 X5 M104 S300": [("nozzle", 300)],
    "EXTRUDER_TEMP = 250": [("nozzle", 250)],
    # Marlin carries out a command of which it does not know the part behind the point.
    "M104.1 S300": [("nozzle", 300)],
    # One firmware believes the first of two figures, another the last.
    "M104 S300 S20": [("nozzle", 300), ("nozzle", 20)],
    "M104 S20 S300": [("nozzle", 20), ("nozzle", 300)],
    # Most firmwares know one command in a line: what looks like a second one is a word of the first.
    "M104 G1 S300": [("nozzle", 300)],
    "M140 S0 M104 S250": [("bed", 0), ("bed", 250), ("nozzle", 250)],
    # Marlin may raise a nozzle by itself as far as B says.
    "M109 S200 B300 F1": [("nozzle", 200), ("nozzle", 300)],
    # To Klipper a bracket is a letter like any other.
    "M104 X( S300 Y)": [("nozzle", 300)],
    "SET_HEATER_TEMPERATURE HEATER=extruder X=( TARGET=300 Y=)": [("nozzle", 300)],
    # It takes words apart as a shell does, and figures as Python does.
    "SET_HEATER_TEMPERATURE HEATER=extruder TARGET='300'": [("nozzle", 300)],
    'SET_HEATER_TEMPERATURE HEATER=extruder "TARGET"=3"0"0': [("nozzle", 300)],
    "SET_HEATER_TEMPERATURE HEATER=extruder T\\ARGET=30\\0": [("nozzle", 300)],
    "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=nan": [("nozzle", float("inf"))],
    "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=\uff13\uff10\uff10": [("nozzle", 300)],
    "M104 S\uff13\uff10\uff10": [("nozzle", 300)],
    "M104 \u017f300": [("nozzle", 300)],
    "M104\u00a0S\u00a0300": [("nozzle", 300)],
    "N7 SET_HEATER_TEMPERATURE HEATER=heater_bed TARGET=150": [("bed", 150)],
    "PID_CALIBRATE HEATER=extruder TARGET=300": [("nozzle", 300)],
    "M117 größer als 300": [],
}


@pytest.mark.parametrize(
    "line",
    [
        "(" * 100_000,
        "A" * 100_000,
        "M" + " " * 100_000,
        "M104 " * 20_000,
        "X=" * 50_000,
        "*1" * 50_000,
    ],
    ids=["brackets", "letters", "spaces", "commands", "macros", "stars"],
)
def test_no_line_takes_long(line: str) -> None:
    """Not even one that is made for it."""
    began = time.process_time()
    assert list(targets(line.encode())) == []
    assert time.process_time() - began < 1


@pytest.mark.parametrize("line", SPELLINGS)
def test_heat_is_found_however_it_is_asked_for(line: str) -> None:
    """And nothing else is taken for it."""
    assert list(targets(line.encode())) == SPELLINGS[line]
