"""A real Moonraker to try its driver on, with a simulated Klipper behind it, behind a proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

import pytest

from brain_server.drivers.moonraker import Moonraker as MoonrakerDriver
from brain_server.protocol import Json
from tests.brain.drivers.rigs import FULL, Rig
from tests.standins import moonraker
from tests.standins.proxy import Proxy


class MoonrakerRig(Rig):
    """A real Moonraker; its printer is simulated, several times faster than life."""

    name = "moonraker"
    driver = MoonrakerDriver
    features = frozenset(
        {"fault", "network", "key", "restart", "memory", "http", "full", "skew", "files"}
    )
    marks = (pytest.mark.moonraker, pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300))
    server = "moonraker_server"
    heads: ClassVar[dict[str, bytes]] = {
        "print_start": b"POST /printer/print/start",
        "print_pause": b"POST /printer/print/pause",
    }

    def __init__(self, server: moonraker.Moonraker, proxy: Proxy) -> None:
        """Use this server through this proxy."""
        self.moonraker = server
        self.proxy = proxy

    @classmethod
    @asynccontextmanager
    async def open(cls, server: moonraker.Moonraker) -> AsyncIterator[Self]:
        """Bring the printer to rest and give it."""
        await asyncio.to_thread(server.rest)
        async with Proxy.to(server.port) as proxy:
            yield cls(server, proxy)

    @property
    def options(self) -> Json:
        """Return the address of the proxy and the key."""
        return {"url": self.proxy.url, "api_key": self.moonraker.key}

    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return G-code."""
        return moonraker.print_file(seconds=seconds, warm_up=warm_up, speed=self.moonraker.speed)

    async def fault(self) -> str:
        """Have the printer's controller stop."""
        words = "MCU 'mcu' shutdown: Stepper too far in past"
        await asyncio.to_thread(self.moonraker.break_printer, "shutdown", words)
        return "Stepper too far in past"

    async def kill(self) -> None:
        """Kill Moonraker and Klipper."""
        await asyncio.to_thread(self.moonraker.kill)

    async def start(self) -> None:
        """Start both again."""
        await asyncio.to_thread(self.moonraker.start)

    async def fill(self) -> None:
        """Let no file grow."""
        self.moonraker.fill(FULL)

    async def empty(self) -> None:
        """Let files grow again."""
        self.moonraker.fill(None)

    async def skew(self, seconds: float) -> None:
        """Start Moonraker anew with another clock."""
        await asyncio.to_thread(self.moonraker.kill_server)
        self.moonraker.skew_s = seconds
        await asyncio.to_thread(self.moonraker.start)

    async def guest(self) -> Json:
        """Return the options with the one key that Moonraker has."""
        return self.options

    async def revoke(self) -> None:
        """Replace that key."""
        await asyncio.to_thread(self.moonraker.new_key)
