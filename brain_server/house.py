"""The house as those see it who ask it for something: one road, whatever lies at its end."""

from typing import Protocol

from brain_server.protocol import Json


class HomeAssistantLink(Protocol):
    """The road to Home Assistant: the integration's own socket. Raises Unavailable when it is down."""

    async def call(self, method: str, params: Json, *, timeout: float) -> Json:  # noqa: ASYNC109 - the answer comes over a wire, which has its own clock
        """Ask the integration for something and return its answer."""
