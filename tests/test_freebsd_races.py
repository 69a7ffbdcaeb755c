"""The FreeBSD driver where others act at the same time, and on releases that answer otherwise."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import replay
from freebsd_scenes.devices import OF_SWITCHES

from refnet.errors import (
    AlreadyExists,
    DumpInterrupted,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    Unsupported,
)
from refnet.netdev.driver import Capability, Kind
from refnet.netdev.freebsd import FreeBSDNetDevDriver, base, devices, listing
from refnet.netdev.freebsd.tools import Command, Node
from refnet.process import Completed


class Answers(replay.Stepwise):
    """Answers by what comes next, checking only the beginning of what is asked."""

    def __init__(self, *answers: tuple[str, str, int], nodes: frozenset[str] = frozenset()) -> None:
        self.rest = list(answers)
        self.asked: list[str] = []
        self.there = nodes
        self.links: frozenset[str] = frozenset()

    def run(self, argv: Command) -> Completed:
        command = shlex.join(argv)
        self.asked.append(command)
        assert self.rest, f"nothing more is expected, and the driver asks: {command}"
        expected, said, status = self.rest.pop(0)
        assert command.startswith(expected), f"{expected} is expected, and the driver asks: {command}"
        return Completed(argv, status, "" if status else said, said if status else "")

    def nodes(self) -> frozenset[str]:
        return self.there

    def node(self, name: str) -> Node | None:
        return Node(66, 68, 0o600, name in self.links) if name in self.there | self.links else None


LOOK = "ifconfig -D -L -f inet:cidr,inet6:cidr,ether:colon -a"


def shown(name: str, kind: str, *more: str, flags: str = "UP,BROADCAST,RUNNING", driver: str | None = None) -> str:
    """Return what ifconfig shows of a device."""
    lines = [f"{name}: flags=8843<{flags}> metric 0 mtu 1500", "ether 02:00:00:00:00:01", *more, f"groups: {kind}"]
    return "\n\t".join([*lines, f"drivername: {driver or f'{kind}0'}"]) + "\n"


def look(*blocks: str) -> tuple[str, str, int]:
    return LOOK, "".join(blocks), 0


EM0 = shown("em0", "mine", driver="em0")
FREE, JOINED = shown("br0", "bridge"), shown("br0", "bridge", "member: em0 flags=143<LEARNING>")
BUSY = ("ifconfig -n br0 addm em0", "ifconfig: BRDGADD em0: Device busy", 1)


# -- others -------------------------------------------------------------------------------------------


def test_a_port_that_somebody_else_adds_meanwhile() -> None:
    tools = Answers(look(EM0, FREE), BUSY, look(EM0, JOINED))
    FreeBSDNetDevDriver(tools).add_bridge_port("br0", "em0")
    assert not tools.rest
    tools = Answers(look(EM0, FREE), BUSY, look(EM0, JOINED))
    FreeBSDNetDevDriver(tools).ensure_bridge("br0", "em0")
    assert not tools.rest


def test_a_refusal_that_nobody_elses_doing_explains() -> None:
    tools = Answers(look(EM0, FREE), BUSY, look(EM0, FREE))
    with pytest.raises(KernelRefused, match="Device busy"):
        FreeBSDNetDevDriver(tools).add_bridge_port("br0", "em0")
    assert not tools.rest
    tools = Answers(look(EM0, FREE), BUSY, look(EM0, FREE))
    with pytest.raises(KernelRefused, match="Device busy"):
        FreeBSDNetDevDriver(tools).ensure_bridge("br0", "em0")


def test_a_bridge_that_goes_meanwhile() -> None:
    gone = ("ifconfig -n br0 addm em0", "ifconfig: interface br0 does not exist", 1)
    with pytest.raises(NoSuchDevice):
        FreeBSDNetDevDriver(Answers(look(EM0, FREE), gone, look(EM0))).add_bridge_port("br0", "em0")
    tools = Answers(
        look(EM0, FREE),
        gone,
        look(EM0),
        ("ifconfig bridge create ether 02:00:00:00:00:01 name br0", "br0\n", 0),
        ("ifconfig -n br0 addm em0", "", 0),
    )
    FreeBSDNetDevDriver(tools).ensure_bridge("br0", "em0")
    assert not tools.rest


def test_a_bridge_that_comes_meanwhile() -> None:
    tools = Answers(
        look(),
        ("ifconfig bridge create", "bridge7\n", 1),
        ("ifconfig -n bridge7 destroy", "", 0),
        look(FREE),
    )
    tools.run = _with_clone(tools, "bridge7")  # type: ignore[method-assign]
    FreeBSDNetDevDriver(tools).ensure_bridge("br0")
    assert not tools.rest


def _with_clone(tools: Answers, clone: str):  # type: ignore[no-untyped-def]
    """Have a create fail at the name, with the clone's own name on standard output."""
    plain = tools.run

    def run(argv: Command) -> Completed:
        result = plain(argv)
        failed = result.status and "create" in argv
        words = "ifconfig: ioctl SIOCSIFNAME (set name): File exists"
        return Completed(argv, 1, f"{clone}\n", words) if failed else result

    return run


