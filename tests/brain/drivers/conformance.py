"""What every printer driver must do: one table, for which a new driver needs no new tests.

A rig without a feature is not put through the checks that need it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
import json
import logging
import sys
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from aiohttp import ClientSession
import pytest

from brain_server.drivers import OptionType, Order, Stored
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json, Kind, OnlineState, PrinterStatus
from tests.brain.drivers.rigs import Rig
from tests.brain.drivers.watch import Watch, build, watching

RUNNING = ("preparing", "printing")
ENDED = ("completed", "failed", "aborted")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table."""

    sentence: str
    needs: frozenset[str]
    run: Callable[[Rig], Awaitable[None]]


CHECKS: list[Check] = []


def check(*needs: str) -> Callable[[Callable[[Rig], Awaitable[None]]], None]:
    """Add a function to the table; its name is the sentence."""

    def add(run: Callable[[Rig], Awaitable[None]]) -> None:
        sentence = run.__name__.replace("_", " ")
        CHECKS.append(Check(sentence=sentence, needs=frozenset(needs), run=run))

    return add


def cases(*rigs: type[Rig]) -> list[Any]:
    """Return each rig with each check that it is fit for, for ``parametrize``."""
    return [
        pytest.param(rig, check, id=f"{rig.name}-{check.sentence}", marks=rig.marks)
        for rig in rigs
        for check in CHECKS
        if check.needs <= rig.features
    ]


