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
    began = time.perf_counter()
    for text in ("_" * 20_000, "a_" * 10_000, 'token="' * 5_000, "://:" * 10_000, "pin" * 10_000):
        redact(text)
    assert time.perf_counter() - began < 2


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


async def test_a_task_that_breaks_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line with its name and stack, one count, and the health stays green for a single deed."""
    tasks, before = Tasks(), counters["tasks_broken"]
    task = tasks.start("a deed", breaks())
    await asyncio.wait([task])
    await until(lambda: caplog.records, "the line")
    assert [record.getMessage() for record in caplog.records] == ["Task a deed broke"]
    assert (counters["tasks_broken"], tasks.broken) == (before + 1, {})


async def test_a_lasting_task_that_breaks_is_missed_until_it_runs_again() -> None:
    """Its name shows what does not work."""
    tasks = Tasks()
    await asyncio.wait([tasks.start("a watch", breaks(), lasting=True)])
    assert tasks.broken == {"a watch": "ZeroDivisionError"}
    tasks.start("a watch", asyncio.Event().wait(), lasting=True)
    assert tasks.broken == {}
    await tasks.stop()


async def test_what_is_no_longer_wanted_is_not_missed() -> None:
    """A device that was removed cannot be ill."""
    tasks = Tasks()
    await asyncio.wait([tasks.start("a watch", breaks(), lasting=True)])
    tasks.forget("a watch")
    tasks.forget("a watch")
    assert tasks.broken == {}


async def test_a_task_that_is_stopped_did_not_break(caplog: pytest.LogCaptureFixture) -> None:
    """All are cancelled, waited for, and forgotten."""
    tasks = Tasks()
    task = tasks.start("a watch", asyncio.Event().wait(), lasting=True)
    await tasks.stop()
    assert task.cancelled()
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
    await asyncio.wait_for(ended.wait(), 1)


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
    parts = await health.run(limit=0.3)
    assert time.perf_counter() - began < 0.58
    assert [(part["name"], part["ok"], part["detail"]) for part in parts] == [
        ("a", False, "No answer within 0.3 s"),
        ("b", True, None),
        ("c", False, "No answer within 0.3 s"),
    ]


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
