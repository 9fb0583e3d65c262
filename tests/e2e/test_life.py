"""The life of an entry in a real Home Assistant: looked into, reloaded, switched off, changed, removed."""

import pytest

from script.house import config
from script.house.check import home_assistant_has_no_complaint
from script.house.house import House
from script.house.people import Refused
from script.house.phones import button
from script.house.visit import Visit
from script.house.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_diagnostics_show_no_secret(house: House) -> None:
    """What a person attaches to a bug report holds neither the token nor anybody's name."""
    found = await house.demo.rest("GET", f"diagnostics/config_entry/{house.entry_id}")
    text = str(found["data"])
    assert house.brain_token not in text
    assert config.ANNA.name not in text


async def test_reloading_brings_everything_back(house: House) -> None:
    """After a reload all devices are there, and the brain still talks."""
    await house.demo.rest("POST", f"config/config_entries/entry/{house.entry_id}/reload")
    await house.kitty_ready()
    answer = await house.demo.say("is the workshop door locked?")
    assert "locked" in answer.text


async def test_switched_off_it_is_gone_and_switched_on_it_is_back(house: House) -> None:
    """Disabled in the settings, its entities are gone; enabled, they work again."""
    demo = house.demo
    await demo.ws("config_entries/disable", entry_id=house.entry_id, disabled_by="user")
    gone = {None, "unavailable"}
    await demo.until(lambda: demo.state(config.DOOR) in gone, "The door is gone")
    await demo.ws("config_entries/disable", entry_id=house.entry_id, disabled_by=None)
    await house.kitty_ready()


async def test_a_person_without_a_role_any_more_is_not_asked(visit: Visit, house: House) -> None:
    """Taken off the list in the options, Anna is not asked; back on it, she is."""
    mark = visit.set_mark()
    anna = {"user_id": house.anna.user_id}
    gone = ({"next_step_id": "person"}, anna, {"roles": ["operator"], "remove": True})
    await house.demo.flow("options/", house.entry_id, *gone)
    await until(lambda: _knows(house, people=1), "The brain knows of it", PATIENCE_S)
    with pytest.raises(Refused, match="no_approver"):
        await house.demo.call("switch.turn_on", config.LASER)
    assert visit.prompts() == mark.prompts
    back = ({"next_step_id": "person"}, anna, {"roles": ["operator", "safety"]})
    await house.demo.flow("options/", house.entry_id, *back)
    await until(lambda: _knows(house, people=2), "The brain knows of it", PATIENCE_S)
    await house.demo.call("switch.turn_on", config.LASER)
    prompt = await visit.annas_phone.prompt("Laser")
    await visit.annas_phone.press(button(prompt, "Deny"))


async def _knows(house: House, *, people: int) -> bool:
    """Tell whether the brain knows so many people who may act."""
    url = f"{house.brain_url}/api/v1/safety.users"
    headers = {"Authorization": f"Bearer {house.brain_token}"}
    async with house.session.get(url, headers=headers) as response:
        users = (await response.json())["data"]["items"]
    return len([one for one in users if one["active"]]) == people


async def test_nothing_was_complained_about(visit: Visit) -> None:
    """All of this left no error of KITTY in the log."""
    assert await home_assistant_has_no_complaint(visit)
