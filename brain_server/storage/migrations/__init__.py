"""Schema versions. A new database is made at its head; Alembic is imported only to move an old one."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from brain_server.errors import Unavailable

HEADS: Final = {"safety": "0001", "brain": "0005"}


def version_table(name: str) -> str:
    """Return the table that holds the schema version of a database."""
    return f"alembic_version_{name}"


def current(connection: Connection, name: str, tables: Collection[str]) -> str | None:
    """Return the schema version of an opened database, None for a new one, ``base`` for an emptied one."""
    if version_table(name) not in tables:
        return None
    query = text(f"SELECT version_num FROM {version_table(name)}")  # noqa: S608 - our own two names
    return str(connection.execute(query).scalar() or "base")


def stamp(connection: Connection, name: str) -> None:
    """Note that a new database is at its head."""
    table = version_table(name)
    connection.execute(text(f"CREATE TABLE {table} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(
        text(f"INSERT INTO {table} VALUES (:head)"),  # noqa: S608 - our own two names
        {"head": HEADS[name]},
    )


def upgrade(engine: Engine, name: str, revision: str = "head") -> None:
    """Move a database to a revision in one transaction: all of it or nothing. ``base`` empties it."""
    # 40 MB and 60 ms that only a real migration should cost.
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above
    from alembic.util import CommandError  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / name))
    script = ScriptDirectory.from_config(config)

    def steps(from_revision: Any, _context: object) -> Any:
        if revision == "base":
            return script._downgrade_revs("base", from_revision)  # noqa: SLF001 - as alembic.command does
        return script._upgrade_revs(revision, from_revision)  # noqa: SLF001 - as alembic.command does

    with (
        EnvironmentContext(config, script, fn=steps) as environment,
        engine.begin() as connection,
    ):
        environment.configure(connection=connection, version_table=version_table(name))
        try:
            environment.run_migrations()
        except CommandError as err:  # e.g. the version of a newer brain
            raise Unavailable(
                "storage_failed", "The database cannot be used", reason=str(err)
            ) from err
