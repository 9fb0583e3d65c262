"""What a print costs: its filament, its electricity and the hours of its printer, each told as measured or estimated.

Filament is what the printer extruded where it tells, else what the slicer said, as far as the print came.
Electricity is what the printer's meter counted while the print ran; where no meter looked, watts times hours.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
import logging
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Params, Scope, command
from brain_server.devices.live import Live
from brain_server.devices.registry import Registry
from brain_server.errors import Conflict, NotFound
from brain_server.fabrication.outcomes import ENDED
from brain_server.observability import Tasks
from brain_server.protocol import Json, Kind
from brain_server.storage import Database
from brain_server.storage.tables import job_costs, jobs, meters

_LOGGER = logging.getLogger(__name__)

MICRO: Final = 1_000_000
HOUR: Final = 3600.0
# A meter that falls by less than this share trembles; by more, it was set back and counts from 0.
TREMBLE: Final = 0.1
# No printer of a workshop takes more: a meter that says so has leapt.
MOST_WATTS: Final = 5000.0
# So many seconds of a print without a meter are nothing to tell people.
SLACK: Final = 120.0
# Prints that ended while nobody wrote their costs down are caught up with for so long.
CATCH_UP: Final = 7 * 86_400.0
# No run takes ten kilometres of filament.
MOST_FIGURE: Final = 10_000_000.0
_REMEMBERED: Final = 256

type Prices = Callable[[float, float], float | None]


class Spools(Protocol):
    """Where used filament is booked; the inventory."""

    async def consume(
        self,
        job_id: str,
        device_id: str,
        *,
        grams: float | None = None,
        mm: float | None = None,
        source: Literal["printer", "estimate"] = "printer",
        material: str | None = None,
        holder: str | None = None,
    ) -> Json:
        """Book what a print took, once; returns ``{"grams", "cost_micro", "spool_id", …}``."""
        ...


@dataclass(slots=True)
class _Seen:
    """What a printer last told of one run."""

    filament_mm: float | None = None
    progress: float | None = None


class Observed(Params):
    """What the meter of a printer shows, in watt-hours since it began."""

    device_id: str
    wh: Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class CostsOf(Params):
    """One print."""

    job_id: str


class Costs:
    """Writes down what each print took and cost when it is over."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        registry: Registry,
        spools: Spools,
        clock: Callable[[], float],
        *,
        prices: Prices = lambda _start, _end: None,
        energy_price: float = 0.0,
        machine_price: float = 0.0,
        currency: str = "EUR",
    ) -> None:
        """Take where filament is booked, and the mean price of a kilowatt-hour between two times, if known."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._registry = registry
        self._spools = spools
        self._clock = clock
        self._prices = prices
        self._energy_price = energy_price
        self._machine_price = machine_price
        self._currency = currency
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()
        registry.listeners.append(self._on_device)
        bus.listen("job.updated", self._on_job)

    async def start(self) -> None:
        """Catch up with prints that ended without their costs being written down."""
        query = (
            select(jobs)
            .join(job_costs, job_costs.c.job_id == jobs.c.id, isouter=True)
            .where(
                jobs.c.status.in_(ENDED),
                jobs.c.started_at.is_not(None),
                jobs.c.completed_at > self._clock() - CATCH_UP,
                job_costs.c.parts.is_(None),
            )
        )
        for row in await self._rows(query):
            await self.book(row)

    def _on_device(self, live: Live) -> None:
        job = live.observed.state.get("job") or {}
        if live.record.kind is not Kind.PRINTER or job.get("started_at") is None:
            return
        key = (live.record.id, str(job["started_at"]))
        seen = self._seen.setdefault(key, _Seen())
        # A printer that has ended may show nothing, or start from 0: what it said before stands.
        seen.filament_mm = _most(seen.filament_mm, job.get("filament_mm"))
        seen.progress = _most(seen.progress, job.get("progress"))
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _on_job(self, event: Event) -> None:
        job = event.data
        if job["status"] in ENDED and job["started_at"] is not None and job["cost_micro"] is None:
            # As often as it takes: filament that is gone must not stand in the books until the next start.
            self._tasks.keep_up(f"costs of {job['id']}", partial(self.book, job))

    async def book(self, job: Json) -> None:
        """Write down what a finished print took and cost; a second time changes nothing."""
        if await self._parts(job["id"]) is not None:
            return
        filament, machine = await self._filament(job), self._machine(job)

        def work(connection: Connection) -> Json | None:
            metered = _metered(connection, job["id"])
            if metered is not None and metered["parts"] is not None:
                return None
            energy = self._energy(job, metered)
            parts = {"filament": filament, "energy": energy, "machine": machine}
            return _keep(connection, job["id"], parts)

        row = await self._db.write(work)
        if row is not None:
            self._seen.pop((job["device_id"], str(job["run"])), None)
            self._tell(row)

    async def _filament(self, job: Json) -> Json:
        seen = self._seen.get((job["device_id"], str(job["run"])), _Seen())
        given: Json = {}
        if seen.filament_mm:
            given = {"mm": seen.filament_mm, "source": "printer"}
        elif estimated := _most(job["estimated_g"], None):
            progress = _most(seen.progress, job["progress"]) or 0.0
            share = 1.0 if job["status"] == "completed" else min(1.0, progress / 100)
            given = {"grams": estimated * share, "source": "estimate"}
        if not given.get("mm") and not given.get("grams"):
            return {"grams": None, "cost_micro": None, "estimated": False, "source": None}
        booked = await self._spools.consume(
            job["id"],
            job["device_id"],
            material=job["material"],
            holder=job["queue_id"],
            **given,
        )
        return {
            "grams": booked["grams"],
            "cost_micro": booked["cost_micro"],
            "estimated": given["source"] == "estimate",
            "source": given["source"],
        }

    def _energy(self, job: Json, metered: Json | None) -> Json:
        """Return what the meter counted, and for the time that it did not see what it must have been.

        The price is the one of the time of the print: what was kept before stands.
        """
        start, end = job["started_at"], job["completed_at"]
        measured, seconds, kept = 0.0, 0.0, None
        if metered is not None:
            measured, seconds = metered["metered_wh"], metered["metered_s"]
            kept = metered["parts"] and metered["parts"]["energy"]
        blind = max(0.0, end - start - seconds)
        watts = self._watts(job["device_id"])
        if seconds > blind or (seconds and watts is None):
            # Where it did not look, the print was much the same.
            watts = measured / seconds * HOUR
        wh = None if watts is None else measured + watts * blind / HOUR
        price = self._prices(start, end) if kept is None else kept["price"]
        if price is None:
            price = self._energy_price or None
        return {
            "wh": wh,
            "price": price,
            "cost_micro": None if wh is None or price is None else round(wh * price * MICRO / 1000),
            "estimated": wh is not None and blind > SLACK,
            "source": None if wh is None else "meter" if seconds else "watts",
        }

    def _machine(self, job: Json) -> Json:
        hours = (job["completed_at"] - job["started_at"]) / HOUR
        cost = round(hours * self._machine_price * MICRO) if self._machine_price else None
        return {"hours": hours, "cost_micro": cost, "estimated": False, "source": "time"}

    def _watts(self, device_id: str) -> float | None:
        record = self._registry.find(device_id)
        return (record.options.get("watts") or None) if record is not None else None

    async def _parts(self, job_id: str) -> Json | None:
        query = select(job_costs.c.parts).where(job_costs.c.job_id == job_id)
        return await self._db.read(lambda connection: connection.execute(query).scalar())

    def _tell(self, row: Json) -> None:
        if any(row[name] is not None for name in ("used_g", "energy_wh", "cost_micro")):
            self._bus.publish("job.updated", row)

    @command("energy.observe", Scope.INTEGRATION)
    async def observe(self, _caller: Caller, params: Observed) -> Json:
        """Take what a printer's meter shows; what it counted goes to the prints that ran meanwhile."""
        device_id = self._registry.get(params.device_id).record.id
        now = self._clock()

        def work(connection: Connection) -> list[Json]:
            over = _counted(connection, device_id, params.wh, now)
            return [row for job in over if (row := self._more(connection, job)) is not None]

        for row in await self._db.write(work):
            self._tell(row)
        return {}

    def _more(self, connection: Connection, job: Json) -> Json | None:
        """Reckon the electricity of a print anew; None where its costs were not written down yet."""
        metered = _metered(connection, job["id"])
        if metered is None or metered["parts"] is None:
            return None
        energy = self._energy(job, metered)
        return _keep(connection, job["id"], metered["parts"] | {"energy": energy})

    @command("costs.get", Scope.READ, read_only=True)
    async def get(self, _caller: Caller, params: CostsOf) -> Json:
        """Return what a print cost, part by part; NotFound ``job_not_found``, Conflict ``job_not_over``."""
        found = await self._rows(select(jobs).where(jobs.c.id == params.job_id))
        if not found:
            raise NotFound("job_not_found", "There is no such print")
        if found[0]["status"] not in ENDED:
            raise Conflict("job_not_over", "This print is not over yet")
        parts = await self._parts(params.job_id) or {}
        total = _total(parts)
        counted = [name for name in parts if name != "machine" or self._machine_price]
        unknown = [name for name in counted if parts[name]["cost_micro"] is None]
        return {
            "job_id": params.job_id,
            "currency": self._currency,
            "total": None if total is None else total / MICRO,
            "parts": [_view(name, part) for name, part in parts.items()],
            "estimated": [name for name in counted if parts[name]["estimated"]],
            "unknown": unknown,
        }

    async def _rows(self, query: Any) -> Sequence[Json]:
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )


