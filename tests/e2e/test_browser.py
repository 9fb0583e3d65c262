"""What people see: KITTY is added, asked, approved and looked up in Home Assistant's own pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
import re

from playwright.async_api import Browser, Locator, Page, expect
import pytest

from script.house import config
from script.house.house import ROOT, House
from script.house.people import Account
from script.house.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

PICTURES = ROOT / "docs" / "images"
LIMIT_MS = 10_000
# A picture of a print wants something on the bed.
SHOWN_PROGRESS = 40 if os.environ.get("KITTY_SCREENSHOTS") == "1" else 1

expect.set_options(timeout=LIMIT_MS)


@asynccontextmanager
async def at_home(browser: Browser, house: House, who: Account) -> AsyncIterator[Page]:
    """Open a browser of their own for somebody, and log in."""
    context = await browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-GB")
    context.set_default_timeout(LIMIT_MS)
    # The sidebar would take a column of the dashboard.
    await context.add_init_script("localStorage.setItem('dockedSidebar', '\"always_hidden\"')")
    page = await context.new_page()
    await page.goto(house.url)
    await page.get_by_label("Username").fill(who.username)
    await page.locator("input[type=password]").fill(who.password)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(re.compile(r"/(kitty-demo|home)/"))
    try:
        yield page
    except Exception:
        await page.screenshot(path=house.place / f"failed-{who.username}.png")
        raise
    finally:
        await context.close()


async def picture(page: Page, name: str) -> None:
    """Keep what the page shows for the documentation, when somebody wants it."""
    if os.environ.get("KITTY_SCREENSHOTS") == "1":
        await page.wait_for_load_state("networkidle")
        await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


def tile(page: Page, name: str, section: str = "") -> Locator:
    """Return the tile of the dashboard that has this name."""
    place = page.locator("hui-section", has_text=section)
    return place.locator("hui-tile-card").filter(has=page.get_by_text(name, exact=True))


async def test_kitty_is_added_in_the_browser(house_without_kitty: House, browser: Browser) -> None:
    """Settings, add integration, KITTY, address, token: and the brain is there."""
    house = house_without_kitty
    async with at_home(browser, house, config.DEMO) as page:
        await page.goto(f"{house.url}/config/integrations/dashboard")
        await page.get_by_role("button", name="Add integration").click()
        await page.get_by_placeholder("Search for a brand name").fill("KITTY")
        await page.locator("ha-integration-list-item", has_text="KITTY").first.click()
        await page.get_by_text("Connect to a brain").click()
        address, token = (page.locator("ha-form input").nth(number) for number in (0, 1))
        await address.fill(house.brain_url)
        await token.fill(house.brain_token)
        await picture(page, "add-integration")
        await page.get_by_role("button", name="Submit").click()
        await page.get_by_role("button", name="Skip and finish").click()
        await expect(page.get_by_text("Pending approvals")).to_be_visible()
    (entry,) = await house.demo.ws("config_entries/get", domain="kitty")
    assert entry["state"] == "loaded"


async def test_a_device_is_added_in_the_browser(
    house_without_kitty: House, browser: Browser
) -> None:
    """The form of a device shows the words of its driver."""
    house = house_without_kitty
    async with at_home(browser, house, config.DEMO) as page:
        await page.goto(f"{house.url}/config/integrations/integration/kitty")
        await page.get_by_role("button", name="Add device").click()
        await page.locator("ha-form ha-select").click()
        await page.get_by_text("Demonstration", exact=True).click()
        await page.get_by_role("button", name="Next").click()
        await expect(page.get_by_text("Locks itself after")).to_be_visible()
        await picture(page, "add-device")


async def test_two_people_switch_the_laser_on(visit: Visit, house: House, browser: Browser) -> None:
    """Demo asks on his dashboard and cannot approve; Anna approves on hers; the log names both."""
    mark = visit.set_mark()
    async with (
        at_home(browser, house, config.DEMO) as demo,
        at_home(browser, house, config.ANNA) as anna,
    ):
        await tile(demo, "Laser").click()
        await expect(tile(anna, "Approve", "Laser room")).to_be_visible()
        await expect(anna.get_by_text(re.compile("by Demo")).first).to_be_visible()
        await picture(anna, "approve")
        await tile(demo, "Approve", "Laser room").click()
        refusal = demo.get_by_text(re.compile("another person", re.IGNORECASE))
        await expect(refusal.first).to_be_visible()
        await picture(demo, "refused")
        await tile(anna, "Approve", "Laser room").click()
        await expect(tile(anna, "Laser")).to_contain_text("On")
        await expect(tile(demo, "Laser")).to_contain_text("On")
        told = demo.get_by_text(re.compile("was switched on: asked by Demo, approved by Anna"))
        await expect(told.first).to_be_visible()
        await tile(demo, "Laser").click()
        await expect(tile(demo, "Laser")).to_contain_text("Off")
        await demo.goto(f"{house.url}/logbook?entity_id={config.LASER}")
        await expect(demo.get_by_text(re.compile("approved by Anna")).first).to_be_visible()
        await picture(demo, "logbook")
    await visit.demo.caught_up()
    assert visit.count(config.RELAY_COUNTER) - mark.relay == 1


async def test_the_door_is_unlocked_from_the_dashboard_with_the_other_person_approving(
    visit: Visit, house: House, browser: Browser
) -> None:
    """Demo presses unlock, the lock shows that it waits, Anna approves, and it is unlocked once."""
    visit.set_mark()
    async with (
        at_home(browser, house, config.DEMO) as demo,
        at_home(browser, house, config.ANNA) as anna,
    ):
        await tile(demo, "Workshop door").get_by_role("button", name="Unlock").click()
        await expect(tile(demo, "Workshop door")).to_contain_text("Unlocking")
        await tile(anna, "Approve", "Workshop door").click()
        await expect(tile(demo, "Workshop door")).to_contain_text("Unlocked")
        await visit.unlocked_once()
        await tile(demo, "Workshop door").get_by_role("button", name="Lock", exact=True).click()
        await expect(tile(demo, "Workshop door")).to_contain_text("Locked")


async def test_assist_asks_back_and_confirms(visit: Visit, house: House, browser: Browser) -> None:
    """The Assist dialog asks for a confirmation, then says what was seen to happen."""
    visit.set_mark()
    async with at_home(browser, house, config.DEMO) as page:
        await page.get_by_role("button", name="Assist (A)").click()
        request = page.locator("ha-voice-command-dialog input")
        await request.fill("unlock the workshop door")
        await request.press("Enter")
        await expect(page.get_by_text("Unlock Workshop door?")).to_be_visible()
        await request.fill("confirm")
        await request.press("Enter")
        await expect(page.get_by_text("Done: Workshop door is unlocked.")).to_be_visible()
        await picture(page, "assist")
        await visit.unlocked_once()
        await request.fill("lock the workshop door")
        await request.press("Enter")
        await expect(page.get_by_text("Done: Workshop door is locked.")).to_be_visible()


async def test_the_dashboard_shows_the_print(visit: Visit, house: House, browser: Browser) -> None:
    """What the printer does is seen as it goes on, beside what waits for people."""
    asked = await visit.demo.say("start the bracket on the big printer")
    await visit.demo.say("confirm", asked.conversation_id)
    async with at_home(browser, house, config.DEMO) as page:
        await expect(tile(page, "Printer")).to_contain_text("Printing", timeout=30_000)
        await visit.demo.until(
            lambda: float(visit.demo.state(config.PROGRESS) or 0) > SHOWN_PROGRESS,
            "The print goes on",
            60.0,
        )
        await tile(page, "Workshop door").get_by_role("button", name="Unlock").click()
        await expect(tile(page, "Deny", "Workshop door")).to_be_visible()
        await picture(page, "dashboard")
        await tile(page, "Deny", "Workshop door").click()
        await expect(tile(page, "Workshop door")).to_contain_text("Locked")
        await tile(page, "Cancel").click()
        await expect(tile(page, "Printer")).to_contain_text("Aborted")


async def test_a_phone_shows_who_asks_for_what(visit: Visit, browser: Browser) -> None:
    """The phone's notification says who wants what and how dangerous it is, with two buttons."""
    await visit.demo.call("switch.turn_on", config.LASER)
    await visit.annas_phone.prompt("Laser")
    page = await browser.new_page(viewport={"width": 480, "height": 320})
    await page.goto(f"{visit.house.exchange.url}/{config.ANNA.username}")
    request = page.locator("article", has_text="Laser")
    await expect(request).to_contain_text("Demo asks. Danger: high.")
    await picture(page, "phone")
    await request.get_by_role("button", name="Deny").click()
    await expect(request).to_have_count(0)
    await page.close()
    assert visit.demo.state(config.RELAY) == "off"
