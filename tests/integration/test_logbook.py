"""The logbook: one sentence each for what people asked, allowed and got."""

from homeassistant.components.recorder import Recorder
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.kitty.logbook import message
from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR
from .fake_brain import FakeBrain
from .workshop import NOW, push, workshop_fixture  # noqa: F401 - fixtures are asked for by name


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.EVENT, Platform.LOCK)


async def lines(hass: HomeAssistant, hass_ws_client: WebSocketGenerator) -> list[Json]:
    """Return what the logbook shows of KITTY."""
    await async_wait_recording_done(hass)
    client = await hass_ws_client()
    start = dt_util.utcnow().replace(year=2000).isoformat()
    await client.send_json_auto_id({"type": "logbook/get_events", "start_time": start})
    answer: Json = await client.receive_json()
    return [line for line in answer["result"] if line.get("domain") == "kitty"]


async def test_a_door_that_opened_says_who_asked_and_who_approved(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """From the wire to the line that people read, under the approver."""
    assert await async_setup_component(hass, "logbook", {})
    event = brain.event(
        DOOR, "unlock", initiated_by=ADA, status="approved", approved_by=[BOB], people=[BOB]
    )
    ledger = workshop.runtime_data.ledger
    await ledger.record_decision(event, BOB, "approve", channel="dashboard", ppe=False)
    await push(hass, brain, "safety.event", event)
    command = brain.command(
        DOOR, "unlock", status="acked", requested_by=ADA, event_id=event["id"], ack_at=NOW
    )
    await push(hass, brain, "command.updated", command)
    line = (await lines(hass, hass_ws_client))[-1]
    assert (line["name"], line["message"]) == (
        "Door",
        "was unlocked: asked by Ada, approved by Bob",
    )
    assert (line["entity_id"], line["context_user_id"]) == ("lock.workshop_door", BOB)


async def test_an_alarm_is_not_in_the_logbook(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """Whoever forces a person does not read of it."""
    assert await async_setup_component(hass, "logbook", {})
    duress = {"user_id": ADA, "event_id": "e", "device_id": DOOR}
    await push(hass, brain, "safety.duress", duress)
    assert await lines(hass, hass_ws_client) == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"type": "requested", "intent": "power_on", "requested_by": "Ada"},
            "switching on was requested by Ada",
        ),
        (
            {"type": "requested", "intent": "unlock", "channel": "voice"},
            "unlocking was requested by a voice",
        ),
        (
            {
                "type": "approved",
                "intent": "unlock",
                "channel": "automation",
                "approved_by": ["Bob"],
            },
            "unlocking was approved: asked by an automation, approved by Bob",
        ),
        (
            {"type": "denied", "intent": "unlock", "denied_by": "Bob", "reason": "too late"},
            "unlocking was denied by Bob (too late)",
        ),
        ({"type": "denied", "intent": "unlock"}, "unlocking was denied by the gate"),
        ({"type": "expired", "intent": "unlock"}, "unlocking expired: nobody decided in time"),
        (
            {"type": "done", "intent": "power_off", "channel": "system"},
            "was switched off: asked by KITTY itself",
        ),
        (
            {"type": "done", "intent": "dance", "approved_by": ["Ada", "Bob"]},
            "did dance: asked by somebody, approved by Ada and Bob",
        ),
        (
            {"type": "failed", "intent": "lock", "detail": "jammed", "requested_by": "Ada"},
            "locking failed (jammed): asked by Ada",
        ),
        (
            {"type": "unknown", "intent": "unlock", "detail": "not_observed"},
            "unlocking may or may not have worked (not_observed): somebody has to look",
        ),
        ({"type": "else"}, "sent else"),
    ],
)
def test_each_event_has_its_sentence(data: Json, sentence: str) -> None:
    """In words that follow the name of the device."""
    assert message(data) == sentence
