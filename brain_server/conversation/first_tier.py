"""The first tier: KITTY's own verbs, understood by rules, answered from facts. No model, no guess."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import Connection, select

from brain_server.bus import Bus, Event
from brain_server.conversation import words
from brain_server.conversation.rules import compile_home, understand
from brain_server.conversation.rules.model import (
    Act,
    Ambiguous,
    Area,
    AskAudit,
    BadValue,
    Cancel,
    Chosen,
    Confirm,
    Help,
    Here,
    Home,
    Named,
    NeedsModel,
    NotFound,
    Pending,
    Person,
    Status,
    Understood,
    Unsupported,
)
from brain_server.devices import Devices, Request
from brain_server.devices.live import Live
from brain_server.errors import KittyError
from brain_server.protocol import INTENTS, Channel, Json, Kind
from brain_server.routing import Reply, Tier, TierName, Turn
from brain_server.safety.audit import search
from brain_server.safety.gate import Gate
from brain_server.storage import Database
from brain_server.storage.tables import users, zones

if TYPE_CHECKING:
    from brain_server.conversation.rules.names import CompiledHome

OUTCOME_WAIT: Final = 8.0
FILES_AGE: Final = 10.0
FILES_TIMEOUT: Final = 2.0
DONE_KINDS: Final = ("acked", "settled")


class FirstTier(Tier):
    """Turns understood sentences into requests at the gate, and facts into sentences."""

    name: ClassVar[TierName] = TierName.LOCAL

    def __init__(
        self,
        devices: Devices,
        gate: Gate,
        safety_db: Database,
        bus: Bus,
        clock: Callable[[], float],
    ) -> None:
        """Take the devices, the gate, the database of people and zones, the bus and a clock."""
        self._devices = devices
        self._gate = gate
        self._db = safety_db
        self._clock = clock
        self._home: tuple[Home, CompiledHome] | None = None
        self._named: tuple[tuple[Area, ...], tuple[Person, ...]] | None = None
        bus.listen("rules.changed", self._forget_names)
        self._files: dict[str, tuple[str, ...]] = {}
        self._files_at = 0.0

    async def answer(self, turn: Turn) -> Reply | None:
        """Answer what is KITTY's; pass on everything else."""
        home, compiled = await self._known()
        open_ = turn.state.get("open") or {}
        meant = understand(turn.text, compiled, _here(turn, open_))
        if _is_about_files(meant) and await self._ask_files():
            home, compiled = await self._known()
            meant = understand(turn.text, compiled, _here(turn, open_))
        return await self._replied(turn, meant, home, open_)

    async def answer_safely(self, turn: Turn) -> Reply | None:
        """Do what makes things safer, and take a no for an answer."""
        home, compiled = await self._known()
        open_ = turn.state.get("open") or {}
        meant = understand(turn.text, compiled, _here(turn, open_))
        if not _is_safer(meant, open_):
            return None
        return await self._replied(turn, meant, home, open_)

    async def _replied(
        self, turn: Turn, meant: Understood, home: Home, open_: Json
    ) -> Reply | None:
        try:
            return await self._reply(turn, meant, home, open_)
        except KittyError as err:
            return _said(words.refused(err), reason=err.code)

    def _forget_names(self, _event: Event) -> None:
        self._named = None

    async def _known(self) -> tuple[Home, CompiledHome]:
        """Return every name, compiled again only when one has changed."""
        if self._named is None:
            self._named = await self._db.read(_named)
        areas, people = self._named
        home = Home(
            devices=tuple(
                Named(
                    id=live.record.id,
                    name=live.record.name,
                    kind=live.record.kind,
                    area_id=live.record.zone_id,
                    capabilities=live.record.capabilities,
                    files=self._files.get(live.record.id),
                )
                for live in self._devices.registry.all()
            ),
            areas=areas,
            people=people,
        )
        if self._home is None or self._home[0] != home:
            self._home = home, compile_home(home)
        return self._home

    async def _ask_files(self) -> bool:
        """Ask printers what they can print, not more often than every ten seconds; False when too soon."""
        if 0 <= self._clock() - self._files_at < FILES_AGE:
            return False
        self._files_at = self._clock()
        printers = [one for one in self._devices.registry.all() if one.record.kind is Kind.PRINTER]
        lists = await asyncio.gather(*(_files_of(live) for live in printers))
        self._files = {
            live.record.id: files
            for live, files in zip(printers, lists, strict=True)
            if files is not None
        }
        return True

    async def _reply(self, turn: Turn, meant: Understood, home: Home, open_: Json) -> Reply | None:
        turn.state.pop("open", None)
        match meant:
            case Act():
                return await self.act(turn, meant)
            case Confirm() | Cancel():
                return await self._answered(turn, open_, yes=isinstance(meant, Confirm))
            case Chosen(candidates=chosen):
                return await self._chosen(turn, open_, chosen)
            case Ambiguous():
                return self._which(turn, meant)
            case Status():
                lives = [self._devices.registry.get(one) for one in meant.device_ids]
                lives = lives or self._devices.registry.all()
                return _said(words.status([live.view() for live in lives], meant.topic), "status")
            case AskAudit():
                return await self._audit(meant, home)
            case Pending():
                return await self._pending(home)
            case NeedsModel():
                return self._late_answer(turn, meant)
            case _:
                return self._explained(meant)

    def _late_answer(self, turn: Turn, _meant: NeedsModel) -> Reply | None:
        """Tell somebody who says yes or no to nothing that nothing is open; pass on everything else."""
        if self._home is None:
            return None
        meant = understand(turn.text, self._home[1], Here(pending=True))
        if isinstance(meant, Confirm | Cancel):
            return _said(words.NOTHING_OPEN, reason="nothing_open")
        return None

    def _explained(self, meant: Help | NotFound | Unsupported | BadValue) -> Reply:
        match meant:
            case Help():
                return _said(words.HELP, reason="help")
            case NotFound(what=what, name=name):
                # Another tier may know a thing of that name.
                reply = _said(words.not_found(what, name), reason="not_found")
                return replace(reply, certain=False)
            case Unsupported(intent=intent, device_id=device_id):
                name = self._devices.registry.get(device_id).record.name
                return _said(words.unsupported(name, intent), reason="not_capable")
            case BadValue(wrong=wrong):
                return _said(words.bad_value(wrong), reason="invalid_params")

    # -- doing ----------------------------------------------------------------------------------------

    async def act(self, turn: Turn, act: Act) -> Reply:
        """Ask for an act as the person of this turn, and say what came of it."""
        replies: list[str] = []
        asks = False
        data: list[Json] = []
        for device_id in act.device_ids:
            done = await self._devices.request(
                turn.caller,
                Request(
                    device_id=device_id,
                    intent=act.intent,
                    params=dict(act.params),
                    conversation_id=turn.conversation_id,
                    wait=OUTCOME_WAIT,
                ),
            )
            data.append(_tool_call(act.intent, device_id, act.params, done["command"]))
            event = done["event"]
            if event is None or event["status"] != "pending":
                replies.append(words.outcome(done["command"]))
            else:
                question = await self.asked(turn, event)
                asks = question.asks
                replies.append(question.text)
        return Reply(
            text=" ".join(replies),
            confidence=act.confidence,
            reason=f"rules:{act.intent}",
            asks=asks,
            data={"tool_calls": data} | ({"asks": turn.state["open"]["event_id"]} if asks else {}),
        )

    async def asked(self, turn: Turn, event: Json) -> Reply:
        """Say what waits for whom, and remember it as this conversation's question where a yes is enough."""
        asks = self._can_confirm_here(turn, event)
        text = words.asked(event, await self._names(event["eligible"]), asks=asks)
        if asks:
            turn.state["open"] = {"event_id": event["id"], "command_id": event["command_id"]}
        data = {"asks": event["id"]} if asks else {}
        return Reply(text=text, confidence=1.0, reason="asked", asks=asks, data=data)

    def _can_confirm_here(self, turn: Turn, event: Json) -> bool:
        """Tell whether a yes in this conversation could be the confirmation that is missing."""
        if event["people_needed"] != 1 or event["requires_ppe"]:
            return False
        if turn.caller.user_id is None:
            return turn.caller.channel is Channel.VOICE and event["voice_may_confirm"]
        return turn.caller.user_id in event["eligible"]

    async def _answered(self, turn: Turn, open_: Json, *, yes: bool) -> Reply:
        """Let Home Assistant, which knows who speaks, decide for that person; then tell what happened."""
        if not open_.get("event_id"):
            return _said(words.NOTHING_OPEN, reason="nothing_open")
        decision = "approve" if yes else "deny"
        link = self._devices.registry.link
        asked = {
            "event_id": open_["event_id"],
            "decision": decision,
            "context_id": turn.caller.context_id,
        }
        with self._devices.watch(open_["command_id"]) as outcome:
            event = await link.call("ha.decide", asked, timeout=10.0)
            if decision == "deny":
                return _said(words.CANCELLED, reason="denied")
            if event["status"] != "approved":
                names = await self._names(event["eligible"])
                return _said(words.asked(event, names, asks=False), reason="confirmed")
            done = await outcome(OUTCOME_WAIT)
        if done is None:
            return _said(words.under_way(event), reason="approved")
        call = _tool_call(done["intent"], done["device_id"], done["params"], done)
        return _said(words.outcome(done), reason="approved", data={"tool_calls": [call]})

    async def _chosen(self, turn: Turn, open_: Json, chosen: Sequence[str]) -> Reply | None:
        acts = [act for act in open_.get("acts", ()) if _key(act) in chosen]
        if len(acts) != 1:
            return _said(words.NOTHING_OPEN, reason="nothing_open")
        act = acts[0]
        return await self.act(
            turn,
            Act(intent=act["intent"], device_ids=tuple(act["device_ids"]), params=act["params"]),
        )

    def _which(self, turn: Turn, meant: Ambiguous) -> Reply:
        names = [self.name_of(candidate) for candidate in meant.candidates]
        acts = [asdict(act) | {"params": dict(act.params)} for act in meant.choices]
        turn.state["open"] = {"choices": [_key(act) for act in acts], "acts": acts}
        return _said(words.which(names), reason="ambiguous", asks=True)

    def name_of(self, candidate: str) -> str:
        """Return how people call a candidate: a device's name, or the file itself."""
        found = [one for one in self._devices.registry.all() if one.record.id == candidate]
        return found[0].record.name if found else candidate

    # -- telling --------------------------------------------------------------------------------------

    async def _audit(self, asked: AskAudit, home: Home) -> Reply:
        now = self._clock()
        kinds: tuple[str, ...] = (asked.decision,) if asked.decision else DONE_KINDS
        if asked.question == "what":
            kinds = (*DONE_KINDS, "approved", "denied", "failed", "unknown")
        rows = await self._db.read(
            lambda connection: search(
                connection,
                after=0,
                limit=200,
                kinds=kinds,
                device_id=asked.device_id,
                user_id=asked.person_id,
                since=now - asked.since if asked.since is not None else None,
                newest_first=True,
            )
        )
        within = {device.id for device in home.devices if device.area_id == asked.area_id}
        until = now - asked.until if asked.until is not None else now
        rows = [
            row
            for row in rows
            if row["at"] <= until
            and (asked.area_id is None or row["device_id"] in within)
            and (asked.intent is None or row["data"].get("intent") == asked.intent)
        ]
        people = {person.id: person.name for person in home.people}
        if asked.question == "what":
            text = words.history(rows[:8], people, now)
        else:
            text = await self._told(rows[:1], people, now)
        return _said(text, reason=f"audit:{asked.question}")

    async def _told(self, rows: list[Json], people: dict[str, str], now: float) -> str:
        if not rows:
            return words.NEVER
        row = rows[0]
        # What belongs to a deed stands shortly before it, among the rows of its device.
        related = await self._db.read(
            lambda connection: search(
                connection,
                after=row["seq"] + 1,
                limit=50,
                device_id=row["device_id"],
                newest_first=True,
            )
        )
        same = [one for one in related if one["command_id"] == row["command_id"]]
        return words.deed(row, same, people, now)

    async def _pending(self, home: Home) -> Reply:
        work = await self._gate.open_work()
        open_ = [event for _, event in work if event is not None and event["status"] == "pending"]
        people = {person.id: person.name for person in home.people}
        return _said(words.waiting(open_, people), reason="pending")

    async def _names(self, ids: Sequence[str]) -> list[str]:
        home, _ = await self._known()
        known = {person.id: person.name for person in home.people}
        return [known[one] for one in ids if one in known]


