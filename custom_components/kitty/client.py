"""The one socket to the brain: commands, streams, events, and the brain's own requests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
import json
import random
import secrets
from time import monotonic, time
from typing import Any, Final

from aiohttp import (
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    WSMsgType,
    WSServerHandshakeError,
)
from homeassistant.exceptions import HomeAssistantError

from .const import LOGGER
from .errors import (
    BUSY,
    MISHAPS,
    BrainError,
    BrainUnavailable,
    CannotConnect,
    InvalidAuth,
    KittyError,
    SchemaMismatch,
    WrongBrain,
    WrongScope,
)
from .ledger import verify
from .origin import Caller
from .protocol import MAX_FRAME_BYTES, MIN_SCHEMA, SCHEMA, Json, hello_bytes

CONNECT_TIMEOUT: Final = 10.0
COMMAND_TIMEOUT: Final = 30.0
HEARTBEAT: Final = 30.0
BACKOFF_FIRST: Final = 0.5
BACKOFF_MAX: Final = 30.0
# A socket that lived this long was a good one: the next break starts the waiting anew.
GOOD_AFTER: Final = 10.0
NONCE_HEADER: Final = "X-Kitty-Nonce"

type Handler = Callable[[Json], Awaitable[Json]]
type Spawn = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first frame: who the brain is and which wire it speaks."""

    schema: int
    min_schema: int
    version: str
    instance_id: str
    public_key: str
    epoch: str


