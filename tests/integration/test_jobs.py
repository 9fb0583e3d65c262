"""What KITTY does by itself, as Home Assistant shows it and as people reach into it."""

from typing import Any

from homeassistant.components.button import DOMAIN as BUTTON, SERVICE_PRESS
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, Unauthorized
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.const import DOMAIN
from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, EVE
from .fake_brain import FakeBrain
from .workshop import push, state, workshop_fixture  # noqa: F401 - a fixture is asked for by name

pytestmark = pytest.mark.usefixtures("workshop")

CHECK = "sensor.brain_daily_health_check"
DEAD = "sensor.brain_dead_letters"
AT = 1_795_000_000.0


def job(name: str = "daily_health_check", **changes: Any) -> Json:
    """Return a job as the brain tells it."""
    return {
        "name": name,
        "timing": "daily 12:00",
        "enabled": True,
        "next_at": AT + 86_400,
        "last_at": AT,
        "work_id": "77" * 16,
        "overdue": False,
        "last": {
            "status": "completed",
            "started_at": AT,
            "finished_at": AT + 2.5,
            "result": {"state": "ok"},
            "error": None,
        },
    } | changes


def piece(**changes: Any) -> Json:
    """Return a piece of work that was given up."""
    return {
        "id": "de" * 16,
        "kind": "notify.deliver",
        "requested_by": None,
        "status": "dead",
        "error": {"code": "webhook_failed", "message": "No"},
        "tries": 12,
        "finished_at": AT,
    } | changes


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BUTTON, Platform.SENSOR)


@pytest.fixture(autouse=True)
def known(brain: FakeBrain) -> None:
    """Let the brain have a job and one piece of dead work."""
    brain.workshop = {"schedule": [job()], "work": [piece()]}


async def act(hass: HomeAssistant, service: str, user_id: str = ADA, /, **data: Any) -> Any:
    """Call an action as a user."""
    return await hass.services.async_call(
        DOMAIN,
        service,
        data,
        blocking=True,
        return_response=service == "run_job",
        context=Context(user_id=user_id),
    )


def asked(brain: FakeBrain, action: str) -> list[Json]:
    """Return what the brain was asked for."""
    return [one.params for one in brain.received if one.action == action]


async def test_a_job_shows_how_its_last_run_went_and_when_the_next_is(hass: HomeAssistant) -> None:
    """State, times, how long it took and what came of it."""
    found = state(hass, CHECK)
    assert found.state == "completed"
    assert found.attributes["duration"] == 2.5
    assert found.attributes["result"] == {"state": "ok"}
    assert found.attributes["next_run"].timestamp() == AT + 86_400


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"overdue": True}, "overdue"),
        ({"enabled": False, "next_at": None}, "off"),
        ({"last": None, "last_at": None}, "never"),
    ],
)
async def test_a_job_shows_what_keeps_it(
    hass: HomeAssistant, brain: FakeBrain, changes: Json, shown: str
) -> None:
    """Overdue, switched off, or never run yet."""
    await push(hass, brain, "schedule.updated", job(**changes))
    assert state(hass, CHECK).state == shown


