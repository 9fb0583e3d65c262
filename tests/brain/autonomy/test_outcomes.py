"""Outcomes: thirty days after a goal was reached its figure is measured once, from rows of prints, or is unknown."""

import asyncio
from typing import Any

import pytest

from brain_server.autonomy.metrics import METRICS, WINDOW, compare, in_words
from brain_server.protocol import Json
from brain_server.storage import tables
from brain_server.storage.tables import new_id
from tests.brain.autonomy.works import DAY, Direct, Life, Works, idea
from tests.brain.fabrication.prints import A, B

CYCLE = "outcome_measurement_cycle"
PETG = {"material": "PETG"}
BAD = PETG | {"status": "failed"}


async def completed(life: Life, shop: Works, **more: Any) -> Json:
    """Return a goal that was agreed to and is reached now."""
    (goal,) = await shop.proposed(idea(**more))
    await life.decided(goal)
    await shop.set_goal(goal["id"], status="completed", completed_at=shop.clock.now)
    return goal


async def outcome(life: Life) -> Json:
    """Return the only outcome."""
    (found,) = await life.items("outcomes.list")
    return found


# -- when ---------------------------------------------------------------------------------------------


async def test_after_29_days_there_is_no_result_and_after_30_there_is_one(
    life: Life, shop: Works
) -> None:
    """With the figure before, the figure since, and how much better that is."""
    await shop.many((5, PETG), (5, BAD))
    shop.clock.advance(3600)
    goal = await completed(life, shop)
    shop.clock.advance(2 * DAY)
    await shop.many((9, PETG), (1, BAD))
    shop.clock.advance(27 * DAY)
    assert await life.result(CYCLE) == {"measured": []}
    assert (await outcome(life))["measured_at"] is None
    shop.clock.advance(DAY)
    assert await life.result(CYCLE) == {"measured": [goal["id"]]}
    found = await outcome(life)
    assert (found["baseline"]["value"], found["baseline"]["n"]) == (0.5, 10)
    assert (found["result"]["value"], found["result"]["n"]) == (0.9, 10)
    assert found["score"] == pytest.approx(0.4)
    assert 0.8 < found["result"]["better_probability"] < 1
    assert found["measured_at"] == shop.clock.now
    assert await shop.messages("outcome") == [
        "It is better now. print success: 50% (n=10), then 90% (n=10)."
    ]
    assert ("outcome.updated", found) in life.told


async def test_it_is_measured_once(life: Life, shop: Works) -> None:
    """Whatever is printed later."""
    await completed(life, shop)
    shop.clock.advance(WINDOW)
    assert len((await life.result(CYCLE))["measured"]) == 1
    assert await life.result(CYCLE) == {"measured": []}
    assert len(await shop.messages("outcome")) == 1


async def test_of_two_who_measure_at_once_one_does(life: Life, shop: Works) -> None:
    """The other finds that it is done."""
    goal = await completed(life, shop)
    shop.clock.advance(WINDOW)
    measurement, run = life.autonomy.outcomes, Direct(life)
    found = await asyncio.gather(measurement.run(run), measurement.run(run))
    assert sorted(found, key=str) == [{"measured": [goal["id"]]}, {"measured": []}]
    assert len(await shop.messages("outcome")) == 1


async def test_of_too_few_prints_nothing_is_concluded(life: Life, shop: Works) -> None:
    """The counts are told, and no score."""
    await shop.many((4, PETG))
    shop.clock.advance(3600)
    await completed(life, shop)
    shop.clock.advance(WINDOW)
    await life.result(CYCLE)
    found = await outcome(life)
    assert (found["baseline"]["value"], found["baseline"]["n"]) == (None, 4)
    assert (found["result"]["value"], found["score"]) == (None, None)
    assert await shop.messages("outcome") == [
        (
            "Too little was seen to say whether it helped. "
            "print success: too little seen (n=4), then too little seen (n=0)."
        )
    ]


async def test_what_was_not_reached_is_not_measured(life: Life, shop: Works) -> None:
    """A goal that failed has helped nobody."""
    goal = await completed(life, shop)
    await shop.set_goal(goal["id"], status="failed")
    shop.clock.advance(2 * WINDOW)
    assert await life.result(CYCLE) == {"measured": []}


async def test_only_prints_of_the_thirty_days_after_count(life: Life, shop: Works) -> None:
    """Also when the cycle comes late."""
    await completed(life, shop)
    shop.clock.advance(40 * DAY)
    await shop.many((20, PETG))
    shop.clock.advance(DAY)
    await life.result(CYCLE)
    assert (await outcome(life))["result"]["n"] == 0


async def test_outcomes_come_in_pages(life: Life, shop: Works) -> None:
    """As every list."""
    for key in ("advice:1", "advice:2", "advice:3"):
        await completed(life, shop, key=key)
    first = await life.command("outcomes.list", limit=2)
    rest = await life.command("outcomes.list", cursor=first["cursor"])
    assert (len(first["items"]), len(rest["items"])) == (2, 1)


# -- what ---------------------------------------------------------------------------------------------


async def figure(life: Life, shop: Works, metric: str, **about: Any) -> tuple[Any, int]:
    """Return a figure of the last thirty days, and of how many it is."""
    measures = life.autonomy.measures
    now = shop.clock.now + 1
    found = await measures.measure(metric, about, now - WINDOW, now)
    return found["value"], found["n"]


