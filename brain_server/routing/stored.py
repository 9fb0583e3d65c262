"""What a person changed while the brain ran: one JSON value for each key, kept with the data."""

from sqlalchemy import Connection, insert, select, update

from brain_server.protocol import Json
from brain_server.storage.tables import routing_settings


def load(connection: Connection, key: str) -> Json | None:
    """Return what was stored, None when nothing was."""
    query = select(routing_settings.c.value).where(routing_settings.c.key == key)
    found: Json | None = connection.execute(query).scalar()
    return found


def store(connection: Connection, key: str, value: Json) -> None:
    """Store a value in the caller's transaction."""
    same = routing_settings.c.key == key
    if not connection.execute(update(routing_settings).where(same).values(value=value)).rowcount:
        connection.execute(insert(routing_settings).values(key=key, value=value))
