"""Adding the brain: by hand, by its app, and again when its address or token changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import (
    SOURCE_HASSIO,
    SOURCE_IGNORE,
    SOURCE_USER,
    ConfigEntryState,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.service_info.hassio import HassioServiceInfo
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.config_flow import clean_url
from custom_components.kitty.const import DOMAIN

from .conftest import kitty_entry, set_up
from .fake_brain import TOKEN, FakeBrain, FakeError
from .flows import flows_are_translated, house  # noqa: F401 - fixtures are asked for by name

pytestmark = pytest.mark.usefixtures("house", "flows_are_translated", "no_platforms")

SLUG: Final = "abc_kitty"


@pytest.fixture
async def silent_url(socket_enabled: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Return an address where somebody takes the call and says nothing."""
    monkeypatch.setattr("custom_components.kitty.client.CONNECT_TIMEOUT", 0.05)
    calls: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: calls.append(writer), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in calls:
        writer.close()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def elsewhere(brain: FakeBrain) -> AsyncIterator[FakeBrain]:
    """Return the same brain at another address."""
    same = FakeBrain()
    same.instance_id, same.signing = brain.instance_id, brain.signing
    yield await same.start()
    await same.stop()


@pytest.fixture
def entry(hass: HomeAssistant, brain: FakeBrain) -> MockConfigEntry:
    """Return an entry of the brain that its app announced."""
    made = kitty_entry(brain, {}, ())
    made.add_to_hass(hass)
    hass.config_entries.async_update_entry(made, data=made.data | {"slug": SLUG})
    return made


def announced(brain: FakeBrain, *, slug: str = SLUG, **changes: Any) -> HassioServiceInfo:
    """Return what the app of the brain announces."""
    host, port = brain.url.removeprefix("http://").split(":")
    config = {
        "host": host,
        "port": int(port),
        "token": brain.token,
        "instance_id": brain.instance_id,
        "public_key": brain.public_key,
    }
    return HassioServiceInfo(config=config | changes, name="KITTY", slug=slug, uuid="u")


async def start(hass: HomeAssistant, source: str, data: Any = None) -> Any:
    """Start a flow."""
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": source}, data=data)


async def start_brain(hass: HomeAssistant) -> Any:
    """Start a flow as a person who has a brain."""
    return await answer(hass, await start(hass, SOURCE_USER), next_step_id="brain")


async def answer(hass: HomeAssistant, flow: Any, **data: str) -> Any:
    """Answer a step of a flow, and let the entry be set up."""
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], data)
    await hass.async_block_till_done()
    return result


def state(entry: MockConfigEntry) -> ConfigEntryState:
    """Return the state of an entry now."""
    now: ConfigEntryState = entry.state
    return now


def rogues(hass: HomeAssistant) -> list[str]:
    """Return the issues about apps that pretend to be the brain."""
    return [key for _, key in ir.async_get(hass).issues if key.startswith("rogue_discovery")]


