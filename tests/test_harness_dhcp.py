"""What stands between a spec and the DHCP manager under test: the witness, and who takes back what was made."""

import stat

import pytest

from conformance.harness import DhcpUnderTest
from conformance.scratch import new_path, sweep
from refnet.dhcp import DhcpManager, DhcpNetwork
from refnet.errors import InvalidArgument, LockTimeout, ToolMissing
from refnet.firewall.null import NullFirewall

BRIDGE = DhcpNetwork("br0", "10.9.0.1/24")
OTHER = DhcpNetwork("br1", "10.9.1.1/24")


class Files(DhcpManager):
    """Keeps a file for each network that was started, and remembers who stopped what and who was closed."""

    stopped: list
    closed: list

    def __init_subclass__(cls):
        cls.stopped, cls.closed = [], []

    def probe(self, capability):
        return None

    def networks(self):
        return tuple(sorted(path.name for path in self.directory.glob("*"))) if self.directory.exists() else ()

    def start(self, network):
        self.directory.mkdir(exist_ok=True)
        (self.directory / network.device).write_text("a lease")

    def stop(self, device, *, forget=False):
        assert forget
        self.stopped.append((self.directory, device, self.firewall))
        (self.directory / device).unlink()

    def close(self):
        self.closed.append(self.directory)

    def running(self, device): ...
    def network(self, device): ...
    def leases(self, device): ...
    def update(self, network): ...
    def add_host(self, device, host): ...
    def remove_host(self, device, identity): ...
    def release(self, device, address, client): ...


@pytest.fixture
def tested():
    return type("Tested", (Files,), {})


def test_a_manager_makes_its_directory_itself_and_it_is_removed(tested):
    one = DhcpUnderTest(tested)
    assert not one.directory.exists()
    one.start(BRIDGE)
    assert (one.directory / "br0").exists()
    one.take_back()
    assert not one.directory.exists()
    assert tested.stopped == [(one.directory, "br0", None)]
    assert tested.closed == [one.directory]


def test_networks_of_all_directories_are_stopped_and_forgotten(tested, tmp_path):
    one = DhcpUnderTest(tested)
    other = one.fresh(directory=tmp_path)
    one.start(BRIDGE)
    other.start(OTHER)
    other.start(BRIDGE)
    again = one.fresh()
    assert again.directory == one.directory
    one.take_back()
    assert sorted((path, device) for path, device, _ in tested.stopped) == sorted(
        [(one.directory, "br0"), (tmp_path, "br0"), (tmp_path, "br1")]
    )
    assert sorted(tested.closed) == sorted([one.directory, one.directory, tmp_path])
    assert tmp_path.exists(), "what the spec has made it keeps"


def test_what_a_closed_manager_has_left_another_of_its_directory_takes_back(tested, tmp_path):
    one = DhcpUnderTest(tested)
    with one.fresh(directory=str(tmp_path)) as closed:
        closed.start(BRIDGE)
    one.take_back()
    assert [device for _, device, _ in tested.stopped] == ["br0"]
    assert tested.closed.count(tmp_path) == 2


def test_whoever_has_a_firewall_stops_first(tested):
    firewall = NullFirewall("suite")
    one = DhcpUnderTest(tested)
    with_rules = one.fresh(firewall=firewall)
    assert with_rules.firewall is firewall
    with_rules.start(BRIDGE)
    one.take_back()
    assert tested.stopped == [(one.directory, "br0", firewall)]


def test_a_firewall_under_test_is_given_as_it_is(tested):
    from conformance.harness import FirewallUnderTest

    firewall = FirewallUnderTest(NullFirewall)
    one = DhcpUnderTest(tested, firewall=firewall)
    assert one.firewall is firewall.driver


def test_the_clean_up_of_all_is_tried_and_what_failed_is_told(tested, tmp_path):
    class Stubborn(tested):
        def stop(self, device, *, forget=False):
            if device == "br1":
                raise LockTimeout("it stays")
            super().stop(device, forget=forget)

    one = DhcpUnderTest(Stubborn)
    other = one.fresh(directory=tmp_path)
    other.start(OTHER)
    one.start(BRIDGE)
    with pytest.raises(LockTimeout, match="it stays"):
        one.take_back()
    assert [device for _, device, _ in Stubborn.stopped] == ["br0"]
    assert len(Stubborn.closed) == 2
    assert not one.directory.exists()


def test_who_lacks_the_program_could_not_have_made_anything(tested):
    class Toolless(tested):
        def networks(self):
            raise ToolMissing("there is no such program", tool="dnsmasq")

    DhcpUnderTest(Toolless).take_back()


@pytest.mark.parametrize("method", ["networks", "start", "stop", "close"])
def test_an_exception_without_a_type_fails_the_spec_wherever_it_comes_from(tested, method):
    def broken(*args, **kwargs):
        raise KeyError("inside")

    one = DhcpUnderTest(type("Broken", (tested,), {method: broken}))
    calls = {"start": lambda: one.start(BRIDGE), "stop": lambda: one.stop("br0")}
    with pytest.raises(AssertionError, match="let out a KeyError, which is no RefnetError"):
        calls.get(method, getattr(one, method))()
    assert "broke: KeyError" in one.calls[-1]


def test_a_bad_value_leaves_nothing_to_take_back(tested):
    one = DhcpUnderTest(tested)
    with pytest.raises(InvalidArgument):
        one.fresh(directory="not/absolute")
    one.take_back()
    assert tested.closed == [one.directory]


def test_calls_of_all_instances_are_one_list(tested):
    one = DhcpUnderTest(tested)
    one.networks()
    one.fresh().start(BRIDGE)
    assert one.calls[0] == "networks() -> ()"
    assert one.calls[1].startswith("start(DhcpNetwork(device='br0'")
    assert len(one.calls[1]) < 2000
    one.take_back()


def test_scratch_is_for_everybody_and_goes(tested):
    import os

    one = DhcpUnderTest(tested)
    umask = os.umask(0o077)
    try:
        path = one.fresh().scratch()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    (path / "file").touch()
    one.take_back()
    assert not path.exists()


def test_the_evidence_is_what_stands_in_the_directories(tested):
    one = DhcpUnderTest(tested)
    assert one.evidence() == {}
    one.start(BRIDGE)
    (one.directory / "br1").mkdir()
    (one.directory / "br1" / "log").write_bytes(b"\xff says")
    found = one.evidence()
    assert sorted(text for text in found.values()) == ["a lease", "\ufffd says"]
    assert all(name.endswith(".txt") and "/" not in name for name in found)


def test_what_the_dead_have_left_is_swept_and_nothing_else():
    own, dead = new_path("dhcp"), new_path("client")
    alike = own.with_name(f"{own.name}x")
    gone = dead.with_name(dead.name.replace(f"-{dead.name.split('-')[2]}-", "-999999999-"))
    for path in (own, gone, alike):
        path.mkdir()
    try:
        sweep(lambda pid: pid != 999999999)
        assert [path.exists() for path in (own, gone, alike)] == [True, False, True]
    finally:
        own.rmdir()
        alike.rmdir()
