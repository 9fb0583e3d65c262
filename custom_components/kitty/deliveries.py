"""What the brain tells people: on their phones, or over a notifier of this house, and nothing of it twice.

A delivery that was carried out is remembered on the disk before the brain is told, so that one whose answer
was lost is answered again and shows nothing. As with alarms, a button is one person's, and only its hash is kept.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import ClientError
from homeassistant.components.notify import (
    ATTR_MESSAGE,
    ATTR_TITLE,
    DOMAIN as NOTIFY_DOMAIN,
    SERVICE_SEND_MESSAGE,
    NotifyEntityFeature,
)
from homeassistant.const import ATTR_ENTITY_ID, ATTR_SUPPORTED_FEATURES, STATE_UNAVAILABLE
from homeassistant.core import Event, EventOrigin, HomeAssistant, State, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.storage import Store
from homeassistant.util import slugify
import probatio as vol

from .approvals import async_listen_to_presses
from .const import (
    CONF_INSTANCE_ID,
    CONF_LEAST_SEVERITY,
    CONF_PEOPLE,
    DOMAIN,
    LEAST_SEVERITY,
    LOGGER,
    SEVERITIES,
)
from .errors import BrainUnavailable, KittyError, Refused
from .origin import caller_from, person
from .phones import Phones
from .protocol import Channel, Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

NOTIFY_PREFIX: Final = "KITTY_NOTIFY_"
ANSWERED: Final = "notification.answered"
STORE_VERSION: Final = 1
# More than the brain ever has on its way.
DONE_MAX: Final = 1000
# What can still be answered: so many, and so long.
ASKED_MAX: Final = 200
ASKED_FOR: Final = 7 * 86_400.0
# The push service takes 4 kB with everything around it.
PUSH_MAX: Final = 1000
NOTIFIER_TIMEOUT: Final = 45.0

_LOUD: Final[Mapping[str, Json]] = {
    "info": {"push": {"interruption-level": "passive"}, "importance": "low"},
    "warning": {"push": {"interruption-level": "active"}, "importance": "default"},
    "critical": {
        "push": {"interruption-level": "time-sensitive"},
        "importance": "high",
        "priority": "high",
        "ttl": 0,
        "sticky": "true",
    },
}
# A notifier of the old kind may raise whatever its library does.
_FAILURES: Final = (
    OSError,
    ClientError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    vol.Invalid,
)


def store_of(hass: HomeAssistant, entry: KittyConfigEntry) -> Store[Json]:
    """Return where an entry remembers what it has delivered."""
    instance_id = slugify(entry.data[CONF_INSTANCE_ID])
    return Store(hass, STORE_VERSION, f"{DOMAIN}.{instance_id}.deliveries", private=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One notification over one channel; without a ``target`` it is for phones."""

    delivery_id: str
    notification_id: str
    key: str
    target: str | None
    title: str
    message: str
    severity: str
    user_id: str | None
    actions: list[Json]

    @classmethod
    def read(cls, params: Json) -> Self:
        """Read what the brain asks for; ValueError and KeyError for what makes no sense."""
        if params["severity"] not in SEVERITIES:
            raise ValueError(params["severity"])
        actions = [{"id": str(one["id"]), "title": str(one["title"])} for one in params["actions"]]
        return cls(
            delivery_id=str(params["delivery_id"]),
            notification_id=str(params["notification_id"]),
            key=str(params["key"]),
            target=params["target"],
            title=str(params["title"]),
            message=str(params["message"]),
            severity=params["severity"],
            user_id=params["user_id"],
            actions=actions,
        )

    @property
    def matters(self) -> str:
        """Return how important it is to people: a question at least as much as a warning."""
        asks = self.actions and self.severity == SEVERITIES[0]
        return LEAST_SEVERITY if asks else self.severity

    @property
    def tag(self) -> str:
        """Return by what a phone knows the incident: a later notification takes the place of this one."""
        return f"kitty-notify-{_digest(self.key)[:24]}"


