"""The sandbox on Linux, and what a process that runs specs there needs first."""

from __future__ import annotations

from conformance.topology.linux import namespaces
from conformance.topology.linux.sandbox import LinuxSandbox as Sandbox

__all__ = ["Sandbox", "prepare"]


def prepare() -> None:
    """Give the calling process mounts of its own, and have it adopt what its children leave behind."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    namespaces.mount("none", "/", None, namespaces.MS_REC | namespaces.MS_PRIVATE)
    namespaces.adopt_orphans()