def test_a_bridge_that_comes_and_goes_for_ever() -> None:
    gone = ("ifconfig -n br0 addm em0", "ifconfig: interface br0 does not exist", 1)
    there = [look(EM0, FREE), gone]
    other = [look(EM0, shown("br0", "bridge", flags="UP")), gone]
    with pytest.raises(KernelRefused, match="came and went"):
        FreeBSDNetDevDriver(Answers(*(there + other) * base.ATTEMPTS)).add_bridge_port("br0", "em0")


def test_a_vlan_that_somebody_else_makes_meanwhile() -> None:
    taken = ("ifconfig vlan create vlan 5 vlandev em0", "ifconfig: interface vlan already exists", 1)
    vlan = shown("vlan5", "vlan", "vlan: 5 vlanproto: 802.1q vlanpcp: 0 parent interface: em0")
    other = vlan.replace("vlan5:", "other:")
    assert FreeBSDNetDevDriver(Answers(look(EM0), taken, look(EM0, vlan))).ensure_vlan(5, "em0") == "vlan5"
    with pytest.raises(AlreadyExists, match="as device other"):
        FreeBSDNetDevDriver(Answers(look(EM0), taken, look(EM0, other))).ensure_vlan(5, "em0")
    with pytest.raises(KernelRefused, match="came and went"):
        FreeBSDNetDevDriver(Answers(*[look(EM0), taken] * base.ATTEMPTS)).ensure_vlan(5, "em0")


def test_a_parent_that_goes_meanwhile() -> None:
    gone = ("ifconfig vlan create vlan 5 vlandev em0", "ifconfig: SIOCIFCREATE2 (vlan): Device not configured", 1)
    with pytest.raises(NoSuchDevice) as caught:
        FreeBSDNetDevDriver(Answers(look(EM0), gone, look())).ensure_vlan(5, "em0")
    assert caught.value.device == "em0"


def test_a_device_that_somebody_else_deletes_meanwhile() -> None:
    one = "ifconfig -D -L -f inet:cidr,inet6:cidr,ether:colon -n br0"
    gone = ("ifconfig -n br0 destroy", "ifconfig: interface br0 does not exist", 1)
    FreeBSDNetDevDriver(Answers((one, FREE, 0), gone)).delete_net_dev("br0")
    FreeBSDNetDevDriver(Answers((one, FREE, 0), gone)).delete_bridge("br0")
    left = ("ifconfig -n br0 deletem em0", "ifconfig: BRDGDEL em0: No such file or directory", 1)
    FreeBSDNetDevDriver(Answers((one, JOINED, 0), left)).remove_bridge_port("br0", "em0")


def test_a_pairs_number_that_is_in_use_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.random, "randrange", lambda _: 4711)
    taken = ("ifconfig epair0 create", "ifconfig: interface epair0 already exists", 1)
    tools = Answers(
        look(),
        taken,
        look(),
        ("ifconfig epair4711 create", "epair4711a\n", 0),
        ("ifconfig -n epair4711a name v0", "v0\n", 0),
        ("ifconfig -n epair4711b name v1", "v1\n", 0),
    )
    FreeBSDNetDevDriver(tools).create_veth_pair("v0", "v1")
    assert not tools.rest


def test_a_pairs_name_that_is_taken_meanwhile() -> None:
    tools = Answers(
        look(),
        ("ifconfig epair0 create", "epair0a\n", 0),
        ("ifconfig -n epair0a name v0", "ifconfig: ioctl SIOCSIFNAME (set name): File exists", 1),
        ("ifconfig -n epair0b destroy", "", 0),
        look(shown("v0", "bridge")),
    )
    with pytest.raises(Exception, match="v0 is of kind bridge"):
        FreeBSDNetDevDriver(tools).create_veth_pair("v0", "v1")
    assert not tools.rest


