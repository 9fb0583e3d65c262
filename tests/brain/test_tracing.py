"""Traces: a tree of spans for each request, sampled, errors always, told to a collector that may be away."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
import contextlib
from contextlib import asynccontextmanager
import json
import logging
from pathlib import Path
import random
import subprocess
import sys
import time
import timeit
from typing import Any

from aiohttp import ClientSession, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
import pytest
from sqlalchemy import text

from brain_server import tracing
from brain_server.api.dispatch import Dispatcher
from brain_server.commands import SYSTEM, Caller, NoParams, Params, Scope, collect, command
from brain_server.errors import KittyError, NotFound
from brain_server.observability import request_id
from brain_server.protocol import Json
from brain_server.storage import Database, tables
from brain_server.tracing import Exporter, Span, Tracer
from tests.brain.home import ROOT, Rest, running, until
from tests.brain.soon import SOON
from tests.standins.web import serving

ID = "0123456789abcdef0123456789abcdef"


class Collector:
    """A stand-in for an OpenTelemetry collector: reads what it is sent with OpenTelemetry's own types."""

    def __init__(self) -> None:
        """Take everything from the start."""
        self.says = 200
        self.asked = 0
        self.types: set[str] = set()
        self.resources: list[Json] = []
        self.spans: list[Any] = []

    async def take(self, request: web.Request) -> web.Response:
        """Keep the spans of one request, or refuse them."""
        self.asked += 1
        if self.says >= 300:
            return web.Response(status=self.says, headers={"Location": "/elsewhere"})
        self.types.add(request.content_type)
        told = ExportTraceServiceRequest.FromString(await request.read())
        for group in told.resource_spans:
            self.resources.append(attributes(group.resource))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return web.Response()

    def named(self, name: str) -> list[Any]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]


