"""The image, built from its Dockerfile and booted as the Supervisor boots it."""

import asyncio
from pathlib import Path
import re
from typing import Any

import pytest

from tests.app import lab
from tests.app.conftest import App

pytestmark = [pytest.mark.image, pytest.mark.asyncio(loop_scope="session")]


async def ask(who: str, path: str, **more: Any) -> lab.Answer:
    """Ask the app for something from an address."""
    return await asyncio.to_thread(lab.ask, who, path, **more)


def status(process: Path) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = (process / "status").read_text("ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# -- the start ------------------------------------------------------------------------------------------


async def test_it_is_there_soon(app: App) -> None:
    """Seconds after its start it has announced itself; the Supervisor waits for two minutes."""
    assert app.seconds < 60


async def test_it_announces_where_it_is_and_how_it_proves_who_it_is(app: App) -> None:
    """By the name that Docker knows it by, with a token of its own and its public key."""
    config = app.message["config"]
    assert app.message["service"] == "kitty"
    assert (config["host"], config["port"]) == ("abc-kitty", 8100)
    assert (len(config["token"]), len(config["instance_id"]), len(config["public_key"])) == (
        43,
        32,
        44,
    )


async def test_it_asks_the_supervisor_for_nothing_else(app: App) -> None:
    """What it has no right to, it does not try."""
    assert set(app.supervisor.asked) == {"POST /discovery"}
    assert app.supervisor.refused == []


async def test_it_runs_without_root_and_without_a_capability(app: App) -> None:
    """And with no way back to them."""
    found = [status(process) for process in app.container.processes()]
    assert found
    assert {one["Uid"] for one in found} == {"1000\t1000\t1000\t1000"}
    assert {one["Gid"] for one in found} == {"1000\t1000\t1000\t1000"}
    assert {one["Groups"] for one in found} == {""}
    assert {one["NoNewPrivs"] for one in found} == {"1"}
    assert {one[f"Cap{kind}"] for one in found for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {
        "0" * 16
    }


async def test_the_supervisors_token_is_in_no_environment(app: App) -> None:
    """Where every child and whoever reads /proc would find it."""
    places = [process / "environ" for process in app.container.processes()]
    places += [process / "cmdline" for process in app.container.processes()]
    secret = app.container.token.encode()
    assert [str(place) for place in places if secret in place.read_bytes()] == []
    assert secret not in app.container.log.read_bytes()


async def test_it_listens_on_one_port(app: App) -> None:
    """And on nothing else, neither TCP nor UDP."""
    found: dict[str, set[int]] = {}
    for kind, listens in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        table = (app.container.init() / "net" / kind).read_text("ascii").splitlines()[1:]
        rows = [line.split() for line in table]
        found[kind] = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == listens}
    assert found == {"tcp": {8100}, "tcp6": set(), "udp": set(), "udp6": set()}


async def test_the_check_of_its_health_says_well(app: App) -> None:
    """The very command that Docker runs."""
    kind, *command = app.container.image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert await asyncio.to_thread(app.container.run_inside, *command) == (0, "")


async def test_the_check_of_its_health_says_ill_where_nobody_answers(app: App) -> None:
    """On another port, that is."""
    command = [
        word.replace(":8100", ":8101")
        for word in app.container.image.config["Healthcheck"]["Test"][1:]
    ]
    code, _ = await asyncio.to_thread(app.container.run_inside, *command)
    assert code == 1


async def test_it_needs_little_memory(app: App) -> None:
    """A quarter of a gigabyte would be much for a house where nothing happens yet."""
    sizes = [int(status(process)["VmRSS"].split()[0]) for process in app.container.processes()]
    assert sum(sizes) < 160 * 1024


async def test_it_lives_at_the_time_of_the_house(app: App) -> None:
    """Which the Supervisor tells: a day's budget begins at its midnight."""
    command = ("python", "-c", "import time; print(time.tzname[0])")
    assert await asyncio.to_thread(app.container.run_inside, *command) == (0, "CET\n")


async def test_its_labels_tell_the_supervisor_what_it_is(app: App) -> None:
    """An app, and which version of it."""
    labels = app.container.image.config["Labels"]
    assert (labels["io.hass.type"], labels["io.hass.arch"]) == ("app", "amd64")
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["io.hass.version"])


# -- who may see what -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/logs", "/pairing"])
async def test_its_page_is_for_the_supervisor_alone(app: App, path: str) -> None:
    """Not for a neighbour, and not for the house itself, whatever they say of themselves."""
    claim = {"X_Remote_User_Id": "ada", "X_Forwarded_For": lab.SUPERVISOR, "X_Ingress_Path": "/api"}
    callers = (lab.SUPERVISOR, lab.GATEWAY, lab.NEIGHBOUR)
    assert [(await ask(who, path, **claim)).status for who in callers] == [200, 403, 403]


async def test_a_neighbour_gets_nothing_from_the_api(app: App) -> None:
    """Without a token, or with one that it made up."""
    paths = ("/api/v1/devices.list", "/metrics", "/stats", "/ws", "/api/v1/openapi.json")
    found = [(await ask(lab.NEIGHBOUR, path)).status for path in paths]
    found += [
        (await ask(lab.NEIGHBOUR, path, Authorization="Bearer guess")).status for path in paths
    ]
    assert set(found) == {401}


async def test_home_assistant_gets_in_with_the_announced_token(app: App) -> None:
    """From the gateway, as in every house."""
    token = f"Bearer {app.message['config']['token']}"
    answer = await ask(lab.GATEWAY, "/api/v1/system.info", Authorization=token)
    assert answer.status == 200
    assert app.message["config"]["public_key"] in answer.text


async def test_a_person_has_it_announced_again(app: App) -> None:
    """By the button of its page."""
    page = await ask(lab.SUPERVISOR, "/pairing")
    stamp = re.findall(r"name=stamp value='([^']+)'", page.text)[0]
    before = len(app.supervisor.messages)
    app.supervisor.heard.clear()
    kind = {"Content_Type": "application/x-www-form-urlencoded", "X_Remote_User_Id": "ada"}
    answer = await ask(
        lab.SUPERVISOR, "/pairing", method="POST", body=f"stamp={stamp}&do=announce", **kind
    )
    assert answer.status == 200
    await app.supervisor.announced()
    assert len(app.supervisor.messages) == before + 1
