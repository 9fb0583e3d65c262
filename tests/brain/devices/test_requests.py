"""Requests: checked before anything is recorded, carried out once, ended by what was seen."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
import logging
from typing import Any

import pytest

from brain_server.drivers import Outcome
from brain_server.errors import DeviceError
from brain_server.protocol import INTENTS, CommandStatus, Json
from tests.brain.home import Home, until

type Shorten = Callable[..., None]


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> Shorten:
    """Give a way to make the deadlines of intents as short as a test needs them."""

    def shorten(seconds: float, *intents: str) -> None:
        for intent in intents:
            changed = replace(INTENTS[intent], deadline=seconds)
            monkeypatch.setitem(INTENTS, intent, changed)  # type: ignore[misc]  # the double has the part that is used

    return shorten


async def lamp_of(home: Home, **shows: Any) -> tuple[Any, str]:
    """Add a lamp that shows something after each order; returns it and its id."""
    lamp = await home.puppet("lamp", "light")
    lamp.shows = shows or None
    return lamp, lamp.context.device_id


async def recorded(home: Home) -> tuple[int, int]:
    """Return how many commands and how many audit rows there are."""
    rows = (await home.command("audit.verify"))["rows"]
    return len((await home.command("commands.list", {"limit": 1000}))["items"]), rows


# -- what can never be done ---------------------------------------------------------------------------

BAD = [
    ("light", "explode", {}, "unknown_intent"),
    ("light", "", {}, "unknown_intent"),
    ("light", "__class__", {}, "unknown_intent"),
    ("light", "unlock", {}, "not_capable"),
    ("light", "light_on", {"brightness": 7}, "invalid_params"),
    ("printer", "print_start", {}, "invalid_params"),
    ("printer", "print_start", {"file": None}, "invalid_params"),
    ("printer", "print_start", {"file": ""}, "invalid_params"),
    ("printer", "print_start", {"file": 7}, "invalid_params"),
    ("printer", "print_start", {"file": ["a.gcode"]}, "invalid_params"),
    ("printer", "print_start", {"file": "x" * 256}, "invalid_params"),
    ("printer", "print_start", {"file": "a.gcode", "more": 1}, "invalid_params"),
    ("printer", "heat", {"nozzle": "hot"}, "invalid_params"),
    ("printer", "heat", {"nozzle": True}, "invalid_params"),
    ("printer", "heat", {"nozzle": -1}, "invalid_params"),
    ("printer", "heat", {"nozzle": 351}, "invalid_params"),
    ("printer", "heat", {"bed": 150.5}, "invalid_params"),
    ("printer", "heat", {"nozzle": 9 * 10**18}, "invalid_params"),
    ("printer", "gcode", {"script": "x" * 4097}, "invalid_params"),
]


@pytest.mark.parametrize(("kind", "intent", "params", "code"), BAD)
async def test_what_can_never_be_done_is_refused_and_not_recorded(
    home: Home, kind: str, intent: str, params: Json, code: str
) -> None:
    """Nothing reaches the gate, the chain or the device."""
    thing = await home.puppet("thing", kind)
    before = await recorded(home)
    asked = {"device_id": thing.context.device_id, "intent": intent, "params": params}
    assert await home.refusal("devices.request", asked) == code
    assert await recorded(home) == before
    assert thing.orders == {}


async def test_a_device_that_there_is_not_is_refused(home: Home) -> None:
    """And not recorded either."""
    before = await recorded(home)
    asked = {"device_id": "0" * 32, "intent": "light_on"}
    assert await home.refusal("devices.request", asked) == "device_not_found"
    assert await recorded(home) == before


@pytest.mark.parametrize(
    "more",
    [
        {"wait": 25.1},
        {"wait": -1},
        {"wait": "long"},
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 65},
        {"conversation_id": "x" * 65},
        {"params": []},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(home: Home, more: Json) -> None:
    """With the place."""
    _, device_id = await lamp_of(home)
    asked = {"device_id": device_id, "intent": "light_on"}
    assert await home.refusal("devices.request", asked | more) == "invalid_params"


async def test_a_parameter_without_a_value_is_left_out(home: Home) -> None:
    """What people approve and what is sent is only what was asked for."""
    printer = await home.puppet("mk4", "printer")
    params = {"nozzle": 200, "bed": None}
    asked = await home.request(printer.context.device_id, "heat", params=params)
    assert asked["command"]["params"] == {"nozzle": 200}


# -- once ---------------------------------------------------------------------------------------------


async def test_a_harmless_wish_is_carried_out_at_once(home: Home) -> None:
    """Nobody is asked."""
    lamp, device_id = await lamp_of(home, on=True)
    done = await home.request(device_id, "light_on", wait=5)
    assert (done["command"]["status"], done["event"]) == ("acked", None)
    assert [order.intent for order in lamp.orders["lamp"]] == ["light_on"]


async def test_a_hazard_is_sent_only_after_it_was_approved(home: Home) -> None:
    """Until then nothing reaches the device."""
    door = await home.puppet("door", "door")
    door.shows = {"locked": False}
    asked = await home.request(door.context.device_id, "unlock")
    assert (asked["command"]["status"], asked["event"]["status"]) == ("pending", "pending")
    assert door.orders == {}
    await home.decide(asked["event"], "bob")
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"
    assert [order.command_id for order in door.orders["door"]] == [asked["command"]["id"]]


async def test_a_hazard_that_was_denied_is_never_sent(home: Home) -> None:
    """And its command says so."""
    door = await home.puppet("door", "door")
    asked = await home.request(door.context.device_id, "unlock")
    await home.decide(asked["event"], "bob", "deny")
    assert (await home.ended(asked["command"]["id"]))["status"] == "denied"
    assert door.orders == {}


async def test_a_double_tap_is_one_action(home: Home) -> None:
    """The same key is the same command, at once and after it ended."""
    lamp, device_id = await lamp_of(home, on=True)
    key = {"idempotency_key": "tap-1", "wait": 5}
    both = await asyncio.gather(*(home.request(device_id, "light_on", **key) for _ in range(5)))
    late = await home.request(device_id, "light_on", **key)
    assert {one["command"]["id"] for one in [*both, late]} == {late["command"]["id"]}
    assert late["command"]["status"] == "acked"
    assert len(lamp.orders["lamp"]) == 1


async def test_the_key_of_another_person_is_another_key(home: Home) -> None:
    """Nobody can take away or repeat what somebody else asked for."""
    lamp, device_id = await lamp_of(home, on=True)
    for user in ("ada", "bob"):
        await home.request(device_id, "light_on", user, idempotency_key="tap-1", wait=5)
    assert len(lamp.orders["lamp"]) == 2


async def test_a_key_that_was_used_for_something_else_is_a_conflict(home: Home) -> None:
    """Not a second action under an old name."""
    lamp, device_id = await lamp_of(home, on=True)
    await home.request(device_id, "light_on", idempotency_key="tap-1", wait=5)
    asked = {"device_id": device_id, "intent": "light_off", "idempotency_key": "tap-1"}
    caller = {"user_id": "ada", "channel": "dashboard"}
    assert await home.refusal("devices.request", asked, caller=caller) == "idempotency_conflict"
    assert len(lamp.orders["lamp"]) == 1


async def test_two_approvals_at_the_same_time_send_it_once(home: Home) -> None:
    """Whoever is first."""
    door = await home.puppet("door", "door")
    door.shows = {"locked": False}
    asked = await home.request(door.context.device_id, "unlock")
    pressed = [home.decide(asked["event"], user) for user in ("ada", "bob", "cyd", "dan")]
    await asyncio.gather(*pressed, return_exceptions=True)
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"
    await until(lambda: not home.brain.devices._running, "the end")
    assert len(door.orders["door"]) == 1


async def test_what_was_approved_for_a_device_that_is_gone_is_not_sent(home: Home) -> None:
    """And is not called done."""
    door = await home.puppet("door", "door")
    asked = await home.request(door.context.device_id, "unlock")
    await home.command("devices.remove", {"device_id": door.context.device_id})
    await home.decide(asked["event"], "bob")
    kept = await home.command("commands.get", {"command_id": asked["command"]["id"]})
    assert (kept["status"], door.orders) == ("pending", {})


# -- how it ended -------------------------------------------------------------------------------------


async def test_done_is_what_was_seen_and_not_what_was_accepted(home: Home) -> None:
    """Accepted is ``sent``; only the new state makes it ``acked``."""
    lamp, device_id = await lamp_of(home)
    asked = await home.request(device_id, "light_on")
    sent = await home.event("command.updated", lambda one: one["status"] == "sent")
    assert (sent["id"], sent["ack_at"]) == (asked["command"]["id"], None)
    lamp.show(on=True)
    done = await home.ended(asked["command"]["id"])
    assert (done["status"], done["detail"]) == ("acked", "observed")
    assert done["created_at"] <= done["claimed_at"] <= done["sent_at"] <= done["ack_at"]


async def test_what_was_seen_before_proves_nothing(home: Home, deadlines: Shorten) -> None:
    """A lamp that was on already has not obeyed."""
    deadlines(0.2, "light_on")
    lamp, device_id = await lamp_of(home)
    lamp.show(on=True)
    asked = await home.request(device_id, "light_on")
    done = await home.ended(asked["command"]["id"])
    assert (done["status"], done["detail"]) == ("unknown", "nothing_observed")


async def test_seeing_the_same_again_after_the_order_is_proof(home: Home) -> None:
    """The device was asked, and is as it should be."""
    lamp, device_id = await lamp_of(home, on=True)
    lamp.show(on=True)
    done = await home.request(device_id, "light_on", wait=5)
    assert done["command"]["status"] == "acked"


async def test_the_opposite_until_the_end_is_a_failure(home: Home, deadlines: Shorten) -> None:
    """The order was taken, and it did not happen."""
    deadlines(0.2, "light_on")
    _, device_id = await lamp_of(home, on=False)
    asked = await home.request(device_id, "light_on")
    done = await home.ended(asked["command"]["id"])
    assert (done["status"], done["detail"]) == ("failed", "not_observed")


async def test_a_device_that_is_away_proves_nothing(home: Home, deadlines: Shorten) -> None:
    """An offline word after the order says neither yes nor no."""
    deadlines(0.2, "light_on")
    lamp, device_id = await lamp_of(home)
    asked = await home.request(device_id, "light_on")
    await until(lambda: lamp.orders.get("lamp"), "the order")
    lamp.vanish()
    done = await home.ended(asked["command"]["id"])
    assert (done["status"], done["detail"]) == ("unknown", "nothing_observed")


async def test_a_device_that_refuses_is_a_failure_with_its_reason(home: Home) -> None:
    """Certainly nothing was done."""
    lamp, device_id = await lamp_of(home, on=True)
    lamp.reaction = DeviceError("device_refused", "The lamp is locked")
    done = await home.request(device_id, "light_on", wait=5)
    assert (done["command"]["status"], done["command"]["detail"]) == ("failed", "device_refused")


@pytest.mark.parametrize(
    "status", [CommandStatus.ACKED, CommandStatus.FAILED, CommandStatus.UNKNOWN]
)
async def test_a_driver_that_knows_the_end_is_believed(home: Home, status: CommandStatus) -> None:
    """For orders that no state shows."""
    lamp, device_id = await lamp_of(home)
    lamp.reaction = Outcome(status=status, detail="so it was")
    done = await home.request(device_id, "light_on", wait=5)
    assert (done["command"]["status"], done["command"]["detail"]) == (status, "so it was")


@pytest.mark.parametrize(
    ("error", "detail"),
    [(TimeoutError(), "no_answer"), (RuntimeError("a wire is loose"), "driver_failed")],
)
async def test_an_order_of_which_nobody_knows_the_end_is_unknown(
    home: Home, error: Exception, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have been done, so it is neither called done nor tried again."""
    lamp, device_id = await lamp_of(home, on=True)
    lamp.reaction = error
    done = await home.request(device_id, "light_on", wait=5)
    assert (done["command"]["status"], done["command"]["detail"]) == ("unknown", detail)
    assert len(lamp.orders["lamp"]) == 1
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == (detail == "driver_failed")


