"""No JSON at all breaks a command, and no frame at all ends a socket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from msgspec.inspect import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    type_info,
)
import pytest
import schemathesis

from brain_server.app import Brain
from brain_server.drivers import Outcome
from brain_server.protocol import CommandStatus
from tests.brain.home import TOKEN, Home, Rest, Socket, running

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=50),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
QUIET = settings(
    max_examples=100,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Bench:
    """A brain in a loop of its own, for tests that are called again and again."""

    def __init__(self, folder: Path) -> None:
        """Start it, with a device of each kind."""
        self.loop = asyncio.new_event_loop()
        self.stack = running(folder, request_rate=1e6, request_burst=10**6)
        self.brain = self.run(self.stack.__aenter__())
        self.home = self.run(self._furnish())

    def run(self, work: Any) -> Any:
        """Run something to its end."""
        return self.loop.run_until_complete(work)

    async def _furnish(self) -> Home:
        home = await Home(self.brain).__aenter__()
        await home.furnish()
        lamp = await home.puppet("lamp", "light")
        lamp.reaction = Outcome(status=CommandStatus.ACKED)
        asked = await home.request(lamp.context.device_id, "light_on")
        door = await home.puppet("door", "door")
        waiting = await home.request(door.context.device_id, "unlock")
        self.known = [
            lamp.context.device_id,
            door.context.device_id,
            asked["command"]["id"],
            waiting["command"]["id"],
            waiting["event"]["id"],
            waiting["event"]["subject"],
            "ada",
            "shop",
            "light_on",
            "unlock",
            "puppet",
            "demo",
        ]
        return home

    def close(self) -> None:
        """Stop it."""
        self.run(self.home.__aexit__())
        self.run(self.stack.__aexit__(None, None, None))
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give a brain that a property is tried on."""
    made = Bench(tmp_path)
    yield made
    made.close()


def fitting(kind: Type, known: list[str]) -> st.SearchStrategy[Any]:
    """Return values of a type, some of them the ids of things that are there."""
    match kind:
        case StrType(pattern=str(pattern)):
            return st.from_regex(pattern) | st.text(max_size=70)
        case StrType():
            return st.sampled_from(known) | st.text(max_size=70) | st.integers().map(str)
        case IntType() | FloatType():
            return NUMBERS | st.integers(0, 100)
        case BoolType():
            return st.booleans()
        case NoneType():
            return st.none()
        case LiteralType(values=values):
            return st.sampled_from(values)
        case EnumType(cls=cls):
            return st.sampled_from([one.value for one in cls])
        case ListType(item_type=inner):
            return st.lists(fitting(inner, known), max_size=3)
        case DictType(value_type=inner):
            return st.dictionaries(st.text(max_size=8), fitting(inner, known), max_size=3)
        case UnionType(types=kinds):
            return st.one_of(*(fitting(one, known) for one in kinds))
        case StructType(fields=fields):
            kinds = {one.encode_name: (one.required, fitting(one.type, known)) for one in fields}
            return st.fixed_dictionaries(
                {name: values for name, (needed, values) in kinds.items() if needed},
                optional={name: values for name, (needed, values) in kinds.items() if not needed},
            )
        case _:
            return JSON


