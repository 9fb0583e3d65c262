"""Answers that are kept: quick for who asks again, never stale, never of somebody else."""

import asyncio
from collections.abc import AsyncIterator
import time
from typing import Any

import pytest
from sqlalchemy import select

from brain_server import metrics
from brain_server.commands import Scope, collect, prepare
from brain_server.errors import InvalidRequest, KittyError, ProviderError
from brain_server.memory import cache as module
from brain_server.memory.cache import Answers, Cached, scope_of
from brain_server.storage import Database
from brain_server.storage.tables import cached
from tests.brain.gatehouse import Clock
from tests.brain.home import until
from tests.brain.memory.conftest import Place, person
from tests.brain.memory.models import Hashing

ADA = scope_of(person="ada", language="en", area="shop", prompt=3)
BOB = scope_of(person="bob", language="en", area="shop", prompt=3)
QUESTION = "How tall is the Eiffel tower?"
AGAIN = "Can you tell me how tall the Eiffel tower is?"
ANSWER = {"text": "330 metres", "tier": "frontier"}


class Shelf:
    """Answers, and what surrounds them."""

    def __init__(self, place: Place, most: int = 1_000_000) -> None:
        self.place = place
        self.answers = self.made(most)

    def made(self, most: int = 1_000_000) -> Answers:
        place = self.place
        self.answers = Answers(
            place.database, place.embedder, place.tasks, place.clock, most_bytes=most
        )
        return self.answers

    async def keep(self, text: str = QUESTION, scope: str = ADA, **more: Any) -> str | None:
        given = {"topic": "general", "answer": ANSWER} | more
        topic, answer = given.pop("topic"), given.pop("answer")
        return await self.answers.keep(scope, topic, self.place.meaning(text), answer, **given)

    async def find(self, text: str = QUESTION, scope: str = ADA, **more: Any) -> Cached | None:
        return await self.answers.find(scope, self.place.meaning(text), **more)

    async def ready(self) -> None:
        """Wait until it is known how near is near enough."""
        await self.keep("calibration of words")
        await self.find("words of calibration")
        for task in list(self.place.tasks._tasks):
            if task.get_name() == "calibration":
                await task
        await self.run("cache.clear", all=True)
        self.answers.hits = self.answers.misses = 0

    async def run(self, action: str, scope: Scope = Scope.CONTROL, **params: Any) -> Any:
        caller = person("ada", scope)
        spec = collect(self.answers)[action]
        return await spec.run(caller, prepare(spec, caller, params))


@pytest.fixture
async def shelf(place: Place) -> AsyncIterator[Shelf]:
    """Give an empty cache that knows its model."""
    made = Shelf(place)
    await made.ready()
    return made


async def test_the_same_question_finds_its_answer_at_once(shelf: Shelf) -> None:
    key = await shelf.keep()
    shelf.place.clock.advance(60)
    assert await shelf.find("how tall is the eiffel tower") == Cached(
        key=str(key), question=QUESTION, answer=ANSWER, age=60.0, score=1.0
    )


async def test_the_same_words_need_no_model(shelf: Shelf) -> None:
    await shelf.keep()
    runs = shelf.place.embedder.runs
    await shelf.find()
    assert shelf.place.embedder.runs == runs


async def test_a_question_of_other_facts_needs_no_model_either(shelf: Shelf) -> None:
    await shelf.keep()
    runs = shelf.place.embedder.runs
    assert await shelf.find("How tall is the tower of Pisa?") is None
    assert shelf.place.embedder.runs == runs


async def test_the_same_question_in_other_words_finds_it(shelf: Shelf) -> None:
    await shelf.keep()
    found = await shelf.find(AGAIN)
    assert found is not None
    assert (found.answer, found.question) == (ANSWER, QUESTION)
    assert module.LEAST <= found.score < 1


async def test_other_words_can_be_left_out(shelf: Shelf) -> None:
    await shelf.keep()
    assert await shelf.find(AGAIN, similar=False) is None
    assert await shelf.find(similar=False) is not None


async def test_the_nearest_of_several_is_given(shelf: Shelf) -> None:
    await shelf.keep("What is the best way to clean a brass nozzle?", answer="one")
    await shelf.keep("how can I clean a brass nozzle", answer="other")
    found = await shelf.find("How can I clean the brass nozzle?")
    assert found is not None
    assert found.answer == "other"


async def test_the_same_facts_in_another_meaning_find_nothing(shelf: Shelf) -> None:
    await shelf.keep("Tell me about it then, printer", answer="x")
    assert await shelf.find("so what are these printer things") is None


