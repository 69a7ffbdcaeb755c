"""The suite's eyes on FreeBSD: ifconfig(8), netstat(1) with ``--libxo json``, sysctl(8), and the routing socket."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from conformance.errors import SuiteError
from conformance.freebsd_shell import run
from conformance.oracles import freebsd_processes, freebsd_rules
from conformance.oracles.base import Counter, Entry, Listing, Oracle, counted, is_link_local
from conformance.oracles.processes import Process, section
from conformance.oracles.state import LINK_LOCAL, RULE_SET, SWITCH, State

#: Seconds for the kernel to bring devices to rest before silence is asked of it.
_REST_LIMIT = 20.0
_LIST = ("ifconfig", "-f", "inet:cidr,inet6:cidr")
_HEAD = re.compile(r"^(?P<name>\S.*?): flags=[0-9a-f]+(?:<(?P<flags>[^>]*)>)? metric \d+ mtu (?P<mtu>\d+)")
#: By the group that a cloner puts its devices into, whatever they are renamed to: the words of the contract.
_KINDS = {"bridge": "bridge", "vlan": "vlan", "epair": "veth", "tap": "tun", "tun": "tun"}
#: Flags that follow from something else: the link, and whoever looks at the device.
_RESTLESS_FLAGS = {"RUNNING", "LOWER_UP", "PROMISC", "OACTIVE", "SIMPLEX"}
#: What a bridge says of its settings, with the names of the contract where it has one. Times are in seconds.
_BRIDGE_WORDS = {
    "fwddelay": "forward_delay",
    "timeout": "ageing_time",
    "priority": "priority",
    "hellotime": "hellotime",
    "maxage": "maxage",
    "holdcnt": "holdcnt",
    "proto": "proto",
    "maxaddr": "maxaddr",
}
_SETTINGS = (
    "net.inet.ip.forwarding",
    "net.inet6.ip6.forwarding",
    "net.inet6.ip6.accept_rtadv",
    "net.inet6.ip6.dad_count",
    "net.inet6.ip6.auto_linklocal",
    "net.link.ether.inet.proxyall",
    "net.link.bridge",
    "net.link.tap",
    "net.link.vlan",
)
#: net/route.h: what is told to listeners, and the flag of an entry of the neighbours' tables.
_MESSAGES = {
    0x1: "route set",
    0x2: "route deleted",
    0x3: "route changed",
    0xC: "address set",
    0xD: "address deleted",
    0xE: "device set",
    0x11: "device made or deleted",
}
_RTF_LLDATA = 0x400
_ROUTES = (0x1, 0x2, 0x3)
#: struct rt_msghdr and if_announcemsghdr have the device's number at once, the others behind what they carry.
_NUMBER_AT = {0xC: 12, 0xD: 12, 0xE: 12}
#: What the kernel itself has to go nowhere (rc.d/routing, netinet6).
_NOWHERE = ("::/96", "::ffff:0.0.0.0/96")
#: The descriptors that are looked at; more than any spec opens.
_MOST_DESCRIPTORS = 4096


class FreeBsdOracle(Oracle):
    """Looks with ifconfig(8) and netstat(1)."""

    def link(self, name: str) -> Entry | None:
        """Return what ``ifconfig -a`` says of a device: whose port it is, its bridge tells."""
        return _devices().get(name)

    def names(self) -> set[str]:
        """Return the names of all devices."""
        return set(_devices())

    def ports(self, bridge: str) -> set[str]:
        """Return the members of a bridge."""
        return {name for name, device in _devices().items() if device.get("master") == bridge}

    def bridge_options(self, bridge: str) -> Entry:
        """Return what ifconfig says of a bridge's own settings."""
        return dict(self.need(bridge)["linkinfo"]["info_data"])

    def addresses(self, name: str, family: int) -> list[Entry]:
        """Return a device's addresses of a family (4 or 6) in the kernel's order, without IPv6 link-local ones."""
        word = "inet" if family == 4 else "inet6"
        found = _devices().get(name, {}).get("addr_info", [])
        return [info for info in found if info["family"] == word and not is_link_local(info)]

    def link_local(self, name: str) -> set[str]:
        """Return a device's IPv6 link-local addresses, without their scope."""
        return {info["local"] for info in _devices().get(name, {}).get("addr_info", []) if is_link_local(info)}

    def routes(self, family: int = 4) -> list[Entry]:
        """Return all routes of a family but those by the loopback and to link-local or group addresses."""
        return _routes()[family]

    def listing(self) -> Listing:
        """Return devices and addresses by one look, and routes by another."""
        devices = _devices()
        addresses = {name: device["addr_info"] for name, device in devices.items()}
        routes = _routes()
        return Listing(devices, addresses, routes[4] + routes[6])

    def state(self) -> State:
        """Take down what a driver could leave behind: devices, addresses, routes of the first FIB, settings.

        Files are not among it: a jail shares them with the host and with the other sandboxes.
        """
        devices = _devices()
        infos = [(name, info) for name, device in devices.items() for info in device["addr_info"]]
        routes = [_text(route) for family in _routes().values() for route in family]
        settings = (line.partition(": ") for line in run(["sysctl", "-i", *_SETTINGS]).splitlines())
        return State(
            {
                "link": {name: _rest(device) for name, device in devices.items()},
                LINK_LOCAL: {f"{name} {info['local']}": "" for name, info in infos if is_link_local(info)},
                "addresses": {
                    name: [info for owner, info in infos if owner == name and not is_link_local(info)]
                    for name in devices
                },
                "route": {f"{text} #{count}" if count else text: "" for text, count in counted(routes)},
                "setting": {key: value for key, _, value in settings},
                RULE_SET: dict(self.rules()),
                SWITCH: self.switch_rows(),
                "process": section(self.of_others(self.processes())),
            }
        )

    def rules(self) -> Mapping[str, str]:
        """Return pf's rules, those of translation and tables, of the main rule set and of every anchor that has any."""
        return freebsd_rules.rules()

    def counters(self) -> list[Counter]:
        """Return what pf's rules have matched."""
        return freebsd_rules.counters()

    def descriptors(self) -> list[str]:
        """Return what kind of thing each descriptor is open on: /dev/fd shows all of them to nobody but fdescfs(5)."""
        found = []
        for number in range(min(os.sysconf("SC_OPEN_MAX"), _MOST_DESCRIPTORS)):
            with contextlib.suppress(OSError):
                about = os.fstat(number)
                kind = stat.filemode(about.st_mode)[0]
                found.append(f"{kind} {about.st_rdev:x}" if kind == "c" else kind)
        return found

    def processes(self) -> list[Process]:
        """Ask ps(1)."""
        return freebsd_processes.processes()

    def user(self, pid: int) -> int:
        """Ask ps(1)."""
        return int(run(["ps", "-o", "uid=", "-p", str(pid)]))

    def is_stopped(self, pid: int) -> bool:
        """Ask ps(1)."""
        return run(["ps", "-o", "state=", "-p", str(pid)]).startswith("T")

    def sockets(self) -> list[str]:
        """Ask sockstat(1)."""
        return freebsd_processes.sockets(run(["sockstat", "-46l"]))

    def process_state(self) -> State:
        """Take down what the driver's process holds: descriptors, threads. Its children are in the jail's state."""
        return State(
            {
                "descriptor": {f"{kind} #{count}": "" for kind, count in counted(self.descriptors())},
                "thread": {f"{thread.name} #{count}": "" for count, thread in enumerate(threading.enumerate())},
            }
        )

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[], list[str]]]:
        """Listen to route(4)'s messages."""
        family: int = socket.AF_ROUTE  # type: ignore[attr-defined,unused-ignore]
        with socket.socket(family, socket.SOCK_RAW) as sock:
            sock.setblocking(False)
            yield lambda: _heard(sock)

    def evidence(self) -> Mapping[str, str]:
        """Return what a person would look at, as text by file name."""
        bridges = [name for name, device in _devices().items() if device.get("linkinfo", {}).get("info_data")]
        commands = {
            "links.txt": ("ifconfig", "-a"),
            "routes.txt": ("netstat", "-rnW"),
            "neighbours.txt": ("arp", "-an"),
            "neighbours6.txt": ("ndp", "-an"),
            "settings.txt": ("sysctl", "-i", *_SETTINGS),
            "sockets.txt": ("sockstat", "-46l"),
            **{f"learned-{number}.txt": ("ifconfig", name, "addr") for number, name in enumerate(bridges)},
        }
        texts = {name: f"$ {' '.join(argv)}\n{run(argv, check=False)}" for name, argv in commands.items()}
        texts["processes.txt"] = "".join(f"{one}\n" for one in self.processes())
        switch = self.switch.evidence() if self.switch else {}
        return {**texts, **freebsd_rules.evidence(), **switch}

    def rest(self) -> None:
        """Wait until no address is looked for elsewhere any more."""
        deadline = time.monotonic() + _REST_LIMIT
        while any(_is_moving(device) for device in _devices().values()):
            if time.monotonic() > deadline:
                raise SuiteError("the devices of the sandbox do not come to rest")
            time.sleep(0.05)


