"""What is played on FreeBSD and recorded, and played again wherever the tests run: each scene proves something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from refnet.errors import AnchorNotReferenced, NotEnabled
from refnet.firewall import ACCEPT, DROP, RETURN, Answer, Dnat, Jump, Log, Masquerade, Not, Reject, Rule, Table
from refnet.firewall.pf import PfManager

OWNER = "own"
_WEB = Rule(ACCEPT, protocol="tcp", destination="192.0.2.0/24", destination_ports=[80, "8000-8010"], comment="$if ~ |")
_NAMES = Rule(ACCEPT, protocol="udp", destination_ports=53)


def not_enabled(manager: PfManager) -> None:
    """With pf switched off, nothing is loaded."""
    _lay(manager)
    with pytest.raises(NotEnabled, match="pfctl -e"):
        manager.apply()


def not_called(manager: PfManager) -> None:
    """With a main rule set that does not call the anchors, nothing is loaded, and the lines to add are told."""
    _lay(manager)
    with pytest.raises(AnchorNotReferenced) as told:
        manager.apply()
    assert told.value.lines == ('nat-anchor "refnet/*"', 'rdr-anchor "refnet/*"', 'anchor "refnet/*"')


def first_apply(manager: PfManager) -> None:
    """What was applied stands, as another manager reads it, and has counted nothing."""
    _lay(manager)
    manager.apply()
    expected = {(table, name): manager.rules(name, table=table) for table, name, _ in manager.chains()}
    assert {(one.table, one.name): one.rules for one in PfManager(OWNER).standing()} == expected
    assert manager.counters("guests") == ((0, 0),) * 4
    assert manager.counters("coming", table="nat") == ((0, 0),)


def same_again(manager: PfManager) -> None:
    """A manager that comes to the same rules loads nothing."""
    _lay(manager)
    manager.apply()


def one_more(manager: PfManager) -> None:
    """One rule more is loaded with its chain alone, and the entrance."""
    _lay(manager)
    manager.apply()
    manager.add_rule("names", _NAMES)
    manager.apply()
    assert manager.standing()[0].rules == (Rule(DROP, protocol="udp", destination_ports=54), _NAMES)


def teardown(manager: PfManager) -> None:
    """All of it goes, whoever has made it."""
    manager.teardown()
    assert manager.standing() == ()


def decided_before(manager: PfManager) -> None:
    """Behind a rule that decides about every packet, nothing is loaded, and that rule is told."""
    _lay(manager)
    with pytest.raises(AnchorNotReferenced, match=r"says 'pass quick all flags S/SA keep state' before") as told:
        manager.apply()
    assert told.value.lines == ('anchor "refnet/*"',)


def stopped_by_others(manager: PfManager) -> None:
    """What an anchor of somebody else's stops unless a later rule lets it pass, is not let pass to be remembered."""
    _lay(manager)
    manager.apply()
    assert not _remembers(manager)


def ended_by_others(manager: PfManager) -> None:
    """What others' rules stop at once does not come to the anchor: the rest is remembered."""
    _lay(manager)
    manager.apply()
    assert _remembers(manager)


def _remembers(manager: PfManager) -> bool:
    return any(line.text.startswith("pass in ") for line in manager._all().entrance)


def connections(manager: PfManager) -> None:
    """Of an address without connections, none are forgotten."""
    assert manager.forget_connections("192.0.2.77") == 0


def _lay(manager: PfManager) -> None:
    manager.add_chain("names", hook="input")
    manager.add_rule("names", Rule(DROP, protocol="udp", destination_ports=54))
    manager.add_chain("web")
    manager.add_rule("web", _WEB)
    manager.add_rule("web", Rule(RETURN, protocol="icmp", icmp_type="echo-request"))
    manager.add_rule("web", Rule(Reject(Answer.HOST_UNREACHABLE), source=Not("10.0.0.0/8")))
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(Jump("web"), in_interface="tap1"))
    manager.add_rule("guests", Rule(Log("from $srcaddr"), in_interface=Not("tap1", "tap2")))
    manager.add_rule("guests", Rule(ACCEPT, states=("established", "related")))
    manager.add_rule("guests", Rule(DROP, in_interface="tap1", out_interface="tap2"))
    manager.add_chain("leaving", hook="postrouting", table=Table.NAT)
    manager.add_rule("leaving", Rule(Masquerade(), source="10.0.0.0/8", out_interface="em0"), table=Table.NAT)
    manager.add_chain("coming", hook="prerouting", table=Table.NAT)
    manager.add_rule(
        "coming", Rule(Dnat("10.0.0.9", ports=80), protocol="tcp", destination_ports=8080), table=Table.NAT
    )


def _main(*lines: str, anchor: str = 'anchor "refnet/*"') -> str:
    """Return the shell's words that load a main rule set with these lines before what calls refnet's anchors."""
    rules = ['nat-anchor "refnet/*"', 'rdr-anchor "/refnet/*"', *lines, anchor]
    return "pfctl -q -f - <<.\n" + "".join(f"{line}\n" for line in rules) + "."


_OTHERS = "echo 'block in {}from 192.0.2.66' | pfctl -q -a theirs/one -f -\n"
#: In their order, each with what somebody does before it.
SCENES: tuple[tuple[str, Callable[[PfManager], None]], ...] = (
    ("pfctl -q -d", not_enabled),
    ("pfctl -q -e", not_called),
    (_main("pass quick"), decided_before),
    (_main(), first_apply),
    (_main(anchor='anchor "/refnet/*"'), same_again),
    ("", one_more),
    ("", connections),
    ("", teardown),
    (_OTHERS.format("") + _main('anchor "theirs/*"'), stopped_by_others),
    (
        _OTHERS.format("quick ") + _main('block in quick on em9 label "a quick one"', 'anchor "theirs/one"'),
        ended_by_others,
    ),
)
