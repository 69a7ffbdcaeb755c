"""``ip -batch``: iproute2 without the cost of a process a step."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import contenders


def start_all(numbers: Iterable[int]) -> Callable[[], object]:
    """Write the commands of all plugs to a file."""
    lines = []
    for number in numbers:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        lines += [
            f"link add {bridge} up address {contenders.bridge_mac(number)} type bridge",
            f"tuntap add {tap} mode tap",
            f"link set {tap} up address {contenders.tap_mac(number)} mtu {contenders.MTU} master {bridge}",
        ]
    text = "\n".join(lines) + "\n"

    with tempfile.NamedTemporaryFile("w", suffix=".batch", delete=False) as file:
        file.write(text)
    path = Path(file.name)

    def run() -> None:
        try:
            subprocess.run(["ip", "-batch", str(path)], check=True)
        finally:
            path.unlink()

    return run
