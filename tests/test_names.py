"""Validation: what is accepted, in which form it comes back, and how a refusal reads."""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refnet import names
from refnet.errors import InvalidArgument, InvalidName
from refnet.firewall import DROP, Not, PortGuard, Rule

NAME = re.compile(r"\A[A-Za-z0-9._-]{1,15}\Z", re.ASCII)
MAC = re.compile(r"\A[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z", re.ASCII)
HUGE = 10**5000

CHECKS: dict[str, Callable[[Any], object]] = {
    "device_name": names.device_name,
    "mac_address": names.mac_address,
    "mtu": names.mtu,
    "vlan_id": names.vlan_id,
    "seconds": lambda value: names.seconds(value, "a time"),
    "flag": lambda value: names.flag(value, "a flag"),
    "interface_address": names.interface_address,
}
CONTROL_CHARACTERS = "".join(map(chr, [*range(32), 127, *range(128, 160), 0x2028, 0x2029]))

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(),
    st.text(),
    st.text(CONTROL_CHARACTERS + "a:/%"),
    st.lists(st.text(), max_size=2),
)


# -- device names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "eth0", "br-int", "tap.1_2", "A" * 15, "-", "--", "...", "0", "vlan4094", "lo"])
def test_a_name_by_the_rule_comes_back_as_it_is(name: str) -> None:
    assert names.device_name(name) == name


class Devices(str, Enum):
    """Names as a caller may keep them: what such a class writes for itself is ``Devices.TAP``."""

    TAP = "tap1"


@pytest.mark.parametrize("check", [names.device_name, names.patch_port_name])
def test_a_name_of_an_enum_comes_back_as_plain_text(check: Callable[[object], str]) -> None:
    name = check(Devices.TAP)
    assert type(name) is str
    assert f"{name}" == "tap1"


class Unshowable:
    """A caller's class with a mistake."""

    def __repr__(self) -> str:
        raise RuntimeError


def test_what_cannot_be_shown_or_is_very_long_is_refused_in_words() -> None:
    with pytest.raises(InvalidName, match="<Unshowable that cannot be shown>"):
        names.device_name(Unshowable())
    with pytest.raises(InvalidName) as refused:
        names.device_name("x" * 10**6)
    assert len(str(refused.value)) < 1200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is empty"),
        ("A" * 16, "has 16 characters: at most 15"),
        (".", "is not possible"),
        ("..", "is not possible"),
        ("br%d", "is not possible"),
        ("eth+", "is not possible"),
        ("*", "is not possible"),
        ("a/b", "is not possible"),
        ("eth0:1", "is not possible"),
        ("a b", "is not possible"),
        ("a\n", "is not possible"),
        ("a\0", "is not possible"),
        ("é", "is not possible"),
        ("١", "is not possible"),
        ("\udcff", "is not possible"),
        (None, "must be a str, not NoneType: None"),
        (b"eth0", "must be a str, not bytes"),
        (0, "must be a str, not int: 0"),
    ],
)
def test_a_name_that_breaks_the_rule_is_refused_and_it_is_said_how(name: object, words: str) -> None:
    with pytest.raises(InvalidName) as caught:
        names.device_name(name, "bridge")
    assert caught.value.message.startswith("bridge ")
    assert words in caught.value.message


@given(st.from_regex(NAME).filter(lambda name: name not in (".", "..")))
def test_any_name_by_the_rule_is_accepted(name: str) -> None:
    assert names.device_name(name) == name


@given(st.one_of(st.text(), st.text(string.printable, max_size=16)))
@example("eth0\n")
@example("eth０")
def test_any_str_that_breaks_the_rule_is_refused(name: str) -> None:
    if NAME.match(name) and name not in (".", ".."):
        assert names.device_name(name) == name
    else:
        with pytest.raises(InvalidName):
            names.device_name(name)


# -- MAC addresses ----------------------------------------------------------------------------------------


@given(st.binary(min_size=6, max_size=6).filter(lambda octets: any(octets) and not octets[0] & 1))
def test_a_unicast_mac_address_comes_back_in_lower_case(octets: bytes) -> None:
    normal = octets.hex(":")
    assert names.mac_address(normal) == names.mac_address(normal.upper()) == normal


@given(st.one_of(st.text(), st.text("0123456789abcdefABCDEF:-. \n", max_size=18)))
@example("52-54-00-12-34-56")
@example("52:54:00:12:34:5")
@example("52:54:00:12:34:56\n")
@example("525400123456")
@example("5２:54:00:12:34:56")
def test_what_is_no_mac_address_is_refused(text: str) -> None:
    if not MAC.match(text):
        with pytest.raises(InvalidArgument, match="not six hexadecimal octets"):
            names.mac_address(text)


@pytest.mark.parametrize(
    ("mac", "words"),
    [
        ("ff:ff:ff:ff:ff:ff", "group address"),
        ("01:00:5e:00:00:01", "group address"),
        ("33:33:00:00:00:01", "group address"),
        ("00:00:00:00:00:00", "all zero"),
        (None, "not six hexadecimal octets"),
        (b"52:54:00:12:34:56", "not six hexadecimal octets"),
        (0x525400123456, "not six hexadecimal octets"),
    ],
)
def test_a_mac_address_that_no_device_can_have_is_refused(mac: object, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        names.mac_address(mac)


# -- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "least", "most"), [(names.mtu, 68, 65535), (names.vlan_id, 1, 4094)], ids=["mtu", "vlan_id"]
)
def test_whole_numbers_have_bounds_and_are_no_truth_values(
    check: Callable[[object], int], least: int, most: int
) -> None:
    assert [check(least), check(most)] == [least, most]
    for bad in (least - 1, most + 1, -1, True, str(least), float(least), None, HUGE, -HUGE):
        with pytest.raises(InvalidArgument, match=f"is not a whole number from {least} to {most}"):
            check(bad)


