"""A queue with everything around it but the planner's process: the gate, printers on strings, jobs, spools."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
import time
from typing import Any, Final

from aiohttp import ClientSession
import msgspec
import pytest
from sqlalchemy import insert, update

from brain_server.api.link import Link
from brain_server.bus import Event
from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.devices import Devices
from brain_server.devices.evidence import Evidence
from brain_server.devices.registry import Registry
from brain_server.drivers import DeviceInfo
from brain_server.errors import KittyError
from brain_server.fabrication.jobs import Jobs
from brain_server.fabrication.plan import Plan, Problem
from brain_server.fabrication.planning import Planning
from brain_server.fabrication.prices import Prices
from brain_server.fabrication.queue import Queue
from brain_server.fabrication.queue_rows import Rows
from brain_server.fabrication.search import Search
from brain_server.fabrication.starts import Starts
from brain_server.inventory import Inventory
from brain_server.inventory.books import Books
from brain_server.observability import Tasks
from brain_server.protocol import Json, Kind
from brain_server.storage import Database, tables
from brain_server.storage.tables import artifacts, new_id
from tests.brain.gatehouse import Gatehouse
from tests.brain.home import Later, on_stage, puppets, until

STATE: Final = puppets().printer
A: Final = "a" * 32
B: Final = "b" * 32
HOUR: Final = 3600.0
CALLER: Final = Caller(token="home", scope=Scope.INTEGRATION, user_id="ada")


class Quick:
    """Plans in this process, without the seconds that a better plan would take."""

    def __init__(self) -> None:
        self.asked: list[Problem] = []

    async def plan(self, problem: Problem) -> Plan:
        self.asked.append(problem)
        # By the processor's time: a busy machine gets the same plan.
        search = Search(msgspec.structs.replace(problem, limit_s=0.05), time.thread_time)
        return msgspec.structs.replace(search.run(), proven=True)

    async def stop(self) -> None:
        self.asked.clear()


class NoFiles:
    """Stands for the files: this queue's jobs are told apart by their commands."""

    async def artifact_of(self, _device_id: str, _file: str) -> None:
        return None

    async def of_plate(self, _artifact: Json, plate: int) -> Json:
        raise AssertionError(plate)


