"""Printers for the drivers' tests: one real OctoPrint for the session, and what each test needs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.brain.drivers.rigs import Rig
from tests.standins import moonraker
from tests.standins.bambu import Bambu
from tests.standins.mosquitto import BROKER
from tests.standins.octoprint import PROGRAM, OctoPrint
from tests.standins.prusalink import PYTHON, PrusaLink


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of the tests that need the real OctoPrint."""
    config.addinivalue_line("markers", "octoprint: needs OctoPrint: script/setup --octoprint")
    config.addinivalue_line("markers", "moonraker: needs Moonraker: script/setup --moonraker")
    config.addinivalue_line("markers", "prusalink: needs PrusaLink: script/setup --prusalink")


@pytest.fixture(scope="session")
def octoprint_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrint]:
    """Start a real OctoPrint, for all tests that need one."""
    if not PROGRAM.exists():
        pytest.skip("There is no OctoPrint: script/setup --octoprint")
    server = OctoPrint(tmp_path_factory.mktemp("octoprint"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def moonraker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[moonraker.Moonraker]:
    """Start a real Moonraker and the printer behind it, for all tests that need them."""
    if not moonraker.PROGRAM.exists():
        pytest.skip("There is no Moonraker: script/setup --moonraker")
    server = moonraker.Moonraker(tmp_path_factory.mktemp("moonraker"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def bambu_printer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bambu]:
    """Switch on a Bambu printer that does not exist, for all tests that need one."""
    if not Path(BROKER).exists():
        pytest.skip("There is no Mosquitto: script/setup --services")
    printer = Bambu(tmp_path_factory.mktemp("bambu") / "printer")
    try:
        printer.start()
        yield printer
    finally:
        printer.kill()


@pytest.fixture(scope="session")
def prusalink_server() -> Iterator[PrusaLink]:
    """Start a real PrusaLink and the printer on its line, for all tests that need them."""
    if not PYTHON.exists():
        pytest.skip("There is no PrusaLink: script/setup --prusalink")
    server = PrusaLink(shown_s=5)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Give the rig of a class, its printer at rest."""
    kind: type[Rig] = request.param
    server = request.getfixturevalue(kind.server) if kind.server else None
    async with kind.open(server) as ready:
        yield ready
