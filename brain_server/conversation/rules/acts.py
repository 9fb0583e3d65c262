"""Readings that ask for a deed."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from brain_server.conversation.rules.context import ALL_KINDS, Context
from brain_server.conversation.rules.grammar import Captures
from brain_server.conversation.rules.model import (
    Act,
    Ambiguous,
    BadValue,
    Named,
    NeedsModel,
    NotFound,
    Understood,
    Unsupported,
)
from brain_server.conversation.rules.names import Level, Match, Reference
from brain_server.protocol import INTENTS, Hazard, Kind, invalid_params

type Verb = Mapping[Kind, tuple[str, ...]]

# What a verb means for each kind of device; the first intent that the device can do is taken.
VERBS: Final[Mapping[str, Verb]] = {
    "unlock": {Kind.DOOR: ("unlock",)},
    "open": {Kind.DOOR: ("open", "unlock")},
    "lock": {Kind.DOOR: ("lock",)},
    "on": {Kind.POWER: ("power_on",), Kind.LIGHT: ("light_on",)},
    "off": {Kind.POWER: ("power_off",), Kind.LIGHT: ("light_off",)},
    "power_on": {Kind.POWER: ("power_on",)},
    "power_off": {Kind.POWER: ("power_off",)},
    "kill": {
        Kind.POWER: ("power_off",),
        Kind.LIGHT: ("light_off",),
        Kind.PRINTER: ("print_cancel",),
    },
    "cut": {
        Kind.POWER: ("power_cut",),
        Kind.LIGHT: ("light_off",),
        Kind.PRINTER: ("print_cancel",),
    },
    "light_on": {Kind.LIGHT: ("light_on",)},
    "start": {Kind.POWER: ("power_on",)},
    "pause": {Kind.PRINTER: ("print_pause",)},
    "resume": {Kind.PRINTER: ("print_resume",)},
    "cancel": {Kind.PRINTER: ("print_cancel",)},
    "stop": {Kind.PRINTER: ("print_cancel",), Kind.POWER: ("power_off",)},
}

# Verbs that people use for things at home and little else: an unknown name is worth telling.
_PLAIN: Final = frozenset({"unlock", "lock", "open", "on", "off", "power_on", "power_off"})
_CONFIDENCE: Final = {Level.EXACT: 1.0, Level.NAME: 0.97, Level.KIND: 0.9, Level.PART: 0.85}
_PRINTERS: Final = frozenset({Kind.PRINTER})
_MOST_FILES: Final = 8
_LONGEST_FILE: Final = 8


def hazardous(intent: str) -> bool:
    """True when a wrong act of this intent could do harm."""
    return INTENTS[intent].hazard is not Hazard.LOW


def act(context: Context, rule: str, captures: Captures) -> Understood | None:
    """Read a verb and what it is for."""
    manner, verb = rule.split(":")
    if verb == "kill" and context.urgent:
        verb = "cut"
    words = context.slot(captures, "device")
    if manner == "all" and (everything := _all_of(context, verb, words)) is not None:
        return everything
    words += context.slot(captures, "area")
    if not words:
        return _which(context, verb)
    kinds = frozenset(VERBS[verb])
    reference = context.refer(words, kinds)
    if not reference.matches:
        return _several(context, verb, words) or _elsewhere(context, verb, words)
    if (other := _better_elsewhere(context, words, kinds, reference)) is not None:
        return Unsupported(intent=_first(verb), device_id=other.id)
    return _decide(context, verb, reference, ask=manner == "ask" or reference.weak)


def _decide(context: Context, verb: str, reference: Reference, *, ask: bool) -> Understood:
    """Choose the devices of a reference: all, one, or ask."""
    able = [match for match in reference.matches if _intent(verb, match.device)]
    if not able:
        device = reference.matches[0].device
        return Unsupported(intent=VERBS[verb][device.kind][0], device_id=device.id)
    able = _nearest(context, reference, able)
    acts = [_act(verb, match) for match in able]
    intents = {found.intent for found in acts}
    several = reference.plural or reference.every
    dangerous = any(hazardous(intent) for intent in intents)
    if dangerous and (several or ask or any(map(_doubtful, able))):
        return ambiguous(acts)
    if ask and reference.weak:
        return ambiguous(acts)
    if len(acts) == 1:
        return acts[0]
    if several or _lights_of_a_place(context, reference, able):
        if len(intents) > 1:
            return NeedsModel(reason="several kinds")
        if reference.count in (0, len(acts)):
            return _together(acts)
    return ambiguous(acts)


def _doubtful(match: Match) -> bool:
    """True when a part of a name is not enough for a hazard: "the table" for Table saw."""
    if match.level is not Level.PART:
        return False
    return bool(match.edits) or not (match.telling or match.device.kind is Kind.PRINTER)


def _nearest(context: Context, reference: Reference, matches: list[Match]) -> list[Match]:
    """Return the matches where the sentence was said, when they are not told apart otherwise."""
    if len(matches) == 1 or reference.every or reference.placed:
        return matches
    here = [match for match in matches if match.device.area_id == context.here.area_id]
    return here if context.here.area_id is not None and here else matches


def _lights_of_a_place(context: Context, reference: Reference, matches: Sequence[Match]) -> bool:
    """True when "the light" of a room stands for all the lights in it."""
    here = context.here.area_id
    placed = reference.placed or all(match.device.area_id == here is not None for match in matches)
    return placed and all(
        match.level is Level.KIND and match.device.kind is Kind.LIGHT for match in matches
    )


def _several(context: Context, verb: str, words: tuple[str, ...]) -> Understood | None:
    """Read a list of devices: a safe deed is done to all of them, a hazard asks which."""
    splits = [i for i, word in enumerate(words) if word in context.home.language.conjunctions]
    if len(splits) != 1 or splits[0] in (0, len(words) - 1):
        return None
    acts: list[Act] = []
    for part in (words[: splits[0]], words[splits[0] + 1 :]):
        reference = context.refer(part, frozenset(VERBS[verb]))
        if reference.weak or not reference.matches:
            return None
        one = _decide(context, verb, reference, ask=False)
        if isinstance(one, Ambiguous):
            acts.extend(one.choices)
        elif isinstance(one, Act):
            acts.append(one)
        else:
            return one
    if any(hazardous(found.intent) for found in acts) or len({a.intent for a in acts}) > 1:
        return ambiguous(acts)
    return _together(acts)


def _elsewhere(context: Context, verb: str, words: tuple[str, ...]) -> Understood | None:
    """Return that a device of another kind cannot do this, or that there is no such device."""
    reference = context.refer(words, ALL_KINDS)
    if verb == "start" and context.refer(words, _PRINTERS).matches:
        return None
    if reference.matches and not reference.weak:
        return Unsupported(intent=_first(verb), device_id=reference.matches[0].device.id)
    return context.missing(words, kinds=None if verb in _PLAIN else frozenset(VERBS[verb]))


def _better_elsewhere(
    context: Context, words: tuple[str, ...], kinds: frozenset[Kind], reference: Reference
) -> Named | None:
    """Return the device of another kind that the words name better, and without doubt."""
    nouns = {noun for kind in kinds for noun in context.home.language.nouns[kind]}
    if reference.level >= Level.NAME or not nouns.isdisjoint(words):
        return None
    other = context.refer(words, ALL_KINDS)
    return other.matches[0].device if other.level > max(reference.level, Level.PART) else None


def _which(context: Context, verb: str) -> Understood | None:
    """Return the question which device, for a verb alone."""
    reference = context.refer(("it",), frozenset(VERBS[verb]))
    acts = [_act(verb, match) for match in reference.matches if _intent(verb, match.device)]
    return ambiguous(acts) if acts else None


def _all_of(context: Context, verb: str, words: tuple[str, ...]) -> Understood | None:
    """Return a deed for every device that can do it, at home or in the area that is named."""
    place = context.home.area(words, context.here.area_id) if words else None
    if words and place is None:
        return None
    acts = [
        _act(verb, Match(device, Level.KIND, 0))
        for device in context.home.home.devices
        if _intent(verb, device) and (place is None or device.area_id == place)
    ]
    return _together(acts) if acts else None


def _intent(verb: str, device: Named) -> str | None:
    """Return the intent that a verb means for a device, of those that it can do."""
    intents = VERBS[verb].get(device.kind, ())
    return next((intent for intent in intents if intent in device.capabilities), None)


def _first(verb: str) -> str:
    return next(iter(VERBS[verb].values()))[0]


def _act(verb: str, match: Match) -> Act:
    intent = _intent(verb, match.device)
    assert intent is not None  # noqa: S101 - the callers kept only devices that can
    return Act(
        intent=intent,
        device_ids=(match.device.id,),
        confidence=round(_CONFIDENCE[match.level] - 0.05 * match.edits, 2),
    )


def _together(acts: Sequence[Act]) -> Act:
    ids = dict.fromkeys(device_id for found in acts for device_id in found.device_ids)
    return Act(
        intent=acts[0].intent,
        device_ids=tuple(ids),
        confidence=min(found.confidence for found in acts),
    )


def ambiguous(acts: Sequence[Act]) -> Ambiguous:
    """Return the question which of these deeds is meant."""
    intents = {found.intent for found in acts}
    devices = dict.fromkeys(device_id for found in acts for device_id in found.device_ids)
    files = dict.fromkeys(found.params["file"] for found in acts if "file" in found.params)
    return Ambiguous(
        intent=intents.pop() if len(intents) == 1 else None,
        candidates=tuple(files if len(files) > 1 else devices),
        choices=tuple(acts),
    )


def print_file(context: Context, _rule: str, captures: Captures) -> Understood | None:
    """Read the start of a print of a named file."""
    span = context.slots(captures, "file")[0]
    words = context.words[slice(*span)]
    device = context.slot(captures, "device")
    reference = context.refer(device or ("it",), _PRINTERS)
    able = [m for m in reference.matches if "print_start" in m.device.capabilities]
    if device and reference.matches and not able:
        return Unsupported(intent="print_start", device_id=reference.matches[0].device.id)
    choices: list[tuple[Match, Act]] = []
    sure = not reference.weak
    for match in able:
        if (index := context.home.files.get(match.device.id)) is not None:
            found = index.find(words)
            sure = sure and (found.sure or not found.names)
            choices.extend((match, _print(match, name)) for name in found.names)
    near = _nearest(context, reference, [match for match, _ in choices] or able)
    acts = [found for match, found in choices if match in near]
    if acts:
        return acts[0] if sure and len(acts) == 1 else ambiguous(acts)
    return _untold(context, near, span, named=bool(device), sure=sure)


def _untold(
    context: Context, printers: Sequence[Match], span: tuple[int, int], *, named: bool, sure: bool
) -> Understood | None:
    """Read the file for a printer that does not tell its files: the words as they are.

    Only for the one printer that can be meant, and only words that look like a file.
    """
    words = context.words[slice(*span)]
    lang = context.home.language
    if not printers or not context.is_name(words, most=_LONGEST_FILE):
        return None
    silent = len(printers) == 1 and printers[0].device.id not in context.home.files
    plain = lang.grammar.words.isdisjoint(set(words) - lang.articles - lang.file_words)
    if silent and not plain:
        return None
    if set(words) <= lang.articles | lang.file_words:
        return None
    if not silent or not (named or words[-1] in lang.file_endings):
        return NotFound(what="file", name=context.phrase(words))
    act_of_words = _print(printers[0], context.raw(*span))
    return act_of_words if sure else ambiguous([act_of_words])


def _print(match: Match, name: str) -> Act:
    return Act(
        intent="print_start",
        device_ids=(match.device.id,),
        params={"file": name},
        confidence=_CONFIDENCE[match.level] if match.device.files is not None else 0.7,
    )


def print_which(context: Context, _rule: str, captures: Captures) -> Understood | None:
    """Ask which file, for the start of a print without one."""
    reference = context.refer(context.slot(captures, "device") or ("it",), _PRINTERS)
    able = [m for m in reference.matches if "print_start" in m.device.capabilities]
    acts = (
        _print(match, name)
        for match in _nearest(context, reference, able)
        for name in (match.device.files or ())
    )
    if offered := [*islice(acts, _MOST_FILES)]:
        return ambiguous(offered)
    return NotFound(what="file", name="") if able else None


def heat(context: Context, _rule: str, captures: Captures) -> Understood | None:
    """Read temperatures for the parts of a printer."""
    params: dict[str, Any] = {}
    parts = [_part(context, *span) for span in context.slots(captures, "part")]
    numbers = [context.number(*span) for span in context.slots(captures, "number")]
    for part, number in zip(parts, numbers, strict=True):
        if part is None or number is None or part in params:
            return None
        params[part] = number
    device = context.slot(captures, "device")
    reference = context.refer(device or ("it",), _PRINTERS)
    if not reference.matches:
        return _elsewhere(context, "pause", device) if device else None
    able = [match for match in reference.matches if "heat" in match.device.capabilities]
    if not able:
        return Unsupported(intent="heat", device_id=reference.matches[0].device.id)
    near = _nearest(context, reference, able)
    if wrong := invalid_params("heat", params):
        return BadValue(intent="heat", device_id=near[0].device.id, wrong=wrong)
    acts = [_heated(match, params) for match in near]
    sure = len(acts) == 1 and not (reference.weak or reference.plural or reference.every)
    return acts[0] if sure else ambiguous(acts)


def _heated(match: Match, params: Mapping[str, Any]) -> Act:
    confidence = round(_CONFIDENCE[match.level] - 0.05 * match.edits, 2)
    return Act(
        intent="heat", device_ids=(match.device.id,), params=dict(params), confidence=confidence
    )


def _part(context: Context, start: int, end: int) -> str | None:
    lang = context.home.language
    words = [word for word in context.words[start:end] if word not in lang.articles]
    return lang.parts.get(" ".join(words))


ACTS: Final[Mapping[str, Callable[[Context, str, Captures], Understood | None]]] = {
    "print:file": print_file,
    "print:which": print_which,
    "heat": heat,
}
