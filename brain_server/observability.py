"""Logs, request ids, counters, supervised tasks and the health of parts."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
import json
import logging
import math
import os
import re
import signal
import time
import traceback
from typing import Any, Final

from brain_server.errors import KittyError
from brain_server.protocol import Json

_LOGGER = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
counters: Counter[str] = Counter()

HEALTH_TIMEOUT: Final = 5.0
# How many looks at all parts are remembered, and how many seconds apart at least: about an hour of them.
LOOKS: Final = 360
APART: Final = 8.0
# What is said of a part that is switched off.
OFF: Final = "off"
# A lasting task that broke is begun again after this, then after twice as long, and so on up to five minutes.
PAUSE_S: Final = 1.0
MOST_PAUSE_S: Final = 300.0
# One that has run for so long since then is well again.
WELL_S: Final = 60.0
_KEY: Final = (
    r"(?<![a-z])(?:[\w-]{0,40}[_-])?"
    r"(?:token|api[_-]?key|passw(?:or)?d|pin|secret|nonce|signature|authorization)s?"
)
_VALUE: Final = r"""(?:\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s"',;&})\]@]+)"""
_NAMED: Final = re.compile(rf"(?i){_KEY}")
_SECRET: Final = re.compile(
    rf"""(?i)({_KEY}\\?["']?\s*[=:]\s*(?:(?:bearer|basic)\s+)?"""
    rf"""|\bbearer\s+|://[^\s/:@]{{0,99}}:(?=[^\s/]{{0,99}}@)){_VALUE}"""
)
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def redact(text: str) -> str:
    """Return the text with the values of tokens, keys, codes and signatures blotted out."""
    return _SECRET.sub(r"\1***", text)


def _redacted(value: Any) -> Any:
    """Return what goes into the context of a line, secrets blotted out by their names, too."""
    if isinstance(value, dict):
        return {
            str(name): "***" if _NAMED.fullmatch(str(name)) else _redacted(part)
            for name, part in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(part) for part in value]
    return value if isinstance(value, int | float | None) else redact(str(value))


class JsonFormatter(logging.Formatter):
    """One JSON object per line, so that no message can forge a second line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; ``extra`` fields become the context."""
        context = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        line: Json = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "service": "kitty-brain",
            "correlation_id": request_id.get(),
            "message": redact(record.getMessage()),
            "context": _redacted(context) | {"logger": record.name},
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = {
                "type": record.exc_info[0].__name__,
                "message": redact(str(record.exc_info[1])),
                "stack_trace": redact("".join(traceback.format_exception(*record.exc_info))),
            }
        return json.dumps(line, default=str)


def setup_logging(level: str) -> None:
    """Send all logs to standard error as JSON lines at this level."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def checkpoint(name: str) -> None:
    """Die here, or stand still, when a test asked for it by ``KITTY_CRASH=name`` or ``KITTY_PAUSE=name``."""
    if name == _CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    if name == _PAUSE_AT:
        os.kill(os.getpid(), signal.SIGSTOP)


_CRASH_AT: Final = os.environ.get("KITTY_CRASH")
_PAUSE_AT: Final = os.environ.get("KITTY_PAUSE")


class Tasks:
    """Background tasks that are kept, named, logged when they break, and cancelled at the end."""

    def __init__(self, *, pause_s: float = PAUSE_S, well_s: float = WELL_S) -> None:
        """Start with none; the seconds are those of :meth:`keep_up`."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pause_s = pause_s
        self._well_s = well_s
        self.broken: dict[str, str] = {}

    def start[T](self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine in the background; a failure is logged once."""
        task = self._keep(name, work)
        task.add_done_callback(self._report)
        return task

    def keep_up(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Run what should not end before it is done: where it breaks it is begun again, each time after a longer pause.

        It shows in the health from its failure until it has run well for a while. Cancelling the task ends it.
        """
        self.broken.pop(name, None)
        return self.start(name, self._keep_up(name, work))

    async def _keep_up(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        pause = self._pause_s
        while True:
            begun = loop.time()
            well = loop.call_later(self._well_s, self.broken.pop, name, None)
            life = self._keep(name, work())
            try:
                await asyncio.wait([life])
            finally:
                well.cancel()
                life.cancel()
                await asyncio.wait([life])
            # Nobody but us may call it off: what ends as if called off has broken, too.
            error = asyncio.CancelledError() if life.cancelled() else life.exception()
            if error is None:
                self.broken.pop(name, None)
                return
            self.broken[name] = type(error).__name__
            _tell_broken(name, error)
            if loop.time() - begun > self._well_s:
                pause = self._pause_s
            await asyncio.sleep(pause)
            pause = min(pause * 2, MOST_PAUSE_S)

    async def see_through[T](self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, even when the one who waits for it goes away."""
        return await asyncio.shield(self._keep(name, work))

    def _keep[T](self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def _report(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _tell_broken(task.get_name(), error)

    def forget(self, name: str) -> None:
        """No longer miss a lasting task, because what it was for is gone."""
        self.broken.pop(name, None)

    async def stop(self) -> None:
        """Cancel everything and wait for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _tell_broken(name: str, error: BaseException) -> None:
    counters["tasks_broken"] += 1
    _LOGGER.error("Task %s broke", name, exc_info=error)


class Health:
    """The parts of the process and whether each is well; each check has five seconds."""

    def __init__(self) -> None:
        """Start with no parts."""
        self._checks: dict[str, Callable[[], Awaitable[str | None]]] = {}
        self._looks: deque[tuple[float, dict[str, float]]] = deque(maxlen=LOOKS)
        self._kept_at = -math.inf
        self._is_on: dict[str, Callable[[], bool]] = {}

    def add(
        self,
        name: str,
        check: Callable[[], Awaitable[str | None]],
        *,
        is_on: Callable[[], bool] | None = None,
    ) -> None:
        """Add a part; its check returns None when well, else what is wrong in words.

        While ``is_on`` says no, it is not checked: off is not ill.
        """
        self._checks[name] = check
        if is_on is not None:
            self._is_on[name] = is_on

    async def run(self, *, limit: float = HEALTH_TIMEOUT) -> list[Json]:
        """Run all checks at once; returns ``{"name", "ok", "ms", "detail"}`` for each."""
        checks = dict(self._checks)  # parts may join meanwhile
        found = await asyncio.gather(
            *(self._one(name, check, limit) for name, check in checks.items()),
            return_exceptions=True,
        )
        parts: list[Json] = [
            {"name": name, "ok": False, "ms": 0.0, "detail": type(part).__name__}
            if isinstance(part, BaseException)
            else part
            for name, part in zip(checks, found, strict=True)
        ]
        now = time.monotonic()
        if now - self._kept_at >= APART:
            self._kept_at = now
            self._looks.append((time.time(), {part["name"]: part["ms"] for part in parts}))
        return parts

    def times(self) -> Json:
        """Return how long the checks took at the last looks: when, and of each part as many figures."""
        looks = list(self._looks)
        return {
            "at": [at for at, _ in looks],
            "parts": {name: [ms.get(name) for _, ms in looks] for name in self._checks},
        }

    async def _one(
        self, name: str, check: Callable[[], Awaitable[str | None]], limit: float
    ) -> Json:
        if name in self._is_on and not self._is_on[name]():
            return {"name": name, "ok": True, "ms": 0.0, "detail": OFF}
        started = time.perf_counter()
        try:
            async with asyncio.timeout(limit):
                detail = await check()
        except TimeoutError:
            detail = f"No answer within {limit:g} s"
        except KittyError as err:
            detail = err.message
        elapsed = round((time.perf_counter() - started) * 1000, 2)
        return {"name": name, "ok": detail is None, "ms": elapsed, "detail": detail}
