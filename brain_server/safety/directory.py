"""Who may be trusted where: users, zones, policies, presence and checks, as Home Assistant tells them."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, update

from brain_server.commands import Caller, Page, Params, Scope, command, paged
from brain_server.errors import Conflict, Forbidden, InvalidRequest
from brain_server.protocol import Hazard, Json, PresenceSource, PresenceStatus, Role
from brain_server.safety import codes, keys
from brain_server.safety.audit import Head
from brain_server.safety.gate import Gate
from brain_server.safety.records import DEFAULT_VERSION, INTEGRATION_KEY, read_state
from brain_server.safety.step import Step
from brain_server.storage import Database, tables

type Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
type Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

# Bounded, because what is no number is neither before nor after anything.
type Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]

POLICY_SERIAL: Final = "policy_serial"


class User(Params):
    """A user of Home Assistant; at least one role."""

    id: Id
    display_name: Name
    roles: Annotated[list[Role], msgspec.Meta(min_length=1)]
    email: str | None = None
    active: bool = True


class ZoneParams(Params):
    """An area of Home Assistant."""

    id: Id
    name: Name
    hazard_level: Hazard = Hazard.LOW
    requires_ppe: bool = False
    door_ids: list[str] = []


class PolicyParams(Params):
    """The rule of one zone; at least one role."""

    zone_id: Id
    required_roles: Annotated[list[Role], msgspec.Meta(min_length=1)]
    name: Name = "default"
    requires_dual_confirm: bool = False
    requires_presence: bool = False
    requester_may_confirm: bool = True
    voice_may_confirm: bool = False
    presence_ttl: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 300.0
    checks: list[str] = []


class Sync(Params):
    """All that is in force from now on; what is not named is gone."""

    users: list[User]
    zones: list[ZoneParams]
    policies: list[PolicyParams]


class PresenceParams(Params):
    """One observation of one person in one zone."""

    zone_id: Id
    user_id: Id
    source: PresenceSource
    status: PresenceStatus
    observed_at: Moment


class CheckParams(Params):
    """One result of one named check."""

    zone_id: Id
    name: Id
    ok: bool
    observed_at: Moment


class PinParams(Params):
    """A person's own code and duress code; null clears both. Where there is a code, it is wanted, too."""

    user_id: Id
    pin: Annotated[str, msgspec.Meta(min_length=4, max_length=64)] | None
    duress_pin: Annotated[str, msgspec.Meta(min_length=4, max_length=64)] | None = None
    old_pin: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class PersonParams(Params):
    """One person."""

    user_id: Id


class KeyParams(Params):
    """The integration's public Ed25519 key, base64 of 32 bytes."""

    public_key: str


class AnchorParams(Params):
    """The head of the audit chain that Home Assistant saw last."""

    seq: int
    hash: str


