"""What Nova's callers pass: numbers that may be text, and networks that may be mappings or objects."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

from refnet.errors import InvalidArgument
from refnet.names import ip_address, ip_network, shown

_NEEDED = object()


def number(value: object, what: str) -> int:
    """Return a whole number that Nova gives as one or as text (``"7"``).

    Raises:
        InvalidArgument: it is neither.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{what} {shown(value)} is not a whole number")
    return value


def number_or_none(value: object, what: str) -> int | None:
    """Return a whole number, or None for what is false (0, "", None): Nova's "leave it"."""
    return number(value, what) or None if value else None


def ipv4_address(address: object) -> str:
    """Return an IPv4 address as text: Nova has no other in its tables, and no other floating ones.

    Raises:
        InvalidArgument: it is none.
    """
    found = ip_address(str(address), "address")
    if found.version != 4:
        raise InvalidArgument(f"address {found} is IPv6's: an IPv4 address is needed here")
    return str(found)


def ipv4_range(value: object) -> str:
    """Return an IPv4 address or network as text.

    Raises:
        InvalidArgument: it is none.
    """
    found = ip_network(str(value))
    if found.version != 4:
        raise InvalidArgument(f"network {found} is IPv6's: an IPv4 network is needed here")
    return str(found)


def field(thing: Any, name: str, default: Any = _NEEDED) -> Any:
    """Return what a network, fixed IP or the like says by a name: a mapping's value, or an object's attribute.

    Raises:
        InvalidArgument: it does not say that, and no default is given.
    """
    # Nova's objects raise a NotImplementedError for what they were not loaded with.
    with contextlib.suppress(LookupError, TypeError, AttributeError, NotImplementedError):
        return thing[name]
    with contextlib.suppress(AttributeError, NotImplementedError):
        return getattr(thing, name)
    if default is _NEEDED:
        raise InvalidArgument(f"{type(thing).__name__} has no {name!r}, which is needed here")
    return default


def text(thing: Any, name: str) -> str | None:
    """Return a field as text (Nova's objects have ``netaddr``'s there); None where it is not said."""
    value = field(thing, name, None)
    return str(value) if value else None


def needed(thing: Any, name: str) -> str:
    """Return a field that has to be said, as text.

    Raises:
        InvalidArgument: it is not.
    """
    value = text(thing, name)
    if value is None:
        raise InvalidArgument(f"{type(thing).__name__} has no {name!r}, which is needed here")
    return value


def with_prefix(address: str, cidr: str) -> str:
    """Return an address with the prefix length of its network.

    Raises:
        InvalidArgument: one is none, or the address is not in the network.
    """
    try:
        network = ipaddress.ip_network(cidr, strict=False)
        one = ipaddress.ip_address(address)
    except ValueError as error:
        raise InvalidArgument(f"address {shown(address)} in network {shown(cidr)}: {error}") from None
    if one not in network:
        raise InvalidArgument(f"address {address} is not in its network, {network}")
    return f"{one}/{network.prefixlen}"
