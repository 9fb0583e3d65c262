"""The description of the API is valid, complete, and what the brain really takes."""

from collections.abc import Iterator
import re
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from brain_server.app import Brain
from tests.brain.home import Home, Rest


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
        "/awake",
        "/api/v1/actions",
        "/api/v1/batch",
        "/api/v1/stream",
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/{model}",
        "/api/v1/devices/{device_id}/files/{name}",
        "/api/v1/files",
    }
    assert set(described["paths"]) == reading | others


def test_it_lists_what_streams(described: Any, brain: Brain) -> None:
    """As what may be asked for where a command talks while it runs."""
    body = described["paths"]["/api/v1/stream"]["post"]["requestBody"]
    variants = body["content"]["application/json"]["schema"]["oneOf"]
    listed = {one["properties"]["action"]["const"] for one in variants}
    assert listed == {name for name, spec in brain.dispatcher.commands.items() if spec.streams}
    assert "generate.text" in listed


def test_it_says_what_needs_a_token(described: Any) -> None:
    """Everything but the two pages of health."""
    assert described["security"] == [{"bearer": []}]
    open_ = {
        path for path, item in described["paths"].items() if _first(item).get("security") == []
    }
    assert open_ == {"/health", "/ready", "/awake"}


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
