"""Typed events inside the process, numbered once, kept for a while, delivered in order."""

from collections import deque
from collections.abc import Callable
import json
from typing import Final
import uuid

from brain_server.protocol import Json

KEPT: Final = 2048


class Event:
    """One numbered event and its frame, encoded once for all clients."""

    __slots__ = ("data", "event_id", "frame", "name")

    def __init__(self, event_id: int, name: str, data: Json) -> None:
        """Encode the event; a value that JSON cannot carry is a programming error and raises."""
        self.event_id = event_id
        self.name = name
        self.data = data
        self.frame = json.dumps(
            {"type": "event", "event_id": event_id, "event": name, "data": data},
            separators=(",", ":"),
            allow_nan=False,
        )


class Bus:
    """Publish to listeners of this process. A listener must not block and must not raise."""

    def __init__(self) -> None:
        """Start a new epoch: event ids count from 1 and mean nothing in another epoch."""
        self.epoch = uuid.uuid4().hex
        self.last_id = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: dict[str | None, list[Callable[[Event], None]]] = {}

    def publish(self, name: str, data: Json) -> Event:
        """Number an event, keep it, and hand it to its listeners in the order they came."""
        self.last_id += 1
        event = Event(self.last_id, name, data)
        self._kept.append(event)
        for listener in (*self._listeners.get(name, ()), *self._listeners.get(None, ())):
            listener(event)
        return event

    def listen(self, name: str | None, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` for events of this name (None: all); returns a function that ends it."""
        listeners = self._listeners.setdefault(name, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def since(self, epoch: str, after: int) -> list[Event] | None:
        """Return the events after ``after``, or None when they are of another epoch or gone."""
        if epoch != self.epoch or after > self.last_id:
            return None
        if after < self.last_id and (not self._kept or self._kept[0].event_id > after + 1):
            return None
        return [event for event in self._kept if event.event_id > after]
