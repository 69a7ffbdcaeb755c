"""What an environment's Open vSwitch can do, tried with its daemons in a network stack of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conformance.errors import SuiteError
from conformance.scratch import new_path
from conformance.topology import switch
from conformance.topology.base import Stack
from refnet.netdev.driver import Capability

#: The capabilities that this is about.
OVS = (
    Capability.OVS,
    Capability.OVS_KERNEL_DATAPATH,
    Capability.OVS_USERSPACE_DATAPATH,
    Capability.OVS_VHOST_USER,
)
_ATTEMPT = "attempt"
_VHOST_USER = "dpdkvhostuserclient"
_DATAPATHS = {Capability.OVS_KERNEL_DATAPATH: "system", Capability.OVS_USERSPACE_DATAPATH: "netdev"}
#: Words to a system that lacks one.
_HINTS = {Capability.OVS_KERNEL_DATAPATH: "'modprobe openvswitch' loads it on a Linux that has it"}

_tried: dict[Capability, str | None] = {}


def lacking(
    capability: Capability, new_stack: Callable[[], Stack], package: str, path: str | None = None
) -> str | None:
    """Return why one of :data:`OVS` cannot be had here; all are tried at once, the first time.

    ``package`` is the command that brings the programs, which are looked for on ``path``.
    """
    if not _tried:
        _tried.update(_try(new_stack, package, path))
    return _tried[capability]


def _try(new_stack: Callable[[], Stack], package: str, path: str | None) -> Mapping[Capability, str | None]:
    missing = switch.lacking(path)
    if missing:
        return dict.fromkeys(OVS, f"{missing} is not installed: '{package}' brings it")
    stack = new_stack()
    try:
        one = switch.Switch(stack, new_path("switch"))
        try:
            found = {capability: _bridge(one, capability) for capability in _DATAPATHS}
            types = one.vsctl("get", "Open_vSwitch", ".", "iface_types")
        finally:
            one.close()
    except SuiteError as error:
        return dict.fromkeys(OVS, str(error))
    finally:
        stack.close()
    has_none = all(found.values())
    return {
        Capability.OVS: "; ".join(map(str, found.values())) if has_none else None,
        **found,
        Capability.OVS_VHOST_USER: None
        if _VHOST_USER in types
        else f"this Open vSwitch is built without DPDK: it has no ports of type {_VHOST_USER}",
    }


def _bridge(one: switch.Switch, capability: Capability) -> str | None:
    """Make a bridge with a datapath, and see whether the switch has given its device a number."""
    datapath = _DATAPATHS[capability]
    one.vsctl("add-br", _ATTEMPT, "--", "set", "Bridge", _ATTEMPT, f"datapath_type={datapath}")
    number = one.vsctl("get", "Interface", _ATTEMPT, "ofport")
    said = one.complaint()
    one.vsctl("del-br", _ATTEMPT)
    if number.isdigit():
        return None
    hint = f" ({_HINTS[capability]})" if capability in _HINTS else ""
    return f"a bridge with datapath_type={datapath} gets no device: the switch says {said}{hint}"
