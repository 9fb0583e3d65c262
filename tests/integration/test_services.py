"""The actions: who may call them, what they ask, what they answer."""

from typing import Any

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR, EVE, ZONE
from .fake_brain import FakeBrain, FakeError
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    NOW,
    POWER,
    PRINTER,
    act,
    at,
    push,
    workshop_fixture,
)


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what rights are given on."""
    return (Platform.LOCK, Platform.SWITCH, Platform.BUTTON, Platform.SENSOR)


def only_entities(user: MockUser, *entity_ids: str) -> None:
    """Let a user control these entities only."""
    user.mock_policy({"entities": {"entity_ids": {one: {"control": True} for one in entity_ids}}})


async def test_a_request_answers_with_its_command_and_its_event(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A script can go on with the ids; nothing secret is among them."""
    answer = await act(
        hass,
        "request",
        device_id=at(hass, workshop, PRINTER),
        intent="heat",
        params={"bed": 60.0},
        idempotency_key="warm-up",
    )
    assert brain.sent("devices.request") == [
        {
            "device_id": PRINTER,
            "intent": "heat",
            "params": {"bed": 60.0},
            "idempotency_key": "warm-up",
        }
    ]
    assert answer["command"]["status"] == "pending"
    event = answer["event"]
    assert (event["requested_by"], event["status"], event["level"]) == ("Ada", "pending", "medium")
    assert {"nonce", "subject", "evidence_key"}.isdisjoint(event)


