"""What a brain answers while it stands by, and a folder that is another brain's."""

import asyncio
from collections.abc import AsyncIterator
import json
from pathlib import Path
import subprocess
import sys

from aiohttp import ClientSession
import pytest

from brain_server.cluster.alone import alone
from brain_server.cluster.standby import Standby
from brain_server.errors import Conflict
from tests.brain.gatehouse import refusal
from tests.brain.home import ROOT, Rest, running, serving
from tests.brain.soon import SOON


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Give the address of a brain that stands by."""
    standby = Standby("127.0.0.1", 0)
    port = await standby.open()
    yield f"http://127.0.0.1:{port}"
    await standby.close()


async def test_a_brain_that_stands_by_is_alive(address: str) -> None:
    """Nobody should start it again."""
    async with ClientSession(address) as session, session.get("/health") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/awake", "/ready"])
async def test_a_brain_that_stands_by_is_not_the_one(address: str, path: str) -> None:
    """Whoever distributes requests sends it none."""
    async with ClientSession(address) as session, session.get(path) as answer:
        assert (answer.status, await answer.json()) == (503, {"status": "standby"})


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ws"), ("POST", "/api/v1/actions"), ("GET", "/"), ("POST", "/v1/chat/completions")],
)
async def test_a_brain_that_stands_by_does_nothing(address: str, method: str, path: str) -> None:
    """Also for whoever has a token; it says when to come back."""
    async with ClientSession(address) as session, session.request(method, path) as answer:
        error = (await answer.json())["error"]
        again = answer.headers["Retry-After"]
    assert (answer.status, error["code"], again) == (503, "standby", "1")


async def test_a_port_that_is_taken_is_told(address: str) -> None:
    """As by a brain that is alone."""
    port = int(address.rpartition(":")[2])
    assert await refusal(Standby("127.0.0.1", port).open()) == "port_in_use"


async def test_a_brain_that_is_alone_is_awake(tmp_path: Path) -> None:
    """So that the same check does for one and for several."""
    async with running(tmp_path) as brain, Rest(brain) as rest:
        answer = await rest.get("/awake")
    assert (answer.status, answer.json) == (200, {"status": "awake"})


async def test_a_brain_that_is_ill_is_still_awake(tmp_path: Path) -> None:
    """Home Assistant, which it misses, could not come back if its way were closed."""
    async with running(tmp_path) as brain, Rest(brain) as rest:
        brain.health.add("ill", _ill)
        ready, awake = await rest.get("/ready"), await rest.get("/awake")
    assert (ready.status, awake.status) == (503, 200)


async def _ill() -> str:
    return "ill"


async def test_a_brain_that_goes_down_is_no_longer_the_one(tmp_path: Path) -> None:
    """What is new goes to another."""
    async with running(tmp_path) as brain, Rest(brain) as rest:
        brain.dispatcher.draining = True
        answer = await rest.get("/awake")
    assert (answer.status, answer.json) == (503, {"status": "shutting_down"})


# -- one brain in a folder ----------------------------------------------------------------------------


def test_a_folder_has_one_brain(tmp_path: Path) -> None:
    """Two on the same files would each believe that it is alone."""
    with (
        alone(tmp_path / "new"),
        pytest.raises(Conflict, match="Another brain") as refused,
        alone(tmp_path / "new"),
    ):
        pytest.fail("both are in")
    assert refused.value.code == "data_in_use"


def test_a_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    """For the next life."""
    with alone(tmp_path):
        pass
    with alone(tmp_path):
        assert (tmp_path / "lock").exists()


@pytest.mark.slow
async def test_a_second_brain_in_a_folder_is_told_in_one_line(tmp_path: Path) -> None:
    """Status 2; after a kill the folder is free."""
    words = [sys.executable, "-m", "brain_server", "serve", "--data-dir", str(tmp_path)]
    async with serving(tmp_path):
        done = await asyncio.to_thread(
            subprocess.run,
            [*words, "--port", "0"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"kitty-brain: Another brain runs in {tmp_path} [data_in_use]"
    )
    async with serving(tmp_path) as again:
        assert again.port


def test_the_lock_tells_nothing(tmp_path: Path) -> None:
    """It is the file that is locked, not what it says: nobody has to tidy it away."""
    (tmp_path / "lock").write_text(json.dumps({"pid": 1}))
    with alone(tmp_path):
        assert (tmp_path / "lock").read_bytes() == b""
