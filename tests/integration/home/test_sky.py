"""The weather, from the weather entity and what a sensor outside measures."""

from datetime import timedelta
from typing import Any

from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.helpers import area_registry as ar, entity_registry as er
from homeassistant.util import dt as dt_util
import pytest

from .conftest import Home

TOMORROW = "Tomorrow: sunny, 7 to 18 °C, 5 % chance of rain."
ANSWERS = {
    "what will the weather be tomorrow": TOMORROW,
    "will it be cold tomorrow": TOMORROW,
    "will it snow tomorrow": "No, tomorrow: sunny, 7 to 18 °C, 5 % chance of rain.",
    "is it going to rain the day after tomorrow": "There is no forecast for that day.",
    "is it sunny": "No, it is rainy, 11 °C.",
    "how cold is it outside": "It is rainy, 11 °C.",
}


@pytest.mark.parametrize("question", ANSWERS)
async def test_each_day_has_its_weather(home: Home, question: str) -> None:
    """As far ahead as the forecast goes."""
    assert await home.ask(question) == ANSWERS[question]


@pytest.mark.parametrize(
    ("told", "question", "answer"),
    [
        ({"native_temperature": 18.0}, "what will the weather be tomorrow", "sunny, 18 °C"),
        ({}, "what will the weather be tomorrow", "sunny"),
        ({}, "will it be sunny tomorrow", "Yes, tomorrow: sunny"),
        ({"precipitation_probability": 60}, "will it rain tomorrow", "60 % chance of rain"),
    ],
)
async def test_what_a_forecast_leaves_out_is_not_said(
    home: Home, told: dict[str, Any], question: str, answer: str
) -> None:
    """Each service knows something else."""
    day = {"datetime": (dt_util.now() + timedelta(days=1)).isoformat(), "condition": "sunny"}
    home.things["weather.forecast_home"].set["forecast"] = ({**day, **told},)
    assert (await home.ask(question)).endswith(f"{answer}.")


async def test_a_place_without_a_forecast_tells_what_is(home: Home) -> None:
    """And does not guess the rest."""
    async_expose_entity(home.hass, "conversation", "weather.forecast_home", False)
    home.put("weather.roof", "lightning")
    assert await home.ask("what is the weather") == "It is thunderstorms."
    assert await home.ask("will it rain tomorrow") == "There is no forecast for that day."


async def test_a_forecast_that_fails_is_none(home: Home) -> None:
    """The weather of now is still told."""
    home.hass.services.async_remove("weather", "get_forecasts")
    assert await home.ask("is it raining") == "Yes, it is rainy, 11 °C."


async def test_without_weather_there_is_no_answer(home: Home) -> None:
    """A model may know."""
    home.things["weather.forecast_home"].show(available=False)
    assert await home.say("will it rain tomorrow") is None


async def test_a_sensor_outside_knows_better_than_the_weather(home: Home) -> None:
    """It hangs in the garden."""
    registry = er.async_get(home.hass)
    item = registry.async_get_or_create("sensor", "shed", "1", original_name="Shed thermometer")
    area = ar.async_get(home.hass).async_get_area_by_name("Garden")
    assert area is not None
    registry.async_update_entity(item.entity_id, area_id=area.id)
    home.put(item.entity_id, "4.25", device_class="temperature", unit_of_measurement="°C")
    assert await home.ask("how cold is it outside") == "Shed thermometer is 4.25 °C."
    assert await home.ask("how cold is it outside tomorrow") == TOMORROW
