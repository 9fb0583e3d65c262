"""The command line: ``kitty-brain serve``, ``app``, ``audit verify``, ``token create``, ``unpair``, ``memory move``."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
import json
import logging
import os
from pathlib import Path
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from brain_server import __version__
from brain_server.cluster.alone import alone
from brain_server.errors import Conflict, InvalidRequest, KittyError, Unavailable
from brain_server.observability import setup_logging
from brain_server.protocol import Json
from brain_server.settings import Settings, split_options

if TYPE_CHECKING:
    from brain_server.addon.host import Host
    from brain_server.cluster.lease import Lease

_LOGGER = logging.getLogger(__name__)

# The status of a brain that another one took over from (EX_TEMPFAIL): start it again.
AGAIN: Final = 75
# What the Supervisor calls its token, now and before.
SUPERVISOR_TOKENS: Final = ("SUPERVISOR_TOKEN", "HASSIO_TOKEN")
OPTIONS_FILE: Final = Path("/data/options.json")
USAGE: Final = """\
usage: kitty-brain COMMAND [--setting value ...]

  serve                         run the brain
  app                           run the brain in its app; standard input is the Supervisor's token
  backup begin                  put whole copies of the databases into the folder, for whoever copies it now
  backup end                    take them away
  audit verify                  recompute the audit chain; exit 1 when it was altered
  token create NAME SCOPE       make a token (read, control, admin, integration) and print it
  unpair                        forget the paired Home Assistant, so that another can pair
  move --to URL                 copy all rows to another database, e.g. postgresql+psycopg://...; --to files: to SQLite
  memory move --to URL          copy the vectors of memory to a Qdrant server; --to rows: back again
  migrate [REVISION]            bring the databases to a revision (default: head)
  version                       print the version

Each setting is also an environment variable, KITTY_<NAME>, e.g. --data-dir or KITTY_DATA_DIR.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, 2 for words that are wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--help"], ["-h"], ["help"]):
        sys.stdout.write(USAGE)
        return 0
    verbs = []
    while arguments and not arguments[0].startswith("--"):
        verbs.append(arguments.pop(0))
    if verbs in (["memory", "move"], ["move"]) and arguments[:1] == ["--to"]:
        verbs += arguments[:2]
        arguments = arguments[2:]
    try:
        settings = Settings.load(split_options(arguments), os.environ, OPTIONS_FILE)
        setup_logging(settings.log_level)
        return _run(verbs, settings)
    except KittyError as err:
        sys.stderr.write(f"kitty-brain: {err.message} [{err.code}]\n")
        return 2


def _run(verbs: Sequence[str], settings: Settings) -> int:
    match list(verbs):
        case ["serve" | "app" as verb]:
            return _live(verb, settings)
        case ["backup", "begin" | "end" as step]:
            return _back_up(step, settings)
        case ["audit", "verify"]:
            return asyncio.run(_verify(settings, _existing(settings)))
        case ["token", "create", name, scope]:
            return asyncio.run(_token(settings, name, scope))
        case ["unpair"]:
            _existing(settings)
            return asyncio.run(_unpair(settings))
        case ["migrate"] | ["migrate", _]:
            _existing(settings)
            return asyncio.run(_migrate(settings, verbs[1] if len(verbs) > 1 else "head"))
        case ["move", "--to", to]:
            _existing(settings)
            with alone(settings.data_dir):
                return asyncio.run(_move_all(settings, to))
        case ["memory", "move", "--to", to]:
            _existing(settings)
            return asyncio.run(_move(settings, to))
        case ["version"]:
            sys.stdout.write(f"{__version__}\n")
            return 0
        case _:
            sys.stderr.write(USAGE)
            return 2


def _live(verb: str, settings: Settings) -> int:
    """Run the brain until it is told to end."""
    for name in SUPERVISOR_TOKENS:
        os.environ.pop(name, None)
    if verb == "serve" and settings.shares_database:
        return asyncio.run(_take_turns(settings))
    if verb == "app":
        # Until the brain can be stopped in good order there is nothing to put in order.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with alone(settings.data_dir):
        if verb == "serve":
            return asyncio.run(_serve(settings))
        return asyncio.run(_app(settings, sys.stdin.readline().strip()))


def _back_up(step: str, settings: Settings) -> int:
    from brain_server.addon import backup  # noqa: PLC0415 - only this subcommand needs it

    if step == "end":
        backup.end(settings)
    else:
        _say(copied=backup.begin(settings))
    return 0


