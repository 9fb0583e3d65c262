"""Print files: taken in once for each content, understood, sent to printers, and forgotten when nobody needs them."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import Connection, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.commands import PROCESSING_TIMEOUT, Caller, Page, Params, Scope, as_page, command
from brain_server.devices import Devices
from brain_server.devices.evidence import image_type
from brain_server.errors import Conflict, DeviceError, InvalidRequest, NotFound, Unavailable
from brain_server.fabrication.hazards import hazards, is_known
from brain_server.fabrication.store import Kind, Store, must_be
from brain_server.inventory.materials import DENSITIES, grams_of, normal
from brain_server.lan import alike
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage import Database, page_of
from brain_server.storage.tables import artifacts, jobs, new_id, printer_files, queue

# What the end of a name says that the file contains.
ENDINGS: Final = {
    ".gcode": "gcode",
    ".gco": "gcode",
    ".g": "gcode",
    ".bgcode": "bgcode",
    ".bgc": "bgcode",
    ".3mf": "3mf",
}
# The one kind of file that has plates.
THREE_MF: Final = "3mf"
OPEN_JOBS: Final = ("preparing", "printing", "paused")
OPEN_QUEUE: Final = ("queued", "held", "starting", "printing")
# Whoever has just sent a file is about to do something with it.
_FRESH: Final = 3600.0
# What may not go yet may be so many times what is kept.
_FAR: Final = 2


type Plate = Annotated[int, msgspec.Meta(ge=1, le=999)]


class FilesPage(Page):
    """A part of the print files; ``device_id`` keeps those that a printer holds."""

    device_id: str | None = None


class ArtifactId(Params):
    """One print file."""

    artifact_id: str


class PictureOf(ArtifactId):
    """A picture of a print file: the slicer's own, or the tool path as it is; of its first plate, if not of another."""

    kind: Kind = "thumbnail"
    plate: Plate | None = None


