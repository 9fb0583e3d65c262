"""How fast events reach many WebSocket clients, beside a bare aiohttp loop that sends to each in turn.

``python -m tests.bench.fanout [--clients N ...] [--messages N] [--json FILE]``

Clients live in a process of their own. A message's time is from its making to its arrival at a client.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
import json
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
import sys
import tempfile
import time
from typing import Final

from aiohttp import ClientSession, TCPConnector, WSMsgType, web

from brain_server.app import Brain
from brain_server.protocol import Json
from brain_server.settings import Settings
from tests.bench.process import TOKEN

PAUSE: Final = 0.05
PAYLOAD: Final = {"state": {"locked": True}, "name": "Workshop door", "reason": "x" * 150}


def listen(port: int, clients: int, messages: int, pipe: Connection) -> None:
    """Connect so many clients and send back how long each message took to each."""
    pipe.send(asyncio.run(_listen(port, clients, messages, pipe)))


async def _listen(port: int, clients: int, messages: int, pipe: Connection) -> list[float]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with ClientSession(connector=TCPConnector(limit=0), headers=headers) as session:
        ready = asyncio.Semaphore(0)

        async def one() -> list[float]:
            times: list[float] = []
            async with session.ws_connect(f"http://127.0.0.1:{port}/ws") as socket:
                await socket.send_json({"type": "subscribe", "id": 1})
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        break
                    data = json.loads(message.data)
                    if data["type"] == "snapshot":
                        ready.release()
                    elif data.get("event") == "bench":
                        times.append(time.perf_counter() - data["data"]["at"])
                        if len(times) == messages:
                            break
            return times

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(clients)]
            for _ in range(clients):
                await ready.acquire()
            pipe.send("ready")
        return [seconds for task in tasks for seconds in task.result()]


async def against(
    port: int, clients: int, messages: int, send: Callable[[Json], Awaitable[None]]
) -> Json:
    """Send messages to all clients of a server; returns milliseconds."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=listen, args=(port, clients, messages, there))
    process.start()
    await asyncio.to_thread(here.recv)
    for _ in range(messages):
        await send(PAYLOAD | {"at": time.perf_counter()})
        await asyncio.sleep(PAUSE)
    times = sorted(await asyncio.to_thread(here.recv))
    await asyncio.to_thread(process.join)
    return {
        "received": len(times),
        "p50_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
    }


async def kitty(clients: int, messages: int) -> Json:
    """Measure the brain."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder), port=0, token=TOKEN, request_rate=1e6, request_burst=10**6
        )
        brain = Brain(settings)
        await brain.start()

        async def send(data: Json) -> None:
            brain.bus.publish("bench", data)

        found = await against(brain.port, clients, messages, send)
        await brain.stop()
    return found


async def bare(clients: int, messages: int) -> Json:
    """Measure a loop that sends to one client after another."""
    sockets: set[web.WebSocketResponse] = set()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.add(socket)
        async for _ in socket:
            await socket.send_str('{"type":"snapshot"}')
        sockets.discard(socket)
        return socket

    async def send(data: Json) -> None:
        frame = json.dumps({"type": "event", "event": "bench", "data": data})
        for socket in list(sockets):
            await socket.send_str(frame)

    app = web.Application()
    app.router.add_get("/ws", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = await against(runner.addresses[0][1], clients, messages, send)
    await runner.cleanup()
    return found


async def measure(sizes: list[int], messages: int) -> Json:
    """Measure both for each number of clients."""
    found: Json = {}
    for clients in sizes:
        ours, loop = await kitty(clients, messages), await bare(clients, messages)
        found[str(clients)] = {
            "kitty": ours,
            "bare": loop,
            "p50_ratio": round(ours["p50_ms"] / loop["p50_ms"], 2),
            "p99_ratio": round(ours["p99_ms"] / loop["p99_ms"], 2),
        }
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--messages", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    found = asyncio.run(measure(given.clients, given.messages))
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
