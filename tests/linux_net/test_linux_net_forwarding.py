"""The firewall of a network host: IptablesManager, and the rules that Nova has, as iptables itself lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from linux_net_ground import network, rules

from conformance.topology.linux import Sandbox
from refnet import linux_net
from refnet.errors import InvalidArgument, RefnetError, Unsupported


def of(chain: str, found: list[str]) -> list[str]:
    """Return the rules of a chain."""
    return [line.partition(" ")[2] for line in found if line.split()[0] == chain]


def test_nothing_is_looked_at_before_a_table_is(host: Sandbox) -> None:
    with host.look.unchanged("a manager that nobody has used"):
        linux_net.IptablesManager()
    with pytest.raises(InvalidArgument, match="execute"):
        linux_net.IptablesManager(execute=print)


def test_two_managers_of_a_process_are_of_one_mind(host: Sandbox) -> None:
    # Two of Nova's would each take away what the other one has added.
    one, other = linux_net.IptablesManager(), linux_net.IptablesManager()
    one.ipv4["filter"].add_rule("INPUT", "-s 192.0.2.1 -j DROP")
    assert one.dirty()
    one.apply()
    assert not one.dirty()
    other.ipv4["filter"].add_rule("INPUT", "-s 192.0.2.2 -j DROP")
    other.ipv6["filter"].add_rule("INPUT", "-s 2001:db8::1 -j DROP")
    assert one.dirty()
    other.apply()
    assert of("INPUT", rules(host)) == ["-s 192.0.2.1/32 -j DROP", "-s 192.0.2.2/32 -j DROP"]
    assert "2001:db8::1/128" in host.run("ip6tables", "-S")


def test_apply_can_be_put_off(host: Sandbox) -> None:
    manager = linux_net.IptablesManager()
    assert manager.iptables_apply_deferred is False
    manager.defer_apply_on()
    assert manager.iptables_apply_deferred is True
    manager.ipv4["filter"].add_rule("INPUT", "-s 192.0.2.1 -j DROP")
    manager.apply()
    assert rules(host) == []
    manager.defer_apply_off()
    assert of("INPUT", rules(host)) == ["-s 192.0.2.1/32 -j DROP"]


def test_rules_of_others_stay_though_they_name_this_program(host: Sandbox) -> None:
    name = linux_net.get_binary_name()
    host.run("iptables", "-A", "INPUT", "-m", "comment", "--comment", f"not of {name}", "-j", "ACCEPT")
    linux_net.iptables_manager.ipv4["filter"].add_rule("INPUT", "-s 192.0.2.1 -j DROP")
    linux_net.iptables_manager.apply()
    assert f"not of {name}" in host.run("iptables", "-S")
    host.run("iptables", "-D", "INPUT", "-m", "comment", "--comment", f"not of {name}", "-j", "ACCEPT")


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (("nova-api-metadata.py",), "nova-api-metadata.py"),
        (("-c",), None),
        (("-m", "a_module"), "a_module"),
        (("-m", "a_package"), "a_package"),
    ],
)
def test_a_program_s_name_is_its_own_and_whole(tmp_path: Path, how: tuple[str, ...], name: str | None) -> None:
    code = "import threading; from refnet import linux_net\n"
    code += "threading.Thread(target=lambda: print(linux_net.get_binary_name())).start()\n"
    (tmp_path / "a_package").mkdir()
    for file in ("nova-api-metadata.py", "a_module.py", "a_package/__main__.py"):
        (tmp_path / file).write_text(code)
    argv = [sys.executable, *how, *([code] if how == ("-c",) else [])]
    paths = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, cwd=tmp_path, env=paths, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (name or Path(sys.executable).name)


def test_metadata(host: Sandbox) -> None:
    linux_net.metadata_forward()
    linux_net.metadata_accept()
    to = "-d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j"
    assert of("PREROUTING", rules(host, "nat")) == [f"{to} DNAT --to-destination 192.0.2.1:8775"]
    assert of("INPUT", rules(host)) == ["-d 192.0.2.1/32 -p tcp -m tcp --dport 8775 -j ACCEPT"]


def test_metadata_on_the_loopback_device(host: Sandbox) -> None:
    linux_net.configure(metadata_host="127.0.0.1", metadata_port="80")
    linux_net.metadata_forward()
    linux_net.metadata_accept()
    to = "-d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j"
    assert of("PREROUTING", rules(host, "nat")) == [f"{to} REDIRECT --to-ports 80"]
    assert of("INPUT", rules(host)) == ["-p tcp -m tcp --dport 80 -j ACCEPT"]


def test_metadata_by_ipv6_is_accepted_and_not_translated(host: Sandbox) -> None:
    linux_net.configure(metadata_host="2001:db8::1")
    linux_net.metadata_accept()
    assert "-d 2001:db8::1/128 -p tcp -m tcp --dport 8775 -j ACCEPT" in host.run("ip6tables", "-S")
    with pytest.raises(InvalidArgument, match="IPv6"):
        linux_net.metadata_forward()
    linux_net.configure(metadata_host=None, metadata_port=65536)
    with pytest.raises(InvalidArgument, match="65536"):
        linux_net.metadata_forward()


def test_a_network_is_translated(host: Sandbox) -> None:
    linux_net.configure(dmz_cidr=["198.51.100.0/24"], routing_source_ip="192.0.2.9")
    linux_net.init_host("10.0.0.0/24")
    nat = rules(host, "nat")
    assert "-s 10.0.0.0/24 -o eth0 -j SNAT --to-source 192.0.2.9" in of("snat", nat)
    accepted = [one for one in of("POSTROUTING", nat) if one.endswith("-j ACCEPT")]
    assert accepted == [
        "-s 10.0.0.0/24 -d 192.0.2.1/32 -j ACCEPT",
        "-s 10.0.0.0/24 -d 198.51.100.0/24 -j ACCEPT",
        "-s 10.0.0.0/24 -d 10.0.0.0/24 -m conntrack ! --ctstate DNAT -j ACCEPT",
    ]
    with host.look.unwritten("a network that is translated"):
        linux_net.init_host("10.0.0.0/24")


def test_a_network_with_a_gateway_elsewhere_is_translated_to_some_only(host: Sandbox) -> None:
    linux_net.init_host("10.0.0.0/24", is_external=True)
    assert not [one for one in rules(host, "nat") if "SNAT" in one]
    linux_net.configure(force_snat_range="203.0.113.0/24")
    linux_net.add_snat_rule("10.0.0.0/24", is_external=True)
    assert "-s 10.0.0.0/24 -d 203.0.113.0/24 -j SNAT --to-source 192.0.2.1" in of("snat", rules(host, "nat"))
    with host.look.unchanged("what takes an ebtables rule"), pytest.raises(Unsupported, match="ebtables"):
        linux_net.init_host("10.0.1.0/24", is_external=True)


def test_without_an_address_to_translate_to_nothing_is(host: Sandbox) -> None:
    linux_net.configure(routing_source_ip="")
    linux_net.add_snat_rule("10.0.0.0/24")
    assert rules(host, "nat") == []


ANY = "10.0.0.3 -j ACCEPT"
NOT_NETWORKS = (ANY, "10.0.0.0/24 -j ACCEPT", "10.0.0.1/24", "2001:db8::/64", "10.0.0.0/24\n-A INPUT -j ACCEPT", None)


def test_a_value_is_no_more_than_its_part_of_a_rule(host: Sandbox) -> None:
    with host.look.unchanged("what says more than an address"):
        for one in NOT_NETWORKS:
            for call in (
                lambda one=one: linux_net.init_host(one),
                lambda one=one: linux_net.add_snat_rule(one),
                lambda one=one: linux_net.ensure_vpn_forward(one, 1000, "10.0.0.2"),
                lambda one=one: linux_net.ensure_vpn_forward("192.0.2.1", 1000, one),
                lambda one=one: linux_net.ensure_floating_forward(one, "10.0.0.3", "eth0", None),
                lambda one=one: linux_net.ensure_floating_forward("192.0.2.100", one, "eth0", None),
                lambda one=one: linux_net.remove_floating_forward("192.0.2.100", one, "eth0", None),
                lambda one=one: linux_net.floating_forward_rules(one, "10.0.0.3", None),
                lambda: linux_net.ensure_floating_forward("192.0.2.100", "10.0.0.3", "eth0 -p tcp", None),
                lambda: linux_net.ensure_vpn_forward("192.0.2.1", 65536, "10.0.0.2"),
                lambda: linux_net.get_gateway_rules("br100 -p tcp"),
            ):
                with pytest.raises(InvalidArgument):
                    call()
        linux_net.iptables_manager.apply()


@pytest.mark.parametrize(
    "options",
    [
        {"dmz_cidr": ["198.51.100.0/24", ANY]},
        {"routing_source_ip": "192.0.2.9 -p tcp"},
        {"public_interface": "eth0 -p tcp"},
        {"metadata_host": ANY},
    ],
)
def test_an_option_is_no_more_than_its_part_of_a_rule(host: Sandbox, options: dict[str, Any]) -> None:
    linux_net.configure(**options)
    with host.look.unchanged("an option that says more"):
        with pytest.raises(InvalidArgument):
            linux_net.init_host("10.0.0.0/24")
        linux_net.iptables_manager.apply()


@pytest.mark.parametrize("options", [{"iptables_drop_action": "DROP -p tcp"}, {"forward_bridge_interface": "a b"}])
def test_an_option_is_no_more_than_its_part_of_a_bridge_s_rules(host: Sandbox, options: dict[str, Any]) -> None:
    linux_net.configure(**{"forward_bridge_interface": "eth0", **options})
    with pytest.raises(InvalidArgument):
        linux_net.get_gateway_rules("br100")


def test_gateway_rules_are_nova_s(host: Sandbox) -> None:
    assert linux_net.get_gateway_rules("br100") == [
        ("FORWARD", "-i br100 -j ACCEPT"),
        ("FORWARD", "-o br100 -j ACCEPT"),
    ]
    linux_net.configure(forward_bridge_interface=["eth0", ""], iptables_drop_action="REJECT")
    assert linux_net.get_gateway_rules("br100") == [
        ("FORWARD", "-i br100 -o eth0 -j ACCEPT"),
        ("FORWARD", "-i eth0 -o br100 -j ACCEPT"),
        ("FORWARD", "-i br100 -o br100 -j ACCEPT"),
        ("FORWARD", "-i br100 -j REJECT"),
        ("FORWARD", "-o br100 -j REJECT"),
    ]


def test_a_vpn_is_forwarded(host: Sandbox) -> None:
    linux_net.ensure_vpn_forward("192.0.2.1", "1000", "10.0.0.2")
    to = "-d 192.0.2.1/32 -p udp -m udp --dport 1000 -j DNAT --to-destination 10.0.0.2:1194"
    assert of("PREROUTING", rules(host, "nat")) == [to]
    assert to in of("OUTPUT", rules(host, "nat"))
    assert of("FORWARD", rules(host)) == ["-d 10.0.0.2/32 -p udp -m udp --dport 1194 -j ACCEPT"]
    with pytest.raises(InvalidArgument):
        linux_net.ensure_vpn_forward("192.0.2.1", "openvpn", "10.0.0.2")


def test_floating_addresses_move_and_go(host: Sandbox) -> None:
    host.plain_bridge("br100")
    host.add_address("br100", "10.0.0.1/24")
    net = network()
    linux_net.ensure_floating_forward("192.0.2.100", "10.0.0.3", "eth0", net)
    linux_net.ensure_floating_forward("192.0.2.10", "10.0.0.5", "eth0", net)
    assert "-s 10.0.0.3/32 -o eth0 -j SNAT --to-source 192.0.2.100" in of("float-snat", rules(host, "nat"))
    linux_net.ensure_floating_forward("192.0.2.100", "10.0.0.4", "eth0", net)
    nat = rules(host, "nat")
    assert not [one for one in nat if "10.0.0.3" in one]
    assert len([one for one in nat if "192.0.2.100" in one]) == len(
        linux_net.floating_forward_rules("192.0.2.100", "10.0.0.4", "eth0")
    )
    linux_net.remove_floating_forward("192.0.2.100", "10.0.0.4", "eth0", net)
    nat = rules(host, "nat")
    assert not [one for one in nat if "192.0.2.100" in one]
    assert [one for one in nat if "192.0.2.10/32" in one]
    linux_net.remove_floating_forward("192.0.2.100", "10.0.0.4", "eth0", net)
    host.remove_plain("br100")


def test_a_floating_address_of_a_guest_with_another_gateway_is_refused(host: Sandbox) -> None:
    host.plain_bridge("br100")
    host.add_address("br100", "10.0.0.1/24")
    elsewhere = network(gateway="10.0.0.254")
    with host.look.unchanged("another gateway"), pytest.raises(Unsupported, match=r"10\.0\.0\.254"):
        linux_net.ensure_floating_forward("192.0.2.100", "10.0.0.3", "eth0", elsewhere)
    # Of several hosts each is the gateway of its own guests, unless they share an address.
    linux_net.ensure_floating_forward("192.0.2.100", "10.0.0.3", "eth0", {**elsewhere, "multi_host": True})
    # What leaves by the bridge itself is bridged by nobody.
    linux_net.ensure_floating_forward("192.0.2.101", "10.0.0.4", "br100", elsewhere)
    linux_net.ensure_floating_forward("192.0.2.102", "10.0.0.5", None, None)
    host.remove_plain("br100")


def test_rules_of_a_floating_address_without_a_device() -> None:
    assert linux_net.floating_forward_rules("192.0.2.100", "10.0.0.3", None)[0] == (
        "float-snat",
        "-s 10.0.0.3 -j SNAT --to 192.0.2.100",
    )


def test_a_dhcp_address_is_isolated_and_is_not(host: Sandbox) -> None:
    host.plain_cables("eth1")
    linux_net.isolate_dhcp_address("eth1", "10.0.0.1")
    assert "10.0.0.1" in str(host.look.rules())
    linux_net.remove_isolate_dhcp_address("eth1", "10.0.0.1")
    linux_net.remove_isolate_dhcp_address("eth1", "10.0.0.1")
    assert "10.0.0.1" not in str(host.look.rules())
    host.remove_plain("eth1")


def test_connections_are_forgotten(host: Sandbox) -> None:
    host.prepare_firewall()
    linux_net.iptables_manager.ipv4["filter"].add_rule("INPUT", "-m conntrack --ctstate INVALID -j DROP")
    linux_net.iptables_manager.apply()
    host.add_address("lo", "10.0.0.3/32")
    with host.datagram_socket("10.0.0.3") as there, host.datagram_socket("127.0.0.1") as here:
        here.sendto(b"refnet", there.getsockname())
        there.settimeout(30)
        there.recvfrom(64)
    assert host.connections("10.0.0.3")
    linux_net.clean_conntrack("10.0.0.3")
    assert host.connections("10.0.0.3") == []
    with pytest.raises(RefnetError):
        linux_net.clean_conntrack("nobody")
    host.run("ip", "address", "del", "10.0.0.3/32", "dev", "lo")
