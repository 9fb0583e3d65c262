"""Waiting for conditions, each with a deadline and a name."""

import asyncio
from collections.abc import Awaitable, Callable
import time
from typing import Final

# Nothing here is about how fast a machine is: whoever waits goes on as soon as it is there.
PATIENCE_S: Final = 30.0


class TooLate(TimeoutError):
    """Something did not happen in time; the message says what."""


async def until[T](check: Callable[[], Awaitable[T]], what: str, limit: float) -> T:
    """Return the first true answer of a check; TooLate with what was waited for."""
    deadline = time.monotonic() + limit
    while not (found := await check()):
        if time.monotonic() > deadline:
            raise TooLate(f"{what}: not within {limit:g} s")
        await asyncio.sleep(0.05)
    return found
