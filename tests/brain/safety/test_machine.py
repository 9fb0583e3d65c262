"""The gate against a model that is simpler than it: whatever people, clocks and crashes do in whatever order.

The model knows the rules only by their words: who stands behind a command right now, and whether it may
run. The gate must run exactly what the model would, never twice, and write everything down.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
import shutil
import tempfile
from typing import Any

from hypothesis import HealthCheck, settings, strategies as some
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
import pytest

from brain_server.errors import Forbidden
from brain_server.protocol import VOICE_PERSON, Channel, CommandStatus, Json
from brain_server.storage.tables import commands, events, lockouts
from tests.brain.gatehouse import OTHER_KEY, Clock, Gatehouse, refusal

PEOPLE = ("ada", "bob", "cyd", "eve")
ZONES = ("shop", "lab")
DIRECT = (Channel.DASHBOARD, Channel.MOBILE)
DANGER = {"low": 0, "medium": 1, "high": 2}
OWN_DANGER = {"unlock": "medium", "open": "medium", "power_cut": "high"}
DEFAULT_RULE: Json = {
    "required_roles": ["operator", "engineer", "safety", "admin"],
    "requires_dual_confirm": False,
    "requires_presence": False,
    "requester_may_confirm": True,
    "voice_may_confirm": False,
    "presence_ttl": 300.0,
}
EVENT_OF = {"pending": "pending", "denied": "denied", "expired": "expired"}
FORGERIES: tuple[Json, ...] = ({"key": OTHER_KEY}, {"ago": 121.0}, {"subject": "f" * 64})

WAITS = (1.0, 5.0, 20.0, 59.0, 61.0, 301.0, -30.0, -7200.0, 7200.0)
CHANGES: tuple[Json, ...] = (
    {"requires_dual_confirm": True},
    {"requires_dual_confirm": False},
    {"requires_presence": True},
    {"requester_may_confirm": False},
    {"voice_may_confirm": True},
    {"presence_ttl": 10.0},
    {"required_roles": ["engineer", "safety"]},
)

people = some.sampled_from(PEOPLE)
zones = some.sampled_from(ZONES)
channels = some.sampled_from(list(Channel))


@dataclass
class Wished:
    """A request as the model sees it."""

    event: Json
    zone: str
    requester: str | None
    channel: Channel
    level: str
    rule: int
    created: float
    expires: float
    state: str = "pending"
    approvers: set[str] = field(default_factory=set)
    # What each person said last, by which road and when: sent again it is the same word.
    said: dict[str, tuple[bool, Channel, float]] = field(default_factory=dict)
    recorded: Counter[str] = field(default_factory=Counter)


class GateMachine(RuleBasedStateMachine):
    """Does what people and fate do, to the gate and to the model."""

    make_url: Callable[[Path], str]
    wishes = Bundle("wishes")

    def __init__(self) -> None:
        """Open an empty house."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="kitty-gate-"))
        self.clock = Clock()
        self.known: dict[str, Wished] = {}
        self.rule_of = dict.fromkeys(ZONES, 0)
        self.seen: dict[tuple[str, str], tuple[str, float]] = {}
        self.safe: list[str] = []
        self.house = Gatehouse(type(self).make_url(self.folder), self.folder, self.clock)
        self.do(self.house.open())
        self.do(self.house.furnish())

    def do[T](self, work: Awaitable[T]) -> T:
        """Run something to its end."""

        async def whole() -> T:
            return await work

        return self.runner.run(whole())

    # -- the model ------------------------------------------------------------------------------------

    def rule_in(self, zone: str) -> Json:
        """Return the rule of a zone."""
        return DEFAULT_RULE | self.house.policies.get(zone, {})

    def level(self, intent: str, zone: str) -> str:
        """Return how dangerous something is."""
        place: str = self.house.zones[zone]["hazard_level"]
        return max(OWN_DANGER[intent], place, key=DANGER.__getitem__)

    def is_dual(self, wish: Wished) -> bool:
        """Say whether two people are needed, by the rules of now."""
        high = self.level(wish.event["intent"], wish.zone) == "high"
        return high or bool(self.rule_in(wish.zone)["requires_dual_confirm"])

    def trusts(self, zone: str, person: str | None) -> bool:
        """Say whether a zone trusts a person now."""
        known = self.house.people.get(person or "")
        return (
            known is not None
            and known["active"]
            and bool(set(known["roles"]) & set(self.rule_in(zone)["required_roles"]))
            and self.locked().get(person, 0.0) <= self.clock.now
        )

    def locked(self) -> dict[str | None, float]:
        """Return until when people are locked out; how that comes about is not the model's matter."""
        rows = self.do(self.house.rows(lockouts))
        return {row["user_id"]: row["locked_until"] for row in rows}

    def may_speak(self, wish: Wished, person: str) -> bool:
        """Say whether the word of this person can count for this wish now."""
        rules, dual = self.rule_in(wish.zone), self.is_dual(wish)
        own = person == wish.requester and (dual or not rules["requester_may_confirm"])
        as_voice = person == VOICE_PERSON and rules["voice_may_confirm"] and not dual
        return as_voice or (self.trusts(wish.zone, person) and not own)

    def may_speak_here(self, wish: Wished, person: str, channel: Channel) -> bool:
        """Say whether this road carries the word of this person."""
        rules, dual = self.rule_in(wish.zone), self.is_dual(wish)
        aloud = channel is Channel.VOICE and rules["voice_may_confirm"] and not dual
        typed = channel is Channel.ASSIST and not dual
        return aloud or (person != VOICE_PERSON and (channel in DIRECT or typed))

    def behind(self, wish: Wished, approvers: set[str]) -> set[str]:
        """Return the people who count for a wish now."""
        asked = {wish.requester} if self.is_dual(wish) and wish.channel in DIRECT else set()
        return {one for one in approvers if self.may_speak(wish, one)} | {
            one for one in asked if one and self.trusts(wish.zone, one)
        }

    def is_there(self, zone: str, person: str) -> bool:
        """Say whether a person is known to be in a zone now."""
        status, at = self.seen.get((zone, person), ("unknown", 0.0))
        age = self.clock.now - at
        return status == "present" and 0 <= age <= self.rule_in(zone)["presence_ttl"]

    def may_run(self, wish: Wished, approvers: set[str]) -> bool:
        """Say whether a wish may run with these approvals, by the rules and facts of now."""
        behind = self.behind(wish, approvers)
        high = self.level(wish.event["intent"], wish.zone) == "high"
        alone = not (high or self.rule_in(wish.zone)["requires_presence"])
        enough = len(behind) >= 1 + self.is_dual(wish)
        return enough and (alone or any(self.is_there(wish.zone, one) for one in behind))

    def may_be_claimed(self, wish: Wished) -> bool:
        """Say whether an approved wish may be carried out now."""
        return (
            wish.state == "approved"
            and wish.created <= self.clock.now < wish.expires
            and wish.rule == self.rule_of[wish.zone]
            and wish.level == self.level(wish.event["intent"], wish.zone)
            and self.may_run(wish, wish.approvers)
        )

    def is_open(self, wish: Wished) -> bool:
        """Say whether a wish can still be decided; one that is too late is closed by the attempt."""
        late = wish.state == "pending" and self.clock.now >= wish.expires
        wish.recorded["expired"] += late
        wish.state = "expired" if late else wish.state
        return wish.state == "pending"

    # -- what happens ---------------------------------------------------------------------------------

    @initialize(target=wishes, present=some.booleans())
    def begin(self, present: bool) -> Any:
        """Begin with people in place and some requests, so that there is something to get wrong."""
        for person in ("bob", "cyd"):
            self.come_and_go(person, "lab", "present" if present else "unknown", 0.0)
        self.come_or_leave("eve")
        return multiple(
            self.wish("ada", Channel.DASHBOARD, "lab", "unlock"),
            self.wish(None, Channel.VOICE, "lab", "open"),
            self.wish("ada", Channel.MOBILE, "shop", "unlock"),
            self.wish("bob", Channel.ASSIST, "shop", "power_cut"),
        )

    @rule(
        target=wishes,
        by=some.one_of(some.none(), people),
        channel=channels,
        zone=zones,
        intent=some.sampled_from(sorted(OWN_DANGER)),
    )
    def ask(self, by: str | None, channel: Channel, zone: str, intent: str) -> Any:
        """Ask for something dangerous."""
        name = self.wish(by, channel, zone, intent)
        return multiple() if name is None else name

    def wish(self, by: str | None, channel: Channel, zone: str, intent: str) -> str | None:
        """Ask, and tell the model; the gate may refuse what nobody could approve."""
        try:
            asked = self.do(self.house.ask(intent, zone=zone, by=by, channel=channel))
        except Forbidden:
            return None
        event = asked.event
        assert event is not None
        if asked.fresh:
            self.known[event["id"]] = Wished(
                event=event,
                zone=zone,
                requester=by,
                channel=channel,
                level=self.level(intent, zone),
                rule=self.rule_of[zone],
                created=self.clock.now,
                expires=event["expires_at"],
                recorded=Counter(requested=1),
            )
        return str(event["id"])

    @rule(by=some.one_of(some.none(), people))
    def lock(self, by: str | None) -> None:
        """Ask for something safe: it runs, always."""
        asked = self.do(self.house.ask("lock", by=by))
        assert (asked.command["status"], asked.fresh) == ("claimed", True)
        self.safe.append(asked.command["id"])

    @rule(name=wishes, who=some.permutations(PEOPLE), many=some.integers(1, len(PEOPLE)))
    def agree(self, name: str, who: list[str], many: int) -> None:
        """Let several say yes on their phones."""
        for person in who[:many]:
            self.decide(name, person, Channel.MOBILE, approve=True)

    @rule(
        name=wishes,
        person=some.one_of(people, some.just(VOICE_PERSON)),
        channel=channels,
        approve=some.booleans(),
    )
    def decide(self, name: str, person: str, channel: Channel, approve: bool) -> None:
        """Say yes or no, truly signed."""
        wish = self.known[name]
        said = (approve, channel, self.clock.now)
        resent = wish.said.get(person) == said
        is_open = self.is_open(wish) or resent
        again = resent or (approve and person in wish.approvers)
        approvers = wish.approvers | {person}
        complete = len(self.behind(wish, approvers)) >= wish.event["people_needed"]
        counts = self.may_speak(wish, person) and self.may_speak_here(wish, person, channel)
        ready = not complete or self.may_run(wish, approvers)
        allowed = is_open and (not approve or again or (counts and ready))
        decision = self.house.signed(wish.event, person, approve=approve, signed_channel=channel)
        refused = self.do(refusal(self.house.gate.decide(decision)))
        assert (refused is None) is allowed, (refused, wish)
        if refused or again:
            return
        wish.said[person] = said
        if approve:
            wish.approvers = approvers
        wish.state = "denied" if not approve else "approved" if complete else "pending"
        wish.recorded["confirmed" if wish.state == "pending" else wish.state] += 1

    @rule(
        name=wishes,
        what=some.one_of(
            some.tuples(some.just("forge"), people, some.sampled_from(FORGERIES)),
            some.tuples(some.just("withdraw")),
            some.tuples(some.just("settle"), some.sampled_from(("acked", "failed", "unknown"))),
        ),
    )
    def disturb(self, name: str, what: tuple[Any, ...]) -> None:
        """Do to a wish what should not matter, or end it."""
        getattr(self, what[0])(name, *what[1:])

    def forge(self, name: str, person: str, how: Json) -> None:
        """Say yes without Home Assistant, too late, or about something else."""
        wish = self.known[name]
        self.is_open(wish)
        assert self.do(refusal(self.house.approve(wish.event, person, **how))) is not None

    def withdraw(self, name: str) -> None:
        """Take a request back, as who asked; nothing closes it when it is merely late."""
        wish = self.known[name]
        refused = self.do(refusal(self.house.gate.withdraw(name, wish.requester)))
        assert (refused is None) is (wish.state == "pending" and wish.requester is not None)
        if refused is None:
            wish.state = "denied"
            wish.recorded["withdrawn"] += 1

    @rule()
    def carry_out(self) -> None:
        """Try to do all that was approved."""
        for name, wish in self.known.items():
            if wish.state == "approved":
                self.claim(name)

    @rule(name=wishes)
    def claim(self, name: str) -> None:
        """Try to carry something out: it works if and only if the model says that it may."""
        wish = self.known[name]
        allowed = self.may_be_claimed(wish)
        refused = self.do(refusal(self.house.claim(wish.event)))
        assert (refused is None) is allowed, (refused, wish)
        wish.recorded["claimed"] += allowed
        wish.recorded["refused_at_claim"] += not allowed and wish.state in {"pending", "approved"}
        wish.state = {"approved": "claimed" if allowed else "expired"}.get(wish.state, wish.state)

    def settle(self, name: str, outcome: str) -> None:
        """Let the device answer, whether it was asked or not."""
        wish = self.known[name]
        applies = wish.state == "claimed"
        self.do(self.house.gate.settle(wish.event["command_id"], CommandStatus(outcome), "device"))
        wish.recorded[outcome if applies else "late_outcome"] += 1
        wish.state = outcome if applies else wish.state

    def look_at_the_clock(self) -> None:
        """Close what is late."""
        self.do(self.house.gate.expire())
        for wish in self.known.values():
            late = wish.state in {"pending", "approved"} and self.clock.now >= wish.expires
            wish.recorded["expired"] += late
            wish.state = "expired" if late else wish.state

    @rule(
        what=some.one_of(
            some.tuples(some.just("let_time_pass"), some.sampled_from(WAITS)),
            some.tuples(
                some.just("come_and_go"),
                people,
                zones,
                some.sampled_from(("present", "present", "unknown", "vacated")),
                some.sampled_from((0.0, 295.0, 301.0, -1.0)),
            ),
            some.tuples(
                some.just("change_a_role"),
                people,
                some.sampled_from((["operator"], ["engineer"], ["safety"])),
            ),
            some.tuples(some.just("come_or_leave"), people),
            some.tuples(some.just("change_a_zone"), zones, some.sampled_from(sorted(DANGER))),
            some.tuples(some.just("change_a_rule"), zones, some.sampled_from(CHANGES)),
            some.tuples(some.just("remove_a_rule"), zones),
            some.tuples(some.just("look_at_the_clock")),
            some.tuples(some.just("crash")),
        )
    )
    def meanwhile(self, what: tuple[Any, ...]) -> None:
        """Change the world."""
        getattr(self, what[0])(*what[1:])

    def let_time_pass(self, seconds: float) -> None:
        """Or go back."""
        self.clock.advance(seconds)

    def come_and_go(self, person: str, zone: str, status: str, ago: float) -> None:
        """See somebody somewhere."""
        self.do(self.house.see(person, zone, status=status, ago=ago))
        self.seen[zone, person] = (status, self.clock.now - ago)

    def change_a_role(self, person: str, roles: list[str]) -> None:
        """Trust a person with something else."""
        self.house.people[person]["roles"] = roles
        self.do(self.house.sync())

    def come_or_leave(self, person: str) -> None:
        """Let a person be one of us, or no longer."""
        self.house.people[person]["active"] ^= True
        self.do(self.house.sync())

    def change_a_zone(self, zone: str, level: str) -> None:
        """Make a zone more or less dangerous."""
        self.house.zones[zone]["hazard_level"] = level
        self.do(self.house.sync())

    def change_a_rule(self, zone: str, change: Json) -> None:
        """Make a zone's policy, or change it."""
        before = self.house.policies.get(zone)
        self.do(self.house.rule(zone, **change))
        self.rule_of[zone] += self.house.policies[zone] != before

    def remove_a_rule(self, zone: str) -> None:
        """Go back to the default."""
        gone = self.house.policies.pop(zone, None) is not None
        for other in ZONES:  # a default that comes back is a new rule wherever it applies
            self.rule_of[other] += gone and other not in self.house.policies
        self.do(self.house.sync())

    def crash(self) -> None:
        """Lose everything that is not on the disk, and start again."""
        self.do(self.house.close())
        self.do(self.house.open())

    # -- what must hold at the end --------------------------------------------------------------------

    def teardown(self) -> None:
        """Compare the books."""
        try:
            self.compare()
        finally:
            self.do(self.house.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    def compare(self) -> None:
        """Find every wish in the state that the model has, and every step in the trail, once."""
        rows = {row["id"]: row["status"] for row in self.do(self.house.rows(events))}
        done = {row["id"]: row["status"] for row in self.do(self.house.rows(commands))}
        found: dict[str, Counter[str]] = {}
        for row in self.do(self.house.trail()):
            found.setdefault(row["command_id"], Counter())[row["kind"]] += 1
        for wish in self.known.values():
            command = wish.event["command_id"]
            assert rows[wish.event["id"]] == EVENT_OF.get(wish.state, "approved")
            assert done[command] == {"approved": "pending"}.get(wish.state, wish.state)
            del found[command]["approval_refused"]
            assert found[command] == +wish.recorded
            assert found[command]["claimed"] <= 1
        assert [found[command]["claimed"] for command in self.safe] == [1] * len(self.safe)
        assert self.do(self.house.problem()) is None


def run(url: Callable[[Path], str], examples: int, steps: int) -> None:
    """Run the machine on databases of one kind."""
    machine = type("Machine", (GateMachine,), {"make_url": staticmethod(url)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def in_a_file(folder: Path) -> str:
    """Return the address of a database in a file."""
    return f"sqlite:///{folder / 'safety.db'}"


@pytest.mark.timeout(300)
def test_the_gate_does_what_the_model_says() -> None:
    """A few histories."""
    run(in_a_file, 15, 30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_gate_does_what_the_model_says_for_long() -> None:
    """Hundreds of longer ones."""
    run(in_a_file, 100, 50)


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_gate_does_what_the_model_says_on_postgres(postgres: Any) -> None:
    """The same rules, another engine."""
    run(lambda _folder: postgres.new_database(), 20, 30)