def attributes(thing: Any) -> Json:
    """Return the attributes of a span as a dict."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in thing.attributes
    }


@pytest.fixture(autouse=True)
def off() -> AsyncIterator[None]:
    """Leave nothing on for other tests."""
    yield
    tracing.use(None)


class Told:
    """Requests that were told, in memory."""

    def __init__(self, sample: float = 1.0, chance: Callable[[], float] = random.random) -> None:
        """Trace from now on."""
        self.requests: list[list[Span]] = []
        tracing.use(Tracer(self.requests.append, sample=sample, chance=chance))

    @property
    def tree(self) -> list[tuple[str, str | None]]:
        """Return each span of the last request with the one that it is a part of."""
        spans = self.requests[-1]
        names = {span.id: span.name for span in spans}
        return [(span.name, names.get(span.parent_id or b"")) for span in spans]


class Lookup(Params):
    """How a lookup ends."""

    found: bool = True


class Shelf:
    """A service that looks into a database."""

    def __init__(self, database: Database | None = None) -> None:
        """Take the database, if any."""
        self.database = database

    @command("shelf.look", Scope.READ)
    async def look(self, _caller: Caller, params: Lookup) -> None:
        """Look, and find something or not."""
        if not params.found:
            raise NotFound("not_there", "There is nothing")

    @command("shelf.read", Scope.READ)
    async def read(self, _caller: Caller, _params: NoParams) -> None:
        """Read and write."""
        assert self.database is not None
        with tracing.span("stage", stage="recall"):
            await self.database.read(lambda connection: connection.execute(text("SELECT 1")))
        await self.database.write(lambda connection: connection.execute(text("SELECT 1")))


async def run(action: str, service: Shelf | None = None, **params: Any) -> None:
    """Run a command as every road does."""
    dispatcher = Dispatcher(collect(service or Shelf()), most=9)
    await dispatcher.run(dispatcher.spec(action), SYSTEM, params)


@asynccontextmanager
async def collecting(collector: Collector, **more: Any) -> AsyncIterator[Exporter]:
    """Trace every request to a collector for the time of a block."""
    async with serving(v1_traces=collector.take) as url, ClientSession() as session:
        options = {"sample": 1.0, "version": "1.2.3"} | more
        exporter = await tracing.connect(session, url, **options)
        assert exporter is not None
        yield exporter


# -- trees --------------------------------------------------------------------------------------------


def test_spans_form_a_tree() -> None:
    """Each is a part of the one around it."""
    told = Told()
    with tracing.trace("request", ID):
        with tracing.span("first"), tracing.span("inner"):
            pass
        with tracing.span("second"):
            pass
    assert told.tree == [
        ("inner", "first"),
        ("first", "request"),
        ("second", "request"),
        ("request", None),
    ]


def test_a_request_inside_a_request_is_a_part_of_it() -> None:
    """As a command that came over REST."""
    told = Told()
    with tracing.trace("request", ID), tracing.trace("command", ID, action="a.b"):
        pass
    assert told.tree == [("command", "request"), ("request", None)]


def test_a_span_has_its_beginning_and_its_end() -> None:
    """The inner one within the outer one."""
    told = Told()
    with tracing.trace("request", ID), tracing.span("inner"):
        pass
    [inner, outer] = told.requests[0]
    assert 0 < outer.started <= inner.started <= inner.ended <= outer.ended


async def test_requests_at_once_do_not_mix() -> None:
    """Each task has its own place in its own tree."""
    told = Told()

    async def request(name: str) -> None:
        with tracing.trace(name, None):
            await asyncio.sleep(0.001)
            with tracing.span(f"part of {name}"):
                await asyncio.sleep(0.001)

    await asyncio.gather(*(request(str(number)) for number in range(20)))
    assert len(told.requests) == 20
    assert {(span.name, root.name) for *spans, root in told.requests for span in spans} == {
        (f"part of {number}", str(number)) for number in range(20)
    }


async def test_what_goes_on_after_its_request_is_no_part_of_it() -> None:
    """A request that it makes later is one of its own."""
    told = Told()
    go = asyncio.Event()

    async def later() -> None:
        with tracing.span("begun in time"):
            await go.wait()
        with tracing.span("too late"):
            pass
        with tracing.trace("of its own", None):
            pass

    with tracing.trace("request", ID):
        task = asyncio.get_running_loop().create_task(later())
        await asyncio.sleep(0)
    go.set()
    await task
    assert [[span.name for span in spans] for spans in told.requests] == [
        ["request"],
        ["of its own"],
    ]


async def test_a_stream_that_is_closed_elsewhere_leaves_the_tree_whole() -> None:
    """Its span ends where it is closed."""
    told = Told()

    async def words() -> AsyncIterator[str]:
        with tracing.span("provider", kind="client"):
            yield "a"
            yield "b"

    with tracing.trace("request", ID):
        stream = words()
        await anext(stream)
        await asyncio.get_running_loop().create_task(stream.aclose())
    assert told.tree == [("provider", "request"), ("request", None)]
    assert told.requests[0][0].attributes == {"kitty.cancelled": True}


def test_a_request_keeps_only_so_many_spans() -> None:
    """It says how many are missing; the request itself never is."""
    told = Told()
    with tracing.trace("request", ID):
        for _ in range(tracing.MOST_SPANS + 10):
            with tracing.span("step"):
                pass
    spans = told.requests[0]
    assert len(spans) == tracing.MOST_SPANS + 1
    assert spans[-1].attributes["kitty.dropped_spans"] == 10


# -- ids ----------------------------------------------------------------------------------------------


def test_the_id_of_the_logs_is_the_id_of_the_trace() -> None:
    """So that one leads to the other."""
    told = Told()
    with tracing.trace("request", ID):
        pass
    [span] = told.requests[0]
    assert (span.trace.id, span.attributes["kitty.correlation_id"]) == (ID, ID)


OTHER_IDS = ["turn-7", "0" * 32, ID.upper(), ID + "0", ""]


@pytest.mark.parametrize("given", OTHER_IDS)
def test_an_id_of_another_form_is_kept_beside_the_traces_own(given: str) -> None:
    """A trace's id has a form of its own."""
    told = Told()
    with tracing.trace("request", given):
        pass
    [span] = told.requests[0]
    assert span.trace.id != given
    assert len(bytes.fromhex(span.trace.id)) == 16
    assert span.attributes["kitty.correlation_id"] == given


