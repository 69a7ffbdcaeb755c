"""The interface that every firewall backend implements: what callers and the conformance suite hold it to.

A manager has an *owner* (the name of the program whose rules these are) and keeps in memory the chains of rules that
are to stand on the host. ``add_chain``, ``add_rule`` and their like change that model only, and
:meth:`FirewallManager.apply` makes the host like it. On the host everything bears the owner's name, and nothing else is
touched.

    manager = get_manager("nova-compute")
    with manager.deferred():
        manager.add_chain("guests", hook="forward")
        manager.add_rule("guests", Rule(ACCEPT, states={"established", "related"}))
        manager.add_rule("guests", Rule(ACCEPT, protocol="tcp", destination="192.0.2.7", destination_ports=22))
        manager.add_rule("guests", Rule(DROP, destination="192.0.2.0/24"))

This module imports no backend and no platform's code.
"""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from refnet.errors import InvalidArgument, Unsupported, operation
from refnet.firewall import values
from refnet.firewall.capabilities import Capability, needs
from refnet.firewall.layer2 import DhcpIsolation, PortGuard
from refnet.firewall.model import Chain, Change, Hook, Key, Model, Table
from refnet.firewall.nova import NovaTables
from refnet.firewall.rules import Rule
from refnet.firewall.turn import Turn
from refnet.names import IPAddress, device_name, flag, seconds, shown

__all__ = ["Capability", "Counter", "FirewallManager", "Standing", "needs"]

Self = TypeVar("Self", bound="FirewallManager")

#: Seconds to wait for locks, those of the system's tools and refnet's own.
DEFAULT_LOCK_LIMIT = 30.0


class Counter(NamedTuple):
    """What a rule has matched since it was written: packets, and their bytes at layer 3."""

    packets: int
    bytes: int


class Standing(NamedTuple):
    """A chain as it stands on the host. What is no :class:`Rule` (text) is the tool's words for what cannot be read."""

    table: Table
    name: str
    hook: Hook | None
    rules: tuple[Rule | str, ...]


