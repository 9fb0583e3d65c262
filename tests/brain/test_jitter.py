"""The plugin that lets threads and sockets be late: it makes them late, and tests still hold."""

import os
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).parents[2]
LATE = """
import asyncio
import selectors
import socket

from tests import jitter

async def test_threads_are_late_and_sockets_are_not_ready_at_once(monkeypatch):
    naps = []
    monkeypatch.setattr(jitter, "_usleep", naps.append)
    for _ in range(50):
        await asyncio.to_thread(int)
    assert naps
    here, there = socket.socketpair()
    with here, there, selectors.DefaultSelector() as selector:
        selector.register(here, selectors.EVENT_READ)
        there.send(b"x")
        assert {len(selector.select(1)) for _ in range(200)} == {0, 1}
"""


def run(path: Path, **env: str) -> str:
    """Run the tests of a file as CONTRIBUTING.md says, and return what is printed."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.jitter", "-c", "tests/brain/pytest.ini"]
    done = subprocess.run(
        [*command, str(path)],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_makes_late_what_may_be_late_and_tells_its_seed(tmp_path: Path) -> None:
    """The same number again gives the same run, as far as threads do."""
    file = tmp_path / "test_late.py"
    file.write_text(LATE)
    assert "jitter: JITTER_SEED=7\n" in run(file, JITTER_SEED="7")


def test_the_tests_of_the_bus_hold_all_the_same() -> None:
    """The others are for `script/test brain -- -p tests.jitter`, which takes twice as long."""
    assert " passed" in run(ROOT / "tests/brain/test_bus.py")
