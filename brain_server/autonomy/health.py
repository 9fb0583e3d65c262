"""The daily look at the whole house: a verdict, what is wrong, and one word to people about each thing."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from brain_server.devices.live import Live
from brain_server.notify import put
from brain_server.protocol import Json, OnlineState
from brain_server.schedule import Run
from brain_server.storage import Database
from brain_server.storage.tables import work

# Without these the house is down, not only unwell.
VITAL: Final = frozenset({"safety_database", "brain_database"})
# A part of the process that says what this check says better.
_TOLD_APART: Final = frozenset({"schedule"})
# A little less than a day: the check of tomorrow may be a few seconds earlier than today's.
AGAIN: Final = 23 * 3600.0

type Parts = Callable[[], Awaitable[Sequence[Json]]]


class DailyHealth:
    """Looks at every part, the drivers, the work that was given up, the schedule and the money."""

    def __init__(
        self,
        database: Database,
        *,
        parts: Parts,
        devices: Callable[[], Sequence[Live]],
        jobs: Parts,
        budget: Callable[[], Awaitable[Json]],
        clock: Callable[[], float],
    ) -> None:
        """Take what tells of each: the health of the parts, the devices, the jobs, what was spent."""
        self._db = database
        self._parts = parts
        self._devices = devices
        self._jobs = jobs
        self._budget = budget
        self._clock = clock

    async def run(self, run: Run) -> Json:
        """Return ``{"verdict": ok, degraded or down, "problems": [{"key", "text"}]}`` and tell of each problem."""
        parts = await self._parts()
        problems = [
            *_of_parts(parts),
            *_of_devices(self._devices()),
            *_of_jobs(await self._jobs()),
            *await self._db.read(_of_dead),
            *_of_money(await self._budget()),
        ]
        is_down = any(part["name"] in VITAL and not part["ok"] for part in parts)
        verdict = "down" if is_down else "degraded" if problems else "ok"

        def tell(connection: Connection) -> None:
            for problem in problems:
                put(
                    connection,
                    self._clock(),
                    key=f"health:{problem['key']}",
                    severity="critical" if is_down else "warning",
                    title="KITTY's daily check",
                    message=problem["text"],
                    cooldown=AGAIN,
                )

        await run.write(tell)
        return {"verdict": verdict, "problems": problems}


def _problem(key: str, text: str) -> Json:
    return {"key": key[:100], "text": text[:300]}


def _of_parts(parts: Sequence[Json]) -> Iterator[Json]:
    for part in parts:
        if not part["ok"] and part["name"] not in _TOLD_APART:
            yield _problem(f"part:{part['name']}", f"{part['name']}: {part['detail']}")


def _of_devices(lives: Sequence[Live]) -> Iterator[Json]:
    """Yield the devices whose driver has broken or is gone; one that is only away may be switched off."""
    for live in lives:
        if live.observed.online is OnlineState.FAULT:
            reason = (live.observed.reason or "fault").replace("_", " ")
            yield _problem(f"device:{live.record.id}", f"{live.record.name}: {reason}")


def _of_jobs(jobs: Sequence[Json]) -> Iterator[Json]:
    for job in jobs:
        if job["overdue"]:
            yield _problem(f"overdue:{job['name']}", f"{job['name']} did not run when it should")


def _of_dead(connection: Connection) -> list[Json]:
    """Return what was given up, by its kind."""
    query = (
        select(work.c.kind, func.count())
        .where(work.c.status == "dead")
        .group_by(work.c.kind)
        .order_by(work.c.kind)
    )
    return [
        _problem(f"dead:{kind}", f"{count} of {kind} given up; it can be tried again")
        for kind, count in connection.execute(query)
    ]


def _of_money(budget: Json) -> Iterator[Json]:
    """Yield the caps that are reached; a cap of nothing is somebody's wish."""
    for period in ("day", "month"):
        spent, cap = budget[period]["spent"], budget[period]["cap"]
        if cap > 0 and spent >= cap:
            yield _problem(f"budget:{period}", f"The budget of this {period} is spent")
