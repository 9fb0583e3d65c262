"""A real brain on loopback, and a Home Assistant that a test plays at the other end of its socket.

The people and zones are those of the gatehouse: ``hall`` is low, ``shop`` medium, ``lab`` high. Ada is an
operator, Bob an engineer, Cyd of safety, Dan an admin.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
import gzip
import importlib
import json
from pathlib import Path
import sys
import time
from typing import Any, Final, Self

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from brain_server import drivers
from brain_server.app import Brain
from brain_server.protocol import Json, approval_bytes, grant_bytes
from brain_server.safety.keys import verify
from brain_server.settings import Settings
from tests.brain.gatehouse import KEY, public
from tests.brain.soon import SOON

TOKEN: Final = "the-token-of-home-assistant"
ROOT: Final = Path(__file__).parents[2]
PUPPETS: Final = str(Path(__file__).parent / "puppets")

type Answer = Callable[[Json], Awaitable[Json]]


class Refused(Exception):
    """The brain said no; ``code`` is its word for it."""

    def __init__(self, frame: Json) -> None:
        """Keep the whole error frame."""
        self.error: Json = frame["error"]
        self.code: str = self.error["code"]
        super().__init__(f"{self.code}: {self.error['message']}")


def puppets() -> Any:
    """Return the module of the puppets, as the brain itself imports it."""
    if PUPPETS not in drivers.__path__:
        drivers.__path__.append(PUPPETS)
    return importlib.import_module("brain_server.drivers.puppet")


@asynccontextmanager
async def running(
    folder: Path, clock: Callable[[], float] = time.time, *, life: int = 1, **settings: Any
) -> AsyncIterator[Brain]:
    """Run a brain for the time of a block; in a second life on the same folder, puppets remember."""
    puppet = (await asyncio.to_thread(puppets)).Puppet
    if life == 1:
        puppet.orders.clear()
    # A busy machine is no news: only tests about slow queries are to find them in the log.
    usual = {"port": 0, "data_dir": folder, "token": TOKEN, "slow_query_ms": 600_000.0}
    made = Brain(Settings(**usual | settings), clock)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        # The reserve of a megabyte: a thousand tests would fill the disk with it.
        (folder / "safety.db.ballast").unlink(missing_ok=True)


@asynccontextmanager
async def at_home(brain: Brain) -> AsyncIterator[Home]:
    """Connect a Home Assistant, pair it and tell who lives there."""
    async with Home(brain) as home:
        await home.furnish()
        yield home


@asynccontextmanager
async def serving(folder: Path, *arguments: str) -> AsyncIterator[Served]:
    """Run a brain as a process of its own; its log goes to ``log`` in the folder."""
    log = folder / "log"
    command = [sys.executable, "-m", "brain_server", "serve", "--port", "0", "--token", TOKEN]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--data-dir", str(folder)),
            *arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), SOON)
        yield Served(process, json.loads(line)["port"], log)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class Served:
    """A brain in a process: enough of one for :class:`Socket` and :class:`Rest`."""

    process: asyncio.subprocess.Process
    port: int
    log: Path


async def until(check: Callable[[], Any], what: str, limit: float = SOON) -> Any:
    """Return the first true answer of a check; TimeoutError with what was waited for."""
    deadline = time.monotonic() + limit
    while not (found := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit:g} s")
        await asyncio.sleep(0.005)
    return found


class Later:
    """The wall clock, moved ahead by a test."""

    def __init__(self) -> None:
        """Start at the real time."""
        self.ahead = 0.0

    def __call__(self) -> float:
        """Return the time in POSIX seconds."""
        return time.time() + self.ahead


class Socket:
    """One WebSocket to the brain: frames in order, results by their id."""

    def __init__(self, brain: Brain | Served, token: str = TOKEN) -> None:
        """Say whom to call."""
        self.url = f"http://127.0.0.1:{brain.port}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self.frames: list[Json] = []
        self.events: list[Json] = []
        self.hello: Json = {}
        self.close_code: int | None = None
        self.ws: ClientWebSocketResponse
        self._ids = 100
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Connect, and read the hello."""
        self._session = ClientSession()
        try:
            self.ws = await self._session.ws_connect(f"{self.url}/ws", headers=self.headers)
        except BaseException:
            await self._session.close()
            raise
        self.hello = await self.ws.receive_json(timeout=SOON)
        self._reader = asyncio.get_running_loop().create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        await self.ws.close()
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._session.close()

    async def _read(self) -> None:
        async for message in self.ws:
            if message.type is WSMsgType.TEXT:
                await self.take(json.loads(message.data))
        self.close_code = self.ws.close_code

    async def take(self, frame: Json) -> None:
        """Keep one frame."""
        (self.events if frame["type"] == "event" else self.frames).append(frame)

    async def send(self, **frame: Any) -> int:
        """Send a frame, with the next id unless it brings its own; returns the id."""
        self._ids += 1
        numbered = {"id": self._ids} | frame
        await self.ws.send_str(json.dumps(numbered))
        return int(numbered["id"])

    async def answer(self, number: int | None, limit: float = SOON) -> Json:
        """Return the frame that ends a command, whatever it says."""

        def found() -> Json | None:
            ends = (one for one in self.frames if one["type"] in {"result", "error", "snapshot"})
            return next((one for one in ends if one["id"] == number), None)

        frame: Json = await until(found, f"answer to {number}", limit)
        return frame

    async def command(self, action: str, params: Any = None, **frame: Any) -> Any:
        """Run a command and return its data; Refused when the brain says no."""
        number = await self.send(type="command", action=action, params=params or {}, **frame)
        ended = await self.answer(number)
        if ended["type"] == "error":
            raise Refused(ended)
        return ended["data"]

    async def refusal(self, action: str, params: Any = None, **frame: Any) -> str:
        """Run a command that must be refused and return the code."""
        try:
            data = await self.command(action, params, **frame)
        except Refused as err:
            return err.code
        raise AssertionError(f"{action} was not refused: {data}")

    async def subscribe(self, **where: Any) -> Json:
        """Ask for events; returns the snapshot, or the result of a resumption."""
        return await self.answer(await self.send(type="subscribe", **where))

    async def event(self, name: str, check: Callable[[Json], Any] = lambda _: True) -> Json:
        """Return the data of the first event of that name for which the check holds."""

        def found() -> Json | None:
            same = (one["data"] for one in self.events if one["event"] == name)
            return next((data for data in same if check(data)), None)

        data: Json = await until(found, f"event {name}")
        return data


