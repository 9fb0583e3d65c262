"""Lists that grow for years are read along an index."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from brain_server.devices.telemetry import Telemetry, TelemetryPage
from brain_server.protocol import CommandStatus, EventStatus, Json
from brain_server.safety.commands import AuditPage, CommandsPage, EventsPage
from brain_server.storage import tables
from tests.brain.gatehouse import DOOR, Gatehouse, integration

CURSOR = "0" * 32
NO_DEVICES: Any = None  # a list does not ask for them
LISTS: dict[str, Callable[[Gatehouse], Any]] = {
    "events": lambda house: house.verbs.events(integration(), EventsPage()),
    "events after": lambda house: house.verbs.events(integration(), EventsPage(cursor=CURSOR)),
    "events by status": lambda house: house.verbs.events(
        integration(), EventsPage(status=EventStatus.PENDING)
    ),
    "commands": lambda house: house.verbs.commands(integration(), CommandsPage()),
    "commands after": lambda house: house.verbs.commands(
        integration(), CommandsPage(cursor=CURSOR)
    ),
    "commands by device": lambda house: house.verbs.commands(
        integration(), CommandsPage(device_id=DOOR)
    ),
    "commands by status": lambda house: house.verbs.commands(
        integration(), CommandsPage(status=CommandStatus.PENDING)
    ),
    "audit": lambda house: house.verbs.audit(integration(), AuditPage()),
    "audit backwards": lambda house: house.verbs.audit(integration(), AuditPage(newest_first=True)),
    "audit by device": lambda house: house.verbs.audit(integration(), AuditPage(device_id=DOOR)),
    "audit by user": lambda house: house.verbs.audit(integration(), AuditPage(user_id="ada")),
    "audit since": lambda house: house.verbs.audit(integration(), AuditPage(since=1.0)),
    "open work": lambda house: house.gate.open_work(),
    "telemetry": lambda house: Telemetry(house.database, NO_DEVICES, house.clock, days=1).list(
        integration(), TelemetryPage(device_id=DOOR)
    ),
}
# PostgreSQL reads a small table whole, whatever indexes it has: it is asked what it would do with a large one.
PREPARE = {"sqlite": "SELECT 1", "postgresql": "SET LOCAL enable_seqscan = off"}
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}
WHOLE = {"sqlite": "SCAN", "postgresql": "Seq Scan"}
# What goes through a table or index from its beginning, or its end, and stops at the limit.
IN_ORDER = (
    "USING INDEX sqlite_autoindex_safety_events_1",
    "USING INDEX sqlite_autoindex_device_commands_1",
    "SCAN audit_log",  # its number is its place in the file
)
GROWING = ("device_commands", "safety_events", "audit_log", "telemetry_events", "approvals")


@pytest.fixture
async def full_house(house: Gatehouse) -> Gatehouse:
    """Give a gate in whose database the other tables are, too, with something in each list."""
    await house.database.write(tables.brain.create_all)
    await house.approved()
    return house


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_is_read_along_an_index(full_house: Gatehouse, name: str) -> None:
    """No statement of it looks at every row of a table that grows."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engine = full_house.database._reader
    event.listen(engine, "before_cursor_execute", note)
    await LISTS[name](full_house)
    event.remove(engine, "before_cursor_execute", note)

    def plans(connection: Connection) -> list[str]:
        dialect = connection.dialect.name
        connection.execute(text(PREPARE[dialect]))
        return [
            " ".join(str(part) for part in row)
            for statement, parameters in asked
            if any(table in statement for table in GROWING)
            for row in connection.exec_driver_sql(EXPLAIN[dialect] + statement, parameters)
        ]

    lines = await full_house.database.read(plans)
    whole = WHOLE[full_house.database.url.get_backend_name()]
    assert lines
    assert [line for line in lines if whole in line and not line.endswith(IN_ORDER)] == []


async def test_pages_join_without_a_gap_or_a_repeat(house: Gatehouse) -> None:
    """While others insert."""
    first = [await house.ask("lock", device=f"{number:032x}") for number in range(5)]
    page: Json = await house.verbs.commands(integration(), CommandsPage(limit=3))
    await house.ask("lock")
    rest = await house.verbs.commands(integration(), CommandsPage(cursor=page["cursor"]))
    found = [one["id"] for one in page["items"] + rest["items"]]
    assert found[:5] == [one.command["id"] for one in first]
    assert len(found) == len(set(found)) == 6
