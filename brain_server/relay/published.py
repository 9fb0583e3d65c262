"""What people and programs publish themselves: shipments, routes, the weather on the way."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from brain_server.bus import Bus
from brain_server.commands import Caller, Params, Scope, command
from brain_server.errors import InvalidRequest
from brain_server.outbox import MOST_BYTES, tell
from brain_server.protocol import Json
from brain_server.storage import Database

PUBLISHED: Final = "events.published"

type Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
type Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
type Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Shipment(msgspec.Struct):
    """What is to be packed and sent."""

    id: Text
    origin: Text
    destination: Text
    items: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=1000)]
    priority: Annotated[int, msgspec.Meta(ge=1, le=10)]
    deadline: Moment


class Packing(msgspec.Struct):
    """How it is packed."""

    id: Text
    placements: list[dict[str, Any]]
    use: Share
    risk: Share
    bins: Annotated[int, msgspec.Meta(ge=0)]


class Route(msgspec.Struct):
    """What delays it on its way; ``weather`` goes from 1, good, to 5, bad."""

    shipment_id: Text
    weather: Annotated[int, msgspec.Meta(ge=1, le=5)]
    traffic: Literal["low", "medium", "high", "severe"]
    minutes: Annotated[float, msgspec.Meta(ge=0)]


class Weather(msgspec.Struct):
    """What to be warned of before loading, and until when."""

    type: Literal["rain", "snow", "wind", "fog", "storm"]
    severity: Annotated[int, msgspec.Meta(ge=1, le=5)]
    valid_until: Moment


class Damage(msgspec.Struct):
    """How likely something breaks on its way."""

    shipment_id: Text
    probability: Share


# A form says what must be there; what is there besides stays.
FORMS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "shipment.requests": Shipment,
    "packing.results": Packing,
    "route.updates": Route,
    "weather.alerts": Weather,
    "damage.predictions": Damage,
}


class Publish(Params):
    """One event; those of one ``key``, such as a shipment, arrive in their order."""

    topic: Literal[
        "shipment.requests",
        "packing.results",
        "route.updates",
        "weather.alerts",
        "damage.predictions",
    ]
    key: Annotated[str, msgspec.Meta(pattern="^[!-~]{1,160}$")]
    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    data: dict[str, Any]
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class Events:
    """Takes events that are published."""

    def __init__(self, database: Database, bus: Bus, clock: Callable[[], float]) -> None:
        """Take the database of the outbox."""
        self._db = database
        self._bus = bus
        self._clock = clock

    @command("events.publish", Scope.CONTROL)
    async def publish(self, caller: Caller, params: Publish) -> Json:
        """Tell others of something, once: Home Assistant, MQTT and the broker, as far as they are set up."""
        if len(msgspec.json.encode(params.data)) > MOST_BYTES:
            raise InvalidRequest(
                "event_too_large", "The event has more than 60 KiB", most=MOST_BYTES
            )
        now = self._clock()
        self._check(params, now)
        key = params.idempotency_key
        who = caller.user_id or caller.token
        identity = await self._db.write(
            lambda connection: tell(
                connection,
                now,
                params.topic,
                params.key,
                params.name,
                params.data,
                source=f"published:{who}:{key}"[:160] if key else None,
            )
        )
        self._bus.publish(PUBLISHED, {"id": identity})
        return {"id": identity}

    @staticmethod
    def _check(params: Publish, now: float) -> None:
        """Raise InvalidRequest ``invalid_params`` where the form of the topic is not kept, or it is over."""
        try:
            found = msgspec.convert(params.data, FORMS[params.topic])
        except msgspec.ValidationError as err:
            raise InvalidRequest("invalid_params", str(err), reason=str(err)) from err
        if isinstance(found, Weather) and found.valid_until.timestamp() <= now:
            message = "$.valid_until is over"
            raise InvalidRequest("invalid_params", message, reason=message)
