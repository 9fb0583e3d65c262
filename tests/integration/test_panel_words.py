"""The panel has words for what is written in the audit trail, kinds of rows and codes, and knows what passes."""

import ast
from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import re
from typing import Any, Final

from custom_components.kitty.errors import BUSY

from .test_manifest import BRAIN, EN, MODULES, calls, keyword, name_of

SOURCE: Final = Path(__file__).parents[2] / "frontend" / "src"
PANEL: Final[dict[str, Any]] = json.loads((SOURCE / "i18n" / "en.json").read_text("utf-8"))
WRITERS: Final = {"audit", "audit_command", "_audit"}
# What is known only when it is written.
VARIED: Final[Mapping[str, set[str]]] = {
    "status.value": {"claimed", "deferred"},
    "to.value": {"acked", "failed", "unknown"},
    "f'presence_{params.source}'": {"presence_manual", "presence_override"},
}
NOTES: Final = "f'ha_{params.kind}'"
# Not the kind of a row: what is handed on, and what is only called alike.
HANDED_ON: Final = {"kind", "meant", "context", "self._around.gate"}
ENDS: Final = {"void_all", "drop_deferred", "retract", "settle", "Outcome"}
CODE: Final = re.compile(r"[a-z]+(_[a-z]+)*")


def constants(node: ast.expr) -> set[str]:
    """Return the texts that an expression may be, as far as they are written out."""
    match node:
        case ast.Constant(value=str(word)):
            return {word}
        case ast.IfExp(body=one, orelse=other):
            return constants(one) | constants(other)
        case _:
            return VARIED.get(ast.unparse(node), set())


def assigned(tree: ast.Module, name: str) -> set[str]:
    """Return the texts that a module gives to a name."""
    return {
        word
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
        for word in constants(node.value)
    }


def written() -> Iterator[tuple[str, set[str]]]:
    """Yield what each line of the brain that writes an audit row calls its kind, and what that may be."""
    for tree in BRAIN:
        for call in calls(tree):
            if name_of(call) in WRITERS and call.args:
                kind = call.args[0]
                known = assigned(tree, kind.id) if isinstance(kind, ast.Name) else constants(kind)
                yield ast.unparse(kind), known


def noted(node: ast.Dict) -> set[str]:
    """Return the kind of what is noted, where a dictionary is that."""
    fields = {
        name: value
        for key, value in zip(node.keys, node.values, strict=True)
        for name in (constants(key) if key else ())
    }
    return constants(fields["kind"]) if {"kind", "user_id", "device_id"} <= fields.keys() else set()


def notes() -> set[str]:
    """Return the kinds of what the integration notes of the time when the brain was away."""
    nodes = (node for tree in MODULES.values() for node in ast.walk(tree))
    return {f"ha_{kind}" for node in nodes if isinstance(node, ast.Dict) for kind in noted(node)}


def test_each_kind_of_audit_row_that_is_written_has_words_and_no_other() -> None:
    """A row with a bare code tells people nothing; words of none are left over."""
    kinds = {kind for _, known in written() for kind in known}
    assert kinds | notes() == set(PANEL["audit"]["kinds"])


def test_no_kind_of_audit_row_escapes_this_test() -> None:
    """What is not written out is named above, and said to be what it may be."""
    assert {name for name, known in written() if not known} == HANDED_ON | {NOTES}
    assert len(notes()) == 2


def test_each_code_with_which_a_command_ends_has_words() -> None:
    """Those of errors are Home Assistant's, the others the panel's own."""
    codes = {
        word
        for tree in BRAIN
        for call in calls(tree)
        if name_of(call) in ENDS
        for word in {
            *(one for arg in call.args for one in constants(arg)),
            keyword(call, "detail") or "",
        }
        if CODE.fullmatch(word)
    }
    assert codes > {"observed", "superseded", "restored", "queue_changed"}
    assert codes - EN["exceptions"].keys() - PANEL["reasons"].keys() == set()


def test_each_wrong_answer_of_a_phone_has_words() -> None:
    """Of whom it was not asked, of a request that is over, and of none at all."""
    told = {
        word
        for name in ("WRONG_TOKEN", "FOREIGN_TOKEN", "EXPIRED_TOKEN")
        for word in assigned(MODULES["approvals"], name)
    }
    assert len(told) == 3
    assert told <= PANEL["reasons"].keys()


def test_the_panel_asks_a_busy_brain_again() -> None:
    """What ails the brain and not the wish passes, for the panel as for the integration."""
    source = (SOURCE / "data" / "fetched.ts").read_text("utf-8")
    (listed,) = re.findall(r"PASSING = new Set\(\[(.*?)\]\)", source, re.DOTALL)
    codes = set(re.findall(r'"(\w+)"', listed))
    assert codes >= BUSY
    assert codes - BUSY - {"3"} <= EN["exceptions"].keys()
