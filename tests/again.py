"""Runs what failed three times more, with nothing beside it: ``python -m tests.again FOLDER LASTFAILED``.

Thirteen thousand tests with real processes now and then meet an accident that no machine shows twice. What is broken
fails again, and so, nearly always, does what fails half of the time. What passes every time is named, to be mended,
and ends nothing. More than three are no accident.

``LASTFAILED`` is where pytest keeps which tests failed. Exits 0 when all of these pass each time.
"""

import json
from pathlib import Path
import subprocess
import sys
from typing import Final

MOST: Final = 3
TIMES: Final = 3


def again(folder: str, last_failed: Path) -> bool:
    """Tell whether all that failed in a folder passes each time."""
    failed = [f"{folder}/{test}" for test in json.loads(last_failed.read_text())]
    if not 0 < len(failed) <= MOST:
        return False
    command = [sys.executable, "-m", "pytest", "--quiet", *failed]
    if any(subprocess.run(command, check=False).returncode for _ in range(TIMES)):
        return False
    for test in failed:
        sys.stdout.write(f"Failed once, passed {TIMES} times alone, and is to be mended: {test}\n")
    return True


if __name__ == "__main__":
    sys.exit(0 if again(sys.argv[1], Path(sys.argv[2])) else 1)
