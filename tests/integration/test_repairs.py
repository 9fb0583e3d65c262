"""Repair issues: there while something is wrong, gone when it is mended, by one tap where one can."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from aiohasupervisor import SupervisorError
from aiohttp.test_utils import TestClient
from homeassistant.components.homeassistant.exposed_entities import (
    async_expose_entity,
    async_get_assistant_settings,
    async_should_expose,
)
from homeassistant.config_entries import ConfigSubentryData
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import (
    area_registry as ar,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty import issues
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.protocol import Json

from .conftest import DOOR
from .fake_brain import FakeBrain, FakeError
from .flows import flows_are_translated, house  # noqa: F401 - fixtures are asked for by name

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated", "no_platforms")

RAW = "lock.front_door"
# A policy that needs nobody.
VOICE: Json = {"voice_may_confirm": True}


def device(capabilities: list[str], **options: Any) -> ConfigSubentryData:
    """Return a device that was added with these options."""
    return ConfigSubentryData(
        subentry_type="device",
        title="Front door",
        unique_id="home_assistant:door-1",
        data={
            "device_id": "d0",
            "driver": "home_assistant",
            "zone_id": "hall",
            "options": options,
            "info": {"kind": "door", "capabilities": capabilities},
        },
    )


@pytest.fixture
def make_entry(hass: HomeAssistant) -> Callable[..., MockConfigEntry]:
    """Return a maker of config entries."""

    def make(*devices: ConfigSubentryData, **options: Any) -> MockConfigEntry:
        entry = MockConfigEntry(
            domain=DOMAIN,
            title="KITTY",
            entry_id="kitty1",
            data={"url": "http://brain.invalid:8100"},
            options=options,
            subentries_data=list(devices),
        )
        entry.add_to_hass(hass)
        return entry

    return make


@pytest.fixture
def entry(make_entry: Callable[..., MockConfigEntry]) -> MockConfigEntry:
    """Return a config entry without devices."""
    return make_entry()


@pytest.fixture
def guarded(make_entry: Callable[..., MockConfigEntry]) -> MockConfigEntry:
    """Return a config entry with a guarded lock of Home Assistant."""
    return make_entry(device(["lock", "unlock"], entity_id=RAW, state_entity="binary_sensor.door"))


def open_issues(hass: HomeAssistant) -> dict[str, str | None]:
    """Return the translation key of each issue of the integration."""
    return {
        issue_id: issue.translation_key
        for (domain, issue_id), issue in ir.async_get(hass).issues.items()
        if domain == DOMAIN
    }


def raw_lock(entity_registry: er.EntityRegistry) -> str:
    """Register the lock of another integration and return its id."""
    return entity_registry.async_get_or_create(
        "lock", "other", "door-1", suggested_object_id="front_door"
    ).entity_id


async def start_fix(hass: HomeAssistant, issue_id: str) -> Any:
    """Open the fix flow of an issue."""
    # The platform of an integration is looked up only once the integration is set up.
    hass.config.components.add(DOMAIN)
    assert await async_setup_component(hass, "repairs", {})
    manager = hass.data["repairs"]["flow_manager"]
    return await manager.async_init(DOMAIN, context={"issue_id": issue_id})


async def go_on(hass: HomeAssistant, result: Any, answer: dict[str, Any]) -> Any:
    """Answer a step of a fix flow."""
    manager = hass.data["repairs"]["flow_manager"]
    return await manager.async_configure(result["flow_id"], answer)


@pytest.mark.parametrize(
    ("create", "delete", "about"),
    [
        (issues.create_brain_unreachable, issues.delete_brain_unreachable, {}),
        (issues.create_audit_rollback, issues.delete_audit_rollback, {"seq": 7}),
    ],
)
async def test_an_issue_is_there_until_it_is_deleted(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    create: Callable[..., None],
    delete: Callable[..., None],
    about: dict[str, Any],
) -> None:
    """Raised once however often it is created, and gone at once."""
    create(hass, entry, **about)
    create(hass, entry, **about)
    assert len(open_issues(hass)) == 1
    delete(hass, entry)
    assert open_issues(hass) == {}


async def test_issues_about_different_things_stand_side_by_side(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Deleting one leaves the other."""
    about = {"device_name": "Door", "intent": "power_on"}
    issues.create_unknown_outcome(hass, entry, command_id="one", **about)
    issues.create_unknown_outcome(hass, entry, command_id="two", **about)
    issues.delete_unknown_outcome(hass, entry, command_id="one")
    assert [issue_id.rpartition(".")[2] for issue_id in open_issues(hass)] == ["two"]


