"""Who asks, and by which road: only a person's own finger counts as one."""

from http import HTTPStatus
from typing import Any

from aiohttp import web
from homeassistant.auth.models import TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN
from homeassistant.components.conversation import async_get_chat_log
from homeassistant.components.webhook import async_register
from homeassistant.core import Context, HomeAssistant, ServiceCall
from homeassistant.helpers.chat_session import async_get_chat_session
from homeassistant.helpers.http import KEY_HASS, HomeAssistantView
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    WebSocketGenerator,
)

from custom_components.kitty.origin import Caller, caller_from
from custom_components.kitty.protocol import Channel

from .conftest import ADA

type Callers = list[Caller]


@pytest.fixture(autouse=True)
def finger() -> None:
    """Leave every road as it is: here they are the question."""


@pytest.fixture
async def callers(hass: HomeAssistant, people: dict[str, MockUser]) -> Callers:
    """Return whom the action ``test.ask`` was called by."""
    found: Callers = []

    async def ask(call: ServiceCall) -> None:
        found.append(await caller_from(hass, call.context))

    hass.services.async_register("test", "ask", ask)
    return found


async def test_a_finger_on_a_dashboard(
    hass: HomeAssistant,
    callers: Callers,
    hass_ws_client: WebSocketGenerator,
    hass_admin_user: MockUser,
) -> None:
    """A user's own call from the frontend is that person's."""
    await _ask_by_socket(await hass_ws_client(hass))
    assert (callers[0].user_id, callers[0].channel) == (hass_admin_user.id, Channel.DASHBOARD)


async def test_a_context_that_is_carried_about(hass: HomeAssistant, callers: Callers) -> None:
    """Code in a timer or a thread that has somebody's context is nobody's finger."""
    context = Context(user_id=ADA)
    await hass.services.async_call("test", "ask", context=context, blocking=True)
    await hass.async_add_executor_job(hass.services.call, "test", "ask", {}, True, context)
    assert [(one.user_id, one.channel) for one in callers] == [(ADA, Channel.AUTOMATION)] * 2


async def test_a_token_acts_for_its_own_user(
    hass: HomeAssistant, callers: Callers, hass_client: ClientSessionGenerator
) -> None:
    """What runs in Bob's request under Ada's name is not Ada's finger."""
    assert await async_setup_component(hass, "api", {})

    async def other(_call: ServiceCall) -> None:
        await hass.services.async_call("test", "ask", context=Context(user_id=ADA), blocking=True)

    hass.services.async_register("test", "other", other)
    await _ask_by_http(hass, await hass_client(), "/api/services/test/other")
    assert callers[0].channel is Channel.AUTOMATION


async def test_nobody(hass: HomeAssistant, callers: Callers) -> None:
    """A call without a user is an automation's."""
    await hass.services.async_call("test", "ask", blocking=True)
    assert (callers[0].user_id, callers[0].channel) == (None, Channel.AUTOMATION)


async def test_an_automation_that_a_person_set_off(hass: HomeAssistant, callers: Callers) -> None:
    """A context with a parent was not made by a finger, whoever it names."""
    context = Context(user_id=ADA, parent_id="parent")
    await hass.services.async_call("test", "ask", context=context, blocking=True)
    assert callers[0].channel is Channel.AUTOMATION


async def test_a_script_that_a_person_started(hass: HomeAssistant, callers: Callers) -> None:
    """What a script does is not what the person's finger was on."""
    script = {"script": {"go": {"sequence": [{"action": "test.ask"}]}}}
    assert await async_setup_component(hass, "script", script)
    await hass.services.async_call("script", "go", context=Context(user_id=ADA), blocking=True)
    assert (callers[0].user_id, callers[0].channel) == (ADA, Channel.AUTOMATION)


async def test_a_user_that_is_switched_off(
    hass: HomeAssistant, callers: Callers, people: dict[str, MockUser]
) -> None:
    """A deactivated user is nobody."""
    people[ADA].is_active = False
    await hass.services.async_call("test", "ask", context=Context(user_id=ADA), blocking=True)
    assert (callers[0].user_id, callers[0].channel) == (None, Channel.AUTOMATION)


async def test_a_user_that_the_system_made(hass: HomeAssistant, callers: Callers) -> None:
    """The Supervisor's user and its like are no person."""
    system = MockUser(system_generated=True).add_to_hass(hass)
    await hass.services.async_call("test", "ask", context=Context(user_id=system.id), blocking=True)
    assert (callers[0].user_id, callers[0].channel) == (None, Channel.AUTOMATION)


@pytest.mark.parametrize(
    ("user_id", "channel"), [(ADA, Channel.ASSIST), (None, Channel.VOICE)], ids=["known", "unknown"]
)
async def test_words(
    hass: HomeAssistant, callers: Callers, user_id: str | None, channel: Channel
) -> None:
    """What happens in a conversation is words: of a known person, or of anybody in the room."""
    assert await async_setup_component(hass, "homeassistant", {})
    assert await async_setup_component(hass, "conversation", {})
    context = Context(user_id=user_id)
    with async_get_chat_session(hass) as session, async_get_chat_log(hass, session):
        await hass.services.async_call("test", "ask", context=context, blocking=True)
    assert callers[0].channel is channel