class Deliveries:
    """Answers the brain's ``ha.notify``, and takes the answers of people."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take the collaborators from the entry; nothing happens before :meth:`start`."""
        data = entry.runtime_data
        self._hass = hass
        self._entry = entry
        self._client = data.client
        self._coordinator = data.coordinator
        self._phones = Phones(hass, entry, data.ledger)
        self._store = store_of(hass, entry)
        # By delivery: whom it has reached, and whether it is done. By notification: what can be answered.
        self._done: dict[str, Json] = {}
        self._asked: dict[str, Json] = {}
        # By hash: whose button it is, and what it answers.
        self._tokens: dict[str, Json] = {}
        self._under_way: dict[str, asyncio.Task[Json]] = {}

    async def start(self) -> None:
        """Take up what was delivered before a restart, and deliver from now on."""
        kept = await self._store.async_load() or {}
        self._done = kept.get("done", {})
        self._asked = kept.get("asked", {})
        self._tokens = kept.get("tokens", {})
        on_unload = self._entry.async_on_unload
        on_unload(async_listen_to_presses(self._hass, self._entry, self._async_on_press))
        on_unload(self._coordinator.async_listen(ANSWERED, self._on_answered))
        self._client.register("ha.notify", self._async_notify)

    async def _async_notify(self, params: Json) -> Json:
        """Deliver once; whoever asks again meanwhile gets the same answer."""
        letter = Letter.read(params)
        if (under_way := self._under_way.get(letter.delivery_id)) is None:
            under_way = self._entry.async_create_background_task(
                self._hass, self._deliver(letter), f"kitty delivery {letter.delivery_id}"
            )
            self._under_way[letter.delivery_id] = under_way
            under_way.add_done_callback(lambda _: self._under_way.pop(letter.delivery_id, None))
        return await asyncio.shield(under_way)

    async def _deliver(self, letter: Letter) -> Json:
        record = self._done.setdefault(letter.delivery_id, {"told": [], "whole": False})
        if not record["whole"]:
            if letter.target is None:
                await self._tell(letter, record)
            else:
                await self._hand_on(letter, letter.target)
            record["whole"] = True
            await self._save()
        return {"told": record["told"]}

    # -- phones ---------------------------------------------------------------------------------------

    async def _tell(self, letter: Letter, record: Json) -> None:
        """Ring the phones of everybody whom it concerns and who was not reached yet."""
        people = await self._people(letter)
        left = [user_id for user_id in people if user_id not in record["told"]]
        took = await asyncio.gather(*(self._reach(letter, user_id, record) for user_id in left))
        without = [user_id for user_id in people if not self._phones.has_phone(user_id)]
        nobody = not people and letter.matters != SEVERITIES[0]
        missed = not all(took)
        if missed or without or nobody:
            # Here it waits for whoever has no phone, or cannot be reached by it now.
            self._phones.note(_note_id(letter), letter.title, letter.message)
        if missed:
            await self._save()
            raise KittyError("phones_unreachable")
        if not without and not nobody:
            self._phones.take_back(_note_id(letter))

    async def _reach(self, letter: Letter, user_id: str, record: Json) -> bool:
        """Ring one person, and remember it at once: an unload may come before the others are reached."""
        if reached := await self._ring(letter, user_id):
            record["told"].append(user_id)
            await self._save()
        return reached

    async def _people(self, letter: Letter) -> list[str]:
        """Return the one it is for, or those who want to hear of its severity."""
        if letter.user_id is not None:
            if not await person(self._hass, letter.user_id):
                raise Refused("person_unknown")
            return [letter.user_id]
        return [
            user_id
            for user_id, settings in self._entry.options.get(CONF_PEOPLE, {}).items()
            if _wants(settings, letter.matters) and await person(self._hass, user_id)
        ]

    async def _ring(
        self, letter: Letter, user_id: str, *, note: str | None = None, buttons: bool = True
    ) -> bool:
        """Show it to one person, with fresh buttons; False where none of their phones took it."""
        if not self._phones.has_phone(user_id):
            return True
        self._forget(letter.notification_id, user_id)
        tokens: dict[str, str] = {}
        if buttons and letter.actions:
            tokens = await self._mint(letter, user_id)
        words = await self._phones.words()
        data: Json = {
            "tag": letter.tag,
            "group": DOMAIN,
            "channel": words[f"channel_{letter.severity}"],
            **_LOUD[letter.severity],
            "actions": [
                {
                    "action": NOTIFY_PREFIX + tokens[one["id"]],
                    "title": one["title"],
                    "authenticationRequired": True,
                }
                for one in letter.actions
                if one["id"] in tokens
            ],
        }
        data |= {"visibility": "private"} if letter.user_id is not None else {}
        data |= {"alert_once": True} if note else {}
        text = "\n".join(line for line in (note, letter.message) if line)
        took = await self._phones.send(user_id, _short(text), title=letter.title, data=data)
        if tokens and letter.notification_id not in self._asked:
            # It was answered while it was on its way here, and this phone had nothing to clear.
            await self._phones.send(user_id, "clear_notification", data={"tag": letter.tag})
        return took

    async def _mint(self, letter: Letter, user_id: str) -> dict[str, str]:
        """Return the tokens of a person's buttons, the hashes of which are on the disk."""
        tokens = {one["id"]: secrets.token_hex(16) for one in letter.actions}
        for action, token in tokens.items():
            self._tokens[_digest(token)] = {
                "notification_id": letter.notification_id,
                "user_id": user_id,
                "action": action,
            }
        asked = self._asked.setdefault(
            letter.notification_id, {"letter": asdict(letter), "people": [], "at": time.time()}
        )
        asked["people"] = sorted({*asked["people"], user_id})
        await self._save()
        return tokens

    # -- answers --------------------------------------------------------------------------------------

    async def _async_on_press(self, event: Event[Mapping[str, Any]]) -> None:
        """Take the press of a button: whose it is, only the context tells."""
        action = str(event.data.get("action", ""))
        if not action.startswith(NOTIFY_PREFIX):
            return
        record = self._tokens.get(_digest(action.removeprefix(NOTIFY_PREFIX)))
        user = await person(self._hass, event.context.user_id)
        if (
            record is None
            or user is None
            or record["user_id"] != user.id
            or event.origin is not EventOrigin.remote
        ):
            LOGGER.warning("A button of a notification was not taken: it is not of that person")
            return
        # Once: whatever comes of it, a second press of the same button does nothing.
        self._forget(record["notification_id"], user.id)
        await self._save()
        caller = await caller_from(self._hass, event.context, channel=Channel.MOBILE)
        answer = {name: record[name] for name in ("notification_id", "action")}
        try:
            await self._client.command("notifications.answer", answer, caller=caller)
        except HomeAssistantError as err:
            asked = self._asked.get(record["notification_id"])
            if asked is not None:
                # What the brain has refused it will refuse again; while it is away, it can be asked again.
                again = isinstance(err, BrainUnavailable)
                letter = Letter(**asked["letter"])
                await self._ring(letter, user.id, note=str(err), buttons=again)

    @callback
    def _on_answered(self, data: Json) -> None:
        """Take what somebody has answered off every phone."""
        if (asked := self._asked.pop(data["id"], None)) is not None:
            self._forget(data["id"])
            # An unload waits for it: the brain tells it once.
            self._entry.async_create_task(
                self._hass, self._clear(asked), f"kitty answered {data['id']}"
            )

    async def _clear(self, asked: Json) -> None:
        await self._save()
        letter = Letter(**asked["letter"])
        for user_id in asked["people"]:
            await self._phones.send(user_id, "clear_notification", data={"tag": letter.tag})

    # -- notifiers of this house ----------------------------------------------------------------------

    async def _hand_on(self, letter: Letter, target: str) -> None:
        """Have a notifier send it, of the new kind or the old."""
        domain, _, name = target.partition(".")
        state = self._hass.states.get(target)
        known = state is not None or self._hass.services.has_service(NOTIFY_DOMAIN, name)
        if domain != NOTIFY_DOMAIN or name == SERVICE_SEND_MESSAGE or not known:
            raise Refused("notify_target_unknown", target=target)
        if state is not None and state.state == STATE_UNAVAILABLE:
            # It would be passed over without a word.
            raise Refused("notify_target_unavailable", target=target)
        action = name if state is None else SERVICE_SEND_MESSAGE
        try:
            async with asyncio.timeout(NOTIFIER_TIMEOUT):
                await self._hass.services.async_call(
                    NOTIFY_DOMAIN, action, _said(letter, state), blocking=True
                )
        except _FAILURES as err:
            LOGGER.warning("%s did not take a notification: %r", target, err)
            raise KittyError("notify_failed", target=target, reason=type(err).__name__) from err

    # -- what is kept ---------------------------------------------------------------------------------

    def _forget(self, notification_id: str, user_id: str | None = None) -> None:
        """Let the buttons of a notification do nothing any more; those of one person, or all."""
        self._tokens = {
            digest: record
            for digest, record in self._tokens.items()
            if record["notification_id"] != notification_id
            or user_id not in (None, record["user_id"])
        }

    async def _save(self) -> None:
        oldest = time.time() - ASKED_FOR
        recent = {key: one for key, one in self._asked.items() if one["at"] > oldest}
        self._asked = _newest(recent, ASKED_MAX)
        self._done = _newest(self._done, DONE_MAX)
        self._tokens = {
            digest: record
            for digest, record in self._tokens.items()
            if record["notification_id"] in self._asked
        }
        kept = {"done": self._done, "asked": self._asked, "tokens": self._tokens}
        await self._store.async_save(kept)


