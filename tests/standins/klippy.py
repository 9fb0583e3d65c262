"""A printer's Klipper, simulated: it speaks klippy's socket protocol, so that a real Moonraker is content with it.

``python -m tests.standins.klippy SOCKET GCODES [SPEED]`` serves one printer; SPEED makes its heaters and moves
faster than life. A test breaks it with the method ``standin/break``, which no real klippy has.
"""

import asyncio
from collections.abc import Callable, Coroutine
import contextlib
import json
import math
import os
from pathlib import Path
import re
import sys
from typing import Any

from tests.standins.klippy_parts import Heater, Stats

END = b"\x03"
# As the real one: changes are told four times a second.
TOLD_EVERY_S = 0.25
STILL_PRINTING_S = 0.5
COLDEST_EXTRUSION = 170.0
FARTHEST = 300.0
COLD = "Extrude below minimum temp\nSee the 'min_extrude_temp' config option for details"
RESTART_HINT = (
    '\nOnce the underlying issue is corrected, use the\n"FIRMWARE_RESTART" command to reset the firmware, '
    "reload the\nconfig, and restart the host software.\nPrinter is shutdown\n"
)
OBJECTS = (
    *("webhooks", "configfile", "print_stats", "virtual_sdcard", "display_status", "pause_resume"),
    *("idle_timeout", "extruder", "heater_bed", "toolhead", "heaters", "mcu", "system_stats"),
)
IGNORED = {
    *(
        "G20",
        "G21",
        "G28",
        "G90",
        "G91",
        "G92",
        "M82",
        "M83",
        "M84",
        "M106",
        "M107",
        "M105",
        "M115",
        "M117",
    ),
}


class GcodeError(Exception):
    """What klippy answers to a command that it cannot carry out."""


class Shutdown(Exception):
    """The printer stopped in the middle of something."""


class Client:
    """One connection and what it wants to hear."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Subscribe to nothing yet."""
        self.writer = writer
        self.objects: dict[str, list[str] | None] = {}
        self.update: dict[str, Any] | None = None
        self.output: dict[str, Any] | None = None
        self.told: dict[str, dict[str, Any]] = {}

    def send(self, message: dict[str, Any]) -> None:
        """Write a message."""
        if not self.writer.is_closing():
            self.writer.write(json.dumps(message).encode() + END)