async def test_a_request_that_needs_nobody_has_no_event(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A target with one device will do, too."""
    answer = await act(hass, "request", device_id=[at(hass, workshop, DOOR)], intent="lock")
    assert (answer["command"]["status"], answer["event"]) == ("claimed", None)


@pytest.mark.parametrize("devices", [[], ["a", "b"], [1]])
async def test_a_request_is_about_one_device(
    hass: HomeAssistant, workshop: MockConfigEntry, devices: list[Any]
) -> None:
    """Nobody unlocks all doors at once."""
    with pytest.raises(vol.Invalid):
        await act(hass, "request", device_id=devices, intent="unlock")


async def test_an_intent_that_nobody_knows_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """The words are the table's."""
    with pytest.raises(vol.Invalid):
        await act(hass, "request", device_id=at(hass, workshop, DOOR), intent="explode")


@pytest.mark.parametrize(
    ("name", "device_id", "intent"),
    [
        ("pause_print", PRINTER, "print_pause"),
        ("resume_print", PRINTER, "print_resume"),
        ("cancel_print", PRINTER, "print_cancel"),
        ("power_off_now", POWER, "power_cut"),
    ],
)
async def test_an_action_of_its_own_is_a_request(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    name: str,
    device_id: str,
    intent: str,
) -> None:
    """The hazard is the intent's, whatever the action is called."""
    await act(hass, name, device_id=at(hass, workshop, device_id))
    sent = brain.sent("devices.request")
    assert sent == [{"device_id": device_id, "intent": intent, "params": {}}]


async def test_heating_names_what_is_heated(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Only what was given is asked for."""
    await act(hass, "heat", device_id=at(hass, workshop, PRINTER), nozzle=210)
    assert brain.sent("devices.request")[0]["params"] == {"nozzle": 210.0}


@pytest.mark.parametrize("heat", [{}, {"nozzle": 900}, {"bed": -1}])
async def test_heating_that_makes_no_sense_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, heat: dict[str, Any]
) -> None:
    """Something must be heated, and not beyond the bounds."""
    with pytest.raises(vol.Invalid):
        await act(hass, "heat", device_id=at(hass, workshop, PRINTER), **heat)


async def test_a_user_without_the_right_to_a_device_cannot_ask(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """The right to one door is not the right to another device."""
    only_entities(people[EVE], "lock.workshop_door")
    await act(hass, "request", EVE, device_id=at(hass, workshop, DOOR), intent="lock")
    with pytest.raises(Unauthorized):
        await act(hass, "pause_print", EVE, device_id=at(hass, workshop, PRINTER))
    assert len(brain.sent("devices.request")) == 1


async def test_the_right_to_see_a_number_is_not_the_right_to_a_printer(
    hass: HomeAssistant, workshop: MockConfigEntry, people: dict[str, MockUser]
) -> None:
    """Only entities by which a device is acted on count."""
    only_entities(people[EVE], "sensor.workshop_printer_status")
    with pytest.raises(Unauthorized):
        await act(hass, "pause_print", EVE, device_id=at(hass, workshop, PRINTER))


async def test_a_user_who_is_gone_cannot_ask(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """An old context opens nothing."""
    with pytest.raises(HomeAssistantError):
        await act(hass, "request", "nobody", device_id=at(hass, workshop, DOOR), intent="unlock")


async def test_an_automation_may_ask(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """People decide; the brain hears that nobody asked with a finger."""
    await act(hass, "request", None, device_id=at(hass, workshop, DOOR), intent="unlock")
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (None, "automation")


async def test_a_device_that_the_brain_lost_cannot_be_asked(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The error names the device."""
    device_id = at(hass, workshop, DOOR)
    await push(hass, brain, "device.removed", {"id": DOOR})
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, "request", device_id=device_id, intent="unlock")
    assert caught.value.translation_key == "unknown_device"


async def test_the_refusal_of_the_brain_is_the_error_of_the_action(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its code is the key of the message."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("no_policy")

    brain.answers["devices.request"] = refuse
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, "request", device_id=at(hass, workshop, DOOR), intent="unlock")
    assert caught.value.translation_key == "no_policy"


@pytest.mark.parametrize(
    ("name", "decision", "status"),
    [("approve", "approve", "approved"), ("deny", "deny", "denied")],
)
async def test_a_person_decides(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    name: str,
    decision: str,
    status: str,
) -> None:
    """The decision is that of the user who calls."""
    event = brain.event(DOOR, "unlock", initiated_by=BOB)
    await push(hass, brain, "safety.event", event)
    answer = await act(hass, name, event_id=event["id"])
    assert answer["event"]["status"] == status
    sent, caller = brain.sent("safety.decide")[0], brain.callers("safety.decide")[0]
    assert caller is not None
    assert (sent["decision"], caller["user_id"]) == (decision, ADA)


async def test_a_person_says_that_equipment_is_worn(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The statement goes along."""
    event = brain.event(DOOR, "unlock", initiated_by=BOB, requires_ppe=True)
    await push(hass, brain, "safety.event", event)
    await act(hass, "approve", event_id=event["id"], ppe=True)
    assert brain.sent("safety.decide")[0]["ppe"] is True


async def test_nobody_decides_without_being_known(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An automation has no finger."""
    event = brain.event(DOOR, "unlock")
    await push(hass, brain, "safety.event", event)
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, "approve", None, event_id=event["id"])
    assert caught.value.translation_key == "user_required"


async def test_nobody_decides_about_a_device_that_is_not_theirs(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """A role is not enough without the right to the device."""
    only_entities(people[ADA], "button.workshop_printer_approve")
    event = brain.event(DOOR, "unlock", initiated_by=BOB)
    await push(hass, brain, "safety.event", event)
    with pytest.raises(Unauthorized):
        await act(hass, "approve", event_id=event["id"])
    assert brain.sent("safety.decide") == []


async def test_a_request_that_is_not_there_cannot_be_decided(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """The error says so."""
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, "approve", event_id="e" * 32)
    assert caught.value.translation_key == "unknown_event"


async def test_a_request_is_taken_back(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """By the brain's own rule of whose it is."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    withdrawn = event | {"status": "expired", "reason": "withdrawn"}
    brain.answers["safety.withdraw"] = lambda _params, _caller: withdrawn
    answer = await act(hass, "withdraw", event_id=event["id"])
    assert (answer["event"]["status"], answer["event"]["reason"]) == ("expired", "withdrawn")
    assert brain.sent("safety.withdraw") == [{"event_id": event["id"]}]


async def test_what_waits_is_listed_for_who_may_see_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """Oldest first, each with whether the caller may decide it."""
    door, power = brain.event(DOOR, created_at=NOW + 1), brain.event(POWER, "power_on", eligible=[])
    await push(hass, brain, "safety.event", door)
    await push(hass, brain, "safety.event", power | {"created_at": NOW})
    await push(hass, brain, "safety.event", brain.event(DOOR, status="denied"))
    people[EVE].mock_policy({"entities": {"entity_ids": {"lock.workshop_door": {"read": True}}}})
    ada, eve = await act(hass, "pending"), await act(hass, "pending", EVE)
    assert [(one["id"], one["you_may_decide"]) for one in ada["events"]] == [
        (power["id"], False),
        (door["id"], True),
    ]
    assert [(one["id"], one["you_may_decide"]) for one in eve["events"]] == [(door["id"], False)]


async def test_a_person_says_where_they_are(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody else needs to be asked."""
    await act(hass, "set_presence", silent=True, area_id=ZONE, status="present")
    sent = brain.sent("safety.presence")[-1]
    assert sent.pop("observed_at") > NOW - 1e9
    assert sent == {"zone_id": ZONE, "user_id": ADA, "source": "manual", "status": "present"}


@pytest.mark.parametrize("more", [{"person": "person.bob"}, {"source": "override"}])
async def test_only_an_administrator_says_more_than_where_they_are(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, more: dict[str, Any]
) -> None:
    """Not where somebody else is, and nothing against the sensors."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    with pytest.raises(Unauthorized):
        await act(hass, "set_presence", silent=True, area_id=ZONE, status="present", **more)
    assert [one for one in brain.sent("safety.presence") if one["source"] != "sensor"] == []


async def test_an_administrator_says_where_somebody_is(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, hass_admin_user: MockUser
) -> None:
    """Against all sensors, if need be."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    await act(
        hass,
        "set_presence",
        hass_admin_user.id,
        silent=True,
        area_id=ZONE,
        status="vacated",
        person="person.bob",
        source="override",
    )
    sent = brain.sent("safety.presence")[-1]
    assert (sent["user_id"], sent["source"], sent["status"]) == (BOB, "override", "vacated")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, "user_required"),
        ({"person": "person.guest"}, "person_without_user"),
        ({"person": "person.bob", "source": "override"}, "user_required"),
        ({"person": "person.bob"}, "user_required"),
    ],
)
async def test_presence_that_cannot_be_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, more: dict[str, Any], code: str
) -> None:
    """An automation makes nobody present."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    hass.states.async_set("person.guest", "home", {})
    with pytest.raises(ServiceValidationError) as caught:
        await act(
            hass,
            "set_presence",
            None,
            silent=True,
            **{"area_id": ZONE, "status": "present"} | more,
        )
    assert caught.value.translation_key == code


async def test_an_administrator_clears_the_code_of_somebody_else(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, hass_admin_user: MockUser
) -> None:
    """In their own name; nobody else may."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    brain.answers["safety.pin_reset"] = lambda _params, _caller: {}
    with pytest.raises(Unauthorized):
        await act(hass, "reset_code", ADA, silent=True, person="person.bob")
    await act(hass, "reset_code", hass_admin_user.id, silent=True, person="person.bob")
    assert brain.sent("safety.pin_reset") == [{"user_id": BOB}]
    assert (brain.received[-1].caller or {})["user_id"] == hass_admin_user.id


