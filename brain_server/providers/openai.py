"""OpenAI's own models, by chat completions."""

from typing import ClassVar, override

from brain_server.protocol import Json
from brain_server.providers import PATIENCE, ModelRequest, Option, OptionType, TierName
from brain_server.providers.openai_compatible import OpenAICompatible


class OpenAI(OpenAICompatible):
    """OpenAI."""

    name = "openai"
    title = "OpenAI"
    options = (
        Option(
            name="api_key",
            label="API key",
            help="From platform.openai.com",
            type=OptionType.SECRET,
        ),
        Option(name="model", label="Model", help="e.g. gpt-4.1-mini"),
        Option(
            name="context",
            label="Context",
            help="Tokens that the model can read at once",
            type=OptionType.NUMBER,
            required=False,
            default=128_000,
            minimum=512,
        ),
        Option(
            name="effort",
            label="Effort",
            help="Only for a model that thinks before it answers: how much; it takes no temperature",
            type=OptionType.SELECT,
            required=False,
            choices=("none", "minimal", "low", "medium", "high"),
        ),
        Option(
            name="logprobs",
            label="Log-probabilities",
            help="Ask how sure each word is; not for a model that thinks before it answers",
            type=OptionType.BOOLEAN,
            required=False,
            default=False,
        ),
        Option(
            name="embedding_model",
            label="Model for embeddings",
            help="Used only where this provider is for embeddings",
            required=False,
            default="text-embedding-3-small",
        ),
        Option(
            name="image_model",
            label="Model for pictures",
            help="Used only where this provider is for pictures",
            required=False,
            default="gpt-image-1",
        ),
        PATIENCE,
        Option(
            name="base_url",
            label="Address",
            help="Another one only for a proxy",
            type=OptionType.URL,
            required=False,
            default="https://api.openai.com/v1",
        ),
    )
    tier = TierName.FRONTIER
    limit: ClassVar[str] = "max_completion_tokens"

    @override
    def _taste(self, request: ModelRequest) -> Json:
        if effort := self.context.options.get("effort"):
            return {"reasoning_effort": effort}
        return super()._taste(request)
