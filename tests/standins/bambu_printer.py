"""A Bambu printer that does not exist, as a program: MQTT client, FTPS server and camera of one printer.

    python tests/standins/bambu_printer.py FOLDER ADDRESS MQTT FTP CAMERA SERIAL

Takes lines of JSON on its standard input ({"do": ...}) and answers each with one on its standard output.
"""

from collections.abc import Callable
from contextlib import suppress
import errno
import io
import json
import logging
from pathlib import Path
import re
import socket
import ssl
import sys
import threading
import time
from typing import Any
import zipfile

from OpenSSL import SSL
import paho.mqtt.client as mqtt
from PIL import Image
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

TICK_S = 0.05
LOCKED_FUN, OPEN_FUN = "3EC1AFFF9CFF", "3EC18FFF9CFF"
UNSIGNED = 84033543
CANCELLED = 50348044
ROOM_C = 25.0
FULL = 2 * 1024 * 1024


class Printer:
    """The machine: takes commands, prints, reports."""

    def __init__(self, files: Path, serial: str, say: Callable[[Any], None]) -> None:
        """Stand idle, with the last print's figures still in the report."""
        self.lock = threading.RLock()
        self.files, self.serial, self._say = files, serial, say
        self.locked = False
        self.quiet_until = 0.0
        # Whether it does nothing any more, though its broker still answers.
        self.deaf = False
        # Whether it never tells the whole state.
        self.stubborn = False
        # How large a file may get, and after how many bytes of one the line breaks.
        self.room: int | None = None
        self.breaks_after: int | None = None
        self.renames = True
        self.commands: list[str] = []
        # Commands that are carried out, and then nothing is heard for three seconds.
        self.swallow: set[str] = set()
        self._print: dict[str, Any] | None = None
        self._changes: dict[str, Any] = {}
        self._report_at = self._clear_at = 0.0
        tray = {"tray_type": "PLA", "tray_color": "FF6A13FF", "remain": 62, "tag_uid": "0"}
        self.state: dict[str, Any] = {
            "gcode_state": "IDLE",
            "gcode_file": "",
            "subtask_name": "",
            "mc_percent": 100,
            "mc_remaining_time": 0,
            "layer_num": 60,
            "total_layer_num": 60,
            "nozzle_temper": ROOM_C,
            "nozzle_target_temper": 0.0,
            "bed_temper": ROOM_C,
            "bed_target_temper": 0.0,
            "stg_cur": 255,
            "print_error": 0,
            "hms": [],
            "fun": OPEN_FUN,
            "print_type": "local",
            "wifi_signal": "-53dBm",
            "nozzle_diameter": "0.4",
            "ams": {
                "ams_exist_bits": "1",
                "ams": [
                    {
                        "id": "0",
                        "humidity": "4",
                        "temp": "25.0",
                        "tray": [{"id": "0", **tray}, {"id": "1"}, {"id": "2"}, {"id": "3"}],
                    }
                ],
            },
            "vt_tray": {"id": "254", "tray_type": "", "tray_color": "00000000", "remain": 0},
            "ipcam": {"rtsp_url": "disable"},
        }

    def set(self, **changes: Any) -> None:
        """Change what is reported; only what differs is sent."""
        for name, value in changes.items():
            if self.state.get(name) != value:
                self.state[name] = self._changes[name] = value

    def hear(self, message: dict[str, Any]) -> None:
        """Take one message of the request topic."""
        with self.lock:
            for part, body in message.items():
                command = body.get("command")
                self.commands.append(command)
                if self.deaf:
                    continue
                match part, command:
                    case "pushing", "pushall" if not self.stubborn:
                        self._push(self.state, 0)
                    case "pushing", "start":
                        self.quiet_until = 0.0
                        self._report_at = 0.0
                    case "info", "get_version":
                        self._tell("info", {**body, "module": self._modules()})
                    case "print", _:
                        self._order(body)

    def live(self) -> None:
        """Let a moment pass."""
        with self.lock:
            now = time.monotonic()
            if self._clear_at and now >= self._clear_at:
                self._clear_at = 0.0
                self.set(print_error=0)
            self._heat()
            if self._print:
                self._go_on(self._print)
            if now >= max(self._report_at, self.quiet_until) and not self.deaf:
                self._report_at = now + 0.3
                changes, self._changes = self._changes, {}
                self._push(changes or {"wifi_signal": "-54dBm"}, 1)

    def rest(self) -> None:
        """Be as after a power cut: nothing prints, nothing is wrong."""
        with self.lock:
            self._print, self.quiet_until, self.locked = None, 0.0, False
            self.deaf = self.stubborn = False
            self.room, self.breaks_after, self.renames = None, None, True
            self.commands.clear()
            self.swallow.clear()
            self.set(
                gcode_state="IDLE",
                gcode_file="",
                subtask_name="",
                print_error=0,
                hms=[],
                fun=OPEN_FUN,
                stg_cur=255,
                nozzle_target_temper=0.0,
                bed_target_temper=0.0,
            )

    def fail(self, error: int, hms: list[dict[str, int]]) -> None:
        """Break down, in the middle of a print if there is one."""
        with self.lock:
            failed = {"gcode_state": "FAILED"} if self._print else {}
            self._print = None
            self.set(print_error=error, hms=hms, stg_cur=255, **failed)
            self._clear_at = time.monotonic() + 2.0

    def _order(self, body: dict[str, Any]) -> None:
        command = body["command"]
        if command in self.swallow:
            self.quiet_until = time.monotonic() + 3.0
        if self.locked:
            self._tell("print", {**body, "result": "failed", "err_code": UNSIGNED})
            return
        problem = self._do(body)
        result = {"result": "FAIL", "reason": problem} if problem else {"result": "SUCCESS"}
        self._tell("print", {**body, **result})

    def _do(self, body: dict[str, Any]) -> str:
        """Carry out a command; returns why not."""
        job = self._print
        match body["command"]:
            case "project_file":
                file = body["url"].rpartition("/")[2]
                return self._start(file, body["param"], body.get("subtask_name", ""))
            case "gcode_file":
                file = body["param"].rpartition("/")[2]
                return self._start(file, None, file)
            case "pause" if job:
                job["pause"] = True
            case "resume" if job:
                job["pause"] = False
            case "stop" if job:
                # The error first, then the state, and soon no error any more.
                self._print = None
                self.set(print_error=CANCELLED)
                self._push({"print_error": CANCELLED}, 1)
                self._changes.clear()
                self.set(gcode_state="FAILED", stg_cur=255, nozzle_target_temper=0.0)
                self._clear_at = time.monotonic() + 1.0
            case "gcode_line":
                for code, value in re.findall(r"(M104|M140) S([\d.]+)", body["param"]):
                    heater = "nozzle" if code == "M104" else "bed"
                    self.set(**{f"{heater}_target_temper": float(value)})
            case _:
                return "not printing"
        return ""

    def _start(self, file: str, plate: str | None, name: str) -> str:
        if self._print:
            return "busy"
        text = self._gcode(file, plate)
        if text is None:
            return "no such file"
        found = re.search(r"; seconds=([\d.]+) warm_up=(\d)", text)
        seconds, warm_up = (float(found[1]), found[2] == "1") if found else (5.0, False)
        self._print = {
            "seconds": seconds,
            "done": 0.0,
            "heat_s": 1.5 if warm_up else 0.3,
            "pause": False,
            "at": time.monotonic(),
        }
        # The state first, with the last print's name and figures; the name follows.
        self.set(gcode_state="PREPARE", stg_cur=2)
        self._push({"gcode_state": "PREPARE", "mc_percent": self.state["mc_percent"]}, 1)
        self.set(gcode_file=file, subtask_name=name, nozzle_target_temper=200.0)
        return ""

    def _gcode(self, file: str, plate: str | None) -> str | None:
        """Return the text that would be printed; None where there is none."""
        with suppress(OSError, KeyError, zipfile.BadZipFile):
            if plate is None:
                return (self.files / file).read_text(errors="replace")
            with zipfile.ZipFile(self.files / file) as project:
                return project.read(plate).decode()
        return None

    def _go_on(self, job: dict[str, Any]) -> None:
        now = time.monotonic()
        passed, job["at"] = now - job["at"], now
        if job["heat_s"] > 0:
            job["heat_s"] -= passed
        elif job["pause"]:
            self.set(gcode_state="PAUSE", stg_cur=16)
        else:
            job["done"] += passed
            share = min(job["done"] / job["seconds"], 1.0)
            self.set(
                gcode_state="RUNNING",
                stg_cur=0,
                mc_percent=int(share * 100),
                mc_remaining_time=round((job["seconds"] - job["done"]) / 60),
                layer_num=int(share * 40),
                total_layer_num=40,
            )
            if share >= 1.0:
                self._print = None
                self.set(gcode_state="FINISH", stg_cur=255, nozzle_target_temper=0.0)

    def _heat(self) -> None:
        for heater in ("nozzle", "bed"):
            wanted = max(self.state[f"{heater}_target_temper"], ROOM_C)
            now = self.state[f"{heater}_temper"]
            self.set(**{f"{heater}_temper": round(now + (wanted - now) * 0.2, 1)})

    def _modules(self) -> list[dict[str, str]]:
        ota = {"name": "ota", "sw_ver": "01.07.00.00", "product_name": "Bambu Lab P1S"}
        return [{"name": "esp32", "sw_ver": "01.11.00.00"}, ota]

    def _push(self, changes: dict[str, Any], kind: int) -> None:
        self._tell("print", {**changes, "command": "push_status", "msg": kind, "sequence_id": "0"})

    def _tell(self, part: str, body: dict[str, Any]) -> None:
        if time.monotonic() >= self.quiet_until:
            self._say({part: body})


