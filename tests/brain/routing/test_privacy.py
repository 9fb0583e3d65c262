"""What may leave the house: by kind, by area, never somebody else's, never a secret."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st
import pytest

from brain_server.commands import SYSTEM, NoParams, collect, prepare
from brain_server.errors import Forbidden, InvalidRequest
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.routing.privacy import Kind, Piece, Privacy, Rule, SetPrivacy, Verdict
from brain_server.storage import Database, tables
from tests.brain.home import until

FIRST = {
    "camera": False,
    "location": False,
    "presence": False,
    "calendar": True,
    "messages": True,
    "memory": True,
    "device_state": True,
    "names": True,
    "prompt": True,
}


class Guard:
    """The rules of a house, and what they told."""

    def __init__(self, database: Database) -> None:
        """Start with the first rules."""
        self.database = database
        self.told: list[tuple[str, Json]] = []
        self.privacy = Privacy(database, lambda name, data: self.told.append((name, data)))

    def far(self, *pieces: Piece) -> Verdict:
        """Judge what goes to somebody else's machine."""
        return self.privacy.judge(leaves_house=True, pieces=pieces)

    async def rule(self, *rules: tuple[str, str | None, bool]) -> Json:
        """Replace the rules as an admin does."""
        made = [Rule(kind=Kind(kind), area_id=area, allow=allow) for kind, area, allow in rules]
        return await self.privacy.set(SYSTEM, SetPrivacy(rules=made))

    async def offline(self, *, on: bool) -> Json:
        """Turn the offline mode on or off."""
        return await self.privacy.set(SYSTEM, SetPrivacy(offline_mode=on))


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Guard]:
    """Give the rules of a new house."""
    database = Database(
        f"sqlite:///{tmp_path / 'brain.db'}", tables.brain, name="brain", durable=False
    )
    await database.open()
    yield Guard(database)
    await database.close()


# -- what is true from the start ----------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "may"), FIRST.items())
async def test_pictures_and_who_is_where_stay_in_the_house(
    guard: Guard, kind: str, may: bool
) -> None:
    """The rest may leave until somebody forbids it."""
    assert guard.far(Piece(kind=kind)).allowed is may


async def test_a_kind_that_is_not_known_stays_in_the_house(guard: Guard) -> None:
    """Nobody has thought about it."""
    assert guard.far(Piece(kind="heartbeat")).rule == "heartbeat"


@pytest.mark.parametrize("kind", FIRST)
async def test_what_belongs_to_somebody_else_stays_in_the_house(guard: Guard, kind: str) -> None:
    """Whatever the rules allow."""
    await guard.rule((kind, None, True))
    assert guard.far(Piece(kind=kind, of_other=True)).rule == "of_others"


SECRETS = [
    "My password is hunter2-4711",
    "the code is: 4711",
    "Authorization: Bearer abc.def",
    "pin=4711",
    "Use sk-proj-abcdefghijklmnop1234 for that",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "ghp_abcdefghijklmnopqrstuvwxyz0123",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
]
HARMLESS = ["The pin is broken", "My password is too long", "the code is in Python", "sk-8 stylus"]


@pytest.mark.parametrize("text", SECRETS)
async def test_what_looks_like_a_secret_stays_in_the_house(guard: Guard, text: str) -> None:
    """A question that holds one goes nowhere else."""
    verdict = guard.far(Piece(kind="prompt", text=text))
    assert (verdict.allowed, verdict.rule) == (False, "secret")


@pytest.mark.parametrize("text", HARMLESS)
async def test_who_only_speaks_of_secrets_is_not_stopped(guard: Guard, text: str) -> None:
    """Words like those are no secret."""
    assert guard.far(Piece(kind="prompt", text=text)).allowed


async def test_a_secret_that_is_not_needed_goes_to_no_model_at_all(guard: Guard) -> None:
    """Not to one in the house either."""
    secret = Piece(kind="memory", needed=False, text="api_key=abcdef")
    plain = Piece(kind="memory", needed=False, text="Ada likes tea")
    verdict = guard.privacy.judge(leaves_house=False, pieces=[secret, plain])
    assert (verdict.allowed, verdict.dropped) == (True, (secret,))


async def test_an_ordinary_question_may_leave(guard: Guard) -> None:
    """With nothing left out."""
    pieces = (Piece(kind="prompt", text="Why is the sky blue?"), Piece(kind="names"))
    assert guard.far(*pieces) == Verdict(allowed=True)


# -- needed or not ------------------------------------------------------------------------------------


