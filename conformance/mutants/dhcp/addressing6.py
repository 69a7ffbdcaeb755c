"""Managers that are wrong about DHCPv6: whom they give which addresses, for how long, and what they tell besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed, changed_host, patched, serving, serving_hosts
from refnet.dhcp import DhcpManager, DhcpNetwork, Host, Ipv6Mode, Range, Status
from refnet.dhcp.dnsmasq import plan, server

DNSMASQ = ("DnsmasqManager",)


def _ranges(base: Any, change: Callable[[Range], Range]) -> type[DhcpManager]:
    """Return a wrong class that has other ranges of IPv6."""

    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        ranges = [change(one) if one.first.version == 6 else one for one in network.ranges]
        # A mode that has no ranges may follow: it does in other mutants.
        return changed(network, ranges=ranges)

    return serving(base, rewrite)


def as_mode(network: DhcpNetwork, mode: Ipv6Mode) -> DhcpNetwork:
    """Return a network whose clients come to IPv6 addresses in another way."""
    ranges = [one for one in network.ranges if mode.is_stateful or one.first.version == 4]
    if mode.is_stateful and not any(one.first.version == 6 for one in ranges):
        own = next(one.ip for one in network.addresses if one.version == 6)
        ranges.append(Range(own + 0x1000, own + 0x1FFF))
    return changed(network, ipv6=mode, ranges=ranges)


def with_mode(base: Any, instead: Ipv6Mode, of: Ipv6Mode) -> type[DhcpManager]:
    """Return a wrong class that takes one mode of IPv6 for another."""
    return serving(base, lambda network: as_mode(network, instead) if network.ipv6 is of else network)


@mutant(
    "range6-next",
    "gives IPv6 addresses of behind the range",
    {
        "D6-01": "the advertisement: fd09::200 is given, which is not in fd09::100-fd09::1ff",
        "D6-04": "a client that is no host: fd09::200 is given, which is not in",
        "D6-16": "a client of the first network: fd09::200 is given, which is not in",
    },
)
def range6_next(base: Any) -> type[DhcpManager]:
    return _ranges(base, lambda one: Range(one.last + 1, one.last + 1))


@mutant(
    "range6-one-more",
    "gives one IPv6 address more than the range has",
    {
        "D6-03": "the only address of the range is a host's, and a stranger is told",
        "D6-09": "the only address is let, and a second client is offered",
    },
)
def range6_one_more(base: Any) -> type[DhcpManager]:
    return _ranges(base, lambda one: Range(one.first, one.last + 1))


@mutant(
    "range6-of-one",
    "gives the first IPv6 address of a range only, again and again",
    {"D6-10": "fd09::100 was declined, and is given again", "D6-01": "is to get an address by DHCPv6, and gets"},
)
def range6_of_one(base: Any) -> type[DhcpManager]:
    return _ranges(base, lambda one: Range(one.first, one.first))


@mutant(
    "lifetimes6-usual",
    "gives IPv6 addresses for an hour, whatever it was told",
    {
        "D6-02": "a client has an address for 3600 s, and not 7200",
        "D6-07": "a renewal is for 3600 s, and not 1200",
    },
)
def lifetimes6_usual(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, lease_time=3600) if network.ipv6 else network)


@mutant(
    "duids-lost",
    "knows no hosts by their DUIDs",
    {
        "D6-02": "a host with its own lease time has an address for 7200 s",
        "D6-03": "the only address of the range is a host's, and a stranger is told ('Success',)",
        "D6-06": "the host with fd09::10 and fd0a::10 gets",
        "D6-14": "a host that is to be ignored: a was given",
    },
)
def duids_lost(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, client_id=None) if host.mac_addresses else None)


@mutant(
    "macs-are-of-ipv4",
    "knows hosts by their MAC addresses for IPv4 only",
    {"D6-04": "the host with fd09::10 gets", "D6-05": "the host with fd09::10 gets"},
)
def macs_are_of_ipv4(base: Any) -> type[DhcpManager]:
    def rewrite(host: Host) -> Host:
        kept = [one for one in host.addresses if one.version == 4 or host.client_id]
        return changed_host(host, addresses=kept)

    return serving_hosts(base, rewrite)


@mutant(
    "duids-of-macs-only",
    "knows a host by its MAC address if its DUID is made of that",
    {"D6-05": "the host with fd09::10 gets"},
)
def duids_of_macs_only(base: Any) -> type[DhcpManager]:
    def rewrite(host: Host) -> Host:
        if not host.mac_addresses or host.client_id:
            return host
        duid = f"00:03:00:01:{host.mac_addresses[0]}"
        return changed_host(host, mac_addresses=(), client_id=duid)

    return serving_hosts(base, rewrite)


@mutant(
    "first-address6-only",
    "gives hosts the first of their IPv6 addresses only",
    {"D6-06": "the host with fd09::10 and fd0a::10 gets"},
)
def first_address6_only(base: Any) -> type[DhcpManager]:
    def rewrite(host: Host) -> Host:
        six = [one for one in host.addresses if one.version == 6]
        return changed_host(host, addresses=[one for one in host.addresses if one not in six[1:]])

    return serving_hosts(base, rewrite)


@mutant(
    "leases6-not-forgotten",
    "keeps the leases of a network that is to be forgotten",
    {"D6-08": "a lease that was to be forgotten is renewed with REPLY fd09::1"},
)
def leases6_not_forgotten(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            super().stop(device)

    return Wrong


@mutant(
    "stateless-has-addresses",
    "gives addresses where DHCPv6 is for information only",
    {
        "D6-11": "where DHCPv6 is for information only: a was given",
        "RA-01": "a network of stateless has the flags M and O (True, True)",
    },
)
def stateless_has_addresses(base: Any) -> type[DhcpManager]:
    return with_mode(base, Ipv6Mode.STATEFUL_SLAAC, Ipv6Mode.STATELESS)


@mutant(
    "stateless-is-slaac",
    "has no DHCPv6 for information only",
    {
        "D6-11": "sent INFORMATION-REQUEST of DHCPv6, and nobody answered",
        "RA-01": "a network of stateless has the flags M and O (False, False)",
        "RA-11": "after a change, the flags are told as before",
    },
)
def stateless_is_slaac(base: Any) -> type[DhcpManager]:
    return with_mode(base, Ipv6Mode.SLAAC, Ipv6Mode.STATELESS)


@mutant(
    "slaac-is-stateless",
    "has DHCPv6 where there is to be none",
    {
        "D6-12": "where there is no DHCPv6: a sent SOLICIT, and got ADVERTISE",
        "RA-01": "a network of slaac has the flags M and O (False, True)",
    },
)
def slaac_is_stateless(base: Any) -> type[DhcpManager]:
    return with_mode(base, Ipv6Mode.STATELESS, Ipv6Mode.SLAAC)


@mutant("options6-lost", "has no other options of DHCPv6", {"D6-13": "a client: option 31 is absent"})
def options6_lost(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, options6=()))


@mutant(
    "host-options6-lost",
    "tells hosts the network's options of DHCPv6, and not their own",
    {"D6-13": "a host with its own option: option 31 is"},
)
def host_options6_lost(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, options6=()))


@mutant(
    "starts-anew-after-dhcp6",
    "ends the server of an IPv6 network and starts another when it is asked whether it runs",
    {"D6-15": "after malformed messages, the server is not the one that it was"},
)
def starts_anew_after_dhcp6(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def running(self, device: str) -> Status:
            network = super().network(device)
            super().stop(device)
            super().start(network)
            status: Status = super().running(device)
            return status

    return Wrong


@mutant(
    "on-every-device6",
    "answers clients of DHCPv6 behind whichever device, for all of its networks",
    {"D6-16": "a client of a network that was stopped: late sent SOLICIT, and got ADVERTISE"},
    bases=DNSMASQ,
)
def on_every_device6(base: Any) -> type[DhcpManager]:
    right = plan._arguments

    def wrong(network: DhcpNetwork, *others: Any) -> list[str]:
        told = [one for one in right(network, *others) if not one.startswith(("--interface=", "--dhcp-range="))]
        ranges = [f"--dhcp-range=fd0{digit}::100,fd0{digit}::1ff,64,3600" for digit in "9a"]
        return [*told[:-1], "--interface=br-*", *ranges, told[-1]]

    # Two of them cannot both have the port of DNS, and each is in the other's way, which it would see.
    heedless = patched(base, server, "_see_that_nobody_serves", lambda network: None)
    return patched(serving(heedless, lambda network: changed(network, dns=None)), plan, "_arguments", wrong)
