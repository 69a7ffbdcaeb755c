"""Port guards and isolated addresses by ebtables: what is planned, and what frames meet."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.topology.linux import Sandbox
from refnet.errors import CommandFailed, LockTimeout, RuleError, TeardownFailed, ToolMissing, Unsupported
from refnet.firewall import DhcpIsolation, PortGuard
from refnet.firewall.iptables import IptablesManager, ebtables
from refnet.firewall.iptables.ebtables import Ebtables
from refnet.firewall.iptables.guards import FoundJumps, commands, wanted

LIMIT = 60
MAC = "52:54:00:00:00:01"
GUARDS = [
    PortGuard("tap1", MAC, ["192.0.2.1", "2001:db8::1"]),
    PortGuard("tap1", MAC, ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/64"]),
    PortGuard("tap1", MAC, []),
    PortGuard("tap2", "52:54:00:00:00:02"),
    PortGuard("tap2", "52:54:00:00:00:02", dhcp_server=True, router=True),
    PortGuard("a-port-of-15-by", "52:54:00:00:00:03", ["192.0.2.3"]),
]
ISOLATIONS = [DhcpIsolation("eth0", "192.0.2.254"), DhcpIsolation("eth1", "192.0.2.254")]


def listing(program: str = "ebtables") -> str:
    return subprocess.run(
        [program, "-t", "nat", "-L"], capture_output=True, text=True, timeout=LIMIT, check=True
    ).stdout


# -- planning ---------------------------------------------------------------------------------------------


class Kernel:
    """Chains, and lines carried out one by one: at each moment, whoever has had a guard and keeps one, has one."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.built_in: dict[str, list[str]] = {"PREROUTING": [], "POSTROUTING": []}

    def do(self, line: str) -> None:
        verb, chain, *rest = line.split(" ", 2)
        lines = self.built_in.get(chain, self.chains.get(chain))
        if verb == "-N":
            assert lines is None
            self.chains[chain] = []
            return
        assert lines is not None, line
        if verb == "-A":
            lines.append(rest[0])
        elif verb == "-I":
            lines.insert(0, rest[0])
        elif verb == "-D":
            lines.remove(rest[0])
        elif verb == "-F":
            lines.clear()
        elif verb == "-X":
            assert not lines
            assert all(chain not in line for one in (*self.chains.values(), *self.built_in.values()) for line in one)
            del self.chains[chain]
        else:
            raise AssertionError(line)

    def guarded(self) -> set[str]:
        """Return the ports that have a guard which is whole."""
        found = set()
        for jump in self.built_in["PREROUTING"]:
            for line in () if "own." not in jump else self.chains[jump.split()[-1]]:
                if line.startswith("-i ") and self.chains[line.split()[-1]][-1:] == ["-j RETURN"]:
                    found.add(line.split()[1])
        return found

    def own(self) -> tuple[dict[str, tuple[str, ...]], FoundJumps]:
        jumps: FoundJumps = {
            name: [line.split()[-1] if "own." in line else None for line in lines]
            for name, lines in self.built_in.items()
            if any("own." in line for line in lines)
        }
        return {name: tuple(lines) for name, lines in self.chains.items()}, jumps

    def others(self) -> list[str]:
        return [line for lines in self.built_in.values() for line in lines if "own." not in line]


_models = st.tuples(
    st.lists(st.sampled_from(GUARDS), max_size=3, unique_by=lambda guard: guard.port),
    st.lists(st.sampled_from(ISOLATIONS), max_size=2, unique=True),
)


@given(
    st.lists(_models, min_size=1, max_size=4),
    st.integers(0, 60),
    st.booleans(),
    st.lists(st.sampled_from(["-I theirs", "-A theirs", "-I own", "-A own"]), max_size=3),
)
def test_one_by_one_no_port_is_without_its_guard(
    models: list[tuple[list[PortGuard], list[DhcpIsolation]]], killed_at: int, first: bool, drift: list[str]
) -> None:
    kernel = Kernel()
    before: set[str] = set()
    for turn, (guards, isolations) in enumerate(models):
        for one in drift:
            verb, whose = one.split()
            own = kernel.own()[1].get("PREROUTING", [])
            if whose == "theirs" or own:
                kernel.do(f"{verb} PREROUTING -j {own[0] if whose == 'own' else f'theirs{turn}'}")
        others = kernel.others()
        chains, jumps = wanted("own", guards, isolations)
        lines = commands(*kernel.own(), chains, jumps, first=first)
        staying = before & {guard.port for guard in guards}
        for line in lines[:killed_at]:
            kernel.do(line)
            assert staying <= kernel.guarded()
        # Whoever comes next looks, and makes it whole.
        for line in commands(*kernel.own(), chains, jumps, first=first):
            kernel.do(line)
            assert staying <= kernel.guarded()
        found = kernel.own()
        assert found[0] == chains
        assert {built_in: [one for one in there if one] for built_in, there in found[1].items()} == {
            built_in: [name] for built_in, name in jumps.items()
        }
        assert all(there[0 if first else -1] for there in found[1].values())
        assert kernel.others() == others
        assert commands(*kernel.own(), chains, jumps, first=first) == []
        before = kernel.guarded()
        assert before == {guard.port for guard in guards}


