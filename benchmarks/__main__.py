"""The command: ``python -m benchmarks``, as root on Linux."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import dhcp, firewall, idle, imports, ovs, peers, plug, results, suite
from benchmarks.measure import Failed, progress
from benchmarks.plan import FULL, QUICK
from benchmarks.results import Section

_PARTS = ("plugs", "idle", "imports", "firewall", "models", "dhcp", "ovs", "suite")
_OUTPUT = Path(__file__).with_name("RESULTS.md")

_DESCRIPTION = """\
Measure refnet against the kernel's own cost and against other ways to plug guests, and write the results as Markdown.

Everything is made in network namespaces of its own; no device of the host is touched. Deleting thousands of bridges
keeps the kernel busy, though, and every change of network devices on the host waits for it, up to a quarter of a
second at a time: do not run this on a host that matters. os-vif, Nova and Neutron are installed into build/bench-venv
at the first run; where that is not possible, the results say so.
"""


def main() -> int:
    """Run the benchmarks and return the exit status: 0, 1 if a contender ended with an error, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller numbers: two or three minutes, and more noise")
    parser.add_argument("--output", type=Path, default=_OUTPUT, metavar="PATH", help="default: benchmarks/RESULTS.md")
    parser.add_argument("--no-peers", action="store_true", help="leave out the peers, and install nothing")
    parser.add_argument(
        "--only",
        action="append",
        choices=_PARTS,
        metavar="PART",
        help=f"measure this part only, and keep the others' text ({', '.join(_PARTS)}); can be given several times",
    )
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.error(f"the contenders are Linux's, and this is {sys.platform}")
    if os.geteuid() != 0:
        parser.error("making network namespaces and taps needs root")
    if arguments.only and not arguments.output.is_file():
        parser.error(f"{arguments.output} is not there, and --only replaces parts of it: run all of them first")

    began, load_before = time.monotonic(), os.getloadavg()[0]
    peer_python, peer_fact = _peers(wanted=not arguments.no_peers)
    plan = QUICK if arguments.quick else FULL
    plugs, firewalls = plug.Plugs(plan, peer_python), firewall.Firewalls(plan, peer_python)
    # Each of these gives sections: a further measurement is one more line here, and its name in _PARTS.
    measures: dict[str, Callable[[], list[Section]]] = {
        "plugs": plugs.measure,
        "idle": lambda: [idle.measure(plan.idle_rounds, plan.idle_calls)],
        "imports": lambda: [imports.measure(plan.import_rounds)],
        "firewall": firewalls.measure,
        "models": firewalls.measure_models,
        "dhcp": lambda: dhcp.measure(plan),
        "ovs": lambda: ovs.measure(plan, peer_python),
        "suite": lambda: [suite.measure(plan.suite_rounds, plan.suite_workers)],
    }
    failures: list[str] = []
    parts: dict[str, list[Section]] = {}
    for name in _PARTS:
        if arguments.only and name not in arguments.only:
            continue
        try:
            parts[name] = measures[name]()
        except Failed as error:
            progress(f"{name} FAILED: {error}")
            failures.append(f"{name}: {error}")
    failures = [*plugs.failures, *firewalls.failures, *failures]

    took = time.monotonic() - began
    facts = [
        *results.machine(),
        peer_fact,
        f"the run took {took:.0f} s{' with --quick: smaller numbers and fewer rounds' if arguments.quick else ''}; "
        f"load before it {load_before:.2f}, at its end {os.getloadavg()[0]:.2f}",
    ]
    if arguments.only:
        results.update(arguments.output, parts, _PARTS, facts, failures)
    else:
        results.write(arguments.output, parts, facts, failures)
    progress(f"written to {arguments.output}")
    return 1 if failures else 0


def _peers(*, wanted: bool) -> tuple[str | None, str]:
    """Return the interpreter with the peers, None if there is none, and what the results say of it."""
    if not wanted:
        return None, "os-vif, Nova and Neutron left out (`--no-peers`)"
    try:
        python = peers.interpreter()
    except peers.NotInstalled as error:
        progress(f"without os-vif, Nova and Neutron: {error}")
        return None, f"os-vif, Nova and Neutron could not be installed: {error}"
    return python, f"in the peers' own environment: {peers.versions(python)}"


if __name__ == "__main__":
    sys.exit(main())
