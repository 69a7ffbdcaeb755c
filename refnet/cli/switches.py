"""The commands about switch ports and virtual functions."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from refnet.cli.output import Answer, UsageError, lines_of, table

if TYPE_CHECKING:
    from refnet.netdev.driver import NetDevDriver
    from refnet.netdev.model import OvsPort, VirtualFunction

_VLAN = ("tag", "trunks", "vlan_mode")


# -- Open vSwitch -----------------------------------------------------------------------------------------


def bridge_ensure(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make sure of a bridge of Open vSwitch."""
    given = {name: getattr(options, name) for name in ("datapath_type", "fail_mode", "mac_address", "mtu")}
    _connect(options)
    driver.ensure_ovs_bridge(options.bridge, **given)
    return _done(options, options.bridge)


def bridge_delete(driver: NetDevDriver, options: Namespace) -> Answer:
    """Delete a bridge of Open vSwitch."""
    _connect(options)
    driver.delete_ovs_bridge(options.bridge)
    return _done(options, options.bridge)


def port_list(driver: NetDevDriver, options: Namespace) -> Answer:
    """List a bridge's ports, one a line."""
    _connect(options)
    ports = driver.ovs_ports(options.bridge)
    return Answer.lines({"bridge": options.bridge, "ports": list(ports)}, ports)


def port_show(driver: NetDevDriver, options: Namespace) -> Answer:
    """Describe a port."""
    _connect(options)
    port = driver.ovs_port(options.port)
    return Answer(port_document(port), port_text(port))


