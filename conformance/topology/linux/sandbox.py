"""The sandbox on Linux: a network namespace for each spec, and the endpoints in it.

Everything here is made with the ``ip`` command and system calls; nothing is shared with the drivers that are judged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from conformance.errors import SuiteError
from conformance.oracles.linux import LinuxOracle
from conformance.topology.base import Guest, Holder, Stack
from conformance.topology.linux import namespaces, rules
from conformance.topology.linux.cards import SimulatedCard
from conformance.topology.linux.endpoints import LinuxGuest, LinuxStack, NearEnd, TapHolder, frank, opens_for, quiet
from conformance.topology.linux.own import OwnEnd
from conformance.topology.sandbox import ARRIVAL_LIMIT, Sandbox
from refnet.netdev.driver import Kind

#: linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522
_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
_BRIDGED = tuple(f"net/bridge/bridge-nf-call-{program}" for program in ("iptables", "ip6tables", "arptables"))


class LinuxSandbox(LinuxStack, Sandbox):
    """A network namespace of its own for the calling thread."""

    loopback = "lo"
    deletes_held_taps = True
    gives_every_broadcast = False

    def __init__(self, seed: str, *, arrival_limit: float = ARRIVAL_LIMIT) -> None:
        """Move the calling thread into a new network namespace, with its own view of /sys and a loopback that is up."""
        Sandbox.__init__(self, seed, arrival_limit)
        self._home = namespaces.current_network()
        LinuxStack.__init__(self, "sandbox", namespaces.new_network())
        namespaces.setns(self.namespace)
        # /sys shows the namespace that it was mounted in: a driver that looks there has to see this one.
        namespaces.mount("sysfs", "/sys", "sysfs")
        # And other sandboxes' locks and files are not this one's to see.
        namespaces.mount("tmpfs", "/run", "tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV)
        self.look = LinuxOracle()
        quiet(self)
        self._undo = contextlib.ExitStack()
        # The kernel's own default, which a namespace otherwise inherits from the host.
        for scope in ("all", "default"):
            self.sysctl(f"net/ipv4/conf/{scope}/promote_secondaries", 0)
        frank(self)
        self.ip("link set dev lo up")

    # -- building -------------------------------------------------------------------------------------

    def guest(self, name: str, *addresses: str, mac: str | None = None, mtu: int = 1500) -> LinuxGuest:
        """Make a namespace and a cable to it."""
        guest = LinuxGuest(self, name, mac or self.new_mac(), addresses, mtu)
        self._endpoints.append(guest)
        return guest

    def hold(self, tap: str, *, mac: str | None = None, queues: int = 1) -> Holder:
        """Open the tap through /dev/net/tun."""
        holder = TapHolder(self, tap, mac or self.new_mac(), queues=queues)
        self._endpoints.append(holder)
        # Its carrier has come: a bridge takes its frames, and gives it any, when the kernel has told the bridge.
        self.look.rest()
        return holder

    def may_hold(self, tap: str, *, uid: int, gid: int) -> bool:
        """Try it in a child process."""
        return opens_for(tap, uid=uid, gid=gid)

    def near_end(self, guest: Guest) -> Holder:
        """Return an endpoint on the near end of a guest's cable."""
        return NearEnd(self, guest)

    def network_card(self, name: str = "card0", *, vfs: int) -> SimulatedCard:
        """Make it with netdevsim."""
        card = SimulatedCard(self, name, vfs)
        self._undo.callback(card.close)
        return card

    def remove_plain(self, *devices: str) -> None:
        """Delete them with ip(8)."""
        self.ip(*(f"link delete dev {device}" for device in devices))

    def plain_cables(self, *names: str) -> None:
        """Make veth pairs."""
        self.ip(*(f"link add dev {name} up type veth peer name {name}-far" for name in names))

    def foreign(self, name: str, kind: Kind) -> None:
        """Make the device with ip(8)."""
        made = {
            Kind.BRIDGE: f"link add name {name} type bridge",
            Kind.TAP: f"tuntap add dev {name} mode tap",
            Kind.TUN: f"tuntap add dev {name} mode tun",
        }
        self.ip(made[kind])
        self._foreign.append(name)

    def rename(self, device: str, name: str) -> None:
        """Rename it while it is down, which not all kernels ask for."""
        self.ip(f"link set dev {device} down", f"link set dev {device} name {name}", f"link set dev {name} up")

    def set_mac(self, device: str, mac: str) -> None:
        """Set it with ip(8)."""
        self.ip(f"link set dev {device} address {mac}")

    def move(self, device: str, stack: Stack) -> None:
        """Move it by the descriptor of the other namespace."""
        assert isinstance(stack, LinuxStack)
        self.ip(f"link set dev {device} netns /proc/{os.getpid()}/fd/{stack.namespace}")

    def neighbour(self, name: str) -> LinuxStack:
        """Make another namespace."""
        stack = LinuxStack(name, namespaces.new_network())
        self._stacks.append(stack)
        return stack

    def clear(self, device: str) -> None:
        """Flush them; IPv4 routes go with the last address."""
        self.ip(f"addr flush dev {device} scope global")
        self.run("ip", "-6", "route", "flush", "table", "all", "dev", device, "proto", "boot")

    def detect_duplicates(self, device: str) -> None:
        """Undo what :func:`quiet` has done, for one device."""
        for key in ("accept_dad", "dad_transmits"):
            self.sysctl(f"net/ipv6/conf/{device}/{key}", 1)

    @contextlib.contextmanager
    def other_rules(self) -> Iterator[None]:
        """Have a rule of policy routing, and a table for it."""
        self.ip("rule add from 192.0.2.0/24 table 77", "route add default via 192.0.2.2 table 77")
        yield
        # A driver may have taken them away, which is for the spec to see.
        with contextlib.suppress(SuiteError):
            self.ip("rule delete from 192.0.2.0/24 table 77")

    def drop_privileges(self) -> None:
        """Drop all capabilities, those of programs that are started later as well."""
        import ctypes

        class Header(ctypes.Structure):
            _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

        class Data(ctypes.Structure):
            _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inherited", ctypes.c_uint32))

        libc = ctypes.CDLL(None, use_errno=True)
        # PR_SET_NO_NEW_PRIVS, and PR_SET_SECUREBITS with SECBIT_NOROOT: programs started later get none back either.
        libc.prctl(38, 1, 0, 0, 0)
        libc.prctl(28, 0x1, 0, 0, 0)
        header, data = Header(_CAPABILITY_VERSION_3, 0), (Data * 2)()
        if libc.capset(ctypes.byref(header), data) != 0:
            raise SuiteError(f"capabilities cannot be dropped: {os.strerror(ctypes.get_errno())}")

    # -- firewalls ------------------------------------------------------------------------------------

    def forward(self, *families: int) -> None:
        """Set what sysctl(8) sets."""
        for family in families:
            self._set(_FORWARDING[family], 1)

    def prepare_firewall(self) -> None:
        """Do nothing: iptables and nftables can be used as they are."""

    def filter_bridges(self) -> None:
        """Set what br_netfilter has for it; its default is to do so, and this suite's not to."""
        for key in _BRIDGED:
            try:
                self._set(key, 1)
            except FileNotFoundError:
                raise SuiteError(
                    f"/proc/sys/{key} is not there: load the module br_netfilter ('modprobe br_netfilter' on the host)"
                ) from None

    def _set(self, key: str, value: int) -> None:
        with self.entered():
            old = Path("/proc/sys", key).read_text().strip()
        self.sysctl(key, value)
        self._undo.callback(self.sysctl, key, old)

    def foreign_rules(self, owner: str) -> None:
        """Make them with all variants of iptables and ebtables, and with nft(8)."""
        rules.make_foreign(self, owner)
        self._undo.callback(rules.unmake_foreign, self, owner)

    def flush_rules(self) -> None:
        """Flush them with the tools themselves."""
        rules.flush(self)

    @contextlib.contextmanager
    def lock_rules(self) -> Iterator[bool]:
        """Hold the lock of legacy iptables (iptables(8), ``-w``)."""
        with open("/run/xtables.lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield True

    def connections(self, address: str) -> list[str]:
        """Read /proc/net/nf_conntrack."""
        with self.entered():
            return rules.connections(address)

    def own_end(self, protocol: int, address: str, port: int = 0) -> OwnEnd:
        """Open raw sockets."""
        end = OwnEnd(self, protocol, address, port)
        self._endpoints.append(end)
        return end

    # -- ending ---------------------------------------------------------------------------------------

    def remove_endpoints(self) -> None:
        """Take the scaffolding away, so that what is left is the driver's."""
        ports = [endpoint.port for endpoint in self._endpoints if isinstance(endpoint, Guest)]
        for endpoint in self._endpoints:
            endpoint.shut()
        self._endpoints.clear()
        for stack in self._stacks:
            stack.close()
        self._stacks.clear()
        # The far ends go with their namespaces, which the kernel does in its own time; the near ends go now.
        for port in ports:
            with contextlib.suppress(SuiteError):
                self.ip(f"link delete dev {port}")
        for name in self._foreign:
            with contextlib.suppress(SuiteError):
                self.ip(f"link delete dev {name}")
        self._foreign.clear()
        self._undo.close()

    def shell(self, pid: int) -> str:
        """Enter the namespaces of the process, its user namespace if it has one of its own."""
        mapped = Path("/proc/self/uid_map").read_text().split()
        user = [] if mapped == ["0", "0", "4294967295"] else ["--user", "--preserve-credentials"]
        return " ".join(["nsenter", "--target", str(pid), *user, "--net", "--mount", "--pid", "sh"])

    def leave(self) -> None:
        """End what still runs in the namespace, bring the calling thread back, and let go of it."""
        self.end_switch()
        for one in self.look.processes():
            with contextlib.suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)
        for directory in ("/run", "/sys"):
            with contextlib.suppress(OSError):
                namespaces.unmount(directory)
        namespaces.setns(self._home)
        os.close(self._home)
        self.close()
