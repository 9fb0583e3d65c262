"""Once more, a little later, at a brain that is there and too busy: it tells nobody when it has time again."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .client import BrainClient

RETRY_AFTER: Final = 30.0


class Retry:
    """Does something once more, however often it is asked to meanwhile."""

    def __init__(self, hass: HomeAssistant, client: BrainClient, again: Callable[[], None]) -> None:
        """Take what is done again; nothing happens before :meth:`later`."""
        self._hass = hass
        self._client = client
        self._again = again
        self._timer: CALLBACK_TYPE | None = None

    @callback
    def later(self) -> None:
        """Do it in half a minute, unless the brain is gone: of one that comes back we hear."""
        if self._client.connected and self._timer is None:
            self._timer = async_call_later(self._hass, RETRY_AFTER, self._on_time)

    @callback
    def stop(self) -> None:
        """Do it no more."""
        if self._timer is not None:
            self._timer()
            self._timer = None

    @callback
    def _on_time(self, _now: datetime) -> None:
        self._timer = None
        self._again()