# -- which are told -----------------------------------------------------------------------------------


async def test_of_a_thousand_requests_a_tenth_is_told_and_every_error(tmp_path: Path) -> None:
    """Over HTTP, to a collector that reads OpenTelemetry's own wire."""
    collector = Collector()
    chance = random.Random(7).random
    async with collecting(collector, sample=0.1, chance=chance) as exporter:
        for number in range(1000):
            fails = number % 50 == 0
            request_id.set(f"{'bad' if fails else 'good'}-{number}")
            await asyncio.gather(run("shelf.look", found=not fails), return_exceptions=True)
        assert await exporter.flush()
    ids = [attributes(span)["kitty.correlation_id"] for span in collector.named("command")]
    kinds = Counter(one.partition("-")[0] for one in ids)
    assert kinds["bad"] == 20
    assert 980 * 0.08 <= kinds["good"] <= 980 * 0.12
    assert len(ids) == len(set(ids))


def test_an_error_in_a_part_tells_the_whole_request() -> None:
    """Also when somebody caught it on the way."""
    told = Told(sample=0.0)
    with tracing.trace("request", ID):
        with contextlib.suppress(KittyError), tracing.span("provider"):
            raise KittyError("provider_failed", "It failed")
        with tracing.span("next provider"):
            pass
    assert [(span.name, span.error) for span in told.requests[0]] == [
        ("provider", "provider_failed"),
        ("next provider", None),
        ("request", None),
    ]


def test_an_error_that_becomes_an_answer_tells_the_request() -> None:
    """Whoever answers says so."""
    told = Told(sample=0.0)
    tracing.fail("nothing to fail")
    with tracing.trace("request", ID):
        tracing.fail("not_found")
    assert told.requests[0][0].error == "not_found"


def test_a_mistake_is_told_by_its_kind_not_its_words() -> None:
    """Words may be somebody's."""
    told = Told(sample=0.0)
    with pytest.raises(ZeroDivisionError), tracing.trace("request", ID):
        raise ZeroDivisionError("Ada divided")
    assert told.requests[0][0].error == "ZeroDivisionError"


async def test_who_is_called_away_has_not_failed() -> None:
    """It is noted, and left to chance."""
    told = Told(sample=0.0)

    async def request() -> None:
        with tracing.trace("request", ID):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(request(), 0.001)
    assert told.requests == []


# -- off ----------------------------------------------------------------------------------------------


def test_off_nothing_is_kept() -> None:
    """Neither a request nor a part, and nothing fails."""
    with tracing.trace("request", ID), tracing.span("part"):
        tracing.fail("whatever")
    assert tracing.trace("request", ID) is tracing.span("part") is tracing.NOTHING


def test_off_it_costs_next_to_nothing() -> None:
    """A millionth of a second at most for a request and its part, the best of several rounds."""

    def request() -> None:
        with tracing.trace("command", ID, action="a.b"):
            pass

    def part() -> None:
        with tracing.span("db.read", kind="client", database="brain"):
            pass

    for call in (request, part):
        assert min(timeit.repeat(call, number=2000, repeat=7)) / 2000 < 1e-6


def test_off_nothing_of_opentelemetry_is_loaded() -> None:
    """Not with the whole brain imported."""
    code = "import sys, json, brain_server.app; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    names = json.loads(found.stdout)
    assert "brain_server.tracing" in names
    assert [name for name in names if name.startswith(("opentelemetry", "google"))] == []


# -- the brain ----------------------------------------------------------------------------------------


