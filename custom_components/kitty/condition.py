"""Conditions of automations: what is so now, by the entities that show it."""

from collections.abc import Mapping
from typing import ClassVar, Final, Unpack, override

from homeassistant.const import STATE_OFF, STATE_ON, Platform
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.automation import DomainSpec
from homeassistant.helpers.condition import (
    Condition,
    ConditionCheckParams,
    EntityConditionBase,
)
from homeassistant.helpers.target import async_extract_referenced_entity_ids

from .const import DOMAIN
from .protocol import PrinterStatus

# A paused print is still on the printer; one that is prepared is as good as there.
_PRINTING: Final = frozenset(
    {PrinterStatus.PREPARING, PrinterStatus.PRINTING, PrinterStatus.PAUSED}
)


class KittyCondition(EntityConditionBase):
    """Holds by the states of some of KITTY's entities; what is not known does not hold."""

    # The translation keys by which the registry knows these entities.
    keys: ClassVar[frozenset[str]]

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Return those entities that show what is asked."""
        registry = er.async_get(self._hass)
        found = {entity_id: registry.async_get(entity_id) for entity_id in entities}
        return {
            entity_id
            for entity_id, entry in found.items()
            if entry and entry.platform == DOMAIN and entry.translation_key in self.keys
        }

    @override
    def _should_include(self, _state: State) -> bool:
        """Count what is unavailable, too: all of several does not hold while one is not known."""
        return True

    @override
    def _async_check(self, **kwargs: Unpack[ConditionCheckParams]) -> bool:
        """Test the states; nothing holds of no entity at all."""
        selected = async_extract_referenced_entity_ids(
            self._hass,
            self._target_selection,
            expand_group=False,
            primary_entities_only=self._primary_entities_only,
        )
        found = self.entity_filter(selected.referenced | selected.indirectly_referenced)
        return bool(found) and super()._async_check(**kwargs)


class IsPrinting(KittyCondition):
    """Holds while a printer has a print, also a paused one."""

    _domain_specs: Mapping[str, DomainSpec] = {Platform.SENSOR: DomainSpec()}
    keys = frozenset({"printer_status"})

    @override
    def is_valid_state(self, entity_state: State) -> bool:
        """Tell whether this printer has a print."""
        return entity_state.state in _PRINTING


class IsApprovalPending(KittyCondition):
    """Holds while a device, or for the brain any device, waits for people."""

    _domain_specs: Mapping[str, DomainSpec] = {
        Platform.BINARY_SENSOR: DomainSpec(),
        Platform.SENSOR: DomainSpec(),
    }
    keys = frozenset({"pending_approval", "pending_approvals"})

    @override
    def is_valid_state(self, entity_state: State) -> bool:
        """Tell whether something waits: a yes, or a count that is not nought."""
        count = entity_state.state
        return count == STATE_ON or (count.isdecimal() and int(count) > 0)


class IsBrainHealthy(KittyCondition):
    """Holds while the brain is connected and all of its parts do their work."""

    _domain_specs: Mapping[str, DomainSpec] = {Platform.BINARY_SENSOR: DomainSpec()}
    # The sensor is one for diagnosis, which a device would otherwise not bring along.
    _primary_entities_only: ClassVar[bool] = False
    keys = frozenset({"health"})

    @override
    def is_valid_state(self, entity_state: State) -> bool:
        """Tell whether nothing is wrong; without the brain the sensor is unavailable."""
        return entity_state.state == STATE_OFF


CONDITIONS: Final[dict[str, type[Condition]]] = {
    "is_approval_pending": IsApprovalPending,
    "is_brain_healthy": IsBrainHealthy,
    "is_printing": IsPrinting,
}


async def async_get_conditions(_hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions of KITTY."""
    return CONDITIONS