def _counted(connection: Connection, device_id: str, shows: float, now: float) -> list[Json]:
    """Take a reading and share what was counted among the prints of its time; returns those that are over."""
    of_it = meters.c.device_id == device_id
    last = connection.execute(select(meters).where(of_it)).one_or_none()
    if last is None:
        connection.execute(insert(meters).values(device_id=device_id, shown_wh=shows, at=now))
        return []
    trembles = last.shown_wh * (1 - TREMBLE) <= shows < last.shown_wh
    kept = last.shown_wh if trembles else shows
    connection.execute(update(meters).where(of_it).values(shown_wh=kept, at=now))
    counted = kept - last.shown_wh if kept >= last.shown_wh else shows
    elapsed = now - last.at
    if elapsed <= 0 or counted > MOST_WATTS * elapsed / HOUR:
        if elapsed > 0:
            _LOGGER.warning("The meter of device %s leapt by %.0f Wh", device_id, counted)
        return []
    query = select(jobs).where(
        jobs.c.device_id == device_id,
        jobs.c.started_at < now,
        or_(jobs.c.completed_at.is_(None), jobs.c.completed_at > last.at),
    )
    over = []
    for job in connection.execute(query).mappings().all():
        seconds = min(now, job["completed_at"] or now) - max(last.at, job["started_at"])
        _add(connection, job["id"], counted * seconds / elapsed, seconds)
        if job["status"] in ENDED:
            over.append(dict(job))
    return over


