"""The print queue: what is to be printed, planned anew when anything changes, started when it surely may be."""

import asyncio
from collections.abc import Awaitable, Callable
import logging
import math
from typing import Annotated, Any, Final, Literal

import msgspec

from brain_server.bus import Bus, Event
from brain_server.capabilities import UPDATED
from brain_server.commands import PROCESSING_TIMEOUT, Caller, Page, Params, Scope, as_page, command
from brain_server.devices import Devices
from brain_server.devices.commands import DeviceId
from brain_server.devices.live import Live
from brain_server.errors import Conflict, InvalidRequest, KittyError, NotFound
from brain_server.fabrication.files import THREE_MF, Plate
from brain_server.fabrication.planning import Planning, slots_of
from brain_server.fabrication.queue_rows import BUSY, CLEARED, OPEN, Rows, history_of, view
from brain_server.fabrication.schedule import CONFIRMED, VENTILATED, checked_color
from brain_server.fabrication.starts import UNVENTILATED, Starts
from brain_server.protocol import Json, Kind
from brain_server.storage.tables import queue

_LOGGER = logging.getLogger(__name__)

CAPABILITY: Final = "queue"
# Changes come in swarms: a plan is made when it has been quiet for so long.
CALM_S: Final = 0.5
# Predictions go stale: with anything in the queue, it is planned anew after so long.
STALE_S: Final = 900.0
RETRY_S: Final = 10.0
# So many people may call a bed clear at once.
CLEARS: Final = 5
# A start may come so much before its time.
_EARLY_S: Final = 30.0

type Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
type Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
type Material = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
type Grams = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
type Priority = Annotated[int, msgspec.Meta(ge=1, le=10)]


class ColorRule(Params):
    """Any of these colours, none of those, and another one than an item or a slot (``device/slot``)."""

    is_: Annotated[list[Word], msgspec.Meta(max_length=16)] = msgspec.field(
        name="is", default_factory=list
    )
    not_: Annotated[list[Word], msgspec.Meta(max_length=16)] = msgspec.field(
        name="not", default_factory=list
    )
    differs_from: Word | None = None


class QueuePage(Page):
    """A part of the queue; without ``status`` what is not over."""

    status: str | None = None


class QueueId(Params):
    """One item."""

    queue_id: str


class Change(QueueId):
    """What is to change of an item that is not on its way; null takes a wish back."""

    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    deadline: Time | msgspec.UnsetType | None = msgspec.UNSET
    start: Literal["asap", "cheap"] | msgspec.UnsetType = msgspec.UNSET
    not_before: Time | msgspec.UnsetType | None = msgspec.UNSET
    device_id: str | msgspec.UnsetType | None = msgspec.UNSET
    material: Material | msgspec.UnsetType | None = msgspec.UNSET
    color: ColorRule | msgspec.UnsetType | None = msgspec.UNSET
    nozzle_mm: Annotated[float, msgspec.Meta(gt=0, le=3)] | msgspec.UnsetType | None = msgspec.UNSET
    grams: Grams | msgspec.UnsetType | None = msgspec.UNSET
    estimated_s: Annotated[float, msgspec.Meta(gt=0, le=2600000.0)] | msgspec.UnsetType | None = (
        msgspec.UNSET
    )
    title: Word | msgspec.UnsetType = msgspec.UNSET


class Add(Params):
    """What is to be printed: an artifact, by its id or its name; the rest is read from it unless given."""

    artifact_id: str | None = None
    file: Word | None = None
    plate: Plate | None = None
    title: Word | None = None
    priority: Priority = 5
    deadline: Time | None = None
    start: Literal["asap", "cheap"] = "asap"
    not_before: Time | None = None
    device_id: str | None = None
    material: Material | None = None
    color: ColorRule | None = None
    nozzle_mm: Annotated[float, msgspec.Meta(gt=0, le=3)] | None = None
    grams: Grams | None = None
    estimated_s: Annotated[float, msgspec.Meta(gt=0, le=2.6e6)] | None = None
    conversation_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    # The person promises moving air for a material that needs it.
    ventilation: bool = False


