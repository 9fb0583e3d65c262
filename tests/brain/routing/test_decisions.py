"""The list of decisions, and what a conversation cost."""

from collections.abc import AsyncIterator
import itertools
from typing import Any

import pytest
from sqlalchemy import insert

from brain_server.commands import SYSTEM
from brain_server.routing.decisions import ConversationId, Decisions, DecisionsPage, Times
from brain_server.storage import Database, tables


class Book:
    """Decisions that a test writes, and the list of them."""

    def __init__(self, database: Database) -> None:
        """Start empty."""
        self.database = database
        self.decisions = Decisions(database)
        self._numbers = itertools.count(1)

    async def write(self, **columns: Any) -> str:
        """Write one decision; returns its id."""
        number = next(self._numbers)
        row = {
            "id": f"{number:032}",
            "conversation_id": "c",
            "request_id": f"r{number}",
            "input_hash": "0" * 64,
            "tier": "local",
            "confidence": 0.9,
            "latency_ms": 12.5,
            "reason": "rule",
            "created_at": 1000.0 + number,
        } | columns
        query = insert(tables.decisions).values(row)
        await self.database.write(lambda connection: connection.execute(query))
        return row["id"]

    async def ids(self, **page: Any) -> list[str]:
        """Return the ids of a part of the list."""
        found = await self.decisions.list(SYSTEM, DecisionsPage(**page))
        return [row["id"] for row in found["items"]]


@pytest.fixture
async def book(database_url: str) -> AsyncIterator[Book]:
    """Give an empty book, in a database of each kind."""
    database = Database(database_url, tables.brain, name="brain", durable=False)
    await database.open()
    yield Book(database)
    await database.close()


async def test_decisions_are_listed_oldest_first_in_pages(book: Book) -> None:
    """With a cursor to go on."""
    ids = [await book.write() for _ in range(3)]
    first = await book.decisions.list(SYSTEM, DecisionsPage(limit=2))
    assert [row["id"] for row in first["items"]] == ids[:2]
    assert await book.ids(cursor=first["cursor"]) == ids[2:]


async def test_a_decision_tells_all_but_what_was_said(book: Book) -> None:
    """Not even a hash of it, which short words could be guessed from."""
    await book.write(tier="frontier", cost=0.02, model="m", cached=True, stages={"recall": 1.5})
    [row] = (await book.decisions.list(SYSTEM, DecisionsPage()))["items"]
    assert row.keys() == {column.name for column in tables.decisions.c} - {"input_hash"}
    assert (row["tier"], row["cost"], row["cached"]) == ("frontier", 0.02, True)
    assert row["stages"] == {"recall": 1.5}


async def test_decisions_can_be_found(book: Book) -> None:
    """By conversation, by request, by time."""
    ids = [
        await book.write(conversation_id="a", request_id="x"),
        await book.write(conversation_id="b", request_id="x"),
        await book.write(conversation_id="b", request_id="y"),
    ]
    assert await book.ids(conversation_id="b") == ids[1:]
    assert await book.ids(request_id="x") == ids[:2]
    assert await book.ids(since=1002.0) == ids[1:]


async def test_what_a_conversation_cost_is_the_sum_of_its_rows(book: Book) -> None:
    """To the last millionth, though no float can carry a tenth; those of others do not count."""
    for _ in range(10):
        await book.write(tier="frontier", cost=0.1, tokens_in=10, tokens_out=2)
    await book.write(tier="local", cached=True)
    await book.write(conversation_id="other", cost=5.0)
    assert await book.decisions.summary(SYSTEM, ConversationId(conversation_id="c")) == {
        "conversation_id": "c",
        "decisions": 11,
        "cost": 1.0,
        "tokens_in": 100,
        "tokens_out": 20,
        "tiers": [
            {
                "tier": "frontier",
                "decisions": 10,
                "cost": 1.0,
                "tokens_in": 100,
                "tokens_out": 20,
            },
            {"tier": "local", "decisions": 1, "cost": 0.0, "tokens_in": 0, "tokens_out": 0},
        ],
    }


async def test_a_conversation_that_is_not_known_cost_nothing(book: Book) -> None:
    """It is no error to ask."""
    summary = await book.decisions.summary(SYSTEM, ConversationId(conversation_id="never"))
    assert (summary["decisions"], summary["cost"], summary["tiers"]) == (0, 0.0, [])


# -- figures ------------------------------------------------------------------------------------------

TURN = {"stages": {"answer": 1.0}}


async def test_answers_are_counted_by_day_and_tier(book: Book) -> None:
    """With how many of them came from the cache; what was before the first day does not count."""
    await book.write(created_at=99.0, **TURN)
    await book.write(created_at=100.0, **TURN)
    await book.write(created_at=199.9, cached=True, **TURN)
    await book.write(created_at=200.0, tier="frontier", **TURN)
    await book.write(created_at=5000.0, **TURN)
    found = await book.decisions.figures(SYSTEM, Times(starts=[100.0, 200.0]))
    assert found["days"] == [
        {"start": 100.0, "tier": "local", "answers": 2, "cached": 1},
        {"start": 200.0, "tier": "frontier", "answers": 1, "cached": 0},
        {"start": 200.0, "tier": "local", "answers": 1, "cached": 0},
    ]


async def test_how_fast_a_tier_is_are_times_that_it_really_took(book: Book) -> None:
    """The one in which half had come, and the one in which 99 of a hundred had; the cache is no tier's merit."""
    for number in range(1, 101):
        await book.write(latency_ms=float(number), **TURN)
    await book.write(latency_ms=0.1, cached=True, **TURN)
    await book.write(tier="frontier", latency_ms=800.0, **TURN)
    found = await book.decisions.figures(SYSTEM, Times(starts=[0.0]))
    assert found["tiers"] == [
        {"tier": "frontier", "answers": 1, "p50_ms": 800.0, "p99_ms": 800.0},
        {"tier": "local", "answers": 100, "p50_ms": 50.0, "p99_ms": 99.0},
    ]


async def test_a_tier_that_was_only_tried_has_answered_nothing(book: Book) -> None:
    """The attempts on the way to an answer are rows of their own."""
    await book.write(tier="mcp", reason="not_sure", stages=None)
    found = await book.decisions.figures(SYSTEM, Times(starts=[0.0]))
    assert found == {"days": [], "tiers": []}


async def test_an_excuse_is_no_answer(book: Book) -> None:
    """No model, no money: nobody is sure of that at all, and it takes no time."""
    await book.write(confidence=0.0, reason="no_model", latency_ms=0.1, **TURN)
    found = await book.decisions.figures(SYSTEM, Times(starts=[0.0]))
    assert found == {"days": [], "tiers": []}
