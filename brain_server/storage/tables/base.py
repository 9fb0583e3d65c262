"""What all tables are made of. Ids are 32 hex characters, times POSIX seconds (UTC)."""

from typing import Final
import uuid

from sqlalchemy import Column, MetaData, String

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

safety: Final = MetaData(naming_convention=NAMING)
brain: Final = MetaData(naming_convention=NAMING)


def new_id() -> str:
    """Return a new id; later ids sort after earlier ones."""
    return uuid.uuid7().hex


def id_column() -> Column[str]:
    """Return the column of an id that is made when a row is."""
    return Column("id", String(32), primary_key=True, default=new_id)
