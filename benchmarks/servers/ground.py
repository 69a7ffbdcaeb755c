"""Where servers serve: a cable in a namespace of this process, a directory in memory, and networks of many hosts."""

from __future__ import annotations

import socket
import struct
import subprocess
from pathlib import Path

from refnet.dhcp import DhcpNetwork, Host

#: The server's end of a cable, and the clients'.
DEVICE, CLIENTS = "dhcp0", "dhcp1"
_NETWORK = "10.8.0.1/14"
_FIRST = 0x0A080100
#: Seconds in which any query is answered.
_LIMIT = 60


def prepare() -> Path:
    """Lay the cable and return a directory; the disk is not what is measured. Both go with the process."""
    for command in (
        "link set lo up",
        f"link add {DEVICE} type veth peer name {CLIENTS}",
        f"link set {DEVICE} up",
        f"link set {CLIENTS} up",
        f"addr add {_NETWORK} dev {DEVICE}",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    directory = Path("/run/dhcp")
    directory.mkdir()
    return directory


def ask_for(name: str) -> None:
    """Ask the server for the address of a name, and return when it tells one.

    Raises:
        TimeoutError: it does not, for a long time.
        RuntimeError: it knows none.
    """
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_LIMIT)
        asking.sendto(struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1", ("10.8.0.1", 53))
        answer = asking.recv(512)
    if answer[3] & 15 or not int.from_bytes(answer[6:8], "big"):
        raise RuntimeError(f"the server does not know {name}")


def mac(number: int) -> str:
    """Return the MAC address of a host."""
    return f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def address(number: int) -> str:
    """Return the address of a host."""
    octets = (_FIRST + number).to_bytes(4, "big")
    return ".".join(map(str, octets))


def told(number: int) -> tuple[str, str, str]:
    """Return MAC address, address and name of a host."""
    return mac(number), address(number), f"host-{number}"


def host(number: int) -> Host:
    """Return a host, as a cloud's guest is one."""
    hardware, ip, name = told(number)
    return Host(hardware, ip, name=name)


def network(count: int) -> DhcpNetwork:
    """Return a network of so many hosts."""
    return DhcpNetwork(DEVICE, _NETWORK, hosts=map(host, range(count)), gateway="10.8.0.1", domain="example.org")
