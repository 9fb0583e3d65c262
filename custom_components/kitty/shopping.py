"""What should be bought, on paper: the text of a proposal, and its copy on a list that people use anyway."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.todo import (
    DOMAIN as TODO_DOMAIN,
    TodoItemStatus,
    TodoListEntityFeature,
    TodoServices,
)
from homeassistant.const import (
    ATTR_ENTITY_ID,
    ATTR_SUPPORTED_FEATURES,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.helpers.storage import Store
from homeassistant.helpers.translation import async_get_translations

from .const import CONF_INSTANCE_ID, DOMAIN, LOGGER
from .coordinator import Snapshot
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

VERSION: Final = 1
_AWAY: Final = (None, STATE_UNAVAILABLE, STATE_UNKNOWN)


async def async_words(hass: HomeAssistant, group: str) -> dict[str, str]:
    """Return a group of words in the language of the house."""
    found = await async_get_translations(hass, hass.config.language, "selector", {DOMAIN})
    start = f"component.{DOMAIN}.selector.{group}.options."
    return {key.removeprefix(start): text for key, text in found.items() if key.startswith(start)}


def summary(row: Json) -> str:
    """Return what should be bought, in one line."""
    return f"{row['material']} {row['grams']:.0f} g"


def description(row: Json, words: dict[str, str], snapshot: Snapshot) -> str:
    """Return why, for how much, and whether somebody has agreed."""
    lines = [words.get(row["reason"]) or str(row["reason"])]
    if row["cost"] is not None:
        cost = f"{row['cost']:.2f} {snapshot.budget.get('currency') or ''}".strip()
        lines.append(words["cost"].format(cost=cost))
    lines.append(words[row["status"]])
    return "\n".join(lines)


def store_of(hass: HomeAssistant, entry: KittyConfigEntry) -> Store[dict[str, Any]]:
    """Return where an entry remembers what it wrote to a person's list."""
    return Store(hass, VERSION, f"{DOMAIN}.shopping.{entry.data[CONF_INSTANCE_ID]}")


class Mirror:
    """Keeps one item for each open proposal on a list of the house, also across restarts.

    What was written to the list is remembered, so that an item that somebody ticked or deleted does not come back.
    """

    def __init__(
        self, hass: HomeAssistant, entry: KittyConfigEntry, entity_id: str, words: dict[str, str]
    ) -> None:
        """Take the list; nothing is written before :meth:`start`."""
        self._hass = hass
        self._entry = entry
        self._list = entity_id
        self._words = words
        self._coordinator = entry.runtime_data.coordinator
        self._store = store_of(hass, entry)
        # By proposal: its text, and whether the list has it for certain.
        self._items: dict[str, Json] = {}
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Take up what was written before, and follow the proposals and the list."""
        stored = await self._store.async_load() or {}
        if stored.get("list") == self._list:
            self._items = stored["items"]
        on_unload = self._entry.async_on_unload
        on_unload(self._coordinator.async_add_listener(self._follow))
        on_unload(async_track_state_change_event(self._hass, [self._list], self._on_list))
        self._follow()

    @callback
    def _on_list(self, event: Event[EventStateChangedData]) -> None:
        """Catch up when the list is there again."""
        old = event.data["old_state"]
        if old is None or old.state in _AWAY:
            self._follow()

    @callback
    def _follow(self) -> None:
        open_ = self._coordinator.data.procurements.keys()
        sure = {key for key, item in self._items.items() if item["sure"]}
        if self._coordinator.data.connected and open_ != sure:
            self._entry.async_create_background_task(
                self._hass, self._sync(), "kitty shopping list"
            )

    async def _sync(self) -> None:
        """Write what is missing and take away what is settled; what fails is done with the next change."""
        async with self._lock:
            state = self._hass.states.get(self._list)
            if state is None or state.state in _AWAY:
                return
            features = TodoListEntityFeature(state.attributes.get(ATTR_SUPPORTED_FEATURES, 0))
            proposals = dict(self._coordinator.data.procurements)
            try:
                for key, row in proposals.items():
                    await self._add(key, row, features)
                for key in self._items.keys() - proposals.keys():
                    await self._take_away(key, features)
            except HomeAssistantError as err:
                LOGGER.warning("The shopping list %s cannot be changed: %s", self._list, err)

    async def _add(self, key: str, row: Json, features: TodoListEntityFeature) -> None:
        known = self._items.get(key)
        if known is not None and known["sure"]:
            return
        text = summary(row)
        # A stop between the list and the record must not make two of one.
        if known is None or await self._open_item(known["text"]) is None:
            await self._remember(key, text, sure=False)
            data = {"item": text}
            if features & TodoListEntityFeature.SET_DESCRIPTION_ON_ITEM:
                data["description"] = description(row, self._words, self._coordinator.data)
            await self._call(TodoServices.ADD_ITEM, data)
        await self._remember(key, text, sure=True)

    async def _take_away(self, key: str, features: TodoListEntityFeature) -> None:
        item = await self._open_item(self._items[key]["text"])
        if item is not None and features & TodoListEntityFeature.DELETE_TODO_ITEM:
            await self._call(TodoServices.REMOVE_ITEM, {"item": [item]})
        elif item is not None and features & TodoListEntityFeature.UPDATE_TODO_ITEM:
            await self._call(
                TodoServices.UPDATE_ITEM, {"item": item, "status": TodoItemStatus.COMPLETED}
            )
        del self._items[key]
        await self._save()

    async def _open_item(self, text: str) -> str | None:
        """Return by what the list knows an item of this text that is not done."""
        answer = await self._hass.services.async_call(
            TODO_DOMAIN,
            TodoServices.GET_ITEMS,
            {ATTR_ENTITY_ID: self._list, "status": [TodoItemStatus.NEEDS_ACTION]},
            blocking=True,
            return_response=True,
        )
        found: Any = (answer or {}).get(self._list, {})
        for item in found.get("items", ()):
            if item["summary"] == text:
                return str(item.get("uid") or text)
        return None

    async def _call(self, service: str, data: Json) -> None:
        await self._hass.services.async_call(
            TODO_DOMAIN, service, data | {ATTR_ENTITY_ID: self._list}, blocking=True
        )

    async def _remember(self, key: str, text: str, *, sure: bool) -> None:
        self._items[key] = {"text": text, "sure": sure}
        await self._save()

    async def _save(self) -> None:
        await self._store.async_save({"list": self._list, "items": self._items})
