"""The options: areas, policies, people and presence, one thing at a time."""

from typing import Any

from homeassistant.config_entries import ConfigFlowResult, ConfigSubentryData
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import area_registry as ar, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.const import DOMAIN

from .flows import flows_are_translated, give_phone, house  # noqa: F401 - fixtures are asked for by name

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated")

DOOR = ConfigSubentryData(
    subentry_type="device",
    title="Front door",
    unique_id="demo:door-1",
    data={
        "device_id": "d0",
        "driver": "demo",
        "zone_id": "x",
        "options": {},
        "info": {"kind": "door"},
    },
)
ROLES = {"required_roles": ["safety"]}
POLICY = {
    "required_roles": ["safety"],
    "requires_dual_confirm": False,
    "requires_presence": False,
    "presence_ttl": 300,
    "requester_may_confirm": True,
    "voice_may_confirm": False,
    "checks": {},
}


@pytest.fixture
def area_id(area_registry: ar.AreaRegistry) -> str:
    """Return the id of an area."""
    return area_registry.async_create("Workshop").id


def make_entry(
    hass: HomeAssistant, *devices: ConfigSubentryData, **options: Any
) -> MockConfigEntry:
    """Return a config entry with these options."""
    entry = MockConfigEntry(
        domain=DOMAIN, title="KITTY", options=options, subentries_data=list(devices)
    )
    entry.add_to_hass(hass)
    return entry


async def walk(
    hass: HomeAssistant, entry: MockConfigEntry, way: str, *answers: dict[str, Any]
) -> Any:
    """Go one way through the menu with these answers and return the last result."""
    result: Any = await hass.config_entries.options.async_init(entry.entry_id)
    for answer in ({"next_step_id": way}, *answers):
        result = await hass.config_entries.options.async_configure(result["flow_id"], answer)
    return result