def _is_moving(device: Mapping[str, Any]) -> bool:
    return any("tentative" in info["flags"] for info in device["addr_info"])


def _devices() -> dict[str, Entry]:
    """Return what ifconfig lists, each device's master among it."""
    found = parse(run([*_LIST, "-a"]))
    for name, device in found.items():
        for member in device["members"]:
            if member in found:
                found[member]["master"] = name
    return found


def parse(text: str) -> dict[str, Entry]:
    """Return the devices of a listing by ifconfig(8), in the words of :mod:`conformance.oracles.base`."""
    found: dict[str, Entry] = {}
    device: Entry = {}
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            flags = [flag for flag in (head["flags"] or "").split(",") if flag]
            device = {"ifname": head["name"], "flags": flags, "mtu": int(head["mtu"]), "address": None}
            device |= {"addr_info": [], "members": {}, "others": {}}
            found[head["name"]] = device
        elif device:
            _add(device, line.strip())
    for device in found.values():
        _finish(device)
    return found


def _add(device: Entry, line: str) -> None:
    """Take a line of ifconfig's into what is known of a device."""
    word, _, rest = line.partition(" ")
    if word == "ether":
        device["address"] = rest.strip()
    elif word in ("inet", "inet6"):
        device["addr_info"].append(_address(word, rest.split()))
    elif word == "member:":
        name, _, flags = rest.partition(" flags=")
        device["members"][name] = flags
    elif word == "ifmaxaddr":
        # Of the member in the line before: "0 port 9 priority 128 path cost 2000000". The port is its number.
        device["members"][list(device["members"])[-1]] += re.sub(r" port \d+", "", f" {line}")
    elif word == "groups:":
        device["groups"] = rest.split()
    elif word in ("status:", "vlan:", "description:", "hwaddr", "nd6"):
        device["others"][word.rstrip(":")] = rest.strip()
    elif word in ("media:", "root", "Opened", "supported", "syncpeer:") or word.startswith("options="):
        pass
    else:
        # Of a bridge: "id … priority 32768 hellotime 2 fwddelay 15", "maxage 20 holdcnt 6 proto rstp …".
        words = line.split()
        for key, value in itertools.pairwise(words):
            if key in _BRIDGE_WORDS:
                number = int(value) if value.isdigit() else value
                device.setdefault("bridge", {}).setdefault(_BRIDGE_WORDS[key], number)


