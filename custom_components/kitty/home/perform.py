"""Carries steps out with the speaker's own rights, and says what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, Unauthorized

from .ability import Call
from .house import Thing
from .lexicon import Lexicon
from .resolve import MOST_OPTIONS, Outcome, Resolution
from .words import words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of some steps."""

    text: str
    acted: tuple[str, ...]
    reason: str


def listed(titles: Sequence[str], lexicon: Lexicon, joint: str = "and") -> str:
    """Return names as a list in a sentence."""
    if len(titles) < 2:
        return "".join(titles)
    return f"{', '.join(titles[:-1])}{lexicon.said[joint]}{titles[-1]}"


def names_of(things: Sequence[Thing], lexicon: Lexicon, joint: str = "and") -> str:
    """Return the names of things, with their places where two have the same name."""
    titles = [thing.title for thing in things]
    full = [
        lexicon.said["in_place"].format(name=thing.title, place=thing.area.title)
        if titles.count(thing.title) > 1 and thing.area is not None
        else thing.title
        for thing in things
    ]
    if joint == "and" and len(full) > MOST_OPTIONS:
        return lexicon.said["many"].format(count=len(full))
    return listed(full, lexicon, joint)


def question(step: Resolution, lexicon: Lexicon) -> str:
    """Return the question that a step asks."""
    if len(step.things) > MOST_OPTIONS:
        return lexicon.said["too_many"].format(count=len(step.things))
    return lexicon.said[step.reason].format(names=names_of(step.things, lexicon, "or"))


def sentence(call: Call, things: Sequence[Thing], lexicon: Lexicon) -> str:
    """Return what is said about one kind of call."""
    return lexicon.said[call.said].format(names=names_of(things, lexicon), **call.words)


async def perform(
    hass: HomeAssistant, steps: Sequence[Resolution], context: Context, lexicon: Lexicon
) -> Done:
    """Carry out steps one after another; the first that fails ends it."""
    said: list[str] = []
    acted: list[str] = []
    for step in steps:
        if step.outcome is Outcome.GUARDED:
            said.append(lexicon.said["guarded"].format(names=names_of(step.things, lexicon)))
            continue
        for call, things in _grouped(step):
            awake = [thing for thing in things if _answers(hass, thing)]
            if not awake:
                said.append(lexicon.said["unavailable"].format(names=names_of(things, lexicon)))
                continue
            if call.domain == "todo" and (
                known := await _item(hass, call, awake, context, lexicon)
            ):
                call = replace(call, data={**call.data, "item": known})  # noqa: PLW2901 - the same item
            problem = await _call(hass, call, awake, context)
            if problem is not None:
                words: Mapping[str, Any] = {
                    "names": names_of(awake, lexicon),
                    "error": str(problem),
                }
                denied = isinstance(problem, Unauthorized)
                said.append(lexicon.said["not_allowed" if denied else "failed"].format(**words))
                reason = "not_allowed" if denied else "failed"
                return Done(text=" ".join(said), acted=tuple(acted), reason=reason)
            acted += [thing.entity_id for thing in awake]
            said.append(sentence(call, awake, lexicon))
    guarded = all(step.outcome is Outcome.GUARDED for step in steps)
    return Done(
        text=" ".join(dict.fromkeys(said)),
        acted=tuple(acted),
        reason="guarded" if guarded else "done",
    )


def _answers(hass: HomeAssistant, thing: Thing) -> bool:
    """Tell whether a thing is there at all."""
    state = hass.states.get(thing.entity_id)
    return state is not None and state.state != STATE_UNAVAILABLE


def _grouped(step: Resolution) -> list[tuple[Call, list[Thing]]]:
    """Return the different calls of a step with the things of each."""
    groups: list[tuple[Call, list[Thing]]] = []
    for thing in step.things:
        call = step.calls[thing.entity_id]
        for known, things in groups:
            if known == call:
                things.append(thing)
                break
        else:
            groups.append((call, [thing]))
    return groups


async def _item(
    hass: HomeAssistant, call: Call, lists: Sequence[Thing], context: Context, lexicon: Lexicon
) -> str | None:
    """Return an item of a list as it is written there; None where it is a new one."""
    if call.service == "add_item":
        return None
    targets = [thing.entity_id for thing in lists]
    try:
        found: Any = await hass.services.async_call(
            "todo",
            "get_items",
            {"entity_id": targets},
            blocking=True,
            context=context,
            return_response=True,
        )
    except HomeAssistantError:
        return None
    names = [str(one["summary"]) for entity_id in targets for one in found[entity_id]["items"]]
    wanted = _content(str(call.data["item"]), lexicon)
    return next((name for name in names if _content(name, lexicon) == wanted), None)


def _content(text: str, lexicon: Lexicon) -> tuple[str, ...]:
    """Return the words of an item that tell it from others."""
    return tuple(word for word in words_of(text, lexicon) if word not in lexicon.fillers)


async def _call(
    hass: HomeAssistant, call: Call, things: Sequence[Thing], context: Context
) -> HomeAssistantError | None:
    """Call a service as the speaker; return why it did not work, if it did not."""
    targets = [thing.entity_id for thing in things]
    try:
        await hass.services.async_call(
            call.domain,
            call.service,
            {**call.data, "entity_id": targets[0] if len(targets) == 1 else targets},
            blocking=True,
            context=context,
        )
    except HomeAssistantError as err:
        return err
    return None