class Data(TLS_DTPHandler):
    """A data connection that is refused outside of the first one's TLS session, as the printer does."""

    def handle_ssl_established(self) -> None:
        """Look whether the session was taken up again."""
        if not SSL._lib.SSL_session_reused(self.socket._ssl):
            self.cmd_channel.respond("522 SSL connection failed: session reuse required")
            self.close()

    def handle_error(self) -> None:
        """Say that the card is full, or say nothing more at all."""
        trouble = sys.exc_info()[1]
        number = getattr(getattr(trouble, "__cause__", None), "errno", None)
        if number == errno.ENOSPC:
            self._resp = ("552 Insufficient storage space", logging.getLogger("pyftpdlib").info)
            self.close()
        elif number == errno.EIO:
            self.close()
            self.cmd_channel.close_when_done()
        else:
            super().handle_error()


class File(io.FileIO):
    """A file that takes no more than there is room for."""

    printer: Printer

    def write(self, data: Any, /) -> int:
        """Write, as long as there is room and the line holds."""
        written = self.tell() + len(data)
        if self.printer.room is not None and written > self.printer.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.printer.breaks_after is not None and written > self.printer.breaks_after:
            raise OSError(errno.EIO, "The line broke")
        return super().write(data)


class Card(AbstractedFS):
    """The printer's card, which may be full."""

    def open(self, filename: str, mode: str) -> Any:
        """Open a file that knows of the room."""
        return File(filename, mode) if "w" in mode else super().open(filename, mode)


