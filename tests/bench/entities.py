"""What entities cost Home Assistant: KITTY's beside those of MQTT and of templates, each in a real Home Assistant.

One process for each. The integration is set up with next to nothing and taken down again, so that its code is loaded;
then it gets its things and is set up once more. What is measured is that: seconds until every entity has a
state, and by how much the process has grown.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
import copy
from dataclasses import asdict
import gc
import json
import os
from pathlib import Path
import statistics
import sys
import tempfile
import time
from typing import Any, Final

from aiomqtt import Client

from brain_server.app import Brain
from brain_server.protocol import Json
from brain_server.settings import Settings
from brain_server.storage.tables import new_id
from script.house.config import LISTENING
from script.house.processes import free_port
from tests.standins.mosquitto import Mosquitto

ROOT: Final = Path(__file__).parents[2]
TOKEN: Final = "bench"
CONFIGURATION: Final = "homeassistant:\nconversation:\nfrontend:\n"
KINDS: Final = ("printer", "door", "power", "camera")
LIMIT: Final = 120.0
# So long nothing new must come for all to be there.
QUIET_S: Final = 1.5

type Again = Callable[[], Awaitable[object]]


def rss_mb() -> float:
    """Return what this process holds of real memory, in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# -- one process, one Home Assistant ------------------------------------------------------------------


async def child(case: str, folder: Path, given: Json) -> Json:
    """Measure one integration."""
    from homeassistant import bootstrap  # noqa: PLC0415 - only the children carry it
    from homeassistant.runner import RuntimeConfig  # noqa: PLC0415 - as above

    (folder / "configuration.yaml").write_text(CONFIGURATION, "utf-8")
    listening = copy.deepcopy(LISTENING)
    listening["data"]["stable"]["server_port"] = free_port(8123)
    (folder / ".storage").mkdir()
    (folder / ".storage" / "http").write_text(json.dumps(listening), "utf-8")
    (folder / "custom_components").mkdir()
    (folder / "custom_components" / "kitty").symlink_to(ROOT / "custom_components" / "kitty")
    wanted = RuntimeConfig(config_dir=str(folder), skip_pip=True, log_no_color=True)
    hass = await bootstrap.async_setup_hass(wanted)
    assert hass is not None
    assert not hass.config.recovery_mode
    await hass.async_start()
    again = await PREPARE[case](hass, given)
    await hass.async_block_till_done()

    def count() -> int:
        return sum(not state.attributes.get("restored") for state in hass.states.async_all())

    none, before, started = count(), rss_mb(), time.perf_counter()
    await again()
    seen, since = count(), time.perf_counter()
    async with asyncio.timeout(LIMIT):
        while time.perf_counter() - since < QUIET_S:
            await asyncio.sleep(0.01)  # until the next look
            if (now := count()) != seen:
                seen, since = now, time.perf_counter()
    found = {
        "entities": seen - none,
        # What was there the first time found its memory waiting.
        "new": seen - none - given.get("first", 0),
        "setup_s": since - started,
        "grown_mb": rss_mb() - before,
    }
    await hass.async_stop(force=True)
    return found


async def _kitty(hass: Any, given: Json) -> Again:
    """Pair with the brain, then let Home Assistant know its devices."""
    from homeassistant.config_entries import ConfigSubentry  # noqa: PLC0415 - as above

    flow = hass.config_entries.flow
    made = await flow.async_init("kitty", context={"source": "user"})
    await flow.async_configure(made["flow_id"], {"next_step_id": "brain"})
    made = await flow.async_configure(made["flow_id"], {"url": given["url"], "token": TOKEN})
    assert made["type"] == "create_entry", made
    entry = made["result"]
    await hass.async_block_till_done()
    given["first"] = sum(state.domain != "zone" for state in hass.states.async_all())
    await hass.config_entries.async_unload(entry.entry_id)
    for device in given["devices"]:
        subentry = ConfigSubentry(
            data=device,
            subentry_type="device",
            title=device["info"]["name"],
            unique_id=device["device_id"],
        )
        hass.config_entries.async_add_subentry(entry, subentry)
    return lambda: hass.config_entries.async_setup(entry.entry_id)


