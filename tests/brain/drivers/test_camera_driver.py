"""Cameras on the network: one picture, a stream of pictures, and video."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
import os
from pathlib import Path
import signal
import socket
import subprocess

from aiohttp import ClientSession
from aiohttp.web import Response
import pytest

from brain_server.drivers import Order
from brain_server.drivers.camera import MOST_BYTES, Camera
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import Json, Kind, OnlineState
from tests.brain.drivers.watch import build, watching
from tests.brain.home import until
from tests.standins.mjpeg_camera import MjpegCamera, jpeg, scene
from tests.standins.rtsp_camera import PYTHON, RtspCamera, is_installed
from tests.standins.web import serving

JPEG = b"\xff\xd8\xff"


@pytest.fixture
async def web() -> AsyncIterator[MjpegCamera]:
    """Give a camera with a web server."""
    async with MjpegCamera.serving() as made:
        yield made


@asynccontextmanager
async def driver(url: str, **options: str | bool) -> AsyncIterator[Camera]:
    """Give the driver of an address."""
    async with ClientSession() as session:
        made = build(Camera, {"url": url} | options, session)
        assert isinstance(made, Camera)
        try:
            yield made
        finally:
            await made._child.stop()


async def refusal(url: str, **options: str | bool) -> str:
    """Ask for a picture that there is not, and return why."""
    async with driver(url, **options) as camera:
        with pytest.raises(DeviceError) as caught:
            await camera.snapshot()
    return caught.value.code


def lives(pid: int) -> bool:
    """Tell whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


# -- pictures over HTTP -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["picture.jpg", "stream"])
async def test_a_picture_is_the_one_that_the_camera_shows_now(web: MjpegCamera, path: str) -> None:
    async with driver(f"{web.url}/{path}") as camera:
        first = await camera.snapshot()
        web.picture = lambda: jpeg(scene(3))
        second = await camera.snapshot()
    assert first == jpeg(scene())
    assert second == jpeg(scene(3))


async def test_a_stream_without_lengths_is_cut_at_its_boundary(web: MjpegCamera) -> None:
    web.sends_length = False
    async with driver(f"{web.url}/stream") as camera:
        assert await camera.snapshot() == jpeg(scene())


async def test_a_stream_is_let_go_when_nobody_looks(web: MjpegCamera) -> None:
    async with driver(f"{web.url}/stream") as camera:
        await camera.snapshot()
        await until(lambda: web.open == 0, "the end of the stream")


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("path", ["picture.jpg", "stream"])
async def test_a_password_is_given_in_the_way_that_is_asked_for(
    web: MjpegCamera, path: str, digest: bool
) -> None:
    web.user, web.password, web.digest = "ada", "pa,ss:word", digest
    async with driver(f"{web.url}/{path}", user="ada", password="pa,ss:word") as camera:
        assert await camera.snapshot() == jpeg(scene())
    assert web.authorized[0] == ""
    assert not digest or not any("Basic" in one for one in web.authorized)


async def test_a_camera_sends_nobody_to_another_place(web: MjpegCamera) -> None:
    """What it names may be any machine of the house, this one too, and none of them is told a password."""
    away = Response(status=302, headers={"Location": f"{web.url}/picture.jpg"})
    async with serving(anything=away) as elsewhere:
        assert await refusal(f"{elsewhere}/x", user="ada", password="right") == "camera_failed"
    assert web.authorized == []


@pytest.mark.parametrize("digest", [False, True])
async def test_a_wrong_password_is_told_from_a_wrong_address(
    web: MjpegCamera, digest: bool
) -> None:
    web.user, web.password, web.digest = "ada", "right", digest
    assert await refusal(f"{web.url}/picture.jpg", user="ada", password="wrong") == "invalid_auth"
    assert await refusal(f"{web.url}/picture.jpg") == "invalid_auth"


@pytest.mark.parametrize("path", ["picture.jpg", "stream"])
@pytest.mark.parametrize("length", [False, True])
async def test_half_a_picture_is_no_picture(web: MjpegCamera, path: str, length: bool) -> None:
    web.breaks_off, web.sends_length = True, length
    assert await refusal(f"{web.url}/{path}") == "camera_failed"


async def test_what_is_no_picture_is_not_taken_for_one() -> None:
    async with serving(page=Response(text="<html>"), gone=Response(status=500)) as url:
        assert await refusal(f"{url}/page") == "camera_failed"
        assert await refusal(f"{url}/gone") == "camera_failed"


