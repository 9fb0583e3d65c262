"""The simulated Bambu printer is not only our own idea: a client that others wrote prints on it, too."""

import asyncio
import json
from pathlib import Path
import subprocess
import sys

import pytest

from tests.standins.bambu import Bambu

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_client_that_others_wrote_prints_on_the_simulated_printer(
    bambu_printer: Bambu,
) -> None:
    """It uploads, starts, pauses, resumes, stops and looks, without knowing that there is no printer."""
    await asyncio.to_thread(bambu_printer.rest)
    there = bambu_printer
    ports = map(str, (there.mqtt_port, there.ftp_port, there.camera_port))
    program = Path(__file__).with_name("bambu_oracle.py")
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", program, there.address, there.code, there.serial, *ports],
        capture_output=True,
        check=True,
        timeout=250,
    )
    assert json.loads(ran.stdout) == {
        **dict.fromkeys(("idle", "prepare", "running", "pause", "finish"), True),
        **dict.fromkeys(("again", "failed", "picture"), True),
        "upload": "226 Transfer complete.",
        "file": "oracle.3mf",
    }
