"""What it costs to look: pictures a second and processor time for each kind of camera, and to judge one.

``python -m tests.bench.vision [--seconds N] [--json FILE]``

Cameras run in processes of their own, so that the figures are the brain's and its decoder's alone. The network is one
of random weights with about the work of a small YOLO: it tells how long judging takes, and nothing of how well.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
import json
from multiprocessing import get_context
from multiprocessing.connection import Connection
import os
from pathlib import Path
import statistics
import sys
import tempfile
import time
from typing import Final

from aiohttp import ClientSession
import numpy as np
from onnx import helper

from brain_server.drivers.camera import Camera
from brain_server.protocol import Json
from brain_server.vision.detect import Detectors
from brain_server.vision.health import Eye
from brain_server.vision.pictures import grey, shrunk
from tests.brain.drivers.watch import build
from tests.standins.mjpeg_camera import MjpegCamera, jpeg, scene
from tests.standins.onnx_network import write
from tests.standins.rtsp_camera import RtspCamera, is_installed

TICKS: Final = os.sysconf("SC_CLK_TCK")
LARGE: Final = (1920, 1080)


def serve(pipe: Connection) -> None:
    """Serve pictures until told to stop, in a process of its own."""

    async def until_told() -> None:
        shown = [jpeg(scene(step)) for step in range(8)]
        async with MjpegCamera.serving() as camera:
            camera.picture = lambda: shown[len(camera.asked) % 8]
            pipe.send(camera.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(until_told())


@asynccontextmanager
async def web_camera() -> AsyncIterator[str]:
    """Give the address of a camera with a web server."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,))
    process.start()
    yield await asyncio.to_thread(here.recv)
    here.send("stop")
    await asyncio.to_thread(process.join)


def processor_s(pid: int | None) -> float:
    """Return the processor time that a process has used."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid: int | None) -> float:
    """Return what a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def rate(
    look: Callable[[], Awaitable[object]], seconds: float, pid: Callable[[], int | None]
) -> Json:
    """Look for so many seconds, one picture after the other."""
    first = time.perf_counter()
    await look()
    first = time.perf_counter() - first
    mine, other, started = time.process_time(), processor_s(pid()), time.perf_counter()
    times: list[float] = []
    while time.perf_counter() - started < seconds:
        at = time.perf_counter()
        await look()
        times.append(time.perf_counter() - at)
    took = time.perf_counter() - started
    used = time.process_time() - mine + processor_s(pid()) - other
    return {
        "first_ms": round(first * 1000, 1),
        "pictures_per_s": round(len(times) / took, 1),
        "p50_ms": round(statistics.median(times) * 1000, 2),
        "cpu_ms_per_picture": round(used / len(times) * 1000, 2),
        "cpu_share_of_a_core": round(used / took, 3),
    }


async def cameras(seconds: float) -> Json:
    """Measure each kind of camera through its driver, beside a bare client."""
    found: Json = {}
    async with ClientSession() as session:
        async with web_camera() as url:

            async def bare() -> None:
                async with session.get(f"{url}/picture.jpg") as response:
                    await response.read()

            found["bare aiohttp"] = await rate(bare, seconds, lambda: None)
            for name, path in (("jpeg", "picture.jpg"), ("mjpeg", "stream")):
                driver = build(Camera, {"url": f"{url}/{path}"}, session)
                found[name] = await rate(driver.snapshot, seconds, lambda: None)
        if is_installed():
            found |= await video(session, seconds)
    return found


async def video(session: ClientSession, seconds: float) -> Json:
    """Measure RTSP: one picture after the other, and what an open stream costs while nobody asks."""
    camera = RtspCamera()
    await asyncio.to_thread(camera.start)
    driver = build(Camera, {"url": camera.url}, session)
    assert isinstance(driver, Camera)
    found: Json = {}
    try:
        found["rtsp"] = await rate(driver.snapshot, seconds, lambda: driver._child.pid)
        before, pid = processor_s(driver._child.pid), driver._child.pid
        await asyncio.sleep(seconds)
        found["rtsp, open"] = {
            "cpu_share_of_a_core": round((processor_s(pid) - before) / seconds, 3)
        }
    finally:
        await driver._child.stop()
        await asyncio.to_thread(camera.kill)
    return found


