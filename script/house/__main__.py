"""``script/run``: the demonstration house for people, or ``--check`` for machines."""

import argparse
import asyncio
from contextlib import suppress
from pathlib import Path
import signal
import sys
import time
from typing import Final

from script.house import config
from script.house.check import walk
from script.house.house import ROOT, House, Occupied, default_place
from script.house.people import Refused
from script.house.processes import Died

WELCOME = """
  Home Assistant   {url}          the dashboard "Workshop"
    {demo.name}           {demo.username} / {demo.password}     the owner
    {anna.name}           {anna.username} / {anna.password}     a normal user
  Their phones     {phones}/{demo.username} and {phones}/{anna.username}
  The brain        {brain}          log: {place}/brain.log

  These passwords are for this demonstration only; everything listens on this machine alone. From another
  machine: ssh -L {port}:127.0.0.1:{port} ..., then open the first address there.

  Try, one after the other:
    1. Log in as demo and switch the laser on: it waits, because two people must want it.
    2. Log in as anna in a private window and approve it, or do it on her phone (the page above).
    3. Tell Assist (the speech bubble at the top): "unlock the workshop door", then "confirm".
       Also: "start the bracket on the big printer", "turn on the bench lamp".
    4. Open KITTY in the sidebar: what waits, prints, materials, costs, and who did what.
  A language model is not needed for any of it; Settings > Devices & services > KITTY adds one.

  Ctrl-C stops everything. What you do is kept in {place};
  script/run --fresh begins anew.
"""


CHECKING: Final = """\
  Demo, the owner, and Anna, a second person, live in a house of their own for some minutes. Each line says what
  must hold, and below it what was seen. Starting Home Assistant and the brain; this takes about half a minute ...
"""


def say(text: str) -> None:
    """Say something to the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def live(place: Path, *, fresh: bool) -> int:
    """Open the house and keep it open until somebody says stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    say("Starting Home Assistant and the brain; this takes about half a minute ...")
    house = House(place)
    await house.open(fresh=fresh)
    try:
        say(
            WELCOME.format(
                url=house.url,
                demo=config.DEMO,
                anna=config.ANNA,
                phones=house.exchange.url,
                brain=house.brain_url,
                port=house.ports["home_assistant"],
                place=place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place,
            )
        )
        while not stop.is_set():
            for process in (house.brain, house.hass):
                process.require_alive()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await stop.wait()
        say("\nStopping ...")
    finally:
        await house.close()
    say("Stopped.")
    return 0


async def check(place: Path) -> int:
    """Open a house of its own, take every step, and tell whether all held."""
    started = time.perf_counter()
    house = House(place)
    say(CHECKING)
    await house.open(fresh=True)
    say(f"  The house is open after {time.perf_counter() - started:.1f} s ({house.url})")
    try:
        good = await walk(house, say)
    finally:
        await house.close()
    took = time.perf_counter() - started
    say(f"{'✓ Everything held' if good else '✗ Not everything held'} ({took:.1f} s)")
    return 0 if good else 1


def main() -> int:
    """Read the arguments and run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="script/run", description="A demonstration house with KITTY in it"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what was before")
    parser.add_argument(
        "--check", action="store_true", help="do the main job in a house of its own, and tell"
    )
    parser.add_argument("--place", type=Path, help="where the house is kept")
    wanted = parser.parse_args()
    try:
        if wanted.check:
            return asyncio.run(check(wanted.place or ROOT / ".cache" / "house-check"))
        return asyncio.run(live((wanted.place or default_place()).absolute(), fresh=wanted.fresh))
    except (Occupied, Died, Refused, TimeoutError) as err:
        sys.stderr.write(f"{err}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
