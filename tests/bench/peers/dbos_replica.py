"""DBOS: one of several processes that share the work of ``jobs``. Runs in the peers' environment.

Set up in its favour: each process has an id of its own that outlives it, all have one version, and times that
were slept through are made up for.
"""

from datetime import datetime
import json
import sys
import threading
import time
from typing import Any

from dbos import (  # type: ignore[import-not-found]  # only in the environment of the peers
    DBOS,
    SetEnqueueOptions,
    SetWorkflowID,
    SQLAlchemyDatasource,
)
from outside import EFFECT, call, say, take_time  # type: ignore[import-not-found]  # only in the environment of the peers

GIVEN: dict[str, Any] = json.loads(sys.argv[1])
CRONS = {"every 20s": "*/20 * * * * *", "every 30s": "*/30 * * * * *", "every 24h": "0 0 0 * * *"}

DBOS(
    config={
        "name": "bench",
        "system_database_url": GIVEN["system_url"],
        "executor_id": GIVEN["name"],
        "application_version": "1",
        "log_level": "ERROR",
        "scheduler_polling_interval_sec": 1.0,
    }
)
SOURCE = SQLAlchemyDatasource.create(database_url=GIVEN["url"])


@DBOS.step()  # type: ignore[untyped-decorator]  # its package is not installed here
def outside(name: str) -> int:
    """Do something to the world outside."""
    status: int = call(GIVEN["port"], name)
    return status


@SOURCE.transaction()  # type: ignore[untyped-decorator]  # its package is not installed here
def inside(name: str) -> None:
    """Do something in the database."""
    SOURCE.sql_session().execute(EFFECT, {"name": name})


def work(name: str) -> None:
    """Take some time, do something outside and something in the database."""
    say("begin", name)
    take_time(GIVEN["takes"])
    outside(name)
    inside(name)
    say("done", name)


@DBOS.workflow()  # type: ignore[untyped-decorator]  # its package is not installed here
def task(name: str) -> None:
    """Do a task."""
    work(name)


@DBOS.workflow()  # type: ignore[untyped-decorator]  # its package is not installed here
def tick(due: datetime, name: str) -> None:
    """Do what comes again."""
    work(f"{name}@{due.timestamp():.0f}")


def fill() -> None:
    """Lay out the work."""
    for name, timing in GIVEN["schedules"].items():
        DBOS.create_schedule(
            schedule_name=name,
            workflow_fn=tick,
            schedule=CRONS[timing],
            context=name,
            automatic_backfill=True,
            queue_name="work",
        )
    started, step = time.time(), GIVEN["spread"] / max(GIVEN["tasks"], 1)
    for number in range(GIVEN["tasks"]):
        name = f"task-{number}"
        delay = max(0.0, started + number * step - time.time())
        with SetWorkflowID(name), SetEnqueueOptions(delay_seconds=delay or None):
            DBOS.enqueue_workflow("work", task, name)


def main() -> None:
    """Lay out the work and end, or do it until this process is ended."""
    filling = GIVEN["role"] == "fill"
    if filling:
        DBOS.listen_queues([])
    DBOS.launch()
    DBOS.register_queue("work", worker_concurrency=16, polling_interval_sec=0.2)
    if filling:
        fill()
        DBOS.destroy()
        return
    say("ready")
    threading.Event().wait()


if __name__ == "__main__":
    main()
