"""What is Moonraker's own, against the real server, and what a server may answer that is not one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import ssl
import subprocess
from typing import Any

from aiohttp import ClientSession, web
import pytest

from brain_server.drivers import Order
from brain_server.drivers.moonraker import Moonraker
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json, OnlineState
from tests.brain.drivers.conformance import in_pieces, printing
from tests.brain.drivers.rig_moonraker import MoonrakerRig
from tests.brain.drivers.watch import build, watching
from tests.standins.web import Handler, serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

real = pytest.mark.parametrize(
    "rig", [pytest.param(MoonrakerRig, id="moonraker", marks=MoonrakerRig.marks)], indirect=True
)


class Impatient(Moonraker):
    """The driver with less patience."""

    settle_s = 0.2
    hello_s = 0.2
    order_timeout_s = 0.3
    queued_s = 0.2


class Hurried(Moonraker):
    """The driver that waits for no queue, but for an answer."""

    settle_s = queued_s = 0.2


async def act(rig: MoonrakerRig, what: str) -> None:
    """Have the printer be slow, or fast again."""
    await asyncio.to_thread(rig.moonraker.break_printer, what)


# -- the real server ----------------------------------------------------------------------------------


@real
async def test_heating_is_done_when_the_printer_reports_the_targets(rig: MoonrakerRig) -> None:
    """Both heaters, in one order."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        hot = await watch.done("heat", nozzle=195.0, bed=50)
        assert hot.state["nozzle"]["target"] == 195
        cold = await watch.done("heat", nozzle=0, bed=0)
    assert cold.state["bed"]["target"] == 0


@real
@pytest.mark.parametrize(
    ("script", "status", "detail"),
    [
        ("g28 ; home\n\n; nothing\nG1 X10 F6000\n", CommandStatus.ACKED, None),
        ("G28\nFLY_AWAY\n", CommandStatus.FAILED, 'Unknown command:"FLY_AWAY"'),
        ("G1 X9999", CommandStatus.FAILED, "Move out of range: 9999.000"),
        ("FIRMWARE_RESTART", CommandStatus.ACKED, None),
    ],
)
async def test_gcode_ends_as_klipper_says(
    rig: MoonrakerRig, script: str, status: CommandStatus, detail: str | None
) -> None:
    """It answers when the last line was carried out; of a command that it does not know it only grumbles."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        outcome = await watch.order("gcode", script=script)
    assert outcome is not None
    assert outcome.status is status
    assert str(outcome.detail).startswith(str(detail))


@real
async def test_gcode_that_the_printer_does_not_take_in_time_is_unknown(
    rig: MoonrakerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits behind a heater, and nobody knows whether it will still be carried out."""
    monkeypatch.setattr("brain_server.drivers.moonraker.GCODE_WAIT_S", 0.3)
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        outcome = await watch.order("gcode", script="M109 S240\nG28")
    assert outcome is not None
    assert outcome.status is CommandStatus.UNKNOWN


@real
async def test_an_emergency_stop_waits_behind_no_heater(rig: MoonrakerRig) -> None:
    """M112 goes past the queue in which every other command stands."""
    async with watching(rig.driver, rig.options) as watch:
        await act(rig, "slow")
        await printing(rig, watch, warm_up=True)
        outcome = await watch.order("gcode", script="M112")
        failed = await watch.until(lambda seen: seen.online is OnlineState.FAULT)
    assert outcome is not None
    assert outcome.status is CommandStatus.ACKED
    assert failed.state["status"] == "failed"
    assert failed.state["job"]["error"] == "Shutdown due to webhooks request"


@real
async def test_an_order_that_is_not_answered_because_of_a_heater_is_no_failure(
    rig: MoonrakerRig,
) -> None:
    """It stands in Klipper's queue, and is carried out when it is hot."""
    async with watching(Hurried, rig.options) as watch:
        await act(rig, "slow")
        await printing(rig, watch, warm_up=True)
        assert await watch.order("print_cancel") is None
        assert watch.state["status"] == "preparing"
        await act(rig, "fast")
        await watch.status("aborted")


