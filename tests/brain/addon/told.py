"""What the app's page knows of a brain, as a test wants it to be."""

import base64
import logging

from brain_server.addon.lines import Lines
from brain_server.addon.pages import Known
from brain_server.protocol import Json


class Brain:
    """A brain that is well, and notes what the page had it do."""

    def __init__(self) -> None:
        """Start well, paired and connected."""
        self.parts: Json = {
            "one": {"ok": True, "detail": None},
            "two": {"ok": True, "detail": "off"},
        }
        self.paired = self.connected = self.announced = True
        self.done: list[str] = []
        self.lines = Lines()

    def known(self) -> Known:
        """Return what the page asks."""
        return Known(
            instance_id="<b>brain</b>",
            public_key=base64.b64encode(bytes(32)).decode(),
            health=self._health,
            is_paired=self._is_paired,
            is_connected=lambda: self.connected,
            is_announced=lambda: self.announced,
            announce=lambda: self.done.append("announce"),
            unpair=self._unpair,
        )

    async def _health(self) -> Json:
        well = all(part["ok"] for part in self.parts.values())
        return {"status": "ok" if well else "degraded", "parts": self.parts}

    async def _is_paired(self) -> bool:
        return self.paired

    async def _unpair(self) -> None:
        self.done.append("unpair")
        self.paired = self.connected = False


def write(brain: Brain) -> None:
    """Let the brain write three lines."""
    error = ValueError("the number")
    for level, text, broke in (
        (logging.INFO, "All is well, token=abcdef", None),
        (logging.WARNING, "<b>Careful</b>", None),
        (logging.ERROR, "It broke", (ValueError, error, None)),
        (logging.DEBUG, "a" * 5000, None),
    ):
        record = logging.LogRecord("brain_server.devices", level, __file__, 1, text, None, broke)
        brain.lines.emit(record)
