"""What hassfest would say: nothing of the integration, and something of every copy that is broken on purpose."""

from collections.abc import Callable
import json
from pathlib import Path
import shutil
from typing import Any, Final

from awesomeversion import AwesomeVersion
from homeassistant import loader
from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations
import pytest

from . import hassfest

HERE: Final = Path(__file__).parents[2] / "custom_components" / "kitty"

type Breaking = Callable[[Path], None]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the integration that may be broken."""
    ignore = shutil.ignore_patterns("__pycache__", "frontend")
    return shutil.copytree(HERE, tmp_path / "kitty", ignore=ignore)


def changed(file: str, *path: str, to: Any = None) -> Breaking:
    """Return what sets a value in a JSON file, or takes it out."""

    def run(folder: Path) -> None:
        target = folder / file
        found = part = json.loads(target.read_text())
        for name in path[:-1]:
            part = part[name]
        part.pop(path[-1], None)
        part |= {} if to is None else {path[-1]: to}
        target.write_text(json.dumps(found))

    return run


def replaced(file: str, old: str, new: str) -> Breaking:
    """Return what replaces some text of a file."""

    def run(folder: Path) -> None:
        target = folder / file
        assert old in target.read_text()
        target.write_text(target.read_text().replace(old, new, 1))

    return run


def removed(file: str) -> Breaking:
    """Return what removes a file."""
    return lambda folder: (folder / file).unlink()


def written(file: str, content: bytes = b"{}") -> Breaking:
    """Return what writes a file."""

    def run(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return run


EN: Final = "translations/en.json"
PNG: Final = (HERE / "brand" / "icon.png").read_bytes()

BROKEN: Final[list[tuple[str, Breaking, str]]] = [
    ("every_json", written("icons.json", b"{,"), "icons.json: "),
    ("every_json", written("icons.json", b'{"a": 1, "a": 2}'), "a stands twice"),
    ("manifest", changed("manifest.json", "wifi", to=True), "wifi is no key"),
    ("manifest", changed("manifest.json", "iot_class", to="psychic"), "iot_class"),
    ("manifest", changed("manifest.json", "version"), "version"),
    ("manifest", changed("manifest.json", "version", to="one"), "no version"),
    ("manifest", changed("manifest.json", "codeowners", to=["kitty"]), "codeowners"),
    (
        "manifest",
        changed(
            "manifest.json",
            "documentation",
            to="https://www.home-assistant.io/integrations/kitty",
        ),
        "no address of its own",
    ),
    ("manifest", changed("manifest.json", "issue_tracker", to="http://kitty"), "no address"),
    ("manifest", changed("manifest.json", "requirements", to=["aiohttp>3"]), "requirements"),
    ("manifest", changed("manifest.json", "domain", to="cat"), "name of the folder"),
    ("manifest", changed("manifest.json", "name", to="KITTY"), "by the alphabet"),
    ("dependencies", changed("manifest.json", "dependencies", to=[]), "http is imported"),
    ("dependencies", written("more.py", b"import homeassistant.components.zha"), "zha is imported"),
    (
        "dependencies",
        written("home/more.py", b"from homeassistant.components import zha"),
        "zha is imported",
    ),
    ("dependencies", changed("manifest.json", "dependencies", to=["hjttp"]), "has no hjttp"),
    ("config_flow", removed("config_flow.py"), "config_flow.py: is not there"),
    ("config_flow", changed("manifest.json", "config_flow"), "no config_flow"),
    ("config_flow", replaced("__init__.py", "CONFIG_SCHEMA =", "SCHEMA ="), "no CONFIG_SCHEMA"),
    ("config_flow", changed("manifest.json", "ssdp", to=[{}]), "announced by ssdp"),
    ("called", removed("services.yaml"), "services.yaml: is not there"),
    ("called", removed("triggers.yaml"), "triggers.yaml: is not there"),
    ("called", removed("conditions.yaml"), "conditions.yaml: is not there"),
    ("called", changed(EN, "services", "heat"), "en.json: heat of services.yaml is missing"),
    ("called", changed(EN, "services", "heat", "fields", "bed"), "bed of service heat is missing"),
    ("called", changed(EN, "triggers", "approval_requested"), "approval_requested of triggers"),
    ("called", changed(EN, "conditions", "is_printing"), "is_printing of conditions"),
    ("called", changed("icons.json", "services", "heat"), "icons.json: heat of"),
    (
        "called",
        changed("icons.json", "triggers", "moon", to={"trigger": "mdi:moon"}),
        "moon is not",
    ),
    ("called", replaced("services.yaml", "text:\n", "txt:\n"), "services.yaml: "),
    ("strings", changed(EN, "title", to=" KITTY"), "space at an end"),
    ("strings", changed(EN, "title", to="<b>KITTY</b>"), "HTML"),
    ("strings", changed(EN, "title", to="[%key:common::title%]"), "reference"),
    ("strings", changed(EN, "title", to="It's '{name}'"), "quoted placeholder"),
    ("strings", changed(EN, "title", to="See https://kitty.example"), "address"),
    ("strings", changed(EN, "poems", to={"cat": "Meow"}), "poems"),
    ("strings", changed(EN, "issues", "dead_letters", "description"), "dead_letters"),
    ("strings", changed(EN, "issues", "dead_letters", "fix_flow", to={}), "dead_letters"),
    ("strings", written("strings.json"), "strings.json"),
    ("icons", changed("icons.json", "services", "heat", "service", to="hot.svg"), "heat"),
    ("icons", changed("icons.json", "entity", "fridge", to={}), "fridge"),
    ("brand", removed("brand/icon.png"), "icon.png: is not there"),
    ("brand", written("brand/icon@2x.png", PNG), "icon@2x.png: is no PNG of 512 pixels"),
    ("brand", written("brand/logo.png", PNG), "logo.png: has the wrong proportions"),
    ("brand", written("brand/cat.png", PNG), "cat.png: is no image of a brand"),
]


@pytest.mark.parametrize("name", sorted(hassfest.CHECKS))
def test_nothing_is_wrong_with_the_integration(name: str) -> None:
    """Each check that can be made without hassfest's own code."""
    assert list(hassfest.CHECKS[name](HERE)) == []


@pytest.mark.parametrize(("name", "breaking", "said"), BROKEN)
def test_a_fault_is_found(copy: Path, name: str, breaking: Breaking, said: str) -> None:
    """A check that can find nothing says nothing."""
    breaking(copy)
    assert said in "\n".join(hassfest.CHECKS[name](copy))


def test_every_check_has_found_a_fault() -> None:
    """None of them is left out above."""
    assert {name for name, _, _ in BROKEN} == set(hassfest.CHECKS)


async def test_home_assistant_loads_the_integration(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """The loader itself finds its version, its flow, and what it offers to automations."""
    integration = await loader.async_get_integration(hass, "kitty")
    manifest = json.loads((HERE / "manifest.json").read_text())
    assert integration.version == AwesomeVersion(manifest["version"])
    assert integration.config_flow
    assert (integration.has_services, integration.has_triggers) == (True, True)
    assert integration.has_conditions
    assert (integration.integration_type, integration.iot_class) == ("hub", "local_push")


async def test_home_assistant_reads_the_english_texts(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """The texts are found under the names by which the frontend asks for them."""
    found = await async_get_translations(hass, "en", "issues", {"kitty"})
    assert "component.kitty.issues.brain_unreachable.title" in found
