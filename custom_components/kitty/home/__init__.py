"""The home without any model: commands and questions answered from the registries and states alone.

A sentence is understood when every word of it is explained by exactly one thing or set of things.
What two things explain equally well is asked; what opens or guards the house is never done in bulk,
nor because a name merely sounds alike; and what stands behind a device of KITTY is never touched.
"""

from dataclasses import dataclass
from typing import Final

from homeassistant.core import CALLBACK_TYPE, Context, HomeAssistant, callback
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
from homeassistant.util import dt as dt_util

from .builtin import OwnSentences, Said, ask
from .house import Houses
from .languages import lexicon_for
from .memory import Memory, Pending, Turn as Before
from .perform import perform, question
from .resolve import Outcome, Resolution
from .turn import Turn, Understood, is_clear

CERTAIN: Final = 0.95
LIKELY: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAnswer:
    """What the home said, and did or would do."""

    text: str
    handled: bool
    confidence: float
    asks: bool = False
    acted: tuple[str, ...] = ()
    reason: str = "done"


class HomeCommands:
    """Answers what can be answered without a model."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Start without having looked at the house."""
        self._hass = hass
        self._houses = Houses(hass)
        self._memory = Memory()
        self._own = OwnSentences(hass)

    @callback
    def start(self) -> CALLBACK_TYPE:
        """Follow changes of the house; returns the end."""
        return self._houses.start()

    @callback
    def forget(self, conversation_id: str) -> None:
        """Forget a conversation that is over."""
        self._memory.forget(conversation_id)

    async def answer(
        self,
        text: str,
        language: str,
        context: Context,
        *,
        conversation_id: str | None = None,
        device_id: str | None = None,
        satellite_id: str | None = None,
        dry: bool = False,
    ) -> HomeAnswer | None:
        """Answer one sentence, or return None where that takes more than the home knows.

        With ``dry`` nothing is done and nothing remembered: the answer tells what would be.
        """
        said = Said(
            text=text,
            language=language,
            context=context,
            conversation_id=conversation_id,
            device_id=device_id,
            satellite_id=satellite_id,
        )
        lexicon = lexicon_for(language)
        if lexicon is None:
            return None if dry else await self._builtin(said)
        user = await self._hass.auth.async_get_user(context.user_id) if context.user_id else None
        now = dt_util.utcnow().timestamp()
        turn = Turn(
            hass=self._hass,
            said=said,
            lexicon=lexicon,
            house=self._houses.now(lexicon),
            before=self._memory.recall(conversation_id, context.user_id, now),
            area_id=area_of(self._hass, device_id, satellite_id),
            user=user,
        )
        if not dry and await self._own.match(said):
            found = await self._builtin(said)
            if found is not None:
                return found
        understood = await turn.understand()
        if understood.cancelled or understood.reply is not None or is_clear(understood.steps):
            return await self._settle(turn, understood, dry=dry)
        if not dry and _may_hand_over(understood):
            found = await self._builtin(said)
            if found is not None:
                return found
        return await self._settle(turn, understood, dry=dry) if understood.steps else None

    async def _builtin(self, said: Said) -> HomeAnswer | None:
        """Return what Home Assistant's own agent did; None where it did not understand."""
        found = await ask(self._hass, said)
        if not found.understood:
            return None
        self._keep(said, focus=found.acted)
        return HomeAnswer(
            text=found.text,
            handled=True,
            confidence=LIKELY,
            asks=found.asks,
            acted=found.acted,
            reason="home_assistant",
        )

    async def _settle(self, turn: Turn, understood: Understood, *, dry: bool) -> HomeAnswer:
        """Say what was asked, or do what is wanted."""
        if understood.cancelled:
            if not dry:
                self._keep(turn.said)
            text = turn.lexicon.said["cancelled"]
            return HomeAnswer(text=text, handled=True, confidence=CERTAIN, reason="cancelled")
        if (reply := understood.reply) is not None:
            if not dry:
                self._keep(turn.said, focus=tuple(thing.entity_id for thing in reply.things))
            return HomeAnswer(text=reply.text, handled=True, confidence=CERTAIN, reason="answer")
        steps = understood.steps
        asked = next(
            (number for number, step in enumerate(steps) if step.outcome is Outcome.ASK), None
        )
        if asked is not None:
            return self._ask(turn, steps, asked, dry=dry)
        return await self._do(turn, steps, dry=dry)

    def _ask(
        self, turn: Turn, steps: tuple[Resolution, ...], asked: int, *, dry: bool
    ) -> HomeAnswer:
        """Ask which one is meant; the answer comes with the next turn."""
        if not dry:
            self._keep(turn.said, pending=Pending(steps=steps, asked=asked))
        return HomeAnswer(
            text=question(steps[asked], turn.lexicon),
            handled=True,
            confidence=LIKELY,
            asks=True,
            reason=steps[asked].reason,
        )

    async def _do(self, turn: Turn, steps: tuple[Resolution, ...], *, dry: bool) -> HomeAnswer:
        """Carry the steps out."""
        # A thing that is named better than by its name alone costs less than nothing.
        confidence = min(1.0, max(0.0, 1.0 - max(step.cost for step in steps) / 3))
        if dry:
            acted = tuple(
                one for step in steps if step.outcome is Outcome.FOUND for one in step.calls
            )
            return HomeAnswer(
                text="", handled=True, confidence=confidence, acted=acted, reason="dry"
            )
        self._keep(turn.said, focus=tuple(one.entity_id for one in steps[-1].things))
        done = await perform(self._hass, steps, turn.said.context, turn.lexicon)
        return HomeAnswer(
            text=done.text,
            handled=True,
            confidence=confidence,
            acted=done.acted,
            reason=done.reason,
        )

    def _keep(
        self, said: Said, *, focus: tuple[str, ...] = (), pending: Pending | None = None
    ) -> None:
        """Remember what this turn leaves behind."""
        turn = Before(
            user_id=said.context.user_id,
            at=dt_util.utcnow().timestamp(),
            focus=focus,
            pending=pending,
        )
        self._memory.keep(said.conversation_id, turn)


def _may_hand_over(understood: Understood) -> bool:
    """Tell whether Home Assistant's own agent may try, too."""
    return not understood.closed and not any(
        step.risky or step.outcome in (Outcome.ASK, Outcome.GUARDED) for step in understood.steps
    )


def area_of(hass: HomeAssistant, device_id: str | None, satellite_id: str | None) -> str | None:
    """Return the area of the satellite that heard the words."""
    item = er.async_get(hass).async_get(satellite_id or "")
    if item is not None and item.area_id:
        return item.area_id
    device_id = (item and item.device_id) or device_id
    found = dr.async_get(hass).async_get(device_id) if device_id else None
    if not isinstance(found, dr.DeviceEntry):
        return None
    area_id = dr.async_get_effective_area_id(hass, found)
    return area_id if area_id and ar.async_get(hass).async_get_area(area_id) else None
