"""Values of refnet as plain data, and back: what goes between the daemon and the process that uses it.

The channel carries None, numbers, text, bytes and sequences of them. All else goes as a sequence that begins with a
mark. A class is named by a word of a closed table, and an object comes back through its class's own constructor, which
validates: whoever sends, nothing but the values of refnet's interfaces can be made, and nothing is imported.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from refnet import errors
from refnet.dhcp import capabilities as dhcp_capabilities
from refnet.dhcp import hosts, leases, network, options
from refnet.dhcp import manager as dhcp_manager
from refnet.dhcp import values as dhcp_values
from refnet.errors import InvalidArgument, RefnetError
from refnet.firewall import actions, chains, layer2, rules, values
from refnet.firewall import capabilities as firewall_capabilities
from refnet.firewall import manager as firewall_manager
from refnet.names import shown
from refnet.netdev import model as netdev_model

#: What can be sent as it is.
Plain = Any

#: Where the values of the interfaces are defined, each module with the word that its classes' names begin with.
_MODULES = {
    "netdev": (netdev_model,),
    "firewall": (actions, chains, firewall_capabilities, firewall_manager, layer2, rules, values),
    "dhcp": (dhcp_capabilities, dhcp_manager, dhcp_values, hosts, leases, network, options),
}
_ADDRESSES: dict[str, type[Any]] = {
    one.__name__: one
    for one in (
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
    )
}
_INT64 = range(-(2**63), 2**63)


def encode(value: object) -> Plain:
    """Return a value as plain data.

    Raises:
        InvalidArgument: it is nothing that the interfaces speak of.
    """
    kind = type(value)
    if value is None or kind in (bool, float, bytes):
        return value
    if kind is int:
        return value if value in _INT64 else ("int", hex(value))  # type: ignore[arg-type]
    if kind is str:
        return _text(str(value))
    if kind in (tuple, list, set, frozenset):
        return (kind.__name__, *map(encode, value))  # type: ignore[call-overload]
    name = _names().get(kind)
    if name is not None:
        return _known(name, value)
    if kind.__name__ in _ADDRESSES and kind is _ADDRESSES[kind.__name__]:
        return ("address", kind.__name__, str(value))
    return _other(value)


def decode(plain: Plain) -> Any:
    """Return the value that :func:`encode` made plain data of.

    Raises:
        InvalidArgument: it is no such data, or a value that its own class refuses.
    """
    if plain is None or isinstance(plain, bool | int | float | str | bytes):
        return plain
    if not isinstance(plain, tuple | list) or not plain or not isinstance(plain[0], str) or plain[0] not in _MARKS:
        raise InvalidArgument(f"{shown(plain)} is nothing that refnet sends")
    try:
        return _MARKS[plain[0]](*plain[1:])
    except RefnetError:
        raise
    # What was sent is another process's word: whatever is wrong with it is told, and no reason to end.
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise InvalidArgument(f"a {plain[0]} that was sent cannot be read: {type(error).__name__}: {error}") from None


# -- errors -----------------------------------------------------------------------------------------------


def encode_error(error: RefnetError) -> Plain:
    """Return an error with all that it tells; a class that only a driver knows becomes the one that it is a kind of."""
    name = next(one.__name__ for one in type(error).__mro__ if _errors().get(one.__name__) is one)
    facts = {key: _encode_or_say(value) for key, value in vars(error).items()}
    return ("error", name, tuple(map(_encode_or_say, error.args)), tuple(facts.items()))


def _decode_error(name: str, args: tuple[Plain, ...], facts: tuple[tuple[str, Plain], ...]) -> RefnetError:
    kind = _errors()[name]
    error = kind.__new__(kind, *map(decode, args))
    error.__dict__.update({key: decode(value) for key, value in facts})
    return error


def _encode_or_say(value: object) -> Plain:
    """Return a part of an error. The driver may be somebody else's, and have put anything in it."""
    if isinstance(value, RefnetError):
        return encode_error(value)
    if isinstance(value, tuple | list):
        return ("tuple", *map(_encode_or_say, value))
    try:
        return encode(value)
    except InvalidArgument:
        return _text(repr(value))


