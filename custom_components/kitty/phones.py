"""Asking the phones: one notification per request and person, with tokens only that person can use.

The tokens go straight to the mobile app and not through an action, whose data everybody could read.
"""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
import logging
from typing import TYPE_CHECKING, Any, Final, override

from aiohttp import ClientError
from homeassistant.components import persistent_notification
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util

from .const import CONF_NOTIFY, CONF_PEOPLE, DOMAIN, LOGGER, SUBENTRY_DEVICE
from .entity import person_name
from .ledger import Ledger
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

APPROVE_PREFIX: Final = "KITTY_APPROVE_"
DENY_PREFIX: Final = "KITTY_DENY_"
ACTION_PREFIXES: Final = (APPROVE_PREFIX, DENY_PREFIX)

MOBILE_APP: Final = "mobile_app"
PUSH_LOG: Final = f"homeassistant.components.{MOBILE_APP}.notify"
PUSH_TIMEOUT: Final = 15.0
PARAMS_MAX: Final = 200

# What went wrong with the push of this task.
_troubles: ContextVar[list[str]] = ContextVar("kitty_push_troubles")


class _Listener(logging.Handler):
    """Hears what the mobile app only logs: that a push was not taken."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words for the push that is under way in this task."""
        if (troubles := _troubles.get(None)) is not None:
            troubles.append(record.getMessage())


