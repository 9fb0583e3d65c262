"""How sure an answer is, and what a question asks for, judged without asking a model.

The confidence of an answer is a number from 0 to 1 that means: of a hundred answers of this confidence,
about so many were good. It is built from what the provider tells (the log-probabilities of the tokens)
and from what anybody can see (broken tool calls, words that admit ignorance, an answer cut off). The two
coefficients of the logistic curve are the result of the calibration that docs/ROUTING.md describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math
import re
from typing import Final

# An answer below this goes to the next model, where there is one.
SURE: Final = 0.6
# P(good) = 1 / (1 + exp(-(A + B * mean log-probability))).
CURVE_A: Final = 2.4
CURVE_B: Final = 2.6
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
    r"(?:know|answer|help|access|browse|provide|find|determine|tell)\b|\bas an AI\b|"
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
_STEPS: Final = re.compile(
    r"(?i)\b(?:and then|then|after(?: that|wards)?|once|as soon as|when .{2,60} (?:is|are|has|reaches)|"
    r"first|finally|until)\b"
)
_LATER: Final = re.compile(
    r"(?i)\b(?:and then|after(?:wards| that)?|once|as soon as|when|until|first)\b.*\b(?:is|are|has|have|reaches|"
    r"then|finish(?:es|ed)?|done|cools?|ready)\b|\b(?:is|are|has|finish(?:es|ed)?|done|ready)\b.{0,40}\bthen\b"
)
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
    # It is about this house and workshop, whose state may be another one in a minute.
    of_house: bool
    # The model that the person named: "ask Claude why ...".
    wants: str | None


def signals(text: str) -> Signals:
    """Read the signals from the words of a question."""
    words = text.split()
    hard = len(_HARD.findall(text))
    is_code = bool(_CODE.search(text))
    steps = 1 + len(_STEPS.findall(text))
    difficulty = _squash(
        -2.2 + 0.9 * hard + 0.02 * len(words) + 0.8 * is_code + 0.5 * max(0, steps - 1)
    )
    fresh = len(_FRESH.findall(text))
    about_house = bool(_HOUSE.search(text))
    freshness = 0.0 if fresh == 0 else _squash(-0.5 + 1.2 * fresh - 2.0 * about_house)
    named = _OVERRIDE.match(text)
    return Signals(
        difficulty=round(difficulty, 3),
        freshness=round(freshness, 3),
        is_code=is_code,
        steps=steps,
        later=bool(_LATER.search(text)),
        of_house=bool(about_house),
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
) -> float:
    """Return how sure an answer is, from 0 to 1; logprobs are natural logarithms, one for each token."""
    if logprobs:
        sure = _squash(CURVE_A + CURVE_B * (sum(logprobs) / len(logprobs)))
    else:
        sure = UNTOLD_LOCAL if is_local else UNTOLD_FRONTIER
    caps = [
        (broken_calls > 0, BROKEN_CALL),
        (finish == "length", CUT_OFF),
        (finish == "refusal" or bool(_IGNORANT.search(text)), IGNORANT),
        (not text.strip() and calls == 0, EMPTY),
    ]
    return round(min([sure, *(cap for applies, cap in caps if applies)]), 4)


def _squash(value: float) -> float:
    return 1 / (1 + math.exp(-value))
