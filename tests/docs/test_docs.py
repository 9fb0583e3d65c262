"""The documents say what the code does."""

import dataclasses
import json
from pathlib import Path
import re
import tomllib

import pytest

from brain_server import __version__
from brain_server.app import Brain
from brain_server.protocol import INTENTS
from brain_server.settings import Settings
from tests.docs.facts import ROOT, error_codes

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text("utf-8")


def page(name: str) -> str:
    """Return one document."""
    return (ROOT / "docs" / name).read_text("utf-8")


def test_every_error_code_is_documented_and_no_other() -> None:
    """docs/ERRORS.md lists exactly the codes that the brain raises."""
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", page("ERRORS.md"), re.MULTILINE))
    assert listed == set(error_codes())


async def test_every_command_is_documented_and_no_other(tmp_path: Path) -> None:
    """docs/PROTOCOL.md lists exactly the verbs that the brain has."""
    brain = Brain(Settings(data_dir=tmp_path, port=0))
    await brain.start()
    commands = set(brain.dispatcher.commands)
    await brain.stop()
    table = page("PROTOCOL.md").partition("## Commands")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {action for cell in first_cells for action in re.findall(r"`([a-z_.]+)`", cell)}
    assert listed == commands


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/CONFIGURATION.md lists exactly the settings."""
    table = re.findall(
        r"^\| `([a-z_]+)` \| (?:`([^`]*)`)? ?\|", page("CONFIGURATION.md"), re.MULTILINE
    )
    fields = dataclasses.fields(Settings)
    assert dict(table) == {field.name: str(field.default) for field in fields}


def test_every_intent_is_documented_with_its_level() -> None:
    """docs/SAFETY.md gives the level of each intent."""
    cells = re.findall(
        r"\| ((?:`[a-z_]+` ?)+)(?:\([^)]*\) ?)?\| (low|medium|high)", page("SAFETY.md")
    )
    listed = {name: level for names, level in cells for name in re.findall(r"`([a-z_]+)`", names)}
    assert listed == {name: spec.hazard.value for name, spec in INTENTS.items()}


def test_the_version_is_the_same_everywhere() -> None:
    """Package, manifest and changelog tell one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    manifest = json.loads((ROOT / "custom_components/kitty/manifest.json").read_text("utf-8"))
    newest = re.search(
        r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert newest is not None
    assert {project, manifest["version"], newest[1]} == {__version__}


def test_the_readme_is_short() -> None:
    """Nobody reads more than 150 lines."""
    assert len(README.splitlines()) <= 150


def test_every_feature_in_the_readme_names_a_test_that_exists() -> None:
    """The table of features points to what proves them."""
    table = README.partition("## What works")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    proofs = [re.findall(r"`(tests/[^`]+)`", row) for row in rows]
    assert rows
    assert all(proofs)
    assert [path for row in proofs for path in row if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and image of a document exists."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_named_scripts_exist() -> None:
    """The README names only scripts that are there."""
    assert [
        name for name in re.findall(r"script/[a-z0-9]+", README) if not (ROOT / name).exists()
    ] == []
