"""Fifty requests a second, held: reads, safe requests and questions, to a real brain process.

``python -m tests.bench.load [--rate N] [--seconds N] [--json FILE]``
"""

import argparse
import asyncio
from collections.abc import Sequence
import itertools
import json
from pathlib import Path
import sys
import tempfile
import time
from typing import Final

from aiohttp import ClientSession

from brain_server.protocol import Json
from tests.bench.process import TOKEN, BrainProcess

ZONE: Final = {"id": "shop", "name": "Shop", "hazard_level": "low"}
USER: Final = {"id": "ada", "display_name": "Ada", "roles": ["operator"]}


async def act(session: ClientSession, action: str, params: Json) -> tuple[int, float]:
    """Run one command; returns the HTTP status and the seconds it took."""
    started = time.perf_counter()
    async with session.post("/api/v1/actions", json={"action": action, "params": params}) as answer:
        await answer.read()
        return answer.status, time.perf_counter() - started


async def measure(rate: int, seconds: float) -> Json:
    """Send at a steady rate, whatever the answers take."""
    with tempfile.TemporaryDirectory() as folder:
        brain = BrainProcess(Path(folder))
        await brain.start()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        address = f"http://127.0.0.1:{brain.port}"
        async with ClientSession(address, headers=headers) as session:
            rules: Json = {"users": [USER], "zones": [ZONE], "policies": []}
            await act(session, "safety.sync", rules)
            door = {
                "driver": "demo",
                "name": "Door",
                "zone_id": "shop",
                "options": {"kind": "door"},
            }
            await act(session, "devices.put", door)
            async with session.get("/api/v1/devices.list") as answer:
                device_id = (await answer.json())["data"]["items"][0]["id"]
            lock = {"device_id": device_id, "intent": "lock"}
            mix = itertools.cycle(
                [
                    ("devices.list", {}),
                    ("conversation.process", {"text": "is the door locked?"}),
                    ("devices.request", lock),
                    ("safety.events", {}),
                    ("audit.list", {"limit": 20}),
                ]
            )
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number in range(int(rate * seconds)):
                    await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                    tasks.append(group.create_task(act(session, *next(mix))))
            elapsed = time.perf_counter() - began
        brain.terminate()
        await brain.ended()
    statuses, times = zip(*(task.result() for task in tasks), strict=True)
    ordered = sorted(times)
    return {
        "requests": len(ordered),
        "per_second": round(len(ordered) / elapsed, 1),
        "errors": sum(status >= 400 for status in statuses),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures; exit 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    found = asyncio.run(measure(given.rate, given.seconds))
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 1 if found["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
