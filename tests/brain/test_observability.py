"""Logs that a machine can read and that tell no secrets, tasks that are kept, parts that are checked."""

import asyncio
import json
import logging
from pathlib import Path
import sys
import time
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.errors import Unavailable
from brain_server.observability import (
    HEALTH_TIMEOUT,
    Health,
    JsonFormatter,
    Tasks,
    counters,
    redact,
    request_id,
    setup_logging,
)
from tests.brain.home import Rest, at_home, running, until
from tests.brain.soon import SOON

SECRET = "hunter2-4711"


def line(message: str, *args: Any, **extra: Any) -> dict[str, Any]:
    """Return what one log call becomes."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, message, args, None)
    record.__dict__.update(extra)
    return json.loads(JsonFormatter().format(record))


# -- lines --------------------------------------------------------------------------------------------


def test_a_line_says_when_what_and_for_whom() -> None:
    """Each with the id of the request that it belongs to."""
    token = request_id.set("trace-7")
    found = line("%s is open", "The door", user_id="ada", endpoint="/x", duration_ms=1.5)
    request_id.reset(token)
    assert found.keys() == {
        "timestamp",
        "level",
        "service",
        "correlation_id",
        "message",
        "context",
    }
    assert found["timestamp"].endswith("+00:00")
    assert (found["level"], found["service"]) == ("INFO", "kitty-brain")
    assert (found["correlation_id"], found["message"]) == ("trace-7", "The door is open")
    assert found["context"] == {
        "user_id": "ada",
        "endpoint": "/x",
        "duration_ms": 1.5,
        "logger": "x",
    }


def test_an_error_brings_its_type_words_and_stack() -> None:
    """All in the one line."""
    try:
        int("token=hunter2-4711")
    except ValueError:
        info = sys.exc_info()
    found = line("It broke", exc_info=info)
    assert found["error"].keys() == {"type", "message", "stack_trace"}
    assert found["error"]["type"] == "ValueError"
    assert found["error"]["message"].endswith("'token=***'")
    assert "Traceback" in found["error"]["stack_trace"]
    assert SECRET not in json.dumps(found)


@settings(deadline=None)
@given(text=st.text(), extra=st.dictionaries(st.text(), st.text(), max_size=3))
def test_no_words_can_forge_a_second_line(text: str, extra: dict[str, str]) -> None:
    """Whatever somebody calls a device, one call is one line that parses."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%s", (text,), None)
    record.extra_words = extra
    written = JsonFormatter().format(record)
    assert len(written.splitlines()) == 1
    assert json.loads(written)["level"] == "INFO"


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, Path("/x"), b"raw", float("nan"), ValueError()]
)
def test_anything_can_be_logged(value: object) -> None:
    """A log call never breaks what it tells of."""
    assert line("a", thing=value)["context"]["logger"] == "x"


PLANTED = [
    f"Authorization: Bearer {SECRET}",
    f"authorization: basic {SECRET}",
    f'{{"Authorization": "Bearer {SECRET}"}}',
    f"curl -H 'Authorization: Bearer {SECRET}'",
    f"bearer {SECRET}",
    f"token={SECRET}",
    f"access_token={SECRET}&x=1",
    f"--token {SECRET}".replace(" ", "="),
    f"KITTY_TOKEN={SECRET}",
    f"GET /x?token={SECRET} HTTP/1.1",
    f"X-API-Key: {SECRET}",
    f"apikey = {SECRET}",
    f"api_key: '{SECRET}'",
    f"octoprint_api_key={SECRET}",
    f'password: "two words {SECRET}"',
    f"password='{SECRET} and more'",
    f"passwd={SECRET}",
    f'{{"pin": "{SECRET}", "duress_pin": "{SECRET}"}}',
    f"{{'pin': '{SECRET}'}}",
    f'escaped {{\\"secret\\": \\"{SECRET}\\"}}',
    f"nonce={SECRET}",
    f"signature: {SECRET}==",
    f"postgresql+psycopg://kitty:{SECRET}@host/kitty",
    f"http://user:{SECRET}@printer.local/x",
    f"tokens: {SECRET}",
    f"secret\n=\n{SECRET}",
]


