"""Slots: so many at once, chat before background, nobody loses a turn."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hypothesis import given, settings, strategies as st
import pytest

from brain_server import metrics
from brain_server.errors import TooMany
from brain_server.routing.slots import BACKGROUND, CHAT, Slots
from tests.brain.gatehouse import Clock


class Hall:
    """People who want a slot, those who are in, and the order in which they came in."""

    def __init__(self, slots: Slots) -> None:
        """Take the slots."""
        self.slots = slots
        self.came_in: list[str] = []
        self.most = 0
        self._inside = 0
        self._doors: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, name: str, priority: int = CHAT) -> None:
        """Let somebody come; returns when they are in or wait."""
        self._doors[name] = asyncio.Event()
        self.tasks[name] = asyncio.get_running_loop().create_task(self._be(name, priority))
        await settle()

    async def leave(self, name: str) -> None:
        """Let somebody who is in go away."""
        self._doors[name].set()
        await settle()

    async def call_away(self, name: str) -> None:
        """Call somebody away, wherever they are."""
        self.tasks[name].cancel()
        await settle()

    async def _be(self, name: str, priority: int) -> None:
        async with self.slots.use(priority):
            self.came_in.append(name)
            self._inside += 1
            self.most = max(self.most, self._inside)
            try:
                await self._doors[name].wait()
            finally:
                self._inside -= 1

    async def close(self) -> None:
        """Let everybody go."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_of_ten_questions_two_are_worked_on_at_once() -> None:
    """And all in the end."""
    slots, done, inside, most = Slots(2), 0, 0, 0

    async def ask() -> None:
        nonlocal done, inside, most
        async with slots.use():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            done += 1

    await asyncio.gather(*(ask() for _ in range(10)))
    assert (most, done) == (2, 10)
    assert (slots.busy, slots.waiting) == (0, 0)


async def test_the_fifth_of_four_waits() -> None:
    """Until one of the four is done."""
    hall = Hall(Slots(4))
    for name in "abcde":
        await hall.send(name)
    assert (hall.slots.busy, hall.slots.waiting) == (4, 1)
    assert hall.came_in == list("abcd")
    await hall.leave("b")
    assert hall.came_in == list("abcde")
    await hall.close()


async def test_chat_goes_before_background_and_each_in_its_order() -> None:
    """Whoever came first of the same kind."""
    hall = Hall(Slots(1))
    await hall.send("first")
    for name, priority in (("b1", 10), ("c1", 0), ("b2", 10), ("c2", 0)):
        await hall.send(name, priority)
    for name in ("first", "c1", "c2", "b1", "b2"):
        await hall.leave(name)
    assert hall.came_in == ["first", "c1", "c2", "b1", "b2"]
    await hall.close()


async def test_who_leaves_while_waiting_costs_nobody_a_turn() -> None:
    """The next in line comes in."""
    hall = Hall(Slots(1))
    for name in "abc":
        await hall.send(name)
    await hall.call_away("b")
    assert hall.slots.waiting == 1
    await hall.leave("a")
    assert hall.came_in == ["a", "c"]
    await hall.close()


async def test_who_is_let_in_and_called_away_at_once_passes_the_slot_on() -> None:
    """It is not lost."""
    hall = Hall(Slots(1))
    for name in "abc":
        await hall.send(name)
    hall._doors["a"].set()
    await asyncio.sleep(0)  # a goes, and b is let in but does not run yet
    await hall.call_away("b")
    assert hall.came_in == ["a", "c"]
    assert hall.slots.busy == 1
    await hall.close()
    assert hall.slots.busy == 0


async def test_who_is_called_away_while_a_slot_is_passed_on_costs_nobody_a_turn() -> None:
    """Called away, and not gone yet when the slot comes."""
    hall = Hall(Slots(1))
    for name in "abc":
        await hall.send(name)
    hall._doors["a"].set()  # a goes next, and b only after it
    hall.tasks["b"].cancel()
    await settle()
    assert hall.tasks["a"].exception() is None
    assert hall.came_in == ["a", "c"]
    assert (hall.slots.busy, hall.slots.waiting) == (1, 0)
    await hall.close()
    assert hall.slots.busy == 0


async def test_a_block_that_fails_gives_its_slot_back() -> None:
    """Like one that ends."""
    slots = Slots(1)
    with pytest.raises(ZeroDivisionError):
        async with slots.use():
            raise ZeroDivisionError
    assert slots.busy == 0


