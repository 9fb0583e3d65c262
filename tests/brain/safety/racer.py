"""One of several processes that approve and claim the same commands at the same time.

``python -m tests.brain.safety.racer URL FOLDER PERSON`` says ``ready``, reads events, one JSON object a
line, then a line ``go``; it prints which of them it approved and which it claimed.
"""

import asyncio
from collections.abc import Awaitable, Callable
import json
from pathlib import Path
import sys

from brain_server.errors import KittyError
from brain_server.protocol import Json
from tests.brain.gatehouse import Clock, Gatehouse

AT_ONCE = 25


async def won(work: Callable[[], Awaitable[object]]) -> bool:
    """Try until the gate has an answer; whether it was the right one for us."""
    while True:
        try:
            await work()
        except KittyError as err:
            if err.code != "database_busy":
                return False
        else:
            return True


async def race(house: Gatehouse, person: str, event: Json) -> tuple[list[str], list[str]]:
    """Approve and claim one event; returns it under what succeeded."""
    approved = await won(lambda: house.approve(event, person))
    claimed = await won(lambda: house.claim(event))
    return [event["id"]] * approved, [event["id"]] * claimed


async def main(url: str, folder: str, person: str) -> None:
    """Run the race."""
    house = Gatehouse(url, Path(folder), Clock())
    await house.open()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    events = [json.loads(line) for line in iter(sys.stdin.readline, "go\n")]
    found: dict[str, list[str]] = {"approved": [], "claimed": []}
    for start in range(0, len(events), AT_ONCE):
        group = events[start : start + AT_ONCE]
        for approved, claimed in await asyncio.gather(
            *(race(house, person, event) for event in group)
        ):
            found["approved"] += approved
            found["claimed"] += claimed
    await house.close()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
