"""Bad days of real brains on a real PostgreSQL: one that stands still for a minute, and switches while it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
import signal
import time

from aiohttp import ClientError, ClientSession, ClientTimeout
import pytest

from brain_server.protocol import Json
from brain_server.settings import Settings
from tests.brain.cluster.brains import Brain, Pair
from tests.brain.home import TOKEN, Home

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]

LONG = 60.0
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def pair(url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Give two brains with the lease of a house, the first one awake."""
    async with Pair(url, tmp_path, str(Settings().lease_ttl)) as made:
        yield made


async def asks(session: ClientSession, brain: Brain, action: str, params: Json) -> int:
    """Ask one brain itself, not through the front; returns the status, 0 where nobody answered."""
    address = f"http://127.0.0.1:{brain.port}/api/v1/actions"
    body = {"action": action, "params": params}
    with suppress(ClientError, TimeoutError):
        async with session.post(address, json=body, headers=AUTHORIZED) as answer:
            return answer.status
    return 0


async def goals(home: Home) -> list[str]:
    """Return the titles of all goals."""
    return [one["title"] for one in (await home.command("goals.list"))["items"]]


async def test_a_leader_that_stood_still_for_a_minute_writes_nothing_late(pair: Pair) -> None:
    """What it was asked while it stood still it hears when it goes on, and nothing of that is kept."""
    async with pair.home() as home:
        await home.command("goals.add", {"title": "Before the pause"})
    pair.first.signal(signal.SIGSTOP)
    await pair.first.paused()
    stopped = time.monotonic()
    async with ClientSession(timeout=ClientTimeout(total=LONG + 20)) as session:
        # Its machine takes them in; the brain finds them when it goes on.
        start = asyncio.get_running_loop().create_task
        late = [
            start(asks(session, pair.first, "goals.add", {"title": f"Late {one}"}))
            for one in range(5)
        ]
        assert (await pair.second.said())["ready"]
        took_over = time.monotonic() - stopped
        async with pair.home() as home:
            await home.command("goals.add", {"title": "Meanwhile"})
            job = await home.command("schedule.run", {"name": "daily_health_check"})
            await home.event("work.updated", lambda one: one["status"] == "completed")
        await asyncio.sleep(LONG - (time.monotonic() - stopped))  # it stands still
        pair.first.signal(signal.SIGCONT)
        assert await pair.first.ended() == 75
        answers = await asyncio.gather(*late)
    async with pair.home() as home:
        titles = await goals(home)
        work = await home.command("work.get", {"work_id": job["work_id"]})
    assert titles == ["Before the pause", "Meanwhile"]
    assert set(answers) <= {0, 503}
    assert [one["outcome"] for one in work["attempts"]] == ["completed"]
    assert took_over < 2 * Settings().lease_ttl + 5


async def test_a_brain_that_wakes_knows_what_the_other_switched(pair: Pair) -> None:
    """It stood by, warm, all the while; what it does not do is what was switched off before it woke."""
    async with pair.home() as home:
        admin = {"user_id": "dan", "channel": "dashboard"}
        off = {"name": "autonomy", "enabled": False}
        await home.command("capabilities.set", off, caller=admin)
    pair.first.signal(signal.SIGKILL)
    assert (await pair.second.said())["ready"]
    async with pair.home() as home:
        code = await home.refusal("goals.add", {"title": "Print more"})
        rows = (await home.command("capabilities.list"))["items"]
    (row,) = (one for one in rows if one["name"] == "autonomy")
    assert (code, row["enabled"], row["changed_by"]) == ("capability_off", False, "dan")
