"""Servers on FreeBSD, shown what the real system has said of them (tests/data/freebsd/dhcp.txt)."""

import shlex
import socket
from types import SimpleNamespace

import pytest
from replay import scenes

from conformance.oracles import freebsd_processes
from refnet.dhcp import DhcpNetwork, Dns
from refnet.dhcp.dnsmasq import freebsd_jail, freebsd_process
from refnet.errors import CommandFailed, InvalidArgument, KernelRefused, PermissionDenied, Unsupported
from refnet.names import interface_address
from refnet.process import Completed

SCENES = scenes("dhcp.txt")
#: As dnsmasq was started there.
STARTED = next(entry for entry in SCENES["a server"])
(SERVER,) = (entry.command.split()[-1] for entry in SCENES["the server's process"] if " args " in entry.command)
(GUEST,) = (entry.command.split()[-1] for entry in SCENES["a process of a guest"] if " args " in entry.command)


class Watch:
    """In the place of the kernel's events: a process that is there when it is looked for, and ends after that."""

    def __init__(self, pid, *, at_once=False, meanwhile=False):
        self.has_ended = at_once
        self.is_open = True
        self._later = meanwhile

    def wait(self, limit):
        self.has_ended = self.has_ended or self._later
        return self.has_ended

    def close(self):
        self.is_open = False


@pytest.fixture
def recorded(monkeypatch):
    """Let the system answer as it did in a scene; what is left at the end was not asked for."""

    def play(scene, **how):
        answers = {entry.command: entry for entry in SCENES[scene]}
        made = []

        def run(argv, *, expect=(0,)):
            entry = answers[shlex.join(argv)]
            if entry.status not in expect:
                raise CommandFailed(argv, entry.status, entry.stdout, entry.stderr)
            return Completed(tuple(argv), entry.status, entry.stdout, entry.stderr)

        def watch(pid):
            made.append(Watch(pid, **how))
            return made[-1]

        monkeypatch.setattr(freebsd_process.process, "run", run)
        monkeypatch.setattr(freebsd_process, "Watch", watch)
        return made

    return play


def test_a_server_is_known_by_all_its_arguments_also_by_one_with_a_tab(recorded):
    (watch,) = (recorded("the server's process"),)
    found = freebsd_process.opened(int(SERVER))
    assert found is not None
    argv = shlex.split(STARTED.command)
    at = argv.index("command=dnsmasq")
    assert found.arguments == ("dnsmasq", *argv[at + 1 :])
    assert "--dhcp-option=15,a\tb" in found.arguments
    assert (found.pid, found.parent) == (int(SERVER), 1)
    assert found.is_alive()
    found.close()
    assert not watch[0].is_open


def test_a_process_with_a_network_stack_of_its_own_is_none_of_ours(recorded):
    made = recorded("a process of a guest")
    assert freebsd_process.opened(int(GUEST)) is None
    assert not made[0].is_open


@pytest.mark.parametrize("how", [{"at_once": True}, {"meanwhile": True}])
def test_a_process_that_ends_while_it_is_looked_at_is_not_taken_for_another_one(recorded, how):
    made = recorded("the server's process", **how)
    assert freebsd_process.opened(int(SERVER)) is None
    assert not made[0].is_open


def test_a_process_that_the_programs_do_not_find_is_none(recorded):
    recorded("a process that has ended")
    assert freebsd_process.opened(99998) is None


@pytest.mark.parametrize("pid", [-1, 0, 1 << 31])
def test_numbers_that_no_process_has_are_not_asked_for(pid):
    assert freebsd_process.opened(pid) is None


def test_all_processes_are_looked_through(recorded):
    recorded("all processes")
    assert [str(one) for one in freebsd_process.candidates(lambda arguments: arguments[0] == "dnsmasq")] == [SERVER]
    assert list(freebsd_process.candidates(lambda arguments: arguments[:1] == ("nosuch",))) == []