def serve_files(printer: Printer, folder: Path, address: str, port: int) -> Callable[[str], None]:
    """Serve the card by FTP inside TLS; returns how to change the access code."""
    authorizer = DummyAuthorizer()
    File.printer = printer

    class Control(TLS_FTPHandler):
        certfile = str(folder / "printer.pem")
        abstracted_fs = Card
        dtp_handler = Data
        auth_failed_timeout = 0

        def ftp_STOR(self, file: str, mode: str = "w") -> Any:  # noqa: N802 - pyftpdlib names it so
            if printer.room == 0:
                return self.respond("552 Insufficient storage space")
            return super().ftp_STOR(file, mode)

        def ftp_RNFR(self, path: str) -> Any:  # noqa: N802 - pyftpdlib names it so
            if printer.renames:
                return super().ftp_RNFR(path)
            return self.respond("502 Command not implemented.")

        def handle(self) -> None:
            self.secure_connection(self.get_ssl_context())

        def handle_ssl_established(self) -> None:
            super().handle()

    Control.authorizer = authorizer
    context = Control.get_ssl_context()
    context.set_session_id(b"printer")

    def code(new: str) -> None:
        authorizer.user_table.clear()
        authorizer.add_user("bblp", new, str(printer.files), perm="elradfmw")

    server = FTPServer((address, port), Control)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return code


