"""The mind in the panel: conversations, memory, research, projects and costs, each person's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
import re
import sys

from aiohttp import web
from playwright.async_api import Browser, Locator, Page, expect
import pytest
import pytest_asyncio

from script.house import config, mind
from script.house.house import House
from script.house.model import COLD, KEY, MODEL, Model
from script.house.people import Json
from script.house.processes import Process
from script.house.visit import Visit
from script.house.waiting import until
from tests.brain.autonomy.research.library import Web
from tests.e2e.panel import PHONE, at_panel, dialog, faults_on_screens, said, turn_to
from tests.e2e.visitors import picture
from tests.standins.web import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORACLE = "Oracle"
SEARCH = "Small web"
QUESTION = "At which temperature does PETG stick best to a bed?"
QUOTE = "PETG sticks best to a bed of 80 °C, as our tests of thirty prints have shown."
# What a page of the web would like to be: markup, a script, a link that is none of ours.
EVIL = "PETG sticks to a bed <img src=x onerror=\"document.title='gone'\"> of 70 °C in our tests."
WORDS = "which doors are unlocked"
SECRET = "My torque wrench lies behind the third cupboard"
LEFT = "The key of the paint store hangs at the left"


class SlowWeb(Web):
    """A small web whose pages come when the test lets them."""

    def __init__(self) -> None:
        """Begin with everything let through."""
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.pages = {"one.example": self.one, "evil.example": self.evil}

    async def one(self, _request: web.Request) -> web.Response:
        """Answer with a page that helps."""
        await self.open.wait()
        return web.Response(text=f"<title>Beds</title><p>{QUOTE}</p>", content_type="text/html")

    async def evil(self, _request: web.Request) -> web.Response:
        """Answer with a page whose words look like markup."""
        text = EVIL.replace("<", "&lt;").replace(">", "&gt;")
        head = "<title>&lt;b onclick=alert(1)&gt;Free</title>"
        return web.Response(text=f"{head}<p>{text}</p>", content_type="text/html")


def brain_on(house: House, small_web: SlowWeb) -> Process:
    """Return the brain of the house, for which the public web is a small one."""
    return Process(
        "The brain on a small web",
        [
            sys.executable,
            *("-m", "tests.standins.brain_on_small_web", str(small_web.port)),
            *("serve", "--data-dir", str(house.place / "brain")),
            *("--port", str(house.ports["brain"])),
        ],
        house.brain.log,
    )


async def linked(house: House) -> bool:
    """Tell whether brain and Home Assistant have each other."""
    parts = (await Visit(house).brain("system.health"))["parts"]
    return bool(parts["home_assistant"]["ok"])


@asynccontextmanager
async def living_with(house: House, brain: Process) -> AsyncIterator[None]:
    """Have another brain in the house for the time of a block."""
    usual = house.brain
    for one in (brain, usual):
        await house.brain.stop()
        house.brain = one
        await house.start_brain()
        await until(lambda: linked(house), "The brain has Home Assistant", 60.0)
        await house.kitty_ready()
        if one is brain:
            yield


@asynccontextmanager
async def provider(house: House, kind: str, form: Json) -> AsyncIterator[None]:
    """Add a provider as a person does, for the time of a block."""
    made = await house.demo.flow(
        "subentries/", [house.entry_id, "provider"], {"provider": kind}, form
    )
    assert made["type"] == "create_entry", made
    # Home Assistant sets KITTY up anew for it: its sensor is there when that is done.
    readiness = f"sensor.{form['name'].lower().replace(' ', '_')}_readiness"
    await Visit(house).until(readiness, "closed", 30.0)
    await house.kitty_ready()
    yield
    added = await house.demo.ws("config_entries/subentries/list", entry_id=house.entry_id)
    found = next(one for one in added if one["title"] == form["name"])
    before = house.demo.states[config.DOOR]["last_changed"]
    await house.demo.ws(
        "config_entries/subentries/delete",
        entry_id=house.entry_id,
        subentry_id=found["subentry_id"],
    )
    await house.demo.until(lambda: house.demo.state(readiness) is None, "It is gone", 30.0)
    # KITTY is set up anew for that, too: what is removed before that is over stays in the brain.
    await house.demo.until(
        lambda: house.demo.states[config.DOOR].get("last_changed") != before, "Set up anew", 30.0
    )
    await house.kitty_ready()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small_web(house: House) -> AsyncIterator[SlowWeb]:
    """Give the house a small web and a server that searches it."""
    made = SlowWeb()
    async with serving(anything=made.page) as url, serving(mcp=made.server()) as search:
        made.url = url
        form = {"name": SEARCH, "Address": f"{search}/mcp"}
        async with living_with(house, brain_on(house, made)), provider(house, "mcp", form):
            yield made
            made.open.set()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def model(house: House, small_web: SlowWeb) -> AsyncIterator[Model]:
    """Give the house a model that costs something, and is slow enough to be watched."""
    del small_web  # its brain would not outlive this one
    made = await Model().start()
    made.pause = 0.1
    form = {
        "name": ORACLE,
        "Address": made.url,
        "Model": MODEL,
        "API key": KEY,
        "Log-probabilities": False,
        "tier": "frontier",
        "uses": ["tools", "reasoning", "code"],
        "price_in": mind.PRICE_IN,
        "price_out": mind.PRICE_OUT,
    }
    async with provider(house, "openai_compatible", form):
        yield made
    await made.stop()


async def ask(talks: Locator, text: str) -> None:
    """Type something and send it off."""
    await talks.get_by_role("textbox", name="Ask KITTY").fill(text)
    await talks.get_by_role("textbox", name="Ask KITTY").press("Enter")


async def let_anna_in(page: Page, shown: Locator) -> None:
    """Let her into the conversation whose people a dialog shows."""
    await shown.get_by_label("Whom?").select_option("Anna")
    await shown.get_by_role("button", name="Let in").click()
    await expect(said(page, "Anna takes part now")).to_be_visible()
    await expect(shown.get_by_role("listitem")).to_have_count(2)


async def as_anna(house: House, action: str, **data: object) -> Json:
    """Call an action as Anna, whose socket nobody has listened to for a while."""
    await house.anna.connect()
    answer: Json = await house.anna.ask(action, **data)
    return answer


# -- conversations ------------------------------------------------------------------------------------


async def test_an_answer_is_seen_as_it_is_written_and_says_how_it_came_about(
    house: House, model: Model, browser: Browser
) -> None:
    """By which tier and model, for how much, and how fast; then the talk goes on where it was."""
    async with at_panel(browser, house, config.DEMO, "conversations") as page:
        talks = page.locator("kitty-page-conversations")
        await talks.get_by_role("button", name="New conversation").click()
        # However slow the browser is, the last words are written when the first ones were seen.
        with model.held(len(COLD.split()) - 2):
            await ask(talks, "Why does nylon shrink when it dries?")
            written = talks.locator("article[aria-busy=true]")
            await expect(written).to_contain_text("Plastic shrinks")
            await expect(written).not_to_contain_text(COLD)
        reply = talks.locator("article.assistant").last
        await expect(reply).to_contain_text(COLD)
        await expect(reply).to_contain_text(f"Elsewhere · {MODEL}")
        await expect(reply).to_contain_text("€0.")
        await reply.get_by_text("How this came about").click()
        await expect(reply).to_contain_text("Confidence")
        assert await faults_on_screens(page, "conversations") == []
        await picture(page, "panel-conversations")
        await page.reload()
        await ask(talks, "And why does it shrink again?")
        await expect(talks.locator("article.assistant")).to_have_count(2, timeout=20_000)
        await expect(talks.locator("article[aria-busy=true]")).to_have_count(0, timeout=20_000)
        await expect(talks.locator(".talks a[aria-current]")).to_contain_text("2 questions")


async def test_the_tools_behind_an_answer_are_shown(
    house: House, model: Model, browser: Browser
) -> None:
    """With what they were given and what they told, as text."""
    del model
    async with at_panel(browser, house, config.DEMO, "conversations") as page:
        talks = page.locator("kitty-page-conversations")
        await talks.get_by_role("button", name="New conversation").click()
        await ask(talks, mind.WANTS_LIST)
        reply = talks.locator("article.assistant")
        await reply.get_by_text("How this came about").click(timeout=20_000)
        await expect(reply.get_by_text("Used:").first).to_be_visible()
        await expect(reply.locator("pre").first).to_contain_text("Shopping list")


async def test_nobody_reads_the_conversations_of_others(
    house: House, model: Model, browser: Browser
) -> None:
    """Neither in the list nor by the address; Anna has her own."""
    del model
    (talk, *_) = (await house.demo.ask("kitty.get_conversations"))["items"]
    async with at_panel(browser, house, config.ANNA, f"conversations/{talk['id']}") as page:
        talks = page.locator("kitty-page-conversations")
        await expect(talks.get_by_text("belongs to somebody else")).to_be_visible()
        assert talk["title"] not in await talks.inner_text()
        await talks.get_by_role("button", name="New conversation").click()
        await ask(talks, "help")
        await expect(talks.locator("article.assistant")).to_contain_text("In the house")
        await expect(talks.locator(".talks a[aria-current]")).to_contain_text("help")


async def test_who_is_let_into_a_conversation_reads_it_and_leaves_or_is_sent_away(
    house: House, browser: Browser
) -> None:
    """Whoever began it lets in and sends away; who is out sees no word of it."""
    async with (
        at_panel(browser, house, config.DEMO, "conversations") as page,
        at_panel(browser, house, config.ANNA, "conversations", PHONE) as hers,
    ):
        talks, seen = page.locator("kitty-page-conversations"), hers.locator("kitty-participants")
        await talks.get_by_role("button", name="New conversation").click()
        await ask(talks, WORDS)
        await expect(talks.locator(".talks a[aria-current]")).to_contain_text(WORDS)
        await expect(page).to_have_url(re.compile("/conversations/(?!new$)."))
        path = page.url.partition("/kitty/")[2]
        await talks.get_by_role("button", name="Who takes part").click()
        shown = dialog(page)
        await let_anna_in(page, shown)
        assert await faults_on_screens(page, "participants") == []
        await turn_to(hers, path)
        await expect(hers.locator("article.user")).to_contain_text(WORDS)
        await seen.get_by_role("button", name="Who takes part").click()
        await expect(seen.get_by_role("button", name="Let in")).to_have_count(0)
        await seen.get_by_role("button", name="Leave the conversation").click()
        await expect(said(hers, "You take part no longer")).to_be_visible()
        await page.reload()
        await talks.get_by_role("button", name="Who takes part").click()
        await let_anna_in(page, shown)
        await shown.get_by_role("button", name="Send away: Anna").click()
        await expect(said(page, "Anna takes part no longer")).to_be_visible()
        await expect(shown.get_by_role("listitem")).to_have_count(1)
        await turn_to(hers, path)
        await expect(hers.get_by_text("belongs to somebody else")).to_be_visible()
        await expect(hers.locator("article.user")).to_have_count(0)


async def test_on_a_phone_the_list_and_the_talk_are_two_screens(
    house: House, model: Model, browser: Browser
) -> None:
    """With a way back."""
    del model
    async with at_panel(browser, house, config.DEMO, "conversations", PHONE) as page:
        talks = page.locator("kitty-page-conversations")
        await talks.locator(".talks a").first.click()
        await expect(talks.locator("article.assistant").first).to_be_visible()
        await talks.get_by_role("button", name="Back to all conversations").click()
        await expect(talks.locator(".talks a").first).to_be_visible()


# -- memory -------------------------------------------------------------------------------------------


async def test_what_is_forgotten_in_the_panel_is_gone_in_the_brain(
    house: House, browser: Browser
) -> None:
    """And before that, nobody else has seen it."""
    async with at_panel(browser, house, config.DEMO, "conversations/memory") as page:
        memory = page.locator("kitty-memory")
        for text in (SECRET, LEFT):
            await memory.get_by_role("textbox", name="Something to remember").fill(text)
            await memory.get_by_role("button", name="Remember", exact=True).click()
            await expect(memory.get_by_text(text)).to_be_visible()
        assert await faults_on_screens(page, "memory") == []
        await picture(page, "panel-memory")
        hers = await as_anna(house, "kitty.get_memories")
        assert SECRET not in json.dumps(hers)
        await memory.get_by_role("searchbox").fill("torque wrench")
        await memory.get_by_role("searchbox").press("Enter")
        await expect(memory.get_by_role("listitem").first).to_contain_text(SECRET)
        await memory.get_by_role("button", name=f"Forget: {SECRET}").click()
        await memory.locator("kitty-dialog").get_by_role("button", name="Forget").click()
        await expect(said(page, "Forgotten")).to_be_visible()
        await expect(memory.get_by_text(SECRET)).to_have_count(0)
    mine = json.dumps(await house.demo.ask("kitty.get_memories"))
    assert SECRET not in mine
    assert LEFT in mine


async def test_ones_own_memories_are_taken_along_as_a_file(house: House, browser: Browser) -> None:
    """All that is kept, and nothing of others."""
    await as_anna(house, "kitty.remember", text="Anna has the spare key")
    await house.demo.ask("kitty.remember", text=LEFT)
    async with at_panel(browser, house, config.DEMO, "conversations/memory") as page:
        async with page.expect_download() as started:
            await page.get_by_role("button", name="Export").click()
        path = await (await started.value).path()
        text = await asyncio.to_thread(path.read_text, "utf-8")
        kept = [one["text"] for one in json.loads(text)]
        assert LEFT in kept
        assert "Anna has the spare key" not in kept


# -- research -----------------------------------------------------------------------------------------


async def begin(page: Page) -> Locator:
    """Start a research in the panel; returns the element that shows it."""
    shown = page.locator("kitty-page-research")
    await shown.get_by_role("textbox", name="What shall be found out?").fill(QUESTION)
    await shown.get_by_role("button", name="Start").click()
    return shown.locator("kitty-research")


async def test_a_research_is_watched_to_its_end(
    house: House, small_web: SlowWeb, browser: Browser
) -> None:
    """Each step as it happens, then what was found with its quotes; words of the web stay words."""
    small_web.open.clear()
    async with at_panel(browser, house, config.DEMO, "research") as page:
        research = await begin(page)
        steps = research.get_by_role("listitem")
        await expect(steps.filter(has_text="Plan")).to_contain_text("done")
        reading = steps.filter(has_text="Read").filter(has_text="one.example")
        await expect(reading).to_contain_text("goes on")
        small_web.open.set()
        await expect(reading).to_contain_text("done")
        await expect(research.locator(".chip", has_text="Done")).to_be_visible()
        await expect(research.locator("blockquote").first).to_contain_text(QUOTE)
        await expect(research.get_by_text(EVIL)).to_be_visible()
        link = research.get_by_role("link", name="one.example")
        assert await link.get_attribute("rel") == "noopener noreferrer nofollow external"
        assert await research.locator("img, script, b").count() == 0
        assert await faults_on_screens(page, "research") == []
        await picture(page, "panel-research")
        await page.get_by_role("button", name="All research").click()
        entry = page.locator("kitty-page-research li", has_text=QUESTION).first
        await expect(entry).to_contain_text("Done")
        assert await faults_on_screens(page, "researches") == []


async def test_a_research_is_cancelled_within_two_seconds(
    house: House, small_web: SlowWeb, browser: Browser
) -> None:
    """In the panel and in the brain; the person beside does not see it."""
    small_web.open.clear()
    async with at_panel(browser, house, config.DEMO, "research") as page:
        research = await begin(page)
        await expect(research.get_by_text("goes on").first).to_be_attached()
        hers = await as_anna(house, "kitty.get_research")
        assert [one["question"] for one in hers["items"] if one["status"] == "running"] == []
        await research.get_by_role("button", name="Cancel research").click()
        await expect(research.locator(".chip", has_text="Cancelled")).to_be_visible(timeout=2_000)
        mine = await house.demo.ask("kitty.get_research")
        assert mine["items"][-1]["status"] == "cancelled"
        await expect(research.get_by_text("cut off")).to_be_attached()
    small_web.open.set()


# -- goals, projects, outcomes ------------------------------------------------------------------------


async def test_a_goal_becomes_a_project_whose_task_is_answered(
    house: House, browser: Browser
) -> None:
    """A yes in the panel, a plan, and a hand that says that it is done."""
    title = "Cleaner first layers"
    async with at_panel(browser, house, config.DEMO, "research/goals") as page:
        goals = page.locator("kitty-goals")
        await goals.get_by_text("Suggest a goal").click()
        await goals.get_by_role("textbox", name="What could be better?").fill(title)
        await goals.get_by_role("combobox", name="How is it measured?").select_option(
            "print_success"
        )
        await goals.get_by_role("button", name="Suggest", exact=True).click()
        goal = goals.locator("section", has_text=title)
        assert await faults_on_screens(page, "goals") == []
        await goal.get_by_role("button", name="Approve").click()
        await expect(goal).to_contain_text("decided by Demo")
        await turn_to(page, "research/projects")
        project = page.locator("kitty-projects section", has_text=title)
        task = project.locator("li.waiting").first
        await expect(task).to_be_visible(timeout=20_000)
        assert await faults_on_screens(page, "projects") == []
        await picture(page, "panel-projects")
        await task.get_by_role("textbox").fill("Cleaned with alcohol")
        await task.get_by_role("button", name="Done", exact=True).click()
        await expect(said(page, "Answered")).to_be_visible()
        await expect(project.locator("li.waiting")).to_have_count(0)
        await turn_to(page, "research/outcomes")
        await expect(page.locator("kitty-outcomes section", has_text=title)).to_contain_text(
            "Before"
        )
        assert await faults_on_screens(page, "outcomes") == []


# -- costs --------------------------------------------------------------------------------------------


async def test_costs_are_drawn_and_limits_changed(
    house: House, model: Model, browser: Browser
) -> None:
    """By day, tier and model; a new limit holds at once."""
    del model
    before = (await Visit(house).brain("budget.status"))["day"]["cap"]
    async with at_panel(browser, house, config.DEMO, "costs") as page:
        costs = page.locator("kitty-page-costs")
        plot = costs.get_by_role("img", name="Spent by day")
        await expect(plot).to_be_visible()
        await expect(costs.get_by_role("table").first).to_contain_text(f"{ORACLE} · {MODEL}")
        await expect(costs.get_by_text("Half within")).to_be_visible()
        assert await faults_on_screens(page, "costs") == []
        await picture(page, "panel-costs")
        await costs.get_by_role("button", name="Change limits").click()
        await dialog(page).get_by_label("At most each day").fill("7.5")
        await dialog(page).get_by_role("button", name="Save").click()
        await expect(costs.get_by_text("of €7.50").first).to_be_visible()
    assert (await Visit(house).brain("budget.status"))["day"]["cap"] == 7.5
    await house.demo.ask("kitty.set_budget", daily=before)


async def test_only_administrators_change_limits(house: House, browser: Browser) -> None:
    """Others see what is spent."""
    async with at_panel(browser, house, config.ANNA, "costs") as page:
        costs = page.locator("kitty-page-costs")
        await expect(costs.get_by_role("heading", name="Budget")).to_be_visible()
        await expect(costs.get_by_role("button", name="Change limits")).to_have_count(0)