def test_a_signal_is_sent_to_what_is_alive_only(monkeypatch):
    sent = []
    monkeypatch.setattr(freebsd_process.os, "kill", lambda pid, signal: sent.append((pid, signal)))
    one = freebsd_process.FreeBsdProcess(7, 1, ("dnsmasq",), Watch(7))
    one.send(15)
    freebsd_process.FreeBsdProcess(8, 1, ("dnsmasq",), Watch(8, at_once=True)).send(15)
    assert sent == [(7, 15)]


@pytest.mark.parametrize("error", [ProcessLookupError(), PermissionError(1, "Operation not permitted")])
def test_a_signal_that_the_kernel_refuses(monkeypatch, error):
    def kill(pid, signal):
        raise error

    monkeypatch.setattr(freebsd_process.os, "kill", kill)
    one = freebsd_process.FreeBsdProcess(7, 1, ("dnsmasq",), Watch(7))
    if isinstance(error, ProcessLookupError):
        one.send(15)
    else:
        with pytest.raises(PermissionDenied, match=r"process 7 .*another user"):
            one.send(15)


def test_the_kernels_events_are_asked_for_once_and_kept(monkeypatch):
    told = [[], [], ["the end"]]
    queue = SimpleNamespace(control=lambda changes, most, limit: told.pop(0), close=lambda: None)
    kernel = SimpleNamespace(
        kqueue=lambda: queue, kevent=lambda *words: words, KQ_FILTER_PROC=-5, KQ_EV_ADD=1, KQ_NOTE_EXIT=1 << 31
    )
    monkeypatch.setattr(freebsd_process, "_kernel", kernel)
    watch = freebsd_process.Watch(7)
    assert [watch.has_ended, watch.wait(0), watch.wait(1), watch.wait(0)] == [False, False, True, True]


def test_what_is_no_json_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(
        freebsd_process.process, "run", lambda argv, expect: Completed(tuple(argv), 0, "procstat: usage", "")
    )
    with pytest.raises(KernelRefused, match="processes cannot be looked at: /usr/bin/procstat --libxo json"):
        list(freebsd_process.candidates(lambda arguments: True))


def test_the_suite_sees_a_server_that_lives_in_a_jail_and_nothing_of_guests():
    listed, jails, sockets = (entry.stdout for entry in SCENES["the suite"])
    own = next(int(line.split()[0]) for line in listed.splitlines() if "record_freebsd_dhcp.py" in line)
    found = freebsd_processes.parsed(listed, jails, own=own, shell=0)
    assert [(one.pid, one.argv[0]) for one in found if one.argv[0] != "ps"] == [(int(SERVER), "dnsmasq")]
    assert freebsd_processes.sockets(sockets) == ["tcp 10.9.0.1:53", "udp *:67", "udp 10.9.0.1:53"]


# -- jails -------------------------------------------------------------------------------------------------


def test_the_command_is_the_one_that_was_recorded():
    argv = shlex.split(STARTED.command)
    at = argv.index("command=dnsmasq")
    network = DhcpNetwork("br100", "10.9.0.1/24")
    assert freebsd_jail.launched(network, ["dnsmasq", *argv[at + 1 :]]) == argv


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["10.9.0.1/24", "10.10.0.1/24"], "10.9.0.1,10.10.0.1"),
        (["10.9.0.1/24", "fd09::1/64"], "10.9.0.1,10.9.0.255"),
        (["10.9.0.1/31"], "10.9.0.1,10.9.0.0"),
        (["10.9.0.0/31"], "10.9.0.0,10.9.0.1"),
        (["10.9.0.1/32"], "10.9.0.1"),
    ],
)
def test_a_jail_has_the_servers_addresses_and_never_a_single_one_of_a_network(addresses, expected):
    argv = freebsd_jail.launched(DhcpNetwork("br100", addresses), ["/usr/local/sbin/dnsmasq", "--x"])
    assert f"ip4.addr={expected}" in argv
    assert argv[-2:] == ["command=/usr/local/sbin/dnsmasq", "--x"]


def test_a_server_without_ipv4_needs_no_jail():
    assert freebsd_jail.launched(DhcpNetwork("br100", "fd09::1/64"), ["dnsmasq", "--x"]) == ["dnsmasq", "--x"]


