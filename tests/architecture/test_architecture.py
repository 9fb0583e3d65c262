"""The shape of the house: who imports whom, who writes what, and what no line may do."""

from collections import defaultdict
from hashlib import sha256

from tests.architecture.tree import (
    PACKAGES,
    ROOT,
    TABLES,
    broad_handlers,
    calls,
    committed,
    cycles,
    functions,
    imports,
    is_bare_task,
    is_naive_time,
    module_of,
    modules,
    tables,
    text_of,
    writes,
)

BRAIN = "brain_server"

# A unit imports only units of a lower level, and itself. ``cad.*`` is one provider's file.
LEVELS = {
    "": 0,
    "protocol": 0,
    "errors": 0,
    "settings": 0,
    "bus": 1,
    "observability": 1,
    "storage": 1,
    "commands": 1,
    "fetch": 1,
    "gcode": 1,
    "lan": 1,
    "sse": 1,
    "retry": 1,
    "plugins": 1,
    "house": 1,
    "shape": 1,
    "breaker": 1,
    "llama_worker": 1,
    "vision_worker": 1,
    "metrics": 1,
    "tracing": 1,
    "drivers": 2,
    "providers": 2,
    "cad.*": 2,
    "logistics.packing": 2,
    "notify": 3,
    "memory": 3,
    "inventory": 3,
    "safety": 4,
    "devices": 5,
    "vision": 6,
    "routing": 6,
    "cad": 6,
    "logistics": 6,
    "fabrication": 7,
    "conversation": 7,
    "autonomy": 8,
    "api": 9,
    "workshop": 9,
    "app": 10,
    "__main__": 11,
}
# The few that lean on a unit of their own level; the test of circles still holds for them.
NEIGHBOURS = {
    ("settings", "errors"),
    ("storage", "retry"),
    ("storage", "metrics"),
    ("storage", "tracing"),
}

# The places, three at most, where any error may end.
BROAD_HANDLERS = {
    ("brain_server/api/dispatch.py", "_run"),  # logged, and answered as an internal error
    ("brain_server/storage/__init__.py", "_run_one"),  # handed to the thread that waits for it
    ("brain_server/devices/__init__.py", "_send"),  # a driver's mistake: the outcome is unknown
}

MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 80

# In parts, so that this file does not name them itself.
REGISTRIES = {
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
        ("conda", "anaconda", "org"),
    )
}
OUTSIDE = "shared" + "/"


def unit_of(name: str) -> str:
    """Return the row of LEVELS that a module of the brain belongs to."""
    inside = name.removeprefix(BRAIN).removeprefix(".")
    top, _, rest = inside.partition(".")
    second = f"{top}.{rest.partition('.')[0]}"
    if second in LEVELS:
        return second
    return f"{top}.*" if rest and f"{top}.*" in LEVELS else top


def may_import(mine: str, theirs: str) -> bool:
    """Whether one row of LEVELS may import another; everyone knows the package's version."""
    if not theirs or (mine, theirs) in NEIGHBOURS:
        return True
    below = LEVELS.get(mine, 0) - LEVELS.get(theirs, 0)
    return below > 0 or (below == 0 and mine.partition(".")[0] == theirs.partition(".")[0])


def test_every_module_of_the_brain_has_a_level() -> None:
    """A new unit is a decision: it gets a level here first."""
    assert {name: unit_of(name) for name in modules(BRAIN) if unit_of(name) not in LEVELS} == {}


def test_a_unit_imports_only_what_stands_below_it() -> None:
    """An import goes to a lower level, or stays inside the unit's own folder."""
    known = modules(BRAIN)
    edges = [
        (f"{module.place}:{line}", unit_of(module.name), unit_of(found))
        for module, target, line, _ in imports(BRAIN)
        if (found := module_of(target, known))
    ]
    assert [
        f"{place} {mine} imports {theirs}"
        for place, mine, theirs in edges
        if not may_import(mine, theirs)
    ] == []


