"""The device driver for FreeBSD, on its own programs: ifconfig(8), route(8), netstat(1), sysctl(8).

One module a subject (:mod:`~refnet.netdev.freebsd.bridges`, :mod:`~refnet.netdev.freebsd.addresses`, …) over
:mod:`~refnet.netdev.freebsd.base`, which looks. :mod:`~refnet.netdev.freebsd.listing` and
:mod:`~refnet.netdev.freebsd.routes` read what the programs show, :mod:`~refnet.netdev.freebsd.plan` plans the commands,
:mod:`~refnet.netdev.freebsd.tools` runs them, and :mod:`~refnet.netdev.freebsd.words` is the one table from their words
to refnet's errors.
"""

from refnet.netdev.freebsd.addresses import Addresses
from refnet.netdev.freebsd.bridges import Bridges
from refnet.netdev.freebsd.cables import Cables
from refnet.netdev.freebsd.switches import Switches
from refnet.netdev.freebsd.taps import Taps
from refnet.netdev.freebsd.vlans import Vlans
from refnet.netdev.ivs import IndigoSwitch

__all__ = ["FreeBSDNetDevDriver"]


class FreeBSDNetDevDriver(Switches, IndigoSwitch, Bridges, Addresses, Vlans, Cables, Taps):
    """Network devices of FreeBSD. Calls start programs, few of them; what is held open is Open vSwitch's database."""
