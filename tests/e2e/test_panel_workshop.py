"""Workshop, Prints, Materials and Vision in the panel: what they show, and that a deed on each is true in the brain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import re
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect
import pytest
import pytest_asyncio

from script.house import config, goods, parts
from script.house.house import House
from script.house.people import Json
from script.house.phones import button
from script.house.visit import Visit
from script.house.waiting import PATIENCE_S, until
from tests.e2e.panel import at_panel, dialog, faults_on_screens, said, turn_to

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def panel(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the panel, opened once by the owner of the house."""
    async with at_panel(browser, house, config.DEMO, "workshop") as page:
        yield page


async def row_of(visit: Visit, action: str, key: str, **wanted: Any) -> Json:
    """Wait until the brain has a row with these fields, and return it; ``key`` is what names it in the error."""

    async def found() -> Json | None:
        rows = (await visit.brain(action))["items"]
        return next((row for row in rows if wanted.items() <= row.items()), None)

    row = await until(found, f"{action} has {key}: {wanted}", PATIENCE_S)
    return row or {}


PAGES = ["workshop", "prints", "materials", "vision"]


@pytest.mark.parametrize("name", PAGES)
async def test_everybody_can_read_a_page_on_every_screen(panel: Page, name: str) -> None:
    """Wide and narrow, in the light and in the dark; nothing serious, nothing too wide."""
    shown = await turn_to(panel, name)
    await expect(shown.locator(".card").nth(1)).to_be_visible()
    assert await faults_on_screens(panel, name) == []


# -- workshop -----------------------------------------------------------------------------------------


async def test_an_area_says_how_dangerous_it_is_and_who_may_approve(panel: Page) -> None:
    """And who is known to be there."""
    shown = await turn_to(panel, "workshop")
    room = shown.locator("section", has=panel.get_by_role("heading", name="Laser room"))
    await expect(room.get_by_role("img", name=re.compile("^High danger"))).to_be_visible()
    await room.get_by_text("Rules", exact=True).click()
    await expect(room.get_by_role("listitem").get_by_text("Two people approve")).to_be_visible()
    people = shown.locator("section", has=panel.get_by_role("heading", name="People"))
    await expect(people.get_by_role("row", name=re.compile("Anna.*Safety officer"))).to_be_visible()


async def test_a_door_is_opened_with_approval_and_locked_at_once(panel: Page, visit: Visit) -> None:
    """While it waits the page says who wants what, and offers it to nobody again."""
    visit.set_mark()
    shown = await turn_to(panel, "workshop")
    unlock = shown.get_by_role("button", name="Unlock: Workshop door")
    await unlock.click()
    await expect(shown.get_by_text("Demo wants to unlock")).to_be_visible()
    await expect(unlock).to_have_count(0)
    prompt = await visit.annas_phone.prompt("Workshop door")
    await visit.annas_phone.press(button(prompt, "Approve"))
    lock = shown.get_by_role("button", name="Lock: Workshop door")
    await expect(lock).to_be_visible()
    await visit.unlocked_once()
    await lock.click()
    await visit.until(config.DOOR, "locked")
    await expect(unlock).to_be_visible()


# -- prints -------------------------------------------------------------------------------------------


async def test_a_dialog_is_opened_and_left_with_the_keyboard(panel: Page) -> None:
    """And whoever left it stands where they were."""
    shown = await turn_to(panel, "prints")
    add = shown.get_by_role("button", name="Queue a file")
    await add.focus()
    await panel.keyboard.press("Enter")
    await expect(dialog(panel).get_by_role("combobox", name="File")).to_be_visible()
    await panel.keyboard.press("Escape")
    await expect(dialog(panel)).to_have_count(0)
    await expect(add).to_be_focused()


