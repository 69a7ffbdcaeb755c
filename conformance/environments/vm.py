"""What the environments that are virtual machines share: the way in is ssh, to a port of this host's loopback."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from conformance.environments import qemu, ssh
from conformance.environments.base import Channel, Environment, Options, ProcessChannel
from conformance.errors import EnvironmentUnavailable

#: MiB: the suite with a few workers takes half of it; and less than the least does not boot.
MEMORY = 1024
_LEAST_MEMORY = 256
#: What the machine is called where ssh keeps its keys: the port is another one each time.
HOST = "refnet-vm"


class VirtualMachine(Environment):
    """A virtual machine that lives as long as the context.

    Attributes:
        log_to: where the console's log is to stay as evidence; set it before entering. None: it goes with the machine.
        user: who the way in leads to.
    """

    def __init__(self, options: Options) -> None:
        """Read the options.

        Raises:
            ValueError: too little memory.
        """
        super().__init__(options)
        self.memory = MEMORY if options.memory is None else options.memory
        if self.memory < _LEAST_MEMORY:
            raise ValueError(f"--memory {self.memory}: {self.name} needs {_LEAST_MEMORY} MiB at least")
        self.user = "root"
        self._stack = contextlib.ExitStack()
        self._machine: qemu.Machine | None = None

    @abstractmethod
    def _identity(self, machine: qemu.Machine) -> tuple[Path | None, Mapping[str, str]]:
        """Return the private key, None for those that ssh finds itself, and what ssh is told of host keys."""

    def _boot(self, guest: qemu.Guest, folder: Path) -> qemu.Machine:
        return qemu.Machine(guest, folder, self.options.say, self.log_to)

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
            raise EnvironmentUnavailable(f"{self.name}: the machine has ended: {self.last_words()}")
        return ProcessChannel([*self.ssh(self.machine), shlex.join(command)])

    def last_words(self) -> str:
        """Return how QEMU fares or how it ended, and the end of the console."""
        return self._machine.last_words() if self._machine else ""

    def shell(self) -> str:
        """Return the ssh command, which works as long as the machine runs."""
        return shlex.join([word for word in self.ssh(self.machine) if word not in ("-T", "--")])

    @property
    def machine(self) -> qemu.Machine:
        """The machine, while it runs."""
        assert self._machine is not None, "only inside the context"
        return self._machine

    @property
    def log(self) -> Path:
        """The file with what has come from the console."""
        return self.machine.log

    def ssh(self, machine: qemu.Machine) -> list[str]:
        """Return the ssh command line for a machine; a remote command may be added."""
        return way_in(machine, self.user, *self._identity(machine))


def way_in(machine: qemu.Machine, user: str, key: Path | None, settings: Mapping[str, str]) -> list[str]:
    """Return the ssh command line for a machine, whose host key is remembered as long as its folder is there."""
    settings = {
        "HostKeyAlias": HOST,
        "UserKnownHostsFile": f'"{machine.folder / "known_hosts"}"',
        "GlobalKnownHostsFile": "none",
        **settings,
    }
    words = ssh.command("127.0.0.1", user=user, port=machine.port, key=key, settings=settings)
    # What the user has configured for hosts (jump hosts, shared connections) is not meant for this one.
    return [words[0], "-F", "none", *words[1:]]


def missing_programs(architecture: str = "", *, also: Sequence[str] = ()) -> list[str]:
    """Return what this host lacks to run such a machine and to get into it, each with the way to get it."""
    missing = list(qemu.missing(architecture))
    lacking = [name for name in ("ssh", *also) if shutil.which(name) is None]
    if lacking:
        missing.append(f"{' and '.join(lacking)}: missing; 'apt-get install openssh-client' brings it")
    return missing


def accelerator(machine: qemu.Machine) -> str:
    """Return what a machine runs on, and why not on KVM."""
    why = machine.why_not_kvm
    return machine.accelerator + (f" (kvm: {why})" if why else "")
