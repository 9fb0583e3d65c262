"""The simulation: each kind of device, what it counts, and what outlives the brain."""

import asyncio
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
import struct
from typing import Any, cast
import zlib

from aiohttp import ClientSession
import pytest

from brain_server.drivers import Observation, Order
from brain_server.drivers.demo import Demo
from brain_server.drivers.demo.picture import draw
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import INTENTS, CommandStatus, Json, Kind
from tests.brain.drivers.conformance import in_pieces
from tests.brain.drivers.watch import build, watching


class Simulation:
    """A demo device in a time that only the test lets pass."""

    def __init__(self, **options: Any) -> None:
        """Start at a certain moment."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.seen: list[Observation] = []
        self.options = options
        self.driver = self.restart()

    def restart(self) -> Demo:
        """Make the driver anew, as a restart of the brain does."""
        driver = build(
            Demo,
            self.options,
            cast("ClientSession", None),
            publish=self.seen.append,
            now=lambda: self.now,
        )
        assert isinstance(driver, Demo)
        self.driver = driver
        return driver

    async def order(self, intent: str, **params: Any) -> Any:
        """Carry out an order."""
        return await self.driver.execute(Order(command_id="c", intent=intent, params=params))

    async def after(self, seconds: float = 0) -> Json:
        """Return the state so much later."""
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)
        await self.driver.refresh()
        self.driver._publisher._due = 0
        await self.driver.refresh()
        return self.seen[-1].state


@pytest.mark.parametrize("kind", list(Kind))
async def test_every_kind_can_be_had_with_all_that_such_a_device_can_do(kind: Kind) -> None:
    """And nothing else."""
    info = await Simulation(kind=kind.value, name="Thing").driver.probe()
    assert (info.kind, info.name) == (kind, "Thing")
    assert info.capabilities == {name for name, it in INTENTS.items() if it.kind is kind}
    assert info.has_camera is (kind in {Kind.PRINTER, Kind.CAMERA})


SWITCHED = [
    ("door", "unlock", {"locked": False, "open": False}),
    ("door", "open", {"locked": False, "open": True}),
    ("power", "power_on", {"on": True}),
    ("light", "light_on", {"on": True}),
]


@pytest.mark.parametrize(("kind", "intent", "expected"), SWITCHED)
async def test_what_is_switched_shows_it_and_can_be_switched_back(
    kind: str, intent: str, expected: Json
) -> None:
    """The way back is the safe one, and two effects are counted."""
    back = {"door": "lock", "power": "power_off", "light": "light_off"}[kind]
    simulation = Simulation(kind=kind)
    before = await simulation.after()
    assert await simulation.order(intent) is None
    state = await simulation.after()
    assert expected.items() <= state.items()
    await simulation.order(back)
    assert await simulation.after() == before | {"executed": 2}


async def test_a_door_locks_itself_when_it_is_told_to() -> None:
    """Not a second too early."""
    simulation = Simulation(kind="door", relock_s=10)
    await simulation.order("unlock")
    assert (await simulation.after(9))["locked"] is False
    assert (await simulation.after(2))["locked"] is True


async def test_a_door_that_does_not_lock_itself_stays_unlocked() -> None:
    """Which is the default."""
    simulation = Simulation(kind="door")
    await simulation.order("unlock")
    assert (await simulation.after(100_000))["locked"] is False


async def test_a_printer_heats_prints_ends_and_cools() -> None:
    """In that order, and by the clock alone."""
    simulation = Simulation(kind="printer")
    file = await simulation.driver.upload("part.gcode", in_pieces(bytes(6000)))
    await simulation.order("print_start", file=file)
    warm = await simulation.after(10)
    assert warm["status"] == "preparing"
    assert 80 < warm["nozzle"]["actual"] < 120
    hot = await simulation.after(30)
    assert hot["status"] == "printing"
    assert hot["nozzle"] == {"actual": 205.0, "target": 205.0}
    assert 0 < hot["job"]["progress"] < 50
    done = await simulation.after(60)
    assert (done["status"], done["job"]["progress"]) == ("completed", 100)
    assert done["nozzle"]["target"] == 0
    cold = await simulation.after(600)
    assert cold["nozzle"]["actual"] == cold["bed"]["actual"] == 21.0


async def test_the_same_orders_at_the_same_times_give_the_same_states() -> None:
    """The simulation has no chance in it."""
    runs = []
    for _ in range(2):
        simulation = Simulation(kind="printer")
        await simulation.order("print_start", file="cube.gcode")
        runs.append([await simulation.after(7.3) for _ in range(30)])
    assert runs[0] == runs[1]


async def test_heaters_take_their_targets_and_keep_the_one_that_is_not_named() -> None:
    """As the intent says."""
    simulation = Simulation(kind="printer")
    await simulation.order("heat", nozzle=100.0, bed=40.0)
    await simulation.order("heat", bed=50.0)
    state = await simulation.after(60)
    assert (state["nozzle"]["target"], state["bed"]["target"]) == (100.0, 50.0)


async def test_a_fault_is_cleared_by_gcode_and_until_then_nothing_starts() -> None:
    """So that every state can be shown."""
    simulation = Simulation(kind="printer")
    broken = await simulation.order("gcode", script="FAULT")
    assert broken.status is CommandStatus.ACKED
    assert (await simulation.after())["status"] == "error"
    assert simulation.seen[-1].reason == "Unknown fault"
    with pytest.raises(DeviceError):
        await simulation.order("print_start", file="cube.gcode")
    await simulation.order("gcode", script="RESET")
    assert (await simulation.after())["status"] == "idle"


async def test_a_sensor_measures_something_that_changes() -> None:
    """A plausible room."""
    simulation = Simulation(kind="sensor")
    values = [(await simulation.after(50))["value"] for _ in range(12)]
    assert all(15 < value < 27 for value in values)
    assert len(set(values)) > 5


async def test_an_effect_comes_after_the_delay() -> None:
    """And not before."""
    simulation = Simulation(kind="door", latency_s=0.2)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await simulation.order("unlock")
    assert loop.time() - start >= 0.2


async def test_what_a_kind_does_not_have_is_refused() -> None:
    """A door takes no files and has no eye."""
    simulation = Simulation(kind="door")
    for code, attempt in (
        ("not_supported", simulation.order("power_on")),
        ("not_supported", simulation.driver.upload("a.gcode", in_pieces(b""))),
        ("no_camera", simulation.driver.snapshot()),
    ):
        with pytest.raises(DeviceError) as raised:
            await attempt
        assert raised.value.code == code
    assert await simulation.driver.files() == []


# -- counting -----------------------------------------------------------------------------------------


async def test_an_order_that_is_sent_twice_is_done_twice_and_counted_twice() -> None:
    """The simulation does not hide a mistake of the brain."""
    simulation = Simulation(kind="door")
    for _ in range(2):
        await simulation.order("unlock")
    assert (await simulation.after())["executed"] == 2


async def test_every_effect_is_one_line_of_the_journal(tmp_path: Path) -> None:
    """With the command that it was done for; what was refused is not in it."""
    journal = tmp_path / "journal"
    simulation = Simulation(kind="printer", journal=str(journal))
    await simulation.order("print_start", file="cube.gcode")
    with pytest.raises(DeviceError):
        await simulation.order("print_start", file="cube.gcode")
    await simulation.order("print_cancel")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["intent"] for line in lines] == ["print_start", "print_cancel"]
    assert {line["command_id"] for line in lines} == {"c"}


async def test_a_device_with_a_journal_outlives_the_brain(tmp_path: Path) -> None:
    """It is as a real one would be found: the same run, further on."""
    simulation = Simulation(kind="printer", journal=str(tmp_path / "journal"))
    await simulation.order("print_start", file="benchy.gcode")
    before = await simulation.after(100)
    simulation.restart()
    after = await simulation.after(100)
    assert after["executed"] == 1
    assert after["status"] == "printing"
    assert after["job"]["started_at"] == before["job"]["started_at"]
    assert after["job"]["progress"] > before["job"]["progress"]


async def test_an_effect_that_a_crash_cut_short_was_not_done(tmp_path: Path) -> None:
    """Half a line is taken out, so that the next one is whole."""
    journal = tmp_path / "journal"
    simulation = Simulation(kind="door", journal=str(journal))
    await simulation.order("unlock")
    journal.write_bytes(journal.read_bytes() + b'{"at": "2026')
    simulation.restart()
    assert (await simulation.after())["executed"] == 1
    await simulation.order("lock")
    simulation.restart()
    assert await simulation.after() == {
        "locked": True,
        "open": False,
        "jammed": False,
        "executed": 2,
    }


@pytest.mark.parametrize("content", ["hello\n", "{}\n", "[]\n", '{"at": "now"}\n'])
async def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, content: str) -> None:
    """The wrong field is named when the device is added."""
    other = tmp_path / "other"
    other.write_text(content)
    with pytest.raises(InvalidRequest) as raised:
        await Simulation(kind="door", journal=str(other)).driver.probe()
    assert raised.value.fields["field"] == "journal"
    assert other.read_text() == content


async def test_an_effect_that_cannot_be_written_down_is_unknown(tmp_path: Path) -> None:
    """Nobody could count it."""
    simulation = Simulation(kind="door", journal=str(tmp_path / "missing" / "journal"))
    outcome = await simulation.order("unlock")
    assert outcome.status is CommandStatus.UNKNOWN
    assert (await simulation.after())["locked"] is True


async def test_changes_are_published_as_they_happen() -> None:
    """While the driver runs, nobody has to ask."""
    async with watching(Demo, {"kind": "door", "relock_s": 0.5}) as watch:
        await watch.online()
        await watch.done("unlock")
        await watch.until(lambda seen: seen.state["locked"])


# -- pictures -----------------------------------------------------------------------------------------


def pixels(png: bytes) -> bytes:
    """Return the colours of a PNG after checking all of its chunks."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + data)
        found[kind], at = data, at + 12 + length
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    rows = zlib.decompress(found[b"IDAT"])
    assert len(rows) == height * (1 + 3 * width)
    return rows


