"""A circuit breaker: a provider that fails again and again is left alone for a while.

Only what says "it is broken" counts. A wrong key (``provider_auth``) is no fault that waiting mends: it is
shown at once, as ``misconfigured``, and opens nothing. A provider that is busy, a question that is too
long and a caller that went away say nothing about its health.
"""

from collections.abc import Callable
from enum import StrEnum
import math
import time
from types import TracebackType
from typing import Final

from brain_server.errors import KittyError, Unavailable
from brain_server.protocol import Json

THRESHOLD: Final = 5
COOL_DOWN: Final = 30.0
PROBES: Final = 3
SUCCESSES: Final = 2
FAILURES: Final = frozenset(
    {
        "provider_unreachable",
        "provider_failed",
        "provider_cut_off",
        "provider_invalid",
        "model_crashed",
        "timeout",
    }
)
MISCONFIGURED: Final = "provider_auth"


class State(StrEnum):
    """Closed lets everything through, open nothing, half-open a few to see how it goes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Guards one provider: ``with breaker.call(): ...``. Not for use from several threads."""

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Start closed. ``clock`` measures, ``now`` tells the time of day, ``on_change`` hears of states."""
        self.name = name
        self.on_change = on_change
        self.state = State.CLOSED
        self.last_error: str | None = None
        self.opened_at: float | None = None
        self.misconfigured = False
        self._clock = clock
        self._now = now
        self._failures = 0
        self._successes = 0
        self._probes = 0
        self._reopens = 0.0
        # What a call began under; one that outlives a change of state says nothing about the new one.
        self._epoch = 0

    @property
    def is_ready(self) -> bool:
        """Tell whether a call would be let through now."""
        if self.state is State.OPEN:
            return self._clock() >= self._reopens
        return self.state is State.CLOSED or self._probes < PROBES

    @property
    def retry_after(self) -> int:
        """Return the whole seconds until a call may be let through; 0 when one would be now."""
        if self.is_ready:
            return 0
        return max(1, math.ceil(self._reopens - self._clock()))

    def call(self) -> _Call:
        """Guard one call, by ``with`` around it; entering raises Unavailable ``circuit_open``."""
        return _Call(self)

    def view(self) -> Json:
        """Return the breaker as clients see it; times are POSIX seconds."""
        return {
            "state": self.state.value,
            "failures": self._failures,
            "last_error": self.last_error,
            "opened_at": self.opened_at,
            "retry_after": self.retry_after,
            "misconfigured": self.misconfigured,
        }

    def _enter(self) -> int:
        """Let a call in and return what it began under."""
        if not self.is_ready:
            raise Unavailable(
                "circuit_open",
                f"{self.name} failed too often and is left alone for a while",
                name=self.name,
                retry_after=self.retry_after,
            )
        if self.state is State.OPEN:
            self._become(State.HALF_OPEN)
        self._probes += self.state is State.HALF_OPEN
        return self._epoch

    def _leave(self, epoch: int, error: BaseException | None) -> None:
        if epoch != self._epoch:
            return
        self._probes -= self.state is State.HALF_OPEN
        code = _code(error)
        if error is None:
            self._succeeded()
        elif code in FAILURES:
            self._failed(code)
        elif code == MISCONFIGURED:
            self.last_error = code
            if not self.misconfigured:
                self.misconfigured = True
                self.on_change()

    def _succeeded(self) -> None:
        was_misconfigured, self.misconfigured = self.misconfigured, False
        self._failures = 0
        self._successes += self.state is State.HALF_OPEN
        if self._successes == SUCCESSES:
            self._become(State.CLOSED)
        elif was_misconfigured:
            self.on_change()

    def _failed(self, code: str | None) -> None:
        self.last_error = code
        self._failures += 1
        if self.state is State.HALF_OPEN or self._failures == THRESHOLD:
            self._reopens = self._clock() + COOL_DOWN
            self._become(State.OPEN)

    def _become(self, state: State) -> None:
        self.state = state
        self._epoch += 1
        self._probes = self._successes = 0
        if state is not State.HALF_OPEN:
            self.opened_at = self._now() if state is State.OPEN else None
        self.on_change()


class _Call:
    """One guarded call."""

    __slots__ = ("_breaker", "_epoch")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        self._epoch = self._breaker._enter()  # noqa: SLF001 - the two are one

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._breaker._leave(self._epoch, error)  # noqa: SLF001 - the two are one thing in two classes


def _code(error: BaseException | None) -> str | None:
    if isinstance(error, KittyError):
        return error.code
    return "timeout" if isinstance(error, TimeoutError) else None
