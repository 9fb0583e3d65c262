"""A Bambu printer that does not exist: a real Mosquitto with TLS, and the program beside this file.

It is our own idea of such a printer; ``test_bambu_standin.py`` asks somebody else's client about it.
"""

import base64
import hashlib
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from tests.standins.certificates import makers
from tests.standins.mosquitto import Mosquitto
from tests.standins.server import free_port

PROGRAM = Path(__file__).with_name("bambu_printer.py")


class Bambu:
    """One printer, switched on; all its methods block."""

    def __init__(self, folder: Path, serial: str = "01P00A000000001") -> None:
        """Make its certificate, issued by a maker's authority of its own, and its empty card."""
        self.folder, self.serial, self.code = folder, serial, "12345678"
        self.address = "127.0.0.1"
        self.ftp_port, self.camera_port = free_port(), free_port()
        (folder / "card").mkdir(parents=True)
        self.authority, self.fingerprint = makers(folder, serial)
        self._broker = Mosquitto(
            folder,
            f"certfile {folder}/printer.pem\nkeyfile {folder}/printer.pem",
            f"password_file {folder}/passwords\nallow_anonymous false\npersistence false",
            given=(),
        )
        self.mqtt_port = self._broker.port
        self._printer: subprocess.Popen[str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Return what a person fills in."""
        return {
            "host": self.address,
            "serial": self.serial,
            "access_code": self.code,
            "fingerprint": self.fingerprint,
        }

    def start(self) -> None:
        """Switch it on, and wait until it is ready."""
        self.start_broker()
        ports = (self.mqtt_port, self.ftp_port, self.camera_port)
        environment = os.environ | {"PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
        with (self.folder / "output.log").open("ab") as errors:
            self._printer = subprocess.Popen(
                [
                    *(sys.executable, PROGRAM, self.folder, self.address, *map(str, ports)),
                    *(self.serial, self.code),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        self._answer()

    def kill(self) -> None:
        """Switch it off, as a power cut does."""
        self.kill_broker()
        if self._printer is not None:
            self._printer.kill()
            self._printer.communicate()
            self._printer = None

    def start_broker(self) -> None:
        """Start the broker, and wait until it listens."""
        passwords = _password("bblp", self.code) + _password("printer", "inside")
        (self.folder / "passwords").write_text(passwords)
        self._broker.start()

    def kill_broker(self) -> None:
        """Kill the broker; the printer goes on."""
        self._broker.kill()

    def change_code(self, code: str) -> None:
        """Take another access code, as from the printer's screen: who is connected is thrown out."""
        self.code = code
        self.kill_broker()
        self.tell("code", code=code)
        self.start_broker()
        self.tell("connect", connected=True)

    def rest(self) -> None:
        """Be idle, whole and unlocked, with an empty card, so that the next test starts afresh."""
        if self._printer is None:
            self.start()
        elif not self._broker.is_running:
            self.start_broker()
        self.tell("rest")
        for file in (self.folder / "card").iterdir():
            file.unlink()

    def tell(self, what: str, **more: Any) -> Any:
        """Have the printer do something that no network can ask of it."""
        assert self._printer is not None
        assert self._printer.stdin is not None
        self._printer.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._printer.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._printer is not None
        assert self._printer.stdout is not None
        line = self._printer.stdout.readline()
        if not line:
            raise RuntimeError((self.folder / "output.log").read_text()[-2000:])
        return json.loads(line)


def _password(user: str, password: str) -> str:
    """Return a line of Mosquitto's password file."""
    salt = os.urandom(12)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}\n"