def _add(connection: Connection, job_id: str, wh: float, seconds: float) -> None:
    known = job_costs.c.job_id == job_id
    more = {
        "metered_wh": job_costs.c.metered_wh + wh,
        "metered_s": job_costs.c.metered_s + seconds,
    }
    if not connection.execute(update(job_costs).where(known).values(more)).rowcount:
        connection.execute(
            insert(job_costs).values(job_id=job_id, metered_wh=wh, metered_s=seconds)
        )


def _metered(connection: Connection, job_id: str) -> Json | None:
    """Return what the meter counted for a print, and its parts if they were written down."""
    query = select(job_costs).where(job_costs.c.job_id == job_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def _keep(connection: Connection, job_id: str, parts: Json) -> Json:
    """Write down the parts and their sum, and return the print."""
    of_it = job_costs.c.job_id == job_id
    if not connection.execute(update(job_costs).where(of_it).values(parts=parts)).rowcount:
        connection.execute(insert(job_costs).values(job_id=job_id, parts=parts))
    values = {
        "used_g": parts["filament"]["grams"],
        "energy_wh": parts["energy"]["wh"],
        "cost_micro": _total(parts),
    }
    same = jobs.c.id == job_id
    connection.execute(update(jobs).where(same).values(values))
    return dict(connection.execute(select(jobs).where(same)).mappings().one())


def _total(parts: Json) -> int | None:
    """Return the sum of what is known, in millionths; None where nothing is."""
    known = [part["cost_micro"] for part in parts.values() if part["cost_micro"] is not None]
    return sum(known) if known else None


def _view(name: str, part: Json) -> Json:
    """Return a part as it goes over the wire, its money as a number of the currency."""
    shown = {key: value for key, value in part.items() if key != "cost_micro"}
    cost = part["cost_micro"]
    return {"what": name, "cost": None if cost is None else cost / MICRO} | shown


def _most(one: Any, other: Any) -> float | None:
    """Return the greater of two figures, of which a printer may leave out either or tell nonsense."""
    known = [value for value in (one, other) if isinstance(value, int | float)]
    return max((float(value) for value in known if 0 <= value <= MOST_FIGURE), default=None)
