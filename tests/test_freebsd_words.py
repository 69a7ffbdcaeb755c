"""The table from the programs' words to errors, on every command of the transcript that has failed."""

from __future__ import annotations

import errno

import pytest
import replay

from refnet.errors import (
    AlreadyExists,
    InvalidArgument,
    KernelRefused,
    NoSuchDevice,
    PermissionDenied,
    RefnetError,
    Unsupported,
)
from refnet.netdev.driver import Capability
from refnet.netdev.freebsd.tools import Refusal, words_of
from refnet.netdev.freebsd.words import WORDS, meaning, translate
from refnet.process import Completed

FAILED = [entry for entry in replay.entries("netdev.txt") if entry.status]

GONE = (NoSuchDevice, errno.ENXIO)
EXPECTED: dict[str, tuple[type[RefnetError], int | None]] = {
    "ifconfig bridge create name br100": (AlreadyExists, errno.EEXIST),
    "ifconfig bridge0 create": (AlreadyExists, errno.EEXIST),
    "ifconfig bridge create name br-very-long-nam": (InvalidArgument, errno.ENAMETOOLONG),
    "ifconfig bridge create name ''": (InvalidArgument, errno.EINVAL),
    "ifconfig nosuch0": GONE,
    "ifconfig nosuch0 destroy": GONE,
    "ifconfig nosuch0 up": GONE,
    "ifconfig br100 addm nosuch0": (NoSuchDevice, errno.ENOENT),
    "ifconfig tap create name tapvm1": (AlreadyExists, errno.EEXIST),
    "ifconfig br100 addm tapvm1": (AlreadyExists, errno.EEXIST),
    "ifconfig bridge0 addm tapvm1": GONE,
    "ifconfig br100 deletem nosuch0": (NoSuchDevice, errno.ENOENT),
    "ifconfig bridge0 deletem tapvm1": GONE,
    "ifconfig tapvm1 mtu 1400": (Unsupported, errno.EOPNOTSUPP),
    "ifconfig br100 mtu 99999": (InvalidArgument, errno.EINVAL),
    "ifconfig br100 mtu 10": (InvalidArgument, errno.EINVAL),
    "ifconfig br100 ether zz:00:00:00:00:64": (InvalidArgument, errno.EINVAL),
    "ifconfig br100 fwddelay 0": (InvalidArgument, errno.EINVAL),
    "ifconfig br100 inet 10.9.1.9/24 -alias": (InvalidArgument, errno.EADDRNOTAVAIL),
    "ifconfig br100 destroy": GONE,
    "ifconfig bridge0 destroy": GONE,
    "ifconfig vlan create vlan 100 vlandev epair0a name vlan100b": (AlreadyExists, errno.EEXIST),
    "ifconfig vlan create vlan 100 vlandev epair0b name vlan100": (AlreadyExists, errno.EEXIST),
    "ifconfig vlan create vlan 0 vlandev epair0a name vlan0x": (InvalidArgument, errno.EINVAL),
    "ifconfig vlan create vlan 4095 vlandev epair0a name vlan4095": (InvalidArgument, errno.EINVAL),
    "ifconfig vlan create vlan 4096 vlandev epair0a name vlan4096": (InvalidArgument, errno.EINVAL),
    "ifconfig vlan create vlan 101 vlandev nosuch0 name vlan101": GONE,
    "ifconfig vlan100 mtu 1600": (InvalidArgument, errno.EINVAL),
    "ifconfig vlan100 destroy": (KernelRefused, errno.EBUSY),
    "jail -c name=g1 persist vnet path=/": (AlreadyExists, errno.EEXIST),
    "ifconfig epair0b vnet nosuch": GONE,
    "ifconfig epair0b": GONE,
    # No command of the driver's, and no words that it knows.
    "ping -c1 -t2 10.9.0.77": (KernelRefused, None),
    "jail -r g1": (KernelRefused, None),
    "route add 192.0.2.0/24 10.0.2.2": (AlreadyExists, errno.EEXIST),
    "route delete 192.0.2.0/24": (KernelRefused, errno.ESRCH),
    "route add 192.0.2.0/24 203.0.113.1": (InvalidArgument, errno.EINVAL),
    "su -m nobody -c 'ifconfig bridge create'": (PermissionDenied, errno.EPERM),
    "su -m nobody -c 'ifconfig tap create'": (PermissionDenied, errno.EPERM),
    "su -m nobody -c 'pfctl -s info'": (PermissionDenied, errno.EACCES),
}


def test_every_failure_is_expected() -> None:
    assert {entry.command for entry in FAILED} == set(EXPECTED)


@pytest.mark.parametrize("entry", FAILED, ids=lambda entry: entry.command)
def test_failure(entry: replay.Entry) -> None:
    kind, number = EXPECTED[entry.command]
    words = words_of(Completed((), entry.status, entry.stdout, entry.stderr))
    error = translate(Refusal(words), "em0")
    assert (type(error), error.errno) == (kind, number), words
    assert error.detail == words
    assert error.device == "em0"
    assert "em0" in error.message


@pytest.mark.parametrize(("words", "number", "kind"), WORDS, ids=lambda value: str(value))
def test_each_row_is_reached(words: str, number: int, kind: type[RefnetError]) -> None:
    assert meaning(f"ifconfig: SIOCSOMETHING: {words}") == (number, kind)


def test_a_kind_of_device_that_the_kernel_does_not_have() -> None:
    words = "ifconfig: SIOCIFCREATE2 (bridge): Invalid argument"
    error = translate(Refusal(words), "br0", Capability.BRIDGE)
    assert isinstance(error, Unsupported)
    assert (error.capability, error.errno) == (Capability.BRIDGE, errno.EINVAL)
    denied = translate(Refusal("ifconfig: SIOCIFCREATE2 (tap5): Operation not permitted"), "tap5", Capability.TAP)
    assert isinstance(denied, PermissionDenied)


def test_what_could_not_be_taken_back_is_told() -> None:
    error = translate(Refusal("ifconfig: Invalid argument", left_over=("ifconfig br0 destroy: Device busy",)), "br0")
    assert "what could not be taken back: ifconfig br0 destroy: Device busy" in str(error)
