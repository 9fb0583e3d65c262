"""Cards for printers that announce themselves: confirmed by a person, tried by the brain, added as a device.

An announcement proves nothing. No secret that is known goes to an announced address unless the device
there proves itself first.
"""

from types import MappingProxyType
from typing import Any, Final, override

from homeassistant.config_entries import (
    SOURCE_INTEGRATION_DISCOVERY,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    ConfigSubentry,
)
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import discovery_flow
from homeassistant.helpers.selector import SelectOptionDict, SelectSelector, SelectSelectorConfig
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import probatio as vol
from yarl import URL

from .announced import Found, async_hear
from .const import (
    CONF_DRIVER,
    CONF_FOUND_AS,
    CONF_INFO,
    CONF_OPTIONS,
    CONF_ZONE_ID,
    DOMAIN,
    LOGGER,
    SUBENTRY_DEVICE,
)
from .device_form import DeviceForm, async_drivers, unique_id
from .entries import has_brain
from .errors import BrainError
from .protocol import Json

CONF_ENTRY: Final = "entry_id"
# Integrations of Home Assistant that may have the same printer, by the driver that would have it here.
_OTHERS: Final = {
    "octoprint": "octoprint",
    "moonraker": "moonraker",
    "prusalink": "prusalink",
    "bambu": "bambu_lab",
}
# Here the same codes of the forms of the brain itself have other words.
_OF_THE_DEVICE: Final = {
    "cannot_connect": "device_unreachable",
    "invalid_auth": "device_auth",
}


async def async_discover(hass: HomeAssistant) -> None:
    """Make a card for each Bambu printer that is heard, until cancelled."""

    def tell(found: Found) -> None:
        discovery_flow.async_create_flow(
            hass, DOMAIN, {"source": SOURCE_INTEGRATION_DISCOVERY}, found
        )

    await async_hear(hass, tell)


class PrinterDiscoveryFlow(ConfigFlow):
    """The steps of a card."""

    _printer: Found
    _form: DeviceForm
    _entry: ConfigEntry[Any]

    @override
    async def async_step_zeroconf(self, discovery_info: ZeroconfServiceInfo) -> ConfigFlowResult:
        """Take what was announced by mDNS."""
        found = Found.from_zeroconf(discovery_info)
        if found is None:
            return self.async_abort(reason="not_a_printer")
        return await self._offer(found)

    @override
    async def async_step_dhcp(self, discovery_info: DhcpServiceInfo) -> ConfigFlowResult:
        """Take that a printer of Prusa was given an address."""
        return await self._offer(Found.from_dhcp(discovery_info))

    @override
    async def async_step_integration_discovery(self, discovery_info: Any) -> ConfigFlowResult:
        """Take what was broadcast."""
        return await self._offer(discovery_info)

    async def _offer(self, found: Found) -> ConfigFlowResult:
        """Show a card, unless there is no brain or the printer was added or ignored before."""
        self._printer = found
        await self.async_set_unique_id(found.unique_id)
        self._abort_if_unique_id_configured()
        brains = self._brains()
        if not brains:
            return self.async_abort(reason="printer_without_brain")
        for entry in brains:
            for subentry in list(entry.subentries.values()):
                if found.is_known_by(subentry):
                    await _Move(self.hass, entry, subentry, found).follow()
                    return self.async_abort(reason="already_configured")
                if found.is_at(subentry):
                    return self.async_abort(reason="already_configured")
        self.context["title_placeholders"] = {"name": found.name}
        if "url" in found.options:
            self.context["configuration_url"] = found.options["url"]
        return await self.async_step_printer()

    async def async_step_printer(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether the printer is to be added, and to which brain where there are more."""
        if user_input is not None:
            return await self._choose(user_input.get(CONF_ENTRY))
        other = self._other_integration()
        brains = [
            SelectOptionDict(value=entry.entry_id, label=entry.title) for entry in self._brains()
        ]
        field = SelectSelector(SelectSelectorConfig(options=brains))
        schema = {vol.Required(CONF_ENTRY): field} if len(brains) > 1 else {}
        return self.async_show_form(
            step_id="printer_elsewhere" if other else "printer",
            data_schema=vol.Schema(schema),
            description_placeholders={
                "name": self._printer.name,
                "address": self._printer.address,
                "integration": other or "",
            },
        )

    # The same question, where the card says that the printer can be bound instead.
    async_step_printer_elsewhere = async_step_printer

    async def async_step_printer_options(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what the driver wants to know, try it, and have the brain keep the printer."""
        errors: dict[str, str] = {}
        if user_input is not None:
            options = self._form.filled(user_input)
            info = await self._form.async_probe(options, errors)
            if info is not None and (done := await self._add(user_input, options, info, errors)):
                return done
        shown = user_input or self._form.shown()
        return self.async_show_form(
            step_id="printer_options",
            data_schema=self.add_suggested_values_to_schema(self._form.schema(), shown),
            errors={name: _OF_THE_DEVICE.get(code, code) for name, code in errors.items()},
            description_placeholders=self._form.placeholders(),
        )

    async def _choose(self, entry_id: str | None) -> ConfigFlowResult:
        """Go on to the form of the driver, as the brain draws it."""
        brains = self._brains()
        chosen = [entry for entry in brains if entry_id in (None, entry.entry_id)]
        if not chosen or chosen[0].state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="entry_not_loaded")
        self._entry = chosen[0]
        try:
            drivers = await async_drivers(self.hass, self._entry)
        except HomeAssistantError:
            return self.async_abort(reason="brain_away")
        if self._printer.driver not in drivers:
            return self.async_abort(
                reason="driver_gone", description_placeholders={"driver": self._printer.driver}
            )
        driver = drivers[self._printer.driver]
        self._form = DeviceForm(self._entry, driver, found=self._printer.options)
        return await self.async_step_printer_options()

    async def _add(
        self, form: dict[str, Any], options: Json, info: Json, errors: dict[str, str]
    ) -> ConfigFlowResult | None:
        """Give the printer to the brain and to the entry; None where the brain refused."""
        known = unique_id(self._printer.driver, info)
        if any(one.unique_id == known for one in self._entry.subentries.values()):
            return self.async_abort(reason="already_configured")
        try:
            title, data = await self._form.async_put(form, options, info)
        except HomeAssistantError as err:
            if isinstance(err, BrainError) and err.code == "already_configured":
                return self.async_abort(reason="already_configured")
            self._form.say(err, errors)
            return None
        subentry = ConfigSubentry(
            data=MappingProxyType(data | {CONF_FOUND_AS: self._printer.unique_id}),
            subentry_type=SUBENTRY_DEVICE,
            title=title,
            unique_id=known,
        )
        self.hass.config_entries.async_add_subentry(self._entry, subentry)
        return self.async_abort(reason="printer_added", description_placeholders={"name": title})

    def _brains(self) -> list[ConfigEntry[Any]]:
        """Return the entries that a printer can be added to."""
        return [
            entry for entry in self._async_current_entries(include_ignore=False) if has_brain(entry)
        ]

    def _other_integration(self) -> str | None:
        """Return the title under which another integration has this printer, as far as its address tells."""
        serial = self._printer.options.get("serial")
        for entry in self.hass.config_entries.async_entries(
            _OTHERS[self._printer.driver], include_ignore=False
        ):
            host = str(entry.data.get("host") or "")
            host = URL(host).host or "" if "://" in host else host
            if host.lower() in self._printer.hosts:
                return entry.title
            if serial is not None and serial in (entry.unique_id, entry.data.get("serial")):
                return entry.title
        return None