@pytest.mark.parametrize("text", PLANTED)
def test_a_secret_in_words_is_blotted_out(text: str) -> None:
    """However it is written, in the message and in what it was made of."""
    assert SECRET not in redact(text)
    assert SECRET not in json.dumps(line("%s", text))
    assert SECRET not in json.dumps(line("a", note=text, more=[text], deep={"a": {"b": text}}))


@pytest.mark.parametrize(
    "name", ["token", "pin", "duress_pin", "api_key", "Authorization", "nonce"]
)
def test_a_secret_by_its_name_is_blotted_out(name: str) -> None:
    """Also where the value alone looks like nothing."""
    assert SECRET not in json.dumps(line("a", **{name: SECRET}))
    assert SECRET not in json.dumps(line("a", params={name: SECRET, "deep": [{name: [SECRET]}]}))


@pytest.mark.parametrize(
    "text",
    [
        "The door of the workshop is open",
        "The spindle spins: fast",
        "mapping: a to b",
        "http://printer.local:8080/api",
        "2 tokens were made",
        "pinned the key",
        "error 404: not found",
    ],
)
def test_words_that_are_no_secret_stay(text: str) -> None:
    """A log that tells nothing helps nobody."""
    assert redact(text) == text


def test_blotting_out_takes_no_time() -> None:
    """No text makes the log stand still."""
    began = time.thread_time()
    for text in ("_" * 20_000, "a_" * 10_000, 'token="' * 5_000, "://:" * 10_000, "pin" * 10_000):
        redact(text)
    assert time.thread_time() - began < 2


def test_every_logger_writes_json_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """Also those of libraries, at the level that was asked for."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    setup_logging("warning")
    logging.getLogger("some.library").warning("two\nlines token=%s", SECRET)
    logging.getLogger("some.library").info("not this")
    root.handlers[:], root.level = before, level
    (written,) = capfd.readouterr().err.splitlines()
    assert json.loads(written)["message"] == "two\nlines token=***"


# -- one error, one line, one count -------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    """Return the lines that tell of an error."""
    return [record for record in caplog.records if words in record.getMessage()]


@pytest.mark.parametrize(
    ("path", "code", "level"),
    [
        ("/api/v1/devices.get?device_id=x", "device_not_found", "INFO"),
        ("/api/v1/devices.list?limit=0", "invalid_params", "INFO"),
        ("/nowhere", "not_found", "INFO"),
    ],
)
async def test_one_refusal_is_one_line_and_one_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, code: str, level: str
) -> None:
    """Whether it came from the road, the door or the command itself."""
    caplog.set_level(logging.DEBUG, "brain_server")
    before = counters[f"errors_{code}"]
    async with running(tmp_path) as brain, Rest(brain) as rest:
        await rest.get(path, headers={"X-Request-ID": "trace-9"})
    (record,) = told(caplog, code)
    assert (record.levelname, counters[f"errors_{code}"]) == (level, before + 1)


async def test_one_mistake_inside_is_one_line_with_its_stack_and_one_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Under the id that the caller was told."""
    before = counters["errors_internal"]
    async with running(tmp_path) as brain, at_home(brain) as home, Rest(brain) as rest:
        lamp = await home.puppet("lamp", "light")
        lamp.reading = RuntimeError("a wire is loose")
        await rest.act("devices.files", {"device_id": lamp.context.device_id})
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in errors] == ["devices.files broke"]
    assert errors[0].exc_info
    assert counters["errors_internal"] == before + 1


async def test_what_somebody_did_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With who, what and how long; what is only read shows in debugging alone."""
    caplog.set_level(logging.DEBUG, "brain_server")
    async with running(tmp_path) as brain, at_home(brain) as home:
        lamp = await home.puppet("lamp", "light")
        lamp.shows = {"on": True}
        await home.request(lamp.context.device_id, "light_on", wait=5)
        await home.command("devices.list")
    (done,) = told(caplog, "devices.request done")
    (read,) = told(caplog, "devices.list done")
    assert (done.levelname, read.levelname) == ("INFO", "DEBUG")
    assert (done.user_id, done.endpoint) == ("ada", "devices.request")
    assert done.duration_ms > 0


# -- tasks --------------------------------------------------------------------------------------------


async def breaks() -> None:
    """Break."""
    raise ZeroDivisionError


async def never_ends() -> None:
    """Go on for ever."""
    await asyncio.Event().wait()


async def test_a_task_that_breaks_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line with its name and stack, one count, and the health stays green for a single deed."""
    tasks, before = Tasks(), counters["tasks_broken"]
    task = tasks.start("a deed", breaks())
    await asyncio.wait([task])
    await until(lambda: caplog.records, "the line")
    assert [record.getMessage() for record in caplog.records] == ["Task a deed broke"]
    assert (counters["tasks_broken"], tasks.broken) == (before + 1, {})


