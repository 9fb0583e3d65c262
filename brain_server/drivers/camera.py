"""A camera on the network: one JPEG at an address, a stream of them (MJPEG), or video (RTSP)."""

import asyncio
from base64 import b64encode
from hashlib import sha256
from typing import Any, ClassVar, Final
from urllib.parse import quote

from aiohttp import (
    ClientConnectorCertificateError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientTimeout,
    DigestAuthMiddleware,
    StreamReader,
)
from yarl import URL

from brain_server.drivers import (
    DeviceInfo,
    Driver,
    DriverContext,
    Observation,
    Option,
    OptionType,
    Order,
    Outcome,
)
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import Kind, OnlineState
from brain_server.vision_worker.child import Child
from brain_server.vision_worker.wire import Look, Seen

SCHEMES: Final = frozenset({"http", "https", "rtsp", "rtsps"})
PORTS: Final = {"rtsp": 554, "rtsps": 322}
MOST_BYTES: Final = 16 * 1024 * 1024
# Shorter than what those who look have patience for, so that they hear why there is no picture.
PICTURE_S: Final = 8.0
KNOCK_S: Final = 5.0
LOOK_EVERY_S: Final = 60.0
# A stream stays open for so long after somebody looked.
IDLE_S: Final = 10.0
_HEADERS_MOST: Final = 8192
_STARTS: Final = (b"\xff\xd8\xff", b"\x89PNG")


class Camera(Driver):
    """One camera; nothing is asked of it but to knock at its door, unless somebody looks."""

    name: ClassVar[str] = "camera"
    title: ClassVar[str] = "Network camera"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="url",
            label="Address",
            help="http(s):// of one picture or of an MJPEG stream, or rtsp(s)://",
            type=OptionType.URL,
        ),
        Option(name="user", label="User", help="Where the camera wants one", required=False),
        Option(
            name="password",
            label="Password",
            help="Sent in the way that the camera asks for",
            type=OptionType.SECRET,
            required=False,
        ),
        Option(
            name="verify_ssl",
            label="Check the certificate",
            help="Off for a camera with a self-signed certificate",
            type=OptionType.BOOLEAN,
            required=False,
            default=True,
        ),
    )
    look_every_s: ClassVar[float] = LOOK_EVERY_S

    def __init__(self, context: DriverContext) -> None:
        """Connect to nothing yet."""
        super().__init__(context)
        self._url = str(context.options["url"])
        self._user = str(context.options.get("user") or "")
        self._password = str(context.options.get("password") or "")
        self._verify = context.options.get("verify_ssl") is not False
        self._child = Child(idle_s=IDLE_S)
        self._shown: Observation | None = None

    async def probe(self) -> DeviceInfo:
        """Take one picture; see :meth:`Driver.probe`."""
        url = self._address()
        try:
            await self._picture(url)
        except DeviceError as err:
            if err.code in {"cannot_connect", "invalid_auth"}:
                raise
            raise DeviceError("cannot_connect", err.message) from err
        finally:
            await self._child.stop()
        return DeviceInfo(
            # An address may hold a key, and an id is shown.
            external_id=sha256(self._url.encode()).hexdigest()[:32],
            name=f"Camera {url.host}",
            kind=Kind.CAMERA,
            capabilities=frozenset(),
            has_camera=True,
        )

    async def run(self) -> None:
        """Knock now and then; see :meth:`Driver.run`."""
        try:
            while True:
                await self.refresh()
                await asyncio.sleep(self.look_every_s)
        finally:
            await self._child.stop()

    async def refresh(self) -> None:
        """Publish whether somebody opens where the camera lives."""
        try:
            url = self._address()
            async with asyncio.timeout(KNOCK_S):
                port = url.port or PORTS[url.scheme]
                _reader, writer = await asyncio.open_connection(url.host, port)
            writer.close()
        except OSError, TimeoutError, InvalidRequest:
            self._show("cannot_connect")
        else:
            self._show(None)

    async def execute(self, order: Order) -> Outcome | None:
        """Refuse: a camera can do nothing."""
        raise DeviceError("not_supported", "A camera can only look", intent=order.intent)

    async def snapshot(self) -> bytes:
        """Return one picture, taken now; DeviceError when the camera gives none."""
        try:
            image = await self._picture(self._address())
        except DeviceError as err:
            if err.code in {"cannot_connect", "invalid_auth"}:
                self._show(err.code)
            raise
        self._show(None)
        return image

    def _show(self, away: str | None) -> None:
        """Publish what is new about whether it answers."""
        online = OnlineState.ONLINE if away is None else OnlineState.OFFLINE
        seen = Observation(online=online, reason=away)
        if seen != self._shown:
            self._shown = seen
            self.context.publish(seen)

    def _address(self) -> URL:
        try:
            url = URL(self._url)
        except ValueError:
            url = URL()
        if url.scheme not in SCHEMES or not url.host:
            raise InvalidRequest("invalid_option", "This is no address of a camera", field="url")
        return url

    async def _picture(self, url: URL) -> bytes:
        if url.scheme in PORTS:
            return await self._of_video(url)
        try:
            async with asyncio.timeout(PICTURE_S):
                return await self._of_web(url)
        except TimeoutError as err:
            raise DeviceError("no_picture", "The camera did not answer in time") from err
        except ClientConnectorCertificateError as err:
            raise DeviceError(
                "cannot_connect", "The certificate of the camera is not trusted"
            ) from err
        except ClientPayloadError as err:
            raise DeviceError("camera_failed", "The picture broke off") from err
        except (ClientError, OSError, ValueError) as err:
            raise DeviceError("cannot_connect", "The camera does not answer") from err

    # -- video ----------------------------------------------------------------------------------------

    async def _of_video(self, url: URL) -> bytes:
        address = str(url)
        if self._user:
            place = address.partition("://")[2].rpartition("@")[2]
            person = f"{quote(self._user, safe='')}:{quote(self._password, safe='')}"
            address = f"{url.scheme}://{person}@{place}"
        look = Look(url=address, verify_ssl=self._verify, seconds=PICTURE_S)
        return (await self._child.ask(look, Seen, PICTURE_S)).image

    # -- pictures -------------------------------------------------------------------------------------

    async def _of_web(self, url: URL) -> bytes:
        """Ask without a password first, and then as the camera wants to be asked."""
        async with self._get(url) as response:
            challenge = response.headers.get("WWW-Authenticate", "").casefold()
            if response.status != 401 or not self._user:
                return await _read(response)
        person = b64encode(f"{self._user}:{self._password}".encode()).decode()
        more: dict[str, Any] = {"headers": {"Authorization": f"Basic {person}"}}
        if challenge.startswith("digest"):
            more = {"middlewares": (DigestAuthMiddleware(self._user, self._password),)}
        async with self._get(url, **more) as response:
            return await _read(response)

    def _get(self, url: URL, **more: Any) -> Any:
        limits = ClientTimeout(total=None, sock_connect=KNOCK_S)
        return self.context.session.get(
            url, timeout=limits, ssl=self._verify, allow_redirects=False, **more
        )


