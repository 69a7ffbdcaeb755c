"""The DHCP backend that runs dnsmasq, a process for each device."""

from refnet.dhcp.dnsmasq.manager import DnsmasqManager

__all__ = ["DnsmasqManager"]
