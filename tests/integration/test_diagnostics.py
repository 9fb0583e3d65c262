"""What may be sent to a stranger holds enough to help, and no secret and no name."""

import json
from typing import Any, Final

from homeassistant.config_entries import ConfigSubentryData
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
    get_diagnostics_for_device,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty.const import DOMAIN
from custom_components.kitty.issues import create_no_approver

from .conftest import ADA, DOOR, ZONE, door_subentry, kitty_entry, rules, set_up
from .fake_brain import FakeBrain
from .flows import house  # noqa: F401 - fixtures are asked for by name

pytestmark = pytest.mark.usefixtures("house", "no_platforms")

PRINTER: Final = "f0" * 16
MODEL: Final = "a1" * 16
# Each is planted where such a thing can be; none may come out anywhere.
SECRETS: Final = {
    "token": "t0ken-of-the-integration",
    "api_key": "s3cret-api-key",
    "password": "hunter2-hunter2",
    "userinfo": "ada:opensesame",
    "query": "apikey=q7q7q7",
    "email": "ada.l@example.org",
    "other_email": "stranger@example.net",
    "name": "Lovelace",
    "person": "grace_hopper",
    "pin": "473829",
    "nonce": "9f" * 16,
    "subject": "5b" * 32,
    "words": "please open the vault",
    "file": "divorce_papers.gcode",
    "phone": "mobile_app_adas_pixel",
    "evidence": "evidence/2026/ada.jpg",
    "host": "ada-at-home.example",
    "gcode": "M117 darling",
    "user_id": ADA,
}


@pytest.fixture
def people_with_names(hass: HomeAssistant) -> None:
    """Have people with names, as users and as person entities, and users of the system."""
    MockUser(name="Home Assistant", system_generated=True).add_to_hass(hass)
    MockUser(id=ADA, name=f"Ada {SECRETS['name']}").add_to_hass(hass)
    hass.states.async_set(
        f"person.{SECRETS['person']}", "home", {"friendly_name": "Grace", "user_id": "u2"}
    )


def printer_subentry() -> ConfigSubentryData:
    """Return a printer whose options hold secrets."""
    return ConfigSubentryData(
        subentry_type="device",
        title="Printer",
        unique_id="octoprint:op-1",
        data={
            "device_id": PRINTER,
            "driver": "octoprint",
            "zone_id": ZONE,
            "options": {
                "url": f"http://{SECRETS['userinfo']}@{SECRETS['host']}/?{SECRETS['query']}",
                "api_key": SECRETS["api_key"],
                "password": SECRETS["password"],
                "pin": int(SECRETS["pin"]),
                "verify": True,
                "nothing": None,
                "short": "ab",
            },
            "info": {
                "external_id": SECRETS["api_key"],
                "name": SECRETS["name"],
                "kind": "printer",
                "capabilities": ["print_start"],
            },
        },
    )


def plant(brain: FakeBrain) -> None:
    """Put secrets wherever the brain could send one."""
    said = (
        f"GET http://{SECRETS['userinfo']}@printer/?{SECRETS['query']} with {SECRETS['api_key']} "
        f"for {SECRETS['name']} <{SECRETS['email']}>, {SECRETS['other_email']}"
    )
    brain.token = SECRETS["token"]
    brain.devices[PRINTER] = {
        "id": PRINTER,
        "driver": "octoprint",
        "name": f"Printer of {SECRETS['name']}",
        "kind": "printer",
        "zone_id": ZONE,
        "capabilities": ["print_start"],
        "online": "online",
        "reason": said,
        "last_seen": 1.0,
        "state": {
            "status": "printing",
            "job": {"file": SECRETS["file"], "progress": 50.0, "error": said},
        },
        "external_id": SECRETS["api_key"],
        "has_camera": False,
        "manufacturer": "Prusa",
        "model": "MK4",
        "sw_version": "1",
    }
    params = {"file": SECRETS["file"], "script": SECRETS["gcode"]}
    event = brain.event(
        PRINTER,
        "print_start",
        params=params,
        nonce=SECRETS["nonce"],
        subject=SECRETS["subject"],
        initiated_by=ADA,
        eligible=[ADA],
        evidence_key=SECRETS["evidence"],
    )
    command = brain.command(
        PRINTER, "print_start", params=params, detail=said, requested_by=ADA, event_id=event["id"]
    )
    job = {
        "id": "0b" * 16,
        "device_id": PRINTER,
        "command_id": command["id"],
        "file": SECRETS["file"],
        "status": "printing",
        "progress": 50.0,
        "requested_by": ADA,
        "error": said,
    }
    brain.events[event["id"]] = event
    brain.commands[command["id"]] = command | {"conversation": SECRETS["words"]}
    brain.jobs[job["id"]] = job
    brain.health = {
        "status": "degraded",
        "parts": {"mqtt": {"ok": False, "detail": f"{said} {SECRETS['nonce']}"}},
    }


@pytest.fixture
async def entry(hass: HomeAssistant, brain: FakeBrain, people_with_names: None) -> MockConfigEntry:
    """Return an entry in which a secret is planted wherever one can be."""
    plant(brain)
    options = rules()
    options["people"][ADA] |= {"email": SECRETS["email"], "notify": [SECRETS["phone"]]}
    options["presence"] = {ZONE: {"persons": [f"person.{SECRETS['person']}"], "occupancy": []}}
    options["policies"][ZONE]["checks"] = {
        f"{SECRETS['name']} agrees": {"entity_id": f"person.{SECRETS['person']}", "state": "home"}
    }
    made = kitty_entry(brain, options, (door_subentry(), printer_subentry()))
    made.add_to_hass(hass)
    hass.config_entries.async_update_entry(made, data=made.data | {"token": SECRETS["token"]})
    await set_up(hass, made)
    assert await async_setup_component(hass, "diagnostics", {})
    return made


