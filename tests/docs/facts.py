"""What the code says, for the documents to be compared with."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = {
    "InvalidRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "Conflict": 409,
    "TooMany": 429,
    "InternalError": 500,
    "DeviceError": 502,
    "ProviderError": 502,
    "Unavailable": 503,
}


def error_codes() -> dict[str, str]:
    """Return every error code that the brain can raise, with the words of its first place."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "brain_server").rglob("*.py")):
        for name, code, words in _raised(ast.parse(path.read_text("utf-8"))):
            if name in KINDS or name == "Refusal":
                found.setdefault(code, words)
    return found


def _raised(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) >= 2:
            code, words = node.args[:2]
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                yield node.func.id, code.value, _words(words)


def _words(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_words(part) for part in parts)
        case _:
            return "…"
