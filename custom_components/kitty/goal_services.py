"""Actions on goals, projects, tasks and research: what people would like, decide, and want to know."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
import probatio as vol

from .actions import (
    ENTRY,
    ONLY,
    Action,
    answer,
    brain_entry,
    device_of,
    given,
    hands_on,
    one_device,
    tell,
)
from .rights import every_item, require_own

METRICS: Final = (
    "cost_per_print",
    "estimate_error",
    "filament_waste",
    "incidents_per_week",
    "print_success",
    "quality",
)
_GOAL_STATES: Final = ("identified", "approved", "rejected", "active", "completed", "failed")
_PROJECT_STATES: Final = ("active", "completed", "failed", "cancelled")
_MONEY: Final = vol.All(vol.Coerce(float), vol.Range(min=0, max=1_000_000))
_ID: Final = vol.All(cv.string, vol.Length(min=1, max=32))


def _text(least: int, most: int) -> Any:
    return vol.All(cv.string, vol.Length(min=least, max=most))


async def _add_goal(call: ServiceCall) -> ServiceResponse:
    """Say what could be better; about a printer, where one is named."""
    entry = brain_entry(call)
    goal = given(call, "title", "reason", "metric", "priority", "material")
    if ATTR_DEVICE_ID in call.data:
        target = device_of(call)
        entry, goal["device_id"] = target.entry, target.device_id
    return await tell(call, entry, "goals.add", goal)


def _all_of(action: str) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action that tells a list as a whole, or what has one status."""

    async def run(call: ServiceCall) -> ServiceResponse:
        found: list[Any] = await every_item(call, brain_entry(call), action, given(call, "status"))
        return {"items": found}

    return run


async def _cancel_project(call: ServiceCall) -> ServiceResponse:
    """Cancel a project: whoever said yes to its goal, and who may end what others wanted."""
    entry, about = brain_entry(call), given(call, "project_id")
    project = await tell(call, entry, "projects.get", about)
    goals = {goal["id"]: goal for goal in await every_item(call, entry, "goals.list")}
    await require_own(call, entry, goals[project["goal_id"]]["decided_by"])
    return await tell(call, entry, "projects.cancel", about)


async def _start_research(call: ServiceCall) -> ServiceResponse:
    """Begin a research, and say by what it is known."""
    begun = await tell(call, brain_entry(call), "research.start", given(call, "question", "budget"))
    return {"research_id": begun["id"], "status": begun["status"]}


_every_research: Final = _all_of("research.list")


async def _get_research(call: ServiceCall) -> ServiceResponse:
    """Return one research with its report, or what there is, without reports."""
    if "research_id" in call.data:
        return await answer(call, "research.get", given(call, "research_id"))
    return await _every_research(call)


ACTIONS: Final = (
    Action(
        name="add_goal",
        run=_add_goal,
        schema={
            **ENTRY,
            vol.Required("title"): _text(3, 200),
            vol.Optional("reason"): _text(0, 2000),
            vol.Optional("metric"): vol.In(METRICS),
            vol.Optional("priority"): vol.All(vol.Coerce(int), vol.Range(min=1, max=10)),
            vol.Optional(ATTR_DEVICE_ID): one_device,
            vol.Optional("material"): _text(1, 32),
        },
    ),
    Action(
        name="decide_goal",
        run=hands_on("goals.decide", "goal_id", "approve", "budget"),
        schema={
            **ENTRY,
            vol.Required("goal_id"): _ID,
            vol.Required("approve"): cv.boolean,
            vol.Optional("budget"): _MONEY,
        },
    ),
    Action(
        name="get_goals",
        run=_all_of("goals.list"),
        schema={**ENTRY, vol.Optional("status"): vol.In(_GOAL_STATES)},
        response=ONLY,
    ),
    Action(
        name="get_projects",
        run=_all_of("projects.list"),
        schema={**ENTRY, vol.Optional("status"): vol.In(_PROJECT_STATES)},
        response=ONLY,
    ),
    Action(name="get_outcomes", run=_all_of("outcomes.list"), schema=ENTRY, response=ONLY),
    Action(
        name="cancel_project",
        run=_cancel_project,
        schema={**ENTRY, vol.Required("project_id"): _ID},
    ),
    Action(
        name="answer_task",
        run=hands_on("tasks.answer", "task_id", "done", "note"),
        schema={
            **ENTRY,
            vol.Required("task_id"): _ID,
            vol.Required("done"): cv.boolean,
            vol.Optional("note"): _text(0, 1000),
        },
    ),
    Action(
        name="start_research",
        run=_start_research,
        schema={
            **ENTRY,
            vol.Required("question"): _text(3, 2000),
            vol.Optional("budget"): _MONEY,
        },
    ),
    Action(
        name="get_research",
        run=_get_research,
        schema={**ENTRY, vol.Optional("research_id"): _ID},
        response=ONLY,
    ),
    Action(
        name="cancel_research",
        run=hands_on("research.cancel", "research_id"),
        schema={**ENTRY, vol.Required("research_id"): _ID},
    ),
)
