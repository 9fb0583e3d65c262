"""What is OctoPrint's own, against the real server, and what a server may answer that is not one."""

import asyncio
from collections.abc import AsyncIterator
import tracemalloc
from typing import Any

from aiohttp import ClientSession, web
import pytest

from brain_server.drivers import Order
from brain_server.drivers.octoprint import OctoPrint
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json, OnlineState
from tests.brain.drivers.conformance import hurried, in_pieces, printing
from tests.brain.drivers.rigs import OctoPrintRig
from tests.brain.drivers.watch import build, watching
from tests.standins.web import Handler, serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

real = pytest.mark.parametrize(
    "rig", [pytest.param(OctoPrintRig, id="octoprint", marks=OctoPrintRig.marks)], indirect=True
)


# -- the real server ----------------------------------------------------------------------------------


@real
async def test_heating_is_done_when_the_printer_reports_the_targets(rig: OctoPrintRig) -> None:
    """Both heaters, in one order."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        hot = await watch.done("heat", nozzle=195.0, bed=50)
        assert hot.state["nozzle"]["target"] == 195
        cold = await watch.done("heat", nozzle=0, bed=0)
    assert cold.state["bed"]["target"] == 0


@real
async def test_gcode_is_done_when_it_was_seen_on_the_serial_line(rig: OctoPrintRig) -> None:
    """Comments are not sent, and each line is waited for."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        outcome = await watch.order("gcode", script="g28 ; home\n\n; nothing\nG1 X10 F6000\n")
    assert outcome is not None
    assert outcome.status is CommandStatus.ACKED


