"""Too much, too large, too long: refused early, told when to come back, and nobody else suffers."""

import asyncio
import gzip
import io
from pathlib import Path
import resource
import time

import psutil
import pytest

from brain_server.api.rest import READY_TIMEOUT
from brain_server.app import Brain
from brain_server.observability import counters
from brain_server.protocol import MAX_FRAME_BYTES
from tests.brain.home import Home, Later, Rest, at_home, running, until
from tests.brain.soon import SOON

BOMB = 128 * 1024 * 1024


def packed_zeros(size: int) -> bytes:
    """Return many zeros as a few bytes of gzip."""
    file = io.BytesIO()
    with gzip.open(file, "wb", compresslevel=9) as packer:
        for _ in range(size // (1024 * 1024)):
            packer.write(bytes(1024 * 1024))
    return file.getvalue()


async def test_a_token_that_asks_too_often_waits_and_others_do_not(
    tmp_path: Path, clock: Later
) -> None:
    """429 with the seconds to wait; after them it may ask again."""
    async with running(tmp_path, clock, request_rate=5.0, request_burst=50) as brain:
        async with at_home(brain) as home:
            token = await home.token("read")
        async with Rest(brain, token) as greedy, Rest(brain) as other:
            clock.ahead = 60
            answers = [await greedy.get("/api/v1/system.info") for _ in range(60)]
            clock.ahead = 60
            refused = [answer for answer in answers if answer.status == 429]
            assert 1 <= len(refused) <= 10
            assert {answer.code for answer in refused} == {"rate_limited"}
            assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
            assert (await other.get("/api/v1/system.info")).status == 200
            clock.ahead += 2
            assert (await greedy.get("/api/v1/system.info")).status == 200


async def test_the_clock_going_back_locks_nobody_out(tmp_path: Path, clock: Later) -> None:
    """Time that is lost does not take away what a token may ask for."""
    async with running(tmp_path, clock, request_burst=5) as brain, Rest(brain) as rest:
        clock.ahead = -7200
        statuses = [(await rest.get("/api/v1/system.info")).status for _ in range(3)]
    assert statuses == [200, 200, 200]


async def test_more_commands_than_can_run_are_told_to_come_back(tmp_path: Path) -> None:
    """503 with the seconds to wait; health and those that run are not touched."""
    async with running(tmp_path, max_requests=2) as brain, at_home(brain) as home:
        lamp = await home.puppet("lamp", "light")
        lamp.reading = asyncio.Event()
        asked = {"device_id": lamp.context.device_id}
        async with Rest(brain) as rest:
            hanging = [
                asyncio.get_running_loop().create_task(rest.act("devices.files", asked))
                for _ in range(2)
            ]
            await until(lambda: brain.dispatcher.running == 2, "two that hang")
            refused = await rest.get("/api/v1/system.info")
            alive = await rest.get("/health")
            lamp.reading.set()
            ends = await asyncio.gather(*hanging)
            again = await rest.get("/api/v1/system.info")
    assert (refused.status, refused.code) == (503, "overloaded")
    assert refused.headers["Retry-After"] == "1"
    assert [alive.status, again.status] == [200, 200]
    assert [end.status for end in ends] == [200, 200]


async def test_a_body_that_unpacks_to_a_flood_is_refused_early(rest: Rest) -> None:
    """A hundred megabytes of zeros in a hundred kilobytes cost the brain next to nothing."""
    bomb = packed_zeros(BOMB)
    assert len(bomb) < MAX_FRAME_BYTES
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    answer = await rest.call(
        "POST", "/api/v1/actions", data=bomb, headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status, answer.code) == (413, "too_large")
    assert time.process_time() - began < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert (await rest.get("/api/v1/system.info")).status == 200


async def test_a_body_of_exactly_a_mebibyte_is_read(rest: Rest) -> None:
    """One byte more is not."""
    start = b'{"action":"system.info","metadata":{"note":"'
    fits = start + b"x" * (MAX_FRAME_BYTES - len(start) - 3) + b'"}}'
    assert len(fits) == MAX_FRAME_BYTES
    good = await rest.call("POST", "/api/v1/actions", data=io.BytesIO(fits))
    bad = await rest.call("POST", "/api/v1/actions", data=io.BytesIO(fits + b" "))
    assert [good.status, bad.status] == [200, 413]


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
async def test_a_body_that_is_not_packed_as_it_says_is_refused(rest: Rest, packing: str) -> None:
    """A lie is the caller's error, not the brain's."""
    answer = await rest.call(
        "POST", "/api/v1/actions", data=b"\xffnonsense", headers={"Content-Encoding": packing}
    )
    assert (answer.status, answer.code) == (400, "body_cut_off")


async def test_a_packed_body_that_is_honest_is_read(rest: Rest) -> None:
    """Compression works both ways."""
    body = gzip.compress(b'{"action":"system.info"}')
    answer = await rest.call(
        "POST", "/api/v1/actions", data=body, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 200


async def test_a_body_that_never_comes_is_not_waited_for_by_others(brain: Brain) -> None:
    """A caller that sends half a request holds up only itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", brain.port)
    head = "POST /api/v1/actions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    writer.write(head.encode())
    await writer.drain()
    async with Rest(brain) as rest:
        statuses = [(await rest.get("/api/v1/system.info")).status for _ in range(20)]
    writer.close()
    del reader
    assert statuses == [200] * 20


# -- health -------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_ready_answers_in_time_when_a_part_hangs(home: Home, rest: Rest) -> None:
    """Within three seconds, and health before that."""
    stuck = asyncio.Event()

    async def hangs() -> str | None:
        await stuck.wait()
        return None

    home.brain.health.add("stuck", hangs)
    asking = asyncio.get_running_loop().create_task(rest.get("/ready"))
    alive = await rest.get("/health")
    at_once = not asking.done()
    ready = await asyncio.wait_for(asking, SOON)
    stuck.set()
    assert (alive.status, ready.status, ready.json) == (200, 503, {"status": "degraded"})
    assert at_once
    assert READY_TIMEOUT < 3


async def test_nobody_is_told_ready_before_the_parts_were_looked_at(home: Home, rest: Rest) -> None:
    """Also not who asks while somebody else's question is looked into."""

    async def ill() -> str | None:
        await asyncio.sleep(0.2)  # until the other has asked
        return "It has a cold"

    home.brain.health.add("ill", ill)
    found = await asyncio.gather(rest.get("/ready"), rest.get("/ready"))
    assert [one.status for one in found] == [503, 503]


async def test_who_asks_while_the_parts_are_looked_at_hears_what_is_found(
    brain: Brain, rest: Rest
) -> None:
    """And not what was found before: at the first time nothing, later what may be over long since."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str | None:
        asked.set()
        await go.wait()
        return None

    brain.health.add("slow", slow)
    loop = asyncio.get_running_loop()
    first = loop.create_task(rest.get("/ready"))
    await asked.wait()
    before = counters["requests"]
    second = loop.create_task(rest.get("/ready"))
    await until(lambda: counters["requests"] > before, "the second question")
    go.set()
    assert [(await one).status for one in (first, second)] == [200, 200]


async def test_one_broken_part_is_red_and_the_others_are_not(home: Home, rest: Rest) -> None:
    """Each tells by itself what is wrong with it."""

    async def broken() -> str | None:
        raise ZeroDivisionError

    async def ill() -> str | None:
        return "It has a cold"

    home.brain.health.add("broken", broken)
    home.brain.health.add("ill", ill)
    health = (await rest.get("/api/v1/system.health")).data
    red = {name: part["detail"] for name, part in health["parts"].items() if not part["ok"]}
    assert red == {"broken": "ZeroDivisionError", "ill": "It has a cold"}
    assert health["status"] == "degraded"
    assert (await rest.get("/ready")).status == 503
    assert (await rest.get("/health")).status == 200


async def test_a_diagnosis_tells_how_long_each_part_took(home: Home, rest: Rest) -> None:
    """Databases, queue, cache, models, memory, tasks, figures and Home Assistant, with milliseconds."""
    checks = (await rest.get("/api/v1/system.diagnose")).data["checks"]
    assert {check["name"] for check in checks} == {
        "models",
        "memory",
        "safety_database",
        "brain_database",
        "tasks",
        "schedule",
        "home_assistant",
        "cache",
        "queue",
        "metrics",
    }
    assert all(check["ok"] and check["ms"] >= 0 for check in checks)


async def test_a_task_that_should_never_end_shows_when_it_does(home: Home, rest: Rest) -> None:
    """A driver that broke is red until its device is set up again."""
    lamp = await home.puppet("lamp", "light")
    lamp.error = RuntimeError("a wire is loose")
    lamp.cut.set()
    name = f"device {lamp.context.device_id}"
    await until(lambda: home.brain.tasks.broken, "the break")
    tasks = (await rest.get("/api/v1/system.health")).data["parts"]["tasks"]
    assert tasks == {"ok": False, "detail": f"Broken: {name}"}
    await home.command("devices.remove", {"device_id": lamp.context.device_id})
    tasks = (await rest.get("/api/v1/system.health")).data["parts"]["tasks"]
    assert tasks["ok"]


# -- where it listens ---------------------------------------------------------------------------------


async def test_the_brain_listens_on_one_port_of_the_loopback(brain: Brain) -> None:
    """Unless somebody says otherwise; nothing else of it can be reached."""
    mine = psutil.Process().net_connections("inet")
    listening = {tuple(one.laddr) for one in mine if one.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", brain.port)}
    assert brain.settings.host == "127.0.0.1"