@pytest.fixture
async def whole(
    hass: HomeAssistant, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> Any:
    """Return the diagnostics of the entry as they are downloaded."""
    return await get_diagnostics_for_config_entry(hass, hass_client, entry)


@pytest.mark.parametrize("kind", sorted(SECRETS))
async def test_no_planted_secret_comes_out(whole: Any, kind: str) -> None:
    """Wherever it was planted, and however it is written."""
    assert SECRETS[kind].lower() not in json.dumps(whole).lower()


async def test_no_planted_secret_comes_out_of_a_device(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """A device shows only what is its own."""
    device = device_registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, PRINTER)}
    )
    part = await get_diagnostics_for_device(hass, hass_client, entry, device)
    text = json.dumps(part).lower()
    assert [kind for kind, secret in SECRETS.items() if secret.lower() in text] == []
    assert [item["id"] for item in part["devices"]] == [PRINTER]
    assert [item["driver"] for item in part["subentries"]] == ["octoprint"]
    assert len(part["commands"]) == len(part["events"]) == len(part["jobs"]) == 1


async def test_the_brain_itself_shows_everything(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """It is the device that all others hang on."""
    device = device_registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, entry.data["instance_id"])}
    )
    part = await get_diagnostics_for_device(hass, hass_client, entry, device)
    assert {item["id"] for item in part["devices"]} == {DOOR, PRINTER}


async def test_what_is_left_helps(hass: HomeAssistant, whole: Any) -> None:
    """The state of the brain, its devices and the rules."""
    assert whole["brain"] == {"version": "0.1.0", "schema": 1, "connected": True}
    assert whole["home_assistant"] == __version__
    assert whole["entry"]["url"].startswith("http://**REDACTED**:")
    assert whole["zones"][ZONE]["hazard_level"] == "medium"
    assert whole["policies"][ZONE]["required_roles"] == ["engineer", "safety"]
    assert whole["people"][0] == {"roles": ["engineer"], "has_email": True, "phones_chosen": 1}
    assert whole["presence"] == {ZONE: {"persons": 1, "occupancy": 0}}
    assert whole["health"]["status"] == "degraded"
    assert whole["audit"]["seq"] == 1


async def test_what_is_left_of_a_device_helps(whole: Any) -> None:
    """What it is, what it does, and which of its options are set."""
    [printer] = [item for item in whole["devices"] if item["id"] == PRINTER]
    assert printer["state"] == {"status": "printing"}
    assert printer["job"]["progress"] == 50.0
    assert printer["reason"].startswith("GET http://**REDACTED**@printer/?**REDACTED** with")
    [added] = [item for item in whole["subentries"] if item["device_id"] == PRINTER]
    assert added["options"]["verify"] is True
    assert added["options"]["nothing"] is None
    assert added["options"]["url"] == "**REDACTED**"
    [door] = [item for item in whole["subentries"] if item["device_id"] == DOOR]
    assert door["options"] == {"entity_id": "lock.workshop"}


async def test_what_is_left_of_a_request_helps(whole: Any) -> None:
    """How far it got, and how many people have decided, but not who."""
    [event] = whole["events"]
    assert (event["status"], event["eligible"], event["denied"]) == ("pending", 1, False)
    [command] = whole["commands"]
    assert command["event_id"] == event["id"]


async def test_the_issues_that_are_open_are_listed_by_their_kind(
    hass: HomeAssistant, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    """So that nobody has to ask for them."""
    create_no_approver(hass, entry, zone_id="attic")
    found: Any = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert found["issues"] == ["no_approver"]


async def test_a_model_tells_how_it_is_and_nothing_that_it_was_given(
    hass: HomeAssistant, brain: FakeBrain, hass_client: ClientSessionGenerator
) -> None:
    """Neither its name nor its address, nor what it said: a server may say anything."""
    brain.providers = {
        MODEL: {
            "id": MODEL,
            "provider": "openai_compatible",
            "name": "Grace's machine",
            "tier": "local",
            "uses": ["tools"],
            "options": {"base_url": "http://10.1.2.3", "api_key": "***"},
            "enabled": True,
            "context": 8192,
            "trouble": {"code": "provider_failed", "message": "Hello from 10.1.2.3"},
            "breaker": {"state": "open", "failures": 5, "last_error": "provider_failed"},
        }
    }
    brain.mind = {"last": {"model": "qwen"}, "memories": 4}
    added = ConfigSubentryData(
        data={"provider_id": MODEL, "provider": "openai_compatible", "info": {"tier": "local"}},
        subentry_type="provider",
        title="Grace's machine",
        unique_id=MODEL,
    )
    entry = await set_up(hass, kitty_entry(brain, subentries=(door_subentry(), added)))
    found: Any = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert found["providers"] == [
        {
            "id": MODEL,
            "provider": "openai_compatible",
            "tier": "local",
            "uses": ["tools"],
            "enabled": True,
            "context": 8192,
            "trouble": "provider_failed",
            "breaker": {"state": "open", "failures": 5, "last_error": "provider_failed"},
        }
    ]
    assert found["mind"] == {"memories": 4}
    assert "Grace" not in json.dumps(found)
    assert "10.1.2.3" not in json.dumps(found["providers"])
    device = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, MODEL)}
    )
    part: Any = await get_diagnostics_for_device(hass, hass_client, entry, device)
    assert [item["id"] for item in part["providers"]] == [MODEL]
    assert part["devices"] == []
