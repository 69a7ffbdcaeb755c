"""Parts of the manager that need no server: files, firewall rules, the last advertisement, what it says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from conformance.steps import watched
from refnet.dhcp import DhcpNetwork, Dns, Host, RouterAdvertisement
from refnet.dhcp.dnsmasq import cleaning, event, files, rules, server, store, withdraw
from refnet.dhcp.dnsmasq.place import Place
from refnet.errors import AddressInUse, InvalidArgument, KernelRefused, NoSuchDevice, PermissionDenied, ServerFailed
from refnet.firewall.actions import ACCEPT
from refnet.firewall.null import NullFirewall
from refnet.firewall.rules import Rule

MAC = "52:54:00:00:00:01"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path, "br0")
    made.path.mkdir()
    return made


# -- files ------------------------------------------------------------------------------------------------


def test_several_files_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    files.replace({one: "1", two: "2"})
    with watched(tmp_path) as all_steps:
        files.replace({one: "1", two: "2"})
    writes = [number for number, step in enumerate(all_steps.seen, 1) if step.startswith("open")]
    assert len(writes) == 2
    for step in range(1, len(writes) + 1):
        with watched(tmp_path, step), pytest.raises(KernelRefused) as refused:
            files.replace({one: "new", two: "new"})
        assert refused.value.errno == errno.ENOSPC
        assert (one.read_text(), two.read_text()) == ("1", "2")
        assert sorted(os.listdir(tmp_path)) == ["one", "two"]


def test_what_is_added_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("first\n")
    files.append(path, "second\n")
    assert path.read_text() == "first\nsecond\n"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(KernelRefused):
        files.append(link, "third\n")
    with pytest.raises(KernelRefused):
        files.append(tmp_path / "nosuch", "third\n")
    assert path.read_text() == "first\nsecond\n"


def test_a_link_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "file").write_text("")
    for name in ("link", "file", "file/below"):
        with pytest.raises(KernelRefused):
            files.directory(tmp_path / name)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, PermissionDenied), (errno.EROFS, PermissionDenied), (errno.ENOSPC, KernelRefused)],
)
def test_refusals(number: int, kind: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(kind, match=f"{tmp_path} cannot be made"), files.refusals(tmp_path, "made"):
        raise OSError(number, os.strerror(number))


def test_cleaning_takes_its_own_and_leaves_the_rest(place: Place) -> None:
    for path in (place.network, place.leases, place.log, place.path / ".conf.tmp", place.path / ".events.new"):
        path.write_text("")
    (place.path / "mine").write_text("")
    place.added_hosts.mkdir()
    (place.added_hosts / MAC).write_text("")
    assert cleaning.is_network(place)
    assert cleaning.clean(place, {place.directory}, forget=False) == []
    assert sorted(os.listdir(place.path)) == ["leases", "mine"]
    assert cleaning.clean(place, {place.directory}, forget=True) == []
    assert sorted(os.listdir(place.path)) == ["mine"]
    assert cleaning.clean(place, {place.directory}, forget=True) == [], "what was never a network's"
    (place.path / "mine").unlink()
    place.changing.write_text("")
    assert cleaning.clean(place, {place.directory}, forget=True) == []
    assert not place.directory.exists()
    assert cleaning.clean(place, set(), forget=True) == []


def test_what_was_never_a_network_stays(place: Place) -> None:
    for name in ("hosts", "log", "conf", "event", "names", "options", "pid", ".x.tmp"):
        (place.path / name).write_text("somebody else's")
    assert cleaning.clean(place, set(), forget=True) == []
    assert len(list(place.path.iterdir())) == 8


def test_a_directory_without_its_mode_gets_it(place: Place) -> None:
    place.path.chmod(0o700)
    cleaning.make(place, set())
    assert place.path.stat().st_mode & 0o777 == 0o755


def test_the_mark_of_a_restart_is_not_replaced_by_that_of_a_reload(place: Place) -> None:
    assert store.interrupted(place) is None
    store.begin(place, "hosts")
    assert store.interrupted(place) == "hosts"
    store.begin(place, "server")
    store.begin(place, "hosts")
    assert store.interrupted(place) == "server"
    place.changing.write_text("")
    assert store.interrupted(place) == "server"
    store.end(place)
    assert store.interrupted(place) is None


# -- firewall ---------------------------------------------------------------------------------------------


def test_no_two_devices_have_one_chain() -> None:
    devices = ["a", "a.b", "a_b", "a__b", "a_db", "a-b", "_", ".x", "_d"]
    assert len({rules.chain_name(one) for one in devices}) == len(devices)
    assert rules.chain_name("br-a.b_c") == "dhcp-br-a_db__c"


def test_who_is_let_in() -> None:
    everything = DhcpNetwork("br0", ["192.0.2.1/24", "2001:db8::1/64"], ipv6="stateful")
    found = rules.accepting(everything)
    assert {one.in_interface.values for one in found if one.in_interface} == {("br0",), ("lo",)}
    ports = {(one.protocol, one.destination_ports.values[0][0]) for one in found if one.destination_ports}
    assert ports == {("udp", 67), ("udp", 53), ("tcp", 53), ("udp", 547)}
    assert all(one.destination for one in found if one.in_interface and one.in_interface.values == ("lo",))
    assert [one.icmp_type for one in found if one.protocol == "ipv6-icmp"] == [
        Rule(ACCEPT, protocol="ipv6-icmp", icmp_type=kind).icmp_type for kind in (133, 135, 136)
    ]
    slaac = DhcpNetwork("br0", "2001:db8::1/64", ipv6="slaac", dns=None)
    assert {one.protocol for one in rules.accepting(slaac) if not one.destination} == {"ipv6-icmp"}
    assert rules.filling(slaac) == []


def test_others_chains_of_the_same_owner_stay() -> None:
    firewall = NullFirewall("test")
    firewall.add_chain("dhcp-of-mine", hook="input")
    networks = [DhcpNetwork(device, "192.0.2.1/24") for device in ("br0", "br1")]
    rules.lay(firewall, networks)
    assert {name for _, name, _ in firewall.chains()} == {"dhcp-of-mine", "dhcp-br0", "dhcp-br1"}
    rules.lay(firewall, networks[:1], gone=["br1"])
    assert {name for _, name, _ in firewall.chains()} == {"dhcp-of-mine", "dhcp-br0"}
    assert firewall.rules("dhcp-br0") == tuple(rules.accepting(networks[0]))
    rules.lay(firewall, [DhcpNetwork("br0", "192.0.2.1/24", dns=None)])
    assert len(firewall.rules("dhcp-br0")) == 2, "from the device, and from the host itself"


# -- the last advertisement -------------------------------------------------------------------------------


def test_the_last_advertisement() -> None:
    """RFC 4861, 4.2; RFC 8106, 5.1 and 5.2."""
    network = DhcpNetwork(
        "br0",
        "2001:db8::1/64",
        ipv6="stateless",
        router_advertisement=RouterAdvertisement(preference="high"),
        dns_servers=["2001:db8::53"],
        search="a.example",
    )
    assert withdraw.message(network).hex() == (
        "86000000" + "40" + "48" + "0000" + "00000000" * 2  # hop limit 64, flag O, preference high, lifetime 0
        + "19030000" + "00000000" + "20010db8000000000000000000000053"
        + "1f030000" + "00000000" + "016107657861" + "6d706c6500" + "0000000000"
    )  # fmt: skip
    managed = DhcpNetwork("br0", "2001:db8::1/64", ipv6="stateful", dns=None)
    assert withdraw.message(managed).hex() == "86000000" + "40c00000" + "00000000" * 2


def test_nothing_is_taken_back_that_was_not_told() -> None:
    withdraw.send(DhcpNetwork("br-nosuch", "192.0.2.1/24"))
    withdraw.send(DhcpNetwork("br-nosuch", "2001:db8::1/64", ipv6="slaac"))


# -- what dnsmasq says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("\ndnsmasq: failed to create listening socket for 192.0.2.1: Address already in use\n", AddressInUse),
        ("dnsmasq: unknown interface br9\n", NoSuchDevice),
        ("dnsmasq: failed to bind DHCP server socket: Permission denied\n", PermissionDenied),
        ("dnsmasq: process is missing required capability NET_ADMIN\n", PermissionDenied),
        ("dnsmasq: cannot open or create lease file /x/leases: No space left on device\n", KernelRefused),
        ("dnsmasq: junk found in command line\n", ServerFailed),
        ("", ServerFailed),
    ],
)
def test_what_it_says_when_it_does_not_start(said: str, kind: type[Exception]) -> None:
    error = server._translated(said)
    assert type(error) is kind
    assert said.strip().removeprefix("dnsmasq: ") in error.message


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "it ended without a word"),
        ("Nov 22 06:43:25 dnsmasq[5]: started, version 2.90\n", "it ended without a word"),
        ("Nov 22 06:43:25 dnsmasq[5]: x\nNov 22 06:43:26 dnsmasq[5]: exiting on receipt of SIGTERM\n", "exiting on"),
        ("Nov 22 06:43:26 dnsmasq[5]: FAILED to start up\n", "FAILED to start up"),
        ("\0\xff garbage", "it ended without a word"),
    ],
)
def test_its_last_words(log: str, words: str, place: Place) -> None:
    place.log.write_text(log, encoding="latin-1")
    assert server.last_words(place).startswith(words)


def test_its_last_words_without_a_log(place: Place) -> None:
    assert server.last_words(place).startswith("it ended without a word")


@pytest.mark.parametrize("content", ["", "x", "-3", "1", "12345678901", "0", " ", "1 2", "\0"])
def test_a_pid_file_without_a_process(content: str, place: Place) -> None:
    place.pid.write_text(content)
    assert server._pid(place.pid) is None


# -- the program of lease events --------------------------------------------------------------------------


def test_where_the_program_can_be(tmp_path: Path) -> None:
    network = DhcpNetwork("br0", "192.0.2.1/24", lease_events="log", lease_store=True)
    event.see_that_it_can_be(Place(Path("/var/lib/refnet"), "br0"), network)
    for bad in ("/var/lib/a$b", "/var/lib/a;b", "/var/" + "x" * 240):
        with pytest.raises(InvalidArgument, match="lease_store"):
            event.see_that_it_can_be(Place(Path(bad), "br0"), network)
        event.see_that_it_can_be(Place(Path(bad), "br0"), DhcpNetwork("br0", "192.0.2.1/24", lease_events="log"))


def test_the_environment_of_the_program() -> None:
    from refnet.dhcp.dnsmasq.plan import Server, plan

    where, of_host = Place(Path("/d"), "br0"), Server("/dnsmasq", True, "--bind-dynamic", ())

    def environment(**fields: object) -> tuple[str, ...]:
        network = DhcpNetwork("br0", "192.0.2.1/24", dns=Dns(), hosts=Host(MAC), **fields)  # type: ignore[arg-type]
        return plan(network, where, of_host).environment

    assert environment() == ()
    assert environment(lease_events="/run/x") == ("REFNET_DHCP_SOCKET=/run/x",)
    assert environment(lease_events="log") == ("REFNET_DHCP_EVENTS=/d/br0/events",)
    assert environment(lease_events="log", lease_store=True)[1:] == ("REFNET_DHCP_STORE=1",)
