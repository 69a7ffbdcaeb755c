"""The suite's eyes on Linux: ``ip -j``, ``bridge -j``, /proc, and the kernel's own notifications."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from conformance.errors import SuiteError
from conformance.oracles import linux_processes, linux_rules
from conformance.oracles.base import Counter, Entry, Listing, Oracle, counted, is_link_local
from conformance.oracles.processes import Process, section
from conformance.oracles.state import LINK_LOCAL, RULE_SET, SWITCH, State

#: Seconds for the kernel to bring links to rest (carrier, operational state) before silence is asked of it.
_REST_LIMIT = 10.0
#: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE, RTMGRP_NEIGH left out: the kernel's own traffic.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_HEADER = struct.Struct("=IHHII")
_NEWADDR, _DELADDR, _NEWROUTE, _DELROUTE = 20, 21, 24, 25
_MESSAGES = {
    16: "link set",
    17: "link deleted",
    _NEWADDR: "address set",
    _DELADDR: "address deleted",
    _NEWROUTE: "route set",
    _DELROUTE: "route deleted",
}
_SCOPE_LINK = 253
#: linux/sockios.h, linux/ethtool.h: whether a link has a carrier.
_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0xA
#: Bridges tell times in clock ticks of user space.
_USER_HZ = os.sysconf("SC_CLK_TCK")

#: What of a link changes by itself: timers, counters, and states that the kernel settles in its own time.
_RESTLESS = re.compile(
    r"_timer$|^stats|^operstate$|^carrier|^topology_change|^(root_port|root_path_cost|root_id|designated_|state$|"
    r"max_|gso_|gro_|tso_|txqlen|num_|min_mtu|parentbus|parentdev|last_|bridge_id|hold)"
)
_RESTLESS_FLAGS = {"LOWER_UP", "NO-CARRIER", "M-DOWN", "linkdown", "dead"}
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/*/forwarding",
    "net/ipv4/conf/*/proxy_arp",
    "net/ipv4/conf/*/arp_ignore",
    "net/ipv4/conf/*/arp_announce",
    "net/ipv4/conf/*/rp_filter",
    "net/ipv4/conf/*/promote_secondaries",
    "net/ipv6/conf/*/disable_ipv6",
    "net/ipv6/conf/*/forwarding",
    "net/ipv6/conf/*/accept_ra",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
)
#: Files that tools leave behind and that say nothing: the lock of legacy iptables.
_EMPTY_FILES = {"/run/xtables.lock"}


class LinuxOracle(Oracle):
    """Looks with ``ip``, ``bridge`` and /proc."""

    def link(self, name: str) -> Entry | None:
        """Return what ``ip -d link show`` says of a device; None: it is not there."""
        found = _ip("link", "show", "dev", name, missing=("does not exist", "Cannot find device"))
        return found[0] if found else None

    def names(self) -> set[str]:
        """Return the names of all devices."""
        return {link["ifname"] for link in _ip("link", "show")}

    def ports(self, bridge: str) -> set[str]:
        """Return the ports of a bridge."""
        return {link["ifname"] for link in _ip("link", "show", "master", bridge)}

    def bridge_options(self, bridge: str) -> Entry:
        """Return what the kernel says of a bridge's own settings, without its timers and ids."""
        data = self.need(bridge)["linkinfo"]["info_data"]
        options = {key: value for key, value in data.items() if not _RESTLESS.search(key)}
        options["stp"] = bool(options.pop("stp_state"))
        # A kernel without IGMP snooping does not tell.
        if "mcast_snooping" in options:
            options["multicast_snooping"] = bool(options.pop("mcast_snooping"))
        for name in ("forward_delay", "ageing_time"):
            options[name] = options[name] / _USER_HZ
        return options

    def addresses(self, name: str, family: int) -> list[Entry]:
        """Return a device's addresses of a family (4 or 6) in the kernel's order, without IPv6 link-local ones."""
        found = _ip(f"-{family}", "addr", "show", "dev", name)
        listed = [info for link in found for info in link.get("addr_info", [])]
        return [info for info in listed if family == 4 or info.get("scope") != "link"]

    def link_local(self, name: str) -> set[str]:
        """Return a device's IPv6 link-local addresses."""
        listed = [info for link in _ip("-6", "addr", "show", "dev", name) for info in link.get("addr_info", [])]
        return {info["local"] for info in listed if info.get("scope") == "link"}

    def routes(self, family: int = 4) -> list[Entry]:
        """Return all routes of a family that are not the kernel's own local ones."""
        return _of_people(_ip(f"-{family}", "route", "show", "table", "all"))

    def listing(self) -> Listing:
        """Return devices, addresses and routes by one look."""
        links, addressed, routes = _ip_batch("link show", "addr show", "route show table all")
        return Listing(
            {link["ifname"]: link for link in links},
            {link["ifname"]: link.get("addr_info", []) for link in addressed},
            _of_people(routes),
        )

    def state(self) -> State:
        """Take down everything that a driver could leave behind; locks are among the files."""
        # Routes are listed of both families at once, rules are not.
        links, addressed, routes, rules = _ip_batch("link show", "addr show", "route show table all", "rule show")
        infos = [(link["ifname"], info) for link in addressed for info in link.get("addr_info", [])]
        return State(
            {
                "link": {link["ifname"]: _rest(link) for link in links},
                LINK_LOCAL: {f"{name} {info['local']}": "" for name, info in infos if is_link_local(info)},
                "addresses": {
                    link["ifname"]: [
                        _rest(info) for name, info in infos if name == link["ifname"] and not is_link_local(info)
                    ]
                    for link in addressed
                },
                "route": _keyed(_of_people(routes)),
                "rule": _keyed(rules + _ip("-6", "rule", "show")),
                RULE_SET: self.rules(),
                "setting": _settings(),
                SWITCH: self.switch_rows(),
                "file": dict.fromkeys((path for path in _files() if not self._is_switch_file(path)), ""),
                "process": section(self.of_others(self.processes())),
            }
        )

    def _is_switch_file(self, path: str) -> bool:
        return self.switch is not None and self.switch.owns(path)

    def rules(self) -> Mapping[str, str]:
        """Return what nft(8) and iptables' programs list."""
        return linux_rules.rules()

    def counters(self) -> list[Counter]:
        """Return what nft(8) and iptables' programs say that each rule has matched."""
        return linux_rules.counters()

    def descriptors(self) -> list[str]:
        """Return the targets of the links in /proc/self/fd."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            # The one of the listing itself is closed by now.
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/self/fd/{name}"))
        return found

    def processes(self) -> list[Process]:
        """Look through /proc."""
        return linux_processes.processes()

    def user(self, pid: int) -> int:
        """Read /proc/PID/status."""
        return linux_processes.user(pid)

    def is_stopped(self, pid: int) -> bool:
        """Read /proc/PID/stat."""
        return linux_processes.is_stopped(pid)

    def sockets(self) -> list[str]:
        """Ask ss(8)."""
        return linux_processes.sockets(_run("ss", "-Hlntu"))

    def process_state(self) -> State:
        """Take down what the driver's process holds: descriptors, threads, child processes."""
        descriptors = [re.sub(r"\d+", "N", target) for target in self.descriptors()]
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        own = {*map(str, self.switch.pids())} if self.switch else set()
        return State(
            {
                "descriptor": {f"{target} #{count}": "" for target, count in counted(descriptors)},
                "thread": {f"{thread.name} #{count}": "" for count, thread in enumerate(threading.enumerate())},
                "process": {pid: _command_line(pid) for pid in linux_processes.bury(children) if pid not in own},
            }
        )

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[], list[str]]]:
        """Listen to rtnetlink(7)'s notifications, and to those of nftables; legacy iptables gives none."""
        raw = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_NETLINK, raw, socket.NETLINK_ROUTE) as sock, linux_rules.listener() as of_rules:
            sock.bind((0, _GROUPS))
            yield lambda: _heard(sock) + linux_rules.heard(of_rules)

    def evidence(self) -> Mapping[str, str]:
        """Return what a person would look at, as text by file name."""
        commands = {
            "links.txt": ("ip", "-d", "link", "show"),
            "addresses.txt": ("ip", "addr", "show"),
            "routes.txt": ("ip", "route", "show", "table", "all"),
            "routes6.txt": ("ip", "-6", "route", "show", "table", "all"),
            "bridge.txt": ("bridge", "-d", "link", "show"),
            "fdb.txt": ("bridge", "fdb", "show"),
        }
        texts = {name: f"$ {' '.join(argv)}\n{_run(*argv, check=False)}" for name, argv in commands.items()}
        connections = ""
        # Without connection tracking in the kernel there is no such file.
        with contextlib.suppress(FileNotFoundError):
            connections = Path("/proc/thread-self/net/nf_conntrack").read_text()
        texts["processes.txt"] = "".join(f"{one}\n" for one in self.processes())
        texts["sockets.txt"] = "".join(f"{one}\n" for one in self.sockets())
        switch = self.switch.evidence() if self.switch else {}
        return {**texts, **linux_rules.evidence(connections), **switch}

    def rest(self) -> None:
        """Wait until no link is on its way from one state to another."""
        deadline = time.monotonic() + _REST_LIMIT
        for _, name in socket.if_nameindex():
            _catch_up(name)
        while any(_is_moving(link) for link in _ip("link", "show")):
            if time.monotonic() > deadline:
                raise SuiteError("the links of the sandbox do not come to rest")
            time.sleep(0.01)


