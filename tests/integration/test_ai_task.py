"""AI tasks: what an automation wants of a model, through whichever the brain chooses."""

import base64
import io
import os
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from homeassistant.components import ai_task
from homeassistant.components.ai_task import AITaskEntityFeature
from homeassistant.components.conversation import Attachment
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er, selector
from PIL import Image
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty import pictures
from custom_components.kitty.errors import BrainUnavailable, Refused
from custom_components.kitty.protocol import MAX_FRAME_BYTES, Json

from .conftest import ADA, BOB
from .fake_brain import FakeBrain
from .test_subentry_flow import refuse
from .workshop import gone, push, snapshot_fixture, state, workshop_fixture  # noqa: F401 - fixtures are asked for by name

TASKS: Final = "ai_task.brain_tasks"
RESOLVE: Final = "homeassistant.components.ai_task.task._resolve_attachments"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.AI_TASK,)


def provider(**changes: Any) -> Json:
    """Return a model of the brain."""
    return {"id": "a1" * 16, "uses": ["tools"], "enabled": True, "name": "Qwen"} | changes


def picture(side: int = 32, kind: str = "PNG") -> bytes:
    """Return a picture that cannot be made small by packing it."""
    made = io.BytesIO()
    Image.effect_noise((side, side), 200).convert("RGB").save(made, kind)
    return made.getvalue()


async def generate(hass: HomeAssistant, **more: Any) -> ai_task.GenDataTaskResult:
    """Have a task done in the name of Ada."""
    return await ai_task.async_generate_data(
        hass,
        task_name="Count",
        entity_id=TASKS,
        instructions="How many cats?",
        context=Context(user_id=ADA),
        **more,
    )


async def attach(hass: HomeAssistant, *attachments: Attachment) -> Any:
    """Have a task done with files."""

    def resolved(_hass: HomeAssistant, _session: Any, given: list[Json] | None) -> list[Attachment]:
        return list(attachments) if given else []

    # Home Assistant would look the file up in a media source and a camera; what comes of that is given here.
    with patch(RESOLVE, side_effect=resolved):
        return await generate(hass, attachments=[{"media_content_id": "x"}])


async def test_the_entities_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


