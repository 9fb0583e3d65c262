"""llama-cpp-python's own OpenAI-compatible server, with a model of this machine; blocks while it starts."""

import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Final
import urllib.error
import urllib.request

from tests.standins.server import free_port

START_S: Final = 150.0


class LlamaServer:
    """One server on a free port; all its methods block."""

    def __init__(self, model: Path, *options: str) -> None:
        """Choose a port; nothing runs yet."""
        self.port = free_port()
        self._command = [
            *(sys.executable, "-m", "llama_cpp.server", "--model", str(model)),
            *("--host", "127.0.0.1", "--port", str(self.port), *options),
        ]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return what clients call its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it and wait until it answers."""
        # A warning of its libraries shall not end it, as it would end a test.
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=subprocess.STDOUT, env=environment
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                raise RuntimeError(self._log.read().decode("utf-8", "replace"))
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, at once: asked politely it may first finish an answer that nobody waits for any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        self._log.close()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/models", timeout=5):  # noqa: S310 - an own address
                return True
        except urllib.error.URLError, OSError:
            return False
