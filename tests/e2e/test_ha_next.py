"""The next release of Home Assistant: the same job, and no word of anything that will stop working."""

from homeassistant.const import __version__ as this_release
import pytest

from script.house import config
from script.house.check import STEPS, home_assistant_has_no_complaint, the_cabinet_has_expired
from script.house.house import House
from script.house.visit import Step, Visit

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
