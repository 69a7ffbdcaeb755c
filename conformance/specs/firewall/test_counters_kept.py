"""What rules have counted: in chains that are jumped to, and of a rule that was away."""

from __future__ import annotations

from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import drop, lay, model, standing
from conformance.specs.firewall.test_reload import COUNTERS
from conformance.system import LINUX
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.firewall import Capability, Jump, Log, Rule

_TIMES = 3


def _send(r: Routed, *ports: int) -> None:
    """Send datagrams to ports, each a few times, so that all of them have been counted."""
    for port in ports:
        for _ in range(_TIMES):
            r.send(Flow(dport=port))
    r.passes(Flow(protocol="tcp", dport=80), what="what follows the packets to be counted")


@spec(
    "RL-10",
    "A rule counts in a chain that others jump to as well.",
    capability=COUNTERS,
)
def test_jumps(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    firewall.add_chain("guests")
    for port in (7001, 7002):
        firewall.add_rule("guests", drop(port))
    chain = lay(firewall, Rule(Jump("guests"), protocol="udp", destination_ports="7001-7003"), drop(7004))
    firewall.apply()
    _send(r, 7001, 7003, 7004)
    found = [one.packets for one in firewall.counters("guests")]
    assert found == [3, 0], f"3 and 0 packets were sent, and in the chain that is jumped to are counted {found}"
    found = [one.packets for one in firewall.counters(chain)]
    assert found[1] == _TIMES, f"behind the jump 3 packets were sent, and counted are {found}"


@spec(
    "RL-11",
    "A rule that was removed and is added again counts from nothing, and the others go on.",
    capability=COUNTERS,
)
def test_anew(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    chain = lay(firewall, drop(7001), drop(7002))
    firewall.apply()
    _send(r, 7001, 7002)
    firewall.remove_rule(chain, drop(7001))
    firewall.apply()
    firewall.add_rule(chain, drop(7001))
    firewall.apply()
    found = dict(zip(firewall.rules(chain), (one.packets for one in firewall.counters(chain)), strict=True))
    assert found[drop(7001)] == 0, f"a rule was removed and added again, it has counted {found[drop(7001)]} packets"
    assert found[drop(7002)] == _TIMES, f"another rule has counted {found[drop(7002)]} packets, not {_TIMES}"
    _send(r, 7001)
    found = dict(zip(firewall.rules(chain), (one.packets for one in firewall.counters(chain)), strict=True))
    assert found[drop(7001)] == _TIMES, f"since it was added again, it has counted {found[drop(7001)]} packets"


@spec(
    "RL-13",
    "A rule that logs is asked about what it matches, counts it, and stands with its prefix.",
    level="full",
    capability=(*COUNTERS, Capability.LOG),
    systems=(LINUX,),
)
def test_log(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    log = Rule(Log("suite: a; {} $(x)"), protocol="udp", destination_ports="7001-7002")
    chain = lay(firewall, log, drop(7002))
    firewall.apply()
    _send(r, 7001, 7002, 7003)
    found = [one.packets for one in firewall.counters(chain)]
    assert found == [6, 3], f"6 packets were to be logged and 3 to be dropped, and counted are {found}"
    other = standing(firewall.fresh())
    assert other == model(firewall), f"a rule that logs is read as {other}"
