"""Alarms of cameras on phones: one notification a person for one incident, whose buttons act as that person.

As with approvals, the tokens of the buttons go straight to the mobile app, each is one person's, and only
their hashes are kept.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_CONTROL
from homeassistant.const import Platform
from homeassistant.core import CALLBACK_TYPE, Event, EventOrigin, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store
from homeassistant.util import slugify

from .actions import may, registry_id
from .approvals import async_listen_to_presses
from .const import (
    CONF_INSTANCE_ID,
    CONF_PEOPLE,
    CONF_POLICIES,
    CONF_REQUIRED_ROLES,
    CONF_ROLES,
    DOMAIN,
    LOGGER,
)
from .coordinator import SNAPSHOT
from .errors import Refused
from .origin import caller_from, person
from .phones import Phones
from .protocol import Channel, Json, Role
from .workshop import device_name, printer_of

if TYPE_CHECKING:
    from . import KittyConfigEntry

INCIDENT_PREFIX: Final = "KITTY_INCIDENT_"
STORE_VERSION: Final = 1
# A camera that cries again and again rings no more often than this.
COOLDOWN_S: Final = 600.0
# The jobs of which it is remembered that an alarm about them was false.
QUIET_MAX: Final = 100
DETAIL_MAX: Final = 200

PAUSE: Final = "pause"
CANCEL: Final = "cancel"
FALSE_ALARM: Final = "false_alarm"
_INTENTS: Final = {PAUSE: "print_pause", CANCEL: "print_cancel"}


def store_of(hass: HomeAssistant, entry: KittyConfigEntry) -> Store[Json]:
    """Return where an entry remembers what was pushed."""
    instance_id = slugify(entry.data[CONF_INSTANCE_ID])
    return Store(hass, STORE_VERSION, f"{DOMAIN}.{instance_id}.incidents", private=True)


class IncidentPush:
    """Keeps the phones in line with the incidents that are open."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take the collaborators from the entry; nothing happens before :meth:`start`."""
        data = entry.runtime_data
        self._hass = hass
        self._entry = entry
        self._client = data.client
        self._coordinator = data.coordinator
        self._approvals = data.approvals
        self._phones = Phones(hass, entry, data.ledger)
        self._store = store_of(hass, entry)
        # By incident: whom it is for, and as long as it is being shown, who was not shown it yet.
        self._told: dict[str, list[str]] = {}
        self._left: dict[str, list[str]] = {}
        # By hash: what a button does. By camera: when it last rang.
        self._tokens: dict[str, Json] = {}
        self._rang: dict[str, float] = {}
        self._quiet: list[str] = []
        self._lock = asyncio.Lock()
        self._timers: dict[str, CALLBACK_TYPE] = {}

    async def start(self) -> None:
        """Take up what was shown before a restart, and follow the brain and the phones."""
        kept = await self._store.async_load() or {}
        self._told = kept.get("told", {})
        self._left = kept.get("left", {})
        self._tokens = kept.get("tokens", {})
        self._rang = kept.get("rang", {})
        self._quiet = kept.get("quiet", [])
        on_unload = self._entry.async_on_unload
        on_unload(async_listen_to_presses(self._hass, self._entry, self._async_on_press))
        on_unload(self._coordinator.async_listen("incident.updated", self._on_incident))
        on_unload(self._coordinator.async_listen(SNAPSHOT, self._on_snapshot))
        on_unload(self._stop_timers)
        self._on_snapshot({})

    @callback
    def _on_incident(self, row: Json) -> None:
        self._follow(row["id"], false_alarm=row["status"] == FALSE_ALARM and row["job_id"])

    @callback
    def _on_snapshot(self, _data: Json) -> None:
        for incident_id in {*self._coordinator.data.incidents, *self._told}:
            self._follow(incident_id)

    @callback
    def _follow(self, incident_id: str, *, false_alarm: str | bool | None = None) -> None:
        """Bring the phones in line with an incident, in the background."""
        self._entry.async_create_background_task(
            self._hass,
            self._async_follow(incident_id, false_alarm),
            f"kitty incident {incident_id}",
        )

    async def _async_follow(self, incident_id: str, false_alarm: str | bool | None) -> None:
        async with self._lock:
            if isinstance(false_alarm, str) and false_alarm not in self._quiet:
                self._quiet = [*self._quiet, false_alarm][-QUIET_MAX:]
                await self._save()
            row = self._coordinator.data.incidents.get(incident_id)
            if row is None or row["status"] != "open":
                await self._end(incident_id)
            elif incident_id in self._left:
                await self._show_all(row)
            elif incident_id not in self._told and row["job_id"] not in self._quiet:
                await self._ring(row)

    async def _ring(self, row: Json) -> None:
        """Show an incident to its people, now or when the camera may ring again."""
        wait = self._rang.get(row["device_id"], 0.0) + COOLDOWN_S - time.time()
        if 0 < wait <= COOLDOWN_S:
            if row["id"] not in self._timers:
                again = self._again(row["id"])
                self._timers[row["id"]] = async_call_later(self._hass, wait, again)
            return
        people = await self._people(row)
        self._told[row["id"]], self._left[row["id"]] = people, list(people)
        self._rang[row["device_id"]] = time.time()
        await self._save()
        await self._show_all(row)

    async def _show_all(self, row: Json) -> None:
        """Show an incident to its people; who was not reached before an end of this life is in the next one."""
        left = self._left[row["id"]]
        took = len(left) < len(self._told[row["id"]])
        for user_id in list(left):
            took = await self._show(row, user_id) or took
            left.remove(user_id)
        if not took:
            words = await self._phones.words()
            title, message = self._title(words, row), self._message(words, row)
            self._phones.note(_note_id(row["id"]), title, message)
        del self._left[row["id"]]
        await self._save()

    def _again(self, incident_id: str) -> Any:
        """Return what looks at an incident again once its camera may ring."""

        @callback
        def again(_now: datetime) -> None:
            self._timers.pop(incident_id, None)
            self._follow(incident_id)

        return again

    async def _end(self, incident_id: str) -> None:
        """Take an incident off every phone."""
        if (cancel := self._timers.pop(incident_id, None)) is not None:
            cancel()
        if incident_id not in self._told:
            return
        people = self._told.pop(incident_id)
        self._left.pop(incident_id, None)
        self._forget(incident_id)
        await self._save()
        self._phones.take_back(_note_id(incident_id))
        for user_id in people:
            await self._phones.send(user_id, "clear_notification", data={"tag": _tag(incident_id)})

    # -- what is shown --------------------------------------------------------------------------------

    async def _people(self, row: Json) -> list[str]:
        """Return those who may approve in the area of the printer: whom an alarm there concerns."""
        printer = self._coordinator.data.devices.get(printer_of(self._coordinator.data, row), {})
        options = self._entry.options
        policy = options.get(CONF_POLICIES, {}).get(printer.get("zone_id"), {})
        needed = set(policy.get(CONF_REQUIRED_ROLES) or Role)
        return [
            user_id
            for user_id, settings in options.get(CONF_PEOPLE, {}).items()
            if needed & set(settings[CONF_ROLES]) and await person(self._hass, user_id)
        ]

    async def _show(
        self, row: Json, user_id: str, *, note: str | None = None, without: str | None = None
    ) -> bool:
        """Show an incident to one person, with fresh buttons; False where no phone took it."""
        words = await self._phones.words()
        verbs = [
            verb
            for verb in (PAUSE, CANCEL, FALSE_ALARM)
            if verb != without and not (verb == PAUSE and row["action"] == PAUSE)
        ]
        tokens = {verb: secrets.token_hex(16) for verb in verbs}
        self._forget(row["id"], user_id)
        for verb, token in tokens.items():
            self._tokens[_digest(token)] = {
                "incident_id": row["id"],
                "user_id": user_id,
                "verb": verb,
            }
        await self._save()
        return await self._phones.send(
            user_id,
            "\n".join(line for line in (note, self._message(words, row)) if line),
            title=self._title(words, row),
            data=self._data(words, row, tokens) | ({"alert_once": True} if note else {}),
        )

    def _data(self, words: Mapping[str, str], row: Json, tokens: Mapping[str, str]) -> Json:
        data: Json = {
            "tag": _tag(row["id"]),
            "group": DOMAIN,
            "actions": [
                {
                    "action": INCIDENT_PREFIX + token,
                    "title": words[f"incident_{verb}"],
                    "authenticationRequired": True,
                    "destructive": verb == CANCEL,
                }
                for verb, token in tokens.items()
            ],
            "push": {"interruption-level": "time-sensitive"},
            "ttl": 0,
            "priority": "high",
            "channel": words["incident_channel"],
            "importance": "high",
            "sticky": "true",
        }
        if (image := self._image(row)) is not None:
            data["image"] = image
        return data

    def _image(self, row: Json) -> str | None:
        """Return where the app finds the picture: at Home Assistant, as the person it belongs to."""
        entities = er.async_get(self._hass)
        printer_id = printer_of(self._coordinator.data, row)
        frame = entities.async_get_entity_id(Platform.IMAGE, DOMAIN, f"{printer_id}-frame")
        if frame is not None and row["picture"]:
            return f"/api/image_proxy/{frame}"
        camera = entities.async_get_entity_id(Platform.CAMERA, DOMAIN, f"{row['device_id']}-camera")
        return f"/api/camera_proxy/{camera}" if camera else None

    def _title(self, words: Mapping[str, str], row: Json) -> str:
        data = self._coordinator.data
        printer_id = printer_of(data, row)
        what = words.get(f"incident_{row['type']}", str(row["type"]))
        name = device_name(data, printer_id) or printer_id
        return words["incident_title"].format(printer=name, what=what)

    def _message(self, words: Mapping[str, str], row: Json) -> str:
        """Say how sure it is, what was done, and in the end what the model said of the picture."""
        job = self._coordinator.data.jobs.get(row["job_id"] or "", {})
        text = words["incident_message"].format(
            percent=round(row["confidence"] * 100), file=job.get("file") or "?"
        )
        done = words["incident_done_pause" if row["action"] == PAUSE else "incident_done_notify"]
        return "\n".join(line for line in (text, done, (row["detail"] or "")[:DETAIL_MAX]) if line)

    # -- the buttons ----------------------------------------------------------------------------------

    async def _async_on_press(self, event: Event[Mapping[str, Any]]) -> None:
        """Take the press of a button: whose it is, only the context tells."""
        action = str(event.data.get("action", ""))
        if not action.startswith(INCIDENT_PREFIX):
            return
        async with self._lock:
            record = self._tokens.get(_digest(action.removeprefix(INCIDENT_PREFIX)))
            user = await person(self._hass, event.context.user_id)
            if (
                record is None
                or user is None
                or record["user_id"] != user.id
                or event.origin is not EventOrigin.remote
            ):
                LOGGER.warning("A button of an incident was not taken: it is not of that person")
                return
            row = self._coordinator.data.incidents.get(record["incident_id"])
            if row is None or row["status"] != "open":
                await self._end(record["incident_id"])
                return
            # Once: whatever comes of it, a second press of the same button does nothing.
            self._forget(row["id"], user.id)
            await self._save()
        await self._press(row, record["verb"], user, event)

    async def _press(
        self, row: Json, verb: str, user: User, event: Event[Mapping[str, Any]]
    ) -> None:
        """Do what the button says in the name of who pressed it, and tell them what came of it."""
        try:
            await self._do(row, verb, user, event)
        except HomeAssistantError as err:
            await self._show_again(row["id"], user.id, note=str(err))
            return
        if verb in _INTENTS:
            words = await self._phones.words()
            note = words[f"incident_asked_{verb}"]
            await self._show_again(row["id"], user.id, note=note, without=verb)

    async def _show_again(self, incident_id: str, user_id: str, **more: str) -> None:
        """Show an incident with a word more, unless it was over meanwhile."""
        async with self._lock:
            row = self._coordinator.data.incidents.get(incident_id)
            if row is not None and row["status"] == "open" and incident_id in self._told:
                await self._show(row, user_id, **more)

    async def _do(self, row: Json, verb: str, user: User, event: Event[Mapping[str, Any]]) -> None:
        printer_id = printer_of(self._coordinator.data, row)
        registered = registry_id(self._hass, self._entry, printer_id)
        if not may(self._hass, user, registered, POLICY_CONTROL):
            raise Refused("no_control")
        if verb in _INTENTS:
            await self._approvals.request(
                printer_id, _INTENTS[verb], {}, event.context, channel=Channel.MOBILE
            )
            return
        caller = await caller_from(self._hass, event.context, channel=Channel.MOBILE)
        answer = {"incident_id": row["id"], "verdict": FALSE_ALARM}
        await self._client.command("vision.answer", answer, caller=caller)

    # -- what is kept ---------------------------------------------------------------------------------

    def _forget(self, incident_id: str, user_id: str | None = None) -> None:
        """Let the buttons of an incident do nothing any more; those of one person, or all."""
        self._tokens = {
            digest: record
            for digest, record in self._tokens.items()
            if record["incident_id"] != incident_id or user_id not in (None, record["user_id"])
        }

    async def _save(self) -> None:
        now = time.time()
        self._rang = {key: at for key, at in self._rang.items() if now - at < COOLDOWN_S}
        await self._store.async_save(
            {
                "told": self._told,
                "left": self._left,
                "tokens": self._tokens,
                "rang": self._rang,
                "quiet": self._quiet,
            }
        )

    @callback
    def _stop_timers(self) -> None:
        for cancel in self._timers.values():
            cancel()
        self._timers.clear()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _tag(incident_id: str) -> str:
    return f"kitty-incident-{incident_id}"


def _note_id(incident_id: str) -> str:
    return f"kitty_incident_{incident_id}"