class BrainClient:
    """Holds one socket, opens it again when it breaks, and resumes the events where they stopped.

    ``on_snapshot``, ``on_event`` and ``on_link`` are called in the loop, in the order of the wire.
    """

    def __init__(
        self,
        session: ClientSession,
        url: str,
        token: str,
        *,
        instance_id: str | None = None,
        public_key: str | None = None,
    ) -> None:
        """Prepare; nothing is opened. An identity that is given is required of the brain."""
        self._session = session
        self._url = url
        self._token = token
        self._instance_id = instance_id
        self._public_key = public_key
        self._ws: ClientWebSocketResponse | None = None
        self._spawn: Spawn | None = None
        self._ids = 0
        self._waiting: dict[int, asyncio.Queue[Json | None]] = {}
        self._handlers: dict[str, Handler] = {}
        self._epoch: str | None = None
        self._event_id = 0
        self._subscription = 0
        self.hello: Hello | None = None
        # A brain that is away was last heard well before that was noticed.
        self.heard_at = 0.0
        self.on_snapshot: Callable[[Json], None] = lambda _: None
        self.on_event: Callable[[str, Json], None] = lambda _name, _data: None
        self.on_link: Callable[[KittyError | None], None] = lambda _: None

    @property
    def connected(self) -> bool:
        """Return whether commands can be sent now."""
        return self._ws is not None and not self._ws.closed

    def register(self, method: str, handler: Handler) -> None:
        """Answer the brain's requests of this method with the handler."""
        self._handlers[method] = handler

    async def connect(self) -> Hello:
        """Open the socket and return the hello of the brain that we expect.

        Raises CannotConnect, InvalidAuth, SchemaMismatch or WrongBrain.
        """
        ws, hello = await _open(self._session, self._url, self._token)
        if (self._instance_id or hello.instance_id) != hello.instance_id or (
            self._public_key or hello.public_key
        ) != hello.public_key:
            await ws.close()
            raise WrongBrain
        self._ws, self.hello, self.heard_at = ws, hello, time()
        return hello

    async def run(self, spawn: Spawn) -> None:
        """Serve the socket until cancelled, opening it again after every break.

        Ends by itself only where a person has to act; ``on_link`` has then been told why.
        """
        self._spawn = spawn
        attempt = 0
        try:
            while True:
                try:
                    if not self.connected:
                        await self.connect()
                    began = monotonic()
                    await self._serve()
                    attempt = 0 if monotonic() - began > GOOD_AFTER else attempt
                    lost: KittyError = BrainUnavailable()
                except (ClientError, ConnectionError) as err:
                    lost = CannotConnect(error=err)
                except BrainUnavailable as err:
                    lost = err
                except (InvalidAuth, SchemaMismatch, WrongBrain) as err:
                    self._drop(err)
                    return
                await self.close(lost)
                await asyncio.sleep(_backoff(attempt))
                attempt += 1
        finally:
            await self.close()

    async def close(self, why: KittyError | None = None) -> None:
        """Close the socket and end everything that waits for it."""
        ws = self._ws
        self._drop(why)
        if ws is not None:
            await ws.close()

    async def command(
        self,
        action: str,
        params: Json | None = None,
        *,
        caller: Caller | None = None,
        timeout: float = COMMAND_TIMEOUT,  # noqa: ASYNC109 - the deadline is part of the contract
    ) -> Any:
        """Run a command and return its data; BrainError, or BrainUnavailable when nobody knows."""
        try:
            async with (
                asyncio.timeout(timeout),
                aclosing(self._exchange(action, params, caller)) as parts,
            ):
                async for part in parts:
                    if "result" in part:
                        return part["result"]
        except TimeoutError as err:
            raise BrainUnavailable("brain_timeout") from err
        raise BrainUnavailable

    async def stream(
        self, action: str, params: Json | None = None, *, caller: Caller | None = None
    ) -> AsyncGenerator[Json]:
        """Run a command and yield ``{"delta": …}`` as they come, then ``{"result": …}``."""
        async with aclosing(self._exchange(action, params, caller)) as parts:
            async for part in parts:
                yield part

    async def _exchange(
        self, action: str, params: Json | None, caller: Caller | None
    ) -> AsyncGenerator[Json]:
        """Send one command and yield what comes back; tells the brain when nobody waits."""
        if not self.connected:
            raise BrainUnavailable
        self._ids += 1
        command_id = self._ids
        frame: Json = {"type": "command", "id": command_id, "action": action}
        frame["params"] = params or {}
        if caller is not None:
            frame["caller"] = caller.as_dict()
            frame["request_id"] = caller.context_id
        queue = self._waiting[command_id] = asyncio.Queue()
        ended = False
        try:
            await self._send(frame)
            while not ended:
                answer = await queue.get()
                ended = answer is None or answer["type"] != "delta"
                yield _part(answer)
        finally:
            self._waiting.pop(command_id, None)
            if not ended and self.connected:
                with suppress(BrainUnavailable):
                    await self._send({"type": "cancel", "id": command_id})

    async def _serve(self) -> None:
        """Subscribe and take every frame until the socket closes."""
        ws, hello = self._ws, self.hello
        assert ws is not None and hello is not None  # noqa: S101, PT018 - set together, by who calls this
        self._ids += 1
        self._subscription = self._ids
        subscribe: Json = {"type": "subscribe", "id": self._ids}
        if self._epoch == hello.epoch:
            subscribe |= {"epoch": self._epoch, "after": self._event_id}
        await self._send(subscribe)
        silent = False
        while True:
            try:
                message = await ws.receive(HEARTBEAT)
            except TimeoutError as err:
                if silent:
                    raise BrainUnavailable("brain_timeout") from err
                silent = True
                await ws.ping()
                continue
            silent = False
            match message.type:
                case WSMsgType.CLOSE | WSMsgType.CLOSING | WSMsgType.CLOSED | WSMsgType.ERROR:
                    return
                case WSMsgType.TEXT:
                    self._take(message.data)
                case WSMsgType.PING:
                    await ws.pong(message.data)
            self.heard_at = time()

    def _take(self, text: str) -> None:
        """Take one frame; one that makes no sense is logged and changes nothing."""
        try:
            frame = json.loads(text)
            match frame["type"]:
                case "result" if frame.get("id") == self._subscription:
                    self.on_link(None)
                case "result" | "error" | "delta":
                    if (queue := self._waiting.get(frame.get("id"))) is not None:
                        queue.put_nowait(frame)
                case "snapshot":
                    self._epoch, self._event_id = frame["epoch"], frame["event_id"]
                    self.on_snapshot(frame["data"])
                    self.on_link(None)
                case "event" if frame["event_id"] > self._event_id:
                    self._event_id = frame["event_id"]
                    self.on_event(frame["event"], frame["data"])
                case "request" if self._spawn is not None:
                    name = f"kitty {frame['method']}"
                    self._spawn(self._answer(frame), name)
        except MISHAPS as err:
            LOGGER.warning("The brain sent a frame that makes no sense: %r", err)

    async def _answer(self, frame: Json) -> None:
        """Answer one request of the brain; refusals and failures go back with their code."""
        reply: Json = {"type": "response", "id": frame["id"]}
        try:
            if (handler := self._handlers.get(frame["method"])) is None:
                reply["error"] = {"code": "unknown_method", "message": str(frame["method"])}
            else:
                reply["data"] = await handler(frame.get("params") or {})
        except HomeAssistantError as err:
            code = getattr(err, "code", err.translation_key) or "home_assistant_error"
            reply["error"] = {"code": code, "message": str(err)}
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            LOGGER.warning("The brain's request %s makes no sense: %r", frame["method"], err)
            reply["error"] = {"code": "invalid_request", "message": repr(err)}
        except MISHAPS as err:
            # What other integrations offer fails as their libraries do.
            LOGGER.warning("The brain's request %s failed: %r", frame["method"], err)
            reply["error"] = {"code": "home_assistant_error", "message": repr(err)}
        with suppress(BrainUnavailable):
            await self._send_reply(reply)

    async def _send_reply(self, reply: Json) -> None:
        """Send an answer; in the place of one that no frame holds, that it is so: nobody waits for nothing."""
        try:
            await self._send(reply)
        except BrainUnavailable:
            raise
        except (KittyError, TypeError, ValueError) as err:
            LOGGER.warning("An answer to the brain cannot be sent: %s", err)
            code = err.code if isinstance(err, KittyError) else "home_assistant_error"
            error = {"code": code, "message": str(err)}
            await self._send({"type": "response", "id": reply["id"], "error": error})

    async def _send(self, frame: Json) -> None:
        """Put one frame on the wire; BrainUnavailable where the socket is gone."""
        text = json.dumps(frame, separators=(",", ":"))
        if len(text) > MAX_FRAME_BYTES:
            raise KittyError("frame_too_large", size=len(text))
        if (ws := self._ws) is None or ws.closed:
            raise BrainUnavailable
        try:
            await ws.send_str(text)
        except (ClientError, ConnectionError) as err:
            raise BrainUnavailable from err

    def _drop(self, why: KittyError | None) -> None:
        """Forget the socket, wake everyone who waits for it, and say why unless we closed it."""
        self._ws = None
        for queue in self._waiting.values():
            queue.put_nowait(None)
        self._waiting.clear()
        if why is not None:
            self.on_link(why)


