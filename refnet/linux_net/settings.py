"""The options that these functions read: Nova's, by Nova's names and with Nova's defaults.

They are the process's own and need no oslo. An agent that has Nova's options registered hands its configuration over
as it is, another one says what it wants:

    configure(CONF)
    configure(dns_server=["198.51.100.53"], dhcp_domain="cloud.example.org")

Which driver, firewall and DHCP server do the work is chosen by :mod:`refnet.config`.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from refnet.errors import InvalidArgument
from refnet.linux_net.values import number
from refnet.names import shown

#: ``(context, network_ref, host)`` to the fixed IPs of a network; ``host`` is None for those of all hosts.
FixedIps = Callable[[Any, Any, str | None], Iterable[Any]]


@dataclass
class Options:
    """Nova's options. None is "not set"; addresses that are None are this host's own (:func:`my_ip`)."""

    # -- devices
    vlan_interface: str | None = None
    flat_interface: str | None = None
    network_device_mtu: int | None = None
    linuxnet_interface_driver: str = "refnet.linux_net.LinuxBridgeInterfaceDriver"
    linuxnet_ovs_integration_bridge: str = "br-int"
    use_ipv6: bool = False
    send_arp_for_ha: bool = False
    send_arp_for_ha_count: int = 3

    # -- the firewall
    my_ip: str | None = None
    public_interface: str | None = "eth0"
    #: "" is: nothing is translated.
    routing_source_ip: str | None = None
    metadata_host: str | None = None
    metadata_port: int = 8775
    dmz_cidr: tuple[str, ...] = ()
    force_snat_range: tuple[str, ...] = ()
    forward_bridge_interface: tuple[str, ...] = ("all",)
    iptables_drop_action: str = "DROP"

    # -- DHCP
    #: Where networks and leases are kept; None: where :class:`~refnet.dhcp.manager.DhcpManager` keeps them.
    networks_path: str | None = None
    dhcp_domain: str | None = "novalocal"
    #: Seconds.
    dhcp_lease_time: int = 86400
    dns_server: tuple[str, ...] = ()
    use_network_dns_servers: bool = False
    use_single_default_gateway: bool = False
    share_dhcp_address: bool = False
    #: The name that the fixed IPs of multi-host networks are asked for by.
    host: str | None = None
    #: Where lease events go, see :class:`~refnet.dhcp.network.DhcpNetwork`: what ``dhcpbridge`` was for.
    lease_events: str | None = None
    #: Where the fixed IPs of a network come from: Nova's database, which refnet knows nothing of.
    fixed_ips: FixedIps | None = None


#: The options of this process. :func:`configure` sets them.
options = Options()

_FIELDS = {one.name: one for one in dataclasses.fields(Options)}
#: Nova's options that would be disregarded if they were not refused, and what there is instead.
_REFUSED = {
    "fake_network": "choose drivers that do nothing ([refnet] netdev_driver, firewall_driver, dhcp_driver)",
    "dnsmasq_config_file": "no server reads a file that is not its network's: use refnet.dhcp for other options",
    "iptables_top_regex": "rules of others stay where they are; own ones come before them",
    "iptables_bottom_regex": "rules of others stay where they are; own ones come before them",
}


def configure(source: object = None, /, **values: Any) -> None:
    """Set options of this process; those that are not named stay as they are.

    ``source`` is anything that has some of them as attributes, such as Nova's ``CONF``. Interface drivers and the
    firewall that are in use already stay in use.

    Raises:
        InvalidArgument: there is no such option, it cannot be that, or ``source`` has one set that refnet cannot
            follow; nothing is then set.
    """
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise InvalidArgument(f"there is no option {', '.join(unknown)}: there are {', '.join(sorted(_FIELDS))}")
    for name, instead in _REFUSED.items():
        if getattr(source, name, None):
            raise InvalidArgument(f"{name} = {shown(getattr(source, name))}: refnet has no such option: {instead}")
    # oslo.config raises an AttributeError for what is not registered.
    found = {name: getattr(source, name) for name in _FIELDS if hasattr(source, name)}
    checked = {name: _checked(name, one) for name, one in {**found, **values}.items()}
    for name, value in checked.items():
        setattr(options, name, value)


def my_ip() -> str:
    """Return this host's own address: as configured, else the one that it asks its default gateway by.

    Raises:
        InvalidArgument: it is not configured, and there is no default gateway.
    """
    if options.my_ip:
        return options.my_ip
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            # Nothing is sent: the kernel only chooses the address that it would send from (to TEST-NET-1, RFC 5737).
            asking.connect(("192.0.2.255", 9))
            return str(asking.getsockname()[0])
    except OSError as error:
        raise InvalidArgument(
            f"this host has no route to tell its own address by: set my_ip with configure(my_ip=…) ({error.strerror})"
        ) from None


def metadata_host() -> str:
    """Return where the metadata service is: as configured, else on this host."""
    return options.metadata_host or my_ip()


def routing_source_ip() -> str:
    """Return what guests' addresses are translated to on their way out; "" if they are not."""
    return my_ip() if options.routing_source_ip is None else options.routing_source_ip


def _checked(name: str, value: Any) -> Any:
    """Return an option's value if it can be that; a list as a tuple, and of a single text."""
    kind = str(_FIELDS[name].type)
    if value is None and kind.endswith("| None"):
        return None
    if kind.startswith("int"):
        return number(value, f"option {name}:")
    if kind.startswith("tuple"):
        texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else None
        if texts is None or not all(isinstance(one, str) for one in texts):
            raise InvalidArgument(f"option {name} is a list of texts, not {shown(value)}")
        return texts
    if kind.startswith("FixedIps"):
        is_possible, what = callable(value), "a function (context, network, host)"
    elif kind == "bool":
        is_possible, what = isinstance(value, bool), "True or False"
    else:
        is_possible, what = isinstance(value, str), "a text"
    if not is_possible:
        raise InvalidArgument(f"option {name} is {what}, not {shown(value)}")
    return value
