"""How tests look at the panel: as a person, at a width, in the light or in the dark."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import json
import os
import re
from typing import Any, Final

from playwright.async_api import Browser, Locator, Page, expect

from script.house.house import ROOT, House
from script.house.people import Account
from tests.e2e.visitors import LIMIT_MS, signed_in

AXE: Final = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"

expect.set_options(timeout=LIMIT_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What somebody looks at."""

    width: int
    height: int
    dark: bool = False

    @property
    def name(self) -> str:
        """Return what a picture of it is called."""
        return f"{self.width}-{'dark' if self.dark else 'light'}"


DESKTOP: Final = Screen(width=1280, height=800)
PHONE: Final = Screen(width=390, height=844)
SCREENS: Final = (
    DESKTOP,
    PHONE,
    Screen(width=1280, height=800, dark=True),
    Screen(width=390, height=844, dark=True),
)


@asynccontextmanager
async def at_panel(
    browser: Browser, house: House, who: Account, path: str = "", screen: Screen = DESKTOP
) -> AsyncIterator[Page]:
    """Open a page of the panel in a browser of their own for somebody, logged in."""
    screened = {
        "viewport": {"width": screen.width, "height": screen.height},
        "color_scheme": "dark" if screen.dark else "light",
    }
    async with signed_in(browser, house, who, f"kitty/{path}", **screened) as page:
        await expect(page.locator("kitty-panel main > :not(.note)").first).to_be_visible()
        yield page


async def turn_to(page: Page, path: str) -> Locator:
    """Go to another page of the panel without loading anything anew; returns its element."""
    await page.evaluate(
        """path => {
            history.pushState(null, "", "/kitty/" + path);
            dispatchEvent(new CustomEvent("location-changed"));
        }""",
        path,
    )
    shown = page.locator(f"kitty-page-{path.partition('/')[0]}")
    await expect(shown).to_be_visible()
    return shown


async def show(page: Page, screen: Screen) -> None:
    """Look at the same page on another screen."""
    await page.emulate_media(color_scheme="dark" if screen.dark else "light")
    await page.set_viewport_size({"width": screen.width, "height": screen.height})
    # The page has its new width and colours two frames later.
    await page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


async def faults(page: Page, within: str = "kitty-panel") -> list[str]:
    """Return what axe finds serious or critical, and whether the page is wider than its screen."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.add_script_tag(path=AXE)
    found: dict[str, Any] = await page.locator(within).evaluate(
        "within => axe.run(within, {resultTypes: ['violations']})"
    )
    told = [
        f"{one['id']}: {one['help']}: {json.dumps([node['target'] for node in one['nodes']])[:400]}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
    width = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    return told + ([f"{width} px too wide"] if width > 0 else [])


async def faults_on_screens(page: Page, name: str) -> list[str]:
    """Return the faults of a page on every screen; pictures of it go to $KITTY_LOOK, when somebody wants them."""
    told: list[str] = []
    for screen in SCREENS:
        await show(page, screen)
        if folder := os.environ.get("KITTY_LOOK"):
            await page.screenshot(path=f"{folder}/{name}-{screen.name}.png", full_page=True)
        told += [f"{screen.name}: {fault}" for fault in await faults(page)]
    await show(page, DESKTOP)
    return told


def dialog(page: Page) -> Locator:
    """Return the dialog that is open; what is in it is slotted, so no child of the browser's own."""
    return page.locator("kitty-dialog[open]")


def said(page: Page, words: str) -> Locator:
    """Return the line that says what was done, or why not."""
    return page.locator("#kitty-say", has_text=re.compile(words))