class _Move:
    """A printer that is known announces itself from another address."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], subentry: ConfigSubentry, found: Found
    ) -> None:
        """Take which device it is, and where it says that it is now."""
        self._hass = hass
        self._entry = entry
        self._subentry = subentry
        self._printer = found

    async def follow(self) -> None:
        """Follow the printer if the driver finds the very same there, and no secret is told on the way."""
        options = self._subentry.data[CONF_OPTIONS]
        if (moved := self._printer.moved(options)) == options:
            return
        if not self._proves_itself(options) or self._entry.state is not ConfigEntryState.LOADED:
            LOGGER.info("%s says that it is now at %s", self._subentry.title, self._printer.address)
            return
        driver = self._subentry.data[CONF_DRIVER]
        command = self._entry.runtime_data.client.command
        try:
            info: Json = await command("devices.probe", {"driver": driver, "options": moved})
            if unique_id(driver, info) != self._subentry.unique_id:
                LOGGER.warning("Another printer than %s answers there", self._subentry.title)
                return
            await command(
                "devices.put",
                {
                    "device_id": self._subentry.data["device_id"],
                    "driver": driver,
                    "name": self._subentry.title,
                    "zone_id": self._subentry.data[CONF_ZONE_ID],
                    "options": moved,
                    "info": info,
                },
            )
        except HomeAssistantError as err:
            LOGGER.info("%s is not followed: %s", self._subentry.title, err)
            return
        data = {**self._subentry.data, CONF_OPTIONS: moved, CONF_INFO: info}
        self._hass.config_entries.async_update_subentry(self._entry, self._subentry, data=data)

    def _proves_itself(self, options: Json) -> bool:
        """Tell whether a stranger at the new address would learn nothing from being asked.

        A Bambu printer shows its certificate before it is told the code; PrusaLink's password is never
        sent as it is. A key of a web server would be.
        """
        if self._printer.driver == "bambu":
            return bool(options.get("fingerprint") or options.get("authority"))
        return self._printer.driver == "prusalink" and not options.get("api_key")
