"""Reviews: a finished print waits for somebody's word, and what is said is kept and told."""

import asyncio
import base64
from collections.abc import AsyncIterator
import io
from pathlib import Path
import random
from typing import Any

from PIL import Image
import pytest

from brain_server.errors import Conflict, NotFound, Unavailable
from brain_server.fabrication.reviews import MOST_PICTURE, WAITS, WINDOW
from brain_server.protocol import Json
from brain_server.storage.tables import new_id
from tests.brain.fabrication.prints import PNG, A, B, Prints, prints
from tests.brain.gatehouse import Clock

DAY = 86_400.0


@pytest.fixture
async def shop(database_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Prints]:
    """Give prints, and those who judge them."""
    async with prints(database_url, tmp_path, clock) as made:
        yield made


def photo(image: bytes = PNG) -> Json:
    """Return a picture as it goes over the wire."""
    return {"content_type": "image/png", "image": base64.b64encode(image).decode()}


async def busy(_work: Any) -> Any:
    """Stand for a database that answers nobody."""
    raise Unavailable("database_busy", "Busy")


class Held:
    """Lets a database answer only when it may."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.done, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, work: Any) -> Any:
        """Do it, and hold the answer back."""
        found = await self._real(work)
        self.done.set()
        await self.go.wait()
        return found


# -- what waits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_a_print_that_ended_waits_for_a_word(shop: Prints, end: str) -> None:
    """And everybody is told, once."""
    job = await shop.end(status=end)
    (told,) = shop.of("review.updated")
    (listed,) = (await shop.run("reviews.list", waiting=True))["items"]
    assert told == listed
    wanted = {"job_id": job["id"], "device_id": A, "file": "part.gcode", "status": "waiting"}
    assert wanted.items() <= told.items()
    assert (told["outcome"], told["ended_at"]) == (end, job["completed_at"])
    assert await shop.reviews.waiting() == [told]


@pytest.mark.parametrize(
    "columns",
    [{"status": "aborted"}, {"started_at": None}, {"status": "printing", "completed_at": None}],
    ids=["stopped by a person", "never began", "still prints"],
)
async def test_a_print_that_shows_nothing_waits_for_nobody(shop: Prints, columns: Json) -> None:
    """A print that was stopped, that never began or that goes on."""
    await shop.end(**columns)
    assert shop.of("review.updated") == []
    assert await shop.reviews.waiting() == []


async def test_what_changes_in_a_job_later_is_no_second_question(shop: Prints) -> None:
    """Its costs, for instance."""
    job = await shop.end()
    await shop.change(job["id"], cost_micro=5)
    assert len(shop.of("review.updated")) == 1


async def test_after_a_restart_a_job_that_is_judged_is_not_asked_about(shop: Prints) -> None:
    """The rows know what was said, whoever was running then."""
    job = await shop.write()
    await shop.run("reviews.put", job_id=job["id"], good=True)
    shop.told.clear()
    await shop.change(job["id"], cost_micro=5)
    assert shop.of("review.updated") == []


async def test_what_waits_outlives_a_restart(shop: Prints, tmp_path: Path) -> None:
    """It is what is in the rows, and nothing else."""
    job = await shop.end()
    again = Prints(shop.database.url.render_as_string(hide_password=False), tmp_path, shop.clock)
    await again.database.open()
    waiting = await again.reviews.waiting()
    await again.database.close()
    assert [one["job_id"] for one in waiting] == [job["id"]]


async def test_nobody_is_asked_after_two_weeks(shop: Prints) -> None:
    """Then it is told once more, as lapsed, and a word is still welcome."""
    job = await shop.end()
    shop.clock.advance(WAITS + 1)
    await shop.reviews.tidy()
    await shop.reviews.tidy()
    assert [one["status"] for one in shop.of("review.updated")] == ["waiting", "lapsed"]
    assert await shop.reviews.waiting() == []
    assert (await shop.run("reviews.put", job_id=job["id"], good=True))["status"] == "done"


async def test_only_what_waited_lapses(shop: Prints) -> None:
    """Neither what was judged nor what nobody was asked about."""
    await shop.run("reviews.put", job_id=(await shop.end())["id"], good=True)
    await shop.end(status="aborted")
    shop.told.clear()
    shop.clock.advance(WAITS + 1)
    await shop.reviews.tidy()
    assert shop.told == []


async def test_of_very_many_prints_the_first_is_asked_about_again(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of them is bounded; the rows keep it from being wrong."""
    monkeypatch.setattr("brain_server.fabrication.reviews._REMEMBERED", 1)
    first = await shop.end()
    await shop.end()
    await shop.change(first["id"], cost_micro=5)
    assert [one["job_id"] for one in shop.of("review.updated")].count(first["id"]) == 2


