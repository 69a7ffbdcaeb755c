"""What a process that runs specs knows of being where it may."""

from __future__ import annotations

import os

#: Set inside. Of Linux's namespaces it has the number of a descriptor on the host's /proc, through which a process
#: learns its host pid; on FreeBSD, where each spec gets a jail, it is empty.
INSIDE = "REFNET_CONFORMANCE_INSIDE"


def host_pid() -> int:
    """Return the calling process's id as the host sees it (inside: through the host's /proc, which was kept open)."""
    inside = os.environ.get(INSIDE)
    if not inside:
        return os.getpid()
    return int(os.readlink("self", dir_fd=int(inside)))
