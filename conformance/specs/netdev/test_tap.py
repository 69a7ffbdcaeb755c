"""Taps: what a hypervisor holds, and what becomes of it when it comes and goes."""

from __future__ import annotations

import contextlib
import grp
import pwd
from typing import Any

from conformance import features
from conformance.harness import DriverUnderTest
from conformance.oracles.state import difference
from conformance.spec import spec
from conformance.specs.netdev.refused import refusal, refused
from conformance.topology import frames
from conformance.topology.base import Guest, Holder
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, KernelRefused, Mismatch, WrongKind
from refnet.netdev.driver import Capability, Kind

TAP = Capability.TAP
BRIDGED = (Capability.TAP, Capability.BRIDGE)
MULTI_QUEUE = (Capability.TAP, Capability.TAP_MULTI_QUEUE)
OWNER = (Capability.TAP, Capability.TAP_OWNER)

#: Two users, and two groups, without privilege; every system has them, by whatever name.
ONE, ANOTHER = 1, 2

BAD_NAMES = ("", "tap0123456789012", "tap%d", "tap/0", "tap 0", "tap:0", "täp", ".", "..", "tap+", "tap0\n", None, 7)
BAD_VALUES: dict[str, tuple[object, ...]] = {
    "mac_address": ("", "52:54:00:12:34", "52-54-00-12-34-56", "01:00:5e:00:00:01", "00:00:00:00:00:00", 5),
    "mtu": (0, 67, 65536, -1, "1500", 1500.0, True),
    "multi_queue": ("no", 0, 1, None),
}


def held(net: Sandbox, tap: str, *, queues: int = 1) -> Holder:
    """Hold a tap that has to be there to be held."""
    try:
        return net.hold(tap, queues=queues)
    except OSError as error:
        raise AssertionError(f"{tap} cannot be held by a program with {queues} queue(s): {error}") from error


def plugged(netdev: DriverUnderTest, net: Sandbox, tap: str = "tap0", *names: str) -> list[Guest]:
    """Make a bridge with a tap, made already, as a port, and a guest on a port of its own for each name."""
    netdev.create_bridge("br0")
    net.look.need(tap)
    netdev.add_bridge_port("br0", tap)
    guests = [net.guest(name) for name in names or ("a",)]
    for guest in guests:
        netdev.add_bridge_port("br0", guest.port)
    return guests


def talk(net: Sandbox, holder: Holder, guest: Guest, what: str) -> None:
    """Prove that frames go from a tap's holder to a guest on its bridge, and back."""
    net.delivers(holder, net.frame(holder, guest), guest, what=f"{what}: a frame from the tap")
    net.delivers(guest, net.frame(guest, holder), holder, what=f"{what}: a frame to the tap")


def one_at_a_time(net: Sandbox, tap: str, *, queues: int) -> None:
    """Prove that a tap cannot be held by so many queues more."""
    with contextlib.suppress(OSError):
        net.hold(tap, queues=queues)
        raise AssertionError(f"{tap} was made with one queue, and is held by several at once")


# -- frames and holders -------------------------------------------------------------------------------


