"""FreeBSD's own way to be local: the specs' processes enter vnet jails, and what starts them has only to see to it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence

from conformance.environments.inside import INSIDE
from conformance.errors import EnvironmentUnavailable, SuiteError
from conformance.freebsd_shell import environment as system_environment
from conformance.topology.freebsd import jails


def missing() -> list[str]:
    """Return what this host lacks, each with the way to get it; empty: nothing is known to be lacking."""
    why = jails.why_not()
    return [why] if why else []


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command that may make jails and return its exit status (128 + N if signal N ended it).

    What jails a killed run has left is removed first.

    Raises:
        EnvironmentUnavailable: this process cannot make jails; the message says what would help.
    """
    try:
        jails.sweep()
        jails.load_modules()
    except SuiteError as error:
        raise EnvironmentUnavailable(str(error)) from None
    wanted = {**system_environment(), **(environment or {}), INSIDE: ""}
    try:
        # What the command is to write to comes as a descriptor.
        child = subprocess.Popen(list(command), env=wanted, close_fds=False)
    except OSError as error:
        raise EnvironmentUnavailable(f"{command[0]} cannot be started: {error}") from None
    # Ctrl-C reaches the command as well, which is to write its report.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    status = child.wait()
    return status if status >= 0 else 128 - status
