"""Images: the frame on which something was seen, and the path that a file will take."""

import asyncio
from typing import Any

from homeassistant.components.image import async_get_image
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import eventually
from .fake_brain import FakeBrain, FakeError
from .shop import (
    FILE,
    INCIDENT,
    JOB,
    PIXEL,
    SEEN,
    camera,
    incident,
    item,
    job,
    picture,
    seen,
)
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    NOW,
    PRINTER,
    change,
    push,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

FRAME = "image.workshop_printer_last_frame"
PREVIEW = "image.workshop_printer_preview"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.IMAGE,)


@pytest.fixture
def parts() -> dict[str, list[Json]]:
    """Return what there is: a camera before the printer."""
    return {"vision": [camera()]}


@pytest.fixture(autouse=True)
def filled(brain: FakeBrain, parts: dict[str, list[Json]]) -> None:
    """Let the workshop have it before anybody looks."""
    brain.workshop = parts
    for action in ("incidents.picture", "prints.picture", "files.picture"):
        brain.answers[action] = lambda _params, _caller: picture()


@pytest.fixture
def fixed_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tokens of the pictures be the same each time."""
    monkeypatch.setattr("random.SystemRandom.getrandbits", lambda _self, _bits: 1)


async def look(hass: HomeAssistant, entity_id: str) -> bytes:
    """Look at a picture."""
    return (await async_get_image(hass, entity_id)).content


async def test_the_images_are_as_they_were(
    hass: HomeAssistant,
    fixed_token: None,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize("parts", [{}])
async def test_a_printer_that_nobody_watches_has_no_frame(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Its files can be looked at all the same."""
    assert (hass.states.get(FRAME), hass.states.get(PREVIEW) is None) == (None, False)


# -- the last frame -----------------------------------------------------------------------------------


