"""The panel in Chromium: its size, how soon it is there, and whether it stays smooth over 1,000 audit rows.

How soon: from a reload of the page until the first of its own content is drawn, beside Home Assistant's own to-do
lists in the same browser. Smooth: the share of 240 steps of a scroll whose script and layout fit into 1/60 s.
"""

import argparse
import asyncio
import gzip
import json
from pathlib import Path
import shutil
import statistics
import time
from typing import Any, Final

from playwright.async_api import Page, async_playwright

from brain_server.protocol import Json
from script.house import config
from script.house.house import ROOT, House
from tests.e2e.conftest import FLAGS
from tests.e2e.panel import at_panel
from tests.e2e.test_panel import tell_brain

# Where something of its own is drawn, in the panel and in Home Assistant's to-do lists.
PAGES: Final = {
    "kitty": ("kitty/approvals", "kitty-page-approvals"),
    "todo": ("todo", "ha-panel-todo ha-card"),
}
FRAME_MS: Final = 1000 / 60
NOTES: Final = 1_000
TURNS: Final = ("workshop", "prints", "materials", "health", "audit", "approvals")

SCROLLED: Final = """async list => {
    const took = [];
    for (let step = 0; step < 240; step++) {
        const began = performance.now();
        list.scrollTop += 137;
        list.dispatchEvent(new Event("scroll"));
        await list.updateComplete;
        list.getBoundingClientRect();
        took.push(performance.now() - began);
        await new Promise(requestAnimationFrame);
    }
    return took;
}"""
TURNED: Final = """async path => {
    const began = performance.now();
    history.pushState(null, "", "/kitty/" + path);
    dispatchEvent(new CustomEvent("location-changed"));
    const panel = document.querySelector("home-assistant").shadowRoot
        .querySelector("home-assistant-main").shadowRoot.querySelector("kitty-panel");
    while (!panel.shadowRoot.querySelector("kitty-page-" + path)?.shadowRoot?.firstElementChild)
        await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""


def median(values: list[float]) -> float:
    """Return the median, to a tenth."""
    return round(statistics.median(values), 1)


async def reloaded(page: Page, house: House, name: str) -> float:
    """Return the milliseconds from a reload until the page shows something of its own."""
    path, shown = PAGES[name]
    started = time.perf_counter()
    await page.goto(f"{house.url}/{path}", wait_until="commit")
    await page.locator(shown).first.wait_for(state="visible", timeout=30_000)
    return (time.perf_counter() - started) * 1000


def size() -> Json:
    """Return how large the module is that everything is in."""
    built = ROOT / "custom_components" / "kitty" / "frontend"
    newest = max(built.glob("kitty-*.js"), key=lambda path: path.stat().st_mtime)
    content = newest.read_bytes()
    return {"kb": round(len(content) / 1000), "gzip_kb": round(len(gzip.compress(content)) / 1000)}


async def measure(rounds: int) -> Json:
    """Open a house, look at it, and return the figures."""
    house = await House(ROOT / ".cache" / "bench" / "panel").open(fresh=True)
    try:
        async with (
            async_playwright() as playwright,
            await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(FLAGS)
            ) as browser,
            at_panel(browser, house, config.DEMO, "approvals") as page,
        ):
            first: dict[str, list[float]] = {name: [] for name in PAGES}
            for _ in range(rounds):
                for name, times in first.items():
                    times.append(await reloaded(page, house, name))
            await reloaded(page, house, "kitty")
            turns = [await page.evaluate(TURNED, path) for path in TURNS * 3]
            note = {"kind": "note", "user_id": None, "device_id": None, "data": {"at": 1.5}}
            await tell_brain(house, house.demo.user_id, *[("audit.note", note)] * NOTES)
            await page.goto(f"{house.url}/kitty/audit", wait_until="commit")
            rows = page.locator("kitty-page-audit kitty-virtual")
            await rows.get_by_role("listitem").first.wait_for(timeout=30_000)
            steps: Any = await rows.evaluate(SCROLLED)
            entities = len(await house.demo.ws("get_states"))
    finally:
        await house.close()
    medians = {f"{name}_ms": median(times) for name, times in first.items()}
    return {
        "module": size(),
        "first_paint": medians
        | {"ratio": round(medians["kitty_ms"] / medians["todo_ms"], 2), "rounds": rounds},
        "page_to_page_ms": median(turns),
        "scroll": {
            "entities": entities,
            "audit_rows": NOTES,
            "step_ms": median(steps),
            "within_a_frame": round(sum(one <= FRAME_MS for one in steps) / len(steps), 3),
        },
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    found = asyncio.run(measure(wanted.rounds))
    text = json.dumps(found, indent=2)
    print(text)
    if wanted.json is not None:
        wanted.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
