"""What Home Assistant's own checker of integrations looks at, as far as its loaders and schemas can say it here.

Each check takes the folder of an integration and yields what is wrong with it, in words.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cache
import json
from pathlib import Path
import struct
from typing import Any, Final, get_args, get_type_hints

from awesomeversion import AwesomeVersion
from homeassistant import loader
import homeassistant.components
from homeassistant.components.brands.const import ALLOWED_IMAGES
from homeassistant.const import Platform
from homeassistant.helpers import condition, service
from homeassistant.helpers.trigger import descriptions as trigger
from homeassistant.util.yaml import load_yaml_dict
import probatio as vol

type Check = Callable[[Path], Iterator[str]]

CORE: Final = Path(homeassistant.components.__path__[0])
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
IOT_CLASSES: Final = (
    "assumed_state",
    "calculated",
    "cloud_polling",
    "cloud_push",
    "local_polling",
    "local_push",
)
TIERS: Final = ("bronze", "silver", "gold", "platinum")
# How a new device is announced; whatever finds one needs an id by which it is known again.
DISCOVERIES: Final = ("bluetooth", "dhcp", "homekit", "mqtt", "ssdp", "usb", "zeroconf")
VERSIONS: Final = (
    loader.AwesomeVersionStrategy.CALVER,
    loader.AwesomeVersionStrategy.SEMVER,
    loader.AwesomeVersionStrategy.SIMPLEVER,
    loader.AwesomeVersionStrategy.BUILDVER,
    loader.AwesomeVersionStrategy.PEP440,
)
_COMPONENT: Final = "homeassistant.components"


def _address(value: Any) -> str:
    """Take an address of the project's own, which Home Assistant's pages are not."""
    text = str(value)
    if not text.startswith("https://") or "home-assistant.io/integrations" in text:
        raise vol.Invalid("no address of its own")
    return text


def _version(value: Any) -> str:
    """Take a version that Home Assistant can compare."""
    if AwesomeVersion(value).strategy not in VERSIONS:
        raise vol.Invalid("no version")
    return str(value)


_KINDS: Final = get_args(get_type_hints(loader.Manifest)["integration_type"])
_WORDS: Final = [vol.Match(r"^[a-z0-9_]+$")]
MANIFEST: Final = vol.Schema(
    {
        vol.Required("domain"): vol.Match(r"^[a-z0-9_]+$"),
        vol.Required("name"): str,
        vol.Required("codeowners"): [vol.Match(r"^@[\w-]+$")],
        vol.Required("documentation"): _address,
        vol.Required("issue_tracker"): _address,
        vol.Required("iot_class"): vol.In(IOT_CLASSES),
        vol.Required("version"): _version,
        vol.Optional("integration_type"): vol.In(_KINDS),
        vol.Optional("config_flow"): bool,
        vol.Optional("dependencies"): _WORDS,
        vol.Optional("after_dependencies"): _WORDS,
        vol.Optional("requirements"): [vol.Match(r"^[\w.\[\]-]+==[\w.]+$")],
        vol.Optional("loggers"): [str],
        vol.Optional("quality_scale"): vol.In(TIERS),
        vol.Optional("single_config_entry"): bool,
        vol.Optional("import_executor"): bool,
        vol.Optional("dhcp"): [
            {
                vol.Optional("macaddress"): vol.Match(r"^[0-9A-F*?]+$"),
                vol.Optional("hostname"): vol.Match(r"^[a-z0-9*?_.-]+$"),
                vol.Optional("registered_devices"): True,
            }
        ],
        vol.Optional("zeroconf"): [vol.Match(r"^_[a-z0-9-]+\._(tcp|udp)\.local\.$")],
        vol.Optional("mqtt"): [str],
    }
)

TEXT: Final = vol.All(
    str,
    vol.Match(r"(?s)^\S(.*\S)?$", msg="space at an end"),
    vol.Match(r"(?s)^(?!.*<[a-zA-Z/]).*$", msg="HTML"),
    vol.Match(r"(?s)^(?!.*\[%key:).*$", msg="reference"),
    vol.Match(r"(?s)^(?!.*'\{).*$", msg="quoted placeholder"),
    vol.Match(r"(?s)^(?!.*https?://\w).*$", msg="address"),
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
    vol.Optional("menu_option_descriptions"): WORDS,
    vol.Optional("submit"): TEXT,
}
FLOW: Final = {
    vol.Optional("step"): {str: STEP},
    vol.Optional("error"): WORDS,
    vol.Optional("abort"): WORDS,
    vol.Optional("create_entry"): WORDS,
    vol.Optional("progress"): WORDS,
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
OF_AUTOMATIONS: Final = {
    str: {
        vol.Required("name"): TEXT,
        vol.Required("description"): TEXT,
        vol.Optional("fields"): FIELDS,
    }
}
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
        vol.Optional("triggers"): OF_AUTOMATIONS,
        vol.Optional("conditions"): OF_AUTOMATIONS,
        vol.Optional("system_health"): {vol.Required("info"): WORDS},
    }
)

ICON: Final = vol.Match(r"^mdi:[a-z0-9-]+$")
STATE_ICONS: Final = {
    vol.Optional("default"): ICON,
    vol.Optional("state"): {str: ICON},
    vol.Optional("range"): {str: ICON},
}
ICONS: Final = vol.Schema(
    {
        vol.Optional("entity"): {
            vol.In(list(Platform)): {
                str: STATE_ICONS | {vol.Optional("state_attributes"): {str: STATE_ICONS}}
            }
        },
        vol.Optional("services"): {str: {vol.Required("service"): ICON}},
        vol.Optional("triggers"): {str: {vol.Required("trigger"): ICON}},
        vol.Optional("conditions"): {str: {vol.Required("condition"): ICON}},
    }
)

# What can be called or chosen: its file, the schema that Home Assistant reads it by, and its icon.
_CALLED: Final = {
    "services": (service._SERVICES_SCHEMA, "service"),
    "triggers": (trigger._TRIGGERS_DESCRIPTION_SCHEMA, "trigger"),
    "conditions": (condition._CONDITIONS_DESCRIPTION_SCHEMA, "condition"),
}
# What in the code says that such a file belongs to it.
_BY: Final = {
    "services": ("async_register", "async_register_admin_service"),
    "triggers": ("async_get_triggers",),
    "conditions": ("async_get_conditions",),
}


def every_json(folder: Path) -> Iterator[str]:
    """Every file that says it is JSON is, and none has a key twice: the second would silently win."""
    for path in sorted(folder.rglob("*.json")):
        twice: list[str] = []
        try:
            json.loads(path.read_text(), object_pairs_hook=_noting(twice))
        except ValueError as err:
            yield f"{path.name}: {err}"
        yield from (f"{path.name}: {key} stands twice" for key in twice)


def _noting(twice: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return what makes an object of pairs, and notes the keys that come again."""

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    return made


