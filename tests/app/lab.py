"""The network of the apps: a bridge with the addresses that every house has, and who stands at them.

This machine is Home Assistant, at the gateway. The Supervisor, our app and a neighbour each have a network
namespace of their own.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
from http.client import HTTPConnection
import os
from pathlib import Path
import socket
import subprocess
from typing import Final

GATEWAY: Final = "172.30.32.1"
SUPERVISOR: Final = "172.30.32.2"
APP: Final = "172.30.33.5"
NEIGHBOUR: Final = "172.30.33.9"
BRIDGE: Final = "kitty-hassio"
PLACES: Final = {"kitty-sup": SUPERVISOR, "kitty-app": APP, "kitty-evil": NEIGHBOUR}
NAMESPACES: Final = {address: Path("/run/netns") / name for name, address in PLACES.items()}
LOCK: Final = Path(__file__).parents[2] / ".cache/app/network.lock"


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def network() -> Iterator[None]:
    """Have the network for the time of a block; one at a time on a machine."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _take_down()
        try:
            _put_up()
            yield
        finally:
            _take_down()


def _put_up() -> None:
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("address", "add", f"{GATEWAY}/23", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    for number, (name, address) in enumerate(PLACES.items()):
        ip("netns", "add", name)
        ip("link", "add", f"kitty-v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"kitty-v{number}", "master", BRIDGE, "up")
        ip("-n", name, "address", "add", f"{address}/23", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "route", "add", "default", "via", GATEWAY)


def _take_down() -> None:
    # First, and one by one: what an ended run left in a place would keep its line.
    for number in range(len(PLACES)):
        if (Path("/sys/class/net") / f"kitty-v{number}").exists():
            ip("link", "delete", f"kitty-v{number}")
    for name in PLACES:
        if (Path("/run/netns") / name).exists():
            ip("netns", "delete", name)
    if (Path("/sys/class/net") / BRIDGE).exists():
        ip("link", "delete", BRIDGE)


@contextmanager
def standing_at(address: str) -> Iterator[None]:
    """Open sockets as whoever has this address; for a thread of its own."""
    if address == GATEWAY:
        yield
        return
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(NAMESPACES[address], os.O_RDONLY)
    try:
        os.setns(there, os.CLONE_NEWNET)
        yield
    finally:
        os.setns(here, os.CLONE_NEWNET)
        os.close(here)
        os.close(there)


def listening(address: str, port: int) -> socket.socket:
    """Return a socket that waits for calls at an address."""

    def bind() -> socket.socket:
        with standing_at(address):
            found = socket.create_server((address, port))
            found.setblocking(False)
            return found

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(bind).result()


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody got from a web server."""

    status: int
    headers: dict[str, str]
    text: str


def ask(
    who: str,
    path: str,
    *,
    method: str = "GET",
    body: str | None = None,
    port: int = 8100,
    **headers: str,
) -> Answer:
    """Ask our app for something as whoever has an address; a header's dashes are underscores."""

    def request() -> Answer:
        with standing_at(who):
            connection = HTTPConnection(APP, port, timeout=10)
            connection.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        found = Answer(response.status, dict(response.headers), response.read().decode())
        connection.close()
        return found

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(request).result()
