"""Money: nothing that costs is sent before its price is set aside, and no cap is ever passed.

A call is *reserved* at the most that it can cost, then *settled* at what it did cost, or *released* when
nothing was sent. What nobody settled, because the process died, is *lost*: it counts as spent. Sums are
made of whole millionths of the currency, in the transaction that reserves, so that they hold for several
processes on one database.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
import time
from typing import Annotated, Any, Final, Protocol

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    insert,
    select,
    update,
)

from brain_server import metrics
from brain_server.commands import Caller, NoParams, Page, Params, Scope, as_page, command
from brain_server.errors import Forbidden, KittyError
from brain_server.protocol import Json
from brain_server.providers import TierName
from brain_server.routing import stored
from brain_server.storage import Database, page_of
from brain_server.storage.tables import new_id, spending

MICRO: Final = 1_000_000
# A call that is not over after so long never will be.
STALE: Final = 900.0
MOST_MONEY: Final = 1e9
MOST_MICRO: Final = 2**62  # what a column holds, and then some
MOST_DAYS: Final = 400
LOOK_EVERY: Final = 20.0
# What a provider says beyond this is no count.
MOST_TOKENS: Final = 1_000_000_000
_KEY: Final = "budget"
_COUNTED: Final = spending.c.status != "released"
_AMOUNT: Final = func.coalesce(spending.c.cost_micro, spending.c.reserved_micro)


class Step(StrEnum):
    """How much is left: all is well, prefer what is cheap, nothing that costs."""

    NORMAL = "normal"
    SOFT = "soft"
    LOCAL_ONLY = "local_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The caps, in units of the currency, and the share of a cap from which to prefer what is cheap."""

    daily: float
    monthly: float
    soft: float = 0.8
    currency: str = "EUR"


class Priced(Protocol):
    """What has a price for a million tokens: a row of the providers. None: not known."""

    @property
    def id(self) -> str: ...  # noqa: D102 - the class says what these are
    @property
    def tier(self) -> TierName: ...  # noqa: D102 - the class says what these are
    @property
    def price_in(self) -> float | None: ...  # noqa: D102 - the class says what these are
    @property
    def price_out(self) -> float | None: ...  # noqa: D102 - the class says what these are


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Money that is set aside for one call; without an id the call is free."""

    id: str | None
    tier: TierName
    tokens_in: int
    max_tokens_out: int
    # For one token, in millionths of the currency: the price of a million in whole units.
    price_in: Decimal = Decimal(0)
    price_out: Decimal = Decimal(0)

    def exceeded(self, tokens_out: int) -> bool:
        """Tell whether an answer has become longer than what was set aside for it."""
        return self.id is not None and tokens_out > self.max_tokens_out

    def micro(self, tokens_in: int | None = None, tokens_out: int | None = None) -> int:
        """Return the cost of so many tokens, rounded up; what is not told costs what was set aside."""
        cost = _told(_plausible(tokens_in), self.tokens_in) * self.price_in
        cost += _told(_plausible(tokens_out), self.max_tokens_out) * self.price_out
        return min(int(cost.to_integral_value(ROUND_CEILING)), MOST_MICRO)

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> float:
        """Return the same in units of the currency."""
        return self.micro(tokens_in, tokens_out) / MICRO


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What was spent or is set aside, in millionths, on which day, and the limits of that moment."""

    today: str
    day: int
    month: int
    limits: Limits

    def plus(self, micro: int) -> _Sums:
        """Return the sums with something more."""
        return replace(self, day=self.day + micro, month=self.month + micro)

    @property
    def periods(self) -> list[tuple[str, int, int]]:
        """Return name, spent and cap of each period."""
        return [
            ("day", self.day, _micro(self.limits.daily)),
            ("month", self.month, _micro(self.limits.monthly)),
        ]

    @property
    def step(self) -> Step:
        if any(spent >= cap for _, spent, cap in self.periods):
            return Step.LOCAL_ONLY
        share = Decimal(str(self.limits.soft))
        return Step.SOFT if any(n >= share * cap for _, n, cap in self.periods) else Step.NORMAL