async def test_an_administrator_reads_the_audit(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, hass_admin_user: MockUser
) -> None:
    """Narrowed down by what was given."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    rows = {"items": [{"seq": 1}], "cursor": None}
    brain.answers["audit.list"] = lambda _params, _caller: rows
    answer = await act(
        hass,
        "get_audit",
        hass_admin_user.id,
        device_id=at(hass, workshop, DOOR),
        person="person.bob",
        kind="decision",
        since="2026-11-18T11:06:40+00:00",
        until="2026-11-18T11:06:50+00:00",
        newest_first=True,
        limit=5,
        cursor="1",
    )
    assert answer == rows
    assert brain.sent("audit.list") == [
        {
            "kind": "decision",
            "limit": 5,
            "cursor": "1",
            "device_id": DOOR,
            "user_id": BOB,
            "since": NOW,
            "until": NOW + 10,
            "newest_first": True,
        }
    ]


async def test_the_audit_is_read_from_the_start_by_default(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, hass_admin_user: MockUser
) -> None:
    """A hundred rows of everything."""
    brain.answers["audit.list"] = lambda _params, _caller: {"items": [], "cursor": None}
    await act(hass, "get_audit", hass_admin_user.id)
    assert brain.sent("audit.list") == [{"limit": 100}]


@pytest.mark.parametrize(
    ("name", "action"), [("verify_audit", "audit.verify"), ("diagnose", "system.diagnose")]
)
async def test_the_brain_answers_an_administrator(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    hass_admin_user: MockUser,
    name: str,
    action: str,
) -> None:
    """Its answer is the answer."""
    brain.answers[action] = lambda _params, _caller: {"ok": True}
    answer = await act(hass, name, hass_admin_user.id, config_entry_id=workshop.entry_id)
    assert answer == {"ok": True}


async def test_everybody_reads_how_long_the_brain_takes(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its figures are about nobody."""
    times = {"checks": {"at": [], "parts": {}}, "commands": []}
    brain.answers["system.times"] = lambda _params, _caller: times
    assert await act(hass, "get_times", EVE) == times


