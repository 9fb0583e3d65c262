"""The Bambu printer that does not exist, as a rig."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self, override

import pytest

from brain_server.drivers.bambu import Bambu as BambuDriver
from brain_server.protocol import Json
from tests.brain.drivers.rigs import Rig
from tests.standins import bambu
from tests.standins.proxy import Proxy


class Road(Proxy):
    """A road inside TLS: what goes over it is asked of the printer at its end."""

    printer: bambu.Bambu

    @override
    def count(self, head: bytes) -> int:
        """Return how many orders of this name arrived."""
        return list(self.printer.tell("commands")).count(head.decode())

    @property
    def swallow(self) -> bytes | None:
        """Return the name of the order of which no answer comes back."""
        return None

    @swallow.setter
    def swallow(self, head: bytes | None) -> None:
        if head is not None:
            self.printer.tell("swallow", command=head.decode())


def driver_of(printer: bambu.Bambu, mqtt_port: int | None = None) -> type[BambuDriver]:
    """Return the driver for a printer that has other ports than the real ones."""

    class Here(BambuDriver):
        """The driver, with the ports of the printer that does not exist."""

    Here.mqtt_port = mqtt_port or printer.mqtt_port
    Here.__module__ = BambuDriver.__module__
    Here.ftp_port, Here.camera_port = printer.ftp_port, printer.camera_port
    return Here


class BambuRig(Rig):
    """A simulated Bambu printer on a real broker, behind a proxy."""

    name = "bambu"
    driver = BambuDriver
    features = frozenset({"fault", "network", "key", "restart", "memory", "full"})
    marks = (pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300))
    server = "bambu_printer"
    key_option = "access_code"
    address_option = "host"
    bad_addresses = ("http://bambu", "two words", "bambu/")
    heads: ClassVar[dict[str, bytes]] = {"print_start": b"gcode_file", "print_pause": b"pause"}

    def __init__(self, server: bambu.Bambu, proxy: Road) -> None:
        """Use this printer through this proxy."""
        self.bambu = server
        self.proxy = proxy
        self.driver = driver_of(server, proxy.port)

    @classmethod
    @asynccontextmanager
    async def open(cls, server: bambu.Bambu) -> AsyncIterator[Self]:
        """Bring the printer to rest and give it."""
        await asyncio.to_thread(server.rest)
        Road.printer = server
        async with Road.to(server.mqtt_port) as proxy:
            yield cls(server, proxy)

    @property
    def options(self) -> Json:
        """Return what a person fills in."""
        return self.bambu.options

    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return G-code that says how long it takes."""
        return f"; seconds={seconds} warm_up={warm_up:d}\nG1 X1\n".encode()

    async def fault(self) -> str:
        """Have the nozzle's heater break."""
        notice = {"attr": 0x03000200, "code": 0x00010001}
        await asyncio.to_thread(self.bambu.tell, "fail", error=0x03008003, hms=[notice])
        return "0300-0200-0001-0001"

    async def kill(self) -> None:
        """Switch the printer off."""
        await asyncio.to_thread(self.bambu.kill)

    async def start(self) -> None:
        """Switch the printer on."""
        await asyncio.to_thread(self.bambu.start)

    async def fill(self) -> None:
        """Let no file grow."""
        await asyncio.to_thread(self.bambu.tell, "full", full=True)

    async def empty(self) -> None:
        """Let files grow again."""
        await asyncio.to_thread(self.bambu.tell, "full", full=False)

    async def guest(self) -> Json:
        """Return the only options that there are."""
        return self.options

    async def revoke(self) -> None:
        """Have the printer make itself another access code."""
        await asyncio.to_thread(self.bambu.change_code, "87654321")
