"""Adding a device: the brain says which drivers it has and what each wants to know."""

from typing import Any, Final

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_DEVICE_ID, CONF_NAME
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    AreaSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import probatio as vol

from .const import CONF_DRIVER, CONF_INFO, CONF_OPTIONS, CONF_ZONE_ID
from .errors import BrainError, BrainUnavailable
from .forms import OptionForm
from .protocol import Json

# Errors of the brain that have their own text in this form.
_FORM_ERRORS: Final = frozenset({"cannot_connect", "invalid_auth", "invalid_option"})


class DeviceSubentryFlow(ConfigSubentryFlow):
    """Add a device or change it. Every word about a driver comes from the driver."""

    def __init__(self) -> None:
        """Start with no driver chosen."""
        self._drivers: dict[str, Json] = {}
        self._driver: Json = {}
        self._old: Json = {}
        self._error = ""

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Choose a driver of the brain."""
        if user_input is not None:
            self._driver = self._drivers[user_input[CONF_DRIVER]]
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
        self._old = {CONF_NAME: subentry.title, **subentry.data}
        if self._old[CONF_DRIVER] not in self._drivers:
            return self.async_abort(
                reason="driver_gone", description_placeholders={"driver": self._old[CONF_DRIVER]}
            )
        self._driver = self._drivers[self._old[CONF_DRIVER]]
        return await self.async_step_options()

    async def async_step_options(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask what the driver wants to know, try it, and have the brain keep the device."""
        errors: dict[str, str] = {}
        if user_input is not None:
            options = self._form.filled(user_input)
            info = await self._async_probe(options, errors)
            if info is not None:
                self._refuse_another_device(info, errors)
            if info is not None and not errors:
                return await self._async_keep(user_input, options, info)
        shown = user_input or self._shown()
        return self.async_show_form(
            step_id="options",
            data_schema=self.add_suggested_values_to_schema(self._schema(), shown),
            errors=errors,
            description_placeholders=self._placeholders(),
        )

    async def _async_load_drivers(self) -> str | None:
        """Ask the brain for its drivers; returns the reason when it cannot be asked."""
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return "entry_not_loaded"
        try:
            answer = await entry.runtime_data.client.command("drivers.list")
        except HomeAssistantError:
            return "cannot_connect"
        self._drivers = {driver["name"]: driver for driver in answer["items"]}
        return None

    async def _async_probe(self, options: Json, errors: dict[str, str]) -> Json | None:
        """Have the brain reach the device once; else say at which field something is wrong."""
        client = self._get_entry().runtime_data.client
        params = {"driver": self._driver["name"], "options": options}
        try:
            info: Json = await client.command("devices.probe", params)
        except HomeAssistantError as err:
            self._say(err, errors)
            return None
        return info

    async def _async_keep(
        self, form: dict[str, Any], options: Json, info: Json
    ) -> SubentryFlowResult:
        """Give the device to the brain, then to Home Assistant."""
        entry = self._get_entry()
        name = form.get(CONF_NAME) or info["name"]
        params = {
            CONF_DRIVER: self._driver["name"],
            CONF_NAME: name,
            CONF_ZONE_ID: form[CONF_ZONE_ID],
            CONF_OPTIONS: options,
            CONF_INFO: info,
        }
        if self._old:
            params[CONF_DEVICE_ID] = self._old[CONF_DEVICE_ID]
        try:
            device: Json = await entry.runtime_data.client.command("devices.put", params)
        except HomeAssistantError as err:
            if isinstance(err, BrainError) and err.code == "already_configured":
                return self.async_abort(reason="already_configured")
            errors: dict[str, str] = {}
            self._say(err, errors)
            return self.async_show_form(
                step_id="options",
                data_schema=self.add_suggested_values_to_schema(self._schema(), form),
                errors=errors,
                description_placeholders=self._placeholders(),
            )
        data = {CONF_DEVICE_ID: device["id"], **params}
        del data[CONF_NAME]
        if self.source == SOURCE_RECONFIGURE:
            subentry = self._get_reconfigure_subentry()
            return self.async_update_and_abort(entry, subentry, title=name, data=data)
        return self.async_create_entry(title=name, data=data, unique_id=self._unique_id(info))

    def _refuse_another_device(self, info: Json, errors: dict[str, str]) -> None:
        """Refuse a device that was added before, or another one in the place of this one."""
        unique_id = self._unique_id(info)
        if self._old:
            if unique_id != self._get_reconfigure_subentry().unique_id:
                errors["base"] = "other_device"
        elif any(item.unique_id == unique_id for item in self._get_entry().subentries.values()):
            errors["base"] = "device_already_added"

    def _say(self, err: HomeAssistantError, errors: dict[str, str]) -> None:
        """Put an error of the brain at the field it is about, in words that tell the cure."""
        # The brain's own sentence names the option and the value, which no translation can.
        self._error = str(err.args[0]) if isinstance(err, BrainError) else str(err)
        if isinstance(err, BrainUnavailable):
            errors["base"] = "brain_unavailable"
        elif not isinstance(err, BrainError) or err.code not in _FORM_ERRORS:
            errors["base"] = "refused"
        else:
            errors[self._field_of(err)] = err.code

    def _field_of(self, err: BrainError) -> str:
        """Return the field to which an error belongs: the named one, the address or the secret."""
        kind = {"cannot_connect": "url", "invalid_auth": "secret"}.get(err.code)
        return self._form.field_of(name=err.details.get("field"), kind=kind) or "base"

    def _unique_id(self, info: Json) -> str:
        """Return what makes a device one and the same."""
        return f"{self._driver['name']}:{info['external_id']}"

    @property
    def _form(self) -> OptionForm:
        """Return the part of the form that the driver describes."""
        return OptionForm(
            entry=self._get_entry(),
            options=self._driver["options"],
            old=self._old.get(CONF_OPTIONS),
        )

    def _schema(self) -> vol.Schema:
        """Return the form: name and area, then what the driver wants to know."""
        fields: dict[vol.Marker, Any] = {
            vol.Optional(CONF_NAME): TextSelector(),
            # Hazards are a matter of the area, so a device without one could do nothing.
            vol.Required(CONF_ZONE_ID): AreaSelector(),
        }
        return vol.Schema(fields | self._form.fields())

    def _shown(self) -> dict[str, Any]:
        """Return what the form shows first: what is known, else defaults; never a secret."""
        known = {key: self._old[key] for key in (CONF_NAME, CONF_ZONE_ID) if self._old}
        return known | self._form.shown()

    def _placeholders(self) -> dict[str, str]:
        """Return the driver's own words for the form."""
        return {"driver": self._driver["title"], "error": self._error, **self._form.words()}