def _wants(settings: Mapping[str, Any], severity: str) -> bool:
    """Tell whether somebody wants to hear of a severity that is for everybody."""
    least = settings.get(CONF_LEAST_SEVERITY) or LEAST_SEVERITY
    return least in SEVERITIES and SEVERITIES.index(least) <= SEVERITIES.index(severity)


def _said(letter: Letter, state: State | None) -> Json:
    """Return what a notifier is told; one that knows no titles gets it with the words."""
    if state is None:
        return {ATTR_TITLE: letter.title, ATTR_MESSAGE: letter.message}
    said: Json = {ATTR_ENTITY_ID: state.entity_id}
    if state.attributes.get(ATTR_SUPPORTED_FEATURES, 0) & NotifyEntityFeature.TITLE:
        return said | {ATTR_TITLE: letter.title, ATTR_MESSAGE: letter.message}
    return said | {ATTR_MESSAGE: "\n".join(x for x in (letter.title, letter.message) if x)}


def _newest(kept: dict[str, Json], most: int) -> dict[str, Json]:
    return dict(list(kept.items())[-most:])


def _short(text: str) -> str:
    return text if len(text) <= PUSH_MAX else f"{text[: PUSH_MAX - 1]}…"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _note_id(letter: Letter) -> str:
    return f"kitty_notify_{letter.notification_id}"