async def test_the_queue_says_why_and_is_changed_by_hand(panel: Page, visit: Visit) -> None:
    """Priority, hold and release: the brain has them before the page says so."""
    shown = await turn_to(panel, "prints")
    item = shown.locator("[data-item]", has_text="Gearbox housing")
    await expect(item.get_by_text("The filament is changed for this: PETG")).to_be_visible()
    await item.get_by_role("button", name="Higher priority").click()
    await row_of(visit, "queue.list", "priority", title="Gearbox housing", priority=3)
    await expect(item.get_by_text("priority 3")).to_be_visible()
    bracket = shown.locator("[data-item]", has_text="Shelf bracket, left")
    await bracket.get_by_role("button", name="Hold").click()
    held = await row_of(visit, "queue.list", "hold", title="Shelf bracket, left", status="held")
    assert held["reasons"][0]["code"] == "held_by_person"
    await expect(bracket.get_by_text("Held by a person")).to_be_visible()
    # It moves to the end of the list first, where a finger follows it.
    await expect(shown.locator("[data-item]").last).to_contain_text("Shelf bracket, left")
    await bracket.get_by_role("button", name="Release").click()
    await expect(said(panel, "Shelf bracket, left goes on")).to_be_visible()
    await row_of(visit, "queue.list", "release", title="Shelf bracket, left", status="queued")


async def order_of(shown: Locator) -> list[str]:
    """Return the ids of what is queued, as the page has it in order."""
    ids: list[str] = await shown.locator("[data-item]").evaluate_all(
        "rows => rows.map(row => row.dataset.item)"
    )
    return ids


async def planned_last(shown: Locator, item_id: str) -> None:
    """Wait until the page has heard that something is held, which puts it behind all others."""
    heard = (
        "(page, id) => page.queue.get(id).status === 'held' && !page.queue.get(id).planned_start"
    )
    await until(
        lambda: shown.locator("kitty-print-queue").evaluate(heard, item_id),
        "It is held",
        PATIENCE_S,
    )


@asynccontextmanager
async def planned_anew(shown: Locator, visit: Visit) -> AsyncIterator[None]:
    """Put what is first behind all others while nothing on the page may move, and see it move after the block."""
    before = await order_of(shown)
    assert len(before) > 1
    await visit.demo.call("kitty.hold_queued_print", queue_id=before[0])
    await planned_last(shown, before[0])
    await expect(shown.locator("[data-item]").first.get_by_text("Held by a person")).to_be_visible()
    assert await order_of(shown) == before
    yield
    await expect(shown.locator("[data-item]").last).to_have_attribute("data-item", before[0])
    await visit.demo.call("kitty.release_queued_print", queue_id=before[0])
    await row_of(visit, "queue.list", "release", id=before[0], status="queued")
    await expect(shown.get_by_text("Held by a person")).to_have_count(0)


async def test_nothing_in_the_queue_moves_away_under_a_finger(panel: Page, visit: Visit) -> None:
    """What is planned anew meanwhile shows where it is, and moves when the finger is gone."""
    shown = await turn_to(panel, "prints")
    await shown.locator("[data-item] h3").first.hover()
    await panel.mouse.down()
    async with planned_anew(shown, visit):
        await panel.mouse.up()


async def test_nothing_in_the_queue_moves_away_from_whoever_goes_by_keyboard(
    panel: Page, visit: Visit
) -> None:
    """From button to button of a row; it moves when they have left the list."""
    shown = await turn_to(panel, "prints")
    row = shown.locator(f"[data-item='{(await order_of(shown))[0]}']")
    await row.get_by_role("button", name="Higher priority").focus()
    await panel.keyboard.press("Tab")
    await expect(row.get_by_role("button", name="Lower priority")).to_be_focused()
    async with planned_anew(shown, visit):
        await shown.get_by_role("button", name="Queue a file").focus()


async def test_nothing_in_the_queue_moves_while_a_question_about_it_is_open(
    panel: Page, visit: Visit
) -> None:
    """Whoever says no to it finds the list as it was."""
    shown = await turn_to(panel, "prints")
    await shown.get_by_role("button", name="Take out of the queue").last.click()
    async with planned_anew(shown, visit):
        await dialog(panel).get_by_role("button", name="Cancel").click()


async def test_a_file_is_queued_and_taken_out_in_the_panel(panel: Page, visit: Visit) -> None:
    """A deed that cannot be undone is asked about first."""
    shown = await turn_to(panel, "prints")
    await shown.get_by_role("button", name="Queue a file").click()
    file = dialog(panel).get_by_role("combobox", name="File")
    label = await file.locator("option", has_text="clip.gcode").inner_text()
    await file.select_option(label=label)
    await dialog(panel).get_by_label("Printer").select_option(label="Mini")
    await dialog(panel).get_by_role("button", name="Queue it").click()
    await expect(said(panel, "clip.gcode is in the queue")).to_be_visible()
    await row_of(visit, "queue.list", "the file", title="clip.gcode")
    await shown.get_by_role("button", name="Take out of the queue: clip.gcode").click()
    await dialog(panel).get_by_role("button", name="Take out of the queue").click()
    await expect(shown.locator("[data-item]", has_text="clip.gcode")).to_have_count(0)
    open_items = (await visit.brain("queue.list"))["items"]
    assert [one for one in open_items if one["title"] == "clip.gcode"] == []


