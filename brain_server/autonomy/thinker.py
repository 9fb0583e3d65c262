"""Asking models in the background: never dearer than what is left, never before somebody who waits.

They may look around in the workshop, and change nothing. What a call can cost at most is set aside before it is
made, and settled with what it did cost: a process that dies in between has spent it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
import time
from typing import Any, Final

import msgspec

from brain_server.autonomy.purse import Purse, most_cost, set_aside, settle
from brain_server.commands import SYSTEM, Caller, Scope
from brain_server.conversation.generate import Keep
from brain_server.conversation.tools import Effect, Offered, Reading, Toolbox
from brain_server.conversation.trust import Trust, shown
from brain_server.errors import KittyError, ProviderError, Unavailable
from brain_server.observability import request_id
from brain_server.protocol import Channel, Json
from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelRequest,
    ToolCall,
    Use,
    Words,
)
from brain_server.routing import Attempt, Decision, Reply, Spent, Turn, since
from brain_server.routing.ask import About, Asker, Bill
from brain_server.routing.budget import MICRO
from brain_server.routing.models import Model, Models
from brain_server.routing.privacy import Piece
from brain_server.routing.slots import BACKGROUND
from brain_server.shape import misfit
from brain_server.storage.tables import new_id

MOST_ROUNDS: Final = 5
MOST_TOKENS: Final = 1024
LONGEST: Final = 8_000
# Nobody stands behind it: no person's memory, no person's rights.
NOBODY: Final = Caller(
    token="autonomy",  # noqa: S106 - no secret, but who asks
    scope=Scope.READ,
    channel=Channel.AUTOMATION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked, and what kinds of things that holds."""

    messages: tuple[Message, ...]
    pieces: tuple[Piece, ...]
    schema: Json | None = None
    # Whether it may look around in the workshop.
    looks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What a model made of it; ``foreign`` where words from outside went into it."""

    text: str
    model: str
    foreign: bool = False

    @property
    def data(self) -> Json:
        """Return the data of a question with a schema."""
        found: Json = msgspec.json.decode(self.text)
        return found


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One model at work on one question."""

    model: Model
    about: About
    purse: Purse
    messages: list[Message]
    started: float = field(default_factory=time.perf_counter)
    cost: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    name: str = ""
    offered: Mapping[str, Offered] = field(default_factory=dict)


