"""What people see on dashboards: the one that builds itself, its cards, and the buttons under a tile."""

from collections.abc import AsyncIterator
import os
import re
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import House
from script.house.visit import Visit
from tests.e2e.panel import SCREENS, Screen, faults, show
from tests.e2e.test_browser import at_home
from tests.e2e.visitors import closed

pytestmark = pytest.mark.asyncio(loop_scope="session")

MADE = "dashboard-workshop"
OWN = "kitty-own"
APPROVE = re.compile("^Approve")
CARDS = ("kitty-approvals", "kitty-print >> nth=0", "hui-tile-card kitty-decide >> nth=0")
STRATEGY = {"strategy": {"type": "custom:kitty"}}


class Looker:
    """Somebody with a browser of their own, in which they stay logged in."""

    def __init__(self, house: House, page: Page) -> None:
        """Keep what the browser complains about: it says why something was not seen."""
        self.house = house
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda err: self.complaints.append(str(err)))

    async def at(self, path: str) -> Page:
        """Open a page of Home Assistant."""
        self.complaints.clear()
        await self.page.goto(f"{self.house.url}/{path}")
        return self.page


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(browser: Browser, house: House) -> AsyncIterator[Looker]:
    """Return Demo's browser."""
    async with at_home(browser, house, config.DEMO) as page:
        yield Looker(house, page)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def anna(browser: Browser, house: House) -> AsyncIterator[Looker]:
    """Return Anna's browser."""
    async with at_home(browser, house, config.ANNA) as page:
        yield Looker(house, page)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def looked_at(request: pytest.FixtureRequest, house: House) -> AsyncIterator[None]:
    """Keep what was seen last, and what the browsers complained about."""
    yield
    lookers = [one for name in ("demo", "anna") if (one := request.node.funcargs.get(name))]
    for looker in lookers:
        name = f"{request.node.name}-{lookers.index(looker)}"
        await looker.page.screenshot(path=house.place / f"{name}.png")
        print(name, *looker.complaints, sep="\n")  # noqa: T201 - shown when the test fails


async def stored(house: House, url_path: str) -> dict[str, Any]:
    """Return what Home Assistant has kept of a dashboard."""
    kept: dict[str, Any] = await house.demo.ws("lovelace/config", url_path=url_path)
    return kept


async def keep(house: House, url_path: str, kept: dict[str, Any]) -> None:
    """Make a dashboard with this content."""
    made = await house.demo.ws("lovelace/dashboards/list")
    if url_path not in {one["url_path"] for one in made}:
        await house.demo.ws(
            "lovelace/dashboards/create",
            url_path=url_path,
            title="Own",
            mode="storage",
            require_admin=False,
            show_in_sidebar=False,
        )
    await house.demo.ws("lovelace/config/save", url_path=url_path, config=kept)


