"""Several brains in one panel, work that was given up, and a page of which every part is switched off."""

from collections.abc import AsyncIterator
from contextlib import closing, suppress
import os
from pathlib import Path
import sqlite3
import sys
import time
from typing import Final

from aiohttp import ClientError
from playwright.async_api import Browser, Locator, Page, expect
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import House
from script.house.processes import Process, free_port
from script.house.visit import CONNECTION, Visit
from script.house.waiting import until
from tests.e2e.panel import at_panel, faults, said, turn_to

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOB: Final = "printer_fleet_health_check"
DEAD: Final = ("d0" * 16, "d1" * 16)
# Nothing here is about how fast a machine is: each wait ends as soon as what it waits for is there.
PATIENCE_S: Final = 120.0
PATIENCE_MS: Final = 120_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def panel(house: House, browser: Browser) -> AsyncIterator[Page]:
    """Return the panel as the owner of the house has it open."""
    async with at_panel(browser, house, config.DEMO, "health") as page:
        yield page


async def look_at(page: Page, name: str) -> None:
    """Keep a picture of the page, when somebody wants it."""
    if folder := os.environ.get("KITTY_LOOK"):
        await page.screenshot(path=f"{folder}/brains-{name}.png", full_page=True)


# -- what was given up --------------------------------------------------------------------------------


