"""One of Nova's tables, by the methods that Nova's and Neutron's have."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall import model, values
from refnet.firewall.actions import ACCEPT, CHECKSUM_FILL, Dnat, Jump, Snat
from refnet.firewall.capabilities import Capability, needs
from refnet.firewall.nova.names import model_name, see_name
from refnet.firewall.rules import Rule
from refnet.firewall.text import parse
from refnet.names import shown

if TYPE_CHECKING:
    from refnet.firewall.manager import FirewallManager
    from refnet.firewall.nova.tables import NovaTables

_LOG = logging.getLogger(__name__)

_OTHER_FAMILY = {4: 6, 6: 4}
#: ``! --ctstate DNAT``.
_NOT_SENT_HERE = values.AnyOf((values.State.DNAT,), negated=True)
_LOCAL = re.compile(r"(?:^|(?<=\s))-m\s+addrtype\s+--dst-type\s+LOCAL(?=\s|$)")


@dataclass(frozen=True, slots=True)
class TextRule:
    """A rule as it was added: ``str()`` of it is Nova's line, which ``remove_rules_regex`` matches against."""

    chain: str
    rule: str
    wrap: bool
    top: bool
    tag: str | None
    owner: str

    def __str__(self) -> str:
        """Give the line that Nova would have restored."""
        return f"[0:0] -A {f'{self.owner}-' if self.wrap else ''}{self.chain} {self.rule}"


