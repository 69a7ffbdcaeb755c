"""Packet sockets of Linux: frames as they are on a device."""

from __future__ import annotations

import errno
import socket
import struct

from conformance.topology import frames

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_PACKET_IGNORE_OUTGOING = 23
_TP_STATUS_VLAN_VALID = 0x10


def packet_socket(device: str) -> socket.socket:
    """Return a socket that sends frames by a device of the calling thread's stack, and sees those that come by it."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
    sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind((device, _ETH_P_ALL))
    return sock


def drain_packets(sock: socket.socket) -> list[bytes]:
    """Return the frames that have come, with their VLAN tags put back where the kernel has taken them off."""
    seen: list[bytes] = []
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(20))
        except BlockingIOError:
            return seen
        except OSError as error:
            if error.errno == errno.ENETDOWN:
                continue
            raise
        for level, kind, value in ancillary:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
                status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", value)
                if status & _TP_STATUS_VLAN_VALID:
                    data = data[:12] + struct.pack("!HH", tpid or frames.ETHERTYPE_8021Q, tci) + data[12:]
        seen.append(data)