async def test_nobody_gets_the_answer_of_another(shelf: Shelf) -> None:
    await shelf.keep()
    assert await shelf.find(scope=BOB) is None
    assert await shelf.find(AGAIN, scope=BOB) is None


@pytest.mark.parametrize(
    "changed", [{"person": "bob"}, {"language": "de"}, {"area": None}, {"prompt": 4}]
)
def test_each_part_of_a_scope_makes_another_one(changed: dict[str, Any]) -> None:
    parts = {"person": "ada", "language": "en", "area": "shop", "prompt": 3}
    assert scope_of(**parts | changed) != scope_of(**parts)


def test_the_order_of_the_parts_of_a_scope_does_not_matter() -> None:
    assert scope_of(a=1, b={"x": 1, "y": 2}) == scope_of(b={"y": 2, "x": 1}, a=1)


@pytest.mark.parametrize(("kind", "seconds"), [("answer", 1800), ("list", 300)])
async def test_an_answer_holds_for_its_time(shelf: Shelf, kind: str, seconds: float) -> None:
    await shelf.keep(kind=kind)
    shelf.place.clock.advance(seconds - 1)
    assert await shelf.find() is not None
    shelf.place.clock.advance(1)
    assert await shelf.find() is None
    assert await shelf.find(AGAIN) is None


async def test_an_old_answer_is_not_served_to_other_words(shelf: Shelf) -> None:
    await shelf.keep()
    shelf.place.clock.advance(1800)
    assert await shelf.find(AGAIN) is None
    assert (await shelf.run("cache.status"))["entries"] == 0


