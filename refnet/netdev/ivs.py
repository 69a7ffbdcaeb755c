"""Ports of Indigo Virtual Switch, by its own program: the half of a driver that is the same on every system.

``ivs-ctl`` (ivs-ctl(8)) has one bridge, the datapath ``ivs``. What it says and exits with is what its source has
(floodlight/ivs, targets/ivs-ctl/main.c): 0, or 1 with one line on standard error, ``Failed: `` and the kernel's words.
``show`` lists every datapath that the kernel has, and succeeds also where there is none.
"""

from __future__ import annotations

import contextlib
import re
import shutil

from refnet import names, process
from refnet.errors import CommandFailed, NoSuchDevice, RefnetError, SwitchUnreachable, Unsupported, operation
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.model import Capability

_PROGRAM = "ivs-ctl"
_DATAPATH = "ivs"
#: Seconds for a program that asks the kernel.
_TIME_LIMIT = 10.0
#: A port in what ``show`` lists: its number, its name, and its type if it is no device of the system.
_PORT = re.compile(r"    \d+ (\S+)( |$)")


class IndigoSwitch(NetDevDriver):
    """Ports of IVS: each call looks first, and starts ``ivs-ctl`` a second time only where there is something to do."""

    @operation
    def probe(self, capability: Capability) -> str | None:
        """Ask for IVS by ``ivs-ctl show``, which changes nothing."""
        if capability is not Capability.IVS:
            return super().probe(capability)  # type: ignore[safe-super]
        try:
            _ports()
        except RefnetError as error:
            return error.message
        return None

    @operation
    def create_ivs_vif_port(self, dev: str, iface_id: str, mac_address: str, instance_id: str) -> None:
        """Add the port, unless it is one."""
        names.device_name(dev)
        names.identifier(iface_id, "iface_id")
        names.mac_address(mac_address)
        names.identifier(instance_id, "instance_id")
        if dev in _ports():
            return
        if not self.device_exists(dev):
            raise NoSuchDevice(f"there is no device {dev}", device=dev)
        try:
            _ivs_ctl("add-port", dev)
        except CommandFailed:
            # Somebody else may have added it meanwhile, and then the kernel refuses.
            if dev not in _ports():
                raise

    @operation
    def delete_ivs_vif_port(self, dev: str) -> None:
        """Delete the port if it is one, and the device if the system can delete such."""
        names.device_name(dev)
        if dev in _ports():
            try:
                _ivs_ctl("del-port", dev)
            except CommandFailed:
                if dev in _ports():
                    raise
        with contextlib.suppress(Unsupported):
            self.delete_net_dev(dev)


def _ports() -> frozenset[str]:
    """Return the ports of IVS, its own device not among them.

    Raises:
        SwitchUnreachable: there is no ``ivs-ctl``, or the switch does not run.
    """
    if shutil.which(_PROGRAM) is None:
        raise _unreachable(f"the program {_PROGRAM!r} is not installed: no package of Debian's or FreeBSD's has it")
    try:
        listed = _ivs_ctl("show").stdout
    except CommandFailed as error:
        raise _unreachable(f"Indigo Virtual Switch does not answer: {error.message}") from None
    # A line that is not indented begins a datapath.
    _, found, rest = f"\n{listed}".partition(f"\n{_DATAPATH}:\n")
    if not found:
        raise _unreachable(f"Indigo Virtual Switch does not run: '{_PROGRAM} show' lists no datapath {_DATAPATH!r}")
    own = re.split(r"^(?=\S)", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return frozenset(match[1] for match in map(_PORT.match, own.splitlines()) if match) - {_DATAPATH}


def _ivs_ctl(*words: str) -> process.Completed:
    return process.run([_PROGRAM, *words], time_limit=_TIME_LIMIT)


def _unreachable(words: str) -> SwitchUnreachable:
    return SwitchUnreachable(words, capability=Capability.IVS.value)
