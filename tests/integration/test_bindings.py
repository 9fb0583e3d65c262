"""Which service does an intent, and which state proves it: every row of the table."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from custom_components.kitty.bindings import (
    BINDINGS,
    action_for,
    binding_of,
    blindness,
    capabilities,
    describe,
    look,
    proves,
)
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.errors import Refused
from custom_components.kitty.protocol import INTENTS

SELECT = {"locked_option": "shut", "unlocked_option": "free"}


@pytest.mark.parametrize(
    ("entity_id", "features", "more", "expected"),
    [
        ("lock.x", 0, {}, {"lock": "lock", "unlock": "unlock"}),
        ("lock.x", 1, {}, {"lock": "lock", "unlock": "unlock", "open": "open"}),
        ("cover.x", 3, {}, {"lock": "close_cover", "unlock": "open_cover"}),
        ("cover.x", 2, {}, {"lock": "close_cover"}),
        ("button.x", 0, {}, {"unlock": "press"}),
        ("select.x", 0, SELECT, {"lock": "select_option", "unlock": "select_option"}),
        ("select.x", 0, {"locked_option": "shut"}, {"lock": "select_option"}),
        (
            "switch.x",
            0,
            {},
            {"power_on": "turn_on", "power_off": "turn_off", "power_cut": "turn_off"},
        ),
        ("switch.x", 0, {"kind": "light"}, {"light_on": "turn_on", "light_off": "turn_off"}),
        ("light.x", 0, {}, {"light_on": "turn_on", "light_off": "turn_off"}),
        ("camera.x", 0, {}, {}),
        ("sensor.x", 0, {}, {}),
        ("binary_sensor.x", 0, {}, {}),
    ],
)
async def test_each_intent_is_one_service(
    hass: HomeAssistant,
    entity_id: str,
    features: int,
    more: dict[str, str],
    expected: dict[str, str],
) -> None:
    """The verbs of a domain come from the table, and only those that the entity has."""
    hass.states.async_set(entity_id, "on", {"supported_features": features})
    options = {"entity_id": entity_id} | more
    found = {
        intent: action_for(hass, options, intent).service for intent in capabilities(hass, options)
    }
    assert found == expected


def test_every_verb_is_an_intent_of_its_kind() -> None:
    """The table offers nothing that the protocol does not know for that kind of device."""
    wrong = [
        (domain, intent)
        for domain, bindings in BINDINGS.items()
        for binding in bindings
        for intent in binding.verbs
        if INTENTS[intent].kind is not binding.kind
    ]
    assert wrong == []


async def test_a_select_is_told_the_choice(hass: HomeAssistant) -> None:
    """Which choice locks is what the person said when adding the device."""
    hass.states.async_set("select.x", "free")
    calls = async_mock_service(hass, "select", "select_option")
    action = action_for(hass, {"entity_id": "select.x"} | SELECT, "lock")
    await hass.services.async_call(action.domain, action.service, action.data, blocking=True)
    assert calls[0].data == {"entity_id": "select.x", "option": "shut"}


async def test_an_intent_that_the_entity_does_not_have(hass: HomeAssistant) -> None:
    """A lock that cannot open is not asked to."""
    hass.states.async_set("lock.x", "locked", {"supported_features": 0})
    with pytest.raises(Refused) as caught:
        action_for(hass, {"entity_id": "lock.x"}, "open")
    assert caught.value.code == "intent_not_supported"


@pytest.mark.parametrize(
    "options", [{"entity_id": "fan.x"}, {"entity_id": "lock.x", "kind": "light"}]
)
def test_an_entity_that_is_no_such_device(options: dict[str, str]) -> None:
    """What is not in the table cannot be used."""
    with pytest.raises(Refused) as caught:
        binding_of(options)
    assert caught.value.code == "entity_not_supported"


def _door(locked: bool | None, opened: bool | None, *, jammed: bool = False) -> dict[str, Any]:
    return {"locked": locked, "open": opened, "jammed": jammed}


@pytest.mark.parametrize(
    ("entity_id", "state", "expected"),
    [
        ("lock.x", "locked", _door(True, False)),
        ("lock.x", "unlocked", _door(False, None)),
        ("lock.x", "open", _door(False, True)),
        ("lock.x", "jammed", _door(None, None, jammed=True)),
        ("lock.x", "unlocking", _door(None, None)),
        ("lock.x", "locking", _door(None, None)),
        ("lock.x", "opening", _door(None, None)),
        ("lock.x", "unknown", _door(None, None)),
        ("cover.x", "closed", _door(True, False)),
        ("cover.x", "open", _door(False, True)),
        ("cover.x", "closing", _door(None, None)),
        ("cover.x", "opening", _door(None, None)),
        ("button.x", "2026-11-20T00:00:00+00:00", _door(None, None)),
        ("select.x", "shut", _door(None, None)),
        ("switch.x", "on", {"on": True}),
        ("switch.x", "off", {"on": False}),
        ("switch.x", "unknown", {"on": None}),
        ("light.x", "on", {"on": True}),
        ("sensor.x", "21.5", {"value": "21.5", "unit": None}),
        ("binary_sensor.x", "on", {"value": "on", "unit": None}),
        ("camera.x", "idle", {}),
    ],
)
async def test_each_state_in_the_words_of_the_protocol(
    hass: HomeAssistant, entity_id: str, state: str, expected: dict[str, Any]
) -> None:
    """Only what is certain is said; only `locked` is safe."""
    hass.states.async_set(entity_id, state)
    assert look(hass, {"entity_id": entity_id}).state == expected


async def test_a_sensor_keeps_its_unit(hass: HomeAssistant) -> None:
    """A value without its unit says little."""
    hass.states.async_set("sensor.x", "21.5", {"unit_of_measurement": "°C"})
    seen = look(hass, {"entity_id": "sensor.x"})
    assert seen.state == {"value": "21.5", "unit": "°C"}


@pytest.mark.parametrize(
    ("state", "reason"), [(None, "entity_missing"), ("unavailable", "entity_unavailable")]
)
async def test_an_entity_that_is_not_there(
    hass: HomeAssistant, state: str | None, reason: str
) -> None:
    """A missing entity is an offline device that nothing is known of."""
    hass.states.async_set("lock.x", state or "locked")
    hass.states.async_remove("lock.y")
    seen = look(hass, {"entity_id": "lock.x" if state else "lock.y"})
    assert (seen.online, seen.reason, seen.state["locked"]) == ("offline", reason, None)


@pytest.mark.parametrize(
    ("extra", "attributes", "state", "expected"),
    [
        ("binary_sensor.s", {"device_class": "lock"}, "off", _door(True, None)),
        ("binary_sensor.s", {"device_class": "lock"}, "on", _door(False, None)),
        ("binary_sensor.s", {"device_class": "door"}, "on", _door(False, True)),
        ("binary_sensor.s", {"device_class": "door"}, "off", _door(None, False)),
        ("binary_sensor.s", {"device_class": "motion"}, "on", _door(None, None)),
        ("binary_sensor.s", {"device_class": "door"}, "unknown", _door(None, None)),
        ("lock.s", {}, "locked", _door(True, False)),
        ("sensor.s", {}, "shut", _door(None, None)),
    ],
)
async def test_a_state_entity_speaks_for_a_blind_one(
    hass: HomeAssistant,
    extra: str,
    attributes: dict[str, str],
    state: str,
    expected: dict[str, Any],
) -> None:
    """A button shows nothing; what watches the door does. A closed contact does not mean locked."""
    hass.states.async_set("button.x", "unknown")
    hass.states.async_set(extra, state, attributes)
    assert look(hass, {"entity_id": "button.x", "state_entity": extra}).state == expected


@pytest.mark.parametrize(
    ("contact", "expected"), [("on", _door(False, True)), ("off", _door(True, False))]
)
async def test_a_contact_adds_to_what_the_lock_says(
    hass: HomeAssistant, contact: str, expected: dict[str, Any]
) -> None:
    """A thrown bolt in an open door locks nothing."""
    hass.states.async_set("lock.x", "locked")
    hass.states.async_set("binary_sensor.s", contact, {"device_class": "door"})
    seen = look(hass, {"entity_id": "lock.x", "state_entity": "binary_sensor.s"})
    assert seen.state == expected


async def test_a_state_entity_beats_the_entity(hass: HomeAssistant) -> None:
    """Whoever names a witness does not trust the lock's own word."""
    hass.states.async_set("lock.x", "locked")
    hass.states.async_set("binary_sensor.s", "on", {"device_class": "lock"})
    seen = look(hass, {"entity_id": "lock.x", "state_entity": "binary_sensor.s"})
    assert seen.state["locked"] is False