class Files:
    """Keeps print files. A printer gets its copy by the same road as ever."""

    def __init__(
        self,
        database: Database,
        devices: Devices,
        store: Store,
        clock: Callable[[], float],
        *,
        tasks: Tasks,
        days: int,
        most_bytes: int,
    ) -> None:
        """Take the database, the devices, the folder, a clock, the task keeper, and how much is kept for how long."""
        self._db = database
        self._devices = devices
        self.store = store
        self._clock = clock
        self._kept = days * 86_400.0
        self._most = most_bytes
        self._tasks = tasks
        self._learning = asyncio.Lock()
        # A file is not removed while it is found to be here, or given its place.
        self._placing = asyncio.Lock()
        devices.facts_of = self.facts_of
        devices.is_replaced = self.is_replaced

    # -- in -------------------------------------------------------------------------------------------

    async def take(
        self,
        caller: Caller,
        name: str,
        content: AsyncIterator[bytes],
        conversation_id: str | None = None,
    ) -> Json:
        """Take in a file and return its artifact; the same content again is the same artifact.

        InvalidRequest ``unsupported_file`` for what no printer prints.
        """
        kind = ENDINGS.get(PurePosixPath(name).suffix.lower())
        if kind is None:
            raise InvalidRequest(
                "unsupported_file",
                "This is no file that can be printed: slice it first",
                reason="not sliced",
            )
        await self._must_have_room()
        spooled = await self.store.spool(content)
        try:
            same = artifacts.c.sha256 == spooled.sha256
            async with self._placing:
                row = await self._find(same)
                if row is not None and row["sha256"] in await self.store.present():
                    row = await self._wanted(row, kind)
                else:
                    row = None
            if row is None:
                facts = await self.store.facts(spooled, kind)
                async with self._placing:
                    await self.store.keep(spooled)
                    row = await self._kept_as(
                        await self._find(same),
                        sha256=spooled.sha256,
                        name=name,
                        kind=kind,
                        size=spooled.size,
                        facts=understood(facts),
                        has_picture=await self.store.has_picture(spooled.sha256),
                        created_by=caller.user_id,
                        conversation_id=conversation_id,
                    )
                    row = await self._wanted(row, kind)
        finally:
            await self.store.drop(spooled)
        await self.forget()
        return await self._view(row)

    async def _wanted(self, row: Json, kind: str) -> Json:
        """Note that a file is wanted again; InvalidRequest ``unsupported_file`` where it is of another kind."""
        must_be(row["kind"], kind)
        if self._clock() - row["created_at"] > _FRESH:
            row = await self._change(row, created_at=self._clock())
        return row

    async def _must_have_room(self) -> None:
        """Refuse, as ``no_space``, what is far too much though nothing may go: the disk serves others, too."""
        if sum((await self.store.present()).values()) > _FAR * self._most:
            await self.forget()
            if sum((await self.store.present()).values()) > _FAR * self._most:
                raise Unavailable("no_space", "There is no space left for this file")

    async def upload(
        self, caller: Caller, device_id: str, name: str, content: AsyncIterator[bytes]
    ) -> Json:
        """Take in a file and send it to a printer; returns ``{"file", "artifact"}``."""
        self._devices.registry.get(device_id)
        artifact = await self.take(caller, name, content)
        file = await self._sent(caller, artifact, device_id, name)
        return {
            "file": file,
            "artifact": await self.get(caller, ArtifactId(artifact_id=artifact["id"])),
        }

    async def send(self, caller: Caller, artifact_id: str, device_id: str) -> str:
        """Send a file to a printer, unless it is there, and return the name that ``print_start`` takes."""
        row = await self._one(artifact_id)
        names = set(await self._devices.registry.get(device_id).driver.files())
        query = (
            select(printer_files.c.name)
            .where(printer_files.c.device_id == device_id, printer_files.c.artifact_id == row["id"])
            .order_by(printer_files.c.uploaded_at.desc())
        )
        known = await self._db.read(lambda connection: connection.execute(query).scalars().all())
        there = [name for name in known if name in names]
        for name in there:
            if not await self.is_replaced(device_id, name):
                return str(name)
        # What another program put in its place stays: somebody may want it.
        fresh = _fresh_name(row) if there else row["name"]
        return await self._sent(caller, row, device_id, fresh)

    async def _sent(self, caller: Caller, artifact: Json, device_id: str, name: str) -> str:
        content = self.store.chunks(artifact["sha256"])
        file = await self._devices.upload(caller, device_id, name, content)
        stamp = await self._stamp(device_id, file, artifact["size"])
        same = and_(printer_files.c.device_id == device_id, printer_files.c.name == file)
        values = {
            "device_id": device_id,
            "name": file,
            "artifact_id": artifact["id"],
            "uploaded_at": self._clock(),
            "stamp": stamp,
        }

        def work(connection: Connection) -> None:
            connection.execute(delete(printer_files).where(same))
            connection.execute(insert(printer_files).values(values))

        await self._db.write(work)
        return file

    async def _change(self, row: Json, **columns: Any) -> Json:
        same = artifacts.c.id == row["id"]
        await self._db.write(
            lambda connection: connection.execute(update(artifacts).where(same).values(columns))
        )
        return row | columns

    async def _kept_as(self, old: Json | None, **columns: Any) -> Json:
        """Store what was found out about a content, or once more what was removed, and return its row."""
        if old is not None:
            columns = {name: columns[name] for name in ("facts", "has_picture")}
            same = artifacts.c.id == old["id"]
            await self._db.write(
                lambda connection: connection.execute(update(artifacts).where(same).values(columns))
            )
            return old | columns
        row: Json = columns | {"id": new_id(), "created_at": self._clock()}
        try:
            await self._db.write(
                lambda connection: connection.execute(insert(artifacts).values(row))
            )
        except IntegrityError:  # the same content came by another road at the same time
            return await self._find(artifacts.c.sha256 == row["sha256"]) or row
        return row

    # -- what is known --------------------------------------------------------------------------------

    async def artifact_of(self, device_id: str, file: str) -> Json | None:
        """Return the row of the artifact that a printer's file is, None where nobody knows."""
        query = (
            select(artifacts)
            .join(printer_files)
            .where(printer_files.c.device_id == device_id, printer_files.c.name == file)
        )
        return await self._db.read(
            lambda connection: _row(connection.execute(query).mappings().first())
        )

    async def is_replaced(self, device_id: str, file: str) -> bool:
        """Tell whether a printer's file is certainly no longer the one that was sent to it under this name."""
        name = await self._known_as(device_id, file)
        if name is None:
            return False
        here = (printer_files.c.device_id == device_id, printer_files.c.name == name)
        columns = printer_files.c.stamp, printer_files.c.uploaded_at, artifacts.c.size
        query = select(*columns).join(artifacts).where(*here)
        row = await self._db.read(lambda connection: connection.execute(query).first())
        stored = await self._devices.about(device_id, name)
        if row is None or stored is None:
            return False
        if row.stamp is not None:
            return bool(row.stamp != stored.stamp)
        if row.size == stored.size:  # the printer had not looked at it yet when it was sent
            # Not what was sent meanwhile under the same name.
            same = (*here, printer_files.c.uploaded_at == row.uploaded_at)
            stamped = update(printer_files).where(*same).values(stamp=stored.stamp)
            await self._db.write(lambda connection: connection.execute(stamped))
        return False

    async def _stamp(self, device_id: str, file: str, size: int) -> str | None:
        """Return by what a file that was just sent is known again, None while the printer does not tell."""
        try:
            stored = await self._devices.about(device_id, file)
        except DeviceError:
            return None
        return stored.stamp if stored is not None and stored.size == size else None

    async def facts_of(self, device_id: str, file: str, plate: int) -> Json | None:
        """Return the facts of one plate of a printer's file, None where nobody knows them.

        Of one that is not known by this name, those of what the printer may take it for. NotFound
        ``no_such_plate``, and ``file_missing`` where the plate cannot be read any more.
        """
        name = await self._known_as(device_id, file)
        found = None if name is None else await self.artifact_of(device_id, name)
        return None if found is None else await self.of_plate(found, plate)

    async def _known_as(self, device_id: str, file: str) -> str | None:
        """Return the name under which a file was sent, or what the printer may take for that name."""
        query = select(printer_files.c.name).where(printer_files.c.device_id == device_id)
        names = await self._db.read(lambda connection: connection.execute(query).scalars().all())
        if file in names:
            return file
        return next((name for name in names if alike(name) == alike(file)), None)

    async def of_plate(self, row: Json, plate: int) -> Json:
        """Return the facts of one plate of a file; they are read when somebody first asks for them.

        NotFound ``no_such_plate``, and ``file_missing`` where it cannot be read any more.
        """
        if row["kind"] != THREE_MF:
            return dict(row["facts"])
        if (known := plate_of(row["facts"], plate)) is not None:
            return known
        # Seen through, so that a plate that takes long is known when somebody asks again.
        learning = self._learn(row["id"], plate)
        return await self._tasks.see_through(f"plate {plate} of {row['id']}", learning)

    async def _learn(self, artifact_id: str, plate: int) -> Json:
        async with self._learning:
            row = await self._one(artifact_id)
            if "plate_numbers" not in row["facts"]:  # it was read before plates were told apart
                row = await self._read_again(row, None)
            if (known := plate_of(row["facts"], plate)) is not None:
                return known
            numbers = row["facts"]["plate_numbers"]
            if plate not in numbers:
                raise NotFound(
                    "no_such_plate",
                    f"This file has no plate {plate}",
                    plate=plate,
                    plates=numbers,
                )
            row = await self._read_again(row, plate)
            return dict(row["facts"]["by_plate"][str(plate)])

    async def _read_again(self, row: Json, plate: int | None) -> Json:
        """Read one plate of a file that is kept, and store its facts with those of the others."""
        await self._must_be_here(row)
        found = understood(await self.store.facts_of_plate(row["sha256"], plate))
        others = row["facts"].get("by_plate", {})
        facts = found if plate is None else row["facts"]
        if plate is not None:
            facts = facts | {"by_plate": others | {str(plate): found}}
        return await self._change(row, facts=facts)

    @command(
        "files.list",
        Scope.READ,
        read_only=True,
        tool="List the print files that can be printed or queued: material, size, time, filament, printers.",
    )
    async def list(self, _caller: Caller, params: FilesPage) -> Json:
        """List the print files, oldest first."""
        query = page_of(select(artifacts), artifacts.c.id, params)
        if params.device_id is not None:
            held = select(printer_files.c.artifact_id).where(
                printer_files.c.device_id == params.device_id
            )
            query = query.where(artifacts.c.id.in_(held))
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page([*await self._views(rows)], params)

    @command("files.get", Scope.READ, read_only=True)
    async def get(self, _caller: Caller, params: ArtifactId) -> Json:
        """Return one print file with its facts and the printers that hold it."""
        return await self._view(await self._one(params.artifact_id))

    @command("files.picture", Scope.READ, timeout=PROCESSING_TIMEOUT)
    async def picture(self, caller: Caller, params: PictureOf) -> Json:
        """Return a picture of a print file, base64."""
        row = await self._one(params.artifact_id)
        plate = params.plate
        if row["kind"] != THREE_MF or plate == row["facts"].get("plate"):
            plate = None  # there is no other
        elif plate is not None:
            await self.of_plate(row, plate)  # with its picture
        if params.kind == "preview":
            await self._must_be_here(row)
            # Home Assistant shows them to people; a program can come again.
            await self.store.draw(row["sha256"], plate, waits=caller.scope is Scope.INTEGRATION)
        image = await self.store.image(row["sha256"], params.kind, plate)
        return {"content_type": image_type(image), "image": base64.b64encode(image).decode()}

    @command("files.remove", Scope.ADMIN)
    async def remove(self, _caller: Caller, params: ArtifactId) -> Json:
        """Remove a print file that nothing open needs; the record of what was printed stays."""
        row = await self._one(params.artifact_id)
        if not await self._drop(row):
            raise Conflict("file_needed", "Something that is queued or printing needs this file")
        return {}

    async def _must_be_here(self, row: Json) -> None:
        if row["sha256"] not in await self.store.present():
            raise NotFound("file_missing", "The content of this file was removed")

    async def _find(self, where: Any) -> Json | None:
        query = select(artifacts).where(where)
        return await self._db.read(
            lambda connection: _row(connection.execute(query).mappings().first())
        )

    async def _one(self, artifact_id: str) -> Json:
        found = await self._find(artifacts.c.id == artifact_id)
        if found is None:
            raise NotFound("file_not_found", "There is no such print file")
        return found

    async def _view(self, row: Json) -> Json:
        return (await self._views([row]))[0]

    async def _views(self, rows: Sequence[Json]) -> Sequence[Json]:
        query = (
            select(printer_files)
            .where(printer_files.c.artifact_id.in_([row["id"] for row in rows]))
            .order_by(printer_files.c.uploaded_at)
        )
        held = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        here = await self.store.present()
        return [
            row
            | {
                "missing": row["sha256"] not in here,
                "printers": [
                    {name: one[name] for name in ("device_id", "name", "uploaded_at")}
                    for one in held
                    if one["artifact_id"] == row["id"]
                ],
            }
            for row in rows
        ]

    # -- out ------------------------------------------------------------------------------------------

    async def tidy(self) -> None:
        """Remove what broke off, what no record tells of, and what nobody has used for long."""
        await self.store.tidy()
        if old := await self.store.old():
            known = await self._db.read(
                lambda connection: set(connection.execute(select(artifacts.c.sha256)).scalars())
            )
            for sha256 in sorted(old - known):
                async with self._placing:
                    if await self._find(artifacts.c.sha256 == sha256) is None:
                        await self.store.remove(sha256)
        await self.forget()

    async def forget(self) -> None:
        """Remove what nobody has used for long, and the oldest where it is too much."""
        now = self._clock()
        here = await self.store.present()
        used = func.coalesce(func.max(printer_files.c.uploaded_at), artifacts.c.created_at)
        printed = (
            select(jobs.c.artifact_id, func.max(jobs.c.created_at).label("at"))
            .group_by(jobs.c.artifact_id)
            .subquery()
        )
        query = (
            select(
                *(artifacts.c[name] for name in ("id", "sha256", "created_at")),
                used.label("sent"),
                printed.c.at,
            )
            .join(printer_files, isouter=True)
            .join(printed, printed.c.artifact_id == artifacts.c.id, isouter=True)
            .group_by(artifacts.c.id, artifacts.c.sha256, artifacts.c.created_at, printed.c.at)
        )

        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        needed, referred = await self._db.read(_references)
        too_much = sum(here.values()) - self._most
        for row in sorted(rows, key=_last_use):
            age, size = now - _last_use(row), here.get(row["sha256"])
            old = age > self._kept or (too_much > 0 and size is not None and age > _FRESH)
            nothing_left = size is None and row["id"] in referred
            if old and not nothing_left and row["id"] not in needed and await self._drop(row):
                too_much -= size or 0

    async def _drop(self, row: Json) -> bool:
        """Remove the content, and the row, too, where no record tells of it; False while it is needed."""

        def work(connection: Connection) -> bool:
            needed, referred = _references(connection)
            same = artifacts.c.id == row["id"]
            wanted_at = connection.execute(select(artifacts.c.created_at).where(same)).scalar()
            if row["id"] in needed or wanted_at not in {None, row["created_at"]}:
                return False  # the second: somebody has just sent it again
            if row["id"] in referred:
                connection.execute(update(artifacts).where(same).values(has_picture=False))
            else:
                connection.execute(delete(artifacts).where(same))
            return True

        async def drop() -> bool:
            async with self._placing:
                if dropped := await self._db.write(work):
                    await self.store.remove(row["sha256"])
            return dropped

        # Seen through: of content whose row is gone nobody knows that it is there.
        return await self._tasks.see_through(f"drop file {row['id']}", drop())


