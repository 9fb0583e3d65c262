"""Unpacks what binary G-code is packed with: deflate, heatshrink and MeatPack. Bounded by what was announced."""

from typing import Final
import zlib

_LOOKAHEAD: Final = 4
_ESCAPE: Final = 0xF
_SIGNAL: Final = 0xFF
_NIBBLES: Final = b"0123456789. \nGX"
_SPACE: Final = 11


class Broken(Exception):
    """The file is not what it says, or larger than anybody would print."""


def inflate(data: bytes, size: int) -> bytes:
    """Unpack deflate of exactly ``size`` bytes."""
    unpacker = zlib.decompressobj()
    return _of_size(unpacker.decompress(data, size + 1), size)


def unshrink(data: bytes, size: int, *, window: int) -> bytes:
    """Unpack heatshrink of exactly ``size`` bytes: bits from the highest, 1 before a byte, 0 before a copy."""
    out = bytearray()
    bits = have = at = 0
    end = len(data)
    copy = window + _LOOKAHEAD
    while len(out) < size:
        while have < copy + 1 and at < end:
            bits = (bits << 8 | data[at]) & 0xFFFFFFFF
            at, have = at + 1, have + 8
        literal = have and bits >> (have - 1) & 1
        need = 8 if literal else copy
        if have < need + 1:
            break
        have -= need + 1
        value = bits >> have & ((1 << need) - 1)
        if literal:
            out.append(value)
            continue
        back, count = (value >> _LOOKAHEAD) + 1, (value & 0xF) + 1
        for _ in range(count):
            # What lies before the beginning is an empty window.
            out.append(out[-back] if back <= len(out) else 0)
    return _of_size(bytes(out), size)


def meatpack(data: bytes) -> bytes:
    """Unpack MeatPack: two of the commonest characters in a byte, the lower half first."""
    out = bytearray()
    table = bytearray(_NIBBLES)
    packing = False
    at, end = 0, len(data)
    while at < end:
        byte = data[at]
        at += 1
        if byte == _SIGNAL and data[at : at + 1] == b"\xff":
            packing = _obey(data[at + 1 : at + 2], table, packing=packing)
            at += 2
        elif not packing:
            out.append(byte)
        else:
            low, high = byte & 0xF, byte >> 4
            for half in (low, high):
                if half != _ESCAPE:
                    out.append(table[half])
                elif at < end:
                    out.append(data[at])
                    at += 1
    return bytes(out)


def _obey(command: bytes, table: bytearray, *, packing: bool) -> bool:
    """Do what a command byte says; returns whether packed bytes follow."""
    match command:
        case b"\xf7":
            table[_SPACE] = ord("E")
        case b"\xf6":
            table[_SPACE] = ord(" ")
        case b"\xfb":
            return True
        case b"\xfa":
            return False
        case b"\xf9":
            table[_SPACE] = ord(" ")
            return False
    return packing


def _of_size(content: bytes, size: int) -> bytes:
    if len(content) != size:
        message = "a block has not the size that it announced"
        raise Broken(message)
    return content
