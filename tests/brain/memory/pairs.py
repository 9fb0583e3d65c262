"""Questions that one answer serves, and questions that only look so."""

from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """Two questions, and whether they are the same one."""

    same: bool
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.one} | {self.other}"


def pairs(name: str = "pairs.txt") -> list[Pair]:
    """Return the pairs of a file."""
    lines = (Path(__file__).parent / name).read_text("utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if line.startswith(("+ |", "- |"))
    ]
    return [Pair(mark == "+", one, other) for mark, one, other in cells]
