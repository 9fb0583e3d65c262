"""What calendars and to-do lists hold."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from custom_components.kitty.const import DOMAIN

from .clock import Span, day_start, span_of, spoken_day
from .house import House, Thing
from .lexicon import Lexicon
from .perform import listed
from .words import spell

AHEAD: Final = timedelta(days=7)
FAR_AHEAD: Final = timedelta(days=366)
MOST: Final = 10
ENOUGH: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a calendar."""

    summary: str
    place: str
    notes: str
    start: datetime
    end: datetime
    whole_day: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One open item of a list."""

    summary: str
    list_title: str


class Agenda:
    """Answers from the calendars and lists that the speaker may see."""

    def __init__(
        self,
        hass: HomeAssistant,
        house: House,
        lexicon: Lexicon,
        context: Context,
        may_read: Callable[[str], bool],
    ) -> None:
        """Take the house, the language and the speaker's rights."""
        self._hass = hass
        self._house = house
        self._lexicon = lexicon
        self._context = context
        self._may_read = may_read
        self._said = lexicon.said

    async def answer(
        self, topic: str, said: Mapping[str, str], things: list[Thing] | None, text: str
    ) -> tuple[str, bool | None] | None:
        """Return the answer to a question about a calendar or list."""
        if topic.startswith("items"):
            return await self._items_answer(topic, said, things)
        calendars = self._readable("calendar") if things is None else things
        if not calendars:
            return None
        now = dt_util.now()
        span = span_of(said.get("day", ""), now, self._lexicon)
        match topic:
            case "next":
                events = await self._events(calendars, now, now + FAR_AHEAD)
                coming = [event for event in events if event.start >= now or event.whole_day]
                return (self._list(coming[:1], now) if coming else self._said["no_events"], None)
            case "going_out":
                return await self._going_out(calendars, span, now)
            case "free":
                wanted = span or Span(start=now, end=day_start(now, 1), name="")
                events = await self._events(calendars, wanted.start, wanted.end)
                free = not events
                asked_busy = said["q"] in self._lexicon.busy
                reason = self._said["nothing_planned"] if free else self._list(events, now)
                truth = free is not asked_busy
                key = "yes" if truth else "no"
                return self._said[key].format(reason=reason.rstrip(".")), truth
            case _:
                wanted = span or Span(start=day_start(now), end=now + AHEAD, name="")
                start = max(wanted.start, now) if not span else wanted.start
                events = await self._events(calendars, start, wanted.end)
                if not events:
                    return self._said["no_events"], False
                head = f"{len(events)}: " if "how many" in text else ""
                return f"{head}{self._list(events, now)}", True

    async def search(self, text: str) -> str | None:
        """Answer a question about people's own affairs by the words of events and items."""
        if not self._lexicon.personal.match(text):
            return None
        text = self._lexicon.according.sub("", text).strip(" ,")
        now = dt_util.now()
        span, rest = self._span_in(text, now)
        roots = self._roots(rest)
        if not roots:
            return None
        start = span.start if span else now
        far = self._lexicon.when.match(text) is not None
        end = span.end if span else now + (FAR_AHEAD if far else AHEAD)
        events = await self._events(self._readable("calendar"), start, end)
        found = self._best(events, roots, lambda one: f"{one.summary} {one.notes} {one.place}")
        if found:
            counted = self._lexicon.counted.match(text) is not None
            head = f"{len(found)}: " if counted else ""
            return f"{head}{self._list(found, now)}"
        items = await self._items(self._of_people())
        wanted = self._best(items, roots, lambda one: one.summary)
        return f"{listed([one.summary for one in wanted], self._lexicon)}." if wanted else None

    def _span_in(self, text: str, now: datetime) -> tuple[Span | None, str]:
        """Return the stretch of time that a question names, and the question without it."""
        words = text.split()
        for length in (4, 3, 2, 1):
            for start in range(len(words) - length + 1):
                said = " ".join(words[start : start + length])
                if said in self._lexicon.spans or (length == 1 and said in self._lexicon.days):
                    span = span_of(said, now, self._lexicon)
                    return span, " ".join(words[:start] + words[start + length :])
        return None, text

    def _roots(self, text: str) -> set[str]:
        """Return what a question is about."""
        return {
            self._lexicon.root(word)
            for word in text.split()
            if word not in self._lexicon.search_stop and word not in self._lexicon.fillers
        }

    def _best[T](self, found: Iterable[T], roots: set[str], words: Callable[[T], str]) -> list[T]:
        """Return what shares the most words with a question, if it shares enough."""
        scored: list[tuple[int, T]] = []
        for one in found:
            have = {self._lexicon.root(word) for word in spell(words(one), self._lexicon).split()}
            scored.append((len(roots & have), one))
        most = max((score for score, _one in scored), default=0)
        if most == 0 or most / len(roots) < ENOUGH:
            return []
        return [one for score, one in scored if score == most]

    async def _items_answer(
        self, topic: str, said: Mapping[str, str], things: list[Thing] | None
    ) -> tuple[str, bool | None] | None:
        """Answer about the items of lists."""
        lists = self._readable("todo") if things is None else things
        if not lists:
            return None
        items = await self._items(lists)
        named = listed([one.title for one in lists], self._lexicon)
        if topic == "items_count":
            text = self._said["items_count"].format(count=len(items), list=named)
            return f"{text}{': ' if items else '.'}{self._items_said(items)}", None
        if (asked := said.get("i")) is not None:
            wanted = self._best_any(items, self._roots(asked))
            if topic == "items_has":
                reason = self._items_said(wanted) or self._said["not_on_list"].format(list=named)
                key = "yes" if wanted else "no"
                return self._said[key].format(reason=reason.rstrip(".")), bool(wanted)
            items = wanted or items
        if not items:
            return self._said["list_empty"].format(list=named) + ".", None
        return self._items_said(items), None

    def _best_any(self, items: Sequence[Item], roots: set[str]) -> list[Item]:
        """Return the items that share any word with what was asked."""
        return [
            one
            for one in items
            if roots
            & {self._lexicon.root(word) for word in spell(one.summary, self._lexicon).split()}
        ]

    def _items_said(self, items: Sequence[Item]) -> str:
        """Return items as a sentence."""
        if not items:
            return ""
        names = [one.summary for one in items[:MOST]]
        if len(items) > MOST:
            names.append(self._said["more"].format(count=len(items) - MOST))
        return f"{listed(names, self._lexicon)}."

    async def _going_out(
        self, calendars: Sequence[Thing], span: Span | None, now: datetime
    ) -> tuple[str, bool | None]:
        """Answer whether something takes people out of the house."""
        wanted = span or Span(start=day_start(now), end=day_start(now, 1), name="")
        events = await self._events(calendars, wanted.start, wanted.end)
        home = {self._lexicon.root(word) for word in self._lexicon.house}
        away = [
            one
            for one in events
            if one.place
            and not home
            & {self._lexicon.root(word) for word in spell(one.place, self._lexicon).split()}
        ]
        if not away:
            return self._said["no"].format(reason=self._said["no_events_away"]), False
        return self._said["yes"].format(reason=self._list(away, now).rstrip(".")), True

    def _list(self, events: Sequence[Entry], now: datetime) -> str:
        """Return events as a sentence."""
        parts = [self._event(event, now) for event in events[:MOST]]
        if len(events) > MOST:
            parts.append(self._said["more"].format(count=len(events) - MOST))
        return f"{listed(parts, self._lexicon)}."

    def _event(self, event: Entry, now: datetime) -> str:
        """Return one event with its day, time and place."""
        day = spoken_day(max(event.start.date(), now.date()), now.date(), self._lexicon)
        when = day
        if not event.whole_day:
            when = self._said["at_time"].format(day=day, time=f"{event.start:%H:%M}")
        text = self._said["event"].format(summary=event.summary, when=when)
        return text + (self._said["event_at"].format(place=event.place) if event.place else "")

    def _readable(self, domain: str) -> list[Thing]:
        """Return the things of a domain that the speaker may see."""
        return [one for one in self._house.of({domain}) if self._may_read(one.entity_id)]

    def _of_people(self) -> list[Thing]:
        """Return the lists that people write; what KITTY itself lists answers no question about their affairs."""
        found = er.async_get(self._hass)
        return [
            one
            for one in self._readable("todo")
            if (known := found.async_get(one.entity_id)) is None or known.platform != DOMAIN
        ]

    async def _events(
        self, calendars: Sequence[Thing], start: datetime, end: datetime
    ) -> list[Entry]:
        """Return the events between two moments, in order."""
        if not calendars or end <= start:
            return []
        found = await self._ask(
            "calendar",
            "get_events",
            calendars,
            start_date_time=start.isoformat(),
            end_date_time=end.isoformat(),
        )
        events = [
            _entry(raw) for answer in found.values() for raw in (answer or {}).get("events", ())
        ]
        return sorted(
            (one for one in events if (one.start < end and one.end > start) or one.whole_day),
            key=lambda one: one.start,
        )

    async def _items(self, lists: Sequence[Thing]) -> list[Item]:
        """Return the open items of some lists."""
        found = await self._ask("todo", "get_items", lists, status=["needs_action"])
        titles = {one.entity_id: one.title for one in lists}
        return [
            Item(summary=str(raw.get("summary", "")), list_title=titles.get(entity_id, ""))
            for entity_id, answer in found.items()
            for raw in (answer or {}).get("items", ())
        ]

    async def _ask(
        self, domain: str, service: str, things: Sequence[Thing], **data: Any
    ) -> Mapping[str, Any]:
        """Return what a service answers about some entities; nothing where it may not."""
        if not things:
            return {}
        try:
            return (
                await self._hass.services.async_call(
                    domain,
                    service,
                    {**data, "entity_id": [one.entity_id for one in things]},
                    blocking=True,
                    context=self._context,
                    return_response=True,
                )
                or {}
            )
        except HomeAssistantError:
            return {}


def _entry(raw: Mapping[str, Any]) -> Entry:
    """Return an event as it came from a calendar."""
    start, whole_day = _moment(str(raw["start"]))
    end, _ = _moment(str(raw["end"]))
    return Entry(
        summary=str(raw.get("summary") or ""),
        place=str(raw.get("location") or ""),
        notes=str(raw.get("description") or ""),
        start=start,
        end=end,
        whole_day=whole_day,
    )


def _moment(text: str) -> tuple[datetime, bool]:
    """Return a moment, and whether only a day was given."""
    if len(text) == len("2000-01-01"):
        return dt_util.start_of_local_day(date.fromisoformat(text)), True
    return dt_util.as_local(datetime.fromisoformat(text)), False
