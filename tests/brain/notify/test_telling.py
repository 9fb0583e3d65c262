"""What people are told: once for an incident, by whom it concerns, and the first answer counts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from brain_server.commands import Scope
from brain_server.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    KittyError,
    NotFound,
)
from brain_server.notify import Action, put
from brain_server.protocol import Json
from brain_server.storage import tables
from tests.brain.notify.conftest import ADMIN, HOUSE, TOKEN, Desk, enough, eventually, person

HOUR = 3600.0


async def outbox(desk: Desk) -> list[Json]:
    """Return what other programs are told."""
    query = select(tables.outbox).order_by(tables.outbox.c.id)
    return await desk.database.read(
        lambda connection: [dict(row) for row in connection.execute(query).mappings()]
    )


async def refused(desk: Desk, action: str, params: Json, **given: Any) -> KittyError:
    """Return the error that a command ends with."""
    with pytest.raises(KittyError) as caught:
        await desk.say(action, params, **given)
    return caught.value


async def test_what_is_told_is_kept_with_its_deliveries(still: Desk) -> None:
    """One for each channel; at first, that to the phones."""
    told = await still.tell(key="disk", title="Disk", message="Full", data={"free": 0})
    (row,) = await still.listed()
    assert row["id"] == told
    assert (row["key"], row["severity"], row["title"], row["message"]) == (
        "disk",
        "warning",
        "Disk",
        "Full",
    )
    assert (row["data"], row["actions"], row["repeats"], row["answer"]) == (
        {"free": 0},
        [],
        0,
        None,
    )
    (way,) = row["deliveries"]
    assert (way["channel_id"], way["status"], way["attempts"]) == ("push", "queued", [])


async def test_what_is_rolled_back_was_never_told(still: Desk) -> None:
    """It is written with what it tells of, or not at all."""

    def work(connection: Connection) -> None:
        put(connection, 1.0, key="k", severity="info", title="T", message="M")
        raise NotFound("gone", "Gone")

    with pytest.raises(NotFound):
        await still.database.write(work)
    assert (await still.listed(), await still.work(), await outbox(still)) == ([], [], [])


async def test_what_comes_again_within_its_cooldown_is_only_counted(still: Desk) -> None:
    """An hour, where nothing else is said."""
    first = await still.tell()
    still.clock.advance(HOUR - 1)
    assert [await still.tell(), await still.tell()] == [None, None]
    (row,) = await still.listed()
    assert (row["id"], row["repeats"], len(row["deliveries"])) == (first, 2, 1)


async def test_after_its_cooldown_it_is_told_again(still: Desk) -> None:
    """Counted from when it was told, so that what never ends is heard of now and then."""
    await still.tell()
    still.clock.advance(HOUR / 2)
    assert await still.tell() is None
    still.clock.advance(HOUR / 2)
    assert await still.tell() is not None
    assert [row["repeats"] for row in await still.listed()] == [1, 0]


@pytest.mark.parametrize(("cooldown", "again"), [(0.0, True), (60.0, True), (120.0, False)])
async def test_a_cooldown_can_be_chosen(still: Desk, cooldown: float, again: bool) -> None:
    """None at all, too."""
    await still.tell(cooldown=cooldown)
    still.clock.advance(60)
    assert (await still.tell(cooldown=cooldown) is not None) == again


async def test_a_clock_that_is_put_back_silences_nothing_for_long(still: Desk) -> None:
    """What was told in a future that was none does not count."""
    await still.tell()
    still.clock.advance(-2 * HOUR)
    assert await still.tell() is not None


async def test_what_gets_worse_is_told_at_once(still: Desk) -> None:
    """And what gets better is not."""
    told = [
        await still.tell(severity=severity) is not None
        for severity in ("info", "warning", "critical", "critical", "info")
    ]
    assert told == [True, True, True, False, False]


async def test_two_incidents_are_told_beside_each_other(still: Desk) -> None:
    """Each has its key."""
    assert await still.tell(key="one") is not None
    assert await still.tell(key="two") is not None


async def test_what_one_person_was_told_another_does_not_know(still: Desk) -> None:
    """The same incident, told to each of them and to all."""
    told = [await still.tell(user_id=user_id) for user_id in ("ada", "bob", None)]
    assert None not in told


async def test_of_many_who_tell_of_one_incident_at_once_one_is_heard(still: Desk) -> None:
    """Whichever it is."""
    told = await asyncio.gather(*(still.tell() for _ in range(20)))
    assert sum(one is not None for one in told) == 1
    assert (await still.listed())[0]["repeats"] == 19


async def test_hostile_words_are_stored_as_text(still: Desk) -> None:
    """Nobody who shows them later has to think of it."""
    await still.tell(
        key="<k>\n",
        title="<script>\r\nX\x00",
        message="a<br>\x1bb",
        data={"page": "<a>"},
        actions=[Action(id="<i>", title="<b>Yes</b>\x07")],
    )
    (row,) = await still.listed()
    assert not {"<", ">", "\x00", "\x07", "\x1b", "\r"} & set(repr(row))
    assert (row["title"], row["message"]) == ("\u2039script\u203a X", "a\u2039br\u203ab")


async def test_other_programs_are_told_with_it(still: Desk) -> None:
    """Those of one incident in their order."""
    await still.tell(key="disk", title="Disk", message="Full")
    (row,) = await outbox(still)
    assert (row["topic"], row["key"], row["name"]) == (
        "notification",
        "disk",
        "notification.created",
    )
    assert (row["data"]["title"], row["data"]["message"]) == ("Disk", "Full")


async def test_what_is_for_one_person_is_told_to_programs_without_its_words(still: Desk) -> None:
    """A broker has many readers."""
    await still.tell(user_id="ada", message="Your secret")
    (row,) = await outbox(still)
    assert row["data"]["user_id"] == "ada"
    assert "secret" not in repr(row)


# -- commands -----------------------------------------------------------------------------------------


async def test_scripts_can_tell_people_something(still: Desk) -> None:
    """Without a key it is an incident of its own each time."""
    told = [await still.say("notifications.send", {"message": "Hello"}, TOKEN) for _ in range(2)]
    assert [one["repeated"] for one in told] == [False, False]
    rows = await still.listed()
    assert [row["id"] for row in rows] == [one["id"] for one in told]
    assert {(row["severity"], row["message"]) for row in rows} == {("info", "Hello")}


async def test_scripts_can_tell_of_an_incident(still: Desk) -> None:
    """With a key, a cooldown, for one person, with data and answers."""
    sent = {"message": "M", "title": "T", "severity": "critical", "key": "k", "cooldown": 5}
    sent |= {"user_id": "ada", "data": {"a": 1}, "actions": [{"id": "yes", "title": "Yes"}]}
    await still.say("notifications.send", sent, TOKEN)
    again = await still.say("notifications.send", sent, TOKEN)
    assert again == {"id": None, "repeated": True}
    (row,) = await still.listed()
    assert (row["user_id"], row["data"], row["repeats"]) == ("ada", {"a": 1}, 1)
    assert row["actions"] == [{"id": "yes", "title": "Yes"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"message": ""},
        {"message": "M", "severity": "loud"},
        {"message": "M", "cooldown": -1},
        {"message": "M", "actions": [{"id": str(one), "title": "T"} for one in range(4)]},
        {"message": "M", "actions": [{"id": "a", "title": "T", "command": "devices.remove"}]},
    ],
)
async def test_what_makes_no_sense_is_refused(still: Desk, wrong: Json) -> None:
    """Above all an answer that would run a command."""
    assert (await refused(still, "notifications.send", wrong)).code == "invalid_params"


async def test_what_is_for_one_person_only_that_person_sees(still: Desk) -> None:
    """And administrators; a token of a script is nobody."""
    await still.tell(key="all")
    await still.tell(key="ada", user_id="ada")
    await still.tell(key="bob", user_id="bob")
    seen = [
        [row["key"] for row in await still.listed(caller)]
        for caller in (person("ada"), TOKEN, ADMIN, HOUSE)
    ]
    assert seen == [["all", "ada"], ["all"], ["all", "ada", "bob"], ["all", "ada", "bob"]]


async def test_the_list_comes_in_pages_from_either_end(still: Desk) -> None:
    """Of one severity, where somebody wants that."""
    for number, severity in enumerate(("info", "critical", "info", "info")):
        await still.tell(key=str(number), severity=severity)

    async def pages(**given: Any) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = await still.say("notifications.list", {"limit": 2, "cursor": cursor} | given)
            found.append([row["key"] for row in page["items"]])
            if (cursor := page["cursor"]) is None:
                return found

    assert await pages() == [["0", "1"], ["2", "3"]]
    assert await pages(newest_first=True) == [["3", "2"], ["1", "0"]]
    assert await pages(severity="info") == [["0", "2"], ["3"]]


# -- answers ------------------------------------------------------------------------------------------

GO = Action(id="go", title="Go", command="goals.decide", params={"goal_id": "g"})
NO = Action(id="no", title="No")


async def asked(desk: Desk, user_id: str | None = None) -> str:
    """Ask people something."""
    told = await desk.tell(key="goal", actions=[GO, NO], user_id=user_id)
    assert told is not None
    return told


async def test_an_answer_runs_its_command_as_the_person_who_gave_it(still: Desk) -> None:
    """With the rights of that person, by the road of a phone, and not with those of Home Assistant."""
    identity = await asked(still)
    answer = {"notification_id": identity, "action": "go"}
    told = await still.say("notifications.answer", answer, person("ada"))
    finger = replace(person("ada"), scope=Scope.CONTROL)
    assert still.ran == [("goals.decide", finger, {"goal_id": "g"})]
    assert told == {"id": identity, "key": "goal", "action": "go", "user_id": "ada"}
    assert still.told[-1] == ("notification.answered", told)


async def test_an_answer_is_kept_and_told(still: Desk) -> None:
    """Who gave which, and when; its command nobody sees."""
    identity = await asked(still)
    still.clock.advance(5)
    await still.say(
        "notifications.answer", {"notification_id": identity, "action": "no"}, person("bob")
    )
    (row,) = await still.listed()
    assert (row["answer"], row["answered_by"], row["answered_at"]) == ("no", "bob", still.clock.now)
    assert row["actions"] == [{"id": "go", "title": "Go"}, {"id": "no", "title": "No"}]
    event = (await outbox(still))[-1]
    assert (event["name"], event["data"]["answer"]) == ("notification.answered", "no")
    assert still.ran == []


async def test_only_who_was_asked_may_answer(still: Desk) -> None:
    """Nothing is done for anybody else, nor for nobody."""
    answer = {"notification_id": await asked(still, "ada"), "action": "go"}
    for caller in (person("bob"), HOUSE):
        err = await refused(still, "notifications.answer", answer, caller=caller)
        assert isinstance(err, Forbidden)
        assert err.code == "not_addressed"
    assert still.ran == []
    await still.say("notifications.answer", answer, person("ada"))


async def test_only_home_assistant_may_say_whose_answer_it_is(still: Desk) -> None:
    """No token of a script or an administrator."""
    answer = {"notification_id": await asked(still), "action": "no"}
    err = await refused(still, "notifications.answer", answer, caller=ADMIN)
    assert err.code == "scope_required"


async def test_the_first_answer_counts(still: Desk) -> None:
    """The second is told what the first was."""
    answer = {"notification_id": await asked(still), "action": "no"}
    await still.say("notifications.answer", answer, person("ada"))
    err = await refused(
        still, "notifications.answer", answer | {"action": "go"}, caller=person("bob")
    )
    assert isinstance(err, Conflict)
    assert (err.code, err.fields) == ("already_answered", {"answer": "no"})
    assert still.ran == []


async def test_of_two_answers_at_once_one_counts(still: Desk) -> None:
    """Whichever it is."""
    answer = {"notification_id": await asked(still), "action": "no"}
    given = await asyncio.gather(
        *(still.say("notifications.answer", answer, person(name)) for name in ("ada", "bob")),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in given) == ["Conflict", "dict"]


async def test_what_is_done_is_what_was_answered(
    still: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers otherwise while it is being done comes too late."""
    answer = {"notification_id": await asked(still), "action": "go"}
    begun, held = asyncio.Event(), asyncio.Event()

    async def slow(*_asked: Any) -> None:
        begun.set()
        await held.wait()

    monkeypatch.setattr(still.notify, "run", slow)
    async with asyncio.TaskGroup() as group:
        going = group.create_task(still.say("notifications.answer", answer, person("ada")))
        await begun.wait()
        late = answer | {"action": "no"}
        group.create_task(refused(still, "notifications.answer", late, caller=person("bob")))
        await enough(still)
        held.set()
    assert going.result()["action"] == "go"
    assert [row["answer"] for row in await still.listed()] == ["go"]