class Queue:
    """Keeps the queue; :meth:`run` plans and starts, for as long as the brain lives."""

    def __init__(
        self,
        rows: Rows,
        planning: Planning,
        starts: Starts,
        devices: Devices,
        bus: Bus,
        clock: Callable[[], float],
        *,
        # Tells what is known of a plate of a file; see ``files``.
        of_plate: Callable[[Json, int], Awaitable[Json]],
        calm_s: float = CALM_S,
    ) -> None:
        """Take the rows, what plans them, what starts them, and what may change a plan."""
        self._rows = rows
        self._planning = planning
        self._starts = starts
        self._devices = devices
        self._clock = clock
        self._of_plate = of_plate
        self._calm_s = calm_s
        self._changed = asyncio.Event()
        self._seen: dict[str, Any] = {}
        self._ended: dict[str, Json] = {}
        for topic in ("job.updated", "command.updated", "spool.updated", "energy.updated", UPDATED):
            bus.listen(topic, lambda _event: self._changed.set())
        bus.listen("queue.updated", self._on_item)
        devices.registry.listeners.append(self._on_device)

    # -- what people do -------------------------------------------------------------------------------

    @command("queue.add", Scope.CONTROL, capability=CAPABILITY)
    async def add(self, caller: Caller, params: Add) -> Json:
        """Put a file, or one plate of a project, into the queue; printed when its turn comes and people approve."""
        artifact = await self._artifact(params)
        title, facts, plate = artifact["name"], artifact["facts"], params.plate
        if artifact["kind"] != THREE_MF:
            if plate not in (None, 1):
                raise NotFound("no_such_plate", f"This file has no plate {plate}", plate=plate)
        elif plate is not None:
            facts = await self._of_plate(artifact, plate)
            title = f"{title} #{plate}" if facts["plate_numbers"] != [1] else title
        self._check_printer(params.device_id)
        given = {
            name: getattr(params, name)
            for name in ("priority", "deadline", "start", "not_before", "conversation_id")
        }
        row = await self._rows.add(
            given
            | {name: getattr(params, name) or read(facts) for name, read in FACTS.items()}
            | {
                "artifact_id": artifact["id"],
                "plate": plate,
                "title": params.title or title,
                "wanted_device_id": params.device_id,
                "color": _rule(params.color),
                "requested_by": caller.user_id,
                "reasons": [{"code": VENTILATED}] if params.ventilation else [],
            }
        )
        self._changed.set()
        return view(row)

    async def _artifact(self, params: Add) -> Json:
        found: Json | None = None
        if params.artifact_id is not None:
            known = await self._rows.artifacts([params.artifact_id])
            found = known.get(params.artifact_id)
        elif params.file is not None:
            found = await self._rows.artifact_called(params.file)
        if found is None:
            raise NotFound("file_not_found", "There is no such file")
        return found

    def _check_printer(self, device_id: str | None) -> None:
        if device_id is None:
            return
        live = self._devices.registry.get(device_id)
        if live.record.kind is not Kind.PRINTER:
            raise InvalidRequest(
                "invalid_params", "device_id: not a printer", field="device_id", reason="kind"
            )

    @command("queue.change", Scope.CONTROL, capability=CAPABILITY)
    async def change(self, _caller: Caller, params: Change) -> Json:
        """Change the wishes of an item that is not on its way yet."""
        names = [name for name in params.__struct_fields__ if name != "queue_id"]
        values = {name: getattr(params, name) for name in names}
        values = {name: value for name, value in values.items() if value is not msgspec.UNSET}
        if "device_id" in values:
            self._check_printer(values["device_id"])
            values["wanted_device_id"] = values.pop("device_id")
        if "color" in values:
            values["color"] = _rule(values["color"])
        row = await self._waiting(params.queue_id)
        if not FILAMENT.isdisjoint(values):
            await self._planning.let_go(row)
            values["spool_id"] = None
        # It is planned anew; nobody may start it by the plan that was.
        return await self._changed_to(row, values | CLEARED)

    @command("queue.cancel", Scope.CONTROL)
    async def cancel(self, _caller: Caller, params: QueueId) -> Json:
        """Take an item out of the queue; one that prints is cancelled at its printer instead."""
        row = await self._waiting(params.queue_id)
        await self._starts.take_back(row)
        values = {"status": "cancelled", "ended_at": self._clock(), "reasons": []}
        return await self._changed_to(row, values)

    @command("queue.hold", Scope.CONTROL)
    async def hold(self, caller: Caller, params: QueueId) -> Json:
        """Keep an item from being started until somebody releases it."""
        row = await self._waiting(params.queue_id)
        reason = {"code": "held_by_person", "user_id": caller.user_id}
        return await self._changed_to(
            row, {"status": "held", "reasons": [reason, *history_of(row)]} | CLEARED
        )

    @command("queue.release", Scope.CONTROL, capability=CAPABILITY)
    async def release(self, _caller: Caller, params: QueueId) -> Json:
        """Let a held item go on; it says that the filament is loaded, or the air moves, that it waited for."""
        row = await self._waiting(params.queue_id)
        if row["status"] != "held":
            raise Conflict("queue_not_held", "This item is not held")
        # What nobody knows of may still be waiting for people: it must not be printed beside the next start.
        await self._starts.take_back(row)
        history = history_of(row)
        first = row["reasons"][0] if row["reasons"] else {}
        if first.get("code") == "load_filament":
            history.append({"code": CONFIRMED, "device_id": first["device_id"]})
        if first.get("code") == UNVENTILATED:
            history.append({"code": VENTILATED})
        return await self._changed_to(row, {"status": "queued", "reasons": history})

    async def _waiting(self, queue_id: str) -> Json:
        """Return an item that is neither over nor on its way."""
        row = await self._rows.get(queue_id)
        if row is None:
            raise NotFound("queue_item_not_found", "There is no such item in the queue")
        if row["status"] in BUSY:
            raise Conflict(
                "queue_item_started",
                "This is on its way: decline it, or cancel the print at its printer",
            )
        if row["status"] not in OPEN:
            raise Conflict("queue_item_over", "This item is over")
        return row

    async def _changed_to(self, row: Json, values: Json) -> Json:
        changed = await self._rows.change(row, values)
        if changed is None:
            raise Conflict("queue_item_started", "This has just changed; look again")
        self._changed.set()
        return view(changed)

    @command("printers.cleared", Scope.CONTROL)
    async def cleared(self, caller: Caller, params: DeviceId) -> Json:
        """Say that the bed of a printer is clear, so that the queue may use it."""
        live = self._devices.registry.get(params.device_id)
        self._check_printer(params.device_id)
        for _ in range(CLEARS):  # it may be taken meanwhile, or somebody else may say the same
            bed = (await self._rows.beds()).get(params.device_id)
            busy = await self._rows.find(
                queue.c.status.in_(BUSY), queue.c.device_id == params.device_id, limit=1
            )
            if busy or not live.is_in("idle"):
                break
            if await self._rows.set_clear(params.device_id, caller.user_id, bed):
                self._changed.set()
                return {"device_id": params.device_id, "clear": True}
        raise Conflict("printer_busy", f"{live.record.name} is not at rest")

    @command("queue.plan", Scope.READ, timeout=PROCESSING_TIMEOUT, capability=CAPABILITY)
    async def plan(self, _caller: Caller, _params: Page) -> Json:
        """Plan the queue now; returns the plan and how it compares with first come, first served."""
        await self._planning.replan()
        rows = await self._rows.find(queue.c.status.in_(OPEN))
        beds = await self._rows.beds()
        return self._planning.summary | {
            "items": [view(row) for row in rows],
            "beds": {device_id: bed["is_clear"] for device_id, bed in beds.items()},
        }

    # -- the loop -------------------------------------------------------------------------------------

    async def open_items(self) -> list[Json]:
        """Return the items that are not over."""
        return [view(row) for row in await self._rows.find(queue.c.status.in_(OPEN))]

    async def beds(self) -> list[Json]:
        """Return which beds are clear, of those that anybody has said something of."""
        known = await self._rows.beds()
        return [{"device_id": one, "clear": bed["is_clear"]} for one, bed in known.items()]

    async def start(self) -> None:
        """Take up what was open when the process ended."""
        over = await self._rows.find(
            queue.c.status.not_in(OPEN), queue.c.ended_at > self._clock() - 7 * 86_400.0
        )
        self._ended.update((row["id"], row) for row in over)
        self._changed.set()

    async def stop(self) -> None:
        """End the process that plans."""
        await self._planning.stop()

    async def run(self) -> None:
        """Plan and start, for ever: when something changed, when a time has come, and now and then."""
        wait = 0.0
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass  # a time has come
            await asyncio.sleep(self._calm_s)
            self._changed.clear()
            try:
                wait = await self.turn()
            except KittyError as err:
                _LOGGER.warning("The queue cannot be looked at now: %s", err.code)
                wait = RETRY_S

    async def turn(self) -> float:
        """Follow what is under way, plan the rest, start what may begin; returns when to look again.

        While the queue is switched off nothing is planned and nothing begins.
        """
        await self._rows.note_prints()
        await self._follow()
        await self._release_ended()
        if not self._devices.switches.is_on(CAPABILITY):
            return STALE_S
        rows = await self._planning.replan()
        return await self._begin(rows)

    async def _follow(self) -> None:
        rows = await self._rows.find(queue.c.status.in_(BUSY))
        if not rows:
            return
        found, beds = await self._rows.jobs_of(rows), await self._rows.beds()
        for row in rows:
            await self._starts.follow(
                row, found.get(row["id"]), beds.get(row["device_id"]), self._clock()
            )

    async def _release_ended(self) -> None:
        """Give back the filament of items that are over; what they took was booked with the job."""
        for row in tuple(self._ended.values()):
            await self._planning.let_go(row)
            del self._ended[row["id"]]

    async def _begin(self, rows: list[Json]) -> float:
        """Start what is first on its printer and due; returns the seconds until the next is."""
        now, beds = self._clock(), await self._rows.beds()
        first: dict[str, Json] = {}
        for row in sorted(rows, key=lambda one: one["planned_start"] or math.inf):
            if row["status"] == "queued" and row["device_id"] is not None:
                first.setdefault(row["device_id"], row)
        wait = STALE_S
        for device_id, row in first.items():
            due = row["planned_start"] - _EARLY_S
            if due > now:
                wait = min(wait, due - now)
                continue
            reason = await self._starts.begin(row, beds.get(device_id))
            if reason is not None:
                await self._say(row, {"code": reason, "device_id": device_id})
        return wait

    async def _say(self, row: Json, reason: Json) -> None:
        if row["reasons"][:1] != [reason]:
            await self._rows.change(row, {"reasons": [reason, *row["reasons"]]})

    # -- what changes a plan --------------------------------------------------------------------------

    def _on_item(self, event: Event) -> None:
        """Remember an item that is over until its filament is given back."""
        if event.data["status"] not in OPEN:
            self._ended[event.data["id"]] = event.data
            self._changed.set()

    def _on_device(self, live: Live) -> None:
        """Look again when a printer does something else; a temperature is no reason."""
        if live.record.kind is not Kind.PRINTER:
            return
        state = live.observed.state
        slots = [(slot.material, slot.color) for slot in slots_of(state)]
        run = (state.get("job") or {}).get("started_at")
        seen = (live.observed.online, state.get("status"), run, slots, dict(live.record.options))
        if self._seen.get(live.record.id) != seen:
            self._seen[live.record.id] = seen
            self._changed.set()

    @command(
        "queue.list",
        Scope.READ,
        read_only=True,
        tool="List the print queue: what waits, on which printer and when each is planned, and why.",
    )
    async def list(self, _caller: Caller, params: QueuePage) -> Json:
        """List the queue, oldest first; without a status what is not over."""
        where = queue.c.status == params.status if params.status else queue.c.status.in_(OPEN)
        after = params.cursor or ""
        found = await self._rows.find(where, queue.c.id > after, limit=params.limit + 1)
        return as_page([view(row) for row in found], params)


# What the filament that was set aside depends on.
FILAMENT: Final = frozenset({"material", "color", "grams"})
FACTS: Final[dict[str, Callable[[Json], Any]]] = {
    "material": lambda facts: facts.get("material"),
    "nozzle_mm": lambda facts: facts.get("nozzle_mm"),
    "grams": lambda facts: facts.get("grams"),
    "estimated_s": lambda facts: facts.get("estimated_s"),
}


def _rule(color: ColorRule | None) -> Json | None:
    if color is None:
        return None
    rule = {"is": color.is_, "not": color.not_, "differs_from": color.differs_from}
    return checked_color({name: part for name, part in rule.items() if part})
