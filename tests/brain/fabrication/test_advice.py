"""Advice: said when this house's own prints are enough to say it, with how many they are, and gone when they change."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brain_server.fabrication.advice import Count, began, worse
from brain_server.protocol import Json
from brain_server.storage.tables import new_id
from tests.bench.predict import advised
from tests.brain.fabrication.prints import HOUR, A, B, C, Prints, prints
from tests.brain.gatehouse import Clock

DAY = 86_400.0
FILE = "f" * 32
BAD = {"device_id": B, "material": "PETG", "status": "failed"}
GOOD = {"device_id": B, "material": "PETG"}


@pytest.fixture
async def shop(database_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Prints]:
    """Give prints, and those who advise."""
    async with prints(database_url, tmp_path, clock) as made:
        yield made


async def advice(shop: Prints) -> list[Json]:
    """Return all advice there is."""
    items: list[Json] = (await shop.run("advice.list"))["items"]
    return items


async def judged(shop: Prints, good: bool, *reasons: str, **columns: object) -> None:
    """Store a print, a day later, and what a person said of it."""
    shop.clock.advance(DAY)
    job = await shop.end(**columns)
    await shop.run("reviews.put", job_id=job["id"], good=good, reasons=list(reasons))


# -- which printer ------------------------------------------------------------------------------------


async def test_of_few_prints_nothing_is_said(shop: Prints) -> None:
    """Four of four are not enough."""
    assert await advice(shop) == []
    await shop.many((4, BAD), (12, GOOD | {"device_id": A}))
    assert await advice(shop) == []


async def test_a_printer_that_does_better_is_preferred(shop: Prints) -> None:
    """With the counts of both, and what went wrong most often."""
    for reasons in (["stringing"], ["stringing", "warping"], [], ["stringing"]):
        await judged(shop, False, *reasons, **GOOD)
    await shop.many((5, GOOD), (1, BAD | {"device_id": A}), (11, GOOD | {"device_id": A}))
    shop.clock.advance(2 * HOUR)
    (found,) = await advice(shop)
    assert found["text"] == (
        "PETG on B: 4 of 9 failed, most often stringing; on A 1 of 12. Prefer A."
    )
    assert 0.9 < found.pop("probability") < 1
    assert {name: found[name] for name in found if name not in {"id", "text"}} == {
        "code": "prefer_printer",
        "device_id": B,
        "material": "PETG",
        "failed": 4,
        "of": 9,
        "reason": "stringing",
        "other_device_id": A,
        "other_failed": 1,
        "other_of": 12,
        "n": 21,
    }


async def test_advice_goes_when_prints_get_better(shop: Prints) -> None:
    """And keeps its id while it stays."""
    await shop.many((4, BAD), (5, GOOD), (12, GOOD | {"device_id": A}))
    (first,) = await advice(shop)
    for _ in range(2):
        await shop.end(**GOOD)
    (second,) = await advice(shop)
    assert (first["id"], first["of"], second["of"]) == (second["id"], 9, 11)
    for _ in range(40):
        await shop.end(**GOOD)
    assert await advice(shop) == []


async def test_two_printers_that_do_alike_are_left_alone(shop: Prints) -> None:
    """However many prints there are."""
    await shop.many(
        (20, BAD), (80, GOOD), (20, BAD | {"device_id": A}), (80, GOOD | {"device_id": A})
    )
    assert await advice(shop) == []


async def test_of_several_the_surest_is_named(shop: Prints) -> None:
    """Beside more printers more has to be shown."""
    await shop.many(
        (6, BAD),
        (4, GOOD),
        (2, BAD | {"device_id": A}),
        (8, GOOD | {"device_id": A}),
        (30, GOOD | {"device_id": C}),
    )
    assert [one["other_device_id"] for one in await advice(shop)] == [C]


async def test_a_material_that_fails_on_the_only_printer_is_told(shop: Prints) -> None:
    """Beside what else is printed there."""
    await shop.many((5, BAD), (4, GOOD), (30, {"device_id": B}))
    (found,) = await advice(shop)
    assert (found["code"], found["n"]) == ("material_fails", 39)
    assert found["text"] == (
        "PETG on B: 5 of 9 failed; of its other materials 0 of 30. Look at the settings for PETG."
    )


async def test_what_has_no_material_is_compared_with_nothing(shop: Prints) -> None:
    """Nobody knows what it was."""
    await shop.many((9, BAD | {"material": None}), (30, {"device_id": B, "material": None}))
    assert await advice(shop) == []


async def test_a_file_that_fails_is_told(shop: Prints) -> None:
    """On whatever printer."""
    vase = {"artifact_id": FILE, "file": "vase.gcode", "status": "failed"}
    await shop.many((3, vase), (3, vase | {"device_id": B}), (20, {}), (20, {"device_id": B}))
    found = {one["code"]: one for one in await advice(shop)}
    assert found["file_fails"]["text"] == (
        "vase.gcode: 6 of 6 failed; of all others 0 of 40. Slice it anew or change the model."
    )
    assert found["file_fails"]["artifact_id"] == FILE


async def test_files_that_do_as_all_others_are_left_alone(shop: Prints) -> None:
    """A file that was printed often and well."""
    await shop.many(
        (30, {"artifact_id": FILE}), (30, {"artifact_id": new_id()}), (5, {"status": "failed"})
    )
    assert await advice(shop) == []


async def test_of_a_printer_that_is_gone_nothing_is_said(shop: Prints) -> None:
    """Nor is it compared with."""
    gone = {"device_id": "d" * 32, "material": "PETG"}
    await shop.many((9, gone | {"status": "failed"}), (30, GOOD))
    assert await advice(shop) == []


async def test_advice_comes_in_pages(shop: Prints) -> None:
    """As every list."""
    await shop.many(
        (5, BAD),
        (9, GOOD),
        (30, GOOD | {"device_id": A}),
        (9, BAD | {"material": "TPU"}),
        (30, GOOD | {"device_id": A, "material": "TPU"}),
    )
    first = await shop.run("advice.list", limit=1)
    rest = await shop.run("advice.list", cursor=first["cursor"])
    assert {one["material"] for one in first["items"] + rest["items"]} == {"PETG", "TPU"}


# -- since when ---------------------------------------------------------------------------------------


async def test_trouble_that_began_some_day_is_told_with_the_day(shop: Prints) -> None:
    """And with what to do about it."""
    for _ in range(15):
        await judged(shop, True)
    began_at = shop.clock.now + DAY
    for _ in range(4):
        await judged(shop, False, "poor_adhesion")
    (found,) = [one for one in await advice(shop) if one["code"] == "trouble_since"]
    day = datetime.fromtimestamp(began_at, UTC).astimezone()
    assert found["text"] == (
        f"On A first layers fail since {day.day} {day:%b}: 4 of 4, before that 0 of 15. "
        "You could clean the bed and level it."
    )
    assert (found["since"], found["trouble"], found["n"]) == (began_at, "first_layer", 19)


async def test_trouble_of_a_print_that_was_good_all_the_same_counts(shop: Prints) -> None:
    """Strings are strings."""
    for _ in range(15):
        await judged(shop, True)
    for _ in range(5):
        await judged(shop, True, "stringing")
    assert [one["trouble"] for one in await advice(shop)] == ["stringing"]


async def test_trouble_that_is_over_is_not_told(shop: Prints) -> None:
    """Five prints without it are enough to believe that somebody cleaned the bed."""
    for _ in range(15):
        await judged(shop, True)
    for _ in range(5):
        await judged(shop, False, "poor_adhesion")
    assert len(await advice(shop)) == 1
    for _ in range(5):
        await judged(shop, True)
    assert await advice(shop) == []


async def test_trouble_that_comes_now_and_then_began_never(shop: Prints) -> None:
    """One print in four, all along."""
    for at in range(24):
        await judged(shop, at % 4 != 0, *(["layer_shift"] if at % 4 == 0 else []))
    assert await advice(shop) == []


def test_where_it_began_is_where_it_began() -> None:
    """The first print with trouble after those without; never in a row of one kind."""
    assert began([False] * 20 + [True] * 6)[0] == 20
    assert began([False] * 20 + [True] * 6)[1] > 0.99
    assert began([True] * 20 + [False] * 6) == (0, 0.0)
    assert began([True]) == (0, 0.0)
    assert began([]) == (0, 0.0)
    assert began([False] * 30)[1] == 0.0


# -- how long -----------------------------------------------------------------------------------------


async def printed(shop: Prints, *factors: float, estimated: float | None = HOUR) -> None:
    """Store prints that took so many times what the slicer had said."""
    for factor in factors:
        now = shop.clock.now
        await shop.write(started_at=now - HOUR * factor, completed_at=now, estimated_s=estimated)


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        ([1.2, 1.22, 1.24] * 4, "Estimates for A are 18% too short (n=12)."),
        ([0.8, 0.78, 0.82] * 4, "Estimates for A are 25% too long (n=12)."),
    ],
)
async def test_estimates_that_are_off_are_told(
    shop: Prints, factors: list[float], text: str
) -> None:
    """By how much, and of how many prints."""
    await printed(shop, *factors)
    assert [one["text"] for one in await advice(shop)] == [text]
    assert await shop.advice.ratio(A) == pytest.approx(sum(factors) / len(factors), rel=0.01)


@pytest.mark.parametrize(
    "factors",
    [[1.2] * 4, [1.02, 1.03] * 10, [0.5, 2.0] * 10, [10.0] * 10, [0.01] * 10],
    ids=["few", "hardly off", "now this, now that", "left paused", "nonsense"],
)
async def test_estimates_that_nobody_can_blame_are_left_alone(
    shop: Prints, factors: list[float]
) -> None:
    """Few prints, a small difference, no direction, and what cannot be."""
    await printed(shop, *factors)
    assert await advice(shop) == []


async def test_what_has_no_estimate_has_no_ratio(shop: Prints) -> None:
    """Nor has a print that was not finished."""
    await printed(shop, *[1.5] * 10, estimated=None)
    await shop.many((10, {"status": "failed", "estimated_s": 60.0}))
    assert await shop.advice.ratio(A) is None
    assert await shop.advice.ratio(B) is None


# -- the arithmetic -----------------------------------------------------------------------------------


def test_two_counts_that_are_equal_are_each_worse_half_of_the_time() -> None:
    """And one is worse as often as the other is not."""
    one, other = Count(failed=4, of=9), Count(failed=1, of=12)
    assert worse(one, one, 0.2) == pytest.approx(0.5)
    assert worse(one, other, 0.2) + worse(other, one, 0.2) == pytest.approx(1.0)


def test_more_prints_of_the_same_rates_are_surer() -> None:
    """Each tenfold."""
    sure = [
        worse(Count(failed=3 * many, of=10 * many), Count(failed=2 * many, of=10 * many), 0.2)
        for many in (1, 10, 100)
    ]
    assert sure == sorted(sure)
    assert sure[0] < 0.8
    assert sure[-1] > 0.99


def test_advice_is_mostly_true_and_rare_where_there_is_nothing_to_say() -> None:
    """In made houses whose truth is known, after 120 prints."""
    alike = advised("all alike", count=120, seeds=40)
    apart = advised("a bad pair", count=120, seeds=40)
    assert alike["given"] <= 8
    assert apart["given"] >= 30
    assert apart["true"] >= 0.95 * apart["given"]
