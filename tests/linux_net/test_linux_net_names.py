"""The names of refnet.linux_net: each is in docs/nova.md with its signature, and nothing else is."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from linux_net_ground import fixed_ip, network

from conformance.topology.linux import Sandbox
from refnet import linux_net
from refnet.errors import InvalidArgument

REPOSITORY = Path(__file__).parent.parent.parent
ROWS = re.compile(r"^\| `([A-Za-z_.]+)(?:\(([^`]*)\))?` \|", re.MULTILINE)


def documented() -> dict[str, str | None]:
    """Return the names of the document's tables, each with its arguments, but for what is not here."""
    text = (REPOSITORY / "docs/nova.md").read_text(encoding="utf-8").partition("## What is not here")[0]
    found = {name: arguments if "(" in row else None for name, arguments, row in _rows(text)}
    assert len(found) == len(_rows(text)), "a name has two rows"
    return found


def _rows(text: str) -> list[tuple[str, str, str]]:
    return [(match[1], match[2] or "", match[0]) for match in ROWS.finditer(text)]


def there() -> dict[str, str | None]:
    """Return the public names that there are, and the public methods of Nova's classes, with their arguments."""
    found: dict[str, str | None] = {}
    for name in linux_net.__all__:
        thing = getattr(linux_net, name)
        found[name] = _arguments(thing) if callable(thing) else None
        if inspect.isclass(thing) and name not in ("Options", "LinuxNetInterfaceDriver") and thing.__name__ == name:
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if not method.startswith("_"):
                    found[f"{name}.{method}"] = _arguments(function)
    return found


def _arguments(thing: Any) -> str:
    if thing is linux_net.Options:
        return ""  # a field for each of Nova's options
    given = inspect.signature(thing).parameters.values()
    return ", ".join(
        one.name if one.default is one.empty else f"{one.name}={one.default!r}"
        for one in given
        if one.name != "self" and one.kind is not one.VAR_KEYWORD
    )


def test_every_name_is_documented_with_its_signature_and_nothing_else_is() -> None:
    assert documented() == there()


def test_what_is_public_in_a_module_is_public_in_the_package() -> None:
    own = {"drop_rules", "let_forward", "forget_forwarding", "ipv6_address", "told_gateway", "my_ip", "metadata_host"}
    own |= {"routing_source_ip", "FixedIps", "has_ipv6"}
    for module in ("devices", "switches", "interfaces", "forwarding", "gateway", "dnsmasq", "settings", "tables"):
        loaded = importlib.import_module(f"refnet.linux_net.{module}")
        for name, thing in vars(loaded).items():
            if getattr(thing, "__module__", None) == loaded.__name__ and not name.startswith("_") and name not in own:
                assert name in linux_net.__all__, f"{module}.{name}"


def test_the_signatures_are_those_of_nova_34() -> None:
    # As its source has them; tests/nova compares with an installed one.
    for line in (
        "device_exists(device)",
        "delete_net_dev(dev)",
        "delete_net_dev_escalated(dev)",
        "set_device_mtu(dev, mtu)",
        "set_device_enabled(dev)",
        "set_device_trust(dev, vf_num, trusted)",
        "set_device_macaddr(dev, mac_addr, port_state=None)",
        "set_device_macaddr_and_vlan(dev, vf_num, mac_addr, vlan)",
        "create_tap_dev(dev, mac_address=None, multiqueue=False)",
        "add_vlan(bridge_interface, interface, vlan_num)",
        "ensure_vlan(vlan_num, bridge_interface, mac_address=None, mtu=None, interface=None)",
        "set_vf_interface_vlan(pci_addr, mac_addr, vlan=0)",
        "set_vf_trusted(pci_addr, trusted)",
    ):
        name, _, rest = line.partition("(")
        assert f"({_arguments(getattr(linux_net, name))})" == f"({rest}", name


