"""To-do lists: the queue and the shopping, ticked with care, and copied onto a list of the house."""

from datetime import UTC, datetime
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.components.homeassistant.exposed_entities import (
    async_expose_entity,
    async_should_expose,
)
from homeassistant.components.todo import (
    TodoItem,
    TodoItemStatus,
    TodoListEntity,
    TodoListEntityFeature,
)
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    setup_test_component_platform,
    snapshot_platform,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json
from custom_components.kitty.shopping import async_words

from .conftest import ADA, EVE, eventually, rules
from .fake_brain import FakeBrain, FakeError
from .shop import ITEM, PROPOSAL, item, proposal
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    NOW,
    PRINTER,
    gone,
    push,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

QUEUE: Final = "todo.brain_print_queue"
SHOPPING: Final = "todo.brain_filament_to_buy"
HOUSE: Final = "todo.house"
BRAIN: Final = Path(__file__).parents[2] / "brain_server" / "fabrication"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.TODO,)


async def ask(
    hass: HomeAssistant, service: str, entity_id: str, user_id: str = ADA, /, **data: Any
) -> None:
    """Change a list as a user."""
    await hass.services.async_call(
        "todo",
        service,
        {"entity_id": entity_id} | data,
        blocking=True,
        context=Context(user_id=user_id),
    )


async def items(hass: HomeAssistant, entity_id: str) -> list[dict[str, Any]]:
    """Return what is on a list."""
    answer: Any = await hass.services.async_call(
        "todo", "get_items", {"entity_id": entity_id}, blocking=True, return_response=True
    )
    found: list[dict[str, Any]] = answer[entity_id]["items"]
    return found


async def lines(hass: HomeAssistant, brain: FakeBrain, **changes: Any) -> list[str]:
    """Return what is said of an item of the queue."""
    await push(hass, brain, "queue.updated", item(**changes))
    found = next(one for one in await items(hass, QUEUE) if one["uid"] == ITEM)
    return str(found.get("description", "")).splitlines()


# -- the queue ----------------------------------------------------------------------------------------


async def test_the_lists_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


