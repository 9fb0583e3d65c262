"""The panel as people use it: what waits, what is switched off, how everything is, and who did what."""

from collections.abc import AsyncIterator
import csv
import io
from pathlib import Path
import re

from playwright.async_api import Browser, Locator, Page, expect
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import House
from script.house.people import Json
from script.house.visit import Visit
from script.house.waiting import PATIENCE_S, until
from tests.e2e.panel import (
    PHONE,
    Screen,
    at_panel,
    dialog,
    faults,
    faults_on_screens,
    said,
    show,
    turn_to,
)
from tests.e2e.visitors import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROWEST = Screen(width=320, height=640)
CODE = "4711-cat"
MANY = 1_000
# KITTY's subscriptions are those that Home Assistant's frontend does not begin again by itself; returns how many.
END_OURS = """async () => {
    const { connection } = document.querySelector("home-assistant").hass;
    const ours = [...connection.commands].filter(([, one]) => "subscribe" in one && !one.subscribe);
    let ended = 0;
    for (const [subscription] of ours) {
        try {
            await connection.sendMessagePromise({ type: "unsubscribe_events", subscription });
            ended += 1;
        } catch (error) {
            // That of a page that was left ends by itself, perhaps just now.
            if (error.code !== "not_found") throw new Error(JSON.stringify(error));
        }
    }
    return ended;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the panel as Demo has it open, the owner."""
    async with at_panel(browser, house, config.DEMO) as page:
        yield page


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anna(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the panel as Anna has it open on her phone; she is no administrator."""
    async with at_panel(browser, house, config.ANNA, "approvals", PHONE) as page:
        yield page


def request(page: Page, words: str) -> Locator:
    """Return what waits and has these words."""
    return page.locator(".request", has_text=words)


def decided(page: Page, words: str) -> Locator:
    """Return what was decided and has these words."""
    return page.locator("kitty-page-approvals li", has_text=words)


async def read_from(page: Page, direction: str) -> None:
    """Turn the page as Home Assistant does for a language of that direction."""
    await page.evaluate(
        """direction => {
            document.dir = direction;
            document.querySelector("home-assistant").style.direction = direction;
        }""",
        direction,
    )


async def tell_brain(house: House, user_id: str, *commands: tuple[str, Json]) -> None:
    """Tell the brain something as Home Assistant does, for one person."""
    headers = {"Authorization": f"Bearer {house.brain_token}"}
    caller = {"user_id": user_id, "name": None, "channel": "dashboard", "context_id": None}
    async with house.session.ws_connect(f"{house.brain_url}/ws", headers=headers) as socket:
        await socket.receive_json()
        for number, (action, params) in enumerate(commands, 1):
            frame = {"type": "command", "id": number, "action": action, "params": params}
            await socket.send_json(frame | {"caller": caller})
            answer = await socket.receive_json()
            assert answer["type"] == "result", answer


# -- the frame ----------------------------------------------------------------------------------------


async def test_the_panel_opens_from_the_sidebar_on_its_first_page(house: House, demo: Page) -> None:
    """Everything that it needs comes from this house."""
    elsewhere: list[str] = []
    demo.on(
        "request",
        lambda one: elsewhere.append(one.url) if not one.url.startswith(house.url) else None,
    )
    await demo.reload()
    await demo.get_by_role("link", name="KITTY").click()
    await expect(demo).to_have_url(f"{house.url}/kitty/approvals")
    await expect(demo.get_by_role("heading", name="Waiting for people")).to_be_visible()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []


async def test_tabs_are_links_that_the_keyboard_reaches(demo: Page) -> None:
    """Focus on one, Enter, and its page is there; so is the way back."""
    tab = demo.get_by_role("navigation", name="Pages").get_by_role("link", name="I/O control")
    await tab.focus()
    await demo.keyboard.press("Enter")
    await expect(demo.locator("kitty-page-io")).to_be_visible()
    await expect(tab).to_have_attribute("aria-current", "page")
    await demo.go_back()
    await expect(demo.locator("kitty-page-approvals")).to_be_visible()


async def test_a_phone_has_a_menu_and_a_button_for_the_sidebar(anna: Page) -> None:
    """All pages are in the menu; the button opens what Home Assistant has besides."""
    await anna.get_by_label("Pages").select_option("I/O control")
    await expect(anna.locator("kitty-page-io")).to_be_visible()
    await anna.get_by_role("button", name="Open the menu of Home Assistant").click()
    await expect(anna.get_by_role("link", name="KITTY")).to_be_visible()
    await anna.keyboard.press("Escape")
    await turn_to(anna, "approvals")


async def test_a_page_that_is_not_there_leads_to_the_first(house: House, demo: Page) -> None:
    """An old bookmark is no dead end."""
    await demo.goto(f"{house.url}/kitty/nowhere")
    await expect(demo.locator("kitty-page-approvals")).to_be_visible()


# -- approvals ----------------------------------------------------------------------------------------


async def test_what_demo_asks_for_anna_approves_on_her_phone(
    visit: Visit, demo: Page, anna: Page
) -> None:
    """Both see it come and go; the laser is switched on once, and the list says who did what."""
    mark = visit.set_mark()
    await visit.demo.call("switch.turn_on", config.LASER)
    await expect(request(demo, "Laser")).to_contain_text("Waits for Anna")
    await expect(request(demo, "Laser").get_by_role("button", name="Approve")).to_have_count(0)
    waiting = request(anna, "Laser")
    await expect(waiting).to_contain_text("Demo asks")
    await expect(waiting).to_contain_text("Danger: high")
    await expect(waiting).to_contain_text("1 of 2 people agree")
    await expect(waiting.get_by_role("button", name="Approve")).to_be_enabled()
    await picture(anna, "panel-approvals-phone")
    await waiting.get_by_role("button", name="Approve").click()
    await expect(request(anna, "Laser")).to_have_count(0)
    await expect(decided(demo, "Laser").first).to_contain_text("Demo asked, Anna approved")
    await visit.until(config.LASER, "on")
    assert visit.count(config.RELAY_COUNTER) - mark.relay == 1
    await visit.demo.call("switch.turn_off", config.LASER)
    await visit.until(config.LASER, "off")


async def test_what_was_denied_and_what_was_taken_back_is_said(
    visit: Visit, demo: Page, anna: Page
) -> None:
    """Anna says no to one, Demo takes back the other, and the door stays locked."""
    mark = visit.set_mark()
    await visit.demo.call("lock.unlock", config.DOOR)
    view = request(anna, "Workshop door").get_by_role("img", name="now")
    await expect(view).to_be_visible()
    await request(anna, "Workshop door").get_by_role("button", name="Deny").click()
    await expect(decided(anna, "Workshop door").first).to_contain_text("Anna said no")
    # The next one has the same words, and this one could not be taken back any more.
    for page in (anna, demo):
        await expect(request(page, "Workshop door")).to_have_count(0)
    await visit.demo.call("lock.unlock", config.DOOR)
    # What she has not seen yet would be gone from the beginning.
    await expect(request(anna, "Workshop door")).to_be_visible()
    await request(demo, "Workshop door").get_by_role("button", name="Take back").click()
    for page in (anna, demo):
        await expect(request(page, "Workshop door")).to_have_count(0)
    assert visit.count(config.BOLT_COUNTER) == mark.bolt


async def test_what_a_camera_saw_can_be_looked_at(visit: Visit, demo: Page) -> None:
    """The picture of the area from when the door was unlocked."""
    visit.set_mark()
    await visit.demo.call("lock.unlock", config.DOOR)
    await request(demo, "Workshop door").get_by_role("button", name="Approve").click()
    await visit.unlocked_once()
    await visit.demo.call("lock.lock", config.DOOR)
    await visit.until(config.DOOR, "locked")
    look = decided(demo, "Unlock: Workshop door").first.get_by_role("button", name="What was seen")
    await look.click()
    shown = dialog(demo).get_by_role("img")
    await expect(shown).to_be_visible()
    assert await shown.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    await demo.keyboard.press("Escape")
    await expect(dialog(demo)).to_have_count(0)


async def test_who_has_a_code_of_their_own_is_asked_for_it(
    visit: Visit, house: House, anna: Page
) -> None:
    """A wrong one is refused and asked for again; Home Assistant's own record has none of them."""
    anna_id = house.anna.user_id
    own = {"user_id": anna_id, "pin": CODE}
    await tell_brain(house, anna_id, ("safety.pin", own))
    visit.set_mark()
    try:
        await visit.demo.call("lock.unlock", config.DOOR)
        await request(anna, "Workshop door").get_by_role("button", name="Approve").click()
        await dialog(anna).get_by_label("Your own code").fill("0000")
        await dialog(anna).get_by_role("button", name="Approve").click()
        await expect(said(anna, "not your code")).to_be_visible()
        await dialog(anna).get_by_label("Your own code").fill(CODE)
        await dialog(anna).get_by_role("button", name="Approve").click()
        await visit.unlocked_once()
        await visit.demo.call("lock.lock", config.DOOR)
        await visit.until(config.DOOR, "locked")
    finally:
        await tell_brain(house, anna_id, ("safety.pin", own | {"pin": None, "old_pin": CODE}))
    assert CODE not in repr(visit.demo.calls)


# -- I/O control --------------------------------------------------------------------------------------


async def test_a_part_is_switched_off_and_says_so_in_its_place(visit: Visit, demo: Page) -> None:
    """Its page says how to switch it on again; what hangs on it says for whose switch it waits."""
    page = await turn_to(demo, "io")
    await page.get_by_role("switch", name="Vision").click()
    await expect(said(demo, "Vision is switched off")).to_be_visible()
    rows = (await visit.brain("capabilities.list"))["items"]
    assert {row["name"]: row["enabled"] for row in rows}["vision"] is False
    await expect(page.locator("[data-name=vision]")).to_contain_text("Demo")
    await demo.get_by_role("link", name="Vision").click()
    await expect(demo.get_by_role("heading", name="Vision is switched off.")).to_be_visible()
    await demo.get_by_role("link", name="To I/O control").click()
    await page.get_by_role("switch", name="Search", exact=True).click()
    await expect(page.locator("[data-name=research]")).to_contain_text("Waits for: Search")
    for name in ("Search", "Vision"):
        await page.get_by_role("switch", name=name, exact=True).click()
        await expect(said(demo, f"{name} is switched on")).to_be_visible()


async def test_who_is_no_administrator_sees_the_switches_and_turns_none(anna: Page) -> None:
    """And the audit is not there at all."""
    page = await turn_to(anna, "io")
    await expect(page.get_by_role("switch", name="Vision")).to_be_disabled()
    await expect(anna.get_by_label("Pages").locator("option", has_text="Audit")).to_have_count(0)
    await turn_to(anna, "approvals")


# -- health -------------------------------------------------------------------------------------------


async def test_health_says_how_each_part_is_and_how_fast(demo: Page) -> None:
    """With a plot of the last checks, which says in words what it draws."""
    page = await turn_to(demo, "health")
    await expect(page.get_by_role("heading", name="Everything is well")).to_be_visible()
    await page.get_by_role("button", name="Check now").click()
    await expect(said(demo, "Every part was checked")).to_be_visible()
    plot = page.get_by_role("img", name="How fast parts answer")
    await expect(plot).to_be_visible()
    await expect(plot).to_have_attribute("aria-label", re.compile("ms"))
    await expect(page.get_by_role("row", name="≤").first).to_be_visible()
    await picture(demo, "panel-health")


async def test_a_job_is_run_now_and_its_end_is_seen(demo: Page) -> None:
    """The row changes by itself."""
    page = await turn_to(demo, "health")
    job = page.locator("[data-job=printer_fleet_health_check]")
    await job.get_by_role("button", name="Run now").click()
    await expect(job).to_contain_text("Done", timeout=20_000)


# -- audit --------------------------------------------------------------------------------------------


async def test_the_audit_is_searched_and_looked_into(visit: Visit, demo: Page) -> None:
    """One person, one kind of thing; a row tells all that it holds."""
    page = await turn_to(demo, "audit")
    await page.get_by_label("Person").select_option("Anna")
    await page.get_by_label("What happened").select_option("Approved")
    rows = page.get_by_role("listitem")
    await expect(rows.first).to_contain_text("Approved")
    await expect(page.get_by_role("listitem").filter(has_not_text="Anna")).to_have_count(0)
    wanted = await visit.demo.ask("kitty.get_audit", kind="approved", person="person.anna")
    await expect(rows).to_have_count(len(wanted["items"]))
    await rows.first.get_by_role("button").click()
    newest = wanted["items"][-1]
    await expect(dialog(demo)).to_contain_text(newest["hash"])
    await demo.get_by_role("button", name="Close").click()


async def test_the_audit_is_verified_and_saved_as_a_file(
    visit: Visit, demo: Page, tmp_path: Path
) -> None:
    """The chain is drawn whole; the file holds every row that was looked for."""
    page = await turn_to(demo, "audit")
    await page.get_by_role("button", name="Verify").click()
    await expect(page.get_by_text("The chain is whole")).to_be_visible()
    async with demo.expect_download() as saved:
        await page.get_by_role("button", name="Save as CSV").click()
    target = tmp_path / "audit.csv"
    await (await saved.value).save_as(target)
    rows = list(csv.DictReader(io.StringIO(target.read_text("utf-8"))))
    wanted = await visit.demo.ask("kitty.get_audit", kind="approved", person="person.anna")
    assert {row["hash"] for row in rows} == {row["hash"] for row in wanted["items"]}


async def test_of_a_thousand_rows_only_those_that_are_seen_are_drawn(
    house: House, demo: Page
) -> None:
    """The others are fetched when somebody scrolls there."""
    note = {"kind": "note", "user_id": None, "device_id": None, "data": {"at": 1.5}}
    await demo.goto("about:blank")
    await tell_brain(house, house.demo.user_id, *[("audit.note", note)] * MANY)
    await demo.goto(f"{house.url}/kitty/audit", wait_until="commit", timeout=60_000)
    page = demo.locator("kitty-page-audit")
    rows = page.get_by_role("listitem")
    await expect(rows.first).to_be_visible(timeout=30_000)
    await page.locator("kitty-virtual").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    await until(
        lambda: page.evaluate("page => page.list.items.length > 300"),
        "More rows are fetched",
        PATIENCE_S,
    )
    assert await rows.count() < 60


# -- everywhere ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("path", ["approvals", "io", "health", "audit"])
async def test_a_page_has_no_serious_fault_on_any_screen(demo: Page, path: str) -> None:
    """Desktop and phone, light and dark, the narrowest phone, and from right to left."""
    await turn_to(demo, path)
    found = await faults_on_screens(demo, path)
    await show(demo, NARROWEST)
    await read_from(demo, "rtl")
    found += await faults(demo)
    await read_from(demo, "ltr")
    await show(demo, Screen(width=1280, height=800))
    assert found == []


async def test_a_lost_connection_is_said_and_heals(house: House, demo: Page) -> None:
    """What changed meanwhile is there when it is back, without a reload."""
    page = await turn_to(demo, "io")
    row = page.locator("[data-name=mcp]")
    await expect(row).to_contain_text("Works")
    await demo.context.set_offline(offline=True)
    await demo.evaluate(
        "() => document.querySelector('home-assistant').hass.connection.socket.close()"
    )
    await expect(demo.get_by_text("The connection to Home Assistant is lost")).to_be_visible()
    await house.demo.call("switch.turn_off", "switch.kitty_mcp_server")
    await demo.context.set_offline(offline=False)
    await expect(row).not_to_contain_text("Works", timeout=20_000)
    await expect(demo.get_by_text("The connection to Home Assistant is lost")).to_have_count(0)
    await house.demo.call("switch.turn_on", "switch.kitty_mcp_server")
    await expect(row).to_contain_text("Works")


async def test_what_home_assistant_ends_by_an_old_number_goes_on(house: House, demo: Page) -> None:
    """After a reconnect its frontend ends some of its own by the numbers of before, which are now others'."""
    page = await turn_to(demo, "io")
    row = page.locator("[data-name=mcp]")
    await expect(row).to_contain_text("Works")
    assert await demo.evaluate(END_OURS) >= 2
    await house.demo.call("switch.turn_off", "switch.kitty_mcp_server")
    await expect(row).not_to_contain_text("Works")
    await house.demo.call("switch.turn_on", "switch.kitty_mcp_server")
    await expect(row).to_contain_text("Works")


async def test_a_brain_that_is_away_is_said_and_heals(
    visit: Visit, house: House, demo: Page
) -> None:
    """The rows stay; new ones come when it is back."""
    page = await turn_to(demo, "io")
    await house.brain.stop()
    await expect(demo.get_by_text("The brain is not connected")).to_be_visible()
    await expect(page.locator("[data-name=mcp]")).to_be_visible()
    await house.start_brain()
    await visit.back()
    await expect(demo.get_by_text("The brain is not connected")).to_have_count(0)


async def test_the_panel_heals_when_home_assistant_restarts(house: House, demo: Page) -> None:
    """The same page, live again; nobody reloads anything."""
    page = await turn_to(demo, "io")
    await demo.evaluate("() => { window.notReloaded = true; }")
    await house.restart_hass()
    await house.kitty_ready()
    row = page.locator("[data-name=mcp]")
    await house.demo.call("switch.turn_off", "switch.kitty_mcp_server")
    await expect(row).not_to_contain_text("Works", timeout=30_000)
    await house.demo.call("switch.turn_on", "switch.kitty_mcp_server")
    await expect(row).to_contain_text("Works")
    assert await demo.evaluate("() => window.notReloaded")
