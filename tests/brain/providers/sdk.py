"""What the makers' own SDKs call a request."""

from functools import cache
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def as_openai_reads_it(body: Any) -> Any:
    """Return what of a request is known to OpenAI's SDK; raises where it is wrong."""
    return _whole(_adapter(CompletionCreateParamsStreaming).validate_python(body))


def as_anthropic_reads_it(body: Any) -> Any:
    """Return what of a request is known to Anthropic's SDK; raises where it is wrong."""
    return _whole(_adapter(MessageCreateParamsStreaming).validate_python(body))


def _whole(value: Any) -> Any:
    """Return a value with all that pydantic would look at only later."""
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [_whole(part) for part in value]
