"""Managers that are wrong about DNS: what is known, what goes to others, and who is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.addressing6 import DNSMASQ
from conformance.mutants.dhcp.making import changed, changed_host, patched, serving
from refnet.dhcp import DhcpManager, DhcpNetwork, Dns, Host
from refnet.dhcp.dnsmasq import hosts, plan


def _started_with(base: Any, change: Callable[[list[str]], Iterable[str]]) -> type[DhcpManager]:
    """Return a wrong class that starts dnsmasq with other arguments."""
    right = plan._arguments
    return patched(base, plan, "_arguments", lambda *given: list(change(list(right(*given)))))


def _named(base: Any, change: Callable[[list[str]], list[str]]) -> type[DhcpManager]:
    """Return a wrong class that tells dnsmasq other names of hosts."""
    right = hosts.name_lines
    return patched(base, plan, "name_lines", lambda *given: change(right(*given)))


@mutant(
    "names-with-leases-only",
    "knows the name of a host once it has its lease, and whoever tells it first",
    {
        "DN-01": "a host's name before its lease, asked at 10.9.0.1",
        "DN-03": "a host's name: web is to be 10.9.0.5",
        "DN-09": "the name of a host that a client has told as well",
    },
    bases=DNSMASQ,
)
def names_with_leases_only(base: Any) -> type[DhcpManager]:
    return _named(base, lambda lines: [])


@mutant(
    "names-of-ipv4-only",
    "knows the names of hosts with their IPv4 addresses only",
    {"DN-01": "web.cloud.example is to be fd09::10", "DN-07": "60 addresses are not for one datagram"},
    bases=DNSMASQ,
)
def names_of_ipv4_only(base: Any) -> type[DhcpManager]:
    return _named(base, lambda lines: [line for line in lines if ":" not in line])


@mutant(
    "clients-have-no-names",
    "takes no names from clients",
    {
        "DN-02": "the name that a client has told: pc.cloud.example is to be 10.9.0.1",
        "DN-03": "the name that a client has told: pc is to be 10.9.0.1",
    },
    bases=DNSMASQ,
)
def clients_have_no_names(base: Any) -> type[DhcpManager]:
    return _started_with(base, lambda arguments: [*arguments[:-1], "--dhcp-ignore-names", arguments[-1]])


@mutant(
    "names-have-a-domain",
    "has names in a domain that nobody has told it of",
    {"DN-03": "a host's address: 10.9.0.5 is to be web, and is"},
)
def names_have_a_domain(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, domain=network.domain or "local.example"))


@mutant(
    "own-names-forwarded",
    "asks others for names of the network's own domain that it does not know",
    {"DN-04": "ghost.cloud.example, which nobody has"},
    bases=DNSMASQ,
)
def own_names_forwarded(base: Any) -> type[DhcpManager]:
    return _started_with(base, lambda arguments: [one for one in arguments if one != "--local=/cloud.example/"])


@mutant(
    "own-addresses-forwarded",
    "asks others for names of the network's own addresses that it does not know",
    {"DN-04": "77.0.9.10.in-addr.arpa, which nobody has"},
    bases=DNSMASQ,
)
def own_addresses_forwarded(base: Any) -> type[DhcpManager]:
    return _started_with(base, lambda arguments: [one for one in arguments if not one.endswith(".arpa/")])


@mutant(
    "asks-the-hosts-servers",
    "forwards to the servers that the host asks itself",
    {"DN-05": "there is nobody to forward to, and other.example is answered: NOERROR"},
    bases=DNSMASQ,
)
def asks_the_hosts_servers(base: Any) -> type[DhcpManager]:
    return _started_with(base, lambda arguments: [one for one in arguments if one != "--no-resolv"])


@mutant(
    "forwarders-reversed",
    "asks the last forwarder first",
    {"DN-06": "the first forwarder answers, and the second was asked for ['ghost.example', 'name-0.example'"},
)
def forwarders_reversed(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, dns=Dns(network.dns.forwarders[::-1])) if network.dns else network

    return serving(base, rewrite)


@mutant(
    "forwarders-all-at-once",
    "asks all forwarders at once",
    {"DN-06": "the first forwarder answers, and the second was asked for"},
    bases=DNSMASQ,
)
def forwarders_all_at_once(base: Any) -> type[DhcpManager]:
    return _started_with(
        base, lambda arguments: ["--all-servers" if one == "--strict-order" else one for one in arguments]
    )


@mutant(
    "first-forwarder-only",
    "asks nobody else when the first forwarder does not answer",
    {"DN-06": "asked 10.9.0.1 for name-3.example A, and got no answer"},
)
def first_forwarder_only(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, dns=Dns(network.dns.forwarders[:1])) if network.dns else network

    return serving(base, rewrite)


@mutant(
    "forwards-nothing",
    "forwards nothing",
    {
        "DN-04": "a name of somebody else's: other.example is to be 198.51.100.1",
        "DN-07": "of a name of somebody else's",
    },
)
def forwards_nothing(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, dns=Dns()) if network.dns else network)


@mutant(
    "open-resolver",
    "answers queries by whichever device they come",
    dict.fromkeys(("DN-08", "DW-07"), "from another network, by UDP at 10.9.0.1"),
    bases=DNSMASQ,
)
def open_resolver(base: Any) -> type[DhcpManager]:
    return _started_with(
        base, lambda arguments: ["--bind-interfaces" if one == "--bind-dynamic" else one for one in arguments]
    )


@mutant("dns-unasked", "serves DNS where it is not to", {"DN-10": "where DNS is not served, by UDP"})
def dns_unasked(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, dns=Dns()) if network.dns is None else network)


@mutant(
    "removed-host-known",
    "goes on to know a host that was removed",
    {"DN-11": "a host that was removed: one.cloud.example is to be unknown"},
)
def removed_host_known(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_host(self, device: str, identity: str) -> None:
            self.network(device)

    return Wrong


@mutant(
    "added-host-unnamed",
    "does not know the name of a host that is added",
    {"DN-11": "a host that was added: two.cloud.example is to be 10.9.0.6"},
)
def added_host_unnamed(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_host(self, device: str, host: Host) -> None:
            super().add_host(device, changed_host(host, name=None))

    return Wrong


@mutant(
    "old-names-known",
    "knows a host by the name and address that it had before as well",
    {"DN-11": "the name that a host had before: two.cloud.example is to be unknown"},
    bases=DNSMASQ,
)
def old_names_known(base: Any) -> type[DhcpManager]:
    ever: dict[str, list[str]] = {}

    def wrong(host: Host, domain: str | None) -> list[str]:
        known = ever.setdefault(host.identities[0], [])
        known += [line for line in hosts.name_lines(host, domain) if line not in known]
        return list(known)

    return patched(base, plan, "name_lines", wrong)
