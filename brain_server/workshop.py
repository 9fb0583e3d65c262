"""The workshop, put together: files, jobs, queue, spools, costs, reviews and the cameras that watch."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import ClientSession

from brain_server.bus import Bus
from brain_server.devices import Devices
from brain_server.errors import NotFound
from brain_server.fabrication.advice import Advice
from brain_server.fabrication.costs import Costs
from brain_server.fabrication.files import Files
from brain_server.fabrication.jobs import Jobs
from brain_server.fabrication.monitor import Monitor
from brain_server.fabrication.outcomes import Outcomes
from brain_server.fabrication.planner import Planner
from brain_server.fabrication.planning import Planning
from brain_server.fabrication.predict import Predictions
from brain_server.fabrication.prices import Prices
from brain_server.fabrication.queue import Queue
from brain_server.fabrication.queue_rows import Rows
from brain_server.fabrication.reviews import Reviews
from brain_server.fabrication.starts import Starts
from brain_server.fabrication.store import Store
from brain_server.inventory import Inventory
from brain_server.inventory.books import Books
from brain_server.inventory.export import Export
from brain_server.inventory.procurement import Procurement
from brain_server.inventory.spoolman import Spoolman
from brain_server.inventory.stock import Stock
from brain_server.observability import Health, Tasks
from brain_server.protocol import Json
from brain_server.safety.gate import Gate
from brain_server.settings import Settings
from brain_server.storage import Database
from brain_server.vision import Vision
from brain_server.vision.detect import Ask


class Workshop:
    """Everything that is made of what printers and cameras show. It moves nothing but by ``Devices.request``."""

    def __init__(
        self,
        settings: Settings,
        devices: Devices,
        gate: Gate,
        ask: Ask,
        *,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        session: ClientSession,
        clock: Callable[[], float],
    ) -> None:
        """Build the parts; ``ask`` is the road to a model that sees."""
        self._tasks = tasks
        self._switches = devices.switches
        evidence = settings.data_dir / "evidence"
        known: dict[str, Any] = {"database": database, "bus": bus, "tasks": tasks, "clock": clock}
        self.files = Files(
            database,
            devices,
            Store(settings.data_dir / "artifacts", tasks),
            clock,
            tasks=tasks,
            days=settings.artifact_days,
            most_bytes=settings.artifacts_mb * 1024 * 1024,
        )
        self.jobs = Jobs(database, bus, tasks, devices, self.files, command_of=gate.command)
        self.monitor = Monitor(**known, folder=evidence)
        self._stock_up(settings, devices, session, **known)
        self._line_up(settings, devices, gate, **known)
        self.costs = Costs(
            **known,
            registry=devices.registry,
            spools=self.inventory,
            prices=self.prices.mean,
            energy_price=settings.energy_price,
            machine_price=settings.machine_price,
            currency=settings.currency,
        )
        self.reviews = Reviews(**known, folder=evidence)

        def name_of(device_id: str) -> str | None:
            try:
                return devices.registry.get(device_id).record.name
            except NotFound:
                return None

        outcomes = self.outcomes = Outcomes(database, bus, clock)
        self.advice = Advice(outcomes, name_of)
        self.vision = Vision(
            database,
            bus,
            tasks,
            devices,
            clock,
            settings.data_dir,
            report=self.monitor.note,
            open_jobs=self.jobs.open_jobs,
            ask=ask,
            detector=settings.detector,
        )
        self.commands: list[object] = [
            self.files,
            self.jobs,
            self.monitor,
            self.inventory,
            self.stock,
            self.procurement,
            self.export,
            self.spoolman,
            self.prices,
            self.queue,
            self.costs,
            self.reviews,
            Predictions(database, outcomes, name_of),
            self.advice,
            self.vision,
        ]

    def _stock_up(
        self,
        settings: Settings,
        devices: Devices,
        session: ClientSession,
        *,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        clock: Callable[[], float],
    ) -> None:
        """Build the inventory."""
        books = Books(database, bus, clock)
        self.inventory = Inventory(
            books,
            lambda device_id: devices.registry.find(device_id) is not None,
            spoolman=bool(settings.spoolman_url),
        )
        self.inventory.follow(bus, tasks)
        self.stock, self.procurement = Stock(books), Procurement(books)
        self.export = Export(books)
        self.spoolman = Spoolman(
            books,
            bus,
            tasks,
            session,
            settings.spoolman_url,
            every=settings.spoolman_interval,
            switches=devices.switches,
        )

    def _line_up(
        self,
        settings: Settings,
        devices: Devices,
        gate: Gate,
        *,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        clock: Callable[[], float],
    ) -> None:
        """Build the queue, and what plans and starts it."""
        self.prices = Prices(database, bus, clock, window=settings.cheap_hours)
        rows = Rows(database, bus, clock)
        planning = Planning(
            rows,
            devices,
            clock,
            planner=Planner(tasks),
            prices=self.prices,
            spools=self.inventory,
        )
        starts = Starts(rows, tasks, devices, self.files.send, gate.command)
        self.queue = Queue(
            rows, planning, starts, devices, bus, clock, of_plate=self.files.of_plate
        )

    async def start(self, opened: AsyncExitStack, health: Health) -> None:
        """Take up where the last life ended; what was started is stopped by ``opened``."""
        await asyncio.gather(self.prices.start(), self.queue.start())
        self._tasks.keep_up("costs", self.costs.start)
        opened.push_async_callback(self.queue.stop)
        await self.vision.start()
        opened.push_async_callback(self.vision.stop)
        self.spoolman.start()
        if self.spoolman.is_wanted:
            health.add(
                "spoolman",
                self.spoolman.health,
                is_on=lambda: self._switches.is_on("inventory"),
            )
        self._tasks.keep_up("queue", self.queue.run)

    async def snapshot(self) -> Json:
        """Return what is open, for a new subscriber."""
        return {
            "jobs": await self.jobs.open_jobs(),
            "queue": await self.queue.open_items(),
            "beds": await self.queue.beds(),
            "spools": await self.inventory.open_spools(),
            "stock": await self.stock.all(),
            "procurements": await self.procurement.open(),
            "incidents": self.vision.incidents.live(),
            "vision": self.vision.rows(),
            "reviews": await self.reviews.waiting(),
        }

    async def tidy(self) -> None:
        """Let go of what nobody needs any more."""
        await self.files.tidy()
        await self.reviews.tidy()
        await self.monitor.tidy()
