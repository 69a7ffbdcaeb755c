"""Frames as the specs send them: plain Ethernet with a token that nothing else on the wire has."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

BROADCAST = "ff:ff:ff:ff:ff:ff"
#: A group address that nobody has joined (in the range that RFC 1112 maps IPv4 groups to).
UNREGISTERED_GROUP = "01:00:5e:7f:00:7f"
#: IEEE 802.1Q, table 8-1: one of the group addresses that are for the next station only; 802.1X uses it.
RESERVED_GROUP = "01:80:c2:00:00:03"
#: IEEE 802: for experiments on private networks.
ETHERTYPE = 0x88B5
ETHERTYPE_8021Q = 0x8100

_HEADER = 14


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to be sent; ``token`` occurs in it and in no other."""

    data: bytes
    token: bytes

    def __str__(self) -> str:
        """Give addresses, type and length."""
        return describe(self.data)


def build(
    source: str,
    destination: str,
    token: bytes,
    *,
    ethertype: int = ETHERTYPE,
    vlan: int | None = None,
    size: int = 64,
) -> Frame:
    """Build a frame; ``size`` is that of its payload in bytes, ``vlan`` puts an 802.1Q tag with that id in front."""
    tag = struct.pack("!HH", ETHERTYPE_8021Q, vlan) if vlan is not None else b""
    head = _octets(destination) + _octets(source) + tag + struct.pack("!H", ethertype)
    return Frame(head + token + bytes(max(0, size - len(token))), token)


def describe(data: bytes) -> str:
    """Say in one line what a frame is."""
    if len(data) < _HEADER:
        return f"{len(data)} bytes: {data.hex()}"
    (kind,) = struct.unpack_from("!H", data, 12)
    tag = ""
    if kind == ETHERTYPE_8021Q and len(data) >= _HEADER + 4:
        tci, kind = struct.unpack_from("!HH", data, 14)
        tag = f" vlan {tci & 0xFFF}"
    return f"{data[6:12].hex(':')} > {data[:6].hex(':')}{tag} type 0x{kind:04x} {len(data)} bytes"


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame as an endpoint saw it: when (seconds since the epoch), in which direction, and its bytes."""

    when: float
    sent: bool
    data: bytes

    @classmethod
    def now(cls, data: bytes, *, sent: bool = False) -> Captured:
        """Stamp a frame with the present time."""
        return cls(time.time(), sent, data)


def pcap(captured: Iterable[Captured]) -> bytes:
    """Return frames as a pcap file (draft-ietf-opsawg-pcap): link type Ethernet, microseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, 1)]
    for frame in captured:
        seconds = int(frame.when)
        micros = int((frame.when - seconds) * 1_000_000)
        parts.append(struct.pack("<IIII", seconds, micros, len(frame.data), len(frame.data)) + frame.data)
    return b"".join(parts)