async def _app(settings: Settings, token: str) -> int:
    """Serve as an app of Home Assistant; after a restore, nothing that was open is open any more."""
    from brain_server.addon import backup  # noqa: PLC0415 - only an app needs it
    from brain_server.addon.host import Host  # noqa: PLC0415 - see above
    from brain_server.addon.lines import Lines  # noqa: PLC0415 - see above
    from brain_server.addon.supervisor import Supervisor  # noqa: PLC0415 - see above

    lines = Lines()
    logging.getLogger().addHandler(lines)
    host = Host(Supervisor(token), lines)
    settings = await host.prepare(settings, OPTIONS_FILE)
    if await asyncio.to_thread(backup.was_restored, settings):
        await asyncio.to_thread(backup.take_copies, settings)
        await _void(settings)
    await asyncio.to_thread(backup.settle, settings)
    return await _serve(settings, host)


async def _void(settings: Settings) -> None:
    """Void what was open when the backup was made: nobody who said yes then says so now."""
    from brain_server.app import Brain  # noqa: PLC0415 - the other commands need not pay for it

    brain = Brain(settings)
    await brain.open_safety()
    try:
        voided = await brain.directory.restored({"by": "backup"})
    finally:
        await brain.safety_db.close()
    _LOGGER.warning("This brain was restored from a backup; %d open requests are void", voided)


async def _serve(settings: Settings, host: Host | None = None) -> int:
    from brain_server.app import Brain  # noqa: PLC0415 - the other commands need not pay for it

    stop = _stop()
    brain = Brain(settings)
    brain.host = host
    await brain.start()
    _say(ready=True, port=brain.port)
    await stop.wait()
    _LOGGER.info("Shutting down")
    await brain.stop()
    return 0


async def _take_turns(settings: Settings) -> int:
    """Serve while this brain is the one that is awake; until then, stand by.

    A brain that another one has put to sleep returns ``AGAIN``: it is to be started again, to stand by.
    """
    from brain_server.app import Brain  # noqa: PLC0415 - the other commands need not pay for it
    from brain_server.cluster.standby import Standby  # noqa: PLC0415 - see above

    stop = _stop()
    lease = _lease(settings, stop)
    standby = Standby(settings.host, settings.port)
    try:
        if not await lease.try_to_win():
            settings = replace(settings, port=await standby.open())
            _say(standby=True, port=settings.port)
            if not await lease.win():
                return 0
        brain = Brain(settings, lease=lease)
        brain.make_way = standby.close
        await brain.start()
        _say(ready=True, port=brain.port)
        await stop.wait()
        _LOGGER.info("Shutting down")
        await brain.stop()
    except Unavailable:
        if not lease.lost:
            raise
    finally:
        await standby.close()
        await lease.release()
    return AGAIN if lease.lost else 0


def _lease(settings: Settings, stop: asyncio.Event) -> Lease:
    """Return this process' part in the question who is awake."""
    from brain_server.cluster.lease import Lease  # noqa: PLC0415 - PostgreSQL's client, see above

    return Lease(
        settings.database_url,
        ttl=settings.lease_ttl,
        identity=lambda: _fingerprint(settings.data_dir / "keys.json"),
        stop=stop,
    )


def _fingerprint(path: Path) -> str | None:
    """Return what tells the keys of a brain from others, None when there are none yet; blocks."""
    from brain_server.safety.keys import Keys  # noqa: PLC0415 - only where there are several brains

    return Keys.load(path).fingerprint if path.exists() else None


def _stop() -> asyncio.Event:
    """Return what is set when this process is told to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _say(**words: Any) -> None:
    """Tell whoever started this process how far it is."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def _verify(settings: Settings, key_file: Path) -> int:
    from brain_server.safety.audit import Chain  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.safety.keys import Keys  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.storage import Database, tables  # noqa: PLC0415 - only this subcommand needs it

    chain = Chain((await asyncio.to_thread(Keys.load, key_file)).chain)
    database = Database(settings.safety_url, tables.safety, name="safety", durable=True)
    await database.open()
    try:
        head, problem = await database.read(chain.verify)
    finally:
        await database.close()
    result: Json = {"ok": problem is None, "rows": head.seq, "hash": head.hash, "problem": problem}
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if problem is None else 1


