"""Projects with several plates: the one that is asked for is read, judged, drawn and remembered."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import update

from brain_server.app import Brain
from brain_server.commands import SYSTEM
from brain_server.fabrication import store as store_module
from brain_server.fabrication.files import plate_of
from brain_server.protocol import Json
from brain_server.storage.tables import artifacts
from tests.brain.fabrication.printfiles import PNG, SQUARE, threemf
from tests.brain.home import Home, Refused, Rest, at_home, running, until

INFO: Final = """<config>
<plate><metadata key="index" value="1"/><metadata key="prediction" value="600"/>
<filament id="1" type="PLA" color="#FFFFFF" used_m="1.00" used_g="3.00"/></plate>
<plate><metadata key="index" value="2"/><metadata key="prediction" value="7200"/>
<filament id="2" type="ABS" color="#000000" used_m="9.00" used_g="22.00"/></plate></config>"""
TALL: Final = SQUARE.replace("Z0.4", "Z90")
OTHER_PNG: Final = PNG + b"2"
PROJECT: Final = threemf(
    **{
        "Metadata/plate_1.gcode": f"M104 S210\n{SQUARE}",
        "Metadata/plate_2.gcode": f"M104 S260\nM140 S100\n{TALL}",
        "Metadata/plate_3.gcode": None,
        "Metadata/plate_1.png": PNG,
        "Metadata/plate_2.png": OTHER_PNG,
        "Metadata/slice_info.config": INFO,
    }
)


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[Brain]:
    """Give a brain."""
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def home(brain: Brain) -> AsyncIterator[Home]:
    """Give its Home Assistant."""
    async with at_home(brain) as made:
        yield made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None]]:
    """Give what the child was asked to read, and of which plate."""
    asked: list[tuple[str, int | None]] = []
    real = store_module._child

    async def noted(mode: str, path: Path, picture: Path, plate: int | None) -> dict[str, Any]:
        asked.append((mode, plate))
        return await real(mode, path, picture, plate)

    monkeypatch.setattr(store_module, "_child", noted)
    return asked


def background[T](home: Home, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Do something beside the test."""
    return home.brain.tasks.start("beside the test", work)


async def whole(content: bytes) -> AsyncIterator[bytes]:
    """Yield content."""
    yield content


async def printer(home: Home, content: bytes = PROJECT, **profile: Any) -> str:
    """Add a printer that holds a project; returns its id."""
    device = await home.add("demo", kind="printer", **profile)
    await home.brain.files.upload(SYSTEM, device, "box.3mf", whole(content))
    return device


async def start(home: Home, device: str, **params: Any) -> Json:
    """Ask for a print; returns the error, or the command."""
    try:
        asked = await home.request(device, "print_start", params={"file": "box.3mf"} | params)
    except Refused as err:
        return err.error
    return dict(asked["command"])


async def project(home: Home) -> Json:
    """Return the row of the only file."""
    found: list[Json] = (await home.command("files.list"))["items"]
    return found[0]


# -- judged -------------------------------------------------------------------------------------------


async def test_the_plate_that_is_named_is_judged(home: Home) -> None:
    """Its material, and not that of the first one."""
    device = await printer(home)
    assert (await start(home, device))["status"] == "pending"
    refused = await start(home, device, plate=2)
    assert (refused["code"], refused["details"]["materials"]) == ("ventilation_unconfirmed", "ABS")
    asked = await start(home, device, plate=2, ventilation=True)
    assert asked["params"] == {"file": "box.3mf", "plate": 2, "ventilation": True}


@pytest.mark.parametrize(
    ("profile", "what"),
    [
        ({"max_nozzle": 250}, "max_nozzle"),
        ({"max_bed": 80}, "max_bed"),
        ({"volume": "200x200x50"}, "volume"),
        ({"materials": "PLA"}, "material"),
    ],
)
async def test_what_only_another_plate_breaks_refuses_only_that(
    home: Home, profile: Json, what: str
) -> None:
    """Heat, height and material are those of the plate."""
    device = await printer(home, **profile)
    assert (await start(home, device, plate=1))["status"] == "pending"
    refused = await start(home, device, plate=2, ventilation=True)
    assert (refused["code"], refused["details"]["what"]) == ("does_not_fit", what)


