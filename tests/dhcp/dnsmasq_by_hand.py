"""A dnsmasq started by hand, on a bridge that may have guests, and the event program as dnsmasq calls it."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from waiting import wait_until

from refnet import dhcp_event

BRIDGE, ADDRESS, ADDRESS6 = "br-event", "192.0.2.1", "2001:db8::1"
MAC, CLIENT_ID = "52:54:00:00:00:01", "01:52:54:00:00:00:01"
DUID, SERVER_DUID = "00:03:00:01:52:54:00:00:00:01", "00:01:00:01:2c:00:00:00:52:54:00:00:00:ff"
#: Seconds since 1970, long after these tests.
LATER = 4_000_000_000


def installed(directory):
    """Put the program into a directory, as one file that this Python runs, and return its path."""
    path = directory / "event"
    path.write_text(f"#!{sys.executable} -IS\n{Path(dhcp_event.__file__).read_text()}")
    path.chmod(0o755)
    return path


class Server:
    """A dnsmasq on a bridge of a stack."""

    def __init__(self, stack, directory, *guests):
        self.directory = directory
        self.log = directory / "log"
        self.events = directory / "events"
        self.leases = directory / "leases"
        self.program = installed(directory)
        stack.plain_bridge(BRIDGE, *(guest.port for guest in guests))
        stack.remove_in_the_end(BRIDGE)
        stack.add_address(BRIDGE, f"{ADDRESS}/24", f"{ADDRESS6}/64")
        stack.look.rest()
        self.process = None

    def start(self, *arguments, **environment):
        """Start it; it has bound its sockets and told what leases it has when this returns."""
        self.process = subprocess.Popen(
            [
                "dnsmasq",
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--port=0",
                "--user=",
                "--group=",
                "--bind-dynamic",
                f"--interface={BRIDGE}",
                "--except-interface=lo",
                "--dhcp-authoritative",
                "--dhcp-range=192.0.2.10,192.0.2.20,1h",
                "--dhcp-range=2001:db8::10,2001:db8::20,64,1h",
                f"--dhcp-leasefile={self.leases}",
                f"--pid-file={self.directory / 'pid'}",
                f"--log-facility={self.log}",
                f"--dhcp-script={self.program}",
                *arguments,
            ],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: self.process.poll() is not None or "sockets bound" in self.said(), "dnsmasq is ready")
        assert self.process.poll() is None, self.process.stderr.read()
        return self

    def said(self):
        """Return what it has logged."""
        return self.log.read_text() if self.log.exists() else ""

    def stop(self):
        """Kill it, at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(30)
            self.process.stderr.close()
            self.log.unlink(missing_ok=True)
            self.process = None
