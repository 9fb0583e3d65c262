"""Files that another program replaced on a printer: nothing is printed by what was known of the old one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from brain_server.app import Brain
from brain_server.commands import SYSTEM
from brain_server.errors import DeviceError
from brain_server.protocol import Json
from brain_server.storage.tables import printer_files
from tests.brain.fabrication.printfiles import PRUSA
from tests.brain.home import Home, Refused, at_home, puppets, running

STATE = puppets().printer
PART = "part.gcode"


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


async def content() -> AsyncIterator[bytes]:
    """Yield a file."""
    yield PRUSA.encode()


async def printer(home: Home, **written: float) -> Any:
    """Give a printer that rests and holds a file that we sent; it tells when a file was written."""
    made = await home.puppet("mk4", "printer")
    made.show(**STATE())
    made.written = {PART: 1.0} if not written else dict(written)
    await home.brain.files.upload(SYSTEM, made.context.device_id, PART, content())
    return made


async def start(home: Home, printer: Any, file: str = PART) -> Json:
    """Ask for a print; returns the error, or what was asked for."""
    try:
        return await home.request(printer.context.device_id, "print_start", params={"file": file})
    except Refused as err:
        return {"refused": err.error}


async def stamp(home: Home) -> str | None:
    """Return by what the file is known again."""
    query = select(printer_files.c.stamp)
    found: str | None = await home.brain.brain_db.read(
        lambda connection: connection.execute(query).scalar()
    )
    return found


async def send(home: Home, printer: Any) -> str:
    """Bring our file to the printer, as the queue does."""
    (row,) = (await home.command("files.list"))["items"]
    return await home.brain.files.send(SYSTEM, row["id"], printer.context.device_id)


async def test_what_is_as_it_was_sent_is_printed(home: Home) -> None:
    """Nobody has touched it."""
    mk4 = await printer(home)
    assert (await start(home, mk4))["command"]["status"] == "pending"
    assert await send(home, mk4) == PART


@pytest.mark.parametrize(("size", "written"), [(1, 1.0), (None, 2.0)])
@pytest.mark.parametrize("name", [PART, "Part.GCODE"])
async def test_what_was_replaced_is_not_printed_by_its_name(
    home: Home, size: int | None, written: float, name: str
) -> None:
    """Another size, or another time; also by a name that is the same to the printer."""
    mk4 = await printer(home)
    mk4.stored[PART] = PRUSA.encode()[:size]
    mk4.stored[name], mk4.written[PART] = mk4.stored[PART], written
    refused = (await start(home, mk4, name))["refused"]
    assert (refused["code"], refused["details"]) == ("file_replaced", {"file": name})


async def test_what_is_replaced_while_people_decide_is_not_printed(home: Home) -> None:
    """It is not what they approved."""
    mk4 = await printer(home)
    asked = await start(home, mk4)
    mk4.written[PART] = 2.0
    await home.decide(asked["event"], "bob")
    ended = await home.ended(asked["command"]["id"])
    assert (ended["status"], ended["detail"]) == ("failed", "file_replaced")
    assert puppets().Puppet.orders.get("mk4", []) == []


async def test_our_file_is_sent_again_beside_the_one_that_replaced_it(home: Home) -> None:
    """That one stays: somebody may want it."""
    mk4 = await printer(home)
    mk4.stored[PART], mk4.written[PART] = b"another", 2.0
    (row,) = (await home.command("files.list"))["items"]
    fresh = f"part-{row['sha256'][:8]}.gcode"
    mk4.written[fresh] = 3.0
    assert await send(home, mk4) == fresh
    assert mk4.stored == {PART: b"another", fresh: PRUSA.encode()}
    assert await send(home, mk4) == fresh
    assert (await start(home, mk4, fresh))["command"]["status"] == "pending"


async def test_what_is_sent_once_more_is_known_again(home: Home) -> None:
    """By a person, who then knows what it is."""
    mk4 = await printer(home)
    mk4.stored[PART], mk4.written[PART] = b"another", 2.0
    await home.brain.files.upload(SYSTEM, mk4.context.device_id, PART, content())
    assert (await start(home, mk4))["command"]["status"] == "pending"


async def test_a_file_that_the_printer_tells_of_later_is_known_from_then_on(home: Home) -> None:
    """Where its size is that of ours."""
    mk4 = await printer(home, **{"other.gcode": 1.0})
    assert await stamp(home) is None
    mk4.written[PART] = 5.0
    assert (await start(home, mk4))["command"]["status"] == "pending"
    assert await stamp(home) == f"{len(PRUSA)} 5.0"
    mk4.written[PART] = 6.0
    assert (await start(home, mk4))["refused"]["code"] == "file_replaced"


async def test_what_is_sent_while_the_printer_tells_of_the_one_before_is_known_as_itself(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken for replaced ever after."""
    mk4 = await printer(home, **{"other.gcode": 1.0})
    mk4.written[PART] = 5.0
    devices, device_id = home.brain.devices, mk4.context.device_id
    about, told, go = devices.about, asyncio.Event(), asyncio.Event()

    async def late(device_id: str, file: str) -> Any:
        found = await about(device_id, file)
        told.set()
        await go.wait()
        return found

    with monkeypatch.context() as once:
        once.setattr(devices, "about", late)
        looking = home.brain.tasks.start("looking", home.brain.files.is_replaced(device_id, PART))
        await told.wait()
    mk4.written[PART] = 6.0
    await home.brain.files.upload(SYSTEM, device_id, PART, content())
    go.set()
    assert not await looking
    assert await stamp(home) == f"{len(PRUSA)} 6.0"
    assert (await start(home, mk4))["command"]["status"] == "pending"


async def test_a_file_that_the_printer_itself_rewrites_is_not_told_apart(home: Home) -> None:
    """Some servers add to what they are sent; nobody can tell then."""
    mk4 = await printer(home, **{"other.gcode": 1.0})
    mk4.stored[PART] += b"; objects"
    mk4.written[PART] = 5.0
    assert (await start(home, mk4))["command"]["status"] == "pending"
    assert await stamp(home) is None


async def test_a_printer_that_cannot_tell_now_is_asked_by_the_order(home: Home) -> None:
    """It may be away; then it prints nothing either."""
    mk4 = await printer(home)
    mk4.reading = DeviceError("cannot_connect", "Away")
    assert (await start(home, mk4))["command"]["status"] == "pending"


async def test_a_file_that_we_never_sent_is_nobodys(home: Home) -> None:
    """It has no facts that could be wrong."""
    mk4 = await printer(home)
    mk4.stored["theirs.gcode"] = b"G28"
    assert (await start(home, mk4, "theirs.gcode"))["command"]["status"] == "pending"


async def test_a_printer_that_breaks_off_after_the_upload_has_the_file(home: Home) -> None:
    """By what it is known again is told later."""
    mk4 = await home.puppet("mk4", "printer")
    mk4.show(**STATE())
    mk4.reading = DeviceError("cannot_connect", "Away")
    sent = await home.brain.files.upload(SYSTEM, mk4.context.device_id, PART, content())
    assert (sent["file"], await stamp(home)) == (PART, None)


async def test_of_a_file_of_an_older_version_nothing_is_claimed(home: Home) -> None:
    """It was sent before anybody noted when it was written."""
    mk4 = await printer(home)
    await home.brain.brain_db.write(
        lambda connection: connection.execute(update(printer_files).values(stamp=None))
    )
    mk4.stored[PART] = b"another"
    assert (await start(home, mk4))["command"]["status"] == "pending"
