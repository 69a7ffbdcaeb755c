"""What is asked of a DHCP manager that does not declare a capability: it has to refuse, by that capability's name."""

import pytest

from conformance import refusals
from conformance.harness import DhcpUnderTest
from conformance.oracles.state import difference
from refnet.dhcp import Capability, DhcpManager
from refnet.errors import PermissionDenied, Unsupported


def lacking(*capabilities, says=None, does=False, raises=None):
    """Return a class that has not these capabilities."""

    class Lacking(DhcpManager):
        def probe(self, capability):
            return "not here" if capability in capabilities else None

        def networks(self):
            return ()

        def start(self, network):
            if raises:
                raise raises
            if says:
                raise Unsupported("not here", capability=says)
            if not does:
                self._needs(network)

        def release(self, device, address, client):
            if Capability.RELEASE in capabilities and not does:
                raise Unsupported("not here", capability=Capability.RELEASE)

        def stop(self, device, *, forget=False): ...
        def running(self, device): ...
        def network(self, device): ...
        def leases(self, device): ...
        def update(self, network): ...
        def add_host(self, device, host): ...
        def remove_host(self, device, identity): ...

    return DhcpUnderTest(Lacking)


each = pytest.mark.parametrize("capability", [*Capability])


@each
@pytest.mark.parametrize("all_of_them", [False, True], ids=["it alone", "with all others"])
def test_an_honest_refusal_is_taken(stack, capability, all_of_them):
    before = stack.look.state()
    refusals.exercise(str(capability), lacking(*(Capability if all_of_them else (capability,))), stack)
    stack.remove_endpoints()
    assert difference(before, stack.look.state()) == []


@each
def test_what_is_done_all_the_same_is_under_claimed(stack, capability):
    with pytest.raises(AssertionError, match=f"^{capability} is under-claimed"):
        refusals.exercise(str(capability), lacking(capability, does=True), stack)


@each
def test_a_refusal_has_to_name_what_is_missing(stack, capability):
    # Another one, which is there.
    other = Capability.DNS_FORWARDING if capability is not Capability.DNS_FORWARDING else Capability.RELEASE
    with pytest.raises(AssertionError, match=rf"the refusal names .*'{other}'.* instead"):
        refusals.exercise(str(capability), lacking(capability, says=other), stack)


def test_a_privilege_that_is_missing_is_no_capability(stack):
    refusals.exercise("dhcp", lacking(Capability.DHCP, raises=PermissionDenied("not you")), stack)
