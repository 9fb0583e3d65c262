"""From words to deeds: asked back, confirmed by whom it concerns, and told as it was."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.errors import DeviceError
from brain_server.protocol import INTENTS
from tests.brain.home import Home, Refused, at_home, until


async def door_of(home: Home, zone: str = "shop", **shows: Any) -> Any:
    """Add a door that shows something after each order."""
    door = await home.puppet("door", "door", zone, name="Lab door")
    door.shows = shows or {"locked": False}
    return door


async def the_event(home: Home) -> Any:
    """Return the one safety event that there is."""
    (event,) = (await home.command("safety.events"))["items"]
    return event


async def test_a_hazard_is_asked_back_and_done_after_a_yes(home: Home) -> None:
    """The yes is a decision of the person who speaks, collected by Home Assistant."""
    door = await door_of(home)
    asked = await home.say("unlock the lab door")
    assert (asked["text"], asked["continue_conversation"]) == (
        "Unlock Lab door? Say confirm or cancel.",
        True,
    )
    assert door.orders == {}
    said = await home.say("confirm", conversation_id=asked["conversation_id"], context_id="the yes")
    question = next(one["params"] for one in home.asked if one["method"] == "ha.decide")
    event = await the_event(home)
    assert question == {"event_id": event["id"], "decision": "approve", "context_id": "the yes"}
    assert (event["status"], event["approved_by"]) == ("approved", ["ada"])
    assert (said["text"], said["continue_conversation"]) == ("Done: Lab door is unlocked.", False)
    assert len(door.orders["door"]) == 1


@pytest.mark.parametrize("word", ["cancel", "no"])
async def test_a_hazard_is_not_done_after_a_no(home: Home, word: str) -> None:
    """It is denied, by name."""
    door = await door_of(home)
    asked = await home.say("unlock the lab door")
    said = await home.say(word, conversation_id=asked["conversation_id"])
    event = await the_event(home)
    assert (event["status"], event["denied_by"]) == ("denied", "ada")
    assert (said["text"], door.orders) == ("All right, I have cancelled it.", {})


async def test_a_yes_to_nothing_does_nothing(home: Home) -> None:
    """Also when another conversation waits for one."""
    door = await door_of(home)
    await home.say("unlock the lab door")
    for word in ("confirm", "yes", "cancel"):
        said = await home.say(word)
        assert said["text"] == "There is nothing waiting for your answer."
    assert (await the_event(home))["status"] == "pending"
    assert door.orders == {}


async def test_a_yes_answers_only_the_last_question(home: Home) -> None:
    """Whoever asks something else in between has let go of it."""
    door = await door_of(home)
    asked = await home.say("unlock the lab door")
    same = {"conversation_id": asked["conversation_id"]}
    await home.say("help", **same)
    said = await home.say("confirm", **same)
    assert said["text"] == "There is nothing waiting for your answer."
    assert door.orders == {}


async def test_a_yes_too_late_is_told_so(home: Home) -> None:
    """Somebody else has decided in the meantime."""
    await door_of(home)
    asked = await home.say("unlock the lab door")
    await home.decide(await the_event(home), "bob", "deny")
    said = await home.say("confirm", conversation_id=asked["conversation_id"])
    assert said["text"].startswith("I cannot do that.")
    assert "Done" not in said["text"]


# -- who may --------------------------------------------------------------------------------------


async def test_words_never_confirm_what_takes_two_people(home: Home) -> None:
    """Others are asked, on their own screens; a yes in the conversation is a yes to nothing."""
    door = await door_of(home, "lab")
    asked = await home.say("unlock the lab door")
    assert not asked["continue_conversation"]
    assert asked["text"].startswith("Two people have to approve")
    said = await home.say("confirm", conversation_id=asked["conversation_id"])
    assert said["text"] == "There is nothing waiting for your answer."
    event = await the_event(home)
    for user, channel in (("bob", "assist"), (None, "voice")):
        with pytest.raises(Refused) as caught:
            await home.decide(event, user, channel=channel)
        assert caught.value.code == "direct_approval_required"
    assert ((await the_event(home))["status"], door.orders) == ("pending", {})


async def test_the_voice_of_nobody_confirms_nothing_by_default(home: Home) -> None:
    """It may ask; somebody with a name has to decide."""
    door = await door_of(home)
    asked = await home.say("unlock the lab door", None)
    assert not asked["continue_conversation"]
    assert asked["text"].startswith("I have asked Ada, Bob, Cyd or Dan to approve")
    said = await home.say("confirm", None, conversation_id=asked["conversation_id"])
    assert said["text"] == "There is nothing waiting for your answer."
    assert door.orders == {}


async def test_the_voice_of_nobody_confirms_where_a_policy_says_so(home: Home) -> None:
    """For a hazard of the middle level, and as ``voice``."""
    home.policies = [{"zone_id": "shop", "required_roles": ["operator"], "voice_may_confirm": True}]
    await home.sync()
    door = await door_of(home)
    asked = await home.say("unlock the lab door", None)
    assert asked["continue_conversation"]
    said = await home.say("confirm", None, conversation_id=asked["conversation_id"])
    assert said["text"] == "Done: Lab door is unlocked."
    assert (await the_event(home))["approved_by"] == ["voice"]
    assert len(door.orders["door"]) == 1


async def test_who_has_no_role_is_told_so(home: Home) -> None:
    """And nobody is bothered with it."""
    door = await door_of(home)
    said = await home.say("unlock the lab door", "stranger")
    assert said["text"] == "I cannot do that. This person has no role in the workshop."
    assert (await home.command("safety.events"))["items"] == []
    assert door.orders == {}


async def test_a_yes_while_home_assistant_is_away_confirms_nothing(brain: Brain) -> None:
    """Only it knows who speaks."""
    async with at_home(brain) as home:
        door = await door_of(home)
        asked = await home.say("unlock the lab door")
        brain.link.detach(next(iter(brain.link._sends)))
        said = await home.say("confirm", conversation_id=asked["conversation_id"])
        assert said["text"] == "I cannot do that. Home Assistant is not connected."
        assert ((await the_event(home))["status"], door.orders) == ("pending", {})


# -- which one ----------------------------------------------------------------------------------------


async def lamps(home: Home) -> dict[str, Any]:
    """Add two lamps whose names are alike."""
    found = {}
    for side in ("left", "right"):
        lamp = await home.puppet(side, "light", name=f"Bench lamp {side}")
        lamp.shows = {"on": True}
        found[side] = lamp
    return found


async def test_a_name_that_fits_two_is_asked_back_and_the_answer_acts(home: Home) -> None:
    """On that one, and on no other."""
    both = await lamps(home)
    asked = await home.say("switch on the bench lamp")
    assert asked["continue_conversation"]
    assert asked["text"] == "Which one: Bench lamp left or Bench lamp right?"
    assert both["left"].orders == {}
    said = await home.say("the left one", conversation_id=asked["conversation_id"])
    assert said["text"] == "Done: Bench lamp left is on."
    assert set(both["left"].orders) == {"left"}


async def test_a_name_that_is_only_what_a_thing_is_answers_which_one(home: Home) -> None:
    """A lamp may be called Lamp."""
    both = {}
    for name in ("Lamp", "Mini"):
        both[name] = await home.puppet(name, "light", name=name)
        both[name].shows = {"on": True}
    asked = await home.say("switch on the lamp")
    assert asked["text"] == "Which one: Lamp or Mini?"
    said = await home.say("Lamp", conversation_id=asked["conversation_id"])
    assert said["text"] == "Done: Lamp is on."
    assert set(both["Mini"].orders) == {"Lamp"}


async def test_another_wish_instead_of_an_answer_is_taken_as_it_is(home: Home) -> None:
    """The question is forgotten."""
    both = await lamps(home)
    asked = await home.say("switch on the bench lamp")
    same = {"conversation_id": asked["conversation_id"]}
    await home.say("help", **same)
    said = await home.say("the left one", **same)
    assert "Done" not in said["text"]
    assert both["left"].orders == {}


async def test_an_answer_to_which_one_may_still_have_to_be_confirmed(home: Home) -> None:
    """Choosing is not approving."""
    for side in ("left", "right"):
        door = await home.puppet(side, "door", name=f"Lab door {side}")
        door.shows = {"locked": False}
    asked = await home.say("unlock the lab door")
    same = {"conversation_id": asked["conversation_id"]}
    chosen = await home.say("the right one", **same)
    assert chosen["text"] == "Unlock Lab door right? Say confirm or cancel."
    assert door.orders == {}
    said = await home.say("yes", **same)
    assert said["text"] == "Done: Lab door right is unlocked."
    assert set(door.orders) == {"right"}


# -- as it was ----------------------------------------------------------------------------------------

ENDS = [
    ({"shows": {"on": True}}, "Done: Lamp is on."),
    (
        {"shows": {"on": False}},
        "I tried to switch on Lamp, but it did not happen.",
    ),
    (
        {"shows": None},
        "I tried to switch on Lamp, but I could not see whether it happened. Please look.",
    ),
    (
        {"reaction": DeviceError("device_refused", "No")},
        "I tried to switch on Lamp, but the device refused.",
    ),
    (
        {"reaction": DeviceError("cannot_connect", "No")},
        "I tried to switch on Lamp, but the device does not answer.",
    ),
    (
        {"reaction": DeviceError("something_new", "No")},
        "I tried to switch on Lamp, but it failed.",
    ),
    (
        {"reaction": TimeoutError()},
        "I tried to switch on Lamp, but I could not see whether it happened. Please look.",
    ),
]


@pytest.mark.parametrize(("behaviour", "words"), ENDS, ids=[words for _, words in ENDS])
async def test_what_is_said_is_what_was_seen(
    home: Home, behaviour: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done only when it is done."""
    changed = replace(INTENTS["light_on"], deadline=2.0)
    monkeypatch.setitem(INTENTS, "light_on", changed)  # type: ignore[misc]  # the double has the part that is used
    lamp = await home.puppet("lamp", "light", name="Lamp")
    for name, value in behaviour.items():
        setattr(lamp, name, value)
    assert (await home.say("switch on the lamp"))["text"] == words


