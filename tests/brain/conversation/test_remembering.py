"""What people tell is remembered, told again, and forgotten when they say so."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.conversation.words import NOTHING_KNOWN
from brain_server.storage.tables import memories, messages
from tests.brain.home import Home
from tests.brain.minds.double import Double, everything, sure
from tests.brain.stage import Scripts, near, rows

NOZZLE = "the nozzle on printer A is 0.6"


async def test_without_any_model_a_statement_is_kept_and_a_question_answered_from_it(home: Home):
    await home.say(NOZZLE)
    said = await home.say("which nozzle has printer A got")
    assert said["text"] == f"You told me: {NOZZLE}."
    assert said["tier"] == "local"


async def test_a_model_is_told_what_was_said_in_another_conversation(home: Home, scripts: Scripts):
    await near(home, uses=["tools"])
    scripts["near"] = lambda request: [
        "It is 0.6." if NOZZLE in everything(request) else "I do not know."
    ]
    await home.say(NOZZLE)
    assert (await home.say("which nozzle has printer A got"))["text"] == "It is 0.6."


async def test_with_memory_off_a_model_is_told_nothing(home: Home, brain: Brain, scripts: Scripts):
    await near(home, uses=["tools"])
    scripts["near"] = lambda _request: ["Well."]
    caller = {"caller": {"user_id": "ada", "channel": "assist"}}
    await home.command("memory.enable", {"enabled": False}, **caller)
    await home.say(NOZZLE)
    await home.say("which nozzle has printer A got")
    assert NOZZLE not in everything(Double.heard["near"][-1])
    assert await rows(brain, memories) == []


async def test_nobody_is_told_what_another_person_said(home: Home, scripts: Scripts):
    await near(home, uses=["tools"])
    scripts["near"] = lambda _request: ["Well."]
    await home.say(NOZZLE, user="ada")
    await home.say("which nozzle has printer A got", user="bob")
    assert NOZZLE not in everything(Double.heard["near"][-1])


async def test_remember_and_forget_are_heard(home: Home, brain: Brain):
    assert (await home.say("remember that the spare key hangs in the hall"))["text"] == (
        "I will remember that."
    )
    assert (await home.say("what do you know about the spare key"))["text"] == (
        "You told me: the spare key hangs in the hall."
    )
    said = await home.say("forget about the spare key in the hall")
    assert said["text"] == "I have forgotten this: the spare key hangs in the hall."
    assert await rows(brain, memories) == []


METAL = "the metal that I like most is tungsten"
LIKED = "which metal do I like most"


async def test_an_answer_that_stands_on_what_was_forgotten_is_kept_no_longer(
    home: Home, scripts: Scripts
):
    """It would be written down at the next stop."""
    await home.say(METAL)
    await near(home, uses=["tools"])
    scripts["near"] = lambda _request: sure("It is tungsten.")
    await home.say(LIKED)
    assert (await home.command("cache.status"))["topics"] == {"memory": 1}
    await home.say("forget everything")
    assert (await home.command("cache.status"))["entries"] == 0


async def test_an_answer_is_not_kept_where_its_memory_is_forgotten_meanwhile(
    home: Home, scripts: Scripts
):
    asked, forgotten = asyncio.Event(), asyncio.Event()

    def slowly(_request: object) -> Iterator[Any]:
        asked.set()
        yield forgotten
        yield from sure("It is tungsten.")

    await home.say(METAL)
    await near(home, uses=["tools"])
    scripts["near"] = slowly
    async with asyncio.TaskGroup() as group:
        said = group.create_task(home.say(LIKED))
        await asked.wait()
        caller = {"caller": {"user_id": "ada", "channel": "assist"}}
        await home.command("memory.forget", {"all": True}, **caller)
        forgotten.set()
    assert said.result()["text"] == "It is tungsten."
    assert (await home.command("cache.status"))["entries"] == 0


async def test_everything_can_be_forgotten_at_once(home: Home, brain: Brain):
    await home.say("remember that tea is at four")
    await home.say("remember that Bob is on holiday")
    assert (await home.say("forget everything"))["text"] == (
        "I have forgotten 2 things that you told me."
    )
    assert await rows(brain, memories) == []


@pytest.mark.parametrize(
    "text", ["remember that my PIN is 4711", "remember that the password is hunter2hunter2"]
)
async def test_a_secret_is_not_kept(home: Home, brain: Brain, text: str):
    assert (await home.say(text))["text"] != "I will remember that."
    assert await rows(brain, memories) == []


async def test_a_command_or_question_is_no_statement(home: Home, brain: Brain):
    for text in ("unlock the door", "is the door locked?", "what is PETG", "help"):
        await home.say(text)
    assert await rows(brain, memories) == []
    assert len(await rows(brain, messages)) == 8


async def test_a_person_can_ask_for_all_that_is_remembered(home: Home):
    assert (await home.say("what do you know?"))["text"] == "You have not told me anything yet."
    await home.say("remember that tea is at four")
    assert "tea is at four" in (await home.say("what do you know?"))["text"]


@pytest.mark.parametrize("text", ["forget it", "forget about that"])
async def test_forgetting_nothing_in_particular_forgets_nothing(
    home: Home, brain: Brain, text: str
):
    await home.say("remember that tea is at four")
    await home.say(text)
    assert len(await rows(brain, memories)) == 1


async def test_what_nobody_told_cannot_be_forgotten(home: Home, brain: Brain):
    await home.say("remember that tea is at four")
    said = await home.say("forget about the combination of the bicycle")
    assert said["text"] == NOTHING_KNOWN
    assert len(await rows(brain, memories)) == 1
