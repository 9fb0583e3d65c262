"""A month of a workshop: of nearly every print it is known how it ended, though the brain stops now and then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
import random
import time
from types import SimpleNamespace
from typing import Any, Final

import pytest
from sqlalchemy import func, select

from brain_server.app import Brain
from brain_server.commands import Caller, Scope
from brain_server.fabrication.outcomes import Outcomes
from brain_server.fabrication.reviews import Put, Reviews
from brain_server.storage.tables import jobs
from tests.brain.fabrication.prints import HOUR, STATE
from tests.brain.gatehouse import Clock
from tests.brain.home import puppets, running, until

DAYS: Final = 30
PRINTERS: Final = ("a", "b", "c")
ENDS: Final = {"completed": 80, "failed": 12, "aborted": 8}
ADA: Final = Caller(token="home", scope=Scope.CONTROL, user_id="ada")


class Month:
    """Three printers, of which each prints twice a day, and people who answer most questions."""

    def __init__(self, folder: Path) -> None:
        """Start on the first day."""
        self.folder = folder
        self.draw = random.Random(11)
        self.clock = Clock(time.time())
        self.life = 0
        self.printed = 0
        # What prints now: the printer, the file and the run.
        self.begun: list[tuple[str, str, str]] = []

    @asynccontextmanager
    async def brain(self) -> AsyncIterator[Brain]:
        """Run a brain until it is stopped."""
        self.life += 1
        async with running(self.folder, self.clock, life=self.life) as made:
            if self.life == 1:
                for name in PRINTERS:
                    await made.registry.put("puppet", {"external_id": name, "kind": "printer"})
            self.reviews = Reviews(
                made.brain_db, made.bus, made.tasks, self.folder / "evidence", self.clock
            )
            self.outcomes = Outcomes(made.brain_db, made.bus, self.clock)
            stage = puppets().Puppet.on_stage
            await until(lambda: set(stage) >= set(PRINTERS), "the printers")
            yield made

    async def show(self, brain: Brain, name: str, *state: Any) -> None:
        """Let a printer show something, and wait until the jobs followed."""
        puppets().Puppet.on_stage[name].show(**STATE(*state))
        await until(
            lambda: not [one for one in brain.tasks._tasks if "job " in one.get_name()],
            "the jobs",
        )

    async def begin(self, brain: Brain) -> None:
        """Begin a print on every printer."""
        self.clock.advance(3 * HOUR)
        for name in PRINTERS:
            self.printed += 1
            file, run = f"{self.printed}.gcode", f"run-{self.printed}"
            await self.show(brain, name, "printing", file, run)
            self.begun.append((name, file, run))
        self.clock.advance(2 * HOUR)

    async def end(self, brain: Brain, *, gone: bool = False) -> None:
        """End them; ``gone``: the brain was away, and some printers show nothing of it any more."""
        while self.begun:
            name, file, run = self.begun.pop()
            (end,) = self.draw.choices(list(ENDS), list(ENDS.values()))
            if not (gone and self.draw.random() < 0.4):
                await self.show(brain, name, end, file, run)
            await self.show(brain, name, "idle")

    async def answer(self) -> None:
        """Say a word of two in three prints that wait."""
        for one in await self.reviews.waiting():
            if self.draw.random() < 2 / 3:
                await self.reviews.put(ADA, Put(job_id=one["job_id"], good=True))

    async def known(self, brain: Brain) -> tuple[int, int]:
        """Return how many prints there are, and of how many the end is known."""
        stopped = select(func.count()).where(jobs.c.status == "aborted")
        every = select(func.count()).select_from(jobs)
        count, stops = [
            await brain.brain_db.read(lambda connection, query=query: connection.scalar(query))
            for query in (every, stopped)
        ]
        return count, stops + len(await self.outcomes.all())


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_of_a_months_prints_nearly_every_end_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ninety-five of a hundred at least, with a brain that stops during every tenth print."""
    month = Month(tmp_path)
    monkeypatch.setattr("brain_server.fabrication.jobs.time", SimpleNamespace(time=month.clock))
    for _ in range(DAYS // 5):
        async with month.brain() as brain:
            await month.end(brain, gone=True)
            for _ in range(9):
                await month.begin(brain)
                await month.end(brain)
                await month.answer()
            await month.begin(brain)
            count, known = await month.known(brain)
    assert count == month.printed
    assert known >= 0.95 * (count - len(month.begun))
