"""A real PostgreSQL on a free port of this machine, its files in a folder of its own, gone afterwards."""

from contextlib import closing, suppress
import os
from pathlib import Path
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg

from tests.standins.server import free_port

USER = "postgres"
# A test proves what the brain says, not what the disk keeps: without these it runs five times faster.
FAST = ("fsync=off", "full_page_writes=off", "max_connections=300", "listen_addresses=127.0.0.1")


def programs() -> Path:
    """Return the folder of the newest PostgreSQL that Debian installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class Postgres:
    """One server; all its methods block."""

    def __init__(self) -> None:
        """Choose a port and a folder that the server's user owns; nothing runs yet."""
        self._folder = Path(tempfile.mkdtemp(prefix="kitty-postgres-"))
        self.port = free_port()
        self._as_user: list[str] = []
        self._databases = 0
        self._free: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam(USER)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._as_user = [
                "setpriv",
                f"--reuid={account.pw_uid}",
                f"--regid={account.pw_gid}",
                "--clear-groups",
            ]

    def start(self, limit: float = 60.0) -> None:
        """Make the cluster, start it and wait until it answers."""
        data = self._folder / "data"
        self._run("initdb", f"--pgdata={data}", f"--username={USER}", "--auth=trust", "--no-sync")
        self._serve(limit)

    def restart(self, *, crash: bool = False, limit: float = 60.0) -> None:
        """End the server, as an administrator does or as a crash does, and start it again on its files."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        self._process.wait(60)
        self._serve(limit)

    def _serve(self, limit: float) -> None:
        data = self._folder / "data"
        settings = [word for setting in FAST for word in ("-c", setting)]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *self._as_user,
                    str(programs() / "postgres"),
                    *("-D", str(data), "-k", str(self._folder), "-p", str(self.port)),
                    *settings,
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + limit
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = (self._folder / "log").read_text()
                raise RuntimeError(message)
            time.sleep(0.05)

    def new_database(self) -> str:
        """Return the address of an empty database."""
        if not self._free:
            self._databases += 1
            name = f"kitty_{self._databases}"
            self._say(USER, f"CREATE DATABASE {name}")
            self._free.append(f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{name}")
        return self._free.pop()

    def give_back(self, url: str) -> None:
        """Empty a database for the next one who asks; much faster than a new one."""
        name = url.rpartition("/")[2]
        # A brain that is just ending may still read: it and who drops that would wait for each other.
        ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        self._say(name, f"{ends} AND pid <> pg_backend_pid()")
        self._say(name, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self._free.append(url)

    def stop(self) -> None:
        """End this server, and no other, and remove its files."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast: open connections are cut off
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_user, str(programs() / program), *arguments],
            cwd=self._folder,
            check=True,
            capture_output=True,
        )

    def _say(self, database: str, words: str) -> None:
        with closing(psycopg.connect(self._address(database), autocommit=True)) as connection:
            connection.execute(words.encode())

    def _address(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={USER} dbname={database}"

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self._address(USER), connect_timeout=5).close()
            return True
        return False