class Directory:
    """Keeps people, zones and policies as Home Assistant sends them."""

    def __init__(self, gate: Gate, database: Database, instance_id: str) -> None:
        """Take the gate, whose transactions it writes in, and the safety database."""
        self._gate = gate
        self._db = database
        self._instance_id = instance_id
        # Called when Home Assistant has found the whole chain that it knows.
        self.anchored: Callable[[], None] = lambda: None

    @command("integration.register", Scope.INTEGRATION)
    async def register(self, caller: Caller, params: KeyParams) -> Json:
        """Pin the key with which Home Assistant countersigns decisions; it cannot be replaced here."""
        keys.public_key(params.public_key)

        def work(step: Step) -> str:
            known = read_state(step.connection, INTEGRATION_KEY)
            if known is None:
                _set_state(step.connection, INTEGRATION_KEY, params.public_key)
                step.audit("key_pinned", data={"token": caller.token})
            return known or params.public_key

        if await self._gate.step(work) != params.public_key:
            raise Conflict(
                "integration_key_mismatch", "Another Home Assistant is paired with this brain"
            )
        return {"instance_id": self._instance_id}

    async def unpair(self) -> None:
        """Forget the integration's key, so that another Home Assistant can pair."""

        def work(step: Step) -> None:
            step.connection.execute(
                delete(tables.safety_state).where(tables.safety_state.c.key == INTEGRATION_KEY)
            )
            step.audit("key_forgotten")

        await self._gate.step(work)

    @command("safety.sync", Scope.INTEGRATION)
    async def sync(self, caller: Caller, params: Sync) -> Json:
        """Replace users, zones and policies; a changed policy voids what was approved under the old one."""
        _unique("users", [user.id for user in params.users])
        _unique("zones", [zone.id for zone in params.zones])
        _unique("policies", [policy.zone_id for policy in params.policies])
        _unique("users", [user.email.casefold() for user in params.users if user.email])
        if homeless := {one.zone_id for one in params.policies} - {one.id for one in params.zones}:
            name = min(homeless)
            raise InvalidRequest("unknown_zone", f"There is no zone {name}", field="policies")

        def work(step: Step) -> dict[str, int]:
            ruled = set(step.connection.execute(select(tables.policies.c.zone_id)).scalars())
            changed = _sync_users(step, params.users) | _sync_zones(step, params.zones)
            versions, renewed = _sync_policies(step, params.policies)
            if ruled - versions.keys():  # going back to the default is a change like any other
                version = str(_next_version(step.connection))
                _set_state(step.connection, DEFAULT_VERSION, version)
            if changed or renewed:
                step.publish.append(("rules.changed", {}))
                step.audit(
                    "rules_changed",
                    user_id=caller.user_id,
                    data={"what": sorted(changed | renewed)},
                )
            return versions

        return {"policy_versions": await self._gate.step(work)}

    @command("safety.presence", Scope.INTEGRATION)
    async def presence(self, caller: Caller, params: PresenceParams) -> Json:
        """Record where a person was seen. An override is somebody's word and is audited with their name."""
        seen: Json = msgspec.to_builtins(params)

        def work(step: Step) -> None:
            if _differs(step.connection, tables.presence, seen, ("zone_id", "user_id")):
                step.publish.append(("presence.updated", seen))
            _upsert(step.connection, tables.presence, seen, ("zone_id", "user_id"))
            if params.source in {PresenceSource.OVERRIDE, PresenceSource.MANUAL}:
                step.audit(f"presence_{params.source}", user_id=caller.user_id, data=seen)

        await self._gate.step(work)
        return {}

    @command("safety.check", Scope.INTEGRATION)
    async def check(self, _caller: Caller, params: CheckParams) -> Json:
        """Record the result of a named check of a zone."""
        values = {name: getattr(params, name) for name in params.__struct_fields__}
        await self._gate.step(
            lambda step: _upsert(step.connection, tables.checks, values, ("zone_id", "name"))
        )
        return {}

    @command("safety.pin", Scope.INTEGRATION)
    async def pin(self, caller: Caller, params: PinParams) -> Json:
        """Set or clear a person's own codes; only that person may, with the code that is in force."""
        if caller.user_id != params.user_id:
            raise InvalidRequest("not_yours", "Only the person can set their own code")
        if params.pin is not None and params.pin == params.duress_pin:
            raise InvalidRequest("same_pin", "The duress code must differ from the code")
        hashes = {
            name: await asyncio.to_thread(keys.hash_pin, code) if code and params.pin else None
            for name, code in (("pin_hash", params.pin), ("duress_hash", params.duress_pin))
        }
        await self._gate.change_codes(
            codes.Change(user_id=params.user_id, old=params.old_pin, **hashes)
        )
        return {}

    @command("safety.pin_reset", Scope.INTEGRATION)
    async def reset_pin(self, caller: Caller, params: PersonParams) -> Json:
        """Clear another person's codes, in the name of an administrator of Home Assistant."""
        by = caller.user_id
        if by is None:
            raise Forbidden("person_decides", "Only a person can decide this")
        await self._gate.step(lambda step: codes.reset(step, params.user_id, by))
        return {}

    @command("audit.anchor", Scope.INTEGRATION)
    async def anchor(self, _caller: Caller, params: AnchorParams) -> Json:
        """Compare the chain with the head that Home Assistant saw; an older chain voids all open requests."""
        seen = Head(params.seq, params.hash)
        if await self._db.read(lambda connection: self._gate.chain.contains(connection, seen)):
            self.anchored()
            return {"ok": True}
        return {"ok": False, "voided": await self.restored({"seen": seen.as_dict()})}

    async def restored(self, about: Json) -> int:
        """Void every open request, because time was turned back, and audit it; returns how many there were."""
        voided = await self._gate.void_all("restored")
        await self._gate.step(lambda step: step.audit("restored", data={**about, "voided": voided}))
        return voided

    @command("safety.users", Scope.READ, read_only=True)
    async def users(self, caller: Caller, params: Page) -> Json:
        """List people and their roles; their addresses, and who has a code, only to Home Assistant."""
        hidden = {"pin_hash", "duress_hash"}
        if caller.scope is Scope.INTEGRATION:
            has_code = tables.users.c.pin_hash.is_not(None).label("has_code")
            return paged(await self._rows(tables.users, has_code, hidden=hidden), params)
        return paged(await self._rows(tables.users, hidden=hidden | {"email"}), params)

    @command("safety.zones", Scope.READ, read_only=True)
    async def zones(self, _caller: Caller, params: Page) -> Json:
        """List zones and their danger."""
        return paged(await self._rows(tables.zones), params)

    @command("safety.policies", Scope.READ, read_only=True)
    async def policies(self, _caller: Caller, params: Page) -> Json:
        """List the rule of each zone that has its own."""
        return paged(await self._rows(tables.policies), params, key="zone_id")

    # For Home Assistant alone, because it tells who is where.
    @command("safety.presences", Scope.INTEGRATION)
    async def presences(self, _caller: Caller, params: Page) -> Json:
        """List who was last seen where, by which source, and when."""
        rows = await self.seen()
        named = [row | {"id": f"{row['zone_id']}:{row['user_id']}"} for row in rows]
        return paged(named, params)

    @command("safety.checks", Scope.READ, read_only=True)
    async def checks(self, _caller: Caller, params: Page) -> Json:
        """List the last result of each named check."""
        rows = await self._rows(tables.checks)
        return paged([row | {"id": f"{row['zone_id']}:{row['name']}"} for row in rows], params)

    async def is_paired(self) -> bool:
        """Tell whether a Home Assistant has registered its key."""
        key = await self._db.read(lambda connection: read_state(connection, INTEGRATION_KEY))
        return key is not None

    async def seen(self) -> list[Json]:
        """Return who was last seen where."""
        return await self._rows(tables.presence)

    async def _rows(
        self, table: Table, *more: ColumnElement[Any], hidden: Collection[str] = ()
    ) -> list[Json]:
        shown = [*(column for column in table.c if column.name not in hidden), *more]
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(select(*shown)).mappings()]
        )


