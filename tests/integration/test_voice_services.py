"""A voice in a room may settle what is harmless, and nothing else."""

from typing import Any, Final, override

from homeassistant.components import assist_satellite, tts
from homeassistant.components.assist_satellite import (
    AssistSatelliteAnnouncement,
    AssistSatelliteConfiguration,
    AssistSatelliteEntity,
    AssistSatelliteEntityFeature,
)
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import Unauthorized
from homeassistant.setup import async_setup_component
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.protocol import INTENTS, Hazard
from custom_components.kitty.voice_services import HARMLESS

from .conftest import ADA, EVE
from .fake_brain import FakeBrain
from .test_services import only_entities
from .test_voice import Speaker
from .workshop import DOOR, PRINTER, act, at, workshop_fixture  # noqa: F401 - fixtures are asked for by name

ROOM: Final = "assist_satellite.room"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what rights are given on."""
    return (Platform.LOCK, Platform.BUTTON)


class Room(AssistSatelliteEntity):
    """A satellite in a room where somebody answers at once."""

    _attr_name = "Room"
    _attr_supported_features = AssistSatelliteEntityFeature.START_CONVERSATION

    def __init__(self) -> None:
        """Start silent."""
        super().__init__()
        self.asked: list[str] = []
        self.answer = "yes"

    @override
    async def async_start_conversation(
        self, start_announcement: AssistSatelliteAnnouncement
    ) -> None:
        """Ask, and hear the answer, as the pipeline would report it."""
        self.asked.append(start_announcement.message)
        assert self._ask_question_future is not None
        self._ask_question_future.set_result(self.answer)

    @override
    def async_get_configuration(self) -> AssistSatelliteConfiguration:
        """Have no wake words."""
        return AssistSatelliteConfiguration([], [], 1)

    @override
    async def async_set_configuration(self, config: AssistSatelliteConfiguration) -> None:
        """Keep nothing."""

    @override
    def on_pipeline_event(self, event: Any) -> None:
        """Show nothing."""


@pytest.fixture(name="room")
async def room_fixture(hass: HomeAssistant, workshop: MockConfigEntry) -> Room:
    """Return the satellite of the room."""
    assert await async_setup_component(hass, "assist_satellite", {})
    await hass.data[tts.DATA_COMPONENT].async_add_entities([Speaker()])
    room = Room()
    await hass.data[assist_satellite.DATA_COMPONENT].async_add_entities([room])
    await hass.async_block_till_done()
    return room


async def confirm(
    hass: HomeAssistant, entry: MockConfigEntry, device: str, intent: str, user_id: str | None = ADA
) -> Any:
    """Call the action."""
    return await act(
        hass,
        "confirm_by_voice",
        user_id,
        device_id=at(hass, entry, device),
        intent=intent,
        satellite=ROOM,
    )


async def test_a_yes_in_the_room_has_it_done(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, brain: FakeBrain
) -> None:
    """In the name of whoever asked for the question."""
    answer = await confirm(hass, workshop, PRINTER, "print_pause")
    assert room.asked == ["Pause Printer? Say confirm or cancel."]
    assert (answer["confirmed"], answer["sentence"]) == (True, "yes")
    (sent,) = brain.sent("devices.request")
    assert (sent["device_id"], sent["intent"]) == (PRINTER, "print_pause")
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert caller["user_id"] == ADA
    assert answer["command"]["intent"] == "print_pause"


@pytest.mark.parametrize("words", ["Confirm.", "do it", "ja", "Vas-y", "d\u2019accord"])
async def test_yes_has_several_words(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, words: str
) -> None:
    room.answer = words
    assert (await confirm(hass, workshop, DOOR, "lock"))["confirmed"]


@pytest.mark.parametrize(
    "words", ["no", "cancel", "what did you say", "yes but not now", "yes?", "na ja", "non"]
)
async def test_anything_but_a_plain_yes_does_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, brain: FakeBrain, words: str
) -> None:
    room.answer = words
    answer = await confirm(hass, workshop, DOOR, "lock")
    assert answer == {"confirmed": False, "sentence": words, "command": None}
    assert brain.sent("devices.request") == []


async def test_an_automation_may_ask_a_room(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, brain: FakeBrain
) -> None:
    """Nobody started it, and nobody is named."""
    assert (await confirm(hass, workshop, DOOR, "lock", None))["confirmed"]
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert caller["user_id"] is None


@pytest.mark.parametrize("intent", sorted(set(INTENTS) - set(HARMLESS)))
async def test_what_is_dangerous_cannot_be_asked_for(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, brain: FakeBrain, intent: str
) -> None:
    """A voice is nobody's approval."""
    with pytest.raises(vol.Invalid):
        await confirm(hass, workshop, DOOR, intent)
    assert room.asked == []
    assert brain.sent("devices.request") == []


def test_harmless_is_what_no_area_makes_dangerous() -> None:
    assert {INTENTS[name].hazard for name in HARMLESS} == {Hazard.LOW}
    assert {"lock", "print_pause", "print_cancel"} <= set(HARMLESS)


async def test_a_person_without_rights_has_nobody_asked(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, people: dict[str, MockUser]
) -> None:
    only_entities(people[EVE], ROOM)
    with pytest.raises(Unauthorized):
        await confirm(hass, workshop, DOOR, "lock", EVE)
    assert room.asked == []


async def test_a_person_who_may_not_use_the_room_asks_nobody(
    hass: HomeAssistant, workshop: MockConfigEntry, room: Room, people: dict[str, MockUser]
) -> None:
    only_entities(people[EVE], "lock.workshop_door")
    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            "kitty",
            "confirm_by_voice",
            {"device_id": at(hass, workshop, DOOR), "intent": "lock", "satellite": ROOM},
            blocking=True,
            return_response=True,
            context=Context(user_id=EVE),
        )
    assert room.asked == []
