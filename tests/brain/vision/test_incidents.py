"""Incidents: when people are alarmed, the most that is done about it, and what they answer."""

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
import pytest
from sqlalchemy import update

from brain_server.errors import Conflict, DeviceError, Forbidden, NotFound, Unavailable
from brain_server.protocol import INTENTS, Json
from brain_server.storage.tables import incidents, jobs
from tests.brain.home import puppets, until
from tests.brain.vision.conftest import (
    DONE,
    FINE,
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

# -- alarms -------------------------------------------------------------------------------------------


async def test_one_bad_picture_alarms_nobody(shop: Shop) -> None:
    await shop.prints()
    shop.mind.says = SPAGHETTI
    await shop.looks(2)
    shop.mind.says = FINE
    await shop.looks(3)
    shop.mind.says = SPAGHETTI
    await shop.looks(2)
    assert await shop.incidents() == []


async def test_three_bad_pictures_of_five_are_an_incident(shop: Shop) -> None:
    job_id = await shop.prints()
    for bad in (True, False, True, False, True):
        shop.mind.says = SPAGHETTI if bad else FINE
        await shop.looks()
    (incident,) = await shop.incidents()
    assert (incident["job_id"], incident["type"]) == (job_id, "spaghetti_detected")
    assert (incident["status"], incident["action"]) == ("open", "notify")
    assert (incident["confidence"], incident["detail"]) == (0.9, "loose strands")


async def test_a_clog_is_told_from_spaghetti(shop: Shop) -> None:
    await shop.prints()
    shop.mind.says = Mind.saying("clog", 0.8)
    await shop.looks(3)
    assert [one["type"] for one in await shop.incidents()] == ["nozzle_clog"]


async def test_unsure_pictures_alarm_nobody(shop: Shop) -> None:
    await shop.prints()
    shop.mind.says = Mind.saying("spaghetti", 0.55)
    await shop.looks(6)
    assert await shop.incidents() == []


async def test_the_threshold_and_the_number_of_pictures_are_the_persons_choice(shop: Shop) -> None:
    await shop.chooses(threshold=0.5, needed=1, of=1)
    await shop.prints()
    shop.mind.says = Mind.saying("spaghetti", 0.55)
    await shop.looks(1)
    assert len(await shop.incidents()) == 1


async def test_an_incident_becomes_an_event_of_its_print_with_the_picture(shop: Shop) -> None:
    incident = await alarmed(shop)
    (said,) = shop.reports
    assert (said["job_id"], said["kind"]) == (incident["job_id"], "spaghetti_detected")
    assert (said["confidence"], said["detail"]) == (0.9, "loose strands")
    assert said["picture"] == shop.camera.picture


async def test_the_picture_of_an_incident_is_kept(shop: Shop) -> None:
    incident = await alarmed(shop)
    shown = await shop.call("incidents.picture", READER, incident_id=incident["id"])
    assert shown["content_type"] == "image/jpeg"
    assert base64.b64decode(shown["image"]) == shop.camera.picture
    assert shown["device_id"] == incident["device_id"]
    assert shop.row()["picture"] == incident["picture"]


async def test_a_picture_that_was_changed_is_not_shown(shop: Shop, tmp_path: Path) -> None:
    incident = await alarmed(shop)
    (tmp_path / "evidence" / incident["picture"]).write_bytes(jpeg(scene()))
    with pytest.raises(Conflict) as caught:
        await shop.call("incidents.picture", incident_id=incident["id"])
    assert caught.value.code == "evidence_altered"


async def test_an_incident_whose_picture_has_an_odd_name_shows_nothing(shop: Shop) -> None:
    incident = await alarmed(shop)
    odd = update(incidents).where(incidents.c.id == incident["id"]).values(picture="../keys.json")
    await shop.brain.brain_db.write(lambda connection: connection.execute(odd))
    with pytest.raises(NotFound) as caught:
        await shop.call("incidents.picture", incident_id=incident["id"])
    assert caught.value.code == "no_evidence"


async def test_the_same_picture_twice_is_kept_once(shop: Shop, tmp_path: Path) -> None:
    await shop.chooses(needed=1, of=1)
    await shop.prints(layer=2)
    shop.mind.says = SPAGHETTI
    await shop.look()
    (first,) = await shop.incidents()
    await shop.call("vision.answer", incident_id=first["id"], verdict="false_alarm", mute_layers=1)
    await shop.prints(layer=3)
    await shop.look()
    assert [one["picture"] for one in await shop.incidents()] == [first["picture"]] * 2
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == [first["picture"]]


async def test_a_print_that_ended_while_its_picture_was_judged_raises_no_alarm(shop: Shop) -> None:
    await shop.chooses(needed=1, of=1)
    await shop.prints()

    async def slow(_prompt: str, _image: bytes, _area: str | None, _schema: Json) -> Json:
        await shop.ends()
        return SPAGHETTI

    shop.vision.detectors.ask = slow
    await shop.look()
    assert await shop.incidents() == []


async def test_a_picture_that_was_deleted_is_not_there(shop: Shop, tmp_path: Path) -> None:
    incident = await alarmed(shop)
    (tmp_path / "evidence" / incident["picture"]).unlink()
    with pytest.raises(NotFound) as caught:
        await shop.call("incidents.picture", incident_id=incident["id"])
    assert caught.value.code == "no_evidence"


async def test_a_huge_picture_is_kept_in_a_size_that_can_be_sent(shop: Shop) -> None:
    noise = Image.effect_noise((2400, 1600), 90).convert("RGB")
    huge = jpeg(Image.blend(scene().resize(noise.size), noise, 0.5), 95)
    await shop.chooses(needed=1, of=1)
    await shop.prints()
    shop.mind.says = SPAGHETTI
    shop.camera.picture = huge
    await shop.look()
    (incident,) = await shop.incidents()
    shown = await shop.call("incidents.picture", incident_id=incident["id"])
    assert len(huge) > 1024**2 > len(shown["image"])


async def test_one_incident_is_told_once_however_often_it_is_seen(shop: Shop) -> None:
    incident = await alarmed(shop)
    await shop.looks(8, apart=5)
    assert len(shop.told["incident.updated"]) == 1
    assert len(shop.reports) == 1
    await shop.looks(1, apart=60)
    assert len(shop.told["incident.updated"]) == 2
    (again,) = await shop.incidents()
    assert (again["id"], again["seen"]) == (incident["id"], 10)


async def test_a_failed_report_does_not_undo_the_alarm(shop: Shop) -> None:
    async def report(**_said: Any) -> None:
        raise Conflict("job_not_found", "…")

    shop.vision.report = report
    await alarmed(shop)
    assert len(shop.told["incident.updated"]) == 1


# -- what is done -------------------------------------------------------------------------------------


async def test_nothing_is_done_to_the_printer_unless_a_person_chose_it(shop: Shop) -> None:
    await alarmed(shop)
    assert shop.orders() == []


async def test_a_failing_print_is_paused_once_where_a_person_chose_it(shop: Shop) -> None:
    shop.printer.reaction = DONE
    await shop.chooses(action="pause")
    incident = await alarmed(shop)
    await until(lambda: shop.orders() == ["print_pause"], "the pause")
    await shop.looks(6)
    assert shop.orders() == ["print_pause"]
    assert incident["action"] == "pause"
    assert shop.told["incident.updated"][0]["action"] == "pause"


async def test_the_pause_needs_nobodys_approval_and_is_in_nobodys_name(shop: Shop) -> None:
    shop.printer.reaction = DONE
    await shop.chooses(action="pause")
    await alarmed(shop)
    (asked,) = (await shop.home.command("commands.list"))["items"]
    assert (asked["intent"], asked["requested_by"]) == ("print_pause", None)
    assert (asked["channel"], asked["event_id"]) == ("system", None)


async def test_a_printer_that_cannot_pause_is_only_told_about(shop: Shop) -> None:
    live = shop.brain.registry.get(shop.printer_id)
    live.record = replace(live.record, capabilities=frozenset({"print_start"}))
    await shop.chooses(action="pause")
    incident = await alarmed(shop)
    assert incident["action"] == "notify"
    assert [one["action"] for one in shop.told["incident.updated"]] == ["notify"]


async def test_a_pause_that_was_not_done_is_not_believed(shop: Shop) -> None:
    shop.printer.reaction = DeviceError("device_refused", "not now")
    await shop.chooses(action="pause")
    await alarmed(shop)
    told = shop.told["incident.updated"]
    await until(lambda: told[-1]["action"] == "notify", "the correction")
    assert [one["action"] for one in told] == ["pause", "notify"]


async def test_a_pause_that_was_not_done_is_not_believed_while_the_database_is_busy(
    shop: Shop, moody: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People are told at once; it is kept later."""

    async def refuse(*_asked: Any) -> None:
        moody.is_busy = True
        raise DeviceError("device_refused", "not now")

    monkeypatch.setattr(shop.vision._devices, "request", refuse)
    await shop.chooses(action="pause")
    await alarmed(shop)
    assert [one["action"] for one in shop.told["incident.updated"]] == ["notify"]
    assert len(shop.reports) == 1
    moody.is_busy = False
    await shop.ends()
    assert [one["action"] for one in await shop.incidents()] == ["notify"]


async def test_a_pause_that_failed_late_is_corrected_while_the_database_is_busy(
    shop: Shop, moody: Moody
) -> None:
    await shop.chooses(action="pause")
    await alarmed(shop)
    moody.is_busy = True
    (command,) = shop.vision._pauses
    pause = next(one for one in shop.told["command.updated"] if one["id"] == command)
    shop.brain.bus.publish("command.updated", pause | {"status": "failed"})
    told = shop.told["incident.updated"]
    await until(lambda: told[-1]["action"] == "notify", "the correction")


async def test_a_pause_that_was_done_is_made_once_also_in_the_next_life(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        await first.furnish()
        await first.chooses(action="pause")
        await first.prints()
        first.printer.shows = puppets().printer("paused", "benchy.gcode", first.run)
        await alarmed(first)
        command = first.told["command.updated"][0]["id"]
        await first.home.ended(command)
        run = first.run
    async with opened(tmp_path, life=2) as second:
        before = second.orders()
        second.camera, second.printer = await puppets_of(second)
        second.run = run
        await second.prints()
        second.mind.says = SPAGHETTI
        await second.looks(5)
        assert second.orders() == before


async def test_a_flash_of_darkness_is_not_judged(shop: Shop) -> None:
    await shop.prints()
    await shop.looks(2)
    shop.camera.picture = jpeg(Image.new("RGB", SIZE, (2, 2, 2)))
    await shop.look()
    assert shop.row()["health"] == "ok"
    assert len(shop.mind.asked) == 2


async def test_that_a_print_is_watched_is_told_when_it_begins_and_ends(shop: Shop) -> None:
    await shop.looks()
    await shop.prints()
    await until(lambda: shop.told["vision.updated"][-1]["watching"], "the news")
    await shop.ends()
    assert shop.told["vision.updated"][-1]["watching"] is False


async def test_no_picture_can_make_vision_ask_for_more_than_a_pause(shop: Shop) -> None:
    shop.printer.reaction = DONE
    await shop.chooses(action="pause")
    await shop.prints()
    for words in ("heat the nozzle to 300", "unlock the door", *INTENTS):
        shop.mind.says = Mind.saying("spaghetti", 1.0, words)
        await shop.looks()
    await until(shop.orders, "the pause")
    assert set(shop.orders()) == {"print_pause"}


# -- answers ------------------------------------------------------------------------------------------


async def test_a_false_alarm_is_quiet_for_some_layers(shop: Shop) -> None:
    incident = await alarmed(shop, layer=20)
    told = await shop.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
    assert (told["status"], told["answered_by"]) == ("false_alarm", "dan")
    assert shop.row()["muted_until_layer"] == 30
    await shop.prints(layer=29)
    row = await shop.looks(6)
    assert row["verdict"] == "spaghetti"  # it is still said, and nobody is called
    assert len(await shop.incidents()) == 1


async def test_after_those_layers_it_is_another_incident(shop: Shop) -> None:
    incident = await alarmed(shop, layer=20)
    await shop.call(
        "vision.answer", incident_id=incident["id"], verdict="false_alarm", mute_layers=2
    )
    await shop.prints(layer=22)
    await shop.looks(3)
    first, second = await shop.incidents()
    assert (first["status"], second["status"]) == ("false_alarm", "open")


async def test_the_newest_incidents_come_first_where_somebody_looks_back(shop: Shop) -> None:
    first = await alarmed(shop)
    await shop.ends()
    second = await alarmed(shop)
    page = await shop.call("incidents.list", limit=1, newest_first=True)
    rest = await shop.call("incidents.list", cursor=page["cursor"], newest_first=True)
    assert [one["id"] for one in page["items"] + rest["items"]] == [second["id"], first["id"]]


async def test_a_printer_without_layers_is_left_in_peace_for_minutes(shop: Shop) -> None:
    incident = await alarmed(shop)
    await shop.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
    assert shop.row()["muted_until"] == pytest.approx(shop.clock() + 20 * 60, abs=5)
    await shop.looks(4, apart=60)
    assert len(await shop.incidents()) == 1
    await shop.looks(4, apart=10 * 60)
    assert len(await shop.incidents()) == 2


async def test_a_false_alarm_of_one_print_says_nothing_of_the_next(shop: Shop) -> None:
    incident = await alarmed(shop, layer=20)
    await shop.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
    await shop.ends()
    await alarmed(shop, layer=2)


async def test_a_confirmed_incident_stays_and_is_not_told_again(shop: Shop) -> None:
    incident = await alarmed(shop)
    await shop.call("vision.answer", incident_id=incident["id"], verdict="confirmed")
    await shop.looks(5, apart=1)
    await shop.ends("failed")
    (again,) = await shop.incidents()
    assert (again["status"], again["seen"]) == ("confirmed", 6)
    assert again["closed_at"] is not None
    assert [one["status"] for one in shop.told["incident.updated"]] == [
        "open",
        "confirmed",
        "confirmed",
    ]


async def test_an_incident_can_be_judged_after_its_print(shop: Shop) -> None:
    incident = await alarmed(shop)
    await shop.ends()
    assert [one["status"] for one in await shop.incidents()] == ["over"]
    said = await shop.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
    assert said["status"] == "false_alarm"
    assert shop.row()["muted_until"] is None


async def test_an_unknown_incident_is_told(shop: Shop) -> None:
    with pytest.raises(NotFound) as caught:
        await shop.call("vision.answer", incident_id="0" * 32, verdict="confirmed")
    assert caught.value.code == "incident_not_found"


async def test_reading_is_not_answering(shop: Shop) -> None:
    incident = await alarmed(shop)
    with pytest.raises(Forbidden):
        await shop.call("vision.answer", READER, incident_id=incident["id"], verdict="confirmed")


async def test_an_answer_that_could_not_be_kept_was_not_given(shop: Shop, moody: Moody) -> None:
    incident = await alarmed(shop)
    moody.is_busy = True
    with pytest.raises(Unavailable):
        await shop.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
    assert [one["status"] for one in shop.vision.incidents.live()] == ["open"]


async def test_an_answer_that_was_kept_is_told_though_nobody_waits_for_it(
    shop: Shop, moody: Moody
) -> None:
    incident = await alarmed(shop)
    moody.hold()
    answer = shop.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(answer)
        await moody.begun.wait()
        giving.cancel()
    moody.held.set()
    await until(lambda: shop.row()["muted_until"], "the peace")
    assert shop.told["incident.updated"][-1]["status"] == "false_alarm"


async def test_an_incident_that_could_not_end_with_its_print_ends_later(
    shop: Shop, moody: Moody
) -> None:
    await alarmed(shop)
    moody.is_busy = True
    await shop.ends()
    moody.is_busy = False
    told = shop.told["incident.updated"]
    await until(lambda: told[-1]["status"] == "over", "its end")
    assert [one["status"] for one in await shop.incidents()] == ["over"]


async def test_an_incident_that_opens_while_its_print_ends_is_over(
    shop: Shop, moody: Moody
) -> None:
    await shop.chooses(needed=1, of=1)
    await shop.prints()
    shop.mind.says = SPAGHETTI
    moody.hold()
    async with asyncio.TaskGroup() as group:
        group.create_task(shop.look())
        await moody.begun.wait()
        await shop.ends()
        moody.held.set()
    told = shop.told["incident.updated"]
    await until(lambda: told[-1]["status"] == "over", "its end")
    assert shop.vision.incidents.live() == []


# -- the first layer ----------------------------------------------------------------------------------


async def test_a_good_first_layer_is_told_once(shop: Shop) -> None:
    await shop.prints(layer=1)
    await shop.looks(4)
    assert shop.reports == []
    await shop.prints(layer=2)
    await shop.looks(4)
    (said,) = shop.reports
    assert (said["kind"], said["confidence"]) == ("first_layer_ok", 0.95)


async def test_a_good_first_layer_is_told_later_where_the_database_is_busy(
    shop: Shop, moody: Moody
) -> None:
    await shop.prints(layer=2)
    await shop.looks(2)
    moody.is_busy = True
    with pytest.raises(Unavailable):
        await shop.looks()
    moody.is_busy = False
    await shop.looks(2)
    assert [said["kind"] for said in shop.reports] == ["first_layer_ok"]


@pytest.mark.parametrize("says", [Mind.saying("fine", 0.6), Mind.saying("unclear", 0.9), SPAGHETTI])
async def test_a_first_layer_is_not_called_good_without_ground(shop: Shop, says: Json) -> None:
    await shop.prints(layer=2)
    shop.mind.says = says
    await shop.looks(6)
    assert "first_layer_ok" not in [one["kind"] for one in shop.reports]


async def test_a_print_found_at_layer_fifty_has_no_first_layer(shop: Shop) -> None:
    await shop.prints(layer=50)
    await shop.looks(4)
    assert shop.reports == []


# -- lives --------------------------------------------------------------------------------------------


async def test_an_incident_outlives_the_brain(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        await first.furnish()
        incident = await alarmed(first, layer=20)
        run = first.run
    async with opened(tmp_path, life=2) as second:
        second.camera, second.printer = await puppets_of(second)
        second.run = run
        second.mind.says = SPAGHETTI
        await second.prints(layer=21)
        await second.looks(4)
        assert [one["id"] for one in second.vision.incidents.live()] == [incident["id"]]
        assert len(await second.incidents()) == 1
        await second.ends()
        assert [one["status"] for one in await second.incidents()] == ["over"]


async def test_a_false_alarm_outlives_the_brain(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        await first.furnish()
        incident = await alarmed(first, layer=20)
        await first.call("vision.answer", incident_id=incident["id"], verdict="false_alarm")
        run = first.run
    async with opened(tmp_path, life=2) as second:
        second.camera, second.printer = await puppets_of(second)
        second.run = run
        second.mind.says = SPAGHETTI
        await second.prints(layer=25)
        await second.looks(5)
        assert len(await second.incidents()) == 1


async def test_what_ended_while_nobody_looked_is_over(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        await first.furnish()
        incident = await alarmed(first)
        ended = update(jobs).where(jobs.c.id == incident["job_id"]).values(status="failed")
        await first.brain.brain_db.write(lambda connection: connection.execute(ended))
    async with opened(tmp_path, life=2) as second:
        assert [one["status"] for one in await second.incidents()] == ["over"]


async def test_a_pause_that_the_end_of_the_brain_prevented_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_arguments: Any) -> None:
        raise DeviceError("cut", "the power went")

    async with opened(tmp_path) as first:
        await first.furnish()
        await first.chooses(action="pause", needed=1, of=1)
        await first.prints()
        first.mind.says = SPAGHETTI
        monkeypatch.setattr(first.vision, "_pause", cut)
        with pytest.raises(DeviceError):
            await first.looks()
        run = first.run
    async with opened(tmp_path, life=2) as second:
        second.camera, second.printer = await puppets_of(second)
        second.run = run
        second.printer.reaction = DONE
        await second.prints()
        second.mind.says = FINE
        await second.looks(3)
        await until(lambda: second.orders() == ["print_pause"], "the pause")
