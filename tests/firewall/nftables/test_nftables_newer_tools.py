"""Among newer and older nft: what this one leaves out, fails over, or says in other words."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from nftables_helpers import made, nft, stands

from refnet.errors import CommandFailed, PermissionDenied, TeardownFailed
from refnet.firewall import ACCEPT, Hook, Not, PortGuard, Rate, Rule, Table
from refnet.firewall.model import Chain
from refnet.firewall.netfilter import attribute
from refnet.firewall.nftables import kernel, tool
from refnet.firewall.nftables.listing import Listing, listing
from refnet.firewall.nftables.reading import line

FORWARD = Chain(Table.FILTER, "guests", Hook.FORWARD)
#: How long to wait for what nft does by itself, in seconds.
LIMIT = 60.0


def of_inner_header(table: str, chain: str) -> None:
    """Add a rule about a packet within VXLAN: nft 1.0.6 knows nothing of such, and lists no rule that has it.

    The numbers are those of linux/netfilter/nfnetlink.h and nf_tables.h.
    """

    def message(kind: int, flags: int, family: int, subsystem: int, body: bytes = b"") -> bytes:
        body = struct.pack(">BBH", family, 0, subsystem) + body
        return struct.pack("=IHHII", 16 + len(body), kind, 1 | flags, 1, 0) + body

    def numbers(*values: int) -> bytes:
        return b"".join(attribute(kind, struct.pack(">I", value)) for kind, value in enumerate(values, start=1))

    def expression(name: bytes, data: bytes) -> bytes:
        return attribute(1, name + b"\0") + attribute(2, data, nested=True)

    source = expression(b"payload", numbers(1, 1, 12, 4))  # to register 1, of the network header, 4 bytes from 12 on
    inner = expression(b"inner", numbers(0, 1, 15, 8) + attribute(5, source, nested=True))
    rule = attribute(1, table.encode() + b"\0") + attribute(2, chain.encode() + b"\0")
    rule += attribute(4, attribute(1, inner, nested=True), nested=True)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as asked:
        new_rule = message(10 << 8 | 6, 4 | 0x400 | 0x800, 1, 0, rule)
        asked.send(message(16, 0, 0, 10) + new_rule + message(17, 0, 0, 10))
        error = -struct.unpack_from("=i", asked.recv(4096), 16)[0]
    if error:
        pytest.skip(f"the kernel takes no rule about inner headers: {os.strerror(error)}")


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("chain", ["filter.guests", "hook.filter.forward"])
def test_a_rule_that_this_nft_does_not_list_goes_as_any_other(chain: str) -> None:
    manager = made()
    manager.apply()
    numbers = kernel.numbers("refnet.a")
    of_inner_header("refnet.a", chain)
    assert len(kernel.numbers("refnet.a")[chain]) == len(numbers[chain]) + 1
    guests = next(one for one in manager.standing() if one.name == "guests")
    if chain == "filter.guests":
        assert guests.rules[:-1] == manager.rules("guests")
        assert isinstance(guests.rules[-1], str)
        assert guests.rules[-1]
    made().apply()
    after = kernel.numbers("refnet.a")
    assert len(after[chain]) == len(numbers[chain])
    assert after["filter.guests"] == numbers["filter.guests"], "rules that were right have been written again"


def test_a_listing_is_completed_by_the_kernels_numbers() -> None:
    said = {"handle": 5, "expr": [{"accept": None}]}
    found = Listing(chains={"c": (None,) * 4}, rules={"c": [said]})
    found.complete({"c": [4, 5]})
    assert [one["handle"] for one in found.rules["c"]] == [4, 5]
    assert found.rules["c"][1] is said
    assert line(FORWARD, found.rules["c"][0], {}).text is None
    assert not found.strange
    found.complete({"other": [6]})
    assert found.strange


def in_place_of_nft(monkeypatch: pytest.MonkeyPatch, path: Path, on_list: str) -> None:
    """Put a program in nft's place that does ``on_list`` when it is to list something, else what nft does."""
    program = path / "nft"
    program.write_text(f'#!/bin/sh\ncase "$*" in *list*) {on_list};; esac\nexec {shutil.which("nft")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "on_list",
    [
        # What 1.0.6 says of what 1.1 has made: a bitwise operation of two registers, the flag persist of a table.
        "echo 'BUG: invalid bitwise operation 4' >&2; kill -ABRT $$",
        """echo '{"nftables": [{"table": {"family": "inet", "name": "refnet.a", "handle": 9, "flags": '; exit 0""",
        "echo 'Error: JSON support not compiled-in' >&2; exit 1",
    ],
)
def test_a_table_that_nft_cannot_list_is_written_anew(
    on_list: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = made()
    manager.apply()
    nft("flush", "chain", "inet", "refnet.a", "hook.filter.forward")
    with monkeypatch.context() as patched:
        in_place_of_nft(patched, tmp_path, on_list)
        with pytest.raises(CommandFailed):
            manager.standing()
        manager.resync()
    assert stands(manager)
    assert nft("list", "chain", "inet", "refnet.a", "hook.filter.forward").count("jump") == 2


def test_a_crash_of_nft_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # 1.0.6 does so over an interval set of 1.1 in any table, whatever it is asked for.
    in_place_of_nft(monkeypatch, tmp_path, "kill -SEGV $$")
    with pytest.raises(CommandFailed, match="install a newer one") as raised:
        tool.table("list")
    assert raised.value.status == -signal.SIGSEGV


@pytest.mark.usefixtures("stack")
def test_a_table_that_another_program_keeps_for_itself() -> None:
    manager = made()
    other = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    with other:
        assert other.stdin is not None
        other.stdin.write("add table inet refnet.a { flags owner; }\n")
        other.stdin.flush()
        deadline = time.monotonic() + LIMIT
        while kernel.table_handle("inet", "refnet.a") is None:
            assert time.monotonic() < deadline, "nft has not made the table"
            time.sleep(0.01)
        with pytest.raises(PermissionDenied, match="flag 'owner'"):
            manager.apply()
        with pytest.raises(TeardownFailed, match="flag 'owner'"):
            manager.teardown()
        other.stdin.close()
    made().apply()
    assert stands(made())


DRIFTS = {
    "a set of another type": "delete table inet refnet.a\nadd table inet refnet.a\n"
    "add chain inet refnet.a filter.local\nadd chain inet refnet.a filter.guests\nadd chain inet refnet.a filter.more\n"
    "add set inet refnet.a SET { type ipv6_addr; flags interval; }",
    "a chain on a hook in place of a guard's": "add chain bridge refnet.a guard.tap1 "
    "{ type filter hook forward priority 0; }",
}


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("drift", DRIFTS)
def test_a_change_that_is_refused_for_somebody_elses_doing_is_made_all_the_same(drift: str) -> None:
    manager = made()
    manager.isolate_dhcp_address("eth0", "192.0.2.1")
    manager.apply()
    name = next(word for word in nft("list", "sets").split() if word.startswith("addr4-"))
    nft("-f", "-", script=DRIFTS[drift].replace("SET", name) + "\n")
    (members,) = manager.rules("local")
    manager.add_rule("more", Rule(ACCEPT, source=members.source))
    manager.guard_port(PortGuard("tap1", "52:54:00:00:00:01"))
    manager.apply()
    assert stands(manager)


def test_words_of_nft_0_9() -> None:
    counter = {"counter": {"packets": 0, "bytes": 0}}
    of_ethernet = {"match": {"op": "==", "left": {"meta": {"key": "iiftype"}}, "right": 1}}
    sender = {
        "match": {
            "op": "!=",
            "left": {"payload": {"protocol": "ether", "field": "saddr"}},
            "right": "02:00:00:00:00:01",
        }
    }
    limit = {"limit": {"rate": 10, "per": "minute"}}
    bits = [{"ct": {"key": "status"}}, {"|": [16, 32]}]
    translated = {"match": {"op": "==", "left": {"&": bits}, "right": 0}}
    of_three = {"|": [{"|": [1, 8]}, 64]}
    states = {"match": {"op": "==", "left": {"&": [{"ct": {"key": "state"}}, of_three]}, "right": 0}}
    for parts, meant in (
        ([limit], Rule(ACCEPT, limit=Rate(10, "minute", 5))),
        ([of_ethernet, sender], Rule(ACCEPT, source_mac=Not("02:00:00:00:00:01"))),
        ([of_ethernet], None),
        ([translated], Rule(ACCEPT, states=Not("dnat", "snat"))),
        ([states], Rule(ACCEPT, states=Not("invalid", "new", "untracked"))),
        ([{"match": {"op": "==", "left": {"&": [{"ct": {"key": "state"}}, "new"]}, "right": 0}}], None),
    ):
        one = {"handle": 7, "comment": "refnet:0123456789abcdef", "expr": [*parts, counter, {"accept": None}]}
        assert line(FORWARD, one, {}).rule() == meant


@pytest.mark.parametrize("flags", ["interval", ["interval"]])
def test_one_flag_with_and_without_a_list(flags: object) -> None:
    found = listing({"nftables": [{"set": {"name": "s", "type": "ipv4_addr", "flags": flags}}]})
    assert found.sets == {"s": ("ipv4_addr", ("interval",), [])}
    assert listing({"nftables": [{"table": {"name": "t", "flags": flags}}]}).flags == ("interval",)
