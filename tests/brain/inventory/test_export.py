"""The inventory as files: complete, and harmless in a spreadsheet."""

import base64
import csv
import io
import json
from typing import Any

import pytest

from brain_server.inventory import export
from brain_server.protocol import Json
from tests.brain.inventory.conftest import Shop


async def exported(shop: Shop, **params: Any) -> tuple[Json, str]:
    """Return the answer and the text of the file."""
    answer = await shop.run("inventory.export", **params)
    return answer, base64.b64decode(answer["data"]).decode()


async def test_spools_as_csv(shop: Shop) -> None:
    spool = await shop.add(250, name="Schwarz, matt")
    await shop.run("spools.archive", spool_id=spool)
    answer, text = await exported(shop)
    assert (answer["name"], answer["rows"], answer["cursor"]) == ("spools.csv", 1, None)
    assert answer["content_type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["id"], row["name"], row["remaining_g"]) == (spool, "Schwarz, matt", "250.0")
    assert (row["price"], row["archived"]) == ("20.0", "True")


async def test_use_as_json(shop: Shop) -> None:
    spool = await shop.add()
    await shop.run("spools.use", spool_id=spool, grams=10)
    answer, text = await exported(shop, format="json", what="usage")
    assert (answer["name"], answer["content_type"]) == ("usage.json", "application/json")
    [row] = json.loads(text)
    assert (row["spool_id"], row["grams"], row["cost"], row["material"]) == (spool, 10, 0.2, "PLA")


async def test_stock_as_csv(shop: Shop) -> None:
    await shop.add(300)
    _, text = await exported(shop, what="stock")
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["material"], row["total_g"]) == ("PLA", "300.0")
    assert (await exported(shop, what="stock", cursor="a" * 32))[1] == ""


async def test_nothing_is_an_empty_file(shop: Shop) -> None:
    assert (await exported(shop))[1] == ""
    assert (await exported(shop, format="json"))[1] == "[]"


@pytest.mark.parametrize(
    "name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1", '=cmd|" /C calc"!A0']
)
async def test_a_name_that_a_spreadsheet_would_run_is_text(shop: Shop, name: str) -> None:
    await shop.add(name=name)
    _, text = await exported(shop)
    [row] = csv.DictReader(io.StringIO(text))
    assert row["name"] == f"'{name}"


@pytest.mark.parametrize("mark", [";", ";  "])
async def test_a_name_is_text_where_a_spreadsheet_takes_another_sign_for_the_end_of_a_cell(
    shop: Shop, mark: str
) -> None:
    """In many countries that is a semicolon."""
    await shop.add(name=f"red{mark}=HYPERLINK(1)")
    _, text = await exported(shop)
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert row["name"] == f"red{mark}'=HYPERLINK(1)"


async def test_many_rows_come_in_parts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_ROWS", 2)
    ids = [await shop.add() for _ in range(3)]
    first, text = await exported(shop, format="json")
    assert first["cursor"] == ids[1]
    last, rest = await exported(shop, format="json", cursor=first["cursor"])
    assert [row["id"] for row in json.loads(text) + json.loads(rest)] == ids
    assert last["cursor"] is None