class Klippy:
    """The printer: its clients, its one queue of commands, and the file that it prints."""

    def __init__(self, place: Path, gcodes: Path, speed: float) -> None:
        """Take where to listen, where files lie and how much faster than life things go."""
        self.place, self.gcodes, self.speed = place, gcodes, speed
        self.clients: set[Client] = set()
        self._jobs: set[asyncio.Task[Any]] = set()
        self.begin()

    def begin(self) -> None:
        """Be as after a restart."""
        self.state, self.words = "ready", "Printer is ready"
        self.stats = Stats()
        self.heaters = {"extruder": Heater(self.speed), "heater_bed": Heater(self.speed)}
        self.file: Path | None = None
        self.position = self.size = 0
        self.paused = False
        self.told_progress: float | None = None
        self.message: str | None = None
        # Commands are carried out one at a time; that of a print waits between the others'.
        self.queue = asyncio.Lock()
        self.stopping = False
        self.printing: asyncio.Task[None] | None = None
        self.place_now = [0.0, 0.0, 0.0]
        self.feed = 3000.0
        self.extruded = 0.0
        self.owed = 0.0

    # -- what is told -----------------------------------------------------------------------------

    def look(self, name: str) -> dict[str, Any]:
        """Return the state of one object; an unknown one has none."""
        progress = self.position / self.size if self.size else 0.0
        match name:
            case "webhooks":
                return {"state": self.state, "state_message": self.words}
            case "configfile":
                return {"config": {"virtual_sdcard": {"path": str(self.gcodes)}}, "settings": {}}
            case "print_stats":
                return self.stats.status()
            case "virtual_sdcard":
                return {
                    "file_path": str(self.file) if self.file else None,
                    "progress": progress,
                    "is_active": self.printing is not None and not self.printing.done(),
                    "file_position": self.position,
                    "file_size": self.size,
                }
            case "display_status":
                told = self.told_progress
                return {"progress": progress if told is None else told, "message": self.message}
            case "pause_resume":
                return {"is_paused": self.paused}
            case "idle_timeout":
                return {"state": "Printing" if self.stats.state == "printing" else "Ready"}
            case "extruder" | "heater_bed":
                return self.heaters[name].status()
            case "toolhead":
                return {"position": [*self.place_now, self.extruded], "homed_axes": "xyz"}
            case "heaters":
                return {"available_heaters": list(self.heaters)}
        return {}

    def seen(self, client: Client) -> dict[str, dict[str, Any]]:
        """Return all that a client subscribed to."""
        return {
            name: {
                key: value for key, value in self.look(name).items() if not fields or key in fields
            }
            for name, fields in client.objects.items()
        }

    async def tell(self) -> None:
        """Tell every client what has changed, four times a second."""
        while True:
            await asyncio.sleep(TOLD_EVERY_S)
            for client in list(self.clients):
                if client.update is None:
                    continue
                now = self.seen(client)
                changed = {
                    name: diff
                    for name, fields in now.items()
                    if (
                        diff := {
                            k: v for k, v in fields.items() if client.told.get(name, {}).get(k) != v
                        }
                    )
                }
                client.told = now
                if changed:
                    params = {"eventtime": self.now(), "status": changed}
                    client.send(client.update | {"params": params})

    def say(self, text: str) -> None:
        """Write a line of output."""
        for client in self.clients:
            if client.output is not None:
                client.send(client.output | {"params": {"response": text}})

    @staticmethod
    def now() -> float:
        """Return the printer's own time, which is no time of day."""
        return asyncio.get_running_loop().time()

    # -- the socket -------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Listen until ended."""
        telling = asyncio.get_running_loop().create_task(self.tell())
        while True:
            self.place.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self.talk, self.place, limit=2**20)
            self.restart = asyncio.Event()
            await self.restart.wait()
            server.close()
            self.place.unlink(missing_ok=True)
            for client in list(self.clients):
                client.writer.close()
            self.clients.clear()
            await asyncio.sleep(min(1.0, 2.0 / self.speed))
            if self.printing is not None:
                self.printing.cancel()
            assert not telling.done()
            self.begin()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it leaves."""
        client = Client(writer)
        self.clients.add(client)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                request = json.loads((await reader.readuntil(END))[:-1])
                task = asyncio.get_running_loop().create_task(self.answer(client, request))
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)
        self.clients.discard(client)
        writer.close()

    async def answer(self, client: Client, request: dict[str, Any]) -> None:
        """Carry out one request and say how it ended."""
        try:
            result = await self.handle(client, request["method"], request.get("params") or {})
        except GcodeError as err:
            error = {"error": "WebRequestError", "message": str(err)}
            client.send({"id": request.get("id"), "error": error})
        else:
            client.send({"id": request.get("id"), "result": result})

    async def handle(self, client: Client, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        match method:
            case "info":
                return self.info()
            case "list_endpoints":
                return {
                    "endpoints": [
                        *("info", "emergency_stop", "gcode/script", "gcode/help", "objects/list"),
                        *("objects/query", "objects/subscribe", "pause_resume/pause"),
                        *("pause_resume/resume", "pause_resume/cancel", "register_remote_method"),
                    ]
                }
            case "objects/list":
                return {"objects": list(OBJECTS)}
            case "objects/query":
                asked = Client(client.writer)
                asked.objects = params["objects"]
                return {"eventtime": self.now(), "status": self.seen(asked)}
            case "objects/subscribe":
                client.objects, client.update = params["objects"], params["response_template"]
                client.told = self.seen(client)
                return {"eventtime": self.now(), "status": client.told}
            case "gcode/subscribe_output":
                client.output = params["response_template"]
            case "gcode/script":
                await self.script(params["script"])
            case "pause_resume/pause" | "pause_resume/resume" | "pause_resume/cancel":
                verb = method.rpartition("/")[2]
                await self.script({"cancel": "CANCEL_PRINT"}.get(verb, verb.upper()))
            case "emergency_stop":
                self.shut_down("Shutdown due to webhooks request")
            case "standin/break":
                await self.fail(params)
        return {}

    def info(self) -> dict[str, Any]:
        """Return the name plate."""
        return {
            "state": self.state,
            "state_message": self.words,
            "hostname": "standin",
            "klipper_path": "/opt/klipper",
            "python_path": sys.executable,
            "process_id": os.getpid(),
            "user_id": os.getuid(),
            "group_id": os.getgid(),
            "log_file": "",
            "config_file": "",
            "software_version": "v0.13.0-standin",
            "cpu_info": "",
        }

    # -- what goes wrong --------------------------------------------------------------------------

    async def fail(self, params: dict[str, Any]) -> None:
        """Break as a test wants: ``shutdown`` with words, ``heater``, or ``exit``; ``cold`` cools it.

        ``slow``: the nozzle gets no warmer until it is to be ``fast`` again.
        """
        match params["what"]:
            case "cold":
                for heater in self.heaters.values():
                    heater.cool()
                    heater.speed = self.speed
            case "slow":
                self.heaters["extruder"].speed = 0.0
            case "fast":
                self.heaters["extruder"].speed = self.speed
            case "shutdown":
                self.shut_down(params["words"])
            case "heater":
                self.heaters["extruder"].broken = True
                await asyncio.sleep(0.3)
                self.shut_down("Heater extruder not heating at expected rate")
            case "exit":
                os._exit(1)

    def shut_down(self, words: str) -> None:
        """Stop at once; the file's work ends as the real one's does, by seeming paused."""
        if self.state == "shutdown":
            return
        self.state, self.words = "shutdown", words + RESTART_HINT
        self.say("// Klipper state: Shutdown")
        self.stopping = True

    # -- commands ---------------------------------------------------------------------------------

    async def script(self, text: str) -> None:
        """Run commands, one after the other, when their turn has come."""
        if text.strip() in {"RESTART", "FIRMWARE_RESTART"}:
            self.say("// Klipper state: Disconnect")
            self.restart.set()
            await asyncio.sleep(3600)
        if self.state != "ready":
            raise GcodeError(self.words)
        async with self.queue:
            try:
                for line in text.splitlines():
                    await self.run(line)
            except Shutdown as err:
                raise GcodeError(self.words) from err
            except GcodeError as err:
                self.say(f"!! {err}")
                raise

    async def run(self, line: str) -> None:
        """Run one line of G-code."""
        words = line.partition(";")[0].split()
        if not words:
            return
        code, values = words[0].upper(), _values(line)
        number = {key: float(value) for key, value in values.items() if _is_number(value)}
        match code:
            case "G0" | "G1":
                await self.move(number)
            case "G4":
                await self.wait(number.get("P", 0.0) / 1000 + number.get("S", 0.0))
            case "M104" | "M109":
                await self.heat(self.heaters["extruder"], number, wait=code == "M109")
            case "M140" | "M190":
                await self.heat(self.heaters["heater_bed"], number, wait=code == "M190")
            case "M73":
                self.told_progress = number.get("P", 0.0) / 100
            case "M112":
                self.shut_down("Shutdown due to M112 command")
            case "SET_PRINT_STATS_INFO":
                self.stats.layers = int(number.get("TOTAL_LAYER", self.stats.layers or 0)) or None
                self.stats.layer = int(number.get("CURRENT_LAYER", self.stats.layer or 0)) or None
            case _ if code not in IGNORED:
                await self.macro(code, values)

    async def macro(self, code: str, values: dict[str, str]) -> None:
        """Run a command that concerns the file."""
        match code:
            case "SDCARD_PRINT_FILE":
                self.load(values.get("FILENAME", ""))
                self.go()
            case "SDCARD_RESET_FILE":
                self.reset()
            case "PAUSE":
                await self.pause()
            case "RESUME":
                self.resume()
            case "CANCEL_PRINT":
                await self.cancel()
            case "TURN_OFF_HEATERS":
                self.heaters_off()
            case _:
                self.say(f'// Unknown command:"{code}"')

    async def heat(self, heater: Heater, values: dict[str, float], *, wait: bool) -> None:
        """Heat, and wait for it if that is wanted."""
        heater.target = values.get("S", 0.0)
        if wait:
            await self.until(lambda: heater.ready)

    async def move(self, values: dict[str, float]) -> None:
        """Take as long as the way needs, and count the filament."""
        self.feed = values.get("F", self.feed)
        pushed = values.get("E", 0.0)
        if pushed > 0 and self.heaters["extruder"].heat < COLDEST_EXTRUSION:
            raise GcodeError(COLD)
        goal = [values.get(axis, was) for axis, was in zip("XYZ", self.place_now, strict=True)]
        if any(abs(one) > FARTHEST for one in goal):
            told = " ".join(f"{one:.3f}" for one in goal)
            raise GcodeError(f"Move out of range: {told} [{pushed:.3f}]")
        way = math.dist(goal, self.place_now)
        self.place_now = goal
        self.stats.filament += max(pushed, 0.0)
        self.extruded += pushed
        await self.wait(way / self.feed * 60)

    async def wait(self, seconds: float) -> None:
        """Let time pass; what is too short to sleep for is added up."""
        self.owed += seconds / self.speed
        if self.owed > 0.02:
            owed, self.owed = self.owed, 0.0
            end = self.now() + owed
            await self.until(lambda: self.now() >= end)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something, unless the printer shuts down."""
        while not true():
            if self.state != "ready":
                raise Shutdown
            await asyncio.sleep(0.02)

    def heaters_off(self) -> None:
        """Heat nothing any more."""
        for heater in self.heaters.values():
            heater.target = 0.0

    # -- the file ---------------------------------------------------------------------------------

    def load(self, name: str) -> None:
        """Select a file, if nothing prints."""
        if self.printing is not None and not self.printing.done():
            raise GcodeError("SD busy")
        self.reset()
        found = self.gcodes / name.lstrip("/")
        if not name or not found.is_file():
            raise GcodeError("Unable to open file")
        self.file, self.size = found, found.stat().st_size
        self.say(f"File opened:{name} Size:{self.size}")
        self.say("File selected")
        self.stats.reset(name)

    def reset(self) -> None:
        """Select no file."""
        if self.printing is not None and not self.printing.done():
            raise GcodeError("SDCARD_RESET_FILE cannot be run from the sdcard")
        self.stats.reset()
        self.file, self.position, self.size, self.paused = None, 0, 0, False

    def go(self) -> None:
        """Print from where the file is."""
        self.stopping = False
        self.printing = asyncio.get_running_loop().create_task(self.work())

    async def pause(self) -> None:
        """Rest, when the line that runs has ended."""
        if self.paused:
            self.say("Print already paused")
            return
        self.paused = True
        if self.printing is None or self.printing.done():
            self.say("// action:paused")
            return
        await self.rest()

    def resume(self) -> None:
        """Go on."""
        if not self.paused:
            self.say("Print is not paused, resume aborted")
            return
        self.paused = False
        if self.file is None or self.stats.state != "paused":
            self.say("// action:resumed")
            return
        self.go()

    async def cancel(self) -> None:
        """End the print, if there is one."""
        if self.file is None:
            self.say("// action:cancel")
            return
        await self.rest()
        self.stats.finish("cancelled")
        self.file, self.position, self.size, self.paused = None, 0, 0, False
        self.heaters_off()

    async def rest(self) -> None:
        """Have the file's work end where it is."""
        self.stopping = True
        if self.printing is not None:
            await asyncio.wait([self.printing])

    async def work(self) -> None:
        """Run the lines of the file, between other commands, to its end or until it shall rest."""
        assert self.file is not None
        text = await asyncio.to_thread(self.file.read_bytes)
        self.stats.start()
        try:
            while self.position < self.size and not self.stopping:
                # Whoever holds the queue may want this work to end, and waits for it.
                if self.queue.locked():
                    await asyncio.sleep(0.01)
                    continue
                end = text.find(b"\n", self.position)
                end = self.size if end < 0 else end + 1
                async with self.queue:
                    await self.run(text[self.position : end].decode())
                self.position = end
                await asyncio.sleep(0)
        except GcodeError as err:
            self.say(f"!! {err}")
            self.heaters_off()
            self.stats.finish("error", str(err))
        except Shutdown:
            pass
        else:
            if self.position >= self.size and self.state == "ready":
                self.file = None
                self.stats.finish("complete")
                return
        if self.stats.state == "printing":
            if self.state != "ready":
                # The real one's work notices a little later, and then only seems to be paused.
                await asyncio.sleep(STILL_PRINTING_S)
            self.stats.pause()


def _values(line: str) -> dict[str, str]:
    """Return the parameters of a command: ``X1`` or ``NAME=value``, the value perhaps in quotes."""
    bare = line.partition(";")[0]
    named = {
        key.upper(): quoted.replace('\\"', '"') or plain
        for key, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', bare)
    }
    return named or {word[0].upper(): word[1:] for word in bare.split()[1:]}


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d*)?|-?\.\d+", text) is not None


def main(place: str, gcodes: str, speed: str = "1") -> Coroutine[Any, Any, None]:
    """Serve the printer that the command line names."""

    async def serve() -> None:
        await Klippy(Path(place), Path(gcodes), float(speed)).serve()

    return serve()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
