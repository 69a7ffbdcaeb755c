"""Captures as people read them: one row a frame.

Scapy knows the protocols. It is imported when the first capture is decoded, since that takes half a second, and only as
far as the suite's frames go: link layer, IPv4, IPv6.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Frames that are decoded of one file, and bytes that are read of it. No spec comes near; a flood does.
FRAME_LIMIT = 200
BYTE_LIMIT = 4 << 20

_FILE_HEADER = 24
_RECORD_HEADER = 16
#: What a pcap file begins with (draft-ietf-opsawg-pcap): either byte order, microseconds or nanoseconds.
_MAGICS = tuple(bytes.fromhex(word) for word in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1"))


@dataclass(frozen=True, slots=True)
class Row:
    """A frame: when (seconds since the epoch), from and to (MAC addresses where it has any), and what it says."""

    when: float
    source: str
    destination: str
    summary: str
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """What could be read of a file: the first frames of it, how many there are, and what is wrong with it."""

    rows: tuple[Row, ...]
    total: int
    note: str = ""


def decode(path: Path, limit: int = FRAME_LIMIT) -> Capture:
    """Return what a pcap file holds. Whatever the file is like, this returns: ``note`` says what could not be read."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTE_LIMIT + 1)
    except OSError as error:
        return Capture((), 0, f"it cannot be read: {error.strerror}")
    try:
        scapy = _scapy()
    except ImportError as error:
        return Capture((), 0, f"scapy, which decodes it, cannot be imported ({error}): 'pip install scapy' brings it")
    notes = [f"only its first {BYTE_LIMIT >> 20} MiB were read"] if len(data) > BYTE_LIMIT else []
    data = data[:BYTE_LIMIT]
    if data and not data.startswith(_MAGICS):
        return Capture((), 0, "it is no pcap file")
    if len(data) < _FILE_HEADER:
        return Capture((), 0, "it ends within its header" if data else "it is empty")
    reader = scapy.RawPcapReader(io.BytesIO(data))
    layer = scapy.layers.get(reader.linktype)
    if layer is None:
        notes.append(f"frames of link type {reader.linktype} are not decoded")
    rows: list[Row] = []
    total = 0
    used = _FILE_HEADER
    for frame, about in _records(reader, notes):
        total += 1
        used += _RECORD_HEADER + about.caplen
        if len(rows) < limit:
            when = about.sec + about.usec / (1e9 if reader.nano else 1e6)
            rows.append(Row(when, *_read(scapy, layer, frame), about.wirelen, frame))
    if used > len(data) and len(data) < BYTE_LIMIT:
        notes.append(f"its last frame is cut short: {used - len(data)} bytes of it are missing")
    elif used < len(data) < BYTE_LIMIT:
        notes.append(f"{len(data) - used} bytes at its end are no whole frame")
    return Capture(tuple(rows), total, "; ".join(notes))


def dump(data: bytes) -> str:
    """Return bytes in hexadecimal and as ASCII, 16 a line."""
    return "\n".join(_dumped(offset, data[offset : offset + 16]) for offset in range(0, len(data), 16))


def _records(reader: Any, notes: list[str]) -> Iterator[tuple[bytes, Any]]:
    try:
        yield from reader
    # Scapy names what it does not like by many types of exception; none of them is to cost the report.
    except Exception as error:
        notes.append(f"it is damaged: {_words(error)}")


def _read(scapy: _Scapy, layer: Any, frame: bytes) -> tuple[str, str, str]:
    """Return source, destination and summary of a frame; one that is not what it says still has its bytes."""
    if layer is None:
        return "", "", f"{len(frame)} bytes"
    try:
        packet = layer(frame)
        source, destination = str(getattr(packet, "src", "")), str(getattr(packet, "dst", ""))
        return source, destination, _summary(scapy, packet)
    except Exception as error:
        return "", "", f"{len(frame)} bytes that cannot be decoded: {_words(error)}"


def _summary(scapy: _Scapy, packet: Any) -> str:
    tags = []
    carrier, content = packet, packet.payload
    while isinstance(content, scapy.Dot1Q):
        tags.append(f"VLAN {content.vlan}" + (f" priority {content.prio}" if content.prio else ""))
        carrier, content = content, content.payload
    if isinstance(content, (scapy.Raw, scapy.NoPayload)):
        kind = getattr(carrier, "type", None)
        words = f"{len(content)} bytes" if kind is None else f"type 0x{kind:04x}, {len(content)} bytes"
    else:
        words = content.summary().replace(" / Raw", "").replace(" / Padding", "")
    return " / ".join([*tags, words])


class _Scapy:
    """What of scapy is used, imported and set up in one place."""

    def __init__(self) -> None:
        # It warns of interfaces and addresses of this host, which have nothing to do with a file.
        logging.getLogger("scapy").setLevel(logging.CRITICAL)
        with _without_a_home():
            import scapy.main

        # It would write pickles there, and read what it finds.
        scapy.main.SCAPY_CACHE_FOLDER = None
        from scapy.config import conf
        from scapy.layers import inet, inet6, l2  # noqa: F401  (inet6 makes itself known to the others)
        from scapy.packet import NoPayload, Raw
        from scapy.utils import RawPcapReader

        # Port numbers as numbers: which names they have depends on this host's /etc/services.
        conf.noenum.add(inet.TCP.sport, inet.TCP.dport, inet.UDP.sport, inet.UDP.dport)
        self.RawPcapReader: Any = RawPcapReader
        self.Dot1Q, self.Raw, self.NoPayload = l2.Dot1Q, Raw, NoPayload
        #: What dissects the frames of a link type (https://www.tcpdump.org/linktypes.html), by its number.
        self.layers: dict[int, Any] = conf.l2types.num2layer


_scapy = functools.cache(_Scapy)


@contextlib.contextmanager
def _without_a_home() -> Iterator[None]:
    """Have scapy make no directories in the user's home when it is imported: these are there, and take no files."""
    names = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _words(error: Exception) -> str:
    return f"{error or type(error).__name__}"


def _dumped(offset: int, line: bytes) -> str:
    octets = " ".join(f"{octet:02x}" for octet in line)
    text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in line)
    return f"{offset:04x}  {octets:<47}  {text}"
