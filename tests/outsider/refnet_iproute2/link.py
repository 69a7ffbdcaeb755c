"""Plans for devices: what to make, and what to change in what is there."""

from __future__ import annotations

import os
from dataclasses import dataclass

from refnet import names
from refnet.errors import AlreadyEnslaved, InvalidArgument
from refnet.netdev.driver import Device, Kind
from refnet_iproute2.command import Words
from refnet_iproute2.show import Seen
from refnet_iproute2.steps import Step

#: The kernel's clock for bridges: hundredths of a second.
_TICKS = 100


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """The properties of a bridge that a caller asked for; None keeps what is there."""

    mac_address: str | None = None
    mtu: int | None = None
    ageing_time: float | None = None
    multicast_snooping: bool | None = None

    def __post_init__(self) -> None:
        """Validate."""
        if self.mac_address is not None:
            object.__setattr__(self, "mac_address", names.mac_address(self.mac_address))
        if self.mtu is not None:
            names.mtu(self.mtu)
        if self.ageing_time is not None:
            names.seconds(self.ageing_time, "ageing_time")
        if self.multicast_snooping is not None:
            names.flag(self.multicast_snooping, "multicast_snooping")

    def of_kind(self) -> dict[str, int]:
        """Return those that only a bridge has, by ``ip``'s names, in its units."""
        options = {}
        if self.ageing_time is not None:
            options["ageing_time"] = round(self.ageing_time * _TICKS)
        if self.multicast_snooping is not None:
            options["mcast_snooping"] = int(self.multicast_snooping)
        return options


def new_bridge(bridge: str, options: BridgeOptions, *, interface: Device | None = None) -> list[Step]:
    """Plan a bridge, up, with a MAC address that stays: the one asked for, that of ``interface``, or a random one."""
    mac = options.mac_address or (interface.mac_address if interface else None) or random_mac_address()
    kind = ("type", "bridge", *(word for name, value in options.of_kind().items() for word in (name, str(value))))
    head = ("link", "add", "name", bridge, "address", mac)
    remove = _delete(bridge)
    if options.mtu is None:
        return [Step((*head, "up", *kind), remove)]
    # Only an MTU that is changed on the living bridge outlasts a port with a smaller one; so it is born with another.
    return [
        Step((*head, "mtu", _other_mtu(options.mtu), *kind), remove),
        Step(("link", "set", "dev", bridge, "mtu", str(options.mtu), "up"), ()),
    ]


def change_bridge(there: Seen, options: BridgeOptions, *, gets_port: bool) -> list[Step]:
    """Plan a bridge's way to the options, up.

    ``gets_port``: a port is about to join. MTU and MAC address that are what they should be may then be so by chance,
    as nobody set them, and would follow the port: they are set in any case.
    """
    kind, kind_back = [], []
    for name, value in options.of_kind().items():
        now = there.options.get(name)
        # The kernel keeps its own clock's units: a time may come back one hundredth smaller than it was given.
        if now is None or abs(value - now) > (name == "ageing_time"):
            kind += [name, str(value)]
            kind_back += [name, str(now)] if now is not None else []
    steps = []
    if gets_port and options.mtu == there.device.mtu:
        steps.append(_toggle_mtu(there.device))
    steps += change(
        there.device,
        mac_address=options.mac_address,
        mtu=options.mtu,
        also=("type", "bridge", *kind) if kind else (),
        also_back=("type", "bridge", *kind_back) if kind_back else (),
        force=gets_port,
    )
    return steps


def pin_mtu(device: Device, mtu: int) -> list[Step]:
    """Plan a bridge's MTU so that it stays, whatever it is now."""
    first = [_toggle_mtu(device)] if device.mtu == mtu else []
    return [*first, *change(device, mtu=mtu, up=device.up, force=True)]