async def test_what_takes_longer_is_not_called_done(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer does not wait for ever, and does not promise."""
    monkeypatch.setattr("brain_server.conversation.first_tier.OUTCOME_WAIT", 0.05)
    lamp = await home.puppet("lamp", "light", name="Lamp")
    lamp.reaction, lamp.shows = asyncio.Event(), {"on": True}
    said = await home.say("switch on the lamp")
    assert said["text"] == "I have sent the order to switch on Lamp; it is not confirmed yet."
    lamp.reaction.set()
    await until(lambda: not home.brain.devices._running, "the end")


async def test_a_confirmed_hazard_that_takes_longer_is_not_called_done(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confirmed is not finished."""
    monkeypatch.setattr("brain_server.conversation.first_tier.OUTCOME_WAIT", 0.05)
    door = await door_of(home)
    door.reaction = asyncio.Event()
    asked = await home.say("unlock the lab door")
    said = await home.say("confirm", conversation_id=asked["conversation_id"])
    assert said["text"] == "Confirmed. I am about to unlock Lab door; it is not finished yet."
    door.reaction.set()
    await until(lambda: not home.brain.devices._running, "the end")


async def test_power_off_of_a_hot_printer_is_promised_for_later(home: Home) -> None:
    """Not called done."""
    printer = await home.puppet("mk4", "printer")
    plug = await home.puppet("plug", "power", name="Printer plug", feeds=printer.context.device_id)
    plug.show(on=True)
    said = await home.say("switch off the printer plug")
    assert said["text"] == (
        "It is still hot or busy. I will switch off Printer plug when it has cooled down."
    )


async def test_who_did_it_is_answered_from_the_record(home: Home) -> None:
    """With who asked and who approved."""
    await door_of(home)
    asked = await home.say("unlock the lab door")
    await home.decide(await the_event(home), "bob")
    await home.ended((await home.command("commands.list"))["items"][0]["id"])
    said = await home.say("who unlocked the lab door?", conversation_id=asked["conversation_id"])
    assert said["text"] == "Ada unlocked Lab door just now, approved by Bob."


async def test_who_did_something_harmless_is_answered_too(home: Home) -> None:
    """Nobody approved it, and yet somebody did it."""
    await lamps(home)
    await home.say("switch on the bench lamp left", "bob")
    said = await home.say("who switched on the bench lamp left?")
    assert said["text"] == "Bob switched on Bench lamp left just now."


async def test_who_did_it_is_known_however_much_happened_since(home: Home) -> None:
    """Two hundred rows later it is still the same people."""
    await door_of(home)
    await home.say("unlock the lab door")
    await home.decide(await the_event(home), "bob")
    await home.ended((await home.command("commands.list"))["items"][0]["id"])
    for _ in range(200):
        await home.command("audit.note", {"kind": "something_else"})
    said = await home.say("who unlocked the lab door?")
    assert said["text"] == "Ada unlocked Lab door just now, approved by Bob."


async def test_what_happened_is_told_with_how_it_ended(home: Home) -> None:
    """Newest first; nothing is told of a day on which nothing was."""
    assert (await home.say("what happened today?"))["text"] == "Nothing has happened."
    await door_of(home)
    asked = await home.say("unlock the lab door")
    await home.say("no", conversation_id=asked["conversation_id"])
    said = await home.say("what happened today?")
    assert said["text"] == "Just now denied by Ada: unlock Lab door."


async def test_what_never_happened_is_told_so(home: Home) -> None:
    """And not made up."""
    await door_of(home)
    said = await home.say("who unlocked the lab door?")
    assert said["text"] == "I have no record of that."


async def test_how_things_are_is_told_from_what_was_seen(home: Home) -> None:
    """One by one, what is not known as unknown."""
    door = await door_of(home)
    printer = await home.puppet("mk4", "printer", name="Prusa")
    door.show(locked=True)
    printer.show(status="idle")
    assert (await home.say("what is the status?"))["text"] == "Lab door is locked. Prusa is idle."
    door.vanish()
    assert (await home.say("is the lab door locked?"))["text"] == "Lab door is not reachable."


WRONG = [
    ("heat the prusa nozzle to 900 degrees", "Nozzle must be between 0 and 350."),
    ("unlock the prusa", "Prusa cannot do that (unlock)."),
    ("unlock the cellar door", "I do not know any device called cellar door."),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
async def test_what_cannot_be_done_is_told_why(home: Home, text: str, said: str) -> None:
    """And nothing is recorded or sent."""
    printer = await home.puppet("mk4", "printer", name="Prusa")
    await door_of(home)
    assert (await home.say(text))["text"] == said
    assert (await home.command("commands.list"))["items"] == []
    assert printer.orders == {}


async def test_a_file_is_known_by_the_name_that_people_give_it(home: Home) -> None:
    """The printer is asked what it has; one that does not answer is not waited for."""
    printer = await home.puppet("mk4", "printer", name="Prusa")
    printer.stored = {"bracket_v2.gcode": b"", "gear 20T.gcode": b""}
    other = await home.puppet("other", "printer", name="Voron")
    other.reading = DeviceError("cannot_connect", "The printer does not answer")
    asked = await home.say("print the gear 20T on the prusa")
    assert asked["text"] == "Start gear 20T.gcode on Prusa? Say confirm or cancel."


async def test_a_new_name_is_known_at_once(home: Home) -> None:
    """When Home Assistant tells of another person, the record speaks of them by name."""
    await lamps(home)
    await home.say("help")
    home.people["zoe"] = "operator"
    await home.sync()
    await home.say("switch on the bench lamp left", "zoe")
    said = await home.say("who switched on the bench lamp left?")
    assert said["text"] == "Zoe switched on Bench lamp left just now."


async def test_a_confirmation_that_is_not_enough_is_told_so(home: Home) -> None:
    """The first yes of two is a yes, and not the end of it."""
    home.policies = [
        {"zone_id": "shop", "required_roles": ["operator", "engineer"], "voice_may_confirm": True}
    ]
    await home.sync()
    door = await door_of(home)
    asked = await home.say("unlock the lab door")

    async def still_waiting(params: Any) -> Any:
        (event,) = (await home.command("safety.events"))["items"]
        assert params["event_id"] == event["id"]
        return event

    home.answers["ha.decide"] = still_waiting
    said = await home.say("confirm", conversation_id=asked["conversation_id"])
    assert said["text"] == "I have asked Ada or Bob to approve: unlock Lab door."
    assert door.orders == {}


async def test_what_waits_is_told(home: Home) -> None:
    """With who asked for it."""
    await door_of(home)
    assert (await home.say("what is waiting for approval?"))["text"] == (
        "Nothing is waiting for approval."
    )
    await home.say("unlock the lab door")
    assert (await home.say("what is waiting for approval?"))[
        "text"
    ] == "Ada asks to unlock Lab door."
