"""How sure an answer is, and what a question asks for."""

import math
import random

from hypothesis import given, strategies as st
import pytest

from brain_server.routing.judge import (
    BROKEN_CALL,
    CURVE,
    CUT_OFF,
    EMPTY,
    IGNORANT,
    MOST_OF_ORDER,
    UNTOLD_FRONTIER,
    UNTOLD_LOCAL,
    WEIGHTS,
    Curve,
    calibrate,
    confidence,
    signals,
    squash,
    traits,
)

SURE = [math.log(0.97)] * 20
UNSURE = [math.log(0.25)] * 20


def test_likely_tokens_make_a_sure_answer_and_unlikely_ones_do_not():
    sure = confidence("It is 21 degrees.", SURE, finish="stop", is_local=True)
    unsure = confidence("It is 21 degrees.", UNSURE, finish="stop", is_local=True)
    assert sure > 0.8
    assert unsure < 0.25


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
        ("I don't have information about your plans.", {}, IGNORANT),
        ("I do not have any specific details on that.", {}, IGNORANT),
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


@pytest.mark.parametrize(
    ("harder", "easier"),
    [
        ("lock it", "lock the front door of the workshop"),
        ("who am I meeting for dinner?", "who am I meeting according to my personal calendar?"),
        ("turn off all the lights in the kitchen", "turn off the light in the kitchen"),
        ("close the blinds if it is sunny outside", "close the blinds of the living room now"),
        ("turn on every fan except the one upstairs", "turn on the fan in the hall upstairs"),
    ],
)
def test_what_leaves_more_to_guess_is_harder(harder: str, easier: str):
    assert signals(harder).difficulty > signals(easier).difficulty


def test_an_order_stays_with_who_has_the_tools_however_little_it_says():
    assert signals("everything off").difficulty == MOST_OF_ORDER


def test_an_order_that_needs_thought_is_no_plain_order():
    text = "Make a plan, compare the printers, explain the trade-offs and write a script in Python"
    assert signals(text).difficulty > MOST_OF_ORDER


@pytest.mark.parametrize("text", ["", "   ", "???", "a" * 5000])
def test_every_trait_has_a_weight_whatever_was_said(text: str):
    assert traits(text).keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("text", "of_house"),
    [
        ("Open the smart curtain", True),
        ("skip this song", True),
        ("is the vacuum running?", True),
        ("what is in my calendar?", True),
        ("Who am I meeting for dinner?", True),
        ("Is anyone coming to visit?", True),
        ("How many nights do we need to cook?", True),
        ("How do I glue PETG?", False),
        ("What is the capital of France?", False),
        ("Why does PETG warp?", False),
    ],
)
def test_what_is_about_the_house_or_an_order_to_it_is_seen(text: str, *, of_house: bool):
    assert signals(text).of_house is of_house


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("When the print is done then turn off the light", True),
        ("Once the nozzle is cool, open the door", True),
        ("Heat the bed and then, when it is ready, start the print", True),
        ("If the printer is done, wait until it has cooled, then turn it off", True),
        ("If the temperature is above 23 then set the heating to 22", False),
        ("Turn on the light", False),
    ],
)
def test_what_has_to_wait_is_told_from_what_depends_on_now(text: str, *, later: bool):
    assert signals(text).later is later


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


def rated(curve: Curve, count: int) -> list[tuple[float, bool]]:
    """Return answers drawn by lot from a model whose curve is known."""
    draw = random.Random(5)
    means = [math.log(draw.uniform(0.2, 1.0)) for _ in range(count)]
    return [(mean, draw.random() < curve(mean)) for mean in means]


def test_calibration_finds_the_curve_of_a_model_from_rated_answers():
    found = calibrate(rated(Curve(0.5, 1.5), 20_000))
    assert found == pytest.approx((0.5, 1.5), abs=0.1)


def test_calibration_without_answers_changes_nothing():
    assert calibrate([]) == CURVE


def test_a_handful_of_answers_moves_the_curve_only_a_little():
    found = calibrate([(-0.1, False)] * 3)
    assert abs(found.a - CURVE.a) < 1.6
    assert found(-0.1) < CURVE(-0.1)


@given(
    st.lists(
        st.tuples(st.floats(-12.0, 0.0), st.booleans()),
        max_size=60,
    )
)
def test_calibration_ends_at_the_best_curve_whatever_was_rated(pairs: list[tuple[float, bool]]):
    found = calibrate(pairs)
    # There the slope of the loss is nothing: the data's pull and that of the start are even.
    off = [(found(mean) - good, mean) for mean, good in pairs]
    assert found.a - CURVE.a + sum(one for one, _ in off) == pytest.approx(0, abs=1e-6)
    assert found.b - CURVE.b + sum(one * mean for one, mean in off) == pytest.approx(0, abs=1e-5)


def test_confidence_follows_the_curve_of_its_model():
    steep = confidence("So.", UNSURE, finish="stop", is_local=True, curve=Curve(1.8, 10.0))
    assert steep < confidence("So.", UNSURE, finish="stop", is_local=True)


def test_the_first_curve_says_what_its_comment_says():
    assert [round(CURVE(math.log(share)), 2) for share in (0.9, 0.5, 0.25)] == [0.82, 0.53, 0.18]


def test_impossible_tokens_leave_no_confidence():
    assert confidence("So.", [-math.inf], finish="stop", is_local=True) == 0.0
    assert squash(-1e6) == 0.0
    assert squash(1e6) == 1.0
