"""The interface that every DHCP backend implements: what callers and the conformance suite hold it to.

A manager runs a server for each :class:`~refnet.dhcp.network.DhcpNetwork`, on the network's device. It keeps nothing in
memory that is not in its directory as well, so that any process can go on where another one was killed.

    manager = get_manager()
    manager.start(DhcpNetwork("br100", "192.0.2.1/24", ranges=Range("192.0.2.100", "192.0.2.199")))
    manager.add_host("br100", Host("52:54:00:12:34:56", "192.0.2.10", name="web"))
    for lease in manager.leases("br100"):
        print(lease.address, lease.mac_address)
    manager.stop("br100")

This module imports no backend and no platform's code.
"""

from __future__ import annotations

import abc
import sys
from pathlib import Path
from typing import NamedTuple

from refnet import config, names
from refnet.dhcp.capabilities import Capability, needs
from refnet.dhcp.leases import Lease
from refnet.dhcp.network import DhcpNetwork, Host
from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall.manager import FirewallManager
from refnet.names import IPAddress, shown

__all__ = ["Capability", "DhcpManager", "Status", "needs"]

#: Seconds that a call waits for locks, and for a server to start, to reload and to end.
DEFAULT_TIME_LIMIT = 30.0


class Status(NamedTuple):
    """Whether the server of a device runs."""

    is_running: bool
    #: The server's process; None: it does not run.
    pid: int | None
    #: Why it does not run, as far as is known: that nobody has started it, that it was stopped, the last words that it
    #: has written, or that it ended without a word (killed). "" if it runs.
    reason: str


