"""tmp"""
from typing import Any
import json
import pathlib
from homeassistant.core import HomeAssistant
from homeassistant.config_entries import SOURCE_USER
from custom_components.kitty.const import DOMAIN
from .flows import house, flows_are_translated
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from homeassistant.setup import async_setup_component
from homeassistant.helpers import issue_registry as ir

async def test_real(hass, house, flows_are_translated, socket_enabled, area_registry, hass_client, hass_admin_user):
    area = area_registry.async_create("Workshop").id
    token = pathlib.Path("/tmp/x/token").read_text().strip()
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": "user"})
    r = await hass.config_entries.flow.async_configure(flow["flow_id"], {"url": "http://127.0.0.1:8199", "token": token})
    print(r["type"], r.get("errors"), r.get("description_placeholders"))
    await hass.async_block_till_done()
    entry = r["result"]
    print(entry.state, entry.reason)
    r = await hass.config_entries.subentries.async_init((entry.entry_id, "device"), context={"source": "user"})
    print(next(iter(r["data_schema"].schema.values())).config)
    for d in [o["value"] for o in next(iter(r["data_schema"].schema.values())).config["options"]]:
        f = await hass.config_entries.subentries.async_init((entry.entry_id, "device"), context={"source": "user"})
        f = await hass.config_entries.subentries.async_configure(f["flow_id"], {"driver": d})
        print(d, {str(k): type(v).__name__ for k, v in f["data_schema"].schema.items()}, f["description_placeholders"])
    for d, data in (("octoprint", {"option_1": "http://127.0.0.1:9", "option_2": "k"}), ("demo", {}), ("demo", {}), ("home_assistant", {"option_1": "lock.none"}), ("home_assistant", {"option_1": "lock.raw"})):
        hass.states.async_set("lock.raw", "locked", {"friendly_name": "Raw"})
        f = await hass.config_entries.subentries.async_init((entry.entry_id, "device"), context={"source": "user"})
        f = await hass.config_entries.subentries.async_configure(f["flow_id"], {"driver": d})
        if d == "demo":
            for k, v in f["data_schema"].schema.items():
                if getattr(v, "config", {}).get("options"):
                    data = data | {str(k): v.config["options"][0]}
                elif str(k).startswith("option") and type(v).__name__ == "TextSelector":
                    data = data | {str(k): "x"}
        f = await hass.config_entries.subentries.async_configure(f["flow_id"], {"zone_id": area} | data)
        await hass.async_block_till_done()
        print(d, f["type"], f.get("errors"), f.get("reason"), (f.get("description_placeholders") or {}).get("error"))
    for s in entry.subentries.values():
        print(s.title, s.unique_id, dict(s.data))
    o = await hass.config_entries.options.async_init(entry.entry_id)
    for a in ({"next_step_id": "area"}, {"area_id": area}, {"hazard_level": "high", "requires_ppe": True}, {"required_roles": ["safety"]}, {"persons": ["person.a"]}):
        o = await hass.config_entries.options.async_configure(o["flow_id"], a)
    print(o["type"])
    await hass.async_block_till_done()
    print([i for d, i in ir.async_get(hass).issues if d == "kitty"])
    assert await async_setup_component(hass, "diagnostics", {})
    print(json.dumps(await get_diagnostics_for_config_entry(hass, hass_client, entry), indent=1)[:6000])
    print(sorted(hass.states.async_entity_ids()))
    await hass.config_entries.async_unload(entry.entry_id)