async def test_a_print_is_judged_with_stars_and_a_photo(
    panel: Page, visit: Visit, house: House
) -> None:
    """The photo is made small enough in the browser, and shown in the history."""
    shown = await turn_to(panel, "prints")
    await shown.get_by_role("button", name="How was it?: clip.gcode").first.click()
    form = dialog(panel)
    await form.get_by_role("button", name="Good", exact=True).click()
    await form.get_by_role("button", name="4 of 5 stars").click()
    await form.get_by_label("Note").fill("Holds well")
    photo = house.place / "photo.png"
    await panel.screenshot(path=photo)
    await form.get_by_label("Photo").set_input_files(photo)
    await expect(form.get_by_role("img", name="Photo")).to_be_visible()
    await form.get_by_role("button", name="Say so").click()
    await expect(said(panel, "KITTY learns from it: clip.gcode")).to_be_visible()
    judged = await row_of(visit, "reviews.list", "the word", file="clip.gcode", good=True, rating=4)
    assert (judged["note"], judged["has_picture"]) == ("Holds well", True)
    past = shown.locator(f"[data-job='{judged['job_id']}']")
    await expect(past.get_by_role("img", name="4 of 5 stars")).to_be_visible()
    await past.get_by_role("button", name=re.compile("clip.gcode")).click()
    await expect(dialog(panel).get_by_role("img", name="Photo")).to_be_visible()
    await expect(dialog(panel).get_by_text(re.compile("Cost: "))).to_be_visible()
    await dialog(panel).get_by_role("button", name="Close").click()


async def test_a_failing_print_is_followed_answered_and_cancelled(
    panel: Page, visit: Visit, house: House
) -> None:
    """From its first layer over the camera's alarm to its end, without loading anything anew."""
    shown = await turn_to(panel, "prints")
    mini = shown.locator("[data-device]", has=panel.get_by_role("heading", name="Mini"))
    path = goods.path_of(house, parts.SPAGHETTI)
    device_id = await house.device_id(config.MINI)
    await visit.demo.call("kitty.start_print", device_id=device_id, path=path)
    await goods.approve(house, "Mini")
    await expect(mini.get_by_text("spaghetti.gcode")).to_be_visible(timeout=20_000)
    await expect(mini.get_by_text(re.compile("layer \\d+ of \\d+"))).to_be_visible()
    await visit.until(config.MINI, "paused", 40.0)
    await expect(mini.get_by_role("button", name="Resume: Mini")).to_be_visible()
    seen = await turn_to(panel, "vision")
    alarm = seen.get_by_role("alert").filter(has_text="Spaghetti: Mini")
    await expect(alarm.locator("kitty-picture img")).to_be_visible()
    assert await faults_on_screens(panel, "vision-alarm") == []
    incident = await row_of(visit, "incidents.list", "the alarm", status="open")
    await alarm.get_by_role("button", name="False alarm").click()
    await row_of(visit, "incidents.list", "the answer", id=incident["id"], status="false_alarm")
    await expect(alarm).to_have_count(0)
    old = seen.locator(f".old[data-incident='{incident['id']}']")
    await expect(old.get_by_text("by Demo")).to_be_visible()
    shown = await turn_to(panel, "prints")
    assert await faults_on_screens(panel, "prints-paused") == []
    await shown.get_by_role("button", name="Cancel the print: Mini").click()
    await dialog(panel).get_by_role("button", name="Cancel the print").click()
    await visit.until(config.MINI, "aborted")
    await expect(mini.get_by_text("Cancelled")).to_be_visible()


# -- materials ----------------------------------------------------------------------------------------


