"""The panel in German and French on the narrowest phone: nothing is cut, nothing lies beside the screen."""

from collections.abc import AsyncIterator
import os
from typing import Final

from playwright.async_api import Browser, Page, expect
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import House
from tests.e2e.panel import Screen, at_panel, turn_to

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROWEST: Final = Screen(width=320, height=640)
LOADING: Final = {"de": "Wird geladen", "fr": "Chargement"}
PAGES: Final = (
    "approvals",
    "workshop",
    "prints",
    "materials",
    "vision",
    "conversations",
    "conversations/memory",
    "research",
    "research/goals",
    "research/projects",
    "research/outcomes",
    "io",
    "costs",
    "health",
    "audit",
)
# What is drawn with an end that is cut on purpose, because it is written as a whole elsewhere.
SHORTENED: Final = ".slot, .line > span, .title, .sr, option"
LOOK: Final = """([shortened]) => {
    const found = [];
    const walk = (root, scrolls) => {
        for (const one of root.querySelectorAll("*")) {
            const style = getComputedStyle(one);
            const box = one.getBoundingClientRect();
            const seen = box.width > 1 && box.height > 1 && style.visibility !== "hidden";
            const scrolled = scrolls || one.closest(".scroll, kitty-virtual, nav") !== null;
            const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
            if (seen && own && !scrolled && !one.matches(shortened)) {
                const words = `${one.localName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`;
                if (box.left < -1 || box.right > innerWidth + 1) found.push(`beside the screen: ${words}`);
                const cuts = style.display !== "inline" && style.overflowX !== "visible";
                if (cuts && one.scrollWidth > one.clientWidth + 1)
                    found.push(`cut: ${words}`);
                const holder = one.parentElement?.getBoundingClientRect();
                if (holder && style.position === "static" && box.right > holder.right + 2)
                    found.push(`beside what holds it: ${words}`);
            }
            if (one.localName === "select" && seen && !scrolled) {
                const room = document.createElement("canvas").getContext("2d");
                room.font = style.font;
                const words = one.selectedOptions[0]?.textContent.trim() ?? "";
                if (room.measureText(words).width > one.clientWidth - 24) found.push(`cut: ${words}`);
            }
            if (one.shadowRoot) walk(one.shadowRoot, scrolled);
        }
    };
    walk(document.querySelector("home-assistant").shadowRoot, false);
    return found.filter(words => !words.includes("ha-"));
}"""


@pytest_asyncio.fixture(params=["de", "fr"], scope="module", loop_scope="session")
async def foreign(
    house: House, browser: Browser, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[str, Page]]:
    """Return a language, and the panel as somebody has it open who reads that."""
    async with at_panel(browser, house, config.DEMO, "io", NARROWEST) as page:
        language = str(request.param)
        keep = "one => localStorage.setItem('selectedLanguage', JSON.stringify(one))"
        await page.evaluate(keep, language)
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("lang", language)
        await expect(page.locator("kitty-page-io .card").first).to_be_visible()
        yield language, page


@pytest.mark.parametrize("path", PAGES)
async def test_every_word_has_room_on_the_narrowest_phone(
    foreign: tuple[str, Page], path: str
) -> None:
    """The page is no wider than the screen, and no label is cut or lies beside its place."""
    language, page = foreign
    shown = await turn_to(page, path)
    await expect(shown.get_by_text(LOADING[language])).to_have_count(0)
    if folder := os.environ.get("KITTY_LOOK"):
        name = f"{language}-{path.replace('/', '-')}"
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)
    wide = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert (wide, await page.evaluate(LOOK, [SHORTENED])) == (0, [])
