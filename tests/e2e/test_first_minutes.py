"""The first minutes of somebody new: KITTY is added, then a device, then rules, and a door is unlocked."""

import re

from playwright.async_api import Browser, Locator, Page, expect
import pytest

from script.house import config
from script.house.house import House
from tests.e2e.visitors import LIMIT_MS, closed, picture, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

expect.set_options(timeout=LIMIT_MS)


def press(page: Page, what: str) -> Locator:
    """Return a button by its name."""
    return page.get_by_role("button", name=what, exact=True)


async def choose(page: Page, field: Locator, what: str) -> None:
    """Choose something in a field that opens a list; its middle may be words of help."""
    await field.click(position={"x": 30, "y": 30})
    await page.get_by_text(what, exact=True).last.click()


async def go(page: Page, house: House, path: str) -> None:
    """Go to a page of Home Assistant."""
    await closed(page)
    await page.goto(f"{house.url}/{path}")


async def open_page(page: Page, house: House) -> None:
    """Go to the page of the integration."""
    await go(page, house, "config/integrations/integration/kitty")


async def add_kitty(page: Page, house: House) -> None:
    """Add the integration; the first address is wrong, and the form says what to do about it."""
    await go(page, house, "config/integrations/dashboard")
    await press(page, "Add integration").click()
    await page.get_by_placeholder("Search for a brand name").fill("KITTY")
    await page.locator("ha-integration-list-item", has_text="KITTY").first.click()
    await expect(page.get_by_text("Install the brain first")).to_be_visible()
    await page.get_by_text("Connect to a brain").click()
    address, token = (page.locator("ha-form input").nth(number) for number in (0, 1))
    await address.fill("127.0.0.1:9")
    await token.fill(house.brain_token)
    await press(page, "Submit").click()
    await expect(page.get_by_text("Check that it runs")).to_be_visible()
    await address.fill(house.brain_url)
    await picture(page, "add-integration")
    await press(page, "Submit").click()
    await expect(page.get_by_text("KITTY is connected. What comes next")).to_be_visible()
    await press(page, "Skip and finish").click()
    await expect(page.get_by_text("Pending approvals")).to_be_visible()


async def add_a_door(page: Page, house: House) -> None:
    """Add a lock of Home Assistant; the first kind is wrong, and the form says so at its field."""
    await open_page(page, house)
    await press(page, "Add device").click()
    await choose(page, page.locator("ha-form ha-select"), "Home Assistant entity")
    await press(page, "Next").click()
    await page.locator("ha-form input").first.fill("Front door")
    await choose(page, page.locator("ha-area-picker"), "Workshop")
    await page.locator("ha-entity-picker").first.click()
    await page.locator("ha-entity-picker input").first.fill("door bolt")
    await page.locator("ha-combo-box-item", has_text="Door bolt").first.click()
    kind = page.locator("ha-form ha-select").first
    await choose(page, kind, "Printer")
    await press(page, "Submit").click()
    await expect(page.get_by_text("Choose another entity or another kind")).to_be_visible()
    await choose(page, kind, "Door")
    await press(page, "Submit").click()
    await expect(page.get_by_text("What is missing is told under")).to_be_visible()
    await press(page, "Finish").click()


async def give_a_role(page: Page) -> None:
    """Trust somebody: the gear leads to the options, where nobody has a role yet."""
    await page.get_by_label("Configure").first.click()
    await page.get_by_text("People: who is trusted").click()
    await page.locator("ha-form").get_by_text(config.DEMO.name, exact=True).click()
    await press(page, "Next").click()
    await page.locator("ha-form").get_by_text("Operator", exact=True).click()
    await press(page, "Submit").click()
    await press(page, "Finish").click()


async def say_how_dangerous(page: Page, house: House) -> None:
    """Follow the repair that names the area of the door to the form that cures it."""
    await go(page, house, "config/repairs")
    await page.get_by_text("Nobody has said how dangerous Workshop is").click()
    # Home Assistant's dialog has its button before it has what hears a press.
    await expect(page.get_by_text("Until somebody says so")).to_be_visible()
    await press(page, "Submit").click()
    await page.get_by_text("Areas: how dangerous").click()
    await choose(page, page.locator("ha-area-picker"), "Workshop")
    await press(page, "Next").click()
    await page.get_by_text("Medium: one person").click()
    await press(page, "Next").click()
    await expect(page.get_by_text("Policy of Workshop")).to_be_visible()
    await press(page, "Submit").click()
    await press(page, "Finish").click()
    await expect(page.get_by_text("There are currently no repairs")).to_be_visible()


async def test_the_first_minutes_end_with_an_unlocked_door(
    house_without_kitty: House, browser: Browser
) -> None:
    """Every step is in Home Assistant's own pages; two mistakes are made and corrected on the way."""
    house = house_without_kitty
    wide = {"width": 1200, "height": 900}
    async with signed_in(browser, house, config.DEMO, viewport=wide) as page:
        await page.wait_for_url(re.compile("/home/"))
        await add_kitty(page, house)
        await add_a_door(page, house)
        await give_a_role(page)
        await say_how_dangerous(page, house)
        await go(page, house, "kitty/workshop")
        await page.get_by_role("button", name=re.compile("^Unlock")).click()
        await page.get_by_text("To the approvals").click()
        await page.get_by_role("button", name=re.compile("^Approve")).click()
        await expect(page.get_by_text("Nothing waits for people.")).to_be_visible()
    await house.demo.until(
        lambda: house.demo.state(config.BOLT) == "unlocked", "The bolt is withdrawn"
    )
    (entry,) = await house.demo.ws("config_entries/get", domain="kitty")
    assert entry["state"] == "loaded"


async def test_the_form_of_a_device_shows_the_words_of_its_driver(
    house_without_kitty: House, browser: Browser
) -> None:
    """Whatever drivers the brain has; nothing at hand is a device, too."""
    house = house_without_kitty
    wide = {"width": 1200, "height": 800}
    async with signed_in(browser, house, config.DEMO, viewport=wide) as page:
        await page.wait_for_url(re.compile("/home/"))
        await open_page(page, house)
        await press(page, "Add device").click()
        await choose(page, page.locator("ha-form ha-select"), "Demonstration")
        await press(page, "Next").click()
        await expect(page.get_by_text("Locks itself after")).to_be_visible()
        await picture(page, "add-device")


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("de", ("Gerät hinzufügen", "Demonstration", "Verriegelt sich nach", "Drucker")),
        ("fr", ("Ajouter un appareil", "Démonstration", "Se verrouille après", "Imprimante")),
    ],
)
async def test_the_form_of_a_device_is_in_the_language_of_the_house(
    house_without_kitty: House, browser: Browser, language: str, says: tuple[str, str, str, str]
) -> None:
    """What the driver asks, too, and what can be chosen there."""
    house = house_without_kitty
    add, driver, label, choice = says
    keep = f"localStorage.setItem('selectedLanguage', '\"{language}\"')"
    wide = {"width": 1200, "height": 900}
    await house.demo.ws("config/core/update", language=language)
    try:
        async with signed_in(browser, house, config.DEMO, viewport=wide) as page:
            await page.wait_for_url(re.compile("/home/"))
            await page.evaluate(keep)
            await open_page(page, house)
            await page.get_by_role("button", name=add).click()
            await choose(page, page.locator("ha-form ha-select"), driver)
            await page.locator("ha-dialog[open] ha-dialog-footer ha-button").last.click()
            await expect(page.get_by_text(label)).to_be_visible()
            await expect(page.locator("ha-form ha-select").first).to_contain_text(choice)
    finally:
        await house.demo.ws("config/core/update", language="en")
