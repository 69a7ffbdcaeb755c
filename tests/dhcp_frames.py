"""Frames that real programs have sent, by name."""

from pathlib import Path

FRAMES = {
    name: bytes.fromhex(octets)
    for name, octets in (
        line.split()
        for line in (Path(__file__).parent / "data/dhcp/frames.txt").read_text().splitlines()
        if not line.startswith("#")
    )
}
