"""Nova with contrib/nova-refnet.patch."""

from __future__ import annotations

import subprocess
from pathlib import Path

PATCH = Path(__file__).resolve().parents[2] / "contrib" / "nova-refnet.patch"
#: What it changes.
CHANGED = ("nova/privsep/linux_net.py", "nova/tests/unit/privsep/test_linux_net.py")


def apply(place: Path) -> None:
    """Apply the patch in a directory that has Nova, or the files that it changes.

    Raises:
        AssertionError: it does not fit; patch's words are in the message.
    """
    argv = ["patch", "-p1", "--batch", "--forward", "--fuzz=0", f"--input={PATCH}"]
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, f"{PATCH.name} does not fit this Nova:\n{done.stdout}{done.stderr}"
