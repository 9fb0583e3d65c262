"""A Bambu printer that does not exist: a real Mosquitto with TLS, and the program beside this file.

It is our own idea of such a printer; ``test_bambu_standin.py`` asks somebody else's client about it.
"""

import base64
from datetime import UTC, datetime, timedelta
import hashlib
import json
import os
from pathlib import Path
import shutil
import socket
import subprocess
import sys
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BROKER = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
PROGRAM = Path(__file__).with_name("bambu_printer.py")


class Bambu:
    """One printer, switched on; all its methods block."""

    def __init__(self, folder: Path, serial: str = "01P00A000000001") -> None:
        """Make its certificate, issued by a maker's authority of its own, and its empty card."""
        self.folder, self.serial, self.code = folder, serial, "12345678"
        self.address = "127.0.0.1"
        self.mqtt_port, self.ftp_port, self.camera_port = (_free_port() for _ in range(3))
        (folder / "card").mkdir(parents=True)
        self.authority, self.fingerprint = certificates(folder, serial)
        self._broker: subprocess.Popen[bytes] | None = None
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
        passwords = self.folder / "passwords"
        passwords.write_text(_password("bblp", self.code) + _password("printer", "inside"))
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.mqtt_port} {self.address}\n"
            f"certfile {self.folder}/printer.pem\nkeyfile {self.folder}/printer.pem\n"
            f"password_file {passwords}\nallow_anonymous false\npersistence false\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )
        with (self.folder / "broker.log").open("ab") as output:
            self._broker = subprocess.Popen(
                [BROKER, "-c", self.folder / "mosquitto.conf"], stdout=output, stderr=output
            )
        _wait_for(self.mqtt_port)

    def kill_broker(self) -> None:
        """Kill the broker; the printer goes on."""
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait()
            self._broker = None

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
        elif self._broker is None:
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


def certificates(folder: Path, serial: str) -> tuple[str, str]:
    """Write ``printer.pem`` and return the authority's PEM and the certificate's fingerprint.

    As the maker's, the authority has no key usage, and the certificate no address.
    """
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("BBL CA")
    authority = (
        _unsigned(issuer, issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    own = _unsigned(_name(serial), issuer, key).sign(authority_key, hashes.SHA256())
    pem = own.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "printer.pem").write_bytes(pem)
    fingerprint = own.fingerprint(hashes.SHA256()).hex()
    return authority.public_bytes(serialization.Encoding.PEM).decode(), fingerprint


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _password(user: str, password: str) -> str:
    """Return a line of Mosquitto's password file."""
    salt = os.urandom(12)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}\n"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    message = "Mosquitto does not listen"
    raise TimeoutError(message)
