"""What the questions of a house teach about when the near model is not enough."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
import json
from pathlib import Path

import pytest

from brain_server.observability import Tasks
from brain_server.routing import Attempt, Reply, TierName
from brain_server.routing.judge import SURE, squash, traits, weighed
from brain_server.routing.lessons import (
    BUCKETS,
    HALF_LIFE,
    MOST_TALKS,
    SAVE_EVERY,
    Learner,
    Lessons,
    features,
    is_correction,
    worth_of,
)
from brain_server.storage import Database, tables

VALVE = "close the irrigation valve"
OTHER_VALVE = "please open the irrigation valve"
LAMP = "turn on the kitchen lamp"


class Clock:
    """A clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def attempt(tier: TierName, sure: float = 0.9, reason: str = "answered", **more: bool) -> Attempt:
    """Return one model's try."""
    reply = Reply(text="So.", confidence=sure, reason=reason, **more)
    return Attempt(tier=tier, reply=reply, latency_ms=1.0)


NEAR = [attempt(TierName.LOCAL)]
UNSURE = attempt(TierName.LOCAL, 0.2, "low_confidence")
FAR_INSTEAD = [attempt(TierName.FRONTIER), UNSURE]


@asynccontextmanager
async def opened(folder: Path, clock: Clock) -> AsyncIterator[Lessons]:
    """Open the lessons of a brain, and close them in order."""
    database = Database(
        f"sqlite:///{folder / 'brain.db'}", tables.brain, name="brain", durable=False
    )
    await database.open()
    lessons = Lessons(database, clock)
    await lessons.start()
    try:
        yield lessons
    finally:
        await lessons.stop()
        await database.close()


@pytest.fixture
async def lessons(tmp_path: Path) -> AsyncIterator[Lessons]:
    """Give the lessons of a new house."""
    async with opened(tmp_path, Clock()) as one:
        yield one


def by_rules(text: str) -> float:
    """Return what everybody's rules say."""
    return squash(weighed(traits(text)))


def test_without_lessons_the_rules_speak():
    learner = Learner(now=0.0)
    assert learner.difficulty(VALVE, now=0.0) == by_rules(VALVE)


def test_what_failed_is_expected_to_fail_again_and_what_is_like_it():
    learner = Learner(now=0.0)
    for _ in range(10):
        learner.learn(VALVE, 1.0, now=0.0)
        learner.learn(LAMP, 0.0, now=0.0)
    assert learner.difficulty(VALVE, now=0.0) > 0.8
    assert learner.difficulty(OTHER_VALVE, now=0.0) > 2 * by_rules(OTHER_VALVE)
    assert learner.difficulty(LAMP, now=0.0) < by_rules(LAMP)


