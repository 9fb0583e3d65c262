"""The rules of Home Assistant's quality scale, each with what proves it in this repository.

A proof takes the house (the files of a checkout) and yields what is missing, in words.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
import json
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.const import Platform
from homeassistant.util.yaml import load_yaml_dict

from . import hassfest

type Proof = Callable[[House], Iterator[str]]

# In the order of Home Assistant's own files.
TIERS: Final = {
    "bronze": (
        "action-setup appropriate-polling brands common-modules config-flow config-flow-test-coverage "
        "dependency-transparency docs-actions docs-conditions docs-high-level-description "
        "docs-installation-instructions docs-removal-instructions docs-triggers entity-event-setup entity-unique-id "
        "has-entity-name runtime-data test-before-configure test-before-setup unique-config-entry"
    ),
    "silver": (
        "action-exceptions config-entry-unloading docs-configuration-parameters docs-installation-parameters "
        "entity-unavailable integration-owner log-when-unavailable parallel-updates reauthentication-flow test-coverage"
    ),
    "gold": (
        "devices diagnostics discovery discovery-update-info docs-data-update docs-examples docs-known-limitations "
        "docs-supported-devices docs-supported-functions docs-troubleshooting docs-use-cases dynamic-devices "
        "entity-category entity-device-class entity-disabled-by-default entity-translations exception-translations "
        "icon-translations reconfiguration-flow repair-issues stale-devices"
    ),
    "platinum": "async-dependency inject-websession strict-typing",
}
RULES: Final = tuple(rule for rules in TIERS.values() for rule in rules.split())

# An answer shorter than this says nothing.
SHORTEST_SECTION: Final = 80


@dataclass(frozen=True)
class House:
    """The files of a checkout; what is not there is empty."""

    root: Path

    @property
    def folder(self) -> Path:
        """Return the folder of the integration."""
        return self.root / "custom_components" / "kitty"

    def text(self, name: str) -> str:
        """Return a file of the checkout."""
        path = self.root / name
        return path.read_text() if path.is_file() else ""

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the integration."""
        found: dict[str, Any] = json.loads(self.text(f"custom_components/kitty/{name}") or "{}")
        return found

    def yaml(self, name: str) -> dict[str, Any]:
        """Return a YAML file of the integration, without its anchors."""
        path = self.folder / name
        found = load_yaml_dict(str(path)) if path.is_file() else {}
        return {key: item for key, item in found.items() if not key.startswith(".")}

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """Return the modules of the integration, those of folders below it with a point."""
        return {
            ".".join(path.relative_to(self.folder).with_suffix("").parts): _tree(path.read_text())
            for path in sorted(self.folder.rglob("*.py"))
        }

    @cached_property
    def platforms(self) -> dict[str, ast.Module]:
        """Return the modules that are platforms of entities."""
        return {name: tree for name, tree in self.modules.items() if name in {*Platform}}

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """Return every class of the integration."""
        return [
            node
            for tree in self.modules.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        ]

    @cached_property
    def calls(self) -> list[ast.Call]:
        """Return every call of the integration."""
        return [
            node
            for tree in self.modules.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        ]

    @cached_property
    def documents(self) -> str:
        """Return all that is written for people."""
        paths = [*self.root.glob("*.md"), *sorted((self.root / "docs").glob("*.md"))]
        return "\n".join(path.read_text() for path in paths)

    @cached_property
    def tests(self) -> set[str]:
        """Return the names of the tests of the integration, with their file."""
        return {
            f"{path.stem}::{node.name}"
            for path in (self.root / "tests" / "integration").rglob("test_*.py")
            for node in _tree(path.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def snapshots(self) -> str:
        """Return the registered entities, as the tests keep them."""
        folder = self.root / "tests" / "integration" / "snapshots"
        return "\n".join(path.read_text() for path in sorted(folder.glob("*.ambr")))


@cache
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


def name_of(node: ast.AST) -> str:
    """Return the last part of a name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return name_of(value)
        case _:
            return ""


def tested(*names: str) -> Proof:
    """Return the proof that tests are there: ``file::sentence``, without the words "test_"."""

    def proof(house: House) -> Iterator[str]:
        for name in names:
            file, sentence = name.split("::")
            if f"test_{file}::test_{sentence}" not in house.tests:
                yield f"no test {name}"

    return proof


def written(file: str, heading: str) -> Proof:
    """Return the proof that a document has a section that says something."""

    def proof(house: House) -> Iterator[str]:
        level = re.search(rf"(?m)^(#+) {re.escape(heading)}$", house.text(file))
        body = house.text(file)[level.end() :] if level else ""
        if level:
            body = re.split(rf"(?m)^#{{1,{len(level[1])}}} ", body)[0]
        if len(body.strip()) < SHORTEST_SECTION:
            yield f"{file} says nothing under {heading!r}"

    return proof


def has(module: str, *functions: str) -> Proof:
    """Return the proof that a module, or a class in it, has these functions."""

    def proof(house: House) -> Iterator[str]:
        tree = house.modules.get(module, ast.Module())
        found = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        yield from (f"{module}.py has no {name}" for name in functions if name not in found)

    return proof


def hassfests(name: str) -> Proof:
    """Return the proof that one of the checks of hassfest finds nothing."""

    def proof(house: House) -> Iterator[str]:
        try:
            yield from hassfest.CHECKS[name](house.folder)
        except FileNotFoundError as err:
            yield str(err)

    return proof


def all_of(*proofs: Proof) -> Proof:
    """Return the proof of several things."""

    def proof(house: House) -> Iterator[str]:
        for one in proofs:
            yield from one(house)

    return proof


def called(*names: str) -> Proof:
    """Return the proof that the integration calls these."""

    def proof(house: House) -> Iterator[str]:
        found = {name_of(call.func) for call in house.calls}
        yield from (f"nothing calls {name}" for name in names if name not in found)

    return proof


def never_called(*names: str) -> Proof:
    """Return the proof that the integration calls none of these, and that it calls something."""

    def proof(house: House) -> Iterator[str]:
        found = [name_of(call.func) for call in house.calls]
        yield from (f"{name} is called" for name in names if name in found)
        if not found:
            yield "nothing is called"

    return proof


def _action_setup(house: House) -> Iterator[str]:
    """Yield where actions are registered but in the set-up of the integration."""
    setup = _function(house, "__init__", "async_setup")
    called = {name_of(node.func) for node in ast.walk(setup) if isinstance(node, ast.Call)}
    if "async_setup_services" not in called:
        yield "async_setup registers no actions"
    by = {
        name
        for name, tree in house.modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "async_register"
        and name_of(node.value) == "services"
    }
    if by != {"services"}:
        yield f"actions are registered by {sorted(by)}"


def _function(house: House, module: str, name: str) -> ast.AST:
    """Return a function of a module; an empty one where there is none."""
    for node in ast.walk(house.modules.get(module, ast.Module())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node
    return ast.Module()


def _common_modules(house: House) -> Iterator[str]:
    """Yield which of the two common modules has not what belongs there."""
    for module, base in (
        ("coordinator", "DataUpdateCoordinator"),
        ("entity", "CoordinatorEntity"),
    ):
        tree = house.modules.get(module, ast.Module())
        bases = {
            name_of(one)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for one in node.bases
        }
        if base not in bases:
            yield f"{module}.py has no {base}"


def _explained_fields(house: House) -> Iterator[str]:
    """Yield the fields of forms without a sentence of help."""
    english = house.json("translations/en.json")
    parts = [english.get("config", {}), english.get("options", {})]
    parts += english.get("config_subentries", {}).values()
    steps = [step for part in parts for step in part.get("step", {}).values()]
    if not steps:
        yield "no form"
    for step in steps:
        unexplained = set(step.get("data", {})) - set(step.get("data_description", {}))
        yield from (f"{name} is not explained" for name in sorted(unexplained))


def _documented(file: str) -> Proof:
    """Return the proof that everything in a file that can be called or chosen is written about."""

    def proof(house: House) -> Iterator[str]:
        known = house.yaml(file)
        if not known:
            yield f"{file} is empty"
        for name in sorted(known):
            if not re.search(rf"\bkitty\.{name}\b", house.documents):
                yield f"kitty.{name} is not documented"

    return proof


def _installation_parameters(house: House) -> Iterator[str]:
    """Yield the fields of the first form that the page of the integration does not name."""
    steps = house.json("translations/en.json").get("config", {}).get("step", {})
    labels = steps.get("brain", {}).get("data", {}).values()
    page = house.text("docs/INTEGRATION.md")
    yield from (f"{label} is not documented" for label in labels if f"| {label} |" not in page)
    if not labels:
        yield "no form"


def _configuration_parameters(house: House) -> Iterator[str]:
    """Yield the pages of the options that the page of the configuration does not name."""
    step = house.json("translations/en.json").get("options", {}).get("step", {}).get("init", {})
    labels = [text.partition(":")[0] for text in step.get("menu_options", {}).values()]
    page = house.text("docs/CONFIGURATION.md")
    yield from (f"{label} is not documented" for label in labels if f"| {label} |" not in page)
    if not labels:
        yield "no options"


def _entity_classes(house: House) -> Iterator[tuple[ast.ClassDef, set[str]]]:
    """Yield the classes of entities, with the names that they set by themselves or by a base here."""
    by_name = {one.name: one for one in house.classes}

    def assigned(one: ast.ClassDef) -> set[str]:
        found = {
            name_of(target)
            for node in ast.walk(one)
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        }
        for base in one.bases:
            if (above := by_name.get(name_of(base))) is not None:
                found |= assigned(above)
        return found

    for tree in house.platforms.values():
        for node in tree.body:
            bases = [name_of(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.ClassDef) and any(
                base.endswith(("Entity", "Sensor", "Camera")) for base in bases
            ):
                yield node, assigned(node)


def sets(attribute: str) -> Proof:
    """Return the proof that every class of entities sets an attribute."""

    def proof(house: House) -> Iterator[str]:
        found = list(_entity_classes(house))
        yield from (
            f"{one.name} sets no {attribute}" for one, names in found if attribute not in names
        )
        if not found:
            yield "no entities"

    return proof


def _entity_event_setup(house: House) -> Iterator[str]:
    """Yield the entities that subscribe when they are made, and not when they are added."""
    added = 0
    for one in house.classes:
        for function in one.body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                added += function.name == "async_added_to_hass"
                names = {name_of(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)}
                if function.name == "__init__" and names & {"async_listen", "async_add_listener"}:
                    yield f"{one.name} subscribes when it is made"
    if not added:
        yield "nothing subscribes"


def _runtime_data(house: House) -> Iterator[str]:
    """Yield where anything but runtime_data holds what an entry needs."""
    assigned = [
        name_of(target)
        for node in ast.walk(_function(house, "__init__", "async_setup_entry"))
        if isinstance(node, ast.Assign)
        for target in node.targets
    ]
    if "runtime_data" not in assigned:
        yield "async_setup_entry sets no runtime_data"
    source = "".join(ast.unparse(tree) for tree in house.modules.values())
    if re.search(r"hass\.data(\[|\.setdefault\()DOMAIN\b", source):
        yield "hass.data[DOMAIN] is used"


def _raised(house: House, ending: str = "") -> list[ast.Call]:
    """Return what modules of some ending raise, made where it is raised."""
    return [
        node.exc
        for name, tree in house.modules.items()
        if name.endswith(ending)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]


def _refusals(house: House) -> Iterator[str]:
    """Yield what actions raise that is no error of Home Assistant."""
    raised = {name_of(call.func) for call in _raised(house, "services")}
    for name in sorted(raised & {"ValueError", "KeyError", "RuntimeError", "Exception"}):
        yield f"an action raises {name}"
    if "Refused" not in raised:
        yield "no action refuses anything"


def _owner(house: House) -> Iterator[str]:
    """Yield that nobody owns the integration."""
    if not house.json("manifest.json").get("codeowners"):
        yield "no codeowners"


def _parallel_updates(house: House) -> Iterator[str]:
    """Yield the platforms that do not say how many updates run at once."""
    for name, tree in house.platforms.items():
        targets = {
            name_of(target)
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        }
        if "PARALLEL_UPDATES" not in targets:
            yield f"{name} has no PARALLEL_UPDATES"
    if not house.platforms:
        yield "no platforms"


def _coverage(house: House) -> Iterator[str]:
    """Yield that the tests of the integration could pass with less than 95 % covered."""
    least = re.search(
        r"covered integration (\d+) 'custom_components/kitty/\*'", house.text("script/test")
    )
    if least is None or int(least[1]) < 95:
        yield "script/test passes below 95 %"
    if "custom_components.kitty" not in house.text("pyproject.toml"):
        yield "the coverage of the integration is not measured"


def _discovery(house: House) -> Iterator[str]:
    """Yield that nothing announces itself."""
    if not {"zeroconf", "dhcp"} & house.json("manifest.json").keys():
        yield "nothing is discovered"


def registered(pattern: str, *, least: int = 1) -> Proof:
    """Return the proof that so many registered entities are of a kind, by the tests' snapshots."""

    def proof(house: House) -> Iterator[str]:
        found = len(re.findall(pattern, house.snapshots()))
        if found < least:
            yield f"{found} registered entities have {pattern}"

    return proof


def never_registered(pattern: str) -> Proof:
    """Return the proof that no registered entity is of a kind, by the tests' snapshots."""

    def proof(house: House) -> Iterator[str]:
        if not house.snapshots():
            yield "no entities"
        if found := re.findall(pattern, house.snapshots()):
            yield f"{len(found)} registered entities have {pattern}"

    return proof


def _switched_off(house: House) -> Iterator[str]:
    """Yield that everything is shown at first, also what few people want."""
    shown = "entity_registry_enabled_default=False"
    if not any(shown in ast.unparse(tree) for tree in house.platforms.values()):
        yield "no entity is switched off at first"


def _no_words_in_code(house: House) -> Iterator[str]:
    """Yield the names and icons of entities that stand in the code and not in the translations."""
    for name, tree in house.platforms.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
                and name_of(node.targets[0]) in {"_attr_name", "_attr_icon"}
            ):
                yield f"{name}.py: {ast.unparse(node)}"
            if isinstance(node, ast.Call) and name_of(node.func).endswith("Description"):
                literal = [
                    item.arg
                    for item in node.keywords
                    if item.arg in {"name", "icon"}
                    and isinstance(item.value, ast.Constant)
                    and isinstance(item.value.value, str)
                ]
                yield from (f"{name}.py: a literal {arg}" for arg in literal)


def _entity_words(house: House) -> Iterator[str]:
    """Yield that entities have no words, or that words stand in the code."""
    if not house.json("translations/en.json").get("entity"):
        yield "en.json has no entities"
    yield from _no_words_in_code(house)


def _entity_icons(house: House) -> Iterator[str]:
    """Yield that entities have no icons, or that icons stand in the code."""
    if not house.json("icons.json").get("entity"):
        yield "icons.json has no entities"
    yield from _no_words_in_code(house)


def _exception_words(house: House) -> Iterator[str]:
    """Yield the errors of Home Assistant that are raised with English words, or without a key."""
    if not house.json("translations/en.json").get("exceptions"):
        yield "en.json has no exceptions"
    kinds = {"HomeAssistantError", "ServiceValidationError", "ConfigEntryError", "UpdateFailed"}
    for call in _raised(house):
        keys = {item.arg for item in call.keywords}
        if name_of(call.func) in kinds and (call.args or "translation_key" not in keys):
            yield f"{ast.unparse(call)} has no translation"


def _strict_typing(house: House) -> Iterator[str]:
    """Yield what keeps the types from being checked strictly, here and by whoever imports it."""
    project = house.text("pyproject.toml")
    mypy = project.partition("[tool.mypy]")[2].partition("\n[[")[0]
    if "strict = true" not in mypy or '"custom_components"' not in mypy:
        yield "mypy does not check the integration strictly"
    if not (house.folder / "py.typed").exists():
        yield "py.typed is missing"
    if "type KittyConfigEntry" not in house.text("custom_components/kitty/__init__.py"):
        yield "the entry has no type of its own"


def _requirements(house: House) -> Iterator[str]:
    """Yield that there are packages whose code should be looked at."""
    if house.json("manifest.json").get("requirements", ["?"]):
        yield "the manifest has requirements"


def _polling(house: House) -> Iterator[str]:
    """Yield that something is polled."""
    source = "".join(ast.unparse(tree) for tree in house.modules.values())
    if not source or re.search(r"update_interval=|SCAN_INTERVAL|_attr_should_poll = True", source):
        yield "something is polled"
    if house.json("manifest.json").get("iot_class") != "local_push":
        yield "the manifest says that something is polled"


PROOFS: Final[dict[str, Proof]] = {
    "action-setup": _action_setup,
    "brands": hassfests("brand"),
    "common-modules": _common_modules,
    "config-flow": all_of(hassfests("config_flow"), _explained_fields),
    "config-flow-test-coverage": tested(
        "config_flow::a_brain_is_added_by_its_address_and_token",
        "config_flow::a_wrong_token_can_be_corrected",
        "config_flow::a_wrong_address_can_be_corrected",
        "config_flow::a_silent_server_can_be_corrected",
        "config_flow::an_app_that_announces_itself_is_added_after_a_question",
        "config_flow::an_app_that_has_not_started_yet_can_be_added_later",
        "config_flow::a_new_token_revives_a_brain_that_refused_the_old_one",
        "config_flow::a_brain_that_moved_is_found_again_by_hand",
        "config_flow::home_commands_alone_need_nothing_but_the_choice",
        "discovery::a_confirmed_printer_is_added_as_a_device",
        "discovery::a_wrong_key_is_said_at_its_field",
        "options_flow::the_menu_offers_what_can_be_set",
        "subentry_flow::what_is_wrong_is_said_at_its_field_and_can_be_corrected",
        "provider_flow::what_is_wrong_is_said_at_its_field_and_can_be_corrected",
    ),
    "docs-actions": _documented("services.yaml"),
    "docs-conditions": _documented("conditions.yaml"),
    "docs-high-level-description": written(
        "docs/INTEGRATION.md", "The integration for Home Assistant"
    ),
    "docs-installation-instructions": written("docs/INSTALL.md", "Integration"),
    "docs-removal-instructions": written("docs/INSTALL.md", "Remove"),
    "docs-triggers": _documented("triggers.yaml"),
    "entity-event-setup": _entity_event_setup,
    "entity-unique-id": all_of(
        sets("_attr_unique_id"), never_registered(r"'unique_id': (None|'')")
    ),
    "has-entity-name": all_of(
        sets("_attr_has_entity_name"), never_registered(r"'has_entity_name': False")
    ),
    "runtime-data": _runtime_data,
    "test-before-configure": all_of(
        has("config_flow", "_ask_brain"),
        tested(
            "config_flow::an_old_brain_is_named_as_such",
            "config_flow::an_unexpected_refusal_is_shown_in_the_words_of_the_brain",
        ),
    ),
    "test-before-setup": all_of(
        has("__init__", "_async_connect"),
        tested(
            "init::a_brain_that_is_down_is_tried_again",
            "init::a_wrong_token_asks_for_another",
            "init::another_brain_at_the_address_is_refused",
        ),
    ),
    "unique-config-entry": all_of(
        called("async_set_unique_id", "_abort_if_unique_id_configured"),
        tested("config_flow::the_same_brain_is_not_added_twice"),
    ),
    "action-exceptions": all_of(
        _refusals,
        tested(
            "services::an_intent_that_nobody_knows_is_refused",
            "services::the_refusal_of_the_brain_is_the_error_of_the_action",
            "services::a_user_without_the_right_to_a_device_cannot_ask",
        ),
    ),
    "config-entry-unloading": all_of(
        has("__init__", "async_unload_entry"),
        tested(
            "init::unload_leaves_nothing_behind",
            "init::an_unload_while_the_brain_is_away_leaves_nothing_behind",
        ),
    ),
    "docs-configuration-parameters": _configuration_parameters,
    "docs-installation-parameters": _installation_parameters,
    "entity-unavailable": all_of(
        has("entity", "available"),
        tested("coordinator::away_means_unavailable_with_the_last_state_kept"),
    ),
    "integration-owner": _owner,
    "log-when-unavailable": tested("coordinator::away_and_back_are_each_logged_once"),
    "parallel-updates": _parallel_updates,
    "reauthentication-flow": all_of(
        has("config_flow", "async_step_reauth", "async_step_reauth_confirm"),
        tested("config_flow::a_new_token_is_only_for_the_same_brain"),
    ),
    "test-coverage": _coverage,
    "devices": all_of(
        called("DeviceInfo"),
        tested("entity::the_brain_is_the_hub_of_its_devices"),
        never_registered(r"'device_id': None"),
    ),
    "diagnostics": all_of(
        has("diagnostics", "async_get_config_entry_diagnostics", "async_get_device_diagnostics"),
        tested(
            "diagnostics::no_planted_secret_comes_out",
            "diagnostics::no_planted_secret_comes_out_of_a_device",
        ),
    ),
    "discovery": all_of(
        _discovery,
        has("config_flow", "async_step_hassio"),
        has("discovery", "async_step_zeroconf", "async_step_dhcp"),
    ),
    "discovery-update-info": tested(
        "config_flow::a_brain_that_moved_is_followed_if_its_own_app_says_so",
        "discovery::a_bambu_printer_that_has_moved_is_followed",
    ),
    "docs-data-update": written("docs/INTEGRATION.md", "How data is updated"),
    "docs-examples": written("docs/INTEGRATION.md", "Examples"),
    "docs-known-limitations": written("docs/INTEGRATION.md", "Known limitations"),
    "docs-supported-devices": written("docs/INTEGRATION.md", "Supported devices"),
    "docs-supported-functions": written("docs/INTEGRATION.md", "Supported functions"),
    "docs-troubleshooting": written("docs/TROUBLESHOOTING.md", "Troubleshooting"),
    "docs-use-cases": written("docs/INTEGRATION.md", "Use cases"),
    "dynamic-devices": tested(
        "entity::a_device_that_comes_late_gets_its_entities",
        "entity::a_device_that_gains_an_ability_gains_its_entities",
    ),
    "entity-category": registered(r"'entity_category': <EntityCategory\.DIAGNOSTIC", least=10),
    "entity-device-class": registered(r"'original_device_class': <\w+DeviceClass", least=10),
    "entity-disabled-by-default": _switched_off,
    "entity-translations": _entity_words,
    "exception-translations": _exception_words,
    "icon-translations": _entity_icons,
    "reconfiguration-flow": all_of(
        has("config_flow", "async_step_reconfigure"),
        has("subentry_flow", "async_step_reconfigure"),
        tested("config_flow::a_brain_with_another_key_is_not_accepted_at_a_new_address"),
    ),
    "repair-issues": all_of(
        called("async_create_issue"),
        has("repairs", "async_create_fix_flow"),
        tested("repairs::an_unreachable_brain_leads_to_its_address"),
    ),
    "stale-devices": all_of(
        has("__init__", "async_remove_config_entry_device"),
        tested("init::only_a_device_that_is_gone_may_be_deleted"),
    ),
    "inject-websession": all_of(
        called("async_get_clientsession"),
        never_called("ClientSession", "create_async_httpx_client"),
    ),
    "strict-typing": _strict_typing,
}

# What makes it true that a rule does not concern us.
REASONS: Final[dict[str, Proof]] = {
    "appropriate-polling": _polling,
    "dependency-transparency": _requirements,
    "async-dependency": _requirements,
}
