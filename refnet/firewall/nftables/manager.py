"""The firewall over nftables: :class:`NftablesManager`."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from refnet import locks
from refnet.errors import CommandFailed, RefnetError, RuleError, TeardownFailed, Unsupported
from refnet.firewall import conntrack, ipv6
from refnet.firewall.capabilities import Capability
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.manager import DEFAULT_LOCK_LIMIT, Counter, FirewallManager, Standing
from refnet.firewall.model import Chain, Change, Hook, Key, Table
from refnet.firewall.nftables import kernel, names, plan, probing, tool
from refnet.firewall.nftables import layer2 as bridge
from refnet.firewall.nftables.listing import Listing, NotOurs, elements, expressions, jumps
from refnet.firewall.nftables.reading import Line, chain_of, line
from refnet.firewall.nftables.render import NamedSet, Rendered, render
from refnet.firewall.rules import Rule
from refnet.names import IPAddress, ip_address

#: How often what stands is looked at again because somebody else changed it before it was mended.
_ATTEMPTS = 4
#: Stands for a rule that a newer tool has made.
_UNSAID = "(a rule that this nft cannot show)"


class NftablesManager(FirewallManager):
    """Rules in a table of this owner's, ``inet refnet.<owner>``, and for layer 2 in ``bridge refnet.<owner>``.

    * One transaction is one commit: both families and layer 2 change at once, or nothing does.
    * On each hook there is one chain, which jumps to the model's chains there in their order. ``position`` first is a
      little before, and last a little behind nft's standard priority.
    * **What an accept means to others**: each table with a chain on the hook is asked, whatever the tables before it
      said. A rule that accepts ends this owner's rules there, and a packet passes only if nobody else's drop it; a
      drop is final. (With iptables, where owners share a chain, an accept of the first one decides for all.)
    * A rule bears a digest of itself in its comment. After a restart, rules that stand as they ought to are kept with
      their counters; what somebody has changed is written again, and all of a table that nft cannot list.
    * Lists of addresses and of ranges of ports are sets of the table, shared by rules with the same list.
    * To delete a rule, nft needs the kernel's number for it, which is looked up once for a chain: the first removal
      after others were added reads the chain.
    """

    lacks: ClassVar[Mapping[Capability, str]] = MappingProxyType(
        {
            Capability.CHECKSUM_FILL: "nftables cannot fill in checksums: have tc do it on the device that the packets "
            "leave by, for DHCP 'tc qdisc add dev DEVICE clsact' and 'tc filter add dev DEVICE egress protocol ip "
            "flower ip_proto udp dst_port 68 action csum udp'; or switch off the device's transmit checksum offload "
            "('ethtool -K DEVICE tx off'), or use iptables for that rule"
        }
    )

    def __init__(
        self,
        owner: str,
        *,
        position: Literal["first", "last"] = "first",
        lock_time_limit: float = DEFAULT_LOCK_LIMIT,
    ) -> None:
        """Start with an empty model, and knowing nothing of the host: see :class:`FirewallManager`."""
        super().__init__(owner, position=position, lock_time_limit=lock_time_limit)
        self._table = names.table(owner)
        self._forget()

    def _forget(self) -> None:
        """Know nothing of what stands on the host."""
        self._table_handle: int | None = None
        self._chains: set[Key] = set()
        self._hooked: plan.Hooked = {}
        self._uses: dict[Key, Count[NamedSet]] = {}
        self._sets: Count[NamedSet] = Count()
        self._handles: dict[Key, dict[str, list[int]]] = {}
        self._has_bridge = False
        self._guarded: dict[str, PortGuard] = {}
        self._isolated: tuple[DhcpIsolation, ...] = ()

    # -- looking ---------------------------------------------------------------------------------------

    def standing(self) -> tuple[Standing, ...]:
        """Read this owner's chains: as packets meet the hooks, each chain followed by those that it jumps to."""
        there = tool.table(self._table)
        if there is None:
            return ()
        sets = {name: held for name, (_, _, said) in there.sets.items() if (held := _elements(said)) is not None}
        words: dict[int, str] = {}
        found: list[Standing] = []
        with self._lock:
            for chain in _reachable(there):
                known = self._model.chains.get(chain.key)
                lines = [line(chain, one, sets) for one in there.rules[names.chain(chain.key)]]
                rules = list(_rules(chain, lines, known))
                if not words and any(isinstance(one, int) for one in rules):
                    words = tool.words(self._table)
                shown_rules = tuple(words.get(one) or _UNSAID if isinstance(one, int) else one for one in rules)
                found.append(Standing(chain.table, chain.name, chain.hook, shown_rules))
        return tuple(found)

    def counters(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Counter, ...]:
        """Return what each rule of a chain has matched; a rule that is not on the host has matched nothing."""
        with self._lock:
            known = self._model.chain(table, chain)
            found = kernel.rule_counters(self._table, names.chain(known.key))
            return tuple(Counter(*found.get(rendered.digest, (0, 0))) for rendered in known.rendered())

    def forget_connections(self, address: str | IPAddress) -> int:
        """Have connection tracking forget all connections from, to or translated to an address."""
        asked = ip_address(address, "address")
        return conntrack.forget(asked)

    def _probe(self, capability: Capability) -> str | None:
        return probing.probe(capability)

    # -- writing ---------------------------------------------------------------------------------------

    def _render(self, chain: Chain, rule: Rule) -> Rendered:
        ipv6.check(chain.table, rule)
        return render(chain, rule)

    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        try:
            with locks.held(f"nftables-{self.owner}", time_limit=self.lock_time_limit) as lock:
                self._commit_changes(changes, layer2, lock)
        except (tool.Gone, RuleError, Unsupported):
            self._commit_all()  # if what is refused is not somebody else's doing, it is refused again

    def _commit_changes(self, changes: Mapping[Key, Change], layer2: bool, lock: int) -> None:
        """Write what has changed. What is known of the host is right again, or not used any more, if this fails."""
        script = tool.Script()
        writer = plan.Writer(script, self._table, self.position)
        if not self._chains and self._model.chains:
            writer.make_table()
        later = tool.Script()
        deleter = plan.Writer(later, self._table, self.position)
        sets_before = set(self._sets)
        for key, change in changes.items():
            self._count_sets(key, change)
        for one in self._sets:
            if one not in sets_before:
                writer.make_set(one)
        for key in changes:
            if key in self._model.chains and key not in self._chains:
                writer.make_chain(key)
        for key, change in changes.items():
            if change.removed:
                if key in self._chains:
                    writer.flush_chain(names.chain(key))
                    deleter.delete_chain(names.chain(key))
                self._handles.pop(key, None)
            elif change.anew:
                if key in self._chains:
                    writer.flush_chain(names.chain(key))
                writer.append(key, change.chain.items())
                self._handles.pop(key, None)
            else:
                self._edit(writer, change)
        hooks = self._hooked
        if any(change.anew or change.removed for change in changes.values()):
            hooks = self._write_hooks(writer)
        script.lines += later.lines
        for one in sets_before:
            if one not in self._sets:
                writer.delete_set(one.name)
        if self._chains and not self._model.chains:
            script = tool.Script()
            script.add(f"delete table inet {self._table}")
        if layer2:
            for command in self._layer2_commands():
                script.add(command)
        if script.lines:
            tool.run(script, wait=self.lock_time_limit, keep=(lock,))
        self._chains = set(self._model.chains)
        self._hooked = hooks
        if layer2:
            self._note_layer2()

    def _commit_all(self) -> None:
        with locks.held(f"nftables-{self.owner}", time_limit=self.lock_time_limit) as lock:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._look_and_mend(lock)
                    return
                except tool.Gone as gone:
                    if attempt == _ATTEMPTS:
                        raise gone.error from None

    def _look_and_mend(self, lock: int) -> None:
        self._forget()
        families = self._families()
        there = self._read() if "inet" in families else None
        uses = {key: plan.set_uses(chain) for key, chain in self._model.chains.items()}
        total: Count[NamedSet] = Count()
        for one in uses.values():
            total.update(one)
        sets = {one.name: one for one in total}
        script = tool.Script()
        writer = plan.Writer(script, self._table, self.position)
        if there is not None and self._model.chains and plan.can_be_mended(there, self._model, sets, self.position):
            plan.mend(writer, there, self._model, sets)
        else:
            if there is not None:
                script.add(f"delete table inet {self._table}")
            if self._model.chains:
                plan.write_all(writer, self._model, sets.values())
        if "bridge" in families:
            script.add(f"delete table bridge {self._table}")
        for command in self._layer2_commands():
            script.add(command)
        if script.lines:
            tool.run(script, wait=self.lock_time_limit, keep=(lock,))
        self._chains = set(self._model.chains)
        self._hooked = plan.hooked(self._model)
        self._uses, self._sets = uses, total
        self._note_layer2()

    def _read(self) -> Listing | None:
        try:
            return tool.table(self._table)
        except CommandFailed:
            return Listing(strange=True)  # what nft cannot say is written anew

    def _remove_all(self) -> None:
        errors: list[RefnetError] = []
        with locks.held(f"nftables-{self.owner}", time_limit=self.lock_time_limit) as lock:
            try:
                families = self._families()
            except RefnetError as error:
                errors, families = [error], set()
            for family in sorted(families):
                script = tool.Script()
                script.add(f"delete table {family} {self._table}")
                try:
                    tool.run(script, wait=self.lock_time_limit, keep=(lock,))
                except tool.Gone:
                    pass  # somebody else has removed it meanwhile
                except RefnetError as error:
                    errors.append(error)
        self._forget()
        if errors:
            reasons = "; ".join(dict.fromkeys(map(str, errors)))
            raise TeardownFailed(f"the tables {self._table} could not be removed: {reasons}", errors=errors)

    def _families(self) -> set[str]:
        """Return the families that have a table of this owner's."""
        return {family for family in kernel.FAMILIES if kernel.table_handle(family, self._table) is not None}

    def _edit(self, writer: plan.Writer, change: Change) -> None:
        """Write the edits of a chain that stands."""
        key = change.chain.key
        if any(edit.kind == "remove" for edit in change.edits):
            self._see_that_handles_hold()
        for edit in change.edits:
            if edit.kind == "append":
                writer.append(key, [(edit.rule, edit.rendered)])
            elif edit.kind == "prepend":
                writer.insert(key, edit.rule, edit.rendered)
            else:
                for handle in self._handles_of(key, edit.rendered):
                    writer.delete_rule(names.chain(key), handle)

    def _handles_of(self, key: Key, rendered: Rendered) -> list[int]:
        """Return the kernel's numbers for a rule that stands, and forget them.

        Raises:
            Gone: the rule, or the table, is not there any more.
        """
        known = self._handles.get(key, {})
        if rendered.digest not in known:
            known = self._handles[key] = kernel.rule_handles(self._table, names.chain(key))
        handles = known.pop(rendered.digest, [])
        if len(handles) != len(rendered.lines):
            raise _gone(f"rule {rendered.lines[0]}")
        return handles

    def _see_that_handles_hold(self) -> None:
        """Forget the rules' handles if the table is another one than before: there they may be other rules'."""
        handle = kernel.table_handle("inet", self._table)
        if handle != self._table_handle:
            self._handles.clear()
            self._table_handle = handle

    def _write_hooks(self, writer: plan.Writer) -> plan.Hooked:
        """Write the chains on hooks that are not what they ought to be, and return what there is then."""
        wanted = plan.hooked(self._model)
        for where, chains in wanted.items():
            there = self._hooked.get(where, ())
            if not there:
                writer.make_base(*where)
            elif chains[: len(there)] != there:
                writer.flush_chain(names.base(*where))
                there = ()
            writer.fill_base(*where, chains[len(there) :])
        for where in self._hooked:
            if where not in wanted:
                writer.flush_chain(names.base(*where))
                writer.delete_chain(names.base(*where))
        return wanted

    def _count_sets(self, key: Key, change: Change) -> None:
        """Keep count of which rules that will stand use which sets."""
        if change.anew or change.removed:
            self._sets.subtract(self._uses.pop(key, Count()))
            if not change.removed:
                self._uses[key] = plan.set_uses(change.chain)
                self._sets.update(self._uses[key])
        else:
            for edit in change.edits:
                step = -1 if edit.kind == "remove" else 1
                for one in edit.rendered.sets:
                    self._uses.setdefault(key, Count())[one] += step
                    self._sets[one] += step
        for one in [one for one, count in self._sets.items() if count <= 0]:
            del self._sets[one]

    def _layer2_commands(self) -> Iterator[str]:
        """Give the commands that bring layer 2 from what is known of it to the model."""
        if not self._guards and not self._isolations:
            if self._has_bridge:
                yield f"delete table bridge {self._table}"
            return
        if not self._has_bridge:
            yield from bridge.base_chains(self._table, self.position)
        if tuple(self._isolations) != self._isolated:
            yield from bridge.isolations(self._table, self._isolations)
        for port, guard in self._guarded.items():
            if port not in self._guards:
                yield from bridge.unguard(self._table, guard)
        for port, guard in self._guards.items():
            if self._guarded.get(port) != guard:
                yield from bridge.guard(self._table, guard, is_there=port in self._guarded)

    def _note_layer2(self) -> None:
        self._has_bridge = bool(self._guards or self._isolations)
        self._guarded = dict(self._guards)
        self._isolated = tuple(self._isolations)


