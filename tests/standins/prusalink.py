"""A real PrusaLink with a simulated MK3S on its serial line, on this machine alone."""

from collections.abc import Callable
import hashlib
from http.client import HTTPConnection, HTTPException
import json
import os
from pathlib import Path
import secrets
import shutil
import signal
import subprocess
import time
from typing import Any

from tests.standins.mk3 import MK3
from tests.standins.server import free_port

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("KITTY_PRUSALINK", ROOT / ".cache/prusalink/bin/python"))
USER = "maker"
PASSWORD = "a-Password-of-10"
# Where its data is: PrusaLink takes no print files from below /tmp.
DATA = Path("/var/tmp/kitty-prusalink")

# It waits 8 s for a printer to boot that is there at once, 20 s after a power cut, and shows for 11 s how a print
# ended. And a printer that answers at once, as none of steel does, wins two of its races: a stop is lost while its
# black box is written with a lock held, and a first print breaks when its thread is faster than its name.
PROGRAM = """
import sys, time
from prusa.link.interesting_logger import InterestingLogRotator
InterestingLogRotator.trigger = staticmethod(lambda by_what: None)
from prusa.link.serial import serial_adapter
from prusa.link.printer_adapter import file_printer, prusa_link, state_manager
serial_adapter.sleep = lambda seconds: None
prusa_link.power_panic_delay = lambda config: None
state_manager.PRINT_END_TIMEOUT = float(sys.argv.pop(1))
thread = file_printer.FilePrinter._print
file_printer.FilePrinter._print = lambda self, *given: (time.sleep(0.2), thread(self, *given))
from prusa.link.__main__ import main

sys.exit(main())
"""
CONFIG = """\
[daemon]
data_dir = {folder}
[http]
address = 127.0.0.1
port = {port}
[printer]
port = {link}
[cameras]
auto_detect = False
"""
SETTINGS = """\
[printer]
type = MK3S
name = {name}
[service::connect]
hostname =
port = 0
token =
[service::local]
enable = 1
username = {user}
digest = {digest}
api_key = {key}
"""


class PrusaLink:
    """One server process and its printer; all methods block."""

    def __init__(self, *, shown_s: float = 11) -> None:
        """Write a configuration that needs no wizard and calls nobody; ``shown_s`` is how long an end shows."""
        self.shown_s = shown_s
        self.key = secrets.token_hex(8)
        self.port = free_port()
        self.folder = DATA / str(self.port)
        self.folder.mkdir(parents=True)
        self.printer = MK3(self.folder / "tty")
        digest = hashlib.md5(f"{USER}:Administrator:{PASSWORD}".encode()).hexdigest()  # noqa: S324 - HTTP Digest is that
        (self.folder / "prusalink.ini").write_text(
            CONFIG.format(folder=self.folder, port=self.port, link=self.printer.link)
        )
        (self.folder / "prusa_printer_settings.ini").write_text(
            SETTINGS.format(name="Bench", user=USER, digest=digest, key=self.key)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until the printer is at rest."""
        if self._process is None:
            self.printer.plug()
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(PYTHON, "-c", PROGRAM, str(self.shown_s)),
                    *("-f", "-i", "-c", self.folder / "prusalink.ini"),
                ],
                stdout=output,
                stderr=output,
                env=environment,
            )
        self.wait_for(lambda: self.state() == "IDLE" and self.reads(), "the printer is ready", 150)

    def kill(self) -> None:
        """End the process without a warning, as a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.printer.unplug()

    def remove(self) -> None:
        """End everything and leave nothing behind."""
        self.kill()
        shutil.rmtree(self.folder)

    def rest(self) -> None:
        """End what is printing and mend what is broken, so that the next test starts afresh."""
        if self.state() in {"ERROR", "ATTENTION"}:
            self.printer.reset()
        self.wait_for(self._rested, "the printer is at rest", 150)

    def _rested(self) -> bool:
        job = self.call("GET", "/api/v1/status").get("job")
        if job is not None and self.state() in {"PRINTING", "PAUSED"}:
            self.call("DELETE", f"/api/v1/job/{job['id']}")
            time.sleep(0.5)
        return self.state() == "IDLE"

    def state(self) -> str | None:
        """Return what PrusaLink calls the printer's state."""
        found = self.call("GET", "/api/v1/status").get("printer", {}).get("state")
        return None if found is None else str(found)

    def reads(self) -> bool:
        """Tell whether the temperatures are known."""
        return "temp_nozzle" in self.call("GET", "/api/v1/status").get("printer", {})

    def new_key(self) -> None:
        """Have another key from now on, and the old one no more."""
        self.key = str(self.call("POST", "/api/settings/apikey", {})["api-key"])

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make one call; an answer that is not JSON, or none, is empty."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-Api-Key": self.key, "Content-Type": "application/json"}
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers | {"Accept": "application/json"})
            found = json.loads(connection.getresponse().read())
        except OSError, HTTPException, ValueError:
            return {}
        finally:
            connection.close()
        return found if isinstance(found, dict) else {}

    def wait_for(self, true: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until something is true; says what it was when it never is."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                log = (self.folder / "output.log").read_text()[-2000:]
                raise TimeoutError(f"Not within {seconds:g} s: {what}\n{log}")
            time.sleep(0.1)


def print_file(*, seconds: float, warm_up: bool = False) -> bytes:
    """Return G-code that keeps the printer busy for about so long."""
    heat = ["M104 S200", "M109 S200"] if warm_up else []
    moves = [f"G1 X{step % 100} F6000\nG4 P50" for step in range(round(seconds / 0.06))]
    return "\n".join([*heat, *moves, "M104 S0", ""]).encode()
