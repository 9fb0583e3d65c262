"""Print files: taken in once, understood, refused where they do not fit, forgotten when nobody needs them."""

import asyncio
import base64
from collections.abc import AsyncIterator
import errno
import os
from pathlib import Path
import sys
import time
from typing import Any

import pytest
from sqlalchemy import insert, select

from brain_server.app import Brain
from brain_server.commands import SYSTEM
from brain_server.errors import Conflict, DeviceError, InvalidRequest, NotFound, Unavailable
from brain_server.fabrication import reader, store as store_module
from brain_server.fabrication.files import ArtifactId, understood
from brain_server.fabrication.hazards import hazards, is_known
from brain_server.protocol import Json
from brain_server.storage.tables import audit, jobs, new_id, queue
from tests.brain.fabrication.printfiles import PNG, PRUSA, SQUARE, threemf
from tests.brain.home import Home, Later, Refused, Rest, at_home, running, until

ABS = PRUSA.replace("PLA", "ABS")
MODEL = threemf(**{"Metadata/plate_2.gcode": None, "Metadata/plate_3.gcode": None})
HOUR = 3600.0
DAY = 86_400.0


@pytest.fixture
def clock() -> Later:
    """Give a clock that can be moved."""
    return Later()


@pytest.fixture
async def brain(tmp_path: Path, clock: Later) -> AsyncIterator[Brain]:
    """Give a brain that keeps one megabyte of files for ten days."""
    async with running(tmp_path, clock, artifact_days=10, artifacts_mb=1) as made:
        yield made


@pytest.fixture
async def home(brain: Brain) -> AsyncIterator[Home]:
    """Give its Home Assistant."""
    async with at_home(brain) as made:
        yield made


@pytest.fixture
async def rest(brain: Brain) -> AsyncIterator[Rest]:
    """Give a program with a token."""
    async with Rest(brain) as made:
        yield made


async def parts(content: bytes) -> AsyncIterator[bytes]:
    """Yield content in two parts."""
    yield content[:10]
    yield content[10:]


async def take(home: Home, content: str | bytes = PRUSA, name: str = "part.gcode") -> Json:
    """Take in a file."""
    data = content if isinstance(content, bytes) else content.encode()
    return await home.brain.files.take(SYSTEM, name, parts(data))


async def listed(home: Home, **params: Any) -> list[Json]:
    """Return all print files."""
    items: list[Json] = (await home.command("files.list", params))["items"]
    return items


def folder(home: Home) -> list[str]:
    """Return what lies in the folder of the files."""
    return sorted(one.name for one in home.brain.files.store.folder.glob("*"))


async def printer(home: Home, **profile: Any) -> str:
    """Add a printer; returns its id."""
    return await home.add("demo", kind="printer", **profile)


async def upload(home: Home, device: str, content: str = PRUSA, name: str = "part.gcode") -> str:
    """Send a file to a printer by way of the brain; returns its name there."""
    sent = await home.brain.files.upload(SYSTEM, device, name, parts(content.encode()))
    return str(sent["file"])


async def start(home: Home, device: str, **params: Any) -> Json:
    """Ask for a print; returns the error, or the command."""
    try:
        asked = await home.request(device, "print_start", params={"file": "part.gcode"} | params)
    except Refused as err:
        return err.error
    return dict(asked["command"])


# -- in -----------------------------------------------------------------------------------------------


async def test_a_file_is_taken_in_without_a_printer(home: Home, rest: Rest) -> None:
    """It lies under its own SHA-256, and its facts are known."""
    answer = await rest.call("POST", "/api/v1/files?name=part.gcode", data=PRUSA.encode())
    made = answer.data
    assert (answer.status, made["kind"], made["name"]) == (201, "gcode", "part.gcode")
    assert folder(home) == [made["sha256"]]
    assert (made["facts"]["slicer"], made["facts"]["hazardous"]) == ("PrusaSlicer 2.7.1", False)
    assert (made["missing"], made["printers"], made["size"]) == (False, [], len(PRUSA))
    assert await home.command("files.get", {"artifact_id": made["id"]}) == made
    assert await listed(home) == [made]