@real
async def test_a_resume_before_the_pause_has_come_about_is_refused(rig: MoonrakerRig) -> None:
    """The printing that is still seen is not taken for its success."""
    async with watching(Hurried, rig.options) as watch:
        await act(rig, "slow")
        await printing(rig, watch, warm_up=True)
        assert await watch.order("print_pause") is None
        resume = Order(command_id="1", intent="print_resume", params={})
        assert watch.driver.confirms(resume, watch.state, watch.state) is False
        with pytest.raises(DeviceError) as raised:
            await watch.driver.execute(resume)
        assert raised.value.code == "device_refused"
        await act(rig, "fast")
        await watch.status("paused")
        await watch.done("print_resume")


@real
async def test_a_paused_print_is_not_replaced_by_another(rig: MoonrakerRig) -> None:
    """Klipper itself would start the second file and forget the first."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        await watch.done("print_pause")
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file=file)
    assert raised.value.code == "device_refused"


@real
async def test_a_file_that_is_not_there_is_refused(rig: MoonrakerRig) -> None:
    """In Klipper's words; and so is a path that leads out of the folder."""
    async with watching(rig.driver, rig.options) as watch:
        await watch.online()
        words = []
        for file in ("missing.gcode", "../moonraker.conf", "/etc/passwd", "a//b.gcode"):
            with pytest.raises(DeviceError) as raised:
                await watch.order("print_start", file=file)
            assert raised.value.code == "device_refused"
            words.append(raised.value.message)
    assert words[0] == "Unable to open file"


@real
async def test_a_file_that_is_printed_is_not_overwritten(rig: MoonrakerRig) -> None:
    """Moonraker refuses it, and that is not the key's fault."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        with pytest.raises(DeviceError) as raised:
            await watch.driver.upload(file, in_pieces(b"G28\n"))
        await watch.done("print_pause")
    assert raised.value.code == "device_refused"
    assert list(rig.moonraker.gcodes.glob("*.part")) == []
    assert OnlineState.OFFLINE not in [seen.online for seen in watch.seen]


@real
async def test_layers_and_filament_are_seen(rig: MoonrakerRig) -> None:
    """As the file tells the printer."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, seconds=2)
        ended = await watch.status("completed")
    job = ended.state["job"]
    assert (job["layer"], job["layers"], job["filament_mm"]) == (10, 10, 1.0)


@real
async def test_a_job_goes_on_as_the_same_run_when_moonraker_alone_is_restarted(
    rig: MoonrakerRig,
) -> None:
    """Killed or updated: Klipper prints on."""
    server = rig.moonraker
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        run = (await watch.status("printing")).state["job"]["started_at"]
        for end in (server.kill_server, server.stop_server):
            await asyncio.to_thread(end)
            await watch.offline()
            await asyncio.to_thread(server.start)
            back = await watch.online()
            assert back.state["job"]["started_at"] == run
        await watch.done("print_cancel")
        await watch.status("aborted")
    assert "failed" not in watch.statuses


@real
async def test_a_klipper_that_dies_takes_the_job_with_it(rig: MoonrakerRig) -> None:
    """And the driver hears the next one without being asked."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch)
        await asyncio.to_thread(rig.moonraker.kill_printer)
        gone = await watch.status("failed")
        with pytest.raises(DeviceError) as raised:
            await watch.order("print_start", file="part.gcode")
        await asyncio.to_thread(rig.moonraker.start_printer)
        await watch.online()
        await watch.done("heat", bed=40)
    assert (gone.online, gone.reason) == (OnlineState.OFFLINE, "printer_disconnected")
    assert gone.state["job"]["error"] == "printer_disconnected"
    assert raised.value.code == "cannot_connect"


@real
async def test_a_heater_that_does_not_heat_fails_the_job(rig: MoonrakerRig) -> None:
    """print_stats goes on saying that it prints, and then that it is paused."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, warm_up=True)
        await asyncio.to_thread(rig.moonraker.break_printer, "heater")
        failed = await watch.status("failed")
        stats = rig.moonraker.stats
        await until_paused(stats)
        await asyncio.sleep(0.5)
    assert failed.state["job"]["error"] == "Heater extruder not heating at expected rate"
    assert "paused" not in watch.statuses


async def until_paused(stats: Any) -> None:
    """Wait until the printer seems to be paused."""
    async with asyncio.timeout(60):
        # Nobody tells: the state is asked for until it is that.
        while (await asyncio.to_thread(stats))["state"] != "paused":  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.05)