def test_the_picture_shows_a_part_that_grows() -> None:
    """More and more of it is orange."""
    orange = []
    for grown in (0.0, 0.25, 0.5, 0.75, 1.0):
        rows = pixels(draw(grown, 0.5, moving=True))
        triples = zip(rows[0::3], rows[1::3], rows[2::3], strict=False)
        orange.append(sum(max(one) > 2 * min(one) + 60 for one in triples))
    assert orange == sorted(set(orange))


@pytest.mark.parametrize("kind", ["printer", "camera"])
async def test_a_picture_shows_what_is_there_now(kind: str) -> None:
    """A later one is another one."""
    simulation = Simulation(kind=kind)
    if kind == "printer":
        await simulation.order("print_start", file="cube.gcode")
    first = await simulation.driver.snapshot()
    await simulation.after(90)
    assert pixels(first) != pixels(await simulation.driver.snapshot())
    assert len(first) < 20_000


def test_a_part_that_came_off_is_seen() -> None:
    """Bright strands lie over the bed, and nowhere else is anything as bright."""
    count = [
        sum(min(red, green) > 220 for red, green in zip(rows[0::3], rows[1::3], strict=False))
        for rows in (pixels(draw(0.5, 0.5, moving=True, tangled=bad)) for bad in (False, True))
    ]
    assert count[0] < 50
    assert count[1] > 1000


