"""Raw telemetry: word for word, bounded, for a month."""

from typing import Any
import zlib

import pytest
from sqlalchemy import func, select, update

from brain_server.app import Brain
from brain_server.devices.packing import PACK_ABOVE, as_stored, text_of
from brain_server.devices.telemetry import Telemetry
from brain_server.observability import counters
from brain_server.protocol import MAX_TELEMETRY_BYTES
from brain_server.storage.tables import devices, telemetry
from tests.brain.home import Home, Later

TEXTS = {
    "nothing": "",
    "JSON": '{"temp": 21.5}',
    "not JSON": "ok T:21.5 /0.0",
    "nested": "[" * 60_000,
    "not a number": "NaN",
    "long number": "9" * 5000,
    "twice the same key": '{"a":1,"a":2}',
    "quotes": "'; DROP TABLE telemetry_events; --",
    "lines": "a\r\nb\x00c",
    "letters": "Größe 日本 🐈",
}


async def lamp(home: Home) -> str:
    """Add a device; returns its id."""
    return str((await home.puppet("lamp", "light")).context.device_id)


async def listed(home: Home, device_id: str, topic: str = "t") -> list[Any]:
    """Return what is stored of a device."""
    items = (await home.command("telemetry.list", {"device_id": device_id}))["items"]
    return [item for item in items if item["topic"] == topic]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_what_a_device_said_is_kept_word_for_word(home: Home, text: str) -> None:
    """Whatever it is: it is not read, only kept."""
    device_id = await lamp(home)
    said = {"device_id": device_id, "topic": "t", "payload": text}
    await home.command("telemetry.ingest", said | {"job_id": "j", "conversation_id": "c"})
    (item,) = await listed(home, device_id)
    assert item["payload"] == text
    assert (item["job_id"], item["conversation_id"]) == ("j", "c")


