"""What the brain must know of this house: people, areas, rules, devices, and who is where.

All of it is sent anew on every connection and whenever it changes. Presence and checks are sent again
before they grow stale; when Home Assistant stops, they grow stale by themselves.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth import EVENT_USER_ADDED, EVENT_USER_REMOVED, EVENT_USER_UPDATED
from homeassistant.const import (
    CONF_EMAIL,
    CONF_ENTITY_ID,
    CONF_STATE,
    STATE_HOME,
    STATE_NOT_HOME,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import CALLBACK_TYPE, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import area_registry as ar
from homeassistant.helpers.event import async_track_state_change_event, async_track_time_interval

from .bindings import look, watched
from .client import BrainClient
from .const import (
    CONF_CHECKS,
    CONF_DEVICE_ID,
    CONF_DOOR_IDS,
    CONF_DRIVER,
    CONF_HAZARD_LEVEL,
    CONF_INFO,
    CONF_OCCUPANCY,
    CONF_OPTIONS,
    CONF_PEOPLE,
    CONF_PERSONS,
    CONF_POLICIES,
    CONF_PRESENCE,
    CONF_PRESENCE_TTL,
    CONF_REQUESTER_MAY_CONFIRM,
    CONF_REQUIRED_ROLES,
    CONF_REQUIRES_DUAL_CONFIRM,
    CONF_REQUIRES_PPE,
    CONF_REQUIRES_PRESENCE,
    CONF_ROLES,
    CONF_VOICE_MAY_CONFIRM,
    CONF_ZONE_ID,
    CONF_ZONES,
    DEFAULT_PRESENCE_TTL,
    LOGGER,
    SUBENTRY_DEVICE,
)
