"""Validation of everything that names or addresses something: before any of it reaches a kernel, a tool or a file.

Each function returns the value in its normal form or raises :class:`~refnet.errors.InvalidArgument`, saying what
was wrong, what was expected, and with which value.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import ipaddress
import pwd
import re
from collections.abc import Callable

from refnet.errors import InvalidArgument, InvalidName

#: Linux ``IFNAMSIZ`` and FreeBSD ``IFNAMSIZ`` are both 16, the terminating zero included.
MAX_DEVICE_NAME = 15
#: 802.1Q: tag 0 is "priority only" and 4095 is reserved.
MIN_VLAN, MAX_VLAN = 1, 4094
#: Where Neutron keeps ports that nobody may reach ("dead VLAN"): switches take it, cards and kernels do not.
DEAD_VLAN = 4095
#: Names of patch ports, which are no devices.
MAX_PATCH_PORT_NAME = 63
#: Linux keeps 108 bytes for the path of a socket (unix(7)), FreeBSD 104 (unix(4)), the terminating zero included.
MAX_SOCKET_PATH = 103
#: RFC 791: every host must take 68 bytes. The upper bound is the largest value that a 16-bit IP length can use.
MIN_MTU, MAX_MTU = 68, 65535
#: No device's own; of a virtual function it says that none is set.
NO_MAC = "00:00:00:00:00:00"

_TAKEN = frozenset({".", "..", "all", "default"})

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
InterfaceAddress = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_DEVICE_NAME = re.compile(r"[A-Za-z0-9._-]{1,15}", re.ASCII)
_PORT_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}", re.ASCII)
_MAC_ADDRESS = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)
#: Domain (more than 16 bits behind some controllers), bus, slot (5 bits) and function (3 bits), as Linux writes them.
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.ASCII)
#: The field NumVFs of a card's SR-IOV capability has 16 bits.
_MAX_VIRTUAL_FUNCTION = 0xFFFE


def device_name(name: object, what: str = "device name") -> str:
    """Return ``name`` if it can name a device on every system that refnet knows.

    1 to 15 bytes of ``[A-Za-z0-9._-]``, not ``.``, ``..``, ``all`` or ``default``: in ``/proc/sys/net/ipv4/conf``,
    where each device has a directory, these are other ones, and Linux refuses them. That leaves out the kernel's
    pattern ``%d``, the wildcards ``+`` and ``*`` of the packet filters, and ``/``, ``:`` and space, which the kernels
    themselves refuse or, on FreeBSD, accept to nobody's good.

    Raises:
        InvalidName: saying which rule the name breaks.
    """
    if not isinstance(name, str):
        raise InvalidName(f"{what} must be a str, not {type(name).__name__}: {shown(name)}")
    if _DEVICE_NAME.fullmatch(name) and name not in _TAKEN:
        return str.__str__(name)  # not what a caller's subclass, such as an enum, writes for itself
    if not name:
        raise InvalidName(f"{what} is empty: give 1 to {MAX_DEVICE_NAME} characters of A-Z a-z 0-9 . _ -")
    if len(name) > MAX_DEVICE_NAME:
        raise InvalidName(f"{what} {shown(name)} has {len(name)} characters: at most {MAX_DEVICE_NAME} are possible")
    raise InvalidName(
        f"{what} {shown(name)} is not possible: use A-Z a-z 0-9 . _ - (and not '.', '..', 'all' or 'default')"
    )


def patch_port_name(name: object, what: str = "port name") -> str:
    """Return ``name`` if it can name a port of a switch that may be no device: as :func:`device_name`, up to 63 bytes.

    Raises:
        InvalidName: saying which rule the name breaks.
    """
    if not isinstance(name, str) or len(name) <= MAX_DEVICE_NAME:
        return device_name(name, what)
    if len(name) > MAX_PATCH_PORT_NAME:
        raise InvalidName(
            f"{what} {shown(name)} has {len(name)} characters: at most {MAX_PATCH_PORT_NAME} are possible, "
            f"and {MAX_DEVICE_NAME} for a device"
        )
    if not _PORT_NAME.fullmatch(name):
        raise InvalidName(f"{what} {shown(name)} is not possible: use A-Z a-z 0-9 . _ -")
    return str.__str__(name)


def identifier(value: object, what: str) -> str:
    """Return an id that somebody else has given, as a switch keeps it: 1 to 255 printable characters.

    Raises:
        InvalidArgument: it is no str, empty, longer, or has control characters.
    """
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} must be a str, not {type(value).__name__}: {shown(value)}")
    if not 1 <= len(value) <= 255:
        raise InvalidArgument(f"{what} has {len(value)} characters: 1 to 255 are possible")
    if not value.isprintable() or value.isspace():
        raise InvalidArgument(
            f"{what} {shown(value)} has characters that cannot be printed: give an id, such as a UUID"
        )
    return value


def socket_path(value: object, what: str) -> str:
    """Return the absolute path of a socket.

    Raises:
        InvalidArgument: it is no absolute path, has characters that cannot be printed, or is longer than the
            103 bytes that every system takes.
    """
    if not isinstance(value, str) or not value.startswith("/") or value.endswith("/") or not value.isprintable():
        raise InvalidArgument(f"{what} {shown(value)} is not an absolute path such as '/run/vhost/vhu1'")
    if len(value.encode()) > MAX_SOCKET_PATH:
        raise InvalidArgument(
            f"{what} {shown(value)} has {len(value.encode())} bytes: sockets have at most {MAX_SOCKET_PATH}"
        )
    return value


def mac_address(mac: object) -> str:
    """Return a unicast MAC address as ``aa:bb:cc:dd:ee:ff`` in lower case.

    Raises:
        InvalidArgument: it is not six octets in hexadecimal with colons, or it is a group address or all zero,
            which no device may have as its own (IEEE 802, section 8.2).
    """
    text = mac.lower() if isinstance(mac, str) else ""
    if not _MAC_ADDRESS.fullmatch(text):
        raise InvalidArgument(f"MAC address {shown(mac)} is not six hexadecimal octets such as '52:54:00:12:34:56'")
    if int(text[:2], 16) & 1:
        raise InvalidArgument(f"MAC address {shown(mac)} is a group address: a device needs a unicast one")
    if text == "00:00:00:00:00:00":
        raise InvalidArgument(f"MAC address {shown(mac)} is all zero: a device needs one of its own")
    return text


def mtu(value: object) -> int:
    """Return an MTU in bytes; the kernel may still refuse it for a given device.

    Raises:
        InvalidArgument: it is not an int from 68 to 65535.
    """
    return _whole_number(value, "MTU", MIN_MTU, MAX_MTU)


def vlan_id(value: object) -> int:
    """Return an 802.1Q tag.

    Raises:
        InvalidArgument: it is not an int from 1 to 4094.
    """
    return _whole_number(value, "VLAN id", MIN_VLAN, MAX_VLAN)


def switch_tag(value: object) -> int:
    """Return an 802.1Q tag of a switch's port: 1 to 4094, or 4095 for a port that nobody may reach.

    Raises:
        InvalidArgument: it is not an int from 1 to 4095.
    """
    return _whole_number(value, "VLAN tag", MIN_VLAN, DEAD_VLAN)


def pci_address(value: object) -> str:
    """Return a PCI address as ``0000:81:10.2``, in lower case.

    Raises:
        InvalidArgument: it is not domain, bus, slot and function in hexadecimal.
    """
    text = value.lower() if isinstance(value, str) else ""
    if not _PCI_ADDRESS.fullmatch(text):
        raise InvalidArgument(f"PCI address {shown(value)} is not domain:bus:slot.function such as '0000:81:10.2'")
    return text


def virtual_function(value: object) -> int:
    """Return the number of a virtual function; whether a card has so many is the card's to say.

    Raises:
        InvalidArgument: it is not an int from 0 to 65534.
    """
    return _whole_number(value, "virtual function", 0, _MAX_VIRTUAL_FUNCTION)


def virtual_function_vlan(value: object) -> int:
    """Return the 802.1Q tag that a card keeps a virtual function in; 0 is none.

    Raises:
        InvalidArgument: it is not an int from 0 to 4094.
    """
    return _whole_number(value, "VLAN id of a virtual function", 0, MAX_VLAN)


def virtual_function_mac(mac: object) -> str:
    """Return a unicast MAC address, or the one that is all zero: it leaves the choice to card or guest.

    Raises:
        InvalidArgument: it is not six octets in hexadecimal with colons, or is a group address.
    """
    return NO_MAC if mac == NO_MAC else mac_address(mac)


def seconds(value: object, what: str) -> float:
    """Return a duration of 0 to 1,000,000 seconds.

    Raises:
        InvalidArgument: it is not a number in that range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1_000_000:
        raise InvalidArgument(f"{what} {shown(value)} is not a number of seconds from 0 to 1000000")
    return float(value)


