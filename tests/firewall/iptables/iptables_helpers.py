"""The real tools, and models that say one or more of everything."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import subprocess
from collections.abc import Iterator

from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Dnat,
    FirewallManager,
    Jump,
    Log,
    Mark,
    Masquerade,
    Not,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
)
from refnet.firewall.iptables import IptablesManager, LegacyIptablesManager, NftIptablesManager

VARIANTS: dict[str, type[IptablesManager]] = {"legacy": LegacyIptablesManager, "nft": NftIptablesManager}

LIMIT = 60

#: One or more of everything that can be said in table filter; and with it everything that is printed otherwise.
RULES = [
    Rule(ACCEPT, states={"established", "related", "new", "invalid", "untracked", "snat", "dnat"}),
    Rule(ACCEPT, states=Not("established", "related")),
    Rule(Jump("sub"), protocol="tcp", destination_ports=22),
    Rule(
        ACCEPT, protocol="tcp", source="192.0.2.1", source_ports=Not("1-1000"), destination_ports=[80, 443, "8000-8010"]
    ),
    Rule(ACCEPT, protocol="udp", destination_ports=list(range(1, 80, 2))),
    Rule(DROP, protocol="udp", destination_ports=Not(*range(1, 80, 2))),
    Rule(ACCEPT, protocol="udplite", destination_ports=[5, 7]),
    Rule(ACCEPT, protocol="icmp", icmp_type=8),
    Rule(ACCEPT, protocol="icmp", icmp_type="3/4"),
    Rule(ACCEPT, protocol="ipv6-icmp", icmp_type="neighbour-solicitation"),
    Rule(ACCEPT, protocol=41),
    Rule(ACCEPT, protocol="igmp"),
    Rule(ACCEPT, protocol=99),
    Rule(DROP, source=["192.0.2.0/24", "198.51.100.0/24"], destination=["203.0.113.1", "203.0.113.9"]),
    Rule(DROP, source=Not("192.0.2.0/24", "198.51.100.7")),
    Rule(DROP, source=Not("2001:db8::/32", "fe80::/10"), family=6),
    Rule(DROP, source=Not("192.0.2.7"), in_interface="tap1"),
    Rule(DROP, in_interface=Not("tap1", "tap2", "tap3"), out_interface=["eth0", "eth1"]),
    Rule(ACCEPT, in_interface=["tap1", "tap2"], limit="10/minute"),
    Rule(ACCEPT, limit=(4838, "minute", 7)),
    Rule(DROP, source_mac=["52:54:00:00:00:01", "52:54:00:00:00:02"]),
    Rule(DROP, source_mac=Not("52:54:00:00:00:01", "52:54:00:00:00:02")),
    Rule(ACCEPT, mark=Mark(1, 0xFF)),
    Rule(ACCEPT, mark=7),
    Rule(Log("a prefix, with: {signs}"), comment="-j own.sub"),
    Rule(Log(), comment="COMMIT *nat :x - [0:0]; $(id)"),
    Rule(Log("!"), comment="!"),
    Rule(Log("-j"), comment="-"),
    Rule(Log("--"), comment="#"),
    Rule(Log("a  b"), comment=":x"),
    Rule(Reject()),
    Rule(Reject("tcp-reset"), protocol="tcp"),
    Rule(Reject("admin-prohibited"), source="2001:db8::1"),
    Rule(RETURN),
]

NAT = [
    Rule(Masquerade(), source="10.0.0.0/8"),
    Rule(Masquerade((1024, 2048)), protocol="tcp"),
    Rule(Snat("192.0.2.1", (80, 90)), protocol="tcp"),
    Rule(Snat("2001:db8::1", 80), protocol="tcp"),
]


def run(*argv: str, stdin: str | None = None) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def save(variant: str, family: int = 4) -> str:
    """Return what stands, without comments and without the counters of built-in chains."""
    printed = run(f"{'ip' if family == 4 else 'ip6'}tables-{variant}-save", "-c")
    return "\n".join(line for line in printed.splitlines() if not line.startswith("#"))


def restore(variant: str, text: str, family: int = 4) -> None:
    run(f"{'ip' if family == 4 else 'ip6'}tables-{variant}-restore", "--noflush", stdin=text)


def fill(manager: FirewallManager) -> None:
    """Put one or more of everything into a model."""
    manager.add_chain("guests", hook="forward")
    manager.add_chain("sub")
    manager.add_chain("a-name-of-more-than-28-bytes-0", hook="input")
    for rule in RULES:
        manager.add_rule("guests", rule)
    manager.add_rule("sub", Rule(DROP, source="192.0.2.7"))
    manager.add_rule("a-name-of-more-than-28-bytes-0", Rule(DROP, protocol="tcp", destination_ports=23))
    manager.add_chain("leave", hook="postrouting", table="nat")
    manager.add_chain("come", hook="prerouting", table="nat")
    for rule in NAT:
        manager.add_rule("leave", rule, table="nat")
    manager.add_rule("come", Rule(Dnat("192.0.2.1", 80), protocol="tcp", destination_ports=8080), table="nat")
    manager.add_rule("come", Rule(Redirect((3128, 3130)), protocol="tcp", destination_ports=3128), table="nat")
    manager.add_chain("fill", hook="postrouting", table="mangle")
    manager.add_rule("fill", Rule(CHECKSUM_FILL, protocol="udp", destination_ports=68), table="mangle")
    manager.add_rule("fill", Rule(SetMark(1, 0xFF)), table="mangle")


def send(address: str, port: int, times: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(times):
            with contextlib.suppress(OSError):  # nobody listens
                sock.sendto(b"x", (address, port))


@contextlib.contextmanager
def held_lock() -> Iterator[None]:
    with open("/run/xtables.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