class Thinker:
    """Asks the near models before the far ones, and the cheap before the dear."""

    def __init__(self, models: Models, asker: Asker, toolbox: Toolbox, keep: Keep) -> None:
        """Take the models, the one road to them, the tools, and where decisions are written down."""
        self._models = models
        self._asker = asker
        self._toolbox = toolbox
        self._keep = keep

    def available(self) -> bool:
        """Tell whether there is any model to ask."""
        return bool(self._able())

    async def think(self, question: Question, purse: Purse) -> Thought:
        """Return the first usable answer.

        Raises Unavailable ``no_model`` without a model, ``purse_empty`` where none may be paid, else what the last
        one raised.
        """
        able = self._able()
        if not able:
            raise Unavailable("no_model", "No model is configured for that")
        last: KittyError = Unavailable("purse_empty", "What may be spent on this is spent")
        for model in able:
            if not self._asker.judged(model, question.pieces).allowed:
                continue
            asked = self._asked(model, question, purse)
            try:
                thought = await self._answer(asked, question)
            except KittyError as err:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    # Called off: what failed on the way out is no reason to ask another one.
                    raise asyncio.CancelledError from err
                last = err
                await self._recorded(asked, question, err.code, 0.0)
            else:
                await self._recorded(asked, question, "autonomy", 1.0)
                return thought
        raise last

    def _able(self) -> list[Model]:
        found = self._models.of_use(Use.REASONING) or self._models.of_use(Use.TOOLS)
        return sorted(found, key=lambda one: (one.row.leaves_house, not one.row.is_free))

    def _asked(self, model: Model, question: Question, purse: Purse) -> _Asked:
        about = About(
            request_id=request_id.get() or new_id(),
            conversation_id=None,
            pieces=question.pieces,
            priority=BACKGROUND,
        )
        return _Asked(model=model, about=about, purse=purse, messages=list(question.messages))

    async def _answer(self, asked: _Asked, question: Question) -> Thought:
        if question.looks:
            asked.offered = await self._tools(asked.model)
        said = "\n".join(one.text for one in question.messages if one.author is Author.USER)
        reading = Reading(said=said)
        for turn in range(MOST_ROUNDS):
            is_last = turn == MOST_ROUNDS - 1
            tools = () if is_last else tuple(one.tool for one in asked.offered.values())
            request = ModelRequest(
                messages=tuple(asked.messages),
                tools=tools,
                schema=question.schema,
                max_tokens=MOST_TOKENS,
                priority=BACKGROUND,
            )
            text, calls = await self._paid(asked, request)
            if not calls:
                break
            asked.messages.append(Message(author=Author.ASSISTANT, text=text, calls=calls))
            for call in calls:
                ran = await self._toolbox.run(asked.offered, call, reading)
                asked.messages.append(Message(author=Author.TOOL, text=ran.text, call_id=call.id))
        if question.schema is not None:
            return Thought(text=_fitting(text, question.schema), model=asked.name)
        if not text.strip():
            raise ProviderError("provider_invalid", "The model said nothing")
        clean = shown(text).strip()[:LONGEST]
        return Thought(text=clean, model=asked.name, foreign=reading.trust is Trust.OUTSIDE)

    async def _tools(self, model: Model) -> dict[str, Offered]:
        """Return what only looks, and of that what this model may know."""
        offered = await self._toolbox.tools(NOBODY, "", web=False)
        return {
            name: one
            for name, one in offered.items()
            if one.effect is Effect.READ
            and self._asker.judged(model, [Piece(kind=one.kind)]).allowed
        }

    async def _paid(self, asked: _Asked, request: ModelRequest) -> tuple[str, tuple[ToolCall, ...]]:
        """Ask once, for no more than there is."""
        most = most_cost(asked.model, request)
        if most is None or not await set_aside(asked.purse, most):
            raise Unavailable("purse_empty", "What may be spent on this is spent")
        bill, text = Bill(model=asked.model.row.name), ""
        calls: tuple[ToolCall, ...] = ()
        try:
            parts = self._asker.stream(asked.model, request, asked.about, bill)
            async with aclosing(parts):
                async for part in parts:
                    if isinstance(part, Words):
                        text += part.text
                    elif isinstance(part, Calls):
                        calls = part.calls
        finally:
            await settle(asked.purse, most, round(bill.cost * MICRO))
            asked.cost += bill.cost
            asked.tokens_in += bill.tokens_in or 0
            asked.tokens_out += bill.tokens_out or 0
            asked.name = bill.model
        return text, calls

    async def _recorded(
        self, asked: _Asked, question: Question, reason: str, confidence: float
    ) -> None:
        turn = Turn(
            text=question.messages[-1].text,
            language="",
            conversation_id="",
            request_id=asked.about.request_id,
            caller=SYSTEM,
            area_id=None,
            second_of_day=None,
            state={},
            emit=lambda _part: None,
        )
        row = asked.model.row
        spent = Spent(
            provider_id=row.id,
            model=asked.name or row.name,
            tokens_in=asked.tokens_in,
            tokens_out=asked.tokens_out,
        )
        reply = Reply(
            text="", confidence=confidence, reason=reason[:64], cost=asked.cost, spent=spent
        )
        attempt = Attempt(tier=row.tier, reply=reply, latency_ms=since(asked.started))
        await self._keep(turn, Decision(attempts=(attempt,)))


def _fitting(text: str, schema: Json) -> str:
    """Return JSON that certainly fits; ProviderError ``provider_invalid``."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as err:
        raise ProviderError("provider_invalid", "The model wrote no JSON") from err
    if wrong := misfit(value, schema):
        raise ProviderError("provider_invalid", "The model wrote something else", reason=wrong)
    return text
