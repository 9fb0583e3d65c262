"""Adding a device: the brain says which drivers it has and what each wants to know."""

from typing import Any

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
)
import probatio as vol

from .const import CONF_DRIVER
from .device_form import DeviceForm, async_drivers, unique_id
from .errors import BrainError
from .protocol import Json


class DeviceSubentryFlow(ConfigSubentryFlow):
    """Add a device or change it. Every word about a driver comes from the driver."""

    _form: DeviceForm

    def __init__(self) -> None:
        """Start with no driver chosen."""
        self._drivers: dict[str, Json] = {}
        self._driver = ""

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Choose a driver of the brain."""
        if user_input is not None:
            self._choose(user_input[CONF_DRIVER])
            return await self.async_step_options()
        if reason := await self._async_load_drivers():
            return self.async_abort(reason=reason)
        titles = [
            SelectOptionDict(value=name, label=driver["title"])
            for name, driver in self._drivers.items()
        ]
        field = SelectSelector(SelectSelectorConfig(options=titles, sort=True))
        return self.async_show_form(
            step_id="user",
            data_schema=vol.Schema({vol.Required(CONF_DRIVER): field}),
            last_step=False,
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Start with what is known of a device."""
        if reason := await self._async_load_drivers():
            return self.async_abort(reason=reason)
        subentry = self._get_reconfigure_subentry()
        old = {CONF_NAME: subentry.title, **subentry.data}
        if old[CONF_DRIVER] not in self._drivers:
            return self.async_abort(
                reason="driver_gone", description_placeholders={"driver": old[CONF_DRIVER]}
            )
        self._choose(old[CONF_DRIVER], old)
        return await self.async_step_options()

    async def async_step_options(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask what the driver wants to know, try it, and have the brain keep the device."""
        errors: dict[str, str] = {}
        if user_input is not None:
            options = self._form.filled(user_input)
            info = await self._form.async_probe(options, errors)
            if info is not None:
                self._refuse_another_device(info, errors)
            if info is not None and not errors:
                return await self._async_keep(user_input, options, info)
        return self._show(user_input or self._form.shown(), errors)

    def _show(self, shown: dict[str, Any], errors: dict[str, str]) -> SubentryFlowResult:
        return self.async_show_form(
            step_id="options",
            data_schema=self.add_suggested_values_to_schema(self._form.schema(), shown),
            errors=errors,
            description_placeholders=self._form.placeholders(),
        )

    def _choose(self, driver: str, old: Json | None = None) -> None:
        self._driver = driver
        self._form = DeviceForm(self._get_entry(), self._drivers[driver], old=old)

    async def _async_load_drivers(self) -> str | None:
        """Ask the brain for its drivers; returns the reason when it cannot be asked."""
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return "entry_not_loaded"
        try:
            self._drivers = await async_drivers(self.hass, entry)
        except HomeAssistantError:
            return "cannot_connect"
        return None

    async def _async_keep(
        self, form: dict[str, Any], options: Json, info: Json
    ) -> SubentryFlowResult:
        """Give the device to the brain, then to Home Assistant."""
        try:
            title, data = await self._form.async_put(form, options, info)
        except HomeAssistantError as err:
            if isinstance(err, BrainError) and err.code == "already_configured":
                return self.async_abort(reason="already_configured")
            errors: dict[str, str] = {}
            self._form.say(err, errors)
            return self._show(form, errors)
        if self.source == SOURCE_RECONFIGURE:
            subentry = self._get_reconfigure_subentry()
            return self.async_update_and_abort(self._get_entry(), subentry, title=title, data=data)
        return self.async_create_entry(
            title=title, data=data, unique_id=unique_id(self._driver, info)
        )

    def _refuse_another_device(self, info: Json, errors: dict[str, str]) -> None:
        """Refuse a device that was added before, or another one in the place of this one."""
        found = unique_id(self._driver, info)
        if self.source == SOURCE_RECONFIGURE:
            if found != self._get_reconfigure_subentry().unique_id:
                errors["base"] = "other_device"
        elif any(item.unique_id == found for item in self._get_entry().subentries.values()):
            errors["base"] = "device_already_added"