async def test_a_command_shows_its_stages_and_its_databases(tmp_path: Path) -> None:
    """By name, without what was asked of them."""
    database = Database(f"sqlite:///{tmp_path / 'b'}", tables.brain, name="brain", durable=False)
    await database.open()
    told = Told()
    await run("shelf.read", Shelf(database))
    await database.close()
    assert told.tree == [
        ("db.read", "stage"),
        ("stage", "command"),
        ("db.write", "command"),
        ("command", None),
    ]
    [read, stage, write, root] = told.requests[0]
    assert read.attributes == write.attributes == {"database": "brain"}
    assert stage.attributes == {"stage": "recall"}
    assert root.attributes["action"] == "shelf.read"


async def test_a_request_over_rest_is_traced_by_its_route(tmp_path: Path) -> None:
    """With the id that the answer carries, and without what is in the address."""
    async with running(tmp_path) as brain, Rest(brain) as rest:
        told = Told()
        answer = await rest.get("/api/v1/jobs.list?limit=3", headers={"X-Request-ID": ID})
    assert answer.headers["X-Request-ID"] == ID
    assert told.tree[-3:] == [
        ("db.read", "command"),
        ("command", "request"),
        ("request", None),
    ]
    assert told.requests[0][-1].attributes == {
        "method": "GET",
        "route": "/api/v1/{action}",
        "kitty.correlation_id": ID,
    }


async def test_an_error_over_rest_is_always_told(tmp_path: Path) -> None:
    """Also one that never came to be a command, or a route."""
    async with running(tmp_path) as brain, Rest(brain) as rest:
        told = Told(sample=0.0)
        await rest.get("/api/v1/none")
        await rest.act("no.such")
        await rest.get("/api/elsewhere/altogether")
        await rest.get("/api/v1/jobs.list")
    assert [spans[-1].error for spans in told.requests] == [
        "not_found",
        "unknown_action",
        "not_found",
    ]


async def test_who_only_watches_is_not_traced(tmp_path: Path) -> None:
    """Health, metrics and figures would be most of all traces."""
    async with running(tmp_path) as brain, Rest(brain) as rest:
        told = Told()
        for path in ("/health", "/ready", "/metrics", "/stats"):
            await rest.get(path)
    assert told.requests == []


# -- the collector ------------------------------------------------------------------------------------


async def test_the_collector_gets_the_tree_in_opentelemetrys_own_form() -> None:
    """Ids, kinds, times, attributes and errors."""
    collector = Collector()
    async with collecting(collector) as exporter:
        with (
            pytest.raises(NotFound),
            tracing.trace("request", ID, count=3, share=0.5, well=True, what=["x"]),
            tracing.span("provider", kind="client"),
        ):
            raise NotFound("not_there", "Nothing of Ada's is there")
        assert await exporter.flush()
    [part], [root] = collector.named("provider"), collector.named("request")
    assert collector.types == {"application/x-protobuf"}
    assert collector.resources == [{"service.name": "kitty-brain", "service.version": "1.2.3"}]
    assert root.trace_id == part.trace_id == bytes.fromhex(ID)
    assert (root.parent_span_id, part.parent_span_id) == (b"", root.span_id)
    assert (root.kind, part.kind) == (2, 3)
    assert root.start_time_unix_nano <= part.start_time_unix_nano
    assert part.end_time_unix_nano <= root.end_time_unix_nano
    assert attributes(root) == {
        "count": 3,
        "share": 0.5,
        "well": True,
        "what": "['x']",
        "kitty.correlation_id": ID,
        "error.type": "not_there",
    }
    assert (root.status.code, part.status.code) == (2, 2)
    assert "Ada" not in str(collector.spans)


def requests(count: int) -> None:
    """Make requests of one span each."""
    for number in range(count):
        with tracing.trace("request", f"{number + 1:032x}"):
            pass


async def test_spans_are_sent_by_themselves() -> None:
    """Every few seconds, and at once when there are many."""
    collector = Collector()
    async with collecting(collector) as exporter:
        exporter._every = 0.01
        sending = asyncio.get_running_loop().create_task(exporter.run())
        requests(1)
        await until(lambda: len(collector.spans) == 1, "the first span")
        exporter._every = 60.0
        await asyncio.sleep(0.02)  # the wait that was short is over
        requests(tracing.BATCH)
        await until(lambda: len(collector.spans) == 1 + tracing.BATCH, "the many")
        sending.cancel()


