"""Reads the head of a model file without llama.cpp: what it is, and how much memory its context takes."""

from dataclasses import dataclass
import mmap
from pathlib import Path
import re
import struct
from typing import Any, Final

from brain_server.errors import ProviderError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
# Longer arrays are vocabularies, which nobody asks for here.
_KEPT_ITEMS: Final = 1024
# A head has some dozens of entries; a file that claims more is broken.
_MOST_ENTRIES: Final = 65_536
_PART: Final = re.compile(r"(.+)-\d{5}-of-(\d{5})")
_BYTES_PER_VALUE: Final = 2  # the context is kept in 16 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the head of a model file says; None where it says nothing."""

    architecture: str
    name: str | None
    context_length: int | None
    embedding_length: int | None
    block_count: int | None
    # Bytes that one token of context takes.
    token_bytes: int
    chat_template: str | None
    pooling: bool
    file_bytes: int


def read(path: Path) -> Metadata:
    """Read the head of a model file; ``model_missing``, or ``provider_invalid`` when it is no such file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            entries = _entries(view)
        size = sum(part.stat().st_size for part in parts(path))
    except OSError as err:
        raise ProviderError(
            "model_missing", f"The model {path.name} is missing", model=path.name
        ) from err
    except (ValueError, struct.error) as err:
        raise _broken(path) from err
    architecture = entries.get("general.architecture")
    if not isinstance(architecture, str):
        raise _broken(path)
    return _described(entries, architecture, size)


def parts(path: Path) -> list[Path]:
    """Return the files of a model: large ones come in parts that are named by number."""
    match = _PART.fullmatch(path.stem)
    if match is None:
        return [path]
    return [
        path.with_stem(f"{match[1]}-{number:05}-of-{match[2]}")
        for number in range(1, int(match[2]) + 1)
    ]


def _described(entries: dict[str, Any], architecture: str, size: int) -> Metadata:
    def number(name: str) -> int | None:
        value = entries.get(f"{architecture}.{name}")
        return value if type(value) is int and value >= 0 else None

    def text(name: str) -> str | None:
        value = entries.get(name)
        return value if isinstance(value, str) else None

    blocks, width = number("block_count"), number("embedding_length")
    heads = _heads(entries.get(f"{architecture}.attention.head_count"), blocks)
    key_heads = _heads(entries.get(f"{architecture}.attention.head_count_kv"), blocks) or heads
    one = (width or 0) // max(heads, default=1) if max(heads, default=0) else 0
    key, value = number("attention.key_length"), number("attention.value_length")
    per_head = (one if key is None else key) + (one if value is None else value)
    return Metadata(
        architecture=architecture,
        name=text("general.name"),
        context_length=number("context_length"),
        embedding_length=width,
        block_count=blocks,
        token_bytes=sum(key_heads) * per_head * _BYTES_PER_VALUE,
        chat_template=text("tokenizer.chat_template"),
        pooling=f"{architecture}.pooling_type" in entries,
        file_bytes=size,
    )


def _heads(value: Any, blocks: int | None) -> list[int]:
    """Return the heads of each block: one number for all, or a list."""
    if isinstance(value, list):
        return [one for one in value if type(one) is int and one >= 0]
    return [value] * min(blocks or 0, _KEPT_ITEMS) if type(value) is int and value >= 0 else []


def _broken(path: Path) -> ProviderError:
    return ProviderError("provider_invalid", f"{path.name} is no GGUF model", model=path.name)


def _entries(view: mmap.mmap) -> dict[str, Any]:
    """Return all entries; ValueError or struct.error where the file is not what it should be."""
    magic, version, _, count = struct.unpack_from("<4sIQQ", view, 0)
    if magic != MAGIC or version not in VERSIONS or count > _MOST_ENTRIES:
        message = "no GGUF head"
        raise ValueError(message)
    entries: dict[str, Any] = {}
    at = 24
    for _ in range(count):
        key, at = _string(view, at)
        (kind,) = struct.unpack_from("<I", view, at)
        entries[key], at = _value(view, at + 4, kind)
    return entries


def _string(view: mmap.mmap, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", view, at)
    end = at + 8 + length
    _within(view, end)
    return view[at + 8 : end].decode("utf-8", "replace"), end


def _value(view: mmap.mmap, at: int, kind: int) -> tuple[Any, int]:
    if kind == _STRING:
        return _string(view, at)
    if kind == _ARRAY:
        inner, count = struct.unpack_from("<IQ", view, at)
        return _array(view, at + 12, inner, count)
    (value,) = struct.unpack_from(_scalar(kind), view, at)
    return value, at + struct.calcsize(_scalar(kind))


def _array(view: mmap.mmap, at: int, kind: int, count: int) -> tuple[list[Any] | None, int]:
    """Return a short array, or None for a long one, and where it ends."""
    if kind == _STRING:
        _within(view, at + 8 * count)
        for _ in range(count):  # only over them: a vocabulary is never wanted
            (length,) = struct.unpack_from("<Q", view, at)
            at += 8 + length
            _within(view, at)
        return None, at
    form = _scalar(kind)
    end = at + struct.calcsize(form) * count
    _within(view, end)
    kept = [value for (value,) in struct.iter_unpack(form, view[at:end])]
    return (kept if count <= _KEPT_ITEMS else None), end


def _scalar(kind: int) -> str:
    form = _SCALARS.get(kind)
    if form is None:
        message = f"no such type: {kind}"
        raise ValueError(message)
    return form


def _within(view: mmap.mmap, end: int) -> None:
    if end > len(view):
        message = "cut off"
        raise ValueError(message)
