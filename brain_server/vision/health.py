"""Whether a camera sees anything, judged without a model: pure functions on a small grey picture.

Everything here is arithmetic on :data:`WIDTH` by :data:`HEIGHT` bytes; :mod:`.pictures` makes them.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from brain_server.protocol import Json

WIDTH: Final = 64
HEIGHT: Final = 48

# Black where even the bright parts are dark; white where even the dark parts are bright.
DARK_MEAN: Final = 22.0
DARK_BRIGHT: Final = 48
WHITE_MEAN: Final = 235.0
WHITE_DARK: Final = 205
# Something lies on the lens: hardly anything to tell apart, by itself or against what was there before.
FLAT: Final = 4.0
LOST_EDGES: Final = 0.4
HISTORY: Final = 30
ENOUGH_HISTORY: Final = 5
# A clock is written along the top or the bottom; what changes there proves nothing.
STRIP: Final = HEIGHT // 8
# Points differ by more than this, and so many of them, where anything but noise has changed.
NOISE: Final = 10
MOVED: Final = 3
# So long, and so many pictures, without any change while the printer certainly moves.
FROZEN_S: Final = 60.0
FROZEN_LOOKS: Final = 4
# So many looks in a row agree before the health changes: to the worse, and back.
WORSE: Final = 3
BETTER: Final = 2


class State(StrEnum):
    """What a camera is worth."""

    OK = "ok"
    FROZEN = "frozen"
    DARK = "dark"
    OBSTRUCTED = "obstructed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A judgement and, where there is more to say, a stable word for why."""

    state: State
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Figures of a grey picture; ``dark`` and ``bright`` are its 5th and 95th percentile.

    ``edges`` tells how sharp it is, whatever the light.
    """

    mean: float
    deviation: float
    edges: float
    dark: int
    bright: int


def measured(grey: bytes) -> Measures:
    """Return the figures of a small grey picture."""
    ordered = sorted(grey)
    mean = sum(grey) / len(grey)
    deviation = (sum((point - mean) ** 2 for point in grey) / len(grey)) ** 0.5
    rows = [grey[start : start + WIDTH] for start in range(0, len(grey), WIDTH)]
    across = sum((one - other) ** 2 for row in rows for one, other in pairwise(row))
    down = sum((one - other) ** 2 for one, other in zip(grey, grey[WIDTH:], strict=False))
    return Measures(
        mean=mean,
        deviation=deviation,
        edges=((across + down) / len(grey)) ** 0.5 / max(mean, 1.0),
        dark=ordered[len(ordered) // 20],
        bright=ordered[-len(ordered) // 20],
    )


def sees(seen: Measures, usual_edges: float | None = None) -> Health:
    """Judge one picture, against the edges that this camera usually sees when these are known."""
    if seen.mean < DARK_MEAN and seen.bright < DARK_BRIGHT:
        return Health(state=State.DARK, reason="dark")
    if seen.mean > WHITE_MEAN and seen.dark > WHITE_DARK:
        return Health(state=State.OBSTRUCTED, reason="overexposed")
    if seen.deviation < FLAT:
        return Health(state=State.OBSTRUCTED, reason="nothing_to_see")
    if usual_edges is not None and seen.edges < usual_edges * LOST_EDGES:
        return Health(state=State.OBSTRUCTED, reason="blurred")
    return Health(state=State.OK)


def changed(one: bytes, other: bytes) -> bool:
    """Tell whether two small pictures show anything different, clocks and noise left out."""
    inside = slice(STRIP * WIDTH, (HEIGHT - STRIP) * WIDTH)
    differing = sum(abs(a - b) > NOISE for a, b in zip(one[inside], other[inside], strict=True))
    return differing > MOVED


def has_moved(before: Json, after: Json) -> bool:
    """Tell whether a printer that showed these certainly moved in between: time alone proves nothing."""
    if before.get("status") != "printing" or after.get("status") != "printing":
        return False
    then, now = before.get("job") or {}, after.get("job") or {}
    if then.get("started_at") != now.get("started_at"):
        return False
    return any(
        isinstance(now.get(name), int | float)
        and isinstance(then.get(name), int | float)
        and now[name] > then[name]
        for name in ("progress", "layer", "filament_mm")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A picture, small and grey, and what the printer before the camera showed."""

    at: float
    grey: bytes
    printer: Json


@dataclass(slots=True)
class Eye:
    """What is remembered of one camera, and its health as it is told: it changes only when looks agree."""

    health: Health = field(default_factory=lambda: Health(state=State.UNKNOWN))
    # What the last look alone says.
    now: Health = field(default_factory=lambda: Health(state=State.UNKNOWN))
    _same: deque[_Look] = field(default_factory=deque)
    _edges: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    _next: Health | None = None
    _agreeing: int = 0

    def look(self, at: float, grey: bytes, printer: Json) -> Health:
        """Take a picture, and what the printer before the camera showed then; returns the health."""
        from statistics import median  # noqa: PLC0415 - 0.3 MB that only a camera that watches needs

        seen = measured(grey)
        now = sees(seen, median(self._edges) if len(self._edges) >= ENOUGH_HISTORY else None)
        if now.state is not State.OK:
            self._same.clear()
        elif self._is_frozen(_Look(at=at, grey=grey, printer=printer)):
            # The evidence is in the looks before: it need not come again.
            self._next, self._agreeing = None, 0
            self.now = self.health = Health(state=State.FROZEN, reason="no_change")
            return self.health
        else:
            self._edges.append(seen.edges)
        return self._agreed(now)

    def failed(self, code: str) -> Health:
        """Take note that there was no picture, and why."""
        self._same.clear()
        return self._agreed(Health(state=State.UNREACHABLE, reason=code))

    def _is_frozen(self, look: _Look) -> bool:
        if self._same and changed(self._same[0].grey, look.grey):
            self._same.clear()
        self._same.append(look)
        if len(self._same) > HISTORY:
            del self._same[1]  # the first tells since when
        first = self._same[0]
        return (
            len(self._same) >= FROZEN_LOOKS
            and look.at - first.at >= FROZEN_S
            and _moved_throughout(self._same)
        )

    def _agreed(self, now: Health) -> Health:
        self.now = now
        if now == self.health:
            self._next, self._agreeing = None, 0
            return self.health
        self._agreeing = self._agreeing + 1 if now == self._next else 1
        self._next = now
        known = self.health.state is not State.UNKNOWN
        needed = (BETTER if now.state is State.OK else WORSE) if known else 1
        if self._agreeing >= needed:
            self.health, self._next, self._agreeing = now, None, 0
        return self.health


def _moved_throughout(looks: Sequence[_Look]) -> bool:
    """Tell whether the printer moved between the first and the last look and never rested in between."""
    return has_moved(looks[0].printer, looks[-1].printer) and all(
        look.printer.get("status") == "printing" for look in looks
    )
