"""Every word that a flow shows in a test must be in the translations, and every placeholder filled."""

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import re
from typing import Any, Final

from homeassistant import data_entry_flow
from homeassistant.components.repairs import RepairsFlowManager
from homeassistant.config_entries import ConfigSubentryFlowManager, OptionsFlowManager
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
import pytest

_EN: Final[dict[str, Any]] = json.loads(
    (
        Path(__file__).parents[2] / "custom_components" / "kitty" / "translations" / "en.json"
    ).read_text()
)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


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
    assert missing == []


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


def _missing(words: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a result shows that has no words, or words that it cannot fill in."""
    used: list[Any] = []
    step = words.get("step", {}).get(result.get("step_id"), {})
    match result["type"]:
        case FlowResultType.FORM:
            used = [step.get("title"), step.get("description", "")]
            for field in result["data_schema"].schema:
                used += [
                    step.get("data", {}).get(field),
                    step.get("data_description", {}).get(field),
                ]
            used += [words["error"].get(error) for error in (result["errors"] or {}).values()]
        case FlowResultType.MENU:
            used = [step.get("title"), step.get("description", "")]
            used += [step.get("menu_options", {}).get(option) for option in result["menu_options"]]
        case FlowResultType.ABORT:
            used = [words.get("abort", {}).get(result["reason"])]
    filled = set(result.get("description_placeholders") or {})
    for text in used:
        if text is None:
            yield f"no words for a part of {result}"
        elif open_ones := set(_PLACEHOLDER.findall(text)) - filled:
            yield f"{open_ones} not filled in: {text}"
