"""What stands between a wish and its execution: pure judgement over one snapshot of the facts.

Nothing here reads a clock, a database or a device, so that every rule can be tested by a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from brain_server.protocol import (
    DIRECT_CHANNELS,
    INTENTS,
    VOICE_PERSON,
    Channel,
    Hazard,
    PresenceStatus,
    Role,
    hazard_level,
    people_behind,
    people_needed,
)

CHECK_TTL: Final = 300.0
NO_ZONE: Final = "Nobody has said how dangerous the area of this device is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user of Home Assistant with the roles that the workshop gave them."""

    id: str
    name: str
    roles: frozenset[str]
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A Home Assistant area and its danger."""

    id: str
    name: str
    hazard_level: Hazard = Hazard.LOW
    requires_ppe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rule of one zone. The defaults are what a zone without a rule of its own gets."""

    name: str = "default"
    required_roles: frozenset[str] = frozenset(Role)
    requires_dual_confirm: bool = False
    requires_presence: bool = False
    requester_may_confirm: bool = True
    voice_may_confirm: bool = False
    presence_ttl: float = 300.0
    checks: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """The last observation of one person in one zone."""

    status: str
    source: str
    observed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The last result of one named check of a zone."""

    ok: bool
    observed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a judgement may look at, for one zone at one time."""

    now: float
    zone: Zone | None
    policy: Policy
    people: Mapping[str, Person]
    presence: Mapping[str, Presence] = field(default_factory=dict)
    checks: Mapping[str, Check] = field(default_factory=dict)
    locked_until: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: a stable code and the words for it."""

    code: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants, and who it is."""

    intent: str
    requester: str | None
    channel: Channel


def level_of(wish: Wish, facts: Facts) -> Hazard:
    """Return the hazard level of a wish in its zone."""
    return hazard_level(wish.intent, facts.zone.hazard_level if facts.zone else Hazard.LOW)


def needs_dual(wish: Wish, facts: Facts) -> bool:
    """Tell whether two people are needed; a HIGH always is, whatever its policy says."""
    level = level_of(wish, facts)
    return people_needed(level, dual_confirm=facts.policy.requires_dual_confirm) == 2


def needs_presence(wish: Wish, facts: Facts) -> bool:
    """Tell whether somebody must be there; for a HIGH always."""
    return facts.policy.requires_presence or level_of(wish, facts) is Hazard.HIGH


def locked_out(until: float, now: float) -> Refusal | None:
    """Refuse whoever made too many wrong attempts, until that time."""
    if until <= now:
        return None
    fields = {"retry_after": round(until - now) + 1}
    return Refusal("locked_out", "Too many wrong attempts; wait", fields)


def entitled(person_id: str, facts: Facts) -> Refusal | None:
    """Refuse somebody whom this zone does not trust, at this time."""
    person = facts.people.get(person_id)
    if person is None or not person.active or not person.roles:
        return Refusal("not_registered", "This person has no role in the workshop")
    if refusal := locked_out(facts.locked_until.get(person_id, 0.0), facts.now):
        return refusal
    if not person.roles & facts.policy.required_roles:
        return Refusal(
            "role_required",
            f"{person.name} does not have a role that this zone asks for",
            {"roles": ", ".join(sorted(facts.policy.required_roles))},
        )
    return None


def may_ask(wish: Wish, facts: Facts) -> Refusal | None:
    """Judge a request before anybody is bothered with it."""
    if INTENTS[wish.intent].safe or level_of(wish, facts) is Hazard.LOW:
        return None
    if facts.zone is None:
        return Refusal("no_zone", NO_ZONE)
    if wish.requester is not None:
        person = facts.people.get(wish.requester)
        if person is None or not person.active or not person.roles:
            return Refusal("not_registered", "This person has no role in the workshop")
        if facts.locked_until.get(wish.requester, 0.0) > facts.now:
            return entitled(wish.requester, facts)
    needed = 2 if needs_dual(wish, facts) else 1
    already = people(wish, facts, frozenset())
    if needed == 1 and facts.policy.voice_may_confirm and not needs_dual(wish, facts):
        return None
    if len(already) + len(eligible(wish, facts, frozenset())) < needed:
        return Refusal("no_approver", "There is nobody who may approve this")
    return None