async def test_a_file_that_is_called_spaghetti_comes_off_the_bed() -> None:
    """First it prints well, so that there is something to lose."""
    simulation = Simulation(kind="printer")
    scene = cast("Any", simulation.driver._thing).view
    assert not scene().tangled
    await simulation.order("print_start", file="Spaghetti.gcode")
    await simulation.after(40)
    assert (scene().moving, scene().tangled) == (True, False)
    await simulation.after(30)
    assert (scene().moving, scene().tangled) == (True, True)


async def test_a_printer_tells_its_layer_and_what_it_has_extruded() -> None:
    """Both grow with the print, and not before."""
    simulation = Simulation(kind="printer")
    await simulation.order("print_start", file="bracket.gcode")
    told = [(await simulation.after(seconds))["job"] for seconds in (10, 60, 600)]
    assert [one["layers"] for one in told] == [20, 20, 20]
    assert [one["layer"] for one in told] == [0, 8, 20]
    assert [one["filament_mm"] for one in told] == [0.0, 72.0, 180.0]


async def test_a_printer_with_a_journal_keeps_its_files(tmp_path: Path) -> None:
    """Storing one is no effect that is counted, and it prints as long as before."""
    simulation = Simulation(kind="printer", journal=str(tmp_path / "journal"))
    file = await simulation.driver.upload("part.gcode", in_pieces(bytes(90_000)))
    simulation.restart()
    assert file in await simulation.driver.files()
    assert (await simulation.after())["executed"] == 0
    await simulation.order("print_start", file=file)
    assert (await simulation.after(60))["job"]["layers"] == 150


async def test_a_file_that_cannot_be_written_down_is_not_taken(tmp_path: Path) -> None:
    """The next life would not have it."""
    simulation = Simulation(kind="printer", journal=str(tmp_path / "missing" / "journal"))
    with pytest.raises(DeviceError, match="Journal"):
        await simulation.driver.upload("part.gcode", in_pieces(b""))
    assert "part.gcode" not in await simulation.driver.files()
