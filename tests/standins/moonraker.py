"""A real Moonraker, on this machine alone, in front of a simulated Klipper."""

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
import json
import os
from pathlib import Path
import resource
import signal
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.parse import quote

from tests.standins.server import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("KITTY_MOONRAKER", ROOT / ".cache/moonraker/bin/moonraker"))
SKEW = Path(__file__).parent / "skew"

CONFIG = """\
[server]
host: 127.0.0.1
port: %d
klippy_uds_address: %s
[authorization]
trusted_clients:
[file_manager]
enable_object_processing: False
[octoprint_compat]
[history]
[machine]
provider: none
"""


class Moonraker:
    """One server process and the printer behind it; all its methods block."""

    def __init__(self, folder: Path, *, speed: float = 4.0) -> None:
        """Write a configuration in which everybody needs the key."""
        self.folder = folder
        self.speed = speed
        self.key = ""
        self.skew_s = 0.0
        self.port = free_port()
        self.data = folder / "data"
        self.gcodes = self.data / "gcodes"
        # A socket's path may have a hundred characters, and a test's folder has more.
        self.comms = Path(f"/tmp/kitty-moonraker-{os.getpid()}-{self.port}")
        for place in (self.data / "config", self.gcodes, self.comms, folder / "tmp"):
            place.mkdir(parents=True, exist_ok=True)
        (self.data / "config/moonraker.conf").write_text(CONFIG % (self.port, self.klippy))
        self._server: subprocess.Popen[bytes] | None = None
        self._printer: subprocess.Popen[bytes] | None = None

    @property
    def klippy(self) -> Path:
        """Return where the printer listens."""
        return self.comms / "klippy.sock"

    def start(self) -> None:
        """Start printer and server, and wait until both are ready."""
        if self._printer is None or self._printer.poll() is not None:
            self.start_printer()
        self.start_server()
        self.wait_for(lambda: self.state() == "ready", "the printer is ready", 60)

    def kill(self) -> None:
        """End both without a warning, as a power cut does."""
        self.kill_server()
        self.kill_printer()

    def close(self) -> None:
        """End both for good."""
        self.kill()
        for left in self.comms.iterdir():
            left.unlink()
        self.comms.rmdir()

    def start_printer(self) -> None:
        """Start the printer alone."""
        self._printer = self._run(
            sys.executable, "-m", "tests.standins.klippy", self.klippy, self.gcodes, str(self.speed)
        )

    def start_server(self) -> None:
        """Start Moonraker alone, and learn its key."""
        environment = {"TMPDIR": str(self.folder / "tmp")}
        if self.skew_s:
            environment |= {"PYTHONPATH": str(SKEW), "KITTY_SKEW_S": str(self.skew_s)}
        place = self.comms / "moonraker.sock"
        place.unlink(missing_ok=True)
        self._server = self._run(
            PROGRAM, "-d", self.data, "-n", "-u", place, environment=environment
        )
        self.wait_for(self._hears, "Moonraker's own socket is open", 60)
        self.key = self._local("access.get_api_key")
        self.wait_for(lambda: self.state() is not None, "Moonraker answers", 60)

    def kill_server(self) -> None:
        """End Moonraker alone."""
        self._server = _killed(self._server)

    def stop_server(self) -> None:
        """End Moonraker alone, as an update does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait(60)
            self._server = None

    def kill_printer(self) -> None:
        """End the printer alone."""
        self._printer = _killed(self._printer)

    def rest(self) -> None:
        """End what is printing and restart what is broken, so that the next test starts afresh."""
        if self._server is None or self._server.poll() is not None or self.skew_s:
            self.kill_server()
            self.skew_s = 0.0
            self.start()
        elif self._printer is None or self._printer.poll() is not None:
            self.start_printer()
        self.fill(None)
        self.wait_for(lambda: self.state() in {"ready", "shutdown", "error"}, "it is known", 60)
        if self.state() != "ready" or self.stats()["state"] == "error":
            self.call("POST", "/printer/firmware_restart")
            self.wait_for(lambda: self.state() != "ready", "the printer restarts", 60)
            self.wait_for(lambda: self.state() == "ready", "the printer is ready", 60)
        self.break_printer("cold")
        self.cancel()

    def state(self) -> str | None:
        """Return what Moonraker says of Klipper."""
        try:
            return str(self.call("GET", "/server/info")["result"]["klippy_state"])
        except OSError, HTTPException, KeyError:
            return None

    def stats(self) -> dict[str, Any]:
        """Return ``print_stats``."""
        found = self.call("GET", "/printer/objects/query?print_stats")
        return dict(found["result"]["status"]["print_stats"])

    def last_run(self) -> str:
        """Return how the last run of Moonraker's own list ended, or that it has not."""
        return str(self.call("GET", "/server/history/list?limit=1")["result"]["jobs"][0]["status"])

    def fill(self, room: int | None) -> None:
        """Let no file grow beyond so many bytes, as a full disk does; None: there is room again."""
        assert self._server is not None
        most = resource.RLIM_INFINITY if room is None else room
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def begin(self, file: str) -> None:
        """Start a file, past the driver."""
        self.call("POST", f"/printer/print/start?filename={quote(file)}")

    def cancel(self) -> None:
        """Cancel what prints, past the driver."""
        self.call("POST", "/printer/print/cancel")

    def break_printer(self, what: str, words: str = "") -> None:
        """Break the printer; see :meth:`Klippy.fail`."""
        params = {"what": what, "words": words}
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.klippy))
            request = {"id": 1, "method": "standin/break", "params": params}
            line.sendall(json.dumps(request).encode() + b"\x03")
            line.recv(4096)

    def new_key(self) -> str:
        """Replace the key by a new one, and return that."""
        self.key = str(self.call("POST", "/access/api_key")["result"])
        return self.key

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make one call of the REST API; an answer that is not JSON is empty."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-Api-Key": self.key, "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
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
            time.sleep(0.02)

    def _hears(self) -> bool:
        """Tell whether the socket is open: its file is there a moment sooner."""
        with socket.socket(socket.AF_UNIX) as line:
            return line.connect_ex(str(self.comms / "moonraker.sock")) == 0

    def _local(self, method: str) -> str:
        """Ask Moonraker over the socket that is open to this machine alone."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.comms / "moonraker.sock"))
            request = {"jsonrpc": "2.0", "method": method, "id": 1}
            line.sendall(json.dumps(request).encode() + b"\x03")
            heard = b""
            while True:
                heard += line.recv(4096)
                *whole, heard = heard.split(b"\x03")
                for message in map(json.loads, whole):
                    if message.get("id") == 1:
                        return str(message["result"])

    def _run(
        self, *line: Any, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        around = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        with (self.folder / "output.log").open("ab") as output:
            return subprocess.Popen(
                list(map(str, line)),
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=around | (environment or {}),
            )


def _killed(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.send_signal(signal.SIGKILL)
        process.wait()


def print_file(*, seconds: float, warm_up: bool = False, speed: float = 4.0) -> bytes:
    """Return G-code that keeps the simulated printer busy for about so long."""
    # Hot enough to extrude, which takes so many degrees of the printer's own time to reach.
    heat = ["M140 S60", "M190 S60", "M104 S200", "M109 S200"] if warm_up else ["M109 S171"]
    if warm_up:
        heat.append(f"G4 P{round(5000 * speed)}")
    steps = round(seconds / 0.1)
    moves = [
        f"SET_PRINT_STATS_INFO TOTAL_LAYER=10 CURRENT_LAYER={1 + 10 * step // steps}\n"
        f"G1 X{step % 100} Y{step % 90} E0.05 F60000\nG4 P{round(100 * speed)}"
        for step in range(steps)
    ]
    return "\n".join([*heat, *moves, "M104 S0", ""]).encode()
