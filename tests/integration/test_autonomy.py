"""Goals, projects, tasks, research and the look at all printers, as Home Assistant shows and changes them."""

from pathlib import Path
import re
from typing import Any, Final

from homeassistant.components.homeassistant.exposed_entities import async_should_expose
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import issue_registry as ir
from homeassistant.util.yaml import load_yaml_dict
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.const import DOMAIN
from custom_components.kitty.goal_services import METRICS
from custom_components.kitty.protocol import Json
from custom_components.kitty.shopping import async_words

from .conftest import ADA, BOB, EVE
from .fake_brain import FakeBrain, FakeError
from .workshop import (  # noqa: F401 - a fixture is asked for by name
    PRINTER,
    act,
    at,
    push,
    state,
    workshop_fixture,
)

pytestmark = pytest.mark.usefixtures("workshop")

ROOT: Final = Path(__file__).parents[2]
HERE: Final = ROOT / "custom_components" / "kitty"
BRAIN: Final = ROOT / "brain_server" / "autonomy"
AT: Final = 1_795_000_000.0
GOAL: Final = "90" * 16
PROJECT: Final = "9b" * 16
HANDS: Final = "7a" * 16
MAY_I: Final = "7b" * 16
RESEARCH: Final = "4e" * 16
DECIDE: Final = "sensor.brain_goals_to_decide"
PROJECTS: Final = "sensor.brain_projects"
RESEARCHES: Final = "sensor.brain_research"
TASKS: Final = "todo.brain_workshop_tasks"


def goal(**changes: Any) -> Json:
    """Return a goal that waits for a decision."""
    return {
        "id": GOAL,
        "title": "Print PETG hotter",
        "reason": "Three prints came loose.",
        "origin": "failures",
        "about": {"material": "PETG"},
        "status": "identified",
        "priority": 5,
        "metric": "print_success",
        "research_id": None,
        "budget": 0.0,
        "created_by": None,
        "decided_by": None,
        "created_at": AT,
        "decided_at": None,
        "completed_at": None,
    } | changes


def task(position: int = 0, **changes: Any) -> Json:
    """Return a task that waits for somebody's hands."""
    return {
        "id": HANDS,
        "project_id": PROJECT,
        "position": position,
        "title": "Load the new spool",
        "kind": "remind",
        "needs": [],
        "details": {},
        "status": "waiting",
        "work_id": "77" * 16,
        "result": None,
        "error": None,
        "tries": 1,
        "created_at": AT,
        "started_at": AT,
        "finished_at": None,
    } | changes


def measured(**changes: Any) -> Json:
    """Return a task that is done and has found something."""
    return task(id="7c" * 16, kind="measure", title="Measure", status="completed") | changes


def project(*tasks: Json, **changes: Any) -> Json:
    """Return a project that goes on."""
    return {
        "id": PROJECT,
        "goal_id": GOAL,
        "title": "Print PETG hotter",
        "status": "active",
        "budget": 1.0,
        "spent": 0.25,
        "created_at": AT,
        "finished_at": None,
        "tasks": list(tasks),
    } | changes


def research(**changes: Any) -> Json:
    """Return a research of the house that runs."""
    return {
        "id": RESEARCH,
        "question": "How hot is PETG?",
        "status": "running",
        "steps": [
            {"name": "plan", "kind": "plan", "title": "Plan", "status": "completed"},
            {"name": "search", "kind": "search", "title": "Search", "status": "running"},
        ],
        "limits": [],
        "answered": None,
        "error": None,
        "budget": 0.5,
        "cost": 0.1,
        "requested_by": None,
        "work_id": "77" * 16,
        "created_at": AT,
        "finished_at": None,
    } | changes


def problem(**changes: Any) -> Json:
    """Return what the look at all printers has found."""
    return {
        "device_id": PRINTER,
        "name": "Printer",
        "code": "left_heated",
        "since": AT,
        "text": "Printer is at rest and heated.",
    } | changes


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.SENSOR, Platform.TODO)


@pytest.fixture(autouse=True)
def known(brain: FakeBrain) -> None:
    """Let the brain be in the midst of things."""
    before = measured(result="print success: 60% (n=10)")
    hands = task(1, needs=[0])
    brain.workshop = {
        "goals": [goal()],
        "projects": [project(before, hands)],
        "researches": [research()],
        "fleet": [problem()],
    }


