"""Bambu Lab printers in the house's own network: MQTT for orders and reports, FTPS for files."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
import json
import secrets
from typing import Any, ClassVar, Final
from urllib.parse import quote

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
)
from brain_server.drivers.bambu import camera, wire
from brain_server.drivers.bambu.files import Ftps
from brain_server.drivers.bambu.mqtt import KEEP_ALIVE_S, Mqtt
from brain_server.drivers.bambu.printer import Printer
from brain_server.drivers.bambu.trust import CONNECT_S, Trust, trust
from brain_server.drivers.bambu.words import SERIES, UNSIGNED, model
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.lan import Spool, one_line, parsed, record
from brain_server.protocol import CommandStatus, Json, Kind, OnlineState, PrinterStatus
from brain_server.retry import backoff

_USER: Final = "bblp"
_LOCKED: Final = (
    "The printer takes orders only from its maker's programs. To change that, switch on LAN Only Mode and"
    " Developer Mode in its network settings"
)
# By series: whose camera sends JPEG files; the others have a stream, which is not read here.
_JPEG: Final = frozenset({"A1", "P1"})
# A connection that lasted so long was a good one; until then reconnecting gets slower, and with it the
# asking for whole reports, which keeps the small processor of a P1 busy.
_GOOD_S: Final = 300.0
_BREATH_S: Final = 0.02


class Bambu(Driver):
    """One printer, by its serial number and access code."""

    name: ClassVar[str] = "bambu"
    title: ClassVar[str] = "Bambu Lab"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="host",
            label="Address",
            help="Of the printer, for example 192.168.1.50; on its screen under Network",
        ),
        Option(
            name="serial",
            label="Serial number",
            help="On the printer's screen under Device",
        ),
        Option(
            name="access_code",
            label="Access code",
            help="On the printer's screen under Network, LAN Only Mode",
            type=OptionType.SECRET,
        ),
        Option(
            name="fingerprint",
            label="Fingerprint of the certificate",
            help="Leave it empty to be told, and enter that; so no other machine is told the access code",
            required=False,
        ),
        Option(
            name="authority",
            label="Certificate of the maker",
            help="PEM text; instead of a fingerprint, or beside it",
            required=False,
        ),
        Option(
            name="series",
            label="Series",
            help="Only where the serial number does not tell it",
            type=OptionType.SELECT,
            choices=SERIES,
            required=False,
        ),
        Option(
            name="use_ams",
            label="Feed from the AMS",
            help="Otherwise the spool at the back is used",
            type=OptionType.BOOLEAN,
            required=False,
        ),
        Option(
            name="ams_mapping",
            label="Slots",
            help="Of the AMS, one for each filament of a file, the first is 0: for example 0, 2",
            required=False,
        ),
        Option(
            name="plate",
            label="Plate",
            help="Which plate of a project is printed",
            type=OptionType.NUMBER,
            required=False,
            minimum=1,
            maximum=36,
        ),
    )
    profile: ClassVar[tuple[Option, ...]] = PRINTER
    mqtt_port: ClassVar[int] = 8883
    ftp_port: ClassVar[int] = 990
    camera_port: ClassVar[int] = 6000
    order_timeout_s: ClassVar[float] = 20.0
    hello_s: ClassVar[float] = 8.0
    # A printer reports every second or so; for so long it may be silent, and then be asked for a word.
    silence_s: ClassVar[float] = 60.0
    word_s: ClassVar[float] = 10.0
    whole_every_s: ClassVar[float] = 300.0
    tick_s: ClassVar[float] = 1.0

    def __init__(self, context: DriverContext) -> None:
        """Take up the job that the last state tells of."""
        super().__init__(context)
        self._printer = Printer(context.now, self._changed, context.last_state)
        self._publisher = Publisher(context)
        self._link: Mqtt | None = None
        self._reason = ""
        self._tries = 0
        # None for an answer that will not come: the connection ended.
        self._answers: dict[str, asyncio.Future[Json | None]] = {}
        # Not from 0: other programs hear the same answers, and count, too.
        self._sequence = secrets.randbelow(1_000_000_000)
        self._heard_at = self._whole_at = 0.0
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()

    async def probe(self) -> DeviceInfo:
        """Check address, certificate and access code, and read the versions; see :meth:`Driver.probe`."""
        wire.mapping(self.context.options.get("ams_mapping"))
        link = await self._open()
        try:
            async with asyncio.timeout(self.hello_s):
                await self._say(link, "info", {"command": "get_version"})
                modules = None
                while not isinstance(modules, list):
                    modules = record(parsed(await link.next()).get("info")).get("module")
        except TimeoutError as err:
            raise DeviceError("cannot_connect", "The printer tells nothing of itself") from err
        finally:
            link.close()
        main = next((one for one in map(record, modules) if one.get("name") == "ota"), {})
        named = main.get("product_name") or f"Bambu Lab {model(self._serial)[1]}".strip()
        return DeviceInfo(
            external_id=self._serial,
            name=f"{named} {self._serial[-4:]}",
            kind=Kind.PRINTER,
            capabilities=frozenset(
                {"print_start", "print_pause", "print_resume", "print_cancel", "heat", "gcode"}
            ),
            manufacturer="Bambu Lab",
            model=named.removeprefix("Bambu Lab").strip() or None,
            sw_version=str(main.get("sw_ver") or "") or None,
            has_camera=self._series in _JPEG,
        )

    async def run(self) -> None:
        """Follow the reports; see :meth:`Driver.run`."""
        loop, waits = asyncio.get_running_loop(), backoff()
        try:
            while True:
                begun, self._reason = loop.time(), "cannot_connect"
                try:
                    await self._follow()
                except* DeviceError as group:
                    self._reason = _codes(group)[0]
                except* InvalidRequest:
                    self._reason = "wrong_certificate"
                self._publisher.offer(Observation(online=OnlineState.OFFLINE, reason=self._reason))
                self._news.set()
                if loop.time() - begun > _GOOD_S:
                    waits = backoff()
                with suppress(TimeoutError):
                    async with asyncio.timeout(next(waits)):
                        await self._hurry.wait()
                self._hurry.clear()
        finally:
            self._publisher.stop()

    async def execute(self, order: Order) -> Outcome | None:
        """Send one order once; see :meth:`Driver.execute`."""
        body = wire.body(order, dict(self.context.options), self._series)
        link = await self._ready()
        if self._printer.read_only:
            raise DeviceError("read_only", _LOCKED)
        self._fits_now(order.intent)
        before = self._printer.observation().state
        match order.intent:
            case "print_start":
                self._printer.starting(order.params["file"])
            case "print_cancel":
                self._printer.stopping(ordered=True)
        try:
            return await self._send(link, order, body, before)
        except DeviceError:
            self._printer.starting("")
            self._printer.stopping(ordered=False)
            raise

    async def snapshot(self) -> bytes:
        """Return the camera's picture, where the camera sends pictures."""
        if self._series not in _JPEG:
            raise DeviceError("no_camera", "This printer's camera sends a stream, not pictures")
        return await camera.picture(
            self._host, self.camera_port, self._trust, _USER, self.context.options["access_code"]
        )

    @property
    def camera_url(self) -> str | None:
        """Return the address of the camera's stream, with the access code in it; None where there is none."""
        if self._series in _JPEG or not self._printer.stream:
            return None
        code = quote(self.context.options["access_code"], safe="")
        return f"rtsps://{_USER}:{code}@{self._host}:322/streaming/live/1"

    async def refresh(self) -> None:
        """Publish what the printer reported last, and ask for all of it if that was long ago."""
        self._publisher.again()
        due = self._whole_at + self.whole_every_s
        if self._link is not None and asyncio.get_running_loop().time() >= due:
            await self._ask_for_all(self._link)

    async def files(self) -> list[str]:
        """Return the print files in the root folder of the printer's card."""
        return sorted(filter(wire.is_printable, await self._by_ftp(Ftps.names)))

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Store a file, read back that all of it is there, and return the name it was given."""
        safe = wire.file_name(name)
        async with Spool.of(content) as spool:
            await self._by_ftp(lambda session: session.put(safe, spool, spool.size))
        return safe

    async def _follow(self) -> None:
        """Listen until the connection ends; DeviceError or InvalidRequest when it cannot be had."""
        self._printer.connecting()
        try:
            link = await self._open()
        finally:
            self._tries += 1
        self._heard_at = asyncio.get_running_loop().time()
        try:
            await self._ask_for_all(link)
            self._link = link
            self._hurry.clear()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._listen(link))
                both.create_task(self._watch(link))
        finally:
            self._link = None
            link.close()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result(None)
            self._news.set()

    async def _listen(self, link: Mqtt) -> None:
        """Take messages until the connection ends."""
        while True:
            report = record(record(parsed(await link.next())).get("print"))
            if report.get("command") == "push_status":
                self._heard_at = asyncio.get_running_loop().time()
                self._printer.hear(report)
            elif answer := self._answers.get(str(report.get("sequence_id"))):
                if not answer.done():
                    answer.set_result(report)
                self._news.set()

    async def _watch(self, link: Mqtt) -> None:
        """Keep the connection, and end it when the printer is silent on it; DeviceError then."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        ping_at, asked_at, asked_again = begun + KEEP_ALIVE_S / 2, 0.0, False
        while True:
            await asyncio.sleep(self.tick_s)
            self._printer.look_again()
            if loop.time() >= ping_at:
                ping_at = loop.time() + KEEP_ALIVE_S / 2
                link.ping()
            # Differences are no sign of life as long as it is not known from what.
            deaf = loop.time() - begun if self._printer.deaf else 0.0
            silent = loop.time() - self._heard_at
            if deaf > self.hello_s or silent > self.silence_s + self.word_s:
                raise DeviceError("cannot_connect", "The printer does not report any more")
            if deaf > self.hello_s / 2 and not asked_again:
                asked_again = True
                await self._ask_for_all(link)
            if silent > self.silence_s and asked_at < self._heard_at:
                asked_at = loop.time()
                await self._say(link, "pushing", {"command": "start"})

    async def _open(self) -> Mqtt:
        """Connect, log in and listen; DeviceError or InvalidRequest otherwise."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await Mqtt.open(
                    self._host,
                    self.mqtt_port,
                    self._trust,
                    user=_USER,
                    password=self.context.options["access_code"],
                    topic=f"device/{self._serial}/report",
                )
        except TimeoutError as err:
            raise DeviceError("cannot_connect", "The printer does not answer") from err

    async def _ready(self) -> Mqtt:
        """Return the connection; while there is none, wait for one more try at it."""
        tries = self._tries
        # What the line has already said, such as its end, is heard first.
        await asyncio.sleep(_BREATH_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.order_timeout_s):
                while self._link is None or self._link.broken or self._printer.deaf:
                    if self._link is None and self._tries > tries:
                        break
                    self._hurry.set()
                    self._news.clear()
                    await self._news.wait()
                else:
                    return self._link
        if self._reason == "invalid_auth":
            raise DeviceError("invalid_auth", "The printer does not accept the access code")
        raise DeviceError("cannot_connect", "The printer does not answer")

    def _fits_now(self, intent: str) -> None:
        """Raise DeviceError for what the printer cannot do now: it would say nothing to it."""
        if intent == "print_start" and self._printer.busy:
            raise DeviceError("device_refused", "The printer is printing")
        if intent in {"print_pause", "print_cancel"} and not self._printer.busy:
            raise DeviceError("device_refused", "The printer prints nothing")
        if intent == "print_resume" and self._printer.status is not PrinterStatus.PAUSED:
            raise DeviceError("device_refused", "The printer is not paused")

    async def _send(self, link: Mqtt, order: Order, body: Json, before: Json) -> Outcome | None:
        """Send an order in one message that is never repeated, and take the answer to it."""
        number = self._number()
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        told: Json | None = None
        try:
            await self._say(link, "print", body, number)
            async with asyncio.timeout(self.order_timeout_s):
                while not answer.done() and not self._seen(order, before):
                    self._news.clear()
                    await self._news.wait()
            told = answer.result() if answer.done() else {}
        except TimeoutError:
            pass
        finally:
            del self._answers[number]
        if told is None:
            self._printer.starting("")
            detail = "The printer did not answer the order"
            return Outcome(status=CommandStatus.UNKNOWN, detail=detail)
        if str(told.get("err_code")) == str(UNSIGNED):
            self._printer.refuse()
            raise DeviceError("read_only", _LOCKED)
        if str(told.get("result") or "success").lower() != "success":
            words = one_line(told.get("reason")) or "The printer refused the order"
            raise DeviceError("device_refused", words)
        if order.intent == "print_start":
            self._printer.started()
        # For raw G-code the printer's own answer is all there will ever be.
        return Outcome(status=CommandStatus.ACKED) if order.intent == "gcode" else None

    def _seen(self, order: Order, before: Json) -> bool:
        """Tell whether the reports already prove an order done."""
        after = self._printer.observation().state
        return not self._printer.undecided and bool(self.confirms(order, before, after))

    async def _ask_for_all(self, link: Mqtt) -> None:
        self._whole_at = asyncio.get_running_loop().time()
        await self._say(link, "pushing", {"command": "pushall", "version": 1, "push_target": 1})

    async def _say(self, link: Mqtt, part: str, body: Json, number: str | None = None) -> None:
        message = {part: {"sequence_id": number or self._number(), **body}}
        await link.publish(f"device/{self._serial}/request", json.dumps(message).encode())

    async def _by_ftp[T](self, work: Callable[[Ftps], T]) -> T:
        """Do this in a session with the printer's files; a cancelled one is broken off."""
        session = Ftps(self._trust)
        code = self.context.options["access_code"]
        try:
            return await asyncio.to_thread(
                session.within, self._host, self.ftp_port, _USER, code, work
            )
        except asyncio.CancelledError:
            session.break_off()
            raise

    def _number(self) -> str:
        self._sequence += 1
        return str(self._sequence)

    def _changed(self) -> None:
        if not self._printer.deaf and not self._printer.undecided:
            self._publisher.offer(self._printer.observation())
        self._news.set()

    @property
    def _host(self) -> str:
        return wire.host(self.context.options["host"])

    @property
    def _serial(self) -> str:
        return wire.serial(self.context.options["serial"])

    @property
    def _series(self) -> str:
        return self.context.options.get("series") or model(self._serial)[0]

    @property
    def _trust(self) -> Trust:
        given = self.context.options
        return trust(self._serial, given.get("fingerprint"), given.get("authority"))


def _codes(group: BaseExceptionGroup[Any]) -> list[str]:
    """Return the codes of the errors in a group."""
    return [
        code
        for one in group.exceptions
        for code in (_codes(one) if isinstance(one, BaseExceptionGroup) else [one.code])
    ]
