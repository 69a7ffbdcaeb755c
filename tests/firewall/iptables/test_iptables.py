"""The manager with the real tools, both variants, in a network stack of a test's own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.topology.linux import Sandbox
from refnet.errors import LockTimeout, RefnetError, RuleError, TeardownFailed, ToolMissing, Unsupported
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Capability,
    Dnat,
    FirewallManager,
    Jump,
    Log,
    Mark,
    Masquerade,
    Not,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    Table,
    ipv6,
)
from refnet.firewall.iptables import IptablesManager, LegacyIptablesManager, NftIptablesManager, culprit, kernel
from refnet.firewall.iptables.tools import Tools

VARIANTS: dict[str, type[IptablesManager]] = {"legacy": LegacyIptablesManager, "nft": NftIptablesManager}
LIMIT = 60

#: One or more of everything that can be said in table filter; and with it everything that is printed otherwise.
RULES = [
    Rule(ACCEPT, states={"established", "related", "new", "invalid", "untracked", "snat", "dnat"}),
    Rule(ACCEPT, states=Not("established", "related")),
    Rule(Jump("sub"), protocol="tcp", destination_ports=22),
    Rule(
        ACCEPT, protocol="tcp", source="192.0.2.1", source_ports=Not("1-1000"), destination_ports=[80, 443, "8000-8010"]
    ),
    Rule(ACCEPT, protocol="udp", destination_ports=list(range(1, 80, 2))),
    Rule(DROP, protocol="udp", destination_ports=Not(*range(1, 80, 2))),
    Rule(ACCEPT, protocol="udplite", destination_ports=[5, 7]),
    Rule(ACCEPT, protocol="icmp", icmp_type=8),
    Rule(ACCEPT, protocol="icmp", icmp_type="3/4"),
    Rule(ACCEPT, protocol="ipv6-icmp", icmp_type="neighbour-solicitation"),
    Rule(ACCEPT, protocol=41),
    Rule(ACCEPT, protocol="igmp"),
    Rule(ACCEPT, protocol=99),
    Rule(DROP, source=["192.0.2.0/24", "198.51.100.0/24"], destination=["203.0.113.1", "203.0.113.9"]),
    Rule(DROP, source=Not("192.0.2.0/24", "198.51.100.7")),
    Rule(DROP, source=Not("2001:db8::/32", "fe80::/10"), family=6),
    Rule(DROP, source=Not("192.0.2.7"), in_interface="tap1"),
    Rule(DROP, in_interface=Not("tap1", "tap2", "tap3"), out_interface=["eth0", "eth1"]),
    Rule(ACCEPT, in_interface=["tap1", "tap2"], limit="10/minute"),
    Rule(ACCEPT, limit=(4838, "minute", 7)),
    Rule(DROP, source_mac=["52:54:00:00:00:01", "52:54:00:00:00:02"]),
    Rule(DROP, source_mac=Not("52:54:00:00:00:01", "52:54:00:00:00:02")),
    Rule(ACCEPT, mark=Mark(1, 0xFF)),
    Rule(ACCEPT, mark=7),
    Rule(Log("a prefix, with: {signs}"), comment="-j own.sub"),
    Rule(Log(), comment="COMMIT *nat :x - [0:0]; $(id)"),
    Rule(Log("!"), comment="!"),
    Rule(Log("-j"), comment="-"),
    Rule(Log("--"), comment="#"),
    Rule(Log("a  b"), comment=":x"),
    Rule(Reject()),
    Rule(Reject("tcp-reset"), protocol="tcp"),
    Rule(Reject("admin-prohibited"), source="2001:db8::1"),
    Rule(RETURN),
]
NAT = [
    Rule(Masquerade(), source="10.0.0.0/8"),
    Rule(Masquerade((1024, 2048)), protocol="tcp"),
    Rule(Snat("192.0.2.1", (80, 90)), protocol="tcp"),
    Rule(Snat("2001:db8::1", 80), protocol="tcp"),
]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, stack: Sandbox) -> str:
    return str(request.param)


@pytest.fixture
def make(variant: str) -> Any:
    def made(owner: str = "own", **options: Any) -> IptablesManager:
        return VARIANTS[variant](owner, **options)

    return made


@pytest.fixture
def manager(make: Any) -> IptablesManager:
    found: IptablesManager = make()
    return found


def run(*argv: str, stdin: str | None = None) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def save(variant: str, family: int = 4) -> str:
    """Return what stands, without comments and without the counters of built-in chains."""
    printed = run(f"{'ip' if family == 4 else 'ip6'}tables-{variant}-save", "-c")
    return "\n".join(line for line in printed.splitlines() if not line.startswith("#"))


def restore(variant: str, text: str, family: int = 4) -> None:
    run(f"{'ip' if family == 4 else 'ip6'}tables-{variant}-restore", "--noflush", stdin=text)


def fill(manager: FirewallManager) -> None:
    """Put one or more of everything into a model."""
    manager.add_chain("guests", hook="forward")
    manager.add_chain("sub")
    manager.add_chain("a-name-of-more-than-28-bytes-0", hook="input")
    for rule in RULES:
        manager.add_rule("guests", rule)
    manager.add_rule("sub", Rule(DROP, source="192.0.2.7"))
    manager.add_rule("a-name-of-more-than-28-bytes-0", Rule(DROP, protocol="tcp", destination_ports=23))
    manager.add_chain("leave", hook="postrouting", table="nat")
    manager.add_chain("come", hook="prerouting", table="nat")
    for rule in NAT:
        manager.add_rule("leave", rule, table="nat")
    manager.add_rule("come", Rule(Dnat("192.0.2.1", 80), protocol="tcp", destination_ports=8080), table="nat")
    manager.add_rule("come", Rule(Redirect((3128, 3130)), protocol="tcp", destination_ports=3128), table="nat")
    manager.add_chain("fill", hook="postrouting", table="mangle")
    manager.add_rule("fill", Rule(CHECKSUM_FILL, protocol="udp", destination_ports=68), table="mangle")
    manager.add_rule("fill", Rule(SetMark(1, 0xFF)), table="mangle")


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are given to iptables-restore, which goes on doing its work."""
    texts: list[str] = []
    real = Tools.restore

    def watched(self: Tools, text: str, *rest: Any) -> None:
        texts.append(text)
        real(self, text, *rest)

    monkeypatch.setattr(Tools, "restore", watched)
    return texts


