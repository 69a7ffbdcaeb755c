"""Virtual cables: epair(4)."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from refnet import names
from refnet.errors import InvalidArgument, KernelRefused, Mismatch, operation
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.freebsd.base import ATTEMPTS, GROUP, alone, free_number
from refnet.netdev.freebsd.devices import Devices
from refnet.netdev.freebsd.listing import Interface, Listing
from refnet.netdev.freebsd.tools import Refusal, Step, ifconfig
from refnet.netdev.freebsd.words import check_kind, says, translate


class Cables(Devices):
    """Virtual-Ethernet pairs."""

    @operation
    def create_veth_pair(self, dev: str, peer: str, *, mtu: int | None = None) -> None:
        """Look at both ends; make and name them in one program, or adopt them."""
        names.device_name(dev)
        names.device_name(peer, "peer")
        if dev == peer:
            raise InvalidArgument(f"both ends are called {dev}: a pair needs two names", device=dev)
        wanted_mtu = names.mtu(mtu) if mtu is not None else None
        with alone(dev, peer):
            refused = False
            for _ in range(ATTEMPTS):
                listing = self.look()
                ends = [end for end in map(listing.get, (dev, peer)) if end is not None]
                try:
                    if ends:
                        _check_pair(listing, dev, peer, ends)
                        self.tools.carry_out([step for end in ends for step in _adopting(listing, end, wanted_mtu)])
                        return
                    used = {device.driver for device in listing} | {device.name.rstrip("ab") for device in listing}
                    unit = free_number("epair", used, refused=refused)
                    self.tools.carry_out(_making(unit, dev, peer, wanted_mtu))
                    return
                except Refusal as refusal:
                    # A number may be in use where it is not seen, and a name have been given by somebody else.
                    if ends or not says(refusal, errno.EEXIST):
                        raise translate(refusal, dev, Capability.VETH) from None
                    refused = refusal.step == 1
        raise KernelRefused(f"{dev} and {peer} came and went {ATTEMPTS} times during the call", errno=errno.EAGAIN)


def _making(unit: int, dev: str, peer: str, mtu: int | None) -> list[Step]:
    """Plan a pair: both ends are born with the driver's names, and each is then given its own and set up."""
    a, b = f"epair{unit}a", f"epair{unit}b"
    words = ("group", GROUP, *(("mtu", str(mtu)) if mtu is not None else ()), "up")
    return [
        # With one end the other goes, whatever that is called by then.
        Step(("ifconfig", f"epair{unit}", "create"), ifconfig(b, "destroy")),
        Step(ifconfig(a, "name", dev, *words), ifconfig(dev, "destroy")),
        Step(ifconfig(b, "name", peer, *words)),
    ]


def _adopting(listing: Listing, end: Interface, mtu: int | None) -> list[Step]:
    """Plan that an end that is there has the MTU and is up; a port's MTU is its bridge's."""
    differs = mtu is not None and mtu != end.mtu
    master = listing.master_of(end.name) if differs else None
    if master is not None:
        steps = [Step(ifconfig(master, "mtu", str(mtu)), ifconfig(master, "mtu", end.mtu))]
        return steps if end.up else [*steps, Step(ifconfig(end.name, "up"), ifconfig(end.name, "down"))]
    if not differs and end.up:
        return []
    words = ("mtu", str(mtu)) if differs else ()
    before = (*(("mtu", str(end.mtu)) if differs else ()), *(() if end.up else ("down",)))
    return [Step((), ifconfig(end.name, *before)), Step(ifconfig(end.name, *words, "up"))]


def _check_pair(listing: Listing, dev: str, peer: str, ends: Sequence[Interface]) -> None:
    """See that the devices that are there by two names are each other's ends; say what is there instead."""
    for end in ends:
        check_kind(end, Kind.VETH)
    half = ends[0]
    actual = listing.peer_of(half)
    missing = peer if half.name == dev else dev
    if actual != missing:
        raise Mismatch(
            f"{half.name} is there, but its other end is {actual or 'in another network stack'}, not {missing}: "
            f"delete {half.name} first",
            device=half.name,
            errno=errno.EEXIST,
        )
