"""What the process of a contender does: a step and its time; filling a model, and the time or memory that takes."""

from __future__ import annotations

import gc
import importlib
import resource
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from benchmarks.firewalls import Firewall, Model, standing, workload

#: Nanoseconds; what takes less is measured this often, and its median taken.
_SHORT = 1_000_000
_OFTEN = 1_000


class Stepper:
    """A contender that is ready for its first step."""

    def __init__(self, module: str, tool: str, count: int) -> None:
        """Start it."""
        self._tool = tool
        self._count = count
        self._firewall: Firewall = importlib.import_module(f"benchmarks.firewalls.{module}").start(tool, count)
        gc.collect()

    def do(self, step: str, number: str = "0") -> Any:
        """Do a step and return its times, None where the contender has no such step; or what is asked about."""
        firewall = self._firewall
        if step == "standing":
            return standing.found(self._tool)
        if step == "processes":
            call = firewall.nothing()
            return None if call is None else _processes(call)
        if step == "nothing":
            call = firewall.nothing()
            return None if call is None else _median_time(call)
        if step == "first":
            return _time(firewall.first())
        line = workload.more(int(number), self._count)
        return _time(firewall.more(line) if step == "more" else firewall.less(line))


def time_to_add(module: str, kind: str, count: int) -> float:
    """Return the nanoseconds of a processor that adding a rule takes."""
    model: Model = importlib.import_module(f"benchmarks.firewalls.{module}").model(kind, count)
    items = list(model.items())
    gc.collect()
    add = model.add
    began = time.process_time_ns()
    for item in items:
        add(*item)
    return (time.process_time_ns() - began) / len(items)


def memory(module: str, kind: str, count: int) -> float:
    """Return the bytes of Python's objects that a rule takes, after the first apply."""
    imported = importlib.import_module(f"benchmarks.firewalls.{module}")
    imported.model(kind, count)  # what a first call loads is not the rules'
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    model: Model = imported.model(kind, count)
    for item in model.items():
        model.add(*item)
    if model.apply is not None:
        model.apply()
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / count


def _time(call: Callable[[], object]) -> tuple[float, float]:
    """Return the nanoseconds of wall time, and those of the processor: this process's and those it waited for."""
    clock = time.perf_counter_ns
    cpu_before = _cpu()
    began = clock()
    call()
    return clock() - began, (_cpu() - cpu_before) * 1e9


def _median_time(call: Callable[[], object]) -> tuple[float, float]:
    once = _time(call)
    return once if once[0] > _SHORT else (statistics.median(_time(call)[0] for _ in range(_OFTEN)), once[1])


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _processes(call: Callable[[], object]) -> int:
    """Return how many processes a call starts."""
    started: list[str] = []
    # Such a hook stays for good: nothing is timed after this.
    sys.addaudithook(lambda event, _: started.append(event) if event in _STARTING else None)
    call()
    return len(started)


_STARTING = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.system")
