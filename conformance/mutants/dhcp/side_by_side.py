"""Managers that mix networks up, or serve fewer than they should."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed, serving, starting
from refnet.dhcp import DhcpManager, DhcpNetwork, Range


@mutant(
    "one-server-at-a-time",
    "ends the server of a network when it starts that of another",
    {"DH-28": "nobody answered", "DH-29": "nobody answered"},
)
def one_server_at_a_time(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            for device in super().networks():
                if device != network.device:
                    super().stop(device)
            super().start(network)

    return Wrong


@mutant(
    "first-network-only",
    "serves the first of a device's networks only",
    {"DH-30": "nobody answered"},
)
def first_network_only(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        first = network.addresses[0]
        hosts = [host for host in network.hosts if all(one in first.network for one in host.addresses)]
        return changed(network, addresses=first, hosts=hosts)

    return serving(base, rewrite)


@mutant(
    "relays-unknown",
    "serves no networks behind relays",
    {"DH-25": "nobody answered"},
)
def relays_unknown(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        ranges = [one for one in network.ranges if one.network is None]
        hosts = [one for one in network.hosts if all(any(a in net for net in network.networks) for a in one.addresses)]
        return changed(network, ranges=ranges, hosts=hosts)

    return serving(base, rewrite)


@mutant(
    "relays-from-anywhere",
    "gives addresses to networks that nobody told it of",
    {"DH-26": "a relay of a network that is not served"},
)
def relays_from_anywhere(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        unknown = Range("10.77.0.100", "10.77.0.199", "10.77.0.0/24")
        return changed(network, ranges=[*network.ranges, unknown])

    return serving(base, rewrite)


@mutant(
    "answers-through-others",
    "answers through whatever device it is asked",
    {"DH-32": "a client behind another device"},
    bases=("DnsmasqManager",),
)
def answers_through_others(base: Any) -> type[DhcpManager]:
    return starting(base, "--interface=br-b", "--dhcp-range=10.8.0.100,10.8.0.199")