async def test_the_issues_of_an_entry_go_with_it(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Those of another entry stay."""
    other = MockConfigEntry(domain=DOMAIN, entry_id="kitty2", data={"url": "http://b.invalid"})
    for one in (entry, other):
        issues.create_brain_unreachable(hass, one)
    issues.create_rogue_discovery(hass, entry, app="Evil", slug="evil_app")
    issues.delete_all(hass, entry)
    assert list(open_issues(hass)) == ["brain_unreachable.kitty2"]


async def test_a_version_skew_names_the_side_to_update(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The brain or the integration, and never both."""
    issues.create_version_skew(hass, entry, brain_is_older=True)
    assert list(open_issues(hass).values()) == ["brain_too_old"]
    issues.create_version_skew(hass, entry, brain_is_older=False)
    assert list(open_issues(hass).values()) == ["brain_too_new"]
    issues.delete_version_skew(hass, entry)
    assert open_issues(hass) == {}


async def test_an_unreachable_brain_leads_to_its_address(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The form opens, and the issue stays until the brain answers."""
    issues.create_brain_unreachable(hass, entry)
    result = await start_fix(hass, "brain_unreachable.kitty1")
    assert result["step_id"] == "confirm"
    result = await go_on(hass, result, {})
    assert result["type"] is FlowResultType.ABORT
    kind, flow_id = result["next_flow"]
    assert kind == "config_flow"
    assert hass.config_entries.flow.async_get(flow_id)["step_id"] == "reconfigure"
    assert open_issues(hass) == {"brain_unreachable.kitty1": "brain_unreachable"}


class Supervisor:
    """The Supervisor, as far as it starts apps; it may refuse."""

    def __init__(self) -> None:
        """Start without orders."""
        self.started: list[str] = []
        self.refuses: SupervisorError | None = None
        self.addons = self

    async def start_addon(self, slug: str) -> None:
        """Start an app."""
        if self.refuses is not None:
            raise self.refuses
        self.started.append(slug)


@pytest.fixture(name="supervisor")
def supervisor_fixture(hass: HomeAssistant, entry: MockConfigEntry) -> Iterator[Supervisor]:
    """Return the Supervisor of a house whose brain came with an app."""
    supervisor = Supervisor()
    hass.config_entries.async_update_entry(entry, data={**entry.data, "slug": "abc_kitty"})
    hassio = "homeassistant.components.hassio.addon_manager.get_supervisor_client"
    with (
        patch(hassio, return_value=supervisor),
        patch("custom_components.kitty.repairs.is_hassio", return_value=True),
    ):
        yield supervisor


async def test_an_app_that_does_not_run_is_started(
    hass: HomeAssistant, entry: MockConfigEntry, supervisor: Supervisor
) -> None:
    """One choice; the issue stays until the brain answers."""
    issues.create_brain_unreachable(hass, entry)
    menu = await start_fix(hass, "brain_unreachable.kitty1")
    assert menu["menu_options"] == ["start_app", "confirm"]
    result = await go_on(hass, menu, {"next_step_id": "start_app"})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "app_started")
    assert supervisor.started == ["abc_kitty"]
    assert open_issues(hass) == {"brain_unreachable.kitty1": "brain_unreachable"}


async def test_an_app_that_cannot_be_started_says_why(
    hass: HomeAssistant, entry: MockConfigEntry, supervisor: Supervisor
) -> None:
    supervisor.refuses = SupervisorError("out of memory")
    issues.create_brain_unreachable(hass, entry)
    menu = await start_fix(hass, "brain_unreachable.kitty1")
    result = await go_on(hass, menu, {"next_step_id": "start_app"})
    assert result["reason"] == "app_not_started"
    assert "out of memory" in result["description_placeholders"]["error"]


async def test_a_brain_of_an_app_may_have_another_address_all_the_same(
    hass: HomeAssistant, entry: MockConfigEntry, supervisor: Supervisor
) -> None:
    issues.create_brain_unreachable(hass, entry)
    menu = await start_fix(hass, "brain_unreachable.kitty1")
    result = await go_on(hass, menu, {"next_step_id": "confirm"})
    assert result["step_id"] == "confirm"
    assert (await go_on(hass, result, {}))["next_flow"][0] == "config_flow"


async def test_an_issue_of_an_entry_that_is_gone_is_closed(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """There is no address to enter any more."""
    issues.create_brain_unreachable(hass, entry)
    result = await start_fix(hass, "brain_unreachable.kitty1")
    await hass.config_entries.async_remove("kitty1")
    result = await go_on(hass, result, {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert open_issues(hass) == {}


async def test_an_impostor_is_confirmed_away(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The person has read what to do."""
    issues.create_rogue_discovery(hass, entry, app="Evil", slug="evil_app")
    result = await start_fix(hass, "rogue_discovery.kitty1.evil_app")
    assert result["description_placeholders"]["app"] == "Evil"
    await go_on(hass, result, {})
    assert open_issues(hass) == {}


async def test_a_dangerous_area_without_two_approvers_is_an_issue(
    hass: HomeAssistant,
    make_entry: Callable[..., MockConfigEntry],
    area_registry: ar.AreaRegistry,
    hass_admin_user: MockUser,
) -> None:
    """One person with the role, one who may no longer log in, and one with another role are one."""
    away = MockUser(name="Away", is_active=False).add_to_hass(hass)
    other = MockUser(name="Other").add_to_hass(hass)
    area = area_registry.async_create("Laser room")
    entry = make_entry(
        zones={area.id: {"hazard_level": "high"}, "low": {"hazard_level": "low"}},
        policies={area.id: {"required_roles": ["safety"]}},
        people={
            hass_admin_user.id: {"roles": ["safety"]},
            away.id: {"roles": ["safety"]},
            other.id: {"roles": ["operator"]},
        },
    )
    await issues.async_check_rules(hass, entry)
    assert open_issues(hass) == {f"no_approver.kitty1.{area.id}": "no_approver"}
    result = await start_fix(hass, f"no_approver.kitty1.{area.id}")
    assert result["description_placeholders"]["area"] == "Laser room"
    result = await go_on(hass, result, {})
    assert result["next_flow"][0] == "options_flow"


async def test_a_second_approver_clears_the_issue(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry], hass_admin_user: MockUser
) -> None:
    """Without a policy of its own an area takes every role."""
    second = MockUser(name="Second").add_to_hass(hass)
    people = {hass_admin_user.id: {"roles": ["operator"]}}
    entry = make_entry(zones={"lab": {"hazard_level": "high"}}, people=people)
    await issues.async_check_rules(hass, entry)
    assert open_issues(hass) == {"no_approver.kitty1.lab": "no_approver"}
    hass.config_entries.async_update_entry(
        entry, options=entry.options | {"people": people | {second.id: {"roles": ["admin"]}}}
    )
    await issues.async_check_rules(hass, entry)
    assert open_issues(hass) == {}


@pytest.mark.parametrize(
    ("policy", "short"),
    [
        ({}, True),
        ({"voice_may_confirm": True}, False),
        ({"voice_may_confirm": True, "requires_dual_confirm": True}, True),
    ],
)
async def test_an_area_without_anybody_who_could_approve_is_an_issue(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry], policy: Json, short: bool
) -> None:
    """Unless a voice may do it, whose nobody asks."""
    entry = make_entry(zones={"lab": {"hazard_level": "medium"}}, policies={"lab": policy})
    await issues.async_check_rules(hass, entry)
    assert ("no_approver.kitty1.lab" in open_issues(hass)) is short


