"""Readings that ask how things are and what was done."""

from typing import Final, Literal

from brain_server.conversation.rules.acts import VERBS, Verb
from brain_server.conversation.rules.context import ALL_KINDS, Context
from brain_server.conversation.rules.grammar import Captures
from brain_server.conversation.rules.model import AskAudit, Named, NotFound, Status, Understood
from brain_server.conversation.rules.names import Level, Reference
from brain_server.protocol import Kind

type Topic = Literal["state", "progress", "remaining", "temperature"]
type Question = Literal["who", "when", "what"]

_TOPICS: Final[dict[str, tuple[frozenset[Kind], Topic]]] = {
    "any": (ALL_KINDS, "state"),
    "door": (frozenset({Kind.DOOR}), "state"),
    "switch": (frozenset({Kind.POWER, Kind.LIGHT}), "state"),
    "job": (frozenset({Kind.PRINTER}), "progress"),
    "left": (frozenset({Kind.PRINTER}), "remaining"),
    "heat": (frozenset({Kind.PRINTER}), "temperature"),
}
_OF_PLACES: Final = frozenset({"status:any", "status:heat"})
_DECISIONS: Final[dict[str, Literal["approved", "denied", "requested"]]] = {
    "approved": "approved",
    "denied": "denied",
    "requested": "requested",
}
_PAST_VERBS: Final[dict[str, Verb]] = dict(VERBS) | {
    "print": {Kind.PRINTER: ("print_start",)},
    "start": {Kind.PRINTER: ("print_start",), Kind.POWER: ("power_on",)},
    "heat": {Kind.PRINTER: ("heat",)},
}
_MIDNIGHT_UNKNOWN: Final = 86_400
_MAX_PERSON: Final = 3


class _Unknown(Exception):
    """A slot holds what it cannot hold: this reading is wrong."""


def status(context: Context, rule: str, captures: Captures) -> Understood | None:
    """Read a question about how devices are now."""
    kinds, topic = _TOPICS.get(rule.partition(":")[2], (ALL_KINDS, "state"))
    if rule == "status:all":
        return Status()
    if any(_bad_part(context, *span) for span in context.slots(captures, "part")):
        return None
    words = context.slot(captures, "device")
    if not words:
        return _all_of(context, kinds, topic)
    if rule in _OF_PLACES and (found := _place(context, words, topic)) is not None:
        return found
    reference = context.refer(words, kinds)
    if not reference.matches:
        reference = context.refer(words, ALL_KINDS)
    if reference.matches:
        return _status(context, reference, topic)
    return _list(context, words, kinds, topic) or context.missing(words, kinds=ALL_KINDS)


def _status(context: Context, reference: Reference, topic: Topic) -> Status:
    devices = [match.device for match in reference.matches]
    if len({device.kind for device in devices}) == len(Kind) or (
        reference.level is Level.KIND and len(devices) == len(context.home.devices)
    ):
        return Status(topic=topic)
    if reference.level is Level.KIND and not (reference.every or reference.placed):
        devices = _here(context, devices)
    return Status(device_ids=tuple(device.id for device in devices), topic=topic)


def _all_of(context: Context, kinds: frozenset[Kind], topic: Topic) -> Understood | None:
    devices = [device for device in context.home.home.devices if device.kind in kinds]
    return Status(device_ids=tuple(d.id for d in devices), topic=topic) if devices else None


def _place(context: Context, words: tuple[str, ...], topic: Topic) -> Understood | None:
    """Read the name of an area as everything in it; its temperature is what its sensors say."""
    area_id = context.home.area(words, context.here.area_id)
    if area_id is None or context.refer(words, ALL_KINDS).level is Level.EXACT:
        return None
    devices = context.home.in_area(area_id)
    if topic == "temperature":
        devices = tuple(device for device in devices if device.kind is Kind.SENSOR)
    return Status(device_ids=tuple(d.id for d in devices), topic=topic) if devices else None


def _list(
    context: Context, words: tuple[str, ...], kinds: frozenset[Kind], topic: Topic
) -> Understood | None:
    splits = [i for i, word in enumerate(words) if word in context.home.language.conjunctions]
    if len(splits) != 1 or splits[0] in (0, len(words) - 1):
        return None
    ids: dict[str, None] = {}
    for part in (words[: splits[0]], words[splits[0] + 1 :]):
        reference = context.refer(part, kinds)
        if not reference.matches:
            return None
        ids |= dict.fromkeys(match.device.id for match in reference.matches)
    return Status(device_ids=tuple(ids), topic=topic)


def _here(context: Context, devices: list[Named]) -> list[Named]:
    here = context.here.area_id
    return [device for device in devices if here and device.area_id == here] or devices


