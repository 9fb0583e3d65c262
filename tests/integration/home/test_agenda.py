"""What calendars and to-do lists hold, on a Wednesday noon."""

from datetime import datetime, timedelta

import attr
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.calendar import CalendarEvent
from homeassistant.components.todo import TodoItem, TodoItemStatus
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest

from custom_components.kitty.const import DOMAIN

from .conftest import Home

NOW = datetime(2026, 7, 15, 19, 0, tzinfo=dt_util.UTC)  # noon where the tests live


@pytest.fixture
async def frozen(freezer: FrozenDateTimeFactory) -> None:
    """Stop the time before anything is built."""
    freezer.move_to(NOW)


@pytest.fixture
async def family(frozen: None, home: Home) -> Home:
    """Give the house with a full calendar."""
    day = dt_util.now().date()

    def hour(days: int, hours: float) -> datetime:
        return dt_util.start_of_local_day(day + timedelta(days=days)) + timedelta(hours=hours)

    home.things["calendar.family"].set["events"] = (
        CalendarEvent(summary="Standup", start=hour(0, 9), end=hour(0, 9.5)),
        CalendarEvent(summary="Piano lesson", start=hour(0, 17), end=hour(0, 18), location="Our house"),
        CalendarEvent(summary="Dinner with Eve", start=hour(3, 19), end=hour(3, 22),
                      location="Café Central", description="Bring the lasagne"),
        CalendarEvent(summary="Zoo", start=day + timedelta(days=6), end=day + timedelta(days=7)),
        CalendarEvent(summary="Tax office", start=hour(40, 8), end=hour(40, 9)),
    )  # fmt: skip
    return home


ANSWERS = {
    "what do I have today": "Standup today at 09:00 and Piano lesson today at 17:00 at Our house.",
    "what do I have tomorrow": "Nothing is planned.",
    "what do I have this week": (
        "Standup today at 09:00, Piano lesson today at 17:00 at Our house and "
        "Dinner with Eve on Saturday at 19:00 at Café Central."
    ),
    "what do I have next week": "Zoo on Tuesday.",
    "what do I have this weekend": "Dinner with Eve on Saturday at 19:00 at Café Central.",
    "what do I have next weekend": "Nothing is planned.",
    "what do I have on wednesday": "Standup today at 09:00 and Piano lesson today at 17:00 at Our house.",
    "what do I have next wednesday": "Nothing is planned.",
    "what do I have next month": (
        "Standup today at 09:00, Piano lesson today at 17:00 at Our house, "
        "Dinner with Eve on Saturday at 19:00 at Café Central, Zoo on Tuesday and "
        "Tax office on Monday, August 24 at 08:00."
    ),
    "what is on my calendar": (
        "Piano lesson today at 17:00 at Our house, Dinner with Eve on Saturday at 19:00 at Café Central "
        "and Zoo on Tuesday."
    ),
    "what is on the family calendar tomorrow": "Nothing is planned.",
    "how many appointments do I have today": (
        "2: Standup today at 09:00 and Piano lesson today at 17:00 at Our house."
    ),
    "what is my next appointment": "Piano lesson today at 17:00 at Our house.",
    "am I busy today": "Yes, Standup today at 09:00 and Piano lesson today at 17:00 at Our house.",
    "am I busy tomorrow": "No, nothing is planned.",
    "am I free": "No, Piano lesson today at 17:00 at Our house.",
    "are we going out today": "No, there is nothing away from home.",
    "are we going out on saturday": "Yes, Dinner with Eve on Saturday at 19:00 at Café Central.",
    "who gets the lasagne": "Dinner with Eve on Saturday at 19:00 at Café Central.",
    "when is the tax office": "Tax office on Monday, August 24 at 08:00.",
    "how many dinners with Eve are this week": (
        "1: Dinner with Eve on Saturday at 19:00 at Café Central."
    ),
    "do I have a piano lesson today": "Piano lesson today at 17:00 at Our house.",
}


@pytest.mark.parametrize("question", ANSWERS)
async def test_a_stretch_of_time_has_its_events(family: Home, question: str) -> None:
    """However the day is called."""
    assert await family.ask(question) == ANSWERS[question]


async def test_a_full_day_is_cut_short(family: Home) -> None:
    """Ten are enough to hear."""
    start = dt_util.start_of_local_day() + timedelta(days=1)
    family.things["calendar.family"].set["events"] = tuple(
        CalendarEvent(
            summary=f"Call {number}",
            start=start + timedelta(hours=number),
            end=start + timedelta(hours=number + 1),
        )
        for number in range(12)
    )
    answer = await family.ask("what do I have tomorrow")
    assert answer.endswith("Call 9 tomorrow at 09:00 and 2 more.")


async def test_an_empty_calendar_has_no_next_event(family: Home) -> None:
    """It says so."""
    family.things["calendar.family"].set["events"] = ()
    assert await family.ask("what is my next appointment") == "Nothing is planned."


async def test_a_calendar_that_nobody_has_is_no_calendar(family: Home) -> None:
    """A model may know more."""
    assert await family.say("what is on the garbage calendar") is None


async def test_without_a_calendar_there_is_no_answer(family: Home) -> None:
    """Instead of "nothing is planned"."""
    await family.hide("calendar.family")
    assert await family.say("am I free tomorrow") is None


async def test_a_calendar_that_does_not_answer_tells_nothing(family: Home) -> None:
    """And nothing breaks."""
    family.hass.services.async_remove("calendar", "get_events")
    assert await family.ask("what do I have today") == "Nothing is planned."


LISTS = {
    "do we have milk on the groceries list": "Yes, Oat milk.",
    "what is on the groceries list for rice": "Rice.",
}


@pytest.mark.parametrize("question", LISTS)
async def test_a_list_has_its_items(home: Home, question: str) -> None:
    """Counted, searched, read."""
    assert await home.ask(question) == LISTS[question]


async def test_all_lists_are_counted_where_none_is_named(home: Home) -> None:
    """Their items, together."""
    assert (await home.ask("how many tasks do I have")).startswith("3 on ")


async def test_a_long_list_is_cut_short_and_an_empty_one_told(home: Home) -> None:
    """Ten are enough to hear."""
    items = [
        TodoItem(summary=f"Thing {number}", uid=str(number), status=TodoItemStatus.NEEDS_ACTION)
        for number in range(11)
    ]
    home.things["todo.groceries"].show(todo_items=items)
    assert (await home.ask("what is on the groceries list")).endswith("Thing 9 and 1 more.")
    home.things["todo.groceries"].show(todo_items=[])
    assert await home.ask("what is on the groceries list") == "Groceries is empty."
    assert await home.ask("how many items are on the groceries list") == "0 on Groceries."


async def test_a_list_of_kitty_is_no_affair_of_people(home: Home) -> None:
    """A print that is queued answers no question about where people keep their things."""
    errands = "todo.errands"
    assert await home.ask("where is the plumber") == "Call the plumber."
    known = er.async_get(home.hass).entities
    known[errands] = attr.evolve(known[errands], platform=DOMAIN)
    assert await home.say("where is the plumber") is None


async def test_without_a_list_there_is_no_answer(home: Home) -> None:
    """Instead of an empty one."""
    await home.hide("todo.groceries", "todo.errands")
    assert await home.say("what do I have to do") is None
