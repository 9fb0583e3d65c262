"""What Home Assistant tells the gate: its key, people, zones, policies, presence, checks and codes."""

from typing import Any

import msgspec
import pytest

from brain_server.commands import Page
from brain_server.protocol import Hazard, Json
from brain_server.safety.directory import (
    CheckParams,
    KeyParams,
    PinParams,
    PolicyParams,
    PresenceParams,
    User,
    ZoneParams,
)
from brain_server.storage.tables import policies, presence, safety_state, users, zones
from tests.brain.gatehouse import (
    KEY,
    OTHER_KEY,
    Gatehouse,
    integration,
    public,
    refusal,
)

# -- pairing ------------------------------------------------------------------------------------------


async def test_the_first_key_is_pinned_and_no_other_is_taken(house: Gatehouse) -> None:
    """The same one again is welcome at each connection."""
    again = await house.directory.register(integration(), KeyParams(public_key=public(KEY)))
    assert again == {"instance_id": house.keys.instance_id}
    other = house.directory.register(integration(), KeyParams(public_key=public(OTHER_KEY)))
    assert await refusal(other) == "integration_key_mismatch"
    assert len(await house.trail("key_pinned")) == 1


async def test_a_key_that_is_none_is_not_pinned(house: Gatehouse) -> None:
    """Not even the first time."""
    await house.directory.unpair()
    assert await refusal(house.directory.register(integration(), KeyParams(public_key="x"))) == (
        "invalid_key"
    )
    assert not await house.directory.is_paired()


async def test_unpairing_lets_another_home_assistant_in(house: Gatehouse) -> None:
    """By the person at the command line; it is on record."""
    assert await house.directory.is_paired()
    await house.directory.unpair()
    assert not await house.directory.is_paired()
    await house.directory.register(integration(), KeyParams(public_key=public(OTHER_KEY)))
    assert [row["kind"] for row in await house.trail("key_forgotten", "key_pinned")] == [
        "key_pinned",
        "key_forgotten",
        "key_pinned",
    ]


