"""Raw telemetry: what devices said, word for word, up to 64 KiB each, for a month."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from sqlalchemy import delete, insert, select

from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.devices.packing import as_stored, text_of
from brain_server.devices.registry import Registry
from brain_server.errors import InvalidRequest
from brain_server.observability import counters
from brain_server.protocol import MAX_TELEMETRY_BYTES, Json
from brain_server.storage import Database, page_of
from brain_server.storage.tables import new_id, telemetry


class Ingest(Params):
    """One message, as text."""

    device_id: str
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    payload: str
    job_id: str | None = None
    conversation_id: str | None = None


class TelemetryPage(Page, kw_only=True):
    """A part of what one device said."""

    device_id: str


class Telemetry:
    """Stores and lists raw messages."""

    def __init__(
        self, database: Database, registry: Registry, clock: Callable[[], float], *, days: int
    ) -> None:
        """Take the database, the devices and how many days to keep."""
        self._db = database
        self._registry = registry
        self._clock = clock
        self._kept = days * 86400.0

    @command("telemetry.ingest", Scope.INTEGRATION)
    async def ingest(self, _caller: Caller, params: Ingest) -> Json:
        """Store one message; more than 65,536 bytes is refused and counted."""
        self._registry.get(params.device_id)
        size = len(params.payload.encode("utf-8", "surrogatepass"))
        if size > MAX_TELEMETRY_BYTES:
            counters["telemetry_too_large"] += 1
            raise InvalidRequest(
                "payload_too_large", "A message has at most 65536 bytes", bytes=size
            )
        row: Json = {name: getattr(params, name) for name in params.__struct_fields__}
        row |= as_stored(params.payload) | {"id": new_id(), "recorded_at": self._clock()}
        await self._db.write(lambda connection: connection.execute(insert(telemetry).values(row)))
        return {"id": row["id"]}

    @command(
        "telemetry.list",
        Scope.READ,
        read_only=True,
        tool="List the messages that one device sent, oldest first.",
    )
    async def list(self, _caller: Caller, params: TelemetryPage) -> Json:
        """List what a device said, oldest first."""
        mine = telemetry.c.device_id == params.device_id
        query = page_of(select(telemetry).where(mine), telemetry.c.id, params)
        rows = await self._db.read(
            lambda connection: [_view(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    async def forget(self) -> None:
        """Delete what is older than the days to keep."""
        limit = self._clock() - self._kept
        await self._db.write(
            lambda connection: connection.execute(
                delete(telemetry).where(telemetry.c.recorded_at < limit)
            )
        )


def _view(row: Mapping[Any, Any]) -> Json:
    return {name: value for name, value in row.items() if name != "packed"} | {
        "payload": text_of(row)
    }