async def test_what_is_not_needed_is_left_out(guard: Guard) -> None:
    """And the question goes without it."""
    camera = Piece(kind="camera", needed=False)
    other = Piece(kind="memory", needed=False, of_other=True)
    verdict = guard.far(Piece(kind="prompt"), camera, other)
    assert verdict == Verdict(allowed=True, dropped=(camera, other))


async def test_when_what_is_needed_may_not_leave_nothing_does(guard: Guard) -> None:
    """The rule and the area are named."""
    picture = Piece(kind="camera", area_id="bath")
    verdict = guard.far(Piece(kind="prompt"), picture)
    assert verdict == Verdict(
        allowed=False, reason="privacy_refused", rule="camera", area_id="bath"
    )


async def test_what_is_not_needed_does_not_hide_what_is(guard: Guard) -> None:
    """In whatever order they come."""
    optional = Piece(kind="presence", needed=False)
    needed = Piece(kind="camera")
    assert guard.far(optional, needed).rule == guard.far(needed, optional).rule == "camera"


# -- rules --------------------------------------------------------------------------------------------


async def test_a_rule_for_a_kind_holds_in_every_area(guard: Guard) -> None:
    """And for what has no area."""
    await guard.rule(("camera", None, True), ("calendar", None, False))
    assert guard.far(Piece(kind="camera", area_id="garden"), Piece(kind="camera")).allowed
    assert not guard.far(Piece(kind="calendar")).allowed


async def test_a_rule_for_an_area_wins_over_the_one_for_all(guard: Guard) -> None:
    """Either way."""
    await guard.rule(("camera", "garden", True), ("prompt", "bedroom", False))
    allowed = {
        (kind, area): guard.far(Piece(kind=kind, area_id=area)).allowed
        for kind, area in [
            ("camera", "garden"),
            ("camera", "bath"),
            ("prompt", "bedroom"),
            ("prompt", "kitchen"),
        ]
    }
    assert list(allowed.values()) == [True, False, False, True]


async def test_new_rules_replace_those_before(guard: Guard) -> None:
    """A kind that they do not name is as it was at first."""
    await guard.rule(("camera", None, True), ("names", None, False))
    await guard.rule(("presence", None, True))
    view = await guard.privacy.get(SYSTEM, NoParams())
    found = {rule["kind"]: rule["allow"] for rule in view["rules"]}
    assert found == FIRST | {"presence": True}


async def test_in_offline_mode_nothing_leaves(guard: Guard) -> None:
    """Not even the most harmless words; the house itself goes on."""
    await guard.offline(on=True)
    assert guard.far(Piece(kind="prompt")).reason == "offline_mode"
    assert guard.far().reason == "offline_mode"
    assert guard.privacy.judge(leaves_house=False, pieces=[Piece(kind="prompt")]).allowed
    await guard.offline(on=False)
    assert guard.far(Piece(kind="prompt")).allowed


async def test_rules_and_offline_mode_change_without_each_other(guard: Guard) -> None:
    """What is left out stays as it is."""
    await guard.offline(on=True)
    await guard.rule(("camera", "garden", True))
    assert guard.privacy.offline_mode
    view = await guard.offline(on=False)
    assert {"kind": "camera", "area_id": "garden", "allow": True} in view["rules"]


async def test_rules_outlive_the_process(guard: Guard) -> None:
    """Those that are stored are in force after :meth:`load`."""
    await guard.rule(("names", None, False))
    await guard.offline(on=True)
    after = Guard(guard.database)
    await after.privacy.load()
    assert after.privacy.offline_mode
    await after.offline(on=False)
    assert after.far(Piece(kind="names")).rule == "names"


async def test_a_house_without_stored_rules_has_the_first_ones(guard: Guard) -> None:
    """Also after loading."""
    await guard.privacy.load()
    assert not guard.far(Piece(kind="camera")).allowed
    assert guard.far(Piece(kind="prompt")).allowed


async def test_a_change_is_told(guard: Guard) -> None:
    """With all that is in force."""
    view = await guard.offline(on=True)
    assert guard.told == [("privacy.updated", view)]
    assert view["offline_mode"] is True
    assert [rule["kind"] for rule in view["rules"]] == sorted(FIRST)


async def test_two_rules_about_the_same_are_refused(guard: Guard) -> None:
    """Nobody could say which one holds; nothing is changed."""
    with pytest.raises(InvalidRequest) as refused:
        await guard.rule(
            ("camera", "bath", True), ("names", "bath", True), ("camera", "bath", False)
        )
    assert refused.value.code == "duplicate"
    assert guard.told == []


