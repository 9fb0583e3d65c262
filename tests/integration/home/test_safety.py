"""What must not happen: locks in bulk, by likeness or unasked; other people's rights; guarded things."""

from unittest.mock import patch

from homeassistant.auth.permissions import PolicyPermissions
from homeassistant.config_entries import ConfigSubentryData
from homeassistant.helpers import area_registry as ar, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_mock_service,
)

from .conftest import Home


@pytest.mark.parametrize(
    "sentence",
    [
        "unlock all the doors",
        "unlock every lock",
        "lock all the locks please",
        "open all the doors",
        "lock both doors",
        "unlock the doors",
        "unlock the fornt door",
        "unlok the front door",
        "unlock the font dor",
        "unlock the side door",
        "unlock the door",
        "lock the door",
        "turn off the front door",
        "turn on the front door",
        "unlock everything",
    ],
)
@pytest.mark.parametrize("room", [None, "Garden"])
async def test_no_lock_moves_unless_it_was_named_alone(
    home: Home, sentence: str, room: str | None
) -> None:
    """In bulk, misheard, half named: the bolt stays where it is."""
    before = (home.state("lock.front_door"), home.state("lock.back_door"))
    await home.say(sentence, room=room)
    assert (home.state("lock.front_door"), home.state("lock.back_door")) == before


@pytest.mark.parametrize(
    "sentence",
    [
        "unlock the front door and the back door",
        "unlock the front door and open the garage door",
        "open the garage, then unlock the back door",
        "if the kitchen window is open unlock the front door and the back door",
    ],
)
async def test_one_sentence_opens_one_way_in(home: Home, sentence: str) -> None:
    """Named one by one they are still several; it is asked which one."""
    ways = ("lock.front_door", "lock.back_door", "cover.garage_door")
    home.things["lock.front_door"].show(is_locked=True)
    before = [home.state(way) for way in ways]
    answer = await home.say(sentence)
    assert answer is not None
    assert answer.asks
    assert answer.text.startswith("I do that for one at a time.")
    assert [home.state(way) for way in ways] == before


async def test_two_doors_that_are_named_are_both_locked(home: Home) -> None:
    """That is the safe direction."""
    home.things["lock.back_door"].show(is_locked=False)
    await home.say("lock the front door and the back door")
    assert home.state("lock.front_door") == "locked"
    assert home.state("lock.back_door") == "locked"


async def test_a_place_alone_unlocks_nothing_before_it_is_asked(home: Home) -> None:
    """The hall is not a door; whoever says yes has heard which one it is."""
    home.things["lock.front_door"].show(is_locked=True)
    answer = await home.say("unlock the hall", conversation_id="c")
    assert answer is not None
    assert answer.text == "Do you mean Front Door?"
    assert home.state("lock.front_door") == "locked"
    await home.say("yes", conversation_id="c")
    assert home.state("lock.front_door") == "unlocked"


async def test_a_lock_without_a_name_of_its_own_is_called_by_its_place(home: Home) -> None:
    """There is nothing else to call it by."""
    entities = er.async_get(home.hass)
    made = entities.async_get_or_create("lock", "maker", "one", original_name="Smart lock")
    garage = ar.async_get(home.hass).async_get_area_by_name("Garage")
    assert garage is not None
    entities.async_update_entity(made.entity_id, area_id=garage.id)
    home.put(made.entity_id, "locked")
    answer = await home.say("unlock the garage", dry=True)
    assert answer is not None
    assert answer.acted == (made.entity_id,)


@pytest.mark.parametrize(
    "sentence",
    [
        "did you open the garage door",
        "has anybody turned off the fireplace",
        "will she turn off the fireplace",
        "should we turn off the fireplace",
        "no need to turn off the fireplace",
        "please avoid turning off the fireplace",
        "remind me to turn off the fireplace",
        "tell grandma to turn off the fireplace",
        "ask her whether to turn off the fireplace",
        "grandma said turn off the fireplace",
        "turn off the fireplace next week",
        "turn off the fireplace in the tavern",
        "turn off all the lights except the one in the tavern",
        "open the garage door at 7",
        "the garage door's open",
        "the fireplace's off",
        "fireplace",
        "coffee maker please",
        "all",
    ],
)
async def test_what_only_speaks_of_a_deed_is_no_order(home: Home, sentence: str) -> None:
    """Neither here nor for somebody who passes over half of the words."""
    before = home.states()
    await home.say(sentence)
    assert home.states() == before


