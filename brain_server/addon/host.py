"""The brain in its app: asks the Supervisor for a broker, announces itself, and shows its page."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
import json
from pathlib import Path
import socket
from typing import Final

from aiohttp import web

from brain_server.addon.lines import Lines
from brain_server.addon.pages import SUPERVISOR, Known, Pages
from brain_server.addon.supervisor import Supervisor
from brain_server.observability import Health, Tasks
from brain_server.protocol import SCHEMA, Json
from brain_server.safety.keys import Keys
from brain_server.settings import Settings

# The option of the app that says whether the house's broker is used.
MQTT: Final = "mqtt"
FIRST_PAUSE: Final = 2.0
MOST_PAUSE: Final = 300.0


class Host:
    """Stands between one brain and the Supervisor. Built before the brain, which calls the rest."""

    def __init__(
        self,
        supervisor: Supervisor,
        lines: Lines,
        *,
        peer: str = SUPERVISOR,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """Take whom to ask, and the log; ``peer`` is the address that the page is shown to."""
        self._supervisor = supervisor
        self._lines = lines
        self._peer = peer
        self._first_pause = first_pause
        self._announced = False
        self._wanted = asyncio.Event()
        self._no_broker = False

    async def prepare(self, settings: Settings, options: Path) -> Settings:
        """Return the settings with the house's broker, where a person wants it and named none."""
        wanted = await asyncio.to_thread(_wants_broker, options)
        if not wanted or settings.mqtt_url:
            return settings
        found = await self._supervisor.broker()
        self._no_broker = found is None
        return settings if found is None else replace(settings, mqtt_url=found)

    def join(
        self,
        router: web.UrlDispatcher,
        keys: Keys,
        *,
        health: Callable[[], Awaitable[Json]],
        is_connected: Callable[[], bool],
        is_paired: Callable[[], Awaitable[bool]],
        unpair: Callable[[], Awaitable[None]],
    ) -> None:
        """Show the page among the brain's routes."""
        known = Known(
            instance_id=keys.instance_id,
            public_key=keys.public_key,
            health=health,
            is_paired=is_paired,
            is_connected=is_connected,
            is_announced=lambda: self._announced,
            announce=self._wanted.set,
            unpair=unpair,
        )
        Pages(known, self._lines, self._peer).add_routes(router)

    def begin(self, keys: Keys, port: int, token: str, tasks: Tasks, health: Health) -> None:
        """Announce the brain that listens on a port: until the Supervisor has heard, and when asked to again."""
        config: Json = {
            "host": socket.gethostname(),
            "port": port,
            "token": token,
            "instance_id": keys.instance_id,
            "public_key": keys.public_key,
            "schema": SCHEMA,
        }
        health.add("supervisor", self._check)
        tasks.keep_up("announce", lambda: self._announce(config))

    async def _announce(self, config: Json) -> None:
        pause = self._first_pause
        while True:
            self._wanted.clear()
            self._announced = await self._supervisor.announce(config)
            pause = self._first_pause if self._announced else min(pause * 2, MOST_PAUSE)
            try:
                async with asyncio.timeout(None if self._announced else pause):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _check(self) -> str | None:
        if not self._announced:
            return "The Supervisor did not take the announcement; it is tried again"
        if self._no_broker:
            return "MQTT is switched on, but the house has no broker: install the Mosquitto app and restart this one"
        return None


def _wants_broker(options: Path) -> bool:
    """Tell whether the option is on; blocks. That the file can be read was seen when the settings were."""
    return options.is_file() and json.loads(options.read_text("utf-8")).get(MQTT) is True
