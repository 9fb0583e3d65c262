"""The audit trail: append-only, hash-chained, keyed, written in the transaction of what it records.

Each row's hash is HMAC-SHA256, with a key that is not in the database, over the previous row's hash and
the row itself. Home Assistant keeps the head it last saw, so that cutting off the end shows as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
import hmac
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from brain_server.observability import request_id
from brain_server.protocol import Json, canonical
from brain_server.storage.tables import audit

GENESIS: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of the chain."""

    seq: int
    hash: str

    def as_dict(self) -> Json:
        """Return the head as it goes to Home Assistant."""
        return {"seq": self.seq, "hash": self.hash}


class Chain:
    """Appends to the chain and verifies it."""

    def __init__(self, key: bytes) -> None:
        """Take the secret key of the chain."""
        self._key = key

    def append(
        self,
        connection: Connection,
        kind: str,
        *,
        at: float,
        user_id: str | None = None,
        device_id: str | None = None,
        event_id: str | None = None,
        command_id: str | None = None,
        data: Json | None = None,
    ) -> Head:
        """Add one row in the caller's transaction and return the new head."""
        last = self.head(connection)
        row: Json = {
            "seq": last.seq + 1,
            "at": at,
            "kind": kind,
            "user_id": user_id,
            "device_id": device_id,
            "event_id": event_id,
            "command_id": command_id,
            "request_id": request_id.get(),
            "data": data or {},
            "previous": last.hash,
        }
        row["hash"] = self._digest(row)
        connection.execute(insert(audit).values(row))
        return Head(row["seq"], row["hash"])

    def head(self, connection: Connection) -> Head:
        """Return the last row; seq 0 for an empty chain."""
        query = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
        row = connection.execute(query).first()
        return Head(0, GENESIS) if row is None else Head(row.seq, row.hash)

    def contains(self, connection: Connection, head: Head) -> bool:
        """Tell whether a head seen earlier is still in the chain."""
        if head.seq == 0:
            return True
        query = select(audit.c.hash).where(audit.c.seq == head.seq)
        return connection.execute(query).scalar() == head.hash

    def verify(self, connection: Connection) -> tuple[Head, str | None]:
        """Recompute every hash; returns the last good head and what is wrong, None when nothing."""
        head = Head(0, GENESIS)
        query = select(audit).order_by(audit.c.seq)
        with connection.execute(query, execution_options={"yield_per": 1000}) as rows:
            for row in rows:
                if row.seq != head.seq + 1:
                    return head, f"row {head.seq + 1} is missing"
                if row.previous != head.hash:
                    return head, f"row {row.seq} does not follow row {head.seq}"
                if not hmac.compare_digest(self._digest(_content(row)), row.hash):
                    return head, f"row {row.seq} was changed"
                head = Head(row.seq, row.hash)
        return head, None

    def _digest(self, row: Json) -> str:
        signed = {key: value for key, value in row.items() if key != "hash"}
        return hmac.new(self._key, canonical(signed), hashlib.sha256).hexdigest()


def _content(row: Row[Any]) -> Json:
    return dict(row._mapping)  # noqa: SLF001 - the documented way to a mapping


def search(
    connection: Connection,
    *,
    after: int,
    limit: int,
    kinds: Sequence[str] = (),
    device_id: str | None = None,
    user_id: str | None = None,
    event_id: str | None = None,
    since: float | None = None,
    until: float | None = None,
    newest_first: bool = False,
) -> list[Json]:
    """Return rows that match, oldest first unless asked otherwise; ``after`` is a seq."""
    query = select(audit)
    if kinds:
        query = query.where(audit.c.kind.in_(kinds))
    if device_id is not None:
        query = query.where(audit.c.device_id == device_id)
    if user_id is not None:
        query = query.where(audit.c.user_id == user_id)
    if event_id is not None:
        query = query.where(audit.c.event_id == event_id)
    if since is not None:
        query = query.where(audit.c.at >= since)
    if until is not None:
        query = query.where(audit.c.at < until)
    if newest_first:
        query = query.order_by(audit.c.seq.desc())
        query = query.where(audit.c.seq < after) if after else query
    else:
        query = query.where(audit.c.seq > after).order_by(audit.c.seq)
    return [_content(row) for row in connection.execute(query.limit(limit))]
