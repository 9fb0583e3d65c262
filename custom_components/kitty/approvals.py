"""Requests and decisions of people (being written)."""

from homeassistant.core import Context

from .protocol import Channel, Json


class Approvals:
    """Requests and decisions of people."""

    async def request(
        self,
        device_id: str,
        intent: str,
        params: Json | None,
        context: Context,
        idempotency_key: str | None = None,
    ) -> Json:
        """Ask the brain for something; returns {"command", "event"} at once."""
        raise NotImplementedError

    async def decide(
        self,
        event_id: str,
        decision: str,
        *,
        context: Context,
        ppe: bool = False,
        channel: Channel | None = None,
        pin: str | None = None,
    ) -> Json:
        """Record and send one person's decision; returns the event as it then is."""
        raise NotImplementedError
