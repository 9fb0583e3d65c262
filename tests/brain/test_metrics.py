"""Metrics: in the form that Prometheus reads, with no names of people or things, and cheap."""

import asyncio
from collections.abc import AsyncIterator, Callable
import os
from pathlib import Path
import re
import threading
import timeit
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
import pytest
from sqlalchemy import text

from brain_server import metrics
from brain_server.api.dispatch import Dispatcher
from brain_server.bus import Bus
from brain_server.commands import SYSTEM, Caller, NoParams, Scope, collect, command
from brain_server.observability import counters
from brain_server.storage import Database, tables
from tests.brain.home import ROOT, Home, Rest, at_home, running

type Seen = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Start counting from nothing."""
    metrics.clear()


def seen(page: str) -> Seen:
    """Return every value of a page, read by Prometheus's own parser."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def look(**now: float) -> Callable[..., float | None]:
    """Return a function that finds values by name and labels."""
    found = seen(metrics.render({}, **now))
    return lambda name, **labels: found.get((name, frozenset(labels.items())))


# -- values -------------------------------------------------------------------------------------------


def test_a_command_is_counted_and_measured() -> None:
    """By action and outcome."""
    metrics.observe_command("devices.list", 0.02, "ok")
    metrics.observe_command("devices.list", 0.2, "timeout")
    value = look()
    assert value("kitty_commands_total", action="devices.list", outcome="ok") == 1
    assert value("kitty_commands_total", action="devices.list", outcome="timeout") == 1
    assert value("kitty_command_seconds_count", action="devices.list") == 2
    assert value("kitty_command_seconds_sum", action="devices.list") == pytest.approx(0.22)


def test_half_and_nearly_all_of_the_times_lie_below_bounds() -> None:
    """Of each command; what is above all bounds counts as the last one."""
    for seconds in (*[0.004] * 98, 0.02, 99):
        metrics.observe_command("devices.list", seconds, "ok")
    metrics.observe_command("audit.list", 99, "ok")
    assert metrics.command_times() == [
        {"action": "audit.list", "count": 1, "p50_ms": 60_000, "p99_ms": 60_000},
        {"action": "devices.list", "count": 100, "p50_ms": 5, "p99_ms": 25},
    ]


def test_a_bucket_counts_all_up_to_its_bound() -> None:
    """The bound itself belongs to it."""
    for seconds in (0.0, 0.001, 0.0011, 60.0, 61.0):
        metrics.observe_stage("recall", seconds)
    value = look()
    buckets = [
        value("kitty_stage_seconds_bucket", stage="recall", le=bound)
        for bound in ("0.001", "0.0025", "60", "+Inf")
    ]
    assert buckets == [2, 3, 4, 5]


def test_an_answer_is_counted_by_tier_and_how_sure_it_was() -> None:
    """And whether it was a kept one."""
    metrics.count_decision("local", 0.85, cached=False)
    metrics.count_decision("local", 1.0, cached=True)
    value = look()
    assert value("kitty_decisions_total", tier="local", cached="no") == 1
    assert value("kitty_decisions_total", tier="local", cached="yes") == 1
    assert value("kitty_confidence_bucket", tier="local", le="0.8") == 0
    assert value("kitty_confidence_bucket", tier="local", le="0.9") == 1
    assert value("kitty_confidence_bucket", tier="local", le="1") == 2


def test_money_tokens_and_looks_into_a_cache_add_up() -> None:
    """Each by its labels."""
    for _ in range(2):
        metrics.count_cost("frontier", 0.25)
        metrics.count_tokens("frontier", 100, 7)
        metrics.count_look("answers", hit=True)
    metrics.count_look("answers", hit=False)
    value = look()
    assert value("kitty_cost_total", tier="frontier") == 0.5
    assert value("kitty_tokens_total", tier="frontier", direction="in") == 200
    assert value("kitty_tokens_total", tier="frontier", direction="out") == 14
    assert value("kitty_cache_total", cache="answers", result="hit") == 2
    assert value("kitty_cache_total", cache="answers", result="miss") == 1


def test_the_length_of_a_queue_is_what_it_is_now() -> None:
    """Not a sum."""
    for length in (3, 1):
        metrics.set_queue("models", length)
    assert look()("kitty_queue_length", queue="models") == 1


def test_the_counters_of_the_log_are_there_too() -> None:
    """Errors by code, what became of requests to devices, and the rest by name."""
    found = seen(
        metrics.render({"requests": 9, "errors_timeout": 2, "requests_acked": 4, "tasks_broken": 1})
    )
    assert found["kitty_requests_total", frozenset()] == 9
    assert found["kitty_errors_total", frozenset({("code", "timeout")})] == 2
    assert found["kitty_device_requests_total", frozenset({("status", "acked")})] == 4
    assert found["kitty_tasks_broken_total", frozenset()] == 1


