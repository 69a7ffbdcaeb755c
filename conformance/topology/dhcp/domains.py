"""Domain names on the wire (RFC 1035, 4.1.4): labels, and pointers to labels that came before."""

from __future__ import annotations

import struct

#: RFC 1035, 2.3.4, and more pointers than names of that length can need.
_MOST_OCTETS, _MOST_POINTERS = 255, 128
_POINTER = 0xC0


def encoded(name: str) -> bytes:
    """Return a name without compression; the dot at its end may be there or not."""
    labels = [label.encode("latin-1") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def name_at(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at a place, without a dot at its end, and the place behind it.

    Raises:
        ValueError: there is none.
    """
    labels: list[str] = []
    end, octets, pointers = -1, 0, 0
    while True:
        if at >= len(data):
            raise ValueError(f"a name goes on behind the end, at {at}")
        size = data[at]
        if size & _POINTER == _POINTER:
            if at + 1 >= len(data):
                raise ValueError("a pointer is cut off")
            end = at + 2 if end < 0 else end
            (to,) = struct.unpack_from("!H", data, at)
            at, pointers = to & 0x3FFF, pointers + 1
            if pointers > _MOST_POINTERS:
                raise ValueError("pointers go round in a circle")
        elif size > 63:
            raise ValueError(f"a label of {size} octets")
        elif size == 0:
            return ".".join(labels), at + 1 if end < 0 else end
        else:
            label = data[at + 1 : at + 1 + size]
            octets += size + 1
            if len(label) < size or octets > _MOST_OCTETS:
                raise ValueError("a name is cut off, or too long")
            labels.append(label.decode("latin-1"))
            at += size + 1


def names(data: bytes) -> list[str]:
    """Return the names that stand one behind the other, pointers being to places in these data (RFC 3397).

    Raises:
        ValueError: they are not whole.
    """
    found, at = [], 0
    while at < len(data):
        name, at = name_at(data, at)
        found.append(name)
    return found
