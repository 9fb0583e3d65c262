"""What one person's word does to a safety event: is it genuine, is it theirs to give, is it enough.

Each function works inside the transaction of the step that it is given and returns a refusal instead of
raising it, so that the audit row of a refused decision stays.
"""

from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select

from brain_server.protocol import VOICE_PERSON, Channel, EventStatus, Json, approval_bytes
from brain_server.safety import keys, lockout
from brain_server.safety.policy import (
    Refusal,
    may_decide,
    may_run,
    needs_dual,
    people,
)
from brain_server.safety.records import (
    INTEGRATION_KEY,
    approvers_of,
    event_view,
    read_facts,
    read_state,
    wish_of,
)
from brain_server.safety.step import Decision, Step
from brain_server.storage.tables import approvals, events, new_id, users

DECISION_AGE: Final = 120.0


def decide(step: Step, decision: Decision, attempts: int) -> Json | Refusal:
    """Record one person's decision and return the event; so many wrong ``attempts`` lock them out."""
    event = step.connection.execute(select(events).where(events.c.id == decision.event_id)).first()
    if event is None:
        return Refusal("event_not_found", "There is no such request")
    command = step.one_command(event.command_id)
    refusal = _genuine(step, event, decision)
    if refusal is None and (known := _same_decision(step, event, decision)):
        return known
    if event.status == EventStatus.PENDING and step.now >= event.expires_at:
        step.audit_command("expired", command, event.id, user_id=None)
        step.close(command, event, EventStatus.EXPIRED, reason="expired")
        return Refusal("expired", "This request has expired")
    refusal = refusal or _stale(step, decision) or _still_open(event)
    # Before all other questions: who is forced cannot choose the moment.
    duress = refusal is None and decision.approve and _is_duress(step.connection, decision)
    if refusal is None and decision.approve and not duress:
        if decision.user_id in approvers_of(step.connection, event.id):
            return event_view(step.connection, event, step.now)
        refusal = _allowed(step, command, event, decision)
    if refusal is not None:
        step.audit_command(
            "approval_refused", command, event.id, user_id=decision.user_id, reason=refusal.code
        )
        count_attempt(step, decision.user_id, refusal.code, event.id, attempts)
        return refusal
    return _record(step, command, event, decision, duress=duress)


def withdraw(step: Step, event_id: str, user_id: str | None) -> Json | Refusal:
    """Let the requester take a request back; returns the event."""
    event = step.connection.execute(select(events).where(events.c.id == event_id)).first()
    if event is None:
        return Refusal("event_not_found", "There is no such request")
    command = step.one_command(event.command_id)
    if user_id is None or command.requested_by != user_id:
        return Refusal("not_yours", "Only the person who asked can take it back")
    if refusal := _still_open(event):
        return refusal
    step.audit_command("withdrawn", command, event.id, user_id=user_id)
    step.close(command, event, EventStatus.DENIED, denied_by=user_id, reason="withdrawn")
    return _view(step, event.id)


def count_attempt(
    step: Step, user_id: str, reason: str, event_id: str | None, attempts: int
) -> None:
    """Count what smells of this person trying; enough of it locks them out and is published."""
    if reason not in lockout.SUSPICIOUS:
        return
    until = lockout.count(step.connection, user_id, step.now, attempts)
    if until is None:
        return
    about: Json = {"user_id": user_id, "until": until, "reason": reason}
    step.audit("lockout", user_id=user_id, event_id=event_id, data=about)
    step.publish.append(("safety.lockout", about))


def _genuine(step: Step, event: Row[Any], decision: Decision) -> Refusal | None:
    """Refuse a decision that the integration did not sign, for this very subject."""
    key = read_state(step.connection, INTEGRATION_KEY)
    message = approval_bytes(
        event_id=decision.event_id,
        subject=decision.subject,
        user_id=decision.user_id,
        decision="approve" if decision.approve else "deny",
        channel=decision.channel,
        ppe=decision.ppe,
        at=decision.at,
    )
    if key is None or not keys.verify(key, decision.signature, message):
        return Refusal("bad_signature", "The decision is not signed by Home Assistant")
    if decision.subject != event.subject:
        return Refusal("wrong_subject", "The decision is about something else")
    return None


