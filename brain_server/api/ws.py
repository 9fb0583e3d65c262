"""The WebSocket: hello, commands, a snapshot and then every event once and in order."""

import asyncio
from collections.abc import Awaitable, Callable
import json
import logging
import time
from typing import Any, Final
import uuid

from aiohttp import WSCloseCode, WSMsgType, web

from brain_server import __version__
from brain_server.api.auth import Tokens
from brain_server.api.dispatch import RETRY_AFTER, Dispatcher, decode, on_behalf, refused
from brain_server.api.link import Link
from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Scope
from brain_server.errors import InvalidRequest, KittyError, TooMany, Unavailable
from brain_server.observability import Tasks, counters, request_id
from brain_server.protocol import MAX_FRAME_BYTES, MIN_SCHEMA, SCHEMA, Json
from brain_server.safety.records import shown_to

_LOGGER = logging.getLogger(__name__)

HEARTBEAT: Final = 30.0
NONCE_HEADER: Final = "X-Kitty-Nonce"
MAX_NONCE: Final = 128
MOST_PER_CLIENT: Final = 64
MOST_BYTES: Final = 16 * MAX_FRAME_BYTES
SNAPSHOT_LIMIT: Final = 10.0
CLOSING: Final = 0.5
SAFETY_EVENT: Final = "safety.event"
# Only Home Assistant hears that somebody was forced, or gave a wrong code, and who is where.
PRIVATE: Final = frozenset(
    {
        "conversation.reply",
        "presence.updated",
        "run.updated",
        "safety.duress",
        "safety.lockout",
    }
)


class Client:
    """One connection: a bounded queue to it, the commands that it runs, whether it wants events."""

    def __init__(self, socket: web.WebSocketResponse, caller: Caller, most: int) -> None:
        """Take the open socket, whose token it is, and how many frames may wait."""
        self.caller = caller
        self.since = time.time()
        self.running: dict[int, asyncio.Task[None]] = {}
        self._socket = socket
        self._queue: asyncio.Queue[str] = asyncio.Queue(most)
        self._bytes = 0
        self._cut_off = False

    def send(self, frame: Json) -> None:
        """Queue a frame; one that is larger than the wire allows becomes an error."""
        text = json.dumps(frame, separators=(",", ":"), allow_nan=False)
        if len(text) > MAX_FRAME_BYTES:
            large = InvalidRequest("answer_too_large", "The answer has more than 1 MiB")
            text = json.dumps(_error(frame.get("id"), large, frame.get("request_id")))
        self.send_text(text)

    def send_text(self, frame: str) -> None:
        """Queue an encoded frame; a client that does not read is cut off and resumes later."""
        if self._bytes + len(frame) <= MOST_BYTES and not self._queue.full():
            self._bytes += len(frame)
            self._queue.put_nowait(frame)
        elif not self._cut_off:
            self._cut_off = True
            counters["clients_cut_off"] += 1
            self.abort()

    def tell(self, event: Event) -> None:
        """Queue an event, as far as the client's token may hear of it."""
        if self.caller.scope is Scope.INTEGRATION:
            self.send_text(event.frame)
        elif event.name == SAFETY_EVENT:
            shown = shown_to(self.caller.scope, event.data)
            self.send_text(Event(event.event_id, event.name, shown).frame)
        elif event.name not in PRIVATE:
            self.send_text(event.frame)

    def abort(self) -> None:
        """End the connection without waiting for the peer, who may not be reading."""
        transport = self._socket._req.transport if self._socket._req else None  # noqa: SLF001 - aiohttp shows it no other way
        if transport is not None:
            transport.abort()

    async def close(self, code: int, reason: bytes) -> None:
        """Send what is queued, then close the connection."""
        await self._queue.join()
        await self._socket.close(code=code, message=reason)

    async def write(self, may: Callable[[], bool]) -> None:
        """Send what is queued, as long as the client may have it."""
        while True:
            frame = await self._queue.get()
            self._bytes -= len(frame)
            if not may():
                self.abort()
                return
            try:
                await self._socket.send_str(frame)
            except ConnectionError:
                return
            self._queue.task_done()


