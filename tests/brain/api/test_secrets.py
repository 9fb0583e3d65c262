"""What a token may read of secrets: only Home Assistant sees what approves, addresses, codes and alarms."""

import json

import pytest

from brain_server.protocol import Json
from tests.brain.home import Home, Rest, Socket

BELOW = ["read", "control", "admin"]
PEOPLE = [
    {"id": name, "display_name": name.title(), "email": f"{name}@example.com", "roles": ["safety"]}
    for name in ("ada", "bob")
]


async def waiting(home: Home) -> tuple[Json, list[str]]:
    """Have ada ask for a door, and bob set codes; returns the event and all that nobody else may see."""
    rules = {"users": PEOPLE, "zones": [{"id": "shop", "name": "Shop"}], "policies": []}
    await home.command("safety.sync", rules)
    await home.command(
        "safety.pin",
        {"user_id": "bob", "pin": "1234", "duress_pin": "4321"},
        caller={"user_id": "bob", "channel": "dashboard"},
    )
    door = await home.puppet("door", "door")
    event = (await home.request(door.context.device_id, "unlock"))["event"]
    return event, [event["nonce"], "ada@example.com", "bob@example.com", "pin", "duress"]


def found(secrets: list[str], told: object) -> list[str]:
    """Return the secrets that are in what was told."""
    text = json.dumps(told)
    return [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("scope", BELOW)
async def test_a_snapshot_and_its_events_hold_no_secret(home: Home, scope: str) -> None:
    """Neither what is open when a client subscribes nor what happens afterwards."""
    event, secrets = await waiting(home)
    async with Socket(home.brain, await home.token(scope)) as socket:
        snapshot = await socket.subscribe()
        await home.decide(event, "bob", pin="1234")
        await socket.event("safety.event", lambda one: one["status"] == "approved")
    assert [one["id"] for one in snapshot["data"]["events"]] == [event["id"]]
    assert found(secrets, [snapshot, socket.events]) == []


@pytest.mark.parametrize("scope", BELOW)
async def test_what_was_missed_is_told_without_secrets_as_well(home: Home, scope: str) -> None:
    """A client that resumes gets each event as it would have got it."""
    async with Socket(home.brain, await home.token(scope)) as socket:
        before = await socket.subscribe()
        where = {"epoch": before["epoch"], "after": before["event_id"]}
        event, secrets = await waiting(home)
        socket.events.clear()
        await socket.subscribe(**where)
        told = await socket.event("safety.event")
    assert told == {name: value for name, value in event.items() if name != "nonce"}
    assert found(secrets, socket.events) == []


@pytest.mark.parametrize("action", ["safety.events", "safety.users", "commands.list"])
async def test_no_list_holds_a_secret(home: Home, action: str) -> None:
    """Lists are for programs of all kinds."""
    _, secrets = await waiting(home)
    async with Rest(home.brain, await home.token("read")) as rest:
        answer = await rest.get(f"/api/v1/{action}")
    assert len(answer.data["items"]) >= 1
    assert found(secrets, answer.data) == []


async def test_a_program_that_asks_is_not_told_how_to_approve(home: Home) -> None:
    """It gets the event without what makes it unique, also when it takes its request back."""
    _, _ = await waiting(home)
    device_id = (await home.command("devices.list"))["items"][0]["id"]
    wish = {"device_id": device_id, "intent": "open"}
    async with Rest(home.brain, await home.token("control")) as rest:
        asked = (await rest.act("devices.request", wish)).data["event"]
    assert (asked["status"], "nonce" in asked) == ("pending", False)


async def test_only_home_assistant_hears_of_force_and_of_wrong_codes(home: Home) -> None:
    """Whoever forces a person may be looking at a screen."""
    event, _ = await waiting(home)
    async with Socket(home.brain, await home.token("admin")) as socket:
        await socket.subscribe()
        await home.decide(event, "bob", pin="4321")
        attempt = {"user_id": "ada", "reason": "wrong_token"}
        for _ in range(5):
            await home.command("safety.attempt", attempt)
        await home.event("safety.lockout")
        await home.event("safety.duress")
        await home.command("safety.presence", _seen("ada"), caller={"user_id": "ada"})
        last = home.events[-1]["event_id"]
        await socket.event("audit.head", lambda head: head["seq"] >= home.events[-1]["data"]["seq"])
    names = {one["event"] for one in socket.events}
    assert names & {"safety.duress", "safety.lockout"} == set()
    assert {"safety.event", "command.updated"} <= names
    assert max(one["event_id"] for one in socket.events) >= last


@pytest.mark.parametrize("scope", BELOW)
async def test_only_home_assistant_hears_what_a_person_is_told(home: Home, scope: str) -> None:
    """Neither a late answer nor a request of several steps is for the programs of others."""
    async with Socket(home.brain, await home.token(scope)) as socket:
        await socket.subscribe()
        reply = {"conversation_id": "c", "owner": "ada", "text": "Your parcel is here."}
        home.brain.bus.publish("conversation.reply", reply)
        home.brain.bus.publish("run.updated", {"id": "r", "goal": "Find my parcel"})
        home.brain.bus.publish("rules.changed", {"at": 1})
        await socket.event("rules.changed")
        await home.event("conversation.reply")
        await home.event("run.updated")
    assert {one["event"] for one in socket.events} & {"conversation.reply", "run.updated"} == set()


def _seen(user: str) -> Json:
    return {
        "zone_id": "shop",
        "user_id": user,
        "source": "override",
        "status": "present",
        "observed_at": 1.0,
    }


@pytest.mark.parametrize("scope", ["read", "control"])
async def test_the_trail_is_for_administrators(home: Home, scope: str) -> None:
    """It tells who has a code, whose was wrong, and who was forced."""
    async with Socket(home.brain, await home.token(scope)) as socket:
        assert await socket.refusal("audit.list") == "scope_required"
        assert (await socket.command("audit.verify"))["ok"]


async def test_home_assistant_sees_all_that_it_has_to_check(home: Home) -> None:
    """It computes the subject anew from the nonce."""
    event, _ = await waiting(home)
    (listed,) = (await home.command("safety.events"))["items"]
    users = (await home.command("safety.users"))["items"]
    assert listed["nonce"] == event["nonce"]
    assert {user["email"] for user in users} >= {"ada@example.com", "bob@example.com"}
