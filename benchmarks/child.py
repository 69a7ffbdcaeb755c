"""The process that measures, in a network namespace of its own.

``python -m benchmarks.child plug MODULE`` makes plugs on command: a line with a number on standard input asks for so
many, and is answered by a line of JSON with their times in nanoseconds; at the end of its input it deletes them all.
``python -m benchmarks.child idle …`` does what :mod:`benchmarks.idle` asks for and prints one line of JSON.
``python -m benchmarks.child rules …`` and ``model …`` are those of :mod:`benchmarks.firewall`: the first does one step
for each line of its input, the second answers once. ``python -m benchmarks.child dhcp …`` is that of
:mod:`benchmarks.dhcp`: it answers once, in a process namespace as well, which no server outlives; so does
``python -m benchmarks.child ovs …``, that of :mod:`benchmarks.ovs`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from benchmarks import namespace


def main() -> int:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.child", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    plug = commands.add_parser("plug")
    plug.add_argument("module", help="the contender, a module of benchmarks.contenders")
    plug.add_argument("--join", type=int, metavar="PID", help="work in the namespace of that process")
    plug.add_argument("--first", type=int, default=0, help="the number of the first plug")
    idle = commands.add_parser("idle")
    idle.add_argument("--rounds", type=int, required=True)
    idle.add_argument("--calls", type=int, required=True)
    rules = commands.add_parser("rules")
    rules.add_argument("module", help="the contender, a module of benchmarks.firewalls")
    rules.add_argument("tool", help="what it is to use: legacy, nft or nftables")
    rules.add_argument("count", type=int, help="how many rules there are")
    model = commands.add_parser("model")
    model.add_argument("module", help="the contender, a module of benchmarks.firewalls")
    model.add_argument("kind", help="one of its models")
    model.add_argument("count", type=int, help="how many rules are added")
    model.add_argument("--memory", action="store_true", help="measure memory, not time")
    dhcp = commands.add_parser("dhcp")
    dhcp.add_argument("what", help="a function of benchmarks.servers.turns")
    dhcp.add_argument("numbers", type=float, nargs="+", help="its arguments")
    dhcp.add_argument("--inside", action="store_true", help="a process namespace has been made")
    ovs = commands.add_parser("ovs")
    ovs.add_argument("ports", type=int)
    ovs.add_argument("rounds", type=int)
    ovs.add_argument("threads", help="numbers of threads, with commas between them")
    ovs.add_argument("peer", nargs="?", help="an interpreter that has os-vif")
    ovs.add_argument("--inside", action="store_true", help="a process namespace has been made")
    arguments = parser.parse_args()

    if arguments.command in ("dhcp", "ovs") and not arguments.inside:
        apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        os.execvp(apart[0], [*apart, sys.executable, "-m", "benchmarks.child", *sys.argv[1:], "--inside"])
    if arguments.command == "ovs":
        from benchmarks.switch import turns as switching

        namespace.enter()
        namespace.hide_run()
        threads = [int(one) for one in arguments.threads.split(",")]
        _answer(switching.ports(arguments.ports, arguments.rounds, threads, arguments.peer))
        return 0
    if arguments.command == "dhcp":
        from benchmarks.servers import turns

        namespace.enter()
        namespace.hide_run()
        numbers = [int(one) if one.is_integer() else one for one in arguments.numbers]
        _answer(getattr(turns, arguments.what)(*numbers))
        return 0
    if arguments.command in ("rules", "model"):
        from benchmarks.firewalls import stepping

        namespace.enter()
        namespace.hide_run()
        if arguments.command == "model":
            measure = stepping.memory if arguments.memory else stepping.time_to_add
            _answer(measure(arguments.module, arguments.kind, arguments.count))
            return 0
        stepper = stepping.Stepper(arguments.module, arguments.tool, arguments.count)
        _answer("ready")
        for line in sys.stdin:
            _answer(stepper.do(*line.split()))
        return 0
    if arguments.command == "idle":
        # Not above: its results have refnet's version, and the peers' interpreter has no refnet.
        from benchmarks import idle as idle_calls

        namespace.enter()
        _answer(idle_calls.run(arguments.rounds, arguments.calls))
        return 0
    if arguments.join is None:
        namespace.enter()
    else:
        namespace.join(arguments.join)
    plug_on_command(arguments.module, arguments.first)
    return 0


def plug_on_command(module: str, first: int) -> None:
    """Make as many plugs as each line of the input says; when it ends, or something fails, delete them."""
    make = _maker(importlib.import_module(f"benchmarks.contenders.{module}"))
    following = first
    _answer("ready")
    try:
        for line in sys.stdin:
            numbers = range(following, following + int(line))
            following = numbers.stop
            total, each = make(numbers)
            namespace.check(numbers[-1])
            _answer({"total": total, "count": len(numbers), "each": each})
    finally:
        namespace.remove(range(first, following))


def _maker(contender: ModuleType) -> Callable[[range], tuple[int, list[int]]]:
    """Start a contender; return what makes plugs, and returns their time on the whole and, if it can, of each."""
    clock = time.perf_counter_ns

    def make_all(numbers: range) -> tuple[int, list[int]]:
        call = contender.start_all(numbers)
        began = clock()
        call()
        return clock() - began, []

    def make_each(numbers: range) -> tuple[int, list[int]]:
        each = []
        began = before = clock()
        for number in numbers:
            plug(number)
            after = clock()
            each.append(after - before)
            before = after
        return before - began, each

    if hasattr(contender, "start_all"):
        return make_all
    plug = contender.start()
    return make_each


def _answer(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    sys.exit(main())
