"""Adding a device: the brain says what its drivers want to know, and every word of it is theirs."""

from types import MappingProxyType
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import area_registry as ar
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import Json

from .conftest import door_subentry, kitty_entry, set_up
from .fake_brain import FakeBrain, FakeError
from .flows import flows_are_translated, house  # noqa: F401 - fixtures are asked for by name

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated", "no_platforms")

INFO: Final[Json] = {
    "external_id": "op-1",
    "name": "Mk4",
    "kind": "printer",
    "capabilities": ["print_start"],
    "manufacturer": "Prusa",
    "model": "MK4",
    "sw_version": "1",
    "has_camera": False,
}


def option(name: str, kind: str = "text", **changes: Any) -> Json:
    """Return an option of a driver as it comes over the wire."""
    return {
        "name": name,
        "label": f"The {name}",
        "help": f"Help for {name}",
        "type": kind,
        "required": True,
        "default": None,
        "choices": [],
        "filter": [],
        "minimum": None,
        "maximum": None,
    } | changes


OCTOPRINT: Final[Json] = {
    "name": "octoprint",
    "title": "OctoPrint",
    "executes_in_home_assistant": False,
    "options": [
        option("url", "url"),
        option("api_key", "secret"),
        option("port", "number", required=False, default=80, minimum=1, maximum=65535),
        option("verify", "boolean", default=True),
        option("speed", default="fast"),
    ],
}
EVERYTHING: Final[Json] = {
    "name": "everything",
    "title": "Everything",
    "executes_in_home_assistant": True,
    "options": [
        option("entity_id", "entity", filter=["lock", "cover"]),
        option("any_entity", "entity", required=False),
        option("feeds", "device", filter=["door"], required=False),
        option("any_device", "device", required=False),
        option("mode", "select", choices=["fast", "slow"], required=False),
        option("limit", "number", required=False),
        option("words", required=False),
        option("future", "colour", required=False),
        *(option(f"more_{number}", required=False) for number in range(15)),
    ],
}
ANSWERS: Final = {"option_1": "http://octopi.invalid", "option_2": "k3y", "option_4": True}
OPTIONS: Final = {
    "url": "http://octopi.invalid",
    "api_key": "k3y",
    "verify": True,
    "speed": "fast",
}


@pytest.fixture
def area_id(area_registry: ar.AreaRegistry) -> str:
    """Return the id of an area."""
    return area_registry.async_create("Workshop").id


@pytest.fixture
async def entry(hass: HomeAssistant, brain: FakeBrain) -> MockConfigEntry:
    """Return an entry, set up, of a brain that has drivers and reaches every device."""
    put = brain.answers["devices.put"]
    brain.answers |= {
        "drivers.list": lambda _params, _caller: {"items": [OCTOPRINT, EVERYTHING]},
        "devices.probe": lambda _params, _caller: INFO,
        "devices.put": lambda params, caller: put({"device_id": "f0" * 16} | params, caller),
    }
    return await set_up(hass, kitty_entry(brain, {}, ()))


def refuse(code: str, **details: Any) -> Any:
    """Return an answer that is an error."""

    def answer(_params: Json, _caller: Json | None) -> None:
        raise FakeError(code, "Not so", **details)

    return answer


async def start(hass: HomeAssistant, entry: MockConfigEntry) -> Any:
    """Start to add a device."""
    return await hass.config_entries.subentries.async_init(
        (entry.entry_id, "device"), context={"source": SOURCE_USER}
    )


async def answer(hass: HomeAssistant, flow: Any, **data: Any) -> Any:
    """Answer a step, and let the entry be loaded again."""
    result = await hass.config_entries.subentries.async_configure(flow["flow_id"], data)
    await hass.async_block_till_done()
    return result


async def form(hass: HomeAssistant, entry: MockConfigEntry, driver: str = "octoprint") -> Any:
    """Go to the form of a driver."""
    return await answer(hass, await start(hass, entry), driver=driver)


def fields(result: Any) -> dict[str, Any]:
    """Return the fields of a form by name."""
    return {str(marker): field for marker, field in result["data_schema"].schema.items()}


def shown(result: Any) -> dict[str, Any]:
    """Return what the fields of a form show first."""
    return {
        str(marker): marker.description["suggested_value"]
        for marker in result["data_schema"].schema
        if marker.description
    }


