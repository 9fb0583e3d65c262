"""The relay: everything arrives, in its order, and with the same id where it arrives twice."""

import asyncio
from collections import Counter

import pytest

from brain_server import relay as relaying
from brain_server.brokers import Message, unreachable
from brain_server.observability import counters
from brain_server.outbox import tell
from brain_server.relay import MOST_FALLS, Relay
from tests.brain.relay.desk import INSTANCE, Desk, Played, eventually
from tests.brain.soon import SOON


async def passed(desk: Desk, event: int) -> None:
    """Wait until an event is known to have arrived: one that merely arrived is sent again after a break."""
    async with asyncio.timeout(SOON):
        while True:
            if await desk.outbox.cursor("played") >= event:
                return
            await asyncio.sleep(0.005)  # until the next look


async def test_events_arrive_in_their_order(desk: Desk, relay: Relay, broker: Played) -> None:
    await desk.tell(*range(50))
    await eventually(lambda: len(broker.got) == 50)
    assert broker.numbers == list(range(50))


async def test_an_event_has_an_id_that_no_other_has(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    """Not even one that was given again after an older backup was restored."""
    await desk.tell(1)
    await eventually(lambda: broker.got)
    assert broker.got[0].id == f"{INSTANCE}:1:{round(desk.clock() * 1000):x}"


async def test_what_is_told_while_the_broker_is_away_arrives_when_it_is_back(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    broker.leave()
    await eventually(lambda: not relay.connected)
    await desk.tell(*range(20))
    broker.there = True
    await eventually(lambda: len(broker.got) == 20)
    assert broker.numbers == list(range(20))


async def test_a_new_life_goes_on_where_the_last_one_stopped(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    await desk.tell(1, 2)
    await passed(desk, 2)
    desk = await desk.again()
    await desk.tell(3)
    again = Relay(desk.outbox, broker, sink="played")
    desk.tasks.keep_up("relay", again.run)
    await eventually(lambda: len(broker.got) == 3)
    await desk.tasks.stop()
    assert broker.numbers == [1, 2, 3]


async def test_what_was_perhaps_not_heard_of_is_sent_again_with_the_same_id(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    """The broker took it and the connection broke before it said so."""

    def cut(_message: Message) -> None:
        broker.take = lambda _message: None
        broker.cut()

    broker.take = cut
    await desk.tell(1, 2)
    await eventually(lambda: 2 in broker.numbers)
    assert broker.numbers == [1, 1, 2]
    assert broker.got[0].id == broker.got[1].id


async def test_a_consumer_that_knows_the_ids_sees_everything_once_over_many_breaks(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    turns = Counter[str]()

    def shaky(message: Message) -> object:
        turns["all"] += 1
        if turns["all"] % 7 == 0:
            broker.cut()
        return broker.refusal() if turns["all"] % 11 == 0 else None

    broker.take = shaky
    await desk.tell(*range(60))
    await eventually(lambda: 59 in broker.numbers)
    once = {message.id: message.data["n"] for message in broker.got}
    assert list(once.values()) == list(range(60))


async def test_an_event_that_a_broker_refuses_again_and_again_comes_without_its_data(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    """Else it would stand in the way of all others for ever."""
    tried = Counter[str]()

    def small(message: Message) -> object:
        tried[message.id] += 1
        return broker.refusal() if message.data.get("n") == 1 else None

    broker.take = small
    await desk.tell(1, 2)
    await eventually(lambda: len(broker.got) == 2)
    assert [message.data for message in broker.got] == [{"left_out": len(b'{"n":1}')}, {"n": 2}]
    assert tried[broker.got[0].id] == MOST_FALLS + 2
    assert counters["relayed_bare_played"] == 1


async def test_an_event_comes_whole_where_the_broker_was_ill_and_not_the_event(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    tried = Counter[str]()

    def full(message: Message) -> object:
        tried["all"] += 1
        return broker.refusal() if tried["all"] <= MOST_FALLS + 2 else None

    broker.take = full
    await desk.tell(1)
    await eventually(lambda: broker.got)
    assert broker.numbers == [1]


async def test_a_broker_that_says_nothing_costs_no_event_its_data(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    """It may be full, or ill; that says nothing about the event."""
    tried = Counter[str]()

    def silent(_message: Message) -> object:
        tried["all"] += 1
        return unreachable(broker.where, "silent") if tried["all"] < 3 * MOST_FALLS else None

    broker.take = silent
    await desk.tell(1)
    await eventually(lambda: broker.got)
    assert broker.numbers == [1]


async def test_a_broker_that_is_away_costs_no_event_its_data(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    broker.leave()
    await desk.tell(1)
    await asyncio.sleep(0.1)  # time for what must not happen
    broker.there = True
    await eventually(lambda: broker.got)
    assert broker.numbers == [1]


async def test_who_is_not_the_one_to_do_it_passes_nothing_on(
    desk: Desk, broker: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "LOOK_EVERY", 0.01)
    turn = [False]
    relay = Relay(desk.outbox, broker, sink="played", may=lambda: turn[0], first_pause=0.005)
    desk.tasks.keep_up("relay", relay.run)
    await asyncio.sleep(0.05)  # time for what must not happen
    assert broker.connections == 0
    turn[0] = True
    await eventually(lambda: relay.connected)
    await desk.tell(1)
    await eventually(lambda: broker.got)
    turn[0] = False
    await eventually(lambda: not relay.connected)
    await desk.tell(2)
    await asyncio.sleep(0.05)  # time for what must not happen
    assert broker.numbers == [1]


async def test_it_stops_within_a_batch_when_it_is_no_longer_the_one(
    desk: Desk, broker: Played
) -> None:
    relay = Relay(desk.outbox, broker, sink="played", may=lambda: len(broker.got) < 2)
    await desk.outbox.cursor("played")
    await desk.tell(*range(5))
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: len(broker.got) == 2)
    await asyncio.sleep(0.05)  # time for what must not happen
    assert broker.numbers == [0, 1]


async def test_who_was_overtaken_while_it_slept_reads_anew_where_the_other_is(
    desk: Desk, relay: Relay, broker: Played
) -> None:
    """Another process passed the event on and moved the cursor: what follows is not sent from an old place."""
    await desk.tell(1)
    await passed(desk, 1)
    await desk.outbox.move("played", 1, 3)
    await desk.tell(2, 3, 4)
    await eventually(lambda: 4 in broker.numbers)
    assert broker.numbers == [1, 2, 4]


async def test_what_people_say_stays_in_the_house(desk: Desk, relay: Relay, broker: Played) -> None:
    data = {"tier": "local", "text": "the code is 1234", "reply": "No."}
    await desk.database.write(
        lambda connection: tell(connection, 1.0, "conversation", "c", "answered", data)
    )
    await eventually(lambda: broker.got)
    assert broker.got[0].data == {"tier": "local"}


async def test_what_people_say_goes_where_a_person_wants_it(desk: Desk, broker: Played) -> None:
    relay = Relay(desk.outbox, broker, sink="open", content=True)
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected)
    data = {"tier": "local", "text": "hello"}
    await desk.database.write(
        lambda connection: tell(connection, 1.0, "conversation", "c", "answered", data)
    )
    await eventually(lambda: broker.got)
    assert broker.got[0].data == data


async def test_a_broker_that_is_away_for_long_makes_the_house_unwell(
    desk: Desk, relay: Relay, broker: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await relay.health() is None
    broker.leave()
    await eventually(lambda: not relay.connected)
    await desk.tell(1, 2)
    assert await relay.health() is None
    monkeypatch.setattr(relaying, "PATIENCE_S", 0.0)
    assert await relay.health() == "played://here does not answer (2 events wait)"
    broker.there = True
    await eventually(lambda: relay.connected)
    assert await relay.health() is None


async def test_it_tells_how_it_stands(desk: Desk, relay: Relay, broker: Played) -> None:
    assert relay.view() == {
        "sink": "played",
        "broker": "played://here",
        "connected": True,
        "trouble": None,
    }
    broker.leave()
    await eventually(lambda: relay.view()["trouble"])
    assert relay.view()["trouble"]["code"] == "broker_unreachable"


async def test_a_connection_that_lasted_makes_the_next_break_a_short_one(
    desk: Desk, broker: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "GOOD_S", 0.0)
    relay = Relay(desk.outbox, broker, sink="played", first_pause=0.01, most_pause=60)
    desk.tasks.keep_up("relay", relay.run)
    for number in range(1, 13):  # with growing pauses this would take forty seconds
        await eventually(lambda number=number: broker.connections == number and broker.links)
        broker.cut()
        await eventually(lambda: not relay.connected)
