"""Prediction: how likely a print turns out well, from what happened here, told with how little that may be."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest
from sqlalchemy import insert

from brain_server.errors import Unavailable
from brain_server.fabrication.odds import Model, Tally
from brain_server.fabrication.outcomes import EVIDENCE, REREAD, UNSEEN
from brain_server.fabrication.predict import material_of
from brain_server.protocol import Json
from brain_server.storage.tables import artifacts, new_id
from tests.bench.predict import WORLDS, calibration, error_of, scored
from tests.brain.fabrication.prints import A, B, C, Prints, prints
from tests.brain.gatehouse import Clock

FILE = "f" * 32
BAD = {"device_id": B, "material": "PETG", "status": "failed"}
GOOD = {"device_id": B, "material": "PETG"}


@pytest.fixture
async def shop(database_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Prints]:
    """Give prints, and those who predict from them."""
    async with prints(database_url, tmp_path, clock) as made:
        yield made


async def asked(shop: Prints, device_id: str = B, **more: str) -> Json:
    """Return what is predicted."""
    return await shop.run("predictions.get", device_id=device_id, **more)


async def keep_file(shop: Prints, **facts: str) -> None:
    """Store a file."""
    row = {
        "id": FILE,
        "sha256": "0" * 64,
        "name": "vase.gcode",
        "kind": "gcode",
        "size": 1,
        "facts": facts,
        "created_at": 1.0,
    }
    await shop.database.write(lambda connection: connection.execute(insert(artifacts).values(row)))


# -- what it says -------------------------------------------------------------------------------------


async def test_without_a_print_nobody_knows(shop: Prints) -> None:
    """A wide interval, no evidence, and words that say so."""
    found = await asked(shop, material="PETG")
    assert (found["n"], found["cold"], found["because"]) == (0, True, [])
    assert found["high"] - found["low"] > 0.6
    assert found["text"].startswith("Nobody can know yet: no print here has been judged.")


async def test_what_failed_often_is_likely_to_fail(shop: Prints) -> None:
    """With the counts that say so, the nearest first."""
    await shop.many((4, BAD), (5, GOOD), (20, {"device_id": A, "material": "PLA"}))
    found = await asked(shop, material="PETG")
    assert found["because"] == [
        {"kind": "printer_material", "what": "PETG on B", "failed": 4, "of": 9},
        {"kind": "house", "what": "all prints", "failed": 4, "of": 29},
    ]
    assert (found["n"], found["cold"]) == (9, False)
    assert 0.45 < found["probability"] < 0.8
    assert found["low"] < found["probability"] < found["high"]
    assert found["text"].endswith("because PETG on B failed 4 of 9.")


async def test_a_printer_without_prints_learns_from_the_others(shop: Prints) -> None:
    """A material that fails everywhere is likely to fail there, too; and it is said to be little."""
    await shop.many(
        (9, BAD), (9, BAD | {"device_id": A}), (30, {"device_id": A}), (30, {"device_id": B})
    )
    good, bad = await asked(shop, C, material="PLA"), await asked(shop, C, material="PETG")
    assert bad["probability"] < good["probability"] - 0.2
    assert (bad["n"], bad["cold"]) == (0, True)
    assert bad["text"].endswith(": none of PETG on C so far; PETG on all printers failed 18 of 18.")


async def test_few_prints_are_told_to_be_few(shop: Prints) -> None:
    """And make a wider interval than many of the same rate."""
    await shop.many((1, BAD), (2, GOOD))
    few = await asked(shop, material="petg+")
    assert "only 3 of PETG on B so far" in few["text"]
    await shop.many((30, BAD), (60, GOOD))
    shop.clock.advance(REREAD + 1)
    many = await asked(shop, material="PETG")
    assert many["high"] - many["low"] < (few["high"] - few["low"]) * 0.7


async def test_a_printer_alone_may_be_asked_about(shop: Prints) -> None:
    """All that was printed there counts."""
    await shop.many((3, BAD), (4, {"device_id": B}), (1, {"device_id": A}))
    found = await asked(shop)
    assert (found["n"], found["material"]) == (7, None)
    assert [one["what"] for one in found["because"]] == ["B", "all prints"]


async def test_a_file_that_fails_everywhere_is_the_reason(shop: Prints) -> None:
    """Its material is the one that the slicer wrote into it."""
    await keep_file(shop, material="PET-G")
    await shop.many((6, BAD | {"artifact_id": FILE}), (30, GOOD), (10, GOOD | {"device_id": A}))
    found = await asked(shop, artifact_id=FILE)
    other = await asked(shop, material="PETG")
    assert found["material"] == "PETG"
    assert found["because"][0] == {"kind": "file", "what": "vase.gcode", "failed": 6, "of": 6}
    assert found["probability"] < other["probability"] - 0.3


async def test_what_is_not_there_is_refused(shop: Prints) -> None:
    """A printer, a file."""
    assert await shop.refused("predictions.get", device_id="d" * 32) == "device_not_found"
    assert await shop.refused("predictions.get", device_id=A, artifact_id=new_id()) == (
        "file_not_found"
    )


async def test_planners_ask_the_same_model(shop: Prints) -> None:
    """Without the words."""
    await shop.many((4, BAD), (5, GOOD))
    chance = await shop.predictions.chance(B, "PETG")
    assert round(chance.probability, 3) == (await asked(shop, material="PETG"))["probability"]


@pytest.mark.parametrize("facts", [{}, {"material": None}])
def test_a_file_whose_slicer_told_no_material_has_none(facts: Json) -> None:
    """Nothing is guessed from its name."""
    assert material_of(facts) is None


# -- what counts --------------------------------------------------------------------------------------


async def failures(shop: Prints) -> tuple[int, int]:
    """Return how many of how many prints count as failed."""
    because = (await asked(shop))["because"]
    return (because[-1]["failed"], because[-1]["of"]) if because else (0, 0)


@pytest.mark.parametrize(
    ("columns", "counts"),
    [
        ({"status": "completed"}, (0, 1)),
        ({"status": "failed"}, (1, 1)),
        ({"status": "aborted"}, (0, 0)),
        ({"status": "failed", "error": UNSEEN}, (0, 0)),
        ({"status": "failed", "started_at": None}, (0, 0)),
        ({"status": "printing", "completed_at": None}, (0, 0)),
    ],
)
async def test_without_a_word_the_printer_tells(
    shop: Prints, columns: Json, counts: tuple[int, int]
) -> None:
    """What was stopped, not seen or never began proves nothing."""
    await shop.end(**columns)
    assert await failures(shop) == counts


@pytest.mark.parametrize("status", ["completed", "failed", "aborted"])
@pytest.mark.parametrize("good", [True, False])
async def test_a_persons_word_is_the_outcome(shop: Prints, status: str, good: bool) -> None:
    """Whatever the printer showed."""
    job = await shop.end(status=status, error=UNSEEN)
    await shop.run("reviews.put", job_id=job["id"], good=good)
    assert await failures(shop) == (int(not good), 1)


async def test_a_camera_is_no_person(shop: Prints) -> None:
    """Its verdict is no outcome."""
    job = await shop.end()
    await shop.reviews.keep(job["id"], source="vision", good=False)
    assert await failures(shop) == (0, 1)


async def test_what_is_said_counts_at_once(shop: Prints) -> None:
    """Only the prints that changed are read again."""
    jobs = [await shop.end() for _ in range(3)]
    assert await failures(shop) == (0, 3)
    read: list[set[str] | None] = []
    once = shop.outcomes._read

    async def noted(now: float, only: set[str] | None = None) -> list[object]:
        read.append(only)
        return list(await once(now, only))

    shop.outcomes._read = noted  # type: ignore[method-assign, assignment]  # one method is replaced for this test
    await shop.run("reviews.put", job_id=jobs[0]["id"], good=False)
    assert await failures(shop) == (1, 3)
    assert read == [{jobs[0]["id"]}]


async def test_whoever_asks_while_another_one_reads_hears_the_same(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The print that has just ended counts for both, and the model knows it."""
    await shop.end()
    await shop.outcomes.all()
    job = await shop.write()
    read, begun, held = shop.database.read, asyncio.Event(), asyncio.Event()

    async def slow(work: Any) -> Any:
        begun.set()
        await held.wait()
        return await read(work)

    monkeypatch.setattr(shop.database, "read", slow)
    async with asyncio.TaskGroup() as group:
        shop.bus.publish("job.updated", job)
        asked = [group.create_task(shop.run("predictions.get", device_id=A))]
        await begun.wait()
        asked.append(group.create_task(shop.run("predictions.get", device_id=A)))
        await asyncio.sleep(0)  # the other one begins to wait
        held.set()
    assert [one.result()["n"] for one in asked] == [2, 2]