async def _ask_by_http(
    hass: HomeAssistant, client: Any, path: str = "/api/services/test/ask"
) -> None:
    answer = await client.post(path, json={})
    assert answer.status == HTTPStatus.OK


async def test_a_browser(
    hass: HomeAssistant, callers: Callers, hass_client: ClientSessionGenerator
) -> None:
    """A person who signed in is at a dashboard."""
    assert await async_setup_component(hass, "api", {})
    await _ask_by_http(hass, await hass_client())
    assert callers[0].channel is Channel.DASHBOARD


async def test_a_program_with_a_long_lived_token(
    hass: HomeAssistant,
    callers: Callers,
    hass_client: ClientSessionGenerator,
    hass_admin_user: MockUser,
) -> None:
    """A token that is made for programs is a program, whoever made it."""
    assert await async_setup_component(hass, "api", {})
    refresh = await hass.auth.async_create_refresh_token(
        hass_admin_user,
        client_name="Script",
        token_type=TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN,
    )
    await _ask_by_http(hass, await hass_client(hass.auth.async_create_access_token(refresh)))
    assert callers[0].channel is Channel.API


async def _long_lived(hass: HomeAssistant, user: MockUser) -> str:
    refresh = await hass.auth.async_create_refresh_token(
        user, client_name="Script", token_type=TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN
    )
    return hass.auth.async_create_access_token(refresh)


async def _ask_by_socket(socket: Any) -> None:
    await socket.send_json({"id": 1, "type": "call_service", "domain": "test", "service": "ask"})
    assert (await socket.receive_json())["success"]


async def test_a_program_on_the_socket(
    hass: HomeAssistant,
    callers: Callers,
    hass_ws_client: WebSocketGenerator,
    hass_admin_user: MockUser,
) -> None:
    """A program stays a program where its token comes in a message."""
    await _ask_by_socket(await hass_ws_client(hass, await _long_lived(hass, hass_admin_user)))
    assert callers[0].channel is Channel.API


async def _talk(hass: HomeAssistant) -> None:
    """Offer an action that asks from within a conversation."""
    assert await async_setup_component(hass, "homeassistant", {})
    assert await async_setup_component(hass, "conversation", {})
    assert await async_setup_component(hass, "api", {})

    async def talk(call: ServiceCall) -> None:
        with async_get_chat_session(hass) as session, async_get_chat_log(hass, session):
            await hass.services.async_call("test", "ask", context=call.context, blocking=True)

    hass.services.async_register("test", "talk", talk)


async def test_a_program_that_talks(
    hass: HomeAssistant,
    callers: Callers,
    hass_client: ClientSessionGenerator,
    hass_admin_user: MockUser,
) -> None:
    """Words do not make a person of it."""
    await _talk(hass)
    client = await hass_client(await _long_lived(hass, hass_admin_user))
    await _ask_by_http(hass, client, "/api/services/test/talk")
    assert callers[0].channel is Channel.API


async def test_a_person_who_types(
    hass: HomeAssistant, callers: Callers, hass_client: ClientSessionGenerator
) -> None:
    """Words of a signed-in person are words."""
    await _talk(hass)
    await _ask_by_http(hass, await hass_client(), "/api/services/test/talk")
    assert callers[0].channel is Channel.ASSIST


class _Side(HomeAssistantView):
    """A view of another integration that acts under the user of its token."""

    url = "/api/{what:.*}"
    name = "api:side"

    async def post(self, request: web.Request, what: str) -> web.Response:
        """Ask as a voice cloud or a tool would."""
        context = Context(user_id=request["hass_user"].id)
        hass = request.app[KEY_HASS]
        await hass.services.async_call("test", "ask", context=context, blocking=True)
        return web.Response()


@pytest.mark.parametrize("path", ["/api/mcp", "/api/google_assistant", "/api/alexa/smart_home"])
async def test_a_model_or_a_voice_cloud_under_a_persons_name(
    hass: HomeAssistant, callers: Callers, hass_client: ClientSessionGenerator, path: str
) -> None:
    """What comes by another road than a person's own screen is never a finger."""
    assert await async_setup_component(hass, "http", {})
    hass.http.register_view(_Side())
    await _ask_by_http(hass, await hass_client(), path)
    assert callers[0].channel is Channel.AUTOMATION


@pytest.mark.parametrize(
    ("domain", "channel"),
    [("mobile_app", Channel.ASSIST), ("google_assistant", Channel.AUTOMATION)],
)
async def test_the_webhook_of_a_phone_and_of_others(
    hass: HomeAssistant,
    callers: Callers,
    hass_client_no_auth: ClientSessionGenerator,
    domain: str,
    channel: Channel,
) -> None:
    """The app speaks for its person and proves no finger; others do not even that."""
    assert await async_setup_component(hass, "webhook", {})
    MockConfigEntry(domain=domain, data={"webhook_id": "the-hook"}).add_to_hass(hass)

    async def take(hass: HomeAssistant, _id: str, _request: web.Request) -> None:
        context = Context(user_id=ADA)
        await hass.services.async_call("test", "ask", context=context, blocking=True)

    async_register(hass, domain, "Hook", "the-hook", take)
    await _ask_by_http(hass, await hass_client_no_auth(), "/api/webhook/the-hook")
    assert callers[0].channel is channel
