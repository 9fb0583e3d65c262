"""Channels: laid by administrators, written down, and used from a severity on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from brain_server.commands import Caller, Scope
from brain_server.errors import Conflict, InvalidRequest, KittyError, NotFound, Unavailable
from brain_server.notify import channels
from brain_server.protocol import Json
from brain_server.storage import tables
from tests.brain.notify.conftest import ADMIN, TOKEN, Desk, Receiver, enough, person

MAIL = {"type": "email", "name": "Mail", "target": "notify.mail"}
HOOK = {"type": "webhook", "name": "Flow", "target": "https://receiver.example/hook"}
DAN = Caller(token="house", scope=Scope.INTEGRATION, user_id="dan")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Use one kind of database: nothing here is different on the other."""
    return f"sqlite:///{tmp_path / 'brain.db'}"


async def add(desk: Desk, channel: Json = MAIL, **changes: Any) -> Json:
    """Add a channel."""
    return await desk.say("channels.put", channel | changes)


async def refused(desk: Desk, action: str, params: Json, caller: Caller = ADMIN) -> KittyError:
    """Return the error that a command ends with."""
    with pytest.raises(KittyError) as caught:
        await desk.say(action, params, caller)
    return caught.value


async def listed(desk: Desk) -> list[Json]:
    """Return the channels."""
    items: list[Json] = (await desk.say("channels.list"))["items"]
    return items


async def used(desk: Desk, severity: str) -> list[str]:
    """Return over which channels something of a severity goes."""
    await desk.tell(severity=severity, cooldown=0)
    names = {row["id"]: row["name"] for row in await listed(desk)}
    (*_, row) = await desk.listed()
    return [names[way["channel_id"]] for way in row["deliveries"]]


async def test_there_is_always_a_channel_to_the_phones(still: Desk) -> None:
    """Of everything; whom each severity rings, Home Assistant knows."""
    (push,) = await listed(still)
    assert (push["id"], push["type"], push["least_severity"], push["enabled"]) == (
        "push",
        "push",
        "info",
        True,
    )


async def test_a_channel_is_used_from_its_severity_on(still: Desk) -> None:
    """From a warning on, where nothing is said."""
    await add(still)
    await add(still, name="Pager", least_severity="critical")
    await add(still, name="Log", least_severity="info")
    assert await used(still, "info") == ["Phones", "Log"]
    assert await used(still, "warning") == ["Phones", "Log", "Mail"]
    assert await used(still, "critical") == ["Phones", "Log", "Mail", "Pager"]


async def test_a_channel_that_is_off_is_not_used(still: Desk) -> None:
    """Also that to the phones."""
    mail = await add(still)
    await still.say("channels.put", {"channel_id": mail["id"], "enabled": False})
    await still.say("channels.put", {"channel_id": "push", "enabled": False})
    assert await used(still, "critical") == []


async def test_a_change_leaves_the_rest_as_it_is(still: Desk) -> None:
    """Only what is said changes."""
    mail = await add(still, least_severity="info")
    changed = await still.say("channels.put", {"channel_id": mail["id"], "name": "Post"})
    assert changed == mail | {"name": "Post"}
    assert (await listed(still))[1] == changed


async def test_the_secret_of_a_webhook_is_told_once(still: Desk) -> None:
    """When it is made, and never again."""
    made = await add(still, HOOK)
    assert made["secret"].startswith("whsec_")
    changed = await still.say("channels.put", {"channel_id": made["id"], "name": "Other"})
    assert [
        name for row in (changed, *await listed(still)) for name in row if name == "secret"
    ] == []


async def test_a_webhook_can_have_a_new_secret(still: Desk) -> None:
    """Which is used from then on."""
    made = await add(still, HOOK)
    again = await still.say("channels.put", {"channel_id": made["id"], "new_secret": True})
    assert again["secret"] != made["secret"]
    query = select(tables.channels.c.secret)
    kept = await still.database.read(lambda connection: connection.execute(query).scalar())
    assert kept == again["secret"]


async def test_a_mail_has_no_secret(still: Desk) -> None:
    """Whatever is asked for."""
    assert "secret" not in await add(still, new_secret=True)


async def test_two_channels_do_not_have_one_name(still: Desk) -> None:
    """People tell them apart by it."""
    await add(still)
    err = await refused(still, "channels.put", HOOK | {"name": "Mail"})
    assert (type(err), err.code) == (Conflict, "channel_exists")


