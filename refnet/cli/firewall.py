"""The commands of ``refnet firewall``: rule files, and what stands on the host."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refnet.cli.output import Answer, capabilities_text, printable

if TYPE_CHECKING:
    from refnet.firewall import FirewallManager, Rule


def check(options: Namespace) -> Answer:
    """Read a rule file into a manager's model, and say in words what it means. Nothing is looked at or changed."""
    from refnet.firewall import Hook, file, words

    rules = file.read(options.file)
    with _manager(rules.owner, options) as manager:
        rules.load(manager)
    text = "".join(
        _chain_text(words.chain(chain.name, chain.table, Hook(chain.hook) if chain.hook else None), chain.rules)
        for chain in rules.chains
    )
    layer2 = [*map(words.guard, rules.port_guards), *map(words.isolation, rules.dhcp_isolations)]
    if not rules.chains and not layer2:
        layer2 = [f"nothing is in it: applied, it takes away all that {rules.owner} has here"]
    document = {
        "ok": True,
        "owner": rules.owner,
        "chains": [_chain(chain) for chain in rules.chains],
        "port-guards": [words.guard(guard) for guard in rules.port_guards],
        "dhcp-isolations": [words.isolation(isolation) for isolation in rules.dhcp_isolations],
    }
    return Answer(document, text + "".join(f"{line}\n" for line in layer2))


def apply(options: Namespace) -> Answer:
    """Make the host like a rule file; what of its owner stands and is not in it goes."""
    from refnet.firewall import file

    rules = file.read(options.file)
    with _manager(rules.owner, options) as manager:
        rules.load(manager)
        if options.enable:
            manager.enable()
        manager.apply()
    return Answer({"ok": True, "operation": options.operation, "owner": rules.owner})


def show(options: Namespace) -> Answer:
    """Say in words what stands on the host of an owner."""
    from refnet.firewall import words

    with _manager(options.owner, options) as manager:
        standing = manager.standing()
    text = "".join(_chain_text(words.chain(chain.name, chain.table, chain.hook), chain.rules) for chain in standing)
    if not standing:
        text = f"{options.owner} has no rules here\n"
    return Answer({"owner": options.owner, "chains": [_chain(chain) for chain in standing]}, text)


def teardown(options: Namespace) -> Answer:
    """Remove all of an owner's rules from the host."""
    with _manager(options.owner, options) as manager:
        manager.teardown()
    return Answer({"ok": True, "operation": options.operation, "owner": options.owner})


def capabilities(options: Namespace) -> Answer:
    """Ask for every capability; that one is missing is an answer, not an error."""
    from refnet.firewall import Capability
    from refnet.firewall.file import DEFAULT_OWNER

    with _manager(DEFAULT_OWNER, options) as manager:
        reasons = {str(capability): manager.probe(capability) for capability in Capability}
    found = {name: {"available": reason is None, "reason": reason} for name, reason in reasons.items()}
    return Answer({"capabilities": found}, capabilities_text(reasons))


def _manager(owner: str, options: Namespace) -> FirewallManager:
    from refnet import config
    from refnet.firewall import ENTRY_POINTS, FirewallManager

    # One of its own, not the process's: each command begins with an empty model.
    chosen = config.choice(ENTRY_POINTS, options.driver)
    manager: FirewallManager = config.load_class(ENTRY_POINTS, chosen, FirewallManager)(owner)  # type: ignore[type-abstract]
    return manager


def _chain_text(heading: str, rules: Sequence[Rule | str]) -> str:
    from refnet.firewall import words

    width = len(str(len(rules)))
    shown = [printable(rule if isinstance(rule, str) else words.rule(rule)) for rule in rules]
    # What somebody else has written into this owner's chains, their names included, can be any bytes.
    return f"{printable(heading)}\n" + "".join(
        f"  {number:{width}}  {words}\n" for number, words in enumerate(shown, 1)
    )


def _chain(chain: Any) -> dict[str, Any]:
    """Return a chain of a file, or one that stands, for JSON: its rules as a rule file writes them."""
    from refnet.firewall import file

    rules = [rule if isinstance(rule, str) else file.plain(rule) for rule in chain.rules]
    return {"name": chain.name, "table": str(chain.table), "hook": chain.hook and str(chain.hook), "rules": rules}
