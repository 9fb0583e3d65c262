"""Adding the brain: by hand or by discovery, and again when its address or token changes."""

from collections.abc import Mapping
import re
from typing import Any, Final, override

from homeassistant.config_entries import (
    SOURCE_IGNORE,
    ConfigEntry,
    ConfigFlowResult,
    ConfigSubentryFlow,
)
from homeassistant.const import CONF_HOST, CONF_PORT, CONF_TOKEN, CONF_URL
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.selector import TextSelector, TextSelectorConfig, TextSelectorType
from homeassistant.helpers.service_info.hassio import HassioServiceInfo
import probatio as vol
from yarl import URL

from .client import Hello, validate
from .const import (
    CONF_BRAIN_PUBLIC_KEY,
    CONF_INSTANCE_ID,
    CONF_SLUG,
    DOMAIN,
    LOGGER,
    SUBENTRY_DEVICE,
    SUBENTRY_PROVIDER,
)
from .discovery import PrinterDiscoveryFlow
from .entries import HOME_ONLY, has_brain
from .errors import BrainUnavailable, InvalidAuth, SchemaMismatch, WrongScope
from .issues import create_rogue_discovery
from .options_flow import KittyOptionsFlow
from .provider_flow import ProviderSubentryFlow
from .subentry_flow import DeviceSubentryFlow

# Home Assistant wants no addresses in texts, which are translated.
EXAMPLE_URL: Final = "http://192.168.1.20:8100"
INSTALL_URL: Final = "https://github.com/kitty-home/kitty/blob/main/docs/INSTALL.md"
# What people copy without its beginning: the port says that it is an address at all.
_HOST_AND_PORT: Final = re.compile(r"[^\s/:@?#]+:\d+/?")

_TOKEN_FIELD: Final = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="off")
)
_URL_FIELD: Final = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))

_TOKEN_SCHEMA: Final = vol.Schema({vol.Required(CONF_TOKEN): _TOKEN_FIELD})
_USER_SCHEMA: Final = vol.Schema(
    {vol.Required(CONF_URL): _URL_FIELD, vol.Required(CONF_TOKEN): _TOKEN_FIELD}
)
_RECONFIGURE_SCHEMA: Final = vol.Schema(
    {vol.Required(CONF_URL): _URL_FIELD, vol.Optional(CONF_TOKEN): _TOKEN_FIELD}
)
# Whoever adds an app has typed neither its address nor its token.
_OF_THE_APP: Final = {
    "cannot_connect": "app_unreachable",
    "invalid_auth": "app_auth",
    "wrong_scope": "app_auth",
}
_PUBLIC_KEY: Final = "public_key"
# What the app publishes through the Supervisor, which tells us from which app it comes.
_DISCOVERY_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_HOST): vol.All(cv.string, vol.Length(min=1)),
        vol.Required(CONF_PORT): cv.port,
        vol.Required(CONF_TOKEN): vol.All(cv.string, vol.Length(min=1)),
        vol.Required(CONF_INSTANCE_ID): vol.All(cv.string, vol.Length(min=1)),
        vol.Required(_PUBLIC_KEY): vol.All(cv.string, vol.Length(min=1)),
    },
    extra=vol.REMOVE_EXTRA,
)


def clean_url(text: str) -> str | None:
    """Return an address without its last slash; None when it is none, or carries more."""
    text = text.strip()
    if _HOST_AND_PORT.fullmatch(text):
        text = f"http://{text}"
    try:
        url = URL(text)
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.host:
        return None
    # A password in an address ends in logs; the token has its own field.
    if url.user or url.password or url.query_string or url.fragment:
        return None
    return str(url).rstrip("/")


