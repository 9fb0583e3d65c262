"""The queue while it, or printing, is switched off: nothing begins, and what runs is seen to its end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from brain_server.errors import Unavailable
from brain_server.protocol import Json
from tests.brain.fabrication.shop import A, Shop, codes, ended, shop as open_shop


class Off:
    """Switches of which these are off."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def is_on(self, name: str) -> bool:
        return name not in self.names

    def require(self, name: str) -> None:
        if name in self.names:
            raise Unavailable("capability_off", f"{name} is switched off", because=name)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Give a queue with a printer that is ready."""
    async with open_shop(tmp_path) as made:
        await made.printer()
        yield made


async def test_while_the_queue_is_off_nothing_begins(shop: Shop) -> None:
    """Nothing is planned either; switched on again it goes on where it was."""
    row = await shop.add()
    shop.devices.switches = Off("queue")
    await shop.turn()
    assert ((await shop.item(row))["status"], shop.uploads, shop.planner.asked) == (
        "queued",
        [],
        [],
    )
    shop.devices.switches = Off()
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_while_the_queue_is_off_what_prints_is_followed_to_its_end(shop: Shop) -> None:
    """Switching something off ends no print."""
    row = await shop.printing()
    shop.devices.switches = Off("queue")
    over = await ended(shop, row, "completed")
    assert over["status"] == "completed"


async def test_a_start_is_not_asked_for_once_the_queue_is_off(shop: Shop) -> None:
    """Also not when its file was on the way; it waits for its turn again."""
    switches = Off()
    shop.devices.switches = switches
    real = shop.starts._bring

    async def slow(caller: Any, artifact_id: str, device_id: str) -> str:
        file = await real(caller, artifact_id, device_id)
        switches.names.add("queue")
        return file

    shop.starts._bring = slow
    row = await shop.add()
    await shop.turn()
    assert await shop.waiting() == []
    item = await shop.item(row)
    assert (item["status"], codes(item)[-1], item["command_id"]) == ("queued", "start_failed", None)


async def test_a_start_that_printing_refuses_waits_for_its_turn_again(shop: Shop) -> None:
    """The bed is as clear as before."""
    shop.devices.switches = Off("prints")
    row = await shop.add()
    await shop.turn()
    item: Json = await shop.item(row)
    assert (item["status"], item["reasons"][-1]["error"]) == ("queued", "capability_off")
    assert await shop.queue.beds() == [{"device_id": A, "clear": True}]
    assert await shop.waiting() == []


async def test_a_start_that_was_approved_too_late_is_not_made(shop: Shop) -> None:
    """Switched off between the question and the answer."""
    row = await shop.add()
    await shop.turn()
    shop.devices.switches = Off("prints")
    await shop.approve()
    await shop.turn()
    item = await shop.item(row)
    failed = [one for one in item["reasons"] if one["code"] == "start_failed"]
    assert failed[0]["error"] == "capability_off"
