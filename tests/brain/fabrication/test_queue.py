"""The print queue: from a file to a print, with people, printers and filament in between."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.brain.fabrication.shop import A, Shop, shop as open_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Give a queue."""
    async with open_shop(tmp_path) as made:
        yield made


# -- from the queue to the printer --------------------------------------------------------------------


async def test_an_item_is_printed_when_a_person_approves(shop: Shop) -> None:
    """It goes to the printer, asks, prints, and ends with its job."""
    await shop.printer()
    row = await shop.add(facts={"grams": None})
    await shop.turn()
    asked = await shop.item(row)
    (event,) = await shop.waiting()
    assert (asked["status"], asked["device_id"], asked["attempts"]) == ("starting", A, 1)
    assert (event["command_id"], event["initiated_by"]) == (asked["command_id"], "ada")
    assert shop.runs == []
    await shop.approve()
    await shop.turn()
    printing = await shop.item(row)
    assert (printing["status"], shop.runs) == ("printing", [(A, f"{row['artifact_id']}.gcode")])
    shop.shows(A, "completed", f"{row['artifact_id']}.gcode")
    await shop.rest()
    await shop.turn()
    done = await shop.item(row)
    assert (done["status"], done["ended_at"] is not None) == ("completed", True)
