"""Areas, policies, people and presence: who may allow what, where, and how KITTY knows; and what power costs."""

import re
from typing import Any, Final

from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.mobile_app.const import DOMAIN as MOBILE_APP_DOMAIN
from homeassistant.components.mobile_app.util import get_notify_service
from homeassistant.config_entries import ConfigFlowResult, OptionsFlow
from homeassistant.const import (
    CONF_EMAIL,
    CONF_ENTITY_ID,
    CONF_NAME,
    CONF_STATE,
    CONF_WEBHOOK_ID,
    Platform,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, entity_registry as er
from homeassistant.helpers.selector import (
    AreaSelector,
    BooleanSelector,
    EntitySelector,
    EntitySelectorConfig,
    EntityWithDeviceFilterSelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    ObjectSelector,
    ObjectSelectorConfig,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import probatio as vol

from .const import (
    CONF_CHEAP_HOURS,
    CONF_CHECKS,
    CONF_DOOR_IDS,
    CONF_ENERGY_PRICE,
    CONF_HAZARD_LEVEL,
    CONF_LEAST_SEVERITY,
    CONF_NOTIFY,
    CONF_OCCUPANCY,
    CONF_PEOPLE,
    CONF_PERSONS,
    CONF_POLICIES,
    CONF_PRESENCE,
    CONF_PRESENCE_TTL,
    CONF_PRICE_ENTITY,
    CONF_REQUESTER_MAY_CONFIRM,
    CONF_REQUIRED_ROLES,
    CONF_REQUIRES_DUAL_CONFIRM,
    CONF_REQUIRES_PPE,
    CONF_REQUIRES_PRESENCE,
    CONF_ROLES,
    CONF_TODO_ENTITY,
    CONF_VOICE_MAY_CONFIRM,
    CONF_ZONES,
    DEFAULT_PRESENCE_TTL,
    DOMAIN,
    LEAST_SEVERITY,
    NO_SEVERITY,
    SEVERITIES,
)
from .entity import person_name
from .forms import kitty_devices, number
from .protocol import Hazard, Kind, Role

CONF_AREA_ID: Final = "area_id"
CONF_REMOVE: Final = "remove"
CONF_USER_ID: Final = "user_id"

_PERSON: Final = "person"
_NOTIFY_PREFIX: Final = f"{MOBILE_APP_DOMAIN}_"

_ENERGY_OPTIONS: Final = frozenset(
    {CONF_PRICE_ENTITY, CONF_ENERGY_PRICE, CONF_CHEAP_HOURS, CONF_TODO_ENTITY}
)
_TIME: Final = r"([01]\d|2[0-3]):[0-5]\d"
_HOURS: Final = re.compile(rf"(?P<begin>{_TIME})-(?P<end>{_TIME})")

_AREA_SCHEMA: Final = vol.Schema({vol.Required(CONF_AREA_ID): AreaSelector()})

_ROLES_FIELD: Final = SelectSelector(
    SelectSelectorConfig(
        options=list(Role), multiple=True, mode=SelectSelectorMode.LIST, translation_key="role"
    )
)
_SEVERITY_FIELD: Final = SelectSelector(
    SelectSelectorConfig(
        options=[*SEVERITIES, NO_SEVERITY],
        mode=SelectSelectorMode.DROPDOWN,
        translation_key="least_severity",
    )
)
_CHECKS_FIELD: Final = ObjectSelector(
    ObjectSelectorConfig(
        multiple=True,
        label_field=CONF_NAME,
        description_field=CONF_ENTITY_ID,
        translation_key="check",
        fields={
            CONF_NAME: {"required": True, "selector": TextSelector()},
            CONF_ENTITY_ID: {"required": True, "selector": EntitySelector()},
            CONF_STATE: {"required": True, "selector": TextSelector()},
        },
    )
)
_TTL_FIELD: Final = NumberSelector(
    NumberSelectorConfig(
        min=10, max=3600, step=1, unit_of_measurement="s", mode=NumberSelectorMode.BOX
    )
)

_PRESENCE_SCHEMA: Final = vol.Schema(
    {
        vol.Optional(CONF_PERSONS, default=[]): EntitySelector(
            EntitySelectorConfig(
                multiple=True, filter=EntityWithDeviceFilterSelectorConfig(domain=_PERSON)
            )
        ),
        vol.Optional(CONF_OCCUPANCY, default=[]): EntitySelector(
            EntitySelectorConfig(
                multiple=True,
                filter=EntityWithDeviceFilterSelectorConfig(
                    domain=Platform.BINARY_SENSOR,
                    device_class=[
                        BinarySensorDeviceClass.MOTION,
                        BinarySensorDeviceClass.OCCUPANCY,
                        BinarySensorDeviceClass.PRESENCE,
                    ],
                ),
            )
        ),
    }
)


def _policy_schema(*, high: bool) -> vol.Schema:
    """Return the form of a policy; where the hazard is high, some answers are given already."""
    forced = BooleanSelector({"read_only": True})
    fields: dict[vol.Marker, Any] = {
        vol.Required(CONF_REQUIRED_ROLES, default=[]): _ROLES_FIELD,
        vol.Required(CONF_REQUIRES_DUAL_CONFIRM, default=high): forced
        if high
        else BooleanSelector(),
        vol.Required(CONF_REQUIRES_PRESENCE, default=high): forced if high else BooleanSelector(),
        vol.Required(CONF_PRESENCE_TTL, default=DEFAULT_PRESENCE_TTL): _TTL_FIELD,
    }
    if not high:
        fields[vol.Required(CONF_REQUESTER_MAY_CONFIRM, default=True)] = BooleanSelector()
        fields[vol.Required(CONF_VOICE_MAY_CONFIRM, default=False)] = BooleanSelector()
    fields[vol.Optional(CONF_CHECKS, default=[])] = _CHECKS_FIELD
    return vol.Schema(fields)


def phones_of(hass: HomeAssistant, user_id: str) -> list[str]:
    """Return the notify actions that reach the phones of a user."""
    return [
        service
        for entry in hass.config_entries.async_loaded_entries(MOBILE_APP_DOMAIN)
        if entry.data[CONF_USER_ID] == user_id
        and (service := get_notify_service(hass, entry.data[CONF_WEBHOOK_ID])) is not None
    ]


class KittyOptionsFlow(OptionsFlow):
    """One thing at a time: each way through the menu ends with one change saved."""

    def __init__(self) -> None:
        """Start with nothing chosen and nothing changed."""
        self._area_id = ""
        self._user_id = ""
        self._changes: dict[str, dict[str, Any]] = {}

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Offer what can be set."""
        return self.async_show_menu(
            step_id="init", menu_options=["area", "policy", "person", "presence", "energy"]
        )

    async def async_step_area(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Choose the area whose dangers are described."""
        if user_input is not None:
            self._area_id = user_input[CONF_AREA_ID]
            return await self.async_step_area_settings()
        return self.async_show_form(step_id="area", data_schema=_AREA_SCHEMA, last_step=False)

    async def async_step_area_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how dangerous the area is; a dangerous one needs a policy before it is of use."""
        if user_input is not None:
            self._set(CONF_ZONES, self._area_id, {CONF_DOOR_IDS: [], **user_input})
            if user_input[CONF_HAZARD_LEVEL] == Hazard.LOW:
                return self._save()
            policy = self._get(CONF_POLICIES, self._area_id)
            if not policy:
                return await self._async_step_policy_of_area()
            if user_input[CONF_HAZARD_LEVEL] == Hazard.HIGH:
                self._set(CONF_POLICIES, self._area_id, policy | _forced_by_high())
            return await self._async_after_policy()
        return self.async_show_form(
            step_id="area_settings",
            data_schema=self.add_suggested_values_to_schema(
                self._area_schema(), self._get(CONF_ZONES, self._area_id)
            ),
            description_placeholders={"area": self._area_name()},
            last_step=False,
        )

    async def async_step_policy(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Choose the area whose policy is set."""
        if user_input is not None:
            self._area_id = user_input[CONF_AREA_ID]
            return await self._async_step_policy_of_area()
        return self.async_show_form(step_id="policy", data_schema=_AREA_SCHEMA, last_step=False)

    async def _async_step_policy_of_area(self) -> ConfigFlowResult:
        """Go to the form that fits the hazard level of the area."""
        zone = self._get(CONF_ZONES, self._area_id)
        if zone.get(CONF_HAZARD_LEVEL) == Hazard.HIGH:
            return await self.async_step_policy_settings_high()
        return await self.async_step_policy_settings()

    async def async_step_policy_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Set the policy of an area where one person may be enough."""
        return await self._async_policy_form("policy_settings", user_input, high=False)

    async def async_step_policy_settings_high(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Set the policy of an area where two people are always needed."""
        return await self._async_policy_form("policy_settings_high", user_input, high=True)

    async def _async_policy_form(
        self, step_id: str, user_input: dict[str, Any] | None, *, high: bool
    ) -> ConfigFlowResult:
        """Show the form of a policy, and keep what is filled in."""
        errors: dict[str, str] = {}
        if user_input is not None:
            errors = _policy_errors(user_input)
            if not errors:
                self._set(CONF_POLICIES, self._area_id, _policy_of(user_input, high=high))
                return await self._async_after_policy()
            shown = user_input
        else:
            shown = _form_of(self._get(CONF_POLICIES, self._area_id), high=high)
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(_policy_schema(high=high), shown),
            errors=errors,
            description_placeholders={"area": self._area_name()},
        )

    async def _async_after_policy(self) -> ConfigFlowResult:
        """Save, unless the policy cannot be met because nothing tells who is there."""
        known = self._get(CONF_PRESENCE, self._area_id).get(CONF_PERSONS)
        if self._needs_presence() and not known:
            return await self.async_step_presence_settings()
        return self._save()

    async def async_step_person(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Choose a user of Home Assistant."""
        if user_input is not None:
            self._user_id = user_input[CONF_USER_ID]
            return await self.async_step_person_settings()
        users = [
            SelectOptionDict(value=user.id, label=user.name or user.id)
            for user in await self.hass.auth.async_get_users()
            if user.is_active and not user.system_generated
        ]
        known = {user["value"] for user in users}
        users += [
            SelectOptionDict(value=user_id, label=person_name(self.hass, user_id) or user_id)
            for user_id in self.config_entry.options.get(CONF_PEOPLE, {})
            if user_id not in known
        ]
        field = SelectSelector(SelectSelectorConfig(options=users))
        return self.async_show_form(
            step_id="person",
            data_schema=vol.Schema({vol.Required(CONF_USER_ID): field}),
            last_step=False,
        )

    async def async_step_person_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Set what a person is trusted with; without a role they are not listed."""
        errors: dict[str, str] = {}
        listed = self._get(CONF_PEOPLE, self._user_id)
        if user_input is not None:
            if user_input.pop(CONF_REMOVE, False):
                self._set(CONF_PEOPLE, self._user_id, None)
                return self._save()
            others = self.config_entry.options.get(CONF_PEOPLE, {}).items()
            taken = {one.get(CONF_EMAIL) for key, one in others if key != self._user_id}
            errors = _person_errors(user_input, taken)
            if not errors:
                unset: dict[str, Any] = {CONF_EMAIL: None, CONF_NOTIFY: []}
                self._set(CONF_PEOPLE, self._user_id, unset | user_input)
                return self._save()
        user = await self.hass.auth.async_get_user(self._user_id)
        return self.async_show_form(
            step_id="person_settings",
            data_schema=self.add_suggested_values_to_schema(
                self._person_schema(removable=bool(listed)),
                user_input or {CONF_LEAST_SEVERITY: LEAST_SEVERITY} | listed,
            ),
            errors=errors,
            description_placeholders={"person": (user and user.name) or self._user_id},
        )

    async def async_step_presence(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Choose the area whose presence is observed."""
        if user_input is not None:
            self._area_id = user_input[CONF_AREA_ID]
            return await self.async_step_presence_settings()
        return self.async_show_form(step_id="presence", data_schema=_AREA_SCHEMA, last_step=False)

    async def async_step_presence_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask which entities tell that somebody is in the area."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if user_input[CONF_PERSONS] or not self._needs_presence():
                value = user_input if any(user_input.values()) else None
                self._set(CONF_PRESENCE, self._area_id, value)
                return self._save()
            errors["base"] = "presence_source_required"
        return self.async_show_form(
            step_id="presence_settings",
            data_schema=self.add_suggested_values_to_schema(
                _PRESENCE_SCHEMA, user_input or self._get(CONF_PRESENCE, self._area_id)
            ),
            errors=errors,
            description_placeholders={"area": self._area_name()},
        )

    async def async_step_energy(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask what electricity costs, and onto which list of the house goes what should be bought."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if _are_hours(user_input.get(CONF_CHEAP_HOURS)):
                rest = {
                    key: value
                    for key, value in self.config_entry.options.items()
                    if key not in _ENERGY_OPTIONS
                }
                return self.async_create_entry(title="", data=rest | user_input)
            errors[CONF_CHEAP_HOURS] = "invalid_hours"
        return self.async_show_form(
            step_id="energy",
            data_schema=self.add_suggested_values_to_schema(
                self._energy_schema(), user_input or self.config_entry.options
            ),
            errors=errors,
        )

    def _energy_schema(self) -> vol.Schema:
        """Return the form of energy and shopping; KITTY's own list cannot be copied onto itself."""
        own = [
            item.entity_id
            for item in er.async_get(self.hass).entities.values()
            if item.platform == DOMAIN and item.domain == Platform.TODO
        ]
        lists = EntitySelectorConfig(
            exclude_entities=own,
            filter=EntityWithDeviceFilterSelectorConfig(
                domain=Platform.TODO,
                supported_features=["todo.TodoListEntityFeature.CREATE_TODO_ITEM"],
            ),
        )
        sensors = EntitySelectorConfig(
            filter=EntityWithDeviceFilterSelectorConfig(domain=[Platform.SENSOR, Platform.EVENT])
        )
        return vol.Schema(
            {
                vol.Optional(CONF_PRICE_ENTITY): EntitySelector(sensors),
                vol.Optional(CONF_ENERGY_PRICE): number(0, 100),
                vol.Optional(CONF_CHEAP_HOURS): TextSelector(),
                vol.Optional(CONF_TODO_ENTITY): EntitySelector(lists),
            }
        )

    def _area_schema(self) -> vol.Schema:
        """Return the form of an area; doors only where there are doors."""
        levels = SelectSelectorConfig(
            options=list(Hazard), mode=SelectSelectorMode.LIST, translation_key="hazard_level"
        )
        fields: dict[vol.Marker, Any] = {
            vol.Required(CONF_HAZARD_LEVEL, default=Hazard.LOW.value): SelectSelector(levels),
            vol.Required(CONF_REQUIRES_PPE, default=False): BooleanSelector(),
        }
        if doors := kitty_devices(self.config_entry, [Kind.DOOR]):
            fields[vol.Optional(CONF_DOOR_IDS, default=[])] = SelectSelector(
                SelectSelectorConfig(options=doors, multiple=True)
            )
        return vol.Schema(fields)

    def _person_schema(self, *, removable: bool) -> vol.Schema:
        """Return the form of a person; phones only where there are phones."""
        fields: dict[vol.Marker, Any] = {
            vol.Required(CONF_ROLES, default=[]): _ROLES_FIELD,
            vol.Optional(CONF_EMAIL): TextSelector(TextSelectorConfig(type=TextSelectorType.EMAIL)),
            vol.Optional(CONF_LEAST_SEVERITY): _SEVERITY_FIELD,
        }
        known = self._get(CONF_PEOPLE, self._user_id).get(CONF_NOTIFY) or ()
        phones = {*phones_of(self.hass, self._user_id), *known}
        if phones:
            fields[vol.Optional(CONF_NOTIFY, default=[])] = SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(
                            value=name,
                            label=name.removeprefix(_NOTIFY_PREFIX).replace("_", " ").title(),
                        )
                        for name in sorted(phones)
                    ],
                    multiple=True,
                )
            )
        if removable:
            fields[vol.Optional(CONF_REMOVE, default=False)] = BooleanSelector()
        return vol.Schema(fields)

    def _needs_presence(self) -> bool:
        """Tell whether the policy of the area cannot be met without a source of presence."""
        return bool(self._get(CONF_POLICIES, self._area_id).get(CONF_REQUIRES_PRESENCE))

    def _area_name(self) -> str:
        """Return the name of the chosen area."""
        area = ar.async_get(self.hass).async_get_area(self._area_id)
        return area.name if area else self._area_id

    def _get(self, part: str, key: str) -> dict[str, Any]:
        """Return a setting as it will be saved; empty when there is none."""
        values = {**self.config_entry.options.get(part, {}), **self._changes.get(part, {})}
        return values.get(key) or {}

    def _set(self, part: str, key: str, value: dict[str, Any] | None) -> None:
        """Keep a setting to be saved; None takes it away."""
        self._changes.setdefault(part, {})[key] = value

    def _save(self) -> ConfigFlowResult:
        """Save everything that was changed on the way here."""
        options: dict[str, Any] = dict(self.config_entry.options)
        for part, changes in self._changes.items():
            merged = {**options.get(part, {}), **changes}
            options[part] = {key: value for key, value in merged.items() if value is not None}
        return self.async_create_entry(title="", data=options)


