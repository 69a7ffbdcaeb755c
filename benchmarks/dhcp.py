"""A DHCP server of many hosts: its start, a host more, leases meanwhile; reading leases; and the event program."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Failed, Spread, last_words, progress, ratios, run_child
from benchmarks.plan import Plan
from benchmarks.results import Section, Table

_EVENT = ("add", "52:54:00:12:34:56", "192.0.2.10", "host-1")
#: What dnsmasq tells the program of a lease.
_VARIABLES = {
    "DNSMASQ_LEASE_EXPIRES": "1800000000",
    "DNSMASQ_TIME_REMAINING": "3600",
    "DNSMASQ_CLIENT_ID": "01:52:54:00:12:34:56",
    "DNSMASQ_INTERFACE": "br100",
    "DNSMASQ_DOMAIN": "example.org",
    "DNSMASQ_SUPPLIED_HOSTNAME": "host-1",
    "DNSMASQ_TAGS": "known br100",
    "DNSMASQ_REQUESTED_OPTIONS": "1,3,6,12,15,26,119,121",
}


def measure(plan: Plan) -> list[Section]:
    """Measure all of it and return the sections.

    Raises:
        Failed: there is no dnsmasq, or a process that measures ended with an error.
    """
    if shutil.which("dnsmasq") is None:
        raise Failed("there is no dnsmasq (Debian's package dnsmasq-base)")
    return [_starting(plan), _adding(plan), _under_load(plan), _reading(plan), _event(plan)]


def _starting(plan: Plan) -> Section:
    count = plan.dhcp_hosts[-1]
    progress(f"DHCP: the start of {count:,} hosts")
    times = run_child("dhcp", "starting", str(count), str(plan.dhcp_starts))
    bare, refnet = times["bare"], times["refnet"]
    rows = [
        ("dnsmasq by hand, with the same files and arguments", Spread.of(bare).text(".0f"), "1"),
        ("refnet: `start(network)`", Spread.of(refnet).text(".0f"), ratios(refnet, bare).text()),
    ]
    return Section(
        f"DHCP: the start of a network of {count:,} hosts",
        "Each host has a MAC address, an address and a name; DNS is served. Until dnsmasq's log says that it has read "
        "all files. refnet is given the network, writes the files into an empty directory, and starts the server; by "
        f"hand, the files are there. By turns, in an order drawn anew each time. Rounds: {plan.dhcp_starts}.",
        [Table(("who", "ms", "ratio to dnsmasq by hand"), rows)],
        [
            f"The goal is at most 1.5. Here: {ratios(refnet, bare).median:.2f}.",
            f"Making the network of {count:,} `Host` objects, which validates them, took {times['model'][0]:.0f} ms "
            "before.",
            "All files are in memory (tmpfs) here and in what follows.",
        ],
    )


def _adding(plan: Plan) -> Section:
    few, many = plan.dhcp_hosts[0], plan.dhcp_hosts[-1]
    found = {}
    for count, leased in ((few, 0), (many, 0), (many, plan.dhcp_leased)):
        progress(f"DHCP: one host more, to {count:,} of which {leased:,} have leases")
        # With leases it takes long, and a few turns are enough to know it.
        rounds = plan.dhcp_changes // 3 if leased else plan.dhcp_changes
        found[count, leased] = run_child("dhcp", "adding", str(count), str(rounds), str(leased))
    titles = {
        "file": "by hand: files of its own, which dnsmasq reads by itself",
        "refnet": "refnet: `add_host(device, host)`",
        "another": "refnet: the same by a manager that is new each time",
        "rewrite": "Nova's way: all files written again, and SIGHUP",
    }
    rows = []
    for name, title in titles.items():
        row = [title]
        for times in found.values():
            row += [Spread.of(times[name]).text(".1f"), f"{_median(times, name) / _median(times, 'file'):.2f}"]
        rows.append(row)
    headings = ["who"]
    for count, leased in found:
        headings += [f"{count:,} hosts{f', {leased:,} leases' if leased else ''}: ms", "ratio to by hand"]
    least, most, full = found.values()
    growth = (f"{title} {_median(most, name) / _median(least, name):.1f}" for name, title in _SHORT.items())
    to_nova = [_median(times, "refnet") / _median(times, "rewrite") for times in (least, most, full)]
    return Section(
        "DHCP: one host more",
        "A host that is new becomes known to a running server: until its log says that it has read what is new, and it "
        "answers a DNS query for the new host's name. Nova's way as Nova did it (the whole file, truncated and "
        "written), but that Nova did not wait, with the lines of the others at hand. By hand and Nova's way take "
        "turns; refnet has a server of its own before that, with the same files, so that ratios are of medians. "
        f"Rounds: {plan.dhcp_changes} each, with leases {plan.dhcp_changes // 3}.",
        [Table(headings, rows)],
        [
            f"refnet's own work is not to grow with the hosts that are there. From {few:,} to {many:,} hosts the times "
            f"grow by a factor of: {', '.join(growth)}.",
            "What grows by hand is dnsmasq's: for each file that is new it goes over all its hosts, to see whether a "
            "name that it has now is one of theirs (2.90, `dhcp_update_configs`), and over all leases, looking for "
            "each among all hosts (`lease_update_from_configs`), once for the file with the name and once for the one "
            "with the addresses. After a SIGHUP it does so once.",
            f"`add_host` takes {to_nova[0]:.2f} of the time of Nova's way at {few:,} hosts, {to_nova[1]:.2f} at "
            f"{many:,}, and {to_nova[2]:.2f} if {plan.dhcp_leased:,} of them have leases.",
            "A manager that is new reads the hosts that are kept, to see that none has the new one's address or name: "
            "that is what each call of a command pays, and what an agent that keeps its manager does not.",
        ],
    )


def _median(times: dict[str, list[float]], name: str) -> float:
    return Spread.of(times[name]).median


_SHORT = {"file": "by hand", "refnet": "`add_host`", "another": "by a new manager", "rewrite": "Nova's way"}


def _under_load(plan: Plan) -> Section:
    count = plan.dhcp_hosts[-1]
    progress("DHCP: leases while hosts are added")
    found = run_child("dhcp", "under_load", str(count), str(plan.dhcp_loads), str(plan.dhcp_seconds))
    rows = []
    for name, base, title in (
        ("alone", None, "refnet's server, left alone"),
        ("refnet", "alone", "while refnet adds hosts, `add_host`"),
        ("alone by hand", None, "dnsmasq by hand, left alone"),
        ("rewrite", "alone by hand", "while hosts are added in Nova's way"),
    ):
        leases = [one["leases"] for one in found[name]]
        compared = ratios(leases, (one["leases"] for one in found[base])).text() if base else "1"
        changes = Spread.of(one["changes"] for one in found[name]).text(".1f") if base else "0"
        slowest = Spread.of(one["slowest"] * 1e3 for one in found[name]).text(".0f")
        failed = (str(int(sum(one[what] for one in found[name]))) for what in ("repeated", "refused"))
        rows.append((title, changes, Spread.of(leases).text(".0f"), compared, slowest, *failed))
    headings = (
        "server",
        "hosts added a second",
        "leases a second",
        "ratio to left alone",
        "slowest: ms",
        "asked again",
        "refused",
    )
    return Section(
        "DHCP: leases while hosts are added",
        f"200 clients of a network of {count:,} hosts ask, eight at a time and as fast as they are answered (DISCOVER, "
        "OFFER, REQUEST, ACK), on a cable, from a process of their own; a tenth of a second after each host that was "
        f"added, the next one is. {plan.dhcp_seconds:g} s each, by turns. Rounds: {plan.dhcp_loads}.",
        [Table(headings, rows)],
        [
            "*Slowest* is the longest that a client took from DISCOVER to ACK, in a round. *Asked again*: messages "
            "that had no answer for a second; *refused*: by a DHCPNAK; both in all rounds.",
            "Two cores are shared by the server, the clients, and what adds hosts. Whichever way it is told of a host, "
            "dnsmasq then looks among all hosts for each client that has a lease.",
        ],
    )


def _reading(plan: Plan) -> Section:
    count = plan.dhcp_hosts[-1]
    progress("DHCP: reading leases")
    times = run_child("dhcp", "reading", str(count), str(plan.dhcp_reads))
    split = times["split"]
    rows = [
        ("floor: `line.split()`", Spread.of(split).text(".1f"), "1"),
        ("refnet: `leases(device)`", Spread.of(times["file"]).text(".1f"), ratios(times["file"], split).text(".1f")),
        (
            "refnet: `events.leases(log)`, with `lease_store`",
            Spread.of(times["store"]).text(".1f"),
            ratios(times["store"], split).text(".1f"),
        ),
    ]
    return Section(
        f"DHCP: reading {count:,} leases",
        f"By turns. Rounds: {plan.dhcp_reads}.",
        [Table(("who", "ms", "ratio to the floor"), rows)],
        [f"The goal is less than 50 ms. `leases(device)` here: {Spread.of(times['file']).median:.1f} ms."],
    )


# -- the event program ------------------------------------------------------------------------------------


def _event(plan: Plan) -> Section:
    progress("DHCP: the event program")
    with tempfile.TemporaryDirectory(prefix="refnet-bench-") as name:
        times = _event_times(Path(name), plan.event_rounds)
    floor = times["floor"]
    rows = [("floor: `python3 -c pass`", Spread.of(floor).text(".1f"), "1")]
    for key, title in (
        ("log", "the program as dnsmasq calls it, to a log"),
        ("socket", "the same, to a socket"),
        ("store", "the same, to a log that keeps the leases"),
        ("module", "`python3 -m refnet.dhcp_event`, to a log"),
    ):
        rows.append((title, Spread.of(times[key]).text(".1f"), ratios(times[key], floor).text()))
    worst = max(ratios(times[key], floor).median for key in ("log", "socket", "store"))
    return Section(
        "DHCP: a lease event",
        "`refnet-dhcp-event` from start to exit, with what dnsmasq tells it of a new lease, and the same Python that "
        f"does nothing. By turns, in an order drawn anew each time. Rounds: {plan.event_rounds}.",
        [Table(("what", "ms", "ratio to the floor"), rows)],
        [
            f"The goal is at most 1.5. The most of the three ways that dnsmasq calls it: {worst:.2f}.",
            "As dnsmasq calls it, it is a single file that runs with `-IS`: without the packages that are installed, "
            "which the floor looks for.",
            "A log that keeps the leases is brought to the disk (fsync) before the program ends.",
        ],
    )


def _event_times(directory: Path, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each way, from start to exit."""
    program = directory / "event"
    source = (ROOT / "refnet" / "dhcp_event.py").read_text()
    program.write_text(f"#!{sys.executable} -IS\n{source}")
    program.chmod(0o755)
    log, listener = str(directory / "events"), str(directory / "socket")
    ways: dict[str, tuple[list[str], dict[str, str]]] = {
        "floor": ([sys.executable, "-c", "pass"], {}),
        "log": ([str(program), *_EVENT], {"REFNET_DHCP_EVENTS": log}),
        "socket": ([str(program), *_EVENT], {"REFNET_DHCP_SOCKET": listener}),
        "store": ([str(program), *_EVENT], {"REFNET_DHCP_EVENTS": log, "REFNET_DHCP_STORE": "1"}),
        "module": ([sys.executable, "-m", "refnet.dhcp_event", *_EVENT], {"REFNET_DHCP_EVENTS": log}),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(listener)
        listening.listen(8)
        thread = threading.Thread(target=_take, args=(listening, rounds + 1), daemon=True)
        thread.start()
        for number in range(rounds + 1):
            for name in random.sample(tuple(ways), len(ways)):
                took = _run(*ways[name])
                if number:  # what is imported for the first time has to be compiled
                    times[name].append(took)
        thread.join(30)
    return times


def _take(listening: socket.socket, count: int) -> None:
    for _ in range(count):
        connection, _ = listening.accept()
        with connection:
            while connection.recv(65536):
                pass


def _run(command: list[str], variables: dict[str, str]) -> float:
    environment: dict[str, Any] = {"PATH": os.environ["PATH"], **_VARIABLES, **variables}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    took = (time.perf_counter() - began) * 1e3
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {last_words(done.stderr)}")
    return took
