"""The gate: every action of every device passes here, and only here is it decided.

Each method is one transaction on storage that survives a power loss, together with its audit row. A
command moves only along ``protocol.COMMAND_TRANSITIONS``, each step one conditional UPDATE that must
hit exactly one row, so that two callers, two processes or a replay can never both win.
"""

import asyncio
from collections.abc import Callable, Collection
import logging
import secrets
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from brain_server.bus import Bus
from brain_server.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    KittyError,
    NotFound,
    Unavailable,
)
from brain_server.protocol import (
    DIRECT_CHANNELS,
    INTENTS,
    CommandStatus,
    EventStatus,
    Hazard,
    Json,
    subject_hash,
)
from brain_server.safety import codes, decisions, keys
from brain_server.safety.audit import Chain, search
from brain_server.safety.policy import (
    Facts,
    Refusal,
    Wish,
    level_of,
    may_ask,
    may_run,
    needs_dual,
)
from brain_server.safety.records import (
    OPEN_COMMANDS,
    approvers_of,
    command_view,
    event_view,
    read_facts,
    wish_of,
)
from brain_server.safety.step import Ask, Authorized, Decision, Step
from brain_server.storage import Database
from brain_server.storage.tables import commands, events, new_id

_LOGGER = logging.getLogger(__name__)

IDEMPOTENCY_WINDOW: Final = 24 * 3600.0
GRANT_TTL: Final = 30.0
LOOK_EVERY: Final = 5.0