async def test_a_queue_that_is_too_long_refuses_at_once() -> None:
    """And says when to come again."""
    hall = Hall(Slots(1, longest_queue=2))
    for name in "abc":
        await hall.send(name)
    with pytest.raises(TooMany) as refused:
        async with hall.slots.use():
            pass
    assert refused.value.code == "model_queue_full"
    assert refused.value.fields == {"retry_after": 15}
    await hall.close()


async def test_background_cannot_shut_chat_out() -> None:
    """A queue full of background still takes chat, and then no more background."""
    hall = Hall(Slots(1, longest_queue=1))
    await hall.send("busy")
    await hall.send("b", BACKGROUND)
    await hall.send("c", CHAT)
    assert hall.slots.waiting == 2
    with pytest.raises(TooMany):
        async with hall.slots.use(BACKGROUND):
            pass
    await hall.close()


async def test_when_to_come_again_follows_how_long_questions_take(clock: Clock) -> None:
    """Never less than a second, never more than a minute."""
    slots = Slots(1, longest_queue=0, clock=clock)

    async def told() -> int:
        with pytest.raises(TooMany) as refused:
            async with slots.use():
                pass
        return int(refused.value.fields["retry_after"])

    async def take(seconds: float) -> None:
        async with slots.use():
            clock.now += seconds

    found = []
    for seconds in (0.0, 1000.0):
        for _ in range(40):
            await take(seconds)
        async with slots.use():
            found.append(await told())
    assert found == [1, 60]


async def test_the_queue_and_the_waits_can_be_seen(clock: Clock) -> None:
    """By people and by Prometheus."""
    metrics.clear()
    hall = Hall(Slots(1, clock=clock))
    assert hall.slots.view()["wait_ms"] == {"p50": None, "p99": None}
    await hall.send("a")
    await hall.send("b")
    assert hall.slots.view() == {
        "slots": 1,
        "busy": 1,
        "waiting": 1,
        "wait_ms": {"p50": 0.0, "p99": 0.0},
    }
    seen = await asyncio.to_thread(metrics.render, {})
    assert 'kitty_queue_length{queue="models"} 1\n' in seen
    clock.now += 2.5
    await hall.leave("a")
    assert hall.slots.view()["wait_ms"] == {"p50": 2500.0, "p99": 2500.0}
    seen = await asyncio.to_thread(metrics.render, {})
    assert 'kitty_queue_length{queue="models"} 0\n' in seen
    assert 'kitty_queue_wait_seconds_bucket{queue="models",le="1"} 1\n' in seen
    assert 'kitty_queue_wait_seconds_count{queue="models"} 2\n' in seen
    await hall.close()


async def test_the_limit_of_a_wait_is_the_callers() -> None:
    """Who waits too long leaves the queue."""
    hall = Hall(Slots(1))
    await hall.send("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), hall.slots.use():
            pass
    assert hall.slots.waiting == 0
    await hall.close()


ACTS: dict[str, Callable[[Hall, str, int], Awaitable[None]]] = {
    "send": lambda hall, name, priority: hall.send(name, priority),
    "leave": lambda hall, name, _priority: hall.leave(name),
    "call_away": lambda hall, name, _priority: hall.call_away(name),
}


@settings(deadline=None, max_examples=60)
@given(
    acts=st.lists(
        st.tuples(
            st.sampled_from(["send", "send", "leave", "call_away"]),
            st.integers(0, 9),
            st.sampled_from([CHAT, BACKGROUND]),
        ),
        max_size=40,
    )
)
async def test_whatever_happens_no_slot_is_lost_or_made_up(
    acts: list[tuple[str, int, int]],
) -> None:
    """Never more than two are in; never does one wait while a slot is free; in the end all are free."""
    hall = Hall(Slots(2, longest_queue=100))
    for number, (act, which, priority) in enumerate(acts):
        known = list(hall.tasks)
        name = str(number) if act == "send" or not known else known[which % len(known)]
        with suppress(KeyError):
            await ACTS[act](hall, name, priority)
        assert hall.most <= 2
        assert hall.slots.waiting == 0 or hall.slots.busy == 2
    await hall.close()
    assert (hall.slots.busy, hall.slots.waiting) == (0, 0)
