"""A call that fails takes back what it has written, and leaves what others have written meanwhile."""

from __future__ import annotations

import signal
import threading

import pytest

from refnet.errors import InvalidArgument, SwitchRefused, SwitchUnreachable
from refnet.netdev.linux import LinuxNetDevDriver
from refnet.netdev.ovs import database, replica
from tests.waiting import wait_until

MAC = "52:54:00:12:34:56"


def once(monkeypatch, owner, name, *, before=None, after=None):
    """Have something happen at the first call of a function, which then does what it does."""
    original = getattr(owner, name)

    def changed(*args, **options):
        monkeypatch.setattr(owner, name, original)
        if before is not None:
            before()
        found = original(*args, **options)
        if after is not None:
            after()
        return found

    monkeypatch.setattr(owner, name, changed)


def failing_behind(monkeypatch, ovs, others):
    """Have others do something behind the call's transaction, and then the call fail."""

    def check(session, dev):
        others()
        raise SwitchRefused("as the test has it", device=dev)

    monkeypatch.setattr(ovs, "_check_port", check)


# -- others meanwhile -----------------------------------------------------------------------------------


def test_a_bridge_that_another_process_was_quicker_to_make_stays(ovs, switch, monkeypatch):
    ovs.create_tap_dev("tap1")
    with LinuxNetDevDriver() as other:

        def quicker():
            other.ensure_ovs_bridge("br1", datapath_type="netdev")
            other.create_ovs_vif_port("br1", "tap1", "id", MAC)

        def refuse(*args, **options):
            raise InvalidArgument("as the test has it")

        once(monkeypatch, database.Session, "_commit", before=quicker)
        monkeypatch.setattr(ovs, "_finish_device", refuse)
        with pytest.raises(InvalidArgument):
            ovs.ensure_ovs_bridge("br1", datapath_type="netdev", mtu=1400)
        assert other.ovs_ports("br1") == ("tap1",)
    assert "mtu_request" not in switch.rows()["Interface br1"]


def test_what_a_controller_has_set_meanwhile_stays_and_the_rest_is_as_it_was(ovs, switch, plug, monkeypatch):
    plug("tap1", tag=7)
    switch.vsctl("set", "interface", "tap1", "external_ids:vm-uuid=before", "options:n_rxq=2")
    was = switch.rows()["Interface tap1"]["external_ids"]

    def controller():
        switch.vsctl("set", "port", "tap1", "tag=4095", "external_ids:neutron=1")
        switch.vsctl("set", "interface", "tap1", "external_ids:attached-mac=theirs", "external_ids:ovn-installed=true")

    failing_behind(monkeypatch, ovs, controller)
    with pytest.raises(SwitchRefused):
        ovs.create_ovs_vif_port("br0", "tap1", "another", "52:54:00:00:00:01", tag=9, vlan_mode="native-tagged")
    rows = switch.rows()
    assert (rows["Port tap1"]["tag"], rows["Port tap1"]["external_ids"]) == (4095, {"neutron": "1"})
    assert "vlan_mode" not in rows["Port tap1"]
    assert rows["Interface tap1"]["external_ids"] == {**was, "attached-mac": "theirs", "ovn-installed": "true"}


def test_a_port_that_others_have_deleted_meanwhile_stays_deleted(ovs, switch, plug, monkeypatch):
    plug("tap1", tag=7)
    failing_behind(monkeypatch, ovs, lambda: switch.vsctl("del-port", "br0", "tap1"))
    with pytest.raises(SwitchRefused):
        ovs.create_ovs_vif_port("br0", "tap1", "another", MAC)
    assert ovs.ovs_ports("br0") == ()


def test_a_port_that_others_have_made_in_place_of_the_calls_own_stays(ovs, switch, monkeypatch):
    ovs.create_tap_dev("tap1")
    failing_behind(monkeypatch, ovs, lambda: switch.vsctl("del-port", "tap1", "--", "add-port", "br0", "tap1", "tag=3"))
    with pytest.raises(SwitchRefused):
        ovs.create_ovs_vif_port("br0", "tap1", "id", MAC)
    assert switch.rows()["Port tap1"]["tag"] == 3


def test_a_row_that_changes_at_the_last_moment_does_not_keep_the_rest(ovs, switch, plug, monkeypatch):
    """Others write between the look at what is to be taken back and the transaction that does it."""
    plug("tap1", tag=7)

    def controller():
        once(
            monkeypatch,
            database.Session,
            "_commit",
            before=lambda: switch.vsctl(
                *("set", "port", "tap1", "tag=4095", "--"),
                *("set", "interface", "tap1", "external_ids:iface-id=theirs"),
            ),
        )

    failing_behind(monkeypatch, ovs, controller)
    with pytest.raises(SwitchRefused):
        ovs.create_ovs_vif_port("br0", "tap1", "another", "52:54:00:00:00:01", tag=9, vlan_mode="native-tagged")
    rows = switch.rows()
    assert rows["Port tap1"]["tag"] == 4095
    assert "vlan_mode" not in rows["Port tap1"]
    ids = rows["Interface tap1"]["external_ids"]
    assert (ids["iface-id"], ids["attached-mac"]) == ("theirs", MAC)


