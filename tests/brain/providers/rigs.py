"""Models to try providers on: each rig says what its model can be made to do."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from aiohttp import ClientSession
import pytest

from brain_server.providers import ModelProvider, ProviderContext, Use
from brain_server.providers.anthropic import Anthropic
from brain_server.providers.openai import OpenAI
from brain_server.providers.openai_compatible import OpenAICompatible
from tests.standins.anthropic_api import AnthropicApi
from tests.standins.model_api import ModelApi, Reply
from tests.standins.openai_api import OpenAIApi

OVERLOADED = (
    b'event: error\ndata: {"type": "error", "error": '
    b'{"type": "overloaded_error", "message": "Overloaded"}}\n\n'
)


class Rig(ABC):
    """A model that a test may do everything to."""

    name: ClassVar[str]
    # script: says what it is told to; http: is a server with a key; embed, draw: has such a model.
    features: ClassVar[frozenset[str]]
    marks: ClassVar[tuple[pytest.MarkDecorator, ...]] = ()

    @classmethod
    @abstractmethod
    def open(cls) -> Any:
        """Return a context manager that gives a rig with a model that answers "Hello there"."""

    @abstractmethod
    def make(self, **options: Any) -> ModelProvider:
        """Return a provider of the model, with these options instead of the good ones."""

    def answer(self, reply: Reply) -> None:
        """Make the model answer like this from now on."""
        raise NotImplementedError


class ApiRig(Rig):
    """A model behind HTTP: a stand-in that its maker's own SDK understands."""

    provider: ClassVar[type[ModelProvider]]
    server: ClassVar[type[ModelApi]]
    models: ClassVar[Mapping[str, str]]
    # How many events come before and with the first word, and how many in all.
    first_words: ClassVar[int]
    events: ClassVar[int]
    # How the server says each of these things; the names are the codes for them.
    refusals: ClassVar[Mapping[str, Reply]]
    # An error in the middle of an answer, and the code for it.
    stumble: ClassVar[tuple[bytes, str]]
    # What the model is said to be after the answer, and how it says "no more tokens" and "I refuse".
    answering: ClassVar[str]
    cut_short: ClassVar[str]
    refused: ClassVar[str]

    def __init__(self, api: ModelApi, session: ClientSession) -> None:
        """Use this server by this session."""
        self.api = api
        self.session = session

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Serve a new API."""
        async with cls.server.serve() as api, ClientSession() as session:
            yield cls(api, session)

    def answer(self, reply: Reply) -> None:
        """Script the API."""
        self.api.reply = reply

    def make(self, **options: Any) -> ModelProvider:
        """Return a provider that has the key, and gives up after a fifth of a second."""
        given = {option.name: option.default for option in self.provider.options}
        given |= {
            "base_url": self.api.url,
            "api_key": self.api.key,
            "patience": 0.2,
            "logprobs": False,
        }
        context = ProviderContext(
            provider_id="0" * 32,
            options=given | self.models | options,
            session=self.session,
            data_dir=Path("/nowhere"),
            uses=frozenset(Use) & self.provider.uses,
        )
        return self.provider(context)


def _openai_error(status: int, kind: str, message: str, code: Any = None, **headers: str) -> Reply:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Reply(status=status, body=body, headers=headers)


class CompatibleRig(ApiRig):
    """A server that speaks OpenAI's protocol."""

    name = "openai_compatible"
    features = frozenset({"script", "http", "embed", "draw", "loads"})
    provider = OpenAICompatible
    server = OpenAIApi
    models = {
        "model": "gpt-test",
        "embedding_model": "text-embedding-test",
        "image_model": "gpt-image-test",
    }
    first_words = 2
    events = 6
    refusals = {
        "provider_auth": _openai_error(401, "invalid_request_error", "No key", "invalid_api_key"),
        "provider_busy": _openai_error(429, "requests", "Slow down", "rate_limit_exceeded"),
        "context_exceeded": _openai_error(
            400,
            "invalid_request_error",
            "This model's maximum context length is 128000 tokens.",
            "context_length_exceeded",
        ),
        "model_missing": _openai_error(
            404, "invalid_request_error", "The model `x` does not exist", "model_not_found"
        ),
        "model_loading": _openai_error(503, "unavailable_error", "Loading model", 503),
        "provider_failed": _openai_error(500, "server_error", "The server had an error"),
    }
    stumble = (b'data: {"error": {"message": "Oh", "code": 500}}\n\n', "provider_failed")
    answering = "gpt-test-2026-01-01"
    cut_short = "length"
    refused = "content_filter"


class OpenAIRig(CompatibleRig):
    """OpenAI itself."""

    name = "openai"
    features = frozenset({"script", "http", "embed", "draw"})
    provider = OpenAI

    def make(self, **options: Any) -> ModelProvider:
        """Return a provider that finds OpenAI here."""
        return super().make(**{"base_url": f"{self.api.url}/v1"} | options)


def _anthropic_error(status: int, kind: str, message: str) -> Reply:
    error = {"type": kind, "message": message}
    return Reply(status=status, body={"type": "error", "error": error})


class AnthropicRig(ApiRig):
    """Anthropic."""

    name = "anthropic"
    features = frozenset({"script", "http"})
    provider = Anthropic
    server = AnthropicApi
    models = {"model": "claude-test-4"}
    first_words = 4
    events = 8
    refusals = {
        "provider_auth": _anthropic_error(401, "authentication_error", "invalid x-api-key"),
        "provider_busy": _anthropic_error(529, "overloaded_error", "Overloaded"),
        "context_exceeded": _anthropic_error(
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
        ),
        "model_missing": _anthropic_error(404, "not_found_error", "model: x"),
        "provider_failed": _anthropic_error(500, "api_error", "Internal server error"),
    }
    stumble = (OVERLOADED, "provider_busy")
    answering = "claude-test-4-20260101"
    cut_short = "max_tokens"
    refused = "refusal"