class KittyConfigFlow(PrinterDiscoveryFlow, domain=DOMAIN):
    """Set up one brain; its own instance id makes it unique, however it was found."""

    VERSION = 1
    MINOR_VERSION = 1

    def __init__(self) -> None:
        """Start with nothing discovered."""
        self._found: dict[str, Any] = {}
        self._announced_key: str | None = None
        self._placeholders: dict[str, str] = {"example": EXAMPLE_URL}

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry[Any]) -> KittyOptionsFlow:
        """Return the flow for areas, policies, people and presence."""
        return KittyOptionsFlow()

    @classmethod
    @callback
    @override
    def async_supports_options_flow(cls, config_entry: ConfigEntry[Any]) -> bool:
        """Tell that only a brain has areas and people to set up."""
        return has_brain(config_entry)

    @classmethod
    @callback
    @override
    def async_get_supported_subentry_types(
        cls, config_entry: ConfigEntry[Any]
    ) -> dict[str, type[ConfigSubentryFlow]]:
        """Return what can be added to a brain."""
        if not has_brain(config_entry):
            return {}
        return {SUBENTRY_DEVICE: DeviceSubentryFlow, SUBENTRY_PROVIDER: ProviderSubentryFlow}

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether there is a brain; without one there are home commands only."""
        return self.async_show_menu(
            step_id="user",
            menu_options=["brain", "home"],
            description_placeholders={"docs": INSTALL_URL},
        )

    async def async_step_home(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Set up the home commands alone, which every entry with a brain has, too."""
        if self._async_current_entries(include_ignore=False):
            return self.async_abort(reason="home_commands_exist")
        await self.async_set_unique_id(HOME_ONLY)
        return self.async_create_entry(title="KITTY", data={}, description="home")

    async def async_step_brain(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address and the token."""
        errors: dict[str, str] = {}
        if user_input is not None:
            hello = await self._ask_brain(user_input, errors)
            if hello is not None:
                await self.async_set_unique_id(hello.instance_id, raise_on_progress=False)
                self._abort_if_unique_id_configured()
                return self._create(user_input, hello, slug=None)
        return self.async_show_form(
            step_id="brain",
            data_schema=self.add_suggested_values_to_schema(_USER_SCHEMA, user_input),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    @override
    async def async_step_hassio(self, discovery_info: HassioServiceInfo) -> ConfigFlowResult:
        """Take what the app published; for a known brain, only from the app that provides it."""
        try:
            config = _DISCOVERY_SCHEMA(discovery_info.config)
        except vol.Invalid:
            return self.async_abort(reason="invalid_discovery_info")
        url = URL.build(scheme="http", host=config[CONF_HOST], port=config[CONF_PORT])
        self._found = {
            CONF_URL: str(url),
            CONF_TOKEN: config[CONF_TOKEN],
            CONF_SLUG: discovery_info.slug,
        }
        self._announced_key = config[_PUBLIC_KEY]
        self._placeholders = {"addon": discovery_info.name, "slug": discovery_info.slug}
        entry = await self.async_set_unique_id(config[CONF_INSTANCE_ID])
        if entry is not None:
            return await self._async_found_again(entry, discovery_info)
        self.context.update(
            {
                "title_placeholders": {"name": discovery_info.name},
                "configuration_url": f"homeassistant://hassio/addon/{discovery_info.slug}/info",
            }
        )
        return await self.async_step_hassio_confirm()

    async def async_step_hassio_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether the discovered app is to be used."""
        errors: dict[str, str] = {}
        if user_input is not None:
            hello = await self._ask_brain(self._found, errors)
            if hello is not None and (hello.instance_id, hello.public_key) != (
                self.unique_id,
                self._announced_key,
            ):
                return self.async_abort(reason="wrong_brain")
            if hello is not None:
                self._abort_if_unique_id_configured()
                return self._create(self._found, hello, slug=self._found[CONF_SLUG])
        return self.async_show_form(
            step_id="hassio_confirm",
            data_schema=vol.Schema({}),
            errors={name: _OF_THE_APP.get(code, code) for name, code in errors.items()},
            description_placeholders=self._placeholders,
        )

    async def _async_found_again(
        self, entry: ConfigEntry[Any], info: HassioServiceInfo
    ) -> ConfigFlowResult:
        """Follow the brain to a new address, but only its own app, and only with its own key."""
        slug = entry.data.get(CONF_SLUG)
        if entry.source == SOURCE_IGNORE or slug is None:
            return self.async_abort(reason="already_configured")
        updates = {name: self._found[name] for name in (CONF_URL, CONF_TOKEN)}
        ours = slug == info.slug and self._announced_key == entry.data[CONF_BRAIN_PUBLIC_KEY]
        if ours and updates.items() <= entry.data.items():
            return self.async_abort(reason="already_configured")
        if ours:
            errors: dict[str, str] = {}
            # With the app's token: ours is not shown to an address that nobody vouches for.
            hello = await self._ask_brain(self._found, errors)
            if hello is None:
                return self.async_abort(
                    reason=next(iter(errors.values())), description_placeholders=self._placeholders
                )
            if _is_brain_of(entry, hello):
                return self._finish(entry, updates, reason="already_configured")
        create_rogue_discovery(self.hass, entry, app=info.name, slug=info.slug)
        return self.async_abort(
            reason="rogue_discovery", description_placeholders=self._placeholders
        )

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Start when the brain no longer takes the token."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for a new token."""
        entry = self._get_reauth_entry()
        errors: dict[str, str] = {}
        if user_input is not None:
            data = {CONF_URL: entry.data[CONF_URL], **user_input}
            if await self._ask_same_brain(entry, data, errors):
                return self._finish(entry, data, reason="reauth_successful")
            if errors.get("base") == "wrong_brain":
                # There is no field for its address here.
                errors["base"] = "another_brain"
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=_TOKEN_SCHEMA,
            errors=errors,
            description_placeholders={"url": entry.data[CONF_URL], **self._placeholders},
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the new address of the same brain, and for a new token if there is one."""
        entry = self._get_reconfigure_entry()
        if not has_brain(entry):
            return self.async_abort(reason="no_brain")
        errors: dict[str, str] = {}
        if user_input is not None:
            data = {CONF_TOKEN: entry.data[CONF_TOKEN], **user_input}
            if await self._ask_same_brain(entry, data, errors):
                return self._finish(entry, data, reason="reconfigure_successful")
            if errors.get("base") == "invalid_auth" and CONF_TOKEN not in user_input:
                # Nobody typed a token, so most likely it is not the brain that is meant.
                errors["base"] = "kept_token"
        return self.async_show_form(
            step_id="reconfigure",
            data_schema=self.add_suggested_values_to_schema(
                _RECONFIGURE_SCHEMA, user_input or {CONF_URL: entry.data[CONF_URL]}
            ),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    async def _ask_same_brain(
        self, entry: ConfigEntry[Any], data: dict[str, Any], errors: dict[str, str]
    ) -> bool:
        """Tell whether the brain of an entry answers at an address; else say why not."""
        hello = await self._ask_brain(data, errors)
        if hello is not None and not _is_brain_of(entry, hello):
            errors["base"] = "wrong_brain"
        return not errors

    async def _ask_brain(self, data: dict[str, Any], errors: dict[str, str]) -> Hello | None:
        """Return who answers at an address, which is made clean; else fill ``errors``."""
        url = clean_url(data[CONF_URL])
        if url is None:
            errors[CONF_URL] = "invalid_url"
            return None
        data[CONF_URL] = url
        data[CONF_TOKEN] = data[CONF_TOKEN].strip()
        self._placeholders["error"] = ""
        try:
            return await validate(async_get_clientsession(self.hass), url, data[CONF_TOKEN])
        except BrainUnavailable as err:
            late = isinstance(err.__cause__, TimeoutError)
            errors["base"] = "timeout_connect" if late else "cannot_connect"
        except WrongScope:
            errors["base"] = "wrong_scope"
        except InvalidAuth:
            errors["base"] = "invalid_auth"
        except SchemaMismatch as err:
            errors["base"] = "schema_mismatch"
            self._placeholders |= err.translation_placeholders or {}
        except HomeAssistantError as err:
            LOGGER.exception("The brain at %s refused to be set up", url)
            errors["base"] = "unknown"
            self._placeholders["error"] = str(err)
        return None

    def _create(self, data: dict[str, Any], hello: Hello, *, slug: str | None) -> ConfigFlowResult:
        """Pin the identity of the brain and keep its address."""
        return self.async_create_entry(
            title="KITTY",
            data={
                CONF_URL: data[CONF_URL],
                CONF_TOKEN: data[CONF_TOKEN],
                CONF_INSTANCE_ID: hello.instance_id,
                CONF_BRAIN_PUBLIC_KEY: hello.public_key,
                CONF_SLUG: slug,
            },
            description="brain",
        )

    def _finish(
        self, entry: ConfigEntry[Any], updates: dict[str, Any], *, reason: str
    ) -> ConfigFlowResult:
        """Store what changed and have the entry loaded with it, by its own listener if any."""
        if not entry.update_listeners:
            return self.async_update_reload_and_abort(entry, data_updates=updates, reason=reason)
        if updates.items() <= entry.data.items():
            self.hass.config_entries.async_schedule_reload(entry.entry_id)
        return self.async_update_and_abort(entry, data_updates=updates, reason=reason)


def _is_brain_of(entry: ConfigEntry[Any], hello: Hello) -> bool:
    """Tell whether it is the very brain that the entry was set up with."""
    return (hello.instance_id, hello.public_key) == (
        entry.data[CONF_INSTANCE_ID],
        entry.data[CONF_BRAIN_PUBLIC_KEY],
    )