async def test_an_assumed_state_is_no_observation(hass: HomeAssistant) -> None:
    """An optimistic lock says what was asked of it, not what it did."""
    hass.states.async_set("lock.x", "locked", {"assumed_state": True})
    seen = look(hass, {"entity_id": "lock.x"})
    assert (seen.state["locked"], seen.reason) == (None, "assumed_state")


@pytest.mark.parametrize(
    ("entity_id", "attributes", "more", "why"),
    [
        ("lock.x", {}, {}, None),
        ("lock.x", {"assumed_state": True}, {}, "assumed_state"),
        ("button.x", {}, {}, "no_state_entity"),
        ("button.x", {}, {"state_entity": "lock.x"}, None),
    ],
)
async def test_whether_an_outcome_could_be_seen(
    hass: HomeAssistant,
    entity_id: str,
    attributes: dict[str, Any],
    more: dict[str, str],
    why: str | None,
) -> None:
    """Where nothing can prove an outcome, it is known why."""
    hass.states.async_set("lock.x", "locked")
    hass.states.async_set(entity_id, "locked", attributes)
    assert blindness(hass, {"entity_id": entity_id} | more) == why


@pytest.mark.parametrize(
    ("intent", "state", "proof"),
    [
        ("lock", {"locked": True}, True),
        ("lock", {"locked": None}, False),
        ("unlock", {"locked": False}, True),
        ("unlock", {"locked": None}, False),
        ("open", {"open": True}, True),
        ("open", {"locked": False, "open": None}, False),
        ("power_on", {"on": True}, True),
        ("light_on", {"on": None}, False),
        ("power_off", {"on": False}, True),
        ("power_cut", {"on": True}, False),
        ("light_off", {"on": False}, True),
        ("print_start", {"status": "printing"}, False),
    ],
)
def test_what_proves_an_intent(intent: str, state: dict[str, Any], proof: bool) -> None:
    """Only a state that is known for certain proves anything."""
    assert proves(intent, state) is proof


