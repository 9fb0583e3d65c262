"""Sentences are never more sure than the facts that they are made of."""

import itertools
import re
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.conversation import words
from brain_server.errors import Forbidden
from brain_server.protocol import INTENTS, CommandStatus, Json, PrinterStatus

NOW = 1_900_000_000.0
# What nobody may say of a command that did not end well.
CLAIMS = re.compile(
    r"\b(done|is (now )?(locked|unlocked|open|on|off|paused|cancelled|heating)|has started"
    r"|goes on|took the)\b",
    re.IGNORECASE,
)
PEOPLE = {"ada": "Ada", "bob": "Bob", "cyd": "Cyd"}


def command(intent: str, status: str, detail: str | None = None) -> Json:
    """Return a command of the lab door, or whatever it is."""
    return {
        "intent": intent,
        "device_name": "the Thing",
        "params": {"file": "a.gcode"} if intent == "print_start" else {},
        "status": status,
        "detail": detail,
    }


def event(intent: str = "unlock", needed: int = 1, *people: str, **more: Any) -> Json:
    """Return a safety event."""
    return {
        "intent": intent,
        "device_name": "the Thing",
        "params": {"file": "a.gcode"} if intent == "print_start" else {},
        "people_needed": needed,
        "people": list(people),
        "requires_ppe": False,
        "initiated_by": "ada",
    } | more


@pytest.mark.parametrize(("intent", "status"), itertools.product(INTENTS, CommandStatus))
def test_only_what_was_acknowledged_is_called_done(intent: str, status: CommandStatus) -> None:
    """For every intent and every state of its command."""
    said = words.outcome(command(intent, status.value))
    assert bool(CLAIMS.search(said)) is (status is CommandStatus.ACKED), said


def test_a_plate_of_a_project_is_named() -> None:
    """By what people are asked about, and told of."""
    asked = event("print_start", params={"file": "box.3mf", "plate": 2})
    assert "start plate 2 of box.3mf on the Thing" in words.under_way(asked)


@pytest.mark.parametrize("intent", INTENTS)
def test_an_order_that_is_only_approved_is_not_called_done(intent: str) -> None:
    """It is under way."""
    said = words.under_way(event(intent))
    assert not CLAIMS.search(said), said
    assert "not finished" in said


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("asks", [True, False])
def test_what_waits_for_people_is_not_called_done(intent: str, asks: bool) -> None:
    """It is asked for."""
    said = words.asked(event(intent), ["Ada"], asks=asks)
    assert not CLAIMS.search(said), said


@pytest.mark.parametrize("status", ["a new state", "", "ACKED", "acknowledged"])
def test_a_state_that_is_not_known_promises_nothing(status: str) -> None:
    """What a later version may add is not taken for success."""
    assert not CLAIMS.search(words.outcome(command("unlock", status)))


@pytest.mark.parametrize("detail", [None, "", "something_new", "not_observed", "device_refused"])
def test_a_failure_is_called_one_whatever_its_reason(detail: str | None) -> None:
    """With the reason where there are words for it."""
    said = words.outcome(command("unlock", "failed", detail))
    assert said.startswith("I tried to unlock the Thing, but")


OUTCOMES = [
    ("unlock", "acked", None, "Done: the Thing is unlocked."),
    ("print_start", "acked", None, "Done: the Thing has started a.gcode."),
    (
        "power_off",
        "deferred",
        None,
        "It is still hot or busy. I will switch off the Thing when it has cooled down.",
    ),
    (
        "unlock",
        "unknown",
        "no_answer",
        "I tried to unlock the Thing, but I could not see whether it happened. Please look.",
    ),
    ("unlock", "denied", "denied", "It was denied to unlock the Thing."),
    ("unlock", "expired", "expired", "The request to unlock the Thing has expired."),
    (
        "unlock",
        "sent",
        None,
        "I have sent the order to unlock the Thing; it is not confirmed yet.",
    ),
    (
        "unlock",
        "failed",
        "home_assistant_offline",
        "I tried to unlock the Thing, but Home Assistant is not connected.",
    ),
]


@pytest.mark.parametrize(("intent", "status", "detail", "said"), OUTCOMES)
def test_the_end_of_a_command_is_told_in_one_plain_sentence(
    intent: str, status: str, detail: str | None, said: str
) -> None:
    """These are the words."""
    assert words.outcome(command(intent, status, detail)) == said


