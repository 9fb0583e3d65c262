"""What Home Assistant will take away, by the release that does, and that we do not lean on it."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

type Finder = Callable[[ast.AST], bool]

HERE: Final = Path(__file__).parents[2] / "custom_components" / "kitty"
TREES: Final = {
    str(path.relative_to(HERE)): ast.parse(path.read_text()) for path in sorted(HERE.rglob("*.py"))
}


def _name(node: ast.AST) -> str:
    """Return the last part of a name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def called(name: str, *, without: str | None = None, using: str | None = None) -> Finder:
    """Return what finds calls of a name, those that lack a keyword, or those that have one."""

    def find(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or _name(node.func) != name:
            return False
        keywords = {item.arg for item in node.keywords}
        if without is not None:
            return without not in keywords
        return using is None or using in keywords

    return find


def read(name: str, *, of: str) -> Finder:
    """Return what finds an attribute of something that bears a name."""

    def find(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == name and _name(node.value) == of

    return find


def imported(name: str) -> Finder:
    """Return what finds that a name is imported."""

    def find(node: ast.AST) -> bool:
        return isinstance(node, ast.alias) and node.name == name

    return find


def named(name: str) -> Finder:
    """Return what finds a name, also where it is imported."""

    def find(node: ast.AST) -> bool:
        return _name(node) == name or (isinstance(node, ast.alias) and node.name == name)

    return find


def _answers_with_a_dict(node: ast.AST) -> bool:
    """Tell whether a tool of language models answers with plain data."""
    return (
        isinstance(node, ast.AsyncFunctionDef)
        and node.name == "async_call"
        and node.returns is not None
        and ast.unparse(node.returns).rpartition(".")[2] != "ToolResult"
    )


def _tool_without_integration(node: ast.AST) -> bool:
    """Tell whether a tool says neither whose it is nor inherits it."""
    if not isinstance(node, ast.ClassDef) or "Tool" not in {_name(one) for one in node.bases}:
        return False
    assigned = {_name(one.targets[0]) for one in node.body if isinstance(one, ast.Assign)}
    return "integration" not in assigned


# The release, what goes with it, how it is found, and a line that would lean on it.
REMOVALS: Final[list[tuple[str, str, Finder, str]]] = [
    (
        "2026.12",
        "a listener for updates beside an options flow that reloads",
        named("OptionsFlowWithReload"),
        "from homeassistant.config_entries import OptionsFlowWithReload",
    ),
    (
        "2026.12",
        "an options flow that is given its entry",
        named("OptionsFlowWithConfigEntry"),
        "class Flow(OptionsFlowWithConfigEntry): pass",
    ),
    (
        "2027.1",
        "a function that registers for system health",
        imported("async_register_info"),
        "from homeassistant.components.system_health import async_register_info",
    ),
    (
        "2027.5",
        "a form that does not name its step",
        called("async_show_form", without="step_id"),
        "self.async_show_form(data_schema=s)",
    ),
    (
        "2027.5",
        "a menu that does not name its step",
        called("async_show_menu", without="step_id"),
        "self.async_show_menu(menu_options=[])",
    ),
    (
        "2027.5",
        "a chat session without a context",
        called("async_get_chat_session", without="context"),
        "async_get_chat_session(hass, None)",
    ),
    (
        "2027.8",
        "the hub of a device by its identifier",
        called("DeviceInfo", using="via_device"),
        "DeviceInfo(via_device=('kitty', 'x'))",
    ),
    (
        "2027.8",
        "a device by identifiers alone",
        called("async_get_device"),
        "registry.async_get_device(identifiers=set())",
    ),
    (
        "2027.8",
        "taking an entry from a device",
        called("async_update_device", using="remove_config_entry_id"),
        "registry.async_update_device('x', remove_config_entry_id='y')",
    ),
    (
        "2027.10",
        "the entries of a device",
        read("config_entries", of="device"),
        "device.config_entries",
    ),
    (
        "2027.10",
        "the first entry of a device",
        named("primary_config_entry"),
        "device.primary_config_entry",
    ),
    (
        "2027.10",
        "a tool that does not say whose it is",
        _tool_without_integration,
        "class Look(Tool):\n    name = 'look'",
    ),
    (
        "2027.11",
        "a tool that answers with plain data",
        _answers_with_a_dict,
        "async def async_call(self) -> dict[str, str]: ...",
    ),
    (
        "gone",
        "the old checker of forms",
        named("voluptuous"),
        "import voluptuous",
    ),
    (
        "gone",
        "the suggested area of a device",
        read("suggested_area", of="device"),
        "device.suggested_area",
    ),
]


def found(trees: dict[str, ast.Module], finder: Finder) -> Iterator[str]:
    """Yield where something is leant on."""
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if finder(node):
                yield f"{name}:{getattr(node, 'lineno', '?')}"


@pytest.mark.parametrize(("release", "what", "finder", "line"), REMOVALS)
def test_we_do_not_lean_on_what_goes(release: str, what: str, finder: Finder, line: str) -> None:
    """Each removal that concerns integrations such as ours."""
    assert list(found(TREES, finder)) == [], f"{what} goes with {release}"


@pytest.mark.parametrize(("release", "what", "finder", "line"), REMOVALS)
def test_it_would_be_seen(release: str, what: str, finder: Finder, line: str) -> None:
    """The line that leans on it is found."""
    assert list(found({"x.py": ast.parse(line)}, finder)), f"{what} goes with {release}"
