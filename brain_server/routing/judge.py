"""How sure an answer is, and what a question asks for, judged without asking a model.

The confidence of an answer is a number from 0 to 1 that means: of a hundred answers of this confidence,
about so many were good. It is built from what the provider tells (the log-probabilities of the tokens)
and from what anybody can see (broken tool calls, words that admit ignorance, an answer cut off). The two
coefficients of the logistic curve are defaults that no model was measured for; ``calibrate`` finds those of
a model from answers that were rated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import math
import re
from typing import Final, NamedTuple

# An answer below this goes to the next model, where there is one.
SURE: Final = 0.6
# P(good) = 1 / (1 + exp(-(A + B * mean log-probability))). A token in nine of ten cases as expected: 0.82;
# in half of them: 0.53; in a quarter: 0.18.
CURVE_A: Final = 1.8
CURVE_B: Final = 2.4
# How firmly the curve stays where it was: as much as so many rated answers, about.
_FIRMNESS: Final = 1.0
_NEWTON_STEPS: Final = 100
_TINY: Final = 1e-10
# Log-odds below which there is no chance, and exp() no number.
_FAR: Final = 700.0
# What is assumed of a provider that tells nothing.
UNTOLD_LOCAL: Final = 0.6
UNTOLD_FRONTIER: Final = 0.85
# Caps: whatever the tokens say, such an answer is not better than this.
BROKEN_CALL: Final = 0.1
CUT_OFF: Final = 0.4
IGNORANT: Final = 0.3
EMPTY: Final = 0.05

_IGNORANT: Final = re.compile(
    r"(?i)\bI(?:'m| am) (?:not sure|unsure|unable|not able)\b|\bI (?:don't|do not|can't|cannot) "
    r"(?:know|answer|help|access|browse|provide|find|determine|tell|have (?:\w+ ){0,2}(?:information|access|data|"
    r"details|knowledge))\b|\bas an AI\b|"
    r"\bno (?:access|information|idea)\b|\bmy (?:knowledge|training)\b"
)
_FRESH: Final = re.compile(
    r"(?i)\b(?:latest|newest|current(?:ly)?|today'?s?|yesterday|tonight|tomorrow|this (?:week|month|year)|right now|"
    r"recent(?:ly)?|news|price|cost of|stock|exchange rate|score|schedule|release(?:d)?|version|"
    r"who (?:is|won)|when (?:is|does|will)|search|look up|google|on the (?:web|internet)|20[2-9]\d)\b"
)
_HOUSE: Final = re.compile(
    r"(?i)\b(?:my|our|printer|door|light|lamp|room|kitchen|house|home|workshop|garage|"
    r"temperature|thermostat|sensor|print|nozzle|filament|spool)\b"
)
_HARD: Final = re.compile(
    r"(?i)\b(?:why|explain|prove|derive|compare|design|plan|analy[sz]e|write|implement|refactor|debug|"
    r"calculate|optimi[sz]e|translate|summari[sz]e|strategy|trade-?offs?|step by step|pros and cons)\b"
)
_CODE: Final = re.compile(
    r"(?i)```|\b(?:python|javascript|regex|sql|function|class|yaml|json|g-?code|script|openscad)\b|[{};]\s*$"
)
# What difficulty is made of at first. The weights were set by reason and then tried on public sentences
# to a home; docs/ROUTING.md has the figures, also on sentences that played no part in it.
WEIGHTS: Final[Mapping[str, float]] = {
    "always": -2.5,
    # Hardly a word more than a verb: what is meant has to be guessed.
    "bare": 1.2,
    "brief": 0.9,
    # Nothing is named that a tool could be asked for ...
    "unnamed": 0.4,
    # ... and it is about somebody: "who am I meeting?" is in some calendar.
    "somebody": 0.9,
    "several": 0.25,
    "condition": 0.6,
    "exception": 0.4,
    "joined": 0.3,
    "thought": 0.9,
    "code": 0.8,
    "steps": 0.5,
    "long": 0.02,
    # Not harder by itself; but it may be for the model of this house (see lessons.py).
    "order": 0.0,
    "question": 0.0,
    "number": 0.0,
}
# An order to the house is one for whoever has the tools, however hard it is.
MOST_OF_ORDER: Final = 0.5
_BRIEF: Final = 12
_LONG: Final = 20

_WORD: Final = re.compile(r"[\w']+")
_POLITE: Final = r"(?i)^\W*(?:(?:please|hey|ok|okay|can you|could you|would you|will you),?\s+)*"
_ORDER: Final = re.compile(
    _POLITE
    + r"(?:turn|switch|set|make|start|stop|play|pause|unpause|resume|dim|brighten|add|put|raise|lower|"
    r"mute|unmute|run|activate|increase|decrease|close|open|remove|skip|lock|unlock|return|shut|change|next|"
    r"previous|go|send|enable|disable|let)\b|\b(?:on|off)\W*$"
)
_QUESTION: Final = re.compile(
    r"(?i)^\W*(?:please |tell me |(?:according to|from|on|in) my \w+(?: \w+)?,? )*(?:who|what|when|where|which|how|"
    r"is|are|am|do|does|did|will|was|were|has|have|can)\b|\?\s*$"
)
_NAMED: Final = re.compile(
    r"(?i)\b(?:lights?|lamps?|plugs?|switch(?:es)?|outlets?|sockets?|doors?|locks?|windows?|curtains?|blinds?|"
    r"shades?|covers?|valves?|sprinklers?|fans?|heat(?:er|ing)|thermostat|temperature|humidity|battery|sensor|"
    r"speakers?|tv|television|media player|music|vacuum|calendar|list|tasks?|weather|printer|camera|alarm)\b"
)
_SOMEBODY: Final = re.compile(
    r"(?i)\b(?:i|we|us|my|our|anyone|anybody|someone|somebody|everyone|everybody)\b"
)
# What somebody has to do, or who comes: another thing tomorrow.
_OWN: Final = re.compile(
    r"(?i)\b(?:am i|are we|(?:do|did|will|can|should) (?:i|we) (?:have|need|meet|get|go)|"
    r"(?:is|was|has|will) (?:anyone|anybody|someone|somebody))\b"
)
_SEVERAL: Final = re.compile(
    r"(?i)\b(?:all|every|everything|everywhere|both|each|any|whole|entire|how many|which)\b"
)
_CONDITION: Final = re.compile(r"(?i)\b(?:if|unless|while|before)\b")
_EXCEPTION: Final = re.compile(r"(?i)\b(?:not|don't|except|but|without|other than|only)\b")
_JOINED: Final = re.compile(r"(?i)\b(?:and|also|as well)\b|[,;]\s")
_NUMBER: Final = re.compile(r"\d")
# Words that name nothing.
_LITTLE: Final = re.compile(
    r"the|a|an|in|on|of|to|for|at|is|are|am|do|does|did|i|we|my|our|me|it|please|and|with|from|by|this|that|"
    r"there|be|can|you|will|have|has|off|up|down|s"
)
_STEPS: Final = re.compile(
    r"(?i)\b(?:and then|then|after(?: that|wards)?|once|as soon as|when .{2,60} (?:is|are|has|reaches)|"
    r"first|finally|until)\b"
)
_LATER: Final = re.compile(
    r"(?i)\b(?:and then|after(?:wards| that)?|once|as soon as|when|until|first)\b.*\b(?:is|are|has|have|reaches|"
    r"then|finish(?:es|ed)?|done|cools?|ready)\b|\b(?:is|are|has|finish(?:es|ed)?|done|ready)\b.{0,40}\bthen\b"
)
# "If it is cold then heat" is about now; only these wait for something.
_IF: Final = re.compile(r"(?i)^\W*(?:please\s+)?if\b")
_UNTIL: Final = re.compile(r"(?i)\b(?:when|once|until|after(?:wards)?|as soon as|and then)\b")
_OVERRIDE: Final = re.compile(
    r"(?i)^\s*(?:please\s+)?(?:ask|use|let|have)\s+(?:the\s+)?([\w .:-]{2,40}?)(?:\s+model)?\s*"
    r"(?:,|:|\bto\b|\babout\b|\banswer\b|\bwhat\b|\bwhich\b|\bfor\b|\bwhy\b|\bhow\b|\bwho\b|\bwhen\b|\bwhere\b|\bif\b|\bwhether\b)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What a question asks for. ``difficulty`` and ``freshness`` go from 0 to 1."""

    difficulty: float
    freshness: float
    is_code: bool
    steps: int
    # Something is to be done only after something else has happened.
    later: bool
    # It is about this house and workshop, whose state may be another one in a minute, or an order.
    of_house: bool
    # The model that the person named: "ask Claude why ...".
    wants: str | None