def test_seconds_are_finite_and_no_truth_values() -> None:
    assert [names.seconds(good, "time") for good in (0, 0.5, 1_000_000)] == [0.0, 0.5, 1e6]
    assert isinstance(names.seconds(1, "time"), float)
    for bad in (-0.1, 1_000_001, float("nan"), float("inf"), True, "1", None, HUGE):
        with pytest.raises(InvalidArgument, match=r"^time .* is not a number of seconds"):
            names.seconds(bad, "time")


def test_a_flag_is_a_truth_value_and_nothing_like_one() -> None:
    assert names.flag(True, "stp") is True
    assert names.flag(False, "stp") is False
    for bad in (0, 1, "no", "", None, [], HUGE):
        with pytest.raises(InvalidArgument, match="stp must be True or False"):
            names.flag(bad, "stp")


# -- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1/24", "192.0.2.0/31", "192.0.2.1/32", "127.0.0.1/8", "10.0.0.1/0", "2001:db8::1/64", "fe80::1/128"],
)
def test_an_address_comes_back_parsed(text: str) -> None:
    parsed = names.interface_address(text)
    assert parsed == ipaddress.ip_interface(text)
    assert names.interface_address(parsed) is parsed


def test_an_address_is_in_its_normal_form() -> None:
    assert str(names.interface_address("2001:DB8:0:0:0:0:0:1/64")) == "2001:db8::1/64"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("192.0.2.1", "no prefix length"),
        ("2001:db8::1", "no prefix length"),
        ("", "no prefix length"),
        (None, "no prefix length"),
        (b"192.0.2.1/24", "no prefix length"),
        (3221225985, "no prefix length"),
        pytest.param(HUGE, "no prefix length", id="huge"),
        (ipaddress.ip_address("192.0.2.1"), "no prefix length"),
        ("192.0.2.1/33", "with a prefix length such as"),
        ("192.0.2.1/-1", "with a prefix length such as"),
        ("192.0.2.1/", "with a prefix length such as"),
        ("192.0.2.256/24", "with a prefix length such as"),
        ("192.0.2.01/24", "with a prefix length such as"),
        ("192.0.2.1 /24", "with a prefix length such as"),
        ("192.0.2.1/24\n", "with a prefix length such as"),
        ("2001:db8::1/129", "with a prefix length such as"),
        ("2001:db8::/64/64", "with a prefix length such as"),
        ("host/24", "with a prefix length such as"),
        ("fe80::1%eth0/64", "has a zone"),
        (ipaddress.ip_interface("fe80::1%eth0/64"), "has a zone"),
        ("0.0.0.0/0", "no unicast address"),
        ("::/0", "no unicast address"),
        ("224.0.0.1/4", "no unicast address"),
        ("ff02::1/64", "no unicast address"),
    ],
)
def test_what_no_device_can_own_is_refused(value: object, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        names.interface_address(value)


@given(st.ip_addresses(), st.integers(0, 128))
def test_every_unicast_address_with_a_prefix_length_is_accepted(address: Any, length: int) -> None:
    length = min(length, address.max_prefixlen)
    if address.is_multicast or address.is_unspecified:
        return
    parsed = names.interface_address(f"{address}/{length}")
    assert (parsed.ip, parsed.network.prefixlen) == (address, length)


#: Python takes any text for a zone.
LINES = "fe80::1%1\n-D INPUT 1\n#"


@pytest.mark.parametrize(
    "value",
    [
        LINES,
        ipaddress.IPv6Network(LINES),
        ipaddress.IPv6Network("fe80::%1/64"),
        ipaddress.IPv6Address(LINES),
        ipaddress.IPv6Interface(LINES),
    ],
)
def test_an_object_with_a_zone_is_refused_as_text_is(value: object) -> None:
    for check in (
        names.ip_network,
        names.interface_address,
        lambda one: names.ip_address(one, "address"),
        lambda one: Rule(DROP, source=one),
        lambda one: Rule(DROP, destination=Not(one)),
        lambda one: PortGuard("tap0", "52:54:00:00:00:01", [one]),
    ):
        with pytest.raises(InvalidArgument):
            check(value)


def test_an_address_object_has_no_prefix_length() -> None:
    with pytest.raises(InvalidArgument):
        names.ip_address(ipaddress.ip_interface("192.0.2.1/24"), "address")


# -- messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@given(value=anything)
@example(value="a\x1b[1m\n")
@example(value="1\r/2")
@example(value="fe80::1%\x1b/64")
@example(value=[HUGE])
def test_any_value_is_accepted_or_refused_in_one_printable_line(check: Callable[[Any], object], value: object) -> None:
    said = ""
    try:
        check(value)
    except InvalidArgument as error:
        said = str(error)
    assert said.isprintable()
