"""What comes in from MQTT, where a person allows it: requests to devices, by nobody, as of an automation.

Whatever is dangerous waits for people, as it would from any other automation. Nothing here approves.
"""

from collections.abc import Awaitable, Callable
import logging
from typing import Annotated, Any, Final

import msgspec

from brain_server.commands import Caller, Params, Scope
from brain_server.errors import InvalidRequest, KittyError
from brain_server.observability import counters, request_id
from brain_server.protocol import Channel, Json

_LOGGER = logging.getLogger(__name__)

CALLER: Final = Caller(
    token="mqtt",  # noqa: S106 - the name of a caller
    scope=Scope.CONTROL,
    name="MQTT",
    channel=Channel.AUTOMATION,
)

# Asks a device for something: who asks, and the parameters of ``devices.request``.
type Ask = Callable[[Caller, Json], Awaitable[Json]]


class Request(Params):
    """One command as it comes in. The same ``id`` is the same command, however often it comes."""

    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    device_id: Annotated[str, msgspec.Meta(max_length=64)]
    intent: Annotated[str, msgspec.Meta(max_length=64)]
    params: dict[str, Any] = {}


class Inbound:
    """Takes commands and answers them."""

    def __init__(self, ask: Ask) -> None:
        """Take the one road to devices."""
        self._ask = ask

    async def take(self, body: Json) -> Json:
        """Ask for what a command wants, once, and return the answer to it; never raises."""
        number = body.get("id")
        try:
            given = _checked(body)
            request_id.set(f"mqtt:{given.id}"[:64])
            found = await self._ask(
                CALLER,
                {
                    "device_id": given.device_id,
                    "intent": given.intent,
                    "params": given.params,
                    "idempotency_key": given.id,
                },
            )
        except KittyError as err:
            counters["mqtt_commands_refused"] += 1
            _LOGGER.info("A command on MQTT was refused: %s", err.code)
            return {"id": number, "ok": False, "error": {"code": err.code, "message": err.message}}
        counters["mqtt_commands"] += 1
        return {"id": number, "ok": True} | _shown(found)


def _checked(body: Json) -> Request:
    try:
        return msgspec.convert(body, Request)
    except msgspec.ValidationError as err:
        raise InvalidRequest("invalid_params", str(err), reason=str(err)) from err


def _shown(found: Json) -> Json:
    """Return what the one who asked may know: how it stands, and how many people must decide."""
    command, event = found["command"], found["event"]
    return {
        "command_id": command["id"],
        "status": command["status"],
        "detail": command["detail"],
        "people_needed": event["people_needed"] if event else 0,
        "event_id": event["id"] if event else None,
    }
