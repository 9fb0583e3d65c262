"""The Assist agent: words go to the brain, and its answer comes back as it is spoken."""

from collections.abc import AsyncGenerator
from contextlib import suppress
import re
from typing import Final, Literal, override

from homeassistant.components.conversation import (
    AssistantContent,
    AssistantContentDeltaDict,
    ChatLog,
    ConversationEntity,
    ConversationEntityFeature,
    ConversationInput,
    ConversationResult,
    ToolResultContentDeltaDict,
)
from homeassistant.const import CONF_DEVICE_ID, MATCH_ALL
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er, intent, llm
from homeassistant.helpers.chat_session import current_session
from homeassistant.helpers.device_registry import DeviceEntryType, DeviceInfo
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util

from . import KittyConfigEntry
from .approvals import APPROVE
from .assent import agrees
from .const import DOMAIN, LOGGER, SUBENTRY_DEVICE
from .coordinator import KittyCoordinator
from .entity import KittyBrainEntity
from .entries import has_brain
from .errors import BUSY, BrainError, BrainUnavailable, KittyError, Refused
from .home import HomeCommands
from .ledger import check_subject
from .origin import Caller, caller_from
from .protocol import EventStatus, Json, Kind
from .tools import HouseTools
from .turns import Turn

PARALLEL_UPDATES = 0

AGENT: Final = EntityDescription(key="conversation", translation_key="conversation", name=None)

# Nobody waits for a model that is being warmed up, and a brain without one has nothing to warm.
WARM_TIMEOUT: Final = 5.0

# Why the home leaves something alone that only the brain may touch.
GUARDED: Final = "guarded"

# How the brain calls its conversations; the ids of Home Assistant are no such.
_BRAINS_OWN: Final = re.compile(r"[0-9a-f]{32}\Z")

# What an answer tells about itself besides its words.
ABOUT: Final = ("tier", "confidence", "cost")

