"""Opens print files: plain G-code, Prusa's binary G-code, and 3MF with a sliced plate. Trusts none of them.

Nothing is ever written under a name that stands in a file, and nothing is unpacked beyond a limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
import re
import struct
from typing import IO, Final
import zipfile
import zlib

from brain_server.fabrication.gcode import MOST_PICTURE, MOST_PICTURES, Source
from brain_server.fabrication.unpack import Broken, inflate, meatpack, unshrink
from brain_server.gcode import may_heat

MAGIC_BINARY: Final = b"GCDE"
MAGIC_ZIP: Final = b"PK\x03\x04"
MOST_LINE: Final = 8192
MOST_ENTRIES: Final = 4000
MOST_UNPACKED: Final = 2 * 1024**3
MOST_CONFIG: Final = 2 * 1024**2
# A block of binary G-code has 64 KiB; one that claims much more is an attack.
MOST_BLOCK: Final = 16 * 1024**2
# So much of binary G-code is unpacked: our own unpacking takes a second for a few megabytes.
MOST_BINARY: Final = 48 * 1024**2
_LOOK: Final = 256 * 1024
_PLATE: Final = re.compile(r"Metadata/plate_([1-9]\d{0,3})\.gcode")
_COMMAND: Final = re.compile(rb"(?m)^[ \t]*(?:N\d+[ \t]*)?[GMTgmt][ \t]*\d")
_TAG: Final = re.compile(r"<\s*(/?[A-Za-z_]+)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE: Final = re.compile(r"([A-Za-z_]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_HEAD: Final = struct.Struct("<4sIH")
_BLOCK: Final = struct.Struct("<HHI")
_THUMBNAIL: Final = 5
_GCODE: Final = 1
_METADATA: Final = frozenset({0, 2, 3, 4})

NO_SUCH_PLATE: Final = "no such plate"

BROKEN: Final = (
    Broken,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)


@contextmanager
def opened(path: Path, plate: int | None = None) -> Iterator[Source]:
    """Open a print file by what it contains; raises one of ``BROKEN`` where it is none.

    Of a file with several plates it is one, else the first of them.
    """
    with path.open("rb") as file:
        start = file.read(_LOOK)
        file.seek(0)
        if start.startswith(MAGIC_BINARY):
            yield _binary(file)
        elif start.startswith(MAGIC_ZIP):
            with zipfile.ZipFile(file) as archive:
                yield _plate(archive, plate)
        elif b"\x00" not in start and _COMMAND.search(start):
            yield Source(kind="gcode", lines=_lines(file))
        else:
            message = "no G-code in it"
            raise Broken(message)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines; of one that no printer could read, its beginning."""
    while line := file.readline(MOST_LINE):
        if len(line) == MOST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(MOST_LINE)) and not rest.endswith(b"\n"):
                pass
            line = line.rpartition(b" ")[0]  # not with half a figure at its end
            if b";" not in line and may_heat(line):
                message = "a command without an end"
                raise Broken(message)
        yield line


# -- 3MF ----------------------------------------------------------------------------------------------


def _plate(archive: zipfile.ZipFile, wanted: int | None) -> Source:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        message = "too many entries"
        raise Broken(message)
    plates = {int(found[1]): one for one in entries if (found := _PLATE.fullmatch(one.filename))}
    if not plates:
        message = "no sliced plate in it"
        raise Broken(message)
    number = min(plates) if wanted is None else wanted
    if number not in plates:
        raise Broken(NO_SUCH_PLATE)
    names = {one.filename: one for one in entries}
    if len(names) < len(entries):
        message = "two entries of one name"
        raise Broken(message)
    told: dict[str, str] = {}
    if config := names.get("Metadata/slice_info.config"):
        told = slice_info(_entry(archive, config, MOST_CONFIG).decode("utf-8", "replace"), number)
    pictures = [
        _entry(archive, names[name], MOST_PICTURE)
        for name in (f"Metadata/plate_{number}.png", "Metadata/thumbnail.png")
        if name in names and names[name].file_size <= MOST_PICTURE
    ]
    return Source(
        kind="3mf",
        lines=_bounded(archive, plates[number]),
        told=told,
        pictures=pictures,
        plate=number,
        plates=sorted(plates),
    )


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(entry) as file:
        content = file.read(most + 1)
    if len(content) > most:
        message = "an entry unpacks to too much"
        raise Broken(message)
    return content


def _bounded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    size = 0
    with archive.open(entry) as file:
        for line in _lines(file):
            size += len(line)
            if size > MOST_UNPACKED:
                message = "a plate unpacks to too much"
                raise Broken(message)
            yield line