def manifest(folder: Path) -> Iterator[str]:
    """The manifest has the keys that there are, in their order and their form."""
    found = _json(folder, "manifest.json")
    yield from _against(MANIFEST, found, "manifest.json")
    unknown = set(found) - set(loader.Manifest.__annotations__) | (set(found) & {"is_built_in"})
    yield from (f"manifest.json: {key} is no key" for key in sorted(unknown))
    rest = sorted(key for key in found if key not in ("domain", "name"))
    if list(found) != ["domain", "name", *rest]:
        yield "manifest.json: the keys are not domain, name and then by the alphabet"
    if found.get("domain") != folder.name:
        yield "manifest.json: the domain is not the name of the folder"
    if (CORE / folder.name).exists():
        yield "manifest.json: Home Assistant has an integration of this name"


def dependencies(folder: Path) -> Iterator[str]:
    """Every component that is imported is set up before, and every dependency is one that there is."""
    found = _json(folder, "manifest.json")
    declared = {*found.get("dependencies", ()), *found.get("after_dependencies", ())}
    imported = {name for path in _modules(folder) for name in _components(path)}
    for name in sorted(imported - declared - BUILT_IN - {folder.name}):
        yield f"manifest.json: {name} is imported and no dependency"
    for name in sorted(declared):
        if not (CORE / name / "manifest.json").exists():
            yield f"manifest.json: Home Assistant has no {name}"


def _components(path: Path) -> Iterator[str]:
    """Yield the components of Home Assistant that a module imports."""
    for node in ast.walk(_tree(path.read_text())):
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{item.name}" for item in node.names]
        else:
            continue
        for name in names:
            if name.startswith(f"{_COMPONENT}."):
                yield name.removeprefix(f"{_COMPONENT}.").partition(".")[0]


