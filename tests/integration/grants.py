"""Grants for what was approved, and what the gate says to them."""

from typing import Any

from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import Json

from .conftest import (
    ADA,
    decide,
    request,
)
from .fake_brain import FakeBrain

POWER = "50" * 16
PRINTER = "b1" * 16


async def approved(brain: FakeBrain, entry: MockConfigEntry, *approvers: str) -> Json:
    """Have Ada ask for the door and the others approve; returns the event as it then is."""
    brain.eligible = list(approvers)
    event: Json = (await request(entry, "unlock", ADA))["event"]
    for user_id in approvers:
        event = await decide(entry, event, "approve", user_id)
    return event


def grant_for(brain: FakeBrain, event: Json, **changes: Any) -> Json:
    """Return a grant for an approved event, signed with whatever is changed."""
    names = ("device_id", "intent", "params", "subject", "level")
    values = {name: event[name] for name in names} | {"event_id": event["id"]}
    return brain.grant(**values | {"people": event["people"]} | changes)


async def code_of(brain: FakeBrain, grant: Json) -> str:
    """Present a grant and return the code with which it is refused."""
    code: str = (await brain.ask("ha.execute", grant))["error"]["code"]
    return code
