"""Wrong about leases as the host sees them, what is told of them, and their end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed, patched, serving
from refnet.dhcp import DhcpManager, Lease
from refnet.dhcp import leases as lease_files
from refnet.errors import KernelRefused, LeaseOfAnother, NotRunning

DNSMASQ = ("DnsmasqManager",)


@mutant(
    "releases-nothing",
    "takes a lease for released that is not",
    {
        "DR-01": "after release, leases() has",
        "DR-02": "after release, leases() has",
        "DR-03": "after release, leases()",
    },
)
def releases_nothing(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def release(self, device: str, address: Any, client: str) -> None:
            super().leases(device)

    return Wrong


@mutant("releases-for-anybody", "does not ask whose lease it releases", {"DR-04": "goes through"})
def for_anybody(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def release(self, device: str, address: Any, client: str) -> None:
            try:
                super().release(device, address, client)
            except LeaseOfAnother as error:
                super().release(device, address, error.holder)

    return Wrong


@mutant("release-names-nobody", "does not say who has a lease", {"DR-04": "and the error says "})
def names_nobody(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def release(self, device: str, address: Any, client: str) -> None:
            try:
                super().release(device, address, client)
            except LeaseOfAnother as error:
                error.holder = ""
                raise

    return Wrong


@mutant("release-needs-a-server", "asks for a server, whatever is to be released", {"DR-05": "NotRunning"})
def needs_a_server(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def release(self, device: str, address: Any, client: str) -> None:
            super().network(device)
            super().release(device, address, client)

    return Wrong


@mutant("release-says-nothing", "says nothing where no server hears of a release", {"DR-06": "release goes through"})
def says_nothing(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def release(self, device: str, address: Any, client: str) -> None:
            try:
                super().release(device, address, client)
            except NotRunning:
                return

    return Wrong


def _leases(base: Any, **fields: Any) -> type[DhcpManager]:
    """Return a class whose leases have these fields."""

    class Wrong(base):  # type: ignore[misc]
        def leases(self, device: str) -> tuple[Lease, ...]:
            return tuple(one._replace(**fields) for one in super().leases(device))

    return Wrong


@mutant("leases-without-names", "does not tell clients' names", {"DR-07": "a client is called web-1, and leases()"})
def without_names(base: Any) -> type[DhcpManager]:
    return _leases(base, name=None)


@mutant("leases-without-iaid", "does not tell clients' identity associations", {"DR-08": "the IAID is"})
def without_iaid(base: Any) -> type[DhcpManager]:
    return _leases(base, iaid=None)


@mutant("leases-end-at-zero", "takes a lease without an end for one that has ended", {"DR-08": "ends by leases()"})
def end_at_zero(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def leases(self, device: str) -> tuple[Lease, ...]:
            return tuple(one._replace(expires=one.expires or 0) for one in super().leases(device))

    return Wrong


@mutant(
    "leases-do-not-end",
    "tells of leases that have expired",
    {"DR-09": "an hour later, leases() has"},
    bases=DNSMASQ,
)
def do_not_end(base: Any) -> type[DhcpManager]:
    original = lease_files.read
    return patched(base, lease_files, "read", lambda path, now=None, **options: original(path, 0.0, **options))


@mutant(
    "leases-want-good-lines", "reads no leases among lines that are none", {"DR-10": "KernelRefused"}, bases=DNSMASQ
)
def want_good_lines(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def leases(self, device: str) -> tuple[Lease, ...]:
            path = Path(self.directory, device, "leases")
            lines = path.read_bytes().splitlines() if path.exists() else []
            if any(len(line.split()) != 5 for line in lines):
                raise KernelRefused(f"{path} has a line that is none")
            found: tuple[Lease, ...] = super().leases(device)
            return found

    return Wrong


# -- events -----------------------------------------------------------------------------------------------


@mutant(
    "events-untold",
    "tells nobody what becomes of leases",
    {"DE-01": "a lease was let, and the log has", "DE-02": "who listens was not told add"},
)
def untold(base: Any) -> type[DhcpManager]:
    return serving(base, lambda network: changed(network, lease_events=None))


#: What an event program is like that was written in a minute.
_NAIVE = """#!/bin/sh
printf '{"number":%s,"time":1,"action":"%s","address":"%s","mac":"%s","vendor_class":"%s"}\\n' \
"$(date +%s%N)" "$1" "$3" "$2" "$DNSMASQ_VENDOR_CLASS" >> "$REFNET_DHCP_EVENTS"
"""


@mutant(
    "events-quote-nothing",
    "writes down what clients say as it is",
    {"DE-03": "what clients have said is in lines of the log by itself"},
    bases=DNSMASQ,
)
def quote_nothing(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            super().start(network)
            Path(self.directory, network.device, "event").write_text(_NAIVE)

    return Wrong


@mutant(
    "stop-leaves-helpers",
    "ends the server and nothing that the server has started",
    {"DE-04": "after stop of a server with a deaf listener, there is"},
)
def leaves_helpers(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, *, forget: bool = False) -> None:
            server = super().running(device).pid
            if forget or server is None:
                super().stop(device, forget=forget)
                return
            os.kill(server, signal.SIGKILL)
            while self.running(device).pid == server:
                time.sleep(0.01)

    return Wrong
