"""Conversations: each turn recorded or refused, one at a time, for the one whose it is."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select, text, update

from brain_server.app import Brain
from brain_server.conversation import threads
from brain_server.routing import NO_MODEL
from brain_server.storage.tables import conversations, decisions, messages
from tests.brain.gatehouse import busy
from tests.brain.home import Home, Later, Refused, Rest, at_home, running, until

TTL = 3600.0
ADA = {"caller": {"user_id": "ada", "channel": "assist"}}


async def rows(brain: Brain, table: Table) -> list[Any]:
    """Return every row of a table, oldest first."""
    query = select(table).order_by(table.c.id)
    return await brain.brain_db.read(
        lambda connection: [dict(row) for row in connection.execute(query).mappings()]
    )


async def counts(brain: Brain) -> tuple[int, ...]:
    """Return how many conversations, messages and decisions there are."""

    def count(connection: Any) -> tuple[int, ...]:
        tables = (conversations, messages, decisions)
        return tuple(
            connection.execute(select(func.count()).select_from(table)).scalar() for table in tables
        )

    return await brain.brain_db.read(count)


# -- recorded -----------------------------------------------------------------------------------------


async def test_a_turn_is_one_conversation_two_messages_and_one_decision(
    home: Home, brain: Brain
) -> None:
    """All under the id of the request."""
    said = await home.say("help", context_id="ctx-1")
    (conversation,) = await rows(brain, conversations)
    both, (decision,) = await rows(brain, messages), await rows(brain, decisions)
    assert conversation["id"] == said["conversation_id"]
    assert (conversation["owner"], conversation["participants"]) == ("ada", ["ada"])
    assert [(one["role"], one["user_id"], one["text"]) for one in both] == [
        ("user", "ada", "help"),
        ("assistant", None, said["text"]),
    ]
    assert {one["request_id"] for one in (*both, decision)} == {"ctx-1"}
    assert {one["conversation_id"] for one in (*both, decision)} == {said["conversation_id"]}


async def test_a_decision_tells_who_answered_how_surely_for_how_much_and_how_fast(
    home: Home, brain: Brain
) -> None:
    """The words themselves are only there as their hash."""
    await home.say("help")
    (decision,) = await rows(brain, decisions)
    assert decision["input_hash"] == hashlib.sha256(b"help").hexdigest()
    assert (decision["tier"], decision["confidence"], decision["cost"]) == ("local", 1.0, 0.0)
    assert (decision["reason"], decision["performed_by"]) == ("help", "ada")
    assert decision["latency_ms"] > 0


async def test_the_next_turn_joins_the_conversation(home: Home, brain: Brain) -> None:
    """Two more messages and one more decision."""
    first = await home.say("help")
    second = await home.say("help", conversation_id=first["conversation_id"])
    assert second["conversation_id"] == first["conversation_id"]
    assert await counts(brain) == (1, 4, 2)


async def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A question that is open is still open."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        await home.puppet("door", "door", name="Lab door")
        asked = await home.say("unlock the lab door")
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        said = await home.say("cancel", conversation_id=asked["conversation_id"])
        assert await counts(brain) == (1, 4, 2)
    assert said["text"] == "All right, I have cancelled it."


async def test_over_rest_a_program_gets_the_same_answer(home: Home, rest: Rest) -> None:
    """Without the stream, and as nobody."""
    answer = await rest.act("conversation.process", {"text": "help"})
    assert answer.data["text"].startswith("You can say")
    (conversation,) = await rows(home.brain, conversations)
    assert (conversation["owner"], conversation["participants"]) == (None, [])


async def test_what_is_not_kittys_is_said_to_need_a_model(home: Home, brain: Brain) -> None:
    """Recorded with no confidence at all."""
    said = await home.say("write a poem about the sea")
    (decision,) = await rows(brain, decisions)
    assert (said["text"], said["tier"], decision["confidence"]) == (NO_MODEL, "local", 0.0)


async def test_what_was_said_can_be_read_by_an_admin_in_pages(home: Home) -> None:
    """Oldest first."""
    said = await home.say("help")
    asked = {"conversation_id": said["conversation_id"], "limit": 1}
    first = await home.command("conversation.messages", asked)
    rest = await home.command("conversation.messages", asked | {"cursor": first["cursor"]})
    assert [first["items"][0]["role"], rest["items"][0]["role"]] == ["user", "assistant"]
    assert rest["cursor"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"text": "x" * 10_001},
        {"text": 7},
        {"conversation_id": ""},
        {"conversation_id": "x" * 65},
        {"second_of_day": -1},
        {"second_of_day": 86_400},
        {"language": None},
    ],
)
async def test_a_turn_that_makes_no_sense_is_refused(home: Home, wrong: Any) -> None:
    """And not recorded."""
    asked = {"text": "help"} | wrong
    assert await home.refusal("conversation.process", asked) == "invalid_params"
    assert await counts(home.brain) == (0, 0, 0)


@pytest.mark.parametrize(
    "words",
    ["'; DROP TABLE conversations; --", '" OR 1=1', "\\x00", "{}", "%s %d {0}", "a" * 10_000],
)
async def test_any_words_are_kept_as_they_were_said(home: Home, brain: Brain, words: str) -> None:
    """Nothing is read into them."""
    await home.say(words)
    assert (await rows(brain, messages))[0]["text"] == words


# -- not recorded, not answered -----------------------------------------------------------------------


@pytest.mark.parametrize("table", ["conversations", "conversation_messages", "routing_decisions"])
async def test_an_answer_that_cannot_be_recorded_is_not_given(
    home: Home, brain: Brain, table: str
) -> None:
    """An error instead, no word of it, and nothing is kept by half."""
    await brain.brain_db.write(
        lambda connection: connection.execute(text(f"ALTER TABLE {table} RENAME TO gone"))
    )
    with pytest.raises(Refused) as caught:
        await home.say("help")
    assert caught.value.code == "storage_failed"
    assert [frame for frame in home.frames if frame["type"] == "delta"] == []
    await brain.brain_db.write(
        lambda connection: connection.execute(text(f"ALTER TABLE gone RENAME TO {table}"))
    )
    assert await counts(brain) == (0, 0, 0)
    await home.say("help")
    assert await counts(brain) == (1, 2, 1)


@pytest.mark.slow
async def test_a_busy_database_is_told_and_the_next_try_works(home: Home, brain: Brain) -> None:
    """503 and when to come back; nothing is kept by half."""
    async with Rest(brain) as rest:
        with busy(f"sqlite:///{brain.settings.data_dir / 'brain.db'}"):
            answer = await rest.act("conversation.process", {"text": "help"})
        again = await rest.act("conversation.process", {"text": "help"})
    assert (answer.status, answer.code, again.status) == (503, "database_busy", 200)
    assert answer.headers["Retry-After"] == "1"
    assert await counts(brain) == (1, 2, 1)


# -- whose it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["bob", None])
async def test_nobody_speaks_in_the_conversation_of_another(
    home: Home, brain: Brain, user: str | None
) -> None:
    """Neither another person nor the voice of nobody."""
    said = await home.say("help", "ada")
    with pytest.raises(Refused) as caught:
        await home.say("help", user, conversation_id=said["conversation_id"])
    assert caught.value.code == "not_your_conversation"
    assert await counts(brain) == (1, 2, 1)


async def test_a_conversation_of_nobody_goes_on_with_nobody(home: Home, brain: Brain) -> None:
    """A voice in the room is not everybody's: who learns its id would read along."""
    said = await home.say("help", None)
    await home.say("help", None, conversation_id=said["conversation_id"])
    with pytest.raises(Refused) as caught:
        await home.say("help", "ada", conversation_id=said["conversation_id"])
    assert caught.value.code == "not_your_conversation"
    (conversation,) = await rows(brain, conversations)
    assert (conversation["owner"], conversation["participants"]) == (None, [])


