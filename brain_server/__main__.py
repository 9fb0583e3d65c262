"""The command line: ``kitty-brain serve``, ``audit verify``, ``token create``, ``unpair``, ``memory move``."""

import asyncio
from collections.abc import Sequence
import json
import logging
import os
from pathlib import Path
import signal
import sys
import time
from typing import Final

from brain_server import __version__
from brain_server.errors import InvalidRequest, KittyError
from brain_server.observability import setup_logging
from brain_server.protocol import Json
from brain_server.settings import Settings, split_options

_LOGGER = logging.getLogger(__name__)

OPTIONS_FILE: Final = Path("/data/options.json")
USAGE: Final = """\
usage: kitty-brain COMMAND [--setting value ...]

  serve                         run the brain
  audit verify                  recompute the audit chain; exit 1 when it was altered
  token create NAME SCOPE       make a token (read, control, admin, integration) and print it
  unpair                        forget the paired Home Assistant, so that another can pair
  memory move --to URL          copy the vectors of memory to a Qdrant server; --to rows: back again
  migrate [REVISION]            bring the databases to a revision (default: head)
  version                       print the version

Each setting is also an environment variable, KITTY_<NAME>, e.g. --data-dir or KITTY_DATA_DIR.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, 2 for words that are wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs = []
    while arguments and not arguments[0].startswith("--"):
        verbs.append(arguments.pop(0))
    if verbs == ["memory", "move"] and arguments[:1] == ["--to"]:
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
        case ["serve"]:
            return asyncio.run(_serve(settings))
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
        case ["memory", "move", "--to", to]:
            _existing(settings)
            return asyncio.run(_move(settings, to))
        case ["version"]:
            sys.stdout.write(f"{__version__}\n")
            return 0
        case _:
            sys.stderr.write(USAGE)
            return 2


async def _serve(settings: Settings) -> int:
    from brain_server.app import Brain  # noqa: PLC0415 - the other commands need not pay for it

    os.environ.pop("SUPERVISOR_TOKEN", None)
    brain = Brain(settings)
    await brain.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sys.stdout.write(json.dumps({"ready": True, "port": brain.port}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    _LOGGER.info("Shutting down")
    await brain.stop()
    return 0


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
        raise InvalidRequest("no_data", f"There is no brain in {settings.data_dir}")
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