async def test_an_area_that_wants_two_people_of_whom_there_is_one_is_an_issue(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry], hass_admin_user: MockUser
) -> None:
    """Also where its hazard is not high."""
    entry = make_entry(
        zones={"lab": {"hazard_level": "medium"}, "hall": {"hazard_level": "medium"}},
        policies={"lab": {"requires_dual_confirm": True}},
        people={hass_admin_user.id: {"roles": ["operator"]}},
    )
    await issues.async_check_rules(hass, entry)
    assert open_issues(hass) == {"no_approver.kitty1.lab": "no_approver"}


async def test_an_area_whose_danger_nobody_told_is_an_issue_that_leads_to_the_options(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry], area_registry: ar.AreaRegistry
) -> None:
    """Everything dangerous is refused there; the issue goes when somebody has told it."""
    hall = area_registry.async_create("Hall")
    entry = make_entry(device(["lock", "unlock"]))
    await issues.async_check_rules(hass, entry)
    issue_id = f"area_unset.kitty1.{hall.id}"
    assert open_issues(hass) == {issue_id: "area_unset"}
    result = await start_fix(hass, issue_id)
    assert result["description_placeholders"]["devices"] == "Front door"
    result = await go_on(hass, result, {})
    assert (result["reason"], result["next_flow"][0]) == ("form_opened", "options_flow")
    told = {"zones": {hall.id: {"hazard_level": "low"}}, "policies": {hall.id: VOICE}}
    hass.config_entries.async_update_entry(entry, options=told)
    await issues.async_check_rules(hass, entry)
    assert open_issues(hass) == {}