async def test_a_driver_that_never_comes_back_is_not_waited_for_for_ever(
    home: Home, deadlines: Shorten
) -> None:
    """Ten seconds after the deadline the end is unknown."""
    deadlines(-9.8, "light_on")
    lamp, device_id = await lamp_of(home)
    lamp.reaction = asyncio.Event()
    done = await home.request(device_id, "light_on", wait=5)
    assert (done["command"]["status"], done["command"]["detail"]) == ("unknown", "no_answer")


async def test_a_late_outcome_is_recorded_and_changes_nothing(
    home: Home, deadlines: Shorten
) -> None:
    """What was called failed stays failed; the chain has what came after."""
    deadlines(0.1, "light_on")
    _, device_id = await lamp_of(home, on=False)
    asked = await home.request(device_id, "light_on")
    command_id = asked["command"]["id"]
    await home.ended(command_id)
    late = await home.brain.gate.settle(command_id, CommandStatus.ACKED, "observed")
    assert late["status"] == "failed"
    (row,) = (await home.command("audit.list", {"kind": "late_outcome"}))["items"]
    assert (row["command_id"], row["data"]["outcome"]) == (command_id, "acked")


async def test_a_person_who_has_looked_settles_an_unknown_outcome(
    home: Home, deadlines: Shorten
) -> None:
    """Only a person, and only once."""
    deadlines(0.1, "light_on")
    _, device_id = await lamp_of(home)
    asked = await home.request(device_id, "light_on")
    await home.ended(asked["command"]["id"])
    params = {"command_id": asked["command"]["id"], "outcome": "acked"}
    caller = {"user_id": "ada", "channel": "dashboard"}
    assert await home.refusal("commands.settle", params) == "person_required"
    settled = await home.command("commands.settle", params, caller=caller)
    assert settled["status"] == "acked"
    assert await home.refusal("commands.settle", params, caller=caller) == "not_unknown"


