"""The judgement, as tables: what is dangerous, who may ask, who may decide, and what may run."""

import pytest

from brain_server.protocol import INTENTS, VOICE_PERSON, Channel, Hazard
from brain_server.safety.policy import (
    CHECK_TTL,
    Check,
    Facts,
    Person,
    Policy,
    Presence,
    Wish,
    Zone,
    eligible,
    entitled,
    failed_check,
    level_of,
    may_ask,
    may_decide,
    may_run,
    needs_dual,
    needs_presence,
    people,
)

NOW = 1000.0
LOW, MEDIUM, HIGH = Hazard
DASHBOARD, MOBILE, ASSIST, VOICE, AUTOMATION, API, SYSTEM = Channel
ROLES = {"ada": "operator", "bob": "engineer", "cyd": "safety"}
PEOPLE = {
    name: Person(id=name, name=name.title(), roles=frozenset({role}))
    for name, role in ROLES.items()
} | {
    "eve": Person(id="eve", name="Eve", roles=frozenset({"admin"}), active=False),
    "fay": Person(id="fay", name="Fay", roles=frozenset()),
}
NOBODY: frozenset[str] = frozenset()
ENGINEERS = Policy(required_roles=frozenset({"engineer"}))
DUAL = Policy(requires_dual_confirm=True)
ANOTHER = Policy(requester_may_confirm=False)
ALOUD = Policy(voice_may_confirm=True)
PRESENT = Policy(requires_presence=True)


def facts(
    level: Hazard | None = HIGH,
    policy: Policy | None = None,
    *,
    present: dict[str, float] | None = None,
    locked: dict[str, float] | None = None,
    checks: dict[str, Check] | None = None,
    among: dict[str, Person] = PEOPLE,
    status: str = "present",
) -> Facts:
    """Return the facts about a zone of some danger; ``present`` says how long ago people were seen."""
    return Facts(
        now=NOW,
        zone=Zone(id="lab", name="Lab", hazard_level=level) if level else None,
        policy=policy or Policy(),
        people=among,
        presence={
            name: Presence(status=status, source="unifi", observed_at=NOW - ago)
            for name, ago in (present or {}).items()
        },
        checks=checks or {},
        locked_until=locked or {},
    )


def wish(
    intent: str = "unlock", by: str | None = "ada", channel: Channel = Channel.DASHBOARD
) -> Wish:
    """Return a wish; ada's at the dashboard, if not said otherwise."""
    return Wish(intent=intent, requester=by, channel=channel)


def only(*names: str) -> dict[str, Person]:
    """Return just these people."""
    return {name: PEOPLE[name] for name in names}


# -- danger -------------------------------------------------------------------------------------------

LEVELS = {
    "lock": (LOW, LOW, LOW),
    "unlock": (MEDIUM, MEDIUM, HIGH),
    "open": (MEDIUM, MEDIUM, HIGH),
    "power_on": (MEDIUM, MEDIUM, HIGH),
    "power_off": (LOW, LOW, LOW),
    "power_cut": (HIGH, HIGH, HIGH),
    "light_on": (LOW, LOW, LOW),
    "light_off": (LOW, LOW, LOW),
    "print_start": (MEDIUM, MEDIUM, HIGH),
    "print_pause": (LOW, LOW, LOW),
    "print_resume": (MEDIUM, MEDIUM, HIGH),
    "print_cancel": (LOW, LOW, LOW),
    "heat": (MEDIUM, MEDIUM, HIGH),
    "gcode": (HIGH, HIGH, HIGH),
}


def test_every_intent_stands_in_the_table_of_levels() -> None:
    """A new intent is a decision about danger."""
    assert LEVELS.keys() == INTENTS.keys()


@pytest.mark.parametrize("intent", LEVELS)
def test_the_level_of_a_wish_is_the_higher_of_intent_and_zone(intent: str) -> None:
    """But a zone neither raises a safe direction nor a lamp."""
    levels = tuple(level_of(wish(intent), facts(zone)) for zone in (LOW, MEDIUM, HIGH))
    assert levels == LEVELS[intent]


def test_a_device_without_a_zone_has_the_level_of_the_intent() -> None:
    """What nobody placed is not made harmless by it."""
    assert level_of(wish("gcode"), facts(None)) is HIGH
    assert level_of(wish("unlock"), facts(None)) is MEDIUM


@pytest.mark.parametrize(
    ("zone", "policy", "dual", "presence"),
    [
        (LOW, Policy(), False, False),
        (MEDIUM, Policy(), False, False),
        (MEDIUM, DUAL, True, False),
        (MEDIUM, PRESENT, False, True),
        (HIGH, Policy(), True, True),
        (HIGH, Policy(requires_dual_confirm=False, requires_presence=False), True, True),
    ],
)
def test_a_high_needs_two_people_and_presence_whatever_its_policy_says(
    zone: Hazard, policy: Policy, dual: bool, presence: bool
) -> None:
    """A policy can only make a medium stricter."""
    known = facts(zone, policy)
    assert (needs_dual(wish(), known), needs_presence(wish(), known)) == (dual, presence)


