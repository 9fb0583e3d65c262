"""Reads the source tree as syntax: modules, imports, handlers, calls and writes."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
import subprocess
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("brain_server", "custom_components")
TABLES = "brain_server.storage.tables"


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its dotted name, its path and its syntax tree."""

    name: str
    path: Path
    is_package: bool
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path as a person would type it."""
        return self.path.relative_to(ROOT).as_posix()


class Import(NamedTuple):
    """One import: by whom, of what, on which line, and whether it happens at run time."""

    module: Module
    target: str
    line: int
    runtime: bool


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules(*packages: str) -> dict[str, Module]:
    """Return the modules of these top folders by name."""
    paths = sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))
    return {
        (name := _name(path)): Module(
            name, path, path.stem == "__init__", ast.parse(path.read_text("utf-8"))
        )
        for path in paths
    }


@cache
def committed() -> tuple[Path, ...]:
    """Return the files that git keeps, or would keep while there is no commit."""
    born = subprocess.run(
        ["git", "rev-parse", "--quiet", "--verify", "HEAD"],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    also = ["--others", "--exclude-standard"] if born.returncode else []
    listed = subprocess.run(
        ["git", "ls-files", "--cached", *also], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return tuple(path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file())


def text_of(path: Path) -> str:
    """Return the text of a file, empty when it is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports_below(node: ast.AST, *, runtime: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, runtime
        else:
            yield from _imports_below(child, runtime=runtime and not _is_type_checking(child))


def _targets(module: Module, node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = module.name.split(".")
        up = node.level - module.is_package
        base = ".".join(
            (*parts[: len(parts) - up], *filter(None, [node.module]))
            if node.level
            else [node.module or ""]
        )
        yield from (f"{base}.{alias.name}" for alias in node.names)


def imports(*packages: str) -> Iterator[Import]:
    """Yield every import; ``from package import name`` has the target ``package.name``."""
    for module in modules(*packages).values():
        for node, runtime in _imports_below(module.tree, runtime=True):
            for target in _targets(module, node):
                yield Import(module, target, node.lineno, runtime)


def module_of(target: str, known: dict[str, Module]) -> str | None:
    """Return the known module that an import's target names or is a name of."""
    return next((name for name in (target, target.rpartition(".")[0]) if name in known), None)


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return one cycle for each group of modules that reach themselves."""
    found = []
    seen: set[str] = set()
    for start in sorted(edges):
        path = _path_back(start, edges)
        if path and not seen & set(path):
            found.append(path)
        seen |= set(path)
    return found


def _path_back(start: str, edges: dict[str, set[str]]) -> list[str]:
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for target in sorted(edges.get(way[-1], ())):
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module, also those inside others."""
    yield from (
        node
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _inside(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        name = child.name if is_function else function
        yield name, child
        yield from _inside(child, name)


def _names_everything(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(map(_names_everything, node.elts))
    return node is None or ast.unparse(node) in {"Exception", "BaseException"}


def catches_everything(node: ast.AST) -> bool:
    """Whether any error ends here: caught or suppressed, and not raised again."""
    if isinstance(node, ast.ExceptHandler):
        passes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        return _names_everything(node.type) and not passes_on
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("suppress")
        and any(map(_names_everything, node.args))
    )


def broad_handlers(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the function and line of what catches every error and does not pass it on."""
    for function, node in _inside(module.tree, "<module>"):
        if catches_everything(node):
            yield function, node.lineno


def calls(module: Module) -> Iterator[ast.Call]:
    """Yield every call of a module."""
    yield from (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def is_bare_task(call: ast.Call) -> bool:
    """Whether a call starts a task that nobody keeps; a task group's ``create_task`` is kept."""
    receiver, _, name = ast.unparse(call.func).rpartition(".")
    of_loop = receiver in {"", "asyncio"} or receiver.endswith(("loop", "loop()"))
    return name == "ensure_future" or (name == "create_task" and of_loop)


def is_naive_time(call: ast.Call) -> bool:
    """Whether a call makes a datetime or a date without saying where on Earth."""
    receiver, _, name = ast.unparse(call.func).rpartition(".")
    if receiver.rpartition(".")[2] not in {"datetime", "date"}:
        return False
    given = len(call.args) + len(call.keywords)
    wanted = {"now": 1, "fromtimestamp": 2, "utcnow": 9, "utcfromtimestamp": 9, "today": 9}
    return given < wanted.get(name, 0)


def tables() -> set[str]:
    """Return the names of the table objects."""
    return {
        ast.unparse(target)
        for name, module in modules("brain_server").items()
        if name.startswith(f"{TABLES}.")
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).rpartition(".")[2] == "Table"
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }


def _table_names(module: Module) -> dict[str, str]:
    """Return how this module spells each table: ``users``, ``tables.users``, ``user_table``."""
    spelled = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == TABLES:
            spelled |= {alias.asname or alias.name: alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module == TABLES.rpartition(".")[0]:
            holders = [alias.asname or alias.name for alias in node.names if alias.name == "tables"]
            spelled |= {f"{holder}.{table}": table for holder in holders for table in tables()}
    return {spelling: table for spelling, table in spelled.items() if table in tables()}


def writes(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the table and line of every insert, update and delete of a module."""
    spelled = _table_names(module)
    for call in calls(module):
        receiver, _, verb = ast.unparse(call.func).rpartition(".")
        subjects = [receiver, *map(ast.unparse, call.args[:1])]
        if verb.endswith(("insert", "update", "delete", "upsert")):
            yield from ((spelled[name], call.lineno) for name in subjects if name in spelled)