@real
@pytest.mark.parametrize(("act", "status"), [("cancel", "aborted"), ("nothing", "completed")])
async def test_a_job_that_ended_while_the_line_was_cut_is_known_afterwards(
    rig: MoonrakerRig, act: str, status: str
) -> None:
    """No message told of it."""
    async with watching(rig.driver, rig.options) as watch:
        await printing(rig, watch, seconds=60 if act == "cancel" else 1)
        run = watch.state["job"]["started_at"]
        await rig.proxy.close()
        await watch.offline()
        if act == "cancel":
            await asyncio.to_thread(rig.moonraker.cancel)
        await asyncio.to_thread(
            rig.moonraker.wait_for,
            lambda: rig.moonraker.stats()["state"] in {"complete", "cancelled"},
            "it ended",
            60,
        )
        await rig.proxy.open()
        seen = await watch.online()
    assert (seen.state["status"], seen.state["job"]["started_at"]) == (status, run)


@real
async def test_a_run_that_was_begun_while_the_line_was_cut_is_another_one(
    rig: MoonrakerRig,
) -> None:
    """Though it prints the same file; and how the first one ended is read from Moonraker's list."""
    async with watching(rig.driver, rig.options) as watch:
        file = await printing(rig, watch)
        run = watch.state["job"]["started_at"]
        await watch.until(lambda seen: seen.state["job"]["run"])
        await rig.proxy.close()
        await watch.offline()
        server = rig.moonraker
        await asyncio.to_thread(server.cancel)
        # Moonraker looks four times a second, and would take both for one run.
        await asyncio.to_thread(
            server.wait_for, lambda: server.last_run() == "cancelled", "it is listed", 60
        )
        await asyncio.to_thread(server.begin, file)
        await rig.proxy.open()
        await watch.online()
        seen = await watch.status("preparing", "printing")
    assert seen.state["job"]["started_at"] != run
    assert "failed" not in watch.statuses


@real
async def test_a_key_that_was_revoked_is_noticed_without_an_order(rig: MoonrakerRig) -> None:
    """The socket would stay open for ever."""

    class Distrustful(Moonraker):
        """The driver, looking after its key all the time."""

        key_check_s = 0.1

    async with watching(Distrustful, await rig.guest()) as watch:
        await watch.online()
        await rig.revoke()
        gone = await watch.offline()
    assert gone.reason == "invalid_auth"


@real
async def test_a_picture_comes_from_the_camera_that_moonraker_names(rig: MoonrakerRig) -> None:
    """On its own host, which may call itself localhost; nothing else is ever asked."""
    call = rig.moonraker.call
    asked: list[Any] = []

    async def picture(request: web.Request) -> web.Response:
        asked.append(request.headers)
        return web.Response(body=PNG)

    async with ClientSession() as session, serving(snap=picture) as camera:
        driver = build(rig.driver, rig.options, session)
        for url in (f"{camera}/snap", f"{camera}/snap".replace("127.0.0.1", "localhost")):
            await name_camera(call, url)
            assert (await driver.probe()).has_camera
            assert await driver.snapshot() == PNG
        for url in ("http://10.0.0.1/snap", "file:///etc/passwd", "http://[", ""):
            await name_camera(call, url)
            with pytest.raises(DeviceError) as raised:
                await driver.snapshot()
            assert raised.value.code == "no_camera"
    assert len(asked) == 2
    assert not any("X-Api-Key" in headers for headers in asked)


async def name_camera(call: Any, url: str) -> None:
    """Set up the one camera."""
    await asyncio.to_thread(
        call,
        "POST",
        "/server/webcams/item",
        {"name": "one", "snapshot_url": url, "stream_url": "/stream"},
    )


# -- a server that is none ----------------------------------------------------------------------------


def info(state: str = "ready") -> web.Response:
    """Return what Moonraker says of itself."""
    return web.json_response({"result": {"klippy_state": state, "moonraker_version": "v0.11"}})


def error(status: int, message: str = "No", **more: str) -> web.Response:
    """Return an error as Moonraker does, with lines of its program."""
    told = {"code": status, "message": message, "traceback": "Traceback (secret)"} | more
    return web.json_response({"error": told}, status=status)


