"""How soon a printer's change is seen: by our drivers, beside Home Assistant's own integrations in the same run.

``python -m tests.bench.drivers [--changes N] [--servers NAME ...] [--no-ha] [--seconds N] [--json FILE]``

Each server is real, or for Bambu the simulated one. Something else than the driver pauses and resumes a print; the
time runs from the last look at the server that still saw the old state, so that the figure is never too small. For
Bambu, where nobody else can press the button, it runs from the sending of the order. Home Assistant's integrations
look when they want to: every 30 s.

Then the brain with ten printers that each push twice a second: its memory and its processor time, beside a program
that reads the same ten sockets and does nothing else.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
import json
import logging
from pathlib import Path
import random
import resource
import sys
import tempfile
import time
from typing import Any, Final

from aiohttp import ClientSession, web
from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.helpers import entity_registry, frame
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
    mock_storage,
)

from brain_server.protocol import Json
from tests.bench import process
from tests.bench.process import BrainProcess
from tests.brain.drivers.conformance import printing
from tests.brain.drivers.rig_bambu import BambuRig
from tests.brain.drivers.rig_moonraker import MoonrakerRig
from tests.brain.drivers.rig_prusalink import PrusaLinkRig
from tests.brain.drivers.rigs import OctoPrintRig, Rig
from tests.brain.drivers.watch import Watch, watching
from tests.standins import bambu, moonraker, octoprint, prusalink

PRINTERS: Final = 10
LOOK_S: Final = 0.02
PATIENCE_S: Final = 75.0
LOOKS_OF_THEIRS_S: Final = 30.0
WORDS: Final = {"pause": "paused", "resume": "printing"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One kind of server, and how something else than the driver changes its printer."""

    rig: type[Rig]
    make: Callable[[Path], Any]
    # Sends what changes the printer, and tells what it is doing; neither for one that only we can reach.
    change: Callable[[Any, str], Any] | None = None
    status: Callable[[Any], str] | None = None


def _prusalink_change(server: Any, verb: str) -> None:
    number = server.call("GET", "/api/v1/status")["job"]["id"]
    server.call("PUT", f"/api/v1/job/{number}/{verb}")


SUBJECTS: Final = {
    "octoprint": Subject(
        rig=OctoPrintRig,
        make=octoprint.OctoPrint,
        change=lambda server, verb: server.call(
            "POST", "/api/job", {"command": "pause", "action": verb}
        ),
        status=lambda server: str(server.state()).casefold(),
    ),
    "moonraker": Subject(
        rig=MoonrakerRig,
        make=moonraker.Moonraker,
        change=lambda server, verb: server.call("POST", f"/printer/print/{verb}"),
        status=lambda server: str(server.stats()["state"]),
    ),
    "prusalink": Subject(
        rig=PrusaLinkRig,
        make=lambda _folder: prusalink.PrusaLink(),
        change=_prusalink_change,
        status=lambda server: str(server.state()).casefold(),
    ),
    "bambu": Subject(rig=BambuRig, make=bambu.Bambu),
}


def entry_for(name: str, server: Any) -> MockConfigEntry | None:
    """Return what a person would have set up in Home Assistant, where it has an integration."""
    match name:
        case "octoprint":
            data: Json = {
                "username": "kitty",
                "api_key": server.key,
                "host": "127.0.0.1",
                "port": server.port,
                "path": "/",
                "ssl": False,
                "verify_ssl": False,
            }
            return MockConfigEntry(domain=name, data=data, unique_id="octoprint")
        case "prusalink":
            data = {"host": server.url, "username": prusalink.USER, "password": prusalink.PASSWORD}
            return MockConfigEntry(domain=name, data=data, version=1, minor_version=2)
        case _:
            return None


