"""The whole road, through a real brain: said by a person, decided by a person, asked of the gate as that person."""

import json
from pathlib import Path

import pytest

from brain_server.app import Brain
from brain_server.protocol import Json
from tests.brain.api.conftest import brain, clock, home, rest
from tests.brain.autonomy.works import eventually
from tests.brain.home import Home, Rest, at_home, on_stage, puppets, running
from tests.brain.stage import Scripts, near

__all__ = ["brain", "clock", "home", "rest"]

ADA = {"user_id": "ada", "channel": "mobile"}


async def task(home: Home, *statuses: str) -> Json:
    """Return the last task when it is in one of these states."""

    async def look() -> Json | None:
        found = (await home.command("tasks.list"))["items"]
        return found[-1] if found and found[-1]["status"] in statuses else None

    return await eventually(look)


async def agreed(home: Home) -> Json:
    """Let Ada say what could be better, and agree to it."""
    said = {"title": "Print more", "metric": "print_success"}
    goal: Json = await home.command("goals.add", said, caller=ADA)
    await home.command("goals.decide", {"goal_id": goal["id"], "approve": True}, caller=ADA)
    return goal


async def test_what_a_person_agrees_to_becomes_work_and_an_end(home: Home) -> None:
    """With events for whoever watches, and a line of the audit trail."""
    goal = await agreed(home)
    reminder = await task(home, "waiting")
    answer = {"task_id": reminder["id"], "done": True}
    await home.command("tasks.answer", answer, caller=ADA)
    await home.event("project.updated", lambda one: one["status"] == "completed")
    await home.event("goal.updated", lambda one: one["status"] == "completed")
    (row,) = (await home.command("audit.list", {"kind": "goal_decided"}))["items"]
    assert (row["user_id"], row["data"]["goal_id"]) == ("ada", goal["id"])
    (told,) = (await home.command("notifications.list", {}, caller=ADA))["items"]
    assert told["message"].startswith("Print more\nprint success: too little seen")


async def test_a_button_on_the_phone_answers_as_that_person(home: Home) -> None:
    """The one who was told; nobody else."""
    await agreed(home)
    await task(home, "waiting")
    (told,) = (await home.command("notifications.list", {}, caller=ADA))["items"]
    answer = {"notification_id": told["id"], "action": "done"}
    bob = {"user_id": "bob", "channel": "mobile"}
    assert await home.refusal("notifications.answer", answer, caller=bob) == "not_addressed"
    await home.command("notifications.answer", answer, caller=ADA)
    assert (await task(home, "completed"))["details"]["answered_by"] == "ada"


async def test_a_button_whose_command_ran_before_a_brain_died_is_noted(home: Home) -> None:
    """The command was run and the answer was not written down: pressed again, it is."""
    await agreed(home)
    reminder = await task(home, "waiting")
    await home.command("tasks.answer", {"task_id": reminder["id"], "done": True}, caller=ADA)
    (told,) = (await home.command("notifications.list", {}, caller=ADA))["items"]
    answer = {"notification_id": told["id"], "action": "done"}
    noted = await home.command("notifications.answer", answer, caller=ADA)
    assert (noted["action"], noted["user_id"]) == ("done", "ada")
    other = answer | {"action": "not"}
    assert await home.refusal("notifications.answer", other, caller=ADA) == "already_answered"


async def test_a_print_that_a_model_plans_waits_for_a_person_and_then_for_the_gate(
    home: Home, scripts: Scripts
) -> None:
    """Nothing reaches the printer before both."""
    printer = await home.add("puppet", external_id="p1", kind="printer")
    (await on_stage("p1")).show(**puppets().printer())
    await near(home)
    wanted = {
        "title": "Light a fire",
        "kind": "request",
        "needs": [],
        "device_id": printer,
        "intent": "print_start",
        "params": {"file": "x.gcode"},
    }
    scripts["near"] = lambda _request: [json.dumps({"tasks": [wanted]})]
    await agreed(home)
    waiting = await task(home, "waiting")
    assert puppets().Puppet.orders == {}
    asked = await home.command("tasks.answer", {"task_id": waiting["id"], "done": True}, caller=ADA)
    found = await home.command("commands.get", {"command_id": asked["details"]["command_id"]})
    assert (found["requested_by"], found["intent"]) == ("ada", "print_start")
    assert asked["details"]["answered_by"] == "ada"


async def test_while_it_is_switched_off_nobody_agrees_to_anything(home: Home) -> None:
    """What there is can be seen."""
    await home.command("capabilities.set", {"name": "autonomy", "enabled": False})
    assert await home.refusal("goals.add", {"title": "Print more"}) == "capability_off"
    assert (await home.command("goals.list"))["items"] == []


async def test_over_rest_a_task_that_goes_on_is_accepted(home: Home, rest: Rest) -> None:
    """And a goal is just made."""
    made = await rest.act("goals.add", {"title": "Print more"})
    assert (made.status, made.data["status"]) == (200, "identified")
    started = await rest.act("schedule.run", {"name": "daily_health_check"})
    assert started.status == 202

    async def over() -> Json | None:
        found: Json = await home.command("work.get", {"work_id": started.data["work_id"]})
        return found if found["status"] == "completed" else None

    assert (await eventually(over))["result"]["verdict"] in {"ok", "degraded"}


@pytest.fixture
async def ended(tmp_path: Path) -> Path:
    """Give the folder of a brain that ended while a task waited."""
    async with running(tmp_path) as first, at_home(first) as home:
        await agreed(home)
        await task(home, "waiting")
    return tmp_path


async def test_the_next_life_goes_on_where_the_last_one_ended(ended: Path) -> None:
    """The task still waits, and nobody is told twice."""
    async with running(ended, life=2) as brain, at_home(brain) as home:
        waiting = await task(home, "waiting")
        found = (await home.command("notifications.list", {}, caller=ADA))["items"]
        assert len(found) == 1
        snapshot = await snapshot_of(brain)
        assert [one["tasks"][-1]["id"] for one in snapshot["projects"]] == [waiting["id"]]
        assert [one["status"] for one in snapshot["goals"]] == ["active"]


async def snapshot_of(brain: Brain) -> Json:
    """Return what a new subscriber is told."""
    found: Json = await brain.snapshot()
    return found