def items(hass: HomeAssistant, entity_id: str) -> list[Json]:
    """Return what a figure counts."""
    found: list[Json] = state(hass, entity_id).attributes["items"]
    return found


async def listed(hass: HomeAssistant) -> list[Json]:
    """Return what is on the list of tasks."""
    answer: Any = await hass.services.async_call(
        "todo", "get_items", {"entity_id": TASKS}, blocking=True, return_response=True
    )
    found: list[Json] = answer[TASKS]["items"]
    return found


async def change_item(hass: HomeAssistant, user_id: str | None = BOB, /, **data: Any) -> None:
    """Change an item of the list of tasks as somebody."""
    await act_on_list(hass, user_id, item=HANDS, **data)


async def act_on_list(hass: HomeAssistant, user_id: str | None, /, **data: Any) -> None:
    """Call the action of to-do lists on the tasks."""
    await hass.services.async_call(
        "todo",
        "update_item",
        {"entity_id": TASKS} | data,
        blocking=True,
        context=Context(user_id=user_id),
    )


# -- goals --------------------------------------------------------------------------------------------


async def test_goals_that_wait_for_people_are_counted_and_say_why(hass: HomeAssistant) -> None:
    """With what somebody needs to decide them."""
    [shown] = items(hass, DECIDE)
    assert state(hass, DECIDE).state == "1"
    assert shown["goal_id"] == GOAL
    assert shown["title"] == "Print PETG hotter"
    assert shown["reason"] == "Three prints came loose."
    assert shown["metric"] == "print_success"


