"""The life of the app: its options, its end, its backups, and how Home Assistant gets to know it."""

import asyncio
from pathlib import Path
import shutil
import time

import pytest

from brain_server.addon.backup import COPIES, DATABASES, MARK
from tests.app import lab
from tests.app.conftest import App, booted
from tests.app.container import Container, Image, wait_for
from tests.app.files import CONFIG
from tests.brain.home import Home

pytestmark = [pytest.mark.image, pytest.mark.asyncio(loop_scope="session")]

BACKUP = "kitty-backup"
# How many seconds the Supervisor waits for its end.
PATIENCE = CONFIG["timeout"]


class Neighbourhood(Home):
    """A Home Assistant that calls the app over the bridge, with the token of its announcement."""

    def __init__(self, app: App) -> None:
        """Read where the app is from what it announced."""
        super().__init__(type("Address", (), {"port": app.message["config"]["port"]})())
        self.url = f"http://{lab.APP}:{self.brain.port}"
        self.headers = {"Authorization": f"Bearer {app.message['config']['token']}"}


def copy(folder: Path, to: Path) -> None:
    """Copy a folder as a backup does and a restore brings it back: without what is left out, all of it root's."""

    def left_out(place: str, names: list[str]) -> set[str]:
        patterns = CONFIG["backup_exclude"]
        return {name for name in names if any(Path(place, name).match(one) for one in patterns)}

    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, ignore=left_out)


# -- options --------------------------------------------------------------------------------------------


async def test_the_houses_broker_is_used_where_a_person_wants_it(image: Image, data: Path) -> None:
    """With the name and the password that the Supervisor knows."""
    broker = lab.listening(lab.GATEWAY, 1883)
    loop = asyncio.get_running_loop()
    async with booted(image, data, mqtt=True) as app:
        connection, _ = await asyncio.wait_for(loop.sock_accept(broker), 40)
        said = await asyncio.wait_for(loop.sock_recv(connection, 4096), 40)
        connection.close()
    broker.close()
    assert b"addons" in said
    assert b"p@ss" in said
    assert set(app.supervisor.asked) == {"GET /services/mqtt", "POST /discovery"}
    assert app.supervisor.refused == []


async def test_a_wrong_option_is_named(image: Image, data: Path) -> None:
    """In the log, and the app does not start."""
    container = Container(image, data, options={"budget_daily": "much"})
    await asyncio.to_thread(container.start)
    code = await asyncio.to_thread(container.process.wait, 30)
    said = container.log.read_text("utf-8")
    container.clean()
    assert code == 2
    assert "Setting budget_daily must be of type float [invalid_setting]" in said


# -- the end, and what comes after ----------------------------------------------------------------------


async def test_it_stops_in_good_order_while_it_is_asked_for_much(image: Image, data: Path) -> None:
    """With status 0, before the Supervisor loses patience; the databases are closed."""
    async with booted(image, data) as app:
        token = f"Bearer {app.message['config']['token']}"
        calls = [
            asyncio.to_thread(lab.ask, lab.GATEWAY, "/api/v1/devices.list", Authorization=token)
            for _ in range(20)
        ]
        load = asyncio.gather(*calls, return_exceptions=True)
        started = time.monotonic()
        code = await asyncio.to_thread(app.container.stop)
        seconds = time.monotonic() - started
        await load
    assert (code, seconds < PATIENCE) == (0, True)
    assert [name for name in DATABASES if (data / f"{name}-wal").exists()] == []


@pytest.mark.parametrize("seconds", [0.0, 0.2, 1.0, 2.0])
async def test_it_can_be_stopped_while_it_starts(image: Image, data: Path, seconds: float) -> None:
    """At once: nobody waits for the Supervisor's patience to end."""
    container = Container(image, data)
    await asyncio.to_thread(container.start)
    await asyncio.to_thread(wait_for, container.is_running)
    await asyncio.sleep(seconds)  # so far its start has come
    started = time.monotonic()
    code = await asyncio.to_thread(container.stop)
    taken = time.monotonic() - started
    await asyncio.to_thread(container.clean)
    # 143 before the brain can hear it, which is for the Supervisor as good as an end can be then.
    assert (code in {0, 143}, taken < PATIENCE) == (True, True)


async def test_what_waited_for_approval_is_void_after_a_restore(image: Image, data: Path) -> None:
    """The backup was made while it ran; the audit says that time was turned back, and the chain holds."""
    restored = data.with_name(f"{data.name}-restored")
    async with booted(image, data) as app, Neighbourhood(app) as home:
        await home.furnish()
        device = await home.add("home_assistant", "lab", entity_id="lock.lab")
        asked = await home.request(device, "unlock")
        assert asked["command"]["status"] == "pending"
        code, _ = await asyncio.to_thread(app.container.run_inside, BACKUP, "pre")
        assert code == 0
        await asyncio.to_thread(copy, data, restored)
        code, _ = await asyncio.to_thread(app.container.run_inside, BACKUP, "post")
        assert (code, (data / COPIES).exists()) == (0, False)
        still = await home.command("commands.get", {"command_id": asked["command"]["id"]})
        assert still["status"] == "pending"
    # What is copied while it is written may be anything.
    for name in DATABASES:
        (restored / name).write_bytes(b"torn")
    async with booted(image, restored) as app, Neighbourhood(app) as home:
        found = await home.command("commands.get", {"command_id": asked["command"]["id"]})
        rows = (await home.command("audit.list", {}))["items"]
        verified = await home.command("audit.verify", {})
        old = app.message["config"]
    assert found["status"] == "expired"
    assert [row["data"] for row in rows if row["kind"] == "restored"] == [
        {"by": "backup", "voided": 1}
    ]
    assert verified["ok"]
    assert (restored / MARK).exists()
    assert not (restored / COPIES).exists()
    assert old["token"]
    await asyncio.to_thread(shutil.rmtree, restored)


async def test_a_backup_of_a_stopped_app_is_whole_and_voids_as_well(
    image: Image, data: Path
) -> None:
    """The Supervisor then runs no command before it copies."""
    restored = data.with_name(f"{data.name}-restored")
    async with booted(image, data) as app, Neighbourhood(app) as home:
        await home.furnish()
        device = await home.add("home_assistant", "lab", entity_id="lock.lab")
        asked = await home.request(device, "unlock")
    await asyncio.to_thread(copy, data, restored)
    async with booted(image, restored) as app, Neighbourhood(app) as home:
        found = await home.command("commands.get", {"command_id": asked["command"]["id"]})
    assert found["status"] == "expired"
    await asyncio.to_thread(shutil.rmtree, restored)


async def test_a_start_after_a_crash_in_the_middle_of_a_backup_is_no_restore(
    image: Image, data: Path
) -> None:
    """What happened since the copy stays."""
    async with booted(image, data) as app, Neighbourhood(app) as home:
        await home.furnish()
        await asyncio.to_thread(app.container.run_inside, BACKUP, "pre")
        device = await home.add("home_assistant", "lab", entity_id="lock.lab")
        asked = await home.request(device, "unlock")
        await asyncio.to_thread(app.container.kill)
    async with booted(image, data) as app, Neighbourhood(app) as home:
        found = await home.command("commands.get", {"command_id": asked["command"]["id"]})
    assert found["status"] == "pending"
    assert not (data / COPIES).exists()
