"""Managers that are wrong about leases: whom they give what, for how long, and what they refuse."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed, changed_host, serving, serving_hosts, starting
from refnet.dhcp import DhcpManager, DhcpNetwork, Lease, Range, Status


@mutant(
    "range-next",
    "gives addresses of behind the range",
    {"DH-01": "which is not in 10.9.0.100-10.9.0.199", "DH-33": "a client behind tap-a: 10.9.0.2"},
)
def range_next(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, ranges=[Range(one.last + 1, one.last + 20, one.network) for one in network.ranges])

    return serving(base, rewrite)


@mutant(
    "lease-time-usual",
    "gives leases for an hour, whatever it was told",
    {"DH-01": "the lease is for 3600 s, and not 1200", "DH-02": "a client has a lease for 3600 s, and not 7200"},
)
def lease_time_usual(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, lease_time=3600))


@mutant("for-ever-is-an-hour", "has no leases for ever", {"DH-02": "a lease for ever is for 3600 s"})
def for_ever_is_an_hour(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, lease_time=network.lease_time or 3600))


@mutant(
    "host-lease-time-lost",
    "takes no notice of a host's own lease time",
    {"DH-02": "a host with its own lease time has a lease for 7200 s, and not 300"},
)
def host_lease_time_lost(base: Any) -> type[DhcpManager]:
    return serving_hosts(base, lambda host: changed_host(host, lease_time=None))


@mutant(
    "answers-everybody",
    "sends answers to everybody, asked to or not",
    {"DH-08": "without the broadcast flag goes to 255.255.255.255 at ff:ff:ff:ff:ff:ff"},
    bases=("DnsmasqManager",),
)
def answers_everybody(base: Any) -> type[DhcpManager]:
    return starting(base, "--dhcp-broadcast")


@mutant(
    "first-end-told",
    "tells the end that a lease had at first, however often it was renewed",
    {"DH-03": "a renewal: the lease is not longer than it was"},
)
def first_end_told(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.seen: dict[str, Lease] = {}

        def stop(self, device: str, **options: Any) -> None:
            self.seen = {}
            super().stop(device, **options)

        def leases(self, device: str) -> tuple[Lease, ...]:
            return tuple(self.seen.setdefault(str(one.address), one) for one in super().leases(device))

    return Wrong


@mutant(
    "leases-not-read-again",
    "shows the leases that it has read once",
    {"DH-23": "has the only address, and the leases are of"},
)
def leases_not_read_again(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.seen: tuple[Lease, ...] = ()

        def stop(self, device: str, **options: Any) -> None:
            self.seen = super().leases(device)
            super().stop(device, **options)

        def leases(self, device: str) -> tuple[Lease, ...]:
            return self.seen or tuple(super().leases(device))

    return Wrong


@mutant(
    "never-refuses",
    "leaves refusals to other servers",
    {"DH-04": "for 192.0.2.77, and nobody answered", "DH-29": "and nobody answered"},
)
def never_refuses(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, is_authoritative=False))


@mutant(
    "always-alone",
    "believes that there is no other server",
    {"DH-05": "a request for an address of the range that somebody else gave"},
)
def always_alone(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, is_authoritative=True))


@mutant(
    "range-of-one",
    "gives the first address of a range only",
    {"DH-06": "was declined, and is offered again", "DH-22": "nobody answered"},
)
def range_of_one(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, ranges=[Range(one.first, one.first, one.network) for one in network.ranges])

    return serving(base, rewrite)


@mutant(
    "range-too-long",
    "gives addresses beyond a range's end when it is full",
    {"DH-22": "with two addresses", "DH-24": "another client, after the clock has leapt ahead"},
)
def range_too_long(base: Any) -> type[DhcpManager]:
    def rewrite(network: DhcpNetwork) -> DhcpNetwork:
        return changed(network, ranges=[Range(one.first, one.last + 20, one.network) for one in network.ranges])

    return serving(base, rewrite)


@mutant("ends-leases-late", "gives leases that last for a day longer", {"DH-23": "nobody answered"})
def ends_leases_late(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, lease_time=(network.lease_time or 0) + 86400))


@mutant(
    "leases-end-with-the-server",
    "forgets the leases when a server is stopped",
    {"DH-03": "nothing has grown older", "DH-24": "nothing has grown older"},
)
def leases_end_with_the_server(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            super().stop(device, forget=True)

    return Wrong


@mutant(
    "starts-anew-when-asked",
    "ends a server and starts another when it is asked whether it runs",
    {"DH-27": "after malformed messages, the server is"},
)
def starts_anew_when_asked(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def running(self, device: str) -> Status:
            network = super().network(device)
            super().stop(device)
            super().start(network)
            status: Status = super().running(device)
            return status

    return Wrong


@mutant(
    "half-a-range",
    "gives the addresses of the first half of a range only",
    {"DH-31": "a client asks for 10.9.0.177, which is free, and gets 10.9.0.1"},
)
def half_a_range(base: Any) -> type[DhcpManager]:
    def half(one: Range) -> Range:
        return Range(one.first, one.first + (int(one.last) - int(one.first)) // 2, one.network)

    return serving(base, lambda network: changed(network, ranges=[half(one) for one in network.ranges]))