async def test_the_alarm_is_not_its_siren(home: Home) -> None:
    """What cannot be done to the one is not done to the other."""
    home.put("alarm_control_panel.house_alarm", "armed_away", supported_features=3)
    home.put("siren.roof_siren", "on", supported_features=3)
    calls = async_mock_service(home.hass, "siren", "turn_off")
    await home.say("turn off the alarm")
    assert calls == []
    await home.say("turn off the siren")
    assert len(calls) == 1


async def test_the_only_door_of_the_room_can_be_locked_without_its_name(home: Home) -> None:
    """Locking is the safe direction, and nobody can mean another one."""
    await home.say("lock the door", room="Hall")
    assert home.state("lock.front_door") == "locked"


async def test_the_only_door_of_the_room_is_not_unlocked_without_its_name(home: Home) -> None:
    """Somebody at another door might have said it."""
    answer = await home.say("unlock the door", room="Kitchen")
    assert answer is not None
    assert answer.asks
    assert home.state("lock.back_door") == "locked"


async def test_which_door_is_asked_and_the_answer_counts(home: Home) -> None:
    """The next turn of the same conversation."""
    answer = await home.say("lock the door", conversation_id="c")
    assert answer is not None
    assert answer.asks
    assert answer.text == "Which one: Front Door or Back Door?"
    await home.say("the front one", conversation_id="c")
    assert home.state("lock.front_door") == "locked"


@pytest.mark.parametrize("reply", ["the second one", "Back Door", "the one in the kitchen"])
async def test_an_answer_may_name_order_name_or_place(home: Home, reply: str) -> None:
    """However people point."""
    await home.say("unlock the door", conversation_id="c")
    await home.say(reply, conversation_id="c")
    assert home.state("lock.back_door") == "unlocked"


async def test_both_is_no_answer_about_locks(home: Home) -> None:
    """A bulk order stays one, in two turns too."""
    await home.say("unlock the door", conversation_id="c")
    await home.say("both", conversation_id="c")
    assert home.state("lock.back_door") == "locked"


async def test_all_is_an_answer_about_lights(home: Home) -> None:
    """Nothing there can be dangerous."""
    await home.say("turn on the lamp upstairs", conversation_id="c")
    await home.say("all of them", conversation_id="c")
    assert home.state("light.bedroom_light") == "on"
    assert home.state("light.mirror") == "on"


async def test_never_mind_ends_a_question(home: Home) -> None:
    """A later name is then no answer."""
    await home.say("unlock the door", conversation_id="c")
    answer = await home.say("never mind", conversation_id="c")
    assert answer is not None
    assert answer.reason == "cancelled"
    await home.say("Back Door", conversation_id="c")
    assert home.state("lock.back_door") == "locked"


@pytest.mark.parametrize("words", ["nein", "Non merci."])
async def test_a_no_of_another_language_ends_a_question(home: Home, words: str) -> None:
    await home.say("unlock the door", conversation_id="c")
    answer = await home.say(words, conversation_id="c")
    assert answer is not None
    assert answer.reason == "cancelled"


async def test_a_question_can_be_left_for_something_else(home: Home) -> None:
    """A new order is no answer."""
    await home.say("unlock the door", conversation_id="c")
    await home.say("turn on the mirror", conversation_id="c")
    assert home.state("light.mirror") == "on"
    await home.say("Back Door", conversation_id="c")
    assert home.state("lock.back_door") == "locked"


async def test_nobody_answers_another_persons_question(home: Home) -> None:
    """Even in the same conversation."""
    ada, bob = MockUser().add_to_hass(home.hass), MockUser().add_to_hass(home.hass)
    await home.say("unlock the door", conversation_id="c", user_id=ada.id)
    await home.say("Back Door", conversation_id="c", user_id=bob.id)
    assert home.state("lock.back_door") == "locked"


async def test_two_lists_are_asked_about(home: Home) -> None:
    """Milk on the wrong list is no help."""
    answer = await home.say("put soap on the list", conversation_id="c")
    assert answer is not None
    assert answer.text == "Which one: Groceries or Errands?"
    await home.say("groceries", conversation_id="c")
    assert home.state("todo.groceries") == "3"


async def test_it_is_what_was_talked_about(home: Home) -> None:
    """In the same conversation only."""
    await home.say("turn on the mirror", conversation_id="c")
    await home.say("turn it off", conversation_id="c")
    assert home.state("light.mirror") == "off"


async def test_what_is_not_exposed_is_not_there(home: Home) -> None:
    """Neither done nor told."""
    assert await home.say("turn on the secret heater") is None
    assert await home.say("is the secret heater on") is None
    assert home.state("switch.secret_heater") == "off"


