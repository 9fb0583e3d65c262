"""A whole brain with parts switched off: each stops at once, says why, and takes nothing safe with it."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from brain_server.app import Brain
from brain_server.capabilities import NAMED
from brain_server.conversation.search import Search
from brain_server.conversation.tools import READ, SEARCH
from brain_server.errors import ProviderError
from brain_server.protocol import Json
from tests.brain.api.conftest import brain, clock, home, rest
from tests.brain.gatehouse import refusal
from tests.brain.home import Home, Rest, at_home, puppets, running, until
from tests.brain.minds.double import Double, answers, call, everything, sure
from tests.brain.stage import WEB, Scripts, double, far, near, set_stage, web

__all__ = ["brain", "clock", "home", "rest"]

ADA: Final = {"user_id": "ada", "channel": "dashboard"}
OFF: Final = "I cannot do that. {} is switched off."
TEXT: Final[Json] = {"messages": [{"role": "user", "content": "Hello"}]}
# What a part does, in a command that is refused while the part is off.
CASES: Final[list[tuple[str, str, Json]]] = [
    ("conversation", "conversation.process", {"text": "how are the printers"}),
    ("generate", "generate.text", TEXT),
    ("generate", "generate.data", {"instructions": "Count"}),
    ("generate", "generate.image", {"instructions": "A cat"}),
    ("memory", "memory.remember", {"text": "PETG is in the left box"}),
    ("memory", "memory.search", {"query": "PETG"}),
    ("memory", "memory.rebuild", {}),
    ("vision", "vision.look", {"device_id": "0" * 32}),
    ("inventory", "spools.put", {"material": "PLA"}),
    ("inventory", "spools.use", {"spool_id": "0" * 32, "grams": 1}),
    ("inventory", "spools.archive", {"spool_id": "0" * 32}),
    ("inventory", "spools.load", {"spool_id": "0" * 32}),
    ("inventory", "stock.limit", {"material": "PLA", "low_g": 100}),
    ("queue", "queue.add", {"file": "benchy.gcode"}),
    ("queue", "queue.change", {"queue_id": "0" * 32}),
    ("queue", "queue.release", {"queue_id": "0" * 32}),
    ("queue", "queue.plan", {}),
    ("prints", "queue.add", {"file": "benchy.gcode"}),
    ("inventory", "queue.plan", {}),
]


@pytest.fixture
def scripts() -> Scripts:
    """Give what each model says: a function of the request, by the name of its part."""
    return set_stage()


async def switch(home: Home, name: str, *, on: bool = False) -> Json:
    """Turn a switch as the admin of the house."""
    params = {"name": name, "enabled": on}
    caller = {"user_id": "dan", "channel": "dashboard"}
    row: Json = await home.command("capabilities.set", params, caller=caller)
    return row


# -- every switch -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "action", "params"), CASES)
async def test_what_belongs_to_a_part_that_is_off_is_refused(
    home: Home, name: str, action: str, params: Json
) -> None:
    """With one code, whatever the part."""
    await switch(home, name)
    assert await home.refusal(action, params, caller=ADA) == "capability_off"


def test_every_command_under_these_switches_is_tried(brain: Brain) -> None:
    """A new one comes with its line."""
    parts = {name for name, _action, _params in CASES}
    commands = brain.dispatcher.commands.values()
    under = {spec.action for spec in commands if spec.capability in parts}
    assert under <= {action for _name, action, _params in CASES}


async def test_what_is_stored_can_be_read_and_given_up_with_everything_off(home: Home) -> None:
    """And so can every safe direction and every no be asked for."""
    commands = home.brain.dispatcher.commands
    for name in NAMED:
        await switch(home, name)
    assert [
        name
        for name in (
            *("devices.request", "safety.decide", "safety.withdraw", "audit.list"),
            *("queue.list", "queue.hold", "queue.cancel", "memory.list", "memory.forget"),
            *("memory.export", "cache.clear", "spools.list", "incidents.list", "vision.answer"),
            *("runs.cancel", "files.list", "jobs.list", "capabilities.set", "system.health"),
        )
        if commands[name].capability is not None
    ] == []
    assert (await home.command("queue.list"))["items"] == []
    assert (await home.command("memory.forget", {"all": True}, caller=ADA)) == {"forgotten": 0}


async def test_a_switch_is_in_the_snapshot_and_its_change_is_told(home: Home) -> None:
    """With what needs it."""
    await switch(home, "search")
    told = await home.event("capability.updated", lambda row: row["name"] == "research")
    assert (told["enabled"], told["available"], told["because"]) == (True, False, "search")
    snapshot = (await home.subscribe())["data"]
    off = {row["name"] for row in snapshot["capabilities"] if not row["available"]}
    assert off == {"search", "research"}


async def test_who_switched_it_is_in_the_chain(home: Home) -> None:
    """And the chain still holds."""
    await switch(home, "search")
    (row,) = (await home.command("audit.list", {"kind": "capability_set"}))["items"]
    assert (row["user_id"], row["data"]["capability"], row["data"]["enabled"]) == (
        "dan",
        "search",
        False,
    )
    assert (await home.command("audit.verify"))["ok"] is True


async def test_it_is_still_off_after_a_restart(tmp_path: Path) -> None:
    """And works again when it is switched on."""
    async with running(tmp_path) as first, at_home(first) as home:
        await switch(home, "queue")
    async with running(tmp_path, life=2) as second, at_home(second) as home:
        assert await home.refusal("queue.plan") == "capability_off"
        await switch(home, "queue", on=True)
        assert (await home.command("queue.plan"))["proven"] is True


# -- models -------------------------------------------------------------------------------------------


async def test_with_far_models_off_only_the_near_one_is_asked(home: Home, scripts: Scripts) -> None:
    """Its answer is heard, however unsure it is."""
    await near(home)
    await far(home)
    scripts["near"] = lambda _request: sure("About two hundred and forty", 0.2)
    await switch(home, "models.far")
    said = await home.say("which heat does PETG like best")
    assert (said["text"], said["tier"]) == ("About two hundred and forty", "local")
    assert "far" not in Double.heard


async def test_with_far_models_off_and_no_other_it_is_said_plainly(
    home: Home, scripts: Scripts
) -> None:
    """Nobody is told that the model failed."""
    await far(home)
    await switch(home, "models.far")
    said = await home.say("which heat does PETG like best")
    assert said["text"] == (
        "I cannot answer that right now. The use of models outside the house is switched off."
    )
    assert Double.heard == {}


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("generate.text", TEXT),
        ("generate.data", {"instructions": "Count"}),
        ("generate.image", {"instructions": "A cat"}),
    ],
)
async def test_no_task_reaches_a_far_model_that_is_off(
    home: Home, scripts: Scripts, action: str, params: Json
) -> None:
    """Whatever asks, it asks by the one road."""
    await far(home)
    await switch(home, "models.far")
    assert await home.refusal(action, params) == "capability_off"
    assert Double.heard == {}


async def test_far_models_are_set_up_once_there_is_one(home: Home, scripts: Scripts) -> None:
    """Home Assistant shows no switch of what is not there."""
    snapshot = (await home.subscribe())["data"]
    (row,) = [row for row in snapshot["capabilities"] if row["name"] == "models.far"]
    assert row["set_up"] is False
    await far(home)
    told = await home.event("capability.updated", lambda row: row["name"] == "models.far")
    assert told["set_up"] is True


async def test_a_far_model_that_is_off_is_not_ill(
    home: Home, rest: Rest, brain: Brain, scripts: Scripts
) -> None:
    """The brain is ready, whatever that model said last."""
    made = await far(home)
    brain.models.failed(brain.models.get(made), ProviderError("provider_unreachable", "Away"))
    assert (await home.command("system.health"))["status"] == "degraded"
    await switch(home, "models.far")
    assert (await home.command("system.health"))["status"] == "ok"
    ready = await rest.get("/ready")
    assert (ready.status, ready.json) == (200, {"status": "ok"})


# -- search -------------------------------------------------------------------------------------------


async def test_with_search_off_nothing_is_looked_up(home: Home, scripts: Scripts) -> None:
    """And no model is offered it."""
    web().found[:] = ["Ada has won."]
    web().asked.clear()
    await home.command("providers.put", WEB)
    await near(home)
    offered: list[str] = []

    def play(request: Any) -> list[Any]:
        offered.extend(tool.name for tool in request.tools)
        return ["I do not know."]

    scripts["near"] = play
    await switch(home, "search")
    said = await home.say("who won the latest election in the news")
    assert (said["text"], said["tier"]) == ("I do not know.", "local")
    assert web().asked == []
    assert SEARCH not in offered
    assert READ in offered


async def test_a_search_that_was_under_way_is_not_made(home: Home, brain: Brain) -> None:
    """As one that a person said yes to after it was switched off."""
    web().asked.clear()
    await home.command("providers.put", WEB)
    await switch(home, "search")
    search = Search(brain.models, brain.privacy, brain.switches)
    assert await refusal(search("who has won", "")) == "capability_off"
    assert web().asked == []


async def test_with_search_off_no_page_is_read(home: Home, scripts: Scripts) -> None:
    """The model is told why, and so can tell it."""
    await near(home)
    heard: list[str] = []

    def play(request: Any) -> list[Any]:
        heard.extend(answers(request))
        return ["Search is off."] if heard else [call(READ, url="https://example.com/petg")]

    scripts["near"] = play
    await switch(home, "search")
    said = await home.say("read https://example.com/petg and tell me what it says")
    assert said["text"] == "Search is off."
    assert heard == ["capability_off: Search is switched off"]


# -- memory and kept answers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "remember that PETG is in the left box",
        "what do you know about PETG",
        "what do you know",
        "forget what I told you about PETG",
    ],
)
async def test_with_memory_off_whoever_speaks_of_it_is_told(home: Home, text: str) -> None:
    """Not that there is nothing."""
    await home.say("remember that PETG is in the left box")
    await switch(home, "memory")
    assert (await home.say(text))["text"] == OFF.format("Memory")


async def test_with_memory_off_no_model_hears_what_was_told(home: Home, scripts: Scripts) -> None:
    """It is still there, and is recalled again when it is on."""
    await near(home)
    heard: list[str] = []

    def play(request: Any) -> list[Any]:
        heard.append(everything(request))
        return sure("I see")

    scripts["near"] = play
    await home.say("remember that the PETG is in the left box")
    await switch(home, "memory")
    await home.say("please tell me a story about the PETG")
    await switch(home, "memory", on=True)
    await home.say("please tell me another story about the PETG")
    assert ["left box" in words for words in heard] == [False, True]


async def test_with_memory_off_nothing_that_is_said_is_kept(home: Home) -> None:
    """Not even by the way."""
    await switch(home, "memory")
    await home.say("my favourite filament is PETG")
    assert (await home.command("memory.list", caller=ADA))["items"] == []


async def test_with_the_cache_off_the_model_is_asked_each_time(
    home: Home, scripts: Scripts
) -> None:
    """What was kept waits, and is given again when it is on."""
    await near(home)
    scripts["near"] = lambda _request: sure("A lot of heat and a little patience")
    await home.say("why does PETG string so much")
    await switch(home, "cache")
    await home.say("why does PETG string so much")
    assert len(Double.heard["near"]) == 2
    await switch(home, "cache", on=True)
    await home.say("why does PETG string so much")
    assert len(Double.heard["near"]) == 2


# -- conversation -------------------------------------------------------------------------------------


async def door(home: Home) -> Any:
    """Add a door that shows what it is told."""
    made = await home.puppet("door", "door", "shop", name="Workshop door")
    made.show(locked=False)
    made.shows = {"locked": True}
    return made


async def test_with_conversation_off_a_door_is_still_locked_by_words(home: Home) -> None:
    """The safe direction has no switch."""
    await door(home)
    await switch(home, "conversation")
    assert (await home.say("lock the workshop door"))["text"] == "Done: Workshop door is locked."


async def test_with_conversation_off_nothing_is_unlocked_by_words(home: Home) -> None:
    """Only what makes things safer is heard."""
    made = await door(home)
    await switch(home, "conversation")
    asked = {"text": "unlock the workshop door"}
    assert await home.refusal("conversation.process", asked, caller=ADA) == "capability_off"
    assert puppets().Puppet.orders.get(made.id, []) == []


async def test_with_conversation_off_a_question_can_still_be_answered_with_no(home: Home) -> None:
    """And not with yes."""
    await door(home)
    asked = await home.say("unlock the workshop door")
    where = {"conversation_id": asked["conversation_id"]}
    await switch(home, "conversation")
    assert await home.refusal("conversation.process", {"text": "yes"} | where, caller=ADA) == (
        "capability_off"
    )
    said = await home.say("cancel", **where)
    assert said["text"] == "All right, I have cancelled it."
    (event,) = (await home.command("safety.events"))["items"]
    assert event["status"] == "denied"


async def test_with_conversation_off_it_is_asked_which_door_to_lock(home: Home) -> None:
    """The answer then counts, too."""
    for name in ("front", "back"):
        made = await home.puppet(name, "door", "shop", name=f"{name.title()} door")
        made.show(locked=False)
        made.shows = {"locked": True}
    await switch(home, "conversation")
    asked = await home.say("lock the door")
    assert asked["continue_conversation"] is True
    said = await home.say("the back door", conversation_id=asked["conversation_id"])
    assert said["text"] == "Done: Back door is locked."


async def test_a_run_of_several_steps_ends_with_conversation(home: Home, scripts: Scripts) -> None:
    """At once, and what it had not begun is not done."""
    held = asyncio.Event()
    steps = [
        {"id": "1", "goal": "One", "kind": "tools", "needs": []},
        {"id": "2", "goal": "Two", "kind": "tools", "needs": ["1"]},
    ]

    def play(request: Any) -> list[Any]:
        return [json.dumps({"steps": steps})] if request.schema else [held, "Too late."]

    scripts["near"] = play
    await near(home)
    await home.send(
        type="command",
        action="conversation.process",
        params={"text": "pause Printer A and then warm Printer B to 60 when Printer A is cool"},
        caller={"user_id": "ada", "channel": "assist"},
    )
    await home.event("run.updated", lambda one: one["steps"][0]["status"] == "running")
    await switch(home, "conversation")
    ended = await home.event("run.updated", lambda one: one["status"] == "cancelled")
    assert [step["status"] for step in ended["steps"]] == ["cancelled", "cancelled"]


# -- prints -------------------------------------------------------------------------------------------


async def printer(home: Home, status: str = "idle") -> Any:
    """Add a printer."""
    made = await home.puppet("mk4", "printer", "shop")
    made.stored["benchy.gcode"] = b"G1"
    made.show(**puppets().printer(status))
    return made


START: Final[Json] = {"params": {"file": "benchy.gcode"}}


@pytest.mark.parametrize(
    ("intent", "params"),
    [
        ("print_start", {"file": "benchy.gcode"}),
        ("print_resume", {}),
        ("heat", {"nozzle": 60.0}),
        ("gcode", {"script": "M24"}),
    ],
)
async def test_with_prints_off_no_printer_is_set_going(
    home: Home, intent: str, params: Json
) -> None:
    """By none of the ways there are."""
    made = await printer(home)
    await switch(home, "prints")
    wanted = {"device_id": made.context.device_id, "intent": intent, "params": params}
    assert await home.refusal("devices.request", wanted, caller=ADA) == "capability_off"
    assert puppets().Puppet.orders.get("mk4", []) == []


@pytest.mark.parametrize("intent", ["print_pause", "print_cancel"])
async def test_with_prints_off_a_print_can_be_stopped(home: Home, intent: str) -> None:
    """The safe directions have no switch."""
    made = await printer(home, "printing")
    made.shows = puppets().printer("paused" if intent == "print_pause" else "idle")
    await switch(home, "prints")
    done = await home.request(made.context.device_id, intent, wait=5)
    assert done["command"]["status"] == "acked"


async def test_a_start_that_was_asked_for_before_is_not_sent_when_it_is_approved(
    home: Home,
) -> None:
    """Whoever approves it learns why, and the printer learns nothing."""
    made = await printer(home)
    asked = await home.request(made.context.device_id, "print_start", **START)
    await switch(home, "prints")
    await home.decide(asked["event"], "bob")
    ended = await home.ended(asked["command"]["id"])
    assert (ended["status"], ended["detail"]) == ("failed", "capability_off")
    assert puppets().Puppet.orders.get("mk4", []) == []


# -- the doors for other programs ---------------------------------------------------------------------


async def test_with_mcp_off_no_program_uses_the_tools(home: Home, rest: Rest) -> None:
    """The other doors stay open."""
    await switch(home, "mcp")
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    answer = await rest.call("POST", "/mcp", json=hello)
    assert (answer.status, answer.code) == (503, "capability_off")
    assert (await rest.act("devices.list")).status == 200


@pytest.mark.parametrize("name", ["openai", "generate"])
async def test_with_the_openai_interface_off_it_says_so_in_openais_form(
    home: Home, rest: Rest, scripts: Scripts, name: str
) -> None:
    """Also where what it needs is off."""
    await near(home)
    await switch(home, name)
    for answer in (
        await rest.get("/v1/models"),
        await rest.call(
            "POST", "/v1/chat/completions", json={"model": "auto", "messages": TEXT["messages"]}
        ),
    ):
        assert (answer.status, answer.json["error"]["code"]) == (503, "capability_off")
    assert Double.heard == {}


async def test_without_a_token_nobody_learns_what_is_off(home: Home, brain: Brain) -> None:
    """Who is nobody is told just that."""
    await switch(home, "openai")
    async with Rest(brain, None) as stranger:
        assert (await stranger.get("/v1/models")).status == 401


# -- vision -------------------------------------------------------------------------------------------


async def test_with_vision_off_no_camera_watches(home: Home, brain: Brain) -> None:
    """It says so, and does so again when it is switched on."""
    made = await printer(home)
    camera = await home.puppet("cam", "camera", "shop")
    camera.show()
    made.show(**puppets().printer("printing", "benchy.gcode", "2026-11-21T10:00:00+00:00"))
    await until(
        lambda: any(row["watching"] for row in brain.workshop.vision.rows()), "that it watches"
    )
    await switch(home, "vision")
    told = await home.event("vision.updated", lambda row: not row["watching"])
    assert told["device_id"] == camera.context.device_id
    await switch(home, "vision", on=True)
    assert [row["watching"] for row in brain.workshop.vision.rows()] == [True]


# -- what goes on by itself ---------------------------------------------------------------------------


async def test_what_a_model_waits_for_people_with_goes_on_when_conversation_is_on_again(
    home: Home, scripts: Scripts
) -> None:
    """What was approved is done all the same; the model only hears of it later."""
    made = await home.puppet("door", "door", "shop", name="Shop door")
    made.shows = {"locked": False}
    await near(home)

    def play(request: Any) -> list[Any]:
        if found := answers(request):
            return [f"Now that is done: {found[-1]}"]
        return [call("workshop_request", device_id=made.context.device_id, intent="unlock")]

    scripts["near"] = play
    await home.say("could somebody open that shop door for the courier", user="bob")
    await switch(home, "conversation")
    (event,) = (await home.command("safety.events"))["items"]
    await home.decide(event, "bob")
    assert (await home.ended(event["command_id"]))["status"] == "acked"
    await until(lambda: not under_way(home, "chain"), "the end of what goes on by itself")
    assert len(Double.heard["near"]) == 1
    await switch(home, "conversation", on=True)
    told = await home.event("conversation.reply")
    assert "Now that is done" in told["text"]


def under_way(home: Home, word: str) -> list[str]:
    """Return the tasks whose names begin with a word."""
    names = (task.get_name() for task in home.brain.tasks._tasks)
    return [name for name in names if name.startswith(word)]


async def test_nobody_looks_at_a_model_that_is_switched_off(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a byte goes to its maker; one of the house is still looked at."""
    await near(home)
    await far(home)
    looked: list[str] = []
    real = double().check

    async def check(self: Any) -> Any:
        looked.append(self.part)
        return await real(self)

    monkeypatch.setattr(double(), "check", check)
    monkeypatch.setattr("brain_server.routing.models.WATCHED_EVERY", 0.001)
    await switch(home, "models.far")
    watch = brain.tasks.start("a watch", brain.models.watch())
    await until(lambda: len(looked) > 3, "some looks")
    assert set(looked) == {"near"}
    await switch(home, "models.far", on=True)
    await until(lambda: "far" in looked, "a look at the far one")
    watch.cancel()


async def test_spoolman_is_left_alone_while_the_inventory_is_off(tmp_path: Path) -> None:
    """And nobody calls it ill."""
    async with (
        running(tmp_path, spoolman_url="http://127.0.0.1:9") as brain,
        at_home(brain) as home,
    ):
        assert await home.refusal("spoolman.sync") == "spoolman_unreachable"
        await switch(home, "inventory")
        assert await home.refusal("spoolman.sync") == "capability_off"
        parts = (await home.command("system.health"))["parts"]
        assert parts["spoolman"] == {"ok": True, "detail": "off"}
