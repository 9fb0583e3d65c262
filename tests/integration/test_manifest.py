"""The files beside the code agree with the code: words, icons, codes and keys; see also test_hassfest."""

import ast
from collections.abc import Iterator
import json
from pathlib import Path
import re
import sys
import tomllib
from typing import Any, Final

from homeassistant.const import Platform
import pytest

from custom_components.kitty import const

ROOT: Final = Path(__file__).parents[2]
HERE: Final = ROOT / "custom_components" / "kitty"
SOURCE: Final = "".join(path.read_text() for path in sorted(HERE.glob("*.py")))
MODULES: Final = {path.stem: ast.parse(path.read_text()) for path in HERE.glob("*.py")}
BRAIN: Final = [ast.parse(path.read_text()) for path in (ROOT / "brain_server").rglob("*.py")]
EN: Final[dict[str, Any]] = json.loads((HERE / "translations" / "en.json").read_text())
MANIFEST: Final[dict[str, Any]] = json.loads((HERE / "manifest.json").read_text())
PLATFORMS: Final = sorted(const.PLATFORMS)

# Words that only a person's own text can fill: names that are placeholders as a whole.
PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield every call of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def keyword(call: ast.Call, name: str) -> str | None:
    """Return a keyword argument that is written out."""
    for item in call.keywords:
        if item.arg == name and isinstance(item.value, ast.Constant):
            return str(item.value.value)
    return None


def descriptions(platform: str) -> set[tuple[str, bool]]:
    """Return the translation keys that a platform writes out, and whether its entity has a name."""
    return {
        (key, all(item.arg != "name" for item in call.keywords))
        for call in calls(MODULES[platform])
        if name_of(call).endswith("Description") and (key := keyword(call, "translation_key"))
    }


