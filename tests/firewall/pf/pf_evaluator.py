"""pf's evaluation of a layout's lines by the words of pf.conf(5): what becomes of a packet, on any machine.

Only what the layouts of refnet use is understood; anything else is an error, so that nothing is passed over.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shlex
from dataclasses import dataclass, field

from refnet.firewall.pf.layout import Layout

#: Addresses of this host.
SELF = ("10.0.1.1", "10.0.2.1", "fd00:0:0:1::1", "fd00:0:0:2::1")


@dataclass
class Packet:
    """A packet, and the tag that it has."""

    family: int = 4
    protocol: int = 17
    source: str = "10.0.1.2"
    destination: str = "10.0.2.2"
    sport: int = 1000
    dport: int = 2000
    icmp: tuple[int, int] | None = None
    came_by: str | None = "p-a"
    leaves_by: str | None = "p-b"
    tag: str = ""
    counted: dict[str, int] = field(default_factory=dict)


@dataclass
class _Verdict:
    passes: bool | None = None
    tag: str = ""


class _Quick(Exception):
    """The last word."""


def passes(layout: Layout, packet: Packet, *, undecided: bool = True) -> bool:
    """Whether a packet comes through this host: in, if it came by a device, and out, if it leaves by one.

    ``undecided`` is what the main rule set says, in front of the anchors, of what no rule decides.
    """
    if packet.came_by is not None and not _asked(layout, packet, "in", undecided=undecided):
        return False
    return packet.leaves_by is None or _asked(layout, packet, "out", undecided=undecided)


def _asked(layout: Layout, packet: Packet, direction: str, *, undecided: bool) -> bool:
    verdict = _Verdict(tag=packet.tag)
    with contextlib.suppress(_Quick):
        _walk(layout, layout.entrance, packet, direction, verdict)
    packet.tag = verdict.tag
    return undecided if verdict.passes is None else verdict.passes


def _walk(layout: Layout, lines: list[str], packet: Packet, direction: str, verdict: _Verdict) -> None:
    for line in lines:
        words = _Words(line)
        if not words.matches(packet, direction, verdict.tag):
            continue
        if words.tag is not None:
            verdict.tag = words.tag
        if words.label:
            packet.counted[words.label] = packet.counted.get(words.label, 0) + 1
        if words.kind == "anchor":
            assert words.anchor is not None
            _walk(layout, layout.anchors[words.anchor.removeprefix("../")], packet, direction, verdict)
        elif words.kind in ("pass", "block"):
            verdict.passes = words.kind == "pass"
            if words.quick:
                raise _Quick


class _Words:
    """A line, taken apart."""

    def __init__(self, line: str) -> None:
        left = shlex.split(line.replace("(self:broadcast)", "self:broadcast").replace("(self)", "self"))
        self.kind = left.pop(0)
        self.anchor = left.pop(0) if self.kind == "anchor" else None
        self.direction = self.device = self.tag = self.tagged = self.label = None
        self.family: int | None = None
        self.protocol: int | None = None
        self.quick = self.no_device = self.not_tagged = False
        self.ends: dict[str, tuple[bool, str]] = {}
        self.ports: dict[str, tuple[int, int]] = {}
        self.icmp: list[int] = []
        side = ""
        while left:
            word = left.pop(0)
            negated = word == "!"
            if negated:
                word = left.pop(0)
            if word in ("in", "out"):
                self.direction = word
            elif word in ("drop", "return-rst", "log", "allow-opts", "state", "(sloppy)") or word.endswith(")"):
                pass
            elif word.startswith("return-icmp("):
                left.pop(0)
            elif word in ("no", "keep"):
                assert left.pop(0) == "state"
            elif word == "flags":
                left.pop(0)
            elif word == "quick":
                self.quick = True
            elif word == "on":
                negated = left[0] == "!"
                self.no_device = negated and bool(left.pop(0))
                self.device = left.pop(0)
            elif word in ("inet", "inet6"):
                self.family = 4 if word == "inet" else 6
            elif word == "proto":
                self.protocol = int(left.pop(0))
            elif word in ("from", "to"):
                side = word
                negated = left[0] == "!"
                if negated:
                    left.pop(0)
                self.ends[side] = (negated, left.pop(0))
            elif word == "port":
                first = left.pop(0)
                low, _, high = (left.pop(0) if first == "=" else first).partition(":")
                self.ports[side] = (int(low), int(high or low))
            elif word in ("icmp-type", "icmp6-type", "code"):
                self.icmp.append(int(left.pop(0)))
            elif word == "tag":
                self.tag = left.pop(0)
            elif word == "tagged":
                self.not_tagged, self.tagged = negated, left.pop(0)
            elif word == "label":
                label = left.pop(0)
                self.label = self.label or label
            else:
                raise AssertionError(f"{word!r} in {line!r} is not understood")

    def matches(self, packet: Packet, direction: str, tag: str) -> bool:
        device = packet.came_by if direction == "in" else packet.leaves_by
        ports = {"from": packet.sport, "to": packet.dport}
        ends = {"from": packet.source, "to": packet.destination}
        return (
            self.direction in (None, direction)
            and (self.device is None or (device == self.device) is not self.no_device)
            and self.family in (None, packet.family)
            and self.protocol in (None, packet.protocol)
            and all(_is_end(ends[side], address) is not negated for side, (negated, address) in self.ends.items())
            and all(low <= ports[side] <= high for side, (low, high) in self.ports.items())
            and (not self.icmp or (packet.icmp is not None and list(packet.icmp[: len(self.icmp)]) == self.icmp))
            and (self.tagged is None or (tag == self.tagged) is not self.not_tagged)
        )


def _is_end(end: str, asked: str) -> bool:
    if asked == "any":
        return True
    if asked.startswith("self"):
        return asked == "self" and end in SELF
    address, network = ipaddress.ip_address(end), ipaddress.ip_network(asked)
    return address.version == network.version and address in network