def test_a_taps_number_that_is_in_use_elsewhere() -> None:
    tools = Answers(
        look(),
        ("ifconfig tap0 create name tap5 link0", "tap5\n", 0),
        nodes=frozenset({"tap5"}),
    )
    FreeBSDNetDevDriver(tools).create_tap_dev("tap5")
    assert not tools.rest


TRAPPED = (
    ("ifconfig tap0 create name tap5 link0", "tap5\n", 0),
    ("ifconfig -n tap5 destroy", "", 0),
)


class Passing(Answers):
    """Another network stack's tap5 has gone between the look at /dev and the birth of this one: its name is free."""

    def run(self, argv: Command) -> Completed:
        if argv[-1] == "destroy":
            self.there = self.links = frozenset()
        return super().run(argv)


def test_a_taps_link_that_is_a_trap_is_taken_away_and_the_tap_made_with_its_own_number() -> None:
    tools = Passing(look(), *TRAPPED, look(), ("ifconfig tap5 create link0", "", 0), nodes=frozenset({"tap5"}))
    tools.links = frozenset({"tap5"})
    FreeBSDNetDevDriver(tools).create_tap_dev("tap5")
    assert not tools.rest


def test_a_taps_link_that_is_a_trap_again_and_again_is_an_error() -> None:
    tools = Answers(*[look(), *TRAPPED] * base.ATTEMPTS, nodes=frozenset({"tap5"}))
    tools.links = frozenset({"tap5"})
    with pytest.raises(KernelRefused, match=f"came and went {base.ATTEMPTS} times"):
        FreeBSDNetDevDriver(tools).create_tap_dev("tap5")
    assert not tools.rest


def test_a_device_that_goes_while_all_are_shown() -> None:
    gone = (LOOK, "ifconfig: get original name: Device not configured", 1)
    assert FreeBSDNetDevDriver(Answers(gone, look(EM0))).device("em0").kind is Kind.ETHERNET
    with pytest.raises(DumpInterrupted):
        FreeBSDNetDevDriver(Answers(*[gone] * base.ATTEMPTS)).device("em0")


# -- other releases -----------------------------------------------------------------------------------


USAGE = "ifconfig: illegal option -- D\nusage: ifconfig [-f type:format] …"
PLAIN = "ifconfig -L -f inet:cidr,inet6:cidr,ether:colon"


def without_driver_names(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if "drivername" not in line)


def test_an_ifconfig_that_tells_no_drivers_name_is_asked_once() -> None:
    found = without_driver_names(FREE + EM0)
    tools = Answers(
        (LOOK, USAGE, 1), (f"{PLAIN} -a", found, 0), (f"{PLAIN} -a", found, 0), (f"{PLAIN} -n br0", found, 0)
    )
    driver = FreeBSDNetDevDriver(tools)
    assert driver.device("br0").kind is Kind.BRIDGE
    assert driver.device("em0").kind is Kind.ETHERNET
    assert driver.device_exists("br0")
    assert not tools.rest


def test_several_routing_tables() -> None:
    """Every table is looked at, and a route is put back into its own."""
    address = "inet 192.0.2.5/24 broadcast 192.0.2.255"
    entry = (
        '{"destination": "10.0.0.0/8", "gateway": "192.0.2.2", "flags": "UGS", "interface-name": "em0", "mtu": 1500}'
    )
    table = (
        '{"statistics": {"route-information": {"route-table": {"rt-family": [{"address-family": "Internet", '
        f'"rt-entry": [{entry}]}}]}}}}}}}}'
    )
    tools = Answers(
        ("ifconfig -D -L", shown("em0", "mine", address, driver="em0"), 0),
        ("sysctl -n net.fibs", "2\n", 0),
        ("netstat -rnW --libxo json", "", 0),
        ("netstat -rnW -F 1 --libxo json", table, 0),
        ("ifconfig -n em0 inet 192.0.2.1/24 alias", "", 0),
        ("ifconfig -n em0 inet 192.0.2.5/24 alias", "", 0),
        ("route -n add -inet -fib 1 -net 10.0.0.0/8 192.0.2.2", "", 0),
    )
    FreeBSDNetDevDriver(tools).ensure_gateway_address("em0", "192.0.2.1/24")
    assert not tools.rest


