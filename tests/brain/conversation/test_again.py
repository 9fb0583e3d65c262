"""A turn that is said again: heard before, it is answered as before; else it is heard now."""

import asyncio

from brain_server.app import Brain
from brain_server.protocol import Json
from brain_server.storage.tables import conversations, messages
from tests.brain.home import Home
from tests.brain.stage import rows

TURN = {"conversation_id": "talk", "context_id": "ctx-1"}


async def texts(brain: Brain) -> list[str]:
    """Return what people said."""
    return [one["text"] for one in await rows(brain, messages) if one["role"] == "user"]


def told(said: Json) -> Json:
    """Return what does not depend on how long it took."""
    return {name: value for name, value in said.items() if name not in {"stages", "data"}}


async def test_what_was_heard_is_answered_as_before(home: Home, brain: Brain) -> None:
    """And it is there once."""
    first = await home.say("help", **TURN, once=True)
    again = await home.say("help", **TURN, once=True)
    assert told(again) == told(first)
    assert await texts(brain) == ["help"]


async def test_what_was_done_is_not_done_again(home: Home) -> None:
    """The light was switched on by the first one."""
    lamp = await home.puppet("lamp", "light", name="Bench lamp")
    lamp.shows = {"on": True}
    said = [await home.say("switch on the bench lamp", **TURN, once=True) for _ in range(2)]
    assert [one["text"] for one in said] == ["Done: Bench lamp is on."] * 2
    assert len(lamp.orders["lamp"]) == 1


async def test_what_was_never_heard_is_heard_now(home: Home, brain: Brain) -> None:
    """In a conversation that is new, or not."""
    await home.say("help", **TURN, once=True)
    await home.say("help", **TURN | {"context_id": "ctx-2"}, once=True)
    assert await texts(brain) == ["help", "help"]


async def test_another_sentence_under_the_same_request_is_another_turn(
    home: Home, brain: Brain
) -> None:
    """Home Assistant may ask several things in one context."""
    await home.say("help", **TURN)
    await home.say("is the door locked?", **TURN, once=True)
    assert await texts(brain) == ["help", "is the door locked?"]


async def test_a_question_is_asked_again(home: Home) -> None:
    """Whoever did not hear it can still answer."""
    for side in ("left", "right"):
        await home.puppet(side, "light", name=f"Bench lamp {side}")
    await home.say("switch on the bench lamp", **TURN)
    again = await home.say("switch on the bench lamp", **TURN, once=True)
    assert (again["text"], again["continue_conversation"]) == (
        "Which one: Bench lamp left or Bench lamp right?",
        True,
    )


async def test_what_is_still_being_answered_is_waited_for(home: Home, brain: Brain) -> None:
    """Its answer is that of both."""
    asked = {"caller": {"user_id": "ada", "channel": "assist"}, "request_id": "ctx-1"}
    both = [
        home.command(
            "conversation.process",
            {"text": "help", "conversation_id": "talk", "once": True},
            **asked,
        )
        for _ in range(2)
    ]
    first, again = await asyncio.gather(*both)
    assert first["text"] == again["text"]
    assert await texts(brain) == ["help"]


async def test_nobody_hears_what_was_answered_to_another(home: Home, brain: Brain) -> None:
    """Whose conversation it is counts first."""
    await home.say("help", **TURN)
    caller = {"user_id": "bob", "channel": "assist", "context_id": "ctx-1"}
    params = {"text": "help", "conversation_id": "talk", "once": True}
    refused = await home.refusal("conversation.process", params, caller=caller, request_id="ctx-1")
    assert refused == "not_your_conversation"
    assert len(await rows(brain, conversations)) == 1
