"""A model on this machine: a GGUF file that llama.cpp runs in a process of its own."""

from array import array
import asyncio
from collections.abc import AsyncGenerator, Sequence
import importlib.util
from itertools import batched
import os
from pathlib import Path
from typing import ClassVar, Final

from brain_server.errors import ProviderError
from brain_server.llama_worker import gguf
from brain_server.llama_worker.wire import Ask, Done, Embed, Load, Piece, Vectors
from brain_server.observability import Tasks
from brain_server.providers import (
    Calls,
    ModelProvider,
    ModelRequest,
    Option,
    OptionType,
    Part,
    ProviderContext,
    ProviderInfo,
    TierName,
    Usage,
    Use,
)
from brain_server.providers.llama_cpp.answer import reader_for, turns
from brain_server.providers.llama_cpp.child import Child
from brain_server.providers.llama_cpp.slots import Slots

MODELS: Final = "models"
SUFFIX: Final = ".gguf"
DEFAULT_CONTEXT: Final = 4096
DEFAULT_IDLE_MINUTES: Final = 15

TEMPERATURE: Final = 0.7

_TEXTS_AT_ONCE: Final = 32


class LlamaCpp(ModelProvider):
    """One model file, in as many processes as it has slots."""

    name: ClassVar[str] = "llama_cpp"
    title: ClassVar[str] = "Local model (llama.cpp)"
    tier: ClassVar[TierName] = TierName.LOCAL
    uses: ClassVar[frozenset[Use]] = frozenset(
        {Use.TOOLS, Use.REASONING, Use.VISION, Use.CODE, Use.EMBEDDING}
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="model",
            label="Model",
            help="A GGUF file: its path, or its name in the folder models of the data directory",
        ),
        Option(
            name="context",
            label="Context",
            help="Tokens of a conversation that it can see; more take more memory",
            type=OptionType.NUMBER,
            default=DEFAULT_CONTEXT,
            minimum=256,
            maximum=1_048_576,
        ),
        Option(
            name="mmproj",
            label="Eyes",
            help="The mmproj file of a model that sees pictures",
            required=False,
        ),
        Option(
            name="threads",
            label="Threads",
            help="Processor cores to use; 0 leaves one to the house",
            type=OptionType.NUMBER,
            default=0,
            minimum=0,
            maximum=256,
        ),
        Option(
            name="slots",
            label="Slots",
            help="How many answers at once; each is a process with its own context",
            type=OptionType.NUMBER,
            default=1,
            minimum=1,
            maximum=8,
        ),
        Option(
            name="idle_minutes",
            label="Idle minutes",
            help="After so many minutes without a question the memory is given back; 0 keeps it",
            type=OptionType.NUMBER,
            default=DEFAULT_IDLE_MINUTES,
            minimum=0,
            maximum=1440,
        ),
    )

    def __init__(self, context: ProviderContext) -> None:
        """Keep the options; nothing is loaded before the first question."""
        super().__init__(context)
        options = context.options
        self._path = place(context.data_dir, str(options["model"]))
        eyes = options.get("mmproj")
        self._eyes = place(context.data_dir, str(eyes)) if eyes else None
        self._context = int(options.get("context") or DEFAULT_CONTEXT)
        self._embeds = Use.EMBEDDING in context.uses
        # A vector is made fastest by one thread; more spin and take the house's processor away.
        threads = 1 if self._embeds else int(options.get("threads") or 0) or _cores()
        load = Load(
            path=str(self._path),
            context=self._context,
            threads=threads,
            eyes=str(self._eyes) if self._eyes else None,
            embedding=self._embeds,
        )
        self._tasks = Tasks()
        idle_s = float(options.get("idle_minutes", DEFAULT_IDLE_MINUTES)) * 60
        self.children = tuple(
            Child(load, self._tasks, idle_s=idle_s) for _ in range(int(options.get("slots") or 1))
        )
        self._slots = Slots(self.children)

    async def check(self) -> ProviderInfo:
        """Look at the files, without loading them."""
        return await asyncio.to_thread(self._check)

    async def warm(self) -> None:
        """Load the model, so that the first question need not wait; meant for a background task."""
        await self.children[-1].ready(patience_s=None)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Part]:
        """Yield words as they come, then Calls if there are any, then Usage."""
        schema, reader = reader_for(request)
        # Where the form is given, the likeliest answer is wanted.
        usual = TEMPERATURE if schema is None else 0.0
        child = await self._slots.take(request.priority)
        try:
            await child.ready()
            order = Ask(
                id=child.next_id(),
                turns=turns(request),
                schema=schema,
                max_tokens=request.max_tokens,
                temperature=usual if request.temperature is None else request.temperature,
            )
            await child.send(order)
            while isinstance(answer := await child.receive(), Piece):
                for part in reader.feed(answer.text, answer.logprobs):
                    yield part
            if not isinstance(answer, Done):
                raise self._odd()
            finish = answer.finish
            for part in reader.end(whole=finish == "stop"):
                finish = "tool_calls" if isinstance(part, Calls) else finish
                yield part
            yield Usage(
                tokens_in=answer.tokens_in,
                tokens_out=answer.tokens_out,
                finish=finish,
                model=self._path.stem,
            )
        finally:
            await self._tasks.see_through("llama release", self._release(child))

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector of length one for each text."""
        found: list[Sequence[float]] = []
        child = await self._slots.take(0)
        try:
            await child.ready()
            for some in batched(texts, _TEXTS_AT_ONCE, strict=False):
                await child.send(Embed(id=child.next_id(), texts=some))
                answer = await child.receive()
                if not isinstance(answer, Vectors):
                    raise self._odd()
                values = array("f", answer.data)
                found.extend(
                    values[at : at + answer.width] for at in range(0, len(values), answer.width)
                )
        finally:
            await self._tasks.see_through("llama release", self._release(child))
        return found

    async def close(self) -> None:
        """End the processes."""
        for child in self.children:
            await child.close()
        await self._tasks.stop()

    async def _release(self, child: Child) -> None:
        await child.calm()
        child.let_rest()
        self._slots.give(child)

    def _odd(self) -> ProviderError:
        return ProviderError("provider_invalid", f"{self._path.name} answered something else")

    def _check(self) -> ProviderInfo:
        if importlib.util.find_spec("llama_cpp") is None:
            raise ProviderError("provider_unreachable", "llama-cpp-python is not installed")
        metadata = gguf.read(self._path)
        if self._eyes is not None:
            gguf.read(self._eyes)
        if metadata.chat_template is None and not self._embeds:
            raise ProviderError(
                "provider_invalid", "The model has no chat template: take one made for chat"
            )
        return ProviderInfo(
            models=_models(self._path.parent),
            model=self._path.stem,
            context=min(self._context, metadata.context_length or self._context),
        )


def _models(folder: Path) -> tuple[str, ...]:
    """Return the names of the models in a folder."""
    return tuple(sorted(path.stem for path in folder.glob(f"*{SUFFIX}")))


def _cores() -> int:
    """Return the processor cores for a model: all but one."""
    return max(1, (os.process_cpu_count() or 1) - 1)


def place(data_dir: Path, name: str) -> Path:
    """Return the file that a person meant: a path, or a name in the folder of models."""
    path = Path(name).expanduser()
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    return path if path.is_absolute() else (data_dir / MODELS / path).absolute()
