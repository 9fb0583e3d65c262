"""Questions about the home: plain short answers from what is known."""

from datetime import timedelta

from homeassistant.util import dt as dt_util
import pytest

from .conftest import Home

ANSWERS = {
    "is the front door locked?": "No, Front Door is unlocked.",
    "is the garage door open": "No, Garage Door is closed.",
    "is everything locked": "No, Front Door is unlocked.",
    "are any windows open?": "Yes, Kitchen Window.",
    "which windows are open": "Kitchen Window.",
    "how many windows are open": "1: Kitchen Window.",
    "how many lights are on": "1: Kitchen Ceiling.",
    "is the light in the kitchen on or off": "Kitchen Ceiling is on and Counter Strip is off.",
    "did I leave the fireplace on": "Yes, Fireplace is on.",
    "did I lock the back door": "Yes, Back Door is locked.",
    "what's the temperature in the bedroom": "Bedroom Climate Temperature is 18.5 °C.",
    "how warm is it in the bathroom": "Towel Rail is 24 °C.",
    "is the bedroom colder than 20 degrees": "Yes, Bedroom Climate Temperature is 18.5 °C.",
    "what is the volume of the sonos": "Sonos is 40%.",
    "what is the battery of the back door": "Back Door Battery is 12%.",
    "is the back door battery low": "Yes, Back Door Battery is 12%.",
    "is there motion in the hall": "No, nothing is noticed.",
    "what is playing": "Sonos is playing Blue Train.",
    "what is the state of the left blind": "Left Blind is open.",
    "what is the weather": "It is rainy, 11 °C.",
    "is it raining": "Yes, it is rainy, 11 °C.",
    "do I need an umbrella": "Yes, it is rainy, 11 °C.",
    "will it rain tomorrow": "No, tomorrow: sunny, 7 to 18 °C, 5 % chance of rain.",
    "what's on my calendar tomorrow": "Dentist tomorrow at 09:30 at Main Street 5.",
    "what is my next appointment": "Dentist tomorrow at 09:30 at Main Street 5.",
    "when is the dentist": "Dentist tomorrow at 09:30 at Main Street 5.",
    "am I free tomorrow": "No, Dentist tomorrow at 09:30 at Main Street 5.",
    "am I free today": "Yes, nothing is planned.",
    "are we leaving the house tomorrow": "Yes, Dentist tomorrow at 09:30 at Main Street 5.",
    "what is on the groceries list": "Oat milk and Rice.",
    "how many items are on the groceries list": "2 on Groceries: Oat milk and Rice.",
    "is rice on my grocery list": "Yes, Rice.",
    "is soap on my grocery list": "No, that is not on Groceries.",
    "what do I need to buy": "Oat milk and Rice.",
    "who do I need to call": "Call the plumber.",
}


@pytest.mark.parametrize("question", ANSWERS)
async def test_a_question_has_its_answer(home: Home, question: str) -> None:
    """And nothing in the house changes by asking."""
    before = home.states()
    answer = await home.say(question)
    assert answer is not None
    assert answer.text == ANSWERS[question]
    assert home.states() == before


async def test_a_visit_is_found_by_what_it_is_about(home: Home) -> None:
    """Nobody says the title of an event."""
    answer = await home.say("is anyone coming to visit this month?")
    assert answer is not None
    assert answer.text.startswith("Visit of Aunt May")


async def test_how_long_something_is_so_is_known_without_history(home: Home) -> None:
    """The state itself tells since when."""
    answer = await home.say("how long has the fireplace been on")
    assert answer is not None
    assert answer.text.startswith("Fireplace is on, since today at ")


async def test_what_nobody_kept_is_not_made_up(home: Home) -> None:
    """There is no recorder here."""
    answer = await home.say("when was the front door last locked")
    assert answer is not None
    assert answer.text == "I keep no history that far back; Front Door is unlocked."


@pytest.mark.parametrize(
    "question",
    [
        "who wrote Faust",
        "what is the capital of France",
        "is the attic light on",
        "where is the cat",
    ],
)
async def test_what_the_home_cannot_know_is_for_a_model(home: Home, question: str) -> None:
    """No answer is better than a wrong one."""
    assert await home.say(question) is None


@pytest.mark.parametrize(
    ("question", "ahead"),
    [("what is happening tomorrow", 1), ("what do I have the day after tomorrow", 2)],
)
async def test_a_day_can_be_named(home: Home, question: str, ahead: int) -> None:
    """Each day has its own events."""
    answer = await home.say(question)
    assert answer is not None
    assert answer.text.startswith(("Dentist", "Visit of Aunt May")[ahead - 1])


async def test_a_weekday_is_the_next_one(home: Home) -> None:
    """The day of the dentist, by its name."""
    weekday = f"{dt_util.now() + timedelta(days=1):%A}"
    answer = await home.say(f"what do I have on {weekday}")
    assert answer is not None
    assert answer.text.startswith("Dentist tomorrow")
