"""Switches: what is off, why, for how long, whose doing it was, and that nobody runs what is off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
import json
from pathlib import Path
import re
import sqlite3
from typing import Any

import pytest

from brain_server.api.dispatch import Dispatcher
from brain_server.bus import Bus
from brain_server.capabilities import ALL, ALL_ON, NAMED, SET, UPDATED, Capabilities
from brain_server.commands import Caller, NoParams, Scope, collect, command, prepare
from brain_server.errors import Unavailable
from brain_server.observability import Health, Tasks
from brain_server.protocol import Json
from brain_server.storage import Database, tables
from tests.brain.gatehouse import refusal
from tests.brain.home import ROOT, until

DAN = Caller(token="home", scope=Scope.ADMIN, user_id="dan")


class House:
    """One life of the switches, what was told, and the lines of the audit trail."""

    def __init__(self, database: Database) -> None:
        self.bus = Bus()
        self.told: list[Json] = []
        self.trail: list[tuple[str, str | None, Json]] = []
        # What the audit trail does when it cannot be written.
        self.broken: Unavailable | None = None
        self.bus.listen(UPDATED, lambda event: self.told.append(event.data))
        self.switches = Capabilities(database, self.bus, lambda: 1000.0, self.audit)

    async def audit(self, kind: str, user_id: str | None, about: Json) -> None:
        if self.broken is not None:
            raise self.broken
        self.trail.append((kind, user_id, about))

    async def run(self, action: str, caller: Caller = DAN, **params: object) -> Json:
        spec = collect(self.switches)[action]
        done: Json = await spec.run(caller, prepare(spec, caller, params))
        return done

    async def turn(self, name: str, *, on: bool) -> Json:
        return await self.run("capabilities.set", name=name, enabled=on)

    def row(self, name: str) -> Json:
        return next(row for row in self.switches.rows() if row["name"] == name)

    def error(self, name: str) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            self.switches.require(name)
        return caught.value


@asynccontextmanager
async def life(url: str) -> AsyncIterator[House]:
    """Live once on a database."""
    database = Database(url, tables.brain, name="brain", durable=False)
    await database.open()
    house = House(database)
    await house.switches.load()
    yield house
    await database.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Give switches that nobody has touched."""
    async with life(f"sqlite:///{tmp_path}/brain.db") as made:
        yield made


# -- the table ----------------------------------------------------------------------------------------


def test_what_is_needed_stands_before_what_needs_it() -> None:
    """So nothing needs itself, by whatever detour."""
    place = {one.name: at for at, one in enumerate(ALL)}
    assert len(place) == len(ALL)
    late = [(one.name, need) for one in ALL for need in one.needs if place[need] >= place[one.name]]
    assert late == []


async def test_everything_is_on_until_somebody_switches_it_off(house: House) -> None:
    """A new house works."""
    rows = house.switches.rows()
    assert {(row["enabled"], row["available"], row["because"]) for row in rows} == {
        (True, True, None)
    }
    assert house.told == []


def test_a_part_that_stands_alone_has_everything_on() -> None:
    """As in a bench, which builds only one part; a name that is none is still a mistake."""
    assert ALL_ON.is_on("search")
    ALL_ON.require("search")
    assert not ALL_ON.is_on("a name that is none")


# -- switching ----------------------------------------------------------------------------------------


async def test_what_is_switched_off_refuses_with_its_name(house: House) -> None:
    """In a sentence that can be spoken."""
    await house.turn("search", on=False)
    err = house.error("search")
    assert (err.code, err.message) == ("capability_off", "Search is switched off")
    assert err.fields == {"capability": "search", "because": "search", "what": "Search"}


