"""Which programs change nothing, and what stands in the place of one that is to fail."""

import socket
import subprocess

import pytest

from conformance import faults, system
from conformance.asking import only_asks


@pytest.mark.parametrize(
    ("command", "asks"),
    [
        ("iptables-save", True),
        ("/usr/sbin/iptables-legacy-save -c -t filter", True),
        ("iptables-restore --test", True),
        ("iptables-legacy-restore -n -t", True),
        ("iptables-restore -n", False),
        ("ip6tables-nft-restore -n -w 5", False),
        ("iptables -S FORWARD", True),
        ("iptables -w -t nat -nvL", True),
        ("iptables-nft --list-rules", True),
        ("iptables -C INPUT -j ACCEPT", True),
        ("iptables --version", True),
        ("iptables -A INPUT -j ACCEPT", False),
        ("iptables -t nat -F", False),
        ("ebtables-nft -A FORWARD -j DROP", False),
        ("ebtables -t filter -L", True),
        ("nft list ruleset", True),
        ("nft -s -a list table inet refnet", True),
        ("nft -j list tables", True),
        ("nft -c -f -", True),
        ("nft --check -f rules", True),
        ("nft -f -", False),
        ("nft -f list", False),
        ("nft flush ruleset", False),
        ("nft add table inet refnet", False),
        ("nft --version", True),
        ("conntrack -L -f ipv4", True),
        ("conntrack -D -s 192.0.2.1", False),
        ("conntrack -F", False),
        ("ipset list", True),
        ("ipset add one 192.0.2.1", False),
        ("ip link add br0 type bridge", True),  # the kernel tells of it
        ("sh -c true", True),
    ],
)
def test_what_only_asks_on_linux(command, asks):
    assert only_asks(command.split(), on=system.LINUX) is asks


@pytest.mark.parametrize(
    ("command", "asks"),
    [
        ("pfctl -s rules", True),
        ("pfctl -a refnet/web -sr", True),
        ("pfctl -vvs info", True),
        ("pfctl -a refnet/web -t them -T show", True),
        ("pfctl -nf -", True),
        ("pfctl -a refnet/web -f -", False),
        ("pfctl -a refnet/web -t them -T add 192.0.2.1", False),
        ("pfctl -F all", False),
        ("pfctl -k 192.0.2.1", False),
        ("pfctl -e", False),
    ],
)
def test_what_pfctl_only_asks(command, asks):
    assert only_asks(command.split(), on=system.FREEBSD) is asks


@pytest.mark.parametrize(
    ("program", "words", "status"),
    [
        ("iptables-legacy-restore", "iptables-restore v1.8.9 (legacy)", 1),
        ("ip6tables-restore", "ip6tables-restore v1.8.9", 1),
        ("iptables-nft-restore", "(nf_tables)", 4),
        ("ebtables-nft", "(nf_tables)", 4),
        ("nft", "Could not process rule: No buffer space available", 1),
        ("ip", "RTNETLINK answers: No buffer space available", 2),
    ],
)
def test_a_program_that_is_to_fail_says_what_it_would_say(program, words, status):
    with faults.injected(1) as injection:
        done = subprocess.run([f"/usr/sbin/{program}", "-f", "-"], capture_output=True, text=True, input="text")
    assert injection.hit
    assert words in done.stderr
    assert done.returncode == status


def test_programs_that_write_are_told_from_those_that_ask():
    with faults.injected(0) as injection:
        subprocess.run(["nft", "--version"], capture_output=True, check=True)
        subprocess.run(["iptables-legacy", "-V"], capture_output=True, check=True)
    assert (injection.requests, injection.writes) == (2, 0)
    with faults.injected(0) as injection:
        subprocess.run(["iptables-legacy-restore", "--no-such-option"], capture_output=True)
    assert (injection.requests, injection.writes) == (1, 1)


def test_a_table_that_is_set_by_a_socket_is_a_request_that_writes():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock, faults.injected(1) as injection:
        with pytest.raises(OSError, match="No buffer space"):
            sock.setsockopt(socket.IPPROTO_IP, 64, bytes(80))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    assert (injection.requests, injection.writes) == (1, 1)
