"""Moonraker, and Klipper behind it: REST for orders and files, its socket for everything that is observed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
import hashlib
from http import HTTPStatus
from typing import Any, ClassVar, Final
from uuid import uuid4

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
from brain_server.drivers.moonraker.printer import Printer, unknown_command
from brain_server.drivers.moonraker.wire import (
    ECHO,
    HISTORY,
    INFO,
    STATUS,
    Call,
    Path,
    error_text,
    hello,
    history,
    paths,
    request_for,
    rpc,
    runs,
    subscription,
    unknown,
)
from brain_server.errors import DeviceError
from brain_server.lan import LOOPBACK, PICTURES, Spool, address, file_name, parsed, read, record
from brain_server.protocol import INTENTS, CommandStatus, Json, Kind, OnlineState, PrinterStatus
from brain_server.retry import backoff

PICTURE_S: Final = 5.0
GCODE_WAIT_S: Final = INTENTS["gcode"].deadline

_TRANSFER: Final = ClientTimeout(total=1800, connect=5, sock_read=120)
_HEARTBEAT_S: Final = 20.0
_MAX_ANSWER: Final = 16 * 1024 * 1024
_ECHO_S: Final = 2.0
_MAX_PICTURE: Final = 8 * 1024 * 1024
# With these Moonraker is connected to a Klipper that says how it is; otherwise it waits for one.
_THERE: Final = frozenset({"ready", "shutdown", "error"})
# What Moonraker says for an order that Klipper had when it went.
_WENT_WITH_IT: Final = "Klippy Disconnected"


class Moonraker(Driver):
    """One printer behind one Moonraker server."""

    name: ClassVar[str] = "moonraker"
    title: ClassVar[str] = "Klipper (Moonraker)"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="url",
            label="Address",
            help="Of Moonraker itself, for example http://mainsail.local:7125",
            type=OptionType.URL,
        ),
        Option(
            name="api_key",
            label="API key",
            help="Empty where Moonraker trusts this machine (trusted_clients)",
            type=OptionType.SECRET,
            required=False,
        ),
        Option(
            name="camera_url",
            label="Camera picture address",
            help="Only where the camera is not on the host of Moonraker itself",
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
    # How long an order is waited for that will only be answered when a heater is hot.
    queued_s: ClassVar[float] = 2.0
    key_check_s: ClassVar[float] = 60.0
    hello_s: ClassVar[float] = 15.0
    settle_s: ClassVar[float] = 5.0

    def __init__(self, context: DriverContext) -> None:
        """Take up the job that the last state tells of."""
        super().__init__(context)
        self._printer = Printer(context.now, self._changed, context.last_state)
        self._publisher = Publisher(context)
        self._socket: ClientWebSocketResponse | None = None
        self._news = asyncio.Event()
        self._reason = ""
        self._runs: list[Json] = []
        # What Klipper says while a script of ours runs; one script at a time.
        self._script = asyncio.Lock()
        self._said: list[Any] = []
        self._echo = asyncio.Event()

    async def probe(self) -> DeviceInfo:
        """Check address and key, and read version and camera; see :meth:`Driver.probe`."""
        base = self._base
        try:
            version = (await self._info())["moonraker_version"]
        except (KeyError, DeviceError) as err:
            if isinstance(err, DeviceError) and err.code != "device_refused":
                raise
            raise DeviceError(
                "cannot_connect", "That address does not answer as Moonraker"
            ) from err
        return DeviceInfo(
            external_id=f"{base.host}:{base.port}{base.path.rstrip('/')}",
            name=f"Klipper {base.host}",
            kind=Kind.PRINTER,
            capabilities=frozenset(
                {"print_start", "print_pause", "print_resume", "print_cancel", "heat", "gcode"}
            ),
            sw_version=f"Moonraker {version}",
            has_camera=await self._picture_url() is not None,
        )

    async def run(self) -> None:
        """Follow the socket; see :meth:`Driver.run`."""
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
        call = request_for(order)
        if order.intent == "gcode":
            return await self._run_script(call)
        if self._socket is not None and not self._printer.deaf:
            self._sensible(order.intent)
        if order.intent == "print_resume":
            # Klipper would take it for one that comes too early, and then pause.
            await self._settled(lambda: not self._printer.pausing)
        outcome = await self._send(call)
        if outcome is None:
            self._printer.accepted(order.intent)
        return outcome

    def confirms(self, order: Order, before: Json, after: Json) -> bool | None:
        """Judge as usual, but for a resume not by the printing that goes on before a pause."""
        if order.intent == "print_resume" and self._printer.pausing:
            return False
        return super().confirms(order, before, after)

    async def snapshot(self) -> bytes:
        """Return the camera's picture, from a host that the person who added the device named."""
        url = await self._picture_url()
        if url is None:
            raise DeviceError("no_camera", "Moonraker names no camera on its own host")
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
        """Publish what was told last."""
        self._publisher.again()

    async def files(self) -> list[str]:
        """Return the paths of the print files that Moonraker holds."""
        answer = await self._ask("GET", ("server", "files", "list"), query={"root": "gcodes"})
        return sorted(paths(answer.get("result")))

    async def about(self, name: str) -> Stored | None:
        """Return what Moonraker found out about a file; it may have rewritten it before, for its objects."""
        try:
            place = ("server", "files", "metadata")
            found = record((await self._ask("GET", place, query={"filename": name})).get("result"))
        except DeviceError as err:
            if err.code != "device_refused":
                raise
            return None
        return Stored.of(found.get("size"), found.get("modified"))

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Store a file, have Moonraker check that all of it came, and return the name it was given."""
        safe = file_name(name)
        # On a full disk Moonraker leaves the half that fitted. Under this name nothing can be started, and
        # nothing is lost that was there before.
        part = f"{safe}.{uuid4().hex[:8]}.part"
        # Through a file, so that what is too large is known before anything of it is sent.
        async with Spool.of(content) as spool:
            digest = await asyncio.to_thread(hashlib.file_digest, spool, "sha256")
            await asyncio.to_thread(spool.seek, 0)
            form = FormData(quote_fields=False)
            form.add_field("root", "gcodes")
            form.add_field("checksum", digest.hexdigest())
            form.add_field("file", spool, filename=part, content_type="application/octet-stream")
            try:
                await self._send_file(form, spool.size)
                query = {"source": f"gcodes/{part}", "dest": f"gcodes/{safe}"}
                await self._ask("POST", ("server", "files", "move"), query=query)
            except DeviceError:
                with suppress(DeviceError):
                    await self._ask("DELETE", ("server", "files", "gcodes", part))
                raise
        return safe

    async def _send_file(self, form: FormData, size: int) -> None:
        """Send a file; DeviceError ``upload_failed`` where it broke off or there is no room."""
        try:
            status, answer = await self._request(
                "POST", ("server", "files", "upload"), data=form, limit=_TRANSFER
            )
        except (ClientConnectorError, ConnectionTimeoutError) as err:
            raise DeviceError("cannot_connect", "Moonraker does not answer") from err
        except (ClientError, TimeoutError) as err:
            raise DeviceError("upload_failed", "The file could not be sent whole") from err
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DeviceError("upload_failed", error_text(status, answer))
        await self._check(status, answer)
        if record(answer.get("item")).get("size") != size:
            raise DeviceError("upload_failed", "Moonraker did not keep the whole file")

    async def _follow(self) -> None:
        """Stay on the socket until it ends; DeviceError when it cannot be had."""
        await self._info()
        self._printer.connecting()
        try:
            async with (
                asyncio.timeout(self.hello_s) as patience,
                self.context.session.ws_connect(
                    self._base / "websocket",
                    heartbeat=_HEARTBEAT_S,
                    timeout=ClientWSTimeout(ws_close=2.0),
                    headers=self._key,
                    max_msg_size=_MAX_ANSWER,
                    ssl=self._verify_ssl,
                ) as socket,
            ):
                self._socket = socket
                await socket.send_json(hello())
                await socket.send_json(rpc(INFO, "server.info"))
                await self._listen(socket, patience)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("cannot_connect", "Moonraker's socket is not there") from err
        finally:
            self._socket = None
            self._news.set()

    async def _listen(self, socket: ClientWebSocketResponse, patience: asyncio.Timeout) -> None:
        """Take messages until the socket ends; ``patience`` is called off by the first answer."""
        loop = asyncio.get_running_loop()
        check_key_at = loop.time() + self.key_check_s
        async for frame in socket:
            message = record(parsed(frame.data)) if frame.type is WSMsgType.TEXT else {}
            if message.get("id") == INFO:
                patience.reschedule(None)
            if (reply := self._heard(message)) is not None:
                await socket.send_json(reply)
            if loop.time() >= check_key_at:
                check_key_at = loop.time() + self.key_check_s
                await self._key_works()

    def _heard(self, message: Json) -> Json | None:
        """Take one message, and return what is to be asked next."""
        params = message.get("params")
        told = record(params[0]) if isinstance(params, list) and params else {}
        match message.get("method"):
            case None:
                return self._answered(message)
            case "notify_status_update":
                self._printer.update(told)
            case "notify_history_changed":
                self._printer.history(told)
            case "notify_gcode_response" if self._script.locked():
                self._said += params or []
            case "notify_klippy_ready":
                # A Klipper that is new knows nothing of what we subscribed to.
                return rpc(INFO, "server.info")
            case "notify_klippy_disconnected":
                self._printer.lost()
            case "notify_proc_stat_update" if self._printer.deaf:
                # It comes every second; of a Klipper that starts with an error nothing else tells.
                return rpc(INFO, "server.info")
        return None

    def _answered(self, message: Json) -> Json | None:
        """Take an answer; each leads to the next question."""
        match message.get("id"):
            case number if number == INFO:
                state = record(message.get("result")).get("klippy_state")
                if state in _THERE:
                    return history()
                self._printer.absent()
            case number if number == ECHO:
                self._echo.set()
            case number if number == HISTORY:
                self._runs = runs(message)
                return subscription()
            case number if number == STATUS and "result" in message:
                self._printer.whole(record(record(message["result"]).get("status")), self._runs)
        return None

    def _changed(self) -> None:
        self._publisher.offer(self._printer.observation())
        self._news.set()

    def _sensible(self, intent: str) -> None:
        """Refuse what Klipper would accept without doing it, or would do to a print that it was not meant for."""
        if intent in {"print_pause", "print_resume", "print_cancel"} and not self._printer.open:
            raise DeviceError("device_refused", "Nothing is being printed")
        if intent == "print_start" and self._printer.status is PrinterStatus.PAUSED:
            raise DeviceError("device_refused", "A paused print has to be ended first")

    async def _settled(self, ready: Callable[[], bool]) -> None:
        """Wait a moment until the printer is out of a state between two; DeviceError if it stays in it."""
        try:
            async with asyncio.timeout(self.settle_s):
                while self._socket is not None and not ready():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as err:
            raise DeviceError("device_refused", "The printer is busy changing its state") from err

    async def _send(self, call: Call) -> Outcome | None:
        """Send an order in one request that is never repeated."""
        patience = self.queued_s if self._printer.heating else self.order_timeout_s
        try:
            status, answer = await self._post(call, patience)
        except TimeoutError as err:
            # Klipper does one thing after the other: the order stands in its queue.
            return None if self._printer.heating else unknown(f"No answer: {type(err).__name__}")
        except ClientError as err:
            return unknown(f"No answer to the order: {type(err).__name__}")
        return await self._judged(status, answer)

    async def _run_script(self, call: Call) -> Outcome:
        """Send G-code; Klipper answers when its last line was carried out."""
        async with self._script:
            self._said = []
            try:
                status, answer = await self._post(call, GCODE_WAIT_S)
            except (ClientError, TimeoutError) as err:
                return unknown(f"No answer to the order: {type(err).__name__}")
            await self._caught_up()
            said = self._said
        if status == HTTPStatus.BAD_REQUEST:
            # Some of its lines may have been carried out, so this is no refusal.
            return Outcome(status=CommandStatus.FAILED, detail=error_text(status, answer))
        if (outcome := await self._judged(status, answer)) is not None:
            return outcome
        script = str((call.body or {}).get("script", ""))
        if (complaint := unknown_command(said, script)) is not None:
            return Outcome(status=CommandStatus.FAILED, detail=complaint)
        return Outcome(status=CommandStatus.ACKED)

    async def _caught_up(self) -> None:
        """Wait until the socket has told what came before now: an answer over HTTP may overtake it."""
        socket = self._socket
        if socket is None:
            return
        self._echo.clear()
        with suppress(ClientError, TimeoutError):
            async with asyncio.timeout(_ECHO_S):
                await socket.send_json(rpc(ECHO, "server.info"))
                await self._echo.wait()

    async def _post(self, call: Call, patience: float) -> tuple[int, Json]:
        """Send a call that is an order; DeviceError when it certainly did not arrive."""
        try:
            return await self._request(
                "POST",
                call.path,
                call.body,
                query=call.query,
                limit=ClientTimeout(total=patience, connect=5),
            )
        except (ClientConnectorError, ConnectionTimeoutError) as err:
            raise DeviceError("cannot_connect", "Moonraker does not answer") from err

    async def _judged(self, status: int, answer: Json) -> Outcome | None:
        """Tell an order that was taken from one of which nobody knows; DeviceError for a refusal."""
        text = error_text(status, answer)
        gone = status == HTTPStatus.SERVICE_UNAVAILABLE
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and (not gone or text == _WENT_WITH_IT):
            return unknown(text)
        await self._check(status, answer)
        return None

    async def _info(self) -> Json:
        """Return what Moonraker says of itself."""
        return record((await self._ask("GET", ("server", "info"))).get("result"))

    async def _picture_url(self) -> URL | None:
        """Return where a picture may be had: the option, or Moonraker's own on Moonraker's host."""
        if wanted := self.context.options.get("camera_url"):
            return address(wanted, "camera_url")
        try:
            answer = await self._ask("GET", ("server", "webcams", "list"))
        except DeviceError as err:
            if err.code == "cannot_connect":
                raise
            return None
        cameras = record(answer.get("result")).get("webcams")
        for camera in map(record, cameras if isinstance(cameras, list) else []):
            if camera.get("enabled") and (url := self._on_its_host(camera.get("snapshot_url"))):
                return url
        return None

    def _on_its_host(self, named: Any) -> URL | None:
        """Return an address that Moonraker names, where it leads to Moonraker's own host."""
        if not isinstance(named, str) or not named:
            return None
        with suppress(ValueError):
            # Without a host it means the web server in front of Moonraker, on the usual port.
            url = self._base.origin().with_port(None).join(URL(named))
            if url.host in LOOPBACK and self._base.host is not None:
                url = url.with_host(self._base.host)
            if url.scheme in {"http", "https"} and url.host == self._base.host:
                return url
        return None

    async def _key_works(self) -> None:
        """If the key is certainly no longer good, end the socket too: Moonraker would leave it open."""
        with suppress(DeviceError):
            await self._info()

    async def _check(self, status: int, answer: Json) -> None:
        """Raise DeviceError for an answer that is a refusal."""
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status == HTTPStatus.UNAUTHORIZED:
            self._reason = "invalid_auth"
            if self._socket is not None:
                await self._socket.close()
            raise DeviceError("invalid_auth", "Moonraker does not accept the API key")
        if status == HTTPStatus.SERVICE_UNAVAILABLE or status < HTTPStatus.BAD_REQUEST:
            raise DeviceError("cannot_connect", f"Klipper is not there: HTTP {status}")
        raise DeviceError("device_refused", error_text(status, answer))

    async def _ask(self, method: str, path: Path, *, query: dict[str, str] | None = None) -> Json:
        """Make a call that is not an order and return the answer; DeviceError otherwise."""
        limit = ClientTimeout(total=self.call_timeout_s, connect=5)
        try:
            status, answer = await self._request(method, path, query=query, limit=limit)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("cannot_connect", "Moonraker does not answer") from err
        await self._check(status, answer)
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
            self._base.joinpath(*path),
            params=query,
            json=body,
            data=data,
            # A connection of its own: on a kept one that the server has just closed, nobody could
            # tell whether the order had arrived.
            headers=self._key | {"Connection": "close"},
            timeout=limit,
            allow_redirects=False,
            ssl=self._verify_ssl,
        ) as response:
            return response.status, record(parsed(await read(response, _MAX_ANSWER)))

    @property
    def _base(self) -> URL:
        return address(self.context.options["url"], "url").with_query(None).with_fragment(None)

    @property
    def _key(self) -> dict[str, str]:
        key = self.context.options.get("api_key")
        return {"X-Api-Key": key} if key else {}

    @property
    def _verify_ssl(self) -> bool:
        return self.context.options.get("verify_ssl") is not False
