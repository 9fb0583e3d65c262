"""The actions of the queue, of prints and of the cameras: what the brain is told, and who may say it."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers.translation import async_get_exception_message
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import uploads
from custom_components.kitty.protocol import Json

from .conftest import ADA, EVE
from .fake_brain import FakeError
from .shop import INCIDENT, ITEM, JOB, incident, item, job
from .workshop import (
    CAMERA,
    PRINTER,
    Storeroom,
    act,
    at,
    device,
    workshop_fixture,  # noqa: F401 - fixtures are asked for by name
)

OTHER: Final = "b2" * 16
ANYWHERE: Final = "ab" * 16
PNG: Final = b"\x89PNG\r\n\x1a\n and more"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what these tests act on."""
    return (Platform.BUTTON, Platform.CAMERA)


@pytest.fixture
async def brain(socket_enabled: None) -> AsyncIterator[Storeroom]:
    """Return a brain with a queue, a print and an incident, which answers what it was asked."""
    fake = await Storeroom().start()
    fake.workshop = {
        "queue": [item(), item(id=ANYWHERE, device_id=None)],
        "incidents": [incident()],
    }
    fake.jobs = {JOB: job()}
    fake.answers["jobs.get"] = lambda params, _caller: {
        "job": {"id": params["job_id"], "device_id": PRINTER},
        "conversation": {"id": "talk", "user_id": ADA},
    }
    fake.answers["advice.list"] = lambda params, _caller: (
        {"items": [{"id": "b"}], "cursor": None}
        if params.get("cursor") == "a"
        else {"items": [{"id": "a"}], "cursor": "a"}
    )
    fake.answers["vision.look"] = lambda _params, _caller: {
        "verdict": "ok",
        "content_type": "image/png",
        "image": base64.b64encode(PNG).decode(),
    }
    yield fake
    await fake.stop()


@pytest.fixture
def drawer(hass: HomeAssistant, tmp_path: Path) -> Path:
    """Return a folder that Home Assistant may read and write."""
    folder = tmp_path / "drawer"
    folder.mkdir()
    hass.config.allowlist_external_dirs.add(str(folder))
    return folder


WISHES: Final = [
    ({}, {}),
    (
        {"priority": 9, "start": "cheap", "title": "Cat", "grams": 12.5, "nozzle_mm": 0.4},
        {"priority": 9, "start": "cheap", "title": "Cat", "grams": 12.5, "nozzle_mm": 0.4},
    ),
    ({"duration": {"hours": 1, "minutes": 30}}, {"estimated_s": 5400.0}),
    ({"plate": 2}, {"plate": 2}),
    (
        {"deadline": datetime(2026, 11, 2, 18, tzinfo=UTC), "not_before": "2026-11-02 08:00:00"},
        # A time without a zone is one of this house: Los Angeles, where winter has just begun.
        {"deadline": 1793642400.0, "not_before": 1793635200.0},
    ),
    (
        {"material": "PLA", "color": "red", "avoid_color": ["#000000"], "differs_from": ITEM},
        {
            "material": "PLA",
            "color": {"is": ["red"], "not": ["#000000"], "differs_from": ITEM},
        },
    ),
]


@pytest.mark.parametrize(("wished", "told"), WISHES)
async def test_a_file_is_queued_with_what_is_wished_of_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, wished: Json, told: Json
) -> None:
    """In the words of the brain, and nothing that nobody said."""
    brain.answers["queue.add"] = lambda _params, _caller: {"id": ITEM}
    assert await act(hass, "queue_print", file="cat.gcode", **wished) == {"id": ITEM}
    assert brain.sent("queue.add") == [{"file": "cat.gcode", "ventilation": False} | told]
    caller = brain.callers("queue.add")[0]
    assert caller is not None
    assert caller["user_id"] == ADA


