"""A turn that is being answered right now: only for one may the brain use the house."""

import contextvars
from dataclasses import dataclass, field
import hashlib

from homeassistant.core import Context
from homeassistant.helpers import llm

from .origin import Caller
from .protocol import Json, canonical


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one person says now; ``asked``: the event and subject of our question before it, if any."""

    context: Context
    caller: Caller
    text: str
    language: str
    conversation_id: str
    satellite_id: str | None
    area_id: str | None
    llm_context: llm.LLMContext
    asked: tuple[str, str] | None
    # The tool call that the question before these words was about; see :func:`fingerprint`.
    answers: str | None
    # The one that a question after them would be about.
    proposes: str | None = None
    surroundings: contextvars.Context = field(default_factory=contextvars.copy_context)
    # What models may use in this turn, by the names that they see; made when it is first wanted.
    api: llm.APIInstance | None = None
    names: dict[str, str] = field(default_factory=dict)

    @property
    def device_id(self) -> str | None:
        """Return the device that heard the words."""
        return self.llm_context.device_id

    def enter(self) -> None:
        """Go on in the calling task as if it were the turn's own: by its road, in its chat log.

        What the brain asks for arrives in a task of the socket, which knows nobody.
        """
        for variable, value in self.surroundings.items():
            variable.set(value)


def fingerprint(tool: str, arguments: Json) -> str:
    """Return what stands for one call of one tool: the person's yes is good for this one alone."""
    return hashlib.sha256(canonical({"tool": tool, "arguments": arguments})).hexdigest()


def plain(text: str) -> str:
    """Return words without case and punctuation."""
    kept = (char if char.isalnum() else " " for char in text.casefold())
    return " ".join("".join(kept).split())
