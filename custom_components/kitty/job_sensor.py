"""Sensors of what KITTY does by itself: each job that comes again, and what was given up."""

from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import KittyCoordinator
from .entity import KittyBrainEntity
from .jobs import JobEntity, async_add_jobs, dead, described
from .workshop_sensor import moment

if TYPE_CHECKING:
    from . import KittyConfigEntry

# What a job is between two runs, and what became of the last.
STATES: Final = ("never", "off", "overdue", "pending", "running", "completed", "dead", "cancelled")


class JobSensor(JobEntity, SensorEntity):
    """How the last run of a job went; when the next one is, and how long the last took, stand beside it."""

    _unrecorded_attributes = frozenset({"result"})

    def __init__(self, coordinator: KittyCoordinator, name: str) -> None:
        """Describe the sensor."""
        description = described(
            SensorEntityDescription,
            "job",
            name,
            device_class=SensorDeviceClass.ENUM,
            options=list(STATES),
        )
        super().__init__(coordinator, description, name)

    @property
    @override
    def native_value(self) -> str:
        """Return what the job is now."""
        row = self._row
        if not row["enabled"]:
            return "off"
        if row["overdue"]:
            return "overdue"
        return str(row["last"]["status"]) if row["last"] else "never"

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return its times and what came of the last run."""
        row = self._row
        last = row["last"] or {}
        started, finished = last.get("started_at"), last.get("finished_at")
        return {
            "job": row["name"],
            "timing": row["timing"],
            "next_run": moment(row["next_at"]),
            "last_run": moment(started),
            "duration": round(finished - started, 1) if started and finished else None,
            "result": last.get("result"),
            "error": (last.get("error") or {}).get("code"),
        }


class DeadLetters(KittyBrainEntity, SensorEntity):
    """How much work was given up and waits for somebody to look at it."""

    _unrecorded_attributes = frozenset({"items"})

    @property
    @override
    def native_value(self) -> int:
        """Return how much."""
        return len(dead(self.coordinator.data))

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return what it was and why it did not work."""
        return {
            "items": [
                {
                    "work_id": row["id"],
                    "kind": row["kind"],
                    "error": row["error"],
                    "tries": row["tries"],
                    "given_up": moment(row["finished_at"]),
                }
                for row in dead(self.coordinator.data)
            ]
        }


DEAD_LETTERS: Final = SensorEntityDescription(
    key="dead_letters",
    translation_key="dead_letters",
    entity_category=EntityCategory.DIAGNOSTIC,
)


@callback
def async_add_job_sensors(
    entry: KittyConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensors of the jobs, and of what was given up."""
    async_add_entities([DeadLetters(entry.runtime_data.coordinator, DEAD_LETTERS)])
    async_add_jobs(entry, async_add_entities, JobSensor)
