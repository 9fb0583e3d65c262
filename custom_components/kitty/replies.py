"""What the brain says when nobody speaks: an answer that had to wait for people, told to who asked."""

from typing import Final

from homeassistant.core import Context, HomeAssistant, callback

from .const import DOMAIN
from .coordinator import KittyCoordinator
from .ledger import Ledger
from .phones import Phones
from .protocol import Json

EVENT_REPLY: Final = f"{DOMAIN}_reply"
REPLY: Final = "conversation.reply"


class Replies:
    """Brings a late answer to the phones of the person it is for, and to automations."""

    def __init__(self, hass: HomeAssistant, coordinator: KittyCoordinator, ledger: Ledger) -> None:
        """Take the coordinator, which tells of answers."""
        self._hass = hass
        self._coordinator = coordinator
        self._phones = Phones(hass, coordinator.config_entry, ledger)

    @callback
    def start(self) -> None:
        """Listen from now on."""
        entry = self._coordinator.config_entry
        entry.async_on_unload(self._coordinator.async_listen(REPLY, self._on_reply))

    @callback
    def _on_reply(self, data: Json) -> None:
        """Tell one answer."""
        reply = {"conversation_id": data["conversation_id"], "user_id": data["owner"]}
        reply["text"] = str(data["text"])
        self._hass.bus.async_fire(EVENT_REPLY, reply, context=Context(user_id=reply["user_id"]))
        entry = self._coordinator.config_entry
        work = self._phones.say(reply["user_id"], reply["text"], tag=reply["conversation_id"])
        # An unload waits for it: the brain tells it once.
        entry.async_create_task(self._hass, work, "kitty reply")
