"""Virtual functions in what netdevsim does not show: messages, PCI's part of /sys, and the files of saved states."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import faults
from conformance.harness import in_child
from conformance.topology.linux import Sandbox
from refnet import locks, names
from refnet.errors import InvalidArgument, KernelRefused, NoSuchDevice, PermissionDenied, RefnetError, Unsupported
from refnet.netdev.driver import Capability
from refnet.netdev.linux import LinuxNetDevDriver, functions, pci
from refnet.netdev.linux.functions import DOT1Q, Function
from refnet.netdev.linux.link import IFINFO
from refnet.netdev.linux.netlink import HEADER, KernelError, attributes, pack
from refnet.netdev.linux.saved import Saved
from refnet.netdev.linux.sriov import _refused
from refnet.netdev.model import LinkState

MAC, NO_MAC = "02:00:00:00:00:a1", "00:00:00:00:00:00"
PHYSICAL, VIRTUAL = "0000:81:00.0", "0000:81:10.2"
#: linux/if_link.h
IFLA_IFNAME, IFLA_NUM_VF, IFLA_VFINFO_LIST, IFLA_PERM_ADDRESS, IFLA_PARENT_DEV_NAME, IFLA_PARENT_DEV_BUS_NAME = (
    *(3, 21, 22),
    *(54, 56, 57),
)
IFLA_VF_MAC, IFLA_VF_VLAN, IFLA_VF_SPOOFCHK, IFLA_VF_LINK_STATE, IFLA_VF_TRUST, IFLA_VF_VLAN_LIST = 1, 2, 4, 5, 9, 12
UNKNOWN = 0xFFFFFFFF

settings = st.builds(
    Function,
    mac_address=st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":")),
    vlan=st.integers(0, 4094),
    qos=st.integers(0, 7),
    protocol=st.sampled_from([DOT1Q, 0x88A8]),
    link_state=st.sampled_from(LinkState),
    spoof_check=st.none() | st.booleans(),
    trusted=st.none() | st.booleans(),
)


# -- messages -----------------------------------------------------------------------------------------


def entry(number: int, one: Function) -> bytes:
    """Return what the kernel says of a virtual function."""
    flag = {None: UNKNOWN, False: 0, True: 1}
    state = list(LinkState).index(one.link_state or LinkState.AUTO)
    vlan = struct.pack("=III", number, one.vlan, one.qos) + struct.pack("!H2x", one.protocol)
    return b"".join(
        (
            pack(IFLA_VF_MAC, struct.pack("=I32s", number, bytes.fromhex(one.mac_address.replace(":", "")))),
            pack(IFLA_VF_VLAN, struct.pack("=III", number, one.vlan, one.qos)),
            pack(IFLA_VF_SPOOFCHK, struct.pack("=II", number, flag[one.spoof_check])),
            pack(IFLA_VF_LINK_STATE, struct.pack("=II", number, state)),
            pack(IFLA_VF_TRUST, struct.pack("=II", number, flag[one.trusted])),
            pack(IFLA_VF_VLAN_LIST, pack(1, vlan)),
        )
    )


def answer(*others: bytes, functions: list[Function], count: int | None = None) -> bytes:
    """Return what the kernel says of a card."""
    listed = b"".join(pack(1, entry(number, one)) for number, one in enumerate(functions))
    told = len(functions) if count is None else count
    # The kernel goes beyond what the length of an attribute can say.
    whole = struct.pack("=HH", (len(listed) + 4) & 0xFFFF, IFLA_VFINFO_LIST) + listed
    head = IFINFO.pack(0, 1, 7, 0, 0) + pack(IFLA_IFNAME, b"card0\0") + pack(IFLA_NUM_VF, struct.pack("=I", told))
    return head + b"".join(others) + whole


@given(st.lists(settings, max_size=6))
def test_what_the_kernel_tells_is_read(told: list[Function]) -> None:
    card = functions.parse(answer(functions=told))
    assert (card.index, card.name) == (7, "card0")
    plain = [one if one.vlan else dataclasses.replace(one, protocol=DOT1Q) for one in told]
    assert dict(card.functions) == dict(enumerate(plain))


@given(settings, settings, st.integers(0, 0xFFFE))
def test_what_is_asked_for_is_what_is_different(now: Function, wanted: Function, number: int) -> None:
    wanted = wanted.over(now)
    body = functions.change(7, number, now, wanted).encode(1)[HEADER.size :]
    found = attributes(attributes(attributes(body, IFINFO.size)[IFLA_VFINFO_LIST])[1])
    assert all(struct.unpack_from("=I", value)[0] == number for key, value in found.items() if key != IFLA_VF_VLAN_LIST)
    assert (IFLA_VF_MAC in found) == (now.mac_address != wanted.mac_address)
    tag = (now.vlan, now.qos, now.protocol) != (wanted.vlan, wanted.qos, wanted.protocol)
    assert (IFLA_VF_VLAN_LIST in found) == tag
    assert (IFLA_VF_TRUST in found) == (now.trusted != wanted.trusted)
    assert (IFLA_VF_SPOOFCHK in found) == (now.spoof_check != wanted.spoof_check)
    assert (IFLA_VF_LINK_STATE in found) == (now.link_state != wanted.link_state)


@pytest.mark.parametrize(("vlan", "protocol"), [(0, 0), (0, 0x88A8), (5, 0)])
def test_without_a_vlan_or_its_protocol_it_is_8021q(vlan: int, protocol: int) -> None:
    card = functions.parse(answer(functions=[Function(MAC, vlan=vlan, protocol=protocol)]))
    assert card.functions[0].protocol == DOT1Q


def test_what_a_card_does_not_tell_stays_as_it_is() -> None:
    now = Function(MAC, link_state=LinkState.AUTO, trusted=True, spoof_check=False)
    assert Function(NO_MAC).over(now) == Function(NO_MAC, link_state=LinkState.AUTO, trusted=True, spoof_check=False)


@pytest.mark.parametrize("count", [600, 3000])
def test_more_than_the_kernel_can_tell_is_refused_and_not_misread(count: int) -> None:
    told = answer(functions=[Function(MAC)] * count)
    with pytest.raises(KernelRefused, match=f"{count} virtual functions"):
        functions.parse(told[: 1 << 16])


def test_256_virtual_functions_are_read() -> None:
    assert len(functions.parse(answer(functions=[Function(MAC)] * 256)).functions) == 256


def test_one_that_the_kernel_does_not_describe_is_none_of_the_cards() -> None:
    assert set(functions.parse(answer(functions=[Function(MAC)] * 2, count=4)).functions) == {0, 1}


def test_a_card_is_known_by_its_place_and_its_own_address() -> None:
    place = pack(IFLA_PARENT_DEV_NAME, b"0000:81:00.0\0") + pack(IFLA_PARENT_DEV_BUS_NAME, b"pci\0")
    known = functions.parse(answer(place, pack(IFLA_PERM_ADDRESS, bytes.fromhex("020000000001")), functions=[]))
    assert known.identity == "pci-0000:81:00.0-020000000001"
    assert known.parent == "0000:81:00.0"
    assert functions.parse(answer(functions=[])).identity == ""


# -- PCI ----------------------------------------------------------------------------------------------


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """PCI's part of /sys: a card with three virtual functions, of which the last has a device, and something else."""
    card = tmp_path / PHYSICAL
    for device, port in (("eth7", "1"), ("eth8", "0")):
        (card / "net" / device).mkdir(parents=True)
        (card / "net" / device / "dev_port").write_text(f"{port}\n")
    for number in range(3):
        function = tmp_path / f"0000:81:10.{number}"
        function.mkdir()
        (function / "physfn").symlink_to(f"../{PHYSICAL}")
        (card / f"virtfn{number}").symlink_to(f"../{function.name}")
    (tmp_path / VIRTUAL / "net" / "p-vf").mkdir(parents=True)
    (tmp_path / "0000:00:1f.0").mkdir()
    return tmp_path