@real
async def test_gcode_that_the_printer_does_not_take_in_time_is_unknown(
    rig: OctoPrintRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits behind a heater, and nobody knows whether it will still be carried out."""
    monkeypatch.setattr("brain_server.drivers.octoprint.GCODE_WAIT_S", 1.5)
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        assert await watch.order("gcode", script="M104 S240") is not None
        outcome = await watch.order("gcode", script="M109 S240\nG28")
        await watch.done("heat", nozzle=0)
    assert outcome is not None
    assert outcome.status is CommandStatus.UNKNOWN


@real
async def test_a_file_larger_than_memory_would_bear_is_streamed(rig: OctoPrintRig) -> None:
    """Twelve megabytes go through with a few hundred kilobytes at hand."""
    line = b"; a comment that a slicer left here, as slicers do, in each of its files\n"

    async def content() -> AsyncIterator[bytes]:
        for _ in range(192):
            yield (line * 900)[:65536]
            await asyncio.sleep(0)

    async with ClientSession() as session:
        driver = build(rig.driver, rig.options, session)
        tracemalloc.start()
        tracemalloc.clear_traces()
        try:
            name = await driver.upload("large.gcode", content())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert name in await driver.files()
    assert peak < 4 * 1024 * 1024
    await asyncio.to_thread(rig.octoprint.call, "DELETE", "/api/files/local/large.gcode")


@real
async def test_a_file_keeps_its_name(rig: OctoPrintRig) -> None:
    """With its spaces and letters from all the world."""
    async with ClientSession() as session:
        driver = build(rig.driver, rig.options, session)
        stored = await driver.upload("Halter für Öl (2).gcode", in_pieces(b"G28\n"))
        assert stored == "Halter für Öl (2).gcode"
        assert stored in await driver.files()


@real
async def test_a_file_in_a_folder_is_listed_and_started(rig: OctoPrintRig) -> None:
    """By its path."""
    call = rig.octoprint.call
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        stored = await watch.driver.upload("inside.gcode", in_pieces(rig.print_file(seconds=60)))
        await asyncio.to_thread(make_folder, rig)
        move = {"command": "copy", "destination": "folder/inside.gcode"}
        await asyncio.to_thread(call, "POST", f"/api/files/local/{stored}", move)
        assert "folder/inside.gcode" in await watch.driver.files()
        seen = await watch.done("print_start", file="folder/inside.gcode")
    assert seen.state["job"]["file"] == "folder/inside.gcode"


def make_folder(rig: OctoPrintRig) -> None:
    """Make a folder by a form, as only forms can."""
    (rig.octoprint.folder / "uploads" / "folder").mkdir(exist_ok=True)


@real
async def test_a_file_that_is_not_there_is_refused(rig: OctoPrintRig) -> None:
    """And so is a path that leads out of the folder."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        for file in ("missing.gcode", "../users.yaml", "/etc/passwd", "a//b.gcode"):
            with pytest.raises(DeviceError) as raised:
                await watch.order("print_start", file=file)
            assert raised.value.code == "device_refused"


@real
async def test_a_pause_as_soon_as_a_print_starts_is_not_forgotten(rig: OctoPrintRig) -> None:
    """OctoPrint itself forgets one that it accepted while starting; here are many tries to hit it."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        for _ in range(8):
            await watch.done("print_pause")
            await watch.done("print_cancel")
            await watch.done("print_start", file=file)


class Impatient(OctoPrint):
    """The driver with less patience."""

    settle_s = 0.2
    hello_s = 0.2


@real
async def test_a_resume_while_still_pausing_waits_for_the_pause(rig: OctoPrintRig) -> None:
    """OctoPrint accepts it at once, does nothing, and then pauses."""
    async with watching(OctoPrint, rig.options) as watch:
        await printing(rig, watch)
        assert await watch.order("print_pause") is None
        resume = Order(command_id="1", intent="print_resume", params={})
        assert watch.driver.confirms(resume, watch.state, watch.state) is False
        resumed = await watch.done("print_resume")
        assert "paused" in watch.statuses
        assert resumed.state["status"] == "printing"


@real
async def test_a_resume_is_refused_when_the_pause_takes_too_long(rig: OctoPrintRig) -> None:
    """As behind a heater; the printing that is still seen is not taken for its success."""
    async with watching(Impatient, rig.options) as watch:
        await printing(rig, watch, warm_up=True)
        assert await watch.order("print_pause") is None
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_resume")
        assert raised.value.code == "device_refused"
        await watch.status("paused")
        await watch.done("print_resume")


AWAY = [
    ({"command": "cancel"}, "aborted", None),
    (None, "completed", None),
]


@real
@pytest.mark.parametrize(("body", "status", "error"), AWAY)
async def test_a_job_that_ended_while_the_line_was_cut_is_known_afterwards(
    rig: OctoPrintRig, body: Json | None, status: str, error: str | None
) -> None:
    """No event told of it."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, seconds=2 if body is None else 60)
        run = watch.state["job"]["started_at"]
        await rig.proxy.close()
        await watch.offline()
        await asyncio.to_thread(rig.octoprint.call, "POST", "/api/job", body or {})
        await asyncio.to_thread(
            rig.octoprint.wait_for, lambda: rig.octoprint.state() == "Operational", "it ended", 60
        )
        await rig.proxy.open()
        seen = await watch.online()
    assert seen.state["status"] == status
    assert (seen.state["job"]["error"], seen.state["job"]["started_at"]) == (error, run)


@real
async def test_a_run_that_was_begun_while_the_line_was_cut_is_another_one(
    rig: OctoPrintRig,
) -> None:
    """Though it prints the same file."""
    octoprint = rig.octoprint
    # How long it has run tells the runs apart: the second one is seen long before it has run for as long.
    with hurried(rig):
        async with watching(rig.driver, rig.options) as watch:
            file = await printing(rig, watch)
            await watch.until(lambda seen: (seen.state["job"]["elapsed_s"] or 0) >= 10)
            run = watch.state["job"]["started_at"]
            await rig.proxy.close()
            await watch.offline()
            await asyncio.to_thread(octoprint.rest)
            start = {"command": "select", "print": True}
            await asyncio.to_thread(octoprint.call, "POST", f"/api/files/local/{file}", start)
            await rig.proxy.open()
            await watch.online()
            seen = await watch.status("preparing", "printing")
    assert seen.state["job"]["started_at"] != run
    assert watch.statuses[-2] == "failed"


@real
@pytest.mark.parametrize("gcode", ["!!DEBUG:action_pause", "!!DEBUG:action_custom cancel"])
async def test_what_somebody_does_at_the_printer_is_seen(rig: OctoPrintRig, gcode: str) -> None:
    """No order of ours was needed."""
    expected = "paused" if "pause" in gcode else "aborted"
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await asyncio.to_thread(rig.octoprint.command, gcode)
        await watch.status(expected)
    assert "failed" not in watch.statuses


@real
@pytest.mark.parametrize("gcode", ["M112", "!!DEBUG:drop_connection"])
async def test_every_kind_of_fault_fails_the_job(rig: OctoPrintRig, gcode: str) -> None:
    """And the driver is still there when the printer comes back."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await asyncio.to_thread(rig.octoprint.command, gcode)
        failed = await watch.until(lambda seen: seen.online is OnlineState.FAULT)
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file="part.gcode")
        await asyncio.to_thread(rig.octoprint.rest)
        await watch.online()
    assert failed.reason
    assert failed.state["job"]["error"]
    assert failed.state["status"] == "failed"
    assert raised.value.code == "device_refused"


@real
async def test_a_printer_unplugged_from_octoprint_is_offline(rig: OctoPrintRig) -> None:
    """OctoPrint itself still answers."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        unplug = {"command": "disconnect"}
        await asyncio.to_thread(rig.octoprint.call, "POST", "/api/connection", unplug)
        gone = await watch.offline()
        failed = await watch.status("failed")
    assert gone.reason == failed.reason == "printer_disconnected"


@real
async def test_a_key_that_was_revoked_is_noticed_without_an_order(rig: OctoPrintRig) -> None:
    """The push socket would stay open for ever."""

    class Distrustful(OctoPrint):
        """The driver, looking after its key all the time."""

        key_check_s = 0.1

    async with watching(Distrustful, await rig.guest()) as watch:
        await printing(rig, watch)
        await rig.revoke()
        gone = await watch.offline()
    assert gone.reason == "invalid_auth"


@real
async def test_a_picture_comes_from_the_camera_that_octoprint_names(rig: OctoPrintRig) -> None:
    """On its own host, which may call itself localhost; nothing else is ever asked."""
    call = rig.octoprint.call
    asked: list[Any] = []

    async def picture(request: web.Request) -> web.Response:
        asked.append(request.headers)
        return web.Response(body=PNG)

    async with ClientSession() as session, serving(snap=picture) as camera:
        driver = build(rig.driver, rig.options, session)
        for url in (f"{camera}/snap", f"{camera}/snap".replace("127.0.0.1", "localhost")):
            named = {"plugins": {"classicwebcam": {"snapshot": url}}}
            await asyncio.to_thread(call, "POST", "/api/settings", named)
            assert (await driver.probe()).has_camera
            assert await driver.snapshot() == PNG
        for url in ("http://10.0.0.1/snap", "file:///etc/passwd", ""):
            named = {"plugins": {"classicwebcam": {"snapshot": url}}}
            await asyncio.to_thread(call, "POST", "/api/settings", named)
            with pytest.raises(DeviceError) as raised:
                await driver.snapshot()
            assert raised.value.code == "no_camera"
    assert len(asked) == 2
    assert not any("X-Api-Key" in headers for headers in asked)


# -- a server that is none ----------------------------------------------------------------------------


def html(status: int) -> web.Response:
    """Return an error page."""
    return web.Response(
        status=status, text="<html>secret traceback</html>", content_type="text/html"
    )


ANSWERS = [
    (409, "device_refused"),
    (404, "device_refused"),
    (403, "invalid_auth"),
    (401, "invalid_auth"),
    (302, "cannot_connect"),
    (503, "cannot_connect"),
    (500, "unknown"),
    (502, "unknown"),
    (504, "unknown"),
]


@pytest.mark.parametrize(("status", "expected"), ANSWERS)
async def test_an_answer_to_an_order_is_a_refusal_only_where_nothing_can_have_happened(
    status: int, expected: str
) -> None:
    """And no page that a proxy wrote is shown to anybody."""
    async with serving(anything=html(status)) as url, ClientSession() as session:
        driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
        order = Order(command_id="1", intent="print_pause", params={})
        try:
            ended = await driver.execute(order)
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

    async with serving(anything=breaks) as url, ClientSession() as session:
        driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
        ended = await driver.execute(Order(command_id="1", intent="print_cancel", params={}))
    assert ended is not None
    assert ended.status is CommandStatus.UNKNOWN


async def test_every_order_has_a_connection_of_its_own() -> None:
    """On one that was kept, and just closed by the server, nobody could tell if it arrived."""
    callers: list[Any] = []

    async def note(request: web.Request) -> web.Response:
        assert request.transport is not None
        callers.append(request.transport.get_extra_info("peername"))
        return web.Response(status=204)

    async with serving(anything=note) as url, ClientSession() as session:
        driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
        for number in range(3):
            order = Order(command_id=str(number), intent="print_cancel", params={})
            assert await driver.execute(order) is None
    assert len(set(callers)) == 3


async def test_a_way_to_somewhere_else_is_not_gone() -> None:
    """The key would go with it."""
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"server": "1.11.8"})

    async with serving(anything=note) as other:
        away = web.Response(status=302, headers={"Location": f"{other}/api/version"})
        async with serving(anything=away) as url, ClientSession() as session:
            driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
            with pytest.raises(DeviceError) as raised:
                await driver.probe()
            with pytest.raises(DeviceError):
                await driver.execute(Order(command_id="1", intent="print_cancel", params={}))
    assert raised.value.code == "cannot_connect"
    assert asked == []


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Printer is\nnot operational", "Printer is not operational"),
        ("<p>Traceback</p>", "OctoPrint answered HTTP 409"),
        (None, "OctoPrint answered HTTP 409"),
    ],
)
async def test_the_servers_own_sentence_is_passed_on(sent: str | None, shown: str) -> None:
    """When it is one."""
    refusal = web.json_response({"error": sent}, status=409)
    async with serving(anything=refusal) as url, ClientSession() as session:
        driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.execute(Order(command_id="1", intent="print_cancel", params={}))
    assert raised.value.message == shown


