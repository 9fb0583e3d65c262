"""Pages that were cited are read again: what they no longer say is no longer remembered."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web as http
import pytest

from brain_server.autonomy import rereading
from brain_server.autonomy.rereading import AGAIN, Rereading
from brain_server.autonomy.research import KEPT
from brain_server.capabilities import ALL_ON
from brain_server.commands import SYSTEM
from brain_server.memory import HOUSE
from brain_server.protocol import Json
from brain_server.routing.privacy import SetPrivacy
from brain_server.schedule import Run
from brain_server.storage import tables
from brain_server.storage.tables import new_id
from tests.brain.autonomy.research.library import ADA, ONE, QUESTION, TWO, Library, Web

CHANGED = "<p>We have moved. Our pages about beds are gone, please look elsewhere.</p>"


class Direct(Run):
    """A piece of work that nobody can take away, and that keeps its steps."""

    def __init__(self, library: Library) -> None:
        """Write as the library does."""
        self.write = library.database.write  # type: ignore[method-assign,assignment]  # the test puts its own in its place
        self.kept: dict[str, Json] = {}

    async def step(self, name: str, do: Callable[[], Awaitable[Json]]) -> Json:
        """Do it once."""
        if name not in self.kept:
            self.kept[name] = await do()
        return self.kept[name]


async def reread(library: Library, **more: Any) -> Json:
    """Read again what was cited."""
    run = more.get("run") or Direct(library)
    return await Rereading(library.database, library.parts).run(run, 0.0)


async def remembered(library: Library) -> list[str]:
    """Return what the house remembers."""
    return await library.memory.latest(HOUSE, 10)


@pytest.fixture
async def cited(library: Library, search: str) -> str:
    """Give a research of the house that two pages were cited in, a week ago."""
    await library.furnish(search=search, near=True)
    asked = await library.research.ask(QUESTION, 0, None, new_id())
    await library.ended(asked)
    library.clock.advance(AGAIN + 1)
    library.web.read.clear()
    return asked


async def test_pages_that_still_say_it_change_nothing(library: Library, cited: str):
    before = await remembered(library)
    assert await reread(library) == {"read": 2, "changed": 0, "could_not": []}
    row = await library.get(cited)
    assert [one["read_at"] for one in row["sources"]] == [library.clock.now] * 2
    assert (await remembered(library), row["limits"]) == (before, [])


async def test_what_a_page_no_longer_says_is_no_longer_remembered(
    library: Library, cited: str, web: Web
):
    web.pages["one.example"] = CHANGED
    found = await reread(library)
    assert (found["read"], found["changed"]) == (2, 1)
    row = await library.get(cited)
    assert ["changed_at" in one for one in row["sources"]] == [True, False]
    assert [one["code"] for one in row["limits"]] == ["pages_changed"]
    (text,) = await remembered(library)
    assert TWO in text
    assert "80 °C" not in text
    assert ONE in row["report"]


async def test_what_the_house_does_not_remember_is_not_remembered_anew(
    library: Library, cited: str, web: Web
):
    await library.memory.drop(HOUSE)
    web.pages["one.example"] = CHANGED
    assert (await reread(library))["changed"] == 1
    assert await remembered(library) == []
    assert (await library.get(cited))["limits"] != []


async def test_a_page_that_is_gone_says_nothing_any_more(library: Library, cited: str, web: Web):
    web.pages.clear()
    assert (await reread(library))["changed"] == 2
    assert await remembered(library) == []
    (limit,) = (await library.get(cited))["limits"]
    assert limit["text"].startswith("2 of the pages")


async def test_a_page_that_does_not_answer_has_not_changed(library: Library, cited: str, web: Web):
    async def broken(_request: http.Request) -> http.Response:
        return http.Response(status=503)

    web.pages["one.example"] = broken
    found = await reread(library)
    assert (found["read"], found["changed"]) == (1, 0)
    assert [one["url"] for one in found["could_not"]] == [web.address("one.example")]
    assert len(await remembered(library)) == 1


async def test_no_page_is_read_twice_in_a_week(library: Library, cited: str, web: Web):
    del cited
    await reread(library)
    web.read.clear()
    assert (await reread(library))["read"] == 0
    assert web.read == []
    library.clock.advance(AGAIN + 1)
    assert (await reread(library))["read"] == 2


async def test_a_second_try_reads_no_page_again(library: Library, cited: str, web: Web):
    run = Direct(library)
    await reread(library, run=run)
    library.clock.advance(AGAIN + 1)
    web.read.clear()
    await reread(library, run=run)
    assert (web.read, cited) == ([], cited)


async def test_only_so_many_pages_are_read_those_first_that_were_not_for_longest(
    library: Library, cited: str, web: Web, monkeypatch: pytest.MonkeyPatch
):
    del cited
    monkeypatch.setattr(rereading, "MOST", 1)
    read = []
    for _ in range(2):
        await reread(library)
        library.clock.advance(1)
        read += web.read
        web.read.clear()
    assert sorted(read) == ["one.example", "two.example"]


async def test_a_page_that_never_answers_takes_no_turn_of_another(
    library: Library, cited: str, web: Web, monkeypatch: pytest.MonkeyPatch
):
    async def broken(_request: http.Request) -> http.Response:
        return http.Response(status=503)

    monkeypatch.setattr(rereading, "MOST", 1)
    web.pages["one.example"] = web.pages["two.example"] = broken
    tried = []
    for _ in range(2):
        tried += [one["url"] for one in (await reread(library))["could_not"]]
        library.clock.advance(1)
    assert sorted(tried) == [web.address("one.example"), web.address("two.example")]
    assert not any("read_at" in one for one in (await library.get(cited))["sources"])


async def test_what_a_person_had_looked_up_is_theirs(library: Library, search: str, web: Web):
    await library.furnish(search=search, near=True)
    await library.ended(await library.ask(caller=ADA))
    library.clock.advance(AGAIN + 1)
    web.read.clear()
    assert (await reread(library))["read"] == 0
    assert web.read == []


async def test_nothing_is_read_where_nothing_may_leave_the_house(
    library: Library, cited: str, web: Web
):
    await library.privacy.set(SYSTEM, SetPrivacy(offline_mode=True))
    found = await reread(library)
    assert ([one["code"] for one in found["could_not"]], web.read) == (["offline_mode"] * 2, [])
    assert "read_at" not in (await library.get(cited))["sources"][0]


async def test_nothing_is_read_while_research_is_switched_off(
    library: Library, cited: str, web: Web
):
    class Off:
        def is_on(self, _name: str) -> bool:
            return False

        require = ALL_ON.require

    del cited
    parts: Any = library.parts
    object.__setattr__(parts, "switches", Off())
    assert await reread(library) == {"read": 0, "changed": 0, "could_not": []}
    assert web.read == []


async def test_no_other_page_is_read_once_research_is_switched_off(
    library: Library, cited: str, web: Web
):
    class Switch:
        on = True
        require = ALL_ON.require

        def is_on(self, _name: str) -> bool:
            return self.on

    async def turned_off(_request: http.Request) -> http.Response:
        switches.on = False
        return http.Response(text=f"{ONE} {TWO}", content_type="text/html")

    del cited
    switches = Switch()
    parts: Any = library.parts
    object.__setattr__(parts, "switches", switches)
    web.pages["one.example"] = web.pages["two.example"] = turned_off
    assert await reread(library) == {"read": 1, "changed": 0, "could_not": []}
    assert len(web.read) == 1


async def test_a_research_that_is_forgotten_while_its_pages_are_read_stays_forgotten(
    library: Library, cited: str, web: Web
):
    async def late(_request: http.Request) -> http.Response:
        library.clock.advance(KEPT)
        await library.research.tidy()
        return http.Response(text=CHANGED, content_type="text/html")

    del cited
    before = await remembered(library)
    web.pages["one.example"] = web.pages["two.example"] = late
    assert (await reread(library))["read"] == 2
    assert (await library.rows(tables.researches), await remembered(library)) == ([], before)


async def test_what_was_over_long_ago_is_forgotten_with_its_notes(library: Library, cited: str):
    library.clock.advance(KEPT - AGAIN - 10)
    await library.research.tidy()
    assert (await library.get(cited))["status"] == "completed"
    library.clock.advance(20)
    await library.research.tidy()
    assert await library.rows(tables.researches) == []
    assert await library.rows(tables.research_notes) == []


async def test_what_is_open_is_never_forgotten(library: Library, search: str):
    await library.furnish(search=search)
    await library.hold()
    asked = await library.ask()
    library.clock.advance(2 * KEPT)
    await library.research.tidy()
    assert (await library.get(asked))["status"] == "pending"
