"""What is PrusaLink's own, against the real server, and what the printers answer that run it themselves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientSession, web
import pytest

from brain_server.drivers import Order
from brain_server.drivers.prusalink import PrusaLink
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json, OnlineState
from tests.brain.drivers.conformance import in_pieces, printing
from tests.brain.drivers.rig_prusalink import PrusaLinkRig
from tests.brain.drivers.watch import build, watching
from tests.brain.soon import SOON
from tests.standins.prusalink import PASSWORD, USER
from tests.standins.web import Handler, serving

JPEG = b"\xff\xd8\xff" + bytes(100)
CARD = "sdcard/Bracket for the long shelf.gcode"

real = pytest.mark.parametrize(
    "rig", [pytest.param(PrusaLinkRig, id="prusalink", marks=PrusaLinkRig.marks)], indirect=True
)


# -- the real server ----------------------------------------------------------------------------------


@real
async def test_a_password_opens_what_a_key_opens(rig: PrusaLinkRig) -> None:
    """By HTTP Digest, for questions, files and orders."""
    secret = {"url": rig.proxy.url, "user": USER, "password": PASSWORD}
    async with watching(rig.driver, secret) as watch:
        await printing(rig, watch)
        await watch.done("print_cancel")
    assert PASSWORD.encode() not in b"".join(rig.proxy.heads)


@real
async def test_a_wrong_password_is_told_from_a_wrong_address(rig: PrusaLinkRig) -> None:
    """Also while it is followed."""
    secret = {"url": rig.proxy.url, "user": USER, "password": "wrong"}
    async with watching(rig.driver, secret) as watch:
        with pytest.raises(DeviceError) as raised:
            await watch.driver.probe()
        gone = await watch.offline()
    assert raised.value.code == gone.reason == "invalid_auth"


@real
async def test_the_printer_is_known_by_its_serial_number(rig: PrusaLinkRig) -> None:
    """Whatever its address is."""
    async with ClientSession() as session:
        found = await build(rig.driver, rig.options, session).probe()
    assert (found.external_id, found.model, found.name) == (
        "CZPX4720X004XC34242",
        "I3MK3S",
        "Bench",
    )
    assert "heat" in found.capabilities
    assert found.has_camera is False


@real
async def test_heating_is_done_when_the_printer_reports_the_targets(rig: PrusaLinkRig) -> None:
    """Both heaters; more than the printer bears is refused."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        hot = await watch.done("heat", nozzle=60.0, bed=50)
        assert hot.state["nozzle"]["target"] == 60
        with pytest.raises(DeviceError) as raised:
            await watch.order("heat", nozzle=900.0)
        await watch.done("heat", nozzle=0, bed=0)
    assert raised.value.code == "device_refused"


@real
async def test_a_card_in_the_printer_is_listed_and_printed(rig: PrusaLinkRig) -> None:
    """By its long name, though the printer itself knows a short one; and to its end."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        assert CARD in await watch.driver.files()
        begun = await watch.done("print_start", file=CARD)
        ended = await watch.status("completed", "failed", "aborted")
    assert begun.state["job"]["file"] == CARD
    assert (ended.state["status"], ended.state["job"]["file"]) == ("completed", CARD)


@real
async def test_a_file_in_a_folder_is_listed_and_started(rig: PrusaLinkRig) -> None:
    """By its path."""
    folder = rig.prusalink.folder / "PrusaLink gcodes" / "folder"
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        await asyncio.to_thread((folder / "inside.gcode").write_bytes, rig.print_file(seconds=30))
        async with asyncio.timeout(60):
            while True:
                if "folder/inside.gcode" in await watch.driver.files():
                    break
                await asyncio.sleep(0.1)
        seen = await watch.done("print_start", file="folder/inside.gcode")
    assert seen.state["job"]["file"] == "folder/inside.gcode"


@real
async def test_a_file_that_is_not_there_is_refused(rig: PrusaLinkRig) -> None:
    """And so is a path that leads out of the storage."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        for file in ("missing.gcode", "../config.gcode", "/etc/passwd", "sdcard/missing.gcode"):
            with pytest.raises(DeviceError) as raised:
                await watch.order("print_start", file=file)
            assert raised.value.code == "device_refused"
    assert rig.proxy.count(rig.heads["print_start"]) == 0


