"""Power off waits until the printer behind it is cool, unless two people say "now"."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.protocol import COOL_BELOW_C, Json, is_cool
from tests.brain.gatehouse import busy
from tests.brain.home import Home, at_home, on_stage, puppets, running, until
from tests.brain.soon import SOON

STATE = puppets().printer


def heated(nozzle: object, bed: object = 21.0, status: str = "idle") -> dict[str, Any]:
    """Return the state of a printer by its temperatures."""
    return STATE(status) | {"nozzle": {"actual": nozzle}, "bed": {"actual": bed}}


async def pair_of(home: Home) -> tuple[Any, Any, str]:
    """Add a hot printer and its supply, which is on; returns both and the supply's id."""
    printer = await home.puppet("mk4", "printer")
    power = await home.puppet("plug", "power", feeds=printer.context.device_id)
    power.shows = {"on": False}
    power.show(on=True)
    printer.show(**STATE(hot=True))
    return printer, power, power.context.device_id


async def waits(home: Home, power_id: str) -> bool:
    """Tell whether a supply says that it goes off when cool."""
    found = await home.command("devices.get", {"device_id": power_id})
    return bool(found["power_off_when_cool"])


async def test_power_off_waits_for_a_hot_printer_and_then_happens_once(home: Home) -> None:
    """It is accepted, shown, and carried out by itself."""
    printer, power, power_id = await pair_of(home)
    asked = await home.request(power_id, "power_off")
    assert (asked["command"]["status"], asked["event"]) == ("deferred", None)
    assert await waits(home, power_id)
    assert power.orders == {}
    printer.show(**heated(COOL_BELOW_C))
    assert await waits(home, power_id)
    printer.show(**heated(COOL_BELOW_C - 0.1))
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"
    assert not await waits(home, power_id)
    printer.show(**STATE())
    await until(lambda: not home.brain.devices._running, "the end")
    assert len(power.orders["plug"]) == 1


async def test_power_off_of_a_cool_printer_happens_at_once(home: Home) -> None:
    """Nothing to wait for."""
    printer, power, power_id = await pair_of(home)
    printer.show(**STATE())
    done = await home.request(power_id, "power_off", wait=5)
    assert done["command"]["status"] == "acked"
    assert len(power.orders["plug"]) == 1


@pytest.mark.parametrize(
    "state",
    [
        heated(49.9, status="printing"),
        heated(49.9, status="preparing"),
        heated(49.9, status="paused"),
        heated(50.0),
        heated(21.0, 50.0),
        heated(None),
        heated(21.0, None),
        heated("21"),
        {"status": "idle"},
        {"status": "idle", "nozzle": None, "bed": None},
        {"nozzle": {"actual": 21.0}},
        {},
    ],
    ids=str,
)
async def test_what_is_not_known_to_be_cool_and_idle_is_not_cut(home: Home, state: Any) -> None:
    """A missing temperature is not a low one."""
    printer, power, power_id = await pair_of(home)
    printer.show(**state)
    asked = await home.request(power_id, "power_off")
    assert (asked["command"]["status"], power.orders) == ("deferred", {})


async def test_a_printer_that_cannot_be_seen_is_not_cut(home: Home) -> None:
    """Nor one that never was seen, nor one that is gone from the list."""
    printer, power, power_id = await pair_of(home)
    printer.show(**STATE())
    printer.vanish()
    asked = await home.request(power_id, "power_off")
    assert (asked["command"]["status"], power.orders) == ("deferred", {})
    await home.command("devices.remove", {"device_id": printer.context.device_id})
    again = await home.request(power_id, "power_off")
    assert (again["command"]["id"], power.orders) == (asked["command"]["id"], {})


async def test_asking_twice_waits_once(home: Home) -> None:
    """The second wish is the first one."""
    printer, power, power_id = await pair_of(home)
    first = await home.request(power_id, "power_off")
    second = await home.request(power_id, "power_off")
    assert first["command"]["id"] == second["command"]["id"]
    printer.show(**STATE())
    await home.ended(first["command"]["id"])
    assert len(power.orders["plug"]) == 1


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_a_printer_that_cools_while_it_is_asked_is_not_missed(home: Home, steps: int) -> None:
    """At whatever moment between the question and the record of it."""
    printer, _, power_id = await pair_of(home)
    asking = asyncio.get_running_loop().create_task(home.request(power_id, "power_off"))
    for _ in range(steps):
        await asyncio.sleep(0)
    printer.show(**STATE())
    asked = await asking
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"


