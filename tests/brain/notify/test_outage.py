"""A receiver that is away for a while, on each kind of database."""

from tests.brain.notify.conftest import WAITS, Desk, Receiver, hook


async def test_a_receiver_that_is_down_for_ten_minutes_gets_it_once(
    desk: Desk, receiver: Receiver
) -> None:
    """After attempts at growing intervals, all of which are written down."""
    await hook(desk, receiver)
    receiver.statuses = [503] * 7
    begun = desk.clock.now
    await desk.tell()
    waits = [await desk.next_try(tries) for tries in range(1, 8)]
    await desk.rested("completed")
    assert waits == WAITS[:7]
    assert desk.clock.now - begun > 600
    way = await desk.way()
    times = [one["at"] - begun for one in way["attempts"]]
    assert times == [0, 5, 15, 35, 75, 155, 315, 635]
    assert [one.get("http_status") for one in way["attempts"]] == [503] * 7 + [None]
    assert (way["status"], way["attempts"][-1]["code"]) == ("sent", "sent")
    # One message to its receiver, whatever it answered: each try has the same id and body, and its own time.
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1
    assert len({body for _, body in receiver.taken}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.taken}) == 8
