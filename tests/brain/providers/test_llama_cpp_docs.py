"""docs/LOCAL_MODELS.md says what the local provider does."""

from pathlib import Path
import re

import pytest

from brain_server.llama_worker import gguf, room
from brain_server.llama_worker.__main__ import OOM_SCORE
from brain_server.providers.llama_cpp import LlamaCpp
from brain_server.providers.llama_cpp.child import CANCEL_S, LOAD_PATIENCE_S
from tests.standins.tiny_gguf import HEADS, KEY_HEADS, LAYERS, WIDTH, tiny_gguf

TEXT = (Path(__file__).parents[3] / "docs/LOCAL_MODELS.md").read_text("utf-8")
PAGE = TEXT.replace("\N{MULTIPLICATION SIGN}", "x")


def test_every_option_is_listed_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| (?:`([^`]*)`)? ?\|", PAGE, re.MULTILINE))
    options = {
        option.name: "" if option.default is None else str(option.default)
        for option in LlamaCpp.options
    }
    assert listed == options


@pytest.mark.parametrize(
    "claim",
    [
        f"longer than {LOAD_PATIENCE_S:g} s",
        f"ended after {CANCEL_S} s",
        f"`oom_score_adj` {OOM_SCORE}",
        f"file x {room.OVERHEAD}",
    ],
)
def test_each_figure_is_that_of_the_code(claim: str) -> None:
    assert claim in " ".join(PAGE.split())


def test_the_formula_for_a_token_of_context_is_that_of_the_code(tmp_path: Path) -> None:
    assert "2 x 2 bytes x layers x key heads x width of a head" in PAGE
    counted = 2 * 2 * LAYERS * KEY_HEADS * (WIDTH // HEADS)
    assert gguf.read(tiny_gguf(tmp_path)).token_bytes == counted


def test_what_fits_is_no_more_than_the_formula_allows() -> None:
    rows = re.findall(r"^\| (\d+) GB \| ([\d.]+) GB", PAGE, re.MULTILINE)
    assert len(rows) == 5
    assert [row for row in rows if float(row[1]) * room.OVERHEAD > float(row[0]) - 1.5] == []