class FirewallManager(abc.ABC):
    """Chains of rules of one owner.

    Promises that every backend keeps:

    * **Validated first**: a bad argument raises :class:`~refnet.errors.InvalidArgument`, and what the backend cannot
      express :class:`~refnet.errors.Unsupported`, from the call that adds it; the model is then as before.
    * **All or nothing**: :meth:`apply` changes each table of a family as one step: no packet meets half of it. If it
      fails, the host's rules of that family are as before, in all tables, and the next ``apply`` tries again.
    * **It costs what has changed**: with nothing to do, no program is started; one rule more does not read or write
      the others. Counters, and connections, of what stays are kept.
    * **Hands off**: other owners' rules stay byte for byte and in order.
    * **Order**: chains on the same hook in the order of ``add_chain``; the first rule that accepts, drops or rejects
      decides. A packet that no rule decides goes on to whatever else filters on this host.
    * **Converges**: after ``kill -9`` at any moment, or somebody else's flush and :meth:`resync`, the host is like the
      model. One process at a time for an owner: what stands of an owner and is not in the model goes with the
      first ``apply``.
    * **Threads** can share a manager. Waits are bounded, for each other as well: :class:`~refnet.errors.LockTimeout`.

    A rule whose family is None is for both; on a host without IPv6 for IPv4 alone.
    """

    #: What this backend can do nowhere, with its words for why.
    lacks: ClassVar[Mapping[Capability, str]] = MappingProxyType({})

    def __init__(
        self,
        owner: str,
        *,
        position: Literal["first", "last"] = "first",
        lock_time_limit: float = DEFAULT_LOCK_LIMIT,
    ) -> None:
        """Start with an empty model; nothing is looked at or changed on the host.

        ``owner`` is 1 to 16 of ``A-Z a-z 0-9 _ -``. ``position`` says where own rules come at a hook, before or behind
        those of others; ``lock_time_limit`` is in seconds.

        Raises:
            InvalidArgument: a value is none.
            Unsupported: the position is not the backend's to choose.
        """
        self.owner = values.owner(owner)
        if position not in ("first", "last"):
            raise InvalidArgument(f"position {shown(position)} is neither 'first' nor 'last'")
        if position == "last" and Capability.POSITION in self.lacks:
            raise Unsupported(self.lacks[Capability.POSITION], capability=Capability.POSITION)
        self.position = position
        self.lock_time_limit = seconds(lock_time_limit, "lock time limit")
        self._lock = Turn(self.lock_time_limit)
        self._model = Model()
        self._guards: dict[str, PortGuard] = {}
        self._isolations: dict[DhcpIsolation, None] = {}
        self._layer2_changed = False
        self._synced = False
        self._process = os.getpid()
        self._in_block = False
        self._is_held = False
        self._teardowns = 0
        self._nova: NovaTables | None = None

    def __enter__(self: Self) -> Self:
        """Return the manager, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the manager."""
        self.close()

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Let go of what the manager holds (descriptors, connections). The rules stay; closing twice is no error."""

    # -- what there is ---------------------------------------------------------------------------------

    def probe(self, capability: Capability) -> str | None:
        """Return None if this backend can do it here, else why not, in words.

        Raises:
            InvalidArgument: it is no capability.
        """
        try:
            asked = Capability(capability)
        except ValueError:
            known = ", ".join(Capability)
            raise InvalidArgument(f"{shown(capability)} is no capability: known are {known}") from None
        return self.lacks.get(asked) or self._probe(asked)

    def capabilities(self) -> frozenset[Capability]:
        """Return what this backend can do here."""
        return frozenset(one for one in Capability if self.probe(one) is None)

    def chains(self) -> tuple[tuple[Table, str, Hook | None], ...]:
        """Return the chains of the model: table, name and hook, in the order in which they were added."""
        with self._lock:
            return tuple((one.table, one.name, one.hook) for one in self._model.chains.values())

    def rules(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Rule, ...]:
        """Return the rules of a chain of the model, in order.

        Raises:
            InvalidArgument: there is no such chain.
        """
        with self._lock:
            return self._model.chain(table, chain).rules()

    def port_guards(self) -> tuple[PortGuard, ...]:
        """Return the port guards of the model."""
        with self._lock:
            return tuple(self._guards.values())

    def dhcp_isolations(self) -> tuple[DhcpIsolation, ...]:
        """Return the isolated DHCP addresses of the model."""
        with self._lock:
            return tuple(self._isolations)

    # -- the model -------------------------------------------------------------------------------------

    @operation
    def add_chain(self, chain: str, *, hook: Hook | str | None = None, table: Table | str = Table.FILTER) -> None:
        """Add a chain, which rules of other chains can jump to, or which is asked at a ``hook``.

        A chain that is there with the same hook stays as it is.

        Raises:
            InvalidArgument: a name, hook or table that is none, or a hook that the table does not have.
            Mismatch: it is there with another hook.
        """
        with self._lock:
            self._model.add_chain(table, chain, hook)

    @operation
    def remove_chain(self, chain: str, *, table: Table | str = Table.FILTER) -> None:
        """Remove a chain and its rules; one that is not there is no error.

        Raises:
            InvalidArgument: rules of other chains jump to it.
        """
        with self._lock:
            self._model.remove_chain(table, chain)

    @operation
    def empty_chain(self, chain: str, *, table: Table | str = Table.FILTER) -> None:
        """Remove all rules of a chain.

        Raises:
            InvalidArgument: there is no such chain.
        """
        with self._lock:
            self._model.empty_chain(table, chain)

    @operation
    def add_rule(self, chain: str, rule: Rule, *, first: bool = False, table: Table | str = Table.FILTER) -> None:
        """Add a rule behind the others of a chain, or with ``first`` before them.

        A rule that the chain has already stays where it is.

        Raises:
            InvalidArgument: there is no such chain; the chain that the rule jumps to is not there, is on a hook, or
                leads back; or the action is not for this table or hook.
            Unsupported: the backend cannot express the rule.
        """
        at_front = flag(first, "first")
        with self._lock:
            self._model.add_rule(table, chain, rule, self._checked_render, first=at_front)

    @operation
    def remove_rule(self, chain: str, rule: Rule, *, table: Table | str = Table.FILTER) -> None:
        """Remove a rule; one that the chain does not have is no error.

        Raises:
            InvalidArgument: there is no such chain.
        """
        with self._lock:
            self._model.remove_rule(table, chain, rule)

    @operation
    def guard_port(self, guard: PortGuard) -> None:
        """Keep a bridge's port from pretending; a guard of the same port is replaced.

        Raises:
            Unsupported: the backend has no layer 2, or not all that the guard asks for.
        """
        if not isinstance(guard, PortGuard):
            raise InvalidArgument(f"{shown(guard)} is no PortGuard: make one with refnet.firewall.PortGuard(…)")
        self._needs(Capability.LAYER2)
        if guard.neighbour_targets:
            self._needs(Capability.NEIGHBOUR_TARGETS)
        with self._lock:
            if self._guards.get(guard.port) != guard:
                self._guards[guard.port] = guard
                self._layer2_changed = True

    @operation
    def unguard_port(self, port: str) -> None:
        """Take a port's guard away; a port without one is no error."""
        with self._lock:
            if self._guards.pop(device_name(port, "port"), None) is not None:
                self._layer2_changed = True

    @operation
    def isolate_dhcp_address(self, interface: str, address: str) -> None:
        """Keep a DHCP server's address inside a bridge; ``interface`` is the bridge's port to others that have it, too.

        Raises:
            Unsupported: the backend has no layer 2.
        """
        isolation = DhcpIsolation(interface, address)
        self._needs(Capability.LAYER2)
        with self._lock:
            if isolation not in self._isolations:
                self._isolations[isolation] = None
                self._layer2_changed = True

    @operation
    def remove_isolate_dhcp_address(self, interface: str, address: str) -> None:
        """Undo :meth:`isolate_dhcp_address`; what is not isolated is no error."""
        isolation = DhcpIsolation(interface, address)
        with self._lock:
            if isolation in self._isolations:
                del self._isolations[isolation]
                self._layer2_changed = True

    # -- the host --------------------------------------------------------------------------------------

    @operation
    def apply(self) -> None:
        """Make the host like the model; inside :meth:`deferred` at its end. With nothing to do, nothing is done.

        Raises:
            RuleError: the tool refuses a rule; the message names it, and nothing has changed.
            LockTimeout: somebody held the tool's lock all the time.
            AnchorNotReferenced: pf: the main rule set does not call refnet's anchors; the lines to add are in it.
            NotEnabled: pf: it is not enabled.
            Unsupported: the kernel lacks what a rule needs.
            PermissionDenied, ToolMissing, CommandFailed: what they say.
        """
        with self._lock:
            if self._in_block or self._is_held:
                return
            if self._process != os.getpid():  # a fork: what the other process does meanwhile is not known here
                self._process, self._synced = os.getpid(), False
            if self._synced and not self._model.changes and not self._layer2_changed:
                return
            was_synced, self._synced = self._synced, False  # what stands after a failure is to be looked at
            if was_synced:
                self._commit(self._model.changes, layer2=self._layer2_changed)
            else:
                self._commit_all()
            self._model.changes = {}
            self._layer2_changed = False
            self._synced = True

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Apply once, at the end of the block, whatever ``apply`` is called within.

        If an exception leaves the block, nothing is applied, and what was called within is taken back from the model.
        Other threads wait meanwhile, up to the lock limit. Blocks can be nested: the outermost counts.

        Raises:
            LockTimeout: another thread was in a block, or in a call, all the time.
            RefnetError: what :meth:`apply` raises; the model is then as the block has left it.
        """
        with self._lock:
            if self._in_block:
                yield
                return
            layer2 = dict(self._guards), dict(self._isolations), self._layer2_changed
            teardowns = self._teardowns
            self._model.begin()
            if self._nova:
                self._nova.begin()
            self._in_block = True
            try:
                yield
            except BaseException:
                self._model.undo()
                # A teardown within has emptied the host.
                self._synced = self._synced and self._teardowns == teardowns
                self._guards, self._isolations, self._layer2_changed = layer2
                if self._nova:
                    self._nova.undo()
                raise
            else:
                self._model.end()
                if self._nova:
                    self._nova.end()
            finally:
                self._in_block = False
            self.apply()

    @operation
    def resync(self) -> None:
        """Look at the host and make it like the model, whatever somebody else has done to it."""
        with self._lock:
            self._synced = False
            self.apply()

    @operation
    def teardown(self) -> None:
        """Remove all of this owner's from the host, whoever made it and when, and empty the model.

        Raises:
            TeardownFailed: something could not be removed; the rest has been. All reasons are in ``errors``.
        """
        with self._lock:
            self._teardowns += 1
            self._synced = False  # if something cannot be removed
            self._remove_all()
            self._model.clear()
            self._guards, self._isolations, self._layer2_changed = {}, {}, False
            if self._nova:
                self._nova.clear()
            self._synced = True

    @abc.abstractmethod
    def standing(self) -> tuple[Standing, ...]:
        """Read this owner's chains from the host, in the order in which they are asked, whoever has made them.

        Directly after ``apply`` they are those of the model that packets can come to.
        """

    @abc.abstractmethod
    def counters(self, chain: str, *, table: Table | str = Table.FILTER) -> tuple[Counter, ...]:
        """Return what each rule of a chain has matched, in the order of :meth:`rules`, both families together.

        Raises:
            InvalidArgument: there is no such chain in the model.
            Unsupported: the backend does not count.
        """

    @abc.abstractmethod
    def forget_connections(self, address: str | IPAddress) -> int:
        """Have connection tracking forget all connections from, to or translated to an address; return how many.

        Raises:
            InvalidArgument: it is no address.
            Unsupported: the backend, or the kernel, has no such table.
        """

    def enable(self) -> None:  # noqa: B027 - most systems have no switch
        """Switch the system's packet filter on, where it has a switch (pf). Never done by anything else."""

    # -- Nova's textual tables -------------------------------------------------------------------------

    @property
    def ipv4(self) -> Mapping[str, Any]:
        """Nova's tables of IPv4 rules as text, by name: see :mod:`refnet.firewall.nova`."""
        return self._nova_tables().ipv4

    @property
    def ipv6(self) -> Mapping[str, Any]:
        """Nova's tables of IPv6 rules as text, by name: see :mod:`refnet.firewall.nova`."""
        return self._nova_tables().ipv6

    def defer_apply_on(self) -> None:
        """Nova's way to have ``apply`` do nothing until :meth:`defer_apply_off`; a switch, as in Nova, and no count."""
        with self._lock:
            self._is_held = True

    def defer_apply_off(self) -> None:
        """Apply what was deferred by :meth:`defer_apply_on`."""
        with self._lock:
            self._is_held = False
            self.apply()

    def _nova_tables(self) -> NovaTables:
        with self._lock:
            if self._nova is None:
                self._nova = NovaTables(self)
            return self._nova

    # -- what a backend implements ---------------------------------------------------------------------

    @abc.abstractmethod
    def _probe(self, capability: Capability) -> str | None:
        """Return None if it can be done here, else why not; only what is not in ``lacks`` is asked."""

    @abc.abstractmethod
    def _render(self, chain: Chain, rule: Rule) -> Any:
        """Return how the backend writes a rule, for :attr:`Edit.rendered` and :meth:`Chain.rendered`. Touches nothing.

        Raises:
            Unsupported: it cannot.
        """

    @abc.abstractmethod
    def _commit(self, changes: Mapping[Key, Change], *, layer2: bool) -> None:
        """Bring the host from what stood after the last commit to the model, at a cost of ``changes``.

        ``layer2`` says that guards or isolations have changed. If the host is not as it was left (somebody has
        flushed), fall back to :meth:`_commit_all`.
        """

    @abc.abstractmethod
    def _commit_all(self) -> None:
        """Bring the host from whatever stands there to the model, keeping what is right already."""

    @abc.abstractmethod
    def _remove_all(self) -> None:
        """Remove all of this owner's from the host."""

    def _needs(self, capability: Capability) -> None:
        if capability in self.lacks:
            raise Unsupported(self.lacks[capability], capability=capability)

    def _checked_render(self, chain: Chain, rule: Rule) -> Any:
        for capability in needs(rule):
            self._needs(capability)
        return self._render(chain, rule)
