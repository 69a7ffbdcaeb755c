"""Nova's textual tables: what was written for Nova's IptablesManager does the same over every backend."""

from __future__ import annotations

import ipaddress

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


@spec(
    "NV-14",
    "Rules of table mangle give marks that rules of the filter ask for.",
    level="full",
    capability=(Capability.FILTER, Capability.MARK),
)
def test_mangle(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    mangle = firewall.ipv4["mangle"]
    # Nova wraps no such chain of this table.
    mangle.add_rule("PREROUTING", "-p udp -m udp --dport 7001 -j MARK --set-xmark 0x57/0xff", wrap=False)
    mangle.add_rule("PREROUTING", "-p udp -m udp --dport 7002 -j MARK --set-mark 0x58", wrap=False)
    firewall.ipv4["filter"].add_rule("FORWARD", "-m mark --mark 0x57/0xff -j DROP")
    firewall.apply()
    r.passes(at(7002), what="what has another mark")
    r.stops(at(7001), control=OPEN, what="what is dropped by its mark")


@spec(
    "NV-15",
    "A guest's security group as Nova writes it lets in what it names, and answers, and nothing else; when it is "
    "written anew, what it names then.",
    capability=(Capability.FILTER, Capability.CONNECTION_STATE),
)
def test_security_group(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "a", "b", families=(4,))
    table = firewall.ipv4["filter"]
    table.add_chain("sg-fallback")
    table.add_rule("sg-fallback", "-j DROP")

    def write(*rules: str) -> None:
        table.add_chain("inst-7")
        table.add_rule("local", f"-d {r.address('b')} -j $inst-7")
        known = ("-m state --state INVALID -j DROP", "-m state --state ESTABLISHED,RELATED -j ACCEPT")
        for text in (*known, *rules, "-j $sg-fallback"):
            table.add_rule("inst-7", text)

    ports = f"-j ACCEPT -p udp -m multiport --dports 7000:7002 -s {r.network('a')}"
    write(ports, "-j ACCEPT -p tcp --dport 22 -s 0.0.0.0/0", "-j ACCEPT -p icmp -m icmp --icmp-type 8/0 -s 0.0.0.0/0")
    firewall.apply()
    for allowed in (OPEN, at(7002), Flow("a", "b", "tcp", 22), Flow("a", "b", "icmp")):
        r.passes(allowed, what="what a security group names")
    for other in (at(7003), Flow("a", "b", "tcp", 23), Flow("a", "b", "icmp", icmp_type=13)):
        r.stops(other, control=OPEN, what="what no rule of a security group lets in")
    asked = Flow("b", "a", "udp", 53, sport=5001)
    r.passes(asked, what="what a guest asks")
    r.passes(asked.back(), what="an answer to what a guest has asked")
    table.remove_chain("inst-7")
    write(f"-j ACCEPT -p udp --dport 7003 -s {r.address('a')}/32")
    firewall.apply()
    r.passes(at(7003), what="what a security group names since it was written anew")
    r.stops(at(7002), control=at(7003), what="what a security group named before it was written anew")


@spec(
    "NV-16",
    "Nova's rules for a network and a floating address are taken by every backend: what leaves gets the address of "
    "this host or the floating one, what stays inside keeps its own, and what comes to the floating address arrives.",
    capability=(Capability.FILTER, Capability.NAT),
)
def test_network_host(firewall: FirewallUnderTest, net: Sandbox) -> None:
    r = Routed(net, "b", "a", "c", families=(4,))
    own, floating = "192.0.2.1", "192.0.2.9"
    inside = ipaddress.ip_network(r.network("a")).supernet(1)
    fixed = r.address("a")
    assert ipaddress.ip_address(r.address("c")) in inside
    assert ipaddress.ip_address(r.address("b")) not in inside
    nat = firewall.ipv4["nat"]
    nat.add_rule("snat", f"-s {inside} -d 0.0.0.0/0 -j SNAT --to-source {own}")
    nat.add_rule("POSTROUTING", f"-s {inside} -d {inside} -m conntrack ! --ctstate DNAT -j ACCEPT")
    rules = (
        ("float-snat", f"-s {fixed} -j SNAT --to {floating}"),
        ("PREROUTING", f"-d {floating} -j DNAT --to {fixed}"),
        ("OUTPUT", f"-d {floating} -j DNAT --to {fixed}"),
        ("POSTROUTING", f"-s {fixed} -m conntrack --ctstate DNAT -j SNAT --to-source {floating}"),
    )
    for chain, text in rules:
        nat.add_rule(chain, text)
    firewall.apply()
    to_floating = Flow("b", "a", "udp", 53, destination=floating)
    for sender, receiver, source in (
        ("c", "b", own),
        ("a", "b", floating),
        ("a", "c", fixed),
        ("c", "a", r.address("c")),
    ):
        seen = r.passes(Flow(sender, receiver, "udp", 53), what="a flow from inside")
        assert seen.source == source, f"{sender} sends to {receiver}, which is to see {source}, and sees {seen}"
    seen = r.passes(to_floating, what="a flow to a floating address")
    assert seen.destination == fixed, f"it is sent to a floating address, and a sees {seen}"
    for chain, text in rules:
        nat.remove_rule(chain, text)
    firewall.apply()
    seen = r.passes(Flow("a", "b", "udp", 53), what="a flow from who had a floating address")
    assert seen.source == own, f"it is sent by who had a floating address, and b sees {seen}"
    r.stops(to_floating, control=Flow("b", "a", "udp", 53), what="a flow to an address that floats no more")
