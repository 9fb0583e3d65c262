"""What the brain is told of this house: people, areas, rules, devices, and who is where."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.file import WriteError
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_fire_time_changed,
)

from custom_components.kitty import people as people_module
from custom_components.kitty.const import DEFAULT_PRESENCE_TTL, DOMAIN
from custom_components.kitty.people import presence
from custom_components.kitty.protocol import Json

from .conftest import (
    ADA,
    BOB,
    DOOR,
    EVE,
    ZONE,
    Door,
    door_subentry,
    eventually,
    heard,
    kitty_entry,
    rules,
    set_up,
)
from .fake_brain import FakeBrain, FakeError


def person(hass: HomeAssistant, name: str, user_id: str | None, state: str) -> str:
    """Show a person of Home Assistant somewhere."""
    hass.states.async_set(f"person.{name}", state, {"user_id": user_id})
    return f"person.{name}"


def watched(policy: Json | None = None, **presence_rule: Any) -> Json:
    """Return options in which the workshop is watched."""
    return rules(**policy or {}) | {"presence": {ZONE: presence_rule}}


async def test_the_rules_of_the_house_are_sent_on_connection(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Everyone with a role, every described area, every policy; nothing is left out or added."""
    assert brain.sent("safety.sync")[0] == {
        "users": [
            {
                "id": ADA,
                "display_name": "Ada",
                "email": "ada@example.com",
                "roles": ["engineer"],
                "active": True,
            },
            {
                "id": BOB,
                "display_name": "Bob",
                "email": "bob@example.com",
                "roles": ["safety"],
                "active": True,
            },
        ],
        "zones": [
            {
                "id": ZONE,
                "name": ZONE,
                "hazard_level": "medium",
                "requires_ppe": False,
                "door_ids": [DOOR],
            }
        ],
        "policies": [
            {
                "zone_id": ZONE,
                "name": "default",
                "required_roles": ["engineer", "safety"],
                "requires_dual_confirm": False,
                "requires_presence": False,
                "requester_may_confirm": True,
                "voice_may_confirm": False,
                "presence_ttl": float(DEFAULT_PRESENCE_TTL),
                "checks": [],
            }
        ],
    }


