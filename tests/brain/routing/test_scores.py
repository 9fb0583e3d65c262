"""The figures of the router's bench: what they mean, on cases that can be counted by hand."""

from pathlib import Path

import pytest

from brain_server.routing.judge import CURVE
from tests.bench import router
from tests.bench.scores import (
    Row,
    apgr,
    calibration_error,
    crossed,
    fit_lessons,
    fit_tfidf,
    quality,
    recovered,
)

FOUR = [
    Row(text="a", part="x", weak=0.0, strong=1.0),
    Row(text="b", part="x", weak=0.0, strong=1.0),
    Row(text="c", part="x", weak=1.0, strong=1.0),
    Row(text="d", part="x", weak=1.0, strong=1.0),
]


def test_who_asks_the_strong_model_where_it_helps_recovers_the_gap_early():
    assert list(recovered([4, 3, 2, 1], FOUR)) == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert apgr([4, 3, 2, 1], FOUR) == 0.75


def test_who_asks_it_where_it_does_not_recovers_the_gap_late():
    assert apgr([1, 2, 3, 4], FOUR) == 0.25


def test_who_knows_nothing_has_one_half_without_any_luck():
    assert apgr([7, 7, 7, 7], FOUR) == 0.5


def test_quality_goes_from_the_weak_model_to_the_strong_one():
    found = quality([4, 3, 2, 1], FOUR)
    assert (found["0%"], found["50%"], found["100%"]) == (0.5, 1.0, 1.0)


def test_a_good_answer_for_each_that_was_promised_is_no_error():
    sure = CURVE(-0.5)
    good = round(sure * 1000)
    rated = [(-0.5, at < good) for at in range(1000)]
    assert calibration_error(CURVE, rated) < 0.001
    assert calibration_error(CURVE, [(-0.5, False)] * 10) == pytest.approx(sure)


def test_both_learners_beat_chance_on_the_simulation():
    rows = router.simulated()
    assert apgr(crossed(fit_tfidf, rows), rows) > 0.6
    assert apgr(crossed(fit_lessons, rows), rows) > 0.6


def test_of_several_runs_of_a_model_the_best_one_counts(tmp_path: Path):
    table = tmp_path / "outcomes.csv"
    table.write_text(
        "dataset,model,ha_version,task,good,total\n"
        "assist,near,1,home-turn_it_on,0,4\n"
        "assist,near,2,home-turn_it_on,3,4\n"
        "assist,far,1,home-turn_it_on,4,4\n"
        "automations,far,1,other-task,4,4\n"
    )
    rows = router.rows_of(router.outcomes(table), "near", "far")
    assert rows == [Row(text="turn it on", part="assist", weak=0.75, strong=1.0, times=4)]


def test_the_tables_of_routellm_are_read(tmp_path: Path):
    folder = tmp_path / "mmlu" / "responses"
    folder.mkdir(parents=True)
    (folder / "mmlu_anatomy.csv").write_text(
        'prompt,mixtral-8x7b-instruct-v0.1,gpt-4-1106-preview\n"What?\nA. 1",False,True\n'
    )
    row = Row(text="What?\nA. 1", part="mmlu_anatomy", weak=0.0, strong=1.0)
    assert router.routellm(tmp_path) == {"mmlu": [row]}


def test_a_house_can_calibrate_from_its_own_rated_answers(tmp_path: Path):
    table = tmp_path / "rated.csv"
    lines = "".join(f"{mean},{good}\n" for mean, good in router.drawn("boastful", 400, seed=3))
    table.write_text(f"mean_logprob,good\n{lines}")
    found = router.recalibrated(table)
    assert found["answers"] == 400
    assert found["error_after"] < found["error_before"] / 2