async def test_a_lasting_task_that_breaks_is_begun_again() -> None:
    """As often as it breaks."""
    tasks, lives = Tasks(pause_s=0.001), 0

    async def breaks_twice() -> None:
        nonlocal lives
        lives += 1
        if lives < 3:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    tasks.keep_up("a watch", breaks_twice)
    await until(lambda: lives == 3, "its third life")
    await tasks.stop()


async def test_a_lasting_task_that_breaks_is_missed_until_it_has_run_well_for_a_while() -> None:
    """Its name shows what does not work."""
    tasks, fail = Tasks(pause_s=0.001, well_s=0.05), asyncio.Event()

    async def breaks_once() -> None:
        if not fail.is_set():
            fail.set()
            raise ZeroDivisionError
        await asyncio.Event().wait()

    tasks.keep_up("a watch", breaks_once)
    await until(lambda: tasks.broken, "its failure")
    assert tasks.broken == {"a watch": "ZeroDivisionError"}
    await until(lambda: not tasks.broken, "the end of the while")
    await tasks.stop()


async def test_a_task_that_is_done_at_last_is_missed_no_more() -> None:
    """What it was to do is done, though it broke before."""
    tasks, lives = Tasks(pause_s=0.001), 0

    async def breaks_once() -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            raise ZeroDivisionError

    await tasks.keep_up("a deed", breaks_once)
    assert (lives, tasks.broken) == (2, {})


async def test_the_pauses_of_a_lasting_task_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a longest one, so that what cannot work does not fill the log."""
    tasks, pauses, enough, real = Tasks(pause_s=100.0), [], asyncio.Event(), asyncio.sleep

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            enough.set()
            await asyncio.Event().wait()
        await real(0)

    monkeypatch.setattr("brain_server.observability.asyncio.sleep", counted)
    tasks.keep_up("a watch", breaks)
    await enough.wait()
    monkeypatch.undo()
    await tasks.stop()
    assert pauses == [100.0, 200.0, 300.0, 300.0]


async def test_the_pauses_begin_anew_after_a_life_that_went_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failure a day is no failure that lasts."""
    tasks, pauses, enough, real = (
        Tasks(pause_s=0.01, well_s=0.0),
        [],
        asyncio.Event(),
        asyncio.sleep,
    )

    async def breaks_late() -> None:
        await real(0.01)
        raise ZeroDivisionError

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("brain_server.observability.asyncio.sleep", counted)
    tasks.keep_up("a watch", breaks_late)
    await enough.wait()
    monkeypatch.undo()
    await tasks.stop()
    assert pauses == [0.01, 0.01, 0.01]


async def test_a_lasting_task_that_ends_as_if_called_off_has_broken() -> None:
    """Nobody called it off."""
    tasks = Tasks()

    async def calls_itself_off() -> None:
        raise asyncio.CancelledError

    tasks.keep_up("a watch", calls_itself_off)
    await until(lambda: tasks.broken, "its failure")
    assert tasks.broken == {"a watch": "CancelledError"}
    await tasks.stop()


async def test_a_lasting_task_that_has_done_its_work_is_over() -> None:
    """It is not begun again, and nothing is missed."""
    tasks = Tasks()
    await asyncio.wait([tasks.keep_up("a watch", lambda: asyncio.sleep(0))])
    assert tasks.broken == {}


async def test_what_is_no_longer_wanted_is_not_missed() -> None:
    """A device that was removed cannot be ill."""
    tasks = Tasks()
    task = tasks.keep_up("a watch", breaks)
    await until(lambda: tasks.broken, "its failure")
    task.cancel()
    tasks.forget("a watch")
    tasks.forget("a watch")
    assert tasks.broken == {}
    await tasks.stop()