def config_flow(folder: Path) -> Iterator[str]:
    """What is set up by a flow has one, refuses YAML, and knows again what was announced."""
    found = _json(folder, "manifest.json")
    flow = folder / "config_flow.py"
    if not found.get("config_flow"):
        if flow.exists():
            yield "manifest.json: there is a flow and no config_flow"
        return
    if not flow.exists():
        yield "config_flow.py: is not there"
        return
    names = {name for path in _modules(folder) for name in _defined(path)}
    called = {name for path in _modules(folder) for name in _called(path)}
    for kind in DISCOVERIES:
        if kind in found and f"async_step_{kind}" not in names:
            yield f"config_flow.py: nothing takes what is announced by {kind}"
    if set(DISCOVERIES) & set(found) and "async_set_unique_id" not in called:
        yield "config_flow.py: what is announced has no unique id"
    if "CONFIG_SCHEMA" not in _assigned(folder / "__init__.py"):
        yield "__init__.py: no CONFIG_SCHEMA"


def called(folder: Path) -> Iterator[str]:
    """Each action, trigger and condition has its form, its words and its icon; and none has too much."""
    english, icons = _json(folder, "translations/en.json"), _json(folder, "icons.json")
    names = {name for path in _modules(folder) for name in (*_defined(path), *_called(path))}
    for group, (schema, one) in _CALLED.items():
        file = folder / f"{group}.yaml"
        if not file.exists():
            if names & set(_BY[group]):
                yield f"{group}.yaml: is not there"
            continue
        described = load_yaml_dict(str(file))
        yield from _against(schema, described, file.name)
        shown = {name: item for name, item in described.items() if not name.startswith(".")}
        words = english.get(group, {})
        yield from _same(shown, words, f"{group}.yaml", "en.json")
        yield from _same(shown, icons.get(group, {}), f"{group}.yaml", "icons.json")
        for name in shown.keys() & words.keys():
            fields = (shown[name] or {}).get("fields") or {}
            told = words[name].get("fields", {})
            yield from _same(fields, told, f"{one} {name}", "en.json")


def strings(folder: Path) -> Iterator[str]:
    """The English texts have the form that Home Assistant wants: plain, and nothing that nobody knows."""
    yield from _against(STRINGS, _json(folder, "translations/en.json"), "en.json")
    if (folder / "strings.json").exists():
        yield "strings.json: is for integrations of Home Assistant itself"


def icons(folder: Path) -> Iterator[str]:
    """The icons are Material Design ones, for parts that there are."""
    yield from _against(ICONS, _json(folder, "icons.json"), "icons.json")


def brand(folder: Path) -> Iterator[str]:
    """Icons are square, the sharp ones twice as large; a logo is as high."""
    there = {path.name for path in (folder / "brand").glob("*")}
    yield from (f"{name}: is no image of a brand" for name in sorted(there - ALLOWED_IMAGES))
    for name in sorted(ALLOWED_IMAGES):
        if name not in there:
            yield f"{name}: is not there"
            continue
        header = (folder / "brand" / name).read_bytes()[:24]
        width, height = struct.unpack(">II", header[16:24])
        side = 512 if "@2x" in name else 256
        if not header.startswith(b"\x89PNG") or height != side:
            yield f"{name}: is no PNG of {side} pixels"
        elif (width == side) is not ("icon" in name):
            yield f"{name}: has the wrong proportions"


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        every_json,
        manifest,
        dependencies,
        config_flow,
        called,
        strings,
        icons,
        brand,
    )
}


def _json(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


@cache
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _against(schema: Any, found: Any, where: str) -> Iterator[str]:
    """Yield what a schema says of something."""
    try:
        schema(found)
    except vol.MultipleInvalid as err:
        yield from (f"{where}: {one}" for one in err.errors)
    except vol.Invalid as err:
        yield f"{where}: {err}"


def _same(one: Any, other: Any, here: str, there: str) -> Iterator[str]:
    """Yield what stands in one of two files only."""
    yield from (f"{there}: {name} of {here} is missing" for name in sorted(set(one) - set(other)))
    yield from (f"{there}: {name} is not in {here}" for name in sorted(set(other) - set(one)))


def _defined(path: Path) -> Iterator[str]:
    """Yield the names of the functions of a module."""
    for node in ast.walk(_tree(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def _called(path: Path) -> Iterator[str]:
    """Yield the names of what a module calls."""
    for node in ast.walk(_tree(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id


def _assigned(path: Path) -> set[str]:
    """Return the names that a module assigns at its top."""
    return {
        target.id
        for node in _tree(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
