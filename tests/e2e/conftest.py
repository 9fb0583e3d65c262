"""The houses in which the end-to-end tests happen, and the browser with which people look at them."""

from collections.abc import AsyncIterator
import os
from pathlib import Path
import shutil

from playwright.async_api import Browser, async_playwright
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import ROOT, House
from script.house.visit import Visit

# Two runs at once need houses of their own.
HOUSES = Path(os.environ.get("KITTY_HOUSES", ROOT / ".cache" / "e2e"))
NEXT_RELEASE = ROOT / ".cache" / "ha-2026.11"
CHROMIUM = shutil.which("chromium")
# Debian's Chromium, from apt: nothing is downloaded for the tests.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """Return the demonstration house with KITTY set up."""
    opened = await House(HOUSES / "house").open(fresh=True)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house_without_kitty() -> AsyncIterator[House]:
    """Return a house in which nobody has set up KITTY yet."""
    opened = await House(HOUSES / "without", with_kitty=False).open(fresh=True)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house_of_next_release() -> AsyncIterator[House]:
    """Return the demonstration house with the next release of Home Assistant."""
    if not (NEXT_RELEASE / ".stamp").exists():
        pytest.skip("The next release is missing: script/setup --ha-next")
    opened = await House(HOUSES / "next", environment=NEXT_RELEASE).open(fresh=True)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def visit(house: House) -> Visit:
    """Return the one walk through the house that the steps share."""
    return Visit(house)


@pytest.fixture(scope="session")
def visit_of_next_release(house_of_next_release: House) -> Visit:
    """Return the one walk through the house of the next release."""
    return Visit(house_of_next_release)


@pytest_asyncio.fixture(loop_scope="session")
async def asked(visit: Visit, house: House) -> AsyncIterator[None]:
    """Let something wait for people as long as a test looks at it; what waits is offered to nobody again."""
    door = await house.device_id(config.DOOR)
    request = await visit.demo.ask("kitty.request", device_id=door, intent="unlock")
    yield
    await visit.demo.call("kitty.withdraw", event_id=request["event"]["id"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: script/setup --services")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        await opened.close()
