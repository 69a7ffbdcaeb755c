"""Who is compared on rules: each contender is a module that keeps the same rules standing.

A module has ``start(tool, count)``, which does what a long-running agent has done already (imports, the model filled
with ``count`` rules) and returns an object with these methods. Each prepares one step, and returns the function that is
timed:

* ``first()``: have all rules stand where none does;
* ``more(line)``: one rule more, at the end of a chain; ``less(line)``: the same one gone again;
* ``nothing()``: make sure of what stands; None where a contender has no such thing.

A module may have ``model(kind, count)`` too: the model alone, to see what adding to it takes, and what it holds.

Nothing in this package but :mod:`.with_refnet` may import refnet: the peers' interpreter does not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from benchmarks.firewalls.workload import Line

#: The owner, or the program that the rules are of.
OWNER = "bench"

Step = Callable[[], object]


class Firewall(Protocol):
    """What a contender's ``start`` returns."""

    def first(self) -> Step:
        """Have all rules stand where none does."""

    def more(self, line: Line) -> Step:
        """Have one rule more."""

    def less(self, line: Line) -> Step:
        """Have one rule less."""

    def nothing(self) -> Step | None:
        """Make sure of what stands."""


class Model(NamedTuple):
    """A manager's model, with all its chains and no rules."""

    #: Gives the arguments to ``add`` each rule with.
    items: Callable[[], Iterator[tuple[Any, ...]]]
    add: Callable[..., object]
    #: Has the rules stand on the host; None where nothing can.
    apply: Callable[[], object] | None


@dataclass(frozen=True)
class Tool:
    """A way into the kernel: the programs that it takes, and Debian's package that brings them."""

    name: str
    title: str
    programs: tuple[str, ...]
    package: str


LEGACY = Tool(
    "legacy", "iptables-legacy", ("iptables-legacy", "iptables-legacy-restore", "iptables-legacy-save"), "iptables"
)
NFT_VARIANT = Tool("nft", "iptables-nft", ("iptables-nft", "iptables-nft-restore", "iptables-nft-save"), "iptables")
NFTABLES = Tool("nftables", "nftables", ("nft",), "nftables")


@dataclass(frozen=True)
class Contender:
    """One way to keep rules standing by a tool. A tool's first contender is its floor."""

    tool: Tool
    module: str
    title: str
    #: Needs the virtual environment with the peers.
    is_peer: bool = False
    #: Takes so long for a change that fewer of them are enough to know it.
    is_slow: bool = False

    @property
    def name(self) -> str:
        """What it is known by among all contenders."""
        return f"{self.tool.title}: {self.title}"


def _of_iptables(tool: Tool) -> tuple[Contender, ...]:
    return (
        Contender(tool, "with_restore", "`iptables-restore -n`"),
        Contender(tool, "with_refnet", "refnet"),
        Contender(tool, "with_whole_restore", "whole `iptables-restore`", is_slow=True),
        Contender(tool, "with_neutron", "Neutron's code", is_peer=True, is_slow=True),
        Contender(tool, "with_nova", "Nova's code", is_peer=True, is_slow=True),
    )


CONTENDERS = (
    *_of_iptables(LEGACY),
    *_of_iptables(NFT_VARIANT),
    Contender(NFTABLES, "with_nft", "`nft -f`"),
    Contender(NFTABLES, "with_refnet", "refnet"),
    Contender(NFTABLES, "with_bare_nft", "`nft -f`, no comments"),
)


def floor_of(contender: Contender) -> Contender:
    """Return the contender that another one's times are divided by those of."""
    return next(one for one in CONTENDERS if one.tool is contender.tool)