def test_importing_it_imports_no_oslo_and_no_driver() -> None:
    code = (
        "import sys, refnet.linux_net; "
        "print([one for one in sys.modules if one.startswith(('oslo', 'pyroute2', 'ovs', 'refnet.netdev.linux'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def test_the_python_of_the_document_runs(host: Sandbox, tap: None) -> None:
    text = (REPOSITORY / "docs/nova.md").read_text(encoding="utf-8")
    blocks = [inspect.cleandoc(one) for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) == 2
    ips = SimpleNamespace(
        get_by_network=lambda context, network, host: [fixed_ip("10.0.0.3", "52:54:00:00:00:01", "web")]
    )
    names: dict[str, Any] = {"objects": SimpleNamespace(FixedIPList=ips)}
    for block in blocks:
        exec(block, names)
    assert linux_net.get_dns_hosts(None, network()) == "10.0.0.3\tweb.novalocal"
    assert host.look.kind("br100") == "bridge"
    host.remove_plain("br100", "tap1")


def test_the_command_of_the_document_takes_nova_s_rules_away_and_no_others(host: Sandbox) -> None:
    host.run("iptables", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    before = host.run("iptables", "-S")
    for words in (
        "-N nova-filter-top",
        "-N nova-network-INPUT",
        "-A INPUT -j nova-network-INPUT",
        "-A OUTPUT -j nova-filter-top",
        "-A nova-network-INPUT -s 192.0.2.2 -j DROP",
    ):
        host.run("iptables", *words.split())
    text = (REPOSITORY / "docs/nova.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"# (iptables-save .*)", text)
    host.run("sh", "-ec", command)
    assert host.run("iptables", "-S") == before
    host.run("iptables", "-F")


# -- options -------------------------------------------------------------------------------------------


def test_options_come_from_nova_s_configuration_or_by_name(host: Sandbox) -> None:
    nova = SimpleNamespace(
        dhcp_domain="example.org",
        dns_server=["198.51.100.1", "198.51.100.2"],
        force_snat_range=[],
        metadata_port=80,
        fake_network=False,
        dnsmasq_config_file="",
        workers=7,
    )
    linux_net.configure(nova, metadata_port=81, forward_bridge_interface="eth0")
    told = linux_net.options
    assert (told.dhcp_domain, told.metadata_port) == ("example.org", 81)
    assert (told.dns_server, told.forward_bridge_interface) == (("198.51.100.1", "198.51.100.2"), ("eth0",))
    assert told.public_interface == "eth0"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dhcp_domian": "x"}, "dhcp_domian"),
        ({"source": SimpleNamespace(fake_network=True)}, "fake_network"),
        ({"source": SimpleNamespace(dnsmasq_config_file="/etc/dnsmasq.conf")}, "dnsmasq_config_file"),
        ({"source": SimpleNamespace(iptables_top_regex="x")}, "iptables_top_regex"),
        ({"dns_server": 7}, "dns_server"),
        ({"dns_server": [7]}, "dns_server"),
        ({"use_ipv6": "false"}, "use_ipv6"),
        ({"metadata_port": "http"}, "metadata_port"),
        ({"linuxnet_interface_driver": None}, "linuxnet_interface_driver"),
        ({"my_ip": 7}, "my_ip"),
        ({"fixed_ips": []}, "fixed_ips"),
    ],
)
def test_options_that_cannot_be_are_refused_and_none_is_set(given: dict[str, Any], words: str) -> None:
    source = given.pop("source", None)
    with pytest.raises(InvalidArgument, match=words):
        linux_net.configure(source, **{"dhcp_domain": "never.example.org", **given})
    assert linux_net.options.dhcp_domain == "novalocal"


def test_a_host_s_own_address_is_the_one_towards_its_gateway(host: Sandbox) -> None:
    linux_net.configure(my_ip=None)
    with pytest.raises(InvalidArgument, match="my_ip"):
        linux_net.metadata_accept()
    host.plain_cables("eth1")
    host.run("ip", "link", "set", "eth1", "up")
    host.add_address("eth1", "198.51.100.7/24")
    host.add_route("default", "198.51.100.1", "eth1")
    linux_net.metadata_accept()
    assert "198.51.100.7" in host.run("iptables", "-S")
    host.remove_plain("eth1")