# -- who is trusted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "policy", "locked", "code"),
    [
        ("ada", Policy(), {}, None),
        ("ada", Policy(), {"ada": NOW}, None),
        ("ada", Policy(), {"ada": NOW + 1}, "locked_out"),
        ("ada", Policy(), {"bob": NOW + 1}, None),
        ("bob", ENGINEERS, {}, None),
        ("ada", ENGINEERS, {}, "role_required"),
        ("eve", Policy(), {}, "not_registered"),
        ("fay", Policy(), {}, "not_registered"),
        ("somebody", Policy(), {}, "not_registered"),
        (VOICE_PERSON, Policy(), {}, "not_registered"),
    ],
)
def test_a_zone_trusts_whom_its_policy_names(
    person: str, policy: Policy, locked: dict[str, float], code: str | None
) -> None:
    """Registered, active, with a role, not locked out."""
    refused = entitled(person, facts(policy=policy, locked=locked))
    assert (refused and refused.code) == code


def test_a_lockout_says_how_long_to_wait() -> None:
    """Rounded up, so that one who waits that long is let in."""
    refused = entitled("ada", facts(locked={"ada": NOW + 59.6}))
    assert refused
    assert refused.fields == {"retry_after": 61}


# -- who may ask --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "known", "code"),
    [
        (wish("lock", "somebody"), facts(HIGH), None),
        (wish("lock"), facts(None), None),
        (wish("light_on", None), facts(HIGH), None),
        (wish("light_on", "somebody"), facts(None), None),
        (wish(), facts(None), "no_zone"),
        (wish(), facts(HIGH), None),
        (wish(by="somebody"), facts(HIGH), "not_registered"),
        (wish(by="eve"), facts(HIGH), "not_registered"),
        (wish(by="fay"), facts(MEDIUM), "not_registered"),
        (wish(), facts(MEDIUM, locked={"ada": NOW + 9}), "locked_out"),
        (wish(), facts(MEDIUM, among=only("ada")), None),
        (wish(), facts(MEDIUM, ANOTHER, among=only("ada")), "no_approver"),
        (wish(), facts(MEDIUM, ANOTHER), None),
        (wish(), facts(HIGH, among=only("ada")), "no_approver"),
        (wish(), facts(HIGH, among=only("ada", "bob")), None),
        (wish(channel=ASSIST), facts(HIGH, among=only("ada", "bob")), "no_approver"),
        (wish(channel=ASSIST), facts(HIGH), None),
        (wish(by=None, channel=VOICE), facts(HIGH, among=only("ada", "bob")), None),
        (wish(by=None, channel=VOICE), facts(HIGH, among=only("bob")), "no_approver"),
        (wish(by=None, channel=VOICE), facts(MEDIUM, among={}), "no_approver"),
        (wish(by=None, channel=VOICE), facts(MEDIUM, ALOUD, among={}), None),
        (wish(by=None, channel=VOICE), facts(HIGH, ALOUD, among={}), "no_approver"),
        # A requester without the role that the zone asks for is nobody's half of a HIGH.
        (wish(), facts(HIGH, ENGINEERS, among=only("ada", "bob")), "no_approver"),
    ],
)
def test_nobody_is_bothered_with_what_can_never_be_allowed(
    asked: Wish, known: Facts, code: str | None
) -> None:
    """The request is refused at once where not enough people could approve it."""
    refused = may_ask(asked, known)
    assert (refused and refused.code) == code


# -- who counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "known", "approvers", "behind"),
    [
        (wish(), facts(HIGH), {"bob"}, {"ada", "bob"}),
        (wish(channel=MOBILE), facts(HIGH), {"bob"}, {"ada", "bob"}),
        (wish(channel=ASSIST), facts(HIGH), {"bob"}, {"bob"}),
        (wish(channel=AUTOMATION), facts(HIGH), {"bob"}, {"bob"}),
        (wish(channel=API), facts(HIGH), {"bob"}, {"bob"}),
        (wish(), facts(HIGH), {"ada"}, {"ada"}),
        (wish(), facts(MEDIUM), {"bob"}, {"bob"}),
        (wish(), facts(MEDIUM, DUAL), {"bob"}, {"ada", "bob"}),
        (wish(by=None, channel=VOICE), facts(HIGH), {"bob"}, {"bob"}),
        (wish(), facts(HIGH, ENGINEERS), {"bob"}, {"bob"}),
        (wish(), facts(HIGH, locked={"ada": NOW + 1}), {"bob"}, {"bob"}),
        (wish(), facts(HIGH, locked={"bob": NOW + 1}), {"bob", "cyd"}, {"ada", "cyd"}),
        (wish(), facts(HIGH), {"eve", "somebody", VOICE_PERSON}, {"ada"}),
        (wish(), facts(MEDIUM, ALOUD), {VOICE_PERSON}, {VOICE_PERSON}),
    ],
)
def test_a_requester_counts_once_and_only_with_an_own_finger_and_a_role(
    asked: Wish, known: Facts, approvers: set[str], behind: set[str]
) -> None:
    """Where two are needed, one who asked at a dashboard is one of them; never both."""
    assert people(asked, known, frozenset(approvers)) == behind