def test_the_brain_knows_nothing_of_home_assistant() -> None:
    """The brain runs without Home Assistant installed."""
    foreign = ("homeassistant", "custom_components")
    assert [
        f"{found.module.place}:{found.line}"
        for found in imports(BRAIN)
        if found.target.split(".")[0] in foreign
    ] == []


def test_the_integration_imports_nothing_of_the_brain() -> None:
    """HACS ships only the integration's folder."""
    assert [
        f"{found.module.place}:{found.line}"
        for found in imports("custom_components")
        if found.target.split(".")[0] == BRAIN
    ] == []


def test_only_devices_imports_drivers() -> None:
    """No road reaches a device around the gate; app builds the registry."""
    assert [
        f"{found.module.place}:{found.line}"
        for found in imports(BRAIN)
        if found.target.startswith(f"{BRAIN}.drivers")
        and unit_of(found.module.name) not in {"devices", "drivers", "app"}
    ] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports that happen at run time, also inside functions, form no cycle."""
    known = modules(*PACKAGES)
    edges = defaultdict(set)
    for module, target, _, runtime in imports(*PACKAGES):
        found = module_of(target, known)
        if runtime and found not in {None, module.name}:
            edges[module.name].add(found)
    assert [" -> ".join(way) for way in cycles(edges)] == []


def test_no_file_is_too_long() -> None:
    """A file that passes the limit holds two ideas."""
    lengths = {
        module.place: len(module.path.read_text("utf-8").splitlines())
        for module in modules(*PACKAGES, "tests").values()
    }
    assert {place: lines for place, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    """A function fits on a screen."""
    assert [
        f"{module.place}:{function.lineno} {function.name}"
        for module in modules(*PACKAGES, "tests").values()
        for function in functions(module)
        if (function.end_lineno or 0) - function.lineno >= MAX_FUNCTION_LINES
        and "migrations" not in module.place  # a list of tables, not a thought
    ] == []


def test_both_sides_of_the_wire_have_the_same_protocol_file() -> None:
    """Neither side trusts the other's arithmetic, because it is the same arithmetic."""
    sides = [ROOT / BRAIN / "protocol.py", ROOT / "custom_components/kitty/protocol.py"]
    assert len({sha256(path.read_bytes()).hexdigest() for path in sides if path.exists()}) <= 1


def test_no_task_is_started_that_nobody_keeps() -> None:
    """A task is kept, named and cancelled by observability, a task group or Home Assistant."""
    assert [
        f"{module.place}:{call.lineno}"
        for module in modules(*PACKAGES).values()
        for call in calls(module)
        if is_bare_task(call) and unit_of(module.name) != "observability"
    ] == []


def test_every_error_is_caught_only_in_named_places() -> None:
    """What catches everything and goes on is a decision, made at most three times."""
    assert [
        f"{module.place}:{line} {function}"
        for module in modules(*PACKAGES).values()
        for function, line in broad_handlers(module)
        if (module.place, function) not in BROAD_HANDLERS
    ] == []
    assert len(BROAD_HANDLERS) <= 3


def test_no_time_is_naive() -> None:
    """Every datetime knows its zone."""
    assert [
        f"{module.place}:{call.lineno}"
        for module in modules(*PACKAGES).values()
        for call in calls(module)
        if is_naive_time(call)
    ] == []


def test_each_table_is_written_by_one_unit() -> None:
    """Who may insert, update or delete rows is one unit for each table."""
    writers = defaultdict(set)
    for module in modules(BRAIN).values():
        for table, _ in writes(module):
            writers[table].add(unit_of(module.name).partition(".")[0])
    assert {table: units for table, units in writers.items() if len(units) > 1} == {}
    assert bool(tables()) == (TABLES in modules(BRAIN))


def test_no_committed_file_names_a_registry_or_a_place_outside_the_project() -> None:
    """A clone builds wherever the person's own mirrors are."""
    assert [
        f"{path.relative_to(ROOT)}: {word}"
        for path in committed()
        for word in sorted({*REGISTRIES, OUTSIDE})
        if word in text_of(path)
    ] == []
