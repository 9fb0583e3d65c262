"""The simulated Klipper does, behind a real Moonraker, what the recorded real one did."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse
import pytest

from brain_server.drivers.moonraker.printer import OBJECTS
from tests.brain.drivers.rig_moonraker import MoonrakerRig
from tests.standins.moonraker import Moonraker

TRACES = Path(__file__).parent / "traces"

pytestmark = [
    *MoonrakerRig.marks,
    pytest.mark.parametrize("rig", [pytest.param(MoonrakerRig, id="moonraker")], indirect=True),
]

HEAT = b"M140 S60\nM104 S%d\nM190 S60\nM109 S%d\nG4 P%d\n"
EXTRUDE = (
    b"SET_PRINT_STATS_INFO TOTAL_LAYER=10 CURRENT_LAYER=1\nG1 X10 E1.5 F600\n" + b"G4 P4000\n" * 20
)


class Heard:
    """What a client of Moonraker is told, in short: words, no figures."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        self.words: list[str] = []
        self._news = asyncio.Event()

    def hear(self, kind: str, content: Any) -> None:
        """Take one message, of a trace or of the wire."""
        for word in _words(kind, content):
            self.words.append(word)
        self._news.set()

    async def until(self, word: str, times: int = 1) -> None:
        """Wait until a word was heard so often."""
        async with asyncio.timeout(60):
            while self.words.count(word) < times:
                self._news.clear()
                await self._news.wait()


def _words(kind: str, content: Any) -> list[str]:
    match kind:
        case "update":
            stats, webhooks = content.get("print_stats", {}), content.get("webhooks", {})
            return [
                *([f"print {stats['state']}"] if "state" in stats else []),
                *([f"klipper {webhooks['state']}"] if "state" in webhooks else []),
            ]
        case "history":
            return [f"run {content['action']} {content['job']['status']}"]
        case "shutdown" | "disconnected" | "ready":
            return [kind]
    return []


def recorded(name: str) -> list[str]:
    """Return what a client of the real one was told."""
    heard = Heard()
    for line in (TRACES / f"moonraker_{name}.jsonl").read_text().splitlines():
        _, kind, content = json.loads(line)
        heard.hear(kind, content)
    return heard.words


@asynccontextmanager
async def listening(server: Moonraker) -> AsyncIterator[Heard]:
    """Hear what Moonraker tells, for the time of a block."""
    heard = Heard()
    async with ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/websocket"
        async with session.ws_connect(url, headers={"X-Api-Key": server.key}) as socket:
            params = {"objects": OBJECTS}
            call = {"jsonrpc": "2.0", "id": 1, "method": "printer.objects.subscribe"}
            await socket.send_json(call | {"params": params})
            while (await socket.receive_json()).get("id") != 1:
                pass
            task = asyncio.get_running_loop().create_task(_hear(socket, heard))
            try:
                yield heard
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _hear(socket: ClientWebSocketResponse, heard: Heard) -> None:
    async for frame in socket:
        message = frame.json()
        params = message.get("params") or [None]
        match message.get("method"):
            case "notify_status_update":
                heard.hear("update", params[0])
            case "notify_history_changed":
                heard.hear("history", params[0])
            case str() as method:
                heard.hear(method.removeprefix("notify_klippy_"), None)


async def start(rig: MoonrakerRig, name: str, content: bytes) -> None:
    """Store a file and start it."""
    await asyncio.to_thread((rig.moonraker.gcodes / name).write_bytes, content)
    await asyncio.to_thread(rig.moonraker.begin, name)


async def act(do: Callable[..., Any], *given: Any) -> None:
    """Do something that blocks."""
    await asyncio.to_thread(do, *given)


def post(rig: MoonrakerRig, path: str) -> Callable[[], Any]:
    """Return a call of Moonraker."""
    return lambda: rig.moonraker.call("POST", path)


async def test_a_pause_behind_a_heater_and_a_shutdown_look_the_same(rig: MoonrakerRig) -> None:
    """The pause comes when it is hot; after the shutdown the print seems to be paused again."""
    async with listening(rig.moonraker) as heard:
        await start(rig, "heat.gcode", HEAT % (200, 200, 0) + EXTRUDE)
        await heard.until("run added in_progress")
        await act(post(rig, "/printer/print/pause"))
        await heard.until("print paused")
        await act(post(rig, "/printer/print/resume"))
        await heard.until("print printing", 2)
        await act(
            rig.moonraker.break_printer, "shutdown", "MCU 'mcu' shutdown: Stepper too far in past"
        )
        await heard.until("print paused", 2)
        await act(post(rig, "/printer/firmware_restart"))
        await heard.until("ready")
    assert heard.words == recorded("shutdown")


async def test_a_heater_fault_looks_the_same(rig: MoonrakerRig) -> None:
    """A shutdown, and a print that seems to be paused."""
    async with listening(rig.moonraker) as heard:
        await start(rig, "heat.gcode", HEAT % (200, 200, 0) + EXTRUDE)
        await heard.until("run added in_progress")
        await act(rig.moonraker.break_printer, "heater")
        await heard.until("print paused")
        await act(post(rig, "/printer/firmware_restart"))
        await heard.until("ready")
    assert heard.words == recorded("heater_fault")


async def test_a_mistake_in_a_file_looks_the_same(rig: MoonrakerRig) -> None:
    """Cold extrusion, and a pause of the print that failed by it; then a move out of the volume."""
    async with listening(rig.moonraker) as heard:
        await start(rig, "heat.gcode", HEAT % (60, 60, 0) + EXTRUDE)
        await heard.until("run finished error")
        await act(post(rig, "/printer/print/pause"))
        await act(post(rig, "/printer/print/resume"))
        await start(rig, "err.gcode", b"G28\nG4 P8000\nG1 X500 F6000\n")
        await heard.until("run finished error", 2)
    assert heard.words == recorded("gcode_error")


async def test_a_cancel_and_an_error_at_once_and_an_emergency_stop_look_the_same(
    rig: MoonrakerRig,
) -> None:
    """The second print was over when Klipper next told: Moonraker adds it to its list all the same."""
    async with listening(rig.moonraker) as heard:
        # A minute in short pieces: the cancel comes before the cold nozzle does, however late it is.
        await start(rig, "heat.gcode", HEAT % (60, 60, 0) + b"G4 P400\n" * 600 + EXTRUDE)
        await heard.until("run added in_progress")
        await act(rig.moonraker.cancel)
        await heard.until("run finished cancelled")
        await start(rig, "heat.gcode", EXTRUDE)
        await heard.until("run finished error")
        await act(post(rig, "/printer/emergency_stop"))
        await heard.until("shutdown")
    assert heard.words == recorded("cancelled_then_stopped")
