"""Scenes of devices of Open vSwitch, which has to be installed where they are recorded."""

from __future__ import annotations

from freebsd_scenes.scene import PAIR, Scene

_PLACE = "/tmp/refnet-record-switch"
_SURROUNDINGS = f"export OVS_RUNDIR={_PLACE} OVS_LOGDIR={_PLACE} OVS_DBDIR={_PLACE}"
_OPTIONS = "--pidfile --log-file --detach --no-chdir -vconsole:off -vsyslog:off"
_SET_UP = (
    f"mkdir {_PLACE}; {_SURROUNDINGS}"
    f" && ovsdb-tool create {_PLACE}/conf.db /usr/local/share/openvswitch/vswitch.ovsschema"
    f" && ovsdb-server --remote=punix:{_PLACE}/db.sock {_OPTIONS} && ovs-vswitchd {_OPTIONS}"
    " && ovs-vsctl add-br br-int -- set Bridge br-int datapath_type=netdev"
    " -- add-port br-int gw0 -- set Interface gw0 type=internal"
)
_PORT = f"{_SURROUNDINGS}; ovs-vsctl add-port br-int epair0a"
_KILL = f"kill -KILL $(cat {_PLACE}/ovs-vswitchd.pid); sleep 1"
_END = f"kill $(cat {_PLACE}/*.pid) 2>/dev/null; sleep 1; rm -r {_PLACE}"
_NAMES = ("br-int", "gw0")

SCENES = (
    Scene(
        "leftovers of a switch that lives",
        lambda d: d._clear_leftovers(_NAMES),
        (_SET_UP,),
        lambda found: found is False,
        after=_END,
    ),
    Scene(
        "leftovers of a switch that was killed",
        lambda d: d._clear_leftovers(_NAMES),
        (_SET_UP, _KILL),
        lambda found: found is True,
        after=_END,
    ),
    Scene(
        "leftovers of nobody",
        lambda d: d._clear_leftovers(_NAMES),
        # One for a guest to come, as create_tap_dev makes it, one that is an administrator's, and no tap.
        (
            "ifconfig tap create name br-int group refnet; ifconfig tap create name gw0 up",
            "ifconfig epair create name ovs-netdev",
        ),
        lambda found: found is False,
    ),
    Scene(
        "a port that the switch hears",
        lambda d: d._is_heard_by_switch("epair0a"),
        (_SET_UP, PAIR, _PORT),
        lambda heard: heard is True,
        after=_END,
    ),
    Scene(
        "a port whose device was made anew",
        lambda d: d._is_heard_by_switch("epair0a"),
        (_SET_UP, PAIR, _PORT, f"ifconfig epair0a destroy; {PAIR}"),
        lambda heard: heard is False,
        after=_END,
    ),
    Scene(
        "a device that somebody listens to",
        lambda d: d._is_heard_by_switch("epair0a"),
        (PAIR, "tcpdump -i epair0a -w /dev/null >/dev/null 2>&1 & echo $! >/tmp/refnet-record-listener; sleep 2"),
        lambda heard: heard is False,
        after="kill $(cat /tmp/refnet-record-listener); rm /tmp/refnet-record-listener; sleep 1",
    ),
    Scene("a port without a device", lambda d: d._is_heard_by_switch("nosuch0"), (), lambda heard: heard is None),
)
