"""The actions that tell what the mind did: to each person their own, and to everybody the figures."""

from datetime import UTC, datetime
import json
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB
from .fake_brain import FakeBrain
from .test_subentry_flow import refuse
from .workshop import act, workshop_fixture  # noqa: F401 - fixtures are asked for by name

pytestmark = pytest.mark.usefixtures("workshop")

TALK: Final = "7a" * 16
AT: Final = 1_795_000_000.0


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load the entities that know what people are called."""
    return (Platform.SENSOR,)


def conversation(**changes: Any) -> Json:
    """Return a conversation of Bob's, into which Ada was let."""
    return {
        "id": TALK,
        "owner": BOB,
        "participants": [ADA, BOB],
        "context_key": None,
        "created_at": AT,
        "last_message_at": AT + 5,
        "waits": False,
        "title": "How hot is PETG?",
        "turns": 1,
    } | changes


def message(role: str, text: str, **changes: Any) -> Json:
    """Return one thing that was said."""
    return {
        "id": f"{role:0>32}",
        "conversation_id": TALK,
        "role": role,
        "user_id": BOB if role == "user" else None,
        "text": text,
        "request_id": "r1",
        "created_at": AT,
        "trust": "person",
        "calls": None,
    } | changes


def attempt(**changes: Any) -> Json:
    """Return one attempt on the way to an answer."""
    return {
        "id": "d" * 32,
        "conversation_id": TALK,
        "request_id": "r1",
        "tier": "frontier",
        "confidence": 0.9,
        "cost": 0.02,
        "latency_ms": 900.0,
        "reason": "asked",
        "performed_by": BOB,
        "created_at": AT,
        "provider_id": "p" * 32,
        "model": "big",
        "cached": False,
        "tokens_in": 10,
        "tokens_out": 20,
        "stages": {"answer": 901.0},
    } | changes


async def asked(hass: HomeAssistant, brain: FakeBrain, *attempts: Json) -> Json:
    """Return the conversation as Bob sees it."""
    said = [message("assistant", "240 °C."), message("user", "How hot is PETG?")]
    whole = {"conversation": conversation(), "items": said, "cursor": None}
    brain.answers["conversation.get"] = lambda _params, _caller: whole
    brain.answers["decisions.list"] = lambda _params, _caller: {
        "items": list(attempts),
        "cursor": None,
    }
    found: Json = await act(hass, "get_conversations", BOB, conversation_id=TALK)
    return found


# -- conversations ------------------------------------------------------------------------------------


async def test_a_person_is_told_their_conversations(hass: HomeAssistant, brain: FakeBrain) -> None:
    """The last spoken in first, with the names of who is in them; the brain hears who asks."""
    page = {"items": [conversation()], "cursor": "next"}
    brain.answers["conversation.list"] = lambda _params, _caller: page
    told = await act(hass, "get_conversations", BOB, limit=1)
    assert told == {"items": [conversation(people=["Ada", "Bob"])], "cursor": "next"}
    assert brain.sent("conversation.list") == [{"newest_first": True, "limit": 1}]
    [caller] = brain.callers("conversation.list")
    assert caller is not None
    assert caller["user_id"] == BOB


async def test_each_reply_says_how_it_came_about(hass: HomeAssistant, brain: FakeBrain) -> None:
    """By what it was answered and what was tried before; the cost is that of all of it."""
    tried = attempt(tier="local", cost=0.001, reason="not_sure", model="small", stages=None)
    told = await asked(hass, brain, attempt(), tried)
    reply, question = told["items"]
    assert (reply["answer"]["tier"], reply["answer"]["model"]) == ("frontier", "big")
    assert reply["answer"]["cost"] == pytest.approx(0.021)
    assert [one["reason"] for one in reply["answer"]["tried"]] == ["not_sure"]
    assert (question["answer"], question["name"]) == (None, "Bob")


