"""Triggers of automations: what happened to requests, prints, cameras, the brain's work and its limits.

Each hears of every change from the bridge behind the event entities, so that it is told once, and nothing old.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Final, override

from homeassistant.const import ATTR_DEVICE_ID, ATTR_NAME, CONF_OPTIONS, CONF_TARGET, CONF_TYPE
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.target import TargetSelection, async_extract_referenced_entity_ids
from homeassistant.helpers.trigger import (
    Trigger,
    TriggerActionRunner,
    TriggerConfig,
    TriggerNotTriggeredReporter,
)
from homeassistant.helpers.typing import ConfigType
import probatio as vol

from .actions import ATTR_CONFIG_ENTRY_ID, registry_id
from .const import CONF_INSTANCE_ID
from .event import (
    APPROVED,
    CANCELLED,
    DENIED,
    EXPIRED,
    FAILED,
    FINISHED,
    INCIDENT,
    OPENED,
    PRINT,
    REQUEST,
    REQUESTED,
    SIGNAL_CHANGE,
    STARTED,
    Change,
)
from .news import (
    BUDGET_REACHED,
    BUDGET_WARNING,
    LIMITS,
    LOW_MATERIAL,
    RESEARCH_FINISHED,
    TASK_FINISHED,
    WORK,
)
from .protocol import INTENTS

if TYPE_CHECKING:
    from . import KittyConfigEntry

ATTR_INTENT: Final = "intent"
ATTR_KIND: Final = "kind"
ATTR_MATERIAL: Final = "material"
CONF_DECISION: Final = "decision"
CONF_LEVEL: Final = "level"

DECISIONS: Final = (APPROVED, DENIED, EXPIRED)
DEFECTS: Final = ("spaghetti_detected", "nozzle_clog")
LEVELS: Final = {"warning": BUDGET_WARNING, "reached": BUDGET_REACHED}


def _some_of(*values: str) -> vol.All[Any]:
    """Return what takes one or several of these."""
    return vol.All(vol.EnsureList(), vol.Length(min=1), [vol.In(values)])


class ChangeTrigger(Trigger):
    """Runs when a change of one topic is of one of its types."""

    topic: ClassVar[str]
    types: ClassVar[tuple[str, ...]]
    options_schema: ClassVar[dict[Any, Any]] = {}
    # Attributes of a change that an option of the same name may narrow.
    narrowed_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Take what a person chose."""
        super().__init__(hass, config)
        self._key = config.key
        self._options = config.options or {}
        self._selection = TargetSelection(config.target or {})

    @override
    @classmethod
    async def async_validate_config(cls, hass: HomeAssistant, config: ConfigType) -> ConfigType:
        """Check the target, where there is one, and the options."""
        valid: ConfigType = cls._schema()(config)
        return valid

    @override
    async def async_attach_runner(
        self,
        run_action: TriggerActionRunner,
        did_not_trigger: TriggerNotTriggeredReporter | None = None,
    ) -> CALLBACK_TYPE:
        """Run the action at every change that is meant, under whoever made it."""

        @callback
        def on_change(entry: KittyConfigEntry, change: Change) -> None:
            if change.topic != self.topic or change.type not in self._types():
                return
            device_id = self._device_of(entry, change)
            if not self._is_meant(entry, device_id) or not self._is_wanted(change):
                return
            name = self._name_of(device_id)
            payload = {
                **change.attributes,
                ATTR_DEVICE_ID: device_id,
                ATTR_NAME: name,
                CONF_TYPE: change.type,
            }
            said = self._key.partition(".")[2].replace("_", " ")
            run_action(payload, f"{said}: {name}", change.context)

        return async_dispatcher_connect(self._hass, SIGNAL_CHANGE, on_change)

    @classmethod
    def _schema(cls) -> vol.Schema:
        """Return what the configuration has to be like."""
        return vol.Schema(
            {
                vol.Optional(CONF_TARGET): cv.TARGET_FIELDS,
                vol.Optional(CONF_OPTIONS, default={}): cls.options_schema,
            }
        )

    def _types(self) -> tuple[str, ...]:
        """Return the types that are wanted: all, unless an option says which."""
        return self.types

    def _device_of(self, entry: KittyConfigEntry, change: Change) -> str | None:
        """Return Home Assistant's id of the device that a change is about."""
        return registry_id(self._hass, entry, change.device_id or "") or None

    def _is_meant(self, _entry: KittyConfigEntry, device_id: str | None) -> bool:
        """Tell whether a device is in the target, as the registries are now; no target means any."""
        if not self._selection.has_any_target:
            return True
        selected = async_extract_referenced_entity_ids(
            self._hass, self._selection, expand_group=False, primary_entities_only=False
        )
        registry = er.async_get(self._hass)
        entities = [
            registry.async_get(entity_id)
            for entity_id in selected.referenced | selected.indirectly_referenced
        ]
        devices = selected.referenced_devices | {one.device_id for one in entities if one}
        return device_id is not None and device_id in devices

    def _is_wanted(self, change: Change) -> bool:
        """Tell whether the options let a change through."""
        return all(
            name not in self._options or change.attributes.get(name) in self._options[name]
            for name in self.narrowed_by
        )

    def _name_of(self, device_id: str | None) -> str | None:
        """Return what people call a device."""
        device = dr.async_get(self._hass).async_get(device_id or "")
        return (device.name_by_user or device.name) if device else None


