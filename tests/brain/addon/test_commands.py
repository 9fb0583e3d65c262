"""The words of the command line that only the app says, in a process of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
import json
import os
from pathlib import Path
import signal
import socket
import sys
from typing import Any

import pytest

from brain_server.__main__ import main
from brain_server.addon.backup import COPIES, DATABASES, MARK
from tests.brain.home import ROOT, Home, Served, until
from tests.brain.soon import SOON
from tests.standins.supervisor import FakeSupervisor

TOKEN = "a-token-of-this-start"
# The process calls the Supervisor by its name; here it is told another one.
PROGRAM = """
import sys
from brain_server.addon import host, supervisor
supervisor.Supervisor.__init__.__defaults__ = (sys.argv.pop(1),)
from brain_server.__main__ import main
sys.exit(main())
"""


@asynccontextmanager
async def living(folder: Path) -> AsyncIterator[tuple[Served, FakeSupervisor, dict[str, Any]]]:
    """Run the app as a process that was given its token on standard input, until it has announced itself."""
    with socket.create_server(("127.0.0.1", 0)) as at:
        async with FakeSupervisor(TOKEN).serving(at) as supervisor:
            log = folder / "log"
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", PROGRAM, supervisor.url, "app"),
                    *("--port", "0", "--data-dir", str(folder)),
                    cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=output,
                    env=os.environ | {"SUPERVISOR_TOKEN": "wrong", "HASSIO_TOKEN": "wrong"},
                )
            assert process.stdin is not None
            process.stdin.write(f"{TOKEN}\n".encode())
            process.stdin.close()
            try:
                message = await supervisor.announced(20)
                yield Served(process, message["config"]["port"], log), supervisor, message
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def visitor(served: Served, message: dict[str, Any]) -> Home:
    """Return a Home Assistant with the announced token."""
    home = Home(served)  # type: ignore[arg-type]  # it has what a home asks of one
    home.headers = {"Authorization": f"Bearer {message['config']['token']}"}
    return home


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_the_app_lives_with_the_token_of_its_standard_input(tmp_path: Path) -> None:
    """And ends with status 0 when it is told to."""
    async with living(tmp_path) as (served, supervisor, _):
        served.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(served.process.wait(), SOON) == 0
        assert supervisor.refused == []
    assert (tmp_path / MARK).exists()


async def test_an_app_that_is_stopped_at_its_very_start_ends_well(tmp_path: Path) -> None:
    """The Supervisor would complain of any other status."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "brain_server", "app", "--port", "0", "--data-dir", str(tmp_path)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    # It waits for its token; before it holds the folder it is ready to be stopped.
    await until((tmp_path / "lock").exists, "the folder is held")
    process.terminate()
    assert await asyncio.wait_for(process.wait(), SOON) == 0


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_what_was_open_in_a_backup_is_void(tmp_path: Path) -> None:
    """When the app starts on a folder without its mark; it is audited and told in the log."""
    async with living(tmp_path) as (served, _, message), visitor(served, message) as home:
        await home.furnish()
        device = await home.add("home_assistant", "lab", entity_id="lock.lab")
        asked = await home.request(device, "unlock")
        served.process.terminate()
        await served.process.wait()
    (tmp_path / MARK).unlink()
    async with living(tmp_path) as (served, _, message), visitor(served, message) as home:
        command = await home.command("commands.get", {"command_id": asked["command"]["id"]})
        rows = (await home.command("audit.list", {"kind": "restored"}))["items"]
    assert command["status"] == "expired"
    assert [row["data"] for row in rows] == [{"by": "backup", "voided": 1}]
    assert "1 open requests are void" in (tmp_path / "log").read_text("utf-8")


def test_copies_are_made_and_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the two words that the Supervisor says around a backup."""
    where = ["--data-dir", str(tmp_path)]
    for name in DATABASES:
        (tmp_path / name).touch()
    (tmp_path / "keys.json").touch()
    assert main(["backup", "begin", *where]) == 0
    assert json.loads(capsys.readouterr().out) == {"copied": 2}
    assert (tmp_path / COPIES).exists()
    assert main(["backup", "end", *where]) == 0
    assert not (tmp_path / COPIES).exists()


def test_where_no_brain_lives_the_backup_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a status that ends it."""
    assert main(["backup", "begin", "--data-dir", str(tmp_path)]) == 2
    assert "no_data" in capsys.readouterr().err
