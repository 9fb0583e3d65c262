"""What the panel offers to whom: who may only look, where people are, and each person's own code."""

from collections.abc import AsyncIterator
import os
import re
from typing import Final

from playwright.async_api import Browser, Page, expect
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import House
from script.house.people import Account, Json
from script.house.visit import Visit
from script.house.waiting import until
from tests.e2e.panel import PHONE, at_panel, dialog, faults, said, turn_to

pytestmark = pytest.mark.asyncio(loop_scope="session")

RITA: Final = Account(name="Rita", username="rita", password="rita-looks")
WAITS: Final = "Straighter walls"
AGREED: Final = "Smoother tops"
OLD: Final = "4711-cat"
NEW: Final = "0815-dog"
# What somebody who may only look is not offered, by page.
REFUSED: Final = {
    "approvals": "^(Approve|Deny|Take back)",
    "workshop": "^(Unlock|Lock|Switch|Pause|Light|Off when)",
    "prints": "^(Pause|Resume|Cancel|The bed is clear|Queue a file|How was it|Higher|Lower|Hold|Release|Take out)",
    "materials": "^(Add a spool|Load|Change|Put away|Agree|Decline|Bought|Set limit|Take back)",
    "vision": "^(Look now|It is real|False alarm|Pause|Settings)",
}


async def look_at(page: Page, name: str) -> None:
    """Keep a picture of the page, when somebody wants it."""
    if folder := os.environ.get("KITTY_LOOK"):
        await page.screenshot(path=f"{folder}/people-{name}.png", full_page=True)


# -- who may only look --------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rita(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the panel as Rita has it open, who may see everything and touch nothing."""
    groups = ["system-read-only"]
    made = await house.demo.ws("config/auth/create", name=RITA.name, group_ids=groups)
    login = {"user_id": made["user"]["id"], "username": RITA.username, "password": RITA.password}
    await house.demo.ws("config/auth_provider/homeassistant/create", **login)
    async with at_panel(browser, house, RITA, "workshop") as page:
        yield page
    await house.demo.ws("config/auth/delete", user_id=made["user"]["id"])


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("path", REFUSED)
async def test_who_may_only_look_is_offered_nothing_that_would_be_refused(
    rita: Page, path: str
) -> None:
    """The page says why, where it is not plain; a request says for whom it waits."""
    shown = await turn_to(rita, path)
    words = "Waits for" if path == "approvals" else "You may look here, but change nothing."
    await expect(shown.get_by_text(words).first).to_be_visible()
    await look_at(rita, f"rita-{path}")
    await expect(shown.get_by_role("button", name=re.compile(REFUSED[path]))).to_have_count(0)
    assert await faults(rita) == []


@pytest_asyncio.fixture(loop_scope="session")
async def wanted(house: House, visit: Visit) -> AsyncIterator[None]:
    """Let a goal wait, and another, to which Demo has agreed, be a project, as long as a test looks at them."""
    goals = [await house.demo.ask("kitty.add_goal", title=title) for title in (WAITS, AGREED)]
    await house.demo.call("kitty.decide_goal", goal_id=goals[1]["id"], approve=True)

    async def begun() -> Json | None:
        rows = (await visit.brain("projects.list"))["items"]
        return next((one for one in rows if one["goal_id"] == goals[1]["id"]), None)

    project = await until(begun, "The project is there", 30.0) or {}
    yield
    await house.demo.call("kitty.cancel_project", project_id=project["id"])
    await house.demo.call("kitty.decide_goal", goal_id=goals[0]["id"], approve=False)


@pytest.mark.usefixtures("wanted")
async def test_what_takes_a_role_is_offered_only_to_who_has_one(
    visit: Visit, rita: Page, demo: Page
) -> None:
    """Deciding on a goal, and ending what others agreed to; a research to everybody, where something searches."""
    known = (await visit.brain("providers.list"))["items"]
    searches = any(one["tier"] == "mcp" and one["enabled"] for one in known)
    for page, offered in ((rita, 0), (demo, 1)):
        await turn_to(page, "research/goals")
        goal = page.locator("[data-goal]", has_text=WAITS)
        await expect(goal.get_by_text("Priority")).to_be_visible()
        await expect(goal.get_by_role("button", name="Approve")).to_have_count(offered)
        await expect(goal.get_by_text("People with a role in the workshop")).to_have_count(
            1 - offered
        )
        await look_at(page, f"goals-{offered}")
        await turn_to(page, "research/projects")
        project = page.locator("[data-project]", has_text=AGREED)
        await expect(project.get_by_text("% done")).to_be_visible()
        await expect(project.get_by_role("button", name="Cancel")).to_have_count(offered)
        await look_at(page, f"projects-{offered}")
        shown = await turn_to(page, "research")
        await expect(shown.get_by_text("KITTY cannot search the web yet")).to_have_count(
            1 - searches
        )
        await expect(shown.get_by_role("button", name="Start")).to_have_count(int(searches))
        assert await faults(page) == []
        await look_at(page, f"research-{offered}")
        await turn_to(page, "workshop")


