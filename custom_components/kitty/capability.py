"""A switch for each part of the brain that can be switched off; what makes things safe has none."""

from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.exceptions import Unauthorized
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import KittyConfigEntry
from .const import CAPABILITIES
from .coordinator import KittyCoordinator
from .entity import KittyBrainEntity
from .origin import Caller, caller_from
from .protocol import Channel, Json


@callback
def async_add_capabilities(
    entry: KittyConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add a switch for each part that is set up, now and when one is set up."""
    coordinator = entry.runtime_data.coordinator
    added: set[str] = set()

    @callback
    def add_new() -> None:
        rows = coordinator.data.capabilities
        new = [row for name, row in rows.items() if row["set_up"] and name not in added]
        added.update(row["name"] for row in new)
        if new:
            async_add_entities(CapabilitySwitch(coordinator, row) for row in new)

    add_new()
    entry.async_on_unload(coordinator.async_add_listener(add_new))


def slug(name: str) -> str:
    """Return a capability's name as keys of translations are written."""
    return name.replace(".", "_")


def described(row: Json) -> SwitchEntityDescription:
    """Return what Home Assistant shows of a capability."""
    key = f"capability_{slug(row['name'])}"
    if row["name"] in CAPABILITIES:
        return SwitchEntityDescription(
            key=key, translation_key=key, entity_category=EntityCategory.CONFIG
        )
    return SwitchEntityDescription(
        key=key, name=row["title"], entity_category=EntityCategory.CONFIG
    )


class CapabilitySwitch(KittyBrainEntity, SwitchEntity):
    """One part of the brain. On says what a person wants; ``because`` tells whose switch keeps it from working."""

    def __init__(self, coordinator: KittyCoordinator, row: Json) -> None:
        """Tie the switch to its row."""
        super().__init__(coordinator, described(row))
        self._name: str = row["name"]

    @property
    def _row(self) -> Json:
        """Return the row as the brain last told it; empty when it has none."""
        return self.coordinator.data.capabilities.get(self._name, {})

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain is connected and has this part."""
        return super().available and bool(self._row.get("set_up"))

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the position of the switch."""
        on: bool | None = self._row.get("enabled")
        return on

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return what it lacks, where it needs anything."""
        if not self._row.get("needs"):
            return None
        because = self._row["because"]
        return {"because": because and slug(because)}

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Switch the part on."""
        await self._async_set(enabled=True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Switch the part off; it stops at once."""
        await self._async_set(enabled=False)

    async def _async_set(self, *, enabled: bool) -> None:
        caller = await _trusted(self.hass, self._context or Context())
        await self.coordinator.client.command(
            "capabilities.set", {"name": self._name, "enabled": enabled}, caller=caller
        )


async def _trusted(hass: HomeAssistant, context: Context) -> Caller:
    """Return who switches: an administrator, or an automation that nobody started; else Unauthorized."""
    caller = await caller_from(hass, context)
    user = await hass.auth.async_get_user(context.user_id) if context.user_id else None
    by_itself = context.user_id is None and caller.channel is not Channel.VOICE
    if not by_itself and (user is None or not user.is_admin):
        raise Unauthorized(context=context)
    return caller
