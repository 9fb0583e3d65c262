"""From a place in the plan to a print, and to its end: each step is durable, and none is taken twice.

An item and a clear bed are claimed together; the start is asked for under a key that belongs to this attempt,
so that asking again, after a crash, is the same request; the gate and the people behind it decide as always.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
import logging
import math
from typing import Final

from brain_server.commands import Caller, Scope
from brain_server.devices import Devices, Request
from brain_server.devices.live import Live, began_since
from brain_server.errors import KittyError, NotFound, Unavailable
from brain_server.fabrication.outcomes import UNSEEN
from brain_server.fabrication.queue_rows import CLEARED, RUNNING, Rows, history_of
from brain_server.fabrication.schedule import VENTILATED
from brain_server.observability import Tasks, checkpoint
from brain_server.protocol import Channel, Json

_LOGGER = logging.getLogger(__name__)

# For so long the gate surely knows a request that was made before a crash; later, a person has to look.
KNOWN_S: Final = 12 * 3600.0
# A start that certainly did nothing is tried so often, elsewhere if possible.
MOST_STARTS: Final = 3
# A print that was lost before this part of its time had passed is certainly not done.
SURELY_NOT_DONE: Final = 0.5
# So long after a start was seen its job must be known.
PATIENCE_S: Final = 600.0
ASKED: Final = "asked_to_start"
UNVENTILATED: Final = "ventilation_unconfirmed"

# Brings an artifact to a printer, unless it is there, and returns the name that it has there.
type Bring = Callable[[Caller, str, str], Awaitable[str]]
type CommandOf = Callable[[str], Awaitable[Json | None]]


class Starts:
    """Starts items of the queue and follows them to their end."""

    def __init__(
        self, rows: Rows, tasks: Tasks, devices: Devices, bring: Bring, command_of: CommandOf
    ) -> None:
        """Take the rows, the devices, what brings files to printers, and what knows a command by its id."""
        self._rows = rows
        self._tasks = tasks
        self._devices = devices
        self._bring = bring
        self._command_of = command_of
        self._launching: dict[str, asyncio.Task[None]] = {}

    # -- what may begin -------------------------------------------------------------------------------

    async def begin(self, row: Json, bed: Json | None) -> str | None:
        """Start an item whose time has come; returns what it waits for, None when it is on its way."""
        try:
            live = self._devices.registry.get(row["device_id"])
        except NotFound:
            return "waits_for_printer"
        if not is_free(live):
            return "waits_for_printer"
        if bed is None or not bed["is_clear"] or _used_since(live, bed["changed_at"]):
            return "waits_for_clear_bed"
        claimed = await self._rows.claim(row, row["device_id"])
        checkpoint("taken")
        if claimed is not None:
            self._launch(claimed)
        return None

    def _launch(self, row: Json) -> None:
        """Bring the file and ask for the start, in the background: a file may take minutes."""
        if row["id"] in self._launching:
            return
        task = self._tasks.start(f"queue {row['id']}", self._ask(row))
        self._launching[row["id"]] = task
        task.add_done_callback(lambda _task: self._launching.pop(row["id"], None))

    async def _ask(self, row: Json) -> None:
        caller = _caller_of(row)
        file = _asked_for(row)
        resumed = file is not None
        try:
            if file is None:
                file = await self._bring(caller, row["artifact_id"], row["device_id"])
                checkpoint("brought")
                noted = {"code": ASKED, "device_id": row["device_id"], "file": file}
                values = {"command_id": "", "reasons": [noted, *history_of(row)]}
                changed = await self._rows.change(row, values)
                if changed is None:
                    return
                row = changed
            if not resumed:
                self._devices.switches.require("queue")
            asked = await self._devices.request(
                caller,
                Request(
                    device_id=row["device_id"],
                    intent="print_start",
                    params={"file": file} | await self._plate(row) | _air(row),
                    idempotency_key=_key_of(row, row["attempts"]),
                    conversation_id=row["conversation_id"],
                ),
            )
        except Unavailable as err:
            if err.code == "capability_off" and not resumed:
                await self._not_started(row, err.code)
                return
            # Asked again under the same key, with the next look.
            _LOGGER.warning("Item %s cannot be started now: %s", row["id"], err.code)
        except KittyError as err:
            if resumed:  # what was asked before the crash may be on its way
                await self._hold(row, {"code": "start_unknown", "device_id": row["device_id"]})
            elif err.code == UNVENTILATED:
                reasons = [{"code": UNVENTILATED, "device_id": row["device_id"]}, *history_of(row)]
                await self._back(row, "held", reasons)
            else:
                await self._not_started(row, err.code)
        else:
            checkpoint("asked")
            await self._rows.change(row, {"command_id": asked["command"]["id"]})

    async def _plate(self, row: Json) -> Json:
        """Return what names the plate for which the item was planned, whatever the printer would take."""
        if row["plate"] is not None:
            return {"plate": row["plate"]}
        facts = (await self._rows.artifacts([row["artifact_id"]]))[row["artifact_id"]]["facts"]
        several = facts.get("plate_numbers") not in (None, [1])
        return {"plate": facts["plate"]} if several else {}

    async def take_back(self, row: Json) -> None:
        """Void every start of an item that people could still approve; Conflict ``still_under_way``."""
        keys = [_key_of(row, attempt) for attempt in range(1, row["attempts"] + 1)]
        await self._devices.retract(_caller_of(row), keys, "queue_changed")

    # -- how it goes on -------------------------------------------------------------------------------

    async def follow(self, row: Json, job: Json | None, bed: Json | None, now: float) -> None:
        """Bring an item that is under way to what its command and its job show.

        A command of "" is one that was asked for, and whose id a crash took away.
        """
        if not row["command_id"]:
            claimed_at = bed["changed_at"] if bed and bed["queue_id"] == row["id"] else 0.0
            if now - claimed_at < KNOWN_S:
                self._launch(row)
            else:
                await self._hold(row, {"code": "start_unknown", "device_id": row["device_id"]})
            return
        if (job is None or job["run"] is None) and await self._follow_command(row, job, now):
            return
        if job is not None:
            await self._follow_job(row, job)

    async def _follow_command(self, row: Json, job: Json | None, now: float) -> bool:
        """Follow a start that no printer has shown yet; True when that was all there is to do."""
        command = await self._command_of(row["command_id"])
        if command is None:  # one of the two databases is an older copy
            await self._hold(row, {"code": "outcome_not_seen", "device_id": row["device_id"]})
            return True
        match command["status"]:
            case "acked" if job is None or job["status"] in RUNNING:
                # A crash came between the start and its job: the run was recorded as nobody's, or never.
                adopted = job is None and await self._rows.adopt(command)
                if not adopted and now - command["ack_at"] > PATIENCE_S:
                    reason = {"code": "outcome_not_seen", "device_id": row["device_id"]}
                    await self._hold(row, reason)
            case "denied" | "expired" as status:
                reason = {"code": status, "device_id": row["device_id"]}
                await self._back(row, "held", [reason, *history_of(row)])
            case "failed" if certainly_not_sent(command):
                await self._not_started(row, command["detail"] or "failed")
            case "failed":
                await self._hold(row, {"code": "start_not_seen", "device_id": row["device_id"]})
            case "unknown" if job is not None and job["status"] not in RUNNING:
                await self._hold(row, {"code": "start_unknown", "device_id": row["device_id"]})
            case "unknown":
                await self._note(row, {"code": "start_unknown", "device_id": row["device_id"]})
            case _:
                return False
        return True

    async def _follow_job(self, row: Json, job: Json) -> None:
        if row["job_id"] is None:
            await self._rows.tie(job["id"], row)
            changed = await self._rows.change(row, {"job_id": job["id"]})
            if changed is None:
                return
            row = changed
        match job["status"]:
            case "completed":
                await self._end(row, job, "completed", [])
            case "aborted":
                await self._end(row, job, "cancelled", [{"code": "aborted"}])
            case "failed":
                await self._failed(row, job)
            case _ if job["run"] is not None and row["status"] == "starting":
                await self._rows.change(row, {"status": "printing"})

    async def _failed(self, row: Json, job: Json) -> None:
        """Print it once more, elsewhere if possible, when it is certainly not done; else a person looks."""
        reason = {
            "code": "printer_lost",
            "device_id": row["device_id"],
            "error": job["error"],
        }
        if job["error"] == UNSEEN and not surely_not_done(row, job):
            await self._hold(row, {"code": "outcome_not_seen", "device_id": row["device_id"]})
        elif any(one["code"] == "printer_lost" for one in row["reasons"]):
            await self._end(row, job, "failed", [{"code": "failed", "error": job["error"]}])
        else:
            fresh = {"status": "queued", "reasons": [*history_of(row), reason]}
            await self._rows.change(row, fresh | CLEARED)

    async def _end(self, row: Json, job: Json, status: str, reasons: list[Json]) -> None:
        await self._rows.change(
            row,
            {
                "status": status,
                "reasons": [*reasons, *history_of(row)],
                "ended_at": job["completed_at"],
            },
        )

    async def _not_started(self, row: Json, why: str) -> None:
        """Nothing was printed: plan it again, elsewhere if possible, but not for ever."""
        reason = {"code": "start_failed", "device_id": row["device_id"], "error": why}
        if row["attempts"] < MOST_STARTS:
            await self._back(row, "queued", [*history_of(row), reason])
        else:
            await self._back(
                row, "held", [{"code": "start_refused", "error": why}, *history_of(row)]
            )

    async def _back(self, row: Json, status: str, reasons: list[Json]) -> None:
        values = {"status": status, "reasons": reasons} | CLEARED
        await self._rows.back_out(row, values)

    async def _hold(self, row: Json, reason: Json) -> None:
        """Leave it to a person; the bed is not taken for clear."""
        values = {"status": "held", "reasons": [reason, *history_of(row)]}
        await self._rows.change(row, values | CLEARED)

    async def _note(self, row: Json, reason: Json) -> None:
        if row["reasons"][:1] != [reason]:
            await self._rows.change(row, {"reasons": [reason, *history_of(row)]})


def _caller_of(row: Json) -> Caller:
    """Return in whose name an item is started."""
    return Caller(
        token="queue",  # noqa: S106 - a name in the trail, no secret
        scope=Scope.CONTROL,
        user_id=row["requested_by"],
        channel=Channel.AUTOMATION,
    )


def _key_of(row: Json, attempt: int) -> str:
    """Return the key under which one start of an item is asked for."""
    return f"queue-{row['id']}-{attempt}"


def _asked_for(row: Json) -> str | None:
    """Return the file whose start this attempt has asked for already."""
    if row["command_id"] is None:
        return None
    return next((one["file"] for one in row["reasons"] if one["code"] == ASKED), None)


def _air(row: Json) -> Json:
    """Return what says that a person promised moving air."""
    promised = any(one["code"] == VENTILATED for one in row["reasons"])
    return {"ventilation": True} if promised else {}


def is_free(live: Live) -> bool:
    """Tell whether a printer certainly rests and takes orders."""
    return live.is_in("idle") and not live.observed.state.get("read_only")


def certainly_not_sent(command: Json) -> bool:
    """Tell whether a failed start certainly did nothing; one that was sent may still begin."""
    return command["sent_at"] is None and command["detail"] not in _MAY_HAVE_BEGUN


# Said by a person of a start that might have begun, or by a driver after it was sent.
_MAY_HAVE_BEGUN: Final = frozenset({"not_observed", "settled by a person"})


def surely_not_done(row: Json, job: Json) -> bool:
    """Tell whether a print that ended unseen cannot have come to its end by then."""
    if row["estimated_s"] is None or job["started_at"] is None or job["completed_at"] is None:
        return False
    # The brain may have come to see the run late; the printer says when it began.
    took = job["completed_at"] - min(job["started_at"], _begun(job["run"]))
    return bool(took < SURELY_NOT_DONE * row["estimated_s"])


def _begun(run: str | None) -> float:
    try:
        return datetime.fromisoformat(run or "").timestamp()
    except ValueError:
        return math.inf


def _used_since(live: Live, then: float) -> bool:
    """Tell whether the printer shows a job that began after somebody said that the bed is clear."""
    return began_since(live.observed.state.get("job") or {}, then)
