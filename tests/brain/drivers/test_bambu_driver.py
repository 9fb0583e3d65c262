"""The Bambu driver on the simulated printer: its trust, its files, its locks and its silences."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import io
import json
from typing import Any
import zipfile

from aiohttp import ClientSession
import pytest

from brain_server.drivers import Order
from brain_server.drivers.bambu import Bambu as Driver, wire
from brain_server.drivers.bambu.mqtt import MAX_MESSAGE
from brain_server.drivers.bambu.trust import trust
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json, OnlineState
from tests.brain.drivers.conformance import in_pieces, printing
from tests.brain.drivers.rig_bambu import BambuRig, driver_of
from tests.brain.drivers.watch import Watch, build, watching
from tests.standins.bambu import Bambu
from tests.standins.certificates import makers

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(120)]

FINISHED = b"; seconds=60 warm_up=0\n"


@pytest.fixture
async def rig(bambu_printer: Bambu) -> AsyncIterator[BambuRig]:
    """Give the printer, at rest."""
    async with BambuRig.open(bambu_printer) as ready:
        yield ready


@asynccontextmanager
async def online(rig: BambuRig, **options: Any) -> AsyncIterator[Watch]:
    """Give a driver that has heard from its printer."""
    async with watching(rig.driver, rig.options | options) as watch:
        await watch.online()
        yield watch


async def tell(rig: BambuRig, what: str, **more: Any) -> Any:
    """Have the printer do something that no network can ask of it."""
    return await asyncio.to_thread(rig.bambu.tell, what, **more)


async def heard(rig: BambuRig, command: str, times: int = 1) -> int:
    """Wait until the printer has heard a command so often, and return how often it did."""
    async with asyncio.timeout(60):
        while (count := (await tell(rig, "commands")).count(command)) < times:  # noqa: ASYNC110 - it is another process that hears
            await asyncio.sleep(0.05)  # until the next look
    return count


async def refused(rig: BambuRig, **options: Any) -> InvalidRequest:
    """Return what adding the printer with these options raises."""
    async with ClientSession() as session:
        with pytest.raises(InvalidRequest) as raised:
            await build(rig.driver, rig.options | options, session).probe()
    return raised.value


def project(plates: int = 1) -> bytes:
    """Return a sliced project."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for plate in range(1, plates + 1):
            archive.writestr(f"Metadata/plate_{plate}.gcode", FINISHED)
    return content.getvalue()


# -- trust --------------------------------------------------------------------------------------------


async def test_a_new_printer_is_told_with_its_fingerprint_before_it_is_trusted(
    rig: BambuRig,
) -> None:
    """The access code is not said to it: nobody knows yet who it is."""
    error = await refused(rig, fingerprint=None)
    assert (error.code, error.fields["field"]) == ("invalid_option", "fingerprint")
    assert rig.bambu.fingerprint in error.message
    assert await tell(rig, "commands") == []


async def test_a_fingerprint_may_be_written_with_colons(rig: BambuRig) -> None:
    """As most programs show it."""
    colons = ":".join(rig.bambu.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    async with ClientSession() as session:
        info = await build(rig.driver, rig.options | {"fingerprint": colons}, session).probe()
    assert (info.external_id, info.model) == (rig.bambu.serial, "P1S")
    assert info.sw_version == "01.07.00.00"


async def test_the_authority_of_the_maker_is_enough(rig: BambuRig) -> None:
    """Though it lacks a key usage, and though a form made one line of it."""
    given = {"fingerprint": None, "authority": rig.bambu.authority.replace("\n", " ")}
    async with ClientSession() as session:
        assert (await build(rig.driver, rig.options | given, session).probe()).has_camera


async def test_a_certificate_of_another_authority_is_refused(rig: BambuRig, tmp_path: Any) -> None:
    """Whatever name it bears."""
    stranger, _ = makers(tmp_path, rig.bambu.serial)
    error = await refused(rig, fingerprint=None, authority=stranger)
    assert error.fields["field"] == "authority"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"serial": "01P00A999999999"}, "serial"),
        ({"serial": "no number"}, "serial"),
        ({"fingerprint": "ab" * 32}, "fingerprint"),
        ({"fingerprint": "abc"}, "fingerprint"),
        ({"authority": "a file name"}, "authority"),
        ({"authority": "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----"}, "authority"),
        (
            {"authority": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
            "authority",
        ),
        ({"ams_mapping": "first"}, "ams_mapping"),
        ({"ams_mapping": "0, 300"}, "ams_mapping"),
    ],
)
async def test_a_wrong_option_is_named(rig: BambuRig, options: Json, field: str) -> None:
    """So that the form marks the right field."""
    error = await refused(rig, **options)
    assert (error.code, error.fields["field"]) == ("invalid_option", field)


