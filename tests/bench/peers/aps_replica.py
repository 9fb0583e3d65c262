"""APScheduler 3 with its SQLAlchemy job store: one of several processes that share the work of ``jobs``.

Its authors say that a job store must not be shared. Set up in its favour: the jobs are added once, none is ever
too late to run, none is left out, each knows the time for which it runs, and a job that another has removed is no
error. Runs in the peers' environment.
"""

from contextlib import suppress
from datetime import UTC, datetime
import json
import sys
import threading
import time
from typing import Any

from apscheduler.executors.base import run_job  # type: ignore[import-not-found]  # only in the environment of the peers
from apscheduler.executors.pool import ThreadPoolExecutor  # type: ignore[import-not-found]  # only in the environment of the peers
from apscheduler.jobstores.base import JobLookupError  # type: ignore[import-not-found]  # only in the environment of the peers
from apscheduler.jobstores.sqlalchemy import (  # type: ignore[import-not-found]  # only in the environment of the peers
    SQLAlchemyJobStore,
)
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-not-found]  # only in the environment of the peers
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-not-found]  # only in the environment of the peers
from outside import EFFECT, call, engine, say, take_time  # type: ignore[import-not-found]  # only in the environment of the peers

GIVEN: dict[str, Any] = json.loads(sys.argv[1])
ENGINE: Any = engine(GIVEN["url"])
THIS = threading.local()


def run_at(run_times: list[datetime], *words: Any) -> Any:
    """Run a job, one time after the other, so that it knows which."""
    events = []
    for moment in run_times:
        THIS.due = moment
        events += run_job(words[0], words[1], [moment], words[2])
    return events


class Executor(ThreadPoolExecutor):  # type: ignore[misc]  # its package is not installed here
    """The executor of threads, whose jobs know the time for which they run."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        words = (job, job._jobstore_alias, self._logger.name)
        future = self._pool.submit(run_at, run_times, *words)
        future.add_done_callback(lambda one: self._run_job_success(job.id, one.result()))


class Scheduler(BackgroundScheduler):  # type: ignore[misc]  # its package is not installed here
    """The scheduler in a thread, which does not break when another has removed a job before it."""

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Remove a job, if it is still there."""
        with suppress(JobLookupError):
            super().remove_job(job_id, jobstore)


def work(name: str, *, is_tick: bool) -> None:
    """Take some time, do something outside and something in the database."""
    name = f"{name}@{THIS.due.timestamp():.0f}" if is_tick else name
    say("begin", name)
    take_time(GIVEN["takes"])
    call(GIVEN["port"], name)
    with ENGINE.begin() as connection:
        connection.execute(EFFECT, {"name": name})
    say("done", name)


def main() -> None:
    """Lay out the work and end, or do it until this process is ended."""
    store = SQLAlchemyJobStore(engine=ENGINE)
    always = {"coalesce": False, "misfire_grace_time": None, "max_instances": 1000}
    scheduler = Scheduler(
        jobstores={"default": store},
        executors={"default": Executor(16)},
        job_defaults=always,
        jobstore_retry_interval=1,
        timezone=UTC,
    )
    if GIVEN["role"] == "serve":
        scheduler.start()
        say("ready")
        threading.Event().wait()
    scheduler.start(paused=True)
    epoch = datetime.fromtimestamp(0, UTC)
    for name, timing in GIVEN["schedules"].items():
        trigger = IntervalTrigger(seconds=seconds(timing), start_date=epoch, timezone=UTC)
        scheduler.add_job(work, trigger, [name], {"is_tick": True}, id=name)
    now, step = time.time(), GIVEN["spread"] / max(GIVEN["tasks"], 1)
    for number in range(GIVEN["tasks"]):
        due = datetime.fromtimestamp(now + number * step, UTC)
        name = f"task-{number}"
        scheduler.add_job(work, "date", [name], {"is_tick": False}, run_date=due, id=name)
    scheduler.shutdown()


def seconds(timing: str) -> int:
    """Read a timing of the form ``every 20s``."""
    count = timing.removeprefix("every ")
    return int(count[:-1]) * {"s": 1, "h": 3600}[count[-1]]


if __name__ == "__main__":
    main()