def _here(turn: Turn, open_: Json) -> Here:
    return Here(
        area_id=turn.area_id,
        pending=bool(open_.get("event_id")),
        candidates=tuple(open_.get("choices") or ()),
        second_of_day=turn.second_of_day,
    )


def _is_safer(meant: Understood, open_: Json) -> bool:
    """Tell whether what is meant can only make things safer: a no, a safe direction, or which device it is for."""
    match meant:
        case Cancel():
            return True
        case Act(intent=intent):
            intents = {intent}
        case Ambiguous(choices=choices):
            intents = {act.intent for act in choices}
        case Chosen(candidates=chosen):
            intents = {act["intent"] for act in open_.get("acts", ()) if _key(act) in chosen}
        case _:
            return False
    return bool(intents) and all(INTENTS[intent].safe for intent in intents)


def _named(connection: Connection) -> tuple[tuple[Area, ...], tuple[Person, ...]]:
    """Read the names of areas and people."""
    return (
        tuple(Area(id=row.id, name=row.name) for row in connection.execute(select(zones))),
        tuple(
            Person(id=row.id, name=row.display_name) for row in connection.execute(select(users))
        ),
    )


def _said(text: str, reason: str, *, asks: bool = False, data: Json | None = None) -> Reply:
    return Reply(text=text, confidence=1.0, reason=reason, asks=asks, data=data or {})


