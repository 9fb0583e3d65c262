"""People of the house: a browser's login each, over Home Assistant's own REST and WebSocket."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
import time
from typing import Any, Self

from aiohttp import ClientSession, ClientWebSocketResponse, WSMessage, WSMsgType

from script.house.waiting import PATIENCE_S, TooLate

type Json = dict[str, Any]

HOME_ASSISTANT_OK = 400


class Refused(RuntimeError):
    """Home Assistant said no; ``code`` is its, or KITTY's, own word for why, ``about`` what fills its sentence."""

    def __init__(self, code: str, message: str, about: Json | None = None) -> None:
        """Keep the code."""
        super().__init__(f"{message} [{code}]")
        self.code = code
        self.about = about or {}


@dataclass(slots=True, kw_only=True)
class Answer:
    """What Assist said, and what had been seen of the house by then."""

    text: str
    conversation_id: str
    asks: bool
    # How many state changes had been seen when the first word came, and when that was.
    seen_before: int
    first_heard: float
    # The words as they were streamed, and the tools whose use was shown.
    heard: str
    tools: tuple[str, ...]
    seconds: float


@dataclass(slots=True, kw_only=True)
class Account:
    """How somebody logs in; for this demonstration only."""

    name: str
    username: str
    password: str


@dataclass(slots=True)
class Person:
    """Somebody with a browser: acts over the same API as the dashboard does."""

    session: ClientSession
    url: str
    account: Account
    user_id: str = ""
    states: dict[str, Json] = field(default_factory=dict)
    changes: list[Json] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    _token: str = ""
    _ws: ClientWebSocketResponse | None = None
    _frames: asyncio.Queue[WSMessage] = field(default_factory=asyncio.Queue)
    _reader: asyncio.Task[None] | None = None
    _last_id: int = 0
    _subscriptions: dict[int, str] = field(default_factory=dict)

    @property
    def client_id(self) -> str:
        """Return what a login in a browser gives as its client."""
        return f"{self.url}/"

    # -- logging in -----------------------------------------------------------------------------------

    async def redeem(self, code: str) -> None:
        """Turn an authorization code into a session, as a browser does."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.client_id,
        }
        async with self.session.post(f"{self.url}/auth/token", data=form) as response:
            response.raise_for_status()
            self._token = (await response.json())["access_token"]

    async def log_in(self) -> Self:
        """Log in with name and password, and open the socket."""
        start = {
            "client_id": self.client_id,
            "handler": ["homeassistant", None],
            "redirect_uri": self.client_id,
        }
        async with self.session.post(f"{self.url}/auth/login_flow", json=start) as response:
            response.raise_for_status()
            flow = (await response.json())["flow_id"]
        given = {
            "client_id": self.client_id,
            "username": self.account.username,
            "password": self.account.password,
        }
        async with self.session.post(f"{self.url}/auth/login_flow/{flow}", json=given) as response:
            response.raise_for_status()
            answer = await response.json()
        if answer["type"] != "create_entry":
            raise Refused("login", str(answer.get("errors")))
        await self.redeem(answer["result"])
        await self.connect()
        return self

    async def connect(self) -> None:
        """Open the socket and follow all states; an administrator also follows what is called."""
        await self.close()
        self._ws = await self.session.ws_connect(
            f"{self.url}/api/websocket", max_msg_size=0, heartbeat=30
        )
        await self._ws.receive_json()
        await self._ws.send_json({"type": "auth", "access_token": self._token})
        if (answer := await self._ws.receive_json())["type"] != "auth_ok":
            raise Refused("auth_invalid", str(answer))
        self._frames = asyncio.Queue()
        self._reader = asyncio.get_running_loop().create_task(_read(self._ws, self._frames))
        self._last_id = 0
        self._subscriptions.clear()
        user = await self.ws("auth/current_user")
        self.user_id = user["id"]
        await self.follow("state_changed")
        self.states = {one["entity_id"]: one for one in await self.ws("get_states")}
        if user["is_admin"]:
            await self.follow("call_service")
            await self.follow("kitty_event")

    async def close(self) -> None:
        """Close the socket."""
        if self._ws is not None:
            await self._ws.close()
            self._ws = None
        if self._reader is not None:
            await self._reader
            self._reader = None

    # -- REST -----------------------------------------------------------------------------------------

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        """Call ``/api/<path>`` and return its JSON; Refused for any error."""
        async with self.session.request(
            method,
            f"{self.url}/api/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}"},
        ) as response:
            if response.status >= HOME_ASSISTANT_OK:
                raise Refused(str(response.status), await response.text())
            return await response.json()

    async def flow(self, kind: str, handler: Any, *answers: Json, **more: Any) -> Json:
        """Go through a flow of the settings, one answer for each of its steps; return its result."""
        path = f"config/config_entries/{kind}flow"
        shown: Json = await self.rest("POST", path, {"handler": handler, **more})
        for answer in answers:
            if shown["type"] not in {"form", "menu"}:
                break
            filled = _by_label(shown, answer)
            shown = await self.rest("POST", f"{path}/{shown['flow_id']}", filled)
            if shown.get("errors"):
                raise Refused("flow", f"{shown['step_id']}: {shown['errors']} for {filled}")
        return shown

    # -- WebSocket ------------------------------------------------------------------------------------

    async def ws(self, kind: str, **fields: Any) -> Any:
        """Run one command of the WebSocket API; Refused with its code."""
        number = await self._send(kind, fields)
        while True:
            frame = await self._receive(60.0)
            if frame["id"] == number and frame["type"] in {"result", "pong"}:
                if not frame.get("success", True):
                    error = frame["error"]
                    code = error.get("translation_key") or error["code"]
                    about = error.get("translation_placeholders")
                    raise Refused(code, error["message"], about)
                return frame.get("result")

    async def follow(self, event_type: str) -> None:
        """Keep every event of this type from now on."""
        number = await self._send("subscribe_events", {"event_type": event_type})
        self._subscriptions[number] = event_type
        while (frame := await self._receive(60.0))["id"] != number or frame["type"] != "result":
            pass
        if not frame["success"]:
            raise Refused(frame["error"]["code"], frame["error"]["message"])

    async def call(self, action: str, entity_id: str | None = None, /, **data: Any) -> Any:
        """Call an action, as a dashboard does."""
        domain, service = action.split(".")
        target = {"target": {"entity_id": entity_id}} if entity_id else {}
        answer = await self.ws(
            "call_service", domain=domain, service=service, service_data=data, **target
        )
        return answer.get("response")

    async def ask(self, action: str, /, **data: Any) -> Json:
        """Call an action that answers, and return its answer."""
        domain, service = action.split(".")
        answer = await self.ws(
            "call_service", domain=domain, service=service, service_data=data, return_response=True
        )
        response: Json = answer["response"]
        return response

    async def say(
        self,
        text: str,
        conversation_id: str | None = None,
        *,
        first: asyncio.Event | None = None,
        **more: Any,
    ) -> Answer:
        """Say something to Assist, as its dialog does, and return all that it answered; ``first``: a word was heard."""
        started = time.perf_counter()
        number = await self._send(
            "assist_pipeline/run",
            {
                "start_stage": "intent",
                "end_stage": "intent",
                "input": {"text": text},
                "conversation_id": conversation_id,
                **more,
            },
        )
        seen_before: int | None = None
        first_heard = 0.0
        heard: list[str] = []
        tools: list[str] = []
        output: Json | None = None
        while True:
            frame = await self._receive(60.0)
            if frame["id"] != number:
                continue
            if frame["type"] == "result" and not frame["success"]:
                raise Refused(frame["error"]["code"], frame["error"]["message"])
            event = frame.get("event", {})
            delta = (event.get("data") or {}).get("chat_log_delta", {})
            if seen_before is None and (delta.get("content") or event.get("type") == "intent-end"):
                seen_before, first_heard = len(self.changes), time.perf_counter()
                if first is not None:
                    first.set()
            heard += [delta["content"]] if delta.get("content") else []
            tools += [call["tool_name"] for call in delta.get("tool_calls") or ()]
            if event.get("type") == "intent-end":
                output = event["data"]["intent_output"]
            if event.get("type") == "error":
                raise Refused(event["data"]["code"], event["data"]["message"])
            if event.get("type") == "run-end":
                break
        if output is None:
            raise Refused("no_answer", "Assist ended without an answer")
        speech = output["response"]["speech"]
        return Answer(
            text=speech["plain"]["speech"] if speech else "",
            conversation_id=output["conversation_id"],
            asks=output["continue_conversation"],
            seen_before=seen_before or 0,
            first_heard=first_heard,
            heard="".join(heard),
            tools=tuple(tools),
            seconds=time.perf_counter() - started,
        )

    async def until(self, check: Callable[[], Any], what: str, limit: float = PATIENCE_S) -> float:
        """Take in what happens until a check holds; return the seconds, TooLate when it does not."""
        started = time.perf_counter()
        while not check():
            left = started + limit - time.perf_counter()
            try:
                await self._receive(max(left, 0.0))
            except TimeoutError:
                raise TooLate(f"{what}: not within {limit:g} s") from None
        return time.perf_counter() - started

    async def caught_up(self) -> None:
        """Take in everything that has happened so far."""
        await self.ws("ping")

    def state(self, entity_id: str) -> str | None:
        """Return the state of an entity as last seen."""
        return self.states.get(entity_id, {}).get("state")

    def called(self, since: int = 0) -> Counter[str]:
        """Count the service calls since a mark as ``domain.service entity``."""
        counted: Counter[str] = Counter()
        for data in self.calls[since:]:
            about = data["service_data"]
            entities = about.get("entity_id") or ""
            for one in entities if isinstance(entities, list) else [entities]:
                counted[f"{data['domain']}.{data['service']} {one}".strip()] += 1
        return counted

    async def _send(self, kind: str, fields: Json) -> int:
        if self._ws is None:
            raise Refused("not_connected", f"{self.account.name} is not connected")
        self._last_id += 1
        await self._ws.send_json({"id": self._last_id, "type": kind, **fields})
        return self._last_id

    async def _receive(self, limit: float) -> Json:
        """Return the next frame, having taken in what it says of the house."""
        if self._ws is None:
            raise Refused("not_connected", f"{self.account.name} is not connected")
        async with asyncio.timeout(limit):
            message = await self._frames.get()
        if message.type is not WSMsgType.TEXT:
            self._frames.put_nowait(message)  # for whoever asks again
            raise Refused("connection_lost", f"The socket of {self.account.name} was closed")
        frame: Json = message.json()
        if frame["type"] == "event" and frame["id"] in self._subscriptions:
            self._take_in(self._subscriptions[frame["id"]], frame["event"])
        return frame

    def _take_in(self, kind: str, event: Json) -> None:
        data = event["data"]
        match kind:
            case "state_changed":
                self.states[data["entity_id"]] = data["new_state"] or {}
                self.changes.append(data)
            case "call_service":
                self.calls.append(data)
            case _:
                self.events.append({"event_type": event["event_type"], **data})


async def _read(ws: ClientWebSocketResponse, frames: asyncio.Queue[WSMessage]) -> None:
    """Read until the end, so that Home Assistant's pings are answered also while nobody looks at what came."""
    while (message := await ws.receive()).type is WSMsgType.TEXT:
        frames.put_nowait(message)
    frames.put_nowait(message)


def _by_label(shown: Json, answer: Json) -> Json:
    """Return an answer whose keys are fields; a key may also be the label that a person reads.

    What belongs into a part of the form that is folded away is put there.
    """
    words = shown.get("description_placeholders") or {}
    fields = {
        text: key.replace("label_", "" if key.startswith("profile_") else "option_")
        for key, text in words.items()
        if key.startswith(("label_", "profile_label_"))
    }
    filled = {fields.get(key, key): value for key, value in answer.items()}
    for part in shown.get("data_schema") or ():
        if part.get("type") == "expandable":
            inside = {one["name"] for one in part["schema"]} & filled.keys()
            filled[part["name"]] = {name: filled.pop(name) for name in inside}
    return filled