def give_up(database: Path) -> None:
    """Write two pieces of work that were given up, as a brain does that tried each five times."""
    now = time.time()
    error = '{"code": "timeout", "message": "A part did not answer in time"}'
    values = [
        (one, JOB, "{}", 5, "dead", now - 60, now - 60, 5, 0, error, now - 90, now - 60)
        for one in DEAD
    ]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO work (id, kind, payload, priority, status, due_at, rank, tries, fence, error,"
            " created_at, finished_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )


async def test_work_that_was_given_up_is_tried_again(
    visit: Visit, house: House, panel: Page
) -> None:
    """One by one or all at once; what ends well leaves the page by itself."""

    async def done() -> bool:
        # It is on the page no more as soon as it is to be tried again.
        work = await visit.demo.ask("kitty.get_work", status="completed")
        return DEAD[0] in {row["id"] for row in work["items"]}

    await house.brain.stop()
    give_up(house.place / "brain" / "brain.db")
    await house.start_brain()
    await visit.back()
    page = await turn_to(panel, "health")
    dead = page.locator("[data-work]")
    await expect(dead).to_have_count(2)
    await expect(dead.first).to_contain_text("A part did not answer in time")
    await expect(dead.first).to_contain_text("tried 5 times")
    await look_at(panel, "dead")
    await dead.first.get_by_role("button", name="Try again").click()
    await expect(said(panel, "tried again")).to_be_visible()
    await expect(dead).to_have_count(1, timeout=20_000)
    await until(done, "It is done", PATIENCE_S)
    await dead.first.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Nothing was given up")).to_be_visible(timeout=20_000)


# -- a page of which every part is off ----------------------------------------------------------------


async def test_prints_of_the_past_are_shown_while_printing_is_switched_off(
    house: House, panel: Page
) -> None:
    """With the way to switch it on above them; the page is as it was when it is on again."""
    await house.demo.call("switch.turn_off", "switch.kitty_printing")
    try:
        page = await turn_to(panel, "prints")
        off = panel.get_by_role("heading", name="Printing is switched off.")
        await expect(off).to_be_visible()
        await expect(panel.get_by_role("link", name="To I/O control")).to_be_visible()
        await expect(page.locator("kitty-print-history [data-job]").first).to_be_visible()
        await expect(page.get_by_text("The print queue is switched off")).to_be_visible()
        await look_at(panel, "prints-off")
        assert await faults(panel) == []
    finally:
        await house.demo.call("switch.turn_on", "switch.kitty_printing")
    await expect(off).to_have_count(0)
    await expect(page.get_by_text("The print queue is switched off")).to_have_count(0)


# -- a brain that is away -----------------------------------------------------------------------------


@pytest.mark.timeout(900)
async def test_nobody_is_told_what_is_not_known_of_a_brain_that_is_away(
    visit: Visit, house: House, browser: Browser
) -> None:
    """Opened only then: no area without rules, nothing that is well, no house without devices, no endless wait."""
    reload = f"config/config_entries/entry/{house.entry_id}/reload"
    not_known = "Not known while the brain is away"
    await house.brain.stop()
    try:
        await visit.until(CONNECTION, "off", PATIENCE_S)
        async with at_panel(browser, house, config.DEMO, "workshop") as page:
            shown = page.locator("kitty-page-workshop")
            await expect(shown.get_by_text(not_known).first).to_be_visible(timeout=PATIENCE_MS)
            await expect(page.get_by_text("The brain is not connected")).to_be_visible()
            await expect(devices(shown).get_by_text("Workshop door")).to_be_visible()
            await expect(shown.locator("[data-device]").get_by_role("button")).to_have_count(0)
            await expect(shown.get_by_text("Nobody has said how dangerous")).to_have_count(0)
            await look_at(page, "away-workshop")
            shown = await turn_to(page, "health")
            await expect(shown.get_by_text(not_known).first).to_be_visible(timeout=PATIENCE_MS)
            await expect(shown.get_by_text("Everything is well")).to_have_count(0)
            await expect(shown.get_by_text("Loading …")).to_have_count(0)
            await look_at(page, "away-health")
        await house.demo.rest("POST", reload)
        async with at_panel(browser, house, config.DEMO, "workshop") as page:
            note = page.get_by_text("tries again by itself")
            await expect(note).to_be_visible(timeout=PATIENCE_MS)
            await expect(page.get_by_text(not_known)).to_be_visible(timeout=PATIENCE_MS)
            await expect(page.get_by_text("There is no device")).to_have_count(0)
            await look_at(page, "never-heard")
            await house.start_brain()
            await house.demo.rest("POST", reload)
            shown = page.locator("kitty-page-workshop")
            door = devices(shown).get_by_text("Workshop door")
            await expect(door).to_be_visible(timeout=PATIENCE_MS)
            await expect(note).to_have_count(0, timeout=PATIENCE_MS)
    finally:
        if house.brain.pid is None:
            await house.start_brain()
            await house.demo.rest("POST", reload)
        await house.kitty_ready()
        await visit.back()


# -- two brains ---------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(house: House, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Return the entry of a second brain, with one lamp of its own; both are gone afterwards."""
    port, place = free_port(8160), tmp_path_factory.mktemp("second")
    argv = [sys.executable, "-m", "brain_server", "serve"]
    argv += ["--data-dir", str(place), "--port", str(port)]
    brain = Process("The second brain", argv, place / "brain.log")
    await brain.start()
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        brain.require_alive()
        with suppress(ClientError):
            async with house.session.get(f"{url}/health") as response:
                return response.ok
        return False

    await until(answers, "The second brain", 60)
    token = (place / "token").read_text("utf-8").strip()
    made = await house.demo.flow(
        "", "kitty", {"next_step_id": "brain"}, {"url": url, "token": token}
    )
    entry_id = str(made["result"]["entry_id"])
    lamp = (
        {"driver": "demo"},
        {
            "name": "Attic lamp",
            "zone_id": "workshop",
            "Kind": "light",
            "Name": "Attic lamp",
            "Speed": 1,
            "Locks itself after": 0,
            "Delay": 0,
        },
    )
    await house.demo.flow("subentries/", [entry_id, "device"], *lamp)
    yield entry_id
    await house.demo.rest("DELETE", f"config/config_entries/entry/{entry_id}")
    await brain.stop()


def devices(page: Locator) -> Locator:
    """Return the devices of the Workshop page."""
    return page.locator("[data-device] h3")


async def test_of_two_brains_each_shows_its_own_rows(
    house: House, panel: Page, second: str
) -> None:
    """Chosen at the top, on every page; what is done there is done by that brain."""
    page = await turn_to(panel, "workshop")
    choice = panel.get_by_label("Brain", exact=True)
    await expect(choice.locator("option")).to_have_text(["KITTY 1", "KITTY 2"])
    await choice.select_option(value=second)
    await expect(devices(page)).to_have_text(["Attic lamp"])
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.get_by_role("button", name="Light on: Attic lamp").click()
    await expect(page.get_by_role("button", name="Light off: Attic lamp")).to_be_visible()
    await look_at(panel, "second")
    await choice.select_option(value=house.entry_id)
    await expect(devices(page).get_by_text("Attic lamp")).to_have_count(0)
    await expect(devices(page).get_by_text("Workshop door")).to_be_visible()


async def test_what_is_fetched_is_of_the_brain_that_was_chosen(
    house: House, panel: Page, second: str
) -> None:
    """Prints, requests and the audit, each after a change of the brain and back."""
    choice = panel.get_by_label("Brain", exact=True)
    pages = {
        "prints": "kitty-print-history [data-job]",
        "approvals": "li",
        "materials": "[data-spool]",
    }
    for path, rows in pages.items():
        await choice.select_option(value=house.entry_id)
        page = await turn_to(panel, path)
        await expect(page.locator(rows).first).to_be_visible()
        await choice.select_option(value=second)
        await expect(page.locator(rows)).to_have_count(0)
    own = (await house.demo.ask("kitty.get_audit", config_entry_id=second, limit=1000))["items"]
    page = await turn_to(panel, "audit")
    await page.get_by_role("button", name="Verify").click()
    whole = page.get_by_text("The chain is whole")
    await expect(whole).to_contain_text(str(len(own)))
    await choice.select_option(value=house.entry_id)
    await expect(whole).to_have_count(0)


async def test_switching_a_part_switches_that_of_the_brain_that_was_chosen(
    visit: Visit, panel: Page, second: str
) -> None:
    """The other one keeps its own."""
    page = await turn_to(panel, "io")
    await panel.get_by_label("Brain", exact=True).select_option(value=second)
    memory = page.get_by_role("switch", name="Memory", exact=True)
    await memory.click()
    await expect(memory).to_have_attribute("aria-checked", "false")
    rows = (await visit.brain("capabilities.list"))["items"]
    assert {row["name"]: row["enabled"] for row in rows}["memory"] is True
    await panel.get_by_label("Brain", exact=True).select_option(index=0)
    await expect(memory).to_have_attribute("aria-checked", "true")