def _gone(what: str) -> tool.Gone:
    return tool.Gone(Unsupported(f"{what} is not on the host any more", capability=Capability.FILTER))


def _elements(said: list[object]) -> tuple[Any, ...] | None:
    try:
        return elements(said)
    except NotOurs:
        return None


def _reachable(there: Listing) -> Iterator[Chain]:
    """Give the chains that packets can come to, in order, made from what stands."""
    seen: set[Key] = set()
    for (where, hook), base in plan.BASES.items():
        for target in jumps(there.rules.get(base, ())):
            yield from _below(there, target, where, hook, seen)


def _below(there: Listing, target: str | None, where: Table, hook: Hook | None, seen: set[Key]) -> Iterator[Chain]:
    if target not in there.chains:
        return
    try:
        chain = Chain(where, chain_of(target, where), hook)
    except NotOurs:
        return  # somebody else's, in this owner's table
    if chain.key in seen:
        return
    seen.add(chain.key)
    yield chain
    for one in there.rules[target]:
        for part in expressions(one):
            if "jump" in part:
                yield from _below(there, part["jump"]["target"], where, None, seen)


def _rules(chain: Chain, lines: list[Line], known: Chain | None) -> Iterator[Rule | int]:
    """Give each rule of a chain, or the handle of what refnet has not written.

    The model knows best what was meant by what it wrote; what it does not know is said as it reads.
    """
    meant = {rendered.digest: (rule, rendered.texts) for rule, rendered in known.items()} if known else {}
    times = Count(one.digest for one in lines)
    at = 0
    while at < len(lines):
        first = lines[at]
        rule, texts = meant.get(first.digest or "", (None, ()))
        if rule is not None and tuple(one.text for one in lines[at : at + len(texts)]) == texts:
            yield rule
            at += len(texts)
            continue
        # Each of two lines of one rule says half of what it means.
        said = first.rule() if times[first.digest] == 1 else None
        yield first.handle if said is None else said
        at += 1