type Delta = AssistantContentDeltaDict | ToolResultContentDeltaDict
# A conversation, and one of those who speak in it.
type _Talk = tuple[str, str | None]


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the agent."""
    if not has_brain(entry):
        async_add_entities([HomeAgent(entry.entry_id, entry.runtime_data.home)])
        return
    async_add_entities([KittyAgent(entry.runtime_data.coordinator, AGENT)])


class KittyAgent(KittyBrainEntity, ConversationEntity):
    """Talks with the brain; what is said can ask for things, and never approves a dangerous one."""

    _attr_supports_streaming = True
    _attr_supported_features = ConversationEntityFeature.CONTROL

    def __init__(self, coordinator: KittyCoordinator, description: EntityDescription) -> None:
        """Start without conversations."""
        super().__init__(coordinator, description)
        # Home Assistant's conversation id -> who speaks in it, and what the brain calls it.
        self._people: dict[str, set[str | None]] = {}
        self._brain_ids: dict[str, str] = {}
        # The turns that are being answered, by the id of their context.
        self._turns: dict[str, Turn] = {}
        # What we asked somebody last in a conversation: the event and the subject that was spoken.
        self._asked: dict[_Talk, tuple[str, str]] = {}
        # The calls that the last answers were questions about.
        self._open: dict[_Talk, str] = {}
        # A session of Home Assistant may end after the entry did.
        self._home = coordinator.config_entry.runtime_data.home
        self._house = HouseTools(coordinator.hass, self._home, self._turn)

    @override
    async def async_added_to_hass(self) -> None:
        """Let the brain pass on a yes or no that was said in a turn, and use the house for it."""
        await super().async_added_to_hass()
        client = self.coordinator.config_entry.runtime_data.client
        client.register("ha.decide", self._async_decide)
        self._house.register(client)

    def _turn(self, context_id: str) -> Turn:
        """Return a turn that is being answered; Refused ``no_such_turn`` for any other."""
        if (turn := self._turns.get(context_id)) is None:
            raise Refused("no_such_turn")
        return turn

    @override
    async def async_prepare(self, language: str | None = None) -> None:
        """Have the brain load its local model while somebody begins to speak."""
        client = self.coordinator.config_entry.runtime_data.client
        with suppress(BrainError, BrainUnavailable):
            await client.command("providers.warm", timeout=WARM_TIMEOUT)

    async def _async_decide(self, params: Json) -> Json:
        """Decide as the person who is speaking right now, by the road of that turn; nobody else.

        An approval is a plain yes to the question that we ourselves asked in the turn before.
        """
        turn = self._turn(params["context_id"])
        event_id, subject = turn.asked or (None, None)
        if event_id != params["event_id"]:
            subject = None
        if params["decision"] == APPROVE and (subject is None or not agrees(turn.text)):
            raise Refused("not_said")
        approvals = self.coordinator.config_entry.runtime_data.approvals
        return await approvals.decide(
            params["event_id"],
            params["decision"],
            context=turn.context,
            channel=turn.caller.channel,
            subject=subject,
        )

    @property
    @override
    def available(self) -> bool:
        """Tell that words are always heard: without the brain, people are told what still works."""
        return True

    @property
    @override
    def supported_languages(self) -> list[str] | Literal["*"]:
        """Return that the brain takes any language."""
        return MATCH_ALL

    @override
    async def _async_handle_message(
        self, user_input: ConversationInput, chat_log: ChatLog
    ) -> ConversationResult:
        """Answer one turn."""
        caller = await caller_from(self.hass, user_input.context)
        conversation_id = chat_log.conversation_id
        self._claim(conversation_id, caller)
        talk = conversation_id, caller.user_id
        result: Json = {}
        turn = self._turns[user_input.context.id] = Turn(
            context=user_input.context,
            caller=caller,
            text=user_input.text,
            language=user_input.language,
            conversation_id=conversation_id,
            satellite_id=user_input.satellite_id,
            area_id=self._area(user_input),
            llm_context=user_input.as_llm_context(DOMAIN),
            # Whatever is said next, a question is answered or over.
            asked=self._asked.pop(talk, None),
            answers=self._open.pop(talk, None),
        )
        try:
            deltas = self._answer(turn, result)
            async for _ in chat_log.async_add_delta_content_stream(self.entity_id, deltas):
                pass
        except BrainUnavailable as err:
            if err.code in BUSY:
                raise
            raise self._away() from err
        finally:
            self._turns.pop(user_input.context.id, None)
            # Home Assistant keeps no session of a first turn that failed.
            if conversation_id not in self._brain_ids:
                self._forget(conversation_id)
        if result.get("continue_conversation") and turn.proposes is not None:
            self._open[talk] = turn.proposes
        response = intent.IntentResponse(language=user_input.language)
        response.async_set_speech(result["text"])
        response.async_set_speech_slots({name: result[name] for name in ABOUT if name in result})
        return ConversationResult(
            response=response,
            conversation_id=conversation_id,
            continue_conversation=bool(result.get("continue_conversation")),
        )

    def _claim(self, conversation_id: str, caller: Caller) -> None:
        """Make the conversation the caller's own; refuse it to everybody else.

        Who may speak in one that has the brain's own id, the brain knows.
        """
        if (people := self._people.get(conversation_id)) is None:
            people = self._people[conversation_id] = set()
            if (session := current_session.get()) is not None:
                session.async_on_cleanup(lambda: self._forget(conversation_id))
        elif caller.user_id not in people and not _BRAINS_OWN.match(conversation_id):
            raise Refused("conversation_of_another")
        people.add(caller.user_id)

    def _forget(self, conversation_id: str) -> None:
        """Let go of a conversation that is over."""
        for person in self._people.pop(conversation_id, ()):
            self._asked.pop((conversation_id, person), None)
            self._open.pop((conversation_id, person), None)
        self._brain_ids.pop(conversation_id, None)
        self._home.forget(conversation_id)

    def _params(self, turn: Turn) -> Json:
        """Return the turn as the brain takes it."""
        params: Json = {"text": turn.text, "language": turn.language}
        # A session of Home Assistant is soon over; the brain's own id goes on with what is kept longer.
        kept = turn.conversation_id if _BRAINS_OWN.match(turn.conversation_id) else None
        if brain_id := self._brain_ids.get(turn.conversation_id, kept):
            params["conversation_id"] = brain_id
        if turn.area_id:
            params["area_id"] = turn.area_id
        now = dt_util.now()
        params["second_of_day"] = now.hour * 3600 + now.minute * 60 + now.second
        params["today"] = f"{now:%A}, {now.day} {now:%B} {now.year}"
        return params

    def _area(self, user_input: ConversationInput) -> str | None:
        """Return the area of the satellite that heard the words."""
        entity = er.async_get(self.hass).async_get(user_input.satellite_id or "")
        if entity is not None and entity.area_id:
            return entity.area_id
        device_id = user_input.device_id or (entity and entity.device_id)
        device = dr.async_get(self.hass).async_get(device_id) if device_id else None
        return device.area_id if device else None

    async def _answer(self, turn: Turn, result: Json) -> AsyncGenerator[Delta]:
        """Yield an answer for the chat log, and leave its end in ``result``.

        While the brain is away, Home Assistant's own commands still work, but none to what the brain guards.
        """
        client = self.coordinator.config_entry.runtime_data.client
        if client.connected:
            async for delta in self._deltas(turn, result):
                yield delta
            self._brain_ids[turn.conversation_id] = result["conversation_id"]
            return
        alone = await self._house.answer(turn)
        if not alone["handled"] or alone["reason"] == GUARDED:
            raise BrainUnavailable
        result |= {"text": alone["text"], "continue_conversation": alone["asks"]}
        yield {"role": "assistant", "content": alone["text"]}

    async def _deltas(self, turn: Turn, result: Json) -> AsyncGenerator[Delta]:
        """Yield the brain's answer for the chat log, and leave its end in ``result``."""
        client = self.coordinator.config_entry.runtime_data.client
        spoken = False
        shown: list[Json] = []
        params = self._params(turn)
        yield {"role": "assistant"}
        try:
            async for part in client.stream("conversation.process", params, caller=turn.caller):
                if "result" in part:
                    result.update(part["result"])
                elif text := part["delta"].get("text"):
                    spoken = True
                    yield {"content": text}
                elif call := part["delta"].get("tool"):
                    shown.append(call)
                    for delta in _tool_deltas([call]):
                        yield delta
                    yield {"role": "assistant"}
        except BrainUnavailable as err:
            if err.code in BUSY or not (spoken or shown):
                raise
            raise KittyError("brain_cut_off") from err
        if not result:
            raise BrainUnavailable
        done: list[Json] = (result.get("data") or {}).get("tool_calls") or []
        for delta in _tool_deltas([call for call in done if call not in shown]):
            yield delta
        question = await self._question(turn, result)
        if question is not None:
            result["text"] = question
        # What was streamed may have been spoken already; it must not be said twice.
        if not spoken or question is not None:
            yield {"role": "assistant", "content": result["text"]}

    async def _question(self, turn: Turn, result: Json) -> str | None:
        """Return the question that the brain wants asked, in our own words from our own records."""
        event_id = (result.get("data") or {}).get("asks")
        event = self.coordinator.data.events.get(event_id) if event_id else None
        if event is None or event["status"] != EventStatus.PENDING:
            return None
        entry = self.coordinator.config_entry
        titles = [
            item.title
            for item in entry.get_subentries_of_type(SUBENTRY_DEVICE)
            if item.data.get(CONF_DEVICE_ID) == event["device_id"]
        ]
        try:
            check_subject(event)
        except Refused:
            titles = []
        words = await async_get_translations(self.hass, turn.language, "exceptions", {DOMAIN})
        plate = event["params"].get("plate")
        key = f"ask_{event['intent']}{'' if plate is None else '_plate'}"
        sentence = words.get(f"component.{DOMAIN}.exceptions.{key}.message")
        if sentence is None or not titles:
            LOGGER.error("The brain wants a question asked that is not about a device set up here")
            return None
        self._asked[turn.conversation_id, turn.caller.user_id] = event["id"], event["subject"]
        file = str(event["params"].get("file", "?"))
        return sentence.format(device=titles[0], file=file, plate=plate)

    def _away(self) -> KittyError:
        """Return the sentence for people whose brain is away, with the doors that still lock."""
        data = self.coordinator.config_entry.runtime_data
        doors = [
            device["name"]
            for device_id in data.executor.devices()
            if (device := self.coordinator.data.devices.get(device_id))
            and device["kind"] == Kind.DOOR
        ]
        if doors:
            return KittyError("brain_away_doors", doors=", ".join(sorted(doors)))
        return KittyError("brain_away")


