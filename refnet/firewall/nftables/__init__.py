"""Rules in nftables: a table of this owner's, changed by one transaction at a time."""

from __future__ import annotations

from refnet.firewall.nftables.manager import NftablesManager

__all__ = ["NftablesManager"]