def _address(family: str, words: list[str]) -> Entry:
    local, _, length = words[0].partition("/")
    local, _, scope = local.partition("%")
    info: Entry = {"family": family, "local": local, "prefixlen": int(length)}
    info["scope"] = "link" if scope or local.startswith("fe80:") else "global"
    if "broadcast" in words:
        info["broadcast"] = words[words.index("broadcast") + 1]
    info["flags"] = [word for word in words if word in ("tentative", "duplicated", "detached", "deprecated")]
    return info


def _finish(device: Entry) -> None:
    """Say what follows from the lines together."""
    groups = device.setdefault("groups", [])
    kind = next((_KINDS[group] for group in groups if group in _KINDS), None)
    if kind:
        device["linkinfo"] = {"info_kind": kind}
        if kind == "bridge":
            device["linkinfo"]["info_data"] = device.pop("bridge", {})
    status = device["others"].get("status")
    has_carrier = "RUNNING" in device["flags"] if status is None else status == "active"
    device["flags"] = [flag for flag in device["flags"] if flag != "LOWER_UP"] + (["LOWER_UP"] if has_carrier else [])


def _rest(device: Mapping[str, Any]) -> Entry:
    """Leave out what changes by itself."""
    others = {key: value for key, value in device["others"].items() if key not in ("status", "hwaddr", "nd6")}
    # The kernel takes IFDISABLED off by itself, with the first address.
    others["nd6"] = re.sub(r"options=[0-9a-f]+|,?IFDISABLED", "", device["others"].get("nd6", ""))
    return {
        **{key: device.get(key) for key in ("ifname", "mtu", "address", "master", "groups", "linkinfo")},
        "flags": [flag for flag in device["flags"] if flag not in _RESTLESS_FLAGS],
        "members": dict(device["members"]),
        **others,
    }


