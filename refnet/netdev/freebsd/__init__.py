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
from refnet.netdev.freebsd.taps import Taps
from refnet.netdev.freebsd.vlans import Vlans

__all__ = ["FreeBSDNetDevDriver"]


class FreeBSDNetDevDriver(Bridges, Addresses, Vlans, Cables, Taps):
    """Network devices of FreeBSD. It holds nothing open; every call starts programs, few of them."""
