"""The environment ``linux-vm``: Debian's kernel and the root file system of images/linux, under QEMU.

It brings what the host's kernel may lack (8021q, openvswitch), and needs no rights here beyond an ordinary user's. Who
may come in is settled before it boots: a key pair and a host key are made for each machine, so nothing is trusted at
first use, and all of it goes away with the machine.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from conformance.environments import images, kvm, qemu
from conformance.environments.base import Availability, Options
from conformance.environments.vm import HOST, VirtualMachine, accelerator, missing_programs
from conformance.errors import EnvironmentUnavailable

#: What images/linux/init says on the console.
READY = "refnet-vm: ready"


class LinuxVm(VirtualMachine):
    """A virtual machine with Debian's kernel."""

    name = "linux-vm"
    heeds = frozenset({"kernel", "memory"})

    def __init__(self, options: Options) -> None:
        """Read the options.

        Raises:
            ValueError: there is no such kernel, or too little memory.
        """
        super().__init__(options)
        if options.kernel not in images.FLAVOURS:
            raise ValueError(f"--kernel {options.kernel}: expected {' or '.join(images.FLAVOURS)}")
        self._image: images.LinuxImage | None = None

    @classmethod
    def availability(cls, options: Options) -> Availability:
        """See what programs are here, whether the image is built, and what is known about KVM."""
        missing = missing_programs(also=["ssh-keygen"])
        try:
            image = images.cached()
        except EnvironmentUnavailable as unavailable:
            return Availability((*missing, str(unavailable)))
        if image is None:
            missing += images.missing()
        if missing:
            return Availability(tuple(missing))
        known = kvm.words(_key(image, options.kernel), qemu.version()) if image else "KVM not tried yet"
        built = "image built" if image else "image not built yet: takes one or two minutes, once"
        return Availability(found=f"QEMU {qemu.version()}, {known}, {built}")

    def __enter__(self) -> LinuxVm:
        """Boot it.

        Raises:
            EnvironmentUnavailable: it cannot be had; the message says what is missing, or has the console's end.
        """
        missing = self.availability(self.options).missing
        if missing:
            raise EnvironmentUnavailable(f"linux-vm: {'; '.join(missing)}")
        say = self.options.say
        image = images.linux_image(say)
        kernel, initrd = image.kernel(self.options.kernel)
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(qemu.folder())
            except OSError as error:
                raise EnvironmentUnavailable(f"linux-vm: no temporary folder can be made: {error}") from error
            _make_keys(folder)
            guest = qemu.Guest(
                disk=image.disk,
                ready=READY,
                key=_key(image, self.options.kernel),
                kernel=kernel,
                initrd=initrd,
                # A kernel that has gone wrong ends the machine rather than judging drivers. What protects one guest's
                # processes from another's costs time that emulation has not got.
                arguments=f"console={qemu.serial_console()} quiet panic=-1 oops=panic mitigations=off",
                seed=_seed(folder, {"client.pub": "authorized_keys", "host": "host_key"}),
                memory=self.memory,
            )
            say(f"booting a virtual machine ({self.options.kernel} kernel, {self.memory} MiB)")
            self._machine = stack.enter_context(self._boot(guest, folder))
            self._image = image
            self._stack = stack.pop_all()
        return self

    def details(self) -> Mapping[str, str]:
        """Return what the machine is made of."""
        assert self._image is not None
        return {
            "accelerator": accelerator(self.machine),
            "qemu": qemu.version(),
            "kernel": self.options.kernel,
            "image": self._image.hash,
            "memory": f"{self.memory} MiB",
        }

    def _identity(self, machine: qemu.Machine) -> tuple[Path | None, Mapping[str, str]]:
        return machine.folder / "client", {"StrictHostKeyChecking": "yes", "IdentityAgent": "none"}


def _key(image: images.LinuxImage, flavour: str) -> str:
    return f"{image.hash}-{flavour}"


def _make_keys(folder: Path) -> None:
    """Make a key pair for the way in and one for the machine."""
    for name in ("client", "host"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", HOST, "-f", str(folder / name)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EnvironmentUnavailable(f"linux-vm: ssh-keygen failed: {(done.stderr or done.stdout).strip()}")
    (folder / "known_hosts").write_text(f"{HOST} {(folder / 'host.pub').read_text()}")


def _seed(folder: Path, names: Mapping[str, str]) -> bytes:
    """Return the second disk: a tar archive, which images/linux/init unpacks."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, inside in names.items():
            tar.add(folder / name, inside)
    return archive.getvalue()
