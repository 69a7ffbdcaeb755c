"""Wrong about the firewall's rules that let clients in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import patched
from refnet.dhcp import DhcpManager, DhcpNetwork
from refnet.dhcp.dnsmasq import rules
from refnet.firewall import ACCEPT, Rule

DNSMASQ = ("DnsmasqManager",)


@mutant(
    "firewall-unused",
    "takes a firewall and makes no rule",
    {
        "DW-01": "nobody answered",
        "DW-02": "there stands no rule",
        "DW-03": "nobody answered",
        "DW-04": "nobody answered",
        "DW-05": "the checksum of an answer is",
    },
)
def unused(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, firewall: Any = None, **options: Any) -> None:
            super().__init__(*args, **options)

    return Wrong


def _accepting(base: Any, accepting: Any) -> type[DhcpManager]:
    return patched(base, rules, "accepting", accepting)


@mutant(
    "rules-open-all",
    "lets clients in at all ports",
    {"DW-01": "a datagram to another port has come through a closed firewall"},
    bases=DNSMASQ,
)
def open_all(base: Any) -> type[DhcpManager]:
    return _accepting(base, lambda network: [Rule(ACCEPT, in_interface=network.device)])


@mutant("rules-without-tcp", "lets nobody ask DNS by TCP", {"DW-01": "by TCP, and got no answer"}, bases=DNSMASQ)
def without_tcp(base: Any) -> type[DhcpManager]:
    original = rules.accepting
    return _accepting(base, lambda network: [one for one in original(network) if one.protocol != "tcp"])


@mutant("rules-of-ipv4-only", "makes no rule for IPv6", {"DW-04": "nobody answered"}, bases=DNSMASQ)
def ipv4_only(base: Any) -> type[DhcpManager]:
    original = rules.accepting
    return _accepting(base, lambda network: [one for one in original(network) if one.family == 4])


@mutant("rules-stay", "leaves its rules when it stops a server", {"DW-02": "after stop, there stands"})
def stay(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        firewall: Any

        def stop(self, device: str, *, forget: bool = False) -> None:
            kept, self.firewall = self.firewall, None
            try:
                super().stop(device, forget=forget)
            finally:
                self.firewall = kept

    return Wrong


@mutant(
    "rules-of-one-network",
    "has rules for one network only",
    {"DW-03": "nobody answered"},
    bases=DNSMASQ,
)
def of_one(base: Any) -> type[DhcpManager]:
    original = rules.lay

    def lay(firewall: Any, networks: Iterable[DhcpNetwork], *rest: Any) -> None:
        original(firewall, [one for one in networks if one.device != "br-dhcp"], *rest)

    return patched(base, rules, "lay", lay)


@mutant("rules-without-checksums", "fills in no checksums", {"DW-05": "the checksum of an answer is"}, bases=DNSMASQ)
def without_checksums(base: Any) -> type[DhcpManager]:
    return patched(base, rules, "filling", lambda network: [])


@mutant(
    "rules-written-always",
    "writes all rules anew at every start",
    {"DW-06": "the second start with a firewall"},
)
def written_always(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            super().start(network)
            if self.firewall is not None:
                self.firewall.teardown()
                self.firewall.resync()

    return Wrong


@mutant(
    "rules-once",
    "looks after its rules only when it starts a server",
    {"DW-06": "the manager's rules do not stand again"},
)
def once(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            if not super().running(network.device).is_running:
                super().start(network)

    return Wrong