def damaged(params: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return parameters of which one is anything at all."""
    return st.tuples(params, st.data(), JSON).map(_with_one_wrong)


def _with_one_wrong(made: tuple[dict[str, Any], Any, Any]) -> Any:
    params, data, wrong = made
    name = data.draw(st.sampled_from([*params, "nonsense"]))
    return params | {name: wrong}


ACTIONS = [
    "advice.list",
    "audit.anchor",
    "audit.list",
    "audit.note",
    "audit.verify",
    "budget.set_limits",
    "budget.status",
    "cache.clear",
    "cache.status",
    "capabilities.list",
    "capabilities.set",
    "channels.list",
    "channels.put",
    "channels.remove",
    "channels.test",
    "commands.get",
    "commands.list",
    "commands.settle",
    "conversation.get",
    "conversation.invite",
    "conversation.leave",
    "conversation.list",
    "conversation.messages",
    "conversation.process",
    "costs.get",
    "decisions.figures",
    "decisions.list",
    "decisions.summary",
    "devices.files",
    "devices.get",
    "devices.list",
    "devices.observe",
    "devices.probe",
    "devices.put",
    "devices.remove",
    "devices.request",
    "devices.snapshot",
    "drivers.list",
    "energy.observe",
    "energy.prices",
    "events.publish",
    "files.get",
    "files.list",
    "files.picture",
    "files.remove",
    "generate.data",
    "generate.image",
    "generate.text",
    "goals.add",
    "goals.decide",
    "goals.list",
    "incidents.list",
    "incidents.picture",
    "integration.register",
    "inventory.export",
    "inventory.usage",
    "jobs.export",
    "jobs.get",
    "jobs.list",
    "memory.enable",
    "memory.export",
    "memory.forget",
    "memory.list",
    "memory.rebuild",
    "memory.remember",
    "memory.search",
    "memory.status",
    "notifications.answer",
    "notifications.list",
    "notifications.send",
    "outbox.read",
    "outcomes.list",
    "predictions.get",
    "printers.cleared",
    "prints.events",
    "prints.picture",
    "prints.report",
    "privacy.get",
    "privacy.set",
    "procurements.decide",
    "procurements.list",
    "projects.cancel",
    "projects.get",
    "projects.list",
    "providers.advise",
    "providers.check",
    "providers.kinds",
    "providers.list",
    "providers.put",
    "providers.remove",
    "providers.warm",
    "quality.list",
    "queue.add",
    "queue.cancel",
    "queue.change",
    "queue.hold",
    "queue.list",
    "queue.plan",
    "queue.release",
    "relations.query",
    "relations.worker",
    "research.cancel",
    "research.get",
    "research.list",
    "research.start",
    "reviews.list",
    "reviews.picture",
    "reviews.put",
    "runs.cancel",
    "runs.list",
    "safety.attempt",
    "safety.check",
    "safety.checks",
    "safety.decide",
    "safety.event",
    "safety.events",
    "safety.evidence",
    "safety.pin",
    "safety.pin_reset",
    "safety.policies",
    "safety.presence",
    "safety.presences",
    "safety.sync",
    "safety.users",
    "safety.withdraw",
    "safety.zones",
    "schedule.change",
    "schedule.list",
    "schedule.run",
    "spending.list",
    "spending.summary",
    "spoolman.sync",
    "spools.archive",
    "spools.list",
    "spools.load",
    "spools.put",
    "spools.use",
    "stock.limit",
    "stock.list",
    "system.diagnose",
    "system.health",
    "system.info",
    "system.support",
    "system.times",
    "tasks.answer",
    "tasks.list",
    "telemetry.ingest",
    "telemetry.list",
    "tokens.create",
    "tokens.list",
    "tokens.revoke",
    "tokens.rotate",
    "vision.answer",
    "vision.configure",
    "vision.list",
    "vision.look",
    "work.cancel",
    "work.get",
    "work.list",
    "work.retry",
]


def test_every_action_is_tried(brain: Brain) -> None:
    """The list above is all of them."""
    assert set(brain.dispatcher.commands) == set(ACTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_no_json_at_all_breaks_a_command(bench: Bench, action: str) -> None:
    """Whatever it is given, a command does its work or says why not."""
    params = fitting(type_info(bench.brain.dispatcher.commands[action].params), bench.known)

    @QUIET
    @given(params=params | damaged(params) | JSON)
    def holds(params: Any) -> None:
        async def act() -> Any:
            async with Rest(bench.brain) as rest:
                return await rest.act(action, body={"params": params})

        answer = bench.run(act())
        assert answer.status != 500, answer.body

    holds()


@pytest.mark.slow
def test_no_frame_at_all_ends_a_socket(bench: Bench) -> None:
    """After a hundred random frames, the hundred-and-first is answered."""
    frame = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["command", "cancel", "subscribe", "response", "x"]) | JSON,
            "id": st.integers(0, 5) | JSON,
            "action": st.sampled_from(ACTIONS) | JSON,
            "params": JSON,
            "caller": JSON,
            "request_id": JSON,
            "epoch": JSON,
            "after": JSON,
            "data": JSON,
            "error": JSON,
        },
    )

    @QUIET
    @given(frames=st.lists(frame | JSON, max_size=20), texts=st.lists(st.text(), max_size=5))
    def holds(frames: list[Any], texts: list[str]) -> None:
        async def talk() -> None:
            async with Socket(bench.brain) as socket:
                for one in frames:
                    await socket.ws.send_json(one)
                for text in texts:
                    await socket.ws.send_str(text.encode("utf-8", "replace").decode())
                assert (await socket.command("system.info", id=10**9))["schema"] == 1

        bench.run(talk())

    holds()
    assert "internal" not in {
        frame["error"]["code"] for frame in bench.home.frames if "error" in frame
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tester_that_knows_the_description_finds_nothing(bench: Bench) -> None:
    """Schemathesis makes requests of the description, good ones and bad ones; no answer is a 500."""
    described = bench.run(_described(bench))
    schema = schemathesis.openapi.from_dict(described)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == len(described["paths"])
    for operation in operations:

        @settings(QUIET, max_examples=15)
        @given(case=operation.as_strategy())
        def holds(case: Any) -> None:
            answer = bench.run(_call(bench, case))
            assert answer.status != 500, answer.body
            assert answer.headers["X-Request-ID"]

        holds()


async def _described(bench: Bench) -> Any:
    async with Rest(bench.brain) as rest:
        return (await rest.get("/api/v1/openapi.json")).json


async def _call(bench: Bench, case: Any) -> Any:
    kwargs = case.as_transport_kwargs(base_url=f"http://127.0.0.1:{bench.brain.port}")
    async with Rest(bench.brain, TOKEN) as rest:
        path = kwargs["url"].removeprefix(rest.url)
        query = {key: str(value) for key, value in (kwargs.get("params") or {}).items()}
        body = {key: kwargs[key] for key in ("json", "data") if kwargs.get(key) is not None}
        return await rest.call(kwargs["method"], path, params=query, **body)