class Phones:
    """Puts a request on phones, changes it, and takes it away again."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry, ledger: Ledger) -> None:
        """Take the ledger in which the tokens are kept."""
        self._hass = hass
        self._entry = entry
        self._ledger = ledger
        self._tokens: dict[tuple[str, str], dict[str, str]] = {}
        # What each phone shows: the subject and the words.
        self._shown: dict[tuple[str, str], tuple[str, str, str]] = {}
        listener = _Listener(logging.WARNING)
        logging.getLogger(PUSH_LOG).addHandler(listener)
        entry.async_on_unload(lambda: logging.getLogger(PUSH_LOG).removeHandler(listener))

    async def ask(
        self, event: Json, user_id: str, *, note: str | None = None, again: bool = False
    ) -> None:
        """Show a request to one person; what is shown already is not sent twice.

        After a restart the notification on the phone is still there, and its tokens are still good.
        """
        key = event["id"], user_id
        words = await self.words()
        message = await self._message(words, event, note)
        title = self._title(words, event)
        shown = event["subject"], title, message
        still_there = key not in self._shown and self._ledger.shows(event, user_id)
        if not again and (still_there or self._shown.get(key) == shown):
            return
        if again or key not in self._tokens or self._shown[key][0] != event["subject"]:
            self._tokens[key] = await self._ledger.mint(event, user_id)
        self._shown[key] = shown
        data = self._data(words, event, self._tokens[key])
        if not await self.send(user_id, message, title=title, data=data):
            self.note(_notification_id(event["id"]), title, message)
        await self._ledger.mark_shown(event["id"], user_id)

    async def tell(self, event: Json, user_id: str, message: str) -> None:
        """Replace a request on one person's phones by a sentence without buttons."""
        data: Json = {"tag": _tag(event["id"]), "group": DOMAIN}
        await self.send(user_id, message, title=self._title(await self.words(), event), data=data)

    async def clear(self, event_id: str, user_ids: Iterable[str], *, over: bool = False) -> None:
        """Take a request off people's phones; ``over`` where nobody is asked any more."""
        for user_id in user_ids:
            if self._ledger.is_cleared(event_id, user_id):
                continue
            await self.send(user_id, "clear_notification", data={"tag": _tag(event_id)})
            await self._ledger.mark_cleared(event_id, user_id)
            self._tokens.pop((event_id, user_id), None)
            self._shown.pop((event_id, user_id), None)
        if over:
            self.take_back(_notification_id(event_id))

    async def say(self, user_id: str | None, message: str, *, tag: str) -> None:
        """Tell one person something; where no phone takes it, or nobody is known, the house is told."""
        data: Json = {"tag": f"kitty-reply-{tag}", "group": DOMAIN, "visibility": "private"}
        title = self._entry.title
        if user_id is None or not await self.send(user_id, message, title=title, data=data):
            self.note(f"kitty_reply_{tag}", title, message)

    @callback
    def note(self, note_id: str, title: str, message: str) -> None:
        """Show something in Home Assistant itself, as plain text."""
        persistent_notification.async_create(
            self._hass, _plain(message), title=_plain(title), notification_id=note_id
        )

    @callback
    def take_back(self, note_id: str) -> None:
        """Take away what :meth:`note` showed."""
        persistent_notification.async_dismiss(self._hass, note_id)

    async def send(
        self, user_id: str, message: str, *, title: str | None = None, data: Json
    ) -> bool:
        """Send to every phone of a person; False where none took it."""
        service, webhooks = self._phones_of(user_id)
        took = await asyncio.gather(
            *(self._push(service, webhook, message, title, data) for webhook in webhooks)
        )
        return any(took)

    def has_phone(self, user_id: str) -> bool:
        """Tell whether there is a phone on which this person could be told something."""
        return bool(self._phones_of(user_id)[1])

    async def _push(
        self, service: Any, webhook_id: str, message: str, title: str | None, data: Json
    ) -> bool:
        troubles: list[str] = []
        _troubles.set(troubles)
        try:
            async with asyncio.timeout(PUSH_TIMEOUT):
                await service.async_send_message(
                    message, title=title, target=[webhook_id], data=data
                )
        except (HomeAssistantError, ClientError, TimeoutError, KeyError, ValueError) as err:
            troubles.append(repr(err))
        if troubles:
            LOGGER.warning("A phone could not be reached: %s", troubles[0])
        return not troubles

    def _phones_of(self, user_id: str) -> tuple[Any, list[str]]:
        """Return the mobile app's notifier and the phones of a person that it can reach."""
        service = self._hass.data.get(MOBILE_APP, {}).get("notify")
        targets: dict[str, str] = getattr(service, "registered_targets", {})
        own = {
            entry.data["webhook_id"]
            for entry in self._hass.config_entries.async_loaded_entries(MOBILE_APP)
            if entry.data.get("user_id") == user_id
        }
        chosen = self._entry.options.get(CONF_PEOPLE, {}).get(user_id, {}).get(CONF_NOTIFY) or ()
        names = {str(name).removeprefix("notify.") for name in chosen}
        return service, [
            webhook_id
            for name, webhook_id in targets.items()
            if webhook_id in own and (not names or name in names)
        ]

    def _data(self, words: dict[str, str], event: Json, tokens: dict[str, str]) -> Json:
        """Return what makes it safe: one person's tokens, an unlocked phone, a short life."""
        seconds = max(1, round(event["expires_at"] - self._ledger.now()))
        approve = words["approve_ppe" if event["requires_ppe"] else "approve"]
        return {
            "tag": _tag(event["id"]),
            "group": DOMAIN,
            "actions": [
                {
                    "action": APPROVE_PREFIX + tokens["approve"],
                    "title": approve,
                    "authenticationRequired": True,
                    "destructive": True,
                },
                {
                    "action": DENY_PREFIX + tokens["deny"],
                    "title": words["deny"],
                    "authenticationRequired": True,
                },
            ],
            "push": {"interruption-level": "time-sensitive"},
            "ttl": 0,
            "priority": "high",
            "channel": words["channel"],
            "importance": "high",
            "sticky": "true",
            "timeout": seconds,
            "visibility": "private",
            "alert_once": True,
        }

    def _title(self, words: dict[str, str], event: Json) -> str:
        intent = words.get(f"intent_{event['intent']}", str(event["intent"]))
        return words["title"].format(intent=intent, device=self._device_name(event))

    async def _message(self, words: dict[str, str], event: Json, note: str | None) -> str:
        """Say who wants what, where, how dangerous it is, and how long there is time."""
        requester = (self._ledger.event(event["id"]) or {}).get("requester")
        user_id = requester or event["initiated_by"]
        user = await self._hass.auth.async_get_user(user_id) if user_id else None
        who = person_name(self._hass, user_id) or (user and user.name) or words["nobody"]
        until = dt_util.as_local(dt_util.utc_from_timestamp(event["expires_at"]))
        details = ", ".join(_detail(words, *one) for one in event["params"].items())
        text = words["message"].format(
            who=who,
            have=len(event["people"]),
            needed=event["people_needed"],
            level=words.get(f"level_{event['level']}", str(event["level"])),
            time=until.strftime("%H:%M:%S"),
        )
        return "\n".join(line for line in (note, text, details[:PARAMS_MAX]) if line)

    def _device_name(self, event: Json) -> str:
        """Return the name that a person gave the device here, not what the brain calls it."""
        for item in self._entry.get_subentries_of_type(SUBENTRY_DEVICE):
            if item.data.get("device_id") == event["device_id"]:
                return item.title
        return str(event["device_id"])

    async def words(self) -> dict[str, str]:
        """Return the words of notifications, intents and incidents in the language of the house."""
        found = await async_get_translations(
            self._hass, self._hass.config.language, "selector", {DOMAIN}
        )
        words: dict[str, str] = {}
        for selector, prefix in (
            ("notification", ""),
            ("intent", "intent_"),
            ("incident", "incident_"),
            ("parameter", "parameter_"),
        ):
            start = f"component.{DOMAIN}.selector.{selector}.options."
            for key, text in found.items():
                if key.startswith(start):
                    words[prefix + key.removeprefix(start)] = text
        return words


def _detail(words: dict[str, str], name: str, value: Any) -> str:
    """Return a parameter in words; one that has none is shown as it is: people approve all of it."""
    text = words.get(f"parameter_{name}{'_not' if value is False else ''}")
    if isinstance(value, float):
        value = f"{value:g}"
    return f"{name}: {value}" if text is None else text.replace("{value}", str(value))


def _tag(event_id: str) -> str:
    return f"kitty-approval-{event_id}"


def _notification_id(event_id: str) -> str:
    return f"kitty_{event_id}"


def _plain(text: str) -> str:
    """Return a text in which nothing is Markdown: names may come from far away."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]()<>#+-.!|~&" else char for char in text)
