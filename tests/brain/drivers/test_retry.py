"""What is tried again, how often, and how far apart."""

from collections.abc import Awaitable, Callable
from itertools import islice

import pytest

from brain_server import retry
from brain_server.errors import DeviceError, KittyError, ProviderError, Unavailable
from brain_server.retry import CACHE, DATABASE, HTTP, LLM, Policy, Tries, backoff, retrying

type Operation = Callable[[], Awaitable[str]]


class Clock:
    """A sleep that takes no time and remembers what was asked of it."""

    def __init__(self) -> None:
        """Start with no sleeps."""
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Remember the wait."""
        self.slept.append(seconds)


def failing(*errors: KittyError) -> tuple[Operation, list[KittyError]]:
    """Return an operation that raises these errors in turn and then answers, and what is left."""
    left = list(errors)

    async def operation() -> str:
        for error in left[:1]:
            del left[0]
            raise error
        return "done"

    return operation, left


def http(status: int) -> KittyError:
    """Return the error that stands for one HTTP answer."""
    return Unavailable("provider_failed", "The provider failed", http_status=status)


def code(code: str) -> KittyError:
    """Return an error with this code."""
    return Unavailable(code, "It failed")


RECOVERS = [
    (DATABASE, [code("connection_timeout"), code("deadlock_detected")], [0.1, 0.2]),
    (HTTP, [http(503), http(503)], [0.5, 1.0]),
    (HTTP, [ProviderError("provider_failed", "It failed", http_status=502)], [0.5]),
    (HTTP, [http(504)], [0.5]),
    (LLM, [code("model_loading")], [2.0]),
    (CACHE, [code("connection_refused")], [0.0]),
]


@pytest.mark.parametrize(("policy", "errors", "waits"), RECOVERS)
async def test_a_passing_hiccup_goes_unnoticed(
    policy: Policy, errors: list[KittyError], waits: list[float]
) -> None:
    """The waits are the table's, each at most a quarter longer."""
    clock = Clock()
    operation, _ = failing(*errors)
    assert await retrying(policy, operation, sleep=clock.sleep) == "done"
    assert clock.slept == [pytest.approx(wait * 1.125, rel=0.1112) for wait in waits]


GIVES_UP = [
    (DATABASE, code("connection_timeout"), 3),
    (HTTP, http(503), 3),
    (LLM, code("model_loading"), 2),
    (CACHE, code("connection_refused"), 2),
    (DATABASE, code("integrity_error"), 1),
    (HTTP, http(500), 1),
    (HTTP, http(400), 1),
    (HTTP, code("provider_failed"), 1),
    (HTTP, code("timeout"), 1),
    (LLM, code("context_exceeded"), 1),
    (LLM, http(503), 1),
    (LLM, code("provider_cut_off"), 1),
    (CACHE, code("connection_timeout"), 1),
    (HTTP, DeviceError("device_refused", "The device refused", http_status=503), 1),
]


@pytest.mark.parametrize(("policy", "error", "tries"), GIVES_UP)
async def test_what_does_not_pass_is_raised_after_the_tries_of_its_policy(
    policy: Policy, error: KittyError, tries: int
) -> None:
    """Errors that no further try can help, and every device's error, get one try."""
    operation, left = failing(*[error] * 5)
    with pytest.raises(KittyError) as raised:
        await retrying(policy, operation, sleep=Clock().sleep)
    assert raised.value is error
    assert len(left) == 5 - tries


TABLE = [
    (DATABASE, [0.1, 0.2]),
    (HTTP, [0.5, 1.0]),
    (LLM, [2.0]),
    (CACHE, [0.0]),
    (Policy(tries=8, first_s=0.5, most_s=10.0), [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
]


@pytest.mark.parametrize(("policy", "waits"), TABLE)
def test_the_waits_are_those_of_the_table(
    policy: Policy, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the part that is left to chance; no wait is longer than the longest."""
    monkeypatch.setattr(retry, "_JITTER", 0.0)
    assert list(policy.waits()) == waits


async def test_a_model_that_is_still_loading_is_asked_the_same_again() -> None:
    """Nothing is left out of what is asked."""

    def trim() -> bool:
        raise AssertionError

    operation, _ = failing(code("model_loading"))
    assert await retrying(LLM, operation, trim=trim, sleep=Clock().sleep) == "done"


async def test_a_request_that_is_too_long_is_sent_again_only_when_it_got_shorter() -> None:
    """The caller's ``trim`` runs once, before the second try."""
    trimmed: list[str] = []

    def trim() -> bool:
        trimmed.append("once")
        return True

    operation, _ = failing(code("context_exceeded"))
    assert await retrying(LLM, operation, trim=trim, sleep=Clock().sleep) == "done"
    assert trimmed == ["once"]


async def test_a_request_that_cannot_get_shorter_is_not_sent_again() -> None:
    """A ``trim`` that finds nothing ends the tries."""
    operation, left = failing(*[code("context_exceeded")] * 3)
    with pytest.raises(Unavailable):
        await retrying(LLM, operation, trim=lambda: False, sleep=Clock().sleep)
    assert len(left) == 2


async def test_what_comes_in_parts_is_tried_again_by_each_policy_on_its_own() -> None:
    """As often as each allows, and with its waits."""
    clock = Clock()
    tries = Tries(LLM, HTTP, sleep=clock.sleep)
    errors = [http(503), code("model_loading"), http(502), http(504), code("model_loading")]
    again = [await tries.again(error) for error in errors]
    assert again == [True, True, True, False, False]
    assert clock.slept == [pytest.approx(wait * 1.125, rel=0.1112) for wait in (0.5, 2.0, 1.0)]


async def test_what_comes_in_parts_is_trimmed_like_everything_else() -> None:
    """Before it is tried again, and only then."""
    clock = Clock()
    too_long = code("context_exceeded")
    assert not await Tries(LLM, sleep=clock.sleep).again(too_long, lambda: False)
    assert not await Tries(LLM, sleep=clock.sleep).again(too_long)
    assert clock.slept == []
    assert await Tries(LLM, sleep=clock.sleep).again(too_long, lambda: True)
    assert len(clock.slept) == 1


async def test_what_comes_in_parts_is_not_tried_again_for_other_errors() -> None:
    """A device's own error least of all."""
    tries = Tries(LLM, HTTP, sleep=Clock().sleep)
    assert not await tries.again(code("provider_cut_off"))
    assert not await tries.again(DeviceError("device_refused", "It refused", http_status=503))


async def test_no_wait_is_longer_than_the_policy_allows() -> None:
    """The cap holds with the jitter in it."""
    policy = Policy(tries=20, first_s=0.1, most_s=5.0)
    assert max(policy.waits()) <= 5.0


def test_reconnecting_never_gives_up_and_never_hammers() -> None:
    """The waits double from a second to a minute and stay there, each at most a quarter longer."""
    waits = list(islice(backoff(), 100))
    expected = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0] + [60.0] * 94
    assert waits == [pytest.approx(wait * 1.125, rel=0.1112) for wait in expected]
    assert len(set(waits)) == 100
