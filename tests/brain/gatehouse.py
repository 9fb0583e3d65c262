"""A gate on a real database, Home Assistant's key, and people who press buttons.

Zones: ``hall`` is low, ``shop`` medium, ``lab`` high, ``forge`` medium with protective equipment. None
has a policy until a test gives it one. People: ada is an operator, bob an engineer, cyd of safety, dan an
admin; eve is no longer active. Nobody is anywhere until :meth:`Gatehouse.see` says so.
"""

import asyncio
import base64
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
import msgspec
from sqlalchemy import Table, create_engine, select

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Scope
from brain_server.errors import KittyError
from brain_server.protocol import Channel, Json, approval_bytes
from brain_server.safety.audit import search
from brain_server.safety.commands import SafetyCommands
from brain_server.safety.directory import (
    CheckParams,
    Directory,
    KeyParams,
    PinParams,
    PresenceParams,
    Sync,
)
from brain_server.safety.gate import Gate
from brain_server.safety.keys import Keys
from brain_server.safety.step import Ask, Authorized, Decision
from brain_server.storage import Database, tables

NOW: Final = 1_900_000_000.0
DOOR: Final = "d" * 32
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"kitty's door, the one in a test.")
OTHER_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"somebody else's Home Assistant..")


def public(key: Ed25519PrivateKey) -> str:
    """Return the public half as it goes over the wire."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def integration(user_id: str | None = None, channel: Channel = Channel.MOBILE) -> Caller:
    """Return Home Assistant speaking for a person."""
    return Caller(token="house", scope=Scope.INTEGRATION, user_id=user_id, channel=channel)


# What keeps all others from writing, and none from reading.
LOCKS: Final = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "LOCK TABLE audit_log IN EXCLUSIVE MODE",
}


@contextmanager
def busy(url: str) -> Iterator[None]:
    """Write to a database from elsewhere, and do not come to an end."""
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(LOCKS[engine.dialect.name])
        yield
        connection.rollback()
    engine.dispose()


class Clock:
    """A wall clock that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        """Start at some moment."""
        self.now = now

    def __call__(self) -> float:
        """Return the time in POSIX seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass, or go back."""
        self.now += seconds


def _people() -> dict[str, Json]:
    roles = {"ada": "operator", "bob": "engineer", "cyd": "safety", "dan": "admin", "eve": "admin"}
    return {
        name: {
            "id": name,
            "display_name": name.title(),
            "email": None,
            "roles": [role],
            "active": name != "eve",
        }
        for name, role in roles.items()
    }


def _zones() -> dict[str, Json]:
    levels = {"hall": "low", "shop": "medium", "lab": "high", "forge": "medium"}
    return {
        name: {
            "id": name,
            "name": name.title(),
            "hazard_level": level,
            "requires_ppe": name == "forge",
            "door_ids": [],
        }
        for name, level in levels.items()
    }


