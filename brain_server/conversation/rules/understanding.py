"""What a sentence means, without a model: the same words in the same home always mean the same."""

from collections.abc import Hashable, Sequence
from typing import Final

from brain_server.conversation.rules.acts import ACTS, act, ambiguous, hazardous
from brain_server.conversation.rules.context import ALL_KINDS, Context
from brain_server.conversation.rules.files import FileIndex
from brain_server.conversation.rules.grammar import STOP, Captures, Reading
from brain_server.conversation.rules.language import Language
from brain_server.conversation.rules.model import (
    Act,
    Ambiguous,
    BadValue,
    Cancel,
    Chosen,
    Confirm,
    Help,
    Here,
    NeedsModel,
    NotFound,
    Pending,
    Understood,
    Unsupported,
)
from brain_server.conversation.rules.names import CompiledHome
from brain_server.conversation.rules.questions import audit, status
from brain_server.conversation.rules.text import Said, Token, listen

# Which kind of meaning wins where a sentence has several; questions and acts come first.
_RANK: Final = {
    NotFound: 1,
    Unsupported: 2,
    NeedsModel: 3,
    Ambiguous: 4,
    BadValue: 5,
}
_READ: Final = 6
_AS_QUESTION: Final = {
    "open": "status:door",
    "on": "status:switch",
    "off": "status:switch",
}


def understand(text: str, home: CompiledHome, here: Here) -> Understood:
    """Return what a sentence means in a home. Never raises; what is not certain needs a model.

    A hazardous act names one device, and never comes from a sentence that is negated, conditional,
    quoted, reported or in the past.
    """
    lang = home.language
    said = listen(text, lang.contractions, lang.endings)
    if said is None:
        return NeedsModel(reason="too long")
    if (answer := _answer(said, home, here)) is not None:
        return answer
    context = _without_courtesies(said, home, here)
    if not context.words:
        return NeedsModel(reason="empty")
    found = _best(context)
    if found is None:
        return NeedsModel(reason=_guard(context) or "unknown")
    return found


def _best(context: Context) -> Understood | None:
    """Return the meaning of the best reading; two different deeds ask which."""
    best: list[Understood] = []
    highest = 0
    for reading in context.home.language.grammar.readings(context.words):
        found = _read(context, reading)
        if found is None:
            continue
        rank = _RANK.get(type(found), _READ)
        if rank > highest:
            best, highest = [found], rank
        elif rank == highest:
            best.append(found)
    acts: dict[Hashable, Act] = {}
    for found in best:
        if isinstance(found, Act):
            key = (found.intent, found.device_ids, tuple(found.params.items()))
            acts[key] = max(found, acts.get(key, found), key=lambda act: act.confidence)
    if len(acts) > 1:
        several = any(len(found.device_ids) > 1 for found in acts.values())
        return NeedsModel(reason="two readings") if several else ambiguous([*acts.values()])
    return next(iter(acts.values()), best[0] if best else None)


def _read(context: Context, reading: Reading) -> Understood | None:
    rule, captures = reading
    family, _, detail = rule.partition(":")
    if family == "ask" and context.said.question:
        return status(context, _AS_QUESTION[detail], captures)
    if rule in ACTS or family in ("act", "ask", "all"):
        found = ACTS.get(rule, act)(context, rule, captures)
        return None if found is None else _checked(context, found)
    if family == "status":
        return status(context, rule, captures)
    if family in ("who", "when", "what"):
        return audit(context, rule, captures)
    return Pending() if family == "pending" else Help()


def _checked(context: Context, found: Understood) -> Understood:
    """Return the meaning, or NeedsModel where the sentence as a whole forbids a deed."""
    if (guard := _guard(context)) is not None:
        return NeedsModel(reason=guard)
    if not _quotes_only_names(context):
        return NeedsModel(reason="quoted")
    intents = [found.intent] if isinstance(found, Act) else []
    if isinstance(found, Ambiguous):
        intents = [choice.intent for choice in found.choices]
    if any(hazardous(intent) for intent in intents):
        if context.said.question and not context.polite:
            return NeedsModel(reason="question")
        if context.said.odd:
            return NeedsModel(reason="signs")
    return found


def _guard(context: Context) -> str | None:
    """Return why a sentence with these words is not for the rules.

    A word of the home's own names is no warning, but a negation always is.
    """
    for reason, words in context.home.language.guards.items():
        for token in context.said.tokens:
            known = reason != "negation" and token.word in context.home.vocabulary
            if token.word in words and not known:
                courtesy = token not in context.tokens
                if not courtesy or reason == "negation":
                    return reason
    return None


def _quotes_only_names(context: Context) -> bool:
    """True when quotation marks stand only around names of devices and files."""
    return all(
        quoted is not None and context.home.is_name(quoted) for quoted in context.said.quoted
    )


