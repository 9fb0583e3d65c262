"""A workshop with a printer, a camera before it, and what vision says and does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
import time
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.drivers import Outcome
from brain_server.errors import KittyError, Unavailable
from brain_server.protocol import Channel, CommandStatus, Json
from brain_server.vision import Vision
from tests.brain.home import Home, Later, at_home, puppets, running, until
from tests.standins.mjpeg_camera import jpeg, scene

ADMIN = Caller(token="t", scope=Scope.ADMIN, user_id="dan", channel=Channel.DASHBOARD)
READER = Caller(token="r", scope=Scope.READ)


class Mind:
    """A model that says of each picture what a test wants."""

    def __init__(self) -> None:
        """Find everything fine."""
        self.says: Json | KittyError = self.saying("fine", 0.95)
        self.asked: list[tuple[str, bytes, Json]] = []
        self.areas: list[str | None] = []

    @staticmethod
    def saying(verdict: str, confidence: float, what: str = "a part") -> Json:
        """Return an answer of the right form."""
        return {"verdict": verdict, "confidence": confidence, "what": what}

    async def __call__(self, prompt: str, image: bytes, area_id: str | None, schema: Json) -> Json:
        """Answer."""
        self.areas.append(area_id)
        self.asked.append((prompt, image, schema))
        if isinstance(self.says, KittyError):
            raise self.says
        return self.says


class Moody:
    """The database of vision, which a test makes busy, or has answer late."""

    def __init__(self, vision: Vision, monkeypatch: pytest.MonkeyPatch) -> None:
        """Come between vision and its database, and let everything through."""
        self._database = vision._db
        self.is_busy = False
        self.begun, self.held = asyncio.Event(), asyncio.Event()
        self.held.set()
        self.read = self._database.read
        monkeypatch.setattr(vision, "_db", self)
        monkeypatch.setattr(vision.incidents, "_db", self)

    def hold(self) -> None:
        """Keep what is written, and answer to it when ``held`` is set."""
        self.begun.clear()
        self.held.clear()

    async def write(self, work: Any) -> Any:
        """Write, in the mood of the moment."""
        if self.is_busy:
            raise Unavailable("database_busy", "Busy")
        found = await self._database.write(work)
        self.begun.set()
        await self.held.wait()
        return found


@dataclass
class Shop:
    """One life of a brain with vision in it."""

    brain: Brain
    home: Home
    vision: Vision
    clock: Later
    mind: Mind
    reports: list[Json] = field(default_factory=list)
    told: dict[str, list[Json]] = field(default_factory=dict)
    camera: Any = None
    printer: Any = None
    run: str = ""
    step: int = 0

    @property
    def camera_id(self) -> str:
        """Return the id of the camera."""
        return str(self.camera.context.device_id)

    @property
    def printer_id(self) -> str:
        """Return the id of the printer."""
        return str(self.printer.context.device_id)

    async def furnish(self) -> None:
        """Put a printer and a camera into one area."""
        self.printer = await self.home.puppet("mk4", "printer")
        self.printer.show(**puppets().printer())
        self.camera = await self.home.puppet("cam", "camera")
        self.camera.show()
        self.camera.picture = jpeg(scene())

    async def prints(self, **job: Any) -> str:
        """Have the printer print; returns the id of the job when it is known."""
        self.run = self.run or datetime.fromtimestamp(time.time(), UTC).isoformat()
        state = puppets().printer("printing", "benchy.gcode", self.run, hot=True)
        state["job"] |= {"progress": 10.0} | job
        self.printer.show(**state)
        known = self.vision._jobs
        found: Json = await until(lambda: known.get(self.printer_id), "the job of the print")
        await until(lambda: known[self.printer_id]["status"] == "printing", "that it prints")
        return str(found["id"])

    async def ends(self, status: str = "completed") -> None:
        """Have the print end."""
        self.printer.show(**puppets().printer(status, "benchy.gcode", self.run))
        await until(lambda: self.printer_id not in self.vision._jobs, "the end of the job")
        tasks = self.brain.tasks._tasks
        await until(
            lambda: not [one for one in tasks if one.get_name().startswith("incidents of")],
            "the end of its incidents",
        )
        self.run = ""

    async def looks(self, times: int = 1, *, apart: float = 31.0, **drawn: Any) -> Json:
        """Let time pass and look, so many times; returns the row of the camera."""
        for _ in range(times):
            self.clock.ahead += apart
            self.step += 1
            self.camera.picture = jpeg(scene(self.step, **drawn))
            await self.look()
        return self.row()

    async def look(self) -> None:
        """Look once, whatever the camera shows; a model may always be asked."""
        self.vision._camera(self.brain.registry.get(self.camera_id)).model_due = 0.0
        await self.vision.watch(self.camera_id)

    async def chooses(self, **choices: Any) -> Json:
        """Choose how the camera watches."""
        return await self.call("vision.configure", device_id=self.camera_id, **choices)

    async def call(self, verb: str, caller: Caller = ADMIN, /, **params: Any) -> Any:
        """Run a command of vision."""
        spec = collect(self.vision)[verb]
        return await spec.run(caller, prepare(spec, caller, params))

    def row(self) -> Json:
        """Return the row of the camera."""
        (row,) = [one for one in self.vision.rows() if one["device_id"] == self.camera_id]
        return row

    async def incidents(self, **where: Any) -> list[Json]:
        """Return all incidents."""
        items: list[Json] = (await self.call("incidents.list", **where))["items"]
        return items

    def orders(self) -> list[str]:
        """Return what the printer was told to do."""
        return [order.intent for order in puppets().Puppet.orders.get("mk4", [])]


@asynccontextmanager
async def opened(folder: Path, *, life: int = 1, detector: str = "") -> AsyncIterator[Shop]:
    """Open a workshop; in a second life of the same folder its devices are there already.

    Its vision asks the mind of the test, and reports to the test.
    """
    clock, mind = Later(), Mind()
    async with (
        running(folder, clock, life=life, detector=detector) as brain,
        at_home(brain) as home,
    ):
        shop = Shop(brain, home, brain.workshop.vision, clock, mind)

        async def report(**said: Any) -> None:
            shop.reports.append(said)

        shop.vision.report, shop.vision.detectors.ask = report, mind
        brain.bus.listen(
            None, lambda event: shop.told.setdefault(event.name, []).append(event.data)
        )
        yield shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Give a workshop with its printer and its camera."""
    async with opened(tmp_path) as made:
        await made.furnish()
        yield made


@pytest.fixture
def moody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Moody:
    """Give the mood of the database of vision."""
    return Moody(shop.vision, monkeypatch)


SPAGHETTI = Mind.saying("spaghetti", 0.9, "loose strands")
FINE = Mind.saying("fine", 0.95)
# A printer that says at once that it did what it was told.
DONE = Outcome(status=CommandStatus.ACKED)


async def alarmed(shop: Shop, **job: Any) -> Json:
    """Have a print fail before the camera; returns its incident."""
    await shop.prints(**job)
    shop.mind.says = SPAGHETTI
    await shop.looks(3)
    (incident,) = await shop.incidents(status="open")
    return incident


async def puppets_of(shop: Shop) -> tuple[Any, Any]:
    """Return the camera and the printer of an earlier life."""
    stage = puppets().Puppet.on_stage
    await until(lambda: {"cam", "mk4"} <= stage.keys(), "the puppets")
    return stage["cam"], stage["mk4"]
