"""What KITTY does by itself: the jobs that come again, and work that was given up."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.const import EntityCategory
from homeassistant.core import callback
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import KittyCoordinator, Snapshot
from .entity import KittyBrainEntity
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

# The jobs whose names are translated; another one is called as the brain calls it.
NAMED: Final = frozenset(
    {
        "daily_health_check",
        "knowledge_base_update",
        "outcome_measurement_cycle",
        "printer_fleet_health_check",
        "project_generation_cycle",
        "task_execution_cycle",
        "weekly_research_cycle",
    }
)


def dead(snapshot: Snapshot) -> list[Json]:
    """Return the work that was given up, oldest first."""
    return [row for _, row in sorted(snapshot.work.items()) if row["status"] == "dead"]


def described[T: EntityDescription](kind: type[T], key: str, name: str, **more: Any) -> T:
    """Return the description of an entity of one job, in words where there are some."""
    named = f"{key}_{name}" if name in NAMED else key
    return kind(key=key, translation_key=named, entity_category=EntityCategory.DIAGNOSTIC, **more)


class JobEntity(KittyBrainEntity):
    """One entity of one job."""

    def __init__(self, coordinator: KittyCoordinator, entity: EntityDescription, name: str) -> None:
        """Take the name of the job, which is part of what the entity is known by."""
        super().__init__(coordinator, entity)
        self._job = name
        self._attr_unique_id = f"{self._attr_unique_id}-{name}"
        self._attr_translation_placeholders = {"job": name.replace("_", " ")}

    @property
    def _row(self) -> Json:
        return self.coordinator.data.schedule[self._job]

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain knows the job."""
        return super().available and self._job in self.coordinator.data.schedule


@callback
def async_add_jobs(
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    make: Callable[[KittyCoordinator, str], Entity],
) -> None:
    """Add an entity for each job, also for those that a later brain has more."""
    coordinator = entry.runtime_data.coordinator
    added: set[str] = set()

    @callback
    def follow() -> None:
        new = sorted(set(coordinator.data.schedule) - added)
        added.update(new)
        if new:
            async_add_entities([make(coordinator, name) for name in new])

    follow()
    entry.async_on_unload(coordinator.async_add_listener(follow))
