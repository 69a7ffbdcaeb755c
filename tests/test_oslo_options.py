"""The options of a deployment, read by oslo.config from files as deployers write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from refnet import config, dhcp, firewall, netdev, oslo_options
from refnet.errors import DriverNotFound, InvalidArgument, RefnetError

REPOSITORY = Path(__file__).parent.parent
GROUPS = ("refnet.netdev", "refnet.firewall", "refnet.dhcp")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_configured", {})
    for name in ("REFNET_NETDEV", "REFNET_FIREWALL", "REFNET_DHCP", "REFNET_OVSDB", "OVS_RUNDIR"):
        monkeypatch.delenv(name, raising=False)


def conf(tmp_path: Path, *lines: str) -> Any:
    """Read a file with these lines in [refnet]."""
    file = tmp_path / "nova.conf"
    file.write_text("\n".join(["[DEFAULT]", "[refnet]", *lines, ""]))
    found = cfg.ConfigOpts()
    oslo_options.register(found)
    found(["--config-file", str(file)], project="nova")
    return found


def chosen() -> dict[str, Any]:
    found: dict[str, Any] = {group: config.choice(group) for group in GROUPS}
    return found | {"ovsdb": config.ovsdb(), "dhcp_directory": config.dhcp_directory()}


def test_a_deployment_that_changes_nothing_changes_nothing(tmp_path: Path) -> None:
    before = chosen()
    oslo_options.apply(conf(tmp_path))
    assert chosen() == before
    assert before["refnet.firewall"] in ("iptables", "pf")
    assert before["refnet.dhcp"] == "dnsmasq"
    assert before["ovsdb"] == "unix:/var/run/openvswitch/db.sock"


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    oslo_options.apply(
        conf(
            tmp_path,
            "netdev_driver = refnet.netdev.linux:LinuxNetDevDriver",
            "firewall_driver = nftables",
            "dhcp_driver = dnsmasq",
            "dhcp_directory = /srv/dhcp",
            "ovsdb_connection = tcp:[::1]:6640",
        )
    )
    assert chosen() == {
        "refnet.netdev": "refnet.netdev.linux:LinuxNetDevDriver",
        "refnet.firewall": "nftables",
        "refnet.dhcp": "dnsmasq",
        "ovsdb": "tcp:[::1]:6640",
        "dhcp_directory": "/srv/dhcp",
    }
    assert type(firewall.get_manager("options-test")).__name__ == "NftablesManager"
    assert dhcp.get_manager().directory == Path("/srv/dhcp")
    assert dhcp.get_manager("/srv/other").directory == Path("/srv/other")


def test_the_file_goes_before_the_environment_and_silence_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFNET_FIREWALL", "null")
    monkeypatch.setenv("REFNET_OVSDB", "tcp:127.0.0.1:1")
    oslo_options.apply(conf(tmp_path))
    assert (config.choice("refnet.firewall"), config.ovsdb()) == ("null", "tcp:127.0.0.1:1")
    oslo_options.apply(conf(tmp_path, "firewall_driver = nftables", "ovsdb_connection = unix:/srv/db.sock"))
    assert (config.choice("refnet.firewall"), config.ovsdb()) == ("nftables", "unix:/srv/db.sock")
    oslo_options.apply(conf(tmp_path))
    assert (config.choice("refnet.firewall"), config.ovsdb()) == ("null", "tcp:127.0.0.1:1"), "taken out of the file"


def test_privsep_takes_the_place_of_all_three(tmp_path: Path) -> None:
    oslo_options.apply(conf(tmp_path, "use_privsep = true", "firewall_driver = nftables", "dhcp_directory = /srv/dhcp"))
    assert [config.choice(group) for group in GROUPS] == ["privsep"] * 3
    assert type(netdev.get_driver()).__name__ == "PrivsepNetDev"
    assert config.dhcp_directory() == "/srv/dhcp"


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("netdev_driver = linus", DriverNotFound, "no driver 'linus' in refnet.netdev: known are "),
        ("firewall_driver = linux", DriverNotFound, "no driver 'linux' in refnet.firewall: known are "),
        ("firewall_driver = no.such:Class", DriverNotFound, "no.such cannot be imported"),
        ("dhcp_driver = os:path", DriverNotFound, "there is no class 'path' in os"),
        ("dhcp_driver = refnet.firewall.null:NullFirewall", DriverNotFound, "is not a subclass of DhcpManager"),
        ("netdev_driver = privsep", DriverNotFound, "use_privsep"),
        ("firewall_driver = refnet.privsep:PrivsepFirewall", DriverNotFound, "use_privsep"),
        ("dhcp_directory = var/dhcp", InvalidArgument, "is not an absolute path"),
        ("dhcp_directory = /var/my dhcp", InvalidArgument, "without blank"),
        ("ovsdb_connection = /run/db.sock", InvalidArgument, "unix:PATH"),
        ("ovsdb_connection = tcp:host:66000", InvalidArgument, "tcp:ADDRESS:PORT"),
        ("ovsdb_connection = ptcp:6640", InvalidArgument, "is no connection"),
    ],
)
def test_a_bad_value_is_told_with_option_and_group(
    tmp_path: Path, line: str, kind: type[RefnetError], said: str
) -> None:
    option = line.partition(" ")[0]
    with pytest.raises(kind) as caught:
        oslo_options.apply(conf(tmp_path, line))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"option {option} of group [refnet]: ")
    assert said in str(caught.value)
    assert config._configured == {}, "nothing is taken of a file that is wrong"


def test_the_generator_prints_them_with_what_they_are_for() -> None:
    program = Path(sys.executable).with_name("oslo-config-generator")
    done = subprocess.run([program, "--namespace", "refnet"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    sections = {part.partition("]")[0]: part for part in done.stdout.split("\n[")}
    assert {"refnet", "refnet_privileged"} <= set(sections)
    for option in ("netdev_driver", "firewall_driver", "dhcp_driver", "dhcp_directory", "ovsdb_connection"):
        assert f"\n#{option} = " in sections["refnet"], sections["refnet"]
    assert "\n#use_privsep = false" in sections["refnet"]
    assert "'iptables', 'iptables-legacy'" in sections["refnet"].replace("\n# ", " ")
    assert "CAP_NET_ADMIN" in sections["refnet_privileged"]
    # Every line of it is a comment or a heading: as it is, it changes nothing.
    assert all(line[:1] in ("", "#", "[") for line in done.stdout.splitlines())


def test_refnet_needs_no_oslo() -> None:
    code = """
import importlib, pkgutil, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("oslo"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import refnet
count = 0
for module in pkgutil.walk_packages(refnet.__path__, "refnet.", onerror=lambda name: None):
    if module.name.startswith(("refnet.privsep", "refnet.oslo_options", "refnet.__main__")):
        continue
    importlib.import_module(module.name)
    count += 1
from refnet import netdev
from refnet.errors import DriverNotFound
try:
    netdev.get_driver("privsep")
except DriverNotFound as error:
    print(error)
print(count)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    words, count = done.stdout.splitlines()
    assert "refnet.privsep needs what 'pip install refnet[nova]' brings" in words
    assert int(count) > 100
