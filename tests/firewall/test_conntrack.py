"""Forgetting connections, with the real kernel."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from ipaddress import ip_address

from conformance.topology.linux import Sandbox
from refnet.firewall import conntrack


def track(stack: Sandbox) -> None:
    """Have connections tracked, which the kernel does for whoever has a rule about them."""
    for program in ("iptables", "ip6tables"):
        stack.run(program, "-w", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")


def send(address: str, *ports: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in ports:
        with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.sendto(b"x", (address, port))


def test_connections_of_an_address_are_forgotten_and_counted(stack: Sandbox) -> None:
    assert conntrack.forget(ip_address("127.0.0.2")) == 0
    track(stack)
    send("127.0.0.2", *range(1000, 1200))
    send("127.0.0.3", 1000, 1001)
    send("::1", 1000)
    assert conntrack.forget(ip_address("127.0.0.2")) == 200
    assert conntrack.forget(ip_address("127.0.0.2")) == 0
    assert conntrack.forget(ip_address("::1")) == 1
    assert conntrack.forget(ip_address("127.0.0.1")) == 2  # the sender of what went to the third


def test_translated_connections_are_found_by_both_addresses(stack: Sandbox) -> None:
    track(stack)
    stack.run("iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-d", "127.0.0.9", "-j", "DNAT", "--to", "127.0.0.5")
    for address in ("127.0.0.9", "127.0.0.5"):
        send("127.0.0.9", 1000)
        assert conntrack.forget(ip_address(address)) == 1


def test_whether_it_can_be_done_here(stack: Sandbox) -> None:
    assert conntrack.probe() is None
    code = "from refnet.firewall import conntrack; print(conntrack.probe())"
    said = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "CAP_NET_ADMIN" in said
