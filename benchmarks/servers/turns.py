"""What the process that measures servers does, in namespaces of its own. Each function returns what it has measured."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.servers import ground
from benchmarks.servers.bare import Bare
from refnet.dhcp import events
from refnet.dhcp.dnsmasq import DnsmasqManager

#: Clients whose leases there are before anything is measured: dnsmasq writes all leases again for each that changes.
_CLIENTS = 200
#: Seconds between two changes of the hosts.
_BETWEEN = 0.1


def starting(count: int, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds that each takes to start a server of so many hosts, by turns."""
    directory = ground.prepare()
    began = time.perf_counter()
    network = ground.network(count)
    times: dict[str, list[float]] = {"model": [_since(began)], "bare": [], "refnet": []}
    manager = DnsmasqManager(directory / "refnet")
    manager.start(network)
    bare = _copy(manager, directory)
    manager.stop(ground.DEVICE, forget=True)

    def of_bare() -> None:
        times["bare"].append(_timed(bare.start))
        bare.stop()

    def of_refnet() -> None:
        # Of its own: what one that has stopped it remembers is not what a first start has.
        starter = DnsmasqManager(directory / "refnet")
        times["refnet"].append(_timed(lambda: starter.start(network)))
        starter.stop(ground.DEVICE, forget=True)

    for _ in range(rounds):
        for turn in random.sample((of_bare, of_refnet), 2):
            turn()
    return times


def adding(count: int, rounds: int, leased: int = 0) -> dict[str, list[float]]:
    """Return the milliseconds that it takes to have a server of so many hosts know one more.

    So many of the hosts have leases. Known is it when the server answers for its name.
    """
    directory = ground.prepare()
    place = directory / "refnet" / ground.DEVICE
    manager = DnsmasqManager(directory / "refnet")
    manager.start(ground.network(count))
    if leased:
        manager.stop(ground.DEVICE)
        (place / "leases").write_text(_lease_file(leased))
        manager.start(ground.network(count))
    bare = _copy(manager, directory)
    times: dict[str, list[float]] = {"file": [], "refnet": [], "another": [], "rewrite": []}
    numbers = itertools.count(count)

    def timed(name: str, call: Callable[[], object], number: int) -> None:
        began = time.perf_counter()
        call()
        ground.ask_for(f"host-{number}.example.org")
        times[name].append(_since(began))

    def of_refnet() -> None:
        host = ground.host(number := next(numbers))
        timed("refnet", lambda: manager.add_host(ground.DEVICE, host), number)

    def of_another() -> None:
        host = ground.host(number := next(numbers))
        timed("another", lambda: DnsmasqManager(directory / "refnet").add_host(ground.DEVICE, host), number)

    def by_file() -> None:
        told = ground.told(number := next(numbers))
        timed("file", lambda: bare.add_file(*told), number)

    def by_rewriting() -> None:
        told = ground.told(number := next(numbers))
        timed("rewrite", lambda: bare.rewrite(*told), number)

    # Both serve the device, one after the other: who asks would get two answers.
    manager.add_host(ground.DEVICE, ground.host(next(numbers)))
    for turn in (of_refnet, of_another):  # not by turns: what another one adds, the first has to read
        for _ in range(rounds):
            turn()
    manager.stop(ground.DEVICE)
    bare.start()
    for _ in range(rounds):
        for turn in random.sample((by_file, by_rewriting), 2):
            turn()
    bare.stop()
    return times


def under_load(count: int, rounds: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Return how many leases a second are answered by a server that is left alone, and while hosts are added to it."""
    directory = ground.prepare()
    manager = DnsmasqManager(directory / "refnet")
    network = ground.network(count)
    manager.start(network)
    bare = _copy(manager, directory)
    _ask(seconds)  # all clients have their leases then
    shutil.copy(directory / "refnet" / ground.DEVICE / "leases", directory / "bare" / "leases")
    manager.stop(ground.DEVICE)
    numbers = itertools.count(count)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("alone", "refnet", "alone by hand", "rewrite")}

    def of_refnet() -> None:
        manager.start(network)
        found["alone"].append(_ask(seconds))
        change = lambda: manager.add_host(ground.DEVICE, ground.host(next(numbers)))  # noqa: E731
        found["refnet"].append(_ask_during(change, seconds))
        manager.stop(ground.DEVICE)

    def of_hand() -> None:
        bare.start()
        found["alone by hand"].append(_ask(seconds))
        found["rewrite"].append(_ask_during(lambda: bare.rewrite(*ground.told(next(numbers))), seconds))
        bare.stop()

    for _ in range(rounds):
        for turn in random.sample((of_refnet, of_hand), 2):
            turn()
    return found


def reading(count: int, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds that it takes to read so many leases, out of both kinds of file."""
    directory = ground.prepare()
    manager = DnsmasqManager(directory / "refnet")
    manager.start(ground.network(1))
    manager.stop(ground.DEVICE)
    place = directory / "refnet" / ground.DEVICE
    place.mkdir(exist_ok=True)
    ends = int(time.time()) + 3600
    file, log = place / "leases", directory / "events"
    file.write_text(_lease_file(count))
    log.write_text(
        "".join(
            json.dumps(
                {
                    "number": number + 1,
                    "time": 1.0,
                    "action": "add",
                    "expires": ends,
                    "address": ground.address(number),
                    "mac": ground.mac(number),
                    "client_id": f"01:{ground.mac(number)}",
                    "name": f"host-{number}",
                }
            )
            + "\n"
            for number in range(count)
        )
    )
    os.utime(file, (ends - 7200, ends - 7200))
    calls: dict[str, Callable[[], Any]] = {
        "split": lambda: [line.split() for line in file.read_text().splitlines()],
        "file": lambda: manager.leases(ground.DEVICE),
        "store": lambda: events.leases(log),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        if len(call()) != count:
            raise RuntimeError(f"{name} has not read {count} leases")
    for _ in range(rounds):
        for name in random.sample(tuple(calls), len(calls)):
            times[name].append(_timed(calls[name]))
    return times


def _lease_file(count: int) -> str:
    """Return what dnsmasq's lease file has if all these hosts have leases for an hour."""
    ends = int(time.time()) + 3600
    return "".join(
        f"{ends} {ground.mac(number)} {ground.address(number)} host-{number} 01:{ground.mac(number)}\n"
        for number in range(count)
    )


def _copy(manager: DnsmasqManager, directory: Path) -> Bare:
    """Return a dnsmasq by hand with what refnet's running one has."""
    pid = manager.running(ground.DEVICE).pid
    read = [Path(f"/proc/{pid}/{name}").read_bytes().decode().split("\0")[:-1] for name in ("cmdline", "environ")]
    return Bare(read[0], read[1], directory / "refnet" / ground.DEVICE, directory / "bare")


def _ask(seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.servers.asking", str(seconds), str(_CLIENTS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _ask_during(change: Callable[[], None], seconds: float) -> dict[str, float]:
    """Have clients ask while a change is made again and again."""
    over, count = threading.Event(), 0
    failures: list[BaseException] = []

    def go_on() -> None:
        nonlocal count
        try:
            while not over.wait(_BETWEEN):
                change()
                count += 1
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        found = _ask(seconds)
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
    return found | {"changes": count / seconds}


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return _since(began)


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