async def test_success_is_of_what_the_goal_is_about(life: Life, shop: Works) -> None:
    """One printer, one material in whatever words, one file; or all."""
    file = {"artifact_id": "f" * 32}
    await shop.many(
        (5, PETG),
        (5, {"material": "petg Silk", "device_id": B, "status": "failed"}),
        (5, {"material": None} | file),
    )
    assert await figure(life, shop, "print_success") == (pytest.approx(2 / 3), 15)
    assert await figure(life, shop, "print_success", material="petg") == (0.5, 10)
    assert await figure(life, shop, "print_success", device_id=B) == (0.0, 5)
    assert await figure(life, shop, "print_success", **file) == (1.0, 5)


async def test_cost_is_the_mean_of_what_is_known(life: Life, shop: Works) -> None:
    """In units of the currency."""
    await shop.many(
        (5, {"cost_micro": 200_000}), (5, {"cost_micro": 400_000}), (9, {"cost_micro": None})
    )
    assert await figure(life, shop, "cost_per_print") == (pytest.approx(0.3), 10)
    assert await figure(life, shop, "cost_per_print", device_id=B) == (None, 0)


async def test_waste_is_the_filament_of_prints_that_came_to_nothing(
    life: Life, shop: Works
) -> None:
    """Also of those that were stopped; a person's word goes before the printer's."""
    await shop.many(
        (6, {"used_g": 10.0}),
        (1, {"used_g": 20.0, "status": "failed"}),
        (1, {"used_g": 20.0, "status": "aborted"}),
        (3, {"used_g": None, "status": "failed"}),
    )
    job = await shop.write(used_g=10.0, status="completed")
    await shop.run("reviews.put", job_id=job["id"], good=False)
    assert await figure(life, shop, "filament_waste") == (pytest.approx(50 / 110), 9)
    assert await figure(life, shop, "filament_waste", device_id=B) == (None, 0)


async def test_quality_is_a_persons_where_both_measured(life: Life, shop: Works) -> None:
    """The mean of what was measured of each print."""
    for _ in range(5):
        job = await shop.write()
        await shop.run("reviews.put", job_id=job["id"], good=True, quality={"layers": 60})
        await shop.insert(
            tables.reviews,
            {
                "id": new_id(),
                "job_id": job["id"],
                "device_id": A,
                "source": "vision",
                "good": True,
                "quality": {"layers": 10, "surface": 100},
                "created_at": shop.clock.now,
            },
        )
    await shop.write()
    assert await figure(life, shop, "quality") == (80.0, 5)
    assert await figure(life, shop, "quality", device_id=B) == (None, 0)


async def test_incidents_are_counted_by_the_week(life: Life, shop: Works) -> None:
    """False alarms are none, and those of other printers are others'."""
    jobs = [await shop.write() for _ in range(6)]
    for at, status in enumerate(("confirmed", "over", "open", "false_alarm")):
        await shop.incident(jobs[at], status)
    await shop.incident(await shop.write(device_id=B), "confirmed")
    value, count = await figure(life, shop, "incidents_per_week", device_id=A)
    assert (value, count) == (pytest.approx(3 / (30 / 7)), 6)


async def test_the_error_of_estimates_is_a_share(life: Life, shop: Works) -> None:
    """Of prints that came to their end and had an estimate."""
    await shop.many((5, {"estimated_s": 3000.0}), (4, {"estimated_s": None}))
    value, count = await figure(life, shop, "estimate_error")
    assert (value, count) == (pytest.approx(0.2), 5)
    assert await figure(life, shop, "estimate_error", device_id=B) == (None, 0)


@pytest.mark.parametrize(
    ("metric", "before", "after", "score"),
    [
        ("quality", 60.0, 75.0, 15.0),
        ("cost_per_print", 0.5, 0.4, 0.1),
        ("filament_waste", 0.1, 0.3, -0.2),
        ("incidents_per_week", 1.0, 1.0, 0.0),
        ("quality", None, 75.0, None),
        ("quality", 60.0, None, None),
    ],
)
def test_a_score_is_above_nothing_where_it_is_better(
    metric: str, before: float | None, after: float | None, score: float | None
) -> None:
    """Whether more or less of it is better."""
    found, sure = compare(metric, {"value": before, "n": 9}, {"value": after, "n": 9})
    assert (found, sure) == (score if score is None else pytest.approx(score), None)


@pytest.mark.parametrize(
    ("score", "words"),
    [(-0.2, "It is worse now."), (0.0, "It changed nothing.")],
)
async def test_what_did_not_help_is_told_too(
    life: Life, shop: Works, score: float, words: str
) -> None:
    """Honestly."""
    await shop.many((10, PETG))
    shop.clock.advance(3600)
    await completed(life, shop)
    shop.clock.advance(DAY)
    await shop.many((round(10 * (1 + score)), PETG), (round(-10 * score), BAD))
    shop.clock.advance(WINDOW)
    await life.result(CYCLE)
    assert (await shop.messages("outcome"))[0].startswith(words)


def test_figures_are_told_in_their_unit() -> None:
    """With their count."""
    said = {name: in_words(name, {"value": 0.5, "n": 7}) for name in METRICS}
    assert said["print_success"] == "50% (n=7)"
    assert said["quality"] == "0 of 100 (n=7)"
    assert said["cost_per_print"] == "0.50 (n=7)"
