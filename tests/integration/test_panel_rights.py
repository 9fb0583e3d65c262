"""What the panel knows of the rights of who looks, and of who is where: live, and for each person their own."""

from collections.abc import Callable, Coroutine
import logging
from typing import Any, Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import (
    CLIENT_ID,
    MockConfigEntry,
    MockUser,
    async_capture_events,
)
from pytest_homeassistant_custom_component.typing import (
    MockHAClientWebSocket,
    WebSocketGenerator,
)

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR, EVE, ZONE
from .fake_brain import FakeBrain, FakeError
from .workshop import (
    NOW,
    PRINTER,
    push,
    workshop_fixture,  # noqa: F401 - fixtures are asked for by name
)

ONLY_LOOKS: Final = {"entities": {"all": {"read": True}}}
SEEN: Final = {"zone_id": ZONE, "user_id": BOB, "source": "sensor", "status": "present"}

type Browser = Callable[[str], Coroutine[Any, Any, MockHAClientWebSocket]]


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what tells who may control which device."""
    return (Platform.LOCK, Platform.SENSOR, Platform.BUTTON)


@pytest.fixture
def browser(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    workshop: MockConfigEntry,
    people: dict[str, MockUser],
) -> Browser:
    """Return how somebody opens a browser, while everything is set up."""

    async def opened(user_id: str) -> MockHAClientWebSocket:
        refresh = await hass.auth.async_create_refresh_token(people[user_id], CLIENT_ID)
        return await hass_ws_client(hass, hass.auth.async_create_access_token(refresh))

    return opened


async def look(client: MockHAClientWebSocket, part: str) -> Json:
    """Subscribe to a part; return its rows."""
    await client.send_json_auto_id({"type": "kitty/subscribe", "part": part})
    assert (await client.receive_json())["success"]
    rows: Json = (await client.receive_json())["event"]["rows"]
    return rows


async def heard(client: MockHAClientWebSocket) -> Json:
    """Return what the next message of the only subscription changes."""
    changed: Json = (await client.receive_json())["event"]["changed"]
    return changed


async def own_code(client: MockHAClientWebSocket, **about: Any) -> Json:
    """Set one's own code; return the answer."""
    await client.send_json_auto_id({"type": "kitty/own_code"} | about)
    answer: Json = await client.receive_json()
    return answer


# -- what somebody may do -----------------------------------------------------------------------------


async def test_who_may_only_look_is_told_so_with_each_row(
    hass: HomeAssistant, browser: Browser, people: dict[str, MockUser], brain: FakeBrain
) -> None:
    """What would be refused need not be offered."""
    people[EVE].mock_policy(ONLY_LOOKS)
    event = brain.event(DOOR)
    await push(hass, brain, "safety.event", event)
    seen = []
    for user_id in (EVE, ADA):
        client = await browser(user_id)
        devices, requests = await look(client, "devices"), await look(client, "events")
        seen.append((devices[DOOR]["may_control"], requests[event["id"]]["may_control"]))
    assert seen == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("policy", "more", "works", "anywhere"),
    [
        ({"entities": True}, [], True, True),
        ({"entities": True}, ["b2" * 16], True, False),
        (ONLY_LOOKS, [], False, False),
    ],
)
async def test_what_is_of_no_device_has_rights_of_its_own(
    hass: HomeAssistant,
    browser: Browser,
    people: dict[str, MockUser],
    brain: FakeBrain,
    *,
    policy: Json,
    more: list[str],
    works: bool,
    anywhere: bool,
) -> None:
    """The store room is for all who print; the queue of any printer for who may use all of them."""
    for other in more:
        await push(hass, brain, "device.updated", brain.devices[PRINTER] | {"id": other})
    people[EVE].mock_policy(policy)
    rights = await look(await browser(EVE), "rights")
    told = {name: rights["whole"][name] for name in ("may_work", "may_print_anywhere")}
    assert told == {"may_work": works, "may_print_anywhere": anywhere}


@pytest.mark.parametrize(
    ("who", "decides", "overrules"), [(ADA, True, True), (BOB, True, False), (EVE, False, False)]
)
async def test_who_decides_and_who_has_a_say_over_others_goes_by_their_roles(
    browser: Browser, *, who: str, decides: bool, overrules: bool
) -> None:
    """Any role decides on goals; an engineer ends what others wanted, and somebody of no role neither."""
    rights = await look(await browser(who), "rights")
    told = {name: rights["whole"][name] for name in ("may_decide", "may_overrule")}
    assert told == {"may_decide": decides, "may_overrule": overrules}


@pytest.mark.usefixtures("administrator")
async def test_an_administrator_without_a_role_ends_what_others_wanted_and_decides_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, browser: Browser
) -> None:
    """As the actions judge; with a role, given while somebody looks, that changes."""
    people = workshop.options["people"]
    without = {name: one for name, one in people.items() if name != ADA}
    hass.config_entries.async_update_entry(workshop, options=workshop.options | {"people": without})
    await hass.async_block_till_done()
    client = await browser(ADA)
    rights = (await look(client, "rights"))["whole"]
    assert (rights["may_overrule"], rights["may_decide"]) == (True, False)
    hass.config_entries.async_update_entry(workshop, options=workshop.options | {"people": people})
    assert (await heard(client))["whole"]["may_decide"] is True


