"""The one road to a model: privacy, budget, circuit breaker, a free slot, then the words; then the bill.

No other code calls a provider's ``stream``. Whatever happens on the way, what was reserved is settled.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
import time
from typing import Final

from brain_server.capabilities import ALL_ON, Switches
from brain_server.errors import KittyError, ProviderError
from brain_server.memory.embedder import Source
from brain_server.metrics import observe_stage
from brain_server.observability import request_id
from brain_server.providers import Author, Message, ModelRequest, Part, Picture, Usage, Words
from brain_server.retry import HTTP, LLM, Tries
from brain_server.routing.budget import Budget, Reservation
from brain_server.routing.models import FAR, Model, Models
from brain_server.routing.privacy import Kind, Piece, Privacy, Verdict
from brain_server.routing.slots import Slots

# Characters to a token, on the safe side, and what a picture counts for.
CHARS_PER_TOKEN: Final = 3.2
PICTURE_TOKENS: Final = 1_600
# What a message costs beyond its words.
MESSAGE_TOKENS: Final = 6
# A provider that goes on for so much longer than it was allowed is cut off.
SLACK: Final = 2.0
# What a picture is set down for: providers charge about so many tokens for one.
DRAWN_TOKENS: Final = 4_096
DRAWN_CHARS: Final = round(DRAWN_TOKENS * CHARS_PER_TOKEN)
# After these certainly no model has worked, so nothing was spent.
UNSENT: Final = frozenset(
    {"provider_unreachable", "provider_auth", "provider_busy", "model_missing", "model_loading"}
    | {"model_too_large", "context_exceeded", "circuit_open", "model_queue_full"}
    | {"capability_off", "offline_mode", "privacy_refused"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """On whose behalf a model is asked, and what kinds of things its prompt holds."""

    request_id: str
    conversation_id: str | None
    pieces: tuple[Piece, ...] = ()
    priority: int = 0


@dataclass(slots=True, kw_only=True)
class Bill:
    """What one question to a model took; filled while it is answered."""

    model: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float = 0.0
    finish: str = ""
    seconds_to_first: float | None = field(default=None)


class Asker:
    """Asks models."""

    def __init__(
        self,
        models: Models,
        budget: Budget,
        privacy: Privacy,
        slots: Slots,
        switches: Switches = ALL_ON,
    ) -> None:
        """Take the models, the ledger, the rules, the slots of what runs in the house, and what is switched on."""
        self._switches = switches
        self._models = models
        self._budget = budget
        self._privacy = privacy
        self._slots = slots

    def judged(self, model: Model, pieces: Sequence[Piece]) -> Verdict:
        """Tell whether a model may be asked, and what must then be left out."""
        if model.row.leaves_house and not self._switches.is_on(FAR):
            return Verdict(allowed=False, reason="capability_off")
        return self._privacy.judge(leaves_house=model.row.leaves_house, pieces=pieces)

    def _check(self, model: Model, pieces: Sequence[Piece]) -> None:
        """Raise what forbids that a model is asked."""
        if model.row.leaves_house:
            self._switches.require(FAR)
        self._privacy.check(leaves_house=model.row.leaves_house, pieces=pieces)

    async def stream(
        self, model: Model, request: ModelRequest, about: About, bill: Bill
    ) -> AsyncGenerator[Part]:
        """Yield the parts of an answer; ``bill`` is filled by the time it ends, however it ends.

        Raises what the provider raises, Forbidden ``privacy_refused``, ``offline_mode``,
        ``budget_exhausted`` or ``price_unknown``, TooMany
        ``model_queue_full``, Unavailable ``circuit_open`` or ``capability_off``.
        """
        self._check(model, about.pieces)
        provider = model.words
        if provider is None:
            raise ProviderError("model_missing", f"{model.row.name} is no model of words")
        reservation = await self._budget.reserve(
            about.request_id,
            about.conversation_id,
            model.row,
            tokens_of(request),
            request.max_tokens,
            model=model.row.name,
        )
        bill.model = model.row.name
        started = time.perf_counter()
        tries, spoken, reached = Tries(LLM, HTTP), 0, False
        box = [_fitted(request, model.context)]

        def trim() -> bool:
            smaller = shorter(box[0])
            box[0] = smaller or box[0]
            return smaller is not None

        try:
            while True:
                try:
                    async for part in self._once(model, box[0], about):
                        if bill.seconds_to_first is None:
                            bill.seconds_to_first = time.perf_counter() - started
                            observe_stage("first_token", bill.seconds_to_first)
                        spoken += _length(part)
                        if reservation.exceeded(round(spoken / CHARS_PER_TOKEN / SLACK)):
                            reached, bill.finish = True, "length"
                            yield Usage(
                                tokens_in=None, tokens_out=None, finish="length", model=bill.model
                            )
                            return
                        if isinstance(part, Usage):
                            bill.tokens_in, bill.tokens_out = part.tokens_in, part.tokens_out
                            bill.finish, bill.model = part.finish, part.model or bill.model
                        yield part
                except KittyError as err:
                    self._models.failed(model, err)
                    reached = reached or err.code not in UNSENT
                    if bill.seconds_to_first is not None or not await tries.again(err, trim):
                        raise
                except GeneratorExit, asyncio.CancelledError:
                    reached = True
                    raise
                else:
                    reached = True
                    writing = time.perf_counter() - started - (bill.seconds_to_first or 0.0)
                    self._models.worked(model, bill.tokens_out, writing)
                    return
        finally:
            await self._settle(reservation, bill, spoken, reached=reached)

    async def draw(self, model: Model, prompt: str, about: About) -> tuple[Picture, float]:
        """Return a picture and its cost; raises as :meth:`stream` does."""
        self._check(model, about.pieces)
        if model.words is None:
            raise ProviderError("model_missing", f"{model.row.name} draws nothing")
        tokens = round(len(prompt) / CHARS_PER_TOKEN)
        reservation = await self._budget.reserve(
            about.request_id, None, model.row, tokens, DRAWN_TOKENS, model=model.row.name
        )
        drawn = False
        try:
            self._check(model, about.pieces)  # once more: to set money aside took its time
            with model.breaker.call():
                picture = await model.words.draw(prompt)
            drawn = True
        except KittyError as err:
            self._models.failed(model, err)
            drawn = err.code not in UNSENT
            raise
        except asyncio.CancelledError:
            drawn = True
            raise
        finally:
            bill = Bill(model=model.row.name)
            await self._settle(reservation, bill, DRAWN_CHARS, reached=drawn)
        self._models.worked(model)
        return picture, bill.cost

    def source(self, able: Sequence[Model]) -> Source | None:
        """Return the first of the models as the one of meanings, asked by this road."""
        if not able:
            return None
        row = able[0].row
        name = f"{row.provider}/{row.options.get('model') or row.name}"
        return Source(name=name, model=_Embeds(self, able[0]))

    async def embed(self, model: Model, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return a vector for each text; raises as :meth:`stream` does."""
        pieces = [Piece(kind=Kind.MEMORY, text=text) for text in texts]
        self._check(model, pieces)
        if model.words is None:
            raise ProviderError("model_missing", f"{model.row.name} makes no vectors")
        tokens = round(sum(map(len, texts)) / CHARS_PER_TOKEN)
        reservation = await self._budget.reserve(
            request_id.get() or "", None, model.row, tokens, 0, model=model.row.name
        )
        done = False
        try:
            self._check(model, pieces)  # once more: to set money aside took its time
            with model.breaker.call():
                found = await model.words.embed(texts)
            done = True
        except KittyError as err:
            self._models.failed(model, err)
            done = err.code not in UNSENT
            raise
        except asyncio.CancelledError:
            done = True
            raise
        finally:
            bill = Bill(model=model.row.name, tokens_in=tokens, finish="stop", tokens_out=0)
            await self._settle(reservation, bill, 0, reached=done)
        self._models.worked(model)
        return found

    async def _once(
        self, model: Model, request: ModelRequest, about: About
    ) -> AsyncGenerator[Part]:
        provider = model.words
        assert provider is not None  # noqa: S101 - stream() has looked
        # Each time: what may leave the house may have changed since the first.
        self._check(model, about.pieces)
        with model.breaker.call():
            if model.row.leaves_house:
                async with aclosing(provider.stream(request)) as parts:
                    async for part in parts:
                        yield part
                return
            async with (
                self._slots.use(about.priority),
                aclosing(provider.stream(replace(request, priority=about.priority))) as parts,
            ):
                async for part in parts:
                    yield part

    async def _settle(
        self, reservation: Reservation, bill: Bill, spoken: int, *, reached: bool
    ) -> None:
        if not reached:
            await self._budget.release(reservation)
            return
        said = None if bill.finish else round(spoken / CHARS_PER_TOKEN)
        tokens_out = bill.tokens_out if bill.tokens_out is not None else said
        # Before it is waited for: who is called off meanwhile owes it all the same.
        bill.cost = reservation.cost(bill.tokens_in, tokens_out)
        await self._budget.settle(reservation, bill.tokens_in, tokens_out, model=bill.model)