ASKED = [
    (event(), ["Ada"], True, "Unlock the Thing? Say confirm or cancel."),
    (event(), ["Ada"], False, "I have asked Ada to approve: unlock the Thing."),
    (event(), ["Ada", "Bob"], False, "I have asked Ada or Bob to approve: unlock the Thing."),
    (
        event("unlock", 2, "ada"),
        ["Bob", "Cyd"],
        False,
        "I have asked Bob or Cyd to approve: unlock the Thing.",
    ),
    (
        event("unlock", 2),
        ["Ada", "Bob"],
        False,
        "Two people have to approve: unlock the Thing. I have asked Ada and Bob.",
    ),
    (
        event(),
        [],
        False,
        "I cannot unlock the Thing: there is nobody who may approve it right now.",
    ),
    (
        event(requires_ppe=True),
        ["Ada"],
        False,
        "I have asked Ada to approve: unlock the Thing. Protective equipment must be worn.",
    ),
]


@pytest.mark.parametrize(("waiting", "approvers", "asks", "said"), ASKED)
def test_who_has_to_decide_is_named(
    waiting: Json, approvers: list[str], asks: bool, said: str
) -> None:
    """One person, one of several, two, or nobody at all."""
    assert words.asked(waiting, approvers, asks=asks) == said


def test_a_refusal_has_its_reason() -> None:
    """In the words of the gate."""
    refused = words.refused(Forbidden("role_required", "Ada does not have a role"))
    assert refused.startswith("I cannot do that.")
    assert "Ada does not have a role" in refused


# -- how things are -----------------------------------------------------------------------------------


def thing(kind: str, state: Json, online: str = "online", **more: Any) -> Json:
    """Return a device as it goes over the wire."""
    return {
        "name": "the Thing",
        "kind": kind,
        "state": state,
        "online": online,
        "power_off_when_cool": False,
    } | more


STATUS = [
    (thing("door", {"locked": True}), "The Thing is locked."),
    (thing("door", {"locked": False}), "The Thing is unlocked."),
    (thing("door", {"locked": None}), "The Thing is in an unknown state."),
    (thing("door", {}), "The Thing is in an unknown state."),
    (thing("power", {"on": True}), "The Thing is on."),
    (
        thing("power", {"on": True}, power_off_when_cool=True),
        "The Thing is on, and goes off when cool.",
    ),
    (thing("light", {"on": False}), "The Thing is off."),
    (thing("light", {}), "The Thing is in an unknown state."),
    (thing("sensor", {"value": 21.5, "unit": "°C"}), "The Thing shows 21.5 °C."),
    (thing("sensor", {"value": 0, "unit": None}), "The Thing shows 0."),
    (thing("sensor", {"value": None}), "The Thing is in an unknown state."),
    (thing("sensor", {}), "The Thing is in an unknown state."),
    (thing("printer", {}), "The Thing is in an unknown state."),
    (thing("printer", {"status": None}), "The Thing is in an unknown state."),
    (thing("printer", {"status": "idle"}), "The Thing is idle."),
    (
        thing(
            "printer",
            {
                "status": "printing",
                "job": {"file": "a.gcode", "progress": 42.4, "remaining_s": 3700},
            },
        ),
        "The Thing is printing with a.gcode, 42 percent done, 1 h 2 min left.",
    ),
    (
        thing("printer", {"status": "printing", "job": {"file": "a.gcode"}}),
        "The Thing is printing with a.gcode.",
    ),
    (thing("camera", {}), "The Thing is there."),
]


@pytest.mark.parametrize(("device", "said"), STATUS)
def test_the_state_of_a_thing_is_told_as_it_was_seen(device: Json, said: str) -> None:
    """What is not known is called unknown."""
    assert words.status([device], "state") == said


@pytest.mark.parametrize("kind", ["door", "power", "light", "sensor", "printer", "camera"])
@pytest.mark.parametrize("online", ["offline", "fault"])
def test_a_thing_that_cannot_be_reached_has_no_state(kind: str, online: str) -> None:
    """What it showed last is not what it is."""
    state = {"locked": True, "on": True, "status": "printing", "value": 7}
    assert words.status([thing(kind, state, online)], "state") == "The Thing is not reachable."


