"""Turns the bytes of tokens into letters exactly as llama.cpp's grammar counts them.

A model may write bytes that are no UTF-8. The grammar takes them by the length that their first byte
announces; a stricter reader would see other letters, and JSON that held to the grammar would not be JSON.
"""

from typing import Final

NO_LETTER: Final = "\N{REPLACEMENT CHARACTER}"


class Letters:
    """Reads bytes as they come."""

    def __init__(self) -> None:
        """Begin."""
        self._value = 0
        self._missing = 0

    def feed(self, data: bytes) -> str:
        """Return the letters that are whole."""
        return "".join(map(self._next, data))

    def end(self) -> str:
        """Return the sign for a letter that was never finished, if there is one."""
        return NO_LETTER if self._missing else ""

    def _next(self, byte: int) -> str:
        if self._missing and byte & 0xC0 == 0x80:
            self._value = self._value << 6 | byte & 0x3F
            self._missing -= 1
            return "" if self._missing else _letter(self._value)
        broken, self._missing = self.end(), 0
        if byte < 0x80:
            return broken + chr(byte)
        if byte < 0xC0:  # what goes on, with nothing before it
            return broken + NO_LETTER
        self._missing = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
        self._value = byte & (0x7F >> self._missing)
        return broken


def _letter(value: int) -> str:
    return NO_LETTER if value > 0x10FFFF or 0xD800 <= value < 0xE000 else chr(value)