@pytest.mark.parametrize("letter", ["x", "ä", "日", "🐈"])
async def test_sixty_four_kibibytes_are_kept_and_no_byte_more(home: Home, letter: str) -> None:
    """Bytes count, not letters; what is refused is counted."""
    device_id, before = await lamp(home), counters["telemetry_too_large"]
    size = len(letter.encode())
    fits = letter * (MAX_TELEMETRY_BYTES // size) + "x" * (MAX_TELEMETRY_BYTES % size)
    assert len(fits.encode()) == 65_536
    said = {"device_id": device_id, "topic": "t"}
    await home.command("telemetry.ingest", said | {"payload": fits})
    assert await home.refusal("telemetry.ingest", said | {"payload": fits + "x"}) == (
        "payload_too_large"
    )
    assert [item["payload"] for item in await listed(home, device_id)] == [fits]
    assert counters["telemetry_too_large"] == before + 1


@pytest.mark.parametrize(
    "wrong",
    [{"topic": ""}, {"topic": "x" * 256}, {"payload": {}}, {"payload": None}, {"device_id": 7}],
)
async def test_what_makes_no_sense_is_refused(home: Home, wrong: Any) -> None:
    """A message has a device, a topic and a text."""
    said = {"device_id": await lamp(home), "topic": "t", "payload": "x"}
    assert await home.refusal("telemetry.ingest", said | wrong) == "invalid_params"


async def test_what_nobody_said_is_refused(home: Home) -> None:
    """There is no such device."""
    said = {"device_id": "0" * 32, "topic": "t", "payload": "x"}
    assert await home.refusal("telemetry.ingest", said) == "device_not_found"


async def test_a_device_that_is_removed_takes_its_words_with_it(home: Home, brain: Brain) -> None:
    """Nothing is left behind."""
    device_id = await lamp(home)
    await home.command("telemetry.ingest", {"device_id": device_id, "topic": "t", "payload": "x"})
    await home.command("devices.remove", {"device_id": device_id})
    left = await brain.brain_db.read(
        lambda connection: connection.execute(select(func.count()).select_from(telemetry)).scalar()
    )
    assert left == 0


async def test_after_a_month_it_is_forgotten(home: Home, brain: Brain, clock: Later) -> None:
    """And not a day before."""
    device_id = await lamp(home)
    for age in (29, 31):
        clock.ahead = -age * 86_400.0
        said = {"device_id": device_id, "topic": "t", "payload": str(age)}
        await home.command("telemetry.ingest", said)
    clock.ahead = 0.0
    await Telemetry(brain.brain_db, brain.registry, clock, days=30).forget()
    assert [item["payload"] for item in await listed(home, device_id)] == ["29"]


@pytest.mark.slow
@pytest.mark.timeout(120)  # some seconds of one core, and others may have the rest
async def test_the_database_does_not_grow_for_ever(home: Home, brain: Brain, clock: Later) -> None:
    """A hundred thousand old messages leave room for new ones."""
    device_id = await lamp(home)
    old = clock() - 40 * 86_400

    def fill(connection: Any) -> None:
        rows = [
            {
                "id": f"{number:032x}",
                "device_id": device_id,
                "topic": "t",
                "payload": "x" * 100,
                "recorded_at": old,
            }
            for number in range(100_000)
        ]
        connection.execute(telemetry.insert(), rows)

    def pages(connection: Any) -> tuple[int, int]:
        return tuple(
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("page_count", "freelist_count")
        )

    await brain.brain_db.write(fill)
    await Telemetry(brain.brain_db, brain.registry, clock, days=30).forget()
    full, free = await brain.brain_db.read(pages)
    assert free > full * 0.9
    await brain.brain_db.write(fill)
    again, _ = await brain.brain_db.read(pages)
    assert again <= full * 1.02


async def test_a_last_state_that_cannot_be_read_is_none(home: Home, brain: Brain) -> None:
    """Whoever wrote nonsense under that topic does not keep the brain from starting."""
    device_id = await lamp(home)
    await home.command(
        "telemetry.ingest", {"device_id": device_id, "topic": "state", "payload": "["}
    )
    await brain.brain_db.write(
        lambda connection: connection.execute(update(devices).values(name="x"))
    )
    await brain.registry.start()
    assert brain.registry.get(device_id).driver.context.last_state == {}


async def stored(home: Home) -> Any:
    """Return the newest row, as it lies in the database."""
    query = select(telemetry).where(telemetry.c.topic == "t").order_by(telemetry.c.id.desc())
    return await home.brain.brain_db.read(
        lambda connection: connection.execute(query).mappings().first()
    )


async def test_a_long_message_is_stored_packed(home: Home) -> None:
    """From the first byte beyond 1024; what is told is the same."""
    device_id = await lamp(home)
    said = {"device_id": device_id, "topic": "t"}
    await home.command("telemetry.ingest", said | {"payload": "ä" * (PACK_ABOVE // 2)})
    assert (await stored(home))["packed"] is None
    text = "ä" * (PACK_ABOVE // 2) + "x"
    await home.command("telemetry.ingest", said | {"payload": text})
    row = await stored(home)
    assert (row["payload"], len(row["packed"]) < 100) == ("", True)
    newest = (await listed(home, device_id))[-1]
    assert newest["payload"] == text
    assert "packed" not in newest


async def test_a_state_that_is_long_is_remembered(home: Home) -> None:
    """What a device last showed is found again after a restart."""
    puppet = await home.puppet("lamp", "light")
    puppet.show(on=True, note="x" * 3000)
    await home.brain.registry.remember(home.brain.registry.all())
    await home.brain.registry.stop()
    await home.brain.registry.start()
    live = home.brain.registry.get(puppet.context.device_id)
    assert live.last_state == {"on": True, "note": "x" * 3000}


@pytest.mark.parametrize(
    "packed",
    [
        zlib.compress(bytes(50_000_000)),
        b"nonsense",
        zlib.compress(b"x" * (MAX_TELEMETRY_BYTES + 1)),
    ],
    ids=["a bomb", "nonsense", "a byte too much"],
)
def test_what_unpacks_to_too_much_is_not_told(packed: bytes) -> None:
    """It is counted, and costs no memory."""
    before = counters["telemetry_unreadable"]
    assert text_of({"payload": "", "packed": packed}) == ""
    assert counters["telemetry_unreadable"] == before + 1


def test_broken_letters_are_kept_as_they_are() -> None:
    """Half a letter is what the device said."""
    text = "\ud800" * 2000
    assert text_of(as_stored(text)) == text