def _forced_by_high() -> dict[str, Any]:
    """Return what no policy of a high hazard can change."""
    return {
        CONF_REQUIRES_DUAL_CONFIRM: True,
        CONF_REQUIRES_PRESENCE: True,
        CONF_REQUESTER_MAY_CONFIRM: False,
        CONF_VOICE_MAY_CONFIRM: False,
    }


def _policy_of(form: dict[str, Any], *, high: bool) -> dict[str, Any]:
    """Turn a filled form into a policy."""
    policy = dict(form)
    policy[CONF_PRESENCE_TTL] = int(form[CONF_PRESENCE_TTL])
    policy[CONF_CHECKS] = {
        check[CONF_NAME].strip(): {
            CONF_ENTITY_ID: check[CONF_ENTITY_ID],
            CONF_STATE: check[CONF_STATE].strip(),
        }
        for check in form[CONF_CHECKS]
    }
    return policy | _forced_by_high() if high else policy


def _form_of(policy: dict[str, Any], *, high: bool) -> dict[str, Any]:
    """Turn a policy into what its form shows; a new one begins with what holds without one: every role."""
    checks = [{CONF_NAME: name, **check} for name, check in policy.get(CONF_CHECKS, {}).items()]
    form = {CONF_REQUIRED_ROLES: list(Role), **policy, CONF_CHECKS: checks}
    return form | _forced_by_high() if high else form


