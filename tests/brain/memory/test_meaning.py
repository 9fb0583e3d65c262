"""With a real model of meanings in llama.cpp: what is the same is found, what is nearly the same is not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from brain_server.memory import New, Source
from brain_server.memory.cache import Answers
from brain_server.providers import Use
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.memory.conftest import Place
from tests.brain.memory.dialogues import dialogues
from tests.brain.memory.pairs import pairs
from tests.brain.providers.llama_house import local
from tests.standins.sentence_model import sentence_gguf

pytestmark = pytest.mark.llama


class Known:
    """A model that is set up, as the tests of memory know one."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def source(self) -> Source:
        return self._source


@pytest.fixture
async def mind(tmp_path: Path, clock: Clock) -> AsyncIterator[Place]:
    """Give a memory with the model of sentences."""
    (tmp_path / "models").mkdir()
    sentence_gguf(tmp_path / "models")
    database = Database(f"sqlite:///{tmp_path / 'b.db'}", tables.brain, name="brain", durable=False)
    await database.open()
    async with local(
        tmp_path, model="sentence", uses=frozenset({Use.EMBEDDING}), context=4096
    ) as provider:
        place = Place(database, clock, Known(Source(name="house/sentence", model=provider)))  # type: ignore[arg-type]  # the double has the part that is used
        await place.memory.start()
        yield place
        await place.memory.stop()
        await place.tasks.stop()
    await database.close()


async def calibrated(place: Place) -> Answers:
    answers = Answers(
        place.database, place.embedder, place.tasks, place.clock, most_bytes=10_000_000
    )
    await answers._calibrate("house/sentence")
    return answers


async def test_a_paraphrase_finds_the_answer(mind: Place) -> None:
    answers = await calibrated(mind)
    await answers.keep("s", "t", mind.meaning("How do I repair the printer?"), "so")
    for words in ("please, how can I fix the printer", "what is the best way to mend the printer?"):
        found = await answers.find("s", mind.meaning(words))
        assert found is not None
        assert found.answer == "so"


@pytest.mark.parametrize("name", ["pairs.txt", "held_out.txt"])
async def test_no_hard_question_gets_the_answer_of_another(mind: Place, name: str) -> None:
    answers = await calibrated(mind)
    wrong, right, same = [], 0, 0
    for at, pair in enumerate(pairs(name)):
        await answers.keep(f"scope {at}", "t", mind.meaning(pair.one), "answer")
        found = await answers.find(f"scope {at}", mind.meaning(pair.other))
        same += pair.same
        right += pair.same and found is not None
        if found is not None and not pair.same:
            wrong.append(pair)
    assert wrong == []
    assert right >= 0.6 * same


async def recall_at_5(place: Place, namespace: str, questions: int = 60) -> float:
    (dialogue,) = dialogues(1)
    new = [New(text=text, source="conversation", trust="person") for text in dialogue.turns]
    ids = await place.memory.remember_many(namespace, new)
    found = 0
    for question in dialogue.questions[:questions]:
        hits = await place.memory.recall([namespace], place.meaning(question.text), 5, -1.0)
        found += any(hit.id in {ids[at] for at in question.evidence} for hit in hits)
    return found / questions


async def test_meaning_recalls_more_than_words_do(mind: Place) -> None:
    by_meaning = await recall_at_5(mind, "ada")
    mind.model = None
    by_words = await recall_at_5(mind, "bob")
    assert by_meaning > by_words + 0.05