class Theirs:
    """Home Assistant's own integrations, and when their entities changed."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Listen to every state."""
        self._hass = hass
        self._seen: list[tuple[float, str, str]] = []
        self._news = asyncio.Event()
        hass.bus.async_listen("state_changed", self._hear)

    async def _hear(self, event: Event[EventStateChangedData]) -> None:
        state = event.data["new_state"]
        found = entity_registry.async_get(self._hass).async_get(event.data["entity_id"])
        if state is not None and found is not None:
            self._seen.append((time.monotonic(), found.platform, state.state.casefold()))
            self._news.set()

    async def when(self, platform: str, word: str, since: float) -> float:
        """Return when an entity of an integration first had this state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at, whose, state in self._seen:
                    if at >= since and whose == platform and state == word:
                        return at
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def home_assistant(entries: list[MockConfigEntry]) -> AsyncIterator[Theirs]:
    """Run Home Assistant with these integrations."""
    with mock_storage():
        async with async_test_home_assistant() as hass:
            frame.async_setup(hass)
            assert await async_setup_component(hass, "homeassistant", {})
            theirs = Theirs(hass)
            for entry in entries:
                entry.add_to_hass(hass)
                assert await hass.config_entries.async_setup(entry.entry_id)
            await hass.async_block_till_done()
            yield theirs
            await hass.async_stop(force=True)


def changed(server: Any, subject: Subject, verb: str) -> float:
    """Change a printer from elsewhere; returns the last moment at which it was seen not to be so yet."""
    assert subject.change is not None
    assert subject.status is not None
    before = time.monotonic()
    subject.change(server, verb)
    end = before + PATIENCE_S
    while time.monotonic() < end:
        at = time.monotonic()
        if subject.status(server) == WORDS[verb]:
            return before
        before = at
        time.sleep(LOOK_S)
    raise TimeoutError(f"The printer was never seen to {verb}")


async def ours(watch: Watch, word: str, first: int) -> float:
    """Return when our driver published a status, in what it published since."""
    await watch.until(lambda seen: seen.state.get("status") == word, within=PATIENCE_S)
    times = zip(watch.times[first:], watch.seen[first:], strict=True)
    return next(at for at, seen in times if seen.state.get("status") == word)


async def one(name: str, server: Any, changes: int, theirs: Theirs | None) -> Json:
    """Measure one server; returns milliseconds."""
    subject = SUBJECTS[name]
    mine: list[float] = []
    other: list[float] = []
    chance = random.Random(name)
    async with subject.rig.open(server) as rig, watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, seconds=3600)
        await watch.until(lambda seen: seen.state["status"] == "printing")
        for step in range(changes):
            verb = ("pause", "resume")[step % 2]
            first, since = len(watch.seen), time.monotonic()
            if subject.change is None:
                happened = since
                await watch.order(f"print_{verb}")
            else:
                happened = await asyncio.to_thread(changed, server, subject, verb)
            seen = await ours(watch, WORDS[verb], first)
            mine.append(max(seen - happened, 0) * 1000)
            if theirs is not None:
                other.append((await theirs.when(name, WORDS[verb], since) - happened) * 1000)
            # Not always at the same moment after a look.
            await asyncio.sleep(chance.uniform(0.5, 2.0 if theirs is None else LOOKS_OF_THEIRS_S))
        await watch.done("print_cancel")
    return {"ours": summary(mine)} | ({"home_assistant": summary(other)} if other else {})


def summary(times: list[float]) -> Json:
    """Return the median and the 99th percentile."""
    ordered = sorted(times)
    return {
        "n": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
    }


async def latencies(names: list[str], changes: int, *, with_theirs: bool) -> Json:
    """Measure our drivers at many changes, and then beside Home Assistant's at a tenth of them."""
    found: Json = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kitty-bench-")))
        servers: dict[str, Any] = {}
        for name in names:
            servers[name] = server = SUBJECTS[name].make(folder / name)
            stack.callback(getattr(server, "remove", getattr(server, "close", server.kill)))
            await asyncio.to_thread(server.start)
            found[name] = await one(name, server, changes, None)
        entries = {name: entry_for(name, servers[name]) for name in names if with_theirs}
        known = {name: entry for name, entry in entries.items() if entry is not None}
        if known:
            theirs = await stack.enter_async_context(home_assistant(list(known.values())))
            few = max(changes // 10, 4)
            async with asyncio.TaskGroup() as group:
                tasks = {
                    name: group.create_task(one(name, servers[name], few, theirs)) for name in known
                }
            for name, task in tasks.items():
                beside = task.result()
                ratio = beside["ours"]["p50_ms"] / beside["home_assistant"]["p50_ms"]
                found[name]["beside_home_assistant"] = beside | {"p50_ratio": round(ratio, 4)}
    return found


# -- ten printers -------------------------------------------------------------------------------------


class Pushing:
    """Servers that speak as OctoPrint does, of a print that goes on, twice a second."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a question, or push until the socket ends."""
        if not request.path.endswith("/websocket"):
            told = {"server": "1.11.8", "name": "bench", "session": "s"}
            return web.json_response(told)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        kind, done = "history", 0.0
        with suppress(ConnectionError):
            while not socket.closed:
                await socket.send_json({kind: self._current(done)})
                kind, done = "current", min(done + 0.05, 99.0)
                await asyncio.sleep(0.5)
        return socket

    def _current(self, done: float) -> Json:
        heat = {"actual": 200 + done % 1, "target": 200}
        return {
            "state": {"text": "Printing", "flags": {"operational": True, "printing": True}},
            "job": {"file": {"path": "bench.gcode"}},
            "progress": {"completion": done, "printTime": done * 60, "printTimeLeft": 6000 - done},
            "temps": [{"tool0": heat, "bed": heat}],
        }


@asynccontextmanager
async def pushing() -> AsyncIterator[str]:
    """Serve the printers; gives their address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Pushing().answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


# Reads as many sockets as it is told, and takes their JSON apart.
READER: Final = """
import asyncio, json, sys
from aiohttp import ClientSession

async def read(session, url):
    async with session.ws_connect(url) as socket:
        async for message in socket:
            json.loads(message.data)

async def main(url, count):
    async with ClientSession() as session, asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(read(session, f"{url}/{number}/sockjs/websocket"))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def bare(seconds: float, url: str) -> Json:
    """Measure a program that only reads what ten printers push."""
    reader = await asyncio.create_subprocess_exec(sys.executable, "-c", READER, url, str(PRINTERS))
    await asyncio.sleep(3)  # its start is not measured
    used = await busy(reader.pid, seconds)
    found = {"rss_mb": memory(reader.pid), "cpu_percent_of_one_core": used}
    reader.kill()
    await reader.wait()
    return found


async def ten(seconds: float, options: Callable[[int], Json], driver: str) -> Json:
    """Measure a brain in a process of its own while ten printers are there."""
    with tempfile.TemporaryDirectory(prefix="kitty-bench-") as folder:
        brain = BrainProcess(Path(folder))
        await brain.start()
        idle = memory(brain.pid)
        async with ClientSession() as session:
            home = process.HomeAssistant(session)
            await home.connect(brain.port)
            for number in range(PRINTERS):
                form = {"driver": driver, "options": options(number), "name": f"P{number}"}
                await home.call("devices.put", **form)
            await asyncio.sleep(3)
            used = await busy(brain.pid, seconds)
            listed = (await home.subscribe())["devices"]
            online = sum(device["online"] == "online" for device in listed)
            await home.close()
        found = {
            "printers_online": online,
            "rss_before_mb": idle,
            "rss_mb": memory(brain.pid),
            "cpu_percent_of_one_core": used,
        }
        brain.terminate()
        await brain.ended()
    return found


async def busy(pid: int, seconds: float) -> float:
    """Watch a process for a while; returns its share of one core in percent."""
    before, at = cpu(pid), time.monotonic()
    await asyncio.sleep(seconds)  # this is what is measured
    return round((cpu(pid) - before) / (time.monotonic() - at) * 100, 2)


def memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


def cpu(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def measure(given: argparse.Namespace) -> Json:
    """Measure everything that is wanted."""
    found: Json = {}
    if given.servers:
        found["seen_after"] = await latencies(
            given.servers, given.changes, with_theirs=not given.no_ha
        )
    async with pushing() as url:
        found["ten_pushing_twice_a_second"] = await ten(
            given.seconds, lambda number: {"url": f"{url}/{number}", "api_key": "k"}, "octoprint"
        ) | {"bare": await bare(given.seconds, url)}
    found["ten_demo"] = await ten(
        given.seconds, lambda number: {"kind": "printer", "name": f"P{number}"}, "demo"
    )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--servers", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--no-ha", action="store_true")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    found = asyncio.run(measure(given))
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
