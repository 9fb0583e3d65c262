"""A real Mosquitto on a free port of this machine."""

import os
from pathlib import Path
import shutil

from tests.standins.server import Server, free_port

BROKER = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
OPEN = ("allow_anonymous true",)


class Mosquitto(Server):
    """One broker, open to everybody unless its configuration says otherwise."""

    def __init__(self, folder: Path, *more: str, given: tuple[str, ...] = OPEN) -> None:
        """Choose a port; ``more`` are lines of its configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        config, port = folder / "mosquitto.conf", free_port()
        own = ("user root",) if os.geteuid() == 0 else ()
        config.write_text("\n".join((f"listener {port} 127.0.0.1", *given, *more, *own, "")))
        super().__init__(BROKER, config, port)

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"mqtt://127.0.0.1:{self.port}"
