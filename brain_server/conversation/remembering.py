"""Remembering: "remember that ...", "what do you know about ...", and facts that people simply state.

Works without any model. What a person states is kept as said by that person; what is asked is answered
from it only where no tier behind knows better.
"""

import logging
import re
from typing import ClassVar, Final

from brain_server.conversation import words
from brain_server.conversation.trust import Trust, shown
from brain_server.errors import KittyError
from brain_server.memory import Memory, Recalled
from brain_server.memory.embedder import Embedder, Meaning
from brain_server.routing import Reply, Tier, TierName, Turn

_LOGGER = logging.getLogger(__name__)

HOUSE: Final = "house"
SAID: Final = "said"
MOST: Final = 5
# Only what clearly is meant may be forgotten by a few words about it.
CERTAINLY: Final = 0.45

_TELL: Final = re.compile(
    r"(?i)^\s*(?:please\s+)?(?:remember|note|keep in mind|don'?t forget)\b[\s,:]*(?:that\s+)?(?P<what>.{3,})$"
)
_KNOWN: Final = re.compile(
    r"(?i)^\s*what (?:do|did) (?:you|i) (?:know|remember|tell you|say)(?: about (?P<what>.+?))?\s*\??$"
)
_FORGET: Final = re.compile(
    r"(?i)^\s*(?:please\s+)?forget\s+(?P<all>everything|all)?\s*(?:that\s+|what i (?:said|told you) about\s+|about\s+)?"
    r"(?P<what>.*?)\s*$"
)
_STATES: Final = re.compile(
    r"(?i)^\s*(?:the|my|our|his|her|their|[\w' -]{1,40}'s)\s+[^?]{2,80}?\b"
    r"(?:is|are|was|were|has|have|needs?|takes?|likes?|prefers?|uses?|lives?|belongs?|comes?)\b[^?]{2,300}$"
)
_PREFERS: Final = re.compile(
    r"(?i)^\s*(?:i|we)\s+(?:like|prefer|love|hate|use|own|have|always|never|usually|live|work)\b[^?]{2,300}$"
    r"|^\s*(?:call me|my name is)\b[^?]{2,60}$"
)
_ASKS: Final = re.compile(
    r"(?i)^\s*(?:what|which|who|whose|where|when|how|why|is|are|was|were|do|does|did|has|have|can|tell me)\b|\?\s*$"
)


class Told(Tier):
    """Hears what people say about memory itself: remember this, what do you know, forget that."""

    name: ClassVar[TierName] = TierName.LOCAL

    def __init__(self, memory: Memory, embedder: Embedder) -> None:
        """Take the memory and the model of meanings."""
        self._memory = memory
        self._embedder = embedder

    async def answer(self, turn: Turn) -> Reply | None:
        """Keep, tell or forget what a person says so of; pass on everything else."""
        person = turn.caller.user_id
        if person is None:
            return None
        try:
            if found := _TELL.match(turn.text):
                await keep(self._memory, turn, found["what"])
                return _said(words.REMEMBERED, "remembered")
            if found := _KNOWN.match(turn.text):
                self._memory.require()
                return await self._known(person, found["what"])
            if found := _FORGET.match(turn.text):
                return await self._forget(person, found["what"], everything=bool(found["all"]))
        except KittyError as err:
            return _said(words.refused(err), err.code)
        return None

    async def _known(self, person: str, what: str | None) -> Reply:
        if what is None:
            texts = await self._memory.latest(person, MOST)
            return _said(words.memories([shown(text) for text in texts]), "known")
        found = await self._memory.recall([person, HOUSE], Meaning(what, self._embedder), MOST)
        return _told(found, certain=True) or _said(words.NOTHING_KNOWN, "known")

    async def _forget(self, person: str, what: str, *, everything: bool) -> Reply | None:
        if everything and not what:
            return _said(words.forgotten(await self._memory.drop(person)), "forgotten")
        if what.casefold() in {"", "it", "that", "this"}:
            return None
        self._memory.require()
        meaning = Meaning(what, self._embedder)
        found = await self._memory.recall([person], meaning, 1, CERTAINLY)
        if not found:
            return _said(words.NOTHING_KNOWN, "forgotten")
        await self._memory.drop(person, [found[0].id])
        return _said(words.forgot(shown(found[0].text)), "forgotten")


class Remembering(Tier):
    """Keeps what people state, and answers from it where nobody behind knows better."""

    name: ClassVar[TierName] = TierName.LOCAL

    def __init__(self, memory: Memory, embedder: Embedder) -> None:
        """Take the memory and the model of meanings."""
        self._memory = memory
        self._embedder = embedder

    async def answer(self, turn: Turn) -> Reply | None:
        """Answer a question from memory, or keep a statement; never so that no model is asked."""
        if turn.caller.user_id is None:
            return None
        if _ASKS.search(turn.text):
            return _told((await self.recall(turn))[:1], certain=False)
        if not (_STATES.match(turn.text) or _PREFERS.match(turn.text)):
            return None
        try:
            await keep(self._memory, turn, turn.text)
        except KittyError as err:
            _LOGGER.info("A statement was not kept: %s", err.code)
            return None
        return _said(words.REMEMBERED, "stated", certain=False)

    async def recall(self, turn: Turn) -> list[Recalled]:
        """Return what fits what is said, of the person's own and the house's memories."""
        own = [turn.caller.user_id] if turn.caller.user_id else []
        return await self._memory.recall([*own, HOUSE], self.meaning(turn), MOST)

    def meaning(self, turn: Turn) -> Meaning:
        """Return the meaning of a turn, the same one for everybody who asks."""
        meaning: Meaning | None = turn.shared.get("meaning")
        if meaning is None:
            meaning = turn.shared["meaning"] = Meaning(turn.text, self._embedder)
        return meaning


async def keep(memory: Memory, turn: Turn, what: str) -> None:
    """Remember what the person of a turn has said; raises as :meth:`Memory.remember` does."""
    text = what.strip().rstrip(".")
    await memory.remember(
        turn.caller.user_id or HOUSE, text, SAID, Trust.PERSON, turn.conversation_id
    )


def _told(found: list[Recalled], *, certain: bool) -> Reply | None:
    if not found:
        return None
    return Reply(
        text=words.memories([shown(one.text) for one in found]),
        confidence=round(min(1.0, found[0].score), 3),
        reason="recalled",
        certain=certain,
        outside=any(one.trust == Trust.OUTSIDE for one in found),
    )


def _said(text: str, reason: str, *, certain: bool = True) -> Reply:
    return Reply(text=text, confidence=1.0, reason=reason, certain=certain)
