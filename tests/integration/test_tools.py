"""What a model may use of the house: only in a turn, only with the person's rights, hazards never alone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from homeassistant.components import conversation
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.components.intent import async_register_timer_handler
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant, ServiceCall
from homeassistant.helpers import area_registry as ar, entity_registry as er, intent
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_mock_service,
)

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB
from .fake_brain import FakeBrain
from .workshop import REAL_LOCK, workshop_fixture  # noqa: F401 - fixtures are asked for by name

AGENT: Final = "conversation.brain"
BRAIN_ID: Final = "c0" * 16

# What stands in the house: the entity, its state and its attributes.
HOUSE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "light.kitchen": ("off", {"friendly_name": "Kitchen light"}),
    "switch.fountain": ("off", {"friendly_name": "Fountain"}),
    "lock.front": ("locked", {"friendly_name": "Front door"}),
    "cover.blind": ("closed", {"friendly_name": "Blind", "device_class": "blind"}),
    "cover.garage": ("closed", {"friendly_name": "Garage", "device_class": "garage"}),
    "cover.something": ("closed", {"friendly_name": "Something"}),
    "valve.water": ("closed", {"friendly_name": "Water main"}),
    "scene.party": ("unknown", {"friendly_name": "Party"}),
    "script.leave": ("off", {"friendly_name": "Leave"}),
    "button.reboot": ("unknown", {"friendly_name": "Reboot"}),
    "automation.alarm": ("on", {"friendly_name": "Alarm rule"}),
    "siren.roof": ("off", {"friendly_name": "Siren"}),
    "sensor.outside": ("21.5", {"friendly_name": "Outside", "unit_of_measurement": "°C"}),
    "climate.living": ("heat", {"friendly_name": "Living room", "supported_features": 1}),
    "media_player.radio": ("playing", {"friendly_name": "Radio", "supported_features": 4198975}),
    REAL_LOCK: ("locked", {"friendly_name": "Raw lock"}),
}


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load the agent, and entities of KITTY's own."""
    return (Platform.CONVERSATION, Platform.LIGHT, Platform.LOCK)


@dataclass
class House:
    """The house, and what was done in it."""

    hass: HomeAssistant
    brain: FakeBrain
    done: dict[str, list[ServiceCall]]

    async def ask(
        self,
        method: str,
        *,
        user_id: str | None = ADA,
        text: str = "do it for me",
        conversation_id: str | None = None,
        asks: bool = False,
        device_id: str | None = None,
        **params: Any,
    ) -> Json:
        """Let somebody speak, and the brain ask for something while it answers."""
        answers: list[Json] = []

        async def talk(_params: Json, caller: Json | None) -> AsyncIterator[Json]:
            assert caller is not None
            wish = {"context_id": caller["context_id"], **params}
            answers.append(await self.brain.ask(method, wish))
            yield {
                "result": {
                    "conversation_id": BRAIN_ID,
                    "text": "Well.",
                    "continue_conversation": asks,
                    "data": {},
                }
            }

        self.brain.answers["conversation.process"] = talk
        await conversation.async_converse(
            self.hass,
            text,
            conversation_id or f"talk with {user_id}",
            Context(user_id=user_id),
            language="en",
            agent_id=AGENT,
            device_id=device_id,
        )
        return answers[0]

    async def call(self, name: str, more: Json | None = None, /, **arguments: Any) -> Json:
        """Let a model call a tool; returns the whole answer."""
        wish = {"name": name, "arguments": arguments, "confirmed": False}
        return await self.ask("ha.call_tool", **wish | (more or {}))

    def was_done(self) -> list[str]:
        """Return the actions that were called, with their entities."""
        return sorted(
            f"{name} {call.data['entity_id']}"
            for name, calls in self.done.items()
            for call in calls
        )


