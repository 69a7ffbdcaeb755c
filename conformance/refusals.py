"""How a capability that a driver does not declare is exercised: the call that needs it has to be refused.

This is what stands in the place of a skip. The refusal must be typed and name the capability, and the host must be
as it was (the state difference sees to that). A call that works all the same is ``under-claimed``.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Any

from conformance.harness import UnderTest
from conformance.topology.sandbox import Sandbox
from refnet.dhcp import Capability as Dhcp
from refnet.dhcp import DhcpNetwork, Dns, RouterAdvertisement
from refnet.errors import PermissionDenied, ToolMissing, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    Log,
    PortGuard,
    Rule,
    SetMark,
    Snat,
)
from refnet.firewall import Capability as Firewall
from refnet.netdev import Capability as NetDev

_NAME = "refused0"
_CHAIN = "refused"
_MAC = "02:00:00:00:00:01"
_NETWORK, _NETWORK6 = "192.0.2.1/24", "2001:db8::1/64"

_Exercise = Callable[[UnderTest, Sandbox], object]


def _apply(rule: Rule, hook: str = "forward", table: str = "filter") -> _Exercise:
    """Return what applies a rule."""

    def exercise(firewall: UnderTest, net: Sandbox) -> None:
        firewall.add_chain(_CHAIN, hook=hook, table=table)
        firewall.add_rule(_CHAIN, rule, table=table)
        firewall.apply()

    return exercise


def _count(firewall: UnderTest, net: Sandbox) -> None:
    _apply(Rule(ACCEPT))(firewall, net)
    firewall.counters(_CHAIN)


def _guard(firewall: UnderTest, net: Sandbox) -> None:
    firewall.guard_port(PortGuard(net.guest("guarded").port, _MAC))
    firewall.apply()


def _plug_vhost_user(netdev: UnderTest, net: Sandbox) -> None:
    datapath = net.switch.datapath if net.switch else None
    netdev.ensure_ovs_bridge(_NAME, datapath_type=datapath)
    socket = {"interface_type": "dpdkvhostuserclient", "vhost_server_path": "/run/refused.sock"}
    netdev.create_ovs_vif_port(_NAME, "refused1", "refused", _MAC, **socket)


_NETDEV: dict[NetDev, _Exercise] = {
    NetDev.BRIDGE: lambda netdev, net: netdev.create_bridge(_NAME),
    NetDev.BRIDGE_STP: lambda netdev, net: netdev.create_bridge(_NAME, stp=True),
    NetDev.BRIDGE_FORWARD_DELAY: lambda netdev, net: netdev.create_bridge(_NAME, forward_delay=4),
    NetDev.BRIDGE_AGEING_TIME: lambda netdev, net: netdev.create_bridge(_NAME, ageing_time=60),
    NetDev.BRIDGE_MULTICAST_SNOOPING: lambda netdev, net: netdev.create_bridge(_NAME, multicast_snooping=False),
    NetDev.VLAN: lambda netdev, net: netdev.ensure_vlan(5, net.guest("trunk").port, _NAME),
    NetDev.TAP: lambda netdev, net: netdev.create_tap_dev(_NAME),
    NetDev.TAP_MULTI_QUEUE: lambda netdev, net: netdev.create_tap_dev(_NAME, multi_queue=True),
    NetDev.TAP_OWNER: lambda netdev, net: netdev.create_tap_dev(_NAME, owner=os.geteuid()),
    NetDev.VETH: lambda netdev, net: netdev.create_veth_pair(_NAME, "refused1"),
    NetDev.OVS: lambda netdev, net: netdev.ensure_ovs_bridge(_NAME),
    NetDev.OVS_KERNEL_DATAPATH: lambda netdev, net: netdev.ensure_ovs_bridge(_NAME, datapath_type="system"),
    NetDev.OVS_USERSPACE_DATAPATH: lambda netdev, net: netdev.ensure_ovs_bridge(_NAME, datapath_type="netdev"),
    NetDev.OVS_VHOST_USER: _plug_vhost_user,
    NetDev.IPV6: lambda netdev, net: netdev.add_device_address(net.guest("six").port, "2001:db8::1/64"),
    NetDev.IVS: lambda netdev, net: netdev.create_ivs_vif_port(net.guest("ivs").port, "refused", _MAC, "refused"),
    NetDev.SRIOV: lambda netdev, net: netdev.set_device_macaddr_and_vlan(net.guest("vf").port, 0, _MAC, 5),
}
_FIREWALL: dict[Firewall, _Exercise] = {
    Firewall.FILTER: _apply(Rule(DROP, destination="192.0.2.1")),
    Firewall.FIREWALL_IPV6: _apply(Rule(DROP, destination="2001:db8::1")),
    Firewall.NAT: _apply(Rule(Snat("192.0.2.1")), "postrouting", "nat"),
    Firewall.NAT_IPV6: _apply(Rule(Snat("2001:db8::1")), "postrouting", "nat"),
    Firewall.CONNECTION_STATE: _apply(Rule(ACCEPT, states="established")),
    Firewall.TRANSLATED_STATE: _apply(Rule(ACCEPT, states="dnat")),
    Firewall.RATE_LIMIT: _apply(Rule(ACCEPT, limit=(10, "second"))),
    Firewall.LOG: _apply(Rule(Log(_CHAIN))),
    Firewall.MARK: _apply(Rule(SetMark(1)), "prerouting", "mangle"),
    Firewall.SOURCE_MAC: _apply(Rule(DROP, source_mac=_MAC)),
    Firewall.CHECKSUM_FILL: _apply(Rule(CHECKSUM_FILL, protocol="udp", destination_ports=68), "postrouting", "mangle"),
    Firewall.COUNTERS: _count,
    Firewall.POSITION: lambda firewall, net: _apply(Rule(ACCEPT))(firewall.fresh(position="last"), net),
    Firewall.LAYER2: _guard,
    Firewall.NEIGHBOUR_TARGETS: lambda firewall, net: firewall.guard_port(
        PortGuard(_NAME, _MAC, neighbour_targets=True)
    ),
    Firewall.FORGET_CONNECTIONS: lambda firewall, net: firewall.forget_connections("192.0.2.1"),
}


def _start(address: str, **fields: Any) -> _Exercise:
    """Return what starts a server of a network, which has IPv4 or IPv6 and nothing that is not said."""

    def exercise(dhcp: UnderTest, net: Sandbox) -> None:
        _lay(net, address)
        dhcp.start(DhcpNetwork(_NAME, address, **{"dns": None, "router_advertisement": None} | fields))

    return exercise


def _release(dhcp: UnderTest, net: Sandbox) -> None:
    _start(_NETWORK)(dhcp, net)
    dhcp.release(_NAME, "192.0.2.10", _MAC)


def _lay(net: Sandbox, address: str) -> None:
    net.plain_bridge(_NAME)
    net.remove_in_the_end(_NAME)
    net.add_address(_NAME, address)


_DHCP: dict[Dhcp, _Exercise] = {
    Dhcp.DHCP: _start(_NETWORK),
    Dhcp.DHCP_IPV6: _start(_NETWORK6, ipv6="stateful"),
    Dhcp.ROUTER_ADVERTISEMENT: _start(_NETWORK6, ipv6="slaac", router_advertisement=RouterAdvertisement()),
    Dhcp.DNS: _start(_NETWORK6, dns=Dns()),
    Dhcp.DNS_FORWARDING: _start(_NETWORK6, dns=Dns("2001:db8::53")),
    Dhcp.LEASE_EVENTS: _start(_NETWORK, lease_events="log"),
    Dhcp.LEASE_STORE: _start(_NETWORK, lease_events="log", lease_store=True),
    Dhcp.RELEASE: _release,
}
#: What an exercise cannot do without besides: a refusal may name it, if it is not declared either.
_BESIDES: dict[str, tuple[enum.Enum, ...]] = {
    NetDev.OVS_KERNEL_DATAPATH: (NetDev.OVS,),
    NetDev.OVS_USERSPACE_DATAPATH: (NetDev.OVS,),
    NetDev.OVS_VHOST_USER: (NetDev.OVS,),
    Dhcp.DNS_FORWARDING: (Dhcp.DNS,),
    Dhcp.LEASE_EVENTS: (Dhcp.DHCP,),
    Dhcp.LEASE_STORE: (Dhcp.DHCP, Dhcp.LEASE_EVENTS),
    Dhcp.RELEASE: (Dhcp.DHCP,),
}
EXERCISES: dict[str, _Exercise] = {
    str(one): call for one, call in [*_NETDEV.items(), *_FIREWALL.items(), *_DHCP.items()]
}


def exercise(capability: str, judged: UnderTest, net: Sandbox) -> None:
    """Ask for what is said to be impossible.

    Raises:
        AssertionError: it is done, or refused in another way than it has to be.
    """
    if capability in list(Firewall) and Firewall.FILTER not in judged.driver.capabilities():
        _see_that_nothing_is_filtered(judged, net)
        return
    try:
        EXERCISES[capability](judged, net)
    except Unsupported as refusal:
        lacking = {*_BESIDES.get(capability, ())} - judged.driver.capabilities()
        if str(refusal.capability) not in {capability, *map(str, lacking)}:
            raise AssertionError(
                f"{capability} is not declared, and the refusal names {refusal.capability!r} instead"
            ) from refusal
    except (PermissionDenied, ToolMissing):
        pass  # what is missing is a privilege or a program, and it says so
    else:
        raise AssertionError(f"{capability} is under-claimed: the driver does not declare it, and does it")


def _see_that_nothing_is_filtered(firewall: UnderTest, net: Sandbox) -> None:
    """See what a firewall does that does not even declare to filter: it may take rules, and stops nothing by them."""
    try:
        _apply(Rule(DROP), "input")(firewall, net)
    except (Unsupported, PermissionDenied, ToolMissing):
        return
    what = f"{Firewall.FILTER} is not declared, and a rule that drops everything was taken"
    net.reaches(net, "127.0.0.1", net, "127.0.0.1", what=what)
