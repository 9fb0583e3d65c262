"""The description of the API is valid, complete, and what the brain really takes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings, strategies as st
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from brain_server.app import Brain
from tests.brain.home import TOKEN, Home, Rest, Socket, running


@pytest.fixture
async def described(rest: Rest) -> Any:
    """Give the description as it is served."""
    return (await rest.get("/api/v1/openapi.json")).json


def references(value: Any) -> Iterator[str]:
    """Yield every reference in a description."""
    if isinstance(value, dict):
        yield from (value["$ref"] for key in value if key == "$ref")
        for part in value.values():
            yield from references(part)
    if isinstance(value, list):
        for part in value:
            yield from references(part)


def test_the_description_is_valid_openapi(described: Any) -> None:
    """By the schema of OpenAPI 3.1 itself."""
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(described)] == []
    assert described["openapi"].startswith("3.1")


def test_every_schema_in_it_is_valid(described: Any) -> None:
    """By the schema of JSON Schema itself, and each reference leads somewhere."""
    schemas = described["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
    assert {one.removeprefix("#/components/schemas/") for one in references(described)} <= set(
        schemas
    )


def test_it_lists_every_command(described: Any, brain: Brain) -> None:
    """As an action, with a summary, the scope and the schema of its parameters."""
    body = described["paths"]["/api/v1/actions"]["post"]["requestBody"]
    variants = body["content"]["application/json"]["schema"]["oneOf"]
    listed = {one["properties"]["action"]["const"]: one for one in variants}
    assert set(listed) == set(brain.dispatcher.commands)
    for action, spec in brain.dispatcher.commands.items():
        assert spec.summary.endswith("."), action
        assert f"Scope: {spec.scope.name.lower()}." in listed[action]["description"]


def test_it_lists_every_address(described: Any, brain: Brain) -> None:
    """What only reads is also a GET."""
    reading = {
        f"/api/v1/{name}" for name, spec in brain.dispatcher.commands.items() if spec.read_only
    }
    others = {
        "/health",
        "/ready",
        "/api/v1/actions",
        "/api/v1/devices/{device_id}/files/{name}",
    }
    assert set(described["paths"]) == reading | others


def test_it_says_what_needs_a_token(described: Any) -> None:
    """Everything but the two pages of health."""
    assert described["security"] == [{"bearer": []}]
    open_ = {
        path for path, item in described["paths"].items() if _first(item).get("security") == []
    }
    assert open_ == {"/health", "/ready"}


def _first(item: dict[str, Any]) -> Any:
    return next(iter(item.values()))


async def test_what_is_required_is_what_the_brain_requires(home: Home, described: Any) -> None:
    """A command without one of its required parameters is refused with its name."""
    body = described["paths"]["/api/v1/actions"]["post"]["requestBody"]
    schemas = described["components"]["schemas"]
    needed = {}
    for variant in body["content"]["application/json"]["schema"]["oneOf"]:
        params = variant["properties"]["params"]
        schema = schemas[params["$ref"].rpartition("/")[2]]
        needed[variant["properties"]["action"]["const"]] = schema.get("required", [])
    assert needed["devices.request"] == ["device_id", "intent"]
    for action, names in needed.items():
        frame = {"type": "command", "action": action, "params": {}}
        answer = await home.answer(await home.send(**frame))
        text = str(answer.get("error", {}).get("message", ""))
        missing = re.findall(r"missing required field `(\w+)`", text)
        assert missing == names[:1], action


# -- anything at all ----------------------------------------------------------------------------------

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
        self.device = lamp.context.device_id
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


def fitting(bench: Bench, action: str) -> st.SearchStrategy[Any]:
    """Return parameters that have the right names and anything for values."""
    names = bench.brain.dispatcher.commands[action].params.__struct_fields__
    values = JSON | st.sampled_from(
        [bench.device, "ada", "shop", "approve", "light_on", "acked", 1]
    )
    return st.dictionaries(st.sampled_from(names), values) if names else JSON


ACTIONS = [
    "audit.anchor",
    "audit.list",
    "audit.note",
    "audit.verify",
    "commands.get",
    "commands.list",
    "commands.settle",
    "conversation.messages",
    "conversation.process",
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
    "integration.register",
    "jobs.list",
    "safety.attempt",
    "safety.check",
    "safety.decide",
    "safety.events",
    "safety.evidence",
    "safety.pin",
    "safety.policies",
    "safety.presence",
    "safety.sync",
    "safety.users",
    "safety.withdraw",
    "safety.zones",
    "system.diagnose",
    "system.health",
    "system.info",
    "telemetry.ingest",
    "telemetry.list",
    "tokens.create",
    "tokens.list",
    "tokens.revoke",
    "tokens.rotate",
]


def test_every_action_is_tried(brain: Brain) -> None:
    """The list above is all of them."""
    assert set(brain.dispatcher.commands) == set(ACTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_no_json_at_all_breaks_a_command(bench: Bench, action: str) -> None:
    """Whatever it is given, a command does its work or says why not."""

    @QUIET
    @given(params=JSON | fitting(bench, action))
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
def test_a_tester_that_knows_the_description_finds_nothing(bench: Bench) -> None:
    """Schemathesis makes requests of the description, good ones and bad ones; no answer is a 500."""
    described = bench.run(_described(bench))
    schema = schemathesis.openapi.from_dict(described)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == len(described["paths"])
    for operation in operations:

        @QUIET
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
