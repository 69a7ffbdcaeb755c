"""Random networks and hosts that go together."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import strategies as st

from refnet.dhcp import DhcpNetwork, Dns, Forced, Host, Ipv6Mode, Option, Range, Route, RouterAdvertisement
from refnet.dhcp.options import Options

NET4, NET6 = ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/64")
RELAYED = ipaddress.ip_network("198.51.100.0/25")
LABELS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?", fullmatch=True).filter(
    lambda one: one.lower() != "localhost"
)
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join).filter(lambda one: not one.split(".")[-1].isdigit())
LEASE_TIMES = st.integers(120, 0xFFFFFFFE)
VALUES4: dict[int | str, st.SearchStrategy[Any]] = {
    "time-offset": st.integers(-(2**31), 2**31 - 1),
    "root-path": st.text("abc,\"'\\ =#[]", min_size=1, max_size=20),
    "ip-forward-enable": st.booleans(),
    "ntp-server": st.lists(st.ip_addresses(v=4).filter(lambda one: int(one) > 0), min_size=1, max_size=3),
    "mtu-plateau": st.lists(st.integers(0, 65535), min_size=1, max_size=3),
    "sip-server": st.lists(DOMAINS, min_size=1, max_size=3),
    "ms-classless-static-route": st.lists(
        st.builds(Route, st.sampled_from([NET4, RELAYED]), st.ip_addresses(v=4)), min_size=1, max_size=3
    ),
    43: st.binary(min_size=1, max_size=20),
    200: st.binary(min_size=1, max_size=20),
    252: st.none(),
}
VALUES6: dict[int | str, st.SearchStrategy[Any]] = {
    "sntp-server": st.lists(st.ip_addresses(v=6).filter(lambda one: int(one) > 0), min_size=1, max_size=3),
    "nis-domain": st.lists(DOMAINS, min_size=1, max_size=3),
    "bootfile-param": st.lists(st.text("abc =", min_size=1), min_size=1, max_size=3),
    56: st.lists(DOMAINS, min_size=1, max_size=2),
    65001: st.binary(min_size=1, max_size=20),
    59: st.none(),
}


@st.composite
def options(draw: st.DrawFn, values: dict[int | str, st.SearchStrategy[Any]]) -> Options:
    made: dict[int | str, Any] = {}
    for key in draw(st.lists(st.sampled_from(list(values)), max_size=3, unique=True)):
        value = draw(values[key])
        made[key] = Forced(value) if value is not None and draw(st.booleans()) else value
    return made


@st.composite
def hosts(draw: st.DrawFn, is_stateful: bool = True, most: int = 4) -> list[Host]:
    """Hosts that have nothing in common."""
    made: list[Host] = []
    for number in draw(st.lists(st.integers(10, 90), max_size=most, unique=True)):
        macs = [f"52:54:00:00:{one:02x}:{number:02x}" for one in range(draw(st.integers(0, 2)))]
        identity = bytes([number]) + draw(st.binary(min_size=1, max_size=8))
        own: list[Any] = [draw(st.sampled_from([NET4, RELAYED]))[number]] if draw(st.booleans()) else []
        if is_stateful:
            own += [NET6[number * 16 + one] for one in range(draw(st.integers(0, 2)))]
        made.append(
            Host(
                macs,
                own,
                name=draw(st.none() | st.just(f"{draw(LABELS)[:6]}x{number}")),
                client_id=identity if not macs or draw(st.booleans()) else None,
                options=draw(options(VALUES4)),
                options6=draw(options(VALUES6)),
                lease_time=draw(st.none() | LEASE_TIMES),
                is_ignored=draw(st.booleans()),
            )
        )
    return made


@st.composite
def networks(draw: st.DrawFn) -> DhcpNetwork:
    """Networks with everything that one can say."""
    ipv6 = draw(st.none() | st.sampled_from(Ipv6Mode))
    ranges = [Range(RELAYED[100], RELAYED[110], RELAYED)]
    if draw(st.booleans()):
        ranges.insert(0, Range(NET4[100], NET4[draw(st.integers(100, 199))]))
    if ipv6 is not None and ipv6.is_stateful and draw(st.booleans()):
        ranges.append(Range(NET6[0x10000], NET6[0x1FFFF]))
    interval = draw(st.integers(4, 1800))
    advertised = RouterAdvertisement(
        interval,
        draw(st.just(0) | st.integers(interval, 9000)),
        draw(st.sampled_from(["low", "medium", "high"])),
        draw(st.none() | st.integers(1280, 65535)),
    )
    may_be_silent = ipv6 is None or not ipv6.is_autonomous
    store = draw(st.booleans())
    return DhcpNetwork(
        draw(st.sampled_from(["br100", "tap-1.2"])),
        ["192.0.2.1/24", "2001:db8::1/64"],
        ranges=ranges,
        hosts=draw(hosts(is_stateful=ipv6 is not None and ipv6.is_stateful)),
        gateway=draw(st.none() | st.sampled_from([NET4[1], NET4[254]])),
        dns=draw(st.none() | st.builds(Dns, st.lists(st.sampled_from(["203.0.113.1", "2001:db8:1::1"]), unique=True))),
        dns_servers=draw(st.none() | st.lists(st.sampled_from([NET4[2], NET6[2]]), unique=True)),
        domain=draw(st.none() | DOMAINS),
        search=draw(st.lists(DOMAINS.map(str.lower), max_size=3, unique=True)),
        mtu=draw(st.none() | st.integers(1280, 65535)),
        routes=draw(
            st.lists(st.builds(Route, st.just("203.0.113.0/24"), st.sampled_from([NET4[9], "0.0.0.0"])), max_size=1)
        ),
        lease_time=draw(st.none() | LEASE_TIMES),
        options=draw(options(VALUES4)),
        options6=draw(options(VALUES6)),
        ipv6=ipv6,
        router_advertisement=None if may_be_silent and draw(st.booleans()) else advertised,
        is_authoritative=draw(st.booleans()),
        checks_addresses=draw(st.booleans()),
        lease_events="log" if store else draw(st.sampled_from([None, "log", "/run/events"])),
        lease_store=store,
        logs_dhcp=draw(st.booleans()),
    )


#: Values that nobody means to give.
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(["192.0.2.7", "2001:db8::7", "192.0.2.0/24", "52:54:00:00:00:01", "\n", "a,b", Option(26, b"a")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
