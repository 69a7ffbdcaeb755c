"""What the documents show runs: Python in a network stack of its own, on the default backend, and rule files."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from conformance.topology.linux import Sandbox
from refnet import cli
from refnet.firewall import PortGuard, Rule, file, get_manager

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parent.parent.parent


def blocks(name: str) -> list[str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "manager." in block]


@pytest.mark.parametrize("name", ["README.md", "docs/firewall.md"])
def test_the_python_of_the_documents_runs(stack: Sandbox, name: str) -> None:
    before = stack.look.rules()
    stack.plain_bridge("br0")
    stack.plain_cables("tap1", "eth1")
    names = {"manager": get_manager("web"), "PortGuard": PortGuard}
    try:
        found = blocks(name)
        assert len(found) >= {"README.md": 1, "docs/firewall.md": 3}[name]
        for block in found:
            exec(block, names)
    finally:
        names["manager"].teardown()
        stack.remove_plain("br0", "tap1", "eth1")
    assert stack.look.rules() == before


def table_of_keys() -> list[tuple[list[str], list[str]]]:
    """Return the rows of the table of a rule's keys: keys, and values such as they can have."""
    text = (REPOSITORY / "docs/firewall.md").read_text(encoding="utf-8").partition("| key |")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [(re.findall("`(.*?)`", row[0]), re.findall("`(.*?)`", row[1])) for row in rows]


def test_the_table_of_keys_has_them_all_and_values_that_they_take() -> None:
    found = table_of_keys()
    assert {key for keys, _ in found for key in keys} == {one.name.replace("_", "-") for one in fields(Rule)[1:]}
    for keys, examples in found:
        assert examples
        for key in keys:
            for example in examples:
                rule = {"action": "drop"} | tomllib.loads(f"{key} = {example}")
                if "ports" in key or "icmp" in key:
                    rule["protocol"] = "tcp" if "ports" in key else "icmp"
                assert file.rule_of(rule)


def test_what_the_readme_shows_of_a_file_is_what_is_said_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs/firewall.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "rules.toml"
    path.write_text(text)
    assert cli.main(["firewall", "check", str(path)]) == 0
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("$ refnet firewall check rules.toml\n")[2].partition("$ ")[0]
    assert shown.count("\n") == 3
    assert capsys.readouterr().out.startswith(shown)


def test_the_files_in_the_help_are_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["firewall", "check", "--help"]) == 0
    page = capsys.readouterr().out
    pieces = re.findall(r"^    (?:owner = |\[\[port-guard).*?(?=\n\n {0,2}\S)", page, re.DOTALL | re.MULTILINE)
    assert len(pieces) == 2
    path = tmp_path / "rules.toml"
    path.write_text("\n".join(pieces))
    assert cli.main(["firewall", "check", str(path)]) == 0
    assert capsys.readouterr().out == (
        "chain guests (filter, forward): packets that this host forwards\n"
        "  1  accept IPv4 TCP from any but 192.0.2.0/24 to ports 80 or 8000-8010\n"
        "  2  reject packets, answering admin-prohibited\n"
        "port tap1: only from 52:54:00:12:34:56 with 192.0.2.7 or 2001:db8::7\n"
    )
    for line in re.findall(r"^    ((?:destination-ports|icmp-type|mark) = .*)$", page.partition("An ANSWER")[2], re.M):
        key = line.split()[0]
        rule = {"action": "drop"} | tomllib.loads("\n".join(re.split(r"   +", line)))
        if key != "mark":
            rule["protocol"] = "icmp" if key == "icmp-type" else "tcp"
        assert file.rule_of(rule)
