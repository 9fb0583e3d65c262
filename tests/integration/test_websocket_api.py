"""What the panel sees live: rows as they change, and of each only what this person may see."""

from dataclasses import dataclass
from typing import Any, Final

from homeassistant.auth.permissions.models import PermissionLookup
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
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

from custom_components.kitty.codes import KEPT_S, hand_over, take
from custom_components.kitty.protocol import Json
from custom_components.kitty.websocket_api import PARTS, _Watch

from .conftest import ADA, BOB, DOOR, EVE, ZONE, kitty_entry, set_up
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    LIGHT,
    PRINTER,
    act,
    at,
    change,
    gone,
    push,
    settled,
    workshop_fixture,
)

SEES_THE_DOOR: Final = {"entities": {"entity_ids": {"lock.workshop_door": True}}}
CAPABILITY: Final = {
    "name": "models.far",
    "title": "Models",
    "enabled": True,
    "available": True,
    "because": None,
    "needs": ["conversation"],
    "set_up": True,
    "changed_by": None,
    "changed_at": None,
}


@dataclass(frozen=True, kw_only=True)
class Room:
    """The workshop, the people who look at it, and how they open a browser."""

    hass: HomeAssistant
    workshop: MockConfigEntry
    brain: FakeBrain
    people: dict[str, MockUser]
    connect: WebSocketGenerator

    async def browser(self, user_id: str) -> MockHAClientWebSocket:
        """Open the browser of somebody."""
        auth = self.hass.auth
        refresh = await auth.async_create_refresh_token(self.people[user_id], CLIENT_ID)
        return await self.connect(self.hass, auth.async_create_access_token(refresh))

    async def push(self, topic: str, data: Json) -> None:
        """Let the brain tell something."""
        await push(self.hass, self.brain, topic, data)

    async def change(self, device_id: str, **changes: Any) -> None:
        """Let the brain tell that a device has changed."""
        await change(self.hass, self.brain, device_id, **changes)

    def administrator(self, user_id: str) -> str:
        """Make somebody an administrator; return who."""
        self.people[user_id].is_owner = True
        return user_id


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what tells who may see which device."""
    return (Platform.LOCK, Platform.LIGHT, Platform.SENSOR, Platform.SWITCH)


@pytest.fixture
def room(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    people: dict[str, MockUser],
    hass_ws_client: WebSocketGenerator,
) -> Room:
    """Give the workshop with whoever looks at it."""
    return Room(hass=hass, workshop=workshop, brain=brain, people=people, connect=hass_ws_client)


async def look(client: MockHAClientWebSocket, part: str, **more: Any) -> Json:
    """Subscribe to a part; return its first message."""
    return (await subscription(client, part, **more))[1]


async def subscription(client: MockHAClientWebSocket, part: str, **more: Any) -> tuple[int, Json]:
    """Subscribe to a part; return the id of the subscription and its first message."""
    await client.send_json_auto_id({"type": "kitty/subscribe", "part": part, **more})
    answer = await client.receive_json()
    assert answer["success"], answer
    return answer["id"], await heard(client)


async def heard(client: MockHAClientWebSocket) -> Json:
    """Return the next message of the only subscription."""
    message = await client.receive_json()
    assert message["type"] == "event"
    told: Json = message["event"]
    return told


async def end(client: MockHAClientWebSocket, number: int) -> None:
    """End the only subscription, which says so before it is over."""
    await client.send_json_auto_id({"type": "unsubscribe_events", "subscription": number})
    assert await heard(client) == {"ended": True}
    assert (await client.receive_json())["success"]


async def nothing_heard(client: MockHAClientWebSocket) -> None:
    """Fail if a message came since the last one."""
    await client.send_json_auto_id({"type": "ping"})
    assert (await client.receive_json())["type"] == "pong"


async def test_the_first_message_has_every_row_by_its_id(room: Room) -> None:
    """Whoever looks knows at once all that there is."""
    told = await look(await room.browser(room.administrator(ADA)), "devices")
    assert told["rows"].keys() == room.brain.devices.keys()
    assert told["rows"][DOOR]["state"] == {"locked": True, "open": False, "jammed": False}


async def test_a_device_says_by_which_id_actions_know_it(room: Room) -> None:
    """The panel calls actions, and those want Home Assistant's id."""
    told = await look(await room.browser(ADA), "devices")
    assert told["rows"][DOOR]["registry_id"] == at(room.hass, room.workshop, DOOR)


