"""From words to a voice, through Home Assistant's own pipeline: what is heard, and that it is heard early."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from pathlib import Path
import shutil
from typing import Any, Final, override

from homeassistant.components import stt, tts
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    WebSocketGenerator,
)

from custom_components.kitty.protocol import Json

from .fake_brain import FakeBrain, FakeError
from .shop import spool
from .test_conversation import AGENT, BRAIN_ID, answers
from .workshop import gone, workshop_fixture  # noqa: F401 - fixtures are asked for by name

ROOT: Final = Path(__file__).parents[2]
ASSIST: Final = ROOT / "docs" / "ASSIST.md"
BLUEPRINT: Final = ROOT / "blueprints" / "automation" / "kitty" / "ask_for_filament.yaml"
LONG: Final = "The printer prints since this morning, it is at the sixtieth layer of eighty now. "


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.CONVERSATION,)


class Speaker(tts.TextToSpeechEntity):
    """A voice that speaks while words still come: its audio is the words themselves."""

    _attr_name = "Speaker"
    _attr_default_language = "en"
    _attr_supported_languages = ["en"]

    @override
    async def async_stream_tts_audio(self, request: tts.TTSAudioRequest) -> tts.TTSAudioResponse:
        """Speak each piece as it comes."""

        async def audio() -> AsyncGenerator[bytes]:
            async for words in request.message_gen:
                yield words.encode()

        return tts.TTSAudioResponse("mp3", audio())


class Ear(stt.SpeechToTextEntity):
    """An ear that understands once somebody has ended."""

    _attr_name = "Ear"
    supported_languages = ["en"]
    supported_formats = [stt.AudioFormats.WAV]
    supported_codecs = [stt.AudioCodecs.PCM]
    supported_bit_rates = [stt.AudioBitRates.BITRATE_16]
    supported_sample_rates = [stt.AudioSampleRates.SAMPLERATE_16000]
    supported_channels = [stt.AudioChannels.CHANNEL_MONO]

    @override
    async def async_process_audio_stream(
        self, metadata: stt.SpeechMetadata, stream: AsyncIterable[bytes]
    ) -> stt.SpeechResult:
        """Understand what was said."""
        async for _ in stream:
            pass
        return stt.SpeechResult("how is the print", stt.SpeechResultState.SUCCESS)


class Voice:
    """A voice assistant of the house with KITTY as its agent, as the frontend talks to it."""

    def __init__(self, socket: Any, client: Any, pipeline: str) -> None:
        """Take the doors of Home Assistant and the assistant."""
        self.socket, self.client, self.pipeline = socket, client, pipeline
        self.seen: list[Json] = []

    async def say(self, text: str) -> None:
        """Say something."""
        await self.run(start_stage="intent", input={"text": text})

    async def run(self, **start: Any) -> None:
        """Begin a run that ends with a voice."""
        await self.socket.send_json_auto_id(
            {
                "type": "assist_pipeline/run",
                "end_stage": "tts",
                "pipeline": self.pipeline,
                **start,
            }
        )
        begun = await self.socket.receive_json()
        assert begun["success"], begun

    async def event(self, kind: str, part: str | None = None) -> Json:
        """Wait for an event of the run, one with some part, and return its data."""
        async with asyncio.timeout(20):
            while True:
                event = (await self.socket.receive_json())["event"]
                self.seen.append(event)
                data: Json = event["data"] or {}
                if event["type"] == kind and (part is None or part in data):
                    return data

    async def listen(self, url: str) -> Any:
        """Open the audio of a run."""
        return await self.client.get(url)


@pytest.fixture(name="voice")
async def voice_fixture(
    hass: HomeAssistant,
    socket_enabled: None,
    workshop: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
    hass_client: ClientSessionGenerator,
) -> Voice:
    """Return an assistant that listens, thinks with KITTY and speaks."""
    assert await async_setup_component(hass, "assist_pipeline", {})
    await hass.data[stt.DATA_COMPONENT].async_add_entities([Ear()])
    await hass.data[tts.DATA_COMPONENT].async_add_entities([Speaker()])
    socket = await hass_ws_client(hass)
    await socket.send_json_auto_id(
        {
            "type": "assist_pipeline/pipeline/create",
            "name": "Workshop",
            "language": "en",
            "conversation_engine": AGENT,
            "conversation_language": "en",
            "stt_engine": "stt.ear",
            "stt_language": "en",
            "tts_engine": "tts.speaker",
            "tts_language": "en",
            "tts_voice": None,
            "wake_word_entity": None,
            "wake_word_id": None,
        }
    )
    made = await socket.receive_json()
    assert made["success"], made
    return Voice(socket, await hass_client(), made["result"]["id"])


def slow_answer(brain: FakeBrain, *parts: Json, rest: str = "") -> asyncio.Event:
    """Let the brain say some parts, and the rest and the end only when the returned event is set."""
    go_on = asyncio.Event()

    async def say(_params: Json, _caller: Json | None) -> AsyncIterator[Json]:
        for part in parts:
            yield part
        await go_on.wait()
        if rest:
            yield {"text": rest}
        text = "".join(part.get("text", "") for part in parts) + rest
        yield {
            "result": {
                "conversation_id": BRAIN_ID,
                "text": text,
                "continue_conversation": False,
                "tier": "local",
                "data": {},
            }
        }

    brain.answers["conversation.process"] = say
    return go_on


async def test_the_voice_begins_before_the_brain_has_ended(voice: Voice, brain: FakeBrain) -> None:
    """Nobody waits in silence for the last word of a model."""
    go_on = slow_answer(brain, {"text": LONG}, rest="And that is all.")
    await voice.say("how is the print")
    url = (await voice.event("run-start"))["tts_output"]["url"]
    await voice.event("intent-progress", "tts_start_streaming")
    async with asyncio.timeout(20), await voice.listen(url) as audio:
        first = await audio.content.readany()
        assert first.decode() == LONG
        assert not go_on.is_set()
        go_on.set()
        assert (await audio.content.read()).decode() == "And that is all."
    await voice.event("run-end")


async def test_a_few_words_are_heard_while_a_tool_works(voice: Voice, brain: FakeBrain) -> None:
    """What was said before a tool call is spoken at once, however short it is."""
    tool = {"name": "search", "arguments": {"query": "petg"}, "result": {"found": 3}}
    go_on = slow_answer(brain, {"text": "I look it up."}, {"tool": tool}, rest="Use 80 degrees.")
    await voice.say("how hot must the bed be")
    url = (await voice.event("run-start"))["tts_output"]["url"]
    await voice.event("intent-progress", "tts_start_streaming")
    async with asyncio.timeout(20), await voice.listen(url) as audio:
        assert (await audio.content.readany()).decode().strip() == "I look it up."
        go_on.set()
        assert (await audio.content.read()).decode().strip() == "Use 80 degrees."
    await voice.event("run-end")


async def test_a_short_answer_is_spoken_once(voice: Voice, brain: FakeBrain) -> None:
    """Short ones are not streamed, and Home Assistant keeps their sound."""
    answers(brain, "It ", "is done.")
    await voice.say("how is the print")
    await voice.event("intent-end")
    url = (await voice.event("tts-end"))["tts_output"]["url"]
    async with asyncio.timeout(20), await voice.listen(url) as audio:
        assert b"It is done." in await audio.content.read()


async def test_a_question_keeps_the_ear_open(voice: Voice, brain: FakeBrain) -> None:
    """The satellite listens on without a wake word."""
    answers(brain, "Which door?", continue_conversation=True)
    await voice.say("unlock the door")
    end = await voice.event("intent-end")
    assert end["intent_output"]["continue_conversation"] is True


async def test_what_the_brain_does_by_itself_shows_in_the_run(
    voice: Voice, brain: FakeBrain
) -> None:
    """The debug view of the assistant names the tool and its result."""
    tool = {"name": "search", "arguments": {"query": "petg"}, "result": {"found": 3}}
    slow_answer(brain, {"tool": tool}, rest="Done.").set()
    await voice.say("look up petg")
    await voice.event("intent-end")
    deltas = [one["data"].get("chat_log_delta") or {} for one in voice.seen if one["data"]]
    (call,) = (one["tool_calls"][0] for one in deltas if one.get("tool_calls"))
    assert (call["tool_name"], call["tool_args"]) == ("kitty__search", {"query": "petg"})
    (result,) = (one for one in deltas if one.get("role") == "tool_result")
    assert result["tool_call_id"] == call["id"]


async def test_the_brain_is_warmed_up_while_somebody_speaks(voice: Voice, brain: FakeBrain) -> None:
    """The model of the house is loaded before the sentence has ended."""
    answers(brain, "It is done.")
    await voice.run(start_stage="stt", input={"sample_rate": 16000, "no_vad": True})
    handler = (await voice.event("run-start"))["runner_data"]["stt_binary_handler_id"]
    await brain.received_command("providers.warm")
    assert brain.sent("conversation.process") == []
    await voice.socket.send_bytes(bytes([handler]) + b"\0" * 320)
    await voice.socket.send_bytes(bytes([handler]))
    await voice.event("intent-end")
    assert brain.sent("conversation.process")[0]["text"] == "how is the print"
    await voice.event("run-end")


async def test_a_brain_that_is_away_is_told_in_words(
    hass: HomeAssistant, voice: Voice, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An answer, and no broken run."""
    await gone(hass, brain, workshop)
    await voice.say("what is the meaning of it")
    url = (await voice.event("tts-end"))["tts_output"]["url"]
    async with asyncio.timeout(20), await voice.listen(url) as audio:
        assert b"brain" in await audio.content.read()