def flag(value: object, what: str) -> bool:
    """Return a truth value; text such as ``"no"`` is refused rather than taken for true.

    Raises:
        InvalidArgument: it is not a bool.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{what} must be True or False, not {shown(value)}")
    return value


def interface_address(value: object) -> InterfaceAddress:
    """Return an address with its prefix length, such as ``192.0.2.1/24`` or ``2001:db8::1/64``.

    Raises:
        InvalidArgument: it cannot be parsed, has no prefix length, has a zone, or is one that no device can own
            (unspecified, multicast).
    """
    if isinstance(value, ipaddress.IPv4Interface | ipaddress.IPv6Interface):
        parsed: InterfaceAddress = value
    else:
        try:
            if not isinstance(value, str) or "/" not in value:
                raise ValueError("no prefix length")
            parsed = ipaddress.ip_interface(value)
        except ValueError as error:
            raise InvalidArgument(
                f"address {shown(value)} is not an address with a prefix length such as '192.0.2.1/24': {error}"
            ) from None
    if "%" in str(parsed):
        raise InvalidArgument(f"address {shown(value)} has a zone: the device is an argument of its own")
    if parsed.ip.is_unspecified or parsed.ip.is_multicast:
        raise InvalidArgument(f"address {shown(value)} is no unicast address: a device cannot own it")
    return parsed


def ip_network(value: object) -> IPNetwork:
    """Return an address, or a network without host bits, such as ``192.0.2.0/24``, ``2001:db8::1`` or ``0.0.0.0/0``.

    Raises:
        InvalidArgument: it is none, or has a zone; where bits are set behind the prefix, the message says which network
            is meant.
    """
    if isinstance(value, ipaddress.IPv4Network):
        return value
    # Python takes any text for a zone, line ends included, and writes it out with the network.
    if isinstance(value, ipaddress.IPv6Network) and value.network_address.scope_id is None:
        return value
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        value = str(value)
    if not isinstance(value, str) or "%" in value:
        raise InvalidArgument(f"address {shown(value)} is not an address or a network such as '192.0.2.0/24'")
    return _parsed_network(value)


@functools.lru_cache(maxsize=4096)
def _parsed_network(value: str) -> IPNetwork:
    """Return the network that is written so: one for all rules that name it, since most rules name the same few."""
    try:
        made = ipaddress.ip_network(value)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise InvalidArgument(
                f"address {shown(value)} is not an address or a network such as '192.0.2.0/24': {error}"
            ) from None
        raise InvalidArgument(f"address {shown(value)} has bits set behind its prefix: write {str(meant)!r}") from None
    # Python takes 0.0.0.255 for /24 as well: to a packet filter it is a mask that asks for the last octet alone.
    mask = value.partition("/")[2]
    if "." in mask and mask != str(made.netmask):
        raise InvalidArgument(
            f"address {shown(value)} has a mask whose ones are not all in front: write a prefix length, '192.0.2.0/24'"
        )
    return made


def ip_address(value: object, what: str) -> IPAddress:
    """Return an IPv4 or IPv6 address, without prefix length and zone.

    Raises:
        InvalidArgument: it is none.
    """
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address) and not set("/%") & set(str(value)):
        return value
    # Numbers, which ipaddress takes for addresses, are a caller's mistake.
    if isinstance(value, str) and "%" not in value:
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(value)
    raise InvalidArgument(f"{what} {shown(value)} is not an IPv4 or IPv6 address such as '192.0.2.1'")


def shown(value: object) -> str:
    """Return how a value of any type reads in a message: its beginning, where it is very long."""
    try:
        said = repr(value)
    except Exception:  # a class's own mistake; and Python writes no int of thousands of digits out
        return f"<{type(value).__name__} that cannot be shown>"
    return said if len(said) <= 1000 else f"{said[:1000]}…"


def _whole_number(value: object, what: str, least: int, most: int) -> int:
    # bool is an int in Python; True as a VLAN would be tag 1 and nobody's intention.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgument(f"{what} {shown(value)} is not a whole number from {least} to {most}")
    return value


def user_id(owner: int | str | None) -> int | None:
    """Return the number of a user that is given by name or number; None stays None.

    Raises:
        InvalidArgument: it is neither a user of this host nor a number that a user can have.
    """
    return _id(owner, "owner", "user", lambda name: pwd.getpwnam(name).pw_uid)


def group_id(group: int | str | None) -> int | None:
    """Return the number of a group that is given by name or number; None stays None.

    Raises:
        InvalidArgument: it is neither a group of this host nor a number that a group can have.
    """
    return _id(group, "group", "group", lambda name: grp.getgrnam(name).gr_gid)


def _id(value: int | str | None, what: str, kind: str, look_up: Callable[[str], int]) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return int(look_up(value))
        except (KeyError, ValueError):
            raise InvalidArgument(f"{what} {value!r}: there is no such {kind} on this host") from None
    # 2**32 - 1 means "nobody in particular" to kernels, and "leave it" to chown(2).
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32 - 1:
        raise InvalidArgument(
            f"{what} {shown(value)} is neither the name of a {kind} nor a number from 0 to 4294967294"
        )
    return value
