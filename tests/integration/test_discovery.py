"""Printers that announce themselves: the card, what it asks, whom it believes, and when there is none."""

import asyncio
from ipaddress import ip_address
import socket
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import (
    SOURCE_DHCP,
    SOURCE_IGNORE,
    SOURCE_INTEGRATION_DISCOVERY,
    SOURCE_ZEROCONF,
    ConfigSubentryData,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import area_registry as ar
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import announced
from custom_components.kitty.announced import HEARD_MAX, Announcements, Found
from custom_components.kitty.protocol import Json

from .conftest import eventually, kitty_entry, set_up
from .fake_brain import FakeBrain, FakeError
from .flows import flows_are_translated, house  # noqa: F401 - fixtures are asked for by name
from .test_subentry_flow import fields, option, shown

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated", "no_platforms")

ADDRESS: Final = "192.168.7.20"
SERIAL: Final = "01P00A123456789"
UUID: Final = "5f6d0c0e-8f2a-4a3e-9a55-1f7b3f0f6f11"
CODE: Final = "12345678"
DEVICE_ID: Final = "f0" * 16

OCTOPRINT: Final[Json] = {
    "name": "octoprint",
    "title": "OctoPrint",
    "executes_in_home_assistant": False,
    "options": [option("url", "url"), option("api_key", "secret")],
    "profile": [option("volume", required=False), option("gcode", "boolean", default=True)],
}
PRUSALINK: Final[Json] = {
    "name": "prusalink",
    "title": "PrusaLink",
    "executes_in_home_assistant": False,
    "options": [
        option("url", "url"),
        option("password", "secret", required=False),
        option("api_key", "secret", required=False),
    ],
    "profile": [],
}
BAMBU: Final[Json] = {
    "name": "bambu",
    "title": "Bambu Lab",
    "executes_in_home_assistant": False,
    "options": [
        option("host"),
        option("serial"),
        option("access_code", "secret"),
        option("fingerprint", required=False),
    ],
    "profile": [],
}


def info(external_id: str) -> Json:
    """Return what the brain finds at an address."""
    return {
        "external_id": external_id,
        "name": "Voron",
        "kind": "printer",
        "capabilities": ["print_start"],
        "manufacturer": None,
        "model": None,
        "sw_version": None,
        "has_camera": False,
    }


def announcement(
    kind: str, name: str, host: str = ADDRESS, port: int | None = 80, **properties: Any
) -> ZeroconfServiceInfo:
    """Return an announcement as Home Assistant hands it on."""
    service = f"_{kind}._tcp.local."
    return ZeroconfServiceInfo(
        ip_address=ip_address(host),
        ip_addresses=[ip_address(host)],
        port=port,
        hostname="Printer.local.",
        type=service,
        name=f"{name}.{service}",
        properties=properties,
    )


OCTOPI: Final = announcement("octoprint", "OctoPrint instance on octopi", path="/", uuid=UUID)


def broadcast(serial: str = SERIAL, **changes: str) -> bytes:
    """Return what a Bambu printer sends every few seconds."""
    headers = {
        "HOST": "239.255.255.250:1990",
        "Server": "UPnP/1.0",
        "Location": ADDRESS,
        "NT": "urn:bambulab-com:device:3dprinter:1",
        "USN": serial,
        "DevModel.bambu.com": "C12",
        "DevName.bambu.com": "Garage",
    } | changes
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["NOTIFY * HTTP/1.1", *lines, "", ""]).encode()


def heard(serial: str = SERIAL, host: str = ADDRESS) -> Found:
    """Return a Bambu printer that was heard."""
    found = Found.from_broadcast(broadcast(serial), host)
    assert found is not None
    return found


