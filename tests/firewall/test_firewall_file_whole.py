"""A rule file with every key and every action: as it is checked, so it stands, on every backend of this system.

iptables has a table for each family, and a line for each of several devices: rules that it reads back as others, which
together mean the same, are not in this file.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.topology.linux import Sandbox
from refnet import cli
from refnet.firewall import file

#: Chains by table and hook: the rules of each, as lines of a file, and in words.
CHAINS: dict[tuple[str, str, str | None], dict[str, str]] = {
    ("guests", "filter", "forward"): {
        "action = 'accept'\nstates = ['new', 'related']": "accept packets, connection state new or related",
        "action = 'accept'\nfamily = 6": "accept IPv6 packets",
        "action = 'drop'\nstates = { not = 'new' }": "drop packets, connection state any but new",
        "action = 'accept'\nprotocol = 'tcp'\nsource = { not = ['192.0.2.0/24', '198.51.100.7'] }\n"
        "destination = '203.0.113.0/24'\ndestination-ports = [22, '8000-8010']\ncomment = 'ssh and more'": (
            "accept IPv4 TCP from any but 192.0.2.0/24 or 198.51.100.7 to 203.0.113.0/24 ports 22 or 8000-8010"
            "  # ssh and more"
        ),
        "action = 'accept'\nprotocol = 17\nsource-ports = 68\ndestination-ports = { not = 67 }": (
            "accept UDP from port 68 to port any but 67"
        ),
        "action = 'drop'\nprotocol = 'esp'": "drop ESP",
        "action = 'accept'\nprotocol = 'icmp'\nicmp-type = '3/4'": "accept ICMP type 3/4",
        "action = 'accept'\nprotocol = 'icmp'\nicmp-type = [3, 3]": "accept ICMP type 3/3",
        "action = 'drop'\nprotocol = 200\nsource = '2001:db8::/32'": "drop IPv6 protocol 200 from 2001:db8::/32",
        "action = 'accept'\nprotocol = 'icmpv6'\nicmp-type = 'echo-request'": "accept ICMPv6 type 128",
        "action = 'accept'\nin-interface = 'eth0'\nout-interface = { not = 'eth2' }": (
            "accept packets that came by eth0 and leave by any but eth2"
        ),
        "action = 'drop'\nsource-mac = '02:00:00:00:00:01'": "drop packets sent by 02:00:00:00:00:01",
        "action = 'drop'\nmark = 5": "drop packets, marked 0x5",
        "action = 'drop'\nmark = [1, 3]": "drop packets, marked 0x1 in the bits 0x3",
        "action = 'log'\nlimit = '10/minute'": "log packets, at most 10 a minute (bursts of 5)",
        "action = { log = 'no: ' }\nlimit = [7, 'hour', 3]": (
            "log packets, at most 7 an hour (bursts of 3), beginning with 'no: '"
        ),
        "action = { jump = 'other' }\nprotocol = 'tcp'": "ask chain other about TCP",
        "action = 'return'\nprotocol = 'gre'": "go back from here with GRE",
        "action = 'reject'": "reject packets, answering port-unreachable",
        "action = { reject = 'tcp-reset' }\nprotocol = 'tcp'": "reject TCP, answering tcp-reset",
        "action = { reject = 'host-unreachable' }\nfamily = 4": "reject IPv4 packets, answering host-unreachable",
    },
    ("other", "filter", None): {"action = 'drop'": "drop packets"},
    ("in", "nat", "prerouting"): {
        "action = { dnat = '192.0.2.7' }": "change the destination of IPv4 packets, to 192.0.2.7",
        "action = { dnat = '2001:db8::7', ports = '80-81' }\nprotocol = 'tcp'": (
            "change the destination of IPv6 TCP, to 2001:db8::7 one of ports 80-81"
        ),
        "action = { redirect = 8080 }\nprotocol = 'tcp'": "take in TCP, at port 8080 of this host",
    },
    ("out", "nat", "postrouting"): {
        "action = { snat = '192.0.2.1', ports = '1024-2047' }\nprotocol = 'udp'": (
            "change the source of IPv4 UDP, to 192.0.2.1 one of ports 1024-2047"
        ),
        "action = { masquerade = 5000 }\nprotocol = 'tcp'": "masquerade TCP, with port 5000",
        "action = 'masquerade'": "masquerade packets",
    },
    ("marks", "mangle", "postrouting"): {
        "action = { mark = 5 }": "mark packets, with 0x5",
        "action = { mark = 16, mask = 240 }\nprotocol = 'udp'": "mark UDP, with 0x10 in the bits 0xf0",
    },
}
_OF_IPTABLES = {
    "action = 'checksum-fill'\nprotocol = 'udp'\ndestination-ports = 68": "fill in the checksum of UDP to port 68"
}
HEADINGS = {
    "guests": "chain guests (filter, forward): packets that this host forwards",
    "other": "chain other (filter): what other chains send here",
    "in": "chain in (nat, prerouting): the first packet of every connection that comes in, before it is routed",
    "out": "chain out (nat, postrouting): the first packet of every connection that leaves, after it was routed",
    "marks": "chain marks (mangle, postrouting): every packet that leaves, after it was routed",
}


@pytest.mark.parametrize("backend", ["iptables-legacy", "iptables-nft", "nftables"])
def test_as_it_is_checked_so_it_stands(
    stack: Sandbox, tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        assert cli.main(["firewall", *arguments, "--driver", backend]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    text, in_words = "", {}
    for (name, table, hook), rules in CHAINS.items():
        rules = {**rules, **_OF_IPTABLES} if name == "marks" and backend != "nftables" else rules
        text += f"[[chain]]\nname = '{name}'\ntable = '{table}'\n" + (f"hook = '{hook}'\n" if hook else "")
        text += "".join(f"[[chain.rule]]\n{lines}\n" for lines in rules)
        numbered = [f"  {number:{len(str(len(rules)))}}  {words}\n" for number, words in enumerate(rules.values(), 1)]
        in_words[name] = f"{HEADINGS[name]}\n{''.join(numbered)}"
    path = tmp_path / "rules.toml"
    path.write_text(text)
    assert run("check", str(path)) == "".join(in_words.values())
    assert run("apply", str(path)) == ""
    shown = run("show")
    assert len(shown) == sum(map(len, in_words.values()))
    assert all(chain in shown for chain in in_words.values())

    # And by JSON back into a file that is the same.
    standing = json.loads(run("show", "--json"))["chains"]
    again = {(one["table"], one["name"]): tuple(map(file.rule_of, one["rules"])) for one in standing}
    assert again == {(chain.table, chain.name): chain.rules for chain in file.read(path).chains}