class SetLimits(Params):
    """New limits; what is left out stays as it is. 0: nothing may be spent."""

    daily: Annotated[float, msgspec.Meta(ge=0, le=MOST_MONEY)] | None = None
    monthly: Annotated[float, msgspec.Meta(ge=0, le=MOST_MONEY)] | None = None
    soft: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None


class SpendingPage(Page):
    """A part of the ledger."""

    conversation_id: str | None = None
    day: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$")] | None = None


class Period(Params):
    """The last days, today included."""

    days: Annotated[int, msgspec.Meta(ge=1, le=MOST_DAYS)] = 30


class Budget:
    """Keeps the ledger of what calls cost."""

    def __init__(
        self,
        database: Database,
        limits: Limits,
        clock: Callable[[], float],
        today: Callable[[], str],
        notify: Callable[[str, Json], object],
    ) -> None:
        """Take the database, the limits of the settings, the clock, the house's day and the bus."""
        self._db = database
        self._limits = limits
        self._clock = clock
        self._today = today
        self._notify = notify
        self._step = Step.NORMAL
        self._day = today()
        # How many writes have told how much is left.
        self._told = 0
        self._born = clock()

    async def recover(self) -> int:
        """Count as spent what nobody ended; returns how many calls that were.

        Whatever is long past, and on SQLite, which has one process, all from before this one.
        """
        past = self._clock() - STALE
        limit = max(past, self._born) if self._db.is_sqlite else past

        def work(connection: Connection) -> int:
            lost = {"status": "lost", "cost_micro": spending.c.reserved_micro}
            open_ = and_(spending.c.status == "reserved", spending.c.created_at < limit)
            values = lost | {"settled_at": self._clock()}
            return connection.execute(update(spending).where(open_).values(values)).rowcount

        count = await self._db.write(work)
        await self.level()
        return count

    async def reserve(
        self,
        request_id: str,
        conversation_id: str | None,
        provider: Priced,
        tokens_in: int,
        max_tokens_out: int,
        *,
        model: str | None = None,
    ) -> Reservation:
        """Set aside the most that a call can cost; ``tokens_in`` must not be too low.

        Raises Forbidden ``price_unknown``, ``budget_exhausted`` (with period, spent, cap, currency).
        """
        wanted = _priced(provider, tokens_in, max_tokens_out)
        if wanted.id is None:
            return wanted
        row: dict[str, Any] = {
            "id": wanted.id,
            "request_id": request_id,
            "conversation_id": conversation_id,
            "provider_id": provider.id,
            "tier": provider.tier.value,
            "model": model,
            "day": self._today(),
            "status": "reserved",
            "reserved_micro": wanted.micro(),
            "created_at": self._clock(),
        }

        def work(connection: Connection) -> tuple[_Sums, tuple[str, int, int] | None]:
            sums = self._sums(connection, row["day"])
            for period, spent, cap in sums.periods:
                if spent + row["reserved_micro"] > cap:
                    return sums, (period, spent, cap)
            connection.execute(insert(spending).values(row))
            return sums.plus(row["reserved_micro"]), None

        try:
            sums, full = await self._db.write(work)
        except asyncio.CancelledError:
            # It may be set aside all the same, and who is called off here has sent nothing.
            with suppress(KittyError):  # then it counts as lost
                await self.release(wanted)
            raise
        self._tell(sums)
        if full is not None:
            period, spent, cap = full
            raise Forbidden(
                "budget_exhausted",
                f"The budget of this {period} does not allow it",
                period=period,
                spent=spent / MICRO,
                cap=cap / MICRO,
                currency=sums.limits.currency,
            )
        return wanted

    async def settle(
        self,
        reservation: Reservation,
        tokens_in: int | None,
        tokens_out: int | None,
        *,
        model: str | None = None,
    ) -> float:
        """Record what a call used and return its cost; what is not told costs what was set aside."""
        tokens_in, tokens_out = _plausible(tokens_in), _plausible(tokens_out)
        cost = reservation.micro(tokens_in, tokens_out)
        used = {"cost_micro": cost, "tokens_in": tokens_in, "tokens_out": tokens_out}
        named = {} if model is None else {"model": model}
        if await self._end(reservation, {"status": "settled"} | used | named):
            metrics.count_cost(reservation.tier, cost / MICRO)
            metrics.count_tokens(reservation.tier, tokens_in or 0, tokens_out or 0)
        return cost / MICRO

    async def release(self, reservation: Reservation) -> None:
        """Give back what was set aside, because certainly nothing was sent."""
        await self._end(reservation, {"status": "released", "cost_micro": 0})

    async def level(self) -> Step:
        """Return how much is left; a change is told as ``budget.updated``."""
        day, told = self._today(), self._told
        self._tell(await self._db.read(lambda connection: self._sums(connection, day)), told)
        return self._step

    async def keep_days(self) -> None:
        """Tell of each day that begins, for ever: what was spent counts no more, and nobody needs to ask first."""
        while True:
            await asyncio.sleep(LOOK_EVERY)  # not until midnight: clocks are set
            if self._today() != self._day:
                await self.level()

    async def view(self) -> Json:
        """Return what was spent, the caps and the step, as ``budget.updated`` tells it."""
        day = self._today()
        return _view(await self._db.read(lambda connection: self._sums(connection, day)))

    async def publish(self) -> None:
        """Tell what was spent, the caps and the step, as they are now."""
        day = self._today()
        sums = await self._db.read_in_turn(lambda connection: self._sums(connection, day))
        self._notify("budget.updated", _view(sums))

    async def _end(self, reservation: Reservation, values: Json) -> bool:
        """End a reservation, also one that was given up as lost; False when it had ended before."""
        if reservation.id is None:
            return True
        # Who is called off while it is written has spent, or not, all the same.
        return await asyncio.shield(self._ended(reservation, values))

    async def _ended(self, reservation: Reservation, values: Json) -> bool:
        day, now = self._today(), self._clock()
        same = and_(spending.c.id == reservation.id, spending.c.status.in_(("reserved", "lost")))

        def work(connection: Connection) -> tuple[_Sums, bool]:
            query = update(spending).where(same).values(values | {"settled_at": now})
            ended = connection.execute(query).rowcount == 1
            return self._sums(connection, day), ended

        sums, ended = await self._db.write(work)
        self._tell(sums)
        return ended

    def _in_force(self, connection: Connection) -> Limits:
        changed = stored.load(connection, _KEY) or {}
        return Limits(**(asdict(self._limits) | changed))

    def _sums(self, connection: Connection, day: str) -> _Sums:
        today = func.sum(case((spending.c.day == day, _AMOUNT), else_=0))
        query = select(today, func.sum(_AMOUNT)).where(_COUNTED, _in_month(day))
        of_day, of_month = connection.execute(query).one()
        return _Sums(
            today=day,
            day=int(of_day or 0),
            month=int(of_month or 0),
            limits=self._in_force(connection),
        )

    def _tell(self, sums: _Sums, told: int | None = None) -> None:
        """Tell of a change; what was read is old where a write has told since, ``told`` being from before it."""
        if told is None:
            self._told += 1
        elif told != self._told:
            return
        before = self._step, self._day
        self._step, self._day = sums.step, sums.today
        if before != (self._step, self._day):
            self._notify("budget.updated", _view(sums))

    # -- commands -------------------------------------------------------------------------------------

    @command("budget.status", Scope.READ, read_only=True)
    async def status(self, _caller: Caller, _params: NoParams) -> Json:
        """Return what was spent today and this month, the caps, and on which models."""
        day, told = self._today(), self._told

        def work(connection: Connection) -> tuple[_Sums, list[Json]]:
            return self._sums(connection, day), _by_model(connection, day)

        sums, models = await self._db.read(work)
        self._tell(sums, told)
        return _view(sums) | {"models": models}

    @command("budget.set_limits", Scope.ADMIN)
    async def set_limits(self, caller: Caller, params: SetLimits) -> Json:
        """Change the limits, at once and for good; they win over the settings."""
        given = msgspec.to_builtins(params)
        changed = {name: value for name, value in given.items() if value is not None}

        def work(connection: Connection) -> None:
            stored.store(connection, _KEY, (stored.load(connection, _KEY) or {}) | changed)

        await self._db.write(work)
        before = self._step, self._day
        found = await self.status(caller, NoParams())
        # The caps are news, too, where the step stays as it was.
        if (self._step, self._day) == before:
            await self.publish()
        return found

    @command("spending.summary", Scope.READ, read_only=True)
    async def summary(self, _caller: Caller, params: Period) -> Json:
        """Return what was spent by day, tier, provider and model, the oldest day first."""
        today = self._today()
        since = (date.fromisoformat(today) - timedelta(days=params.days - 1)).isoformat()

        def work(connection: Connection) -> Json:
            rows = _sums_by(connection, spending.c.day, spending.c.day.between(since, today))
            rows.sort(key=lambda row: (row["day"], -row["cost"]))
            return {"currency": self._in_force(connection).currency, "items": rows}

        return {"since": since, "today": today} | await self._db.read(work)

    @command("spending.list", Scope.READ, read_only=True)
    async def list(self, _caller: Caller, params: SpendingPage) -> Json:
        """List the calls that cost money, oldest first."""
        query = page_of(select(spending), spending.c.id, params)
        if params.conversation_id is not None:
            query = query.where(spending.c.conversation_id == params.conversation_id)
        if params.day is not None:
            query = query.where(spending.c.day == params.day)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page([_row(row) for row in rows], params)