async def test_an_answer_that_was_kept_is_told_though_nobody_waits_for_it(
    still: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the others would be asked for ever."""
    answer = {"notification_id": await asked(still), "action": "no"}
    write, begun, held = still.database.write, asyncio.Event(), asyncio.Event()

    async def slow(work: Any) -> Any:
        found = await write(work)
        begun.set()
        await held.wait()
        return found

    monkeypatch.setattr(still.database, "write", slow)
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(still.say("notifications.answer", answer, person("ada")))
        await begun.wait()
        giving.cancel()
    held.set()
    await eventually(lambda: still.told)
    assert still.told[-1][0] == "notification.answered"


async def test_nobody_is_heard_while_an_answer_is_kept_for_which_nobody_waits_any_more(
    still: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second one wants would be done, and what the first one said would count."""
    answer = {"notification_id": await asked(still), "action": "no"}
    write, begun, held = still.database.write, asyncio.Event(), asyncio.Event()

    async def slow(work: Any) -> Any:
        begun.set()
        await held.wait()
        return await write(work)

    with monkeypatch.context() as once:
        once.setattr(still.database, "write", slow)
        async with asyncio.TaskGroup() as group:
            giving = group.create_task(still.say("notifications.answer", answer, person("ada")))
            await begun.wait()
            giving.cancel()
    late = refused(still, "notifications.answer", answer | {"action": "go"}, caller=person("bob"))
    async with asyncio.TaskGroup() as group:
        refusing = group.create_task(late)
        await enough(still)
        held.set()
    assert (refusing.result().code, still.ran) == ("already_answered", [])


async def test_what_cannot_be_done_was_not_answered(still: Desk) -> None:
    """It can be answered again."""
    answer = {"notification_id": await asked(still), "action": "go"}
    still.refusal = Forbidden("role_required", "Not you")
    err = await refused(still, "notifications.answer", answer, caller=person("ada"))
    assert err.code == "role_required"
    still.refusal = None
    await still.say("notifications.answer", answer, person("ada"))
    assert len(still.ran) == 1


async def test_nothing_else_can_be_answered_than_was_offered(still: Desk) -> None:
    """Nor where nothing was asked at all."""
    answer = {"notification_id": await asked(still), "action": "other"}
    err = await refused(still, "notifications.answer", answer, caller=person("ada"))
    assert (type(err), err.code) == (InvalidRequest, "unknown_answer")
    nothing = {"notification_id": "0" * 32, "action": "go"}
    err = await refused(still, "notifications.answer", nothing, caller=person("ada"))
    assert (type(err), err.code) == (NotFound, "notification_not_found")


# -- forgetting ---------------------------------------------------------------------------------------


async def test_what_was_told_long_ago_is_forgotten(still: Desk) -> None:
    """With its deliveries, after three months."""
    await still.tell(key="old")
    still.clock.advance(60 * 86_400)
    await still.tell(key="new")
    still.clock.advance(40 * 86_400)
    await still.notify.tidy()
    assert [row["key"] for row in await still.listed()] == ["new"]
    query = select(tables.deliveries)
    left = await still.database.read(lambda connection: connection.execute(query).all())
    assert len(left) == 1


async def test_a_delivery_whose_work_was_cancelled_has_failed(still: Desk) -> None:
    """Nobody would ever bring it."""
    await still.tell()
    (work,) = await still.work()
    await still.schedule.work._rows.cancel(work["id"])
    await still.notify.tidy()
    way = await still.way()
    assert (way["status"], way["attempts"][0]["code"]) == ("failed", "cancelled")


async def test_a_delivery_that_still_waits_stays(still: Desk) -> None:
    """Tidying up gives nothing up."""
    await still.tell()
    await still.notify.tidy()
    assert (await still.way())["status"] == "queued"
