"""Which class a firewall's manager is of: by argument, configuration, environment, platform, entry point or path."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from refnet import cli, config, firewall
from refnet.errors import DriverNotFound, InvalidArgument, Unsupported
from refnet.firewall import get_manager
from refnet.firewall.null import NullFirewall

MODULE = """
import time
from refnet.firewall.null import NullFirewall

class Slow(NullFirewall):
    def __init__(self, owner):
        time.sleep(0.05)
        super().__init__(owner)

class Halfway(NullFirewall):
    import abc
    @abc.abstractmethod
    def standing(self): ...
"""


@pytest.fixture(autouse=True)
def nothing_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No choice from outside, no manager from before, and a package with backends as an installer lays it out."""
    monkeypatch.delenv("REFNET_FIREWALL", raising=False)
    monkeypatch.setattr(config, "_configured", {})
    monkeypatch.setattr(firewall, "_managers", config.Instances())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_firewalls", raising=False)
    (tmp_path / "odd_firewalls.py").write_text(MODULE)
    information = tmp_path / "odd_firewalls-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-firewalls\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[refnet.firewall]\nodd = odd_firewalls:Slow\niptables = odd_firewalls:Slow\n"
    )


def kind(choice: Any = None) -> str:
    return type(get_manager("choices", choice)).__name__


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert kind() == "IptablesManager"
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert kind() == "PfManager"
    monkeypatch.setenv("REFNET_FIREWALL", "")
    assert kind() == "PfManager"
    monkeypatch.setenv("REFNET_FIREWALL", "nftables")
    assert kind() == "NftablesManager"
    config.configure(firewall="iptables-nft")
    assert kind() == "NftIptablesManager"
    assert kind("refnet.firewall.null:NullFirewall") == "NullFirewall"
    config.configure(firewall="")
    assert kind() == "NftablesManager"


def test_a_platform_without_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Unsupported, match=r"no driver for platform 'darwin' in refnet\.firewall \(.* freebsd, linux\)"):
        get_manager("choices")
    assert kind("null") == "NullFirewall"


def test_entry_points_are_found_and_hide_none_of_refnets() -> None:
    assert kind("odd") == "Slow"
    assert kind("iptables") == "IptablesManager"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("nft", r"no driver 'nft' in refnet\.firewall: known are iptables, .* nftables, null, odd, pf"),
        ("null ", "no driver 'null '"),
        ("null:", "is not of the form 'package.module:Class'"),
        ("os:path", "there is no class 'path' in os"),
        ("no.such:Class", "no.such cannot be imported: ModuleNotFoundError"),
        ("refnet.netdev.linux:LinuxNetDevDriver", "LinuxNetDevDriver is not a subclass of FirewallManager"),
        ("odd_firewalls:Halfway", "Halfway does not implement standing"),
        (5, "driver 5 is no text: give a name"),
        (["null"], r"driver \['null'\] is no text"),
        (NullFirewall, "driver <class .*> is no text"),
    ],
)
def test_what_cannot_be_chosen(choice: Any, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DriverNotFound, match=said):
        get_manager("choices", choice)
    config.configure(firewall=choice)
    with pytest.raises(DriverNotFound, match=said):
        get_manager("choices")
    if isinstance(choice, str):
        assert cli.main(["firewall", "show", "--driver", choice]) == 2
        assert capsys.readouterr().err.startswith("refnet: firewall show: ")


@pytest.mark.parametrize("owner", ["", "a b", "a.b", "x" * 17, "\n", None, 5, ["a"], b"a", {}])
def test_an_owner_that_is_none(owner: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"owner .* is not possible"):
        get_manager(owner, "null")


def test_threads_that_ask_at_once_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(30)
        found.append(get_manager("choices", "odd"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
