"""What the process is and how it is."""

import platform
import time

import sqlalchemy

from brain_server import __version__, metrics
from brain_server.bus import Bus
from brain_server.commands import Caller, NoParams, Scope, command
from brain_server.observability import Health
from brain_server.protocol import MIN_SCHEMA, SCHEMA, Json
from brain_server.safety.keys import Keys


class System:
    """Answers questions about the process."""

    def __init__(self, health: Health, bus: Bus, keys: Keys) -> None:
        """Take the health of the parts, the bus and the brain's identity."""
        self._health = health
        self._bus = bus
        self._keys = keys
        self._started = time.time()

    @command("system.info", Scope.READ, read_only=True)
    async def info(self, caller: Caller, _params: NoParams) -> Json:
        """Return version, protocol and identity, and what the caller's token may do."""
        return {
            "scope": caller.scope.name.lower(),
            "version": __version__,
            "schema": SCHEMA,
            "min_schema": MIN_SCHEMA,
            "instance_id": self._keys.instance_id,
            "public_key": self._keys.public_key,
            "started_at": self._started,
            "epoch": self._bus.epoch,
            "python": platform.python_version(),
            "sqlalchemy": sqlalchemy.__version__,
        }

    @command(
        "system.health",
        Scope.READ,
        read_only=True,
        tool="Tell whether every part of KITTY is well, and what is wrong where one is not.",
    )
    async def health(self, _caller: Caller, _params: NoParams) -> Json:
        """Return which parts are well."""
        return self.summary(await self._health.run())

    @command("system.times", Scope.READ, read_only=True)
    async def times(self, _caller: Caller, _params: NoParams) -> Json:
        """Return how long the checks of the parts took in the last hour, and commands since the start."""
        return {"checks": self._health.times(), "commands": metrics.command_times()}

    @staticmethod
    def summary(parts: list[Json]) -> Json:
        """Return the checks as one verdict with its parts."""
        return {
            "status": "ok" if all(part["ok"] for part in parts) else "degraded",
            "parts": {part["name"]: {"ok": part["ok"], "detail": part["detail"]} for part in parts},
        }
