"""Whole copies while the brain writes, and the mark by which a restore is noticed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
import sqlite3
import threading

import pytest

from brain_server.addon import backup
from brain_server.errors import InvalidRequest
from brain_server.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a brain that has run in a folder."""
    (tmp_path / "keys.json").write_text("{}", "ascii")
    for name in backup.DATABASES:
        with closing(sqlite3.connect(tmp_path / name)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE rows (number INTEGER, again INTEGER)")
    return Settings(data_dir=tmp_path)


@pytest.fixture
def writing(settings: Settings) -> Iterator[None]:
    """Write into both databases, two rows at a time, as fast as it goes."""
    enough = threading.Event()

    def write(name: str) -> None:
        with closing(sqlite3.connect(settings.data_dir / name, timeout=30)) as database:
            number = 0
            while not enough.is_set():
                number += 1
                with database:
                    database.executemany(
                        "INSERT INTO rows VALUES (?, ?)", [(number, 1), (number, 2)]
                    )

    threads = [threading.Thread(target=write, args=(name,)) for name in backup.DATABASES]
    for thread in threads:
        thread.start()
    yield
    enough.set()
    for thread in threads:
        thread.join()


def count(path: Path) -> tuple[int, int]:
    """Return how many rows there are, and how many of them lack the other of their two."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (rows,) = database.execute("SELECT count(*) FROM rows").fetchone()
        torn = database.execute(
            "SELECT number FROM rows GROUP BY number HAVING count(*) <> 2"
        ).fetchall()
    return rows, len(torn)


@pytest.mark.usefixtures("writing")
def test_a_copy_is_whole_though_the_brain_writes(settings: Settings) -> None:
    """No transaction is in it by half."""
    assert backup.begin(settings) == 2
    folder = settings.data_dir / backup.COPIES
    assert [count(folder / name)[1] for name in backup.DATABASES] == [0, 0]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_second_copy_takes_the_place_of_the_first(settings: Settings) -> None:
    """Also of one that was cut off."""
    (settings.data_dir / "backup.new").mkdir()
    backup.begin(settings)
    (settings.data_dir / "backup/old").touch()
    backup.begin(settings)
    assert sorted(path.name for path in (settings.data_dir / "backup").iterdir()) == [
        "about.json",
        "brain.db",
        "safety.db",
    ]
    backup.end(settings)
    assert not (settings.data_dir / "backup").exists()
    assert not (settings.data_dir / "backup.new").exists()


def test_where_no_brain_lives_there_is_nothing_to_copy(tmp_path: Path) -> None:
    """The backup is told so and does not go on."""
    with pytest.raises(InvalidRequest) as caught:
        backup.begin(Settings(data_dir=tmp_path))
    assert caught.value.code == "no_data"


def test_a_brain_on_postgresql_has_nothing_to_copy(settings: Settings) -> None:
    """Its server has backups of its own."""
    there = Settings(data_dir=settings.data_dir, database_url="postgresql+psycopg://there/kitty")
    assert backup.begin(there) == 0


def test_a_new_folder_was_not_restored(tmp_path: Path) -> None:
    """There was no brain in it."""
    assert not backup.was_restored(Settings(data_dir=tmp_path))


def test_a_folder_without_its_mark_was_restored(settings: Settings) -> None:
    """Until it is settled."""
    assert backup.was_restored(settings)
    backup.settle(settings)
    assert not backup.was_restored(settings)


def test_whole_copies_take_the_place_of_torn_ones(settings: Settings) -> None:
    """With nothing left of what was being written."""
    backup.begin(settings)
    for name in backup.DATABASES:
        (settings.data_dir / name).write_bytes(b"torn")
        (settings.data_dir / f"{name}-wal").write_bytes(b"torn as well")
    backup.take_copies(settings)
    assert [count(settings.data_dir / name) for name in backup.DATABASES] == [(0, 0), (0, 0)]
    # Once more, as after a crash: what has its place keeps it.
    backup.take_copies(settings)
    assert [count(settings.data_dir / name) for name in backup.DATABASES] == [(0, 0), (0, 0)]
    backup.settle(settings)
    assert not (settings.data_dir / backup.COPIES).exists()