def test_a_forwarder_that_would_be_the_server_itself_is_refused():
    network = DhcpNetwork("br100", "10.9.0.1/24", dns=Dns(["192.0.2.53", "127.0.0.1"]))
    with pytest.raises(Unsupported, match=r"forwarder 127\.0\.0\.1.*the server itself.*::1") as caught:
        freebsd_jail.see_that_it_can_be(network)
    assert caught.value.capability == "dns-forwarding"
    freebsd_jail.see_that_it_can_be(DhcpNetwork("br100", "10.9.0.1/24", dns=Dns(["192.0.2.53", "::1"])))
    freebsd_jail.see_that_it_can_be(DhcpNetwork("br100", "fd09::1/64", dns=Dns("127.0.0.1")))


def test_ipv6_takes_a_link_local_address():
    own = [interface_address("fd09::1/64"), interface_address("10.9.0.1/24")]
    network = DhcpNetwork("br100", own, ipv6="slaac")
    with pytest.raises(InvalidArgument, match=r"br100 has no link-local .*auto_linklocal"):
        freebsd_jail.see_that_it_can_speak(network, own)
    freebsd_jail.see_that_it_can_speak(network, [*own, interface_address("fe80::1/64")])
    freebsd_jail.see_that_it_can_speak(DhcpNetwork("br100", own), own)


def test_the_servers_words_are_told_without_those_of_its_jail():
    device, program = (entry.stderr for entry in SCENES["a server that does not start"])
    assert freebsd_jail.words(device) == "dnsmasq: unknown interface nosuch0"
    assert freebsd_jail.words(program) == "jail: exec nosuchprogram: No such file or directory"
    (clash,) = (entry.stderr for entry in SCENES["another server with its addresses"])
    assert freebsd_jail.words(clash).startswith("Address already in use: another server's jail has it")
    (refused,) = (entry.stderr for entry in SCENES["a jail that may have none below it"])
    assert freebsd_jail.words(refused).startswith("jail: jail_set: Operation not permitted: it takes root")
    assert freebsd_jail.words("") == ""


def on_loopback(dns):
    """What is asked of a network, with an address that every host has."""
    return SimpleNamespace(addresses=[interface_address("127.0.0.1/8")], serves_dhcp=True, dns=dns)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_the_dns_port_of_another_program_is_not_taken_away_from_it(monkeypatch, kind):
    network = on_loopback(Dns())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(freebsd_jail, "_DHCP_PORT", unused.getsockname()[1])
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            other.listen()
        monkeypatch.setattr(freebsd_jail, "_DNS_PORT", port)
        assert freebsd_jail.taken(network) == f"port {port} of 127.0.0.1"
        assert freebsd_jail.taken(on_loopback(None)) is None
    assert freebsd_jail.taken(network) is None


@pytest.mark.usefixtures("stack")
def test_a_new_server_is_sent_what_asks_for_nothing(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 0))
        server.settimeout(30)
        monkeypatch.setattr(freebsd_jail, "_DHCP_PORT", server.getsockname()[1])
        done = []
        freebsd_jail.wake(on_loopback(None), lambda: done.append(server.recvfrom(1500)))
        for data, sender in (*done, server.recvfrom(1500), server.recvfrom(1500)):
            # RFC 951: op 2 is an answer; with as many octets as servers look at.
            assert (data[0], len(data), sender[0]) == (2, 300, "127.0.0.1")


def test_what_has_no_way_to_send_is_not_woken():
    absent, narrow = interface_address("192.0.2.1/24"), interface_address("127.0.0.1/32")
    done = []
    for addresses in ([narrow, interface_address("fd09::1/64")], [absent]):
        freebsd_jail.wake(SimpleNamespace(addresses=addresses), lambda: done.append(1))
    assert len(done) == 2


@pytest.mark.parametrize("shares", [False, True])
def test_the_dhcp_port_is_shared_with_those_who_share_it(monkeypatch, shares):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shares)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        other.bind(("", 0))
        port = other.getsockname()[1]
        monkeypatch.setattr(freebsd_jail, "_DHCP_PORT", port)
        expected = None if shares else f"port {port}"
        assert freebsd_jail.taken(on_loopback(None)) == expected
