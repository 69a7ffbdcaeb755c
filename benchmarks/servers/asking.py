"""Clients that ask for leases as fast as they are answered: ``python -m benchmarks.servers.asking SECONDS CLIENTS``.

They speak DHCP (RFC 2131) from the end of a cable, a few at a time, each by the MAC address of a host that the server
knows: DISCOVER, and when an OFFER comes, REQUEST. What is not answered for a while is asked for again.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections import deque

from benchmarks.servers import ground

#: How many ask at once, and seconds until one asks again.
_AT_ONCE, _PATIENCE = 8, 1.0
_ETH_P_IP, _PACKET_OUTGOING = 0x0800, 4
_EVERYBODY = b"\xff" * 6
_COOKIE = bytes((99, 130, 83, 99))
_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK = 1, 2, 3, 5, 6
#: Octets of the headers of Ethernet, IPv4 and UDP, and of all before DHCP's options.
_HEADERS, _FIXED = 14 + 20 + 8, 240


def main() -> int:
    """Ask for so many seconds, and print how many leases came in each, and how long the slowest one took."""
    seconds, clients = float(sys.argv[1]), int(sys.argv[2])
    waits, repeated, refused = ask(seconds, clients)
    slowest = max(waits, default=seconds)
    print(json.dumps({"leases": len(waits) / seconds, "slowest": slowest, "repeated": repeated, "refused": refused}))
    return 0


def ask(seconds: float, clients: int) -> tuple[list[float], int, int]:
    """Return the seconds that each lease took, how often something had to be asked again, and how often refused."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
    wire.bind((ground.CLIENTS, _ETH_P_IP))
    wire.setblocking(False)
    macs = deque(bytes.fromhex(ground.mac(number).replace(":", "")) for number in range(clients))
    #: By transaction: the client, when it began, when it last asked, and with what.
    open_: dict[int, tuple[bytes, float, float, bytes]] = {}
    waits: list[float] = []
    repeated, refused, following = 0, 0, 1

    def send(frame: bytes) -> None:
        while True:
            try:
                wire.send(frame)
                return
            except (BlockingIOError, OSError):
                select.select([], [wire], [], 0.01)

    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        while len(open_) < _AT_ONCE:
            mac = macs[0]
            macs.rotate(-1)
            frame = _frame(mac, following, _DISCOVER)
            open_[following] = (mac, now, now, frame)
            following += 1
            send(frame)
        select.select([wire], [], [], 0.05)
        for packet in _received(wire):
            found = _parsed(packet)
            if found is None or found[0] not in open_:
                continue
            transaction, kind, address, server = found
            mac, began, _, _ = open_[transaction]
            now = time.monotonic()
            if kind == _OFFER:
                frame = _frame(mac, transaction, _REQUEST, b"\x32\x04" + address + b"\x36\x04" + server)
                open_[transaction] = (mac, began, now, frame)
                send(frame)
            elif kind in (_ACK, _NAK):
                del open_[transaction]
                refused += kind == _NAK
                if kind == _ACK:
                    waits.append(now - began)
        for transaction, (mac, began, asked, frame) in list(open_.items()):
            if now - asked > _PATIENCE:
                repeated += 1
                open_[transaction] = (mac, began, now, frame)
                send(frame)
    wire.close()
    return waits, repeated, refused


def _received(wire: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    while True:
        try:
            packet, origin = wire.recvfrom(2048)
        except BlockingIOError:
            return found
        if origin[2] != _PACKET_OUTGOING:
            found.append(packet)


def _frame(mac: bytes, transaction: int, kind: int, options: bytes = b"") -> bytes:
    """Return a frame with a message, from a client that has no address yet."""
    message = struct.pack("!BBBBIHH16x16s192x", 1, 1, 6, 0, transaction, 0, 0, mac) + _COOKIE
    message += bytes((53, 1, kind)) + options + bytes((55, 3, 1, 3, 6, 255))
    datagram = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack("!BBHHHBBH4x4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, b"\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    head = head[:10] + struct.pack("!H", checksum) + head[12:]
    return _EVERYBODY + mac + struct.pack("!H", _ETH_P_IP) + head + datagram


def _parsed(frame: bytes) -> tuple[int, int, bytes, bytes] | None:
    """Return transaction, kind, the client's address and the server's of an answer; None: it is none."""
    if len(frame) < _HEADERS + _FIXED or frame[23] != 17 or frame[34:38] != b"\x00\x43\x00\x44":
        return None
    message = frame[_HEADERS:]
    options, kind, server = message[_FIXED:], 0, b""
    at = 0
    while at + 1 < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
            continue
        data = options[at + 2 : at + 2 + options[at + 1]]
        kind = data[0] if options[at] == 53 else kind
        server = data if options[at] == 54 else server
        at += 2 + len(data)
    return struct.unpack("!I", message[4:8])[0], kind, message[16:20], server


if __name__ == "__main__":
    sys.exit(main())
