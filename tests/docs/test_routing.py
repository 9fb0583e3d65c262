"""docs/ROUTING.md says what the code does."""

import math
import re

import pytest

from brain_server.conversation import agent, mind
from brain_server.memory import cache
from brain_server.providers import TierName
from brain_server.routing import judge, lessons
from tests.bench import router
from tests.docs.facts import ROOT

PAGE = (ROOT / "docs" / "ROUTING.md").read_text("utf-8")


def section(name: str) -> str:
    """Return one section of the page."""
    return PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]


def values(name: str) -> dict[str, float]:
    """Return the rows of a section whose first cell is a name and whose second a number."""
    rows = re.findall(r"^\| `(\w+)` \| (-?[\d.]+) \|", section(name), re.MULTILINE)
    return {key: float(value) for key, value in rows}


def test_the_tiers_are_those_of_the_code() -> None:
    """Every tier has its row."""
    told = re.findall(r"^\| \d \| [^|]+ \| `(\w+)` \|", section("The order"), re.MULTILINE)
    assert set(told) == {tier.value for tier in TierName}


def test_the_constants_of_confidence_are_those_of_the_code() -> None:
    """The table has the numbers that count."""
    found = values("Confidence")
    assert len(found) == 10
    assert found == {name: getattr(judge, name, None) or getattr(mind, name) for name in found}


def test_the_examples_of_the_curve_are_right() -> None:
    """Tokens of a likelihood give the confidence that is told."""
    told = re.findall(r"(?:with|,) (0\.\d+)\s+give (0\.\d+)", section("Confidence"))
    assert told == [(share, f"{judge.CURVE(math.log(float(share))):.2f}") for share, _ in told]
    assert len(told) == 3


def test_the_traits_are_those_of_the_code() -> None:
    """The table is the weights, in their order."""
    assert values("Difficulty") == judge.WEIGHTS
    assert list(values("Difficulty")) == list(judge.WEIGHTS)


@pytest.mark.parametrize(
    "words",
    [
        f"the first {mind.WEIGHED} tokens",
        f"from {mind.TOO_HARD} on (`TOO_HARD`)",
        f"from {mind.FRESH} on the web",
        f"never above {judge.MOST_OF_ORDER}",
        f"fades in {lessons.HALF_LIFE / 86_400:.0f} days",
        f"{cache.LIFETIMES['answer'] / 60:.0f} minutes",
        f"at most {agent.MOST_STEPS} steps",
    ],
)
def test_the_figures_are_those_of_the_code(words: str) -> None:
    """A number in a sentence is the one that counts."""
    assert words in PAGE


@pytest.mark.parametrize("text", re.findall(r'"((?:ask|use) [^"]+)"', section("Naming a model")))
def test_the_examples_name_a_model(text: str) -> None:
    """What the page says to say works."""
    assert judge.signals(text).wants


def test_what_waits_and_what_is_about_now_are_told_apart() -> None:
    """The two examples of the page."""
    assert judge.signals("when the print is done, then turn it off").later
    assert not judge.signals("if it is cold then turn on the heating").later


def test_the_calibration_errors_are_those_of_the_bench() -> None:
    """The table is what the seeded simulation gives."""
    table = re.findall(
        r"^\| [a-z ]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$",
        section("Confidence"),
        re.MULTILINE,
    )
    found = router.calibrations()
    assert table == [tuple(f"{one:.3f}" for one in errors.values()) for errors in found.values()]
