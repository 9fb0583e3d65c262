"""Print files on their way from Home Assistant to a printer: which may go, and what they are called."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from homeassistant.components import media_source
from homeassistant.components.media_source import PlayMedia
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import uploads

from .workshop import PRINTER, Storeroom, act, at, gone, workshop_fixture  # noqa: F401 - fixtures are asked for by name


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BUTTON,)


@pytest.fixture
async def brain(socket_enabled: None) -> AsyncIterator[Storeroom]:
    """Return a brain that takes files."""
    fake = await Storeroom().start()
    yield fake
    await fake.stop()


async def test_a_print_of_a_file_that_is_there(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom
) -> None:
    """Nothing is uploaded."""
    await act(hass, "start_print", device_id=at(hass, workshop, PRINTER), file="cat.gcode")
    assert brain.sent("devices.request")[0]["params"] == {"file": "cat.gcode"}
    assert brain.stored == {}


@pytest.fixture
def drawer(hass: HomeAssistant, tmp_path: Path) -> Path:
    """Return a folder that Home Assistant may read, with a file in it."""
    folder = tmp_path / "drawer"
    folder.mkdir()
    (folder / "cat face.gcode").write_bytes(b"G28")
    hass.config.allowlist_external_dirs.add(str(folder))
    return folder


async def test_a_print_of_a_file_of_home_assistant(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path
) -> None:
    """It is uploaded first, and printed under the name that it got there."""
    device_id = at(hass, workshop, PRINTER)
    await act(hass, "start_print", device_id=device_id, path=str(drawer / "cat face.gcode"))
    assert brain.stored == {(PRINTER, "cat face.gcode"): b"G28"}
    assert brain.sent("devices.request")[0]["params"] == {"file": "local/cat face.gcode"}


async def test_a_file_is_stored_under_another_name(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path
) -> None:
    """Nothing is printed."""
    path, device_id = str(drawer / "cat face.gcode"), at(hass, workshop, PRINTER)
    answer = await act(hass, "upload_file", device_id=device_id, path=path, name="cat.gcode")
    assert answer == {"file": "local/cat.gcode"}
    assert brain.sent("devices.request") == []


@pytest.mark.parametrize("shape", ["text", "selector"])
async def test_a_file_of_a_media_source(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path, shape: str
) -> None:
    """As text or as the selector gives it."""
    hass.config.media_dirs = {"local": str(drawer)}
    assert await async_setup_component(hass, "media_source", {})
    (drawer / "cat face.gcode").rename(drawer / "cat.mp4")
    media_id = "media-source://media_source/local/cat.mp4"
    media: Any = {"text": media_id, "selector": {"media_content_id": media_id, "metadata": {}}}
    device_id = at(hass, workshop, PRINTER)
    await act(hass, "upload_file", device_id=device_id, media=media[shape], name="cat.gcode")
    assert brain.stored == {(PRINTER, "cat.gcode"): b"G28"}


async def refusal(hass: HomeAssistant, workshop: MockConfigEntry, **data: Any) -> str | None:
    """Return the code with which an upload is refused."""
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, "upload_file", device_id=at(hass, workshop, PRINTER), **data)
    return caught.value.translation_key


async def test_a_path_that_is_not_opened_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path, tmp_path: Path
) -> None:
    """Also by way of a folder that is, and also by a link."""
    (tmp_path / "secrets.yaml").write_text("password")
    (drawer / "link.gcode").symlink_to(tmp_path / "secrets.yaml")
    for path in (tmp_path / "secrets.yaml", drawer / "../secrets.yaml", drawer / "link.gcode"):
        assert await refusal(hass, workshop, path=str(path)) == "path_not_allowed"
    assert brain.stored == {}


async def test_a_file_that_is_none_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path
) -> None:
    """Missing, or a folder."""
    (drawer / "folder").mkdir()
    assert await refusal(hass, workshop, path=str(drawer / "missing")) == "file_not_found"
    assert await refusal(hass, workshop, path=str(drawer / "folder")) == "file_not_found"


async def test_a_file_that_cannot_be_read_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may say no."""

    def broken(_path: Path, _mode: str) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", broken)
    path = str(drawer / "cat face.gcode")
    assert await refusal(hass, workshop, path=path) == "file_not_found"


async def test_a_file_that_is_too_large_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    monkeypatch.setattr(uploads, "MAX_BYTES", 2)
    path = str(drawer / "cat face.gcode")
    assert await refusal(hass, workshop, path=path) == "file_too_large"


@pytest.mark.parametrize("name", ["../cat.gcode", "a\\b.gcode", "/etc/passwd"])
async def test_a_name_that_is_a_path_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path, name: str
) -> None:
    """A file has no folder of its own on the printer."""
    path = str(drawer / "cat face.gcode")
    assert await refusal(hass, workshop, path=path, name=name) == "invalid_file_name"


async def test_media_that_is_not_there_or_not_here_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, drawer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only files on the disk of Home Assistant go to a printer."""
    media = "media-source://radio/1"
    assert await refusal(hass, workshop, media=media) == "media_not_found"

    async def elsewhere(*_args: Any) -> Any:
        return PlayMedia("http://radio.invalid", "audio/mpeg")

    monkeypatch.setattr(media_source, "async_resolve_media", elsewhere)
    assert await refusal(hass, workshop, media=media) == "media_not_local"


async def test_a_printer_that_takes_no_file_says_why(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path
) -> None:
    """The code of the brain comes through."""
    brain.refuses = {"code": "not_supported", "message": "This device takes no files"}
    path = str(drawer / "cat face.gcode")
    assert await refusal(hass, workshop, path=path) == "not_supported"


async def test_a_brain_that_is_away_takes_no_file(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: Storeroom, drawer: Path
) -> None:
    """The error is that of every request."""
    await gone(hass, brain, workshop)
    path = str(drawer / "cat face.gcode")
    assert await refusal(hass, workshop, path=path) == "brain_unavailable"


@pytest.mark.parametrize("more", [{}, {"file": "a", "path": "b"}])
async def test_a_print_needs_exactly_one_file(
    hass: HomeAssistant, workshop: MockConfigEntry, more: dict[str, Any]
) -> None:
    """None and two are both refused."""
    with pytest.raises(vol.Invalid):
        await act(hass, "start_print", device_id=at(hass, workshop, PRINTER), **more)
