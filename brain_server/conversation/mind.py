"""The mind: language models behind the rules, each asked only when it is worth it and allowed.

A near model is asked first. While a dearer one could still take over, its first words are held back; when
it is not sure of them, nobody has heard them and the next model starts afresh. From then on words stream.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
import logging
import time
from typing import Final, Protocol

import msgspec

from brain_server.conversation import words
from brain_server.conversation.prompt import Prompt, Remembered, Said, build
from brain_server.conversation.search import Search, messages as search_messages
from brain_server.conversation.tools import Offered, Ran, Reading, Toolbox
from brain_server.conversation.trust import Cleaner, Trust, shown
from brain_server.errors import KittyError
from brain_server.protocol import Json
from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelRequest,
    Part,
    TierName,
    ToolCall,
    Usage,
    Use,
    Words,
)
from brain_server.routing import Attempt, Models as Tiers, Reply, Spent, Turn, since
from brain_server.routing.ask import About, Asker, Bill
from brain_server.routing.budget import Budget, Step
from brain_server.routing.judge import Signals, confidence, signals
from brain_server.routing.models import Model, Models
from brain_server.routing.privacy import Piece

_LOGGER = logging.getLogger(__name__)

MOST_STEPS: Final = 8
# An answer below this goes to the next model; while money is short, only below the second.
SURE: Final = 0.6
SURE_WHEN_SHORT: Final = 0.35
# So many tokens are weighed before the first word is heard, while another model could take over.
WEIGHED: Final = 16
# A question this hard goes past the near model at once.
TOO_HARD: Final = 0.85
FRESH: Final = 0.5

type Recall = Callable[[Turn], Awaitable[Sequence[Remembered]]]
type History = Callable[[str], Awaitable[Sequence[Said]]]


class Ask(Protocol):
    """How people are asked for what a chain waits for."""

    def __call__(self, turn: Turn, ran: Ran, *, foreign: bool) -> Awaitable[Reply]:
        """Return the question."""


class NotSure(Exception):
    """The answer is too weak to be heard, and another model can be asked."""

    def __init__(self, sure: float) -> None:
        """Keep how sure it was."""
        super().__init__(f"{sure:.2f}")
        self.sure = sure


@dataclass(slots=True, kw_only=True)
class Asked:
    """One model at work on one turn."""

    model: Model
    tier: TierName
    reading: Reading
    about: About
    # Below this the answer is not heard, and NotSure is raised; None: it is the last one.
    floor: float | None
    messages: list[Message]
    offered: Mapping[str, Offered] = field(default_factory=dict)
    heard: bool = False
    bills: list[Bill] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    broken: int = 0
    calls: int = 0

    @property
    def spent(self) -> Spent:
        """Return what was used so far."""
        return Spent(
            provider_id=self.model.row.id,
            model=self.bills[-1].model if self.bills else self.model.row.name,
            tokens_in=_total(bill.tokens_in for bill in self.bills),
            tokens_out=_total(bill.tokens_out for bill in self.bills),
        )

    @property
    def cost(self) -> float:
        """Return what it cost so far."""
        return sum(bill.cost for bill in self.bills)


class Mind(Tiers):
    """Chooses models, lets them use tools, and knows what they have read."""

    def __init__(
        self,
        models: Models,
        asker: Asker,
        budget: Budget,
        toolbox: Toolbox,
        *,
        search: Search,
        ask: Ask,
        history: History,
        recall: Recall,
        devices: Callable[[], list[Json]],
    ) -> None:
        """Take the models, the road to them, the ledger, the tools, the web, and what is known."""
        self._models = models
        self._asker = asker
        self._budget = budget
        self._toolbox = toolbox
        self._search = search
        self._ask = ask
        self._history = history
        self._recall = recall
        self._devices = devices

    async def answer(self, turn: Turn) -> tuple[Attempt, ...] | None:
        """Ask the candidates one after the other; the first answer that is sure enough counts."""
        wants = signals(turn.text)
        step = await self._budget.level()
        candidates = self._candidates(wants, step)
        if not candidates:
            return None
        prompt = await self._prompt(turn)
        floor = SURE if step is Step.NORMAL else SURE_WHEN_SHORT
        tried: list[Attempt] = []
        errors: list[KittyError] = []
        for at, (tier, model) in enumerate(candidates):
            started = time.perf_counter()
            others = self._next(candidates[at + 1 :], turn, prompt)
            asked = self._asked(turn, tier, model, prompt, floor=floor if others else None)
            try:
                if tier is TierName.MCP:
                    await self._look_up(turn, asked)
                else:
                    asked.offered = await self._tools(turn)
                reply = await self._work(turn, asked)
            except NotSure as err:
                reply = self._failed(asked, "low_confidence", err.sure)
            except KittyError as err:
                errors.append(err)
                reply = self._failed(asked, err.code, 0.0)
            else:
                tried.insert(0, Attempt(tier=tier, reply=reply, latency_ms=since(started)))
                return tuple(tried)
            tried.append(Attempt(tier=tier, reply=reply, latency_ms=since(started)))
            if asked.heard:
                break  # somebody has heard the beginning: another model must not begin again
        last = tried.pop()
        reply = replace(last.reply, text=words.no_answer(errors), certain=False)
        return (replace(last, reply=reply), *tried)

    # -- choosing -------------------------------------------------------------------------------------

    def _candidates(self, wants: Signals, step: Step) -> list[tuple[TierName, Model]]:
        """Return whom to ask, in order."""
        if wants.wants is not None and (named := self._models.named(wants.wants)) is not None:
            return [(named.row.tier, named)] if named.words is not None else []
        use = Use.CODE if wants.is_code else Use.REASONING if wants.difficulty > 0.5 else Use.TOOLS
        able = (
            self._models.of_use(use)
            or self._models.of_use(Use.TOOLS)
            or self._models.of_use(Use.REASONING)
        )
        near = [model for model in able if not model.row.leaves_house]
        far = [model for model in able if model.row.leaves_house]
        if step is Step.LOCAL_ONLY:
            far = [model for model in far if model.row.is_free]
        elif step is Step.SOFT:
            far = far[:1]
        looked_up: list[tuple[TierName, Model]] = []
        if wants.freshness >= FRESH and self._search.available() and able:
            looked_up = [(TierName.MCP, (near or far or able)[0])]
        ordered = [*((one.row.tier, one) for one in near[:1]), *looked_up]
        behind = [(one.row.tier, one) for one in far[:2]]
        if wants.difficulty >= TOO_HARD and step is Step.NORMAL:
            return [*behind, *ordered]
        return [*ordered, *behind]

    def _next(self, rest: Sequence[tuple[TierName, Model]], turn: Turn, prompt: Prompt) -> bool:
        """Tell whether one of the rest may be asked at all."""
        about = self._about(turn, prompt)
        return any(self._asker.forbidden(model, about) is None for _tier, model in rest)

    def _about(self, turn: Turn, prompt: Prompt) -> About:
        return About(
            request_id=turn.request_id,
            conversation_id=turn.conversation_id,
            pieces=tuple(Piece(kind=kind, area_id=turn.area_id) for kind in sorted(prompt.kinds)),
            priority=turn.priority,
        )

    # -- working --------------------------------------------------------------------------------------

    async def _prompt(self, turn: Turn) -> Prompt:
        started = time.perf_counter()
        history: Sequence[Said] = await self._history(turn.conversation_id)
        memories = await self._recall(turn)
        turn.stages["recall"] = time.perf_counter() - started
        return build(
            said=turn.text,
            moment=words.moment(turn.second_of_day, turn.today),
            devices=self._devices(),
            history=history,
            memories=memories,
        )

    async def _tools(self, turn: Turn) -> Mapping[str, Offered]:
        web = self._search.available()
        return await self._toolbox.tools(turn.caller, turn.conversation_id, web=web)

    async def _look_up(self, turn: Turn, asked: Asked) -> None:
        """Look the question up; who answers from it sees nothing private and has no tools."""
        started = time.perf_counter()
        found = await self._search(turn.text, turn.conversation_id)
        turn.stages["search"] = time.perf_counter() - started
        asked.messages = list(search_messages(turn.text, found))
        asked.reading.take(Trust.OUTSIDE)

    def _asked(
        self,
        turn: Turn,
        tier: TierName,
        model: Model,
        prompt: Prompt,
        *,
        floor: float | None,
    ) -> Asked:
        return Asked(
            model=model,
            tier=tier,
            reading=Reading(said=turn.text, trust=prompt.trust),
            about=self._about(turn, prompt),
            floor=floor,
            messages=list(prompt.messages),
        )

    async def _work(self, turn: Turn, asked: Asked) -> Reply:
        """Let a model speak and use tools until it is done, or until people have to decide."""
        heard = ""
        for step in range(MOST_STEPS):
            tools = [] if step == MOST_STEPS - 1 else [one.tool for one in asked.offered.values()]
            request = ModelRequest(
                messages=tuple(asked.messages), tools=tools, priority=turn.priority
            )
            text, calls, finish = await self._speak(turn, asked, request)
            heard = f"{heard} {text}".strip()
            if not calls:
                return self._said(asked, heard, finish)
            asked.messages.append(Message(author=Author.ASSISTANT, text=text, calls=calls))
            for at, call in enumerate(calls):
                ran = await self._run(turn, asked, call)
                if ran.event is not None or ran.proposal is not None:
                    asked.messages += _unanswered(calls[at + 1 :])
                    return await self._paused(turn, asked, heard, call, ran)
                asked.messages.append(Message(author=Author.TOOL, text=ran.text, call_id=call.id))
        return self._said(asked, heard or words.TOO_MANY_STEPS, "length")

    async def _run(self, turn: Turn, asked: Asked, call: ToolCall) -> Ran:
        asked.calls += 1
        # From here on something has happened for this answer: nobody else starts afresh.
        known = asked.offered.get(call.name)
        asked.broken += call.arguments is None or known is None
        if asked.floor is not None and asked.broken:
            raise NotSure(confidence("", (), finish="tool_calls", is_local=True, broken_calls=1))
        if known is not None and not known.tool.read_only:
            asked.floor = None
        ran = await self._toolbox.run(asked.offered, call, asked.reading)
        if asked.reading.ran and ran.event is None and ran.proposal is None:
            turn.emit({"tool": asked.reading.ran[-1]})
        return ran

    async def _speak(
        self, turn: Turn, asked: Asked, request: ModelRequest
    ) -> tuple[str, tuple[ToolCall, ...], str]:
        """Stream one answer; returns its words, the tools it wants and how it ended."""
        bill = Bill()
        asked.bills.append(bill)
        cleaner, raw, held, finish = Cleaner(), "", "", "stop"
        calls: tuple[ToolCall, ...] = ()

        def emit(text: str) -> None:
            if text:
                asked.heard = True
                turn.emit({"text": text})

        parts: AsyncGenerator[Part] = self._asker.stream(asked.model, request, asked.about, bill)
        try:
            async with aclosing(parts):
                async for part in parts:
                    match part:
                        case Words(text=text, logprobs=logprobs):
                            raw += text
                            asked.logprobs += logprobs
                            held += cleaner.feed(text)
                            if asked.floor is None or self._may_be_heard(asked, raw):
                                emit(held)
                                held = ""
                        case Calls(calls=wanted):
                            calls = wanted
                        case Usage(finish=ended):
                            finish = ended
        finally:
            turn.stages["model"] = turn.stages.get("model", 0.0) + (bill.seconds_to_first or 0.0)
        if not calls and asked.floor is not None:
            sure = self._sure(asked, raw, finish)
            if sure < asked.floor:
                raise NotSure(sure)
        emit(held + cleaner.end())
        return raw, calls, finish

    def _may_be_heard(self, asked: Asked, raw: str) -> bool:
        """Weigh the first words; once they are good enough to be heard, there is no way back."""
        if len(asked.logprobs) < WEIGHED:
            return False
        sure = self._sure(asked, raw, "stop")
        if asked.floor is not None and sure < asked.floor:
            raise NotSure(sure)
        asked.floor = None
        return True

    def _sure(self, asked: Asked, text: str, finish: str) -> float:
        return confidence(
            text,
            asked.logprobs,
            finish=finish,
            is_local=asked.tier is TierName.LOCAL,
            calls=asked.calls,
            broken_calls=asked.broken,
        )

    def _said(self, asked: Asked, text: str, finish: str) -> Reply:
        return Reply(
            text=shown(text).strip() or words.NOTHING_SAID,
            confidence=self._sure(asked, text, finish),
            reason="answered" if finish != "length" else "cut_off",
            cost=asked.cost,
            spent=asked.spent,
            outside=asked.reading.is_foreign,
            calls=tuple(asked.reading.ran),
        )

    def _failed(self, asked: Asked, reason: str, sure: float) -> Reply:
        return Reply(
            text="", confidence=sure, reason=reason[:64], cost=asked.cost, spent=asked.spent
        )

    # -- waiting for people ---------------------------------------------------------------------------

    async def _paused(
        self, turn: Turn, asked: Asked, heard: str, call: ToolCall, ran: Ran
    ) -> Reply:
        """Stop before something that people decide, and keep what is needed to go on after it."""
        turn.state["chain"] = {
            "provider_id": asked.model.row.id,
            "call_id": call.id,
            "command_id": ran.command["id"] if ran.command else None,
            "foreign": asked.reading.is_foreign,
            "said": asked.reading.said,
            "messages": [msgspec.to_builtins(replace(one, pictures=())) for one in asked.messages],
        }
        question = await self._ask(turn, ran, foreign=asked.reading.is_foreign)
        return replace(
            question,
            text=f"{shown(heard).strip()} {question.text}".strip(),
            confidence=self._sure(asked, heard, "tool_calls"),
            reason="waits_for_people",
            cost=asked.cost,
            spent=asked.spent,
            outside=asked.reading.is_foreign,
            calls=tuple(asked.reading.ran),
        )

    async def resume(self, turn: Turn, chain: Json, outcome: str) -> Attempt | None:
        """Go on with a chain after people have decided; None when its model is no longer there."""
        model = next(
            (one for one in self._models.all() if one.row.id == chain["provider_id"]), None
        )
        if model is None or model.words is None:
            return None
        started = time.perf_counter()
        messages = [msgspec.convert(one, Message) for one in chain["messages"]]
        # The answer stands right behind its question, before those of the calls that never ran.
        at = next(
            index
            for index, one in enumerate(messages)
            if any(call.id == chain["call_id"] for call in one.calls)
        )
        messages.insert(at + 1, Message(author=Author.TOOL, text=outcome, call_id=chain["call_id"]))
        trust = Trust.OUTSIDE if chain["foreign"] else Trust.PERSON
        prompt = Prompt(messages=tuple(messages), trust=trust, kinds=frozenset({"prompt", "names"}))
        asked = self._asked(turn, model.row.tier, model, prompt, floor=None)
        asked.offered = await self._tools(turn)
        asked.reading.said = chain["said"]
        try:
            reply = await self._work(turn, asked)
        except KittyError as err:
            _LOGGER.info("A chain was not resumed: %s", err.code)
            reply = self._failed(asked, err.code, 0.0)
        return Attempt(tier=model.row.tier, reply=reply, latency_ms=since(started))


def _unanswered(calls: Sequence[ToolCall]) -> list[Message]:
    """Return an answer for each call that did not run: a model must not wait for it."""
    return [
        Message(author=Author.TOOL, text="Not run: something before it waits.", call_id=call.id)
        for call in calls
    ]


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