async def test_a_printer_whose_people_chose_another_plate_is_judged_by_that(home: Home) -> None:
    """Where the start names none; else by that of the start."""
    device = await printer(home)
    live = home.brain.registry.get(device)
    live.record = replace(live.record, options=dict(live.record.options) | {"plate": 2.0})
    assert (await start(home, device))["code"] == "ventilation_unconfirmed"
    assert (await start(home, device, plate=1))["status"] == "pending"


async def test_a_plate_that_is_not_there_is_refused(home: Home) -> None:
    """With those that there are."""
    device = await printer(home)
    refused = await start(home, device, plate=3)
    assert (refused["code"], refused["details"]) == (
        "no_such_plate",
        {"plate": 3, "plates": [1, 2]},
    )


async def test_a_project_without_a_first_plate_wants_one_named(home: Home) -> None:
    """Nobody guesses what is printed."""
    device = await printer(home, threemf())
    refused = await start(home, device)
    assert (refused["code"], refused["details"]["plates"]) == ("no_such_plate", [2, 3])
    assert (await start(home, device, plate=2))["status"] == "pending"


@pytest.mark.parametrize("plate", [0, 1000, 1.5, True, "2"])
async def test_what_is_no_number_of_a_plate_is_refused(home: Home, plate: Any) -> None:
    """Before anything else."""
    device = await printer(home)
    assert (await start(home, device, plate=plate))["code"] == "invalid_params"


async def test_a_file_of_another_kind_has_one_plate(home: Home) -> None:
    """Also one of which nothing is known."""
    device = await printer(home)
    await home.brain.files.upload(SYSTEM, device, "part.gcode", whole(SQUARE.encode()))
    assert (await start(home, device, file="part.gcode", plate=1))["status"] == "pending"
    assert (await start(home, device, file="part.gcode", plate=2))["code"] == "no_such_plate"


# -- read ---------------------------------------------------------------------------------------------


async def test_a_plate_is_read_once(home: Home, read: list[tuple[str, int | None]]) -> None:
    """When somebody first asks for it; two who ask at the same time wait for one reading."""
    device = await printer(home)
    await asyncio.gather(*(start(home, device, plate=2) for _ in range(3)))
    await start(home, device, plate=2)
    assert read == [("facts", None), ("facts", 2)]
    facts = (await project(home))["facts"]
    assert (facts["plate"], facts["plate_numbers"], facts["material"]) == (1, [1, 2], "PLA")
    second = plate_of(facts, 2) or {}
    assert (second["plate"], second["estimated_s"], second["grams"]) == (2, 7200, 22.0)
    assert second["hazards"] == [{"material": "ABS", "gives_off": ["styrene"]}]