def slice_info(text: str, plate: int) -> dict[str, str]:
    """Return what Bambu Studio and OrcaSlicer tell of one plate, under the names of their comments.

    Reads tags and attributes only, so that no entity of XML is ever expanded.
    """
    mine: dict[str, str] = {}
    filaments: list[dict[str, str]] = []
    told: dict[str, str] = {}
    for tag, rest in _TAG.findall(text):
        about = {name: unescape(one or two) for name, one, two in _ATTRIBUTE.findall(rest)}
        if tag == "plate":
            mine, filaments = {}, []
        elif tag == "metadata" and "key" in about:
            mine[about["key"]] = about.get("value", "")
        elif tag == "filament":
            filaments.append(about)
        elif tag == "/plate" and mine.get("index", "1") == str(plate):
            told = _of_plate(mine, filaments)
    return told


def _of_plate(mine: dict[str, str], filaments: list[dict[str, str]]) -> dict[str, str]:
    ids = [int(one.get("id", "0")) if one.get("id", "").isdecimal() else 0 for one in filaments]
    told = {name: mine[name] for name in ("prediction", "nozzle_diameters") if mine.get(name)}
    if mine.get("printer_model_id"):
        told["printer_model_id"] = mine["printer_model_id"]
    if ids and all(0 < one <= MOST_TOOLS for one in ids):
        types, colors = [""] * max(ids), [""] * max(ids)
        for one, about in zip(ids, filaments, strict=True):
            types[one - 1], colors[one - 1] = about.get("type", ""), about.get("color", "")
        told |= {
            "filament": ",".join(str(one) for one in ids),
            "filament_type": ";".join(types),
            "filament_colour": ";".join(colors),
            "filament used [g]": ",".join(one.get("used_g", "") for one in filaments),
        }
        metres = [one.get("used_m", "") for one in filaments]
        if all(_NUMBER.fullmatch(one) for one in metres):
            told["used_mm"] = ",".join(f"{float(one) * 1000:.3f}" for one in metres)
    return told


MOST_TOOLS: Final = 64
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


# -- Prusa's binary G-code ----------------------------------------------------------------------------


class _Blocks:
    """Reads block after block; how much was unpacked is counted, and bounded."""

    def __init__(self, file: IO[bytes]) -> None:
        magic, version, checksum = _HEAD.unpack(file.read(_HEAD.size))
        if magic != MAGIC_BINARY or version != 1 or checksum not in {0, 1}:
            message = "another version of binary G-code"
            raise Broken(message)
        self._file = file
        self._checked = checksum == 1
        self._unpacked = 0
        self.cut = False

    def read(self) -> tuple[int, tuple[int, ...], bytes] | None:
        """Return the kind, the parameters and the content of the next block; None at the end."""
        head = self._file.read(_BLOCK.size)
        if not head:
            return None
        kind, compression, size = _BLOCK.unpack(head)
        packed = size
        if compression:
            more = self._file.read(4)
            head += more
            (packed,) = struct.unpack("<I", more)
        if max(size, packed) > MOST_BLOCK:
            message = "a block is too large"
            raise Broken(message)
        params = self._file.read(6 if kind == _THUMBNAIL else 2)
        data = self._file.read(packed)
        if len(data) < packed:
            message = "a block is cut off"
            raise Broken(message)
        if self._checked:
            (checksum,) = struct.unpack("<I", self._file.read(4))
            if zlib.crc32(head + params + data) != checksum:
                message = "a block is not what was written"
                raise Broken(message)
        given = struct.unpack(f"<{len(params) // 2}H", params)
        return kind, given, self._content(compression, data, size)

    def _content(self, compression: int, data: bytes, size: int) -> bytes:
        self._unpacked += size
        if self._unpacked > MOST_BINARY:
            self.cut = True
            return b""
        match compression:
            case 0:
                return data
            case 1:
                return inflate(data, size)
            case 2 | 3:
                return unshrink(data, size, window=9 + compression)
            case _:
                message = "an unknown compression"
                raise Broken(message)


def _binary(file: IO[bytes]) -> Source:
    blocks = _Blocks(file)
    told: dict[str, str] = {}
    pictures: list[bytes] = []
    first: tuple[int, tuple[int, ...], bytes] | None = None
    while (found := blocks.read()) is not None:
        kind, _params, content = found
        if kind == _GCODE:
            first = found
            break
        if kind == _THUMBNAIL and len(pictures) < MOST_PICTURES:
            pictures.append(content)
        elif kind in _METADATA:
            told = _ini(content) | told
    return Source(
        kind="bgcode",
        lines=_unpacked(blocks, first),
        told=told,
        pictures=pictures,
        cut=lambda: blocks.cut,
    )


def _ini(content: bytes) -> dict[str, str]:
    text = content[:MOST_CONFIG].decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines()[:MOST_ENTRIES])
    return {name.strip().lower()[:100]: value.strip()[:2000] for name, _, value in pairs}


def _unpacked(blocks: _Blocks, block: tuple[int, tuple[int, ...], bytes] | None) -> Iterator[bytes]:
    rest = b""
    while block is not None and not blocks.cut:
        kind, params, content = block
        if kind == _GCODE:
            text = rest + (meatpack(content) if params[0] else content)
            *whole, rest = text.split(b"\n")
            for line in whole:
                yield line[:MOST_LINE]
            rest = rest[:MOST_LINE]
        block = blocks.read()
    if rest:
        yield rest