def error_classes(trees: list[ast.Module], *roots: str) -> set[str]:
    """Return the names of the error classes below some roots."""
    known = set(roots)
    bases = [
        (node.name, {base.id for base in node.bases if isinstance(base, ast.Name)})
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    for _ in range(4):
        known |= {name for name, above in bases if above & known}
    return known


def codes(trees: list[ast.Module], classes: set[str]) -> set[tuple[str, frozenset[str], bool]]:
    """Return each code that is raised, its fields, and whether all of them are written out."""
    return {
        (
            call.args[0].value,
            frozenset(item.arg for item in call.keywords if item.arg),
            all(item.arg for item in call.keywords),
        )
        for tree in trees
        for call in calls(tree)
        if name_of(call) in classes
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text of the translations with its place."""
    if isinstance(node, str):
        yield path, node
        return
    for key, value in node.items():
        yield from texts(value, f"{path}.{key}" if path else key)


OURS: Final = codes(
    list(MODULES.values()),
    error_classes(list(MODULES.values()), "KittyError", "Refused", "BrainError"),
)
THEIRS: Final = codes(BRAIN, error_classes(BRAIN, "KittyError") | {"Refusal"})


def test_the_version_is_the_version_of_the_project() -> None:
    """One release has one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert MANIFEST["version"] == project["version"]


def test_the_integration_imports_nothing_but_itself_home_assistant_and_its_requirements() -> None:
    """HACS ships this folder alone."""
    allowed = {"PIL", "aiohttp", "cryptography", "homeassistant", "probatio", "yarl"}
    imported = {
        name.split(".")[0]
        for tree in MODULES.values()
        for node in ast.walk(tree)
        for name in (
            [item.name for item in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) <= allowed


def test_every_field_of_a_form_is_explained() -> None:
    """Each label has its sentence of help, and no sentence is left over."""
    steps = [
        EN["config"]["step"],
        EN["options"]["step"],
        *(part["step"] for part in EN["config_subentries"].values()),
    ]
    fields = [step for part in steps for step in part.values() if "data" in step]
    assert fields
    assert [set(step["data"]) for step in fields] == [
        set(step["data_description"]) for step in fields
    ]


def test_every_icon_of_an_entity_belongs_to_an_entity() -> None:
    """An icon for a key that nobody has is a typing error."""
    icons = json.loads((HERE / "icons.json").read_text())["entity"]
    keys = {(platform, key) for platform, items in icons.items() for key in items}
    named = {(platform, key) for platform, items in EN["entity"].items() for key in items}
    unnamed = {(name, key) for name in PLATFORMS for key, _ in descriptions(name)}
    assert keys <= named | unnamed


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_says_how_many_updates_run_at_once(platform: str) -> None:
    """PARALLEL_UPDATES is set in each platform."""
    targets = {
        target.id
        for node in MODULES[platform].body
        for target in (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if isinstance(target, ast.Name)
    }
    assert "PARALLEL_UPDATES" in targets


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_translation_key_of_a_platform_has_words(platform: str) -> None:
    """An entity without words has no name in the frontend, unless it has the name of its device."""
    used = {key for key, named in descriptions(platform) if named}
    assert used <= set(EN["entity"].get(platform, {}))


def test_a_file_has_the_name_of_a_platform_only_if_it_is_one() -> None:
    """Home Assistant imports the file with the name of a platform when it looks for one."""
    assert set(MODULES) & {*Platform} == set(PLATFORMS)


def test_every_choice_of_a_form_has_words() -> None:
    """The translation keys of selectors are there."""
    used = {
        key
        for name in ("config_flow", "options_flow", "provider_flow", "subentry_flow")
        for call in calls(MODULES[name])
        if name_of(call).endswith("SelectorConfig") and (key := keyword(call, "translation_key"))
    }
    in_actions = {
        key
        for name in ("services.yaml", "triggers.yaml")
        for key in re.findall(r"translation_key: (\w+)", (HERE / name).read_text())
    }
    by_name = {name for name in EN["selector"] if f'"{name}"' in SOURCE}
    assert used | in_actions | by_name == set(EN["selector"])


@pytest.mark.parametrize("code", sorted({code for code, _, _ in OURS}))
def test_every_error_of_the_integration_has_words(code: str) -> None:
    """The code of an error is the key of its message."""
    assert code in EN["exceptions"]


@pytest.mark.parametrize("code", sorted({code for code, _, _ in THEIRS}))
def test_every_error_of_the_brain_has_words(code: str) -> None:
    """The code of an error is the key of its message."""
    assert code in EN["exceptions"]


def test_every_message_can_be_filled_in_from_the_fields_of_its_error() -> None:
    """A message that names a field which no error carries would show as a bare placeholder."""
    words = {code: item["message"] for code, item in EN["exceptions"].items()}
    short = {
        (code, name)
        for code, fields, whole in OURS | THEIRS
        if whole and code in words
        for name in set(PLACEHOLDER.findall(words[code])) - fields
    }
    assert not short


def test_every_exception_raised_by_its_key_has_words() -> None:
    """Also those that are raised without a class of their own."""
    used = {
        key
        for tree in MODULES.values()
        for call in calls(tree)
        if name_of(call)
        in {"HomeAssistantError", "ServiceValidationError", "UpdateFailed"}
        | {"ConfigEntryNotReady", "ConfigEntryAuthFailed", "ConfigEntryError"}
        and (key := keyword(call, "translation_key"))
    }
    assert used <= set(EN["exceptions"])


def test_every_issue_has_words_and_no_words_are_left_over() -> None:
    """The kinds of issues.py are the issues of the translations."""
    kinds = {
        node.value.value
        for node in MODULES["issues"].body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and node.target.id == str(node.value.value).upper()
    }
    assert kinds == set(EN["issues"])


def test_a_text_tells_people_about_apps_not_add_ons() -> None:
    """Home Assistant calls them apps."""
    assert [path for path, text in texts(EN) if "add-on" in text.lower()] == []
