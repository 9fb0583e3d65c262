"""What the brain tells others, as events of Home Assistant: each once, also after either was away.

The place up to which they were fired is kept on disk, behind each page of them. Only a Home Assistant that dies in
the moment between fires a page again, with the same ids.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util, slugify

from .const import CONF_INSTANCE_ID, DOMAIN, EVENT_KITTY, LOGGER
from .coordinator import LINK_UP
from .errors import BrainError, KittyError
from .protocol import Json
from .retry import Retry

if TYPE_CHECKING:
    from . import KittyConfigEntry

ADDED: Final = "outbox.added"
STORE_VERSION: Final = 1
PAGE: Final = 20
WEATHER: Final = "weather.alerts"


def store_of(hass: HomeAssistant, entry: KittyConfigEntry) -> Store[Json]:
    """Return where an entry remembers what was fired."""
    instance_id = slugify(entry.data[CONF_INSTANCE_ID])
    return Store(hass, STORE_VERSION, f"{DOMAIN}.{instance_id}.outbox", private=True)


class Outbox:
    """Reads on where it was, whenever there is something new."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take the collaborators from the entry; nothing happens before :meth:`start`."""
        self._hass = hass
        self._entry = entry
        self._client = entry.runtime_data.client
        self._coordinator = entry.runtime_data.coordinator
        self._store = store_of(hass, entry)
        # The last row that was fired: its id, and when it was told.
        self._place: Json | None = None
        self._news = asyncio.Event()
        self._retry = Retry(hass, self._client, self._news.set)

    async def start(self) -> None:
        """Read from now on, once those who wait for events are there."""
        self._place = await self._store.async_load()
        on_unload = self._entry.async_on_unload
        on_unload(self._coordinator.async_listen(ADDED, self._wake))
        on_unload(self._coordinator.async_listen(LINK_UP, self._wake))
        on_unload(self._retry.stop)

        @callback
        def begin(_hass: HomeAssistant) -> None:
            self._news.set()
            self._entry.async_create_background_task(self._hass, self._run(), "kitty outbox")

        on_unload(async_at_started(self._hass, begin))

    @callback
    def _wake(self, _data: Json) -> None:
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._read_on()
            except KittyError as err:
                LOGGER.debug("Events wait: %s", err)
                self._retry.later()
            except BrainError as err:
                LOGGER.warning("The brain does not give its events: %s", err)

    async def _read_on(self) -> None:
        """Fire everything that is new; who reads for the first time begins with what comes next."""
        if self._place is None:
            found = await self._client.command("outbox.read", {})
            await self._keep(found["last"])
        while True:
            found = await self._client.command(
                "outbox.read", {**(self._place or {}), "limit": PAGE}
            )
            if not (items := found["items"]):
                return
            self._fire(items)
            last = items[-1]
            await self._keep({"after": last["id"], "at": last["at"]})

    @callback
    def _fire(self, items: Iterable[Json]) -> None:
        for item in items:
            if not _is_over(item):
                about = {name: item[name] for name in ("topic", "key", "name", "id", "data")}
                self._hass.bus.async_fire(EVENT_KITTY, about)

    async def _keep(self, place: Json) -> None:
        self._place = place
        # An unload waits for it: the next life begins at the place that was kept.
        saving = self._entry.async_create_task(
            self._hass, self._store.async_save(place), "kitty outbox place"
        )
        await asyncio.shield(saving)


def _is_over(item: Json) -> bool:
    """Tell whether a warning came too late to be of use."""
    if item["topic"] != WEATHER:
        return False
    until: Any = dt_util.parse_datetime(str(item["data"].get("valid_until")))
    return until is not None and until < dt_util.utcnow()
