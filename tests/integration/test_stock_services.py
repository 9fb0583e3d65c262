"""The actions of the store room: spools, stock, what should be bought, and what is written down."""

import base64
from collections.abc import AsyncIterator
import json
from pathlib import Path
from typing import Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError, Unauthorized
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import Json

from .conftest import EVE
from .fake_brain import Answer, FakeBrain
from .shop import PROPOSAL, SPOOL, proposal, spool, stock
from .workshop import PRINTER, act, at, workshop_fixture  # noqa: F401 - fixtures by name

LOADED: Final = "51" * 16


SPOOLS: Final = [
    spool(device_id=None),
    spool(id=LOADED, material="PETG", device_id=PRINTER),
]
STOCK: Final = [stock(), stock(material="PETG")]
PROPOSALS: Final = [proposal(material="PETG")]


def listing(rows: list[Json]) -> Answer:
    """Return what answers with rows, of one material if one is named."""

    def answer(params: Json, _caller: Json | None) -> Json:
        wanted = str(params.get("material", "")).upper()
        return {"items": [one for one in rows if wanted in one["material"]], "cursor": None}

    return answer


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what these tests act on."""
    return (Platform.BUTTON,)


@pytest.fixture
async def brain(socket_enabled: None) -> AsyncIterator[FakeBrain]:
    """Return a brain with two spools and a proposal."""
    fake = await FakeBrain().start()
    fake.workshop = {"spools": SPOOLS, "stock": STOCK, "procurements": PROPOSALS}
    fake.answers["spools.list"] = listing(SPOOLS)
    fake.answers["stock.list"] = listing(STOCK)
    fake.answers["procurements.list"] = listing(PROPOSALS)
    yield fake
    await fake.stop()


@pytest.fixture
def drawer(hass: HomeAssistant, tmp_path: Path) -> Path:
    """Return a folder that Home Assistant may write."""
    folder = tmp_path / "drawer"
    folder.mkdir()
    hass.config.allowlist_external_dirs.add(str(folder))
    return folder


HANDED_ON: Final = [
    (
        "add_spool",
        {"material": "PLA", "color": "red", "full_g": 1000, "price": 20.5, "vendor": None},
        "spools.put",
    ),
    ("update_spool", {"spool_id": SPOOL, "location": "Shelf 2"}, "spools.put"),
    ("use_filament", {"spool_id": SPOOL, "grams": 12.5}, "spools.use"),
    ("use_filament", {"spool_id": LOADED, "mm": 300.0}, "spools.use"),
    ("load_spool", {"spool_id": SPOOL}, "spools.load"),
    ("archive_spool", {"spool_id": SPOOL, "archived": True}, "spools.archive"),
    ("sync_spoolman", {}, "spoolman.sync"),
    ("decide_procurement", {"proposal_id": PROPOSAL, "decision": "approve"}, "procurements.decide"),
]


@pytest.mark.parametrize(("action", "data", "command"), HANDED_ON)
async def test_the_brain_is_told_what_was_filled_in_and_by_whom(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    action: str,
    data: Json,
    command: str,
) -> None:
    """And what it says is the answer."""
    brain.answers[command] = lambda _params, _caller: {"said": "so"}
    assert await act(hass, action, EVE, **data) == {"said": "so"}
    assert brain.sent(command) == [data]
    caller = brain.callers(command)[0]
    assert caller is not None
    assert caller["user_id"] == EVE


async def test_a_spool_is_loaded_on_a_printer(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """By the device that people see."""
    await act(hass, "load_spool", spool_id=SPOOL, device_id=at(hass, workshop, PRINTER), slot=2)
    assert brain.sent("spools.load") == [{"spool_id": SPOOL, "device_id": PRINTER, "slot": 2}]


@pytest.mark.usefixtures("onlooker")
@pytest.mark.parametrize(("action", "data", "command"), HANDED_ON)
async def test_who_controls_no_printer_changes_nothing_in_the_store_room(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    action: str,
    data: Json,
    command: str,
) -> None:
    """To look is another matter."""
    with pytest.raises(Unauthorized):
        await act(hass, action, EVE, **data)
    assert brain.sent(command) == []


async def test_a_proposal_is_decided_by_a_person(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Money is no matter for an automation that nobody started."""
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, "decide_procurement", None, proposal_id=PROPOSAL, decision="approve")
    assert refused.value.translation_key == "user_required"
    assert brain.sent("procurements.decide") == []


