"""Asking models for research: data of a shape, in the background, without tools, and never beyond its own cap.

Before a paid model is asked, the most that this can cost is set aside from the research; what it did cost is
settled afterwards. That comes on top of the ledger of the house, by which every question goes anyway.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
import time
from typing import Final

import msgspec

from brain_server.autonomy.purse import Purse, most_cost, set_aside, settle
from brain_server.commands import SYSTEM
from brain_server.conversation.generate import Keep
from brain_server.errors import KittyError, ProviderError, TooMany
from brain_server.protocol import Json
from brain_server.providers import Message, ModelRequest, Use, Words
from brain_server.routing import Attempt, Decision, Reply, Spent, Turn, since
from brain_server.routing.ask import CHARS_PER_TOKEN, About, Asker, Bill
from brain_server.routing.budget import MICRO, Budget, Step
from brain_server.routing.models import Model, Models
from brain_server.routing.privacy import Kind, Piece
from brain_server.routing.slots import BACKGROUND
from brain_server.schedule import Later
from brain_server.shape import misfit

# What a model is shown at most, and what the rules, the question and the shape take of its context.
MOST_SHOWN: Final = 12_000
RULES_TOKENS: Final = 700
FEWEST_SHOWN: Final = 1_000
# How long a research waits where a model of the house has too many to answer.
BUSY: Final = 30.0

# Makes the messages, at most about so many characters long.
type Build = Callable[[int], Sequence[Message]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a model is asked for: who pays, for which question, in which shape."""

    research_id: str
    question: str
    purse: Purse
    build: Build
    shape: Json
    max_tokens: int
    most_shown: int = MOST_SHOWN


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came of it: the data, None where no model gave any; and why others were not asked."""

    value: Json | None = None
    is_near: bool = True
    # Codes: of models that failed, and of why paid ones were left out.
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    # Seconds after which one that has no room may have some.
    busy: float | None = None


class Readers:
    """The models that research may ask."""

    def __init__(self, models: Models, asker: Asker, budget: Budget, keep: Keep) -> None:
        """Take the models, the one road to them, the ledger, and how decisions are recorded."""
        self._models = models
        self._asker = asker
        self._budget = budget
        self._keep = keep

    async def ask(self, wanted: Wanted) -> Answer:
        """Ask one model after the other until one gives what is wanted; those with money first where there is some.

        Raises Later where only a model could answer that has no room now.
        """
        answer = Answer()
        attempts: list[Attempt] = []
        try:
            for model in await self._candidates(wanted.purse.budget):
                await self._one(model, wanted, answer, attempts)
                if answer.value is not None:
                    return answer
        finally:
            await self._record(wanted, attempts)
        if answer.busy is not None:
            raise Later(answer.busy)
        return answer

    async def _candidates(self, budget: int) -> list[Model]:
        """Return whom to ask: with money those that cost, the cheapest first; else those that are free."""
        able = dict.fromkeys([*self._models.of_use(Use.REASONING), *self._models.of_use(Use.TOOLS)])
        ready = [model for model in able if model.breaker.is_ready]
        short = budget == 0 or await self._budget.level() is not Step.NORMAL
        return sorted(ready, key=lambda model: model.row.is_free is not short)

    async def _one(
        self, model: Model, wanted: Wanted, answer: Answer, attempts: list[Attempt]
    ) -> None:
        """Ask one model, if the research can pay for it."""
        request = ModelRequest(
            messages=tuple(wanted.build(_room(model, wanted))),
            schema=wanted.shape,
            max_tokens=wanted.max_tokens,
            priority=BACKGROUND,
        )
        # What has no price the ledger of the house refuses.
        most = most_cost(model, request) or 0
        if most > 0 and not await set_aside(wanted.purse, most):
            answer.left_out.append("budget_reached" if wanted.purse.budget else "no_budget")
            return
        bill, started, reason = Bill(model=model.row.name), time.perf_counter(), "cancelled"
        try:
            answer.value = await self._read(model, request, wanted, bill)
            answer.is_near, reason = not model.row.leaves_house, "researched"
        except KittyError as err:
            reason = err.code
            if isinstance(err, TooMany):
                answer.busy = float(err.fields.get("retry_after", BUSY))
            (answer.left_out if reason in _LEFT_OUT else answer.failed).append(reason)
        finally:
            attempts.insert(0, _attempt(model, bill, reason, since(started)))
            if most > 0:
                await settle(wanted.purse, most, round(bill.cost * MICRO))

    async def _read(self, model: Model, request: ModelRequest, wanted: Wanted, bill: Bill) -> Json:
        about = About(
            request_id=wanted.research_id,
            conversation_id=None,
            pieces=(Piece(kind=Kind.PROMPT, text=wanted.question),),
            priority=BACKGROUND,
        )
        text = ""
        async with aclosing(self._asker.stream(model, request, about, bill)) as parts:
            async for part in parts:
                text += part.text if isinstance(part, Words) else ""
        try:
            value: Json = msgspec.json.decode(text)
        except msgspec.DecodeError as err:
            raise ProviderError("provider_invalid", "The model wrote no JSON") from err
        if wrong := misfit(value, wanted.shape):
            raise ProviderError("provider_invalid", "The model wrote something else", reason=wrong)
        return value

    async def _record(self, wanted: Wanted, attempts: Sequence[Attempt]) -> None:
        if not attempts:
            return
        turn = Turn(
            text=wanted.question,
            language="",
            conversation_id="",
            request_id=wanted.research_id,
            caller=SYSTEM,
            area_id=None,
            second_of_day=None,
            state={},
            emit=lambda _part: None,
        )
        await self._keep(turn, Decision(attempts=tuple(attempts)))


# Codes that say why a model was not asked, and nothing of how well it works.
_LEFT_OUT: Final = frozenset(
    {
        "budget_exhausted",
        "price_unknown",
        "privacy_refused",
        "offline_mode",
        "capability_off",
    }
)


def _room(model: Model, wanted: Wanted) -> int:
    """Return how many characters a model may be shown."""
    if model.context is None:
        return wanted.most_shown
    free = model.context - wanted.max_tokens - RULES_TOKENS
    return max(FEWEST_SHOWN, min(wanted.most_shown, int(free * CHARS_PER_TOKEN)))


def _attempt(model: Model, bill: Bill, reason: str, latency_ms: float) -> Attempt:
    spent = Spent(
        provider_id=model.row.id,
        model=bill.model,
        tokens_in=bill.tokens_in,
        tokens_out=bill.tokens_out,
    )
    reply = Reply(
        text="",
        confidence=1.0 if reason == "researched" else 0.0,
        reason=reason,
        cost=bill.cost,
        spent=spent,
    )
    return Attempt(tier=model.row.tier, reply=reply, latency_ms=latency_ms)
