"""The Assist agent: words to the brain and back, each conversation its owner's."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from homeassistant.components import conversation
from homeassistant.components.conversation import ConversationResult
from homeassistant.components.conversation.chat_log import DATA_CHAT_LOGS
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
    async_mock_service,
    snapshot_platform,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR, ZONE
from .fake_brain import FakeBrain, FakeError
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    PRINTER,
    REAL_LOCK,
    gone,
    push,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

AGENT = "conversation.brain"
BRAIN_ID = "c0" * 16


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.CONVERSATION,)


def answers(brain: FakeBrain, *words: str, text: str | None = None, **more: Any) -> None:
    """Let the brain say these words one after another."""
    result = {
        "conversation_id": BRAIN_ID,
        "text": "".join(words) if text is None else text,
        "continue_conversation": False,
        "tier": "rules",
        "data": {},
    } | more

    async def say(_params: Json, _caller: Json | None) -> AsyncIterator[Json]:
        for word in words:
            yield {"text": word}
        yield {"result": result}

    brain.answers["conversation.process"] = say


async def speak(
    hass: HomeAssistant,
    text: str = "hello",
    *,
    user_id: str | None = ADA,
    conversation_id: str | None = None,
    **more: Any,
) -> ConversationResult:
    """Say something to the agent."""
    return await conversation.async_converse(
        hass,
        text,
        conversation_id,
        Context(user_id=user_id),
        language="en",
        agent_id=AGENT,
        **more,
    )


def said(result: ConversationResult) -> str:
    """Return what is spoken."""
    speech: str = result.response.speech["plain"]["speech"]
    return speech


def log(hass: HomeAssistant, result: ConversationResult) -> list[Any]:
    """Return what the chat log keeps of a conversation, without what was asked."""
    content = hass.data[DATA_CHAT_LOGS][result.conversation_id or ""].content
    return [one for one in content if one.role in ("assistant", "tool_result")]


async def test_the_agents_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


async def test_the_agent_takes_any_language_and_streams(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """The pipeline asks before it speaks."""
    info = conversation.async_get_agent_info(hass, AGENT)
    assert info is not None
    assert info.supports_streaming
    assert conversation.async_get_conversation_languages(hass, AGENT) == "*"


async def test_words_go_to_the_brain_as_typed_by_a_known_user(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The road is Assist, not a finger."""
    answers(brain, "Hello ", "Ada.")
    result = await speak(hass, "good morning")
    assert said(result) == "Hello Ada."
    turn = brain.sent("conversation.process")[0]
    assert 0 <= turn.pop("second_of_day") < 86_400
    now = dt_util.now()
    assert turn.pop("today") == f"{now:%A}, {now.day} {now:%B} {now.year}"
    assert turn == {"text": "good morning", "language": "en"}
    caller = brain.callers("conversation.process")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "assist")


