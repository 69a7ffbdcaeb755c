"""Report documents for tests: of every spec of the manifest, with the evidence that a run leaves, and judged anew."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from conformance import report as reports
from conformance import spec as specs
from conformance.spec import LEVELS, Spec
from conformance.topology import frames
from conformance.verdict import Status, judge

FIXTURE = Path(__file__).parent / "data" / "report-failures.json"
#: Elements that have no end tag.
VOID = {"meta", "input", "br", "hr", "img", "link", "wbr"}
#: What the documents are about, if nothing else is said.
MANIFEST = [one for one in specs.manifest() if one.area == "netdev"]
#: Of another interface, whatever the suite says of it.
FIREWALL = [
    Spec("XF-01", "What a rule drops does not arrive.", "core", "firewall", "dropped", ("filter",)),
    Spec("XF-02", "What a rule accepts arrives.", "core", "firewall", "accepted", ("filter",)),
    Spec("XF-03", "An address is translated.", "full", "firewall", "translated", ("nat",)),
]
SCRIPT = "<script>alert(1)</script>"

_LINKS = """$ ip -d link show
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00 promiscuity 0 minmtu 0 maxmtu 0
2: br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000
    link/ether 3e:1d:28:a8:0f:11 brd ff:ff:ff:ff:ff:ff promiscuity 0 minmtu 68 maxmtu 65535
3: p-a@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master br0 state UP mode DEFAULT group default
"""
_RULES = """$ nft list ruleset
table inet refnet {
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tether type 0x88b5 counter packets 3 bytes 234 drop
\t}
}
"""
_DIFF = """--- before
+++ after
 link br0 exists
-link br0.ageing_time 30000
+link br0.ageing_time 6000
+link tap7 is new
"""


class Page(HTMLParser):
    """What a page is made of, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in dict.fromkeys(self.open):
            self.texts[tag][-1] += data

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return " ".join(" ".join(self.texts.get(tag, [])).split())


def fixture() -> dict[str, Any]:
    """Return the committed document: every kind of outcome, and texts that mean harm."""
    loaded: dict[str, Any] = json.loads(FIXTURE.read_text())
    return loaded