def _priced(provider: Priced, tokens_in: int, max_tokens_out: int) -> Reservation:
    """Return what a call reserves; what runs in the house is free. Forbidden ``price_unknown``."""
    is_local = provider.tier is TierName.LOCAL
    prices = (0.0, 0.0) if is_local else (provider.price_in, provider.price_out)
    if None in prices:
        raise Forbidden(
            "price_unknown", "The price of this model is not known", provider=provider.id
        )
    price_in, price_out = (Decimal(str(price)) for price in prices)
    return Reservation(
        id=new_id() if price_in or price_out else None,
        tier=provider.tier,
        tokens_in=tokens_in,
        max_tokens_out=max_tokens_out,
        price_in=price_in,
        price_out=price_out,
    )


def _told(tokens: int | None, otherwise: int) -> int:
    return otherwise if tokens is None else tokens


def _plausible(tokens: int | None) -> int | None:
    return tokens if tokens is not None and 0 <= tokens <= MOST_TOKENS else None


def _micro(amount: float) -> int:
    return int(Decimal(str(amount)) * MICRO)


def _in_month(day: str) -> Any:
    return spending.c.day.between(f"{day[:7]}-01", f"{day[:7]}-31")


def _view(sums: _Sums) -> Json:
    today = date.fromisoformat(sums.today)
    began = {"day": today, "month": today.replace(day=1)}
    periods = {
        name: {"spent": spent / MICRO, "cap": cap / MICRO, "since": _midnight(began[name])}
        for name, spent, cap in sums.periods
    }
    limits = {"soft": sums.limits.soft, "currency": sums.limits.currency}
    return {"step": sums.step.value, "today": sums.today} | periods | limits


