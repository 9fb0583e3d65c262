"""What devices said, as it is stored: long messages are packed."""

from collections.abc import Mapping
from typing import Any, Final
import zlib

from brain_server.observability import counters
from brain_server.protocol import MAX_TELEMETRY_BYTES, Json

PACK_ABOVE: Final = 1024


def as_stored(text: str) -> Json:
    """Return the columns that hold a message."""
    content = text.encode("utf-8", "surrogatepass")
    if len(content) <= PACK_ABOVE:
        return {"payload": text, "packed": None}
    return {"payload": "", "packed": zlib.compress(content)}


def text_of(row: Mapping[Any, Any]) -> str:
    """Return the message that is stored in a row; empty, and counted, where it unpacks to too much."""
    if row["packed"] is None:
        return str(row["payload"])
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(row["packed"], MAX_TELEMETRY_BYTES + 1)
    except zlib.error:
        content = None
    if content is None or len(content) > MAX_TELEMETRY_BYTES:
        counters["telemetry_unreadable"] += 1
        return ""
    return content.decode("utf-8", "surrogatepass")