@pytest.fixture
async def house(hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain) -> House:
    """Return a house in which everything is exposed."""
    for domain in ("light", "climate", "media_player", "todo", "timer"):
        assert await async_setup_component(hass, domain, {})
    for entity_id, (state, attributes) in HOUSE.items():
        hass.states.async_set(entity_id, state, attributes)
        async_expose_entity(hass, "conversation", entity_id, True)
    await hass.async_block_till_done()
    actions = [
        *(("homeassistant", one) for one in ("turn_on", "turn_off")),
        *(
            (name, one)
            for name in ("light", "switch", "scene", "script")
            for one in ("turn_on", "turn_off")
        ),
        *((name, one) for name in ("automation", "siren") for one in ("turn_on", "turn_off")),
        *(("lock", one) for one in ("lock", "unlock")),
        *(("cover", one) for one in ("open_cover", "close_cover", "set_cover_position")),
        *(("valve", one) for one in ("open_valve", "close_valve")),
        ("button", "press"),
        ("climate", "set_temperature"),
        ("media_player", "volume_set"),
        ("media_player", "media_pause"),
    ]
    done = {f"{domain}.{name}": async_mock_service(hass, domain, name) for domain, name in actions}
    return House(hass, brain, done)


ON: Final = "intent__HassTurnOn"
OFF: Final = "intent__HassTurnOff"
POSITION: Final = "intent__HassSetPosition"


async def test_a_model_sees_the_tools_of_assist_with_a_schema(house: House) -> None:
    """Each has a name that every model takes, and parameters as JSON Schema."""
    tools = {one["name"]: one for one in (await house.ask("ha.tools"))["data"]["tools"]}
    assert {ON, OFF, POSITION, "home_states", "light__HassLightSet"} <= set(tools)
    assert tools[ON]["read_only"] is False
    assert tools["home_states"]["read_only"] is True
    assert tools["home_states"]["parameters"]["type"] == "object"
    assert tools[ON]["parameters"]["properties"]["name"] == {"type": "string"}
    assert tools[ON]["description"]


async def test_no_tool_tells_more_than_the_person_may_see(house: House) -> None:
    """Home Assistant's own overview does not look at rights; ours takes its place."""
    tools = [one["name"] for one in (await house.ask("ha.tools"))["data"]["tools"]]
    assert "homeassistant__GetLiveContext" not in tools


@pytest.mark.parametrize("method", ["ha.tools", "ha.call_tool", "ha.converse"])
async def test_without_a_turn_there_is_no_house(house: House, method: str) -> None:
    """Nobody speaks, so nobody's rights can be used."""
    wish = {"context_id": "made up", "name": ON, "arguments": {}, "text": "x", "language": "en"}
    assert (await house.brain.ask(method, wish))["error"]["code"] == "no_such_turn"


async def test_a_turn_that_is_over_has_no_house(house: House) -> None:
    """What a model wants afterwards is nobody's wish."""
    await house.call(ON, name="Kitchen light")
    caller = house.brain.callers("conversation.process")[0]
    assert caller is not None
    wish = {"context_id": caller["context_id"], "name": ON, "arguments": {"name": "Kitchen light"}}
    late = await house.brain.ask("ha.call_tool", wish)
    assert late["error"]["code"] == "no_such_turn"
    assert len(house.was_done()) == 1


async def test_a_light_is_turned_on_in_the_name_of_the_person(house: House) -> None:
    """Home Assistant sees who it was."""
    answer = await house.call(ON, name="Kitchen light")
    assert answer["data"]["error"] is False
    assert answer["data"]["result"]["data"]["success"][0]["id"] == "light.kitchen"
    (call,) = house.done["homeassistant.turn_on"]
    assert call.context.user_id == ADA


async def test_an_unknown_tool_is_refused(house: House) -> None:
    """A model may make names up."""
    assert (await house.call("shell"))["error"]["code"] == "unknown_tool"


async def test_a_name_that_nothing_has_does_nothing(house: House) -> None:
    """The model is told, and can try again."""
    answer = await house.call(ON, name="Moon")
    assert answer["data"] == {"result": {"error": "Nothing was found: NAME"}, "error": True}


