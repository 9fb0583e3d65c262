"""What a Bambu printer's servers may answer instead of what they should."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
import ftplib
from pathlib import Path
import socket
import ssl
import threading

import pytest

from brain_server.drivers.bambu.camera import picture
from brain_server.drivers.bambu.files import Ftps
from brain_server.drivers.bambu.mqtt import Mqtt
from brain_server.drivers.bambu.trust import Trust, trust
from brain_server.errors import DeviceError
from tests.standins.certificates import makers

SERIAL = "01P00A000000001"
ACCEPTED = b"\x20\x02\x00\x00"


@asynccontextmanager
async def answering(folder: Path, *answers: bytes) -> AsyncIterator[tuple[int, Trust]]:
    """Give the port of a server with the printer's certificate that answers each message with one of these."""
    _, fingerprint = makers(folder, SERIAL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "printer.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
        writer.transport.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], trust(SERIAL, fingerprint, None)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([b"\x20\x02\x00\x05"], "invalid_auth"),
        ([b"\x20\x02\x00\x04"], "invalid_auth"),
        ([b"\x20\x02\x00\x03"], "cannot_connect"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "cannot_connect"),
        ([b"\x20\xff\xff\xff\xff\x7f"], "cannot_connect"),
        ([b""], "cannot_connect"),
        ([ACCEPTED, b"\x90\x03\x00\x01\x80"], "cannot_connect"),
        ([ACCEPTED, b"\x30\x00"], "cannot_connect"),
    ],
)
async def test_a_broker_that_does_not_let_us_listen_is_told_by_name(
    tmp_path: Path, answers: list[bytes], code: str
) -> None:
    """A wrong access code is not a wrong address."""
    async with answering(tmp_path, *answers) as (port, known):
        with pytest.raises(DeviceError) as raised:
            await Mqtt.open("127.0.0.1", port, known, user="bblp", password="x", topic="t")
    assert raised.value.code == code


async def test_what_is_no_message_is_passed_over_and_a_message_is_not_sent_on_a_broken_line(
    tmp_path: Path,
) -> None:
    """The answer to a ping, for one; after the end, nothing goes out any more."""
    subscribed = b"\x90\x03\x00\x01\x00"
    async with answering(tmp_path, ACCEPTED, subscribed, b"\xd0\x00\x30\x05\x00\x01thi") as (
        port,
        known,
    ):
        link = await Mqtt.open("127.0.0.1", port, known, user="bblp", password="x", topic="t")
        link.ping()
        assert await link.next() == b"hi"
        with pytest.raises(DeviceError):
            await link.next()
        link.close()
        assert link.broken
        with pytest.raises(DeviceError):
            await link.publish("t", b"too late")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        (9).to_bytes(4, "little") + bytes(12) + b"\xff\xd8\xff",
        (4).to_bytes(4, "little") + bytes(12) + b"text",
        b"\xff" * 16,
    ],
)
async def test_what_is_no_picture_is_not_shown(tmp_path: Path, answer: bytes) -> None:
    """Nothing, half of one, something else, or more than anybody can keep."""
    async with answering(tmp_path, answer) as (port, known):
        with pytest.raises(DeviceError) as raised:
            await picture("127.0.0.1", port, known, "bblp", "x")
    assert raised.value.code == "camera_failed"


def test_a_list_of_files_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends it must not fill the memory."""
    here, there = socket.socketpair()
    sent = 0

    def pour() -> None:
        nonlocal sent
        with there, suppress(OSError):
            for _ in range(64):
                there.sendall(b"part.gcode\r\n" * 100_000)
                sent += 1

    session = Ftps(Trust(serial=SERIAL))
    monkeypatch.setattr(session, "voidcmd", lambda _line: "200")
    monkeypatch.setattr(session, "transfercmd", lambda _line: here)
    pouring = threading.Thread(target=pour)
    pouring.start()
    with pytest.raises(ftplib.Error):
        session.names()
    pouring.join()
    assert sent < 8


def _cut_off(_line: str = "") -> str:
    raise EOFError


def test_a_list_of_files_that_breaks_off_in_the_middle_of_a_letter_is_a_broken_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first half of an ü is no fault of KITTY."""
    here, there = socket.socketpair()
    with there:
        there.sendall("Krümel.gcode\r\nWürfel.gcode".encode()[:17])
    session = Ftps(Trust(serial=SERIAL))
    monkeypatch.setattr(session, "_open", lambda *_where: None)
    monkeypatch.setattr(session, "voidcmd", lambda _line: "200")
    monkeypatch.setattr(session, "transfercmd", lambda _line: here)
    monkeypatch.setattr(session, "voidresp", _cut_off)
    with pytest.raises(DeviceError) as raised:
        session.within("127.0.0.1", 990, "bblp", "0", Ftps.names)
    assert raised.value.code == "cannot_connect"


def test_a_greeting_that_breaks_off_in_the_middle_of_a_letter_is_a_broken_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As every other line that breaks."""
    here, there = socket.socketpair()
    with there:
        there.sendall("220 Grü".encode()[:-1])
    session = Ftps(Trust(serial=SERIAL))
    monkeypatch.setattr(socket, "create_connection", lambda *_where: here)
    monkeypatch.setattr(session, "_wrap", lambda plain, _session: plain)
    with pytest.raises(DeviceError) as raised:
        session.within("127.0.0.1", 990, "bblp", "0", Ftps.names)
    assert raised.value.code == "cannot_connect"