def shown(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what the fields of a form show first."""
    assert result["data_schema"] is not None
    return {
        str(marker): (marker.description or {}).get("suggested_value")
        for marker in result["data_schema"].schema
    }


async def test_the_menu_offers_what_can_be_set(hass: HomeAssistant) -> None:
    """Areas, policies, people, presence and energy."""
    entry = make_entry(hass)
    result = await hass.config_entries.options.async_init(entry.entry_id)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == ["area", "policy", "person", "presence", "energy"]


async def test_a_harmless_area_needs_no_policy(hass: HomeAssistant, area_id: str) -> None:
    """Low is saved at once."""
    entry = make_entry(hass)
    answer = {"hazard_level": "low", "requires_ppe": True}
    result = await walk(hass, entry, "area", {"area_id": area_id}, answer)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {"zones": {area_id: {**answer, "door_ids": []}}}


async def test_the_doors_of_an_area_are_chosen_from_the_doors_that_there_are(
    hass: HomeAssistant, area_id: str
) -> None:
    """Only devices of the kind door, by their name."""
    entry = make_entry(hass, DOOR)
    answer = {"hazard_level": "low", "requires_ppe": False, "door_ids": ["d0"]}
    result = await walk(hass, entry, "area", {"area_id": area_id}, answer)
    assert result["data"]["zones"][area_id]["door_ids"] == ["d0"]


async def test_a_door_that_is_not_there_cannot_be_chosen(hass: HomeAssistant, area_id: str) -> None:
    """The field takes nothing but what it offers."""
    entry = make_entry(hass, DOOR)
    answer = {"hazard_level": "low", "requires_ppe": False, "door_ids": ["d1"]}
    with pytest.raises(InvalidData):
        await walk(hass, entry, "area", {"area_id": area_id}, answer)


async def test_a_dangerous_area_leads_to_its_policy(hass: HomeAssistant, area_id: str) -> None:
    """Both are saved together."""
    entry = make_entry(hass)
    answer = {"hazard_level": "medium", "requires_ppe": False}
    result = await walk(hass, entry, "area", {"area_id": area_id}, answer)
    assert result["step_id"] == "policy_settings"
    assert result["description_placeholders"] == {"area": "Workshop"}
    await hass.config_entries.options.async_configure(result["flow_id"], ROLES)
    assert entry.options["zones"][area_id]["hazard_level"] == "medium"
    assert entry.options["policies"] == {area_id: POLICY}


async def test_a_medium_area_keeps_the_policy_it_has(hass: HomeAssistant, area_id: str) -> None:
    """It is not asked for again."""
    entry = make_entry(hass, policies={area_id: POLICY})
    answer = {"hazard_level": "medium", "requires_ppe": False}
    result = await walk(hass, entry, "area", {"area_id": area_id}, answer)
    assert result["data"]["policies"] == {area_id: POLICY}


async def test_raising_an_area_to_high_forces_its_policy(hass: HomeAssistant, area_id: str) -> None:
    """Two people and presence, and so a source of presence, whatever the policy said before."""
    entry = make_entry(hass, policies={area_id: POLICY | {"voice_may_confirm": True}})
    answer = {"hazard_level": "high", "requires_ppe": False}
    presence = {"persons": ["person.ada"]}
    result = await walk(hass, entry, "area", {"area_id": area_id}, answer, presence)
    assert result["data"]["policies"][area_id] == POLICY | {
        "requires_dual_confirm": True,
        "requires_presence": True,
        "requester_may_confirm": False,
    }
    assert result["data"]["presence"] == {area_id: {"persons": ["person.ada"], "occupancy": []}}


async def test_the_policy_of_a_high_area_shows_what_is_forced(
    hass: HomeAssistant, area_id: str
) -> None:
    """The switches are on and cannot be moved; those that mean nothing there are not shown."""
    entry = make_entry(hass, zones={area_id: {"hazard_level": "high"}})
    result = await walk(hass, entry, "policy", {"area_id": area_id})
    fields = {str(key): value for key, value in result["data_schema"].schema.items()}
    assert result["step_id"] == "policy_settings_high"
    assert fields["requires_dual_confirm"].config == {"read_only": True}
    assert fields["requires_presence"].config == {"read_only": True}
    assert shown(result)["requires_dual_confirm"] is True
    assert not {"requester_may_confirm", "voice_may_confirm"} & set(fields)


async def test_a_high_area_needs_two_people_whatever_is_sent(
    hass: HomeAssistant, area_id: str
) -> None:
    """A form that was tampered with changes nothing."""
    entry = make_entry(
        hass,
        zones={area_id: {"hazard_level": "high"}},
        presence={area_id: {"persons": ["person.ada"], "occupancy": []}},
    )
    answer = ROLES | {"requires_dual_confirm": False, "requires_presence": False}
    result = await walk(hass, entry, "policy", {"area_id": area_id}, answer)
    assert result["data"]["policies"][area_id]["requires_dual_confirm"] is True
    assert result["data"]["policies"][area_id]["requires_presence"] is True


async def test_a_policy_needs_a_role(hass: HomeAssistant, area_id: str) -> None:
    """With none nobody could approve; with one it is saved."""
    entry = make_entry(hass)
    result = await walk(hass, entry, "policy", {"area_id": area_id}, {"required_roles": []})
    assert result["errors"] == {"required_roles": "roles_required"}
    result = await hass.config_entries.options.async_configure(result["flow_id"], ROLES)
    assert result["data"]["policies"] == {area_id: POLICY}


async def test_a_policy_may_demand_states_of_entities(hass: HomeAssistant, area_id: str) -> None:
    """Each check has a name, by which a refusal calls it."""
    entry = make_entry(hass)
    check = {"name": " Fan ", "entity_id": "switch.fan", "state": " on "}
    answer = ROLES | {"checks": [check], "presence_ttl": 60.0}
    result = await walk(hass, entry, "policy", {"area_id": area_id}, answer)
    policy = result["data"]["policies"][area_id]
    assert policy["checks"] == {"Fan": {"entity_id": "switch.fan", "state": "on"}}
    assert policy["presence_ttl"] == 60


@pytest.mark.parametrize(
    ("checks", "error"),
    [
        ([{"name": " ", "entity_id": "switch.fan", "state": "on"}], "check_incomplete"),
        ([{"name": "Fan", "entity_id": "switch.fan", "state": " "}], "check_incomplete"),
        ([{"name": "Fan", "entity_id": "switch.fan", "state": "on"}] * 2, "check_twice"),
    ],
)
async def test_a_check_that_means_nothing_is_refused(
    hass: HomeAssistant, area_id: str, checks: list[dict[str, str]], error: str
) -> None:
    """The error is at the field, and what was typed stays."""
    entry = make_entry(hass)
    answer = ROLES | {"checks": checks}
    result = await walk(hass, entry, "policy", {"area_id": area_id}, answer)
    assert result["errors"] == {"checks": error}
    assert shown(result)["checks"] == checks


async def test_a_policy_is_shown_as_it_was_saved(hass: HomeAssistant, area_id: str) -> None:
    """Also its checks."""
    checks = {"Fan": {"entity_id": "switch.fan", "state": "on"}}
    entry = make_entry(hass, policies={area_id: POLICY | {"checks": checks}})
    result = await walk(hass, entry, "policy", {"area_id": area_id})
    assert shown(result)["required_roles"] == ["safety"]
    assert shown(result)["checks"] == [{"name": "Fan", "entity_id": "switch.fan", "state": "on"}]


async def test_a_policy_that_demands_presence_leads_to_its_sources(
    hass: HomeAssistant, area_id: str
) -> None:
    """A sensor alone names nobody; with a person both are saved."""
    entry = make_entry(hass)
    answer = ROLES | {"requires_presence": True}
    sensor = {"occupancy": ["binary_sensor.bench"]}
    result = await walk(hass, entry, "policy", {"area_id": area_id}, answer, sensor)
    assert result["step_id"] == "presence_settings"
    assert result["errors"] == {"base": "presence_source_required"}
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], sensor | {"persons": ["person.ada"]}
    )
    assert result["data"]["presence"] == {area_id: sensor | {"persons": ["person.ada"]}}
    assert result["data"]["policies"][area_id]["requires_presence"] is True


async def test_the_sources_of_presence_can_be_taken_away(hass: HomeAssistant, area_id: str) -> None:
    """Where no policy demands them."""
    entry = make_entry(hass, presence={area_id: {"persons": ["person.ada"], "occupancy": []}})
    answer: dict[str, Any] = {"persons": [], "occupancy": []}
    result = await walk(hass, entry, "presence", {"area_id": area_id}, answer)
    assert result["data"]["presence"] == {}


async def test_a_person_is_listed_with_roles(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """What was left empty is none."""
    entry = make_entry(hass)
    answers = ({"user_id": hass_admin_user.id}, {"roles": ["safety", "admin"]})
    result = await walk(hass, entry, "person", *answers)
    assert result["data"]["people"] == {
        hass_admin_user.id: {"roles": ["safety", "admin"], "email": None, "notify": []}
    }


async def test_a_person_needs_a_role_to_be_listed(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """And an e-mail address that is none is named as such."""
    entry = make_entry(hass)
    answers = ({"user_id": hass_admin_user.id}, {"roles": [], "email": "ada"})
    result = await walk(hass, entry, "person", *answers)
    assert result["errors"] == {"roles": "role_of_person_required", "email": "invalid_email"}
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], {"roles": ["admin"], "email": "ada@example.org"}
    )
    assert result["data"]["people"][hass_admin_user.id]["email"] == "ada@example.org"


async def test_an_address_of_another_person_is_not_taken(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """Two accounts of one person are not two people; one's own address stays one's own."""
    ada = {"roles": ["safety"], "email": "ada@example.org", "notify": []}
    entry = make_entry(hass, people={"another": ada})
    answers = ({"user_id": hass_admin_user.id}, {"roles": ["safety"], "email": "Ada@example.org"})
    result = await walk(hass, entry, "person", *answers)
    assert result["errors"] == {"email": "email_taken"}
    answers = ({"user_id": "another"}, {"roles": ["admin"], "email": "ada@example.org"})
    result = await walk(hass, entry, "person", *answers)
    assert result["data"]["people"]["another"] == ada | {"roles": ["admin"]}


async def test_users_of_the_system_cannot_be_listed(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """Only people are offered, and only those who may log in."""
    MockUser(name="Away", is_active=False).add_to_hass(hass)
    MockUser(name="System", system_generated=True).add_to_hass(hass)
    entry = make_entry(hass)
    result = await walk(hass, entry, "person")
    field = next(iter(result["data_schema"].schema.values()))
    assert [option["value"] for option in field.config["options"]] == [hass_admin_user.id]


async def test_a_person_who_is_gone_can_be_taken_off_the_list(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """Also when Home Assistant no longer has the user."""
    entry = make_entry(hass, people={"gone": {"roles": ["admin"], "email": None, "notify": []}})
    answers = ({"user_id": "gone"}, {"roles": ["admin"], "remove": True})
    result = await walk(hass, entry, "person", *answers)
    assert result["data"]["people"] == {}


async def test_a_person_chooses_how_important_a_notification_must_be(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """A warning, where nothing was chosen before."""
    entry, who = make_entry(hass), {"user_id": hass_admin_user.id}
    form = await walk(hass, entry, "person", who)
    (field,) = (key for key in form["data_schema"].schema if key == "least_severity")
    assert field.description == {"suggested_value": "warning"}
    result = await walk(hass, entry, "person", who, {"roles": ["admin"], "least_severity": "info"})
    assert result["data"]["people"][hass_admin_user.id]["least_severity"] == "info"


async def test_the_phones_of_a_person_are_offered(
    hass: HomeAssistant, hass_admin_user: MockUser
) -> None:
    """Only those that belong to this user, by the name of the action that reaches them."""
    await give_phone(hass, hass_admin_user.id, "Pixel")
    await give_phone(hass, "somebody else", "Galaxy")
    entry = make_entry(hass)
    result = await walk(hass, entry, "person", {"user_id": hass_admin_user.id})
    field = {str(key): value for key, value in result["data_schema"].schema.items()}["notify"]
    assert [option["value"] for option in field.config["options"]] == ["mobile_app_pixel"]
    answers = (
        {"user_id": hass_admin_user.id},
        {"roles": ["admin"], "notify": ["mobile_app_pixel"]},
    )
    result = await walk(hass, entry, "person", *answers)
    assert result["data"]["people"][hass_admin_user.id]["notify"] == ["mobile_app_pixel"]


ENERGY = {
    "price_entity": "sensor.price",
    "energy_price": 0.31,
    "cheap_hours": "22:00-06:00",
    "todo_entity": "todo.shopping",
}


async def test_what_power_costs_is_said_and_taken_back(hass: HomeAssistant) -> None:
    """And the rest of the options stays."""
    entry = make_entry(hass, zones={"x": {"hazard_level": "low"}})
    result = await walk(hass, entry, "energy", ENERGY)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {"zones": {"x": {"hazard_level": "low"}}} | ENERGY
    await walk(hass, entry, "energy", {"energy_price": 0.4})
    assert entry.options == {"zones": {"x": {"hazard_level": "low"}}, "energy_price": 0.4}


async def test_the_form_of_energy_shows_what_is_known(hass: HomeAssistant) -> None:
    """Before anything is filled in."""
    assert shown(await walk(hass, make_entry(hass, **ENERGY), "energy")) == ENERGY


@pytest.mark.parametrize("hours", ["at night", "22:00", "25:00-06:00", "22:00-22:00"])
async def test_hours_that_are_none_are_refused(hass: HomeAssistant, hours: str) -> None:
    """What was filled in stays, and mended it is taken."""
    result = await walk(hass, make_entry(hass), "energy", {"cheap_hours": hours})
    assert result["errors"] == {"cheap_hours": "invalid_hours"}
    assert shown(result)["cheap_hours"] == hours
    mended = {"cheap_hours": "22:00-06:00"}
    result = await hass.config_entries.options.async_configure(result["flow_id"], mended)
    assert result["data"] == mended


async def test_the_list_of_kitty_cannot_be_copied_onto_itself(
    hass: HomeAssistant, entity_registry: er.EntityRegistry
) -> None:
    """It would fill itself."""
    own = entity_registry.async_get_or_create("todo", DOMAIN, "shopping")
    with pytest.raises(InvalidData):
        await walk(hass, make_entry(hass), "energy", {"todo_entity": own.entity_id})
