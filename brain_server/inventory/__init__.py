"""What there is to print with: spools, what is reserved of them, and what each print took."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, func, insert, select

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.errors import Conflict, InvalidRequest, NotFound
from brain_server.inventory import changes, colors, forecasting, materials, rows
from brain_server.inventory.asked import Full, Grams, Id, Length, Money, Some, Text, Word
from brain_server.inventory.books import Books, Touched
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage import page_of
from brain_server.storage.tables import reservations, spools, usage


class SpoolsPage(Page):
    """A part of the list of spools; archived ones only when they are asked for."""

    material: Word | None = None
    device_id: Id | None = None
    archived: bool = False


class PutSpool(Params):
    """A spool to add, or to change by its id; what is left out stays as it is."""

    spool_id: Id | None = None
    material: Word | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    vendor: Text | UnsetType | None = UNSET
    # "#rrggbb" or a name
    color: Word | UnsetType | None = UNSET
    diameter_mm: Annotated[float, msgspec.Meta(ge=0.5, le=5)] | UnsetType = UNSET
    density: Annotated[float, msgspec.Meta(ge=0.2, le=20)] | UnsetType | None = UNSET
    full_g: Full | UnsetType = UNSET
    remaining_g: Grams | UnsetType = UNSET
    # For the whole spool.
    price: Money | UnsetType | None = UNSET
    location: Text | UnsetType | None = UNSET


class UseSpool(Params):
    """Filament that was taken by hand: grams or millimetres."""

    spool_id: Id
    grams: Some | None = None
    mm: Length | None = None


class ArchiveSpool(Params):
    """A spool that is put away, or taken back."""

    spool_id: Id
    archived: bool = True


class LoadSpool(Params):
    """Where a spool is loaded; without a printer it goes back to the shelf."""

    spool_id: Id
    device_id: Id | None = None
    slot: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


class UsagePage(Page):
    """A part of the list of what was used."""

    spool_id: Id | None = None
    material: Word | None = None
    since: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Inventory:
    """Keeps spools; a spool never holds less than nothing, and nobody reserves what another has."""

    def __init__(
        self,
        books: Books,
        known: Callable[[str], bool] = lambda _device_id: True,
        *,
        spoolman: bool = False,
    ) -> None:
        """Take the books, what tells a printer that exists, and whether Spoolman says what a spool is."""
        self._books = books
        self._known = known
        self._spoolman = spoolman

    def follow(self, bus: Bus, tasks: Tasks) -> None:
        """Take the spools off a printer that is removed."""

        def removed(event: Event) -> None:
            device_id = event.data["id"]
            # As often as it takes: nobody tells of a printer that is gone a second time.
            tasks.keep_up(f"spools of {device_id}", partial(self._unload, device_id))

        bus.listen("device.removed", removed)

    async def _unload(self, device_id: str) -> None:
        def work(connection: Connection, touched: Touched) -> None:
            for row in rows.raw_spools(connection, spools.c.device_id == device_id):
                changes.change(connection, touched, row["id"], device_id=None, slot=None)

        await self._books.write(work)

    # -- for the queue --------------------------------------------------------------------------------

    async def reserve(
        self,
        holder: str,
        material: str,
        grams: float,
        *,
        color: str | Json | None = None,
        device_id: str | None = None,
    ) -> Json:
        """Set grams aside for a holder, in place of what it held, and return the spool.

        The spool that is loaded on the printer comes first, then the smallest that is enough, from the
        shelf rather than from another printer. ``color`` is a colour or ``{"is": [...], "not": [...]}``.
        Raises Conflict ``filament_short`` with needed, free (on the fullest that fits) and material.
        """
        name, needed, now = materials.normal(material), changes.measure(grams), self._books.clock()
        if needed <= 0:
            raise InvalidRequest("invalid_params", "grams must be above 0", reason="grams")

        def work(connection: Connection, touched: Touched) -> Json:
            held = changes.held_by(connection, holder)
            fitting = [
                row
                for row in rows.raw_spools(
                    connection, spools.c.material == name, spools.c.archived.is_(False)
                )
                if colors.fits(row["color"], color)
            ]
            for row in fitting:
                if held is not None and row["id"] == held["spool_id"]:
                    row["reserved_g"] -= held["grams"]
            found = forecasting.pick(fitting, needed - changes.EPSILON, device_id)
            if found is None:
                free = max(map(rows.free_g, fitting), default=0.0)
                raise Conflict(
                    "filament_short",
                    f"No spool of {name} has {needed:g} g left; the fullest has {free:g} g",
                    needed=needed,
                    free=round(free, 3),
                    material=name,
                )
            view = rows.spool_view(found | {"reserved_g": found["reserved_g"] + needed})
            if held is not None and (held["spool_id"], held["grams"]) == (found["id"], needed):
                return view  # nothing that anybody should be told
            changes.release(connection, touched, holder)
            made = {"spool_id": found["id"], "grams": needed, "created_at": now}
            connection.execute(insert(reservations).values(holder=holder, **made))
            touched.spools.add(found["id"])
            return view

        return await self._books.write(work)

    async def release(self, holder: str) -> bool:
        """Give back what a holder has set aside; False when it had nothing."""
        return await self._books.write(
            lambda connection, touched: changes.release(connection, touched, holder)
        )

    async def forecast(self, plan: Sequence[tuple[str, str, float]]) -> Json:
        """Tell at which item of a plan, (holder, material, grams) in order, each spool and material runs out."""
        normal = [
            (holder, materials.normal(name), changes.measure(grams)) for holder, name, grams in plan
        ]

        def work(connection: Connection) -> tuple[list[Json], dict[str, tuple[str, float]]]:
            held = connection.execute(select(reservations)).mappings()
            return rows.raw_spools(connection, spools.c.archived.is_(False)), {
                row["holder"]: (row["spool_id"], row["grams"]) for row in held
            }

        found, held = await self._books.read(work)
        return forecasting.forecast(normal, found, held)

    # -- for the prints -------------------------------------------------------------------------------

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
        slot: int | None = None,
    ) -> Json:
        """Book what a print took, once, and release what its holder had set aside.

        It is taken from the spool that is loaded there (in the slot, of the material, the holder's own
        first), else from the one that the holder reserved. Returns ``{"grams", "cost", "cost_micro",
        "spool_id", "overdrawn_g", "warnings", "again"}``; without a spool (``no_spool``) nothing is booked.
        """
        name = None if material is None else materials.normal(material)
        changes.measure(mm if grams is None else grams)
        now = self._books.clock()

        def work(connection: Connection, touched: Touched) -> Json:
            booked = rows.used_by(connection, job_id)
            if booked is not None:
                return changes.told(booked, booked["grams"]) | {"again": True}
            row = changes.spool_of_job(connection, device_id, name, holder, slot)
            if holder is not None:
                changes.release(connection, touched, holder)
            if row is None:
                return changes.told(None, changes.guess(grams, mm, name)) | {
                    "warnings": ["no_spool"]
                }
            took = changes.weigh(grams, mm, row)
            return changes.book(connection, touched, row, took, source, now, job_id=job_id)

        return await self._books.write(work)

    # -- spools ---------------------------------------------------------------------------------------

    async def open_spools(self) -> list[Json]:
        """Return the spools that are not archived."""
        found = await self._books.read(
            lambda connection: rows.raw_spools(connection, spools.c.archived.is_(False))
        )
        return [rows.spool_view(row) for row in found]

    @command(
        "spools.list",
        Scope.READ,
        read_only=True,
        tool="List spools of filament: material, colour, grams left and free, price, and where each is loaded.",
    )
    async def list(self, _caller: Caller, params: SpoolsPage) -> Json:
        """List spools, oldest first."""
        where: list[Any] = [spools.c.archived.is_(params.archived)]
        if params.material is not None:
            where.append(spools.c.material == materials.normal(params.material))
        if params.device_id is not None:
            where.append(spools.c.device_id == params.device_id)
        found = await self._books.read(lambda connection: rows.raw_spools(connection, *where))
        after = params.cursor or ""
        views = [rows.spool_view(row) for row in found if row["id"] > after]
        return as_page(views[: params.limit + 1], params)

    @command("spools.put", Scope.CONTROL, capability="inventory")
    async def put(self, _caller: Caller, params: PutSpool) -> Json:
        """Add a spool, or change one."""
        given = {
            name: value
            for name, value in msgspec.structs.asdict(params).items()
            if value is not UNSET
        }
        spool_id = given.pop("spool_id")
        values = changes.columns(given)

        def work(connection: Connection, touched: Touched) -> Json:
            if spool_id is None:
                return changes.add(connection, touched, values, self._books.clock())
            row = changes.spool_of(connection, spool_id)
            self._check_owner(row, values)
            touched.materials.add(row["material"])
            changes.change(connection, touched, spool_id, **changes.changes(row, values))
            return changes.spool_of(connection, spool_id)

        return rows.spool_view(await self._books.write(work))

    def _check_owner(self, row: Json, values: Json) -> None:
        """Refuse what the next look at Spoolman would undo; how much is left both may say."""
        if self._spoolman and row["spoolman_id"] is not None and values.keys() - {"remaining_g"}:
            raise Conflict("spoolman_decides", "This spool is in Spoolman; change it there")

    @command("spools.use", Scope.CONTROL, capability="inventory")
    async def use(self, _caller: Caller, params: UseSpool) -> Json:
        """Take filament from a spool by hand."""
        if (params.grams is None) == (params.mm is None):
            raise InvalidRequest("invalid_params", "Give either grams or mm", reason="grams, mm")

        def work(connection: Connection, touched: Touched) -> Json:
            row = changes.usable(connection, params.spool_id)
            grams = changes.weigh(params.grams, params.mm, row)
            booked = changes.book(connection, touched, row, grams, "person", self._books.clock())
            return booked | {
                "spool": rows.spool_view(changes.spool_of(connection, params.spool_id))
            }

        return await self._books.write(work)

    @command("spools.archive", Scope.CONTROL, capability="inventory")
    async def archive(self, _caller: Caller, params: ArchiveSpool) -> Json:
        """Put a spool away for good, or take it back; what was reserved of it is free again."""

        def work(connection: Connection, touched: Touched) -> Json:
            row = changes.spool_of(connection, params.spool_id)
            if row["archived"] == params.archived:
                return row
            self._check_owner(row, {"archived": params.archived})
            changes.put_away(connection, touched, row, archived=params.archived)
            return changes.spool_of(connection, params.spool_id)

        return rows.spool_view(await self._books.write(work))

    @command("spools.load", Scope.CONTROL, capability="inventory")
    async def load(self, _caller: Caller, params: LoadSpool) -> Json:
        """Say where a spool is loaded; what was there is unloaded."""
        device_id = params.device_id
        if device_id is not None and not self._known(device_id):
            raise NotFound("device_not_found", "There is no such device")

        def work(connection: Connection, touched: Touched) -> Json:
            changes.usable(connection, params.spool_id)
            slot = None if device_id is None else params.slot
            if device_id is not None:
                there = spools.c.device_id == device_id, spools.c.slot == slot
                for (old,) in connection.execute(select(spools.c.id).where(*there)).all():
                    changes.change(connection, touched, old, device_id=None, slot=None)
            changes.change(connection, touched, params.spool_id, device_id=device_id, slot=slot)
            return changes.spool_of(connection, params.spool_id)

        return rows.spool_view(await self._books.write(work))

    # -- use ------------------------------------------------------------------------------------------

    @command("inventory.usage", Scope.READ, read_only=True)
    async def used(self, _caller: Caller, params: UsagePage) -> Json:
        """List what was used, oldest first, with the sums of all that was asked for."""
        where: list[Any] = []
        if params.spool_id is not None:
            where.append(usage.c.spool_id == params.spool_id)
        if params.material is not None:
            where.append(spools.c.material == materials.normal(params.material))
        if params.since is not None:
            where.append(usage.c.at >= params.since)
        joined = usage.join(spools)
        used = select(usage, spools.c.material, spools.c.name).select_from(joined).where(*where)
        query = page_of(used, usage.c.id, params)
        sums = (
            select(
                spools.c.material,
                func.count(),
                func.sum(usage.c.grams),
                func.sum(usage.c.cost_micro),
            )
            .select_from(joined)
            .where(*where)
            .group_by(spools.c.material)
            .order_by(spools.c.material)
        )

        def work(connection: Connection) -> tuple[list[Json], list[Any]]:
            page = [dict(row) for row in connection.execute(query).mappings()]
            return page, list(connection.execute(sums).all())

        page, totals = await self._books.read(work)
        return as_page([rows.usage_view(row) for row in page], params) | {
            "materials": [
                {
                    "material": name,
                    "uses": count,
                    "grams": round(grams, 3),
                    "cost": None if cost is None else rows.money(int(cost)),
                }
                for name, count, grams, cost in totals
            ]
        }
