"""Virtual functions of network cards, as the card itself tells of them; the cards are made for each spec."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from conformance.features import NETDEVSIM
from conformance.harness import Call, DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.refused import refusal
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, NoSuchDevice
from refnet.netdev.model import Capability, LinkState

SRIOV, NEEDS = Capability.SRIOV, (NETDEVSIM,)
MAC, OTHER_MAC, NO_MAC = "02:00:00:00:00:a1", "02:00:00:00:00:a2", "00:00:00:00:00:00"
VFS = 4


def functions(net: Sandbox, card: str) -> dict[int, dict[str, Any]]:
    """Return what the system says of a card's virtual functions, by number."""
    return {one["vf"]: one for one in net.look.need(card)["vfinfo_list"]}


def vlan(function: dict[str, Any]) -> int:
    """Return the VLAN that a virtual function is kept in; 0: none."""
    return int(function["vlan_list"][0].get("vlan", 0))


def is_so(net: Sandbox, card: str, number: int, what: str, **wanted: Any) -> None:
    """Prove how a virtual function is set."""
    found = functions(net, card)[number]
    told = {"vlan": vlan(found), **{key: value for key, value in found.items() if key != "vlan_list"}}
    wrong = [f"{key} is {told[key]!r} and not {value!r}" for key, value in wanted.items() if told[key] != value]
    assert not wrong, f"after {what}, of virtual function {number} {'; '.join(wrong)}"


@contextlib.contextmanager
def alone(net: Sandbox, card: str, *numbers: int) -> Iterator[None]:
    """Prove that nothing of a card changes but these virtual functions: not the others, and not the card itself."""

    def rest() -> dict[str, Any]:
        found = {f"virtual function {key}": one for key, one in functions(net, card).items() if key not in numbers}
        return {**found, "the card's own address": net.look.mac(card), "the card's being up": net.look.up(card)}

    before = rest()
    yield
    after = rest()
    changed = [what for what, value in before.items() if after.get(what) != value]
    assert not changed, f"{', '.join(changed)} of {card} changed as well"


# -- setting ------------------------------------------------------------------------------------------