FACTS = {
    "kern.features.inet6": "1",
    "kern.module_path": "",
    "security.jail.jailed": "0",
    "security.jail.vnet": "0",
    "net.link.tap.user_open": "0",
}
CLONERS = "bridge vlan tap epair"
NEW, OLD = (
    "Enable legacy devfs interface creation for all users",
    "Allow user to open /dev/tap (based on node permissions)",
)


def probe(
    capability: Capability, cloners: str = CLONERS, description: str = NEW, facts: dict[str, str] | None = None
) -> str | None:
    known = "".join(f"{key}: {value}\n" for key, value in (FACTS | (facts or {})).items() if value != "none")
    tools = Answers(
        ("ifconfig -C", f"{cloners}\n", 0), ("sysctl -i ", known, 0), ("sysctl -idn ", f"{description}\n", 0)
    )
    return FreeBSDNetDevDriver(tools).probe(capability)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("capability", [one for one in Capability if one not in OF_SWITCHES])
def test_probes(capability: Capability) -> None:
    if capability in devices.LACKING:
        assert FreeBSDNetDevDriver(Answers()).probe(capability) == devices.LACKING[capability]
    else:
        assert probe(capability) is None


@pytest.mark.usefixtures("root")
def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert "if_bridge" in (probe(Capability.BRIDGE, "vlan") or "")
    (tmp_path / "if_bridge.ko").touch()
    path = {"kern.module_path": f"/nowhere;{tmp_path}"}
    assert probe(Capability.BRIDGE, "vlan", facts=path) is None
    jailed = path | {"security.jail.jailed": "1", "security.jail.vnet": "1"}
    assert "on the host" in (probe(Capability.BRIDGE, "vlan", facts=jailed) or "")
    assert probe(Capability.BRIDGE, facts=jailed) is None
    assert "vnet" in (probe(Capability.BRIDGE, facts={"security.jail.jailed": "1"}) or "")
    assert probe(Capability.IPV6, facts={"kern.features.inet6": "none"}) == "the kernel has no IPv6"


@pytest.mark.usefixtures("root")
def test_who_may_open_a_tap_is_told_by_what_the_sysctl_is_for() -> None:
    assert probe(Capability.TAP_OWNER, description=NEW) is None
    assert "user_open is not 1" in (probe(Capability.TAP_OWNER, description=OLD) or "")
    assert probe(Capability.TAP_OWNER, description=OLD, facts={"net.link.tap.user_open": "1"}) is None
    unloaded = probe(Capability.TAP_OWNER, description="", facts={"net.link.tap.user_open": "none"})
    assert "kldload if_tuntap" in (unloaded or "")


def test_without_root_nothing_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.os, "geteuid", lambda: 1000)
    assert probe(Capability.VETH) == "only root can make an epair(4) device"


@pytest.mark.usefixtures("root")
def test_an_owner_where_only_root_may_open_a_tap() -> None:
    known = "".join(f"{key}: {value}\n" for key, value in FACTS.items())
    tools = Answers(("ifconfig -C", CLONERS, 0), ("sysctl -i ", known, 0), ("sysctl -idn ", OLD, 0))
    with pytest.raises(Unsupported, match="user_open") as caught:
        FreeBSDNetDevDriver(tools).create_tap_dev("tap5", owner=1)
    assert caught.value.capability is Capability.TAP_OWNER


def test_a_tap_may_not_take_the_name_of_anothers_node() -> None:
    for name in ("tun5", "vmnet0"):
        with pytest.raises(InvalidArgument, match="node"):
            FreeBSDNetDevDriver(Answers(look())).create_tap_dev(name)


# -- locks --------------------------------------------------------------------------------------------


def test_two_names_are_locked_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []

    class Lock:
        def __init__(self, name: str, **_: object) -> None:
            self.name = name

        def __enter__(self) -> None:
            held.append(self.name)

        def __exit__(self, *_: object) -> None:
            held.append(f"-{self.name}")

    monkeypatch.setattr(base.locks, "held", Lock)
    monkeypatch.setattr(base, "_stack", lambda: 3)
    for names in (("b", "a"), ("a", "b", "a")):
        held.clear()
        with base.alone(*names):
            pass
        assert held == ["netdev-3-a", "netdev-3-b", "-netdev-3-b", "-netdev-3-a"]


def test_the_command_for_one_device_cannot_be_taken_for_options() -> None:
    assert listing.command("-a")[-3:] == ("-n", "--", "-a")
    assert listing.command("--help", driver_names=False)[-2:] == ("--", "--help")
    assert listing.command("em0")[-2:] == ("-n", "em0")
