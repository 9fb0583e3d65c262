"""The shape of the house: who imports whom, who writes what, and what no line may do."""

from collections import defaultdict
from hashlib import sha256
import json
import os
from pathlib import Path
import re
import subprocess
import sys

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

# A unit imports only units of a lower level, and itself.
LEVELS = {
    "": 0,
    "protocol": 0,
    "errors": 0,
    "settings": 0,
    "subprocesses": 0,
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
    "brokers": 2,
    "schedule": 2,
    "outbox": 2,
    "capabilities": 2,
    "diagnosis": 2,
    "notify": 3,
    "relay": 3,
    "cluster": 3,
    "memory": 3,
    "inventory": 3,
    "safety": 4,
    "addon": 5,
    "devices": 5,
    "vision": 6,
    "routing": 6,
    "fabrication": 7,
    "conversation": 7,
    "autonomy": 8,
    "api": 9,
    "workshop": 9,
    "background": 9,
    "app": 10,
    "__main__": 11,
}
# The few that lean on a unit of their own level; the test of circles still holds for them.
NEIGHBOURS = {
    ("settings", "errors"),
    ("storage", "retry"),
    ("storage", "metrics"),
    ("storage", "tracing"),
    ("schedule", "outbox"),
}

# The places, three at most, where any error may end.
BROAD_HANDLERS = {
    ("brain_server/api/dispatch.py", "_run"),  # logged, and answered as an internal error
    ("brain_server/storage/__init__.py", "_run_one"),  # handed to the thread that waits for it
    ("brain_server/devices/__init__.py", "_send"),  # a driver's mistake: the outcome is unknown
}

# What a brain imports for the first who needs it; so it is light until then.
LATE = {
    *("PIL", "_ast_unparse", "alembic", "cryptography", "csv", "numpy", "ortools", "psycopg"),
    *("rapidfuzz", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "statistics", "tracemalloc"),
    *(
        f"{BRAIN}.{name}"
        for name in (
            *("api.mcp", "api.openai_form", "api.openapi"),
            *("autonomy.rereading", "autonomy.research_run", "autonomy.research_words"),
            *("conversation.rules.names", "conversation.rules.understanding"),
            *("inventory.spoolman.telling", "inventory.spoolman.wire", "llama_worker.room"),
            *("memory.qdrant", "providers.mcp"),
        )
    ),
}

MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 80

# What passes over a finding and says no more.
SILENCED = re.compile(r"# (noqa(: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*)?|type: ignore(\[[^]]*\])?)\s*$")

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
    return inside.partition(".")[0]


def may_import(mine: str, theirs: str) -> bool:
    """Whether one row of LEVELS may import another; everyone knows the package's version."""
    if not theirs or (mine, theirs) in NEIGHBOURS:
        return True
    return mine == theirs or LEVELS.get(mine, 0) > LEVELS.get(theirs, 0)


def test_every_module_of_the_brain_has_a_level() -> None:
    """A new unit is a decision: it gets a level here first, and one that goes takes it away."""
    assert {unit_of(name) for name in modules(BRAIN)} == LEVELS.keys()


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


def test_an_idle_brain_imports_nothing_that_waits_for_somebody(tmp_path: Path) -> None:
    """What is needed once somebody asks is imported then: a brain that waits is light, and starts fast."""
    # What measures coverage imports things of its own.
    foreign = ("COVERAGE_", "KITTY_")
    with (
        (tmp_path / "imports").open("wb") as told,
        subprocess.Popen(
            [sys.executable, "-v", "-m", BRAIN, "serve", "--data-dir", tmp_path, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=told,
            env={name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            cwd=ROOT,
        ) as process,
    ):
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        process.terminate()
    lines = (tmp_path / "imports").read_text("utf-8", "replace")
    imported = set(re.findall(r"^import '([\w.]+)'", lines, re.MULTILINE))
    assert BRAIN + ".app" in imported
    assert LATE & imported == set()


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
            writers[table].add(unit_of(module.name))
    assert {table: units for table, units in writers.items() if len(units) > 1} == {}
    assert bool(tables()) == (TABLES in modules(BRAIN))


def test_each_exception_has_its_reason_beside_it() -> None:
    """What the tools are told to pass over is a decision, too."""
    assert [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in committed()
        if path.suffix == ".py"
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if SILENCED.search(line)
    ] == []


def test_no_committed_file_names_a_registry_or_a_place_outside_the_project() -> None:
    """A clone builds wherever the person's own mirrors are."""
    assert [
        f"{path.relative_to(ROOT)}: {word}"
        for path in committed()
        for word in sorted({*REGISTRIES, OUTSIDE})
        if word in text_of(path)
    ] == []