async def test_a_conversation_of_a_program_goes_on_with_that_program(
    home: Home, brain: Brain
) -> None:
    """Another one learns its id from a list, and is told nothing."""
    said = await home.say("help", None)
    about = {"text": "help", "conversation_id": said["conversation_id"]}
    async with Rest(brain, await home.token("control")) as other:
        answer = await other.act("conversation.process", about)
    assert answer.code == "not_your_conversation"


async def test_a_voice_of_nobody_does_not_go_on_with_what_people_spoke_of(
    home: Home, brain: Brain
) -> None:
    """Of an older brain there may be some that nobody began and people went on with."""
    said = await home.say("help", None)
    mixed = update(conversations).values(participants=["ada"], state={})
    await brain.brain_db.write(lambda connection: connection.execute(mixed))
    about = {"conversation_id": said["conversation_id"]}
    with pytest.raises(Refused, match="not_your_conversation"):
        await home.say("help", None, **about)
    assert (await home.say("help", "ada", **about))["text"] == said["text"]


# -- one at a time ------------------------------------------------------------------------------------


async def test_two_turns_of_one_conversation_are_taken_one_after_the_other(
    home: Home, brain: Brain
) -> None:
    """And another conversation is not held up."""
    lamp = await home.puppet("lamp", "light", name="Bench lamp")
    lamp.reaction, lamp.shows = asyncio.Event(), {"on": True}
    begun = await home.say("help")
    same = {"conversation_id": begun["conversation_id"]}
    loop = asyncio.get_running_loop()
    slow = loop.create_task(home.say("switch on the bench lamp", **same))
    await until(lambda: lamp.orders.get("lamp"), "the first turn")
    second = loop.create_task(home.say("help", context_id="second", **same))
    other = await home.say("help", context_id="other")
    assert not second.done()
    lamp.reaction.set()
    await asyncio.gather(slow, second)
    told = [
        one["text"]
        for one in await rows(brain, messages)
        if one["conversation_id"] == begun["conversation_id"] and one["role"] == "user"
    ]
    assert told == ["help", "switch on the bench lamp", "help"]
    assert other["conversation_id"] != begun["conversation_id"]
    assert len(brain.conversations._locks) == 0


