"""Repairs of the mind: a model that is ill for long, and money that is gone."""

from datetime import timedelta
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.kitty.protocol import Json

from .conftest import kitty_entry, set_up
from .fake_brain import FakeBrain
from .flows import flows_are_translated, house  # noqa: F401 - fixtures are asked for by name
from .test_mind import BUDGET, CLAUDE, ID, subentry
from .test_provider_flow import CLAUDE as KIND
from .test_repairs import go_on, start_fix
from .workshop import gone, push, settled

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated", "no_platforms")

MISSING: Final[Json] = {
    "code": "model_missing",
    "message": "Expected model opus, found sonnet",
    "details": {"expected": "opus", "found": ["sonnet", "haiku"]},
}


@pytest.fixture
async def entry(hass: HomeAssistant, brain: FakeBrain) -> MockConfigEntry:
    """Return the entry of a brain with one model that works."""
    brain.providers = {ID: CLAUDE}
    brain.budget = BUDGET
    brain.answers["providers.kinds"] = lambda _params, _caller: {"items": [KIND]}
    brain.answers["providers.list"] = lambda _params, _caller: {"items": [CLAUDE]}
    entry = await set_up(hass, kitty_entry(brain, {}, (subentry(),)))
    await settled(hass, brain)
    return entry


async def change(hass: HomeAssistant, brain: FakeBrain, **changes: Any) -> None:
    """Change the model."""
    await push(hass, brain, "provider.updated", brain.providers[ID] | changes)


async def minutes(hass: HomeAssistant, number: float) -> None:
    """Let time pass."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=number))
    await hass.async_block_till_done()


def kinds(hass: HomeAssistant) -> list[str | None]:
    """Return the kinds of the issues that are shown."""
    return [
        issue.translation_key
        for (domain, _), issue in ir.async_get(hass).issues.items()
        if domain == "kitty"
    ]


def issue_of(hass: HomeAssistant) -> ir.IssueEntry:
    """Return the one issue that is shown."""
    [issue] = [one for (name, _), one in ir.async_get(hass).issues.items() if name == "kitty"]
    return issue


async def test_a_model_that_is_ill_for_a_moment_bothers_nobody(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """A server that restarts is back soon."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 4)
    assert kinds(hass) == []
    await change(hass, brain, trouble=None)
    await minutes(hass, 10)
    assert kinds(hass) == []


ILLNESSES: Final = [
    (MISSING, "model_missing", {"expected": "opus", "found": "sonnet, haiku"}),
    (
        {
            "code": "model_too_large",
            "message": "Too large",
            "details": {"needs_mb": 9000, "free_mb": 3000},
        },
        "model_too_large",
        {"needs_mb": "9000", "free_mb": "3000"},
    ),
    ({"code": "model_too_large", "message": "Too large"}, "provider_ill", {"error": "Too large"}),
    ({"code": "provider_auth", "message": "Wrong"}, "provider_key_refused", {"error": "Wrong"}),
    ({"code": "provider_unreachable", "message": "Away"}, "provider_ill", {"error": "Away"}),
]


@pytest.mark.parametrize(("trouble", "kind", "words"), ILLNESSES)
async def test_a_model_that_is_ill_for_long_is_an_issue_that_says_what_ails_it(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    brain: FakeBrain,
    trouble: Json,
    kind: str,
    words: dict[str, str],
) -> None:
    """It goes by itself when the model is well."""
    await change(hass, brain, trouble=trouble)
    await minutes(hass, 5.1)
    issue = issue_of(hass)
    assert issue.translation_key == kind
    placeholders = issue.translation_placeholders or {}
    assert words.items() <= placeholders.items()
    assert placeholders["name"] == "Claude"
    await change(hass, brain, trouble=None)
    assert kinds(hass) == []


async def test_a_model_that_is_left_alone_for_long_is_an_issue(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Although it says nothing about itself."""
    await change(hass, brain, breaker={"state": "open", "last_error": "provider_failed"})
    await minutes(hass, 5.1)
    assert (issue_of(hass).translation_placeholders or {})["error"] == "provider_failed"


async def test_another_illness_replaces_the_first(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """There is one issue for each model, and it is true."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    await change(hass, brain, trouble={"code": "provider_auth", "message": "Wrong"})
    assert kinds(hass) == ["provider_key_refused"]


@pytest.mark.parametrize("name", ["provider.removed", "provider.updated"])
async def test_a_model_that_is_not_used_any_more_is_no_issue(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain, name: str
) -> None:
    """Removed, or switched off."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    await push(hass, brain, name, CLAUDE | {"trouble": MISSING, "enabled": False})
    assert kinds(hass) == []


async def test_nothing_is_said_about_models_while_the_brain_is_away(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """And what was said is not taken back: nobody knows."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    await gone(hass, brain, entry)
    assert kinds(hass) == ["model_missing"]


async def test_the_repair_opens_the_form_of_the_model(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """The issue stays until the model works."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    result = await start_fix(hass, issue_of(hass).issue_id)
    assert result["description_placeholders"]["expected"] == "opus"
    result = await go_on(hass, result, {})
    kind, flow_id = result["next_flow"]
    assert (kind, result["reason"]) == ("config_subentries_flow", "form_opened")
    flow = hass.config_entries.subentries.async_get(flow_id)
    assert flow["step_id"] == "options"
    assert kinds(hass) == ["model_missing"]


async def test_the_repair_of_a_model_that_was_removed_meanwhile_closes(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """There is no form to open."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    result = await start_fix(hass, issue_of(hass).issue_id)
    [one] = entry.subentries.values()
    hass.config_entries.async_remove_subentry(entry, one.subentry_id)
    assert (await go_on(hass, result, {}))["type"] is FlowResultType.CREATE_ENTRY


async def test_an_issue_of_a_model_that_was_removed_goes_with_it(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody can mend it any more."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    [one] = entry.subentries.values()
    hass.config_entries.async_remove_subentry(entry, one.subentry_id)
    await hass.async_block_till_done()
    assert kinds(hass) == []


async def test_an_issue_outlives_a_reload(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """The model has not become well by it."""
    await change(hass, brain, trouble=MISSING)
    await minutes(hass, 5.1)
    await hass.config_entries.async_reload(entry.entry_id)
    await settled(hass, brain)
    assert kinds(hass) == ["model_missing"]
    await change(hass, brain, trouble=None)
    assert kinds(hass) == []


async def test_money_that_is_gone_is_an_issue_until_there_is_more(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """With the numbers."""
    spent = {"step": "local_only", "day": {"spent": 2.0, "cap": 2.0}}
    await push(hass, brain, "budget.updated", BUDGET | spent)
    issue = issue_of(hass)
    assert (issue.translation_key, issue.is_fixable) == ("budget_exhausted", False)
    words = issue.translation_placeholders or {}
    assert (words["spent"], words["cap"], words["currency"]) == ("2.00", "2.00", "EUR")
    await push(hass, brain, "budget.updated", BUDGET)
    assert kinds(hass) == []


async def test_a_house_that_wants_to_spend_nothing_has_no_issue(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """That is a choice."""
    nothing = {"spent": 0.0, "cap": 0.0}
    await push(
        hass,
        brain,
        "budget.updated",
        BUDGET | {"step": "local_only", "day": nothing, "month": nothing},
    )
    assert kinds(hass) == []