class Gate:
    """Asks, decides, claims and settles. The only writer of commands, events and approvals."""

    def __init__(
        self,
        database: Database,
        secrets_: keys.Keys,
        bus: Bus,
        clock: Callable[[], float],
        *,
        lockout_attempts: int = 5,
    ) -> None:
        """Take the durable database, the brain's keys, the bus and a clock in POSIX seconds."""
        self._db = database
        self._keys = secrets_
        self._bus = bus
        self._clock = clock
        self.chain = Chain(secrets_.chain)
        self._attempts = lockout_attempts
        self._changed = asyncio.Event()

    async def step[T](self, work: Callable[[Step], T | Refusal]) -> T:
        """Run one transaction, publish what it changed, and raise the refusal that it returned.

        A refusal is a result and not an exception inside the transaction, so that its audit row stays.
        """
        # A caller that goes away must not keep the others from hearing of what is now a fact.
        result = await asyncio.shield(self._commit(work))
        if isinstance(result, Refusal):
            raise _as_error(result)
        return result

    async def _commit[T](self, work: Callable[[Step], T]) -> T:
        box: list[Step] = []

        def run(connection: Connection) -> T:
            box[:] = [Step(connection, self.chain, self._clock())]
            return work(box[0])

        result = await self._db.write(run)
        for name, data in box[0].publish:
            self._bus.publish(name, data)
        if box[0].head is not None:
            self._bus.publish("audit.head", box[0].head.as_dict() | {"at": box[0].now})
        if box[0].publish:  # a look that changed nothing must not wake the one that looks
            self._changed.set()
        return result

    async def _surely[T](self, work: Callable[[Step], T | Refusal]) -> T:
        """Record what is a fact already; on a full disk in the reserve that was just freed."""
        try:
            return await self.step(work)
        except Unavailable as err:
            if err.code != "storage_full":
                raise
            return await self.step(work)

    def now(self) -> float:
        """Return the time by the gate's clock."""
        return self._clock()

    # -- asking ---------------------------------------------------------------------------------------

    async def authorize(self, ask: Ask) -> Authorized:
        """Record a request and judge it; returns the command, and its safety event when people must decide.

        A fresh command that needs nobody comes back ``claimed``: the caller carries it out. Raises Forbidden
        with the reason when it can never be allowed; that is recorded, too.
        """
        try:
            return await self.step(lambda step: self._authorize(step, ask))
        except Unavailable as err:
            code = err.code
            if code != "storage_full":
                raise
            # The reserve has just been freed: for a safe direction, else for the row of the refusal.
            if INTENTS[ask.intent].safe:
                return await self.step(lambda step: self._authorize(step, ask))
            await self.step(lambda step: _audit_refusal(step, ask, code))
            raise

    def _authorize(self, step: Step, ask: Ask) -> Authorized | Refusal:
        if (known := self._known(step, ask)) is not None:
            return known
        facts = read_facts(step.connection, ask.zone_id, step.now)
        wish = Wish(intent=ask.intent, requester=ask.requester, channel=ask.channel)
        if refusal := may_ask(wish, facts):
            _audit_refusal(step, ask, refusal.code)
            return refusal
        level = level_of(wish, facts)
        free = level is Hazard.LOW
        status = CommandStatus.PENDING
        if free:
            status = CommandStatus.DEFERRED if ask.defer else CommandStatus.CLAIMED
        command_id = _insert_command(step, ask, status)
        command = step.one_command(command_id)
        event = None if free else self._insert_event(step, ask, command, level, wish, facts)
        step.audit_command(
            "requested" if not free else status.value,
            command,
            event["id"] if event else None,
            user_id=ask.requester,
            channel=ask.channel,
            params=ask.params,
            level=level,
        )
        return Authorized(step.show_command(command_id), event, fresh=True)

    def _known(self, step: Step, ask: Ask) -> Authorized | Refusal | None:
        """Return the command that this request repeats: by its key, or the same wish still open."""
        if ask.idempotency_key is not None:
            query = select(commands).where(commands.c.idempotency_key == ask.idempotency_key)
            row = step.connection.execute(query).first()
            if row is not None and step.now - row.created_at > IDEMPOTENCY_WINDOW:
                step.connection.execute(
                    update(commands).where(commands.c.id == row.id).values(idempotency_key=None)
                )
                row = None
            if row is not None and (row.device_id, row.intent, row.params) != (
                ask.device_id,
                ask.intent,
                ask.params,
            ):
                return Refusal("idempotency_conflict", "This key was used for something else")
        else:
            row = _open_twin(step, ask)
        if row is None:
            return None
        event = step.event_of(row.id)
        view = event_view(step.connection, event, step.now) if event else None
        return Authorized(command_view(row, event.id if event else None), view, fresh=False)

    def _insert_event(
        self, step: Step, ask: Ask, command: Row[Any], level: Hazard, wish: Wish, facts: Facts
    ) -> Json:
        spec = INTENTS[ask.intent]
        shown: Json = {
            "level": level,
            "people_needed": 2 if needs_dual(wish, facts) else 1,
            "requires_ppe": bool(facts.zone and facts.zone.requires_ppe),
            "initiated_by": ask.requester,
            "policy_version": facts.policy.version,
            "expires_at": step.now + spec.approval_ttl,
            "nonce": secrets.token_hex(16),
        }
        about = {name: getattr(ask, name) for name in ("device_id", "intent", "params", "zone_id")}
        event_id = new_id()
        step.connection.execute(
            insert(events).values(
                shown
                | {
                    "id": event_id,
                    "command_id": command.id,
                    "event_type": spec.event_type,
                    "status": EventStatus.PENDING,
                    "subject": subject_hash(shown | about | {"channel": ask.channel}),
                    "created_at": step.now,
                }
            )
        )
        return step.show_event(event_id)

    # -- deciding -------------------------------------------------------------------------------------

    async def decide(self, decision: Decision) -> Json:
        """Record one person's decision and return the event.

        Raises NotFound, Conflict ``already_decided``/``expired``, Forbidden with the reason
        (``wrong_subject``, ``bad_signature``, ``self_approval``, ``role_required``, ``wrong_pin``,
        ``locked_out``, ``presence_required``, ...) or InvalidRequest ``ppe_required``.
        """
        record = self.step if decision.approve else self._surely
        return await record(lambda step: decisions.decide(step, decision, self._attempts))

    async def withdraw(self, event_id: str, user_id: str | None) -> Json:
        """Let the requester take a request back; returns the event."""
        return await self._surely(lambda step: decisions.withdraw(step, event_id, user_id))

    async def attempt(self, user_id: str, reason: str, event_id: str | None) -> None:
        """Count a wrong, foreign or stale approval token that Home Assistant saw."""

        def work(step: Step) -> None:
            step.audit("attempt", user_id=user_id, event_id=event_id, data={"reason": reason})
            decisions.count_attempt(step, user_id, reason, event_id, self._attempts)

        await self.step(work)

    async def change_codes(self, wish: codes.Change) -> None:
        """Set or clear a person's own codes.

        Raises NotFound ``user_not_found``, InvalidRequest ``pin_required``, Forbidden ``wrong_pin`` or ``locked_out``.
        """
        await self.step(lambda step: codes.change(step, wish, self._attempts))

    # -- doing ----------------------------------------------------------------------------------------

    async def claim(self, command_id: str, zone_id: str | None) -> Json:
        """Take a command for execution, once; everything is judged again at this moment.

        ``zone_id`` is where the device is now: one that was moved since is not what people approved.
        Returns the command. Raises Conflict ``not_claimable`` when somebody else has it or it is over,
        and Forbidden with the reason when its ground has gone; it is then expired.
        """
        return await self.step(lambda step: self._claim(step, command_id, zone_id))

    def _claim(self, step: Step, command_id: str, zone_id: str | None) -> Json | Refusal:
        command = step.one_command(command_id)
        event = step.event_of(command_id)
        if event is not None and (refusal := _unusable(step, command, event, zone_id)):
            if command.status == CommandStatus.PENDING:
                step.audit_command(
                    "refused_at_claim", command, event.id, user_id=None, reason=refusal.code
                )
            if event.status == EventStatus.APPROVED and command.status == CommandStatus.PENDING:
                step.close(command, event, EventStatus.EXPIRED, reason=refusal.code)
            return refusal
        if not step.move_command(command, CommandStatus.CLAIMED, claimed_at=step.now):
            return Refusal("not_claimable", "This command is not waiting to be carried out")
        event_id = event.id if event else None
        step.audit_command("claimed", command, event_id, user_id=None)
        return command_view(step.one_command(command_id), event_id)

    async def sent(self, command_id: str) -> None:
        """Note that the device accepted a claimed command; its effect is still to be seen."""

        def work(step: Step) -> None:
            command = step.one_command(command_id)
            if step.move_command(command, CommandStatus.SENT, sent_at=step.now):
                event = step.event_of(command_id)
                step.audit_command("sent", command, event.id if event else None, user_id=None)

        await self._surely(work)

    async def settle(
        self, command_id: str, to: CommandStatus, detail: str | None, *, user_id: str | None = None
    ) -> Json:
        """End a command as acked, failed or unknown. A late or second outcome is recorded, not applied."""

        def work(step: Step) -> Json:
            command = step.one_command(command_id)
            event = step.event_of(command_id)
            columns: Json = {"detail": detail[:255] if detail else None}
            if to is CommandStatus.ACKED:
                columns["ack_at"] = step.now
            # What is unknown is settled by a person who looked, never by a device that wakes up.
            blind = command.status == CommandStatus.UNKNOWN and user_id is None
            moved = not blind and step.move_command(command, to, **columns)
            step.audit_command(
                to.value if moved else "late_outcome",
                command,
                event.id if event else None,
                user_id=user_id,
                detail=detail,
                outcome=to,
            )
            if moved and event is not None and to is not CommandStatus.UNKNOWN:
                step.connection.execute(
                    update(events).where(events.c.id == event.id).values(resolved_at=step.now)
                )
                step.show_event(event.id)
            return command_view(step.one_command(command_id), event.id if event else None)

        return await self._surely(work)

    def grant(self, command: Json, event: Json | None) -> Json:
        """Return a signed single-use grant for a claimed command of a device that Home Assistant owns."""
        now = self._clock()
        limit = now + GRANT_TTL
        grant: Json = {
            "command_id": command["id"],
            "event_id": command["event_id"],
            "device_id": command["device_id"],
            "intent": command["intent"],
            "params": command["params"],
            "subject": event["subject"] if event else None,
            "level": event["level"] if event else Hazard.LOW.value,
            "people": event["people"] if event else [],
            "issued_at": now,
            "expires_at": min(limit, event["expires_at"]) if event else limit,
            "nonce": secrets.token_hex(16),
        }
        return {"grant": grant, "signature": self._keys.sign(grant)}

    # -- time and restarts ----------------------------------------------------------------------------

    async def expire(self) -> float | None:
        """Expire what was not decided or not used in time; returns when the next one is due."""

        def work(step: Step) -> float | None:
            open_states = (EventStatus.PENDING, EventStatus.APPROVED)
            rows = step.connection.execute(
                select(events)
                .join(commands, commands.c.id == events.c.command_id)
                .where(events.c.status.in_(open_states), commands.c.status == CommandStatus.PENDING)
                .order_by(events.c.expires_at)
            ).all()
            for event in rows:
                if event.expires_at > step.now:
                    return float(event.expires_at)
                command = step.one_command(event.command_id)
                step.audit_command("expired", command, event.id, user_id=None)
                step.close(command, event, EventStatus.EXPIRED, reason="expired")
            return None

        return await self._surely(work)

    async def run(self) -> None:
        """Expire events when they are due, for ever."""
        while True:
            self._changed.clear()
            try:
                due = await self.expire()
            except Unavailable as err:  # what is due stays due
                _LOGGER.warning("Nothing could be expired: %s", err.code)
                due = self._clock() + LOOK_EVERY
            # Wall clocks jump: look again now and then while anything is open.
            wait = None if due is None else min(LOOK_EVERY, max(0.01, due - self._clock()))
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def evidence_digest(self, event_id: str) -> str | None:
        """Return the SHA-256 that the chain holds for the picture of an event."""
        rows = await self._db.read(
            lambda connection: search(
                connection, after=0, limit=1, kinds=("evidence",), event_id=event_id
            )
        )
        return rows[0]["data"]["sha256"] if rows else None

    async def keep_evidence(self, event_id: str, key: str, digest: str) -> None:
        """Link a picture to a safety event; its SHA-256 goes into the chain."""

        def work(step: Step) -> None:
            step.connection.execute(
                update(events).where(events.c.id == event_id).values(evidence_key=key)
            )
            step.audit("evidence", event_id=event_id, data={"key": key, "sha256": digest})
            step.show_event(event_id)

        await self.step(work)

    async def void_all(self, reason: str, device_id: str | None = None) -> int:
        """Void every open request, or what people decide about one device; returns how many."""
        query = select(commands).where(commands.c.status.in_(("pending", "deferred")))
        if device_id is not None:
            query = query.where(commands.c.device_id == device_id, commands.c.status == "pending")

        def work(step: Step) -> int:
            rows = step.connection.execute(query).all()
            for command in rows:
                _void(step, command, reason)
            return len(rows)

        return await self._surely(work)

    async def retract(self, keys_: Collection[str], reason: str) -> None:
        """Void what was asked under these keys and nobody has begun; Conflict ``still_under_way`` where it is begun."""
        query = select(commands).where(
            commands.c.idempotency_key.in_(keys_), commands.c.status.in_(OPEN_COMMANDS)
        )

        def work(step: Step) -> Refusal | None:
            rows = step.connection.execute(query).all()
            if any(row.status in {CommandStatus.CLAIMED, CommandStatus.SENT} for row in rows):
                return Refusal("still_under_way", "What was asked for before is on its way")
            for command in rows:
                # What is unknown is never sent again; a person settles it.
                if command.status != CommandStatus.UNKNOWN:
                    _void(step, command, reason)
            return None

        await self._surely(work)

    async def drop_deferred(self, device_id: str, reason: str) -> None:
        """Give up what waits for this device, because the opposite was asked for."""

        def work(step: Step) -> None:
            rows = step.connection.execute(
                select(commands).where(
                    commands.c.device_id == device_id, commands.c.status == CommandStatus.DEFERRED
                )
            )
            for command in rows.all():
                step.audit_command("denied", command, None, user_id=None, reason=reason)
                step.move_command(command, CommandStatus.DENIED, detail=reason)

        await self.step(work)

    async def command(self, command_id: str) -> Json | None:
        """Return one command, or None."""

        def work(connection: Connection) -> Json | None:
            same = commands.c.id == command_id
            row = connection.execute(select(commands).where(same)).first()
            return None if row is None else command_view(row, None)

        return await self._db.read(work)

    async def open_work(self) -> list[tuple[Json, Json | None]]:
        """Return every command that is not over, with its event, oldest first."""

        def work(connection: Connection) -> list[tuple[Json, Json | None]]:
            rows = connection.execute(
                select(commands).where(commands.c.status.in_(OPEN_COMMANDS)).order_by(commands.c.id)
            ).all()
            found: list[tuple[Json, Json | None]] = []
            for row in rows:
                event = connection.execute(
                    select(events).where(events.c.command_id == row.id)
                ).first()
                view = event_view(connection, event, self._clock()) if event else None
                found.append((command_view(row, event.id if event else None), view))
            return found

        return await self._db.read(work)


