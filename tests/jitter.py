"""A pytest plugin that finds what works only because it is quick.

``script/test brain -- -p tests.jitter --timeout 180``: what is allowed to come late comes late, at random. Work that is
given to a thread begins later, its answer reaches the loop later, and of the sockets that are ready some wait for the
next turn, in another order. The order that a thread or a socket keeps by itself stays. ``JITTER_SEED`` repeats the
numbers of a run (the threads do not repeat theirs); ``JITTER_MS`` is the most by which a step is late, 25 by itself.
"""

import asyncio
from concurrent.futures import thread
import ctypes
from functools import wraps
import os
import random
import selectors
import sys
from typing import Any, Final

SEED: Final = int(os.environ.get("JITTER_SEED", random.randrange(1 << 30)))
MOST_S: Final = float(os.environ.get("JITTER_MS", "25")) / 1000
# How much of what a thread does is late, and how many of the sockets that are ready.
LATE: Final = 0.5
UNREADY: Final = 0.2

_chance = random.Random(SEED)
# Not time.sleep: tests replace that one, and forbid it in a loop.
_usleep = ctypes.CDLL(None).usleep


def pytest_report_header() -> str:
    """Tell the number to repeat this with."""
    return f"jitter: JITTER_SEED={SEED}"


def _late() -> None:
    """Wait, mostly for a moment and now and then for long; never in a loop, which would be late as a whole."""
    if asyncio._get_running_loop() is None and _chance.random() < LATE:
        _usleep(int(_chance.random() ** 3 * MOST_S * 1e6))


def _comes_late(owner: Any, name: str) -> None:
    real = getattr(owner, name)

    @wraps(real)
    def late(*args: Any, **more: Any) -> Any:
        _late()
        return real(*args, **more)

    setattr(owner, name, late)


def _some_are_ready(owner: Any) -> None:
    real = owner.select

    @wraps(real)
    def select(*args: Any, **more: Any) -> Any:
        ready = [one for one in real(*args, **more) if _chance.random() >= UNREADY]
        _chance.shuffle(ready)
        return ready

    owner.select = select


if sys.platform == "linux":
    _comes_late(thread._WorkItem, "run")
    _comes_late(asyncio.BaseEventLoop, "call_soon_threadsafe")
    _some_are_ready(selectors.EpollSelector)
