"""Commands on MQTT: nobody's, an automation's, once each, and never an approval."""

from typing import Any

import pytest

from brain_server.commands import Caller, Scope
from brain_server.errors import Forbidden
from brain_server.protocol import Channel, Json
from brain_server.relay.commands import Inbound

COMMAND = {"id": "c-1", "device_id": "d" * 32, "intent": "unlock", "params": {}}


class Asked:
    """Takes the place of the one road to devices."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.params: list[Json] = []
        self.event: Json | None = {"id": "e" * 32, "people_needed": 2, "nonce": "secret"}
        self.error: Exception | None = None

    async def __call__(self, caller: Caller, params: Json) -> Json:
        """Note what is asked."""
        self.callers.append(caller)
        self.params.append(params)
        if self.error is not None:
            raise self.error
        return {
            "command": {"id": "c" * 32, "status": "pending", "detail": None},
            "event": self.event,
        }


@pytest.fixture
def asked() -> Asked:
    """Give the road."""
    return Asked()


async def test_a_command_is_asked_for_by_nobody_on_the_road_of_automations(asked: Asked) -> None:
    await Inbound(asked).take(dict(COMMAND))
    (caller,) = asked.callers
    assert (caller.user_id, caller.channel, caller.scope) == (
        None,
        Channel.AUTOMATION,
        Scope.CONTROL,
    )


async def test_the_id_makes_it_one_command_however_often_it_comes(asked: Asked) -> None:
    await Inbound(asked).take(dict(COMMAND))
    assert asked.params == [
        {
            "device_id": COMMAND["device_id"],
            "intent": "unlock",
            "params": {},
            "idempotency_key": "c-1",
        }
    ]


async def test_the_answer_tells_how_it_stands_and_nothing_that_could_approve(asked: Asked) -> None:
    answer = await Inbound(asked).take(dict(COMMAND))
    assert answer == {
        "id": "c-1",
        "ok": True,
        "command_id": "c" * 32,
        "status": "pending",
        "detail": None,
        "people_needed": 2,
        "event_id": "e" * 32,
    }


async def test_what_needs_nobody_says_so(asked: Asked) -> None:
    asked.event = None
    answer = await Inbound(asked).take(dict(COMMAND))
    assert (answer["people_needed"], answer["event_id"]) == (0, None)


async def test_a_refusal_is_an_answer(asked: Asked) -> None:
    asked.error = Forbidden("not_capable", "It cannot do this")
    answer = await Inbound(asked).take(dict(COMMAND))
    assert answer == {
        "id": "c-1",
        "ok": False,
        "error": {"code": "not_capable", "message": "It cannot do this"},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"intent": None},
        {"params": []},
        {"device_id": "d" * 65},
        {"decision": "approve"},
        {"id": "c/1"},
    ],
    ids=["no intent", "no object", "too long", "an approval", "no id"],
)
async def test_what_is_no_command_is_refused_and_asked_of_nobody(
    asked: Asked, wrong: dict[str, Any]
) -> None:
    answer = await Inbound(asked).take(COMMAND | wrong)
    assert answer["error"]["code"] == "invalid_params"
    assert asked.params == []
