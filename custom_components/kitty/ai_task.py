"""AI tasks: words, data of a shape, judgements or a picture, made by whichever model the brain chooses."""

import base64
import binascii
from typing import Any, Final, override

from homeassistant.components import ai_task
from homeassistant.components.ai_task import (
    AITaskEntity,
    AITaskEntityFeature,
    GenDataTask,
    GenDataTaskResult,
    GenImageTask,
    GenImageTaskResult,
)
from homeassistant.components.conversation import AssistantContent, ChatLog
from homeassistant.core import HomeAssistant
from homeassistant.helpers import llm
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.json import json_dumps
import probatio as vol

from . import KittyConfigEntry
from .entity import KittyBrainEntity
from .errors import KittyError, Refused
from .evaluation import answers_of, instructions_of, schema_of
from .origin import SYSTEM, Caller, caller_from
from .pictures import attached
from .protocol import Json
from .uploads import act

PARALLEL_UPDATES = 0

TASKS: Final = EntityDescription(key="ai_task", translation_key="ai_task")

IMAGE_USE: Final = "image"
# A model thinks longer than a device does.
PATIENCE: Final = 180.0
# Home Assistant 2026.10 does not know it.
EVALUATE: Final[AITaskEntityFeature | None] = getattr(AITaskEntityFeature, "EVALUATE", None)
_ANSWERS: Final = {"noul": "NoulAnswer", "choice": "ChoiceAnswer", "score": "ScoreAnswer"}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the one who does tasks."""
    async_add_entities([KittyTasks(entry.runtime_data.coordinator, TASKS)])


class KittyTasks(KittyBrainEntity, AITaskEntity):
    """Does tasks; draws only while there is a model that can."""

    @property
    @override
    def supported_features(self) -> AITaskEntityFeature:
        """Return what the models of the brain can do now."""
        features = AITaskEntityFeature.GENERATE_DATA | AITaskEntityFeature.SUPPORT_ATTACHMENTS
        if EVALUATE is not None:
            features |= EVALUATE
        providers = self.coordinator.data.providers.values()
        if any(IMAGE_USE in view["uses"] and view["enabled"] for view in providers):
            features |= AITaskEntityFeature.GENERATE_IMAGE
        return features

    @override
    async def _async_generate_data(self, task: GenDataTask, chat_log: ChatLog) -> GenDataTaskResult:
        """Return words, or data of the structure that the task has."""
        caller = await self._caller()
        schema = None
        if task.structure is not None:
            schema = vol.to_openapi(
                task.structure,
                custom_serializer=llm.selector_serializer,
                openapi_version="3.1.0",
            )
        params: Json = {
            "instructions": task.instructions,
            "schema": schema,
            "attachments": await attached(self.hass, task.attachments or ()),
            "task_name": task.name,
        }
        answer = await self._ask("generate.data", params, caller)
        data: Any = answer["text"] if task.structure is None else answer["data"]
        words = data if isinstance(data, str) else json_dumps(data)
        chat_log.async_add_assistant_content_without_tools(
            AssistantContent(agent_id=self.entity_id, content=words)
        )
        return GenDataTaskResult(conversation_id=chat_log.conversation_id, data=data)

    async def _async_evaluate(self, task: Any) -> Any:
        """Return how sure a model is of each answer to the questions of the task."""
        caller = await self._caller()
        params: Json = {
            "instructions": instructions_of(task.questions, task.state),
            "schema": schema_of(task.questions),
            "attachments": await attached(self.hass, task.attachments or ()),
            "task_name": task.name,
        }
        answer = await self._ask("generate.data", params, caller)
        found = answers_of(task.questions, answer["data"])
        return _of("EvaluationTaskResult")(
            answers={name: _of(_ANSWERS[one.pop("type")])(**one) for name, one in found.items()}
        )

    @override
    async def _async_generate_image(
        self, task: GenImageTask, chat_log: ChatLog
    ) -> GenImageTaskResult:
        """Return a picture."""
        if task.attachments:
            raise Refused("drawing_from_pictures")
        entry = self.coordinator.config_entry
        answer = await act(self.hass, entry, "generate.image", {"instructions": task.instructions})
        try:
            picture = base64.b64decode(answer["base64"], validate=True)
        except binascii.Error as err:
            raise KittyError("no_drawing") from err
        chat_log.async_add_assistant_content_without_tools(
            AssistantContent(agent_id=self.entity_id, content=task.instructions)
        )
        return GenImageTaskResult(
            image_data=picture,
            conversation_id=chat_log.conversation_id,
            mime_type=answer["media_type"],
            model=answer.get("model"),
        )

    async def _caller(self) -> Caller:
        """Return who started the task; to be asked first, as the next task brings its own context."""
        return SYSTEM if self._context is None else await caller_from(self.hass, self._context)

    async def _ask(self, action: str, params: Json, caller: Caller) -> Json:
        """Ask the brain in somebody's name."""
        client = self.coordinator.config_entry.runtime_data.client
        answer: Json = await client.command(action, params, caller=caller, timeout=PATIENCE)
        return answer


def _of(name: str) -> Any:
    """Return a class of Home Assistant that the oldest release which we support does not have."""
    return getattr(ai_task, name)
