"""The choice of a driver: who decides, where classes are found, and how each mistake is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refnet import config, netdev
from refnet.errors import DriverNotFound, Unsupported
from refnet.netdev.driver import NetDevDriver
from refnet.netdev.linux import LinuxNetDevDriver

GROUP = netdev.ENTRY_POINTS

DRIVERS = """
from refnet.netdev.linux import LinuxNetDevDriver
from refnet.netdev.driver import NetDevDriver

class Good(LinuxNetDevDriver):
    class Inner(LinuxNetDevDriver):
        pass

class Halfway(NetDevDriver):
    def probe(self, capability):
        return None

class NoDriver:
    pass

def function():
    pass
"""

ENTRY_POINTS = """
[refnet.netdev]
from-elsewhere = installed_drivers:Good
incomplete = installed_drivers:Halfway
linux = installed_drivers:Halfway
no-class = installed_drivers

[refnet.firewall]
of-another-group = installed_drivers:Good
"""


@pytest.fixture(autouse=True)
def no_choice_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REFNET_NETDEV", "REFNET_OVSDB", "OVS_RUNDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(config, "_configured", {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to import from; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("installed_drivers", "broken_drivers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.fixture
def installed(folder: Path) -> Path:
    """A package with drivers, as an installer lays it out."""
    (folder / "installed_drivers.py").write_text(DRIVERS, encoding="utf-8")
    information = folder / "installed_drivers-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-drivers\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def load(chosen: str) -> type[NetDevDriver]:
    return config.load_class(GROUP, chosen, NetDevDriver)  # type: ignore[type-abstract]


# -- who decides ------------------------------------------------------------------------------------------


def test_an_option_wins_over_the_environment_and_that_over_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert config.choice(GROUP) == "linux"
    monkeypatch.setenv("REFNET_NETDEV", "from-environment")
    assert config.choice(GROUP) == "from-environment"
    assert config.choice(GROUP, "from-option") == "from-option"


def test_what_is_configured_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFNET_NETDEV", "from-environment")
    monkeypatch.setenv("REFNET_OVSDB", "tcp:192.0.2.1:6640")
    config.configure(netdev="configured", ovsdb="unix:/srv/db.sock", dhcp_directory="/srv/dhcp")
    assert (config.choice(GROUP), config.ovsdb(), config.dhcp_directory()) == (
        "configured",
        "unix:/srv/db.sock",
        "/srv/dhcp",
    )
    assert config.choice(GROUP, "from-option") == "from-option"
    config.configure(firewall="null")
    assert config.choice(GROUP) == "configured", "what is not given stays"
    config.configure(netdev="", ovsdb="", dhcp_directory="")
    assert (config.choice(GROUP), config.ovsdb(), config.dhcp_directory()) == (
        "from-environment",
        "tcp:192.0.2.1:6640",
        None,
    )


def test_open_vswitch_is_where_it_is_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.ovsdb() == "unix:/var/run/openvswitch/db.sock"
    monkeypatch.setenv("OVS_RUNDIR", "/srv/ovs")
    assert config.ovsdb() == "unix:/srv/ovs/db.sock"


def test_the_daemons_classes_are_known_by_name_and_by_path() -> None:
    for group, name in (("netdev", "PrivsepNetDev"), ("firewall", "PrivsepFirewall"), ("dhcp", "PrivsepDhcp")):
        assert config.is_privsep(f"refnet.{group}", config.PRIVSEP)
        assert config.is_privsep(f"refnet.{group}", f"refnet.privsep:{name}")
        assert not config.is_privsep(f"refnet.{group}", "linux")


def test_nothing_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("REFNET_NETDEV", "")
    assert config.choice(GROUP, "") == "linux"


def test_a_platform_without_a_driver_is_named_with_those_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(Unsupported) as caught:
        config.choice(GROUP)
    assert caught.value.capability == GROUP
    assert "no driver for platform 'plan9' in refnet.netdev (it has one for: freebsd, linux)" in str(caught.value)
    assert "'package.module:Class'" in str(caught.value)
    assert config.choice(GROUP, "linux") == "linux"


def test_a_group_without_any_driver_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"in refnet\.nothing"):
        config.choice("refnet.nothing")


# -- where classes are found ------------------------------------------------------------------------------


def test_a_built_in_driver_has_a_short_name() -> None:
    assert load("linux") is LinuxNetDevDriver
    assert load("refnet.netdev.linux:LinuxNetDevDriver") is LinuxNetDevDriver


def test_an_installed_package_adds_names(installed: Path) -> None:
    assert load("from-elsewhere").__name__ == "Good"
    found = config.available(GROUP)
    assert found["from-elsewhere"] == "installed_drivers:Good"
    assert "of-another-group" not in found


def test_an_installed_package_does_not_take_a_built_in_name_over(installed: Path) -> None:
    assert load("linux") is LinuxNetDevDriver
    assert config.available(GROUP)["linux"] == "refnet.netdev.linux:LinuxNetDevDriver"


def test_a_class_is_found_by_module_and_name_installed_or_not(installed: Path) -> None:
    assert load("installed_drivers:Good").__name__ == "Good"
    assert load("installed_drivers:Good.Inner").__qualname__ == "Good.Inner"


def test_the_same_choice_is_the_same_driver(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = netdev.get_driver("from-elsewhere")
    assert type(first).__name__ == "Good"
    assert netdev.get_driver("from-elsewhere") is first
    monkeypatch.setenv("REFNET_NETDEV", "from-elsewhere")
    assert netdev.get_driver() is first
    assert netdev.get_driver("linux") is not first


# -- mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linus", "", "refnet.netdev.linux", "of-another-group", "Linux", "a/b"])
def test_an_unknown_name_is_told_with_those_that_are_known(installed: Path, name: str) -> None:
    with pytest.raises(DriverNotFound) as caught:
        load(name)
    head, _, rest = str(caught.value).partition(": known are ")
    assert head == f"no driver {name!r} in refnet.netdev"
    listed, _, advice = rest.partition("; ")
    # Others may be installed beside: the one of tests/outsider is, where these tests usually run.
    assert {"from-elsewhere", "incomplete", "linux", "no-class"} <= set(listed.split(", "))
    assert listed.split(", ") == sorted(listed.split(", "))
    assert advice == "or give 'package.module:Class'"


def test_a_group_in_which_nothing_is_known_says_so() -> None:
    with pytest.raises(DriverNotFound, match="known are none"):
        config.load_class("refnet.nothing", "name", object)


@pytest.mark.parametrize("path", [":", "a:", ":B", "a:B:C", "a b:C", "a.:B", ".a:B", "a:B.", "a-b:C", "a/b:C", "1:2"])
def test_a_path_of_another_form_is_refused_before_any_import(path: str) -> None:
    with pytest.raises(DriverNotFound) as caught:
        load(path)
    assert str(caught.value) == f"driver {path!r} is not of the form 'package.module:Class'"


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(DriverNotFound) as caught:
        load("no_such_package.drivers:Driver")
    assert str(caught.value) == (
        "driver 'no_such_package.drivers:Driver': no_such_package.drivers cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_package'"
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import no_such_dependency", "ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("def (", "SyntaxError: "),
        ("import sys; sys.exit('not on Sundays')", "SystemExit: not on Sundays"),
    ],
)
def test_an_import_that_fails_is_told_in_its_own_words(folder: Path, source: str, words: str) -> None:
    (folder / "broken_drivers.py").write_text(source, encoding="utf-8")
    with pytest.raises(DriverNotFound) as caught:
        load("broken_drivers:Driver")
    assert f"'broken_drivers:Driver': broken_drivers cannot be imported: {words}" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("installed_drivers:Missing", "there is no class 'Missing' in installed_drivers"),
        ("installed_drivers:Good.Missing", "there is no class 'Good.Missing' in installed_drivers"),
        ("installed_drivers:Missing.Good", "there is no class 'Missing.Good' in installed_drivers"),
        ("installed_drivers:function", "there is no class 'function' in installed_drivers"),
        ("no-class", "there is no class '' in installed_drivers"),
        ("installed_drivers:NoDriver", "NoDriver is not a subclass of NetDevDriver"),
    ],
)
def test_what_is_no_driver_is_refused(installed: Path, chosen: str, words: str) -> None:
    with pytest.raises(DriverNotFound) as caught:
        load(chosen)
    assert str(caught.value) == f"driver {chosen!r}: {words}"


@pytest.mark.parametrize("chosen", ["incomplete", "installed_drivers:Halfway"])
def test_a_driver_that_lacks_methods_is_told_which(installed: Path, chosen: str) -> None:
    with pytest.raises(DriverNotFound) as caught:
        load(chosen)
    said, _, lacking = str(caught.value).partition(" does not implement ")
    assert said == f"driver {chosen!r}: Halfway"
    assert lacking.split(", ") == sorted(NetDevDriver.__abstractmethods__ - {"probe"})


def test_mistakes_are_told_by_the_functions_that_take_a_choice() -> None:
    with pytest.raises(DriverNotFound):
        netdev.get_driver("nowhere:Driver")