ANSWERS = [
    (error(400, "Must home axis first\nsecond line"), "device_refused", "second line"),
    (error(404), "device_refused", "No"),
    (error(403), "device_refused", "No"),
    (error(401), "invalid_auth", "key"),
    (web.Response(status=302), "cannot_connect", "302"),
    (error(503, "Klippy Host not connected"), "cannot_connect", "503"),
    (error(503, "Klippy Disconnected"), "unknown", "Klippy Disconnected"),
    (error(500), "unknown", "No"),
    (web.Response(status=502, text="<html>secret</html>"), "unknown", "HTTP 502"),
]


@pytest.mark.parametrize(("answer", "expected", "words"), ANSWERS)
async def test_an_answer_to_an_order_is_a_refusal_only_where_nothing_can_have_happened(
    answer: web.Response, expected: str, words: str
) -> None:
    """And no line of a program is shown to anybody."""
    async with serving(anything=answer) as url, ClientSession() as session:
        driver = build(Moonraker, {"url": url}, session)
        try:
            ended = await driver.execute(Order(command_id="1", intent="print_pause", params={}))
            assert ended is not None
            seen, told = ended.status.value, ended.detail
        except DeviceError as err:
            seen, told = err.code, err.message
    assert seen == expected
    assert words in str(told)
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(error(503), "cannot_connect"), (error(401), "invalid_auth"), (error(500), "unknown")],
)
async def test_gcode_of_which_nothing_arrived_is_told_from_gcode_of_which_nobody_knows(
    answer: web.Response, expected: str
) -> None:
    """A bad request alone is a failure: some lines may have been carried out."""
    async with serving(anything=answer) as url, ClientSession() as session:
        driver = build(Moonraker, {"url": url}, session)
        order = Order(command_id="1", intent="gcode", params={"script": "G28"})
        try:
            ended = await driver.execute(order)
            seen = ended.status.value if ended else None
        except DeviceError as err:
            seen = err.code
    assert seen == expected