async def validate(session: ClientSession, url: str, token: str) -> Hello:
    """Return who answers at an address, having proved that the token has the scope that we need."""
    ws, hello = await _open(session, url, token)
    try:
        if (await _ask(ws, "system.info")).get("scope") != "integration":
            raise WrongScope
    finally:
        await ws.close()
    return hello


async def _ask(ws: ClientWebSocketResponse, action: str) -> Any:
    """Run one command on a socket that nobody else reads."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await ws.send_str(json.dumps({"type": "command", "id": 1, "action": action}))
            while True:
                frame = await _receive(ws)
                if frame.get("id") == 1:
                    return _part(frame)["result"]
    except (TimeoutError, ClientError, ConnectionError) as err:
        raise CannotConnect(error=err) from err


async def _open(
    session: ClientSession, url: str, token: str
) -> tuple[ClientWebSocketResponse, Hello]:
    """Open a socket and read its hello, whose sender must hold the key that it shows."""
    nonce = secrets.token_hex(16)
    if session.closed:
        raise CannotConnect(error="Home Assistant is stopping")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            ws = await session.ws_connect(
                f"{url.rstrip('/')}/ws",
                headers={"Authorization": f"Bearer {token}", NONCE_HEADER: nonce},
                # We ping ourselves: aiohttp's heartbeat leaves a timer behind when it closes.
                autoping=False,
                max_msg_size=MAX_FRAME_BYTES,
                timeout=ClientWSTimeout(ws_close=2.0),
            )
            try:
                return ws, _hello(await _receive(ws), nonce)
            except BaseException:
                await ws.close()
                raise
    except WSServerHandshakeError as err:
        if err.status in (401, 403):
            raise InvalidAuth from err
        raise CannotConnect(error=f"HTTP {err.status}") from err
    except (ClientError, ConnectionError, TimeoutError, ValueError) as err:
        raise CannotConnect(error=str(err) or type(err).__name__) from err


async def _receive(ws: ClientWebSocketResponse) -> Json:
    """Return the next frame; CannotConnect where the socket closes instead."""
    while (message := await ws.receive()).type is WSMsgType.PING:
        await ws.pong(message.data)
    if message.type is not WSMsgType.TEXT:
        raise CannotConnect(error=f"close code {ws.close_code}")
    frame = json.loads(message.data)
    if not isinstance(frame, dict):
        raise CannotConnect(error="not a frame")
    return frame


def _hello(frame: Json, nonce: str) -> Hello:
    """Read the first frame.

    Raises SchemaMismatch where the two sides have no version in common, and WrongBrain where the sender
    does not prove, for our nonce, that it holds its key.
    """
    try:
        proof = str(frame["proof"])
        hello = Hello(
            schema=int(frame["schema"]),
            min_schema=int(frame["min_schema"]),
            version=str(frame["version"]),
            instance_id=str(frame["instance_id"]),
            public_key=str(frame["public_key"]),
            epoch=str(frame["epoch"]),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise CannotConnect(error=f"no hello: {err!r}") from err
    if hello.schema < MIN_SCHEMA or hello.min_schema > SCHEMA:
        raise SchemaMismatch(brain=hello.schema, integration=SCHEMA)
    if not verify(hello.public_key, proof, hello_bytes(nonce=nonce, instance_id=hello.instance_id)):
        raise WrongBrain
    return hello


def _part(answer: Json | None) -> Json:
    """Turn a frame into a part of the result; raises its error, or that of a lost socket."""
    if answer is None:
        raise BrainUnavailable
    match answer["type"]:
        case "delta":
            return {"delta": answer["data"]}
        case "error" if (code := answer["error"].get("code")) in BUSY:
            raise BrainUnavailable(code)
        case "error":
            raise BrainError.from_frame(answer["error"])
        case _:
            return {"result": answer.get("data")}


def _backoff(attempt: int) -> float:
    """Return the seconds to wait before the next attempt: doubling, capped, with jitter."""
    ceiling = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(attempt, 10))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, not a secret
