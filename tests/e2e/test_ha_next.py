"""The next release of Home Assistant: the same job, and no word of anything that will stop working."""

import asyncio
from typing import Any, Final

from homeassistant.const import __version__ as this_release
import pytest

from script.house import config, mind
from script.house.check import STEPS, home_assistant_has_no_complaint, the_cabinet_has_expired
from script.house.house import ROOT, House
from script.house.model import Model
from script.house.visit import Step, Visit

READY: Final = "input_boolean.ceiling_lamp_lit"
WORKSHOP: Final = {"area_id": "workshop"}
# Waits for a request, and tells of it only if it is pending then.
WATCH: Final[list[dict[str, Any]]] = [
    {"action": "input_boolean.turn_on", "target": {"entity_id": READY}},
    {
        "wait_for_trigger": {"trigger": "kitty.approval_requested", "target": WORKSHOP},
        "timeout": 20,
        "continue_on_timeout": False,
    },
    {"condition": "kitty.is_approval_pending", "target": WORKSHOP},
    {"stop": "It is pending", "response_variable": "wait"},
]

# Runs in the environment of the next release, with its own words for what a blueprint is.
TAKES: Final = """
import sys
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA as SCHEMA
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.util.yaml import load_yaml_dict
for path in sys.argv[1:]:
    found = load_yaml_dict(path)
    taken = Blueprint(found, path=path, expected_domain="automation", schema=SCHEMA)
    print(taken.validate())
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Waiting a minute for something to expire would tell nothing new.
QUICK = [step for step in STEPS if step is not the_cabinet_has_expired]


async def test_it_is_another_release(house_of_next_release: House) -> None:
    """What runs is not the release that the other tests run in."""
    found = await house_of_next_release.demo.rest("GET", "config")
    assert found["version"] > this_release


@pytest.mark.parametrize("step", [pytest.param(step, id=step.__name__) for step in QUICK])
async def test_the_house_holds(step: Step, visit_of_next_release: Visit) -> None:
    """What the step says holds here, too."""
    assert await step(visit_of_next_release)


async def test_our_triggers_and_conditions_work_there(visit_of_next_release: Visit) -> None:
    """Anna asks for the door; what Demo has written hears of it, and sees that it is pending."""
    demo, anna = visit_of_next_release.demo, visit_of_next_release.house.anna
    await demo.call("input_boolean.turn_off", READY)
    await anna.until(lambda: anna.state(READY) == "off", "The script has not begun")
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(demo.ws("execute_script", sequence=WATCH))
        await anna.until(lambda: anna.state(READY) == "on", "The script waits")
        await anna.call("lock.unlock", config.DOOR)
    trigger = watching.result()["response"]["trigger"]
    await anna.ask("kitty.withdraw", event_id=trigger["event_id"])
    assert await home_assistant_has_no_complaint(visit_of_next_release)
    heard = {name: trigger[name] for name in ("platform", "intent", "requested_by")}
    assert heard == {
        "platform": "kitty.approval_requested",
        "intent": "unlock",
        "requested_by": "Anna",
    }


async def test_it_takes_our_blueprints(house_of_next_release: House) -> None:
    """All of them, and none is for another release."""
    environment = house_of_next_release.environment
    assert environment is not None
    blueprints = sorted(map(str, (ROOT / "blueprints").rglob("*.yaml")))
    process = await asyncio.create_subprocess_exec(
        environment / "bin" / "python", "-c", TAKES, *blueprints, stdout=asyncio.subprocess.PIPE
    )
    answers, _ = await process.communicate()
    assert answers.decode().split() == ["None"] * len(blueprints)


async def test_its_questions_with_given_answers_are_answered(visit_of_next_release: Visit) -> None:
    """Only this release asks them; the stand-in is as sure of the first answer as one can be."""
    visit = visit_of_next_release
    visit.model = await Model().start()
    await mind.add_model(visit)
    asked = {
        "task_name": "Parcel",
        "entity_id": "ai_task.kitty_tasks",
        "state": "It leans at the shed.",
        "questions": {
            "here": {"type": "noul", "instructions": "Has the parcel come?"},
            "where": {
                "type": "choice",
                "instructions": "Where does it lie?",
                "criteria": {"shed": "At the shed", "door": "At the front door"},
            },
            "wet": {
                "type": "score",
                "instructions": "How wet is it?",
                "criteria": ["dry", "damp", "wet"],
            },
        },
    }
    try:
        response = await visit.demo.ask("ai_task.evaluate", **asked)
    finally:
        await mind.remove_model(visit)
        await visit.model.stop()
    assert response["answers"] == {
        "here": {"type": "noul", "noul": 1.0},
        "where": {"type": "choice", "choice": "shed", "probabilities": {"shed": 1.0, "door": 0.0}},
        "wet": {"type": "score", "score": 0.0, "probabilities": [1.0, 0.0, 0.0]},
    }
    assert await home_assistant_has_no_complaint(visit)


async def test_kitty_unloads_and_comes_back(visit_of_next_release: Visit) -> None:
    """Switched off in the settings, its entities are gone; switched on, they work again."""
    visit = visit_of_next_release
    entry_id = visit.house.entry_id
    await visit.demo.ws("config_entries/disable", entry_id=entry_id, disabled_by="user")
    gone = {None, "unavailable"}
    await visit.demo.until(lambda: visit.demo.state(config.DOOR) in gone, "The door is gone")
    await visit.demo.ws("config_entries/disable", entry_id=entry_id, disabled_by=None)
    await visit.house.kitty_ready()
    answer = await visit.demo.say("is the workshop door locked?")
    assert "locked" in answer.text
    assert await home_assistant_has_no_complaint(visit)
