"""The quality scale: every rule is answered, and every answer is true."""

from pathlib import Path
from typing import Any, Final

from homeassistant.util.yaml import load_yaml_dict
import probatio as vol
import pytest

from .quality import PROOFS, REASONS, RULES, House

ROOT: Final = Path(__file__).parents[2]
HOUSE: Final = House(ROOT)
SCALE: Final[dict[str, Any]] = load_yaml_dict(str(HOUSE.folder / "quality_scale.yaml"))["rules"]
ANSWER: Final = vol.Schema(
    vol.Any(
        "done",
        {
            vol.Required("status"): vol.In(["done", "exempt"]),
            vol.Required("comment"): vol.All(str, vol.Length(min=10)),
        },
    )
)


@pytest.fixture
def hollow(tmp_path: Path) -> House:
    """Return a checkout in which nothing is done."""
    (tmp_path / "custom_components" / "kitty").mkdir(parents=True)
    return House(tmp_path)


def test_every_rule_is_answered_in_the_order_of_the_tiers() -> None:
    """No rule of Home Assistant is left out, and none is made up."""
    assert len(RULES) == 54
    assert tuple(SCALE) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_an_answer_has_the_form_that_is_asked_for(rule: str) -> None:
    ANSWER(SCALE[rule])


def test_what_is_exempt_is_what_has_a_reason() -> None:
    """And nothing else: all that is left is done."""
    assert {
        rule for rule, answer in SCALE.items() if answer != "done" and answer["status"] == "exempt"
    } == set(REASONS)
    assert set(PROOFS) | set(REASONS) == set(RULES)
    assert not set(PROOFS) & set(REASONS)


@pytest.mark.parametrize("rule", sorted(PROOFS))
def test_what_is_done_is_done(rule: str) -> None:
    """By the code, the tests and the documents as they are."""
    assert list(PROOFS[rule](HOUSE)) == []


@pytest.mark.parametrize("rule", sorted(REASONS))
def test_what_is_exempt_does_not_concern_us(rule: str) -> None:
    assert list(REASONS[rule](HOUSE)) == []


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_proven_where_nothing_is_done(hollow: House, rule: str) -> None:
    """A proof that cannot fail is none."""
    assert list((PROOFS | REASONS)[rule](hollow))


def test_the_manifest_names_the_tier() -> None:
    assert HOUSE.json("manifest.json")["quality_scale"] == "platinum"