async def test_the_same_content_is_the_same_file(home: Home) -> None:
    """Whatever it is called the second time."""
    first = await take(home)
    again = await take(home, name="other.gco")
    assert again["id"] == first["id"]
    assert len(await listed(home)) == len(folder(home)) == 1


async def test_the_same_content_at_the_same_time_is_one_file(home: Home) -> None:
    """By two roads."""
    first, second = await asyncio.gather(take(home), take(home))
    assert first["id"] == second["id"]
    assert len(await listed(home)) == len(folder(home)) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("part.stl", b"solid", "not sliced"),
        ("part.step", b"ISO-10303-21;", "not sliced"),
        ("part", b"G28", "not sliced"),
        ("part.3mf", MODEL, "no sliced plate in it"),
        ("part.gcode", threemf(), "other content"),
        ("part.bgcode", SQUARE.encode(), "other content"),
        ("part.gcode", b"", "no G-code in it"),
        ("part.gcode", b"; only words\nG\n", "no G-code in it"),
        ("part.3mf", threemf(**{"Metadata/plate_2.gcode": "; words"}), "no G-code in it"),
    ],
    ids=["stl", "step", "no ending", "a model", "3mf", "not binary", "nothing", "words", "empty"],
)
async def test_what_nobody_can_print_is_refused(
    home: Home, name: str, content: bytes, reason: str
) -> None:
    """By what it contains, not by what it is called; nothing of it stays."""
    with pytest.raises(InvalidRequest) as caught:
        await take(home, content, name)
    assert (caught.value.code, caught.value.fields["reason"]) == ("unsupported_file", reason)
    assert await listed(home) == []
    assert folder(home) == []


async def test_the_name_may_not_lie_the_second_time_either(home: Home) -> None:
    """A file that is known is still what it is."""
    await take(home, threemf(), "part.3mf")
    with pytest.raises(InvalidRequest, match="its name does not fit 3mf"):
        await take(home, threemf(), "part.gcode")


async def test_a_bad_name_is_refused(home: Home, rest: Rest) -> None:
    """As everywhere."""
    answer = await rest.call("POST", "/api/v1/files?name=..%2Fx.gcode", data=b"G28")
    assert (answer.status, answer.code) == (400, "invalid_file_name")
    assert (await rest.call("POST", "/api/v1/files", data=b"G28")).code == "invalid_params"


async def test_who_may_only_read_cannot_add_a_file(home: Home) -> None:
    """A file is the first half of a print."""
    async with Rest(home.brain, await home.token("read")) as reader_:
        answer = await reader_.call("POST", "/api/v1/files?name=x.gcode", data=b"G28")
    assert (answer.status, answer.code) == (403, "scope_required")