async def test_there_are_not_more_channels_than_anybody_needs(
    still: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a delivery of everything."""
    monkeypatch.setattr(channels, "MOST_CHANNELS", 2)
    for number in range(2):
        await add(still, name=str(number))
    assert (await refused(still, "channels.put", MAIL)).code == "too_many_channels"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"type": "email", "name": "Mail"},
        MAIL | {"type": "push"},
        MAIL | {"name": ""},
        MAIL | {"name": "a\nb"},
        MAIL | {"target": "light.lamp"},
        MAIL | {"target": "notify."},
        MAIL | {"target": "notify.a.b"},
        MAIL | {"target": "notify.Mail"},
        MAIL | {"target": "notify.a b"},
        MAIL | {"least_severity": "loud"},
        MAIL | {"secret": "mine"},
    ],
)
async def test_a_channel_that_could_lead_nowhere_is_refused(still: Desk, wrong: Json) -> None:
    """And nothing is stored or written down of it."""
    err = await refused(still, "channels.put", wrong)
    assert (type(err), err.code) == (InvalidRequest, "invalid_params")
    assert (len(await listed(still)), still.audited) == (1, [])


async def test_a_webhook_to_where_none_may_go_is_refused(still: Desk) -> None:
    """When it is set, and again whenever it is used; here, to anything but this machine."""
    err = await refused(still, "channels.put", HOOK | {"target": "http://10.0.0.1/"})
    assert err.code == "url_refused"


@pytest.mark.parametrize(
    ("channel_id", "change"),
    [("push", {"name": "X"}), ("push", {"target": "notify.x"}), (None, {"type": "slack"})],
)
async def test_what_a_channel_is_does_not_change(
    still: Desk, channel_id: str | None, change: Json
) -> None:
    """It is another channel then."""
    identity = channel_id or (await add(still))["id"]
    err = await refused(still, "channels.put", {"channel_id": identity} | change)
    assert err.code == "invalid_params"


async def test_a_channel_can_be_removed(still: Desk) -> None:
    """It is not used any more."""
    mail = await add(still)
    assert await still.say("channels.remove", {"channel_id": mail["id"]}) == {"removed": True}
    assert await used(still, "critical") == ["Phones"]


async def test_what_is_on_its_way_over_a_removed_channel_fails(desk: Desk) -> None:
    """It is not tried for an hour."""
    await desk.say("channels.put", {"channel_id": "push", "enabled": False})
    desk.off = {"notifications"}
    mail = await add(desk)
    await desk.tell()
    await desk.say("channels.remove", {"channel_id": mail["id"]})
    desk.off = set()
    row = await desk.rested("dead")
    assert (row["tries"], row["error"]["code"]) == (1, "channel_not_found")
    assert (await desk.way())["status"] == "failed"


async def test_the_channel_to_the_phones_stays(still: Desk) -> None:
    """It can be switched off."""
    err = await refused(still, "channels.remove", {"channel_id": "push"})
    assert err.code == "channel_stays"


@pytest.mark.parametrize("action", ["channels.put", "channels.remove", "channels.test"])
async def test_a_channel_that_there_is_not_is_not_found(still: Desk, action: str) -> None:
    """Under any id."""
    err = await refused(still, action, {"channel_id": "0" * 32})
    assert (type(err), err.code) == (NotFound, "channel_not_found")


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("channels.list", {}),
        ("channels.put", HOOK),
        ("channels.remove", {"channel_id": "x"}),
        ("channels.test", {"channel_id": "push"}),
    ],
)
async def test_only_administrators_say_who_hears_of_the_house(
    still: Desk, action: str, params: Json
) -> None:
    """Nobody else even sees where it goes."""
    assert (await refused(still, action, params, TOKEN)).code == "scope_required"


async def test_who_laid_or_removed_a_channel_is_written_down(still: Desk) -> None:
    """Without its address, which may be a secret."""
    made = await still.say("channels.put", HOOK, DAN)
    await still.say("channels.remove", {"channel_id": made["id"]}, DAN)
    put, removed = still.audited
    assert put == (
        "channel_put",
        "dan",
        {"channel_id": made["id"], "type": "webhook", "enabled": True, "token": "house"},
    )
    assert removed == ("channel_removed", "dan", {"channel_id": made["id"], "token": "house"})


async def test_a_test_of_the_phones_rings_those_of_who_asks(still: Desk) -> None:
    """At any hour, at once, and nobody else's."""
    assert await still.say("channels.test", {"channel_id": "push"}, person("ada")) == {
        "sent": True,
        "told": ["ada"],
    }
    assert [asked["user_id"] for asked in still.home.asked] == ["ada"]


async def test_a_test_by_a_token_is_for_all(still: Desk) -> None:
    """It is nobody's own."""
    mail = await add(still)
    await still.say("channels.test", {"channel_id": mail["id"]})
    assert [(one["user_id"], one["target"]) for one in still.home.asked] == [(None, "notify.mail")]


async def test_a_test_says_what_is_wrong(still: Desk, receiver: Receiver) -> None:
    """That is what it is for."""
    receiver.status = 401
    made = await add(still, HOOK, target="https://receiver.example/")
    change = tables.channels.update().values(target=receiver.url)
    await still.database.write(lambda connection: connection.execute(change).rowcount)
    err = await refused(still, "channels.test", {"channel_id": made["id"]})
    assert isinstance(err, Unavailable)
    assert err.fields["http_status"] == 401


@pytest.mark.parametrize(("channel", "switch"), [(HOOK, "webhooks"), (MAIL, "notifications")])
async def test_a_test_sends_nothing_that_is_switched_off(
    still: Desk, channel: Json, switch: str
) -> None:
    """It says so."""
    made = await add(still, channel)
    still.off = {switch}
    err = await refused(still, "channels.test", {"channel_id": made["id"]})
    assert (err.code, still.home.asked) == ("capability_off", [])


async def meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, action: str, **params: Any
) -> list[Json]:
    """Say something of a channel that is just being renamed to Post; returns the channels afterwards."""
    channel_id = (await add(desk))["id"]
    begun, held = asyncio.Event(), asyncio.Event()

    async def slow(*_line: Any) -> None:
        begun.set()
        await held.wait()

    async with asyncio.TaskGroup() as group:
        with monkeypatch.context() as once:
            once.setattr(desk.channels, "_audit", slow)
            renaming = {"channel_id": channel_id, "name": "Post"}
            group.create_task(desk.say("channels.put", renaming))
            await begun.wait()
        group.create_task(desk.say(action, {"channel_id": channel_id} | params))
        await enough(desk)
        held.set()
    return await listed(desk)


async def test_two_changes_at_once_are_both_kept(
    still: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that one person switches off does not come on because another one renames it."""
    (_, mail) = await meanwhile(still, monkeypatch, "channels.put", enabled=False)
    assert (mail["name"], mail["enabled"]) == ("Post", False)


async def test_a_channel_that_is_removed_while_it_is_changed_stays_removed(
    still: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = await meanwhile(still, monkeypatch, "channels.remove")
    assert [one["id"] for one in left] == ["push"]
