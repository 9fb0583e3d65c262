"""After the first minutes: the token ends, the brain is away, the brain moves, and people follow what they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
import sys
from typing import Final

from aiohttp import ClientError, ClientTimeout
from playwright.async_api import Browser, Locator, Page
import pytest
import pytest_asyncio

from script.house import config
from script.house.house import House
from script.house.processes import Process, free_port
from script.house.visit import CONNECTION
from script.house.waiting import until
from tests.e2e.conftest import HOUSES
from tests.e2e.visitors import signed_in

# Nothing here is about how fast a machine is: each wait ends as soon as what it waits for is there.
LIMIT_S: Final = 120.0
LIMIT_MS: Final = 120_000

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home() -> AsyncIterator[House]:
    """Return a house in which KITTY has its brain, and nothing else yet."""
    opened = await House(HOUSES / "thoughts", with_kitty=False).open(fresh=True)
    brain = {"url": opened.brain_url, "token": opened.brain_token}
    made = await opened.demo.flow("", "kitty", {"next_step_id": "brain"}, brain)
    opened.papers["entry_id"] = made["result"]["entry_id"]
    yield opened
    await opened.close()


def at(browser: Browser, house: House, path: str) -> AbstractAsyncContextManager[Page]:
    """Open a page in a browser for the owner of the house."""
    screen = {"width": 1200, "height": 900}
    return signed_in(browser, house, config.DEMO, path, limit_ms=LIMIT_MS, viewport=screen)


async def press(page: Page, what: str) -> None:
    """Press a button; a dialog that is over has two of the same name, a cross and one below."""
    await page.get_by_role("button", name=what, exact=True).last.click()


async def reads(page: Page, words: str) -> None:
    """Wait until a person reads this."""
    await page.get_by_text(words).first.wait_for()


def field(page: Page, number: int) -> Locator:
    """Return a field of the form that is open."""
    return page.locator("ha-form input").nth(number)


async def connected(house: House, state: str = "on") -> None:
    """Wait until Home Assistant says that the brain is connected, or not."""

    async def says_so() -> bool:
        return bool((await house.demo.rest("GET", f"states/{CONNECTION}"))["state"] == state)

    await until(says_so, f"{CONNECTION} is {state}", LIMIT_S)


async def say(house: House, words: str) -> str:
    """Return what KITTY answers to somebody."""
    about = {"text": words, "language": "en", "agent_id": await house.agent()}
    answer = await house.demo.rest("POST", "conversation/process", about)
    return str(answer["response"]["speech"]["plain"]["speech"])


async def new_token(house: House, scope: str) -> str:
    """Return a token that was made on the machine of the brain, in the words that the forms tell."""
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "brain_server", "token", "create", "home-assistant", scope),
        *("--data-dir", str(house.place / "brain")),
        stdout=asyncio.subprocess.PIPE,
    )
    token, _ = await made.communicate()
    return token.decode().strip()


async def end_first_token(house: House, admin: str) -> None:
    """End the token that Home Assistant has."""
    headers = {"Authorization": f"Bearer {admin}"}
    api = f"{house.brain_url}/api/v1"
    async with house.session.get(f"{api}/tokens.list", headers=headers) as response:
        known = (await response.json())["data"]["items"]
    (first,) = (one["id"] for one in known if one["name"] == "first")
    order = {"action": "tokens.revoke", "params": {"token_id": first}}
    async with house.session.post(f"{api}/actions", json=order, headers=headers) as response:
        response.raise_for_status()


async def start_brain(house: House, folder: Path, port: int) -> tuple[Process, str]:
    """Start a brain and return it with its address, once it answers."""
    url = f"http://127.0.0.1:{port}"
    brain = Process(
        "Another brain",
        [
            *(sys.executable, "-m", "brain_server", "serve"),
            *("--data-dir", str(folder), "--port", str(port)),
        ],
        house.place / f"brain-{port}.log",
    )
    await brain.start()

    async def answers() -> bool:
        brain.require_alive()
        try:
            health = house.session.get(f"{url}/health", timeout=ClientTimeout(total=5))
            async with health as response:
                return response.ok
        except ClientError, TimeoutError:
            return False

    await until(answers, f"The brain in {folder}", LIMIT_S)
    return brain, url


async def test_a_token_that_has_ended_is_replaced_where_attention_is_asked_for(
    home: House, browser: Browser
) -> None:
    """A wrong one and one for something else are named as such; nobody is told that the brain does not answer."""
    admin, right = await new_token(home, "admin"), await new_token(home, "integration")
    await end_first_token(home, admin)
    await home.brain.stop()
    await home.start_brain()
    async with at(browser, home, "config/repairs") as page:
        await page.get_by_text("Authentication expired for KITTY").first.click()
        await reads(page, "no longer knows the token of Home Assistant")
        for token, answer in (
            ("wrong", "The brain does not know this token"),
            (admin, "it was not made for Home Assistant"),
            (f" {right} ", "The new token works"),
        ):
            await field(page, 0).fill(token)
            await press(page, "Submit")
            await reads(page, answer)
        # No page is opened after this: Home Assistant goes back in its history when a dialog is closed.
        await press(page, "Close")
        await reads(page, "There are currently no repairs")
    await connected(home)


async def test_a_brain_that_is_away_is_said_to_be_and_comes_back_by_itself(
    home: House, browser: Browser
) -> None:
    """The panel, the entities and the voice say so; what needs no brain goes on."""
    async with at(browser, home, "kitty/approvals") as page:
        await reads(page, "Nothing waits for people")
        note = page.locator("kitty-panel .note", has_text="The brain is not connected")
        await home.brain.stop()
        await note.wait_for()
        await connected(home, "off")
        assert "The brain is not connected" in await say(home, "start the bracket")
        assert await say(home, "turn on the bench lamp") == "Turned on Bench lamp."
        await home.start_brain()
        await note.wait_for(state="hidden")
        await connected(home)
    assert "not connected" not in await say(home, "start the bracket")


async def test_a_brain_that_has_moved_is_found_again_through_the_repair(
    home: House, browser: Browser
) -> None:
    """An address where nobody is and the address of another brain are refused, each in words of its own."""
    await home.brain.stop()
    other, other_url = await start_brain(home, home.place / "other", free_port(8160))
    moved, moved_url = await start_brain(home, home.place / "brain", free_port(8170))
    reload = f"config/config_entries/entry/{home.entry_id}/reload"
    try:
        await home.demo.rest("POST", reload)
        async with at(browser, home, "config/repairs") as page:
            await page.get_by_text("the brain does not answer").first.click()
            await reads(page, "Nothing answers at")
            await press(page, "Submit")
            await reads(page, "Only the same brain is accepted")
            theirs = (home.place / "other" / "token").read_text("ascii").strip()
            for url, token, answer in (
                ("127.0.0.1:9", "", "Check that it runs"),
                (other_url, "", "does not know the token that Home Assistant has"),
                (other_url, theirs, "Another brain answers here"),
                (moved_url, "", "The brain answers at its new address"),
            ):
                await field(page, 0).fill(url)
                await field(page, 1).fill(token)
                await press(page, "Submit")
                await reads(page, answer)
            await press(page, "Close")
            await reads(page, "There are currently no repairs")
        await connected(home)
    finally:
        await moved.stop()
        await other.stop()
        await home.start_brain()
    back = {"url": home.brain_url}
    done = await home.demo.flow("", "kitty", back, entry_id=home.entry_id)
    assert done["reason"] == "reconfigure_successful"