async def in_pieces(content: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    """Yield a file as it comes in over a network."""
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


@asynccontextmanager
async def logged() -> AsyncIterator[list[str]]:
    """Collect what the brain logs in a block."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # one method is replaced for this test
    logger = logging.getLogger("brain_server")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


@contextmanager
def suppress_code(code: str) -> Iterator[None]:
    """Pass over a device's error with this code."""
    try:
        yield
    except DeviceError as err:
        if err.code != code:
            raise


async def printing(rig: Rig, watch: Watch, *, seconds: float = 60, warm_up: bool = False) -> str:
    """Upload a file, start it, and return its name when it is seen to run."""
    await watch.online()
    content = rig.print_file(seconds=seconds, warm_up=warm_up)
    # A name of its own: a server may still be reading the last one in the background.
    name = f"part-{uuid4().hex[:8]}.gcode"
    file = await watch.driver.upload(name, in_pieces(content))
    await watch.done("print_start", file=file)
    if warm_up:
        await watch.until(lambda seen: seen.state["nozzle"]["target"])
    return file


# -- adding a device ----------------------------------------------------------------------------------


@check()
async def a_printer_describes_itself(rig: Rig) -> None:
    """The id is stable and the capabilities are those that a printer has."""
    async with ClientSession() as session:
        first = await build(rig.driver, rig.options, session).probe()
        again = await build(rig.driver, rig.options, session).probe()
    assert first == again
    assert first.kind is Kind.PRINTER
    assert first.external_id
    assert first.name
    assert {"print_start", "print_pause", "print_resume", "print_cancel"} <= first.capabilities


@check()
async def every_option_can_be_drawn_as_a_field(rig: Rig) -> None:
    """Each has words for people, and what its type needs."""
    for option in rig.driver.options:
        assert option.label
        assert option.help
        assert (option.type is OptionType.SELECT) is bool(option.choices)
    json.dumps([option.default for option in rig.driver.options])


@check("key")
async def a_wrong_key_is_told_from_a_wrong_address(rig: Rig) -> None:
    """So that the form marks the right field."""
    async with ClientSession() as session:
        stranger = build(rig.driver, rig.options | {rig.key_option: "WRONG"}, session)
        with pytest.raises(DeviceError) as raised:
            await stranger.probe()
        assert raised.value.code == "invalid_auth"


@check("network")
async def an_address_where_nothing_answers_cannot_be_connected(rig: Rig) -> None:
    """Refused is not the same as broken."""
    await rig.proxy.close()
    async with ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(rig.driver, rig.options, session).probe()
    assert raised.value.code == "cannot_connect"


@check("network")
async def what_is_no_address_is_named_as_the_wrong_field(rig: Rig) -> None:
    """Before anything is asked of anybody."""
    async with ClientSession() as session:
        for url in rig.bad_addresses:
            with pytest.raises(InvalidRequest) as raised:
                await build(rig.driver, rig.options | {rig.address_option: url}, session).probe()
            assert raised.value.code == "invalid_option"
            assert raised.value.fields["field"] == rig.address_option


@check()
async def a_picture_is_a_picture_or_there_is_none(rig: Rig) -> None:
    """What the description says of a camera is true."""
    async with ClientSession() as session:
        driver = build(rig.driver, rig.options, session)
        has_camera = (await driver.probe()).has_camera
        picture = b""
        with suppress_code("no_camera"):
            picture = await driver.snapshot()
    assert picture.startswith((b"\x89PNG", b"\xff\xd8\xff")) is has_camera
    assert bool(picture) is has_camera


# -- printing -----------------------------------------------------------------------------------------


@check()
async def a_file_is_stored_and_started_by_the_name_that_was_returned(rig: Rig) -> None:
    """The job that is then seen is this file's, and new."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        seen = await watch.status(*RUNNING)
        assert file in await watch.driver.files()
    assert seen.online is OnlineState.ONLINE
    assert seen.state["job"]["file"] == file
    assert seen.state["job"]["started_at"]
    assert seen.state["job"]["error"] is None


@check("files")
async def a_file_that_was_replaced_is_told_from_the_one_that_was_stored(rig: Rig) -> None:
    """By its size or its time; as long as it is the same, the same is told."""
    first, second = rig.print_file(seconds=1), rig.print_file(seconds=60)
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        file = await watch.driver.upload("part.gcode", in_pieces(first))
        before = await told_of(watch, file)
        assert (before.size, await told_of(watch, file)) == (len(first), before)
        await watch.driver.upload("part.gcode", in_pieces(second))
        after = await told_of(watch, file, but=before)
        assert after.stamp != before.stamp
        with suppress(DeviceError):
            assert await watch.driver.about("nowhere.gcode") is None


async def told_of(watch: Watch, file: str, but: Stored | None = None) -> Stored:
    """Return what the printer tells of a file, as soon as it tells anything, or something else."""
    for _ in repeat(None):
        found = await watch.driver.about(file)
        if found is not None and found != but:
            return found
        await asyncio.sleep(0.1)  # until the next look
    raise AssertionError


@check()
async def a_name_with_a_path_in_it_is_stored_as_a_plain_file(rig: Rig) -> None:
    """Nobody writes outside the printer's folder."""
    content = rig.print_file(seconds=1)
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        for name in ("../../etc/evil é 100%.gcode", "C:\\temp\\evil é 100%.gcode"):
            stored = await watch.driver.upload(name, in_pieces(content))
            assert "/" not in stored
            assert "\\" not in stored
            assert stored in await watch.driver.files()
        await watch.done("print_start", file=stored)
        with pytest.raises(InvalidRequest):
            await watch.driver.upload("..", in_pieces(content))


@check()
async def a_print_that_ends_by_itself_is_completed_and_stays_so(rig: Rig) -> None:
    """Until the next one begins, which is another run."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch, seconds=2)
        ended = await watch.status(*ENDED)
        assert ended.state["status"] == "completed"
        assert ended.state["job"]["progress"] == 100
        await watch.done("print_start", file=file)
        again = await watch.status(*RUNNING)
    assert again.state["job"]["started_at"] != ended.state["job"]["started_at"]
    assert "failed" not in watch.statuses


@check()
async def a_pause_while_heating_is_done_only_when_it_is_seen(rig: Rig) -> None:
    """The acceptance of the order is not the pause."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, warm_up=True)
        before = watch.state
        order = Order(command_id="1", intent="print_pause", params={})
        assert await watch.driver.execute(order) is None
        assert watch.driver.confirms(order, before, watch.state) is False
        paused = await watch.status("paused")
    assert watch.driver.confirms(order, before, paused.state) is True
    assert paused.state["job"]["started_at"] == before["job"]["started_at"]


@check()
async def a_paused_print_goes_on_as_the_same_run(rig: Rig) -> None:
    """Resuming does not start a new one."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        paused = await watch.done("print_pause")
        resumed = await watch.done("print_resume")
    assert resumed.state["status"] in RUNNING
    assert resumed.state["job"]["started_at"] == paused.state["job"]["started_at"]


@check()
async def a_cancelled_print_is_aborted_and_never_failed(rig: Rig) -> None:
    """Also where the server reports a cancel twice; and the next print can start at once."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        await watch.done("print_cancel")
        ended = await watch.status(*ENDED)
        assert ended.state["status"] == "aborted"
        assert ended.state["job"]["error"] is None
        await watch.done("print_start", file=file)
    assert "failed" not in watch.statuses


@check()
async def a_pause_can_be_cancelled(rig: Rig) -> None:
    """From paused the way goes straight to aborted."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await watch.done("print_pause")
        await watch.done("print_cancel")
        await watch.status("aborted")
    assert "failed" not in watch.statuses


@check()
async def what_the_printer_cannot_do_now_is_refused_and_nothing_happens(rig: Rig) -> None:
    """A second start, and a pause of nothing."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        for intent in ("print_pause", "print_cancel"):
            with pytest.raises(DeviceError) as raised:
                await watch.order(intent)
            assert raised.value.code == "device_refused"
        file = await printing(rig, watch)
        run = watch.state["job"]["started_at"]
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file=file)
        assert raised.value.code == "device_refused"
        await watch.done("print_pause")
    assert watch.state["job"]["started_at"] == run