@pytest.mark.parametrize(
    ("asked", "known", "approvers", "left"),
    [
        (wish(), facts(HIGH), NOBODY, ["bob", "cyd"]),
        (wish(channel=ASSIST), facts(HIGH), NOBODY, ["bob", "cyd"]),
        (wish(), facts(HIGH), {"bob"}, ["cyd"]),
        (wish(), facts(MEDIUM), NOBODY, ["ada", "bob", "cyd"]),
        (wish(), facts(MEDIUM, ANOTHER), NOBODY, ["bob", "cyd"]),
        (wish(), facts(MEDIUM, ENGINEERS), NOBODY, ["bob"]),
        (wish(by=None, channel=VOICE), facts(HIGH), NOBODY, ["ada", "bob", "cyd"]),
        (wish(), facts(HIGH, locked={"bob": NOW + 1}), NOBODY, ["cyd"]),
    ],
)
def test_the_people_who_may_still_decide_are_named(
    asked: Wish, known: Facts, approvers: set[str], left: list[str]
) -> None:
    """In a stable order, without those who decided, who asked, or who may not."""
    assert eligible(asked, known, frozenset(approvers)) == left


# -- who may decide -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "policy", "person", "road", "code"),
    [
        (HIGH, Policy(), "bob", MOBILE, None),
        (HIGH, Policy(), "bob", DASHBOARD, None),
        (HIGH, Policy(), "bob", ASSIST, "direct_approval_required"),
        (HIGH, Policy(), "bob", VOICE, "direct_approval_required"),
        (HIGH, ALOUD, "bob", VOICE, "direct_approval_required"),
        (HIGH, Policy(), "bob", AUTOMATION, "direct_approval_required"),
        (HIGH, Policy(), "bob", API, "direct_approval_required"),
        (HIGH, Policy(), "bob", SYSTEM, "direct_approval_required"),
        (HIGH, Policy(), "ada", MOBILE, "self_approval"),
        (HIGH, Policy(requester_may_confirm=True), "ada", DASHBOARD, "self_approval"),
        (MEDIUM, DUAL, "ada", MOBILE, "self_approval"),
        (MEDIUM, Policy(), "ada", MOBILE, None),
        (MEDIUM, Policy(), "ada", ASSIST, None),
        (MEDIUM, ANOTHER, "ada", MOBILE, "self_approval"),
        (MEDIUM, ANOTHER, "bob", ASSIST, None),
        (MEDIUM, Policy(), "bob", VOICE, "direct_approval_required"),
        (MEDIUM, ALOUD, "bob", VOICE, None),
        (MEDIUM, Policy(), "bob", AUTOMATION, "direct_approval_required"),
        (MEDIUM, ALOUD, "bob", AUTOMATION, "direct_approval_required"),
        (MEDIUM, Policy(), "bob", API, "direct_approval_required"),
        (MEDIUM, DUAL, "bob", ASSIST, "direct_approval_required"),
        (MEDIUM, ENGINEERS, "cyd", MOBILE, "role_required"),
        (MEDIUM, Policy(), "eve", MOBILE, "not_registered"),
        (MEDIUM, Policy(), "somebody", MOBILE, "not_registered"),
    ],
)
def test_a_decision_is_taken_from_the_right_person_by_the_right_road(
    zone: Hazard, policy: Policy, person: str, road: Channel, code: str | None
) -> None:
    """Ada asked. A HIGH is only decided by another person's own finger."""
    refused = may_decide(wish(), facts(zone, policy), person, road)
    assert (refused and refused.code) == code