async def test_requests_are_told_the_newest_first_with_how_they_were_decided(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Without anything by which one could be approved, and with names for ids."""
    event = brain.event(DOOR, status="approved", approved_by=[BOB], evidence_key="k")
    answer = {"items": [event], "cursor": "next"}
    brain.answers["safety.events"] = lambda _params, _caller: answer
    told = await act(hass, "get_requests", status="approved", limit=5, cursor="c")
    assert brain.sent("safety.events") == [
        {"status": "approved", "limit": 5, "cursor": "c", "newest_first": True}
    ]
    (row,) = told["items"]
    assert (row["approved_by"], row["has_evidence"], told["cursor"]) == (["Bob"], True, "next")
    assert not {"nonce", "subject", "eligible"} & row.keys()


async def test_requests_of_devices_that_one_may_not_see_are_not_told(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """Nor of a device that is gone, but to administrators."""
    people[EVE].mock_policy({"entities": {"entity_ids": {"lock.workshop_door": {"read": True}}}})
    events = [brain.event(one) for one in (DOOR, PRINTER, "0" * 32)]
    brain.answers["safety.events"] = lambda _params, _caller: {"items": events, "cursor": None}
    told = await act(hass, "get_requests", EVE)
    assert [row["device_id"] for row in told["items"]] == [DOOR]


@pytest.mark.parametrize("name", ["get_audit", "verify_audit", "diagnose"])
async def test_only_an_administrator_looks_into_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, name: str
) -> None:
    """Who did what is not everybody's business."""
    with pytest.raises(Unauthorized):
        await act(hass, name)


async def test_a_brain_that_is_not_loaded_is_no_brain(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """The error is Home Assistant's own."""
    await hass.config_entries.async_unload(workshop.entry_id)
    with pytest.raises(ServiceValidationError):
        await act(hass, "pending")


async def test_presence_in_no_area_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Nobody is where no place is."""
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, "set_presence", silent=True, area_id="attic", status="present")
    assert caught.value.translation_key == "unknown_zone"
