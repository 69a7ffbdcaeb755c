"""The contenders taking turns at one switch: each adds all ports and deletes them again. In namespaces of their own."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import switch
from benchmarks.measure import ROOT, Failed, environment_of, last_words
from benchmarks.switch import raw
from refnet.netdev.linux import LinuxNetDevDriver

_PLACE = Path("/run/openvswitch")
_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
#: Seconds for all that one program does.
_TIME_LIMIT = 120

#: Adds or deletes all ports.
Turn = Callable[[int], None]


def ports(count: int, rounds: int, threads: list[int], peer: str | None) -> dict[str, dict[str, list[float]]]:
    """Measure; return milliseconds a port by contender and "add" or "delete", one for each round.

    ``threads`` are the numbers of threads that use one driver at once; ``peer`` is an interpreter that has os-vif.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(_running())
        driver = held.enter_context(LinuxNetDevDriver())
        driver.ensure_ovs_bridge(switch.BRIDGE, datapath_type="netdev")
        for number in range(count):
            driver.create_tap_dev(switch.tap(number))
        contenders: dict[str, tuple[Turn, Turn]] = {
            "batch": (_batch_add, _batch_delete),
            "each": (_one_by_one(_add_words), _one_by_one(_delete_words)),
            "floor": _of_caller(raw.Caller()),
            "refnet": _of_driver(driver, 1),
            **{f"refnet {number}": _of_driver(driver, number) for number in threads},
        }
        if peer is not None:
            contenders["os-vif"] = held.enter_context(_os_vif(peer))
        found: dict[str, dict[str, list[float]]] = {name: {"add": [], "delete": []} for name in contenders}
        # The first round is for files to be read and tables to grow.
        for turn in range(-1, rounds):
            for name in random.sample(list(contenders), len(contenders)):
                for verb, call in zip(("add", "delete"), contenders[name], strict=True):
                    began = time.perf_counter()
                    call(count)
                    took = (time.perf_counter() - began) * 1e3 / count
                    there = len(driver.ovs_ports(switch.BRIDGE))
                    if there != (count if verb == "add" else 0):
                        raise Failed(f"{name}: {verb} has left {there} ports")
                    if turn >= 0:
                        found[name][verb].append(took)
        return found


@contextlib.contextmanager
def _running() -> Iterator[None]:
    """Start both daemons; they end with the process namespace."""
    _PLACE.mkdir()
    _run("ovsdb-tool", "create", str(_PLACE / "conf.db"), _SCHEMA)
    quiet = ("--detach", "--no-chdir", "--pidfile", "-vconsole:off", "-vsyslog:off")
    _run("ovsdb-server", str(_PLACE / "conf.db"), f"--remote=p{switch.DATABASE}", *quiet)
    _run("ovs-vsctl", "--no-wait", "init")
    _run("ovs-vswitchd", *quiet)
    try:
        yield
    finally:
        for name in ("ovs-vswitchd", "ovsdb-server"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((_PLACE / f"{name}.pid").read_text()), 15)


def _add_words(number: int) -> list[str]:
    ids = [f"external_ids:{key}={value.replace(':', chr(92) + ':')}" for key, value in switch.ids(number).items()]
    name = switch.tap(number)
    return ["--", "add-port", switch.BRIDGE, name, "--", "set", "Interface", name, *ids]


def _delete_words(number: int) -> list[str]:
    return ["--", "del-port", switch.BRIDGE, switch.tap(number)]


def _batch_add(count: int) -> None:
    _run("ovs-vsctl", *(word for number in range(count) for word in _add_words(number)))


def _batch_delete(count: int) -> None:
    _run("ovs-vsctl", *(word for number in range(count) for word in _delete_words(number)))


def _one_by_one(words: Callable[[int], list[str]]) -> Turn:
    def run(count: int) -> None:
        for number in range(count):
            _run("ovs-vsctl", *words(number))

    return run


def _of_caller(caller: raw.Caller) -> tuple[Turn, Turn]:
    def add(count: int) -> None:
        for number in range(count):
            caller.add(number)

    def delete(count: int) -> None:
        for number in range(count):
            caller.delete(number)

    return add, delete


def _of_driver(driver: LinuxNetDevDriver, threads: int) -> tuple[Turn, Turn]:
    def add_one(number: int) -> None:
        ids = switch.ids(number)
        driver.create_ovs_vif_port(
            switch.BRIDGE, switch.tap(number), ids["iface-id"], ids["attached-mac"], ids["vm-uuid"]
        )

    def delete_one(number: int) -> None:
        driver.delete_ovs_vif_port(switch.BRIDGE, switch.tap(number), delete_dev=False)

    def turn(call: Callable[[int], None]) -> Turn:
        def run(count: int) -> None:
            if threads == 1:
                for number in range(count):
                    call(number)
                return
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(call, range(count)))

        return run

    return turn(add_one), turn(delete_one)


@contextlib.contextmanager
def _os_vif(interpreter: str) -> Iterator[tuple[Turn, Turn]]:
    process = subprocess.Popen(
        [interpreter, "-m", "benchmarks.switch.with_os_vif"],
        cwd=ROOT,
        env=environment_of(interpreter),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def answer() -> None:
        assert process.stdout is not None
        if not process.stdout.readline():
            _, errors = process.communicate()
            raise Failed(f"os-vif: {last_words(errors)}")

    def ask(verb: str) -> Turn:
        def run(count: int) -> None:
            assert process.stdin is not None
            process.stdin.write(f"{verb} {count}\n")
            process.stdin.flush()
            answer()

        return run

    try:
        answer()
        yield ask("add"), ask("delete")
    finally:
        process.kill()
        process.communicate()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False)
    if done.returncode:
        raise Failed(f"{argv[0]}: {last_words(done.stderr)}")