# -- how long it lasts --------------------------------------------------------------------------------


@pytest.mark.parametrize(("idle", "kept"), [(TTL - 1, 1), (TTL + 1, 0)])
async def test_an_idle_conversation_is_forgotten_after_an_hour(
    home: Home, brain: Brain, clock: Later, idle: float, kept: int
) -> None:
    """Not a second before, and its messages go with it; the decision stays, for the costs."""
    await home.say("help")
    clock.ahead += idle
    await brain.conversations.forget()
    assert await counts(brain) == (kept, 2 * kept, 1)


async def test_a_conversation_that_goes_on_is_not_forgotten(
    home: Home, brain: Brain, clock: Later
) -> None:
    """The last word counts."""
    said = await home.say("help")
    clock.ahead += TTL - 1
    await home.say("help", conversation_id=said["conversation_id"])
    clock.ahead += TTL - 1
    await brain.conversations.forget()
    assert (await counts(brain))[0] == 1


async def test_a_conversation_is_kept_while_people_decide(
    home: Home, brain: Brain, clock: Later
) -> None:
    """Whoever asked will want to know; afterwards it goes like the others."""
    printer = await home.puppet("mk4", "printer")
    power = await home.puppet("plug", "power", name="Printer plug", feeds=printer.context.device_id)
    power.show(on=True)
    await home.say("switch off the printer plug")
    (waiting,) = (await home.command("commands.list"))["items"]
    clock.ahead += 2 * TTL
    await brain.conversations.forget()
    assert (waiting["status"], (await counts(brain))[0]) == ("deferred", 1)
    await brain.gate.drop_deferred(power.context.device_id, "superseded")
    await brain.conversations.forget()
    assert (await counts(brain))[0] == 0


async def test_a_conversation_that_is_forgotten_in_the_middle_of_a_turn_is_begun_again(
    home: Home, brain: Brain, clock: Later
) -> None:
    """The turn is answered and recorded all the same."""
    lamp = await home.puppet("lamp", "light", name="Bench lamp")
    lamp.reaction, lamp.shows = asyncio.Event(), {"on": True}
    said = await home.say("help")
    clock.ahead += TTL + 1
    same = {"conversation_id": said["conversation_id"]}
    turn = asyncio.get_running_loop().create_task(home.say("switch on the bench lamp", **same))
    await until(lambda: lamp.orders.get("lamp"), "the turn")
    lamp.reaction.set()
    await home.event("command.updated", lambda one: one["status"] == "acked")
    await brain.conversations.forget()
    assert (await turn)["text"] == "Done: Bench lamp is on."
    assert (await rows(brain, conversations))[0]["id"] == said["conversation_id"]


# -- with others, and elsewhere -----------------------------------------------------------------------


