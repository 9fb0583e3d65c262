"""Watching prints: what a camera shows, what is chosen for it, and who judges its pictures."""

import asyncio
import base64
import io
from pathlib import Path
import sys
from typing import Any

from PIL import Image
import pytest
from sqlalchemy import select

from brain_server.drivers import DeviceInfo
from brain_server.errors import DeviceError, Forbidden, InvalidRequest, NotFound, Unavailable
from brain_server.protocol import Json, Kind
from brain_server.storage.tables import watched
from brain_server.vision import detect
from tests.brain.home import ROOT, until
from tests.brain.vision.conftest import (
    READER,
    SPAGHETTI,
    Mind,
    Moody,
    Shop,
    alarmed,
    opened,
    puppets_of,
)
from tests.standins.mjpeg_camera import SIZE, jpeg, scene

# -- what a camera shows ------------------------------------------------------------------------------


async def test_a_camera_watches_the_only_printer_of_its_area(shop: Shop) -> None:
    assert shop.row()["printer_id"] == shop.printer_id
    assert shop.row()["watching"] is False
    await shop.prints()
    assert shop.row()["watching"] is True


async def test_of_two_printers_in_an_area_none_is_guessed(shop: Shop) -> None:
    await shop.home.puppet("mini", "printer")
    assert shop.row()["printer_id"] is None


async def test_a_printer_of_another_area_is_chosen(shop: Shop) -> None:
    other = await shop.home.puppet("far", "printer", "hall")
    row = await shop.chooses(printer_id=other.context.device_id)
    assert row["printer_id"] == other.context.device_id


async def test_a_camera_of_no_area_watches_nothing(shop: Shop) -> None:
    free = await shop.home.puppet("free", "camera", None)
    rows = {row["device_id"]: row["printer_id"] for row in shop.vision.rows()}
    assert rows[free.context.device_id] is None


async def test_a_printer_with_a_camera_watches_itself(shop: Shop) -> None:
    info = DeviceInfo(
        external_id="x1", name="X1", kind=Kind.PRINTER, capabilities=frozenset(), has_camera=True
    )
    options = {"external_id": "x1", "kind": "printer"}
    live = await shop.brain.registry.put("puppet", options, zone_id="hall", info=info)
    rows = {row["device_id"]: row["printer_id"] for row in shop.vision.rows()}
    assert rows[live.record.id] == live.record.id


async def test_a_chosen_printer_that_is_gone_is_not_replaced_by_another(shop: Shop) -> None:
    other = await shop.home.puppet("far", "printer", "hall")
    await shop.chooses(printer_id=other.context.device_id)
    await shop.home.command("devices.remove", {"device_id": other.context.device_id})
    assert shop.row()["printer_id"] is None


async def test_a_good_print_is_called_fine(shop: Shop) -> None:
    job_id = await shop.prints()
    row = await shop.looks()
    assert (row["health"], row["verdict"], row["confidence"]) == ("ok", "fine", 0.95)
    assert (row["detector"], row["job_id"]) == ("model", job_id)
    assert shop.told["vision.updated"][-1] == row


async def test_without_a_print_a_camera_is_only_looked_after(shop: Shop) -> None:
    row = await shop.looks()
    assert (row["health"], row["verdict"]) == ("ok", None)
    assert shop.mind.asked == []


async def test_a_dark_picture_is_not_judged(shop: Shop) -> None:
    await shop.prints()
    shop.camera.picture = jpeg(Image.new("RGB", SIZE, (2, 2, 2)))
    await shop.look()
    assert (shop.row()["health"], shop.row()["verdict"]) == ("dark", None)
    assert shop.mind.asked == []


async def test_a_frozen_camera_is_told_while_the_printer_moves(shop: Shop) -> None:
    for progress in range(4):
        await shop.prints(progress=10.0 + progress)
        shop.clock.ahead += 25
        await shop.look()
    assert (shop.row()["health"], shop.row()["reason"]) == ("frozen", "no_change")


async def test_a_camera_that_hangs_is_unreachable_and_says_why(shop: Shop) -> None:
    shop.camera.picture = DeviceError("no_picture", "…")
    await shop.look()
    assert (shop.row()["health"], shop.row()["reason"]) == ("unreachable", "no_picture")


async def test_what_a_camera_sends_that_is_no_picture_is_told(shop: Shop) -> None:
    shop.camera.picture = b"<html>"
    await shop.look()
    assert (shop.row()["health"], shop.row()["reason"]) == ("unreachable", "bad_picture")


