"""The main job in a real Home Assistant with a real brain, step by step; each builds on those before."""

import pytest

from script.house.check import STEPS, the_cabinet_has_expired
from script.house.visit import Step, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _parameter(step: Step) -> object:
    marks = [pytest.mark.slow] if step is the_cabinet_has_expired else []
    return pytest.param(step, id=step.__name__, marks=marks)


@pytest.mark.parametrize("step", [_parameter(step) for step in STEPS])
async def test_the_house_holds(step: Step, visit: Visit) -> None:
    """What the step says holds; it raises with what was found instead."""
    assert await step(visit)