async def test_the_most_important_goal_stands_first(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Whenever it was found."""
    await push(hass, brain, "goal.updated", goal(id="a0" * 16, title="Dry", priority=9))
    assert [one["title"] for one in items(hass, DECIDE)] == ["Dry", "Print PETG hotter"]


@pytest.mark.parametrize("status", ["approved", "active", "rejected", "completed"])
async def test_a_goal_that_was_decided_waits_for_nobody(
    hass: HomeAssistant, brain: FakeBrain, status: str
) -> None:
    """Whatever was decided."""
    await push(hass, brain, "goal.updated", goal(status=status))
    assert state(hass, DECIDE).state == "0"


async def test_a_person_decides_a_goal_with_their_own_finger(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The brain hears who it was, and by which road."""
    brain.answers["goals.decide"] = lambda params, _caller: goal(status="approved") | params
    told = await act(hass, "decide_goal", BOB, goal_id=GOAL, approve=True, budget=2)
    assert told["status"] == "approved"
    assert brain.sent("goals.decide") == [{"goal_id": GOAL, "approve": True, "budget": 2.0}]
    [caller] = brain.callers("goals.decide")
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (BOB, "dashboard")


async def test_an_automation_that_decides_is_told_that_people_do(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It comes to the brain as nobody, by no finger, and what the brain says is said."""

    def refuse(_params: Json, caller: Json | None) -> Json:
        raise FakeError("person_decides" if (caller or {})["user_id"] is None else "other")

    brain.answers["goals.decide"] = refuse
    with pytest.raises(HomeAssistantError) as refused:
        await act(hass, "decide_goal", None, goal_id=GOAL, approve=True)
    assert refused.value.translation_key == "person_decides"


async def test_a_goal_can_be_about_a_printer(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Which the brain is told by its own id."""
    brain.answers["goals.add"] = lambda params, _caller: goal() | params
    printer = at(hass, workshop, PRINTER)
    await act(hass, "add_goal", title="Fewer clogs", metric="quality", device_id=printer)
    assert brain.sent("goals.add") == [
        {"title": "Fewer clogs", "metric": "quality", "device_id": PRINTER}
    ]


async def test_a_goal_can_be_about_the_whole_workshop(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It is said in the name of who says it."""
    brain.answers["goals.add"] = lambda params, _caller: goal() | params
    told = await act(hass, "add_goal", BOB, title="Waste less", reason="It is dear", priority=8)
    assert told["title"] == "Waste less"
    assert brain.sent("goals.add") == [
        {"title": "Waste less", "reason": "It is dear", "priority": 8}
    ]
    [caller] = brain.callers("goals.add")
    assert caller is not None
    assert caller["user_id"] == BOB


async def test_a_goal_has_a_metric_that_there_is(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Else nothing would tell whether it helped."""
    with pytest.raises(vol.Invalid):
        await act(hass, "add_goal", title="Be happy", metric="happiness")
    assert brain.sent("goals.add") == []


async def test_the_metrics_to_choose_from_are_those_of_the_brain() -> None:
    """In the action and in its form."""
    theirs = set(re.findall(r'"(\w+)": Metric\(', (BRAIN / "metrics.py").read_text()))
    form = load_yaml_dict(str(HERE / "services.yaml"))["add_goal"]["fields"]["metric"]
    assert set(METRICS) == theirs
    assert set(form["selector"]["select"]["options"]) == theirs


async def test_all_goals_are_told_however_many_pages_they_are(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Of one status, where one is named."""
    pages = [{"items": [goal()], "cursor": GOAL}, {"items": [goal(id="a0" * 16)]}]
    brain.answers["goals.list"] = lambda _params, _caller: pages.pop(0)
    told = await act(hass, "get_goals", status="identified")
    assert [one["id"] for one in told["items"]] == [GOAL, "a0" * 16]
    assert brain.sent("goals.list") == [
        {"status": "identified"},
        {"status": "identified", "cursor": GOAL},
    ]


# -- projects and their tasks -------------------------------------------------------------------------


async def test_a_project_shows_how_far_it_is_and_what_it_spent(hass: HomeAssistant) -> None:
    """And which tasks it has, so that somebody can answer them."""
    [shown] = items(hass, PROJECTS)
    assert state(hass, PROJECTS).state == "1"
    assert (shown["progress"], shown["spent"], shown["budget"]) == (50, 0.25, 1.0)
    assert shown["tasks"][1] == {
        "task_id": HANDS,
        "title": "Load the new spool",
        "kind": "remind",
        "status": "waiting",
    }


async def test_a_project_without_a_plan_has_not_begun(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It is there before its tasks are."""
    await push(hass, brain, "project.updated", project())
    assert items(hass, PROJECTS)[0]["progress"] == 0


async def test_a_project_that_is_over_is_shown_no_more(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Nor what it waited for."""
    await push(hass, brain, "project.updated", project(task(), status="cancelled"))
    assert state(hass, PROJECTS).state == "0"
    assert await listed(hass) == []


def of_bob(brain: FakeBrain) -> None:
    """Let there be a project that Bob has said yes to, after a goal of other pages."""
    pages = {
        None: {"items": [goal(id="0a" * 16)], "cursor": "next"},
        "next": {"items": [goal(status="active", decided_by=BOB)], "cursor": None},
    }
    brain.answers["projects.get"] = lambda _params, _caller: project()
    brain.answers["goals.list"] = lambda params, _caller: pages[params.get("cursor")]
    brain.answers["projects.cancel"] = lambda _params, _caller: project(status="cancelled")


async def test_a_project_is_cancelled_in_the_name_of_a_person(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Who said yes to it; the brain hears who it was."""
    of_bob(brain)
    told = await act(hass, "cancel_project", BOB, project_id=PROJECT)
    assert told["status"] == "cancelled"
    assert brain.sent("projects.cancel") == [{"project_id": PROJECT}]
    caller = brain.callers("projects.cancel")[0]
    assert caller is not None
    assert caller["user_id"] == BOB


@pytest.mark.parametrize("who", [ADA, None])
async def test_engineers_and_automations_cancel_a_project_of_others(
    hass: HomeAssistant, brain: FakeBrain, who: str | None
) -> None:
    of_bob(brain)
    assert (await act(hass, "cancel_project", who, project_id=PROJECT))["status"] == "cancelled"


async def test_nobody_else_cancels_a_project_of_others(
    hass: HomeAssistant, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """Until they are an administrator of the house."""
    of_bob(brain)
    with pytest.raises(Unauthorized):
        await act(hass, "cancel_project", EVE, project_id=PROJECT)
    assert brain.sent("projects.cancel") == []
    people[EVE].is_owner = True
    await act(hass, "cancel_project", EVE, project_id=PROJECT)
    assert brain.sent("projects.cancel") == [{"project_id": PROJECT}]


async def test_projects_are_told_with_their_tasks(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Also those that are over."""
    brain.answers["projects.list"] = lambda _params, _caller: {"items": [project(task())]}
    told = await act(hass, "get_projects")
    assert told["items"][0]["tasks"][0]["id"] == HANDS


async def test_what_waits_for_hands_is_a_list_with_what_was_found_before(
    hass: HomeAssistant,
) -> None:
    """What it is for, and what it builds on."""
    assert await listed(hass) == [
        {
            "summary": "Load the new spool",
            "uid": HANDS,
            "status": "needs_action",
            "description": "Print PETG hotter\nprint success: 60% (n=10)",
        }
    ]


async def test_a_task_comes_and_goes_by_its_own_word(hass: HomeAssistant, brain: FakeBrain) -> None:
    """The project is not told again when one of its tasks begins to wait."""
    await push(hass, brain, "task.updated", task(1, status="completed", finished_at=AT))
    assert await listed(hass) == []
    assert items(hass, PROJECTS)[0]["progress"] == 100
    await push(hass, brain, "task.updated", task(2, id="7d" * 16, title="Clean the bed"))
    assert [one["summary"] for one in await listed(hass)] == ["Clean the bed"]


async def test_a_task_of_a_project_that_is_over_is_no_item(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Its last word may come late."""
    await push(hass, brain, "task.updated", task(project_id="00" * 16, id="7d" * 16))
    assert len(await listed(hass)) == 1


async def test_a_tick_says_that_it_was_done_by_whoever_ticks(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The brain hears who it was."""
    brain.answers["tasks.answer"] = lambda _params, _caller: task(status="completed")
    await change_item(hass, BOB, status="completed")
    assert brain.sent("tasks.answer") == [{"task_id": HANDS, "done": True}]
    [caller] = brain.callers("tasks.answer")
    assert caller is not None
    assert caller["user_id"] == BOB


async def test_a_task_is_not_worded_anew(hass: HomeAssistant, brain: FakeBrain) -> None:
    """A plan is the brain's."""
    with pytest.raises(ServiceValidationError) as refused:
        await change_item(hass, rename="Load any spool")
    assert refused.value.translation_key == "task_fixed"
    assert brain.sent("tasks.answer") == []


async def test_what_is_asked_of_a_device_can_be_ticked_by_nobody(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It is on no list; a person says yes by an action, with their own finger."""
    await push(hass, brain, "task.updated", task(2, id=MAY_I, kind="request", title="Heat it"))
    assert [one["uid"] for one in await listed(hass)] == [HANDS]
    with pytest.raises(ServiceValidationError):
        await act_on_list(hass, ADA, item=MAY_I, status="completed")
    assert brain.sent("tasks.answer") == []


async def test_a_person_answers_a_task_by_action(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Also that it will not be done, and why."""
    brain.answers["tasks.answer"] = lambda _params, _caller: task(status="failed")
    told = await act(hass, "answer_task", BOB, task_id=MAY_I, done=False, note="Too late")
    assert told["status"] == "failed"
    assert brain.sent("tasks.answer") == [{"task_id": MAY_I, "done": False, "note": "Too late"}]
    [caller] = brain.callers("tasks.answer")
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (BOB, "dashboard")


async def test_assist_is_not_shown_the_tasks(hass: HomeAssistant) -> None:
    """By voice, nobody knows who ticks."""
    assert not async_should_expose(hass, "conversation", TASKS)


# -- research -----------------------------------------------------------------------------------------


async def test_a_research_shows_how_far_it_is_and_what_it_cost(hass: HomeAssistant) -> None:
    """While it runs."""
    [shown] = items(hass, RESEARCHES)
    assert state(hass, RESEARCHES).state == "running"
    assert shown["question"] == "How hot is PETG?"
    assert (shown["steps_done"], shown["steps"]) == (1, 2)
    assert (shown["cost"], shown["budget"]) == (0.1, 0.5)


async def test_what_a_person_wants_to_know_is_not_for_the_whole_house(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The state of an entity is read by everybody; the brain tells the question to who asked."""
    await push(hass, brain, "research.updated", research(requested_by=ADA))
    assert items(hass, RESEARCHES)[0]["question"] is None


@pytest.mark.parametrize(
    ("status", "shown"), [("pending", "pending"), ("completed", "none"), ("cancelled", "none")]
)
async def test_the_state_of_research_is_that_of_what_is_open(
    hass: HomeAssistant, brain: FakeBrain, status: str, shown: str
) -> None:
    """What is over is not shown."""
    await push(hass, brain, "research.updated", research(status=status))
    assert state(hass, RESEARCHES).state == shown


async def test_a_research_that_waits_hides_none_that_runs(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Of several, the one that is furthest counts."""
    await push(hass, brain, "research.updated", research(id="4f" * 16, status="pending"))
    assert state(hass, RESEARCHES).state == "running"


async def test_a_research_is_begun_and_says_by_what_it_is_known(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """So that a script can ask for its report later."""
    brain.answers["research.start"] = lambda _params, _caller: research(status="pending")
    told = await act(hass, "start_research", BOB, question="How hot is PETG?", budget=0.5)
    assert told == {"research_id": RESEARCH, "status": "pending"}
    assert brain.sent("research.start") == [{"question": "How hot is PETG?", "budget": 0.5}]
    [caller] = brain.callers("research.start")
    assert caller is not None
    assert caller["user_id"] == BOB


async def test_a_report_is_told_with_its_sources(hass: HomeAssistant, brain: FakeBrain) -> None:
    """To the one who may read it."""
    whole = research(status="completed", report="240 °C [1]", sources=[{"number": 1}])
    brain.answers["research.get"] = lambda _params, _caller: whole
    told = await act(hass, "get_research", research_id=RESEARCH)
    assert (told["report"], told["sources"]) == ("240 °C [1]", [{"number": 1}])
    assert brain.sent("research.get") == [{"research_id": RESEARCH}]


async def test_without_an_id_all_that_one_may_see_is_told(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Else nobody would find again what they asked last week."""
    brain.answers["research.list"] = lambda _params, _caller: {"items": [research()]}
    told = await act(hass, "get_research", BOB)
    assert [one["id"] for one in told["items"]] == [RESEARCH]
    [caller] = brain.callers("research.list")
    assert caller is not None
    assert caller["user_id"] == BOB


async def test_a_research_is_cancelled(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Nothing more is spent."""
    brain.answers["research.cancel"] = lambda _params, _caller: research(status="cancelled")
    told = await act(hass, "cancel_research", research_id=RESEARCH)
    assert told["status"] == "cancelled"
    assert brain.sent("research.cancel") == [{"research_id": RESEARCH}]


# -- printers -----------------------------------------------------------------------------------------


def found(hass: HomeAssistant, entry: MockConfigEntry, about: str) -> ir.IssueEntry | None:
    """Return the repair issue of what was found of a printer."""
    issue_id = f"printer_trouble.{entry.entry_id}.{about}"
    return ir.async_get(hass).async_get_issue(DOMAIN, issue_id)


async def test_what_was_found_of_a_printer_is_a_repair_until_it_is_over(
    hass: HomeAssistant, brain: FakeBrain, workshop: MockConfigEntry
) -> None:
    """In words of this house's language."""
    about = f"{PRINTER}:left_heated"
    issue = found(hass, workshop, about)
    assert issue is not None
    assert issue.translation_placeholders == {
        "printer": "Printer",
        "trouble": "is at rest and heated, and was so at the look before",
        "since": "2026-11-18 03:06",
    }
    await push(hass, brain, "fleet.updated", {"problems": []})
    assert found(hass, workshop, about) is None


async def test_what_a_newer_brain_finds_is_told_as_the_brain_says_it(
    hass: HomeAssistant, brain: FakeBrain, workshop: MockConfigEntry
) -> None:
    """Better than a code."""
    await push(hass, brain, "fleet.updated", {"problems": [problem(code="moldy", text="Mold.")]})
    issue = found(hass, workshop, f"{PRINTER}:moldy")
    assert issue is not None
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["trouble"] == "Mold."


async def test_whatever_the_brain_finds_has_words(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Those of the brain that is shipped with this."""
    source = (BRAIN / "fleet.py").read_text()
    codes = set(re.findall(r'yield "(\w+)"', source))
    assert codes - {"offline"} == set(await async_words(hass, "fleet_trouble"))


@pytest.mark.parametrize("changes", [{"code": "offline"}, {"device_id": "00" * 16}])
async def test_what_is_reported_otherwise_or_gone_is_no_repair_of_the_look(
    hass: HomeAssistant, brain: FakeBrain, changes: Json
) -> None:
    """A printer that is away has a repair of its own, which is sooner gone."""
    await push(hass, brain, "fleet.updated", {"problems": [problem(**changes)]})
    kinds = [issue_id.partition(".")[0] for _, issue_id in ir.async_get(hass).issues]
    assert "printer_trouble" not in kinds
