"""How tests look at Home Assistant: as a person, in a browser of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
from typing import Any, Final

from playwright.async_api import Browser, Page

from script.house.house import ROOT, House
from script.house.people import Account

PICTURES: Final = ROOT / "docs" / "images"
# Beside other tests a page can take long; whoever waits goes on as soon as it is there.
LIMIT_MS: Final = 30_000


@asynccontextmanager
async def signed_in(
    browser: Browser,
    house: House,
    who: Account,
    path: str = "",
    script: str = "",
    limit_ms: int = LIMIT_MS,
    **more: Any,
) -> AsyncIterator[Page]:
    """Open a browser of their own for somebody, and log in; ``script`` runs before every page."""
    context = await browser.new_context(locale="en-GB", **more)
    context.set_default_timeout(limit_ms)
    await context.add_init_script(script)
    page = await context.new_page()
    try:
        await page.goto(f"{house.url}/{path}")
        await page.get_by_label("Username").fill(who.username)
        await page.locator("input[type=password]").fill(who.password)
        await page.get_by_role("button", name="Log in").click()
        yield page
    except BaseException:
        await page.screenshot(path=house.place / f"failed-{who.username}.png")
        raise
    finally:
        await context.close()


async def closed(page: Page) -> None:
    """Wait until no dialog is left: one that is still closing would go back in the history from the next page."""
    await page.wait_for_function("!history.state?.dialog")


async def picture(page: Page, name: str) -> None:
    """Keep what the page shows for the documentation, when somebody wants it."""
    if os.environ.get("KITTY_SCREENSHOTS") == "1":
        await page.wait_for_load_state("networkidle")
        await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")
