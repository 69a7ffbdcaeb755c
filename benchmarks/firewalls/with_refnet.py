"""refnet's managers, by their public interface."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import firewalls
from benchmarks.firewalls import OWNER, Model, Step, workload
from benchmarks.firewalls.workload import Line
from refnet.firewall import ACCEPT, DROP, FirewallManager, Jump, Rule
from refnet.firewall.actions import Action
from refnet.firewall.iptables import LegacyIptablesManager, NftIptablesManager
from refnet.firewall.nftables import NftablesManager

_CLASSES: dict[str, Callable[[str], FirewallManager]] = {
    "legacy": LegacyIptablesManager,
    "nft": NftIptablesManager,
    "nftables": NftablesManager,
}
_VERDICTS: dict[str, Action] = {"ACCEPT": ACCEPT, "DROP": DROP}


class Refnet:
    """A manager; rules are made before they are added."""

    def __init__(self, tool: str) -> None:
        """Make the manager, with no chains."""
        self.manager = _CLASSES[tool](OWNER)

    def first(self) -> Step:
        """``apply``."""
        return self.manager.apply

    def more(self, line: Line) -> Step:
        """``add_rule`` and ``apply``."""
        made = rule(line)

        def run() -> None:
            self.manager.add_rule(line.chain, made)
            self.manager.apply()

        return run

    def less(self, line: Line) -> Step:
        """``remove_rule`` and ``apply``."""
        made = rule(line)

        def run() -> None:
            self.manager.remove_rule(line.chain, made)
            self.manager.apply()

        return run

    def nothing(self) -> Step:
        """``apply``."""
        return self.manager.apply


def start(tool: str, count: int) -> firewalls.Firewall:
    """Fill the model."""
    made = Refnet(tool)
    add_chains(made.manager, count)
    for line in workload.lines(count):
        made.manager.add_rule(line.chain, rule(line))
    return made


def add_chains(manager: FirewallManager, count: int) -> None:
    """Add all chains."""
    manager.add_chain("guests", hook="forward")
    for name in workload.chains(count):
        manager.add_chain(name)


def rule(line: Line) -> Rule:
    """Make a rule."""
    return Rule(
        Jump(line.target) if line.is_jump() else _VERDICTS[line.target],
        family=4,
        protocol=line.protocol or None,
        source=line.source or None,
        source_ports=line.source_port or None,
        destination_ports=line.port or None,
        in_interface=line.in_device or None,
        out_interface=line.out_device or None,
        states=line.states.lower().split(",") if line.states else None,
    )


def model(kind: str, count: int) -> Model:
    """Return the model of a tool (``legacy``), the same behind Nova's tables (``text legacy``), or ``rules`` alone."""
    if kind == "rules":
        return Model(lambda: ((line,) for line in workload.lines(count)), rule, None)
    *as_text, tool = kind.split()
    manager = _CLASSES[tool](OWNER)
    if not as_text:
        add_chains(manager, count)
        return Model(
            lambda: ((line.chain, rule(line)) for line in workload.lines(count)), manager.add_rule, manager.apply
        )
    table = manager.ipv4["filter"]
    for name in ("guests", *workload.chains(count)):
        table.add_chain(name)
    table.add_rule("FORWARD", "-j $guests")
    return Model(
        lambda: ((line.chain, line.iptables("$")) for line in workload.lines(count)), table.add_rule, manager.apply
    )
