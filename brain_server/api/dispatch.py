"""Runs one command for one caller: the same for every road, with its timeout, its log line and errors."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
import logging
import time
from typing import Any, Final

import msgspec

from brain_server import metrics, tracing
from brain_server.capabilities import ALL_ON, NAMED, Switches
from brain_server.commands import Caller, Command, Params, Scope, prepare
from brain_server.errors import Forbidden, InvalidRequest, KittyError, Unavailable
from brain_server.observability import counters, request_id
from brain_server.protocol import Channel, Json

_LOGGER = logging.getLogger(__name__)

RETRY_AFTER: Final = 1
MOST_NESTED: Final = 64
# What somebody does is worth a line; what is read, or told every second, only when one looks for it.
LOGGED: Final = frozenset({Scope.CONTROL, Scope.ADMIN})


class InternalError(KittyError):
    """Something broke inside; the log has it under the trace id."""


class Dispatcher:
    """Holds the list of verbs and how many run right now."""

    def __init__(
        self, commands: Mapping[str, Command], *, most: int, switches: Switches = ALL_ON
    ) -> None:
        """Take the verbs, the number of commands that may run at once, and which parts are switched on."""
        for spec in commands.values():
            if spec.capability is not None and spec.capability not in NAMED:
                message = f"{spec.action} belongs to no capability"
                raise ValueError(message)
        self.commands = commands
        self.switches = switches
        self.draining = False
        self.durations: deque[float] = deque(maxlen=2048)
        self._most = most
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Return how many commands run right now."""
        return self._running

    def spec(self, action: object) -> Command:
        """Return a verb; InvalidRequest ``unknown_action``: only what is listed can be run."""
        found = self.commands.get(action) if isinstance(action, str) else None
        if found is None:
            raise InvalidRequest(
                "unknown_action", "There is no such action", action=str(action)[:64]
            )
        return found

    async def run(
        self,
        spec: Command,
        caller: Caller,
        params: Json,
        *,
        strict: bool = True,
        emit: Callable[[Json], None] = lambda _part: None,
    ) -> Any:
        """Run one command. Raises only KittyError; anything else is logged and becomes ``internal``."""
        if self.draining:
            raise Unavailable("shutting_down", "Try again in a moment", retry_after=RETRY_AFTER)
        if self._running >= self._room(caller):
            raise Unavailable("overloaded", "Try again in a moment", retry_after=RETRY_AFTER)
        given = prepare(spec, caller, params, strict=strict)
        if spec.capability is not None:
            self.switches.require(spec.capability)
        with tracing.trace("command", request_id.get(), action=spec.action):
            return await self._run(spec, caller, given, emit)

    async def _run(
        self, spec: Command, caller: Caller, given: Params, emit: Callable[[Json], None]
    ) -> Any:
        self._running += 1
        self._idle.clear()
        outcome = "cancelled"
        started = time.perf_counter()
        try:
            async with asyncio.timeout(spec.timeout) as limit:
                extra = (emit,) if spec.streams else ()
                result = await spec.run(caller, given, *extra)
            outcome = "ok"
        except KittyError as err:
            outcome = err.code
            raise
        except TimeoutError as err:
            outcome = "timeout"
            late = f"No result within {spec.timeout:g} s"
            words = late if limit.expired() else "A part did not answer in time"
            raise Unavailable("timeout", words, seconds=spec.timeout) from err
        except Exception as err:
            outcome = "internal"
            counters["errors_internal"] += 1
            _LOGGER.exception("%s broke", spec.action)
            raise InternalError("internal", "Something went wrong inside the brain") from err
        finally:
            elapsed = time.perf_counter() - started
            self.durations.append(elapsed)
            metrics.observe_command(spec.action, elapsed, outcome)
            self._running -= 1
            if self._running == 0:
                self._idle.set()
        about = {"user_id": caller.user_id, "endpoint": spec.action, "caller": caller.name}
        level = logging.INFO if spec.scope in LOGGED else logging.DEBUG
        _LOGGER.log(
            level, "%s done", spec.action, extra=about | {"duration_ms": round(elapsed * 1000, 3)}
        )
        return result

    def _room(self, caller: Caller) -> int:
        """Return how many commands may run: the last quarter is for Home Assistant, which can lock doors."""
        return self._most if caller.scope is Scope.INTEGRATION else max(1, self._most * 3 // 4)

    async def drain(self, limit: float) -> None:
        """Take no more commands and wait for those that run, at most ``limit`` seconds."""
        self.draining = True
        try:
            async with asyncio.timeout(limit):
                await self._idle.wait()
        except TimeoutError:
            _LOGGER.warning("%d commands were cut off at shutdown", self._running)


def refused(err: KittyError, endpoint: str) -> None:
    """Count and log an error that a caller is told: one line, once, on the road that tells it."""
    if isinstance(err, InternalError):
        return
    counters[f"errors_{err.code}"] += 1
    level = logging.WARNING if err.status >= 500 else logging.INFO
    _LOGGER.log(level, "%s refused: %s", endpoint, err.code, extra={"endpoint": endpoint})


def decode(text: str | bytes) -> Any:
    """Return the value of a JSON text; InvalidRequest ``invalid_json`` for what is none.

    Refuses also what no database, no device and no other program could take: NaN, numbers beyond 64
    bits, half of a surrogate pair, more than 64 levels.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as err:
        raise InvalidRequest("invalid_json", "This is not JSON") from err
    if not _ordinary(value, MOST_NESTED):
        raise InvalidRequest("invalid_json", "This goes beyond 64 bits or 64 levels")
    return value


def _ordinary(value: Any, levels: int) -> bool:
    match value:
        case dict():
            return levels > 0 and all(_ordinary(part, levels - 1) for part in value.values())
        case list():
            return levels > 0 and all(_ordinary(part, levels - 1) for part in value)
        case int():
            return -(2**63) <= value < 2**63
        case _:
            return True


def on_behalf(caller: Caller, named: object) -> Caller:
    """Return the caller with the person that the integration vouches for.

    Raises Forbidden ``may_not_name_caller`` for any other token, InvalidRequest ``invalid_caller``.
    """
    if named is None:
        return caller
    if caller.scope is not Scope.INTEGRATION:
        raise Forbidden("may_not_name_caller", "Only Home Assistant may speak for a person")
    if not isinstance(named, dict):
        raise InvalidRequest("invalid_caller", "caller must be an object")
    try:
        channel = Channel(named.get("channel", "api"))
    except ValueError as err:
        raise InvalidRequest("invalid_caller", "Unknown channel", field="channel") from err
    return replace(
        caller,
        channel=channel,
        user_id=_text(named, "user_id", 64),
        name=_text(named, "name", 255),
        context_id=_text(named, "context_id", 64),
    )


def _text(named: Json, field: str, most: int) -> str | None:
    value = named.get(field)
    if value is not None and (not isinstance(value, str) or len(value) > most):
        raise InvalidRequest(
            "invalid_caller", f"{field} must be null or text of at most {most}", field=field
        )
    return value or None
