"""Processes of the house: they start in a group of their own and never outlive it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
import ctypes
import os
from pathlib import Path
import signal
import socket
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_TAIL: Final = 30


class Died(RuntimeError):
    """A process ended by itself; the message holds the end of its log."""


class Process:
    """One child process with its log; it can be started again after it was stopped or killed."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        """Prepare; nothing runs before :meth:`start`."""
        self.name = name
        self.log = log
        self._argv = argv
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Return its process id, None while it does not run."""
        running = self._child is not None and self._child.returncode is None
        return self._child.pid if running and self._child else None

    async def start(self) -> None:
        """Run it, its output going to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        with self.log.open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                # A Ctrl-C in the terminal is for us alone: we stop the children in order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def require_alive(self) -> None:
        """Raise Died when it has ended."""
        if self.pid is None:
            raise Died(f"{self.name} has ended. The end of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of the log."""
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_TAIL:])

    async def wait(self) -> int:
        """Wait until it has ended by itself; returns its status."""
        if self._child is None:
            raise Died(f"{self.name} was not started")
        return await self._child.wait()

    async def stop(self, limit: float = 40.0) -> None:
        """Ask it to end and wait; kill it when it does not."""
        await self._end(signal.SIGTERM, limit)

    async def kill(self) -> None:
        """End it as a power cut does."""
        await self._end(signal.SIGKILL, 10.0)

    async def _end(self, number: signal.Signals, limit: float) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            child.send_signal(number)
        try:
            async with asyncio.timeout(limit):
                await child.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def free_port(wanted: int) -> int:
    """Return the wanted port of the loopback if nobody has it, else one above it."""
    # None that a machine gives to whoever wants any port: it would be taken by the time that a server is there.
    for port in (wanted, *range(wanted + 100, 32_000, 100)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise OSError("There is no free port")


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
