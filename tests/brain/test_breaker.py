"""The circuit breaker: what opens it, how it is tried again, what closes it."""

import asyncio
from collections.abc import Callable
import contextlib
import time

import pytest

from brain_server.breaker import FAILURES, Breaker, State
from brain_server.errors import Forbidden, KittyError, ProviderError, Unavailable

NOON = 1_900_000_000.0


class Bench:
    """A breaker, its clock, and what it told about itself."""

    def __init__(self) -> None:
        """Start closed at second 1000."""
        self.seconds = 1000.0
        self.told: list[State] = []
        self.breaker = Breaker(
            "cloud", clock=lambda: self.seconds, now=lambda: NOON, on_change=self._tell
        )

    def _tell(self) -> None:
        self.told.append(self.breaker.state)

    def succeed(self, times: int = 1) -> None:
        """Make calls that are answered."""
        for _ in range(times):
            with self.breaker.call():
                pass

    def fail(self, times: int = 1, code: str = "provider_failed") -> None:
        """Make calls that end with this error."""
        for _ in range(times):
            with pytest.raises(ProviderError), self.breaker.call():
                raise ProviderError(code, "It failed")

    def open(self) -> None:
        """Fail until it is open."""
        self.fail(5)
        assert self.breaker.state is State.OPEN

    def half_open(self, *, successes: int = 0) -> None:
        """Wait until it may be tried, and try it so often."""
        self.open()
        self.seconds += 30.0
        self.succeed(successes)


@pytest.fixture
def bench() -> Bench:
    """Give a breaker on its bench."""
    return Bench()


# -- closed -------------------------------------------------------------------------------------------


def test_four_failures_do_not_open_it(bench: Bench) -> None:
    """The fifth may be fine."""
    bench.fail(4)
    assert bench.breaker.state is State.CLOSED
    assert bench.breaker.is_ready
    assert bench.told == []


def test_the_fifth_failure_in_a_row_opens_it(bench: Bench) -> None:
    """And it says so once."""
    bench.fail(5)
    assert bench.breaker.state is State.OPEN
    assert bench.told == [State.OPEN]


def test_a_success_forgets_the_failures_before_it(bench: Bench) -> None:
    """Only failures in a row count."""
    bench.fail(4)
    bench.succeed()
    bench.fail(4)
    assert bench.breaker.state is State.CLOSED


@pytest.mark.parametrize("code", sorted(FAILURES - {"timeout"}))
def test_what_says_that_it_is_broken_counts(bench: Bench, code: str) -> None:
    """Each of these errors opens it."""
    bench.fail(5, code)
    assert bench.breaker.state is State.OPEN
    assert bench.breaker.last_error == code


TIMEOUTS: list[Exception] = [TimeoutError(), Unavailable("timeout", "Too late")]


@pytest.mark.parametrize("late", TIMEOUTS)
def test_no_answer_in_time_counts(bench: Bench, late: Exception) -> None:
    """Python's own error as well as the brain's."""
    for _ in range(5):
        with pytest.raises(type(late)), bench.breaker.call():
            raise late
    assert bench.breaker.state is State.OPEN
    assert bench.breaker.last_error == "timeout"


NEUTRAL: list[BaseException] = [
    ProviderError("context_exceeded", "The question is too long"),
    ProviderError("provider_busy", "Slow down"),
    ProviderError("provider_auth", "The key is wrong"),
    ProviderError("model_loading", "Not yet"),
    Forbidden("privacy_refused", "This stays here"),
    asyncio.CancelledError(),
    GeneratorExit(),
    ZeroDivisionError(),
]


@pytest.mark.parametrize("error", NEUTRAL, ids=repr)
def test_what_says_nothing_about_its_health_does_not_count(
    bench: Bench, error: BaseException
) -> None:
    """Neither as a failure nor as a success."""
    bench.fail(4)
    for _ in range(10):
        with pytest.raises(type(error)), bench.breaker.call():
            raise error
    assert bench.breaker.state is State.CLOSED
    bench.fail()
    assert bench.breaker.state is State.OPEN


def test_a_wrong_key_is_shown_at_once_until_a_call_works(bench: Bench) -> None:
    """Told once when it begins and once when it ends."""
    bench.fail(3, "provider_auth")
    assert bench.breaker.misconfigured
    assert bench.breaker.last_error == "provider_auth"
    assert bench.told == [State.CLOSED]
    bench.succeed(2)
    assert not bench.breaker.misconfigured
    assert bench.told == [State.CLOSED, State.CLOSED]


# -- open ---------------------------------------------------------------------------------------------


def test_while_open_a_call_fails_at_once(bench: Bench) -> None:
    """In less than five milliseconds, and the provider is not asked."""
    bench.open()
    asked, took = False, []
    # Thrice: once the garbage of all the tests before may be collected meanwhile.
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(Unavailable) as refused, bench.breaker.call():
            asked = True
        took.append(time.thread_time() - started)
    assert min(took) < 0.005
    assert not asked
    assert refused.value.code == "circuit_open"
    assert refused.value.fields == {"name": "cloud", "retry_after": 30}


def test_it_tells_the_whole_seconds_that_are_left(bench: Bench) -> None:
    """Rounded up, so that who waits so long is let through."""
    bench.open()
    bench.seconds += 12.4
    assert bench.breaker.retry_after == 18
    assert not bench.breaker.is_ready


