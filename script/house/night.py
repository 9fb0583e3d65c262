"""What goes on by itself, step by step: a job, a goal that people decide and carry out, a word to all, and a switch."""

from typing import Any, Final

from script.house.people import Json, Refused
from script.house.phones import button
from script.house.visit import Step, Visit, expect

CHECK: Final = "sensor.kitty_daily_health_check"
GOALS: Final = "sensor.kitty_goals_to_decide"
PROJECTS: Final = "sensor.kitty_projects"
RESEARCH: Final = "switch.kitty_research"


async def a_job_runs_now(visit: Visit) -> str:
    """Demo runs the daily health check now: within seconds its sensor says how the house is, and when it comes next."""
    await visit.demo.ask("kitty.run_job", name="daily_health_check")
    await visit.until(CHECK, "completed")
    found = _attributes(visit, CHECK)
    expect(found["next_run"], "It does not say when it comes next")
    return f"{found['result']['verdict']} after {found['duration']} s, next at {found['next_run']}"


async def a_goal_waits_for_a_person(visit: Visit) -> str:
    """A goal is proposed: nothing is done for it until Anna agrees; then it is a project with tasks."""
    goal = await visit.demo.ask("kitty.add_goal", title="Fewer failed prints on the Mini")
    await visit.until(GOALS, "1")
    expect(visit.demo.state(PROJECTS) == "0", "There is a project before anybody agreed")
    await visit.house.anna.ask("kitty.decide_goal", goal_id=goal["id"], approve=True)
    await visit.until(PROJECTS, "1")
    await visit.demo.until(lambda: _project(visit)["tasks"], "It has tasks")
    project = _project(visit)
    return f"{project['title']!r}: {len(project['tasks'])} tasks"


async def a_reminder_is_answered_on_a_phone(visit: Visit) -> str:
    """The phone of the one who agreed says what is to be done; 'Done' there ends the task, the project and the goal."""
    project = _project(visit)
    prompt = await visit.annas_phone.prompt(project["title"])
    goals = await visit.demo.ask("kitty.get_goals", status="active")
    expect(len(goals["items"]) == 1, f"{len(goals['items'])} goals are active")
    done = button(prompt, "Done")
    await visit.annas_phone.press(done)
    await visit.until(PROJECTS, "0")
    tag = prompt["data"]["tag"]
    await visit.annas_phone.until(
        lambda: tag not in visit.annas_phone.shown, "The notification is taken away"
    )
    [goal] = (await visit.demo.ask("kitty.get_goals", status="completed"))["items"]
    await visit.annas_phone.press(done)
    return f"{goal['title']!r} is completed: {prompt['message'].splitlines()[0]!r}"


async def people_are_told_once(visit: Visit) -> str:
    """Somebody has people told of an incident twice: each phone shows it once, and the second time is only counted."""
    about = {
        "title": "Filter",
        "message": "The filter is full",
        "key": "filter",
        "severity": "warning",
    }
    first = await visit.demo.ask("kitty.notify", **about)
    second = await visit.demo.ask("kitty.notify", **about)
    await visit.annas_phone.until(lambda: _told(visit, "Filter"), "Anna's phone says so")
    expect(second["repeated"] and not first["repeated"], "It was told twice")
    expect(len(_told(visit, "Filter")) == 1, "It rang twice")
    return "told once, counted once more"


async def what_is_switched_off_says_so(visit: Visit) -> str:
    """Research is switched off: it is refused with the reason, and works again when it is on."""
    await visit.demo.call("switch.turn_off", entity_id=RESEARCH)
    await visit.until(RESEARCH, "off")
    try:
        await visit.demo.ask("kitty.start_research", question="Which glue holds PETG?")
    except Refused as err:
        expect(err.code == "capability_off_research", f"It was refused as {err.code}")
        words = str(err)
    else:
        words = ""
    expect(words, "It was taken")
    await visit.demo.call("switch.turn_on", entity_id=RESEARCH)
    await visit.until(RESEARCH, "on")
    return words


def _told(visit: Visit, title: str) -> list[Json]:
    return [one for one in visit.annas_phone.received if one.get("title") == title]


def _project(visit: Visit) -> Json:
    [found] = _attributes(visit, PROJECTS)["items"]
    project: Json = found
    return project


def _attributes(visit: Visit, entity_id: str) -> dict[str, Any]:
    found: dict[str, Any] = visit.demo.states[entity_id]["attributes"]
    return found


STEPS: Final[tuple[Step, ...]] = (
    a_job_runs_now,
    a_goal_waits_for_a_person,
    a_reminder_is_answered_on_a_phone,
    people_are_told_once,
    what_is_switched_off_says_so,
)