async def test_a_device_is_described_by_its_entity(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, entity_registry: er.EntityRegistry
) -> None:
    """What identifies the device survives a renamed entity."""
    entry = MockConfigEntry(domain="other")
    entry.add_to_hass(hass)
    device = device_registry.async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={("other", "1")},
        manufacturer="Acme",
        model="Bolt",
    )
    item = entity_registry.async_get_or_create(
        "lock", "other", "1", config_entry=entry, device_id=device.id
    )
    hass.states.async_set(item.entity_id, "locked", {"friendly_name": "Front"})
    assert describe(hass, {"entity_id": item.entity_id}) == {
        "external_id": item.id,
        "name": "Front",
        "kind": "door",
        "capabilities": ["lock", "unlock"],
        "manufacturer": "Acme",
        "model": "Bolt",
        "has_camera": False,
    }


async def test_an_entity_without_a_registry_entry(hass: HomeAssistant) -> None:
    """An entity from YAML is identified by its id."""
    hass.states.async_set("camera.x", "idle")
    found = describe(hass, {"entity_id": "camera.x"})
    assert (found["external_id"], found["has_camera"]) == ("camera.x", True)


@pytest.mark.parametrize("option", ["entity_id", "state_entity", "camera_entity"])
async def test_an_entity_that_does_not_exist(hass: HomeAssistant, option: str) -> None:
    """A misspelt entity is found out at once."""
    hass.states.async_set("lock.x", "locked")
    with pytest.raises(Refused) as caught:
        describe(hass, {"entity_id": "lock.x"} | {option: "lock.nowhere"})
    assert caught.value.code == "entity_not_found"


async def test_an_entity_of_kitty_itself(
    hass: HomeAssistant, entity_registry: er.EntityRegistry
) -> None:
    """A gate in front of the gate would ask itself for ever."""
    item = entity_registry.async_get_or_create("lock", DOMAIN, "1")
    with pytest.raises(Refused) as caught:
        describe(hass, {"entity_id": item.entity_id})
    assert caught.value.code == "own_entity"