def rejudged(document: dict[str, Any], *statuses: str, trouble: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the document of a run in which only the specs with these statuses exist."""
    changed = copy.deepcopy(document)
    changed["specs"] = [entry for entry in changed["specs"] if entry["status"] in statuses]
    changed["selected"] = changed["heard_of"] = [entry["id"] for entry in changed["specs"]]
    changed["manifest"]["levels"] = {
        level: [entry["id"] for entry in changed["specs"] if entry["level"] == level] for level in LEVELS
    }
    changed["manifest"]["areas"] = by_area(changed["specs"])
    changed["trouble"] = list(trouble)
    changed["verdict"] = verdict_of(changed)
    return changed


def by_area(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the ids of specs by area."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry["area"], []).append(entry["id"])
    return found


def verdict_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the suite's own judge says of a document."""
    levels = {spec_id: level for level, members in document["manifest"]["levels"].items() for spec_id in members}
    areas = {spec_id: area for area, members in document["manifest"]["areas"].items() for spec_id in members}
    members = [Spec(spec_id, "", level, areas[spec_id], "") for spec_id, level in levels.items()]
    statuses = {entry["id"]: Status(entry["status"]) for entry in document["specs"]}
    heard = {spec_id: status for spec_id, status in statuses.items() if spec_id in document["heard_of"]}
    return reports.plain_verdict(judge(members, document["selected"], heard, document["areas"]), document["trouble"])


def everywhere(value: Any, words: str) -> Any:
    """Append words to every text in a document that somebody else can have written."""
    if isinstance(value, dict):
        kept = ("id", "level", "area", "areas", "status", "started", "word", "selected", "heard_of", "levels")
        return {key: part if key in kept else everywhere(part, words) for key, part in value.items()}
    if isinstance(value, list):
        return [everywhere(part, words) for part in value]
    return value + words if isinstance(value, str) and value else value


def of_manifest(
    statuses: Mapping[str, str],
    *,
    driver: str = "acme_net.driver:AcmeNetDevDriver",
    environment: str = "local",
    kernel: str = "6.12.41-amd64",
    details: Mapping[str, str] | None = None,
    workers: int = 2,
    directory: Path | None = None,
    areas: Sequence[str] = ("netdev",),
    judged: Sequence[str] = (),
    firewall: str = "acme_net.firewall:AcmeFirewall",
) -> dict[str, Any]:
    """Return the report of a run of all specs: passed but for those in ``statuses``, by id or by capability.

    The suite that made it has specs of these areas; of ``judged`` only, the run was about them.

    With a directory, those that went wrong have their evidence there.
    """
    document = fixture()
    classes = {"netdev": driver, "firewall": firewall}
    known = {**document["drivers"]["netdev"], "known_deviations": {}}
    document["drivers"] = {area: {**known, "class": classes[area]} for area in judged or areas}
    if "firewall" in document["drivers"]:
        said = {name: {"area": "firewall", "driver": None, "environment": None} for name in ("filter", "nat")}
        document["capabilities"] = {**document["capabilities"], **said}
    document["areas"] = list(judged)
    document["command"] = ["refnet-conformance", "run", "--env", environment, "--netdev", driver]
    document["environment"].update(name=environment, kernel=kernel, details=dict(details or {}))
    manifest = [one for one in (*MANIFEST, *FIREWALL) if one.area in areas]
    chosen = [one for one in manifest if one.area in document["drivers"]]
    random_times = random.Random(7)
    free = [0.4] * workers
    entries = []
    for one in chosen:
        reached = [statuses[name] for name in (one.id, *one.capabilities) if name in statuses]
        status = reached[0] if reached else "passed"
        seconds = 5.2 if status == "failed" else round(0.08 + random_times.random() ** 3, 4)
        worker = free.index(min(free))
        entry = {
            **json.loads(json.dumps(asdict(one))),
            "status": status,
            "message": _message(status, one),
            "started": round(free[worker], 4),
            "seconds": seconds,
            "worker": f"gw{worker}",
            "mutant": None,
            "traceback": "conformance/specs/netdev/test_bridge.py:35: AssertionError" if status == "failed" else "",
            "calls": ["create_bridge('br0')", "add_bridge_port('br0', 'p-a')"] if status == "failed" else [],
            "evidence": [],
            "run": 0,
            "repeat": f"refnet-conformance run --env {environment} --only {one.id} "
            f"--{one.area} {classes[one.area]} --seed 7 --keep",
        }
        free[worker] += seconds + 0.01
        if directory and status in ("failed", "error", "known-deviation"):
            entry["evidence"] = write_evidence(directory, one.id)
        entries.append(entry)
    document["specs"] = entries
    document["selected"] = document["heard_of"] = [one.id for one in chosen]
    document["manifest"] = {
        "hash": specs.manifest_hash(manifest),
        "levels": {level: [one.id for one in manifest if one.level == level] for level in LEVELS},
        "areas": specs.by_area(manifest),
    }
    document["seconds"] = round(max(free) + 1, 2)
    run = {key: document[key] for key in ("environment", "capabilities", "started")}
    document["runs"] = [{**run, "seconds": round(max(free), 2), "log": ""}]
    document["trouble"] = []
    document["verdict"] = verdict_of(document)
    return document


def write_evidence(directory: Path, spec_id: str) -> list[str]:
    """Write what a spec that went wrong leaves, captures in the suite's own format among it; return the paths."""
    place = directory / "evidence" / spec_id
    place.mkdir(parents=True, exist_ok=True)
    a, b = "02:da:cd:1f:22:b4", "02:da:cd:90:01:0b"
    sent = [
        frames.build(b, frames.BROADCAST, b"token-1"),
        frames.build(a, b, b"token-2", vlan=5),
        frames.build(a, b, b"token-3", size=700),
    ]
    seen = {
        "a": [(0.0021, False, sent[0]), (0.01, True, sent[1]), (0.02, True, sent[2])],
        "b": [(0.002, True, sent[0]), (0.0102, False, sent[1])],
        "c": [(0.0022, False, sent[0])],
    }
    start = 1_795_000_000.0
    for name, captured in seen.items():
        rows = [frames.Captured(start + when, was_sent, frame.data) for when, was_sent, frame in captured]
        (place / f"{name}.pcap").write_bytes(frames.pcap(rows))
    texts = {
        "links.txt": _LINKS,
        "rules.txt": _RULES,
        "state.diff": _DIFF,
        "calls.txt": "create_bridge('br0')\n",
        "console.log": "".join(f"[{number / 100:10.6f}] a line of the kernel\r\n" for number in range(900)),
    }
    for name, text in texts.items():
        (place / name).write_text(text)
    return sorted(str(path.relative_to(directory)) for path in place.iterdir())


def _message(status: str, one: Spec) -> str:
    return {
        "passed": "",
        "failed": "b makes itself known: b sent 02:da:cd:90:01:0b > ff:ff:ff:ff:ff:ff type 0x88b5 78 bytes, and it did "
        "not arrive at c",
        "error": "SuiteError: the fence did not arrive: nothing can be said about what else did not",
        "known-deviation": "the address was forgotten after 30.0 s, and 60 s were asked for",
        "unsupported": f'{", ".join(one.capabilities) or "second-user"}: the driver says "the kernel knows no link of '
        "kind 'vlan' (Unknown device type), and loads no module for it\"",
        "not-applicable": "taps are always there on this system",
    }[status]