def test_what_shows_no_certificate_is_not_the_printer() -> None:
    """Nor what shows one that cannot be read."""
    known = trust("01P00A000000001", "ab" * 32, None)
    for certificate, field in ((None, "host"), (b"nonsense", "serial")):
        with pytest.raises(InvalidRequest) as raised:
            known.check(certificate)
        assert raised.value.fields["field"] == field


async def test_a_printer_that_became_another_is_offline(rig: BambuRig) -> None:
    """It is not told the access code, and gets no files."""
    async with watching(rig.driver, rig.options | {"fingerprint": "ab" * 32}) as watch:
        gone = await watch.offline()
        with pytest.raises(InvalidRequest):
            await watch.driver.files()
        with pytest.raises(InvalidRequest):
            await watch.driver.snapshot()
    assert gone.reason == "wrong_certificate"
    assert await tell(rig, "commands") == []


# -- orders -------------------------------------------------------------------------------------------


async def test_a_project_is_printed_by_its_plate_and_known_by_its_name(rig: BambuRig) -> None:
    """With the slots that the options name."""
    async with online(rig, plate=2, ams_mapping="0, 2") as watch:
        file = await watch.driver.upload("part.gcode.3mf", in_pieces(project(plates=2)))
        seen = await watch.done("print_start", file=file)
    assert seen.state["job"]["file"] == "part.gcode.3mf"
    assert "project_file" in await tell(rig, "commands")


@pytest.mark.parametrize(
    ("series", "url"),
    [("P1", "file:///sdcard/a.3mf"), ("A1", "ftp:///a.3mf"), ("", "ftp:///a.3mf")],
)
def test_a_project_has_the_address_that_its_series_reads(series: str, url: str) -> None:
    """Two series read the card by its path."""
    order = Order(command_id="1", intent="print_start", params={"file": "a.3mf"})
    assert wire.body(order, {}, series)["url"] == url


@pytest.mark.parametrize(
    ("params", "options", "expected"),
    [
        ({}, {}, (1, False, [])),
        ({}, {"plate": 3.0, "ams_mapping": "1 -1"}, (3, True, [1, -1])),
        ({"plate": 2, "use_ams": True, "ams_mapping": [4]}, {"use_ams": False}, (2, True, [4])),
        ({}, {"use_ams": False, "ams_mapping": "1"}, (1, False, [1])),
    ],
)
def test_an_order_says_more_than_the_options(
    params: Json, options: Json, expected: tuple[int, bool, list[int]]
) -> None:
    """Plate, AMS and slots."""
    order = Order(command_id="1", intent="print_start", params={"file": "a.3mf", **params})
    body = wire.body(order, options, "P1")
    plate, use_ams, slots = expected
    assert body["param"] == f"Metadata/plate_{plate}.gcode"
    assert (body["use_ams"], body["ams_mapping"]) == (use_ams, slots)


@pytest.mark.parametrize("file", ["../a.3mf", "a.stl", "a/b.gcode"])
def test_what_cannot_be_a_print_file_is_refused(file: str) -> None:
    """Before anything is sent."""
    with pytest.raises(DeviceError):
        wire.body(Order(command_id="1", intent="print_start", params={"file": file}), {}, "P1")


