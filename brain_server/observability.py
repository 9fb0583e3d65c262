"""Logs, request ids, counters, supervised tasks and the health of parts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
import json
import logging
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
    """Die here, as by a power cut, when a kill test asked for it by ``KITTY_CRASH=name``."""
    if name == _CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)


_CRASH_AT: Final = os.environ.get("KITTY_CRASH")


class Tasks:
    """Background tasks that are kept, named, logged when they break, and cancelled at the end."""

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lasting: set[str] = set()
        self.broken: dict[str, str] = {}

    def start[T](
        self, name: str, work: Coroutine[Any, Any, T], *, lasting: bool = False
    ) -> asyncio.Task[T]:
        """Run a coroutine in the background; a failure is logged once.

        One that should never end shows in the health from its failure until it is started again.
        """
        task = self._keep(name, work)
        if lasting:
            self._lasting.add(name)
            self.broken.pop(name, None)
        task.add_done_callback(self._report)
        return task

    async def see_through[T](self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, even when the one who waits for it goes away."""
        return await asyncio.shield(self._keep(name, work))

    def _keep[T](self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _report(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        counters["tasks_broken"] += 1
        if task.get_name() in self._lasting:
            self.broken[task.get_name()] = type(error).__name__
        _LOGGER.error("Task %s broke", task.get_name(), exc_info=error)

    def forget(self, name: str) -> None:
        """No longer miss a lasting task, because what it was for is gone."""
        self._lasting.discard(name)
        self.broken.pop(name, None)

    async def stop(self) -> None:
        """Cancel everything and wait for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Health:
    """The parts of the process and whether each is well; each check has five seconds."""

    def __init__(self) -> None:
        """Start with no parts."""
        self._checks: dict[str, Callable[[], Awaitable[str | None]]] = {}

    def add(self, name: str, check: Callable[[], Awaitable[str | None]]) -> None:
        """Add a part; its check returns None when well, else what is wrong in words."""
        self._checks[name] = check

    async def run(self, *, limit: float = HEALTH_TIMEOUT) -> list[Json]:
        """Run all checks at once; returns ``{"name", "ok", "ms", "detail"}`` for each."""
        found = await asyncio.gather(
            *(self._one(name, check, limit) for name, check in self._checks.items()),
            return_exceptions=True,
        )
        return [
            {"name": name, "ok": False, "ms": 0.0, "detail": type(part).__name__}
            if isinstance(part, BaseException)
            else part
            for name, part in zip(self._checks, found, strict=True)
        ]

    async def _one(
        self, name: str, check: Callable[[], Awaitable[str | None]], limit: float
    ) -> Json:
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
