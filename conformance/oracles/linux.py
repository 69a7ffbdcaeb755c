"""The suite's eyes on Linux: ``ip -j``, ``bridge -j``, /proc, and the kernel's own notifications."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.errors import SuiteError
from conformance.faults import injected
from conformance.oracles.state import LINK_LOCAL, State, difference

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
)


@dataclass(frozen=True, slots=True)
class Listing:
    """Devices, their addresses and all routes at one moment, seen by one look."""

    links: Mapping[str, dict[str, Any]]
    addresses: Mapping[str, list[dict[str, Any]]]
    routes: list[dict[str, Any]]

    def cidrs(self, name: str) -> list[str]:
        """Return a device's addresses with their prefix lengths in the kernel's order, without IPv6 link-local ones."""
        return [f"{info['local']}/{info['prefixlen']}" for info in self.addresses.get(name, ()) if not _is_own(info)]


class Oracle:
    """Looks at the network stack of the calling thread."""

    def link(self, name: str) -> dict[str, Any] | None:
        """Return what ``ip -d link show`` says of a device; None: it is not there."""
        found = _ip("link", "show", "dev", name, missing=("does not exist", "Cannot find device"))
        return found[0] if found else None

    def need(self, name: str) -> dict[str, Any]:
        """Return what there is to say of a device that a driver says it has made.

        Raises:
            AssertionError: it is not there.
        """
        link = self.link(name)
        if link is None:
            raise AssertionError(f"there is no device {name}")
        return link

    def kind(self, name: str) -> str | None:
        """Return the kernel's word for a device's kind; None: it has none, or is not there."""
        kind = (self.link(name) or {}).get("linkinfo", {}).get("info_kind")
        return str(kind) if kind else None

    def master(self, name: str) -> str | None:
        """Return the bridge that has the device as a port."""
        master = self.need(name).get("master")
        return str(master) if master else None

    def up(self, name: str) -> bool:
        """Whether a device is administratively up."""
        return "UP" in self.need(name)["flags"]

    def carrier(self, name: str) -> bool:
        """Whether a device's link is there."""
        return "LOWER_UP" in self.need(name)["flags"]

    def mac(self, name: str) -> str:
        """Return a device's MAC address."""
        return str(self.need(name)["address"])

    def mtu(self, name: str) -> int:
        """Return a device's MTU in bytes."""
        return int(self.need(name)["mtu"])

    def names(self) -> set[str]:
        """Return the names of all devices."""
        return {link["ifname"] for link in _ip("link", "show")}

    def ports(self, bridge: str) -> set[str]:
        """Return the ports of a bridge."""
        return {link["ifname"] for link in _ip("link", "show", "master", bridge)}

    def bridge_options(self, bridge: str) -> dict[str, Any]:
        """Return what the kernel says of a bridge's own settings, without its timers and ids."""
        data = self.need(bridge)["linkinfo"]["info_data"]
        return {key: value for key, value in data.items() if not _RESTLESS.search(key)}

    def addresses(self, name: str, family: int) -> list[dict[str, Any]]:
        """Return a device's addresses of a family (4 or 6) in the kernel's order, without IPv6 link-local ones."""
        found = _ip(f"-{family}", "addr", "show", "dev", name)
        listed = [info for link in found for info in link.get("addr_info", [])]
        return [info for info in listed if family == 4 or info.get("scope") != "link"]

    def cidrs(self, name: str, family: int = 4) -> list[str]:
        """Return a device's addresses with their prefix lengths, in the kernel's order."""
        return [f"{info['local']}/{info['prefixlen']}" for info in self.addresses(name, family)]

    def link_local(self, name: str) -> set[str]:
        """Return a device's IPv6 link-local addresses."""
        listed = [info for link in _ip("-6", "addr", "show", "dev", name) for info in link.get("addr_info", [])]
        return {info["local"] for info in listed if info.get("scope") == "link"}

    def routes(self, family: int = 4) -> list[dict[str, Any]]:
        """Return all routes of a family that are not the kernel's own local ones."""
        return _of_people(_ip(f"-{family}", "route", "show", "table", "all"))

    def routes_through(self, name: str, family: int = 4) -> list[dict[str, Any]]:
        """Return the routes whose way out, or one of whose ways out, is a device."""
        return through(name, self.routes(family))

    def listing(self) -> Listing:
        """Return devices, addresses and routes by one look."""
        links, addressed, routes = _ip_batch("link show", "addr show", "route show table all")
        return Listing(
            {link["ifname"]: link for link in links},
            {link["ifname"]: link.get("addr_info", []) for link in addressed},
            _of_people(routes),
        )

    def state(self) -> State:
        """Take down everything that a driver could leave behind: links, addresses, routes, rules, settings, locks."""
        # Routes are listed of both families at once, rules are not.
        links, addressed, routes, rules = _ip_batch("link show", "addr show", "route show table all", "rule show")
        infos = [(link["ifname"], info) for link in addressed for info in link.get("addr_info", [])]
        return State(
            {
                "link": {link["ifname"]: _rest(link) for link in links},
                LINK_LOCAL: {f"{name} {info['local']}": "" for name, info in infos if _is_own(info)},
                "addresses": {
                    link["ifname"]: [
                        _rest(info) for name, info in infos if name == link["ifname"] and not _is_own(info)
                    ]
                    for link in addressed
                },
                "route": _keyed(_of_people(routes)),
                "rule": _keyed(rules + _ip("-6", "rule", "show")),
                "setting": _settings(),
                "file": {str(path): "" for path in sorted(Path("/run").rglob("*")) if not path.is_dir()},
            }
        )

    def process_state(self) -> State:
        """Take down what the driver's process holds: descriptors, threads, child processes."""
        descriptors = {}
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                descriptors[entry.name] = re.sub(r"\d+", "N", os.readlink(entry))
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        return State(
            {
                "descriptor": {f"{target} #{count}": "" for target, count in _counted(descriptors.values())},
                "thread": {f"{thread.name} #{count}": "" for count, thread in enumerate(threading.enumerate())},
                "process": {pid: _command_line(pid) for pid in children},
            }
        )

    @contextlib.contextmanager
    def unchanged(self, what: str) -> Iterator[None]:
        """Assert that a piece of work changes nothing in this stack.

        Raises:
            AssertionError: naming what has changed.
        """
        before = self.state()
        yield
        changed = difference(before, self.state())
        # Raised, not asserted: it has to hold under "python -O" as well.
        if changed:
            raise AssertionError(f"{what}: the host has changed: {'; '.join(changed)}")

    @contextlib.contextmanager
    def unwritten(self, what: str) -> Iterator[None]:
        """Assert that a piece of work changes nothing and writes nothing.

        The kernel tells its listeners of writes, whoever makes them, but not of those that set what is set already:
        so the requests that this process itself sends are looked at as well.

        Raises:
            AssertionError: naming what was written.
        """
        with self.unannounced(what), injected(0) as seen:
            yield
        if seen.writes:
            raise AssertionError(
                f"{what}: there was nothing to do, and yet the kernel was written to, by {seen.writes} requests"
            )

    @contextlib.contextmanager
    def unannounced(self, what: str) -> Iterator[None]:
        """Assert that a piece of work changes nothing, and that the kernel tells its listeners of no write.

        Raises:
            AssertionError: naming what was written.
        """
        self.rest()
        with _listener() as listener, self.unchanged(what):
            yield
            heard = _heard(listener)
            if heard:
                raise AssertionError(
                    f"{what}: there was nothing to do, and yet the kernel was written to: {', '.join(heard)}"
                )

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
        return {name: f"$ {' '.join(argv)}\n{_run(*argv, check=False)}" for name, argv in commands.items()}

    def rest(self) -> None:
        """Wait until no link is on its way from one state to another."""
        deadline = time.monotonic() + _REST_LIMIT
        while any(_is_moving(link) for link in _ip("link", "show")):
            if time.monotonic() > deadline:
                raise SuiteError("the links of the sandbox do not come to rest")
            time.sleep(0.01)


