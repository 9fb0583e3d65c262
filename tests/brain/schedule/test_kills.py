"""Two brains that share a database and are killed, stopped and continued: each piece takes effect once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import signal

import pytest

from tests.bench.jobs import Trial, Wish
from tests.bench.jobs_world import KITTY, Replica, Store, World
from tests.brain.conftest import ENGINES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What must never be, whatever happens.
NEVER = ("missed", "doubled", "lost", "doubled_effects")


@asynccontextmanager
async def trial(kind: str, wish: Wish) -> AsyncIterator[Trial]:
    """Give two brains in processes of their own, and let none of them outlive the test."""
    with Store(kind) as store:
        async with World() as world:
            made = Trial(KITTY, store, world, wish)
            try:
                yield made
            finally:
                await made.each(Replica.kill)


@pytest.mark.parametrize("kind", ENGINES)
async def test_nothing_is_missed_lost_or_doubled_while_two_brains_are_hit(kind: str) -> None:
    """Kills at any moment and at named points, pauses longer than a lease, and a database that restarts."""
    wish = Wish(seconds=11, tasks=300, periods=((10, 20),), seed=5)
    async with trial(kind, wish) as made:
        found = await made.suffer()
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0), found
    assert (found["tasks"], found["never_recovered"]) == (300, 0)
    assert found["fired"] >= 20
    assert sum(found["faults"].values()) >= 2


@pytest.mark.parametrize("kind", ENGINES)
async def test_a_brain_that_was_stopped_for_longer_than_its_lease_does_nothing_twice(
    kind: str,
) -> None:
    """The other one has done its work by then; what the first still wanted to write is refused."""
    wish = Wish(lease=1.0)
    async with trial(kind, wish) as made:
        await made.lay_out(1, spread=0, takes=(0.8, 0.8), schedules={})
        first, second = made.replicas
        await first.start()
        await made.evidence.begun()
        first.signal(signal.SIGSTOP)
        await second.start()
        await made.evidence.reached(1)
        first.signal(signal.SIGCONT)
        await asyncio.sleep(2)  # time for what must not happen
        effects, ends = made.store.effects(), made.store.ask("SELECT outcome FROM work_tries")
    assert effects == {"task-0": 1}
    assert sorted(ends) == [("completed",), ("lost",)]