@pytest.mark.parametrize("kind", ["state", "command", ""])
async def test_what_a_device_shows_is_not_kept(shelf: Shelf, kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await shelf.keep(kind=kind)
    assert caught.value.code == "not_cacheable"
    assert await shelf.find() is None


async def test_an_old_answer_is_not_served_while_new_ones_are_written(shelf: Shelf) -> None:
    await shelf.keep()
    for at in range(60):
        shelf.place.clock.advance(60)
        await shelf.keep(f"another question number {at}")
        assert (await shelf.find() is None) == (at >= 29)


async def test_a_clock_that_was_set_back_makes_no_answer_young(shelf: Shelf) -> None:
    await shelf.keep()
    shelf.place.clock.advance(-10)
    assert await shelf.find() is None


async def test_a_new_answer_replaces_the_old_one(shelf: Shelf) -> None:
    await shelf.keep()
    shelf.place.clock.advance(1000)
    await shelf.keep(answer="newer")
    shelf.place.clock.advance(1000)
    found = await shelf.find()
    assert found is not None
    assert found.answer == "newer"
    assert (await shelf.run("cache.status"))["entries"] == 1


async def test_who_changes_an_answer_changes_only_their_own(shelf: Shelf) -> None:
    await shelf.keep()
    found = await shelf.find()
    assert found is not None
    found.answer["text"] = "spoilt"
    again = await shelf.find()
    assert again is not None
    assert again.answer == ANSWER


# -- what answers depend on ---------------------------------------------------------------------------


async def test_a_touched_topic_is_void_and_the_others_hold(shelf: Shelf) -> None:
    await shelf.keep(topic="memory:ada")
    await shelf.keep("What is PETG?")
    shelf.answers.touch("memory:ada")
    shelf.answers.touch("never heard of")
    assert await shelf.find() is None
    assert await shelf.find(AGAIN) is None
    assert await shelf.find("What is PETG?") is not None


async def test_a_list_is_given_again_for_300_seconds_and_not_after_a_write(shelf: Shelf) -> None:
    """The second time it is a hit; what is written to what it is about makes it void at once."""
    await shelf.keep(topic="stock", kind="list")
    shelf.place.clock.advance(299)
    assert await shelf.find() is not None
    shelf.answers.touch("stock")
    assert await shelf.find() is None
    await shelf.keep(topic="stock", kind="list", answer="newer")
    shelf.place.clock.advance(299)
    found = await shelf.find()
    assert found is not None
    assert found.answer == "newer"
    status = await shelf.run("cache.status", Scope.READ)
    assert (status["hits"], status["misses"]) == (2, 1)


async def test_a_touched_topic_takes_new_answers(shelf: Shelf) -> None:
    await shelf.keep()
    shelf.answers.touch("general")
    await shelf.keep(answer="newer")
    found = await shelf.find()
    assert found is not None
    assert found.answer == "newer"


async def test_what_was_worked_out_before_the_touch_is_not_kept(shelf: Shelf) -> None:
    epoch = shelf.answers.epoch("general")
    shelf.answers.touch("general")
    assert await shelf.keep(epoch=epoch) is None
    assert await shelf.find() is None


async def test_a_touch_while_the_meaning_is_computed_voids_the_answer(shelf: Shelf) -> None:
    assert shelf.place.model is not None
    shelf.place.model.gate.clear()
    asked = shelf.place.model.asked
    before = len(asked)
    keeping = shelf.place.tasks.start("keep", shelf.keep())
    await until(lambda: len(asked) > before, "the question for its meaning")
    shelf.answers.touch("general")
    shelf.place.model.gate.set()
    assert await keeping is None


async def test_everything_that_was_cleared_meanwhile_is_not_kept(shelf: Shelf) -> None:
    epoch = shelf.answers.epoch("general")
    await shelf.run("cache.clear", all=True)
    assert await shelf.keep(epoch=epoch) is None


async def test_a_touch_takes_no_longer_for_many_answers(shelf: Shelf) -> None:
    shelf.made(100_000_000)
    took = []
    # Thrice: once the garbage of all the tests before may be collected meanwhile.
    for _ in range(3):
        for at in range(5_000):
            shelf.answers._put(entry(shelf, f"question {at} of many"))
        started = time.thread_time()
        shelf.answers.touch("general")
        took.append(time.thread_time() - started)
        assert (await shelf.run("cache.status"))["entries"] == 0
    assert min(took) < 0.005


def entry(shelf: Shelf, text: str) -> Any:
    """Return an entry as :meth:`Answers.keep` makes it, without asking a model."""
    now = shelf.place.clock()
    return module._Entry(
        key=module._key(ADA, text),
        scope=ADA,
        topic=shelf.answers._topic("general"),
        question=text,
        facts=module.facts(text),
        answer=b'"x"',
        embedder=None,
        vector=None,
        size=100,
        created_at=now,
        used_at=now,
        expires_at=now + 1800,
    )


async def test_what_is_void_leaves_the_memory_little_by_little(shelf: Shelf) -> None:
    for at in range(30):
        shelf.answers._put(entry(shelf, f"question {at} of many"))
    shelf.answers.touch("general")
    for _ in range(8):
        await shelf.find("something else")
    assert shelf.answers._entries == {}
    assert shelf.answers._alike == {}


# -- how much is kept -----------------------------------------------------------------------------------


async def test_what_was_not_used_for_longest_goes_first(place: Place) -> None:
    shelf = Shelf(place, most=8_000)
    await shelf.keep("question one")
    await shelf.keep("question two")
    for at in range(20):
        await shelf.find("question one")
        await shelf.keep(f"filler {at}")
    assert await shelf.find("question one") is not None
    assert await shelf.find("question two") is None
    status = await shelf.run("cache.status")
    assert 0 < status["bytes"] <= status["most_bytes"] == 8_000


async def test_an_answer_that_is_too_large_is_not_kept(place: Place) -> None:
    shelf = Shelf(place, most=8_000)
    assert await shelf.keep(answer="x" * 3_000) is None
    assert await shelf.find() is None


async def test_a_question_that_is_too_long_is_not_kept(shelf: Shelf) -> None:
    long = "why " * 600
    assert await shelf.keep(long) is None
    assert await shelf.find(long) is None


async def test_of_questions_that_say_the_same_only_some_are_kept(shelf: Shelf) -> None:
    for at in range(module.MOST_ALIKE + 5):
        await shelf.keep(f"{'so ' * (at + 1)}what is PETG")
    status = await shelf.run("cache.status")
    assert status["entries"] == module.MOST_ALIKE
    assert await shelf.find("so what is PETG", similar=False) is None


async def test_the_memory_of_answers_is_what_its_status_says(shelf: Shelf) -> None:
    await shelf.keep("What is PETG?", topic="memory:ada")
    await shelf.keep("What is PLA?", topic="memory:bob", kind="list")
    await shelf.keep("What is ABS?")
    await shelf.find("What is ABS?")
    await shelf.find("What is TPU?")
    status = await shelf.run("cache.status", Scope.READ)
    assert status.pop("bytes") > 3 * module.OVERHEAD
    assert status == {
        "entries": 3,
        "most_bytes": 1_000_000,
        "hits": 1,
        "misses": 1,
        "hit_ratio": 0.5,
        "topics": {"general": 1, "memory": 2},
        "similar": True,
    }


async def test_before_the_first_question_the_ratio_is_nothing(place: Place) -> None:
    status = await Shelf(place).run("cache.status")
    assert (status["hit_ratio"], status["entries"], status["similar"]) == (0.0, 0, False)


async def test_looks_are_counted_for_prometheus(shelf: Shelf) -> None:
    metrics.clear()
    await shelf.keep()
    await shelf.find()
    await shelf.find("something else")
    text = await asyncio.to_thread(metrics.render, {})
    assert 'kitty_cache_total{cache="answers",result="hit"} 1' in text
    assert 'kitty_cache_total{cache="answers",result="miss"} 1' in text


# -- clearing ---------------------------------------------------------------------------------------------


async def test_one_answer_can_be_cleared(shelf: Shelf) -> None:
    key = await shelf.keep()
    await shelf.keep("What is PETG?")
    assert await shelf.run("cache.clear", key=key) == {"cleared": 1}
    assert await shelf.run("cache.clear", key=key) == {"cleared": 0}
    assert await shelf.find() is None
    assert await shelf.find("What is PETG?") is not None


async def test_a_topic_can_be_cleared(shelf: Shelf) -> None:
    await shelf.keep(topic="web")
    await shelf.keep("What is PETG?")
    assert await shelf.run("cache.clear", topic="web") == {"cleared": 1}
    assert await shelf.run("cache.clear", topic="web") == {"cleared": 0}
    assert await shelf.find("What is PETG?") is not None


async def test_what_is_void_already_is_not_cleared_again(shelf: Shelf) -> None:
    key = await shelf.keep()
    shelf.answers.touch("general")
    assert await shelf.run("cache.clear", key=key) == {"cleared": 0}


async def test_everything_can_be_cleared(shelf: Shelf) -> None:
    await shelf.keep(topic="web")
    await shelf.keep("What is PETG?")
    assert await shelf.run("cache.clear", all=True) == {"cleared": 2}
    assert (await shelf.run("cache.status"))["bytes"] == 0


@pytest.mark.parametrize("params", [{}, {"key": "x", "all": True}, {"key": "x", "topic": "y"}])
async def test_to_clear_says_what(shelf: Shelf, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await shelf.run("cache.clear", **params)
    assert caught.value.code == "invalid_params"


async def test_a_token_that_only_reads_clears_nothing(shelf: Shelf) -> None:
    with pytest.raises(KittyError) as caught:
        await shelf.run("cache.clear", Scope.READ, all=True)
    assert caught.value.code == "scope_required"


# -- models -------------------------------------------------------------------------------------------------


async def test_without_a_model_only_the_same_words_find_an_answer(place: Place) -> None:
    place.model = None
    shelf = Shelf(place)
    await shelf.keep()
    assert await shelf.find() is not None
    assert await shelf.find(AGAIN) is None


async def test_until_it_is_known_how_near_is_near_only_the_same_words_find_it(
    place: Place,
) -> None:
    shelf = Shelf(place)
    await shelf.keep()
    assert await shelf.find(AGAIN) is None
    await shelf.ready()
    await shelf.keep()
    assert await shelf.find(AGAIN) is not None


class Squeezed(Hashing):
    """A model in whose space everything lies close together."""

    async def embed(self, texts: Any) -> Any:
        return [[3.0, *vector] for vector in await super().embed(texts)]


async def test_for_a_model_that_sees_everything_alike_the_line_lies_higher(place: Place) -> None:
    shelf = Shelf(place)
    await shelf.ready()
    place.model = Squeezed("house/squeezed")
    await shelf.ready()
    lines = shelf.answers._lines
    assert module.LEAST <= lines["house/hashing"] < 0.9 < lines["house/squeezed"] < 1


async def test_a_model_that_failed_to_tell_is_asked_again(place: Place) -> None:
    shelf = Shelf(place)
    assert place.model is not None
    await shelf.keep()
    place.model.error = ProviderError("provider_failed", "It broke")
    await shelf.ready()
    place.model.error = None
    await shelf.ready()
    await shelf.keep()
    assert await shelf.find(AGAIN) is not None


async def test_vectors_of_another_model_are_not_compared(shelf: Shelf) -> None:
    await shelf.keep()
    shelf.place.model = Hashing("house/other", width=64)
    await shelf.find(AGAIN)
    await shelf.place.embedder.embed("x")
    assert await shelf.find(AGAIN) is None
    assert await shelf.find() is not None


async def test_how_near_is_near_is_asked_of_the_model_that_gave_the_vectors(shelf: Shelf) -> None:
    """The other one was set up while the question was under way."""
    await shelf.keep()
    meaning = shelf.place.meaning(AGAIN)
    await meaning.vector()
    shelf.answers._lines |= {"house/hashing": 1.1, "house/other": module.LEAST}
    shelf.place.model = Hashing("house/other")
    assert await shelf.answers.find(ADA, meaning) is None


async def test_an_answer_that_comes_while_another_is_looked_for_stays(shelf: Shelf) -> None:
    await shelf.keep(answer="one")
    model = shelf.place.model
    assert model is not None
    model.gate.clear()
    asked = len(model.asked)
    finding = shelf.place.tasks.start("find", shelf.find(AGAIN))
    await until(lambda: len(model.asked) > asked, "the question for its meaning")
    shelf.place.clock.advance(1)
    question = shelf.place.meaning(AGAIN)
    question._is_known = True  # its words were asked for before
    await shelf.answers.keep(ADA, "general", question, "other")
    model.gate.set()
    await finding
    found = await shelf.find(AGAIN)
    assert found is not None
    assert found.answer == "other"


async def test_a_model_that_fails_is_a_miss(shelf: Shelf) -> None:
    await shelf.keep()
    assert shelf.place.model is not None
    shelf.place.model.error = ProviderError("provider_failed", "It broke")
    assert await shelf.find(AGAIN) is None
    assert await shelf.find() is not None


async def test_an_answer_that_was_kept_without_a_model_is_found_by_its_words(shelf: Shelf) -> None:
    assert shelf.place.model is not None
    shelf.place.model.error = ProviderError("provider_failed", "It broke")
    await shelf.keep()
    shelf.place.model.error = None
    assert await shelf.find(AGAIN) is None
    assert await shelf.find() is not None


# -- stops and starts ---------------------------------------------------------------------------------------


async def test_after_an_orderly_stop_answers_are_there_again(
    brain_database: Database, clock: Clock
) -> None:
    shelf = Shelf(Place(brain_database, clock))
    await shelf.ready()
    await shelf.keep()
    await shelf.answers.stop()
    shelf.made()
    await shelf.answers.start()
    clock.advance(60)
    found = await shelf.find()
    assert found is not None
    assert (found.answer, found.age) == (ANSWER, 60)
    await shelf.find("x")
    await shelf.find(AGAIN)
    for task in list(shelf.place.tasks._tasks):
        await task
    assert await shelf.find(AGAIN) is not None


async def test_answers_without_a_vector_survive_too(place: Place) -> None:
    place.model = None
    shelf = Shelf(place)
    await shelf.keep()
    await shelf.answers.stop()
    await shelf.made().start()
    assert await shelf.find() is not None


async def test_after_a_crash_no_answer_is_left(place: Place) -> None:
    shelf = Shelf(place)
    await shelf.keep()
    await shelf.answers.stop()
    await shelf.made().start()
    await shelf.made().start()
    assert await shelf.find() is None


async def test_what_no_longer_holds_is_not_written_down(shelf: Shelf) -> None:
    await shelf.keep("What is PETG?", kind="list")
    await shelf.keep("What is ABS?", topic="web")
    await shelf.keep("What is PLA?")
    shelf.place.clock.advance(301)
    shelf.answers.touch("web")
    await shelf.answers.stop()
    rows = await shelf.place.database.read(
        lambda connection: connection.execute(select(cached.c.question)).scalars().all()
    )
    assert rows == ["What is PLA?"]


async def test_what_became_old_while_the_brain_was_away_is_not_taken_up(shelf: Shelf) -> None:
    await shelf.keep()
    await shelf.answers.stop()
    shelf.place.clock.advance(1801)
    await shelf.made().start()
    assert (await shelf.run("cache.status"))["entries"] == 0


async def test_a_smaller_cache_takes_up_what_was_used_last(place: Place) -> None:
    shelf = Shelf(place)
    for at in range(10):
        place.clock.advance(1)
        await shelf.keep(f"question {at}")
    await shelf.answers.stop()
    await shelf.made(6_400).start()
    assert await shelf.find("question 9") is not None
    assert await shelf.find("question 0") is None
    entries = (await shelf.run("cache.status"))["entries"]
    for at in range(10, 9 + entries):
        await shelf.keep(f"question {at}")
    assert await shelf.find("question 8") is None
    assert await shelf.find("question 9") is not None