def _midnight(day: date) -> float:
    """Return when a day begins in the time zone of this process, which is the one of the house."""
    return time.mktime(day.timetuple())


def _by_model(connection: Connection, day: str) -> list[Json]:
    """Return the spending of a month by tier, provider and model, the dearest first."""
    rows = _sums_by(connection, spending.c.tier, _in_month(day))
    return sorted(rows, key=lambda row: (-row["cost"], row["provider_id"], row["model"] or ""))


def _sums_by(connection: Connection, first: Column[str], which: ColumnElement[bool]) -> list[Json]:
    """Return sums of what counts by a column, and by tier, provider and model."""
    by = dict.fromkeys((first, spending.c.tier, spending.c.provider_id, spending.c.model))
    columns = (
        func.count().label("calls"),
        func.sum(_AMOUNT).label("cost"),
        func.coalesce(func.sum(spending.c.tokens_in), 0).label("tokens_in"),
        func.coalesce(func.sum(spending.c.tokens_out), 0).label("tokens_out"),
    )
    query = select(*by, *columns).where(_COUNTED, which).group_by(*by)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return [row | {"cost": int(row["cost"]) / MICRO} for row in rows]


def _row(row: Json) -> Json:
    """Return a row of the ledger with its money in units of the currency."""
    reserved, cost = row.pop("reserved_micro"), row.pop("cost_micro")
    return row | {
        "reserved": reserved / MICRO,
        "cost": None if cost is None else cost / MICRO,
    }