def test_a_virtual_function_is_found_by_its_address(devices: Path) -> None:
    assert pci.place(devices, VIRTUAL) == (PHYSICAL, 2)
    assert pci.place(devices, "0000:81:10.0") == (PHYSICAL, 0)


def test_the_first_ports_device_comes_first(devices: Path) -> None:
    assert pci.devices(devices, PHYSICAL) == ["eth8", "eth7"]
    assert pci.devices(devices, VIRTUAL) == ["p-vf"]
    assert pci.devices(devices, "0000:81:10.0") == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0000:99:00.0", "there is nothing at the PCI address 0000:99:00.0"),
        ("0000:00:1f.0", "what is at 0000:00:1f.0 is no virtual function"),
        (PHYSICAL, f"what is at {PHYSICAL} is no virtual function"),
    ],
)
def test_what_is_no_virtual_function_is_said_to_be_none(devices: Path, address: str, words: str) -> None:
    with pytest.raises(NoSuchDevice, match=words):
        pci.place(devices, address)


def test_a_function_that_has_just_gone_is_said_to_have(devices: Path) -> None:
    (devices / PHYSICAL / "virtfn2").unlink()
    with pytest.raises(NoSuchDevice, match="has just gone"):
        pci.place(devices, VIRTUAL)


def test_a_functions_own_device_is_one_of_the_callers_network(
    driver: LinuxNetDevDriver, stack: Sandbox, devices: Path
) -> None:
    driver.pci_devices = devices
    assert driver.virtual_function_device(VIRTUAL) is None
    stack.plain_cables("p-vf")
    assert driver.virtual_function_device(VIRTUAL) == "p-vf"
    assert driver.virtual_function_device("0000:81:10.0") is None
    stack.remove_plain("p-vf")