@spec(
    "TA-01",
    "A frame that a tap's holder writes leaves the bridge's other port byte for byte, and one back reaches the holder.",
    capability=BRIDGED,
)
def test_frames_both_ways(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0")
    (guest,) = plugged(netdev, net)
    holder = held(net, "tap0")
    talk(net, holder, guest, "a held tap")
    net.delivers(holder, net.frame(holder, guest, size=1500), guest, what="a frame of full size from the tap")
    net.delivers(holder, net.frame(holder, guest, vlan=5), guest, what="a tagged frame from the tap")


@spec(
    "TA-02",
    "A tap stays when nobody holds it and when its holder has gone, and the next holder gets its frames.",
    capability=BRIDGED,
)
def test_outlives_its_holders(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0")
    assert net.look.link("tap0") is not None, "tap0 is gone before anybody has held it"
    (guest,) = plugged(netdev, net)
    holder = held(net, "tap0")
    talk(net, holder, guest, "the first holder")
    holder.shut()
    assert net.look.link("tap0") is not None, "tap0 is gone with its holder"
    talk(net, held(net, "tap0"), guest, "the second holder")


@spec("TA-03", "A new tap is up, with the MAC address and the MTU that were asked for.", capability=TAP)
def test_properties(netdev: DriverUnderTest, net: Sandbox) -> None:
    mac = net.new_mac()
    netdev.create_tap_dev("tap0", mac, mtu=1400)
    assert net.look.up("tap0"), "the new tap tap0 is down"
    assert net.look.mtu("tap0") == 1400, f"tap0 has MTU {net.look.mtu('tap0')}, not the 1400 asked for"
    netdev.add_device_address("tap0", "192.0.2.1/24")
    seen = net.source_mac(held(net, "tap0"), "192.0.2.1", "192.0.2.2")
    assert seen == mac, f"what the host sends through tap0 comes from MAC address {seen}, not from {mac}"


@spec(
    "TA-04",
    "A tap without a holder has no carrier and does not disturb the bridge's other ports; with one it has.",
    capability=BRIDGED,
)
def test_carrier(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0")
    a, b = plugged(netdev, net, "tap0", "a", "b")

    def carrier(expected: bool, when: str) -> None:
        seen, said = net.look.carrier("tap0"), netdev.device("tap0").carrier
        assert seen is expected, f"{when}, tap0 has {'a' if seen else 'no'} carrier"
        assert said is expected, f"{when}, device() says that tap0 has {'a' if said else 'no'} carrier"

    carrier(False, "before anybody holds it")
    net.delivers(a, net.frame(a, frames.BROADCAST), b, what="beside a tap that nobody holds")
    holder = held(net, "tap0")
    carrier(True, "with a holder")
    net.delivers(a, net.frame(a, frames.BROADCAST), b, holder, what="beside a tap that is held")
    holder.shut()
    carrier(False, "when its holder has gone")
    net.delivers(a, net.frame(a, frames.BROADCAST), b, what="beside a tap whose holder has gone")


@spec("TA-05", "A tap that was not asked to have several queues takes one holder at a time.", capability=TAP)
def test_single_queue(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0")
    held(net, "tap0").shut()
    one_at_a_time(net, "tap0", queues=2)
    holder = held(net, "tap0")
    one_at_a_time(net, "tap0", queues=1)
    holder.shut()


@spec("TA-06", "A tap made with multi_queue is held by several queues at once, and works.", capability=MULTI_QUEUE)
def test_multi_queue(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0", multi_queue=True)
    said = netdev.device("tap0").multi_queue
    assert said is True, f"device() says that tap0 has multi_queue={said}"
    holder = held(net, "tap0", queues=2)
    netdev.create_bridge("br0")
    netdev.add_bridge_port("br0", "tap0")
    guest = net.guest("a")
    netdev.add_bridge_port("br0", guest.port)
    talk(net, holder, guest, "a tap with two queues")


# -- adoption -----------------------------------------------------------------------------------------


@spec(
    "TA-07",
    "Called for a tap that is there as asked, create_tap_dev changes and writes nothing.",
    capability=TAP,
)
def test_adopts_what_is_there(netdev: DriverUnderTest, net: Sandbox) -> None:
    mac = net.new_mac()
    netdev.create_tap_dev("tap0", mac, mtu=1400)
    net.look.need("tap0")
    wishes: list[dict[str, Any]] = [{}, {"mac_address": mac}, {"mac_address": mac.upper(), "mtu": 1400}]
    another = netdev.fresh()
    for asked in wishes:
        with net.look.unwritten(f"create_tap_dev with {asked} of a tap that is so"):
            another.create_tap_dev("tap0", **asked)
    another.close()


@spec(
    "TA-08",
    "Called for a tap that is there otherwise, create_tap_dev sets it up with the MAC address and MTU asked for.",
    capability=TAP,
)
def test_reconciles_what_is_there(netdev: DriverUnderTest, net: Sandbox) -> None:
    old, new = net.new_mac(), net.new_mac()
    netdev.create_tap_dev("tap0", old, mtu=1300)
    holder = held(net, "tap0")
    netdev.set_device_disabled("tap0")
    netdev.create_tap_dev("tap0", new, mtu=1400)
    assert net.look.up("tap0"), "tap0 was down, and is still down"
    assert net.look.mtu("tap0") == 1400, f"tap0 has MTU {net.look.mtu('tap0')}, not the 1400 asked for anew"
    netdev.add_device_address("tap0", "192.0.2.1/24")
    seen = net.source_mac(holder, "192.0.2.1", "192.0.2.2")
    assert seen == new, f"what the host sends through tap0 comes from MAC address {seen}, not from {new}"


@spec(
    "TA-09",
    "create_tap_dev of a tap that a hypervisor holds writes nothing when nothing differs, and its traffic goes on.",
    capability=BRIDGED,
)
def test_adopts_while_held(netdev: DriverUnderTest, net: Sandbox) -> None:
    mac = net.new_mac()
    netdev.create_tap_dev("tap0", mac, mtu=1500)
    (guest,) = plugged(netdev, net)
    holder = held(net, "tap0")
    talk(net, holder, guest, "before the second call")
    with net.look.unwritten("create_tap_dev of a tap that is held"):
        netdev.create_tap_dev("tap0", mac, mtu=1500)
    talk(net, holder, guest, "after the second call")


@spec(
    "TA-10",
    "A tap that is there with other queues than asked is refused with Mismatch, which names multi_queue, and stays.",
    capability=MULTI_QUEUE,
)
def test_other_queues(netdev: DriverUnderTest, net: Sandbox) -> None:
    for name, present in (("tap0", False), ("tap1", True)):
        netdev.create_tap_dev(name, multi_queue=present)
        what = f"create_tap_dev with multi_queue={not present} of a tap with multi_queue={present}"
        with refused(net, Mismatch, what) as taken:
            netdev.create_tap_dev(name, net.new_mac(), multi_queue=not present)
        assert "multi_queue" in str(taken.error), f"{what}: the error does not name multi_queue: {taken.error}"
        held(net, name, queues=2 if present else 1)


@spec(
    "TA-11",
    "A name that a device of another kind has is refused with WrongKind, and that device stays as it is.",
    capability=BRIDGED,
)
def test_wrong_kind(netdev: DriverUnderTest, net: Sandbox) -> None:
    net.foreign("bridge9", Kind.BRIDGE)
    net.foreign("tun9", Kind.TUN)
    for name in ("bridge9", "tun9", net.guest("a").port, net.loopback):
        with refused(net, WrongKind, f"create_tap_dev of {name}, which is no tap,") as taken:
            netdev.create_tap_dev(name, net.new_mac(), mtu=1400)
        assert taken.error.device == name, f"the error is about {taken.error.device}, not about {name}"


# -- owner and group ----------------------------------------------------------------------------------


def owned(net: Sandbox, *, uid: int = ANOTHER, gid: int = ANOTHER, expected: bool) -> None:
    """See whether a user may hold the tap."""
    seen = net.may_hold("tap0", uid=uid, gid=gid)
    assert seen is expected, f"user {uid}, group {gid} can{'' if seen else 'not'} hold tap0"


@spec(
    "TA-12",
    "A tap with an owner can be held by that user, and by no other without privilege.",
    capability=OWNER,
    needs=(features.SECOND_USER,),
)
def test_owner(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0", owner=ONE)
    owned(net, uid=ONE, expected=True)
    owned(net, uid=ANOTHER, expected=False)


@spec(
    "TA-13",
    "A tap with a group can be held by that group's members, and by no other without privilege.",
    capability=OWNER,
    needs=(features.SECOND_USER,),
)
def test_group(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0", group=ONE)
    owned(net, gid=ONE, expected=True)
    owned(net, gid=ANOTHER, expected=False)


@spec(
    "TA-14",
    "Owner and group may be given by name.",
    capability=OWNER,
    needs=(features.SECOND_USER,),
)
def test_owner_by_name(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0", owner=pwd.getpwuid(ONE).pw_name, group=grp.getgrgid(ONE).gr_name)
    said = netdev.device("tap0")
    assert (said.owner, said.group) == (ONE, ONE), f"device() gives owner {said.owner} and group {said.group}"
    owned(net, uid=ONE, gid=ONE, expected=True)
    owned(net, uid=ANOTHER, gid=ANOTHER, expected=False)


@spec(
    "TA-15",
    "Called for a tap that is there with another owner, create_tap_dev gives it the owner asked for.",
    capability=OWNER,
    needs=(features.SECOND_USER,),
)
def test_owner_reconciled(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0", owner=ANOTHER)
    netdev.create_tap_dev("tap0", owner=ONE)
    owned(net, uid=ONE, expected=True)
    owned(net, uid=ANOTHER, expected=False)
    with net.look.unwritten("create_tap_dev with the owner that the tap has"):
        netdev.create_tap_dev("tap0", owner=ONE)


@spec(
    "TA-16",
    "An owner or group that is no user or group of this host is refused with InvalidArgument, and no tap is made.",
    capability=OWNER,
)
def test_bad_owner(netdev: DriverUnderTest, net: Sandbox) -> None:
    with net.look.unchanged("create_tap_dev with a bad owner or group"):
        for bad in ("no-such-name", "", "1", "a\0b", -1, 2**32 - 1, 2**40, True, 1.0, b"root"):
            for key in ("owner", "group"):
                with refusal(InvalidArgument, f"create_tap_dev with {key}={bad!r}"):
                    netdev.create_tap_dev("tap0", **{key: bad})


# -- refusals and endings -----------------------------------------------------------------------------


@spec(
    "TA-17",
    "A bad name, MAC address, MTU or multi_queue is refused with InvalidArgument before anything is made.",
)
def test_bad_arguments(netdev: DriverUnderTest, net: Sandbox) -> None:
    with net.look.unchanged("create_tap_dev with bad arguments"):
        for bad in BAD_NAMES:
            with refusal(InvalidArgument, f"create_tap_dev of {bad!r}"):
                netdev.create_tap_dev(bad)
        for key, values in BAD_VALUES.items():
            for value in values:
                with refusal(InvalidArgument, f"create_tap_dev with {key}={value!r}"):
                    netdev.create_tap_dev("tap0", **{key: value})


@spec(
    "TA-18",
    "An MTU that the system gives no tap is refused with InvalidArgument: no tap is made, and one that is there stays "
    "as it is.",
    level="full",
    capability=TAP,
)
def test_refused_mtu(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap1", net.new_mac(), mtu=1400)
    for name in ("tap0", "tap1"):
        before = net.look.state()
        refused_with = ""
        try:
            netdev.create_tap_dev(name, net.new_mac(), mtu=65535)
        except InvalidArgument as error:
            refused_with = str(error)
        if refused_with:
            changed = difference(before, net.look.state())
            assert not changed, f"{name} was refused MTU 65535 ({refused_with}), and has changed: {'; '.join(changed)}"
        else:
            # A system that gives taps such an MTU has nothing to refuse.
            assert net.look.mtu(name) == 65535, f"{name} was not refused MTU 65535, and has {net.look.mtu(name)}"


@spec(
    "TA-19",
    "A tap is deleted also while a program holds it; where the system deletes none that is held (FreeBSD), that is "
    "refused with KernelRefused until it is let go. Deleting it again is no error and writes nothing.",
    capability=TAP,
)
def test_delete_while_held(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0")
    holder = held(net, "tap0")
    if not net.deletes_held_taps:
        with refused(net, KernelRefused, "deleting a tap that is held"):
            netdev.delete_net_dev("tap0")
        holder.shut()
    netdev.delete_net_dev("tap0")
    assert net.look.link("tap0") is None, "tap0 was deleted, and is still there"
    assert not netdev.device_exists("tap0"), "tap0 was deleted, and device_exists() says that it is there"
    with net.look.unwritten("deleting tap0 again"):
        netdev.delete_net_dev("tap0")
    holder.shut()


@spec("TA-20", "A tap that was deleted can be made again, and works.", capability=BRIDGED)
def test_make_again(netdev: DriverUnderTest, net: Sandbox) -> None:
    netdev.create_tap_dev("tap0")
    (guest,) = plugged(netdev, net)
    holder = held(net, "tap0")
    talk(net, holder, guest, "the first tap0")
    holder.shut()
    netdev.delete_net_dev("tap0")
    netdev.create_tap_dev("tap0")
    net.look.need("tap0")
    netdev.add_bridge_port("br0", "tap0")
    talk(net, held(net, "tap0"), guest, "the second tap0")
