"""The values that rules are made of, validated: before any of them reaches a tool.

Each function returns the value in its normal form or raises :class:`~refnet.errors.InvalidArgument`, saying what was
wrong, what was expected, and with which value.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from refnet import names
from refnet.errors import InvalidArgument
from refnet.names import IPNetwork, shown

T = TypeVar("T")

#: A rule set's owner is part of chains' names, for which iptables has 28 bytes (XT_EXTENSION_MAXNAMELEN, less one).
MAX_OWNER, MAX_CHAIN = 16, 64
MAX_COMMENT = 100

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}", re.ASCII)
_CHAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
#: Printable ASCII, without the characters that quote in the tools' languages, or end a comment there.
_TEXT = re.compile(r"[ !#-&(-\[\]-_a-~]+", re.ASCII)


class PortRange(NamedTuple):
    """Ports from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        """Give ``80`` or ``8000-8010``."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class IcmpType(NamedTuple):
    """An ICMP or ICMPv6 type, and a code of it; None: any code."""

    type: int
    code: int | None = None

    def __str__(self) -> str:
        """Give ``8`` or ``3/4``."""
        return str(self.type) if self.code is None else f"{self.type}/{self.code}"


class Mark(NamedTuple):
    """A packet's mark: the bits of ``mask`` are ``value``."""

    value: int
    mask: int = 0xFFFFFFFF


class Rate(NamedTuple):
    """A limit: on average ``packets`` a ``unit`` ("second", "minute", "hour", "day"), ``burst`` at once."""

    packets: int
    unit: str = "second"
    burst: int = 5


class State(str, Enum):
    """What connection tracking says of a packet (iptables-extensions(8), conntrack)."""

    NEW = "new"
    ESTABLISHED = "established"
    RELATED = "related"
    INVALID = "invalid"
    UNTRACKED = "untracked"
    #: Its connection's source, or destination, has been translated.
    SNAT = "snat"
    DNAT = "dnat"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class AnyOf(Generic[T]):
    """One of several values, or with ``negated`` none of them. The values are sorted and each occurs once."""

    values: tuple[T, ...]
    negated: bool = False


class Not:
    """Marks what a rule's field shall not be: ``Rule(DROP, source=Not("192.0.2.0/24"))``."""

    def __init__(self, *values: Any) -> None:
        """Take one value or several: none of them."""
        self.values = values

    def __repr__(self) -> str:
        """Give what it was made of."""
        return f"Not({', '.join(map(repr, self.values))})"


def plain(value: str) -> str:
    """Return a text itself, not what a class derived from ``str`` makes of it: an enum's members have other words."""
    return str.__str__(value)


def whole(value: object) -> int | None:
    """Return a number without its class, likewise; None: it is no whole number, or is a truth value."""
    return operator.index(value) if isinstance(value, int) and not isinstance(value, bool) else None


def owner(value: object) -> str:
    """Return the name of a rule set's owner: 1 to 16 of ``A-Z a-z 0-9 _ -``, the first a letter or a digit.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, str) or not _OWNER.fullmatch(value):
        raise InvalidArgument(
            f"owner {shown(value)} is not possible: 1 to {MAX_OWNER} of A-Z a-z 0-9 _ -, the first a letter or a digit"
        )
    return plain(value)


def chain_name(value: object) -> str:
    """Return the name of a chain: 1 to 64 of ``A-Z a-z 0-9 _ -``, the first a letter or a digit.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, str) or not _CHAIN.fullmatch(value):
        raise InvalidArgument(
            f"chain {shown(value)} is not possible: 1 to {MAX_CHAIN} of A-Z a-z 0-9 _ -, the first a letter or a digit"
        )
    return plain(value)


def text(value: object, what: str, most: int) -> str:
    r"""Return a text of 1 to ``most`` printable ASCII characters other than ``" ' \ ```, the first no blank.

    Raises:
        InvalidArgument: it is none.
    """
    taken = plain(value) if isinstance(value, str) else ""
    if not _TEXT.fullmatch(taken) or len(taken) > most or taken[0] == " ":
        raise InvalidArgument(
            f"{what} {shown(value)} is not possible: 1 to {most} printable ASCII characters without quotes, "
            "backquotes and backslashes, the first no blank"
        )
    return taken


def family(value: object) -> int | None:
    """Return 4, 6 or None (both).

    Raises:
        InvalidArgument: it is something else.
    """
    taken = whole(value)
    if value is None or taken in (4, 6):
        return taken
    raise InvalidArgument(f"family {shown(value)} is neither 4 nor 6 nor None (both)")