@pytest.mark.parametrize("path", ["picture.jpg", "stream"])
async def test_a_picture_without_end_is_given_up(web: MjpegCamera, path: str) -> None:
    web.picture = lambda: JPEG + bytes(MOST_BYTES + 10)
    assert await refusal(f"{web.url}/{path}") == "camera_failed"


async def test_a_stream_that_never_comes_to_a_picture_is_given_up(web: MjpegCamera) -> None:
    web.sends_length = False
    web.picture = lambda: JPEG + bytes(MOST_BYTES + 100_000)
    assert await refusal(f"{web.url}/stream") == "camera_failed"


async def test_a_camera_that_hangs_is_given_up(
    web: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.drivers.camera.PICTURE_S", 0.2)
    web.hangs = True
    assert await refusal(f"{web.url}/picture.jpg") == "no_picture"


async def test_an_address_where_nobody_is_cannot_be_connected() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert await refusal(f"http://127.0.0.1:{port}/picture.jpg") == "cannot_connect"


# -- adding one, and following it ---------------------------------------------------------------------


async def test_a_camera_describes_itself_without_showing_its_address(web: MjpegCamera) -> None:
    async with driver(f"{web.url}/picture.jpg?key=secret") as camera:
        first, again = await camera.probe(), await camera.probe()
    assert first == again
    assert (first.kind, first.has_camera, first.capabilities) == (Kind.CAMERA, True, frozenset())
    assert first.name == "Camera 127.0.0.1"
    assert "secret" not in repr(first)


@pytest.mark.parametrize("url", ["camera", "ftp://camera/x", "http://", "http://[", "rtsp:///live"])
async def test_what_is_no_address_is_named_as_the_wrong_field(url: str) -> None:
    async with driver(url) as camera:
        with pytest.raises(InvalidRequest) as caught:
            await camera.probe()
    assert (caught.value.code, caught.value.fields["field"]) == ("invalid_option", "url")


async def test_an_address_without_a_picture_is_not_added(web: MjpegCamera) -> None:
    async with driver(f"{web.url}/other") as camera:
        with pytest.raises(DeviceError) as caught:
            await camera.probe()
    assert caught.value.code == "cannot_connect"


async def test_a_camera_with_a_wrong_password_is_not_added(web: MjpegCamera) -> None:
    web.user, web.password = "ada", "right"
    async with driver(f"{web.url}/picture.jpg") as camera:
        with pytest.raises(DeviceError) as caught:
            await camera.probe()
    assert caught.value.code == "invalid_auth"


async def test_a_camera_is_online_while_somebody_opens(web: MjpegCamera) -> None:
    async with watching(Camera, {"url": f"{web.url}/picture.jpg"}) as watch:
        await watch.online()
    assert web.asked == []  # no picture is taken that nobody wants


async def test_a_camera_that_went_away_comes_back(
    web: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/picture.jpg"
    monkeypatch.setattr(Camera, "look_every_s", 0.05)
    options: Json = {"url": dead}
    async with watching(Camera, options) as watch:
        gone = await watch.offline()
        camera = watch.driver
        assert isinstance(camera, Camera)
        camera._url = f"{web.url}/picture.jpg"
        await watch.online()
    assert gone.reason == "cannot_connect"


async def test_a_picture_tells_whether_the_camera_answers(web: MjpegCamera) -> None:
    web.user, web.password = "ada", "right"
    async with watching(Camera, {"url": f"{web.url}/picture.jpg"}) as watch:
        await watch.online()
        with pytest.raises(DeviceError):
            await watch.driver.snapshot()
        gone = await watch.offline()
        web.user = ""
        await watch.driver.snapshot()
        await watch.online()
    assert (gone.online, gone.reason) == (OnlineState.OFFLINE, "invalid_auth")


async def test_a_camera_can_do_nothing() -> None:
    async with driver("http://camera/picture.jpg") as camera:
        with pytest.raises(DeviceError) as caught:
            await camera.execute(Order(command_id="1", intent="light_on", params={}))
    assert caught.value.code == "not_supported"


# -- video --------------------------------------------------------------------------------------------

video = pytest.mark.skipif(not is_installed(), reason=f"No GStreamer under {PYTHON}")


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspCamera]:
    """Start a camera that only Ada may see."""
    camera = RtspCamera("ada", "pa:ss@word/1")
    camera.start()
    yield camera
    camera.kill()


@video
@pytest.mark.service
async def test_a_picture_of_video_is_taken_when_it_is_asked_for(rtsp: RtspCamera) -> None:
    async with driver(rtsp.url, user="ada", password="pa:ss@word/1") as camera:
        first = await camera.snapshot()
        second = await camera.snapshot()
    assert first.startswith(JPEG)
    assert second.startswith(JPEG)
    assert first != second


@video
@pytest.mark.service
async def test_a_stream_of_video_ends_when_nobody_looks(
    rtsp: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.drivers.camera.IDLE_S", 0.1)
    async with driver(rtsp.url, user="ada", password="pa:ss@word/1") as camera:
        await camera.snapshot()
        pid = camera._child.pid
        assert pid is not None
        await until(lambda: not lives(pid), "the end of the decoder")
        assert (await camera.snapshot()).startswith(JPEG)


@video
@pytest.mark.service
async def test_a_wrong_password_for_video_is_told(rtsp: RtspCamera) -> None:
    assert await refusal(rtsp.url, user="ada", password="wrong") == "invalid_auth"


@video
@pytest.mark.service
async def test_a_camera_that_stops_sending_is_given_up_and_found_again(
    rtsp: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with driver(rtsp.url, user="ada", password="pa:ss@word/1") as camera:
        await camera.snapshot()
        assert rtsp.process is not None
        os.kill(rtsp.process.pid, signal.SIGSTOP)
        monkeypatch.setattr("brain_server.drivers.camera.PICTURE_S", 0.5)
        with pytest.raises(DeviceError) as caught:
            await camera.snapshot()
        os.kill(rtsp.process.pid, signal.SIGCONT)
        monkeypatch.undo()
        assert (await camera.snapshot()).startswith(JPEG)
    assert caught.value.code in {"no_picture", "vision_hung"}


@video
@pytest.mark.service
async def test_a_decoder_that_hangs_is_killed(
    rtsp: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.vision_worker.child.GRACE_S", 0.1)
    async with driver(rtsp.url, user="ada", password="pa:ss@word/1") as camera:
        await camera.snapshot()
        pid = camera._child.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr("brain_server.drivers.camera.PICTURE_S", 0.3)
        with pytest.raises(DeviceError) as caught:
            await camera.snapshot()
        assert not lives(pid)
        monkeypatch.undo()
        assert (await camera.snapshot()).startswith(JPEG)
    assert caught.value.code == "vision_hung"


@video
@pytest.mark.service
async def test_a_decoder_that_crashes_is_said_so_and_started_again(rtsp: RtspCamera) -> None:
    async with driver(rtsp.url, user="ada", password="pa:ss@word/1") as camera:
        await camera.snapshot()
        pid = camera._child.pid
        assert pid is not None
        looking = asyncio.get_running_loop().create_task(camera.snapshot())
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DeviceError) as caught:
            await looking
        assert (await camera.snapshot()).startswith(JPEG)
    assert (caught.value.code, caught.value.fields["ended"]) == ("vision_crashed", "SIGKILL")


@pytest.mark.service
async def test_nobody_at_the_address_of_a_video_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert await refusal(f"rtsp://127.0.0.1:{port}/live") == "cannot_connect"


async def certified(folder: Path, name: str) -> RtspCamera:
    """Return a camera with a certificate that it made itself, for a name or an address."""
    key, certificate, both = folder / "key", folder / "cert", folder / "both"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    about = ["-subj", "/CN=camera", "-addext", f"subjectAltName={name}"]
    where = ["-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(
        subprocess.run, [*command, *about, *where], check=True, capture_output=True
    )
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    camera = RtspCamera("ada", "secret", str(both))
    await asyncio.to_thread(camera.start)
    return camera


PERSON = {"user": "ada", "password": "secret"}


@video
@pytest.mark.service
async def test_a_camera_with_a_certificate_of_its_own_needs_to_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = await certified(tmp_path, "IP:127.0.0.1")
    try:
        assert await refusal(camera.url, **PERSON) == "cannot_connect"
        async with driver(camera.url, verify_ssl=False, **PERSON) as trusting:
            assert (await trusting.snapshot()).startswith(JPEG)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        async with driver(camera.url, **PERSON) as knowing:
            assert (await knowing.snapshot()).startswith(JPEG)
    finally:
        await asyncio.to_thread(camera.kill)


@video
@pytest.mark.service
async def test_a_certificate_of_somebody_else_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = await certified(tmp_path, "DNS:elsewhere")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    try:
        assert await refusal(camera.url, **PERSON) == "cannot_connect"
    finally:
        await asyncio.to_thread(camera.kill)
