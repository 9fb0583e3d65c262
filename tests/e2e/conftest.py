"""The houses in which the end-to-end tests happen, and the browser with which people look at them."""

from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, async_playwright
import pytest
import pytest_asyncio

from script.house.check import Visit
from script.house.house import ROOT, House

CHROMIUM = Path("/usr/bin/chromium")
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
    opened = await House(ROOT / ".cache" / "e2e" / "house").open(fresh=True)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house_without_kitty() -> AsyncIterator[House]:
    """Return a house in which nobody has set up KITTY yet."""
    opened = await House(ROOT / ".cache" / "e2e" / "without", with_kitty=False).open(fresh=True)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def visit(house: House) -> Visit:
    """Return the one walk through the house that the steps share."""
    return Visit(house)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return Chromium."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is missing: script/setup --services")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        await opened.close()
