"""The mind: language models behind the rules, each asked only when it is worth it and allowed.

A near model is asked first. While a dearer one could still take over, its first words are held back; when
it is not sure of them, nobody has heard them and the next model starts afresh. From then on words stream.
"""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field, replace
import logging
import time
from typing import Final, Protocol

import msgspec

from brain_server.conversation import words
from brain_server.conversation.kept import Kept, scope
from brain_server.conversation.prompt import Prompt, Remembered, Said, build
from brain_server.conversation.search import Search, messages as search_messages
from brain_server.conversation.tools import Offered, Ran, Reading, Toolbox
from brain_server.conversation.trust import Cleaner, Trust, shown
from brain_server.errors import KittyError
from brain_server.memory.embedder import Meaning
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
from brain_server.routing.judge import SURE, Signals, confidence, signals
from brain_server.routing.lessons import Lessons
from brain_server.routing.models import Model, Models
from brain_server.routing.privacy import Kind, Piece, Verdict

_LOGGER = logging.getLogger(__name__)

MOST_STEPS: Final = 8
# While money is short, a weaker answer is good enough.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known for a turn, before it is decided which model may see what of it."""

    said: str
    moment: str
    area_id: str | None
    devices: Sequence[Json] = ()
    history: Sequence[Said] = ()
    memories: Sequence[Remembered] = ()

    @property
    def pieces(self) -> list[Piece]:
        """Return it as pieces that may or may not leave the house."""
        found = [Piece(kind=Kind.PROMPT, area_id=self.area_id, text=self.said)]
        for kind, there in (
            (Kind.DEVICE_STATE, self.devices),
            (Kind.MESSAGES, self.history),
            (Kind.MEMORY, self.memories),
        ):
            if there:
                found.append(Piece(kind=kind, area_id=self.area_id, needed=False))
        return found

    def verdict(self, asker: Asker, model: Model) -> Verdict:
        """Return whether a model may be asked, and what it may not see."""
        return asker.judged(model, self.pieces)

    def prompt(self, *, left_out: Collection[str]) -> Prompt:
        """Return the messages without what is left out."""
        return build(
            said=self.said,
            moment=self.moment,
            devices=() if Kind.DEVICE_STATE in left_out else self.devices,
            history=() if Kind.MESSAGES in left_out else self.history,
            memories=() if Kind.MEMORY in left_out else self.memories,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where what is known for a turn comes from."""

    history: History
    recall: Recall
    meaning: Callable[[Turn], Meaning]
    devices: Callable[[], list[Json]]


class Steps(Protocol):
    """Who takes a request of several steps apart."""

    async def answer(self, turn: Turn, model: Model, about: About) -> Reply | None:
        """Plan and begin; None when it is one step."""


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
        sources: Sources,
        kept: Kept,
        lessons: Lessons,
    ) -> None:
        """Take the models, the road to them, the ledger, the tools, the web, and what is known."""
        self._kept = kept
        self._lessons = lessons
        self._models = models
        self._asker = asker
        self._budget = budget
        self._toolbox = toolbox
        self.search = search
        self._ask = ask
        self._sources = sources
        # Set where there is an agent; it works with this mind.
        self.agent: Steps | None = None

    async def answer(self, turn: Turn) -> tuple[Attempt, ...] | None:
        """Ask the candidates one after the other; the first answer that is sure enough counts."""
        wants = signals(turn.text)
        step = await self._budget.level()
        candidates = self._candidates(wants, step, self._lessons.difficulty(turn.text))
        if not candidates:
            return None
        epochs = self._kept.epochs()
        known = await self._known(turn)
        ids = [model.row.id for _, model in candidates]
        within = scope(turn, wants, known.history, known.memories, ids)
        meaning = self._sources.meaning(turn)
        if within and (before := await self._kept.find(turn, meaning, within)) is not None:
            return (before,)
        attempts = await self._asked_all(turn, wants, candidates, known, step)
        await self._lessons.note(turn.conversation_id, turn.text, attempts)
        if within:
            remembered = bool(known.memories)
            await self._kept.keep(
                attempts[0], wants, meaning, within, epochs, remembered=remembered
            )
        return attempts

    async def _asked_all(
        self,
        turn: Turn,
        wants: Signals,
        candidates: Sequence[tuple[TierName, Model]],
        known: Known,
        step: Step,
    ) -> tuple[Attempt, ...]:
        """Ask until one answer is sure enough; return every attempt, the one that counts first."""
        tried: list[Attempt] = []
        errors: list[KittyError] = []
        if wants.later and self.agent is not None:
            attempt = await self._in_steps(turn, candidates[0][1], known, errors)
            if attempt is not None and attempt.reply.text:
                return (attempt,)
            tried += [attempt] if attempt is not None else []
        floor = SURE if step is Step.NORMAL else SURE_WHEN_SHORT
        for at, (tier, model) in enumerate(candidates):
            started = time.perf_counter()
            others = any(known.verdict(self._asker, one).allowed for _, one in candidates[at + 1 :])
            asked = self._asked(turn, tier, model, known, floor=floor if others else None)
            try:
                reply = await self._tried(turn, asked)
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

    async def _tried(self, turn: Turn, asked: Asked) -> Reply:
        if asked.tier is TierName.MCP:
            await self._look_up(turn, asked)
        else:
            asked.offered = await self._tools(turn, asked.model)
        return await self.work(turn, asked)

    async def _in_steps(
        self, turn: Turn, model: Model, known: Known, errors: list[KittyError]
    ) -> Attempt | None:
        """Let the agent take it apart; None when it is one step, an attempt without words when it failed."""
        assert self.agent is not None  # noqa: S101 - answer() has looked
        started = time.perf_counter()
        try:
            reply = await self.agent.answer(turn, model, self._about(turn, known.pieces))
        except KittyError as err:
            errors.append(err)
            spent = Spent(provider_id=model.row.id, model=model.row.name)
            reply = Reply(text="", confidence=0.0, reason=err.code[:64], spent=spent)
        if reply is None:
            return None
        return Attempt(tier=TierName.AGENT, reply=reply, latency_ms=since(started))

    # -- choosing -------------------------------------------------------------------------------------

    def _candidates(
        self, wants: Signals, step: Step, difficulty: float
    ) -> list[tuple[TierName, Model]]:
        """Return whom to ask, in order; ``difficulty`` is what this house has learned of such questions."""
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
        if wants.freshness >= FRESH and self.search.available() and able:
            looked_up = [(TierName.MCP, (near or far or able)[0])]
        ordered = [*((one.row.tier, one) for one in near[:1]), *looked_up]
        behind = [(one.row.tier, one) for one in far[:2]]
        if difficulty >= TOO_HARD and step is Step.NORMAL:
            return [*behind, *ordered]
        return [*ordered, *behind]

    def _about(self, turn: Turn, pieces: Sequence[Piece]) -> About:
        return About(
            request_id=turn.request_id,
            conversation_id=turn.conversation_id,
            pieces=tuple(pieces),
            priority=turn.priority,
        )

    # -- working --------------------------------------------------------------------------------------

    async def _known(self, turn: Turn) -> Known:
        """Gather what is known for a turn; what of it a model sees is decided for each model."""
        started = time.perf_counter()
        history = await self._sources.history(turn.conversation_id)
        memories = await self._sources.recall(turn)
        turn.stages["recall"] = time.perf_counter() - started
        return Known(
            said=turn.text,
            moment=words.moment(turn.second_of_day, turn.today),
            area_id=turn.area_id,
            devices=self._sources.devices(),
            history=history,
            memories=memories,
        )

    async def prepared(self, turn: Turn, model: Model) -> Asked:
        """Return a model that is ready to work on a part of something larger, with no history."""
        known = Known(
            said=turn.text,
            moment=words.moment(turn.second_of_day, turn.today),
            area_id=turn.area_id,
            devices=self._sources.devices(),
        )
        asked = self._asked(turn, model.row.tier, model, known, floor=None)
        asked.offered = await self._tools(turn, model)
        return asked

    async def _tools(self, turn: Turn, model: Model) -> Mapping[str, Offered]:
        """Return the tools whose answers this model may know: they go where its prompt goes."""
        web = self.search.available()
        offered = await self._toolbox.tools(turn.caller, turn.conversation_id, web=web)
        allowed = {
            kind: self._asker.judged(model, [Piece(kind=kind, area_id=turn.area_id)]).allowed
            for kind in {one.kind for one in offered.values()}
        }
        return {name: one for name, one in offered.items() if allowed[one.kind]}

    async def _look_up(self, turn: Turn, asked: Asked) -> None:
        """Look the question up; who answers from it sees nothing private and has no tools."""
        started = time.perf_counter()
        found = await self.search(turn.text, turn.conversation_id)
        turn.stages["search"] = time.perf_counter() - started
        asked.messages = list(search_messages(turn.text, found))
        asked.reading.take(Trust.OUTSIDE)

    def _asked(
        self, turn: Turn, tier: TierName, model: Model, known: Known, *, floor: float | None
    ) -> Asked:
        """Return a model with the part of what is known that it may see."""
        verdict = known.verdict(self._asker, model)
        prompt = known.prompt(left_out={piece.kind for piece in verdict.dropped})
        return Asked(
            model=model,
            tier=tier,
            reading=Reading(said=turn.text, trust=prompt.trust),
            about=self._about(
                turn, [piece for piece in known.pieces if piece not in verdict.dropped]
            ),
            floor=floor,
            messages=list(prompt.messages),
        )

    async def work(self, turn: Turn, asked: Asked) -> Reply:
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
            tried=asked.calls,
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
            "kinds": sorted({piece.kind for piece in asked.about.pieces}),
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
        known = Known(said=chain["said"], moment="", area_id=turn.area_id)
        asked = self._asked(turn, model.row.tier, model, known, floor=None)
        asked.messages = messages
        # What it held when people were asked goes out once more: by the rules of now.
        pieces = [Piece(kind=kind, area_id=turn.area_id) for kind in chain["kinds"]]
        asked.about = self._about(turn, [*known.pieces, *pieces])
        asked.reading.take(Trust.OUTSIDE if chain["foreign"] else Trust.PERSON)
        asked.offered = await self._tools(turn, model)
        asked.reading.said = chain["said"]
        try:
            reply = await self.work(turn, asked)
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
