"""Adding a language model: the brain says what it wants to know, and is the only one that keeps it."""

import asyncio
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntryState,
    ConfigSubentry,
    ConfigSubentryData,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import providers
from custom_components.kitty.protocol import Json

from .conftest import eventually, kitty_entry, set_up
from .fake_brain import FakeBrain, FakeError
from .flows import flows_are_translated, house  # noqa: F401 - fixtures are asked for by name
from .test_subentry_flow import answer, fields, option, refuse, shown
from .workshop import gone

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated", "no_platforms")

ID: Final = "a1" * 16
KEY: Final = "sk-secret-key"
CLAUDE: Final[Json] = {
    "name": "anthropic",
    "title": "Claude",
    "tier": "frontier",
    "uses": ["reasoning", "tools", "vision"],
    "options": [
        option("base_url", "url"),
        option("api_key", "secret"),
        option("model"),
        option("context", "number", required=False, default=32000),
    ],
}
OLLAMA: Final[Json] = {
    "name": "compatible",
    "title": "Compatible server (Ollama and others)",
    "tier": "local",
    "uses": ["code", "drawing", "embedding", "image", "reasoning", "tools", "vision"],
    "options": [option("base_url", "url"), option("model"), option("sure", "boolean")],
}
LLAMA: Final[Json] = {
    "name": "llama",
    "title": "Local model",
    "tier": "local",
    "uses": ["embedding"],
    "options": [option("model")],
}
SEARCH: Final[Json] = {
    "name": "mcp",
    "title": "Tool server",
    "tier": "mcp",
    "uses": [],
    "options": [option("url", "url")],
}
ANSWERS: Final = {
    "name": "Claude",
    "option_1": "http://claude.invalid",
    "option_2": KEY,
    "option_3": "claude",
    "uses": ["reasoning"],
    "price_in": 3.0,
    "price_out": 15.0,
    "enabled": True,
    "more": {"option_4": 32000.0},
}
AT_HOME: Final = {
    "name": "Ollama",
    "option_1": "http://ollama.invalid",
    "option_2": "qwen",
    "tier": "local",
    "uses": ["tools"],
    "enabled": True,
    "more": {"option_3": False},
}
OPTIONS: Final = {
    "base_url": "http://claude.invalid",
    "api_key": KEY,
    "model": "claude",
    "context": 32000,
}


def view(params: Json, **changes: Any) -> Json:
    """Return a provider as the brain shows it."""
    hidden = {**params["options"], "api_key": "***"}
    return {
        "id": params.get("provider_id") or ID,
        "provider": params["provider"],
        "name": params["name"],
        "tier": params["tier"],
        "uses": params.get("uses", []),
        "options": hidden,
        "price_in": params.get("price_in"),
        "price_out": params.get("price_out"),
        "enabled": params["enabled"],
        "context": 32000,
        "trouble": None,
        "breaker": {"state": "closed", "last_error": None},
    } | changes


@pytest.fixture
async def entry(hass: HomeAssistant, brain: FakeBrain) -> MockConfigEntry:
    """Return an entry, set up, of a brain that can ask models."""
    brain.answers |= {
        "providers.kinds": lambda _params, _caller: {"items": [CLAUDE, OLLAMA, LLAMA, SEARCH]},
        "providers.put": lambda params, _caller: view(params),
        "providers.list": lambda _params, _caller: {
            "items": [view(params) for params in brain.sent("providers.put")[-1:]]
        },
    }
    return await set_up(hass, kitty_entry(brain, {}, ()))


async def start(hass: HomeAssistant, entry: MockConfigEntry) -> Any:
    """Start to add a provider."""
    return await hass.config_entries.subentries.async_init(
        (entry.entry_id, "provider"), context={"source": SOURCE_USER}
    )


async def form(hass: HomeAssistant, entry: MockConfigEntry, kind: str = "anthropic") -> Any:
    """Go to the form of a kind."""
    return await answer(hass, await start(hass, entry), provider=kind)


def folded(result: Any) -> dict[str, Any]:
    """Return what is shown first of what is folded away."""
    more = fields(result)["more"].schema.schema
    return {str(one): one.description["suggested_value"] for one in more if one.description}


