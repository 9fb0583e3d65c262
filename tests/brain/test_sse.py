"""Server-sent events however they are cut, and connections that never come about."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
import socket
import ssl
import time

from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, strategies as st
import msgspec
import pytest
from yarl import URL

from brain_server import sse
from brain_server.errors import ProviderError
from brain_server.sse import Events, Wire
from tests.brain.soon import SOON

ANY = msgspec.json.Decoder[object](object)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """Give a session."""
    async with ClientSession() as made:
        yield made


def wire(session: ClientSession, url: str, *, connect_s: float = 5.0) -> Wire:
    """Return the way to a server."""
    return Wire(session, URL(url), {"X-Key": "k"}, secret="k", connect_s=connect_s)


async def asked(way: Wire) -> object:
    """Return what a server answers."""
    return await way.ask("GET", "models", ANY, seconds=5, model="m")


def fed(*chunks: bytes) -> list[bytes]:
    """Return the data of the events in these chunks."""
    events = Events()
    return [data for chunk in chunks for data in events.feed(chunk)]


# -- events ---------------------------------------------------------------------------------------------


def test_the_data_of_each_event_is_found() -> None:
    assert fed(b"data: one\n\ndata:two\n\n") == [b"one", b"two"]


def test_data_of_several_lines_is_one() -> None:
    assert fed(b"data: one\ndata: two\n\n") == [b"one\ntwo"]


def test_names_comments_and_empty_events_are_passed_over() -> None:
    assert fed(b": hello\nevent: ping\nid: 7\nretry: 3\n\n\n\ndata: one\nevent: x\n\n") == [b"one"]


def test_an_event_that_never_ended_is_none() -> None:
    assert fed(b"data: one\n\ndata: two\n", b"data: three") == [b"one"]


@given(
    st.lists(st.lists(st.binary(max_size=5), min_size=1, max_size=3), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sets(st.integers(min_value=0, max_value=150)),
)
def test_events_are_the_same_however_they_are_cut(
    events: list[list[bytes]], end: bytes, cuts: set[int]
) -> None:
    lines = [[part.hex().encode() for part in event] for event in events]
    body = b"".join(
        b"".join(b"data: " + line + end for line in event) + b": more" + end + end
        for event in lines
    )
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    chunks = [body[start:stop] for start, stop in pairwise(places)]
    assert fed(*chunks) == [b"\n".join(event) for event in lines]


def test_an_event_without_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_EVENT", 100)
    with pytest.raises(ProviderError) as raised:
        fed(*[b"data: 0123456789"] * 10)
    assert raised.value.code == "provider_invalid"


def test_an_event_of_endless_lines_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_EVENT", 100)
    with pytest.raises(ProviderError) as raised:
        fed(*[b"data: 0123456789\n"] * 20)
    assert raised.value.code == "provider_invalid"


def test_arguments_are_an_object_or_none() -> None:
    written = ("", ' {"a": 1}', "[]", "{", "null", "\ud800", "[" * 200_000)
    assert [sse.arguments(text) for text in written] == [{}, {"a": 1}, *[None] * 5]


# -- connections ----------------------------------------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[str]:
    """Give the address of a machine that takes no more connections, and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"
        for one in waiting:
            one.close()


async def test_a_machine_that_takes_no_connection_is_unreachable(
    session: ClientSession, deaf: str
) -> None:
    began = time.perf_counter()
    with pytest.raises(ProviderError) as raised:
        await wire(session, deaf, connect_s=0.2).ask("GET", "models", ANY, seconds=600, model="m")
    assert raised.value.code == "provider_unreachable"
    assert time.perf_counter() - began < SOON


async def test_a_server_that_cannot_prove_who_it_is_is_unreachable(
    session: ClientSession, tmp_path: Path
) -> None:
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    context = await asyncio.to_thread(self_signed, tmp_path / "both.pem")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        with pytest.raises(ProviderError) as raised:
            await asked(wire(session, f"https://127.0.0.1:{runner.addresses[0][1]}"))
    finally:
        await runner.cleanup()
    assert raised.value.code == "provider_unreachable"
    assert "cannot prove" in raised.value.message


async def test_an_answer_that_does_not_come_in_time_is_cut_off(session: ClientSession) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        way = wire(session, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ProviderError) as raised:
            await way.ask("GET", "models", ANY, seconds=0.2, model="m")
    assert raised.value.code == "provider_cut_off"


@pytest.fixture
async def half() -> AsyncIterator[str]:
    """Give the address of a server that promises a hundred bytes and sends two."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        status = b"500 Oh" if b"broken" in request else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 100\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_half_an_answer_is_cut_off(session: ClientSession, half: str) -> None:
    with pytest.raises(ProviderError) as raised:
        await asked(wire(session, half))
    assert raised.value.code == "provider_cut_off"


async def test_half_a_refusal_is_a_refusal(session: ClientSession, half: str) -> None:
    with pytest.raises(ProviderError) as raised:
        await asked(wire(session, f"{half}/broken"))
    assert (raised.value.code, raised.value.fields) == ("provider_failed", {"http_status": 500})


async def test_an_answer_without_end_is_not_read_for_ever(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"[" * 1000)

    monkeypatch.setattr(sse, "MOST_ANSWER", 10_000)
    app = web.Application()
    app.router.add_get("/models", endless)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(ProviderError) as raised:
            await asked(wire(session, f"http://127.0.0.1:{runner.addresses[0][1]}"))
    finally:
        await runner.cleanup()
    assert raised.value.code == "provider_invalid"


async def test_a_tail_that_does_not_come_is_not_waited_for(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tailless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: last\n\n")
        await asyncio.sleep(60)
        return response

    monkeypatch.setattr(sse, "_TAIL_S", 0.1)
    app = web.Application()
    app.router.add_post("/chat", tailless)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        way = wire(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
        began = time.perf_counter()
        async with aclosing(way.stream("chat", {}, model="m")) as events:
            assert await anext(events) == b"last"
            await sse.drain(events)
        assert time.perf_counter() - began < SOON
    finally:
        await runner.cleanup()


def self_signed(path: Path) -> ssl.SSLContext:
    """Return the context of a server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context