def only(entry: MockConfigEntry) -> ConfigSubentry:
    """Return the one device of the entry."""
    devices: list[ConfigSubentry] = list(entry.subentries.values())
    [subentry] = devices
    return subentry


@pytest.fixture
async def added(hass: HomeAssistant, entry: MockConfigEntry, area_id: str) -> ConfigSubentry:
    """Return a device that was added through the form."""
    await answer(hass, await form(hass, entry), zone_id=area_id, **ANSWERS)
    return only(entry)


async def test_the_drivers_of_the_brain_are_offered_by_their_titles(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Whatever drivers it has."""
    result = await start(hass, entry)
    assert fields(result)["driver"].config["options"] == [
        {"value": "octoprint", "label": "OctoPrint"},
        {"value": "everything", "label": "Everything"},
    ]


async def test_the_brain_is_asked_in_the_language_of_the_house(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The words of a driver's form are the brain's, which has them in several."""
    hass.config.language = "de"
    await start(hass, entry)
    assert brain.sent("drivers.list") == [{"language": "de"}]


async def test_a_device_is_added(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """It is tried, given to the brain, and kept; its own name is taken where none was typed."""
    result = await answer(hass, await form(hass, entry), zone_id=area_id, **ANSWERS)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert brain.sent("devices.probe") == [{"driver": "octoprint", "options": OPTIONS}]
    assert brain.sent("devices.put")[0] == {
        "driver": "octoprint",
        "name": "Mk4",
        "zone_id": area_id,
        "options": OPTIONS,
        "info": INFO,
    }
    subentry = only(entry)
    assert (subentry.title, subentry.unique_id) == ("Mk4", "octoprint:op-1")
    assert subentry.data == {
        "device_id": "f0" * 16,
        "driver": "octoprint",
        "zone_id": area_id,
        "options": OPTIONS,
        "info": INFO,
    }
    assert entry.state is ConfigEntryState.LOADED


async def test_a_device_may_have_another_name_and_every_option(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """A whole number arrives as one."""
    more = {"name": "Big one", "zone_id": area_id, "option_3": 5000.0, "option_4": False}
    await answer(hass, await form(hass, entry), **(ANSWERS | more))
    assert only(entry).title == "Big one"
    assert brain.sent("devices.probe")[0]["options"] == OPTIONS | {"port": 5000, "verify": False}


async def test_a_choice_of_devices_is_not_shown_while_there_are_none(
    hass: HomeAssistant, entry: MockConfigEntry, area_id: str
) -> None:
    """A label with nothing below it would only be in the way."""
    assert {"option_3", "option_4"} & set(fields(await form(hass, entry, "everything"))) == set()
    await answer(hass, await form(hass, entry), zone_id=area_id, **ANSWERS)
    shown_now = set(fields(await form(hass, entry, "everything")))
    assert {"option_3", "option_4"} & shown_now == {"option_4"}


async def test_a_device_needs_an_area(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Without one it could do nothing dangerous."""
    flow = await form(hass, entry)
    with pytest.raises(InvalidData):
        await answer(hass, flow, **ANSWERS)


async def test_every_word_about_an_option_is_the_driver_s(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """A new driver needs no change of the integration; a default is shown, a secret never."""
    result = await form(hass, entry)
    words = result["description_placeholders"]
    assert (words["driver"], words["label_1"], words["help_2"]) == (
        "OctoPrint",
        "The url",
        "Help for api_key",
    )
    assert shown(result) == {"option_3": 80, "option_4": True, "option_5": "fast"}
    assert fields(result)["option_1"].config["type"] == "url"
    assert fields(result)["option_2"].config["type"] == "password"
    assert fields(result)["option_3"].config["max"] == 65535


async def test_every_type_of_option_has_its_field(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """Entities by domain, devices by kind; a type of tomorrow is a text."""
    door_data = door_subentry() | {"data": MappingProxyType(door_subentry()["data"])}
    hass.config_entries.async_add_subentry(entry, ConfigSubentry(**door_data))
    await hass.async_block_till_done()
    result = await form(hass, entry, "everything")
    seen = fields(result)
    assert seen["option_1"].config["filter"] == [{"domain": ["lock", "cover"]}]
    assert "filter" not in seen["option_2"].config
    door = [{"value": "d0" * 16, "label": "Workshop door"}]
    assert seen["option_3"].config["options"] == door
    assert seen["option_4"].config["options"] == door
    assert seen["option_5"].config["options"] == ["fast", "slow"]
    assert seen["option_5"].config["translation_key"] == "option_choice"
    assert seen["option_6"].config["mode"] == "box"
    assert seen["option_8"].selector_type == "text"
    assert "The more_14" in seen


@pytest.mark.parametrize(
    ("refusal", "errors"),
    [
        (refuse("cannot_connect"), {"option_1": "cannot_connect"}),
        (refuse("invalid_auth"), {"option_2": "invalid_auth"}),
        (refuse("invalid_option", field="port"), {"option_3": "invalid_option"}),
        (refuse("invalid_option", field="other"), {"base": "invalid_option"}),
        (refuse("not_supported"), {"base": "refused"}),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_can_be_corrected(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    area_id: str,
    refusal: Any,
    errors: dict[str, str],
) -> None:
    """What was typed stays in the form."""
    flow = await form(hass, entry)
    with patch.dict(brain.answers, {"devices.probe": refusal}):
        result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["errors"] == errors
    assert result["description_placeholders"]["error"] == "Not so"
    assert shown(result)["option_1"] == ANSWERS["option_1"]
    result = await answer(hass, result, zone_id=area_id, **ANSWERS)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_an_error_that_belongs_to_no_field_is_said_at_the_top(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """This driver has neither an address nor a secret."""
    flow = await form(hass, entry, "everything")
    with patch.dict(brain.answers, {"devices.probe": refuse("cannot_connect")}):
        result = await answer(hass, flow, zone_id=area_id, option_1="lock.door")
    assert result["errors"] == {"base": "cannot_connect"}


async def test_a_form_whose_entry_is_not_loaded_any_more_stays(
    hass: HomeAssistant, entry: MockConfigEntry, area_id: str
) -> None:
    """As while it is loaded anew, because somebody else has changed something."""
    flow = await form(hass, entry)
    assert await hass.config_entries.async_unload(entry.entry_id)
    result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["errors"] == {"base": "brain_unavailable"}


async def test_a_brain_that_goes_away_meanwhile_is_named(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """The form stays and works when it is back."""
    flow = await form(hass, entry)
    await brain.stop()
    result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["errors"] == {"base": "brain_unavailable"}


async def test_a_refusal_to_keep_the_device_can_be_corrected(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """The brain had reached the device and then said no."""
    flow = await form(hass, entry)
    with patch.dict(brain.answers, {"devices.put": refuse("not_supported")}):
        result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["errors"] == {"base": "refused"}
    assert not entry.subentries
    result = await answer(hass, result, zone_id=area_id, **ANSWERS)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_device_that_the_brain_has_already_is_not_added(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, area_id: str
) -> None:
    """Its own word counts."""
    flow = await form(hass, entry)
    with patch.dict(brain.answers, {"devices.put": refuse("already_configured")}):
        result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["reason"] == "already_configured"


async def test_a_device_is_not_added_twice(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    added: ConfigSubentry,
    area_id: str,
) -> None:
    """The brain is not asked to keep it again; another device can be added in the same form."""
    flow = await form(hass, entry)
    before = len(brain.sent("devices.put"))
    result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["errors"] == {"base": "device_already_added"}
    assert len(brain.sent("devices.put")) == before
    brain.answers["devices.probe"] = lambda _params, _caller: INFO | {"external_id": "op-2"}
    result = await answer(hass, result, zone_id=area_id, **ANSWERS)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_nothing_is_added_while_the_brain_is_not_connected(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The flow says what to mend first."""
    entry = kitty_entry(brain, {}, ())
    entry.add_to_hass(hass)
    assert (await start(hass, entry))["reason"] == "entry_not_loaded"


async def test_nothing_is_added_while_the_brain_does_not_answer(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The flow says so."""
    await brain.stop()
    assert (await start(hass, entry))["reason"] == "cannot_connect"


async def test_a_device_is_changed(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    added: ConfigSubentry,
    area_registry: ar.AreaRegistry,
) -> None:
    """The secret is not shown, and kept where the field stays empty; the device stays the same."""
    garage = area_registry.async_create("Garage").id
    flow = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert shown(flow) == {
        "name": "Mk4",
        "zone_id": added.data["zone_id"],
        "option_1": "http://octopi.invalid",
        "option_4": True,
        "option_5": "fast",
    }
    answers = {"name": "Old one", "zone_id": garage, "option_1": "http://new", "option_4": True}
    result = await answer(hass, flow, **answers)
    assert result["reason"] == "reconfigure_successful"
    subentry = only(entry)
    assert subentry.title == "Old one"
    assert subentry.data["device_id"] == added.data["device_id"]
    assert subentry.data["zone_id"] == garage
    assert subentry.data["options"] == OPTIONS | {"url": "http://new"}
    assert subentry.unique_id == "octoprint:op-1"
    assert entry.state is ConfigEntryState.LOADED


async def test_a_device_cannot_be_changed_into_another_one(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    added: ConfigSubentry,
    area_id: str,
) -> None:
    """Its history would be another's; the right address is accepted afterwards."""
    flow = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    other = {"devices.probe": lambda _params, _caller: INFO | {"external_id": "op-2"}}
    with patch.dict(brain.answers, other):
        result = await answer(hass, flow, zone_id=area_id, **ANSWERS)
    assert result["errors"] == {"base": "other_device"}
    result = await answer(hass, result, zone_id=area_id, **ANSWERS)
    assert result["reason"] == "reconfigure_successful"


async def test_a_device_whose_driver_is_gone_cannot_be_changed(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """The brain must be updated first."""
    brain.answers["drivers.list"] = lambda _params, _caller: {"items": [EVERYTHING]}
    result = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert result["reason"] == "driver_gone"


async def test_nothing_is_changed_while_the_brain_does_not_answer(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """The flow says so."""
    await brain.stop()
    result = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert result["reason"] == "cannot_connect"


PROFILE: Final[Json] = OCTOPRINT | {
    "profile": [
        option("volume", required=False),
        option("nozzle_mm", "number", required=False, minimum=0.1, maximum=3, unit="mm"),
        option("gcode", "boolean", required=False, default=True),
    ]
}


@pytest.fixture
def asks_more(brain: FakeBrain, entry: MockConfigEntry) -> None:
    """Have the driver ask what only people know of a printer."""
    brain.answers["drivers.list"] = lambda _params, _caller: {"items": [PROFILE]}


async def test_what_only_people_know_is_folded_away(
    hass: HomeAssistant, entry: MockConfigEntry, asks_more: None
) -> None:
    """With its units beside the fields."""
    folded = fields(await form(hass, entry))["profile"]
    assert folded.options == {"collapsed": True}
    inside = {str(marker): field for marker, field in folded.schema.schema.items()}
    assert list(inside) == ["profile_1", "profile_2", "profile_3"]
    assert inside["profile_2"].config["unit_of_measurement"] == "mm"


async def test_what_people_know_of_a_printer_is_kept_beside_what_the_driver_needs(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, asks_more: None, area_id: str
) -> None:
    """Under its own names; what is left empty is left out."""
    filled = {"profile_1": "220x220x250", "profile_3": False}
    await answer(hass, await form(hass, entry), zone_id=area_id, **ANSWERS, profile=filled)
    told = OPTIONS | {"volume": "220x220x250", "gcode": False}
    assert brain.sent("devices.put")[0]["options"] == told
    assert only(entry).data["options"] == told


async def test_what_is_known_of_a_printer_is_shown_when_it_is_changed(
    hass: HomeAssistant, entry: MockConfigEntry, asks_more: None, area_id: str
) -> None:
    """So nothing is lost by a change of something else."""
    filled = {"profile_1": "220x220x250", "profile_2": 0.6, "profile_3": False}
    await answer(hass, await form(hass, entry), zone_id=area_id, **ANSWERS, profile=filled)
    result = await hass.config_entries.subentries.async_init(
        (entry.entry_id, "device"),
        context={"source": "reconfigure", "subentry_id": only(entry).subentry_id},
    )
    folded = fields(result)["profile"].schema.schema
    assert {str(marker): marker.description["suggested_value"] for marker in folded} == filled
