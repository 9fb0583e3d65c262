"""The OpenAPI 3.1 description, made from the list of commands."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from brain_server.commands import Command
from brain_server.protocol import Json

_ENVELOPE: Json = {
    "type": "object",
    "required": ["status", "data", "metadata"],
    "properties": {
        "status": {"const": "success"},
        "data": {},
        "metadata": {"$ref": "#/components/schemas/Metadata"},
    },
}
_METADATA: Json = {
    "type": "object",
    "required": ["request_id", "processing_time_ms", "timestamp"],
    "properties": {
        "request_id": {"type": "string"},
        "processing_time_ms": {"type": "number"},
        "timestamp": {"type": "number"},
    },
}
_ERROR: Json = {
    "type": "object",
    "required": ["status", "error", "metadata"],
    "properties": {
        "status": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "trace_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
                "trace_id": {"type": "string"},
            },
        },
        "metadata": {"$ref": "#/components/schemas/Metadata"},
    },
}
_OPENAI_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_EVENTS: Final = "text/event-stream"


def describe(commands: Mapping[str, Command], version: str) -> Json:
    """Return the description of every route."""
    schemas, components = msgspec.json.schema_components(
        [spec.params for spec in commands.values()],
        ref_template="#/components/schemas/{name}",
    )
    bodies = dict(zip(commands, schemas, strict=True))
    paths: Json = {
        "/health": {"get": _open("Whether the process lives", 200)},
        "/ready": {"get": _open("Whether it can work", 200, 503)},
        "/awake": {"get": _open("Whether it is the one of several that acts", 200, 503)},
        "/api/v1/actions": {"post": _actions(commands, bodies)},
        "/api/v1/batch": {"post": _batch()},
        "/api/v1/stream": {"post": _stream(commands, bodies)},
        "/api/v1/devices/{device_id}/files/{name}": {"put": _upload()},
        "/api/v1/files": {"post": _take()},
    }
    paths |= _openai()
    for action, spec in commands.items():
        if spec.read_only:
            paths[f"/api/v1/{action}"] = {"get": _get(spec, bodies[action], components)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "KITTY brain", "version": version},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": components
            | {"Envelope": _ENVELOPE, "Metadata": _METADATA, "Error": _ERROR}
            | {"OpenAiError": _OPENAI_ERROR},
        },
    }


def _open(summary: str, *statuses: int) -> Json:
    responses = {str(status): {"description": summary} for status in statuses}
    return {"summary": summary, "security": [], "responses": responses}


def _responses(*good: int) -> Json:
    answers: Json = {
        str(status): {
            "description": "Done" if status != 202 else "People decide first",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}},
        }
        for status in good
    }
    return answers | _error("Error")


def _error(schema: str) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"default": {"description": "Refused or failed", "content": content}}


def _body(schema: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _variants(commands: Mapping[str, Command], bodies: Mapping[str, Any]) -> Json:
    """Return the schema of a request for one of some commands."""
    metadata = {"timestamp": {"type": "number"}, "version": {"type": "integer"}}
    variants = [
        {
            "type": "object",
            "title": action,
            "description": f"{spec.summary} Scope: {spec.scope.name.lower()}.",
            "required": ["action"],
            "properties": {
                "action": {"const": action},
                "params": bodies[action],
                "metadata": {"type": "object", "properties": metadata},
            },
        }
        for action, spec in commands.items()
    ]
    return {"oneOf": variants}


def _actions(commands: Mapping[str, Command], bodies: Mapping[str, Any]) -> Json:
    return {
        "summary": "Run a command",
        "requestBody": _body(_variants(commands, bodies)),
        "responses": _responses(200, 202),
    }


def _stream(commands: Mapping[str, Command], bodies: Mapping[str, Any]) -> Json:
    able = {action: spec for action, spec in commands.items() if spec.streams}
    events = {
        "description": "Events: `delta` for each part, then `result` or `error`",
        "content": {_EVENTS: {"schema": {"type": "string"}}},
    }
    return {
        "summary": "Run a command and hear what it says while it runs",
        "requestBody": _body(_variants(able, bodies)),
        "responses": {"200": events} | _error("Error"),
    }


def _batch() -> Json:
    one = {
        "type": "object",
        "required": ["action"],
        "properties": {"action": {"type": "string"}, "params": {"type": "object"}},
        "additionalProperties": False,
    }
    several = {
        "type": "object",
        "required": ["actions"],
        "properties": {
            "actions": {"type": "array", "items": one, "minItems": 1, "maxItems": 50},
            "stop_on_error": {"type": "boolean", "default": False},
            "metadata": {"type": "object"},
        },
        "additionalProperties": False,
    }
    return {
        "summary": "Run several commands, one after the other",
        "requestBody": _body(several),
        "responses": _responses(200),
    }


def _openai() -> Json:
    """Return OpenAI's routes; what goes over them is described by OpenAI."""
    anything: Json = {"application/json": {"schema": {"type": "object"}}}
    found = {"description": "As OpenAI answers", "content": anything}
    answers = {"200": found} | _error("OpenAiError")
    told = found | {"content": anything | {_EVENTS: {"schema": {"type": "string"}}}}
    chat = {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string"},
            "messages": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "stream": {"type": "boolean"},
        },
    }
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/v1/chat/completions": {
            "post": {
                "summary": "Let a model write, as OpenAI's chat completions",
                "requestBody": _body(chat),
                "responses": {"200": told} | _error("OpenAiError"),
            }
        },
        "/v1/models": {"get": {"summary": "List the models", "responses": answers}},
        "/v1/models/{model}": {
            "get": {"summary": "Describe a model", "parameters": [name], "responses": answers}
        },
    }


def _get(spec: Command, body: Json, components: Mapping[str, Any]) -> Json:
    # By its reference: two structs of one name stand there with their modules.
    schema = components[body["$ref"].rpartition("/")[2]]
    fields, required = schema.get("properties", {}), schema.get("required", [])
    return {
        "summary": spec.summary,
        "operationId": spec.action,
        "parameters": [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            for name, field in fields.items()
        ],
        "responses": _responses(200),
    }


def _upload() -> Json:
    return {
        "summary": "Take in a print file and store it on a printer",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in ("device_id", "name")
        ],
    } | _content()


def _take() -> Json:
    return {
        "summary": "Take in a print file for no printer yet",
        "parameters": [
            {"name": name, "in": "query", "required": needed, "schema": {"type": "string"}}
            for name, needed in (("name", True), ("conversation_id", False))
        ],
    } | _content()


def _content() -> Json:
    return {
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
        "responses": _responses(201),
    }
