"""What people see of the mind: money, the last answer, the cache, and how each model is doing."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import ConfigSubentryData
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
)

from custom_components.kitty import async_remove_config_entry_device
from custom_components.kitty.protocol import Json

from .conftest import kitty_entry, set_up
from .fake_brain import FakeBrain
from .workshop import gone, push, settled, state

ID: Final = "a1" * 16
# When the day and the month began where the brain is, which need not be where Home Assistant is.
DAY: Final = "2026-11-21T05:00:00+00:00"
MONTH_BEGAN: Final = "2026-11-01T04:00:00+00:00"
CLAUDE: Final[Json] = {
    "id": ID,
    "provider": "anthropic",
    "name": "Claude",
    "tier": "frontier",
    "uses": ["reasoning"],
    "options": {"model": "opus", "api_key": "***"},
    "price_in": 3.0,
    "price_out": 15.0,
    "enabled": True,
    "context": 200_000,
    "trouble": None,
    "breaker": {"state": "closed", "failures": 0, "last_error": None, "misconfigured": False},
    "tokens_per_second": 41.5,
}
BUDGET: Final[Json] = {
    "step": "normal",
    "currency": "EUR",
    "soft": 0.8,
    "day": {"spent": 0.25, "cap": 2.0, "since": datetime.fromisoformat(DAY).timestamp()},
    "month": {"spent": 3.5, "cap": 20.0, "since": datetime.fromisoformat(MONTH_BEGAN).timestamp()},
}
MIND: Final[Json] = {
    "last": {
        "tier": "frontier",
        "model": "opus",
        "confidence": 0.9,
        "cost": 0.01,
        "latency_ms": 812.0,
        "reason": "answered",
        "cached": False,
    },
    "cache": {"hits": 3, "misses": 9, "ratio": 0.25},
    "memories": 4,
    "queue": 1,
}
TODAY: Final = "sensor.brain_spent_today"
MONTH: Final = "sensor.brain_spent_this_month"
STEP: Final = "sensor.brain_budget"
LAST: Final = "sensor.brain_last_answer"
BREAKER: Final = "sensor.claude_readiness"
PROBLEM: Final = "binary_sensor.claude_problem"


def subentry() -> ConfigSubentryData:
    """Return the provider as a person added it."""
    return ConfigSubentryData(
        data={
            "provider_id": ID,
            "provider": "anthropic",
            "info": {"tier": "frontier", "uses": ["reasoning"]},
        },
        subentry_type="provider",
        title="Claude",
        unique_id=ID,
    )


@pytest.fixture
def told() -> Json:
    """Return what the brain tells of its mind."""
    return {"providers": {ID: CLAUDE}, "budget": BUDGET, "mind": MIND}


@pytest.fixture
async def entry(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    brain: FakeBrain,
    people: dict[str, MockUser],
    told: Json,
) -> AsyncIterator[MockConfigEntry]:
    """Return the entry of a brain with one model."""
    brain.instance_id = "1d" * 16
    brain.providers, brain.budget, brain.mind = told["providers"], told["budget"], told["mind"]
    entry = kitty_entry(brain, subentries=(subentry(),))
    enabled = "homeassistant.helpers.entity.Entity.entity_registry_enabled_default"
    platforms = (Platform.SENSOR, Platform.BINARY_SENSOR)
    with patch("custom_components.kitty.PLATFORMS", platforms), patch(enabled, True):
        await set_up(hass, entry)
        await settled(hass, brain)
        yield entry
        await hass.config_entries.async_unload(entry.entry_id)


async def change(hass: HomeAssistant, brain: FakeBrain, **changes: Any) -> None:
    """Change the model."""
    await push(hass, brain, "provider.updated", brain.providers[ID] | changes)


async def test_money_is_told_in_the_currency_of_the_budget(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """With the limit, and the beginning of the period."""
    today, month = state(hass, TODAY), state(hass, MONTH)
    assert (float(today.state), float(month.state)) == (0.25, 3.5)
    assert today.attributes["unit_of_measurement"] == "EUR"
    assert (today.attributes["cap"], month.attributes["cap"]) == (2.0, 20.0)
    assert (today.attributes["last_reset"], month.attributes["last_reset"]) == (DAY, MONTH_BEGAN)


async def test_a_new_day_begins_with_nothing_spent(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain tells of it; the month goes on."""
    day = {"spent": 0.0, "cap": 2.0, "since": BUDGET["day"]["since"] + 86_400}
    await push(hass, brain, "budget.updated", BUDGET | {"day": day})
    today, month = state(hass, TODAY), state(hass, MONTH)
    assert (float(today.state), float(month.state)) == (0.0, 3.5)
    assert today.attributes["last_reset"] == "2026-11-22T05:00:00+00:00"
    assert month.attributes["last_reset"] == MONTH_BEGAN


