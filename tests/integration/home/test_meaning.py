"""Which things a sentence means: by parts of names, places and kinds, and with what is left unsaid."""

from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import floor_registry as fr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import async_mock_service

from custom_components.kitty.home import HomeCommands

from .conftest import Home

MEANT: dict[str, tuple[str, ...]] = {
    "turn on the kitchen light": ("light.kitchen_ceiling", "light.counter_strip"),
    "set the kitchen to 40 percent": ("light.kitchen_ceiling", "light.counter_strip"),
    "turn off the switch": ("switch.fireplace",),
    "turn on the sun room lamp": ("light.sunroom_lamp",),
    "turn on the readinglamp": ("light.reading_lamp",),
    "turn on the mirror on the upper floor": ("light.mirror",),
    "turn on the mirror in the bathroom": ("light.mirror",),
    "turn on the light in the living": ("light.reading_lamp",),
    "turn on the washer": ("switch.smart_washer_plug",),
    "turn on the guest light": ("light.guest_bedroom_light",),
    "turn on the coffee": ("switch.coffee_maker",),
    "unlock the kitchen lock": ("lock.back_door",),
    "turn off the light if the kitchen window is open": ("light.kitchen_ceiling",),
    "toggle the bench switches": ("switch.bench_switch",),
    "turn on the lights upstairs but not the mirror": (
        "light.bedroom_light",
        "light.guest_bedroom_light",
    ),
}
HERE: dict[tuple[str, str], tuple[str, ...]] = {
    ("Bathroom", "turn on the lights"): ("light.mirror",),
    ("Bathroom", "make it warmer in here"): ("climate.towel_rail",),
    ("Bathroom", "set it to 22 degrees in here"): ("climate.towel_rail",),
    ("Living Room", "turn on the reading lamp in here"): ("light.reading_lamp",),
    ("Living Room", "turn off everything in here"): (
        "media_player.sonos",
        "media_player.projector",
        "switch.fireplace",
        "light.reading_lamp",
    ),
}


def put_more(home: Home) -> None:
    """Put things of difficult names into the house."""
    home.put("light.sunroom_lamp", "off")
    home.put("switch.smart_washer_plug", "off")
    home.put("switch.bench_switch", "off")
    home.put("switch.the", "off")


@pytest.mark.parametrize("sentence", MEANT)
async def test_a_thing_is_known_by_what_people_say_of_it(home: Home, sentence: str) -> None:
    """Nobody says the whole name."""
    put_more(home)
    answer = await home.say(sentence, dry=True)
    assert answer is not None
    assert sorted(answer.acted) == sorted(MEANT[sentence])


@pytest.mark.parametrize(("room", "sentence"), HERE)
async def test_in_a_room_the_things_of_the_room_are_meant(
    home: Home, room: str, sentence: str
) -> None:
    """Above all where "here" is said."""
    answer = await home.say(sentence, room=room, dry=True)
    assert answer is not None
    assert sorted(answer.acted) == sorted(HERE[room, sentence])


async def test_everything_but_one_leaves_that_one(home: Home) -> None:
    """The sonos goes on."""
    answer = await home.say("turn off everything except the sonos", dry=True)
    assert answer is not None
    assert "media_player.projector" in answer.acted
    assert "media_player.sonos" not in answer.acted


@pytest.mark.parametrize(
    "sentence",
    [
        "let the sun in",
        "turn on the light in the room",
        "turn on the mirror in the kitchen",
        "turn on the mirror and the dragon",
        "turn on the lights upstairs but not the dragon",
        "turn on the dragon if the kitchen window is open",
        "turn on the mirror if pigs fly",
        "if the kitchen window is open then please",
    ],
)
async def test_a_word_that_nothing_explains_is_no_order(home: Home, sentence: str) -> None:
    """Rather nothing than something else."""
    assert await home.say(sentence, dry=True) is None


async def test_what_is_here_is_not_somewhere_else(home: Home) -> None:
    """The lamp stands in another room."""
    assert await home.say("turn on the reading lamp in here", room="Bathroom", dry=True) is None