async def _mqtt(hass: Any, given: Json) -> Again:
    """Connect to the broker once, then let it hold what is to be discovered."""
    flow = hass.config_entries.flow
    made = await flow.async_init("mqtt", context={"source": "user"})
    plain = {"set_client_cert": False, "set_ca_cert": "off", "transport": "tcp"}
    where = {"broker": "127.0.0.1", "port": given["port"], "protocol": "5", "other_settings": plain}
    made = await flow.async_configure(made["flow_id"], where)
    assert made["type"] == "create_entry", made
    entry = made["result"]
    await hass.async_block_till_done()
    await hass.config_entries.async_unload(entry.entry_id)
    async with Client("127.0.0.1", given["port"]) as client:
        await client.publish("house", "1", retain=True)
        for number in range(given["count"]):
            thing = number // 10
            about = {
                "name": f"Sensor {number}",
                "unique_id": f"sensor_{number}",
                "state_topic": "house",
                "device": {"identifiers": [f"thing_{thing}"], "name": f"Thing {thing}"},
            }
            topic = f"homeassistant/sensor/s{number}/config"
            await client.publish(topic, json.dumps(about), retain=True, qos=1)
    return lambda: hass.config_entries.async_setup(entry.entry_id)


async def _template(hass: Any, given: Json) -> Again:
    """Set up one template, then write the others."""
    from homeassistant.setup import async_setup_component  # noqa: PLC0415 - as above

    def written(count: int) -> list[Json]:
        state = "{{ states('zone.home') | int + 1 }}"
        named = range(count)
        return [
            {"name": f"Sensor {one}", "unique_id": f"sensor_{one}", "state": state} for one in named
        ]

    path = Path(hass.config.config_dir) / "configuration.yaml"
    assert await async_setup_component(hass, "template", {"template": [{"sensor": written(1)}]})
    await hass.async_block_till_done()
    more = json.dumps([{"sensor": written(given["count"] + 1)}])
    await asyncio.to_thread(path.write_text, f"{CONFIGURATION}template: {more}\n", "utf-8")
    return lambda: hass.services.async_call("template", "reload", blocking=True)


PREPARE: Final = {"kitty": _kitty, "mqtt": _mqtt, "template": _template}


# -- the bench ----------------------------------------------------------------------------------------


async def one(case: str, given: Json) -> Json:
    """Measure one integration in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="kitty-entities-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.entities", "--child", case, "--folder", folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        told, _ = await process.communicate(json.dumps(given).encode())
        assert process.returncode == 0, f"{case} ended with {process.returncode}"
    found: Json = json.loads(told.splitlines()[-1])
    return found


async def devices(brain: Brain, count: int) -> list[Json]:
    """Return what Home Assistant keeps of devices that were added there, of each kind in turn."""
    kept = []
    for number in range(count):
        options = {"kind": KINDS[number % len(KINDS)], "name": f"thing {number}"}
        info = asdict(await brain.registry.probe("demo", options))
        kept.append(
            {
                "device_id": new_id(),
                "driver": "demo",
                "options": options,
                "zone_id": None,
                "info": info | {"capabilities": sorted(info["capabilities"])},
            }
        )
    return kept


async def measure(folder: Path, count: int, rounds: int) -> Json:
    """Measure all of them in turns; returns medians, for each hundred entities where it says so."""
    broker = Mosquitto(folder / "mosquitto")
    broker.start()
    brain = Brain(Settings(data_dir=folder / "brain", port=0, token=TOKEN))
    await brain.start()
    try:
        given = {
            "kitty": {
                "url": f"http://127.0.0.1:{brain.port}",
                "devices": await devices(brain, count // 12),
            },
            "mqtt": {"port": broker.port, "count": count},
            "template": {"count": count},
        }
        runs: dict[str, list[Json]] = {case: [] for case in PREPARE}
        for _ in range(rounds):
            for case in PREPARE:
                runs[case].append(await one(case, given[case]))
    finally:
        await brain.stop()
        broker.kill()
    found: Json = {"rounds": rounds}
    for case, seen in runs.items():
        setup = statistics.median(run["setup_s"] for run in seen)
        grown = statistics.median(run["grown_mb"] for run in seen)
        found[case] = {
            "entities": seen[0]["entities"],
            "setup_s": round(setup, 3),
            "setup_ms_per_100": round(setup * 1e5 / seen[0]["entities"], 1),
            "mb_per_100": round(grown * 100 / seen[0]["new"], 2),
        }
    for case in ("mqtt", "template"):
        found[f"ratio_to_{case}"] = {
            name: round(found["kitty"][name] / found[case][name], 2)
            for name in ("setup_ms_per_100", "mb_per_100")
        }
    return found


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=PREPARE, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.child:
        print(json.dumps(asyncio.run(child(wanted.child, wanted.folder, json.load(sys.stdin)))))
        return 0
    with tempfile.TemporaryDirectory(prefix="kitty-entities-") as folder:
        found = asyncio.run(measure(Path(folder), wanted.count, wanted.rounds))
    text = json.dumps(found, indent=2)
    print(text)
    if wanted.json is not None:
        wanted.json.write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
