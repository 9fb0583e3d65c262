"""One brain in a folder: with SQLite, the databases are files of this machine and have one owner."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path

from brain_server.errors import Conflict


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, until its end at the latest; Conflict ``data_in_use``. Blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise Conflict(
                "data_in_use", f"Another brain runs in {folder}", folder=str(folder)
            ) from err
        yield
