"""Wrong attempts are counted per person; enough of them lock that person out, longer each time."""

from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from brain_server.storage.tables import lockouts

FIRST_LOCK: Final = 60.0
LONGEST_LOCK: Final = 3600.0
FORGET_AFTER: Final = 24 * 3600.0

# Refusals that smell of this person trying; a missing role or helmet does not, and an unsigned
# decision says nothing about the person that it names.
SUSPICIOUS: Final = frozenset(
    {
        "wrong_subject",
        "wrong_pin",
        "wrong_token",
        "foreign_token",
        "not_registered",
    }
)


def count(connection: Connection, user_id: str, now: float, allowed: int) -> float | None:
    """Count one wrong attempt; returns until when the person is locked out, None when not yet."""
    row = connection.execute(select(lockouts).where(lockouts.c.user_id == user_id)).first()
    if row is None:
        connection.execute(insert(lockouts).values(user_id=user_id, failures=0, last_failure=now))
    fresh = row is not None and now - row.last_failure <= FORGET_AFTER
    failures = (row.failures if row is not None and fresh else 0) + 1
    over = failures - allowed
    until = now + min(LONGEST_LOCK, FIRST_LOCK * 2.0 ** min(over, 16)) if over >= 0 else 0.0
    connection.execute(
        update(lockouts)
        .where(lockouts.c.user_id == user_id)
        .values(failures=failures, last_failure=now, locked_until=until)
    )
    return until or None


def forget(connection: Connection, user_id: str) -> None:
    """Start counting anew after a genuine decision."""
    connection.execute(delete(lockouts).where(lockouts.c.user_id == user_id))
