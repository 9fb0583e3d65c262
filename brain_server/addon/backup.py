"""Backups while the brain runs, and how a brain finds out that it was restored from one.

The Supervisor copies the folder file by file, which would tear a database that is being written. So a whole copy of
each lies beside it while that happens. A mark that no backup holds says that this is the folder that the brain has
always lived in: where it is missing, time was turned back.
"""

from contextlib import closing
import json
import os
from pathlib import Path
import shutil
import sqlite3
import time
from typing import Final

from brain_server import __version__
from brain_server.errors import InvalidRequest
from brain_server.settings import Settings

DATABASES: Final = ("safety.db", "brain.db")
# The whole copies, complete as soon as the folder has this name.
COPIES: Final = "backup"
# Named in ``backup_exclude`` of the app.
MARK: Final = ".original"


def begin(settings: Settings) -> int:
    """Put a whole copy of each database beside it; returns how many. Blocks.

    With PostgreSQL there is nothing to copy: its server has its own backups. Raises InvalidRequest ``no_data``.
    """
    folder = settings.data_dir
    if not (folder / "keys.json").exists():
        raise InvalidRequest("no_data", f"There is no brain in {folder}")
    end(settings)
    names = () if settings.shares_database else DATABASES
    draft = folder / f"{COPIES}.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    for name in names:
        with closing(sqlite3.connect(folder / name, timeout=30, isolation_level=None)) as database:
            database.execute("VACUUM INTO ?", (str(draft / name),))
    about = {"at": time.time(), "version": __version__, "databases": names}
    (draft / "about.json").write_text(json.dumps(about), "ascii")
    for path in [*draft.iterdir(), draft]:
        _sync(path)
    draft.rename(folder / COPIES)
    _sync(folder)
    return len(names)


def end(settings: Settings) -> None:
    """Take the copies away. Blocks."""
    # First its name: a copy that is half gone must not be taken for a whole one.
    copies, gone = settings.data_dir / COPIES, settings.data_dir / f"{COPIES}.new"
    if copies.exists():
        shutil.rmtree(gone, ignore_errors=True)
        copies.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def was_restored(settings: Settings) -> bool:
    """Tell whether a brain lived in this folder before it was copied here. Blocks."""
    return (settings.data_dir / "keys.json").exists() and not (settings.data_dir / MARK).exists()


def take_copies(settings: Settings) -> None:
    """Put the whole copies of a backup in the place of what was copied while it was written. Blocks.

    It may be cut off anywhere and done again.
    """
    folder = settings.data_dir
    for name in DATABASES:
        copy = folder / COPIES / name
        if copy.exists():
            for ending in ("-wal", "-shm"):  # they belong to what is replaced
                (folder / f"{name}{ending}").unlink(missing_ok=True)
            copy.replace(folder / name)
    _sync(folder)


def settle(settings: Settings) -> None:
    """Note that this is the folder that the brain lives in from now on. Blocks."""
    (settings.data_dir / MARK).touch(mode=0o600)
    _sync(settings.data_dir)
    end(settings)


def _sync(path: Path) -> None:
    """Have a file or a folder survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
