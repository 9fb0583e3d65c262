"""A turn that is said again, because nobody knew whether it was heard: what was answered is the answer."""

from sqlalchemy import Connection, Row, select

from brain_server.protocol import Json
from brain_server.storage.tables import decisions, messages


def recorded(connection: Connection, row: Json, request_id: str, text: str) -> Json | None:
    """Return what was answered in a conversation to this request, None when it was never recorded."""
    same = (messages.c.conversation_id == row["id"], messages.c.request_id == request_id)
    query = select(messages.c.role, messages.c.text).where(*same)
    # Of what was told under this request the first counts: the rest came later, by itself.
    newest_first = connection.execute(query.order_by(messages.c.id.desc()))
    said = {one.role: one.text for one in newest_first}
    if said.get("user") != text:
        return None
    how = _decision(connection, row["id"], request_id)
    return {
        "conversation_id": row["id"],
        "text": said.get("assistant", ""),
        "continue_conversation": "open" in row["state"],
        "tier": how.tier,
        "confidence": how.confidence,
        "cost": how.cost,
        "stages": {},
        "data": {},
    }


def _decision(
    connection: Connection, conversation_id: str, request_id: str
) -> Row[tuple[str, float, float]]:
    """Return how it was answered: of its attempts the one that counted is the first on record."""
    query = (
        select(decisions.c.tier, decisions.c.confidence, decisions.c.cost)
        .where(decisions.c.conversation_id == conversation_id)
        .where(decisions.c.request_id == request_id)
        .order_by(decisions.c.id)
        .limit(1)
    )
    return connection.execute(query).one()
