"""What can do what, and what needs what."""

from tests.brain.home import Home
from tests.brain.stage import Scripts, far, near


async def edges(home: Home, **query: object) -> set[tuple[str, str, str]]:
    """Return the relations that fit, as triples."""
    found = await home.command("relations.query", query)
    return {(one["from"], one["relation"], one["to"]) for one in found["items"]}


async def test_it_is_told_who_can_do_something(home: Home, scripts: Scripts):
    await near(home, uses=["tools", "code"])
    await far(home, uses=["reasoning"])
    assert await edges(home, relation="can", of="use:code", direction="in") == {
        ("provider:Near", "can", "use:code")
    }
    assert await edges(home, relation="can", of="provider:Claude") == {
        ("provider:Claude", "can", "use:reasoning")
    }


async def test_it_is_told_what_depends_on_a_part_over_others(home: Home):
    await home.puppet("p", "printer", "shop", name="Printer A")
    found = await edges(
        home, relation="needs", of="part:safety_database", direction="in", transitive=True
    )
    assert ("ability:gate", "needs", "part:safety_database") in found
    assert ("device:Printer A", "needs", "ability:gate") in found
    near_only = await edges(home, relation="needs", of="part:safety_database", direction="in")
    assert near_only == {("ability:gate", "needs", "part:safety_database")}


async def test_a_printer_needs_the_supply_behind_it(home: Home):
    printer = await home.puppet("p", "printer", "shop", name="Printer A")
    await home.puppet("s", "power", "shop", name="Saw", feeds=printer.context.device_id)
    assert ("device:Printer A", "needs", "device:Saw") in await edges(
        home, relation="needs", of="device:Printer A"
    )


async def test_an_unknown_node_is_refused(home: Home):
    assert await home.refusal("relations.query", {"of": "device:Nothing"}) == "node_not_found"


async def test_the_best_worker_is_named_or_there_is_none(home: Home, scripts: Scripts):
    assert await home.refusal("relations.worker", {"use": "tools"}) == "no_worker"
    made = await near(home)
    assert (await home.command("relations.worker", {"use": "tools"}))["id"] == made
