"""A brain that dies at any step of a print from the queue: nothing is printed twice, and nothing is lost."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
import itertools
from pathlib import Path
import random
from typing import Any

from aiohttp import ClientSession
import pytest

from brain_server.errors import Conflict
from brain_server.fabrication import starts
from brain_server.protocol import CommandStatus, Json
from tests.brain.fabrication.shop import STATE, A, B, Shop, codes, url_of
from tests.brain.home import on_stage, puppets

# The steps of one print; a brain that is to die later than that does not die.
STEPS = 60
LIVES = 40


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """People are asked at once about what the brain could not see."""
    monkeypatch.setattr(starts, "PATIENCE_S", -1.0)


class Died(BaseException):
    """The brain is no more: whatever it still tries does not happen."""


class Mortal(Shop):
    """A shop whose brain dies at a chosen step; printers and people go on."""

    def __init__(self, folder: Path, *, url: str | None = None) -> None:
        super().__init__(folder, url=url)
        self.steps = itertools.count()
        self.dies_at = -1
        self.dead = False
        # What the printers themselves did, over all lives.
        self.printed: Counter[str] = Counter()
        self.at_once = 0

    async def open(self) -> None:
        self.dead = False
        self.steps = itertools.count()
        await super().open()
        for database in (self.database, self.house.database):
            self._guard(database, "write")
        self._guard(self.devices, "request")
        self._guard(self, "bring")
        self.starts._bring = self.bring
        for live in self.registry.all():
            self._guard(live.driver, "execute", self._physical)

    def _guard(self, owner: Any, name: str, work: Callable[..., Any] | None = None) -> None:
        """Make a call one at whose begin and at whose end the brain may die."""
        real = work or getattr(owner, name)

        async def guarded(*args: Any, **more: Any) -> Any:
            self._step()
            try:
                return await real(*args, **more)
            finally:
                self._step()

        setattr(owner, name, guarded)

    def _step(self) -> None:
        if self.dead or next(self.steps) == self.dies_at:
            self.dead = True
            raise Died

    async def _physical(self, order: Any) -> None:
        """Begin to print, whether or not the brain lives to see it."""
        command = await self.command_of(order.command_id)
        device_id, file = command["device_id"], order.params["file"]
        self.printed[file] += 1
        busy = puppets().Puppet.first_word[device_id]["status"] == "printing"
        self.at_once += busy
        run = (datetime.now(UTC) + timedelta(milliseconds=5)).isoformat()
        self.puts(device_id, STATE("printing", file, run))

    def puts(self, device_id: str, state: Json) -> None:
        """Let a printer be in a state; a new brain sees it, too."""
        puppets().Puppet.first_word[device_id] = state
        puppets().Puppet.on_stage[device_id].show(**state)

    async def living(self, work: Awaitable[object]) -> None:
        """Do something as long as the brain lives."""
        try:
            await work
        except Died:
            assert self.dead

    async def die(self) -> None:
        """Bury the brain and start another."""
        self.dead = True
        await self.tasks.stop()
        await self.living(self.registry.stop())
        await self.database.close()
        await self.house.close()
        await self.open()
        for device_id in (A, B):
            await on_stage(device_id)

    # -- the world ------------------------------------------------------------------------------------

    async def day(self) -> None:
        """Let everything happen once: plans, approvals, prints that end, beds that are cleared."""
        await self.living(self.turn())
        if self.dead:
            return
        await self.living(self.approve())
        for device_id in (A, B):
            await self._goes_on(device_id)
        await self._look()

    async def _goes_on(self, device_id: str) -> None:
        state = puppets().Puppet.first_word[device_id]
        if state["status"] == "printing":
            self.puts(device_id, state | {"status": "completed"})
        elif not self.dead:
            await self.living(self._clear(device_id))

    async def _clear(self, device_id: str) -> None:
        busy = [
            row
            for row in await self.queue.open_items()
            if row["device_id"] == device_id and row["status"] in {"starting", "printing"}
        ]
        if not busy:
            try:
                await self.run("printers.cleared", device_id=device_id)
            except Conflict as refused:
                if refused.code != "printer_busy":
                    raise
                # It was taken meanwhile; there is another day.

    async def _look(self) -> None:
        """Let a person look at what the brain could not tell, and say what is there."""
        if self.dead:
            return
        for row in await self.queue.open_items():
            if row["status"] == "held":
                printed = self.printed[f"{row['artifact_id']}.gcode"]
                verb = "queue.cancel" if printed else "queue.release"
                await self.living(self.run(verb, queue_id=row["id"]))
            elif codes(row)[:1] == ["start_unknown"]:
                await self.living(self._settle(row))

    async def _settle(self, row: Json) -> None:
        printed = self.printed[f"{row['artifact_id']}.gcode"]
        status = CommandStatus.ACKED if printed else CommandStatus.FAILED
        await self.house.gate.settle(
            row["command_id"], status, "settled by a person", user_id="bob"
        )


async def until_done(shop: Mortal, rows: list[Json], chance: random.Random | None = None) -> None:
    """Live, die and live again until every item is over."""
    for _ in range(LIVES):
        await shop.day()
        if shop.dead:
            shop.dies_at = chance.randrange(STEPS) if chance else -1
            await shop.die()
            continue
        if not await shop.queue.open_items():
            break
    shop.dies_at = -1
    found = [await shop.item(row) for row in rows]
    assert {row["status"] for row in found} <= {"completed", "cancelled"}
    files = {f"{row['artifact_id']}.gcode": 1 for row in rows}
    assert (dict(shop.printed), shop.at_once) == (files, 0)


@pytest.mark.parametrize("step", range(0, STEPS, 2))
async def test_a_brain_that_dies_at_this_step_prints_the_item_once(
    tmp_path: Path, step: int
) -> None:
    """Before or after each write, request, upload and order."""
    shop = Mortal(tmp_path)
    async with ClientSession() as shop.session:
        await shop.open()
        await shop.printer(A)
        await shop.printer(B)
        rows = [await shop.add()]
        for live in shop.registry.all():
            shop._guard(live.driver, "execute", shop._physical)
        shop.steps, shop.dies_at = itertools.count(), step
        await until_done(shop, rows)
        await shop.close()


@pytest.mark.parametrize("seed", range(6))
async def test_brains_that_die_again_and_again_print_each_item_once(
    tmp_path: Path, database_url: str, seed: int
) -> None:
    """Several items, two printers, and a death at any step of each life."""
    chance = random.Random(seed)
    shop = Mortal(tmp_path, url=url_of(database_url))
    async with ClientSession() as shop.session:
        await shop.open()
        await shop.printer(A)
        await shop.printer(B)
        rows = [await shop.add() for _ in range(3)]
        for live in shop.registry.all():
            shop._guard(live.driver, "execute", shop._physical)
        shop.steps, shop.dies_at = itertools.count(), chance.randrange(STEPS)
        await until_done(shop, rows, chance)
        await shop.close()