async def test_words_of_nobody_known_are_a_voice(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A satellite has no user."""
    answers(brain, "Hello.")
    await speak(hass, user_id=None)
    caller = brain.callers("conversation.process")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (None, "voice")


async def test_the_answer_is_in_the_chat_log_once(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What was streamed is not said again at the end."""
    answers(brain, "One ", "two.")
    assert [one.content for one in log(hass, await speak(hass))] == ["One two."]


async def test_an_answer_that_was_not_streamed_is_said_all_the_same(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The result alone is enough."""
    answers(brain, text="Done.")
    assert said(await speak(hass)) == "Done."


@pytest.mark.parametrize("asks", [True, False])
async def test_the_brain_says_whether_it_waits_for_an_answer(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, asks: bool
) -> None:
    """The satellite listens on only if so."""
    answers(brain, "Which door?", continue_conversation=asks)
    assert (await speak(hass)).continue_conversation is asks


async def test_the_next_turn_is_the_same_conversation_of_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Each side has its own name for it."""
    answers(brain, "Which door?")
    first = await speak(hass, "unlock")
    second = await speak(hass, "the red one", conversation_id=first.conversation_id)
    assert second.conversation_id == first.conversation_id
    assert brain.sent("conversation.process")[1]["conversation_id"] == BRAIN_ID


async def test_nobody_goes_on_with_the_conversation_of_another(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A yes of Bob is not a yes of Ada."""
    answers(brain, "Shall I?")
    first = await speak(hass, "unlock the door")
    second = await speak(hass, "yes", user_id=BOB, conversation_id=first.conversation_id)
    assert said(second) == "This conversation belongs to somebody else. Start a new one"
    assert len(brain.sent("conversation.process")) == 1


async def test_in_a_conversation_of_the_brain_the_brain_knows_who_speaks(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Who was let in goes on there under the id that everybody knows."""
    answers(brain, "Good.")
    for user in (ADA, BOB, ADA):
        await speak(hass, user_id=user, conversation_id=BRAIN_ID)
    assert [one["conversation_id"] for one in brain.sent("conversation.process")] == [BRAIN_ID] * 3
    callers = brain.callers("conversation.process")
    assert [caller and caller["user_id"] for caller in callers] == [ADA, BOB, ADA]


async def test_a_yes_to_what_another_person_was_asked_approves_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Though both speak in one conversation."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    answered = asks(brain, event)
    await speak(hass, "unlock the door", conversation_id=BRAIN_ID)
    await speak(hass, "yes", user_id=BOB, conversation_id=BRAIN_ID)
    assert [one["error"]["code"] for one in answered] == ["not_said"]
    await speak(hass, "yes", conversation_id=BRAIN_ID)
    assert answered[1]["data"]["status"] == "approved"


async def test_a_conversation_that_is_over_is_forgotten(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """After Home Assistant lets go of it, it may be anybody's."""
    answers(brain, "Hello.")
    await speak(hass, conversation_id="kitchen")
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=10))
    await hass.async_block_till_done()
    await speak(hass, conversation_id="kitchen", user_id=BOB)
    assert "conversation_id" not in brain.sent("conversation.process")[1]


async def test_an_error_of_the_brain_is_spoken(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In a sentence, and without a trace of code."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("not_your_conversation", "This conversation belongs to another person")

    brain.answers["conversation.process"] = refuse
    result = await speak(hass)
    assert result.response.response_type.value == "error"
    assert said(result) == "This conversation belongs to another person"


async def test_a_turn_that_failed_leaves_nothing_behind(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whoever tries next may use the same name."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("user_required")

    brain.answers["conversation.process"] = refuse
    await speak(hass, conversation_id="kitchen")
    answers(brain, "Hello.")
    assert said(await speak(hass, conversation_id="kitchen", user_id=BOB)) == "Hello."


async def test_without_the_brain_people_hear_what_still_works(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The door that Home Assistant owns can be locked."""
    await gone(hass, brain, workshop)
    assert said(await speak(hass, "lock the door")) == (
        "The brain is not connected, so I cannot understand you now. "
        "These doors can still be locked in Home Assistant: Door"
    )


async def test_without_the_brain_and_doors_people_hear_what_to_do(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No promise is made that nothing keeps."""
    monkeypatch.setattr(workshop.runtime_data.executor, "devices", dict)
    await gone(hass, brain, workshop)
    answer = said(await speak(hass, "tell me a story"))
    assert answer.endswith("Wait until it is connected again, then try again")


async def test_an_answer_that_breaks_off_is_a_brain_that_is_away(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Half an answer is none."""
    brain.answers["conversation.process"] = lambda _params, _caller: {}
    assert said(await speak(hass)).startswith("The brain is not connected")


async def test_an_answer_that_breaks_off_in_the_middle_says_so(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whoever heard the beginning must not take it for the whole."""

    async def half(_params: Json, _caller: Json | None) -> AsyncIterator[Json]:
        yield {"text": "The door is "}
        await brain.drop()

    brain.answers["conversation.process"] = half
    assert said(await speak(hass)).startswith("I was cut off")


async def test_what_the_brain_did_shows_as_tool_calls(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Home Assistant shows them and runs none of them."""
    call = {"name": "request", "arguments": {"intent": "lock"}, "result": {"status": "acked"}}
    answers(brain, text="Locked.", data={"tool_calls": [call]})
    result = await speak(hass)
    called, came, spoken = log(hass, result)
    tool = called.tool_calls[0]
    assert (tool.tool_name, tool.tool_args, tool.external) == (
        "kitty__request",
        {"intent": "lock"},
        True,
    )
    assert (came.tool_call_id, came.result.data) == (tool.id, {"status": "acked"})
    assert (spoken.content, said(result)) == ("Locked.", "Locked.")


async def satellite(hass: HomeAssistant, area_id: str | None) -> tuple[str, str]:
    """Return the device and the entity of a satellite; the device is in the workshop."""
    entry = MockConfigEntry(domain="test")
    entry.add_to_hass(hass)
    device = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={("test", "satellite")}
    )
    dr.async_get(hass).async_update_device(device.id, area_id=ZONE)
    entity = er.async_get(hass).async_get_or_create(
        "assist_satellite",
        "test",
        "satellite",
        device_id=device.id,
        config_entry=entry,
        has_entity_name=True,
        original_name="Microphone",
    )
    er.async_get(hass).async_update_entity(entity.entity_id, area_id=area_id)
    return device.id, entity.entity_id


async def test_the_area_of_the_satellite_goes_along(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """So that "the door" is the door of the room."""
    answers(brain, "Yes.")
    ar.async_get(hass).async_create("Attic")
    device_id, in_attic = await satellite(hass, "attic")
    await speak(hass, device_id=device_id)
    await speak(hass, satellite_id=in_attic)
    er.async_get(hass).async_update_entity(in_attic, area_id=None)
    await speak(hass, satellite_id=in_attic)
    areas = [turn["area_id"] for turn in brain.sent("conversation.process")]
    assert areas == [ZONE, "attic", ZONE]


async def test_a_yes_that_is_said_is_the_decision_of_who_says_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain passes the word on; the integration signs it as that person, by that road."""
    event = brain.event(DOOR, "unlock", initiated_by=BOB)
    await push(hass, brain, "safety.event", event)

    async def understood(_params: Json, caller: Json | None) -> AsyncIterator[Json]:
        assert caller is not None
        wish = {"event_id": event["id"], "decision": "deny", "context_id": caller["context_id"]}
        decided = await brain.ask("ha.decide", wish)
        yield {"result": {"conversation_id": BRAIN_ID, "text": decided["data"]["status"]}}

    brain.answers["conversation.process"] = understood
    assert said(await speak(hass, "no")) == "denied"
    caller = brain.callers("safety.decide")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "assist")


def asks(brain: FakeBrain, event: Json, text: str = "Shall I play music?") -> list[Json]:
    """Let the brain ask about an event, and take whatever is said then for a yes."""
    answered: list[Json] = []

    async def talk(params: Json, caller: Json | None) -> AsyncIterator[Json]:
        assert caller is not None
        result: Json = {"conversation_id": BRAIN_ID, "text": text, "data": {"asks": event["id"]}}
        if params["text"] != "unlock the door":
            wish = {"event_id": event["id"], "decision": "approve"}
            answered.append(
                await brain.ask("ha.decide", wish | {"context_id": caller["context_id"]})
            )
            result |= {"text": "So be it.", "data": {}}
        yield {"result": result}

    brain.answers["conversation.process"] = talk
    return answered


@pytest.mark.parametrize("words", ["Confirm.", "yes, please!", "OK", "ja", "Oui !"])
async def test_a_yes_to_our_own_question_approves(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, words: str
) -> None:
    """What is asked is what we know of the request, whatever the brain would say."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    answered = asks(brain, event)
    first = await speak(hass, "unlock the door")
    assert said(first) == "Unlock Door? Say confirm or cancel."
    assert [one.content for one in log(hass, first)] == [said(first)]
    await speak(hass, words, conversation_id=first.conversation_id)
    assert answered[0]["data"]["status"] == "approved"


@pytest.mark.parametrize(
    "words",
    [
        "what time is it",
        "no",
        "yes but wait",
        "yesterday",
        "yes?",
        "ja aber nicht jetzt",
        "oui non",
    ],
)
async def test_other_words_are_no_yes(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, words: str
) -> None:
    """And with them the question is over."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    answered = asks(brain, event)
    first = await speak(hass, "unlock the door")
    await speak(hass, words, conversation_id=first.conversation_id)
    await speak(hass, "yes", conversation_id=first.conversation_id)
    assert [one["error"]["code"] for one in answered] == ["not_said", "not_said"]
    assert brain.sent("safety.decide") == []


async def test_a_yes_to_no_question_approves_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nor does one after a question that we cannot put: its event is not what it shows."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    answered = asks(brain, event)
    await speak(hass, "yes")
    forged = brain.event(DOOR, "unlock", initiated_by=ADA, subject="0" * 64)
    await push(hass, brain, "safety.event", forged)
    late = asks(brain, forged)
    first = await speak(hass, "unlock the door")
    assert said(first) == "Shall I play music?"
    await speak(hass, "yes", conversation_id=first.conversation_id)
    codes = [one["error"]["code"] for one in (*answered, *late)]
    assert codes == ["not_said", "not_said"]


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"file": "bracket.gcode"}, "bracket.gcode"),
        ({"file": "box.3mf", "plate": 2}, "plate 2 of box.3mf"),
    ],
)
async def test_the_question_names_the_file(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, params: Json, what: str
) -> None:
    """With its plate. What was streamed before it does not replace it."""
    event = brain.event(PRINTER, "print_start", params=params)
    await push(hass, brain, "safety.event", event)
    answers(brain, "Well. ", data={"asks": event["id"]})
    result = await speak(hass, "print the bracket")
    assert said(result) == f"Start {what} on Printer? Say confirm or cancel."
    assert [one.content for one in log(hass, result)] == ["Well. ", said(result)]


async def test_a_sick_brain_says_what_ails_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It is connected, so nobody is told otherwise."""

    def sick(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("overloaded")

    brain.answers["conversation.process"] = sick
    assert said(await speak(hass)) == "The brain has too much to do. Try again in a moment"


async def test_without_a_turn_the_brain_decides_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody spoke, so nobody decided."""
    event = brain.event(DOOR, "unlock", initiated_by=BOB)
    await push(hass, brain, "safety.event", event)
    wish = {"event_id": event["id"], "decision": "approve", "context_id": "made up"}
    assert (await brain.ask("ha.decide", wish))["error"]["code"] == "no_such_turn"
    assert brain.sent("safety.decide") == []


async def test_the_agent_is_there_without_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Somebody has to tell people what still works."""
    await gone(hass, brain, workshop)
    assert state(hass, AGENT).state == "unknown"


async def test_whoever_stops_listening_stops_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A turn that is cancelled is cancelled over there, too."""

    async def endless(_params: Json, _caller: Json | None) -> AsyncIterator[Json]:
        yield {"text": "Well"}
        await hass.loop.create_future()
        yield {"text": "never"}

    brain.answers["conversation.process"] = endless
    turn = hass.async_create_background_task(speak(hass), "turn")
    await brain.received_command("conversation.process")
    await settled(hass, brain)
    turn.cancel()
    await brain.until(lambda: len(brain.cancelled) == 1)


async def test_tools_show_while_the_brain_works(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Between the words, at the moment when they ran, and not a second time at the end."""
    first = {"name": "search", "arguments": {"q": "cats"}, "result": {"text": "2"}, "error": False}
    second = {"name": "request", "arguments": {}, "result": {"status": "acked"}, "error": False}
    result = {
        "conversation_id": BRAIN_ID,
        "text": "Let me see. Two cats.",
        "data": {"tool_calls": [first, second]},
    }

    async def work(_params: Json, _caller: Json | None) -> AsyncIterator[Json]:
        yield {"text": "Let me see. "}
        yield {"tool": first}
        yield {"text": "Two cats."}
        yield {"result": result}

    brain.answers["conversation.process"] = work
    shown = log(hass, await speak(hass))
    assert [(one.role, getattr(one, "content", None)) for one in shown] == [
        ("assistant", "Let me see. "),
        ("assistant", None),
        ("tool_result", None),
        ("assistant", "Two cats."),
        ("assistant", None),
        ("tool_result", None),
    ]
    assert [one.tool_calls[0].tool_name for one in (shown[1], shown[4])] == [
        "kitty__search",
        "kitty__request",
    ]
    assert shown[2].tool_call_id == shown[1].tool_calls[0].id


async def test_the_model_is_warmed_while_somebody_begins_to_speak(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its first words come sooner."""
    await conversation.async_prepare_agent(hass, AGENT, "en")
    await brain.received_command("providers.warm")


async def test_a_brain_that_has_nothing_to_warm_is_no_trouble(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An older one does not even know the word; one that is away hears nothing."""

    def unknown(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("unknown_action")

    brain.answers["providers.warm"] = unknown
    await conversation.async_prepare_agent(hass, AGENT, "en")
    await gone(hass, brain, workshop)
    await conversation.async_prepare_agent(hass, AGENT, "en")


async def test_without_the_brain_the_lights_still_work(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Home Assistant understands its own commands."""
    hass.states.async_set("light.kitchen", "off", {"friendly_name": "Kitchen light"})
    async_expose_entity(hass, "conversation", "light.kitchen", True)
    calls = async_mock_service(hass, "light", "turn_on")
    also = async_mock_service(hass, "homeassistant", "turn_on")
    await gone(hass, brain, workshop)
    result = await speak(hass, "turn on the kitchen light")
    assert result.response.response_type.value == "action_done"
    assert [call.data["entity_id"] for call in (*calls, *also)] == ["light.kitchen"]
    assert (calls or also)[0].context.user_id == ADA


async def test_without_the_brain_nobody_is_sent_to_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What only the brain may move cannot be asked for; people hear what they can do."""
    hass.states.async_set(REAL_LOCK, "unlocked", {"friendly_name": "Cellar door"})
    async_expose_entity(hass, "conversation", REAL_LOCK, True)
    await gone(hass, brain, workshop)
    answer = said(await speak(hass, "lock the cellar door"))
    assert answer.endswith("These doors can still be locked in Home Assistant: Door")


async def test_a_session_that_outlives_the_entry_ends_in_peace(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Home Assistant keeps sessions of all agents together: an error in ours would keep those of others."""
    answers(brain, "hello")
    result = await speak(hass)
    assert await hass.config_entries.async_unload(workshop.entry_id)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=10))
    await hass.async_block_till_done()
    assert result.conversation_id not in hass.data[DATA_CHAT_LOGS]
    assert "AttributeError" not in caplog.text