class Table:
    """One of Nova's tables. It has no state: what it says is looked up in the manager each time."""

    def __init__(self, manager: FirewallManager, name: str, family: int) -> None:
        """Make the view of a manager's rules of a table and family."""
        self._manager = manager
        self._name = model.Table(name)
        self._family = family

    # -- what there is ---------------------------------------------------------------------------------

    @property
    def chains(self) -> frozenset[str]:
        """The wrapped chains, by the names that they were added by."""
        return self._names(wrap=True)

    @property
    def unwrapped_chains(self) -> frozenset[str]:
        """The unwrapped chains, without the built-in ones."""
        return self._names(wrap=False)

    @property
    def rules(self) -> list[TextRule]:
        """The rules in the order in which they were added."""
        with self._manager._lock:
            return [text for key, text in self._notes().texts(self._family, self._name).items() if self._stands(key)]

    def has_chain(self, name: str, wrap: bool = True) -> bool:
        """Return whether there is a chain by that name."""
        with self._manager._lock:
            return self._notes().has_chain(self._family, self._name, name, wrap)

    # -- chains ----------------------------------------------------------------------------------------

    def add_chain(self, name: str, wrap: bool = True) -> None:
        """Add a chain; one that is there stays as it is. A built-in chain (``wrap=False``) is always there.

        Raises:
            InvalidArgument: the name is none, or the table has the same name wrapped and unwrapped.
        """
        with self._manager._lock:
            see_name(name)
            if wrap or not self._is_built_in(name):
                self._notes().add_chain(self._family, self._name, name, wrap)

    def remove_chain(self, name: str, wrap: bool = True) -> None:
        """Remove a chain, the rules in it, and the rules that jump to it. One that is not there is only logged.

        Raises:
            InvalidArgument: rules that have not been added through these tables jump to it.
        """
        with self._manager._lock:
            notes = self._notes()
            if not notes.has_chain(self._family, self._name, name, wrap):
                _LOG.warning("Attempted to remove chain %s which does not exist", name)
                return
            chain = model_name(name)
            jumping = list(self._rules_that_jump_to(chain))
            is_last = not notes.has_chain(_OTHER_FAMILY[self._family], self._name, name, wrap)
            others = sum(one.jumps[chain] for one in self._model_chains()) - len(jumping)
            if is_last and others:
                raise InvalidArgument(f"{others} rules that are not of Nova's tables jump to chain {name}")
            for key in [*jumping, *self._rules_in(chain)]:
                self._take(key)
            notes.drop_chain(self._family, self._name, name, wrap)
            if is_last:
                self._manager.remove_chain(chain, table=self._name)

    def empty_chain(self, chain: str, wrap: bool = True) -> None:
        """Remove all rules of a chain; one that is not there has none."""
        with self._manager._lock:
            try:
                name = self._chain(chain, wrap)
            except InvalidArgument:
                return
            for key in list(self._rules_in(name)):
                self._take(key)

    # -- rules -----------------------------------------------------------------------------------------

    def add_rule(
        self,
        chain: str,
        rule: str,
        wrap: bool = True,
        top: bool = False,
        tag: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Add a rule: what is fed to iptables behind ``-A chain``. ``$name`` is the wrapped chain of that name.

        ``top`` rules come before the others of their chain, in the order in which they were added. ``tag`` (for
        :meth:`clear_rules_by_tag`) and ``comment`` are Neutron's.

        Raises:
            InvalidArgument: the chain, or one that is jumped to, is unknown; or the text is.
            Unsupported: iptables knows it, and refnet's rules or this backend do not.
        """
        with self._manager._lock:
            notes = self._notes()
            name = self._chain(chain, wrap)
            text = self._wrapped(_commented(rule, comment))
            parsed = self._parsed(name, text)
            key = (name, parsed)
            if self._stands(key):
                _LOG.debug("Skipping duplicate iptables rule addition: %s", text)
                return
            reason = self._reason_to_leave_out(name, parsed)
            if reason:
                _LOG.warning("%s is left out: %s", text, reason)
                return
            if not wrap and self._is_built_in(chain):
                self._manager.add_chain(name, hook=chain.lower(), table=self._name)
            try:
                self._put(name, parsed, top=top)
            except Unsupported as error:
                if error.capability not in (Capability.FIREWALL_IPV6, Capability.NAT_IPV6):
                    raise
                # Nova adds rules for IPv6 whatever the host has; without it, no packet could meet them.
                _LOG.warning("%s is left out: %s", text, error.message)
                return
            notes.put_text(self._family, self._name, key, TextRule(chain, text, wrap, top, tag, self._manager.owner))

    def remove_rule(
        self, chain: str, rule: str, wrap: bool = True, top: bool = False, comment: str | None = None
    ) -> None:
        """Remove a rule; one that is not there is only logged."""
        with self._manager._lock:
            try:
                name = self._chain(chain, wrap)
                key = (name, self._parsed(name, self._wrapped(_commented(rule, comment))))
            except (InvalidArgument, Unsupported):
                key = None  # what cannot be added is not there
            if key is None or not self._stands(key):
                _LOG.warning("Tried to remove rule that was not there: %r %r %r %r", chain, rule, wrap, top)
                return
            self._take(key)

    def remove_rules_regex(self, regex: str | re.Pattern[str]) -> int:
        """Remove the rules whose lines (``[0:0] -A chain rule``) the expression matches from their beginning.

        Return how many they were.

        Raises:
            InvalidArgument: it is no regular expression.
        """
        try:
            pattern = re.compile(regex)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            raise InvalidArgument(f"{shown(regex)} is no regular expression: {error}") from None
        with self._manager._lock:
            return self._take_all(lambda text: bool(pattern.match(str(text))))

    def clear_rules_by_tag(self, tag: str) -> None:
        """Remove the rules that were added with a tag."""
        with self._manager._lock:
            if tag:
                self._take_all(lambda text: text.tag == tag)

    # -- how -------------------------------------------------------------------------------------------

    def _notes(self) -> NovaTables:
        notes = self._manager._nova_tables()
        notes.stand(self._family)
        return notes

    def _names(self, *, wrap: bool) -> frozenset[str]:
        with self._manager._lock:
            return frozenset(self._notes().names(self._family, self._name, wrap))

    def _is_built_in(self, name: str) -> bool:
        return name in [hook.upper() for hook in model.HOOKS[self._name]]

    def _chain(self, name: str, wrap: bool) -> str:
        """Return the model's name of a chain that is there, or is a built-in one."""
        if not wrap and self._is_built_in(name):
            return f"at-{name}"
        if not self._notes().has_chain(self._family, self._name, name, wrap):
            raise InvalidArgument(f"Unknown chain: {shown(name)}" + ("" if wrap else " (unwrapped)"))
        return model_name(name)

    def _wrapped(self, text: str) -> str:
        """Return a rule's text with the wrapped chains' names in full, as Nova keeps it."""
        if not isinstance(text, str):
            raise InvalidArgument(f"a rule's text is a str, not {type(text).__name__}")
        if "$" not in text:
            return text
        return " ".join(f"{self._manager.owner}-{one[1:]}" if one[:1] == "$" else one for one in text.split(" "))

    def _parsed(self, chain: str, text: str) -> Rule:
        is_of_hosts = self._name is model.Table.FILTER and chain in ("INPUT", "at-INPUT")
        if is_of_hosts and _LOCAL.search(text):
            # Nova's way to accept what is for this host's metadata service. At this hook all TCP is for this host;
            # other protocols' broadcasts are here as well, and would be let in by a rule without this match.
            rule = parse(_LOCAL.sub("", text), self._family, resolve=self._target)
            if rule.protocol == "tcp":
                return rule
        rule = parse(text, self._family, resolve=self._target)
        if self._is_untranslated(rule) and rule.action == ACCEPT and rule.states == _NOT_SENT_HERE:
            # What keeps a network's own packets as they are. With no word for the exception, a guest that asks for
            # another by its floating address is known by its own.
            return dataclasses.replace(rule, states=None)
        return rule

    def _is_untranslated(self, rule: Rule) -> bool:
        """Say whether it is a rule of translation that asks for connections that are translated, which nothing can."""
        needed = Capability.TRANSLATED_STATE
        return self._name is model.Table.NAT and needed in self._manager.lacks and needed in needs(rule)

    def _reason_to_leave_out(self, chain: str, rule: Rule) -> str | None:
        """Say why a rule that Nova always adds cannot be here, where the rest does without it."""
        lacks = self._manager.lacks
        if rule.action == CHECKSUM_FILL:  # for old DHCP clients
            return lacks.get(Capability.CHECKSUM_FILL)
        if self._is_untranslated(rule) and isinstance(rule.action, Snat):  # for a guest that asks a floating address
            return lacks[Capability.TRANSLATED_STATE]
        if self._name is model.Table.NAT and chain in ("OUTPUT", "at-OUTPUT") and isinstance(rule.action, Dnat):
            try:  # for this host, if it asks one
                self._manager._render(model.Chain(self._name, chain, model.Hook.OUTPUT), rule)
            except Unsupported as error:
                return error.message
        return None

    def _target(self, name: str) -> str:
        """Return the model's name of a chain that a rule jumps to."""
        notes, prefix = self._notes(), f"{self._manager.owner}-"
        if name.startswith(prefix) and notes.has_chain(self._family, self._name, name[len(prefix) :], True):
            return model_name(name[len(prefix) :])
        if notes.has_chain(self._family, self._name, name, False):
            return model_name(name)
        raise InvalidArgument(
            f"there is no chain {shown(name)} to jump to: only this owner's chains can be, the wrapped ones as $name"
        )

    def _model_chains(self) -> Iterator[model.Chain]:
        return (one for one in self._manager._model.chains.values() if one.table is self._name)

    def _stands(self, key: tuple[str, Rule]) -> bool:
        chain = self._manager._model.chains.get((self._name, key[0]))
        return chain is not None and key[1] in chain

    def _rules_in(self, name: str) -> Iterator[tuple[str, Rule]]:
        chain = self._manager._model.chains.get((self._name, name))
        return ((name, one) for one in (chain.rules() if chain else ()) if one.family == self._family)

    def _rules_that_jump_to(self, name: str) -> Iterator[tuple[str, Rule]]:
        action = Jump(name)
        for chain in self._model_chains():
            if name in chain.jumps:
                for one in chain.rules():
                    if one.action == action and one.family == self._family:
                        yield chain.name, one

    def _tops(self, name: str) -> list[Rule]:
        texts = self._notes().texts(self._family, self._name)
        return [key[1] for key, text in texts.items() if key[0] == name and text.top and self._stands(key)]

    def _put(self, name: str, rule: Rule, *, top: bool) -> None:
        """Add a rule: to the end, or behind the other top ones. Then these move, or what is below, which is fewer."""
        above = self._tops(name) if top else []
        tops = set(above)
        below = [one for _, one in self._rules_in(name) if one not in tops] if above else []
        moves_below = len(below) < len(above)
        self._manager.add_rule(name, rule, first=top and not moves_below, table=self._name)
        for one in below if moves_below else reversed(above):
            self._manager.remove_rule(name, one, table=self._name)
            self._manager.add_rule(name, one, first=not moves_below, table=self._name)

    def _take(self, key: tuple[str, Rule]) -> None:
        self._manager.remove_rule(*key, table=self._name)
        self._notes().drop_text(self._family, self._name, key)

    def _take_all(self, wanted: Callable[[TextRule], bool]) -> int:
        texts = self._notes().texts(self._family, self._name)
        found = [key for key, text in texts.items() if wanted(text) and self._stands(key)]
        for key in found:
            self._take(key)
        return len(found)


def _commented(text: str, comment: str | None) -> str:
    if comment is None or not isinstance(text, str):
        return text
    return f'{text} -m comment --comment "{values.text(comment, "comment", values.MAX_COMMENT)}"'
