"""How the threads that share a manager take turns."""

from __future__ import annotations

import threading

from refnet.errors import LockTimeout


class Turn:
    """One thread at a time, which can enter again; the others wait, but not for ever."""

    def __init__(self, time_limit: float) -> None:
        """Let threads wait for so many seconds."""
        self._lock = threading.RLock()
        self._time_limit = time_limit

    def __enter__(self) -> None:
        """Wait for those that are in.

        Raises:
            LockTimeout: one of them was in all the time.
        """
        if not self._lock.acquire(timeout=self._time_limit):
            raise LockTimeout(
                f"another thread has not let go of this manager for {self._time_limit:g} s: it is in a deferred() "
                "block, or in a call that waits itself (or was, when this process was forked)"
            )

    def __exit__(self, *error: object) -> None:
        """Let the next one in."""
        self._lock.release()
