"""Sensors of goals: what people are to decide, what is being done about it, what is looked up on the web."""

from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.core import callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import Snapshot
from .goals import to_decide
from .protocol import Json
from .workshop_sensor import HouseDescription, HouseSensor, moment

if TYPE_CHECKING:
    from . import KittyConfigEntry

RESEARCHING: Final = ("none", "pending", "running")
_LONGEST_REASON: Final = 500


def _goals(snapshot: Snapshot) -> dict[str, Any]:
    """Return what is to be decided, and why somebody might agree."""
    return {
        "items": [
            {
                "goal_id": row["id"],
                "title": row["title"],
                "reason": row["reason"][:_LONGEST_REASON],
                "origin": row["origin"],
                "metric": row["metric"],
                "priority": row["priority"],
                "research_id": row["research_id"],
                "since": moment(row["created_at"]),
            }
            for row in to_decide(snapshot)
        ]
    }


def _projects(snapshot: Snapshot) -> dict[str, Any]:
    """Return how far each project is, and what it spends."""
    return {"items": [_project(row) for row in snapshot.projects.values()]}


def _project(row: Json) -> Json:
    done = sum(task["status"] == "completed" for task in row["tasks"])
    return {
        "project_id": row["id"],
        "title": row["title"],
        # Until it has a plan, nothing of it is done.
        "progress": round(100 * done / len(row["tasks"])) if row["tasks"] else 0,
        "budget": row["budget"],
        "spent": row["spent"],
        "tasks": [
            {"task_id": task["id"], **{name: task[name] for name in ("title", "kind", "status")}}
            for task in row["tasks"]
        ],
    }


def _research(snapshot: Snapshot) -> str:
    found = {row["status"] for row in snapshot.researches.values()}
    return next((status for status in ("running", "pending") if status in found), "none")


def _researches(snapshot: Snapshot) -> dict[str, Any]:
    """Return how far each research is; what a person asked is told to that person only."""
    return {
        "items": [
            {
                "research_id": row["id"],
                "question": row["question"] if row["requested_by"] is None else None,
                "status": row["status"],
                "steps_done": sum(step["status"] == "completed" for step in row["steps"]),
                "steps": len(row["steps"]),
                "budget": row["budget"],
                "cost": row["cost"],
                "since": moment(row["created_at"]),
            }
            for row in snapshot.researches.values()
        ]
    }


GOALS: Final = (
    HouseDescription(
        key="goals_to_decide",
        translation_key="goals_to_decide",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda snapshot: len(to_decide(snapshot)),
        attributes_fn=_goals,
    ),
    HouseDescription(
        key="projects",
        translation_key="projects",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda snapshot: len(snapshot.projects),
        attributes_fn=_projects,
    ),
    HouseDescription(
        key="research",
        translation_key="research",
        device_class=SensorDeviceClass.ENUM,
        options=list(RESEARCHING),
        value_fn=_research,
        attributes_fn=_researches,
    ),
)


@callback
def async_add_goal_sensors(
    entry: KittyConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensors of goals, projects and research."""
    coordinator = entry.runtime_data.coordinator
    async_add_entities(HouseSensor(coordinator, description) for description in GOALS)
