"""The environment ``freebsd-vm``: a FreeBSD disk under QEMU.

Any disk will do that boots by BIOS, asks for an address by DHCP on ``vtnet0`` or has 10.0.2.15 there, and whose system
has an ssh server and Python 3.10 or later. It is never written to. What the machine is to be known by, its host key,
is unknown here before it answers; it answers on a port of the loopback that this run has just opened, so the first key
is taken, for this run only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from conformance.environments import disks, freebsd_image, kvm, qemu, ssh
from conformance.environments.base import Availability, Options
from conformance.environments.freebsd_guest import ARCHITECTURE, guest
from conformance.environments.login import Login, LoginRefused
from conformance.environments.vm import VirtualMachine, accelerator, missing_programs
from conformance.errors import EnvironmentUnavailable

#: What is run to see whether the way in is open: the login shell may be any, and may say something before.
_PROBE = "uname -s; id -u"


class FreebsdVm(VirtualMachine):
    """A virtual machine that boots a FreeBSD disk."""

    name = "freebsd-vm"
    heeds = frozenset({"disk", "ssh_key", "ssh_user", "memory"})
    drivers = MappingProxyType({"netdev": "freebsd", "firewall": "pf", "dhcp": "dnsmasq"})

    def __init__(self, options: Options) -> None:
        """Read the options, and look at the disk.

        Raises:
            ValueError: a file is not what it has to be, the user is none, or too little memory.
        """
        super().__init__(options)
        self.user = options.ssh_user or "root"
        if not ssh.is_user(self.user):
            raise ValueError(f"--ssh-user {options.ssh_user!r} is no name of a user that ssh can be given")
        ssh.see_key(options.ssh_key)
        if options.disk is not None:
            disks.look(options.disk)
        self._disk: disks.Disk | None = None
        self._key: Path | None = None

    @classmethod
    def availability(cls, options: Options) -> Availability:
        """See what programs are here, and what disk there is."""
        missing = missing_programs(ARCHITECTURE)
        try:
            disk, _ = _disk_and_key(options)
        except (EnvironmentUnavailable, ValueError) as error:
            return Availability((*missing, str(error)))
        if missing:
            return Availability(tuple(missing))
        version = qemu.version(ARCHITECTURE)
        which = "the disk" if options.disk else "the image of 'make freebsd-image'"
        return Availability(found=f"QEMU {version}, {kvm.words(disk.key, version)}, {which} {disk.path}")

    def __enter__(self) -> FreebsdVm:
        """Boot it, and wait until it lets the user in.

        Raises:
            EnvironmentUnavailable: it cannot be had; the message says what is missing, or has the console's end.
        """
        missing = missing_programs(ARCHITECTURE)
        try:
            self._disk, self._key = _disk_and_key(self.options)
        except (EnvironmentUnavailable, ValueError) as error:
            raise EnvironmentUnavailable(f"{self.name}: {'; '.join((*missing, str(error)))}") from None
        if missing:
            raise EnvironmentUnavailable(f"{self.name}: {'; '.join(missing)}")
        login = Login(self.ssh, _PROBE)
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(qemu.folder())
            except OSError as error:
                raise EnvironmentUnavailable(f"{self.name}: its temporary folder cannot be made: {error}") from error
            try:
                self._key = _private(self._key, folder)
            except OSError as error:
                raise EnvironmentUnavailable(f"{self.name}: the key cannot be read: {error}") from error
            self.options.say(f"booting a virtual machine ({self._disk.path}, {self.memory} MiB)")
            booted = guest(self._disk.path, self._disk.format, login, self._disk.key, memory=self.memory)
            try:
                self._machine = stack.enter_context(self._boot(booted, folder))
                self._judge(login.said)
            except LoginRefused as refused:
                raise EnvironmentUnavailable(f"{self.name}: {refused}; {self.advice(str(refused))}") from None
            except EnvironmentUnavailable as error:
                last = f"; ssh's last words: {login.refused}" if login.refused else ""
                raise EnvironmentUnavailable(f"{self.name}: {error}{last}") from None
            self._stack = stack.pop_all()
        return self

    def details(self) -> Mapping[str, str]:
        """Return what the machine is made of."""
        assert self._disk is not None
        return {
            "accelerator": accelerator(self.machine),
            "qemu": qemu.version(ARCHITECTURE),
            "disk": f"{self._disk.path.name} ({self._disk.format})",
            "memory": f"{self.memory} MiB",
        }

    def advice(self, said: str) -> str:
        """Return what would help against what ssh has said."""
        if ssh.is_refusal(said) and self._key is None:
            return "give the key that the disk's system allows with --ssh-key, and the user with --ssh-user"
        return ssh.explain(said)

    def _identity(self, machine: qemu.Machine) -> tuple[Path | None, Mapping[str, str]]:
        return self._key, {"StrictHostKeyChecking": "accept-new"}

    def _judge(self, words: list[str]) -> None:
        """See that what answers is what is wanted, from what :data:`_PROBE` has written."""
        system, uid = ["", "", *words][-2:]
        if system != "FreeBSD":
            raise EnvironmentUnavailable(f"the disk's system is {system or 'unknown'}; expected FreeBSD")
        if uid != "0":
            raise EnvironmentUnavailable(
                f"--ssh-user {self.user} has user id {uid} there: devices and jails take root; "
                "expected a user with id 0 (there is no way from one user to another that every FreeBSD has)"
            )


def _disk_and_key(options: Options) -> tuple[disks.Disk, Path | None]:
    """Return the disk and the private key: those that were given, or those of the image that was built."""
    key = Path(os.path.abspath(options.ssh_key)) if options.ssh_key else None
    if options.disk is not None:
        return disks.look(options.disk), key
    image = freebsd_image.cached()
    if image is None:
        raise EnvironmentUnavailable(freebsd_image.how_to_get_one())
    return disks.look(image.disk), key or image.key


def _private(key: Path | None, folder: Path) -> Path | None:
    """Return a key that ssh takes: one that others may read it refuses, and a test machine's is often such a one."""
    if key is None or not key.stat().st_mode & 0o077:
        return key
    copied = folder / "client"
    copied.touch(0o600)
    copied.write_bytes(key.read_bytes())
    return copied
