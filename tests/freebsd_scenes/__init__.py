"""What transcripts of the FreeBSD driver are recorded of, and tests repeat: what is there, a call, what comes of it.

Each scene plays in a network stack of its own, with nothing but a loopback in it.
"""

from freebsd_scenes import addresses, bridges, devices, guests
from freebsd_scenes.scene import RANDOM_MAC, Scene

__all__ = ["RANDOM_MAC", "SCENES", "Scene"]

SCENES = (*devices.SCENES, *addresses.SCENES, *bridges.SCENES, *guests.SCENES)
