"""The commands: a function for each, from a driver and the parsed options to what is to be printed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from refnet.cli.output import Answer, PartlyDone, UsageError, capabilities_text, device_document, device_text
from refnet.errors import RefnetError

if TYPE_CHECKING:
    from refnet.netdev.driver import NetDevDriver

_BRIDGE_OPTIONS = ("mac_address", "mtu", "stp", "forward_delay", "ageing_time", "multicast_snooping")


def capabilities(driver: NetDevDriver, options: Namespace) -> Answer:
    """Ask for every capability; that one is missing is an answer, not an error."""
    from refnet.netdev.driver import Capability

    reasons = {str(capability): driver.probe(capability) for capability in Capability}
    found = {name: {"available": reason is None, "reason": reason} for name, reason in reasons.items()}
    return Answer({"capabilities": found}, capabilities_text(reasons))


# -- any device -------------------------------------------------------------------------------------------


def device_show(driver: NetDevDriver, options: Namespace) -> Answer:
    """Describe a device."""
    device = driver.device(options.name)
    return Answer(device_document(device), device_text(device))


def device_delete(driver: NetDevDriver, options: Namespace) -> Answer:
    """Delete a virtual device."""
    driver.delete_net_dev(options.name)
    return _done(options, options.name)


def device_set(driver: NetDevDriver, options: Namespace) -> Answer:
    """Validate all that is given, then set one after the other; the state last, when the rest is as wanted."""
    from refnet import names

    name = names.device_name(options.name)
    steps: list[tuple[str, Any, Callable[[], None]]] = []
    if options.mtu is not None:
        mtu = names.mtu(options.mtu)
        steps.append(("mtu", mtu, lambda: driver.set_device_mtu(name, mtu)))
    if options.mac_address is not None:
        mac = names.mac_address(options.mac_address)
        steps.append(("mac_address", mac, lambda: driver.set_device_macaddr(name, mac)))
    if options.up is not None:
        set_state = driver.set_device_enabled if options.up else driver.set_device_disabled
        steps.append(("up", options.up, lambda: set_state(name)))
    if not steps:
        raise UsageError("nothing to set: give one or more of --mtu, --mac, --up, --down", options.prog)

    done: dict[str, Any] = {}
    for what, value, step in steps:
        try:
            step()
        except RefnetError as error:
            if done:
                raise PartlyDone(error, done) from error
            raise
        done[what] = value
    return _done(options, name, set=done)


def address_add(driver: NetDevDriver, options: Namespace) -> Answer:
    """Give a device an address."""
    driver.add_device_address(options.name, options.address)
    return _done(options, options.name, address=options.address)


def address_delete(driver: NetDevDriver, options: Namespace) -> Answer:
    """Take an address from a device."""
    driver.delete_device_address(options.name, options.address)
    return _done(options, options.name, address=options.address)


def address_gateway(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make an address the device's first."""
    driver.ensure_gateway_address(options.name, options.address)
    return _done(options, options.name, address=options.address)


# -- bridges ----------------------------------------------------------------------------------------------


def bridge_create(driver: NetDevDriver, options: Namespace) -> Answer:
    """Create a bridge."""
    driver.create_bridge(options.bridge, **_given(options, _BRIDGE_OPTIONS))
    return _done(options, options.bridge)


def bridge_ensure(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make sure of a bridge, and of an interface in it."""
    if options.move and options.interface is None:
        raise UsageError("--move says how --interface joins: give --interface too", options.prog)
    driver.ensure_bridge(options.bridge, options.interface, move=options.move, **_given(options, _BRIDGE_OPTIONS))
    return _done(options, options.bridge, interface=options.interface)


def bridge_delete(driver: NetDevDriver, options: Namespace) -> Answer:
    """Delete a bridge."""
    driver.delete_bridge(options.bridge)
    return _done(options, options.bridge)


def bridge_add_port(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make a device a port of a bridge."""
    driver.add_bridge_port(options.bridge, options.port, move=options.move)
    return _done(options, options.bridge, port=options.port)


def bridge_remove_port(driver: NetDevDriver, options: Namespace) -> Answer:
    """Take a port out of a bridge."""
    driver.remove_bridge_port(options.bridge, options.port)
    return _done(options, options.bridge, port=options.port)


def bridge_ports(driver: NetDevDriver, options: Namespace) -> Answer:
    """List a bridge's ports, one a line."""
    ports = driver.bridge_ports(options.bridge)
    return Answer.lines({"bridge": options.bridge, "ports": list(ports)}, ports)


# -- VLANs, taps, virtual cables --------------------------------------------------------------------------


def vlan_ensure(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make sure of a VLAN device, with ``--bridge`` also of a bridge that has it; print the device's name."""
    settings = _given(options, ("mac_address", "mtu"))
    facts = {"tag": options.tag, "parent": options.parent}
    if options.bridge is None:
        name = driver.ensure_vlan(options.tag, options.parent, options.name, **settings)
    else:
        name = driver.ensure_vlan_bridge(options.tag, options.bridge, options.parent, options.name, **settings)
        facts |= {"operation": "ensure_vlan_bridge", "bridge": options.bridge}
    return Answer.lines(_done(options, name, **facts).document, [name])


def tap_create(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make sure of a tap."""
    driver.create_tap_dev(options.name, **_given(options, ("mac_address", "multi_queue", "mtu", "owner", "group")))
    return _done(options, options.name)


def veth_create(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make sure of a virtual cable."""
    driver.create_veth_pair(options.name, options.peer, mtu=options.mtu)
    return _done(options, options.name, peer=options.peer)


def _given(options: Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names}


def _done(options: Namespace, device: str, **facts: Any) -> Answer:
    """Say what was called and that it returned. Whether it changed anything is not known: the calls converge."""
    return Answer({"ok": True, "operation": options.operation, "device": device, **facts})