async def test_wrong_arguments_are_told(house: House) -> None:
    """What Home Assistant says about them goes back to the model."""
    answer = await house.call("light__HassLightSet", name="Kitchen light", brightness="bright")
    assert answer["data"]["error"] is True
    assert house.was_done() == []


HAZARDS: Final = [
    (OFF, {"name": "Front door"}),
    (ON, {"name": "Garage"}),
    (ON, {"name": "Something"}),
    (POSITION, {"name": "Garage", "position": 50}),
    (ON, {"name": "Water main"}),
    (ON, {"name": "Party"}),
    (ON, {"name": "Leave"}),
    (ON, {"name": "Reboot"}),
    (OFF, {"name": "Alarm rule"}),
    (ON, {"name": "Siren"}),
    ("climate__HassClimateSetTemperature", {"name": "Living room", "temperature": 3}),
    ("climate__HassClimateSetTemperature", {"name": "Living room", "temperature": 45}),
    ("climate__HassClimateSetTemperature", {"name": "Living room", "temperature": "hot"}),
]


@pytest.mark.parametrize(("tool", "arguments"), HAZARDS)
async def test_a_hazard_waits_for_a_person(house: House, tool: str, arguments: Json) -> None:
    """A model never does it alone."""
    answer = await house.call(tool, **arguments)
    assert answer["data"]["needs_person"] is True
    assert arguments["name"] in answer["data"]["what"]
    assert house.was_done() == []


WORDS: Final = [
    (OFF, {"name": "Front door"}, "unlock Front door"),
    (ON, {"name": "Garage"}, "open Garage"),
    (ON, {"name": "Leave"}, "run Leave"),
    (POSITION, {"name": "Garage", "position": 50}, "set position Garage, position 50"),
    (OFF, {"name": "Alarm rule"}, "turn off Alarm rule"),
    (
        OFF,
        {"name": "Front door", "conversation_command": "open the garage"},
        "unlock Front door, and later: open the garage",
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "what"), WORDS)
async def test_a_person_is_asked_in_words_that_say_what_would_be_done(
    house: House, tool: str, arguments: Json, what: str
) -> None:
    """Turning off a lock unlocks it, which nobody would guess."""
    assert (await house.call(tool, **arguments))["data"]["what"] == what


HARMLESS: Final = [
    (ON, {"name": "Front door"}, "lock.lock lock.front"),
    (OFF, {"name": "Garage"}, "cover.close_cover cover.garage"),
    (POSITION, {"name": "Garage", "position": 0}, "cover.set_cover_position cover.garage"),
    (ON, {"name": "Blind"}, "cover.open_cover cover.blind"),
    (OFF, {"name": "Water main"}, "valve.close_valve valve.water"),
    (ON, {"name": "Fountain"}, "homeassistant.turn_on switch.fountain"),
    (
        "light__HassLightSet",
        {"name": "Kitchen light", "brightness": 5},
        "light.turn_on light.kitchen",
    ),
    (
        "climate__HassClimateSetTemperature",
        {"temperature": 21},
        "climate.set_temperature climate.living",
    ),
    (
        "media_player__HassMediaPause",
        {"name": "Radio"},
        "media_player.media_pause media_player.radio",
    ),
    (
        "media_player__HassSetVolume",
        {"name": "Radio", "volume_level": 20},
        "media_player.volume_set media_player.radio",
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "done"), HARMLESS)
async def test_what_is_harmless_runs(house: House, tool: str, arguments: Json, done: str) -> None:
    """Locking, closing and comfort need nobody."""
    answer = await house.call(tool, **arguments)
    assert answer["data"]["error"] is False
    assert house.was_done() == [done]


