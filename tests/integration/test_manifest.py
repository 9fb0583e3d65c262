"""What hassfest would say, and more: the files beside the code agree with the code."""

import ast
from collections.abc import Iterator
import json
from pathlib import Path
import re
import struct
import sys
import tomllib
from typing import Any, Final

from awesomeversion import AwesomeVersion
from homeassistant import loader
from homeassistant.components.brands.const import ALLOWED_IMAGES
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import service
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util.yaml import load_yaml_dict
import probatio as vol
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

# Parts of Home Assistant that are always there, and need no dependency.
BUILT_IN: Final = {
    "diagnostics",
    "homeassistant",
    "logbook",
    "persistent_notification",
    "person",
    "repairs",
    "system_health",
    "websocket_api",
    *Platform,
}
# Words that only a person's own text can fill: names that are placeholders as a whole.
PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")

TEXT: Final = vol.All(
    str,
    vol.Match(r"(?s)^\S(.*\S)?$", msg="space at an end"),
    vol.Match(r"(?s)^(?!.*<[a-zA-Z/]).*$", msg="HTML"),
    vol.Match(r"(?s)^(?!.*\[%key:).*$", msg="reference"),
    vol.Match(r"(?s)^(?!.*'\{).*$", msg="quoted placeholder"),
)
WORDS: Final = {vol.Match(r"^[a-z0-9_-]+$"): TEXT}
STEP: Final = {
    vol.Optional("title"): TEXT,
    vol.Optional("description"): TEXT,
    vol.Optional("data"): WORDS,
    vol.Optional("data_description"): WORDS,
    vol.Optional("sections"): {
        str: {
            vol.Optional("name"): TEXT,
            vol.Optional("description"): TEXT,
            vol.Optional("data"): WORDS,
            vol.Optional("data_description"): WORDS,
        }
    },
    vol.Optional("menu_options"): WORDS,
    vol.Optional("submit"): TEXT,
}
FLOW: Final = {
    vol.Optional("step"): {str: STEP},
    vol.Optional("error"): WORDS,
    vol.Optional("abort"): WORDS,
}
ISSUE: Final = vol.Any(
    {vol.Required("title"): TEXT, vol.Required("description"): TEXT},
    {vol.Required("title"): TEXT, vol.Required("fix_flow"): FLOW},
)
ENTITY: Final = {
    vol.Optional("name"): TEXT,
    vol.Optional("state"): WORDS,
    vol.Optional("unit_of_measurement"): TEXT,
    vol.Optional("state_attributes"): {
        str: {vol.Optional("name"): TEXT, vol.Optional("state"): WORDS}
    },
}
FIELDS: Final = {str: {vol.Required("name"): TEXT, vol.Required("description"): TEXT}}
STRINGS: Final = vol.Schema(
    {
        vol.Required("title"): TEXT,
        vol.Required("config"): FLOW | {vol.Optional("flow_title"): TEXT},
        vol.Optional("config_subentries"): {
            str: FLOW
            | {
                vol.Required("entry_type"): TEXT,
                vol.Required("initiate_flow"): {
                    vol.Required("user"): TEXT,
                    vol.Optional("reconfigure"): TEXT,
                },
            }
        },
        vol.Optional("options"): FLOW,
        vol.Optional("selector"): {
            str: {vol.Optional("options"): WORDS, vol.Optional("fields"): {str: {"name": TEXT}}}
        },
        vol.Optional("entity"): {vol.In(list(Platform)): {str: ENTITY}},
        vol.Optional("device"): {str: {vol.Required("name"): TEXT}},
        vol.Optional("exceptions"): {str: {vol.Required("message"): TEXT}},
        vol.Optional("issues"): {str: ISSUE},
        vol.Optional("services"): {
            str: {
                vol.Required("name"): TEXT,
                vol.Required("description"): TEXT,
                vol.Optional("fields"): FIELDS,
                vol.Optional("sections"): FIELDS,
            }
        },
        vol.Optional("system_health"): {vol.Required("info"): WORDS},
    }
)
ICON: Final = vol.Match(r"^mdi:[a-z0-9-]+$")
STATE_ICONS: Final = {vol.Required("default"): ICON, vol.Optional("state"): {str: ICON}}
ICONS: Final = vol.Schema(
    {
        vol.Optional("entity"): {
            vol.In(list(Platform)): {
                str: STATE_ICONS | {vol.Optional("state_attributes"): {str: STATE_ICONS}}
            }
        },
        vol.Optional("services"): {str: {vol.Required("service"): ICON}},
    }
)


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