def change(
    device: Device,
    *,
    mac_address: str | None = None,
    mtu: int | None = None,
    up: bool = True,
    also: Words = (),
    also_back: Words = (),
    force: bool = False,
) -> list[Step]:
    """Plan a device's way to the given properties, in one command; nothing if it has them.

    ``also`` and ``also_back`` are further words of the command and of its way back. ``force`` writes MTU and MAC
    address even where they are right.
    """
    words: Words = ()
    back: Words = ()
    if mac_address is not None and (force or mac_address != device.mac_address):
        words += ("address", mac_address)
        back += ("address", device.mac_address) if device.mac_address else ()
    if mtu is not None and (force or mtu != device.mtu):
        words += ("mtu", str(mtu))
        back += ("mtu", str(device.mtu))
    if up != device.up:
        words += ("up" if up else "down",)
        back += ("up" if device.up else "down",)
    words += also
    back += also_back
    if not words:
        return []
    to = ("link", "set", "dev", device.name)
    # Without anything to put back, the state is named as it was, for a command that ip accepts.
    return [Step((*to, *words), (*to, *(back or ("up" if device.up else "down",))), in_parts=True)]


def new_vlan(tag: int, parent: str, dev: str, mac_address: str | None, mtu: int | None) -> list[Step]:
    """Plan a VLAN device, up."""
    return [
        Step(
            (
                *("link", "add", "link", parent, "name", dev),
                *(("address", mac_address) if mac_address else ()),
                *(("mtu", str(mtu)) if mtu else ()),
                *("up", "type", "vlan", "id", str(tag)),
            ),
            _delete(dev),
        )
    ]


def new_tap(dev: str, mac_address: str | None, mtu: int | None, *, multi_queue: bool) -> list[Step]:
    """Plan a tap that outlives its users, up."""
    queues = ("multi_queue",) if multi_queue else ()
    properties = (*(("address", mac_address) if mac_address else ()), *(("mtu", str(mtu)) if mtu else ()), "up")
    return [
        Step(("tuntap", "add", "dev", dev, "mode", "tap", *queues), _delete(dev)),
        Step(("link", "set", "dev", dev, *properties), ()),
    ]


def new_cable(dev: str, peer: str, mtu: int | None) -> list[Step]:
    """Plan a virtual cable, up at both ends."""
    size = ("mtu", str(mtu)) if mtu else ()
    # An end cannot be born up: the kernel makes one before the other, and without its other end it stays down.
    return [
        Step(("link", "add", "name", dev, *size, "type", "veth", "peer", "name", peer, *size), _delete(dev)),
        Step(("link", "set", "dev", dev, "up"), ()),
        Step(("link", "set", "dev", peer, "up"), ()),
    ]


def enslave(port: Device, bridge: str, *, up: bool = False) -> Step:
    """Plan a port's way to a bridge, with ``up`` set up there; back to the bridge that it came from, if any."""
    to = ("link", "set", "dev", port.name)
    words: Words = ("master", bridge)
    back: Words = ("master", port.master) if port.master else ("nomaster",)
    if up and not port.up:
        words, back = (*words, "up"), (*back, "down")
    # The kernel takes it from the old bridge first: when the new one refuses it, it belongs to none.
    return Step((*to, *words), (*to, *back), in_parts=True)


def joins(port: Device, bridge: str, *, move: bool) -> bool:
    """Say whether a device has to join a bridge, or is its port already.

    Raises:
        InvalidArgument: such a device cannot be a port.
        AlreadyEnslaved: it belongs to another, and is not to be moved.
    """
    if port.kind in (Kind.BRIDGE, Kind.LOOPBACK, Kind.TUN) or port.mac_address is None:
        raise InvalidArgument(f"{port.name!r} ({port.kind}) cannot be a port of a bridge", device=port.name)
    if port.master is not None and port.master != bridge and not move:
        raise AlreadyEnslaved(
            f"{port.name!r} belongs to {port.master!r}: move=True takes it from there",
            master=port.master,
            device=port.name,
        )
    return port.master != bridge


def random_mac_address() -> str:
    """Return a unicast MAC address of the locally administered range.

    From the system, not from a generator in this process: after a fork two of those give the same addresses.
    """
    first, *rest = os.urandom(6)
    return ":".join(f"{octet:02x}" for octet in ((first & 0xFC) | 0x02, *rest))


def _toggle_mtu(device: Device) -> Step:
    """Plan another MTU for a moment: the kernel takes the same one again for no change, and does not note it as set."""
    to = ("link", "set", "dev", device.name, "mtu")
    return Step((*to, _other_mtu(device.mtu)), (*to, str(device.mtu)))


def _other_mtu(mtu: int) -> str:
    return str(mtu + 1 if mtu < names.MAX_MTU else mtu - 1)


def _delete(dev: str) -> Words:
    return ("link", "delete", "dev", dev)
