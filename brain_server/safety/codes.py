"""A person's own code and the one for duress: who may change them, and what a wrong old one is worth.

Each function works inside the transaction of the step that it is given and returns a refusal instead of
raising it, so that the audit row of a refused change stays.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from brain_server.protocol import Json
from brain_server.safety import keys, lockout
from brain_server.safety.decisions import count_attempt
from brain_server.safety.policy import Refusal, locked_out
from brain_server.safety.step import Step
from brain_server.storage.tables import lockouts, users

_NOBODY = Refusal("user_not_found", "There is no such person")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New codes of one person, as hashes; None clears. ``old`` is the code that is in force."""

    user_id: str
    old: str | None
    pin_hash: bytes | None
    duress_hash: bytes | None


def change(step: Step, wish: Change, attempts: int) -> Refusal | None:
    """Set or clear a person's codes; so many wrong ``attempts`` at the old one lock them out."""
    row = step.connection.execute(select(users).where(users.c.id == wish.user_id)).first()
    if row is None:
        return _NOBODY
    if row.pin_hash is not None:
        if refusal := _unproven(step, row, wish.old):
            count_attempt(step, wish.user_id, refusal.code, None, attempts)
            return refusal
        lockout.forget(step.connection, wish.user_id)
    _store(step.connection, wish.user_id, wish.pin_hash, wish.duress_hash)
    step.audit("pin_changed", user_id=wish.user_id, data={"set": wish.pin_hash is not None})
    return None


def reset(step: Step, user_id: str, by: str) -> Refusal | None:
    """Clear the codes of another person, who then has none; one's own are changed with the old one."""
    if user_id == by:
        return Refusal("pin_required", "Your own code is needed")
    if not _store(step.connection, user_id, None, None):
        return _NOBODY
    step.audit("pin_reset", user_id=by, data={"person": user_id})
    return None


def _unproven(step: Step, row: Row[Any], old: str | None) -> Refusal | None:
    """Refuse whoever does not know the code in force; with the one for duress it looks like any wrong code."""
    locked = select(lockouts.c.locked_until).where(lockouts.c.user_id == row.id)
    if refusal := locked_out(step.connection.execute(locked).scalar() or 0.0, step.now):
        return refusal
    if old is None:
        return Refusal("pin_required", "Your own code is needed")
    if keys.pin_matches(old, row.pin_hash):
        return None
    forced = keys.pin_matches(old, row.duress_hash)
    step.audit("pin_duress" if forced else "pin_refused", user_id=row.id)
    if forced:
        about: Json = {"user_id": row.id, "event_id": None, "device_id": None}
        step.publish.append(("safety.duress", about))
    return Refusal("wrong_pin", "This is not your code")


def _store(
    connection: Connection, user_id: str, pin_hash: bytes | None, duress_hash: bytes | None
) -> bool:
    values = {"pin_hash": pin_hash, "duress_hash": duress_hash}
    changed = connection.execute(update(users).where(users.c.id == user_id).values(values))
    return changed.rowcount == 1