@check()
async def what_no_printer_can_do_is_refused(rig: Rig) -> None:
    """By name, before anything is sent."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        with pytest.raises(DeviceError) as raised:
            await watch.order("unlock")
    assert raised.value.code == "not_supported"


@check()
async def a_state_is_whole_plain_and_not_too_frequent(rig: Rig) -> None:
    """Every observation says everything, as JSON, and figures alone come once a second at most."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, seconds=5)
        await watch.status("completed")
    for seen in watch.seen:
        json.dumps(seen.state, allow_nan=False)
        assert {"status", "job", "nozzle", "bed"} <= seen.state.keys()
        assert seen.state["status"] in set(PrinterStatus)
    same = [
        later - earlier
        for earlier, later, one, other in zip(
            watch.times, watch.times[1:], watch.seen, watch.seen[1:], strict=False
        )
        if one.state["status"] == other.state["status"]
        and one.state["job"]
        and other.state["job"]
        and one.state["job"].get("stage") == other.state["job"].get("stage")
    ]
    assert all(apart > 0.9 for apart in same)
    progress = [seen.state["job"]["progress"] for seen in watch.seen if seen.state["job"]]
    known = [share for share in progress if share is not None]
    assert known == sorted(known)
    assert known[-1] == 100


@check("fault")
async def a_broken_printer_is_a_fault_and_its_job_failed(rig: Rig) -> None:
    """With the printer's own words."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        words = await fault(rig, watch)
        failed = await watch.until(lambda seen: seen.online is OnlineState.FAULT)
    assert failed.state["status"] == "failed"
    assert words in failed.state["job"]["error"]
    assert words in str(failed.reason)
    assert "aborted" not in watch.statuses


async def fault(rig: Rig, watch: Watch) -> str:
    """Break a printer from outside, or by the G-code of one that is only simulated."""
    if rig.name != "demo":
        return await rig.fault()
    await watch.order("gcode", script="FAULT Thermal runaway")
    return "Thermal runaway"


# -- a world that is not perfect ----------------------------------------------------------------------


@check("network")
async def a_slow_road_only_takes_longer(rig: Rig) -> None:
    """With 0.3 s each way, orders are still sent once and seen."""
    rig.proxy.latency = 0.3
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await watch.done("print_pause")
    assert rig.proxy.count(rig.heads["print_pause"]) == 1


@check("network")
async def an_order_whose_answer_is_lost_is_unknown_and_not_sent_again(rig: Rig) -> None:
    """What it did is told by the state that is then seen."""
    rig.proxy.swallow = rig.heads["print_pause"]
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        # With less patience than it has by itself, for the one answer that does not come.
        with patch.object(type(watch.driver), "order_timeout_s", 1.0):
            outcome = await watch.order("print_pause")
        await watch.status("paused")
    assert outcome is not None
    assert outcome.status is CommandStatus.UNKNOWN
    assert rig.proxy.count(rig.heads["print_pause"]) == 1


@check("network")
async def an_order_that_could_not_be_sent_is_certainly_not_done(rig: Rig) -> None:
    """A refused connection is no unknown outcome."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        await rig.proxy.close()
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file="part.gcode")
    assert raised.value.code == "cannot_connect"


