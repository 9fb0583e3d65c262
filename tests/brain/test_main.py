"""The command line: each of its words, and what it says to those that it does not know."""

import asyncio
import json
from pathlib import Path
import signal
import socket
import sqlite3
import subprocess
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
import pytest

from brain_server import __version__
from brain_server.__main__ import USAGE, main
from tests.brain.gatehouse import OTHER_KEY, public
from tests.brain.home import ROOT, TOKEN, Home, Rest, Socket, running, serving
from tests.brain.soon import SOON


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give the folder of a brain that has run, and is paired."""

    async def live() -> None:
        async with running(tmp_path) as brain, Home(brain) as home:
            await home.furnish()

    asyncio.run(live())
    return tmp_path


def at(folder: Path, *words: str) -> list[str]:
    """Return the words of a command for a folder."""
    return [*words, "--data-dir", str(folder)]


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_who_asks_for_help_gets_it(capsys: pytest.CaptureFixture[str], word: str) -> None:
    """Which is no mistake."""
    assert main([word]) == 0
    assert capsys.readouterr() == (USAGE, "")


WRONG = [
    [],
    ["dance"],
    ["serve", "now"],
    ["audit"],
    ["audit", "verify", "now"],
    ["audit", "burn"],
    ["token"],
    ["token", "create"],
    ["token", "create", "name"],
    ["token", "create", "name", "read", "more"],
    ["unpair", "all"],
    ["migrate", "0001", "0002"],
    ["version", "please"],
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_words_that_are_no_command_get_the_usage(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """On standard error, with status 2."""
    assert main(words) == 2
    assert capsys.readouterr() == ("", USAGE)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["serve", "--nonsense", "1"], "invalid_argument"),
        (["serve", "--port"], "invalid_argument"),
        (["serve", "--port", "many"], "invalid_setting"),
        (["serve", "--log-level", "loud"], "invalid_setting"),
        (["token", "create", "Two Words", "read"], "invalid_params"),
        (["token", "create", "name", "owner"], "invalid_params"),
        (["audit", "verify", "--data-dir", "/nowhere/at/all"], "no_data"),
        (["token", "create", "name", "read", "--data-dir", "/nowhere/at/all"], "no_data"),
        (["unpair", "--data-dir", "/nowhere/at/all"], "no_data"),
        (["migrate", "--data-dir", "/nowhere/at/all"], "no_data"),
    ],
)
def test_words_that_make_no_sense_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    """On standard error, with the code and status 2; nothing is made."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("kitty-brain: ")
    assert err.endswith(f"[{code}]\n")
    assert not Path("/nowhere").exists()


def test_the_environment_sets_what_the_words_do_not(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For containers."""
    monkeypatch.setenv("KITTY_DATA_DIR", str(data))
    assert main(["audit", "verify"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


# -- the chain ----------------------------------------------------------------------------------------


def test_an_intact_chain_is_verified(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """Status 0, and how much of it there is."""
    assert main(at(data, "audit", "verify")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["problem"]) == (True, None)
    assert found["rows"] > 0
    assert len(found["hash"]) == 64


def test_an_altered_chain_is_told(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    """Status 1, and the row."""
    with sqlite3.connect(data / "safety.db") as database:
        database.execute("DROP TRIGGER audit_log_no_update")
        database.execute("UPDATE audit_log SET user_id = 'eve' WHERE seq = 1")
    database.close()
    assert main(at(data, "audit", "verify")) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["problem"]) == (False, "row 1 was changed")


# -- tokens and pairing -------------------------------------------------------------------------------


async def status(folder: Path, token: str, path: str) -> int:
    """Return what a brain says to a token."""
    async with running(folder, life=2) as brain, Rest(brain, token) as rest:
        return (await rest.get(path)).status


@pytest.mark.parametrize(("scope", "expected"), [("read", 403), ("admin", 200)])
def test_a_token_is_made_and_printed(
    capsys: pytest.CaptureFixture[str], data: Path, scope: str, expected: int
) -> None:
    """The next start of the brain knows it, with its scope."""
    assert main(at(data, "token", "create", "script", scope)) == 0
    token = capsys.readouterr().out.strip()
    assert len(token) >= 43
    assert asyncio.run(status(data, token, "/api/v1/system.info")) == 200
    assert asyncio.run(status(data, token, "/api/v1/tokens.list")) == expected


async def pairing(folder: Path, key: Ed25519PrivateKey) -> str:
    """Let a Home Assistant pair; returns the code of the refusal, or ``paired``."""
    async with running(folder, life=2) as brain, Socket(brain) as socket:
        frame = {"action": "integration.register", "params": {"public_key": public(key)}}
        answer = await socket.answer(await socket.send(type="command", **frame))
        return str(answer.get("error", {}).get("code", "paired"))


def test_another_home_assistant_pairs_only_after_unpairing(data: Path) -> None:
    """Which takes somebody at the brain's own machine, and is in the chain."""
    assert asyncio.run(pairing(data, OTHER_KEY)) == "integration_key_mismatch"
    assert main(at(data, "unpair")) == 0
    assert asyncio.run(pairing(data, OTHER_KEY)) == "paired"
    assert main(at(data, "audit", "verify")) == 0


def test_migrating_a_database_that_is_up_to_date_changes_nothing(
    capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    """Both are named."""
    assert main(at(data, "migrate")) == 0
    assert capsys.readouterr().out == "safety: head\nbrain: head\n"


def test_a_revision_that_there_is_not_is_refused(
    capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    """Nothing is moved, and the brain still starts."""
    assert main(at(data, "migrate", "9999")) == 2
    assert "[storage_failed]" in capsys.readouterr().err
    assert asyncio.run(status(data, TOKEN, "/api/v1/system.info")) == 200


# -- serving ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_brain_serves_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    """It says when it is ready, and ends with status 0."""
    async with serving(tmp_path) as brain:
        async with Rest(brain) as rest:
            info = (await rest.get("/api/v1/system.info")).data
        brain.process.send_signal(number)
        status = await asyncio.wait_for(brain.process.wait(), SOON)
    assert (status, info["version"]) == (0, __version__)


@pytest.mark.slow
async def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    """Status 2, no stack, and nothing of the data has been touched by recovery."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "brain_server", *at(tmp_path, "serve"), "--port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last == f"kitty-brain: Port {port} is in use [port_in_use]"
    assert [
        line for line in done.stderr.splitlines()[:-1] if json.loads(line)["level"] != "INFO"
    ] == []


@pytest.mark.slow
async def test_a_host_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    """As a setting that is wrong."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "brain_server", *at(tmp_path, "serve"), "--host", "192.0.2.1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("[invalid_setting]")
