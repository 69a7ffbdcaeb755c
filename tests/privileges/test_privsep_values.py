"""What goes between the daemon and an unprivileged process: values and errors, as plain data and back."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import ipaddress
import typing
from pathlib import Path
from types import UnionType
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refnet import errors
from refnet.dhcp import DhcpManager, DhcpNetwork, Dns, Host, Lease, Option, Range, Route, RouterAdvertisement, Status
from refnet.errors import InvalidArgument, RefnetError
from refnet.firewall import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Answer,
    Counter,
    DhcpIsolation,
    Dnat,
    FirewallManager,
    Jump,
    Log,
    Masquerade,
    Not,
    PortGuard,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    Standing,
)
from refnet.firewall.model import Hook, Table
from refnet.netdev import Address, Capability, Device, Kind, LinkState, NetDevDriver, OvsPort, VirtualFunction, Vlan
from refnet.netdev.model import VlanMode
from refnet.privsep import encoding
from refnet.privsep.daemon import methods
from refnet.privsep.encoding import decode, encode, encode_error

MAC = "52:54:00:12:34:56"

VALUES: list[Any] = [
    Device(
        "tap0",
        Kind.TAP,
        MAC,
        1500,
        True,
        False,
        "br0",
        Vlan(7, None),
        None,
        False,
        65534,
        None,
        (
            Address(ipaddress.ip_interface("192.0.2.1/24"), "192.0.2.255", "tap0:1"),
            Address(ipaddress.ip_interface("fe80::1/64"), None, None, 3600, 0),
        ),
    ),
    OvsPort("tap1", "br-int", "internal", None, 5, (7, 8), VlanMode.TRUNK, 1400, "b", "i", MAC, "g", "active", "why"),
    VirtualFunction("eth2", 3, MAC, 100, LinkState.AUTO, None, True),
    *(
        Rule(action, protocol="tcp", source=Not("192.0.2.0/24", "198.51.100.7"), limit="10/minute", comment="a comment")
        for action in (ACCEPT, DROP, RETURN, Reject(Answer.TCP_RESET), Jump("web"), Log("said: "), SetMark(1, 3))
    ),
    Rule(Snat("192.0.2.7", (1024, 2048)), protocol="udp", source_ports=[22, "8000-8010"], out_interface="eth0"),
    Rule(Dnat("2001:db8::7"), in_interface=Not("eth0", "eth1"), source_mac=MAC),
    Rule(Redirect(53), protocol="udp", destination_ports=53),
    Rule(Masquerade(), family=4, states={"established", "related"}, mark=(1, 0xFF)),
    Rule(CHECKSUM_FILL, protocol="udp", destination="2001:db8::/32"),
    Rule(ACCEPT, protocol="icmp", icmp_type="3/4"),
    PortGuard("tap0", MAC),
    PortGuard("tap0", MAC, ()),
    PortGuard("tap0", MAC, ["192.0.2.7", "2001:db8::/64"], dhcp_server=True, router=True, neighbour_targets=True),
    DhcpIsolation("eth0", "192.0.2.1"),
    (Standing(Table.NAT, "out", Hook.POSTROUTING, (Rule(DROP), "words of the tool")),),
    (Counter(1, 2**63), Counter(0, -5)),
    DhcpNetwork(
        "br0",
        ["192.0.2.1/24", "2001:db8::1/64"],
        ranges=[Range("192.0.2.100", "192.0.2.199"), Range("2001:db8::100", "2001:db8::1ff")],
        hosts=Host([MAC], ["192.0.2.10"], name="web", options={"mtu": 1400, 43: b"\1\4\xff\0"}, lease_time=600),
        gateway="192.0.2.1",
        dns=Dns(["198.51.100.53"]),
        dns_servers=(),
        domain="example.org",
        search=["example.org", "example.net"],
        mtu=1400,
        routes=Route("198.51.100.0/24", "192.0.2.254"),
        lease_time=None,
        options={252: "x", 44: None},
        ipv6="stateful",
        router_advertisement=RouterAdvertisement(),
        lease_events="/run/events.sock",
        lease_store=False,
    ),
    DhcpNetwork("br0", "192.0.2.1/24", dns=None),
    Host(client_id="01:02:03", is_ignored=True),
    (Lease(ipaddress.ip_address("192.0.2.10"), MAC, None, "web", 1790000000.0),),
    Status(False, None, "it was stopped"),
    Option(252, b"x", True),
    frozenset({Capability.OVS, Capability.TAP}),
    {"a": [1, (2, {3})], None: Path("/run/x"), 5: frozenset()},
    (None, True, 0, -(2**63), 2**64, -(10**40), 1.5, "", "ä€\n", "\ud800", b"\xff", ipaddress.ip_network("::/0")),
]


def over(plain: Any) -> Any:
    """Send plain data as oslo.privsep does."""
    sent = msgpack.packb(plain, use_bin_type=True, unicode_errors="surrogateescape")
    return msgpack.unpackb(sent, use_list=False, raw=False, strict_map_key=False, unicode_errors="surrogateescape")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    back = decode(over(encode(value)))
    assert back == value
    assert type(back) is type(value)
    if not isinstance(value, frozenset):  # which has no order
        assert repr(back) == repr(value), "equal, and of other types within"


def test_each_class_of_the_interfaces_is_among_them() -> None:
    tested = {name for value in VALUES for name in _classes_in(encode(value))}
    # These have parts that are tested with them, or are only words in a call.
    apart = {"dhcp.Forced", "firewall.Edit", "dhcp.Capability", "firewall.Capability"}
    assert set(encoding._classes()) - tested == apart


def _classes_in(plain: Any) -> set[str]:
    if not isinstance(plain, tuple):
        return set()
    found = {plain[1]} if plain and plain[0] in ("enum", "named", "object") else set()
    return found.union(*map(_classes_in, plain))


_texts = st.text() | st.binary() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()


@given(
    st.recursive(_texts, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner))
)
def test_any_plain_value_comes_back(value: Any) -> None:
    assert decode(over(encode(value))) == value


_marks = st.sampled_from([*encoding._MARKS, "os", ""]) | st.sampled_from([*encoding._classes()]) | _texts


@given(
    st.recursive(_marks, lambda inner: st.tuples(st.sampled_from([*encoding._MARKS]), inner, inner) | st.tuples(inner))
)
def test_whatever_is_sent_is_a_value_or_refused(plain: Any) -> None:
    with contextlib.suppress(RefnetError):
        decode(plain)


@pytest.mark.parametrize(
    "plain",
    [
        (),
        ("system", "id"),
        ("object", "netdev.Device", "name", "x"),
        ("object", "subprocess.Popen", "args", "id"),
        ("object", "netdev.Kind", "value", "tap"),
        ("object", "dhcp.Host"),
        ("object", "firewall.Rule", "action", 5),
        ("enum", "netdev.Kind", "no such"),
        ("enum", "dhcp.Host", "x"),
        ("named", "netdev.Kind", "tap"),
        ("address", "IPv4Address", "256.0.0.1"),
        ("address", "os", "256.0.0.1"),
        ("address", "IPv6Network", "fe80::%1\n-D INPUT 1\n#"),
        ("address", "IPv6Interface", "fe80::1%eth0/64"),
        ("address", "IPv6Address", "fe80::1%1\n#"),
        ("int", "zz"),
        ("dict", 1),
        ("dict", ("list",), 1),
        ("error", "Exception", ("tuple",), ()),
    ],
)
def test_what_is_no_value_is_refused(plain: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode(plain)


def test_what_the_interfaces_do_not_speak_of_is_not_sent() -> None:
    for value in (object(), print, Exception(), [object()], {"a": 1j}, int):
        with pytest.raises(InvalidArgument):
            encode(value)


# -- errors -----------------------------------------------------------------------------------------------

FACTS = {"operation": "create_bridge", "device": "br0", "errno": 17, "detail": "the kernel's words"}
OWN: dict[str, dict[str, Any]] = {
    "AlreadyEnslaved": {"master": "br1"},
    "Unsupported": {"capability": "vlan"},
    "SwitchUnreachable": {"capability": "ovs"},
    "RuleError": {"rule": "-j DROP"},
    "AnchorNotReferenced": {"lines": ["a", "b"]},
    "TeardownFailed": {"errors": [errors.NoSuchDevice("gone", device="x"), errors.RuleError("no", rule="r")]},
    "LeaseOfAnother": {"holder": MAC},
    "ToolMissing": {"tool": "nft"},
}


@pytest.mark.parametrize("name", sorted(encoding._errors()))
def test_an_error_comes_back_whole(name: str) -> None:
    kind = encoding._errors()[name]
    if kind is errors.CommandFailed:
        error: RefnetError = errors.CommandFailed(["nft", "-f"], None, "out", "err", time_limit=2.5)
    else:
        error = kind("what was wrong", **FACTS, **OWN.get(name, {}))
    back = decode(over(encode_error(error)))
    assert type(back) is kind
    assert (str(back), back.args, repr(vars(back))) == (str(error), error.args, repr(vars(error)))


def test_an_error_of_a_driver_alone_becomes_the_one_that_it_is_a_kind_of() -> None:
    class Odd(errors.KernelRefused):
        """A class that the other side has not."""

    error = Odd("words", device="br0")
    error.more = object()  # type: ignore[attr-defined]
    back = decode(over(encode_error(error)))
    assert (type(back), back.message, back.device) == (errors.KernelRefused, "words", "br0")
    assert back.more.startswith("<object object at")


# -- the table is whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize("interface", [NetDevDriver, FirewallManager, DhcpManager])
def test_all_that_methods_return_can_be_sent(interface: type) -> None:
    for name in sorted(methods(interface)):
        hints = typing.get_type_hints(getattr(interface, name))
        for kind in _leaves(hints.get("return")):
            assert kind in encoding._names() or kind in encoding._ADDRESSES.values() or kind in _PLAIN, (name, kind)


_PLAIN = {str, int, float, bool, type(None)}


def _leaves(hint: Any) -> list[Any]:
    origin = typing.get_origin(hint)
    if hint is None:
        return [type(None)]
    if origin in (tuple, frozenset, typing.Union, UnionType):
        return [leaf for part in typing.get_args(hint) if part is not ... for leaf in _leaves(part)]
    if origin is not None or hint is Any or (inspect.isclass(hint) and dataclasses.is_dataclass(hint) is None):
        return []  # iterators and mappings: of the manager in this process
    return [hint]