async def test_a_confirmed_hazard_runs(house: House) -> None:
    """The person has said yes to a question."""
    await house.call(OFF, {"asks": True, "text": "unlock the front door"}, name="Front door")
    answer = await house.call(OFF, {"text": "Yes, please.", "confirmed": True}, name="Front door")
    assert answer["data"]["error"] is False
    assert house.was_done() == ["lock.unlock lock.front"]


@pytest.mark.parametrize("words", ["Ja, bitte.", "oui"])
async def test_a_hazard_is_confirmed_in_the_languages_that_are_asked_in(
    house: House, words: str
) -> None:
    await house.call(OFF, {"asks": True, "text": "unlock the front door"}, name="Front door")
    await house.call(OFF, {"text": words, "confirmed": True}, name="Front door")
    assert house.was_done() == ["lock.unlock lock.front"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"asks": False}, {"text": "yes"}),
        ({"asks": True}, {"text": "what is the weather"}),
        ({"asks": True}, {"text": "ja?"}),
        ({"asks": True}, {"text": "oui mais pas maintenant"}),
        ({"asks": True}, {"text": "yes", "conversation_id": "another talk"}),
        ({"asks": True, "confirmed": True}, {"text": "yes"}),
    ],
)
async def test_the_brain_cannot_confirm_by_itself(house: House, first: Json, second: Json) -> None:
    """Only a plain yes to a question of the same conversation counts."""
    await house.call(OFF, first, name="Front door")
    answer = await house.call(OFF, {"confirmed": True} | second, name="Front door")
    assert answer["error"]["code"] == "not_said"
    assert house.was_done() == []


async def test_a_yes_is_good_for_what_was_asked_alone(house: House) -> None:
    """The question was about the garage; the door stays locked."""
    await house.call(ON, {"asks": True}, name="Garage")
    answer = await house.call(OFF, {"text": "yes", "confirmed": True}, name="Front door")
    assert answer["error"]["code"] == "not_said"
    assert house.was_done() == []


async def test_a_yes_is_good_once(house: House) -> None:
    """The next words are no answer to it."""
    await house.call(OFF, {"asks": True}, name="Front door")
    for _ in range(2):
        answer = await house.call(OFF, {"text": "yes", "confirmed": True}, name="Front door")
    assert answer["error"]["code"] == "not_said"
    assert house.was_done() == ["lock.unlock lock.front"]


async def test_what_the_brain_wants_to_ask_is_only_looked_at(house: House) -> None:
    """And then runs on a yes, though the house itself would not have asked."""
    wish = {"asks": True, "propose": True}
    answer = await house.call(ON, wish, name="Kitchen light")
    assert answer["data"] == {
        "needs_person": True,
        "why": "brain_asks",
        "what": "turn on Kitchen light",
    }
    assert house.was_done() == []
    await house.call(ON, {"text": "yes", "confirmed": True}, name="Kitchen light")
    assert house.was_done() == ["homeassistant.turn_on light.kitchen"]


@pytest.mark.parametrize(("confirmed", "code"), [(False, "guarded_entity"), (True, "not_said")])
async def test_the_entity_behind_a_guarded_device_is_never_touched(
    house: House, confirmed: bool, code: str
) -> None:
    """Not even to lock it, not even with a yes: there is a gate for it."""
    await house.call(OFF, {"asks": True, "propose": True}, name="Raw lock")
    more = {"confirmed": confirmed, "text": "yes"}
    answer = await house.call(OFF, more, name="Raw lock")
    assert answer["error"]["code"] == code
    assert "lock.unlock" not in " ".join(house.was_done())


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_group_is_no_way_round_the_gate(house: House, depth: int) -> None:
    """Its members are what is touched."""
    house.hass.states.async_set("light.inner", "off", {"entity_id": [REAL_LOCK]})
    members = [REAL_LOCK] if depth == 1 else ["light.inner"]
    house.hass.states.async_set("light.all", "off", {"entity_id": members, "friendly_name": "All"})
    async_expose_entity(house.hass, "conversation", "light.all", True)
    assert (await house.call(ON, name="All"))["error"]["code"] == "guarded_entity"


