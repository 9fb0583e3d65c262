"""What a printer tells of the files that it holds."""

from typing import Any

from aiohttp import ClientSession
import pytest

from brain_server.drivers import Driver, Stored
from brain_server.drivers.demo import Demo
from brain_server.drivers.moonraker import Moonraker
from brain_server.drivers.octoprint import OctoPrint
from brain_server.drivers.prusalink import PrusaLink
from brain_server.errors import DeviceError
from tests.brain.drivers.watch import build

NOWHERE = {"url": "http://127.0.0.1:9", "api_key": "k"}


@pytest.mark.parametrize(("size", "written"), [(None, 1.0), (1, None), ("1", 1.0), (1, "now")])
def test_what_is_not_all_there_tells_nothing(size: Any, written: Any) -> None:
    """Half of it would make two files one."""
    assert Stored.of(size, written) is None


def test_another_size_or_time_is_another_stamp() -> None:
    """To the last place of both."""
    told = [(1, 1.0), (2, 1.0), (1, 1.000001), (11, 0.0)]
    stamps = {found.stamp for one in told if (found := Stored.of(*one)) is not None}
    assert len(stamps) == 4


@pytest.mark.parametrize("driver", [Moonraker, OctoPrint, PrusaLink])
async def test_a_server_that_is_away_is_not_one_without_the_file(driver: type[Driver]) -> None:
    """Nobody can tell then."""
    async with ClientSession() as session:
        with pytest.raises(DeviceError) as caught:
            await build(driver, NOWHERE, session).about("part.gcode")
    assert caught.value.code == "cannot_connect"


async def test_a_printer_that_does_not_tell_says_nothing() -> None:
    """Nor is anything made up for it."""
    async with ClientSession() as session:
        made = build(Demo, {"name": "d", "kind": "printer"}, session)
        assert await made.about("part.gcode") is None
