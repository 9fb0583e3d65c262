"""The second look at what failed: an accident is named, what is broken stays so."""

import os
from pathlib import Path
import subprocess
import sys
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
INI: Final = "[pytest]\ncache_dir = kept\n"
PASSES: Final = "def test_passes(): pass\n"
# Each of these notes that it ran, and knows by that how often it did.
TESTS: Final = """
from pathlib import Path

import pytest

RUNS = Path(__file__).with_suffix(".runs")

@pytest.mark.parametrize("which", range({tests}))
def test_fails(which):
    runs = RUNS.read_text().count("|") if RUNS.exists() else 0
    RUNS.write_text("|" * (runs + 1))
    assert runs not in {failing}
"""


def run(*arguments: object) -> tuple[int, str]:
    """Run a module with pytest as it is by itself, which starts sooner; returns how it ended and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def failed_and_again(folder: Path, tests: int, failing: set[int]) -> tuple[int, str]:
    """Run tests of which some fail, and then what failed; returns how the second look ended and what it says."""
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(PASSES + TESTS.format(tests=tests, failing=failing))
    code, _ = run("pytest", folder)
    assert code == pytest.ExitCode.TESTS_FAILED
    return run("tests.again", folder, folder / "kept/v/cache/lastfailed")


def test_an_accident_is_named_and_ends_nothing(tmp_path: Path) -> None:
    """Only what failed runs again, each three times."""
    code, told = failed_and_again(tmp_path, tests=2, failing={1})
    assert code == 0
    [named] = [line for line in told.splitlines() if line.startswith("Failed once")]
    assert named.endswith(f"{tmp_path}/test_it.py::test_fails[1]")
    assert (tmp_path / "test_it.runs").read_text() == "|" * (2 + 3)


@pytest.mark.parametrize("failing", [set(range(99)), {0, 3}])
def test_what_fails_once_more_stays_failed(tmp_path: Path, failing: set[int]) -> None:
    """Be it the first or the third time."""
    code, told = failed_and_again(tmp_path, tests=1, failing=failing)
    assert code == 1
    assert "Failed once" not in told


def test_more_than_three_are_no_accident(tmp_path: Path) -> None:
    """They are not tried again."""
    assert failed_and_again(tmp_path, tests=4, failing={0, 1, 2, 3}) == (1, "")