@check("network")
async def a_job_goes_on_as_the_same_run_when_the_line_was_cut(rig: Rig) -> None:
    """Gone and back again, with nothing said of a failure."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        run = watch.state["job"]["started_at"]
        await rig.proxy.close()
        gone = await watch.offline()
        await rig.proxy.open()
        back = await watch.online()
    assert gone.state == {}
    assert back.state["job"]["started_at"] == run
    assert "failed" not in watch.statuses


@check("network")
async def a_printer_that_is_switched_off_is_reported_once(rig: Rig) -> None:
    """However often it is looked for: one observation, whose line in the log is not the driver's."""
    async with watching(rig.driver, rig.options) as watch, logged() as lines:
        await watch.online()
        rig.proxy.dead = True
        rig.proxy.cut()
        gone = await watch.offline()
        tries = rig.proxy.attempts
        async with asyncio.timeout(60):
            await rig.proxy.attempted(tries + 2)
        offline = [seen for seen in watch.seen if seen.online is OnlineState.OFFLINE]
    assert offline == [gone]
    assert gone.reason == "cannot_connect"
    assert lines == []


@check("restart", "memory")
async def a_job_that_was_lost_with_its_server_has_failed(rig: Rig) -> None:
    """Though the server, back again, knows nothing of it."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        run = watch.state["job"]["started_at"]
        await rig.kill()
        await watch.offline()
        await rig.start()
        lost = await watch.status("failed")
        assert lost.state["job"]["error"] == "lost"
        assert (lost.state["job"]["file"], lost.state["job"]["started_at"]) == (file, run)
        await watch.online()
        assert watch.state["status"] == "failed"
        again = await watch.done("print_start", file=file)
    assert again.state["job"]["started_at"] != run


@check("memory")
async def a_job_is_the_same_run_to_a_brain_that_was_restarted(rig: Rig) -> None:
    """By the last state that the new driver is given."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await watch.until(lambda seen: seen.state["status"] == "printing")
        kept = watch.state
    async with watching(rig.driver, rig.options, last_state=kept) as watch:
        seen = await watch.online()
    assert seen.state["job"]["started_at"] == kept["job"]["started_at"]


@check("key")
async def a_key_that_was_revoked_is_told_by_name(rig: Rig) -> None:
    """The order is refused, and the printer counts as gone because of the key."""
    async with watching(rig.driver, await rig.guest()) as watch:
        await printing(rig, watch)
        await rig.revoke()
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_pause")
        gone = await watch.offline()
    assert raised.value.code == "invalid_auth"
    assert gone.reason == "invalid_auth"


# -- a printer that is not itself ---------------------------------------------------------------------


