"""Adding a language model or a server of tools: the brain says which kinds it has, and keeps the secrets."""

from typing import Any, Final, override

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import probatio as vol

from .const import CONF_INFO, CONF_OPTIONS, CONF_PROVIDER, CONF_PROVIDER_ID, DOMAIN
from .errors import BrainError, BrainUnavailable
from .forms import OptionForm, number
from .protocol import Json
from .providers import forget_provider

CONF_ENABLED: Final = "enabled"
CONF_PRICE_IN: Final = "price_in"
CONF_PRICE_OUT: Final = "price_out"
CONF_TIER: Final = "tier"
CONF_USES: Final = "uses"

TIERS: Final = ("local", "mcp", "frontier", "agent")
# What Home Assistant keeps of a provider, to show it while the brain is away.
INFO: Final = (CONF_TIER, CONF_USES)

# Errors of the brain that have their own text in this form, and the field they belong to.
_AT: Final = {
    "invalid_option": None,
    "model_missing": "model",
    "model_too_large": "model",
    "name_taken": CONF_NAME,
    "provider_auth": None,
    "provider_unreachable": None,
}
_KINDS: Final = {"provider_auth": "secret", "provider_unreachable": "url"}


class ProviderSubentryFlow(ConfigSubentryFlow):
    """Add a provider or change it. Every word about a kind comes from the brain."""

    def __init__(self) -> None:
        """Start with no kind chosen."""
        self._kinds: dict[str, Json] = {}
        self._kind: Json = {}
        # The provider as the brain has it; of one that is new, once the brain has kept it.
        self._old: Json = {}
        self._name = ""
        self._error = ""
        # What was already said about a provider that does not work: it is kept when submitted again.
        self._told = ""
        # A provider that the brain keeps although nobody has finished this form.
        self._unfinished: str | None = None

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Choose a kind."""
        if user_input is not None:
            self._kind = self._kinds[user_input[CONF_PROVIDER]]
            return await self.async_step_options()
        if reason := await self._async_load():
            return self.async_abort(reason=reason)
        titles = [
            SelectOptionDict(value=name, label=kind["title"]) for name, kind in self._kinds.items()
        ]
        field = SelectSelector(SelectSelectorConfig(options=titles, sort=True))
        return self.async_show_form(
            step_id="user",
            data_schema=vol.Schema({vol.Required(CONF_PROVIDER): field}),
            last_step=False,
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Start with what the brain knows of a provider; one that it lost is made anew."""
        if reason := await self._async_load():
            return self.async_abort(reason=reason)
        subentry = self._get_reconfigure_subentry()
        kind = subentry.data[CONF_PROVIDER]
        if kind not in self._kinds:
            return self.async_abort(
                reason="provider_gone", description_placeholders={"provider": kind}
            )
        self._kind = self._kinds[kind]
        try:
            answer = await self._get_entry().runtime_data.client.command("providers.list")
        except HomeAssistantError:
            return self.async_abort(reason="cannot_connect")
        known = {view["id"]: view for view in answer["items"]}
        self._old = known.get(subentry.data[CONF_PROVIDER_ID], {})
        self._name = subentry.title
        return await self.async_step_options()

    async def async_step_options(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask what the kind wants to know, and have the brain keep and try it."""
        errors: dict[str, str] = {}
        if user_input is not None:
            view = await self._async_put(user_input, errors)
            if view is not None and not self._objects_to(view, errors):
                return self._keep(view)
        shown = user_input or self._shown()
        return self.async_show_form(
            step_id="options",
            data_schema=self.add_suggested_values_to_schema(self._schema(), shown),
            errors=errors,
            description_placeholders={
                "provider": self._kind["title"],
                "error": self._error,
                **self._form.words(),
            },
        )

    @callback
    @override
    def async_remove(self) -> None:
        """Take back what the brain keeps when nobody finished the form."""
        if self._unfinished is not None:
            entry = self._get_entry()
            work = forget_provider(self.hass, entry, self._unfinished)
            entry.async_create_background_task(self.hass, work, f"{DOMAIN} unfinished provider")

    async def _async_load(self) -> str | None:
        """Ask the brain for its kinds; returns the reason when it cannot be asked."""
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return "entry_not_loaded"
        try:
            answer = await entry.runtime_data.client.command("providers.kinds")
        except HomeAssistantError:
            return "cannot_connect"
        self._kinds = {kind["name"]: kind for kind in answer["items"]}
        return None

    async def _async_put(self, form: Json, errors: dict[str, str]) -> Json | None:
        """Have the brain keep and try the provider; else say at which field something is wrong."""
        params = {
            "provider": self._kind["name"],
            "name": form[CONF_NAME],
            "tier": form[CONF_TIER],
            "options": self._form.filled(form),
            "enabled": form[CONF_ENABLED],
        }
        if self._kind["uses"]:
            params[CONF_USES] = form.get(CONF_USES, [])
            params |= {key: form.get(key) for key in (CONF_PRICE_IN, CONF_PRICE_OUT)}
        if self._old:
            params[CONF_PROVIDER_ID] = self._old["id"]
        try:
            view: Json = await self._get_entry().runtime_data.client.command(
                "providers.put", params
            )
        except BrainUnavailable as err:
            self._error = str(err)
            errors["base"] = "brain_unavailable"
        except BrainError as err:
            self._say(err.code, str(err.args[0]), err.details, errors)
        else:
            return view
        return None

    def _objects_to(self, view: Json, errors: dict[str, str]) -> bool:
        """Tell once what is wrong with a provider that the brain keeps but cannot use now."""
        if not self._old and self.source != SOURCE_RECONFIGURE:
            self._unfinished = view["id"]
        self._old = view
        trouble: Json = view["trouble"] or {}
        if not trouble or trouble["code"] == self._told:
            return False
        self._told = trouble["code"]
        self._say(trouble["code"], trouble["message"], trouble.get("details") or {}, errors)
        return True

    def _say(self, code: str, message: str, details: Json, errors: dict[str, str]) -> None:
        """Put an error at the field it is about, in words that tell the cure."""
        # The brain's own sentence names the option and the value, which no translation can.
        self._error = message
        named = details.get("field") or _AT.get(code)
        field = self._form.field_of(name=named, kind=_KINDS.get(code))
        if field is None and named in (CONF_NAME, CONF_TIER, CONF_USES):
            field = named
        errors[field or "base"] = code if code in _AT else "refused"

    def _keep(self, view: Json) -> SubentryFlowResult:
        """Show the provider in Home Assistant, without its options."""
        self._unfinished = None
        data = {
            CONF_PROVIDER_ID: view["id"],
            CONF_PROVIDER: view["provider"],
            CONF_INFO: {key: view[key] for key in INFO},
        }
        title = view["name"]
        if self.source == SOURCE_RECONFIGURE:
            return self.async_update_and_abort(
                self._get_entry(),
                self._get_reconfigure_subentry(),
                unique_id=view["id"],
                title=title,
                data=data,
            )
        return self.async_create_entry(title=title, data=data, unique_id=view["id"])

    @property
    def _form(self) -> OptionForm:
        """Return the part of the form that the kind describes."""
        old = self._old.get(CONF_OPTIONS)
        return OptionForm(entry=self._get_entry(), options=self._kind["options"], old=old)

    def _schema(self) -> vol.Schema:
        """Return the form: name and place, what the kind wants to know, what it is for and costs."""
        tiers = SelectSelectorConfig(options=list(TIERS), translation_key="tier")
        fields: dict[vol.Marker, Any] = {
            vol.Required(CONF_NAME): TextSelector(),
            **self._form.fields(),
            vol.Required(CONF_TIER, default=self._kind["tier"]): SelectSelector(tiers),
        }
        if self._kind["uses"]:
            uses = SelectSelectorConfig(
                options=list(self._kind["uses"]), multiple=True, translation_key="model_use"
            )
            fields |= {
                vol.Required(CONF_USES, default=list(self._kind["uses"])): SelectSelector(uses),
                vol.Optional(CONF_PRICE_IN): number(0, None),
                vol.Optional(CONF_PRICE_OUT): number(0, None),
            }
        fields[vol.Required(CONF_ENABLED, default=True)] = BooleanSelector()
        return vol.Schema(fields)

    def _shown(self) -> Json:
        """Return what the form shows first: what is known, else defaults; never a secret."""
        keys = (CONF_NAME, CONF_TIER, CONF_USES, CONF_PRICE_IN, CONF_PRICE_OUT, CONF_ENABLED)
        known = {key: self._old[key] for key in keys if self._old.get(key) is not None}
        if not self._old:
            known = {CONF_NAME: self._name or self._kind["title"]}
        return known | self._form.shown()