class WebSockets:
    """Serves ``/ws`` to all clients."""

    def __init__(
        self,
        bus: Bus,
        dispatcher: Dispatcher,
        tokens: Tokens,
        link: Link,
        tasks: Tasks,
        *,
        snapshot: Callable[[], Awaitable[Json]],
        hello: Callable[[str], Json],
        most_clients: int,
        queue: int,
    ) -> None:
        """Take the parts, and a function that returns all state for a new subscriber."""
        self.clients: set[Client] = set()
        self._bus = bus
        self._dispatcher = dispatcher
        self._tokens = tokens
        self._link = link
        self._tasks = tasks
        self._snapshot = snapshot
        self._hello = hello
        self._most = most_clients
        self._queue = queue
        self._closing = False

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection until it ends."""
        caller = self._tokens.caller(request.headers.get("Authorization"))
        # Who was just told to come back later is not to be cut off without a word.
        if self._closing:
            raise Unavailable("shutting_down", "Try again in a moment", retry_after=RETRY_AFTER)
        if len(self.clients) >= self._most:
            raise TooMany("too_many_clients", "Too many connections", retry_after=5)
        # Compression would cost each client its own copy and its own work for every event.
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=MAX_FRAME_BYTES, compress=False
        )
        await socket.prepare(request)
        client = Client(socket, caller, self._queue)
        writer = self._tasks.start(
            "socket writer", client.write(lambda: self._tokens.alive(caller.token))
        )
        self.clients.add(client)
        stop_events = _Subscription()
        client.send(
            {
                "type": "hello",
                "schema": SCHEMA,
                "min_schema": MIN_SCHEMA,
                "version": __version__,
                "epoch": self._bus.epoch,
            }
            | self._hello(request.headers.get(NONCE_HEADER, "")[:MAX_NONCE])
        )
        try:
            async for message in socket:
                if not self._tokens.alive(caller.token):
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"token ended")
                elif message.type is WSMsgType.TEXT:
                    await self._frame(client, message.data, stop_events)
                elif message.type is WSMsgType.BINARY:
                    self._refuse(client, None, InvalidRequest("invalid_frame", "Send text frames"))
        finally:
            stop_events()
            self._link.detach(client.send)
            for number in list(client.running):
                self._stop(client, number)
            writer.cancel()
            self.clients.discard(client)
        return socket

    async def close(self) -> None:
        """Close every connection: the service restarts (1012). Who does not answer is cut off.

        Nobody else is let in any more.
        """
        self._closing = True
        code, clients = WSCloseCode.SERVICE_RESTART, list(self.clients)
        closing = [client.close(code, b"shutting down") for client in clients]
        try:
            async with asyncio.timeout(CLOSING):
                await asyncio.gather(*closing)
        except TimeoutError:
            for client in clients:
                client.abort()

    async def _frame(self, client: Client, text: str, events: _Subscription) -> None:
        try:
            frame = decode(text)
        except InvalidRequest as err:
            self._refuse(client, None, err)
            return
        number = frame.get("id") if isinstance(frame, dict) else None
        if not isinstance(frame, dict) or not isinstance(number, int) or isinstance(number, bool):
            self._refuse(client, None, InvalidRequest("invalid_frame", "A frame has type and id"))
            return
        match frame.get("type"):
            case "command":
                self._command(client, number, frame)
            case "cancel":
                self._stop(client, number)
            case "subscribe":
                await self._subscribe(client, number, frame, events)
            case "response" if client.caller.scope is Scope.INTEGRATION:
                self._link.answer(client.send, frame)
            case _:
                self._refuse(client, number, InvalidRequest("invalid_frame", "Unknown frame type"))

    def _command(self, client: Client, number: int, frame: Json) -> None:
        if number in client.running or len(client.running) >= MOST_PER_CLIENT:
            busy = TooMany("too_many_commands", "Too many commands at once", retry_after=1)
            self._refuse(client, number, busy)
            return
        task = self._tasks.start(f"{frame.get('action')}", self._run(client, number, frame))
        client.running[number] = task
        # One that is stopped before it began does not even come to its own end.
        task.add_done_callback(lambda _task: client.running.pop(number, None))

    def _stop(self, client: Client, number: int) -> None:
        """Stop a command that only reads or talks; one that changes something ends by itself."""
        task = client.running.get(number)
        spec = self._dispatcher.commands.get(task.get_name()) if task else None
        if task and (spec is None or spec.read_only or spec.streams):
            task.cancel()

    async def _run(self, client: Client, number: int, frame: Json) -> None:
        given = frame.get("request_id")
        trace = (
            given
            if isinstance(given, str) and given.isprintable() and 0 < len(given) <= 64
            else uuid.uuid4().hex
        )
        request_id.set(trace)
        try:
            spec = self._dispatcher.spec(frame.get("action"))
            caller = on_behalf(client.caller, frame.get("caller"))
            params = frame.get("params")
            result = await self._dispatcher.run(
                spec,
                caller,
                {} if params is None else params,
                emit=lambda part: client.send({"type": "delta", "id": number, "data": part}),
            )
            # One that hung up meanwhile would be asked everything, and answer nothing.
            if spec.action == "integration.register" and client in self.clients:
                self._link.attach(client.send)
            client.send({"type": "result", "id": number, "data": result, "request_id": trace})
        except KittyError as err:
            self._refuse(client, number, err, str(frame.get("action"))[:64], trace)

    async def _subscribe(
        self, client: Client, number: int, frame: Json, events: _Subscription
    ) -> None:
        """Replay what was missed, or send everything; then each event as it happens."""
        events()
        epoch, after = frame.get("epoch"), frame.get("after")
        missed = None
        if isinstance(epoch, str) and isinstance(after, int):
            missed = self._bus.since(epoch, after)
        if missed is not None and len(missed) > self._queue // 2:
            missed = None  # more than the queue could hold: a snapshot says it shorter
        held: list[Event] = []
        # Listen before reading: an event during the snapshot waits in `held`, none is lost or doubled.
        events.end = self._bus.listen(None, held.append)
        if missed is None:
            first = self._bus.last_id
            try:
                async with asyncio.timeout(SNAPSHOT_LIMIT):
                    data = await self._snapshot()
            except KittyError as err:
                events()
                self._refuse(client, number, err)
                return
            except TimeoutError:
                events()
                late = Unavailable("timeout", "A part did not answer in time")
                self._refuse(client, number, late)
                return
            data["events"] = [shown_to(client.caller.scope, one) for one in data["events"]]
            if client.caller.scope is not Scope.INTEGRATION:
                del data["presences"]
            client.send(
                {
                    "type": "snapshot",
                    "id": number,
                    "epoch": self._bus.epoch,
                    "event_id": first,
                    "data": data,
                }
            )
        else:
            client.send({"type": "result", "id": number, "data": {"resumed": len(missed)}})
            for event in missed:
                client.tell(event)
        events.end()
        for event in held:
            client.tell(event)
        events.end = self._bus.listen(None, client.tell)

    def _refuse(
        self,
        client: Client,
        number: int | None,
        err: KittyError,
        endpoint: str = "/ws",
        trace: str | None = None,
    ) -> None:
        refused(err, endpoint)
        client.send(_error(number, err, trace or uuid.uuid4().hex))


class _Subscription:
    """The end of a client's subscription, whatever it is right now."""

    def __init__(self) -> None:
        self.end: Callable[[], Any] | None = None

    def __call__(self) -> None:
        if self.end is not None:
            self.end()
            self.end = None


def _error(number: int | None, err: KittyError, trace: str | None = None) -> Json:
    return {"type": "error", "id": number, "error": err.as_dict() | {"trace_id": trace}}
