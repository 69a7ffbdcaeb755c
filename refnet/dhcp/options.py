"""DHCP options: by number and by name, and what they look like on the wire.

    DhcpNetwork(…, options={"ntp-server": ["192.0.2.123"], 252: "http://wpad.example.org/wpad.dat"})
    Host(…, options={"router": None, "mtu": 1400, 43: bytes.fromhex("0104c0000201")})
    DhcpNetwork(…, options={"tftp-server": Forced("boot.example.org")})

Which options are known, and by which names and types, stands in :mod:`refnet.dhcp.option_table`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from refnet.dhcp.option_table import CODES, DEFINITIONS, OWN, OWN_NAMES
from refnet.dhcp.option_types import OPAQUE, decode_names, decode_routes, encode_names, encode_routes, encode_search
from refnet.errors import InvalidArgument
from refnet.names import shown

__all__ = [
    "Forced",
    "Option",
    "Options",
    "decode_names",
    "decode_routes",
    "decoded",
    "encode_names",
    "encode_routes",
    "encode_search",
    "encoded",
    "name",
]

#: Octets. DHCPv4 has one octet for the length (RFC 2132, 2). What is longer could be split (RFC 3396), which dnsmasq
#: does not. DHCPv6 has two; this leaves room for the rest of an answer in the packet that every link of IPv6 takes.
MAX_DATA = {4: 255, 6: 1024}
_MAX_CODE = {4: 255, 6: 65535}


class Option(NamedTuple):
    """An option as it goes to clients.

    ``data`` is what stands behind code and length; None: the option is withheld, also where the server would send one
    by itself. ``is_forced``: sent to clients that have not asked for it as well.
    """

    code: int
    data: bytes | None
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Forced:
    """Marks the value of an option that is sent to clients that have not asked for it as well."""

    value: Any


Options = Mapping[int, Any] | Mapping[str, Any] | Mapping[int | str, Any] | Iterable[Option]


def encoded(value: Options, version: int) -> tuple[Option, ...]:
    """Return options of DHCP (``version`` 4) or DHCPv6 (6) in their normal form, in the order of their codes.

    A mapping has codes (26, "26") or names ("mtu", as dnsmasq and IANA call them) as keys, and as values what the
    option's type takes: for a known option, addresses, numbers, text or names of domains, one or several, as its
    definition says; for any option ``bytes``, or None to withhold it. :class:`Forced` around a value sends it to
    everybody. ``bytes`` for an option of a known type have to be of that type.

    Raises:
        InvalidArgument: there is no such option, or the value is none of it; or the code is one that DHCP itself uses.
    """
    if isinstance(value, tuple) and not value:
        return ()
    if isinstance(value, Mapping):
        found = [_from_value(key, one, version) for key, one in value.items()]
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Option):
        found = [_checked(one, version) for one in value]
    else:
        raise InvalidArgument(f"options {shown(value)} are neither a mapping of names to values nor Option objects")
    found.sort(key=lambda one: one.code)
    for before, after in itertools.pairwise(found):
        if before.code == after.code:
            raise InvalidArgument(f"{_called(after.code, version)} is there twice")
    return tuple(found)


def decoded(option: Option, version: int) -> Any:
    """Return an option's value as plain data (text, numbers, lists of them), of which :func:`encoded` makes the same.

    None: it is withheld, or it can be told by its octets only.
    """
    definition = DEFINITIONS[version].get(option.code)
    if definition is None or option.data is None:
        return None
    try:
        found = definition.type.decode(option.data)
        return found if definition.type.encode(found) == option.data else None
    except (ValueError, InvalidArgument):
        return None


def name(code: int, version: int) -> str | None:
    """Return what an option is called; None: it has a number only."""
    definition = DEFINITIONS[version].get(code)
    return definition.name if definition else None


def _from_value(key: object, value: Any, version: int) -> Option:
    code = _code(key, version)
    is_forced = isinstance(value, Forced)
    if isinstance(value, Forced):
        value = value.value
    if value is None or isinstance(value, bytes | bytearray):
        return _checked(Option(code, None if value is None else bytes(value), is_forced), version)
    definition = DEFINITIONS[version].get(code)
    if definition is None:
        raise InvalidArgument(f"{_called(code, version)} is of no type that is known here: give its octets as bytes")
    try:
        data = definition.type.encode(value)
    except InvalidArgument as error:
        takes = definition.type.words
        raise InvalidArgument(f"{_called(code, version)} takes {takes}: {error.message}") from None
    return _checked(Option(code, data, is_forced), version)


def _checked(option: object, version: int) -> Option:
    """Return an option if it can be one."""
    if not isinstance(option, Option):
        raise InvalidArgument(f"option {shown(option)} is no Option: make one with refnet.dhcp.Option(code, data)")
    code, data = _code(option.code, version), option.data
    if not isinstance(option.is_forced, bool):
        raise InvalidArgument(
            f"{_called(code, version)}: is_forced must be True or False, not {shown(option.is_forced)}"
        )
    if data is None:
        if option.is_forced:
            raise InvalidArgument(f"{_called(code, version)} cannot be withheld and forced at once")
        return Option(code, None)
    if not isinstance(data, bytes):
        raise InvalidArgument(f"{_called(code, version)}: data {shown(data)} is neither bytes nor None")
    if not 1 <= len(data) <= MAX_DATA[version]:
        raise InvalidArgument(
            f"{_called(code, version)} has {len(data)} octets: 1 to {MAX_DATA[version]} can be, and None withholds it"
        )
    definition = DEFINITIONS[version].get(code)
    if definition is not None and definition.type is not OPAQUE:
        try:
            definition.type.decode(data)
        except (ValueError, InvalidArgument) as error:
            raise InvalidArgument(
                f"{_called(code, version)} takes {definition.type.words}, which {data.hex(':')} is not: {error}"
            ) from None
    return Option(code, data, option.is_forced)


def _code(key: object, version: int) -> int:
    """Return an option's code, given by number or name, if it can be set."""
    kind = "DHCP" if version == 4 else "DHCPv6"
    most = _MAX_CODE[version]
    code: object = key
    if isinstance(key, str):
        # A number of thousands of digits is none either.
        if key.isascii() and key.isdigit():
            code = int(key) if len(key) < 6 else -1
        else:
            lowered = key.lower()
            code = CODES[version].get(lowered, OWN_NAMES[version].get(lowered))
            if code is None:
                raise InvalidArgument(
                    f"option {shown(key)} is none of {kind} that has a name here: give its number, from 1 to {most}"
                )
    if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code <= most:
        raise InvalidArgument(f"option {shown(key)} is neither a name nor a number from 1 to {most}")
    reason = OWN[version].get(code)
    if reason:
        raise InvalidArgument(f"option {shown(key)} is {kind}'s own: {reason}")
    return code


def _called(code: int, version: int) -> str:
    known = name(code, version)
    return f"option {code} ({known})" if known else f"option {code}"
