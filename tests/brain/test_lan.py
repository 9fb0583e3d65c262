"""What a device's web server may say, and what a person may type."""

import asyncio
import io
import math
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

from aiohttp import ClientConnectionError, ClientSession
import pytest

from brain_server.errors import InvalidRequest
from brain_server.lan import (
    Spool,
    address,
    file_name,
    number,
    once,
    one_line,
    parsed,
    record,
    sentence,
)


@pytest.mark.parametrize("text", [b"\xff\xfe", "", "[1,", "[" * 10**6, b'{"a":' * 10**6])
def test_what_is_no_json_says_nothing(text: str | bytes) -> None:
    """Nor does what is nested deeper than anybody could read."""
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("value", "known"),
    [(20, 20.0), (1.26, 1.3), (math.nan, None), (math.inf, None), ("1", None), (None, None)],
)
def test_a_number_is_finite_and_short(value: Any, known: float | None) -> None:
    """Anything else is not known."""
    assert number(value) == known


@pytest.mark.parametrize(
    ("text", "line"),
    [("two\n lines", "two lines"), ("x" * 300, "x" * 200), ("", None), (None, None), (" ", None)],
)
def test_a_text_fits_a_notice(text: Any, line: str | None) -> None:
    """One line of it."""
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Must home first", "Must home first"), ("<p>Traceback", "HTTP 500"), (None, "HTTP 500")],
)
def test_a_servers_own_sentence_is_shown_and_its_markup_never(text: Any, shown: str) -> None:
    """Where it has none, ours is."""
    assert sentence(text, "HTTP 500") == shown


@pytest.mark.parametrize("value", [None, [1], "text", 7])
def test_what_is_no_record_is_an_empty_one(value: Any) -> None:
    """So that it can be looked into all the same."""
    assert record(value) == {}


@pytest.mark.parametrize("value", ["printer", "ftp://printer", "http://", "http://[", None])
def test_what_is_no_address_is_named(value: Any) -> None:
    """By the field into which it was typed."""
    with pytest.raises(InvalidRequest) as raised:
        address(value, "url")
    assert (raised.value.code, raised.value.fields["field"]) == ("invalid_option", "url")


@pytest.mark.parametrize(
    ("name", "safe"),
    [("../../a b.gcode", "a b.gcode"), ("C:\\x\\é.gcode", "é.gcode"), ('a"\n.gcode', "a.gcode")],
)
def test_a_file_name_has_no_path(name: str, safe: str) -> None:
    """Nor anything that would break out of a header."""
    assert file_name(name) == safe


@pytest.mark.parametrize("name", ["", "..", " . ", "x" * 201])
def test_what_is_no_file_name_is_refused(name: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest) as raised:
        file_name(name)
    assert raised.value.code == "invalid_file_name"


async def test_a_request_whose_connection_breaks_is_not_sent_again() -> None:
    """Without it, aiohttp asks a second time."""
    asked = 0

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.close()

    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, ClientSession() as session:
        with pytest.raises(ClientConnectionError):
            await session.put(url)
        assert asked == 2
        with pytest.raises(ClientConnectionError):
            await session.put(url, middlewares=(once,))
    assert asked == 3


async def test_a_file_is_closed_by_two_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by us and by aiohttp when the line breaks; who comes second finds nothing to do."""
    near, closed = Event(), Event()

    class Slow(io.FileIO):
        """Lets the other one close it just after a thread saw that it is open and before that flushes it."""

        looks = 0

        @property
        def closed(self) -> bool:
            """Tell what was so when it was asked."""
            answer = super().closed
            if current_thread() is not main_thread():
                self.looks += 1
                if self.looks == 2:
                    near.set()
                    closed.wait(0.2)
            return answer

    monkeypatch.setattr(
        "brain_server.lan.tempfile.TemporaryFile", lambda buffering: Slow(tmp_path / "file", "w+b")
    )
    spool = Spool()
    spool.write(bytes(100_000))
    spool.seek(0)
    spool.read(10)
    closing = asyncio.get_running_loop().run_in_executor(None, spool.close)
    await asyncio.to_thread(near.wait)
    spool.close()
    closed.set()
    await closing
    assert spool.closed