def _existing(settings: Settings) -> Path:
    """Return the key file of a brain that has run before; InvalidRequest ``no_data`` when none has."""
    path = settings.data_dir / "keys.json"
    if not path.exists():
        raise InvalidRequest(
            "no_data", f"There is no brain in {settings.data_dir}; name its folder with --data-dir"
        )
    return path


async def _token(settings: Settings, name: str, scope: str) -> int:
    import msgspec  # noqa: PLC0415 - only this subcommand needs it

    from brain_server.api.auth import NewToken, Tokens  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.commands import SYSTEM  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.storage import Database, tables  # noqa: PLC0415 - only this subcommand needs it

    try:
        wanted = msgspec.convert({"name": name, "scope": scope}, NewToken)
    except msgspec.ValidationError as err:
        raise InvalidRequest("invalid_params", str(err)) from err
    # Else it would be a token that no brain knows, in a folder made for nothing.
    await asyncio.to_thread(_existing, settings)
    database = Database(settings.brain_url, tables.brain, name="brain", durable=False)
    await database.open()
    try:
        made = await Tokens(database, time.time, rate=1, burst=1).create(SYSTEM, wanted)
    finally:
        await database.close()
    sys.stdout.write(f"{made['token']}\n")
    return 0


async def _unpair(settings: Settings) -> int:
    from brain_server.app import Brain  # noqa: PLC0415 - only this subcommand needs it

    brain = Brain(settings)
    await brain.open_safety()
    try:
        await brain.directory.unpair()
    finally:
        await brain.safety_db.close()
    return 0


async def _move(settings: Settings, to: str) -> int:
    from brain_server.memory.move import HERE, away, back  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.memory.qdrant import Qdrant  # noqa: PLC0415 - 90 MB that only a Qdrant server needs
    from brain_server.memory.rows import Rows  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.storage import Database, tables  # noqa: PLC0415 - only this subcommand needs it

    url = settings.qdrant_url if to == HERE else to
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(
            "invalid_setting", "A Qdrant server has an address like http://host:6333", field="to"
        )
    server = Qdrant(url, settings.qdrant_api_key)
    database = Database(settings.brain_url, tables.brain, name="brain", durable=False)
    await database.open()
    try:
        rows = Rows(database)
        moved = await (back(rows, server) if to == HERE else away(rows, server))
    finally:
        await server.close()
        await database.close()
    sys.stdout.write(json.dumps(moved) + "\n")
    return 0


async def _move_all(settings: Settings, to: str) -> int:
    """Copy every row while no brain uses either database, and print what was copied."""
    from brain_server.storage import Database, tables  # noqa: PLC0415 - only this subcommand needs it
    from brain_server.storage.move import move  # noqa: PLC0415 - only this subcommand needs it

    there = replace(settings, database_url="" if to == "files" else to)
    if there.safety_url == settings.safety_url:
        raise InvalidRequest("invalid_setting", "The rows are there already", field="to")
    found: Json = {}
    async with AsyncExitStack() as opened:
        for one in (settings, there):
            await _keep_others_out(one, opened)
        for name, metadata in (("brain", tables.brain), ("safety", tables.safety)):
            sides = []
            for one in (settings, there):
                url = one.safety_url if name == "safety" else one.brain_url
                database = Database(url, metadata, name=name, durable=True)
                await database.open()
                opened.push_async_callback(database.close)
                sides.append(database)
            found[name] = {
                table: {"rows": held.rows, "sha256": held.sha256}
                for table, held in (await move(*sides)).items()
            }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


async def _keep_others_out(settings: Settings, opened: AsyncExitStack) -> None:
    """Let no brain be awake on a database; Conflict ``data_in_use`` when one is."""
    if not settings.shares_database:
        return
    lease = _lease(settings, asyncio.Event())
    opened.push_async_callback(lease.release)
    if not await lease.try_to_win():
        raise Conflict("data_in_use", "Another brain runs on the database", folder="the database")


async def _migrate(settings: Settings, revision: str) -> int:
    from brain_server.storage import Database, tables  # noqa: PLC0415 - only this subcommand needs it

    for url, metadata, name in (
        (settings.safety_url, tables.safety, "safety"),
        (settings.brain_url, tables.brain, "brain"),
    ):
        database = Database(url, metadata, name=name, durable=name == "safety")
        await database.migrate(revision)
        sys.stdout.write(f"{name}: {revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
