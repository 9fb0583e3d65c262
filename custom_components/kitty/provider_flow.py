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
from homeassistant.data_entry_flow import section
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
)
import probatio as vol

from .const import CONF_INFO, CONF_OPTIONS, CONF_PROVIDER, CONF_PROVIDER_ID, DOMAIN
from .entries import client_of
from .errors import BrainError, BrainUnavailable
from .forms import OptionForm, number
from .protocol import Json
from .providers import forget_provider

CONF_ENABLED: Final = "enabled"
CONF_MORE: Final = "more"
CONF_PRICE_IN: Final = "price_in"
CONF_PRICE_OUT: Final = "price_out"
CONF_TIER: Final = "tier"
CONF_USES: Final = "uses"

LOCAL: Final = "local"
TIERS: Final = (LOCAL, "mcp", "frontier", "agent")
# Where people may say that a model stands; the others are for what answers in steps, or searches.
PLACES: Final = (LOCAL, "frontier")
# As people read them. What a model can do beside words is chosen by whoever knows that it can;
# the large ones all see pictures.
USES: Final = ("tools", "reasoning", "code", "vision", "embedding", "image")
WORDS: Final = frozenset({"tools", "reasoning", "code"})
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
            answer = await client_of(self._get_entry()).command("providers.list")
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
        if user_input is not None and not self._lacks_prices(user_input, errors):
            view = await self._async_put(user_input | user_input.get(CONF_MORE, {}), errors)
            if view is not None and not self._objects_to(view, errors):
                return self._keep(view)
        shown = user_input or self._shown()
        return self.async_show_form(
            step_id="options",
            data_schema=self.add_suggested_values_to_schema(self._schema(), shown),
            errors=errors,
            description_placeholders={
                "provider": self._spoken,
                "error": self._error,
                **self._form.words(),
            },
        )

    @callback
    @override
    def async_remove(self) -> None:
        """Take back what the brain keeps when nobody finished the form."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if self._unfinished is not None and entry is not None:
            work = forget_provider(self.hass, entry, self._unfinished)
            entry.async_create_background_task(self.hass, work, f"{DOMAIN} unfinished provider")

    async def _async_load(self) -> str | None:
        """Ask the brain for its kinds; returns the reason when it cannot be asked."""
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return "entry_not_loaded"
        try:
            answer = await entry.runtime_data.client.command(
                "providers.kinds", {"language": self.hass.config.language}
            )
        except HomeAssistantError:
            return "cannot_connect"
        self._kinds = {kind["name"]: kind for kind in answer["items"]}
        return None

    def _lacks_prices(self, form: Json, errors: dict[str, str]) -> bool:
        """Tell whether the form leaves open what a model elsewhere costs: it would never be asked."""
        if self._tier(form) == LOCAL or not self._kind["uses"]:
            return False
        missing = [key for key in (CONF_PRICE_IN, CONF_PRICE_OUT) if form.get(key) is None]
        errors |= dict.fromkeys(missing, "price_missing")
        return bool(missing)

    async def _async_put(self, form: Json, errors: dict[str, str]) -> Json | None:
        """Have the brain keep and try the provider; else say at which field something is wrong."""
        params = {
            "provider": self._kind["name"],
            "name": form[CONF_NAME],
            "tier": self._tier(form),
            "options": self._form.filled(form),
            "enabled": form[CONF_ENABLED],
        }
        if self._kind["uses"]:
            params[CONF_USES] = form.get(CONF_USES, [])
            params |= {key: form.get(key) for key in (CONF_PRICE_IN, CONF_PRICE_OUT)}
        if self._old:
            params[CONF_PROVIDER_ID] = self._old["id"]
        try:
            view: Json = await client_of(self._get_entry()).command("providers.put", params)
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
        # What is folded away shows no error; the sentence says which it is.
        if field in {str(one) for one in self._parts()[1]}:
            field = None
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

    def _parts(self) -> tuple[dict[vol.Marker, Any], dict[vol.Marker, Any]]:
        """Return the fields of the kind that everybody fills in, and those that can be left as they are."""
        fields = self._form.fields()
        plain = {
            name
            for name, option in self._form.slots
            if option["type"] == "secret"
            or (
                option["required"] and option.get("default") is None and option["type"] != "boolean"
            )
        }
        first = {marker: one for marker, one in fields.items() if str(marker) in plain}
        more = {marker: one for marker, one in fields.items() if str(marker) not in plain}
        return first, more

    def _schema(self) -> vol.Schema:
        """Return the form: what everybody fills in, what it is for and costs, then the rest, folded away."""
        first, more = self._parts()
        fields: dict[vol.Marker, Any] = {vol.Required(CONF_NAME): TextSelector(), **first}
        if self._may_move:
            places = [one for one in TIERS if one in (*PLACES, self._old.get(CONF_TIER))]
            tiers = SelectSelectorConfig(options=places, translation_key="tier")
            fields[vol.Required(CONF_TIER, default=self._kind["tier"])] = SelectSelector(tiers)
        if self._kind["uses"]:
            fields |= self._use_and_price()
        fields[vol.Required(CONF_ENABLED, default=True)] = BooleanSelector()
        if more:
            fields[vol.Required(CONF_MORE)] = section(vol.Schema(more), {"collapsed": True})
        return vol.Schema(fields)

    def _use_and_price(self) -> dict[vol.Marker, Any]:
        """Return the fields for what a model is asked, and what that costs where it can cost anything."""
        kind: Json = self._kind
        able = sorted(kind["uses"], key=lambda use: USES.index(use) if use in USES else len(USES))
        certain = WORDS if kind["tier"] == LOCAL else {*WORDS, "vision"}
        usual = [use for use in able if use in certain] or able
        uses = SelectSelectorConfig(
            options=able,
            multiple=True,
            mode=SelectSelectorMode.LIST,
            translation_key="model_use",
        )
        fields: dict[vol.Marker, Any] = {
            vol.Required(CONF_USES, default=usual): SelectSelector(uses)
        }
        if self._may_move or self._tier({}) != LOCAL:
            fields |= {
                vol.Optional(key): number(0, None) for key in (CONF_PRICE_IN, CONF_PRICE_OUT)
            }
        return fields

    @property
    def _spoken(self) -> str:
        """Return what people call the kind: nobody says what stands in brackets."""
        title: str = self._kind["title"]
        return title.partition(" (")[0]

    @property
    def _may_move(self) -> bool:
        """Tell whether only people know where it stands: a server of one's own can be anywhere."""
        options: list[Json] = self._kind["options"]
        return self._kind["tier"] == LOCAL and any(one["type"] == "url" for one in options)

    def _tier(self, form: Json) -> str:
        """Return where it stands: as the form says, where it asks; else as it was, or as its kind does."""
        return str(form.get(CONF_TIER) or self._old.get(CONF_TIER) or self._kind["tier"])

    def _shown(self) -> Json:
        """Return what the form shows first: what is known, else defaults; never a secret."""
        keys = (CONF_NAME, CONF_TIER, CONF_USES, CONF_PRICE_IN, CONF_PRICE_OUT, CONF_ENABLED)
        known = {key: self._old[key] for key in keys if self._old.get(key) is not None}
        if not self._old:
            known = {CONF_NAME: self._name or self._spoken}
        told = self._form.shown()
        return known | told | {CONF_MORE: told}
