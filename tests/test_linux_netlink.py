"""The seam to rtnetlink: its attributes on any bytes, and its socket on the real kernel."""

from __future__ import annotations

import contextlib
import errno
import gc
import ipaddress
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import in_child, in_children
from conformance.topology.linux import Sandbox, namespaces
from refnet.errors import DumpInterrupted
from refnet.netdev.linux import link as links
from refnet.netdev.linux import records
from refnet.netdev.linux.netlink import Channel, KernelError, Request, attributes, pack

NESTED, NETWORK_ORDER = 0x8000, 0x4000
#: More devices than the kernel lists in one datagram: virtual cables, which it takes down with the stack at once.
MANY = 300
MANY_ADDRESSES = 1500

numbers = st.integers(0, 0x3FFF)
values = st.binary(max_size=70)


# -- attributes -------------------------------------------------------------------------------------------


@given(st.dictionaries(numbers, values), st.binary(max_size=32))
def test_what_is_packed_is_read_again(found: dict[int, bytes], before: bytes) -> None:
    packed = b"".join(pack(number, value) for number, value in found.items())
    assert attributes(before + packed, len(before)) == found
    assert len(packed) % 4 == 0


@given(numbers, values, st.sampled_from([NESTED, NETWORK_ORDER, NESTED | NETWORK_ORDER]))
def test_the_flags_in_a_type_are_not_part_of_its_number(number: int, value: bytes, flags: int) -> None:
    assert attributes(pack(number | flags, value)) == {number: value}


@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_bytes_can_be_read(data: bytes, offset: int) -> None:
    for value in attributes(data, offset).values():
        assert value in data


@given(st.lists(st.tuples(numbers, values), min_size=1, unique_by=lambda pair: pair[0]), st.data())
def test_what_is_cut_off_costs_the_last_attribute_at_most(pairs: list[tuple[int, bytes]], data: st.DataObject) -> None:
    packed = b"".join(pack(*pair) for pair in pairs)
    found = attributes(packed[: data.draw(st.integers(0, len(packed)))])
    complete = dict(list(found.items())[:-1])
    assert complete == dict(pairs[: len(complete)])
    for (number, value), cut in zip(pairs, found.values(), strict=False):
        assert number in found
        assert value.startswith(cut)


def test_the_last_of_two_attributes_of_one_number_counts() -> None:
    assert attributes(pack(1, b"a") + pack(1, b"b")) == {1: b"b"}


def test_a_length_that_is_too_small_ends_the_reading() -> None:
    assert attributes(pack(1, b"a") + struct.pack("=HH", 3, 2) + pack(3, b"c")) == {1: b"a"}


def test_a_refusal_without_words_has_those_of_the_c_library() -> None:
    assert KernelError(errno.ENODEV).words == str(KernelError(errno.ENODEV)) == os.strerror(errno.ENODEV)


# -- one request and several ------------------------------------------------------------------------------


@pytest.fixture
def channel(stack: Sandbox) -> Iterator[Channel]:
    """A socket to the kernel, in a stack with a few bridges."""
    stack.ip(*(f"link add name d{number} type bridge" for number in range(4)))
    made = Channel()
    yield made
    made.close()


def cables() -> list[str]:
    return [f"link add name m{number} type veth peer name n{number}" for number in range(MANY // 2)]


def look(channel: Channel, name: str) -> links.Link:
    return links.parse(channel.ask(links.get(name=name)))


def test_a_refusal_in_the_middle_of_an_exchange_stands_in_the_middle(channel: Channel) -> None:
    first, second, third, fourth = channel.exchange(
        links.get(name="d0"),
        links.get(name="missing"),
        links.change([("IFLA_MTU", 1400)], name="d1"),
        links.get(name="d1"),
    )
    assert isinstance(second, KernelError)
    assert second.errno == errno.ENODEV
    assert third == b""
    assert isinstance(first, bytes)
    assert isinstance(fourth, bytes)
    assert (links.parse(first).name, links.parse(fourth).name, links.parse(fourth).mtu) == ("d0", "d1", 1400)


def test_a_hundred_requests_are_answered_in_their_order(channel: Channel) -> None:
    names = [f"d{number % 5}" for number in range(100)]
    answers = channel.exchange(*(links.get(name=name) for name in names))
    for name, answer in zip(names, answers, strict=True):
        if name == "d4":
            assert isinstance(answer, KernelError)
        else:
            assert isinstance(answer, bytes)
            assert links.parse(answer).name == name


def test_the_words_of_a_refusal_are_the_kernels(channel: Channel) -> None:
    with pytest.raises(KernelError) as caught:
        channel.ask(links.create("new", "nosuchkind"))
    said = subprocess.run(["ip", "link", "add", "name", "new", "type", "nosuchkind"], capture_output=True, text=True)
    assert caught.value.errno == errno.EOPNOTSUPP
    assert said.stderr == f"Error: {caught.value.words}.\n"


def test_a_request_that_no_kernel_knows_is_refused(channel: Channel) -> None:
    with pytest.raises(KernelError) as caught:
        channel.ask(Request(0x0FFF, bytes(16)))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_threads_take_turns_and_each_gets_its_answer(channel: Channel) -> None:
    def ask(number: int) -> set[str]:
        name = f"d{number % 4}"
        listed = {links.parse(body).name for body in channel.entries(links.list_kind("bridge"))}
        assert listed == {"d0", "d1", "d2", "d3"}
        return {look(channel, name).name for _ in range(50)} ^ {name}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(16))) == [set()] * 16