def _answer(said: Said, home: CompiledHome, here: Here) -> Understood | None:
    """Return what a sentence means as an answer to an open question; None when it is none."""
    if not (here.pending or here.candidates):
        return None
    words = tuple(token.word for token in said.tokens if token.word != STOP)
    plain = not (said.question or said.odd or said.quoted)
    readings = home.language.answer_grammar.readings(words)
    rules = {reading.rule for reading in readings}
    if here.candidates and plain and (chosen := _chosen(words, readings, home, here)) is not None:
        return chosen
    if "cancel" in rules:
        return Cancel()
    if len(here.candidates) == 1 and not here.pending and plain and "confirm" in rules:
        return Chosen(candidates=here.candidates)
    if here.pending and plain and "confirm" in rules:
        return Confirm()
    return None


def _chosen(
    words: tuple[str, ...], readings: Sequence[Reading], home: CompiledHome, here: Here
) -> Chosen | None:
    """Return which of the offered candidates an answer picks."""
    for rule, captures in readings:
        if rule == "every" and here.several:
            return Chosen(candidates=here.candidates)
        index = _index(rule, captures, words, home.language, len(here.candidates))
        if index is not None and index < len(here.candidates):
            return Chosen(candidates=(here.candidates[index],))
    named = _named(words, home, here)
    return Chosen(candidates=(named,)) if named is not None else None


def _index(
    rule: str, captures: Captures, words: Sequence[str], lang: Language, size: int
) -> int | None:
    """Return the place in the offered list that an ordinal names."""
    if rule == "first":
        return 0
    if rule == "last":
        return size - 1
    if rule != "number" or not captures:
        return None
    _, start, end = captures[0]
    spoken = words[start] if end - start == 1 else ""
    number = (
        int(spoken) if spoken.isdecimal() else lang.numbers.get(spoken) or lang.ordinals.get(spoken)
    )
    return number - 1 if number else None


def _named(words: tuple[str, ...], home: CompiledHome, here: Here) -> str | None:
    """Return the one candidate that the words name."""
    lang = home.language
    bare = _stripped(words, lang)
    while bare and bare[0] in lang.articles:
        bare = bare[1:]
    if len(bare) > 2 and bare[0] in lang.pronouns and bare[1] in lang.joining:
        bare = bare[2:]
    while len(bare) > 1 and bare[-1] in lang.pronouns and bare[-1] not in home.vocabulary:
        bare = bare[:-1]
    foreign = lang.function_words | set(lang.switches) | {w for d in lang.deeds for w in d.split()}
    foreign |= {word for guard in lang.guards.values() for word in guard}
    nouns = {noun for table in lang.nouns.values() for noun in table}
    if not bare or any(w in foreign and w not in home.vocabulary | nouns for w in bare):
        return None
    if not lang.guards["negation"].isdisjoint(words):
        return None
    devices = home.only(here.candidates)
    called = devices.called(bare)
    if len(called) == 1:
        return called[0].id
    found = devices.refer(bare, ALL_KINDS, here.area_id)
    if found.weak:
        return None
    ids = [match.device.id for match in found.matches] or [
        device.id for device in devices.in_area(home.area(bare, here.area_id))
    ]
    if len(ids) == 1:
        return ids[0]
    files = tuple(name for name in here.candidates if name not in home.devices)
    named = FileIndex(files, lang).find(bare)
    return named.names[0] if named.sure else None


def _stripped(words: tuple[str, ...], lang: Language) -> tuple[str, ...]:
    """Return an answer without what may stand around it."""
    before = tuple(phrase for phrase in (*lang.before, *lang.offering) if phrase not in lang.polite)
    _, words = _strip_start(words, before)
    _, words = _strip_end(words, lang.after)
    return words


def _without_courtesies(said: Said, home: CompiledHome, here: Here) -> Context:
    """Return a sentence without what stands before and after the request and means nothing."""
    lang = home.language
    words = tuple(token.word for token in said.tokens)
    before = (*lang.before, *lang.agreeing) if here.pending else lang.before
    leading, rest = _strip_start(words, before)
    trailing, rest = _strip_end(rest, lang.after)
    start = len(words) - len(rest) - sum(len(phrase.split()) for phrase in trailing)
    tokens: tuple[Token, ...] = said.tokens[start : start + len(rest)]
    return Context(
        said=said,
        tokens=tokens,
        home=home,
        here=here,
        polite=any(phrase in lang.polite for phrase in (*leading, *trailing)),
        urgent=any(phrase in lang.urgent for phrase in (*leading, *trailing)),
    )


def _strip_start(
    words: tuple[str, ...], phrases: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    gone: list[str] = []
    while (found := _phrase_at(words, phrases, at_end=False)) is not None:
        gone.append(found)
        words = words[len(found.split()) :]
    return gone, words


def _strip_end(words: tuple[str, ...], phrases: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    gone: list[str] = []
    while (found := _phrase_at(words, phrases, at_end=True)) is not None:
        gone.append(found)
        words = words[: len(words) - len(found.split())]
    return gone, words


def _phrase_at(words: Sequence[str], phrases: Sequence[str], *, at_end: bool) -> str | None:
    """Return the longest phrase that the words start or end with."""
    found: str | None = None
    for phrase in phrases:
        parts = tuple(phrase.split())
        piece = tuple(words[-len(parts) :] if at_end else words[: len(parts)])
        if piece == parts and (found is None or len(phrase) > len(found)):
            found = phrase
    return found
