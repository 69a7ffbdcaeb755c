"""Wrong about taps."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
from typing import Any

from conformance.mutants import mutant
from conformance.topology.linux.endpoints import open_tap
from refnet.errors import AlreadyExists, InvalidArgument, RefnetError, WrongKind
from refnet.netdev.driver import Device, Kind, NetDevDriver


def _is_tap(driver: NetDevDriver, dev: str) -> bool:
    return driver.device_exists(dev) and driver.device(dev).kind is Kind.TAP


@mutant(
    "tap-not-persistent",
    "makes a tap that goes away with the driver's own descriptor",
    {"TA-01": "there is no device tap0", "TA-02": "tap0 is gone", "TA-07": "there is no device tap0"},
)
def tap_not_persistent(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            super().delete_net_dev(dev)

    return Wrong


@mutant(
    "tap-held-by-the-driver",
    "keeps its own descriptor of the tap open",
    {
        "TA-01": "tap0 cannot be held by a program",
        "TA-02": "tap0 cannot be held by a program",
        "TA-04": "before anybody holds it, tap0 has a carrier",
    },
)
def tap_held_by_the_driver(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.held: list[int] = []

        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            self.held.append(open_tap(dev))

        def close(self) -> None:
            while self.held:
                os.close(self.held.pop())
            super().close()

    return Wrong


@mutant(
    "tap-left-down",
    "forgets to set the tap up",
    {"TA-01": "it did not arrive", "TA-03": "the new tap tap0 is down", "TA-08": "is still down"},
)
def tap_left_down(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            self.set_device_disabled(dev)

    return Wrong


@mutant(
    "tap-without-mac",
    "forgets the MAC address",
    {"TA-03": "what the host sends through tap0 comes from", "TA-08": "what the host sends through tap0 comes from"},
)
def tap_without_mac(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, mac_address: str | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, **options)

    return Wrong


@mutant("tap-without-mtu", "forgets the MTU", {"TA-03": "tap0 has MTU 1500", "TA-08": "tap0 has MTU 1500"})
def tap_without_mtu(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, mtu: int | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-without-queues",
    "drops multi_queue without a word",
    {"TA-06": "has multi_queue=False", "TA-10": "is not refused with Mismatch: it goes through"},
)
def tap_without_queues(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, multi_queue: bool = False, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-lies-about-queues",
    "drops multi_queue, and says that it is there",
    {"TA-06": "tap0 cannot be held by a program with 2 queue(s)"},
)
def tap_lies_about_queues(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, multi_queue: bool = False, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)

        def device(self, dev: str) -> Device:
            found: Device = super().device(dev)
            return dataclasses.replace(found, multi_queue=True)

    return Wrong


@mutant(
    "tap-always-multi-queue",
    "makes every tap with several queues",
    {"TA-01": "tap0 cannot be held by a program with 1 queue(s)", "TA-05": "tap0 cannot be held by a program"},
)
def tap_always_multi_queue(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, multi_queue: bool = False, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, multi_queue=True, **options)

    return Wrong


@mutant(
    "tap-always-has-carrier",
    "says that a tap that is up has a carrier",
    {"TA-04": "before anybody holds it, device() says that tap0 has a carrier"},
)
def tap_always_has_carrier(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device(self, dev: str) -> Device:
            found: Device = super().device(dev)
            return dataclasses.replace(found, carrier=found.up)

    return Wrong


@mutant(
    "tap-not-adopted",
    "refuses a tap that is there",
    {"TA-07": "AlreadyExists", "TA-08": "AlreadyExists", "TA-09": "AlreadyExists", "TA-15": "AlreadyExists"},
)
def tap_not_adopted(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            if self.device_exists(dev):
                raise AlreadyExists(f"there is a device {dev} already", device=dev)
            super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-taken-as-it-is",
    "does nothing when there is a device by that name",
    {
        "TA-08": "is still down",
        "TA-10": "is not refused with Mismatch: it goes through",
        "TA-11": "is not refused with WrongKind: it goes through",
        "TA-15": "user 1, group 2 cannot hold tap0",
    },
)
def tap_taken_as_it_is(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            if not self.device_exists(dev):
                super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-replaced",
    "deletes whatever has the name, then makes the tap",
    {
        "TA-07": "there was nothing to do",
        "TA-08": "sees nothing of it",
        "TA-09": "there was nothing to do",
        "TA-10": "is not refused with Mismatch: it goes through",
        "TA-11": "is not refused with WrongKind: it goes through",
    },
)
def tap_replaced(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            if dev != "lo":
                self.delete_net_dev(dev)
            super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-written-each-time",
    "sets everything once more, whether it differs or not",
    {"TA-07": "there was nothing to do", "TA-09": "there was nothing to do"},
)
def tap_written_each_time(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, mac_address: str | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, mac_address, **options)
            self.set_device_macaddr(dev, self.device(dev).mac_address)

    return Wrong


@mutant(
    "tap-without-owner",
    "forgets the owner",
    {"TA-12": "user 2, group 2 can hold tap0", "TA-14": "device() gives owner None"},
)
def tap_without_owner(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, owner: int | str | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-group-for-owner",
    "gives the group's number to the owner",
    {"TA-13": "user 2, group 1 cannot hold tap0", "TA-14": "device() gives owner 1 and group None"},
)
def tap_group_for_owner(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, group: int | str | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **{**options, "owner": options.get("owner", group)})

    return Wrong


@mutant(
    "tap-owner-unchecked",
    "looks users up without caring for those that are not there",
    {"TA-16": "let out a KeyError"},
)
def tap_owner_unchecked(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, owner: int | str | None = None, **options: Any) -> None:
            uid = pwd.getpwnam(owner).pw_uid if isinstance(owner, str) else owner
            super().create_tap_dev(dev, *arguments, owner=uid, **options)

    return Wrong


@mutant(
    "tap-owner-ignored",
    "makes the tap without an owner where the owner is bad",
    {"TA-16": "is not refused with InvalidArgument: it goes through"},
)
def tap_owner_ignored(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            try:
                super().create_tap_dev(dev, *arguments, **options)
            except InvalidArgument:
                super().create_tap_dev(dev)

    return Wrong


@mutant(
    "tap-cuts-names",
    "cuts a name that is too long",
    {"TA-17": "create_tap_dev of 'tap0123456789012' is not refused with InvalidArgument: it goes through"},
)
def tap_cuts_names(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev[:15] if isinstance(dev, str) else dev, *arguments, **options)

        def delete_net_dev(self, dev: str) -> None:
            super().delete_net_dev(dev[:15])

        def close(self) -> None:
            super().delete_net_dev("tap012345678901")
            super().close()

    return Wrong


@mutant(
    "tap-takes-words-for-flags",
    "takes any value of multi_queue for true or false",
    {"TA-17": "create_tap_dev with multi_queue='no' is not refused with InvalidArgument: it goes through"},
)
def tap_takes_words(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, multi_queue: Any = False, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, multi_queue=bool(multi_queue), **options)

    return Wrong


@mutant(
    "tap-half-made",
    "leaves what it has done so far when it is refused the rest",
    {"TA-18": "tap0 was refused MTU 65535"},
)
def tap_half_made(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, mtu: int | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            if mtu is not None:
                self.set_device_mtu(dev, mtu)

        def close(self) -> None:
            super().delete_net_dev("tap0")
            super().close()

    return Wrong


@mutant(
    "tap-half-changed",
    "leaves a tap that is there half changed when it is refused the rest",
    {"TA-18": "tap1 was refused MTU 65535"},
)
def tap_half_changed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, mac_address: str | None = None, **options: Any) -> None:
            if mac_address is not None and _is_tap(self, dev):
                self.set_device_macaddr(dev, mac_address)
            super().create_tap_dev(dev, mac_address, **options)

    return Wrong


@mutant(
    "tap-mtu-cut",
    "gives less MTU than asked where the system does not give it",
    {"TA-18": "tap0 was not refused MTU 65535"},
)
def tap_mtu_cut(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, mtu: int | None = None, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, mtu=min(mtu, 9000) if mtu else mtu, **options)

    return Wrong


@mutant("tap-not-deleted-while-held", "spares a tap that is held", {"TA-19": "tap0 was deleted, and is still there"})
def tap_not_deleted_while_held(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_net_dev(self, dev: str) -> None:
            if self.device_exists(dev) and self.device(dev).carrier:
                return
            super().delete_net_dev(dev)

    return Wrong


@mutant(
    "tap-delete-by-memory",
    "deletes only once what it has made once",
    {"TA-20": "there is no device tap0"},
)
def tap_delete_by_memory(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.made: set[str] = set()

        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            if dev not in self.made:
                super().create_tap_dev(dev, *arguments, **options)
                self.made.add(dev)

    return Wrong


@mutant(
    "tap-existence-by-memory",
    "says that a tap is there that it has made once",
    {"TA-19": "device_exists() says that it is there"},
)
def tap_existence_by_memory(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.made: set[str] = set()

        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            super().create_tap_dev(dev, *arguments, **options)
            self.made.add(dev)

        def device_exists(self, dev: str) -> bool:
            return dev in self.made or bool(super().device_exists(dev))

    return Wrong


@mutant(
    "tap-errors-swallowed",
    "takes refusals for success",
    {
        "TA-11": "is not refused with WrongKind: it goes through",
        "TA-17": "is not refused with InvalidArgument: it goes through",
        "TA-18": "there is no device tap0",
    },
)
def tap_errors_swallowed(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            with contextlib.suppress(WrongKind, InvalidArgument):
                super().create_tap_dev(dev, *arguments, **options)

    return Wrong


@mutant(
    "tap-error-about-nothing",
    "does not say which device an error is about",
    {"TA-11": "the error is about None"},
)
def tap_error_about_nothing(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_tap_dev(self, dev: str, *arguments: Any, **options: Any) -> None:
            try:
                super().create_tap_dev(dev, *arguments, **options)
            except RefnetError as error:
                error.device = None
                raise

    return Wrong
