"""A real server on a free port of this machine: started, killed and held up by a test."""

from contextlib import suppress
from pathlib import Path
from random import SystemRandom
import signal
import socket
import subprocess
import time
from typing import Final

# Below those that a machine gives to whoever wants any port: by the time that a server is there, none is taken.
_PORTS: Final = iter(SystemRandom().sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    """Return a port that nobody listens on; each time another one."""
    for port in _PORTS:
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("There is no free port")


def is_open(port: int) -> bool:
    """Tell whether somebody listens."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_for(port: int, limit: float = 60.0) -> None:
    """Wait until somebody listens; TimeoutError otherwise."""
    deadline = time.monotonic() + limit
    while not is_open(port):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)  # until the next look


class Server:
    """One server with one file of configuration; all its methods block. What is on its disk outlives a kill."""

    def __init__(self, program: str, config: Path, port: int) -> None:
        """Take what is started, with which file, and where it will listen. Nothing runs yet."""
        self.port = port
        self._command = (program, "-c", str(config))
        self._log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(self.port)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it hold its connections and do nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
