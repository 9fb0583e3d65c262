"""How long the brain takes to start, and what it weighs, beside a bare aiohttp server in the same run.

``python -m tests.bench.start [--count N] [--json FILE]``
"""

import argparse
import asyncio
from collections.abc import Sequence
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Final
import urllib.request

from aiohttp import ClientSession

from tests.bench.process import BrainProcess, HomeAssistant

ROOT: Final = Path(__file__).parents[2]
BARE: Final = """
import asyncio, json
from aiohttp import web

async def main():
    async def health(request):
        return web.json_response({"status": "ok"})
    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"ready": True, "port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def one(arguments: Sequence[str]) -> tuple[float, float]:
    """Start a server; returns the seconds to its first answer and the MB that it holds when idle."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            answer.read()
        seconds = time.perf_counter() - started
        weight = _weight(process.pid)
        process.terminate()
    return seconds, weight


async def connected(folder: Path) -> float:
    """Return the MB that a brain holds once Home Assistant has proven itself and listens."""
    brain = BrainProcess(folder)
    await brain.start()
    async with ClientSession() as session:
        home = HomeAssistant(session)
        await home.connect(brain.port)
        await home.furnish({"shop": "high"}, {"ada": "admin"})
        await home.subscribe()
        weight = _weight(brain.pid)
        await home.close()
    brain.terminate()
    await brain.ended()
    return weight


def _weight(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(count: int) -> dict[str, float]:
    """Start both, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        brain = ["-m", "brain_server", "serve", "--data-dir", folder, "--port", "0"]
        one(brain)  # the first start makes the databases
        pairs = [(one(brain), one(["-c", BARE])) for _ in range(count)]
        listened = statistics.median(asyncio.run(connected(Path(folder))) for _ in range(count))
    ours, bare = zip(*pairs, strict=True)
    start, weight = (statistics.median(values) for values in zip(*ours, strict=True))
    bare_start, bare_weight = (statistics.median(values) for values in zip(*bare, strict=True))
    return {
        "start_s": round(start, 3),
        "rss_mb": round(weight, 1),
        "connected_rss_mb": round(listened, 1),
        "bare_start_s": round(bare_start, 3),
        "bare_rss_mb": round(bare_weight, 1),
        "start_ratio": round(start / bare_start, 2),
        "rss_ratio": round(weight / bare_weight, 2),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    found = measure(given.count)
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