def port_add(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make a device a port of a bridge, or have the switch make it."""
    _connect(options)
    driver.create_ovs_vif_port(
        options.bridge,
        options.port,
        options.iface_id,
        options.mac_address,
        options.vm_uuid,
        mtu=options.mtu,
        interface_type=options.type,
        vhost_server_path=options.vhost_server_path,
        device_later=options.device_later,
        **_vlan(options),
    )
    return _done(options, options.port, bridge=options.bridge)


def port_delete(driver: NetDevDriver, options: Namespace) -> Answer:
    """Take a port out of a bridge."""
    _connect(options)
    driver.delete_ovs_vif_port(options.bridge, options.port, delete_dev=not options.keep_device)
    return _done(options, options.port, bridge=options.bridge)


def port_vlan(driver: NetDevDriver, options: Namespace) -> Answer:
    """Set what a port does with tags."""
    if not any(getattr(options, name) for name in _VLAN) and not options.all:
        raise UsageError("nothing to set: give --tag, --trunks, --vlan-mode, or --all", options.prog)
    if options.all and any(getattr(options, name) for name in _VLAN):
        raise UsageError("--all lets all tags pass: give it alone", options.prog)
    _connect(options)
    driver.set_ovs_port_vlan(options.port, **_vlan(options))
    return _done(options, options.port)


def patch_add(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make sure of a cable between two bridges."""
    _connect(options)
    driver.create_ovs_patch_ports(
        options.bridge, options.port, options.peer_bridge, options.peer_port, **_vlan(options)
    )
    return _done(options, options.port, bridge=options.bridge, peer=options.peer_port)


def port_document(port: OvsPort) -> dict[str, Any]:
    """Return a port for JSON: its attributes by their names."""
    return {
        "name": port.name,
        "bridge": port.bridge,
        "interface_type": port.interface_type,
        "ofport": port.ofport,
        "tag": port.tag,
        "trunks": list(port.trunks),
        "vlan_mode": None if port.vlan_mode is None else str(port.vlan_mode),
        "mtu": port.mtu,
        "peer": port.peer,
        "iface_id": port.iface_id,
        "attached_mac": port.attached_mac,
        "vm_uuid": port.vm_uuid,
        "iface_status": port.iface_status,
        "error": port.error,
    }


def port_text(port: OvsPort) -> str:
    """Return a port as lines of key and value; what it does not have has no line."""
    return lines_of(
        [
            ("name", port.name),
            ("bridge", port.bridge),
            ("type", port.interface_type or "a device of the system"),
            ("ofport", "none" if port.ofport is None else str(port.ofport)),
            ("tag", None if port.tag is None else str(port.tag)),
            ("trunks", ", ".join(map(str, port.trunks)) or None),
            ("vlan-mode", None if port.vlan_mode is None else str(port.vlan_mode)),
            ("mtu", None if port.mtu is None else f"{port.mtu} bytes"),
            ("peer", port.peer),
            ("iface-id", port.iface_id),
            ("attached-mac", port.attached_mac),
            ("vm-uuid", port.vm_uuid),
            ("iface-status", port.iface_status),
            ("error", port.error),
        ]
    )


# -- Indigo Virtual Switch --------------------------------------------------------------------------------


def ivs_add(driver: NetDevDriver, options: Namespace) -> Answer:
    """Make a device a port of IVS."""
    driver.create_ivs_vif_port(options.port, options.iface_id, options.mac_address, options.vm_uuid)
    return _done(options, options.port)


def ivs_delete(driver: NetDevDriver, options: Namespace) -> Answer:
    """Take a port out of IVS."""
    driver.delete_ivs_vif_port(options.port)
    return _done(options, options.port)


# -- virtual functions ------------------------------------------------------------------------------------


def vf_show(driver: NetDevDriver, options: Namespace) -> Answer:
    """Describe the virtual functions of a network card, or one."""
    functions = driver.virtual_functions(options.name)
    if options.number is not None:
        from refnet.errors import InvalidArgument

        functions = tuple(one for one in functions if one.number == options.number)
        if not functions:
            raise InvalidArgument(f"{options.name} has no virtual function {options.number}", device=options.name)
    document = {"device": options.name, "virtual_functions": [vf_document(one) for one in functions]}
    return Answer(document, vf_text(functions) if functions else "")


def vf_find(driver: NetDevDriver, options: Namespace) -> Answer:
    """Describe the virtual function at a PCI address, and name its own device."""
    function = driver.virtual_function_at(options.pci_address)
    own = driver.virtual_function_device(options.pci_address)
    document = {**vf_document(function), "pci_address": options.pci_address, "own_device": own}
    rows = [("pci", options.pci_address), ("card", function.dev), ("number", str(function.number)), ("device", own)]
    return Answer(document, lines_of([*rows, *_vf_rows(function)]))


def vf_set(driver: NetDevDriver, options: Namespace) -> Answer:
    """Set MAC address and VLAN of a virtual function."""
    driver.set_device_macaddr_and_vlan(options.name, options.number, options.mac_address, options.vlan)
    return _vf_done(options, mac_address=options.mac_address, vlan=options.vlan)


def vf_trust(driver: NetDevDriver, options: Namespace) -> Answer:
    """Trust a virtual function, or trust it no more."""
    driver.set_device_trust(options.name, options.number, options.trusted)
    return _vf_done(options, trusted=options.trusted)


def vf_link(driver: NetDevDriver, options: Namespace) -> Answer:
    """Say what a virtual function sees as its link."""
    driver.set_device_link_state(options.name, options.number, options.state)
    return _vf_done(options, link_state=options.state)


def vf_restore(driver: NetDevDriver, options: Namespace) -> Answer:
    """Put a virtual function back as it was."""
    driver.restore_virtual_function(options.name, options.number)
    return _vf_done(options)


def vf_document(function: VirtualFunction) -> dict[str, Any]:
    """Return a virtual function for JSON: its attributes by their names."""
    return {
        "dev": function.dev,
        "number": function.number,
        "mac_address": function.mac_address,
        "vlan": function.vlan,
        "link_state": None if function.link_state is None else str(function.link_state),
        "spoof_check": function.spoof_check,
        "trusted": function.trusted,
    }


def vf_text(functions: tuple[VirtualFunction, ...]) -> str:
    """Return a table of virtual functions; what the card does not tell is a question mark."""
    rows = [("NUMBER", "MAC", "VLAN", "LINK", "SPOOF CHECK", "TRUSTED")]
    for one in functions:
        told = [value or "?" for _, value in _vf_rows(one)]
        rows.append((str(one.number), told[0], told[1], told[2], told[3], told[4]))
    return "".join(f"{row}\n" for row in table(rows))


def _vf_rows(one: VirtualFunction) -> list[tuple[str, str | None]]:
    words = {None: None, True: "yes", False: "no"}
    return [
        ("mac", one.mac_address),
        ("vlan", str(one.vlan) if one.vlan else "none"),
        ("link", None if one.link_state is None else str(one.link_state)),
        ("spoof-check", words[one.spoof_check]),
        ("trusted", words[one.trusted]),
    ]


# -- small things -----------------------------------------------------------------------------------------


def _vlan(options: Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in _VLAN}


def _connect(options: Namespace) -> None:
    from refnet import config

    config.configure(ovsdb=options.ovsdb)


def _vf_done(options: Namespace, **facts: Any) -> Answer:
    return _done(options, options.name, number=options.number, **facts)


def _done(options: Namespace, device: str, **facts: Any) -> Answer:
    """Say what was called and that it returned. Whether it changed anything is not known: the calls converge."""
    return Answer({"ok": True, "operation": options.operation, "device": device, **facts})
