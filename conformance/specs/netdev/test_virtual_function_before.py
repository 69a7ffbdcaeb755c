"""How a virtual function was before a driver changed it, and what of it survives whatever happens to the driver."""

from __future__ import annotations

import contextlib

from conformance.features import NETDEVSIM
from conformance.harness import DriverUnderTest, in_child
from conformance.oracles.state import difference
from conformance.spec import spec
from conformance.specs.netdev.test_fault import Scene, fails_cleanly, survives_kills
from conformance.specs.netdev.test_virtual_function import MAC, NO_MAC, OTHER_MAC, VFS, alone, functions, is_so
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability, LinkState

SRIOV, NEEDS = Capability.SRIOV, (NETDEVSIM,)


# -- putting back -------------------------------------------------------------------------------------


def _others_setting(net: Sandbox, number: int) -> str:
    """Make a card of which one virtual function is set by somebody else."""
    card = net.network_card(vfs=VFS)
    card.set(number, "mac", OTHER_MAC, "vlan", "9", "qos", "3", "trust", "on", "state", "disable")
    return card.name


def _change(netdev: DriverUnderTest, card: str, number: int) -> None:
    """Set all of a virtual function, parts of it twice."""
    netdev.set_device_macaddr_and_vlan(card, number, MAC, 5)
    netdev.set_device_trust(card, number, False)
    netdev.set_device_link_state(card, number, LinkState.ENABLE)
    netdev.set_device_macaddr_and_vlan(card, number, "02:00:00:00:00:a3", 0)


@spec(
    "VF-08",
    "restore_virtual_function puts a virtual function back as it was before the first of all changes, whoever asks, "
    "and again does nothing.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_restore(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = _others_setting(net, 1)
    before = net.look.state()
    was = functions(net, card)
    _change(netdev, card, 1)
    netdev.set_device_trust(card, 2, True)
    with contextlib.closing(netdev.fresh()) as other, alone(net, card, 1):
        other.restore_virtual_function(card, 1)
    found = functions(net, card)[1]
    assert found == was[1], f"virtual function 1 was {was[1]} and is put back as {found}"
    with net.look.unwritten("putting back what is as it was"):
        netdev.restore_virtual_function(card, 1)
    # What it was is forgotten: from now on it counts as somebody else's again.
    netdev.restore_virtual_function(card, 2)
    netdev.set_device_trust(card, 1, False)
    netdev.restore_virtual_function(card, 1)
    changed = difference(before, net.look.state())
    assert not changed, f"after two changes and two times back the host is not as it was: {'; '.join(changed)}"


@spec(
    "VF-09",
    "How a virtual function was outlives the process that changed it.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_restore_after_process(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = _others_setting(net, 3)
    before, was = net.look.state(), functions(net, card)
    assert in_child(lambda: _change(netdev.fresh(), card, 3)) == 0, "setting it in another process fails"
    is_so(net, card, 3, "another process set it", vlan=0, trust=False, link_state="enable")
    netdev.set_device_link_state(card, 3, LinkState.AUTO)
    assert in_child(lambda: netdev.fresh().restore_virtual_function(card, 3)) == 0, "putting it back fails"
    found = functions(net, card)[3]
    assert found == was[3], f"virtual function 3 was {was[3]} and is put back as {found}"
    changed = difference(before, net.look.state())
    assert not changed, f"the host is not as it was: {'; '.join(changed)}"


@spec(
    "VF-10",
    "restore_virtual_function leaves alone what this driver has not changed, whoever else has.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_restore_untouched(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = net.network_card(vfs=VFS)
    with net.look.unwritten("putting back what nobody has changed"):
        netdev.restore_virtual_function(card.name, 0)
    card.set(0, "mac", MAC, "vlan", "5")
    with net.look.unwritten("putting back what somebody else has changed"):
        netdev.restore_virtual_function(card.name, 0)
    netdev.set_device_macaddr_and_vlan(card.name, 0, MAC, 5)
    with net.look.unwritten("putting back what was found to be as asked"):
        netdev.restore_virtual_function(card.name, 0)


@spec(
    "VF-11",
    "Virtual functions are set and put back while the card is down as well, and stay set when it comes up; by a new "
    "name of the card too.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_card_down_and_renamed(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = _others_setting(net, 1)
    was = functions(net, card)
    netdev.set_device_disabled(card)
    netdev.set_device_macaddr_and_vlan(card, 1, MAC, 5)
    assert not net.look.up(card), f"{card} was down and is up"
    netdev.set_device_enabled(card)
    is_so(net, card, 1, "the card came up", address=MAC, vlan=5, trust=True)
    net.rename(card, "card1")
    netdev.restore_virtual_function("card1", 1)
    found = functions(net, "card1")[1]
    assert found == was[1], f"virtual function 1 was {was[1]} and is put back, by the card's new name, as {found}"


@spec(
    "VF-17",
    "Clearing a virtual function (a MAC address of zeros, VLAN 0) that this driver has not changed before is for good; "
    "one that it has is put back.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_clear(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = _others_setting(net, 1)
    was = functions(net, card)[1]
    netdev.set_device_link_state(card, 1, LinkState.AUTO)
    netdev.set_device_macaddr_and_vlan(card, 1, NO_MAC, 0)
    netdev.restore_virtual_function(card, 1)
    found = functions(net, card)[1]
    assert found == was, f"virtual function 1 was {was}, was changed and cleared, and is put back as {found}"
    netdev.set_device_macaddr_and_vlan(card, 1, NO_MAC, 0)
    is_so(net, card, 1, "clearing it", address=NO_MAC, vlan=0, trust=True, link_state="disable")
    with net.look.unwritten("putting back what was only cleared"):
        netdev.restore_virtual_function(card, 1)


# -- faults -------------------------------------------------------------------------------------------


def _scene(netdev: DriverUnderTest, net: Sandbox) -> Scene:
    card = _others_setting(net, 1)
    return Scene(
        "set_device_macaddr_and_vlan",
        (card,),
        lambda: netdev.restore_virtual_function(card, 1),
        lambda driver: driver.set_device_macaddr_and_vlan(card, 1, MAC, 5),
    )


@spec(
    "VF-12",
    "When setting a virtual function fails, the host is as before.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_set_fails(netdev: DriverUnderTest, net: Sandbox) -> None:
    fails_cleanly(netdev, net, _scene(netdev, net))


@spec(
    "VF-13",
    "Setting a virtual function, killed half way, is brought to its end by the same call; it can then be put back.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_set_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    scene = _scene(netdev, net)
    card, was = scene.devices[0], functions(net, scene.devices[0])

    def lay() -> None:
        scene.lay()
        found = functions(net, card)
        assert found == was, f"virtual function 1 was {was[1]} and is put back as {found[1]}"

    survives_kills(netdev, net, Scene(scene.what, scene.devices, lay, scene.call))


@spec(
    "VF-14",
    "Putting a virtual function back, killed half way, is brought to its end by the same call.",
    capability=SRIOV,
    needs=NEEDS,
)
def test_restore_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    card = _others_setting(net, 1)
    before = net.look.state()

    def lay() -> None:
        netdev.restore_virtual_function(card, 1)
        changed = difference(before, net.look.state())
        assert not changed, f"virtual function 1 was put back, and the host is not as it was: {'; '.join(changed)}"
        _change(netdev, card, 1)

    scene = Scene("restore_virtual_function", (card,), lay, lambda driver: driver.restore_virtual_function(card, 1))
    survives_kills(netdev, net, scene)