@pytest.mark.parametrize("other", ["light.other", "switch.other"])
async def test_of_two_with_one_name_it_is_asked_which(home: Home, other: str) -> None:
    """A plural means both, where both are of a kind."""
    for entity_id in ("light.one", other):
        home.hass.states.async_set(entity_id, "off", {"friendly_name": "Sky"})
        async_expose_entity(home.hass, "conversation", entity_id, True)
    answer = await home.say("turn on the sky")
    assert answer is not None
    assert answer.asks
    assert answer.text == "Which one: Sky or Sky?"


async def test_of_two_in_a_room_it_is_asked_which(home: Home) -> None:
    """Even if there are more elsewhere."""
    answer = await home.say("close the blind", room="Bedroom")
    assert answer is not None
    assert answer.text == "Which one: Left Blind or Right Blind?"


async def test_what_was_talked_about_must_be_able_to_do_it(home: Home) -> None:
    """A lamp has no bolt, and another thing is not meant."""
    await home.say("turn on the mirror", conversation_id="c")
    await home.say("lock it", conversation_id="c")
    assert home.state("lock.front_door") == "unlocked"


async def test_without_levels_nobody_knows_what_is_upstairs(home: Home) -> None:
    """The floors lie side by side."""
    floors = fr.async_get(home.hass)
    for number, floor in enumerate(list(floors.async_list_floors())):
        floors.async_update(floor.floor_id, name=f"Wing {chr(97 + number)}")
    assert await home.say("turn on the lights upstairs", dry=True) is None


@pytest.mark.parametrize(
    "question",
    [
        "how bright are the lights",
        "what are the humidity sensors",
        "when was the light last turned on",
        "when was the dragon last opened",
    ],
)
async def test_a_question_about_too_many_or_none_is_not_answered(home: Home, question: str) -> None:
    """Nine readings are no answer."""
    for number in range(9):
        home.put(f"light.spot_{number}", "on", brightness=128)
        home.put(f"sensor.humidity_{number}", "40", device_class="humidity")
    assert await home.say(question) is None


async def test_what_plays_elsewhere_is_told_with_its_name(home: Home) -> None:
    """Nothing plays in the kitchen; nothing can."""
    assert await home.ask("what is playing in the kitchen") == "Sonos is playing Blue Train."


async def test_a_number_without_a_unit_is_told_without(home: Home) -> None:
    """There is nothing to add."""
    home.put("number.heat_curve", "5")
    assert await home.ask("what is the heat curve") == "Heat curve is 5."


async def test_a_list_that_does_not_answer_is_told(home: Home) -> None:
    """Then nobody knows how its items are written."""
    home.hass.services.async_remove("todo", "get_items")
    answer = await home.say("check off rice from my groceries")
    assert answer is not None
    assert answer.reason == "failed"


async def test_a_question_that_only_would_be_asked_leaves_nothing(home: Home) -> None:
    """Neither a subject nor a choice."""
    await home.say("is the mirror on", conversation_id="c", dry=True)
    await home.say("turn it on", conversation_id="c")
    assert home.state("light.mirror") == "off"
    await home.say("unlock the door", conversation_id="d")
    await home.say("never mind", conversation_id="d", dry=True)
    await home.say("Back Door", conversation_id="d")
    assert home.state("lock.back_door") == "unlocked"


async def test_without_home_assistants_agent_the_home_understands_alone(
    hass: HomeAssistant,
) -> None:
    """It may not be there yet while Home Assistant starts."""
    assert await async_setup_component(hass, "homeassistant", {})
    hass.states.async_set("light.mirror", "off", {"friendly_name": "Mirror"})
    async_expose_entity(hass, "conversation", "light.mirror", True)
    calls = async_mock_service(hass, "light", "turn_on")
    answer = await HomeCommands(hass).answer("turn on the mirror", "en", Context())
    assert answer is not None
    assert [call.data["entity_id"] for call in calls] == ["light.mirror"]
