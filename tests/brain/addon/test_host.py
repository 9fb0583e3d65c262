"""The brain in its app: told where the broker is, announced until it is heard, and no token where children see it."""

from collections.abc import AsyncIterator
import json
from pathlib import Path
import socket
from typing import Any

import pytest

from brain_server.addon.host import Host
from brain_server.addon.lines import Lines
from brain_server.addon.supervisor import Supervisor
from brain_server.api.auth import ROTATION_OVERLAP
from brain_server.app import Brain
from brain_server.commands import NoParams
from brain_server.settings import Settings
from tests.brain.home import Home, Later, Rest, running, until
from tests.standins.supervisor import FakeSupervisor

TOKEN = "a-token-of-this-start"


@pytest.fixture
async def fake() -> AsyncIterator[FakeSupervisor]:
    """Return a Supervisor on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as at:
        async with FakeSupervisor(TOKEN).serving(at) as serving:
            yield serving


@pytest.fixture
def host(fake: FakeSupervisor) -> Host:
    """Return what stands between a brain and that Supervisor, which is at home here."""
    return Host(Supervisor(TOKEN, fake.url), Lines(), peer="127.0.0.1", first_pause=0.02)


@pytest.fixture
async def brain(host: Host, tmp_path: Path) -> AsyncIterator[Brain]:
    """Run a brain in its app."""
    made = Brain(Settings(port=0, data_dir=tmp_path))
    made.host = host
    await made.start()
    yield made
    await made.stop()


def options(folder: Path, **told: Any) -> Path:
    """Write the options of the app."""
    path = folder / "options.json"
    path.write_text(json.dumps(told), "utf-8")
    return path


BROKER = {
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "username": "addons",
    "password": "secret",
}


async def test_the_houses_broker_is_used_where_a_person_wants_it(
    fake: FakeSupervisor, host: Host, tmp_path: Path
) -> None:
    """With its name and password."""
    fake.broker = BROKER
    settings = await host.prepare(Settings(), options(tmp_path, mqtt=True))
    assert settings.mqtt_url == "mqtt://addons:secret@core-mosquitto:1883"


@pytest.mark.parametrize(
    ("told", "mqtt_url"), [({"mqtt": False}, ""), ({}, ""), ({"mqtt": True}, "mqtt://my-own")]
)
async def test_nobody_is_asked_where_nobody_wants_it(
    fake: FakeSupervisor, host: Host, tmp_path: Path, told: dict[str, Any], mqtt_url: str
) -> None:
    """Or where a person named a broker of their own."""
    settings = Settings(mqtt_url=mqtt_url)
    assert await host.prepare(settings, options(tmp_path, **told)) == settings
    assert await host.prepare(settings, tmp_path / "none.json") == settings
    assert fake.asked == []


async def test_a_broker_that_is_wanted_and_missing_shows_in_the_health(
    fake: FakeSupervisor, host: Host, tmp_path: Path
) -> None:
    """With the cure, and everything else works."""
    settings = await host.prepare(Settings(port=0, data_dir=tmp_path), options(tmp_path, mqtt=True))
    made = Brain(settings)
    made.host = host
    await made.start()
    await fake.announced()
    await until(lambda: host._announced, "heard")
    parts = {part["name"]: part for part in await made.health.run()}
    await made.stop()
    assert settings.mqtt_url == ""
    assert "install the Mosquitto app" in parts["supervisor"]["detail"]


async def test_a_brain_announces_itself_with_its_own_token(
    fake: FakeSupervisor, brain: Brain
) -> None:
    """Which Home Assistant can use, and the key that it can check."""
    config = (await fake.announced())["config"]
    assert config["host"] == socket.gethostname()
    assert (config["port"], config["instance_id"]) == (brain.port, brain.keys.instance_id)
    assert config["public_key"] == brain.keys.public_key
    assert brain.tokens.caller(f"Bearer {config['token']}").scope.name == "INTEGRATION"


async def test_a_brain_is_announced_until_the_supervisor_hears(
    fake: FakeSupervisor, host: Host, tmp_path: Path
) -> None:
    """Until then its health says so."""
    fake.down = True
    made = Brain(Settings(port=0, data_dir=tmp_path))
    made.host = host
    await made.start()
    await until(lambda: len(fake.asked) > 2, "tries")
    before = {part["name"]: part["ok"] for part in await made.health.run()}["supervisor"]
    fake.down = False
    await fake.announced()
    await until(lambda: host._announced, "heard")
    after = {part["name"]: part["ok"] for part in await made.health.run()}["supervisor"]
    await made.stop()
    assert (before, after) == (False, True)


async def test_a_person_has_it_announced_again(
    fake: FakeSupervisor, host: Host, brain: Brain
) -> None:
    """With the very same words."""
    first = await fake.announced()
    host._wanted.set()
    assert await fake.announced() == first


async def test_a_token_that_has_ended_is_replaced_at_the_next_start(
    fake: FakeSupervisor, tmp_path: Path
) -> None:
    """Else Home Assistant would be sent to a closed door."""
    clock = Later()
    tokens: list[str] = []
    for _ in range(2):
        made = Brain(Settings(port=0, data_dir=tmp_path), clock)
        made.host = Host(Supervisor(TOKEN, fake.url), Lines())
        await made.start()
        tokens.append((await fake.announced())["config"]["token"])
        await made.tokens.rotate(made.tokens.caller(f"Bearer {tokens[-1]}"), NoParams())
        await made.stop()
        clock.ahead = ROTATION_OVERLAP + 1
    assert tokens[0] != tokens[1]
    assert (tmp_path / "token").read_text("ascii").strip() == tokens[1]
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0


async def test_the_page_lies_beside_the_api(brain: Brain) -> None:
    """On the same port, and a path that there is not is still not there."""
    async with Rest(brain, None) as rest:
        assert (await rest.get("/")).status == 200
        assert (await rest.get("/health")).status == 200
        assert (await rest.get("/nothing")).status == 404


async def test_a_person_can_have_home_assistant_forgotten(
    fake: FakeSupervisor, brain: Brain
) -> None:
    """And another one pairs."""
    config = (await fake.announced())["config"]
    home = Home(brain)
    home.headers = {"Authorization": f"Bearer {config['token']}"}
    async with home:
        await home.furnish()
        assert await brain.directory.is_paired()
    async with Rest(brain, None) as rest:
        page = (await rest.get("/pairing")).body.decode()
        stamp = page.partition("name=stamp value='")[2].partition("'")[0]
        form = {"stamp": stamp, "do": "forget", "sure": "yes"}
        answer = await rest.call("POST", "/pairing", data=form, headers={"X-Remote-User-Id": "ada"})
    assert answer.status == 200
    assert not await brain.directory.is_paired()


async def test_without_an_app_there_is_no_page(tmp_path: Path) -> None:
    """A brain of its own has nothing at the top."""
    async with running(tmp_path) as made, Rest(made, None) as rest:
        assert (await rest.get("/")).status == 404