async def test_figures_alone_are_told_once_a_minute(shop: Shop) -> None:
    await shop.prints()
    await shop.looks()
    before = len(shop.told["vision.updated"])
    for sure in (0.91, 0.92, 0.93):
        shop.mind.says = Mind.saying("fine", sure)
        await shop.looks(apart=10)
    assert len(shop.told["vision.updated"]) == before
    await shop.looks(apart=40)
    assert len(shop.told["vision.updated"]) == before + 1


async def test_a_removed_camera_is_told_once_more_and_forgotten(shop: Shop) -> None:
    await shop.chooses(every_s=30)
    await shop.looks()
    await shop.home.command("devices.remove", {"device_id": shop.camera_id})
    assert shop.told["vision.updated"][-1]["archived"] is True
    query = select(watched)
    read = shop.brain.brain_db.read

    async def rows() -> list[Any]:
        return list(await read(lambda connection: connection.execute(query).all()))

    tasks = shop.brain.tasks._tasks
    await until(lambda: not [one for one in tasks if "forget" in one.get_name()], "forgotten")
    assert await rows() == []
    assert shop.vision.rows() == []


# -- choices ------------------------------------------------------------------------------------------


async def test_what_is_not_chosen_stays(shop: Shop) -> None:
    await shop.chooses(every_s=30, action="pause")
    row = await shop.chooses(threshold=0.8)
    chosen = {name: row["settings"][name] for name in ("every_s", "action", "threshold")}
    assert chosen == {"every_s": 30, "action": "pause", "threshold": 0.8}
    assert "mute" not in row["settings"]


async def test_choices_outlive_the_brain(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        await first.furnish()
        await first.chooses(every_s=30)
    async with opened(tmp_path, life=2) as second:
        await puppets_of(second)
        assert [row["settings"]["every_s"] for row in second.vision.rows()] == [30]


@pytest.mark.parametrize(
    "choice",
    [
        {"every_s": 0.5},
        {"threshold": 0},
        {"needed": 6},
        {"action": "power_cut"},
        {"action": "cancel"},
        {"detector": "magic"},
        {"unknown": 1},
    ],
)
async def test_what_cannot_be_chosen_is_refused(shop: Shop, choice: Json) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await shop.chooses(**choice)
    assert caught.value.code == "invalid_params"


async def test_only_a_printer_can_be_watched(shop: Shop) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await shop.chooses(printer_id=shop.camera_id)
    assert caught.value.code == "invalid_params"


async def test_choosing_is_for_admins(shop: Shop) -> None:
    with pytest.raises(Forbidden):
        await shop.call("vision.configure", READER, device_id=shop.camera_id, enabled=False)


async def test_a_device_without_a_camera_cannot_be_watched(shop: Shop) -> None:
    with pytest.raises(NotFound) as caught:
        await shop.call("vision.configure", device_id=shop.printer_id, enabled=True)
    assert caught.value.code == "no_camera"


async def test_a_camera_without_a_detector_only_has_a_health(shop: Shop) -> None:
    await shop.chooses(detector="none")
    await shop.prints()
    row = await shop.looks()
    assert (row["health"], row["verdict"]) == ("ok", None)
    assert shop.mind.asked == []


# -- models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"verdict": "fine"},
        {"verdict": "fine", "confidence": 1.5, "what": ""},
        {"verdict": "great", "confidence": 1, "what": ""},
        {"verdict": "fine", "confidence": 1, "what": "", "call": "heat"},
        "fine",
        DeviceError("privacy_refused", "…"),
    ],
)
async def test_an_answer_that_does_not_fit_is_unknown_and_never_fine(
    shop: Shop, answer: Any
) -> None:
    await shop.prints(layer=2)
    shop.mind.says = answer
    row = await shop.looks(4)
    assert (row["verdict"], row["confidence"]) == ("unknown", 0.0)
    assert shop.reports == []


async def test_words_in_a_picture_become_one_short_line(shop: Shop) -> None:
    await shop.prints()
    shop.mind.says = Mind.saying("spaghetti", 0.9, "a\n\x1b[2J" + "b" * 150)
    row = await shop.looks()
    assert row["what"] == "a [2J" + "b" * 75


async def test_a_model_sees_a_picture_of_moderate_size(shop: Shop) -> None:
    await shop.prints()
    shop.camera.picture = jpeg(scene(1).resize((3000, 2250)))
    await shop.look()
    ((prompt, image, schema),) = shop.mind.asked
    with Image.open(io.BytesIO(image)) as seen:
        assert max(seen.size) == 1024
    assert (prompt, schema) == (detect.PROMPT, detect.SCHEMA)


