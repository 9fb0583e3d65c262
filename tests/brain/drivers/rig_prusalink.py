"""A real PrusaLink, and a simulated MK3S on its serial line, to try the driver on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

import pytest

from brain_server.drivers.prusalink import PrusaLink as PrusaLinkDriver
from brain_server.protocol import Json
from tests.brain.drivers.rigs import Rig
from tests.standins import prusalink
from tests.standins.proxy import Proxy


class PrusaLinkRig(Rig):
    """PrusaLink 0.8 behind a proxy; for five seconds it shows how a print ended, not for eleven."""

    name = "prusalink"
    driver = PrusaLinkDriver
    features = frozenset({"fault", "network", "http", "key", "restart", "memory", "files"})
    marks = (
        pytest.mark.prusalink,
        pytest.mark.service,
        pytest.mark.slow,
        pytest.mark.timeout(300),
    )
    server = "prusalink_server"
    heads: ClassVar[dict[str, bytes]] = {
        "print_start": b"POST /api/v1/files/local/",
        "print_pause": b"PUT /api/v1/job/",
    }

    def __init__(self, server: prusalink.PrusaLink, proxy: Proxy) -> None:
        """Use this server through this proxy."""
        self.prusalink = server
        self.proxy = proxy

    @classmethod
    @asynccontextmanager
    async def open(cls, server: prusalink.PrusaLink) -> AsyncIterator[Self]:
        """Bring the printer to rest and give it."""
        await asyncio.to_thread(server.rest)
        async with Proxy.to(server.port) as proxy:
            yield cls(server, proxy)

    @property
    def options(self) -> Json:
        """Return the address of the proxy and the key."""
        return {"url": self.proxy.url, "api_key": self.prusalink.key}

    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return G-code."""
        return prusalink.print_file(seconds=seconds, warm_up=warm_up)

    async def fault(self) -> str:
        """Have the firmware report a thermistor that reads too much."""
        self.prusalink.printer.overheat()
        return "hardware issue"

    async def kill(self) -> None:
        """Kill the server, and with it the line to the printer."""
        await asyncio.to_thread(self.prusalink.kill)

    async def start(self) -> None:
        """Start the server again."""
        await asyncio.to_thread(self.prusalink.start)

    async def guest(self) -> Json:
        """Return the options with the key that there is now; PrusaLink has one at a time."""
        return self.options

    async def revoke(self) -> None:
        """Have PrusaLink make another key."""
        await asyncio.to_thread(self.prusalink.new_key)
