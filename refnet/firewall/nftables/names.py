"""What things are called on the host, and where own chains are hooked in.

Everything is in a table of its own: ``refnet.<owner>`` of family inet, and for layer 2 of family bridge. An owner's
name has no dot, so that no two owners' tables have the same name.
"""

from __future__ import annotations

from typing import Literal

from refnet.firewall.model import Hook, Key, Table

#: nft(8), "Standard priority names": dstnat, srcnat, mangle, filter, for the hooks that each table has.
_NAT = {Hook.PREROUTING: -100, Hook.OUTPUT: -100, Hook.POSTROUTING: 100}
_OTHERS = {Table.MANGLE: -150, Table.FILTER: 0}
#: Those of family bridge, where dstnat is -300, filter -200 and srcnat 300.
_BRIDGE = {Hook.PREROUTING: -300, Hook.INPUT: -200, Hook.POSTROUTING: 300}
#: How far own chains are before, or behind, those that others have at the standard priority.
_STEP = 5

Position = Literal["first", "last"]


def table(owner: str) -> str:
    """Return the name of an owner's tables."""
    return f"refnet.{owner}"


def chain(key: Key) -> str:
    """Return what a chain of the model is called: tables of the model share one of nft."""
    return f"{key[0].value}.{key[1]}"


def base(where: Table, hook: Hook) -> str:
    """Return the name of the chain that is on a hook, and jumps to the model's chains there in their order."""
    return f"hook.{where.value}.{hook.value}"


def kind(where: Table, hook: Hook) -> str:
    """Return the type of a base chain. Mangle's output is asked for the route again if it changes the packet."""
    if where is Table.NAT:
        return "nat"
    return "route" if where is Table.MANGLE and hook is Hook.OUTPUT else "filter"


def priority(where: Table, hook: Hook, position: Position) -> int:
    """Return a base chain's priority; the kernel asks lower numbers first."""
    standard = _NAT[hook] if where is Table.NAT else _OTHERS[where]
    return standard + (-_STEP if position == "first" else _STEP)


def bridge_priority(hook: Hook, position: Position) -> int:
    """Return a base chain's priority in family bridge."""
    return _BRIDGE[hook] + (-_STEP if position == "first" else _STEP)
