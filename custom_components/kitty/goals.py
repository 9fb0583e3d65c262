"""What the snapshot says of goals: what people are to decide, what is being done, what waits for their hands."""

from typing import Final

from .coordinator import Snapshot
from .protocol import Json

LONGEST_RESULT: Final = 2_000


def to_decide(snapshot: Snapshot) -> list[Json]:
    """Return the goals that wait for a person's yes or no, the most important first."""
    waiting = [row for row in snapshot.goals.values() if row["status"] == "identified"]
    return sorted(waiting, key=lambda row: (-int(row["priority"]), str(row["id"])))


def to_do(snapshot: Snapshot) -> list[tuple[Json, Json]]:
    """Return the tasks that wait until a person has done something, each with its project."""
    return [
        (project, task)
        for project in snapshot.projects.values()
        for task in project["tasks"]
        if task["status"] == "waiting" and task["kind"] == "remind"
    ]


def found_before(project: Json, task: Json) -> list[str]:
    """Return what came of the tasks that this one builds on, in their order."""
    return [
        str(one["result"])[:LONGEST_RESULT]
        for one in project["tasks"]
        if one["position"] in task["needs"] and one["result"]
    ]
