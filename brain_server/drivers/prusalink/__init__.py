"""PrusaLink: its API v1 for orders and files, and a look at its status every second or so, for it pushes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from http import HTTPStatus
import random
from typing import IO, ClassVar, Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponseError,
    ClientTimeout,
    ConnectionTimeoutError,
    DigestAuthMiddleware,
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
from brain_server.drivers.prusalink.printer import ATTENTION, Printer
from brain_server.drivers.prusalink.wire import (
    Call,
    Path,
    Storages,
    calls_for,
    entries,
    error_text,
    first_camera,
    job_file,
    stored_name,
    unknown,
)
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.lan import PICTURES, Spool, address, once, parsed, read, record
from brain_server.protocol import Json, Kind, OnlineState
from brain_server.retry import backoff

PICTURE_S: Final = 8.0

_TRANSFER: Final = ClientTimeout(total=1800, connect=5, sock_read=120)
_MAX_ANSWER: Final = 16 * 1024 * 1024
_MAX_PICTURE: Final = 8 * 1024 * 1024
_MAX_FOLDERS: Final = 100
_JITTER: Final = 0.25
# For so long after an order, its effect is looked for as often as while a job is open.
_EAGER_S: Final = 60.0


class PrusaLink(Driver):
    """One printer behind PrusaLink, on a Raspberry Pi or in the printer itself."""

    name: ClassVar[str] = "prusalink"
    title: ClassVar[str] = "PrusaLink"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="url",
            label="Address",
            help="As in the browser, for example http://prusa-mk4.local",
            type=OptionType.URL,
        ),
        Option(
            name="user",
            label="User",
            help="As the printer shows it under Network, PrusaLink",
            required=False,
            default="maker",
        ),
        Option(
            name="password",
            label="Password",
            help="The printer shows it beside the user; not needed with an API key",
            type=OptionType.SECRET,
            required=False,
        ),
        Option(
            name="api_key",
            label="API key",
            help="Instead of user and password, where PrusaLink has one in its settings",
            type=OptionType.SECRET,
            required=False,
        ),
        Option(
            name="storage",
            label="Storage for uploads",
            help="Left empty: the first that can be written to",
            type=OptionType.SELECT,
            choices=("usb", "local", "sdcard"),
            required=False,
        ),
        Option(
            name="camera_url",
            label="Camera picture address",
            help="Only where the camera is not connected to PrusaLink itself",
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
    order_timeout_s: ClassVar[float] = 20.0
    call_timeout_s: ClassVar[float] = 10.0
    # While a job is open and after an order; and at other times.
    busy_s: ClassVar[float] = 1.0
    idle_s: ClassVar[float] = 6.0
    # A Raspberry Pi shows for 11 s how a print ended, and takes no other until then.
    settle_s: ClassVar[float] = 15.0
    stored_s: ClassVar[float] = 10.0

    def __init__(self, context: DriverContext) -> None:
        """Take up the job that the last state tells of."""
        super().__init__(context)
        self._printer = Printer(context.now, context.last_state)
        self._publisher = Publisher(context)
        self._storages: Storages | None = None
        self._looking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._eager_until = 0.0
        self._digest: DigestAuthMiddleware | None = None

    async def probe(self) -> DeviceInfo:
        """Check address and password, and read name, model and camera; see :meth:`Driver.probe`."""
        base = self._base
        try:
            version = await self._ask("GET", ("version",))
            info = await self._ask("GET", ("v1", "info"))
        except DeviceError as err:
            if err.code != "device_refused":
                raise
            raise DeviceError(
                "cannot_connect", "That address does not answer as PrusaLink"
            ) from err
        text = str(version.get("text"))
        if not text.startswith("PrusaLink"):
            raise DeviceError("cannot_connect", "That address does not answer as PrusaLink")
        # Only the Raspberry Pi says for which printer it stands, and only it sets heaters.
        model = str(version.get("original") or "").removeprefix("PrusaLink ") or None
        capabilities = {"print_start", "print_pause", "print_resume", "print_cancel"}
        firmware = version.get("firmware")
        return DeviceInfo(
            external_id=str(info.get("serial") or "")
            or f"{base.host}:{base.port}{base.path.rstrip('/')}",
            name=str(info.get("name") or info.get("hostname") or f"PrusaLink {base.host}"),
            kind=Kind.PRINTER,
            capabilities=frozenset(capabilities | ({"heat"} if model else set())),
            manufacturer="Prusa Research",
            model=model,
            sw_version=f"{text}, firmware {firmware}" if firmware else text,
            has_camera=bool(self.context.options.get("camera_url") or await self._camera()),
        )

    async def run(self) -> None:
        """Look again and again; see :meth:`Driver.run`."""
        missed = 0
        waits: Iterator[float] = iter(())
        try:
            while True:
                try:
                    await self._look()
                except DeviceError as err:
                    waits, missed = waits if missed else backoff(), missed + 1
                    # One look that failed is no printer that is gone.
                    if missed > 1 or err.code == "invalid_auth":
                        self._gone(err.code)
                    await asyncio.sleep(next(waits))
                else:
                    missed = 0
                    await self._nap()
        finally:
            self._publisher.stop()

    async def execute(self, order: Order) -> Outcome | None:
        """Send one order once; see :meth:`Driver.execute`."""
        if order.intent in {"print_pause", "print_resume", "print_cancel"}:
            # The job is named by its number, so that none but the one that is there now is meant.
            await self._look()
            if order.intent == "print_resume" and self._printer.phase == ATTENTION:
                raise DeviceError("device_refused", "The printer wants somebody to come to it")
        calls = calls_for(order, await self._places(), self._printer.job_id)
        if order.intent == "print_start":
            # For a file that is not there, it has no more than an error of its own.
            await self._ask("GET", calls[0].path)
            await self._settled()
        for done, call in enumerate(calls):
            try:
                outcome = await self._send(call)
            except DeviceError as err:
                if not done:
                    raise
                outcome = unknown(f"Only a part of the order was accepted: {err.message}")
            if outcome is not None:
                return outcome
        if order.intent == "print_start":
            self._printer.started(order.params["file"])
        self._printer.cancelled |= order.intent == "print_cancel"
        return None

    async def refresh(self) -> None:
        """Look now, and publish what there is."""
        with suppress(DeviceError):
            await self._look()
        self._publisher.again()

    async def snapshot(self) -> bytes:
        """Return a new picture of the first camera, or its last one where it takes none on demand."""
        if wanted := self.context.options.get("camera_url"):
            return await self._picture("GET", address(wanted, "camera_url"), ours=False)
        camera = await self._camera()
        if camera is None:
            raise DeviceError("no_camera", "PrusaLink has no camera that is connected")
        place = self._base.joinpath("api", "v1", "cameras", camera, "snap")
        try:
            return await self._picture("POST", place)
        except DeviceError:
            return await self._picture("GET", place)

    async def files(self) -> list[str]:
        """Return the names of the print files on all storages that are there."""
        self._storages = None
        storages = await self._places()
        found: list[str] = []
        for storage in sorted(set(storages.roots.values())):
            folders: list[list[str]] = [[]]
            # More come to the end while it goes on.
            for steps in folders:
                with suppress(DeviceError):
                    folder = await self._ask("GET", ("v1", "files", storage, *steps))
                    for step, is_folder in entries(folder):
                        if not is_folder:
                            found.append(storages.named(storage, [*steps, step]))
                        elif len(folders) < _MAX_FOLDERS:
                            folders.append([*steps, step])
        return sorted(found)

    async def about(self, name: str) -> Stored | None:
        """Return what PrusaLink tells of a file."""
        found = await self._ask_if_there((await self._places()).place(name))
        return Stored.of(found.get("size"), found.get("m_timestamp"))

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Store a file, see that all of it is there, and return the name it was given."""
        storages = await self._places()
        stored = stored_name(name)
        job = self._printer.observation().state["job"]
        if self._printer.open and job and job["file"] == stored:
            raise DeviceError("device_refused", "That file is being printed")
        place = ("v1", "files", storages.default, stored)
        # It wants to know the length first: through a file.
        async with Spool.of(content) as spool:
            await self._ask("PUT", place, data=spool, limit=_TRANSFER)
        try:
            async with asyncio.timeout(self.stored_s):
                # On a Raspberry Pi it takes up to a second until a new file is known.
                while True:
                    if await self._size(place) == spool.size:
                        return storages.named(storages.default, [stored])
                    await asyncio.sleep(0.2)
        except TimeoutError as err:
            raise DeviceError("upload_failed", "PrusaLink did not keep the whole file") from err

    async def _look(self) -> None:
        """Read the status once and publish it; DeviceError where it cannot be had."""
        async with self._looking:
            storages = await self._places()
            status = await self._ask("GET", ("v1", "status"))
            if not isinstance(record(status.get("printer")).get("state"), str):
                raise DeviceError("cannot_connect", "That is no status of a printer")
            job: Json = {}
            if self._printer.wants_file(status):
                # It stumbles over a file that was deleted while it is printed.
                job = await self._ask_if_there(("v1", "job"))
            same = job.get("id") == record(status.get("job")).get("id")
            self._printer.see(status, job_file(job, storages) if same else None)
            self._publisher.offer(self._printer.observation())

    def _gone(self, code: str) -> None:
        """Say that the printer is away, and that what is then seen may be long past."""
        self._printer.connecting()
        self._storages = None
        reason = "cannot_connect" if code == "device_refused" else code
        self._publisher.offer(Observation(online=OnlineState.OFFLINE, reason=reason))

    async def _nap(self) -> None:
        """Wait for the next look, not quite regularly, so that not all printers are asked at once."""
        eager = self._printer.open or asyncio.get_running_loop().time() < self._eager_until
        seconds = self.busy_s if eager else self.idle_s
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds * (1 + _JITTER * random.random())):  # noqa: S311 - chance, not a secret
                await self._woken.wait()

    async def _settled(self) -> None:
        """Wait until a start can be taken; DeviceError when the end of the last print stays."""
        try:
            async with asyncio.timeout(self.settle_s):
                while True:
                    await self._look()
                    if not self._printer.shows_an_end:
                        return
                    await asyncio.sleep(self.busy_s)
        except TimeoutError as err:
            raise DeviceError("device_refused", "The printer still shows the last print") from err

    async def _send(self, call: Call) -> Outcome | None:
        """Send an order, or a part of one, in one request that is never repeated."""
        limit = ClientTimeout(total=self.order_timeout_s, connect=5)
        try:
            status, answer = await self._request(call.method, call.path, call.body, limit=limit)
        except (ClientConnectorError, ConnectionTimeoutError) as err:
            raise DeviceError("cannot_connect", "PrusaLink does not answer") from err
        except (ClientError, TimeoutError) as err:
            # To a heater's target it says "no content", and then some: what is seen will tell.
            if isinstance(err, ClientResponseError) and call.path[0] == "printer":
                return None
            return unknown(f"No answer to the order: {type(err).__name__}")
        finally:
            self._eager_until = asyncio.get_running_loop().time() + _EAGER_S
            self._woken.set()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
            return unknown(error_text(status, answer))
        _check(status, answer)
        return None

    async def _places(self) -> Storages:
        """Return the storages, as they were when the printer was reached."""
        if self._storages is None:
            answer = await self._ask("GET", ("v1", "storage"))
            wanted = str(self.context.options.get("storage") or "")
            self._storages = Storages.of(answer, wanted)
        return self._storages

    async def _size(self, place: Path) -> int | None:
        """Return how large a stored file is, once PrusaLink knows of it."""
        size = (await self._ask_if_there(place)).get("size")
        return size if isinstance(size, int) else None

    async def _camera(self) -> str | None:
        """Return the id of a camera; printers that run PrusaLink themselves have none."""
        return first_camera(await self._ask_if_there(("v1", "cameras")))

    async def _picture(self, method: str, url: URL, *, ours: bool = True) -> bytes:
        """Fetch a picture; what opens PrusaLink goes to PrusaLink alone."""
        try:
            async with self.context.session.request(
                method,
                url,
                timeout=ClientTimeout(total=PICTURE_S),
                allow_redirects=False,
                ssl=self._verify_ssl,
                headers=self._headers if ours else None,
                middlewares=self._middlewares if ours else (),
            ) as response:
                picture = await read(response, _MAX_PICTURE)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("camera_failed", "The camera does not answer") from err
        good = response.status == HTTPStatus.OK and picture.startswith(PICTURES)
        if not good or len(picture) > _MAX_PICTURE:
            raise DeviceError("camera_failed", "The camera's answer is not a picture")
        return picture

    async def _ask(
        self,
        method: str,
        path: Path,
        *,
        data: IO[bytes] | None = None,
        limit: ClientTimeout | None = None,
    ) -> Json:
        """Make a call that is not an order and return the answer; DeviceError otherwise."""
        limit = limit or ClientTimeout(total=self.call_timeout_s, connect=5)
        try:
            status, answer = await self._request(method, path, data=data, limit=limit)
        except (ClientError, TimeoutError) as err:
            raise DeviceError("cannot_connect", "PrusaLink does not answer") from err
        _check(status, answer)
        return answer

    async def _ask_if_there(self, path: Path) -> Json:
        """Return what is at a path, and nothing where PrusaLink has nothing there."""
        try:
            return await self._ask("GET", path)
        except DeviceError as err:
            if err.code != "device_refused":
                raise
            return {}

    async def _request(
        self,
        method: str,
        path: Path,
        body: Json | None = None,
        *,
        data: IO[bytes] | None = None,
        limit: ClientTimeout,
    ) -> tuple[int, Json]:
        """Make one HTTP call and return its status and, where that is JSON, its answer."""
        upload = {"Content-Type": "text/x.gcode", "Overwrite": "?1"} if data is not None else {}
        async with self.context.session.request(
            method,
            self._base.joinpath("api", *path),
            json=body,
            data=data,
            headers=self._headers | upload,
            middlewares=(*self._middlewares, once),
            timeout=limit,
            allow_redirects=False,
            ssl=self._verify_ssl,
        ) as response:
            return response.status, record(parsed(await read(response, _MAX_ANSWER)))

    @property
    def _base(self) -> URL:
        return address(self.context.options["url"], "url")

    @property
    def _verify_ssl(self) -> bool:
        return self.context.options.get("verify_ssl") is not False

    @property
    def _headers(self) -> dict[str, str]:
        # A connection of its own: on a kept one that the server has just closed, nobody could tell
        # whether an order had arrived.
        headers = {"Accept": "application/json", "Connection": "close"}
        if key := self.context.options.get("api_key"):
            headers["X-Api-Key"] = str(key)
        return headers

    @property
    def _middlewares(self) -> tuple[DigestAuthMiddleware, ...]:
        """Return what answers PrusaLink's question for the password; it never sees the password itself."""
        options = self.context.options
        if options.get("api_key"):
            return ()
        if not options.get("password"):
            words = "A password or an API key is needed"
            raise InvalidRequest("invalid_option", words, field="password")
        if self._digest is None:
            user = str(options.get("user") or "maker")
            if ":" in user:
                words = "There can be no colon in a user's name"
                raise InvalidRequest("invalid_option", words, field="user")
            self._digest = DigestAuthMiddleware(user, str(options["password"]))
        return (self._digest,)


def _check(status: int, answer: Json) -> None:
    """Raise DeviceError for an answer that is a refusal."""
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise DeviceError("invalid_auth", "PrusaLink does not accept the password or the API key")
    if status == HTTPStatus.SERVICE_UNAVAILABLE or status < HTTPStatus.BAD_REQUEST:
        raise DeviceError("cannot_connect", f"PrusaLink is not ready there: HTTP {status}")
    raise DeviceError("device_refused", error_text(status, answer))