def test_everything_that_can_be_said_is_read_back_and_not_written_twice(
    make: Any, variant: str, restored: list[str]
) -> None:
    one = make()
    fill(one)
    one.apply()
    standing = {(found.table, found.name): found for found in one.standing()}
    assert {(table, name): found.hook for (table, name), found in standing.items()} == {
        (table, name): hook for table, name, hook in one.chains()
    }
    for table, name, _ in one.chains():
        assert standing[table, name].rules == one.rules(name, table=table)
    before = save(variant), save(variant, 6)
    assert len(restored) == 2  # one for each family
    one.apply()
    one.resync()
    other = make()
    fill(other)
    other.apply()
    assert len(restored) == 2
    assert (save(variant), save(variant, 6)) == before
    assert other.standing() == one.standing()


def test_a_fresh_process_reads_what_stands(make: Any, variant: str) -> None:
    one = make()
    one.add_chain("guests", hook="forward")
    one.add_chain("sub")
    rules = (
        Rule(ACCEPT, states={"established", "related"}),
        Rule(Jump("sub"), protocol="tcp", destination_ports=[22, "80-90"]),
        Rule(DROP, destination="192.0.2.7"),
        Rule(DROP, destination="2001:db8::7"),
        Rule(Reject()),
    )
    for rule in rules:
        one.add_rule("guests", rule)
    one.apply()
    found = {one.name: one for one in make().standing()}
    assert found["guests"].rules == rules
    assert found["guests"].hook == "forward"
    assert found["sub"] == (Table.FILTER, "sub", None, ())
    restore(variant, "*filter\n-A own.guests -p tcp -m tcp --tcp-flags SYN SYN -j DROP\nCOMMIT\n")
    (stranger,) = set(make().standing()[0].rules) - set(rules)
    assert isinstance(stranger, str)
    assert "--tcp-flags" in stranger


