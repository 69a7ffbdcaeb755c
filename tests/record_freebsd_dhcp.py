"""Record anew what FreeBSD says of DHCP servers: run it as root on a FreeBSD host, from a checkout of refnet.

    python3 tests/record_freebsd_dhcp.py > tests/data/freebsd/dhcp.txt

Servers are started in a jail with a network stack of its own, which is removed afterwards with all that is in it.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]

import replay  # noqa: E402

from conformance.oracles import freebsd_processes  # noqa: E402
from refnet import process  # noqa: E402
from refnet.dhcp import DhcpNetwork  # noqa: E402
from refnet.dhcp.dnsmasq import freebsd_jail, freebsd_process  # noqa: E402
from refnet.errors import CommandFailed  # noqa: E402

_NETWORK = DhcpNetwork("br100", "10.9.0.1/24")
_really_run = process.run


def main() -> None:
    """Record all scenes, in a jail that this program enters by starting itself anew."""
    if len(sys.argv) > 1:
        record()
        return
    _shell("kldload -n if_bridge")
    jail = f"record{os.getpid()}"
    _shell(f"jail -c name={jail} persist vnet path=/ allow.raw_sockets children.max=9")
    try:
        print(f"# FreeBSD {platform.release()} ({platform.machine()}), recorded by tests/{Path(__file__).name}\n")
        sys.stdout.flush()
        inside = subprocess.run(["jexec", jail, sys.executable, str(Path(__file__).resolve()), "inside"])
    finally:
        _shell(f"jail -r {jail}")
    sys.exit(inside.returncode)


def record() -> None:
    """Play the scenes and write down what is asked and answered."""
    _shell("ifconfig lo0 127.0.0.1/8 up; ifconfig bridge create name br100; ifconfig br100 inet 10.9.0.1/24 up")
    _shell("jail -c name=guest persist vnet path=/; jexec guest sleep 300 & sleep 1")
    process.run = _written  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        dnsmasq = ["dnsmasq", f"--pid-file={directory}/pid", "--no-hosts", "--no-resolv", "--bind-interfaces"]
        dnsmasq += ["--except-interface=lo0", "--dhcp-range=10.9.0.0,static", "--dhcp-option=15,a\tb"]
        dnsmasq += [f"--dhcp-leasefile={directory}/leases", f"--conf-file={directory}/conf"]
        (directory / "conf").touch()
        _heading("a server that does not start")
        _start([*dnsmasq, "--interface=nosuch0"])
        _start(["nosuchprogram"])
        _heading("a server")
        _start([*dnsmasq, "--interface=br100"])
        pid = int((directory / "pid").read_text())
        _heading("another server with its addresses")
        _start([*dnsmasq, "--interface=br100"])
        _heading("a jail that may have none below it")
        _written(["jexec", "guest", *freebsd_jail.launched(_NETWORK, dnsmasq)], expect=(1,))
        _heading("all processes")
        list(freebsd_process.candidates(lambda arguments: True))
        _heading("the server's process")
        freebsd_process.opened(pid)
        _heading("a process of a guest")
        (guest,) = freebsd_process.candidates(lambda arguments: arguments == ("sleep", "300"))
        freebsd_process.opened(guest)
        _heading("a process that has ended")
        freebsd_process._arguments("99998")
        freebsd_process._parent_and_jail(99998)
        _heading("the suite")
        _written([*freebsd_processes._LIST])
        _written([*freebsd_processes._JAILS])
        _written(["sockstat", "-46l"])


def _start(argv: Sequence[str]) -> None:
    _written(freebsd_jail.launched(_NETWORK, argv), expect=(0, 1))


def _written(argv: Sequence[str], *, expect: Sequence[int] = (0,), **options: Any) -> process.Completed:
    """Run a program, and write down what came of it."""
    try:
        result = _really_run(argv, expect=range(256), **options)
    except CommandFailed as error:
        sys.exit(f"{argv} has failed: {error}")
    print(replay.Entry(shlex.join(argv), result.stdout, result.stderr, result.status).written(), flush=True)
    if result.status not in expect:
        sys.exit(f"{argv} has ended with status {result.status}")
    return result


def _heading(text: str) -> None:
    print(f"## {text}\n", flush=True)


def _shell(command: str) -> None:
    result = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if result.returncode:
        sys.exit(f"{command!r} has failed")


if __name__ == "__main__":
    main()
