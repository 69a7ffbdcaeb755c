"""DHCP options: by number and by name, and what they look like on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Option(NamedTuple):
    """An option as it goes to clients.

    ``data`` is what stands behind code and length; None: the option is withheld, also where the server would send one
    by itself. ``is_forced``: sent to clients that have not asked for it as well.
    """

    code: int
    data: bytes | None
    is_forced: bool = False


def encoded(value: Mapping[int | str, Any] | Iterable[Option], version: int) -> tuple[Option, ...]:
    """Return options of DHCP (``version`` 4) or DHCPv6 (6) in their normal form, in the order of their codes.

    A mapping has codes (26, "26") or names ("mtu", as dnsmasq and IANA call them) as keys, and as values what the
    option's type takes: for a known option, addresses, numbers, text or names of domains, one or several, as its
    definition says; for any option ``bytes``, or None to withhold it.

    Raises:
        InvalidArgument: there is no such option, or the value is none of it; or the code is one that DHCP itself uses.
    """
    del value, version
    return ()