def _insert_command(step: Step, ask: Ask, status: CommandStatus) -> str:
    command_id = new_id()
    step.connection.execute(
        insert(commands).values(
            id=command_id,
            device_id=ask.device_id,
            device_name=ask.device_name,
            zone_id=ask.zone_id,
            intent=ask.intent,
            params=ask.params,
            status=status,
            requested_by=ask.requester,
            channel=ask.channel,
            conversation_id=ask.conversation_id,
            idempotency_key=ask.idempotency_key,
            created_at=step.now,
            claimed_at=step.now if status is CommandStatus.CLAIMED else None,
        )
    )
    return command_id


def _open_twin(step: Step, ask: Ask) -> Row[Any] | None:
    """Return the same wish of the same person that is still waiting: one prompt, not two."""
    rows = step.connection.execute(
        select(commands).where(
            commands.c.device_id == ask.device_id,
            commands.c.intent == ask.intent,
            commands.c.status.in_(("pending", "deferred")),
        )
    )
    for row in rows:
        event = step.event_of(row.id)
        open_event = event is None or (event.status == "pending" and event.expires_at > step.now)
        # Asked by voice and asked with a finger are two things: only one of them has a person behind it.
        same_road = (row.channel in DIRECT_CHANNELS) == (ask.channel in DIRECT_CHANNELS)
        open_event = open_event and same_road
        same = (row.params, row.requested_by, row.zone_id)
        if open_event and same == (ask.params, ask.requester, ask.zone_id):
            return row
    return None