def with_cards(*cards: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard with one section."""
    section = {"type": "grid", "cards": list(cards)}
    return {"views": [{"title": "One", "type": "sections", "sections": [section]}]}


async def cards_of(house: House) -> list[dict[str, Any]]:
    """Return the cards of the only section of the dashboard."""
    (section,) = (await stored(house, OWN))["views"][0]["sections"]
    cards: list[dict[str, Any]] = section["cards"]
    return cards


async def faults_of_cards(page: Page, screen: Screen) -> list[str]:
    """Return what is wrong with the first of each of our cards on a screen."""
    await show(page, screen)
    found = [f"{part}: {one}" for part in CARDS for one in await faults(page, part)]
    if folder := os.environ.get("KITTY_LOOK"):
        await page.screenshot(path=f"{folder}/dashboard-{screen.name}.png", full_page=True)
    return [f"{screen.name}: {one}" for one in found]


def printer(page: Page | Locator, name: str) -> Locator:
    """Return the print card of a printer."""
    return page.locator("kitty-print").filter(has_text=name)


def waiting(page: Page, what: str) -> Locator:
    """Return one request on the approvals card."""
    return page.locator("kitty-approvals kitty-decision").filter(has_text=what)


def tile(page: Page, name: str) -> Locator:
    """Return the tile of a device."""
    return page.locator("hui-tile-card").filter(has=page.get_by_text(name, exact=True))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dashboard(house: House) -> str:
    """Return the address of a dashboard that builds itself."""
    await keep(house, "kitty-itself", STRATEGY)
    return "kitty-itself"


async def test_a_dashboard_is_made_in_the_picker(house: House, demo: Looker) -> None:
    """Add dashboard, KITTY workshop, create: it is there with a name, and holds nothing but the strategy."""
    page = await demo.at("config/lovelace/dashboards")
    await page.get_by_role("button", name="Add dashboard").click()
    await page.get_by_role("button", name="KITTY workshop").click()
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("button", name="Create")).to_have_count(0)
    await closed(page)
    page = await demo.at(MADE)
    await expect(printer(page, "Big printer")).to_be_visible()
    await expect(printer(page, "Mini")).to_be_visible()
    await expect(tile(page, "Workshop door")).to_be_visible()
    await expect(page.get_by_text("Stock of PLA")).to_be_visible()
    assert await stored(house, MADE) == STRATEGY


async def test_the_dashboard_is_there_however_early_its_module_comes(
    demo: Looker, dashboard: str
) -> None:
    """Home Assistant replaces the browser's registry of elements as it starts; ours are found all the same."""
    for _ in range(3):
        page = await demo.at(dashboard)
        await expect(printer(page, "Mini")).to_be_visible()


async def test_a_person_chooses_the_parts_of_the_dashboard(house: House, demo: Looker) -> None:
    """What is left out in the editor of the dashboard is gone at once, and stays so."""
    await keep(house, OWN, STRATEGY)
    page = await demo.at(OWN)
    await expect(page.get_by_text("Cameras", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Edit dashboard").click()
    await page.locator("kitty-strategy-editor").get_by_label("Cameras").uncheck()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Cameras", exact=True)).to_have_count(0)
    await expect(printer(page, "Mini")).to_be_visible()
    chosen = (await stored(house, OWN))["strategy"]
    assert "cameras" not in chosen["parts"]
    assert "printers" in chosen["parts"]


async def test_the_dashboard_follows_the_house(house: House, demo: Looker, dashboard: str) -> None:
    """A camera that somebody hides is gone from an open dashboard, and is back when it is shown again."""
    camera = {"entity_id": "camera.workshop_workshop_camera"}
    page = await demo.at(dashboard)
    shown = page.get_by_text("Cameras", exact=True)
    await expect(shown).to_be_visible()
    await house.demo.ws("config/entity_registry/update", **camera, hidden_by="user")
    await expect(shown).to_have_count(0)
    await house.demo.ws("config/entity_registry/update", **camera, hidden_by=None)
    await expect(shown).to_be_visible()


async def test_a_print_card_is_added_by_its_suggestion(house: House, demo: Looker) -> None:
    """Add card, the status of a printer, and Home Assistant proposes ours with a preview."""
    await keep(house, OWN, with_cards())
    page = await demo.at(f"{OWN}/0?edit=1")
    await page.get_by_role("button", name="Add card").first.click()
    await page.get_by_placeholder("Search entities").fill("Big printer status")
    await page.get_by_text("Workshop ▸ Big printer").click()
    await page.locator("hui-suggestion-card", has=page.locator("kitty-print")).click()
    await expect(printer(page.locator("#view"), "Big printer")).to_be_visible()
    await page.get_by_role("button", name="Done").click()
    (card,) = await cards_of(house)
    assert (card["type"], card["entity"]) == ("custom:kitty-print", config.PRINTER)


async def test_a_card_is_set_up_in_its_editor(house: House, demo: Looker) -> None:
    """The editor of a print card has words, and what is entered there is shown."""
    await keep(house, OWN, with_cards({"type": "custom:kitty-print", "entity": config.MINI}))
    page = await demo.at(f"{OWN}/0?edit=1")
    await page.get_by_role("button", name="Edit card").press("Enter")
    editor = page.locator("hui-dialog-edit-card")
    await expect(editor.get_by_text("Picture", exact=True).first).to_be_visible()
    await editor.locator("ha-selector-text input").fill("The small one")
    await expect(printer(editor, "The small one")).to_be_visible()
    await editor.get_by_role("button", name="Save").click()
    await expect(printer(page.locator("#view"), "The small one")).to_be_visible()
    (card,) = await cards_of(house)
    assert card["name"] == "The small one"


async def test_another_person_approves_on_the_card(
    visit: Visit, demo: Looker, anna: Looker, dashboard: str
) -> None:
    """Demo asks for the laser and cannot approve it; Anna sees who asks, approves, and it is on, once."""
    mark = visit.set_mark()
    demos, annas = await demo.at(dashboard), await anna.at(dashboard)
    await visit.demo.call("switch.turn_on", config.LASER)
    shown = waiting(demos, "Power on: Laser")
    await expect(shown).to_contain_text("Waits for Anna")
    await expect(shown.get_by_role("button", name=APPROVE)).to_have_count(0)
    asked = waiting(annas, "Power on: Laser")
    await expect(asked).to_contain_text("1 of 2 people agree")
    await expect(asked).to_contain_text("Demo asks")
    await asked.get_by_role("button", name=APPROVE).click()
    await expect(tile(annas, "Laser")).to_contain_text("On")
    await expect(asked).to_have_count(0)
    await expect(demos.get_by_text("Nothing waits for people.")).to_be_visible()
    await visit.demo.caught_up()
    assert visit.count(config.RELAY_COUNTER) - mark.relay == 1
    await visit.demo.call("switch.turn_off", config.LASER)
    await visit.until(config.LASER, "off")


async def test_another_person_approves_under_the_tile(
    visit: Visit, anna: Looker, dashboard: str
) -> None:
    """While the door waits its tile has the buttons; Anna presses there, and the bolt moves once."""
    visit.set_mark()
    door = tile(await anna.at(dashboard), "Workshop door")
    await expect(door).to_contain_text("Locked")
    await expect(door.get_by_role("button", name=APPROVE)).to_have_count(0)
    await visit.demo.call("lock.unlock", config.DOOR)
    await door.get_by_role("button", name="Approve: Unlock: Workshop door").click()
    await expect(door).to_contain_text("Unlocked")
    await visit.unlocked_once()
    await visit.demo.call("lock.lock", config.DOOR)
    await visit.until(config.DOOR, "locked")


async def test_who_asked_takes_it_back(visit: Visit, demo: Looker, dashboard: str) -> None:
    """Demo withdraws what he asked for himself; the bolt stays where it is."""
    mark = visit.set_mark()
    page = await demo.at(dashboard)
    await visit.demo.call("lock.unlock", config.DOOR)
    asked = waiting(page, "Unlock: Workshop door")
    await asked.get_by_role("button", name="Take back").click()
    await expect(asked).to_have_count(0)
    await visit.until(config.DOOR, "locked")
    assert visit.count(config.BOLT_COUNTER) == mark.bolt


async def test_a_print_is_approved_paused_and_cancelled_on_its_card(
    visit: Visit, demo: Looker, dashboard: str
) -> None:
    """The card shows what is asked for, then how far it is; to cancel it asks once more."""
    page = await demo.at(dashboard)
    big = await visit.house.device_id(config.PRINTER)
    await visit.demo.call("kitty.start_print", device_id=big, file="bracket.gcode")
    card = printer(page, "Big printer")
    await expect(card).to_contain_text("File: bracket.gcode")
    await card.get_by_role("button", name=APPROVE).click()
    await expect(card).to_contain_text(re.compile(r"Printing · .* left"), timeout=30_000)
    await card.get_by_role("button", name="Pause").click()
    await expect(card).to_contain_text("Paused")
    cancel = card.get_by_role("button", name="Cancel print")
    await cancel.click()
    await card.get_by_role("button", name="Keep printing").click()
    await expect(card).to_contain_text("Paused")
    await cancel.click()
    await card.locator("kitty-dialog").get_by_role("button", name="Cancel print").click()
    await expect(card).to_contain_text("Aborted")
    await visit.until(config.PRINTER, "aborted")


async def test_everybody_can_use_the_cards_on_every_screen(
    visit: Visit, anna: Looker, dashboard: str
) -> None:
    """Axe finds nothing serious in our cards, nothing is too wide, and the keyboard reaches the buttons."""
    page = await anna.at(dashboard)
    await visit.demo.call("switch.turn_on", config.LASER)
    deny = waiting(page, "Laser").get_by_role("button", name=re.compile("^Deny"))
    await expect(deny).to_be_enabled()
    found = [fault for screen in SCREENS for fault in await faults_of_cards(page, screen)]
    assert found == []
    await deny.focus()
    await page.keyboard.press("Enter")
    await expect(deny).to_have_count(0)
    await visit.demo.caught_up()
    assert visit.demo.state(config.RELAY) == "off"


async def test_the_next_release_takes_the_dashboard_and_its_cards(
    browser: Browser, house_of_next_release: House
) -> None:
    """It is offered there, too, builds itself, and a print card is proposed for a printer."""
    house = house_of_next_release
    async with at_home(browser, house, config.DEMO) as opened:
        looker = Looker(house, opened)
        page = await looker.at(config.DASHBOARD)
        await expect(printer(page, "Mini")).to_be_visible()
        await expect(tile(page, "Workshop door")).to_be_visible()
        page = await looker.at("config/lovelace/dashboards")
        await page.get_by_role("button", name="Add dashboard").click()
        await expect(page.get_by_role("button", name="KITTY workshop")).to_be_visible()
        await keep(house, OWN, with_cards())
        page = await looker.at(f"{OWN}/0?edit=1")
        await page.get_by_role("button", name="Add card").first.click()
        await page.get_by_placeholder("Search entities").fill("Big printer status")
        await page.get_by_text("Workshop ▸ Big printer").click()
        await expect(page.locator("hui-suggestion-card kitty-print")).to_be_visible()