async def test_a_file_of_home_assistant_is_queued_for_a_printer(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path
) -> None:
    """It is stored in the brain, and on no printer yet."""
    (drawer / "cat face.gcode").write_bytes(b"G28")
    await act(
        hass,
        "queue_print",
        path=str(drawer / "cat face.gcode"),
        name="cat.gcode",
        device_id=at(hass, workshop, PRINTER),
        ventilation=True,
    )
    assert brain.stored == {("", "cat.gcode"): b"G28"}
    assert brain.sent("queue.add") == [
        {"artifact_id": "artifact-cat.gcode", "device_id": PRINTER, "ventilation": True}
    ]


@pytest.mark.parametrize(
    "more", [{}, {"file": "a", "artifact_id": "b"}, {"file": "a", "path": "b"}]
)
async def test_one_file_is_queued_and_not_two_or_none(
    hass: HomeAssistant, workshop: MockConfigEntry, more: Json
) -> None:
    """Before the brain is asked."""
    with pytest.raises(vol.Invalid):
        await act(hass, "queue_print", **more)


async def test_the_wishes_of_an_item_are_changed_and_taken_back(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """Null takes one back, also the colour and the printer."""
    await act(
        hass,
        "change_queued_print",
        queue_id=ITEM,
        deadline=None,
        duration=None,
        color=None,
        device_id=None,
        priority=1,
    )
    assert brain.sent("queue.change") == [
        {
            "queue_id": ITEM,
            "deadline": None,
            "estimated_s": None,
            "color": None,
            "device_id": None,
            "priority": 1,
        }
    ]


async def test_an_item_is_given_to_another_printer(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """By the device that people see."""
    await act(hass, "change_queued_print", queue_id=ANYWHERE, device_id=at(hass, workshop, PRINTER))
    assert brain.sent("queue.change") == [{"queue_id": ANYWHERE, "device_id": PRINTER}]


async def test_a_change_of_nothing_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Somebody must have meant something."""
    with pytest.raises(vol.Invalid):
        await act(hass, "change_queued_print", queue_id=ITEM)


ON_ITEMS: Final = [
    ("cancel_queued_print", "queue.cancel"),
    ("hold_queued_print", "queue.hold"),
    ("release_queued_print", "queue.release"),
]


@pytest.mark.parametrize(("action", "command"), ON_ITEMS)
async def test_an_item_is_cancelled_held_and_released(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, action: str, command: str
) -> None:
    """The brain says what became of it."""
    brain.answers[command] = lambda params, _caller: {"id": params["queue_id"], "status": "held"}
    assert await act(hass, action, queue_id=ITEM) == {"id": ITEM, "status": "held"}


async def test_an_item_that_is_not_in_the_queue_cannot_be_changed(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """It may be over."""
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, "cancel_queued_print", queue_id="gone")
    assert refused.value.translation_key == "queue_item_not_found"


async def test_the_queue_is_planned(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """Everybody may look."""
    brain.answers["queue.plan"] = lambda _params, _caller: {"items": [], "beds": {}}
    assert await act(hass, "plan_queue", EVE) == {"items": [], "beds": {}}


async def test_a_bed_is_clear(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """Says who has looked."""
    brain.answers["printers.cleared"] = lambda params, _caller: params | {"clear": True}
    answer = await act(hass, "clear_bed", device_id=at(hass, workshop, PRINTER))
    assert answer == {"device_id": PRINTER, "clear": True}


FORBIDDEN: Final = [
    ("queue_print", {"file": "a"}),
    ("queue_print", {"file": "a", "device_id": PRINTER}),
    ("change_queued_print", {"queue_id": ITEM, "priority": 1}),
    ("cancel_queued_print", {"queue_id": ITEM}),
    ("hold_queued_print", {"queue_id": ANYWHERE}),
    ("release_queued_print", {"queue_id": ITEM}),
    ("clear_bed", {"device_id": PRINTER}),
    ("review_print", {"job_id": JOB, "good": True}),
    ("look_at_print", {"device_id": PRINTER}),
    ("answer_incident", {"incident_id": INCIDENT, "verdict": "confirmed"}),
    ("watch_camera", {"device_id": CAMERA, "enabled": False}),
]


@pytest.mark.usefixtures("onlooker")
@pytest.mark.parametrize(("action", "data"), FORBIDDEN)
async def test_who_may_not_control_the_printer_changes_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, action: str, data: Json
) -> None:
    """The queue moves printers, so it is no way around the right to control them."""
    named = {"device_id": at(hass, workshop, data["device_id"])} if "device_id" in data else {}
    with pytest.raises(Unauthorized):
        await act(hass, action, EVE, **data | named)
    asked = {one.action for one in brain.received if one.caller}
    assert asked <= {"jobs.get"}


async def test_a_print_for_any_printer_needs_the_right_to_control_all(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, people: dict[str, Any]
) -> None:
    """The brain chooses, and may choose the one that this person must not touch."""
    people[EVE].mock_policy(
        {"entities": {"entity_ids": {"button.workshop_printer_pause_print": True}}}
    )
    await act(hass, "queue_print", EVE, file="a")
    await brain.push("device.updated", device(OTHER, "printer", "Other"))
    await workshop.runtime_data.client.command("devices.list")
    with pytest.raises(Unauthorized):
        await act(hass, "queue_print", EVE, file="a")
    assert len(brain.sent("queue.add")) == 1


async def test_an_item_cannot_be_freed_from_its_printer_by_who_may_not_control_all(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, people: dict[str, Any]
) -> None:
    """Else it could be moved to a printer that this person must not touch."""
    people[EVE].mock_policy(
        {"entities": {"entity_ids": {"button.workshop_printer_pause_print": True}}}
    )
    await brain.push("device.updated", device(OTHER, "printer", "Other"))
    await workshop.runtime_data.client.command("devices.list")
    with pytest.raises(Unauthorized):
        await act(hass, "change_queued_print", EVE, queue_id=ITEM, device_id=None)
    assert brain.sent("queue.change") == []


async def test_an_automation_that_nobody_started_may_queue(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """A person approves the start, here as always."""
    await act(hass, "queue_print", None, file="a")
    assert len(brain.sent("queue.add")) == 1


# -- prints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user_id", "talk"), [(ADA, {"id": "talk", "user_id": ADA}), (EVE, None)])
async def test_a_print_is_told_but_a_conversation_only_to_whose_it_is(
    hass: HomeAssistant, workshop: MockConfigEntry, user_id: str, talk: Json | None
) -> None:
    """Who asked KITTY for it may have said more than that."""
    told = await act(hass, "get_job", user_id, job_id=JOB)
    assert told == {"job": {"id": JOB, "device_id": PRINTER}, "conversation": talk}


@pytest.mark.parametrize(
    ("action", "data"), [("get_job", {"job_id": JOB}), ("get_prediction", {"device_id": PRINTER})]
)
async def test_who_may_not_see_a_printer_learns_nothing_of_its_prints(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    people: dict[str, Any],
    action: str,
    data: Json,
) -> None:
    """A policy that hides it, hides what it prints."""
    people[EVE].mock_policy({"entities": {"entity_ids": {"lock.door": True}}})
    named = {"device_id": at(hass, workshop, PRINTER)} if "device_id" in data else {}
    with pytest.raises(Unauthorized):
        await act(hass, action, EVE, **data | named)


async def test_the_costs_of_a_print_are_told(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """As the brain wrote them down."""
    brain.answers["costs.get"] = lambda params, _caller: params | {"total": 1.5}
    assert await act(hass, "get_costs", EVE, job_id=JOB) == {"job_id": JOB, "total": 1.5}


async def test_a_chance_is_asked_for_a_printer_and_a_material(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """By those who may see it."""
    brain.answers["predictions.get"] = lambda params, _caller: params | {"probability": 0.9}
    told = await act(
        hass, "get_prediction", EVE, device_id=at(hass, workshop, PRINTER), material="PLA"
    )
    assert told == {"device_id": PRINTER, "material": "PLA", "probability": 0.9}


async def test_all_advice_is_told(hass: HomeAssistant, workshop: MockConfigEntry) -> None:
    """Also what does not fit on the first page."""
    assert await act(hass, "get_advice", EVE) == {"items": [{"id": "a"}, {"id": "b"}]}


async def test_a_print_is_reviewed_with_a_photo(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path
) -> None:
    """In the name of who says so."""
    (drawer / "cat.png").write_bytes(PNG)
    await act(
        hass,
        "review_print",
        job_id=JOB,
        good=False,
        rating=2,
        reasons=["stringing"],
        note="Hairy",
        surface=40,
        path=str(drawer / "cat.png"),
    )
    assert brain.sent("reviews.put") == [
        {
            "job_id": JOB,
            "good": False,
            "rating": 2,
            "reasons": ["stringing"],
            "note": "Hairy",
            "quality": {"surface": 40.0},
            "picture": {"content_type": "image/jpeg", "image": base64.b64encode(PNG).decode()},
        }
    ]


async def test_a_print_is_reviewed_with_a_photo_that_a_program_has(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """In base64, for the panel has no file."""
    image = base64.b64encode(PNG).decode()
    await act(hass, "review_print", job_id=JOB, good=True, picture=image)
    (said,) = brain.sent("reviews.put")
    assert said["picture"] == {"content_type": "image/jpeg", "image": image}


@pytest.mark.parametrize("wrong", ["no base64", "A" * (uploads.MAX_PHOTO * 4 // 3 + 4)])
async def test_a_photo_that_is_none_or_too_large_is_not_taken(
    hass: HomeAssistant, workshop: MockConfigEntry, wrong: str
) -> None:
    """Before the brain is asked."""
    with pytest.raises(vol.Invalid):
        await act(hass, "review_print", job_id=JOB, good=True, picture=wrong)


async def test_a_photo_that_is_too_large_is_refused(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: Storeroom,
    drawer: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With words that say how small it has to be."""
    monkeypatch.setattr(uploads, "MAX_PHOTO", 4)
    (drawer / "cat.png").write_bytes(PNG)
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, "review_print", job_id=JOB, good=True, path=str(drawer / "cat.png"))
    assert refused.value.translation_key == "photo_too_large"
    assert brain.sent("reviews.put") == []


# -- cameras ------------------------------------------------------------------------------------------


async def test_a_look_says_what_is_seen_without_the_picture(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """A trace of an automation is no place for pictures."""
    told = await act(hass, "look_at_print", device_id=at(hass, workshop, CAMERA))
    assert told == {"verdict": "ok", "content_type": "image/png"}


@pytest.mark.usefixtures("administrator")
async def test_the_picture_of_a_look_is_written_where_an_administrator_wants_it(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path
) -> None:
    """In a folder that is opened for it."""
    path = drawer / "look.png"
    told = await act(hass, "look_at_print", device_id=at(hass, workshop, CAMERA), path=str(path))
    assert told["path"] == str(path)
    assert path.read_bytes() == PNG


async def test_nobody_else_writes_to_the_disk(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path
) -> None:
    """A file that is there would be replaced."""
    with pytest.raises(Unauthorized):
        await act(
            hass,
            "look_at_print",
            EVE,
            device_id=at(hass, workshop, CAMERA),
            path=str(drawer / "look.png"),
        )
    assert looks(drawer) == []


def looks(folder: Path) -> list[Path]:
    """Return what was written, under whatever name."""
    return [*folder.rglob("look.*")]


BAD_PATHS: Final = [
    ("../look.png", "path_not_allowed"),
    ("look.yaml", "wrong_suffix"),
    ("no folder/look.png", "not_written"),
]


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize(("name", "code"), BAD_PATHS)
async def test_a_picture_is_written_nowhere_else(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    drawer: Path,
    tmp_path: Path,
    name: str,
    code: str,
) -> None:
    """Outside an opened folder, under the name of something else, or where there is no folder."""
    with pytest.raises(ServiceValidationError) as refused:
        await act(
            hass,
            "look_at_print",
            device_id=at(hass, workshop, CAMERA),
            path=str(drawer / name),
        )
    assert refused.value.translation_key == code
    assert looks(tmp_path) == []


async def test_an_incident_is_answered(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """By who may control the printer that it is about."""
    said = {"incident_id": INCIDENT, "verdict": "false_alarm", "mute_layers": 20}
    await act(hass, "answer_incident", **said)
    assert brain.sent("vision.answer") == [said]


async def test_an_incident_that_is_over_cannot_be_answered(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Nobody is asked any more."""
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, "answer_incident", incident_id="gone", verdict="confirmed")
    assert refused.value.translation_key == "incident_not_found"


@pytest.mark.usefixtures("administrator")
async def test_an_administrator_says_how_a_camera_watches(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """And at which printer it looks, by the device that people see."""
    camera, printer = at(hass, workshop, CAMERA), at(hass, workshop, PRINTER)
    choices = {"enabled": True, "threshold": 0.7, "action": "pause", "every_s": 5, "needed": 2}
    await act(hass, "watch_camera", device_id=camera, printer=printer, **choices)
    await act(hass, "watch_camera", device_id=camera, printer=None, file=None)
    assert brain.sent("vision.configure") == [
        {"device_id": CAMERA, "printer_id": PRINTER} | choices,
        {"device_id": CAMERA, "printer_id": None, "file": None},
    ]


# -- starting at once ---------------------------------------------------------------------------------


async def test_a_print_is_started_with_the_promise_of_moving_air(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """People approve the promise, too."""
    await act(
        hass,
        "start_print",
        device_id=at(hass, workshop, PRINTER),
        file="cat.gcode",
        ventilation=True,
    )
    assert brain.sent("devices.request")[0]["params"] == {"file": "cat.gcode", "ventilation": True}


async def test_a_plate_of_a_project_is_started(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """The one that was named."""
    device_id = at(hass, workshop, PRINTER)
    await act(hass, "start_print", device_id=device_id, file="box.3mf", plate=2)
    assert brain.sent("devices.request")[0]["params"] == {"file": "box.3mf", "plate": 2}


REFUSALS: Final = [
    (
        {"code": "ventilation_unconfirmed", "details": {"materials": "ABS"}},
        "ABS needs moving air. Switch the ventilation on",
    ),
    (
        {"code": "does_not_fit", "details": {"what": "size"}},
        "This printer cannot print this file. Choose another printer",
    ),
    (
        {
            "code": "does_not_fit",
            "details": {
                "what": "nozzle",
                "misfits": [{"what": "nozzle", "needs": 0.6, "has": 0.4}],
            },
        },
        "The file is for a nozzle of 0.6 mm, and this printer has one of 0.4 mm. Choose another",
    ),
    (
        {"code": "no_such_plate", "details": {"plate": 3, "plates": [1, 2]}},
        "The file has no plate 3. Name one that it has",
    ),
    (
        {"code": "over_limit", "details": {"part": "nozzle", "most": 250, "asked": 260}},
        "The nozzle may have at most 250 °C, not 260. Ask for less",
    ),
]


@pytest.mark.parametrize(("refusal", "words"), REFUSALS)
async def test_a_refused_start_says_what_to_do(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, refusal: Json, words: str
) -> None:
    """In the words of the house and not of the brain."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError(refusal["code"], **refusal["details"])

    brain.answers["devices.request"] = refuse
    with pytest.raises(HomeAssistantError) as refused:
        await act(hass, "start_print", device_id=at(hass, workshop, PRINTER), file="cat.gcode")
    said = refused.value
    assert said.translation_key is not None
    told = async_get_exception_message("kitty", said.translation_key, said.translation_placeholders)
    assert told.startswith(words)
