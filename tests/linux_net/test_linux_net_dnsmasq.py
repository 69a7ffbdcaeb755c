"""Nova's functions about dnsmasq: a real one, and a client that asks it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from linux_net_ground import fixed_ip, network

from conformance.topology.dhcp import messages
from conformance.topology.dhcp.client import Client
from conformance.topology.linux import Sandbox
from refnet import dhcp, linux_net
from refnet.dhcp.leases import parse
from refnet.errors import InvalidArgument, NotRunning

MAC, MAC2, MAC3 = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
WEB = fixed_ip("10.0.0.3", MAC, "web")
DB = fixed_ip("10.0.0.4", MAC2, "db", default_route=False, virtual_interface_id=8)


@pytest.fixture
def net(host: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """A host with the device of a network, and its fixed IPs in a database."""
    (tmp_path / "resolv.conf").write_text("nameserver 198.51.100.53\nnameserver fe80::1%eth0\nnameserver broken\n")
    monkeypatch.setattr("refnet.linux_net.dnsmasq._RESOLVERS", tmp_path / "resolv.conf")
    guest = host.guest("g1", mac=MAC)
    host.plain_bridge("br100", guest.port)
    host.add_address("br100", "10.0.0.1/24")
    host.look.rest()
    linux_net.configure(fixed_ips=lambda context, network, host: [WEB, DB])
    yield host
    linux_net.kill_dhcp("br100")
    host.remove_plain("br100")


def client(net: Sandbox) -> Client:
    """Return a client with the first of the addresses."""
    return Client(net, next(one for one in net._endpoints if one.name == "g1"))


def serving() -> dhcp.DhcpNetwork:
    """Return what the server was told."""
    return dhcp.get_manager(linux_net.options.networks_path).network("br100")


def pid() -> int:
    """Return the server's process."""
    found = dhcp.get_manager(linux_net.options.networks_path).running("br100").pid
    assert found is not None
    return found


def test_a_client_gets_what_nova_s_client_got(net: Sandbox) -> None:
    linux_net.update_dhcp(None, "br100", network())
    asking = client(net)
    ack = asking.lease()
    assert ack.yiaddr == "10.0.0.3"
    assert ack.addresses(messages.ROUTER) == ["10.0.0.1"]
    assert serving().domain == "novalocal"
    assert serving().lease_time == 86400
    assert [str(one) for one in serving().dns.forwarders] == ["198.51.100.53"]  # type: ignore[union-attr]
    leases = linux_net.get_dhcp_leases(None, network())
    assert [(str(one.address), one.mac_address) for one in parse(leases + "\n")] == [("10.0.0.3", MAC)]
    linux_net.release_dhcp("br100", "10.0.0.3", MAC)
    assert linux_net.get_dhcp_leases(None, network()) == ""
    linux_net.release_dhcp("br100", "10.0.0.3", MAC)
    linux_net.release_dhcp("none", "10.0.0.3", MAC)


def test_the_server_s_rules_come_and_go_with_it(net: Sandbox) -> None:
    linux_net.restart_dhcp(None, "br100", network(), [WEB])
    rules = net.run("iptables", "-S")
    assert "-i br100 -p udp -m udp --dport 67 -j ACCEPT" in rules
    assert "--dport 53" in rules
    assert "-o br100 -p udp -m udp --dport 68 -j CHECKSUM" in net.run("iptables", "-t", "mangle", "-S")
    linux_net.kill_dhcp("br100")
    assert "--dport 67" not in net.run("iptables", "-S")
    assert "--dport 68" not in net.run("iptables", "-t", "mangle", "-S")
    linux_net.kill_dhcp("br100")
    with pytest.raises(NotRunning):
        linux_net.update_dhcp_hostfile_with_text("br100", "")


def test_other_hosts_are_no_new_server_and_other_options_are_one(net: Sandbox) -> None:
    linux_net.restart_dhcp(None, "br100", network(), [WEB])
    first = pid()
    linux_net.restart_dhcp(None, "br100", network(), [WEB, DB])
    assert pid() == first
    linux_net.configure(dhcp_lease_time=600)  # Nova's server would go on with the old one
    linux_net.restart_dhcp(None, "br100", network(), [WEB, DB])
    assert pid() != first
    assert serving().lease_time == 600


def test_a_server_that_was_killed_is_started_again(net: Sandbox) -> None:
    linux_net.update_dhcp(None, "br100", network())
    first = pid()
    ended = os.pidfd_open(first)
    os.kill(first, signal.SIGKILL)
    assert select.select([ended], [], [], 60)[0], "it does not die"
    os.close(ended)
    linux_net.update_dhcp(None, "br100", network())
    assert pid() != first
    assert client(net).lease().yiaddr == "10.0.0.3"