def test_there_are_only_so_many_plates() -> None:
    """As the maker's program makes."""
    params = {"file": "a.3mf", "plate": 99}
    with pytest.raises(DeviceError):
        wire.body(Order(command_id="1", intent="print_start", params=params), {}, "P1")


async def test_heat_is_seen_and_raw_gcode_is_answered(rig: BambuRig) -> None:
    """Comments are not sent; what says nothing is refused."""
    async with online(rig) as watch:
        seen = await watch.done("heat", nozzle=210.0, bed=60.0)
        outcome = await watch.order("gcode", script="M104 S0 ; off\n; nothing\n")
        with pytest.raises(DeviceError):
            await watch.order("gcode", script="; nothing")
    assert (seen.state["nozzle"]["target"], seen.state["bed"]["target"]) == (210, 60)
    assert outcome is not None
    assert outcome.status is CommandStatus.ACKED


async def test_a_print_that_is_not_paused_is_not_resumed(rig: BambuRig) -> None:
    """The printer itself would say nothing."""
    async with online(rig) as watch:
        await printing(rig, watch)
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_resume")
    assert raised.value.code == "device_refused"


async def test_a_file_that_is_not_there_is_refused_by_the_printer(rig: BambuRig) -> None:
    """In its own words; the next print is no less known for it."""
    async with online(rig) as watch:
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file="nothing.gcode")
        assert (raised.value.code, raised.value.message) == ("device_refused", "no such file")
        await printing(rig, watch)


# -- locked -------------------------------------------------------------------------------------------


async def test_a_locked_printer_is_watched_and_takes_no_orders(rig: BambuRig) -> None:
    """It says so beforehand: nothing is sent to it, and nothing is signed."""
    await tell(rig, "lock", locked=True, tells=True)
    async with online(rig) as watch:
        assert watch.state["read_only"] is True
        assert watch.seen[-1].reason == "read_only"
        with pytest.raises(DeviceError) as raised:
            await watch.order("heat", bed=60.0)
    assert raised.value.code == "read_only"
    assert "Developer Mode" in raised.value.message
    assert "gcode_line" not in await tell(rig, "commands")


async def test_a_printer_that_hides_its_lock_is_found_out_by_the_first_order(
    rig: BambuRig,
) -> None:
    """By the code of its refusal; the second order is not sent."""
    await tell(rig, "lock", locked=True, tells=False)
    async with online(rig) as watch:
        assert "read_only" not in watch.state
        for _ in range(2):
            with pytest.raises(DeviceError) as raised:
                await watch.order("heat", bed=60.0)
            assert raised.value.code == "read_only"
        await watch.until(lambda seen: seen.state.get("read_only"))
    assert (await tell(rig, "commands")).count("gcode_line") == 1


# -- files and pictures -------------------------------------------------------------------------------


async def test_an_upload_that_is_cut_leaves_nothing_that_could_be_started(rig: BambuRig) -> None:
    """Only a part that has another name."""
    await tell(rig, "break", after=100_000)
    async with online(rig) as watch:
        with pytest.raises(DeviceError) as raised:
            await watch.driver.upload("torn.gcode", in_pieces(b"G1 X1\n" * 100_000, 65536))
        assert await watch.driver.files() == []
    assert raised.value.code == "upload_failed"


async def test_a_full_card_is_told_by_name(rig: BambuRig) -> None:
    """And nothing is left on it."""
    await tell(rig, "full", full=True, room=0)
    async with online(rig) as watch:
        with pytest.raises(DeviceError) as raised:
            await watch.driver.upload("large.gcode", in_pieces(FINISHED))
        assert await watch.driver.files() == []
    assert raised.value.code == "upload_failed"
    assert raised.value.message == "The printer's card is full"