async def test_a_person_can_be_let_into_a_conversation(home: Home, brain: Brain) -> None:
    """Not before, and only by its owner."""
    said = await home.say("help")
    conversation_id = said["conversation_id"]
    with pytest.raises(Refused, match="not_your_conversation"):
        await home.say("help", user="bob", conversation_id=conversation_id)
    invite = {"conversation_id": conversation_id, "user_id": "bob"}
    other = {"caller": {"user_id": "cyd", "channel": "assist"}}
    assert await home.refusal("conversation.invite", invite, **other) == "not_your_conversation"
    mine = {"caller": {"user_id": "ada", "channel": "assist"}}
    assert (await home.command("conversation.invite", invite, **mine))["participants"] == [
        "ada",
        "bob",
    ]
    await home.say("help", user="bob", conversation_id=conversation_id)
    (conversation,) = await rows(brain, conversations)
    assert (conversation["owner"], conversation["participants"]) == ("ada", ["ada", "bob"])


async def test_what_one_person_was_asked_another_cannot_answer(home: Home) -> None:
    """Each yes is to a question that was put to whoever says it."""
    lamps = [
        await home.puppet(f"light-{one}", "light", name=f"{one} lamp") for one in ("Red", "Blue")
    ]
    asked = await home.say("switch on the lamp")
    assert asked["continue_conversation"]
    about = {"conversation_id": asked["conversation_id"]}
    await home.command("conversation.invite", about | {"user_id": "bob"}, **ADA)
    await home.say("the first one", "bob", **about)
    await home.say("the first one", **about)
    assert [lamp.orders for lamp in lamps] == [{}, {}]


async def test_who_was_let_in_leaves_or_is_sent_away(home: Home) -> None:
    """By themselves, and by the owner; who is gone already is gone."""
    said = await home.say("help")
    about = {"conversation_id": said["conversation_id"]}
    for user in ("bob", "cyd"):
        await home.command("conversation.invite", about | {"user_id": user}, **ADA)
    bob = {"caller": {"user_id": "bob", "channel": "assist"}}
    left = await home.command("conversation.leave", about, **bob)
    assert left == {"participants": ["ada", "cyd"]}
    for _ in range(2):
        left = await home.command("conversation.leave", about | {"user_id": "cyd"}, **ADA)
        assert left == {"participants": ["ada"]}
    with pytest.raises(Refused, match="not_your_conversation"):
        await home.say("help", "bob", **about)
    assert await home.refusal("conversation.get", about, **bob) == "conversation_not_found"


async def test_only_the_owner_sends_others_away_and_stays(home: Home) -> None:
    said = await home.say("help")
    about = {"conversation_id": said["conversation_id"]}
    for user in ("bob", "cyd"):
        await home.command("conversation.invite", about | {"user_id": user}, **ADA)
    bob = {"caller": {"user_id": "bob", "channel": "assist"}}
    for who in ("ada", "cyd"):
        wish = about | {"user_id": who}
        assert await home.refusal("conversation.leave", wish, **bob) == "not_your_conversation"
    assert await home.refusal("conversation.leave", about, **ADA) == "owner_stays"


async def test_nobody_leaves_what_they_are_not_in(home: Home) -> None:
    said = await home.say("help")
    about = {"conversation_id": said["conversation_id"]}
    bob = {"caller": {"user_id": "bob", "channel": "assist"}}
    assert await home.refusal("conversation.leave", about, **bob) == "conversation_not_found"
    assert await home.refusal("conversation.leave", about) == "person_needed"
    gone = {"conversation_id": "none"}
    assert await home.refusal("conversation.leave", gone, **ADA) == "conversation_not_found"


async def test_a_conversation_goes_on_at_another_device(home: Home) -> None:
    """The new device knows no conversation; the person says to go on with the last one."""
    said = await home.say("help")
    more = await home.say("where were we?")
    assert more["conversation_id"] == said["conversation_id"]
    assert (await home.say("where were we?", user="bob"))["conversation_id"] != said[
        "conversation_id"
    ]


async def test_a_person_sees_the_conversations_that_are_theirs(home: Home) -> None:
    said = await home.say("help")
    await home.say("help", user="bob")
    mine = {"caller": {"user_id": "ada", "channel": "assist"}}
    listed = await home.command("conversation.list", {}, **mine)
    assert [one["id"] for one in listed["items"]] == [said["conversation_id"]]
    assert "state" not in listed["items"][0]


