"""What people see of the workshop: the printers and their cameras, the queue, and filament, on one page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, expect
import pytest

from script.house import config, goods, parts
from script.house.house import House
from script.house.visit import Visit
from script.house.waiting import PATIENCE_S, until
from tests.e2e.test_browser import at_home, printer, tile
from tests.e2e.visitors import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What stands on the page, in all of its components, as far as it can be seen.
TEXT = """one => {
    const found = [];
    const walk = node => {
        if (node.nodeType === Node.TEXT_NODE) return void found.push(node.textContent.trim());
        if (node.nodeType === Node.ELEMENT_NODE && !node.checkVisibility()
            && getComputedStyle(node).display !== "contents") return;
        (node.shadowRoot ? node.shadowRoot : node).childNodes.forEach(walk);
        if (node.tagName === "SLOT") node.assignedNodes().forEach(walk);
    };
    walk(one);
    return found.filter(Boolean).join("\\n");
}"""
LOADED = "one => one.complete && one.naturalWidth > 0"
# What nobody should have to read: words of machines, and what Home Assistant says where something is missing.
RAW = ("Unknown", "Unavailable", "Configuration error", "Entity not found", "_", "undefined", "NaN")


@asynccontextmanager
async def at_the_printers(browser: Browser, house: House) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open the page of the workshop as Demo; also returns what the browser complains about."""
    async with at_home(browser, house, config.DEMO) as page:
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else 0)
        page.on("pageerror", lambda err: complaints.append(str(err)))
        await page.set_viewport_size({"width": 1280, "height": 1500})
        await page.goto(f"{house.url}/{config.DASHBOARD}")
        await expect(printer(page, "Mini")).to_be_visible()
        yield page, complaints


async def all_pictures_are_seen(page: Page) -> None:
    """Wait until the cameras and what the alarm is about are there, and all of them are loaded."""
    await expect(page.get_by_role("button", name="Camera of Big printer")).to_be_visible()
    await expect(page.get_by_role("button", name="What the camera of Mini saw")).to_be_visible()
    pictures = page.locator("kitty-print img, hui-image img")
    await expect(pictures.nth(2)).to_be_attached()
    for one in await pictures.all():
        await one.scroll_into_view_if_needed()
        # Looked for anew each time: a camera's picture is replaced by its next one.
        await until(lambda one=one: one.evaluate(LOADED), "A picture is seen", PATIENCE_S)


async def test_the_workshop_is_one_page(visit: Visit, house: House, browser: Browser) -> None:
    """Pictures, status, beds, the queue with its reasons, stock and what to buy; and no raw word among them."""
    device_id = await house.device_id(config.MINI)
    path = goods.path_of(house, parts.SPAGHETTI)
    await visit.demo.call("kitty.start_print", device_id=device_id, path=path)
    await goods.approve(house, "Mini")
    await visit.until(config.MINI, "paused", 40.0)
    async with at_the_printers(browser, house) as (page, complaints):
        mini = printer(page, "Mini")
        await expect(mini).to_contain_text("Paused")
        await expect(mini).to_contain_text("The camera sees: Spaghetti")
        await expect(mini.get_by_role("button", name="False alarm")).to_be_visible()
        await expect(printer(page, "Big printer")).to_contain_text("Clear the bed")
        await expect(page.get_by_text("Vase for the hall").first).to_be_visible()
        await expect(page.get_by_text("PETG 1000 g").first).to_be_visible()
        await expect(tile(page, "Stock of PLA")).to_contain_text("g")
        await all_pictures_are_seen(page)
        await picture(page, "workshop")
        await page.screenshot(path=house.place / "workshop.png")
        shown = await page.locator("hui-sections-view").evaluate(TEXT)
        assert "Vase for the hall" in shown
        assert "Spaghetti" in shown
        assert [raw for raw in RAW if raw in shown] == [], shown
        assert complaints == []
        await mini.get_by_role("button", name="Cancel print").click()
        await mini.locator("kitty-dialog").get_by_role("button", name="Cancel print").click()
        await expect(mini).to_contain_text("Aborted")