def judging(count: int = 60) -> Json:
    """Measure what is done to each picture without any model, in milliseconds."""
    found: Json = {}
    for name, size in (("640 by 480", None), ("1920 by 1080", LARGE)):
        pictures = [
            jpeg(scene(step) if size is None else scene(step).resize(size)) for step in range(count)
        ]
        small, healthy, shrinking = [], [], []
        eye = Eye()
        for step, image in enumerate(pictures):
            at = time.perf_counter()
            points = grey(image)
            small.append(time.perf_counter() - at)
            at = time.perf_counter()
            eye.look(step * 15.0, points, {"status": "printing", "job": {"progress": step}})
            healthy.append(time.perf_counter() - at)
            at = time.perf_counter()
            shrunk(image)
            shrinking.append(time.perf_counter() - at)
        found[name] = {
            "made_small_ms": round(statistics.median(small) * 1000, 2),
            "health_ms": round(statistics.median(healthy) * 1000, 2),
            "for_a_model_ms": round(statistics.median(shrinking) * 1000, 2),
        }
    return found


def write_heavy(path: Path) -> float:
    """Write a network of boxes for 640 by 640 points with random weights; returns its GFLOP."""
    chance = np.random.default_rng(7)
    nodes, constants, channels, side, work = [], {}, 3, 640, 0.0
    last = "images"
    for number, width in enumerate((16, 32, 64, 128, 128, 128)):
        stride = 2 if number < 5 else 1
        side //= stride
        constants[f"w{number}"] = (
            chance.standard_normal((width, channels, 3, 3)) / (3 * channels**0.5)
        ).astype(np.float32)
        nodes += [
            helper.make_node(
                "Conv", [last, f"w{number}"], [f"c{number}"], strides=[stride, stride], pads=[1] * 4
            ),
            helper.make_node("Relu", [f"c{number}"], [f"r{number}"]),
        ]
        work += 2 * 9 * channels * width * side * side / 1e9
        channels, last = width, f"r{number}"
    constants["head"] = chance.standard_normal((5, channels, 1, 1)).astype(np.float32)
    constants["shape"] = np.array([1, 5, side * side], np.int64)
    nodes += [
        helper.make_node("Conv", [last, "head"], ["raw"]),
        helper.make_node("Sigmoid", ["raw"], ["sure"]),
        helper.make_node("Reshape", ["sure", "shape"], ["output0"]),
    ]
    write(path, nodes, constants, names=("spaghetti",), takes=(1, 3, 640, 640))
    return round(work, 2)


async def detecting(count: int = 20) -> Json:
    """Measure the network, in its process."""
    with tempfile.TemporaryDirectory() as folder:
        work = write_heavy(Path(folder) / "heavy.onnx")
        detectors = Detectors(Path(folder))
        image = jpeg(scene(1).resize(LARGE))
        at = time.perf_counter()
        await detectors.check("heavy.onnx")
        loading = time.perf_counter() - at
        (child,) = detectors._children.values()
        times, before = [], processor_s(child.pid)
        for _ in range(count):
            at = time.perf_counter()
            await detectors.by_file("heavy.onnx", image)
            times.append(time.perf_counter() - at)
        used = processor_s(child.pid) - before
        memory = memory_mb(child.pid)
        await detectors.stop()
    return {
        "gflop": work,
        "load_ms": round(loading * 1000),
        "p50_ms": round(statistics.median(times) * 1000, 1),
        "cpu_ms": round(used / count * 1000, 1),
        "process_mb": round(memory),
    }


async def measure(seconds: float) -> Json:
    """Measure everything."""
    return {
        "cameras": await cameras(seconds),
        "each picture": judging(),
        "network": await detecting(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    found = asyncio.run(measure(given.seconds))
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
