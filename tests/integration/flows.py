"""What the tests of flows share: a house, a person with a phone, and an eye on every word shown."""

from collections.abc import Iterable, Iterator, Mapping
import json
from pathlib import Path
import re
from typing import Any, Final

from homeassistant import data_entry_flow
from homeassistant.components.repairs import RepairsFlowManager
from homeassistant.config_entries import (
    SOURCE_IGNORE,
    ConfigSubentryFlowManager,
    OptionsFlowManager,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

_EN: Final[dict[str, Any]] = json.loads(
    (
        Path(__file__).parents[2] / "custom_components" / "kitty" / "translations" / "en.json"
    ).read_text()
)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


@pytest.fixture
async def house(hass: HomeAssistant, enable_custom_integrations: None) -> None:
    """Set up what every Home Assistant has."""
    assert await async_setup_component(hass, "homeassistant", {})


async def give_phone(hass: HomeAssistant, user_id: str, name: str) -> None:
    """Register the app on a phone of a user."""
    assert await async_setup_component(hass, "mobile_app", {})
    entry = MockConfigEntry(
        domain="mobile_app",
        title=name,
        data={
            "app_data": {"push_token": "push", "push_url": "http://push.invalid"},
            "app_id": "io.homeassistant.companion",
            "app_name": "Home Assistant",
            "app_version": "2026.10",
            "device_id": name,
            "device_name": name,
            "manufacturer": "Phones",
            "model": name,
            "os_version": "17",
            "supports_encryption": False,
            "user_id": user_id,
            "webhook_id": f"webhook-{name}",
        },
    )
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()


@pytest.fixture
def flows_are_translated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check all that the flows of the integration showed, when the test is over."""
    missing: list[str] = []
    real = data_entry_flow.FlowManager._async_handle_step

    async def handle_step(self: Any, flow: Any, *args: Any, **kwargs: Any) -> Any:
        words = _words_of(self, flow)
        result = await real(self, flow, *args, **kwargs)
        if words is not None:
            missing.extend(_missing(words, result))
        return result

    monkeypatch.setattr(data_entry_flow.FlowManager, "_async_handle_step", handle_step)
    yield
    if missing:
        pytest.fail("\n".join(missing))


def _words_of(manager: Any, flow: Any) -> Mapping[str, Any] | None:
    """Return the part of the translations that belongs to a flow; None for flows of others."""
    words: Mapping[str, Any] | None = None
    if isinstance(manager, RepairsFlowManager):
        issue = ir.async_get(manager.hass).async_get_issue(flow.handler, flow.context["issue_id"])
        if issue is not None and flow.handler == "kitty":
            words = _EN["issues"][issue.translation_key]["fix_flow"]
    elif isinstance(manager, ConfigSubentryFlowManager):
        words = _EN["config_subentries"][flow.handler[1]]
    elif isinstance(manager, OptionsFlowManager):
        words = _EN["options"]
    elif flow.handler == "kitty":
        words = _EN["config"]
    return words


def _words_of_fields(words: Mapping[str, Any], fields: Iterable[Any]) -> Iterator[Any]:
    """Yield the label and the help of fields; the name of a field may be its words."""
    for field in map(str, fields):
        of_its_own = field if " " in field else None
        yield words.get("data", {}).get(field, of_its_own)
        yield words.get("data_description", {}).get(field, of_its_own)


def _missing(words: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a result shows that has no words, or words that it cannot fill in."""
    used: list[Any] = []
    step = words.get("step", {}).get(result.get("step_id"), {})
    match result["type"]:
        case FlowResultType.FORM:
            used = [step.get("title"), step.get("description", "")]
            for marker, field in result["data_schema"].schema.items():
                folded = step.get("sections", {}).get(str(marker), {})
                if isinstance(field, data_entry_flow.section):
                    used += [folded.get("name"), *_words_of_fields(folded, field.schema.schema)]
                else:
                    used += _words_of_fields(step, [marker])
            used += [words["error"].get(error) for error in (result["errors"] or {}).values()]
        case FlowResultType.MENU:
            used = [step.get("title"), step.get("description", "")]
            used += [step.get("menu_options", {}).get(option) for option in result["menu_options"]]
        case FlowResultType.ABORT:
            used = [words.get("abort", {}).get(result["reason"])]
        case FlowResultType.CREATE_ENTRY if "create_entry" in words:
            if result.get("context", {}).get("source") == SOURCE_IGNORE:
                return
            used = [words["create_entry"].get(result["description"] or "default")]
    filled = set(result.get("description_placeholders") or {})
    for text in used:
        if text is None:
            yield f"no words for a part of {result}"
        elif open_ones := set(_PLACEHOLDER.findall(text)) - filled:
            yield f"{open_ones} not filled in: {text}"