class Gatehouse:
    """The gate with everything around it; change ``people``, ``zones`` or ``policies``, then sync."""

    def __init__(self, url: str, folder: Path, clock: Clock, *, durable: bool = True) -> None:
        """Describe where everything lies; :meth:`open` makes it."""
        self.url = url
        self.durable = durable
        self.folder = folder
        self.clock = clock
        self.people = _people()
        self.zones = _zones()
        self.policies: dict[str, Json] = {}

    async def open(self) -> None:
        """Open the database, as the brain does when it starts; again after :meth:`close` is a restart."""
        self.keys = await asyncio.to_thread(Keys.load, self.folder / "keys.json")
        self.database = Database(self.url, tables.safety, name="safety", durable=self.durable)
        await self.database.open()
        self.bus = Bus()
        self.published: list[Event] = []
        self.bus.listen(None, self.published.append)
        self.gate = Gate(self.database, self.keys, self.bus, self.clock)
        self.directory = Directory(self.gate, self.database, self.keys.instance_id)
        self.verbs = SafetyCommands(self.gate, self.database)

    async def furnish(self) -> None:
        """Pair Home Assistant and tell the gate who and what there is."""
        await self.directory.register(integration(), KeyParams(public_key=public(KEY)))
        await self.sync()

    async def close(self) -> None:
        """Let go of the database."""
        await self.database.close()

    async def restart(self) -> None:
        """End and start again; the bus of the new life has published nothing."""
        await self.close()
        await self.open()

    # -- rules and facts ------------------------------------------------------------------------------

    async def sync(self) -> Json:
        """Send people, zones and policies as they are now; returns the versions of the policies."""
        params = msgspec.convert(
            {
                "users": list(self.people.values()),
                "zones": list(self.zones.values()),
                "policies": list(self.policies.values()),
            },
            Sync,
        )
        return await self.directory.sync(integration(), params)

    async def rule(self, zone: str, **changes: Any) -> None:
        """Give a zone a policy, or change the one it has."""
        default = {"zone_id": zone, "required_roles": ["operator", "engineer", "safety", "admin"]}
        self.policies[zone] = default | self.policies.get(zone, {}) | changes
        await self.sync()

    async def see(
        self,
        person: str,
        zone: str = "lab",
        *,
        ago: float = 0.0,
        status: str = "present",
        source: str = "unifi",
        by: str | None = None,
    ) -> None:
        """Observe a person in a zone."""
        values = {
            "zone_id": zone,
            "user_id": person,
            "source": source,
            "status": status,
            "observed_at": self.clock() - ago,
        }
        await self.directory.presence(integration(by), msgspec.convert(values, PresenceParams))

    async def check(self, zone: str, name: str, *, ok: bool = True, ago: float = 0.0) -> None:
        """Report the result of a named check."""
        observed_at = self.clock() - ago
        params = CheckParams(zone_id=zone, name=name, ok=ok, observed_at=observed_at)
        await self.directory.check(integration(), params)

    async def set_pin(
        self, person: str, pin: str | None, duress: str | None = None, old: str | None = None
    ) -> None:
        """Let a person choose a code, with the one that was in force."""
        params = PinParams(user_id=person, pin=pin, duress_pin=duress, old_pin=old)
        await self.directory.pin(integration(person), params)

    # -- asking, deciding, doing ----------------------------------------------------------------------

    async def ask(
        self,
        intent: str = "unlock",
        *,
        zone: str | None = "lab",
        by: str | None = "ada",
        channel: Channel = Channel.DASHBOARD,
        device: str = DOOR,
        **more: Any,
    ) -> Authorized:
        """Request something of the door; ada at the dashboard, if not said otherwise."""
        return await self.gate.authorize(
            Ask(
                device_id=device,
                device_name="Door",
                zone_id=zone,
                intent=intent,
                params=more.pop("params", {}),
                requester=by,
                channel=channel,
                **more,
            )
        )

    async def event(self, intent: str = "unlock", **more: Any) -> Json:
        """Request something that people have to decide, and return its safety event."""
        asked = await self.ask(intent, **more)
        return asked.event or {}

    def signed(
        self,
        event: Json,
        person: str,
        *,
        approve: bool = True,
        key: Ed25519PrivateKey = KEY,
        ago: float = 0.0,
        **changes: Any,
    ) -> Decision:
        """Return a person's decision with Home Assistant's signature; ``changes`` come after signing."""
        at = self.clock() - ago
        said: Json = {
            "event_id": event["id"],
            "subject": changes.pop("signed_subject", event["subject"]),
            "user_id": person,
            "channel": changes.pop("signed_channel", Channel.MOBILE),
            "ppe": changes.pop("signed_ppe", changes.get("ppe", False)),
            "at": at,
        }
        word = "approve" if approve else "deny"
        signature = key.sign(approval_bytes(decision=word, **said))
        values = said | {"approve": approve, "signature": base64.b64encode(signature).decode()}
        return Decision(**values | changes)

    async def approve(self, event: Json, person: str, **how: Any) -> Json:
        """Approve an event as a person, on that person's phone."""
        return await self.gate.decide(self.signed(event, person, **how))

    async def deny(self, event: Json, person: str, **how: Any) -> Json:
        """Deny an event as a person."""
        return await self.gate.decide(self.signed(event, person, approve=False, **how))

    async def claim(self, event: Json, zone: str | None = None) -> Json:
        """Claim the command of an event, its device being where it was when it was asked for."""
        return await self.gate.claim(event["command_id"], zone or event["zone_id"])

    async def approved(self, intent: str = "unlock", **more: Any) -> Json:
        """Return an event that ada asked for and bob, who is in the lab, approved."""
        await self.see("bob")
        return await self.approve(await self.event(intent, **more), "bob")

    # -- looking --------------------------------------------------------------------------------------

    async def rows(self, table: Table) -> list[Json]:
        """Return what a table holds, in the order of its first column."""
        query = select(table).order_by(table.c[0])
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    async def status(self, event: Json) -> tuple[str, str]:
        """Return the states of an event and of its command."""
        events = {row["id"]: row for row in await self.rows(tables.events)}
        commands = {row["id"]: row for row in await self.rows(tables.commands)}
        return events[event["id"]]["status"], commands[event["command_id"]]["status"]

    async def trail(self, *kinds: str) -> list[Json]:
        """Return the audit trail, or its rows of these kinds."""
        return await self.database.read(
            lambda connection: search(connection, after=0, limit=1_000_000, kinds=kinds)
        )

    async def problem(self) -> str | None:
        """Return what is wrong with the chain."""
        _, problem = await self.database.read(self.gate.chain.verify)
        return problem

    def said(self, name: str) -> list[Json]:
        """Return what was published under a name."""
        return [event.data for event in self.published if event.name == name]


async def refusal(work: Awaitable[object]) -> str | None:
    """Return the code with which something is refused, None when it is done."""
    try:
        await work
    except KittyError as err:
        return err.code
    return None