async def test_a_reply_of_which_nothing_is_recorded_is_still_told(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Its words are what counts."""
    told = await asked(hass, brain)
    assert (told["items"][0]["text"], told["items"][0]["answer"]) == ("240 °C.", None)


async def test_the_decisions_of_a_conversation_of_others_are_not_even_read(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """They would tell when somebody spoke."""
    brain.answers["conversation.get"] = refuse("conversation_not_found")
    with pytest.raises(HomeAssistantError) as refused:
        await act(hass, "get_conversations", BOB, conversation_id=TALK)
    assert refused.value.translation_key == "conversation_not_found"
    assert brain.sent("decisions.list") == []


@pytest.mark.parametrize("action", ["get_conversations", "get_memories", "export_memories"])
async def test_nobody_known_has_nothing_of_their_own(hass: HomeAssistant, action: str) -> None:
    """An automation that nobody started is nobody."""
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, action, None)
    assert refused.value.translation_key == "user_required"


async def test_a_person_lets_another_into_their_conversation(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """By the person entity; the brain hears who invites."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB, "friendly_name": "Bob"})
    brain.answers["conversation.invite"] = lambda _params, _caller: {"participants": [ADA, BOB]}
    told = await act(hass, "invite_to_conversation", conversation_id=TALK, person="person.bob")
    assert told == {"participants": [ADA, BOB], "people": ["Ada", "Bob"]}
    assert brain.sent("conversation.invite") == [{"conversation_id": TALK, "user_id": BOB}]
    [caller] = brain.callers("conversation.invite")
    assert caller is not None
    assert caller["user_id"] == ADA


async def test_a_person_leaves_a_conversation_or_sends_somebody_away(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    brain.answers["conversation.leave"] = lambda _params, _caller: {"participants": [ADA]}
    await act(hass, "leave_conversation", BOB, conversation_id=TALK)
    told = await act(hass, "leave_conversation", conversation_id=TALK, person="person.bob")
    assert told == {"participants": [ADA], "people": ["Ada"]}
    assert brain.sent("conversation.leave") == [
        {"conversation_id": TALK},
        {"conversation_id": TALK, "user_id": BOB},
    ]


async def test_a_person_without_a_user_is_let_into_nothing(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Nobody could speak as them."""
    hass.states.async_set("person.child", "home", {})
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, "invite_to_conversation", conversation_id=TALK, person="person.child")
    assert caught.value.translation_key == "person_without_user"
    assert brain.sent("conversation.invite") == []


@pytest.mark.parametrize("action", ["invite_to_conversation", "leave_conversation"])
async def test_an_automation_is_in_no_conversation(
    hass: HomeAssistant, brain: FakeBrain, action: str
) -> None:
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, action, None, conversation_id=TALK, person="person.bob")
    assert caught.value.translation_key == "user_required"


# -- memory -------------------------------------------------------------------------------------------


async def test_memories_come_newest_first_with_how_memory_is(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """So that a page can be drawn from one answer."""
    brain.answers["memory.list"] = lambda _params, _caller: {"items": [{"id": "m"}], "cursor": None}
    brain.answers["memory.status"] = lambda _params, _caller: {"enabled": True}
    told = await act(hass, "get_memories", BOB, cursor="m9")
    assert told == {"items": [{"id": "m"}], "cursor": None, "status": {"enabled": True}}
    assert brain.sent("memory.list") == [{"limit": 100, "cursor": "m9", "newest_first": True}]


async def test_an_export_is_all_of_ones_own_however_many_pages_it_has(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """As one text that other programs read."""
    pages = [{"items": [{"text": "é"}], "cursor": "a"}, {"items": [{"text": "b"}], "cursor": None}]
    brain.answers["memory.export"] = lambda _params, _caller: pages.pop(0)
    told = await act(hass, "export_memories", BOB)
    assert json.loads(told.pop("text")) == [{"text": "é"}, {"text": "b"}]
    assert told == {"name": "memories.json", "content_type": "application/json", "rows": 2}


async def test_a_person_switches_their_own_memory(hass: HomeAssistant, brain: FakeBrain) -> None:
    """And nobody else's: nobody is named but who calls."""
    brain.answers["memory.enable"] = lambda params, _caller: params
    assert await act(hass, "enable_memory", BOB, enabled=False) == {"enabled": False}
    [caller] = brain.callers("memory.enable")
    assert caller is not None
    assert caller["user_id"] == BOB


# -- figures ------------------------------------------------------------------------------------------


async def test_answers_are_told_by_the_days_of_this_house(
    hass: HomeAssistant, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """Its nights are where they are: also the one in which the clocks are changed."""
    await hass.config.async_set_time_zone("Europe/Berlin")
    freezer.move_to(datetime(2026, 10, 26, 11, tzinfo=UTC))
    sunday = datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()
    monday = datetime(2026, 10, 25, 23, tzinfo=UTC).timestamp()
    row = {"start": sunday, "tier": "local", "answers": 3, "cached": 1}
    figures = {"days": [row], "tiers": []}
    brain.answers["decisions.figures"] = lambda _params, _caller: figures
    brain.answers["cache.status"] = lambda _params, _caller: {"hits": 1}
    told = await act(hass, "get_decisions", BOB, days=2)
    assert brain.sent("decisions.figures") == [{"starts": [sunday, monday]}]
    shown = {"day": "2026-10-25", "tier": "local", "answers": 3, "cached": 1}
    assert told == {"days": [shown], "tiers": [], "cache": {"hits": 1}}


async def test_spending_is_told_for_a_month_if_nothing_else_is_said(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """What the brain's own days are, it knows."""
    brain.answers["spending.summary"] = lambda _params, _caller: {"currency": "EUR", "items": []}
    assert await act(hass, "get_spending", BOB) == {"currency": "EUR", "items": []}
    assert brain.sent("spending.summary") == [{"days": 30}]


@pytest.mark.parametrize("days", [0, 401, "many"])
async def test_days_that_make_no_sense_are_refused(hass: HomeAssistant, days: Any) -> None:
    """Before the brain is asked."""
    with pytest.raises(vol.Invalid):
        await act(hass, "get_spending", days=days)


async def test_what_has_helped_is_told_as_a_whole(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """However many pages there are."""
    pages = [{"items": [{"goal_id": "a"}], "cursor": "a"}, {"items": [{"goal_id": "b"}]}]
    brain.answers["outcomes.list"] = lambda _params, _caller: pages.pop(0)
    told = await act(hass, "get_outcomes", BOB)
    assert [one["goal_id"] for one in told["items"]] == ["a", "b"]
