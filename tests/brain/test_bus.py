"""Events inside the process: numbered once, in order, kept for a while."""

import json

import pytest

from brain_server.bus import KEPT, Bus, Event


def test_events_are_numbered_from_one() -> None:
    """One number each, over all names."""
    bus = Bus()
    assert [bus.publish(name, {}).event_id for name in ("a", "b", "a")] == [1, 2, 3]
    assert bus.last_id == 3


def test_each_life_has_its_own_epoch() -> None:
    """Numbers of one life mean nothing in another."""
    assert Bus().epoch != Bus().epoch


def test_a_listener_hears_its_name_or_all() -> None:
    """In the order in which things happened."""
    bus, mine, all_ = Bus(), [], []
    bus.listen("a", lambda event: mine.append(event.event_id))
    bus.listen(None, lambda event: all_.append(event.event_id))
    for name in ("a", "b", "a"):
        bus.publish(name, {})
    assert (mine, all_) == ([1, 3], [1, 2, 3])


def test_who_listens_to_a_name_hears_before_who_listens_to_all() -> None:
    """So that what follows from an event comes after it for everybody outside."""
    bus, heard = Bus(), []
    bus.listen(None, lambda _: heard.append("all"))
    bus.listen("a", lambda _: heard.append("one"))
    bus.publish("a", {})
    assert heard == ["one", "all"]


def test_who_stopped_listening_hears_nothing_more() -> None:
    """And the others still do."""
    bus, first, second = Bus(), [], []
    stop = bus.listen("a", first.append)
    bus.listen("a", second.append)
    bus.publish("a", {})
    stop()
    bus.publish("a", {})
    assert (len(first), len(second)) == (1, 2)


def test_a_listener_may_stop_while_it_is_called() -> None:
    """Nobody is left out because of it."""
    bus, heard = Bus(), []
    stops = []
    stops.append(bus.listen("a", lambda _: stops[0]()))
    bus.listen("a", heard.append)
    bus.publish("a", {})
    assert len(heard) == 1


def test_a_listener_may_publish() -> None:
    """The second event gets the next number."""
    bus, heard = Bus(), []
    bus.listen("a", lambda _: bus.publish("b", {}))
    bus.listen("b", heard.append)
    bus.publish("a", {})
    assert [event.event_id for event in heard] == [2]


def test_an_event_is_one_frame_for_all() -> None:
    """Encoded once, compact, as it goes over the wire."""
    event = Bus().publish("door.opened", {"id": "ä"})
    assert json.loads(event.frame) == {
        "type": "event",
        "event_id": 1,
        "event": "door.opened",
        "data": {"id": "ä"},
    }
    assert " " not in event.frame


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_cannot_carry_is_a_mistake_of_the_one_who_publishes(value: object) -> None:
    """It is told at once, and nothing is numbered that nobody could read."""
    with pytest.raises((TypeError, ValueError)):
        Event(1, "a", {"value": value})


def test_what_was_missed_can_be_had() -> None:
    """From after the last one that was seen."""
    bus = Bus()
    for _ in range(5):
        bus.publish("a", {})
    missed = bus.since(bus.epoch, 3)
    assert missed is not None
    assert [event.event_id for event in missed] == [4, 5]


def test_nothing_missed_is_not_everything_gone() -> None:
    """Who has the last one needs no snapshot, also when nothing ever happened."""
    bus = Bus()
    assert bus.since(bus.epoch, 0) == []
    bus.publish("a", {})
    assert bus.since(bus.epoch, 1) == []


@pytest.mark.parametrize("after", [-1, -100])
def test_an_id_before_the_first_gets_all_that_is_kept(after: int) -> None:
    """Or nothing when that is not all there was."""
    bus = Bus()
    bus.publish("a", {})
    assert bus.since(bus.epoch, after) is None


def test_what_is_no_longer_kept_is_gone() -> None:
    """The edge: exactly as many as are kept can be missed."""
    bus = Bus()
    for _ in range(KEPT + 10):
        bus.publish("a", {})
    first_kept = bus.last_id - KEPT + 1
    assert len(bus.since(bus.epoch, first_kept - 1) or ()) == KEPT
    assert bus.since(bus.epoch, first_kept - 2) is None


def test_another_epoch_and_the_future_are_unknown() -> None:
    """Neither can be resumed."""
    bus = Bus()
    bus.publish("a", {})
    assert bus.since("0" * 32, 1) is None
    assert bus.since(bus.epoch, 2) is None
