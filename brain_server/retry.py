"""Which failures are tried again, how often and how far apart. A command to a device never is.

An error is known by its ``code`` or, where it stands for an HTTP answer, by its field
``http_status``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
import random
from typing import Final

from brain_server.errors import DeviceError, KittyError

_JITTER: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often one kind of work is tried, how far apart, and after which errors."""

    tries: int
    first_s: float = 0.0
    most_s: float = 0.0
    growth: float = 2.0
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    # Codes that come again unless the caller first makes its request smaller.
    needs_trimming: frozenset[str] = frozenset()

    def matches(self, error: KittyError) -> bool:
        """Say whether another try may help; never after a device's own error."""
        if isinstance(error, DeviceError):
            return False
        return error.code in self.codes or error.fields.get("http_status") in self.statuses

    def waits(self) -> Iterator[float]:
        """Yield the seconds before each further try."""
        wait = self.first_s
        for _ in range(self.tries - 1):
            yield min(_jittered(wait), self.most_s)
            wait *= self.growth


DATABASE: Final = Policy(
    tries=3, first_s=0.1, most_s=5.0, codes=frozenset({"connection_timeout", "deadlock_detected"})
)
HTTP: Final = Policy(tries=3, first_s=0.5, most_s=10.0, statuses=frozenset({502, 503, 504}))
LLM: Final = Policy(
    tries=2,
    first_s=2.0,
    most_s=4.0,
    growth=1.0,
    codes=frozenset({"model_loading", "context_exceeded"}),
    needs_trimming=frozenset({"context_exceeded"}),
)
CACHE: Final = Policy(tries=2, codes=frozenset({"connection_refused"}))


async def retrying[T](
    policy: Policy,
    operation: Callable[[], Awaitable[T]],
    *,
    trim: Callable[[], bool] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Return what the operation returns, trying again as the policy says; the last error is raised.

    ``trim`` makes the next request smaller and returns False when nothing is left to leave out.
    """
    for wait in policy.waits():
        try:
            return await operation()
        except KittyError as error:
            if not policy.matches(error) or not _trimmed(policy, error, trim):
                raise
        await sleep(wait)
    return await operation()


class Tries:
    """The further tries of an operation that yields as it goes, which :func:`retrying` cannot run."""

    def __init__(
        self, *policies: Policy, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Take the policies; each has its own number of tries."""
        self._waits = [(policy, policy.waits()) for policy in policies]
        self._sleep = sleep

    async def again(self, error: KittyError, trim: Callable[[], bool] | None = None) -> bool:
        """Wait for the next try after this error; False when there is none."""
        for policy, waits in self._waits:
            if not policy.matches(error) or not _trimmed(policy, error, trim):
                continue
            if (wait := next(waits, None)) is not None:
                await self._sleep(wait)
                return True
        return False


def backoff(first_s: float = 1.0, most_s: float = 60.0) -> Iterator[float]:
    """Yield the seconds before each attempt to reach something again: doubling, without end."""
    wait = first_s
    while True:
        yield _jittered(wait)
        wait = min(wait * 2, most_s)


def _trimmed(policy: Policy, error: KittyError, trim: Callable[[], bool] | None) -> bool:
    return error.code not in policy.needs_trimming or (trim is not None and trim())


def _jittered(wait: float) -> float:
    """Return the wait, up to a quarter longer by chance, so that many do not come back at once."""
    return wait * (1 + _JITTER * random.random())  # noqa: S311 - chance, not a secret
