"""Whether this host has IPv6, for backends on Linux: rules of that family alone are refused where it has not."""

from __future__ import annotations

from pathlib import Path

from refnet.errors import Unsupported
from refnet.firewall.capabilities import Capability
from refnet.firewall.model import Table
from refnet.firewall.rules import Rule

#: About the calling thread's network namespace: /proc/net is about that of the process's first thread.
_FILE = Path("/proc/thread-self/net/if_inet6")
LACKS_IT = "this host has no IPv6: there is no /proc/net/if_inet6"


def is_there() -> bool:
    """Return whether this network stack has IPv6: without it, rules for both families are IPv4's alone."""
    return _FILE.exists()


def check(table: Table, rule: Rule) -> None:
    """See that a rule in a table is not of a family that this host has not.

    Raises:
        Unsupported: it is.
    """
    if rule.family == 6 and not is_there():
        raise Unsupported(LACKS_IT, capability=Capability.NAT_IPV6 if table is Table.NAT else Capability.FIREWALL_IPV6)