# -- what is given up -------------------------------------------------------------------------------------


class GivenUp(Exception):
    """What a signal handler may raise while an answer is waited for."""


class Impatient(Channel):
    """A channel whose user gives up before, or after, the first datagram of an answer has been read."""

    give_up = ""

    def _receive(self, sock: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
        when, self.give_up = self.give_up, ""
        if when == "before":
            raise GivenUp
        yield from super()._receive(sock)
        if when == "after":
            raise GivenUp


@pytest.fixture
def impatient(channel: Channel) -> Iterator[Impatient]:
    made = Impatient()
    yield made
    made.close()


def test_the_late_answer_to_a_request_that_was_given_up_is_nobody_elses(impatient: Impatient) -> None:
    for given_up in (links.get(name="d0"), links.get(name="missing"), links.change(name="d0", up=True)):
        impatient.give_up = "before"
        with pytest.raises(GivenUp):
            impatient.ask(given_up)
        assert look(impatient, "d1").name == "d1"
    impatient.give_up = "before"
    with pytest.raises(GivenUp):
        impatient.exchange(links.get(name="d0"), links.get(name="d1"), links.get(name="d2"))
    assert len(impatient.entries(links.list_kind("bridge"))) == 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_list_that_was_given_up_is_not_in_the_way_of_the_next(
    stack: Sandbox, impatient: Impatient, when: str
) -> None:
    stack.ip(*cables())
    for _ in range(2):
        impatient.give_up = when
        with pytest.raises(GivenUp):
            impatient.entries(links.list_kind("veth"))
        assert len(impatient.entries(links.list_kind("veth"))) == MANY
        assert look(impatient, "d1").name == "d1"


# -- the socket -------------------------------------------------------------------------------------------


def netlink_sockets() -> int:
    """Count this process's netlink sockets, by their inodes."""
    gc.collect()
    with open("/proc/thread-self/net/netlink") as table:
        inodes = {line.split()[9] for line in table.readlines()[1:]}
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        count += target.startswith("socket:[") and target[8:-1] in inodes
    return count


def test_nothing_is_open_before_the_first_request_and_after_closing(channel: Channel) -> None:
    before = netlink_sockets()
    for _ in range(3):
        look(channel, "lo")
        look(channel, "lo")
        assert netlink_sockets() == before + 1
        channel.close()
        channel.close()
        assert netlink_sockets() == before


def test_a_channel_that_is_dropped_leaves_nothing_open(channel: Channel) -> None:
    before = netlink_sockets()
    look(Channel(), "lo")
    assert netlink_sockets() == before


def test_the_socket_is_not_given_to_programs(channel: Channel) -> None:
    look(channel, "lo")
    assert channel._socket is not None
    assert not os.get_inheritable(channel._socket.fileno())


def test_a_caller_that_changes_its_namespace_sees_the_other_one(stack: Sandbox, channel: Channel) -> None:
    other = namespaces.new_network()
    try:
        for _ in range(2):
            assert look(channel, "d0").name == "d0"
            with namespaces.entered(other):
                with pytest.raises(KernelError):
                    look(channel, "d0")
                assert look(channel, "lo").name == "lo"
                assert not channel.entries(links.list_kind("bridge"))
    finally:
        os.close(other)


def test_threads_in_other_namespaces_share_a_channel(channel: Channel) -> None:
    def ask(number: int) -> int:
        if number % 2:
            namespaces.unshare(namespaces.CLONE_NEWNET)
        found = {len(channel.entries(links.list_kind("bridge"))) for _ in range(20)}
        (count,) = found
        return count

    counts: list[int] = []
    threads = [threading.Thread(target=lambda number=number: counts.append(ask(number))) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 0, 4, 4, 4]


def test_a_fork_leaves_both_processes_with_a_channel_of_their_own(channel: Channel) -> None:
    look(channel, "lo")

    def ask(number: int) -> None:
        for _ in range(100):
            assert look(channel, f"d{number}").name == f"d{number}"
            assert len(channel.entries(links.list_kind("bridge"))) == 4

    with ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(ask, 3)
        assert in_children(3, ask) == [0, 0, 0]
        meanwhile.result()
    assert look(channel, "d0").name == "d0"


def test_a_child_does_not_wait_for_a_thread_that_only_its_parent_has(channel: Channel) -> None:
    look(channel, "lo")
    with channel._lock:
        assert in_child(lambda: look(channel, "d0")) == 0
    assert look(channel, "d0").name == "d0"


# -- lists ------------------------------------------------------------------------------------------------


def test_the_list_of_what_is_not_there_is_empty(channel: Channel) -> None:
    assert channel.entries(links.list_kind("ifb")) == []
    assert channel.entries(links.list_ports(look(channel, "d0").index)) == []


def test_a_list_that_the_kernel_refuses_is_a_refusal(channel: Channel) -> None:
    for _ in range(2):
        with pytest.raises(KernelError):
            channel.entries(Request(0x0FFF, bytes(16), flags=0))
        assert len(channel.entries(links.list_kind("bridge"))) == 4


def test_lists_are_consistent_while_the_table_changes(stack: Sandbox, channel: Channel) -> None:
    stack.ip(*cables())
    staying = {f"{end}{number}" for end in "mn" for number in range(MANY // 2)}
    over = threading.Event()
    changes = 0

    def change() -> None:
        nonlocal changes
        own = Channel()
        while not over.is_set():
            own.ask(links.create("coming", "veth", [("VETH_INFO_PEER", {"attrs": [("IFLA_IFNAME", "going")]})]))
            own.ask(links.delete(name="coming"))
            changes += 1
        own.close()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        listings = 0
        while changes < 20 or listings < 20:
            assert thread.is_alive()
            found = [links.parse(body).name for body in channel.entries(links.list_kind("veth"))]
            assert len(found) == len(set(found))
            assert set(found) - {"coming", "going"} == staying
            listings += 1
    finally:
        over.set()
        thread.join()


class Disturbed(Channel):
    """A channel under whose lists the table changes, between two datagrams of one reading."""

    times = 0
    index = 0

    def _receive(self, sock: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
        yield from super()._receive(sock)
        if self.times and not self.disturbed:
            self.disturbed = True
            self.times -= 1
            with contextlib.closing(Channel()) as other:
                # The kernel goes on at the position that it had come to: without the first address, one is left out.
                other.ask(FIRST.remove(self.index))
                other.ask(FIRST.add(self.index))

    def _entries_once(self, request: Request) -> list[bytes] | None:
        self.disturbed = False
        return super()._entries_once(request)


FIRST = records.new_address(ipaddress.ip_interface("10.0.0.0/32"))


@pytest.fixture
def disturbed(stack: Sandbox) -> Iterator[Disturbed]:
    """Such a channel in a stack with a device ``d0`` that has many addresses, the first of which comes and goes."""
    stack.ip("link add name d0 type bridge", "link set dev d0 up")
    stack.ip(*(f"addr add 10.0.{number >> 8}.{number & 255}/32 dev d0" for number in range(MANY_ADDRESSES)))
    with contextlib.closing(Disturbed()) as made:
        made.index = look(made, "d0").index
        yield made


def addresses(channel: Disturbed) -> list[str]:
    """List the addresses of all devices: in a list of one device's alone, some kernels do not say that it changed."""
    found = [records.parse_address(body).interface.ip for body in channel.entries(records.list_addresses(0))]
    return sorted(str(address) for address in found if str(address).startswith("10."))


@pytest.mark.parametrize("times", [0, 1, 5])
def test_a_table_that_changes_while_it_is_read_is_read_again(disturbed: Disturbed, times: int) -> None:
    disturbed.times = times
    found = addresses(disturbed)
    assert disturbed.times == 0
    assert found == sorted(f"10.0.{number >> 8}.{number & 255}" for number in range(MANY_ADDRESSES))


def test_a_table_that_changes_under_every_reading_is_given_up(disturbed: Disturbed) -> None:
    disturbed.times = 1000
    with pytest.raises(DumpInterrupted, match="changed during each of 20 readings: try again"):
        addresses(disturbed)
    assert disturbed.times == 980
    disturbed.times = 0
    assert len(addresses(disturbed)) == MANY_ADDRESSES