async def test_what_is_spent_shows_at_once(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """And how much is left."""
    spent = BUDGET | {"step": "soft", "day": {"spent": 1.75, "cap": 2.0}}
    await push(hass, brain, "budget.updated", spent)
    assert (float(state(hass, TODAY).state), state(hass, STEP).state) == (1.75, "soft")


async def test_the_last_answer_tells_how_it_came_about_and_not_what_was_said(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Conversations are private."""
    last = MIND["last"] | {"tier": "local", "model": "qwen", "cost": 0.0}
    await push(hass, brain, "mind.updated", MIND | {"last": last})
    shown = state(hass, LAST)
    assert shown.state == "local"
    assert {name: shown.attributes[name] for name in last if name != "tier"} == {
        name: one for name, one in last.items() if name != "tier"
    }


async def test_the_figures_of_the_mind_follow(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Hits in per cent; a ratio of nothing is unknown."""
    figures = {"cache": {"hits": 1, "misses": 1, "ratio": 0.5}, "memories": 7, "queue": 0}
    await push(hass, brain, "mind.updated", MIND | figures)
    names = ("answered_from_the_cache", "memories", "waiting_for_a_model")
    assert [float(state(hass, f"sensor.brain_{name}").state) for name in names] == [50, 7, 0]
    await push(hass, brain, "mind.updated", {"cache": {"hits": 0, "misses": 0, "ratio": None}})
    assert state(hass, "sensor.brain_answered_from_the_cache").state == "unknown"


@pytest.mark.parametrize(
    ("changes", "problem", "reason"),
    [
        ({}, "off", None),
        ({"trouble": {"code": "model_missing", "message": "No opus"}}, "on", "No opus"),
        ({"breaker": {"state": "open", "last_error": "timeout"}}, "on", "timeout"),
        (
            {"breaker": {"state": "closed", "last_error": "provider_auth", "misconfigured": True}},
            "on",
            "provider_auth",
        ),
        ({"enabled": False, "trouble": {"code": "x", "message": "Off"}}, "off", "Off"),
    ],
)
async def test_a_model_that_is_ill_is_a_problem(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    brain: FakeBrain,
    changes: Json,
    problem: str,
    reason: str | None,
) -> None:
    """With what it said; one that is not in use may be as ill as it likes."""
    await change(hass, brain, **changes)
    shown = state(hass, PROBLEM)
    assert (shown.state, shown.attributes["reason"]) == (problem, reason)


async def test_the_circuit_breaker_shows_with_its_last_error(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whether it is left alone now."""
    await change(hass, brain, breaker={"state": "half_open", "last_error": "provider_failed"})
    shown = state(hass, BREAKER)
    assert (shown.state, shown.attributes["last_error"]) == ("half_open", "provider_failed")


async def test_a_model_that_measures_its_speed_shows_it(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Before its first answer it has none."""
    assert float(state(hass, "sensor.claude_speed").state) == 41.5
    await change(hass, brain, tokens_per_second=None)
    assert state(hass, "sensor.claude_speed").state == "unknown"


@pytest.mark.parametrize(
    "told", [{"providers": {ID: CLAUDE | {"uses": []}}, "budget": {}, "mind": {}}]
)
async def test_a_server_of_tools_has_no_speed(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """It does not write."""
    assert hass.states.get("sensor.claude_speed") is None
    assert state(hass, BREAKER).state == "closed"


async def test_a_model_that_is_gone_is_unavailable_until_it_is_back(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its entities stay, and are not made twice."""
    await push(hass, brain, "provider.removed", {"id": ID})
    assert {state(hass, one).state for one in (BREAKER, PROBLEM)} == {"unavailable"}
    await push(hass, brain, "provider.updated", CLAUDE)
    assert state(hass, BREAKER).state == "closed"


async def test_a_model_that_nobody_added_here_has_no_entities(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """While it is being added, its subentry does not exist yet."""
    before = len(hass.states.async_all())
    await push(hass, brain, "provider.updated", CLAUDE | {"id": "b2" * 16, "name": "Other"})
    assert len(hass.states.async_all()) == before


async def test_a_model_is_a_device_of_the_brain(
    hass: HomeAssistant, entry: MockConfigEntry, device_registry: dr.DeviceRegistry
) -> None:
    """One that a person cannot delete while it is there."""
    found = device_registry.async_get_device_by_identifier(("kitty", ID), entry.entry_id)
    assert found is not None
    assert (found.name, found.manufacturer, found.model) == ("Claude", "anthropic", "opus")
    assert found.entry_type is dr.DeviceEntryType.SERVICE
    assert not await async_remove_config_entry_device(hass, entry, found)


async def test_everything_is_unavailable_without_the_brain(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody knows what it spends now."""
    await gone(hass, brain, entry)
    assert {state(hass, one).state for one in (TODAY, STEP, LAST, BREAKER)} == {"unavailable"}


@pytest.mark.parametrize("told", [{"providers": {}, "budget": {}, "mind": {}}])
async def test_a_brain_without_a_mind_tells_nothing(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """An older one does not even know the words."""
    assert {state(hass, one).state for one in (TODAY, MONTH, STEP, LAST)} == {"unknown"}
    assert hass.states.get(BREAKER) is None
