"""Names that more than one module of the integration uses."""

import logging
from typing import Final

from homeassistant.const import Platform

DOMAIN: Final = "kitty"
LOGGER: Final = logging.getLogger(__package__)

# What happened, on the bus of Home Assistant.
EVENT_KITTY: Final = "kitty_event"

PLATFORMS: Final = (
    Platform.AI_TASK,
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.CAMERA,
    Platform.CONVERSATION,
    Platform.EVENT,
    Platform.IMAGE,
    Platform.LIGHT,
    Platform.LOCK,
    Platform.SENSOR,
    Platform.SWITCH,
    Platform.TODO,
)

# The data of the entry
CONF_BRAIN_PUBLIC_KEY: Final = "brain_public_key"
CONF_INSTANCE_ID: Final = "instance_id"
CONF_SLUG: Final = "slug"

# The options of the entry
CONF_PEOPLE: Final = "people"
CONF_POLICIES: Final = "policies"
CONF_PRESENCE: Final = "presence"
CONF_ZONES: Final = "zones"
# What electricity costs: a sensor, what holds where it does not tell, and the hours that are cheap every day
CONF_CHEAP_HOURS: Final = "cheap_hours"
CONF_ENERGY_PRICE: Final = "energy_price"
CONF_PRICE_ENTITY: Final = "price_entity"
# A to-do list of the house onto which what should be bought is copied
CONF_TODO_ENTITY: Final = "todo_entity"

# One of the zones, by area id
CONF_DOOR_IDS: Final = "door_ids"
CONF_HAZARD_LEVEL: Final = "hazard_level"
CONF_REQUIRES_PPE: Final = "requires_ppe"

# One of the policies, by area id
CONF_CHECKS: Final = "checks"
CONF_PRESENCE_TTL: Final = "presence_ttl"
CONF_REQUESTER_MAY_CONFIRM: Final = "requester_may_confirm"
CONF_REQUIRED_ROLES: Final = "required_roles"
CONF_REQUIRES_DUAL_CONFIRM: Final = "requires_dual_confirm"
CONF_REQUIRES_PRESENCE: Final = "requires_presence"
CONF_VOICE_MAY_CONFIRM: Final = "voice_may_confirm"

# One of the people, by user id; CONF_EMAIL is Home Assistant's own "email"
CONF_LEAST_SEVERITY: Final = "least_severity"
CONF_NOTIFY: Final = "notify"
CONF_ROLES: Final = "roles"

# One of the sources of presence, by area id
CONF_OCCUPANCY: Final = "occupancy"
CONF_PERSONS: Final = "persons"

# Subentry of type "device"; CONF_DEVICE_ID is Home Assistant's own "device_id"
CONF_DRIVER: Final = "driver"
# By what a printer was found, where it came from an announcement
CONF_FOUND_AS: Final = "found_as"
CONF_INFO: Final = "info"
CONF_OPTIONS: Final = "options"
CONF_ZONE_ID: Final = "zone_id"
SUBENTRY_DEVICE: Final = "device"

# Subentry of type "provider": never with a secret, and of the rest only what people should see
CONF_PROVIDER: Final = "provider"
CONF_PROVIDER_ID: Final = "provider_id"
SUBENTRY_PROVIDER: Final = "provider"

# In the data of the entry: the providers that were here at the last look, and those of them that were removed since
# and that the brain has still to forget
CONF_PROVIDERS: Final = "providers"
CONF_REMOVED_PROVIDERS: Final = "removed_providers"

DEFAULT_PRESENCE_TTL: Final = 300

# How loud a notification is, and from which on people hear of what is for everybody, unless they chose otherwise.
SEVERITIES: Final = ("info", "warning", "critical")
LEAST_SEVERITY: Final = "warning"
NO_SEVERITY: Final = "nothing"

# Translation keys of the entities that decide a request; no assistant may have them.
APPROVAL_KEYS: Final = frozenset({"approve", "approve_ppe", "deny"})

# The parts of the brain for which there are words and an icon here; what a newer one has besides goes by its own word.
CAPABILITIES: Final = frozenset(
    {
        "autonomy",
        "broker",
        "cache",
        "conversation",
        "generate",
        "inventory",
        "mcp",
        "memory",
        "models.far",
        "mqtt",
        "notifications",
        "openai",
        "prints",
        "queue",
        "research",
        "search",
        "vision",
        "webhooks",
    }
)
