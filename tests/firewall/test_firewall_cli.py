"""``refnet firewall`` for real: in this process, on the namespace's own packet filters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance.topology.linux import Sandbox
from refnet import cli, process
from refnet.firewall import ACCEPT, Rule, file
from refnet.firewall.iptables import NftIptablesManager

RULES = """
owner = "web"

[[chain]]
name = "guests"
hook = "forward"

[[chain.rule]]
action = "accept"
protocol = "tcp"
source = { not = ["192.0.2.0/24", "198.51.100.7"] }
destination-ports = [22, "8000-8010"]
comment = "ssh and more"

[[chain.rule]]
action = { reject = "admin-prohibited" }
family = 4

[[chain]]
name = "out"
table = "nat"
hook = "postrouting"

[[chain.rule]]
action = "masquerade"
source = "192.0.2.0/24"
"""
IN_WORDS = """\
chain guests (filter, forward): packets that this host forwards
  1  accept IPv4 TCP from any but 192.0.2.0/24 or 198.51.100.7 to ports 22 or 8000-8010  # ssh and more
  2  reject IPv4 packets, answering admin-prohibited
chain out (nat, postrouting): the first packet of every connection that leaves, after it was routed
  1  masquerade IPv4 packets from 192.0.2.0/24
"""
BACKENDS = ("iptables-legacy", "iptables-nft", "nftables")


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def refnet(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Result:
        return Result(cli.main(["firewall", *arguments]), *capsys.readouterr())

    return run


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_is_applied_shown_and_taken_away(stack: Sandbox, refnet: Run, rules: str, backend: str) -> None:
    before = stack.look.rules()
    assert refnet("apply", rules, "--driver", backend) == (0, "", "")
    applied = stack.look.rules()
    assert applied != before
    assert refnet("show", "--owner", "web", "--driver", backend) == (0, IN_WORDS, "")
    assert refnet("show", "--driver", backend) == (0, "refnet has no rules here\n", "")
    assert refnet("apply", rules, "--driver", backend) == (0, "", "")
    assert stack.look.rules() == applied
    assert refnet("teardown", "--driver", backend) == (0, "", "")
    assert stack.look.rules() == applied
    assert refnet("teardown", "--owner", "web", "--driver", backend) == (0, "", "")
    assert stack.look.rules() == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_shown_in_json_rules_are_as_files_have_them(stack: Sandbox, refnet: Run, rules: str, backend: str) -> None:
    refnet("apply", rules, "--driver", backend)
    document = json.loads(refnet("--json", "show", "--owner", "web", "--driver", backend).out)
    assert document["owner"] == "web"
    chain, _ = document["chains"]
    assert (chain["name"], chain["table"], chain["hook"]) == ("guests", "filter", "forward")
    assert tuple(map(file.rule_of, chain["rules"])) == file.read(rules).chains[0].rules


def test_what_is_not_refnets_is_shown_in_the_tools_words(stack: Sandbox, refnet: Run) -> None:
    manager = NftIptablesManager("web")
    manager.add_chain("guests", hook="forward")
    manager.add_rule("guests", Rule(ACCEPT, protocol="gre"))
    manager.apply()
    stack.run("iptables-nft", "-A", "web.guests", "-m", "pkttype", "--pkt-type", "broadcast", "-j", "DROP")
    shown = refnet("show", "--owner", "web", "--driver", "iptables-nft").out.splitlines()
    assert shown[1] == "  1  accept GRE" or shown[1] == "  1  accept IPv4 GRE"
    assert "--pkt-type broadcast -j DROP" in shown[-1] or "--pkt-type broadcast -j DROP" in shown[-2]


def test_what_is_no_longer_in_the_file_goes(stack: Sandbox, refnet: Run, tmp_path: Path) -> None:
    for addresses in (["192.0.2.1", "192.0.2.2"], ["192.0.2.2"]):
        path = tmp_path / "rules.toml"
        tables = "".join(f"[[chain.rule]]\naction = 'drop'\nsource = '{address}'\n" for address in addresses)
        path.write_text(f"[[chain]]\nname = 'in'\nhook = 'input'\n{tables}")
        assert refnet("apply", str(path)).status == 0
    assert refnet("show").out.splitlines()[1:] == ["  1  drop IPv4 packets from 192.0.2.2"]


@pytest.mark.parametrize("backend", [*BACKENDS, "pf", "null"])
def test_check_touches_nothing(
    stack: Sandbox, refnet: Run, rules: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(process, "run", start)
    monkeypatch.setattr(subprocess, "Popen", start)
    assert refnet("check", rules, "--driver", backend) == (0, IN_WORDS, "")
    document = json.loads(refnet("--json", "check", rules, "--driver", backend).out)
    assert [chain["name"] for chain in document["chains"]] == ["guests", "out"]


@pytest.mark.parametrize("backend", [*BACKENDS, "pf", "null"])
def test_check_takes_neither_privileges_nor_tools(stack: Sandbox, rules: str, backend: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "refnet", "firewall", "check", "-", "--driver", backend],
        input=Path(rules).read_text(),
        env={**os.environ, "PATH": "/nonexistent"},
        preexec_fn=stack.drop_privileges,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, IN_WORDS, "")


def test_check_says_what_guards_do(refnet: Run, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        "[[port-guard]]\nport = 'tap1'\nmac-address = '52:54:00:12:34:56'\naddresses = ['192.0.2.7']\n"
        "[[dhcp-isolation]]\ninterface = 'eth1'\naddress = '192.0.2.1'\n"
    )
    assert refnet("check", str(path), "--driver", "nftables").out == (
        "port tap1: only from 52:54:00:12:34:56 with 192.0.2.7\n"
        "through eth1 nobody sees 192.0.2.1, and no DHCP passes\n"
    )


@pytest.mark.parametrize(
    ("text", "driver", "status", "said"),
    [
        ("owner = 'a b'", "iptables", 2, "owner 'a b' is not possible"),
        ("[[chain]]\nname = 'a'\nhook = 'up'", "iptables", 2, "chain 'a': hook 'up' is none: there are prerouting"),
        (
            "[[chain]]\nname = 'a'\n[[chain.rule]]\naction = {jump = 'b'}",
            "iptables",
            2,
            "chain 'a', rule 1: there is no",
        ),
        ("[[chain]]\nname = 'a'\n[[chain.rule]]\naction = 'drop'\nlimit = '1/second'", "pf", 1, "chain 'a', rule 1:"),
        ("x", "iptables", 2, "is no TOML"),
        ("", "nope", 2, "no driver 'nope' in refnet.firewall: known are"),
    ],
)
@pytest.mark.parametrize("command", ["check", "apply"])
def test_what_cannot_be(
    stack: Sandbox, refnet: Run, tmp_path: Path, command: str, text: str, driver: str, status: int, said: str
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with stack.look.unchanged(command):
        result = refnet(command, str(path), "--driver", driver)
    assert (result.status, result.out, result.err.count("\n")) == (status, "", 1)
    assert result.err.startswith(f"refnet: firewall {command}: ")
    assert said in result.err


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("command", ["apply", "show", "teardown"])
def test_without_the_privilege(
    stack: Sandbox, refnet: Run, rules: str, command: str, backend: str, tmp_path: Path
) -> None:
    refnet("apply", rules, "--driver", backend)
    before, said = stack.look.rules(), tmp_path / "said"
    said.touch()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(said, os.O_WRONLY), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - the process ends with it
        stack.drop_privileges()
        rest = [rules] if command == "apply" else ["--owner", "web"]
        os._exit(cli.main(["firewall", command, *rest, "--driver", backend]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    line = said.read_text()
    assert line.startswith(f"refnet: firewall {command}: ")
    assert (line.count("\n"), line.count("run it as root"), "CAP_NET_ADMIN" in line) == (1, 1, True)
    assert stack.look.rules() == before


def test_capabilities_are_listed(stack: Sandbox, refnet: Run) -> None:
    lines = refnet("capabilities", "--driver", "nftables").out.splitlines()
    assert lines[0].split() == ["CAPABILITY", "HERE", "WHY", "NOT"]
    assert next(line for line in lines if line.startswith("filter ")).split()[1] == "yes"
    assert next(line for line in lines if line.startswith("checksum-fill")).split()[1] == "no"


NULL = "the null firewall filters nothing: rules are checked, and not written"


def test_the_firewall_of_the_environment(
    stack: Sandbox, refnet: Run, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFNET_FIREWALL", "null")
    with stack.look.unchanged("the null firewall"):
        for command, rest, out in (
            ("apply", [rules], ""),
            ("show", ["--owner", "web"], "web has no rules here\n"),
            ("teardown", ["--owner", "web"], ""),
        ):
            assert refnet(command, *rest) == (0, out, f"refnet: firewall {command}: owner web: {NULL}\n")
            status, out, err = refnet(command, *rest, "--json")
            assert (status, err, json.loads(out)["warnings"]) == (0, "", [f"owner web: {NULL}"])
    assert refnet("check", rules) == (0, IN_WORDS, "")
    assert all(line.endswith(f" no    {NULL}") for line in refnet("capabilities").out.splitlines()[1:])


def test_check_of_nothing_says_what_it_would_do(refnet: Run, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("owner = 'web'")
    assert refnet("check", str(path)).out == "nothing is in it: applied, it takes away all that web has here\n"


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_what_others_have_written_is_harmless_for_a_terminal(
    stack: Sandbox, refnet: Run, rules: str, variant: str
) -> None:
    refnet("apply", rules, "--driver", f"iptables-{variant}")
    for arguments in (
        ("-N", "web.\x1b[31mred\x07"),
        ("-A", "web.\x1b[31mred\x07", "-j", "DROP"),
        ("-A", "web.guests", "-m", "comment", "--comment", "a\x1b[2J\nb", "-j", "web.\x1b[31mred\x07"),
    ):
        stack.run(f"iptables-{variant}", *arguments)
    status, out, err = refnet("show", "--owner", "web", "--driver", f"iptables-{variant}")
    assert (status, err) == (0, "")
    assert "chain \\x1b[31mred\\x07 (filter): what other chains send here\n  1  drop IPv4 packets\n" in out
    assert "\\x1b[2J" in out
    assert all(line.isprintable() for line in out.split("\n"))
