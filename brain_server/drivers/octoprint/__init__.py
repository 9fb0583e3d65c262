"""OctoPrint: REST for orders and files, its push socket for everything that is observed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import ClassVar, Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    ConnectionTimeoutError,
    FormData,
    WSMsgType,
)
from yarl import URL

from brain_server.drivers import (
    PRINTER,
    DeviceInfo,
    Driver,
    DriverContext,
    Observation,
    Option,
    OptionType,
    Order,
    Outcome,
    Publisher,
    Stored,
)
from brain_server.drivers.octoprint.printer import Printer, SerialLog
from brain_server.drivers.octoprint.wire import (
    Path,
    error_text,
    paths,
    request_for,
    subscription,
    unknown,
)
from brain_server.errors import DeviceError
from brain_server.lan import LOOPBACK, PICTURES, Spool, address, file_name, parsed, read, record
from brain_server.protocol import INTENTS, CommandStatus, Json, Kind, OnlineState
from brain_server.retry import backoff

PICTURE_S: Final = 5.0
GCODE_WAIT_S: Final = INTENTS["gcode"].deadline

_TRANSFER: Final = ClientTimeout(total=1800, connect=5, sock_read=120)
_HEARTBEAT_S: Final = 20.0
_MAX_ANSWER: Final = 16 * 1024 * 1024
_MAX_PICTURE: Final = 8 * 1024 * 1024


class OctoPrint(Driver):
    """One printer behind one OctoPrint server."""

    name: ClassVar[str] = "octoprint"
    title: ClassVar[str] = "OctoPrint"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="url",
            label="Address",
            help="As in the browser, for example http://octopi.local",
            type=OptionType.URL,
        ),
        Option(
            name="api_key",
            label="API key",
            help="In OctoPrint: user settings, Application Keys",
            type=OptionType.SECRET,
        ),
        Option(
            name="camera_url",
            label="Camera picture address",
            help="Only where the camera is not on the host of OctoPrint itself",
            type=OptionType.URL,
            required=False,
        ),
        Option(
            name="verify_ssl",
            label="Check the certificate",
            help="Turn off for an https address with a self-signed certificate",
            type=OptionType.BOOLEAN,
            required=False,
            default=True,
        ),
    )
    profile: ClassVar[tuple[Option, ...]] = PRINTER
    call_timeout_s: ClassVar[float] = 20.0
    order_timeout_s: ClassVar[float] = 20.0
    key_check_s: ClassVar[float] = 60.0
    hello_s: ClassVar[float] = 15.0
    settle_s: ClassVar[float] = 5.0

    def __init__(self, context: DriverContext) -> None:
        """Take up the job that the last state tells of."""
        super().__init__(context)
        self._printer = Printer(context.now, self._changed, context.last_state)
        self._publisher = Publisher(context)
        self._serial_log = SerialLog()
        self._socket: ClientWebSocketResponse | None = None
        self._news = asyncio.Event()
        self._reason = ""

    async def probe(self) -> DeviceInfo:
        """Check address and key, and read name, version and camera; see :meth:`Driver.probe`."""
        base = self._base
        try:
            version = (await self._ask("GET", ("version",)))["server"]
            await self._log_in()
        except (KeyError, DeviceError) as err:
            if isinstance(err, DeviceError) and err.code != "device_refused":
                raise
            raise DeviceError(
                "cannot_connect", "That address does not answer as OctoPrint"
            ) from err
        settings = await self._settings()
        name = record(settings.get("appearance")).get("name")
        return DeviceInfo(
            external_id=f"{base.host}:{base.port}{base.path.rstrip('/')}",
            name=name or f"OctoPrint {base.host}",
            kind=Kind.PRINTER,
            capabilities=frozenset(
                {"print_start", "print_pause", "print_resume", "print_cancel", "heat", "gcode"}
            ),
            sw_version=f"OctoPrint {version}",
            has_camera=self._picture_url(settings) is not None,
        )

    async def run(self) -> None:
        """Follow the push socket; see :meth:`Driver.run`."""
        waits = backoff()
        try:
            while True:
                self._reason = "cannot_connect"
                try:
                    await self._follow()
                    waits = backoff()
                except DeviceError as err:
                    self._reason = err.code
                self._publisher.offer(Observation(online=OnlineState.OFFLINE, reason=self._reason))
                await asyncio.sleep(next(waits))
        finally:
            self._publisher.stop()

    async def execute(self, order: Order) -> Outcome | None:
        """Send one order once; see :meth:`Driver.execute`."""
        path, body = request_for(order)
        match order.intent:
            case "gcode":
                return await self._script(path, body)
            case "print_start":
                # While a last job's end script runs, OctoPrint refuses the next one.
                await self._settled(lambda: not self._printer.ending)
            case "print_pause":
                # OctoPrint accepts a pause of a starting print, and then forgets it.
                await self._settled(lambda: not self._printer.starting)
            case "print_resume":
                # It accepts this while still pausing, too, and then pauses.
                await self._settled(lambda: not self._printer.pausing)
        events = self._printer.events
        outcome = await self._send(path, body)
        if outcome is None and self._printer.events == events:
            self._printer.accepted(order.intent)
        return outcome

    def confirms(self, order: Order, before: Json, after: Json) -> bool | None:
        """Judge as usual, but for a resume not by the printing that goes on before a pause."""
        if order.intent == "print_resume" and self._printer.pausing:
            return False
        return super().confirms(order, before, after)

    async def snapshot(self) -> bytes:
        """Return the camera's picture, from a host that the person who added the device named."""
        url = self._picture_url(await self._settings())
        if url is None:
            raise DeviceError("no_camera", "OctoPrint names no camera on its own host")
        try:
            async with self.context.session.get(
                url,
                timeout=ClientTimeout(total=PICTURE_S),
                allow_redirects=False,
                ssl=self._verify_ssl,
            ) as response:
                picture = await read(response, _MAX_PICTURE)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("camera_failed", "The camera does not answer") from err
        good = response.status == HTTPStatus.OK and picture.startswith(PICTURES)
        if not good or len(picture) > _MAX_PICTURE:
            raise DeviceError("camera_failed", "The camera's answer is not a picture")
        return picture

    async def refresh(self) -> None:
        """Publish what OctoPrint pushed last."""
        self._publisher.again()

    async def files(self) -> list[str]:
        """Return the paths of the print files that OctoPrint holds."""
        answer = await self._ask("GET", ("files", "local"), query={"recursive": "true"})
        return sorted(paths(answer))

    async def about(self, name: str) -> Stored | None:
        """Return what OctoPrint tells of a file."""
        found = await self._ask("GET", ("files", "local", *name.split("/")))
        return Stored.of(found.get("size"), found.get("date"))

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Store a file, read back that all of it is there, and return the name it was given."""
        safe = file_name(name)
        # OctoPrint answers a chunked upload with 411, so the length must be known: through a file.
        async with Spool.of(content) as spool:
            form = FormData(quote_fields=False)
            form.add_field("file", spool, filename=safe, content_type="application/octet-stream")
            answer = await self._sent(form)
        stored = record(record(answer.get("files")).get("local")).get("path")
        if not isinstance(stored, str):
            raise DeviceError("upload_failed", "OctoPrint did not say where it put the file")
        found = await self._ask("GET", ("files", "local", *stored.split("/")))
        if found.get("size") != spool.size:
            raise DeviceError("upload_failed", "OctoPrint did not keep the whole file")
        return stored

    async def _sent(self, form: FormData) -> Json:
        """Send a file; DeviceError ``upload_failed`` where it broke off or there is no room."""
        try:
            status, answer = await self._request(
                "POST", ("files", "local"), data=form, limit=_TRANSFER
            )
        except (ClientConnectorError, ConnectionTimeoutError) as err:
            raise DeviceError("cannot_connect", "OctoPrint does not answer") from err
        except (ClientError, TimeoutError) as err:
            raise DeviceError("upload_failed", "The file could not be sent whole") from err
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise DeviceError("upload_failed", error_text(status, answer))
        await self._check("POST", status, answer)
        return answer

    async def _follow(self) -> None:
        """Stay on the push socket until it ends; DeviceError when it cannot be had."""
        auth = await self._log_in()
        self._printer.connecting()
        try:
            async with (
                asyncio.timeout(self.hello_s) as hello,
                self.context.session.ws_connect(
                    self._base / "sockjs" / "websocket",
                    heartbeat=_HEARTBEAT_S,
                    timeout=ClientWSTimeout(ws_close=2.0),
                    ssl=self._verify_ssl,
                ) as socket,
            ):
                self._socket = socket
                await socket.send_json({"auth": auth})
                await socket.send_json({"throttle": 2})
                await socket.send_json(subscription(logs=False))
                await self._listen(socket, hello)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("cannot_connect", "OctoPrint's push socket is not there") from err
        finally:
            self._socket = None
            self._news.set()

    async def _listen(self, socket: ClientWebSocketResponse, hello: asyncio.Timeout) -> None:
        """Take messages until the socket ends; ``hello`` is called off by the first state."""
        loop = asyncio.get_running_loop()
        check_key_at = loop.time() + self.key_check_s
        async for frame in socket:
            message = record(parsed(frame.data)) if frame.type is WSMsgType.TEXT else {}
            if "reauthRequired" in message:
                return
            if "history" in message:
                hello.reschedule(None)
            self._printer.hear(message)
            self._serial_log.hear(message)
            if loop.time() >= check_key_at:
                check_key_at = loop.time() + self.key_check_s
                await self._key_works()

    def _changed(self) -> None:
        self._publisher.offer(self._printer.observation())
        self._news.set()

    async def _settled(self, ready: Callable[[], bool]) -> None:
        """Wait a moment until the printer is out of a state between two; DeviceError if it stays in it."""
        try:
            async with asyncio.timeout(self.settle_s):
                while self._socket is not None and not ready():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as err:
            raise DeviceError("device_refused", "The printer is busy changing its state") from err

    async def _send(self, path: Path, body: Json) -> Outcome | None:
        """Send an order in one request that is never repeated."""
        limit = ClientTimeout(total=self.order_timeout_s, connect=5)
        try:
            status, answer = await self._request("POST", path, body, limit=limit)
        except (ClientConnectorError, ConnectionTimeoutError) as err:
            raise DeviceError("cannot_connect", "OctoPrint does not answer") from err
        except (ClientError, TimeoutError) as err:
            return unknown(f"No answer to the order: {type(err).__name__}")
        # A 503 comes from a proxy without a server behind it, or from an OctoPrint still starting.
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
            return unknown(error_text(status, answer))
        await self._check("POST", status, answer)
        return None

    async def _script(self, path: Path, body: Json) -> Outcome | None:
        """Send G-code; done is when the serial log shows its last line sent and answered."""
        socket = self._socket
        if socket is None:
            raise DeviceError("cannot_connect", "OctoPrint's push socket is not there")
        outcome = None
        async with self._serial_log.expect(body["commands"]) as seen:
            try:
                await socket.send_json(subscription(logs=True))
                outcome = await self._send(path, body)
                async with asyncio.timeout(GCODE_WAIT_S):
                    await seen.wait()
            except ClientError as err:
                raise DeviceError("cannot_connect", "OctoPrint's push socket broke") from err
            except TimeoutError:
                return outcome or unknown("Not seen on the printer's serial line")
            finally:
                with suppress(ClientError):
                    await socket.send_json(subscription(logs=False))
        return Outcome(status=CommandStatus.ACKED)

    async def _log_in(self) -> str:
        """Return what the push socket wants as ``auth``."""
        answer = await self._ask("POST", ("login",), {"passive": True})
        name, session = answer.get("name"), answer.get("session")
        if name is None and "name" in answer:
            raise DeviceError("invalid_auth", "OctoPrint does not know this API key")
        if not isinstance(name, str) or not isinstance(session, str):
            raise DeviceError("cannot_connect", "That address does not answer as OctoPrint")
        return f"{name}:{session}"

    async def _settings(self) -> Json:
        """Return OctoPrint's settings, or nothing where the key may not read them."""
        try:
            return await self._ask("GET", ("settings",))
        except DeviceError as err:
            if err.code == "cannot_connect":
                raise
            return {}

    def _picture_url(self, settings: Json) -> URL | None:
        """Return where a picture may be had: the option, or OctoPrint's own on OctoPrint's host."""
        if wanted := self.context.options.get("camera_url"):
            return address(wanted, "camera_url")
        named = record(settings.get("webcam")).get("snapshotUrl")
        if not isinstance(named, str) or not named:
            return None
        with suppress(ValueError):
            url = self._base.join(URL(named))
            # OctoPrint's localhost is the machine that OctoPrint runs on, not this one.
            if url.host in LOOPBACK and self._base.host is not None:
                url = url.with_host(self._base.host)
            if url.scheme in {"http", "https"} and url.host == self._base.host:
                return url
        return None

    async def _key_works(self) -> bool:
        """Say whether the key is still good; if certainly not, end the push socket too."""
        try:
            await self._ask("GET", ("version",))
        except DeviceError as err:
            if err.code != "invalid_auth":
                return True
            self._reason = err.code
            if self._socket is not None:
                await self._socket.close()
            return False
        return True

    async def _check(self, method: str, status: int, answer: Json) -> None:
        """Raise DeviceError for an answer that is a refusal."""
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        # To a POST with a key that it does not know, OctoPrint says 400 "CSRF validation failed".
        doubtful = method == "POST" and status in {400, 401, 403}
        if (doubtful and not await self._key_works()) or status in {401, 403}:
            raise DeviceError("invalid_auth", "OctoPrint does not accept the API key for this")
        if status == HTTPStatus.SERVICE_UNAVAILABLE or status < HTTPStatus.BAD_REQUEST:
            raise DeviceError("cannot_connect", f"OctoPrint is not at this address: HTTP {status}")
        raise DeviceError("device_refused", error_text(status, answer))

    async def _ask(
        self,
        method: str,
        path: Path,
        body: Json | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> Json:
        """Make a call that is not an order and return the answer; DeviceError otherwise."""
        limit = ClientTimeout(total=self.call_timeout_s, connect=5)
        try:
            status, answer = await self._request(method, path, body, query=query, limit=limit)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("cannot_connect", "OctoPrint does not answer") from err
        await self._check(method, status, answer)
        return answer

    async def _request(
        self,
        method: str,
        path: Path,
        body: Json | None = None,
        *,
        data: FormData | None = None,
        query: dict[str, str] | None = None,
        limit: ClientTimeout,
    ) -> tuple[int, Json]:
        """Make one HTTP call and return its status and, where that is JSON, its answer."""
        async with self.context.session.request(
            method,
            self._base.joinpath("api", *path),
            params=query,
            json=body,
            data=data,
            # A connection of its own: on a kept one that the server has just closed, nobody could
            # tell whether the order had arrived.
            headers={"X-Api-Key": self.context.options["api_key"], "Connection": "close"},
            timeout=limit,
            allow_redirects=False,
            ssl=self._verify_ssl,
        ) as response:
            return response.status, record(parsed(await read(response, _MAX_ANSWER)))

    @property
    def _base(self) -> URL:
        return address(self.context.options["url"], "url").with_query(None).with_fragment(None)

    @property
    def _verify_ssl(self) -> bool:
        return self.context.options.get("verify_ssl") is not False
