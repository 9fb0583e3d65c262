"""The app's page: to whom it is shown, what it tells, and what may be done there."""

from collections.abc import AsyncIterator
import logging
import re
from typing import Any

from aiohttp import ClientSession, web
import pytest

from brain_server.addon.pages import Pages
from brain_server.addon.texts import LANGUAGES, language_of
from tests.brain.addon.told import Brain, write

HERE = "127.0.0.1"
ADA = {"X-Remote-User-Id": "ada"}


class Browser:
    """Whoever looks at the page, by way of the Supervisor."""

    def __init__(self, session: ClientSession, url: str) -> None:
        """Take where the page is."""
        self._session = session
        self._url = url

    async def open(
        self, path: str, language: str = "en", method: str = "GET", **more: Any
    ) -> tuple[int, str]:
        """Return the status and the text of a page."""
        headers = {"Accept-Language": language} | more.pop("headers", {})
        async with self._session.request(
            method, self._url + path, headers=headers, **more
        ) as answer:
            return answer.status, await answer.text()

    async def press(self, headers: dict[str, str] | None = None, **form: str) -> tuple[int, str]:
        """Send a form of the page about pairing."""
        _, text = await self.open("/pairing")
        found = re.search(r"name=stamp value='([^']+)'", text)
        filled = {"stamp": found[1] if found else ""} | form
        return await self.open(
            "/pairing", method="POST", data=filled, headers=ADA if headers is None else headers
        )


@pytest.fixture
def brain() -> Brain:
    """Return a brain that is well."""
    return Brain()


async def served(brain: Brain, peer: str) -> AsyncIterator[Browser]:
    """Serve the page to one address."""
    app = web.Application()
    Pages(brain.known(), brain.lines, peer).add_routes(app.router)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HERE, 0).start()
    async with ClientSession() as session:
        yield Browser(session, f"http://{HERE}:{runner.addresses[0][1]}")
    await runner.cleanup()


@pytest.fixture
async def browser(brain: Brain) -> AsyncIterator[Browser]:
    """Return somebody who comes by the Supervisor."""
    async for one in served(brain, HERE):
        yield one


@pytest.fixture
async def stranger(brain: Brain) -> AsyncIterator[Browser]:
    """Return somebody who does not."""
    async for one in served(brain, "172.30.32.2"):
        yield one


@pytest.mark.parametrize(
    ("path", "method"),
    [("/", "GET"), ("/logs", "GET"), ("/pairing", "GET"), ("/pairing", "POST")],
)
async def test_a_stranger_sees_nothing(stranger: Browser, path: str, method: str) -> None:
    """Whatever they say of themselves."""
    status, _ = await stranger.open(
        path, method=method, headers=ADA | {"X-Forwarded-For": "172.30.32.2"}
    )
    assert status == 403


async def test_a_brain_that_is_well_says_so(browser: Browser) -> None:
    """With each part, and what is off is not ill."""
    status, text = await browser.open("/")
    assert status == 200
    assert "Everything works" in text
    assert re.findall(r"<td class=good>(\w+)</td>", text) == ["works", "off"]
    assert "<td>connected</td>" in text


async def test_a_part_that_is_ill_says_what_it_has(brain: Brain, browser: Browser) -> None:
    """As text, whatever it is."""
    brain.parts["one"] = {"ok": False, "detail": "<script>alert(1)</script>"}
    _, text = await browser.open("/")
    assert "Something does not work" in text
    assert "<td class=bad>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("connected", "paired", "word"),
    [
        (True, True, "connected"),
        (False, True, "paired, but not connected now"),
        (False, False, "not paired yet"),
    ],
)
async def test_it_tells_how_home_assistant_is(
    brain: Brain, browser: Browser, connected: bool, paired: bool, word: str
) -> None:
    """There, away, or not known yet."""
    brain.connected, brain.paired = connected, paired
    _, text = await browser.open("/")
    assert f"<td>{word}</td>" in text


async def test_the_log_is_shown_without_secrets(brain: Brain, browser: Browser) -> None:
    """From its information on, the newest first, as text."""
    write(brain)
    _, text = await browser.open("/logs")
    assert re.findall(r"</span> <span>(.+?)</span></li>", text) == [
        "It broke (ValueError: the number)",
        "&lt;b&gt;Careful&lt;/b&gt;",
        "All is well, token=***",
    ]
    assert "devices</span>" in text


