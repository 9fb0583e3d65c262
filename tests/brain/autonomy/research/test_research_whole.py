"""Research with everything real but the far ends: a model behind its API, and each kind of database."""

from collections.abc import AsyncIterator, Iterator
import json
from pathlib import Path
from typing import Any, override

from aiohttp import ClientSession
import pytest

from brain_server.autonomy.research import ResearchId
from brain_server.storage import Database, tables
from tests.brain.autonomy.research.library import (
    ADA,
    ONE,
    QUESTION,
    TWO,
    Library,
    Web,
    limits,
    notes,
    plan,
    report,
    steps,
)
from tests.brain.gatehouse import Clock
from tests.brain.stage import NEAR, Scripts
from tests.standins.model_api import Reply
from tests.standins.openai_api import OpenAIApi


class Reader(OpenAIApi):
    """An API whose model reads well."""

    @override
    def events(self, body: Any) -> Iterator[bytes]:
        """Answer in the shape that is asked for."""
        shape = body["response_format"]["json_schema"]["schema"]["properties"]
        shown = json.dumps(body["messages"], ensure_ascii=False)
        quote = ONE if ONE in shown else TWO
        written = {
            "queries": plan("petg bed"),
            "notes": notes((quote, "so it is")),
            "findings": report(("It is 80 °C.", [1]), ("Or 75 °C.", [2])),
        }
        self.reply = Reply(pieces=(written[next(iter(shape))],), tokens=(1_000, 100))
        return super().events(body)


async def test_a_paid_model_behind_its_api_researches_for_what_it_costs(
    library: Library, search: str
):
    async with Reader.serve() as api:
        await library.furnish(search=search)
        options = {"base_url": f"{api.url}/v1", "model": "gpt-test", "api_key": api.key}
        await library.put(
            {
                "provider": "openai_compatible",
                "name": "Paid",
                "options": options,
                "tier": "frontier",
                "price_in": 2.0,
                "price_out": 10.0,
            }
        )
        row = await library.result(budget=0.5)
        asked = [body for body in api.asked if body]
    assert (row["answered"], limits(row)) == ("yes", [])
    assert row["cost"] == pytest.approx(4 * (1_000 * 2 + 100 * 10) / 1_000_000)
    assert ["tools" in body for body in asked] == [False] * 4


@pytest.fixture
async def both(
    database_url: str, clock: Clock, tmp_path: Path, web: Web, scripts: Scripts
) -> AsyncIterator[Library]:
    """Give a library on each kind of database in turn."""
    del scripts
    database = Database(database_url, tables.brain, name="brain", durable=False)
    await database.open()
    async with ClientSession() as session:
        made = Library(database, clock, session, tmp_path, web)
        await made.start()
        yield made
        await made.stop()
    await database.close()


async def test_it_works_on_each_kind_of_database(both: Library, search: str):
    await both.furnish(search=search, near=True, far=True)
    row = await both.result(budget=1.0)
    assert (row["status"], row["answered"], len(row["notes"])) == ("completed", "yes", 2)
    assert [one["number"] for one in row["sources"]] == [1, 2]
    assert {status for _, status in steps(row)} == {"completed"}
    await both.hold()
    asked = await both.ask(question=f"{QUESTION} And ABS?")
    cancelled = await both.research.cancel(ADA, ResearchId(research_id=asked))
    assert cancelled["status"] == "cancelled"
    assert NEAR["name"] in [model.row.name for model in both.models.all()]