def test_what_is_now_is_given_by_who_reads() -> None:
    """And the process tells of itself."""
    value = look(clients=3)
    assert value("kitty_clients") == 3
    memory = value("process_resident_memory_bytes")
    assert memory is not None
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert memory == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1)
    assert value("process_start_time_seconds") is not None


def test_where_the_kernel_does_not_tell_the_most_memory_so_far_counts(tmp_path: Path) -> None:
    """As on other systems than Linux."""
    assert metrics.resident(tmp_path / "none") > 10_000_000


# -- form ---------------------------------------------------------------------------------------------


def test_any_label_is_written_so_that_it_is_read_back() -> None:
    """Quotes, backslashes and new lines cannot forge a line."""
    nasty = 'a"} 1\nkitty_cost_total{tier="\\n\\'
    metrics.observe_stage(nasty, 1.0)
    assert look()("kitty_stage_seconds_count", stage=nasty) == 1


def test_what_is_no_code_is_not_shown() -> None:
    """Some come from elsewhere."""
    metrics.observe_command("devices.list", 0.1, "Ada said no")
    page = metrics.render({"errors_Ada's door": 2, "errors_timeout": 1})
    found = seen(page)
    assert found["kitty_errors_total", frozenset({("code", "other")})] == 2
    assert found["kitty_errors_total", frozenset({("code", "timeout")})] == 1
    assert "Ada" not in page


def test_every_metric_is_documented_and_no_other() -> None:
    """docs/MODELS_COST.md lists exactly those that are there, and those counted by name."""
    table = (ROOT / "docs/MODELS_COST.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `((?:kitty|process)_[a-z_]+)` \|", table, re.MULTILINE))
    page = metrics.render({"requests": 1}, clients=1, commands_running=1)
    assert listed == set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))


def test_nobody_can_make_up_labels_without_end() -> None:
    """Beyond a limit all are one."""
    for number in range(metrics.MOST_SERIES + 50):
        metrics.count_slow_query(f"database-{number}")
    metrics.count_slow_query("database-0")
    value = look()
    assert value("kitty_slow_queries_total", database="other") == 50
    assert value("kitty_slow_queries_total", database="database-0") == 2
    assert value("kitty_slow_queries_total", database=f"database-{metrics.MOST_SERIES}") is None


