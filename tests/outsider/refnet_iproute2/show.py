"""Reading devices: from what ``ip -j -d`` prints to refnet's description of a device."""

from __future__ import annotations

import errno
import grp
import ipaddress
import json
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from refnet.errors import CommandFailed, NoSuchDevice, WrongKind
from refnet.netdev.driver import Address, Device, Kind, Vlan
from refnet_iproute2.command import listing

#: ``INFINITY_LIFE_TIME`` of the kernel: for ever.
FOREVER = 0xFFFFFFFF
_MAC_ADDRESS = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_KINDS = {"bridge": Kind.BRIDGE, "vlan": Kind.VLAN, "veth": Kind.VETH}


@dataclass(frozen=True, slots=True)
class Seen:
    """A device as it was seen: described, and with what the description leaves out.

    ``options`` are those of its kind (a bridge's ageing time, a VLAN's protocol), ``addresses`` its addresses as
    ``ip`` lists them.
    """

    device: Device
    options: Mapping[str, Any]
    addresses: tuple[Mapping[str, Any], ...]


def get(dev: str) -> Seen:
    """Look at a device.

    Raises:
        NoSuchDevice: it is not there.
    """
    for entry in _listed("-details", "address", "show", "dev", dev):
        if dev in (entry["ifname"], *entry.get("altnames", ())):
            return seen(entry)
    # If there is no "if7", ip takes that for the number of a device, and shows one by another name.
    raise NoSuchDevice(f"there is no device {dev!r}", device=dev, errno=errno.ENODEV)


def find(dev: str) -> Seen | None:
    """Look for a device; None if it is not there."""
    try:
        return get(dev)
    except NoSuchDevice:
        return None


def require(device: Device, kind: Kind) -> None:
    """See that a device is of a kind.

    Raises:
        WrongKind: it is of another.
    """
    if device.kind is not kind:
        raise WrongKind(f"{device.name!r} is no {kind} but: {device.kind}", device=device.name)


def ports(bridge: str) -> tuple[str, ...]:
    """Return the names of a bridge's ports, sorted."""
    return tuple(sorted(entry["ifname"] for entry in _listed("link", "show", "master", bridge)))


def vlans() -> list[Device]:
    """Return all VLAN devices, without their addresses."""
    return [seen(entry).device for entry in _listed("-details", "link", "show", "type", "vlan")]


def seen(entry: Mapping[str, Any]) -> Seen:
    """Read one device out of what ``ip -j -d address show`` prints."""
    info = entry.get("linkinfo", {})
    options = info.get("info_data", {})
    kind = _kind(entry, info.get("info_kind"), options)
    here = "link_netnsid" not in entry  # whether the device below, or at the other end, is in this namespace
    flags = entry.get("flags", ())
    addresses = tuple(address for address in entry.get("addr_info", ()) if "local" in address)
    mac = str(entry.get("address", "")).lower()
    is_tap = kind in (Kind.TAP, Kind.TUN)
    device = Device(
        name=entry["ifname"],
        kind=kind,
        mac_address=mac if _MAC_ADDRESS.fullmatch(mac) else None,
        mtu=entry["mtu"],
        up="UP" in flags,
        carrier="LOWER_UP" in flags,
        master=entry.get("master"),
        vlan=Vlan(options["id"], entry.get("link") if here else None) if kind is Kind.VLAN else None,
        peer=entry.get("link") if kind is Kind.VETH and here else None,
        multi_queue=options.get("multi_queue") if is_tap else None,
        owner=_number(options.get("user"), lambda name: pwd.getpwnam(name).pw_uid) if is_tap else None,
        group=_number(options.get("group"), lambda name: grp.getgrnam(name).gr_gid) if is_tap else None,
        addresses=tuple(_address(address, entry["ifname"]) for address in addresses),
    )
    return Seen(device, options, addresses)


def _kind(entry: Mapping[str, Any], name: str | None, options: Mapping[str, Any]) -> Kind:
    if name is None:
        return Kind.LOOPBACK if "LOOPBACK" in entry.get("flags", ()) else Kind.ETHERNET
    if name == "tun":
        return Kind.TAP if options.get("type") == "tap" else Kind.TUN
    return _KINDS.get(name, Kind.OTHER)


def _address(entry: Mapping[str, Any], dev: str) -> Address:
    label = entry.get("label")
    valid, preferred = entry.get("valid_life_time", FOREVER), entry.get("preferred_life_time", FOREVER)
    return Address(
        interface=ipaddress.ip_interface(f"{entry['local']}/{entry['prefixlen']}"),
        broadcast=entry.get("broadcast"),
        label=label if label != dev else None,
        valid_lifetime=valid if valid != FOREVER else None,
        preferred_lifetime=preferred if preferred != FOREVER else None,
    )


def _number(shown: object, look_up: Callable[[str], int]) -> int | None:
    """Return a user's or group's number: ``ip`` shows its name if it has one."""
    if shown is None:
        return None
    try:
        return int(str(shown))
    except ValueError:
        pass
    try:
        return look_up(str(shown))
    except KeyError:
        return None


def _listed(*words: str) -> list[dict[str, Any]]:
    shown = listing("-json", *words)
    try:
        entries = json.loads(shown or "[]")
    except ValueError as error:
        raise CommandFailed(("ip", "-json", *words), 0, shown, f"what it printed is no JSON: {error}") from error
    return [entry for entry in entries if "ifname" in entry]  # some versions print an empty object for a filtered one
