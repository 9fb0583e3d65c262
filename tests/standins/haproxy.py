"""A real HAProxy with the configuration that we ship, in front of brains on this machine."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
import os
from pathlib import Path
import shutil

from tests.standins.server import free_port

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"


def program() -> str:
    """Return the path of HAProxy; Debian puts it where only root looks."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "haproxy"


def environment(port: int, brains: Sequence[int]) -> dict[str, str]:
    """Return the variables that put the shipped configuration in front of brains on these ports."""
    servers = {
        f"KITTY_BRAIN_{number}": f"127.0.0.1:{brain}" for number, brain in enumerate(brains, 1)
    }
    return os.environ | {"KITTY_BIND": f"127.0.0.1:{port}"} | servers


@asynccontextmanager
async def in_front(brains: Sequence[int]) -> AsyncIterator[int]:
    """Run an HAProxy in front of brains on these ports for the time of a block; yields its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(program(), "-db", "-q", "-f", str(CONFIG)), env=environment(port, brains)
    )
    try:
        await _listening(port)
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _listening(port: int, limit: float = 60.0) -> None:
    async with asyncio.timeout(limit):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)  # until it is tried again
                continue
            writer.close()
            return