class Shop:
    """Two printers and a queue; :meth:`open` again is a new life on the same files."""

    def __init__(self, folder: Path, *, window: str = "", url: str | None = None) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder}/brain.db"
        self.window = window
        self.clock = Later()
        self.uploads: list[tuple[str, str]] = []
        # What keeps a file from getting to a printer.
        self.trouble: KittyError | None = None
        # Which runs printers began: (printer, file), over all lives.
        self.runs: list[tuple[str, str]] = []
        self.sleepy = False
        self.life = 0
        self.session: ClientSession

    async def open(self) -> None:
        self.life += 1
        clock: Any = self.clock
        self.house = Gatehouse(f"sqlite:///{self.folder}/safety.db", self.folder, clock)
        await self.house.open()
        if self.life == 1:
            puppets().Puppet.orders.clear()
            puppets().Puppet.first_word.clear()
            await self.house.furnish()
        self.database = Database(self.url, tables.brain, name="brain", durable=False)
        await self.database.open()
        self.bus, self.tasks = self.house.bus, Tasks()
        self.registry = Registry(
            self.database, self.bus, self.tasks, self.session, Link(), self.clock
        )
        evidence = Evidence(self.registry, self.house.gate, self.folder / "evidence")
        self.devices = Devices(self.registry, self.house.gate, self.bus, self.tasks, evidence)
        files: Any = NoFiles()
        self.jobs = Jobs(
            self.database, self.bus, self.tasks, self.devices, files, command_of=self.command_of
        )
        self.inventory = Inventory(Books(self.database, self.bus, self.clock))
        self.prices = Prices(self.database, self.bus, self.clock, window=self.window)
        await self.prices.start()
        self.rows = Rows(self.database, self.bus, self.clock)
        planner: Any = Quick()
        self.planner = planner
        self.planning = Planning(
            self.rows,
            self.devices,
            self.clock,
            planner=planner,
            prices=self.prices,
            spools=self.inventory,
        )
        self.starts = Starts(self.rows, self.tasks, self.devices, self.bring, self.command_of)
        self.queue = Queue(
            self.rows,
            self.planning,
            self.starts,
            self.devices,
            self.bus,
            self.clock,
            of_plate=files.of_plate,
            calm_s=0.0,
        )
        self.bus.listen("command.updated", self._obey)
        await self.registry.start()
        await self.devices.recover(paired=False)
        await self.queue.start()

    async def close(self) -> None:
        await self.queue.stop()
        await self.registry.stop()
        await self.tasks.stop()
        await self.database.close()
        await self.house.close()

    # -- the edges ------------------------------------------------------------------------------------

    async def command_of(self, command_id: str) -> Json | None:
        return await self.house.gate.command(command_id)

    async def bring(self, _caller: Caller, artifact_id: str, device_id: str) -> str:
        if self.trouble is not None:
            raise self.trouble
        self.uploads.append((device_id, artifact_id))
        return f"{artifact_id}.gcode"

    def _obey(self, event: Event) -> None:
        """Let a printer that was told to start show that it does, unless it sleeps."""
        if event.data["status"] == "sent" and event.data["intent"] == "print_start":
            device_id, file = event.data["device_id"], event.data["params"]["file"]
            self.runs.append((device_id, file))
            if not self.sleepy:
                self.shows(device_id, "printing", file)

    def shows(self, device_id: str, status: str, file: str | None = None, **more: Any) -> None:
        """Let a printer show a state; the run is the one that it showed before, or a new one."""
        puppet = puppets().Puppet.on_stage[device_id]
        old = self.registry.get(device_id).observed.state.get("job") or {}
        begun = old.get("started_at") if old.get("file") == file else None
        run = begun or datetime.fromtimestamp(time.time() + 0.001, UTC).isoformat()
        slots = more.pop("slots", None)
        state = STATE(status, file, run if file else None, error=more.pop("error", None))
        if state["job"] is not None:
            state["job"] |= more
        puppet.show(**(state | ({"slots": slots} if slots is not None else {})))

    # -- what people do -------------------------------------------------------------------------------

    async def printer(self, device_id: str = A, *, clear: bool = True, **options: Any) -> Any:
        """Set up a printer that rests, with a clear bed."""
        await self.registry.put(
            "puppet",
            {"external_id": device_id, "kind": "printer"} | options,
            device_id=device_id,
            zone_id="shop",
            info=DeviceInfo(
                external_id=device_id,
                name=device_id[0].upper(),
                kind=Kind.PRINTER,
                capabilities=frozenset({"print_start", "print_cancel"}),
            ),
        )
        puppet = await on_stage(device_id)
        puppets().Puppet.first_word[device_id] = STATE()
        puppet.show(**STATE())
        if clear:
            await self.run("printers.cleared", device_id=device_id)
        return puppet

    async def artifact(self, name: str = "part.gcode", **facts: Any) -> str:
        """Store a file that is ready to be printed."""
        row = {
            "id": new_id(),
            "sha256": new_id(),
            "name": name,
            "kind": "gcode",
            "size": 1,
            "facts": {"estimated_s": HOUR} | facts,
            "created_at": self.clock(),
        }
        await self.database.write(
            lambda connection: connection.execute(insert(artifacts).values(row))
        )
        return str(row["id"])

    async def add(self, *, facts: Json | None = None, **wishes: Any) -> Json:
        """Put a new file into the queue."""
        artifact = await self.artifact(**facts or {})
        return await self.run("queue.add", artifact_id=artifact, **wishes)

    async def spool(self, material: str, color: str, grams: float = 1000.0, **more: Any) -> str:
        """Put a spool on the shelf; ``device_id`` loads it."""
        device_id = more.pop("device_id", None)
        made = await self.run(
            "spools.put", material=material, color=color, remaining_g=grams, full_g=1000.0
        )
        if device_id is not None:
            await self.run("spools.load", spool_id=made["id"], device_id=device_id)
        return str(made["id"])

    async def run(self, action: str, who: str | None = "ada", **params: Any) -> Json:
        """Run a command as the dispatcher does."""
        caller = Caller(token="home", scope=Scope.INTEGRATION, user_id=who)
        spec = collect(self.queue, self.prices, self.inventory)[action]
        found: Json = await spec.run(caller, prepare(spec, caller, params))
        return found

    async def refused(self, action: str, **params: Any) -> str:
        """Return the code with which a command was refused."""
        with pytest.raises(KittyError) as caught:
            await self.run(action, **params)
        return caught.value.code

    # -- time -----------------------------------------------------------------------------------------

    async def turn(self) -> None:
        """Let the queue look once, and what it set going come to rest."""
        await self.queue.turn()
        await self.rest()

    async def rest(self) -> None:
        """Wait until nothing of the queue, of jobs or of starts is under way."""
        words = ("queue", "job", "claim", "sent", "command", "watch")
        for _ in range(3):
            await until(
                lambda: not [one for one in self.tasks._tasks if one.get_name().startswith(words)],
                "the end of what was under way",
            )
            await asyncio.sleep(0)

    async def item(self, row: Json) -> Json:
        """Return an item as it is now."""
        found = await self.rows.get(row["id"])
        assert found is not None
        return found

    async def waiting(self) -> list[Json]:
        """Return the safety events about which people have to decide."""
        return [one for one in await self.house.rows(tables.events) if one["status"] == "pending"]

    async def approve(self) -> None:
        """Let a person approve what waits, and everything come to rest."""
        for event in await self.waiting():
            await self.house.approve(event, "bob")
        await self.rest()

    async def deny(self) -> None:
        """Let a person say no to what waits."""
        for event in await self.waiting():
            await self.house.deny(event, "bob")
        await self.rest()

    async def printing(self, **wishes: Any) -> Json:
        """Add an item and bring it to where it prints."""
        row = await self.add(**wishes)
        await self.turn()
        await self.approve()
        await self.turn()
        return await self.item(row)


@asynccontextmanager
async def shop(folder: Path, **settings: Any) -> AsyncIterator[Shop]:
    """Open a shop for the time of a block."""
    made = Shop(folder, **settings)
    async with ClientSession() as made.session:
        await made.open()
        try:
            yield made
        finally:
            await made.close()


def url_of(database_url: str) -> str | None:
    """Return where a queue is to be kept; None for a file beside that of its gate."""
    return None if database_url.startswith("sqlite") else database_url


def codes(row: Json) -> list[str]:
    """Return the codes of the reasons of an item."""
    return [reason["code"] for reason in row["reasons"]]


def file_of(row: Json) -> str:
    """Return the name under which an item lies on a printer."""
    return f"{row['artifact_id']}.gcode"


async def ended(shop: Shop, row: Json, status: str, **more: Any) -> Json:
    """Let the printer end the print of an item, and return the item."""
    shop.shows(A, status, file_of(row), **more)
    await shop.rest()
    await shop.turn()
    return await shop.item(row)


async def settle(shop: Shop, command_id: str, **values: Any) -> None:
    """Let a command have come to some end."""
    query = update(tables.commands).where(tables.commands.c.id == command_id).values(values)
    await shop.house.database.write(lambda connection: connection.execute(query))