async def test_everybody_knows_whether_something_searches_and_something_answers(
    hass: HomeAssistant, browser: Browser, brain: FakeBrain
) -> None:
    """And nothing else of what is set up: neither names nor addresses."""
    client = await browser(EVE)
    assert await look(client, "answering") == {}
    model = {
        "id": "p1",
        "name": "Model",
        "tier": "frontier",
        "enabled": True,
        "options": {"url": "x"},
    }
    await push(hass, brain, "provider.updated", model)
    assert await heard(client) == {"p1": {"tier": "frontier", "enabled": True}}


async def test_who_gains_a_right_is_told_at_once(
    hass: HomeAssistant, browser: Browser, people: dict[str, MockUser]
) -> None:
    """The buttons come without a reload."""
    people[EVE].mock_policy(ONLY_LOOKS)
    client = await browser(EVE)
    await look(client, "rights")
    people[EVE].mock_policy({"entities": True})
    hass.bus.async_fire("user_updated", {"user_id": EVE})
    assert (await heard(client))["whole"]["may_work"] is True


# -- who is where -------------------------------------------------------------------------------------


async def test_who_is_where_is_told_as_it_changes(
    hass: HomeAssistant, browser: Browser, brain: FakeBrain
) -> None:
    """To people of the workshop; of areas in which there is nothing to see, nothing."""
    clients = [await browser(ADA), await browser(EVE)]
    assert [await look(client, "presences") for client in clients] == [{}, {}]
    seen = SEEN | {"observed_at": NOW}
    await push(hass, brain, "presence.updated", seen | {"zone_id": "attic"})
    await push(hass, brain, "presence.updated", seen)
    assert await heard(clients[0]) == {f"{ZONE}:{BOB}": seen}
    await clients[1].send_json_auto_id({"type": "ping"})
    assert (await clients[1].receive_json())["type"] == "pong"


async def test_who_was_there_already_is_told_first(
    hass: HomeAssistant, workshop: MockConfigEntry, browser: Browser, brain: FakeBrain
) -> None:
    """Each time the brain tells everything."""
    seen = SEEN | {"observed_at": NOW}
    brain.workshop["presences"] = [seen]
    await hass.config_entries.async_reload(workshop.entry_id)
    assert await look(await browser(ADA), "presences") == {f"{ZONE}:{BOB}": seen}


# -- one's own code -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "duress", "old"),
    [({}, None, None), ({"duress_code": "0911", "old_code": "1234"}, "0911", "1234")],
)
async def test_somebody_sets_their_own_code_and_nothing_keeps_it(
    hass: HomeAssistant,
    browser: Browser,
    brain: FakeBrain,
    caplog: pytest.LogCaptureFixture,
    *,
    more: Json,
    duress: str | None,
    old: str | None,
) -> None:
    """It goes to the brain in their name; no event, no log and no memory of Home Assistant holds it."""
    # At DEBUG Home Assistant logs what its socket hears, tokens of logins, too.
    caplog.set_level(logging.INFO, "homeassistant.components.websocket_api")
    events = async_capture_events(hass, "*")
    brain.answers["safety.pin"] = lambda _params, _caller: {}
    answer = await own_code(await browser(ADA), code="s3cr3t", **more)
    assert (answer["success"], answer["result"]) == (True, None)
    wish = {"user_id": ADA, "pin": "s3cr3t", "duress_pin": duress, "old_pin": old}
    assert brain.sent("safety.pin") == [wish]
    (caller,) = brain.callers("safety.pin")
    assert (caller or {})["user_id"] == ADA
    assert "s3cr3t" not in repr([event.data for event in events]) + repr(hass.data) + caplog.text


async def test_a_wrong_old_code_is_said_in_words(browser: Browser, brain: FakeBrain) -> None:
    """With the code of every other refusal."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("wrong_pin")

    brain.answers["safety.pin"] = refuse
    answer = await own_code(await browser(ADA), code=None, old_code="1")
    assert answer["error"]["translation_key"] == "wrong_pin"


@pytest.mark.parametrize("code", ["123", "x" * 65, 1234])
async def test_a_code_that_is_none_does_not_reach_the_brain(
    browser: Browser, brain: FakeBrain, code: object
) -> None:
    """Too short, too long, no word at all."""
    answer = await own_code(await browser(ADA), code=code)
    assert answer["error"]["code"] == "invalid_format"
    assert brain.sent("safety.pin") == []


async def test_a_brain_that_is_not_loaded_keeps_no_code(
    hass: HomeAssistant, workshop: MockConfigEntry, browser: Browser
) -> None:
    """And it is said."""
    await hass.config_entries.async_unload(workshop.entry_id)
    answer = await own_code(await browser(ADA), code="1234")
    assert answer["error"]["translation_key"] == "brain_unavailable"
