"""Which parts of KITTY work: one table of them, a switch for each, and what each needs.

A part works while its own switch is on and those of everything that it needs. Off ends what a part does; what is
stored can still be read and deleted, and what happens is still written down. What makes things safe has no switch:
the gate, people's decisions, and the safe directions of devices.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection, insert, select, update

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Params, Scope, command, paged
from brain_server.errors import InvalidRequest, Unavailable
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import capabilities

UPDATED: Final = "capability.updated"
SET: Final = "capability_set"

# Writes a line of the audit trail: its kind, who, and about what; returns when it is there.
type Audit = Callable[[str, str | None, Json], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A part that can be switched off; ``title`` begins the sentence "... is switched off"."""

    name: str
    title: str
    needs: tuple[str, ...] = ()


# What is needed stands before what needs it.
ALL: Final = (
    Capability(name="conversation", title="Conversation"),
    Capability(name="generate", title="Text and picture generation"),
    Capability(name="models.far", title="The use of models outside the house"),
    Capability(name="search", title="Search"),
    Capability(name="memory", title="Memory"),
    Capability(name="cache", title="The store of answers"),
    Capability(name="vision", title="Vision"),
    Capability(name="prints", title="Printing"),
    Capability(name="inventory", title="The inventory"),
    Capability(name="queue", title="The print queue", needs=("prints", "inventory")),
    Capability(name="research", title="Research", needs=("search",)),
    Capability(name="autonomy", title="Autonomy"),
    Capability(name="notifications", title="Sending of notifications"),
    Capability(name="webhooks", title="Sending of webhooks", needs=("notifications",)),
    Capability(name="mqtt", title="MQTT"),
    Capability(name="broker", title="The event broker"),
    Capability(name="mcp", title="The MCP server"),
    Capability(name="openai", title="The OpenAI interface", needs=("generate",)),
)
NAMED: Final[Mapping[str, Capability]] = {one.name: one for one in ALL}


class Switches(Protocol):
    """What a part asks before it does anything."""

    def is_on(self, name: str) -> bool:
        """Tell whether a capability works: its own switch and all that it needs are on."""
        ...

    def require(self, name: str) -> None:
        """Pass where a capability works; else Unavailable ``capability_off`` with ``because``."""
        ...


class _AllOn:
    """The switches of a part that stands alone."""

    def is_on(self, name: str) -> bool:
        return name in NAMED

    def require(self, name: str) -> None:
        assert name in NAMED, name  # noqa: S101 - a name that is none is a programming error


ALL_ON: Final[Switches] = _AllOn()


class SetCapability(Params):
    """The new position of one switch."""

    name: str
    enabled: bool


class Capabilities:
    """The switches of this brain; those that nobody touched are on."""

    def __init__(
        self, database: Database, bus: Bus, clock: Callable[[], float], audit: Audit
    ) -> None:
        """Take where the switches are stored, who is told of a change, and who writes down whose it was."""
        self._db = database
        self._bus = bus
        self._clock = clock
        self._audit = audit
        self._lock = asyncio.Lock()
        self._stored: Mapping[str, Json] = {}
        self._set_up: dict[str, Callable[[], bool]] = {}
        self._told: dict[str, Json] = {}

    async def load(self) -> None:
        """Read the switches; what changed since the last time, e.g. by another brain, is told."""
        async with self._lock:
            self._stored = await self._db.read(_all)
        self.look()

    def tell_set_up(self, name: str, check: Callable[[], bool], *topics: str) -> None:
        """Take what tells whether a part is set up at all, and after which events that may have changed."""
        self._set_up[NAMED[name].name] = check
        for topic in topics:
            self._bus.listen(topic, self._look_soon)
        if self._told:
            self.look()

    def _look_soon(self, _event: Event) -> None:
        # Not at once: what is published out of a listener overtakes what the listener is told of.
        asyncio.get_running_loop().call_soon(self.look)

    def look(self) -> None:
        """Publish the rows that are no longer as they were told."""
        first = not self._told
        for row in self.rows():
            if self._told.get(row["name"]) != row:
                self._told[row["name"]] = row
                if not first:
                    self._bus.publish(UPDATED, row)

    def is_on(self, name: str) -> bool:
        """Tell whether a capability works: its own switch and all that it needs are on."""
        return self._cause(name) is None

    def require(self, name: str) -> None:
        """Pass where a capability works; else Unavailable ``capability_off`` with ``because``, what is switched off."""
        cause = self._cause(name)
        if cause is not None:
            what = NAMED[cause].title
            raise Unavailable(
                "capability_off",
                f"{what} is switched off",
                capability=name,
                because=cause,
                what=what,
            )

    def rows(self) -> list[Json]:
        """Return every capability, as clients see it."""
        return [self._row(one) for one in ALL]

    def _row(self, one: Capability) -> Json:
        stored = self._stored.get(one.name, {})
        return {
            "name": one.name,
            "title": one.title,
            "enabled": self._switch(one.name),
            "available": self.is_on(one.name),
            "because": self._missing(one),
            "needs": list(one.needs),
            "set_up": self._set_up.get(one.name, _surely)(),
            "changed_by": stored.get("changed_by"),
            "changed_at": stored.get("changed_at"),
        }

    def _switch(self, name: str) -> bool:
        return bool(self._stored.get(name, {}).get("enabled", True))

    def _cause(self, name: str) -> str | None:
        """Return whose switch keeps a capability from working, None when it works."""
        return self._missing(NAMED[name]) if self._switch(name) else name

    def _missing(self, one: Capability) -> str | None:
        """Return whose switch keeps from working what a capability needs."""
        causes = (self._cause(need) for need in one.needs)
        return next((cause for cause in causes if cause is not None), None)

    # -- commands -------------------------------------------------------------------------------------

    @command("capabilities.list", Scope.READ, read_only=True)
    async def listed(self, _caller: Caller, params: Page) -> Json:
        """List the parts that can be switched off, whether each works, and whose switch keeps it from working."""
        return paged(self.rows(), params, key="name")

    @command("capabilities.set", Scope.ADMIN)
    async def set(self, caller: Caller, params: SetCapability) -> Json:
        """Switch a part on or off, at once and for good; InvalidRequest ``unknown_capability``."""
        known = NAMED.get(params.name)
        if known is None:
            raise InvalidRequest(
                "unknown_capability", "There is no such capability", name=params.name[:64]
            )
        # To its end, though its time is over: what is stored is what is in force.
        await asyncio.shield(self._put(caller, known.name, enabled=params.enabled))
        return self._row(known)

    async def _put(self, caller: Caller, name: str, *, enabled: bool) -> None:
        async with self._lock:
            if self._switch(name) != enabled:
                await self._change(caller, name, enabled=enabled)
        self.look()

    async def _change(self, caller: Caller, name: str, *, enabled: bool) -> None:
        about = {"capability": name, "enabled": enabled, "token": caller.token}
        # Before it is done: nobody switches anything without a trace.
        await self._audit(SET, caller.user_id, about)
        values = {"enabled": enabled, "changed_by": caller.user_id, "changed_at": self._clock()}

        def work(connection: Connection) -> Mapping[str, Json]:
            same = capabilities.c.name == name
            done = connection.execute(update(capabilities).where(same).values(values))
            if not done.rowcount:
                connection.execute(insert(capabilities).values(values | {"name": name}))
            return _all(connection)

        self._stored = await self._db.write(work)


def _surely() -> bool:
    return True


def _all(connection: Connection) -> Mapping[str, Json]:
    rows = connection.execute(select(capabilities)).mappings()
    return {row["name"]: dict(row) for row in rows}
