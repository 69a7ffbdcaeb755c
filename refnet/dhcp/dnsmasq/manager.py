"""The manager: what stands is read, the way from there is planned, and gone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from refnet import config, locks, names, netdev
from refnet.dhcp import values
from refnet.dhcp.capabilities import Capability
from refnet.dhcp.dnsmasq import cleaning, event, files, freebsd_jail, leasing, program, rules, server, store, withdraw
from refnet.dhcp.dnsmasq.freebsd_jail import IS_FREEBSD
from refnet.dhcp.dnsmasq.life import Life
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.processes import Process
from refnet.dhcp.dnsmasq.store import Known, Store
from refnet.dhcp.leases import Lease
from refnet.dhcp.manager import DEFAULT_TIME_LIMIT, DhcpManager, Status
from refnet.dhcp.network import DhcpNetwork, Host
from refnet.errors import (
    InvalidArgument,
    InvalidName,
    NoSuchDevice,
    NotRunning,
    RefnetError,
    TeardownFailed,
    Unsupported,
    operation,
)
from refnet.firewall.manager import FirewallManager
from refnet.names import IPAddress, device_name, shown

#: Bits: dnsmasq(8), --dhcp-range.
_LEAST_PREFIX = 64


class DnsmasqManager(DhcpManager):
    """DHCP, DNS and router advertisements by dnsmasq; see :class:`~refnet.dhcp.manager.DhcpManager`.

    ``user`` is whom dnsmasq becomes once it has its sockets, if this process may become that user.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        firewall: FirewallManager | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT,
        user: str = "nobody",
    ) -> None:
        """Start and look at nothing yet.

        Raises:
            InvalidArgument: a value is none.
        """
        super().__init__(directory, firewall=firewall, time_limit=time_limit)
        if not isinstance(user, str):
            raise InvalidArgument(f"user {shown(user)} is not the name of a user")
        self.user = user
        self._store = Store()
        #: Devices that the firewall has rules for by this manager, and directories that it has made.
        self._laid: set[str] = set()
        self._made: set[Path] = set()

    # -- what there is ---------------------------------------------------------------------------------

    @operation
    def probe(self, capability: Capability) -> str | None:
        """See :meth:`DhcpManager.probe`."""
        try:
            asked = Capability(capability)
        except ValueError:
            known = ", ".join(Capability)
            raise InvalidArgument(f"{shown(capability)} is no capability: known are {known}") from None
        try:
            compiled = program.features(program.found())
        except RefnetError as error:
            return error.message
        return program.lacks(compiled, asked) or (
            event.lacking() if asked in (Capability.LEASE_EVENTS, Capability.LEASE_STORE) else None
        )

    @operation
    def networks(self) -> tuple[str, ...]:
        """See :meth:`DhcpManager.networks`."""
        return tuple(name for name in files.listed(self.directory) if self._is_network(name))

    @operation
    def network(self, device: str) -> DhcpNetwork:
        """See :meth:`DhcpManager.network`."""
        place = self._place(device)
        known = self._store.settled(place)
        if known is None:
            raise NotRunning(f"nothing is known of a network on {device}: {_why_not(place)}", device=device)
        return known.whole()

    @operation
    def running(self, device: str) -> Status:
        """See :meth:`DhcpManager.running`."""
        place = self._place(device)
        found = server.running(place, store.recorded_pid(place))
        if found is None:
            return Status(False, None, _why_not(place))
        with found:
            return Status(True, found.pid, "")

    @operation
    def leases(self, device: str) -> tuple[Lease, ...]:
        """See :meth:`DhcpManager.leases`."""
        return leasing.read(self._place(device))

    # -- the life of a server --------------------------------------------------------------------------

    @operation
    def start(self, network: DhcpNetwork) -> None:
        """See :meth:`DhcpManager.start`."""
        self._see_that_it_can_be(network)
        with self._locked(network.device) as place, _about(network.device):
            self._serve(place, network, is_update=False)

    @operation
    def update(self, network: DhcpNetwork) -> None:
        """See :meth:`DhcpManager.update`."""
        self._see_that_it_can_be(network)
        with self._locked(network.device) as place, _about(network.device):
            self._serve(place, network, is_update=True)

    @operation
    def add_host(self, device: str, host: Host) -> None:
        """See :meth:`DhcpManager.add_host`."""
        if not isinstance(host, Host):
            raise InvalidArgument(f"{shown(host)} is no Host: make one with refnet.dhcp.Host(…)")
        with self._locked(device) as place, self._standing(place) as (known, process):
            known.network.check_host(host)
            clash = known.index.in_the_way_of(host)
            if clash:
                mark, other = clash
                what = f"the name {mark[1]!r}" if isinstance(mark, tuple) else str(mark)
                raise InvalidArgument(f"host {host}: {what} is that of host {other}")
            replaced = known.index.with_identity_of(host)
            if replaced == [host] and store.interrupted(place) is None:
                return
            is_small = not replaced and known.start.arguments == process.arguments
            is_small = is_small and known.device_number == _number(device)
            if is_small and self._life(place).add_few(known, [host], process, program.server(self.user)):
                return
            gone = {id(one) for one in replaced}
            others = [one for one in known.hosts if id(one) not in gone]
            self._serve(place, known.network.with_hosts([*others, host]), is_update=False)

    @operation
    def remove_host(self, device: str, identity: str) -> None:
        """See :meth:`DhcpManager.remove_host`."""
        wanted = _identity(identity)
        with self._locked(device) as place, self._standing(place) as (known, _):
            host = known.index.by_mark.get(wanted)
            if host is not None or store.interrupted(place) is not None:
                others = [one for one in known.hosts if one is not host]
                self._serve(place, known.network.with_hosts(others), is_update=False)

    @operation
    def stop(self, device: str, *, forget: bool = False) -> None:
        """See :meth:`DhcpManager.stop`."""
        names.flag(forget, "forget")
        with self._locked(device) as place:
            failures: list[RefnetError] = []
            try:
                known = self._store.load(place)
            except RefnetError:
                known = None
            server.stop(place, _recorded(place), self.time_limit)
            with _collected(failures):
                if known:
                    withdraw.send(known.network)
            with _collected(failures):
                self._lay_rules(None, gone=(device,))
            failures += cleaning.clean(place, self._made, forget=forget)
            self._store.forget(device)
        if failures:
            words = "; ".join(error.message for error in failures)
            raise TeardownFailed(f"not all could be removed: {words}", errors=failures, device=device)

    @operation
    def release(self, device: str, address: str | IPAddress, client: str) -> None:
        """See :meth:`DhcpManager.release`."""
        place = self._place(device)
        leasing.release(
            place,
            names.ip_address(address, "address"),
            client,
            known=self._store.load(place),
            is_running=lambda: self.running(device).is_running,
            time_limit=self.time_limit,
        )

    # -- how -------------------------------------------------------------------------------------------

    def _see_that_it_can_be(self, network: DhcpNetwork) -> None:
        """Refuse what this dnsmasq cannot do.

        Raises:
            InvalidArgument: it is no network.
            ToolMissing, PermissionDenied, KernelRefused, CommandFailed: there is no dnsmasq, or it cannot be asked.
            Unsupported: it cannot.
        """
        if isinstance(network, DhcpNetwork):
            program.features(program.found())
        self._needs(network)
        for one in network.addresses if network.ipv6 else ():
            if one.version == 6 and one.network.prefixlen < _LEAST_PREFIX:
                raise Unsupported(
                    f"dnsmasq serves no networks of IPv6 that are larger than /{_LEAST_PREFIX}, such as {one.network}",
                    capability=Capability.DHCP_IPV6,
                    device=network.device,
                )
        if IS_FREEBSD:
            freebsd_jail.see_that_it_can_be(network)

    def _place(self, device: str) -> Place:
        return Place(self.directory, device_name(device, "device"))

    @contextlib.contextmanager
    def _locked(self, device: str) -> Iterator[Place]:
        """Hold the lock of a device's network in this directory."""
        place = self._place(device)
        # Another network stack may have a device by this name, and the same directory of locks.
        with locks.held(f"dhcp-{_hash(place.path)}", time_limit=self.time_limit):
            yield place

    @contextlib.contextmanager
    def _standing(self, place: Place) -> Iterator[tuple[Known, Process]]:
        """Give what is known of a network, and its running server.

        Raises:
            NotRunning: there is none.
        """
        known, process = self._store.load(place), server.running(place, store.recorded_pid(place))
        if known is None or process is None:
            if process:
                process.close()
            raise NotRunning(f"no server runs on {place.device}: {_why_not(place)}", device=place.device)
        with process:
            yield known, process

    def _is_network(self, name: str) -> bool:
        try:
            place = self._place(name)
        except InvalidName:
            return False
        return cleaning.is_network(place)

    def _life(self, place: Place) -> Life:
        return Life(place, self._store, self.time_limit, self._lay_rules, self._made)

    def _serve(self, place: Place, network: DhcpNetwork, *, is_update: bool) -> None:
        known, process = self._store.load(place), server.running(place, store.recorded_pid(place))
        with process or contextlib.nullcontext():
            if process is None and is_update:
                raise NotRunning(f"no server runs on {place.device}: {_why_not(place)}", device=place.device)
            number = _device_number(network)
            event.see_that_it_can_be(place, network)
            self._life(place).serve(network, number, known, process, program.server(self.user))

    def _lay_rules(self, network: DhcpNetwork | None, gone: tuple[str, ...] = ()) -> None:
        """Lay the firewall's rules for all servers that run, and for one that is about to.

        All: the model of a firewall is empty in a new process, and what is not in it goes when it is applied.
        """
        if self.firewall is None:
            return
        with locks.held(f"dhcp-rules-{_hash(self.directory)}", time_limit=self.time_limit):
            self._lay_rules_of_all(self.firewall, network, gone)

    def _lay_rules_of_all(self, firewall: FirewallManager, network: DhcpNetwork | None, gone: tuple[str, ...]) -> None:
        wanted = {network.device: network} if network else {}
        for device in self.networks():
            if device not in wanted and device not in gone:
                with contextlib.suppress(RefnetError):
                    place = self._place(device)
                    known = self._store.load(place)
                    if known and self.running(device).is_running:
                        wanted[device] = known.network
        rules.lay(firewall, wanted.values(), {*self._laid, *gone} - wanted.keys())
        self._laid = set(wanted)


def _device_number(network: DhcpNetwork) -> int:
    """See that the device is there and has the server's addresses, and return its number.

    Raises:
        NoSuchDevice: there is none.
        InvalidArgument: it lacks an address.
    """
    # One of its own: that which others use may be in use, and would go on holding a socket.
    driver = config.load_class(netdev.ENTRY_POINTS, config.choice(netdev.ENTRY_POINTS), netdev.NetDevDriver)  # type: ignore[type-abstract]
    with driver() as looked:
        found = looked.device(network.device)
    has = {one.interface for one in found.addresses}
    for one in network.addresses:
        if one not in has:
            raise InvalidArgument(
                f"device {network.device} has not the server's address {one}: give it to the device first (it has "
                f"{', '.join(map(str, found.addresses)) or 'none'})"
            )
    if IS_FREEBSD:
        freebsd_jail.see_that_it_can_speak(network, has)
    return _number(network.device)


def _number(device: str) -> int:
    """Return a device's number, which no other one gets when it is gone.

    Raises:
        NoSuchDevice: there is none.
    """
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise NoSuchDevice(f"there is no device {device}", errno=error.errno, device=device) from None


def _hash(path: Path) -> str:
    """Return a short word for a path, whatever its links."""
    return hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:24]


def _recorded(place: Place) -> int | None:
    """Return the process that is known to be the server; what cannot be read says nothing."""
    try:
        return store.recorded_pid(place)
    except RefnetError:
        return None


def _identity(value: object) -> str:
    """Return a MAC address, or a client identifier, in its normal form."""
    with contextlib.suppress(InvalidArgument):
        return names.mac_address(value)
    try:
        return values.client_id(value)
    except InvalidArgument:
        raise InvalidArgument(f"{shown(value)} is neither a MAC address nor a client identifier") from None


def _why_not(place: Place) -> str:
    """Return why no server runs, as far as is known."""
    if place.network.exists():
        return server.last_words(place)
    return "it was stopped" if place.path.is_dir() else "it was never started"


@contextlib.contextmanager
def _collected(failures: list[RefnetError]) -> Iterator[None]:
    """Go on behind the block after an error, and keep the error."""
    try:
        yield
    except RefnetError as error:
        failures.append(error)


@contextlib.contextmanager
def _about(device: str) -> Iterator[None]:
    """Name the device in errors that name none."""
    try:
        yield
    except RefnetError as error:
        error.device = error.device or device
        raise