async def test_a_light_made_of_a_guarded_switch_is_no_way_round_the_gate(house: House) -> None:
    """Home Assistant shows a switch as something else on request."""
    wrapper = MockConfigEntry(domain="switch_as_x", options={"entity_id": REAL_LOCK})
    wrapper.add_to_hass(house.hass)
    made = er.async_get(house.hass).async_get_or_create(
        "light", "switch_as_x", "1", config_entry=wrapper, original_name="Disguise"
    )
    house.hass.states.async_set(made.entity_id, "off", {"friendly_name": "Disguise"})
    async_expose_entity(house.hass, "conversation", made.entity_id, True)
    assert (await house.call(ON, name="Disguise"))["error"]["code"] == "guarded_entity"


async def test_the_workshops_own_doors_are_asked_for_in_the_workshop(house: House) -> None:
    """There is one road to the gate, on which nothing is lost."""
    async_expose_entity(house.hass, "conversation", "lock.workshop_door", True)
    assert (await house.call(OFF, name="Door"))["error"]["code"] == "workshop_entity"


async def test_a_person_without_control_is_refused(
    house: House, people: dict[str, MockUser]
) -> None:
    """Also where Home Assistant itself does not look: setting a temperature carries no name."""
    people[BOB].mock_policy({"entities": {"entity_ids": {"climate.living": {"read": True}}}})
    wish = {"user_id": BOB}
    tool = "climate__HassClimateSetTemperature"
    assert (await house.call(tool, wish, temperature=21))["error"]["code"] == "not_permitted"
    assert (await house.call(ON, wish, name="Kitchen light"))["error"]["code"] == "not_permitted"
    assert house.was_done() == []


async def test_a_voice_of_nobody_has_the_rights_of_the_house(house: House) -> None:
    """As for Home Assistant's own agent."""
    answer = await house.call(ON, {"user_id": None}, name="Kitchen light")
    assert answer["data"]["error"] is False


async def test_more_than_a_handful_needs_a_person(house: House) -> None:
    """All lights of the house at once is a wish that a model may have misheard."""
    for number in range(8):
        entity_id = f"light.lamp_{number}"
        house.hass.states.async_set(entity_id, "off", {"friendly_name": f"Lamp {number}"})
        async_expose_entity(house.hass, "conversation", entity_id, True)
    answer = await house.call(ON, name="all", domain=["light"])
    assert (answer["data"]["needs_person"], answer["data"]["why"]) == (True, "many")
    assert answer["data"]["what"].endswith("Lamp 5, 2 more")


async def test_a_command_for_later_needs_a_person(house: House) -> None:
    """Nobody judges it when its time comes."""
    answer = await house.call(ON, name="Kitchen light", conversation_command="unlock the door")
    assert (answer["data"]["needs_person"], answer["data"]["why"]) == (True, "later")


@pytest.mark.parametrize(("command", "needs"), [("unlock the door", True), (None, False)])
async def test_a_timer_needs_a_person_only_for_what_it_does_later(
    house: House, command: str | None, needs: bool
) -> None:
    """A bell harms nobody."""
    async_register_timer_handler(house.hass, "clock", lambda *_: None)
    more = {"device_id": "clock"}
    answer = await house.call(
        "intent__HassStartTimer", more, minutes=5, conversation_command=command
    )
    assert bool(answer["data"].get("needs_person")) is needs
    await house.call("intent__HassCancelAllTimers", more)


async def test_an_intent_that_a_script_has_replaced_needs_a_person(house: House) -> None:
    """Its name no longer says what it does."""
    config = {"intent_script": {"HassTurnOn": {"speech": {"text": "Ha!"}}}}
    assert await async_setup_component(house.hass, "intent_script", config)
    answer = await house.call(ON, name="Kitchen light")
    assert (answer["data"]["needs_person"], answer["data"]["why"]) == (True, "unknown_effect")