def _unique(what: str, keys_: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys_:
        if key in seen:
            raise InvalidRequest("duplicate", f"{what} names {key} twice", field=what, value=key)
        seen.add(key)


def _sync_users(step: Step, wanted: list[User]) -> set[str]:
    values = {user.id: _plain(user) for user in wanted}
    for user in wanted:  # first nobody has an address that changes, so that two may swap theirs
        step.connection.execute(
            update(tables.users)
            .where(tables.users.c.id == user.id, tables.users.c.email.is_distinct_from(user.email))
            .values(email=None)
        )
    return _replace(step, tables.users, "id", values, {"created_at": step.now})


def _sync_zones(step: Step, wanted: list[ZoneParams]) -> set[str]:
    return _replace(step, tables.zones, "id", {zone.id: _plain(zone) for zone in wanted}, {})


def _sync_policies(step: Step, wanted: list[PolicyParams]) -> tuple[dict[str, int], set[str]]:
    table = tables.policies
    known = {row["zone_id"]: dict(row) for row in step.connection.execute(select(table)).mappings()}
    versions: dict[str, int] = {}
    rows: dict[str, Json] = {}
    for policy in wanted:
        values = _plain(policy)
        old = known.get(policy.zone_id, {})
        same = {key: value for key, value in old.items() if key != "version"} == values
        versions[policy.zone_id] = old["version"] if same else _next_version(step.connection)
        rows[policy.zone_id] = values | {"version": versions[policy.zone_id]}
    return versions, _replace(step, table, "zone_id", rows, {})


def _plain(params: Params) -> Json:
    plain: Json = msgspec.to_builtins(params)
    for name in ("roles", "required_roles"):
        if name in plain:
            plain[name] = sorted(plain[name])
    return plain


def _replace(step: Step, table: Table, key: str, wanted: dict[str, Json], fresh: Json) -> set[str]:
    """Make the table hold exactly these rows; returns what changed, as ``table:key``."""
    known = {row[key]: dict(row) for row in step.connection.execute(select(table)).mappings()}
    changed = set(known) - set(wanted)
    if changed and table is tables.users:
        # A person who loses every role keeps the own code, should the role come back.
        changed = {name for name in changed if known[name]["active"]}
        gone = table.c[key].in_(changed)
        step.connection.execute(update(table).where(gone).values(active=False, email=None))
    elif changed:
        step.connection.execute(delete(table).where(table.c[key].in_(changed)))
    for name, values in wanted.items():
        old = known.get(name)
        if old is None:
            step.connection.execute(insert(table).values(values | fresh))
        elif any(old[column] != value for column, value in values.items()):
            step.connection.execute(update(table).where(table.c[key] == name).values(values))
        else:
            continue
        changed.add(name)
    return {f"{table.name}:{name}" for name in changed}


def _next_version(connection: Connection) -> int:
    """Return a policy version that no zone ever had, so that a removed and remade rule differs."""
    serial = int(read_state(connection, POLICY_SERIAL) or 0) + 1
    _set_state(connection, POLICY_SERIAL, str(serial))
    return serial


def _set_state(connection: Connection, key: str, value: str) -> None:
    _upsert(connection, tables.safety_state, {"key": key, "value": value}, ("key",))


def _differs(connection: Connection, table: Table, values: Json, key: tuple[str, ...]) -> bool:
    """Tell whether the row of this key is not there, or not as it would be written."""
    same = [table.c[name] == values[name] for name in key]
    found = connection.execute(select(table).where(*same)).mappings().first()
    return found is None or dict(found) != values


def _upsert(connection: Connection, table: Table, values: Json, key: tuple[str, ...]) -> None:
    same = [table.c[name] == values[name] for name in key]
    done = connection.execute(update(table).where(*same).values(values))
    if done.rowcount == 0:
        connection.execute(insert(table).values(values))
