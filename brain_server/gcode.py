"""The words of G-code: what a line commands, and how hot it wants something to be."""

from collections.abc import Iterator
import re
from typing import Final

# None of these looks at a letter twice: whoever sends a line of brackets or spaces gains nothing.
# What a line commands is over at a semicolon; brackets hold a comment, and a star the checksum.
_ASIDE: Final = re.compile(rb"\([^()]*\)|;.*|\*\d++\s*$")
_HEATS: Final = re.compile(
    rb"(?<![A-Z_])(M\s*0*(?:104|109|140|190|303|568)|G\s*0*10)(?![0-9.])"
    rb"((?:(?![GM]\s*\d).)*)"
)
_WORD: Final = re.compile(rb"([A-Z])\s*([-+]?(?:\d+\.?\d*|\.\d+))")
_NAMED: Final = re.compile(rb"(?<![A-Z0-9_])([A-Z][A-Z0-9_]*+)\s*+=\s*+\"?\s*+([A-Z0-9_.+-]++)")
_NOZZLE: Final = (b"EXTRUDER", b"HOTEND", b"NOZZLE")
_SET_HEATER: Final = b"SET_HEATER_TEMPERATURE"


def command_of(line: bytes) -> bytes:
    """Return what a line commands, without its comments, in capitals."""
    return _ASIDE.sub(b"", line).strip().upper()


def words_of(command: bytes) -> dict[bytes, float]:
    """Return the letters of a command in capitals, with their figures."""
    return {letter: float(figure) for letter, figure in _WORD.findall(command)}


def targets(line: bytes) -> Iterator[tuple[str, float]]:
    """Yield what a line wants to be how hot: ``nozzle`` or ``bed``, and degrees Celsius.

    Reads more than any one firmware does: several commands in a line, spaces and zeros within a command,
    Klipper's own command, and the arguments of macros that are named after a heater.
    """
    command = command_of(line)
    for code, rest in _HEATS.findall(command):
        words = words_of(rest)
        part = _part(code, words)
        for letter in (b"S", b"R"):
            if letter in words:
                yield part, words[letter]
    named = dict(_NAMED.findall(command))
    if command.startswith(_SET_HEATER):
        named = {named.get(b"HEATER", b""): named.get(b"TARGET", b"")}
    for name, value in named.items():
        try:
            degrees = float(value)
        except ValueError:
            continue
        if b"BED" in name:
            yield "bed", degrees
        elif name.startswith(_NOZZLE):
            yield "nozzle", degrees


def _part(code: bytes, words: dict[bytes, float]) -> str:
    number = code[1:].strip().lstrip(b"0")
    bed = number in {b"140", b"190"} or (number == b"303" and words.get(b"E", 0) < 0)
    return "bed" if bed else "nozzle"