def added(
    driver: str, external_id: str, options: Json, found_as: str | None = None
) -> ConfigSubentryData:
    """Return a printer that was added before."""
    more = {"found_as": found_as} if found_as else {}
    return ConfigSubentryData(
        data={
            "device_id": DEVICE_ID,
            "driver": driver,
            "zone_id": "garage",
            "options": options,
            "info": info(external_id),
        }
        | more,
        subentry_type="device",
        title="Mine",
        unique_id=f"{driver}:{external_id}",
    )


@pytest.fixture
def area_id(area_registry: ar.AreaRegistry) -> str:
    """Return the id of an area."""
    return area_registry.async_create("Garage").id


@pytest.fixture(autouse=True)
def drivers(brain: FakeBrain) -> None:
    """Give the brain its drivers, and printers at every address."""
    put = brain.answers["devices.put"]
    brain.answers |= {
        "drivers.list": lambda _params, _caller: {"items": [OCTOPRINT, PRUSALINK, BAMBU]},
        "devices.probe": lambda params, _caller: info(
            params["options"].get("serial") or "op.invalid:80"
        ),
        "devices.put": lambda params, caller: put({"device_id": DEVICE_ID} | params, caller),
    }


async def house_with(
    hass: HomeAssistant, brain: FakeBrain, *subentries: ConfigSubentryData
) -> MockConfigEntry:
    """Return an entry with these printers, set up."""
    return await set_up(hass, kitty_entry(brain, {}, subentries))


@pytest.fixture
async def entry(hass: HomeAssistant, brain: FakeBrain) -> MockConfigEntry:
    """Return an entry without any device."""
    return await house_with(hass, brain)


async def announce(hass: HomeAssistant, data: Any) -> Any:
    """Have Home Assistant hand an announcement on."""
    source = {ZeroconfServiceInfo: SOURCE_ZEROCONF, DhcpServiceInfo: SOURCE_DHCP}.get(
        type(data), SOURCE_INTEGRATION_DISCOVERY
    )
    result = await hass.config_entries.flow.async_init(
        "kitty", context={"source": source}, data=data
    )
    await hass.async_block_till_done()
    return result


async def answer(hass: HomeAssistant, flow: Any, **data: Any) -> Any:
    """Answer a step of the card."""
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], data)
    await hass.async_block_till_done()
    return result


def refuse(code: str) -> Any:
    """Return an answer that is an error."""

    def answer(_params: Json, _caller: Json | None) -> None:
        raise FakeError(code, "Not so")

    return answer


async def test_an_octoprint_shows_a_card_with_its_name(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """People see what it is and where it is before anything is asked."""
    result = await announce(hass, OCTOPI)
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "printer")
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["title_placeholders"] == {"name": "OctoPrint instance on octopi"}
    assert result["description_placeholders"]["address"] == f"http://{ADDRESS}"