@real
async def test_a_file_that_is_being_printed_is_not_replaced(rig: PrusaLinkRig) -> None:
    """PrusaLink itself would do it."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        with pytest.raises(DeviceError) as raised:
            await watch.driver.upload(file, in_pieces(b"G28\n"))
        assert raised.value.code == "device_refused"
        stored = await watch.driver.upload("another.gcode", in_pieces(b"G28\n"))
        assert stored in await watch.driver.files()


@real
async def test_a_file_is_replaced_only_when_the_new_one_is_there(rig: PrusaLinkRig) -> None:
    """The server tells the old size for up to a second."""
    async with ClientSession() as session:
        driver = build(rig.driver, rig.options, session)
        for size in (10, 400):
            stored = await driver.upload("again.gcode", in_pieces(b"G28\n" * size))
            call = rig.prusalink.call
            found = await asyncio.to_thread(call, "GET", f"/api/v1/files/local/{stored}")
            assert found["size"] == size * 4


@real
async def test_a_printer_that_waits_for_somebody_is_paused_with_a_reason(rig: PrusaLinkRig) -> None:
    """It is not resumed from afar; whoever comes to it does that."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        run = watch.state["job"]["started_at"]
        rig.prusalink.printer.wait_for_person()
        waits = await watch.status("paused")
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_resume")
        rig.prusalink.printer.attend()
        goes_on = await watch.status("printing")
    assert waits.reason == "attention"
    assert raised.value.code == "device_refused"
    assert "somebody" in raised.value.message
    assert goes_on.reason is None
    assert goes_on.state["job"]["started_at"] == run


@real
async def test_a_serial_line_that_is_pulled_fails_the_job(rig: PrusaLinkRig) -> None:
    """And the driver is still there when the printer comes back."""
    printer = rig.prusalink.printer
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await asyncio.to_thread(printer.unplug)
        failed = await watch.until(lambda seen: seen.online is OnlineState.FAULT)
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file="part.gcode")
        await asyncio.to_thread(printer.plug)
        back = await watch.online()
    assert failed.state["status"] == back.state["status"] == "failed"
    assert "Serial" in failed.state["job"]["error"]
    assert raised.value.code == "device_refused"


@real
async def test_what_somebody_does_in_the_browser_is_seen(rig: PrusaLinkRig) -> None:
    """No order of ours was needed; and a continue that PrusaLink takes without a word does nothing."""
    call = rig.prusalink.call
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        number = watch.state["job"]["id"]
        await asyncio.to_thread(call, "PUT", f"/api/v1/job/{number}/pause")
        await watch.status("paused")
        await asyncio.to_thread(call, "PUT", f"/api/v1/job/{number}/continue")
        await asyncio.sleep(1.5)
        assert watch.state["status"] == "paused"
        await asyncio.to_thread(call, "DELETE", f"/api/v1/job/{number}")
        await watch.status("aborted")
    assert "failed" not in watch.statuses


