"""The durable memory of the gate: what people asked and decided, and which grants are spent.

Every change is on disk, synced, before the method that makes it returns. One that cannot be written
raises LedgerUnwritable; in memory it then stays in force only where that refuses more.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
import hashlib
import secrets
from time import monotonic, time
from typing import Any, Final, override

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.util import slugify

from .const import DOMAIN, LOGGER
from .errors import BrainError, BrainUnavailable, LedgerUnwritable, Refused
from .journal import Journal
from .origin import Caller
from .protocol import SUBJECT_FIELDS, EventStatus, Json, subject_hash

STORE_VERSION: Final = 1
# Nothing that could still be used is forgotten: grants live for seconds, requests for minutes.
FORGET_AFTER: Final = 30 * 24 * 3600.0
FORGET_EVERY: Final = 24 * 3600.0
# By then the store that has what a line says is on the disk for sure, with its name.
JOURNAL_KEEPS: Final = 24 * 3600.0
# How far the brain's clock may be ahead of ours.
CLOCK_SKEW: Final = 30.0
BARRED_MAX: Final = 500
OUTBOX_MAX: Final = 500
_ATTEMPT: Final = "safety.attempt"

RECORDED: Final = "recorded"
ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
# A grant that can no longer be used, although it never was.
BARRED: Final = "barred"


class _CountingStore(Store[Json]):
    """A store that tells whether it wrote; a ``Store`` logs failures, and defers while stopping."""

    writes = 0

    @override
    async def _async_write_data(self, data: Json) -> None:
        await super()._async_write_data(data)
        self.writes += 1


class Ledger:
    """Key, requests, decisions, spent grants, tokens and unsent reports of one brain's gate."""

    def __init__(self, hass: HomeAssistant, instance_id: str) -> None:
        """Prepare; the ledger belongs to the brain and outlives the config entry."""
        self._store = _CountingStore(
            hass,
            STORE_VERSION,
            f"{DOMAIN}.{slugify(instance_id)}",
            private=True,
            atomic_writes=True,
        )
        # Grants are spent here: a line is on the disk sooner than the whole store.
        self._journal = Journal(hass, f"{self._store.path}.spent")
        self._hass = hass
        self._lock = asyncio.Lock()
        self._flushing = asyncio.Lock()
        self._wall, self._steady = time(), monotonic()
        self._key = Ed25519PrivateKey.generate()
        self._data: Json = {
            "private_key": base64.b64encode(self._key.private_bytes_raw()).decode(),
            "created_at": self._wall,
            "events": {},
            "spent": {},
            "tokens": {},
            "outbox": [],
            "audit": None,
            # The latest time that we ever knew, and up to when a grant was issued that is forgotten.
            "latest": 0.0,
            "forgotten": 0.0,
        }
        self._forgot_at = self._wall
        # How often something was changed, and how much of that is on disk.
        self._changes = self._written = 0
        self._is_closed = False

    async def load(self) -> None:
        """Read the ledger, or write the first one; LedgerUnwritable when it would not be kept."""
        if (stored := await self._store.async_load()) is not None:
            self._data |= stored
            seed = base64.b64decode(self._data["private_key"])
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
            for report in self._data["outbox"]:
                report["ready"] = True
        try:
            lines = await self._journal.read()
            for line in lines:
                self._data["spent"].setdefault(line["nonce"], line["record"])
                self._data["latest"] = max(self._data["latest"], line["record"]["at"])
            self._heed_clock()
            self._forget()
            await self._save()
            recent = self.now() - JOURNAL_KEEPS
            await self._journal.keep([one for one in lines if one["record"]["at"] > recent])
        except OSError as err:
            raise LedgerUnwritable from err

    async def close(self) -> None:
        """Write no more, once what is under way is on the disk: then the file is the next life's.

        What comes late raises LedgerUnwritable.
        """
        self._is_closed = True
        async with self._lock:
            pass

    def now(self) -> float:
        """Return the time, which never goes back while we run, so that expired stays expired."""
        return max(time(), self._wall + monotonic() - self._steady)

    @property
    def public_key(self) -> str:
        """Return the public half of the integration's key, base64 of 32 bytes."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, message: bytes) -> str:
        """Return the integration's base64 signature of a message."""
        return base64.b64encode(self._key.sign(message)).decode()

    def event(self, event_id: str | None) -> Json | None:
        """Return what is recorded of a safety event."""
        found: Json | None = self._data["events"].get(event_id)
        return found

    async def record_request(self, event: Json, caller: Caller) -> None:
        """Record who asked for a new safety event; a known event keeps its requester."""
        known = self._data["events"].get(event["id"])
        if known is not None and (
            known["requester"] is not None or known["subject"] != event["subject"]
        ):
            return
        opened = known or self._open(event)
        opened |= {
            "requester": caller.user_id,
            "channel": str(caller.channel),
            "context_id": caller.context_id,
        }
        try:
            await self._save()
        except LedgerUnwritable:
            # Somebody who asked counts as one of two people, so he has to be on disk.
            opened["requester"] = None
            raise

    async def record_decision(
        self,
        event: Json,
        user_id: str,
        decision: str,
        *,
        channel: str,
        ppe: bool,
        anew: bool = False,
    ) -> Json:
        """Record one person's decision and return it; the same decision again is the first one, unless it is made anew.

        A denial takes the place of that person's approval, never the other way round.
        """
        check_subject(event)
        known = self._data["events"].get(event["id"]) or self._open(event)
        if known["subject"] != event["subject"]:
            raise Refused("wrong_subject")
        old = known["decisions"].get(user_id)
        if old is not None and old["status"] != REFUSED:
            if old["decision"] == decision and not anew:
                return dict(old)
            if old["decision"] == "deny" != decision:
                raise Refused("already_decided")
        made = known["decisions"][user_id] = {
            "decision": decision,
            "channel": channel,
            "ppe": ppe,
            "at": self.now(),
            "status": RECORDED,
            "code": None,
        }
        try:
            await self._save()
        except LedgerUnwritable:
            made["status"] = REFUSED if decision == "approve" else RECORDED
            raise
        return dict(made)

    async def mark_decision(self, event_id: str, user_id: str, status: str, code: str = "") -> None:
        """Record what the brain said about a decision; one that it refused counts for nothing."""
        made = self._data["events"][event_id]["decisions"][user_id]
        made["status"], made["code"] = status, code or None
        await self._save()

    async def close_event(self, event_id: str, code: str) -> None:
        """Record that an event is over for good, whatever the clock or the brain says later."""
        known = self._data["events"].get(event_id)
        if known is not None and known["closed"] is None:
            known["closed"] = code
            await self._save()

    def _open(self, event: Json) -> Json:
        """Start the record of an event, having checked that its subject is what it shows."""
        check_subject(event)
        opened: Json = {name: event[name] for name in SUBJECT_FIELDS} | {
            "subject": event["subject"],
            "requester": None,
            "channel": None,
            "context_id": None,
            "opened_at": self.now(),
            "closed": None,
            "decisions": {},
        }
        self._data["events"][event["id"]] = opened
        return opened

    def spent_for(self, command_id: str) -> tuple[str, Json] | None:
        """Return the nonce and the record of the grant that a command was carried out with."""
        for nonce, record in self._data["spent"].items():
            if record["command_id"] == command_id:
                return nonce, record
        return None

    def is_spent(self, grant: Mapping[str, Any]) -> bool:
        """Tell whether this grant, its command or its safety event was ever used, as far as is known."""
        if grant["nonce"] in self._data["spent"] or grant["issued_at"] <= self._data["forgotten"]:
            return True
        return any(
            record["command_id"] == grant["command_id"]
            or (grant["event_id"] is not None and record["event_id"] == grant["event_id"])
            for record in self._data["spent"].values()
        )

    async def spend(self, grant: Mapping[str, Any], *, status: str | None = None) -> None:
        """Spend a grant; once this returns, no restart brings it back."""
        record = self._data["spent"][grant["nonce"]] = {
            "command_id": grant["command_id"],
            "event_id": grant["event_id"],
            "device_id": grant["device_id"],
            "at": self.now(),
            "status": status,
            "detail": None,
        }
        if self._hass.is_stopping or self._is_closed:
            raise LedgerUnwritable
        try:
            await self._journal.append({"nonce": grant["nonce"], "record": dict(record)})
        except OSError as err:
            raise LedgerUnwritable from err

    async def bar(self, command_id: str) -> None:
        """Spend whatever grant there may be for a command, without using it.

        So many are kept; with an older one goes every grant that was issued before it.
        """
        barred = [key for key, one in self._data["spent"].items() if one["status"] == BARRED]
        self._let_go(barred[: max(0, len(barred) - BARRED_MAX + 1)])
        await self.spend(
            {
                "nonce": f"barred {command_id}",
                "command_id": command_id,
                "event_id": None,
                "device_id": None,
            },
            status=BARRED,
        )

    async def record_outcome(self, nonce: str, status: str, detail: str | None) -> None:
        """Record how the use of a grant ended."""
        self._data["spent"][nonce] |= {"status": status, "detail": detail}
        await self._save()

    async def mint(self, event: Json, user_id: str) -> dict[str, str]:
        """Return a fresh one-time token per decision for a person; only hashes are kept."""
        tokens = {decision: secrets.token_hex(16) for decision in ("approve", "deny")}
        for decision, token in tokens.items():
            self._data["tokens"][_digest(token)] = {
                "event_id": event["id"],
                "subject": event["subject"],
                "user_id": user_id,
                "decision": decision,
                "expires_at": event["expires_at"],
                "used": False,
                "shown": False,
                "cleared": False,
            }
        await self._save()
        return tokens

    def token(self, token: str) -> Json | None:
        """Return what a token stands for, found by its hash so that timing tells nothing."""
        found: Json | None = self._data["tokens"].get(_digest(token))
        return found

    async def use_token(self, token: str) -> None:
        """Mark a token as used."""
        self._data["tokens"][_digest(token)]["used"] = True
        await self._save()

    def asked(self, event_id: str) -> set[str]:
        """Return the people who were asked about an event."""
        tokens = self._data["tokens"].values()
        return {record["user_id"] for record in tokens if record["event_id"] == event_id}

    def uncleared(self) -> set[str]:
        """Return the events that may still show on a phone."""
        tokens = self._data["tokens"].values()
        return {record["event_id"] for record in tokens if not record["cleared"]}

    def shows(self, event: Json, user_id: str) -> bool:
        """Tell whether this very event still shows on a person's phones, as far as is known."""
        return any(
            record.get("shown", True)
            and not record["cleared"]
            and record.get("subject") == event["subject"]
            for record in self._tokens_of(event["id"], user_id)
        )

    def is_cleared(self, event_id: str, user_id: str) -> bool:
        """Tell whether nothing about an event shows on a person's phones any more."""
        return all(record["cleared"] for record in self._tokens_of(event_id, user_id))

    async def mark_shown(self, event_id: str, user_id: str) -> None:
        """Record that an event was sent to a person's phones; before, a restart sends it anew."""
        for record in self._tokens_of(event_id, user_id):
            record["shown"] = True
        await self._save()

    async def mark_cleared(self, event_id: str, user_id: str) -> None:
        """Record that nothing about an event shows on a person's phones any more."""
        for record in self._tokens_of(event_id, user_id):
            record["cleared"] = True
        await self._save()

    def _tokens_of(self, event_id: str, user_id: str) -> list[Json]:
        return [
            record
            for record in self._data["tokens"].values()
            if (record["event_id"], record["user_id"]) == (event_id, user_id)
        ]

    async def enqueue(self, action: str, params: Json, *, ready: bool = True) -> None:
        """Keep a report until the brain has taken it."""
        outbox = self._data["outbox"]
        outbox.append({"action": action, "params": params, "ready": ready})
        while len(outbox) > OUTBOX_MAX:
            # Anybody can make attempts in number; what was done here must not be lost to them.
            outbox.pop(next((at for at, one in enumerate(outbox) if one["action"] == _ATTEMPT), 0))
        await self._save()

    async def complete(self, params: Json) -> None:
        """Let a report go that was kept before all of it was known."""
        for report in self._data["outbox"]:
            if report["params"] is params:
                report["ready"] = True
        await self._save()

    async def flush(self, send: Callable[[str, Json], Awaitable[object]]) -> None:
        """Send the reports that are ready, oldest first; one that the brain refuses is dropped."""
        async with self._flushing:
            for report in [one for one in self._data["outbox"] if one["ready"]]:
                try:
                    await send(report["action"], report["params"])
                except BrainUnavailable:
                    return
                except BrainError as err:
                    LOGGER.warning("The brain refused a report (%s): %s", report["action"], err)
                self._data["outbox"] = [one for one in self._data["outbox"] if one is not report]
                await self._save()

    @property
    def audit_head(self) -> Json | None:
        """Return the head of the brain's audit chain as it was last kept."""
        head: Json | None = self._data["audit"]
        return head

    async def keep_audit_head(self, head: Mapping[str, Any]) -> None:
        """Keep the head of the brain's audit chain."""
        self._data["audit"] = {"seq": head["seq"], "hash": head["hash"]}
        await self._save()

    def summary(self) -> Json:
        """Return counts for diagnostics; nothing in it is secret."""
        return {name: len(self._data[name]) for name in ("events", "spent", "tokens", "outbox")}

    async def _save(self) -> None:
        """Write everything and prove that it was written; those who wait together share one write."""
        self._changes += 1
        mine = self._changes
        async with self._lock:
            if self._written >= mine:
                return
            if self._is_closed:
                raise LedgerUnwritable
            self._data["latest"] = self.now()
            if self._data["latest"] - self._forgot_at > FORGET_EVERY:
                self._forget()
            before, changes = self._store.writes, self._changes
            try:
                await self._store.async_save(self._data)
            except OSError as err:
                raise LedgerUnwritable from err
            if self._store.writes == before:
                raise LedgerUnwritable
            self._written = changes

    def _heed_clock(self) -> None:
        """Let nothing come to life again with a clock that was set back while we were away."""
        if self._wall < self._data["latest"]:
            LOGGER.warning("The clock was set back: what people had not ended has to be asked anew")
            for known in self._data["events"].values():
                known["closed"] = known["closed"] or EventStatus.EXPIRED.value

    def _forget(self) -> None:
        """Let go of what can no longer matter."""
        self._forgot_at = self.now()
        before = self._forgot_at - FORGET_AFTER
        for part, age in (("events", "opened_at"), ("tokens", "expires_at")):
            kept = {key: one for key, one in self._data[part].items() if one[age] > before}
            self._data[part] = kept
        self._let_go([key for key, one in self._data["spent"].items() if one["at"] <= before])

    def _let_go(self, nonces: list[str]) -> None:
        """Forget grants; what was issued before one of them counts as used, whatever the clock says."""
        gone = [self._data["spent"].pop(nonce)["at"] + CLOCK_SKEW for nonce in nonces]
        self._data["forgotten"] = max(self._data["forgotten"], *gone, 0.0)


def check_subject(event: Json) -> None:
    """Refuse an event whose subject is not the hash of what it shows to people."""
    if not secrets.compare_digest(subject_hash(event), str(event["subject"])):
        raise Refused("wrong_subject")


def verify(public_key: str, signature: str, message: bytes) -> bool:
    """Tell whether a base64 signature of the message is by the owner of this base64 key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message)
    except InvalidSignature, binascii.Error, ValueError:
        return False
    return True


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
