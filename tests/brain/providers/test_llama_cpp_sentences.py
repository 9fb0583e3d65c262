"""Vectors of sentences, with a real llama.cpp and a small model that knows some words of a house."""

from collections.abc import AsyncIterator, Sequence
import math
from pathlib import Path

import pytest

from brain_server.providers import Use
from brain_server.providers.llama_cpp import LlamaCpp
from tests.brain.providers.llama_house import local
from tests.standins.sentence_model import WIDTH, sentence_gguf
from tests.standins.tiny_gguf import tiny_gguf

pytestmark = pytest.mark.llama

EMBEDDING = frozenset({Use.EMBEDDING})


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Give a data directory with the model of sentences."""
    (tmp_path / "models").mkdir()
    sentence_gguf(tmp_path / "models")
    return tmp_path


@pytest.fixture
async def llama(data_dir: Path) -> AsyncIterator[LlamaCpp]:
    """Give a provider that makes vectors."""
    async with local(data_dir, model="sentence", uses=EMBEDDING, context=4096) as made:
        yield made


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how alike two vectors of length one are."""
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_a_text_becomes_a_vector_of_length_one(llama: LlamaCpp) -> None:
    (vector,) = await llama.embed(["turn on the lamp"])
    assert len(vector) == WIDTH
    assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("text", "like", "unlike"),
    [
        ("turn on the lamp", "switch the light on", "my dog hates cold water"),
        ("when is her birthday", "the anniversary is in May", "the printer is out of filament"),
        ("where are the screws", "bolts are in the drawer", "play some music"),
        ("I am allergic to milk", "no dairy in my coffee", "close the garage door"),
        ("the spool of plastic", "which filament is left", "is the window open"),
    ],
)
async def test_sentences_of_one_meaning_are_closer_than_others(
    llama: LlamaCpp, text: str, like: str, unlike: str
) -> None:
    first, near, far = await llama.embed([text, like, unlike])
    assert cosine(first, near) > cosine(first, far) + 0.15


async def test_a_text_has_the_same_vector_alone_and_among_others(llama: LlamaCpp) -> None:
    texts = [
        f"the {colour} lamp number {number}" for colour in ("red", "blue") for number in range(50)
    ]
    together = await llama.embed(texts)
    (alone,) = await llama.embed([texts[77]])
    assert len(together) == 100
    assert math.isclose(cosine(together[77], alone), 1.0, abs_tol=1e-5)


async def test_an_empty_text_has_a_vector_and_no_texts_have_none(llama: LlamaCpp) -> None:
    assert await llama.embed([]) == []
    assert [len(vector) for vector in await llama.embed([""])] == [WIDTH]


async def test_a_text_that_is_too_long_is_read_from_its_beginning(llama: LlamaCpp) -> None:
    long, short = await llama.embed(["door " * 2000, "door"])
    assert cosine(long, short) > 0.9


async def test_a_check_finds_a_model_of_sentences(llama: LlamaCpp) -> None:
    info = await llama.check()
    assert (info.model, info.context) == ("sentence", 512)


async def test_a_model_of_words_can_make_vectors_too(data_dir: Path) -> None:
    tiny_gguf(data_dir / "models")
    async with local(data_dir, uses=EMBEDDING, context=512) as llama:
        one, same = await llama.embed(["door", "door"])
    assert list(one) == list(same)
    assert len(one) == 64
