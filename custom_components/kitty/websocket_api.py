"""What the panel and cards see live: the parts of the snapshot, row by row, and of each only what this user may see.

``kitty/subscribe`` answers with all rows of a part, then with those that change, and at last that it was ended.
Whoever loses the right to see a row, or the row itself, is told that it is removed. Of a brain that Home Assistant has
not heard yet nothing is known, which is told as such and is not the same as no rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth import EVENT_USER_UPDATED
from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.components import websocket_api
from homeassistant.components.websocket_api import ActiveConnection
from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    SOURCE_REAUTH,
    ConfigEntry,
    ConfigEntryChange,
    ConfigEntryState,
)
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.dispatcher import async_dispatcher_connect
import probatio as vol

from .actions import may, registry_id
from .codes import hand_over
from .const import CONF_INSTANCE_ID, CONF_PEOPLE, DOMAIN
from .coordinator import AUDIT_HEAD, MIND_UPDATED, PRESENCE, Snapshot
from .entries import has_brain
from .errors import BrainUnavailable, Refused
from .issues import has_version_skew
from .origin import caller_from
from .protocol import Json
from .rights import may_control, may_decide, may_overrule, may_print_on, may_work

if TYPE_CHECKING:
    from . import KittyConfigEntry

WHOLE: Final = "whole"
LINK: Final = "link"
# Every part of several brains, in more windows than one socket serves. Each costs work with every change.
MOST_SUBSCRIPTIONS: Final = 250

type Rows = Mapping[str, Json]
type Rule = Callable[[Look, Json], bool]
type View = Callable[[Look, Json], Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Who looks at which brain."""

    hass: HomeAssistant
    entry: KittyConfigEntry
    user: User

    def sees(self, device_id: str | None) -> bool:
        """Tell whether this user may see a device; one that nobody can see here, only administrators."""
        if self.user.is_admin:
            return True
        found = registry_id(self.hass, self.entry, device_id) if device_id else ""
        return bool(found) and may(self.hass, self.user, found, POLICY_READ)

    def may_control(self, device_id: str) -> bool:
        """Tell whether the actions on a device are open to this user."""
        return may_control(self.hass, self.entry, self.user, device_id)


def _everybody(_look: Look, _row: Json) -> bool:
    return True


def _administrators(look: Look, _row: Json) -> bool:
    return look.user.is_admin


def _own_device(look: Look, row: Json) -> bool:
    return look.sees(row["id"])


def _its_device(look: Look, row: Json) -> bool:
    return look.sees(row["device_id"])


def _its_device_if_any(look: Look, row: Json) -> bool:
    return row.get("device_id") is None or look.sees(row["device_id"])


def _workshop(look: Look, row: Json) -> bool:
    """Tell who is where only to people of the workshop, of areas in which they may see a device."""
    people = look.entry.options.get(CONF_PEOPLE, {})
    devices = look.entry.runtime_data.coordinator.data.devices.values()
    return (look.user.is_admin or look.user.id in people) and any(
        one["zone_id"] == row["zone_id"] and look.sees(one["id"]) for one in devices
    )


def _askers(look: Look, row: Json) -> bool:
    return row.get("requested_by") in (None, look.user.id) or look.user.is_admin


def _as_it_is(_look: Look, row: Json) -> Json:
    return row


def _without(*names: str) -> View:
    def view(_look: Look, row: Json) -> Json:
        return {name: value for name, value in row.items() if name not in names}

    return view


def _with_only(*names: str) -> View:
    def view(_look: Look, row: Json) -> Json:
        return {name: row[name] for name in names}

    return view


def _registered(look: Look, row: Json) -> Json:
    """Add by which id the actions of Home Assistant know a device, and whether this user may use them on it."""
    known = registry_id(look.hass, look.entry, row["id"])
    return row | {"registry_id": known, "may_control": look.may_control(row["id"])}


def _request(look: Look, row: Json) -> Json:
    """Leave out what approves it; add whether this user may say anything about it."""
    return _without(*_SECRETS)(look, row) | {"may_control": look.may_control(row["device_id"])}


def _rights(look: Look, _row: Json) -> Json:
    """Tell what this user may do with what is no device of its own: the store room, any printer, goals."""
    about = (look.hass, look.entry, look.user)
    return {
        "may_work": may_work(*about),
        "may_print_anywhere": may_print_on(*about, None),
        "may_decide": may_decide(look.entry, look.user),
        "may_overrule": may_overrule(look.entry, look.user),
    }


def _with_switch(look: Look, row: Json) -> Json:
    """Add the switch of a part of the brain, where this user may see it."""
    unique_id = f"{look.entry.data[CONF_INSTANCE_ID]}-capability_{row['name'].replace('.', '_')}"
    found = er.async_get(look.hass).async_get_entity_id("switch", DOMAIN, unique_id)
    seen = found if found and look.user.permissions.check_entity(found, POLICY_READ) else None
    return row | {"entity_id": seen}


