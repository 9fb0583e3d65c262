"""Two things at once, of which the second is quicker than what the first one reads."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from brain_server.storage import Database

# Longer than the second takes, unless it has to wait for the first.
TAKES: Final = 0.3


async def overtaken(
    database: Database,
    first: Callable[[], Awaitable[object]],
    second: Callable[[], Awaitable[object]],
) -> None:
    """Do the second, as far as that is possible, after the first has read something and before it hears of it."""
    read, begun = database.read, list[asyncio.Task[object]]()

    async def late(work: Any) -> Any:
        once.undo()
        found = await read(work)
        begun.append(asyncio.get_running_loop().create_task(do(second)))
        await asyncio.wait(begun, timeout=TAKES)
        return found

    with pytest.MonkeyPatch.context() as once:
        once.setattr(database, "read", late)
        await first()
    await (begun[0] if begun else second())


async def do(deed: Callable[[], Awaitable[object]]) -> object:
    """Do something, as a task can."""
    return await deed()
