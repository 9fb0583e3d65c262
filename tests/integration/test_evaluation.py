"""Questions with given answers: put in percent, and read as shares. Only releases after 2026.10 ask them."""

from dataclasses import dataclass
from typing import Any, Final

from homeassistant.components import ai_task
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import ai_task as ours
from custom_components.kitty.errors import KittyError
from custom_components.kitty.evaluation import answers_of, instructions_of, schema_of
from custom_components.kitty.protocol import Json

from .conftest import ADA
from .fake_brain import FakeBrain
from .workshop import state, workshop_fixture  # noqa: F401 - fixtures are asked for by name

TASKS: Final = "ai_task.brain_tasks"
PARCEL: Final[dict[str, Json]] = {
    "here": {"type": "noul", "instructions": "Has the parcel come?"},
    "where": {
        "type": "choice",
        "instructions": "Where does it lie?",
        "criteria": {"door": "At the front door", "shed": "In the shed"},
    },
    "wet": {"type": "score", "instructions": "How wet is it?", "criteria": ["dry", "damp", "wet"]},
}
SURE: Final[Json] = {
    "q1": 90,
    "q2": {"a1": 60, "a2": 20},
    "q3": {"a1": 0, "a2": 50, "a3": 50},
}


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.AI_TASK,)


def test_the_shape_of_the_answers_is_numbers_alone() -> None:
    """What people call things is no part of it, so that a small model can be held to it."""
    percent = {"type": "integer", "minimum": 0, "maximum": 100}
    assert schema_of(PARCEL) == {
        "type": "object",
        "properties": {
            "q1": percent,
            "q2": {
                "type": "object",
                "properties": {"a1": percent, "a2": percent},
                "required": ["a1", "a2"],
                "additionalProperties": False,
            },
            "q3": {
                "type": "object",
                "properties": {"a1": percent, "a2": percent, "a3": percent},
                "required": ["a1", "a2", "a3"],
                "additionalProperties": False,
            },
        },
        "required": ["q1", "q2", "q3"],
        "additionalProperties": False,
    }


def test_a_model_is_told_the_questions_and_then_what_to_judge_by() -> None:
    told = instructions_of(PARCEL, "The parcel leans at the shed.").splitlines()
    assert told[1:] == [
        "q1: Has the parcel come?",
        "  How sure is it that the answer is yes?",
        "q2: Where does it lie?",
        "  a1: door: At the front door",
        "  a2: shed: In the shed",
        "q3: How wet is it?",
        "  a1: dry",
        "  a2: damp",
        "  a3: wet",
        "Given:",
        "The parcel leans at the shed.",
    ]


def test_what_is_given_may_be_data() -> None:
    assert instructions_of(PARCEL, {"rain": [1, True]}).endswith('\nGiven:\n{"rain":[1,true]}')


def test_pictures_alone_are_something_to_judge_by() -> None:
    """No word of what is given then."""
    assert "Given:" not in instructions_of(PARCEL, None)


def test_percentages_become_shares() -> None:
    """Also those that do not add up to a hundred."""
    assert answers_of(PARCEL, SURE) == {
        "here": {"type": "noul", "noul": 0.9},
        "where": {
            "type": "choice",
            "choice": "door",
            "probabilities": {"door": 0.75, "shed": 0.25},
        },
        "wet": {"type": "score", "score": 1.5, "probabilities": [0.0, 0.5, 0.5]},
    }


def test_no_is_an_answer() -> None:
    only = {"here": PARCEL["here"]}
    assert answers_of(only, {"q1": 0}) == {"here": {"type": "noul", "noul": 0.0}}


@pytest.mark.parametrize("name", ["where", "wet"])
def test_where_no_given_answer_is_possible_none_is_made_up(name: str) -> None:
    only = {name: PARCEL[name]}
    with pytest.raises(KittyError) as caught:
        answers_of(only, {"q1": {"a1": 0, "a2": 0, "a3": 0}})
    assert caught.value.code == "undecided"


def test_this_release_is_promised_nothing_that_it_does_not_ask(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """What the entity says that it can is what Home Assistant knows."""
    assert hasattr(ai_task.AITaskEntityFeature, "EVALUATE") is (ours.EVALUATE is not None)
    assert hass.services.has_service("ai_task", "evaluate") is (ours.EVALUATE is not None)
    known = sum(ai_task.AITaskEntityFeature)
    assert state(hass, TASKS).attributes["supported_features"] & ~known == 0


# -- a release that asks -------------------------------------------------------------------------------


@dataclass
class Noul:
    """As of Home Assistant 2026.11."""

    noul: float


@dataclass
class Choice:
    """As of Home Assistant 2026.11."""

    choice: str
    probabilities: dict[str, float]


@dataclass
class Score:
    """As of Home Assistant 2026.11."""

    score: float
    probabilities: list[float]


@dataclass
class Result:
    """As of Home Assistant 2026.11."""

    answers: dict[str, Any]


@dataclass
class Task:
    """As of Home Assistant 2026.11."""

    name: str
    questions: dict[str, Json]
    state: Any = None
    attachments: None = None


@pytest.fixture
def tasks(
    hass: HomeAssistant, workshop: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> ours.KittyTasks:
    """Return the entity, in a Home Assistant that has the classes of the next release."""
    classes = {"NoulAnswer": Noul, "ChoiceAnswer": Choice, "ScoreAnswer": Score}
    for name, made in (classes | {"EvaluationTaskResult": Result}).items():
        monkeypatch.setattr(ai_task, name, made, raising=False)
    entity = hass.data[ai_task.DATA_COMPONENT].get_entity(TASKS)
    assert isinstance(entity, ours.KittyTasks)
    return entity


async def test_an_evaluation_is_a_task_of_who_asks(
    tasks: ours.KittyTasks, brain: FakeBrain
) -> None:
    """By the road of all other tasks."""
    brain.answers["generate.data"] = lambda _params, _caller: {"data": SURE}
    tasks.async_set_context(Context(user_id=ADA))
    result = await tasks._async_evaluate(Task("Parcel", PARCEL, "It leans at the shed."))
    assert result == Result(
        {
            "here": Noul(0.9),
            "where": Choice("door", {"door": 0.75, "shed": 0.25}),
            "wet": Score(1.5, [0.0, 0.5, 0.5]),
        }
    )
    assert brain.sent("generate.data") == [
        {
            "instructions": instructions_of(PARCEL, "It leans at the shed."),
            "schema": schema_of(PARCEL),
            "attachments": [],
            "task_name": "Parcel",
        }
    ]
    caller = brain.callers("generate.data")[0]
    assert caller is not None
    assert caller["user_id"] == ADA
