"""Traces: which steps a request took and how long each; off unless somebody wants them.

A request's spans are kept until it ends. Then all of them go to an OpenTelemetry collector when chance chose
the request or any step of it failed, else none. No words, names or values of people are put into a span.
Off, a span costs a look at a variable, and nothing of OpenTelemetry is loaded.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
import importlib
import logging
import os
import random
import re
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import ClientError, ClientTimeout

if TYPE_CHECKING:
    from aiohttp import ClientSession

_LOGGER = logging.getLogger(__name__)

MOST_SPANS: Final = 512
MOST_WAITING: Final = 4096
BATCH: Final = 512
EVERY: Final = 5.0
TIMEOUT: Final = 5.0
LAST_TIMEOUT: Final = 1.0
# With these answers a collector asks to be told again later.
LATER: Final = frozenset({429, 502, 503, 504})
_WIRE: Final = "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
_KINDS: Final = {"internal": 1, "server": 2, "client": 3}
_FAILED: Final = 2
_OWN_ID: Final = re.compile("(?!0{32})[0-9a-f]{32}")


class _Nothing:
    """The span of who does not trace."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


NOTHING: Final = _Nothing()


class Trace:
    """The spans of one request."""

    __slots__ = ("dropped", "failed", "id", "open", "sampled", "sink", "spans")

    def __init__(self, trace_id: str, sink: Callable[[list[Span]], None], *, sampled: bool) -> None:
        """Take the id, where the spans go, and whether chance chose this request."""
        self.id = trace_id
        self.sink = sink
        self.sampled = sampled
        self.failed = False
        self.open = True
        self.dropped = 0
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        """Keep a span that ended; when it is the first one that began, all are over."""
        if not self.open:
            return
        is_root = span.parent_id is None
        if len(self.spans) < MOST_SPANS or is_root:
            self.spans.append(span)
        else:
            self.dropped += 1
        if is_root:
            self.open = False
            if self.dropped:
                span.attributes["kitty.dropped_spans"] = self.dropped
            if self.failed or self.sampled:
                self.sink(self.spans)


class Span:
    """One step; to be used once, by ``with``."""

    __slots__ = (
        "_before",
        "attributes",
        "ended",
        "error",
        "id",
        "kind",
        "name",
        "parent_id",
        "started",
        "trace",
    )

    def __init__(
        self,
        trace: Trace,
        name: str,
        kind: str,
        parent_id: bytes | None,
        attributes: dict[str, Any],
    ) -> None:
        """Take the request that it belongs to, and the step that it is a part of."""
        self.trace = trace
        self.id = os.urandom(8)
        self.parent_id = parent_id
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.started = self.ended = 0
        self.error: str | None = None

    def __enter__(self) -> Self:
        self._before = _here.get()
        _here.set(self)
        self.started = time.time_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.ended = time.time_ns()
        # Not reset by its token: a stream may be closed in another context than the one it began in.
        _here.set(self._before)
        if isinstance(error, Exception) and kind is not None:
            self.fail(str(getattr(error, "code", kind.__name__)))
        elif kind is not None:
            self.attributes["kitty.cancelled"] = True
        self.trace.add(self)

    def fail(self, code: str) -> None:
        """Say that the step failed; then its request is told whatever chance chose."""
        self.error = code
        self.trace.failed = True


@dataclass(slots=True)
class _Switch:
    """Whether requests are traced."""

    tracer: Tracer | None = None


_switch: Final = _Switch()
_here: ContextVar[Span | None] = ContextVar("span", default=None)


def span(name: str, *, kind: str = "internal", **attributes: Any) -> Span | _Nothing:
    """Trace a block as a part of the step around it; nothing where nobody traces the request."""
    here = _here.get()
    if here is None or not here.trace.open:
        return NOTHING
    return Span(here.trace, name, kind, here.id, attributes)


def trace(name: str, correlation_id: str | None, **attributes: Any) -> Span | _Nothing:
    """Trace a block as a request of its own, or as a part of the request around it."""
    if (tracer := _switch.tracer) is None:
        return NOTHING
    here = _here.get()
    if here is not None and here.trace.open:
        return Span(here.trace, name, "internal", here.id, attributes)
    return tracer.begin(name, correlation_id, attributes)


def fail(code: str) -> None:
    """Say that the step around this line failed, although no error leaves it."""
    if (here := _here.get()) is not None:
        here.fail(code)


def use(tracer: Tracer | None) -> None:
    """Trace from now on, or no longer."""
    _switch.tracer = tracer