def _catch_up(name: str) -> None:
    """Have the kernel act on what a link has told of its carrier: what it has still to do does not always show.

    A carrier that came and went leaves no trace but the notification to come, which the next look at the device sets
    off (linkwatch_sync_dev() in ethtool_op_get_link(), net/ethtool/ioctl.c).
    """
    value = array.array("I", [_ETHTOOL_GLINK, 0])
    request = struct.pack("16sP", name.encode(), value.buffer_info()[0])
    # Not every kind tells, and a device may be on its way out.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        fcntl.ioctl(sock, _SIOCETHTOOL, request)


def _is_moving(link: Mapping[str, Any]) -> bool:
    """Whether the kernel has still to bring the operational state in line with the flags."""
    flags = link["flags"]
    if "LOOPBACK" in flags:
        return False
    if "UP" in flags and "LOWER_UP" in flags:
        # A device that never tells of its carrier stays unknown; these kinds always come to tell.
        tells = link.get("linkinfo", {}).get("info_kind") in ("veth", "vlan")
        return link["operstate"] != "UP" and (tells or link["operstate"] != "UNKNOWN")
    return link["operstate"] not in ("DOWN", "LOWERLAYERDOWN")


def _rest(value: Any) -> Any:
    """Leave out what changes by itself."""
    if isinstance(value, dict):
        return {
            key: "finite" if key.endswith("life_time") and inner != 0xFFFFFFFF else _rest(inner)
            for key, inner in value.items()
            if not _RESTLESS.search(key) and key not in ("expires", "tentative", "dynamic")
        }
    if isinstance(value, list):
        return [_rest(inner) for inner in value if not (isinstance(inner, str) and inner in _RESTLESS_FLAGS)]
    return value