async def test_a_refusal_is_spoken(voice: Voice, brain: FakeBrain) -> None:
    """The words of the error are what is heard."""

    async def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("rate_limited", retry_after=3)

    brain.answers["conversation.process"] = refuse
    await voice.say("unlock the door")
    end = await voice.event("intent-end")
    assert end["intent_output"]["response"]["response_type"] == "error"
    url = (await voice.event("tts-end"))["tts_output"]["url"]
    async with asyncio.timeout(20), await voice.listen(url) as audio:
        assert await audio.content.read()


def stocked(brain: FakeBrain, *grams: float) -> None:
    """Let there be spools with so much left on them."""
    brain.answers["stock.list"] = lambda *_: {"items": [], "cursor": None}
    brain.answers["procurements.list"] = lambda *_: {"items": [], "cursor": None}
    brain.answers["spools.list"] = lambda *_: {
        "items": [spool(id=f"5{at}" * 16, remaining_g=one) for at, one in enumerate(grams)],
        "cursor": None,
    }


def spoken(end: Json) -> str:
    """Return what was said at the end of a turn."""
    words: str = end["intent_output"]["response"]["speech"]["plain"]["speech"]
    return words


async def test_a_sentence_of_ones_own_is_answered_as_the_document_shows(
    hass: HomeAssistant, voice: Voice, brain: FakeBrain
) -> None:
    """The example of docs/ASSIST.md, word for word, before any agent is asked."""
    page = await hass.async_add_executor_job(ASSIST.read_text)
    example = page.partition("## Sentences of your own")[2].partition("```yaml\n")[2]
    automation = {"alias": "Filament", **parse_yaml(example.partition("```")[0])}
    assert await async_setup_component(hass, "automation", {"automation": [automation]})
    stocked(brain, 200.4, 300.0)
    await voice.say("how much PETG is left")
    assert spoken(await voice.event("intent-end")) == "500 grams"
    assert brain.sent("spools.list")[0]["material"] == "PETG"
    assert brain.sent("conversation.process") == []


@pytest.mark.parametrize(
    ("said", "inputs", "grams", "heard"),
    [
        ("how much PLA is left", {}, (200.4, 300.0), "There are 500 grams of PLA on 2 spools."),
        ("is there any PETG", {}, (), "There is no PETG."),
        (
            "wie viel PLA ist noch da",
            {"sentences": ["wie viel {material} ist noch da"], "answer": "Noch {grams} Gramm."},
            (80.0,),
            "Noch 80 Gramm.",
        ),
    ],
)
async def test_the_blueprint_with_a_sentence_answers_in_the_words_of_the_house(
    hass: HomeAssistant,
    voice: Voice,
    brain: FakeBrain,
    *,
    said: str,
    inputs: Json,
    grams: tuple[float, ...],
    heard: str,
) -> None:
    """Without a model, and before any agent is asked."""
    folder = Path(hass.config.path("blueprints", "automation", "kitty"))
    await hass.async_add_executor_job(lambda: folder.mkdir(parents=True))
    await hass.async_add_executor_job(shutil.copy, BLUEPRINT, folder)
    uses = {"path": f"kitty/{BLUEPRINT.name}", "input": inputs}
    automation = {"alias": "Filament", "use_blueprint": uses}
    assert await async_setup_component(hass, "automation", {"automation": [automation]})
    stocked(brain, *grams)
    await voice.say(said)
    assert spoken(await voice.event("intent-end")) == heard
    assert brain.sent("conversation.process") == []