def _fresh_name(artifact: Json) -> str:
    """Return a name that no other content has."""
    name = PurePosixPath(artifact["name"])
    return f"{name.stem}-{artifact['sha256'][:8]}{name.suffix}"


def plate_of(facts: Json, plate: int) -> Json | None:
    """Return what is known already of one plate of a file, None where it was not read."""
    if facts.get("plate") == plate:
        return {name: fact for name, fact in facts.items() if name != "by_plate"}
    found: Json | None = facts.get("by_plate", {}).get(str(plate))
    return found


def understood(facts: Json) -> Json:
    """Add what is known of the materials of a file: what they weigh, and whether they need moving air."""
    tools = [one | {"grams": one["grams"] or _grams(one)} for one in facts["tools"]]
    weights = [one["grams"] for one in tools]
    given = [
        {"material": name, "gives_off": found}
        for name in facts["materials"]
        if (found := hazards(name))
    ]
    return facts | {
        "tools": tools,
        "grams": round(sum(weights), 3) if weights and all(weights) else facts["grams"],
        "hazardous": bool(given),
        "hazards": given,
        "unknown_materials": [name for name in facts["materials"] if not is_known(name)],
    }


def _grams(tool: Json) -> float | None:
    density = DENSITIES.get(normal(tool["material"] or ""))
    if tool["mm"] is None or density is None:
        return None
    return round(grams_of(tool["mm"], density), 3)


def _row(row: Any) -> Json | None:
    return None if row is None else dict(row)


def _last_use(row: Json) -> float:
    return max(float(row["sent"]), float(row["at"] or 0.0))


def _references(connection: Connection) -> tuple[set[str], set[str]]:
    """Return the artifacts that something open needs, and those that any record tells of."""
    by_jobs = select(jobs.c.artifact_id, jobs.c.status).where(jobs.c.artifact_id.is_not(None))
    by_queue = select(queue.c.artifact_id, queue.c.status)
    rows = [*connection.execute(by_jobs.distinct()), *connection.execute(by_queue.distinct())]
    needed = {row.artifact_id for row in rows if row.status in {*OPEN_JOBS, *OPEN_QUEUE}}
    return needed, {row.artifact_id for row in rows}