# -- now ----------------------------------------------------------------------------------------------


async def test_off_now_takes_two_people_and_one_of_them_there(home: Home) -> None:
    """Cutting the power of a hot printer is a hazard of the highest level."""
    _, power, power_id = await pair_of(home)
    asked = await home.request(power_id, "power_cut", "ada")
    event = asked["event"]
    assert (event["level"], event["people_needed"], event["event_type"]) == ("high", 2, "override")
    await home.see("bob", "shop")
    assert power.orders == {}
    await home.decide(event, "bob")
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"
    assert [order.intent for order in power.orders["plug"]] == ["power_cut"]


# -- on again -----------------------------------------------------------------------------------------


async def test_power_on_cancels_what_was_waiting_when_it_is_carried_out(home: Home) -> None:
    """And not before somebody has approved it."""
    printer, power, power_id = await pair_of(home)
    off = await home.request(power_id, "power_off")
    on = await home.request(power_id, "power_on")
    assert await waits(home, power_id)
    power.shows = {"on": True}
    await home.decide(on["event"], "bob")
    assert (await home.ended(on["command"]["id"]))["status"] == "acked"
    gone = await home.ended(off["command"]["id"])
    assert (gone["status"], gone["detail"]) == ("denied", "superseded")
    assert not await waits(home, power_id)
    printer.show(**STATE())
    await until(lambda: not home.brain.devices._running, "the end")
    assert [order.intent for order in power.orders["plug"]] == ["power_on"]


async def test_power_on_that_was_refused_cancels_nothing(home: Home) -> None:
    """A stranger cannot keep a hot printer under power."""
    printer, power, power_id = await pair_of(home)
    off = await home.request(power_id, "power_off")
    asked = {"device_id": power_id, "intent": "power_on"}
    caller = {"user_id": "stranger", "channel": "dashboard"}
    assert await home.refusal("devices.request", asked, caller=caller) == "not_registered"
    denied = await home.request(power_id, "power_on")
    await home.decide(denied["event"], "bob", "deny")
    printer.show(**STATE())
    assert (await home.ended(off["command"]["id"]))["status"] == "acked"
    assert [order.intent for order in power.orders["plug"]] == ["power_off"]


# -- restarts and trouble -----------------------------------------------------------------------------


async def deferred(folder: Path) -> tuple[str, str]:
    """Live once, and leave a power off waiting; returns the ids of supply and command."""
    async with running(folder) as brain, at_home(brain) as home:
        _, _, power_id = await pair_of(home)
        asked = await home.request(power_id, "power_off")
        return power_id, asked["command"]["id"]


async def test_what_waits_outlives_a_restart(tmp_path: Path) -> None:
    """It is shown again, and carried out when the printer has cooled down."""
    power_id, command_id = await deferred(tmp_path)
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        assert await waits(home, power_id)
        printer, power = await on_stage("mk4"), await on_stage("plug")
        power.shows = {"on": False}
        printer.show(**STATE(hot=True))
        assert await waits(home, power_id)
        assert power.orders == {}
        printer.show(**STATE())
        assert (await home.ended(command_id))["status"] == "acked"
        assert len(power.orders["plug"]) == 1