@pytest.mark.parametrize(
    ("level", "lines"), [("all_lines", 4), ("from_warning", 2), ("from_error", 1), ("nonsense", 3)]
)
async def test_the_log_is_shown_from_a_level_on(
    brain: Brain, browser: Browser, level: str, lines: int
) -> None:
    """A level that there is not is the usual one."""
    write(brain)
    _, text = await browser.open(f"/logs?level={level}")
    assert text.count("<li>") == lines


async def test_a_log_without_lines_says_so(browser: Browser) -> None:
    """And is no empty page."""
    _, text = await browser.open("/logs")
    assert "There is nothing to show at this level." in text


async def test_the_page_about_pairing_shows_no_secret_and_who_it_is(browser: Browser) -> None:
    """Its name and the fingerprint of its key; a name is text."""
    _, text = await browser.open("/pairing")
    assert "&lt;b&gt;brain&lt;/b&gt;" in text
    assert "<td>6668 7aad f862 bd77 6c8f c18b 8e9f 8e20</td>" in text
    assert "has been told where this brain is" in text


async def test_a_brain_that_nobody_knows_tells_how_to_pair(brain: Brain, browser: Browser) -> None:
    """There is nothing to forget, and why it is not found is told."""
    brain.paired = brain.connected = brain.announced = False
    _, text = await browser.open("/pairing")
    assert "Settings → Devices &amp; services" in text.replace("& services", "&amp; services")
    assert "could not be told where this brain is" in text
    assert "value=forget" not in text


async def test_a_person_has_it_announced_again(brain: Brain, browser: Browser) -> None:
    """By a button."""
    status, text = await browser.press(do="announce")
    assert (status, brain.done) == (200, ["announce"])
    assert "It is being announced again." in text


async def test_a_person_who_is_sure_has_home_assistant_forgotten(
    brain: Brain, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """And is named in the log."""
    brain.connected = False
    with caplog.at_level(logging.WARNING):
        status, text = await browser.press(do="forget", sure="yes")
    assert (status, brain.done) == (200, ["unpair"])
    assert "This brain is no longer paired." in text
    assert "User ada has the brain forget its Home Assistant" in caplog.text


async def test_a_home_assistant_that_is_there_is_not_forgotten(
    brain: Brain, browser: Browser
) -> None:
    """Anybody of its people may come here, whom it would not let take KITTY away."""
    _, text = await browser.open("/pairing")
    assert "value=forget" not in text
    status, text = await browser.press(do="forget", sure="yes")
    assert (status, brain.done) == (200, [])
    assert "remove KITTY there first" in text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"do": "forget"}, "Tick the box first."),
        ({"do": "dance", "sure": "yes"}, "Tick the box first."),
        ({"do": "forget", "sure": "yes", "stamp": "guess"}, "This page was too old"),
        ({"do": "forget", "sure": "yes", "stamp": "é"}, "This page was too old"),
    ],
)
async def test_what_nobody_was_sure_of_is_not_done(
    brain: Brain, browser: Browser, form: dict[str, str], said: str
) -> None:
    """Also what another page of the house sent."""
    brain.connected = False
    status, text = await browser.press(**form)
    assert (status, brain.done) == (200, [])
    assert said in text


async def test_whoever_is_not_logged_in_changes_nothing(brain: Brain, browser: Browser) -> None:
    """The Supervisor names nobody then."""
    status, _ = await browser.press(headers={}, do="announce")
    assert (status, brain.done) == (403, [])


@pytest.mark.parametrize("path", ["/", "/logs", "/pairing"])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_page_speaks_the_language_of_who_looks(
    browser: Browser, path: str, language: str
) -> None:
    """All of it, and says which it is."""
    _, text = await browser.open(path, f"{language}-CH,{language};q=0.9,en;q=0.8")
    assert f"<html lang={language}>" in text
    assert LANGUAGES[language]["logs"] in text


def test_every_language_has_every_text() -> None:
    """And no other."""
    assert {frozenset(texts) for texts in LANGUAGES.values()} == {frozenset(LANGUAGES["en"])}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("fr-CA, en;q=0.5", "fr"),
        ("nl, de;q=0.7", "de"),
        ("DE-at", "de"),
        ("", "en"),
        ("*", "en"),
    ],
)
def test_the_language_is_the_first_that_is_known(accepted: str, language: str) -> None:
    """English, where none is."""
    assert language_of(accepted) == language


async def test_the_browser_is_told_to_run_nothing_and_to_show_it_nowhere_else(
    browser: Browser,
) -> None:
    """But in Home Assistant itself."""
    async with browser._session.get(f"{browser._url}/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
