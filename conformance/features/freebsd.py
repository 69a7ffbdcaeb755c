"""What a FreeBSD environment can do, tried in a vnet jail."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from conformance.errors import SuiteError
from conformance.features import DHCLIENT, FILTERED_BRIDGES, NETDEVSIM, REAL_CLIENTS, SECOND_USER, programs, switches
from conformance.freebsd_shell import environment, run
from conformance.topology.freebsd import jails
from conformance.topology.freebsd.endpoints import FreeBsdStack
from refnet import dhcp
from refnet.firewall import Capability as Firewall
from refnet.netdev.driver import Capability

#: What no FreeBSD has in the way that the interfaces mean it.
_NOWHERE: dict[Capability | Firewall, str] = {
    Capability.BRIDGE_STP: "a bridge of FreeBSD has no switch of its own for it: each port has one (ifconfig(8), stp)",
    Capability.BRIDGE_MULTICAST_SNOOPING: "if_bridge(4) does no multicast snooping",
    Capability.TAP_MULTI_QUEUE: "a tap(4) has one queue",
    Capability.OVS_KERNEL_DATAPATH: "Open vSwitch has no datapath in FreeBSD's kernel",
    Capability.IVS: "Indigo Virtual Switch is a program for Linux: it works with Open vSwitch's datapath in its kernel",
    Capability.SRIOV: "iovctl(8) says what virtual functions are when it makes them all, and changes none later",
    Firewall.MARK: "pf.conf(5) has tags, by name, and no marks",
    Firewall.CHECKSUM_FILL: "pf.conf(5) has nothing to fill in checksums with",
    Firewall.TRANSLATED_STATE: "pf.conf(5) has nothing that tells translated connections from others",
    Firewall.NEIGHBOUR_TARGETS: "pf's ether rules look no further than addresses (pf.conf(5), l3)",
    Firewall.POSITION: "where anchors come is said in pf's main rule set, by the administrator",
}
_IN_JAIL = "test0"
#: Whether a user without privilege can open what has been given to him: releases differ (tap(4), user_open).
_OPENS = "import os, sys; it = sys.argv[1]; os.chown(it, 1, 1); os.setgid(1); os.setuid(1); os.open(it, os.O_RDWR)"
_WITH_IPV6 = (dhcp.Capability.DHCP_IPV6, dhcp.Capability.ROUTER_ADVERTISEMENT)


def _pf(rule: str) -> str:
    """Return the command that has pf take a rule, and enables it, since in some releases it keeps none before."""
    return f"pfctl -q -e; echo '{rule}' | pfctl -q -f -"


#: By capability, the commands that try it.
_ATTEMPTS: dict[Capability | Firewall, tuple[str, ...]] = {
    Capability.BRIDGE: (f"ifconfig bridge create name {_IN_JAIL}",),
    Capability.BRIDGE_FORWARD_DELAY: (f"ifconfig bridge create name {_IN_JAIL} fwddelay 4",),
    Capability.BRIDGE_AGEING_TIME: (f"ifconfig bridge create name {_IN_JAIL} timeout 60",),
    Capability.VLAN: ("ifconfig vlan create vlan 5 vlandev $(ifconfig epair create)",),
    Capability.TAP: ("exec 3<>/dev/$(ifconfig tap create)",),
    Capability.TAP_OWNER: (f"{sys.executable} -I -S -c '{_OPENS}' /dev/$(ifconfig tap create)",),
    Capability.VETH: ("ifconfig epair create",),
    Capability.IPV6: ("ifconfig lo0 inet6 2001:db8::1/64",),
    Firewall.FILTER: (_pf("block drop in inet from 192.0.2.1"),),
    Firewall.FIREWALL_IPV6: (_pf("block drop in inet6 from 2001:db8::1"),),
    Firewall.NAT: (_pf("nat on lo0 inet from any to any -> 192.0.2.1"),),
    Firewall.NAT_IPV6: (_pf("nat on lo0 inet6 from any to any -> 2001:db8::1"),),
    Firewall.CONNECTION_STATE: (_pf("pass keep state"),),
    Firewall.RATE_LIMIT: (_pf("pass max-pkt-rate 10/1"),),
    Firewall.LOG: (_pf("pass log"),),
    Firewall.SOURCE_MAC: (_pf("ether block in from 02:00:00:00:00:01"),),
    Firewall.COUNTERS: (_pf("pass label attempt"), "pfctl -q -s labels"),
    Firewall.LAYER2: (_pf("ether block in proto 0x0806"),),
    Firewall.FORGET_CONNECTIONS: ("pfctl -q -k 192.0.2.1",),
}


def lacking(feature: str) -> str | None:
    """Return why a capability or a need cannot be had in this environment, in the system's words; None: it can."""
    if feature == SECOND_USER:
        return None if os.geteuid() == 0 else "it takes root to become another user"
    if feature == FILTERED_BRIDGES:
        has_it = run(["sysctl", "-n", "-i", "net.link.bridge.pfil_member"]).strip()
        return None if has_it else "there is no net.link.bridge.pfil_member: 'kldload if_bridge' brings it"
    if feature == NETDEVSIM:
        return "netdevsim is a device of Linux's kernel"
    path = environment()["PATH"]
    if feature in REAL_CLIENTS:
        words = "elsewhere than on Linux it cannot be kept from the host's own files"
        return words if feature != DHCLIENT else programs.lacking_client(feature, path, "the base system")
    if feature in map(str, dhcp.Capability):
        wanting = programs.lacking_server(path, "pkg install dnsmasq")
        return wanting or (lacking(Capability.IPV6) if feature in _WITH_IPV6 else None)
    (capability,) = (one for one in (*Capability, *Firewall) if one.value == feature)
    if capability in _NOWHERE:
        return _NOWHERE[capability]
    if capability in switches.OVS:
        return switches.lacking(Capability(capability), _new_stack, "pkg install openvswitch", path)
    with _probing() as attempt:
        return attempt(*_ATTEMPTS[capability])


def _new_stack() -> FreeBsdStack:
    name = jails.new_name()
    jails.make(name, children=0)
    return FreeBsdStack("probe", name)


@contextlib.contextmanager
def _probing() -> Iterator[Callable[..., str | None]]:
    """Make a jail, and give what tries commands in it."""
    name = jails.new_name()
    jails.make(name, children=0)

    def attempt(*commands: str) -> str | None:
        for command in commands:
            try:
                run(["jexec", name, "sh", "-c", command])
            except SuiteError as error:
                said = str(error).rpartition("failed: ")[2].splitlines()
                return f"'{command}' says: {said[-1] if said else 'nothing'}"
        return None

    try:
        yield attempt
    finally:
        jails.remove(name)