async def test_a_plate_is_read_to_its_end_when_nobody_waits_any_more(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks again finds it known."""
    device, go, real = await printer(home), asyncio.Event(), store_module._child

    async def slow(*asked: Any) -> dict[str, Any]:
        await go.wait()
        return await real(*asked)

    monkeypatch.setattr(store_module, "_child", slow)
    asking = background(home, home.brain.files.facts_of(device, "box.3mf", 2))
    await until(home.brain.files._learning.locked, "the reading")
    asking.cancel()
    await asyncio.wait([asking])
    go.set()
    await until(lambda: not home.brain.files._learning.locked(), "the end of it")
    assert plate_of((await project(home))["facts"], 2) is not None


async def test_a_project_that_was_read_before_plates_were_told_apart_is_read_again(
    home: Home, read: list[tuple[str, int | None]]
) -> None:
    """What was known of it may be of any plate."""
    device = await printer(home)
    old = {"material": "PLA", "materials": ["PLA"], "hazardous": False, "plates": 2}
    await home.brain.brain_db.write(
        lambda connection: connection.execute(update(artifacts).values(facts=old))
    )
    assert (await start(home, device, plate=2))["code"] == "ventilation_unconfirmed"
    assert (await start(home, device))["status"] == "pending"
    assert read == [("facts", None), ("facts", None), ("facts", 2)]


async def test_a_plate_that_cannot_be_read_any_more_is_not_started(home: Home) -> None:
    """The content was removed; what was read before is still known."""
    device = await printer(home)
    await home.brain.files.store.remove((await project(home))["sha256"])
    assert (await start(home, device, plate=2))["code"] == "file_missing"
    assert (await start(home, device, plate=1))["status"] == "pending"


async def test_a_plate_without_a_print_is_not_started(home: Home) -> None:
    """Though it is there."""
    empty = threemf(**{"Metadata/plate_2.gcode": SQUARE, "Metadata/plate_3.gcode": "; words"})
    device = await printer(home, empty)
    assert (await start(home, device, plate=3))["code"] == "unsupported_file"


# -- shown and remembered -----------------------------------------------------------------------------


async def test_a_plate_has_pictures_of_its_own(home: Home) -> None:
    """The slicer's and ours."""
    await printer(home)
    about = {"artifact_id": (await project(home))["id"]}

    async def picture(**more: Any) -> bytes:
        shown = await home.command("files.picture", about | more)
        return base64.b64decode(shown["image"])

    assert (await picture(), await picture(plate=1)) == (PNG, PNG)
    assert await picture(plate=2) == OTHER_PNG
    drawn = [await picture(kind="preview", plate=one) for one in (1, 2)]
    assert drawn[0] == await picture(kind="preview")
    assert drawn[0] != drawn[1]
    assert await home.refusal("files.picture", about | {"plate": 3}) == "no_such_plate"


async def test_all_pictures_go_with_the_file(home: Home) -> None:
    """Nothing of it stays."""
    await printer(home)
    row = await project(home)
    await home.command("files.picture", {"artifact_id": row["id"], "kind": "preview", "plate": 2})
    await home.command("files.remove", {"artifact_id": row["id"]})
    assert list(home.brain.files.store.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "plate", "estimated"), [({}, 1, 600), ({"plate": 2, "ventilation": True}, 2, 7200)]
)
async def test_a_job_knows_its_plate_and_what_was_foretold_of_it(
    home: Home, params: Json, plate: int, estimated: float
) -> None:
    """Time, material and grams are those of the plate."""
    device = await printer(home)
    asked = await home.request(device, "print_start", params={"file": "box.3mf"} | params)
    await home.decide(asked["event"], "bob")
    await home.ended(asked["command"]["id"])
    (job,) = await home.jobs()
    assert (job["plate"], job["estimated_s"]) == (plate, estimated)


async def test_of_a_run_that_nobody_ordered_here_no_plate_is_told(home: Home) -> None:
    """Somebody began it at the printer: only the file is known."""
    device = await printer(home)
    await home.brain.jobs._open(device_id=device, file="box.3mf", status="printing")
    (job,) = (await home.command("jobs.list"))["items"]
    assert (job["artifact_id"], job["plate"], job["estimated_s"]) == (
        (await project(home))["id"],
        None,
        None,
    )


# -- queued -------------------------------------------------------------------------------------------


async def queued(home: Home, plate: int) -> Json:
    """Queue a plate; returns the item as it was planned first."""
    made = await home.brain.files.take(SYSTEM, "box.3mf", whole(PROJECT))
    await home.subscribe()
    await home.command(
        "queue.add", {"artifact_id": made["id"], "plate": plate, "ventilation": True}
    )
    return await shown(home, "queue.updated", lambda item: bool(item["reasons"][1:]))


async def shown(home: Home, name: str, fits: Callable[[Json], bool]) -> Json:
    """Return what the first such event says."""

    def found() -> Json | None:
        said = (one["data"] for one in home.events if one["event"] == name)
        return next((data for data in said if fits(data)), None)

    event: Json = await until(found, name)
    return event


async def test_the_queue_plans_and_starts_the_plate_that_was_asked_for(home: Home) -> None:
    """With its material, weight and time, and not those of the first one."""
    device = await home.add("demo", kind="printer")
    await home.command("printers.cleared", {"device_id": device})
    item = await queued(home, 2)
    told = [item[name] for name in ("title", "plate", "material", "grams", "estimated_s")]
    assert told == ["box.3mf #2", 2, "ABS", 22.0, 7200]
    assert item["reasons"][0]["code"] == "load_filament"
    await home.command("queue.release", {"queue_id": item["id"]})
    asked = await shown(home, "command.updated", lambda one: one["intent"] == "print_start")
    assert asked["params"]["plate"] == 2


@pytest.mark.parametrize(
    ("materials", "reason"), [("ABS", "load_filament"), ("PLA", "no_printer_fits")]
)
async def test_a_plate_is_planned_for_a_printer_that_it_fits(
    home: Home, materials: str, reason: str
) -> None:
    """The first plate would fit those that this does not, and the other way round."""
    await home.add("demo", kind="printer", materials=materials)
    item = await queued(home, 2)
    assert item["reasons"][0]["code"] == reason


