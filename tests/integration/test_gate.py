"""The last gate: what a grant of the brain may do in this house, and what it may not."""

import asyncio
import time
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.errors import Refused
from custom_components.kitty.origin import person
from custom_components.kitty.protocol import Json

from .conftest import (
    ADA,
    BOB,
    DOOR,
    EVE,
    ZONE,
    Door,
    decide,
    door_subentry,
    heard,
    kitty_entry,
    of,
    request,
    rules,
    set_up,
)
from .fake_brain import FakeBrain
from .grants import approved, code_of, grant_for

POWER = "50" * 16
PRINTER = "b1" * 16


pytestmark = pytest.mark.usefixtures("short_deadlines")


async def test_an_approved_grant_opens_the_door(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """One person approved a MEDIUM, the service was called once, the state was seen."""
    answer = await brain.ask("ha.execute", grant_for(brain, await approved(brain, kitty, BOB)))
    assert answer["data"] == {"status": "acked", "detail": None}
    assert [call.service for call in door.calls] == ["unlock"]


async def test_two_people_open_a_dangerous_door(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, high: None
) -> None:
    """Whoever asked with their own finger is one of the two."""
    event = await approved(brain, kitty, BOB)
    answer = await brain.ask("ha.execute", grant_for(brain, event, people=[ADA, BOB]))
    assert answer["data"]["status"] == "acked"


async def test_the_service_is_called_by_nobody_but_in_the_name_of_the_request(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """The logbook can follow the call back to the request; no user's rights are borrowed."""
    brain.eligible = [BOB]
    context = of(ADA)
    answer = await kitty.runtime_data.approvals.request(DOOR, "unlock", {}, context)
    event = await decide(kitty, answer["event"], "approve", BOB)
    await brain.ask("ha.execute", grant_for(brain, event))
    called = door.calls[0].context
    assert (called.user_id, called.parent_id) == (None, context.id)


async def test_a_light_needs_nobody(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """What is LOW is done on the brain's word."""
    hass.states.async_set("light.bench", "off")

    async def turn_on(_call: object) -> None:
        hass.states.async_set("light.bench", "on")

    hass.services.async_register("light", "turn_on", turn_on)
    await set_up(hass, kitty_entry(brain, subentries=(door_subentry(entity_id="light.bench"),)))
    answer = await brain.ask("ha.execute", brain.grant(device_id=DOOR, intent="light_on"))
    assert answer["data"]["status"] == "acked"


async def test_locking_needs_nobody_even_where_it_is_dangerous(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, high: None
) -> None:
    """A safe direction is never held up."""
    answer = await brain.ask("ha.execute", brain.grant(device_id=DOOR, intent="lock"))
    assert answer["data"]["status"] == "acked"


async def test_a_wrong_signature(kitty: MockConfigEntry, brain: FakeBrain, door: Door) -> None:
    """One changed field after signing, and the grant is worth nothing."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    grant["grant"]["command_id"] = "another"
    assert await code_of(brain, grant) == "grant_bad_signature"
    assert door.calls == []


@pytest.mark.parametrize("signature", ["", "no base64!", "AAAA"])
async def test_a_signature_that_is_none(
    kitty: MockConfigEntry, brain: FakeBrain, signature: str
) -> None:
    """Nonsense in the place of a signature is a wrong signature."""
    grant = brain.grant(device_id=DOOR, intent="lock") | {"signature": signature}
    assert await code_of(brain, grant) == "grant_bad_signature"


async def test_a_key_that_is_none(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """With a broken pinned key nothing can be done, rather than everything."""
    hass.config_entries._async_schedule_save = lambda: None  # type: ignore[method-assign]  # one method is replaced for this test
    with patch.dict(kitty.__dict__, {"data": {**kitty.data, "brain_public_key": "AAAA"}}):
        grant = brain.grant(device_id=DOOR, intent="lock")
        assert await code_of(brain, grant) == "grant_bad_signature"


async def test_an_expired_grant(kitty: MockConfigEntry, brain: FakeBrain, door: Door) -> None:
    """A grant that comes too late does nothing."""
    event = await approved(brain, kitty, BOB)
    late = grant_for(brain, event, expires_at=time.time() - 1)
    assert await code_of(brain, late) == "grant_expired"
    assert door.calls == []


async def test_a_grant_from_the_future(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A clock that is ahead by more than a little is wrong."""
    grant = brain.grant(device_id=DOOR, intent="lock", issued_at=time.time() + 60)
    assert await code_of(brain, grant) == "grant_not_yet_valid"


async def test_expired_stays_expired_when_the_clock_goes_back(
    freezer: FrozenDateTimeFactory, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Setting the clock back two hours brings no grant back."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    freezer.tick(7200)
    assert await code_of(brain, grant) == "grant_expired"
    freezer.tick(-7200)
    assert await code_of(brain, grant) == "grant_spent"
    assert door.calls == []


async def test_an_approval_whose_time_is_over(
    freezer: FrozenDateTimeFactory, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A fresh grant for what people approved too long ago does nothing."""
    event = await approved(brain, kitty, BOB)
    freezer.tick(61)
    assert await code_of(brain, grant_for(brain, event)) == "grant_approval_expired"


async def test_a_grant_is_used_once(kitty: MockConfigEntry, brain: FakeBrain, door: Door) -> None:
    """The same grant a second time is refused."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    await brain.ask("ha.execute", grant)
    assert await code_of(brain, grant) == "grant_spent"
    assert len(door.calls) == 1


@pytest.mark.parametrize("same", ["command_id", "event_id"])
async def test_an_approval_is_used_once(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, same: str
) -> None:
    """A new nonce for the same command, or the same approval, is refused as well."""
    event = await approved(brain, kitty, BOB)
    first = grant_for(brain, event)
    await brain.ask("ha.execute", first)
    again = grant_for(brain, event, **{same: first["grant"][same]})
    assert await code_of(brain, again) == "grant_spent"


async def test_two_equal_frames_at_once(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Of a doubled frame only one gets to the service."""
    grant = grant_for(brain, await approved(brain, kitty, BOB))
    answers = await asyncio.gather(*(brain.ask("ha.execute", grant) for _ in range(10)))
    assert sorted("data" in answer for answer in answers) == [False] * 9 + [True]
    assert len(door.calls) == 1


async def test_two_equal_frames_that_are_judged_at_the_same_time(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that have all been found good are still used once."""

    async def slow(hass: HomeAssistant, user_id: str | None) -> Any:
        await asyncio.sleep(0.02)
        return await person(hass, user_id)

    grant = grant_for(brain, await approved(brain, kitty, BOB))
    monkeypatch.setattr("custom_components.kitty.judgement.person", slow)
    answers = await asyncio.gather(*(brain.ask("ha.execute", grant) for _ in range(5)))
    assert sorted("data" in answer for answer in answers) == [False] * 4 + [True]
    assert len(door.calls) == 1


async def test_a_grant_for_something_that_nobody_was_asked(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """An event that this house never saw carries nobody's approval."""
    event = brain.event(DOOR, people=[BOB], status="approved")
    assert await code_of(brain, grant_for(brain, event)) == "grant_event_unknown"
    assert await code_of(brain, grant_for(brain, event, event_id=None)) == "grant_event_unknown"


@pytest.mark.parametrize(
    "changes", [{"subject": "0" * 64}, {"subject": None}, {"intent": "open"}, {"level": "high"}]
)
async def test_a_grant_for_another_subject(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, changes: Json
) -> None:
    """What was approved is one thing; nothing else can be done with it."""
    event = await approved(brain, kitty, BOB)
    assert await code_of(brain, grant_for(brain, event, **changes)) == "grant_wrong_subject"
    assert door.calls == []


async def test_a_door_that_was_moved_to_another_area(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An approval for one place is none for another."""
    event = await approved(brain, kitty, BOB)
    grant = grant_for(brain, event)
    options = rules()
    options["zones"]["yard"] = options["zones"][ZONE]
    item = next(iter(kitty.subentries.values()))
    hass.config_entries.async_update_entry(kitty, options=options)
    hass.config_entries.async_update_subentry(kitty, item, data={**item.data, "zone_id": "yard"})
    await hass.async_block_till_done()
    assert await code_of(brain, grant) == "grant_wrong_subject"


async def test_people_whom_the_ledger_does_not_know(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain cannot invent an approval."""
    event = await approved(brain, kitty, BOB)
    assert await code_of(brain, grant_for(brain, event, people=[EVE])) == "grant_people_unknown"


async def test_one_person_named_twice(kitty: MockConfigEntry, brain: FakeBrain, high: None) -> None:
    """Two times the same name are not two people."""
    event = await approved(brain, kitty, BOB)
    grant = grant_for(brain, event, people=[BOB, BOB])
    assert await code_of(brain, grant) == "grant_people_repeated"


async def test_two_accounts_of_one_person(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """Two users with one e-mail address are one person."""
    options = rules("high")
    options["people"][BOB]["email"] = "ADA@example.com"
    hass.config_entries.async_update_entry(kitty, options=options)
    event = await approved(brain, kitty, BOB)
    grant = grant_for(brain, event, people=[ADA, BOB])
    assert await code_of(brain, grant) == "grant_too_few_people"


async def test_one_person_is_not_enough_for_a_dangerous_door(
    kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """A HIGH with one approval and no requester is refused."""
    event = await approved(brain, kitty, BOB)
    assert await code_of(brain, grant_for(brain, event, people=[BOB])) == "grant_too_few_people"


async def test_a_requester_who_also_approves_is_one_person(
    kitty: MockConfigEntry, brain: FakeBrain, high: None, door: Door
) -> None:
    """Nobody is both people of a HIGH, whatever the brain counts."""
    brain.eligible = [ADA]
    event = (await request(kitty, "unlock", ADA))["event"]
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", ADA)
    assert caught.value.code == "self_approval"
    assert await code_of(brain, grant_for(brain, event, people=[ADA])) == "grant_too_few_people"


async def test_a_requester_who_did_not_use_a_finger_is_nobody(
    kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """A request by an automation has nobody behind it."""
    brain.eligible = [BOB]
    event = (
        await kitty.runtime_data.approvals.request(
            DOOR, "unlock", {}, of(ADA, parent_id="automation")
        )
    )["event"]
    event = await decide(kitty, event, "approve", BOB)
    grant = grant_for(brain, event, people=[ADA, BOB])
    assert await code_of(brain, grant) == "grant_people_unknown"


async def test_a_requester_without_a_role_is_nobody(
    kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """Asking needs no role, but counting as one of two does."""
    brain.eligible = [BOB]
    event = (await request(kitty, "unlock", EVE))["event"]
    event = await decide(kitty, event, "approve", BOB)
    grant = grant_for(brain, event, people=[BOB, EVE])
    assert await code_of(brain, grant) == "grant_people_unknown"


async def test_a_lower_level_than_our_own_arithmetic(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, high: None
) -> None:
    """The brain cannot talk a danger down."""
    event = await approved(brain, kitty, BOB)
    for level in ("low", "medium"):
        grant = grant_for(brain, event, people=[ADA, BOB], level=level)
        assert await code_of(brain, grant) == "grant_level_too_low"
    assert door.calls == []


async def test_two_people_where_the_policy_wants_them(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A MEDIUM whose policy asks for two is not opened by one."""
    options = rules("medium", requires_dual_confirm=True)
    hass.config_entries.async_update_entry(kitty, options=options)
    event = await approved(brain, kitty, BOB)
    assert await code_of(brain, grant_for(brain, event)) == "grant_too_few_people"


async def test_a_denial_ends_it(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """One recorded denial outweighs what the brain says afterwards."""
    event = await approved(brain, kitty, BOB)
    brain.events[event["id"]] = event | {"status": "pending"}
    await brain.push("safety.event", event | {"status": "pending"})
    await heard(kitty)
    await decide(kitty, event, "deny", EVE)
    assert await code_of(brain, grant_for(brain, event)) == "grant_denied"


async def test_an_approver_who_lost_the_role_since(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Roles are looked at again at the moment of execution."""
    event = await approved(brain, kitty, BOB)
    options = rules()
    options["people"][BOB]["roles"] = ["operator"]
    hass.config_entries.async_update_entry(kitty, options=options)
    assert await code_of(brain, grant_for(brain, event)) == "grant_people_unknown"


async def test_an_approver_who_was_switched_off_since(
    kitty: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """A deactivated user approves nothing any more."""
    event = await approved(brain, kitty, BOB)
    people[BOB].is_active = False
    assert await code_of(brain, grant_for(brain, event)) == "grant_people_unknown"


async def test_an_approval_that_the_brain_refused_counts_for_nothing(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What the brain refused on one day it cannot use on another."""
    brain.eligible = [BOB]
    event = (await request(kitty, "unlock", ADA))["event"]
    genuine, brain.integration_key = brain.integration_key, brain.public_key
    with pytest.raises(ServiceValidationError, match="No"):
        await decide(kitty, event, "approve", BOB)
    brain.integration_key = genuine
    assert await code_of(brain, grant_for(brain, event, people=[BOB])) == "grant_people_unknown"


async def test_an_area_that_nobody_described(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Without a hazard level of our own nothing dangerous is done."""
    event = await approved(brain, kitty, BOB)
    hass.config_entries.async_update_entry(kitty, options=rules() | {"zones": {}})
    assert await code_of(brain, grant_for(brain, event)) == "no_zone"


async def test_a_device_that_is_not_ours(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A grant for a device that nobody added here does nothing."""
    grant = brain.grant(device_id="another", intent="lock")
    assert await code_of(brain, grant) == "device_unknown"


@pytest.mark.parametrize("intent", ["print_start", "dance"])
async def test_an_intent_that_the_device_does_not_have(
    kitty: MockConfigEntry, brain: FakeBrain, intent: str
) -> None:
    """The entity's own abilities are the limit."""
    grant = brain.grant(device_id=DOOR, intent=intent)
    assert await code_of(brain, grant) == "intent_not_supported"


async def test_parameters_that_the_intent_does_not_have(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What is not in the protocol's table is not passed on."""
    grant = brain.grant(device_id=DOOR, intent="lock", params={"code": "1234"})
    assert await code_of(brain, grant) == "invalid_params"


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"nonce": ""},
        {"event_id": 7},
        {"level": "harmless"},
        {"people": "ada"},
        {"people": [1]},
        {"params": []},
        {"expires_at": True},
        {"expires_at": "later"},
    ],
    ids=str,
)
async def test_a_grant_that_is_malformed(
    kitty: MockConfigEntry, brain: FakeBrain, changes: Json
) -> None:
    """Every field has its type, and there is no other."""
    grant = brain.grant(device_id=DOOR, intent="lock", **changes)
    assert await code_of(brain, grant) == "grant_malformed"


async def test_something_that_is_no_grant(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A word is no grant."""
    assert await code_of(brain, {"grant": "please", "signature": ""}) == "grant_malformed"


async def test_a_refusal_is_logged_with_its_code(
    kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """What the gate refuses is in Home Assistant's own log, not only at the brain."""
    await code_of(brain, brain.grant(device_id="another"))
    assert "Refused a grant of the brain: device_unknown" in caplog.text


async def test_a_door_that_cannot_be_seen_is_not_opened(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """Nothing dangerous is done blindly."""
    event = await approved(brain, kitty, BOB)
    door.show("unavailable")
    assert await code_of(brain, grant_for(brain, event)) == "device_offline"
    assert door.calls == []


async def test_an_approval_does_not_live_as_long_as_the_brain_says(
    kitty: MockConfigEntry, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own clock ends it, whenever the brain would have it expire."""
    event = brain.event(DOOR, "unlock", zone_id=ZONE, expires_at=time.time() + 9000)
    ledger = kitty.runtime_data.ledger
    await ledger.record_decision(event, BOB, "approve", channel="dashboard", ppe=False)
    later = ledger.now() + 61
    monkeypatch.setattr(ledger, "now", lambda: later)
    grant = grant_for(brain, event, people=[BOB], issued_at=later, expires_at=later + 10)
    assert await code_of(brain, grant) == "grant_approval_expired"
