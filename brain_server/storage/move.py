"""Moves all rows to other databases: to PostgreSQL when SQLite is outgrown, or back. All of them, or none."""

from collections.abc import Iterator
import hashlib
import json
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Insert,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from brain_server.errors import Conflict
from brain_server.protocol import Json
from brain_server.storage import Database

BATCH: Final = 500
# Who is awake is a matter of the database itself.
STAYS: Final = frozenset({"leases"})
_MODULUS: Final = 2**256


class Sum(NamedTuple):
    """How many rows a table has, and a checksum of all of them that does not depend on their order."""

    rows: int
    sha256: str


async def move(source: Database, target: Database) -> dict[str, Sum]:
    """Copy every row; returns what each table holds, the same on both sides.

    Conflict ``target_not_empty`` where there are rows already, ``move_failed`` where a row does not fit.
    """

    def work(connection: Connection) -> dict[str, Sum]:
        with source.reading() as rows:
            return {
                table.name: _moved(rows, connection, table) for table in _tables(source.metadata)
            }

    return await target.write(work)


def _tables(metadata: MetaData) -> list[Table]:
    """Return the tables, each behind those that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in STAYS]


def _moved(source: Connection, target: Connection, table: Table) -> Sum:
    if target.execute(select(func.count()).select_from(table)).scalar():
        raise Conflict(
            "target_not_empty", f"There are rows in {table.name} already", table=table.name
        )
    statement = _insert(table, target.dialect.name)
    try:
        for part in _parts(source, table):
            rows = [{_name(key): value for key, value in row.items()} for row in part]
            target.execute(statement, rows)
        _go_on_counting(target, table)
    except SQLAlchemyError as err:
        raise _failed(table, str(err.__cause__ or err)) from err
    before, after = _sum(source, table), _sum(target, table)
    if before != after:
        raise _failed(table, f"{before.rows} rows became {after.rows}, or others")
    return after


def _failed(table: Table, reason: str) -> Conflict:
    return Conflict(
        "move_failed", f"{table.name} cannot be moved: {reason}", table=table.name, reason=reason
    )


def _parts(connection: Connection, table: Table) -> Iterator[list[Json]]:
    """Yield the rows as they are stored, oldest first: JSON stays text, so that no null becomes another null."""
    columns = [_as_stored(column).label(column.name) for column in table.columns]
    query = select(*columns).order_by(*table.primary_key.columns)
    with connection.execute(query, execution_options={"yield_per": BATCH}) as found:
        for part in found.mappings().partitions():
            yield [dict(row) for row in part]


def _as_stored(column: Column[Any]) -> Any:
    return cast(column, Text) if isinstance(column.type, JSON) else column


def _insert(table: Table, dialect: str) -> Insert:
    def value(column: Column[Any]) -> Any:
        if not isinstance(column.type, JSON):
            return bindparam(_name(column.name), type_=column.type)
        words = bindparam(_name(column.name), type_=Text())
        return cast(words, column.type) if dialect == "postgresql" else words

    return insert(table).values({column.name: value(column) for column in table.columns})


def _name(column: str) -> str:
    """Return the name of a value; the column's own is SQLAlchemy's."""
    return f"new_{column}"


def _go_on_counting(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows behind those that came with a number."""
    if connection.dialect.name != "postgresql" or table.autoincrement_column is None:
        return
    column = table.autoincrement_column
    last = connection.execute(select(func.max(column))).scalar()
    about = {"table": table.name, "column": column.name}
    sequence = text("SELECT pg_get_serial_sequence(:table, :column)")
    name = connection.execute(sequence, about).scalar()
    if name is not None and last is not None:
        connection.execute(text("SELECT setval(:name, :last)"), {"name": name, "last": last})


def _sum(connection: Connection, table: Table) -> Sum:
    rows, total = 0, 0
    for part in _parts(connection, table):
        rows += len(part)
        for row in part:
            digest = hashlib.sha256(json.dumps(row, sort_keys=True, default=bytes.hex).encode())
            total = (total + int.from_bytes(digest.digest())) % _MODULUS
    return Sum(rows, total.to_bytes(32).hex())
