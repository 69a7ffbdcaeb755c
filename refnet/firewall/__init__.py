"""Packet filtering and address translation: one rule model over iptables, nftables and pf.

    from refnet.firewall import ACCEPT, DROP, Rule, get_manager

    manager = get_manager("nova-compute")
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(ACCEPT, protocol="tcp", destination="192.0.2.7", destination_ports=22))
    manager.add_rule("guests", Rule(DROP, destination="192.0.2.7"))
    manager.apply()

What a manager promises stands in :class:`~refnet.firewall.manager.FirewallManager`, what a rule can say in
:class:`~refnet.firewall.rules.Rule`.
"""

from __future__ import annotations

from refnet import config
from refnet.firewall import values
from refnet.firewall.actions import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Answer,
    Dnat,
    Jump,
    Log,
    Masquerade,
    Redirect,
    Reject,
    SetMark,
    Snat,
)
from refnet.firewall.capabilities import Capability
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.manager import Counter, FirewallManager, Standing
from refnet.firewall.model import Hook, Table
from refnet.firewall.rules import Rule
from refnet.firewall.values import IcmpType, Mark, Not, PortRange, Rate, State

__all__ = [
    "ACCEPT",
    "CHECKSUM_FILL",
    "DROP",
    "RETURN",
    "Answer",
    "Capability",
    "Counter",
    "DhcpIsolation",
    "Dnat",
    "FirewallManager",
    "Hook",
    "IcmpType",
    "Jump",
    "Log",
    "Mark",
    "Masquerade",
    "Not",
    "PortGuard",
    "PortRange",
    "Rate",
    "Redirect",
    "Reject",
    "Rule",
    "SetMark",
    "Snat",
    "Standing",
    "State",
    "Table",
    "get_manager",
]

#: The group of entry points that other backends are found in.
ENTRY_POINTS = "refnet.firewall"

#: Those of this process, by owner and choice: of two of one owner each would take away what the other has written.
_managers: config.Instances[tuple[str, str], FirewallManager] = config.Instances()


def get_manager(owner: str, choice: str | None = None) -> FirewallManager:
    """Return the manager of an owner's rules.

    ``choice`` is an entry-point name of the group ``refnet.firewall`` or ``package.module:Class``; without it
    ``REFNET_FIREWALL`` is asked, then the platform's default is taken. The same owner and choice give the same
    instance each time, so that all of a process works on one model.

    Raises:
        Unsupported: there is no default for this platform, which the message names.
        DriverNotFound: the choice names nothing that could be imported.
        InvalidArgument: the owner's name is none.
    """
    name, chosen = values.owner(owner), config.choice(ENTRY_POINTS, choice)
    return _managers.get(
        (name, chosen),
        lambda: config.load_class(ENTRY_POINTS, chosen, FirewallManager)(name),  # type: ignore[type-abstract]
    )