@dataclass(frozen=True, slots=True)
class _Embeds:
    """One model of meanings, asked by the one road."""

    asker: Asker
    model: Model

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector for each text."""
        return await self.asker.embed(self.model, texts)


def _fitted(request: ModelRequest, context: int | None) -> ModelRequest:
    return request if context is None else trimmed(request, context) or request


def tokens_of(request: ModelRequest) -> int:
    """Return how many tokens a request has, about; rather too many than too few."""
    words = sum(len(message.text) + len(str(message.calls or "")) for message in request.messages)
    pictures = sum(len(message.pictures) for message in request.messages)
    tools = len(str(request.tools)) if request.tools else 0
    return (
        round((words + tools) / CHARS_PER_TOKEN)
        + pictures * PICTURE_TOKENS
        + len(request.messages) * MESSAGE_TOKENS
    )


def trimmed(request: ModelRequest, context: int) -> ModelRequest | None:
    """Return a request that fits into a context, its oldest parts left out; None when it cannot."""
    fitting: ModelRequest | None = request
    while fitting is not None and tokens_of(fitting) + request.max_tokens > context:
        fitting = shorter(fitting)
    return fitting


def shorter(request: ModelRequest) -> ModelRequest | None:
    """Return a request without the older half of what was said before; None when nothing is left.

    The system's words and the last thing that a person said stay, with everything after it; of that only
    the longest answer of a tool is cut.
    """
    messages = list(request.messages)
    last = max(
        (at for at, message in enumerate(messages) if message.author is Author.USER), default=0
    )
    head = [message for message in messages[:last] if message.author is Author.SYSTEM]
    middle = [message for message in messages[:last] if message.author is not Author.SYSTEM]
    tail = messages[last:]
    if middle:
        middle = middle[(len(middle) + 1) // 2 :]
        while middle and middle[0].author is Author.TOOL:  # an answer without its question
            del middle[0]
    elif (cut := _shortened(tail)) is not None:
        tail = cut
    else:
        return None
    return replace(request, messages=(*head, *middle, *tail))


def _shortened(tail: Sequence[Message]) -> list[Message] | None:
    """Halve the longest answer of a tool; None when there is none worth it."""
    tools = [at for at, one in enumerate(tail) if one.author is Author.TOOL and len(one.text) > 400]
    if not tools:
        return None
    longest = max(tools, key=lambda at: len(tail[at].text))
    shorter = list(tail)
    text = shorter[longest].text
    shorter[longest] = replace(shorter[longest], text=f"{text[: len(text) // 2]} [cut]")
    return shorter


def _length(part: Part) -> int:
    return len(part.text) if isinstance(part, Words) else len(str(part))