def only(entry: MockConfigEntry) -> ConfigSubentry:
    """Return the one provider of the entry."""
    [subentry] = list[ConfigSubentry](entry.subentries.values())
    return subentry


@pytest.fixture
async def added(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigSubentry:
    """Return a provider that was added through the form."""
    await answer(hass, await form(hass, entry), **ANSWERS)
    return only(entry)


def trouble(code: str, message: str = "Not so", **details: Any) -> Any:
    """Return an answer that keeps a provider which does not work."""
    what = {"code": code, "message": message, "details": details}
    return lambda params, _caller: view(params, trouble=what)


async def test_a_provider_is_added(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """The brain is told everything, with whole numbers."""
    assert brain.sent("providers.put") == [
        {
            "provider": "anthropic",
            "name": "Claude",
            "tier": "frontier",
            "uses": ["reasoning"],
            "options": OPTIONS,
            "price_in": 3.0,
            "price_out": 15.0,
            "enabled": True,
        }
    ]
    assert (added.title, added.unique_id) == ("Claude", ID)
    assert entry.state is ConfigEntryState.LOADED


async def test_home_assistant_keeps_no_secret_and_no_option(
    hass: HomeAssistant, entry: MockConfigEntry, added: ConfigSubentry, hass_storage: Json
) -> None:
    """Only the brain has the key."""
    assert dict(added.data) == {
        "provider_id": ID,
        "provider": "anthropic",
        "info": {"tier": "frontier", "uses": ["reasoning"]},
    }
    assert KEY not in str(hass_storage)
    assert KEY not in str(entry.as_dict())


async def test_the_kinds_are_asked_for_in_the_language_of_the_house(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The words of a provider's form are the brain's, which has them in several."""
    hass.config.language = "fr"
    await start(hass, entry)
    assert brain.sent("providers.kinds") == [{"language": "fr"}]


async def test_the_form_shows_what_the_kind_proposes(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Every word is the brain's."""
    result = await form(hass, entry)
    assert shown(result) == {"name": "Claude"}
    assert folded(result) == {"option_4": 32000}
    assert fields(result)["option_2"].config["type"] == "password"
    assert fields(result)["uses"].config["options"] == ["tools", "reasoning", "vision"]
    assert result["description_placeholders"]["label_3"] == "The model"


async def test_the_name_that_is_proposed_can_be_said(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Nobody asks "OpenAI-compatible server (Ollama, llama.cpp, LM Studio, vLLM)"."""
    assert shown(await form(hass, entry, "compatible"))["name"] == "Compatible server"


async def test_what_can_be_left_as_it_is_is_folded_away(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """First comes what everybody fills in."""
    result = await form(hass, entry, "compatible")
    first = ["name", "option_1", "option_2", "tier", "uses", "price_in", "price_out", "enabled"]
    assert list(fields(result)) == [*first, "more"]
    assert fields(result)["more"].options == {"collapsed": True}


@pytest.mark.parametrize(
    ("kind", "uses"),
    [
        ("anthropic", ["tools", "reasoning", "vision"]),
        ("compatible", ["tools", "reasoning", "code"]),
        ("llama", ["embedding"]),
    ],
)
async def test_what_is_told_goes_to_no_model_that_nobody_chose_for_it(
    hass: HomeAssistant, entry: MockConfigEntry, kind: str, uses: list[str]
) -> None:
    """Most models neither draw nor make vectors; one that does nothing else is there for that."""
    markers = (await form(hass, entry, kind))["data_schema"].schema
    proposed = {str(marker): marker.default for marker in markers}
    assert proposed["uses"]() == uses


@pytest.mark.parametrize("kind", ["anthropic", "llama", "mcp"])
async def test_where_it_stands_is_not_asked_where_it_is_known(
    hass: HomeAssistant, entry: MockConfigEntry, kind: str
) -> None:
    """A maker's server is elsewhere, whatever anybody says."""
    assert "tier" not in fields(await form(hass, entry, kind))


async def test_a_server_of_ones_own_is_in_the_house_or_elsewhere(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """In the house it needs no price."""
    result = await form(hass, entry, "compatible")
    assert fields(result)["tier"].config["options"] == ["local", "frontier"]
    result = await answer(hass, result, **AT_HOME)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    (put,) = brain.sent("providers.put")
    assert (put["tier"], put["price_in"], put["options"]["sure"]) == ("local", None, False)


async def test_a_place_that_somebody_gave_it_otherwise_stays(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The form shows what the brain has."""
    await answer(hass, await form(hass, entry, "compatible"), **AT_HOME)
    brain.answers["providers.list"] = lambda _params, _caller: {
        "items": [view(brain.sent("providers.put")[-1], tier="agent")]
    }
    flow = await entry.start_subentry_reconfigure_flow(hass, only(entry).subentry_id)
    assert fields(flow)["tier"].config["options"] == ["local", "frontier", "agent"]
    assert shown(flow)["tier"] == "agent"


async def test_a_model_elsewhere_needs_its_prices(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Without them it would be there and never be asked; it may cost nothing."""
    elsewhere = AT_HOME | {"tier": "frontier", "price_in": 0}
    result = await answer(hass, await form(hass, entry, "compatible"), **elsewhere)
    assert result["errors"] == {"price_out": "price_missing"}
    assert brain.sent("providers.put") == []
    result = await answer(hass, result, **elsewhere, price_out=0)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_model_that_the_brain_runs_has_no_price(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """It costs nothing per question."""
    assert {"price_in", "price_out"}.isdisjoint(fields(await form(hass, entry, "llama")))


async def test_a_server_of_tools_has_neither_uses_nor_prices(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """It is no model."""
    result = await form(hass, entry, "mcp")
    assert {"uses", "price_in", "price_out"}.isdisjoint(fields(result))
    await answer(hass, result, name="Search", option_1="http://x", enabled=False)
    assert brain.sent("providers.put") == [
        {
            "provider": "mcp",
            "name": "Search",
            "tier": "mcp",
            "options": {"url": "http://x"},
            "enabled": False,
        }
    ]


@pytest.mark.parametrize(
    ("refusal", "errors"),
    [
        (refuse("provider_auth"), {"option_2": "provider_auth"}),
        (refuse("name_taken"), {"name": "name_taken"}),
        (refuse("invalid_option", field="model"), {"option_3": "invalid_option"}),
        (refuse("invalid_option", field="uses"), {"uses": "invalid_option"}),
        (refuse("invalid_option", field="context"), {"base": "invalid_option"}),
        (refuse("invalid_option", field="other"), {"base": "invalid_option"}),
        (refuse("not_supported"), {"base": "refused"}),
        (trouble("provider_unreachable"), {"option_1": "provider_unreachable"}),
        (trouble("model_missing"), {"option_3": "model_missing"}),
        (trouble("model_too_large"), {"option_3": "model_too_large"}),
        (trouble("model_crashed"), {"base": "refused"}),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_can_be_corrected(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    refusal: Any,
    errors: dict[str, str],
) -> None:
    """In the brain's own words."""
    flow = await form(hass, entry)
    with patch.dict(brain.answers, {"providers.put": refusal}):
        result = await answer(hass, flow, **ANSWERS)
    assert result["errors"] == errors
    assert result["description_placeholders"]["error"] == "Not so"
    result = await answer(hass, result, **ANSWERS)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_provider_that_does_not_work_yet_can_be_kept(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Its machine may be switched off: the same form again keeps it, and makes no second one."""
    brain.answers["providers.put"] = trouble("provider_unreachable")
    result = await answer(hass, await form(hass, entry), **ANSWERS)
    result = await answer(hass, result, **ANSWERS)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert brain.sent("providers.put")[1]["provider_id"] == ID
    assert brain.sent("providers.remove") == []


async def test_a_form_that_nobody_finishes_leaves_nothing_behind(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The brain had kept the provider, with its key."""
    brain.answers["providers.put"] = trouble("provider_unreachable")
    result = await answer(hass, await form(hass, entry), **ANSWERS)
    hass.config_entries.subentries.async_abort(result["flow_id"])
    assert await brain.received_command("providers.remove") == {"provider_id": ID}


async def test_what_nobody_finished_is_taken_back_when_the_entry_is_loaded_again(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The form was closed while there was nobody to tell it to."""
    brain.answers["providers.put"] = trouble("provider_auth")
    result = await answer(hass, await form(hass, entry), **ANSWERS)
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass.config_entries.subentries.async_abort(result["flow_id"])
    await hass.config_entries.async_setup(entry.entry_id)
    assert await brain.received_command("providers.remove") == {"provider_id": ID}
    await eventually(lambda: entry.data["removed_providers"] == [])


async def test_what_nobody_finished_is_taken_back_though_a_reload_comes_between(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The brain had not answered yet."""
    brain.answers["providers.put"] = trouble("provider_auth")
    brain.answers["providers.remove"] = lambda _params, _caller: asyncio.Event().wait()
    result = await answer(hass, await form(hass, entry), **ANSWERS)
    hass.config_entries.subentries.async_abort(result["flow_id"])
    await brain.received_command("providers.remove")
    del brain.answers["providers.remove"]
    await hass.config_entries.async_reload(entry.entry_id)
    assert await brain.received_command("providers.remove", 2) == {"provider_id": ID}
    await eventually(lambda: entry.data["removed_providers"] == [])


async def test_a_form_outlives_its_entry(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is left to tell."""
    brain.answers["providers.put"] = trouble("provider_auth")
    result = await answer(hass, await form(hass, entry), **ANSWERS)
    await hass.config_entries.async_remove(entry.entry_id)
    hass.config_entries.subentries.async_abort(result["flow_id"])
    assert "Error removing" not in caplog.text


async def test_a_brain_that_goes_away_meanwhile_is_named(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The form stays."""
    flow = await form(hass, entry)
    await brain.stop()
    assert (await answer(hass, flow, **ANSWERS))["errors"] == {"base": "brain_unavailable"}


async def test_a_form_whose_entry_is_not_loaded_any_more_stays(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """As while it is loaded anew, because somebody else has changed something."""
    flow = await form(hass, entry)
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert (await answer(hass, flow, **ANSWERS))["errors"] == {"base": "brain_unavailable"}


async def test_nothing_is_added_while_the_brain_does_not_answer(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """The flow says so."""
    await brain.stop()
    assert (await start(hass, entry))["reason"] == "cannot_connect"


async def test_nothing_is_added_before_the_brain_is_connected(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The flow says what to mend first."""
    entry = kitty_entry(brain, {}, ())
    entry.add_to_hass(hass)
    assert (await start(hass, entry))["reason"] == "entry_not_loaded"


async def test_a_provider_is_changed(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """The secret is never shown, and stays where its field is left empty."""
    flow = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert shown(flow) == {
        key: one for key, one in ANSWERS.items() if key not in ("option_2", "more")
    }
    assert folded(flow) == {"option_4": 32000}
    answers = {key: one for key, one in ANSWERS.items() if key != "option_2"}
    result = await answer(hass, flow, **(answers | {"name": "Opus", "option_3": "opus"}))
    assert result["reason"] == "reconfigure_successful"
    put = brain.sent("providers.put")[1]
    assert (put["provider_id"], put["name"]) == (ID, "Opus")
    assert put["options"] == OPTIONS | {"model": "opus", "api_key": "***"}
    assert only(entry).title == "Opus"


async def test_a_provider_that_the_brain_has_lost_is_made_anew(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """Its key has to be typed again."""
    brain.answers["providers.list"] = lambda _params, _caller: {"items": []}
    brain.answers["providers.put"] = lambda params, _caller: view(params, id="b2" * 16)
    flow = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert (shown(flow), folded(flow)) == ({"name": "Claude"}, {"option_4": 32000})
    await answer(hass, flow, **ANSWERS)
    assert "provider_id" not in brain.sent("providers.put")[1]
    assert (only(entry).data["provider_id"], only(entry).unique_id) == ("b2" * 16, "b2" * 16)


async def test_a_provider_whose_kind_is_gone_cannot_be_changed(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """The brain must be updated first."""
    brain.answers["providers.kinds"] = lambda _params, _caller: {"items": [SEARCH]}
    result = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert result["reason"] == "provider_gone"


@pytest.mark.parametrize("action", ["providers.kinds", "providers.list"])
async def test_nothing_is_changed_while_the_brain_cannot_be_asked(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    added: ConfigSubentry,
    action: str,
) -> None:
    """The flow says so."""
    brain.answers[action] = refuse("overloaded")
    result = await entry.start_subentry_reconfigure_flow(hass, added.subentry_id)
    assert result["reason"] == "cannot_connect"


async def test_removing_it_here_removes_it_from_the_brain(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """With its secret."""
    hass.config_entries.async_remove_subentry(entry, added.subentry_id)
    await hass.async_block_till_done()
    await eventually(lambda: brain.sent("providers.remove") == [{"provider_id": ID}])
    assert entry.state is ConfigEntryState.LOADED


async def test_what_is_removed_while_the_brain_is_away_is_removed_when_it_is_back(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """Nobody has to think of it again."""
    await gone(hass, brain, entry)
    hass.config_entries.async_remove_subentry(entry, added.subentry_id)
    await hass.async_block_till_done()
    assert entry.data["removed_providers"] == [ID]
    await brain.start()
    await hass.config_entries.async_reload(entry.entry_id)
    assert await brain.received_command("providers.remove") == {"provider_id": ID}
    await eventually(lambda: entry.data["removed_providers"] == [])


async def test_what_a_busy_brain_did_not_remove_is_removed_later(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    added: ConfigSubentry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its secret stays at the brain no longer than that."""
    monkeypatch.setattr(providers, "RETRY_AFTER", 0.0)
    busy = [refuse("database_busy")]

    def remove(params: Json, caller: Json | None) -> Json:
        return busy.pop()(params, caller) if busy else {}

    brain.answers["providers.remove"] = remove
    hass.config_entries.async_remove_subentry(entry, added.subentry_id)
    assert await brain.received_command("providers.remove", 2) == {"provider_id": ID}
    await eventually(lambda: entry.data["removed_providers"] == [])


async def test_what_is_removed_while_nobody_listens_is_removed_from_the_brain(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """As between the end of one life of the entry and the next, which a change of something else begins."""
    await hass.config_entries.async_unload(entry.entry_id)
    hass.config_entries.async_remove_subentry(entry, added.subentry_id)
    await hass.async_block_till_done()
    assert brain.sent("providers.remove") == []
    await hass.config_entries.async_setup(entry.entry_id)
    assert await brain.received_command("providers.remove") == {"provider_id": ID}
    await eventually(lambda: entry.data["removed_providers"] == [])


async def test_of_several_that_are_removed_one_after_the_other_the_brain_keeps_none(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """The second goes while the entry is loaded anew because of the first."""
    other = provider_subentry() | {"unique_id": "other"}
    other["data"] = {**other["data"], "provider_id": "other"}
    second = ConfigSubentry(**other)
    hass.config_entries.async_add_subentry(entry, second)
    await hass.async_block_till_done()

    def remove_second() -> None:
        remove = hass.config_entries.async_remove_subentry
        hass.loop.call_soon(remove, entry, second.subentry_id)

    entry.async_on_unload(remove_second)
    hass.config_entries.async_remove_subentry(entry, added.subentry_id)
    await hass.async_block_till_done()
    await eventually(lambda: entry.data["removed_providers"] == [])
    assert {one["provider_id"] for one in brain.sent("providers.remove")} == {ID, "other"}


async def test_what_is_added_and_removed_while_nobody_listens_is_removed_from_the_brain(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Within one reload, between the end of one life of the entry and the next."""
    item = ConfigSubentry(**provider_subentry())

    def come_and_go() -> None:
        hass.config_entries.async_add_subentry(entry, item)
        hass.config_entries.async_remove_subentry(entry, item.subentry_id)

    def soon() -> None:
        hass.loop.call_soon(come_and_go)

    entry.async_on_unload(soon)
    await hass.config_entries.async_reload(entry.entry_id)
    assert await brain.received_command("providers.remove") == {"provider_id": ID}
    await eventually(lambda: entry.data["removed_providers"] == [])


async def test_a_provider_that_the_brain_does_not_know_any_more_is_forgotten(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry, added: ConfigSubentry
) -> None:
    """It is gone, which is what was wanted."""

    def unknown(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("provider_not_found")

    brain.answers["providers.remove"] = unknown
    hass.config_entries.async_remove_subentry(entry, added.subentry_id)
    await hass.async_block_till_done()
    await brain.received_command("providers.remove")
    await eventually(lambda: entry.data["removed_providers"] == [])


def provider_subentry() -> ConfigSubentryData:
    """Return a provider as a person added it."""
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
