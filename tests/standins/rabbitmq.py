"""A real RabbitMQ on free ports of this machine, its files in a folder of its own."""

import os
from pathlib import Path
import signal
import subprocess
import time

from tests.standins.server import free_port, is_open, wait_for

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
# Erlang closes every file that it could have open: with the limits of some machines that takes minutes.
MOST_FILES = 4096


class RabbitMq:
    """One broker; all its methods block. Its durable queues outlive a kill."""

    def __init__(self, folder: Path) -> None:
        """Choose its ports; nothing runs yet. It takes some five seconds to start."""
        self.port, self._mapper_port, self._erlang_port = (free_port() for _ in range(3))
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.file.level = warning\n"
        )
        self._environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"kitty{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._erlang_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
        }
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with (self._folder / "output").open("ab") as log:
            # Its name server is ours, too: by itself it would stay behind.
            self._mapper = subprocess.Popen(
                ["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"],
                stdout=log,
                stderr=log,
            )
            wait_for(self._mapper_port)
            self._process = subprocess.Popen(
                ["sh", "-c", f"ulimit -n {MOST_FILES}; exec {SERVER}"],
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        wait_for(self.port, 150)

    def kill(self) -> None:
        """Kill it, and whatever it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None
        while is_open(self.port):  # its program ends a moment after the shell around it
            time.sleep(0.02)  # until the next look