class Home(Socket):
    """Home Assistant: vouches for people, countersigns what they decide, acts on grants."""

    def __init__(self, brain: Brain, key: Ed25519PrivateKey = KEY) -> None:
        """Move in with a key."""
        super().__init__(brain)
        self.brain = brain
        self.key = key
        self.people = {"ada": "operator", "bob": "engineer", "cyd": "safety", "dan": "admin"}
        self.zones = {"hall": "low", "shop": "medium", "lab": "high"}
        self.policies: list[Json] = []
        # What its entities show, by device id, and every grant that it took.
        self.entities: dict[str, Json] = {}
        self.grants: list[Json] = []
        self.asked: list[Json] = []
        # By context id: who speaks in the turn that runs, and by which road.
        self.turns: dict[str, Json] = {}
        self.answers: dict[str, Answer] = {
            "ha.describe": self._describe,
            "ha.observe": self._observe,
            "ha.execute": self._execute,
            "ha.outcome": self._outcome,
            "ha.decide": self._decide,
            "ha.converse": self._converse,
            "ha.tools": self._offer,
            "ha.call_tool": self._call_tool,
        }
        # What the house itself understands, the tools that it offers, and those that were run.
        self.sentences: dict[str, Json] = {}
        self.tools: list[Json] = []
        self.called: list[Json] = []
        self.tool_results: dict[str, Json] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def furnish(self) -> None:
        """Pair, tell who lives here, and listen."""
        await self.command("integration.register", {"public_key": public(self.key)})
        await self.command("audit.anchor", {"seq": 0, "hash": "0" * 64})
        await self.sync()
        await self.subscribe()

    async def sync(self) -> None:
        """Tell people, zones and policies."""
        people = [
            {"id": name, "display_name": name.title(), "roles": [role]}
            for name, role in self.people.items()
        ]
        zones = [
            {"id": name, "name": name.title(), "hazard_level": level}
            for name, level in self.zones.items()
        ]
        await self.command(
            "safety.sync", {"users": people, "zones": zones, "policies": self.policies}
        )

    async def __aexit__(self, *_: object) -> None:
        """Leave, whatever was still to be answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().__aexit__()

    async def take(self, frame: Json) -> None:
        """Answer what the brain asks; keep everything else."""
        await super().take(frame)
        if frame["type"] == "request":
            self.asked.append(frame)
            task = asyncio.get_running_loop().create_task(self._reply(frame))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, frame: Json) -> None:
        try:
            reply = {"data": await self.answers[frame["method"]](frame["params"])}
        except Refused as err:
            reply = {"error": err.error}
        await self.ws.send_str(json.dumps({"type": "response", "id": frame["id"]} | reply))

    async def _converse(self, params: Json) -> Json:
        return self.sentences.get(params["text"], {"handled": False, "text": ""})

    async def _offer(self, _params: Json) -> Json:
        return {"tools": self.tools}

    async def _call_tool(self, params: Json) -> Json:
        if params["propose"]:
            return {"needs_person": True, "why": "brain_asks", "what": ""}
        self.called.append(params)
        return self.tool_results[params["name"]]

    async def token(self, scope: str) -> str:
        """Return the text of a new token."""
        made: Json = await self.command("tokens.create", {"name": f"a-{scope}-one", "scope": scope})
        return str(made["token"])

    # -- devices --------------------------------------------------------------------------------------

    async def add(
        self, driver: str, zone: str | None = "shop", name: str | None = None, **options: Any
    ) -> str:
        """Add a device; returns its id."""
        params = {"driver": driver, "options": options, "zone_id": zone, "name": name}
        device: Json = await self.command("devices.put", params)
        return str(device["id"])

    async def puppet(
        self, external_id: str, kind: str, zone: str | None = "shop", **more: Any
    ) -> Any:
        """Add a puppet and return it, on stage; its device id is ``context.device_id``."""
        await self.add("puppet", zone, external_id=external_id, kind=kind, **more)
        return await on_stage(external_id)

    async def request(
        self, device_id: str, intent: str, user: str | None = "ada", **more: Any
    ) -> Json:
        """Ask for something as a person with a dashboard; ``channel`` and ``params`` may differ."""
        caller = {"user_id": user, "channel": more.pop("channel", "dashboard")}
        params = {"device_id": device_id, "intent": intent} | more
        asked: Json = await self.command("devices.request", params, caller=caller)
        return asked

    # -- people ---------------------------------------------------------------------------------------

    async def decide(
        self, event: Json, user: str | None, decision: str = "approve", **more: Any
    ) -> Json:
        """Let a person press a button; returns the event."""
        channel, at = more.pop("channel", "mobile"), more.pop("at", time.time())
        ppe = more.pop("ppe", False)
        message = approval_bytes(
            event_id=event["id"],
            subject=event["subject"],
            user_id=user or "voice",
            decision=decision,
            channel=channel,
            ppe=ppe,
            at=at,
        )
        params = {
            "event_id": event["id"],
            "decision": decision,
            "subject": event["subject"],
            "at": at,
            "ppe": ppe,
            "signature": base64.b64encode(self.key.sign(message)).decode(),
        }
        caller = {"user_id": user, "channel": channel}
        decided: Json = await self.command("safety.decide", params | more, caller=caller)
        return decided

    async def see(self, user: str, zone: str) -> None:
        """Tell that somebody is in a zone now."""
        seen = {"zone_id": zone, "user_id": user, "source": "sensor", "status": "present"}
        await self.command("safety.presence", seen | {"observed_at": time.time()})

    async def ended(self, command_id: str) -> Json:
        """Return a command when it is over."""
        over = {"acked", "failed", "unknown", "denied", "expired"}
        return await self.event(
            "command.updated", lambda one: one["id"] == command_id and one["status"] in over
        )

    async def jobs(self) -> list[Json]:
        """Return all print jobs when nothing of them is under way any more."""
        tasks = self.brain.tasks._tasks
        await until(
            lambda: not [one for one in tasks if "job" in one.get_name()],
            "the end of what was under way",
        )
        items: list[Json] = (await self.command("jobs.list"))["items"]
        return items

    async def say(self, text: str, user: str | None = "ada", **more: Any) -> Json:
        """Say something in Assist and return the answer."""
        context = more.pop("context_id", f"turn-{self._ids}")
        channel = more.pop("channel", "assist" if user else "voice")
        caller = {"user_id": user, "channel": channel, "context_id": context}
        self.turns[context] = caller
        try:
            said: Json = await self.command(
                "conversation.process", {"text": text} | more, caller=caller, request_id=context
            )
        finally:
            del self.turns[context]
        return said

    # -- what the brain asks --------------------------------------------------------------------------

    async def _describe(self, params: Json) -> Json:
        entity = params["options"]["entity_id"]
        kind, capabilities = {
            "lock": ("door", ["lock", "unlock"]),
            "light": ("light", ["light_on", "light_off"]),
        }[entity.partition(".")[0]]
        return {
            "external_id": entity,
            "name": entity,
            "kind": kind,
            "capabilities": capabilities,
            "manufacturer": None,
            "model": None,
        }

    async def _observe(self, params: Json) -> Json:
        state = self.entities.get(params["device_id"], {})
        return {"online": "online", "state": state, "reason": None}

    async def _execute(self, params: Json) -> Json:
        grant = params["grant"]
        assert verify(self.hello["public_key"], params["signature"], grant_bytes(grant))
        self.grants.append(grant)
        self.entities[grant["device_id"]] = {
            "lock": {"locked": True},
            "unlock": {"locked": False},
            "light_on": {"on": True},
            "light_off": {"on": False},
        }[grant["intent"]]
        return {"status": "acked", "detail": "observed"}

    async def _outcome(self, params: Json) -> Json:
        spent = any(grant["command_id"] == params["command_id"] for grant in self.grants)
        return {"spent": spent, "status": "acked" if spent else None}

    async def _decide(self, params: Json) -> Json:
        turn = self.turns[params["context_id"]]
        (event,) = [
            one
            for one in (await self.command("safety.events"))["items"]
            if one["id"] == params["event_id"]
        ]
        return await self.decide(
            event, turn["user_id"], params["decision"], channel=turn["channel"]
        )


class Rest:
    """A program that talks HTTP to the brain."""

    def __init__(self, brain: Brain | Served, token: str | None = TOKEN) -> None:
        """Say whom to call, as whom."""
        self.url = f"http://127.0.0.1:{brain.port}"
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __aenter__(self) -> Self:
        """Open a session that changes nothing by itself."""
        self.session = ClientSession(headers=self.headers, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.session.close()

    async def call(self, method: str, path: str, **more: Any) -> Answered:
        """Send one request and read its answer."""
        async with self.session.request(
            method, f"{self.url}{path}", allow_redirects=False, **more
        ) as response:
            return Answered(response, await response.read())

    async def get(self, path: str, **more: Any) -> Answered:
        """Read."""
        return await self.call("GET", path, **more)

    async def act(self, action: str, params: Any = None, **more: Any) -> Answered:
        """Run a command."""
        body = {"action": action, "params": params or {}} | more.pop("body", {})
        return await self.call("POST", "/api/v1/actions", json=body, **more)


class Answered:
    """An answer that was read: its status, headers and body."""

    def __init__(self, response: ClientResponse, body: bytes) -> None:
        """Keep what matters."""
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.type = response.content_type
        self.raw = body
        packed = response.headers.get("Content-Encoding") == "gzip"
        self.body = gzip.decompress(body) if packed else body

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """Return what the envelope holds."""
        return self.json["data"]

    @property
    def code(self) -> str:
        """Return the code of the error."""
        return str(self.json["error"]["code"])


async def on_stage(external_id: str) -> Any:
    """Return the puppet of that name as soon as it runs."""
    stage = puppets().Puppet.on_stage
    return await until(lambda: stage.get(external_id), f"puppet {external_id}")