def _routes() -> dict[int, list[Entry]]:
    """Return the routes by family, 4 and 6, as netstat(1) has them."""
    said = json.loads(run(["netstat", "--libxo", "json", "-rnW"]) or "{}")
    table = said.get("statistics", {}).get("route-information", {}).get("route-table", {})
    found: dict[int, list[Entry]] = {4: [], 6: []}
    for part in table.get("rt-family", []):
        family = {"Internet": 4, "Internet6": 6}.get(part.get("address-family"))
        if family:
            found[family] = [_route(entry) for entry in part.get("rt-entry", []) if not _is_kernels(entry)]
    return found


def _is_kernels(entry: Mapping[str, Any]) -> bool:
    """Whether the kernel has made the route by itself, for each address and each device."""
    if str(entry["destination"]).startswith(("fe80:", "ff")):
        return True
    # Somebody's own routes to nowhere (R: reject, B: blackhole) go by the loopback as well; all but these are IPv6's.
    own = str(entry["destination"]) in _NOWHERE or not set("BR") & set(str(entry.get("flags", "")))
    return str(entry["interface-name"]) == "lo0" and own


def _route(entry: Mapping[str, Any]) -> Entry:
    route: Entry = {"dst": str(entry["destination"]), "dev": str(entry["interface-name"])}
    # A route to a subnet of the device's own has the device itself for a gateway, or a MAC address.
    if "G" in str(entry.get("flags", "")):
        route["gateway"] = str(entry["gateway"])
    route["flags"] = str(entry.get("flags", ""))
    if "mtu" in entry:
        route["mtu"] = entry["mtu"]
    return route


def _text(entry: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(entry.items()))


def _heard(sock: socket.socket) -> list[str]:
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            message = sock.recv(1 << 16)
            # struct rt_msghdr and its siblings: length, version, type; of a route, its flags.
            kind = message[3]
            if kind not in _MESSAGES or (kind in _ROUTES and struct.unpack_from("i", message, 8)[0] & _RTF_LLDATA):
                continue
            heard.append(
                f"{_MESSAGES[kind]} (device number {struct.unpack_from('H', message, _NUMBER_AT.get(kind, 4))[0]})"
            )
    return heard