async def _read(response: ClientResponse) -> bytes:
    """Return the picture of an answer, or the first one of a stream."""
    if response.status in {401, 403}:
        raise DeviceError("invalid_auth", "The camera does not take this user or password")
    if response.status != 200:
        raise DeviceError("camera_failed", f"The camera answered with status {response.status}")
    if response.content_type.startswith("multipart/"):
        image = await first_part(response.content)
    else:
        image = await _whole(response.content)
    if not image.startswith(_STARTS):
        raise DeviceError("camera_failed", "What the camera sent is no picture")
    return image


async def _whole(stream: StreamReader) -> bytes:
    found = bytearray()
    async for chunk in stream.iter_any():
        found += chunk
        _bounded(found)
    return bytes(found)


async def first_part(stream: StreamReader) -> bytes:
    """Return the first whole part of ``multipart/x-mixed-replace``, with or without its length.

    The line before the headers is the boundary, whatever the answer called it: cameras differ in its dashes.
    """
    head, rest = await _until(stream, b"", b"\r\n\r\n", _HEADERS_MOST)
    boundary, *lines = head.strip().split(b"\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    if (length := fields.get(b"content-length", b"")).isdigit():
        found = bytearray(rest)
        while len(found) < min(int(length), MOST_BYTES + 1):
            if not (chunk := await stream.readany()):
                raise DeviceError("camera_failed", "The picture broke off")
            found += chunk
        del found[int(length) :]
        _bounded(found)
        return bytes(found)
    image, _ = await _until(stream, rest, b"\r\n" + boundary, MOST_BYTES)
    return image


async def _until(stream: StreamReader, begun: bytes, mark: bytes, most: int) -> tuple[bytes, bytes]:
    """Read until a mark; returns what is before it and what is behind it."""
    found = bytearray(begun)
    searched = 0
    while (at := found.find(mark, searched)) < 0:
        searched = max(0, len(found) - len(mark))
        if len(found) > most:
            raise DeviceError("camera_failed", "The camera's stream makes no sense")
        if not (chunk := await stream.readany()):
            raise DeviceError("camera_failed", "The picture broke off")
        found += chunk
    return bytes(found[:at]), bytes(found[at + len(mark) :])


def _bounded(found: bytearray) -> None:
    if len(found) > MOST_BYTES:
        raise DeviceError("camera_failed", "The picture is too large")
