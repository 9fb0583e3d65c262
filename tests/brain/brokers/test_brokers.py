"""Brokers by their addresses, and what is said of them."""

import asyncio
from pathlib import Path
import sys
from types import SimpleNamespace
from typing import Any

import aio_pika
import pytest

from brain_server.brokers import Broker, Message, Where, decoded, discover, find
from brain_server.brokers.amqp import AmqpLink
from brain_server.errors import InvalidRequest, Unavailable
from tests.standins.server import free_port

MESSAGE = Message(id="i:1:a", topic="task", key="w", name="health check", at=1.5, data={"id": "w"})


def where(url: str) -> Where:
    """Return an address."""
    return Where(url=url, instance_id="5eed")


def broker(url: str) -> Broker:
    """Return the broker of an address."""
    return find(where(url), "broker_url")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mqtt://host", "mqtt"),
        ("mqtts://host:8883", "mqtt"),
        ("amqp://guest:guest@host/", "amqp"),
        ("amqps://host", "amqp"),
        ("nats://host:4222", "nats"),
        ("tls://host", "nats"),
        ("kafka://host", "kafka"),
        ("kafkas://host", "kafka"),
    ],
)
def test_the_address_tells_which_kind_it_is(url: str, name: str) -> None:
    assert broker(url).name == name


@pytest.mark.parametrize(
    "url", ["http://host", "host:1883", "mqtt://", "mqtt://host:port", "mqtt://host:0", "nats:///x"]
)
def test_an_address_of_nothing_that_is_known_names_the_setting(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        broker(url)
    assert caught.value.fields == {"field": "broker_url"}
    assert "mqtt://" in caught.value.message


def test_a_password_is_never_shown() -> None:
    assert where("amqp://me:s3cret@host:5672/x").shown == "amqp://host:5672"
    assert where("mqtt://me:s3cret@host").shown == "mqtt://host"


def test_user_and_password_may_have_any_letters() -> None:
    assert where("mqtt://me%40home:p%3A%2F@host").login == ("me@home", "p:/")
    assert where("mqtt://host").login == (None, None)


def test_a_file_that_cannot_be_trusted_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(InvalidRequest) as caught:
        where(f"mqtts://host?cafile={tmp_path}/ca.pem").trust()
    assert caught.value.fields == {"field": "cafile"}


def test_without_a_file_the_system_is_trusted() -> None:
    assert where("mqtts://host").trust().check_hostname is True


def test_a_message_has_a_place_without_separators_and_wildcards() -> None:
    assert MESSAGE.place == "task.health_check"
    assert Message(id="1", topic="job", key="", name="a/#.*>", at=0, data={}).place == "job.a__.__"


def test_a_message_is_whole_in_its_envelope_and_bare_beside_headers() -> None:
    assert decoded(MESSAGE.envelope()) == {
        "id": "i:1:a",
        "topic": "task",
        "key": "w",
        "name": "health check",
        "at": 1.5,
        "data": {"id": "w"},
    }
    assert decoded(MESSAGE.body()) == {"id": "w"}
    assert MESSAGE.headers() == {"topic": "task", "key": "w", "name": "health check"}


def test_a_message_without_its_data_is_still_the_same_message() -> None:
    bare = MESSAGE.bare()
    assert (bare.id, bare.key, bare.data) == ("i:1:a", "w", {"left_out": 10})


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"x"'])
def test_what_is_no_object_is_nothing(payload: bytes) -> None:
    assert decoded(payload) is None


def test_every_kind_of_broker_is_found_by_itself() -> None:
    assert set(discover()) == {"amqp", "kafka", "mqtt", "nats"}


@pytest.mark.parametrize(
    ("url", "library"),
    [("amqp://host", "aio_pika"), ("nats://host", "nats"), ("kafka://host", "aiokafka")],
)
async def test_a_library_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Unavailable) as caught:
        async with (await asyncio.to_thread(broker, url)).connect():
            pass
    assert caught.value.code == "broker_library_missing"
    assert caught.value.fields == {"library": library, "extra": url.partition(":")[0]}


@pytest.mark.parametrize("scheme", ["mqtt", "amqp", "nats", "kafka"])
async def test_a_broker_that_is_not_there_is_unreachable(scheme: str) -> None:
    port = free_port()
    found = await asyncio.to_thread(broker, f"{scheme}://me:s3cret@127.0.0.1:{port}")
    with pytest.raises(Unavailable) as caught:
        async with found.connect():
            pass
    assert caught.value.code == "broker_unreachable"
    assert caught.value.message == f"{scheme}://127.0.0.1:{port} does not answer"
    assert "s3cret" not in str(caught.value.fields)


async def test_an_event_for_an_amqp_connection_that_has_just_ended_waits_for_the_next() -> None:
    """What the library says of it is none of its own errors of AMQP."""
    gone: Any = SimpleNamespace(is_closed=True)
    link = AmqpLink(where("amqp://host"), aio_pika, None, aio_pika.Exchange(gone, "kitty"))
    with pytest.raises(Unavailable) as caught:
        await link.publish(MESSAGE)
    assert caught.value.code == "broker_unreachable"