async def test_spans_go_in_batches() -> None:
    """None twice, none left out."""
    collector = Collector()
    async with collecting(collector) as exporter:
        requests(tracing.BATCH * 2 + 1)
        assert await exporter.flush()
    assert collector.asked == 3
    assert len({span.trace_id for span in collector.spans}) == tracing.BATCH * 2 + 1


async def test_a_collector_that_is_away_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, and later it gets what waited."""
    collector = Collector()
    async with collecting(collector) as exporter:
        collector.says = 503
        requests(3)
        assert not await exporter.flush()
        assert not await exporter.flush()
        assert [record.message for record in caplog.records] == [
            "Traces are lost: the collector says 503"
        ]
        collector.says = 200
        assert await exporter.flush()
    assert [record.message for record in caplog.records][1:] == ["Traces are sent again"]
    assert [span.trace_id[-1] for span in collector.spans] == [1, 2, 3]
    assert exporter.dropped == 0


async def test_a_collector_that_nobody_started_harms_nobody() -> None:
    """Only so much is kept for it; the oldest goes first."""
    async with ClientSession() as session:
        exporter = await tracing.connect(session, "http://127.0.0.1:9", sample=1.0, version="1")
        assert exporter is not None
        requests(tracing.MOST_WAITING + 7)
        assert not await exporter.flush()
        assert exporter.dropped == 7
        assert len(exporter._waiting) == tracing.MOST_WAITING
        requests(3)
        assert exporter.dropped == 10
        await exporter.close()


@pytest.mark.parametrize("status", [400, 404, 302])
async def test_what_a_collector_does_not_want_is_given_up(status: int) -> None:
    """It would not want it the next time either; no redirection is followed."""
    collector = Collector()
    async with collecting(collector) as exporter:
        collector.says = status
        requests(3)
        assert await exporter.flush()
    assert (exporter.dropped, collector.asked) == (3, 1)


async def test_a_collector_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few seconds, less at the end."""
    monkeypatch.setattr(tracing, "LAST_TIMEOUT", 0.05)

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with serving(v1_traces=hang) as url, ClientSession() as session:
        exporter = await tracing.connect(session, url, sample=1.0, version="1")
        assert exporter is not None
        requests(1)
        async with asyncio.timeout(SOON):
            await exporter.close()


async def test_while_the_collector_is_away_it_is_not_pressed() -> None:
    """It is asked every few seconds, however much waits."""
    collector = Collector()
    async with collecting(collector) as exporter:
        collector.says = 503
        exporter._every = 0.05
        started = time.monotonic()
        sending = asyncio.get_running_loop().create_task(exporter.run())
        for _ in range(20):
            requests(tracing.BATCH)
            await asyncio.sleep(0.01)  # what waits grows
        await until(lambda: collector.asked, "the first batch")
        sending.cancel()
    assert 1 <= collector.asked <= (time.monotonic() - started) / 0.05 + 2


async def test_at_the_end_what_is_left_is_sent() -> None:
    """And nothing is traced any more."""
    collector = Collector()
    async with collecting(collector) as exporter:
        requests(2)
        await exporter.close()
        requests(2)
    assert len(collector.spans) == 2
    assert tracing.trace("request", ID) is tracing.NOTHING


async def test_without_the_library_the_brain_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A house does not stop for want of traces."""
    monkeypatch.setitem(sys.modules, tracing._WIRE, None)
    async with ClientSession() as session:
        assert await tracing.connect(session, "http://x", sample=1.0, version="1") is None
    assert tracing.trace("request", ID) is tracing.NOTHING
    [record] = caplog.records
    assert (record.levelno, "install the extra 'tracing'" in record.message) == (
        logging.ERROR,
        True,
    )
