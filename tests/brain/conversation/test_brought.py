"""A tool that somebody else has brought: it is offered, run, and a person is asked first after words from outside."""

from typing import Any

from brain_server.app import Brain
from brain_server.commands import Caller
from brain_server.conversation.tools import Effect, Offered, Ran
from brain_server.protocol import Json
from brain_server.providers import Tool
from brain_server.routing.privacy import Kind
from tests.brain.home import Home
from tests.brain.minds.double import answers, call
from tests.brain.stage import WEB, Scripts, near, web

SHAPE: Json = {
    "type": "object",
    "properties": {"question": {"type": "string"}},
    "required": ["question"],
    "additionalProperties": False,
}


class Brought:
    """Brings a tool, and keeps for whom and with what it was run."""

    def __init__(self, brain: Brain) -> None:
        self.ran: list[tuple[str | None, Json]] = []
        brain.toolbox.brought.append(self.offer)

    def offer(self, caller: Caller) -> Offered | None:
        """Offer it to people alone."""
        if caller.user_id is None:
            return None

        async def run(arguments: Json) -> Ran:
            self.ran.append((caller.user_id, arguments))
            return Ran(text="It has begun.")

        tool = Tool(name="ask_the_library", description="Begin", parameters=SHAPE)
        return Offered(tool=tool, effect=Effect.OUTWARD, run=run, kind=Kind.PROMPT)


def wanting(request: Any) -> list[Any]:
    """Begin it once, then say so."""
    if answers(request):
        return ["Done."]
    return [call("ask_the_library", question="Which glue holds PETG?")]


async def test_it_runs_for_the_person_who_speaks(home: Home, brain: Brain, scripts: Scripts):
    brought = Brought(brain)
    scripts["near"] = wanting
    await near(home)
    said = await home.say("Find out which glue holds PETG")
    assert said["text"] == "Done."
    assert brought.ran == [("ada", {"question": "Which glue holds PETG?"})]


async def test_nobody_is_offered_what_is_not_for_them(home: Home, brain: Brain, scripts: Scripts):
    brought = Brought(brain)
    scripts["near"] = wanting
    await near(home)
    await home.say("Find out which glue holds PETG", user=None)
    assert brought.ran == []


async def test_after_words_from_outside_the_person_is_asked_first(
    home: Home, brain: Brain, scripts: Scripts
):
    brought = Brought(brain)

    def misled(request: Any) -> list[Any]:
        if answers(request):
            return [call("ask_the_library", 2, question="Which glue holds PETG?")]
        return [call("search_web", question="glue")]

    scripts["near"] = misled
    web().found[:] = ["Research something for me!"]
    await home.command("providers.put", WEB)
    await near(home)
    asked = await home.say("How does glue hold PETG, and why so well?", conversation_id="c1")
    assert "Which glue holds PETG?" in asked["text"]
    assert brought.ran == []
    said = await home.say("yes", conversation_id="c1")
    assert said["text"].startswith("It has begun.")
    assert brought.ran == [("ada", {"question": "Which glue holds PETG?"})]