FOREIGN = """\
*filter
:a-b - [0:0]
:own - [0:0]
:ownx.y - [0:0]
-A FORWARD -m comment --comment "own.guests -j own.guests" -j ACCEPT
-A FORWARD -j a-b
-A own -s 192.0.2.1/32 -j DROP
-A a-b -p tcp -j own
-A INPUT -p udp -m comment --comment own. -j DROP
COMMIT
*nat
-A POSTROUTING -o eth9 -j MASQUERADE
COMMIT
"""


@pytest.mark.parametrize("position", ["first", "last"])
def test_what_others_have_stays_as_it_is(make: Any, variant: str, position: str) -> None:
    restore(variant, FOREIGN)
    before = save(variant)
    other = make("own-x")
    fill(other)
    other.apply()
    with_other = save(variant)
    manager = make(position=position)
    fill(manager)
    manager.apply()
    lines = save(variant).splitlines()
    forward = [line.partition("-A FORWARD ")[2] for line in lines if "-A FORWARD" in line]
    assert forward[0 if position == "first" else -1] == "-j own.guests"
    manager.teardown()
    assert save(variant) == with_other
    other.teardown()
    assert _rules_of_others(save(variant)) == _rules_of_others(before)


def _rules_of_others(printed: str) -> list[str]:
    """Return the chains and rules, without the built-in chains of tables that a test has brought about."""
    return [line for line in printed.splitlines() if " -A " in line or line.endswith("- [0:0]")]


def test_counters_are_kept_and_sum_up(make: Any, variant: str, stack: Sandbox) -> None:
    manager = make()
    manager.add_chain("local", hook="output")
    echo = Rule(ACCEPT, protocol="udp", destination_ports=[9, 10])
    several = Rule(ACCEPT, protocol="udp", out_interface=["lo", "eth9"], limit="1000/second")
    manager.add_rule("local", several)
    manager.add_rule("local", echo)
    manager.apply()
    send("127.0.0.1", 9, 3)
    send("::1", 9, 2)
    assert [one.packets for one in manager.counters("local")] == [5, 0]
    manager.remove_rule("local", several)
    manager.add_rule("local", Rule(DROP, destination="192.0.2.1"))
    manager.apply()
    send("127.0.0.1", 10, 3)
    send("::1", 10, 1)
    before = manager.counters("local")
    assert before[0] == (4, 3 * (20 + 8 + 1) + 40 + 8 + 1)
    # Somebody takes one rule away, and puts another one in: what is right is kept with its counters.
    restore(variant, "*filter\n-D own.local -d 192.0.2.1 -j DROP\n-I own.local -p 99 -j DROP\nCOMMIT\n")
    assert manager.counters("local")[0] == before[0]
    manager.resync()
    assert manager.counters("local") == before
    other = make()
    other.add_chain("local", hook="output")
    other.add_rule("local", echo)
    other.apply()
    assert other.counters("local") == before[:1]


def send(address: str, port: int, times: int) -> None:
    import socket

    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(times):
            with contextlib.suppress(OSError):  # nobody listens
                sock.sendto(b"x", (address, port))