# -- what may run -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "approvers", "code"),
    [
        (facts(HIGH, present={"bob": 0}), {"bob"}, None),
        (facts(HIGH, present={"ada": 0}), {"bob"}, None),
        (facts(HIGH, present={"cyd": 0}), {"bob"}, "presence_required"),
        (facts(HIGH), {"bob"}, "presence_required"),
        (facts(HIGH, present={"bob": 0}), NOBODY, "approval_withdrawn"),
        (facts(HIGH, present={"bob": 0}), {"ada"}, "approval_withdrawn"),
        (facts(HIGH, present={"bob": 0}), {"eve"}, "approval_withdrawn"),
        (facts(HIGH, present={"bob": 0}), {"somebody"}, "approval_withdrawn"),
        (facts(HIGH, present={"bob": 0}), {VOICE_PERSON}, "approval_withdrawn"),
        (facts(HIGH, ALOUD, present={"bob": 0}), {VOICE_PERSON}, "approval_withdrawn"),
        (
            facts(HIGH, present={"bob": 0}, locked={"bob": NOW + 1}),
            {"bob"},
            "approval_withdrawn",
        ),
        (facts(HIGH, ENGINEERS, present={"bob": 0}), {"bob"}, "approval_withdrawn"),
        (facts(MEDIUM), {"ada"}, None),
        (facts(MEDIUM), NOBODY, "approval_withdrawn"),
        (facts(MEDIUM, ANOTHER), {"ada"}, "approval_withdrawn"),
        (facts(MEDIUM, ANOTHER), {"bob"}, None),
        (facts(MEDIUM, ALOUD), {VOICE_PERSON}, None),
        (facts(MEDIUM), {VOICE_PERSON}, "approval_withdrawn"),
        (facts(MEDIUM, PRESENT), {"ada"}, "presence_required"),
        (facts(MEDIUM, PRESENT, present={"ada": 0}), {"ada"}, None),
        (facts(MEDIUM, PRESENT, present={"ada": 0}), {"bob"}, "presence_required"),
        (facts(None), {"bob"}, "no_zone"),
    ],
)
def test_everything_is_judged_again_when_it_is_to_run(
    known: Facts, approvers: set[str], code: str | None
) -> None:
    """People who no longer count do not count, and one of those who do has to be there."""
    refused = may_run(wish(), known, frozenset(approvers))
    assert (refused and refused.code) == code


@pytest.mark.parametrize("intent", ["lock", "power_off", "print_pause", "print_cancel", "light_on"])
def test_a_safe_direction_runs_with_nobody_behind_it(intent: str) -> None:
    """Even where there is no zone."""
    assert may_run(wish(intent, None), facts(None), NOBODY) is None


@pytest.mark.parametrize(
    ("ago", "status", "code"),
    [
        (299.0, "present", None),
        (300.0, "present", None),
        (301.0, "present", "presence_required"),
        (-1.0, "present", "presence_required"),
        (0.0, "unknown", "presence_required"),
        (0.0, "vacated", "presence_required"),
    ],
)
def test_presence_is_fresh_and_certain_and_not_from_the_future(
    ago: float, status: str, code: str | None
) -> None:
    """Within its time to live, and said to be present."""
    known = facts(HIGH, present={"bob": ago}, status=status)
    refused = may_run(wish(), known, frozenset({"bob"}))
    assert (refused and refused.code) == code


@pytest.mark.parametrize(("ago", "code"), [(59.0, None), (61.0, "presence_required")])
def test_the_time_to_live_of_presence_is_the_policy_s(ago: float, code: str | None) -> None:
    """A stricter zone wants it fresher."""
    known = facts(HIGH, Policy(presence_ttl=60.0), present={"bob": ago})
    refused = may_run(wish(), known, frozenset({"bob"}))
    assert (refused and refused.code) == code


def check(ago: float = 0.0, *, ok: bool = True) -> Check:
    """Return the result of a check."""
    return Check(ok=ok, observed_at=NOW - ago)


@pytest.mark.parametrize(
    ("checks", "name"),
    [
        ({"door_shut": check(), "fan_on": check()}, None),
        ({"door_shut": check(CHECK_TTL), "fan_on": check(CHECK_TTL)}, None),
        ({"door_shut": check()}, "fan_on"),
        ({}, "door_shut"),
        ({"door_shut": check(), "fan_on": check(ok=False)}, "fan_on"),
        ({"door_shut": check(CHECK_TTL + 1), "fan_on": check()}, "door_shut"),
        ({"door_shut": check(-1), "fan_on": check()}, "door_shut"),
    ],
)
def test_a_check_that_is_not_fresh_and_well_is_named(
    checks: dict[str, Check], name: str | None
) -> None:
    """Missing, failing, stale, or from the future."""
    policy = Policy(checks=("door_shut", "fan_on"))
    refused = failed_check(facts(policy=policy, checks=checks))
    assert (refused and refused.fields["check"]) == name


def test_a_failing_check_keeps_a_command_from_running() -> None:
    """After the people and presence, the checks."""
    known = facts(HIGH, Policy(checks=("fan_on",)), present={"bob": 0})
    refused = may_run(wish(), known, frozenset({"bob"}))
    assert refused
    assert refused.code == "check_failed"
