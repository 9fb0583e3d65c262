"""How sure an answer is, and what a question asks for."""

import math

import pytest

from brain_server.routing.judge import (
    BROKEN_CALL,
    CUT_OFF,
    EMPTY,
    IGNORANT,
    UNTOLD_FRONTIER,
    UNTOLD_LOCAL,
    confidence,
    signals,
)

SURE = [math.log(0.97)] * 20
UNSURE = [math.log(0.25)] * 20


def test_likely_tokens_make_a_sure_answer_and_unlikely_ones_do_not():
    sure = confidence("It is 21 degrees.", SURE, finish="stop", is_local=True)
    unsure = confidence("It is 21 degrees.", UNSURE, finish="stop", is_local=True)
    assert sure > 0.85
    assert unsure < 0.4


def test_confidence_grows_with_the_likelihood_of_the_tokens():
    steps = [
        confidence("So.", [math.log(share)] * 8, finish="stop", is_local=True)
        for share in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    ]
    assert steps == sorted(steps)
    assert all(0 <= step <= 1 for step in steps)


@pytest.mark.parametrize(
    ("text", "more", "cap"),
    [
        ("I don't know that.", {}, IGNORANT),
        ("As an AI I cannot help.", {}, IGNORANT),
        ("It is", {"finish": "length"}, CUT_OFF),
        ("No.", {"finish": "refusal"}, IGNORANT),
        ("", {}, EMPTY),
        ("Done.", {"calls": 2, "broken_calls": 1}, BROKEN_CALL),
    ],
)
def test_what_anybody_can_see_caps_what_the_tokens_say(text: str, more: dict, cap: float):
    assert confidence(text, SURE, **({"finish": "stop", "is_local": True} | more)) == cap


def test_a_call_without_words_is_no_empty_answer():
    assert confidence("", SURE, finish="tool_calls", is_local=True, calls=1) > IGNORANT


def test_a_provider_that_tells_nothing_is_judged_by_where_it_stands():
    assert confidence("Yes.", (), finish="stop", is_local=True) == UNTOLD_LOCAL
    assert confidence("Yes.", (), finish="stop", is_local=False) == UNTOLD_FRONTIER


@pytest.mark.parametrize(
    ("text", "fresh"),
    [
        ("What is the latest version of Klipper?", True),
        ("Who won the election yesterday in the news?", True),
        ("What is the current price of copper?", True),
        ("What is the capital of France?", False),
        ("Turn on my lamp", False),
        ("What's the current temperature in my kitchen?", False),
    ],
)
def test_a_question_about_the_world_of_today_is_fresh(text: str, *, fresh: bool):
    assert (signals(text).freshness >= 0.5) is fresh


def test_a_question_that_needs_thought_is_harder_than_a_plain_one():
    plain = signals("What is the capital of France?")
    hard = signals(
        "Explain why PETG warps, compare it with ASA and design a test plan, step by step."
    )
    assert plain.difficulty < 0.3
    assert hard.difficulty > 0.8


def test_code_is_seen():
    assert signals("Write a Python function that parses G-code").is_code
    assert not signals("How are you?").is_code


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("ask Claude why the sky is blue", "Claude"),
        ("Please use the big one to answer this", "big one"),
        ("ask GPT-5: what is love", "GPT-5"),
        ("what is asked of me", None),
        ("use less power", None),
    ],
)
def test_a_person_can_name_the_model(text: str, wants: str | None):
    assert signals(text).wants == wants
