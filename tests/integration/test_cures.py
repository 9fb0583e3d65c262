"""Whatever goes wrong in a flow or is told as an issue, its words say what to do about it, in every language."""

import ast
from collections.abc import Iterator
import re
from typing import Any, Final

import pytest

from .test_translations import FOLDER, LANGUAGES, leaves, read

SOURCES: Final = FOLDER.parent
# What a person may be told to do; each begins a part of a sentence.
DEEDS: Final = {
    "en": (
        "add|change|check|choose|close|connect|copy|correct|enter|fill|finish|free|give|load|look|mend|name|open"
        "|paste|raise|read|reload|remove|restart|run|say|start|submit|switch|treat|try|update|wait|write"
    ),
    "de": (
        "aktiviere|aktualisiere|ändere|antworte|beende|behebe|berichtige|bestätige|entferne|erstelle|fülle|führe"
        "|füge|gib|hebe|installiere|kopiere|lade|lass|nenne|öffne|prüfe|räume|schalte|schau|schließe|schreibe|setze"
        "|sieh|starte|stelle|verbinde|versuche|wähle|warte"
    ),
}
# Where a sentence or a part of one begins.
BEGINNING: Final = (
    r"(?:^|[.,:;]\s|\n|\b(?:and|bitte|dann|darum|oder|or|please|so|then|und)\s|\d\.\s)"
)
# In French a polite request is seen by its ending.
POLITE: Final = re.compile(r"\b(?:dites|\w{2,}ez)\b")
# What ends a flow well, and needs no cure.
GOOD: Final = {
    "app_started",
    "form_opened",
    "printer_added",
    "reauth_successful",
    "reconfigure_successful",
}
_WRONG: Final = re.compile(r"^(?:config|issues|options).*\.(?:abort|error)\.(?P<code>\w+)$")
_ISSUE: Final = re.compile(r"^issues\..*\bdescription$")


def told(language: str) -> Iterator[tuple[str, str]]:
    """Yield the words of everything that may go wrong, by their keys."""
    for key, text in leaves(read(language)):
        found = _WRONG.search(key)
        if _ISSUE.match(key) or (found and found["code"] not in GOOD):
            yield key, text


def cures(language: str, text: str) -> bool:
    """Tell whether a text asks its reader to do something."""
    if language == "fr":
        return POLITE.search(text.lower()) is not None
    return re.search(rf"{BEGINNING}(?:{DEEDS[language]})\b", text.lower()) is not None


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_whatever_goes_wrong_is_told_with_its_cure(language: str) -> None:
    """A bare statement leaves people alone with it."""
    found = dict(told(language))
    assert len(found) > 80
    assert {key: text for key, text in found.items() if not cures(language, text)} == {}


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
@pytest.mark.parametrize("text", ["The brain refused.", "Das geht nicht.", "Cela ne va pas."])
def test_a_bare_statement_is_no_cure(language: str, text: str) -> None:
    """The rule can say no."""
    assert not cures(language, text)


def named(file: str, kind: str) -> set[str]:
    """Return every error or reason that the source of a flow names."""
    tree = ast.parse((SOURCES / file).read_text("utf-8"))
    nodes = list(ast.walk(tree))
    if kind == "abort":
        calls = [one for one in nodes if isinstance(one, ast.Call)]
        values: list[Any] = [
            word.value for call in calls for word in call.keywords if word.arg == "reason"
        ]
    else:
        values = [
            one.value
            for one in nodes
            if isinstance(one, ast.Assign)
            and isinstance(one.targets[0], ast.Subscript)
            and ast.unparse(one.targets[0].value) == "errors"
        ]
    inside = [leaf for value in values for leaf in ast.walk(value)]
    texts = {leaf.value for leaf in inside if isinstance(leaf, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and text}


FLOWS: Final = {
    "config_flow.py": ("config", "abort"),
    "discovery.py": ("config", "abort"),
    "provider_flow.py": ("config_subentries", "provider", "abort"),
    "subentry_flow.py": ("config_subentries", "device", "abort"),
}
ERRORS: Final = {
    "config_flow.py": ("config", "error"),
    "options_flow.py": ("options", "error"),
    "provider_flow.py": ("config_subentries", "provider", "error"),
    "subentry_flow.py": ("config_subentries", "device", "error"),
}


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
@pytest.mark.parametrize(("file", "path"), [*FLOWS.items(), *ERRORS.items()], ids=str)
def test_every_error_and_reason_that_a_flow_names_has_words(
    language: str, file: str, path: tuple[str, ...]
) -> None:
    """Else people would read its key."""
    words = read(language)
    for step in path:
        words = words[step]
    there = named(file, path[-1])
    assert there
    assert there - set(words) == set()
