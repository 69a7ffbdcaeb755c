"""The driver for Linux in what packets do not show: how often it asks the kernel, and how it reads the answers."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable

import pytest

from conformance import faults, features
from conformance.topology.linux import Sandbox
from refnet.errors import (
    AlreadyEnslaved,
    AlreadyExists,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    Unsupported,
    WrongKind,
)
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.linux import LinuxNetDevDriver
from refnet.netdev.linux.errors import check_kind, translate
from refnet.netdev.linux.netlink import KernelError

MAC = "52:54:00:12:34:56"
MANY = 500
#: A device name that the kernel takes and that is no text, and the same as Python has it.
RAW, SHOWN = b"\xff\xfe", "\udcff\udcfe"


def requests(call: Callable[[], object]) -> tuple[int, int]:
    """Count the requests that a call makes of the kernel, and those among them that may write."""
    with faults.injected(0) as counted:
        call()
    return counted.requests, counted.writes


@pytest.fixture
def bridged(stack: Sandbox, driver: LinuxNetDevDriver) -> LinuxNetDevDriver:
    """A driver that has made a bridge ``b0`` with a port ``v0`` and addresses."""
    driver.create_veth_pair("v0", "v1")
    driver.ensure_bridge("b0", "v0", mac_address=MAC, mtu=1400, stp=True, ageing_time=10, multicast_snooping=False)
    for address in ("192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"):
        driver.add_device_address("b0", address)
    return driver


# -- how often the kernel is asked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda driver: driver.ensure_bridge("b0"), 1),
        (lambda driver: driver.ensure_bridge("b0", "v0"), 2),
        (lambda driver: driver.ensure_bridge("b0", "v0", move=True), 2),
        (
            lambda driver: driver.ensure_bridge(
                "b0", "v0", mac_address=MAC, mtu=1400, stp=True, ageing_time=10, multicast_snooping=False
            ),
            2,
        ),
        (lambda driver: driver.ensure_gateway_address("b0", "192.0.2.1/24"), 2),
        (lambda driver: driver.ensure_gateway_address("b0", "2001:db8::1/64"), 2),
        (lambda driver: driver.add_device_address("b0", "192.0.2.2/24"), 2),
        (lambda driver: driver.add_device_address("b0", "2001:db8::1/64"), 2),
        (lambda driver: driver.delete_device_address("b0", "192.0.2.3/24"), 2),
        (lambda driver: driver.add_bridge_port("b0", "v0"), 2),
        (lambda driver: driver.remove_bridge_port("b0", "v1"), 2),
        (lambda driver: driver.remove_bridge_port("missing", "v1"), 2),
        (lambda driver: driver.delete_bridge("missing"), 1),
        (lambda driver: driver.device_exists("b0"), 1),
        (lambda driver: driver.bridge_ports("b0"), 2),
    ],
)
def test_where_nothing_is_to_be_done_the_kernel_is_asked_twice_at_most_and_told_nothing(
    bridged: LinuxNetDevDriver, call: Callable[[LinuxNetDevDriver], object], expected: int
) -> None:
    assert requests(lambda: call(bridged)) == (expected, 0)


@pytest.mark.usefixtures("tap")
def test_a_tap_that_is_there_costs_one_attempt_and_one_look(driver: LinuxNetDevDriver) -> None:
    def ensure() -> None:
        driver.create_tap_dev("t0", MAC, mtu=1400, owner=0, group=0)

    ensure()
    assert requests(ensure) == (2, 0)


def test_a_pair_that_is_there_costs_one_look_at_both_ends(bridged: LinuxNetDevDriver) -> None:
    assert requests(lambda: bridged.create_veth_pair("v0", "v1")) == (2, 0)
    assert requests(lambda: bridged.create_veth_pair("v1", "v0")) == (2, 0)


def test_a_vlan_that_is_there_costs_one_look_at_it_and_its_parent(bridged: LinuxNetDevDriver) -> None:
    reason = features.lacking("vlan")
    if reason:
        pytest.skip(reason)
    bridged.ensure_vlan_bridge(7, "b7", "v1", mtu=1400)
    assert requests(lambda: bridged.ensure_vlan(7, "v1", mtu=1400)) == (2, 0)
    assert requests(lambda: bridged.ensure_vlan_bridge(7, "b7", "v1", mtu=1400)) == (2, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda driver: driver.set_device_mtu("v1", 1400),
        lambda driver: driver.set_device_macaddr("v1", MAC),
        lambda driver: driver.set_device_enabled("v1"),
        lambda driver: driver.set_device_disabled("v1"),
        lambda driver: driver.delete_net_dev("v1"),
        lambda driver: driver.create_bridge("b1", mac_address=MAC, stp=True, forward_delay=4),
    ],
)
def test_what_can_be_said_in_one_request_is(
    bridged: LinuxNetDevDriver, call: Callable[[LinuxNetDevDriver], None]
) -> None:
    assert requests(lambda: call(bridged))[0] == 1


def test_the_number_of_devices_on_the_host_costs_no_request(stack: Sandbox, driver: LinuxNetDevDriver) -> None:
    driver.create_veth_pair("v0", "v1")

    def work() -> list[tuple[int, int]]:
        calls = (
            lambda: driver.ensure_bridge("b0"),
            lambda: driver.add_device_address("v0", "192.0.2.1/24"),
            lambda: driver.ensure_bridge("b0", "v0"),
            lambda: driver.ensure_bridge("b0", "v0"),
            lambda: driver.device("v0"),
            lambda: driver.bridge_ports("b0"),
            lambda: driver.remove_bridge_port("b0", "v0"),
            lambda: driver.delete_bridge("b0"),
        )
        return [requests(call) for call in calls]

    alone = work()
    stack.ip(*(f"link add name m{number} type veth peer name n{number}" for number in range(MANY // 2)))
    assert work() == alone


def test_a_second_driver_and_a_closed_one_ask_as_often(bridged: LinuxNetDevDriver) -> None:
    with LinuxNetDevDriver() as other:
        for _ in range(2):
            assert requests(lambda: other.ensure_bridge("b0", "v0")) == (2, 0)
            other.close()


@pytest.mark.parametrize("capability", Capability)
def test_probing_makes_no_device(stack: Sandbox, driver: LinuxNetDevDriver, capability: Capability) -> None:
    def state() -> tuple[str, int, list[str]]:
        driver.device_exists("lo")
        return stack.run("ip", "-o", "addr"), len(os.listdir("/sys/class/net")), sorted(os.listdir("/proc/self/fd"))

    before = state()
    reason = driver.probe(capability)
    assert state() == before
    assert reason is None or reason.strip() == reason != ""
    if capability.value.startswith("ovs"):
        assert "Open vSwitch" in (reason or "")  # it is installed, and does not run in this stack: tests/ovs
        return
    assert (reason is None) == (features.lacking(capability) is None)


# -- refusals ---------------------------------------------------------------------------------------------

TYPES: dict[int, type[RefnetError]] = {
    errno.EPERM: PermissionDenied,
    errno.EACCES: PermissionDenied,
    errno.ENODEV: NoSuchDevice,
    errno.EEXIST: AlreadyExists,
    errno.EOPNOTSUPP: Unsupported,
    **dict.fromkeys(
        (
            errno.EINVAL,
            errno.ERANGE,
            errno.EADDRNOTAVAIL,
            errno.ELOOP,
            errno.EAFNOSUPPORT,
            errno.E2BIG,
            errno.EMSGSIZE,
        ),
        InvalidArgument,
    ),
}


@pytest.mark.parametrize("number", errno.errorcode, ids=errno.errorcode.get)
def test_every_errno_becomes_a_typed_error_with_its_facts(number: int) -> None:
    error = translate(KernelError(number, "The kernel's words"), "eth0", left_over=["this", "that"])
    assert type(error) is TYPES.get(number, KernelRefused)
    assert (error.errno, error.detail, error.device) == (number, "The kernel's words", "eth0")
    assert "eth0" in error.message
    assert error.message.endswith("; what could not be taken back: this; that")
    assert "taken back" not in str(translate(KernelError(number), "eth0"))
    nameless = translate(KernelError(number), None)
    assert nameless.device is None
    assert nameless.detail == os.strerror(number)
    assert "None" not in str(nameless)


def test_what_the_kernel_does_not_have_is_named() -> None:
    error = translate(KernelError(errno.EOPNOTSUPP), "vlan7", Capability.VLAN)
    assert isinstance(error, Unsupported)
    assert (error.capability, error.message) == ("vlan", "vlan7: the kernel of this host has no vlan")
    assert type(error.capability) is str
    nameless = translate(KernelError(errno.EOPNOTSUPP), "vlan7")
    assert isinstance(nameless, Unsupported)
    assert nameless.capability == "operation"


def test_another_kind_is_told_with_both(bridged: LinuxNetDevDriver) -> None:
    check_kind(bridged.need("b0"), Kind.BRIDGE)
    with pytest.raises(WrongKind) as caught:
        check_kind(bridged.need("v0"), Kind.BRIDGE)
    assert (caught.value.message, caught.value.device) == ("v0 is of kind veth, not bridge", "v0")


# -- names that others have given -------------------------------------------------------------------------


def ip(*argv: str | bytes) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True)


def test_a_port_whose_name_is_no_text_does_not_break_its_bridge(bridged: LinuxNetDevDriver) -> None:
    ip("link", "add", "name", RAW, "type", "veth", "peer", "name", "far")
    ip("link", "set", "dev", RAW, "master", "b0")
    assert bridged.bridge_ports("b0") == ("v0", SHOWN)
    assert bridged.device("b0").name == "b0"
    assert bridged.device("far").peer == SHOWN
    bridged.ensure_bridge("b0", "v0")
    bridged.remove_bridge_port("b0", "v0")
    assert bridged.bridge_ports("b0") == (SHOWN,)
    bridged.delete_bridge("b0")
    assert bridged.device_exists("far")


def test_a_bridge_whose_name_is_no_text_does_not_break_its_ports(bridged: LinuxNetDevDriver) -> None:
    ip("link", "add", "name", RAW, "type", "bridge")
    ip("link", "set", "dev", "v1", "master", RAW)
    assert bridged.device("v1").master == SHOWN
    with pytest.raises(AlreadyEnslaved) as caught:
        bridged.add_bridge_port("b0", "v1")
    assert caught.value.master == SHOWN
    bridged.add_bridge_port("b0", "v1", move=True)
    assert bridged.bridge_ports("b0") == ("v0", "v1")


def test_an_alternative_name_finds_the_device_by_its_own_name(bridged: LinuxNetDevDriver) -> None:
    ip("link", "property", "add", "dev", "v0", "altname", "the-port")
    assert bridged.device_exists("the-port")
    assert bridged.device("the-port") == bridged.device("v0")
    bridged.ensure_bridge("b0", "the-port")
    assert bridged.bridge_ports("b0") == ("v0",)
