"""Network files: a network as TOML, for people and for ``refnet dhcp``, and as plain data, for JSON.

    device = "br100"
    addresses = ["192.0.2.1/24", "2001:db8::1/64"]  # the server's; one or several
    gateway = "192.0.2.1"
    domain = "cloud.example.org"
    lease-time = 3600                               # seconds, or "forever"
    ipv6 = "stateful"                               # slaac, stateless, stateful or stateful-slaac

    [dns]                                           # or: dns = false
    forwarders = ["192.0.2.53"]

    [router-advertisement]                          # or: router-advertisement = false
    interval = 60

    [[range]]
    first = "192.0.2.100"
    last = "192.0.2.199"

    [[route]]
    destination = "198.51.100.0/24"
    gateway = "192.0.2.254"

    [options]                                       # by name or number; [options6] for DHCPv6
    ntp-server = ["192.0.2.123"]
    43 = { hex = "01:04:c0:00:02:01" }              # the octets
    tftp-server = { forced = "boot.example.org" }   # also to clients that do not ask for it
    broadcast = { withheld = true }                 # not even if the server would send it by itself

    [[host]]
    mac-addresses = "52:54:00:12:34:56"             # one or several
    addresses = ["192.0.2.10", "2001:db8::10"]
    name = "web"
    options = { mtu = 1400 }

The keys are the fields of :class:`~refnet.dhcp.network.DhcpNetwork`, :class:`~refnet.dhcp.hosts.Host` and of what these
are made of, with ``-`` for ``_``; what is left out is as if those were made without it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refnet import toml_file
from refnet.dhcp.hosts import Host
from refnet.dhcp.network import DhcpNetwork
from refnet.dhcp.options import Forced, Option, decoded, name
from refnet.dhcp.values import Dns, Range, Route, RouterAdvertisement
from refnet.errors import InvalidArgument
from refnet.names import shown
from refnet.toml_file import at, fields, known, tables

#: How a lease time is written that has no end.
FOREVER = "forever"

_RANGE, _ROUTE = ("first", "last", "network"), ("destination", "gateway")
_ADVERTISED = ("interval", "lifetime", "preference", "mtu")
#: Fields that are tables: their keys, and what they make.
_MADE_OF: tuple[tuple[str, tuple[str, ...], type[Dns] | type[RouterAdvertisement]], ...] = (
    ("dns", ("forwarders",), Dns),
    ("router_advertisement", _ADVERTISED, RouterAdvertisement),
)
_OPTIONS = ("options", "options6")
#: Fields that are lists of tables, and the names of those.
_TABLES = {"ranges": "range", "routes": "route", "hosts": "host"}
#: Fields that are the same in the file.
_PLAIN_NETWORK = ("gateway", "domain", "search", "mtu", "ipv6", "lease_events")
_FLAGS = ("is_authoritative", "checks_addresses", "lease_store", "logs_dhcp")

_NETWORK = tuple(_TABLES.get(one.name, one.name.replace("_", "-")) for one in dataclasses.fields(DhcpNetwork))
_HOST = tuple(one.name.replace("_", "-") for one in dataclasses.fields(Host))
_HEX = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})*", re.ASCII)


def read(path: str | Path) -> DhcpNetwork:
    """Read a network file; ``-`` is the standard input.

    Raises:
        InvalidArgument: it cannot be read, is no TOML, or says what cannot be; the message says where.
    """
    content = toml_file.document(path, "network file")
    with at(f"network file {shown(str(path))}"):
        return from_plain(content)


def parse(text: str | bytes) -> DhcpNetwork:
    """Return the network that a text in TOML says.

    Raises:
        InvalidArgument: it is no TOML, or says what cannot be; the message says where.
    """
    return from_plain(toml_file.parsed(text, "the network file"))


def from_plain(entry: Mapping[str, Any]) -> DhcpNetwork:
    """Return the network that plain data say, with the keys of a network file.

    Raises:
        InvalidArgument: a key is unknown or missing, or a value is none; the message says where.
    """
    if not isinstance(entry, Mapping):
        raise InvalidArgument(f"{shown(entry)} is no network: it has no keys")
    known(entry, _NETWORK, "the network", ("device", "addresses"))
    given = {key: value for key, value in fields(entry).items() if key not in _TABLES.values()}
    for field, key in _TABLES.items():
        made = []
        for number, one in enumerate(tables(entry, key), 1):
            with at(f"{key} {number}"):
                made.append(_entry(key, one))
        given[field] = made
    for field, names, kind in _MADE_OF:
        if given.get(field) is True:
            del given[field]  # as if it were not said
        elif field in given:
            given[field] = _table(_key(field), given[field], names, kind)
    if given.get("lease_time") == FOREVER:
        given["lease_time"] = None
    _put_options(given)
    return DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)


def host_from_plain(entry: Mapping[str, Any]) -> Host:
    """Return the host that plain data say, with the keys of a ``[[host]]``.

    Raises:
        InvalidArgument: a key is unknown, or a value is none.
    """
    if not isinstance(entry, Mapping):
        raise InvalidArgument(f"{shown(entry)} is no host: it has no keys")
    known(entry, _HOST, "the host")
    given = fields(entry)
    _put_options(given)
    return Host(**given)


def plain(network: DhcpNetwork, *, with_hosts: bool = True) -> dict[str, Any]:
    """Return a network as plain data (text, numbers, lists, dictionaries): :func:`from_plain` gives it back.

    Everything is said that has a value, also where it is the usual one; ``with_hosts=False`` leaves out the hosts.
    """
    made: dict[str, Any] = {"device": network.device, "addresses": _texts(network.addresses)}
    for key in _PLAIN_NETWORK:
        value = getattr(network, key)
        if value not in (None, ()):
            made[_key(key)] = list(value) if isinstance(value, tuple) else value if type(value) is int else str(value)
    made["lease-time"] = FOREVER if network.lease_time is None else network.lease_time
    made |= {_key(key): getattr(network, key) for key in _FLAGS}
    if network.dns_servers is not None:
        made["dns-servers"] = _texts(network.dns_servers)
    made["dns"] = False if network.dns is None else {"forwarders": _texts(network.dns.forwarders)}
    if network.ipv6 is not None:
        advertised = network.router_advertisement
        made["router-advertisement"] = (
            {key: value for key in _ADVERTISED if (value := getattr(advertised, key)) is not None}
            if advertised is not None
            else False
        )
    made |= _plain_options(network)
    lists = {
        "range": [_plain_fields(one, _RANGE) for one in network.ranges],
        "route": [_plain_fields(one, _ROUTE) for one in network.routes],
        "host": [plain_host(one) for one in network.hosts] if with_hosts else [],
    }
    return made | {key: value for key, value in lists.items() if value}


def plain_host(host: Host) -> dict[str, Any]:
    """Return a host as plain data; :func:`host_from_plain` gives it back. What it has not is left out."""
    made: dict[str, Any] = {}
    if host.mac_addresses:
        made["mac-addresses"] = list(host.mac_addresses)
    if host.client_id is not None:
        made["client-id"] = host.client_id
    if host.addresses:
        made["addresses"] = _texts(host.addresses)
    if host.name is not None:
        made["name"] = host.name
    if host.options or host.options6:
        made |= _plain_options(host)
    if host.lease_time is not None:
        made["lease-time"] = host.lease_time
    if host.is_ignored:
        made["is-ignored"] = True
    return made


# -- reading ----------------------------------------------------------------------------------------------


def _entry(key: str, one: Mapping[str, Any]) -> Range | Route | Host:
    if key == "host":
        return host_from_plain(one)
    if key == "range":
        known(one, _RANGE, "it", _RANGE[:2])
        return Range(**fields(one))
    known(one, _ROUTE, "it", _ROUTE)
    return Route(**fields(one))


def _table(key: str, value: Any, names: tuple[str, ...], kind: Any) -> Any:
    """Return what a table makes, or None for ``false``."""
    if value is False:
        return None
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{key} {shown(value)} is neither a table [{key}] nor true or false")
    with at(key):
        known(value, names, "it")
        return kind(**fields(value))


def _put_options(given: dict[str, Any]) -> None:
    """Put what options mean in their place."""
    for key in _OPTIONS:
        if key in given:
            found = given[key]
            if not isinstance(found, Mapping):
                raise InvalidArgument(f"{key} {shown(found)} is no table [{key}] of names or numbers and values")
            with at(key):
                given[key] = {code: _option_value(code, value) for code, value in found.items()}


def _option_value(code: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        ((word, inner),) = value.items()
        if word == "withheld" and inner is True:
            return None
        if word == "hex" and isinstance(inner, str) and _HEX.fullmatch(inner):
            return bytes.fromhex(inner.replace(":", ""))
        if word == "forced" and not (isinstance(inner, Mapping) and "forced" in inner):
            return Forced(_option_value(code, inner))
    raise InvalidArgument(
        f"option {shown(code)}: {shown(value)} is none of {{ hex = '01:02' }}, {{ withheld = true }}, {{ forced = … }}"
    )


# -- writing ----------------------------------------------------------------------------------------------


def _key(field: str) -> str:
    return field.replace("_", "-")


def _texts(several: Iterable[object]) -> list[str]:
    return [str(one) for one in several]


def _plain_fields(one: object, names: Iterable[str]) -> dict[str, str]:
    return {key: str(value) for key in names if (value := getattr(one, key)) is not None}


def _plain_options(owner: DhcpNetwork | Host) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, found, version in (("options", owner.options, 4), ("options6", owner.options6, 6)):
        if found:
            made[key] = {name(one.code, version) or str(one.code): _plain_option(one, version) for one in found}
    return made


def _plain_option(option: Option, version: int) -> Any:
    if option.data is None:
        return {"withheld": True}
    value = decoded(option, version)
    if value is None:
        value = {"hex": option.data.hex(":")}
    return {"forced": value} if option.is_forced else value