def port_range(value: object) -> PortRange:
    """Return a port (80, "80") or a range of ports ("8000-8010", "8000:8010", (8000, 8010)), from 0 to 65535.

    Raises:
        InvalidArgument: it is none.
    """
    first: object = value
    last: object = value
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,5})(?:[:-]([0-9]{1,5}))?", value, re.ASCII)
        first = int(match[1]) if match else None
        last = int(match[2]) if match and match[2] else first
    elif isinstance(value, tuple) and len(value) == 2:
        first, last = value
    low, high = whole(first), whole(last)
    if low is not None and high is not None and 0 <= low <= high <= 65535:
        return PortRange(low, low if low == high else high)
    raise InvalidArgument(f"port {shown(value)} is neither a port from 0 to 65535 nor a range such as '8000-8010'")


def mark(value: object, mask: object = 0xFFFFFFFF) -> Mark:
    """Return a mark and its mask, each from 0 to 0xffffffff; the value has no bit outside the mask.

    Raises:
        InvalidArgument: they are none.
    """
    taken = []
    for given in (value, mask):
        number = whole(given)
        if number is None or not 0 <= number <= 0xFFFFFFFF:
            raise InvalidArgument(f"mark {shown(given)} is not a whole number from 0 to 0xffffffff")
        taken.append(number)
    made = Mark(*taken)
    if made.value & ~made.mask:
        raise InvalidArgument(f"mark {made.value:#x} has bits outside its mask {made.mask:#x}")
    return made


def masked_mark(value: object) -> Mark:
    """Return a mark given as :class:`Mark`, as a tuple of value and mask, or as a number.

    Raises:
        InvalidArgument: it is none.
    """
    if isinstance(value, tuple):
        if not 1 <= len(value) <= 2:
            raise InvalidArgument(f"mark {shown(value)} is neither a number nor a number and its mask")
        return mark(*value)
    return mark(value)


def rate(value: object) -> Rate:
    """Return a limit, given as :class:`Rate`, as a tuple of its parts, or as text such as ``"10/minute"``.

    Raises:
        InvalidArgument: it is none: 1 to 10,000 packets a second, minute, hour or day, a burst of 1 to 10,000.
    """
    given = value
    if isinstance(value, str):
        number, _, unit = value.partition("/")
        value = (int(number), unit) if number.isascii() and number.isdigit() and len(number) < 9 else ()
    if isinstance(value, tuple) and 1 <= len(value) <= 3:
        made = Rate(*value)
        packets, burst = whole(made.packets) or 0, whole(made.burst) or 0
        is_unit = isinstance(made.unit, str) and made.unit in ("second", "minute", "hour", "day")
        if is_unit and 1 <= packets <= 10_000 and 1 <= burst <= 10_000:
            return Rate(packets, plain(made.unit), burst)
    raise InvalidArgument(
        f"limit {shown(given)} is not possible: 1 to 10000 a second, minute, hour or day, such as '10/minute', "
        "and a burst of 1 to 10000"
    )


def any_of(value: Any, what: str, normal: Callable[[Any], T]) -> AnyOf[T] | None:
    """Return one value or several (an iterable), or :class:`Not` of them, in the normal form of each; None stays None.

    Raises:
        InvalidArgument: a value is none, or there is no value at all.
    """
    if value is None:
        return None
    if type(value) is str or type(value) is int:
        return _one(value, what, normal)
    negated = False
    if isinstance(value, Not):
        negated, value = True, value.values
        if len(value) == 1:
            value = value[0]
    elif isinstance(value, AnyOf):
        negated, value = names.flag(value.negated, f"{what}: negated"), value.values
    # Named tuples such as PortRange, and networks, are iterable and one value all the same. So is what has bytes.
    is_one = isinstance(value, str | bytes | bytearray | memoryview | Mapping | IPNetwork) or hasattr(value, "_fields")
    if is_one or not isinstance(value, Iterable):
        value = (value,)
    found = sorted({normal(plain(one) if isinstance(one, str) else one) for one in value}, key=_order)
    if not found:
        raise InvalidArgument(f"{what}: there is no value in it; leave it out for any")
    return AnyOf(tuple(found), negated)


@functools.lru_cache(maxsize=1024)
def _one(value: str | int, what: str, normal: Callable[[Any], T]) -> AnyOf[T]:
    """Return the only value: one for all rules that say the same, since most rules say the same few things."""
    return AnyOf((normal(value),))


def _order(value: Any) -> Any:
    """Sort networks of both families, too."""
    return (value.version, value) if hasattr(value, "version") else value
