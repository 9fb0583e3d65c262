"""One walk through the house: who takes it, what was noticed on the way, and how something is found wrong."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
import time
from typing import Any, Final

from script.house import config
from script.house.house import House
from script.house.model import Model
from script.house.people import Answer, Json, Person, Refused
from script.house.phones import Phone
from script.house.waiting import PATIENCE_S, until

CONNECTION: Final = "binary_sensor.kitty_connection"
CABINET_PENDING: Final = "binary_sensor.workshop_tool_cabinet_approval_pending"
UNLOCK: Final = f"lock.unlock {config.BOLT}"


class Wrong(AssertionError):
    """Something is not as it must be; the message says what was found."""


def expect(condition: Any, found: str) -> None:
    """Raise Wrong with what was found instead."""
    if not condition:
        raise Wrong(found)


@dataclass(slots=True)
class Mark:
    """How often the hardware had been used, and how often people had been asked, at one time."""

    calls: int
    bolt: int
    relay: int
    prompts: int


@dataclass(slots=True)
class Visit:
    """One walk through the house, and what a step leaves for the steps after it."""

    house: House
    started: float = field(default_factory=time.time)
    mark: Mark = field(default_factory=lambda: Mark(0, 0, 0, 0))
    conversation_id: str = ""
    laser_prompt: Json = field(default_factory=dict)
    cabinet_prompt: Json = field(default_factory=dict)
    # The stand-in for a server of language models, while there is one.
    model: Model = field(default_factory=Model)

    @property
    def demo(self) -> Person:
        """Return the owner, who asks."""
        return self.house.demo

    @property
    def demos_phone(self) -> Phone:
        """Return the phone of the one who asks."""
        return self.house.phone(self.house.demo)

    @property
    def annas_phone(self) -> Phone:
        """Return the phone of the one who approves."""
        return self.house.phone(self.house.anna)

    def count(self, entity_id: str) -> int:
        """Return a counter of the hardware."""
        return int(float(self.demo.state(entity_id) or 0))

    def number(self, entity_id: str) -> float:
        """Return a figure as last seen; 0 while nobody knows it."""
        state = self.demo.state(entity_id)
        return float(state or 0) if state not in {None, "unknown", "unavailable"} else 0.0

    def set_mark(self) -> Mark:
        """Remember how things stand now."""
        self.mark = Mark(
            calls=len(self.demo.calls),
            bolt=self.count(config.BOLT_COUNTER),
            relay=self.count(config.RELAY_COUNTER),
            prompts=self.prompts(),
        )
        return self.mark

    def prompts(self) -> int:
        """Return how often somebody's phone was asked."""
        return sum(len(phone.prompts()) for phone in self.house.exchange.phones.values())

    async def until(self, entity_id: str, state: str, limit: float = PATIENCE_S) -> float:
        """Wait for a state; returns the seconds that it took."""
        return await self.demo.until(
            lambda: self.demo.state(entity_id) == state, f"{entity_id} is {state}", limit
        )

    async def back(self) -> None:
        """Wait until brain and Home Assistant have each other again, each by its own word."""
        await self.until(CONNECTION, "on")

        async def linked() -> bool:
            parts = (await self.brain("system.health"))["parts"]
            return bool(parts["home_assistant"]["ok"])

        await until(linked, "The brain has Home Assistant", PATIENCE_S)

    async def unlocked_once(self) -> None:
        """Check that since the mark the bolt was withdrawn exactly once, by one service call."""
        await self.demo.until(
            lambda: self.count(config.BOLT_COUNTER) > self.mark.bolt, "The bolt moved"
        )
        await self.demo.caught_up()
        moved = self.count(config.BOLT_COUNTER) - self.mark.bolt
        called = self.demo.called(self.mark.calls)[UNLOCK]
        expect((moved, called) == (1, 1), f"{moved} times withdrawn by {called} service calls")

    async def audit(self, **filters: Any) -> list[Json]:
        """Return rows of the audit chain since this walk began."""
        answer = await self.demo.ask("kitty.get_audit", limit=1000, **filters)
        return [row for row in answer["items"] if row["at"] >= self.started]

    async def brain(self, action: str, **query: Any) -> Json:
        """Ask the brain itself for something, past Home Assistant."""
        headers = {"Authorization": f"Bearer {self.house.brain_token}"}
        url = f"{self.house.brain_url}/api/v1/{action}"
        async with self.house.session.get(url, params=query, headers=headers) as response:
            answer: Json = await response.json()
        if answer["status"] != "success":
            raise Refused(str(response.status), str(answer))
        data: Json = answer["data"]
        return data

    async def audited(self, kind: str, **about: Any) -> Json:
        """Wait until the audit chain holds a row, and return it."""

        async def found() -> Json | None:
            rows = await self.audit(kind=kind)
            fit = [row for row in rows if about.items() <= row.items()]
            return fit[-1] if fit else None

        row = await until(found, f"The audit chain holds {kind}", PATIENCE_S)
        return row or {}


type Step = Callable[[Visit], Awaitable[str]]


def said(answer: Answer) -> str:
    """Return what was said, and how long that took."""
    return f"{answer.text!r} in {answer.seconds * 1000:.0f} ms"