async def test_the_form_of_the_driver_is_filled_with_what_was_announced(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Only the key is missing."""
    result = await answer(hass, await announce(hass, OCTOPI))
    assert result["step_id"] == "printer_options"
    assert shown(result)["option_1"] == f"http://{ADDRESS}"
    assert "option_2" not in shown(result)


async def test_a_confirmed_printer_is_added_as_a_device(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """It is tried by the brain, kept by the brain, and a device of the entry; the card is gone."""
    form = await answer(hass, await announce(hass, OCTOPI))
    url = f"http://{ADDRESS}"
    filled = {"zone_id": area_id, "option_1": url, "option_2": "k3y", "profile": {}}
    result = await answer(hass, form, **filled)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "printer_added")
    options = {"url": url, "api_key": "k3y", "gcode": True}
    assert brain.sent("devices.probe") == [{"driver": "octoprint", "options": options}]
    [subentry] = entry.subentries.values()
    assert (subentry.title, subentry.unique_id) == ("Voron", "octoprint:op.invalid:80")
    assert subentry.data["options"] == options
    assert subentry.data["found_as"] == f"octoprint:{UUID}"
    assert hass.config_entries.flow.async_progress() == []


async def test_a_wrong_key_is_said_at_its_field(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """In words about the printer, not about the brain."""
    brain.answers["devices.probe"] = refuse("invalid_auth")
    form = await answer(hass, await announce(hass, OCTOPI))
    filled = {"zone_id": area_id, "option_1": "http://x.invalid", "option_2": "no", "profile": {}}
    result = await answer(hass, form, **filled)
    assert result["errors"] == {"option_2": "device_auth"}


async def test_what_the_brain_does_not_keep_is_said(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """The form stays, with its fields."""
    brain.answers["devices.put"] = refuse("invalid_params")
    form = await answer(hass, await announce(hass, OCTOPI))
    filled = {"zone_id": area_id, "option_1": "http://x.invalid", "option_2": "k", "profile": {}}
    result = await answer(hass, form, **filled)
    assert result["errors"] == {"base": "refused"}
    assert not entry.subentries


async def test_a_printer_that_the_brain_has_is_not_added_twice(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """Also where Home Assistant does not know of it."""
    brain.answers["devices.put"] = refuse("already_configured")
    form = await answer(hass, await announce(hass, OCTOPI))
    filled = {"zone_id": area_id, "option_1": "http://x.invalid", "option_2": "k", "profile": {}}
    assert (await answer(hass, form, **filled))["reason"] == "already_configured"


async def test_a_printer_that_turns_out_to_be_known_is_not_added_twice(
    hass: HomeAssistant, brain: FakeBrain, area_id: str
) -> None:
    """The probe tells who it really is."""
    entry = await house_with(
        hass, brain, added("octoprint", "op.invalid:80", {"url": "http://op.invalid"})
    )
    form = await answer(hass, await announce(hass, OCTOPI))
    filled = {"zone_id": area_id, "option_1": "http://x.invalid", "option_2": "k", "profile": {}}
    assert (await answer(hass, form, **filled))["reason"] == "already_configured"
    assert [one.title for one in entry.subentries.values()] == ["Mine"]


@pytest.mark.parametrize(
    ("data", "url", "key"),
    [
        (
            announcement("octoprint", "Octo", port=5000, path="/octoprint/", uuid=UUID),
            f"http://{ADDRESS}:5000/octoprint",
            f"octoprint:{UUID}",
        ),
        (
            announcement("moonraker", "Moonraker @ v", port=7125, uuid="abc", route_prefix=""),
            f"http://{ADDRESS}:7125",
            "moonraker:abc",
        ),
        (
            announcement("prusalink", "PrusaLink at mk3", path="/"),
            f"http://{ADDRESS}",
            "prusalink:printer.local:80",
        ),
        (
            DhcpServiceInfo(ip=ADDRESS, hostname="prusa-mk4", macaddress="109c70aabbcc"),
            f"http://{ADDRESS}",
            "prusalink:109c70aabbcc",
        ),
    ],
)
async def test_every_server_says_where_it_is(
    hass: HomeAssistant, entry: MockConfigEntry, data: Any, url: str, key: str
) -> None:
    """Each in its own way; the card is known by what stays the same."""
    result = await announce(hass, data)
    assert result["description_placeholders"]["address"] == url
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["unique_id"] == key


@pytest.mark.parametrize(
    "data",
    [
        announcement("octoprint", "PrusaLink at mk3", path="/"),
        announcement("octoprint", "No port", port=None),
        announcement("http", "Something"),
    ],
)
async def test_what_is_no_printer_of_its_kind_shows_no_card(
    hass: HomeAssistant, entry: MockConfigEntry, data: Any
) -> None:
    """PrusaLink announces itself as an OctoPrint, too."""
    assert (await announce(hass, data))["reason"] == "not_a_printer"


async def test_a_bambu_printer_shows_a_card(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Its address and its serial number are filled in; the code is asked for."""
    result = await answer(hass, await announce(hass, heard()))
    assert (shown(result)["option_1"], shown(result)["option_2"]) == (ADDRESS, SERIAL)


async def test_an_ignored_printer_stays_ignored(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Home Assistant's own word for it."""
    await announce(hass, OCTOPI)
    await hass.config_entries.flow.async_init(
        "kitty",
        context={"source": SOURCE_IGNORE},
        data={"unique_id": f"octoprint:{UUID}", "title": "Octo"},
    )
    assert hass.config_entries.flow.async_progress() == []
    assert (await announce(hass, OCTOPI))["reason"] == "already_configured"


async def test_without_a_brain_there_is_no_card(hass: HomeAssistant) -> None:
    """Home commands alone print nothing."""
    MockConfigEntry(domain="kitty", unique_id="home", data={}).add_to_hass(hass)
    assert (await announce(hass, OCTOPI))["reason"] == "printer_without_brain"


@pytest.mark.parametrize(
    ("url", "reason"),
    [(f"http://{ADDRESS}", "already_configured"), ("http://printer.local/", "already_configured")],
)
async def test_a_printer_that_was_added_by_hand_shows_no_card(
    hass: HomeAssistant, brain: FakeBrain, url: str, reason: str
) -> None:
    """By its address or by its name."""
    await house_with(hass, brain, added("octoprint", "x", {"url": url, "api_key": "k"}))
    assert (await announce(hass, OCTOPI))["reason"] == reason


async def test_a_provider_or_another_kind_of_device_is_no_printer(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Whatever address they have."""
    provider = ConfigSubentryData(
        data={"provider_id": "p"}, subentry_type="provider", title="Model", unique_id="p"
    )
    bound = added("home_assistant", "x", {"entity_id": "camera.x"})
    await house_with(hass, brain, provider, bound)
    assert (await announce(hass, OCTOPI))["step_id"] == "printer"


async def test_a_found_printer_is_known_again_after_it_was_changed(
    hass: HomeAssistant, brain: FakeBrain, area_id: str
) -> None:
    """By what it announces, not by its address."""
    url = "http://octo.invalid"
    key = f"octoprint:{UUID}"
    options = {"url": url, "api_key": "k"}
    entry = await house_with(hass, brain, added("octoprint", "op.invalid:80", options, key))
    [subentry] = entry.subentries.values()
    form = await hass.config_entries.subentries.async_init(
        (entry.entry_id, "device"),
        context={"source": "reconfigure", "subentry_id": subentry.subentry_id},
    )
    filled = {"zone_id": area_id, "option_1": url, "profile": {"profile_1": "1x1x1"}}
    await hass.config_entries.subentries.async_configure(form["flow_id"], filled)
    await hass.async_block_till_done()
    [changed] = entry.subentries.values()
    assert (changed.data["found_as"], changed.data["options"]["volume"]) == (key, "1x1x1")


async def test_a_found_printer_at_its_old_address_is_left_alone(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Its name or its address, both are its own."""
    options = {"url": "http://printer.local/", "password": "p"}
    known = added("prusalink", "SN1", options, "prusalink:printer.local:80")
    await house_with(hass, brain, known)
    data = announcement("prusalink", "PrusaLink at mk3", path="/")
    assert (await announce(hass, data))["reason"] == "already_configured"
    assert brain.sent("devices.probe") == []


async def test_another_server_on_the_same_host_shows_a_card(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Two printers may hang on one computer."""
    await house_with(hass, brain, added("octoprint", "x", {"url": f"http://{ADDRESS}:5001"}))
    assert (await announce(hass, OCTOPI))["step_id"] == "printer"


async def test_the_card_says_that_another_integration_has_the_printer(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """So that people may bind it instead."""
    MockConfigEntry(domain="octoprint", title="Octo", data={"host": ADDRESS}).add_to_hass(hass)
    result = await announce(hass, OCTOPI)
    assert result["step_id"] == "printer_elsewhere"
    assert result["description_placeholders"]["integration"] == "Octo"
    assert (await answer(hass, result))["step_id"] == "printer_options"


async def test_the_card_knows_a_bambu_printer_of_another_integration_by_its_serial_number(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Its address may be another there."""
    MockConfigEntry(domain="bambu_lab", title="Other", data={"host": "http://x"}).add_to_hass(hass)
    MockConfigEntry(domain="bambu_lab", title="P1S", data={"serial": SERIAL}).add_to_hass(hass)
    result = await announce(hass, heard())
    assert result["description_placeholders"]["integration"] == "P1S"


async def test_one_of_several_brains_is_chosen(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The card asks to which the printer is added."""
    other = MockConfigEntry(domain="kitty", title="Other", data={**entry.data}, unique_id="other")
    other.add_to_hass(hass)
    result = await announce(hass, OCTOPI)
    choices = fields(result)["entry_id"].config["options"]
    assert {one["label"] for one in choices} == {"Brain", "Other"}
    chosen = await answer(hass, result, entry_id=entry.entry_id)
    assert chosen["step_id"] == "printer_options"


async def test_a_card_of_an_entry_that_is_not_loaded(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """It says so; the printer will announce itself again."""
    card = await announce(hass, OCTOPI)
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert (await answer(hass, card))["reason"] == "entry_not_loaded"


async def test_a_card_while_the_brain_does_not_answer(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """It says so."""
    brain.answers["drivers.list"] = refuse("internal")
    assert (await answer(hass, await announce(hass, OCTOPI)))["reason"] == "brain_away"


async def test_a_card_of_a_brain_without_the_driver(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """An older brain may know fewer printers."""
    brain.answers["drivers.list"] = lambda _params, _caller: {"items": []}
    assert (await answer(hass, await announce(hass, OCTOPI)))["reason"] == "driver_gone"


KNOWN: Final[Json] = {
    "host": "192.168.7.9",
    "serial": SERIAL,
    "access_code": CODE,
    "fingerprint": "ab",
}


async def test_a_bambu_printer_that_has_moved_is_followed(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The brain finds the same printer there, so its new address is kept."""
    entry = await house_with(hass, brain, added("bambu", SERIAL, KNOWN))
    assert (await announce(hass, heard()))["reason"] == "already_configured"
    [subentry] = entry.subentries.values()
    assert subentry.data["options"] == KNOWN | {"host": ADDRESS}
    puts = [(put["device_id"], put["options"]) for put in brain.sent("devices.put")]
    assert (DEVICE_ID, KNOWN | {"host": ADDRESS}) in puts


async def test_a_printer_that_has_not_moved_is_left_alone(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It announces itself every few seconds."""
    await house_with(hass, brain, added("bambu", SERIAL, KNOWN | {"host": ADDRESS}))
    assert (await announce(hass, heard()))["reason"] == "already_configured"
    assert brain.sent("devices.probe") == []


async def test_another_printer_in_the_place_of_a_known_one_is_not_followed(
    hass: HomeAssistant, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can announce a serial number."""
    brain.answers["devices.probe"] = lambda _params, _caller: info("another")
    entry = await house_with(hass, brain, added("bambu", SERIAL, KNOWN))
    await announce(hass, heard())
    [subentry] = entry.subentries.values()
    assert subentry.data["options"] == KNOWN
    assert "Another printer than Mine answers there" in caplog.text


async def test_an_address_where_the_printer_is_not_found_is_not_followed(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The old address stays."""
    brain.answers["devices.probe"] = refuse("cannot_connect")
    entry = await house_with(hass, brain, added("bambu", SERIAL, KNOWN))
    await announce(hass, heard())
    [subentry] = entry.subentries.values()
    assert subentry.data["options"] == KNOWN


@pytest.mark.parametrize(
    ("driver", "options", "data"),
    [
        ("bambu", {"host": "192.168.7.9", "serial": SERIAL, "access_code": CODE}, heard()),
        ("octoprint", {"url": "http://192.168.7.9", "api_key": "k3y"}, OCTOPI),
        (
            "prusalink",
            {"url": "http://192.168.7.9", "api_key": "k3y"},
            announcement("prusalink", "PrusaLink at mk3"),
        ),
    ],
)
async def test_no_secret_is_told_to_an_announced_address(
    hass: HomeAssistant, brain: FakeBrain, driver: str, options: Json, data: Any
) -> None:
    """Where the printer cannot prove itself first, a person has to say that it has moved."""
    keys = {"octoprint": f"octoprint:{UUID}", "prusalink": "prusalink:printer.local:80"}
    await house_with(hass, brain, added(driver, SERIAL, options, keys.get(driver)))
    assert (await announce(hass, data))["reason"] == "already_configured"
    assert brain.sent("devices.probe") == []


async def test_a_prusalink_with_a_password_is_followed_by_its_network_hardware(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The rest of its address stays as it was typed."""
    brain.answers["devices.probe"] = lambda _params, _caller: info("SN1")
    options = {"url": "https://192.168.7.9:8443/link", "password": "p"}
    entry = await house_with(
        hass, brain, added("prusalink", "SN1", options, "prusalink:109c70aabbcc")
    )
    await announce(
        hass, DhcpServiceInfo(ip=ADDRESS, hostname="prusa-mk4", macaddress="109c70aabbcc")
    )
    [subentry] = entry.subentries.values()
    assert subentry.data["options"]["url"] == f"https://{ADDRESS}:8443/link"
    assert subentry.data["found_as"] == "prusalink:109c70aabbcc"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\r\n\xff",
        broadcast(NT="upnp:rootdevice"),
        broadcast(serial="../../etc"),
        broadcast(serial=""),
    ],
)
def test_what_is_broadcast_by_others_is_not_believed(data: bytes) -> None:
    """Only a printer's own form counts."""
    assert Found.from_broadcast(data, ADDRESS) is None


def test_a_bambu_printer_without_a_name_is_called_by_its_serial_number() -> None:
    """The last part of it, as on the printer."""
    found = Found.from_broadcast(broadcast(**{"DevName.bambu.com": ""}), ADDRESS)
    assert found is not None
    assert found.name == "Bambu Lab 6789"


def test_a_printer_is_told_once_for_each_address() -> None:
    """It broadcasts every few seconds."""
    told: list[Found] = []
    ears = Announcements(told.append)
    for host in (ADDRESS, ADDRESS, "192.168.7.21"):
        ears.datagram_received(broadcast(), (host, 2021))
    assert [found.address for found in told] == [ADDRESS, "192.168.7.21"]


def test_invented_printers_fill_no_memory() -> None:
    """The oldest are forgotten."""
    ears = Announcements(lambda _found: None)
    for number in range(HEARD_MAX + 5):
        ears.datagram_received(broadcast(f"01P00A{number:09}"), (ADDRESS, 2021))
    assert len(ears._heard) == HEARD_MAX


async def test_a_broadcast_becomes_a_card(
    hass: HomeAssistant, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All the way from the wire."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr(announced, "BAMBU_PORT", port)
    await house_with(hass, brain)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as printer:
        printer.setblocking(False)
        await asyncio.get_running_loop().sock_sendto(printer, broadcast(), ("127.0.0.1", port))
        await eventually(hass.config_entries.flow.async_progress)
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["unique_id"] == f"bambu:{SERIAL}"


async def test_a_port_that_is_taken_only_costs_the_cards(
    hass: HomeAssistant, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything else works."""
    with patch.object(hass.loop, "create_datagram_endpoint", side_effect=OSError("in use")):
        entry = await house_with(hass, brain)
    assert entry.runtime_data.client.connected
    assert "Bambu printers are not found by themselves" in caplog.text
