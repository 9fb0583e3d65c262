"""A real OctoPrint with its own virtual printer, on this machine alone."""

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
import json
import os
from pathlib import Path
import resource
import secrets
import signal
import subprocess
import time
from typing import Any

from tests.standins.server import free_port

ROOT = Path(__file__).parents[2]
SKEW = Path(__file__).parent / "skew"
PROGRAM = Path(os.environ.get("KITTY_OCTOPRINT", ROOT / ".cache/octoprint/bin/octoprint"))

CONFIG = """\
server:
  firstRun: false
  onlineCheck: {enabled: false}
  pluginBlacklist: {enabled: false}
  pythonEolCheck: {enabled: false}
plugins:
  virtual_printer:
    enabled: true
    simulated_errors: []
    # Close to what the prints ask for, so that heating takes a second or two.
    ambientTemperature: 190.0
  _disabled: [announcements, softwareupdate, tracking, errortracking, discovery, pluginmanager,
    achievements, health_check, backup]
serial: {port: VIRTUAL, autoconnect: true}
"""
USERS = """\
_version: 2
kitty:
  active: true
  apikey: %s
  groups: [admins, users]
  password: "!"
  permissions: []
  settings: {}
"""


class OctoPrint:
    """One server process; all its methods block."""

    def __init__(self, folder: Path) -> None:
        """Write a configuration that needs no wizard and calls nobody."""
        self.folder = folder
        self.key = secrets.token_hex(16).upper()
        # How much its clock is ahead.
        self.skew_s = 0.0
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "users.yaml").write_text(USERS % self.key)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the printer is connected."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        if self.skew_s:
            environment |= {"PYTHONPATH": str(SKEW), "KITTY_SKEW_S": str(self.skew_s)}
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    *("--basedir", self.folder, "serve", "--iknowwhatimdoing"),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                ],
                stdout=output,
                stderr=output,
                env=environment,
            )
        self.wait_for(lambda: self.state() == "Operational", "the printer is connected", 150)

    def kill(self) -> None:
        """End the process without a warning, as a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def fill(self, room: int | None) -> None:
        """Let no file grow beyond so many bytes, as a full disk does; None: there is room again."""
        assert self._process is not None
        most = resource.RLIM_INFINITY if room is None else room
        limits = (most, resource.RLIM_INFINITY)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, limits)

    def rest(self) -> None:
        """End what is printing and reconnect what is broken, so that the next test starts afresh."""
        if self._process is None or self.skew_s:
            self.kill()
            self.skew_s = 0.0
            self.start()
        self.fill(None)
        if self.state() not in {"Operational", None}:
            self.call("POST", "/api/job", {"command": "cancel"})
            if "rror" in str(self.state()) or "Offline" in str(self.state()):
                self.call("POST", "/api/connection", {"command": "connect"})
        self.wait_for(lambda: self.state() == "Operational", "the printer is at rest", 60)

    def state(self) -> str | None:
        """Return what OctoPrint calls the printer's state."""
        try:
            return str(self.call("GET", "/api/job").get("state"))
        except OSError, HTTPException:
            # While it starts, something answers for it that does not speak HTTP.
            return None

    def command(self, gcode: str) -> None:
        """Send a line to the virtual printer, past the driver."""
        self.call("POST", "/api/printer/command", {"command": gcode})

    def new_key(self, user: str) -> str:
        """Make a user who may operate the printer, and return his key."""
        self.call(
            "POST",
            "/api/access/users",
            {"name": user, "password": "x", "active": True, "groups": ["users"]},
        )
        return str(self.call("POST", f"/api/access/users/{user}/apikey")["apikey"])

    def revoke_key(self, user: str) -> None:
        """Take a user's key away."""
        self.call("DELETE", f"/api/access/users/{user}/apikey")

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make one call of the REST API; an answer that is not JSON is empty."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-Api-Key": self.key, "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse().read()
        finally:
            connection.close()
        try:
            found = json.loads(answer)
        except ValueError:
            return {}
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
    """Return G-code that keeps the virtual printer busy for about so long."""
    # A nozzle that is still hot from the last test is waited for all the same.
    heat = ["M104 S200", "M109 S200", "G4 P5000"] if warm_up else []
    moves = [
        f"G1 X{step % 100} Y{step % 90} F6000\nG4 P100" for step in range(round(seconds / 0.1))
    ]
    return "\n".join([*heat, *moves, "M104 S0", ""]).encode()