async def test_the_card_of_a_printer_offers_them_nothing_either(house: House, rita: Page) -> None:
    """Its buttons are Home Assistant's own, which would refuse."""
    await rita.goto(f"{house.url}/{config.DASHBOARD}")
    card = rita.locator("kitty-print").first
    await expect(card.get_by_text("You may look here, but change nothing.")).to_be_visible()
    await expect(card.get_by_role("button", name="Bed cleared")).to_have_count(0)
    await rita.goto(f"{house.url}/kitty/workshop")


async def test_what_somebody_may_do_comes_with_the_right_and_without_a_reload(
    house: House, rita: Page
) -> None:
    """And goes with it."""
    shown = await turn_to(rita, "workshop")
    users = await house.demo.ws("config/auth/list")
    user_id = next(one["id"] for one in users if one["name"] == RITA.name)
    switch = shown.get_by_role("button", name="Switch on: Laser")
    for groups, count in ((["system-users"], 1), (["system-read-only"], 0)):
        await house.demo.ws("config/auth/update", user_id=user_id, group_ids=groups)
        await expect(switch).to_have_count(count)


# -- who is where -------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anna(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the Workshop page as Anna has it open on her phone; she is no administrator."""
    async with at_panel(browser, house, config.ANNA, "workshop", PHONE) as page:
        yield page


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the Workshop page as Demo has it open, the owner."""
    async with at_panel(browser, house, config.DEMO, "workshop") as page:
        yield page


async def test_who_comes_and_goes_is_seen_at_once(house: House, anna: Page) -> None:
    """In the area and in the list of people, without loading anything anew."""
    shown = await turn_to(anna, "workshop")
    there = shown.locator("[data-area=workshop] .there")
    listed = shown.get_by_role("row", name=re.compile("Demo.*Workshop: said so themselves"))
    await expect(there).to_have_count(0)
    for status, count in (("present", 1), ("vacated", 0)):
        await house.demo.call("kitty.set_presence", area_id="workshop", status=status)
        await expect(there.get_by_text("Demo")).to_have_count(count, timeout=3_000)
        await expect(listed).to_have_count(count, timeout=3_000)


# -- one's own code -----------------------------------------------------------------------------------


async def fill(page: Page, button: str, **fields: str) -> None:
    """Open the form of one's own code, fill it in and send it."""
    form = dialog(page)
    if await form.count() == 0:
        await page.get_by_role("button", name=button).first.click()
    labels = {"old": "Code until now", "new": "New code", "again": "New code once more"}
    for name, words in fields.items():
        await form.get_by_label(labels.get(name, "Code for duress"), exact=name == "new").fill(
            words
        )
    await form.get_by_role(
        "button", name="Remove" if button.startswith("Remove") else "Save"
    ).click()


async def test_a_person_sets_changes_and_removes_their_own_code(
    visit: Visit, house: House, anna: Page
) -> None:
    """With the old one; what Home Assistant records of it holds none."""
    shown = await turn_to(anna, "workshop")
    await expect(shown.get_by_text("You have no code of your own")).to_be_visible()
    await fill(anna, "Set a code", new=OLD, again="something else")
    wrong = dialog(anna).get_by_role("alert")
    await expect(wrong).to_have_text("The two new codes differ.")
    await fill(anna, "Set a code", new=OLD, again=OLD, duress="0000-none")
    await expect(said(anna, "Your code is set")).to_be_visible()
    await expect(dialog(anna)).to_have_count(0)
    await expect(shown.get_by_text("You are asked for your own code")).to_be_visible()
    await look_at(anna, "anna-code")
    await fill(anna, "Change the code", old="wrong", new=NEW, again=NEW)
    await expect(wrong).to_contain_text("This is not your code")
    await look_at(anna, "anna-change")
    assert await faults(anna) == []
    await fill(anna, "Change the code", old=OLD, new=NEW, again=NEW)
    await expect(said(anna, "Your code is set")).to_be_visible()
    await expect(dialog(anna)).to_have_count(0)
    await fill(anna, "Remove the code", old=NEW)
    await expect(shown.get_by_text("You have no code of your own")).to_be_visible()
    seen = repr(visit.demo.calls) + repr(visit.demo.events)
    log = house.hass.log.read_text("utf-8") + house.brain.log.read_text("utf-8")
    assert [code for code in (OLD, NEW, "0000-none") if code in seen + log] == []


async def test_an_administrator_clears_a_code_that_was_forgotten(anna: Page, demo: Page) -> None:
    """Asked once more before; nobody else is offered it."""
    await fill(anna, "Set a code", new=OLD, again=OLD)
    await expect(said(anna, "Your code is set")).to_be_visible()
    await expect(dialog(anna)).to_have_count(0)
    await expect(anna.get_by_role("button", name="Clear the code")).to_have_count(0)
    await demo.get_by_role("button", name="Read rules and checks again").click()
    await demo.get_by_role("button", name="Clear the code: Anna").click()
    await look_at(demo, "demo-clear")
    await dialog(demo).get_by_role("button", name="Clear the code").click()
    await expect(said(demo, "Anna has no code any more")).to_be_visible()
    await expect(demo.get_by_role("button", name="Clear the code: Anna")).to_have_count(0)
    await anna.reload()
    await expect(anna.get_by_text("You have no code of your own")).to_be_visible()
