"""The OpenAPI 3.1 description, made from the list of commands."""

from collections.abc import Mapping
from typing import Any

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
        "/api/v1/actions": {"post": _actions(commands, bodies)},
        "/api/v1/devices/{device_id}/files/{name}": {"put": _upload()},
    }
    for action, spec in commands.items():
        if spec.read_only:
            paths[f"/api/v1/{action}"] = {"get": _get(spec, components)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "KITTY brain", "version": version},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": components | {"Envelope": _ENVELOPE, "Metadata": _METADATA, "Error": _ERROR},
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
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return answers | {"default": {"description": "Refused or failed", "content": error}}


def _actions(commands: Mapping[str, Command], bodies: Mapping[str, Any]) -> Json:
    variants = [
        {
            "type": "object",
            "title": action,
            "description": f"{spec.summary} Scope: {spec.scope.name.lower()}.",
            "required": ["action"],
            "properties": {
                "action": {"const": action},
                "params": bodies[action],
                "metadata": {
                    "type": "object",
                    "properties": {
                        "timestamp": {"type": "number"},
                        "version": {"type": "integer"},
                    },
                },
            },
        }
        for action, spec in commands.items()
    ]
    return {
        "summary": "Run a command",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": variants}}},
        },
        "responses": _responses(200, 202),
    }


def _get(spec: Command, components: Mapping[str, Any]) -> Json:
    fields = components[spec.params.__name__].get("properties", {})
    required = components[spec.params.__name__].get("required", [])
    return {
        "summary": spec.summary,
        "operationId": spec.action,
        "parameters": [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in fields.items()
        ],
        "responses": _responses(200),
    }


def _upload() -> Json:
    return {
        "summary": "Store a print file on a printer",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in ("device_id", "name")
        ],
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
        "responses": _responses(201),
    }