def test_one_family_alone_does_not_touch_the_other(make: Any, variant: str) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.1"))
    manager.apply()
    assert save(variant, 6) == ""
    manager.add_rule("guests", Rule(DROP, source="2001:db8::1"))
    manager.apply()
    assert "-A own.guests -s 2001:db8::1/128 -j DROP" in save(variant, 6)
    manager.remove_rule("guests", Rule(DROP, source="2001:db8::1"))
    manager.apply()
    assert "own." not in save(variant, 6)
    assert "-A own.guests -s 192.0.2.1/32 -j DROP" in save(variant)


def test_without_ipv6_rules_for_both_are_ipv4s(make: Any, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipv6, "is_there", lambda: False)
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_chain("source", hook="postrouting", table="nat")
    with pytest.raises(Unsupported) as caught:
        manager.add_rule("guests", Rule(DROP, source="2001:db8::1"))
    assert caught.value.capability == Capability.FIREWALL_IPV6
    with pytest.raises(Unsupported) as caught:
        manager.add_rule("source", Rule(Snat("2001:db8::1")), table="nat")
    assert caught.value.capability == Capability.NAT_IPV6
    assert manager.rules("guests") == manager.rules("source", table="nat") == ()
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    manager.apply()
    assert "own.guests -p tcp -j DROP" in save(variant)
    assert save(variant, 6) == ""
    assert manager.standing()[0].rules == manager.rules("guests")
    assert manager.probe(Capability.FIREWALL_IPV6)


def test_somebody_flushes(make: Any, variant: str) -> None:
    manager = make()
    fill(manager)
    manager.apply()
    before = save(variant)
    for table in ("filter", "nat", "mangle"):
        run(f"iptables-{variant}", "-w", "-t", table, "-F")
        run(f"iptables-{variant}", "-w", "-t", table, "-X")
    manager.resync()
    assert save(variant) == before
    # And without a word to the manager: the next change finds out.
    run(f"iptables-{variant}", "-w", "-F")
    run(f"iptables-{variant}", "-w", "-X")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.99"))
    manager.apply()
    assert {one.name: one.rules for one in manager.standing()}["guests"] == manager.rules("guests")
    assert "-A own.guests -s 192.0.2.99/32 -j DROP" in save(variant)
    assert save(variant).count("-A FORWARD") == 1


def test_what_an_earlier_process_left_goes(make: Any, variant: str) -> None:
    first = make()
    fill(first)
    first.apply()
    second = make()
    second.add_chain("new", hook="forward")
    second.add_rule("new", Rule(DROP, in_interface=Not("a", "b")))
    second.apply()
    own = [line for line in save(variant).splitlines() if "own." in line]
    assert [line for line in own if line.startswith(":own.new")]
    assert all("own.new" in line for line in own)
    assert [one.name for one in second.standing()] == ["new"]
    second.remove_rule("new", Rule(DROP, in_interface=Not("a", "b")))
    second.apply()
    assert "own." not in save(variant)


