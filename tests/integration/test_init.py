"""Setting an entry up, changing it, and letting it go."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.file import WriteError
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_fire_time_changed,
)

from custom_components.kitty import (
    UNREACHABLE_AFTER,
    async_remove_config_entry_device,
    incident_push,
    shopping,
)
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.issues import create_brain_unreachable

from .conftest import (
    DOOR,
    door_subentry,
    eventually,
    heard,
    kitty_entry,
    rules,
    set_up,
    until,
)
from .fake_brain import FakeBrain


async def test_an_entry_loads(kitty: MockConfigEntry) -> None:
    """With a brain that answers, the entry is loaded."""
    assert kitty.state is ConfigEntryState.LOADED


async def test_a_brain_that_is_down_is_tried_again(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """No brain at setup: Home Assistant tries later, and a person can see why."""
    await brain.stop()
    entry = await set_up(hass, kitty_entry(brain))
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "cannot_connect"
    assert (DOMAIN, f"brain_unreachable.{entry.entry_id}") in issue_registry.issues


async def test_a_wrong_token_asks_for_another(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """A refused token at setup starts the form for a new one."""
    brain.token = "another"
    entry = await set_up(hass, kitty_entry(brain))
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert next(entry.async_get_active_flows(hass, {"reauth"}))


@pytest.mark.parametrize(("schema", "issue"), [(0, "brain_too_old"), (99, "brain_too_new")])
async def test_a_version_that_does_not_fit_is_a_repair_issue(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    issue_registry: ir.IssueRegistry,
    schema: int,
    issue: str,
) -> None:
    """Which of the two must be updated is said; the brain answers, so nothing else is said of it."""
    brain.schema = brain.min_schema = schema
    entry = kitty_entry(brain)
    entry.add_to_hass(hass)
    create_brain_unreachable(hass, entry)
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert list(issue_registry.issues) == [(DOMAIN, f"{issue}.{entry.entry_id}")]


async def test_a_brain_that_was_updated_connects_by_itself(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """As the issue says: nobody has to reload anything."""
    brain.schema = 0
    entry = await set_up(hass, kitty_entry(brain))
    brain.schema = 1
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await eventually(lambda: entry.state is ConfigEntryState.LOADED)
    assert (DOMAIN, f"brain_too_old.{entry.entry_id}") not in issue_registry.issues


async def test_another_brain_at_the_address_is_refused(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """An entry belongs to one brain."""
    entry = kitty_entry(brain)
    brain.instance_id = "another"
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "wrong_brain"


async def test_a_disk_that_keeps_nothing_stops_the_setup(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """Without a ledger that is on disk there is no gate, so there is no KITTY."""
    with patch.object(Store, "_async_write_data", side_effect=WriteError("full")):
        entry = await set_up(hass, kitty_entry(brain))
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "ledger_unwritable"


async def test_unload_leaves_nothing_behind(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The socket is closed; a lingering task or timer would fail this test."""
    assert await hass.config_entries.async_unload(kitty.entry_id)
    await brain.until(lambda: not brain._sockets)
    assert kitty.state is ConfigEntryState.NOT_LOADED


