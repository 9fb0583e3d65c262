"""Signed webhooks: a receiver can prove them, and they go only where an administrator may send them."""

from collections.abc import Sequence
from ipaddress import ip_address
import socket

import pytest

from brain_server.errors import InvalidRequest, Unavailable
from brain_server.notify import webhook
from brain_server.notify.webhook import Webhooks, is_allowed, new_secret, sign
from tests.brain.notify.conftest import Receiver

NOW = 1_900_000_000.9
BODY = b'{"test": 2432232314}'


def near(**given: object) -> Webhooks:
    """Return what may reach a receiver on this machine."""
    return Webhooks(own_port=1, allow=lambda _address: True, **given)  # type: ignore[arg-type]  # by their names


async def send(receiver: Receiver, webhooks: Webhooks | None = None, url: str = "") -> None:
    """Send one."""
    await (webhooks or near()).send(
        url or receiver.url, new_secret(), message_id="m1", body=BODY, now=NOW
    )


def test_a_signature_is_the_one_of_the_specification() -> None:
    """The example that its libraries are tried with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", BODY)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_long_and_never_the_same() -> None:
    """32 bytes of chance."""
    one, other = new_secret(), new_secret()
    assert one != other
    assert (one[:6], len(one)) == ("whsec_", 50)


async def test_a_receiver_sees_the_message_its_id_its_time_and_its_signature(
    receiver: Receiver,
) -> None:
    """With which it can tell who sent it, when, and whether it came before."""
    secret = new_secret()
    await near().send(receiver.url, secret, message_id="m1", body=BODY, now=NOW)
    ((headers, body),) = receiver.taken
    assert body == BODY
    assert headers["content-type"] == "application/json"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("m1", "1900000000")
    assert headers["webhook-signature"] == sign(secret, "m1", "1900000000", BODY)


@pytest.mark.parametrize("change", ["id", "time", "body", "secret"])
def test_a_signature_fits_nothing_else(change: str) -> None:
    """Whatever is changed, it is another one."""
    secret, given = new_secret(), {"id": "m1", "time": "1", "body": "{}", "secret": ""}
    other = given | {change: given[change] + "0"}
    keys = [secret, new_secret() if change == "secret" else secret]
    signed = [
        sign(key, one["id"], one["time"], one["body"].encode())
        for key, one in zip(keys, (given, other), strict=True)
    ]
    assert signed[0] != signed[1]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
async def test_what_a_receiver_does_not_take_has_failed(receiver: Receiver, status: int) -> None:
    """Also a redirect, which is not followed."""
    receiver.status = status
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    with pytest.raises(Unavailable) as caught:
        await send(receiver)
    assert (caught.value.code, caught.value.fields["http_status"]) == ("webhook_failed", status)
    assert len(receiver.taken) == 1


async def test_a_receiver_can_say_that_it_is_gone(receiver: Receiver) -> None:
    """No further try is made."""
    receiver.status = 410
    with pytest.raises(InvalidRequest) as caught:
        await send(receiver)
    assert caught.value.code == "webhook_gone"


async def test_nobody_there_is_a_failure() -> None:
    """Nothing listens at this port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(Unavailable) as caught:
        await send(Receiver(), url=url)
    assert caught.value.fields == {"reason": "ClientConnectorError"}


async def test_a_receiver_that_never_answers_is_a_failure(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for for ever."""
    monkeypatch.setattr(webhook, "TIMEOUT", 0.0)
    with pytest.raises(Unavailable) as caught:
        await send(receiver)
    assert caught.value.fields == {"reason": "TimeoutError"}


async def test_a_name_that_nobody_knows_is_a_failure() -> None:
    """It may be known later."""

    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError

    with pytest.raises(Unavailable) as caught:
        await send(Receiver(), near(resolve=unknown), "http://receiver.example/")
    assert caught.value.code == "webhook_failed"


async def test_a_name_that_leads_to_this_machine_is_refused_before_anything_is_sent(
    receiver: Receiver,
) -> None:
    """Also where only one of its addresses does."""

    async def both(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.216.34", "127.0.0.1"]

    url = receiver.url.replace("127.0.0.1", "receiver.example")
    with pytest.raises(InvalidRequest) as caught:
        await send(receiver, Webhooks(own_port=1, resolve=both), url)
    assert (caught.value.code, receiver.taken) == ("url_refused", [])


async def test_a_name_is_asked_once_and_connected_to_as_it_was_judged(receiver: Receiver) -> None:
    """What it answers the second time is not asked for."""
    asked: list[str] = []

    async def once(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    url = receiver.url.replace("127.0.0.1", "receiver.example")
    await send(receiver, near(resolve=once), url)
    assert (asked, len(receiver.taken)) == (["receiver.example"], 1)


async def test_the_brain_sends_nothing_to_itself(receiver: Receiver) -> None:
    """By whichever of its addresses."""
    port = int(receiver.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(InvalidRequest) as caught:
        await send(receiver, Webhooks(own_port=port, allow=lambda _address: True))
    assert (caught.value.code, receiver.taken) == ("url_refused", [])


@pytest.mark.parametrize("other", ["127.0.0.2", "255.255.255.255"])
async def test_another_address_may_listen_on_the_port_of_the_brain(other: str) -> None:
    """It is asked, though nobody is there."""
    here = Webhooks(own_port=9, allow=lambda _address: True)
    with pytest.raises(Unavailable):
        await send(Receiver(), here, f"http://{other}:9/")


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "10.1.2.3",
        "172.16.0.9",
        "192.168.1.5",
        "100.64.0.1",
        "fd12:3456::1",
        "2606:4700::1",
        "::ffff:192.168.1.5",
    ],
)
def test_webhooks_go_to_the_web_and_into_the_house(address: str) -> None:
    """Where people have receivers."""
    assert is_allowed(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - refused
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_webhooks_do_not_go_to_this_machine_nor_to_the_inside_of_a_cloud(address: str) -> None:
    """In none of the ways in which that can be written."""
    assert not is_allowed(ip_address(address))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://receiver.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("http://user:word@receiver.example/", "credentials"),
        ("http://receiver.example/ x", "form"),
        ("http://127.0.0.1:8100/api", "address"),
        ("http://[::1]/", "address"),
        ("http://169.254.169.254/latest", "address"),
    ],
)
def test_what_no_webhook_may_have_is_refused_when_it_is_set(url: str, reason: str) -> None:
    """A person sees it at once."""
    with pytest.raises(InvalidRequest) as caught:
        Webhooks().check(url)
    assert (caught.value.code, caught.value.fields["reason"]) == ("url_refused", reason)


@pytest.mark.parametrize(
    "url", ["https://receiver.example/hook?x=1", "http://192.168.1.5:1880/kitty", "http://nas/"]
)
def test_a_web_address_can_be_set(url: str) -> None:
    """Names are looked up when something is sent."""
    Webhooks().check(url)