async def test_a_plate_that_is_not_there_is_not_queued(home: Home) -> None:
    """Nor one but the first of a file that has no plates."""
    project = await home.brain.files.take(SYSTEM, "box.3mf", whole(PROJECT))
    plain = await take(home, SQUARE)
    for artifact in (project["id"], plain):
        about = {"artifact_id": artifact, "plate": 3}
        assert await home.refusal("queue.add", about) == "no_such_plate"
    item = await home.command("queue.add", {"artifact_id": plain, "plate": 1})
    assert item["title"] == "part.gcode"


# -- drawing ------------------------------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Give what lets every drawing go on."""
    go, real = asyncio.Event(), store_module._child

    async def slow(mode: str, *asked: Any) -> dict[str, Any]:
        if mode == "preview":
            await go.wait()
        return await real(mode, *asked)

    monkeypatch.setattr(store_module, "_child", slow)
    return go


async def take(home: Home, content: str, name: str = "part.gcode") -> str:
    """Take in a file; returns its id."""
    made = await home.brain.files.take(SYSTEM, name, whole(content.encode()))
    return str(made["id"])


def drawing(home: Home) -> int:
    """Return how many drawings are under way or wait."""
    return len(home.brain.files.store._drawing)


async def test_a_program_that_wants_many_drawings_is_told_to_wait(
    home: Home, held: asyncio.Event
) -> None:
    """Nothing piles up; what is being drawn already is waited for."""
    one, other = await take(home, SQUARE), await take(home, TALL)
    async with Rest(home.brain, await home.token("read")) as reader:
        asks = [{"artifact_id": artifact, "kind": "preview"} for artifact in (one, other)]
        first = background(home, reader.act("files.picture", asks[0]))
        await until(lambda: drawing(home), "the drawing")
        same = background(home, reader.act("files.picture", asks[0]))
        refused = [await reader.act("files.picture", asks[1]) for _ in range(5)]
        assert {(answer.status, answer.code) for answer in refused} == {(429, "drawing_busy")}
        assert drawing(home) == 1
        held.set()
        assert [(await answer).status for answer in (first, same)] == [200, 200]
        assert (await reader.act("files.picture", asks[1])).status == 200


async def test_home_assistant_waits_for_its_turn(home: Home, held: asyncio.Event) -> None:
    """People look at it."""
    ids = [await take(home, SQUARE), await take(home, TALL)]
    asked = [
        background(home, home.command("files.picture", {"artifact_id": one, "kind": "preview"}))
        for one in ids
    ]
    await until(lambda: drawing(home) == 2, "both drawings")
    held.set()
    assert [(await one)["content_type"] for one in asked] == ["image/png", "image/png"]


async def test_a_drawing_goes_on_without_the_one_who_asked_for_it(
    home: Home, held: asyncio.Event, read: list[tuple[str, int | None]]
) -> None:
    """Else a long one would be begun again and again, and never be there."""
    artifact = await take(home, SQUARE)
    store, sha256 = home.brain.files.store, (await project(home))["sha256"]
    asking = background(home, store.draw(sha256))
    await until(lambda: drawing(home), "the drawing")
    asking.cancel()
    await asyncio.wait([asking])
    held.set()
    await until(lambda: not drawing(home), "the end of it")
    await home.command("files.picture", {"artifact_id": artifact, "kind": "preview"})
    assert [mode for mode, _plate in read] == ["facts", "preview"]


@pytest.mark.parametrize(
    ("breaks", "code"), [(False, "no_picture_of_file"), (True, "unsupported_file")]
)
async def test_what_cannot_be_drawn_is_tried_once(
    home: Home,
    read: list[tuple[str, int | None]],
    monkeypatch: pytest.MonkeyPatch,
    breaks: bool,
    code: str,
) -> None:
    """Until it is taken in anew."""
    heater = {"artifact_id": await take(home, "M104 S200\n"), "kind": "preview"}
    read.clear()
    monkeypatch.setattr(store_module, "READ_S", 0.0 if breaks else 60.0)
    assert [await home.refusal("files.picture", heater) for _ in range(3)] == [code] * 3
    assert len(read) == 1
    await home.brain.files.store.remove((await project(home))["sha256"])
    monkeypatch.setattr(store_module, "READ_S", 60.0)
    await take(home, "M104 S200\n")
    assert await home.refusal("files.picture", heater) == "no_picture_of_file"