@pytest.mark.parametrize("capabilities", [["lock"], []])
async def test_an_area_with_nothing_dangerous_is_no_issue(
    hass: HomeAssistant,
    make_entry: Callable[..., MockConfigEntry],
    area_registry: ar.AreaRegistry,
    capabilities: list[str],
) -> None:
    """A camera needs no rules."""
    area_registry.async_create("Hall")
    await issues.async_check_rules(hass, make_entry(device(capabilities)))
    assert open_issues(hass) == {}


async def test_an_area_that_is_gone_is_no_issue(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry]
) -> None:
    """No form could be opened for it."""
    await issues.async_check_rules(hass, make_entry(device(["unlock"])))
    assert open_issues(hass) == {}


async def test_a_raw_entity_that_is_exposed_is_an_issue_at_start(
    hass: HomeAssistant, guarded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """Whoever can talk to Assist could open the door without approval."""
    async_expose_entity(hass, "conversation", raw_lock(entity_registry), should_expose=True)
    issues.async_watch_exposed(hass, guarded)
    assert open_issues(hass) == {f"exposed_raw_entity.kitty1.{RAW}": "exposed_raw_entity"}


async def test_a_raw_entity_that_is_exposed_later_is_an_issue_at_once(
    hass: HomeAssistant, guarded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """And no longer one when it is taken back."""
    raw_lock(entity_registry)
    issues.async_watch_exposed(hass, guarded)
    assert open_issues(hass) == {}
    async_expose_entity(hass, "conversation", RAW, should_expose=True)
    assert list(open_issues(hass).values()) == ["exposed_raw_entity"]
    async_expose_entity(hass, "conversation", RAW, should_expose=False)
    assert open_issues(hass) == {}


@pytest.mark.parametrize("assistant", ["cloud.alexa", "cloud.google_assistant"])
async def test_an_assistant_of_the_cloud_counts_too(
    hass: HomeAssistant,
    guarded: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    assistant: str,
) -> None:
    """A voice is a voice."""
    async_expose_entity(hass, assistant, raw_lock(entity_registry), should_expose=True)
    issues.async_scan_exposed(hass, guarded)
    assert list(open_issues(hass).values()) == ["exposed_raw_entity"]


async def test_a_raw_entity_that_appears_exposed_is_an_issue(
    hass: HomeAssistant,
    make_entry: Callable[..., MockConfigEntry],
    entity_registry: er.EntityRegistry,
) -> None:
    """A switch is exposed by default as soon as it is registered."""
    entry = make_entry(device(["power_on"], entity_id="switch.saw"))
    issues.async_watch_exposed(hass, entry)
    assert open_issues(hass) == {}
    entity_registry.async_get_or_create("switch", "other", "saw", suggested_object_id="saw")
    await hass.async_block_till_done()
    assert list(open_issues(hass).values()) == ["exposed_raw_entity"]


async def test_a_raw_entity_without_registration_counts_too(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry]
) -> None:
    """Entities of YAML have a state only."""
    hass.states.async_set("switch.saw", "off")
    issues.async_scan_exposed(hass, make_entry(device(["power_on"], entity_id="switch.saw")))
    assert list(open_issues(hass).values()) == ["exposed_raw_entity"]


async def test_the_issue_goes_with_the_device(
    hass: HomeAssistant, guarded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """An entity that guards nothing any more may be exposed."""
    async_expose_entity(hass, "conversation", raw_lock(entity_registry), should_expose=True)
    issues.async_scan_exposed(hass, guarded)
    assert list(open_issues(hass).values()) == ["exposed_raw_entity"]
    hass.config_entries.async_remove_subentry(guarded, next(iter(guarded.subentries)))
    issues.async_scan_exposed(hass, guarded)
    assert open_issues(hass) == {}


@pytest.mark.parametrize(
    ("capabilities", "options"),
    [
        (["light_on", "light_off"], {"entity_id": "switch.saw"}),
        (["power_on"], {"state_entity": "sensor.saw", "name": "Saw", "limit": 3}),
    ],
)
async def test_what_bypasses_nothing_is_no_issue(
    hass: HomeAssistant,
    make_entry: Callable[..., MockConfigEntry],
    capabilities: list[str],
    options: dict[str, Any],
) -> None:
    """A harmless device, or an entity that only shows something."""
    for entity_id in ("switch.saw", "sensor.saw"):
        hass.states.async_set(entity_id, "off")
        async_expose_entity(hass, "conversation", entity_id, should_expose=True)
    issues.async_scan_exposed(hass, make_entry(device(capabilities, **options)))
    assert open_issues(hass) == {}


async def test_one_tap_takes_a_raw_entity_away_from_every_assistant(
    hass: HomeAssistant, guarded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """The issue is gone and so is the exposure."""
    for assistant in ("conversation", "cloud.alexa"):
        async_expose_entity(hass, assistant, raw_lock(entity_registry), should_expose=True)
    issues.async_watch_exposed(hass, guarded)
    result = await start_fix(hass, f"exposed_raw_entity.kitty1.{RAW}")
    assert result["description_placeholders"]["device"] == "Front door"
    await go_on(hass, result, {})
    assert open_issues(hass) == {}
    assert not async_should_expose(hass, "conversation", RAW)
    assert not async_get_assistant_settings(hass, "cloud.alexa")[RAW]["should_expose"]


async def test_an_exposed_approve_button_is_an_issue(
    hass: HomeAssistant, entry: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """A voice must not decide; the lock of KITTY may be exposed."""
    for domain, key in (("button", "approve"), ("lock", "door")):
        item = entity_registry.async_get_or_create(
            domain, DOMAIN, key, config_entry=entry, translation_key=key, suggested_object_id=key
        )
        async_expose_entity(hass, "conversation", item.entity_id, should_expose=True)
    issues.async_watch_exposed(hass, entry)
    assert open_issues(hass) == {"exposed_approval.kitty1.button.approve": "exposed_approval"}
    result = await start_fix(hass, "exposed_approval.kitty1.button.approve")
    await go_on(hass, result, {})
    assert open_issues(hass) == {}


async def test_an_entity_of_somebody_else_does_not_matter(
    hass: HomeAssistant, guarded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """Only ours and the raw ones are looked at."""
    issues.async_watch_exposed(hass, guarded)
    entity_registry.async_get_or_create("switch", "other", "tv")
    await hass.async_block_till_done()
    assert open_issues(hass) == {}


async def test_watching_ends_when_it_is_told_to(
    hass: HomeAssistant, guarded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """Unloading leaves no listener behind."""
    stop = issues.async_watch_exposed(hass, guarded)
    raw_lock(entity_registry)
    stop()
    async_expose_entity(hass, "conversation", RAW, should_expose=True)
    await hass.async_block_till_done()
    assert open_issues(hass) == {}


@pytest.fixture
async def unknown(hass: HomeAssistant, brain: FakeBrain, kitty: MockConfigEntry) -> str:
    """Return the issue about a command of which nobody knows how it ended."""
    heard = asyncio.Event()
    kitty.runtime_data.coordinator.async_listen("command.updated", lambda _: heard.set())
    command = brain.command(DOOR, "unlock", status="unknown")
    await brain.push("command.updated", command)
    await heard.wait()
    return f"unknown_outcome.{kitty.entry_id}.{command['id']}"


@pytest.fixture
async def browser(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> TestClient[Any, Any]:
    """Return the browser of the administrator."""
    assert await async_setup_component(hass, "repairs", {})
    client: TestClient[Any, Any] = await hass_client()
    return client


@pytest.mark.parametrize("answer", [("happened", "acked"), ("did_not_happen", "failed")])
async def test_a_person_says_what_happened(
    hass: HomeAssistant,
    brain: FakeBrain,
    unknown: str,
    browser: TestClient[Any, Any],
    hass_admin_user: MockUser,
    answer: tuple[str, str],
) -> None:
    """The brain hears it from that person, and the issue is closed."""
    page = "/api/repairs/issues/fix"
    flow = await (await browser.post(page, json={"handler": DOMAIN, "issue_id": unknown})).json()
    assert flow["menu_options"] == ["happened", "did_not_happen"]
    assert flow["description_placeholders"] == {"device": "Workshop door", "intent": "Unlock"}
    await browser.post(f"{page}/{flow['flow_id']}", json={"next_step_id": answer[0]})
    assert brain.sent("commands.settle") == [
        {"command_id": unknown.rpartition(".")[2], "outcome": answer[1]}
    ]
    [caller] = brain.callers("commands.settle")
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (hass_admin_user.id, "dashboard")
    assert unknown not in open_issues(hass)


async def test_an_answer_that_comes_from_nobody_names_nobody(
    hass: HomeAssistant, brain: FakeBrain, unknown: str
) -> None:
    """What runs a flow without a person does not become one."""
    flow = await start_fix(hass, unknown)
    await go_on(hass, flow, {"next_step_id": "happened"})
    [caller] = brain.callers("commands.settle")
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (None, "system")


async def test_an_answer_that_the_brain_does_not_take_leaves_the_issue(
    hass: HomeAssistant, brain: FakeBrain, unknown: str
) -> None:
    """It can be given again."""

    def refuse(_params: Any, _caller: Any) -> None:
        raise FakeError("person_required")

    brain.answers["commands.settle"] = refuse
    flow = await start_fix(hass, unknown)
    result = await go_on(hass, flow, {"next_step_id": "happened"})
    assert result["reason"] == "not_settled"
    assert unknown in open_issues(hass)


async def test_an_answer_needs_the_brain(
    hass: HomeAssistant, kitty: MockConfigEntry, unknown: str
) -> None:
    """While it is not connected the issue stays."""
    flow = await start_fix(hass, unknown)
    await hass.config_entries.async_unload(kitty.entry_id)
    result = await go_on(hass, flow, {"next_step_id": "happened"})
    assert result["reason"] == "entry_not_loaded"


async def test_a_record_that_a_person_accepts_is_the_one_that_counts_from_now_on(
    hass: HomeAssistant, brain: FakeBrain, kitty: MockConfigEntry
) -> None:
    """A restored backup is no tampering; the next connection is compared with it."""
    issues.create_audit_rollback(hass, kitty, seq=7)
    flow = await start_fix(hass, f"audit_rollback.{kitty.entry_id}")
    assert flow["description_placeholders"]["seq"] == "7"
    await go_on(hass, flow, {})
    await hass.async_block_till_done()
    kept = kitty.runtime_data.ledger.audit_head
    assert (kept["seq"], kept["hash"]) == (brain.audit["seq"], brain.audit["hash"])
    assert brain.connections == 2
    assert open_issues(hass) == {}


async def test_a_record_that_is_empty_is_accepted_as_such(
    hass: HomeAssistant, brain: FakeBrain, kitty: MockConfigEntry
) -> None:
    """There is no head to remember; what was remembered stays."""
    before = kitty.runtime_data.ledger.audit_head
    heard = asyncio.Event()
    kitty.runtime_data.coordinator.async_listen("audit.head", lambda _: heard.set())
    await brain.push("audit.head", {})
    await heard.wait()
    issues.create_audit_rollback(hass, kitty, seq=7)
    await go_on(hass, await start_fix(hass, f"audit_rollback.{kitty.entry_id}"), {})
    await hass.async_block_till_done()
    assert kitty.runtime_data.ledger.audit_head == before
    assert open_issues(hass) == {}


async def test_a_record_cannot_be_accepted_unseen(
    hass: HomeAssistant, kitty: MockConfigEntry
) -> None:
    """While the brain is not connected nobody knows what it holds."""
    issues.create_audit_rollback(hass, kitty, seq=7)
    await hass.config_entries.async_unload(kitty.entry_id)
    flow = await start_fix(hass, f"audit_rollback.{kitty.entry_id}")
    assert (await go_on(hass, flow, {}))["reason"] == "entry_not_loaded"
    assert list(open_issues(hass).values()) == ["audit_rollback"]


async def test_a_record_of_an_entry_that_is_gone_needs_no_acceptance(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The issue outlives restarts, and so perhaps the entry."""
    issues.create_audit_rollback(hass, entry, seq=7)
    flow = await start_fix(hass, "audit_rollback.kitty1")
    await hass.config_entries.async_remove("kitty1")
    await go_on(hass, flow, {})
    assert open_issues(hass) == {}


async def test_a_subentry_that_is_no_device_guards_nothing(
    hass: HomeAssistant, make_entry: Callable[..., MockConfigEntry]
) -> None:
    """Other kinds of subentries may come."""
    other = device(["unlock"], entity_id="switch.saw") | {"subentry_type": "other"}
    hass.states.async_set("switch.saw", "off")
    issues.async_scan_exposed(hass, make_entry(other))
    assert open_issues(hass) == {}


async def test_an_issue_without_data_is_confirmed_away(hass: HomeAssistant) -> None:
    """As an older version may have left one."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        "rogue_discovery.old",
        is_fixable=True,
        severity=ir.IssueSeverity.ERROR,
        translation_key="rogue_discovery",
        translation_placeholders={"name": "KITTY", "app": "Old", "slug": "old"},
    )
    flow = await start_fix(hass, "rogue_discovery.old")
    await go_on(hass, flow, {})
    assert open_issues(hass) == {}
