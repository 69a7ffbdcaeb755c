"""The environment ``local``: the kernel of this host, where each spec gets a network stack of its own.

On Linux that is in throw-away namespaces (:mod:`.unshared`), on FreeBSD in vnet jails (:mod:`.jails`).
``python -m conformance.environments.local COMMAND …`` runs any command that way.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType, TracebackType

from conformance import system
from conformance.environments.base import Availability, Channel, Environment, Options, ProcessChannel
from conformance.errors import EnvironmentUnavailable

_WAYS = {system.LINUX: "conformance.environments.unshared", system.FREEBSD: "conformance.environments.jails"}
_FOUND = {system.LINUX: "namespaces", system.FREEBSD: "vnet jails"}


class Local(Environment):
    """The kernel of this host. What is started sees the host; :func:`run` is what takes specs away from it."""

    name = "local"
    is_apart = False

    @classmethod
    def availability(cls, options: Options) -> Availability:
        """See what is lacking, and try whether the kernel lets this user have namespaces."""
        lacking = missing()
        # Jails are not tried: that would load modules, and remove what others have left.
        if not lacking and system.NAME == system.LINUX:
            with contextlib.suppress(OSError):
                done = subprocess.run(
                    [sys.executable, "-m", "conformance.environments.local", "true"],
                    capture_output=True,
                    text=True,
                    timeout=30,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                )
                if done.returncode:
                    lacking = [done.stderr.strip().rpartition("conformance: ")[2]]
        return Availability(
            tuple(lacking), f"{_FOUND.get(system.NAME, 'stacks')} of this kernel, {system.NAME} {platform.release()}"
        )

    def __enter__(self) -> Local:
        """Nothing has to be made; what is lacking is said when something is run."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was made."""

    def start(self, command: Sequence[str]) -> Channel:
        """Start a program on this host."""
        return ProcessChannel(command)


def missing() -> list[str]:
    """Return what this host lacks for ``local``, each with the way to get it; empty: nothing is known to be lacking."""
    if system.NAME not in _WAYS:
        return [f"local runs on {' and '.join(_WAYS)}, and this is {system.NAME}: use another environment"]
    lacking: list[str] = _way().missing()
    return lacking


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command where it may make and change devices, and return its exit status (128 + N if signal N ended it).

    Raises:
        EnvironmentUnavailable: the kernel or the host's configuration does not allow it; the message says what
            would.
    """
    lacking = missing()
    if lacking:
        raise EnvironmentUnavailable("; ".join(lacking))
    status: int = _way().run(command, environment)
    return status


def _way() -> ModuleType:
    return importlib.import_module(_WAYS[system.NAME])


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:] or ["sh"]))
    except EnvironmentUnavailable as unavailable:
        print(f"conformance: {unavailable}", file=sys.stderr)
        sys.exit(3)