async def test_a_file_takes_the_place_of_one_of_the_same_name(rig: BambuRig) -> None:
    """Also on a server that cannot rename."""
    async with online(rig) as watch:
        for works in (True, False):
            await tell(rig, "rename", works=works)
            content = FINISHED * (1 + works)
            assert await watch.driver.upload("same.gcode", in_pieces(content)) == "same.gcode"
            assert (rig.bambu.folder / "card/same.gcode").read_bytes() == content
        assert await watch.driver.files() == ["same.gcode"]


async def test_an_upload_that_is_called_off_ends(rig: BambuRig) -> None:
    """Its thread too: the connection is broken off, and nothing more arrives."""
    size = 200 * 1024 * 1024
    part = rig.bambu.folder / "card/never.gcode.part"
    async with ClientSession() as session:
        driver = build(rig.driver, rig.options, session)
        content = in_pieces(bytes(size), 8 * 1024 * 1024)
        upload = asyncio.get_running_loop().create_task(driver.upload("never.gcode", content))
        async with asyncio.timeout(60):
            while not part.exists():  # noqa: ASYNC110 - the file is another process's
                await asyncio.sleep(0.005)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        before, arrived = -1, 0
        async with asyncio.timeout(60):
            while before != arrived:  # what was on its way still arrives
                before = arrived
                await asyncio.sleep(1)  # time for what must not happen
                arrived = part.stat().st_size
    assert arrived < size
    assert not (rig.bambu.folder / "card/never.gcode").exists()


async def test_a_printer_that_tells_nothing_of_itself_is_not_added(rig: BambuRig) -> None:
    """Its broker answers; it does not."""

    class Impatient(rig.driver):  # type: ignore[misc,name-defined]  # the rig's own driver
        """The driver with less patience."""

        hello_s = 0.3

    await tell(rig, "deaf", deaf=True)
    async with ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(Impatient, rig.options, session).probe()
    assert raised.value.code == "cannot_connect"


async def test_a_printer_that_only_tells_differences_is_asked_again_and_given_up(
    rig: BambuRig,
) -> None:
    """Of what they are differences is not known."""

    class Impatient(rig.driver):  # type: ignore[misc,name-defined]  # the rig's own driver
        """The driver with less patience."""

        hello_s, tick_s = 4.0, 0.05

    await tell(rig, "stubborn", stubborn=True)
    async with watching(Impatient, rig.options) as watch:
        gone = await watch.offline()
        assert (await tell(rig, "commands")).count("pushall") == 2
        await tell(rig, "stubborn", stubborn=False)
        await watch.online()
    assert gone.reason == "cannot_connect"