def _seen_problems(look: Look, row: Json) -> Json:
    return {"problems": [one for one in row["problems"] if look.sees(one["device_id"])]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How one part is shown: who sees a row of it, and what of that row."""

    sees: Rule
    view: View = _as_it_is


# What approves something, or hands somebody's phone over, stays here.
_SECRETS: Final = ("nonce", "subject", "policy_version")

PARTS: Final[Mapping[str, Shown]] = {
    "devices": Shown(sees=_own_device, view=_registered),
    "events": Shown(sees=_its_device, view=_request),
    "commands": Shown(sees=_its_device, view=_without("idempotency_key", "conversation_id")),
    "jobs": Shown(sees=_its_device),
    "providers": Shown(sees=_administrators),
    "queue": Shown(sees=_its_device_if_any),
    "beds": Shown(sees=_its_device),
    "spools": Shown(sees=_everybody),
    "stock": Shown(sees=_everybody),
    "procurements": Shown(sees=_everybody),
    "incidents": Shown(sees=_its_device),
    "vision": Shown(sees=_its_device),
    "reviews": Shown(sees=_its_device),
    "schedule": Shown(sees=_everybody),
    "capabilities": Shown(sees=_everybody, view=_with_switch),
    "work": Shown(sees=_everybody),
    "goals": Shown(sees=_everybody),
    "projects": Shown(sees=_everybody),
    "researches": Shown(sees=_askers),
    "health": Shown(sees=_everybody),
    "budget": Shown(sees=_everybody),
    "mind": Shown(sees=_everybody),
    "audit": Shown(sees=_administrators),
    "fleet": Shown(sees=_everybody, view=_seen_problems),
    "presences": Shown(sees=_workshop),
    "rights": Shown(sees=_everybody, view=_rights),
    # Whether anything searches and anything answers: that much of models everybody may know.
    "answering": Shown(sees=_everybody, view=_with_only("tier", "enabled")),
}
# What else than a part of the snapshot is told, and with which part it may change.
_WITH: Final[Mapping[str, str]] = {"rights": "devices", "answering": "providers"}
# What changes without the entities hearing of it.
_QUIET: Final[Mapping[str, str]] = {
    "audit": AUDIT_HEAD,
    "mind": MIND_UPDATED,
    "presences": PRESENCE,
}
# What of a registered entity or device decides who may see that device.
_RIGHTS: Final = frozenset({"entity_id", "device_id", "area_id"})
_WHOLES: Final = frozenset({"health", "budget", "mind", "audit", "fleet"})


@callback
def async_setup_websocket(hass: HomeAssistant) -> None:
    """Register the commands, once for all brains."""
    websocket_api.async_register_command(hass, _subscribe)
    websocket_api.async_register_command(hass, _code)
    websocket_api.async_register_command(hass, _own_code)


@websocket_api.websocket_command(
    {
        vol.Required("type"): "kitty/subscribe",
        vol.Required("part"): vol.In([*PARTS, LINK]),
        vol.Optional("entry_id"): str,
    }
)
@callback
def _subscribe(hass: HomeAssistant, connection: ActiveConnection, message: Json) -> None:
    """Tell the rows of a part, now and whenever one changes; of one connection only so many times at once."""
    part = message["part"]
    # A subscription is known by how it ends.
    ends = connection.subscriptions.values()
    if (
        sum(isinstance(getattr(end, "__self__", None), _Watch) for end in ends)
        >= MOST_SUBSCRIPTIONS
    ):
        connection.send_error(
            message["id"], "too_many_subscriptions", "This connection has too many subscriptions"
        )
        return
    watch: _Watch = (
        _LinkWatch(hass, connection, message["id"])
        if part == LINK
        else _PartWatch(hass, connection, message, _brain(hass, message))
    )
    connection.subscriptions[message["id"]] = watch.stop
    connection.send_result(message["id"])
    watch.start()


@websocket_api.websocket_command(
    {
        vol.Required("type"): "kitty/code",
        vol.Required("event_id"): vol.All(str, vol.Length(min=1, max=64)),
        vol.Required("code"): vol.All(str, vol.Length(min=1, max=64)),
    }
)
@callback
def _code(hass: HomeAssistant, connection: ActiveConnection, message: Json) -> None:
    """Take this person's own code for the approval that they are about to give."""
    hand_over(hass, connection.user.id, message["event_id"], message["code"])
    connection.send_result(message["id"])


_NEW_CODE: Final = vol.Any(None, vol.All(str, vol.Length(min=4, max=64)))


@websocket_api.websocket_command(
    {
        vol.Required("type"): "kitty/own_code",
        vol.Required("code"): _NEW_CODE,
        vol.Optional("duress_code"): _NEW_CODE,
        vol.Optional("old_code"): vol.All(str, vol.Length(min=1, max=64)),
        vol.Optional("entry_id"): str,
    }
)
@websocket_api.async_response
async def _own_code(hass: HomeAssistant, connection: ActiveConnection, message: Json) -> None:
    """Set or clear (null) this person's own codes; no action, because what those are called with is recorded."""
    entry = _brain(hass, message)
    if entry.state is not ConfigEntryState.LOADED:
        raise BrainUnavailable
    user_id = connection.user.id
    wish: Json = {
        "user_id": user_id,
        "pin": message["code"],
        "duress_pin": message.get("duress_code"),
        "old_pin": message.get("old_code"),
    }
    caller = await caller_from(hass, connection.context(message))
    await entry.runtime_data.client.command("safety.pin", wish, caller=caller)
    connection.send_result(message["id"])


def _brain(hass: HomeAssistant, message: Json) -> ConfigEntry[Any]:
    """Return the brain that is named, or the first; Refused ``no_brain`` where there is none."""
    brains = [entry for entry in hass.config_entries.async_entries(DOMAIN) if has_brain(entry)]
    named = message.get("entry_id")
    for entry in brains:
        if named in (None, entry.entry_id):
            return entry
    raise Refused("no_brain")


class _Watch(ABC):
    """Sends what differs from what was sent; begins with everything."""

    def __init__(self, hass: HomeAssistant, connection: ActiveConnection, message_id: int) -> None:
        self._hass = hass
        self._connection = connection
        self._id = message_id
        self._sent: dict[str, Json] | None = None
        self._has_told = False
        self._stops: list[CALLBACK_TYPE] = []

    @callback
    def start(self) -> None:
        """Follow the entries and the rights of this user, and send what there is."""
        self._stops += (
            async_dispatcher_connect(
                self._hass, SIGNAL_CONFIG_ENTRY_CHANGED, self._on_entry_changed
            ),
            self._hass.bus.async_listen(EVENT_USER_UPDATED, self._on_user),
            # What one may see of a device is what one may see of its entities, also by the area that it is in.
            self._hass.bus.async_listen(er.EVENT_ENTITY_REGISTRY_UPDATED, self._on_registry),
            self._hass.bus.async_listen(dr.EVENT_DEVICE_REGISTRY_UPDATED, self._on_registry),
        )
        self.attach()
        self.send()

    @callback
    def stop(self) -> None:
        """Follow nothing any more, and tell so, unless the connection itself ends.

        After a reconnect Home Assistant's frontend ends some subscriptions by the numbers that they had on the
        connection before. On the new one such a number may be this, and whoever looks would wait for ever.
        """
        self.detach()
        while self._stops:
            self._stops.pop()()
        if self._id not in self._connection.subscriptions:
            self._tell({"ended": True})

    @callback
    def _on_entry_changed(self, _change: ConfigEntryChange, entry: ConfigEntry[Any]) -> None:
        if entry.domain == DOMAIN:
            self.detach()
            self.attach()
            self.send()

    @callback
    def _on_user(self, event: Event[Any]) -> None:
        if event.data["user_id"] == self._connection.user.id:
            self.send()

    @callback
    def _on_registry(self, event: Event[Any]) -> None:
        # Rights are given to ids and areas, and an entity may go to another device.
        if event.data["action"] != "update" or event.data["changes"].keys() & _RIGHTS:
            self.send()

    @abstractmethod
    def attach(self) -> None:
        """Listen to what is loaded now."""

    @abstractmethod
    def detach(self) -> None:
        """Listen to nothing."""

    @abstractmethod
    def rows(self) -> Rows | None:
        """Return what this user may see now; None where nothing can be told."""

    @callback
    def send(self) -> None:
        """Send what is new; nothing where all is as it was."""
        rows = self.rows()
        if rows is None:
            # What was told before stays.
            if not self._has_told:
                self._tell({"rows": {}, "known": False})
            return
        before, self._sent = self._sent, dict(rows)
        if before is None:
            self._tell({"rows": self._sent})
            return
        changed = {key: row for key, row in self._sent.items() if before.get(key) != row}
        removed = [key for key in before if key not in self._sent]
        if changed or removed:
            self._tell({"changed": changed, "removed": removed})

    def _tell(self, message: Json) -> None:
        self._has_told = True
        self._connection.send_message(websocket_api.event_message(self._id, message))


class _PartWatch(_Watch):
    """Follows one part of one brain, through reloads of its entry."""

    def __init__(
        self,
        hass: HomeAssistant,
        connection: ActiveConnection,
        message: Json,
        entry: ConfigEntry[Any],
    ) -> None:
        super().__init__(hass, connection, message["id"])
        self._part: str = message["part"]
        self._shown = PARTS[self._part]
        self._message = message
        self._entry = entry
        self._seen: Any = None
        self._listening: list[CALLBACK_TYPE] = []

    @property
    def _is_loaded(self) -> bool:
        return self._entry.state is ConfigEntryState.LOADED

    def attach(self) -> None:
        """Listen to the coordinator, where there is one; of a brain that was removed, to that in its place."""
        if self._hass.config_entries.async_get_entry(self._entry.entry_id) is None:
            with suppress(Refused):
                self._entry = _brain(self._hass, self._message)
        if not self._is_loaded:
            return
        coordinator = self._entry.runtime_data.coordinator
        self._listening = [coordinator.async_add_listener(self._on_change)]
        if (topic := _QUIET.get(self._part)) is not None:
            follow = coordinator.async_listen(topic, lambda _data: self._on_change())
            self._listening.append(follow)

    def detach(self) -> None:
        """Leave the coordinator."""
        while self._listening:
            self._listening.pop()()

    @callback
    def _on_change(self) -> None:
        if _source(self._entry.runtime_data.coordinator.data, self._part) is not self._seen:
            self.send()

    def rows(self) -> Rows | None:
        """Return the rows that this user may see; of a brain that is not loaded nothing new is known."""
        if not self._is_loaded:
            return None
        snapshot: Snapshot = self._entry.runtime_data.coordinator.data
        self._seen = _source(snapshot, self._part)
        look = Look(hass=self._hass, entry=self._entry, user=self._connection.user)
        return {
            key: self._shown.view(look, row)
            for key, row in _rows_of(snapshot, self._part).items()
            if self._shown.sees(look, row)
        }


class _LinkWatch(_Watch):
    """Follows which brains there are, and whether they are connected."""

    def __init__(self, hass: HomeAssistant, connection: ActiveConnection, message_id: int) -> None:
        super().__init__(hass, connection, message_id)
        self._listening: list[CALLBACK_TYPE] = []

    def _brains(self) -> list[ConfigEntry[Any]]:
        return [one for one in self._hass.config_entries.async_entries(DOMAIN) if has_brain(one)]

    def attach(self) -> None:
        """Listen to the coordinators of all that are loaded, and to whether a new token is asked for."""
        flows = self._hass.config_entries.flow
        self._listening = [
            entry.runtime_data.coordinator.async_add_listener(self.send)
            for entry in self._brains()
            if entry.state is ConfigEntryState.LOADED
        ]
        self._listening.append(flows.async_subscribe_flow(lambda _change, _flow_id: self.send()))

    def detach(self) -> None:
        """Leave all coordinators."""
        while self._listening:
            self._listening.pop()()

    def rows(self) -> Rows:
        """Return a row for each brain, by the id of its entry."""
        return {entry.entry_id: _link(self._hass, entry) for entry in self._brains()}


def _link(hass: HomeAssistant, entry: ConfigEntry[Any]) -> Json:
    loaded = entry.state is ConfigEntryState.LOADED
    data = entry.runtime_data if loaded else None
    hello = data.client.hello if data else None
    return {
        "entry_id": entry.entry_id,
        "title": entry.title,
        "loaded": loaded,
        "connected": bool(data and data.coordinator.data.connected),
        "version": hello.version if hello else None,
        "trouble": _trouble(hass, entry),
    }


def _trouble(hass: HomeAssistant, entry: ConfigEntry[Any]) -> str | None:
    """Tell what has to be done before a brain is heard: "reauth" or "failed" by people, "retry" by nobody."""
    if any(entry.async_get_active_flows(hass, {SOURCE_REAUTH})):
        return "reauth"
    # A version that does not fit is tried again too, but nothing comes of it before somebody updates one of the two.
    if entry.state is ConfigEntryState.SETUP_ERROR or has_version_skew(hass, entry):
        return "failed"
    is_tried = entry.state in {ConfigEntryState.SETUP_RETRY, ConfigEntryState.SETUP_IN_PROGRESS}
    return "retry" if is_tried else None


def _source(snapshot: Snapshot, part: str) -> Any:
    """Return what a part is made of; another one when it may have changed."""
    return getattr(snapshot, _WITH.get(part, part))


def _rows_of(snapshot: Snapshot, part: str) -> Rows:
    """Return a part by its rows; what is told as a whole is one."""
    if part == "fleet":
        return {WHOLE: {"problems": list(snapshot.fleet)}}
    if part == "rights":
        return {WHOLE: {}}
    found = _source(snapshot, part)
    return {WHOLE: dict(found)} if part in _WHOLES else found