# -- one kind after the other -----------------------------------------------------------------------------


def _text(value: str) -> Plain:
    try:
        value.encode()
    except UnicodeEncodeError:  # a half of a surrogate pair, which is no text for the channel
        return ("text", value.encode("utf-8", "surrogatepass"))
    return value


def _known(name: str, value: Any) -> Plain:
    if isinstance(value, Enum):
        return ("enum", name, value.value)
    if isinstance(value, tuple):
        return ("named", name, *map(encode, value))
    fields = dataclasses.fields(value)
    return ("object", name, *(part for one in fields for part in (one.name, encode(getattr(value, one.name)))))


def _other(value: object) -> Plain:
    """Return values of related types as what they are taken for by the drivers."""
    if isinstance(value, values.Not):
        return ("not", *map(encode, value.values))
    if isinstance(value, Enum):
        return encode(value.value)
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, int):
        return encode(int(value))
    if isinstance(value, PurePath):
        return ("path", _text(str(value)))
    if isinstance(value, Mapping):
        return ("dict", *(encode(part) for pair in value.items() for part in pair))
    if isinstance(value, AbstractSet):
        return ("frozenset", *map(encode, value))
    if isinstance(value, range):
        return ("tuple", *map(encode, value))
    raise InvalidArgument(f"{shown(value)} of type {type(value).__name__} is nothing that refnet takes")


def _address(name: str, text: str) -> Any:
    # No interface speaks of a zone, and Python takes any text for one, line ends included.
    if "%" in text:
        raise InvalidArgument(f"address {shown(text)} has a zone")
    return _ADDRESSES[name](text)


def _pairs(*parts: Any) -> Iterator[tuple[Any, Any]]:
    return zip(parts[::2], parts[1::2], strict=True)


def _object(name: str, *parts: Plain) -> Any:
    return _class(name, dataclasses.is_dataclass)(**{field: decode(value) for field, value in _pairs(*parts)})


def _class(name: str, is_such: Callable[[type[Any]], bool]) -> type[Any]:
    kind = _classes()[name]
    if not is_such(kind):
        raise InvalidArgument(f"{name} was sent as what it is not")
    return kind


def _is_enum(kind: type[Any]) -> bool:
    return issubclass(kind, Enum)


def _is_named(kind: type[Any]) -> bool:
    return issubclass(kind, tuple)


_MARKS: dict[str, Callable[..., Any]] = {
    "int": lambda text: int(text, 16),
    "text": lambda data: data.decode("utf-8", "surrogatepass"),
    "tuple": lambda *parts: tuple(map(decode, parts)),
    "list": lambda *parts: list(map(decode, parts)),
    "set": lambda *parts: set(map(decode, parts)),
    "frozenset": lambda *parts: frozenset(map(decode, parts)),
    "dict": lambda *parts: {decode(key): decode(value) for key, value in _pairs(*parts)},
    "address": _address,
    "path": lambda text: Path(decode(text)),
    "not": lambda *parts: values.Not(*map(decode, parts)),
    "enum": lambda name, value: _class(name, _is_enum)(value),
    "named": lambda name, *parts: _class(name, _is_named)(*map(decode, parts)),
    "object": _object,
    "error": _decode_error,
}


# -- the tables -------------------------------------------------------------------------------------------


@functools.cache
def _classes() -> dict[str, type[Any]]:
    """Return the classes of the interfaces' values, each by a word that no other has."""
    return {
        f"{area}.{kind.__name__}": kind
        for area, modules in _MODULES.items()
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and _is_value(kind)
    }


def _is_value(kind: type[Any]) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None:
        return bool(parameters.frozen)
    return issubclass(kind, Enum) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


@functools.cache
def _names() -> dict[type[Any], str]:
    return {kind: name for name, kind in _classes().items()}


@functools.cache
def _errors() -> dict[str, type[RefnetError]]:
    return {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RefnetError)
    }
