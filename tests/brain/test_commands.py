"""The list of verbs: made from methods, checked at the door, paged in one way."""

from enum import StrEnum
import itertools
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.commands import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    PROCESSING_TIMEOUT,
    STANDARD_TIMEOUT,
    SYSTEM,
    Caller,
    Command,
    NoParams,
    Page,
    Params,
    Scope,
    as_page,
    collect,
    command,
    input_schema,
    paged,
    prepare,
)
from brain_server.errors import Forbidden, InvalidRequest


class Doors:
    """Something with verbs."""

    @command("doors.list", Scope.READ, read_only=True, tool="List all doors.")
    async def list(self, _caller: Caller, _params: Page) -> str:
        """List the doors.

        And more that is not the summary.
        """
        return "listed"

    @command("doors.paint", Scope.CONTROL, timeout=PROCESSING_TIMEOUT, streams=True)
    async def paint(self, _caller: Caller, _params: NoParams, _emit: Any) -> str:
        """Paint a door."""
        return "painted"

    async def not_a_verb(self) -> None:
        """Nobody outside can say this."""


class Named(Params):
    """A parameter with a type."""

    name: str
    count: int = 1


def caller(scope: Scope) -> Caller:
    """Return a caller of some scope."""
    return Caller(token="t", scope=scope)


def test_verbs_are_the_marked_methods_in_order() -> None:
    """Sorted by name, with what their mark and their signature say."""
    found = collect(Doors())
    assert list(found) == ["doors.list", "doors.paint"]
    listing, painting = found.values()
    assert (listing.summary, listing.params, listing.timeout) == (
        "List the doors.",
        Page,
        STANDARD_TIMEOUT,
    )
    assert (listing.read_only, listing.streams) == (True, False)
    assert (painting.params, painting.timeout) == (NoParams, PROCESSING_TIMEOUT)
    assert (painting.read_only, painting.streams) == (False, True)


async def test_a_verb_runs_on_the_service_that_it_was_collected_from() -> None:
    """It is bound."""
    assert await collect(Doors())["doors.list"].run(SYSTEM, Page()) == "listed"


def test_two_verbs_of_one_name_are_a_mistake() -> None:
    """The list has each once."""
    with pytest.raises(ValueError, match=r"doors\.list"):
        collect(Doors(), Doors())


class Colour(StrEnum):
    """One of a few."""

    RED = "red"


class Paint(Params):
    """With what."""

    colour: Colour
    layers: list[Named] = []


def test_a_schema_holds_all_that_it_speaks_of() -> None:
    """A model cannot follow references."""
    schema = input_schema(Command(action="a", scope=Scope.READ, params=Paint))
    layer = {
        "title": "Named",
        "description": "A parameter with a type.",
        "type": "object",
        "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}},
        "required": ["name"],
        "additionalProperties": False,
    }
    colour = {"title": "Colour", "description": "One of a few.", "enum": ["red"]}
    assert schema == {
        "description": "With what.",
        "type": "object",
        "properties": {
            "colour": colour,
            "layers": {"type": "array", "items": layer, "default": []},
        },
        "required": ["colour"],
        "additionalProperties": False,
    }


def test_a_verb_is_no_tool_of_models_unless_it_says_so() -> None:
    """What is forgotten is not offered."""
    assert {spec.tool for spec in collect(Doors()).values()} == {"List all doors.", None}


PAIRS = list(itertools.product(Scope, Scope))


@pytest.mark.parametrize(("scope", "needed"), [pair for pair in PAIRS if pair[0] >= pair[1]])
def test_a_scope_includes_those_before_it(scope: Scope, needed: Scope) -> None:
    """Whoever may more may also do this."""
    spec = Command(action="a", scope=needed, params=NoParams)
    assert prepare(spec, caller(scope), {}) == NoParams()


@pytest.mark.parametrize(("scope", "needed"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_a_scope_includes_nothing_beyond_it(scope: Scope, needed: Scope) -> None:
    """The answer says which scope it takes."""
    spec = Command(action="a", scope=needed, params=NoParams)
    with pytest.raises(Forbidden) as caught:
        prepare(spec, caller(scope), {})
    assert caught.value.code == "scope_required"
    assert caught.value.fields == {"scope": needed.name.lower()}


def test_the_scope_is_asked_for_before_the_parameters() -> None:
    """Who may not do it learns nothing about how it is done."""
    spec = Command(action="a", scope=Scope.ADMIN, params=Named)
    with pytest.raises(Forbidden):
        prepare(spec, caller(Scope.READ), {"nonsense": 1})


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x", "count": "7"}, "count"),
        ({"name": "x", "count": 7.5}, "count"),
        ({"name": "x", "count": True}, "count"),
        ({"name": "x", "other": 1}, "other"),
        ({"name": None}, "name"),
        ([], "object"),
        ("text", "object"),
        (7, "object"),
        (None, "object"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_the_place(params: Any, word: str) -> None:
    """Nothing unknown, nothing missing, nothing of another type."""
    spec = Command(action="a", scope=Scope.READ, params=Named)
    with pytest.raises(InvalidRequest) as caught:
        prepare(spec, SYSTEM, params)
    assert caught.value.code == "invalid_params"
    assert word in caught.value.message


def test_an_address_may_spell_numbers_as_text() -> None:
    """In a query everything is text."""
    spec = Command(action="a", scope=Scope.READ, params=Named)
    assert prepare(spec, SYSTEM, {"name": "x", "count": "7"}, strict=False) == Named(
        name="x", count=7
    )


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1])
def test_a_page_has_its_bounds(limit: int) -> None:
    """At least one, at most a thousand."""
    with pytest.raises(ValueError, match="limit"):
        Page(limit=limit)


def test_a_page_has_a_hundred_unless_asked_otherwise() -> None:
    """The default is promised."""
    assert Page().limit == DEFAULT_LIMIT == 100


@settings(deadline=None)
@given(names=st.sets(st.text(min_size=1, max_size=3)), limit=st.integers(1, 7))
def test_pages_are_all_of_a_list_once_and_in_order(names: set[str], limit: int) -> None:
    """Whatever the names and however large the pages."""
    items = [{"id": name} for name in names]
    seen, cursor = [], None
    for _ in range(len(names) + 1):
        page = paged(items, Page(limit=limit, cursor=cursor))
        seen += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == sorted(names)


def test_the_last_page_has_no_cursor() -> None:
    """Also when it is full."""
    items = [{"id": str(number)} for number in range(4)]
    assert paged(items, Page(limit=4))["cursor"] is None
    assert paged(items, Page(limit=3))["cursor"] == "2"


def test_fields_that_are_not_there_are_left_out() -> None:
    """Without an error, so that one request serves several kinds of rows."""
    page = as_page([{"id": 1, "name": "x"}], Page(fields=["name", "other"]))
    assert page["items"] == [{"name": "x"}]