def _void(step: Step, command: Row[Any], reason: str) -> None:
    event = step.event_of(command.id)
    step.audit_command("voided", command, event.id if event else None, user_id=None, reason=reason)
    if event is not None:
        step.close(command, event, EventStatus.EXPIRED, reason=reason)
    else:
        step.move_command(command, CommandStatus.EXPIRED, detail=reason)


def _audit_refusal(step: Step, ask: Ask, code: str) -> None:
    step.audit(
        "refused",
        user_id=ask.requester,
        device_id=ask.device_id,
        data={
            "intent": ask.intent,
            "device": ask.device_name,
            "params": ask.params,
            "channel": ask.channel,
            "reason": code,
        },
    )


def _unusable(
    step: Step, command: Row[Any], event: Row[Any], zone_id: str | None
) -> Refusal | None:
    """Judge at claim time: approved, in time, under the same rule, by people who still count."""
    if event.status == EventStatus.PENDING:
        return Refusal("not_approved", "This command has not been approved")
    if event.status != EventStatus.APPROVED:
        return Refusal("not_claimable", "This command is not waiting to be carried out")
    if not event.created_at <= step.now < event.expires_at:
        return Refusal("expired", "The approval was not used in time")
    facts = read_facts(step.connection, command.zone_id, step.now)
    if facts.policy.version != event.policy_version:
        return Refusal("policy_changed", "The rule of this zone has changed since")
    wish = wish_of(command)
    ppe = facts.zone is not None and facts.zone.requires_ppe and not event.requires_ppe
    if level_of(wish, facts) != event.level or ppe or command.zone_id != zone_id:
        return Refusal("policy_changed", "The danger of this zone has changed since")
    return may_run(wish, facts, approvers_of(step.connection, event.id))


_ERRORS: Final[dict[str, type[KittyError]]] = {
    "event_not_found": NotFound,
    "expired": Conflict,
    "already_decided": Conflict,
    "not_claimable": Conflict,
    "not_approved": Conflict,
    "still_under_way": Conflict,
    "idempotency_conflict": Conflict,
    "ppe_required": InvalidRequest,
    "pin_required": InvalidRequest,
    "user_not_found": NotFound,
}


def _as_error(refusal: Refusal) -> KittyError:
    kind = _ERRORS.get(refusal.code, Forbidden)
    return kind(refusal.code, refusal.message, **refusal.fields)
