"""What this environment can do, found out by the suite itself: by doing it, in a network stack of its own.

The answer is independent of what a driver says, and a spec that could not be run is recorded with it.
"""

from __future__ import annotations

import functools

from conformance import system

#: Needs of specs that no driver can declare.
SECOND_USER = "second-user"
#: Packets that are bridged can be had to go through the rules for those that are routed.
FILTERED_BRIDGES = "filtered-bridges"
#: Network cards with virtual functions can be made: the kernel's own device for tests.
NETDEVSIM = "netdevsim"
#: Programs that ask for addresses as guests do.
DHCLIENT, UDHCPC, DHCPCD = REAL_CLIENTS = ("dhclient", "udhcpc", "dhcpcd")


@functools.cache
def lacking(feature: str) -> str | None:
    """Return why a capability or a need cannot be had in this environment, in the system's words; None: it can."""
    words: str | None = system.half("conformance.features").lacking(feature)
    return words
