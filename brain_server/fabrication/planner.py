"""The planner as the queue sees it: a problem goes in, the best plan that time allows comes out, always."""

import asyncio
import logging
from typing import Final

import msgspec

from brain_server import subprocesses
from brain_server.fabrication.plan import Plan, Problem, first_come
from brain_server.observability import Tasks

_LOGGER = logging.getLogger(__name__)

# Beyond the time that the search may take: to start Python and OR-tools on a slow computer.
GRACE_S: Final = 20.0
# The process keeps a hundred megabytes; so long after the last plan it gives them back.
IDLE_S: Final = 60.0
STOP_S: Final = 2.0
_MOST_BYTES: Final = 16 * 1024 * 1024
_MODULE: Final = "brain_server.fabrication.solve"


class Planner:
    """Has plans made in a process of its own, one at a time; without it, first come is first served."""

    def __init__(
        self,
        tasks: Tasks,
        *,
        idle_s: float = IDLE_S,
        grace_s: float = GRACE_S,
        module: str = _MODULE,
    ) -> None:
        """Say how long the process may be idle and how late it may be; nothing runs yet."""
        self._tasks = tasks
        self._idle_s = idle_s
        self._grace_s = grace_s
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Return the number of the process, None while there is none."""
        return self._process.pid if self._process else None

    async def plan(self, problem: Problem) -> Plan:
        """Return a plan, never one worse than first come, first served; that, when the process fails."""
        if not problem.items:
            return Plan(places=[], proven=True)
        async with self._lock:
            self._stay()
            try:
                async with asyncio.timeout(problem.limit_s + self._grace_s):
                    plan = await self._ask(problem)
            except (TimeoutError, OSError, EOFError, ValueError) as err:
                _LOGGER.warning("The planner failed (%s); first come is first served", err)
                await self._end(self._drop())
                return await asyncio.to_thread(first_come, problem)
            except asyncio.CancelledError:
                # Its answer to a question that nobody asks any more must not be taken for the next one.
                self._tasks.start("planner end", self._end(self._drop()))
                raise
            self._rest = asyncio.get_running_loop().call_later(self._idle_s, self._fall_asleep)
            return plan

    async def stop(self) -> None:
        """End the process."""
        self._stay()
        process = self._drop()
        if process is not None and process.returncode is None and self._lock.locked():
            process.kill()  # whoever waits for its answer hears at once that there will be none
        async with self._lock:
            self._stay()
            await self._end(process or self._drop())

    async def _ask(self, problem: Problem) -> Plan:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await self._spawn()
        assert process.stdin is not None  # noqa: S101 - both are asked for below
        assert process.stdout is not None  # noqa: S101 - see above
        process.stdin.write(msgspec.json.encode(problem) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            code = await process.wait()
            raise EOFError(f"it ended with {code}")
        return msgspec.json.decode(line, type=Plan)

    async def _spawn(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await subprocesses.start(self._module, stdin=pipe, stdout=pipe, limit=_MOST_BYTES)

    def _stay(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _fall_asleep(self) -> None:
        self._tasks.start("planner rest", self._end(self._drop()))

    def _drop(self) -> asyncio.subprocess.Process | None:
        """Hang up, at once; returns the process, which then ends."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
        return process

    async def _end(self, process: asyncio.subprocess.Process | None) -> None:
        """Wait for a process that was hung up on, not for long."""
        if process is None or process.stdout is None:
            return
        try:
            async with asyncio.timeout(STOP_S):
                await process.stdout.read()
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.stdout.read()
            await process.wait()
