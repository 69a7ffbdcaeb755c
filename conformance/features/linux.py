"""What a Linux environment can do, tried in a network namespace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from conformance.errors import SuiteError
from conformance.features import (
    FILTERED_BRIDGES,
    NETDEVSIM,
    REAL_CLIENTS,
    SECOND_USER,
    linux_filters,
    programs,
    switches,
)
from conformance.topology.linux import cards, namespaces
from conformance.topology.linux.endpoints import LinuxStack, open_tap
from refnet import dhcp, firewall
from refnet.netdev.driver import Capability

_ATTEMPT = "attempt"
_LINKS = {
    Capability.BRIDGE: "type bridge",
    Capability.BRIDGE_STP: "type bridge stp_state 1",
    Capability.BRIDGE_FORWARD_DELAY: "type bridge forward_delay 400",
    Capability.BRIDGE_AGEING_TIME: "type bridge ageing_time 1000",
    Capability.BRIDGE_MULTICAST_SNOOPING: "type bridge mcast_snooping 0",
    Capability.VLAN: "link carrier0 type vlan id 5",
    Capability.VETH: "type veth peer name attempt-peer",
}
_TAPS = {
    Capability.TAP: "",
    Capability.TAP_MULTI_QUEUE: " multi_queue",
    Capability.TAP_OWNER: f" user {os.geteuid()}",
}
#: Real clients of DHCP, and what brings them.
_CLIENTS = {
    "dhclient": "apt-get install isc-dhcp-client",
    "udhcpc": "apt-get install udhcpc",
    "dhcpcd": "apt-get install dhcpcd-base",
}
_WITH_IPV6 = (dhcp.Capability.DHCP_IPV6, dhcp.Capability.ROUTER_ADVERTISEMENT)


def lacking(feature: str) -> str | None:
    """Return why a capability or a need cannot be had in this environment, in the system's words; None: it can."""
    if feature == SECOND_USER:
        return _second_user()
    if feature == FILTERED_BRIDGES:
        return _filtered_bridges()
    if feature == NETDEVSIM:
        return cards.lacking()
    if feature in REAL_CLIENTS:
        return programs.lacking_client(feature, None, _CLIENTS[feature])
    if feature in map(str, firewall.Capability):
        return linux_filters.lacking(firewall.Capability(feature))
    if feature in map(str, dhcp.Capability):
        wanting = programs.lacking_server(None, "apt-get install dnsmasq-base")
        return wanting or (lacking(Capability.IPV6) if feature in _WITH_IPV6 else None)
    capability = Capability(feature)
    if capability in switches.OVS:
        return switches.lacking(capability, _new_stack, "apt-get install openvswitch-switch")
    if capability not in {*_LINKS, *_TAPS, *_OTHERS, Capability.IPV6}:
        return f"the suite knows no way to have {capability} here"
    stack = _new_stack()
    try:
        if capability in _OTHERS:
            return _OTHERS[capability](stack)
        if capability is Capability.IPV6:
            return _attempt(stack, "addr add 2001:db8::1/64 dev lo")
        if capability in _TAPS:
            stack_words = _attempt(stack, f"tuntap add dev {_ATTEMPT} mode tap{_TAPS[capability]}")
            return stack_words or _held(stack)
        if capability is Capability.VLAN:
            _attempt(stack, "link add dev carrier0 type veth peer name carrier1")
        return _attempt(stack, f"link add name {_ATTEMPT} {_LINKS[capability]}")
    finally:
        stack.close()


def _new_stack() -> LinuxStack:
    return LinuxStack("probe", namespaces.new_network())


def _attempt(stack: LinuxStack, command: str) -> str | None:
    try:
        stack.ip(command)
    except SuiteError as error:
        words = str(error).partition("ip -batch -: ")[2].partition(" (stdin")[0]
        return f"'ip {command}' says: {' '.join(words.split())}"
    return None


def _held(stack: LinuxStack) -> str | None:
    """See that a tap can be held as well, which takes the right to open /dev/net/tun."""
    with stack.entered():
        try:
            os.close(open_tap(_ATTEMPT, 0x1002))
        except OSError as error:
            # EINVAL: the tap is there and has several queues, which is all that is asked here.
            return None if error.errno == 22 else f"/dev/net/tun: {error.strerror}"
    return None


def _sets_functions(stack: LinuxStack) -> str | None:
    """See how the kernel refuses to set what no loopback has: that it cannot, or that this user may not."""
    said = _attempt(stack, "link set dev lo vf 0 trust on") or ""
    return None if "not supported" in said else said or "'ip link set dev lo vf 0 trust on' does something"


def _switches_with_ivs(stack: LinuxStack) -> str | None:
    if shutil.which("ivs-ctl") is None:
        return "no ivs-ctl is installed: https://github.com/floodlight/ivs has its source"
    try:
        return None if "ivs:" in stack.run("ivs-ctl", "show").splitlines() else "'ivs-ctl show' lists no datapath ivs"
    except SuiteError as error:
        return str(error)


_OTHERS = {Capability.SRIOV: _sets_functions, Capability.IVS: _switches_with_ivs}


def _filtered_bridges() -> str | None:
    if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        return None
    return "/proc/sys/net/bridge is not there: 'modprobe br_netfilter' on the host loads it, if the kernel has it"


def _second_user() -> str | None:
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    if mapped > 1:
        return None
    return "only one user id is mapped in this user namespace: run as root, or have ids granted in /etc/subuid"
