"""The small house of these tests, and what is said in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from homeassistant.components.calendar import CalendarEvent
from homeassistant.components.conversation import ConversationResult
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import area_registry as ar, device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.home import HomeAnswer, HomeCommands

from .furniture import Piece, Thing, furnish, piece

AREAS: Final = {
    "Kitchen": "Ground floor",
    "Living Room": "Ground floor",
    "Hall": "Ground floor",
    "Garage": "Ground floor",
    "Bedroom": "Upper floor",
    "Guest Bedroom": "Upper floor",
    "Bathroom": "Upper floor",
    "Garden": None,
}
ALIASES: Final = {"Living Room": ("Parlour",)}


def pieces() -> list[Piece]:
    """Return what stands in the house."""
    now = dt_util.now()
    tomorrow = (now + timedelta(days=1)).replace(hour=9, minute=30, second=0, microsecond=0)
    day = now.date()
    return [
        piece("light", "Kitchen Ceiling", "Kitchen", on=True),
        piece("light", "Counter Strip", "Kitchen"),
        piece("light", "Reading Lamp", "Living Room", mode="hs", aliases=("Nook light",)),
        piece("light", "Bedroom Light", "Bedroom"),
        piece("light", "Guest Bedroom Light", "Guest Bedroom"),
        piece("light", "Mirror", "Bathroom"),
        piece("light", "Path Lights", "Garden"),
        piece("switch", "Coffee Maker", "Kitchen", device_class="outlet"),
        piece("switch", "Fireplace", "Living Room", on=True),
        piece("switch", "Secret Heater", "Hall", exposed=False),
        piece("fan", "Ceiling Fan", "Bedroom", percentage=50),
        piece("cover", "Left Blind", "Bedroom", device_class="blind", position=100),
        piece("cover", "Right Blind", "Bedroom", device_class="blind", position=100),
        piece("cover", "Garage Door", "Garage", device_class="garage"),
        piece("lock", "Front Door", "Hall", locked=False),
        piece("lock", "Back Door", "Kitchen"),
        piece("valve", "Lawn Sprinkler", "Garden"),
        piece("media_player", "Sonos", "Living Room", device_class="speaker", state="playing",
              title="Blue Train", device="Sonos", maker="Sonos"),
        piece("media_player", "Projector", "Living Room", device_class="tv"),
        piece("climate", "Radiator", "Living Room"),
        piece("climate", "Towel Rail", "Bathroom", now=24.0),
        piece("vacuum", "Dusty", "Hall", device="Robot", maker="Roborock"),
        piece("todo", "Groceries", items=("Oat milk", "Rice")),
        piece("todo", "Errands", items=("Call the plumber",)),
        piece("calendar", "Family", events=(
            CalendarEvent(summary="Dentist", start=tomorrow, end=tomorrow + timedelta(hours=1),
                          location="Main Street 5"),
            CalendarEvent(summary="Visit of Aunt May", start=day + timedelta(days=2),
                          end=day + timedelta(days=3)),
        )),
        piece("weather", "Forecast Home", state="rainy", forecast=(
            {"datetime": (now + timedelta(days=1)).isoformat(), "condition": "sunny",
             "native_temperature": 18.0, "native_templow": 7.0, "precipitation_probability": 5},
        )),
        piece("sensor", "Bedroom Climate Temperature", "Bedroom", device_class="temperature",
              state="18.5", unit="°C"),
        piece("sensor", "Back Door Battery", "Kitchen", device_class="battery", state="12", unit="%"),
        piece("binary_sensor", "Kitchen Window", "Kitchen", device_class="window", state="on"),
        piece("binary_sensor", "Bathroom Window", "Bathroom", device_class="window", state="off"),
        piece("binary_sensor", "Hall Motion", "Hall", device_class="motion", state="off"),
        piece("scene", "Movie Night", "Living Room"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The house of a test, with an ear."""

    hass: HomeAssistant
    commands: HomeCommands
    things: dict[str, Thing]
    rooms: dict[str, str]

    async def say(
        self,
        text: str,
        *,
        room: str | None = None,
        user_id: str | None = None,
        language: str = "en",
        **more: Any,
    ) -> HomeAnswer | None:
        """Say something, in a room or in none."""
        answer = await self.commands.answer(
            text,
            language,
            Context(user_id=user_id),
            device_id=self.rooms[room] if room else None,
            **more,
        )
        await self.hass.async_block_till_done()
        return answer

    async def ask(self, text: str, **more: Any) -> str:
        """Ask something that has an answer; return its words."""
        answer = await self.say(text, **more)
        assert answer is not None
        assert answer.reason == "answer"
        return answer.text

    def put(self, entity_id: str, state: str, /, **shown: Any) -> None:
        """Add a thing that only shows itself: its name is that of its id."""
        name = entity_id.partition(".")[2].replace("_", " ").capitalize()
        self.hass.states.async_set(entity_id, state, {"friendly_name": name, **shown})
        async_expose_entity(self.hass, "conversation", entity_id, True)

    async def hide(self, *entity_ids: str) -> None:
        """Take things away from Assist."""
        for entity_id in entity_ids:
            async_expose_entity(self.hass, "conversation", entity_id, False)
        await self.hass.async_block_till_done()

    def state(self, entity_id: str) -> str:
        """Return the state of a thing."""
        found = self.hass.states.get(entity_id)
        assert found is not None
        return found.state

    def shown(self, entity_id: str, attribute: str) -> Any:
        """Return an attribute of a thing."""
        found = self.hass.states.get(entity_id)
        assert found is not None
        return found.attributes.get(attribute)

    def states(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return everything that can be seen of the house."""
        return {
            one.entity_id: (one.state, dict(one.attributes))
            for one in self.hass.states.async_all()
            if not one.entity_id.startswith("conversation.")
        }


@pytest.fixture
async def home(hass: HomeAssistant) -> AsyncIterator[Home]:
    """Return the furnished house with a satellite in every room."""
    for component in ("homeassistant", "conversation"):
        assert await async_setup_component(hass, component, {})
    things = await furnish(hass, pieces(), AREAS, ALIASES)
    entry = MockConfigEntry(domain="satellites")
    entry.add_to_hass(hass)
    devices = dr.async_get(hass)
    rooms = {}
    for area in ar.async_get(hass).async_list_areas():
        made = devices.async_get_or_create(
            config_entry_id=entry.entry_id, identifiers={("satellites", area.id)}
        )
        devices.async_update_device(made.id, area_id=area.id)
        rooms[area.name] = made.id
    commands = HomeCommands(hass)
    stop = commands.start()
    yield Home(hass=hass, commands=commands, things=things, rooms=rooms)
    stop()


type Speak = Callable[..., Awaitable[ConversationResult]]
