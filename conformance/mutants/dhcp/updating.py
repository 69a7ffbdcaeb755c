"""Wrong about hosts that come and go, and about changes that are refused or fail."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import changed_host
from refnet.dhcp import DhcpManager
from refnet.errors import AddressInUse, InvalidArgument, KernelRefused


@mutant(
    "hosts-come-later",
    "returns before the server knows a host",
    {"DU-01": "when add_host returned, a host was offered"},
)
def hosts_come_later(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        _at_work: threading.Thread | None = None

        def add_host(self, device: str, host: Any) -> None:
            def work() -> None:
                time.sleep(2)
                base.add_host(self, device, host)

            self._at_work = threading.Thread(target=work)
            self._at_work.start()

        def stop(self, device: str, *, forget: bool = False) -> None:
            if self._at_work:
                self._at_work.join()
            super().stop(device, forget=forget)

    return Wrong


@mutant(
    "removed-hosts-stay",
    "removes a host from its memory only",
    {"DU-01": "when remove_host returned, a host was still offered"},
)
def removed_stay(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_host(self, device: str, identity: str) -> None:
            super().network(device)

    return Wrong


@mutant("removed-hosts-lose-leases", "ends the lease of a host that it removes", {"DU-01": "and its lease of"})
def lose_leases(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_host(self, device: str, identity: str) -> None:
            super().remove_host(device, identity)
            for lease in super().leases(device):
                if lease.mac_address == identity:
                    super().release(device, lease.address, identity)

    return Wrong


@mutant("replaces-nothing", "refuses a host that it knows already", {"DU-02": "InvalidArgument"})
def replaces_nothing(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_host(self, device: str, host: Any) -> None:
            if any(set(one.identities) & set(host.identities) for one in super().network(device).hosts):
                raise InvalidArgument(f"{host} is there")
            super().add_host(device, host)

    return Wrong


@mutant(
    "keeps-what-is-replaced",
    "keeps the address of a host that was replaced",
    {"DU-02": "is that of host"},
)
def keeps_replaced(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        taken: dict[object, str] = {}  # noqa: RUF012 - a wrong class lives as long as its spec

        def start(self, network: Any) -> None:
            super().start(network)
            self.taken.update({address: one.identities[0] for one in network.hosts for address in one.addresses})

        def add_host(self, device: str, host: Any) -> None:
            for address in host.addresses:
                if self.taken.setdefault(address, host.identities[0]) not in host.identities:
                    raise InvalidArgument(f"{address} is that of host {self.taken[address]}")
            super().add_host(device, host)

    return Wrong


@mutant(
    "stops-what-it-cannot-update",
    "stops a server whose update is refused or fails",
    {
        "DU-06": "after update with an address that the device has not, running(",
        "DF-14": "after update without room for step 1, running(",
        "DF-15": "NotRunning",
    },
)
def stops_what_it_cannot(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def update(self, network: Any) -> None:
            try:
                super().update(network)
            except (InvalidArgument, KernelRefused):
                super().stop(network.device)
                raise

    return Wrong


@mutant("hears-no-failure", "says nothing when the server cannot be started anew", {"DU-07": "goes through"})
def hears_no_failure(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def update(self, network: Any) -> None:
            with contextlib.suppress(AddressInUse):
                super().update(network)

    return Wrong


@mutant(
    "dies-of-a-change",
    "has a server that does not survive it if a host is removed while others have options",
    {"DU-08": "after another host was removed, running("},
)
def dies_of_a_change(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def remove_host(self, device: str, identity: str) -> None:
            super().remove_host(device, identity)
            if any(one.options for one in super().network(device).hosts):
                pid = super().running(device).pid
                os.kill(pid, signal.SIGKILL)
                while super().running(device).pid == pid:
                    time.sleep(0.01)

    return Wrong


@mutant(
    "updates-without-options",
    "forgets hosts' own options in an update",
    {"DU-08": "a host with an option of its own, when another host came by update"},
)
def updates_without_options(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def update(self, network: Any) -> None:
            super().update(network.with_hosts([changed_host(one, options=()) for one in network.hosts]))

    return Wrong