async def test_what_could_not_be_read_is_asked_about_with_the_next_word_of_the_job(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its costs, for instance; nobody else would ask again."""
    job = await shop.write()
    with monkeypatch.context() as once:
        once.setattr(shop.database, "read", busy)
        shop.bus.publish("job.updated", job)
        await shop.quiet()
    await shop.change(job["id"], cost_micro=5)
    assert [one["status"] for one in shop.of("review.updated")] == ["waiting"]


async def test_what_lapsed_while_nothing_could_be_read_is_told_later(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be shown as waiting until people load the page anew."""
    await shop.end()
    shop.clock.advance(WAITS + 1)
    with monkeypatch.context() as once:
        once.setattr(shop.database, "read", busy)
        with pytest.raises(Unavailable):
            await shop.reviews.tidy()
    await shop.reviews.tidy()
    assert [one["status"] for one in shop.of("review.updated")] == ["waiting", "lapsed"]


async def test_nobody_is_asked_about_a_print_that_is_judged_meanwhile(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word that came last is told last."""
    job = await shop.write()
    held = Held(shop.database.read)
    with monkeypatch.context() as once:
        once.setattr(shop.database, "read", held)
        shop.bus.publish("job.updated", job)
        await held.done.wait()
    async with asyncio.TaskGroup() as group:
        said = group.create_task(shop.run("reviews.put", job_id=job["id"], good=True))
        # Whoever did not wait for the question would be done by then.
        for _ in range(3):
            await shop.database.write(lambda _connection: None)
        held.go.set()
    await shop.quiet()
    assert [one["status"] for one in shop.of("review.updated")] == ["waiting", "done"]
    assert said.result()["status"] == "done"


# -- what is said -------------------------------------------------------------------------------------


async def test_what_a_person_says_is_kept_and_told(shop: Prints) -> None:
    """All of it, with who said it and when."""
    job = await shop.end(material="PETG")
    said = await shop.run(
        "reviews.put",
        job_id=job["id"],
        good=False,
        rating=2,
        reasons=["stringing", "warping", "stringing"],
        quality={"layers": 80, "surface": 40.5},
        note="Strings everywhere",
        picture=photo(),
    )
    assert said == {
        "job_id": job["id"],
        "device_id": A,
        "file": "part.gcode",
        "material": "PETG",
        "status": "done",
        "outcome": "completed",
        "error": None,
        "ended_at": job["completed_at"],
        "good": False,
        "rating": 2,
        "reasons": ["stringing", "warping"],
        "quality": {
            "layers": {"value": 80.0, "source": "person"},
            "surface": {"value": 40.5, "source": "person"},
        },
        "note": "Strings everywhere",
        "has_picture": True,
        "by_user": "ada",
        "reviewed_at": shop.clock.now,
    }
    assert shop.of("review.updated")[-1] == said
    assert (await shop.run("reviews.list", waiting=False))["items"] == [said]
    assert await shop.reviews.waiting() == []


async def test_a_person_may_say_it_better_later(shop: Prints) -> None:
    """The last word counts; a picture that is not given again stays."""
    job = await shop.end()
    await shop.run("reviews.put", job_id=job["id"], good=True, rating=5, picture=photo())
    said = await shop.run("reviews.put", "bob", job_id=job["id"], good=False)
    assert (said["good"], said["rating"], said["by_user"]) == (False, None, "bob")
    assert said["has_picture"]
    assert len((await shop.run("reviews.list"))["items"]) == 1


async def test_the_photo_is_kept_under_its_sha256(shop: Prints) -> None:
    """And comes back as it went in."""
    job = await shop.end()
    await shop.run("reviews.put", job_id=job["id"], good=True, picture=photo())
    (kept,) = (shop.folder / "evidence").iterdir()
    assert len(kept.name) == 64
    assert await shop.run("reviews.picture", job_id=job["id"]) == photo()


@pytest.mark.parametrize(
    "image",
    [b"", b"GIF89a", b"<svg/>", PNG + bytes(MOST_PICTURE), PNG + bytes(700_000)],
    ids=["empty", "another kind", "a program", "too large", "cannot be read"],
)
async def test_what_is_no_photo_is_refused(shop: Prints, image: bytes) -> None:
    """Before anything is kept."""
    job = await shop.end()
    code = await shop.refused("reviews.put", job_id=job["id"], good=True, picture=photo(image))
    assert code == "invalid_picture"
    assert (await shop.run("reviews.list", waiting=False))["items"] == []


async def test_a_print_without_a_photo_shows_none(shop: Prints) -> None:
    """Nor does one whose file is gone."""
    job = await shop.end()
    assert await shop.refused("reviews.picture", job_id=job["id"]) == "no_evidence"
    await shop.reviews.keep(job["id"], source="vision", good=True, picture="0" * 64)
    assert await shop.refused("reviews.picture", job_id=job["id"]) == "no_evidence"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rating": 0},
        {"rating": 6},
        {"reasons": ["bad luck"]},
        {"quality": {"layers": 100.5}},
        {"quality": {"smell": 5}},
        {"note": "x" * 2001},
        {"picture": {"content_type": "image/png", "image": "not base64!"}},
    ],
)
async def test_what_makes_no_sense_is_refused(shop: Prints, wrong: Json) -> None:
    """Ratings, reasons and figures that are not in the list."""
    job = await shop.end()
    assert await shop.refused("reviews.put", job_id=job["id"], good=True, **wrong) == (
        "invalid_params"
    )


async def test_a_print_that_is_not_over_cannot_be_judged(shop: Prints) -> None:
    """Nor one that there never was."""
    job = await shop.end(status="printing", completed_at=None)
    assert await shop.refused("reviews.put", job_id=job["id"], good=True) == "job_not_over"
    assert await shop.refused("reviews.put", job_id=new_id(), good=True) == "job_not_found"


async def test_a_print_that_was_stopped_may_be_judged(shop: Prints) -> None:
    """Whoever stopped it knows why."""
    job = await shop.end(status="aborted")
    assert (await shop.run("reviews.list"))["items"][0]["status"] == "none"
    said = await shop.run("reviews.put", job_id=job["id"], good=False, reasons=["spaghetti"])
    assert (said["status"], said["outcome"]) == ("done", "aborted")


async def test_a_camera_does_not_speak_for_a_person(shop: Prints) -> None:
    """Its figures are kept with its name, and a word is still waited for; where both measured, the person counts."""
    job = await shop.end()
    seen = {"layers": 60, "size": 70}
    view = await shop.reviews.keep(job["id"], source="vision", good=False, quality=seen)
    assert (view["status"], view["good"]) == ("waiting", None)
    said = await shop.run("reviews.put", job_id=job["id"], good=True, quality={"layers": 90})
    assert said["quality"] == {
        "layers": {"value": 90, "source": "person"},
        "size": {"value": 70, "source": "vision"},
    }


async def test_the_list_comes_in_pages_and_by_printer(shop: Prints) -> None:
    """Oldest first."""
    made = [(await shop.end(device_id=device_id))["id"] for device_id in (A, B, A)]
    first = await shop.run("reviews.list", limit=1, device_id=A)
    rest = await shop.run("reviews.list", cursor=first["cursor"], device_id=A)
    assert [one["job_id"] for one in first["items"] + rest["items"]] == [made[0], made[2]]
    assert rest["cursor"] is None


async def test_the_newest_prints_come_first_where_somebody_looks_back(shop: Prints) -> None:
    """In pages, too."""
    made = [(await shop.end(device_id=A))["id"] for _ in range(3)]
    first = await shop.run("reviews.list", limit=2, newest_first=True)
    rest = await shop.run("reviews.list", cursor=first["cursor"], newest_first=True)
    assert [one["job_id"] for one in first["items"] + rest["items"]] == made[::-1]


async def test_errors_of_the_store_are_the_callers(shop: Prints) -> None:
    """The same codes for who calls it from inside."""
    with pytest.raises(NotFound):
        await shop.reviews.keep(new_id(), source="vision", good=True)
    job = await shop.end(status="paused", completed_at=None)
    with pytest.raises(Conflict):
        await shop.reviews.keep(job["id"], source="vision", good=True)


# -- quality ------------------------------------------------------------------------------------------


async def test_the_quality_of_each_print_is_listed_and_only_of_those(shop: Prints) -> None:
    """A word without figures is no measurement."""
    measured = await shop.end()
    await shop.run("reviews.put", job_id=measured["id"], good=True, quality={"size": 95})
    await shop.run("reviews.put", job_id=(await shop.end())["id"], good=True)
    found = await shop.run("quality.list")
    assert [one["job_id"] for one in found["items"]] == [measured["id"]]
    assert found["cursor"] is None
    (printer,) = found["printers"]
    assert printer == {
        "device_id": A,
        "layers": {"mean": None, "n": 0, "change": None},
        "surface": {"mean": None, "n": 0, "change": None},
        "size": {"mean": 95.0, "n": 1, "change": None},
    }


async def test_each_printer_has_a_trend_of_its_own(shop: Prints) -> None:
    """The newest prints beside as many before; what is older does not count any more."""
    for device_id, old, new in ((A, 80.0, 50.0), (B, 60.0, 60.0)):
        for value in [1.0, *[old] * WINDOW, *[new] * WINDOW]:
            job = await shop.write(device_id=device_id)
            await shop.reviews.keep(
                job["id"], source="vision", good=True, quality={"surface": value}
            )
    found = {
        one["device_id"]: one["surface"] for one in (await shop.run("quality.list"))["printers"]
    }
    assert found == {
        A: {"mean": 50.0, "n": WINDOW, "change": -30.0},
        B: {"mean": 60.0, "n": WINDOW, "change": 0.0},
    }


async def test_quality_may_be_asked_for_one_printer(shop: Prints) -> None:
    """In pages."""
    for device_id in (A, B, B):
        job = await shop.write(device_id=device_id)
        await shop.reviews.keep(job["id"], source="vision", good=True, quality={"size": 50})
    found = await shop.run("quality.list", device_id=B, limit=1)
    assert [one["device_id"] for one in found["items"]] == [B]
    assert [one["device_id"] for one in found["printers"]] == [B]
    assert found["cursor"] == found["items"][0]["job_id"]


async def test_a_photo_that_is_too_large_for_the_wire_is_made_smaller(shop: Prints) -> None:
    """Nobody has to know what fits into a frame."""
    noise = random.Random(1).randbytes(900 * 900 * 3)
    large = io.BytesIO()
    Image.frombytes("RGB", (900, 900), noise).save(large, "PNG")
    job = await shop.end()
    await shop.run("reviews.put", job_id=job["id"], good=True, picture=photo(large.getvalue()))
    kept = await shop.run("reviews.picture", job_id=job["id"])
    assert kept["content_type"] == "image/jpeg"
    assert len(kept["image"]) < 1024 * 1024


async def test_what_is_kept_is_told_though_nothing_can_be_read_then(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever predicts would not know of it for an hour."""
    job = await shop.end()
    with monkeypatch.context() as once:
        once.setattr(shop.database, "read", busy)
        await shop.run("reviews.put", job_id=job["id"], good=False)
    assert shop.of("review.updated")[-1]["good"] is False
    assert [one.good for one in await shop.outcomes.all()] == [False]


async def test_what_is_kept_is_told_though_whoever_said_it_went_away(
    shop: Prints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their time was over between the two."""
    job = await shop.end()
    await shop.outcomes.all()
    held = Held(shop.database.write)
    monkeypatch.setattr(shop.database, "write", held)
    saying = shop.tasks.start("saying", shop.run("reviews.put", job_id=job["id"], good=False))
    await held.done.wait()
    saying.cancel()
    held.go.set()
    with pytest.raises(asyncio.CancelledError):
        await saying
    await shop.quiet()
    assert [one.good for one in await shop.outcomes.all()] == [False]