async def test_a_brain_is_added_by_its_address_and_token(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Its identity is pinned, and the entry works at once."""
    flow = await start_brain(hass)
    assert flow["step_id"] == "brain"
    result = await answer(hass, flow, url=f"{brain.url}/", token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "KITTY"
    assert result["data"] == {
        "url": brain.url,
        "token": TOKEN,
        "instance_id": brain.instance_id,
        "brain_public_key": brain.public_key,
        "slug": None,
    }
    assert result["result"].unique_id == brain.instance_id
    assert result["result"].state is ConfigEntryState.LOADED


async def test_the_same_brain_is_not_added_twice(
    hass: HomeAssistant, elsewhere: FakeBrain, entry: MockConfigEntry
) -> None:
    """Whatever address it is reached by."""
    flow = await start_brain(hass)
    result = await answer(hass, flow, url=elsewhere.url, token=TOKEN)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


async def test_a_wrong_token_can_be_corrected(hass: HomeAssistant, brain: FakeBrain) -> None:
    """The form stays, with the address that was typed."""
    flow = await start_brain(hass)
    result = await answer(hass, flow, url=brain.url, token="wrong")
    assert result["errors"] == {"base": "invalid_auth"}
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_token_may_be_copied_with_what_is_around_it(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The end of a line is no part of it, and is not kept."""
    result = await answer(hass, await start_brain(hass), url=brain.url, token=f" {TOKEN}\n")
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["token"] == TOKEN


async def test_a_token_for_something_else_is_named_as_such(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The brain knows it, so copying it again would be of no use."""
    flow = await start_brain(hass)
    brain.scope = "control"
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["errors"] == {"base": "wrong_scope"}
    brain.scope = "integration"
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_wrong_address_can_be_corrected(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Nobody listens on port 9."""
    flow = await start_brain(hass)
    result = await answer(hass, flow, url="http://127.0.0.1:9", token=TOKEN)
    assert result["errors"] == {"base": "cannot_connect"}
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_silent_server_can_be_corrected(
    hass: HomeAssistant, brain: FakeBrain, silent_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is not endless."""
    flow = await start_brain(hass)
    result = await answer(hass, flow, url=silent_url, token=TOKEN)
    assert result["errors"] == {"base": "timeout_connect"}
    monkeypatch.undo()
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_an_old_brain_is_named_as_such(hass: HomeAssistant, brain: FakeBrain) -> None:
    """After the update of the brain the same form works."""
    flow = await start_brain(hass)
    brain.schema = 0
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["errors"] == {"base": "schema_mismatch"}
    shown = dict(result["description_placeholders"] or {})
    assert shown.pop("example").startswith("http://")
    assert shown == {"error": "", "brain": "0", "integration": "1"}
    brain.schema = 1
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_an_unexpected_refusal_is_shown_in_the_words_of_the_brain(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """And can be tried again."""

    def refuse(_params: Any, _caller: Any) -> None:
        raise FakeError("too_many_commands", "Too many")

    flow = await start_brain(hass)
    with patch.dict(brain.answers, {"system.info": refuse}):
        result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["errors"] == {"base": "unknown"}
    assert result["description_placeholders"]["error"]
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_an_address_that_is_none_is_refused_at_its_field(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Nothing is sent anywhere."""
    flow = await start_brain(hass)
    result = await answer(hass, flow, url="kitty", token=TOKEN)
    assert result["errors"] == {"url": "invalid_url"}
    assert brain.connections == 0
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://brain:8100", "http://brain:8100"),
        (" https://brain.example/kitty/ ", "https://brain.example/kitty"),
        ("brain:8100", "http://brain:8100"),
        ("192.168.1.20:8100/", "http://192.168.1.20:8100"),
        ("brain", None),
        ("ada:secret@brain:8100", None),
        ("brain:8100/?token=secret", None),
        ("brain:99999", None),
        ("ftp://brain", None),
        ("http://", None),
        ("http://ada:secret@brain", None),
        ("http://:secret@brain", None),
        ("http://brain?token=secret", None),
        ("http://brain#secret", None),
        ("http://brain:99999", None),
    ],
)
def test_an_address_is_an_address_and_nothing_more(text: str, url: str | None) -> None:
    """Its beginning may be left out; a password in an address would end in logs."""
    assert clean_url(text) == url


async def test_an_app_that_announces_itself_is_added_after_a_question(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The app that it came from is remembered."""
    flow = await start(hass, SOURCE_HASSIO, announced(brain))
    assert flow["step_id"] == "hassio_confirm"
    assert flow["description_placeholders"] == {"addon": "KITTY", "slug": SLUG}
    assert brain.connections == 0
    result = await answer(hass, flow)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["slug"] == SLUG
    assert result["data"]["url"] == brain.url
    assert result["result"].unique_id == brain.instance_id


async def test_an_app_that_has_not_started_yet_can_be_added_later(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The question stays until the brain answers."""
    flow = await start(hass, SOURCE_HASSIO, announced(brain))
    await brain.stop()
    result = await answer(hass, flow)
    assert result["errors"] == {"base": "app_unreachable"}
    await brain.start()
    result = await answer(hass, flow)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(("token", "scope"), [("wrong", "integration"), (TOKEN, "control")])
async def test_an_app_with_a_token_of_no_use_is_named(
    hass: HomeAssistant, brain: FakeBrain, token: str, scope: str
) -> None:
    """Nobody has typed one, so nobody is told to copy it again."""
    brain.scope = scope
    flow = await start(hass, SOURCE_HASSIO, announced(brain, token=token))
    result = await answer(hass, flow)
    assert result["errors"] == {"base": "app_auth"}


async def test_an_app_that_announces_nonsense_is_left_alone(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Without an address there is nothing to connect to."""
    result = await start(hass, SOURCE_HASSIO, announced(brain, port="none"))
    assert result["reason"] == "invalid_discovery_info"


async def test_an_app_that_announces_another_brain_than_it_has_is_left_alone(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The identity is what the brain itself says."""
    flow = await start(hass, SOURCE_HASSIO, announced(brain, instance_id="other"))
    result = await answer(hass, flow)
    assert result["reason"] == "wrong_brain"


async def test_an_app_whose_brain_holds_another_key_than_it_announces_is_left_alone(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Somebody else answers at its address."""
    flow = await start(hass, SOURCE_HASSIO, announced(brain, public_key="another"))
    result = await answer(hass, flow)
    assert result["reason"] == "wrong_brain"


async def test_our_own_app_with_another_key_is_refused_without_a_call(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Even if all the rest is as before."""
    result = await start(hass, SOURCE_HASSIO, announced(brain, public_key="another"))
    assert result["reason"] == "rogue_discovery"
    assert brain.connections == 0
    assert rogues(hass) == [f"rogue_discovery.{entry.entry_id}.{SLUG}"]


async def test_a_brain_that_was_added_by_hand_meanwhile_is_not_added_twice(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The question was still open."""
    flow = await start(hass, SOURCE_HASSIO, announced(brain))
    kitty_entry(brain, {}, ()).add_to_hass(hass)
    result = await answer(hass, flow)
    assert result["reason"] == "already_configured"


async def test_a_brain_that_moved_is_followed_if_its_own_app_says_so(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """It proves the key that was pinned, and the entry is loaded with the new address."""
    hass.config_entries.async_update_entry(entry, data=entry.data | {"url": "http://old:8100"})
    result = await start(hass, SOURCE_HASSIO, announced(brain))
    await hass.async_block_till_done()
    assert result["reason"] == "already_configured"
    assert entry.data["url"] == brain.url
    assert state(entry) is ConfigEntryState.LOADED
    assert rogues(hass) == []


async def test_an_app_that_announces_what_is_known_changes_nothing(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """It does so at every start of Home Assistant; nobody is called."""
    result = await start(hass, SOURCE_HASSIO, announced(brain))
    assert result["reason"] == "already_configured"
    assert brain.connections == 0


async def test_another_app_cannot_take_the_place_of_the_brain(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """It is not even called, and an issue names it."""
    before = dict(entry.data)
    result = await start(hass, SOURCE_HASSIO, announced(brain, slug="evil_app", port=9))
    assert result["reason"] == "rogue_discovery"
    assert dict(entry.data) == before
    assert brain.connections == 0
    assert rogues(hass) == [f"rogue_discovery.{entry.entry_id}.evil_app"]


async def test_a_brain_with_another_key_cannot_take_the_place_of_the_brain(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Not even from the same app; and our token is not shown to it."""
    impostor = await FakeBrain().start()
    impostor.instance_id, impostor.token = brain.instance_id, "theirs"
    claim = announced(impostor, public_key=brain.public_key)
    result = await start(hass, SOURCE_HASSIO, claim)
    await impostor.stop()
    assert result["reason"] == "rogue_discovery"
    assert entry.data["url"] == brain.url
    assert impostor.connections == 1
    assert rogues(hass) == [f"rogue_discovery.{entry.entry_id}.{SLUG}"]


@pytest.mark.parametrize(
    ("token", "scope", "reason"),
    [
        ("wrong", "integration", "invalid_auth"),
        ("new", "control", "wrong_scope"),
        (None, "integration", "cannot_connect"),
    ],
)
async def test_a_move_to_where_the_brain_does_not_answer_is_not_followed(
    hass: HomeAssistant,
    brain: FakeBrain,
    entry: MockConfigEntry,
    token: str | None,
    scope: str,
    reason: str,
) -> None:
    """That is a mishap and no impostor."""
    brain.token, brain.scope = "new", scope
    changes: dict[str, Any] = {"token": token} if token else {"port": 9}
    result = await start(hass, SOURCE_HASSIO, announced(brain, **changes))
    assert result["reason"] == reason
    assert entry.data["url"] == brain.url
    assert rogues(hass) == []


async def test_an_app_does_not_touch_a_brain_that_was_added_by_hand(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """No app can vouch for it."""
    entry = kitty_entry(brain, {}, ())
    entry.add_to_hass(hass)
    result = await start(hass, SOURCE_HASSIO, announced(brain, port=9))
    assert result["reason"] == "already_configured"
    assert entry.data["url"] == brain.url


async def test_an_app_that_a_person_ignored_stays_ignored(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It is not offered again."""
    MockConfigEntry(domain=DOMAIN, unique_id=brain.instance_id, source=SOURCE_IGNORE).add_to_hass(
        hass
    )
    result = await start(hass, SOURCE_HASSIO, announced(brain))
    assert result["reason"] == "already_configured"


async def test_a_new_token_revives_a_brain_that_refused_the_old_one(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """A wrong one can be corrected."""
    brain.token = "new"
    await set_up(hass, entry)
    assert state(entry) is ConfigEntryState.SETUP_ERROR
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["step_id"] == "reauth_confirm"
    result = await answer(hass, flow, token="wrong")
    assert result["errors"] == {"base": "invalid_auth"}
    result = await answer(hass, flow, token="new ")
    assert result["reason"] == "reauth_successful"
    assert entry.data["token"] == "new"
    assert state(entry) is ConfigEntryState.LOADED


async def test_a_new_token_is_only_for_the_same_brain(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Another one at its address is refused until the right one is back; the words name the way to the address."""
    result = await entry.start_reauth_flow(hass)
    mine, brain.instance_id = brain.instance_id, "other"
    result = await answer(hass, result, token=TOKEN)
    assert result["errors"] == {"base": "another_brain"}
    brain.instance_id = mine
    result = await answer(hass, result, token=TOKEN)
    assert result["reason"] == "reauth_successful"


async def test_the_token_that_works_again_loads_the_entry_again(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Though nothing has changed in the entry, which is loaded and has its listener."""
    await set_up(hass, entry)
    flow = await entry.start_reauth_flow(hass)
    before = brain.connections
    result = await answer(hass, flow, token=TOKEN)
    assert result["reason"] == "reauth_successful"
    assert state(entry) is ConfigEntryState.LOADED
    assert brain.connections == before + 2


async def test_a_brain_that_moved_is_found_again_by_hand(
    hass: HomeAssistant, elsewhere: FakeBrain, entry: MockConfigEntry
) -> None:
    """A wrong address can be corrected; an empty token is the old one; the entry reloads once."""
    await set_up(hass, entry)
    flow = await entry.start_reconfigure_flow(hass)
    result = await answer(hass, flow, url="http://127.0.0.1:9")
    assert result["errors"] == {"base": "cannot_connect"}
    result = await answer(hass, result, url=elsewhere.url)
    assert result["reason"] == "reconfigure_successful"
    assert (entry.data["url"], entry.data["token"]) == (elsewhere.url, TOKEN)
    assert state(entry) is ConfigEntryState.LOADED
    assert elsewhere.connections == 2


async def test_where_the_kept_token_is_not_known_may_be_another_brain(
    hass: HomeAssistant, brain: FakeBrain, elsewhere: FakeBrain, entry: MockConfigEntry
) -> None:
    """Nobody is told to make a token for a brain that would be refused; one that was typed is as wrong as anywhere."""
    elsewhere.token = "theirs"
    flow = await entry.start_reconfigure_flow(hass)
    result = await answer(hass, flow, url=elsewhere.url)
    assert result["errors"] == {"base": "kept_token"}
    result = await answer(hass, flow, url=elsewhere.url, token="typed")
    assert result["errors"] == {"base": "invalid_auth"}
    result = await answer(hass, result, url=brain.url)
    assert result["reason"] == "reconfigure_successful"


async def test_a_brain_that_never_loaded_is_loaded_at_its_new_address(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """There is no listener yet that would do it."""
    hass.config_entries.async_update_entry(
        entry, data=entry.data | {"url": "http://127.0.0.1:9", "token": "old"}
    )
    await set_up(hass, entry)
    assert state(entry) is ConfigEntryState.SETUP_RETRY
    flow = await entry.start_reconfigure_flow(hass)
    result = await answer(hass, flow, url=brain.url, token=TOKEN)
    assert result["reason"] == "reconfigure_successful"
    assert state(entry) is ConfigEntryState.LOADED


async def test_a_brain_with_another_key_is_not_accepted_at_a_new_address(
    hass: HomeAssistant, brain: FakeBrain, entry: MockConfigEntry
) -> None:
    """Only the one that was set up; its own address is accepted afterwards."""
    impostor = await FakeBrain().start()
    impostor.instance_id = brain.instance_id
    flow = await entry.start_reconfigure_flow(hass)
    result = await answer(hass, flow, url=impostor.url)
    await impostor.stop()
    assert result["errors"] == {"base": "wrong_brain"}
    result = await answer(hass, result, url=brain.url)
    assert result["reason"] == "reconfigure_successful"


async def test_home_commands_alone_need_nothing_but_the_choice(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """The entry is loaded, and has the one agent and nothing else."""
    result = await answer(hass, await start(hass, SOURCE_USER), next_step_id="home")
    assert result["type"] is FlowResultType.CREATE_ENTRY
    entry = result["result"]
    assert entry.state is ConfigEntryState.LOADED
    found = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert [one.domain for one in found] == ["conversation"]
    assert not entry.supports_options
    assert entry.supported_subentry_types == {}


async def test_home_commands_are_not_added_beside_a_brain(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """It has them already."""
    result = await answer(hass, await start(hass, SOURCE_USER), next_step_id="home")
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "home_commands_exist"


async def test_home_commands_have_no_address_to_change(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """There is no brain that could have moved."""
    made = MockConfigEntry(domain=DOMAIN, data={}, unique_id="home")
    made.add_to_hass(hass)
    result = await made.start_reconfigure_flow(hass)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "no_brain"
