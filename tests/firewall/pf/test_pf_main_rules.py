"""What pf's main rule set says, in the words of pfctl, and what follows from it for refnet's anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from refnet import process
from refnet.errors import AnchorNotReferenced, LockTimeout
from refnet.firewall.pf import main_rules, tool
from refnet.process import Completed

#: What pfctl of FreeBSD 14 prints, and ends with status 0, when the rules are replaced while it reads them.
_BUSY = "pfctl: DIOCGETRULE: Device busy"
_ANCHORS = 'nat-anchor "refnet/*" all\nrdr-anchor "refnet/*" all\n', 'anchor "refnet/*" all\n'


class _Pf:
    """Answers in the place of pfctl, each time with the next of a program's answers, or the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Sequence[tuple[str, str]]) -> None:
        self._answers = {name: list(given) for name, given in answers.items()}
        self.asked: list[str] = []
        monkeypatch.setattr(process, "run", self._run)

    def _run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.asked.append(" ".join(argv[1:]))
        if argv[-1] == "Running":
            return Completed(tuple(argv), 0, "Enabled\n", "")
        left = self._answers[argv[argv.index("-a") + 1] if "-a" in argv else argv[-1]]
        stdout, stderr = left.pop(0) if len(left) > 1 else left[0]
        return Completed(tuple(argv), 0, stdout, stderr)


@pytest.mark.parametrize(
    ("main", "called", "blocks"),
    [
        ('anchor "refnet/*" all', True, False),
        ('anchor "/refnet/*" all', True, False),
        ('block drop all\nanchor "refnet/*" all', True, True),
        ('block return-icmp(port-unr, admin-unr) in on quick all\nanchor "refnet/*" all', True, True),
        ('block drop in log (all) quick on em0 all\nanchor "refnet/*" all', True, False),
        ('block return out log on em0 all label "too quick "\nanchor "refnet/*" all', True, True),
        ('anchor in on em0 all {\n  block drop in all\n}\nanchor "refnet/*" all', True, True),
        ('anchor "refnet/own" in on em0 all\nblock drop all', True, False),
        ('anchor "refnet/own-too" all\nanchor "refnet" all\nnat-anchor "refnet/*" all', False, False),
        ('anchor "other/*" all', False, False),
    ],
)
def test_what_is_called_and_what_stops(main: str, called: bool, blocks: bool) -> None:
    assert main_rules.called(main, "anchor", "own") is called
    assert main_rules.blocks(main_rules.before(main, "own")) is blocks


@pytest.mark.parametrize(
    ("line", "decides"),
    [
        ("pass quick all flags S/SA keep state", True),
        ('pass quick all no state label "x y"', True),
        ("block return log (all) quick all", True),
        ("pass quick all flags any keep state (sloppy) allow-opts", True),
        ('pass quick all no state label "x" tag mine', True),
        ("block drop quick all probability 50%", False),
        ("pass in quick all flags S/SA keep state", False),
        ("pass quick inet all flags S/SA keep state", False),
        ("pass quick all flags S/SA keep state tagged mine", False),
        ("pass all flags S/SA keep state", False),
    ],
)
def test_what_decides_about_all(line: str, decides: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    nat, anchor = _ANCHORS
    _Pf(monkeypatch, rules=[(f"{line}\n{anchor}", "")], nat=[(nat, "")])
    if not decides:
        assert main_rules.remembers(tool.Pfctl(1), "own", translates=True)
        return
    with pytest.raises(AnchorNotReferenced, match="before it calls refnet's anchors") as told:
        main_rules.remembers(tool.Pfctl(1), "own", translates=True)
    assert told.value.lines == ('anchor "refnet/*"',)


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("call", ['anchor "theirs/*"', 'anchor "/theirs/*" in on em0'])
def test_anchors_of_others(call: str, stops: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [("  theirs/one\n  theirs/one/below\n  theirs/two\n", "")]
    within = (
        'anchor "below" all {\n  block drop in from 192.0.2.66 to any\n}\n' if stops else "block drop quick all\n",
        "",
    )
    pf = _Pf(
        monkeypatch,
        rules=[(f"{call} all\n{_ANCHORS[1]}", "")],
        theirs=listed,
        **{"theirs/one/*": [("", "")], "theirs/two/*": [within]},
    )
    assert main_rules.remembers(tool.Pfctl(1), "own", translates=False) is not stops
    assert pf.asked[2:] == ["-v -a theirs -s Anchors", "-a theirs/one/* -s rules", "-a theirs/two/* -s rules"]


def test_what_was_read_in_part_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = f"pass in on em0 all\nblock drop in all\n{_ANCHORS[1]}"
    pf = _Pf(monkeypatch, rules=[("pass in on em0 all\n", _BUSY), (whole, "")])
    assert not main_rules.remembers(tool.Pfctl(30), "own", translates=False)
    assert pf.asked == ["-s Running", "-s rules", "-s rules"]


def test_what_cannot_be_read_to_its_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _Pf(monkeypatch, rules=[("pass in on em0 all\n", _BUSY)])
    with pytest.raises(LockTimeout, match="others have been loading"):
        tool.Pfctl(0.1).ask("-s", "rules")


def test_devices_that_translate(monkeypatch: pytest.MonkeyPatch) -> None:
    _Pf(monkeypatch, **{"-l": [("lo0 local0 em0 enc0 encore pflog0 pfsync0 loop\n", "")]})
    assert tool.devices() == ["local0", "em0", "encore", "loop"]
