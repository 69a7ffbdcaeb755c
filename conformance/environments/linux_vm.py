"""The environment ``linux-vm``: Debian's kernel and the root file system of images/linux, under QEMU.

It brings what the host's kernel may lack (8021q, openvswitch), and needs no rights here beyond an ordinary user's. Who
may come in is settled before it boots: a key pair and a host key are made for each machine, so nothing is trusted at
first use, and all of it goes away with the machine.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from conformance.environments import images, kvm, qemu, ssh
from conformance.environments.base import Availability, Channel, Environment, Options, ProcessChannel
from conformance.errors import EnvironmentUnavailable

#: MiB: the suite with a few workers takes half of it; and less than the least does not boot.
MEMORY = 1024
_LEAST_MEMORY = 256
#: What images/linux/init says on the console.
READY = "refnet-vm: ready"
_HOST = "refnet-vm"


class LinuxVm(Environment):
    """A virtual machine with Debian's kernel.

    Attributes:
        log_to: where the console's log is to stay as evidence; set it before entering. None: it goes with the machine.
    """

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
        self.memory = MEMORY if options.memory is None else options.memory
        if self.memory < _LEAST_MEMORY:
            raise ValueError(f"--memory {self.memory}: linux-vm needs {_LEAST_MEMORY} MiB at least")
        self.log_to: Path | None = None
        self._stack = contextlib.ExitStack()
        self._machine: qemu.Machine | None = None
        self._image: images.LinuxImage | None = None

    @classmethod
    def availability(cls, options: Options) -> Availability:
        """See what programs are here, whether the image is built, and what is known about KVM."""
        missing = list(qemu.missing())
        if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
            missing.append("ssh or ssh-keygen is missing: 'apt-get install openssh-client' brings them")
        try:
            image = images.cached()
        except EnvironmentUnavailable as unavailable:
            return Availability((*missing, str(unavailable)))
        if image is None:
            missing += images.missing()
        if missing:
            return Availability(tuple(missing))
        reason = kvm.why_not(_key(image, options.kernel), qemu.version()) if image else None
        accelerator = {None: "KVM not tried yet", "": "KVM"}.get(reason, f"emulation ({reason})")
        built = "image built" if image else "image not built yet: takes about a minute, once"
        return Availability(found=f"QEMU {qemu.version()}, {accelerator}, {built}")

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
            self._machine = stack.enter_context(qemu.Machine(guest, folder, say, self.log_to))
            self._image = image
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the machine and remove its keys and files."""
        self._stack.close()

    def start(self, command: Sequence[str]) -> Channel:
        """Start a program there, by ssh.

        Raises:
            EnvironmentUnavailable: the machine has ended; its last words are in the message.
        """
        if not self.machine.is_alive():
            raise EnvironmentUnavailable(f"linux-vm: the machine has ended: {self.last_words()}")
        return ProcessChannel([*self._ssh(), shlex.join(command)])

    def details(self) -> Mapping[str, str]:
        """Return what the machine is made of."""
        assert self._image is not None
        why = self.machine.why_not_kvm
        return {
            "accelerator": self.machine.accelerator + (f" (kvm: {why})" if why else ""),
            "qemu": qemu.version(),
            "kernel": self.options.kernel,
            "image": self._image.hash,
            "memory": f"{self.memory} MiB",
        }

    def last_words(self) -> str:
        """Return how QEMU fares or how it ended, and the end of the console."""
        return self._machine.last_words() if self._machine else ""

    def shell(self) -> str:
        """Return the ssh command, which works as long as the machine runs."""
        return shlex.join([word for word in self._ssh() if word not in ("-T", "--")])

    @property
    def machine(self) -> qemu.Machine:
        """The machine, while it runs."""
        assert self._machine is not None, "only inside the context"
        return self._machine

    @property
    def log(self) -> Path:
        """The file with what has come from the console."""
        return self.machine.log

    def _ssh(self) -> list[str]:
        folder = self.machine.folder
        settings = {
            "HostKeyAlias": _HOST,
            "UserKnownHostsFile": f'"{folder / "known_hosts"}"',
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "IdentityAgent": "none",
        }
        words = ssh.command("127.0.0.1", user="root", port=self.machine.port, key=folder / "client", settings=settings)
        # What the user has configured for hosts (jump hosts, shared connections) is not meant for this one.
        return [words[0], "-F", "none", *words[1:]]


def _key(image: images.LinuxImage, flavour: str) -> str:
    return f"{image.hash}-{flavour}"


def _make_keys(folder: Path) -> None:
    """Make a key pair for the way in and one for the machine."""
    for name in ("client", "host"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", _HOST, "-f", str(folder / name)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EnvironmentUnavailable(f"linux-vm: ssh-keygen failed: {(done.stderr or done.stdout).strip()}")
    (folder / "known_hosts").write_text(f"{_HOST} {(folder / 'host.pub').read_text()}")


def _seed(folder: Path, names: Mapping[str, str]) -> bytes:
    """Return the second disk: a tar archive, which images/linux/init unpacks."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, inside in names.items():
            tar.add(folder / name, inside)
    return archive.getvalue()