async def test_what_could_not_be_read_counts_the_next_time(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an hour later."""
    await shop.end()
    await shop.outcomes.all()
    job = await shop.write()

    async def busy(_work: Any) -> Any:
        raise Unavailable("database_busy", "Busy")

    with monkeypatch.context() as once:
        once.setattr(shop.database, "read", busy)
        shop.bus.publish("job.updated", job)
        with pytest.raises(Unavailable):
            await shop.outcomes.all()
    assert len(await shop.outcomes.all()) == 2


async def test_what_another_brain_wrote_counts_within_the_hour(shop: Prints) -> None:
    """And what is more than a year old no more."""
    await shop.end(completed_at=shop.clock.now - EVIDENCE + 60)
    await shop.many((1, BAD))
    assert await failures(shop) == (1, 2)
    await shop.many((1, BAD))
    assert await failures(shop) == (1, 2)
    shop.clock.advance(REREAD + 1)
    assert await failures(shop) == (2, 2)


async def test_a_word_that_is_taken_back_changes_what_counts(shop: Prints) -> None:
    """A print that was good, and then is not."""
    job = await shop.end(status="aborted")
    await shop.run("reviews.put", job_id=job["id"], good=True)
    assert await failures(shop) == (0, 1)
    await shop.run("reviews.put", job_id=job["id"], good=False)
    assert await failures(shop) == (1, 1)


# -- the model ----------------------------------------------------------------------------------------


def test_more_of_the_same_makes_surer_and_nearer() -> None:
    """The interval closes around the rate."""
    widths = []
    for count in (1, 10, 100, 1000):
        tally = Tally(printer=A, material="PLA", file=None, good=9 * count, failed=count)
        found = Model([tally]).chance(A, "PLA", None)
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_all_that_failed_is_still_not_certain() -> None:
    """Nor is all that went well."""
    bad = Model([Tally(printer=A, material="PLA", file=FILE, good=0, failed=500)])
    good = Model([Tally(printer=A, material="PLA", file=FILE, good=500, failed=0)])
    assert 0 < bad.chance(A, "PLA", FILE).probability < 0.05
    assert 0.95 < good.chance(A, "PLA", FILE).probability < 1


def test_of_very_many_files_those_printed_most_have_an_effect() -> None:
    """The others count as files that were never seen."""
    tallies = [
        Tally(
            printer=A, material="PLA", file=f"{at}", good=0 if at == 7 else 2, failed=9 * (at == 7)
        )
        for at in range(1200)
    ]
    model = Model(tallies)
    assert len(model._files) == 1000
    assert model.chance(A, "PLA", "7").probability < 0.75
    assert model.chance(A, "PLA", "1199") == model.chance(A, "PLA", "never seen")


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_what_is_held_out_is_foretold_better_than_by_the_base_rate(name: str) -> None:
    """In made worlds whose truth is known, of sixty prints; and better than by each pair's own rate."""
    found = scored(name, count=60, seeds=8)
    assert found["model"] < found["base rate"] * WORLDS[name].least
    assert found["model"] < found["pair's own rate"]
    assert found["inside"] > 0.75


def test_the_probabilities_mean_what_they_say() -> None:
    """Of the prints that were called 80 % likely, about 80 of 100 turn out well (all worlds together)."""
    table = calibration(count=60, seeds=6)
    assert error_of(table) < 0.05
    assert max(row["foretold"] for row in table) > 0.9


@given(
    st.lists(
        st.builds(
            Tally,
            printer=st.sampled_from("AB"),
            material=st.sampled_from(["PLA", "PETG", None]),
            file=st.sampled_from(["1", "2", None]),
            good=st.integers(0, 10_000),
            failed=st.integers(0, 10_000),
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_was_counted_the_chance_is_one(tallies: list[Tally]) -> None:
    """Between 0 and 1, inside its interval, for what is known and what is not."""
    model = Model(tallies)
    for found in (model.chance("A", "PLA", "1"), model.chance("C", None, "3")):
        assert 0 < found.low <= found.probability <= found.high < 1


def test_a_step_that_leaps_over_the_top_is_halved() -> None:
    """Thousands of prints of which few went well: whole steps would end in nothing that can be computed."""
    kinds = [
        ("A", "PETG", "1", 0, 9000),
        ("B", None, None, 10_000, 3),
        ("A", "PLA", None, 1238, 7379),
    ]
    model = Model(
        [
            Tally(printer=printer, material=material, file=file, good=good, failed=failed)
            for printer, material, file, good, failed in kinds
        ]
    )
    found = model.chance("A", "PLA")
    assert found.low < 1238 / (1238 + 7379) < found.high
    assert found.high - found.low < 0.05
