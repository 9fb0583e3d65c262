"""A brain for tests: a real WebSocket server on loopback that speaks docs/PROTOCOL.md by script."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
import inspect
import json
import time
from typing import Any, Final, Self
import uuid

from aiohttp import WSMsgType, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custom_components.kitty.protocol import (
    INTENTS,
    MIN_SCHEMA,
    SCHEMA,
    Hazard,
    Json,
    approval_bytes,
    grant_bytes,
    hazard_level,
    hello_bytes,
    subject_hash,
)

TOKEN: Final = "a-token"
WAIT: Final = 20.0


class FakeError(Exception):
    """An error that the brain answers with."""

    def __init__(self, code: str, message: str = "No", **details: Any) -> None:
        """Take what goes over the wire."""
        super().__init__(message)
        self.frame = {"code": code, "message": message, "details": details, "trace_id": "t"}


@dataclass(frozen=True)
class Received:
    """One command that the brain was sent."""

    action: str
    params: Json
    caller: Json | None


type Answer = Callable[[Json, Json | None], Any]


def new_id() -> str:
    """Return an id as the brain makes them."""
    return uuid.uuid4().hex


class FakeBrain:
    """Holds state like the brain, answers like the brain, and can be told to misbehave."""

    def __init__(self) -> None:
        """Start with an empty house; :meth:`start` opens the port."""
        self.instance_id = new_id()
        self.epoch = new_id()
        self.schema, self.min_schema = SCHEMA, MIN_SCHEMA
        self.token, self.scope = TOKEN, "integration"
        self.signing = Ed25519PrivateKey.generate()
        self.integration_key: str | None = None
        self.devices: dict[str, Json] = {}
        self.events: dict[str, Json] = {}
        self.commands: dict[str, Json] = {}
        self.jobs: dict[str, Json] = {}
        self.health: Json = {"status": "ok", "parts": {}}
        self.audit: Json = {"seq": 1, "hash": "h1", "at": time.time()}
        self.providers: dict[str, Json] = {}
        self.budget: Json = {}
        self.mind: Json = {}
        # What it tells others, oldest first.
        self.outbox: list[Json] = []
        # The open rows of the workshop by part: queue, spools, stock, ...
        self.workshop: dict[str, list[Json]] = {}
        self.received: list[Received] = []
        self.cancelled: list[int] = []
        self.connections = 0
        # A deaf brain holds its sockets open and answers no ping.
        self.deaf = False
        self.subscriptions: list[Json] = []
        self.eligible: list[str] = []
        self.zone_levels: dict[str, Hazard] = {}
        self.snapshot_gate = asyncio.Event()
        self.snapshot_gate.set()
        self.hello_extra: Json = {}
        self._log: list[tuple[int, str, Json]] = []
        self._event_id = 0
        self._sockets: dict[web.WebSocketResponse, bool] = {}
        self._questions: dict[int, asyncio.Future[Json]] = {}
        self._numbers = 0
        self._news = asyncio.Condition()
        self._order = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.answers: dict[str, Answer] = {
            "system.info": lambda _params, _caller: {"scope": self.scope, "schema": SCHEMA},
            "integration.register": self._register,
            "audit.anchor": lambda _params, _caller: {"ok": True},
            "safety.sync": lambda _params, _caller: {"policy_versions": {}},
            "devices.put": self._put,
            "devices.remove": self._remove,
            "devices.request": self._request,
            "safety.decide": self._decide,
            "drivers.list": lambda _params, _caller: {"items": []},
            "outbox.read": self._read,
            "quality.list": lambda _params, _caller: {"items": [], "printers": []},
            "costs.get": lambda _params, _caller: {"parts": []},
            "predictions.get": lambda _params, _caller: _even_chance(),
        }

    @property
    def url(self) -> str:
        """Return where the brain listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def public_key(self) -> str:
        """Return the public half of the grant key."""
        return base64.b64encode(self.signing.public_key().public_bytes_raw()).decode()

    async def start(self) -> Self:
        """Open the port; a second start opens the same one again."""
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        app.router.add_post("/api/v1/actions", self._act)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        address: tuple[str, int] = self._runner.addresses[0]
        self._port = address[1]
        return self

    async def stop(self) -> None:
        """Close every socket and the port."""
        await self.drop(code=1012)
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def drop(self, code: int = 1013) -> None:
        """Cut every client off."""
        for socket in list(self._sockets):
            with suppress(ConnectionError):
                await socket.close(code=code)

    def restarted(self) -> None:
        """Become a brain that has just restarted: a new epoch, and no memory of past events."""
        self.epoch, self._log, self._event_id = new_id(), [], 0

    # What the tests look at.

    def sent(self, action: str) -> list[Json]:
        """Return the parameters of every command of this name, oldest first."""
        return [one.params for one in self.received if one.action == action]

    def callers(self, action: str) -> list[Json | None]:
        """Return the callers of every command of this name."""
        return [one.caller for one in self.received if one.action == action]

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true of what was received."""
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(lambda: bool(true()))

    async def received_command(self, action: str, count: int = 1) -> Json:
        """Wait for the n-th command of this name and return its parameters."""
        await self.until(lambda: len(self.sent(action)) >= count)
        return self.sent(action)[count - 1]

    # What the tests do.

    async def push(self, name: str, data: Json) -> None:
        """Tell every subscriber one change."""
        self._event_id += 1
        self._log.append((self._event_id, name, data))
        parts = {
            "device.updated": self.devices,
            "safety.event": self.events,
            "command.updated": self.commands,
            "job.updated": self.jobs,
            "provider.updated": self.providers,
        }
        if name in parts:
            parts[name][data["id"]] = data
        number = self._event_id
        async with self._order:
            for socket, subscribed in list(self._sockets.items()):
                if subscribed:
                    await self._send(socket, self._event_frame(number, name, data))

    async def ping(self) -> None:
        """Ask every client whether it is there."""
        for socket in list(self._sockets):
            await socket.ping()

    async def say(self, frame: Json | str) -> None:
        """Send any frame to every client, whatever the protocol says."""
        for socket in list(self._sockets):
            await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the integration; returns its whole response frame."""
        return await self.question(method, params)

    def question(self, method: str, params: Json) -> Coroutine[Any, Any, Json]:
        """Send a request to the integration; what is returned waits for its response frame."""
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._questions[number] = future
        frame = {"type": "request", "id": number, "method": method, "params": params}
        self._spawn(self.say(frame))
        return asyncio.wait_for(future, WAIT)

    def grant(self, **changes: Any) -> Json:
        """Return a signed grant; what is changed is signed, too."""
        now = time.time()
        grant: Json = {
            "command_id": new_id(),
            "event_id": None,
            "device_id": "",
            "intent": "unlock",
            "params": {},
            "subject": None,
            "level": "low",
            "people": [],
            "issued_at": now,
            "expires_at": now + 30,
            "nonce": new_id(),
        } | changes
        return {"grant": grant, "signature": self.sign(grant)}

    def sign(self, grant: Json) -> str:
        """Return the brain's signature of a grant."""
        return base64.b64encode(self.signing.sign(grant_bytes(grant))).decode()

    def event(self, device_id: str, intent: str = "unlock", **changes: Any) -> Json:
        """Return a pending safety event whose subject is right."""
        now = time.time()
        zone_id = changes.get("zone_id", self.devices.get(device_id, {}).get("zone_id"))
        event: Json = {
            "id": new_id(),
            "command_id": new_id(),
            "event_type": INTENTS[intent].event_type,
            "device_id": device_id,
            "device_name": self.devices.get(device_id, {}).get("name", "?"),
            "zone_id": zone_id,
            "intent": intent,
            "params": {},
            "level": "medium",
            "status": "pending",
            "people_needed": 1,
            "people": [],
            "initiated_by": None,
            "channel": "dashboard",
            "created_at": now,
            "expires_at": now + INTENTS[intent].approval_ttl,
            "resolved_at": None,
            "approved_by": [],
            "denied_by": None,
            "reason": None,
            "nonce": new_id(),
            "policy_version": 1,
            "requires_ppe": False,
            "eligible": list(self.eligible),
            "evidence_key": None,
        } | changes
        event.setdefault("subject", subject_hash(event))
        return event

    def command(self, device_id: str, intent: str, **changes: Any) -> Json:
        """Return a pending command."""
        return {
            "id": new_id(),
            "device_id": device_id,
            "intent": intent,
            "params": {},
            "status": "pending",
            "requested_by": None,
            "channel": "dashboard",
            "created_at": time.time(),
            "sent_at": None,
            "ack_at": None,
            "detail": None,
            "event_id": None,
            "conversation_id": None,
            "idempotency_key": None,
        } | changes

    # The scripted answers.

    def _read(self, params: Json, _caller: Json | None) -> Json:
        newest = self.outbox[-1] if self.outbox else {"id": 0, "at": 0.0}
        after = params.get("after", newest["id"])
        items = [one for one in self.outbox if one["id"] > after]
        last = {"after": newest["id"], "at": newest["at"]}
        return {"items": items[: params.get("limit", 100)], "last": last}

    def _register(self, params: Json, _caller: Json | None) -> Json:
        if self.integration_key not in (None, params["public_key"]):
            raise FakeError("integration_key_mismatch")
        self.integration_key = params["public_key"]
        return {"instance_id": self.instance_id}

    async def _put(self, params: Json, _caller: Json | None) -> Json:
        info = params["info"]
        device: Json = {
            "id": params["device_id"],
            "driver": params["driver"],
            "name": params["name"],
            "kind": info["kind"],
            "zone_id": params["zone_id"],
            "capabilities": info["capabilities"],
            "online": "online",
            "reason": None,
            "last_seen": time.time(),
            "state": {},
            "manufacturer": None,
            "model": None,
            "sw_version": None,
            "has_camera": False,
            "external_id": info["external_id"],
            "feeds": params["options"].get("feeds"),
            "power_off_when_cool": bool(params["options"].get("feeds")),
        }
        device = {**device, **self.devices.get(device["id"], {})}
        await self.push("device.updated", device)
        return device

    async def _remove(self, params: Json, _caller: Json | None) -> Json:
        self.devices.pop(params["device_id"], None)
        await self.push("device.removed", {"id": params["device_id"]})
        return {}

    async def _request(self, params: Json, caller: Json | None) -> Json:
        device = self.devices[params["device_id"]]
        zone = self.zone_levels.get(device["zone_id"], Hazard.LOW)
        level = hazard_level(params["intent"], zone)
        who = caller or {"user_id": None, "channel": "api"}
        command = self.command(
            device["id"],
            params["intent"],
            params=params["params"],
            requested_by=who["user_id"],
            channel=who["channel"],
        )
        event = None
        if level is not Hazard.LOW:
            event = self.event(
                device["id"],
                params["intent"],
                params=params["params"],
                command_id=command["id"],
                level=str(level),
                people_needed=2 if level is Hazard.HIGH else 1,
                initiated_by=who["user_id"],
                channel=who["channel"],
            )
            command["event_id"] = event["id"]
            await self.push("safety.event", event)
        else:
            command["status"] = "claimed"
        await self.push("command.updated", command)
        return {"command": command, "event": event}

    async def _decide(self, params: Json, caller: Json | None) -> Json:
        """Decide like the brain: the signature must be genuine; one denial ends it."""
        assert caller is not None
        assert self.integration_key is not None
        event = self.events[params["event_id"]]
        user_id = caller["user_id"] or "voice"
        message = approval_bytes(
            event_id=event["id"],
            subject=params["subject"],
            user_id=user_id,
            decision=params["decision"],
            channel=caller["channel"],
            ppe=params["ppe"],
            at=params["at"],
        )
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.integration_key))
        try:
            key.verify(base64.b64decode(params["signature"]), message)
        except InvalidSignature as err:
            raise FakeError("bad_signature") from err
        if event["status"] != "pending":
            raise FakeError("already_decided")
        if params["decision"] == "deny":
            decided = {**event, "status": "denied", "denied_by": user_id, "eligible": []}
        else:
            people = sorted({*event["people"], user_id})
            enough = len(people) >= event["people_needed"]
            decided = {
                **event,
                "people": people,
                "approved_by": people if enough else [],
                "status": "approved" if enough else "pending",
                "eligible": [one for one in event["eligible"] if one not in people],
            }
        await self.push("safety.event", decided)
        return decided

    # The wire.

    def _proof(self, nonce: str) -> str:
        message = hello_bytes(nonce=nonce, instance_id=self.instance_id)
        return base64.b64encode(self.signing.sign(message)).decode()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(autoping=not self.deaf)
        await socket.prepare(request)
        self.connections += 1
        self._sockets[socket] = False
        await self._send(
            socket,
            {
                "type": "hello",
                "schema": self.schema,
                "min_schema": self.min_schema,
                "version": "0.1.0",
                "instance_id": self.instance_id,
                "public_key": self.public_key,
                "epoch": self.epoch,
                "proof": self._proof(request.headers["X-Kitty-Nonce"]),
            }
            | self.hello_extra,
        )
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(socket, json.loads(message.data))
        finally:
            del self._sockets[socket]
            await self._notify()
        return socket

    async def _take(self, socket: web.WebSocketResponse, frame: Json) -> None:
        match frame["type"]:
            case "command":
                self._spawn(self._run(socket, frame))
            case "subscribe":
                self.subscriptions.append(frame)
                self._spawn(self._subscribe(socket, frame))
            case "cancel":
                self.cancelled.append(frame["id"])
            case "response":
                if not self._questions[frame["id"]].done():
                    self._questions[frame["id"]].set_result(frame)
        await self._notify()

    async def _run(self, socket: web.WebSocketResponse, frame: Json) -> None:
        number, params = frame["id"], frame.get("params") or {}
        self.received.append(Received(frame["action"], params, frame.get("caller")))
        await self._notify()
        answer: Answer = self.answers.get(frame["action"], _nothing)
        try:
            made = answer(params, frame.get("caller"))
            if isinstance(made, AsyncIterator):
                await self._stream(socket, number, made)
                return
            data = await made if inspect.isawaitable(made) else made
        except FakeError as err:
            await self._send(socket, {"type": "error", "id": number, "error": err.frame})
        else:
            await self._send(
                socket, {"type": "result", "id": number, "data": data, "request_id": "r"}
            )

    async def _stream(
        self, socket: web.WebSocketResponse, number: int, parts: AsyncIterator[Json]
    ) -> None:
        """Send what a generator yields: deltas, and as the last one ``{"result": …}``."""
        async for part in parts:
            if "result" in part:
                frame = {"type": "result", "id": number, "data": part["result"]}
            else:
                frame = {"type": "delta", "id": number, "data": part}
            await self._send(socket, frame)

    async def _act(self, request: web.Request) -> web.Response:
        """Run a command that came over REST, which names nobody."""
        if request.headers["Authorization"] != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        body = await request.json()
        self.received.append(Received(body["action"], body["params"], None))
        try:
            made = self.answers.get(body["action"], _nothing)(body["params"], None)
        except FakeError as err:
            return web.json_response({"status": "error", "error": err.frame}, status=502)
        return web.json_response({"status": "success", "data": made})

    async def _subscribe(self, socket: web.WebSocketResponse, frame: Json) -> None:
        await self.snapshot_gate.wait()
        async with self._order:
            await self._catch_up(socket, frame)
            if socket in self._sockets:
                self._sockets[socket] = True

    async def _catch_up(self, socket: web.WebSocketResponse, frame: Json) -> None:
        if frame.get("epoch") == self.epoch:
            missed = [one for one in self._log if one[0] > frame["after"]]
            resumed = {"type": "result", "id": frame["id"], "data": {"resumed": len(missed)}}
            await self._send(socket, resumed)
            for number, name, data in missed:
                await self._send(socket, self._event_frame(number, name, data))
        else:
            await self._send(
                socket,
                {
                    "type": "snapshot",
                    "id": frame["id"],
                    "epoch": self.epoch,
                    "event_id": self._event_id,
                    "data": {
                        "devices": list(self.devices.values()),
                        "events": list(self.events.values()),
                        "commands": list(self.commands.values()),
                        "jobs": list(self.jobs.values()),
                        "health": self.health,
                        "audit": self.audit,
                        "providers": list(self.providers.values()),
                        "budget": self.budget,
                        "mind": self.mind,
                        **self.workshop,
                    },
                },
            )

    def _event_frame(self, number: int, name: str, data: Json) -> Json:
        return {"type": "event", "event_id": number, "event": name, "data": data}

    async def _send(self, socket: web.WebSocketResponse, frame: Json) -> None:
        with suppress(ConnectionError):
            await socket.send_str(json.dumps(frame))

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


def _even_chance() -> Json:
    """Return what is known of a print where none has been judged."""
    return {"probability": 0.5, "low": 0.1, "high": 0.9, "n": 0, "cold": True} | {
        "because": [],
        "text": "Nobody can know yet.",
    }


def _nothing(_params: Json, _caller: Json | None) -> Json:
    return {}


def add_devices(brain: FakeBrain, devices: Iterable[Json]) -> None:
    """Give the brain devices that it had before Home Assistant connected."""
    brain.devices.update({device["id"]: device for device in devices})
