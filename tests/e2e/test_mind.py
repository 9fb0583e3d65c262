"""What people see of KITTY's mind: a model is added, talked to, watched and removed in Home Assistant's pages."""

from collections.abc import AsyncIterator

from playwright.async_api import Browser, Locator, Page, expect
import pytest
import pytest_asyncio

from script.house import config, mind
from script.house.house import House
from script.house.model import COLD, KEY, MODEL, THERE_YOU_ARE, Model
from script.house.visit import Visit
from tests.e2e.test_browser import at_home
from tests.e2e.visitors import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRONG_KEY = "sk-wrong-0123456789abcdef"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model(visit: Visit) -> AsyncIterator[Model]:
    """Return the stand-in for a server of models, slow enough to be watched."""
    visit.model = await Model().start()
    visit.model.pause = 0.1
    yield visit.model
    await visit.model.stop()


def field(page: Page, words: str) -> Locator:
    """Return what can be filled in of the field that shows these words."""
    return page.locator("ha-form ha-selector").filter(has_text=words).locator("input").first


async def kitty_page(page: Page, house: House) -> None:
    """Go to KITTY's page of the settings."""
    await page.goto(f"{house.url}/config/integrations/integration/kitty")


async def ask(page: Page, text: str) -> None:
    """Type something into the Assist dialog."""
    request = page.locator("ha-voice-command-dialog input")
    await request.fill(text)
    await request.press("Enter")


async def picture_of_the_end(page: Page, name: str) -> None:
    """Keep what the Assist dialog shows at its end."""
    await page.locator("ha-assist-chat .messages").evaluate("one => one.scrollTo(0, 1e6)")
    await picture(page, name)


def said(page: Page, text: str) -> Locator:
    """Return the words of the Assist dialog that hold a text."""
    return page.locator("ha-assist-chat ha-markdown", has_text=text).last


async def test_a_model_is_added_in_the_browser(
    house: House, model: Model, browser: Browser
) -> None:
    """The form asks for what is needed, says at once what is wrong, and the model is there."""
    async with at_home(browser, house, config.DEMO) as page:
        await page.set_viewport_size({"width": 1200, "height": 1440})
        await kitty_page(page, house)
        await page.get_by_role("button", name="Add language model or tool server").click()
        await page.get_by_text("OpenAI-compatible server").click()
        await page.get_by_role("button", name="Next").click()
        await field(page, "What people call it").fill(mind.NAME)
        await field(page, "for Ollama").fill(model.url)
        await field(page, "As the server calls it").fill(MODEL)
        await field(page, "Only if the server wants one").fill(WRONG_KEY)
        await picture(page, "add-model")
        await page.get_by_text("Elsewhere", exact=True).click()
        await field(page, "Needed for a model elsewhere").fill(str(mind.PRICE_IN))
        submit = page.get_by_role("button", name="Submit")
        await submit.click()
        await expect(page.get_by_text("Say what it costs, or 0")).to_be_visible()
        await field(page, "Price of a million tokens written").fill(str(mind.PRICE_OUT))
        await submit.click()
        await expect(page.get_by_text("The key is not accepted")).to_be_visible()
        await field(page, "Only if the server wants one").fill(KEY)
        await submit.click()
        await page.get_by_role("button", name="Finish").click()
        await expect(page.get_by_text(MODEL).first).to_be_visible()
    assert house.demo.state(mind.BREAKER) in {None, "closed"}


async def test_words_are_seen_while_the_model_still_writes(
    house: House, model: Model, browser: Browser
) -> None:
    """In the Assist dialog the answer grows."""
    beginning, end = COLD.split(". ")
    async with at_home(browser, house, config.DEMO) as page:
        await page.get_by_role("button", name="Assist (A)").click()
        # However slow the browser is, the last words are written when the first ones were seen.
        with model.held(len(COLD.split()) - 2):
            await ask(page, mind.QUESTION)
            await expect(said(page, beginning)).to_be_visible()
            assert model.written < len(COLD.split())
        await expect(said(page, end)).to_be_visible()


async def test_what_a_model_reads_and_wants_is_seen(
    visit: Visit, house: House, model: Model, browser: Browser
) -> None:
    """Each tool shows with what came of it; what an item of a list orders is asked about and left."""
    await visit.demo.call("todo.add_item", config.SHOPPING_LIST, item=mind.INJECTED)
    mark = visit.set_mark()
    async with at_home(browser, house, config.DEMO) as page:
        await page.get_by_role("button", name="Assist (A)").click()
        await ask(page, mind.WANTS_LIST)
        await expect(said(page, "Shall I unlock Workshop door?")).to_be_visible()
        await page.get_by_text("Show details").last.click()
        await expect(page.get_by_text("kitty__todo__get_items").first).to_be_visible()
        await picture_of_the_end(page, "tools")
        await ask(page, "no")
        await expect(said(page, "All right, I left it.")).to_be_visible()
    await visit.demo.call("todo.remove_item", config.SHOPPING_LIST, item=mind.INJECTED)
    await visit.demo.caught_up()
    assert visit.count(config.BOLT_COUNTER) == mark.bolt
    assert visit.prompts() == mark.prompts


async def test_a_model_goes_on_after_a_person_has_confirmed(
    visit: Visit, house: House, model: Model, browser: Browser
) -> None:
    """It asks for the cabinet, Demo confirms in the same dialog, and it goes on in the same breath."""
    async with at_home(browser, house, config.DEMO) as page:
        await page.get_by_role("button", name="Assist (A)").click()
        await ask(page, mind.WANTS_CABINET)
        await expect(said(page, "Unlock Tool cabinet? Say confirm or cancel.")).to_be_visible()
        await ask(page, "confirm")
        await expect(said(page, f"Done: Tool cabinet is unlocked. {THERE_YOU_ARE}")).to_be_visible()
        await picture_of_the_end(page, "mind")
    await visit.demo.call("lock.lock", config.CABINET)
    await visit.until(config.CABINET, "locked")


async def test_the_money_is_seen(visit: Visit, house: House, browser: Browser) -> None:
    """What the answers have cost, and how the last one came about, stands on KITTY's page."""
    await visit.demo.caught_up()
    spent = float(visit.demo.state(mind.SPENT) or 0)
    assert 0 < spent < 1
    device = await house.device_id(mind.SPENT)
    async with at_home(browser, house, config.DEMO) as page:
        await page.goto(f"{house.url}/config/devices/device/{device}")
        await expect(page.get_by_text("Spent today")).to_be_visible()
        await expect(page.get_by_text(f"€{spent:.2f}").first).to_be_visible()
        await expect(page.get_by_text("Last answer").first).to_be_visible()


async def test_a_model_is_removed_in_the_browser(
    visit: Visit, house: House, model: Model, browser: Browser
) -> None:
    """It is gone from the page and from the brain."""
    async with at_home(browser, house, config.DEMO) as page:
        await kitty_page(page, house)
        row = page.locator("ha-config-sub-entry-row", has_text=mind.NAME)
        await row.get_by_role("button", name="Menu").first.click()
        await page.get_by_role("menuitem", name="Delete").filter(visible=True).click()
        await page.get_by_role("button", name="Delete").filter(visible=True).click()
        await expect(row).to_have_count(0)
    await mind.forgotten(visit)
    await house.kitty_ready()