async def test_only_the_row_that_changed_is_told(room: Room) -> None:
    """A change costs one row."""
    client = await room.browser(ADA)
    await look(client, "devices")
    await room.change(LIGHT, state={"on": False})
    told = await heard(client)
    assert told["removed"] == []
    assert told["changed"].keys() == {LIGHT}
    assert told["changed"][LIGHT]["state"] == {"on": False}


async def test_what_concerns_another_part_is_not_told(room: Room) -> None:
    """A part is silent while only others change."""
    client = await room.browser(ADA)
    await look(client, "spools")
    await room.change(LIGHT, state={"on": False})
    await nothing_heard(client)


async def test_a_row_that_is_gone_is_removed(room: Room) -> None:
    """What the brain has no more leaves the page."""
    client = await room.browser(ADA)
    await look(client, "devices")
    await room.push("device.removed", {"id": LIGHT})
    assert await heard(client) == {"changed": {}, "removed": [LIGHT]}


async def test_nobody_sees_a_device_whose_entities_they_may_not_see(room: Room) -> None:
    """Eve may see the door, and nothing else."""
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    told = await look(await room.browser(EVE), "devices")
    assert told["rows"].keys() == {DOOR}


async def test_an_administrator_sees_a_device_without_entities(room: Room) -> None:
    """A camera has no entity among those that are loaded here; only Ada, who may see all, sees it."""
    room.people[EVE].mock_policy({"entities": True})
    seen = [
        (await look(await room.browser(who), "devices"))["rows"].keys()
        for who in (EVE, room.administrator(ADA))
    ]
    assert seen[1] - seen[0] == {"ca" * 16}


@pytest.mark.parametrize("part", ["events", "commands", "jobs"])
async def test_what_is_about_a_device_is_seen_by_those_who_see_it(room: Room, part: str) -> None:
    """Requests, commands and prints go with their device."""
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    client = await room.browser(EVE)
    await look(client, part)
    rows = {
        "events": ("safety.event", room.brain.event),
        "commands": ("command.updated", lambda one: room.brain.command(one, "lock")),
        "jobs": ("job.updated", lambda one: {"id": one, "device_id": one, "status": "printing"}),
    }
    topic, make = rows[part]
    await room.push(topic, make(PRINTER))
    await room.push(topic, make(DOOR))
    told = await heard(client)
    assert {row["device_id"] for row in told["changed"].values()} == {DOOR}


async def test_no_row_carries_what_approves_a_request(room: Room) -> None:
    """What is signed stays in the integration."""
    client = await room.browser(room.administrator(ADA))
    await look(client, "events")
    event = room.brain.event(DOOR)
    await room.push("safety.event", event)
    row = (await heard(client))["changed"][event["id"]]
    assert event.keys() - row.keys() == {"nonce", "subject", "policy_version"}


async def test_who_loses_a_right_loses_the_rows_at_once(room: Room) -> None:
    """Rights are asked anew when a user changes."""
    room.people[EVE].mock_policy({"entities": True})
    client = await room.browser(EVE)
    before = (await look(client, "devices"))["rows"]
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    room.hass.bus.async_fire("user_updated", {"user_id": BOB})
    await nothing_heard(client)
    room.hass.bus.async_fire("user_updated", {"user_id": EVE})
    told = await heard(client)
    assert told["changed"] == {}
    assert set(told["removed"]) == before.keys() - {DOOR}


async def test_rights_are_asked_anew_with_every_message(room: Room) -> None:
    """Also where nobody told that they changed, a change is not shown to who may not see it."""
    room.people[EVE].mock_policy({"entities": True})
    client = await room.browser(EVE)
    await look(client, "devices")
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    await room.change(LIGHT, state={"on": False})
    told = await heard(client)
    assert told["changed"] == {}
    assert LIGHT in told["removed"]


async def test_a_device_goes_with_the_last_entity_that_one_may_see(
    room: Room, entity_registry: er.EntityRegistry
) -> None:
    """What one may see of a device is what one may see of its entities, as they are now."""
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    client = await room.browser(EVE)
    await look(client, "devices")
    entity_registry.async_remove("lock.workshop_door")
    assert await heard(client) == {"changed": {}, "removed": [DOOR]}


async def test_a_renamed_entity_is_no_news(room: Room, entity_registry: er.EntityRegistry) -> None:
    """Only entities that come and go change what one may see, and those with another id."""
    client = await room.browser(ADA)
    await look(client, "devices")
    entity_registry.async_update_entity("lock.workshop_door", name="Gate")
    await nothing_heard(client)


async def test_a_device_goes_with_the_id_by_which_one_may_see_it(
    room: Room, entity_registry: er.EntityRegistry
) -> None:
    """Rights are given to the id of an entity."""
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    client = await room.browser(EVE)
    await look(client, "devices")
    entity_registry.async_update_entity("lock.workshop_door", new_entity_id="lock.gate")
    assert await heard(client) == {"changed": {}, "removed": [DOOR]}


