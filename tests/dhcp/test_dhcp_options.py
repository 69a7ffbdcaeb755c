"""DHCP options: their octets, against the examples of the RFCs, and back."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refnet.dhcp import Forced, Option, Route
from refnet.dhcp.option_table import CODES, DEFINITIONS, OWN, OWN_NAMES
from refnet.dhcp.options import MAX_DATA, decode_names, decode_routes, decoded, encode_search, encoded, name
from refnet.errors import InvalidArgument

V4: list[tuple[Any, Any, str]] = [
    ("netmask", "255.255.255.0", "ffffff00"),
    ("time-offset", -3600, "fffff1f0"),
    ("router", "192.0.2.1", "c0000201"),
    (6, ["192.0.2.1", ipaddress.ip_address("192.0.2.2")], "c0000201c0000202"),
    ("hostname", "web", "776562"),
    ("domain-name", "Example.ORG.", "6578616d706c652e6f7267"),
    ("root-path", "/srv/a,b", "2f7372762f612c62"),
    ("ip-forward-enable", True, "01"),
    ("non-local-source-routing", False, "00"),
    ("policy-filter", ["192.0.2.0", "255.255.255.0"], "c0000200ffffff00"),
    ("default-ttl", 64, "40"),
    ("mtu-plateau", [68, 1500], "004405dc"),
    ("mtu", 1400, "0578"),
    ("26", 1400, "0578"),
    ("arp-timeout", 2**32 - 1, "ffffffff"),
    ("NTP-Server", ["192.0.2.123"], "c000027b"),
    (252, "http://wpad/", "687474703a2f2f777061642f"),
    ("captive-portal", "https://p/", "68747470733a2f2f702f"),
    ("ipv6-only", 1800, "00000708"),
    # RFC 3361, 3.1 and 3.2: an octet says what follows.
    ("sip-server", ["192.0.2.7", "192.0.2.8"], "01c0000207c0000208"),
    ("sip-server", "example.com", "00076578616d706c6503636f6d00"),
    # RFC 3397, 4.
    (
        "domain-search",
        ["eng.apple.com", "marketing.apple.com"],
        "03656e67056170706c6503636f6d00096d61726b6574696e67c004",
    ),
    (
        "domain-search",
        ["a.example", "a.example.org", "org"],
        "0161076578616d706c65000161076578616d706c65036f726700c015",
    ),
    # RFC 3442: the table of destination descriptors, each by 192.0.2.1.
    (121, [("0.0.0.0/0", "192.0.2.1")], "00c0000201"),
    (121, [("10.0.0.0/8", "192.0.2.1")], "080ac0000201"),
    (121, [["10.0.0.0/24", "192.0.2.1"]], "180a0000c0000201"),
    (121, [Route("10.17.0.0/16", "192.0.2.1")], "100a11c0000201"),
    (121, [Route("10.27.129.0/24", "192.0.2.1")], "180a1b81c0000201"),
    (121, [Route("10.229.0.128/25", "192.0.2.1")], "190ae50080c0000201"),
    (121, [Route("10.198.122.47/32", "0.0.0.0")], "200ac67a2f00000000"),
    (249, [Route("10.0.0.0/8", "192.0.2.1"), Route("0.0.0.0/0", "192.0.2.2")], "080ac000020100c0000202"),
    (43, bytes.fromhex("0104c0000201"), "0104c0000201"),
    ("mtu", b"\x05\x78", "0578"),
    (200, b"\x00\xff\n,", "00ff0a2c"),
]
V6: list[tuple[Any, Any, str]] = [
    ("dns-server", ["2001:db8::1"], "20010db8000000000000000000000001"),
    ("domain-search", ["a.example", "b.example"], "0161076578616d706c65000162076578616d706c6500"),
    ("information-refresh-time", 600, "00000258"),
    ("bootfile-url", "tftp://[2001:db8::1]/a", "746674703a2f2f5b323030313a6462383a3a315d2f61"),
    # RFC 5970, 3.2.
    ("bootfile-param", ["root=/", "b"], "0006726f6f743d2f000162"),
    # RFC 5908, 4.1 to 4.3: an address, a group, a name.
    (56, "2001:db8::7b", "0001001020010db800000000000000000000007b"),
    (56, ["ff05::101", "ntp.example"], "00020010ff05000000000000000000000000010100030d".replace("00030d", "0003000d")
     + "036e7470076578616d706c6500"),
    (65001, b"\x01", "01"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "key", "value", "octets"), [(4, *one) for one in V4] + [(6, *one) for one in V6])
def test_octets(version: int, key: Any, value: Any, octets: str) -> None:
    (option,) = encoded({key: value}, version)
    assert option.data is not None
    assert option.data.hex() == octets
    assert option.is_forced is False


@pytest.mark.parametrize(
    ("version", "key", "value", "words"),
    [
        (4, "mtu", 65536, "option 26 (mtu) takes a number from 0 to 65535: 65536 is not"),
        (4, "mtu", True, "takes a number"),
        (4, "mtu", "1400", "takes a number"),
        (4, "mtu", b"\0\0\0", "which 00:00:00 is not"),
        (4, "mtu", b"", "has 0 octets"),
        (4, "router", "2001:db8::1", "is not of IPv4"),
        (4, "router", "0.0.0.0", "is nobody's"),
        (4, "router", b"\0\0\0\0", "nobody's"),
        (4, "router", [], "there is nothing in it"),
        (4, "router", {}, "IPv4 addresses"),
        (4, "router", ["192.0.2.1"] * 64, "has 256 octets: 1 to 255"),
        (4, "router", b"abcde", "5 octets"),
        (4, "netmask", ["255.0.0.0", "255.0.0.0"], "there are 2 addresses"),
        (4, "policy-filter", ["192.0.2.0"], "pairs of IPv4 addresses: there are 1 addresses"),
        (4, "ip-forward-enable", 1, "neither True nor False"),
        (4, "ip-forward-enable", b"\2", "neither 0 nor 1"),
        (4, "root-path", "a\nb", "printable"),
        (4, "root-path", "é", "printable"),
        (4, "root-path", "", "printable"),
        (4, "root-path", "a" * 256, "has 256 octets"),
        (4, "root-path", ["/"], "printable"),
        (4, "domain-name", "a..b", "not a domain name"),
        (4, "domain-search", ["x" * 64], "not a domain name"),
        (4, "domain-search", [f"{letter * 40}.{letter * 40}" for letter in "abcd"], "has 332 octets"),
        (4, "domain-search", b"\xc0\x00", "a pointer leads nowhere"),
        (4, "domain-search", b"\x01a\xc0\x02", "a pointer leads nowhere"),
        (4, "domain-search", b"\x40" + b"a" * 64 + b"\0", "a pointer leads nowhere"),
        (4, "domain-search", b"\x03ab", "cut off"),
        (4, "domain-search", b"\x01\n\x00", "not a domain name"),
        (4, "domain-search", b"\x00", "not a domain name"),
        (4, "sip-server", b"\x02a", "begins with neither"),
        (4, "sip-server", b"\x00", "begins with neither"),
        (4, "sip-server", b"\x01", "0 octets"),
        (4, 121, "10.0.0.0/8", "is no route"),
        (4, 121, [("10.0.0.1/8", "192.0.2.1")], "bits set behind its prefix"),
        (4, 121, [("2001:db8::/32", "192.0.2.1")], "IPv4 only"),
        (4, 121, b"\x21\1\1\1\1\1\2\3\4\5", "a route is cut off"),
        (4, 121, b"\x08\x0a\xc0\x00\x02", "a route is cut off"),
        (4, 121, b"\x08\x0a", "a route is cut off"),
        (4, 121, b"\x04\x0a\xc0\x00\x02\x01", "has host bits set"),
        (4, 43, "text", "takes bytes"),
        (4, 200, 5, "give its octets as bytes"),
        (4, 200, bytes(256), "has 256 octets"),
        (4, 256, b"x", "number from 1 to 255"),
        (4, -1, b"x", "number from 1 to 255"),
        (4, True, b"x", "number from 1 to 255"),
        (4, 1.5, b"x", "number from 1 to 255"),
        (4, None, b"x", "number from 1 to 255"),
        (4, "9" * 6000, b"x", "number from 1 to 255"),
        (4, "²", b"x", "has a name here"),
        (4, "nix", 5, "option 'nix' is none of DHCP that has a name here"),
        (4, "", 5, "has a name here"),
        (4, "lease-time", 5, "DHCP's own: it follows from the lease: give lease_time"),
        (4, "T1", 5, "it follows from the lease"),
        (4, 53, b"\1", "it says what a message is"),
        (4, "router", Forced(None), "withheld and forced"),
        (6, "mtu", 1400, "none of DHCPv6"),
        (6, 0, b"x", "reserved"),
        (6, "client-id", b"x", "clients send it"),
        (6, "dns-server", "192.0.2.1", "is not of IPv6"),
        (6, "dns-server", "::", "nobody's"),
        (6, "ntp-server", "192.0.2.1", "not a domain name"),
        (6, "ntp-server", b"\x00\x01\x00\x10\x20", "1 octets"),
        (6, "ntp-server", b"\x00\x03\x00\x09\x01a\x00", "cut off"),
        (6, "ntp-server", b"\x00\x03\x00\x00", "cut off"),
        (6, "ntp-server", b"\x00", "which is none of 1, 2 and 3"),
        (6, "ntp-server", b"\x00\x09\x00\x01a", "is not"),
        (6, "bootfile-param", b"\x00\x05ab", "cut off"),
        (6, "bootfile-param", b"\x00\x00", "cut off"),
        (6, 65536, b"x", "number from 1 to 65535"),
        (6, 65001, bytes(1025), "has 1025 octets: 1 to 1024"),
    ],
)
def test_refused(version: int, key: Any, value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        encoded({key: value}, version)


@pytest.mark.parametrize("value", [None, 5, "mtu", b"mtu", Option(26, b"\5\x78"), [5], [(26, b"xx")], [{}]])
def test_no_options_at_all(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        encoded(value, 4)


@pytest.mark.parametrize(
    "value",
    [
        {26: 1400, "mtu": 1400},
        {"26": 1400, "MTU": None},
        {"interface-mtu": 1400, "mtu": 1500},
        [Option(26, b"\5\x78"), Option(26, None)],
    ],
)
def test_twice(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"option 26 \(mtu\) is there twice"):
        encoded(value, 4)


@pytest.mark.parametrize(
    "option",
    [
        Option(26, "text"),  # type: ignore[arg-type]
        Option(26, b"\5\x78", 1),  # type: ignore[arg-type]
        Option(26, None, True),
        Option(26, b""),
        Option(26, b"\5"),
        Option(0, b"\5"),
        Option(53, b"\5"),
        Option("x", b"\5"),  # type: ignore[arg-type]
        Option(200, bytes(256)),
    ],
)
def test_an_option_that_is_none(option: Option) -> None:
    with pytest.raises(InvalidArgument):
        encoded([option], 4)


def test_order_withheld_and_forced() -> None:
    made = encoded({252: Forced("http://a"), "router": None, 43: Forced(b"\1\1\1"), "mtu": 1400}, 4)
    assert made == (
        Option(3, None),
        Option(26, b"\x05\x78"),
        Option(43, b"\1\1\1", True),
        Option(252, b"http://a", True),
    )
    assert encoded(made, 4) == made
    assert encoded(reversed(made), 4) == made
    assert encoded((), 4) == encoded({}, 6) == encoded([], 4) == ()


@pytest.mark.parametrize("version", [4, 6])
def test_what_dhcp_uses_itself_is_refused_in_words(version: int) -> None:
    for key in [*OWN[version], *OWN_NAMES[version]]:
        with pytest.raises(InvalidArgument, match="own: ") as raised:
            encoded({key: b"\1"}, version)
        assert repr(key) in str(raised.value)


@pytest.mark.parametrize("version", [4, 6])
def test_the_table_names_each_option_once(version: int) -> None:
    names = [name for one in DEFINITIONS[version].values() for name in one.names]
    assert len(set(names)) == len(names) == len(CODES[version])
    assert not set(CODES[version]) & set(OWN_NAMES[version])
    assert not set(DEFINITIONS[version]) & set(OWN[version])
    assert all(name == name.lower() and not name.isdigit() for name in names)
    assert name(26, 4) == "mtu"
    assert name(200, 4) is None


@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="dnsmasq (Debian: dnsmasq-base) is not installed")
@pytest.mark.parametrize(("version", "subject"), [(4, "dhcp"), (6, "dhcp6")])
def test_dnsmasqs_names_are_known(version: int, subject: str) -> None:
    said = subprocess.run(["dnsmasq", "--help", subject], capture_output=True, text=True, check=True).stdout
    listed = {found[2].lower(): int(found[1]) for found in re.finditer(r"^ *([0-9]+) (\S+)$", said, re.MULTILINE)}
    assert len(listed) > 10
    # The last is of dnsmasq alone: it says by it where files are fetched from.
    known = CODES[version] | OWN_NAMES[version]
    assert {name: known.get(name) for name in listed} == listed


# -- any values -------------------------------------------------------------------------------------------

_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_NAMES = st.lists(_LABELS, min_size=1, max_size=4).map(".".join).filter(lambda one: not one.split(".")[-1].isdigit())
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.ip_addresses(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.lists(_NAMES, min_size=1, max_size=8, unique=True))
def test_search_lists_come_back(domains: list[str]) -> None:
    for code, version in ((119, 4), (24, 6)):
        if version == 4 and len(encode_search(domains)) > 255:
            with pytest.raises(InvalidArgument, match="1 to 255"):
                encoded({code: domains}, version)
            continue
        (option,) = encoded({code: domains}, version)
        assert option.data is not None
        assert decode_names(option.data) == domains
        assert decoded(option, version) == domains


@given(st.lists(st.tuples(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4)), min_size=1, max_size=28))
def test_routes_come_back(found: list[tuple[ipaddress.IPv4Address, int, ipaddress.IPv4Address]]) -> None:
    routes = [Route(ipaddress.IPv4Network((int(to), length), strict=False), by) for to, length, by in found]
    (option,) = encoded({121: routes}, 4)
    assert option.data is not None
    assert [Route(*one) for one in decode_routes(option.data)] == routes


@given(st.sampled_from([4, 6]), st.data())
def test_any_value_is_encoded_or_refused(version: int, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(DEFINITIONS[version])) | _ANYTHING.filter(lambda one: one.__hash__))
    try:
        (option,) = encoded({key: data.draw(_ANYTHING)}, version)
    except InvalidArgument:
        return
    assert encoded([option], version) == (option,)


@given(st.sampled_from([4, 6]), st.data())
def test_any_octets_are_taken_or_refused(version: int, data: st.DataObject) -> None:
    code = data.draw(st.sampled_from(sorted(DEFINITIONS[version])))
    octets = data.draw(st.binary(min_size=1, max_size=40))
    try:
        (option,) = encoded({code: octets}, version)
    except InvalidArgument:
        return
    assert option == Option(code, octets)
    value = decoded(option, version)
    # What can be said in another way is the same when it is said so.
    assert value is None or encoded({code: value}, version) == (option,)


@given(st.sampled_from([4, 6]), st.integers(-5, 70000), st.none() | st.binary(max_size=1100), st.booleans())
def test_any_option_is_taken_as_it_is_or_refused(version: int, code: int, data: bytes | None, forced: bool) -> None:
    option = Option(code, data, forced)
    try:
        made = encoded([option], version)
    except InvalidArgument:
        return
    assert made == (option,)
    assert data is None or 1 <= len(data) <= MAX_DATA[version]