@real
async def test_figures_of_the_last_print_are_not_shown_for_the_next(rig: PrusaLinkRig) -> None:
    """The server shows them for some seconds."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, seconds=4)
        await watch.status("completed")
        await printing(rig, watch, seconds=30)
        seen = watch.seen[-1]
        await watch.until(lambda seen: (seen.state["job"]["elapsed_s"] or 0) > 0)
    assert seen.state["status"] == "printing"
    assert seen.state["job"]["progress"] in {None, 0}


class Impatient(PrusaLink):
    """The driver with less patience."""

    settle_s = 0.3


@real
async def test_a_start_is_refused_while_the_last_end_stays_on_show(rig: PrusaLinkRig) -> None:
    """PrusaLink would take the file and not start it."""
    async with watching(Impatient, rig.options) as watch:
        file = await printing(rig, watch)
        await watch.done("print_cancel")
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file=file)
    assert raised.value.code == "device_refused"
    assert rig.proxy.count(rig.heads["print_start"]) == 1


# -- a printer that runs PrusaLink itself -------------------------------------------------------------


class Buddy:
    """An MK4's server, by the description of its API: it keeps the ended job, and names are short."""

    def __init__(self) -> None:
        """Be at rest, with a stick."""
        self.state = "IDLE"
        self.job: Json | None = None
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.asked.append(f"{request.method} {request.path}")
        file = {"name": "BRACK~1.BGC", "display_name": "Bracket.bgcode", "path": "/usb"}
        folder = {"type": "FOLDER", "name": "DEEP~1", "display_name": "Deep inside"}
        printed = {"type": "PRINT_FILE"} | file
        found = {
            "/api/version": {"api": "2.0.0", "text": "PrusaLink", "hostname": "mk4"},
            "/api/v1/info": {"serial": "10589-123", "hostname": "prusa-mk4", "mmu": False},
            "/api/v1/storage": {
                "storage_list": [{"path": "/usb/", "name": "usb", "available": True}]
            },
            "/api/v1/status": {"printer": {"state": self.state}}
            | ({} if self.job is None else {"job": self.job}),
            "/api/v1/job": (self.job or {}) | {"file": file},
            "/api/v1/files/usb/Bracket.bgcode": printed,
            "/api/v1/files/usb": {"children": [printed, folder]},
            "/api/v1/files/usb/DEEP~1": {"children": [printed]},
        }.get(request.path)
        if request.method == "GET":
            return web.Response(status=404) if found is None else web.json_response(found)
        return web.Response(status=204)


@pytest.fixture
async def buddy() -> AsyncIterator[tuple[Buddy, Json]]:
    """Give such a printer and the options to reach it."""
    printer = Buddy()
    async with serving(anything=printer.answer) as url:
        yield printer, {"url": url, "api_key": "k"}


async def test_a_printer_with_its_own_prusalink_describes_itself(buddy: tuple[Buddy, Json]) -> None:
    """It has no heaters to set from here, and no camera."""
    async with ClientSession() as session:
        found = await build(PrusaLink, buddy[1], session).probe()
    assert (found.external_id, found.name, found.model) == ("10589-123", "prusa-mk4", None)
    assert "heat" not in found.capabilities
    assert found.has_camera is False


async def test_a_job_that_such_a_printer_keeps_ends_once(buddy: tuple[Buddy, Json]) -> None:
    """By its long name; and the next start does not wait until somebody has left the screen."""
    printer, options = buddy
    async with watching(PrusaLink, options) as watch:
        await watch.online()
        assert await watch.driver.files() == ["Bracket.bgcode", "DEEP~1/Bracket.bgcode"]
        printer.state, printer.job = "PRINTING", {"id": 41, "progress": 3.0}
        begun = await watch.done("print_start", file="Bracket.bgcode")
        assert begun.state["job"]["id"] == 41
        printer.state, printer.job = "FINISHED", {"id": 41, "progress": 100.0}
        await watch.status("completed")
        assert await watch.order("print_start", file="Bracket.bgcode") is None
    assert printer.asked.count("POST /api/v1/files/usb/Bracket.bgcode") == 2


async def test_somebody_who_asks_again_is_shown_what_there_is_now(
    buddy: tuple[Buddy, Json],
) -> None:
    """Though nothing has changed, and though the printer may just have gone."""
    printer, options = buddy
    async with watching(PrusaLink, options) as watch:
        await watch.online()
        printer.state = "BUSY"
        looks = printer.asked.count("GET /api/v1/status")
        await watch.driver.refresh()
        assert printer.asked.count("GET /api/v1/status") == looks + 1
        assert len(watch.seen) == 2
        printer.state = None  # type: ignore[assignment]  # nonsense, on purpose
        await watch.driver.refresh()
        assert len(watch.seen) == 3


# -- a server that is none, or is on its guard --------------------------------------------------------

STATUS: Json = {"printer": {"state": "PRINTING"}, "job": {"id": 1}}


def printer_that(**routes: Handler | web.Response) -> Any:
    """Serve a printer at work, but for what a test replaces."""
    known = {"api_v1_status": STATUS, "api_v1_storage": {}, "api_v1_job": {"id": 1}}
    answers = {name: web.json_response(body) for name, body in known.items()}
    return serving(**(answers | routes))


def order(intent: str, **params: Any) -> Order:
    """Return an order."""
    return Order(command_id="1", intent=intent, params=params)