def answer(body: bytes, length: int | None = None) -> bytes:
    """Return an HTTP answer that says to be JSON."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body) if length is None else length}\r\n\r\n".encode() + body


NONSENSE = {
    "what is no HTTP": b"\x00\xff\x16\x03 this is no HTTP\r\n\r\n",
    "half an answer": answer(b'{"result": {"klippy_st', length=1000),
    "half JSON": answer(b'{"result": {"klippy_st'),
    "JSON of another shape": answer(b'{"result": [7], "server": {}, "name": 1, "printer": "no"}'),
    "JSON deeper than anybody reads": answer(b"[" * (10 * 1024 * 1024)),
    "nothing at all": b"",
}


@contextmanager
def hurried(rig: Rig) -> Iterator[None]:
    """Let the driver look for its printer again at once, as if the time between had passed."""
    with patch.object(sys.modules[rig.driver.__module__], "backoff", lambda: repeat(0.001)):
        yield


@check("http")
async def nonsense_is_no_printer_and_no_harm(rig: Rig) -> None:
    """It is offline, once, for as long as nonsense is answered; then it is back as if nothing had been."""
    with hurried(rig):
        async with watching(rig.driver, rig.options) as watch, logged() as lines:
            await watch.online()
            for nonsense in NONSENSE.values():
                rig.proxy.answer = nonsense
                rig.proxy.cut()
                async with asyncio.timeout(60):
                    await rig.proxy.attempted(rig.proxy.attempts + 3)
            offline = [seen for seen in watch.seen if seen.online is OnlineState.OFFLINE]
            rig.proxy.answer = None
            await watch.online()
    assert [seen.reason for seen in offline] == ["cannot_connect"]
    assert lines == []


@check("http")
async def nonsense_when_a_printer_is_added_cannot_be_connected(rig: Rig) -> None:
    """The address is wrong, whatever it is that answers there."""
    async with ClientSession() as session:
        for what, nonsense in NONSENSE.items():
            rig.proxy.answer = nonsense
            with pytest.raises(DeviceError) as raised:
                await build(rig.driver, rig.options, session).probe()
            assert raised.value.code == "cannot_connect", what


@check("http")
async def a_printer_that_never_answers_is_given_up(rig: Rig) -> None:
    """It takes the connection, and then says nothing."""

    class Impatient(rig.driver):  # type: ignore[misc,name-defined]  # the double has the part that is used
        """The driver with less patience."""

        call_timeout_s = hello_s = 0.3

    rig.proxy.swallow = b""
    async with watching(Impatient, rig.options) as watch:
        gone = await watch.offline()
        with pytest.raises(DeviceError) as raised:
            await watch.driver.files()
    assert gone.reason == raised.value.code == "cannot_connect"


@check("network")
async def a_day_without_the_printer_is_one_observation(rig: Rig) -> None:
    """As many tries as a day has, one minute apart; it is told once, nothing is logged, and then it is back."""
    with hurried(rig):
        async with watching(rig.driver, rig.options) as watch, logged() as lines:
            await watch.online()
            rig.proxy.dead = True
            rig.proxy.cut()
            gone = await watch.offline()
            async with asyncio.timeout(150):
                await rig.proxy.attempted(rig.proxy.attempts + 24 * 60)
            rig.proxy.dead = False
            await watch.online()
    assert [seen for seen in watch.seen if seen.online is OnlineState.OFFLINE] == [gone]
    assert lines == []


# -- files that do not arrive -------------------------------------------------------------------------


@check("http")
async def an_upload_that_is_cut_leaves_nothing_that_could_be_started(rig: Rig) -> None:
    """And the error says so, not that all is well."""
    content = b"G1 X1 Y1 ; and so on\n" * 100_000
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        rig.proxy.breaks_after = len(content) // 2
        with pytest.raises(DeviceError) as raised:
            await watch.driver.upload("torn.gcode", in_pieces(content, 65536))
        rig.proxy.breaks_after = None
        await watch.online()
        assert raised.value.code in {"upload_failed", "cannot_connect"}
        assert "torn.gcode" not in await watch.driver.files()
        with pytest.raises(DeviceError):
            await watch.order("print_start", file="torn.gcode")


@check("full")
async def a_file_for_which_there_is_no_room_is_not_stored(rig: Rig) -> None:
    """Nor half of it; when there is room again, it is."""
    content = b"G1 X1 Y1 ; and so on\n" * 200_000
    async with ClientSession() as session:
        driver = build(rig.driver, rig.options, session)
        await rig.fill()
        with pytest.raises(DeviceError) as raised:
            await driver.upload("large.gcode", in_pieces(content, 65536))
        assert "large.gcode" not in await driver.files()
        await rig.empty()
        assert await driver.upload("large.gcode", in_pieces(content, 65536)) in await driver.files()
    assert raised.value.code in {"upload_failed", "device_refused"}
    assert "Traceback" not in raised.value.message


# -- others, and other times --------------------------------------------------------------------------


def _runs(state: Json, file: str) -> bool:
    """Tell whether a printer shows that it prints this file."""
    job = state.get("job")
    return state["status"] in RUNNING and job is not None and job["file"] == file


@check("network")
async def of_two_who_start_at_once_one_job_runs(rig: Rig) -> None:
    """Both see which; the other is refused, or, where the server accepted both, never seen to be done."""
    async with watching(rig.driver, rig.options) as one, watching(rig.driver, rig.options) as two:
        orders = []
        for watch, name in ((one, "one.gcode"), (two, "two.gcode")):
            await watch.online()
            file = await watch.driver.upload(name, in_pieces(rig.print_file(seconds=60)))
            orders.append(Order(command_id=name, intent="print_start", params={"file": file}))
        before = one.state
        ended = await asyncio.gather(
            *(watch.driver.execute(order) for watch, order in zip((one, two), orders, strict=True)),
            return_exceptions=True,
        )
        seen = await one.status(*RUNNING)
        ran = seen.state["job"]["file"]
        # Perhaps it still has to hear of it.
        await two.until(lambda told: _runs(told.state, ran))
    refused = [isinstance(end, DeviceError) and end.code == "device_refused" for end in ended]
    done = [one.driver.confirms(order, before, seen.state) for order in orders]
    assert [order.params["file"] for order, sure in zip(orders, done, strict=True) if sure] == [ran]
    assert all(end is None or no for end, no in zip(ended, refused, strict=True))
    assert None in ended


@check("restart", "memory")
async def a_server_that_is_killed_says_nothing_false_afterwards(rig: Rig) -> None:
    """Heating or paused, the job is lost; one that was completed stays so."""
    async with watching(rig.driver, rig.options) as watch:
        for state, ended in (
            ("preparing", "failed"),
            ("paused", "failed"),
            ("completed", "completed"),
        ):
            seconds = 1 if state == "completed" else 60
            await printing(rig, watch, seconds=seconds, warm_up=state == "preparing")
            if state == "paused":
                await watch.done("print_pause")
            if state == "completed":
                await watch.status("completed")
            run = watch.state["job"]["started_at"]
            await rig.kill()
            await watch.offline()
            await rig.start()
            seen = await watch.until(
                lambda seen: seen.online is OnlineState.ONLINE and seen.state["status"] in ENDED
            )
            assert (seen.state["status"], seen.state["job"]["started_at"]) == (ended, run)
            assert seen.state["job"]["error"] == ("lost" if ended == "failed" else None)


@check("skew", "memory")
async def a_server_whose_clock_is_wrong_changes_nothing(rig: Rig) -> None:
    """Two hours behind, two hours ahead: when a run began and which one it is are known all the same."""
    for wrong in (-7200.0, 7200.0):
        await rig.skew(wrong)
        async with watching(rig.driver, rig.options) as watch:
            await printing(rig, watch)
            seen = await watch.until(lambda seen: (seen.state["job"]["elapsed_s"] or 0) >= 1)
            began = datetime.fromisoformat(seen.state["job"]["started_at"])
            assert abs(datetime.now(UTC) - began) < timedelta(seconds=20)
            assert seen.state["job"]["elapsed_s"] < 20
            rig.proxy.cut()
            await watch.offline()
            back = await watch.online()
            assert back.state["job"]["started_at"] == seen.state["job"]["started_at"]
            await watch.done("print_cancel")
        progress = [seen.state["job"]["progress"] for seen in watch.seen if seen.state.get("job")]
        known = [share for share in progress if share is not None]
        assert known == sorted(known)
        assert "failed" not in watch.statuses


@check("key", "memory")
async def a_new_key_takes_up_the_run_that_the_old_one_saw(rig: Rig) -> None:
    """A person gives the device its new key while it prints."""
    async with watching(rig.driver, await rig.guest()) as watch:
        await printing(rig, watch)
        await watch.until(lambda seen: seen.state["status"] == "printing")
        kept = watch.state
        await rig.revoke()
    async with watching(rig.driver, rig.options, last_state=kept) as watch:
        seen = await watch.online()
    assert seen.state["job"]["started_at"] == kept["job"]["started_at"]
