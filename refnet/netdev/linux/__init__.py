"""The device driver for Linux, on netlink.

One module a subject (:mod:`~refnet.netdev.linux.bridges`, :mod:`~refnet.netdev.linux.addresses`, …) over
:mod:`~refnet.netdev.linux.base`, which looks; :mod:`~refnet.netdev.linux.link` and
:mod:`~refnet.netdev.linux.records` know the messages, :mod:`~refnet.netdev.linux.netlink` carries them, and
what takes several is a :mod:`~refnet.netdev.linux.change`.
"""

from refnet.netdev.ivs import IndigoSwitch
from refnet.netdev.linux.addresses import Addresses
from refnet.netdev.linux.bridges import Bridges
from refnet.netdev.linux.cables import Cables
from refnet.netdev.linux.sriov import Sriov
from refnet.netdev.linux.switches import Switches
from refnet.netdev.linux.vlans import Vlans

__all__ = ["LinuxNetDevDriver"]


class LinuxNetDevDriver(Switches, IndigoSwitch, Sriov, Bridges, Addresses, Vlans, Cables):
    """Network devices of Linux. It holds one netlink socket, from the first call until :meth:`close`."""