def test_what_is_not_taught_any_more_fades_so_that_the_near_model_is_tried_again():
    learner = Learner(now=0.0)
    for _ in range(10):
        learner.learn(VALVE, 1.0, now=0.0)
    steps = [learner.difficulty(VALVE, now=age * HALF_LIFE) for age in (0, 1, 3, 30)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == by_rules(VALVE)


def test_a_clock_that_is_set_back_revives_nothing():
    learner = Learner(now=5_000.0)
    learner.learn(VALVE, 1.0, now=5_000.0)
    before = learner.difficulty(VALVE, now=5_000.0)
    assert learner.difficulty(VALVE, now=0.0) == before


def test_no_words_are_kept():
    learner = Learner(now=0.0)
    learner.learn("my secret word is xylophone", 1.0, now=0.0)
    kept = json.dumps(learner.dump())
    assert "xylophone" not in kept
    assert all(name in traits("") or int(name) < BUCKETS for name in learner.dump()["weights"])


@pytest.mark.parametrize("text", ["", "!?", "на кухне", "x" * 100_000])
def test_any_words_have_features(text: str):
    assert features(text)["always"] == 1.0


@pytest.mark.parametrize(
    ("attempts", "worth"),
    [
        (NEAR, 0.0),
        (FAR_INSTEAD, 1.0),
        ([attempt(TierName.LOCAL, SURE - 0.1)], None),
        ([attempt(TierName.FRONTIER, 0.3), UNSURE], None),
        ([attempt(TierName.FRONTIER)], None),
        ([attempt(TierName.FRONTIER), attempt(TierName.LOCAL, 0.0, "provider_unreachable")], None),
        ([attempt(TierName.MCP), UNSURE], None),
        ([attempt(TierName.LOCAL, cached=True)], None),
        ([attempt(TierName.LOCAL, certain=False)], None),
    ],
)
def test_only_what_was_judged_teaches(attempts: Sequence[Attempt], worth: float | None):
    assert worth_of(attempts) == worth


@pytest.mark.parametrize(
    ("text", "corrects"),
    [
        ("no, that's wrong", True),
        ("That is not what I meant.", True),
        ("wrong", True),
        ("you are wrong", True),
        ("No, I meant the other one", True),
        ("that was not right", True),
        ("no", False),
        ("what is wrong with my printer?", False),
        ("is that the right one?", False),
        ("turn it off", False),
    ],
)
def test_a_correction_is_known_by_its_words(text: str, *, corrects: bool):
    assert is_correction(text) is corrects


async def test_a_turn_that_needed_the_dearer_model_teaches(lessons: Lessons):
    before = lessons.difficulty(VALVE)
    await lessons.note("talk", VALVE, FAR_INSTEAD)
    assert lessons.difficulty(VALVE) > before


async def test_a_turn_that_the_near_model_answered_teaches(lessons: Lessons):
    before = lessons.difficulty(VALVE)
    await lessons.note("talk", VALVE, NEAR)
    assert lessons.difficulty(VALVE) < before


async def test_a_turn_that_says_nothing_about_the_models_teaches_nothing(lessons: Lessons):
    before = lessons.difficulty(VALVE)
    await lessons.note("talk", VALVE, [attempt(TierName.FRONTIER)])
    assert lessons.difficulty(VALVE) == before


async def test_a_correction_teaches_about_the_question_before_it(lessons: Lessons):
    await lessons.note("talk", VALVE, NEAR)
    before = lessons.difficulty(VALVE)
    await lessons.note("talk", "no, that's wrong", NEAR)
    assert lessons.difficulty(VALVE) > before


async def test_a_correction_counts_once_and_in_its_own_conversation(lessons: Lessons):
    await lessons.note("talk", VALVE, NEAR)
    await lessons.note("other", "that's wrong", NEAR)
    before = lessons.difficulty(VALVE)
    await lessons.note("talk", "that's wrong", NEAR)
    once = lessons.difficulty(VALVE)
    await lessons.note("talk", "that's wrong", NEAR)
    assert lessons.difficulty(VALVE) == once > before


async def test_only_so_many_conversations_are_waited_for(lessons: Lessons):
    await lessons.note("first", VALVE, NEAR)
    for number in range(MOST_TALKS):
        await lessons.note(f"talk {number}", LAMP, NEAR)
    before = lessons.difficulty(VALVE)
    await lessons.note("first", "that's wrong", NEAR)
    assert lessons.difficulty(VALVE) == before


async def test_what_was_learned_outlasts_an_orderly_stop(tmp_path: Path):
    clock = Clock()
    async with opened(tmp_path, clock) as lessons:
        await lessons.note("talk", VALVE, FAR_INSTEAD)
        learned = lessons.difficulty(VALVE)
    async with opened(tmp_path, clock) as lessons:
        assert lessons.difficulty(VALVE) == pytest.approx(learned, abs=1e-3)


async def test_a_crash_loses_only_the_last_lessons(tmp_path: Path):
    clock = Clock()
    async with opened(tmp_path, clock) as lessons, opened(tmp_path, clock) as other:
        for _ in range(SAVE_EVERY):
            await lessons.note("talk", VALVE, FAR_INSTEAD)
        await other.start()
        assert other.difficulty(VALVE) == pytest.approx(lessons.difficulty(VALVE), abs=1e-3)


async def test_what_was_learned_outlasts_a_turn_that_was_called_off_while_it_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clock, begun = Clock(), asyncio.Event()

    async def never(_work: object) -> None:
        monkeypatch.undo()
        begun.set()
        await asyncio.Event().wait()

    async with opened(tmp_path, clock) as lessons:
        for _ in range(SAVE_EVERY - 1):
            await lessons.note("talk", VALVE, FAR_INSTEAD)
        monkeypatch.setattr(lessons._db, "write", never)
        noting = Tasks().start("noting", lessons.note("talk", VALVE, FAR_INSTEAD))
        await begun.wait()
        noting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await noting
        learned = lessons.difficulty(VALVE)
    async with opened(tmp_path, clock) as lessons:
        assert lessons.difficulty(VALVE) == pytest.approx(learned, abs=1e-3)