@pytest.mark.parametrize("intent", ["print_cancel", "gcode"])
async def test_an_order_on_a_line_that_breaks_is_unknown(intent: str) -> None:
    """It may have arrived."""

    async def breaks(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(anything=breaks) as url, ClientSession() as session:
        driver = build(Moonraker, {"url": url}, session)
        order = Order(command_id="1", intent=intent, params={"script": "G28"})
        ended = await driver.execute(order)
    assert ended is not None
    assert ended.status is CommandStatus.UNKNOWN


async def test_an_order_that_is_never_answered_is_unknown() -> None:
    """Where no heater explains it."""
    async with serving(anything=too_slow) as url, ClientSession() as session:
        driver = build(Impatient, {"url": url}, session)
        ended = await driver.execute(Order(command_id="1", intent="print_cancel", params={}))
    assert ended is not None
    assert ended.status is CommandStatus.UNKNOWN


@pytest.mark.parametrize("script", ["; only words", "\n\n"])
async def test_gcode_without_a_command_is_refused(script: str) -> None:
    """There is nothing to send."""
    async with ClientSession() as session:
        driver = build(Moonraker, {"url": "http://127.0.0.1:9"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.execute(Order(command_id="1", intent="gcode", params={"script": script}))
    assert raised.value.code == "device_refused"


async def test_a_key_is_sent_where_there_is_one() -> None:
    """And where Moonraker trusts this machine, none."""
    keys: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        keys.append(request.headers.get("X-Api-Key"))
        return info()

    async with serving(server_info=note) as url, ClientSession() as session:
        for key in ({"api_key": "k"}, {"api_key": ""}, {}):
            await build(Moonraker, {"url": url} | key, session).probe()
    assert keys == ["k", None, None]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>a router</html>", content_type="text/html"),
        web.json_response([1, 2]),
        web.json_response({"result": {"other": "software"}}),
        web.Response(status=404),
        web.Response(status=302),
    ],
)
async def test_another_server_at_that_address_cannot_be_connected(answer: web.Response) -> None:
    """The address is wrong, not the key."""
    async with serving(anything=answer) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(Moonraker, {"url": url}, session).probe()
    assert raised.value.code == "cannot_connect"
    assert "<" not in raised.value.message


async def mute(request: web.Request) -> web.WebSocketResponse:
    """Take a socket and say nothing."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


async def test_a_socket_that_never_says_anything_is_given_up() -> None:
    """The printer is offline and is looked for again."""
    async with (
        serving(server_info=info(), websocket=mute) as url,
        watching(Impatient, {"url": url}) as watch,
    ):
        gone = await watch.offline()
    assert gone.reason == "cannot_connect"


def answering(*, status: Json, states: list[str], history: Json) -> Handler:
    """Return a socket that answers as Moonraker does, and tells its own figures whenever it was asked something."""

    async def socket(request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse()
        await line.prepare(request)
        await line.send_str("no JSON")
        async for frame in line:
            call = frame.json()
            result: Json = {}
            match call["method"]:
                case "server.info":
                    result = {
                        "result": {"klippy_state": states.pop(0) if states[1:] else states[0]}
                    }
                case "server.history.list":
                    result = history
                case "printer.objects.subscribe":
                    result = status
            await line.send_json({"id": call["id"]} | result)
            await line.send_json({"method": "notify_proc_stat_update", "params": [{}]})
            await line.send_json({"method": "notify_gcode_response", "params": ["// of others"]})
            await line.send_json({"method": "notify_status_update", "params": 7})
        return line

    return socket


STANDBY = {
    "result": {"status": {"webhooks": {"state": "ready"}, "print_stats": {"state": "standby"}}}
}


@pytest.mark.parametrize(
    ("status", "online"),
    [
        (STANDBY, OnlineState.ONLINE),
        (
            {"result": {"status": {"webhooks": {"state": "error", "state_message": "Bad"}}}},
            OnlineState.FAULT,
        ),
        ({"result": {"status": {"webhooks": {"state": "startup"}}}}, OnlineState.OFFLINE),
    ],
)
async def test_a_klipper_that_starts_late_is_asked_for_until_it_is_there(
    status: Json, online: OnlineState
) -> None:
    """Of one that starts with an error nothing tells; and a Moonraker without a history will do."""
    socket = answering(
        status=status,
        states=["disconnected", "startup", "error"],
        history={"error": {"code": -32601}},
    )
    async with (
        serving(server_info=info(), websocket=socket) as url,
        watching(Moonraker, {"url": url}) as watch,
    ):
        first = await watch.until(lambda _: True)
        seen = await watch.until(lambda seen: seen.online is online)
        if online is not OnlineState.OFFLINE:
            await watch.driver.refresh()
    assert (first.online, first.reason) == (OnlineState.OFFLINE, "printer_disconnected")
    assert seen.online is online


async def test_nothing_is_ended_that_is_not_printed() -> None:
    """Klipper would say that all is well."""
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"result": "ok"})

    socket = answering(status=STANDBY, states=["ready"], history={"result": {"jobs": []}})
    async with (
        serving(server_info=info(), websocket=socket, anything=note) as url,
        watching(Moonraker, {"url": url}) as watch,
    ):
        await watch.online()
        for intent in ("print_pause", "print_resume", "print_cancel"):
            with pytest.raises(DeviceError) as raised:
                await watch.order(intent)
            assert raised.value.code == "device_refused"
    assert asked == []


async def too_large(request: web.Request) -> web.StreamResponse:
    """Send a picture that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(PNG[:8] + bytes(256 * 1024))
    return response


async def too_slow(_request: web.Request) -> web.Response:
    """Take longer than anyone waits."""
    await asyncio.sleep(30)
    return web.Response(body=PNG)


@pytest.mark.parametrize(
    "camera",
    [
        web.Response(text="<html>"),
        web.Response(status=404),
        web.Response(status=302),
        too_large,
        too_slow,
    ],
)
async def test_what_a_camera_sends_that_is_no_picture_is_not_shown(
    camera: web.Response | Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large, too slow, a page, or a way to somewhere else."""
    monkeypatch.setattr("brain_server.drivers.moonraker.PICTURE_S", 0.5)
    async with serving(snap=camera) as url, ClientSession() as session:
        options = {"url": url, "camera_url": f"{url}/snap"}
        with pytest.raises(DeviceError) as raised:
            await build(Moonraker, options, session).snapshot()
    assert raised.value.code == "camera_failed"


CAMERAS = [
    (
        web.json_response({"result": {"webcams": [{"enabled": False, "snapshot_url": "/snap"}]}}),
        False,
    ),
    (
        web.json_response({"result": {"webcams": [{"enabled": True, "snapshot_url": "/snap"}]}}),
        True,
    ),
    (web.json_response({"result": {"webcams": "none"}}), False),
    (error(404), False),
]


@pytest.mark.parametrize(("cameras", "there"), CAMERAS)
async def test_a_camera_without_a_host_is_on_that_of_moonraker(
    cameras: web.Response, there: bool
) -> None:
    """On the usual port, where its web page is; one that is switched off is none."""
    async with (
        serving(server_info=info(), server_webcams_list=cameras) as url,
        ClientSession() as session,
    ):
        seen = await build(Moonraker, {"url": url}, session).probe()
    assert seen.has_camera is there


async def test_a_camera_address_that_is_none_is_named_as_the_wrong_field() -> None:
    """When the device is added."""
    async with serving(server_info=info()) as url, ClientSession() as session:
        with pytest.raises(InvalidRequest) as raised:
            await build(Moonraker, {"url": url, "camera_url": "the garage"}, session).probe()
    assert raised.value.fields["field"] == "camera_url"


UPLOADS = [
    (web.json_response({}), "upload_failed"),
    (web.json_response({"item": {"path": "a.gcode", "size": 3}}), "upload_failed"),
    (error(500, "Unable to save file"), "upload_failed"),
    (error(422, "File checksum mismatch"), "device_refused"),
    (error(401), "invalid_auth"),
]


@pytest.mark.parametrize(("answer", "code"), UPLOADS)
async def test_an_upload_that_is_not_kept_whole_has_failed(answer: web.Response, code: str) -> None:
    """Whatever status the server answered with."""
    async with serving(anything=answer) as url, ClientSession() as session:
        with pytest.raises(DeviceError) as raised:
            await build(Moonraker, {"url": url}, session).upload("a.gcode", in_pieces(b"G28\n"))
    assert raised.value.code == code


async def test_what_a_full_disk_holds_of_a_file_is_removed_and_never_has_its_name() -> None:
    """Moonraker leaves the half that fitted, which a person could start."""
    asked: list[tuple[str, str]] = []

    async def full(request: web.Request) -> web.Response:
        asked.append((request.method, request.path))
        await request.read()
        return error(500)

    async with serving(anything=full) as url, ClientSession() as session:
        with pytest.raises(DeviceError):
            await build(Moonraker, {"url": url}, session).upload("a.gcode", in_pieces(b"G28\n"))
    stored, removed = asked
    assert stored == ("POST", "/server/files/upload")
    assert removed[0] == "DELETE"
    assert removed[1].startswith("/server/files/gcodes/a.gcode.")
    assert removed[1].endswith(".part")


async def test_an_upload_to_nobody_cannot_be_connected() -> None:
    """Nothing of it was sent."""
    async with ClientSession() as session:
        driver = build(Moonraker, {"url": "http://127.0.0.1:9"}, session)
        with pytest.raises(DeviceError) as raised:
            await driver.upload("a.gcode", in_pieces(b"G28\n"))
    assert raised.value.code == "cannot_connect"


async def test_a_file_that_is_too_large_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of it is sent."""
    monkeypatch.setattr("brain_server.lan.MAX_UPLOAD", 10)
    async with ClientSession() as session:
        driver = build(Moonraker, {"url": "http://127.0.0.1:9"}, session)
        with pytest.raises(InvalidRequest) as raised:
            await driver.upload("a.gcode", in_pieces(bytes(11)))
    assert raised.value.code == "file_too_large"


# -- a certificate that it made itself ----------------------------------------------------------------


@contextmanager
def self_made(folder: Path) -> Iterator[ssl.SSLContext]:
    """Give a certificate that nobody vouches for."""
    names = (folder / "key.pem", folder / "cert.pem")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *(
                "-nodes",
                "-keyout",
                names[0],
                "-out",
                names[1],
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(names[1], names[0])
    yield context


@pytest.mark.parametrize(("verify", "works"), [(True, False), (False, True)])
async def test_a_self_made_certificate_is_taken_where_a_person_said_so(
    tmp_path: Path, verify: bool, works: bool
) -> None:
    """And only there: for the calls and for the socket."""
    socket = answering(status=STANDBY, states=["ready"], history={"result": {"jobs": []}})

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/websocket":
            return await socket(request)
        return info()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with self_made(tmp_path) as context:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    options = {"url": f"https://127.0.0.1:{runner.addresses[0][1]}", "verify_ssl": verify}
    try:
        async with watching(Moonraker, options) as watch:
            seen = await watch.until(lambda _: True)
    finally:
        await runner.cleanup()
    assert (seen.online is OnlineState.ONLINE) is works
