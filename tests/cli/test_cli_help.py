"""Help of the refnet command, and its manual page in docs."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from cli_running import REPOSITORY, Run, environment

from refnet import __version__
from refnet.cli import parser
from refnet.cli.manual import ENTRIES, ROOT
from refnet.cli.parser import Command

COMMANDS = [entry for entry in ENTRIES if isinstance(entry, Command)]
PAGES = ["", *(entry.words for entry in ENTRIES)]


@pytest.mark.parametrize("words", PAGES)
def test_every_level_has_a_manual_page(refnet: Run, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, page, err = refnet(*words.split(), "--help")
    assert (status, err) == (0, "")
    headings = re.findall("^[A-Z][A-Z ]+$", page, re.MULTILINE)
    assert headings[:2] == ["SYNOPSIS", "DESCRIPTION"]
    assert headings[-4:] == ["GLOBAL OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT"]
    assert page.splitlines()[1].startswith(f"  refnet {words}".rstrip())
    assert page.isascii()
    assert max(map(len, page.splitlines())) < 80
    assert refnet(*words.split(), "-h").out == page


@pytest.mark.parametrize("entry", [ROOT, *ENTRIES], ids=lambda entry: entry.words or "refnet")
def test_every_example_can_be_parsed(entry: Any) -> None:
    top = parser.build(ROOT, ENTRIES)
    for line in entry.examples.strip().splitlines():
        command, *arguments = line.partition(" | ")[0].split()
        assert command == "refnet"
        assert parser.parse(top, arguments).run


def test_help_is_had_without_a_driver() -> None:
    code = (
        "import sys; from refnet.cli import main; main(['bridge', 'create', '--help']); main(['bridge', 'frob']);"
        "print([name for name in sys.modules if name.startswith(('refnet.netdev', 'pyroute2'))])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_manual_page_in_docs_has_every_command_option_and_status() -> None:
    page = (REPOSITORY / "docs" / "refnet.1.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        section = page.partition(f"### refnet {command.words}")[2].partition("\n### ")[0]
        assert section, command.words
        for flag, keywords, _ in command.arguments:
            shown = f"**{flag}**" if flag.startswith("-") else f"*{keywords['metavar']}*"
            assert shown in section, (command.words, flag)
    for status in re.findall(r"^  (\d+) ", parser.EXIT_STATUS, re.MULTILINE):
        assert f"**{status}**" in page
    for variable in re.findall(r"^  ([A-Z_]+) ", parser.ENVIRONMENT, re.MULTILINE):
        assert f"**{variable}**" in page
    for option in ("--driver", "--json", "--version", "--help"):
        assert f"**{option}**" in page


def test_version(refnet: Run) -> None:
    assert refnet("--version") == (0, f"refnet {__version__}\n", "")