def _same_decision(step: Step, event: Row[Any], decision: Decision) -> Json | None:
    """Return the event when this very decision is already recorded, so that a resend is harmless."""
    query = select(approvals).where(
        approvals.c.event_id == event.id,
        approvals.c.user_id == decision.user_id,
        approvals.c.signature == decision.signature,
    )
    if step.connection.execute(query).first() is None:
        return None
    return event_view(step.connection, event, step.now)


def _stale(step: Step, decision: Decision) -> Refusal | None:
    if abs(step.now - decision.at) <= DECISION_AGE:
        return None
    return Refusal("stale_decision", "The decision is too old")


def _still_open(event: Row[Any]) -> Refusal | None:
    if event.status == EventStatus.PENDING:
        return None
    code = "expired" if event.status == EventStatus.EXPIRED else "already_decided"
    return Refusal(code, "This request is no longer open")


def _allowed(step: Step, command: Row[Any], event: Row[Any], decision: Decision) -> Refusal | None:
    facts = read_facts(step.connection, command.zone_id, step.now)
    wish = wish_of(command)
    voice = decision.user_id == VOICE_PERSON
    aloud = decision.channel is Channel.VOICE and facts.policy.voice_may_confirm
    if voice and (not aloud or needs_dual(wish, facts)):
        return Refusal("direct_approval_required", "Approve this with your own phone or dashboard")
    if not voice and (refusal := may_decide(wish, facts, decision.user_id, decision.channel)):
        return refusal
    if event.requires_ppe and not decision.ppe:
        return Refusal("ppe_required", "Confirm that protective equipment is worn")
    if not voice and (refusal := _pin_refused(step.connection, decision)):
        return refusal
    approvers = approvers_of(step.connection, event.id) | {decision.user_id}
    if len(people(wish, facts, approvers)) < event.people_needed:
        return None
    # The last needed voice: if presence or a check is missing, say so while it can still be mended.
    return may_run(wish, facts, approvers)


def _record(
    step: Step, command: Row[Any], event: Row[Any], decision: Decision, *, duress: bool
) -> Json:
    # A person who approved and now denies takes the approval back.
    step.connection.execute(
        delete(approvals).where(
            approvals.c.event_id == event.id, approvals.c.user_id == decision.user_id
        )
    )
    step.connection.execute(
        insert(approvals).values(
            id=new_id(),
            event_id=event.id,
            user_id=decision.user_id,
            decision="approve" if decision.approve and not duress else "deny",
            channel=decision.channel,
            signature=decision.signature,
            ppe=decision.ppe,
            at=step.now,
        )
    )
    if duress:
        about = {"user_id": decision.user_id, "event_id": event.id}
        step.publish.append(("safety.duress", about | {"device_id": command.device_id}))
    if duress or not decision.approve:
        kind = "duress" if duress else "denied"
        step.audit_command(kind, command, event.id, user_id=decision.user_id)
        step.close(
            command,
            event,
            EventStatus.DENIED,
            denied_by=decision.user_id,
            reason="not_available" if duress else "denied",
        )
        return _view(step, event.id)
    # Only now: a denial needs no code, so it must not wipe out the count of wrong codes.
    lockout.forget(step.connection, decision.user_id)
    approvers = approvers_of(step.connection, event.id)
    facts = read_facts(step.connection, command.zone_id, step.now)
    enough = len(people(wish_of(command), facts, approvers)) >= event.people_needed
    step.audit_command(
        "approved" if enough else "confirmed",
        command,
        event.id,
        user_id=decision.user_id,
        channel=decision.channel,
        ppe=decision.ppe,
    )
    if enough:
        step.move_event(event, EventStatus.APPROVED, approved_by=sorted(approvers))
    else:
        step.show_event(event.id)
    return _view(step, event.id)


def _view(step: Step, event_id: str) -> Json:
    row = step.connection.execute(select(events).where(events.c.id == event_id)).one()
    return event_view(step.connection, row, step.now)


def _pin_refused(connection: Connection, decision: Decision) -> Refusal | None:
    row = connection.execute(select(users).where(users.c.id == decision.user_id)).one()
    if row.pin_hash is None:
        return None
    if decision.pin is None:
        return Refusal("pin_required", "Your own code is needed")
    if keys.pin_matches(decision.pin, row.pin_hash):
        return None
    return Refusal("wrong_pin", "This is not your code")


def _is_duress(connection: Connection, decision: Decision) -> bool:
    if decision.pin is None:
        return False
    query = select(users.c.duress_hash).where(users.c.id == decision.user_id)
    return keys.pin_matches(decision.pin, connection.execute(query).scalar())