async def test_a_job_that_a_later_brain_has_more_appears(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Under the name that the brain gives it."""
    await push(hass, brain, "schedule.updated", job("count_screws"))
    assert state(hass, "sensor.brain_count_screws").state == "completed"


async def test_an_overdue_job_is_a_repair_issue_while_it_lasts(
    hass: HomeAssistant, brain: FakeBrain, workshop: MockConfigEntry
) -> None:
    """It comes and goes by itself."""
    issue_id = f"job_overdue.{workshop.entry_id}.daily_health_check"
    await push(hass, brain, "schedule.updated", job(overdue=True))
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is not None
    await push(hass, brain, "schedule.updated", job())
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is None


async def test_work_that_was_given_up_is_counted_and_reported_until_it_is_tried_again(
    hass: HomeAssistant, brain: FakeBrain, workshop: MockConfigEntry
) -> None:
    """The sensor says why; one action tries all of it again."""
    issue_id = f"dead_letters.{workshop.entry_id}.work"
    brain.answers["work.retry"] = lambda params, _caller: piece(
        id=params["work_id"], status="pending", error=None
    )
    assert state(hass, DEAD).state == "1"
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is not None
    await act(hass, "retry_dead_letter")
    await push(hass, brain, "work.updated", piece(status="pending", error=None))
    assert state(hass, DEAD).state == "0"
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is None
    assert asked(brain, "work.retry") == [{"work_id": "de" * 16}]


async def test_where_nothing_was_given_up_there_is_nothing_to_try_again(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """And the action says so."""
    await push(hass, brain, "work.updated", piece(status="cancelled"))
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, "retry_dead_letter")
    assert caught.value.translation_key == "no_dead_letters"


async def test_a_person_runs_a_job_by_action_in_their_own_name(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The brain hears who asked."""
    brain.answers["schedule.run"] = lambda params, _caller: params | {"status": "pending"}
    found = await act(hass, "run_job", BOB, name="daily_health_check")
    [told] = [one for one in brain.received if one.action == "schedule.run"]
    assert told.caller is not None
    assert told.caller["user_id"] == BOB
    assert found == {"name": "daily_health_check", "status": "pending"}


async def test_the_button_of_a_job_runs_it(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Whoever wants it on a dashboard switches it on; here all entities are."""
    await hass.services.async_call(
        BUTTON,
        SERVICE_PRESS,
        {"entity_id": "button.brain_run_daily_health_check"},
        blocking=True,
        context=Context(user_id=ADA),
    )
    assert asked(brain, "schedule.run") == [{"name": "daily_health_check"}]


async def test_only_an_administrator_changes_when_jobs_come(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Others may run them."""
    with pytest.raises(Unauthorized):
        await act(hass, "change_job", BOB, name="daily_health_check", enabled=False)
    assert asked(brain, "schedule.change") == []


async def test_work_that_somebody_asked_for_is_cancelled_by_them_engineers_and_administrators(
    hass: HomeAssistant, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """Nobody ends the research of another person by its piece of work."""
    row = piece(status="running", kind="research", requested_by=BOB)
    brain.answers["work.get"] = brain.answers["work.cancel"] = lambda _params, _caller: row
    with pytest.raises(Unauthorized):
        await act(hass, "cancel_work", EVE, work_id=row["id"])
    assert brain.sent("work.cancel") == []
    for user_id in (BOB, ADA):
        await act(hass, "cancel_work", user_id, work_id=row["id"])
    people[EVE].is_owner = True
    await act(hass, "cancel_work", EVE, work_id=row["id"])
    assert len(brain.sent("work.cancel")) == 3


async def test_the_work_of_another_is_not_tried_again_for_them(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """They may have given it up."""
    row = piece(kind="research", requested_by=BOB)
    brain.answers["work.get"] = brain.answers["work.retry"] = lambda _params, _caller: row
    with pytest.raises(Unauthorized):
        await act(hass, "retry_dead_letter", EVE, work_id=row["id"])
    assert brain.sent("work.retry") == []
    await act(hass, "retry_dead_letter", BOB, work_id=row["id"])
    assert brain.sent("work.retry") == [{"work_id": row["id"]}]


async def test_of_all_that_was_given_up_a_person_tries_again_what_is_theirs(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The house's own, and what they asked for."""
    await push(hass, brain, "work.updated", piece(id="b0" * 16, requested_by=BOB))
    await push(hass, brain, "work.updated", piece(id="ee" * 16, requested_by=EVE))
    brain.answers["work.retry"] = lambda params, _caller: piece(id=params["work_id"])
    await act(hass, "retry_dead_letter", EVE)
    tried = {sent["work_id"] for sent in brain.sent("work.retry")}
    assert tried == {"de" * 16, "ee" * 16}


async def test_work_that_nobody_asked_for_is_cancelled_by_everybody(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """It is the house's own."""
    row = piece(status="running", kind="fleet.check", requested_by=None)
    brain.answers["work.get"] = brain.answers["work.cancel"] = lambda _params, _caller: row
    await act(hass, "cancel_work", ADA, work_id=row["id"])
    assert len(brain.sent("work.cancel")) == 1
