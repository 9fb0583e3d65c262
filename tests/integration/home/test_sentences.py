"""Sentences of many kinds in two large houses: what each does, says, or must leave alone."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from homeassistant.const import ATTR_ENTITY_ID, EVENT_CALL_SERVICE
from homeassistant.core import Context, Event, HomeAssistant, callback
from homeassistant.helpers import area_registry as ar, device_registry as dr, floor_registry as fr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.home import HomeAnswer, HomeCommands

from .furniture import Thing, furnish
from .houses import HOUSES, House

FOLDER: Final = Path(__file__).parent / "sentences"
READS: Final = frozenset({"todo.get_items", "calendar.get_events", "weather.get_forecasts"})
NOTHING: Final = "-"
ASKED: Final = "?"


@dataclass(frozen=True, slots=True)
class Row:
    """A sentence, the room in which it is said, and what it comes to."""

    room: str | None
    said: str
    wanted: str


def rows(name: str) -> list[Row]:
    """Return the rows of a house's table."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    cells = [line.split(" | ") for line in lines if not line.startswith("#")]
    rooms = tuple(f"{room}: " for room in HOUSES[name].areas)
    return [
        Row(said.partition(": ")[0], said.partition(": ")[2], wanted)
        if said.startswith(rooms)
        else Row(None, said, wanted)
        for said, wanted in cells
    ]


def described(service: str, data: dict[str, Any]) -> str:
    """Return in short what a call does: "light.turn_on light.lamp brightness_pct=40"."""
    ids = data.get(ATTR_ENTITY_ID, ())
    values = sorted((key, value) for key, value in data.items() if key != ATTR_ENTITY_ID)
    shown = [
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in values
    ]
    return " ".join([service, *sorted([ids] if isinstance(ids, str) else ids), *shown])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """A furnished house that tells what a sentence did."""

    hass: HomeAssistant
    commands: HomeCommands
    things: dict[str, Thing]
    rooms: dict[str, str]
    calls: list[str]

    async def say(self, row: Row) -> HomeAnswer | None:
        """Say a sentence in the house as it was furnished."""
        for thing in self.things.values():
            type(thing).__init__(thing, thing.made)
            thing.async_write_ha_state()
        self.calls.clear()
        answer = await self.commands.answer(
            row.said, "en", Context(), device_id=self.rooms[row.room] if row.room else None
        )
        await self.hass.async_block_till_done()
        return answer

    async def done(self, wanted: Iterable[Row]) -> dict[Row, str]:
        """Return what each sentence did."""
        found = {}
        for row in wanted:
            await self.say(row)
            found[row] = "; ".join(sorted(self.calls)) or NOTHING
        return found

    async def told(self, wanted: Iterable[Row]) -> dict[Row, str]:
        """Return what was answered to each question."""
        answers = {row: await self.say(row) for row in wanted}
        return {row: answer.text if answer else "" for row, answer in answers.items()}


async def _furnished(hass: HomeAssistant, house: House) -> dict[str, Thing]:
    """Build a house, its floors in order."""
    things = await furnish(hass, house.pieces(), house.areas, house.aliases)
    floors = fr.async_get(hass)
    for floor in list(floors.async_list_floors()):
        level, aliases = house.floors[floor.name]
        floors.async_update(floor.floor_id, level=level, aliases=set(aliases))
    await hass.async_block_till_done()
    return things


@pytest.fixture
async def ear(hass: HomeAssistant, name: str) -> AsyncIterator[Ear]:
    """Return one of the houses with a satellite in every room."""
    for component in ("homeassistant", "conversation"):
        assert await async_setup_component(hass, component, {})
    things = await _furnished(hass, HOUSES[name])
    entry = MockConfigEntry(domain="satellites")
    entry.add_to_hass(hass)
    devices, rooms = dr.async_get(hass), {}
    for area in ar.async_get(hass).async_list_areas():
        made = devices.async_get_or_create(
            config_entry_id=entry.entry_id, identifiers={("satellites", area.id)}
        )
        devices.async_update_device(made.id, area_id=area.id)
        rooms[area.name] = made.id
    calls: list[str] = []

    @callback
    def heard(event: Event[Any]) -> None:
        service = f"{event.data['domain']}.{event.data['service']}"
        if service not in READS:
            calls.append(described(service, dict(event.data["service_data"])))

    hass.bus.async_listen(EVENT_CALL_SERVICE, heard)
    commands = HomeCommands(hass)
    stop = commands.start()
    yield Ear(hass=hass, commands=commands, things=things, rooms=rooms, calls=calls)
    stop()


@pytest.mark.parametrize("name", HOUSES)
async def test_each_order_is_carried_out_and_nothing_else(ear: Ear, name: str) -> None:
    """The actions that follow, the things that they reach, and their values."""
    wanted = [row for row in rows(name) if not row.wanted.startswith((ASKED, NOTHING))]
    assert await ear.done(wanted) == {row: row.wanted for row in wanted}


@pytest.mark.parametrize("name", HOUSES)
async def test_each_question_has_its_answer(ear: Ear, name: str) -> None:
    """The answer holds every word that was wanted."""
    wanted = [row for row in rows(name) if row.wanted.startswith(ASKED)]
    told = await ear.told(wanted)
    missed = {
        (row.said, text): part
        for row, text in told.items()
        for part in row.wanted.removeprefix(ASKED).split(",")
        if not any(one.strip() in text.casefold() for one in part.split("|"))
    }
    assert missed == {}


@pytest.mark.parametrize("name", HOUSES)
async def test_what_is_no_order_changes_nothing(ear: Ear, name: str) -> None:
    """Not even what Home Assistant's own agent would make of it."""
    wanted = [row for row in rows(name) if row.wanted != NOTHING]
    left_alone = [row for row in rows(name) if row.wanted == NOTHING]
    assert wanted != left_alone
    assert await ear.done(left_alone) == dict.fromkeys(left_alone, NOTHING)