class HomeAgent(ConversationEntity):
    """Understands what needs no brain, where there is none."""

    _attr_has_entity_name = True
    _attr_supported_features = ConversationEntityFeature.CONTROL

    def __init__(self, entry_id: str, home: HomeCommands) -> None:
        """Take the home of the entry."""
        self.entity_description = AGENT
        self._attr_unique_id = f"{entry_id}-{AGENT.key}"
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, entry_id)}, entry_type=DeviceEntryType.SERVICE, name="KITTY"
        )
        self._home = home

    @property
    @override
    def supported_languages(self) -> list[str] | Literal["*"]:
        """Return that any language may be tried."""
        return MATCH_ALL

    @override
    async def _async_handle_message(
        self, user_input: ConversationInput, chat_log: ChatLog
    ) -> ConversationResult:
        """Answer one turn."""
        conversation_id = chat_log.conversation_id
        found = await self._home.answer(
            user_input.text,
            user_input.language,
            user_input.context,
            conversation_id=conversation_id,
            device_id=user_input.device_id,
            satellite_id=user_input.satellite_id,
        )
        response = intent.IntentResponse(language=user_input.language)
        if found is None:
            words = await async_get_translations(
                self.hass, user_input.language, "exceptions", {DOMAIN}
            )
            text = words[f"component.{DOMAIN}.exceptions.no_brain.message"]
            response.async_set_error(intent.IntentResponseErrorCode.NO_INTENT_MATCH, text)
        else:
            text = found.text
            response.async_set_speech(text)
        chat_log.async_add_assistant_content_without_tools(
            AssistantContent(agent_id=self.entity_id, content=text)
        )
        return ConversationResult(
            response=response,
            conversation_id=conversation_id,
            continue_conversation=found is not None and found.asks,
        )


def _tool_deltas(calls: list[Json]) -> list[Delta]:
    """Return what the brain did by itself as tool calls that Home Assistant only shows."""
    deltas: list[Delta] = []
    for call in calls:
        tool = llm.ToolInput(
            tool_name=f"{DOMAIN}__{call['name']}",
            tool_args=call.get("arguments") or {},
            external=True,
        )
        outcome = llm.ToolResult(
            data=call.get("result") or {}, error=bool(call.get("error", False))
        )
        deltas += [
            {"role": "assistant", "tool_calls": [tool]},
            {
                "role": "tool_result",
                "tool_call_id": tool.id,
                "tool_name": tool.tool_name,
                "result": outcome,
            },
        ]
    return deltas