async def test_a_spool_is_added_loaded_and_put_away(panel: Page, visit: Visit) -> None:
    """And found again among those that were put away."""
    shown = await turn_to(panel, "materials")
    await shown.get_by_role("button", name="Add a spool").click()
    form = dialog(panel)
    await form.get_by_label("Material").fill("ASA")
    await form.get_by_label("Maker").fill("Prusament")
    await form.get_by_label("Colour").first.fill("#22aa44")
    await form.get_by_label("Full weight").fill("850")
    await form.get_by_role("button", name="Save").click()
    spool = await row_of(visit, "spools.list", "the spool", material="ASA", archived=False)
    assert (spool["color"], spool["full_g"], spool["vendor"]) == ("22aa44", 850.0, "Prusament")
    one = shown.locator(f"[data-spool='{spool['id']}']")
    await expect(one.get_by_text("850 of 850 g left")).to_be_visible()
    await one.get_by_role("button", name=re.compile("^Load")).click()
    await dialog(panel).get_by_label("Printer").select_option(label="Big printer")
    await dialog(panel).get_by_role("button", name="It is there").click()
    await expect(one.get_by_text(re.compile("On Big printer"))).to_be_visible()
    await one.get_by_role("button", name=re.compile("^Put away")).click()
    await expect(one).to_have_count(0)
    await shown.get_by_text("Spools that were put away").click()
    await expect(shown.get_by_text("ASA Prusament")).to_be_visible()


async def test_what_should_be_bought_is_agreed_to(panel: Page, visit: Visit) -> None:
    """The brain knows who agreed."""
    shown = await turn_to(panel, "materials")
    await shown.get_by_role("button", name="Agree: 1,000 g of PETG").click()
    agreed = await row_of(
        visit, "procurements.list", "the word", material="PETG", status="approved"
    )
    assert agreed["decided_by"] == visit.demo.user_id
    await expect(shown.get_by_text("Agreed, to be bought")).to_be_visible()


async def test_a_limit_is_set_and_drawn(panel: Page, visit: Visit) -> None:
    """By an administrator."""
    shown = await turn_to(panel, "materials")
    await shown.get_by_role("button", name="Set limit: PLA").click()
    await dialog(panel).get_by_label("Short below").fill("300")
    await dialog(panel).get_by_role("button", name="Save").click()
    await row_of(visit, "stock.list", "the limit", material="PLA", low_g=300.0)
    await expect(shown.get_by_role("img", name=re.compile("short below 300 g"))).to_be_visible()


# -- vision -------------------------------------------------------------------------------------------


async def test_a_camera_is_told_how_to_watch(panel: Page, visit: Visit) -> None:
    """From how sure on it counts, and what happens then."""
    shown = await turn_to(panel, "vision")
    await shown.get_by_role("button", name="Settings: Big printer").click()
    await dialog(panel).get_by_label("Counts from").fill("75")
    await dialog(panel).get_by_label("When it sees a failure").select_option(label="Tell people")
    await dialog(panel).get_by_role("button", name="Save").click()
    await expect(said(panel, "The camera watches as you said")).to_be_visible()
    rows = (await visit.brain("vision.list"))["items"]
    assert {"threshold": 0.75, "action": "notify"}.items() <= next(
        row["settings"].items() for row in rows if row["settings"].get("threshold") == 0.75
    )


async def test_a_camera_is_looked_through_anew_whenever_somebody_comes_back(panel: Page) -> None:
    """A browser would show the picture of an address that it knows."""
    shown = await turn_to(panel, "vision")
    eye = shown.locator("kitty-eye img").first
    before = await eye.get_attribute("src")
    await turn_to(panel, "materials")
    await turn_to(panel, "vision")
    await expect(eye).not_to_have_attribute("src", before or "")
    await expect(eye).to_have_js_property("complete", value=True)


# -- who is no administrator --------------------------------------------------------------------------


async def test_another_person_sees_the_same_workshop_without_what_only_administrators_do(
    house: House, browser: Browser
) -> None:
    """No limits, no settings of cameras; everything else is there."""
    async with at_panel(browser, house, config.ANNA, "materials") as page:
        await expect(page.get_by_role("heading", name="Stock")).to_be_visible()
        await expect(page.get_by_role("button", name=re.compile("^Set limit"))).to_have_count(0)
        shown = await turn_to(page, "vision")
        await expect(shown.locator("[data-camera]").first).to_be_visible()
        await expect(page.get_by_role("button", name=re.compile("^Settings"))).to_have_count(0)