async def test_things_are_sent_in_the_order_in_which_they_need_each_other(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """First who we are, then the rules, then the devices, then what they show."""
    told = [one.action for one in brain.received if one.action != "outbox.read"]
    assert told == ["integration.register", "safety.sync", "devices.put", "devices.observe"]


async def test_the_devices_of_the_house_are_sent(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A brain that lost its database gets its devices back, under the same ids."""
    put = brain.sent("devices.put")[0]
    assert (put["device_id"], put["driver"], put["zone_id"]) == (DOOR, "home_assistant", ZONE)
    assert put["info"]["capabilities"] == ["lock", "unlock", "open"]


async def test_a_device_that_was_removed_here_is_removed_there(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, door: Door
) -> None:
    """The brain keeps no device that nobody sees any more."""
    brain.devices["old"] = {"id": "old", "name": "Old", "kind": "light", "feeds": None, "state": {}}
    await set_up(hass, kitty_entry(brain))
    assert await brain.received_command("devices.remove") == {"device_id": "old"}


async def test_a_device_that_the_brain_refuses_does_not_stop_the_rest(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    door: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is wrong with one thing is logged; the others are sent."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("unknown_driver", "There is no such driver")

    brain.answers["devices.put"] = refuse
    await set_up(hass, kitty_entry(brain))
    await brain.received_command("devices.observe")
    assert "The brain refused devices.put: There is no such driver" in caplog.text


async def test_a_brain_of_another_house_gets_nothing(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    door: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A brain that is paired with another Home Assistant is told no names."""
    brain.integration_key = "another"
    entry = await set_up(hass, kitty_entry(brain))
    await brain.received_command("integration.register")
    await heard(entry)
    assert brain.sent("safety.sync") == []
    assert "does not pair" in caplog.text
    issues = [issue for _, issue in ir.async_get(hass).issues]
    assert f"pairing_refused.{entry.entry_id}" in issues


async def test_everything_is_sent_again_after_a_break(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whatever changed while the brain was away, it knows it afterwards."""
    await brain.drop()
    await brain.received_command("safety.sync", 2)
    await brain.received_command("devices.put", 2)


async def test_a_person_who_is_switched_off_counts_no_more(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """A change of a user reaches the brain at once."""
    await hass.auth.async_update_user(people[BOB], is_active=False)
    sync = await brain.received_command("safety.sync", 2)
    assert [user["active"] for user in sync["users"]] == [True, False]


async def test_people_who_are_gone_or_have_no_role_are_left_out(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Only people of the workshop are named to the brain."""
    options = rules()
    options["people"][EVE] = {"roles": [], "email": None, "notify": []}
    options["people"]["gone"] = {"roles": ["safety"], "email": None, "notify": []}
    hass.config_entries.async_update_entry(kitty, options=options)
    sync = await brain.received_command("safety.sync", 2)
    assert [user["id"] for user in sync["users"]] == [ADA, BOB]


def with_address(kitty: MockConfigEntry, **of_bob: str) -> Json:
    """Return the rules of the house, in which Bob has an address like this."""
    options = rules()
    options["people"][BOB] |= of_bob
    return options


def left_out(hass: HomeAssistant) -> set[str]:
    """Return who is named in a repair because of their address."""
    issues = ir.async_get(hass).issues.values()
    found = [one for one in issues if one.translation_key == "email_taken" and one.active]
    return {one.translation_placeholders["person"] for one in found if one.translation_placeholders}


async def test_a_second_account_with_the_same_address_is_left_out_by_name(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """All the rest is sent; a repair names the person until the address is another one."""
    same = with_address(kitty, email="ADA@example.com")
    hass.config_entries.async_update_entry(kitty, options=same)
    sync = await brain.received_command("safety.sync", 2)
    assert [user["id"] for user in sync["users"]] == [ADA]
    assert [zone["id"] for zone in sync["zones"]] == [ZONE]
    assert left_out(hass) == {"Bob"}
    assert "Left out, for another person's address: Bob" in caplog.text
    own = with_address(kitty, email="bob@example.org")
    hass.config_entries.async_update_entry(kitty, options=own)
    sync = await brain.received_command("safety.sync", 3)
    assert [user["id"] for user in sync["users"]] == [ADA, BOB]
    await heard(kitty)
    assert left_out(hass) == set()


async def test_of_two_accounts_with_the_same_address_the_one_in_use_counts(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """Whoever got a new account is not kept out by the old one."""
    await hass.auth.async_update_user(people[ADA], is_active=False)
    await brain.received_command("safety.sync", 2)
    same = with_address(kitty, email="ada@example.com")
    hass.config_entries.async_update_entry(kitty, options=same)
    sync = await brain.received_command("safety.sync", 3)
    assert [user["id"] for user in sync["users"]] == [BOB]
    assert left_out(hass) == {"Ada"}


async def test_people_without_an_address_are_all_sent(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """None is not the same as none."""
    options = rules()
    for settings in options["people"].values():
        settings["email"] = None
    hass.config_entries.async_update_entry(kitty, options=options)
    sync = await brain.received_command("safety.sync", 2)
    assert [user["id"] for user in sync["users"]] == [ADA, BOB]


async def test_an_area_has_the_name_that_people_gave_it(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    door: Door,
    area_registry: ar.AreaRegistry,
) -> None:
    """A renamed area is renamed at the brain."""
    area = area_registry.async_create("Workshop")
    assert area.id == ZONE
    await set_up(hass, kitty_entry(brain))
    assert (await brain.received_command("safety.sync"))["zones"][0]["name"] == "Workshop"
    area_registry.async_update(area.id, name="Laser lab")
    assert (await brain.received_command("safety.sync", 2))["zones"][0]["name"] == "Laser lab"


async def test_a_door_that_changes_is_told_at_once(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The brain sees what Home Assistant sees."""
    door.show("unlocked")
    seen = await brain.received_command("devices.observe", 2)
    assert (seen["device_id"], seen["state"]["locked"]) == (DOOR, False)


async def test_a_device_without_entities_of_the_house_is_not_observed(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """What a driver of the brain sees, Home Assistant does not pretend to see."""
    subentry = door_subentry()
    subentry["data"] = {**subentry["data"], "driver": "demo"}
    entry = await set_up(hass, kitty_entry(brain, subentries=(subentry,)))
    await brain.received_command("devices.put")
    await heard(entry)
    assert brain.sent("devices.observe") == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("home", "present"),
        ("Workshop", "present"),
        ("not_home", "vacated"),
        ("Office", "vacated"),
        ("unknown", "unknown"),
        ("unavailable", "unknown"),
    ],
)
def test_what_a_person_entity_says(hass: HomeAssistant, state: str, status: str) -> None:
    """At home, or in the zone that is named like the area, is there; not known is not there."""
    rule = {"persons": [person(hass, "ada", ADA, state)]}
    assert presence(hass, rule, "workshop") == {ADA: status}


def test_a_person_without_a_user_is_nobody(hass: HomeAssistant) -> None:
    """Presence counts for people who can sign in, and for entities that exist."""
    rule = {"persons": [person(hass, "guest", None, "home"), "person.nobody"]}
    assert presence(hass, rule, None) == {}


@pytest.mark.parametrize(
    ("rooms", "people", "expected"),
    [
        ({"a": "off"}, {"ada": "home"}, ["vacated"]),
        ({"a": "off", "b": "off"}, {"ada": "home", "bob": "home"}, ["vacated", "vacated"]),
        ({"a": "off", "b": "unavailable"}, {"ada": "home"}, ["unknown"]),
        ({"a": "unavailable"}, {"ada": "home"}, ["unknown"]),
        ({"a": "on"}, {"ada": "home"}, ["present"]),
        ({"a": "on"}, {"ada": "unknown"}, ["present"]),
        ({"a": "on"}, {"ada": "not_home"}, ["unknown"]),
        ({"a": "on", "b": "off"}, {"ada": "home"}, ["present"]),
        ({"a": "on"}, {"ada": "home", "bob": "not_home"}, ["unknown", "vacated"]),
        ({"a": "on"}, {"ada": "Workshop", "bob": "home"}, ["present", "unknown"]),
        ({"a": "on"}, {"ada": "unknown", "bob": "unknown"}, ["unknown", "unknown"]),
    ],
    ids=[
        "an empty room beats a person at home",
        "all rooms empty",
        "a room that is not known cannot be called empty",
        "no room is known",
        "occupied, and only one can be it",
        "occupied names the only person",
        "occupied by somebody who is away: a contradiction",
        "one of two rooms",
        "occupied does not name one of several",
        "occupied, and one says that it is this very room",
        "occupied by nobody knows whom",
    ],
)
def test_what_a_room_adds(
    hass: HomeAssistant, rooms: dict[str, str], people: dict[str, str], expected: list[str]
) -> None:
    """An empty room overrules; an occupied one names a person only where it can be one."""
    for name, state in rooms.items():
        hass.states.async_set(f"binary_sensor.{name}", state)
    ids = {"ada": ADA, "bob": BOB}
    rule = {
        "persons": [person(hass, name, ids[name], state) for name, state in people.items()],
        "occupancy": [f"binary_sensor.{name}" for name in rooms],
    }
    assert list(presence(hass, rule, "workshop").values()) == expected


@pytest.fixture
async def house(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    people: dict[str, MockUser],
    door: Door,
) -> MockConfigEntry:
    """Return an entry that watches Ada, and a check of the workshop."""
    hass.states.async_set("binary_sensor.fan", "on")
    options = watched(
        {
            "presence_ttl": 60,
            "checks": {"fan": {"entity_id": "binary_sensor.fan", "state": "on"}},
        },
        persons=[person(hass, "ada", ADA, "home"), person(hass, "eve", EVE, "home")],
    )
    entry = await set_up(hass, kitty_entry(brain, options))
    await brain.received_command("safety.check")
    return entry


async def test_presence_is_sent_of_people_with_a_role(
    house: MockConfigEntry, brain: FakeBrain
) -> None:
    """Who has no role in the workshop is not followed."""
    seen = brain.sent("safety.presence")
    assert [(one["zone_id"], one["user_id"], one["status"]) for one in seen] == [
        (ZONE, ADA, "present")
    ]
    assert seen[0]["source"] == "sensor"


async def test_presence_is_sent_when_it_changes(
    hass: HomeAssistant, house: MockConfigEntry, brain: FakeBrain
) -> None:
    """Leaving is known at once."""
    person(hass, "ada", ADA, "not_home")
    assert (await brain.received_command("safety.presence", 2))["status"] == "vacated"


async def test_presence_is_sent_again_before_it_is_stale(
    hass: HomeAssistant, house: MockConfigEntry, brain: FakeBrain
) -> None:
    """Within the time for which the policy believes it, it is said again."""
    first = brain.sent("safety.presence")[0]
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=21))
    again = await brain.received_command("safety.presence", 2)
    assert again["status"] == "present"
    assert again["observed_at"] == first["observed_at"]
    hass.states.async_set("person.ada", "home", {"user_id": ADA}, force_update=True)
    fresh = await brain.received_command("safety.presence", 3)
    assert fresh["observed_at"] > first["observed_at"]


async def test_a_check_is_sent_and_follows_its_entity(
    hass: HomeAssistant, house: MockConfigEntry, brain: FakeBrain
) -> None:
    """A check holds only while its entity is in the state that was named."""
    assert brain.sent("safety.check")[0]["ok"] is True
    hass.states.async_set("binary_sensor.fan", "off")
    assert (await brain.received_command("safety.check", 2))["ok"] is False
    hass.states.async_remove("binary_sensor.fan")
    assert (await brain.received_command("safety.check", 3))["ok"] is False


async def test_an_area_that_is_watched_but_not_described_is_not_told(
    hass: HomeAssistant, house: MockConfigEntry, brain: FakeBrain
) -> None:
    """Without a hazard level there is nothing that presence could be for."""
    options = dict(house.options) | {"zones": {}, "policies": {}}
    hass.config_entries.async_update_entry(house, options=options)
    sync = await brain.received_command("safety.sync", 2)
    await heard(house)
    assert (sync["zones"], sync["policies"]) == ([], [])
    assert len(brain.sent("safety.presence")) == 1


async def test_new_entities_are_followed_after_the_rules_changed(
    hass: HomeAssistant, house: MockConfigEntry, brain: FakeBrain
) -> None:
    """A person who was added to the watch is followed, one who was taken away is not."""
    options = watched(persons=[person(hass, "bob", BOB, "home")])
    hass.config_entries.async_update_entry(house, options=options)
    await brain.received_command("safety.presence", 2)
    person(hass, "ada", ADA, "not_home")
    person(hass, "bob", BOB, "not_home")
    await brain.received_command("safety.presence", 3)
    seen = [(one["user_id"], one["status"]) for one in brain.sent("safety.presence")]
    assert seen == [(ADA, "present"), (BOB, "present"), (BOB, "vacated")]


async def test_the_chain_is_anchored_in_what_this_house_saw(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """After a restart the brain must still hold the row that was its last."""
    await hass.config_entries.async_reload(kitty.entry_id)
    assert await brain.received_command("audit.anchor") == {"seq": 1, "hash": "h1"}


async def test_the_head_is_kept_now_and_then(
    hass: HomeAssistant,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row would wear out the disk; after a while the newest is kept."""
    await brain.push("audit.head", {"seq": 2, "hash": "h2", "at": 1.0})
    await heard(kitty)
    assert kitty.runtime_data.ledger.audit_head == {"seq": 1, "hash": "h1"}
    await brain.push("audit.head", {"seq": 3, "hash": "h3", "at": 2.0})
    await heard(kitty)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=61))
    await eventually(lambda: kitty.runtime_data.ledger.audit_head == {"seq": 3, "hash": "h3"})


async def test_a_head_that_cannot_be_kept_is_logged(
    kitty: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A full disk is said, and stops nothing else."""
    monkeypatch.setattr(people_module, "KEEP_AUDIT_EVERY", 0.0)
    with patch.object(Store, "_async_write_data", side_effect=WriteError("full")):
        await brain.push("audit.head", {"seq": 3, "hash": "h3", "at": 2.0})
        await eventually(lambda: "head of the audit chain is not kept" in caplog.text)


async def test_a_chain_that_lost_rows_is_a_repair_issue(
    hass: HomeAssistant,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    issue_registry: ir.IssueRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A brain from an old backup is found out; what we saw is not overwritten by what it shows."""
    monkeypatch.setattr(people_module, "KEEP_AUDIT_EVERY", 0.0)
    issue = (DOMAIN, f"audit_rollback.{kitty.entry_id}")
    brain.answers["audit.anchor"] = lambda _params, _caller: {"ok": False, "voided": 1}
    brain.audit = {"seq": 0, "hash": "h0", "at": 0.0}
    brain.restarted()
    await brain.drop()
    await brain.received_command("audit.anchor")
    await eventually(lambda: issue in issue_registry.issues)
    await brain.push("audit.head", {"seq": 1, "hash": "other", "at": 1.0})
    await heard(kitty)
    assert kitty.runtime_data.ledger.audit_head == {"seq": 1, "hash": "h1"}
    brain.answers["audit.anchor"] = lambda _params, _caller: {"ok": True}
    await brain.drop()
    await eventually(lambda: issue not in issue_registry.issues)


async def test_an_anchor_that_is_not_answered_keeps_the_old_head(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Until the chain is proved, what it shows is not kept."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("database_busy")

    brain.answers["audit.anchor"] = refuse
    brain.audit = {"seq": 9, "hash": "h9", "at": 0.0}
    brain.restarted()
    await brain.drop()
    await brain.received_command("devices.put", 2)
    assert kitty.runtime_data.ledger.audit_head == {"seq": 1, "hash": "h1"}


async def test_a_brain_that_is_too_busy_to_pair_is_asked_again(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """It refuses nobody, so nobody is told to act, and the rest is sent later."""
    brain.answers["integration.register"], register = _busy, brain.answers["integration.register"]
    await kitty.runtime_data.feed.send_all()
    assert ir.async_get(hass).issues == {}
    brain.answers["integration.register"] = register
    before = len(brain.sent("safety.sync"))
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=31))
    await brain.received_command("safety.sync", before + 1)


async def test_rules_that_a_busy_brain_did_not_take_are_sent_again(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Else whoever lost a role would have it at the brain until the next connection."""
    brain.answers["safety.sync"], sync = _busy, brain.answers["safety.sync"]
    changed = rules() | {"people": {ADA: rules()["people"][ADA]}}
    before = len(brain.sent("safety.sync"))
    hass.config_entries.async_update_entry(kitty, options=changed)
    await brain.received_command("safety.sync", before + 1)
    await heard(kitty)
    brain.answers["safety.sync"] = sync
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=31))
    again = await brain.received_command("safety.sync", before + 2)
    assert [user["id"] for user in again["users"]] == [ADA]


async def test_a_chain_that_a_busy_brain_could_not_prove_is_asked_for_again(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Until it is proved none of it is kept, and a rollback would go unseen."""
    brain.answers["audit.anchor"], anchor = _busy, brain.answers["audit.anchor"]
    brain.audit = {"seq": 9, "hash": "h9", "at": 0.0}
    brain.restarted()
    await brain.drop()
    await brain.received_command("devices.put", 2)
    await heard(kitty)
    brain.answers["audit.anchor"] = anchor
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=31))
    ledger = kitty.runtime_data.ledger
    await eventually(lambda: ledger.audit_head == {"seq": 9, "hash": "h9"})


def _busy(_params: Json, _caller: Json | None) -> Json:
    raise FakeError("database_busy")