def _policy_errors(form: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with a filled form of a policy, by field."""
    errors = {}
    if not form[CONF_REQUIRED_ROLES]:
        errors[CONF_REQUIRED_ROLES] = "roles_required"
    names = [check[CONF_NAME].strip() for check in form[CONF_CHECKS]]
    if not all(names) or not all(check[CONF_STATE].strip() for check in form[CONF_CHECKS]):
        errors[CONF_CHECKS] = "check_incomplete"
    elif len(set(names)) < len(names):
        errors[CONF_CHECKS] = "check_twice"
    return errors


def _are_hours(text: str | None) -> bool:
    """Tell whether a text is two different times of the day, or nothing."""
    found = _HOURS.fullmatch(text or "")
    return not text or (found is not None and found["begin"] != found["end"])


def _person_errors(form: dict[str, Any], taken: set[str | None]) -> dict[str, str]:
    """Return what is wrong with a filled form of a person, by field."""
    errors = {}
    if not form[CONF_ROLES]:
        errors[CONF_ROLES] = "role_of_person_required"
    if "@" not in form.get(CONF_EMAIL, "@"):
        errors[CONF_EMAIL] = "invalid_email"
    elif form.get(CONF_EMAIL, "").casefold() in {one.casefold() for one in taken if one}:
        errors[CONF_EMAIL] = "email_taken"
    return errors
