"""Ports of Open vSwitch: one call each, several threads, and others' ways, against one batched ovs-vsctl."""

from __future__ import annotations

import shutil
import subprocess

from benchmarks.measure import Failed, Spread, progress, ratios, run_child
from benchmarks.plan import Plan
from benchmarks.results import Section, Table

_THREADS = (4, 16)


def measure(plan: Plan, peer_python: str | None) -> list[Section]:
    """Measure and return the section.

    Raises:
        Failed: there is no Open vSwitch, or a process that measures ended with an error.
    """
    if shutil.which("ovs-vswitchd") is None:
        raise Failed("there is no ovs-vswitchd (Debian's package openvswitch-switch)")
    progress(f"Open vSwitch: {plan.switch_ports} ports added and deleted")
    found = run_child(
        *("ovs", str(plan.switch_ports), str(plan.switch_rounds), ",".join(map(str, _THREADS))),
        *([peer_python] if peer_python is not None else []),
    )
    titles = {
        "batch": "`ovs-vsctl`, all ports in one call",
        "floor": "floor of one caller: a bare transaction, and waiting for the switch",
        "refnet": "refnet: one call each, one after the other",
        **{f"refnet {threads}": f"refnet: one call each, {threads} threads on one driver" for threads in _THREADS},
        "os-vif": "os-vif: one call each, its connection kept (`native`)",
        "each": "`ovs-vsctl`, one call each",
    }
    both = {
        name: [sum(pair) for pair in zip(times["add"], times["delete"], strict=True)] for name, times in found.items()
    }
    rows = [
        (
            title,
            Spread.of(found[name]["add"]).text(),
            Spread.of(found[name]["delete"]).text(),
            Spread.of(both[name]).text(),
            ratios(both[name], both["batch"]).text(),
            ratios(both[name], both["floor"]).text(),
        )
        for name, title in titles.items()
        if name in found
    ]
    headings = ("who", "add: ms a port", "delete: ms a port", "both", "ratio to one batched call", "ratio to the floor")
    best = min(ratios(both[f"refnet {threads}"], both["batch"]).median for threads in _THREADS)
    alone, floor = ratios(both["refnet"], both["batch"]).median, ratios(both["floor"], both["batch"]).median
    return [
        Section(
            f"Open vSwitch: {plan.switch_ports} ports",
            f"{plan.switch_ports} taps become ports of a bridge with their ids in `external_ids`, and are taken out "
            f"again; the taps stay. {_version()}, userspace datapath, database in memory (tmpfs). All wait until the "
            "switch has done it. The contenders take turns at one switch, in an order drawn anew in each round, after "
            f"a round that does not count. Rounds: {plan.switch_rounds}.",
            [Table(headings, rows)],
            [
                f"The goal is at most 1.2 times the one batched call. Callers that work at the same time reach "
                f"{best:.2f}: the switch takes over in one go what several calls have written. One caller that waits "
                f"for each port has {alone:.2f}; its floor, without a line of refnet, is {floor:.2f}.",
                "The switch goes over all its ports at each change (4 to 6 ms of its own time with a hundred), which "
                "the batched call pays once; letting go of a device takes the kernel some 10 ms (RCU), which all pay.",
                "refnet's calls also look at the device, ask whether the database and the switch live, and see that "
                "the switch has got the port.",
            ],
        )
    ]


def _version() -> str:
    said = subprocess.run(["ovs-vswitchd", "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].replace("ovs-vswitchd (Open vSwitch)", "Open vSwitch")
