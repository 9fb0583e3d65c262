"""What the weather is and will be."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from homeassistant.components.weather import WeatherEntityFeature
from homeassistant.const import ATTR_SUPPORTED_FEATURES, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Context, HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util

from .clock import span_of, spoken_day
from .house import Thing
from .lexicon import Lexicon

_GONE: Final = (STATE_UNAVAILABLE, STATE_UNKNOWN)
LIKELY: Final = 40


class Sky:
    """Answers from the weather entities."""

    def __init__(self, hass: HomeAssistant, lexicon: Lexicon, context: Context) -> None:
        """Take the language and the speaker's rights."""
        self._hass = hass
        self._lexicon = lexicon
        self._context = context

    async def answer(
        self, places: Sequence[Thing], said: Mapping[str, str]
    ) -> tuple[str | None, bool | None]:
        """Return what is said about the weather, and its yes or no."""
        state = next(
            (
                found
                for place in places
                if (found := self._hass.states.get(place.entity_id)) is not None
                and found.state not in _GONE
            ),
            None,
        )
        if state is None:
            return None, None
        now = dt_util.now()
        span = span_of(said.get("day", ""), now, self._lexicon)
        days = (span.start.date() - now.date()).days if span else 0
        forecast = await self._forecast(state) if days or {"w", "f"} & said.keys() else []
        wanted = next(
            (
                one
                for one in forecast
                if (at := dt_util.parse_datetime(str(one.get("datetime")))) is not None
                and (dt_util.as_local(at).date() - now.date()).days == days
            ),
            None,
        )
        if wanted is None and days:
            return self._lexicon.said["no_forecast"], None
        truth = self._truth(said.get("w"), state, wanted)
        text = self._now(state) if wanted is None else self._then(state, wanted, days)
        if truth is not None:
            text = self._lexicon.said["yes" if truth else "no"].format(
                reason=text[:1].lower() + text[1:].rstrip(".")
            )
        return text, truth

    async def _forecast(self, state: State) -> list[dict[str, Any]]:
        """Return the daily forecast, if there is one."""
        features = int(state.attributes.get(ATTR_SUPPORTED_FEATURES) or 0)
        if not features & WeatherEntityFeature.FORECAST_DAILY:
            return []
        try:
            found = await self._hass.services.async_call(
                "weather",
                "get_forecasts",
                {"entity_id": state.entity_id, "type": "daily"},
                blocking=True,
                context=self._context,
                return_response=True,
            )
        except HomeAssistantError:
            return []
        one = (found or {}).get(state.entity_id)
        days: Any = one.get("forecast") if isinstance(one, dict) else None
        return list(days or ())

    def _truth(
        self, asked: str | None, state: State, wanted: Mapping[str, Any] | None
    ) -> bool | None:
        """Tell whether the weather is as asked; None where no one kind of weather was asked."""
        conditions = self._lexicon.weathers.get(asked or "")
        if conditions is None:
            return None
        condition = wanted.get("condition") if wanted else state.state
        chance = (wanted or {}).get("precipitation_probability")
        wet = self._lexicon.weathers["rain"]
        if chance is not None and conditions == wet:
            return bool(chance >= LIKELY or condition in conditions)
        return condition in conditions

    def _condition(self, condition: str | None) -> str:
        """Return the name of a kind of weather."""
        return self._lexicon.conditions.get(str(condition), str(condition).replace("-", " "))

    def _now(self, state: State) -> str:
        """Return the weather of this moment."""
        shown = state.attributes
        degrees = shown.get("temperature")
        text = self._lexicon.said["weather"].format(condition=self._condition(state.state))
        if degrees is None:
            return f"{text}."
        return f"{text}, {degrees:g} {shown.get('temperature_unit', '')}".rstrip() + "."

    def _then(self, state: State, wanted: Mapping[str, Any], days: int) -> str:
        """Return the weather of a day."""
        unit = state.attributes.get("temperature_unit", "")
        today = dt_util.now().date()
        day = dt_util.parse_datetime(str(wanted.get("datetime")))
        name = spoken_day(dt_util.as_local(day).date(), today, self._lexicon) if day else ""
        parts = [self._condition(wanted.get("condition"))]
        high, low = wanted.get("temperature"), wanted.get("templow")
        if high is not None and low is not None:
            parts.append(self._lexicon.said["from_to"].format(low=low, high=high, unit=unit))
        elif high is not None:
            parts.append(f"{high:g} {unit}")
        if (chance := wanted.get("precipitation_probability")) is not None:
            parts.append(self._lexicon.said["chance"].format(chance=chance))
        return f"{name[:1].upper()}{name[1:]}: {', '.join(parts)}."
