"""The command: ``python -m benchmarks``, as root on Linux."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks import idle, imports, peers, plug, results, suite
from benchmarks.measure import Failed, progress
from benchmarks.plan import FULL, QUICK
from benchmarks.results import Section

_OUTPUT = Path(__file__).with_name("RESULTS.md")

_DESCRIPTION = """\
Measure refnet against the kernel's own cost and against other ways to plug guests, and write the results as Markdown.

Everything is made in network namespaces of its own; no device of the host is touched. Deleting thousands of bridges
keeps the kernel busy, though, and every change of network devices on the host waits for it, up to a quarter of a
second at a time: do not run this on a host that matters. os-vif and Nova are installed into build/bench-venv at the
first run; where that is not possible, the results say so.
"""


def main() -> int:
    """Run the benchmarks and return the exit status: 0, 1 if a contender ended with an error, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller numbers: half a minute, and more noise")
    parser.add_argument("--output", type=Path, default=_OUTPUT, metavar="PATH", help="default: benchmarks/RESULTS.md")
    parser.add_argument("--no-peers", action="store_true", help="leave out os-vif and Nova, and install nothing")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.error(f"the contenders are Linux's, and this is {sys.platform}")
    if os.geteuid() != 0:
        parser.error("making network namespaces and taps needs root")

    began, load_before = time.monotonic(), os.getloadavg()[0]
    peer_python, peer_fact = _peers(wanted=not arguments.no_peers)
    plan = QUICK if arguments.quick else FULL
    plugs = plug.Plugs(plan, peer_python)
    failures: list[str] = []
    sections: list[Section] = []
    # Each of these gives sections: a further measurement is one more line here.
    for what, measure in (
        ("plugs", plugs.measure),
        ("ensure_*", lambda: [idle.measure(plan.idle_rounds, plan.idle_calls)]),
        ("imports", lambda: [imports.measure(plan.import_rounds)]),
        ("the suite", lambda: [suite.measure(plan.suite_rounds, plan.suite_workers)]),
    ):
        try:
            sections += measure()
        except Failed as error:
            progress(f"{what} FAILED: {error}")
            failures.append(f"{what}: {error}")
    failures = [*plugs.failures, *failures]

    took = time.monotonic() - began
    facts = [
        *results.machine(),
        peer_fact,
        f"the run took {took:.0f} s{' with --quick: fewer plugs and rounds' if arguments.quick else ''}; "
        f"load before it {load_before:.2f}, at its end {os.getloadavg()[0]:.2f}",
    ]
    results.write(arguments.output, sections, facts, failures)
    progress(f"written to {arguments.output}")
    return 1 if failures else 0


def _peers(*, wanted: bool) -> tuple[str | None, str]:
    """Return the interpreter with the peers, None if there is none, and what the results say of it."""
    if not wanted:
        return None, "os-vif and Nova left out (`--no-peers`)"
    try:
        python = peers.interpreter()
    except peers.NotInstalled as error:
        progress(f"without os-vif and Nova: {error}")
        return None, f"os-vif and Nova could not be installed: {error}"
    return python, f"in the peers' own environment: {peers.versions(python)}"


if __name__ == "__main__":
    sys.exit(main())
