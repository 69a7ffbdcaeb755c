"""The sandbox on FreeBSD: the vnet jail that this process is in, and the endpoints in it.

Whoever runs specs has put a process into a jail for each (:mod:`conformance.jailed`): a process cannot leave a jail.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from conformance.errors import SuiteError
from conformance.freebsd_shell import run
from conformance.oracles.freebsd import FreeBsdOracle
from conformance.topology.base import Guest, Holder, Stack
from conformance.topology.freebsd import filters, jails
from conformance.topology.freebsd.endpoints import (
    QUIET,
    FreeBsdGuest,
    FreeBsdStack,
    NearEnd,
    TapHolder,
    opens_for,
)
from conformance.topology.freebsd.own import OwnEnd
from conformance.topology.freebsd.switch import FreeBsdSwitch, look_nowhere, own_place
from conformance.topology.sandbox import ARRIVAL_LIMIT, Sandbox
from conformance.topology.switch import Switch
from refnet.netdev.driver import Kind

#: Set in the jail: its name, as the host has it.
JAIL = "REFNET_CONFORMANCE_JAIL"
#: The user "daemon" of every FreeBSD; "nobody" is what servers become, who may signal themselves.
_DAEMON = 1
_FORWARDING = {4: "net.inet.ip.forwarding", 6: "net.inet6.ip6.forwarding"}
#: What has a stack say all that there is to say, and send no redirects; not every release has all of them.
_FRANK = (
    "net.inet.icmp.icmplim=0",
    "net.inet6.icmp6.errppslimit=-1",
    "net.inet.ip.redirect=0",
    "net.inet6.ip6.redirect=0",
    "net.inet.tcp.syncookies=0",
)
#: Devices that one script makes or destroys.
_AT_ONCE = 20
#: Times that another owner of an address is asked for, a second each.
_ATTEMPTS = 30


class FreeBsdSandbox(FreeBsdStack, Sandbox):
    """The network stack of the jail that this process is in."""

    loopback = "lo0"
    deletes_held_taps = False
    gives_every_broadcast = True

    def __init__(self, seed: str, *, arrival_limit: float = ARRIVAL_LIMIT) -> None:
        """See that this is a jail with a network stack of its own, and set its loopback up.

        Raises:
            SuiteError: it is none: what a driver did would be done to the host.
        """
        Sandbox.__init__(self, seed, arrival_limit)
        FreeBsdStack.__init__(self, "sandbox", None)
        if run(["sysctl", "-n", "security.jail.jailed", "security.jail.vnet"]).split() != ["1", "1"]:
            raise SuiteError("this process is in no jail with a network stack of its own: a spec would change the host")
        self.look = FreeBsdOracle()
        look_nowhere()
        self._is_detecting = False
        self._undo = contextlib.ExitStack()
        self.script(QUIET, "ifconfig lo0 127.0.0.1/8 up", f"sysctl -q -i {' '.join(_FRANK)} >/dev/null 2>&1 || true")

    # -- building -------------------------------------------------------------------------------------

    def guest(self, name: str, *addresses: str, mac: str | None = None, mtu: int = 1500) -> FreeBsdGuest:
        """Make a jail below this one and a cable to it."""
        guest = FreeBsdGuest(self, name, mac or self.new_mac(), addresses, mtu)
        self._endpoints.append(guest)
        return guest

    def hold(self, tap: str, *, mac: str | None = None, queues: int = 1) -> Holder:
        """Open the tap's device node."""
        holder = TapHolder(tap, mac or self.new_mac(), queues=queues)
        self._endpoints.append(holder)
        self.look.rest()
        return holder

    def may_hold(self, tap: str, *, uid: int, gid: int) -> bool:
        """Try it in a child process."""
        return opens_for(tap, uid=uid, gid=gid)

    def near_end(self, guest: Guest) -> Holder:
        """Return an endpoint on the near end of a guest's cable."""
        return NearEnd(guest)

    def remove_plain(self, *devices: str) -> None:
        """Destroy them with ifconfig(8)."""
        for some in range(0, len(devices), _AT_ONCE):
            self.script(*(f"ifconfig {device} destroy" for device in devices[some : some + _AT_ONCE]))

    def plain_cables(self, *names: str) -> None:
        """Make epairs; many take long where the processor is emulated."""
        for some in range(0, len(names), _AT_ONCE):
            self.script(*(f"ifconfig epair create name {name} up >/dev/null" for name in names[some : some + _AT_ONCE]))

    def foreign(self, name: str, kind: Kind) -> None:
        """Make the device with ifconfig(8)."""
        self.script(f"ifconfig {kind} create name {name} >/dev/null")
        self._foreign.append(name)

    def rename(self, device: str, name: str) -> None:
        """Rename it with ifconfig(8)."""
        self.script(f"ifconfig {device} name {name} up >/dev/null")

    def set_mac(self, device: str, mac: str) -> None:
        """Set it with ifconfig(8)."""
        self.script(f"ifconfig {device} ether {mac}")

    def move(self, device: str, stack: Stack) -> None:
        """Give it to the other jail."""
        assert isinstance(stack, FreeBsdStack)
        assert stack.jail is not None
        self.run("ifconfig", device, "vnet", stack.jail)

    def neighbour(self, name: str) -> FreeBsdStack:
        """Make a jail below this one."""
        stack = FreeBsdStack(name, jails.new_name())
        assert stack.jail is not None
        jails.make(stack.jail, children=0)
        self._stacks.append(stack)
        return stack

    def clear(self, device: str) -> None:
        """Delete them one by one; first the routes that would hold the addresses."""
        routes = [one for family in (4, 6) for one in self.look.routes_through(device, family) if one.get("gateway")]
        lines = [
            f"route -q -n delete {'-6' if ':' in one['gateway'] else '-4'} {one['dst']} >/dev/null" for one in routes
        ]
        for family, word in ((4, "inet"), (6, "inet6")):
            lines += [f"ifconfig {device} {word} {one['local']} -alias" for one in self.look.addresses(device, family)]
        self.script(*lines)

    def detect_duplicates(self, device: str) -> None:
        """Set it for the whole stack, and let it take longer than FreeBSD's one second: programs take long here."""
        self.script(
            f"sysctl -q net.inet6.ip6.dad_count={_ATTEMPTS}",
            # Of a device without IPv6, the kernel does not look for the address that switches it on.
            f"ifconfig {device} inet6 -ifdisabled",
        )
        self._is_detecting = True

    def other_rules(self) -> contextlib.AbstractContextManager[None]:
        """Have nothing: FreeBSD has no rules of routing but a packet filter's."""
        return contextlib.nullcontext()

    def drop_privileges(self) -> None:
        """Become the user daemon."""
        try:
            os.setgroups([])
            os.setresgid(_DAEMON, _DAEMON, _DAEMON)
            os.setresuid(_DAEMON, _DAEMON, _DAEMON)
        except OSError as error:
            raise SuiteError(f"the privileges cannot be dropped: {error}") from None

    # -- switches -------------------------------------------------------------------------------------

    def open_vswitch(self) -> Switch:
        """Start one whose devices end with it."""
        if self.look.switch is None:
            self.look.switch = FreeBsdSwitch(self, own_place())
        return self.look.switch

    # -- firewalls ------------------------------------------------------------------------------------

    def forward(self, *families: int) -> None:
        """Set what sysctl(8) sets."""
        for family in families:
            self._set(_FORWARDING[family], 1)

    def _set(self, key: str, value: int) -> None:
        old = self.run("sysctl", "-n", key).strip()
        self.run("sysctl", "-q", f"{key}={value}")
        self._undo.callback(self.run, "sysctl", "-q", f"{key}={old}")

    def prepare_firewall(self) -> None:
        """Enable pf, with a main rule set that does nothing but call refnet's anchors."""
        filters.prepare()

    def filter_bridges(self) -> None:
        """Set what if_bridge(4) has for it."""
        self._set("net.link.bridge.pfil_member", 1)

    def foreign_rules(self, owner: str) -> None:
        """Make them in pf's main rule set, and in anchors beside refnet's."""
        filters.make_foreign(owner)
        self._undo.callback(filters.unmake_foreign, owner)

    def flush_rules(self) -> None:
        """Flush them with pfctl(8)."""
        filters.flush()

    @contextlib.contextmanager
    def lock_rules(self) -> Iterator[bool]:
        """Hold nothing: pf has no lock, it refuses who loads rules while another does."""
        yield False

    def connections(self, address: str) -> list[str]:
        """Ask pf for its states."""
        return filters.connections(address)

    def own_end(self, protocol: int, address: str, port: int = 0) -> OwnEnd:
        """Open sockets, and look at all devices that packets can come by."""
        end = OwnEnd(self, self.run("ifconfig", "-l", "-u").split(), protocol, address, port)
        self._endpoints.append(end)
        return end

    # -- ending ---------------------------------------------------------------------------------------

    def remove_endpoints(self) -> None:
        """Take the scaffolding away, so that what is left is the driver's."""
        for endpoint in self._endpoints:
            endpoint.shut()
        self._endpoints.clear()
        if self._is_detecting:
            self.script(QUIET)
        for stack in self._stacks:
            stack.close()
        self._stacks.clear()
        for name in self._foreign:
            with contextlib.suppress(SuiteError):
                self.remove_plain(name)
        self._foreign.clear()
        self._undo.close()

    def shell(self, pid: int) -> str:
        """Enter the jail."""
        return f"jexec {os.environ[JAIL]} sh"

    def leave(self) -> None:
        """End the switch, whose files are the host's; jail and process end together."""
        self.end_switch()
