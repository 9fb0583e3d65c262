"""Heaters and the count of a print, as klippy keeps them; parts of the simulated Klipper."""

import asyncio
from typing import Any

DEGREES_PER_S = 30.0
ROOM = 25.0


class Heater:
    """A heater that nears its target by so many degrees a second, and loses them more slowly."""

    def __init__(self, speed: float) -> None:
        """Begin cold."""
        self.speed = speed
        self.target = 0.0
        self.broken = False
        self._heat = ROOM
        self._at = asyncio.get_running_loop().time()

    @property
    def heat(self) -> float:
        """Return how warm it is now."""
        now = asyncio.get_running_loop().time()
        step, self._at = (now - self._at) * DEGREES_PER_S * self.speed, now
        if self.target > self._heat and not self.broken:
            self._heat = min(self.target, self._heat + step)
        else:
            self._heat = max(self.target, ROOM, self._heat - step / 10)
        return self._heat

    def cool(self) -> None:
        """Be cold at once, and stay so."""
        self.target, self._heat = 0.0, ROOM

    @property
    def ready(self) -> bool:
        """Tell whether what waits for it may go on."""
        return self.heat >= self.target - 1.0

    def status(self) -> dict[str, Any]:
        """Return what subscribers are told."""
        return {"temperature": round(self.heat, 2), "target": self.target, "power": 0.0}


class Stats:
    """``print_stats``: how a print is going, counted as the real one counts."""

    def __init__(self) -> None:
        """Begin with no print."""
        self.reset()

    def reset(self, filename: str = "") -> None:
        """Forget the last print."""
        self.filename, self.state, self.message = filename, "standby", ""
        self.filament = self.total = self._heating = self._paused = 0.0
        self._started: float | None = None
        self._paused_at: float | None = None
        self.layers: int | None = None
        self.layer: int | None = None

    def start(self) -> None:
        """Print, from the beginning or on."""
        now = asyncio.get_running_loop().time()
        if self._started is None:
            self._started = now
        elif self._paused_at is not None:
            self._paused += now - self._paused_at
            self._paused_at = None
        self.state, self.message = "printing", ""

    def pause(self) -> None:
        """Rest."""
        if self._paused_at is None:
            self._paused_at = asyncio.get_running_loop().time()
        if self.state != "error":
            self.state = "paused"

    def finish(self, state: str, message: str = "") -> None:
        """End: complete, cancelled or error."""
        if self._started is None:
            return
        self.status()
        self.state, self.message, self._started, self._paused_at = state, message, None, None

    def status(self) -> dict[str, Any]:
        """Return what subscribers are told."""
        now, resting = asyncio.get_running_loop().time(), self._paused
        if self._started is not None:
            if self._paused_at is not None:
                resting += now - self._paused_at
            self.total = now - self._started
            if not self.filament:
                self._heating = self.total - resting
        return {
            "filename": self.filename,
            "total_duration": self.total,
            "print_duration": max(self.total - self._heating - resting, 0.0),
            "filament_used": self.filament,
            "state": self.state,
            "message": self.message,
            "info": {"total_layer": self.layers, "current_layer": self.layer},
        }
