"""Plans of addresses and routes: against a model of what the kernel does to them, for any state and any failure.

The model knows what the transcripts and the recorded scenes show: an address that is added goes behind all others,
also one that is there; with an IPv4 address go the routes that leave from it.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refnet.errors import Unsupported
from refnet.netdev.freebsd import plan
from refnet.netdev.freebsd.listing import Inet, Interface
from refnet.netdev.freebsd.routes import Route
from refnet.netdev.freebsd.tools import Command, Step


class Refused(Exception):
    """The model would not."""


@dataclass
class Model:
    """Addresses by device, in their order, and routes with the address that each leaves from."""

    addresses: dict[str, list[str]] = field(default_factory=dict)
    routes: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)

    def run(self, argv: Command) -> None:
        if argv[0] == "ifconfig":
            device, family, *words = argv[2:]
            words = [word for word in words if word not in ("no_dad", "-no_dad", "ifdisabled")]
            if words and words[-1] == "alias":
                self._remove(device, words[0])
                self.addresses.setdefault(device, []).append(words[0])
            elif words and words[-1] == "-alias" and not self._remove(device, words[0]):
                raise Refused("Can't assign requested address")
            assert family in ("inet", "inet6")
        else:
            assert argv[:2] == ("route", "-n")
            key = argv[3:]
            if argv[2] == "delete":
                if self.routes.pop(key, None) is None:
                    raise Refused("not in table")
            elif key in self.routes:
                raise Refused("already in table")
            else:
                self.routes[key] = self._source(key)

    def _remove(self, device: str, address: str) -> bool:
        if address not in self.addresses.get(device, []):
            return False
        self.addresses[device].remove(address)
        if ":" not in address:
            self.routes = {key: source for key, source in self.routes.items() if source != (device, address)}
        return True

    def _source(self, key: tuple[str, ...]) -> tuple[str, str]:
        gateway = key[-1]
        if "-interface" in key:
            found = [(gateway, address) for address in self.addresses.get(gateway, []) if ":" not in address]
        elif "%" in gateway:
            device = gateway.partition("%")[2]
            found = [(device, address) for address in self.addresses.get(device, []) if ":" in address]
        else:
            found = [
                (device, address)
                for device, addresses in self.addresses.items()
                for address in addresses
                if ipaddress.ip_address(gateway) in ipaddress.ip_interface(address).network
            ]
        if not found:
            raise Refused("Network is unreachable")
        return found[0]

    def seen(self) -> object:
        """Return what matters of it: the order within a family does, and none between them."""
        families = {
            device: ([one for one in there if ":" not in one], [one for one in there if ":" in one])
            for device, there in self.addresses.items()
            if there
        }
        return families, set(self.routes)


def carry_out(model: Model, steps: Sequence[Step], *, failing: int = -1) -> bool:
    """Do as the tools do; the command number ``failing`` is refused. Return whether all went through."""
    done: list[Step] = []
    for number, step in enumerate(steps):
        try:
            if step.argv and number == failing:
                raise Refused("No buffer space available")
            if step.argv:
                model.run(step.argv)
        except Refused as refusal:
            if step.fine and step.fine in str(refusal):
                continue
            for back in reversed(done):
                if back.undo:
                    # What is refused here, was not done or has been undone with something else.
                    with contextlib.suppress(Refused):
                        model.run(back.undo)
            if number != failing:
                raise AssertionError(f"{step} is refused: {refusal}") from refusal
            return False
        done.append(step)
    return True


SUBNETS = ("192.0.2", "198.51.100")
four = st.tuples(st.sampled_from(SUBNETS), st.integers(1, 6)).map(lambda parts: f"{parts[0]}.{parts[1]}/24")
six = st.integers(1, 5).map(lambda number: f"2001:db8::{number}/64")


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Interface, list[Route], Model]:
    """Draw a device with addresses and routes, as the driver sees it and as the model has it."""
    addresses = draw(st.lists(four, unique=True, max_size=5)) + draw(st.lists(six, unique=True, max_size=3))
    model = Model({"em0": list(addresses), "em1": ["203.0.113.1/24"]})
    made: list[Route] = []
    for number in range(draw(st.integers(0, 4))):
        gateway = draw(st.sampled_from((*(f"{subnet}.99" for subnet in SUBNETS), "2001:db8::99", "fe80::2%em0", "")))
        version = 6 if ":" in gateway else 4
        destination = f"2001:db8:{number + 1}::/64" if version == 6 else f"10.{number}.0.0/16"
        route = Route(version, destination, gateway or None, "UGS" if gateway else "US", "em0")
        try:
            model.run(route.add())
        except Refused:
            continue
        made.append(route)
    device = Interface("em0", frozenset({"UP"}), 1500, addresses=tuple(map(inet, addresses)))
    return device, sorted(made, key=lambda route: route.gateway is not None), model


def inet(text: str) -> Inet:
    return Inet(ipaddress.ip_interface(text))


def every_failure(model: Model, steps: Sequence[Step]) -> Model:
    """See that a failure at any step leaves all as it was, and return the model after none."""
    for failing, step in enumerate(steps):
        attempt = copy.deepcopy(model)
        # What a refusal may mean anyway is no failure.
        if step.argv and not carry_out(attempt, steps, failing=failing):
            assert attempt.seen() == model.seen(), f"step {failing} of {len(steps)} has failed: {step}"
    after = copy.deepcopy(model)
    assert carry_out(after, steps)
    return after


@given(stacks(), st.lists(four, unique=True, max_size=2))
def test_move(stack: tuple[Interface, list[Route], Model], own: list[str]) -> None:
    device, routes, model = stack
    own = [address for address in own if inet(address) not in device.addresses]
    model.addresses["br0"] = list(own)
    bridge = Interface("br0", frozenset({"UP"}), 1500, addresses=tuple(map(inet, own)))
    try:
        steps = plan.move(device, bridge, routes)
    except Unsupported:
        assert any(route.by_link_local for route in routes)
        assert not any(":" in address for address in model.addresses["em0"])
        return
    after = every_failure(model, steps)
    assert after.addresses["em0"] == []
    assert after.addresses["br0"] == own + model.addresses["em0"]
    assert set(after.routes) == {route.through("br0").add()[3:] for route in routes}


@given(stacks(), four)
def test_in_front(stack: tuple[Interface, list[Route], Model], wanted: str) -> None:
    device, all_routes, model = stack
    routes = [route for route in all_routes if route.version == 4]
    steps = plan.in_front(device, ipaddress.ip_interface(wanted), routes)
    before = [address for address in model.addresses["em0"] if ":" not in address]
    if before[:1] == [wanted]:
        assert not steps
        return
    after = every_failure(model, steps)
    now = [address for address in after.addresses["em0"] if ":" not in address]
    assert now == [wanted, *(address for address in before if address != wanted)]
    assert set(after.routes) == set(model.routes)


@given(stacks(), st.data())
def test_without(stack: tuple[Interface, list[Route], Model], data: st.DataObject) -> None:
    device, all_routes, model = stack
    if not device.addresses:
        return
    gone = data.draw(st.sampled_from(device.addresses))
    routes = [route for route in all_routes if route.version == 4] if gone.version == 4 else []
    after = every_failure(model, plan.without(device, gone, routes))
    rest = [address for address in model.addresses["em0"] if address != str(gone.interface)]
    assert after.addresses["em0"] == rest
    for route in all_routes:
        reachable = route.version == 6 or any(
            ":" not in address
            and (
                route.gateway is None or ipaddress.ip_address(route.gateway) in ipaddress.ip_interface(address).network
            )
            for address in rest
        )
        assert (route.add()[3:] in after.routes) >= reachable, f"{route} is gone"


def test_a_kill_loses_no_address_on_the_way_to_the_front() -> None:
    """Each command moves one address, and none is away between two of them."""
    device = Interface("em0", frozenset({"UP"}), 1500, addresses=(inet("192.0.2.5/24"), inet("192.0.2.6/24")))
    commands = [step.argv for step in plan.in_front(device, ipaddress.ip_interface("192.0.2.1/24"), []) if step.argv]
    assert all(command[-1] == "alias" for command in commands)


def test_ipv6_is_usable_at_once() -> None:
    device = Interface("em0", frozenset({"UP"}), 1500, nd6=frozenset({"IFDISABLED"}))
    steps = plan.adding(device, [inet("2001:db8::1/64")])
    assert [" ".join(step.argv) for step in steps if step.argv] == [
        "ifconfig -n em0 inet6 no_dad 2001:db8::1/64 alias",
        "ifconfig -n em0 inet6 -no_dad",
    ]
    assert [" ".join(step.undo) for step in reversed(steps) if step.undo] == [
        "ifconfig -n em0 inet6 2001:db8::1/64 -alias",
        "ifconfig -n em0 inet6 -no_dad",
        "ifconfig -n em0 inet6 ifdisabled",
    ]


def test_a_device_that_never_looks_for_duplicates_stays_so() -> None:
    device = Interface("em0", frozenset({"UP"}), 1500, nd6=frozenset({"NO_DAD"}))
    steps = plan.adding(device, [inet("2001:db8::1/64")])
    assert [" ".join(step.argv) for step in steps] == ["ifconfig -n em0 inet6 2001:db8::1/64 alias"]


def test_what_an_address_carries_goes_along() -> None:
    special = Inet(ipaddress.ip_interface("192.0.2.1/24"), broadcast="192.0.2.0")
    assert plan.add("br0", special)[-3:] == ("broadcast", "192.0.2.0", "alias")
    limited = Inet(
        ipaddress.ip_interface("2001:db8::1/64"),
        flags=frozenset({"autoconf", "tentative"}),
        valid_lifetime=600,
        preferred_lifetime=300,
    )
    assert plan.add("br0", limited)[4:] == (*("2001:db8::1/64", "autoconf", "pltime", "300", "vltime", "600", "alias"),)


def test_an_address_that_is_bound_to_its_place_is_refused() -> None:
    carp = Inet(ipaddress.ip_interface("192.0.2.9/24"), bound=True)
    device = Interface("em0", frozenset({"UP"}), 1500, addresses=(carp,))
    with pytest.raises(Unsupported, match=r"192\.0\.2\.9/24"):
        plan.move(device, Interface("br0", frozenset(), 1500), [])
    with pytest.raises(Unsupported, match=r"192\.0\.2\.9/24"):
        plan.in_front(device, ipaddress.ip_interface("192.0.2.1/24"), [])
