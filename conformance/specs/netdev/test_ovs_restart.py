"""What becomes of ports of Open vSwitch, and of their traffic, when its daemons end and start again."""

from __future__ import annotations

from conformance.harness import DriverUnderTest
from conformance.spec import spec
from conformance.specs.netdev.switched import carries, plug, plugged, resumes, withheld
from conformance.topology.base import Guest
from conformance.topology.frame_streams import streaming
from conformance.topology.sandbox import Sandbox
from refnet.netdev.model import Capability, OvsPort

OVS = Capability.OVS
INSTANCE = "5e0a1f6c-9d0b-4c1e-8f3a-2b7c9d0e1f2a"


def described(netdev: DriverUnderTest, *guests: Guest) -> dict[str, OvsPort]:
    """Return what ovs_port() says of guests' ports."""
    return {guest.name: netdev.ovs_port(guest.port) for guest in guests}


def restarted(netdev: DriverUnderTest, net: Sandbox, *, kill: bool) -> None:
    """Prove that a switch which ends and starts again has its ports, tags and numbers, and lets frames pass again."""
    switch = net.open_vswitch()
    a, b, five, fifth, six, sixth, trunk = plugged(
        netdev,
        net,
        a={"instance_id": INSTANCE},
        b={},
        five={"tag": 5},
        fifth={"tag": 5},
        six={"tag": 6},
        sixth={"tag": 6},
        trunk={"trunks": (5,)},
    )
    guests = (a, b, five, fifth, six, sixth, trunk)
    before = described(netdev, *guests)
    with streaming(net, (a, b), (b, a), may_lose=True, what="since the switch was started again") as streams:
        switch.stop_daemon(kill=kill)
        switch.start_daemon()
        streams.more()
    resumes(net, five, fifth, what="since the switch was started again")
    carries(net, five, fifth, what="in a VLAN, since the switch was started again")
    carries(net, five, trunk, arrives_with=5, what="to a trunk, since the switch was started again")
    withheld(net, five, six, control=sixth, what="to another VLAN, since the switch was started again")
    after = described(netdev, *guests)
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not changed, f"since the switch was started again, ovs_port says otherwise (before, after): {changed}"


@spec(
    "OV-60",
    "When the switch's daemon ends and starts again under traffic, ports, tags, ids and numbers stand, and frames flow "
    "again without a call of anybody's.",
    capability=OVS,
)
def test_daemon_restarted(netdev: DriverUnderTest, net: Sandbox) -> None:
    restarted(netdev, net, kill=False)


@spec(
    "OV-61",
    "When the switch's daemon is killed under traffic and starts again, ports, tags, ids and numbers stand, and frames "
    "flow again without a call of anybody's.",
    level="full",
    capability=OVS,
)
def test_daemon_killed(netdev: DriverUnderTest, net: Sandbox) -> None:
    restarted(netdev, net, kill=True)


@spec(
    "OV-62",
    "When the switch's database ends, by itself or killed, and starts again, traffic loses no frame, nor does it by "
    "the calls that follow: one for a port that is there, and one for a new port.",
    capability=OVS,
)
def test_database_restarted(netdev: DriverUnderTest, net: Sandbox) -> None:
    switch = net.open_vswitch()
    a, b = plugged(netdev, net, a={"tag": 5}, b={"tag": 5})
    before = described(netdev, a, b)
    with streaming(net, (a, b), (b, a), what="while the database is started again, and after it") as streams:
        for name, kill in (("c", False), ("d", True)):
            # Without its database a switch without a datapath in the kernel lets frames wait.
            switch.stop_database(kill=kill)
            switch.start_database()
            streams.more()
            plug(netdev, a, tag=5)
            streams.more()
            new = net.guest(name)
            plug(netdev, new, tag=5)
            net.look.need(new.port)
            said = netdev.ovs_port(new.port)
            assert said.tag == 5, f"the port made after the database was started again has tag {said.tag}, not 5"
    carries(net, a, new, what="to a port that was made after the database was started again")
    after = described(netdev, a, b)
    assert after == before, f"since the database was started again, ovs_port says {after}, and said {before}"
