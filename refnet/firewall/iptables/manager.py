"""The firewall over iptables: :class:`IptablesManager`, and two that choose the variant of the tools."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from refnet import locks, names
from refnet.errors import CommandFailed, PermissionDenied, RefnetError, RuleError, TeardownFailed, Unsupported
from refnet.firewall import ipv6
from refnet.firewall import text as iptables_text
from refnet.firewall.actions import Jump
from refnet.firewall.capabilities import Capability
from refnet.firewall.iptables import chainnames, culprit, listing, probing, reading, unreadable
from refnet.firewall.iptables.ebtables import Ebtables
from refnet.firewall.iptables.ledger import NOTHING, Auxiliary, Half, Image, Ledger, Plan, Rendered
from refnet.firewall.iptables.listing import SavedTable
from refnet.firewall.iptables.plan import plan
from refnet.firewall.iptables.reconcile import has_numbers, image_of, reconcile
from refnet.firewall.iptables.tools import Tools
from refnet.firewall.manager import Counter, FirewallManager, Standing
from refnet.firewall.model import Chain, Change, Key, Table
from refnet.firewall.rules import Rule
from refnet.names import IPAddress

#: How often what stands is looked at again because somebody else changed it before it was mended.
_ATTEMPTS = 4


class IptablesManager(FirewallManager):
    """Rules in the built-in tables, in chains of this owner's that the built-in chains jump to.

    * Each table of a family changes as a whole or not at all (iptables-restore). If a later one fails, the ones before
      are put back.
    * An owner's ``accept`` decides for the table: rules of others behind it in the same built-in chain are not asked.
    * A rule of which iptables cannot say all in one line takes several; see :mod:`refnet.firewall.text`.
    * A rate limit that iptables cannot count exactly becomes the next lower one: 6000 a second becomes 5000.
    * What others have written with nft into iptables's tables, and iptables cannot read, is in the way only where it
      comes before this owner's jumps, and these have to go or move: that is refused.
    * What stands of this owner's in the tools' other variant goes with the first apply, and with teardown.
    * Lock limits are rounded up to whole seconds, at least one: iptables waits for no less.
    * Port guards and isolated addresses are ebtables's: see :mod:`.guards`, also for what it cannot look at.
    """

    lacks: ClassVar[Mapping[Capability, str]] = MappingProxyType(
        {
            Capability.NEIGHBOUR_TARGETS: "ebtables cannot look into neighbour discovery, only at whom it comes from: "
            "use nftables where guests share a network that is IPv6's"
        }
    )
    #: "" for the programs ``iptables`` and ``ip6tables``, whichever variant these are; else "legacy" or "nft".
    variant: ClassVar[str] = ""

    def __init__(self, owner: str, **options: Any) -> None:
        """Start with an empty model, and knowing nothing of the host; see :class:`FirewallManager`."""
        super().__init__(owner, **options)
        self._prefix = chainnames.prefix(owner)
        self._names: dict[str, str] = {}
        self._ledgers: dict[int, Ledger] = {}
        self._bridge = Ebtables(owner)
        #: The lock that programs go on holding if this process is killed: who comes next has to see what they did.
        self._keep: tuple[int, ...] = ()

    # -- what there is ---------------------------------------------------------------------------------

    def standing(self) -> tuple[Standing, ...]:
        """Read this owner's chains: as packets meet the hooks, each chain followed by those that it jumps to.

        A rule for both families that stands in one alone is shown with that family.
        """
        found = {family: self._look(self._tools(family)) for family in self._families()}
        with self._lock:
            return reading.standing(found, self._model, self._ledgers, self._name, self._prefix)

    def counters(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Counter, ...]:
        """Return what each rule of a chain has matched; a rule that is not on the host has matched nothing."""
        with self._lock:
            known = self._model.chain(table, chain)
            total = [Counter(0, 0)] * len(known)
            for family in self._families():
                there = self._look(self._tools(family)).get(known.table.value, SavedTable())
                halves = [rendered[0 if family == 4 else 1] for rendered in known.rendered()]
                for at, more in enumerate(reading.counters(there, self._name(known.name), halves)):
                    total[at] = Counter(total[at].packets + more.packets, total[at].bytes + more.bytes)
            return tuple(total)

    def forget_connections(self, address: str | IPAddress) -> int:
        """Have connection tracking forget all connections from, to or translated to an address."""
        asked = names.ip_address(address, "address")
        from refnet.firewall import conntrack  # loads pyroute2, which nothing else here needs

        return conntrack.forget(asked)

    def _probe(self, capability: Capability) -> str | None:
        return probing.probe(capability, self.variant)

    # -- rules as text ---------------------------------------------------------------------------------

    def _name(self, chain: str) -> str:
        name = self._names.get(chain)
        if name is None:
            name = self._names[chain] = chainnames.of_chain(self.owner, chain)
        return name

    def _render(self, chain: Chain, rule: Rule) -> Rendered:
        ipv6.check(chain.table, rule)
        four, six = (self._half(chain, rule, family) for family in (4, 6))
        return (four, four) if four == six else (four, six)

    def _half(self, chain: Chain, rule: Rule, family: int) -> Half:
        name = self._name(chain.name)
        auxiliaries: list[str] = []

        def auxiliary() -> str:
            auxiliaries.append(chainnames.auxiliary(self.owner, chain.name, rule))
            return auxiliaries[0]

        written = iptables_text.write(rule, family, jump=self._name, auxiliary=auxiliary)
        if not written.lines:
            return NOTHING
        target = (chain.table, rule.action.chain) if isinstance(rule.action, Jump) else None
        lines = tuple([f"-A {name} {line}" for line in written.lines])
        if not auxiliaries:
            return Half(lines, target)
        inner = tuple([f"-A {auxiliaries[0]} {line}" for line in written.auxiliary])
        return Half(lines, target, Auxiliary(auxiliaries[0], inner))

    # -- writing what has changed ----------------------------------------------------------------------

    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        with self._locked():
            self._write_changes(changes, layer2)

    def _write_changes(self, changes: Mapping[Key, Change], layer2: bool) -> None:
        if tuple(self._ledgers) != self._families():
            self._write_all({})
            return
        plans: dict[int, Plan] = {}
        for family, ledger in self._ledgers.items():
            found = plan(ledger, self._model, changes, first=self._first)
            if found is None:
                self._write_all({})
                return
            plans[family] = found
        begun: list[Tools] = []
        try:
            for family, one in plans.items():
                if one.text:
                    self._restore(self._tools(family), one.text, begun)
            if layer2:
                self._commit_bridge()
        except (RuleError, CommandFailed):
            # The host may not be as it was left: look. If it is the rule, that fails likewise.
            self._write_all({using: self._ledgers[using.family].image() for using in begun})
        except BaseException as error:
            self._put_back({using: self._ledgers[using.family].image() for using in begun}, error)
            raise
        else:
            for family, one in plans.items():
                self._ledgers[family].settle(one)

    def _restore(self, using: Tools, text: str, begun: list[Tools]) -> None:
        """Carry out a text; its tools are among those ``begun`` afterwards if what is theirs may not be as before."""
        try:
            using.restore(text, self.lock_time_limit, self._keep)
        except BaseException:
            if sum(line[0] == "*" for line in text.splitlines() if line) > 1:  # each table is committed by itself
                begun.append(using)
            raise
        begun.append(using)

    # -- writing all, after a look ---------------------------------------------------------------------

    def _commit_all(self) -> None:
        with self._locked():
            self._write_all({})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locks.held(f"iptables-{self.owner}", time_limit=self.lock_time_limit) as lock:
            self._keep = (lock,)
            try:
                yield
            finally:
                self._keep = ()

    def _write_all(self, before: Mapping[Tools, Image]) -> None:
        """Bring the host from whatever stands to the model; if that fails, to ``before`` where that is given."""
        ledgers = {family: self._ledger(family) for family in self._families()}
        wanted = {self._tools(family): ledger.image() for family, ledger in ledgers.items()}
        # Nobody would think of what stands in the other variant, which `iptables` may have been before.
        wanted.update({using.other(): Image() for using in list(wanted)})
        found: dict[Tools, dict[str, SavedTable]] = {}
        begun: list[Tools] = []
        try:
            for using, image in wanted.items():
                found[using] = self._look(using, needed=any(image.chains.values()))
            for using, image in wanted.items():
                self._lead(using, found[using], image, begun)
            self._bridge.look(self.lock_time_limit)
            self._commit_bridge()
        except BaseException as error:
            self._put_back({**{using: image_of(found[using]) for using in begun}, **before}, error)
            if isinstance(error, RuleError) and culprit.is_unclear(error):
                raise self._named(error, ledgers) from None
            raise
        self._ledgers = ledgers

    def _lead(self, using: Tools, found: dict[str, SavedTable], image: Image, begun: list[Tools]) -> None:
        """Bring what was ``found`` to an image.

        Between the look and the edits somebody can have changed a chain, and then a number is another line's. So where
        there were numbers, it is looked at again until nothing is left to do.
        """
        text = reconcile(found, image, first=self._first)
        for attempt in range(1, _ATTEMPTS + 1):
            if not text:
                return
            try:
                self._restore(using, text, begun)
            except RuleError:  # such a number may be none any more; if it is the rule, nothing else is found
                again = reconcile(self._look(using), image, first=self._first)
                if again == text or attempt == _ATTEMPTS:
                    raise
                text = again
                continue
            text = reconcile(self._look(using), image, first=self._first) if has_numbers(text) else ""

    def _named(self, error: RuleError, ledgers: Mapping[int, Ledger]) -> RuleError:
        """Return the error with the rule that the kernel refuses."""
        for family, ledger in ledgers.items():
            text = reconcile({}, ledger.image(), first=self._first)
            found = culprit.named(error, self._tools(family), text, self._prefix)
            if found is not error:
                return found
        return error

    def _ledger(self, family: int) -> Ledger:
        made = Ledger(family, self._name)
        made.write(self._model)
        return made

    def _look(self, using: Tools, *, needed: bool = True) -> dict[str, SavedTable]:
        """Return what stands. Where nothing is ``needed``, a kernel that lacks the family has nothing of it."""
        try:
            if not using.may_have(self._prefix):
                return {}
            printed = using.save()
            found = listing.read(printed, self._prefix)
            for table in unreadable.left_out(printed):
                found[table] = unreadable.read(using, table, self._prefix)
        except Unsupported:
            if needed:
                raise
            return {}
        return found

    def _put_back(self, images: Mapping[Tools, Image], error: BaseException) -> None:
        """Make families as they were, after an error that has left them changed; it tells if that fails as well."""
        for using, image in images.items():
            try:
                self._lead(using, self._look(using), image, [])
            except RefnetError as again:
                if not isinstance(error, RefnetError):
                    raise
                error.message += f"; IPv{using.family} is changed already, and could not be put back: {again}"

    def _commit_bridge(self) -> None:
        self._bridge.commit(self.port_guards(), self.dhcp_isolations(), self._first, self.lock_time_limit, self._keep)

    # -- removing --------------------------------------------------------------------------------------

    def _remove_all(self) -> None:
        errors: list[RefnetError] = []
        with self._locked():
            for family in self._families():
                own = self._tools(family)
                if not self.variant and not own.is_there():
                    own = Tools(family, "nft")
                for using in (own, own.other()):
                    try:
                        errors += self._remove(using)
                    except RefnetError as error:
                        errors.append(error)
            try:
                errors += self._bridge.remove(self.lock_time_limit, self._keep)
            except RefnetError as error:
                errors.append(error)
        self._ledgers = {family: Ledger(family, self._name) for family in self._families()}
        if errors:
            self._synced = False
            # What a process may not do, it may not do with any of the programs.
            reasons = {PermissionDenied if isinstance(one, PermissionDenied) else str(one): one for one in errors[::-1]}
            said = "; ".join(map(str, reversed(reasons.values())))
            raise TeardownFailed(f"owner {self.owner}: not all of it could be removed: {said}", errors=errors)

    def _remove(self, using: Tools) -> Iterable[RefnetError]:
        """Remove what stands in a family by one variant; return why something has to stay.

        No program is asked where the kernel says that there is nothing; where there is something, it has to be there.
        """
        found = self._look(using, needed=False)
        text = reconcile(found, Image(), first=self._first)
        if text:
            using.restore(text, self.lock_time_limit, self._keep)
        return [
            RuleError(
                f"chain {name} of table {table} is jumped to by somebody's rule {rule!r}: it stays, empty", rule=rule
            )
            for table, saved in found.items()
            for name, rule in saved.wanted_by_others.items()
            if name in saved.chains
        ]

    # -- small things ----------------------------------------------------------------------------------

    @property
    def _first(self) -> bool:
        return self.position == "first"

    def _tools(self, family: int) -> Tools:
        return Tools(family, self.variant)

    @staticmethod
    def _families() -> tuple[int, ...]:
        return (4, 6) if ipv6.is_there() else (4,)


class LegacyIptablesManager(IptablesManager):
    """The same by ``iptables-legacy``, whatever ``iptables`` is on this host."""

    variant = "legacy"


class NftIptablesManager(IptablesManager):
    """The same by ``iptables-nft``, whatever ``iptables`` is on this host."""

    variant = "nft"