def test_a_card_in_another_network_is_no_card(driver: LinuxNetDevDriver, stack: Sandbox, devices: Path) -> None:
    driver.pci_devices = devices
    with pytest.raises(NoSuchDevice, match="no network device in this network namespace") as refusal:
        driver.virtual_function_at(VIRTUAL)
    assert refusal.value.device == VIRTUAL
    # A device of a card's own switch, by a name that the card has: it has no virtual functions.
    stack.plain_cables("eth8")
    with pytest.raises(NoSuchDevice, match="no network device in this network namespace"):
        driver.virtual_function_at(VIRTUAL)
    stack.remove_plain("eth8")


@pytest.mark.parametrize(
    "address", ["", "81:10.2", "0000:81:10.8", "0000:81:20.0", "000:81:10.2", f"../{VIRTUAL}", f"{VIRTUAL}\n", 5, None]
)
def test_what_is_no_pci_address_is_refused(driver: LinuxNetDevDriver, devices: Path, address: str) -> None:
    driver.pci_devices = devices
    for look in (driver.virtual_function_at, driver.virtual_function_device):
        with pytest.raises(InvalidArgument, match="PCI address"):
            look(address)


def test_what_names_and_sets_a_virtual_function_has_a_normal_form() -> None:
    assert names.pci_address("0000:AF:1F.7") == "0000:af:1f.7"
    assert names.pci_address("10000:e1:00.0") == "10000:e1:00.0"
    assert names.virtual_function_mac(NO_MAC) == NO_MAC
    assert names.virtual_function_mac(MAC.upper()) == MAC
    assert [names.virtual_function_vlan(tag) for tag in (0, 4094)] == [0, 4094]
    assert [names.virtual_function(number) for number in (0, 255)] == [0, 255]


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (names.virtual_function, -1),
        (names.virtual_function, 0xFFFF),
        (names.virtual_function, True),
        (names.virtual_function, "0"),
        (names.virtual_function_vlan, -1),
        (names.virtual_function_vlan, 4095),
        (names.virtual_function_vlan, None),
        (names.virtual_function_mac, "01:00:5e:00:00:01"),
        (names.virtual_function_mac, "0:0:0:0:0:0"),
        (names.virtual_function_mac, None),
    ],
)
def test_what_no_virtual_function_can_be_is_refused(check: Callable[[object], object], bad: object) -> None:
    with pytest.raises(InvalidArgument):
        check(bad)


# -- on any device ------------------------------------------------------------------------------------


def test_the_kernel_sets_virtual_functions_for_who_may(driver: LinuxNetDevDriver, stack: Sandbox) -> None:
    assert driver.probe(Capability.SRIOV) is None

    def ask() -> None:
        stack.drop_privileges()
        words = LinuxNetDevDriver().probe(Capability.SRIOV) or ""
        assert "CAP_NET_ADMIN" in words, words

    assert in_child(ask) == 0


