"""A real MCP server: that of the protocol's own SDK, as a process on a port of its own."""

import os
from pathlib import Path
import subprocess
import sys

from tests.standins.server import free_port

ROOT = Path(__file__).parents[2]
# The SDK that Home Assistant pins is in the checkout's own environment; the next one has its own.
NEXT = Path(os.environ.get("KITTY_MCP_NEXT", ROOT / ".cache/mcp-next/bin/python"))
PROGRAM = Path(__file__).with_name("mcp_program.py")


class McpServer:
    """One server process; its methods block."""

    def __init__(self, *options: str, python: Path | str = sys.executable) -> None:
        """Choose a port; options are ``json`` (no streams) and ``token=...``."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._command = [python, PROGRAM, str(self.port), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"

    def kill(self) -> None:
        """End it without a word; it then knows no session any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
