"""Kills a migration before its first statement, its second, and so on, until one is finished.

``python -m tests.brain.storage.interrupted URL NAME up|down`` prints the tables that were found after
each, as JSON. The children are forked, so that Alembic is imported once.
"""

import itertools
import json
import os
import signal
import sys
from typing import Any

import alembic.config
import alembic.runtime.environment
import alembic.script  # noqa: F401 - once, and not in each child
from sqlalchemy import create_engine, event, inspect

from brain_server.storage import _postgres, _sqlite, migrations

REVISIONS = {"up": "head", "down": "base"}


def migrate(url: str, name: str, way: str, statements: int) -> None:
    """Begin a migration in a process of its own, and kill it before so many statements are done."""
    engine = _sqlite(url, synchronous="FULL") if url.startswith("sqlite") else _postgres(url)
    left = itertools.count(statements, -1)

    def count(*_: Any) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)
    migrations.upgrade(engine, name, REVISIONS[way])
    os._exit(0)


def main(url: str, name: str, way: str) -> None:
    """Print what was found after each kill."""
    preparation = {"up": [], "down": ["head"]}[way]
    for revision in preparation:
        engine = create_engine(url)
        migrations.upgrade(engine, name, revision)
        engine.dispose()
    found = []
    for statements in itertools.count():
        child = os.fork()
        if child == 0:
            migrate(url, name, way, statements)
        _, status = os.waitpid(child, 0)
        engine = create_engine(url)
        found.append(inspect(engine).get_table_names())
        engine.dispose()
        if os.WIFEXITED(status):
            break
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:4])