def test_nothing_is_lost_between_threads() -> None:
    """Databases count from threads of their own."""

    def work() -> None:
        for _ in range(5000):
            metrics.count_slow_query("brain")
            metrics.observe_wait("models", 0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    value = look()
    assert value("kitty_slow_queries_total", database="brain") == 20_000
    assert value("kitty_queue_wait_seconds_count", queue="models") == 20_000


CALLS: list[Callable[[], object]] = [
    lambda: metrics.observe_stage("recall", 0.01),
    lambda: metrics.observe_command("devices.list", 0.01, "ok"),
    lambda: metrics.count_decision("local", 0.7, cached=False),
    lambda: metrics.count_tokens("local", 10, 10),
    lambda: metrics.count_look("answers", hit=True),
]


@pytest.mark.parametrize("call", CALLS)
def test_counting_costs_next_to_nothing(call: Callable[[], object]) -> None:
    """Two millionths of a second at most, the best of several rounds."""
    assert min(timeit.repeat(call, number=2000, repeat=7)) / 2000 < 2e-6


# -- what the bus tells -------------------------------------------------------------------------------


@pytest.fixture
def bus() -> Bus:
    """Give a bus that is followed."""
    made = Bus()
    metrics.follow(made)
    return made


def breaker(state: str) -> dict[str, Any]:
    """Return what is told of a provider."""
    return {"id": "p1", "name": "Ada's own model", "breaker": {"state": state}}


def test_the_state_of_a_circuit_breaker_is_a_number(bus: Bus) -> None:
    """By the id of its provider; people name them as they like."""
    found = []
    for state in ("closed", "open", "half_open"):
        bus.publish("provider.updated", breaker(state))
        found.append(look()("kitty_breaker_state", provider="p1"))
    assert found == [0, 2, 1]
    assert "Ada" not in metrics.render({})


def test_a_provider_that_is_removed_has_no_state(bus: Bus) -> None:
    """Also when it never had one."""
    bus.publish("provider.updated", breaker("open"))
    bus.publish("provider.removed", {"id": "p1"})
    bus.publish("provider.removed", {"id": "p2"})
    assert look()("kitty_breaker_state", provider="p1") is None


def test_print_jobs_are_counted_by_what_they_do(bus: Bus) -> None:
    """However often one is told of."""
    for status in ("preparing", "printing", "printing", "paused"):
        bus.publish("job.updated", {"id": "j1", "status": status})
    bus.publish("job.updated", {"id": "j2", "status": "printing"})
    value = look()
    assert [
        value("kitty_jobs", status=status) for status in ("preparing", "printing", "paused")
    ] == [0, 1, 1]


def test_a_print_job_ends_once(bus: Bus) -> None:
    """One that ended before anybody counted is not counted."""
    bus.publish("job.updated", {"id": "j1", "status": "printing"})
    for _ in range(2):
        bus.publish("job.updated", {"id": "j1", "status": "completed"})
    bus.publish("job.updated", {"id": "j0", "status": "failed"})
    value = look()
    assert value("kitty_jobs", status="printing") == 0
    assert value("kitty_jobs_ended_total", status="completed") == 1
    assert value("kitty_jobs_ended_total", status="failed") is None


# -- the page -----------------------------------------------------------------------------------------


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """Give a house with a brain that counts slow queries at once."""
    counters.clear()
    async with running(tmp_path, slow_query_ms=0.000001) as brain, at_home(brain) as made:
        yield made


async def test_the_page_needs_a_token(home: Home) -> None:
    """Any will do: it reads."""
    async with Rest(home.brain, token="nobody's") as stranger:
        assert (await stranger.get("/metrics")).status == 401
    async with Rest(home.brain, token=await home.token("read")) as prometheus:
        assert (await prometheus.get("/metrics")).status == 200


async def test_the_page_tells_what_happened(home: Home) -> None:
    """Read by Prometheus's own parser."""
    async with Rest(home.brain) as rest:
        await rest.get("/api/v1/devices.list")
        await rest.get("/api/v1/devices.get?device_id=none")
        await rest.get("/api/v1/nothing")
        answer = await rest.get("/metrics")
    found = seen(answer.body.decode())
    assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert value("kitty_commands_total", action="devices.list", outcome="ok") == 1
    assert value("kitty_commands_total", action="devices.get", outcome="device_not_found") == 1
    assert value("kitty_command_seconds_count", action="devices.list") == 1
    assert value("kitty_errors_total", code="not_found") == 1
    assert value("kitty_requests_total") == 5  # with the one that opened the socket
    assert value("kitty_clients") == 1
    assert value("kitty_slow_queries_total", database="safety") > 0


async def test_a_large_page_is_packed_for_who_can_unpack(home: Home) -> None:
    """With the same words in it."""
    async with Rest(home.brain) as rest:
        answer = await rest.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE


async def test_no_name_of_a_person_or_a_thing_is_on_the_page(home: Home) -> None:
    """Whatever people ask for."""
    lamp = await home.puppet("Ada's secret lamp", "light")
    lamp.shows = {"on": True}
    await home.request(lamp.context.device_id, "light_on", wait=5)
    async with Rest(home.brain) as rest:
        await rest.get("/api/v1/Ada")
        await rest.act("Ada.asks", {})
        page = (await rest.get("/metrics")).body.decode()
    assert "ada" not in page.lower()
    assert lamp.context.device_id not in page


class Slow:
    """A service whose command nobody waits for."""

    @command("slow.wait", Scope.READ)
    async def wait(self, _caller: Caller, _params: NoParams) -> None:
        """Wait until called off."""
        await asyncio.sleep(60)


async def test_the_times_are_told_over_the_wire(home: Home) -> None:
    """Those of the checks, and those of the commands."""
    await home.command("system.health")
    told = await home.command("system.times")
    assert len(told["checks"]["parts"]["brain_database"]) == len(told["checks"]["at"]) > 0
    assert "system.health" in {one["action"] for one in told["commands"]}


async def test_a_command_that_is_called_off_is_counted_as_that() -> None:
    """It neither worked nor failed."""
    dispatcher = Dispatcher(collect(Slow()), most=9)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await dispatcher.run(dispatcher.spec("slow.wait"), SYSTEM, {})
    value = await asyncio.to_thread(look)
    assert value("kitty_commands_total", action="slow.wait", outcome="cancelled") == 1


async def test_slow_queries_are_counted_by_database(tmp_path: Path) -> None:
    """Without what was asked."""
    database = Database(
        f"sqlite:///{tmp_path / 'b.db'}", tables.brain, name="brain", durable=False, slow_ms=1e-9
    )
    await database.open()
    await database.read(lambda connection: connection.execute(text("SELECT 1")))
    await database.close()
    value = await asyncio.to_thread(look)
    assert value("kitty_slow_queries_total", database="brain") == 1