class BrainTrigger(ChangeTrigger):
    """Runs at a change that is of the brain itself, of one brain or of any."""

    options_schema: ClassVar[dict[Any, Any]] = {vol.Optional(ATTR_CONFIG_ENTRY_ID): cv.string}

    @override
    @classmethod
    def _schema(cls) -> vol.Schema:
        """Return what the configuration has to be like: there is no target."""
        return vol.Schema({vol.Optional(CONF_OPTIONS, default={}): cls.options_schema})

    @override
    def _device_of(self, entry: KittyConfigEntry, change: Change) -> str | None:
        """Return Home Assistant's id of the brain."""
        return registry_id(self._hass, entry, entry.data[CONF_INSTANCE_ID]) or None

    @override
    def _is_meant(self, entry: KittyConfigEntry, _device_id: str | None) -> bool:
        """Tell whether the brain is the one that was chosen; no choice means any."""
        return self._options.get(ATTR_CONFIG_ENTRY_ID) in (None, entry.entry_id)


class ApprovalRequested(ChangeTrigger):
    """Runs when something waits for people."""

    topic = REQUEST.key
    types = (REQUESTED,)
    options_schema: ClassVar[dict[Any, Any]] = {vol.Optional(ATTR_INTENT): _some_of(*INTENTS)}
    narrowed_by = (ATTR_INTENT,)


class ApprovalDecided(ChangeTrigger):
    """Runs when people said yes or no, or let the time pass."""

    topic = REQUEST.key
    types = DECISIONS
    options_schema: ClassVar[dict[Any, Any]] = {
        vol.Optional(ATTR_INTENT): _some_of(*INTENTS),
        vol.Optional(CONF_DECISION, default=list(DECISIONS)): _some_of(*DECISIONS),
    }
    narrowed_by = (ATTR_INTENT,)

    @override
    def _types(self) -> tuple[str, ...]:
        """Return the decisions that were chosen."""
        return tuple(self._options[CONF_DECISION])


class PrintStarted(ChangeTrigger):
    """Runs when a printer begins."""

    topic = PRINT.key
    types = (STARTED,)


class PrintFinished(ChangeTrigger):
    """Runs when a print is done."""

    topic = PRINT.key
    types = (FINISHED,)


class PrintFailed(ChangeTrigger):
    """Runs when a print went wrong."""

    topic = PRINT.key
    types = (FAILED,)


class PrintCancelled(ChangeTrigger):
    """Runs when a print was stopped."""

    topic = PRINT.key
    types = (CANCELLED,)


class DefectDetected(ChangeTrigger):
    """Runs when a camera has seen a print fail often enough for an alarm."""

    topic = INCIDENT.key
    types = (OPENED,)
    options_schema: ClassVar[dict[Any, Any]] = {vol.Optional(ATTR_KIND): _some_of(*DEFECTS)}
    narrowed_by = (ATTR_KIND,)


class TaskFinished(BrainTrigger):
    """Runs when a task of a project is done."""

    topic = WORK
    types = (TASK_FINISHED,)


class ResearchFinished(BrainTrigger):
    """Runs when a research has its report."""

    topic = WORK
    types = (RESEARCH_FINISHED,)


class LowMaterial(BrainTrigger):
    """Runs when a material falls below its limit."""

    topic = LIMITS
    types = (LOW_MATERIAL,)
    options_schema: ClassVar[dict[Any, Any]] = {
        **BrainTrigger.options_schema,
        vol.Optional(ATTR_MATERIAL): vol.All(vol.EnsureList(), vol.Length(min=1), [cv.string]),
    }
    narrowed_by = (ATTR_MATERIAL,)


class BudgetReached(BrainTrigger):
    """Runs when the money for models of a day or month is used up, or nearly so."""

    topic = LIMITS
    types = tuple(LEVELS.values())
    options_schema: ClassVar[dict[Any, Any]] = {
        **BrainTrigger.options_schema,
        vol.Optional(CONF_LEVEL, default=["reached"]): _some_of(*LEVELS),
    }

    @override
    def _types(self) -> tuple[str, ...]:
        """Return the levels that were chosen."""
        return tuple(LEVELS[level] for level in self._options[CONF_LEVEL])


TRIGGERS: Final[dict[str, type[Trigger]]] = {
    "approval_decided": ApprovalDecided,
    "approval_requested": ApprovalRequested,
    "budget_reached": BudgetReached,
    "defect_detected": DefectDetected,
    "low_material": LowMaterial,
    "print_cancelled": PrintCancelled,
    "print_failed": PrintFailed,
    "print_finished": PrintFinished,
    "print_started": PrintStarted,
    "research_finished": ResearchFinished,
    "task_finished": TaskFinished,
}


async def async_get_triggers(_hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers of KITTY."""
    return TRIGGERS
