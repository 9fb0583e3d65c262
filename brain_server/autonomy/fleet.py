"""The look at all printers: what has been wrong with one for so long that somebody should go there."""

from collections.abc import Callable, Iterator, Sequence
import math
from typing import Any, Final

from sqlalchemy import Connection, select

from brain_server.autonomy.ideas import FLEET, results
from brain_server.bus import Bus, Event
from brain_server.devices.live import RESTING, Live
from brain_server.notify import put
from brain_server.protocol import Json, Kind, OnlineState
from brain_server.schedule import Run
from brain_server.storage import Database
from brain_server.storage.tables import devices

OFFLINE: Final = 4 * 3600.0
# Colder than any workshop: what a sensor says that is torn off.
COLDEST: Final = -20.0
HOTTEST: Final = {"nozzle": 500.0, "bed": 200.0}
# So much above what its people said that it may have, in degrees.
OVER: Final = 15.0
# One trouble is told once: it is the same one for as long as it lasts, and after a little pause.
AGAIN: Final = 86_400.0
_STOPPED: Final = RESTING | {"error"}
_WORDS: Final = {
    "offline": "has not answered for four hours",
    "error": "says that something is wrong",
    "sensor": "shows a temperature that cannot be",
    "too_hot": "is hotter than it may be",
    "left_heated": "is at rest and heated, and was so at the last look",
}


class FleetHealth:
    """Looks at every printer, tells of what is new, and forgets what is over."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        printers: Callable[[], Sequence[Live]],
        clock: Callable[[], float],
    ) -> None:
        """Take the devices as they are now."""
        self._db = database
        self._bus = bus
        self._printers = printers
        self._clock = clock
        # What was told by a look whose end is not stored yet.
        self._told: list[Json] | None = None
        bus.listen("work.updated", self._on_work)

    async def run(self, run: Run) -> Json:
        """Return ``{"checked", "problems", "resolved", "heated"}``; what is new is told."""
        now, self._told = self._clock(), None
        before, added = await self._db.read(
            lambda connection: (results(connection, FLEET, 1), _added(connection))
        )
        last = before[0] if before else {"problems": [], "heated": []}
        lives = self._printers()
        unpowered = {
            live.record.feeds
            for live in lives
            if live.record.kind is Kind.POWER and live.observed.state.get("on") is False
        }
        printers = [live for live in lives if live.record.kind is Kind.PRINTER]
        heated = [live.record.id for live in printers if _is_left_heated(live)]
        known = {(one["device_id"], one["code"]): one for one in last["problems"]}
        problems = [
            _problem(live, code, known, now)
            for live in printers
            for code in _troubles(live, now, added, unpowered, set(last["heated"]))
        ]
        still = {(one["device_id"], one["code"]) for one in problems}
        fresh = [one for one in problems if (one["device_id"], one["code"]) not in known]

        def tell(connection: Connection) -> None:
            for one in fresh:
                put(
                    connection,
                    now,
                    key=f"fleet:{one['device_id']}:{one['code']}",
                    severity="warning",
                    title=one["name"],
                    message=one["text"],
                    data={"device_id": one["device_id"]},
                    cooldown=AGAIN,
                )

        await run.write(tell)
        resolved = [one for key, one in known.items() if key not in still]
        if fresh or resolved:
            self._told = problems
            self._bus.publish("fleet.updated", {"problems": problems})
        return {
            "checked": len(printers),
            "problems": problems,
            "resolved": resolved,
            "heated": heated,
        }

    async def open(self) -> list[Json]:
        """Return what was wrong with printers at the last look, for a new subscriber."""
        if self._told is not None:
            return self._told
        found = await self._db.read(lambda connection: results(connection, FLEET, 1))
        problems: list[Json] = found[0]["problems"] if found else []
        return problems

    def _on_work(self, event: Event) -> None:
        if event.data["kind"] == FLEET:
            self._told = None


def _troubles(
    live: Live,
    now: float,
    added: dict[str, float],
    unpowered: set[str | None],
    heated: set[str],
) -> Iterator[str]:
    """Yield what is wrong with a printer; one that is away shows nothing else."""
    seen = live.observed
    if seen.online is OnlineState.OFFLINE:
        since = live.record.last_seen or added.get(live.record.id, now)
        # A clock that was put back proves nothing.
        if live.record.id not in unpowered and now - since >= OFFLINE:
            yield "offline"
        return
    if seen.online is OnlineState.FAULT or seen.state.get("status") == "error":
        yield "error"
    heats = {part: _number((seen.state.get(part) or {}).get("actual")) for part in HOTTEST}
    if any(
        heat is not None and not COLDEST <= heat <= HOTTEST[part] for part, heat in heats.items()
    ):
        yield "sensor"
    elif any(
        heat is not None and most is not None and heat > most + OVER
        for heat, most in (
            (heats["nozzle"], live.record.limits.max_nozzle),
            (heats["bed"], live.record.limits.max_bed),
        )
    ):
        yield "too_hot"
    if live.record.id in heated and _is_left_heated(live):
        yield "left_heated"


def _is_left_heated(live: Live) -> bool:
    state = live.observed.state
    targets = [_number((state.get(part) or {}).get("target")) for part in HOTTEST]
    return state.get("status") in _STOPPED and any(target for target in targets)


def _problem(live: Live, code: str, known: dict[tuple[str, str], Json], now: float) -> Json:
    """Return what is wrong, since when; a trouble that was there at the last look is the same one."""
    before = known.get((live.record.id, code))
    reason = live.observed.reason
    why = f" ({reason.replace('_', ' ')})" if reason else ""
    return {
        "device_id": live.record.id,
        "name": live.record.name,
        "code": code,
        "since": before["since"] if before else now,
        "text": f"{live.record.name} {_WORDS[code]}{why}."[:300],
    }


def _added(connection: Connection) -> dict[str, float]:
    """Return when each device was added: one that never answered has been away since then."""
    query = select(devices.c.id, devices.c.created_at)
    return dict(connection.execute(query).tuples().all())


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
