"""Open vSwitch, spoken to through its database: the half of a driver that is the same on every system.

:mod:`~refnet.netdev.ovs.records` has rows as plain values, :mod:`~refnet.netdev.ovs.plan` goes from rows to operations
and does nothing, :mod:`~refnet.netdev.ovs.tables` is a copy of the database and :mod:`~refnet.netdev.ovs.replica` the
connection that keeps it up to date; :mod:`~refnet.netdev.ovs.database` keeps that, carries plans out and waits for the
switch. :mod:`~refnet.netdev.ovs.ports`, :mod:`~refnet.netdev.ovs.bridges` and :mod:`~refnet.netdev.ovs.probe` put them
together over :mod:`~refnet.netdev.ovs.base`, which knows what systems differ in.
"""

from refnet.netdev.ovs.bridges import SwitchBridges
from refnet.netdev.ovs.ports import SwitchedPorts
from refnet.netdev.ovs.probe import SwitchProbe

__all__ = ["OpenVSwitch"]


class OpenVSwitch(SwitchProbe, SwitchBridges, SwitchedPorts):
    """Bridges and ports of Open vSwitch. One connection to its database is kept, from the first call that needs it."""
