"""DHCP and DNS, by the daemon: :class:`PrivsepDhcp`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from refnet import names
from refnet.dhcp.dnsmasq import rules
from refnet.dhcp.hosts import Host
from refnet.dhcp.manager import DEFAULT_TIME_LIMIT, DhcpManager
from refnet.dhcp.network import DhcpNetwork
from refnet.errors import NotRunning, RefnetError, operation
from refnet.firewall.manager import FirewallManager
from refnet.privsep import client, daemon
from refnet.privsep.devices import forwarding
from refnet.privsep.encoding import Plain, encode


def _ask(manager: PrivsepDhcp, method: str, arguments: Plain) -> Any:
    return client.ask(daemon.dhcp_call, manager.settings, method, arguments)


@forwarding(DhcpManager, _ask)
class PrivsepDhcp(DhcpManager):
    """The manager that the daemon has, in the daemon's directory of networks.

    The firewall is this process's own: its rules are laid here, before a server starts and after it has ended.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        firewall: FirewallManager | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT,
    ) -> None:
        """See :class:`DhcpManager`; a directory that is given has to be the daemon's.

        Raises:
            DriverNotFound: this is the daemon itself.
        """
        client.see_that_this_is_no_daemon("refnet.dhcp")
        super().__init__(directory, firewall=firewall, time_limit=time_limit)
        told = None if directory is None else str(self.directory)
        #: What each call tells the daemon of this object.
        self.settings = encode((told, self.time_limit))

    @operation
    def start(self, network: DhcpNetwork) -> None:
        """See :meth:`DhcpManager.start`."""
        self._serve("start", network)

    @operation
    def update(self, network: DhcpNetwork) -> None:
        """See :meth:`DhcpManager.update`."""
        self._serve("update", network)

    @operation
    def add_host(self, device: str, host: Host) -> None:
        """See :meth:`DhcpManager.add_host`."""
        _ask(self, "add_host", encode(((device, host), {})))
        self._lay_rules()

    @operation
    def remove_host(self, device: str, identity: str) -> None:
        """See :meth:`DhcpManager.remove_host`."""
        _ask(self, "remove_host", encode(((device, identity), {})))
        self._lay_rules()

    @operation
    def stop(self, device: str, *, forget: bool = False) -> None:
        """See :meth:`DhcpManager.stop`."""
        names.device_name(device, "device")
        _ask(self, "stop", encode(((device,), {"forget": forget})))
        self._lay_rules(gone=device)

    def _serve(self, method: str, network: DhcpNetwork) -> None:
        """Lay the rules for a server before it starts, as it is asked at once; if it does not, take them back."""
        if self.firewall is None or not isinstance(network, DhcpNetwork):
            _ask(self, method, encode(((network,), {})))
            return
        # What cannot be served is refused before a rule has changed.
        self._needs(network)
        try:
            self._lay_rules(network)
            _ask(self, method, encode(((network,), {})))
        except RefnetError as error:
            try:
                is_running = self.running(network.device).is_running
                self._lay_rules(gone=None if is_running else network.device)
            except RefnetError as again:
                error.message += f"; and its firewall rules could not be put back: {again}"
            raise

    def _lay_rules(self, network: DhcpNetwork | None = None, *, gone: str | None = None) -> None:
        """Lay the rules for all servers that run, and for one that is about to.

        All: the model of a firewall is empty in a new process, and what is not in it goes when it is applied.
        """
        if self.firewall is None:
            return
        wanted = {network.device: network} if network else {}
        for device in self.networks():
            if device not in (*wanted, gone) and self.running(device).is_running:
                try:
                    wanted[device] = self.network(device)
                except NotRunning:
                    continue  # it has ended just now
        rules.lay(self.firewall, wanted.values(), () if gone is None else (gone,))