async def test_a_tool_of_which_nothing_is_known_needs_a_person(house: House) -> None:
    """A list of names is no promise."""

    class Strange(intent.IntentHandler):
        """An intent that Home Assistant offers although nobody here has looked at it."""

        intent_type = intent.INTENT_BROADCAST
        description = "Say something everywhere"

    intent.async_register(house.hass, Strange())
    assert await async_setup_component(house.hass, "assist_satellite", {})
    await house.hass.async_block_till_done()
    answer = await house.call("assist_satellite__HassBroadcast", message="Fire!")
    assert answer["data"]["needs_person"] is True


@pytest.mark.parametrize(
    ("media", "needs"), [("https://evil.example/?q=1", True), ("media-source://local/a.mp3", False)]
)
async def test_media_from_a_strange_address_needs_a_person(
    house: House, media: str, needs: bool
) -> None:
    """An address can carry words out of the house."""
    async_mock_service(house.hass, "media_player", "play_media")
    answer = await house.call(
        "media_player__play_media", media_content_id=media, media_content_type="music"
    )
    assert bool(answer["data"].get("needs_person")) is needs


async def test_a_script_of_the_house_needs_a_person_with_the_right_to_run_it(
    house: House, people: dict[str, MockUser]
) -> None:
    """It is a tool of its own, and may do anything."""
    assert await async_setup_component(
        house.hass, "script", {"script": {"leave": {"sequence": []}}}
    )
    async_expose_entity(house.hass, "conversation", "script.leave", True)
    assert (await house.call("script__leave"))["data"]["needs_person"] is True
    people[BOB].mock_policy({})
    answer = await house.call("script__leave", {"user_id": BOB})
    assert answer["error"]["code"] == "not_permitted"


async def states(house: House, user_id: str = ADA, **arguments: Any) -> Json:
    """Return what the own tool tells."""
    answer = await house.call("home_states", {"user_id": user_id}, **arguments)
    result: Json = answer["data"]["result"]
    return result


async def test_states_are_told_by_name_area_and_domain(house: House) -> None:
    """With name, area, domain, state and unit."""
    ar.async_get(house.hass).async_create("Garden", aliases={"Yard"})
    item = er.async_get(house.hass).async_get_or_create(
        "sensor", "test", "soil", original_name="Soil"
    )
    er.async_get(house.hass).async_update_entity(item.entity_id, area_id="garden")
    house.hass.states.async_set(item.entity_id, "40", {"friendly_name": "Soil"})
    async_expose_entity(house.hass, "conversation", item.entity_id, True)
    soil = {"name": "Soil", "area": "Garden", "domain": "sensor", "state": "40", "unit": None}
    assert (await states(house, areas=["yard"]))["entities"] == [soil]
    outside = await states(house, names=["outside"], domains=["sensor"])
    assert outside == {
        "entities": [
            {"name": "Outside", "area": None, "domain": "sensor", "state": "21.5", "unit": "°C"}
        ],
        "more": 0,
    }


async def test_states_are_only_those_that_the_person_may_see(
    house: House, people: dict[str, MockUser]
) -> None:
    """And only those that are exposed."""
    house.hass.states.async_set("sensor.secret", "1", {"friendly_name": "Secret"})
    people[BOB].mock_policy({"entities": {"entity_ids": {"light.kitchen": {"read": True}}}})
    assert [one["name"] for one in (await states(house, BOB))["entities"]] == ["Kitchen light"]
    names = {one["name"] for one in (await states(house))["entities"]}
    assert "Secret" not in names
    assert {"Outside", "Kitchen light"} <= names


async def test_the_list_of_states_is_bounded(house: House) -> None:
    """A model has little room."""
    for number in range(70):
        entity_id = f"sensor.number_{number}"
        house.hass.states.async_set(entity_id, "1")
        async_expose_entity(house.hass, "conversation", entity_id, True)
    told = await states(house, domains=["sensor"])
    assert (len(told["entities"]), told["more"]) == (60, 11)


