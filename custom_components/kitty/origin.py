"""Who asks, and by which road. Only ``context.user_id`` names a person; data never does."""

from dataclasses import dataclass
from typing import Final

from homeassistant.auth.models import TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN, User
from homeassistant.components.conversation.chat_log import current_chat_log
from homeassistant.components.http.const import KEY_HASS_REFRESH_TOKEN_ID
from homeassistant.components.websocket_api import current_connection
from homeassistant.const import CONF_WEBHOOK_ID
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers.http import current_request
from homeassistant.helpers.script import script_stack_cv

from .protocol import Channel, Json

# The frontend and the REST of a person who signed in. The webhook of somebody's companion app is known
# by its address alone (a watch, Siri, a widget): it speaks for that person and is no proof of a finger.
# Whatever else comes over HTTP under a user's name (voice clouds, tools of models) is no finger.
_FINGER_PATHS: Final = ("/api/websocket", "/api/services/")
_WEBHOOK: Final = "/api/webhook/"
_COMPANION: Final = "mobile_app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The person behind a command, or nobody, and the road it came by."""

    user_id: str | None
    name: str | None
    channel: Channel
    context_id: str | None = None

    def as_dict(self) -> Json:
        """Return the caller as it goes over the wire."""
        return {
            "user_id": self.user_id,
            "name": self.name,
            "channel": str(self.channel),
            "context_id": self.context_id,
        }


SYSTEM = Caller(user_id=None, name=None, channel=Channel.SYSTEM)


async def person(hass: HomeAssistant, user_id: str | None) -> User | None:
    """Return the user of an id if it is a person who may act: active and not made by the system."""
    user = await hass.auth.async_get_user(user_id) if user_id else None
    return user if user and user.is_active and not user.system_generated else None


async def caller_from(
    hass: HomeAssistant, context: Context, *, channel: Channel | None = None
) -> Caller:
    """Return the caller of a context; ``channel`` only from a handler that knows better."""
    # Before the first await: the road is a property of the task that we are called in.
    road = channel or channel_of(hass, context)
    user = await person(hass, context.user_id)
    if user is None and road in (Channel.DASHBOARD, Channel.MOBILE):
        road = Channel.AUTOMATION
    return Caller(
        user_id=user.id if user else None,
        name=user.name if user else None,
        channel=road,
        context_id=context.id,
    )


def channel_of(hass: HomeAssistant, context: Context) -> Channel:
    """Return the road of the code that runs now under this context; the least trusted that fits."""
    if script_stack_cv.get() or context.parent_id:
        return Channel.AUTOMATION
    speaking = current_chat_log.get() is not None
    if context.user_id is None:
        return Channel.VOICE if speaking else Channel.AUTOMATION
    request, connection = current_request.get(), current_connection.get()
    if request is None:
        # A satellite's words, or code that carries somebody's context about: no finger came in here.
        return Channel.ASSIST if speaking else Channel.AUTOMATION
    # On a socket the token came in a message, not in the request's header.
    token_id = connection.refresh_token_id if connection else request.get(KEY_HASS_REFRESH_TOKEN_ID)
    token = hass.auth.async_get_refresh_token(token_id or "")
    if token is not None and token.token_type == TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN:
        return Channel.API
    if token is not None and token.user.id != context.user_id:
        return Channel.AUTOMATION
    if speaking:
        return Channel.ASSIST
    if _is_companion(hass, request.path):
        return Channel.ASSIST
    return Channel.DASHBOARD if request.path.startswith(_FINGER_PATHS) else Channel.AUTOMATION


def _is_companion(hass: HomeAssistant, path: str) -> bool:
    """Tell whether a request came in by the webhook of somebody's companion app."""
    webhook_id = path.removeprefix(_WEBHOOK)
    return webhook_id != path and any(
        entry.data.get(CONF_WEBHOOK_ID) == webhook_id
        for entry in hass.config_entries.async_entries(_COMPANION)
    )
