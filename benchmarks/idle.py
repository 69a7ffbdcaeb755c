"""``ensure_*`` when there is nothing to do: what an agent pays for going over its guests again.

Requests are counted on their way into netlink sockets, and calls timed against one raw ``RTM_GETLINK`` round trip: less
than a look at one device no call can do. :func:`run` measures, in a child process; :func:`measure` makes the section.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import contenders
from benchmarks.contenders import floor
from benchmarks.measure import Spread, progress, ratios, run_child
from benchmarks.results import Section, Table
from refnet import netdev

_BRIDGE, _PORT, _VETH, _PEER = "br0", "tap0", "veth0", "veth1"
_VLAN, _VLAN_BRIDGE = 100, "br100"
_GATEWAY, _SECOND_ADDRESS = "192.0.2.1/24", "198.51.100.1/24"
_FLOOR = "floor: one `RTM_GETLINK`"
#: The most requests that a call with nothing to do is meant to take.
_GOAL = 2


def measure(rounds: int, calls: int) -> Section:
    """Measure in a child process and return the section.

    Raises:
        Failed: the child ended with an error.
    """
    progress(f"ensure_* with nothing to do: {rounds} rounds of {calls} calls each")
    found = run_child("idle", "--rounds", str(rounds), "--calls", str(calls))
    floor_times = found["times"].pop(_FLOOR)
    rows = [(_FLOOR, "1", Spread.of(ns / 1e3 for ns in floor_times).text(".1f"), "1")]
    for title, times in found["times"].items():
        count = found["requests"][title]
        requests = str(count) if count <= _GOAL else f"{count} (more than {_GOAL})"
        rows.append(
            (f"`{title}`", requests, Spread.of(ns / 1e3 for ns in times).text(".1f"), ratios(times, floor_times).text())
        )
    table = Table(("call", "netlink requests", "µs", "ratio to the floor"), rows)
    worst = max(found["requests"].values())
    notes = [
        f"The goal is at most {_GOAL} requests. The most here: {worst}.",
        "The floor reads nothing from its answer; the calls validate their arguments, see that the thread is still in "
        "the socket's network namespace, and read what the kernel says.",
        "`create_tap_dev` also opens `/dev/net/tun` and is refused there, `create_veth_pair` is refused by the kernel "
        "once, before they look: both are written for the case that there is something to make.",
        *(f"`{title}` was not measured: {reason}." for title, reason in found["skipped"].items()),
    ]
    return Section(
        "Nothing to do",
        "Calls that find everything as it should be, by turns; the time of a round is its median call. "
        f"Rounds: {rounds}, calls in each: {calls}.",
        [table],
        notes,
    )


def run(rounds: int, calls: int) -> dict[str, Any]:
    """Make devices in the namespace that this process is in, count each call's requests, and time the calls.

    ``times`` has one median for each round, in nanoseconds.
    """
    cases, skipped = _prepare()
    for call in cases.values():
        call()  # what a first call opens and loads is not what is measured
    requests = {}
    for title, call in cases.items():
        with _counting() as counter:
            call()
        requests[title] = counter[0]

    kernel = floor.Kernel()
    cases = {_FLOOR: lambda: kernel.get(_BRIDGE), **cases}
    times: dict[str, list[float]] = {title: [] for title in cases}
    for _ in range(rounds):
        for title, call in cases.items():
            times[title].append(_median_time(call, calls))
    return {"requests": requests, "times": times, "skipped": skipped}


def _prepare() -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """Bring everything into the state that the calls ask for; return the calls, and why some are left out."""
    mac = contenders.tap_mac(0)
    netdev.create_bridge(_BRIDGE)
    netdev.create_tap_dev(_PORT, mac, mtu=contenders.MTU)
    netdev.add_bridge_port(_BRIDGE, _PORT)
    netdev.create_veth_pair(_VETH, _PEER)
    netdev.ensure_gateway_address(_BRIDGE, _GATEWAY)
    netdev.add_device_address(_BRIDGE, _SECOND_ADDRESS)
    cases: dict[str, Callable[[], object]] = {
        "ensure_bridge(b)": lambda: netdev.ensure_bridge(_BRIDGE),
        "ensure_bridge(b, interface)": lambda: netdev.ensure_bridge(_BRIDGE, _PORT),
        "add_bridge_port(b, t)": lambda: netdev.add_bridge_port(_BRIDGE, _PORT),
        "create_tap_dev(t, mac, mtu=…)": lambda: netdev.create_tap_dev(_PORT, mac, mtu=contenders.MTU),
        "create_veth_pair(v, w)": lambda: netdev.create_veth_pair(_VETH, _PEER),
        "ensure_gateway_address(b, address)": lambda: netdev.ensure_gateway_address(_BRIDGE, _GATEWAY),
    }
    vlan_cases: dict[str, Callable[[], object]] = {
        "ensure_vlan(n, parent)": lambda: netdev.ensure_vlan(_VLAN, _VETH),
        "ensure_vlan_bridge(n, b, parent)": lambda: netdev.ensure_vlan_bridge(_VLAN, _VLAN_BRIDGE, _VETH),
    }
    missing = netdev.probe(netdev.Capability.VLAN)
    if missing is not None:
        return cases, dict.fromkeys(vlan_cases, missing)
    return {**cases, **vlan_cases}, {}


@contextlib.contextmanager
def _counting() -> Iterator[list[int]]:
    """Count the messages that go into netlink sockets; the count is the list's only item."""
    counter = [0]

    def send(self: socket.socket, data: Any, *rest: Any) -> int:
        counter[0] += _messages(self, [data])
        return socket.SocketType.send(self, data, *rest)

    def sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        counter[0] += _messages(self, [data])
        return socket.SocketType.sendto(self, data, *rest)

    def sendmsg(self: socket.socket, buffers: Any, *rest: Any) -> int:
        buffers = list(buffers)
        counter[0] += _messages(self, buffers)
        return socket.SocketType.sendmsg(self, buffers, *rest)

    # socket.socket inherits these from the C type: what is set on it here hides them, and is deleted again.
    wrappers = {"send": send, "sendto": sendto, "sendmsg": sendmsg}
    for name, wrapper in wrappers.items():
        setattr(socket.socket, name, wrapper)
    try:
        yield counter
    finally:
        for name in wrappers:
            delattr(socket.socket, name)


def _messages(sock: socket.socket, buffers: list[Any]) -> int:
    """Count the messages (``nlmsghdr``) in what is being sent."""
    if sock.family != socket.AF_NETLINK:
        return 0
    data = b"".join(bytes(buffer) for buffer in buffers)
    count = offset = 0
    while offset + 16 <= len(data):
        (length,) = struct.unpack_from("=I", data, offset)
        count += 1
        offset += max((length + 3) & ~3, 16)
    return count


def _median_time(call: Callable[[], object], calls: int) -> float:
    clock = time.perf_counter_ns
    times = []
    for _ in range(calls):
        began = clock()
        call()
        times.append(clock() - began)
    return statistics.median(times)
