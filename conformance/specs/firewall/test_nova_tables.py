"""Nova's textual tables: what was written for Nova's IptablesManager does the same over every backend."""

from __future__ import annotations

from conformance import faults
from conformance.harness import FirewallUnderTest
from conformance.spec import spec
from conformance.specs.firewall.ground import model
from conformance.topology.routed import Flow, Routed
from conformance.topology.sandbox import Sandbox
from refnet.errors import InvalidArgument, RefnetError, Unsupported
from refnet.firewall import Capability

FILTER = Capability.FILTER
BOTH = (Capability.FILTER, Capability.FIREWALL_IPV6)
OPEN = Flow("a", "b", "udp", 7000)


class Interruption(Exception):
    """What leaves a block that is deferred."""


def at(port: int) -> Flow:
    """Return the flow to a port."""
    return OPEN.but(dport=port)


def drops(port: int) -> str:
    """Return the text of a rule that drops what goes to a port."""
    return f"-p udp -m udp --dport {port} -j DROP"


@spec(
    "NV-01",
    "Rules as text in a wrapped chain are asked where a rule jumps to it by $name, and in FORWARD by themselves.",
    capability=FILTER,
)
def test_chains(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    table.add_chain("inst-7")
    table.add_rule("inst-7", drops(7001))
    table.add_rule("FORWARD", drops(7002))
    firewall.apply()
    r.passes(at(7001), what="what a chain drops that no rule jumps to")
    r.stops(at(7002), control=OPEN, what="what a rule in FORWARD drops")
    table.add_rule("FORWARD", f"-d {r.address('b')} -j $inst-7")
    table.add_rule("FORWARD", "-d 192.0.2.1/32 -j $inst-7")
    firewall.apply()
    r.stops(at(7001), control=OPEN, what="what a chain drops that a rule jumps to by $name")


@spec("NV-02", "Rules that are added with top come before the others of their chain.", capability=FILTER)
def test_top(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    table.add_rule("FORWARD", "-p udp -j DROP")
    table.add_rule("FORWARD", "-p udp --dport 7000 -j ACCEPT", top=True)
    table.add_rule("FORWARD", "-p udp --dport 7001 -j ACCEPT")
    firewall.apply()
    r.passes(OPEN, what="what a rule accepts that was added with top")
    r.stops(at(7001), control=OPEN, what="what a rule accepts behind one that drops it")


@spec("NV-03", "A rule is removed by the text that it was added with, and by no other.", capability=FILTER)
def test_remove_rule(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    for port in (7001, 7002):
        table.add_rule("FORWARD", drops(port))
    firewall.apply()
    table.remove_rule("FORWARD", drops(7001))
    table.remove_rule("FORWARD", drops(7003))
    firewall.apply()
    r.passes(at(7001), what="what a rule dropped that was removed by its text")
    r.stops(at(7002), control=OPEN, what="what a rule drops that was not removed")


@spec(
    "NV-04",
    "A chain that is removed takes its rules with it, and those that jump to it, and no others.",
    capability=FILTER,
)
def test_remove_chain(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    for name, port in (("inst-7", 7001), ("inst-77", 7002)):
        table.add_chain(name)
        table.add_rule(name, drops(port))
        table.add_rule("FORWARD", f"-j ${name}")
    firewall.apply()
    for port in (7001, 7002):
        r.stops(at(port), control=OPEN, what="what a chain drops that a rule jumps to")
    table.remove_chain("inst-7")
    firewall.apply()
    r.passes(at(7001), what="what a chain dropped that was removed")
    r.stops(at(7002), control=OPEN, what="what a chain drops whose name begins with that of the removed one")
    table.add_chain("inst-7")
    firewall.apply()
    r.passes(at(7001), what="what a chain dropped that was removed and added again")


@spec(
    "NV-05",
    "Rules are removed by an expression that their lines match, and tell how many they were.",
    capability=FILTER,
)
def test_remove_regex(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    for port in (7001, 7002, 7003):
        table.add_rule("FORWARD", drops(port))
    firewall.apply()
    count = table.remove_rules_regex(r".*--dport 700[12] ")
    firewall.apply()
    for port in (7001, 7002):
        r.passes(at(port), what="what a rule dropped that was removed by an expression")
    r.stops(at(7003), control=OPEN, what="what a rule drops that the expression does not match")
    assert count == 2, f"2 rules were removed by an expression, and told are {count!r}"


@spec("NV-06", "A chain that is emptied has no rules any more, and is still there.", capability=FILTER)
def test_empty_chain(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    table.add_chain("inst-7")
    table.add_rule("inst-7", drops(7001))
    table.add_rule("FORWARD", "-j $inst-7")
    firewall.apply()
    table.empty_chain("inst-7")
    firewall.apply()
    r.passes(at(7001), what="what a chain dropped that was emptied")
    table.add_rule("inst-7", drops(7002))
    firewall.apply()
    r.stops(at(7002), control=OPEN, what="what a chain drops since it was emptied")


@spec(
    "NV-07",
    "Between defer_apply_on and defer_apply_off nothing is applied; the latter applies all of it.",
    capability=FILTER,
)
def test_defer(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    firewall.ipv4["filter"].add_rule("FORWARD", drops(7001))
    firewall.apply()
    firewall.defer_apply_on()
    with net.look.unwritten("between defer_apply_on and defer_apply_off"), faults.injected(0) as seen:
        firewall.ipv4["filter"].add_rule("FORWARD", drops(7002))
        firewall.apply()
    assert not seen.requests, f"between defer_apply_on and defer_apply_off, {seen.requests} programs were started"
    r.passes(at(7002), what="what is to be dropped, before defer_apply_off")
    firewall.defer_apply_off()
    r.stops(at(7002), control=OPEN, what="what is dropped, after defer_apply_off")


@spec("NV-08", "Tables of one family hold rules of that family only.", capability=BOTH)
def test_families(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b")
    firewall.ipv4["filter"].add_rule("FORWARD", drops(7001))
    firewall.ipv6["filter"].add_rule("FORWARD", drops(7002))
    firewall.ipv6["filter"].add_rule("FORWARD", f"-s {r.network('a', 6)} -p icmpv6 -m icmp6 --icmpv6-type 128 -j DROP")
    firewall.apply()
    for family, mine, other in ((4, 7001, 7002), (6, 7002, 7001)):
        control = OPEN.but(family=family)
        r.stops(control.but(dport=mine), control=control, what=f"what a rule of IPv{family} drops")
        r.passes(control.but(dport=other), what=f"IPv{family}, which a rule of the other family is not about")
    r.stops(Flow("a", "b", "icmp", family=6), control=OPEN.but(family=6), what="an ICMPv6 echo request")


@spec(
    "NV-09",
    "Translations as Nova writes them work: a port that is forwarded, and a floating address in both directions.",
    capability=(Capability.FILTER, Capability.NAT),
)
def test_nat(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    here, there = r.gateway("a"), r.address("b")
    nat = firewall.ipv4["nat"]
    nat.add_rule("PREROUTING", f"-d {here} -p tcp -m tcp --dport 8080 -j DNAT --to-destination {there}:80")
    nat.add_rule("PREROUTING", f"-d 192.0.2.9/32 -j DNAT --to-destination {there}")
    nat.add_rule("float-snat", f"-s {there}/32 -d {r.network('a')} -j SNAT --to-source 192.0.2.9")
    firewall.apply()
    seen = r.passes(Flow("a", "b", "tcp", 8080, destination=here), what="a port that is forwarded")
    assert (seen.destination, seen.dport) == (there, 80), f"it is forwarded, and b sees {seen}"
    seen = r.passes(Flow("a", "b", "udp", 53, destination="192.0.2.9"), what="a flow to a floating address")
    assert (seen.destination, seen.dport) == (there, 53), f"it is sent to a floating address, and b sees {seen}"
    seen = r.passes(Flow("b", "a", "udp", 53), what="a flow from who has a floating address")
    assert seen.source == "192.0.2.9", f"it is sent by who has a floating address, and a sees {seen}"


@spec("NV-10", "Unwrapped chains work as wrapped ones do, and are asked where a rule jumps to them.", capability=FILTER)
def test_unwrapped(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    table.add_chain("shared", wrap=False)
    table.add_rule("shared", drops(7001), wrap=False)
    table.add_rule("FORWARD", "-j shared", wrap=False)
    table.add_rule("nova-filter-top", drops(7002), wrap=False)
    firewall.apply()
    r.stops(at(7001), control=OPEN, what="what an unwrapped chain drops")
    r.stops(at(7002), control=OPEN, what="what a rule in nova-filter-top drops")


@spec("NV-11", "Text that is no rule, or names an unknown chain, is refused, and changes nothing.", capability=FILTER)
def test_bad_text(firewall: FirewallUnderTest, net: Sandbox) -> None:
    table = firewall.ipv4["filter"]
    table.add_rule("FORWARD", drops(7001))
    firewall.apply()
    before = model(firewall)
    cases = (
        ("FORWARD", "-p udp --dport 7002 -j DROP\n-A FORWARD -j ACCEPT"),
        ("FORWARD", "-p udp --dport 7002 -j DROP; reboot"),
        ("FORWARD", "-p udp --dport 70020 -j DROP"),
        ("FORWARD", "-p nosuch -j DROP"),
        ("FORWARD", "-s 2001:db8::1 -j DROP"),
        ("FORWARD", "-j $nosuch"),
        ("FORWARD", "-j"),
        ("FORWARD", "--nosuch-option 1 -j DROP"),
        ("FORWARD", "-i eth+ -j DROP"),
        ("FORWARD", "-m comment --comment 'not closed -j DROP"),
        ("nosuch", "-j DROP"),
    )
    with net.look.unwritten("text that is no rule"), faults.injected(0) as seen:
        for chain, text in cases:
            error: RefnetError | None = None
            try:
                table.add_rule(chain, text)
            except (InvalidArgument, Unsupported) as found:
                error = found
            assert error is not None, f"{text!r} in chain {chain} is not refused: it goes through"
            firewall.apply()
    assert not seen.requests, f"text that is no rule has had {seen.requests} programs started"
    found_model = model(firewall)
    assert found_model == before, f"text that is no rule has changed the model: {found_model}"


@spec(
    "NV-12",
    "When an exception leaves deferred(), the tables of text are as before it, too.",
    capability=FILTER,
)
def test_exception(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    table.add_rule("FORWARD", drops(7001))
    firewall.apply()
    try:
        with firewall.deferred():
            table.add_chain("inst-7")
            table.add_rule("inst-7", drops(7002))
            table.add_rule("FORWARD", "-j $inst-7")
            table.remove_rule("FORWARD", drops(7001))
            raise Interruption
    except Interruption:
        pass
    firewall.apply()
    r.stops(at(7001), control=OPEN, what="what a rule drops whose removal was taken back")
    r.passes(at(7002), what="what a chain drops that was taken back")
    table.add_chain("inst-7")
    table.add_rule("inst-7", drops(7003))
    table.add_rule("FORWARD", "-j $inst-7")
    table.remove_rule("FORWARD", drops(7001))
    firewall.apply()
    r.passes(at(7001), what="what a rule dropped that was removed in the end")
    r.passes(at(7002), what="what a chain was to drop before it was taken back")
    r.stops(at(7003), control=OPEN, what="what a chain drops that was added again")


@spec(
    "NV-13",
    "defer_apply_on is a switch and no count: called twice, one defer_apply_off applies, and so does apply from then "
    "on.",
    capability=FILTER,
)
def test_switch(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    firewall.defer_apply_on()
    firewall.defer_apply_on()
    table.add_rule("FORWARD", drops(7001))
    firewall.apply()
    r.passes(at(7001), what="what is to be dropped, after defer_apply_on twice")
    firewall.defer_apply_off()
    r.stops(at(7001), control=OPEN, what="what is dropped, after defer_apply_on twice and defer_apply_off once")
    table.add_rule("FORWARD", drops(7002))
    firewall.apply()
    r.stops(at(7002), control=OPEN, what="what apply has to drop, after defer_apply_off")
    firewall.defer_apply_off()
    table.add_rule("FORWARD", drops(7003))
    firewall.apply()
    r.stops(at(7003), control=OPEN, what="what apply has to drop, after a defer_apply_off too many")