BAD: list[Json] = [
    {"rules": [{"kind": "heartbeat", "allow": True}]},
    {"rules": [{"kind": "camera"}]},
    {"rules": [{"kind": "camera", "allow": True, "area_id": ""}]},
    {"rules": [{"kind": "camera", "allow": True, "until": 3}]},
    {"rules": [{"kind": "camera", "allow": True}] * 501},
    {"offline_mode": "yes"},
]


@pytest.mark.parametrize("params", BAD)
async def test_rules_that_make_no_sense_are_refused(guard: Guard, params: Json) -> None:
    """Before anything is changed."""
    spec = collect(guard.privacy)["privacy.set"]
    with pytest.raises(InvalidRequest) as refused:
        prepare(spec, SYSTEM, params)
    assert refused.value.code == "invalid_params"


# -- for the one who asks -----------------------------------------------------------------------------


async def test_a_refusal_names_the_rule(guard: Guard) -> None:
    """So that a person knows which one to change."""
    with pytest.raises(Forbidden) as refused:
        guard.privacy.check(leaves_house=True, pieces=[Piece(kind="camera", area_id="bath")])
    assert refused.value.code == "privacy_refused"
    assert refused.value.fields == {"rule": "camera", "area_id": "bath"}


async def test_offline_mode_is_refused_by_its_own_name(guard: Guard) -> None:
    """It is no rule about the question."""
    await guard.offline(on=True)
    with pytest.raises(Forbidden) as refused:
        guard.privacy.check(leaves_house=True, pieces=[])
    assert refused.value.code == "offline_mode"


async def test_what_is_allowed_tells_what_to_leave_out(guard: Guard) -> None:
    """And nothing is raised."""
    camera = Piece(kind="camera", needed=False)
    assert guard.privacy.check(leaves_house=True, pieces=[camera, Piece(kind="prompt")]) == (
        camera,
    )
    assert guard.privacy.check(leaves_house=False, pieces=[Piece(kind="camera")]) == ()


async def test_whether_it_would_be_refused_can_be_asked_before(guard: Guard) -> None:
    """By the code of the error."""
    assert guard.privacy.refusal(leaves_house=True, pieces=[Piece(kind="prompt")]) is None
    assert guard.privacy.refusal(leaves_house=True, pieces=[Piece(kind="camera")]) == (
        "privacy_refused"
    )


PIECES = st.builds(
    Piece,
    kind=st.sampled_from([*FIRST, "heartbeat"]),
    area_id=st.sampled_from([None, "bath", "garden"]),
    needed=st.booleans(),
    of_other=st.booleans(),
    text=st.sampled_from(["", "tea", "token=abc"]),
)
RULES = st.dictionaries(
    st.tuples(st.sampled_from(list(FIRST)), st.sampled_from([None, "bath", "garden"])),
    st.booleans(),
)


@given(pieces=st.lists(PIECES, max_size=6), rules=RULES)
def test_whatever_the_rules_nothing_forbidden_ever_leaves(
    pieces: list[Piece], rules: dict[tuple[str, str | None], bool]
) -> None:
    """What goes is in the words of the rules allowed, nobody else's and no secret."""
    database = Database("sqlite://", tables.brain, name="brain", durable=False)
    privacy = Privacy(database, lambda _name, _data: None)
    stored = [{"kind": kind, "area_id": area, "allow": may} for (kind, area), may in rules.items()]
    privacy._use({"rules": stored})
    verdict = privacy.judge(leaves_house=True, pieces=pieces)
    gone = [piece for piece in pieces if verdict.allowed and piece not in verdict.dropped]
    everywhere = FIRST | {kind: may for (kind, area), may in rules.items() if area is None}
    in_force = [rules.get((one.kind, one.area_id), everywhere.get(one.kind, False)) for one in gone]
    assert all(in_force)
    assert not any(piece.of_other or "token" in piece.text for piece in gone)
    assert not any(piece.needed for piece in verdict.dropped)


async def test_a_rule_that_is_stored_is_in_force_though_its_caller_was_called_off(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time was over between the two; what a person forbade would go out until the next start."""
    write, stored, go = guard.database.write, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        stored.set()
        await go.wait()
        return found

    monkeypatch.setattr(guard.database, "write", late)
    setting = Tasks().start("setting", guard.offline(on=True))
    await stored.wait()
    setting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await setting
    await until(lambda: guard.privacy.offline_mode, "that nothing leaves")
    assert [name for name, _ in guard.told] == ["privacy.updated"]
