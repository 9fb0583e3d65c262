"""One of several brains that share the work of ``jobs``; says line by line what it begins and what is done.

``python -m tests.bench.jobs_replica GIVEN``, where GIVEN is JSON. As ``fill`` it lays out the work and ends; as
``serve`` it does it until it is ended.
"""

import asyncio
import json
import os
import random
import sys
import time
from typing import Final

from aiohttp import ClientError, ClientSession
from sqlalchemy import Connection, text

from brain_server.bus import Bus
from brain_server.errors import Unavailable
from brain_server.observability import Tasks, setup_logging
from brain_server.protocol import Json
from brain_server.schedule import Kind, Run, Schedule, put
from brain_server.storage import Database, tables

AT_ONCE: Final = 64
CHUNK: Final = 500
EFFECT: Final = text("INSERT INTO bench_effects (name) VALUES (:name)")


def say(word: str, name: str = "") -> None:
    """Write one line, whole or not at all, with a time that all processes share."""
    os.write(1, f"{word} {time.monotonic():.4f} {name}\n".encode())


class Brain:
    """A database, its schedule, and the world outside that counts what is done to it."""

    def __init__(self, given: Json, session: ClientSession) -> None:
        """Take what the bench wants."""
        self.given = given
        self.session = session
        self.tasks = Tasks()
        self.database = Database(given["url"], tables.brain, name="brain", durable=False)
        self.schedule = Schedule(
            self.database,
            Bus(),
            self.tasks,
            time.time,
            owner=given["owner"],
            lease=given["lease"],
        )
        for name, timing in given["schedules"].items():
            self.schedule.every(name, timing, kind="tick", payload={"name": name})

    async def fill(self) -> None:
        """Note the times of the jobs, and add the tasks, spread over the time in which they come due."""
        await self.schedule.start(alone=False)
        count, now = self.given["tasks"], time.time()
        step = self.given["spread"] / max(count, 1)
        for first in range(0, count, CHUNK):
            numbers = range(first, min(first + CHUNK, count))

            def add(connection: Connection, numbers: range = numbers) -> None:
                for number in numbers:
                    name = f"task-{number}"
                    put(connection, now, "task", {"name": name}, due_at=now + number * step)

            await self.database.write(add)
        await self.schedule.stop()
        await self.tasks.stop()
        await self.database.close()

    async def serve(self) -> None:
        """Do the work, until this process is ended."""
        for kind in ("task", "tick"):
            self.schedule.worker.register(
                Kind(name=kind, run=self.work, concurrency=AT_ONCE, first_wait=1.0, most_wait=5.0)
            )
        await self.schedule.start(alone=False)
        say("ready")
        await asyncio.Event().wait()

    async def work(self, run: Run) -> None:
        """Take some time, do something outside and something in the database."""
        due = run.payload.get("due")
        name = run.payload["name"] if due is None else f"{run.payload['name']}@{due:.0f}"
        outside_url = f"http://127.0.0.1:{self.given['port']}/"
        say("begin", name)
        await asyncio.sleep(random.uniform(*self.given["takes"]))  # by chance, as in a house

        async def outside() -> Json:
            try:
                async with self.session.post(outside_url, data=name) as answer:
                    return {"status": answer.status}
            except (ClientError, OSError) as err:
                raise Unavailable("outside_failed", "The world outside is gone") from err

        def inside(connection: Connection) -> Json:
            connection.execute(EFFECT, {"name": name})
            return {"done": True}

        await run.step("outside", outside)
        await run.once("inside", inside)
        say("done", name)


async def main(given: Json) -> None:
    """Be one of the brains."""
    setup_logging("warning")
    async with ClientSession() as session:
        brain = Brain(given, session)
        await brain.database.open()
        await (brain.fill() if given["role"] == "fill" else brain.serve())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
