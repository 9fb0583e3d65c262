"""To-do lists: the print queue, what should be bought, and what people are asked to do with their hands.

Ticking or deleting an item of the queue takes it out; nothing that is on its way to a printer is touched.
Of the shopping list, a tick says that it was bought, and deleting rejects the proposal.
Of the tasks, a tick says that it was done; what a task wants of a device is no item of any list.
"""

from collections import defaultdict
from datetime import date, datetime, time
from typing import Final, override

from homeassistant.components.conversation import DOMAIN as ASSIST
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.components.todo import (
    TodoItem,
    TodoItemStatus,
    TodoListEntity,
    TodoListEntityFeature,
)
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util import dt as dt_util

from . import KittyConfigEntry
from .const import CONF_TODO_ENTITY
from .coordinator import KittyCoordinator, Snapshot
from .entity import KittyBrainEntity
from .errors import BrainError, Refused
from .goals import found_before, to_do
from .origin import caller_from
from .protocol import Json
from .shopping import Mirror, async_words, description, summary
from .workshop import UNDER_WAY, device_name, in_order

PARALLEL_UPDATES = 0

QUEUE: Final = EntityDescription(key="print_queue", translation_key="print_queue")
SHOPPING: Final = EntityDescription(key="shopping", translation_key="shopping")
TASKS: Final = EntityDescription(key="tasks", translation_key="tasks")

# Where Home Assistant keeps that an entity is exposed.
EXPOSE: Final = "should_expose"