@pytest.mark.parametrize("device", ["lo", "p-a"])
def test_a_device_without_virtual_functions_is_asked_once_and_never_written_to(
    driver: LinuxNetDevDriver, stack: Sandbox, device: str
) -> None:
    stack.plain_cables("p-a")
    assert driver.virtual_functions(device) == ()
    calls: list[Callable[[], object]] = [
        lambda: driver.set_device_macaddr_and_vlan(device, 0, MAC, 5),
        lambda: driver.set_device_trust(device, 0, True),
        lambda: driver.set_device_link_state(device, 0, "enable"),
        lambda: driver.restore_virtual_function(device, 0),
    ]
    for call in calls:
        with (
            stack.look.unchanged("no virtual functions"),
            faults.injected(0) as counted,
            pytest.raises(InvalidArgument, match=f"{device} has no virtual functions"),
        ):
            call()
        assert (counted.requests, counted.writes) == (1, 0)
    stack.remove_plain("p-a")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EOPNOTSUPP, Unsupported),
        (errno.EPERM, PermissionDenied),
        (errno.EINVAL, InvalidArgument),
        (errno.EBUSY, KernelRefused),
    ],
)
def test_the_kernels_refusals_are_typed(number: int, kind: type[RefnetError]) -> None:
    refusal = _refused(KernelError(number), "card0", "trust", ["virtual function 1: it is gone"])
    assert type(refusal) is kind
    assert refusal.device == "card0"
    assert refusal.errno == number
    assert "it is gone" in str(refusal)
    if isinstance(refusal, Unsupported):
        assert refusal.capability == "sriov"


# -- saved states -------------------------------------------------------------------------------------


@pytest.fixture
def saved(stack: Sandbox) -> Saved:
    """The file of a virtual function, in a /run of the test's own."""
    return Saved("pci-0000:81:00.0", 2)


def files() -> list[str]:
    return sorted(os.listdir(locks.directory()))


def test_what_is_kept_first_stays_until_it_is_forgotten(saved: Saved) -> None:
    first = Function(MAC, vlan=5, qos=3, protocol=0x88A8, link_state=LinkState.DISABLE, trusted=True)
    assert not saved.is_there
    assert saved.read() is None
    assert saved.keep(first)
    assert not saved.keep(Function(NO_MAC))
    assert Saved("pci-0000:81:00.0", 2).read() == first
    assert Saved("pci-0000:81:00.0", 3).read() is None
    assert files() == ["vf-pci-0000:81:00.0-2.json"]
    saved.forget()
    assert files() == []
    saved.forget()


def test_names_of_cards_are_no_paths(saved: Saved) -> None:
    odd = Saved("pci-../../etc/x y", 0)
    odd.keep(Function(MAC))
    assert files() == ["vf-pci-.._.._etc_x_y-0.json"]
    odd.forget()


def test_half_a_file_of_a_killed_process_is_nothing_and_is_cleared_away(saved: Saved) -> None:
    (locks.directory() / ".vf-pci-0000:81:00.0-2.json.tmp").write_text('{"mac_addr')
    assert saved.is_there
    assert saved.read() is None
    assert saved.keep(Function(MAC))
    assert saved.read() == Function(MAC)
    saved.forget()
    assert files() == []


WHOLE = {
    "format": 1,
    "mac_address": MAC,
    "vlan": 0,
    "qos": 0,
    "protocol": 33024,
    "link_state": None,
    "spoof_check": None,
    "trusted": None,
}


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "[]",
        "{}",
        "\udcff",
        '{"format": 1}',
        json.dumps(WHOLE | {"format": 2}),
        json.dumps(WHOLE | {"more": 1}),
        json.dumps(WHOLE | {"mac_address": "x"}),
        json.dumps(WHOLE | {"vlan": "0"}),
        json.dumps(WHOLE | {"qos": -1}),
        json.dumps(WHOLE | {"link_state": "up"}),
        json.dumps(WHOLE | {"trusted": 1}),
    ],
)
def test_what_somebody_else_wrote_is_refused_and_kept(saved: Saved, garbage: str) -> None:
    path = locks.directory() / "vf-pci-0000:81:00.0-2.json"
    path.write_text(garbage, errors="surrogateescape")
    for use in (saved.read, lambda: saved.keep(Function(MAC))):
        with pytest.raises(RefnetError, match="remove the file") as refusal:
            use()
        assert str(path) in str(refusal.value)
    assert path.read_text(errors="surrogateescape") == garbage
    saved.forget()


def test_a_full_disk_leaves_no_file(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(KernelRefused, match="No space left on device"):
        saved.keep(Function(MAC))
    assert files() == []