async def test_a_file_that_breaks_off_leaves_nothing(home: Home) -> None:
    """Half a print is worse than none."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"G28\n"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await home.brain.files.take(SYSTEM, "x.gcode", broken())
    assert folder(home) == []


async def test_a_full_disk_is_said_to_be_full(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what does not fit is not kept."""

    def full(_file: object, _rest: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(store_module, "_finish", full)
    with pytest.raises(Unavailable) as caught:
        await take(home)
    assert (caught.value.code, folder(home)) == ("no_space", [])


async def test_a_large_file_is_written_as_it_comes(home: Home) -> None:
    """Nothing holds the whole of it."""
    content = SQUARE + "G1 X10 Y10\n" * 150_000
    made = await take(home, content)
    stored = b"".join([chunk async for chunk in home.brain.files.store.chunks(made["sha256"])])
    assert stored == content.encode()


@pytest.mark.parametrize("behaviour", ["hangs", "crashes", "babbles", "says a list"])
async def test_a_reader_that_fails_makes_a_file_that_is_none(
    home: Home, monkeypatch: pytest.MonkeyPatch, behaviour: str, tmp_path: Path
) -> None:
    """It is ended, the file is refused, and the brain goes on."""
    lines = {
        "hangs": "while True: pass",
        "crashes": "import os; os.abort()",
        "babbles": "print('{')",
        "says a list": "print([])",
    }
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{lines[behaviour]}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(store_module, "READ_S", 0.3)
    with pytest.raises(InvalidRequest) as caught:
        await take(home)
    assert (caught.value.code, folder(home)) == ("unsupported_file", [])


def test_the_reader_gives_itself_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, memory, and the first place when memory runs out."""
    given: list[Any] = []
    monkeypatch.setattr(reader.os, "nice", given.append)
    monkeypatch.setattr(reader.resource, "setrlimit", lambda *limit: given.append(limit))
    monkeypatch.setattr(reader.Path, "write_text", lambda path, text, _: given.append((path, text)))
    reader.limit()
    assert (reader.resource.RLIMIT_AS, (1024**3, 1024**3)) in given
    assert (reader.resource.RLIMIT_CPU, (120, 120)) in given
    assert (Path("/proc/self/oom_score_adj"), "500") in given
    assert given[0] == 10


# -- materials ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gives_off"),
    [
        ("PLA", []),
        ("PETG", []),
        ("ABS", ["styrene"]),
        ("Generic ABS+", ["styrene"]),
        ("ASA", ["styrene"]),
        ("HIPS", ["styrene"]),
        ("PC Blend", ["bisphenol"]),
        ("Polycarbonate", ["bisphenol"]),
        ("PA12", ["caprolactam"]),
        ("Nylon", ["caprolactam"]),
        ("PAHT-CF", ["caprolactam", "fibres"]),
        ("PLA-CF", ["fibres"]),
        ("PETG-GF10", ["fibres"]),
        ("Unobtainium", []),
    ],
)
def test_a_material_is_known_by_the_words_of_its_name(name: str, gives_off: list[str]) -> None:
    """With what it gives off."""
    assert hazards(name) == gives_off


def test_what_nobody_knows_is_told() -> None:
    """It is not taken for a hazard, nor for harmless."""
    assert [is_known(name) for name in ("PLA", "ABS", "Unobtainium")] == [True, True, False]
    tool = {"tool": 0, "material": "Unobtainium", "mm": 100.0, "grams": None}
    facts = understood({"tools": [tool], "materials": ["Unobtainium"], "grams": None})
    assert (facts["hazardous"], facts["unknown_materials"]) == (False, ["Unobtainium"])
    assert (facts["grams"], facts["hazards"]) == (None, [])


def test_millimetres_weigh_something() -> None:
    """Where the slicer tells no grams and the material is known."""
    tool = {"tool": 0, "material": "PLA+", "mm": 1000.0, "grams": None}
    facts = understood({"tools": [tool], "materials": ["PLA+"], "grams": None})
    assert facts["grams"] == pytest.approx(2.98, abs=0.01)
    nothing = understood({"tools": [tool | {"mm": None}], "materials": [], "grams": None})
    assert nothing["grams"] is None


# -- pictures -----------------------------------------------------------------------------------------


async def test_the_picture_of_the_slicer_is_shown(home: Home) -> None:
    """As it is in the file."""
    made = await take(home, threemf(), "part.gcode.3mf")
    shown = await home.command("files.picture", {"artifact_id": made["id"]})
    assert made["has_picture"] is True
    assert base64.b64decode(shown["image"]) == PNG
    assert shown["content_type"] == "image/png"


async def test_the_tool_path_is_drawn_once(home: Home) -> None:
    """When somebody wants to see it."""
    made = await take(home)
    wanted = {"artifact_id": made["id"], "kind": "preview"}
    shown = base64.b64decode((await home.command("files.picture", wanted))["image"])
    assert shown.startswith(b"\x89PNG")
    path = home.brain.files.store.picture(made["sha256"], "preview")
    before = path.stat().st_mtime_ns
    assert base64.b64decode((await home.command("files.picture", wanted))["image"]) == shown
    assert path.stat().st_mtime_ns == before


async def test_a_picture_that_is_not_there_is_not_found(home: Home) -> None:
    """The slicer left none, and nothing can be drawn of a test of the heater."""
    made = await take(home)
    assert await home.refusal("files.picture", {"artifact_id": made["id"]}) == "no_picture_of_file"
    heater = await take(home, "M104 S200\n", "heat.gcode")
    wanted = {"artifact_id": heater["id"], "kind": "preview"}
    assert await home.refusal("files.picture", wanted) == "no_picture_of_file"
    assert await home.refusal("files.get", {"artifact_id": "x"}) == "file_not_found"


# -- to the printer -----------------------------------------------------------------------------------


async def test_a_printer_gets_its_copy(home: Home) -> None:
    """The audit trail has its SHA-256, and the file says where it is."""
    device = await printer(home)
    await upload(home, device)
    (file,) = await listed(home, device_id=device)
    assert [(one["device_id"], one["name"]) for one in file["printers"]] == [(device, "part.gcode")]
    assert await listed(home, device_id="another") == []
    query = select(audit.c.data).where(audit.c.kind == "uploaded")
    data = await home.brain.safety_db.read(lambda connection: connection.execute(query).scalar())
    assert data["sha256"] == file["sha256"]


async def test_a_name_that_is_used_again_is_another_file(home: Home) -> None:
    """The printer has the newer one."""
    device = await printer(home)
    await upload(home, device)
    await upload(home, device, ABS)
    assert [one["facts"]["material"] for one in await listed(home, device_id=device)] == ["ABS"]


async def test_a_file_is_sent_only_where_it_is_not(home: Home) -> None:
    """And again where the printer has lost it."""
    device = await printer(home)
    made = await take(home)
    files, driver = home.brain.files, home.brain.registry.get(device).driver
    assert await files.send(SYSTEM, made["id"], device) == "part.gcode"
    sent_at = (await files.get(SYSTEM, _about(made)))["printers"][0]["uploaded_at"]
    assert await files.send(SYSTEM, made["id"], device) == "part.gcode"
    assert (await files.get(SYSTEM, _about(made)))["printers"][0]["uploaded_at"] == sent_at
    driver._thing.files.clear()
    assert await files.send(SYSTEM, made["id"], device) == "part.gcode"
    assert await driver.files() == ["part.gcode"]


def _about(made: Json) -> ArtifactId:
    return ArtifactId(artifact_id=made["id"])


async def test_a_file_that_was_removed_cannot_be_sent(home: Home) -> None:
    """Its record stays where something was printed from it."""
    device = await printer(home)
    made = await take(home)
    await home.brain.files.store.remove(made["sha256"])
    with pytest.raises(NotFound) as caught:
        await home.brain.files.send(SYSTEM, made["id"], device)
    assert caught.value.code == "file_missing"
    wanted = {"artifact_id": made["id"], "kind": "preview"}
    assert await home.refusal("files.picture", wanted) == "file_missing"


# -- what does not fit --------------------------------------------------------------------------------


async def test_a_print_that_does_not_fit_is_refused_with_all_reasons(home: Home) -> None:
    """Before anything is recorded."""
    device = await printer(home, volume="20x20x20", nozzle_mm=0.6, materials="PETG", max_bed=50)
    await upload(home, device)
    error = await start(home, device)
    assert (error["code"], error["details"]["what"]) == (
        "does_not_fit",
        "volume, nozzle, material, max_bed",
    )
    assert error["details"]["misfits"][1] == {"what": "nozzle", "needs": 0.4, "has": 0.6}
    assert (await home.command("commands.list"))["items"] == []


async def test_a_print_that_fits_is_asked_for(home: Home) -> None:
    """As ever: people decide."""
    device = await printer(home, volume="60x60x60", nozzle_mm=0.4, materials="PLA", max_bed=60)
    await upload(home, device)
    assert (await start(home, device))["status"] == "pending"


async def test_a_file_that_nobody_knows_is_asked_for(home: Home) -> None:
    """It came to the printer by another road."""
    device = await printer(home, volume="1x1x1")
    home.brain.registry.get(device).driver._thing.files["part.gcode"] = 5
    assert (await start(home, device))["status"] == "pending"


async def test_a_file_that_the_printer_does_not_have_is_refused(home: Home) -> None:
    """Where it tells what it has."""
    device = await printer(home)
    await upload(home, device)
    error = await start(home, device, file="other.gcode")
    assert (error["code"], error["details"]) == ("no_such_file", {"file": "other.gcode"})


async def test_a_printer_that_cannot_tell_its_files_is_asked_all_the_same(home: Home) -> None:
    """The order itself will say."""
    puppet = await home.puppet("mk4", "printer")
    puppet.stored["x.gcode"] = b""
    puppet.reading = DeviceError("cannot_connect", "away")
    assert (await start(home, puppet.context.device_id))["status"] == "pending"


@pytest.mark.parametrize(
    "name", ["part.gcode", "PART.GCODE", "a/part.gcode", 'pa"rt.gcode', " part_.gcode"]
)
async def test_a_file_that_people_decide_about_stays_as_it_is(home: Home, name: str) -> None:
    """Nor is it changed by a name that only the printer takes for the same one."""
    device = await printer(home)
    await upload(home, device)
    asked = await start(home, device)
    with pytest.raises(Conflict) as caught:
        await upload(home, device, ABS, name)
    assert caught.value.code == "file_in_use"
    assert (await home.command("commands.get", {"command_id": asked["id"]}))["status"] == "pending"


async def test_nobody_is_asked_about_a_file_that_is_on_its_way(home: Home) -> None:
    """What people would decide about is not what would then lie there."""
    device = await printer(home)
    await upload(home, device)
    half, whole = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        half.set()
        await whole.wait()
        yield ABS.encode()

    sending = home.brain.tasks.start(
        "sending", home.brain.devices.upload(SYSTEM, device, "part.gcode", slow())
    )
    await half.wait()
    assert (await start(home, device))["code"] == "file_in_use"
    whole.set()
    await sending
    assert (await start(home, device))["status"] == "pending"


async def test_another_spelling_of_a_name_hides_nothing_of_a_file(home: Home) -> None:
    """A printer that cannot tell its files may take it for the one that is known."""
    puppet = await home.puppet("mk4", "printer")
    device = puppet.context.device_id
    await upload(home, device, ABS)
    puppet.reading = DeviceError("cannot_connect", "away")
    assert (await start(home, device, file="PART.gcode"))["code"] == "ventilation_unconfirmed"


async def test_fumes_need_moving_air(home: Home) -> None:
    """Somebody has to say that there is some; people then see it when they approve."""
    device = await printer(home)
    await upload(home, device, ABS)
    error = await start(home, device)
    assert (error["code"], error["details"]) == ("ventilation_unconfirmed", {"materials": "ABS"})
    assert (await start(home, device, ventilation=False))["code"] == "ventilation_unconfirmed"
    asked = await start(home, device, ventilation=True)
    assert (asked["status"], asked["params"]["ventilation"]) == ("pending", True)


async def test_a_fan_that_stands_still_stops_the_print(home: Home) -> None:
    """Where the rule of the area has a check of the ventilation, a word is not enough."""
    home.policies = [{"zone_id": "shop", "required_roles": ["engineer"], "checks": ["ventilation"]}]
    await home.sync()
    device = await printer(home)
    await upload(home, device, ABS)
    asked = await home.request(
        device, "print_start", params={"file": "part.gcode", "ventilation": True}
    )
    check = {"zone_id": "shop", "name": "ventilation", "ok": False, "observed_at": time.time()}
    await home.command("safety.check", check)
    with pytest.raises(Refused) as caught:
        await home.decide(asked["event"], "bob")
    assert caught.value.code == "check_failed"


# -- out ----------------------------------------------------------------------------------------------


async def queued(home: Home, made: Json, status: str = "queued") -> str:
    """Put a file into the queue; returns the id."""
    row = {"id": new_id(), "artifact_id": made["id"], "title": "x", "status": status}
    await home.brain.brain_db.write(
        lambda connection: connection.execute(insert(queue).values(row | {"created_at": 0.0}))
    )
    return str(row["id"])


async def test_a_file_that_nobody_uses_is_forgotten(home: Home, clock: Later) -> None:
    """After the days that a person set, with its pictures."""
    made = await take(home, threemf(), "part.3mf")
    await home.command("files.picture", {"artifact_id": made["id"], "kind": "preview"})
    clock.ahead = 9 * DAY
    await home.brain.files.forget()
    assert len(folder(home)) == 3
    clock.ahead = 11 * DAY
    await home.brain.files.forget()
    assert (folder(home), await listed(home)) == ([], [])


async def test_what_is_queued_or_printing_stays(home: Home, clock: Later) -> None:
    """However old it is."""
    made = await take(home)
    await queued(home, made)
    clock.ahead = 99 * DAY
    await home.brain.files.forget()
    assert folder(home) == [made["sha256"]]
    assert await home.refusal("files.remove", {"artifact_id": made["id"]}) == "file_needed"


async def test_a_record_of_what_was_printed_outlives_the_file(home: Home, clock: Later) -> None:
    """It says that the content is missing; the same content again brings it back."""
    made = await take(home)
    await queued(home, made, "completed")
    clock.ahead = 11 * DAY
    await home.brain.files.forget()
    await home.brain.files.forget()
    (row,) = await listed(home)
    assert (folder(home), row["missing"], row["has_picture"]) == ([], True, False)
    again = await take(home)
    assert (again["id"], again["missing"], folder(home)) == (
        made["id"],
        False,
        [made["sha256"]],
    )


async def test_use_makes_a_file_young(home: Home, clock: Later) -> None:
    """A print, or a copy to a printer."""
    made = await take(home)
    clock.ahead = 9 * DAY
    await home.brain.files.send(SYSTEM, made["id"], await printer(home))
    clock.ahead = 18 * DAY
    await home.brain.files.forget()
    assert folder(home) == [made["sha256"]]
    job = {"id": new_id(), "device_id": "x", "file": "x", "status": "completed"}
    job |= {"artifact_id": made["id"], "created_at": clock()}
    await home.brain.brain_db.write(lambda connection: connection.execute(insert(jobs).values(job)))
    clock.ahead = 27 * DAY
    await home.brain.files.forget()
    assert folder(home) == [made["sha256"]]


async def test_what_is_new_and_far_too_much_is_refused(home: Home, clock: Later) -> None:
    """Nothing that came within the hour is removed for it, and the disk is needed for more than files."""
    for number in range(3):
        await take(home, f"{PRUSA}; {number}\n" + ";" * 800_000, name=f"{number}.gcode")
    with pytest.raises(Unavailable) as caught:
        await take(home, f"{PRUSA}; one more\n", name="more.gcode")
    assert (caught.value.code, len(await listed(home))) == ("no_space", 3)
    clock.ahead += 3700.0
    await take(home, f"{PRUSA}; one more\n", name="more.gcode")


async def test_the_oldest_go_where_it_is_too_much(home: Home, clock: Later) -> None:
    """But not what somebody has just sent."""
    old = await take(home, SQUARE + ";old\n" * 130_000)
    await home.brain.files.forget()
    clock.ahead = 2 * HOUR
    new = await take(home, SQUARE + ";new\n" * 130_000)
    assert folder(home) == [new["sha256"]]
    assert [one["id"] for one in await listed(home)] == [new["id"]]
    assert old["size"] + new["size"] > 1024 * 1024


async def test_a_file_can_be_removed_by_hand(home: Home) -> None:
    """By who administers the brain."""
    made = await take(home)
    await home.command("files.remove", {"artifact_id": made["id"]})
    assert (folder(home), await listed(home)) == ([], [])


async def test_what_broke_off_long_ago_is_tidied_away(home: Home) -> None:
    """Not what may still be arriving."""
    store = home.brain.files.store
    store.folder.mkdir(exist_ok=True)
    (store.folder / "old.part").write_bytes(b"x")
    (store.folder / "new.part").write_bytes(b"x")
    os.utime(store.folder / "old.part", (1, 1))
    await home.brain.files.tidy()
    assert folder(home) == ["new.part"]


async def test_content_of_which_nobody_knows_is_tidied_away(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is given before its row: what breaks between the two leaves it. What is new may get its row still."""
    files, known = home.brain.files, await take(home)

    async def busy(*_: Any, **__: Any) -> Json:
        raise Unavailable("database_busy", "Try again in a moment")

    monkeypatch.setattr(files, "_kept_as", busy)
    lost = []
    for number in range(2):
        with pytest.raises(Unavailable):
            await take(home, f"{PRUSA}; {number}\n")
        [stray] = {one.partition(".")[0] for one in folder(home)} - {known["sha256"], *lost}
        lost.append(stray)
    (files.store.folder / f"{lost[0]}.preview").touch()
    for name in folder(home):
        if lost[1] not in name:
            os.utime(files.store.folder / name, (1, 1))
    await files.tidy()
    assert {one.partition(".")[0] for one in folder(home)} == {known["sha256"], lost[1]}


async def test_files_are_listed_in_pages(home: Home) -> None:
    """Oldest first."""
    made = [(await take(home, f"{SQUARE};{at}\n"))["id"] for at in range(3)]
    first = await home.command("files.list", {"limit": 2})
    rest = await home.command("files.list", {"limit": 2, "cursor": first["cursor"]})
    assert [one["id"] for one in first["items"] + rest["items"]] == made


# -- at the same moment -------------------------------------------------------------------------------


async def test_a_file_that_is_sent_again_just_before_it_is_forgotten_stays(
    home: Home, clock: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was old when it was looked for what is old, and is wanted by now."""
    made, files = await take(home), home.brain.files
    clock.ahead = 11 * DAY
    drop = files._drop

    async def late(row: Json) -> bool:
        monkeypatch.setattr(files, "_drop", drop)
        await take(home)
        return await drop(row)

    monkeypatch.setattr(files, "_drop", late)
    await files.forget()
    assert [(one["id"], one["missing"]) for one in await listed(home)] == [(made["id"], False)]


async def test_a_file_that_is_sent_again_while_it_is_removed_is_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What removes the old content does not take the new one with it."""
    made, files = await take(home), home.brain.files
    remove, again = files.store.remove, []

    async def late(sha256: str) -> None:
        again.append(home.brain.tasks.start("again", take(home)))
        await until(lambda: again[0].done() or files._placing._waiters, "that it is sent or waits")
        await remove(sha256)

    monkeypatch.setattr(files.store, "remove", late)
    await home.command("files.remove", {"artifact_id": made["id"]})
    new = await again[0]
    assert [(one["id"], one["missing"]) for one in await listed(home)] == [(new["id"], False)]


async def test_of_a_file_whose_removal_is_called_off_nothing_stays(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was gone already: nobody would ever remove what it told of."""
    made, files = await take(home), home.brain.files
    write, dropped, go = files._db.write, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        dropped.set()
        await go.wait()
        return found

    monkeypatch.setattr(files._db, "write", late)
    gone = ArtifactId(artifact_id=made["id"])
    removing = home.brain.tasks.start("removing", files.remove(SYSTEM, gone))
    await dropped.wait()
    removing.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await removing
    await until(lambda: folder(home) == [], "that it is gone")
