"""A full disk: nothing is half taken in, what was under way is done once, and the time that came comes later."""

from pathlib import Path

import pytest

from tests.brain.storage.test_full import on_small_disk


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_full_disk_stops_what_goes_on_by_itself_and_loses_nothing(tmp_path: Path) -> None:
    """Who writes is told why; with space again it goes on by itself."""
    found = await on_small_disk("tests.brain.schedule.full", tmp_path, "3m")
    assert (found["codes"], found["told"]) == (["storage_full"] * 2, [])
    assert (found["again"], found["told_again"]) == (None, [{"size": 200_000}])
    assert (found["health"], found["well"]) == ("The disk is full", None)
    assert found["done"] == found["due"]
    assert found["integrity"] == [["ok"]]