async def test_a_model_is_not_asked_for_every_picture(shop: Shop) -> None:
    await shop.prints()
    await shop.look()
    await shop.vision.watch(shop.camera_id)
    assert len(shop.mind.asked) == 1


# -- looking now --------------------------------------------------------------------------------------


async def test_a_person_looks_and_nobody_is_alarmed(shop: Shop) -> None:
    await shop.chooses(needed=1, of=1, action="pause")
    await shop.prints()
    shop.mind.says = SPAGHETTI
    seen = await shop.call("vision.look", device_id=shop.camera_id)
    assert base64.b64decode(seen["image"]) == shop.camera.picture
    assert (seen["verdict"], seen["content_type"]) == ("spaghetti", "image/jpeg")
    assert await shop.incidents() == []


async def test_who_only_reads_spends_nothing_on_a_model(shop: Shop) -> None:
    seen = await shop.call("vision.look", READER, device_id=shop.camera_id)
    assert seen["verdict"] is None
    assert shop.mind.asked == []


async def test_cameras_and_incidents_come_in_pages(shop: Shop) -> None:
    await alarmed(shop)
    listed = await shop.call("vision.list", READER)
    assert [row["device_id"] for row in listed["items"]] == [shop.camera_id]
    assert await shop.incidents(status="over") == []
    (one,) = await shop.incidents(device_id=shop.camera_id, limit=1)
    assert await shop.incidents(cursor=one["id"]) == []


# -- by itself ----------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clock more often."""
    monkeypatch.setattr("brain_server.vision.TICK_S", 0.02)


async def test_a_print_is_watched_by_itself(quick: None, shop: Shop) -> None:
    await shop.chooses(every_s=1)
    await shop.prints()
    row = await until(lambda: shop.row()["verdict"] and shop.row(), "a verdict")
    assert row["verdict"] == "fine"


async def test_a_camera_that_is_switched_off_is_left_alone(quick: None, shop: Shop) -> None:
    await shop.chooses(every_s=1, enabled=False)
    await shop.prints()
    watching = await shop.home.puppet("second", "camera", "hall")
    watching.picture = jpeg(scene())
    second = watching.context.device_id
    await shop.call("vision.configure", device_id=second, every_s=1, printer_id=shop.printer_id)

    def seen() -> bool:
        return any(row["device_id"] == second and row["at"] for row in shop.vision.rows())

    await until(seen, "a look through the other camera")
    assert shop.row()["at"] is None


# -- weight -------------------------------------------------------------------------------------------


async def test_what_opens_pictures_is_loaded_only_when_somebody_looks() -> None:
    heavy = ["PIL", "av", "numpy", "onnxruntime"]
    words = (
        "import sys, brain_server.vision, brain_server.drivers.camera; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = await asyncio.create_subprocess_exec(
        sys.executable, "-c", words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await found.communicate()
    assert said.decode().strip() == "[]"


# -- at the same time ---------------------------------------------------------------------------------


async def test_a_choice_that_could_not_be_kept_does_not_count(shop: Shop, moody: Moody) -> None:
    moody.is_busy = True
    with pytest.raises(Unavailable):
        await shop.chooses(threshold=0.5)
    assert shop.row()["settings"]["threshold"] == 0.6


async def test_a_choice_that_was_kept_counts_though_nobody_waits_for_it(
    shop: Shop, moody: Moody
) -> None:
    moody.hold()
    async with asyncio.TaskGroup() as group:
        choosing = group.create_task(shop.chooses(threshold=0.5))
        await moody.begun.wait()
        choosing.cancel()
    moody.held.set()
    await until(lambda: shop.told.get("vision.updated"), "the news")
    assert shop.told["vision.updated"][-1]["settings"]["threshold"] == 0.5


async def test_a_print_that_ends_while_vision_starts_is_not_taken_for_one_that_runs(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before is older than what is told."""
    await shop.prints()
    job = shop.vision._jobs[shop.printer_id]

    async def slow() -> list[Json]:
        await shop.ends()
        return [job]

    monkeypatch.setattr(shop.vision, "_open_jobs", slow)
    monkeypatch.setattr(shop.vision._tasks, "keep_up", lambda *_: None)
    await shop.vision.start()
    assert shop.row()["watching"] is False
