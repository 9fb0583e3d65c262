"""Vision: whether cameras see, whether prints fail before them, and what then is done: at most a pause."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
import logging
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from brain_server.bus import Bus, Event
from brain_server.capabilities import UPDATED
from brain_server.commands import SYSTEM, Caller, Page, Scope, as_page, command, paged
from brain_server.devices import Devices, Request
from brain_server.devices.commands import DeviceId
from brain_server.devices.evidence import image_type, picture
from brain_server.devices.live import Live
from brain_server.errors import InvalidRequest, KittyError, NotFound, Unavailable
from brain_server.observability import Tasks
from brain_server.protocol import Json, Kind, OnlineState
from brain_server.storage import Database
from brain_server.storage.tables import watched
from brain_server.vision.detect import Ask, Detectors, Verdict, unknown
from brain_server.vision.health import State
from brain_server.vision.incidents import Incidents
from brain_server.vision.params import UNSET, Answer, Configure, IncidentId, IncidentsPage, Report
from brain_server.vision.pictures import grey, keep, sendable, stored
from brain_server.vision.watching import (
    FIRST_LAYERS,
    IDLE_EVERY_S,
    MODEL_EVERY_S,
    Camera,
    Kept,
    Mute,
    Watching,
)

_LOGGER = logging.getLogger(__name__)

OPEN_JOBS: Final = frozenset({"preparing", "printing", "paused"})
CAPABILITY: Final = "vision"
TICK_S: Final = 1.0
# Figures alone are told once in so long.
FIGURES_S: Final = 60.0
AT_ONCE: Final = 2


class Vision:
    """Looks through the cameras that watch printers. Nothing here heats, cuts power or starts anything."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        devices: Devices,
        clock: Callable[[], float],
        data_dir: Path,
        *,
        report: Report,
        open_jobs: Callable[[], Awaitable[list[Json]]],
        ask: Ask | None = None,
        detector: str = "",
    ) -> None:
        """Take what it works with, the road to the models and the network that is used without a choice."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._devices = devices
        self._registry = devices.registry
        self._clock = clock
        self._folder = data_dir / "evidence"
        self._file = detector
        self.report = report
        self._open_jobs = open_jobs
        self.detectors = Detectors(data_dir / "models", ask)
        self.incidents = Incidents(database, bus.publish, clock)
        self._cameras: dict[str, Camera] = {}
        self._stored: dict[str, Kept] = {}
        # The job that runs on each printer.
        self._jobs: dict[str, Json] = {}
        self._looking = asyncio.Semaphore(AT_ONCE)
        # Incidents of the last life whose pause may never have been asked for, and pauses on their way.
        self._owed: set[str] = set()
        self._pauses: dict[str, Json] = {}
        # One choice after the other, so that none undoes another.
        self._choosing = asyncio.Lock()
        bus.listen("job.updated", self._on_job)
        bus.listen("command.updated", self._on_command)
        bus.listen("device.removed", self._on_removed)
        bus.listen(UPDATED, self._on_switch)

    async def start(self) -> None:
        """Take up where the last life ended, and begin to look."""
        rows = await self._db.read(
            lambda connection: connection.execute(select(watched)).mappings().all()
        )
        self._stored = {row["device_id"]: msgspec.convert(row["settings"], Kept) for row in rows}
        heard: set[str] = set()
        deafen = self._bus.listen("job.updated", lambda event: heard.add(event.data["id"]))
        for job in await self._open_jobs():
            if job["id"] not in heard:  # what was told meanwhile is newer
                self._jobs.setdefault(job["device_id"], job)
        deafen()
        await self.incidents.load({job["id"] for job in self._jobs.values()})
        self._owed = {row["id"] for row in self.incidents.live() if row["action"] == "pause"}
        self._tasks.keep_up("vision", self._run)

    async def stop(self) -> None:
        """End the processes of the networks."""
        await self.detectors.stop()

    def rows(self) -> list[Json]:
        """Return one row for each camera, for a client that has just come."""
        return [self._view(self._camera(live)) for live in self._registry.all() if _sees(live)]

    # -- when to look ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            for live in self._registry.all():
                if not _sees(live):
                    continue
                camera = self._camera(live)
                if self._rests(camera):
                    camera.due = 0.0
                elif not camera.due:
                    camera.due = now + self._pause_between(camera)
                elif now >= camera.due and not camera.busy:
                    camera.due = now + self._pause_between(camera)
                    camera.busy = True
                    self._tasks.start(f"look {camera.device_id}", self._when_free(camera))
            await self._end_late()
            await asyncio.sleep(TICK_S)

    async def _when_free(self, camera: Camera) -> None:
        try:
            async with self._looking:
                if camera.device_id in self._cameras and self._devices.switches.is_on(CAPABILITY):
                    await self.watch(camera.device_id)
        finally:
            camera.busy = False

    def _rests(self, camera: Camera) -> bool:
        wanted = self._devices.switches.is_on(CAPABILITY) and camera.kept.enabled
        return not wanted or self._printer_of(camera) is None

    def _pause_between(self, camera: Camera) -> float:
        return camera.kept.every_s if self._job_before(camera) else IDLE_EVERY_S

    def _on_job(self, event: Event) -> None:
        job = event.data
        if job["status"] in OPEN_JOBS:
            known = self._jobs.get(job["device_id"])
            self._jobs[job["device_id"]] = job
            if known is None or known["id"] != job["id"]:
                self._tasks.start(f"watch of {job['id']}", self._begun(job))
        elif self._jobs.get(job["device_id"], {}).get("id") == job["id"]:
            del self._jobs[job["device_id"]]
            self._tasks.start(f"incidents of {job['id']}", self._ended(job))

    async def _begun(self, job: Json) -> None:
        """Look sooner than while nothing is printed."""
        for camera in self._before(job["device_id"]):
            camera.due = 0.0
            self._tell(camera)

    async def _ended(self, job: Json) -> None:
        await self.incidents.end(job["id"])
        for camera in self._before(job["device_id"]):
            camera.begin(None)
            self._tell(camera)

    async def _end_late(self) -> None:
        """End what could not end with its print: the database was busy, or it was opened at that moment."""
        running = {job["id"] for job in self._jobs.values()}
        try:
            for job_id in {row["job_id"] for row in self.incidents.live()} - running:
                await self.incidents.end(job_id)
        except Unavailable as err:
            _LOGGER.debug("Incidents are ended later: %s", err.code)

    def _before(self, printer_id: str) -> list[Camera]:
        """Return the cameras that watch a printer."""
        found = [(camera, self._printer_of(camera)) for camera in self._cameras.values()]
        return [camera for camera, one in found if one and one.record.id == printer_id]

    def _on_switch(self, event: Event) -> None:
        if event.data["name"] == CAPABILITY:
            self._tasks.start("vision switched", self._switched())

    async def _switched(self) -> None:
        """Show whether the cameras watch; what was seen before a switch counts no more."""
        for camera in list(self._cameras.values()):
            camera.forget()
            self._tell(camera)

    def _on_removed(self, event: Event) -> None:
        device_id = event.data["id"]
        if (camera := self._cameras.pop(device_id, None)) is not None:
            self._tasks.start(f"forget {device_id}", self._forget(camera))

    async def _forget(self, camera: Camera) -> None:
        """Tell once more of a camera that is gone, and delete how it was watched."""
        self._bus.publish("vision.updated", camera.view({}) | {"archived": True})
        if self._stored.pop(camera.device_id, None) is not None:
            query = delete(watched).where(watched.c.device_id == camera.device_id)
            await self._db.write(lambda connection: connection.execute(query))

    def _on_command(self, event: Event) -> None:
        """Learn how a pause ended; one that was not done must not be believed."""
        if event.data["status"] in {"acked", "failed", "unknown", "expired"}:
            row = self._pauses.pop(event.data["id"], None)
            if row is not None and event.data["status"] != "acked":
                self._tasks.start(f"correct {row['id']}", self._not_paused(row))

    async def _not_paused(self, row: Json) -> None:
        await self.incidents.change(row, action="notify")
        self.incidents.tell(row)

    # -- looking --------------------------------------------------------------------------------------

    async def watch(self, device_id: str) -> None:
        """Look once through a camera, and act on what is seen."""
        camera = self._camera(self._registry.get(device_id))
        camera.busy = True
        try:
            job = self._job_before(camera)
            camera.begin(job["id"] if job else None)
            image = await self._see(camera)
            if job is None or not self._prints(camera, job):
                return
            await self._catch_up(camera, job)
            if image is None:
                return
            verdict = await self._judge(camera, image, by_model=True)
            if not self._devices.switches.is_on(CAPABILITY):
                return  # switched off while it looked
            if verdict is not None and self._jobs.get(job["device_id"], {}).get("id") == job["id"]:
                await self._act(camera, job, verdict, image)
        finally:
            camera.busy = False
            self._tell(camera)

    async def _see(self, camera: Camera) -> bytes | None:
        """Take a picture for the health; returns it where it shows something."""
        live, printer = self._registry.get(camera.device_id), self._printer_of(camera)
        try:
            image = await picture(live)
            small = await asyncio.to_thread(grey, image)
        except KittyError as err:
            camera.eye.failed(err.code)
            return None
        finally:
            camera.at = self._clock()
        shown = printer.observed.state if printer else {}
        camera.eye.look(camera.at, small, shown)
        return image if camera.eye.now.state is State.OK else None

    async def _judge(self, camera: Camera, image: bytes, *, by_model: bool) -> Verdict | None:
        """Have a picture judged as the settings say; None where nobody judges now."""
        file = camera.kept.file or self._file
        match camera.kept.detector:
            case "file" | "auto" if file:
                try:
                    return await self.detectors.by_file(file, image)
                except KittyError as err:
                    _LOGGER.warning("The network %s does not judge: %s", file, err.message)
                    return unknown(err.code, by="file")
            case "file":
                return unknown("no_file", by="file")
            case "model" | "auto" if by_model and self.detectors.ask is not None:
                now = asyncio.get_running_loop().time()
                if now < camera.model_due:
                    return None
                camera.model_due = now + max(MODEL_EVERY_S, camera.kept.every_s)
                area_id = self._registry.get(camera.device_id).record.zone_id
                return await self.detectors.by_model(image, area_id)
            case _:
                return None

    async def _act(self, camera: Camera, job: Json, verdict: Verdict, image: bytes) -> None:
        """Count a verdict, and open the one incident of this print when there are enough."""
        layer = self._layer(camera)
        mute = camera.kept.mute
        if mute is not None and mute.holds(job["id"], layer, self._clock()):
            camera.forget()
            camera.verdict = verdict
            return
        failing = camera.counts(verdict)
        known = self.incidents.of(camera.device_id, job["id"])
        if failing and known is not None:
            await self.incidents.note(known, verdict.failing)
        elif failing:
            await self._alarm(camera, job, verdict, image)
        elif layer in FIRST_LAYERS and (sure := camera.fine()) and known is None:
            await self._first_layer(camera, job, sure, image)

    async def _alarm(self, camera: Camera, job: Json, verdict: Verdict, image: bytes) -> None:
        key = await asyncio.to_thread(keep, self._folder, image)
        kind = "nozzle_clog" if verdict.word == "clog" else "spaghetti_detected"
        row = await self.incidents.open(
            device_id=camera.device_id,
            job_id=job["id"],
            type=kind,
            confidence=verdict.failing,
            detail=verdict.what,
            picture=key,
            action=camera.kept.action,
        )
        if camera.kept.action == "pause":
            await self._pause(row)
        self.incidents.tell(row)
        await self._reported(job["id"], kind, verdict.failing, image, verdict.what)

    async def _catch_up(self, camera: Camera, job: Json) -> None:
        """Pause what the last life ended before pausing; what it did ask for is not asked for twice."""
        row = self.incidents.of(camera.device_id, job["id"])
        if row is not None and row["id"] in self._owed:
            self._owed.discard(row["id"])
            await self._pause(row)

    async def _pause(self, row: Json) -> None:
        """Pause the print of an incident, once; where that is refused, people are only told."""
        printer_id = next(
            (device_id for device_id, job in self._jobs.items() if job["id"] == row["job_id"]), None
        )
        if printer_id is None:
            return
        try:
            asked = await self._devices.request(
                SYSTEM,
                Request(device_id=printer_id, intent="print_pause", idempotency_key=row["id"]),
            )
        except KittyError as err:
            _LOGGER.warning("The print before a camera cannot be paused: %s", err.code)
            refused = True
        else:
            self._pauses[asked["command"]["id"]] = row
            refused = asked["command"]["status"] in {"denied", "failed", "expired"}
        if refused:
            await self.incidents.change(row, action="notify")

    async def _first_layer(self, camera: Camera, job: Json, sure: float, image: bytes) -> None:
        """Report, once for each print, that its first layer is well."""
        if camera.kept.first_layer_of == job["id"]:
            return
        await self._store(camera, first_layer_of=job["id"])
        await self._reported(job["id"], "first_layer_ok", sure, image, None)

    async def _reported(
        self, job_id: str, kind: str, confidence: float, image: bytes, detail: str | None
    ) -> None:
        try:
            await self.report(
                job_id=job_id, kind=kind, confidence=confidence, picture=image, detail=detail
            )
        except KittyError as err:
            _LOGGER.warning("What a camera saw of print %s was not stored: %s", job_id, err.code)

    # -- what is known --------------------------------------------------------------------------------

    def _camera(self, live: Live) -> Camera:
        device_id = live.record.id
        if device_id not in self._cameras:
            self._cameras[device_id] = Camera(device_id, self._stored.get(device_id, Kept()))
        return self._cameras[device_id]

    def _printer_of(self, camera: Camera) -> Live | None:
        """Return the printer that a camera watches: the chosen one, itself, or the only one in its area."""
        try:
            live = self._registry.get(camera.device_id)
            if camera.kept.printer_id is not None:
                return self._registry.get(camera.kept.printer_id)
        except NotFound:
            return None
        if live.record.kind is Kind.PRINTER:
            return live
        near = [
            one
            for one in self._registry.all()
            if one.record.kind is Kind.PRINTER
            and live.record.zone_id is not None
            and one.record.zone_id == live.record.zone_id
        ]
        return near[0] if len(near) == 1 else None

    def _job_before(self, camera: Camera) -> Json | None:
        printer = self._printer_of(camera)
        return self._jobs.get(printer.record.id) if printer else None

    def _jobs_status(self, job_id: str | None) -> str | None:
        return next((job["status"] for job in self._jobs.values() if job["id"] == job_id), None)

    def _prints(self, camera: Camera, job: Json) -> bool:
        """Tell whether the printer lays down plastic for this job now, as far as it tells."""
        printer = self._printer_of(camera)
        return (
            printer is not None
            and job["status"] == "printing"
            and printer.observed.online is OnlineState.ONLINE
            and printer.observed.state.get("status") == "printing"
        )

    def _layer(self, camera: Camera) -> int | None:
        printer = self._printer_of(camera)
        layer = (printer.observed.state.get("job") or {}).get("layer") if printer else None
        return layer if isinstance(layer, int) else None

    def _view(self, camera: Camera) -> Json:
        printer = self._printer_of(camera)
        settings = msgspec.to_builtins(camera.kept)
        incident = self.incidents.of(camera.device_id, camera.job_id) if camera.job_id else None
        return camera.view({name: settings[name] for name in Watching.__struct_fields__}) | {
            "printer_id": printer.record.id if printer else None,
            "watching": not self._rests(camera) and self._job_before(camera) is not None,
            "picture": incident["picture"] if incident else None,
        }

    def _tell(self, camera: Camera) -> None:
        """Publish a camera when a word of it has changed, and its figures now and then."""
        if camera.device_id not in self._cameras:
            return
        row = self._view(camera)
        words = tuple(
            (name, str(value)) for name, value in row.items() if name not in {"at", "confidence"}
        )
        if words != camera.told or self._clock() - camera.told_at >= FIGURES_S:
            camera.told, camera.told_at = words, self._clock()
            self._bus.publish("vision.updated", row)

    async def _store(self, camera: Camera, **changes: Any) -> None:
        """Keep what was chosen for a camera; from then on it counts."""
        async with self._choosing:
            kept = msgspec.structs.replace(camera.kept, **changes)
            await self._write(camera.device_id, msgspec.to_builtins(kept))
            camera.kept = self._stored[camera.device_id] = kept

    async def _write(self, device_id: str, settings: Json) -> None:
        def work(connection: Connection) -> None:
            mine = watched.c.device_id == device_id
            if not connection.execute(
                update(watched).where(mine).values(settings=settings)
            ).rowcount:
                connection.execute(insert(watched).values(device_id=device_id, settings=settings))

        await self._db.write(work)

    # -- the verbs ------------------------------------------------------------------------------------

    @command(
        "vision.list",
        Scope.READ,
        read_only=True,
        tool="List the cameras that watch printers: whether each sees anything, and what it says of the print.",
    )
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List the cameras with their health, their verdict and how they watch."""
        return paged(self.rows(), params, key="device_id")

    @command("vision.configure", Scope.ADMIN)
    async def configure(self, _caller: Caller, params: Configure) -> Json:
        """Choose how a camera watches; a network that is named is tried at once."""
        camera = self._eyes(params.device_id)
        changes = {
            name: value
            for name in Watching.__struct_fields__
            if (value := getattr(params, name)) is not UNSET
        }
        wanted = msgspec.structs.replace(camera.kept, **changes)
        if wanted.needed > wanted.of:
            raise InvalidRequest(
                "invalid_params", "needed: must not be more than of", reason="needed > of"
            )
        printer = self._registry.get(changes["printer_id"]) if changes.get("printer_id") else None
        if printer is not None and printer.record.kind is not Kind.PRINTER:
            raise InvalidRequest("invalid_params", "printer_id: is no printer", reason="printer_id")
        if changes.get("file"):
            await self.detectors.check(changes["file"])
        await self._tasks.see_through("camera settings", self._choose(camera, changes))
        return self._view(camera)

    async def _choose(self, camera: Camera, changes: Json) -> None:
        await self._store(camera, **changes)
        camera.forget()
        camera.due = 0.0
        self._tell(camera)

    @command("vision.look", Scope.READ, capability=CAPABILITY)
    async def look(self, caller: Caller, params: DeviceId) -> Json:
        """Look now: one picture, base64, and what is said of it. Nothing is counted, nobody is alarmed.

        A model, which may cost something, is asked only for those who may control.
        """
        camera = self._eyes(params.device_id)
        image = await picture(self._registry.get(params.device_id))
        await asyncio.to_thread(grey, image)  # what is no picture is refused here
        image = await asyncio.to_thread(sendable, image)
        said = await self._judge(camera, image, by_model=caller.scope >= Scope.CONTROL)
        row = self._view(camera) | {"at": self._clock()}
        if said is not None:
            row |= {
                "verdict": said.word,
                "confidence": round(said.confidence, 3),
                "what": said.what,
                "detector": said.by,
            }
        return row | {
            "content_type": image_type(image),
            "image": base64.b64encode(image).decode(),
        }

    @command("vision.answer", Scope.CONTROL)
    async def answer(self, caller: Caller, params: Answer) -> Json:
        """Say whether an incident is true; a false alarm keeps quiet about that print for some layers."""
        return await self._tasks.see_through("answer", self._answered(params, caller.user_id))

    async def _answered(self, params: Answer, user_id: str | None) -> Json:
        row = await self.incidents.answer(params.incident_id, params.verdict, user_id)
        if params.verdict == "false_alarm" and self._jobs_status(row["job_id"]) is not None:
            await self._hush(row, params.mute_layers)
        return row

    async def _hush(self, row: Json, layers: int | None) -> None:
        camera = self._eyes(row["device_id"])
        layer = self._layer(camera)
        mute = Mute(
            job_id=row["job_id"],
            layer=None if layer is None else layer + (layers or camera.kept.mute_layers),
            # Also the way out where a printer stops telling its layers.
            at=self._clock() + camera.kept.mute_minutes * 60,
        )
        await self._store(camera, mute=mute)
        camera.forget()
        self._tell(camera)

    def _eyes(self, device_id: str) -> Camera:
        """Return a camera; NotFound ``no_camera`` for a device that has none."""
        live = self._registry.get(device_id)
        if not _sees(live):
            raise NotFound("no_camera", "This device has no camera")
        return self._camera(live)

    @command(
        "incidents.list",
        Scope.READ,
        read_only=True,
        tool="List what cameras saw go wrong with prints.",
    )
    async def incidents_list(self, _caller: Caller, params: IncidentsPage) -> Json:
        """List incidents, oldest first unless the newest are wanted first."""
        return as_page(await self.incidents.page(params), params)

    @command("incidents.picture", Scope.READ)
    async def incidents_picture(self, _caller: Caller, params: IncidentId) -> Json:
        """Return the picture that an incident was opened for, base64, and whose it is."""
        row = await self.incidents.get(params.incident_id)
        image = await asyncio.to_thread(stored, self._folder, row["picture"] or "")
        return {
            "content_type": image_type(image),
            "image": base64.b64encode(image).decode(),
            "device_id": row["device_id"],
        }


def _sees(live: Live) -> bool:
    return live.record.kind is Kind.CAMERA or live.record.has_camera
