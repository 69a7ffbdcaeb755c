"""The firewall of FreeBSD: pf."""

from __future__ import annotations

from refnet.firewall.pf.manager import PfManager

__all__ = ["PfManager"]