async def test_what_nobody_known_said_is_nobodys_to_read(home: Home, rest: Rest) -> None:
    """A voice in the house is not everybody's."""
    said = await rest.act("conversation.process", {"text": "help"})
    assert (await home.command("conversation.list", {}, **ADA))["items"] == []
    about = {"conversation_id": said.data["conversation_id"]}
    assert await home.refusal("conversation.get", about, **ADA) == "conversation_not_found"


async def test_a_conversation_shows_its_first_words_and_how_often_somebody_spoke(
    home: Home,
) -> None:
    said = await home.say("help")
    await home.say("help", conversation_id=said["conversation_id"])
    (view,) = (await home.command("conversation.list", {}, **ADA))["items"]
    assert (view["title"], view["turns"], view["waits"]) == ("help", 2, False)


async def test_what_was_told_by_itself_has_no_first_words(home: Home, brain: Brain) -> None:
    """Nobody has said anything in it."""
    empty = {"id": "c", "owner": "ada", "participants": ["ada"], "state": {}}
    values = empty | {"created_at": 1.0, "last_message_at": 1.0}
    await brain.brain_db.write(
        lambda connection: connection.execute(conversations.insert().values(values))
    )
    (view,) = (await home.command("conversation.list", {}, **ADA))["items"]
    assert (view["title"], view["turns"]) == (None, 0)


async def test_the_conversation_that_was_spoken_in_last_comes_first(home: Home) -> None:
    """Page by page; from one that is forgotten it begins again."""
    first = (await home.say("help"))["conversation_id"]
    other = (await home.say("help"))["conversation_id"]
    await home.say("help", conversation_id=first)
    asked = {"newest_first": True, "limit": 1}
    page = await home.command("conversation.list", asked, **ADA)
    rest = await home.command("conversation.list", asked | {"cursor": page["cursor"]}, **ADA)
    again = await home.command("conversation.list", asked | {"cursor": "gone"}, **ADA)
    ids = [[one["id"] for one in part["items"]] for part in (page, rest, again)]
    assert ids == [[first], [other], [first]]


async def test_a_person_reads_what_was_said_newest_first_in_pages(home: Home) -> None:
    said = await home.say("help")
    asked = {"conversation_id": said["conversation_id"], "limit": 1}
    last = await home.command("conversation.get", asked, **ADA)
    first = await home.command("conversation.get", asked | {"cursor": last["cursor"]}, **ADA)
    assert [one["text"] for one in (*last["items"], *first["items"])] == [said["text"], "help"]
    assert first["cursor"] is None
    assert last["conversation"]["id"] == said["conversation_id"]


async def test_a_page_of_what_was_said_is_not_too_large(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tools have told can be long; one message there always is."""
    monkeypatch.setattr(threads, "MOST_BYTES", 10)
    said = await home.say("help")
    asked = {"conversation_id": said["conversation_id"]}
    last = await home.command("conversation.get", asked, **ADA)
    assert (len(last["items"]), last["cursor"]) == (1, last["items"][0]["id"])


async def test_what_others_said_is_not_there_for_a_person(home: Home) -> None:
    """Until they are let in; and a program is nobody."""
    said = await home.say("help", user="bob")
    about = {"conversation_id": said["conversation_id"]}
    assert await home.refusal("conversation.get", about, **ADA) == "conversation_not_found"
    assert await home.refusal("conversation.get", about) == "person_needed"
    bob = {"caller": {"user_id": "bob", "channel": "assist"}}
    await home.command("conversation.invite", about | {"user_id": "ada"}, **bob)
    assert len((await home.command("conversation.get", about, **ADA))["items"]) == 2


async def test_nobody_is_let_into_a_conversation_that_is_none(home: Home) -> None:
    invite = {"conversation_id": "none", "user_id": "bob"}
    mine = {"caller": {"user_id": "ada", "channel": "assist"}}
    assert await home.refusal("conversation.invite", invite, **mine) == "conversation_not_found"


async def test_conversations_are_listed_page_by_page(home: Home) -> None:
    mine = {"caller": {"user_id": "ada", "channel": "assist"}}
    await home.say("lights on")
    first = (await home.command("conversation.list", {"limit": 1}, **mine))["items"]
    after = await home.command("conversation.list", {"cursor": first[0]["id"]}, **mine)
    assert len(first) == 1
    assert after["items"] == []
