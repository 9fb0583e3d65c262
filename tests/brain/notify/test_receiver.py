"""The receiver of docs/NOTIFICATIONS.md: it takes what KITTY sends, once, and nothing else."""

from collections.abc import Callable
from pathlib import Path
import re
import time
from typing import Any

import pytest

from brain_server.notify.webhook import Webhooks, new_secret
from tests.brain.notify.conftest import Receiver

DOCUMENT = Path(__file__).parents[3] / "docs" / "NOTIFICATIONS.md"

type Verify = Callable[[str, dict[str, str], bytes], bool]
type Message = tuple[str, dict[str, str], bytes]


@pytest.fixture
def verify() -> Verify:
    """Return the function of the document, as people copy it."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own document
    found: Verify = names["verify"]
    return found


async def message(receiver: Receiver, *, age: float = 0.0) -> Message:
    """Return a secret and a message that was really sent with it."""
    secret, webhooks = new_secret(), Webhooks(own_port=1, allow=lambda _address: True)
    now = time.time() - age
    await webhooks.send(receiver.url, secret, message_id="m1", body=b'{"a":1}', now=now)
    ((headers, body),) = receiver.taken
    return secret, headers, body


async def test_it_takes_a_message(receiver: Receiver, verify: Verify) -> None:
    """As it came over the wire."""
    assert verify(*await message(receiver))


async def test_it_takes_no_message_twice(receiver: Receiver, verify: Verify) -> None:
    """Whoever listened in can play it back, and gains nothing."""
    came = await message(receiver)
    assert [verify(*came), verify(*came)] == [True, False]


@pytest.mark.parametrize("age", [400.0, -400.0])
async def test_it_takes_no_message_of_another_time(
    receiver: Receiver, verify: Verify, age: float
) -> None:
    """When the ids of that time are forgotten, or not yet known."""
    assert not verify(*await message(receiver, age=age))


async def test_it_takes_nothing_that_was_changed(receiver: Receiver, verify: Verify) -> None:
    """Neither the body nor the id; and that spoils nothing for the true one."""
    secret, headers, body = await message(receiver)
    assert not verify(secret, headers, body + b" ")
    assert not verify(secret, headers | {"webhook-id": "m2"}, body)
    assert not verify(new_secret(), headers, body)
    assert verify(secret, headers, body)