@pytest.mark.parametrize("data", [{}, {"grams": 1, "mm": 1}, {"grams": 0}])
async def test_an_amount_is_grams_or_millimetres(
    hass: HomeAssistant, workshop: MockConfigEntry, data: Json
) -> None:
    """Not both, not neither, and not nothing."""
    with pytest.raises(vol.Invalid):
        await act(hass, "use_filament", spool_id=SPOOL, **data)


async def test_the_stock_is_told_with_its_spools_and_what_should_be_bought(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Everybody may look."""
    found = await act(hass, "get_stock", EVE)
    assert found == {"stock": STOCK, "spools": SPOOLS, "procurements": PROPOSALS}


async def test_spools_that_were_put_away_are_told_to_who_asks_for_them(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """They can be taken back."""
    await act(hass, "get_stock", EVE, archived=True)
    assert brain.sent("spools.list") == [{"archived": True}]


async def test_the_stock_of_one_material(hass: HomeAssistant, workshop: MockConfigEntry) -> None:
    """However it is written."""
    found = await act(hass, "get_stock", EVE, material="petg")
    assert found == {"stock": STOCK[1:], "spools": SPOOLS[1:], "procurements": PROPOSALS}


LIMITS: Final = [
    ({"material": "PLA", "low_g": 500.0, "order_g": 1000.0}, {}),
    ({"material": "PLA"}, {"low_g": None}),
]


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize(("data", "more"), LIMITS)
async def test_an_administrator_says_from_when_on_a_material_is_short(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, data: Json, more: Json
) -> None:
    """Without a weight it never is."""
    await act(hass, "set_stock_limit", **data)
    assert brain.sent("stock.limit") == [data | more]


async def test_nobody_else_sets_limits(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A limit makes people buy."""
    with pytest.raises(Unauthorized):
        await act(hass, "set_stock_limit", EVE, material="PLA", low_g=1)
    assert brain.sent("stock.limit") == []


# -- exports ------------------------------------------------------------------------------------------

PAGES: Final = {
    "csv": ["id,file\r\na,cat.gcode\r\n", "id,file\r\nb,dog.gcode\r\n"],
    "json": ['[{"id": "a"}]', '[{"id": "b"}]'],
}
WHOLE: Final = {
    "csv": "id,file\r\na,cat.gcode\r\nb,dog.gcode\r\n",
    "json": json.dumps([{"id": "a"}, {"id": "b"}]),
}


@pytest.fixture
def exported(brain: FakeBrain) -> None:
    """Let the brain export in two pages."""

    def export(params: Json, _caller: Json | None) -> Json:
        second = params.get("cursor") == "a"
        text = PAGES[params["format"]][second]
        return {
            "name": f"jobs.{params['format']}",
            "content_type": "text/csv",
            "data": base64.b64encode(text.encode()).decode(),
            "rows": 1,
            "cursor": None if second else "a",
        }

    brain.answers["jobs.export"] = export
    brain.answers["inventory.export"] = export


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize("form", ["csv", "json"])
async def test_an_export_is_one_file_however_many_pages_it_has(
    hass: HomeAssistant, workshop: MockConfigEntry, form: str
) -> None:
    """One table has one head."""
    told = await act(hass, "export_jobs", EVE, format=form)
    assert told == {
        "name": f"jobs.{form}",
        "content_type": "text/csv",
        "rows": 2,
        "text": WHOLE[form],
    }


@pytest.mark.usefixtures("exported")
async def test_the_prints_of_one_printer_are_exported(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Each page of them."""
    await act(hass, "export_jobs", device_id=at(hass, workshop, PRINTER))
    only = {"device_id": PRINTER, "format": "csv"}
    assert brain.sent("jobs.export") == [only, only | {"cursor": "a"}]


@pytest.mark.usefixtures("exported", "administrator")
async def test_an_export_is_written_where_an_administrator_wants_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, drawer: Path
) -> None:
    """The answer then holds no text."""
    path = drawer / "usage.csv"
    told = await act(hass, "export_inventory", what="usage", path=str(path))
    assert told == {
        "name": "jobs.csv",
        "content_type": "text/csv",
        "rows": 2,
        "path": str(path),
    }
    assert path.read_bytes().decode() == WHOLE["csv"]
    assert brain.sent("inventory.export")[0] == {"what": "usage", "format": "csv"}


@pytest.mark.usefixtures("exported", "administrator")
async def test_an_export_outside_the_opened_folders_is_refused_before_it_is_made(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, tmp_path: Path
) -> None:
    """The brain is not even asked."""
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, "export_jobs", path=str(tmp_path / "jobs.csv"))
    assert refused.value.translation_key == "path_not_allowed"
    assert brain.sent("jobs.export") == []
