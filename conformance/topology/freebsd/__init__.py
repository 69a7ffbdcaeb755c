"""The sandbox on FreeBSD."""

from __future__ import annotations

from conformance.topology.freebsd.sandbox import FreeBsdSandbox as Sandbox

__all__ = ["Sandbox", "prepare"]


def prepare() -> None:
    """Do nothing: what a sandbox stands on is its jail."""
