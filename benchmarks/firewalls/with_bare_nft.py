"""``nft -f`` of rules that have a counter, and no comment to know them by."""

from __future__ import annotations

from benchmarks import firewalls
from benchmarks.firewalls.with_nft import Nft


def start(_tool: str, count: int) -> firewalls.Firewall:
    """Start with no rules."""
    return Nft(count, with_comments=False)
