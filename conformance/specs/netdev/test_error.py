"""Errors: typed, saying it all, and leaving the host as it was. And looking at what others do meanwhile."""

from __future__ import annotations

from conformance.harness import Call, DriverUnderTest, in_child
from conformance.spec import spec
from conformance.topology.sandbox import Sandbox
from refnet.errors import (
    AlreadyExists,
    InvalidArgument,
    InvalidName,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    Unsupported,
)
from refnet.netdev.driver import Capability

BRIDGE = Capability.BRIDGE


@spec(
    "ER-01", "Every error carries the called method's name, the device it is about, and a sentence.", capability=BRIDGE
)
def test_errors_say_it_all(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    cases: tuple[tuple[str, str, type[RefnetError], Call], ...] = (
        ("device", "nosuch0", NoSuchDevice, lambda: netdev.device("nosuch0")),
        ("set_device_mtu", "nosuch0", NoSuchDevice, lambda: netdev.set_device_mtu("nosuch0", 1400)),
        ("set_device_mtu", "br0", InvalidArgument, lambda: netdev.set_device_mtu("br0", -5)),
        ("create_bridge", "br0", AlreadyExists, lambda: netdev.create_bridge("br0")),
        ("create_bridge", "no/good", InvalidName, lambda: netdev.create_bridge("no/good")),
        ("add_bridge_port", "nosuch0", NoSuchDevice, lambda: netdev.add_bridge_port("br0", "nosuch0")),
        ("bridge_ports", "nosuch0", NoSuchDevice, lambda: netdev.bridge_ports("nosuch0")),
        ("add_device_address", "nosuch0", NoSuchDevice, lambda: netdev.add_device_address("nosuch0", "192.0.2.1/24")),
    )
    for operation, device, kind, call in cases:
        try:
            call()
        except RefnetError as found:
            error = found
        else:
            raise AssertionError(f"{operation} of {device} went through")
        assert isinstance(error, kind), f"{operation} of {device} raises {type(error).__name__}, not {kind.__name__}"
        assert error.operation == operation, f"the error's operation is {error.operation!r}, not {operation!r}"
        assert error.device == device, f"the error of {operation} is about {error.device!r}, not {device!r}"
        assert error.message and operation in str(error), f"the error of {operation} says only {str(error)!r}"


@spec("ER-02", "An error that comes from the system carries its error number.", capability=BRIDGE)
def test_errno(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    cases: tuple[tuple[str, Call], ...] = (
        ("device of nothing", lambda: netdev.device("nosuch0")),
        ("create_bridge of what is there", lambda: netdev.create_bridge("br0")),
        ("add_bridge_port of nothing", lambda: netdev.add_bridge_port("br0", "nosuch0")),
    )
    for what, call in cases:
        try:
            call()
        except RefnetError as found:
            number = found.errno
        else:
            raise AssertionError(f"{what} went through")
        assert isinstance(number, int) and number > 0, f"the error of {what} has the error number {number!r}"


@spec(
    "ER-03",
    "Without the privilege every change is refused with PermissionDenied, the host unchanged, and looking still works.",
    capability=BRIDGE,
)
def test_without_privilege(netdev: DriverUnderTest, net: Sandbox) -> None:
    (guest,) = (net.guest("a"),)
    netdev.create_bridge("br0")

    def unprivileged() -> None:
        driver = netdev.fresh()
        net.drop_privileges()
        assert driver.device_exists("br0"), "device_exists needs a privilege"
        assert driver.device("br0").name == "br0", "device needs a privilege"
        cases: tuple[tuple[str, Call], ...] = (
            ("create_bridge", lambda: driver.create_bridge("br1")),
            ("delete_bridge", lambda: driver.delete_bridge("br0")),
            ("add_bridge_port", lambda: driver.add_bridge_port("br0", guest.port)),
            ("set_device_mtu", lambda: driver.set_device_mtu("br0", 1400)),
            ("set_device_macaddr", lambda: driver.set_device_macaddr("br0", "02:00:00:00:00:01")),
            ("set_device_disabled", lambda: driver.set_device_disabled("br0")),
            ("add_device_address", lambda: driver.add_device_address("br0", "192.0.2.1/24")),
            ("ensure_bridge", lambda: driver.ensure_bridge("br0", guest.port)),
            ("delete_net_dev", lambda: driver.delete_net_dev(guest.port)),
        )
        for what, call in cases:
            try:
                call()
            except PermissionDenied:
                continue
            raise AssertionError(f"{what} went through without the privilege")

    with net.look.unchanged("calls without privilege"):
        status = in_child(unprivileged)
    assert status == 0, "a call without privilege was not refused with PermissionDenied"


@spec("ER-05", "A device that somebody else deletes or makes meanwhile is seen as it is now.", capability=BRIDGE)
def test_others_act(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    net.remove_plain("br0")
    assert not netdev.device_exists("br0"), "device_exists('br0') is True, and br0 was deleted by somebody else"
    netdev.delete_bridge("br0")
    net.plain_bridge("br0")
    assert netdev.device_exists("br0"), "device_exists('br0') is False, and somebody else has made it"
    guest = net.guest("a")
    netdev.add_bridge_port("br0", guest.port)
    assert net.look.master(guest.port) == "br0", "a port was added to a bridge that was made again, and is not in it"
    assert netdev.bridge_ports("br0") == (guest.port,), f"bridge_ports is {netdev.bridge_ports('br0')!r}"
    net.remove_plain("br0")


@spec(
    "ER-06",
    "A device that was renamed or taken to another stack is gone under its old name.",
    level="full",
    capability=BRIDGE,
)
def test_renamed(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_bridge("br0")
    guest = net.guest("a")
    netdev.add_bridge_port("br0", guest.port)
    net.rename("br0", "br7")
    assert not netdev.device_exists("br0"), "device_exists('br0') is True, and br0 is called br7 now"
    assert netdev.bridge_ports("br7") == (guest.port,), (
        f"the ports of the renamed bridge are {netdev.bridge_ports('br7')!r}"
    )
    assert netdev.device(guest.port).master == "br7", (
        f"the port's master is {netdev.device(guest.port).master!r}, not 'br7'"
    )
    netdev.delete_bridge("br7")
    assert net.look.link("br7") is None, "br7 is still there"


@spec("ER-07", "Deleting what the system does not let go (the loopback) is refused with Unsupported, nothing changed.")
def test_delete_loopback(netdev: DriverUnderTest, net: Sandbox) -> None:
    with net.look.unchanged("deleting the loopback"):
        try:
            netdev.delete_net_dev(net.loopback)
        except Unsupported:
            pass
        else:
            raise AssertionError("the loopback was deleted")


@spec("ER-08", "A capability is declared if and only if it is there, and asking changes nothing.")
def test_probes(netdev: DriverUnderTest, net: Sandbox) -> None:
    with net.look.unannounced("asking for capabilities"):
        answers = {capability: netdev.probe(capability) for capability in Capability}
    declared = netdev.capabilities()
    for capability, words in answers.items():
        assert words is None or (isinstance(words, str) and words.strip()), f"probe({capability}) says {words!r}"
        assert (words is None) == (capability in declared), (
            f"probe({capability}) says {words!r}, and capabilities() {'has' if capability in declared else 'lacks'} it"
        )