async def test_a_device_goes_with_the_area_by_which_one_may_see_it(
    room: Room, device_registry: dr.DeviceRegistry
) -> None:
    """Rights are given to areas, too, and a device may be put into another one."""
    room.people[EVE].perm_lookup = PermissionLookup(er.async_get(room.hass), device_registry)
    room.people[EVE].mock_policy({"entities": {"area_ids": {ZONE: {"read": True}}}})
    client = await room.browser(EVE)
    assert DOOR in (await look(client, "devices"))["rows"]
    door = at(room.hass, room.workshop, DOOR)
    device_registry.async_update_device(door, area_id=None)
    assert await heard(client) == {"changed": {}, "removed": [DOOR]}
    device_registry.async_update_device(door, area_id=ZONE)
    assert (await heard(client))["changed"].keys() == {DOOR}


async def test_a_connection_has_so_many_subscriptions_and_no_more(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is looked through whenever an entity comes or goes; one that ends makes room for another."""
    monkeypatch.setattr("custom_components.kitty.websocket_api.MOST_SUBSCRIPTIONS", 2)
    client = await room.browser(EVE)
    request = {"type": "kitty/subscribe", "part": "devices"}
    number, _ = await subscription(client, "link")
    await subscription(client, "devices")
    await client.send_json_auto_id(request)
    refused = await client.receive_json()
    assert refused["error"]["code"] == "too_many_subscriptions"
    await end(client, number)
    assert (await look(client, "devices")).keys() == {"rows"}


async def test_a_queued_print_without_a_printer_is_seen_by_everybody(room: Room) -> None:
    """One that has a printer goes with it."""
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    client = await room.browser(EVE)
    await look(client, "queue")
    for key, printer in (("q1", PRINTER), ("q2", None)):
        await room.push("queue.updated", {"id": key, "status": "queued", "device_id": printer})
    assert (await heard(client))["changed"].keys() == {"q2"}


async def test_a_research_is_seen_by_who_asked_and_by_administrators(room: Room) -> None:
    """Those of the house are everybody's."""
    for key, who in (("r1", BOB), ("r2", EVE), ("r3", None)):
        row = {"id": key, "status": "running", "requested_by": who}
        await room.push("research.updated", row)
    seen = [
        set((await look(await room.browser(who), "researches"))["rows"])
        for who in (EVE, room.administrator(ADA))
    ]
    assert seen == [{"r2", "r3"}, {"r1", "r2", "r3"}]


@pytest.mark.parametrize("part", ["providers", "audit"])
async def test_some_parts_are_for_administrators(room: Room, part: str) -> None:
    """Others get no row, and no error either: the page is only not there."""
    await room.push("provider.updated", {"id": "p1", "name": "Model"})
    seen = [
        len((await look(await room.browser(who), part))["rows"])
        for who in (EVE, room.administrator(ADA))
    ]
    assert seen == [0, 1]


async def test_a_part_of_the_brain_says_which_switch_is_its(room: Room) -> None:
    """The panel turns the switch; who may not see it is not told of it."""
    await room.push("capability.updated", CAPABILITY)
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    told = [
        (await look(await room.browser(who), "capabilities"))["rows"]["models.far"]["entity_id"]
        for who in (room.administrator(ADA), EVE)
    ]
    assert told == ["switch.brain_models_outside_the_house", None]


async def test_a_whole_is_one_row(room: Room) -> None:
    """Health has no ids."""
    told = await look(await room.browser(EVE), "health")
    assert told["rows"] == {"whole": {"status": "ok", "parts": {}}}


async def test_of_the_fleet_one_sees_the_printers_that_one_may_see(room: Room) -> None:
    """A problem tells of its printer."""
    room.people[EVE].mock_policy(SEES_THE_DOOR)
    problems = [{"device_id": one, "code": "offline"} for one in (PRINTER, DOOR)]
    await room.push("fleet.updated", {"problems": problems})
    told = await look(await room.browser(EVE), "fleet")
    assert told["rows"]["whole"]["problems"] == problems[1:]


async def test_the_link_says_when_the_brain_goes_and_comes(room: Room) -> None:
    """Rows stay as they were; that they are old is told here."""
    client = await room.browser(EVE)
    told = (await look(client, "link"))["rows"][room.workshop.entry_id]
    assert told == {
        "entry_id": room.workshop.entry_id,
        "title": "Brain",
        "loaded": True,
        "connected": True,
        "version": told["version"],
        "trouble": None,
    }
    await gone(room.hass, room.brain, room.workshop)
    assert (await heard(client))["changed"][room.workshop.entry_id]["connected"] is False
    await room.brain.start()
    assert (await heard(client))["changed"][room.workshop.entry_id]["connected"] is True


async def test_a_reloaded_entry_is_followed_on(room: Room) -> None:
    """Nobody has to reload the page because somebody changed an option."""
    client = await room.browser(ADA)
    await look(client, "devices")
    assert await room.hass.config_entries.async_reload(room.workshop.entry_id)
    await settled(room.hass, room.brain)
    await nothing_heard(client)
    await room.change(LIGHT, state={"on": False})
    assert (await heard(client))["changed"].keys() == {LIGHT}


async def test_the_link_shows_an_entry_that_is_not_loaded(room: Room) -> None:
    """Also to who begins to look only then; rows are not known."""
    await room.hass.config_entries.async_unload(room.workshop.entry_id)
    client = await room.browser(ADA)
    link = (await look(client, "link"))["rows"][room.workshop.entry_id]
    assert (link["loaded"], link["connected"], link["version"]) == (False, False, None)
    assert link["trouble"] is None
    assert await look(client, "devices") == {"rows": {}, "known": False}


async def test_rows_become_known_when_the_entry_is_set_up(room: Room) -> None:
    """Once, and also where there are none: that nothing is there is known only then."""
    await room.hass.config_entries.async_unload(room.workshop.entry_id)
    client = await room.browser(ADA)
    told = await look(client, "spools")
    assert told == {"rows": {}, "known": False}
    room.hass.bus.async_fire("user_updated", {"user_id": ADA})
    await nothing_heard(client)
    await room.hass.config_entries.async_setup(room.workshop.entry_id)
    assert await heard(client) == {"rows": {}}


async def trouble_heard(room: Room, client: MockHAClientWebSocket, trouble: str | None) -> Json:
    """Return the link once it tells this trouble."""
    while True:
        link: Json = (await heard(client))["changed"][room.workshop.entry_id]
        if link["trouble"] == trouble:
            return link


async def trouble_after_reload(room: Room) -> str | None:
    """Return what keeps the brain from being heard when it was set up anew."""
    await room.hass.config_entries.async_reload(room.workshop.entry_id)
    told = await look(await room.browser(EVE), "link")
    trouble: str | None = told["rows"][room.workshop.entry_id]["trouble"]
    return trouble


async def test_a_token_that_is_asked_for_is_trouble_until_it_was_answered(room: Room) -> None:
    """Who looks reads what is to be done, although the entry stays set up."""
    client = await room.browser(EVE)
    await look(client, "link")
    room.brain.token = "another"
    await room.brain.drop()
    link = await trouble_heard(room, client, "reauth")
    assert (link["loaded"], link["connected"]) == (True, False)
    flows = room.hass.config_entries.flow
    [flow] = flows.async_progress_by_handler("kitty")
    flows.async_abort(flow["flow_id"])
    assert (await trouble_heard(room, client, None))["connected"] is False


async def test_a_brain_that_is_down_is_tried_again_without_people(room: Room) -> None:
    """Nothing has to be done but wait."""
    await room.brain.stop()
    assert await trouble_after_reload(room) == "retry"


async def test_a_version_that_does_not_fit_needs_people_until_it_does(room: Room) -> None:
    """Although Home Assistant tries it again by itself, too."""
    fits = room.brain.schema, room.brain.min_schema
    room.brain.schema = room.brain.min_schema = 99
    assert await trouble_after_reload(room) == "failed"
    assert room.workshop.state is ConfigEntryState.SETUP_RETRY
    room.brain.schema, room.brain.min_schema = fits
    assert await trouble_after_reload(room) is None


async def test_another_brain_at_the_address_needs_people(room: Room) -> None:
    """Nothing of it comes back by itself."""
    room.brain.hello_extra = {"public_key": "another"}
    assert await trouble_after_reload(room) == "failed"


async def test_another_integration_s_entry_is_no_news(room: Room) -> None:
    """Entries of others come and go."""
    client = await room.browser(ADA)
    await look(client, "link")
    other = MockConfigEntry(domain="other")
    other.add_to_hass(room.hass)
    room.hass.config_entries.async_update_entry(other, title="Another")
    await nothing_heard(client)


async def test_a_brain_that_is_named_is_the_one(room: Room) -> None:
    """Where there are several, the panel says which."""
    told = await look(await room.browser(ADA), "devices", entry_id=room.workshop.entry_id)
    assert DOOR in told["rows"]


async def test_a_brain_that_is_none_is_refused(room: Room) -> None:
    """The refusal has the code and the words of every other."""
    client = await room.browser(ADA)
    request = {"type": "kitty/subscribe", "part": "devices", "entry_id": "none"}
    await client.send_json_auto_id(request)
    answer = await client.receive_json()
    assert answer["success"] is False
    assert answer["error"]["translation_key"] == "no_brain"


async def test_whoever_looks_away_hears_nothing_more(room: Room) -> None:
    """An ended subscription says that it is over and leaves nothing behind; the link ends as parts do."""
    client = await room.browser(ADA)
    for part in ("devices", "link"):
        number, _ = await subscription(client, part)
        await end(client, number)
    await room.change(LIGHT, state={"on": False})
    await nothing_heard(client)


async def test_a_connection_that_ends_is_told_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its subscriptions end with it, and nobody is there any more."""
    client = await room.browser(ADA)
    await look(client, "devices")
    told: list[Json] = []
    monkeypatch.setattr(_Watch, "_tell", lambda _watch, message: told.append(message))
    await client.close()
    await room.hass.async_block_till_done()
    assert told == []


async def test_every_part_of_the_snapshot_can_be_looked_at(room: Room) -> None:
    """A part of which nobody said who sees it is in no list."""
    names = set(room.workshop.runtime_data.coordinator.data.__dataclass_fields__) - {"connected"}
    assert names | {"rights", "answering"} == set(PARTS)


async def test_a_second_brain_has_rows_of_its_own(room: Room) -> None:
    """Both are in the link; without a name the first is meant."""
    second = kitty_entry(FakeBrain(), {}, ())
    second.add_to_hass(room.hass)
    client = await room.browser(ADA)
    assert (await look(client, "link"))["rows"].keys() == {room.workshop.entry_id, second.entry_id}
    told = await look(client, "devices", entry_id=second.entry_id)
    assert told == {"rows": {}, "known": False}
    assert ZONE in {row["zone_id"] for row in (await look(client, "devices"))["rows"].values()}


async def test_a_code_goes_with_the_next_approval_of_its_request_alone(room: Room) -> None:
    """Once; what the action was called with does not hold it."""
    calls = async_capture_events(room.hass, "call_service")
    events = [room.brain.event(DOOR, intent) for intent in ("unlock", "open")]
    for event in events:
        await room.push("safety.event", event)
    client = await room.browser(ADA)
    await client.send_json_auto_id(
        {"type": "kitty/code", "event_id": events[0]["id"], "code": "secret"}
    )
    assert (await client.receive_json())["success"]
    for event in reversed(events):
        await act(room.hass, "approve", ADA, event_id=event["id"])
    assert [sent.get("pin") for sent in room.brain.sent("safety.decide")] == [None, "secret"]
    assert "secret" not in repr([call.data for call in calls])


async def test_a_code_is_kept_for_a_moment_only(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what nobody took is let go of when the next one comes."""
    now = 100.0
    monkeypatch.setattr("custom_components.kitty.codes.monotonic", lambda: now)
    hand_over(hass, ADA, "e1", "secret")
    hand_over(hass, ADA, "e2", "secret")
    now += KEPT_S + 1
    assert take(hass, ADA, "e1") is None
    assert take(hass, BOB, "e2") is None
    hand_over(hass, BOB, "e3", "other")
    assert take(hass, BOB, "e3") == "other"
    assert take(hass, BOB, "e3") is None
    assert "secret" not in repr(hass.data["kitty_codes"])


async def test_of_a_person_one_code_is_kept(hass: HomeAssistant) -> None:
    """Whoever sends thousands of them fills nothing; those of others stay."""
    hand_over(hass, BOB, "e1", "other")
    for number in range(1000):
        hand_over(hass, ADA, f"e{number}", "secret")
    assert len(hass.data["kitty_codes"]) == 2
    assert take(hass, ADA, "e1") is None
    assert take(hass, ADA, "e999") == "secret"
    assert take(hass, BOB, "e1") == "other"


async def test_whoever_named_no_brain_sees_the_one_that_comes_in_its_place(room: Room) -> None:
    """The brain was removed and added again while the page was open."""
    client = await room.browser(room.administrator(ADA))
    await look(client, "providers")
    await room.hass.config_entries.async_remove(room.workshop.entry_id)
    await nothing_heard(client)
    room.brain.providers["p"] = {"id": "p"}
    other = await set_up(room.hass, kitty_entry(room.brain))
    assert await heard(client) == {"changed": {"p": {"id": "p"}}, "removed": []}
    await room.hass.config_entries.async_unload(other.entry_id)
    room.workshop.add_to_hass(room.hass)  # which is unloaded after every test