def test_all_of_both_families_or_nothing(
    make: Any, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    for number in range(1, 6):
        manager.add_rule("guests", Rule(DROP, source=f"192.0.2.{number}"))
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    manager.apply()
    before = save(variant), save(variant, 6)
    broken = tmp_path / f"ip6tables-{variant}-restore"
    broken.write_text("#!/bin/sh\necho 'it is broken' >&2\nexit 3\n")
    broken.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{tmp_path}:{path}")
    for undone in (manager, make()):
        undone.add_chain("guests", hook="forward")
        undone.remove_rule("guests", Rule(DROP, source="192.0.2.3"))
        undone.add_rule("guests", Rule(ACCEPT, protocol="udp"), first=True)
        with pytest.raises(RefnetError, match="it is broken"):
            undone.apply()
        assert save(variant) == before[0]
        assert save(variant, 6) == before[1]
    monkeypatch.setenv("PATH", path)
    manager.apply()
    assert manager.standing()[0].rules == manager.rules("guests")
    assert len(manager.rules("guests")) == 6


def test_a_refused_rule_is_named_and_nothing_has_changed(variant: str) -> None:
    text = "*filter\n:own.a - [0:0]\n-A own.a -s 192.0.2.1\n-A own.a -p tcp -m tcp --dport 99999 -j DROP\nCOMMIT\n"
    with pytest.raises(RuleError) as caught:
        Tools(4, variant).restore(text, 5)
    assert caught.value.rule == "-A own.a -p tcp -m tcp --dport 99999 -j DROP"
    assert "own.a" not in save(variant)


def test_a_rule_that_the_kernel_refuses_where_it_stands_is_named(variant: str) -> None:
    # It is the jump from OUTPUT, or the table as a whole, that is refused: packets have no source MAC address there.
    guilty = "-A own.b -m mac --mac-source 52:54:00:00:00:01 -j DROP"
    rules = "\n".join(f"-A own.b -s 192.0.2.{number} -j DROP" for number in range(1, 9))
    text = (
        f"*filter\n:own.a - [0:0]\n:own.b - [0:0]\n-A own.a -j own.b\n{rules}\n{guilty}\n{rules}\n"
        "-A OUTPUT -j own.a\nCOMMIT\n"
    )
    with pytest.raises(RuleError) as caught:
        Tools(4, variant).restore(text, 5)
    assert culprit.is_unclear(caught.value)
    assert culprit.named(caught.value, Tools(4, variant), text, "own.").rule == guilty
    assert "own." not in save(variant)


@contextlib.contextmanager
def held_lock() -> Iterator[None]:
    with open("/run/xtables.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_the_lock_is_waited_for_with_a_limit(stack: Sandbox) -> None:
    manager = LegacyIptablesManager("own", lock_time_limit=0.5)
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, protocol="tcp"))
    with held_lock(), pytest.raises(LockTimeout, match="xtables lock"):
        manager.apply()
    assert save("legacy") == ""
    manager.apply()
    assert "own.guests" in save("legacy")
    manager.add_rule("guests", Rule(DROP, protocol="udp"))
    with held_lock(), pytest.raises(LockTimeout):
        manager.apply()
    assert "-p udp" not in save("legacy")
    manager.apply()
    assert save("legacy").count("-A own.guests") == 2