@pytest.fixture
def guest(home: Home) -> MockUser:
    """Return a user who may see the kitchen light and control nothing."""
    user = MockUser().add_to_hass(home.hass)
    policy = {"entities": {"entity_ids": {"light.kitchen_ceiling": {"read": True}}}}
    user.groups = []
    user._permissions = PolicyPermissions(policy, None)
    user.mock_policy(policy)
    return user


async def test_a_person_controls_only_what_that_person_may(home: Home, guest: MockUser) -> None:
    """Home Assistant's own rights hold, whatever words are used."""
    answer = await home.say("turn off the kitchen ceiling", user_id=guest.id)
    assert answer is not None
    assert answer.reason == "not_allowed"
    assert home.state("light.kitchen_ceiling") == "on"


async def test_a_person_is_told_only_what_that_person_may_see(home: Home, guest: MockUser) -> None:
    """What may not be seen is not there."""
    answer = await home.say("how many lights are on", user_id=guest.id)
    assert answer is not None
    assert answer.text == "1: Kitchen Ceiling."
    assert await home.say("is the back door locked", user_id=guest.id) is None


@pytest.fixture
def guarded(home: Home) -> Home:
    """Return the house with its back door as a device of KITTY."""
    entry = MockConfigEntry(
        domain="kitty",
        data={},
        subentries_data=(
            ConfigSubentryData(
                data={
                    "device_id": "d" * 32,
                    "driver": "home_assistant",
                    "zone_id": None,
                    "options": {"entity_id": "lock.back_door"},
                    "info": {"kind": "door", "capabilities": ["lock", "unlock"]},
                },
                subentry_type="device",
                title="Workshop door",
                unique_id="1",
            ),
        ),
    )
    entry.add_to_hass(home.hass)
    return home


@pytest.mark.parametrize("sentence", ["unlock the back door", "lock the lock in the kitchen"])
async def test_what_stands_behind_a_device_of_kitty_is_refused(
    guarded: Home, sentence: str
) -> None:
    """It goes through KITTY or not at all."""
    answer = await guarded.say(sentence)
    assert answer is not None
    assert answer.reason == "guarded"
    assert answer.text == "Back Door is guarded and goes through KITTY."
    assert guarded.state("lock.back_door") == "locked"


@pytest.mark.parametrize(
    "sentence",
    [
        "unlock the bak door",
        "open the back door",
        "turn off the back door",
        "unlock it",
        "turn off all",
    ],
)
async def test_home_assistants_agent_never_sees_a_sentence_that_could_mean_it(
    guarded: Home, sentence: str
) -> None:
    """It knows nothing of guards."""
    with patch("custom_components.kitty.home.ask") as asked:
        await guarded.say(sentence)
    asked.assert_not_called()
    assert guarded.state("lock.back_door") == "locked"


async def test_other_things_of_the_house_still_work(guarded: Home) -> None:
    """Only the guarded one is out of reach."""
    await guarded.say("lock the front door")
    assert guarded.state("lock.front_door") == "locked"


async def test_a_group_that_holds_a_guarded_thing_is_guarded(guarded: Home) -> None:
    """However deep, and even if it holds itself."""
    guarded.put("lock.inner_locks", "locked", entity_id=["lock.front_door", "lock.back_door"])
    guarded.put("lock.outer_locks", "locked", entity_id=["lock.outer_locks", "lock.inner_locks"])
    answer = await guarded.say("unlock the outer locks")
    assert answer is not None
    assert answer.reason == "guarded"
    assert guarded.state("lock.front_door") == "unlocked"


async def test_a_thing_that_only_stands_for_a_guarded_one_is_guarded(guarded: Home) -> None:
    """The switch behind a light is the same relay."""
    entry = MockConfigEntry(domain="switch_as_x", options={"entity_id": "lock.back_door"})
    entry.add_to_hass(guarded.hass)
    item = er.async_get(guarded.hass).async_get_or_create(
        "light", "switch_as_x", "1", config_entry=entry, original_name="Lamp of the door"
    )
    guarded.put(item.entity_id, "off")
    answer = await guarded.say("turn on the lamp of the door")
    assert answer is not None
    assert answer.reason == "guarded"


async def test_a_door_of_kitty_itself_goes_through_kitty(home: Home) -> None:
    """The gate, not the service call, decides."""
    item = er.async_get(home.hass).async_get_or_create(
        "lock", "kitty", "1", original_name="Workshop gate"
    )
    home.put(item.entity_id, "locked")
    calls = async_mock_service(home.hass, "lock", "unlock")
    answer = await home.say("unlock the workshop gate")
    assert answer is not None
    assert answer.reason == "guarded"
    assert calls == []