class Curve(NamedTuple):
    """The logistic curve from the mean log-probability of an answer to its confidence."""

    a: float
    b: float

    def __call__(self, mean: float) -> float:
        """Return the confidence."""
        return squash(self.a + self.b * mean)


CURVE: Final = Curve(CURVE_A, CURVE_B)


def traits(text: str) -> dict[str, float]:
    """Return what of a question makes it hard, by the names of WEIGHTS; most are 0 or 1."""
    words = _WORD.findall(text.casefold())
    content = sum(_LITTLE.fullmatch(word) is None for word in words)
    order = bool(_ORDER.search(text))
    unnamed = not _NAMED.search(text)
    thought = len(_HARD.findall(text))
    return {
        "always": 1.0,
        "bare": 0.0 if thought else 1 / max(1, content),
        "brief": 0.0 if thought else max(0.0, 1 - len(words) / _BRIEF),
        "unnamed": float(unnamed),
        "somebody": float(unnamed and bool(_SOMEBODY.search(text))),
        "several": float(bool(_SEVERAL.search(text))),
        "condition": float(bool(_CONDITION.search(text))),
        "exception": float(bool(_EXCEPTION.search(text))),
        "joined": float(bool(_JOINED.search(text))),
        "thought": float(thought),
        "code": float(bool(_CODE.search(text))),
        "steps": float(len(_STEPS.findall(text))),
        "long": float(max(0, len(words) - _LONG)),
        "order": float(order),
        "question": float(not order and bool(_QUESTION.search(text))),
        "number": float(bool(_NUMBER.search(text))),
    }