@pytest.mark.parametrize("heat", [None, {}, {"actual": None}])
def test_a_temperature_that_is_not_known_is_called_unknown(heat: Any) -> None:
    """A missing figure is not zero."""
    device = thing("printer", {"status": "idle", "nozzle": heat, "bed": {"actual": 0.0}})
    said = words.status([device], "temperature")
    assert said == "The Thing: nozzle unknown, bed 0 degrees."


def test_without_devices_there_is_nothing_to_tell() -> None:
    """And that is told."""
    assert words.status([], "state") == "There are no devices yet."


HEAT = st.none() | st.fixed_dictionaries({"actual": st.none() | st.floats(0, 300)})
JOB = st.none() | st.fixed_dictionaries(
    {"file": st.text(max_size=20) | st.none()},
    optional={
        "progress": st.none() | st.floats(0, 100),
        "remaining_s": st.none() | st.floats(0, 1e6),
        "error": st.none() | st.text(max_size=20),
    },
)


@settings(deadline=None)
@given(
    status=st.none() | st.sampled_from([one.value for one in PrinterStatus]),
    job=JOB,
    nozzle=HEAT,
    bed=HEAT,
    topic=st.sampled_from(["state", "progress", "remaining", "temperature"]),
)
def test_any_state_of_a_printer_can_be_told(
    status: str | None, job: Any, nozzle: Any, bed: Any, topic: str
) -> None:
    """Whatever is missing."""
    state = {"job": job, "nozzle": nozzle, "bed": bed} | ({"status": status} if status else {})
    said = words.status([thing("printer", state)], topic)
    assert said.endswith(".")
    assert "None" not in said or (job and job.get("file") is None)


# -- what was -----------------------------------------------------------------------------------------


def row(kind: str, user: str | None, ago: float = 0.0, **data: Any) -> Json:
    """Return a row of the record."""
    about = {"intent": "unlock", "device": "the Thing"} | data
    return {"kind": kind, "user_id": user, "at": NOW - ago, "data": about, "command_id": "c"}


def test_a_deed_names_who_asked_and_who_approved() -> None:
    """In the order in which they did."""
    related = [
        row("acked", None),
        row("approved", "cyd"),
        row("confirmed", "bob"),
        row("requested", "ada"),
    ]
    assert words.deed(related[0], related, PEOPLE, NOW) == (
        "Ada unlocked the Thing just now, approved by Bob and Cyd."
    )


@pytest.mark.parametrize("kind", ["claimed", "deferred"])
def test_a_deed_that_nobody_had_to_approve_names_who_asked(kind: str) -> None:
    """The name stands where it was taken, not where it was requested."""
    related = [row("acked", None), row("claimed", None), row(kind, "ada")]
    assert words.deed(related[0], related, PEOPLE, NOW) == "Ada unlocked the Thing just now."


@pytest.mark.parametrize(
    ("ago", "when"),
    [
        (0, "just now"),
        (89, "just now"),
        (600, "10 min ago"),
        (3600 * 5, "5 h 0 min ago"),
        (-100, "just now"),
        (86_400, "on 16 March at 17:46 UTC"),
    ],
)
def test_when_it_was_is_told_as_people_do(ago: float, when: str) -> None:
    """And never in the future."""
    done = row("acked", None, ago)
    assert words.deed(done, [row("requested", "ada")], PEOPLE, NOW) == (
        f"Ada unlocked the Thing {when}."
    )


@pytest.mark.parametrize("user", [None, "gone"])
def test_a_deed_of_nobody_known_has_no_name(user: str | None) -> None:
    """A name is not made up."""
    done = row("acked", None)
    said = words.deed(done, [row("requested", user)], PEOPLE, NOW)
    assert said == "Somebody without a name unlocked the Thing just now."


@pytest.mark.parametrize("kind", ["denied", "failed", "unknown"])
def test_what_did_not_happen_is_not_told_as_a_deed(kind: str) -> None:
    """History says how it ended."""
    said = words.history([row(kind, "ada")], PEOPLE, NOW)
    assert not CLAIMS.search(said), said
    assert kind in said