def test_the_manifest_has_its_keys_in_the_order_that_hassfest_wants() -> None:
    """Domain and name first, then the alphabet."""
    rest = [key for key in MANIFEST if key not in ("domain", "name")]
    assert list(MANIFEST) == ["domain", "name", *sorted(rest)]


def test_the_manifest_has_only_keys_that_home_assistant_knows() -> None:
    """An unknown key is an error of hassfest."""
    assert set(MANIFEST) <= set(loader.Manifest.__annotations__) - {"is_built_in"}


async def test_home_assistant_loads_the_manifest(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """The loader itself accepts the integration, with its version and its flow."""
    integration = await loader.async_get_integration(hass, "kitty")
    assert integration.version == AwesomeVersion(MANIFEST["version"])
    assert integration.config_flow
    assert integration.integration_type == "hub"
    assert integration.iot_class == "local_push"


def test_the_version_is_the_version_of_the_project() -> None:
    """One release has one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert MANIFEST["version"] == project["version"]


def test_the_addresses_and_owners_of_the_manifest_have_the_form_that_is_asked_for() -> None:
    """HACS and hassfest both look at these."""
    assert MANIFEST["documentation"].startswith("https://")
    assert MANIFEST["issue_tracker"].startswith("https://")
    assert all(owner.startswith("@") for owner in MANIFEST["codeowners"])
    assert MANIFEST["domain"] == HERE.name


def test_every_component_that_is_imported_is_a_dependency() -> None:
    """Else it might not be set up when it is used."""
    declared = {*MANIFEST["dependencies"], *MANIFEST["after_dependencies"]}
    imported = {
        match.group(1)
        for path in HERE.glob("*.py")
        for match in re.finditer(r"homeassistant\.components(?:\.| import )(\w+)", path.read_text())
    }
    assert imported - BUILT_IN <= declared


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


def test_the_english_texts_have_the_form_that_home_assistant_wants() -> None:
    """No HTML, no references, no unknown part; an issue has a description or a fix flow."""
    STRINGS(EN)


async def test_home_assistant_reads_the_english_texts(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """The texts are found under the names by which the frontend asks for them."""
    found = await async_get_translations(hass, "en", "issues", {"kitty"})
    assert "component.kitty.issues.brain_unreachable.title" in found


def test_no_key_stands_twice_in_a_file() -> None:
    """The second would silently win."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    for path in (*HERE.glob("*.json"), *HERE.glob("translations/*.json")):
        json.loads(path.read_text(), object_pairs_hook=once)


def test_no_strings_json_is_shipped() -> None:
    """A custom integration has literal texts only."""
    assert not (HERE / "strings.json").exists()


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


def test_the_services_file_has_the_form_that_home_assistant_wants() -> None:
    """Checked by the very schema that Home Assistant uses."""
    service._SERVICES_SCHEMA(load_yaml_dict(str(HERE / "services.yaml")))


def test_every_action_and_field_has_its_words_and_every_action_its_icon() -> None:
    """services.yaml, en.json and icons.json name the same things."""
    described = load_yaml_dict(str(HERE / "services.yaml"))
    icons = json.loads((HERE / "icons.json").read_text())
    fields = {name: set((item or {}).get("fields") or {}) for name, item in described.items()}
    words = {name: set(item.get("fields", {})) for name, item in EN["services"].items()}
    assert words == fields
    assert set(icons["services"]) == set(fields)


def test_the_icons_have_the_form_that_home_assistant_wants() -> None:
    """Only Material Design icons, for parts that there are."""
    ICONS(json.loads((HERE / "icons.json").read_text()))


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
    in_actions = set(re.findall(r"translation_key: (\w+)", (HERE / "services.yaml").read_text()))
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


def test_the_quality_scale_answers_every_rule() -> None:
    """54 rules; each is done, or exempt with a reason."""
    scale = load_yaml_dict(str(HERE / "quality_scale.yaml"))["rules"]
    vol.Schema(
        {
            str: vol.Any(
                "done",
                {
                    vol.Required("status"): vol.In(["done", "exempt"]),
                    vol.Required("comment"): vol.All(str, vol.Length(min=10)),
                },
            )
        }
    )(scale)
    assert len(scale) == 54


@pytest.mark.parametrize("image", sorted(ALLOWED_IMAGES))
def test_every_image_of_the_brand_is_there_in_its_size(image: str) -> None:
    """Icons are square; the sharp ones twice as large."""
    header = (HERE / "brand" / image).read_bytes()[:24]
    width, height = struct.unpack(">II", header[16:24])
    side = 512 if "@2x" in image else 256
    assert header.startswith(b"\x89PNG")
    assert height == side
    assert (width == side) is ("icon" in image)