ANSWERS = [
    (409, "device_refused"),
    (404, "device_refused"),
    (403, "invalid_auth"),
    (401, "invalid_auth"),
    (302, "cannot_connect"),
    (503, "cannot_connect"),
    (500, "unknown"),
    (502, "unknown"),
]


@pytest.mark.parametrize(("status", "expected"), ANSWERS)
async def test_an_answer_to_an_order_is_a_refusal_only_where_nothing_can_have_happened(
    status: int, expected: str
) -> None:
    """And no page that a proxy wrote is shown to anybody."""
    page = web.Response(status=status, text="<html>secret</html>", content_type="text/html")
    async with printer_that(anything=page) as url, ClientSession() as session:
        driver = build(PrusaLink, {"url": url, "api_key": "k"}, session)
        try:
            ended = await driver.execute(order("print_pause"))
            assert ended is not None
            seen, words = ended.status.value, ended.detail
        except DeviceError as err:
            seen, words = err.code, err.message
    assert seen == expected
    assert "<" not in str(words)


async def test_an_order_on_a_line_that_breaks_is_unknown() -> None:
    """It may have arrived."""

    async def breaks(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with printer_that(anything=breaks) as url, ClientSession() as session:
        ended = await build(PrusaLink, {"url": url, "api_key": "k"}, session).execute(
            order("print_cancel")
        )
    assert ended is not None
    assert ended.status is CommandStatus.UNKNOWN


async def test_an_answer_with_more_than_it_says_is_left_to_what_is_seen() -> None:
    """A Raspberry Pi says "no content" to a heater's target, and sends some."""

    async def says_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        word = b"200 OK" if head.startswith(b"GET") else b"204 No Content"
        writer.write(b"HTTP/1.0 " + word + b"\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(says_more, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, ClientSession() as session:
        driver = build(PrusaLink, {"url": url, "api_key": "k"}, session)
        assert await driver.execute(order("heat", bed=50)) is None


async def test_of_two_heaters_one_may_be_refused_and_then_nobody_knows_better() -> None:
    """The first was set; the order is neither done nor certainly not done."""
    refused = web.json_response({"message": "Too hot"}, status=400)
    taken = web.Response(status=204)
    async with (
        printer_that(api_printer_bed=refused, api_printer_tool=taken) as url,
        ClientSession() as session,
    ):
        driver = build(PrusaLink, {"url": url, "api_key": "k"}, session)
        ended = await driver.execute(order("heat", nozzle=200, bed=140))
        with pytest.raises(DeviceError):
            await driver.execute(order("heat", bed=140))
    assert ended is not None
    assert ended.status is CommandStatus.UNKNOWN
    assert "Too hot" in str(ended.detail)


@pytest.mark.parametrize(
    ("options", "field"),
    [({}, "password"), ({"password": "p", "user": "a:b"}, "user")],
)
async def test_without_anything_to_open_it_the_form_is_marked(options: Json, field: str) -> None:
    """Before anything is asked of anybody."""
    async with ClientSession() as session:
        with pytest.raises(InvalidRequest) as raised:
            await build(PrusaLink, {"url": "http://127.0.0.1:9"} | options, session).probe()
    assert (raised.value.code, raised.value.fields["field"]) == ("invalid_option", field)


@pytest.mark.parametrize("text", ["OctoPrint 1.11.8", None])
async def test_another_program_is_not_prusalink(text: str | None) -> None:
    """OctoPrint answers much the same questions."""
    answer = web.json_response({"text": text})
    async with serving(anything=answer) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(PrusaLink, {"url": url, "api_key": "k"}, session).probe()
    assert raised.value.code == "cannot_connect"


async def test_a_job_whose_file_the_server_stumbles_over_is_followed_all_the_same() -> None:
    """Somebody deleted it in the middle of its print."""
    broken = web.Response(status=500)
    async with (
        printer_that(api_v1_job=broken) as url,
        watching(PrusaLink, {"url": url, "api_key": "k"}) as watch,
    ):
        seen = await watch.status("printing")
    assert (seen.online, seen.state["job"]["file"]) == (OnlineState.ONLINE, "")


async def test_one_look_that_fails_is_not_yet_a_printer_that_is_gone() -> None:
    """It is asked again after a second."""
    looks: list[int] = []

    async def shaky(request: web.Request) -> web.Response:
        looks.append(1)
        return web.Response(status=503) if len(looks) == 2 else web.json_response(STATUS)

    class Quick(PrusaLink):
        """The driver, looking all the time."""

        busy_s = 0.1

    async with (
        printer_that(api_v1_status=shaky) as url,
        watching(Quick, {"url": url, "api_key": "k"}) as watch,
    ):
        await watch.online()
        async with asyncio.timeout(SOON):
            while True:
                if len(looks) > 4:
                    break
                await asyncio.sleep(0.05)
    assert {seen.online for seen in watch.seen} == {OnlineState.ONLINE}


async def test_an_upload_that_does_not_show_up_has_failed() -> None:
    """The server took it, and does not have it."""

    class Hasty(PrusaLink):
        """The driver, looking for its file not for long."""

        stored_s = 0.3

    taken = web.Response(status=201)
    async with printer_that(anything=taken) as url, ClientSession() as session:
        driver = build(Hasty, {"url": url, "api_key": "k"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.upload("part.gcode", in_pieces(b"G28\n"))
    assert raised.value.code == "upload_failed"


async def test_an_upload_that_is_too_large_is_not_even_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No printer holds it."""
    monkeypatch.setattr("brain_server.lan.MAX_UPLOAD", 10)
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.Response(status=201)

    async with printer_that(anything=note) as url, ClientSession() as session:
        driver = build(PrusaLink, {"url": url, "api_key": "k"}, session)
        with pytest.raises(InvalidRequest) as raised:
            await driver.upload("part.gcode", in_pieces(b"G28\n" * 10))
    assert (raised.value.code, asked) == ("file_too_large", [])


CAMERAS = {"camera_list": [{"camera_id": "c1", "connected": True}]}


@pytest.mark.parametrize(
    ("taken", "kept", "expected"),
    [
        (web.Response(body=JPEG), web.Response(status=500), JPEG),
        (web.Response(status=409), web.Response(body=JPEG), JPEG),
        (web.Response(status=408), web.Response(status=204), "camera_failed"),
        (web.Response(body=b"<html>"), web.Response(body=b"<html>"), "camera_failed"),
    ],
)
async def test_a_picture_is_taken_now_or_is_the_last_one(
    taken: web.Response, kept: web.Response, expected: bytes | str
) -> None:
    """Some cameras take one only when they want to."""

    async def snap(request: web.Request) -> web.Response:
        chosen = taken if request.method == "POST" else kept
        return web.Response(status=chosen.status, body=chosen.body)

    cameras = web.json_response(CAMERAS)
    async with (
        printer_that(api_v1_cameras=cameras, api_v1_cameras_c1_snap=snap) as url,
        ClientSession() as session,
    ):
        driver = build(PrusaLink, {"url": url, "api_key": "k"}, session)
        try:
            picture: bytes | str = await driver.snapshot()
        except DeviceError as err:
            picture = err.code
    assert picture == expected


async def test_a_camera_elsewhere_gets_no_key() -> None:
    """It is not PrusaLink's."""
    asked: list[Any] = []

    async def picture(request: web.Request) -> web.Response:
        asked.append(request.headers)
        return web.Response(body=JPEG)

    async with serving(snap=picture) as camera, ClientSession() as session:
        options = {"url": "http://127.0.0.1:9", "api_key": "k", "camera_url": f"{camera}/snap"}
        assert await build(PrusaLink, options, session).snapshot() == JPEG
        away = options | {"camera_url": "http://127.0.0.1:9/snap"}
        with pytest.raises(DeviceError) as raised:
            await build(PrusaLink, away, session).snapshot()
    assert raised.value.code == "camera_failed"
    assert "X-Api-Key" not in asked[0]


async def test_an_answer_about_cameras_that_is_an_error_is_passed_on() -> None:
    """A revoked key is not a printer without a camera."""
    async with printer_that(anything=web.Response(status=403)) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(PrusaLink, {"url": url, "api_key": "k"}, session).snapshot()
    assert raised.value.code == "invalid_auth"
