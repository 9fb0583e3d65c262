"""The words of G-code: what a line commands, and how hot it wants something to be."""

from collections.abc import Iterator
import math
import re
from typing import Final
import unicodedata

# None of these looks at a letter twice: whoever sends a line of brackets or spaces gains nothing.
# What a line commands is over at a semicolon; brackets hold a comment, and a star the checksum.
_ASIDE: Final = re.compile(rb"\([^()]*\)|;.*|\*\d++\s*$")
_SEMICOLON: Final = re.compile(rb";.*|\*\d++\s*$")
_HEATS: Final = re.compile(
    rb"(?<![A-Z_])(M\s*0*(?:104|109|140|190|303|568)|G\s*0*10)(?:\.\d*+)?(?![0-9.])"
)
_FIRST: Final = re.compile(rb"\s*(?:N\s*\d+\s*)?")
_WORD: Final = re.compile(rb"([A-Z])\s*([-+]?(?:\d+\.?\d*|\.\d+))")
_NAMED: Final = re.compile(rb"(?<![A-Z0-9_])([A-Z][A-Z0-9_]*+)\s*+=\s*+\"?\s*+([A-Z0-9_.+-]++)")
_NOZZLE: Final = (b"EXTRUDER", b"HOTEND", b"NOZZLE")
# What a shell takes out of a word, and Klipper with it.
_QUOTES: Final = b"\"'\\"
# As far as these say, Marlin may raise a nozzle by itself.
_AUTO: Final = frozenset({b"104", b"109"})


def command_of(line: bytes) -> bytes:
    """Return what a line commands, without its comments, in capitals."""
    return _ASIDE.sub(b"", line).strip().upper()


def words_of(command: bytes) -> dict[bytes, float]:
    """Return the letters of a command in capitals, with their figures."""
    return {letter: float(figure) for letter, figure in _WORD.findall(command)}


def may_heat(line: bytes) -> bool:
    """Tell whether the beginning of a line is that of a command for heat."""
    command = command_of(line)
    return bool(_HEATS.search(command)) or b"HEATER" in command


def targets(line: bytes) -> Iterator[tuple[str, float]]:
    """Yield what a line wants to be how hot: ``nozzle`` or ``bed``, and degrees Celsius.

    Reads more than any one firmware does: several commands in a line or one with words like commands, the
    first and the last of figures, brackets that are a comment and that are not, Klipper's own commands, and
    the arguments of macros that are named after a heater. What any of them would heat is yielded.
    """
    if not line.isascii():
        line = _as_python_reads(line)
    command = command_of(line)
    found = dict.fromkeys(_heated(command))
    if b"(" in line:
        found |= dict.fromkeys(_heated(_SEMICOLON.sub(b"", line).upper()))
    yield from found


def _heated(command: bytes) -> Iterator[tuple[str, float]]:
    heats = list(_HEATS.finditer(command))
    for at, heat in enumerate(heats):
        # To most firmwares all of a line belongs to its first command.
        alone = at == 0 and _FIRST.fullmatch(command, 0, heat.start())
        last = alone or heat is heats[-1]
        end = len(command) if last else heats[at + 1].start()
        number = heat[1][1:].strip().lstrip(b"0")
        words = _WORD.findall(command, heat.end(), end)
        part = _part(number, words)
        wanted = (b"S", b"R", b"B") if number in _AUTO else (b"S", b"R")
        for letter, figure in words:
            if letter in wanted:
                yield part, float(figure)
    yield from _named(_NAMED.findall(command.translate(None, _QUOTES)))


def _named(pairs: list[tuple[bytes, bytes]]) -> Iterator[tuple[str, float]]:
    heaters = [value for name, value in pairs if name == b"HEATER"]
    for name, value in pairs:
        try:
            degrees = float(value)
        except ValueError:
            continue
        for part in heaters if name == b"TARGET" else (name,):
            # What is no number is no limit, either.
            celsius = math.inf if math.isnan(degrees) else degrees
            if b"BED" in part:
                yield "bed", celsius
            elif part.startswith(_NOZZLE):
                yield "nozzle", celsius


def _part(number: bytes, words: list[tuple[bytes, bytes]]) -> str:
    below = any(letter == b"E" and figure.startswith(b"-") for letter, figure in words)
    return "bed" if number in {b"140", b"190"} or (number == b"303" and below) else "nozzle"


def _as_python_reads(line: bytes) -> bytes:
    """Return a line with the letters, figures and spaces of other alphabets as Klipper understands them."""
    plain = "".join(
        " " if char.isspace() else str(unicodedata.decimal(char, char))
        for char in line.decode("utf-8", "replace")
    )
    return plain.upper().encode("ascii", "replace")
