"""Record pf's transcript anew: run it as root on a FreeBSD host with pf loaded, from a checkout of refnet with pytest.

    python3 tests/firewall/pf/record_pf.py > tests/data/freebsd/pf_driver.txt

The scenes are played in a jail with a network stack of its own, which is removed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[2])]

import pf_replay  # noqa: E402
import pf_scenes  # noqa: E402

from refnet import process  # noqa: E402
from refnet.firewall.pf import PfManager  # noqa: E402


def main() -> None:
    """Play all scenes, in a jail that this program enters by starting itself anew."""
    if len(sys.argv) > 1:
        play()
        return
    jail = f"refnet-record-{os.getpid()}"
    subprocess.run(["jail", "-c", f"name={jail}", "persist", "vnet", "path=/"], check=True)
    try:
        subprocess.run(["jexec", jail, sys.executable, __file__, "inside"], check=True)
    finally:
        subprocess.run(["jail", "-r", jail], check=True)


def play() -> None:
    """Play them, and print what was asked and answered."""
    print(f"# {platform.system()} {platform.release()} ({platform.machine()}), recorded by {Path(__file__).name}\n")
    original = process.run

    def recorded(argv: Sequence[str], **options: Any) -> process.Completed:
        result = original(argv, **options)
        entry = pf_replay.Entry(
            shlex.join(argv), options.get("stdin") or "", result.stdout, result.stderr, result.status
        )
        print(entry.written(), end="")
        return result

    for command, scene in pf_scenes.SCENES:
        if command:
            # "pf is enabled already" is no failure.
            with contextlib.suppress(subprocess.CalledProcessError):
                subprocess.run(["sh", "-c", command], check=True, stderr=subprocess.DEVNULL)
        print(f"## {scene.__name__}\n")
        process.run = recorded
        try:
            scene(PfManager(pf_scenes.OWNER))
        finally:
            process.run = original


if __name__ == "__main__":
    main()