def _tool_call(intent: str, device_id: str, params: Mapping[str, Any], command: Json) -> Json:
    """Return what was done, as Home Assistant shows it in the chat log."""
    return {
        "name": "request",
        "arguments": {"device_id": device_id, "intent": intent, "params": dict(params)},
        "result": {name: command[name] for name in ("id", "status", "detail", "event_id")},
        "error": command["status"] in {"failed", "unknown"},
    }


def _key(act: Json) -> str:
    """Return what an answer to "which one" names: the device, or the file of a print."""
    devices: Sequence[str] = act["device_ids"]
    file = act["params"].get("file")
    return str(file) if file and act["intent"] in INTENTS and len(devices) == 1 else devices[0]


def _is_about_files(meant: Understood) -> bool:
    """Tell whether a sentence can only be judged with the files of the printers at hand."""
    match meant:
        case Act(intent=intent) | Ambiguous(intent=intent):
            return intent == "print_start"
        case NotFound(what=what):
            return what == "file"
        case _:
            return False


async def _files_of(live: Live) -> tuple[str, ...] | None:
    """Return the files of one printer; None when it does not tell."""
    try:
        async with asyncio.timeout(FILES_TIMEOUT):
            return tuple(await live.driver.files())
    except KittyError, TimeoutError:
        return None