async def test_a_task_without_a_structure_is_answered_in_words(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain hears who wants it."""
    brain.answers["generate.data"] = lambda _params, _caller: {"text": "Two.", "tier": "local"}
    assert (await generate(hass)).data == "Two."
    assert brain.sent("generate.data") == [
        {
            "instructions": "How many cats?",
            "schema": None,
            "attachments": [],
            "task_name": "Count",
        }
    ]
    caller = brain.callers("generate.data")[0]
    assert caller is not None
    assert caller["user_id"] == ADA


async def test_a_task_that_nobody_started_is_the_system_s(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Another integration may have a task done without a context."""
    brain.answers["generate.data"] = lambda _params, _caller: {"text": "Two."}
    await ai_task.async_generate_data(
        hass, task_name="Count", entity_id=TASKS, instructions="How many cats?"
    )
    caller = brain.callers("generate.data")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (None, "system")


async def test_a_task_with_a_structure_gets_data_of_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The structure goes along as a JSON schema."""
    brain.answers["generate.data"] = lambda _params, _caller: {"data": {"cats": 2}}
    structure = vol.Schema(
        {vol.Required("cats", description="How many"): selector.NumberSelector({"min": 0})}
    )
    assert (await generate(hass, structure=structure)).data == {"cats": 2}
    assert brain.sent("generate.data")[0]["schema"] == {
        "type": "object",
        "properties": {"cats": {"type": "number", "minimum": 0, "description": "How many"}},
        "required": ["cats"],
        "additionalProperties": False,
    }


async def test_a_small_picture_goes_along_as_it_is(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, tmp_path: Path
) -> None:
    """Byte for byte."""
    brain.answers["generate.data"] = lambda _params, _caller: {"text": "A cat."}
    file = tmp_path / "cat.png"
    file.write_bytes(picture())
    await attach(hass, Attachment("x", "image/png", file))
    (sent,) = brain.sent("generate.data")[0]["attachments"]
    assert sent == {
        "media_type": "image/png",
        "base64": base64.b64encode(picture_of(file)).decode(),
    }


def picture_of(file: Path) -> bytes:
    """Return what is in a file."""
    return file.read_bytes()


async def test_large_pictures_are_made_to_fit_into_one_message(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, tmp_path: Path
) -> None:
    """Models make them smaller anyway."""
    brain.answers["generate.data"] = lambda _params, _caller: {"text": "A cat."}
    file = tmp_path / "cat.jpg"
    file.write_bytes(picture(1100, "JPEG"))
    await attach(hass, *[Attachment("x", "image/jpeg", file)] * 3)
    sent = brain.sent("generate.data")[0]["attachments"]
    assert sum(len(one["base64"]) for one in sent) < MAX_FRAME_BYTES
    with Image.open(io.BytesIO(base64.b64decode(sent[0]["base64"]))) as seen:
        assert (seen.format, sent[0]["media_type"]) == ("JPEG", "image/jpeg")
        assert 300 < seen.width < 1100


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("application/pdf", b"%PDF"), "attachment_no_picture"),
        (("image/png", b"\0" * (4 * 1024 * 1024 + 1)), "attachment_too_large"),
        (("image/png", b"\0" * 2 * 1024 * 1024), "attachment_no_picture"),
        (("image/png", None), "file_not_found"),
    ],
)
async def test_what_cannot_be_attached_is_refused(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    tmp_path: Path,
    given: tuple[str, bytes | None],
    code: str,
) -> None:
    """In a sentence, before anything is sent."""
    kind, content = given
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Refused) as refused:
        await attach(hass, Attachment("x", kind, file))
    assert refused.value.code == code
    assert brain.sent("generate.data") == []


async def test_the_number_of_pictures_is_bounded(
    hass: HomeAssistant, workshop: MockConfigEntry, tmp_path: Path
) -> None:
    """All of them share one message."""
    with pytest.raises(Refused) as refused:
        await attach(hass, *[Attachment("x", "image/png", tmp_path)] * 9)
    assert refused.value.code == "too_many_attachments"


async def test_a_picture_that_never_fits_is_refused(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However small it is made."""
    monkeypatch.setattr(pictures, "_ROOM", 100)
    file = tmp_path / "cat.png"
    file.write_bytes(picture())
    with pytest.raises(Refused) as refused:
        await attach(hass, Attachment("x", "image/png", file))
    assert refused.value.code == "attachment_too_large"


async def test_a_task_is_of_who_began_it_whoever_begins_one_meanwhile(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, tmp_path: Path
) -> None:
    """Its picture comes only after the next one is done."""
    brain.answers["generate.data"] = lambda _params, _caller: {"text": "A cat."}
    slow = tmp_path / "cat.png"
    os.mkfifo(slow)
    first = hass.async_create_task(attach(hass, Attachment("x", "image/png", slow)))
    await ai_task.async_generate_data(
        hass,
        task_name="Dogs",
        entity_id=TASKS,
        instructions="How many dogs?",
        context=Context(user_id=BOB),
    )
    await hass.async_add_executor_job(slow.write_bytes, picture())
    await first
    assert [sent["task_name"] for sent in brain.sent("generate.data")] == ["Dogs", "Count"]
    callers = brain.callers("generate.data")
    assert [caller and caller["user_id"] for caller in callers] == [BOB, ADA]


async def test_an_error_of_the_brain_ends_the_task(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The automation stops with its words."""
    brain.answers["generate.data"] = refuse("budget_exhausted")
    with pytest.raises(HomeAssistantError) as refused:
        await generate(hass)
    assert refused.value.translation_key == "budget_exhausted"


async def test_it_draws_only_while_a_model_can(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """One that is switched off cannot."""
    both = AITaskEntityFeature.GENERATE_DATA | AITaskEntityFeature.SUPPORT_ATTACHMENTS
    assert state(hass, TASKS).attributes["supported_features"] == both
    await push(hass, brain, "provider.updated", provider(uses=["image"], enabled=False))
    assert state(hass, TASKS).attributes["supported_features"] == both
    await push(hass, brain, "provider.updated", provider(uses=["image"]))
    drawing = both | AITaskEntityFeature.GENERATE_IMAGE
    assert state(hass, TASKS).attributes["supported_features"] == drawing


async def draw(hass: HomeAssistant, brain: FakeBrain, **more: Any) -> Any:
    """Have a cat drawn; returns what the file is made of."""
    await push(hass, brain, "provider.updated", provider(uses=["image"]))
    kept: list[Any] = []

    async def keep(_self: Any, _folder: Any, file: Any) -> str:
        kept.append((file.content_type, file.file.read()))
        return "media-source://ai_task/image/cat.png"

    with (
        patch(
            "homeassistant.components.media_source.local_source.LocalSource.async_upload_media",
            keep,
        ),
        patch("homeassistant.components.ai_task.task.async_sign_path", return_value="signed"),
        patch("homeassistant.components.media_source.local_source.LocalSource.async_resolve_media"),
    ):
        await ai_task.async_generate_image(
            hass, task_name="Cat", entity_id=TASKS, instructions="A cat", **more
        )
    return kept[0]


async def test_a_picture_may_be_larger_than_a_message_of_the_socket(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It comes by the other door of the brain."""
    drawn = bytes(3 * MAX_FRAME_BYTES)
    brain.answers["generate.image"] = lambda _params, _caller: {
        "base64": base64.b64encode(drawn).decode(),
        "media_type": "image/png",
        "model": "painter",
    }
    assert await draw(hass, brain) == ("image/png", drawn)
    assert brain.sent("generate.image") == [{"instructions": "A cat"}]


async def test_what_is_no_picture_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A model may say anything."""
    brain.answers["generate.image"] = lambda _params, _caller: {
        "base64": "no!",
        "media_type": "image/png",
    }
    with pytest.raises(HomeAssistantError, match="did not return a picture"):
        await draw(hass, brain)


async def test_pictures_are_drawn_from_words_alone(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, tmp_path: Path
) -> None:
    """Nobody is told that a picture was looked at when it was not."""
    attachment = Attachment("x", "image/png", tmp_path)
    with patch(RESOLVE, return_value=[attachment]), pytest.raises(Refused):
        await draw(hass, brain, attachments=[{"media_content_id": "x"}])


async def test_a_model_that_does_not_draw_says_so(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In the brain's words."""
    brain.answers["generate.image"] = refuse("no_image_model")
    with pytest.raises(HomeAssistantError):
        await draw(hass, brain)


async def test_nothing_is_drawn_while_the_brain_is_away(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """There is no other painter."""
    await push(hass, brain, "provider.updated", provider(uses=["image"]))
    await gone(hass, brain, workshop)
    with pytest.raises(BrainUnavailable):
        await ai_task.async_generate_image(
            hass, task_name="Cat", entity_id=TASKS, instructions="A cat"
        )
