"""The app's page in a browser: light and dark, on a desk and on a phone, for everybody."""

from collections.abc import AsyncIterator
from pathlib import Path
import shutil

from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright
import pytest
import pytest_asyncio

from brain_server.addon.pages import Pages
from tests.app.files import ROOT
from tests.brain.addon.told import Brain, write

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHROMIUM = shutil.which("chromium")
AXE = ROOT / "frontend/node_modules/axe-core/axe.min.js"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
PLACES = ("", "logs", "pairing")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url() -> AsyncIterator[str]:
    """Serve the page of a brain that has something to tell."""
    brain = Brain()
    brain.parts["cameras"] = {
        "ok": False,
        "detail": "The camera of the laser does not answer within 5 s",
    }
    write(brain)
    app = web.Application()
    Pages(brain.known(), brain.lines, "127.0.0.1").add_routes(app.router)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: script/setup --services")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(params=["light", "dark"], loop_scope="session")
async def page(request: pytest.FixtureRequest, browser: Browser) -> AsyncIterator[Page]:
    """Return a window as wide as the smallest phone, by day and by night."""
    context = await browser.new_context(
        viewport={"width": 320, "height": 640},
        color_scheme=request.param,
        bypass_csp=True,  # for axe, which is put into the page
        extra_http_headers={"X-Remote-User-Id": "ada"},
    )
    yield await context.new_page()
    await context.close()


@pytest.mark.skipif(not AXE.exists(), reason="needs script/frontend")
@pytest.mark.parametrize("place", PLACES)
async def test_everybody_can_read_the_page(page: Page, url: str, place: str) -> None:
    """Axe finds nothing, neither by day nor by night."""
    await page.goto(url + place)
    await page.add_script_tag(path=AXE)
    found = await page.evaluate("axe.run()")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert found["passes"]


@pytest.mark.parametrize("place", PLACES)
async def test_the_page_fits_a_phone(page: Page, url: str, place: str) -> None:
    """Nobody has to push it from side to side."""
    await page.goto(url + place)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(wide) == 0


async def test_the_page_is_dark_by_night(browser: Browser, url: str) -> None:
    """As the rest of Home Assistant is."""
    grounds = {}
    for scheme in ("light", "dark"):
        context = await browser.new_context(color_scheme=scheme)
        page = await context.new_page()
        await page.goto(url)
        grounds[scheme] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await context.close()
    assert grounds == {"light": "rgb(250, 250, 250)", "dark": "rgb(17, 17, 17)"}


async def test_the_page_is_walked_through_by_keyboard(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    """With its own policy in force: its style works, and a form reaches the brain."""
    context = await browser.new_context(extra_http_headers={"X-Remote-User-Id": "ada"})
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.goto(url)
    for _ in range(3):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url(url + "pairing")
    await page.get_by_role("button", name="Announce again").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("status").wait_for()
    assert await page.get_by_role("status").inner_text() == "It is being announced again."
    assert said == []
    await context.close()