async def test_a_lasting_task_that_is_called_off_has_ended_when_its_keeper_has() -> None:
    """Also what it does at its end."""
    tasks, began, ended = Tasks(), asyncio.Event(), asyncio.Event()

    async def tidies_up() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # the others have their turn
            ended.set()

    task = tasks.keep_up("a watch", tidies_up)
    await began.wait()
    task.cancel()
    await asyncio.wait([task])
    assert ended.is_set()


async def test_a_task_that_is_stopped_did_not_break(caplog: pytest.LogCaptureFixture) -> None:
    """All are cancelled, waited for, and forgotten."""
    tasks = Tasks()
    deed, watch = (
        tasks.start("a deed", asyncio.Event().wait()),
        tasks.keep_up("a watch", never_ends),
    )
    await asyncio.sleep(0)  # the others have their turn
    await tasks.stop()
    assert (deed.cancelled(), watch.cancelled()) == (True, True)
    assert (tasks.broken, tasks._tasks, caplog.records) == ({}, set(), [])


async def test_what_must_be_seen_through_goes_on_without_the_one_who_waits() -> None:
    """Cancelling the waiter does not cancel the deed."""
    tasks, began, may_end, ended = Tasks(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def deed() -> None:
        began.set()
        await may_end.wait()
        ended.set()

    waiter = tasks.start("a waiter", tasks.see_through("a deed", deed()))
    await began.wait()
    waiter.cancel()
    await asyncio.wait([waiter])
    may_end.set()
    await asyncio.wait_for(ended.wait(), SOON)


async def test_what_is_seen_through_gives_its_result_or_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To the one who waits, and to nobody else."""
    tasks = Tasks()
    assert await tasks.see_through("a deed", asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ZeroDivisionError):
        await tasks.see_through("a deed", breaks())
    assert caplog.records == []


# -- health -------------------------------------------------------------------------------------------


async def well() -> str | None:
    """Be well."""
    return None


async def test_each_part_is_checked_at_the_same_time() -> None:
    """Two that hang take no longer than one, and those that are well say so."""
    health, stuck = Health(), asyncio.Event()

    async def hangs() -> str | None:
        await stuck.wait()
        return None

    for name, check in {"a": hangs, "b": well, "c": hangs}.items():
        health.add(name, check)
    began = time.perf_counter()
    parts = await health.run(limit=3)
    assert time.perf_counter() - began < 5.8
    assert [(part["name"], part["ok"], part["detail"]) for part in parts] == [
        ("a", False, "No answer within 3 s"),
        ("b", True, None),
        ("c", False, "No answer within 3 s"),
    ]


async def test_it_is_remembered_how_long_the_last_checks_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each part as many figures as there were looks; none for one that joined later."""
    monkeypatch.setattr("brain_server.observability.APART", 0.0)
    health = Health()
    health.add("a", well)
    await health.run()
    health.add("b", well)
    await health.run()
    told = health.times()
    assert told["at"] == sorted(told["at"])
    assert [len(told["parts"][name]) for name in "ab"] == [2, 2]
    assert told["parts"]["b"][0] is None
    assert min(told["parts"]["a"]) >= 0


async def test_only_the_last_looks_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A brain that runs for a year has no year of them."""
    monkeypatch.setattr("brain_server.observability.LOOKS", 2)
    monkeypatch.setattr("brain_server.observability.APART", 0.0)
    health = Health()
    health.add("a", well)
    for _ in range(3):
        await health.run()
    assert len(health.times()["at"]) == 2


async def test_who_asks_again_and_again_does_not_shorten_what_is_remembered() -> None:
    """Whoever asks whether the brain is ready, each second, leaves the last hour as it is."""
    health = Health()
    health.add("a", well)
    for _ in range(3):
        await health.run()
    assert len(health.times()["at"]) == 1


async def test_a_check_that_fails_is_red_with_its_reason() -> None:
    """In words where there are words, else by the kind of the mistake."""
    health = Health()

    async def down() -> str | None:
        raise Unavailable("storage_failed", "The database cannot be used")

    async def mistaken() -> str | None:
        raise KeyError("secret detail")

    for name, check in {"a": down, "b": mistaken, "c": well}.items():
        health.add(name, check)
    details = {part["name"]: part["detail"] for part in await health.run()}
    assert details == {"a": "The database cannot be used", "b": "KeyError", "c": None}


def test_a_check_has_five_seconds() -> None:
    """As promised."""
    assert HEALTH_TIMEOUT == 5
