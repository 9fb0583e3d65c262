"""A picture of what an approved command did: from its zone, kept with its hash in the chain."""

import base64
import hashlib
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.errors import DeviceError
from brain_server.protocol import Json
from tests.brain.home import Home, until


async def unlocked(home: Home, decision: str = "approve") -> Json:
    """Have somebody decide about a door; returns the event when a picture could be there."""
    door = await home.puppet("door", "door")
    door.shows = {"locked": False}
    asked = await home.request(door.context.device_id, "unlock")
    await home.decide(asked["event"], "bob", decision)
    await home.ended(asked["command"]["id"])
    await until(lambda: not home.brain.devices._carrying, "the end of what follows")
    (event,) = (await home.command("safety.events"))["items"]
    return dict(event)


async def picture_of(home: Home, event: Json) -> bytes:
    """Return the picture of an event."""
    found = await home.command("safety.evidence", {"event_id": event["id"]})
    return base64.b64decode(found["image"])


async def test_a_camera_of_the_zone_takes_a_picture(home: Home) -> None:
    """Linked to the event, its hash in the chain."""
    camera = await home.puppet("eye", "camera")
    event = await unlocked(home)
    assert event["evidence_key"] == f"evidence/{event['id']}"
    assert await picture_of(home, event) == camera.picture
    (row,) = (await home.command("audit.list", {"kind": "evidence"}))["items"]
    assert row["event_id"] == event["id"]
    assert row["data"]["sha256"] == hashlib.sha256(camera.picture).hexdigest()


async def test_a_camera_that_fails_changes_nothing_and_the_next_is_asked(home: Home) -> None:
    """What happened to the door does not depend on who looked."""
    broken = await home.puppet("a broken eye", "camera")
    broken.picture = DeviceError("camera_failed", "The lens is dirty")
    good = await home.puppet("eye", "camera")
    event = await unlocked(home)
    (command,) = (await home.command("commands.list"))["items"]
    assert (command["status"], await picture_of(home, event)) == ("acked", good.picture)


@pytest.mark.parametrize("zone", ["hall", None])
async def test_a_camera_elsewhere_is_not_asked(home: Home, zone: str | None) -> None:
    """It does not see the door."""
    await home.puppet("eye", "camera", zone)
    event = await unlocked(home)
    assert event["evidence_key"] is None
    assert await home.refusal("safety.evidence", {"event_id": event["id"]}) == "no_evidence"


async def test_of_what_was_not_done_there_is_no_picture(home: Home) -> None:
    """Nobody is photographed for asking."""
    await home.puppet("eye", "camera")
    event = await unlocked(home, "deny")
    assert event["evidence_key"] is None


async def test_a_picture_that_was_changed_is_not_shown(home: Home, brain: Brain) -> None:
    """It is not the one that the chain knows."""
    await home.puppet("eye", "camera")
    event = await unlocked(home)
    (brain.settings.data_dir / event["evidence_key"]).write_bytes(b"\x89PNG of nobody")
    assert await home.refusal("safety.evidence", {"event_id": event["id"]}) == "evidence_altered"


@pytest.mark.parametrize("name", ["..", "../keys.json", "", "x" * 32, "A" * 32, "0" * 31, "0" * 32])
async def test_only_the_picture_of_an_event_can_be_had(home: Home, name: str) -> None:
    """No name leads to another file."""
    assert await home.refusal("safety.evidence", {"event_id": name}) == "no_evidence"


@pytest.mark.parametrize(
    ("picture", "kind"), [(b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg")]
)
async def test_a_snapshot_tells_what_kind_of_picture_it_is(
    home: Home, picture: bytes, kind: str
) -> None:
    """By its first bytes."""
    camera = await home.puppet("eye", "camera")
    camera.picture = picture
    found = await home.command("devices.snapshot", {"device_id": camera.context.device_id})
    assert found["content_type"] == kind
    assert base64.b64decode(found["image"]) == picture


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (DeviceError("camera_failed", "The lens is dirty"), "camera_failed"),
        (TimeoutError(), "no_picture"),
    ],
)
async def test_a_camera_that_gives_no_picture_says_why(home: Home, trouble: Any, code: str) -> None:
    """Or is not waited for."""
    camera = await home.puppet("eye", "camera")
    camera.picture = trouble
    asked = {"device_id": camera.context.device_id}
    assert await home.refusal("devices.snapshot", asked) == code
