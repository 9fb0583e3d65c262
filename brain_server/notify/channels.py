"""The roads to people that an administrator laid: notifiers of Home Assistant, and signed webhooks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from brain_server.commands import PROCESSING_TIMEOUT, Caller, NoParams, Params, Scope, command
from brain_server.errors import Conflict, InvalidRequest, NotFound
from brain_server.notify import rows
from brain_server.notify.courier import WEBHOOK, Courier
from brain_server.notify.rows import PUSH, Letter
from brain_server.notify.webhook import new_secret
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import new_id

# Writes a line of the audit trail: its kind, who, and about what; returns when it is there.
type Audit = Callable[[str, str | None, Json], Awaitable[None]]
type Severity = Literal["info", "warning", "critical"]
type Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*)$")
]

MOST_CHANNELS: Final = 50
TEST_TITLE: Final = "KITTY"
TEST_MESSAGE: Final = "This is a test. Notifications come this way."


class ChannelId(Params):
    """One of the channels."""

    channel_id: str


class PutChannel(Params):
    """A channel to add, or to change by its id; what is left out stays as it is."""

    channel_id: str | None = None
    type: Literal["email", "slack", "webhook"] | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    # Where it leads: ``notify.something`` of Home Assistant, or the address of a webhook.
    target: Annotated[str, msgspec.Meta(max_length=255)] | UnsetType = UNSET
    least_severity: Severity | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    # Sign webhooks with a new secret from now on.
    new_secret: bool = False


class Channels:
    """Keeps the channels; who may hear of the house is written down."""

    def __init__(
        self, database: Database, courier: Courier, clock: Callable[[], float], audit: Audit
    ) -> None:
        """Take where they are stored, who sends, and who writes down whose a change was."""
        self._db = database
        self._courier = courier
        self._clock = clock
        self._audit = audit
        # One change after the other, so that none undoes another.
        self._changing = asyncio.Lock()

    @command("channels.list", Scope.ADMIN, read_only=True)
    async def list(self, _caller: Caller, _params: NoParams) -> Json:
        """List the channels and from which severity on each is used."""
        found = await self._db.read(rows.all_channels)
        return {"items": [_view(row) for row in found]}

    @command("channels.put", Scope.ADMIN)
    async def put(self, caller: Caller, params: PutChannel) -> Json:
        """Add or change a channel; the secret of a webhook is told once, when it is made."""
        async with self._changing:
            return await self._put(caller, params)

    async def _put(self, caller: Caller, params: PutChannel) -> Json:
        before = await self._wanted(params.channel_id)
        row = _changed(before, params, self._clock())
        if row["type"] == WEBHOOK:
            self._courier.webhooks.check(row["target"])
        about = {"channel_id": row["id"], "type": row["type"], "enabled": row["enabled"]}
        # Before it is done: nobody lets others hear of the house without a trace.
        await self._audit("channel_put", caller.user_id, about | {"token": caller.token})

        def work(connection: Connection) -> None:
            if before is None and len(rows.all_channels(connection)) > MOST_CHANNELS:
                raise InvalidRequest(
                    "too_many_channels", f"There are {MOST_CHANNELS} already", most=MOST_CHANNELS
                )
            rows.keep_channel(connection, row)

        try:
            await self._db.write(work)
        except IntegrityError as err:
            raise Conflict("channel_exists", "Another channel has this name") from err
        is_new = row["secret"] != (before or {}).get("secret")
        return _view(row) | ({"secret": row["secret"]} if is_new else {})

    @command("channels.remove", Scope.ADMIN)
    async def remove(self, caller: Caller, params: ChannelId) -> Json:
        """Remove a channel; what is on its way over it fails. The one to the phones can be switched off."""
        if params.channel_id == PUSH:
            raise InvalidRequest("channel_stays", "This channel can only be switched off")
        about = {"channel_id": params.channel_id[:64], "token": caller.token}
        async with self._changing:
            await self._wanted(params.channel_id)
            await self._audit("channel_removed", caller.user_id, about)
            gone = await self._db.write(
                lambda connection: rows.drop_channel(connection, params.channel_id)
            )
        return {"removed": gone}

    @command("channels.test", Scope.ADMIN, timeout=PROCESSING_TIMEOUT)
    async def test(self, caller: Caller, params: ChannelId) -> Json:
        """Send a test over a channel now, whatever the hour; fails as the channel fails."""
        row = await self._wanted(params.channel_id)
        letter = Letter(
            id=new_id(),
            status="queued",
            notification={
                "id": new_id(),
                "key": f"test:{params.channel_id}",
                "severity": "warning",
                "title": TEST_TITLE,
                "message": TEST_MESSAGE,
                "data": {},
                "actions": [],
                "user_id": caller.user_id if params.channel_id == PUSH else None,
                "created_at": self._clock(),
            },
            channel=row,
            metadata={},
        )
        return {"sent": True} | await self._courier.send(letter)

    async def _wanted(self, channel_id: str | None) -> Json | None:
        if channel_id is None:
            return None
        row = await self._db.read(lambda connection: rows.channel_of(connection, channel_id))
        if row is None:
            raise NotFound("channel_not_found", "There is no such channel, or it is off")
        return row


def _changed(before: Json | None, params: PutChannel, now: float) -> Json:
    """Return the row of a channel as it should be; InvalidRequest for one that could lead nowhere."""
    given: dict[str, Any] = {
        name: value
        for name in ("type", "name", "target", "least_severity", "enabled")
        if (value := getattr(params, name)) is not UNSET
    }
    if before is None:
        if missing := {"type", "name", "target"} - given.keys():
            names = ", ".join(sorted(missing))
            raise InvalidRequest("invalid_params", f"Missing: {names}", reason=names)
        before = {"id": new_id(), "secret": None, "enabled": True, "created_at": now}
        before |= {"least_severity": "warning"}
    elif given.get("type", before["type"]) != before["type"] or (
        before["id"] == PUSH and {"name", "target"} & given.keys()
    ):
        raise InvalidRequest("invalid_params", "This cannot be changed", reason="type")
    row: Json = before | given
    if row["type"] == WEBHOOK:
        if row["secret"] is None or params.new_secret:
            row["secret"] = new_secret()
    elif row["id"] != PUSH and not _is_notifier(row["target"]):
        raise InvalidRequest(
            "invalid_params", "target must be notify.… of Home Assistant", reason="target"
        )
    return row


def _is_notifier(target: str) -> bool:
    domain, _, name = target.partition(".")
    return domain == "notify" and name.isascii() and name.isidentifier() and name == name.lower()


def _view(row: Json) -> Json:
    return {name: value for name, value in row.items() if name != "secret"}
