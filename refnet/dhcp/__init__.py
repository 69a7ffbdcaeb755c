"""DHCP, DNS and router advertisements for a host's guests, by a server for each network.

    from refnet.dhcp import DhcpNetwork, Host, get_manager

    manager = get_manager()
    manager.start(DhcpNetwork("br100", "192.0.2.1/24", hosts=Host("52:54:00:12:34:56", "192.0.2.10", name="web")))

What a manager promises stands in :class:`~refnet.dhcp.manager.DhcpManager`, what a network can say in
:class:`~refnet.dhcp.network.DhcpNetwork`.
"""

from __future__ import annotations

from pathlib import Path

from refnet import config
from refnet.dhcp.capabilities import Capability
from refnet.dhcp.hosts import Host
from refnet.dhcp.leases import Lease
from refnet.dhcp.manager import DEFAULT_TIME_LIMIT, DhcpManager, Status
from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.options import Forced, Option
from refnet.dhcp.values import Dns, Ipv6Mode, Range, Route, RouterAdvertisement
from refnet.firewall.manager import FirewallManager

__all__ = [
    "Capability",
    "DhcpManager",
    "DhcpNetwork",
    "Dns",
    "Forced",
    "Host",
    "Ipv6Mode",
    "Lease",
    "Option",
    "Range",
    "Route",
    "RouterAdvertisement",
    "Status",
    "get_manager",
]

#: The group of entry points that other backends are found in.
ENTRY_POINTS = "refnet.dhcp"


def get_manager(
    directory: str | Path | None = None,
    *,
    firewall: FirewallManager | None = None,
    choice: str | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> DhcpManager:
    """Return a manager of the networks in a directory; see :class:`~refnet.dhcp.manager.DhcpManager` for the arguments.

    ``choice`` is an entry-point name of the group ``refnet.dhcp`` or ``package.module:Class``; without it
    ``REFNET_DHCP`` is asked, then the platform's default is taken.

    Raises:
        Unsupported: there is no default for this platform, which the message names.
        DriverNotFound: the choice names nothing that could be imported.
        InvalidArgument: a value is none.
    """
    loaded = config.load_class(ENTRY_POINTS, config.choice(ENTRY_POINTS, choice), DhcpManager)  # type: ignore[type-abstract]
    return loaded(directory, firewall=firewall, time_limit=time_limit)
