"""A network as nova-network had it, from plug to unplug, seen by its guests and from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from linux_net_ground import fixed_ip, network, source_at

from conformance.topology.dhcp import messages
from conformance.topology.dhcp.client import Client
from conformance.topology.linux import Sandbox
from refnet import linux_net, netdev

MAC, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def test_a_network_from_plug_to_unplug(host: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("refnet.linux_net.dnsmasq._RESOLVERS", tmp_path / "none")
    web, outside = host.guest("web", mac=MAC), host.guest("outside", "192.0.2.200/24")
    linux_net.configure(
        public_interface=outside.port, fixed_ips=lambda context, network, host: [fixed_ip("10.0.0.3", MAC, "web")]
    )
    host.add_address(outside.port, "192.0.2.1/24")
    ref = network()

    # What nova-network called, in its order.
    linux_net.init_host("10.0.0.0/24")
    linux_net.ensure_metadata_ip()
    linux_net.metadata_forward()
    dev = linux_net.plug(ref, MAC2)
    linux_net.initialize_gateway_device(dev, ref)
    linux_net.update_dhcp(None, dev, ref)
    netdev.add_bridge_port(dev, web.port)
    host.look.rest()

    ack = Client(host, web).lease()
    assert (ack.yiaddr, ack.addresses(messages.ROUTER)) == ("10.0.0.3", ["10.0.0.1"])
    web.wake("10.0.0.3/24", gateways=["10.0.0.1"])
    assert source_at(web, "10.0.0.3", outside, "192.0.2.200") == "192.0.2.1"

    # A floating address: from now on the guest is known by it, and is reached by it.
    outside.add_route("198.51.100.0/24", "192.0.2.1", "eth0")
    linux_net.ensure_floating_forward("198.51.100.7", "10.0.0.3", outside.port, ref)
    linux_net.bind_floating_ip("198.51.100.7", outside.port)
    linux_net.clean_conntrack("10.0.0.3")
    assert source_at(web, "10.0.0.3", outside, "192.0.2.200") == "198.51.100.7"
    with web.datagram_socket("10.0.0.3", 5000) as there, outside.datagram_socket("192.0.2.200") as here:
        there.settimeout(30)
        here.sendto(b"to the floating address", ("198.51.100.7", 5000))
        assert there.recvfrom(64)[0] == b"to the floating address"
    linux_net.unbind_floating_ip("198.51.100.7", outside.port)
    linux_net.remove_floating_forward("198.51.100.7", "10.0.0.3", outside.port, ref)
    linux_net.clean_conntrack("10.0.0.3")
    assert source_at(web, "10.0.0.3", outside, "192.0.2.200") == "192.0.2.1"

    linux_net.release_dhcp(dev, "10.0.0.3", MAC)
    linux_net.kill_dhcp(dev)
    assert linux_net.unplug(ref) == dev
    assert host.look.link(dev) is None
    assert host.look.master(web.port) is None
    FORWARDING.write_text("0\n")
    host.run("ip", "address", "del", "169.254.169.254/32", "dev", "lo")
