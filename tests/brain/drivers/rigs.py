"""Printers to try drivers on: each rig says what its printer can be put through."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, Self
from uuid import uuid4

import pytest

from brain_server.drivers import Driver
from brain_server.drivers.demo import Demo
from brain_server.drivers.octoprint import OctoPrint as OctoPrintDriver
from brain_server.protocol import Json
from tests.standins import octoprint
from tests.standins.proxy import Proxy

# Larger than what the servers themselves write, smaller than what does not fit any more.
FULL: Final = 2 * 1024 * 1024


class Rig(ABC):
    """A printer that a test may do everything to."""

    name: ClassVar[str]
    driver: type[Driver]
    # fault: can be broken; network: is behind a proxy; key: wants one; restart: can be killed; memory: knows
    # a run again; http: is asked over it; full: can be without room; skew: its clock can be set wrong;
    # files: it tells size and time of those that it has.
    features: ClassVar[frozenset[str]]
    marks: ClassVar[tuple[pytest.MarkDecorator, ...]] = ()
    # The session fixture of the server that the rig uses, if it uses one.
    server: ClassVar[str | None] = None
    # How the requests begin that carry these orders.
    heads: ClassVar[dict[str, bytes]] = {}
    # The options that are the key and the address, and what is no address.
    key_option: ClassVar[str] = "api_key"
    address_option: ClassVar[str] = "url"
    bad_addresses: ClassVar[tuple[str, ...]] = ("octopi", "ftp://octopi", "http://")
    proxy: Proxy

    @classmethod
    @abstractmethod
    def open(cls, server: Any) -> Any:
        """Return a context manager that gives a rig with the printer at rest."""

    @property
    @abstractmethod
    def options(self) -> Json:
        """Return the options with which the driver reaches the printer."""

    @abstractmethod
    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return a file that prints for about so long."""

    async def fault(self) -> str:
        """Break the printer; returns words that its error then contains."""
        raise NotImplementedError

    async def kill(self) -> None:
        """End the printer's server as a power cut does."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start the printer's server again."""
        raise NotImplementedError

    async def fill(self) -> None:
        """Leave the server with room for nothing large."""
        raise NotImplementedError

    async def empty(self) -> None:
        """Give it room again."""
        raise NotImplementedError

    async def skew(self, seconds: float) -> None:
        """Start the server anew with its clock so much ahead, or behind."""
        raise NotImplementedError

    async def guest(self) -> Json:
        """Return options with a key of its own."""
        raise NotImplementedError

    async def revoke(self) -> None:
        """Take the guest's key away."""
        raise NotImplementedError


class DemoRig(Rig):
    """The simulation, twenty times faster than life."""

    name = "demo"
    driver = Demo
    features = frozenset({"fault"})

    @classmethod
    @asynccontextmanager
    async def open(cls, server: Any) -> AsyncIterator[Self]:
        """Give the simulation."""
        del server
        yield cls()

    @property
    def options(self) -> Json:
        """Return the options of a fast printer."""
        return {"kind": "printer", "name": "Demo", "speed": 20.0}

    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return as many bytes as print for so long; this printer always warms up first."""
        del warm_up
        return b"G1 X1 Y1\n" * round(seconds * 20 * 100 / 9)


class OctoPrintRig(Rig):
    """A real OctoPrint with its virtual printer, behind a proxy."""

    name = "octoprint"
    driver = OctoPrintDriver
    features = frozenset(
        {"fault", "network", "key", "restart", "memory", "http", "full", "skew", "files"}
    )
    marks = (
        pytest.mark.octoprint,
        pytest.mark.service,
        pytest.mark.slow,
        pytest.mark.timeout(300),
    )
    server = "octoprint_server"
    heads: ClassVar[dict[str, bytes]] = {
        "print_start": b"POST /api/files/local/",
        "print_pause": b"POST /api/job",
    }

    def __init__(self, server: octoprint.OctoPrint, proxy: Proxy) -> None:
        """Use this server through this proxy."""
        self.octoprint = server
        self.proxy = proxy
        self._guest = f"guest{uuid4().hex[:8]}"

    @classmethod
    @asynccontextmanager
    async def open(cls, server: octoprint.OctoPrint) -> AsyncIterator[Self]:
        """Bring the printer to rest and give it."""
        await asyncio.to_thread(server.rest)
        async with Proxy.to(server.port) as proxy:
            yield cls(server, proxy)

    @property
    def options(self) -> Json:
        """Return the address of the proxy and the key."""
        return {"url": self.proxy.url, "api_key": self.octoprint.key}

    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return G-code."""
        return octoprint.print_file(seconds=seconds, warm_up=warm_up)

    async def fault(self) -> str:
        """Have the firmware report a thermal runaway."""
        await asyncio.to_thread(self.octoprint.command, "!!DEBUG:trigger_fatal_error_marlin")
        return "Thermal Runaway"

    async def kill(self) -> None:
        """Kill the server."""
        await asyncio.to_thread(self.octoprint.kill)

    async def start(self) -> None:
        """Start the server again."""
        await asyncio.to_thread(self.octoprint.start)

    async def fill(self) -> None:
        """Let no file grow."""
        self.octoprint.fill(FULL)

    async def empty(self) -> None:
        """Let files grow again."""
        self.octoprint.fill(None)

    async def skew(self, seconds: float) -> None:
        """Start it anew with another clock."""
        await self.kill()
        self.octoprint.skew_s = seconds
        await self.start()

    async def guest(self) -> Json:
        """Return the options of a user who was just made."""
        key = await asyncio.to_thread(self.octoprint.new_key, self._guest)
        return self.options | {"api_key": key}

    async def revoke(self) -> None:
        """Delete that user's key."""
        await asyncio.to_thread(self.octoprint.revoke_key, self._guest)
