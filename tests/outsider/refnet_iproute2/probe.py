"""What the running kernel can do, asked without changing anything."""

from __future__ import annotations

import fcntl
import functools
import gzip
import os
import platform
import struct
from pathlib import Path

from refnet import process
from refnet.errors import CommandFailed, PermissionDenied, RefnetError, Unsupported
from refnet.netdev.driver import Capability
from refnet_iproute2.command import typed

#: A group address, which no device may have: the kernel looks for the kind of device first and refuses this after it.
_IMPOSSIBLE = ("link", "add", "name", "refnet-probe", "address", "01:00:5e:00:00:01", "type")
_KINDS = {
    Capability.BRIDGE: ("bridge",),
    Capability.BRIDGE_AGEING_TIME: ("bridge",),
    Capability.BRIDGE_MULTICAST_SNOOPING: ("bridge",),
    Capability.VLAN: ("vlan", "id", "1"),
    Capability.VETH: ("veth",),
    # Anybody may open /dev/net/tun; it takes a privilege to make a device.
    Capability.TAP: ("tun",),
    Capability.TAP_MULTI_QUEUE: ("tun",),
}
_LEFT_OUT = {
    Capability.TAP_OWNER: "this driver makes taps without owners",
    Capability.BRIDGE_STP: "this driver leaves a bridge's spanning tree alone",
    Capability.BRIDGE_FORWARD_DELAY: "this driver leaves a bridge's spanning tree alone",
}
_TUN = Path("/dev/net/tun")
_TUNGETFEATURES = 0x800454CF
_IFF_TAP, _IFF_MULTI_QUEUE = 0x0002, 0x0100


def missing(capability: Capability) -> str | None:
    """Return why a capability is not to be had, None if it is."""
    try:
        reason = _missing_option(capability)
        if reason is None and capability in _KINDS:
            reason = _refused(*_KINDS[capability])
        return reason
    except RefnetError as error:
        return str(error)


def require(capability: Capability) -> None:
    """See that an option is there, as far as the kernel would not say so itself when it is asked for it.

    Raises:
        Unsupported: it is not.
    """
    reason = _missing_option(capability)
    if reason is not None:
        raise Unsupported(reason, capability=capability.value)


def kernel_has_ipv6() -> bool:
    """Say whether there is IPv6 at all in this thread's network namespace."""
    return Path("/proc/thread-self/net/if_inet6").exists()


def _missing_option(capability: Capability) -> str | None:
    if capability in _LEFT_OUT:
        return _LEFT_OUT[capability]
    if capability in (Capability.TAP, Capability.TAP_MULTI_QUEUE):
        return _missing_tap(multi_queue=capability is Capability.TAP_MULTI_QUEUE)
    if capability is Capability.IPV6:
        return _missing_ipv6()
    # A kernel without it ignores the option, and says nothing.
    if capability is Capability.BRIDGE_MULTICAST_SNOOPING and _configured("CONFIG_BRIDGE_IGMP_SNOOPING") is False:
        return "this kernel was built without multicast snooping [CONFIG_BRIDGE_IGMP_SNOOPING is not set]"
    return None if capability in _KINDS else f"this driver knows nothing of {capability}"


def _refused(*kind: str) -> str | None:
    """Return why a device of a kind cannot be made, by a request that is refused in any case."""
    try:
        process.run(("ip", *_IMPOSSIBLE, *kind))
    except CommandFailed as failure:
        error = typed(failure, kind[0])
        if isinstance(error, PermissionDenied):
            return f"{error.message} [{error.detail}]"
        # The kernel has "tun", and makes such devices by another way.
        if isinstance(error, Unsupported) and kind[0] != "tun":
            return f"this kernel ({platform.release()}) has no {kind[0]} devices [{error.detail}]"
    return None


def _missing_tap(*, multi_queue: bool) -> str | None:
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{_TUN} cannot be opened: {error.strerror}"
    try:
        (features,) = struct.unpack("I", fcntl.ioctl(descriptor, _TUNGETFEATURES, bytes(4)))
    except OSError as error:
        return f"{_TUN} does not tell its features: {error.strerror}"
    finally:
        os.close(descriptor)
    if not features & _IFF_TAP:
        return "this kernel's tun has no taps"
    if multi_queue and not features & _IFF_MULTI_QUEUE:
        return "this kernel's taps have one queue"
    return None


def _missing_ipv6() -> str | None:
    if not kernel_has_ipv6():
        return "this kernel has no IPv6, or was booted with ipv6.disable=1"
    for scope in ("all", "default"):
        switch = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if switch.exists() and switch.read_text().strip() != "0":
            return f"IPv6 is switched off in this network namespace [{switch} is not 0]"
    return None


@functools.cache
def _configured(option: str) -> bool | None:
    """Say whether the running kernel was built with an option; None if its configuration is nowhere to be read."""
    for path in (Path("/proc/config.gz"), Path(f"/boot/config-{platform.release()}")):
        try:
            text = path.read_bytes()
            lines = (gzip.decompress(text) if path.suffix == ".gz" else text).decode(errors="replace").splitlines()
        except OSError:
            continue
        return any(line.startswith((f"{option}=y", f"{option}=m")) for line in lines)
    return None