async def test_a_model_cannot_choose_where_the_person_is(house: House) -> None:
    """The area of the microphone is known, and not for sale."""
    answer = await house.call(ON, name="Kitchen light", preferred_area_id="vault")
    assert answer["data"]["error"] is False


async def test_a_script_that_is_gone_is_no_tool_whose_effect_is_known(house: House) -> None:
    """Its name is all that is left."""
    assert await async_setup_component(
        house.hass, "script", {"script": {"leave": {"sequence": []}}}
    )
    async_expose_entity(house.hass, "conversation", "script.leave", True)

    async def vanish(_call: ServiceCall) -> None:
        house.hass.states.async_remove("script.leave")

    house.hass.services.async_register("test", "vanish", vanish)
    turn: list[Json] = []

    async def talk(_params: Json, caller: Json | None) -> AsyncIterator[Json]:
        assert caller is not None
        wish = {"context_id": caller["context_id"]}
        await house.brain.ask("ha.tools", wish)
        await house.hass.services.async_call("test", "vanish", {}, blocking=True)
        wish |= {"name": "script__leave", "arguments": {}, "confirmed": False}
        turn.append(await house.brain.ask("ha.call_tool", wish))
        yield {"result": {"conversation_id": BRAIN_ID, "text": "Well.", "data": {}}}

    house.brain.answers["conversation.process"] = talk
    await conversation.async_converse(
        house.hass, "leave", None, Context(user_id=ADA), language="en", agent_id=AGENT
    )
    assert turn[0]["data"]["why"] == "unknown_effect"


async def test_a_group_that_contains_itself_comes_to_an_end(house: House) -> None:
    """Nobody checks the members of a group."""
    members = {"entity_id": ["light.loop"], "friendly_name": "Loop"}
    house.hass.states.async_set("light.loop", "off", members)
    async_expose_entity(house.hass, "conversation", "light.loop", True)
    assert (await house.call(ON, name="Loop"))["data"]["error"] is False


async def test_what_has_no_switch_is_not_counted(house: House) -> None:
    """Turning off a room does nothing to its sensors."""
    ar.async_get(house.hass).async_create("Attic")
    registry = er.async_get(house.hass)
    for number in range(10):
        item = registry.async_get_or_create("sensor", "test", str(number))
        registry.async_update_entity(item.entity_id, area_id="attic")
        house.hass.states.async_set(item.entity_id, "1")
        async_expose_entity(house.hass, "conversation", item.entity_id, True)
    answer = await house.call(OFF, area="Attic")
    assert "needs_person" not in answer["data"]


async def test_a_person_who_is_gone_has_no_rights(house: House, hass: HomeAssistant) -> None:
    """A context may outlive its user."""
    answer = await house.call(ON, {"user_id": "9" * 32}, name="Kitchen light")
    assert answer["error"]["code"] == "not_permitted"
    answer = await house.call("home_states", {"user_id": "9" * 32})
    assert answer["data"]["error"] is True


async def test_no_command_is_surer_than_sure(house: House) -> None:
    """The brain keeps how sure an answer is as a share of one."""
    answer = await house.ask("ha.converse", text="turn on the kitchen light", language="en")
    assert 0.0 <= answer["data"]["confidence"] <= 1.0


async def test_a_plain_command_needs_no_model(house: House) -> None:
    """The brain hands the words back, and hears what was done."""
    answer = await house.ask("ha.converse", text="turn on the kitchen light", language="en")
    assert answer["data"]["handled"] is True
    assert answer["data"]["acted"] is True
    assert answer["data"]["text"]
    assert len(house.was_done()) == 1


async def test_words_that_the_house_does_not_understand_are_for_a_model(house: House) -> None:
    """Nothing is done, and nothing needs to be said."""
    answer = await house.ask("ha.converse", text="tell me a story", language="en")
    assert answer["data"]["handled"] is False
    assert house.was_done() == []
