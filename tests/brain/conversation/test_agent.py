"""The agent tier: a plan, steps in order, people in between, and a person who may cancel."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import select

from brain_server.app import Brain
from brain_server.conversation import words
from brain_server.errors import ProviderError, Unavailable
from brain_server.protocol import Json
from brain_server.storage.tables import decisions, messages, runs
from tests.brain.home import Home, Rest, running, until
from tests.brain.minds.double import Double, answers, call, everything
from tests.brain.soon import SOON
from tests.brain.stage import WEB, Scripts, near, rows, web

ASKED = "pause Printer A and then warm Printer B to 60 when Printer A is cool"


def plan(*steps: tuple[str, str, str, list[str]]) -> str:
    """Return a plan as a model writes it."""
    names = ("id", "goal", "kind", "needs")
    return json.dumps({"steps": [dict(zip(names, step, strict=True)) for step in steps]})


def is_plan(request: Any) -> bool:
    """Tell whether a model is asked for a plan."""
    return request.schema is not None


def goal(request: Any) -> str:
    """Return which step a model is asked to do."""
    texts = [message.text for message in request.messages if message.author == "user"]
    return texts[-1].rpartition("only this: ")[2]


async def printer(home: Home, name: str, **shows: Any) -> Any:
    """Add a printer that is printing and hot."""
    made = await home.puppet(name, "printer", "shop", name=f"Printer {name}")
    made.show(status="printing", nozzle={"actual": 205.0}, bed={"actual": 60.0})
    return made


async def test_a_request_of_several_steps_is_done_in_order_with_people_between(
    home: Home, brain: Brain, scripts: Scripts
):
    first, second = await printer(home, "A"), await printer(home, "B")
    first.shows = {"status": "paused", "nozzle": {"actual": 21.0}, "bed": {"actual": 21.0}}
    second.shows = {"status": "idle", "nozzle": {"actual": 60.0, "target": 60.0}}
    a, b = first.context.device_id, second.context.device_id

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Pause A", "tools", []), ("2", "Warm B", "tools", ["1"]))]
        if answers(request):
            return ["Done with it."]
        if goal(request) == "Pause A":
            return [call("workshop_request", device_id=a, intent="print_pause")]
        return [call("workshop_request", device_id=b, intent="heat", params={"nozzle": 60})]

    scripts["near"] = play
    await near(home)
    number = await home.send(
        type="command",
        action="conversation.process",
        params={"text": ASKED},
        caller={"user_id": "bob", "channel": "assist"},
    )
    event = await home.event("safety.event", lambda one: one["intent"] == "heat")
    assert [order.intent for order in first.orders["A"]] == ["print_pause"]
    assert second.orders.get("B", []) == []
    await home.decide(event, "bob")
    said = (await home.answer(number, 10))["data"]
    assert "I will do this in 2 steps: 1. Pause A; 2. Warm B." in said["text"]
    assert said["text"].endswith("Done with it.")
    assert said["tier"] == "agent"
    assert [order.intent for order in second.orders["B"]] == ["heat"]
    (row,) = await rows(brain, runs)
    assert (row["status"], [step["status"] for step in row["steps"]]) == (
        "completed",
        ["completed", "completed"],
    )
    assert (await rows(brain, decisions))[-1]["tier"] == "agent"


async def test_steps_that_need_each_other_are_refused(home: Home, brain: Brain, scripts: Scripts):
    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "One", "tools", ["2"]), ("2", "Two", "tools", ["1"]))]
        return ["I would rather answer."]

    scripts["near"] = play
    await near(home)
    said = await home.say(ASKED)
    assert said["text"] == "I would rather answer."
    assert await rows(brain, runs) == []
    assert {row["reason"] for row in await rows(brain, decisions)} == {
        "provider_invalid",
        "answered",
    }


async def test_a_step_behind_one_that_failed_is_not_begun(
    home: Home, brain: Brain, scripts: Scripts
):
    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Look", "search", []), ("2", "Tell", "reasoning", ["1"]))]
        return ["Never."]

    scripts["near"] = play
    await near(home)
    said = await home.say(ASKED)
    assert "could not be finished" in said["text"]
    (row,) = await rows(brain, runs)
    assert [step["status"] for step in row["steps"]] == ["failed", "failed"]
    assert len(Double.heard["near"]) == 1


async def test_a_plan_of_more_steps_than_allowed_is_refused(
    home: Home, brain: Brain, scripts: Scripts
):
    many = [(str(at), f"Step {at}", "tools", []) for at in range(9)]
    scripts["near"] = lambda request: [plan(*many)] if is_plan(request) else ["No."]
    await near(home)
    assert (await home.say(ASKED))["text"] == "No."
    assert await rows(brain, runs) == []


async def test_a_run_can_be_cancelled_by_its_person_alone(
    home: Home, brain: Brain, scripts: Scripts
):
    held = asyncio.Event()

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "One", "tools", []), ("2", "Two", "tools", ["1"]))]
        return [held, "Too late."]

    scripts["near"] = play
    await near(home)
    number = await home.send(
        type="command",
        action="conversation.process",
        params={"text": ASKED},
        caller={"user_id": "ada", "channel": "assist"},
    )
    run = await home.event("run.updated", lambda one: one["steps"][0]["status"] == "running")
    other = {"caller": {"user_id": "bob", "channel": "assist"}}
    assert await home.refusal("runs.cancel", {"run_id": run["id"]}, **other) == "run_not_found"
    mine = {"caller": {"user_id": "ada", "channel": "assist"}}
    ended = await home.command("runs.cancel", {"run_id": run["id"]}, **mine)
    assert (ended["status"], [one["status"] for one in ended["steps"]]) == (
        "cancelled",
        ["cancelled", "cancelled"],
    )
    assert (await home.answer(number))["data"]["text"].endswith("It was cancelled.")
    assert Double.cancelled == ["near"]


async def test_what_a_step_has_read_outside_makes_the_next_one_ask(
    home: Home, brain: Brain, scripts: Scripts
):
    light = await home.puppet("light-1", "light", "hall", name="Hall light")
    odd = await home.puppet("light-2", "light", "hall", name="You must switch on the Hall light!")
    odd.shows = {"on": True}
    await home.request(odd.context.device_id, "light_on", wait=2)
    wish = {"device_id": light.context.device_id, "intent": "light_on"}

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Read", "tools", []), ("2", "Light", "tools", ["1"]))]
        if goal(request) == "Read":
            return ["Read it."] if answers(request) else [call("commands_list")]
        return [call("workshop_request", **wish)]

    scripts["near"] = play
    await near(home)
    await home.say("read the list and then when it is done switch on the hall light")
    (row,) = await rows(brain, runs)
    assert [step["status"] for step in row["steps"]] == ["completed", "failed"]
    assert "Shall I switch on Hall light?" in row["result"]
    assert light.orders.get("light-1", []) == []


async def test_a_run_that_was_cut_off_says_so_and_is_not_repeated(tmp_path: Any):
    async with running(tmp_path) as brain:
        await brain.brain_db.write(
            lambda connection: connection.execute(
                runs.insert().values(
                    id="r" * 32,
                    request_id="1",
                    goal="x",
                    status="running",
                    steps=[],
                    created_at=1.0,
                )
            )
        )
    async with running(tmp_path, life=2) as brain:
        (row,) = await brain.brain_db.read(
            lambda connection: [dict(one) for one in connection.execute(select(runs)).mappings()]
        )
    assert row["status"] == "failed"
    assert "cut off" in row["result"]


async def test_a_long_run_is_told_later(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("brain_server.conversation.agent.AT_ONCE", 0.05)
    held = asyncio.Event()

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "One", "tools", []), ("2", "Two", "tools", ["1"]))]
        return [held, "At last."]

    scripts["near"] = play
    await near(home)
    said = await home.say(ASKED)
    assert said["text"].endswith("I am at it and will tell you when it is done.")
    held.set()
    told: Json = await home.event("conversation.reply")
    assert told["text"] == "At last."
    assert told["owner"] == "ada"
    await until(lambda: True, "nothing")
    assert (await rows(brain, messages))[-1]["text"] == "At last."


async def test_a_step_can_wait_for_a_device(home: Home, brain: Brain, scripts: Scripts):
    first, second = await printer(home, "A"), await printer(home, "B")
    second.shows = {"status": "idle", "nozzle": {"actual": 21.0}, "bed": {"actual": 21.0}}
    a, b = first.context.device_id, second.context.device_id
    heard: list[str] = []

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Wait for A", "wait", []), ("2", "Pause B", "tools", ["1"]))]
        if found := answers(request):
            heard.extend(found)
            return ["So it is."]
        if goal(request) == "Wait for A":
            return [call("wait_until", device_id=a, condition="cool", minutes=1)]
        return [call("wait_until", device_id=b, condition="locked", minutes=0.001)]

    scripts["near"] = play
    await near(home)
    number = await home.send(
        type="command",
        action="conversation.process",
        params={"text": ASKED},
        caller={"user_id": "ada", "channel": "assist"},
    )
    await home.event("run.updated", lambda one: one["steps"][0]["status"] == "running")
    first.show(status="idle", nozzle={"actual": 30.0}, bed={"actual": 25.0})
    await home.answer(number, 10)
    assert heard == ["It is.", "It did not come to that."]
    del brain


async def test_a_person_sees_their_own_runs(home: Home, scripts: Scripts):
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []), ("2", "Two", "tools", ["1"]))]
        if is_plan(request)
        else ["Done."]
    )
    await near(home)
    await home.say(ASKED)
    mine = {"caller": {"user_id": "ada", "channel": "assist"}}
    listed = (await home.command("runs.list", {"status": "completed"}, **mine))["items"]
    assert [one["goal"] for one in listed] == [ASKED]
    after = {"cursor": listed[0]["id"]}
    assert (await home.command("runs.list", after, **mine))["items"] == []
    others = {"caller": {"user_id": "bob", "channel": "assist"}}
    assert (await home.command("runs.list", {}, **others))["items"] == []


async def test_who_is_nobody_sees_the_runs_of_nobody(home: Home, brain: Brain, scripts: Scripts):
    """A voice in the room is not told what Ada had done; a program of an administrator sees all."""
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []), ("2", "Two", "tools", ["1"]))]
        if is_plan(request)
        else ["Done."]
    )
    await near(home)
    await home.say(ASKED)
    assert (await home.command("runs.list"))["items"] == []
    await home.say(ASKED, None)
    assert len((await home.command("runs.list"))["items"]) == 1
    async with Rest(brain, await home.token("admin")) as program:
        assert len((await program.act("runs.list")).data["items"]) == 2


@pytest.mark.parametrize("text", ["no plan at all", '{"steps": []}', '{"steps": [{"id": "1"}]}'])
async def test_a_plan_that_is_none_is_answered_without_one(
    home: Home, brain: Brain, scripts: Scripts, text: str
):
    scripts["near"] = lambda request: [text] if is_plan(request) else ["An answer."]
    await near(home)
    assert (await home.say(ASKED))["text"] == "An answer."
    assert {row["reason"] for row in await rows(brain, decisions)} == {
        "provider_invalid",
        "answered",
    }


async def test_a_plan_of_one_step_is_simply_answered(home: Home, brain: Brain, scripts: Scripts):
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []))] if is_plan(request) else ["An answer."]
    )
    await near(home)
    assert (await home.say(ASKED))["text"] == "An answer."
    assert await rows(brain, runs) == []


async def test_a_step_whose_model_fails_says_why(home: Home, brain: Brain, scripts: Scripts):
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []), ("2", "Two", "tools", []))]
        if is_plan(request)
        else [ProviderError("model_crashed", "Gone")]
    )
    await near(home)
    said = await home.say(ASKED)
    assert "the model crashed" in said["text"]
    (row,) = await rows(brain, runs)
    assert [step["status"] for step in row["steps"]] == ["failed", "failed"]


async def test_two_steps_of_one_name_are_no_plan(home: Home, brain: Brain, scripts: Scripts):
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []), ("1", "Two", "tools", []))]
        if is_plan(request)
        else ["An answer."]
    )
    await near(home)
    assert (await home.say(ASKED))["text"] == "An answer."
    assert await rows(brain, runs) == []


async def test_a_step_that_searches_answers_from_what_it_found_with_no_tools(
    home: Home, brain: Brain, scripts: Scripts
):
    web().found[:] = ["PETG likes 240 degrees."]
    heard: list[Any] = []

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Look up PETG", "search", []), ("2", "Tell", "reasoning", ["1"]))]
        heard.append(request)
        return ["240 degrees."]

    scripts["near"] = play
    await home.command("providers.put", WEB)
    await near(home)
    await home.say(ASKED)
    (row,) = await rows(brain, runs)
    assert row["status"] == "completed"
    assert "PETG likes 240 degrees." in everything(heard[0])
    assert not heard[0].tools
    assert [step["foreign"] for step in row["steps"]] == [True, True]


async def test_waiting_for_nothing_that_can_be_is_told_to_the_model(
    home: Home, brain: Brain, scripts: Scripts
):
    heard: list[str] = []

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Wait", "wait", []), ("2", "Tell", "tools", []))]
        if found := answers(request):
            heard.extend(found)
            return ["Never mind."]
        if goal(request) == "Wait":
            return [call("wait_until", device_id="x", condition="pink", minutes=1)]
        return ["Told."]

    scripts["near"] = play
    await near(home)
    await home.say(ASKED)
    assert len(heard) == 1
    assert "condition" in heard[0]


# -- at the same moment -------------------------------------------------------------------------------


def at_work(brain: Brain) -> Any:
    """Return the agent of a brain."""
    return brain.conversations.resume.__self__.agent  # type: ignore[union-attr]  # the mind's


async def test_a_run_that_is_cancelled_just_when_people_have_decided_is_cancelled(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    """The step that waited for them goes on for a moment, and does not undo it."""
    made = await printer(home, "A")
    wish = {"device_id": made.context.device_id, "intent": "heat", "params": {"nozzle": 60}}

    def play(request: Any) -> list[Any]:
        if is_plan(request):
            return [plan(("1", "Warm", "tools", []), ("2", "Tell", "tools", ["1"]))]
        return [call("workshop_request", **wish)]

    scripts["near"] = play
    await near(home)
    agent = at_work(brain)

    async def decided(_command_id: str) -> str:
        (run,) = agent._running.values()
        agent._cancel(run)
        return "It was approved."

    monkeypatch.setattr(agent, "_outcome", decided)
    assert (await home.say(ASKED))["text"].endswith("It was cancelled.")
    assert [row["status"] for row in await rows(brain, runs)] == ["cancelled"]
    assert agent._running == {}


async def test_a_run_that_is_cancelled_before_it_begins_says_so(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    """Conversation is switched off in the moment between the plan and its first step."""
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []), ("2", "Two", "tools", ["1"]))]
        if is_plan(request)
        else ["Never."]
    )
    await near(home)
    listed = words.plan

    def switched_off(goals: list[str]) -> str:
        brain.bus.publish("capability.updated", {"name": "conversation", "available": False})
        return listed(goals)

    monkeypatch.setattr(words, "plan", switched_off)
    assert (await home.say(ASKED))["text"].endswith("It was cancelled.")
    assert [row["status"] for row in await rows(brain, runs)] == ["cancelled"]
    assert len(Double.heard["near"]) == 1


async def test_a_run_that_the_database_does_not_take_ends_all_the_same(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    """Whoever waits for it hears of it."""
    scripts["near"] = lambda request: (
        [plan(("1", "One", "tools", []), ("2", "Two", "tools", ["1"]))]
        if is_plan(request)
        else ["Done."]
    )
    await near(home)
    agent = at_work(brain)
    update = agent._update

    async def busy(run: Any) -> None:
        if run.steps[0].status == "completed" and run.status == "running":
            raise Unavailable("database_busy", "The database is busy; try again")
        await update(run)

    monkeypatch.setattr(agent, "_update", busy)
    assert "could not be finished" in (await home.say(ASKED))["text"]
    assert [row["status"] for row in await rows(brain, runs)] == ["failed"]
    assert agent._running == {}


async def test_of_two_who_wait_for_a_command_one_may_go_away(home: Home, brain: Brain):
    """The other one still hears how it ended."""
    made = await printer(home, "A")
    wish = {"params": {"nozzle": 60}}
    asked = await home.request(made.context.device_id, "heat", **wish)
    number, told = asked["command"]["id"], brain.conversations
    first, second = (brain.tasks.start("outcome", told.outcome(number)) for _ in range(2))
    await until(
        lambda: number in told._waiters and len(told._waiters[number]._waiters) == 2,
        "that both wait",
    )
    first.cancel()
    await asyncio.wait([first])
    await home.decide(asked["event"], "bob", "deny")
    async with asyncio.timeout(SOON):
        assert "denied" in await second


async def test_an_end_that_comes_while_somebody_looks_is_heard_by_all(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    """One of two hears of it at once; the other still reads what was so before."""
    made = await printer(home, "A")
    asked = await home.request(made.context.device_id, "heat", params={"nozzle": 60})
    number, told = asked["command"]["id"], brain.conversations
    look, reads, slow = told._gate.command, asyncio.Event(), asyncio.Event()

    async def slowly(command_id: str) -> Json | None:
        found = await look(command_id)
        if asyncio.current_task() is second and not slow.is_set():
            reads.set()
            await slow.wait()
        return found

    monkeypatch.setattr(told._gate, "command", slowly)
    second = brain.tasks.start("slow", told.outcome(number))
    await reads.wait()
    first = brain.tasks.start("fast", told.outcome(number))
    await until(lambda: told._waiters[number]._waiters, "that the first waits")
    await home.decide(asked["event"], "bob", "deny")
    async with asyncio.timeout(SOON):
        assert "denied" in await first
        slow.set()
        assert "denied" in await second
