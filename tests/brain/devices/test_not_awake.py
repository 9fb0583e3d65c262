"""What was claimed and not yet sent when another brain took over: it is not sent any more."""

import asyncio

from brain_server.app import Brain
from brain_server.errors import Unavailable
from brain_server.protocol import Json
from tests.brain.home import Home


async def claimed(home: Home, brain: Brain, code: str) -> tuple[Json, dict[str, int]]:
    """Ask for a light when the brain may not send; returns the command and what reached the lamp."""

    async def refuse() -> None:
        raise Unavailable(code, "Not now")

    lamp = await home.puppet("lamp", "light")
    brain.devices.may_send = refuse
    asked = await home.request(lamp.context.device_id, "light_on", wait=2)
    return asked["command"], lamp.orders


async def test_what_another_brain_settles_is_left_as_it_is(home: Home, brain: Brain) -> None:
    """It was claimed, and nobody here knows how it goes on; whoever waits is told."""
    command, orders = await claimed(home, brain, "not_awake")
    assert (command["status"], orders) == ("claimed", {})


async def test_nobody_waits_at_the_end_for_what_another_brain_settles(
    home: Home, brain: Brain
) -> None:
    """The process is to be gone soon."""
    await claimed(home, brain, "not_awake")
    started = asyncio.get_running_loop().time()
    await brain.devices.finish(5)
    assert asyncio.get_running_loop().time() - started < 1


async def test_what_cannot_be_asked_is_not_sent(home: Home, brain: Brain) -> None:
    """That much is certain, so it has failed."""
    command, orders = await claimed(home, brain, "database_busy")
    status = (await home.ended(command["id"]))["status"]
    assert (status, orders) == ("failed", {})
