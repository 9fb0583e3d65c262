"""A real NATS server with JetStream on a free port of this machine."""

from pathlib import Path
import shutil

from tests.standins.server import Server, free_port

SERVER = shutil.which("nats-server") or "/usr/sbin/nats-server"


class NatsServer(Server):
    """One server, whose streams are on its disk."""

    def __init__(self, folder: Path, *more: str, jetstream: bool = True) -> None:
        """Choose a port; ``more`` are lines of its configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        config, port = folder / "server.conf", free_port()
        streams = (f'jetstream {{ store_dir: "{folder}/streams" }}',) if jetstream else ()
        config.write_text("\n".join((f"listen: 127.0.0.1:{port}", *streams, *more, "")))
        super().__init__(SERVER, config, port)

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"nats://127.0.0.1:{self.port}"