async def test_an_unload_while_the_brain_is_away_leaves_nothing_behind(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An entry that waits to reconnect can be unloaded."""
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    assert await hass.config_entries.async_unload(kitty.entry_id)


async def test_an_unload_waits_for_what_is_being_done(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An order under way is finished and its outcome told before the entry goes."""
    kept, entered = asyncio.Event(), asyncio.Event()

    async def slow(_call: object) -> None:
        entered.set()
        await kept.wait()
        hass.states.async_set("lock.workshop", "locked", force_update=True)

    hass.services.async_register("lock", "lock", slow)
    answer = brain.question("ha.execute", brain.grant(device_id=DOOR, intent="lock"))
    await entered.wait()
    unloading = hass.async_create_task(hass.config_entries.async_unload(kitty.entry_id))
    kept.set()
    assert (await answer)["data"]["status"] == "acked"
    assert await unloading


async def test_an_unload_waits_for_what_begins_while_it_waits(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A second order that comes while the first is being finished is finished, too."""
    kept, entered = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]
    numbers = iter(range(2))
    running = kitty.runtime_data.executor._running
    left: list[list[str]] = []

    async def slow(_call: object) -> None:
        number = next(numbers)
        entered[number].set()
        await kept[number].wait()
        if number == 0:
            raise ServiceValidationError("No")
        hass.states.async_set("lock.workshop", "locked", force_update=True)

    async def unload(_entry: object, _platforms: object) -> bool:
        left.append(list(running))
        return True

    hass.services.async_register("lock", "lock", slow)
    answers = [brain.question("ha.execute", brain.grant(device_id=DOOR, intent="lock"))]
    await entered[0].wait()
    with patch.object(hass.config_entries, "async_unload_platforms", unload):
        unloading = hass.async_create_task(hass.config_entries.async_unload(kitty.entry_id))
        answers.append(brain.question("ha.execute", brain.grant(device_id=DOOR, intent="lock")))
        await entered[1].wait()
        kept[0].set()
        await eventually(lambda: len(running) == 1)
        kept[1].set()
        statuses = [(await answer)["data"]["status"] for answer in answers]
        assert await unloading
    assert (statuses, left) == (["failed", "acked"], [[]])


async def test_an_unload_waits_for_what_begins_while_entities_go(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain is heard until the last moment, so what it orders until then is carried out."""
    kept, entered = asyncio.Event(), asyncio.Event()
    answers: list[Coroutine[Any, Any, Any]] = []

    async def slow(_call: object) -> None:
        entered.set()
        await kept.wait()
        hass.states.async_set("lock.workshop", "locked", force_update=True)

    async def unload(_entry: object, _platforms: object) -> bool:
        answers.append(brain.question("ha.execute", brain.grant(device_id=DOOR, intent="lock")))
        await entered.wait()
        hass.loop.call_soon(kept.set)
        return True

    hass.services.async_register("lock", "lock", slow)
    with patch.object(hass.config_entries, "async_unload_platforms", unload):
        assert await hass.config_entries.async_unload(kitty.entry_id)
    assert (await answers[0])["data"]["status"] == "acked"


async def test_a_change_of_rules_is_sent_without_a_reload(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Another hazard level reaches the brain over the same socket."""
    hass.config_entries.async_update_entry(kitty, options=rules("high"))
    sync = await brain.received_command("safety.sync", 2)
    assert sync["zones"][0]["hazard_level"] == "high"
    assert brain.connections == 1


async def test_another_address_needs_a_reload(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A change of data opens a new socket."""
    hass.config_entries.async_update_entry(kitty, data={**kitty.data, "slug": "x"})
    await hass.async_block_till_done()
    assert brain.connections == 2
    await brain.received_command("devices.observe", 2)


async def test_a_new_device_reaches_the_brain(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A device that a person added is known to the brain after the reload."""
    item = ConfigSubentry(
        data=MappingProxyType(
            {
                "device_id": "a1" * 16,
                "driver": "demo",
                "zone_id": "workshop",
                "options": {},
                "info": {"external_id": "x", "kind": "printer", "capabilities": []},
            }
        ),
        subentry_type="device",
        title="Printer",
        unique_id="demo:x",
    )
    hass.config_entries.async_add_subentry(kitty, item)
    await hass.async_block_till_done()
    await brain.until(lambda: any(put["name"] == "Printer" for put in brain.sent("devices.put")))
    await heard(kitty)


async def test_rules_that_change_while_the_entry_is_set_up_reach_the_brain(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """The rules of before were sent already; a person who lost a role has lost it."""
    entry = kitty_entry(brain)

    async def forward(_entry: object, _platforms: object) -> None:
        await brain.received_command("devices.observe")
        hass.config_entries.async_update_entry(entry, options=rules("high"))

    with patch.object(hass.config_entries, "async_forward_entry_setups", forward):
        await set_up(hass, entry)
    sync = await brain.received_command("safety.sync", 2)
    assert sync["zones"][0]["hazard_level"] == "high"
    assert brain.connections == 1


async def test_a_device_that_is_added_while_the_entry_is_set_up_reaches_the_brain(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> None:
    """The devices of before were sent already, so the entry is loaded once more."""
    entry = kitty_entry(brain, subentries=())
    door = ConfigSubentry(**door_subentry() | {"data": MappingProxyType(door_subentry()["data"])})

    async def forward(_entry: object, _platforms: object) -> None:
        await brain.received_command("safety.sync")
        await entry.runtime_data.client.command("devices.list")
        if not entry.subentries:
            hass.config_entries.async_add_subentry(entry, door)

    with patch.object(hass.config_entries, "async_forward_entry_setups", forward):
        await set_up(hass, entry)
    assert (await brain.received_command("devices.put"))["device_id"] == DOOR
    assert entry.state is ConfigEntryState.LOADED


async def test_a_brain_that_goes_away_while_the_entry_is_set_up_is_told_of(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    issue_registry: ir.IssueRegistry,
) -> None:
    """After a minute, as of one that goes away later."""
    entry = kitty_entry(brain)
    start = incident_push.IncidentPush.start

    async def leave(push: incident_push.IncidentPush) -> None:
        await brain.stop()
        await until(entry, lambda data: not data.connected)
        await start(push)

    with patch.object(incident_push.IncidentPush, "start", leave):
        await set_up(hass, entry)
    issue = (DOMAIN, f"brain_unreachable.{entry.entry_id}")
    assert issue not in issue_registry.issues
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=UNREACHABLE_AFTER + 1))
    assert issue in issue_registry.issues


async def test_an_unknown_outcome_is_a_repair_issue_until_it_is_settled(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """What nobody knows is put before a person."""
    command = brain.command(DOOR, "unlock", status="unknown")
    issue = (DOMAIN, f"unknown_outcome.{kitty.entry_id}.{command['id']}")
    await brain.push("command.updated", command)
    await heard(kitty)
    assert issue in issue_registry.issues
    await brain.push("command.updated", command | {"status": "acked"})
    await heard(kitty)
    assert issue not in issue_registry.issues


async def test_only_a_device_that_is_gone_may_be_deleted(
    hass: HomeAssistant,
    kitty: MockConfigEntry,
    people: dict[str, MockUser],
    device_registry: dr.DeviceRegistry,
) -> None:
    """A device that the brain still has would only come back."""
    there = device_registry.async_get_or_create(
        config_entry_id=kitty.entry_id, identifiers={(DOMAIN, DOOR)}
    )
    gone = device_registry.async_get_or_create(
        config_entry_id=kitty.entry_id, identifiers={(DOMAIN, "gone")}
    )
    assert not await async_remove_config_entry_device(hass, kitty, there)
    assert await async_remove_config_entry_device(hass, kitty, gone)


async def test_what_was_pushed_and_written_is_forgotten_with_the_entry(
    hass: HomeAssistant, kitty: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """The ledger stays: it belongs to the brain."""
    stores = [incident_push.store_of(hass, kitty), shopping.store_of(hass, kitty)]
    for store in stores:
        await store.async_save({})
    await hass.config_entries.async_remove(kitty.entry_id)
    assert not {store.key for store in stores} & hass_storage.keys()