async def test_what_is_stored_is_in_force_though_its_caller_was_called_off(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time was over between the two; nobody could see that the next life is another one."""
    write, stored, go = house.switches._db.write, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        stored.set()
        await go.wait()
        return found

    monkeypatch.setattr(house.switches._db, "write", late)
    setting = Tasks().start("setting", house.turn("search", on=False))
    await stored.wait()
    setting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await setting
    await until(lambda: not house.switches.is_on("search"), "that it is off")
    assert {row["name"] for row in house.told} == {"search", "research"}


async def test_what_needs_it_says_why_it_does_not_work(house: House) -> None:
    """Its own switch stays as it was."""
    await house.turn("search", on=False)
    row = house.row("research")
    assert (row["enabled"], row["available"], row["because"]) == (True, False, "search")
    err = house.error("research")
    assert (err.message, err.fields["capability"], err.fields["because"]) == (
        "Search is switched off",
        "research",
        "search",
    )


async def test_what_needs_nothing_of_it_goes_on(house: House) -> None:
    """One switch, one part."""
    await house.turn("search", on=False)
    assert {row["name"] for row in house.switches.rows() if not row["available"]} == {
        "search",
        "research",
    }


async def test_a_row_tells_what_it_lacks_also_while_it_is_off_itself(house: House) -> None:
    """Whoever switches it on learns before that this is not enough."""
    await house.turn("prints", on=False)
    await house.turn("queue", on=False)
    row = house.row("queue")
    assert (row["enabled"], row["available"], row["because"]) == (False, False, "prints")
    assert house.error("queue").fields["because"] == "queue"


async def test_switched_on_again_it_works_again(house: House) -> None:
    """With everything that needs it."""
    await house.turn("search", on=False)
    row = await house.turn("search", on=True)
    assert (row["enabled"], row["available"]) == (True, True)
    assert house.switches.is_on("research")
    house.switches.require("research")


async def test_every_row_that_changes_is_told_once(house: House) -> None:
    """Its own and those of what needs it, and nothing when nothing changes."""
    await house.turn("search", on=False)
    await house.turn("search", on=False)
    assert [(row["name"], row["enabled"], row["available"]) for row in house.told] == [
        ("search", False, False),
        ("research", True, False),
    ]


async def test_a_name_that_is_none_is_refused(house: House) -> None:
    """The gate and the safe directions have no name here."""
    assert await refusal(house.turn("gate", on=False)) == "unknown_capability"
    assert {"gate", "lock", "approvals", "safety"}.isdisjoint(NAMED)


async def test_only_an_admin_switches_and_everybody_may_look(house: House) -> None:
    """A token that only controls cannot silence the house."""
    control = Caller(token="t", scope=Scope.CONTROL)
    reader = Caller(token="r", scope=Scope.READ)
    wanted = house.run("capabilities.set", control, name="search", enabled=False)
    assert await refusal(wanted) == "scope_required"
    listed = await house.run("capabilities.list", reader)
    assert {row["name"] for row in listed["items"]} == set(NAMED)


# -- whose doing it was, and for how long -------------------------------------------------------------


async def test_who_switched_what_is_in_the_audit_trail_and_in_the_row(house: House) -> None:
    """A switch that stays as it was is no line."""
    await house.turn("search", on=False)
    await house.turn("search", on=False)
    about = {"capability": "search", "enabled": False, "token": "home"}
    assert house.trail == [(SET, "dan", about)]
    row = house.row("search")
    assert (row["changed_by"], row["changed_at"]) == ("dan", 1000.0)


async def test_nothing_is_switched_that_cannot_be_written_down(house: House) -> None:
    """The trail comes first."""
    house.broken = Unavailable("storage_failed", "The database cannot be used")
    assert await refusal(house.turn("search", on=False)) == "storage_failed"
    assert house.switches.is_on("search")


async def test_a_switch_stays_where_it_is_over_a_restart(database_url: str) -> None:
    """On both kinds of databases."""
    async with life(database_url) as first:
        await first.turn("vision", on=False)
        await first.turn("mqtt", on=False)
        await first.turn("mqtt", on=True)
    async with life(database_url) as second:
        assert [row["name"] for row in second.switches.rows() if not row["enabled"]] == ["vision"]
        assert second.told == []


async def test_what_another_brain_switched_is_taken_over_and_told(tmp_path: Path) -> None:
    """Two brains on one database have the same switches."""
    url = f"sqlite:///{tmp_path}/brain.db"
    async with life(url) as one, life(url) as other:
        await one.turn("mcp", on=False)
        assert other.switches.is_on("mcp")
        await other.switches.load()
        assert not other.switches.is_on("mcp")
        assert [row["name"] for row in other.told] == ["mcp"]


async def test_a_switch_of_a_part_that_no_longer_exists_harms_nothing(tmp_path: Path) -> None:
    """After an upgrade its row is passed over."""
    async with life(f"sqlite:///{tmp_path}/brain.db") as first:
        await first.turn("mcp", on=False)
    with closing(sqlite3.connect(tmp_path / "brain.db")) as raw, raw:
        raw.execute("UPDATE capabilities SET name = 'gone'")
    async with life(f"sqlite:///{tmp_path}/brain.db") as second:
        assert second.switches.is_on("mcp")


# -- what is not set up -------------------------------------------------------------------------------


async def test_a_part_that_is_not_set_up_says_so_until_it_is(house: House) -> None:
    """A client need not show its switch; the part tells how to see it."""
    models: list[str] = []
    house.switches.tell_set_up("models.far", lambda: bool(models))
    models.append("Claude")
    house.switches.look()
    house.switches.look()
    assert [(row["name"], row["set_up"]) for row in house.told] == [
        ("models.far", False),
        ("models.far", True),
    ]


async def test_what_is_known_before_the_switches_are_read_is_no_news(tmp_path: Path) -> None:
    """Everybody learns it with the rest."""
    database = Database(f"sqlite:///{tmp_path}/brain.db", tables.brain, name="brain", durable=False)
    await database.open()
    house = House(database)
    house.switches.tell_set_up("mqtt", lambda: False)
    await house.switches.load()
    await database.close()
    assert (house.told, house.row("mqtt")["set_up"]) == ([], False)


async def test_whether_a_part_is_set_up_is_looked_at_after_what_may_change_it(house: House) -> None:
    """And told behind it, so that no event overtakes another."""
    order: list[str] = []
    models: list[str] = []
    house.switches.tell_set_up("models.far", lambda: bool(models), "provider.updated")
    house.bus.listen(None, lambda event: order.append(event.name))
    models.append("Claude")
    house.bus.publish("provider.updated", {})
    await asyncio.sleep(0)  # whoever hears of it has its turn
    assert order == ["provider.updated", UPDATED]
    assert house.told[-1]["set_up"] is True


# -- who asks the switches ----------------------------------------------------------------------------


class Shelf:
    """A part with a command that is under a switch, and one that is not."""

    @command("shelf.put", Scope.CONTROL, capability="inventory")
    async def put(self, _caller: Caller, _params: NoParams) -> Json:
        """Put something there."""
        return {"put": True}

    @command("shelf.look", Scope.READ)
    async def look(self, _caller: Caller, _params: NoParams) -> Json:
        """Look at it."""
        return {"there": True}


async def test_a_command_of_a_part_that_is_off_is_refused(house: House) -> None:
    """And runs while it is on."""
    shelf = Dispatcher(collect(Shelf()), most=9, switches=house.switches)
    spec = shelf.spec("shelf.put")
    assert await shelf.run(spec, DAN, {}) == {"put": True}
    await house.turn("inventory", on=False)
    assert await refusal(shelf.run(spec, DAN, {})) == "capability_off"
    assert shelf.running == 0


async def test_a_command_under_no_switch_always_runs(house: House) -> None:
    """What is stored can be read."""
    shelf = Dispatcher(collect(Shelf()), most=9, switches=house.switches)
    await house.turn("inventory", on=False)
    assert await shelf.run(shelf.spec("shelf.look"), DAN, {}) == {"there": True}


async def test_who_may_not_run_it_is_told_that_first(house: House) -> None:
    """Whoever has no right learns nothing of the switches."""
    shelf = Dispatcher(collect(Shelf()), most=9, switches=house.switches)
    await house.turn("inventory", on=False)
    reader = Caller(token="r", scope=Scope.READ)
    assert await refusal(shelf.run(shelf.spec("shelf.put"), reader, {})) == "scope_required"


def test_a_command_under_a_switch_that_is_none_is_a_programming_error() -> None:
    """It is found when the brain starts, not when somebody needs it."""

    class Wrong:
        @command("wrong.put", Scope.CONTROL, capability="a switch that is none")
        async def put(self, _caller: Caller, _params: NoParams) -> Json:
            """Do nothing."""
            return {}

    with pytest.raises(ValueError, match=r"wrong\.put belongs to no capability"):
        Dispatcher(collect(Wrong()), most=9)


async def test_a_part_that_is_off_is_not_ill(house: House) -> None:
    """Nobody is woken because something was switched off; on again, it is ill again."""

    async def down() -> str | None:
        return "It does not answer"

    health = Health()
    health.add("mqtt", down, is_on=lambda: house.switches.is_on("mqtt"))
    await house.turn("mqtt", on=False)
    assert await health.run() == [{"name": "mqtt", "ok": True, "ms": 0.0, "detail": "off"}]
    await house.turn("mqtt", on=True)
    (part,) = await health.run()
    assert (part["ok"], part["detail"]) == (False, "It does not answer")


def test_every_switch_is_documented_with_its_needs() -> None:
    """docs/CAPABILITIES.md lists exactly these."""
    page = (ROOT / "docs" / "CAPABILITIES.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z.]+)` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    listed = [(name, tuple(re.findall(r"`([a-z.]+)`", needs))) for name, needs in rows]
    assert listed == [(one.name, one.needs) for one in ALL]


def test_every_switch_has_its_words_in_home_assistant() -> None:
    """Its name, and for each part that it needs why it does not work."""
    text = (ROOT / "custom_components/kitty/translations/en.json").read_text("utf-8")
    switches = json.loads(text)["entity"]["switch"]
    words = {key.removeprefix("capability_"): one for key, one in switches.items()}
    reasons = {
        one.name: set(
            words[one.name.replace(".", "_")]
            .get("state_attributes", {})
            .get("because", {})
            .get("state", {})
        )
        for one in ALL
    }
    assert reasons == {
        one.name: {need.replace(".", "_") for need in _all_needs(one.name)} for one in ALL
    }


def _all_needs(name: str) -> set[str]:
    """Return everything that a capability needs, by whatever detour."""
    needs = NAMED[name].needs
    return set(needs).union(*(_all_needs(need) for need in needs))