def weighed(found: Mapping[str, float]) -> float:
    """Return the log-odds of difficulty that traits have at first."""
    return sum(WEIGHTS[name] * value for name, value in found.items())


def signals(text: str) -> Signals:
    """Read the signals from the words of a question."""
    found = traits(text)
    difficulty = squash(weighed(found))
    if found["order"] and not (found["thought"] or found["code"] or found["steps"]):
        difficulty = min(difficulty, MOST_OF_ORDER)
    fresh = len(_FRESH.findall(text))
    about_house = bool(_HOUSE.search(text))
    freshness = 0.0 if fresh == 0 else squash(-0.5 + 1.2 * fresh - 2.0 * about_house)
    named = _OVERRIDE.match(text)
    return Signals(
        difficulty=round(difficulty, 3),
        freshness=round(freshness, 3),
        is_code=bool(found["code"]),
        steps=1 + int(found["steps"]),
        later=bool(_LATER.search(text)) and not (_IF.search(text) and not _UNTIL.search(text)),
        of_house=about_house or not found["unnamed"] or bool(found["order"] or _OWN.search(text)),
        wants=named[1].strip() if named else None,
    )


def confidence(
    text: str,
    logprobs: Sequence[float],
    *,
    finish: str,
    is_local: bool,
    calls: int = 0,
    broken_calls: int = 0,
    curve: Curve = CURVE,
) -> float:
    """Return how sure an answer is, from 0 to 1; logprobs are natural logarithms, one for each token."""
    untold = UNTOLD_LOCAL if is_local else UNTOLD_FRONTIER
    sure = curve(sum(logprobs) / len(logprobs)) if logprobs else untold
    caps = [
        (broken_calls > 0, BROKEN_CALL),
        (finish == "length", CUT_OFF),
        (finish == "refusal" or bool(_IGNORANT.search(text)), IGNORANT),
        (not text.strip() and calls == 0, EMPTY),
    ]
    return round(min([sure, *(cap for applies, cap in caps if applies)]), 4)


def calibrate(pairs: Iterable[tuple[float, bool]], start: Curve = CURVE) -> Curve:
    """Return the curve that fits rated answers best: (mean log-probability, whether it was good).

    Platt scaling: the two coefficients of greatest likelihood, found by Newton's method; without many pairs
    they stay near where they start.
    """
    rated = list(pairs)
    curve = start
    for _ in range(_NEWTON_STEPS):
        step = _newton(curve, start, rated)
        share, before = 1.0, _loss(curve, start, rated)
        while _loss(_moved(curve, step, share), start, rated) > before and share > _TINY:
            share /= 2
        curve = _moved(curve, step, share)
        if abs(step.a) + abs(step.b) < _TINY:
            break
    return curve


def _newton(curve: Curve, start: Curve, rated: Sequence[tuple[float, bool]]) -> Curve:
    """Return the step to where the loss would be least if it were a parabola."""
    slope_a, slope_b = _FIRMNESS * (curve.a - start.a), _FIRMNESS * (curve.b - start.b)
    # Its curvature, a symmetric matrix of two rows.
    aa, ab, bb = _FIRMNESS, 0.0, _FIRMNESS
    for mean, good in rated:
        sure = curve(mean)
        weight = sure * (1 - sure)
        slope_a += sure - good
        slope_b += (sure - good) * mean
        aa += weight
        ab += weight * mean
        bb += weight * mean * mean
    determinant = aa * bb - ab * ab
    return Curve(
        (ab * slope_b - bb * slope_a) / determinant, (ab * slope_a - aa * slope_b) / determinant
    )


def _loss(curve: Curve, start: Curve, rated: Sequence[tuple[float, bool]]) -> float:
    """Return how badly a curve fits, and how far it is from where it started."""
    away = (curve.a - start.a) ** 2 + (curve.b - start.b) ** 2
    odds = ((curve.a + curve.b * mean) * (-1 if good else 1) for mean, good in rated)
    return _FIRMNESS * away / 2 + sum(
        max(0.0, one) + math.log1p(math.exp(-abs(one))) for one in odds
    )


def _moved(curve: Curve, step: Curve, share: float) -> Curve:
    return Curve(curve.a + share * step.a, curve.b + share * step.b)


def squash(value: float) -> float:
    """Return the probability that log-odds stand for."""
    return 1 / (1 + math.exp(-value)) if value > -_FAR else 0.0