def serve_camera(folder: Path, address: str, port: int, code: list[str]) -> None:
    """Send one JPEG after the other to whoever knows the access code."""
    drawn = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 90)).save(drawn, "JPEG")
    picture = drawn.getvalue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "printer.pem")
    listener = socket.create_server((address, port))

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as sock:
            hello = b""
            while len(hello) < 80 and (more := sock.recv(80 - len(hello))):
                hello += more
            if (
                hello[16:48].rstrip(b"\0") != b"bblp"
                or hello[48:].rstrip(b"\0").decode() != code[0]
            ):
                return
            while True:
                sock.sendall(len(picture).to_bytes(4, "little") + b"\0" * 12)
                time.sleep(0.02)
                sock.sendall(picture)
                time.sleep(0.2)

    def accept() -> None:
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=serve, args=(plain,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def connect(folder: Path, address: str, port: int, serial: str) -> tuple[mqtt.Client, Printer]:
    """Connect a printer to its own broker."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)

    def say(message: Any) -> None:
        client.publish(f"device/{serial}/report", json.dumps(message))

    printer = Printer(folder / "card", serial, say)
    client.username_pw_set("printer", "inside")
    client.tls_set(cert_reqs=ssl.CERT_NONE)
    client.tls_insecure_set(True)
    client.reconnect_delay_set(0.1, 0.5)
    client.on_connect = lambda *_: client.subscribe(f"device/{serial}/request")
    client.on_message = lambda _client, _data, message: printer.hear(json.loads(message.payload))
    client.connect_async(address, port)
    client.loop_start()
    return client, printer


def obey(printer: Printer, wanted: dict[str, Any]) -> Any:
    """Do what no network can ask of a printer, and return what there is to say about it."""
    with printer.lock:
        match wanted.pop("do"):
            case "rest":
                printer.rest()
            case "fail":
                printer.fail(**wanted)
            case "set":
                printer.set(**wanted)
            case "lock":
                printer.locked = wanted["locked"]
                printer.set(fun=LOCKED_FUN if wanted["tells"] else OPEN_FUN)
            case "swallow":
                printer.swallow = {wanted["command"]}
            case "quiet":
                printer.quiet_until = time.monotonic() + wanted["seconds"]
            case "deaf":
                printer.deaf = wanted["deaf"]
            case "stubborn":
                printer.stubborn = wanted["stubborn"]
            case "full":
                printer.room = wanted.get("room", FULL) if wanted["full"] else None
            case "break":
                printer.breaks_after = wanted["after"]
            case "rename":
                printer.renames = wanted["works"]
    return printer.commands


def live(printer: Printer) -> None:
    """Let time pass."""
    while True:
        printer.live()
        time.sleep(TICK_S)


def main() -> None:
    """Be the printer until the input ends."""
    folder, address = Path(sys.argv[1]), sys.argv[2]
    mqtt_port, ftp_port, camera_port = map(int, sys.argv[3:6])
    serial, code = sys.argv[6], [sys.argv[7]]
    client, printer = connect(folder, address, mqtt_port, serial)
    new_code = serve_files(printer, folder, address, ftp_port)
    new_code(code[0])
    serve_camera(folder, address, camera_port, code)
    threading.Thread(target=live, args=(printer,), daemon=True).start()
    while not client.is_connected():
        time.sleep(0.02)
    sys.stdout.write("[]\n")
    sys.stdout.flush()
    for line in sys.stdin:
        wanted = json.loads(line)
        if "text" in wanted:
            client.publish(f"device/{serial}/report", wanted["text"])
        while "connected" in wanted and not client.is_connected():
            time.sleep(0.02)
        if "code" in wanted:
            code[0] = wanted["code"]
            new_code(code[0])
        sys.stdout.write(json.dumps(obey(printer, wanted)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