def _bad_part(context: Context, start: int, end: int) -> bool:
    lang = context.home.language
    words = [word for word in context.words[start:end] if word not in lang.articles]
    return " ".join(words) not in lang.parts


def audit(context: Context, rule: str, captures: Captures) -> Understood | None:
    """Read a question about what was done, by whom and when."""
    asked, _, decided = rule.partition(":")
    question: Question = "who" if asked == "who" else "when" if asked == "when" else "what"
    decision = _DECISIONS.get(decided)
    try:
        since, until = _period(context, captures)
        person, missing = _person(context, captures)
        if missing is not None:
            return missing
        verb = _verb(context, captures)
        intent, device, area, missing = _deed(context, verb, context.slot(captures, "device"))
    except _Unknown:
        return None
    if missing is not None:
        return missing
    return AskAudit(
        question=question,
        intent=intent,
        device_id=device,
        area_id=area,
        person_id=person,
        since=since,
        until=until,
        decision=decision,
    )


def _period(context: Context, captures: Captures) -> tuple[int | None, int | None]:
    """Return the seconds before now in which to look. Raises _Unknown when it is no period."""
    words = context.slot(captures, "period")
    lang = context.home.language
    if not words:
        return None, None
    phrase = " ".join(words)
    if phrase in lang.day_periods:
        today = context.here.second_of_day
        midnight = _MIDNIGHT_UNKNOWN if today is None else today
        since, until = lang.day_periods[phrase]
        return midnight + since, None if until is None else midnight + until
    if phrase in lang.periods:
        return lang.periods[phrase]
    (start, end) = context.slots(captures, "period")[0]
    for past in lang.past:
        size = len(past.split())
        if phrase.startswith(f"{past} ") and words[-1] in lang.units:
            middle = end - start - size - 1
            number = context.number(start + size, end - 1) if middle > 0 else 1.0
            if number is not None:
                return round(number * lang.units[words[-1]]), None
    raise _Unknown


def _person(context: Context, captures: Captures) -> tuple[str | None, NotFound | None]:
    words = context.slot(captures, "person")
    if not words or (len(words) == 1 and words[0] in context.home.language.nobody_named):
        return None, None
    if (found := context.home.person(words)) is not None:
        return found, None
    if len(words) > _MAX_PERSON or not context.is_name(words):
        raise _Unknown
    if any(word in context.home.language.articles for word in words):
        raise _Unknown
    return None, NotFound(what="person", name=" ".join(words))


def _verb(context: Context, captures: Captures) -> str | None:
    lang = context.home.language
    if deed := context.slot(captures, "deed"):
        if (verb := lang.deeds.get(" ".join(deed))) is None:
            raise _Unknown
        return verb
    if switch := context.slot(captures, "switch"):
        if (verb := lang.switches.get(" ".join(switch))) is None:
            raise _Unknown
        return verb
    return None


def _deed(
    context: Context, verb: str | None, words: tuple[str, ...]
) -> tuple[str | None, str | None, str | None, NotFound | None]:
    """Return (intent, device, area, what is missing) of a deed. Raises _Unknown."""
    table = _PAST_VERBS[verb] if verb else {}
    if not words:
        return _only(table, set(table)), None, None, None
    place = context.home.area(words, context.here.area_id)
    if not table and place and context.refer(words, ALL_KINDS).level is not Level.EXACT:
        return None, None, place, None
    reference = context.refer(words, frozenset(table) or ALL_KINDS)
    if not reference.matches and table:
        reference = context.refer(words, ALL_KINDS)
    if not reference.matches:
        return _without_device(context, verb, words)
    devices = [match.device for match in reference.matches]
    if reference.level is Level.KIND and not reference.placed:
        devices = _here(context, devices)
    if len(devices) == 1 and not (reference.plural or reference.every):
        return _intent_of(table, devices[0]), devices[0].id, None, None
    return _only(table, {device.kind for device in devices}), None, reference.place, None


def _without_device(
    context: Context, verb: str | None, words: tuple[str, ...]
) -> tuple[str | None, str | None, str | None, NotFound | None]:
    """Read what is no device: a file that was printed."""
    if verb in ("print", "start") and context.home.is_file(words):
        return "print_start", None, None, None
    missing = context.missing(words, kinds=ALL_KINDS)
    if missing is None:
        raise _Unknown
    return None, None, None, missing


def _intent_of(table: Verb, device: Named) -> str | None:
    intents = table.get(device.kind, ())
    return next((name for name in intents if name in device.capabilities), (*intents, None)[0])


def _only(table: Verb, kinds: set[Kind]) -> str | None:
    """Return the intent that the verb has for all of the kinds."""
    intents = {table[kind][0] for kind in kinds if kind in table}
    return intents.pop() if len(intents) == 1 else None