def _of_people(routes: list[Entry]) -> list[Entry]:
    """Return the routes that are not the kernel's own local ones."""
    return [
        _rest(route)
        for route in routes
        if route.get("table") != "local" and not str(route.get("dst", "")).startswith(("fe80:", "ff00:"))
    ]


def _keyed(entries: list[Any]) -> Entry:
    """Index entries by their own text; equal ones by how often they occur."""
    return {f"{text} #{count}" if count else text: "" for text, count in counted(map(_text, entries))}


def _text(entry: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(entry.items()) if value not in ([], None))


def _settings() -> dict[str, str]:
    found = {}
    for pattern in _SYSCTLS:
        folder, _, name = pattern.partition("/*/")
        places = [folder]
        if name:
            places = []
            # Without IPv6 (ipv6.disable=1) the kernel has no folder of its settings.
            with contextlib.suppress(FileNotFoundError):
                places = [f"{folder}/{device}/{name}" for device in sorted(os.listdir(f"/proc/sys/{folder}"))]
        for place in places:
            # A device may be on its way out.
            with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/{place}") as file:
                found[place] = file.read().strip()
    return found


def _files() -> list[str]:
    paths = sorted(Path("/run").rglob("*"))
    return [str(path) for path in paths if not path.is_dir() and str(path) not in _EMPTY_FILES]


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _heard(listener: socket.socket) -> list[str]:
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                message = listener.recv(1 << 16)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # What does not fit in is lost, and told of once.
                heard.append("more than there is room for")
                continue
            _, kind, *_ = _HEADER.unpack_from(message)
            if not _of_its_own_accord(kind, message[_HEADER.size :]):
                heard.append(f"{_MESSAGES.get(kind, f'message {kind}')} ({_named(message)})")
    return heard


def _of_its_own_accord(kind: int, body: bytes) -> bool:
    """Whether the kernel tells of something that it does by itself, at a time of its own choosing."""
    family = body[0]
    if family == socket.AF_BRIDGE:  # the protocol state of a bridge's port
        return True
    if family != socket.AF_INET6:
        return False
    if kind in (_NEWADDR, _DELADDR):
        return body[3] == _SCOPE_LINK  # each device's own address, when its link comes up
    return kind in (_NEWROUTE, _DELROUTE) and _destination(body)[:1] in (b"\xfe", b"\xff")


def _destination(route: bytes) -> bytes:
    """Return the destination in the body of a route's message: attribute RTA_DST, behind 12 bytes of ``rtmsg``."""
    offset = 12
    while offset + 4 <= len(route):
        length, number = struct.unpack_from("=HH", route, offset)
        if number == 1 or length < 4:
            return route[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return b""


def _named(message: bytes) -> str:
    """Return the names in a notification: enough for a person to know what it is about."""
    return " ".join(word.decode() for word in re.findall(rb"[a-zA-Z][\w.-]{2,14}(?=\0)", message)[:2])


def _ip(*arguments: str, missing: tuple[str, ...] = ()) -> list[Entry]:
    text = _run("ip", "-j", "-d", *arguments, missing=missing)
    return [entry for entry in json.loads(text or "[]") if entry]


def _ip_batch(*commands: str) -> Iterator[list[Entry]]:
    """Give what several commands of one ``ip`` say: where starting a program takes long, one is enough."""
    text = _run("ip", "-j", "-d", "-batch", "-", given="\n".join(commands))
    for _ in commands:
        listed, end = json.JSONDecoder().raw_decode(text)
        text = text[end:].lstrip()
        yield [entry for entry in listed if entry]


def _run(*argv: str, missing: tuple[str, ...] = (), check: bool = True, given: str = "") -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(argv, input=given, capture_output=True, text=True, env=environment, timeout=30)
    if done.returncode and check:
        if any(words in done.stderr for words in missing):
            return ""
        raise SuiteError(f"the suite's own {' '.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout
