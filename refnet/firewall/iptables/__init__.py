"""Rules by iptables and ip6tables, bridges' by ebtables: the default on Linux.

On the host a chain is called ``<owner>.<chain>``; by that prefix alone its rules are known to be the owner's.
"""

from refnet.firewall.iptables.manager import IptablesManager, LegacyIptablesManager, NftIptablesManager

__all__ = ["IptablesManager", "LegacyIptablesManager", "NftIptablesManager"]