class Tracer:
    """Begins traces and decides which are told."""

    def __init__(
        self,
        sink: Callable[[list[Span]], None],
        *,
        sample: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take who gets the spans of a request, and the share of requests to tell."""
        self._sink = sink
        self._sample = sample
        self._chance = chance

    def begin(self, name: str, correlation_id: str | None, attributes: dict[str, Any]) -> Span:
        """Begin a trace; its id is that of the logs where that has the form of one."""
        own = correlation_id is not None and _OWN_ID.fullmatch(correlation_id)
        trace_id = correlation_id if correlation_id and own else os.urandom(16).hex()
        made = Trace(trace_id, self._sink, sampled=self._chance() < self._sample)
        if correlation_id is not None:
            attributes["kitty.correlation_id"] = correlation_id
        return Span(made, name, "server", None, attributes)


class Exporter:
    """Sends spans to a collector; one that is away costs some memory and a line in the log."""

    def __init__(
        self, session: ClientSession, endpoint: str, *, version: str, every: float = EVERY
    ) -> None:
        """Take the HTTP session, the collector's address without ``/v1/traces``, and our version."""
        self.dropped = 0
        self._session = session
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._version = version
        self._every = every
        self._waiting: deque[Span] = deque()
        self._many = asyncio.Event()
        self._well = True

    def add(self, spans: list[Span]) -> None:
        """Keep spans until they are sent; when there are too many the oldest are given up."""
        self._waiting.extend(spans)
        self._trim()
        if len(self._waiting) >= BATCH:
            self._many.set()

    async def run(self) -> None:
        """Send what waits: as soon as it is much, else every few seconds."""
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._many.wait()
            except TimeoutError:
                pass
            if not await self.flush():
                await asyncio.sleep(self._every)

    async def flush(self, limit: float = TIMEOUT) -> bool:
        """Send what waits now; False when the collector did not take it."""
        self._many.clear()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            problem, later = await self._send(batch, limit)
            if later:
                self._waiting.extendleft(reversed(batch))
                self._trim()
            elif problem is not None:
                self.dropped += len(batch)
            if (problem is None) is not self._well:
                self._well = problem is None
                _LOGGER.warning("Traces are %s", "sent again" if self._well else f"lost: {problem}")
            if later:
                return False
        return True

    async def close(self) -> None:
        """Trace no longer, and try once to send what is left."""
        use(None)
        await self.flush(LAST_TIMEOUT)

    async def _send(self, batch: list[Span], limit: float) -> tuple[str | None, bool]:
        """Return what went wrong, and whether to try again later."""
        body = await asyncio.to_thread(encode, batch, self._version)
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/x-protobuf"},
                timeout=ClientTimeout(total=limit),
                allow_redirects=False,
            ) as answer:
                wrong = None if answer.status < 300 else f"the collector says {answer.status}"
                return wrong, answer.status in LATER
        except (ClientError, TimeoutError) as err:
            return type(err).__name__, True

    def _trim(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1


async def connect(
    session: ClientSession,
    endpoint: str,
    *,
    sample: float,
    version: str,
    chance: Callable[[], float] = random.random,
) -> Exporter | None:
    """Begin to trace; who calls runs the exporter. None, and a line in the log, without the library."""
    try:
        await asyncio.to_thread(importlib.import_module, _WIRE)
    except ImportError as err:
        _LOGGER.error("Nothing is traced: install the extra 'tracing' (%s)", err)  # noqa: TRY400 - the sentence says it all; a trace would not help
        return None
    exporter = Exporter(session, endpoint, version=version)
    use(Tracer(exporter.add, sample=sample, chance=chance))
    return exporter


def encode(spans: list[Span], version: str) -> bytes:
    """Return spans as the body of an OTLP request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - optional
        ExportTraceServiceRequest,
    )

    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _describe(group.resource, {"service.name": "kitty-brain", "service.version": version})
    scope = group.scope_spans.add()
    scope.scope.name = "brain_server"
    for one in spans:
        made = scope.spans.add(
            trace_id=bytes.fromhex(one.trace.id),
            span_id=one.id,
            parent_span_id=one.parent_id or b"",
            name=one.name,
            kind=_KINDS[one.kind],
            start_time_unix_nano=one.started,
            end_time_unix_nano=one.ended,
        )
        error = {} if one.error is None else {"error.type": one.error}
        _describe(made, one.attributes | error)
        if one.error is not None:
            made.status.code = _FAILED
    return bytes(request.SerializeToString())


def _describe(thing: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        pair = thing.attributes.add(key=name)
        match value:
            case bool():
                pair.value.bool_value = value
            case int():
                pair.value.int_value = value
            case float():
                pair.value.double_value = value
            case _:
                pair.value.string_value = str(value)