async def test_before_anything_was_seen_there_is_no_frame(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """And nobody is shown another picture instead."""
    assert state(hass, FRAME).state == "unavailable"
    with pytest.raises(HomeAssistantError):
        await look(hass, FRAME)


async def test_the_frame_of_an_alarm_is_fetched_when_somebody_looks(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Once, however many look."""
    await push(hass, brain, "incident.updated", incident())
    assert brain.sent("incidents.picture") == []
    assert [await look(hass, FRAME), await look(hass, FRAME)] == [PIXEL, PIXEL]
    assert brain.sent("incidents.picture") == [{"incident_id": INCIDENT}]


async def test_the_frame_says_what_is_seen_on_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The verdict, how sure it is, and when it was taken."""
    await push(hass, brain, "print.event", seen())
    shown = state(hass, FRAME)
    assert shown.state == "2026-11-18T11:06:40+00:00"
    about = shown.attributes
    assert (about["verdict"], about["confidence"], about["job_id"]) == ("first_layer_ok", 0.97, JOB)
    assert about["at"].timestamp() == NOW
    assert await look(hass, FRAME) == PIXEL
    assert brain.sent("prints.picture") == [{"event_id": SEEN}]


@pytest.mark.parametrize(
    "changes", [{"picture": None}, {"device_id": "e" * 32}, {"created_at": NOW - 1}]
)
async def test_what_shows_nothing_new_of_this_printer_changes_no_frame(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, changes: dict[str, Any]
) -> None:
    """No picture, another printer, or an older one."""
    await push(hass, brain, "print.event", seen())
    await push(hass, brain, "print.event", seen(id="9" * 32, type="nozzle_clog") | changes)
    assert state(hass, FRAME).attributes["verdict"] == "first_layer_ok"


@pytest.mark.parametrize("changes", [{"picture": None}, {"device_id": "e" * 32}])
async def test_an_alarm_without_a_picture_of_this_printer_is_no_frame(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, changes: dict[str, Any]
) -> None:
    """It is told elsewhere."""
    await push(hass, brain, "incident.updated", incident(**changes))
    assert state(hass, FRAME).state == "unavailable"


async def test_the_last_frame_is_there_after_a_restart(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """By its id, long after its print."""
    await push(hass, brain, "print.event", seen())
    await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert state(hass, FRAME).attributes["verdict"] == "first_layer_ok"
    assert await look(hass, FRAME) == PIXEL


async def test_without_a_frame_nothing_is_kept_over_a_restart(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """There is nothing to find again."""
    await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert state(hass, FRAME).state == "unavailable"


@pytest.mark.parametrize(
    "answer",
    [
        {"content_type": "image/png", "image": "no base64!"},
        {"content_type": "text/html", "image": picture()["image"]},
        {"content_type": "image/png", "image": ""},
    ],
)
async def test_what_is_no_picture_is_not_shown(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, answer: Json
) -> None:
    """Nobody's browser gets a page from a camera, and nobody is invited to ask again."""
    brain.answers["prints.picture"] = lambda _params, _caller: answer
    await push(hass, brain, "print.event", seen())
    with pytest.raises(HomeAssistantError):
        await look(hass, FRAME)
    assert state(hass, FRAME).state == "unavailable"


async def test_a_frame_that_was_altered_is_not_shown(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain refuses to show it."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("evidence_altered")

    brain.answers["prints.picture"] = refuse
    await push(hass, brain, "print.event", seen())
    with pytest.raises(HomeAssistantError):
        await look(hass, FRAME)


async def test_a_frame_that_comes_too_late_is_not_kept_for_the_next(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Meanwhile something else was seen."""
    held, go = asyncio.Event(), asyncio.Event()

    async def slow(_params: Json, _caller: Json | None) -> Json:
        held.set()
        await go.wait()
        return picture(b"old")

    brain.answers["prints.picture"] = slow
    await push(hass, brain, "print.event", seen())
    looking = hass.async_create_background_task(look(hass, FRAME), "look")
    await held.wait()
    await push(hass, brain, "incident.updated", incident(created_at=NOW + 5))
    go.set()
    assert await looking == b"old"
    assert await look(hass, FRAME) == PIXEL


async def test_a_late_frame_that_cannot_be_had_is_none(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nothing is shown for it."""
    held, go = asyncio.Event(), asyncio.Event()

    async def slow(_params: Json, _caller: Json | None) -> Json:
        held.set()
        await go.wait()
        raise FakeError("no_evidence")

    brain.answers["prints.picture"] = slow
    await push(hass, brain, "print.event", seen())
    looking = hass.async_create_background_task(look(hass, FRAME), "look")
    await held.wait()
    await push(hass, brain, "incident.updated", incident(created_at=NOW + 5))
    go.set()
    with pytest.raises(HomeAssistantError):
        await looking


# -- the preview --------------------------------------------------------------------------------------


async def test_without_a_file_there_is_no_preview(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Nothing is printed or waits."""
    assert state(hass, PREVIEW).state == "unavailable"
    with pytest.raises(HomeAssistantError):
        await look(hass, PREVIEW)


async def test_the_preview_shows_the_next_print(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Drawn by the brain, once."""
    await push(hass, brain, "queue.updated", item())
    assert state(hass, PREVIEW).state != "unavailable"
    assert [await look(hass, PREVIEW), await look(hass, PREVIEW)] == [PIXEL, PIXEL]
    assert brain.sent("files.picture") == [{"artifact_id": FILE, "kind": "preview"}]


async def test_what_is_printed_comes_before_what_is_next(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """And the picture changes with it."""
    await push(hass, brain, "queue.updated", item())
    await look(hass, PREVIEW)
    await push(hass, brain, "job.updated", job(artifact_id="f2" * 16))
    await look(hass, PREVIEW)
    await push(hass, brain, "job.updated", job(artifact_id="f2" * 16, status="completed"))
    await push(hass, brain, "queue.updated", item(status="cancelled"))
    assert [one["artifact_id"] for one in brain.sent("files.picture")] == [FILE, "f2" * 16]
    assert state(hass, PREVIEW).state == "unavailable"


async def test_the_preview_is_that_of_the_plate(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """And another one for the next plate of the same file."""
    await push(hass, brain, "job.updated", job(artifact_id=FILE, plate=2))
    await look(hass, PREVIEW)
    await push(hass, brain, "job.updated", job(artifact_id=FILE, plate=3))
    await look(hass, PREVIEW)
    wanted = {"artifact_id": FILE, "kind": "preview"}
    assert brain.sent("files.picture") == [wanted | {"plate": 2}, wanted | {"plate": 3}]


async def test_a_print_whose_file_nobody_knows_shows_the_item_of_the_queue(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The job learns of its file after it began."""
    await push(hass, brain, "job.updated", job())
    await push(hass, brain, "queue.updated", item(status="printing"))
    await look(hass, PREVIEW)
    assert brain.sent("files.picture") == [{"artifact_id": FILE, "kind": "preview"}]


async def test_all_who_look_wait_for_one_drawing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A long print takes long to draw."""
    go = asyncio.Event()

    async def slow(_params: Json, _caller: Json | None) -> Json:
        await go.wait()
        return picture()

    brain.answers["files.picture"] = slow
    await push(hass, brain, "queue.updated", item())
    looking = [hass.async_create_background_task(look(hass, PREVIEW), "look") for _ in range(3)]
    await brain.received_command("files.picture")
    go.set()
    assert await asyncio.gather(*looking) == [PIXEL] * 3
    assert len(brain.sent("files.picture")) == 1


async def test_a_drawing_that_took_long_is_announced_when_it_is_there(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who looked first has given up; the page loads it again."""
    monkeypatch.setattr("custom_components.kitty.image.PATIENCE_S", -1.0)
    await push(hass, brain, "queue.updated", item())
    before = state(hass, PREVIEW).state
    assert await look(hass, PREVIEW) == PIXEL
    await eventually(lambda: state(hass, PREVIEW).state != before)


async def test_a_drawing_of_another_file_is_not_shown(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The queue changed while it was drawn."""
    go = asyncio.Event()

    async def slow(_params: Json, _caller: Json | None) -> Json:
        await go.wait()
        return picture()

    brain.answers["files.picture"] = slow
    await push(hass, brain, "queue.updated", item())
    looking = hass.async_create_background_task(look(hass, PREVIEW), "look")
    await brain.received_command("files.picture")
    await push(hass, brain, "queue.updated", item(artifact_id="f2" * 16))
    go.set()
    with pytest.raises(HomeAssistantError):
        await looking


async def test_a_file_that_cannot_be_drawn_shows_the_picture_of_its_slicer(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Better than none."""

    def draw(params: Json, _caller: Json | None) -> Json:
        if params["kind"] == "preview":
            raise FakeError("unsupported_file")
        return picture(b"slicer")

    brain.answers["files.picture"] = draw
    await push(hass, brain, "queue.updated", item())
    assert await look(hass, PREVIEW) == b"slicer"


async def test_a_file_that_was_removed_has_no_preview(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """And it is asked for again by the next who looks."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("file_missing")

    brain.answers["files.picture"] = refuse
    await push(hass, brain, "queue.updated", item())
    for _ in range(2):
        with pytest.raises(HomeAssistantError):
            await look(hass, PREVIEW)
    asked = [one["kind"] for one in brain.sent("files.picture")]
    assert asked == ["preview", "thumbnail"] * 2
    assert state(hass, PREVIEW).state == "unavailable"


async def test_a_file_without_a_picture_gives_way_to_the_next(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """That one may have a picture."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("no_picture_of_file")

    brain.answers["files.picture"] = refuse
    await push(hass, brain, "queue.updated", item())
    with pytest.raises(HomeAssistantError):
        await look(hass, PREVIEW)
    brain.answers["files.picture"] = lambda _params, _caller: picture()
    await push(hass, brain, "queue.updated", item(artifact_id="f2" * 16))
    assert state(hass, PREVIEW).state != "unavailable"
    assert await look(hass, PREVIEW) == PIXEL


@pytest.mark.parametrize("busy", ["preview", "thumbnail"])
async def test_a_brain_that_is_busy_does_not_say_that_there_is_no_picture(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, busy: str
) -> None:
    """Whoever looks later may see it."""

    def answer(params: Json, _caller: Json | None) -> Json:
        raise FakeError("overloaded" if params["kind"] == busy else "no_picture_of_file")

    brain.answers["files.picture"] = answer
    await push(hass, brain, "queue.updated", item())
    with pytest.raises(HomeAssistantError):
        await look(hass, PREVIEW)
    assert state(hass, PREVIEW).state != "unavailable"


async def test_a_printer_that_is_off_shows_what_it_would_print(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain keeps the files."""
    await push(hass, brain, "queue.updated", item())
    await change(hass, brain, PRINTER, online="offline", state={})
    assert await look(hass, PREVIEW) == PIXEL
