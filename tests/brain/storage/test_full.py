"""A full disk: hazards are refused and written down, what is safe or already happened still gets through."""

import asyncio
import json
import os
from pathlib import Path
import sys

import pytest

from brain_server.protocol import Json

# A file system of some megabytes, that ends with the process; root needs no user namespace for it.
SMALL_DISK = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c"]
PROGRAM = 'mount -t tmpfs -o size="$2" tmpfs "$1" && exec "$3" -m "$4" "$1"'


async def on_small_disk(program: str, folder: Path, size: str) -> Json:
    """Run a program with a disk of its own at a folder; returns the JSON that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(*SMALL_DISK, PROGRAM, "sh", str(folder), size, sys.executable, program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    output, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    found: Json = json.loads(output)
    return found


@pytest.fixture
async def told(tmp_path: Path) -> Json:
    """Return what a gate on a full disk said and did."""
    return await on_small_disk("tests.brain.storage.full", tmp_path, "2m")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_full_disk_stops_hazards_and_nothing_else(told: Json) -> None:
    """Each refusal is in the trail, thanks to the reserve; with space again all is as before."""
    assert told["hazards"] == ["storage_full"] * 3
    assert told["approved"] == "storage_full"
    assert (told["lock"], told["denied"], told["settled"]) == (None, None, "acked")
    assert told["reasons"] == ["storage_full"] * 3
    assert told["kinds"][-7:] == [
        "refused",
        "refused",
        "refused",
        "claimed",
        "acked",
        "denied",
        "requested",
    ]
    assert (told["afterwards"], told["health"]) == (None, None)
    assert (told["problem"], told["integrity"]) == (None, [["ok"]])
    full, left = told["reserve"]
    assert full == 1024 * 1024
    assert left > full / 2