def test_names_of_chains_fit() -> None:
    chains, _ = wanted("a-16-bytes-owner", GUARDS[-1:], ISOLATIONS)
    assert all(len(name) <= 28 and name.startswith("a-16-bytes-owner.") for name in chains)
    assert len({wanted("own", [one], [])[1]["PREROUTING"] for one in GUARDS}) == len(GUARDS)


# -- the real tool ----------------------------------------------------------------------------------------


def test_what_is_written_is_read_back_and_not_written_twice(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    real = ebtables.run
    monkeypatch.setattr(
        ebtables, "run", lambda program, lines, *rest: (written.append(lines), real(program, lines, *rest))
    )
    for guard in GUARDS:
        manager = IptablesManager("own")
        manager.guard_port(guard)
        for one in ISOLATIONS:
            manager.isolate_dhcp_address(one.interface, one.address)
        manager.apply()
        count = len(written)
        manager.resync()
        manager.apply()
        assert len(written) == count
        # What an earlier process has left is gone: two chains for the hooks, and the guard's.
        assert listing().count("Bridge chain: own.") == 3
    subprocess.run(["ebtables", "-t", "nat", "-A", "PREROUTING", "-s", MAC, "-j", "DROP"], check=True)
    subprocess.run(["ebtables", "-t", "nat", "-N", "own"], check=True)
    manager.teardown()
    assert "own." not in listing()
    assert f"-s {MAC} -j DROP" in listing()
    assert "Bridge chain: own," in listing()


def test_numbers_stand_for_names_that_a_host_may_not_have(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("/etc/ethertypes", "/etc/protocols")
    try:
        for file in files:
            subprocess.run(["mount", "--bind", "/dev/null", file], check=True)
        manager = IptablesManager("own")
        manager.guard_port(GUARDS[0])
        manager.isolate_dhcp_address(ISOLATIONS[0].interface, ISOLATIONS[0].address)
        manager.apply()
        without = listing()
        assert "0x806" in without
        with monkeypatch.context() as patched:
            patched.setattr(ebtables, "run", lambda *_: pytest.fail("it is written twice"))
            manager.resync()
    finally:
        for file in files:
            subprocess.run(["umount", file], check=False)
    assert "0x806" not in listing()
    assert ebtables.read(listing(), "own.") == ebtables.read(without, "own.")


def test_what_others_put_before_guards_comes_behind_them_with_resync(stack: Sandbox) -> None:
    theirs = ["-s 52:54:00:00:00:09 -j ACCEPT", "-s 52:54:00:00:00:08 -j ACCEPT"]
    for position in ("first", "last"):
        manager = IptablesManager("own", position=position)
        manager.guard_port(GUARDS[0])
        manager.apply()
        subprocess.run(["ebtables", "-t", "nat", "-I", "PREROUTING", *theirs[0].split()], check=True)
        subprocess.run(["ebtables", "-t", "nat", "-A", "PREROUTING", *theirs[1].split()], check=True)
        manager.resync()
        found = ebtables.read(listing(), "own.")
        (own,) = (one for one in found.jumps["PREROUTING"] if one)
        assert found.jumps == {"PREROUTING": [own, None, None] if position == "first" else [None, None, own]}
        lines = [line for line in listing().splitlines() if line.endswith("-j ACCEPT")]
        assert lines == theirs
        manager.teardown()
        assert "own." not in listing()
        subprocess.run(["ebtables", "-t", "nat", "-F", "PREROUTING"], check=True)


def test_rules_of_others_that_jump_to_a_guard_stay_and_are_told(stack: Sandbox) -> None:
    manager = IptablesManager("own")
    manager.guard_port(GUARDS[0])
    manager.apply()
    (jump,) = ebtables.read(listing(), "own.").jumps["PREROUTING"]
    subprocess.run(["ebtables", "-t", "nat", "-N", "theirs"], check=True)
    subprocess.run(["ebtables", "-t", "nat", "-A", "theirs", "-j", str(jump)], check=True)
    subprocess.run(
        ["ebtables", "-t", "nat", "-A", "PREROUTING", "--log-prefix", f"a\n-j {jump}", "-j", "ACCEPT"], check=True
    )
    manager.unguard_port("tap1")
    manager.resync()
    with pytest.raises(TeardownFailed, match=rf"somebody's rule '-A theirs -j {jump}': it stays, empty"):
        manager.teardown()
    assert ebtables.read(listing(), "own.").chains == {jump: ()}
    assert listing().count("-j own.") == 2
    subprocess.run(["ebtables", "-t", "nat", "-F", "theirs"], check=True)
    manager.teardown()
    assert "Bridge chain: own." not in listing()


def test_owners_do_not_disturb_each_other(stack: Sandbox) -> None:
    code = (
        "import sys, refnet.firewall as f\n"
        "m = f.get_manager(sys.argv[1], 'iptables')\n"
        "for n in range(1, 31):\n"
        "    m.guard_port(f.PortGuard('tap' + sys.argv[1], '52:54:00:00:00:01', [f'192.0.2.{n}'])); m.apply()\n"
        "    if n % 5 == 0: m.resync()\n"
    )
    owners = ("a", "a-b", "c")
    children = [subprocess.Popen([sys.executable, "-c", code, owner], stderr=subprocess.PIPE) for owner in owners]
    for child in children:
        _, said = child.communicate(timeout=LIMIT)
        assert child.returncode == 0, said.decode()
    for owner in owners:
        chains, jumps = wanted(owner, [PortGuard(f"tap{owner}", MAC, ["192.0.2.30"])], [])
        found = ebtables.read(listing(), f"{owner}.")
        assert found.chains == chains
        assert [one for one in found.jumps["PREROUTING"] if one] == [jumps["PREROUTING"]]


def test_to_look_at_chains_is_not_to_write_them(stack: Sandbox) -> None:
    """The tool writes policies anew whenever it is called, and meets whoever calls it at the same time."""
    manager = IptablesManager("own")
    manager.guard_port(GUARDS[0])
    manager.apply()
    asked = ["nft", "-a", "list", "table", "bridge", "nat"]
    before = subprocess.run(asked, capture_output=True, check=True).stdout
    listing()
    assert subprocess.run(asked, capture_output=True, check=True).stdout == before


def test_lines_one_by_one_are_the_same_to_the_tool(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Ebtables("own"), Ebtables("own")
    one.commit(GUARDS[3:], ISOLATIONS, True, LIMIT)
    before = listing().replace("policy: RETURN", "policy: ACCEPT")
    one.remove(LIMIT)
    assert "own." not in listing()
    monkeypatch.setattr(ebtables, "is_legacy", lambda program: True)
    other.commit(GUARDS[3:], ISOLATIONS, True, LIMIT)
    after = listing().replace("policy: RETURN", "policy: ACCEPT")
    assert sorted(after.splitlines()) == sorted(before.splitlines())
    other.commit(GUARDS[:1], (), True, LIMIT)
    assert listing().count("Bridge chain: own.") == 2
    other.commit((), (), True, LIMIT)
    assert "own." not in listing()


def test_guards_that_no_program_can_remove_are_told(stack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = IptablesManager("own")
    manager.guard_port(GUARDS[0])
    manager.apply()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        with pytest.raises(TeardownFailed, match=r"ebtables.*Debian's package iptables") as caught:
            IptablesManager("own").teardown()
        assert [type(one) for one in caught.value.errors] == [ToolMissing]
        with pytest.raises(ToolMissing, match="ebtables"):
            IptablesManager("own").apply()
        IptablesManager("other").teardown()
        IptablesManager("other").apply()
    assert "own." in listing()
    IptablesManager("own").apply()
    assert "own." not in listing()


@pytest.mark.parametrize("loaded", [False, True])
def test_the_legacy_tool_is_asked_only_for_a_table_that_is_there(
    stack: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loaded: bool
) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "ebtables").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (tmp_path / "ebtables").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ebtables, "_has_legacy_table", lambda: loaded)
    IptablesManager("own").apply()
    assert asked.exists() is loaded


def test_a_refusal_is_told(stack: Sandbox) -> None:
    with pytest.raises(RuleError):
        ebtables.run("ebtables", ["-A nowhere -j DROP"], LIMIT)


def test_what_the_legacy_tool_says_when_two_write_at_once_is_no_lack() -> None:
    said = (  # ebtables 2.0.11, libebtc; a kernel that lacks the table is another message
        "Unable to update the kernel. Two possible causes:\n1. Multiple ebtables programs were executing "
        "simultaneously.\n2. The kernel doesn't support a certain ebtables extension, consider\n"
    )
    assert isinstance(ebtables._error(CommandFailed(["ebtables"], 255, "", said), None), LockTimeout)
    said = "The kernel doesn't support the ebtables 'nat' table.\n"
    assert isinstance(ebtables._error(CommandFailed(["ebtables"], 255, "", said), None), Unsupported)


@pytest.fixture
def bridge(stack: Sandbox) -> None:
    """A bridge with ports p1 and p2; what is sent to q1 comes in through p1."""
    stack.ip("link add br0 type bridge")
    for number in (1, 2):
        stack.ip(f"link add q{number} type veth peer name p{number}")
        stack.ip(f"link set p{number} master br0")
        for name in (f"q{number}", f"p{number}"):
            stack.ip(f"link set {name} up")
    stack.ip("link set br0 up")


def arp(mac: str, sender: str, *, ethernet: str | None = None) -> bytes:
    ours = bytes.fromhex(mac.replace(":", ""))
    source = bytes.fromhex((ethernet or mac).replace(":", ""))
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ours + ip_address(sender).packed + bytes(6) + b"\xc0\x00\x02\x63"
    return b"\xff" * 6 + source + b"\x08\x06" + body


def test_a_guard_is_replaced_without_a_gap(bridge: None) -> None:
    good, bad = arp(MAC, "192.0.2.1"), arp(MAC, "192.0.2.66")
    manager = IptablesManager("own")
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as far,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as near,
    ):
        far.bind(("q2", 3))
        near.bind(("q1", 0))
        deadline = time.monotonic() + LIMIT
        while good not in heard(far, 0.05):  # the ports are forwarding
            near.send(good)
            assert time.monotonic() < deadline
        for turn in range(30):
            manager.guard_port(PortGuard("p1", MAC, ["192.0.2.1", f"192.0.2.{turn + 100}"]))
            manager.apply()
            near.send(bad)
            near.send(arp(MAC, "192.0.2.1", ethernet="52:54:00:00:00:99"))
            fence = arp(MAC, "192.0.2.1") + bytes([turn])
            near.send(fence)
            seen: list[bytes] = []
            while fence not in seen:
                seen += heard(far, 1)
                assert time.monotonic() < deadline
            assert bad not in seen
            assert all(
                frame[6:12] == bytes.fromhex(MAC.replace(":", "")) for frame in seen if frame[12:14] == b"\x08\x06"
            )


def heard(sock: socket.socket, limit: float) -> list[bytes]:
    frames = []
    while select.select([sock], [], [], limit if not frames else 0)[0]:
        frames.append(sock.recv(2048))
    return frames


def test_killed_at_any_moment_the_next_one_converges(stack: Sandbox, tmp_path: Path) -> None:
    code = (
        "import sys, refnet.firewall as f\n"
        "from refnet.firewall.iptables import ebtables\n"
        "ebtables.is_legacy = lambda program: True\n"  # one line after the other
        "one = f.get_manager('own', 'iptables'); n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    one.guard_port(f.PortGuard('tap1', '52:54:00:00:00:01', [f'192.0.2.{n % 250}'])); one.apply()\n"
        "    open(sys.argv[1], 'w').close()\n"
    )
    for moment in range(4):
        ready = tmp_path / str(moment)
        child = subprocess.Popen([sys.executable, "-c", code, str(ready)], start_new_session=True)
        try:
            deadline = time.monotonic() + LIMIT
            while not ready.exists():
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(0.013 * moment)  # anywhere
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(LIMIT)
        one = IptablesManager("own")
        one.guard_port(GUARDS[3])
        one.apply()
        chains, jumps = wanted("own", GUARDS[3:4], [])
        assert ebtables.read(listing(), "own.") == (chains, {name: [chain] for name, chain in jumps.items()}, {})