@spec(
    "VF-01",
    "set_device_macaddr_and_vlan sets a virtual function's MAC address and VLAN, and nothing else of the card.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_mac_and_vlan(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS)
    with alone(net, card.name, 1):
        netdev.set_device_macaddr_and_vlan(card.name, 1, MAC, 7)
    is_so(net, card.name, 1, "setting it", address=MAC, vlan=7)
    with alone(net, card.name, 1):
        netdev.set_device_macaddr_and_vlan(card.name, 1, OTHER_MAC.upper(), 4094)
    is_so(net, card.name, 1, "setting others, in capitals", address=OTHER_MAC, vlan=4094)
    with alone(net, card.name, 0):
        netdev.set_device_macaddr_and_vlan(card.name, 0, MAC, 1)
    is_so(net, card.name, 0, "setting the first one", address=MAC, vlan=1)


@spec(
    "VF-02",
    "VLAN 0 takes a virtual function out of its VLAN, and a MAC address of zeros takes its MAC address from it.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_no_vlan(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS)
    card.set(2, "vlan", "9", "qos", "3")
    netdev.set_device_macaddr_and_vlan(card.name, 2, MAC, 0)
    is_so(net, card.name, 2, "VLAN 0", address=MAC, vlan=0)
    netdev.set_device_macaddr_and_vlan(card.name, 2, NO_MAC, 5)
    is_so(net, card.name, 2, "a MAC address of zeros", address=NO_MAC, vlan=5)


@spec(
    "VF-03",
    "set_device_trust has a card trust a virtual function, and no longer trust it; nothing else changes.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_trust(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS)
    card.set(3, "mac", MAC, "vlan", "6")
    for trusted in (True, False, True):
        with alone(net, card.name, 3):
            netdev.set_device_trust(card.name, 3, trusted)
        is_so(net, card.name, 3, f"trusted={trusted}", trust=trusted, address=MAC, vlan=6)


@spec(
    "VF-04",
    "set_device_link_state sets what a virtual function sees as its link, by LinkState or by its word.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_link_state(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS)
    for state in (LinkState.DISABLE, "enable", "auto", LinkState.ENABLE):
        with alone(net, card.name, 0):
            netdev.set_device_link_state(card.name, 0, state)
        is_so(net, card.name, 0, f"link state {state}", link_state=str(state))


@spec(
    "VF-05",
    "Setting a virtual function to what it is set to already changes and writes nothing.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_second_call(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS)
    card.set(2, "mac", MAC, "vlan", "8", "trust", "on", "state", "enable")
    calls: dict[str, Call] = {
        "set_device_macaddr_and_vlan": lambda number: netdev.set_device_macaddr_and_vlan(card.name, number, MAC, 8),
        "set_device_trust": lambda number: netdev.set_device_trust(card.name, number, True),
        "set_device_link_state": lambda number: netdev.set_device_link_state(card.name, number, "enable"),
    }
    for name, call in calls.items():
        call(1)
        with net.look.unwritten(f"a second {name}"):
            call(1)
        with net.look.unwritten(f"{name} of what somebody else has set"):
            call(2)


@spec(
    "VF-06",
    "A virtual function that a device does not have is refused with InvalidArgument, which says how many there are.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_no_such_function(netdev: DriverUnderTest, net: Sandbox) -> None:
    card, plain = net.network_card(vfs=VFS), net.guest("plain").port
    with net.look.unchanged("what is not there"):
        for call in _each(netdev):
            with refusal(InvalidArgument, f"virtual function 7 of {VFS}") as refused:
                call(card.name, 7)
            assert refused.names(str(VFS)), f"it is not said that there are {VFS}: {refused.error}"
            assert refused.error.device == card.name, f"the error is about {refused.error.device!r}"
            with refusal(InvalidArgument, f"virtual function {VFS} of {VFS}"):
                call(card.name, VFS)
            with refusal(InvalidArgument, "a virtual function of a device without any"):
                call(plain, 0)
            with refusal(NoSuchDevice, "a virtual function of no device") as refused:
                call("nosuch0", 0)
            assert refused.error.device == "nosuch0", f"the error is about {refused.error.device!r}"


@spec(
    "VF-07",
    "What no virtual function can be set to is refused with InvalidArgument before anything has changed.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_bad_input(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS).name
    calls: dict[str, Call] = {}
    for tag in (-1, 4095, 4096, 65543, "5", 5.0, True, None):
        calls[f"VLAN {tag!r}"] = lambda tag=tag: netdev.set_device_macaddr_and_vlan(card, 1, MAC, tag)
    for mac in ("", "02:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "02-00-00-00-00-01", None, 0):
        calls[f"MAC address {mac!r}"] = lambda mac=mac: netdev.set_device_macaddr_and_vlan(card, 1, mac, 5)
    for number in (-1, "1", 1.0, True, None, 1 << 32):
        for at, call in enumerate(_each(netdev)):
            calls[f"virtual function {number!r}, call {at}"] = lambda n=number, call=call: call(card, n)
    for trusted in ("no", 1, None):
        calls[f"trusted={trusted!r}"] = lambda trusted=trusted: netdev.set_device_trust(card, 1, trusted)
    for state in ("up", "", "AUTO", 1, True, None):
        calls[f"link state {state!r}"] = lambda state=state: netdev.set_device_link_state(card, 1, state)
    for name in ("", "a/b", "card%d", None):
        for at, call in enumerate(_each(netdev)):
            calls[f"the device {name!r}, call {at}"] = lambda name=name, call=call: call(name, 1)
    with net.look.unchanged("what is impossible"):
        for what, impossible in calls.items():
            with refusal(InvalidArgument, what):
                impossible()


def _each(netdev: DriverUnderTest) -> list[Callable[[Any, Any], object]]:
    """Return all calls about a virtual function of a card, with values that would do."""
    return [
        lambda dev, number: netdev.set_device_macaddr_and_vlan(dev, number, MAC, 5),
        lambda dev, number: netdev.set_device_trust(dev, number, True),
        lambda dev, number: netdev.set_device_link_state(dev, number, "disable"),
        lambda dev, number: netdev.restore_virtual_function(dev, number),
    ]


# -- looking ------------------------------------------------------------------------------------------


@spec(
    "VF-15",
    "virtual_functions describes all of a card's as they are, whoever has set them; a device without any has none.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_look(netdev: DriverUnderTest, net: Sandbox) -> None:
    card, plain = net.network_card(vfs=VFS), net.guest("plain").port
    card.set(1, "mac", MAC, "vlan", "5", "trust", "on", "spoofchk", "on")
    netdev.set_device_link_state(card.name, 2, "disable")
    described = netdev.virtual_functions(card.name)
    numbers = [(one.dev, one.number) for one in described]
    assert numbers == [(card.name, number) for number in range(VFS)], f"described are {numbers}"
    for one in described:
        is_so(
            net,
            card.name,
            one.number,
            f"it was described as {one}",
            vlan=one.vlan,
            address=one.mac_address,
            link_state=str(one.link_state) if one.link_state else "auto",
            trust=one.trusted,
            spoofchk=one.spoof_check,
        )
    assert netdev.virtual_functions(plain) == (), f"{plain} has no virtual functions, and some are described"
    with refusal(NoSuchDevice, "virtual_functions of no device"):
        netdev.virtual_functions("nosuch0")


@spec(
    "VF-16",
    "A virtual function is found by its PCI address, and so is its own device; what is none there is NoSuchDevice.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_pci_address(netdev: DriverUnderTest, net: Sandbox) -> None:
    card, own = net.network_card(vfs=VFS), net.guest("own").port
    bare, driven = card.at_pci(2), card.at_pci(3, own)
    netdev.set_device_macaddr_and_vlan(card.name, 2, MAC, 5)
    for address, number, device in ((bare, 2, None), (driven.upper(), 3, own)):
        found = netdev.virtual_function_at(address)
        place = (found.dev, found.number)
        assert place == (card.name, number), f"{address} is number {number} of {card.name}, and is found as {place}"
        described = netdev.virtual_functions(card.name)[number]
        assert found == described, f"by its address it is {found}, and by its number {described}"
        device_found = netdev.virtual_function_device(address)
        assert device_found == device, f"the device of {address} is {device}, and {device_found} is found"
    for what in (netdev.virtual_function_at, netdev.virtual_function_device):
        with refusal(NoSuchDevice, "a PCI address where nothing is"):
            what("0000:7f:1f.7")
        for bad in ("", "81:10.2", "0000:81:10.8", "0000:81:20.0", f"{bare}/../{driven}", f"../{bare}", None, 0):
            with refusal(InvalidArgument, f"the PCI address {bad!r}"):
                what(bad)