def through(name: str, routes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the routes whose way out, or one of whose ways out, is a device."""
    return [
        route
        for route in routes
        if route.get("dev") == name or any(hop.get("dev") == name for hop in route.get("nexthops", []))
    ]


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


def _is_own(info: Mapping[str, Any]) -> bool:
    """Whether the kernel gives the address by itself when a link comes up."""
    return info.get("family") == "inet6" and info.get("scope") == "link"


def _of_people(routes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the routes that are not the kernel's own local ones."""
    return [
        _rest(route)
        for route in routes
        if route.get("table") != "local" and not str(route.get("dst", "")).startswith(("fe80:", "ff00:"))
    ]


def _keyed(entries: list[Any]) -> dict[str, Any]:
    """Index entries by their own text; equal ones by how often they occur."""
    return {f"{text} #{count}" if count else text: "" for text, count in _counted(map(_text, entries))}


def _counted(texts: Any) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    result = []
    for text in texts:
        result.append((text, seen.get(text, 0)))
        seen[text] = seen.get(text, 0) + 1
    return result


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


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@contextlib.contextmanager
def _listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, _GROUPS))
        yield sock


def _heard(listener: socket.socket) -> list[str]:
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            message = listener.recv(1 << 16)
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


def _ip(*arguments: str, missing: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    text = _run("ip", "-j", "-d", *arguments, missing=missing)
    return [entry for entry in json.loads(text or "[]") if entry]


def _ip_batch(*commands: str) -> Iterator[list[dict[str, Any]]]:
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