class DhcpManager(abc.ABC):
    """DHCP, DNS and router advertisements, by a server for each device.

    Promises that every backend keeps:

    * **Validated first**: a bad argument raises :class:`~refnet.errors.InvalidArgument`, what the backend cannot do
      :class:`~refnet.errors.Unsupported`; nothing has then changed.
    * **Converges**: a call brings server and files to what it is asked for from whatever stands there, also after
      ``kill -9`` of the caller or of the server at any moment. With nothing to do, nothing is written, and no process
      is started or signalled.
    * **It costs what has changed**: other hosts are taken over by the running server; it is started anew only for what
      it reads at its start. No client goes without an answer meanwhile for longer than that takes.
    * **Leases survive**: reloads, restarts, stops, and the death of the server; those of DHCPv6, and the server's DUID,
      as well. A client keeps its address.
    * **Bound to its device**: nobody is answered who does not ask through it, neither by DHCP nor by DNS. Several
      networks are served side by side on one host.
    * **Hands off**: no system-wide configuration is read. No process is signalled that is not this manager's server,
      whatever a file says, and no file outside the directory is written.
    * **All or nothing**: a call that fails leaves the server that ran running with what it had, where the system
      makes that possible; else the next call converges.
    * **Threads and processes** can use one directory together. Waits are bounded:
      :class:`~refnet.errors.LockTimeout`, :class:`~refnet.errors.NoAnswer`.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        firewall: FirewallManager | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT,
    ) -> None:
        """Start and look at nothing yet.

        Args:
            directory: where networks, leases and what the servers read are kept, made if missing. It has to be one's
                own, outlive reboots if leases shall, and be one that the server's user can get into. Without it:
                that of :func:`refnet.config.configure`, else ``/var/lib/refnet/dhcp`` on Linux,
                ``/var/db/refnet/dhcp`` on FreeBSD.
            firewall: has rules that let clients ask (DHCP, DHCPv6, DNS, router solicitations), and that fill in the
                checksums of answers where the backend can; they come with the server and go with it.
            time_limit: seconds that a call waits for locks, and for a server to start, to reload or to end.

        Raises:
            InvalidArgument: a value is none.
        """
        if firewall is not None and not isinstance(firewall, FirewallManager):
            raise InvalidArgument(f"{shown(firewall)} is no FirewallManager: get one by refnet.firewall.get_manager(…)")
        self.directory = checked_directory(directory)
        self.firewall = firewall
        self.time_limit = names.seconds(time_limit, "time limit")

    # -- what there is ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def probe(self, capability: Capability) -> str | None:
        """Return None if this backend can do it here, else why not, in words.

        Raises:
            InvalidArgument: it is no capability.
        """

    def capabilities(self) -> frozenset[Capability]:
        """Return what this backend can do here."""
        return frozenset(one for one in Capability if self.probe(one) is None)

    @abc.abstractmethod
    def networks(self) -> tuple[str, ...]:
        """Return the devices of all networks that are in the directory, stopped ones whose leases are kept included.

        Raises:
            PermissionDenied: the directory cannot be read.
        """

    @abc.abstractmethod
    def network(self, device: str) -> DhcpNetwork:
        """Return the network that the device's server was last told to serve, with all hosts.

        Raises:
            NotRunning: none is known: it was never started, or was stopped.
        """

    @abc.abstractmethod
    def running(self, device: str) -> Status:
        """Say whether the device's server runs, and if not, why."""

    @abc.abstractmethod
    def leases(self, device: str) -> tuple[Lease, ...]:
        """Return the leases of a device's clients, those that have expired left out; none if there is no network.

        They are as the server has written them. A line that cannot be read is left out, with a warning to the log of
        this module.

        Raises:
            PermissionDenied, KernelRefused: the file cannot be read.
        """

    # -- the life of a server --------------------------------------------------------------------------

    @abc.abstractmethod
    def start(self, network: DhcpNetwork) -> None:
        """Make sure that the network's device has a server which serves it so; return when it answers.

        If one runs: with nothing to change, nothing is done; other hosts are a reload, anything else a restart.

        Raises:
            NoSuchDevice: there is no such device.
            InvalidArgument: the device has not the server's addresses.
            AddressInUse: another program has the port.
            ServerFailed: the server refuses, in its own words.
            Unsupported: the backend cannot serve a part of it.
            NoAnswer: it started, and did not come to answer in time; it has been stopped again.
            PermissionDenied, ToolMissing, LockTimeout, KernelRefused: what they say.
        """

    @abc.abstractmethod
    def update(self, network: DhcpNetwork) -> None:
        """Have the running server serve the network so, as :meth:`start` does.

        Raises:
            NotRunning: no server runs on the device; the message says how it ended, and nothing is started.
            Others: as :meth:`start`.
        """

    @abc.abstractmethod
    def add_host(self, device: str, host: Host) -> None:
        """Add a host to the device's network; its running server knows it when this returns.

        A host with the same identity (a MAC address or client identifier in common) is replaced. A host that is new
        costs the same whether ten or ten thousand are there, where the system makes that possible.

        Raises:
            InvalidArgument: an address or name of it is another host's, or cannot be one of the network.
            NotRunning: there is no network on the device, or its server does not run.
        """

    @abc.abstractmethod
    def remove_host(self, device: str, identity: str) -> None:
        """Remove the host that has this MAC address or client identifier; none is no error. Its lease stays.

        Raises:
            InvalidArgument: it is neither.
            NotRunning: there is no network on the device, or its server does not run.
        """

    @abc.abstractmethod
    def stop(self, device: str, *, forget: bool = False) -> None:
        """Stop a device's server and remove its files but for the leases; with ``forget`` those as well.

        A device without one is no error, nor is one that is gone. What a stopped server advertised as a router it takes
        back, if the device is still there.

        Raises:
            ServerFailed: it does not end, not even when it is killed.
            TeardownFailed: something could not be removed; the rest has been.
        """

    @abc.abstractmethod
    def release(self, device: str, address: str | IPAddress, client: str) -> None:
        """End a client's lease, as if the client had said so; return when the server has.

        ``client`` is its MAC address, or for DHCPv6 its DUID. An address that is not leased is no error, and neither is
        a device without a network.

        Raises:
            LeaseOfAnother: somebody else has the address; nothing was sent.
            NotRunning: the server does not run, and the lease is there.
            NoAnswer: the server did not end the lease.
        """

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Let go of what the manager holds. Servers go on; closing twice is no error."""

    def _needs(self, network: DhcpNetwork) -> None:
        """Refuse what the backend cannot do."""
        if not isinstance(network, DhcpNetwork):
            raise InvalidArgument(f"{shown(network)} is no DhcpNetwork: make one with refnet.dhcp.DhcpNetwork(…)")
        for capability in needs(network):
            reason = self.probe(capability)
            if reason:
                raise Unsupported(reason, capability=capability, device=network.device)


def checked_directory(path: str | Path | None) -> Path:
    """Return a directory that a manager can have; None: the one that is configured, or the platform's.

    Raises:
        InvalidArgument: a server could not be told of it.
    """
    path = config.dhcp_directory() if path is None else path
    if path is None:
        return Path("/var/db/refnet/dhcp" if sys.platform.startswith("freebsd") else "/var/lib/refnet/dhcp")
    # dnsmasq is given paths in options that have several values, divided by commas.
    text = str(path) if isinstance(path, str | Path) else ""
    if not text.startswith("/") or not text.isprintable() or any(mark in text for mark in ",\"'\\ "):
        raise InvalidArgument(
            f"directory {shown(path)} is not an absolute path of printable characters without blank, comma, quote or "
            f"backslash"
        )
    return Path(text)