# A due time that is nearer than this to what it was is the same: people set minutes.
_SAME_S: Final = 60.0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add both lists, and copy the second where people want it."""
    coordinator = entry.runtime_data.coordinator
    words = await async_words(hass, "shopping")
    async_add_entities(
        [
            PrintQueue(coordinator, QUEUE, await async_words(hass, "print_queue")),
            ShoppingList(coordinator, SHOPPING, words),
            TaskList(coordinator, TASKS, {}),
        ]
    )
    if chosen := entry.options.get(CONF_TODO_ENTITY):
        await Mirror(hass, entry, chosen, words).start()


class WorkshopList(KittyBrainEntity, TodoListEntity):
    """A list that the brain keeps."""

    def __init__(
        self, coordinator: KittyCoordinator, entity: EntityDescription, words: dict[str, str]
    ) -> None:
        """Take the words in which it speaks."""
        super().__init__(coordinator, entity)
        self._words = words

    async def _say(self, action: str, params: Json) -> None:
        """Tell the brain, in the name of whoever changes the list."""
        caller = await caller_from(self.hass, self._context or Context())
        await self.coordinator.client.command(action, params, caller=caller)


class QuietList(WorkshopList):
    """A list that is left out of Assist until somebody wants it there: by voice, nobody knows who ticks."""

    @override
    async def async_added_to_hass(self) -> None:
        """Take the list out of Assist, where nobody has said anything about it."""
        await super().async_added_to_hass()
        entry = er.async_get(self.hass).async_get(self.entity_id)
        if entry is not None and EXPOSE not in entry.options.get(ASSIST, {}):
            async_expose_entity(self.hass, ASSIST, self.entity_id, should_expose=False)


class PrintQueue(QuietList):
    """What is to be printed, in the order in which it will be."""

    _attr_supported_features = (
        TodoListEntityFeature.CREATE_TODO_ITEM
        | TodoListEntityFeature.UPDATE_TODO_ITEM
        | TodoListEntityFeature.DELETE_TODO_ITEM
        | TodoListEntityFeature.SET_DUE_DATE_ON_ITEM
        | TodoListEntityFeature.SET_DUE_DATETIME_ON_ITEM
    )

    @property
    @override
    def todo_items(self) -> list[TodoItem]:
        """Return the items of the queue."""
        data = self.coordinator.data
        return [
            TodoItem(
                summary=row["title"],
                uid=row["id"],
                status=TodoItemStatus.NEEDS_ACTION,
                due=_due(row),
                description=in_words(row, self._words, data),
            )
            for row in in_order(data)
        ]

    @override
    async def async_create_todo_item(self, item: TodoItem) -> None:
        """Queue the file that has the name of the item; Refused ``no_such_print_file``."""
        wish: Json = {"file": item.summary}
        if (deadline := _deadline(item.due)) is not None:
            wish["deadline"] = deadline
        try:
            await self._say("queue.add", wish)
        except BrainError as err:
            if err.code != "file_not_found":
                raise
            raise Refused("no_such_print_file", file=item.summary) from err

    @override
    async def async_update_todo_item(self, item: TodoItem) -> None:
        """Take a ticked item out of the queue; else change its name or its deadline."""
        row = self._row(item.uid)
        if item.status == TodoItemStatus.COMPLETED:
            await self._cancel(row)
            return
        changes: Json = {}
        if item.summary != row["title"]:
            changes["title"] = item.summary
        deadline = _deadline(item.due)
        if _differ(deadline, row["deadline"]):
            changes["deadline"] = deadline
        if changes:
            await self._say("queue.change", {"queue_id": row["id"]} | changes)

    @override
    async def async_delete_todo_items(self, uids: list[str]) -> None:
        """Take items out of the queue, all of them or none."""
        rows = [self._row(uid) for uid in uids]
        for row in rows:
            _must_wait(row)
        for row in rows:
            await self._cancel(row)

    async def _cancel(self, row: Json) -> None:
        _must_wait(row)
        await self._say("queue.cancel", {"queue_id": row["id"]})

    def _row(self, uid: str | None) -> Json:
        row = self.coordinator.data.queue.get(uid or "")
        if row is None:
            raise Refused("queue_item_not_found")
        return row


class ShoppingList(WorkshopList):
    """What should be bought; nothing here ever buys."""

    _attr_supported_features = (
        TodoListEntityFeature.UPDATE_TODO_ITEM | TodoListEntityFeature.DELETE_TODO_ITEM
    )

    @property
    @override
    def todo_items(self) -> list[TodoItem]:
        """Return the proposals that are open."""
        data = self.coordinator.data
        return [
            TodoItem(
                summary=summary(row),
                uid=row["id"],
                status=TodoItemStatus.NEEDS_ACTION,
                description=description(row, self._words, data),
            )
            for row in data.procurements.values()
        ]

    @override
    async def async_update_todo_item(self, item: TodoItem) -> None:
        """Note that it was bought; a proposal cannot be worded anew."""
        if item.status != TodoItemStatus.COMPLETED:
            raise Refused("proposal_fixed")
        await self._say("procurements.decide", {"proposal_id": item.uid, "decision": "done"})

    @override
    async def async_delete_todo_items(self, uids: list[str]) -> None:
        """Reject proposals."""
        for uid in uids:
            await self._say("procurements.decide", {"proposal_id": uid, "decision": "reject"})


class TaskList(QuietList):
    """What projects wait for, that only hands can do."""

    _attr_supported_features = TodoListEntityFeature.UPDATE_TODO_ITEM

    @property
    @override
    def todo_items(self) -> list[TodoItem]:
        """Return what waits, with what it is for and what was found before it."""
        return [
            TodoItem(
                summary=task["title"],
                uid=task["id"],
                status=TodoItemStatus.NEEDS_ACTION,
                description="\n".join([project["title"], *found_before(project, task)]),
            )
            for project, task in to_do(self.coordinator.data)
        ]

    @override
    async def async_update_todo_item(self, item: TodoItem) -> None:
        """Say that it was done, as whoever ticks; Refused ``task_fixed`` for another name or text."""
        if item.status != TodoItemStatus.COMPLETED:
            raise Refused("task_fixed")
        await self._say("tasks.answer", {"task_id": item.uid, "done": True})


def in_words(row: Json, words: dict[str, str], snapshot: Snapshot) -> str:
    """Return where and when an item is printed, and why, a line each."""
    lines = []
    if row["planned_start"] is not None:
        lines.append({"code": "planned", "device_id": row["device_id"]})
    return "\n".join(_line(row, reason, words, snapshot) for reason in [*lines, *row["reasons"]])


def _line(row: Json, reason: Json, words: dict[str, str], snapshot: Snapshot) -> str:
    """Return a reason as a sentence; a brain that is newer may have one without words."""
    text = words.get(reason["code"]) or str(reason["code"])
    other = snapshot.queue.get(reason.get("item") or "", {})
    away = [device_name(snapshot, key) or key for key in reason.get("device_ids") or ()]
    told: Json = {
        "material": words["any_filament"],
        **{name: value for name, value in reason.items() if value is not None},
        "error": words.get(f"error_{reason.get('error')}") or reason.get("error") or "?",
        "start": _clock(row["planned_start"]),
        "end": _clock(row["planned_end"]),
        "deadline": _clock(row["deadline"]),
        "at": _clock(reason.get("at")),
        "minutes": round((reason.get("by_s") or 0) / 60),
        "other": other.get("title", "?"),
        "printer": device_name(snapshot, reason.get("device_id")) or ", ".join(away) or "?",
    }
    return text.format_map(defaultdict(lambda: "?", told))


def _clock(seconds: float | None) -> str:
    """Return a time as a person reads it; the day only where it is another one."""
    if seconds is None:
        return "?"
    at = dt_util.as_local(dt_util.utc_from_timestamp(seconds))
    today = at.date() == dt_util.now().date()
    return at.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def _due(row: Json) -> datetime | None:
    seconds = row["deadline"]
    return None if seconds is None else dt_util.as_local(dt_util.utc_from_timestamp(seconds))


def _deadline(due: date | datetime | None) -> float | None:
    """Return a due time as the brain takes it; a day ends at its midnight."""
    if due is None:
        return None
    if not isinstance(due, datetime):
        due = datetime.combine(due, time.max, dt_util.get_default_time_zone())
    return due.timestamp()


def _differ(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) >= _SAME_S


def _must_wait(row: Json) -> None:
    """Refuse to touch what is on its way to a printer, or on it: a tick is no emergency stop."""
    if row["status"] in UNDER_WAY:
        raise Refused("queue_item_started")