async def test_a_path_that_leads_elsewhere_is_never_asked_for() -> None:
    """Nor is one that is no path."""
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=204)

    async with serving(anything=note) as url, ClientSession() as session:
        driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
        for file in ("../../settings", "/etc/passwd", "a/./b", "a//b", ".."):
            order = Order(command_id="1", intent="print_start", params={"file": file})
            with pytest.raises(DeviceError):
                await driver.execute(order)
    assert asked == []


async def test_gcode_is_refused_while_nobody_could_see_it_arrive() -> None:
    """Without the push socket there is no serial log."""
    async with ClientSession() as session:
        driver = build(OctoPrint, {"url": "http://127.0.0.1:9", "api_key": "k"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.execute(Order(command_id="1", intent="gcode", params={"script": "G28"}))
    assert raised.value.code == "cannot_connect"


@pytest.mark.parametrize("script", ["; only words", "\n\n"])
async def test_gcode_without_a_command_is_refused(script: str) -> None:
    """There is nothing to send."""
    async with ClientSession() as session:
        driver = build(OctoPrint, {"url": "http://127.0.0.1:9", "api_key": "k"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.execute(Order(command_id="1", intent="gcode", params={"script": script}))
    assert raised.value.code == "device_refused"


NO_OCTOPRINT = [
    web.Response(text="<html>a router</html>", content_type="text/html"),
    web.json_response([1, 2]),
    web.json_response({"other": "software"}),
    html(404),
    html(302),
]


@pytest.mark.parametrize("answer", NO_OCTOPRINT)
async def test_another_server_at_that_address_cannot_be_connected(answer: web.Response) -> None:
    """The address is wrong, not the key."""
    async with serving(anything=answer) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(OctoPrint, {"url": url, "api_key": "k"}, session).probe()
    assert raised.value.code == "cannot_connect"
    assert "<" not in raised.value.message


async def test_a_key_that_logs_nobody_in_is_no_key() -> None:
    """OctoPrint may let guests look."""
    version = web.json_response({"server": "1.11.8"})
    login = web.json_response({"name": None})
    async with serving(api_version=version, api_login=login) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(OctoPrint, {"url": url, "api_key": "k"}, session).probe()
    assert raised.value.code == "invalid_auth"


@pytest.mark.parametrize("answer", [{"name": 7}, {"name": "kitty"}, {"other": "software"}])
async def test_a_login_that_is_none_of_octoprints_is_a_wrong_address(answer: Json) -> None:
    """Not a wrong key, which a person would then look for in vain."""
    version = web.json_response({"server": "1.11.8"})
    login = web.json_response(answer)
    async with serving(api_version=version, api_login=login) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(OctoPrint, {"url": url, "api_key": "k"}, session).probe()
    assert raised.value.code == "cannot_connect"


async def test_a_push_socket_that_never_says_anything_is_given_up() -> None:
    """The printer is offline and is looked for again."""

    async def mute(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    login = web.json_response({"name": "kitty", "session": "s"})
    async with (
        serving(api_login=login, sockjs_websocket=mute) as url,
        watching(Impatient, {"url": url, "api_key": "k"}) as watch,
    ):
        gone = await watch.offline()
    assert gone.reason == "cannot_connect"


async def test_a_push_socket_that_wants_a_new_login_gets_one() -> None:
    """OctoPrint says so when a session has grown old."""
    logins = 0

    async def login(_request: web.Request) -> web.Response:
        nonlocal logins
        logins += 1
        return web.json_response({"name": "kitty", "session": str(logins)})

    async def push(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        auth = (await socket.receive_json())["auth"]
        flags = {"operational": True}
        await socket.send_str("no JSON")
        await socket.send_json({"history": {"state": {"flags": flags}, "job": {"file": {}}}})
        if auth == "kitty:1":
            await socket.send_json({"reauthRequired": {"reason": "stale"}})
        async for _ in socket:
            pass
        return socket

    async with (
        serving(api_login=login, sockjs_websocket=push) as url,
        watching(OctoPrint, {"url": url, "api_key": "k"}) as watch,
    ):
        await watch.offline()
        await watch.online()
    assert logins == 2


async def too_large(request: web.Request) -> web.StreamResponse:
    """Send a picture that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(PNG[:8] + bytes(256 * 1024))
    return response


async def too_slow(_request: web.Request) -> web.Response:
    """Take longer than anyone waits for a picture."""
    await asyncio.sleep(30)
    return web.Response(body=PNG)


@pytest.mark.parametrize(
    "camera", [html(200), html(404), web.Response(body=b""), html(302), too_large, too_slow]
)
async def test_what_a_camera_sends_that_is_no_picture_is_not_shown(
    camera: web.Response | Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large, too slow, a page, or a way to somewhere else."""
    monkeypatch.setattr("brain_server.drivers.octoprint.PICTURE_S", 0.5)
    settings = web.json_response({})
    async with serving(api_settings=settings, snap=camera) as url, ClientSession() as session:
        options = {"url": url, "api_key": "k", "camera_url": f"{url}/snap"}
        with pytest.raises(DeviceError) as raised:
            await build(OctoPrint, options, session).snapshot()
    assert raised.value.code == "camera_failed"


async def test_a_camera_address_is_asked_as_it_was_given() -> None:
    """Many cameras tell a picture from a film by the question mark."""

    async def camera(request: web.Request) -> web.Response:
        return web.Response(body=PNG if request.query_string == "action=snapshot" else b"")

    async with serving(anything=camera) as url, ClientSession() as session:
        options = {"url": url, "api_key": "k", "camera_url": f"{url}/?action=snapshot"}
        assert await build(OctoPrint, options, session).snapshot() == PNG


async def test_a_camera_address_that_is_none_is_named_as_the_wrong_field() -> None:
    """When the device is added."""
    version = web.json_response({"server": "1.11.8"})
    login = web.json_response({"name": "kitty", "session": "s"})
    async with (
        serving(api_version=version, api_login=login, api_settings=html(403)) as url,
        ClientSession() as session,
    ):
        for camera in ("the garage", "http://["):
            options = {"url": url, "api_key": "k", "camera_url": camera}
            with pytest.raises(InvalidRequest) as raised:
                await build(OctoPrint, options, session).probe()
            assert raised.value.fields["field"] == "camera_url"


UPLOADS = [
    (web.json_response({}), web.json_response({})),
    (web.json_response({"files": {"local": {"path": "a.gcode"}}}), web.json_response({"size": 3})),
]


@pytest.mark.parametrize(("stored", "found"), UPLOADS)
async def test_an_upload_that_cannot_be_read_back_whole_has_failed(
    stored: web.Response, found: web.Response
) -> None:
    """Whatever status the server answered with."""
    routes = {"api_files_local": stored, "api_files_local_a.gcode": found}
    async with serving(**routes) as url, ClientSession() as session:
        driver = build(OctoPrint, {"url": url, "api_key": "k"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.upload("a.gcode", in_pieces(b"G28\n"))
    assert raised.value.code == "upload_failed"


async def test_an_upload_for_which_there_is_no_room_has_failed() -> None:
    """And no page of the server's is shown."""
    async with serving(anything=html(500)) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(OctoPrint, {"url": url, "api_key": "k"}, session).upload(
                "a.gcode", in_pieces(b"G28\n")
            )
    assert (raised.value.code, raised.value.message) == (
        "upload_failed",
        "OctoPrint answered HTTP 500",
    )


async def test_an_upload_to_nobody_cannot_be_connected() -> None:
    """Nothing of it was sent."""
    async with ClientSession() as session:
        driver = build(OctoPrint, {"url": "http://127.0.0.1:9", "api_key": "k"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.upload("a.gcode", in_pieces(b"G28\n"))
    assert raised.value.code == "cannot_connect"


async def test_a_file_that_is_too_large_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of it is sent."""
    monkeypatch.setattr("brain_server.lan.MAX_UPLOAD", 10)
    async with ClientSession() as session:
        driver = build(OctoPrint, {"url": "http://127.0.0.1:9", "api_key": "k"}, session)
        with pytest.raises(InvalidRequest) as raised:
            await driver.upload("a.gcode", in_pieces(bytes(11)))
    assert raised.value.code == "file_too_large"