async def test_files_with_a_wrong_access_code_say_so(rig: BambuRig) -> None:
    """The camera only hangs up."""
    async with ClientSession() as session:
        driver = build(rig.driver, rig.options | {"access_code": "00000000"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.files()
        assert raised.value.code == "invalid_auth"
        with pytest.raises(DeviceError) as raised:
            await driver.snapshot()
        assert raised.value.code == "camera_failed"


async def test_a_file_server_that_is_not_there_cannot_be_connected(rig: BambuRig) -> None:
    """Nothing listens at that port."""
    gone = driver_of(rig.bambu)
    gone.ftp_port = gone.camera_port = 1
    async with ClientSession() as session:
        driver = build(gone, rig.options, session)
        for call in (driver.files, driver.snapshot):
            with pytest.raises(DeviceError) as raised:
                await call()
            assert raised.value.code == "cannot_connect"


async def test_a_camera_with_a_stream_is_told_by_its_address(rig: BambuRig) -> None:
    """It gives no pictures here, and none is promised; where it is off there is no address."""
    async with online(rig, series="X1") as watch:
        assert not (await watch.driver.probe()).has_camera
        with pytest.raises(DeviceError) as raised:
            await watch.driver.snapshot()
        assert isinstance(watch.driver, Driver)
        assert watch.driver.camera_url is None
        await tell(rig, "set", ipcam={"rtsp_url": "rtsps://10.0.0.5:322/streaming/live/1"})
        # What is reported later than the address: then the address was heard, too.
        await watch.done("heat", bed=60.0)
        url = watch.driver.camera_url
    assert raised.value.code == "no_camera"
    assert url == f"rtsps://bblp:{rig.bambu.code}@127.0.0.1:322/streaming/live/1"


# -- a world that is not perfect ----------------------------------------------------------------------


async def test_a_silent_printer_is_asked_for_a_word_and_then_offline(rig: BambuRig) -> None:
    """A connection that holds proves nothing."""

    class Impatient(rig.driver):  # type: ignore[misc,name-defined]  # the rig's own driver
        """The driver with less patience."""

        silence_s, word_s, tick_s, hello_s = 2.0, 4.0, 0.1, 10.0

    async with watching(Impatient, rig.options) as watch:
        await watch.online()
        await tell(rig, "quiet", seconds=2.5)
        await asyncio.sleep(3)  # so long that it is asked for a word
        assert {seen.online for seen in watch.seen} == {OnlineState.ONLINE}
        await tell(rig, "deaf", deaf=True)
        gone = await watch.offline()
        await tell(rig, "deaf", deaf=False)
        await watch.online()
    assert gone.reason == "cannot_connect"
    assert "start" in await tell(rig, "commands")


async def test_the_whole_state_is_asked_for_seldom(rig: BambuRig) -> None:
    """Once with each connection; showing it again asks only after five minutes."""

    class Eager(rig.driver):  # type: ignore[misc,name-defined]  # the rig's own driver
        """The driver for which five minutes are over."""

        whole_every_s = 0.0

    async with online(rig) as watch:
        await watch.driver.refresh()
        await asyncio.sleep(0.3)
        assert (await tell(rig, "commands")).count("pushall") == 1
    async with watching(Eager, rig.options) as watch:
        await watch.online()
        await watch.driver.refresh()
        assert await heard(rig, "pushall", 3) == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"print": 7}', "[" * 100_000, json.dumps({"print": {"msg": 1}})]
)
async def test_nonsense_in_a_report_does_no_harm(rig: BambuRig, text: str) -> None:
    """Orders are still answered after it."""
    async with online(rig) as watch:
        await tell(rig, "say", text=text)
        assert await watch.order("heat", bed=60.0) is None


async def test_a_message_that_is_far_too_large_ends_the_connection(rig: BambuRig) -> None:
    """It is not read; the printer is back at once."""
    async with online(rig) as watch:
        await tell(rig, "say", text="x" * (MAX_MESSAGE + 1))
        gone = await watch.offline()
        await watch.online()
    assert gone.reason == "cannot_connect"


async def test_an_order_on_a_line_that_breaks_is_unknown(rig: BambuRig) -> None:
    """It may have arrived."""
    await tell(rig, "swallow", command="gcode_line")
    async with online(rig) as watch:
        order = asyncio.get_running_loop().create_task(watch.order("gcode", script="G28"))
        assert await heard(rig, "gcode_line") == 1
        rig.proxy.cut()
        outcome = await order
    assert outcome is not None
    assert outcome.status is CommandStatus.UNKNOWN


async def test_an_order_in_a_moment_without_a_connection_waits_for_the_next_one(
    rig: BambuRig,
) -> None:
    """It hurries the next try."""
    async with online(rig) as watch:
        rig.proxy.cut()
        await watch.offline()
        assert await watch.order("heat", bed=60.0) is None


async def test_a_broker_that_is_restarted_does_not_end_a_print(rig: BambuRig) -> None:
    """The printer went on."""
    async with online(rig) as watch:
        await printing(rig, watch)
        begun = watch.state["job"]["started_at"]
        await asyncio.to_thread(rig.bambu.kill_broker)
        await watch.offline()
        await asyncio.to_thread(rig.bambu.start_broker)
        back = await watch.online()
    assert back.state["job"]["started_at"] == begun