def test_a_name_or_two_that_cannot_be_keep_nobody_from_an_address(
    net: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    long = "x" * 64
    linux_net.restart_dhcp(
        None,
        "br100",
        network(),
        [
            fixed_ip("10.0.0.3", MAC, long),
            fixed_ip("10.0.0.9", MAC.upper(), "second-address"),
            fixed_ip("10.0.0.4", MAC2, "db"),
            fixed_ip("10.0.0.5", MAC3, "DB"),
            fixed_ip("10.0.0.6", "52:54:00:00:00:04", None, allocated=False),
            {"address": "10.0.0.1", "allocated": True, "virtual_interface": None},
        ],
    )
    assert [(one.mac_addresses, str(one.addresses[0]), one.name) for one in serving().hosts] == [
        ((MAC,), "10.0.0.3", None),
        ((MAC2,), "10.0.0.4", "db"),
        ((MAC3,), "10.0.0.5", None),
    ]
    assert [record.args[0] for record in caplog.records if "without its name" in record.msg] == [MAC, MAC3]  # type: ignore[index]
    assert client(net).lease().yiaddr == "10.0.0.3"


@pytest.mark.parametrize(
    "wrong",
    [
        fixed_ip("10.0.0.3", f"{MAC}\n{MAC2}", "web"),
        fixed_ip("10.0.0.3", f"{MAC},ignore", "web"),
        fixed_ip("10.0.0.3\n52:54:00:00:00:02,10.0.0.4", MAC, "web"),
        fixed_ip("10.0.0.3,set:all", MAC, None),
        fixed_ip("10.0.0.3", MAC, "web", virtual_interface_id="7\n#"),
        fixed_ip("10.0.0.3", MAC, "web", virtual_interface_id="7,ignore"),
    ],
)
def test_a_guest_is_one_line(net: Sandbox, wrong: SimpleNamespace) -> None:
    linux_net.configure(use_single_default_gateway=True)
    with pytest.raises(InvalidArgument):
        linux_net.get_dhcp_hosts(None, network(), [DB, wrong])
    named = fixed_ip("10.0.0.3", MAC, "web\n52:54:00:00:00:02,10.0.0.4")  # its name is left out
    assert linux_net.get_dhcp_hosts(None, network(), [named]) == f"{MAC},10.0.0.3,net:NW-7"


@pytest.mark.parametrize("wrong", [None, 7, "10.0.0.3"])
def test_what_is_no_list_of_hosts_is_refused(net: Sandbox, wrong: Any) -> None:
    linux_net.configure(fixed_ips=lambda context, network, host: wrong)
    for call in (
        lambda: linux_net.restart_dhcp(None, "br100", network(), wrong),
        lambda: linux_net.update_dhcp(None, "br100", network()),
        lambda: linux_net.get_dns_hosts(None, network()),
        lambda: linux_net.get_dhcp_hosts(None, network(), wrong),
    ):
        with pytest.raises(InvalidArgument, match="fixed IPs"):
            call()
    with pytest.raises(InvalidArgument, match="text"):
        linux_net.update_dhcp_hostfile_with_text("br100", None)  # type: ignore[arg-type]


def test_only_the_first_interface_of_a_guest_is_told_a_gateway(net: Sandbox) -> None:
    linux_net.configure(use_single_default_gateway=True)
    first = fixed_ip("10.0.0.3", MAC, "web", default_route=False)
    linux_net.restart_dhcp(None, "br100", network(), [first])
    assert client(net).lease().addresses(messages.ROUTER) == []
    linux_net.restart_dhcp(None, "br100", network(), [WEB])
    assert client(net).lease().addresses(messages.ROUTER) == ["10.0.0.1"]


def test_a_network_without_a_gateway_tells_none(net: Sandbox) -> None:
    linux_net.restart_dhcp(None, "br100", network(gateway=None), [WEB])
    assert client(net).lease().addresses(messages.ROUTER) == []


def test_dns_servers(net: Sandbox) -> None:
    def forwarders(**fields: Any) -> list[str]:
        linux_net.restart_dhcp(None, "br100", network(**fields), [WEB])
        dns = serving().dns
        assert dns is not None
        return [str(one) for one in dns.forwarders]

    assert forwarders(dns1="198.51.100.1") == ["198.51.100.53"]  # this host's
    linux_net.configure(use_network_dns_servers=True)
    assert forwarders(dns1="198.51.100.1", dns2="198.51.100.2") == ["198.51.100.1", "198.51.100.2"]
    linux_net.configure(dns_server=["198.51.100.9"])
    assert forwarders(dns1="198.51.100.1") == ["198.51.100.9", "198.51.100.1"]
    assert forwarders() == ["198.51.100.9"]  # Nova's list has grown by the other network's
    assert linux_net.options.dns_server == ("198.51.100.9",)


def test_the_hosts_come_from_where_the_agent_says(net: Sandbox) -> None:
    asked = []

    def database(context: object, network_ref: Any, host: str | None) -> list[SimpleNamespace]:
        asked.append((context, network_ref["id"], host))
        return [WEB]

    linux_net.configure(fixed_ips=database, host="this-one")
    linux_net.update_dhcp("context", "br100", network())
    linux_net.update_dns("context", "br100", network(multi_host=True, dhcp_server="10.0.0.1"))
    assert linux_net.get_dns_hosts("context", network(multi_host=True)) == "10.0.0.3\tweb.novalocal"
    assert asked == [("context", 1, None), ("context", 1, "this-one"), ("context", 1, None)]
    linux_net.configure(fixed_ips=None)
    with pytest.raises(InvalidArgument, match="fixed_ips="):
        linux_net.update_dhcp("context", "br100", network())


def test_hosts_by_text(net: Sandbox) -> None:
    linux_net.configure(use_single_default_gateway=True)
    linux_net.restart_dhcp(None, "br100", network(), [DB])
    text = linux_net.get_dhcp_hosts(None, network(), [WEB, DB, fixed_ip("10.0.0.5", MAC3, None)])
    assert text.splitlines() == [
        f"{MAC},web.novalocal,10.0.0.3,net:NW-7",
        f"{MAC2},db.novalocal,10.0.0.4,net:NW-8",
        f"{MAC3},10.0.0.5,net:NW-7",
    ]
    before = serving().hosts[0]
    linux_net.update_dhcp_hostfile_with_text("br100", f"# a remark\n\n{text}\n")
    assert [(one.name, str(one.addresses[0])) for one in serving().hosts] == [
        ("web", "10.0.0.3"),
        ("db", "10.0.0.4"),
        (None, "10.0.0.5"),
    ]
    assert serving().hosts[1] == before  # still without a gateway
    assert client(net).lease().yiaddr == "10.0.0.3"
    for wrong in (
        "web,10.0.0.3",
        f"{MAC}",
        f"{MAC},a,b,10.0.0.3",
        f"{MAC},web,10.0.0.3,10.0.0.4",
        f"{MAC},we b,10.0.0.3",
    ):
        with pytest.raises(InvalidArgument):
            linux_net.update_dhcp_hostfile_with_text("br100", wrong)
    linux_net.update_dhcp_hostfile_with_text("br100", "")
    assert serving().hosts == ()


@pytest.mark.parametrize("domain", ["Cloud.Example", "cloud.example."])
def test_a_text_of_its_own_is_read_whatever_the_domain_is_written_like(net: Sandbox, domain: str) -> None:
    linux_net.configure(dhcp_domain=domain)
    linux_net.restart_dhcp(None, "br100", network(), [WEB])
    linux_net.update_dhcp_hostfile_with_text("br100", linux_net.get_dhcp_hosts(None, network(), [WEB, DB]))
    assert [one.name for one in serving().hosts] == ["web", "db"]


def test_what_clients_are_told_by_text() -> None:
    try:
        assert linux_net.get_dhcp_opts(None, network(), [WEB, DB]) == "3,10.0.0.1"
        assert linux_net.get_dhcp_opts(None, network(gateway=None), [WEB, DB]) == "3"
        multi = network(multi_host=True, gateway="10.0.0.254", dhcp_server="10.0.0.2")
        assert linux_net.get_dhcp_opts(None, multi, [WEB]) == "3,10.0.0.2"
        assert linux_net.get_dhcp_opts(None, {**multi, "share_address": True}, [WEB]) == "3,10.0.0.254"
        linux_net.configure(use_single_default_gateway=True)
        assert linux_net.get_dhcp_opts(None, network(), [WEB, DB]).splitlines() == ["NW-7,3,10.0.0.1", "NW-8,3"]
        linux_net.configure(dhcp_domain="")
        assert linux_net.get_dhcp_hosts(None, network(), [WEB]) == f"{MAC},web,10.0.0.3,net:NW-7"
    finally:
        linux_net.configure(use_single_default_gateway=False, dhcp_domain="novalocal")


def test_routers_are_advertised(net: Sandbox) -> None:
    six = network(cidr_v6="2001:db8::/64", gateway_v6="2001:db8::1")
    net.give_link_local("br100")
    net.add_address("br100", "2001:db8::1/64")
    net.look.rest()
    linux_net.update_ra(None, "br100", six)
    assert (serving().ipv6, [str(one) for one in serving().addresses]) == (
        dhcp.Ipv6Mode.SLAAC,
        ["10.0.0.1/24", "2001:db8::1/64"],
    )
    assert client(net).lease().yiaddr == "10.0.0.3"
    linux_net.configure(use_ipv6=True)
    linux_net.update_dhcp(None, "br100", network())  # one that has no IPv6
    assert (serving().ipv6, len(serving().addresses)) == (None, 1)
    linux_net.update_dhcp(None, "br100", six)
    first = pid()
    linux_net.update_dhcp(None, "br100", six)
    assert (serving().ipv6, pid()) == (dhcp.Ipv6Mode.SLAAC, first)
