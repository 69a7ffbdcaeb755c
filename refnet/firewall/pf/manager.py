"""The firewall of FreeBSD: rules in anchors of pf(4), which pfctl(8) loads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from refnet import locks, names
from refnet.errors import RefnetError, TeardownFailed, Unsupported, operation
from refnet.firewall.actions import Accept, Jump, Return
from refnet.firewall.manager import DEFAULT_LOCK_LIMIT, Capability, Counter, FirewallManager, Standing
from refnet.firewall.model import Chain, Change, Key, Table
from refnet.firewall.pf import connections, filtering, main_rules, reading, tool, translating
from refnet.firewall.pf.layout import Layout, Written, laid_out
from refnet.firewall.pf.matching import NEVER, quoted
from refnet.firewall.rules import Rule
from refnet.names import IPAddress

_BRIDGED = (
    "pf's ether rules are asked about what if_bridge(4) forwards when it leaves, if at all, and nothing says which "
    "port it came by then"
)
_LACKS = {
    Capability.TRANSLATED_STATE: "pf cannot ask in a rule whether a connection has been translated",
    Capability.RATE_LIMIT: "pf limits states, and not the packets that a rule matches",
    Capability.MARK: "packets have no mark on FreeBSD; pf has names for them (tags), of which a packet has one",
    Capability.SOURCE_MAC: "pf's rules about addresses cannot ask for a MAC address",
    Capability.CHECKSUM_FILL: "pf cannot compute checksums; FreeBSD computes them where a device would not",
    Capability.POSITION: "where pf asks refnet's rules is where the main rule set says so: the administrator's choice",
    Capability.LAYER2: _BRIDGED,
    Capability.NEIGHBOUR_TARGETS: _BRIDGED,
}
_WHOSE = re.compile(r'label "refnet ([0-9a-f]{12})"')


class PfManager(FirewallManager):
    """Rules under the anchors ``refnet/<owner>``; the main rule set is never touched, and has to call them.

    What is another way than on Linux is in docs/freebsd.md.
    """

    lacks: Mapping[Capability, str] = MappingProxyType(_LACKS)  # type: ignore[misc]

    def __init__(
        self,
        owner: str,
        *,
        position: Literal["first", "last"] = "first",
        lock_time_limit: float = DEFAULT_LOCK_LIMIT,
    ) -> None:
        """Start with an empty model; nothing is looked at."""
        super().__init__(owner, position=position, lock_time_limit=lock_time_limit)
        self._anchor = f"refnet/{self.owner}"
        self._pfctl = tool.Pfctl(self.lock_time_limit)
        self._layout = Layout()

    # -- the host --------------------------------------------------------------------------------------

    @operation
    def standing(self) -> tuple[Standing, ...]:
        """Read this owner's chains from pf."""
        return reading.standing(self._all())

    @operation
    def counters(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Counter, ...]:
        """Return what each rule of a chain has matched; with rules by connection state, all packets of a connection."""
        with self._lock:
            asked = self._model.chain(table, chain)
            names = self._layout.of_chain.get(asked.key, [])
            found = reading.counters(line for name in names for line in self._lines_in(name))
            if asked.table is Table.NAT:
                self._add(found, self._translated())
            return tuple(found.get(written.id, Counter(0, 0)) for written in asked.rendered())

    @operation
    def forget_connections(self, address: str | IPAddress) -> int:
        """Have pf forget the states of an address; return how many connections they were."""
        parsed = names.ip_address(address, "address")
        return connections.forget(self._pfctl, parsed)

    @operation
    def enable(self) -> None:
        """Switch pf on, as ``pfctl -e`` does; that it is on already is no error."""
        self._pfctl.enable()

    # -- what a backend implements ---------------------------------------------------------------------

    def _probe(self, capability: Capability) -> str | None:
        try:
            self._pfctl.is_enabled()
            if capability in (Capability.FIREWALL_IPV6, Capability.NAT_IPV6) and not tool.has_ipv6():
                return "this kernel has no IPv6"
        except RefnetError as error:
            return str(error)
        return None

    def _render(self, chain: Chain, rule: Rule) -> Any:
        if chain.table is Table.MANGLE:
            # What only leads on is possible, and does nothing.
            if not isinstance(rule.action, Accept | Jump | Return):
                words = f"pf has no table mangle, where {type(rule.action).__name__} could be done"
                raise Unsupported(words, capability=Capability.MARK)
            return Written(rule, chain)
        if chain.table is Table.NAT:
            translating.check(rule)
            translating.check_way(rule, chain, self._model)
        else:
            filtering.check(rule)
        return Written(rule, chain)

    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        if not any(change.anew or change.removed or change.edits for change in changes.values()):
            return
        before = self._layout.digests()
        layout = self._laid_out()
        with self._held() as keep:
            entrance = reading.parsed(self._pfctl.ask("-P", "-v", "-a", self._anchor, "-s", "rules"))
            if entrance.digests() != (before if self._layout else {}):
                self._bring_about(layout, self._all(), keep)
                return
            if "g-" in layout.anchors and "g-" not in self._layout.anchors:
                self._see_that_it_goes_with_others(layout, self._owners())
            stands = reading.Anchors(entrance.entrance)
            after = layout.digests()
            for name in (name for name, digest in before.items() if name and after.get(name) != digest):
                stands.anchors[name] = self._lines_in(name)
            self._load(layout, before, stands, keep)

    def _commit_all(self) -> None:
        layout = self._laid_out()
        with self._held() as keep:
            self._bring_about(layout, self._all(), keep)

    def _remove_all(self) -> None:
        with self._held() as keep:
            names = self._children()
            self._layout = Layout()
            if names is None:
                return
            errors: list[RefnetError] = []
            # The entrance first: at once, no packet meets anything of the others any more.
            for anchor in (self._anchor, *(f"{self._anchor}/{name}" for name in names)):
                try:
                    self._pfctl.empty(anchor, keep)
                except RefnetError as error:
                    errors.append(error)
            if errors:
                words = f"{len(errors)} of the anchors under {self._anchor} could not be emptied: {errors[0]}"
                raise TeardownFailed(words, errors=errors)

    # -- the way to it ---------------------------------------------------------------------------------

    def _held(self) -> _Held:
        return _Held(self.lock_time_limit)

    def _all(self) -> reading.Anchors:
        return reading.parsed(self._pfctl.ask("-P", "-v", "-a", f"{self._anchor}/*", "-s", "rules"))

    def _lines_in(self, name: str) -> list[reading.Line]:
        anchor = f"{self._anchor}/{name}" if name else self._anchor
        return reading.parsed(self._pfctl.ask("-P", "-v", "-a", anchor, "-s", "rules")).entrance

    def _children(self) -> list[str] | None:
        """Return the names of the anchors under the owner's; None: there is nothing of the owner's."""
        return self._owners().get(self.owner)

    def _owners(self) -> dict[str, list[str]]:
        """Return the names of the anchors of each owner."""
        found: dict[str, list[str]] = {}
        for path in self._pfctl.ask("-v", "-a", "refnet", "-s", "Anchors").split():
            _, _, rest = path.partition("/")
            owner, _, name = rest.partition("/")
            if owner:
                found.setdefault(owner, []).extend([name] if name else [])
        return found

    def _see_that_it_goes_with_others(self, layout: Layout, owners: Mapping[str, list[str]]) -> None:
        """Refuse what one tag of a packet cannot say of two owners' rules: that it waits for the decision of both.

        Raises:
            Unsupported: one of them has rules of hook forward about the device that a packet leaves by.
        """
        waits = any(name.startswith("g-") for name in layout.anchors)
        for owner, anchors in owners.items():
            others_wait = any(name.startswith("g-") for name in anchors)
            met = others_wait if not waits else any(name in ("i", "o", "f") for name in anchors)
            if owner != self.owner and met and layout.entrance and self._stands(owner):
                who = self.owner if waits else owner
                raise Unsupported(
                    f"{who} has rules of hook forward about the device that a packet leaves by: pf can do that for one "
                    f"owner only, and here are {self.owner} and {owner}",
                    capability="out-interface",
                )

    def _stands(self, owner: str) -> bool:
        # An anchor that was emptied is listed for some seconds more.
        return bool(self._pfctl.ask("-a", f"refnet/{owner}", "-s", "rules").strip())

    def _laid_out(self) -> Layout:
        """Return what is to stand, when pf is such that packets would meet it.

        Raises:
            NotEnabled, AnchorNotReferenced: it is not.
        """
        if not any(chain.hook for chain in self._model.chains.values()):
            return Layout()
        has_nat = any(table is Table.NAT for table, _ in self._model.chains)
        remembers = main_rules.remembers(self._pfctl, self.owner, translates=has_nat)
        return laid_out(self.owner, self._model, tool.devices() if has_nat else (), remembers=remembers)

    def _bring_about(self, layout: Layout, stands: reading.Anchors, keep: tuple[int, ...]) -> None:
        """Load what is not as it is to be, and remove what is not to be."""
        owners = self._owners()
        children = owners.get(self.owner)
        self._see_that_it_goes_with_others(layout, owners)
        if not layout and children is None:
            self._layout = layout
            return
        said = stands.digests()
        right = {
            name: digest
            for name, digest in said.items()
            if not name or _names(layout.anchors.get(name, ())) == [line.rule for line in stands.anchors.get(name, [])]
        }
        if self._translated_lines() != len(layout.translation):
            right.pop("", None)
        self._load(layout, right, stands, keep)
        for name in children or ():
            if name not in layout.anchors and name not in said:
                self._pfctl.empty(f"{self._anchor}/{name}", keep)

    def _load(self, layout: Layout, right: Mapping[str, str], stands: reading.Anchors, keep: tuple[int, ...]) -> None:
        """Load the entrance, with the anchors whose digests are not right; empty those that are no more."""
        digests = layout.digests()
        if digests == right:
            self._layout = layout
            return
        anew = {name for name in layout.anchors if right.get(name) != digests[name]}
        gone = [name for name in right if name and name not in layout.anchors]
        counted = reading.counters(
            [*stands.entrance, *(line for name in (*anew, *gone) for line in stands.anchors.get(name, []))]
        )
        translated = self._translated() if self._layout.translating else {}
        if any(one.packets for one in translated.values()):
            # pf's rules of translation have no labels to keep in what they have counted: their words have.
            for name in (name for name in layout.anchors if name.startswith("n~") and name not in anew):
                anew.add(name)
                self._add(counted, reading.counters(self._lines_in(name)))
            self._add(counted, translated)
        self._pfctl.load(self._anchor, _text(layout, digests, anew, counted), keep)
        self._layout = layout
        for name in gone:
            self._pfctl.empty(f"{self._anchor}/{name}", keep)

    def _translated(self) -> dict[str, Counter]:
        lines = reading.parsed(self._pfctl.ask("-P", "-v", "-a", self._anchor, "-s", "nat")).entrance
        found: dict[str, Counter] = {}
        if len(lines) == len(self._layout.translating):
            for name, line in zip(self._layout.translating, lines, strict=True):
                self._add(found, {name: line.counted})
        return found

    def _translated_lines(self) -> int:
        return len(reading.parsed(self._pfctl.ask("-P", "-v", "-a", self._anchor, "-s", "nat")).entrance)

    @staticmethod
    def _add(counted: dict[str, Counter], more: Mapping[str, Counter]) -> None:
        for name, one in more.items():
            before = counted.get(name, Counter(0, 0))
            counted[name] = Counter(before.packets + one.packets, before.bytes + one.bytes)