def people(wish: Wish, facts: Facts, approvers: frozenset[str]) -> frozenset[str]:
    """Return the people who count for a wish now: of all who asked or approved, those still trusted."""
    requester = wish.requester
    if requester is not None and entitled(requester, facts) is not None:
        requester = None
    return people_behind(
        level_of(wish, facts),
        dual_confirm=facts.policy.requires_dual_confirm,
        requester=requester,
        channel=wish.channel,
        approvers=frozenset(one for one in approvers if _still(wish, facts, one)),
    )


def eligible(wish: Wish, facts: Facts, approvers: frozenset[str]) -> list[str]:
    """Return the people who may still decide a wish, in a stable order."""
    return [
        person_id
        for person_id in sorted(facts.people)
        if person_id not in approvers
        and entitled(person_id, facts) is None
        and not _is_own(wish, facts, person_id)
    ]


def may_decide(wish: Wish, facts: Facts, person_id: str, channel: Channel) -> Refusal | None:
    """Judge whether this person may approve this wish by this road."""
    if refusal := entitled(person_id, facts):
        return refusal
    if _is_own(wish, facts, person_id):
        return Refusal("self_approval", "Another person has to approve this")
    if channel in DIRECT_CHANNELS:
        return None
    if needs_dual(wish, facts):
        return Refusal("direct_approval_required", "Approve this with your own phone or dashboard")
    # Words in Assist of a known user confirm their own MEDIUM; a room's voice only where policy says so.
    if channel is Channel.ASSIST or (channel is Channel.VOICE and facts.policy.voice_may_confirm):
        return None
    return Refusal("direct_approval_required", "Approve this with your own phone or dashboard")


def _is_own(wish: Wish, facts: Facts, person_id: str) -> bool:
    if person_id != wish.requester:
        return False
    return needs_dual(wish, facts) or not facts.policy.requester_may_confirm


def may_run(wish: Wish, facts: Facts, approvers: frozenset[str]) -> Refusal | None:
    """Judge everything again at the moment of execution: people, roles, presence, checks."""
    if INTENTS[wish.intent].safe or level_of(wish, facts) is Hazard.LOW:
        return None
    if facts.zone is None:
        return Refusal("no_zone", NO_ZONE)
    behind = people(wish, facts, approvers)
    if len(behind) < (2 if needs_dual(wish, facts) else 1):
        return Refusal("approval_withdrawn", "Not enough people who may approve stand behind this")
    if needs_presence(wish, facts) and not any(_present(one, facts) for one in behind):
        return Refusal(
            "presence_required", f"Nobody of them is known to be in {facts.zone.name} right now"
        )
    return failed_check(facts)


def _still(wish: Wish, facts: Facts, person_id: str) -> bool:
    if person_id == VOICE_PERSON:
        return facts.policy.voice_may_confirm and not needs_dual(wish, facts)
    return entitled(person_id, facts) is None and not _is_own(wish, facts, person_id)


def failed_check(facts: Facts) -> Refusal | None:
    """Return the first named check that is not fresh and well."""
    for name in facts.policy.checks:
        check = facts.checks.get(name)
        if check is None or not check.ok or not 0 <= facts.now - check.observed_at <= CHECK_TTL:
            return Refusal("check_failed", f"The check {name} is not met", {"check": name})
    return None


def _present(person_id: str, facts: Facts) -> bool:
    seen = facts.presence.get(person_id)
    # An observation from the future means that the clock went back: it proves nothing.
    return (
        seen is not None
        and seen.status == PresenceStatus.PRESENT
        and 0 <= facts.now - seen.observed_at <= facts.policy.presence_ttl
    )
