"""What people see of the workshop: the printers and their cameras, the queue, and filament, on one page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, expect
import pytest

from script.house import config, goods, parts
from script.house.house import House
from script.house.visit import Visit
from tests.e2e.test_browser import at_home, picture, tile

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def at_the_printers(browser: Browser, house: House) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open the page of the workshop as Demo; also returns what the browser complains about."""
    async with at_home(browser, house, config.DEMO) as page:
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else 0)
        page.on("pageerror", lambda err: complaints.append(str(err)))
        await page.set_viewport_size({"width": 1280, "height": 1500})
        await page.goto(f"{house.url}/{config.DASHBOARD}/workshop")
        await expect(tile(page, "Status", "Mini")).to_be_visible()
        yield page, complaints


async def test_the_workshop_is_one_page(visit: Visit, house: House, browser: Browser) -> None:
    """Pictures, status, beds, the queue with its reasons, stock and what to buy; and no raw word among them."""
    mini = await house.device_id(config.MINI)
    path = goods.path_of(house, parts.SPAGHETTI)
    await visit.demo.call("kitty.start_print", device_id=mini, path=path)
    await goods.approve(house, "Mini")
    await visit.until(config.MINI, "paused", 40.0)
    async with at_the_printers(browser, house) as (page, complaints):
        await expect(tile(page, "Status", "Mini")).to_contain_text("Paused")
        await expect(tile(page, "False alarm", "Mini")).to_be_visible()
        await expect(tile(page, "Bed", "Printer").first).to_be_visible()
        await expect(page.get_by_text("Vase for the hall").first).to_be_visible()
        await expect(page.get_by_text("PETG 1000 g").first).to_be_visible()
        await expect(tile(page, "PLA", "Filament")).to_contain_text("g")
        await expect(page.locator("hui-image img").first).to_be_visible()
        await picture(page, "workshop")
        shown = await page.locator("hui-sections-view").inner_text()
        for raw in ("Unknown", "Unavailable", "Configuration error", "Entity not found", "_"):
            assert raw not in shown, f"{raw!r} in {shown!r}"
        await page.screenshot(path=house.place / "workshop.png")
        assert complaints == []
        await tile(page, "Cancel", "Mini").click()
        await expect(tile(page, "Status", "Mini")).to_contain_text("Aborted")
