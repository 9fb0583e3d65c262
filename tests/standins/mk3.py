"""A Prusa MK3S on a serial line: as much of its firmware's dialect as PrusaLink wants to hear."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
import os
from pathlib import Path
import re
import select
import threading
import time
import tty
from typing import Any

# Degrees per second; a real hotend takes a minute where this one takes some seconds.
HEATING = 40.0
ROOM = 25.0
NUMBERED = re.compile(rb"N\d+ (.*?) ?\*\d+")
NUMBER = re.compile(r"([A-Z])(-?[\d.]+)")
# What a card holds: the short name, and what people call it.
CARD = {"BRACKE~1.GCO": "Bracket for the long shelf.gcode"}
CARD_BYTES = 4000


class MK3:
    """One printer; its line is a pseudo-terminal to which a link leads."""

    def __init__(self, link: Path) -> None:
        """Take the place of the link; nothing is connected yet."""
        self.link = link
        self.eeprom = bytearray(4096)
        # PrusaLink reads the names of eight steel sheets there.
        self.eeprom[0x0D49 : 0x0D49 + 88] = b"Smooth1\0\0\0\0" * 8
        self._master = self._slave = -1
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._boot()

    def _boot(self) -> None:
        self._lines: deque[str] = deque()
        self._rest = b""
        self._busy: Callable[[], bool] | None = None
        self._reports_every = 0.0
        self._next_report = 0.0
        self._next_word = 0.0
        self.targets = {"nozzle": 0.0, "bed": 0.0}
        self.actual = {"nozzle": ROOM, "bed": ROOM}
        self._warm_at = time.monotonic()
        self._paused = self._alone = False
        self._percent = (-1, -1)
        # The file that is printed from the card, and how many of its bytes were.
        self._card = ""
        self._byte = 0.0

    def plug(self) -> None:
        """Connect the line and switch on."""
        self._boot()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self._slave))
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="mk3", daemon=True)
        self._thread.start()
        self.say("start")

    def unplug(self) -> None:
        """Pull the cable out."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            os.close(self._master)
            os.close(self._slave)

    def reset(self) -> None:
        """Press the button on the printer."""
        self._boot()
        self.say("start")

    def overheat(self) -> None:
        """Stop as the firmware does when a thermistor reads too much."""
        self.say("Error:Printer halted. kill() called!")
        self.say("Error:0: Heaters switched off. MAXTEMP triggered!")

    def wait_for_person(self) -> None:
        """Do nothing until somebody presses the knob, and say so."""
        self._alone = True

    def attend(self) -> None:
        """Press the knob."""
        self._alone = False

    def say(self, *lines: str) -> None:
        """Send lines."""
        with self._writing, suppress(OSError):
            os.write(self._master, "".join(f"{line}\n" for line in lines).encode())

    def _run(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._master], [], [], 0.02)
            if ready:
                with suppress(OSError):
                    self._hear(os.read(self._master, 4096))
            self._warm_up()
            self._report()
            if self._alone:
                self._complain()
                continue
            if self._busy is not None and self._busy():
                self._busy = None
                self.say("ok")
            while self._lines and self._busy is None:
                self._obey(self._lines.popleft())

    def _complain(self) -> None:
        now = time.monotonic()
        if now >= self._next_word:
            self._next_word = now + 1
            self.say("echo:busy: paused for user")

    def _hear(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            numbered = NUMBERED.fullmatch(line.strip())
            self._lines.append((numbered[1] if numbered else line).decode().strip())

    def _warm_up(self) -> None:
        now = time.monotonic()
        step, self._warm_at = (now - self._warm_at) * HEATING, now
        for part, target in self.targets.items():
            wanted = max(target, ROOM)
            away = wanted - self.actual[part]
            self.actual[part] += max(-step, min(step, away))
        if self._card and not self._paused:
            self._byte += step * 10

    def _report(self) -> None:
        now = time.monotonic()
        if self._reports_every and now >= self._next_report:
            self._next_report = now + self._reports_every
            nozzle, bed = self.actual["nozzle"], self.actual["bed"]
            self.say(
                f"T:{nozzle:.1f} /{self.targets['nozzle']:.1f} B:{bed:.1f} /{self.targets['bed']:.1f}"
                f" T0:{nozzle:.1f} /{self.targets['nozzle']:.1f} @:0 B@:0 P:0.0 A:30.0",
                "X:10.00 Y:10.00 Z:0.40 E:0.00 Count X: 10.00 Y:10.00 Z:0.40 E:0.00",
                "E0:4000 RPM PRN1:0 RPM E0@:100 PRN1@:0",
            )
        if self._card and self._byte >= CARD_BYTES:
            self._card = ""
            self.say("Done printing file")

    def _obey(self, line: str) -> None:
        if not line:
            return
        word = line.split(" ", 1)[0]
        given = dict(NUMBER.findall(line[len(word) :]))
        answer = getattr(self, f"_{word.casefold().replace('.', '_')}", None)
        if answer is None:
            self.say("ok")
            return
        told = answer(line, given)
        if callable(told):
            self._busy = told
        else:
            self.say(*told, "ok")

    # -- what each line does; a function that is returned says when it is done --------------------------

    def _prusa(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        return ("3.14.1-8237",) if "Fir" in line else ("CZPX4720X004XC34242",)

    def _m862_1(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        return ("0.40",)

    def _m862_2(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        return ("302",)

    def _d3(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        """Read or write the EEPROM."""
        words = {part[0]: part[1:] for part in line.split(" ")[1:]}
        at = int(words["A"][1:], 16)
        if "X" in words:
            data = bytes.fromhex(words["X"])
            self.eeprom[at : at + len(data)] = data
            return ()
        size = int(words["C"])
        return tuple(
            f"{row:04X}  {self.eeprom[row : min(row + 16, at + size)].hex(' ')}"
            for row in range(at, at + size, 16)
        )

    def _m220(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        return ("100%",)

    _m221 = _m220

    def _m420(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        return ("Num X,Y: 3,3", *("  0.10  0.10  0.10",) * 3)

    def _m73(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        if "P" in given:
            self._percent = (int(given["P"]), int(given.get("R", -1)))
        told = f"Percent done: {self._percent[0]}; print time remaining in mins: {self._percent[1]}"
        return tuple(f"{mode} MODE: {told}; Change in mins: -1" for mode in ("NORMAL", "SILENT"))

    def _m155(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        # Faster than was asked for, so that a test sees the figures that it waits for.
        self._reports_every = float(given.get("S", 0)) / 4
        return ()

    def _m104(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        self.targets["nozzle"] = float(given["S"])
        return ()

    def _m140(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        self.targets["bed"] = float(given["S"])
        return ()

    def _m109(self, line: str, given: dict[str, str]) -> Callable[[], bool]:
        self._m104(line, given)
        return self._hot

    def _hot(self) -> bool:
        now = time.monotonic()
        if now >= self._next_word:
            self._next_word = now + 1
            self.say(f"T:{self.actual['nozzle']:.1f} E:0 B:{self.actual['bed']:.1f}")
        return self.actual["nozzle"] >= self.targets["nozzle"] - 1

    def _g4(self, line: str, given: dict[str, str]) -> Callable[[], bool]:
        until = time.monotonic() + float(given.get("P", 0)) / 1000
        return lambda: time.monotonic() >= until

    def _m601(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        self._paused = True
        return ("// action:paused",)

    _m25 = _m601

    def _m602(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        self._paused = False
        return ("// action:resumed",)

    def _m603(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        self._paused, self._card = False, ""
        self.targets = {"nozzle": 0.0, "bed": 0.0}
        return ("// action:cancel",)

    def _m20(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        files = (f'{short} 0x5a2b7c00 {CARD_BYTES} "{name}"' for short, name in CARD.items())
        return ("Begin file list", *files, "End file list")

    def _m21(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        return ("echo:SD card ok",)

    def _m23(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        name = line.split(" ", 1)[1].lstrip("/").upper()
        if name not in CARD:
            return (f"open failed, File: {name}.",)
        self._card, self._byte, self._paused = name, 0.0, True
        return (f"File opened: /{self._card} Size: {CARD_BYTES}", "File selected")

    def _m24(self, line: str, given: dict[str, str]) -> tuple[str, ...]:
        self._paused = False
        return ()

    def _m27(self, line: str, given: dict[str, str]) -> tuple[Any, ...]:
        if self._card and not self._paused:
            position = f"SD printing byte {self._byte:.0f}/{CARD_BYTES}"
            return (f"/{self._card.lower()}", position, "00:01")
        return ("Print saved",) if self._paused else ("Not SD printing",)
