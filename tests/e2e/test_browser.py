"""What people see: KITTY is asked, approved and looked up in Home Assistant's own pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
import re

from playwright.async_api import Browser, Locator, Page, expect
import pytest

from script.house import config
from script.house.house import House
from script.house.people import Account
from script.house.visit import Visit
from tests.e2e.visitors import LIMIT_MS, picture, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

# A picture of a print wants something on the bed.
SHOWN_PROGRESS = 40 if os.environ.get("KITTY_SCREENSHOTS") == "1" else 1

expect.set_options(timeout=LIMIT_MS)


@asynccontextmanager
async def at_home(browser: Browser, house: House, who: Account) -> AsyncIterator[Page]:
    """Open a browser of their own for somebody, and log in."""
    # The sidebar would take a column of the dashboard.
    hidden = "localStorage.setItem('dockedSidebar', '\"always_hidden\"')"
    wide = {"width": 1200, "height": 800}
    async with signed_in(browser, house, who, script=hidden, viewport=wide) as page:
        await page.wait_for_url(re.compile(r"/(kitty-demo|home)/"))
        yield page


def tile(page: Page, name: str) -> Locator:
    """Return the tile of the dashboard that has this name."""
    return page.locator("hui-tile-card").filter(has=page.get_by_text(name, exact=True))


def printer(page: Page, name: str) -> Locator:
    """Return the card of a printer."""
    return page.locator("kitty-print").filter(has_text=name)


def word(place: Locator, what: str) -> Locator:
    """Return the button with which somebody says yes, no, or takes back what they asked for."""
    return place.get_by_role("button", name=re.compile(f"^{what}"))


async def test_two_people_switch_the_laser_on(visit: Visit, house: House, browser: Browser) -> None:
    """Demo asks on his dashboard and cannot approve; Anna approves on hers; the log names both."""
    mark = visit.set_mark()
    async with (
        at_home(browser, house, config.DEMO) as demo,
        at_home(browser, house, config.ANNA) as anna,
    ):
        await tile(demo, "Laser").get_by_role("switch").click()
        approve = word(tile(anna, "Laser"), "Approve")
        await expect(approve).to_be_visible()
        await expect(anna.locator("kitty-approvals")).to_contain_text("Demo asks")
        await picture(anna, "approve")
        await expect(demo.locator("kitty-approvals")).to_contain_text("Waits for Anna")
        await expect(tile(demo, "Laser").get_by_text("Waits for Anna")).to_be_visible()
        await expect(word(tile(demo, "Laser"), "Approve")).to_have_count(0)
        await picture(demo, "refused")
        await approve.click()
        await expect(tile(anna, "Laser")).to_contain_text("On")
        await expect(tile(demo, "Laser")).to_contain_text("On")
        told = demo.get_by_text(re.compile("was switched on: asked by Demo, approved by Anna"))
        # Home Assistant draws of a log only what stands on the screen.
        await demo.locator("hui-logbook-card").scroll_into_view_if_needed()
        await expect(told.first).to_be_visible()
        await tile(demo, "Laser").get_by_role("switch").click()
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
        await tile(demo, "Workshop door").get_by_role("button", name="Unlock", exact=True).click()
        await expect(tile(demo, "Workshop door")).to_contain_text("Unlocking")
        await word(tile(anna, "Workshop door"), "Approve").click()
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
        await expect(printer(page, "Big printer")).to_contain_text("Printing", timeout=30_000)
        await visit.demo.until(
            lambda: visit.number(config.PROGRESS) > SHOWN_PROGRESS,
            "The print goes on",
            60.0,
        )
        await tile(page, "Workshop door").get_by_role("button", name="Unlock", exact=True).click()
        back = word(tile(page, "Workshop door"), "Take back")
        await expect(back).to_be_visible()
        await picture(page, "dashboard")
        await back.click()
        await expect(tile(page, "Workshop door")).to_contain_text("Locked")
        card = printer(page, "Big printer")
        await card.get_by_role("button", name="Cancel print").click()
        await card.locator("kitty-dialog").get_by_role("button", name="Cancel print").click()
        await expect(card).to_contain_text("Aborted")


async def test_a_phone_shows_who_asks_for_what(visit: Visit, browser: Browser) -> None:
    """The phone's notification says who wants what and how dangerous it is, with two buttons."""
    await visit.demo.call("switch.turn_on", config.LASER)
    await visit.annas_phone.prompt("Laser")
    page = await browser.new_page(viewport={"width": 480, "height": 320})
    await page.goto(f"{visit.house.exchange.url}/{config.ANNA.username}")
    request = page.locator("article", has_text="Laser")
    await expect(request).to_contain_text("Demo asks. Danger: high.")
    await picture(page, "phone")
    # The page loads itself anew now and then: a finger that is down by then would come up on another one.
    await request.get_by_role("button", name="Deny").dispatch_event("click")
    await expect(request).to_have_count(0)
    await page.close()
    assert visit.demo.state(config.RELAY) == "off"