async def test_a_printer_that_cooled_while_the_brain_was_away_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its first word comes before the brain has remembered what waits."""
    _, command_id = await deferred(tmp_path)
    monkeypatch.setattr(puppets().Puppet, "first_word", {"mk4": STATE(), "plug": {"on": True}})
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        power = await on_stage("plug")
        await until(lambda: power.orders.get("plug"), "the order")
        power.show(on=False)
        assert (await home.ended(command_id))["status"] == "acked"


async def test_what_waits_outlives_a_change_of_the_supply(home: Home, brain: Brain) -> None:
    """Another name, or other options: it still goes off when cool."""
    printer, _, power_id = await pair_of(home)
    asked = await home.request(power_id, "power_off")
    options = {"external_id": "plug", "kind": "power", "feeds": printer.context.device_id}
    for more in ({"name": "Other"}, {"options": options | {"level": 2}}):
        params = {"driver": "puppet", "options": options, "zone_id": "shop", "device_id": power_id}
        await home.command("devices.put", params | more)
        assert await waits(home, power_id)
    await until(lambda: brain.registry.get(power_id).driver.on_stage.get("plug"), "the new driver")
    (await on_stage("plug")).shows = {"on": False}
    printer.show(**STATE())
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"


async def test_what_was_voided_is_no_longer_promised(home: Home) -> None:
    """After an old copy of the database was restored nothing is done that waited in it."""
    printer, power, power_id = await pair_of(home)
    asked = await home.request(power_id, "power_off")
    await home.command("audit.anchor", {"seq": 10_000, "hash": "0" * 64})
    assert (await home.ended(asked["command"]["id"]))["detail"] == "restored"
    assert not await waits(home, power_id)
    printer.show(**STATE())
    again = await home.request(power_id, "power_off", wait=5)
    assert again["command"]["status"] == "acked"
    assert len(power.orders["plug"]) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)  # the database gives up after some seconds, and a busy machine later
async def test_a_database_that_is_busy_delays_it_and_does_not_lose_it(
    home: Home, brain: Brain
) -> None:
    """What could not be recorded is not done; the next word of the printer tries again."""
    printer, power, power_id = await pair_of(home)
    asked = await home.request(power_id, "power_off")
    with busy(brain.settings.safety_url):
        printer.show(**STATE())
        await until(lambda: brain.devices._running, "the try")
        await until(lambda: not brain.devices._running, "its end", 4 * SOON)
        assert await waits(home, power_id)
        assert power.orders == {}
    printer.show(**heated(22.0))
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"


COLD: Json = {"nozzle": {"actual": 21.0}, "bed": {"actual": 49.9}}


@pytest.mark.parametrize(
    ("state", "cool"),
    [
        (COLD | {"status": "idle"}, True),
        (COLD | {"status": "completed"}, True),
        (COLD | {"status": "failed"}, True),
        (COLD | {"status": "aborted"}, True),
        (COLD | {"status": "error"}, True),
        (COLD | {"status": "printing"}, False),
        (COLD | {"status": "preparing"}, False),
        (COLD | {"status": "paused"}, False),
        (COLD | {"status": None}, False),
        (COLD, False),
        (COLD | {"status": "idle", "bed": {"actual": 50.0}}, False),
        (COLD | {"status": "idle", "nozzle": {"actual": None}}, False),
        (COLD | {"status": "idle", "nozzle": None}, False),
        ({"status": "idle"}, False),
    ],
)
def test_cool_is_only_what_is_known_to_be_at_rest_and_cool(state: Json, cool: bool) -> None:
    """The same for the brain and for Home Assistant without it."""
    assert is_cool(state) is cool


# -- at the same moment -------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_printer_that_gets_hot_before_the_order_is_sent_is_not_cut(
    home: Home, brain: Brain, *, at_once: bool
) -> None:
    """It was cool when the order was taken up, whether at once or after a wait."""
    printer, power, power_id = await pair_of(home)

    async def heats() -> None:
        printer.show(**STATE(hot=True))

    brain.devices.may_send = heats
    if at_once:
        printer.show(**STATE())
    asked = await home.request(power_id, "power_off")
    if not at_once:
        printer.show(**STATE())
    done = await home.ended(asked["command"]["id"])
    assert (done["status"], done["detail"]) == ("failed", "not_cool")
    assert power.orders == {}


async def test_a_supply_that_is_changed_while_it_goes_off_promises_nothing_more(
    home: Home, brain: Brain
) -> None:
    """What waited has been taken up: it is the supply of now that shows it."""
    printer, _, power_id = await pair_of(home)
    asked = await home.request(power_id, "power_off")
    options = {"external_id": "plug", "kind": "power", "feeds": printer.context.device_id}
    claim = brain.gate.claim

    async def late(command_id: str, zone_id: str | None) -> Json:
        claimed = await claim(command_id, zone_id)
        await brain.registry.put(
            "puppet", options | {"level": 2}, device_id=power_id, zone_id="shop"
        )
        driver: Any = brain.registry.get(power_id).driver
        driver.shows = {"on": False}
        return claimed

    brain.gate.claim = late  # type: ignore[method-assign]  # comes between the two
    printer.show(**STATE())
    await home.ended(asked["command"]["id"])
    assert not await waits(home, power_id)
