"""What the image of images/linux has: programs in the versions that specs need, and kernels with what they ask."""

import re

import pytest

#: Program, how it tells its version, and the oldest that will do.
PROGRAMS = [
    ("python3", "python3 --version", (3, 10)),
    ("ip", "ip -V", (5, 10)),
    ("bridge", "bridge -V", (5, 10)),
    ("tc", "tc -V", (5, 10)),
    ("ss", "ss -V", (5, 10)),
    ("iptables-legacy", "iptables-legacy --version", (1, 8)),
    ("iptables-nft", "iptables-nft --version", (1, 8)),
    ("ip6tables-legacy", "ip6tables-legacy --version", (1, 8)),
    ("ip6tables-nft", "ip6tables-nft --version", (1, 8)),
    ("nft", "nft --version", (1, 0)),
    ("ebtables-legacy", "ebtables-legacy --version", (2, 0)),
    ("ebtables-nft", "ebtables-nft --version", (1, 8)),
    ("conntrack", "conntrack --version", (1, 4)),
    ("dnsmasq", "dnsmasq --version", (2, 86)),
    ("dhclient", "dhclient --version", (4, 4)),
    ("dhcpcd", "dhcpcd --version", (9, 0)),
    ("udhcpc", "busybox 2>&1", (1, 35)),
    ("ovs-vsctl", "ovs-vsctl --version", (2, 15)),
    ("ovs-vswitchd", "ovs-vswitchd --version", (2, 15)),
    ("ovsdb-server", "ovsdb-server --version", (2, 15)),
    ("tcpdump", "tcpdump --version", (4, 99)),
    ("ping", "ping -V", (2021,)),
    ("ethtool", "ethtool --version", (5, 0)),
    ("modprobe", "modprobe --version", (28,)),
    ("nsenter", "nsenter --version", (2, 36)),
]


@pytest.mark.parametrize(("program", "ask", "oldest"), PROGRAMS, ids=[program for program, *_ in PROGRAMS])
def test_a_program_is_there_and_new_enough(host, program, ask, oldest):
    assert host.exists(program), f"{program} is not on PATH"
    said = host.run(ask)
    words = said.stdout + said.stderr
    found = re.search(r"\d+(\.\d+)+", words) or re.search(r"\d+", words)
    assert found, said
    version = tuple(map(int, found.group().split(".")))
    assert version >= oldest, said


def test_the_packages_are_those_that_were_recorded(host, image):
    listed = host.check_output("dpkg-query -W -f '${Package} ${Version}\\n'").splitlines()
    assert dict(line.split() for line in listed) == dict(image.packages)


def test_nothing_of_the_build_is_left(host):
    assert host.file("/etc/machine-id").size == 0
    assert host.check_output("find /var/lib/apt/lists /var/cache/apt /var/log -type f") == ""
    assert not host.file("/etc/dropbear/dropbear_ed25519_host_key").exists


def test_python_has_all_of_its_standard_library(host):
    modules = "ctypes, fcntl, json, lzma, sqlite3, ssl, tarfile, venv, zlib"
    assert host.run(f"python3 -c 'import {modules}'").rc == 0


# -- kernels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "type bridge stp_state 1 forward_delay 400 ageing_time 1000 mcast_snooping 0",
        "type bridge vlan_filtering 1 vlan_protocol 802.1ad",
        "link {parent} type vlan id 5",
        "link {parent} type vlan protocol 802.1ad id 5",
        "type veth peer name attempt-peer",
        "type dummy",
    ],
)
def test_the_kernel_knows_a_link(machine, link):
    machine.run_test("ip link add carrier0 type veth peer name carrier1")
    try:
        done = machine.run(f"ip link add name attempt {link.format(parent='carrier0')}")
        assert done.rc == 0, done
    finally:
        machine.run("ip link delete attempt; ip link delete carrier0")


@pytest.mark.parametrize("options", ["", "multi_queue", "user 1000 group 1000"])
def test_the_kernel_makes_taps(machine, options):
    assert machine.run(f"ip tuntap add dev attempt mode tap {options}").rc == 0
    assert machine.run("ip link delete attempt").rc == 0


@pytest.mark.parametrize(
    "module", ["8021q", "openvswitch", "br_netfilter", "nf_conntrack", "nft_chain_nat", "sch_ingress"]
)
def test_the_kernel_has_a_module(machine, module):
    done = machine.run(f"modprobe --dry-run --first-time {module} || test -e /sys/module/{module}")
    assert done.rc == 0, done


@pytest.mark.parametrize("variant", ["iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"])
@pytest.mark.parametrize(
    "rule", ["-A INPUT -p tcp --dport 1 -m state --state NEW -j DROP", "-t nat -A PREROUTING -p udp -j REDIRECT"]
)
def test_the_kernel_takes_a_rule(machine, variant, rule):
    assert machine.run(f"{variant} {rule}").rc == 0
    assert machine.run(f"{variant} {rule.replace('-A ', '-D ')}").rc == 0


def test_the_kernel_takes_a_rule_set_of_nftables(machine):
    rules = (
        "table inet attempt { set s { type ipv4_addr; flags interval; }; chain c { type filter hook input priority 0; "
        "ip saddr @s ct state established limit rate 5/second accept; }; }; "
        "table bridge attempt { chain c { type filter hook forward priority 0; ether type arp accept; }; }"
    )
    done = machine.run(f"nft '{rules}'")
    assert done.rc == 0, done
    assert machine.run("nft delete table inet attempt && nft delete table bridge attempt").rc == 0


def test_the_kernel_switches_for_open_vswitch(machine):
    done = machine.run("modprobe openvswitch && ovs-dpctl add-dp attempt && ovs-dpctl del-dp attempt")
    assert done.rc == 0, done


def test_the_kernel_makes_network_cards_with_virtual_functions(machine):
    bus = "/sys/bus/netdevsim"
    assert machine.run(f"echo 7 1 >{bus}/new_device").rc == 0
    try:
        assert machine.run(f"echo 4 >{bus}/devices/netdevsim7/sriov_numvfs").rc == 0
        device = machine.check_output(f"ls {bus}/devices/netdevsim7/net")
        assert machine.run(f"ip link set {device} vf 3 mac 02:00:00:00:00:01 vlan 5 trust on state enable").rc == 0
    finally:
        assert machine.run(f"echo 7 >{bus}/del_device").rc == 0


def test_the_kernel_has_ipv6_and_forwards(machine):
    assert machine.file("/proc/net/if_inet6").exists
    assert machine.sysctl("net.ipv4.ip_forward") in (0, 1)
