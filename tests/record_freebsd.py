"""Record the FreeBSD driver's transcripts anew: run it as root on a FreeBSD host, from a checkout of refnet.

    python3 tests/record_freebsd.py > tests/data/freebsd/driver.txt
    python3 tests/record_freebsd.py switches > tests/data/freebsd/switches.txt     # takes Open vSwitch

The scenes are played in a jail with a network stack of its own, which is removed afterwards with all that is in it.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]

import freebsd_scenes  # noqa: E402
import replay  # noqa: E402
from freebsd_scenes import switches  # noqa: E402

from refnet.errors import RefnetError  # noqa: E402
from refnet.netdev.freebsd import FreeBSDNetDevDriver, bridges  # noqa: E402
from refnet.netdev.freebsd.tools import Command, Node, Tools  # noqa: E402
from refnet.process import Completed  # noqa: E402

_NOBODY = 65534


class Recorder(replay.Stepwise):
    """Runs everything, and writes it down."""

    def run(self, argv: Command) -> Completed:
        result = super().run(argv)
        _write(replay.Entry(shlex.join(argv), result.stdout, result.stderr, result.status))
        return result

    def nodes(self) -> frozenset[str]:
        # Those of a driver that can make more: the others are the machine's.
        found = {name for name in super().nodes() if name.startswith(("tap", "tun", "vmnet"))}
        _write(replay.Entry("nodes", "".join(f"{name}\n" for name in sorted(found)), "", 0))
        return frozenset(found)

    def node(self, name: str) -> Node | None:
        found = Tools().node(name)
        _write(replay.Entry(f"node {name}", f"{replay.write_node(found)}\n" if found else "", "", 0 if found else 1))
        return found

    def own_node(self, name: str, node: Node) -> None:
        super().own_node(name, node)
        _write(replay.Entry(f"own {name} {replay.write_node(node)}", "", "", 0))


def main() -> None:
    """Play all scenes, in a jail that this program enters by starting itself anew."""
    if sys.argv[-1] == "inside":
        for scene in switches.SCENES if "switches" in sys.argv else freebsd_scenes.SCENES:
            play(scene)
        return
    _shell("kldload -n if_bridge if_epair if_tuntap if_vlan")
    jail = f"record{os.getpid()}"
    _shell(f"jail -c name={jail} persist vnet path=/ children.max=2")
    try:
        _shell(f"jexec {jail} ifconfig lo0 127.0.0.1/8 up")
        print(
            f"# FreeBSD {platform.release()} ({platform.machine()}), recorded by tests/record_freebsd.py\n", flush=True
        )
        again = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "inside"]
        inside = subprocess.run(["jexec", jail, *again])
    finally:
        # With the jail its processes end, and its devices go.
        _shell(f"jail -r {jail}")
    sys.exit(inside.returncode)


def play(scene: freebsd_scenes.Scene) -> None:
    """Play a scene in this network stack, write down what the driver asks, and clear up."""
    for command in scene.before:
        _shell(command)
    child = os.fork()
    if child == 0:
        # A process of its own: it may give up its privilege.
        try:
            if scene.unprivileged:
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            complaint = _call(scene)
        except BaseException as error:
            complaint = repr(error)
        print(complaint, file=sys.stderr)
        sys.stdout.flush()
        os._exit(1 if complaint else 0)
    _, status = os.waitpid(child, 0)
    _shell(scene.after)
    _shell(
        "for device in $(ifconfig -l); do [ $device = lo0 ] || ifconfig -- $device destroy 2>/dev/null || true; done"
    )
    if status:
        sys.exit(f"the scene {scene.name!r} has not come to its end")


def _call(scene: freebsd_scenes.Scene) -> str:
    bridges.random_mac = lambda: freebsd_scenes.RANDOM_MAC
    print(f"## {scene.name}\n")
    try:
        result = scene.call(FreeBSDNetDevDriver(Recorder()))
    except RefnetError as error:
        right = scene.raises is type(error) and scene.says in str(error)
        return "" if right else f"raised {type(error).__name__}: {error}"
    return "" if scene.raises is None and scene.returns(result) else f"returned {result!r}"


def _write(entry: replay.Entry) -> None:
    print(entry.written())


def _shell(command: str) -> None:
    result = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if result.returncode:
        sys.exit(f"{command!r} has failed")


if __name__ == "__main__":
    main()
