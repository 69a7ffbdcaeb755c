"""What the command says besides its results."""

from __future__ import annotations

import sys

from conformance.verdict import ExitStatus


def complain(message: str, status: ExitStatus) -> int:
    """Say on standard error why the command ends with a status, and return it."""
    print(f"refnet-conformance: {message}", file=sys.stderr)
    return int(status)


def say(message: str) -> None:
    """Tell of work that takes long, beside the results."""
    print(message, file=sys.stderr, flush=True)