class _Held:
    """refnet's own lock about pf, which a pfctl that was started goes on holding if this process is killed."""

    def __init__(self, time_limit: float) -> None:
        self._lock = locks.held("pf", time_limit=time_limit)

    def __enter__(self) -> tuple[int, ...]:
        return (self._lock.__enter__(),)

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)


def _names(lines: Iterable[str]) -> list[str | None]:
    """Return of each line which rule of the model it is of."""
    found = []
    for line in lines:
        match = _WHOSE.search(line)
        found.append(match[1] if match else None)
    return found


def _text(layout: Layout, digests: Mapping[str, str], anew: set[str], counted: dict[str, Counter]) -> str:
    """Return what pfctl is given: the entrance, with what is to be loaded anew in braces."""
    left = dict(counted)

    def with_counts(line: str) -> str:
        """Say in a rule's label what it has counted so far: once, in the first of its lines."""
        match = _WHOSE.search(line)
        before = left.pop(match[1], None) if match else None
        if match is None or before is None or not before.packets:
            return line
        return line.replace(match[0], f'label "refnet {match[1]} {before.packets}/{before.bytes}"', 1)

    lines = [*layout.translation]
    if layout:
        lines.append(f'match on {quoted(NEVER)} label "refnet is {digests[""]}"')
    for name, body in layout.anchors.items():
        lines.append(f'anchor {quoted(name)} on {quoted(NEVER)} label "refnet is {digests[name]}"')
        if name in anew:
            lines[-1] += " {"
            lines += [with_counts(line) for line in body]
            lines.append("}")
    lines += [with_counts(line) for line in layout.entrance]
    return "".join(f"{line}\n" for line in lines)