# -- what a rule must be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (User, {"id": "u", "roles": ["operator"]}),
        (User, {"id": "u", "display_name": "", "roles": ["operator"]}),
        (User, {"id": "", "display_name": "U", "roles": ["operator"]}),
        (User, {"id": "u", "display_name": "U", "roles": []}),
        (User, {"id": "u", "display_name": "U", "roles": ["king"]}),
        (User, {"id": "u", "display_name": "U", "roles": ["operator"], "pin": "1"}),
        (ZoneParams, {"id": "z", "name": "Z", "hazard_level": "extreme"}),
        (PolicyParams, {"zone_id": "z", "required_roles": []}),
        (PolicyParams, {"zone_id": "z"}),
        (PolicyParams, {"zone_id": "z", "required_roles": ["admin"], "presence_ttl": 0}),
        (PolicyParams, {"zone_id": "z", "required_roles": ["admin"], "presence_ttl": 1e9}),
        (PinParams, {"user_id": "u", "pin": "123"}),
        (PresenceParams, {"zone_id": "z", "user_id": "u", "source": "rumour"}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(kind: type, values: Json) -> None:
    """Before it reaches the gate."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, kind)


@pytest.mark.parametrize("when", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("kind", [PresenceParams, CheckParams])
def test_a_time_is_a_time(kind: Any, when: float) -> None:
    """And not something that compares with nothing."""
    seen: Json = {"zone_id": "z", "user_id": "u", "source": "unifi", "status": "present"}
    result: Json = {"zone_id": "z", "name": "fan_on", "ok": True}
    values = {PresenceParams: seen, CheckParams: result}[kind]
    with pytest.raises(msgspec.ValidationError, match="observed_at"):
        msgspec.convert(values | {"observed_at": when}, kind)


def test_a_user_needs_no_address(house: Gatehouse) -> None:
    """Only a name and a role."""
    user = msgspec.convert({"id": "u", "display_name": "U", "roles": ["operator"]}, User)
    assert (user.email, user.active) == (None, True)


# -- sync ---------------------------------------------------------------------------------------------


async def test_a_sync_replaces_all(house: Gatehouse) -> None:
    """Who is not named is no longer one of us; who is, is as named."""
    await house.rule("lab")
    house.people = {"bob": house.people["bob"] | {"email": "bob@example.org", "roles": ["admin"]}}
    house.zones = {"lab": house.zones["lab"] | {"name": "Laboratory"}}
    await house.sync()
    active = [row for row in await house.rows(users) if row["active"]]
    assert [(row["id"], row["email"], row["roles"]) for row in active] == [
        ("bob", "bob@example.org", ["admin"])
    ]
    assert [(row["id"], row["name"]) for row in await house.rows(zones)] == [("lab", "Laboratory")]


async def test_a_sync_is_on_record_only_when_something_changed(house: Gatehouse) -> None:
    """With what."""
    before = len(await house.trail("rules_changed"))
    await house.sync()
    house.people["bob"]["roles"] = ["safety"]
    del house.zones["hall"]
    await house.rule("lab")
    rows = await house.trail("rules_changed")
    assert [row["data"]["what"] for row in rows[before:]] == [
        ["access_policies:lab", "users:bob", "zones:hall"]
    ]


async def test_a_policy_keeps_its_version_until_it_changes(house: Gatehouse) -> None:
    """No version is ever given twice."""
    await house.rule("lab")
    await house.rule("shop")
    first = await house.sync()
    await house.rule("lab", requires_dual_confirm=True)
    second = await house.sync()
    del house.policies["lab"]
    await house.sync()
    await house.rule("lab", requires_dual_confirm=True)
    third = await house.sync()
    assert [found["policy_versions"] for found in (first, second, third)] == [
        {"lab": 1, "shop": 2},
        {"lab": 3, "shop": 2},
        {"lab": 5, "shop": 2},
    ]


async def test_roles_in_another_order_are_the_same_policy(house: Gatehouse) -> None:
    """An order is no change."""
    await house.rule("lab", required_roles=["safety", "admin"])
    await house.rule("lab", required_roles=["admin", "safety"])
    assert [row["version"] for row in await house.rows(policies)] == [1]


@pytest.mark.parametrize(
    ("part", "twice"),
    [
        ("people", {"a": {"id": "x"}, "b": {"id": "x"}}),
        ("zones", {"a": {"id": "x"}, "b": {"id": "x"}}),
        ("policies", {"a": {"zone_id": "lab"}, "b": {"zone_id": "lab"}}),
    ],
)
async def test_nothing_is_named_twice(
    house: Gatehouse, part: str, twice: dict[str, dict[str, str]]
) -> None:
    """One of the two would be lost."""
    full = {
        "people": house.people["ada"],
        "zones": house.zones["lab"],
        "policies": {"required_roles": ["admin"]},
    }
    setattr(house, part, {name: full[part] | values for name, values in twice.items()})
    assert await refusal(house.sync()) == "duplicate"


async def test_two_people_do_not_share_an_address(house: Gatehouse) -> None:
    """And those who have none do not clash."""
    for name, address in (("ada", "both@example.org"), ("bob", "Both@Example.org")):
        house.people[name]["email"] = address
    assert await refusal(house.sync()) == "duplicate"


async def test_two_people_may_swap_their_addresses(house: Gatehouse) -> None:
    """In one sync."""
    for name in ("ada", "bob"):
        house.people[name]["email"] = f"{name}@example.org"
    await house.sync()
    house.people["ada"]["email"], house.people["bob"]["email"] = (
        "bob@example.org",
        "ada@example.org",
    )
    await house.sync()
    assert [row["email"] for row in await house.rows(users)][:2] == [
        "bob@example.org",
        "ada@example.org",
    ]


async def test_a_policy_belongs_to_a_zone(house: Gatehouse) -> None:
    """One for a zone that is not there is refused, and nothing of the sync is kept."""
    house.people["ada"]["roles"] = ["admin"]
    house.policies["attic"] = {"zone_id": "attic", "required_roles": ["admin"]}
    assert await refusal(house.sync()) == "unknown_zone"
    assert [row["roles"] for row in await house.rows(users)][:1] == [["operator"]]


async def test_the_policy_of_a_zone_that_is_gone_is_gone(house: Gatehouse) -> None:
    """The zone made anew has the default."""
    await house.rule("lab")
    lab, _ = house.zones.pop("lab"), house.policies.pop("lab")
    await house.sync()
    assert await house.rows(policies) == []
    house.zones["lab"] = lab
    await house.sync()
    event = await house.event()
    assert (event["policy_version"], event["people_needed"]) == (2, 2)


# -- presence and codes -------------------------------------------------------------------------------


async def test_a_later_observation_replaces_an_earlier_one(house: Gatehouse) -> None:
    """One row for each person and zone."""
    await house.see("bob")
    await house.see("bob", status="vacated")
    await house.see("bob", "shop")
    rows = [(row["zone_id"], row["user_id"], row["status"]) for row in await house.rows(presence)]
    assert sorted(rows) == [("lab", "bob", "vacated"), ("shop", "bob", "present")]


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("unifi", []),
        ("sensor", []),
        ("manual", ["presence_manual"]),
        ("override", ["presence_override"]),
    ],
)
async def test_somebody_s_word_for_presence_is_on_record(
    house: Gatehouse, source: str, kinds: list[str]
) -> None:
    """With whose word it was; what a sensor saw is not worth a row."""
    await house.see("bob", source=source, by="dan")
    rows = await house.trail("presence_unifi", "presence_manual", "presence_override")
    assert [row["kind"] for row in rows] == kinds
    assert {row["user_id"] for row in rows} <= {"dan"}


async def test_only_the_person_sets_an_own_code(house: Gatehouse) -> None:
    """Not an admin, not Home Assistant by itself."""
    params = PinParams(user_id="ada", pin="1234")
    for other in ("dan", None):
        assert await refusal(house.directory.pin(integration(other), params)) == "not_yours"


async def test_a_duress_code_is_another_code(house: Gatehouse) -> None:
    """Else every approval would be an alarm."""
    assert await refusal(house.set_pin("ada", "1234", "1234")) == "same_pin"


async def test_a_code_is_set_and_cleared(house: Gatehouse) -> None:
    """Both times on record, without the code."""
    await house.set_pin("ada", "1234", "9999")
    await house.set_pin("ada", None, old="1234")
    row = next(row for row in await house.rows(users) if row["id"] == "ada")
    assert (row["pin_hash"], row["duress_hash"]) == (None, None)
    assert [row["data"] for row in await house.trail("pin_changed")] == [
        {"set": True},
        {"set": False},
    ]


async def test_a_code_outlives_the_loss_of_every_role(house: Gatehouse) -> None:
    """Else somebody who comes back could approve without it; meanwhile the person counts for nothing."""
    await house.set_pin("ada", "1234")
    ada = house.people.pop("ada")
    await house.sync()
    await house.sync()
    assert await refusal(house.ask(zone="shop")) == "not_registered"
    house.people["ada"] = ada
    await house.sync()
    assert await refusal(house.approve(await house.event(zone="shop"), "ada")) == "pin_required"


async def test_an_address_is_free_when_its_person_has_left(house: Gatehouse) -> None:
    """For somebody new."""
    house.people["ada"]["email"] = "workshop@example.org"
    await house.sync()
    del house.people["ada"]
    house.people["bob"]["email"] = "workshop@example.org"
    await house.sync()
    emails = {row["id"]: row["email"] for row in await house.rows(users)}
    assert (emails["ada"], emails["bob"]) == (None, "workshop@example.org")


async def test_a_stranger_has_no_code(house: Gatehouse) -> None:
    """Nobody to keep it for."""
    assert await refusal(house.set_pin("somebody", "1234")) == "user_not_found"


async def test_a_code_outlives_a_sync(house: Gatehouse) -> None:
    """Home Assistant does not know it and cannot send it."""
    await house.set_pin("ada", "1234")
    house.people["ada"]["display_name"] = "Ada Lovelace"
    await house.sync()
    event = await house.event(zone="shop")
    assert await refusal(house.approve(event, "ada")) == "pin_required"


# -- lists --------------------------------------------------------------------------------------------


async def test_people_are_listed_without_their_codes(house: Gatehouse) -> None:
    """Not even as a hash."""
    await house.set_pin("ada", "1234", "9999")
    listed = await house.directory.users(integration(), Page())
    assert [one["id"] for one in listed["items"]] == ["ada", "bob", "cyd", "dan", "eve"]
    assert not {"pin_hash", "duress_hash"} & listed["items"][0].keys()


async def test_zones_and_policies_are_listed(house: Gatehouse) -> None:
    """As they are in force, page by page."""
    await house.rule("lab")
    page = await house.directory.zones(integration(), Page(limit=3, fields=["id"]))
    rest = await house.directory.zones(integration(), Page(cursor=page["cursor"], fields=["id"]))
    assert [one["id"] for one in page["items"] + rest["items"]] == ["forge", "hall", "lab", "shop"]
    listed = await house.directory.policies(integration(), Page())
    assert [(one["zone_id"], one["version"]) for one in listed["items"]] == [("lab", 1)]


async def test_the_key_is_kept_with_the_state_of_the_gate(house: Gatehouse) -> None:
    """And a zone of a level that nobody knows cannot be stored."""
    assert {row["key"]: row["value"] for row in await house.rows(safety_state)} == {
        "integration_key": public(KEY)
    }
    assert [row["hazard_level"] for row in await house.rows(zones)] == [
        Hazard.MEDIUM,
        Hazard.LOW,
        Hazard.HIGH,
        Hazard.MEDIUM,
    ]


# -- what people are shown ----------------------------------------------------------------------------


async def test_home_assistant_is_told_who_was_last_seen_where(house: Gatehouse) -> None:
    """By which source, and when, so that people see how old it is."""
    seen = {"zone_id": "lab", "user_id": "bob", "source": "unifi", "status": "present"}
    params = msgspec.convert(seen | {"observed_at": 50.0}, PresenceParams)
    await house.directory.presence(integration(), params)
    (row,) = (await house.directory.presences(integration(), Page()))["items"]
    assert row == seen | {"observed_at": 50.0, "id": "lab:bob"}


async def test_the_last_result_of_each_check_is_told(house: Gatehouse) -> None:
    """Not those before it."""
    for ok in (True, False):
        result = {"zone_id": "lab", "name": "fan_on", "ok": ok, "observed_at": 50.0}
        await house.directory.check(integration(), msgspec.convert(result, CheckParams))
    (row,) = (await house.directory.checks(integration(), Page()))["items"]
    assert row == {
        "zone_id": "lab",
        "name": "fan_on",
        "ok": False,
        "observed_at": 50.0,
        "id": "lab:fan_on",
    }