async def test_assist_is_shown_what_to_buy_and_not_what_is_printed(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Home Assistant itself would show both."""
    shown = [async_should_expose(hass, "conversation", one) for one in (QUEUE, SHOPPING)]
    assert shown == [False, True]


async def test_who_wants_the_queue_in_assist_keeps_it_there(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The word of a person is not taken back by a restart."""
    async_expose_entity(hass, "conversation", QUEUE, should_expose=True)
    await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert async_should_expose(hass, "conversation", QUEUE)


async def test_the_queue_is_a_list_in_the_order_of_the_plan(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What is printed stands first."""
    await push(hass, brain, "queue.updated", item(id="b" * 32, title="Dog", planned_start=NOW + 9))
    await push(hass, brain, "queue.updated", item(deadline=NOW + 7200))
    await push(hass, brain, "queue.updated", item(id="c" * 32, title="Owl", status="printing"))
    found = await items(hass, QUEUE)
    assert [one["summary"] for one in found] == ["Owl", "Cat", "Dog"]
    assert datetime.fromisoformat(found[1]["due"]).timestamp() == NOW + 7200
    assert state(hass, QUEUE).state == "3"


async def test_an_item_says_where_and_when_and_why(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In words, a line each; names instead of ids."""
    other = item(id="b" * 32, title="Dog")
    await push(hass, brain, "queue.updated", other)
    reasons = [
        {"code": "filament_change", "material": "PETG"},
        {"code": "waits_for_deadline_of", "item": "b" * 32},
        {"code": "waits_for_clear_bed", "device_id": PRINTER},
        {"code": "misses_deadline", "by_s": 900},
    ]
    assert await lines(hass, brain, reasons=reasons, deadline=NOW) == [
        "On Printer from 2026-11-18 03:06 to 2026-11-18 04:06.",
        "Somebody has to load PETG first.",
        "Dog goes first because of its deadline.",
        "Waits until somebody clears the bed of Printer.",
        "It will be 15 min late: it was due at 2026-11-18 03:06.",
    ]


async def test_today_needs_no_date(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A time is enough."""
    now = datetime.now(UTC).timestamp()
    said = await lines(hass, brain, reasons=[], planned_start=now, planned_end=now)
    assert re.fullmatch(r"On Printer from \d\d:\d\d to \d\d:\d\d\.", said[0])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("does_not_fit", "the file does not fit this printer"),
        ("The printer is printing", "The printer is printing"),
        (None, "?"),
    ],
)
async def test_why_a_start_failed_is_said_in_words(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, error: str | None, words: str
) -> None:
    """What the printer itself said is said as it was."""
    reasons = [{"code": "start_failed", "device_id": PRINTER, "error": error}]
    said = await lines(hass, brain, reasons=reasons, planned_start=None)
    assert said == [f"It did not start on Printer: {words}."]


async def test_what_has_no_plan_has_only_its_reasons(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Held until a printer is back; one that is gone is called by its id."""
    plan = {"status": "held", "planned_start": None, "planned_end": None, "device_id": None}
    reasons = [{"code": "waits_for_printer", "device_ids": [PRINTER, "gone"]}]
    assert await lines(hass, brain, reasons=reasons, **plan) == ["Waits for Printer, gone."]


async def test_filament_that_nobody_named_is_the_filament(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A file that names no material has reasons, too."""
    reasons = [{"code": "filament_unknown", "material": None}]
    said = await lines(hass, brain, reasons=reasons, planned_start=None)
    assert said == ["Nobody knows whether the filament is loaded."]


async def test_a_reason_of_a_newer_brain_shows_by_its_code(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Better than nothing."""
    said = await lines(hass, brain, reasons=[{"code": "moon_is_full"}], planned_start=None)
    assert said == ["moon_is_full"]


async def test_every_reason_of_the_brain_has_words(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """Those that the queue's own modules give."""
    source = "".join(
        (BRAIN / f"{name}.py").read_text() for name in ("schedule", "planning", "starts", "queue")
    )
    used = set(re.findall(r'"code": "(\w+)"', source)) | set(
        re.findall(r'return "(waits_\w+)"', source)
    )
    assert used - set(await async_words(hass, "print_queue")) == set()


async def test_a_new_item_queues_the_file_of_that_name(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In the name of who wrote it, with its deadline."""
    due = "2026-12-24 18:00:00"
    await ask(hass, "add_item", QUEUE, item="cat.gcode", due_datetime=due)
    sent, caller = brain.sent("queue.add")[0], brain.callers("queue.add")[0]
    assert caller is not None
    assert caller["user_id"] == ADA
    assert sent["file"] == "cat.gcode"
    assert datetime.fromtimestamp(sent["deadline"], UTC).isoformat() == "2026-12-25T02:00:00+00:00"


async def test_a_day_ends_at_midnight(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A deadline without a time is the end of its day, here."""
    await ask(hass, "add_item", QUEUE, item="cat.gcode", due_date="2026-12-24")
    deadline = brain.sent("queue.add")[0]["deadline"]
    assert deadline == pytest.approx(datetime(2026, 12, 25, 8, tzinfo=UTC).timestamp(), abs=0.01)


async def test_an_item_without_a_deadline_has_none(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """As soon as possible."""
    await ask(hass, "add_item", QUEUE, item="cat.gcode")
    assert brain.sent("queue.add") == [{"file": "cat.gcode"}]


async def test_what_is_no_print_file_cannot_be_queued(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Milk is for another list."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("file_not_found")

    brain.answers["queue.add"] = refuse
    with pytest.raises(ServiceValidationError, match="no print file called Milk"):
        await ask(hass, "add_item", QUEUE, item="Milk")


async def test_another_refusal_is_told_as_it_is(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It has its own words."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("file_missing")

    brain.answers["queue.add"] = refuse
    with pytest.raises(HomeAssistantError) as refused:
        await ask(hass, "add_item", QUEUE, item="cat.gcode")
    assert refused.value.translation_key == "file_missing"


async def test_a_tick_takes_an_item_out_of_the_queue(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It is no longer wanted."""
    await push(hass, brain, "queue.updated", item())
    await ask(hass, "update_item", QUEUE, item="Cat", status="completed")
    assert brain.sent("queue.cancel") == [{"queue_id": ITEM}]


@pytest.mark.parametrize("status", ["starting", "printing"])
async def test_a_tick_stops_no_print(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, status: str
) -> None:
    """A list is no emergency stop."""
    await push(hass, brain, "queue.updated", item(status=status))
    with pytest.raises(ServiceValidationError) as refused:
        await ask(hass, "update_item", QUEUE, item="Cat", status="completed")
    assert refused.value.translation_key == "queue_item_started"
    assert brain.sent("queue.cancel") == []


async def test_items_are_deleted_all_or_none(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """One that is printed keeps the others."""
    await push(hass, brain, "queue.updated", item())
    await push(hass, brain, "queue.updated", item(id="b" * 32, title="Dog", status="printing"))
    with pytest.raises(ServiceValidationError):
        await ask(hass, "remove_item", QUEUE, item=["Cat", "Dog"])
    assert brain.sent("queue.cancel") == []
    await ask(hass, "remove_item", QUEUE, item=["Cat"])
    assert brain.sent("queue.cancel") == [{"queue_id": ITEM}]


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        ({"rename": "Tom"}, {"title": "Tom"}),
        ({"due_datetime": None}, {"deadline": None}),
        ({"due_datetime": "2026-11-19 00:00:00"}, {"deadline": 1795075200.0}),
    ],
)
async def test_an_item_can_be_changed(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    data: dict[str, Any],
    changes: Json,
) -> None:
    """Its name, and until when it is wanted; what stays is not sent."""
    await push(hass, brain, "queue.updated", item(deadline=NOW))
    await ask(hass, "update_item", QUEUE, item=ITEM, **data)
    assert brain.sent("queue.change") == [{"queue_id": ITEM} | changes]


async def test_a_change_of_nothing_is_not_sent(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A dialog that was closed with OK."""
    await push(hass, brain, "queue.updated", item(deadline=NOW + 0.4))
    await ask(hass, "update_item", QUEUE, item=ITEM, rename="Cat", status="needs_action")
    assert brain.sent("queue.change") == []


async def test_an_item_that_is_gone_meanwhile_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Somebody else was faster."""
    queue = hass.data["todo"].get_entity(QUEUE)
    with pytest.raises(ServiceValidationError) as refused:
        await queue.async_delete_todo_items([ITEM])
    assert refused.value.translation_key == "queue_item_not_found"


async def test_who_may_not_change_the_list_changes_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """Home Assistant's own rights hold."""
    people[EVE].mock_policy({"entities": {"entity_ids": {QUEUE: {"read": True}}}})
    await push(hass, brain, "queue.updated", item())
    with pytest.raises(Unauthorized):
        await ask(hass, "remove_item", QUEUE, EVE, item=["Cat"])
    assert brain.sent("queue.cancel") == []


async def test_without_the_brain_there_is_no_list(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An old queue would be believed."""
    await gone(hass, brain, workshop)
    assert {state(hass, one).state for one in (QUEUE, SHOPPING)} == {"unavailable"}


# -- what should be bought ----------------------------------------------------------------------------


async def test_a_proposal_is_something_to_buy(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """With its cost, and whether somebody agreed."""
    await push(hass, brain, "budget.updated", {"currency": "EUR"})
    await push(hass, brain, "procurement.updated", proposal())
    [found] = await items(hass, SHOPPING)
    assert (found["summary"], found["description"].splitlines()) == (
        "PETG 1000 g",
        ["Less is left than the limit.", "About 24.90 EUR.", "Nobody has decided yet."],
    )
    await push(hass, brain, "procurement.updated", proposal(status="approved", cost=None))
    [found] = await items(hass, SHOPPING)
    assert found["description"].splitlines()[1:] == ["Approved: to be bought."]


async def test_a_reason_to_buy_of_a_newer_brain_shows_by_its_code(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Better than nothing."""
    await push(hass, brain, "procurement.updated", proposal(reason="sale"))
    assert (await items(hass, SHOPPING))[0]["description"].startswith("sale\n")


async def test_a_tick_says_that_it_was_bought(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In the name of who ticks."""
    await push(hass, brain, "procurement.updated", proposal())
    await ask(hass, "update_item", SHOPPING, item="PETG 1000 g", status="completed")
    assert brain.sent("procurements.decide") == [{"proposal_id": PROPOSAL, "decision": "done"}]
    caller = brain.callers("procurements.decide")[0]
    assert caller is not None
    assert caller["user_id"] == ADA


async def test_deleting_rejects_a_proposal(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It does not come back before the stock was above its limit."""
    await push(hass, brain, "procurement.updated", proposal())
    await ask(hass, "remove_item", SHOPPING, item=["PETG 1000 g"])
    assert brain.sent("procurements.decide") == [{"proposal_id": PROPOSAL, "decision": "reject"}]


async def test_a_proposal_cannot_be_worded_anew(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain reckons what is missing."""
    await push(hass, brain, "procurement.updated", proposal())
    with pytest.raises(ServiceValidationError, match="cannot be worded anew"):
        await ask(hass, "update_item", SHOPPING, item="PETG 1000 g", rename="Milk")


# -- the copy on a list of the house ------------------------------------------------------------------

ALL: Final = (
    TodoListEntityFeature.CREATE_TODO_ITEM
    | TodoListEntityFeature.UPDATE_TODO_ITEM
    | TodoListEntityFeature.DELETE_TODO_ITEM
    | TodoListEntityFeature.SET_DESCRIPTION_ON_ITEM
)


class HouseList(TodoListEntity):
    """A list of another integration."""

    _attr_name = "House"
    _attr_should_poll = False

    def __init__(self, features: TodoListEntityFeature) -> None:
        """Start empty."""
        self._attr_supported_features = features
        self._attr_todo_items = []
        self.fails = self.kills = False

    @property
    def found(self) -> list[TodoItem]:
        """Return what is on the list."""
        return self._attr_todo_items or []

    async def async_create_todo_item(self, item: TodoItem) -> None:
        """Add an item under an id of its own."""
        if self.fails:
            raise HomeAssistantError("full")
        item.uid = f"u{len(self.found)}"
        self._attr_todo_items = [*self.found, item]
        self.async_write_ha_state()
        if self.kills:
            raise HomeAssistantError("the answer was lost")

    async def async_update_todo_item(self, item: TodoItem) -> None:
        """Take an item over."""
        self._attr_todo_items = [item if one.uid == item.uid else one for one in self.found]
        self.async_write_ha_state()

    async def async_delete_todo_items(self, uids: list[str]) -> None:
        """Forget items."""
        self._attr_todo_items = [one for one in self.found if one.uid not in uids]
        self.async_write_ha_state()

    def come(self, *, here: bool) -> None:
        """Come or go."""
        self._attr_available = here
        self.async_write_ha_state()


@pytest.fixture
def features() -> TodoListEntityFeature:
    """Return what the list of the house can do."""
    return ALL


@pytest.fixture
async def house(hass: HomeAssistant, features: TodoListEntityFeature) -> HouseList:
    """Return a list of the house."""
    found = HouseList(features)
    setup_test_component_platform(hass, "todo", [found])
    assert await async_setup_component(hass, "todo", {"todo": {"platform": "test"}})
    await hass.async_block_till_done()
    return found


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the rules of the house, with the list that people chose."""
    return rules() | {"todo_entity": HOUSE}


async def test_a_proposal_is_copied_once(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whatever becomes of it while it is open."""
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: house.found)
    await push(hass, brain, "procurement.updated", proposal(status="approved"))
    await push(hass, brain, "procurement.updated", proposal(id="2" * 32, material="ABS"))
    await eventually(lambda: len(house.found) == 2)
    assert [one.summary for one in house.found] == ["PETG 1000 g", "ABS 1000 g"]
    assert "Less is left" in str(house.found[0].description)


async def test_a_copy_is_not_made_again_after_a_restart(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Not even when a person has ticked or deleted it."""
    brain.workshop["procurements"] = [proposal()]
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: house.found)
    await house.async_delete_todo_items(["u0"])
    await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    await push(hass, brain, "procurement.updated", proposal(id="2" * 32, material="ABS"))
    await eventually(lambda: house.found)
    assert [one.summary for one in house.found] == ["ABS 1000 g"]


async def test_a_copy_that_may_be_there_is_looked_for_first(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The list took it, and nobody heard that it did."""
    house.kills = True
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: house.found)
    house.kills = False
    await push(hass, brain, "procurement.updated", proposal(id="2" * 32, material="ABS"))
    await eventually(lambda: len(house.found) == 2)
    assert [one.summary for one in house.found] == ["PETG 1000 g", "ABS 1000 g"]


async def test_a_copy_that_failed_is_made_with_the_next_change(
    hass: HomeAssistant,
    house: HouseList,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And it is said why it was not."""
    house.fails = True
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: "cannot be changed: full" in caplog.text)
    house.fails = False
    await push(hass, brain, "procurement.updated", proposal(status="approved"))
    await eventually(lambda: house.found)
    assert [one.summary for one in house.found] == ["PETG 1000 g"]


async def test_a_list_that_is_away_gets_its_copies_when_it_is_back(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody has to press anything."""
    house.come(here=False)
    await push(hass, brain, "procurement.updated", proposal())
    house.come(here=True)
    await eventually(lambda: house.found)
    house.come(here=True)
    assert len(house.found) == 1


async def test_what_is_settled_leaves_the_list(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Bought or rejected, nobody has to buy it; the rest stays."""
    await push(hass, brain, "procurement.updated", proposal(id="2" * 32, material="ABS"))
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: len(house.found) == 2)
    await push(hass, brain, "procurement.updated", proposal(status="rejected"))
    await eventually(lambda: len(house.found) == 1)
    assert house.found[0].summary == "ABS 1000 g"


@pytest.mark.parametrize("features", [ALL & ~TodoListEntityFeature.DELETE_TODO_ITEM])
async def test_where_nothing_can_be_deleted_it_is_ticked(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """As far as the list can."""
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: house.found)
    await push(hass, brain, "procurement.updated", proposal(status="done"))
    await eventually(lambda: house.found[0].status == TodoItemStatus.COMPLETED)


@pytest.mark.parametrize("features", [TodoListEntityFeature.CREATE_TODO_ITEM])
async def test_a_list_that_only_takes_keeps_what_it_has(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It gets the next shortage of the material all the same."""
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: house.found)
    assert house.found[0].description is None
    await push(hass, brain, "procurement.updated", proposal(status="done"))
    await push(hass, brain, "procurement.updated", proposal(id="2" * 32))
    await eventually(lambda: len(house.found) == 2)


async def test_another_list_starts_with_all_that_is_open(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What was written to the old one counts no more."""
    brain.workshop["procurements"] = [proposal()]
    await push(hass, brain, "procurement.updated", proposal())
    await eventually(lambda: house.found)
    chosen = dict(workshop.options)
    hass.config_entries.async_update_entry(workshop, options=chosen | {"todo_entity": QUEUE})
    await hass.async_block_till_done()
    hass.config_entries.async_update_entry(workshop, options=chosen)
    await hass.async_block_till_done()
    await brain.received_command("queue.add")
    assert brain.sent("queue.add")[0]["file"] == "PETG 1000 g"


@pytest.mark.parametrize("options", [rules()])
async def test_without_a_choice_nothing_is_copied(
    hass: HomeAssistant, house: HouseList, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The list of the house is the house's own."""
    await push(hass, brain, "procurement.updated", proposal())
    assert house.found == []