def test_it_stays_open_until_thirty_seconds_are_over(bench: Bench) -> None:
    """Not a moment less."""
    bench.open()
    bench.seconds += 29.999
    with pytest.raises(Unavailable), bench.breaker.call():
        pass
    assert bench.breaker.state is State.OPEN


def test_at_thirty_seconds_a_call_is_let_through(bench: Bench) -> None:
    """It is half-open from then on."""
    bench.open()
    bench.seconds += 30.0
    assert bench.breaker.is_ready
    with bench.breaker.call():
        assert bench.breaker.state is State.HALF_OPEN
    assert bench.told == [State.OPEN, State.HALF_OPEN]


# -- half-open ----------------------------------------------------------------------------------------


def test_half_open_lets_three_calls_in_at_once_and_refuses_the_fourth(bench: Bench) -> None:
    """Who is refused is told to come back in a second."""
    bench.half_open()
    with bench.breaker.call(), bench.breaker.call(), bench.breaker.call():
        with pytest.raises(Unavailable) as refused, bench.breaker.call():
            pass
        assert refused.value.fields["retry_after"] == 1
        assert not bench.breaker.is_ready


def test_a_probe_that_ended_makes_room_for_another(bench: Bench) -> None:
    """Also one whose end says nothing."""
    bench.half_open()
    with bench.breaker.call(), bench.breaker.call():
        bench.fail(7, "provider_busy")
        assert bench.breaker.is_ready
    assert bench.breaker.state is State.CLOSED


def test_one_success_does_not_close_it(bench: Bench) -> None:
    """It could be chance."""
    bench.half_open(successes=1)
    assert bench.breaker.state is State.HALF_OPEN


def test_two_successes_close_it(bench: Bench) -> None:
    """And five failures are needed again."""
    bench.half_open(successes=2)
    assert bench.breaker.state is State.CLOSED
    assert bench.told == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    bench.fail(4)
    assert bench.breaker.state is State.CLOSED


def test_any_failure_opens_it_again_for_thirty_seconds(bench: Bench) -> None:
    """Also after a success."""
    bench.half_open(successes=1)
    bench.fail()
    assert bench.breaker.state is State.OPEN
    assert bench.breaker.retry_after == 30
    bench.seconds += 30.0
    bench.succeed(2)
    assert bench.breaker.state is State.CLOSED


def test_successes_of_an_earlier_trial_do_not_count(bench: Bench) -> None:
    """Two of one trial are needed."""
    bench.half_open(successes=1)
    bench.fail()
    bench.seconds += 30.0
    bench.succeed()
    assert bench.breaker.state is State.HALF_OPEN


def leave(breaker: Breaker, error: KittyError | None) -> Callable[[], None]:
    """Begin a call now; the function that is returned ends it."""
    call = breaker.call()
    call.__enter__()
    return lambda: call.__exit__(None, error, None)


@pytest.mark.parametrize("error", [None, ProviderError("provider_failed", "It failed")])
def test_a_call_from_before_says_nothing_about_the_state_of_now(
    bench: Bench, error: KittyError | None
) -> None:
    """It neither closes nor opens, and takes no room of a probe."""
    ends = [leave(bench.breaker, error) for _ in range(4)]
    bench.half_open()
    with bench.breaker.call():
        for end in ends:
            end()
        assert bench.breaker.state is State.HALF_OPEN
        with bench.breaker.call(), bench.breaker.call():
            assert not bench.breaker.is_ready


def test_many_failures_at_once_open_it_once(bench: Bench) -> None:
    """Those that end later change nothing, also not when it may be tried again."""
    ends = [leave(bench.breaker, ProviderError("provider_failed", "It")) for _ in range(20)]
    for end in ends:
        end()
        bench.seconds += 1.0
    assert bench.told == [State.OPEN]
    assert bench.breaker.retry_after == 30 - 16


# -- what others see ----------------------------------------------------------------------------------


def test_its_view_tells_state_error_and_since_when(bench: Bench) -> None:
    """In the words of the wire."""
    assert bench.breaker.view() == {
        "state": "closed",
        "failures": 0,
        "last_error": None,
        "opened_at": None,
        "retry_after": 0,
        "misconfigured": False,
    }
    bench.open()
    assert bench.breaker.view() == {
        "state": "open",
        "failures": 5,
        "last_error": "provider_failed",
        "opened_at": NOON,
        "retry_after": 30,
        "misconfigured": False,
    }


def test_it_forgets_since_when_it_was_open_when_it_closes(bench: Bench) -> None:
    """The last error stays, for whoever wonders."""
    bench.half_open(successes=1)
    assert bench.breaker.opened_at == NOON
    bench.succeed()
    assert (bench.breaker.opened_at, bench.breaker.last_error) == (None, "provider_failed")


async def test_it_guards_a_stream_that_is_closed_early(bench: Bench) -> None:
    """A caller that had enough is no failure."""

    async def words() -> None:
        with bench.breaker.call():
            await asyncio.sleep(60)

    for _ in range(5):
        task = asyncio.get_running_loop().create_task(words())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert bench.breaker.state is State.CLOSED
    assert bench.breaker.view()["failures"] == 0


def test_by_itself_it_keeps_real_time() -> None:
    """A breaker needs only a name."""
    breaker = Breaker("local")
    with pytest.raises(TimeoutError), breaker.call():
        raise TimeoutError
    with breaker.call():
        assert breaker.is_ready
