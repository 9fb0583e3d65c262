"""Other people's programs to compare with, in an environment of their own that nothing else uses."""

import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = ROOT / ".cache/bench-peers"
HERE: Final = Path(__file__).parent
PACKAGES: Final = ("gptcache==0.1.44", "faiss-cpu", "rank-bm25", "sqlalchemy")
# In a folder of its own beside them.
JOBS: Final = ("apscheduler==3.11.3", "dbos==3.4.0", "psycopg[binary]==3.3.9", "sqlalchemy==2.1.9")


def installed(name: str = "", packages: tuple[str, ...] = PACKAGES) -> Path | None:
    """Return the Python of the peers, installed on first use; None, after saying why, when it cannot be."""
    folder = FOLDER / name
    python = folder / "bin/python"
    if (folder / "done").exists():
        return python
    uv = shutil.which("uv")
    if uv is not None:
        make = [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)]
        fill = [uv, "pip", "install", "-q", "--python", str(python), *packages]
    else:
        make = [sys.executable, "-m", "venv", "--clear", str(folder)]
        fill = [str(python), "-m", "pip", "install", "-q", *packages]
    for words in (make, fill):
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["?"])[-1]
            print(f"peers cannot be installed, only ours is measured: {last}", file=sys.stderr)
            return None
    (folder / "done").touch()
    return python


def run(name: str, given: Any, *, limit: float = 900) -> Any | None:
    """Run one peer with what it is given as JSON, and return its JSON; None when there are no peers."""
    if (python := installed()) is None:
        return None
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as ours: one query, one thread
    done = subprocess.run(
        [str(python), str(HERE / f"{name}.py")],
        input=json.dumps(given),
        check=False,
        capture_output=True,
        text=True,
        timeout=limit,
        env=env,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        print(f"{name} broke, only ours is measured: {last}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])