def test_no_program(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = make()
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        with pytest.raises(ToolMissing, match="Debian's package iptables"):
            manager.apply()
        assert "iptables" in (manager.probe(Capability.RATE_LIMIT) or "")
    manager.apply()


def test_without_the_privilege(variant: str, stack: Sandbox) -> None:
    code = (
        "import refnet.firewall as f, refnet.firewall.iptables as i\n"
        "from refnet.errors import PermissionDenied, TeardownFailed\n"
        f"m = i.{VARIANTS[variant].__name__}('own')\n"
        "m.add_chain('g', hook='forward'); m.add_rule('g', f.Rule(f.DROP))\n"
        "for call in (m.apply, m.resync):\n"
        "    try: call()\n"
        "    except PermissionDenied as error: print(error)\n"
        "print(m.probe('filter')); print(m.probe('forget-connections'))\n"
        "try: m.teardown()\n"
        "except TeardownFailed as error: print(error)\n"
    )
    # One may make namespaces, and change nothing in this one's.
    for left in ("-all", "-all,+sys_admin"):
        said = run("setpriv", f"--bounding-set={left}", "--inh-caps=-all", sys.executable, "-c", code)
        assert [line.count("CAP_NET_ADMIN") for line in said.splitlines()] == [1, 1, 1, 1, 1]
        assert "python" not in said
    assert save(variant) == ""


def test_teardown_takes_all_of_both_variants_and_tells_what_stays(stack: Sandbox) -> None:
    stood = []
    for name, kind in VARIANTS.items():
        manager = kind("own")
        fill(manager)
        manager.apply()
        stood.append((save(name), save(name, 6)))
    for family, text in zip((4, 6), stood[0], strict=True):  # the second manager has removed the first one's
        restore("legacy", text + "\n", family)
    other = NftIptablesManager("own-b")
    fill(other)
    other.apply()
    restore("legacy", "*raw\n:own.raw - [0:0]\n-A PREROUTING -j own.raw\nCOMMIT\n")
    restore("legacy", "*filter\n:theirs - [0:0]\n-A theirs -p tcp -j own.sub\nCOMMIT\n")
    with pytest.raises(TeardownFailed, match=r"theirs.*own\.sub") as caught:
        IptablesManager("own").teardown()
    assert len(caught.value.errors) == 1
    assert [line for line in save("legacy").splitlines() if "own." in line] == [
        ":own.sub - [0:0]",
        "[0:0] -A theirs -p tcp -j own.sub",
    ]
    assert not re.search(r"^:own\.|-A own\.|-j own\.\S+$", save("nft"), re.MULTILINE)
    assert "own-b.guests" in save("nft")
    assert "own." not in save("legacy", 6)
    run("iptables-legacy", "-w", "-F", "theirs")
    IptablesManager("own").teardown()
    IptablesManager("own").teardown()
    assert "own." not in save("legacy")


@pytest.mark.parametrize("jump", [False, True])
def test_a_comment_with_a_jump_in_it_is_none(manager: IptablesManager, variant: str, jump: bool) -> None:
    fill(manager)
    manager.apply()
    said, target = ("a -j b", "own.guests") if jump else ("see -j own.guests for more", "ACCEPT")
    restore(variant, f'*filter\n-A INPUT -m comment --comment "{said}" -j {target}\nCOMMIT\n')
    if jump:
        with pytest.raises(TeardownFailed, match=r'somebody\'s rule \'-A INPUT -m comment --comment "a -j b" -j own'):
            manager.teardown()
    else:
        manager.teardown()
    assert (":own.guests" in save(variant)) is jump
    assert "-A own." not in save(variant)


def test_rules_that_no_program_can_remove_are_told(
    make: Any, variant: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = make()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        make().teardown()  # nothing stands: nothing is missed
        make().apply()
    restore(variant, "*filter\n:theirs - [0:0]\nCOMMIT\n")
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(DROP, source="192.0.2.1"))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        make().teardown()  # others' chains are nothing of this owner's
    manager.apply()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        for kind in (make, lambda: IptablesManager("own")):
            with pytest.raises(TeardownFailed) as caught:
                kind().teardown()
            assert [type(one) for one in caught.value.errors] == [ToolMissing]
            assert f"iptables-{variant}-save" in str(caught.value)
            with pytest.raises(ToolMissing):
                kind().apply()
    assert "-A own.guests" in save(variant)
    manager.teardown()
    assert "own." not in save(variant)


def test_what_stands_in_the_other_variant_goes_with_the_first_apply(
    make: Any, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = set(VARIANTS) - {variant}
    before, manager = VARIANTS[other]("own"), make()
    fill(before)
    before.apply()
    restore(other, "*filter\n:theirs - [0:0]\n-A theirs -j DROP\nCOMMIT\n")
    fill(manager)
    manager.apply()
    for family in (4, 6):
        assert "own." in save(variant, family)
        assert "own." not in save(other, family)
    assert "-A theirs -j DROP" in save(other)
    asked: list[str] = []
    monkeypatch.setattr(Tools, "save", lambda self: asked.append(self.variant) or "")
    make().resync()
    assert other not in asked


def test_a_refused_question_is_no_answer(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kernel, "_GET_CHAIN", 99)  # EINVAL, as from a kernel without nf_tables
        assert kernel.has_nft_chain(socket.AF_INET, "own.")
        patched.setattr(kernel, "_SUBSYSTEM", 99)
        assert not kernel.has_nft_chain(socket.AF_INET, "own.")
    assert not kernel.has_nft_chain(socket.AF_INET, "own.")


def test_a_chain_is_found_in_the_kernels_own_tables(stack: Sandbox) -> None:
    assert not kernel.has_legacy_chain(4, "own.")
    for family in (4, 6):
        chains = "".join(f":c{number} - [0:0]\n-A c{number} -j RETURN\n" for number in range(500))
        restore("legacy", f"*filter\n{chains}:an-own.x - [0:0]\n-A c1 -m comment --comment own.y\nCOMMIT\n", family)
        assert not kernel.has_legacy_chain(family, "own.")
        assert kernel.has_legacy_chain(family, "an-own.")
        restore("legacy", "*mangle\n:own.z - [0:0]\nCOMMIT\n", family)
        assert kernel.has_legacy_chain(family, "own.")
        assert family == 6 or not kernel.has_legacy_chain(6, "own.")


def test_processes_do_not_disturb_each_other(make: Any, variant: str) -> None:
    code = (
        "import sys, refnet.firewall as f, refnet.firewall.iptables as i\n"
        f"m = i.{VARIANTS[variant].__name__}(sys.argv[1]); m.add_chain('g', hook='forward')\n"
        "for n in range(1, 31):\n"
        "    m.add_rule('g', f.Rule(f.DROP, source=f'192.0.2.{n}'))\n"
        "    m.add_rule('g', f.Rule(f.ACCEPT, mark=n)); m.apply()\n"
        "    if n % 10 == 0: m.resync()\n"
    )
    owners = ("a", "a-b", "c")
    children = [subprocess.Popen([sys.executable, "-c", code, owner], stderr=subprocess.PIPE) for owner in owners]
    for child in children:
        _, said = child.communicate(timeout=LIMIT)
        assert child.returncode == 0, said.decode()
    lines = save(variant).splitlines()
    for owner in owners:
        assert [line.split("-s ")[1] for line in lines if f"-A {owner}.g -s" in line] == [
            f"192.0.2.{n}/32 -j DROP" for n in range(1, 31)
        ]
        assert sum(f"-A {owner}.g -m mark" in line for line in save(variant, 6).splitlines()) == 30


def test_killed_at_any_moment_the_next_one_converges(make: Any, variant: str, tmp_path: Path) -> None:
    code = (
        "import sys, refnet.firewall as f, refnet.firewall.iptables as i\n"
        f"m = i.{VARIANTS[variant].__name__}('own')\n"
        "for name in ('x', 'y'): m.add_chain(name, hook='forward'); m.add_chain('sub-' + name)\n"
        "open(sys.argv[1], 'w').close()\n"
        "while True:\n"
        "    for name in ('x', 'y'):\n"
        "        for n in range(1, 30): m.add_rule(name, f.Rule(f.DROP, in_interface=f.Not('a', f'b{n}')))\n"
        "        m.add_rule(name, f.Rule(f.Jump('sub-' + name))); m.apply(); m.empty_chain(name)\n"
    )
    for moment in range(4):
        ready = tmp_path / str(moment)
        child = subprocess.Popen([sys.executable, "-c", code, str(ready)], start_new_session=True)
        try:
            deadline = time.monotonic() + LIMIT
            while not ready.exists() or "own." not in save(variant):
                assert time.monotonic() < deadline
            time.sleep(0.01 * moment)  # anywhere
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(LIMIT)
        manager = make()
        fill(manager)
        manager.apply()
        assert {(one.table, one.name): one.rules for one in manager.standing()} == {
            (table, name): manager.rules(name, table=table) for table, name, _ in manager.chains()
        }
        assert "own.x" not in save(variant)
    manager.teardown()
    assert "own." not in save(variant) + save(variant, 6)


def test_what_is_there_is_found_by_trying_and_leaves_nothing(manager: IptablesManager, variant: str) -> None:
    assert {one for one in Capability if manager.probe(one)} == {Capability.NEIGHBOUR_TARGETS}
    assert save(variant) == ""
    assert save(variant, 6) == ""