def test_a_deleted_port_is_put_back_once(ovs, switch, plug, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    plug("tap1", tag=3)
    with switch.hung_daemon(), pytest.raises(SwitchUnreachable):
        ovs.delete_ovs_vif_port("br0", "tap1")
    assert switch.rows()["Port tap1"]["tag"] == 3
    assert sum("takes back" in record for record in switch.records()) == 1


# -- restarts -------------------------------------------------------------------------------------------


CALLS = {
    "port": lambda ovs: ovs.create_ovs_vif_port("br0", "tap2", "id", MAC, tag=5),
    "changed port": lambda ovs: ovs.create_ovs_vif_port("br0", "tap1", "another", MAC, tag=5),
    "bridge": lambda ovs: ovs.ensure_ovs_bridge("br1", datapath_type="netdev", mac_address=MAC),
    "cable": lambda ovs: ovs.create_ovs_patch_ports("br0", "p0", "br2", "p1"),
}


@pytest.mark.parametrize(
    ("what", "is_answered"), [("port", False), ("changed port", True), ("bridge", False), ("cable", True)]
)
def test_what_was_written_when_both_daemons_ended_is_taken_back(ovs, switch, plug, monkeypatch, what, is_answered):
    plug("tap1", tag=3)
    ovs.create_tap_dev("tap2")
    ovs.ensure_ovs_bridge("br2", datapath_type="netdev")
    monkeypatch.setattr(database, "ANSWER", 1.5)
    before = switch.rows()
    written = []

    def restart():
        written.append(switch.rows())
        switch.stop_database(kill=True)
        switch.start_database()
        if not is_answered:
            raise replica.Lost

    once(monkeypatch, replica.Replica, "transact", before=lambda: switch.stop_daemon(kill=True), after=restart)
    with pytest.raises(SwitchUnreachable, match="ovs-vswitchd"):
        CALLS[what](ovs)
    assert written != [before]
    assert switch.rows() == before


# -- interrupts -----------------------------------------------------------------------------------------


def test_an_interrupt_while_the_switch_hangs_ends_the_call_and_takes_it_back(ovs, switch, monkeypatch):
    ovs.create_tap_dev("tap1")
    before = switch.rows()
    waits, came = threading.Event(), threading.Event()
    once(monkeypatch, database.Session, "_taken_over", before=waits.set)

    def handler(number, frame):
        if not came.is_set():
            came.set()
            raise KeyboardInterrupt

    def interrupt():
        assert waits.wait(60)
        wait_until(lambda: ovs.switch._replica._reader is not None, "the call waits for the switch")
        while not came.wait(0.05):  # a signal just before a wait does not end it
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    thread = threading.Thread(target=interrupt)
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        thread.start()
        with switch.hung_daemon(), pytest.raises(KeyboardInterrupt):
            ovs.create_ovs_vif_port("br0", "tap1", "id", MAC)
    finally:
        came.set()
        thread.join()
        signal.signal(signal.SIGALRM, previous)
    assert switch.rows() == before
    ovs.create_ovs_vif_port("br0", "tap1", "id", MAC)
    assert (ovs.ovs_port("tap1").ofport or 0) > 0


@pytest.mark.parametrize("what", ["ended", "silent"])
def test_an_interrupt_is_told_where_nothing_can_be_taken_back(ovs, switch, plug, monkeypatch, what):
    plug("tap1")
    monkeypatch.setattr(database, "ANSWER", 1.0)
    calls = []

    def interrupted(session, dev):
        calls.append(dev)
        if what == "ended":
            switch.stop_database(kill=True)
        else:
            hang.__enter__()
        raise KeyboardInterrupt

    hang = switch.hung_database()
    monkeypatch.setattr(ovs, "_check_port", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            ovs.create_ovs_vif_port("br0", "tap1", "another", MAC)
    finally:
        if what == "silent":
            hang.__exit__(None, None, None)
    assert calls == ["tap1"]
    switch.mend()
    assert ovs.ovs_ports("br0") == ("tap1",)


def test_an_interrupted_transaction_is_taken_back_when_it_has_come_to_the_database(ovs, switch, plug, monkeypatch):
    plug("tap1", tag=7)
    before = switch.rows()
    original = replica.Replica.transact

    def interrupted(self, operations, deadline):
        monkeypatch.setattr(replica.Replica, "transact", original)
        self._send("transact", [replica.DATABASE, *operations], deadline)
        raise KeyboardInterrupt

    monkeypatch.setattr(replica.Replica, "transact", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ovs.set_ovs_port_vlan("tap1", tag=9)
    assert switch.rows() == before
    assert sum("takes back" in record for record in switch.records()) == 1


def test_an_interrupt_never_leaves_the_switchs_lock_taken(ovs, switch, plug, monkeypatch):
    plug("tap1")
    original = replica.Replica._send

    def interrupted(self, method, *rest):
        if method == "unlock":
            monkeypatch.setattr(replica.Replica, "_send", original)
            raise KeyboardInterrupt
        return original(self, method, *rest)

    monkeypatch.setattr(replica.Replica, "_send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ovs.ovs_ports("br0")
    assert ovs.ovs_ports("br0") == ("tap1",)
