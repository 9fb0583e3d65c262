"""Cameras: one picture at a time, fresh or none."""

import base64
from typing import Any

from homeassistant.components.camera import async_get_image
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty import camera

from .fake_brain import FakeBrain, FakeError
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    CAMERA,
    PRINTER,
    snapshot_fixture,
    workshop_fixture,
)

EYE = "camera.workshop_eye"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.CAMERA,)


@pytest.fixture
def fixed_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tokens of the pictures be the same each time."""
    monkeypatch.setattr("random.SystemRandom.getrandbits", lambda _self, _bits: 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time that the pictures are judged by."""
    now = [100.0]
    monkeypatch.setattr("custom_components.kitty.camera.time.monotonic", lambda: now[0])
    return now


def shows(brain: FakeBrain, *pictures: bytes | Exception) -> None:
    """Let the camera show one picture after another."""
    left = list(pictures)

    def snap(_params: Any, _caller: Any) -> Any:
        picture = left.pop(0)
        if isinstance(picture, Exception):
            raise picture
        return {"content_type": "image/png", "image": base64.b64encode(picture).decode()}

    brain.answers["devices.snapshot"] = snap


async def test_the_cameras_are_as_they_were(
    hass: HomeAssistant,
    fixed_token: None,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize(
    ("entity_id", "device_id"), [(EYE, CAMERA), ("camera.workshop_printer_camera", PRINTER)]
)
async def test_a_picture_comes_through_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, entity_id: str, device_id: str
) -> None:
    """A camera, and a printer that has one."""
    shows(brain, b"picture")
    image = await async_get_image(hass, entity_id)
    assert (image.content, image.content_type) == (b"picture", "image/png")
    assert brain.sent("devices.snapshot") == [{"device_id": device_id}]


async def test_viewers_of_one_moment_share_a_picture(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, clock: list[float]
) -> None:
    """The device is asked once."""
    shows(brain, b"one", b"two")
    await async_get_image(hass, EYE)
    clock[0] += camera.FRESH_S / 2
    assert (await async_get_image(hass, EYE)).content == b"one"
    clock[0] += camera.FRESH_S
    assert (await async_get_image(hass, EYE)).content == b"two"


async def test_a_hiccup_shows_the_picture_of_a_moment_ago(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, clock: list[float]
) -> None:
    """A stream does not stop for one lost picture."""
    shows(brain, b"one", FakeError("device_timeout"))
    await async_get_image(hass, EYE)
    clock[0] += camera.KEEP_S - 0.5
    assert (await async_get_image(hass, EYE)).content == b"one"


async def test_an_old_picture_is_not_shown(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, clock: list[float]
) -> None:
    """Nobody decides by what a door looked like a while ago."""
    shows(brain, b"one", FakeError("device_timeout"))
    await async_get_image(hass, EYE)
    clock[0] += camera.KEEP_S + 0.5
    with pytest.raises(HomeAssistantError):
        await async_get_image(hass, EYE)


async def test_a_picture_that_is_none_is_not_shown(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What cannot be decoded is no picture."""
    answer = {"content_type": "image/png", "image": "?"}
    brain.answers["devices.snapshot"] = lambda _params, _caller: answer
    with pytest.raises(HomeAssistantError):
        await async_get_image(hass, EYE)