async def test_a_caller_may_wait_for_the_end_or_not(home: Home) -> None:
    """Without waiting the command is on its way; with it, it is over, or still on its way."""
    lamp, device_id = await lamp_of(home)
    at_once = await home.request(device_id, "light_on")
    some = await home.request(device_id, "light_on", wait=0.05)
    assert (at_once["command"]["status"], some["command"]["status"]) == ("claimed", "claimed")
    lamp.show(on=True)
    await home.ended(some["command"]["id"])
    assert home.brain.devices._watchers == {}


async def test_each_command_names_who_asked_and_where(home: Home) -> None:
    """From the words to the deed."""
    _, device_id = await lamp_of(home, on=True)
    done = await home.request(device_id, "light_on", "bob", wait=5, conversation_id="c-1")
    command = done["command"]
    assert (command["requested_by"], command["channel"], command["conversation_id"]) == (
        "bob",
        "dashboard",
        "c-1",
    )
    items = (await home.command("commands.list", {"device_id": device_id}))["items"]
    assert [one["id"] for one in items] == [command["id"]]


async def test_an_order_that_was_taken_by_a_device_that_then_went_away_is_unknown(
    home: Home,
) -> None:
    """That nobody can look any more does not undo what was accepted."""
    lamp, device_id = await lamp_of(home, on=False)
    lamp.blind = True
    done = await home.request(device_id, "light_on", wait=5)
    assert (done["command"]["status"], done["command"]["detail"]) == ("unknown", "cannot_connect")
