"""The form of one device: what its driver wants to know and its people may tell, tried and kept by the brain."""

from collections.abc import Mapping
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_DEVICE_ID, CONF_NAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import AreaSelector, TextSelector
import probatio as vol

from .const import CONF_DRIVER, CONF_FOUND_AS, CONF_INFO, CONF_OPTIONS, CONF_ZONE_ID
from .entries import client_of
from .errors import BrainError, BrainUnavailable
from .forms import OptionForm
from .protocol import Json

PROFILE: Final = "profile"

# Errors of the brain that have their own text in this form.
_FORM_ERRORS: Final = frozenset({"cannot_connect", "invalid_auth", "invalid_option"})


async def async_drivers(hass: HomeAssistant, entry: ConfigEntry[Any]) -> dict[str, Json]:
    """Ask the brain for its drivers, by name, and for their forms in the language of the house."""
    answer = await client_of(entry).command("drivers.list", {"language": hass.config.language})
    return {driver["name"]: driver for driver in answer["items"]}


def unique_id(driver: str, info: Json) -> str:
    """Return what makes a device one and the same."""
    return f"{driver}:{info['external_id']}"


class DeviceForm:
    """One device of one driver; ``old`` is what is known of it, ``found`` what its announcement told."""

    def __init__(
        self,
        entry: ConfigEntry[Any],
        driver: Json,
        *,
        old: Mapping[str, Any] | None = None,
        found: Mapping[str, Any] | None = None,
    ) -> None:
        """Draw the fields that the driver describes."""
        self._entry = entry
        self._driver = driver
        self._old: Mapping[str, Any] = old or {}
        self._found: Mapping[str, Any] = found or {}
        self._error = ""
        known = self._old.get(CONF_OPTIONS)
        self._options = OptionForm(entry=entry, options=driver["options"], old=known)
        self._profile = OptionForm(
            entry=entry, options=driver.get("profile") or [], old=known, prefix=PROFILE
        )

    def schema(self) -> vol.Schema:
        """Return the form: name and area, what the driver must know, and folded what it need not."""
        fields: dict[vol.Marker, Any] = {
            vol.Optional(CONF_NAME): TextSelector(),
            # Hazards are a matter of the area, so a device without one could do nothing.
            vol.Required(CONF_ZONE_ID): AreaSelector(),
        }
        fields |= self._options.fields()
        if self._profile.slots:
            folded = vol.Schema(self._profile.fields())
            fields[vol.Required(PROFILE)] = section(folded, {"collapsed": True})
        return vol.Schema(fields)

    def shown(self) -> dict[str, Any]:
        """Return what the form shows first: what is known or was announced, else defaults; never a secret."""
        known = {key: self._old[key] for key in (CONF_NAME, CONF_ZONE_ID) if self._old}
        found = {
            name: self._found[option["name"]]
            for name, option in self._options.slots
            if option["name"] in self._found
        }
        return known | self._options.shown() | found | {PROFILE: self._profile.shown()}

    def filled(self, form: Mapping[str, Any]) -> Json:
        """Return the options of a filled form."""
        return self._options.filled(form) | self._profile.filled(form.get(PROFILE, {}))

    def placeholders(self) -> dict[str, str]:
        """Return the driver's own words for the form."""
        words = self._options.words() | self._profile.words()
        return {"driver": self._driver["title"], "error": self._error, **words}

    async def async_probe(self, options: Json, errors: dict[str, str]) -> Json | None:
        """Have the brain reach the device once; else say at which field something is wrong."""
        params = {"driver": self._driver["name"], "options": options}
        try:
            info: Json = await client_of(self._entry).command("devices.probe", params)
        except HomeAssistantError as err:
            self.say(err, errors)
            return None
        return info

    async def async_put(
        self, form: Mapping[str, Any], options: Json, info: Json
    ) -> tuple[str, Json]:
        """Give the device to the brain; returns the title and the data of its subentry."""
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
        device: Json = await client_of(self._entry).command("devices.put", params)
        data = {CONF_DEVICE_ID: device["id"], **params}
        del data[CONF_NAME]
        if CONF_FOUND_AS in self._old:
            data[CONF_FOUND_AS] = self._old[CONF_FOUND_AS]
        return name, data

    def say(self, err: HomeAssistantError, errors: dict[str, str]) -> None:
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
        return self._options.field_of(name=err.details.get("field"), kind=kind) or "base"
